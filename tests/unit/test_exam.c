/* exam: questions are the same bytes everywhere and have their answers, samples are graded right and spoilt ones wrong, a hundred replies are graded
 * as a person graded them, and the statistics are those of tables and of simulation. No model. */
#include "exam/parts.h"
#include "lab/lab.h"
#include "tests/test.h"

static char err[Q_ERRLEN];

/* Of every task, level and language, questions 0 to 3 under seed 1, in the order of the list. A change of a task changes every number that
 * was measured with it: then this is renewed, and CHANGELOG.md says so. */
static const char all_questions[] = "41776bec4a9dee899a8d014619fcf91e67d10b873d0162f06638689dad7927f4";

static void test_same_bytes(void)
{
    int n;
    const exam_task *t = exam_tasks(&n);
    q_buf all = { 0 };
    for (int i = 0; i < n; i++)
        for (int level = 1; level <= EXAM_LEVELS; level++)
            for (int lang = 0; lang < 2; lang++)
                for (int k = 0; k < 4; k++) {
                    exam_item q;
                    CHECK_INT(exam_make(t[i].name, level, (enum exam_lang)lang, 1, k, &q, err), Q_OK);
                    CHECK(q_utf8_valid(q.question, strlen(q.question)));
                    q_buf_puts(&all, q.question);
                    q_buf_puts(&all, q.answer);
                    for (int r = 0; r < EXAM_RUNS; r++) q_buf_puts(&all, q.out[r] ? q.out[r] : "");
                    exam_item_free(&q);
                }
    char hex[65];
    q_sha256(all.p, all.len, hex);
    CHECK_STR(hex, all_questions);
    q_buf_free(&all);
}

static void test_samples_are_right(void)
{
    int n;
    const exam_task *t = exam_tasks(&n);
    exam_bench *b = exam_bench_new(err);
    if (!b) SKIP("exam_code", err);
    for (int i = 0; i < n; i++)
        for (int level = 1; level <= EXAM_LEVELS; level++)
            for (int k = 0; k < (strcmp(t[i].name, "code") ? 20 : 2); k++) {
                exam_item q;
                exam_make(t[i].name, level, k % 2 ? EXAM_RU : EXAM_EN, 7, k, &q, err);
                char *read = NULL, *spoilt = q_printf(q.kind == EXAM_FORM ? "%s\nand one line more 7" : "%s", q.sample);
                enum exam_mark m = exam_grade(&q, q.sample, b, &read);
                CHECK_MSG(m == EXAM_RIGHT || (q.kind == EXAM_CODE && !b && m == EXAM_SKIPPED), "%s level %d number %d: %d, read \"%s\" of:\n%s\n", q.task, level, k, m, read ? read : "", q.sample);
                free(read);
                if (q.kind == EXAM_FORM) CHECK_INT(exam_grade(&q, spoilt, b, NULL), EXAM_WRONG);
                if (q.kind == EXAM_NUMBER) {
                    free(spoilt);
                    spoilt = q_printf("Answer: %lld", atoll(q.answer) + 1);
                    CHECK_INT(exam_grade(&q, spoilt, b, NULL), EXAM_WRONG);
                }
                if (q.kind == EXAM_CODE && b) CHECK_INT(exam_grade(&q, "```python\nprint(-1)\n```", b, NULL), EXAM_WRONG);
                free(spoilt);
                exam_item_free(&q);
            }
    exam_bench_free(b);
}

/* Whatever a story gives away, finds or ends with, it is one thing at least. */
static void test_stories_have_something(void)
{
    static const char *const nothing[] = { " away 0 ", " finds 0 ", "отдал 0 ", "отдала 0 ", "ещё 0 " };
    for (int level = 1; level <= EXAM_LEVELS; level++)
        for (int k = 0; k < 2000; k++) {
            exam_item q;
            exam_make("story", level, k % 2 ? EXAM_RU : EXAM_EN, 3, k, &q, err);
            bool good = atoll(q.answer) > 0;
            for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++) good &= !strstr(q.question, nothing[i]);
            CHECK_MSG(good, "level %d, %d: %s -> %s\n", level, k, q.question, q.answer);
            exam_item_free(&q);
        }
}

static void test_refused(void)
{
    exam_item q;
    CHECK_INT(exam_make("grids", 1, EXAM_EN, 1, 0, &q, err), Q_NOTFOUND);
    CHECK(strstr(err, "arithmetic") && strstr(err, "form"));
    CHECK_INT(exam_make("grid", 6, EXAM_EN, 1, 0, &q, err), Q_RANGE);
}

