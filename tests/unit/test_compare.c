/* Two configurations on the same tokens: numbers against a plain count by another way, no difference where there is none,
 * and none missed where there is one. On a checked-in golden model of random weights. */
#include "engine/engine.h"
#include "engine/text.h"
#include "lab/text.h"
#include "tests/engine_util.h"
#include "tests/test.h"

#include <math.h>

static eng_model *m;

static char *text_of(int seed, int words)
{
    static const char *const word[] = { "river", "stone", "expert", "of", "the", "a", "layer", "seven", "and", "night", "over", "is", "код", "so" };
    q_buf b = { 0 };
    for (int i = 0; i < words; i++) {
        uint64_t h = q_mix64((uint64_t)seed * 1000003, (uint64_t)i);
        q_buf_puts(&b, word[h % (sizeof word / sizeof *word)]);
        q_buf_puts(&b, h % 11 == 0 ? ".\n\n" : " ");
    }
    return q_buf_take(&b);
}

static eng_config *config_of(const char *spec)
{
    char err[Q_ERRLEN];
    eng_config *c = eng_config_new(m);
    int rc = lab_spec(c, spec, NULL, err);
    CHECK_MSG(rc == 0, "%s: %s", spec, rc ? err : "");
    return c;
}

static bool compare(const char *a, const char *b, const char *text, const lab_terms *terms, lab_compared *out)
{
    char err[Q_ERRLEN];
    eng_config *x = config_of(a), *y = config_of(b);
    int rc = lab_compare(m, x, y, text, strlen(text), terms, out, err);
    CHECK_MSG(rc == 0, "%s against %s: %s", a, b, rc ? err : "");
    eng_config_free(x);
    eng_config_free(y);
    return rc == 0;
}

/* The same from long doubles and the plain formula. */
static void distances_are_exact(void)
{
    enum { N = 500 };
    float p[N], q[N];
    for (int round = 0; round < 40; round++) {
        double spread = pow(10, -5 + round * .15);
        long double sp = 0, sq = 0, kl = 0;
        for (int i = 0; i < N; i++) {
            p[i] = (float)((double)(q_mix64((uint64_t)round, (uint64_t)i) % 20000) / 1000 - 10);
            q[i] = p[i] + (float)(spread * ((double)(q_mix64(77 + (uint64_t)round, (uint64_t)i) % 2001) / 1000 - 1));
            sp += expl((long double)p[i]);
            sq += expl((long double)q[i]);
        }
        int best_p = 0, best_q = 0;
        for (int i = 0; i < N; i++) {
            long double lp = (long double)p[i] - logl(sp), lq = (long double)q[i] - logl(sq);
            kl += expl(lp) * (lp - lq);
            best_p = p[i] > p[best_p] ? i : best_p;
            best_q = q[i] > q[best_q] ? i : best_q;
        }
        bool top;
        double got = judge_kl(p, q, N, judge_log_sum(p, N), judge_log_sum(q, N), &top);
        CHECK_MSG(fabs(got - (double)kl) <= 1e-6 * (double)kl + 1e-18, "spread %g: %g, not %g", spread, got, (double)kl);
        CHECK(top == (best_p == best_q) && got > 0);
        CHECK(judge_kl(p, p, N, judge_log_sum(p, N), judge_log_sum(p, N), &top) == 0 && top);
    }
    for (int i = 0; i < N; i++)
        p[i] = i ? -INFINITY : 0, q[i] = i == 1 ? 30 : 0;        /* what is certain, what is banned */
    bool top;
    CHECK(judge_log_sum(p, N) == 0);
    double far = judge_kl(p, q, N, 0, judge_log_sum(q, N), &top);
    CHECK_MSG(fabs(far - judge_log_sum(q, N)) < 1e-9 && !top, "%g", far);
}

/* Of 400 samples of 40 blocks the 95% interval holds the true mean about 95 times in a hundred; tokens of a block alike. */
static void intervals_hold_the_mean(void)
{
    enum { BLOCKS = 40, A_BLOCK = 5, N = BLOCKS * A_BLOCK };
    double v[N];
    int block[N], held = 0;
    uint64_t random[4] = { 9, 8, 7, 6 };
    for (int i = 0; i < 16; i++)
        q_random(random);
    for (int sample = 0; sample < 400; sample++) {
        for (int b = 0; b < BLOCKS; b++) {
            double x = 0;
            for (int k = 0; k < 12; k++)
                x += (double)(q_random(random) >> 11) * 0x1p-53;
            for (int i = 0; i < A_BLOCK; i++) {
                v[b * A_BLOCK + i] = x - 6 + 3;                  /* about normal, mean 3, deviation 1 */
                block[b * A_BLOCK + i] = b;
            }
        }
        lab_interval in = judge_mean(v, block, N, BLOCKS);
        held += in.low <= 3 && in.high >= 3;
        CHECK(in.low <= in.mean && in.mean <= in.high);
    }
    CHECK_MSG(held >= 360 && held <= 396, "%d of 400", held);
    for (int i = 0; i < N; i++)
        v[i] = 2;
    lab_interval flat = judge_mean(v, block, N, BLOCKS);
    CHECK(flat.low == 2 && flat.mean == 2 && flat.high == 2);
}

