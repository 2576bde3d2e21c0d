/* The sampler: each filter against a plain computation in doubles with a full sort, the draw's frequencies
 * against the probabilities, reproducibility, awkward logits, cost at 151k tokens, and stop strings. */
#include "engine/run/sample.h"
#include "tests/test.h"

#include <math.h>

static const knob_values PLAIN = {.temperature = 1, .top_p = 1, .repeat_penalty = 1, .repeat_last_n = 64, .seed = 1};

static uint64_t state = 1;
static double rnd(void) { state = state * 6364136223846793005u + 1442695040888963407u; return (double)(state >> 11) * 0x1p-53; }

static void fill(float *l, int n, double spread)
{
    for (int i = 0; i < n; i++) l[i] = (float)(spread * (rnd() + rnd() + rnd() + rnd() - 2));
}

typedef struct item { double l; int id; } item;
static int by_logit(const void *a, const void *b)
{
    const item *x = a, *y = b;
    return x->l > y->l ? -1 : x->l < y->l ? 1 : x->id - y->id;
}

/* Probabilities after all filters, straight from the definition in sample.h. */
static void expected(const knob_values *p, const float *logits, int n, const int *past, int n_past, double *prob)
{
    item *v = malloc((size_t)n * sizeof *v);
    for (int i = 0; i < n; i++) {
        double l = (double)logits[i];
        int count = 0, from = p->repeat_last_n < 0 || p->repeat_last_n > n_past ? 0 : n_past - (int)p->repeat_last_n;
        for (int k = from; k < n_past; k++) count += past[k] == i;
        if (count) {
            l = l > 0 ? l / p->repeat_penalty : l * p->repeat_penalty;
            l -= p->frequency_penalty * count + p->presence_penalty;
        }
        v[i] = (item){l, i};
        prob[i] = 0;
    }
    qsort(v, (size_t)n, sizeof *v, by_logit);
    int keep = p->top_k > 0 && p->top_k < n ? (int)p->top_k : n;
    double z = 0, cum = 0;
    for (int i = 0; i < keep; i++) z += exp(v[i].l - v[0].l);
    if (p->top_p < 1) {
        int k = 0;
        while (k < keep) { cum += exp(v[k].l - v[0].l) / z; k++; if (cum >= p->top_p) break; }
        keep = k;
    }
    while (keep > 1 && exp(v[keep - 1].l - v[0].l) < p->min_p) keep--;
    z = 0;
    for (int i = 0; i < keep; i++) z += exp((v[i].l - v[0].l) / p->temperature);
    for (int i = 0; i < keep; i++) prob[v[i].id] = exp((v[i].l - v[0].l) / p->temperature) / z;
    free(v);
}