static void test_russian_forms(void)
{
    static const struct { int n; const char *word; } row[] = { { 1, "яблоко" }, { 2, "яблока" }, { 4, "яблока" }, { 5, "яблок" }, { 11, "яблок" }, { 12, "яблок" }, { 14, "яблок" }, { 21, "яблоко" },
                                                               { 22, "яблока" }, { 25, "яблок" }, { 100, "яблок" }, { 101, "яблоко" }, { 111, "яблок" }, { 112, "яблок" }, { 0, "яблок" } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) CHECK_STR(draw_form(row[i].n, "яблоко", "яблока", "яблок"), row[i].word);
    q_buf b = { 0 };
    put_count(&b, EXAM_RU, 21, &draw_things[1]);
    CHECK_STR(b.p, "21 грушу");
    q_buf_free(&b);
}

/* A reply that is cut within a character: nothing behind it is looked at, and words before it count. */
static void test_a_cut_reply_is_read_to_its_end(void)
{
    static const char *const cut[] = { "one two \xE2", "one two \xE2\x80", "\xE2", "one two \xD0" };
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        const exam_item q = { .task = "x", .kind = EXAM_FORM, .form = { .lines = 1, .words = 2, .keyword = (char *)"one", .times = 1 } };
        char *reply = q_strdup(cut[i]);
        CHECK_INT(exam_grade(&q, reply, NULL, NULL), i < 2 ? EXAM_RIGHT : EXAM_WRONG);
        free(reply);
    }
}

