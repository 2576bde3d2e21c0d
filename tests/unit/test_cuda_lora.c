/* Adapters by way of the engine on the emulated GPU: the cases of ../shared/data/lora (PyTorch and peft) beside them and beside the CPU,
 * tokens at once, one by one and in sevens (in the long form every case in every way, else each in one); a quantised model beside the CPU;
 * scales that change between two tokens without another graph, rows of one step under different ones, and what a token costs. Without a
 * C++ compiler there is no emulator: all is skipped. */
#include "engine/models.h"
#include "tests/adapter_help.h"
#include "tests/lora_cases.h"
#include "tests/on_device.h"
#include "tests/test.h"

static const ker_backend *gpu;
static const emu_api_table *emu;
static char err[Q_ERRLEN];

/* ---- PyTorch's ---- */

static void one_case(const golden_set *g, eng_model *cpu, eng_model *dev, int at, int split, double *most)
{
    golden_result a = { 0 }, b = { 0 };
    golden_diff d = { 0 };
    q_buf on_cpu = { 0 }, on_dev = { 0 };
    const char *name = g->name[at];
    int there = lora_case_load(cpu, g, at, false, &on_cpu, err), rc = there < 0 ? there : 0;
    CHECK(there == 1);
    if (!rc && (there = lora_case_load(dev, g, at, false, &on_dev, err)) < 0) rc = there;
    if (!rc) rc = lora_case_run(cpu, g, at, on_cpu.p, 0, &a, err);
    if (!rc) rc = lora_case_run(dev, g, at, on_dev.p, split, &b, err);
    if (!rc) rc = golden_compare(g, dev, at, &b, &d, err);
    CHECK_MSG(!rc, "%s %s split %d: %s", g->arch, name, split, err);
    CHECK_MSG(d.logits <= 1e-4 && d.weights <= 1e-4 && d.ids == 0, "%s %s split %d: logits differ by %.3g of the largest, weights by %.3g, %d ids", g->arch, name, split, d.logits,
              d.weights, d.ids);
    double off = 0, top = 0;
    for (int i = 0; !rc && i < a.n * a.n_vocab; i++) {
        double gap = fabs((double)a.logits[i] - (double)b.logits[i]);
        off = gap > off || isnan(gap) ? gap : off;
        top = fmax(top, fabs((double)a.logits[i]));
    }
    if (!rc) CHECK_MSG(off <= 1e-4 * top, "%s %s split %d: logits differ by %.3g of the largest from the CPU's", g->arch, name, split, off / top);
    if (!rc && a.ids) CHECK(a.max_k == b.max_k && !memcmp(a.ids, b.ids, sizeof *a.ids * (size_t)a.n * (size_t)a.n_layer * (size_t)a.max_k));
    if (!rc) *most = fmax(*most, fmax(d.logits, off / top));
    CHECK(lora_drop_all(cpu, err) == 0 && lora_drop_all(dev, err) == 0);
    golden_result_free(&a);
    golden_result_free(&b);
    q_buf_free(&on_cpu);
    q_buf_free(&on_dev);
}

static const char *arch_now;

static void goldens_of_peft_and_pytorch(void)
{
    static const int splits[] = { 7, 0, 1 };
    char *folder = q_printf("../shared/data/lora/%s", arch_now), *path = q_printf("../shared/data/golden/%s/model.gguf", arch_now);
    eng_model *cpu = NULL, *dev = NULL;
    golden_set g = { 0 };
    double most = 0;
    int runs = 0, rc = eng_model_open(path, NULL, &cpu, err) || eng_model_open(path, NULL, &dev, err) || on_device(dev, gpu, 0, err) || golden_open(folder, &g, err);
    CHECK_MSG(!rc, "%s", err);
    for (int i = 0; i < g.n_case && !rc; i++)
        for (int w = 0; w < 3; w++) {
            if (!getenv("QUORUM_LONG") && w != i % 3) continue;
            one_case(&g, cpu, dev, i, splits[w], &most);
            runs++;
        }
    printf("# %s: %d runs of %d cases, at most %.2e of the largest logit off\n", arch_now, runs, g.n_case, most);
    CHECK(rc || runs >= 8);
    golden_close(&g);
    eng_model_free(dev);
    eng_model_free(cpu);
    free(folder);
    free(path);
}

