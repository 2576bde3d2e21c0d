/* Whole passes of the CUDA backend with the table of ways set to the library everywhere, through the plugin on the emulator and
 * the library that stands for cuBLAS: the same answers within tolerance, each call failing in turn. Skipped without a C++ compiler. */
#include "tests/forward.h"
#include "tests/on_device.h"

static const ker_backend *gpu;
static const emu_api_table *emu;
static char *library_path;

static bool plugin(void)
{
    const char *build = getenv("BUILD");
    library_path = q_printf("%s/libcublas-emu.so", build ? build : "build");
    return !access(library_path, R_OK) && emulated(&gpu, &emu);
}

static void library(bool wanted)
{
    ker_ways all;
    memset(&all, 0xff, sizeof all);
    setenv("EMU_BLAS", library_path, 1);
    gpu->ways_put(0, wanted ? &all : NULL);
}

static unsigned long launched(const char *kernel)
{
    emu_kernel all[128];
    size_t n = emu->kernels(all, 128);
    for (size_t i = 0; i < n && i < 128; i++) if (strstr(all[i].name, kernel)) return (unsigned long)all[i].launches;
    return 0;
}

/* Shapes of forward.h with matrices of types that have a way: dense and routed, shared experts, odd widths. */
static spec shapes[6];
static void shapes_make(void)
{
    static const struct { int from, type; } of[6] = { { 6, KER_Q8_0 }, { 2, KER_Q4_1 }, { 3, KER_F16 }, { 3, KER_BF16 }, { 2, KER_Q8_0 }, { 1, KER_F16 } };
    for (int i = 0; i < 6; i++) {
        shapes[i] = specs[of[i].from];
        shapes[i].type = shapes[i].down_type = of[i].type;
        if (of[i].from == 2) shapes[i].ff = 128;   /* a multiple of a block */
    }
}

static int pass(const model *m, const config *g, bool forced, bool by_library, int split, result *out)
{
    library(by_library);
    backend = gpu;
    ker_dev *d = dev_new(m, 1);
    if (!d) return Q_ERR;
    emu->reset();
    memset(out, 0, sizeof *out);
    int rc = run_model(d, m, g, forced, KER_KV_F32, split, out);
    gpu->close(d);
    return rc;
}

static void agrees_with_the_own_kernels(void)
{
    for (int i = 0; i < (test_brief() ? 2 : 6); i++) {
        model *m = model_new(&shapes[i]);
        config *g = malloc(sizeof *g);
        result *again = malloc(sizeof *again), *own = malloc(sizeof *own);
        bool forced = m->m.n_expert > 0;
        config_make(g, m, &settings[forced ? 8 : 9]);          /* no routing to flip; heads and widths masked */
        reference(m, g, forced, N_TOK, &want);
        for (int split = 40; split <= N_TOK; split += N_TOK - 40) {
            CHECK_INT(pass(m, g, forced, false, split, own), 0);
            CHECK_INT(launched("blas_put") + launched("group_put"), 0);
            CHECK_INT(pass(m, g, forced, true, split, &got), 0);
            unsigned long n = launched("blas_put"), routed = launched("group_put");
            CHECK_MSG(n >= 4 * (unsigned long)m->m.n_layer + 1, "%s: the library did %lu products", shapes[i].name, n);
            CHECK_MSG(forced ? routed >= 3 && routed % 3 == 0 : !routed, "%s: the library did %lu of routed experts", shapes[i].name, routed);
            /* A rounding may flip a step of an int8, as it does against the reference (test_cuda_forward); floats have none. */
            bool floats = ker_type_get(shapes[i].type)->act == KER_ACT_F32;
            double bad = worst(&got, floats ? own : &want), other = worst(&got, own);
            CHECK_MSG(other > 0 && bad < (floats ? 5e-3 : 6e-2), "%s of type %s in pieces of %d: off by %.3g of the largest logit", shapes[i].name,
                      ker_type_get(shapes[i].type)->name, split, bad);
            CHECK_INT(pass(m, g, forced, true, split, again), 0);          /* same settings, same bytes */
            CHECK(!memcmp(got.logits, again->logits, sizeof got.logits));
        }
        free(again);
        free(own);
        free(g);
        model_free(m);
    }
}