static void test_filters(void)
{
    static const struct { float t; int k; float p, m, rep, freq, pres; int last; } C[] = {
        {1, 0, 1, 0, 1, 0, 0, 64}, {0.7f, 0, 1, 0, 1, 0, 0, 64}, {1, 5, 1, 0, 1, 0, 0, 64}, {0.5f, 40, 0.9f, 0, 1, 0, 0, 64},
        {1, 0, 0.5f, 0, 1, 0, 0, 64}, {1, 0, 0.999f, 0, 1, 0, 0, 64}, {2, 0, 0.9f, 0.05f, 1, 0, 0, 64}, {1, 0, 1, 0.2f, 1, 0, 0, 64},
        {1, 50, 0.95f, 0.01f, 1.3f, 0, 0, 64}, {1, 0, 0.9f, 0, 1, 0.5f, 0.7f, 8}, {1, 20, 1, 0, 1.1f, 0.2f, 0.3f, -1},
        {0.3f, 0, 0.1f, 0, 1.5f, 0, 0, 0}, {1, 1, 1, 0, 1, 0, 0, 64}, {1, 0, 1, 1, 1, 0, 0, 64}, {1, 7, 1, 1, 1, 0, 0, 64}, {1, 7, 0, 1, 1, 0, 0, 64}, {1, 299, 0.97f, 0, 1, 0, 0, 64},
    };
    enum { N = 300, DRAWS = 20000 };
    float l[N];
    double prob[N];
    int hits[N], past[30];
    for (size_t c = 0; c < sizeof C / sizeof *C; c++) {
        knob_values p = {.temperature = C[c].t, .top_k = C[c].k, .top_p = C[c].p, .min_p = C[c].m, .repeat_penalty = C[c].rep,
                         .frequency_penalty = C[c].freq, .presence_penalty = C[c].pres, .repeat_last_n = C[c].last, .seed = (double)c};
        fill(l, N, 4 + (double)c);
        eng_sampler *s = sampler_new(N);
        sampler_reset(s, &p);
        int best = 0;
        for (int i = 1; i < N; i++) if (l[i] > l[best]) best = i;
        for (int i = 0; i < 30; i++) { past[i] = i % 3 ? (int)(rnd() * N) : best; sampler_accept(s, past[i]); }
        expected(&p, l, N, past, 30, prob);
        double z = 0, worst = 0;
        for (int i = 0; i < N; i++) z += exp((double)l[i]);
        memset(hits, 0, sizeof hits);
        for (int d = 0; d < DRAWS; d++) {
            eng_choice ch = sampler_pick(s, &p, l);
            hits[ch.token]++;
            if (d < 200) {
                CHECK_MSG(fabs((double)ch.p - prob[ch.token]) < 1e-5, "case %zu token %d: p %g, expected %g", c, ch.token, (double)ch.p, prob[ch.token]);
                CHECK_MSG(fabs((double)ch.logprob - ((double)l[ch.token] - log(z))) < 2e-5, "case %zu: logprob %g", c, (double)ch.logprob);
            }
        }
        for (int i = 0; i < N; i++) {
            if (prob[i] == 0) CHECK_MSG(hits[i] == 0, "case %zu drew %d, which the filters remove", c, i);
            double dev = fabs(hits[i] - prob[i] * DRAWS) / sqrt(prob[i] * DRAWS * (1 - prob[i]) + 1);
            if (dev > worst) worst = dev;
        }
        CHECK_MSG(worst < 5, "case %zu: %.1f standard deviations off", c, worst);      /* the seed is fixed: no chance in it */
        sampler_free(s);
    }
}

static void test_greedy(void)
{
    float l[20] = {0};
    l[7] = l[13] = 3;
    knob_values p = PLAIN;
    p.temperature = 0;
    eng_sampler *s = sampler_new(20);
    sampler_reset(s, &p);
    CHECK_INT(sampler_pick(s, &p, l).token, 7);                  /* the lowest id on a tie */
    CHECK(sampler_pick(s, &p, l).p == 1);
    sampler_accept(s, 7);
    sampler_accept(s, -1);
    sampler_accept(s, 99);                                   /* ids out of range are ignored */
    p.repeat_penalty = 1.2f;
    CHECK_INT(sampler_pick(s, &p, l).token, 13);
    p.repeat_last_n = 0;
    CHECK_INT(sampler_pick(s, &p, l).token, 7);
    p.repeat_last_n = 1;
    sampler_accept(s, 5);                                    /* 7 has left the window */
    CHECK_INT(sampler_pick(s, &p, l).token, 7);
    sampler_free(s);
}

