/* kernels/prove: a backend against the CPU, part by part, on models of random weights made here. Both compute the same
 * batch; after each part the stream of both is compared and the other goes on with the CPU's, so that a wrong part is
 * named and does not spoil the next. Owns nothing beyond one call; takes no file, prints nothing. */
#include "kernels/made.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 128, CELLS = 4 * KER_PAGE };

static const int few[] = { 1, 5, 37, 1, 0 }, some[] = { 3, 1, 0 }, with_low[] = { 11, 2, 0 }, many[] = { 128, 1, 8, 1, 0 };
/* Widths of any size, for types with short blocks; multiples of 256 for the others; then shapes of models in use. */
static const made_shape odd = { "odd widths", 96, 3, 1, 32, 32, 7, 64, 32, 160, 64, 3, -1, MADE_QK_NORM | MADE_RENORM | MADE_HALF, KER_GATE_SOFTMAX, 1, 0, few };
static const made_shape even = { "even widths", 256, 4, 2, 64, 64, 8, 256, 256, 512, 64, 3, -1, MADE_QK_NORM | MADE_RENORM | MADE_HALF, KER_GATE_SOFTMAX, 1, 0, few };
static const made_shape kinds[] = {
    { "qwen2moe", 96, 4, 4, 24, 24, 8, 48, 80, 0, 48, 4, -1, MADE_BIAS | MADE_SH_ROUTER | MADE_HALF, KER_GATE_SOFTMAX, 1, 0, some },
    { "glm4moe", 64, 6, 2, 32, 16, 12, 32, 64, 112, 48, 4, -1, MADE_BIAS | MADE_SELECT_BIAS | MADE_RENORM | MADE_HALF, KER_GATE_SIGMOID, 1.5f, 0, some },
    { "llama", 32, 2, 1, 40, 40, 0, 0, 0, 72, 48, 0, -1, MADE_TIED, KER_GATE_SOFTMAX, 1, 0, some },
    { "carved", 64, 2, 1, 32, 32, 6, 32, 64, 96, 48, 3, KER_Q8_0, MADE_SELECT_BIAS | MADE_TIED | MADE_HALF, KER_GATE_SIGMOID, 2, 1e-3f, some },
};
/* An adapter on every matrix, in types that few rows' fused launches and tensor cores take, and in floats. */
static const made_shape low = { "adapters", 256, 4, 2, 64, 64, 8, 256, 256, 512, 64, 3, -1, MADE_QK_NORM | MADE_RENORM | MADE_HALF | MADE_LOW, KER_GATE_SOFTMAX, 1, 0, with_low };
static const made_shape low_odd = { "adapters, odd widths", 96, 3, 1, 32, 32, 7, 64, 32, 160, 64, 3, -1, MADE_BIAS | MADE_SH_ROUTER | MADE_HALF | MADE_LOW, KER_GATE_SOFTMAX, 1, 0, some };
/* Recurrent layers, and attention with a gate, both with adapters: blocks with beta and alpha in one matrix, floats and short rows of values with two. */
static const made_shape linear = { "recurrent", 256, 4, 2, 64, 16, 8, 256, 256, 512, 64, 3, -1, MADE_QK_NORM | MADE_RENORM | MADE_SH_ROUTER | MADE_HALF | MADE_LOW | MADE_DELTA | MADE_PAIRED, KER_GATE_SOFTMAX, 1, 0, few };
static const made_shape linear_odd = { "recurrent, odd widths", 96, 4, 1, 40, 16, 7, 64, 32, 160, 64, 3, -1, MADE_QK_NORM | MADE_RENORM | MADE_SH_ROUTER | MADE_HALF | MADE_LOW | MADE_DELTA, KER_GATE_SOFTMAX, 1, 0, few };
/* Heads as wide as theirs are in use. */
static const made_shape linear_wide = { "recurrent, heads of 256", 256, 2, 1, 256, 64, 8, 256, 0, 256, 64, 3, -1, MADE_QK_NORM | MADE_RENORM | MADE_HALF | MADE_DELTA | MADE_PAIRED, KER_GATE_SOFTMAX, 1, 0, few };
/* Norms over all heads and after parts, factors and rotations of a layer's own. */
static const made_shape norms = { "norms and factors", 256, 4, 2, 64, 64, 8, 256, 256, 512, 64, 3, -1, MADE_QK_NORM | MADE_WHOLE | MADE_POST | MADE_RENORM | MADE_HALF | MADE_LOW, KER_GATE_SOFTMAX, 1, 0, with_low };
static const made_shape norms_odd = { "norms and factors, odd widths", 96, 3, 1, 32, 32, 7, 64, 32, 160, 64, 3, -1, MADE_QK_NORM | MADE_POST | MADE_SH_ROUTER | MADE_HALF, KER_GATE_SOFTMAX, 1, 0, some };
static const made_shape large[] = {
    { "30B-A3B", 2048, 32, 4, 128, 128, 128, 768, 0, 0, 8192, 8, KER_Q6_K, MADE_QK_NORM | MADE_RENORM | MADE_HALF, KER_GATE_SOFTMAX, 1, 0, many },
    { "30B-A3B", 2048, 32, 4, 128, 128, 128, 768, 0, 0, 8192, 8, KER_Q4_K, MADE_QK_NORM | MADE_RENORM | MADE_HALF, KER_GATE_SOFTMAX, 1, 0, many },
    { "0.6B", 1024, 16, 8, 128, 128, 0, 0, 0, 3072, 8192, 0, -1, MADE_QK_NORM | MADE_TIED | MADE_HALF, KER_GATE_SOFTMAX, 1, 0, many },
};

