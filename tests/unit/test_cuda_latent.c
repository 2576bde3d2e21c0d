/* Latent attention on the CUDA backend, on the emulator (build/libquorum-emu.so), against the CPU's: the widths of real models, K_B and
 * V_B of several types, few rows and many, every type of cell; and what a model without its like is told. Skipped without a C++ compiler. */
#include "tests/forward_low.h"
#include "tests/either_side.h"
#include "tests/on_device.h"

static const emu_api_table *emu;

static bool all_of_it(void) { return getenv("QUORUM_LONG") != NULL; }

static ker_dev *opened(const ker_backend *b, const model *m)
{
    backend = b;
    ker_dev *d = dev_new(m, 2);
    CHECK_MSG(d != NULL, "%s", err);
    return d;
}

/* ---- widths and types ---- */

/* One dense layer, two heads; types of K_B and V_B. */
typedef struct width { const char *name; ker_latent t; int k, v; } width;
static const width widths[] = {
    { "V2-Lite, halves", { 0, 512, 128, 64, 128 }, KER_F16, KER_F16 },
    { "V2-Lite, Q8_0", { 0, 512, 128, 64, 128 }, KER_Q8_0, KER_Q8_0 },
    { "V2-Lite, Q8_0 and Q4_K", { 0, 512, 128, 64, 128 }, KER_Q8_0, KER_Q4_K },
    { "GLM-4.7-Flash, Q8_0", { 96, 512, 192, 64, 256 }, KER_Q8_0, KER_Q8_0 },
    { "latents of 256, Q4_K", { 0, 256, 256, 64, 128 }, KER_Q4_K, KER_Q4_K },
    { "latents of 256, halves and Q8_0", { 64, 256, 128, 64, 128 }, KER_F16, KER_Q8_0 },
};
enum { WIDTHS = sizeof widths / sizeof *widths };

/* Of a type that nobody writes: any integers, scales that make numbers of about `size`. */
static void make_blocks(model *m, int layer, enum ker_role role, int type, int64_t a, int64_t b, int64_t c, double size)
{
    weight *w = &m->w[layer + 1][role];
    const ker_type *t = ker_type_get(type);
    int64_t n = a * b * c, blocks = n / t->block;
    size_t bytes = (size_t)(blocks * t->bytes);
    uint8_t *p = malloc(bytes);
    for (size_t i = 0; i < bytes; i++) p[i] = (uint8_t)(128 * (1 + rnd()));
    for (int64_t i = 0; i < blocks; i++) ker_type_scale(type, p + i * t->bytes, (float)(size / 230), (float)(size / 230 * 7.5));
    *w = (weight){ .f = malloc(sizeof(float) * (size_t)n), .raw = p };
    t->decode(p, w->f, n);
    w->w = (ker_weight){ .type = type, .ne = { a, b, c }, .data = p, .bytes = bytes };
}

static void heads_of_type(model *m, int layer, enum ker_role role, int type)
{
    weight *w = &m->w[layer + 1][role], old = *w;
    const int64_t *ne = old.w.ne;
    double size = 2.2 / sqrt((double)m->m.latent.kv_rank);
    if (ker_type_get(type)->encode) make(m, layer, role, type, ne[0], ne[1], ne[2], size, 0);
    else make_blocks(m, layer, role, type, ne[0], ne[1], ne[2], size);
    if (old.raw != old.f) free(old.raw);
    free(old.f);
}

static model *of_width(const width *w, spec *s)
{
    *s = (spec){ .name = w->name, .n_layer = 1, .dense = 1, .n_embd = 64, .n_head = 2, .n_kv = 2, .hd = w->t.nope + w->t.rope, .rope_dim = w->t.rope, .ff = 32,
                 .gate = KER_GATE_SOFTMAX, .scale = 1, .more = { .latent = w->t } };
    model *m = model_new(s);
    heads_of_type(m, 0, KER_W_K_B, w->k);
    heads_of_type(m, 0, KER_W_V_B, w->v);
    return m;
}

/* F32 cells tell of the arithmetic; in F16 a number on an edge falls to either side; of blocks the CPU rounds queries too, so that both
 * are held to what F32 cells give: the GPU is no farther from that than the CPU. */
