/* exam/speed: what is measured how often, what bounds it, what is left out, and how it ends. Of times only those are asked about that a scripted machine
 * makes certain: what it reads and multiplies a second is said here. */
#include "engine/engine.h"
#include "exam/exam.h"
#include "tests/engine_util.h"
#include "tests/test.h"

enum { POINTS = 3, ROUNDS = 3, PROMPT = 8, TOKENS = 3, SAID = 64 };
static const uint64_t WEIGHTS = 1000000, CELLS = 200000;
static char err[Q_ERRLEN];
static eng_model *model;

/* reads, peaks: what is said at each call, the last one again and again. */
typedef struct machine {
    double reads[SAID], peaks[SAID];
    int n_reads, n_peaks, read, peaked;              /* said here; asked for so far */
    int asked, of, stop_at;                          /* of go; stop_at < 0: never */
    bool backwards;
} machine;

static double said(const double *what, int n, int *at) { return (*at)++ < n ? what[*at - 1] : what[n - 1]; }
static double reads(void *user, eng_model *m) { machine *k = user; CHECK(m == model); return said(k->reads, k->n_reads, &k->read); }
static double peaks(void *user, eng_model *m) { machine *k = user; CHECK(m == model); return said(k->peaks, k->n_peaks, &k->peaked); }

static bool go(void *user, int done, int of)
{
    machine *k = user;
    k->backwards |= done < k->asked || done >= of;
    k->asked = done;
    k->of = of;
    return k->stop_at < 0 || done < k->stop_at;
}

/* A point behind so many tokens, with room for so many. */
static exam_fast point(int context, const char *length)
{
    eng_config *c = eng_config_new(model);
    CHECK_MSG(eng_config_set(c, "context.length", length, err) == Q_OK, "%s", err);
    return (exam_fast){ .m = model, .c = c, .context = context, .madds = 1000, .weights = WEIGHTS, .cells = CELLS };
}

static void free_points(exam_speeds *s)
{
    exam_speed_free(s);
    for (int i = 0; i < s->n; i++) eng_config_free((eng_config *)(uintptr_t)s->point[i].c);
}

static exam_speeds speeds(exam_fast *p, machine *k)
{
    return (exam_speeds){ .point = p, .n = POINTS, .prompt = PROMPT, .tokens = TOKENS, .rounds = ROUNDS, .go = go, .reads = reads, .peaks = peaks, .user = k };
}

/* Each point once in each round, the first round for nothing; what was refused before stays as it was, what has no room is refused with its reason. */
static void each_once_a_round(void)
{
    exam_fast p[POINTS] = { point(0, "256"), point(40, "16"), point(40, "256") };
    machine k = { .reads = { 1e15 }, .n_reads = 1, .peaks = { 1e15 }, .n_peaks = 1, .stop_at = -1 };
    exam_speeds s = speeds(p, &k);
    CHECK_MSG(exam_speed(&s, err) == Q_OK, "%s", err);
    CHECK_INT(s.done, ROUNDS);
    CHECK(!k.backwards && k.of == (ROUNDS + 1) * POINTS && k.asked == k.of - 1);
    for (int i = 0; i < POINTS; i++) {
        if (i == 1) continue;
        CHECK_INT(p[i].prefill.n, ROUNDS);
        CHECK_INT(p[i].decode.n, ROUNDS);
        CHECK_INT(p[i].share.n, ROUNDS);
        CHECK(p[i].threads == eng_model_threads(model) && !p[i].refused && !p[i].made_up);
        CHECK(p[i].prefill.low > 0 && p[i].prefill.low <= p[i].prefill.median && p[i].prefill.median <= p[i].prefill.high);
        CHECK(p[i].decode.low > 0 && p[i].decode.low <= p[i].decode.median && p[i].decode.median <= p[i].decode.high);
    }
    CHECK_MSG(p[1].refused && strstr(p[1].refused, "context"), "%s", p[1].refused ? p[1].refused : "not refused");
    CHECK(p[1].prefill.n == 0 && p[1].decode.n == 0 && p[1].share.n == 0 && isnan(exam_speed_share(&p[1])) && isnan(exam_speed_peak(&s, &p[1])));
    CHECK_INT(k.read, 1 + 2 * ROUNDS);               /* before the first measurement, and behind each */
    CHECK_INT(k.peaked, 2 * ROUNDS);
    char *why = q_strdup(p[1].refused);
    CHECK(exam_speed(&s, err) == Q_OK && p[1].refused && strcmp(p[1].refused, why) == 0);
    CHECK_INT(p[1].prefill.n, 0);
    free(why);
    free_points(&s);
}

