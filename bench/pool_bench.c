/* bench: several answers at once beside what the engine makes of the same rows, and beside what memory allows; in one process and in turn, so that a
 * busy machine disturbs all alike. Greedy, so that both ways make the same tokens and run the same experts.
 * usage: pool_bench MODEL.gguf [STREAMS [TOKENS [ROUNDS]]] */
#include "engine/engine.h"
#include "provider/provider.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64, PROMPT = 48, WARM = 4 };

static char err[Q_ERRLEN];
static int streams = 8, tokens = 48, rounds = 3;
static int32_t prompt[MOST][PROMPT];

static int64_t failed(void)
{
    fprintf(stderr, "pool_bench: %s\n", err);
    exit(1);
}

static double seconds(int64_t from) { return (double)(q_now_ns() - from) / 1e9; }

static void fill(int n_vocab)
{
    uint64_t x = 1;
    for (int i = 0; i < streams; i++)
        for (int k = 0; k < PROMPT; k++)
            prompt[i][k] = (int32_t)((x = q_mix64(x, (uint64_t)k)) % (uint64_t)n_vocab);
}

static int32_t likeliest(const float *l, int n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        best = l[i] > l[best] ? i : best;
    return best;
}

static int configure(void *user, prov_config *c, char *e)
{
    char length[16];
    snprintf(length, sizeof length, "%d", (streams + 1) * (PROMPT + tokens + 64));
    int rc = prov_config_set(c, "context.length", length, e);
    return rc < 0 ? rc : prov_config_set(c, "sampler.temperature", "0", e);
}

/* ---- the engine's own batch ---- */
/* layers: without the head. experts: different ones of a pass, all layers together */
typedef struct batch { double rate, layers, experts; int32_t *made; } batch;

static int different(const eng_out *o, int n_layer, int n_expert)
{
    int n = 0;
    for (int l = 0; l < n_layer; l++) {
        unsigned char seen[1 << 12] = { 0 };
        const uint16_t *id = o->ids + (size_t)l * (size_t)o->n * (size_t)o->max_k;
        for (int i = 0; i < o->n * o->max_k; i++)
            if (id[i] < n_expert && !seen[id[i]]) {
                seen[id[i]] = 1;
                n++;
            }
    }
    return n;
}

/* What was made before, once more without the head, where head is false. */
static void engine(eng_model *m, const eng_config *c, int n, bool head, batch *out)
{
    const eng_info *e = eng_model_info(m);
    eng_cache *k = NULL;
    eng_session *s[MOST];
    eng_row row[MOST];
    eng_out *o = q_alloc(sizeof *o);
    if (eng_cache_new(m, c, 1, &k, err) < 0)
        failed();
    for (int i = 0; i < n; i++) {
        if (eng_cache_session(k, c, &s[i], err) < 0 || eng_session_sync(s[i], prompt[i], PROMPT, ENG_RECOMPUTE, NULL, NULL, err) < 0)
            failed();
        row[i] = (eng_row){ .session = s[i], .want = head ? ENG_WANT_LOGITS : ENG_WANT_NOTHING, .token = likeliest(eng_session_logits(s[i]), e->n_vocab) };
    }
    double total = 0, experts = 0;
    for (int t = 0; t < tokens; t++) {
        int64_t from = q_now_ns();
        if (eng_cache_step(k, row, n, true, o, err) < 0)
            failed();
        double step = seconds(from);
        if (t >= WARM) {
            total += step;
            experts += different(o, e->n_layer, e->n_expert);
        }
        for (int i = 0; i < n; i++) {
            out->made[i * tokens + t] = row[i].token;
            row[i].token = head ? likeliest(o->logits[i], e->n_vocab) : t + 1 < tokens ? out->made[i * tokens + t + 1] : 0;
        }
    }
    double rate = n * (tokens - WARM) / total, *best = head ? &out->rate : &out->layers;
    *best = rate > *best ? rate : *best;
    out->experts = experts / (tokens - WARM);
    for (int i = 0; i < n; i++)
        eng_session_free(s[i]);
    eng_cache_free(k);
    free(o);
}

/* ---- answers ---- */
typedef struct asker { prov *p; int i; pthread_t thread; int64_t at[1 << 12]; int n; int32_t made[1 << 12]; } asker;

static void piece(void *user, const prov_piece *t)
{
    asker *a = user;
    if (t->token >= 0 && a->n < 1 << 12) {
        a->made[a->n] = t->token;
        a->at[a->n++] = q_now_ns();
    }
}

static void *ask(void *user)
{
    asker *a = user;
    char why[Q_ERRLEN];
    prov_result r;
    const prov_hooks h = { .user = a, .piece = piece };
    if (prov_ask(a->p, &(prov_request){ .ids = prompt[a->i], .n_ids = PROMPT, .max_tokens = tokens, .seed = 1 }, &h, &r, why) < 0)
        fprintf(stderr, "pool_bench: %s\n", why);
    return NULL;
}