static void widths_of_real_models(void)
{
    static const int split[] = { N_TOK, 5, 1, 9 };
    static result exact, rounded;
    double closest[2] = { 0, 0 };
    for (int i = 0; i < WIDTHS; i++) {
        spec s;
        model *m = of_width(&widths[i], &s);
        config *g = malloc(sizeof *g);
        config_make(g, m, &settings[i % 2 ? 9 : 0]);           /* "masks": a head is off */
        bool floats = ker_type_get(widths[i].k)->block == 1 && ker_type_get(widths[i].v)->block == 1;
        ker_dev *cpu = opened(ker_cpu(), m), *dev = opened(gpu, m);
        backend = ker_cpu();
        CHECK_INT(run_model(cpu, m, g, false, KER_KV_F32, N_TOK, &exact), 0);
        for (int kv = KER_KV_F16; dev && kv < KER_KV_TYPES; kv++) {
            backend = ker_cpu();
            CHECK_INT(run_model(cpu, m, g, false, kv, N_TOK, &rounded), 0);
            backend = gpu;
            for (int p = 0; p < 4; p++) {
                static const int once[KER_KV_TYPES][2] = { [KER_KV_F16] = { 0, 1 }, [KER_KV_F32] = { 3, 1 }, [KER_KV_Q8_0] = { 1, -1 }, [KER_KV_Q4_0] = { -1, 0 } };
                if (!all_of_it() && p != once[kv][i % 2] && (kv != KER_KV_F16 || p > 1 || test_brief())) continue;
                CHECK_MSG(run_model(dev, m, g, false, kv, split[p], &got) == 0, "%s", err);
                double bad = worst(&got, kv == KER_KV_F16 ? &rounded : &exact);
                double most = kv == KER_KV_F32 ? (floats ? 1e-5 : 2e-3) : kv == KER_KV_F16 ? (floats ? 1e-4 : 3e-3) : 1.25 * worst(&rounded, &exact) + 1e-3;
                closest[kv == KER_KV_F32] = fmax(closest[kv == KER_KV_F32], kv < KER_KV_Q8_0 ? bad : 0);
                CHECK_MSG(bad < most, "%s, cells of type %d, pieces of %d: off by %.3g of the largest logit, at most %.3g", s.name, kv, split[p], bad, most);
            }
        }
        ker_cpu()->close(cpu);
        if (dev) gpu->close(dev);
        free(g);
        model_free(m);
    }
    printf("# off by at most %.3g of the largest logit with F16 cells, %.3g with F32 cells\n", closest[0], closest[1]);
}

/* ---- what is refused ---- */

/* Windows, sinks and gates beside latents; what a layer gives may be normed, biased and multiplied as elsewhere. */
static void what_no_model_has_is_refused(void)
{
    for (int i = 0; i < 4; i++) {
        model *m = model_new(&specs[spec_named("deepseek-v2")]);
        ker_dev *d = NULL;
        if (i == 1) m->layer[2].window = 8;
        if (i == 2) m->layer[2].sinks = true;
        if (i == 3) m->layer[2].q_gate = true;
        int rc = gpu->open(&m->m, 1, NULL, &d, err);
        CHECK_INT(rc, i ? Q_FORMAT : 0);
        CHECK_MSG(!i || (strstr(err, "layer 2 has a window, sinks or a gate beside its latents") && strstr(err, "--device cpu")), "%s", err);
        if (!rc) gpu->close(d);
        model_free(m);
    }
    spec s = specs[spec_named("deepseek-v2")];
    static result cpus;
    s.name = "latents, normed, with factors";
    s.more.post_norms = s.more.bias_o = true;
    s.more.residual = .5f;
    for (int q8 = 0; q8 < 2; q8++) {
        if (q8) {
            s = specs[spec_named("deepseek, q8")];
            s.name = "latents by blocks, with factors";
            s.more.bias_o = true;
            s.more.residual = .5f;
        }
        model *m = model_new(&s);
        config *g = malloc(sizeof *g);
        config_make(g, m, &settings[8]);
        ker_dev *cpu = opened(ker_cpu(), m);
        CHECK_INT(run_model(cpu, m, g, true, KER_KV_F32, N_TOK, &cpus), 0);
        ker_dev *d = opened(gpu, m);
        for (int piece = 0; d && piece < 2; piece++) {
            CHECK_INT(run_model(d, m, g, true, KER_KV_F32, piece ? 5 : N_TOK, &got), 0);
            double bad = worst(&got, &cpus);
            CHECK_MSG(bad < (q8 ? 6e-2 : 1e-4), "%s: off by %.3g of the largest logit", s.name, bad);
        }
        ker_cpu()->close(cpu);
        if (d) gpu->close(d);
        free(g);
        model_free(m);
    }
}

int main(void)
{
    if (!emulated(&gpu, &emu)) {
        SKIP("cuda_latent", "build/libquorum-emu.so is not built (it needs g++)");
        return 0;
    }
    tokens_make();
    RUN(what_no_model_has_is_refused);
    RUN(widths_of_real_models);
    return TEST_END();
}