/* Every filter at both ends, with every other: each choice ends, and is what the plain computation allows. */
static void test_both_ends(void)
{
    enum { N = 64 };
    float l[N];
    double prob[N];
    eng_sampler *s = sampler_new(N);
    fill(l, N, 4);
    for (int set = 0; set < 3 * 3 * 3 * 3 * 2; set++) {
        int k = set % 3, p_ = set / 3 % 3, m = set / 9 % 3, t = set / 27 % 3, rep = set / 81;
        knob_values p = PLAIN;
        p.top_k = k == 0 ? 0 : k == 1 ? 1 : N;
        p.top_p = p_ == 0 ? 0 : p_ == 1 ? 1 : 0.5;
        p.min_p = m == 0 ? 0 : m == 1 ? 1 : 1e-6;
        p.temperature = t == 0 ? 0 : t == 1 ? 100 : 1;
        p.repeat_penalty = rep ? 100 : 0.01;
        sampler_reset(s, &p);
        for (int i = 0; i < 5; i++) sampler_accept(s, i);
        for (int i = 0; i < 20; i++) {
            eng_choice c = sampler_pick(s, &p, l);
            CHECK(c.token >= 0 && c.token < N && c.p > 0 && c.p <= 1.00001f);
            if (p.temperature == 0) continue;
            expected(&p, l, N, (int[]){0, 1, 2, 3, 4}, 5, prob);
            CHECK_MSG(fabs((double)c.p - prob[c.token]) < 1e-5, "set %d token %d: p %g, expected %g", set, c.token, (double)c.p, prob[c.token]);
        }
    }
    sampler_free(s);
}

/* Whoever set the flag gets an answer at once, whatever is being sorted; cleared, the next choice is the seed's again. */
static void test_stop(void)
{
    enum { N = 50000 };
    float *l = malloc(N * sizeof *l);
    fill(l, N, 0.001);
    atomic_int stop = 0;
    eng_sampler *s = sampler_new(N), *t = sampler_new(N);
    knob_values p = PLAIN;
    p.top_p = 0.999;
    sampler_watch(s, &stop);
    sampler_reset(s, &p);
    sampler_reset(t, &p);
    CHECK_INT(sampler_pick(s, &p, l).token, sampler_pick(t, &p, l).token);
    long whole = sampler_pulls(t);
    CHECK(whole > N / 2);
    long before = sampler_pulls(s);
    stop = 1;
    int32_t top = 0;
    for (int i = 1; i < N; i++) if (l[i] > l[top]) top = i;
    CHECK_INT(sampler_pick(s, &p, l).token, top);
    CHECK_INT(sampler_pulls(s), before);                         /* nothing was sorted any more */
    stop = 0;
    CHECK_INT(sampler_pick(s, &p, l).token, sampler_pick(t, &p, l).token);
    sampler_free(s);
    sampler_free(t);
    free(l);
}

static void test_seed(void)
{
    float l[500];
    fill(l, 500, 3);
    int32_t a[60], b[60];
    knob_values p = PLAIN;
    p.top_p = 0.95f;
    int diff = 0;
    eng_sampler *s = sampler_new(500), *t = sampler_new(500);
    sampler_reset(s, &p);
    sampler_reset(t, &p);
    for (int i = 0; i < 60; i++) a[i] = sampler_pick(s, &p, l).token;
    for (int i = 0; i < 60; i++) CHECK_INT(sampler_pick(t, &p, l).token, a[i]);
    sampler_reset(s, &p);
    for (int i = 0; i < 60; i++) CHECK_INT(sampler_pick(s, &p, l).token, a[i]);
    p.seed = 2;
    sampler_reset(s, &p);
    for (int i = 0; i < 60; i++) { b[i] = sampler_pick(s, &p, l).token; diff += a[i] != b[i]; }
    CHECK(diff > 20);
    sampler_free(s);
    sampler_free(t);
}