typedef struct plain { const int32_t *token; int n, n_vocab; double logp; } plain;
static int on_row(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k)
{
    plain *p = user;
    if (pos + 1 < p->n)
        p->logp += (double)logits[p->token[pos + 1]] - judge_log_sum(logits, p->n_vocab);
    return 0;
}

/* Mean log-probability of the text by eng_session_eval, window by window. */
static double plainly(const char *spec, const char *text, int window)
{
    char err[Q_ERRLEN], words[24];
    eng_config *c = config_of(spec);
    eng_tokens t = { 0 };
    CHECK(eng_tokenize(m, text, strlen(text), false, &t, err) == 0);
    snprintf(words, sizeof words, "%d", window);
    CHECK(eng_config_set(c, "context.length", words, err) == 0);
    double sum = 0;
    int count = 0;
    for (int from = 0; from < t.n; from += window) {
        int n = t.n - from < window ? t.n - from : window;
        plain p = { t.id + from, n, eng_model_info(m)->n_vocab, 0 };
        eng_session *s = NULL;
        CHECK(eng_session_new(m, c, &s, err) == 0);
        CHECK(eng_session_eval(s, t.id + from, n, 0, NULL, 0, on_row, &p, err) == 0);
        eng_session_free(s);
        sum += p.logp;
        count += n - 1;
    }
    eng_tokens_free(&t);
    eng_config_free(c);
    return sum / count;
}

static void numbers_are_those_of_a_plain_count(void)
{
    char *text = text_of(3, 120);
    static const char *const pair[][2] = { { "standard", "k=1" }, { "k=2", "kv.type=f32" }, { "rope.theta=5e4", "norm.eps=0.01" } };
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++)
        for (int window = 50; window <= 1000; window += 475) {
            lab_compared c = { 0 };
            if (!compare(pair[i][0], pair[i][1], text, &(lab_terms){ .window = window }, &c))
                continue;
            for (int s = 0; s < 2; s++) {
                double want = plainly(pair[i][s], text, window);
                CHECK_MSG(fabs(c.logp[s] - want) < 1e-9, "%s, windows of %d: %.12f, not %.12f", pair[i][s], window, c.logp[s], want);
            }
            CHECK(fabs(c.dlogp.mean - (c.logp[1] - c.logp[0])) < 1e-5 && c.kl.mean > 0);
            lab_compared_free(&c);
        }
    free(text);
}

static void nothing_is_seen_where_nothing_is(void)
{
    char own[48];
    snprintf(own, sizeof own, "k=%d,sampler.top_k=3", eng_model_info(m)->n_expert_used);
    for (int i = 0; i < 10; i++) {
        char *text = text_of(i, 90);
        lab_compared c = { 0 };
        if (compare("standard", i % 2 ? "standard" : own, text, NULL, &c)) {     /* a sampler acts on no distribution of the model */
            CHECK(!c.different && c.kl.mean == 0 && c.kl.high == 0 && c.dlogp.mean == 0 && c.top1 == 1);
            for (int l = 0; l < c.n_layer; l++)
                CHECK(c.overlap[l] == 1);
        }
        lab_compared_free(&c);
        if (compare("standard", "k=1", text, NULL, &c)) {
            CHECK_MSG(c.different && c.kl.low > c.noise.high, "text %d: %g to %g, noise up to %g", i, c.kl.low, c.kl.high, c.noise.high);
            CHECK(c.bytes[1] < c.bytes[0]);
            CHECK_INT(c.by_paragraph ? 1 : 0, c.blocks != 24);
        }
        lab_compared_free(&c);
        free(text);
    }
}