/* ---- a batch ---- */

typedef struct proof {
    const made_model *m;
    made_side cpu, other;
    float *before;                     /* the CPU's stream before the part at hand                */
    double limit;
    void (*row)(void *user, const ker_proof *p);
    void *user;
    int wrong;
} proof;

static double gap(const float *a, const float *b, const float *from, int64_t n)
{
    double most = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]), v = fabs((double)b[i] - (from ? (double)from[i] : 0));
        most = d > most || isnan(d) ? d : most;
        size = v > size ? v : size;
    }
    return size > 0 ? most / size : most;
}

static void tell(proof *p, const char *part, int n, double off, double limit)
{
    ker_proof row = { .part = part, .rows = n, .off = off, .limit = limit, .ok = off <= limit };
    snprintf(row.model, sizeof row.model, "%s", p->m->what);
    p->wrong += !row.ok;
    p->row(p->user, &row);
}

/* Compares the streams after a part; the other side goes on with the CPU's. */
static int compare(proof *p, const char *part, int n, bool added)
{
    size_t floats = (size_t)n * (size_t)p->m->m.n_embd;
    int rc = p->cpu.b->hidden_get(p->cpu.ctx, p->cpu.x);
    if (!rc) rc = p->other.b->hidden_get(p->other.ctx, p->other.x);
    if (rc) return rc;
    tell(p, part, n, gap(p->other.x, p->cpu.x, added ? p->before : NULL, (int64_t)floats), p->limit);
    memcpy(p->before, p->cpu.x, sizeof(float) * floats);
    return p->other.b->hidden_put(p->other.ctx, p->cpu.x);
}

/* The trace of routed layers: forced lists come back as they were given; a free choice may differ only where the
 * CPU's margin is small. */
static void compare_routing(proof *p, int n, bool forced)
{
    const ker_model *m = &p->m->m;
    int rows = 0, other = 0;
    double weights = 0;
    for (int l = 0; l < m->n_layer; l++)
        for (int r = 0; r < n && m->layer[l].moe; r++) {
            size_t at = (size_t)l * (size_t)n + (size_t)r, to = at * (size_t)p->cpu.out.max_k, from = at * (size_t)p->other.out.max_k;
            int k = p->m->k[l], missing = 0;
            if (!forced && !(fabsf(p->cpu.out.margin[at]) > .05f)) continue;
            rows++;
            for (int i = 0; i < k; i++) {
                int j = 0;
                while (j < k && p->other.out.ids[from + (size_t)j] != p->cpu.out.ids[to + (size_t)i]) j++;
                missing += j == k;
                if (j < k) weights = fmax(weights, fabs((double)p->other.out.weights[from + (size_t)j] - (double)p->cpu.out.weights[to + (size_t)i]));
            }
            other += missing > 0;
        }
    if (!rows) return;
    tell(p, forced ? N_("forced routing: ids") : N_("routing: ids"), n, (double)other / rows, 0);
    tell(p, forced ? N_("forced routing: weights") : N_("routing: weights"), n, weights, p->limit);
}