/* Replies as models give them, and the mark that a careful person gives under the rule that the question states. */
typedef struct graded { int kind; const char *want, *reply; int mark; } graded;
enum { N = EXAM_NUMBER, W = EXAM_WORDS, L = EXAM_LIST };
enum { OK = EXAM_RIGHT, NO = EXAM_WRONG, UN = EXAM_UNREAD };
static const graded by_hand[] = {
    { N, "42", "Answer: 42", OK }, { N, "42", "answer: 42.", OK }, { N, "42", "**Answer:** 42", OK }, { N, "42", "**Answer: 42**", OK }, { N, "42", "Answer: **42**", OK },
    { N, "42", "ANSWER: 42", OK }, { N, "42", "Answer: 43", NO }, { N, "42", "Answer: $42$", OK }, { N, "42", "Answer: \\boxed{42}", OK }, { N, "42", "So we get \\boxed{42}.", OK },
    { N, "42", "The total is 42.", OK }, { N, "42", "40 + 2 = 42", OK }, { N, "42", "First 40, then 2 more.\nAnswer: 42 apples", OK }, { N, "42", "Answer: 40 + 2 = 42", OK }, { N, "42", "Answer: forty-two", UN },
    { N, "42", "I do not know.", UN }, { N, "42", "", UN }, { N, "42", "Answer:", UN }, { N, "42", "Answer:\n42", OK }, { N, "42", "Answer:\n\n**42**", OK },
    { N, "42", "Answer: 41\nWait, that is wrong.\nAnswer: 42", OK }, { N, "42", "Answer: 42\nWait, let me check.\nAnswer: 41", NO }, { N, "42", "Answer: 41 or 42", UN }, { N, "42", "Answer: 42.0", OK }, { N, "42", "Answer: 42.5", NO },
    { N, "1234", "Answer: 1,234", OK }, { N, "1234", "Answer: 1 234", OK }, { N, "1234", "Ответ: 1\u00A0234", OK }, { N, "1234567", "Answer: 1,234,567", OK }, { N, "1234", "Answer: 1234", OK },
    { N, "1234", "Answer: 1.234", NO }, { N, "-7", "Answer: -7", OK }, { N, "-7", "Answer: \u22127", OK }, { N, "7", "Answer: -7", NO }, { N, "-7", "Answer: 7", NO },
    { N, "7", "Answer: 10-3=7", OK }, { N, "42", "Answer: 42/1", UN }, { N, "0", "Answer: 0", OK }, { N, "0", "Answer: none", UN }, { N, "42", "The answer is 42.", OK },
    { N, "42", "The answer is: 42", OK }, { N, "42", "My answer — 42", OK }, { N, "42", "<think>maybe 17\nAnswer: 17</think>\nAnswer: 42", OK }, { N, "42", "<think>Answer: 42</think>\nI am not sure.", UN }, { N, "42", "Answer: 42 (that is 40 + 2)", UN },
    { N, "42", "Ответ: 42", OK }, { N, "42", "ответ: 42", OK }, { N, "42", "**Ответ:** 42.", OK }, { N, "42", "Ответ — 42", OK }, { N, "42", "Ответ: 42 яблока", OK },
    { N, "42", "Ответ: сорок два", UN }, { N, "42", "Ответ: 24", NO }, { N, "42", "Ответ: 42 = 42", OK }, { N, "42", "Сначала было 40, потом 42.", OK }, { N, "42", "Всего 42, из них 2 новых.", NO },
    { N, "42", "«Ответ: 42»", OK }, { N, "42", "Не знаю", UN }, { N, "42", "Ответ:\n42", OK }, { N, "3500", "Ответ: 3 500", OK }, { N, "42", "### Answer: 42", OK },
    { N, "42", "> Answer: 42", OK }, { N, "42", "Step 1: 40.\nStep 2: 42.", OK }, { N, "42", "Answer: x = 42", OK }, { N, "42", "Answer: 42!", OK }, { N, "42", "Answer: 4 2", UN },
    { W, "blue", "Answer: blue", OK }, { W, "blue", "Answer: Blue.", OK }, { W, "blue", "Answer: **blue**", OK }, { W, "blue", "Answer: \"blue\"", OK }, { W, "blue", "Answer: the blue", OK },
    { W, "blue", "Answer: red", NO }, { W, "blue", "blue", OK }, { W, "blue", "Blue.", OK }, { W, "blue", "First red, then blue, and the cups are exchanged.\nI think it is blue at the end.", UN }, { W, "blue", "Answer: blue or red", NO },
    { W, "Anna", "Answer: Anna", OK }, { W, "Anna", "Answer: ANNA", OK }, { W, "Anna", "Answer: Anna lives there", NO }, { W, "Anna", "", UN }, { W, "Anna", "Answer:", UN },
    { W, "зелёный", "Ответ: зелёный", OK }, { W, "зелёный", "Ответ: зеленый", OK }, { W, "зелёный", "Ответ: «Зелёный».", OK }, { W, "зелёный", "Ответ: зелёного", NO }, { W, "Дарья", "Ответ: Дарья", OK },
    { W, "Дарья", "Ответ: это Дарья", OK }, { W, "Дарья", "Дарья", OK }, { W, "Дарья", "Ответ: Борис", NO }, { W, "olleh", "Answer: olleh", OK }, { W, "olleh", "Answer: o-l-l-e-h", NO },
    { L, "12, 34", "Answer: 12, 34", OK }, { L, "12, 34", "Answer: 12,34", OK }, { L, "12, 34", "Answer: 34, 12", NO }, { L, "12, 34", "Answer: 12 and 34", OK }, { L, "12, 34", "Answer: 12", NO },
    { L, "12, 34", "Ответ: 12, 34.", OK }, { L, "12, 34", "Ответ: 12 и 34", OK }, { L, "12, 34", "Ответ: 12; 34", OK }, { L, "12, 34, 56", "Answer: 12, 34, and 56", OK }, { L, "12, 34", "12, 34", OK },
    { L, "12, 34", "The first code is 12.\nThe second code is 34, I believe.", UN }, { L, "12, 34", "Answer: 12, 34, 56", NO },
    /* what graders of other programs were reported for: tests/reports.md */
    { N, "9500", "\\boxed{\\$9{,}500}", OK }, { N, "9500", "The answer is $9{,}500$.", OK }, { N, "9500", "\\boxed{9\\,500}", OK }, { N, "10000", "\\boxed{10,\\!000}", OK },
    { N, "72", "The total is 72 clips, altogether.", OK },
    { N, "42", "**Answer:**\n\\[\n\\boxed{42}\n\\]", OK }, { N, "42", "**Answer:**\n$$\n42\n$$", OK }, { N, "42", "Answer: \\(42\\)", OK }, { N, "42", "Answer: \\boxed{\\text{42 apples}}", OK },
    { N, "42", "Answer:\n\\[\n\\]", UN },
    { N, "125", "Ответ: 0,125", NO }, { N, "500", "Answer: 0,500", NO }, { N, "5", "Answer: .5", UN }, { N, "1", "Answer: 1e3", UN }, { N, "1000", "Answer: 1,000", OK },
    { N, "-42", "Answer: minus 42", OK }, { N, "42", "Ответ: минус 42", NO }, { N, "42", "50 minus 8 is 42", OK }, { N, "8", "It is 50 minus 8", OK }, { N, "-8", "The answer is minus 8.", OK },
    { N, "41", "<think>I guess 17, and the answer: 41", UN }, { N, "42", "<think>\nno</think>\n42", OK }, { W, "Anna", "<think>Anna", UN }, { W, "Anna", "\\boxed{\\text{Anna}}", OK },
    { W, "Anna", "Answer: $\\textbf{Anna}$", OK },
    { W, "Anna", "### Answer:\n\\[\n\\boxed{\\text{Anna}}\n\\]", OK }, { W, "Anna", "\\boxed{\\text{Bob}}", NO }, { W, "Anna", "Answer: \\text{Anna", OK },
    { L, "12, 34", "Answer: \\boxed{\\text{12, 34}}", OK }, { L, "12, 34", "Answer: $12$, $34$", OK },
};

