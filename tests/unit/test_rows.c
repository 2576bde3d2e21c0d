/* What engine.h promises of a row, for every architecture: its bytes depend on its own timeline alone. Three timelines, one a branch of
 * another, go through one cache in steps of any number of rows, by every path that this processor has, with any number of
 * threads; each row's logits are those of its text evaluated alone, whole, by the scalar path. */
#include "engine/engine.h"
#include "engine/models.h"
#include "engine/run/session.h"
#include "kernels/kernels.h"
#include "tests/engine_util.h"
#include "tests/test.h"

enum { N = 150 /* tokens of a text at most */, LINES = 3, MOST = 24 /* rows of a timeline in one step */ };

static char err[Q_ERRLEN];
static const char *arch_now;
static int n_now, branch_now;          /* tokens of a text, and how many of the first the third begins with */

typedef struct alone { int32_t t[N]; float *logits; int n_vocab; } alone;

static int keep_row(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k)
{
    alone *a = user;
    (void)ids, (void)weights, (void)max_k;
    memcpy(a->logits + (size_t)pos * (size_t)a->n_vocab, logits, sizeof(float) * (size_t)a->n_vocab);
    return 0;
}

static eng_config *config_of(const eng_model *m, const char *cells, const char *threads)
{
    eng_config *c = eng_config_new(m);
    CHECK(eng_config_set(c, "context.length", "200", err) == 0 && eng_config_set(c, "kv.type", cells, err) == 0 && eng_config_set(c, "threads", threads, err) == 0);
    return c;
}

static eng_model *model_by(const char *file, const char *path)
{
    eng_model *m = NULL;
    CHECK(ker_cpu_force(path) == 0);
    int rc = eng_model_open(file, NULL, &m, err);
    CHECK_MSG(rc == 0, "%s: %s", arch_now, rc ? err : "");
    return m;
}

/* The texts, and what each gives alone. The third leaves the first at branch_now. */
static bool evaluate_alone(const char *file, const char *cells, alone *a)
{
    eng_model *m = model_by(file, "scalar");
    if (!m)
        return false;
    eng_config *c = config_of(m, cells, "1");
    eng_session *s = NULL;
    int rc = eng_session_new(m, c, &s, err);
    for (int i = 0; i < LINES && !rc; i++) {
        a[i].n_vocab = eng_model_info(m)->n_vocab;
        a[i].logits = q_alloc(sizeof(float) * (size_t)n_now * (size_t)a[i].n_vocab);
        for (int k = 0; k < n_now; k++)
            a[i].t[k] = i == 2 && k < branch_now ? a[0].t[k] : (int32_t)(q_mix64((uint64_t)i + 1, (uint64_t)k) % (uint64_t)a[i].n_vocab);
        rc = eng_session_eval(s, a[i].t, n_now, 0, NULL, 0, keep_row, &a[i], err);
    }
    CHECK_MSG(rc == 0, "%s: %s", arch_now, rc ? err : "");
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(m);
    return !rc;
}

static uint64_t rng;
static int rnd(int n) { return (int)(q_mix64(rng++, 5) % (uint64_t)n); }

/* Rows of all timelines that are there in one step; how many differ from what they are alone. */
static int one_step(eng_cache *k, eng_session *const *s, const alone *a, eng_out *out)
{
    eng_row rows[LINES * MOST];
    int line[LINES * MOST], pos[LINES * MOST], n = 0, wrong = 0;
    for (int i = 0; i < LINES; i++) {
        int at = s[i] ? eng_session_length(s[i]) : n_now, count = rnd(4) ? 1 + rnd(3) : 1 + rnd(MOST);
        int end = i == 0 && !s[2] ? branch_now : n_now;              /* the branch is made there */
        for (int r = 0; r < count && at + r < end; r++, n++) {
            rows[n] = (eng_row){ .session = s[i], .token = a[i].t[at + r], .want = ENG_WANT_LOGITS };
            line[n] = i;
            pos[n] = at + r;
        }
    }
    if (n == 0)
        return -1;
    bool aside = rnd(4) == 0;                                /* first tried, which leaves nothing behind */
    for (int once = aside ? 0 : 1; once < 2; once++) {
        int rc = eng_cache_step(k, rows, n, once == 1, out, err);
        CHECK_MSG(rc == 0, "%s: %s", arch_now, rc ? err : "");
        for (int r = 0; r < n && !rc; r++)
            wrong += memcmp(out->logits[r], a[line[r]].logits + (size_t)pos[r] * (size_t)a[0].n_vocab, sizeof(float) * (size_t)a[0].n_vocab) != 0;
        if (rc)
            return -1;
    }
    return wrong;
}