/* What is known of more experts than the trained number is said where one side runs them, and only there. */
static void what_is_known_is_said(void)
{
    static const struct { const char *a, *b; bool more; } what[] = { { "k=1", "standard", false }, { "standard", "k=5", true }, { "k=12", "k=1", true }, { "k=4,4,4", "eps=1e-3", false } };
    char *text = text_of(4, 60);
    for (size_t i = 0; i < sizeof what / sizeof *what; i++) {
        lab_compared c = { 0 };
        q_buf said = { 0 };
        if (!compare(what[i].a, what[i].b, text, NULL, &c))
            continue;
        lab_compared_say(&c, what[i].a, what[i].b, &said);
        CHECK_MSG(c.more_experts == what[i].more && (strstr(said.p, "No controlled study") != NULL) == what[i].more, "%s against %s:\n%s", what[i].a, what[i].b, said.p);
        q_buf_free(&said);
        lab_compared_free(&c);
    }
    free(text);
}

/* A bias of 0.01 on one expert: found, or below noise, and never nothing. */
static void a_small_change_is_not_nothing(void)
{
    char *text = text_of(5, 90);
    lab_compared c = { 0 };
    if (compare("standard", "experts.bias=1:3=0.01", text, NULL, &c)) {
        CHECK_MSG(c.kl.mean > 0 && c.kl.low > 0, "%g", c.kl.mean);
        CHECK(c.different == (c.kl.low > c.noise.high));
    }
    lab_compared_free(&c);
    free(text);
}

/* Side by side the text is whole: also the tokens that nothing foretells. */
static void columns_begin_with_the_first_token(void)
{
    char *text = text_of(6, 120), err[Q_ERRLEN];
    eng_tokens t = { 0 };
    CHECK(eng_tokenize(m, text, strlen(text), false, &t, err) == 0);
    for (int window = 50; window <= 1000; window += 950) {
        lab_compared c = { 0 };
        if (!compare("standard", "k=1", text, &(lab_terms){ .window = window }, &c))
            continue;
        lab_columns k;
        columns_of_text(m, &c, "standard", "k=1", &k);
        for (int s = 0; s < 2; s++) {
            q_buf all = { 0 };
            for (int i = 0; i < k.side[s].n; i++) {
                q_buf_puts(&all, k.side[s].piece[i].text);
                CHECK(isnan(k.side[s].piece[i].over) == (i % window == 0));
            }
            CHECK_MSG(all.p && strcmp(all.p, text) == 0, "%s\nnot\n%s", all.p ? all.p : "", text);
            CHECK_INT(k.side[s].n, t.n);
            q_buf_free(&all);
        }
        int first = 0;
        while (first < c.n && c.token[first].same_top)
            first++;
        CHECK(k.first >= 0 && c.n + (t.n + window - 1) / window == t.n);
        CHECK_INT(k.first, first + 1 + first / (window - 1));
        lab_columns_free(&k);
        lab_compared_free(&c);
    }
    eng_tokens_free(&t);
    free(text);
}

static bool three(void *user, int done, int total) { return --*(int *)user > 0; }

static void what_cannot_be_compared_is_said(void)
{
    char err[Q_ERRLEN], *text = text_of(5, 300);
    q_buf said = { 0 };
    static const struct { const char *spec, *says; } bad[] = { { "fast-ish", "there are standard, fast" }, { "k=99", "1 to 12" }, { "nose=4", "no knob" },
        { "k=4,rope.theta=x", "rope.theta" }, { "=4", "or settings" }, { "k", "no brain k" }, { "../x", "letters, digits" } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        eng_config *c = eng_config_new(m);
        int rc = lab_spec(c, bad[i].spec, &said, err);
        CHECK_MSG(rc < 0 && strstr(err, bad[i].says), "%s: %s", bad[i].spec, rc ? err : "taken");
        CHECK_MSG(eng_config_is_default(c, "experts.k"), "%s was half taken", bad[i].spec);
        eng_config_free(c);
    }
    eng_config *c = config_of("experts.bias=1:3=0.5,1:4=-1,k=2"), *d = eng_config_new(m);
    q_buf b = { 0 };
    CHECK_STR(eng_config_get(c, "experts.bias", &b), "1:3=0.5,1:4=-1");
    CHECK_STR(eng_config_get(c, "experts.k", &b), "2");
    lab_compared out = { 0 };
    CHECK(lab_compare(m, c, d, "too short", 9, NULL, &out, err) == Q_RANGE && strstr(err, "at least 32"));
    int left = 3;
    CHECK(lab_compare(m, c, d, text, strlen(text), &(lab_terms){ .window = 40, .go_on = three, .user = &left }, &out, err) == Q_CANCEL);
    CHECK(out.token == NULL && out.n == 0);
    q_buf_free(&b);
    q_buf_free(&said);
    eng_config_free(c);
    eng_config_free(d);
    free(text);
}