static void test_graded_by_hand(void)
{
    int n = sizeof by_hand / sizeof *by_hand;
    CHECK(n >= 100);
    for (int i = 0; i < n; i++) {
        const exam_item q = { .task = "x", .kind = (enum exam_kind)by_hand[i].kind, .answer = (char *)by_hand[i].want };
        char *read = NULL;
        int m = (int)exam_grade(&q, by_hand[i].reply, NULL, &read);
        CHECK_MSG(m == by_hand[i].mark, "%d: \"%s\" for %s: %d, by hand %d, read \"%s\"\n", i, by_hand[i].reply, by_hand[i].want, m, by_hand[i].mark, read ? read : "");
        free(read);
    }
}

static void test_statistics(void)
{
    /* McNemar exact: 2 * P(Bin(n, 1/2) <= min). */
    CHECK(fabs(lab_sign_test(1, 9) - 22.0 / 1024) < 1e-12);
    CHECK(fabs(lab_sign_test(0, 5) - 0.0625) < 1e-12);
    CHECK(lab_sign_test(0, 0) == 1 && lab_sign_test(5, 5) == 1);
    /* Wilson for 8 of 10: .4902 to .9433 (Brown, Cai and DasGupta 2001, formula 4). */
    exam_rate r = exam_rate_of(8, 10);
    CHECK(fabs(r.low - 0.4902) < 5e-4 && fabs(r.high - 0.9433) < 5e-4);
    r = exam_rate_of(0, 0);
    CHECK(r.low == 0 && r.high == 1);
    CHECK_INT(exam_need(0, 0), 0);
    CHECK(exam_need(0.2, 0.1) > 150 && exam_need(0.2, 0.1) < 160 && exam_need(0.2, 0.05) > 3.5 * exam_need(0.2, 0.1));
}

/* A really better side is found in most of 20 runs, two equal ones hardly ever. */
static void test_planted(void)
{
    enum { Q = 400, SEEDS = 20 };
    static bool a[Q], b[Q], c[Q];
    int found = 0, chance = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t random[4] = { seed, 2, 3, 4 };
        for (int i = 0; i < 32; i++) q_random(random);
        for (int i = 0; i < Q; i++) {
            int easy = draw(random, 0, 99);
            a[i] = draw(random, 0, 99) < (easy < 50 ? 80 : 40);
            b[i] = draw(random, 0, 99) < (easy < 50 ? 60 : 20);
            c[i] = draw(random, 0, 99) < (easy < 50 ? 80 : 40);
        }
        exam_pair p = exam_compare(a, b, Q), same = exam_compare(a, c, Q), self = exam_compare(a, a, Q);
        found += p.different && p.high < 0 && p.difference >= p.low && p.difference <= p.high;
        chance += same.different;
        CHECK(!self.different && self.p == 1 && self.low == 0 && self.high == 0 && self.need == 0);
        CHECK(p.both + p.only_a + p.only_b + p.neither == Q);
    }
    CHECK_MSG(found == SEEDS, "%d of 20\n", found);
    CHECK_MSG(chance <= 3, "%d of 20\n", chance);
}

