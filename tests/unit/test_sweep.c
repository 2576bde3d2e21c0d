/* One knob at several values: each row's numbers are those of a comparison of that value with the own one; what is refused is
 * said and left out; ranges, and what a sweep cannot see. On a checked-in golden model of random weights. */
#include "engine/engine.h"
#include "lab/text.h"
#include "tests/engine_util.h"
#include "tests/test.h"

#include <math.h>

static eng_model *m;
static q_buf text;

static int sweep(const char *knob, const char *values, const char *set, const lab_terms *terms, lab_swept *out, char *err)
{
    eng_config *c = eng_config_new(m);
    CHECK(!set || lab_spec(c, set, NULL, err) == 0);
    int rc = lab_sweep(m, c, &(lab_range){ .knob = knob, .values = values }, text.p, text.len, terms, out, err);
    eng_config_free(c);
    return rc;
}

static void rows_are_those_of_comparisons(void)
{
    static const struct { const char *knob, *values, *set, *own; int rows; } what[] = {
        { "k", "1,2,4,12", NULL, "4", 4 }, { "experts.temperature", "0.5..2/0.5", "k=2", "1", 4 }, { "num_experts_per_tok", "2", "experts.min_p=0.1", "4", 2 },
        { "kv.type", "f32,q8_0", NULL, "f16", 3 }, { "rope.theta", "5e4", NULL, "", 2 }, { "threads", "1,2", NULL, "", 0 } };
    char err[Q_ERRLEN];
    for (size_t w = 0; w < sizeof what / sizeof *what; w++) {
        int window = w % 2 ? 90 : 1000;
        lab_swept s = { .n = 0 };
        int rc = sweep(what[w].knob, what[w].values, what[w].set, &(lab_terms){ .window = window }, &s, err), owns = 0;
        CHECK_MSG(rc == 0, "%s: %s", what[w].knob, rc ? err : "");
        if (what[w].rows)
            CHECK_INT(s.n, what[w].rows);
        for (int i = 0; i < s.n; i++) {
            lab_swept_row *r = &s.row[i];
            lab_compared c = { 0 };
            eng_config *own = eng_config_new(m), *other;
            CHECK(!what[w].set || lab_spec(own, what[w].set, NULL, err) == 0);
            CHECK(eng_config_set(own, s.knob, "default", err) == 0);
            other = eng_config_copy(own);
            CHECK_MSG(eng_config_set(other, s.knob, r->value, err) == 0, "%s %s: %s", s.knob, r->value, err);
            CHECK(lab_compare(m, own, other, text.p, text.len, &(lab_terms){ .window = window }, &c, err) == 0);
            CHECK_MSG(fabs(r->logp.mean - c.logp[1]) < 1e-9 && fabs(r->over.mean - c.dlogp.mean) < 1e-5 && fabs(r->over.low - c.dlogp.low) < 1e-5,
                      "%s %s: %.9f, not %.9f", s.knob, r->value, r->logp.mean, c.logp[1]);
            CHECK(r->top1 == c.top1 && r->bytes == c.bytes[1] && s.tokens == c.n && r->rate > 0);
            CHECK(r->logp.low <= r->logp.mean && r->logp.mean <= r->logp.high);
            owns += r->own;
            CHECK(!r->own || (r->over.low == 0 && r->over.high == 0 && r->top1 == 1));
            lab_compared_free(&c);
            eng_config_free(own);
            eng_config_free(other);
        }
        CHECK_INT(owns, 1);
        if (*what[w].own)
            CHECK_STR(s.own, what[w].own);
        lab_swept_free(&s);
    }
}

