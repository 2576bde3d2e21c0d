/* tests: adapters for the models of forward.h, of every matrix that may be changed or of some, configurations that name them, and a whole
 * text whose tokens have different ones, through a backend's table. */
#ifndef QUORUM_TESTS_FORWARD_LOW_H
#define QUORUM_TESTS_FORWARD_LOW_H

#include "tests/forward.h"

enum { LOWS = 5 * KER_W_ROLES };

/* An adapter of every matrix of a model that may be changed (or of a part), with what one configuration makes of it. */
typedef struct adapter { ker_low low[LOWS]; int n; float layer[5], expert[4 * MAX_E]; } adapter;

static float *numbers(int64_t n, double size)
{
    float *f = malloc(sizeof *f * (size_t)n);
    for (int64_t i = 0; i < n; i++) f[i] = (float)(size * rnd());
    return f;
}

__attribute__((unused)) static bool attention_alone(int layer, enum ker_role role) { return role == KER_W_Q || role == KER_W_O || role == KER_W_GATE || role == KER_W_KV_A; }
static bool everything(int layer, enum ker_role role) { return true; }

static void adapter_make(adapter *a, const model *m, uint64_t from, int rank, bool (*wanted)(int layer, enum ker_role role))
{
    memset(a, 0, sizeof *a);
    seed = from;
    for (int l = -1; l < m->m.n_layer; l++)
        for (int r = 0; r < KER_W_ROLES; r++) {
            int64_t ne[3];
            if (!m->w[l + 1][r].f || !ker_role_low(r) || !wanted(l, r)) continue;
            ker_role_shape(&m->m, l, r, ne);
            double size = 1.2 / sqrt((double)(ne[0] * rank));      /* beside weights of about 2 / sqrt(n_in) */
            a->low[a->n++] = (ker_low){ .role = r, .layer = l, .n_expert = (int)ne[2], .n_in = ne[0], .n_out = ne[1], .rank = rank, .scale = 1.5f,
                                        .a = numbers(ne[2] * rank * ne[0], 1), .b = numbers(ne[2] * ne[1] * rank, size) };
        }
    for (int i = 0; i < 5; i++) a->layer[i] = i == 2 ? .25f : .75f;
    for (int i = 0; i < 4 * MAX_E; i++) a->expert[i] = i % 3 ? .5f + (float)(i % 5) * .1f : 0;
}

static void adapter_free(adapter *a)
{
    for (int i = 0; i < a->n; i++) {
        free((void *)(uintptr_t)a->low[i].a);
        free((void *)(uintptr_t)a->low[i].b);
    }
}

static void act(config *g, const adapter *a, const adapter *b, ker_adapt to[2], bool by_expert)
{
    int n = 0;
    if (a) to[n++] = (ker_adapt){ 0, a->layer, by_expert ? a->expert : NULL };
    if (b) to[n++] = (ker_adapt){ 3, b->layer, NULL };
    g->c.adapt = to;
    g->c.n_adapt = n;
}

/* The text in pieces, token t under configuration t mod 3: none, one adapter, both. */
__attribute__((unused)) static int run_mixed(ker_dev *d, const model *m, const ker_config three[3], int split, result *out)
{
    ker_ctx *c;
    ker_kv *kv;
    const int32_t page[2] = { 1, 0 };
    ker_seq seq = { .page = page, .n_page = 2 };
    int32_t pos[N_TOK];
    int16_t slot[N_TOK];
    uint8_t want_logits[N_TOK];
    int rc = backend->ctx_new(d, N_TOK, m->m.n_expert, NULL, &c, err);
    if (!rc) rc = backend->kv_new(d, KER_KV_F16, 2, &kv, err);
    for (int i = 0; i < 3 && !rc; i++) rc = backend->cfg_put(c, i, &three[i], err);
    for (int i = 0; i < N_TOK; i++) { pos[i] = i; slot[i] = (int16_t)(i % 3); want_logits[i] = KER_WANT_LOGITS; }
    memset(out, 0, sizeof *out);
    for (int t = 0; t < N_TOK && !rc; t += split) {
        int n = N_TOK - t < split ? N_TOK - t : split;
        ker_out o;
        ker_batch b = { .n = n, .token = tokens + t, .pos = pos + t, .cell = pos + t, .slot = slot + t, .want = want_logits, .seqs = &seq, .n_seq = 1, .phase = n == 1 };
        if ((rc = forward(c, kv, m, &b, &o))) break;
        memcpy(out->logits + t * VOCAB, o.logits, sizeof(float) * (size_t)(n * VOCAB));
    }
    backend->kv_free(kv);
    backend->ctx_free(c);
    return rc;
}

/* Three configurations: none, the first adapter, both. two: the room for what they name. */
__attribute__((unused)) static void three_make(ker_config three[3], config *g, const adapter *a, const adapter *b, ker_adapt two[2])
{
    three[0] = g->c;
    act(g, a, b, two, true);
    three[1] = three[2] = g->c;
    three[1].n_adapt = 1;
}

#endif