/* A shift of a third of the spread is found at n = 80 in most of 20 runs, with its interval round it; noise about 0 hardly ever, the same numbers never. */
static void test_shift(void)
{
    enum { Q = 80, SEEDS = 20 };
    double d[Q], e[Q];
    int found = 0, chance = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t random[4] = { seed, 2, 3, 4 };
        for (int i = 0; i < 32; i++) q_random(random);
        for (int i = 0; i < Q; i++) {
            double x = 0;
            for (int k = 0; k < 12; k++) x += draw(random, 0, 1000) / 1000.0 - 0.5;      /* of spread 1, nearly normal */
            d[i] = x - 0.4;
            e[i] = i % 2 ? x : 3 * x;
        }
        exam_shift planted = exam_shift_of(d, Q), noise = exam_shift_of(e, Q);
        found += planted.different && planted.nats < 0 && planted.high < 0 && planted.low <= planted.nats;
        chance += noise.different;
        CHECK(planted.p <= 1 && planted.p >= 1e-4 && planted.n == Q);
    }
    CHECK_MSG(found >= 17, "%d of 20\n", found);
    CHECK_MSG(chance <= 3, "%d of 20\n", chance);
    memset(d, 0, sizeof d);
    exam_shift same = exam_shift_of(d, Q), none = exam_shift_of(d, 0);
    CHECK(same.p == 1 && same.low == 0 && same.high == 0 && !same.different && same.need == 0 && none.p == 1 && !none.different);
    /* Three differences of one sign: two of eight patterns are as far from 0. (1.96 + .8416)^2 * var / mean^2 with 1, 2, 3: 1.96. */
    exam_shift three = exam_shift_of((double[]){ 1, 2, 3 }, 3);
    CHECK(fabs(three.p - 0.25) < 0.02 && !three.different && three.nats == 2);
    CHECK_INT(three.need, 2);
}

/* Two seats on n questions of a level, of which so many are right and the rest carry a mark: what is said of them. */
static judged judge(int n, int level, int right_a, int right_b, enum exam_mark rest)
{
    exam_item *q = q_alloc(sizeof *q * (size_t)n);
    exam_reply *a = q_alloc(sizeof *a * (size_t)n), *b = q_alloc(sizeof *b * (size_t)n);
    exam_seat x = { .reply = a, .done = n }, y = { .reply = b, .done = n };
    for (int i = 0; i < n; i++) {
        q[i] = (exam_item){ .task = "state", .level = level };
        a[i].mark = i < right_a ? EXAM_RIGHT : rest;
        b[i].mark = n - i <= right_b ? EXAM_RIGHT : rest;      /* from the other end: no two of them are the same as long as there is room */
    }
    const exam_sheet s = { .item = q, .n_item = n };
    judged j = judge_pair(&s, &x, &y);
    free(q);
    free(a);
    free(b);
    return j;
}

static void test_verdicts(void)
{
    static const struct { int n, level, a, b; enum exam_mark rest; enum verdict v; int take; } row[] = {
        { 20, 3, 0, 0, EXAM_WRONG, V_HARD, 2 }, { 20, 1, 0, 0, EXAM_WRONG, V_HARD, 0 }, { 20, 3, 1, 1, EXAM_WRONG, V_HARD, 2 }, { 20, 3, 2, 1, EXAM_WRONG, V_UNSEEN, 0 },
        { 20, 3, 20, 20, EXAM_WRONG, V_EASY, 4 }, { 20, 5, 20, 20, EXAM_WRONG, V_EASY, 0 }, { 20, 3, 19, 19, EXAM_WRONG, V_EASY, 4 }, { 20, 3, 20, 17, EXAM_WRONG, V_UNSEEN, 0 },
        { 20, 3, 0, 0, EXAM_CUT, V_CUT, 0 }, { 20, 3, 0, 0, EXAM_UNREAD, V_UNREAD, 0 }, { 20, 3, 10, 20, EXAM_WRONG, V_BETTER, 0 }, { 20, 3, 20, 10, EXAM_WRONG, V_WORSE, 0 },
        { 20, 3, 0, 0, EXAM_SKIPPED, V_NONE, 0 }, { 4, 2, 0, 0, EXAM_WRONG, V_HARD, 1 }, { 4, 2, 4, 4, EXAM_WRONG, V_EASY, 3 }, { 0, 2, 0, 0, EXAM_WRONG, V_NONE, 0 } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        judged j = judge(row[i].n, row[i].level, row[i].a, row[i].b, row[i].rest);
        CHECK_MSG(j.verdict == row[i].v && j.level == row[i].take, "%zu: %s, level %d\n", i, verdict_name(j.verdict), j.level);
    }
}