static int batch(proof *p, int at, int n, bool forced, char *err)
{
    const ker_model *m = &p->m->m;
    int32_t token[ROWS], cell[ROWS], page[CELLS / KER_PAGE];
    uint8_t want[ROWS];
    for (int i = 0; i < n; i++) {
        token[i] = (int32_t)((unsigned)(at + i) * 2654435761u % (unsigned)m->n_vocab);
        cell[i] = at + i;
        want[i] = n - i <= 8 ? KER_WANT_LOGITS | KER_WANT_HIDDEN : 0;
    }
    for (int i = 0; i < CELLS / KER_PAGE; i++) page[i] = CELLS / KER_PAGE - 1 - i;
    ker_seq seq = { .page = page, .n_page = CELLS / KER_PAGE };
    uint16_t *ids = q_alloc(sizeof *ids * (size_t)(m->n_layer * n * (m->n_expert + 1)));
    for (int i = 0; i < m->n_layer * n && m->n_expert; i++)
        for (int j = 0; j < m->n_expert; j++)
            ids[i * m->n_expert + j] = j < p->m->s->k ? (uint16_t)((i * 5 + at + j) % m->n_expert) : KER_NO_EXPERT;
    ker_batch b = { .n = n, .token = token, .pos = cell, .cell = cell, .want = want, .seqs = &seq, .n_seq = 1,
                    .forced = forced && m->n_expert ? ids : NULL, .phase = n == 1 };
    made_side *s[2] = { &p->cpu, &p->other };
    int rc = 0;
    ker_seq own[2] = { seq, seq };
    ker_batch of[2] = { b, b };
    for (int i = 0; i < 2; i++) {
        made_states(s[i], at, &own[i]);
        of[i].seqs = &own[i];
    }
#define BOTH(call) for (int i_ = 0; i_ < 2 && !rc; i_++) rc = s[i_]->b->call
    BOTH(begin(s[i_]->ctx, s[i_]->kv, &of[i_], err));
    if (rc) { free(ids); return rc; }
    BOTH(embed(s[i_]->ctx));
    if (!rc) rc = compare(p, N_("embedding"), n, false);
    for (int l = 0; l < m->n_layer && !rc; l++) {
        BOTH(attn(s[i_]->ctx, l));
        if (!rc) rc = compare(p, N_("attention"), n, true);
        if (m->layer[l].moe) {
            BOTH(route(s[i_]->ctx, l));
            BOTH(experts(s[i_]->ctx, l));
            if (!rc && forced) rc = compare(p, N_("experts"), n, true);
            else if (!rc && !(rc = p->cpu.b->hidden_get(p->cpu.ctx, p->before))) rc = p->other.b->hidden_put(p->other.ctx, p->before);
        } else {
            BOTH(dense(s[i_]->ctx, l));
            if (!rc) rc = compare(p, N_("dense feed-forward"), n, true);
        }
    }
    BOTH(head(s[i_]->ctx));
    for (int i = 0; i < 2; i++) {
        int end = s[i]->b->end(s[i]->ctx, &s[i]->out);
        rc = rc ? rc : end;
    }
#undef BOTH
    free(ids);
    if (rc) return q_fail(err, rc, _("%s: the device stopped in the middle of a pass (code %d)"), p->m->what, rc);
    if (p->other.out.n_logits != p->cpu.out.n_logits || p->other.out.n_hidden != p->cpu.out.n_hidden)
        return q_fail(err, Q_ERR, _("%s: the device gave %d rows of logits instead of %d"), p->m->what, p->other.out.n_logits, p->cpu.out.n_logits);
    tell(p, N_("output head"), n, gap(p->other.out.logits, p->cpu.out.logits, NULL, (int64_t)p->cpu.out.n_logits * m->n_vocab), p->limit);
    tell(p, N_("output norm"), n, gap(p->other.out.hidden, p->cpu.out.hidden, NULL, (int64_t)p->cpu.out.n_hidden * m->n_embd), p->limit);
    tell(p, N_("numbers that are not finite"), n, p->other.out.n_bad, 0);
    compare_routing(p, n, forced);
    return 0;
}

