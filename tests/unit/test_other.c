/* Two models on the same text: bits a byte and KL against a plain count by another way, whatever the vocabularies; what fits
 * into memory; what is refused. On checked-in golden models of random weights. */
#include "engine/engine.h"
#include "lab/text.h"
#include "tests/engine_util.h"
#include "tests/test.h"

#include <math.h>

static char *path[3];                    /* two models, and the first with two letters of its vocabulary exchanged */
static q_buf text;

typedef struct plain { const int32_t *token; int n, head, n_vocab; double bits; float *logits; } plain;
static int on_row(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k)
{
    plain *p = user;
    if (p->logits)
        memcpy(p->logits + (size_t)pos * (size_t)p->n_vocab, logits, sizeof *logits * (size_t)p->n_vocab);
    if (pos + 1 >= p->head && pos + 1 < p->n)
        p->bits -= ((double)logits[p->token[pos + 1]] - judge_log_sum(logits, p->n_vocab)) / log(2);
    return 0;
}

/* Of the whole text behind a line break; logits: instead of the text alone, malloc'ed. */
static double plainly(const char *file, const char *spec, float **logits, int *n_tokens, int *n_vocab)
{
    char err[Q_ERRLEN], words[24];
    eng_model *m = NULL;
    CHECK(eng_model_open(file, NULL, &m, err) == 0);
    eng_config *c = eng_config_new(m);
    CHECK(lab_spec(c, spec, NULL, err) == 0);
    eng_tokens t = { 0 };
    CHECK(logits || eng_tokenize(m, "\n", 1, false, &t, err) == 0);
    int head = t.n;
    CHECK(eng_tokenize(m, text.p, text.len, false, &t, err) == 0);
    snprintf(words, sizeof words, "%d", t.n);
    CHECK(eng_config_set(c, "context.length", words, err) == 0);
    plain p = { t.id, t.n, head, eng_model_info(m)->n_vocab, 0, NULL };
    if (logits)
        p.logits = *logits = q_alloc(sizeof **logits * (size_t)t.n * (size_t)p.n_vocab);
    eng_session *s = NULL;
    CHECK(eng_session_new(m, c, &s, err) == 0);
    CHECK(eng_session_eval(s, t.id, t.n, 0, NULL, 0, on_row, &p, err) == 0);
    *n_tokens = t.n - head;
    *n_vocab = p.n_vocab;
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(m);
    eng_tokens_free(&t);
    return p.bits / (double)text.len;
}

static int other(int a, int b, const char *spec_a, const char *spec_b, bool apart, const lab_terms *terms, lab_bits *out, char *err)
{
    lab_two w = { .path = { path[a], path[b] }, .spec = { spec_a, spec_b }, .apart = apart };
    return lab_other(&w, text.p, text.len, terms, out, NULL, err);
}

static void bits_are_those_of_a_plain_count(void)
{
    static const struct { int a, b; const char *spec[2]; bool apart; } what[] = { { 0, 1, { NULL, NULL }, false }, { 0, 1, { "k=1", "k=2" }, true }, { 0, 2, { NULL, NULL }, false } };
    char err[Q_ERRLEN];
    for (size_t w = 0; w < sizeof what / sizeof *what; w++) {
        lab_bits o = { 0 };
        int rc = other(what[w].a, what[w].b, what[w].spec[0], what[w].spec[1], what[w].apart, NULL, &o, err);
        CHECK_MSG(rc == 0, "%s", rc ? err : "");
        for (int s = 0; s < 2 && rc == 0; s++) {
            int tokens, vocabulary;
            double want = plainly(path[s ? what[w].b : what[w].a], what[w].spec[s] ? what[w].spec[s] : "standard", NULL, &tokens, &vocabulary);
            CHECK_MSG(fabs(o.bits[s].mean - want) < 1e-9, "%zu: %.12f, not %.12f", w, o.bits[s].mean, want);
            CHECK(o.bits[s].low <= o.bits[s].mean && o.bits[s].mean <= o.bits[s].high && o.tokens[s] == tokens);
        }
        CHECK(fabs(o.less.mean - (o.bits[1].mean - o.bits[0].mean)) < 1e-9 && o.different == (o.less.low > 0 || o.less.high < 0));
        CHECK(o.by_paragraph && o.blocks >= 12 && o.bytes == (int64_t)text.len);
        CHECK(o.same_vocabulary == (w == 0) && o.compared == (w == 0));
        q_buf said = { 0 };
        lab_bits_say(&o, "x", "y", &said);
        CHECK((strstr(said.p, "no KL: that needs both in memory with one vocabulary") != NULL) == !o.compared);
        q_buf_free(&said);
        lab_bits_free(&o);
    }
}

static void kl_is_that_of_a_plain_count(void)
{
    char err[Q_ERRLEN];
    lab_bits o = { 0 };
    float *x, *y;
    int n, n_vocab;
    plainly(path[0], "standard", &x, &n, &n_vocab);
    plainly(path[1], "standard", &y, &n, &n_vocab);
    double kl = 0;
    for (int i = 0; i + 1 < n; i++) {
        const float *p = x + (size_t)i * (size_t)n_vocab, *q = y + (size_t)i * (size_t)n_vocab;
        double lp = judge_log_sum(p, n_vocab), lq = judge_log_sum(q, n_vocab);
        for (int v = 0; v < n_vocab; v++)
            kl += exp((double)p[v] - lp) * (((double)p[v] - lp) - ((double)q[v] - lq)) / (n - 1);
    }
    CHECK(other(0, 1, NULL, NULL, false, &(lab_terms){ .window = 2000 }, &o, err) == 0);
    CHECK_MSG(fabs(o.kl.kl.mean - kl) < 1e-6 * kl, "%.9f, not %.9f", o.kl.kl.mean, kl);
    CHECK(o.kl.n_layer == 0);
    lab_bits_free(&o);
    free(x);
    free(y);
}