static bool open_model(const char *arch)
{
    char *path = util_model(arch), err[Q_ERRLEN];
    int rc = eng_model_open(path, NULL, &m, err);
    if (rc)
        printf("not ok test_compare: %s\n", err);
    remove(path);
    free(path);
    return rc == Q_OK;
}

/* Log-probability of token k of a talk under a configuration, read anew with nothing before it. */
typedef struct talk_sum { const lab_talk *t; int n_vocab; double sum; int n; } talk_sum;
static int talk_row(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k)
{
    talk_sum *p = user;
    if (pos + 1 < p->t->n && p->t->mask[pos + 1]) {
        p->sum += (double)logits[p->t->token[pos + 1]] - judge_log_sum(logits, p->n_vocab);
        p->n++;
    }
    return 0;
}

static double talks_by_hand(const eng_config *c, const lab_talk *t, int n, int *judged)
{
    char err[Q_ERRLEN];
    talk_sum p = { .n_vocab = eng_model_info(m)->n_vocab };
    for (int i = 0; i < n; i++) {
        eng_session *s;
        p.t = &t[i];
        CHECK(eng_session_new(m, c, &s, err) == 0);
        CHECK(eng_session_eval(s, t[i].token, t[i].n, 0, NULL, 0, talk_row, &p, err) == 0);
        eng_session_free(s);
    }
    *judged = p.n;
    return p.n ? p.sum / p.n : 0;
}

static void conversations_are_contexts_of_their_own(void)
{
    enum { TALKS = 5 };
    lab_talk talk[TALKS];
    eng_tokens t[TALKS] = { 0 };
    uint8_t mask[TALKS][200] = { { 0 } };
    char err[Q_ERRLEN];
    for (int i = 0; i < TALKS; i++) {
        char *text = text_of(50 + i, 10 + 7 * i);
        CHECK(eng_tokenize(m, text, strlen(text), false, &t[i], err) == 0 && t[i].n < 200);
        for (int k = 0; k < t[i].n; k++)
            mask[i][k] = i != 2 && k % 3 != 1;           /* the first token of all, which nothing foretells, is named too; talk 2 has none */
        talk[i] = (lab_talk){ t[i].id, mask[i], t[i].n };
        free(text);
    }
    eng_config *a = config_of("k=2"), *b = config_of("k=1");
    lab_compared out;
    CHECK(lab_compare_talks(m, a, b, talk, TALKS, NULL, &out, err) == 0);
    int n[2];
    double by_hand[2] = { talks_by_hand(a, talk, TALKS, &n[0]), talks_by_hand(b, talk, TALKS, &n[1]) };
    CHECK_INT(out.n, n[0]);
    CHECK_INT(out.blocks, TALKS - 1);
    CHECK_MSG(fabs(out.logp[0] - by_hand[0]) < 1e-6 && fabs(out.logp[1] - by_hand[1]) < 1e-6, "%g %g, not %g %g", out.logp[0], out.logp[1], by_hand[0], by_hand[1]);
    CHECK_MSG(fabs(out.dlogp.mean - (by_hand[1] - by_hand[0])) < 1e-6 && out.dlogp.low < out.dlogp.mean && out.dlogp.mean < out.dlogp.high, "%g", out.dlogp.mean);
    lab_compared_free(&out);
    CHECK(lab_compare_talks(m, a, a, talk, TALKS, NULL, &out, err) == 0 && !out.different && out.dlogp.low == 0 && out.dlogp.high == 0);
    lab_compared_free(&out);
    memset(mask, 0, sizeof mask);
    CHECK(lab_compare_talks(m, a, b, talk, TALKS, NULL, &out, err) == Q_RANGE && strstr(err, "no answer"));
    eng_config_free(a);
    eng_config_free(b);
    for (int i = 0; i < TALKS; i++)
        eng_tokens_free(&t[i]);
}

int main(void)
{
    RUN(distances_are_exact);
    RUN(intervals_hold_the_mean);
    if (!open_model("qwen3moe"))
        return 1;
    RUN(numbers_are_those_of_a_plain_count);
    RUN(nothing_is_seen_where_nothing_is);
    RUN(what_is_known_is_said);
    RUN(a_small_change_is_not_nothing);
    RUN(what_cannot_be_compared_is_said);
    RUN(conversations_are_contexts_of_their_own);
    RUN(columns_begin_with_the_first_token);
    eng_model_free(m);
    if (!open_model("qwen3next"))                    /* layers that go on from a state: two of them, in step */
        return 1;
    RUN(numbers_are_those_of_a_plain_count);
    RUN(nothing_is_seen_where_nothing_is);
    RUN(columns_begin_with_the_first_token);
    eng_model_free(m);
    return TEST_END();
}