/* Few rows never ask the library: decoding is the own kernels' to the bit. */
static void decoding_stays_as_it_is(void)
{
    model *m = model_new(&shapes[0]);
    config *g = malloc(sizeof *g);
    config_make(g, m, &settings[0]);
    CHECK_INT(pass(m, g, false, false, 7, &want), 0);
    CHECK_INT(pass(m, g, false, true, 7, &got), 0);
    CHECK_INT(launched("blas_put") + launched("group_put"), 0);
    CHECK(!memcmp(got.logits, want.logits, sizeof got.logits));
    free(g);
    model_free(m);
}

/* One batch of 12 rows, all given back whatever fails. */
static int batch(const model *m, const config *g, float *logits)
{
    enum { N = 12 };
    ker_dev *d = NULL;
    ker_ctx *c = NULL;
    ker_kv *kv = NULL;
    int32_t page[1] = { 0 }, at[N];
    uint8_t want_logits[N];
    ker_seq seq = { .page = page, .n_page = 1 };
    ker_out o;
    for (int i = 0; i < N; i++) {
        at[i] = i;
        want_logits[i] = KER_WANT_LOGITS;
    }
    ker_batch b = { .n = N, .token = tokens, .pos = at, .cell = at, .want = want_logits, .seqs = &seq, .n_seq = 1 };
    int rc = gpu->open(&m->m, 1, NULL, &d, err);
    for (int l = 0; l < 5 && !rc; l++)
        for (int r = 0; r < KER_W_ROLES && !rc; r++)
            if (m->w[l][r].f) rc = gpu->weight(d, l - 1, (enum ker_role)r, &m->w[l][r].w, err);
    if (!rc) rc = gpu->ready(d, err);
    if (!rc) rc = gpu->ctx_new(d, N, m->m.n_expert, NULL, &c, err);
    if (!rc) rc = gpu->kv_new(d, KER_KV_F32, 1, &kv, err);
    if (!rc) rc = gpu->cfg_put(c, 0, &g->c, err);
    if (!rc) {
        *err = 0;
        rc = forward(c, kv, m, &b, &o);
        if (rc && !*err) gpu->begin(c, kv, &b, err);           /* parts have no words of their own: the next begin tells */
    }
    if (!rc) memcpy(logits, o.logits, sizeof(float) * N * VOCAB);
    gpu->kv_free(kv);
    gpu->ctx_free(c);
    if (d) gpu->close(d);
    return rc;
}

/* From opening to a batch's end: a sentence, or numbers within tolerance; nothing is left behind. */
static void every_call_may_fail(void)
{
    model *m = model_new(&shapes[5]);
    config *g = malloc(sizeof *g);
    emu_stats s;
    char words[2000];
    config_make(g, m, &settings[0]);
    library(true);
    int refused = 0, went_on = 0, step = getenv("QUORUM_LONG") ? 1 : test_brief() ? 21 : 7;
    memset(want.logits, 0, sizeof want.logits);
    emu->reset();
    CHECK_INT(batch(m, g, want.logits), 0);
    CHECK(launched("blas_put") > 0 && launched("group_put") > 0);
    emu->stats(&s);
    memset(got.logits, 0, sizeof got.logits);
    for (long n = 1; n <= (long)s.calls; n += step) {
        emu->fail_at(n);
        *err = 0;
        int rc = batch(m, g, got.logits);
        emu->fail_at(0);
        if (rc) CHECK_MSG(*err, "call %ld fails: %d without a sentence", n, rc);
        else CHECK_MSG(worst(&got, &want) < 5e-3, "call %ld fails: off by %g", n, worst(&got, &want));
        rc ? refused++ : went_on++;
        size_t left = emu->leaks(words, sizeof words);
        CHECK_MSG(left == 0, "call %ld fails: %zu left: %s", n, left, words);
        if (test_bad > 5) break;
    }
    printf("# %llu calls, every %d. failed in turn: %d ended in a sentence, %d were not needed\n", (unsigned long long)s.calls, step, refused, went_on);
    CHECK(test_brief() || (refused > 20 && went_on > 2));
    free(g);
    model_free(m);
}

/* Where a part of the library's room is not there, the rest is given back: a context holds what one without it does, or what one without
 * its experts does. */