/* Tokens a second while all of them write; what they wrote is compared with the engine's. */
static double answers(prov *p, int n, const batch *b, int *other)
{
    static asker a[MOST];
    int64_t from = 0, to = INT64_MAX;
    int made = 0;
    for (int i = 0; i < n; i++) {
        a[i] = (asker){ .p = p, .i = i };
        pthread_create(&a[i].thread, NULL, ask, &a[i]);
    }
    for (int i = 0; i < n; i++)
        pthread_join(a[i].thread, NULL);
    for (int i = 0; i < n; i++) {
        int64_t first = a[i].n > WARM ? a[i].at[WARM] : INT64_MAX, last = a[i].n ? a[i].at[a[i].n - 1] : 0;
        from = first > from ? first : from;
        to = last < to ? last : to;
        *other += a[i].n == 0 || memcmp(a[i].made, b->made + i * tokens, sizeof *a[i].made * (size_t)a[i].n) != 0;
    }
    for (int i = 0; i < n; i++)
        for (int t = 0; t < a[i].n; t++)
            made += a[i].at[t] > from && a[i].at[t] <= to;
    return to > from ? made / ((double)(to - from) / 1e9) : 0;
}

int main(int argc, char **argv)
{
    eng_model *m = NULL;
    prov *p = NULL;
    if (argc < 2)
        return fprintf(stderr, "usage: pool_bench MODEL.gguf [STREAMS [TOKENS [ROUNDS]]]\n"), 2;
    streams = argc > 2 ? atoi(argv[2]) : streams;
    tokens = argc > 3 ? atoi(argv[3]) : tokens;
    rounds = argc > 4 ? atoi(argv[4]) : rounds;
    if (streams < 1 || streams > MOST || tokens <= 2 * WARM || tokens > 1 << 12 || rounds < 1)
        return fprintf(stderr, "pool_bench: 1 to %d streams, %d to %d tokens\n", MOST, 2 * WARM + 1, 1 << 12), 2;
    prov_opts o = { .configure = configure, .streams = streams };
    if (eng_model_open(argv[1], &(eng_open_opts){ 0 }, &m, err) < 0 || prov_open(argv[1], &o, &p, err) < 0)
        failed();
    const eng_info *e = eng_model_info(m);
    eng_config *c = eng_config_new(m), *less = eng_config_new(m);
    char length[16], k[16];
    snprintf(length, sizeof length, "%d", (streams + 1) * (PROMPT + tokens + 64));
    if (eng_config_set(c, "context.length", length, err) < 0)
        failed();
    fill(e->n_vocab);
    batch one = { .made = q_alloc(sizeof(int32_t) * (size_t)tokens) }, all = { .made = q_alloc(sizeof(int32_t) * (size_t)(tokens * streams)) };
    double pool = 0;
    int other = 0;
    for (int r = 0; r < rounds; r++) {
        for (int head = 1; head >= 0; head--) {
            engine(m, c, 1, head, &one);
            engine(m, c, streams, head, &all);
        }
        double rate = answers(p, streams, &all, &other);
        pool = rate > pool ? rate : pool;
        printf("round %d: engine alone %.2f, %d rows %.2f, answers %.2f tokens/s\n", r + 1, one.rate, streams, all.rate, rate);
        fflush(stdout);
    }
    eng_cost cost = eng_model_cost(m, c);
    double bytes = (double)(cost.bytes_layers + cost.bytes_head), each = 0;
    if (e->n_expert && eng_config_k(c) > 1) {
        snprintf(k, sizeof k, "%d", eng_config_k(c) - 1);
        if (eng_config_set(less, "experts.k", k, err) == Q_OK)
            each = (double)(cost.bytes_layers - eng_model_cost(m, less).bytes_layers) / e->n_moe_layer;
    }
    double bandwidth = one.rate * bytes, together = bytes + each * (all.experts - one.experts), allowed = streams * bandwidth / together;
    prov_load l = prov_pool_numbers(p);
    printf("answers %.2f tokens/s: %.1f%% of the engine's own batch of %d rows (%.2f)\n", pool, 100 * pool / all.rate, streams, all.rate);
    printf("  %.1f%% of what memory allows: %.2f tokens/s, by %.0f different experts a pass (%.0f of one token), %.0f MiB a pass, at the single stream's %.2f GiB/s\n",
           100 * pool / allowed, allowed, all.experts, one.experts, together / (1 << 20), bandwidth / (1 << 30));
    double layers = (double)cost.bytes_layers, more = each * (all.experts - one.experts);
    printf("  without the head: the engine's batch %.2f tokens/s, %.1f%% of %.2f\n", all.layers,
           100 * all.layers / (streams * one.layers * layers / (layers + more)), streams * one.layers * layers / (layers + more));
    printf("  engine's own batch: %.1f%% of it; %.2f rows a pass; %d of %d answers other than the engine's\n", 100 * all.rate / allowed,
           (double)l.rows / (double)l.passes, other, streams * rounds);
    prov_close(p);
    eng_config_free(c);
    eng_config_free(less);
    eng_model_free(m);
    free(one.made);
    free(all.made);
    return other != 0;
}