/* ---- a quantised model ---- */

enum { N_TOK = 6 };
static int32_t token(int i) { return (int32_t)((i * 7919 + 13) % 300); }

/* Random weights in Q4_K and Q6_K, with an adapter "style" on every product of a token; on the device where there is one. */
static eng_model *model_of(const ker_backend *be)
{
    static const enum ker_role on[] = { KER_W_Q, KER_W_K, KER_W_V, KER_W_O, KER_W_GATE_EXPS, KER_W_UP_EXPS, KER_W_DOWN_EXPS };
    enum { N = 2 * sizeof on / sizeof *on + 1 };
    const char *build = getenv("BUILD");
    char *path = q_printf("%s/lora-%ld.gguf", build ? build : "build", (long)getpid());
    eng_model *m = NULL;
    eng_adapter *a = NULL;
    eng_low low[N];
    int rc = eng_synth("qwen3moe", "smoke", "Q4_K_M", 2, 5, path, NULL, NULL, err);
    if (!rc) rc = eng_model_open(path, NULL, &m, err);
    remove(path);
    free(path);
    if (!rc && be) rc = on_device(m, be, 0, err);
    CHECK_MSG(rc == 0, "%s", err);
    if (rc) return NULL;
    for (int i = 0; i + 1 < N; i++) low[i] = help_low(m, on[i / 2], i % 2, 6, .3f);
    low[N - 1] = help_low(m, KER_W_OUT, -1, 6, .1f);
    CHECK_MSG(eng_adapter_make(m, "style", low, N, "", &a, err) == 0 && eng_model_adapter_add(m, a, "style", err) == 0, "%s", err);
    help_low_free(low, N);
    return m;
}

static eng_config *config(const eng_model *m, const char *scale)
{
    eng_config *c = eng_config_new(m);
    CHECK(eng_config_set(c, "context.length", "64", err) == 0);
    CHECK_MSG(eng_config_set(c, "lora.scale", scale, err) == 0, "%s", err);
    return c;
}

static double gap(const float *a, const float *b, int n)
{
    double most = 0, size = 0;
    for (int i = 0; i < n; i++) {
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
        size = fmax(size, fabs((double)b[i]));
    }
    return most / size;
}

/* Logits behind N_TOK tokens, one by one under a scale. */
static float *anew(eng_model *m, const char *scale)
{
    eng_config *c = config(m, scale);
    eng_session *s = NULL;
    size_t n = (size_t)eng_model_info(m)->n_vocab;
    float *copy = q_alloc(sizeof *copy * n);
    CHECK_MSG(eng_session_new(m, c, &s, err) == 0, "%s", err);
    for (int i = 0; s && i < N_TOK; i++) CHECK_MSG(eng_session_push(s, token(i), err) == 0, "%s", err);
    const float *l = s ? eng_session_logits(s) : NULL;
    CHECK(l != NULL);
    if (l) memcpy(copy, l, sizeof *copy * n);
    eng_session_free(s);
    eng_config_free(c);
    return copy;
}