static void half_a_room_is_given_back(void)
{
    model *m = model_new(&shapes[5]);
    emu_stats bare, whole, s;
    uint64_t held[64];
    int n = 0, own, all, changes = 0;
    for (int with = 0; with < 2; with++) {
        ker_ctx *c = NULL;
        library(with);
        backend = gpu;
        ker_dev *d = dev_new(m, 1);
        emu->reset();
        CHECK_INT(gpu->ctx_new(d, 12, m->m.n_expert, NULL, &c, err), 0);
        emu->stats(with ? &whole : &bare);
        gpu->ctx_free(c);
        for (own = (int)bare.mallocs, all = (int)whole.mallocs; with && own + n < all && n < 64; n++) {
            emu->fail("cudaMalloc", own + n + 1);
            CHECK_INT(gpu->ctx_new(d, 12, m->m.n_expert, NULL, &c, err), 0);
            emu->fail(NULL, 0);
            emu->stats(&s);
            held[n] = s.held;
            gpu->ctx_free(c);
        }
        gpu->close(d);
    }
    CHECK_MSG(n > 8, "the library has %d pieces", n);
    for (int i = 1; i < n; i++) changes += held[i] != held[i - 1];
    CHECK_MSG(held[0] == bare.held && held[n - 1] < whole.held && held[n - 1] > bare.held && changes == 1, "%llu, %llu bytes held, %d kinds; without the library %llu, with it %llu",
              (unsigned long long)held[0], (unsigned long long)held[n - 1], changes + 1, (unsigned long long)bare.held, (unsigned long long)whole.held);
    model_free(m);
}

/* Routed experts that run for another device: a call that fails ends in an error, or in numbers within tolerance. */
static void experts_for_others_say_what_failed(void)
{
    enum { N = 12, K = 3 };
    model *m = model_new(&shapes[0]);
    int E = m->m.n_embd, all = N * K * E, refused = 0, calls = 1, step = getenv("QUORUM_LONG") ? 1 : test_brief() ? 13 : 3;
    float *x = malloc(sizeof *x * (size_t)(N * E)), *well = malloc(sizeof *well * (size_t)all), weights[N * K];
    uint16_t ids[N * K];
    for (int i = 0; i < N * E; i++) x[i] = (float)rnd();
    for (int i = 0; i < N * K; i++) {
        ids[i] = (uint16_t)((i / K + i % K * 2) % m->m.n_expert);
        weights[i] = 1;
    }
    library(true);
    backend = gpu;
    ker_dev *d = dev_new(m, 1);
    for (long n = 0; d && n <= calls; n += n ? step : 1) {
        ker_moe moe = { .n = N, .max_k = K, .n_pair = N * K, .x = x, .ids = ids, .weights = weights };
        ker_ctx *c = NULL;
        emu_stats s;
        double off = 0, size = 0;
        CHECK_INT(gpu->ctx_new(d, N, m->m.n_expert, NULL, &c, err), 0);
        emu->reset();
        emu->fail_at(n);
        int rc = gpu->moe_run(c, m->m.n_layer - 1, &moe);
        emu->fail_at(0);
        if (!n) {
            CHECK_INT(rc, 0);
            CHECK(launched("group_put") > 0);
            emu->stats(&s);
            calls = (int)s.calls;
            memcpy(well, moe.y, sizeof *well * (size_t)all);
        }
        for (int i = 0; i < all && !rc; i++) {
            off = fmax(off, fabs((double)moe.y[i] - (double)well[i]));
            size = fmax(size, fabs((double)well[i]));
        }
        CHECK_MSG(off <= 2e-2 * size, "call %ld fails: all is well, and rows are off by %.3g of the largest number", n, off / size);
        refused += rc != 0;
        gpu->ctx_free(c);
        if (!rc) continue;
        gpu->close(d);                             /* what failed stays with the device */
        d = dev_new(m, 1);
    }
    printf("# %d calls, every %d. failed in turn: %d ended in an error\n", calls, step, refused);
    CHECK(test_brief() || refused > 10);
    if (d) gpu->close(d);
    free(x);
    free(well);
    model_free(m);
}

int main(void)
{
    if (!plugin()) {
        SKIP("cuda_library", "build/libquorum-emu.so and build/libcublas-emu.so are not built (they need g++)");
        return 0;
    }
    backend = gpu;
    tokens_make();
    shapes_make();
    RUN(agrees_with_the_own_kernels);
    RUN(decoding_stays_as_it_is);
    RUN(every_call_may_fail);
    RUN(half_a_room_is_given_back);
    RUN(experts_for_others_say_what_failed);
    free(library_path);
    return TEST_END();
}