static void what_is_refused_is_said_and_left_out(void)
{
    char err[Q_ERRLEN];
    lab_swept s = { .n = 0 };
    CHECK(sweep("experts.k", "0..14/7,3", NULL, NULL, &s, err) == 0);
    static const char *const want[] = { "0", "4", "7", "14", "3" };  /* the own value before the first greater one */
    CHECK_INT(s.n, 5);
    for (int i = 0; i < s.n && i < 5; i++) {
        CHECK_STR(s.row[i].value, want[i]);
        bool out = i == 0 || i == 3;
        CHECK_MSG(out == (s.row[i].refused != NULL) && (!out || strstr(s.row[i].refused, "1 to 12")), "%s: %s", want[i], s.row[i].refused ? s.row[i].refused : "taken");
    }
    q_buf words = { 0 }, csv = { 0 };
    lab_swept_say(&s, LAB_WORDS, &words);
    CHECK(strstr(words.p, "0 is left out: experts.k") && strstr(words.p, "14 is left out") && strstr(words.p, "No controlled study"));
    CHECK(strstr(words.p, "Lower perplexity is not better answers"));
    for (const char *p = words.p; *p; p += strcspn(p, "\n"), p += *p == '\n')
        if (!strstr(p, " is left out: ") || strcspn(p, "\n") < (size_t)(strstr(p, " is left out: ") - p)) {
            int cells = 0;
            for (const char *c = p; *c && *c != '\n'; c++)
                cells += ((unsigned char)*c & 0xC0) != 0x80;
            CHECK_MSG(cells <= 75, "%d: %.*s", cells, (int)strcspn(p, "\n"), p);
        }
    lab_swept_say(&s, LAB_CSV, &csv);
    CHECK(strstr(csv.p, "\nexperts.k,4,1,") && strstr(csv.p, "\nexperts.k,14,,,,,,,,,,,\"experts.k is a whole number"));
    q_buf_free(&words);
    q_buf_free(&csv);
    lab_swept_free(&s);
    CHECK(sweep("experts.k", "1..2", NULL, NULL, &s, err) == 0);      /* nothing above the own value: nothing to be said of it */
    lab_swept_say(&s, LAB_WORDS, &words);
    CHECK(!strstr(words.p, "No controlled study"));
    q_buf_free(&words);
    lab_swept_free(&s);
}

static bool three(void *user, int done, int total) { return done <= total && --*(int *)user > 0; }

static void what_cannot_be_swept_is_said(void)
{
    static const struct { const char *knob, *values, *says; } bad[] = { { "nose", "1", "no knob nose" }, { "experts.k", "13..20", "1 to 12" }, { "experts.k", "", "or 1..16" },
        { "experts.k", "1..", "or 1..16" }, { "experts.k", "..4", "or 1..16" }, { "experts.k", "1..4/0", "or 1..16" }, { "experts.k", "1..4/x", "or 1..16" },
        { "experts.k", "1..nan", "or 1..16" }, { "experts.k", "1..inf", "or 1..16" }, { "experts.k", "1,,2", "or 1..16" }, { "experts.k", "1..1e18", "more than 64" },
        { "experts.k", "1..40,1..40", "more than 64" }, { "experts.k", "111111111111111111111111111111111111111111111111111111111111111111", "or 1..16" },
        { "experts.ban", "1", "a list" }, { "sampler.temperature", "0..1", "does not act" }, { "context.length", "64", "does not act" },
        { "vocab_size", "4", "fixed by the weights" }, { "rope.factor", "2", "does nothing here" } };
    char err[Q_ERRLEN];
    lab_swept s = { .n = 0 };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int rc = sweep(bad[i].knob, bad[i].values, NULL, NULL, &s, err);
        CHECK_MSG(rc < 0 && strstr(err, bad[i].says), "%s %s: %s", bad[i].knob, bad[i].values, rc ? err : "taken");
        CHECK(!s.row && s.n == 0);
    }
    int left = 5;
    CHECK(sweep("k", "1,2", NULL, &(lab_terms){ .window = 64, .go_on = three, .user = &left }, &s, err) == Q_CANCEL && strstr(err, "stopped after 64 of "));
    CHECK(!s.row);
}

int main(void)
{
    char *path = util_model("qwen3moe"), err[Q_ERRLEN];
    if (eng_model_open(path, NULL, &m, err) != 0) {
        printf("not ok test_sweep: %s\n", err);
        return 1;
    }
    remove(path);
    free(path);
    for (int i = 0; i < 18; i++)
        q_buf_printf(&text, "river %d over the stone %d, and %d of them.%s", i * 7, i * i, 40 - i, i % 3 ? " " : "\n\n");
    RUN(rows_are_those_of_comparisons);
    RUN(what_is_refused_is_said_and_left_out);
    RUN(what_cannot_be_swept_is_said);
    q_buf_free(&text);
    eng_model_free(m);
    return TEST_END();
}