static void test_awkward(void)
{
    enum { N = 37 };
    float l[N];
    eng_sampler *s = sampler_new(N);
    for (int kind = 0; kind < 6; kind++)
        for (int set = 0; set < 8; set++) {
            for (int i = 0; i < N; i++)
                l[i] = kind == 0 ? NAN : kind == 1 ? -INFINITY : kind == 2 ? (i == 9 ? 1 : NAN) : kind == 3 ? (i == 9 ? 1e30f : -1e30f) :
                       kind == 4 ? 0 : (i == 9 ? INFINITY : 0);
            knob_values p = PLAIN;
            p.temperature = set & 1 ? 0.8f : 1e-3f;
            p.top_k = set & 2 ? 5 : 0;
            p.top_p = set & 4 ? 0.5f : 1;
            eng_choice c = sampler_pick(s, &p, l);
            CHECK(c.token >= 0 && c.token < N);
            if (kind == 2 || kind == 3 || kind == 5) CHECK_INT(c.token, 9);
        }
    sampler_free(s);
}

static void test_cost(void)
{
    enum { N = 151936 };
    float *l = malloc(N * sizeof *l);
    fill(l, N, 3);                                               /* a head of a few above a broad tail, as models give */
    for (int i = 0; i < 40; i++) l[i * 3000 + 77] = 22 - 0.3f * (float)i;
    static const struct { const char *name; float t; int k; float p, m, rep; } C[] = {
        {"greedy", 0, 0, 1, 0, 1}, {"greedy, penalty", 0, 0, 1, 0, 1.1f}, {"0.2, top-p 0.9, penalty 1.1", 0.2f, 0, 0.9f, 0, 1.1f},
        {"0.6, top-k 20, top-p 0.95", 0.6f, 20, 0.95f, 0, 1}, {"0.8, top-k 40, top-p 0.95, min-p 0.05", 0.8f, 40, 0.95f, 0.05f, 1}, {"all", 1, 0, 1, 0, 1},
    };
    for (size_t c = 0; c < sizeof C / sizeof *C; c++) {
        knob_values p = {.temperature = C[c].t, .top_k = C[c].k, .top_p = C[c].p, .min_p = C[c].m, .repeat_penalty = C[c].rep, .repeat_last_n = 64, .seed = 1};
        eng_sampler *s = sampler_new(N);
        for (int i = 0; i < 200; i++) sampler_accept(s, i * 7);
        int64_t best = INT64_MAX;
        for (int i = 0; i < 15; i++) {
            int64_t t0 = q_now_ns();
            sampler_pick(s, &p, l);
            int64_t t = q_now_ns() - t0;
            if (t < best) best = t;
        }
        printf("# %s: %.3f ms\n", C[c].name, (double)best / 1e6);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        CHECK_MSG(!getenv("QUORUM_LONG") || best < 3000000, "%s takes %.3f ms", C[c].name, (double)best / 1e6);     /* ten times the aim: machines differ */
#endif
        sampler_free(s);
    }
    free(l);
}

static void test_stops(void)
{
#define STOP(list, also, text, want) CHECK_INT(sampling_stop(list, also, text, strlen(text)), want)
    STOP(NULL, NULL, "abc", 0);
    STOP("", NULL, "abc", 0);
    STOP("END", NULL, "the END.", -1 - 4);
    STOP("END", NULL, "the EN", 2);
    STOP("END", NULL, "the E", 1);
    STOP("END", NULL, "the ENE", 1);
    STOP("END,\\n\\n", NULL, "a\n\nEND", -1 - 1);
    STOP("END,\\n\\n", NULL, "a\n", 1);
    STOP("a\\,b", NULL, "x a,b", -1 - 2);
    STOP("a\\,b", NULL, "x a", 1);
    STOP("aab,b", NULL, "aa", 2);
    STOP("x", "<|im_end|>", "y<|im_", 5);
    STOP(NULL, "<|im_end|>", "y<|im_end|>", -1 - 1);
    STOP(",,", NULL, "abc", 0);
    STOP("abab", NULL, "ababa", -1);
    STOP("\\", NULL, "a\\", -1 - 1);
    STOP("\\s", NULL, "a b", -1 - 1);
    STOP("\\sb,\\ c", NULL, "a c", -1 - 1);
}