/* The same rows on both sides, the device's experts forced to be the CPU's. */
static void a_quantised_model_beside_the_cpu(void)
{
    eng_model *cpu = model_of(NULL), *dev = model_of(gpu);
    if (!cpu || !dev) return;
    static const char *const scale[] = { "none", "style", "style=-0.7,style@1=0.3" };
    int V = eng_model_info(cpu)->n_vocab;
    double most = 0, moved = 0;
    float *base = anew(cpu, "none");
    for (int i = 0; i < 3; i++)
        for (int n = 2; n <= 10; n += 8) {                         /* few rows, and many */
            eng_model *m[2] = { cpu, dev };
            eng_out *out[2];
            eng_cache *k[2];
            eng_session *s[2];
            for (int j = 0; j < 2; j++) {
                eng_config *c = config(m[j], scale[i]);
                eng_row rows[10] = { 0 };
                out[j] = q_alloc(sizeof **out);
                CHECK_MSG(eng_cache_new(m[j], c, 1, &k[j], err) == 0 && eng_cache_session(k[j], c, &s[j], err) == 0, "%s", err);
                for (int r = 0; r < n; r++) {
                    rows[r] = (eng_row){ .session = s[j], .token = token(r), .want = ENG_WANT_LOGITS };
                    if (!j) continue;
                    rows[r].forced = out[0]->ids + (size_t)r * (size_t)out[0]->max_k;
                    rows[r].forced_k = out[0]->max_k;
                    rows[r].forced_step = (size_t)n * (size_t)out[0]->max_k;
                }
                CHECK_MSG(eng_cache_step(k[j], rows, n, true, out[j], err) == 0, "%s", err);
                eng_config_free(c);
            }
            for (int r = 0; r < n; r++) most = fmax(most, gap(out[1]->logits[r], out[0]->logits[r], V));
            if (i && n > N_TOK) moved = fmax(moved, gap(out[0]->logits[N_TOK - 1], base, V));
            for (int j = 0; j < 2; j++) {
                eng_session_free(s[j]);
                eng_cache_free(k[j]);
                free(out[j]);
            }
        }
    printf("# at most %.2e of the largest logit from the CPU's; the adapter moves them by %.2f\n", most, moved);
    CHECK_MSG(most < 6e-2, "%.3g", most);
    CHECK_MSG(moved > .1, "%.3g", moved);
    free(base);
    eng_model_free(cpu);
    eng_model_free(dev);
}

/* ---- scales between two tokens, rows of one step ---- */

static void scales_change_without_another_graph(void)
{
    eng_model *m = model_of(gpu);
    if (!m) return;
    static const char *const scale[] = { "none", "style", "style=0.3", "style=0,style@1e2=1", "style@0=0" };
    emu_stats s, bare;
    eng_session *one = NULL;
    eng_config *c[5];
    for (int i = 0; i < 5; i++) c[i] = config(m, scale[i]);
    CHECK_MSG(eng_session_new(m, c[0], &one, err) == 0 && eng_session_push(one, 1, err) == 0 && eng_session_push(one, 2, err) == 0, "%s", err);
    emu->reset();
    CHECK_INT(eng_session_push(one, 3, err), 0);
    emu->stats(&bare);
    CHECK(eng_session_config(one, c[1], ENG_CONTINUE, err) == 0 && eng_session_push(one, 4, err) == 0 && eng_session_push(one, 5, err) == 0);
    for (int i = 2; i < 5; i++) {
        CHECK_INT(eng_session_config(one, c[i], ENG_CONTINUE, err), 0);
        emu->reset();
        CHECK_MSG(eng_session_push(one, token(i), err) == 0, "%s", err);
        emu->stats(&s);
        CHECK_INT(s.graphs_made, 0);
        CHECK_INT(s.graph_launches, 1);
        CHECK_INT(s.launches, s.graph_kernels);
        CHECK_INT(s.host_syncs, 1);
    }
    int layers = eng_model_info(m)->n_layer;
    printf("# a token of %d layers: %llu launches, %llu with an adapter on every product of one\n", layers, (unsigned long long)bare.launches, (unsigned long long)s.launches);
    CHECK_MSG(s.launches == bare.launches && s.launches <= 8 * (uint64_t)layers, "%llu launches, %llu without", (unsigned long long)s.launches, (unsigned long long)bare.launches);
    /* Back and forth: what a session says that was always so. */
    for (int i = 0; i < 4; i++) {
        static const int order[] = { 1, 0, 2, 3 };
        int32_t text[N_TOK];
        float *l = anew(m, scale[order[i]]);
        for (int t = 0; t < N_TOK; t++) text[t] = token(t);
        CHECK(eng_session_cut(one, 0, err) == 0 && eng_session_config(one, c[order[i]], ENG_RECOMPUTE, err) == 0);
        for (int t = 0; t < N_TOK; t++) CHECK_INT(eng_session_push(one, text[t], err), 0);
        CHECK_MSG(!memcmp(l, eng_session_logits(one), sizeof *l * (size_t)eng_model_info(m)->n_vocab), "%s", scale[order[i]]);
        free(l);
    }
    eng_session_free(one);
    for (int i = 0; i < 5; i++) eng_config_free(c[i]);
    eng_model_free(m);
}