/* A few tokens, each the likeliest after the one before: each side goes its own way. */
static int greedy(proof *p, int at, char *err)
{
    enum { N = 6 };
    int rc = 0, other = 0;
    int32_t token[2] = { 1, 1 }, page[CELLS / KER_PAGE];
    made_side *s[2] = { &p->cpu, &p->other };
    for (int i = 0; i < CELLS / KER_PAGE; i++) page[i] = i;
    ker_seq seq = { .page = page, .n_page = CELLS / KER_PAGE };
    for (int i = at; i < at + N && !rc; i++) {
        for (int j = 0; j < 2 && !rc; j++) {
            ker_batch b = { .n = 1, .token = &token[j], .pos = &i, .cell = &i, .seqs = &seq, .n_seq = 1, .phase = 1 };
            made_states(s[j], i, &seq);
            rc = made_pass(s[j], p->m, &b, err);
            for (int v = 0, best = 0; v < p->m->m.n_vocab && !rc; v++) {
                if (s[j]->out.logits[v] > s[j]->out.logits[best]) best = v;
                token[j] = best;
            }
        }
        other += token[0] != token[1];
    }
    if (!rc) tell(p, N_("greedy tokens"), 1, other, 0);
    return rc;
}

/* One model under both kinds of routing. A type without quantised activations differs by the order of sums alone. */
static int one(const ker_backend *b, int index, const made_shape *s, int type, proof *p, char *err)
{
    made_model *m = made_new(s, type, 1);
    proof q = { .m = m, .row = p->row, .user = p->user, .before = q_alloc(sizeof(float) * ROWS * (size_t)s->n_embd) };
    bool floats = ker_type_get(type)->act == KER_ACT_F32 && (s->down < 0 || ker_type_get(s->down)->act == KER_ACT_F32);
    q.limit = floats ? 1e-3 : 1e-2;
    int rc = made_open(&q.cpu, ker_cpu(), 0, m, ROWS, CELLS, err), at = 0;
    if (!rc) rc = made_open(&q.other, b, index, m, ROWS, CELLS, err);
    for (int i = 0; s->rows[i] && !rc; i++) {
        rc = batch(&q, at, s->rows[i], true, err);
        at += s->rows[i];
    }
    if (!rc && s->n_expert) rc = batch(&q, at, 9, false, err);
    if (!rc && floats) rc = greedy(&q, at + 9, err);
    made_close(&q.cpu);
    made_close(&q.other);
    p->wrong += q.wrong;
    free(q.before);
    made_free(m);
    return rc;
}

int ker_prove(const ker_backend *b, int index, enum ker_prove_how how, void (*row)(void *user, const ker_proof *p), void *user, char *err)
{
    static const int first[] = { KER_F16, KER_Q8_0, KER_Q4_K, KER_Q6_K };
    proof p = { .row = row, .user = user };
    int rc = 0, n_first = how == KER_PROVE_FEW ? (int)(sizeof first / sizeof *first) : 0;
    for (int i = 0; i < n_first && !rc; i++) {
        made_shape s = ker_type_get(first[i])->block > 32 ? even : odd;
        s.rows = some;
        rc = one(b, index, &s, first[i], &p, err);
    }
    if (!rc) rc = one(b, index, &low, KER_Q4_K, &p, err);
    if (!rc && b->state_new) rc = one(b, index, &linear, KER_Q4_K, &p, err);
    if (!rc && b->state_new) rc = one(b, index, &linear_wide, KER_Q4_K, &p, err);
    if (!rc && b->state_new && how > KER_PROVE_FEW) rc = one(b, index, &linear_odd, KER_Q8_0, &p, err);
    if (!rc && b->state_new && how > KER_PROVE_FEW) rc = one(b, index, &linear_odd, KER_F32, &p, err);
    if (!rc) rc = one(b, index, &norms, KER_Q4_K, &p, err);
    for (int t = 0; t < KER_TYPE_LIMIT && how > KER_PROVE_FEW && !rc; t++) {
        const ker_type *type = ker_type_get(t);
        if (!type || !type->weight) continue;
        rc = one(b, index, type->block > 32 ? &even : &odd, t, &p, err);
        if (rc == Q_RANGE) rc = Q_OK;                /* such weights stay with the CPU */
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && how > KER_PROVE_FEW && !rc; i++) rc = one(b, index, &kinds[i], KER_F32, &p, err);
    if (how > KER_PROVE_FEW && !rc) rc = one(b, index, &low_odd, KER_F32, &p, err);
    if (how > KER_PROVE_FEW && !rc) rc = one(b, index, &norms_odd, KER_F32, &p, err);
    for (size_t i = 0; i < sizeof large / sizeof *large && how == KER_PROVE_LARGE && !rc; i++) rc = one(b, index, &large[i], KER_Q4_K, &p, err);
    return rc ? rc : p.wrong;
}