static void together(const char *file, const char *path, const char *cells, const char *threads, const alone *a)
{
    eng_model *m = model_by(file, path);
    if (!m)
        return;
    eng_config *c = config_of(m, cells, threads);
    eng_cache *k = NULL;
    eng_session *s[LINES] = { NULL };
    eng_out *out = q_alloc(sizeof *out);
    int wrong = 0, now, steps = 0;
    bool ok = eng_cache_new(m, c, LINES, &k, err) == 0 && eng_cache_session(k, c, &s[0], err) == 0 && eng_cache_session(k, c, &s[1], err) == 0;
    CHECK_MSG(ok, "%s: %s", arch_now, ok ? "" : err);
    while (ok && (now = one_step(k, s, a, out)) >= 0) {
        wrong += now;
        steps++;
        if (!s[2] && eng_session_length(s[0]) == branch_now)
            CHECK(eng_session_fork(s[0], &s[2], err) == 0);
    }
    CHECK_MSG(s[2] && eng_session_length(s[0]) == n_now && eng_session_length(s[1]) == n_now && eng_session_length(s[2]) == n_now, "%s: not all was evaluated", arch_now);
    CHECK_MSG(wrong == 0, "%s, %s, cells %s, %s threads: %d rows of %d steps differ from what they are alone", arch_now, path, cells, threads, wrong, steps);
    for (int i = 0; i < LINES; i++)
        eng_session_free(s[i]);
    eng_cache_free(k);
    eng_config_free(c);
    eng_model_free(m);
    free(out);
}

static void every_path(const char *file, int n_cells, int n)
{
    static const char *const cells[] = { "f16", "q8_0", "f32" }, *const threads[] = { "3", "1", "2" };
    n_now = n;
    branch_now = n / 2 - 3;
    rng = q_hash64(arch_now, strlen(arch_now), 3);
    for (int t = 0; t < n_cells; t++) {
        alone a[LINES] = { 0 };
        bool ok = evaluate_alone(file, cells[t], a);
        for (int p = 0; ker_cpu_path(p) && ok; p++)
            together(file, ker_cpu_path(p), cells[t], threads[(p + t) % 3], a);
        for (int i = 0; i < LINES; i++)
            free(a[i].logits);
    }
    ker_cpu_force(NULL);
}

static void rows_are_their_timelines(void)
{
    char *file = util_model(arch_now);
    every_path(file, 3, N);
    remove(file);
    free(file);
}

/* The same of weights in blocks, whose products few rows and many go through by different code. */
static const struct { const char *arch, *like, *type; } made[] = {
    { "qwen35moe", "smoke-delta", "MXFP4" }, { "qwen35moe", "smoke-delta", "Q3_K_M" }, { "deepseek2", "smoke-mla", "Q4_K_M" }, { "deepseek2", "smoke-mla", "Q2_K" },
};
static size_t made_now;

static void rows_of_blocks(void)
{
    char *file = q_printf("%s/rows-%ld.gguf", getenv("BUILD") ? getenv("BUILD") : "build", (long)getpid());
    int rc = eng_synth(made[made_now].arch, made[made_now].like, made[made_now].type, 0, 1, file, NULL, NULL, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    arch_now = made[made_now].type;
    if (!rc)
        every_path(file, 1, 50);
    remove(file);
    free(file);
}

int main(void)
{
    static const char *const archs[] = { "qwen3moe", "glm4moe", "mixtral", "qwen2", "olmoe", "granitemoe", "phi3", "gemma3", "gpt-oss", "glm4moe-full",
                                         "qwen3next", "qwen35", "deepseek2", "deepseek2-lite" };
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
        arch_now = archs[i];
        RUN(rows_are_their_timelines);
    }
    for (made_now = 0; made_now < sizeof made / sizeof *made; made_now++)
        RUN(rows_of_blocks);
    return TEST_END();
}