static void rows_of_one_step_act_apart(void)
{
    eng_model *m = model_of(gpu);
    if (!m) return;
    static const char *const scale[] = { "none", "style", "style=0.3", "style=0,style@1e2=1" };
    enum { N = sizeof scale / sizeof *scale };
    eng_config *c[N];
    eng_session *s[N];
    eng_cache *k = NULL;
    eng_out *out = q_alloc(sizeof *out);
    for (int i = 0; i < N; i++) c[i] = config(m, scale[i]);
    CHECK_MSG(eng_cache_new(m, c[0], N, &k, err) == 0, "%s", err);
    for (int i = 0; i < N; i++) CHECK_MSG(eng_cache_session(k, c[i], &s[i], err) == 0, "%s", err);
    for (int t = 0; t < N_TOK; t++) {
        eng_row rows[N] = { 0 };
        for (int i = 0; i < N; i++) rows[i] = (eng_row){ .session = s[i], .token = token(t), .want = ENG_WANT_LOGITS };
        CHECK_MSG(eng_cache_step(k, rows, N, true, out, err) == 0, "%s", err);
    }
    for (int i = 0; i < N; i++) {
        float *alone = anew(m, scale[i]);
        CHECK_MSG(!memcmp(alone, out->logits[i], sizeof *alone * (size_t)eng_model_info(m)->n_vocab), "%s: other bits beside others", scale[i]);
        free(alone);
    }
    /* Dropped, nothing of it is left; another under its name acts. */
    float *with = anew(m, "style"), *without = anew(m, "none");
    CHECK_INT(eng_model_adapter_drop(m, "style", err), 0);
    float *gone = anew(m, "none");
    size_t bytes = sizeof *with * (size_t)eng_model_info(m)->n_vocab;
    CHECK(!memcmp(gone, without, bytes) && memcmp(with, without, bytes));
    free(with);
    free(without);
    free(gone);
    for (int i = 0; i < N; i++) eng_session_free(s[i]);
    eng_cache_free(k);
    for (int i = 0; i < N; i++) eng_config_free(c[i]);
    free(out);
    eng_model_free(m);
}

int main(void)
{
    static const char *const archs[] = { "qwen3moe", "glm4moe", "qwen2moe", "qwen3", "llama" };
    if (!emulated(&gpu, &emu)) {
        SKIP("cuda_lora", "build/libquorum-emu.so is not built (it needs g++)");
        return 0;
    }
    RUN(a_quantised_model_beside_the_cpu);
    RUN(scales_change_without_another_graph);
    RUN(rows_of_one_step_act_apart);
    for (size_t i = 0; i < (test_brief() ? 1 : sizeof archs / sizeof *archs); i++) {
        arch_now = archs[i];
        if (util_exists("../shared/data/lora/README.md")) RUN(goldens_of_peft_and_pytorch);
        else SKIP("goldens_of_peft_and_pytorch", "../shared/data/lora is not here");
    }
    return TEST_END();
}