/* What memory gave right before or right after, whichever is more, and never less than decode itself: all bytes of a token, not its weights alone. */
static void shares_of_what_was_read_beside(void)
{
    exam_fast p[POINTS] = { point(0, "256"), point(8, "256"), point(16, "256") };
    const double much = 1e15;
    machine k = { .reads = { much }, .n_reads = 1, .peaks = { 1e15 }, .n_peaks = 1, .stop_at = -1 };
    exam_speeds s = speeds(p, &k);
    CHECK_MSG(exam_speed(&s, err) == Q_OK, "%s", err);
    CHECK(s.bandwidth == much && s.peak == 1e15);
    for (int i = 0; i < POINTS; i++) {
        CHECK(fabs(p[i].share.low * much / (p[i].decode.low * (double)(WEIGHTS + CELLS)) - 1) < 1e-9);
        CHECK(fabs(p[i].share.high * much / (p[i].decode.high * (double)(WEIGHTS + CELLS)) - 1) < 1e-9);
    }
    k = (machine){ .reads = { 1 }, .n_reads = 1, .peaks = { 1e15 }, .n_peaks = 1, .stop_at = -1 };
    CHECK(exam_speed(&s, err) == Q_OK);              /* memory that gives nothing: decode is all that is known of it */
    double best = 0;
    for (int i = 0; i < POINTS; i++) {
        CHECK(p[i].share.low == 1 && p[i].share.high == 1 && p[i].share.n == ROUNDS);
        best = fmax(best, p[i].decode.high * (double)(WEIGHTS + CELLS));
    }
    CHECK_MSG(s.bandwidth == best, "%g, %g", s.bandwidth, best);
    /* Fast at its third reading alone: that is behind point 1 and before point 2 of the first round. */
    k = (machine){ .reads = { 1, 1, much, 1 }, .n_reads = 4, .peaks = { 1e15 }, .n_peaks = 1, .stop_at = -1 };
    CHECK(exam_speed(&s, err) == Q_OK && s.bandwidth == much);
    CHECK(p[0].share.low == 1 && p[1].share.low < 1e-2 && p[2].share.low < 1e-2 && p[1].share.median == 1 && p[2].share.median == 1);
    /* And at its first alone, which is before the first measurement, also where the last point has been refused by then. */
    for (int i = 0; i < 2; i++) {
        if (i) p[2].refused = q_strdup("left out");
        k = (machine){ .reads = { much, 1 }, .n_reads = 2, .peaks = { 1e15 }, .n_peaks = 1, .stop_at = -1 };
        CHECK(exam_speed(&s, err) == Q_OK && s.bandwidth == much);
        CHECK(p[0].share.low < 1e-2 && p[0].share.median == 1 && p[1].share.low == 1 && p[2].decode.n == (i ? 0 : ROUNDS));
    }
    free_points(&s);
}

/* A peak below what was multiplied bounds nothing: six more tries, then none is told. */
static void peaks_bound_or_are_not_told(void)
{
    exam_fast p[POINTS] = { point(0, "256"), point(8, "256"), point(16, "256") };
    const int in_rounds = POINTS * ROUNDS;
    machine k = { .reads = { 1e15 }, .n_reads = 1, .peaks = { 1e-3 }, .n_peaks = 1, .stop_at = -1 };
    exam_speeds s = speeds(p, &k);
    CHECK(exam_speed(&s, err) == Q_OK && s.peak == 0);
    CHECK_INT(k.peaked, in_rounds + 6);
    CHECK(isnan(exam_speed_peak(&s, &p[0])));
    k = (machine){ .reads = { 1e15 }, .n_reads = 1, .n_peaks = in_rounds + 3, .stop_at = -1 };
    for (int i = 0; i < k.n_peaks; i++) k.peaks[i] = i < k.n_peaks - 1 ? 1e-3 : 1e15;
    CHECK(exam_speed(&s, err) == Q_OK && s.peak == 1e15);
    CHECK_INT(k.peaked, in_rounds + 3);              /* found at the third, and no more are made */
    CHECK(fabs(exam_speed_peak(&s, &p[0]) - p[0].prefill.median * 1000 / 1e15) < 1e-15);
    for (int i = 0; i < POINTS; i++) p[i].madds = 0;                /* floats: none is asked for */
    k = (machine){ .reads = { 1e15 }, .n_reads = 1, .peaks = { 1e15 }, .n_peaks = 1, .stop_at = -1 };
    CHECK(exam_speed(&s, err) == Q_OK && s.peak == 0);
    CHECK_INT(k.peaked, 0);
    free_points(&s);
}