static void test_percentiles(void)
{
    double v[100];
    for (int i = 0; i < 100; i++) v[i] = 100 - i;
    exam_times t = exam_times_of(v, 100);
    CHECK(t.p50 == 50 && t.p90 == 90 && t.p99 == 99 && fabs(t.mean - 50.5) < 1e-9);
    t = exam_times_of(v, 1);
    CHECK(t.p50 == 1 && isnan(t.p90) && isnan(t.p99));
    for (int i = 0; i < 99; i++) v[i] = i + 1;
    t = exam_times_of(v, 99);
    CHECK(t.p50 == 50 && t.p90 == 90 && isnan(t.p99));
    t = exam_times_of(v, 9);
    CHECK(t.p50 == 5 && isnan(t.p90));
    t = exam_times_of(v, 10);
    CHECK(t.p50 == 5 && t.p90 == 9);
    t = exam_times_of(v, 0);
    CHECK(t.n == 0);
}

/* One side was asked everything, the other two questions: each has the rate of its own, the difference is of the two. */
static void test_stopped(void)
{
    exam_item q[4];
    exam_reply r[2][4] = { { { .mark = EXAM_RIGHT, .log_odds = 2 }, { .mark = EXAM_RIGHT, .log_odds = 2 }, { .mark = EXAM_WRONG, .log_odds = -1 }, { .mark = EXAM_RIGHT, .log_odds = 2 } },
                           { { .mark = EXAM_RIGHT, .log_odds = 1 }, { .mark = EXAM_WRONG, .log_odds = (double)NAN } } };
    exam_seat seat[2] = { { .label = (char *)"A", .reply = r[0], .done = 4 }, { .label = (char *)"B", .reply = r[1], .done = 2 } };
    for (int i = 0; i < 4; i++) exam_make("state", 2, EXAM_EN, 1, i, &q[i], err);
    const exam_sheet s = { .item = q, .n_item = 4, .seat = seat, .n_seat = 2, .stopped = true, .score = true };
    q_buf text = { 0 };
    CHECK_INT(exam_asked(&s), 2);
    CHECK_INT(tally_of(&s, &seat[0], NULL, 0).n, 4);
    CHECK_INT(pair_of(&s, &seat[0], &seat[1], NULL).n, 2);
    CHECK_INT(shift_of(&s, &seat[0], &seat[1]).n, 1);
    exam_report_text(&s, &text);
    CHECK(strstr(text.p, "stopped early") && strstr(text.p, "A: 3 of 4 right") && strstr(text.p, "B: 1 of 2 right") && strstr(text.p, "times 0.368"));
    q_buf_free(&text);
    exam_report_html(&s, &(exam_about){ "x", 1, "0", "2026-01-01" }, &text);
    CHECK(strstr(text.p, "Stopped early") && strstr(text.p, "Остановлено раньше") && strstr(text.p, "0.368"));
    q_buf_free(&text);
    for (int i = 0; i < 4; i++) exam_item_free(&q[i]);
}

/* A page of a run that was made up: whole, nothing from elsewhere, names that would be tags are text. */
static void test_page(void)
{
    exam_item q[2];
    exam_reply r[2][2] = { { { .mark = EXAM_RIGHT, .text = (char *)"x", .tokens = 3 }, { .mark = EXAM_UNREAD, .text = (char *)"y" } }, { { .mark = EXAM_RIGHT, .text = (char *)"x" }, { .mark = EXAM_RIGHT, .text = (char *)"y" } } };
    exam_seat seat[2] = { { .label = (char *)"A<script>", .reply = r[0], .done = 2 }, { .label = (char *)"B", .reply = r[1], .done = 2 } };
    exam_make("state", 1, EXAM_EN, 1, 0, &q[0], err);
    exam_make("story", 1, EXAM_EN, 1, 0, &q[1], err);
    const exam_sheet s = { .item = q, .n_item = 2, .seat = seat, .n_seat = 2 };
    const exam_about about = { "quorum bench reasoning -m 'a & b'", 1, "0", "2026-01-01" };
    q_buf page = { 0 }, text = { 0 };
    exam_report_html(&s, &about, &page);
    CHECK(!strstr(page.p, "<script") && !strstr(page.p, "http") && strstr(page.p, "A&lt;script&gt;") && strstr(page.p, "a &amp; b") && strstr(page.p, "Рассуждения") && strstr(page.p, "</html>"));
    exam_report_text(&s, &text);
    CHECK(strstr(text.p, "1 of 2 right, 50.0%") && strstr(text.p, "2 of 2 right") && strstr(text.p, "only the second: 1"));
    q_buf_free(&page);
    q_buf_free(&text);
    exam_item_free(&q[0]);
    exam_item_free(&q[1]);
}