/* The same bits from every instruction set, for any length and whatever the logits hold. */
static void test_sets(void)
{
    typedef struct set { const char *name; bool has; float (*max)(const float *, int); double (*sum)(const float *, int, float, float, float *); } set;
    set sets[] = {{"base", true, sample_base_max, sample_base_sum}, {"avx2", false, sample_avx2_max, sample_avx2_sum},
                  {"avx512", false, sample_avx512_max, sample_avx512_sum}};
    sets[1].has = q_isa() >= Q_ISA_AVX2;
    sets[2].has = q_isa() >= Q_ISA_AVX512;
    enum { MOST = 5000 };
    static float l[MOST], out[3][MOST];
    for (int round = 0; round < 200; round++) {
        int n = 1 + (int)(rnd() * (MOST - 1));
        fill(l, n, 30);
        for (int k = 0; round % 3 == 0 && k < 5; k++) l[(int)(rnd() * n)] = k % 2 ? NAN : -INFINITY;
        float max[3] = {0}, scale = round % 2 ? 1 : (float)(0.2 + rnd());
        double sum[3] = {0}, exact = 0;
        for (int s = 0; s < 3; s++) {
            if (!sets[s].has) continue;
            max[s] = sets[s].max(l, n);
            sum[s] = sets[s].sum(l, n, max[s], scale, out[s]);
            CHECK_MSG(memcmp(&max[s], &max[0], sizeof max[0]) == 0 && memcmp(&sum[s], &sum[0], sizeof sum[0]) == 0 &&
                      memcmp(out[s], out[0], (size_t)n * sizeof out[0][0]) == 0, "%s differs at %d logits", sets[s].name, n);
        }
        for (int i = 0; i < n; i++) if (l[i] > -INFINITY) exact += exp((double)((l[i] - max[0]) * scale));
        CHECK_MSG(fabs(sum[0] - exact) < 1e-6 * exact, "sum %.12g, exactly %.12g", sum[0], exact);
    }
}

/* The likeliest, against a full sort: with ties, and with what does not count. */
static void test_likeliest(void)
{
    enum { VOCAB = 700, TOP = 20 };
    eng_sampler *s = sampler_new(VOCAB);
    for (int round = 0; round < 40; round++) {
        float l[VOCAB];
        item v[VOCAB];
        double sum = 0;
        int n = 0;
        fill(l, VOCAB, 6);
        for (int i = 0; i < VOCAB; i++) {
            l[i] = round % 4 == 1 ? (float)(int)l[i] : round % 4 == 2 && i % 3 ? -INFINITY : round % 4 == 3 && i % 50 ? NAN : l[i];
            if (l[i] > -INFINITY) {
                v[n++] = (item){ (double)l[i], i };
                sum += exp((double)l[i]);
            }
        }
        qsort(v, (size_t)n, sizeof *v, by_logit);
        for (int max = 0; max <= TOP; max += 5) {
            eng_choice got[TOP];
            CHECK_INT(sampler_likeliest(s, l, got, max), max < n ? max : n);
            for (int i = 0; i < max && i < n; i++) {
                CHECK_MSG(got[i].token == v[i].id, "round %d: %d at place %d, expected %d", round, got[i].token, i, v[i].id);
                CHECK(fabs((double)got[i].logprob - (v[i].l - log(sum))) < 1e-4 && got[i].logprob == sampler_logprob(s, l, got[i].token));
            }
        }
        eng_choice c = sampler_pick(s, &PLAIN, l);
        CHECK(c.logprob == sampler_logprob(s, l, c.token));
    }
    sampler_free(s);
}

int main(void)
{
    RUN(test_filters);
    RUN(test_sets);
    RUN(test_greedy);
    RUN(test_both_ends);
    RUN(test_stop);
    RUN(test_seed);
    RUN(test_awkward);
    RUN(test_cost);
    RUN(test_stops);
    RUN(test_likeliest);
    return TEST_END();
}