/* Ended in a round: those before it stand, and are counted as whole. */
static void ended_when_it_is_said(void)
{
    exam_fast p[POINTS] = { point(0, "256"), point(8, "256"), point(16, "256") };
    machine k = { .reads = { 1e15 }, .n_reads = 1, .peaks = { 1e15 }, .n_peaks = 1, .stop_at = 2 * POINTS + 1 };
    exam_speeds s = speeds(p, &k);
    CHECK_INT(exam_speed(&s, err), Q_CANCEL);
    CHECK_INT(s.done, 1);
    CHECK(p[0].decode.n == 2 && p[1].decode.n == 1 && p[2].decode.n == 1 && !p[0].refused && !p[1].refused && !p[2].refused);
    k.stop_at = 0;
    CHECK_INT(exam_speed(&s, err), Q_CANCEL);
    CHECK(s.done == 0 && p[0].decode.n == 0 && s.bandwidth == 0 && s.peak == 0);
    free_points(&s);
}

/* How long contexts take is told while the first of them is read, and not again with the next; those that are left out count for nothing. */
typedef struct wait { int told, pieces, most; } wait;
static void slow(void *user, double seconds) { ((wait *)user)->told += seconds > 60; }
static bool go_a_little(void *user, int done, int of)
{
    (void)of;
    wait *w = user;
    return done == 0 || w->pieces++ < w->most;       /* of what is behind the first measurement only so many pieces */
}
static void a_long_wait_is_told_once(void)
{
    enum { MANY = 60 };
    static exam_fast p[MANY];
    wait w = { .most = 4 };
    for (int i = 0; i < MANY; i++) p[i] = point(i ? 1000000 : 64, i ? "1000100" : "256");
    exam_speeds s = { .point = p, .n = MANY, .prompt = PROMPT, .tokens = TOKENS, .rounds = 1, .go = go_a_little, .slow = slow, .user = &w };
    CHECK_INT(exam_speed(&s, err), Q_CANCEL);
    CHECK_INT(w.told, 1);
    CHECK(w.pieces > 3 && !p[0].refused && !p[1].refused);
    for (int i = 1; i < MANY; i++) p[i].refused = q_strdup("left out");
    w = (wait){ .most = 100 };
    CHECK_MSG(exam_speed(&s, err) == Q_OK, "%s", err);
    CHECK(w.told == 0 && p[0].decode.n == 1);
    free_points(&s);
}

/* Prompts of no two rounds begin alike, so that no cell serves them; the same salt draws the same. */
static void ids_differ_by_the_salt(void)
{
    enum { N = 64, SALTS = 6, VOCAB = 4096 };
    int32_t t[SALTS][N], again[N];
    for (int s = 0; s < SALTS; s++) exam_any_ids(t[s], N, VOCAB, (uint64_t)s);
    exam_any_ids(again, N, VOCAB, 3);
    CHECK(memcmp(again, t[3], sizeof again) == 0);
    for (int s = 0; s < SALTS; s++)
        for (int i = 0; i < N; i++) CHECK(t[s][i] >= 0 && t[s][i] < VOCAB);
    for (int a = 0; a < SALTS; a++)
        for (int b = 0; b < a; b++) CHECK_MSG(t[a][0] != t[b][0], "%d and %d begin with %d", a, b, t[a][0]);
}

int main(void)
{
    char *path = util_model("qwen3moe");
    if (eng_model_open(path, NULL, &model, err) != Q_OK) {
        printf("not ok model_for_speeds: %s\n", err);
        return 1;
    }
    RUN(ids_differ_by_the_salt);
    RUN(each_once_a_round);
    RUN(shares_of_what_was_read_beside);
    RUN(peaks_bound_or_are_not_told);
    RUN(ended_when_it_is_said);
    RUN(a_long_wait_is_told_once);
    eng_model_free(model);
    unlink(path);
    free(path);
    return TEST_END();
}
