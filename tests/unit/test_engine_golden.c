/* The engine against PyTorch in F32: every case of the checked-in goldens, and of ../shared's when they are
 * there, whole and in pieces of 1 and 7; and the same bytes for every split and number of threads.
 * Tolerances: logits 2e-4 of the largest |logit|, weights 1e-4, ids equal as sets. */
#include "tests/golden.h"
#include "tests/test.h"

/* All cases of one folder, in pieces of several sizes; the same bytes whatever the pieces and the number of threads. */
typedef struct extra_case { const char *name, *knob, *value; } extra_case;

static void folder(const char *dir, const char *model, const extra_case *extra)
{
    static const struct { int split; const char *threads; } ways[] = { { 0, "2" }, { 1, "1" }, { 7, "3" } };
    char err[Q_ERRLEN];
    eng_model *m = NULL;
    golden_set g;
    int rc = eng_model_open(model, NULL, &m, err);
    if (!rc) rc = golden_open(dir, &g, err);
    if (!rc && extra->name) rc = golden_extra(&g, extra->name, extra->knob, extra->value, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    if (rc) return;
    for (int i = 0; i < g.n_case; i++) {
        golden_result first = { 0 }, r;
        for (int w = 0; w < 3; w++) {
            golden_diff d = { 0 };
            const char *name = g.name[i], *arch = g.arch;
            int split = ways[w].split;
            rc = golden_run_with(&g, m, i, split, ways[w].threads, &r, err);
            if (!rc && w == 0) rc = golden_compare(&g, m, i, &r, &d, err);
            CHECK_MSG(rc == 0, "%s %s split %d: %s", arch, name, split, rc ? err : "");
            CHECK_MSG(d.logits <= 2e-4 && d.weights <= 1e-4 && d.ids == 0, "%s %s: logits differ by %.3g of the largest, weights by %.3g, %d ids", arch, name, d.logits, d.weights, d.ids);
            if (w == 0) {
                first = r;
                continue;
            }
            size_t cells = (size_t)r.n * (size_t)r.n_layer * (size_t)r.max_k;
            CHECK_MSG(first.logits && memcmp(first.logits, r.logits, sizeof(float) * (size_t)r.n * (size_t)r.n_vocab) == 0, "%s %s split %d: other bytes of logits", arch, name, split);
            CHECK_MSG(!r.ids || (first.ids && memcmp(first.ids, r.ids, sizeof *r.ids * cells) == 0 && memcmp(first.weights, r.weights, sizeof *r.weights * cells) == 0),
                      "%s %s split %d: other bytes of routing", arch, name, split);
            golden_result_free(&r);
        }
        golden_result_free(&first);
    }
    golden_close(&g);
    eng_model_free(m);
}

static const char *arch_now, *shared_now;
static extra_case extra_now;

static void shared_goldens(void)
{
    char *model = q_printf("%s/model.gguf", shared_now);
    folder(shared_now, model, &extra_now);
    free(model);
}

static void checked_in_goldens(void)
{
    char *dir = q_printf("tests/golden/engine/%s", arch_now), *model = util_model(arch_now);
    folder(dir, model, &(extra_case){ 0 });
    remove(model);
    free(dir);
    free(model);
}

/* The carved default: tiny experts, quantised, repacked; the same bytes whatever the split and threads. */
static void carved_rows(void)
{
    static const struct { int split; const char *threads; } ways[] = { { 0, "2" }, { 1, "1" }, { 7, "3" } };
    char *path = util_default_model(), err[Q_ERRLEN];
    eng_model *m = NULL;
    int rc = eng_model_open(path, NULL, &m, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    free(path);
    if (rc)
        return;
    eng_tokens t = { 0 };
    const char *text = "The quorum of a council is the number of members that must be present for its decisions to count.";
    CHECK(eng_tokenize(m, text, strlen(text), false, &t, err) == 0);
    golden_result r[3];
    for (int w = 0; w < 3; w++) {
        eng_config *c = eng_config_new(m);
        CHECK(eng_config_set(c, "threads", ways[w].threads, err) == 0);
        CHECK(eng_config_set(c, "experts.k", "8", err) == 0);
        CHECK(golden_eval(m, c, &t, ways[w].split, NULL, 0, &r[w], err) == 0);
        CHECK_MSG(memcmp(r[0].logits, r[w].logits, sizeof(float) * (size_t)t.n * (size_t)r[0].n_vocab) == 0, "split %d", ways[w].split);
        CHECK(memcmp(r[0].ids, r[w].ids, sizeof(uint16_t) * (size_t)t.n * (size_t)r[0].n_layer * (size_t)r[0].max_k) == 0);
        eng_config_free(c);
    }
    for (int w = 0; w < 3; w++)
        golden_result_free(&r[w]);
    eng_tokens_free(&t);
    eng_model_free(m);
}

/* Whose logits are PyTorch's, in ../shared/data. `extra`: of the cases that are no part of a normal run, the one that is ours. */
static const struct { const char *set, *arch, *extra; } shared[] = {
    { "golden", "qwen3moe", NULL }, { "golden", "qwen2moe", NULL }, { "golden", "glm4moe", NULL }, { "golden", "qwen3", NULL }, { "golden", "llama", NULL },
    { "golden-next", "qwen3next", NULL }, { "golden-next", "qwen35moe", NULL }, { "golden-next", "qwen35", NULL },
    { "golden-next", "mixtral", NULL }, { "golden-next", "qwen2", NULL }, { "golden-next", "olmoe", NULL }, { "golden-next", "granitemoe", NULL },
    { "golden-next", "phi3", NULL }, { "golden-next", "phi3-longrope", NULL },
    { "golden-next", "deepseek2-lite", NULL }, { "golden-next", "deepseek2-v3", NULL }, { "golden-next", "gemma3", NULL },
    { "golden-next", "gpt-oss", "yarn_untruncated" },
};

/* What such a case is under, where its file cannot say it. */
static const extra_case extras[] = { { "yarn_untruncated", "rope.yarn_range", "exact" } };

int main(void)
{
    static const char *const small[] = { "qwen3moe", "glm4moe", "mixtral", "qwen2", "olmoe", "granitemoe", "phi3", "gemma3", "gpt-oss", "glm4moe-full",
                                          "qwen3next", "qwen35", "deepseek2", "deepseek2-lite" };
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        arch_now = small[i];
        RUN(checked_in_goldens);
    }
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++) {
        char *dir = q_printf("../shared/data/%s/%s", shared[i].set, shared[i].arch);
        shared_now = dir;
        extra_now = (extra_case){ .name = shared[i].extra };
        for (size_t k = 0; k < sizeof extras / sizeof *extras && shared[i].extra; k++)
            if (strcmp(extras[k].name, shared[i].extra) == 0) extra_now = extras[k];
        if (util_exists(dir))
            RUN(shared_goldens);
        else
            SKIP("shared_goldens", "../shared/data is not here");
        free(dir);
    }
    char *model = util_default_model();
    if (model)
        RUN(carved_rows);
    else
        SKIP("carved_rows", "the default model is not here (quorum model fetch)");
    free(model);
    return TEST_END();
}