static void contexts_hold_all_of_the_text(void)
{
    char err[Q_ERRLEN];
    for (int window = 16; window <= 400; window *= 5) {
        lab_bits o = { 0 };
        CHECK(other(0, 0, NULL, "kv.type=f32", true, &(lab_terms){ .window = window }, &o, err) == 0);
        eng_model *m = NULL;
        eng_tokens t = { 0 };
        CHECK(eng_model_open(path[0], NULL, &m, err) == 0 && eng_tokenize(m, text.p, text.len, false, &t, err) == 0);
        CHECK_MSG(o.tokens[0] >= t.n && o.tokens[0] == o.tokens[1], "windows of %d: %d tokens of %d", window, o.tokens[0], t.n);
        eng_tokens_free(&t);
        eng_model_free(m);
        lab_bits_free(&o);
    }
    lab_bits o = { 0 };
    CHECK(other(0, 0, NULL, NULL, false, NULL, &o, err) == 0);
    CHECK(!o.different && o.less.low == 0 && o.less.high == 0 && o.kl.kl.high == 0 && o.kl.top1 == 1);
    lab_bits_free(&o);
}

static void room_is_looked_at_first(void)
{
    const uint64_t g = 1ull << 30;
    static const struct { uint64_t a, b, have; int room; const char *says; } what[] = { { 4, 4, 9, 2, "" }, { 4, 4, 8, 1, "one model after the other" },
        { 4, 17, 18, 1, "17.0 GiB" }, { 17, 4, 16, 0, "a smaller quantisation" }, { 0, 0, 1, 2, "" } };
    for (size_t i = 0; i < sizeof what / sizeof *what; i++) {
        q_buf say = { 0 };
        CHECK_INT(lab_room_for(what[i].a * g, what[i].b * g, what[i].have * g, &say), what[i].room);
        CHECK_MSG(*what[i].says ? say.p && strstr(say.p, what[i].says) : say.len == 0, "%zu: %s", i, say.p ? say.p : "");
        q_buf_free(&say);
    }
}

static bool three(void *user, int done, int total) { return done <= total && --*(int *)user > 0; }

static void what_cannot_be_compared_is_said(void)
{
    char err[Q_ERRLEN];
    lab_bits o = { 0 };
    int opening = 0, reading = 0;
    for (int at = 1; at <= 9; at++) {    /* at each question, of which the first are asked while a model opens */
        int left = at;
        CHECK_MSG(other(0, 1, NULL, NULL, false, &(lab_terms){ .go_on = three, .user = &left }, &o, err) == Q_CANCEL, "%d", at);
        opening += strstr(err, "opening ") != NULL;
        reading += strstr(err, "stopped after") != NULL;
    }
    CHECK_MSG(opening >= 4 && reading >= 1 && opening + reading == 9, "%d, %d", opening, reading);
    CHECK(other(0, 1, "k=99", NULL, false, NULL, &o, err) < 0 && strstr(err, "1 to 12"));
    CHECK(lab_other(&(lab_two){ .path = { path[0], path[1] } }, "short", 5, NULL, &o, NULL, err) == Q_RANGE && strstr(err, "at least 64"));
    CHECK(lab_other(&(lab_two){ .path = { path[0], "/nonesuch/file" } }, text.p, text.len, NULL, &o, NULL, err) < 0 && strstr(err, "nonesuch"));
    CHECK(!o.model[0] && !o.model[1]);
}

/* Where "e" stands in the vocabulary stands "o", and "o" where it stood. */
static void exchange(const char *from, const char *to)
{
    char err[Q_ERRLEN];
    q_buf b = { 0 };
    static const char one[] = "\1\0\0\0\0\0\0\0e", two[] = "\1\0\0\0\0\0\0\0o";
    CHECK(q_read_file(from, &b, (size_t)1 << 28, err) == 0);
    char *x = memmem(b.p, b.len, one, 9), *y = memmem(b.p, b.len, two, 9);
    CHECK(x && y);
    if (x && y)
        x[8] = 'o', y[8] = 'e';
    CHECK(q_write_file_atomic(to, b.p, b.len, err) == 0);
    q_buf_free(&b);
}

int main(void)
{
    path[0] = util_model("qwen3moe");
    path[1] = util_model("glm4moe");
    path[2] = q_printf("%s.exchanged", path[0]);
    for (int i = 0; i < 40; i++)
        q_buf_printf(&text, "river %d over the stone %d, and %d of them.%s", i * 7, i * i, 40 - i, i % 3 ? " " : "\n\n");
    exchange(path[0], path[2]);
    RUN(bits_are_those_of_a_plain_count);
    RUN(kl_is_that_of_a_plain_count);
    RUN(contexts_hold_all_of_the_text);
    RUN(room_is_looked_at_first);
    RUN(what_cannot_be_compared_is_said);
    for (int i = 0; i < 3; i++) {
        remove(path[i]);
        free(path[i]);
    }
    q_buf_free(&text);
    return TEST_END();
}