static void test_spread(void)
{
    double odd[] = { 5, 1, 3 }, even[] = { 4, 1, 2, 8 };
    exam_spread a = exam_spread_of(odd, 3), b = exam_spread_of(even, 4), none = exam_spread_of(NULL, 0);
    CHECK(a.median == 3 && a.low == 1 && a.high == 5 && a.n == 3);
    CHECK(b.median == 3 && b.low == 1 && b.high == 8 && b.n == 4);
    CHECK(none.n == 0);
    const exam_fast p = { .weights = 75, .cells = 25, .decode = a, .share = { .5, .4, .6, 3 } }, not = { .weights = 75, .decode = a };
    CHECK(exam_speed_share(&p) == .5 && isnan(exam_speed_share(&not)));
    const exam_fast fast = { .madds = 50, .prefill = a }, floats = { .prefill = a };
    const exam_speeds bound = { .peak = 300 }, unknown = { .peak = 0 };
    CHECK(fabs(exam_speed_peak(&bound, &fast) - .5) < 1e-12);    /* 3 a second of 50 multiply-adds, of 300 */
    CHECK(isnan(exam_speed_peak(&bound, &floats)) && isnan(exam_speed_peak(&unknown, &fast)));
}

/* Numbers stand whole, names that differ at their ends stay apart, every model's line is there. */
static void test_speed_words(void)
{
    exam_fast p[] = {
        { .at = { "8", "Qwen3-Coder-30B-A3B-Instruct-Q4_K_M.gguf" }, .weights = 1000, .prefill = { 61445.9, 57740.2, 80123.4, 3 }, .decode = { 1800.5, 950.25, 12345.6, 3 } },
        { .at = { "8", "Qwen3-Coder-30B-A3B-Instruct-Q8_0.gguf" }, .weights = 2000, .prefill = { 9.5, 9.25, 10.125, 3 }, .decode = { 2, 1, 3, 3 } },
        { .at = { "8", "модель с длинным русским именем, обычная.gguf" }, .weights = 2000, .prefill = { 7, 7, 7, 1 }, .decode = { 5, 5, 5, 1 } },
    };
    exam_speeds s = { .title = "one (a), here\nanother (b), here", .axis = { "k", "model" }, .n_axis = 2, .point = p, .n = 3, .rounds = 3 };
    q_buf text = { 0 }, svg = { 0 };
    exam_speed_say(&s, &text);
    CHECK_MSG(strstr(text.p, "  61446 57740-80123 ") && strstr(text.p, "   1800 950.2-12346 ") && strstr(text.p, "   9.50 9.25-10.1 "), "%s", text.p);
    CHECK_MSG(strstr(text.p, "\n8  Qwen3-Coder-30…uct-Q4_K_M.gguf  ") && strstr(text.p, "\n8  Qwen3-Coder-30…truct-Q8_0.gguf  ") && strstr(text.p, "\n8  модель с длинн…м, обычная.gguf  "), "%s", text.p);
    exam_speed_svg(&s, &svg);
    CHECK(strstr(svg.p, ">one (a), here</text>") && strstr(svg.p, ">another (b), here</text>") && strstr(svg.p, ">model Qwen3-Coder-30…uct-Q4_K_M.gguf</text>"));
    q_buf_free(&text);
    q_buf_free(&svg);
    /* Long values side by side: as many as there is room for, the first among them. */
    exam_fast many[20];
    char at[20][12];
    for (int i = 0; i < 20; i++) {
        snprintf(at[i], sizeof at[i], "%d", 100000 + i);
        many[i] = (exam_fast){ .at = { at[i] }, .prefill = { 1, 1, 1, 1 }, .decode = { 1, 1, 1, 1 } };
    }
    exam_speed_svg(&(exam_speeds){ .axis = { "context" }, .n_axis = 1, .point = many, .n = 20, .rounds = 1 }, &svg);
    CHECK(strstr(svg.p, ">100000<") && !strstr(svg.p, ">100001<") && strstr(svg.p, ">100002<"));
    q_buf_clear(&svg);
    /* Many curves: the picture is as tall as their names take, and those of one colour are drawn otherwise. */
    exam_fast curves[40];
    for (int i = 0; i < 40; i++) curves[i] = (exam_fast){ .at = { "1", at[i % 20] }, .prefill = { 1, 1, 1, 1 }, .decode = { 1, 1, 1, 1 } };
    char other[20][12];
    for (int i = 0; i < 20; i++) snprintf(other[i], sizeof other[i], "b%d", i), curves[20 + i].at[1] = other[i];
    exam_speed_svg(&(exam_speeds){ .axis = { "k", "context" }, .n_axis = 2, .point = curves, .n = 40, .rounds = 1 }, &svg);
    double tall = 0;
    const char *h = strstr(svg.p, "height=\"");
    CHECK(h && sscanf(h, "height=\"%lf\"", &tall) == 1);
    double last = 0;
    for (const char *l = svg.p; (l = strstr(l, "<polyline points=\"")); l++) {
        double x, y;
        if (sscanf(l, "<polyline points=\"%lf,%lf", &x, &y) == 2 && y > last) last = y;
    }
    CHECK_MSG(last > 600 && last + 12 < tall, "%g %g", last, tall);
    CHECK(strstr(svg.p, "stroke=\"#2f6fb0\"/>") && strstr(svg.p, "stroke=\"#2f6fb0\" stroke-dasharray=\"6 3\"/>"));
    q_buf_clear(&svg);
    /* A wide table has no room for the share of the peak, a narrow one has; what stands below is no wider than a screen. */
    exam_fast one = { .at = { "8" }, .madds = 10, .weights = 1000, .prefill = { 5, 4, 6, 3 }, .decode = { 5, 4, 6, 3 } };
    exam_speeds t = { .title = "", .axis = { "k" }, .n_axis = 1, .point = &one, .n = 1, .rounds = 3, .done = 3, .peak = 100, .bandwidth = 1e6 };
    exam_speed_say(&t, &svg);
    CHECK_MSG(strstr(svg.p, "of peak") && strstr(svg.p, "50%"), "%s", svg.p);
    for (char *save, *l = strtok_r(svg.p, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) CHECK_MSG(q_utf8_points(l) <= 80, "%s", l);
    q_buf_clear(&svg);
    t.axis[0] = "a setting with a name";
    exam_speed_say(&t, &svg);
    CHECK(!strstr(svg.p, "of peak"));
    q_buf_free(&svg);
}

/* What reading takes is told where it is minutes, once for what stays so and again where it turns out to be twice as much. */
static void test_foretold(void)
{
    const int64_t s = 1000000000;
    exam_forecast f = { .since = q_now_ns() - 2 * s, .sum = { 10000, 1e8 } };
    double all = exam_foretell(&f, 100);                       /* 100 of 10000 tokens took two seconds */
    CHECK_MSG(all > 199 && all < 230, "%g", all);
    f.since = q_now_ns() - 4 * s;
    CHECK(exam_foretell(&f, 200) == 0);                        /* and the next hundred as long */
    f.since = q_now_ns() - 16 * s;
    all = exam_foretell(&f, 400);                              /* twice as long a token, behind four times as many: 1333 + n / 15 hundred thousandths */
    CHECK_MSG(all > 6700 && all < 6900, "%g", all);
    f = (exam_forecast){ .since = q_now_ns() - s / 2, .sum = { 10000, 1e8 } };
    CHECK(exam_foretell(&f, 100) == 0 && exam_foretell(&f, 0) == 0);       /* less than a minute; nothing is known yet */
    f = (exam_forecast){ .since = q_now_ns() - 2 * s, .sum = { 10000, 1e8 } };
    all = exam_foretell(&f, 100);
    f.since = q_now_ns() - 3 * s;
    CHECK(all > 199 && exam_foretell(&f, 100) == 0);           /* half as much again is not worth another word */
    f.since = q_now_ns() - 2 * s - s / 2;
    f.told = 0;
    all = exam_foretell(&f, 200);                              /* the second hundred in less time, as once weights are there: not ever less from there on */
    CHECK_MSG(all > 124 && all < 140, "%g", all);
}

int main(void)
{
    RUN(test_spread);
    RUN(test_speed_words);
    RUN(test_same_bytes);
    RUN(test_samples_are_right);
    RUN(test_refused);
    RUN(test_stories_have_something);
    RUN(test_russian_forms);
    RUN(test_a_cut_reply_is_read_to_its_end);
    RUN(test_graded_by_hand);
    RUN(test_statistics);
    RUN(test_planted);
    RUN(test_shift);
    RUN(test_verdicts);
    RUN(test_stopped);
    RUN(test_percentiles);
    RUN(test_page);
    RUN(test_foretold);
    return TEST_END();
}
