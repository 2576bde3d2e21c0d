/* Layers that are not plain on the CUDA backend, on the emulator (build/libquorum-emu.so): windows, sinks, biases of the router,
 * the experts and attention's output, GELU and the clamped gate; against the reference in double precision and against the
 * CPU, few rows and many, every type of cell, experts on either side and fetched, with adapters. Skipped without a C++ compiler. */
#include "tests/forward_low.h"
#include "tests/either_side.h"
#include "tests/on_device.h"

static bool all_of_it(void) { return getenv("QUORUM_LONG") != NULL; }

enum { ALL_BIASES = KER_BIAS_ROUTER | KER_BIAS_EXPERTS };

/* Of floats; then of the trade's types and widths, so that few rows' kernels and tensor cores take part. */
static const spec kinds[] = {
    { "oss", 3, 0, 64, 4, 2, 64, 64, 12, 0, 48, 0, true, false, true, false, false, false, true, KER_GATE_SOFTMAX, 1, 0, KER_F32, KER_F32,
      { .window = 7, .every = 2, .sinks = true, .bias_o = true }, { KER_GLU_CLAMPED, ALL_BIASES, 0, 0, 0 } },
    { "gelu", 3, 1, 64, 4, 1, 32, 32, 8, 72, 40, 24, true, true, false, true, false, true, false, KER_GATE_SOFTMAX, 1, 0, KER_F32, KER_F32,
      { .window = 20, .every = 3 }, { KER_GLU_GELU, KER_BIAS_ROUTER, 0, 0, 0 } },
    { "biases alone", 2, 0, 64, 4, 2, 16, 16, 8, 0, 33, 17, true, false, false, false, false, false, true, KER_GATE_SOFTMAX, 1, 0, KER_F32, KER_F32,
      { .bias_o = true }, { KER_GLU_SILU, KER_BIAS_EXPERTS, 0, 0, 0 } },
    { "oss, blocks", 2, 0, 256, 2, 1, 64, 64, 8, 0, 256, 0, true, false, true, true, false, false, true, KER_GATE_SOFTMAX, 1, 0, KER_Q8_0, KER_Q8_0,
      { .window = 7, .every = 2, .sinks = true, .bias_o = true }, { KER_GLU_CLAMPED, ALL_BIASES, 0, 0, 0 } },
    { "gelu, blocks", 2, 1, 64, 2, 1, 128, 128, 8, 96, 32, 64, true, true, false, true, false, true, true, KER_GATE_SOFTMAX, 1, 0, KER_Q4_0, KER_Q8_0,
      { .window = 30, .every = 3, .sinks = true }, { KER_GLU_GELU, ALL_BIASES, 0, 0, 0 } },
};
enum { KINDS = sizeof kinds / sizeof *kinds, FLOATS = 3 };

/* In the brief form the third of floats and one of blocks stand for all. */
static bool left_out(int s) { return test_brief() && s != 2 && s != FLOATS; }

static ker_dev *opened(const ker_backend *b, const model *m)
{
    backend = b;
    ker_dev *d = dev_new(m, 1);
    CHECK_MSG(d != NULL, "%s", err);
    return d;
}

static void agrees_with_the_reference(void)
{
    static const int how[] = { 0, 8, 9, 3, 10 }, split[] = { N_TOK, 5, 9, 1 };      /* "base", "forced", "masks", "ban", "magnitude" */
    int runs = 0;
    for (int s = 0; s < FLOATS; s++) {
        model *m = model_new(&kinds[s]);
        config *g = malloc(sizeof *g);
        ker_dev *d = opened(gpu, m);
        for (int i = 0; d && i < 5; i++)
            for (int p = 0; p < 4; p++) {
                const setting *t = &settings[how[i]];
                if (!all_of_it() && (p != (i + s) % 4 || (test_brief() && i != s))) continue;
                config_make(g, m, t);
                reference(m, g, t->forced, N_TOK, &want);
                CHECK_MSG(!run_model(d, m, g, t->forced, KER_KV_F32, split[p], &got), "%s", err);
                double bad = worst(&got, &want);
                int flips = 0;
                for (int k = 0; k < m->m.n_layer * N_TOK * MAX_E; k++) flips += got.ids[k] != want.ids[k];
                CHECK_MSG(bad < 1e-4 && !flips, "%s/%s in pieces of %d: off by %.3g of the largest logit, %d ids", kinds[s].name, t->name, split[p], bad, flips);
                runs++;
            }
        if (d) gpu->close(d);
        free(g);
        model_free(m);
    }
    printf("# %d runs\n", runs);
}

/* Every type of cell beside the CPU's F32 cells; narrow cells round, so that these are held to what rounding gives on the CPU. */
static void agrees_with_the_cpu(void)
{
    static const int split[] = { N_TOK, 8, 1, 12 };
    static result there;
    for (int s = 0; s < KINDS; s++) {
        if (left_out(s)) continue;
        model *m = model_new(&kinds[s]);
        config *g = malloc(sizeof *g);
        config_make(g, m, &settings[8]);           /* forced: no routing to flip */
        ker_dev *cpu = opened(ker_cpu(), m), *d = opened(gpu, m);
        backend = ker_cpu();
        CHECK_INT(run_model(cpu, m, g, true, KER_KV_F32, N_TOK, &want), 0);
        for (int kv = KER_KV_F16; d && kv < KER_KV_TYPES; kv++) {
            backend = ker_cpu();
            CHECK_INT(run_model(cpu, m, g, true, kv, N_TOK, &there), 0);
            backend = gpu;
            for (int p = 0; p < 4; p++) {
                if (!all_of_it() && p != (s + kv) % 4 && (test_brief() || kv != KER_KV_F16 || p > 1)) continue;
                CHECK_MSG(!run_model(d, m, g, true, kv, split[p], &got), "%s", err);
                double bad = worst(&got, &want), most = 1.25 * worst(&there, &want) + 2e-3;
                CHECK_MSG(bad < most, "%s, cells of type %d, pieces of %d: off by %.3g of the largest logit, at most %.3g", kinds[s].name, kv, split[p], bad, most);
            }
        }
        ker_cpu()->close(cpu);
        if (d) gpu->close(d);
        free(g);
        model_free(m);
    }
}

static void experts_may_lie_on_either_side(void)
{
    for (int s = 0; s < KINDS; s++)
        for (int order = 0; order < 2; order++) {
            if (left_out(s) || (!all_of_it() && order != s % 2)) continue;
            model *m = model_new(&kinds[s]);
            config *g = malloc(sizeof *g);
            config_make(g, m, &settings[order ? 8 : 11]);
            ker_backend both = *ker_split();
            both.open = order ? open_cpu_first : open_gpu_first;
            ker_dev *d = opened(ker_cpu(), m);
            CHECK_INT(run_model(d, m, g, true, KER_KV_F32, N_TOK, &want), 0);
            backend->close(d);
            d = opened(&both, m);
            for (int piece = 0; d && piece < 2; piece++) {
                CHECK_INT(run_model(d, m, g, true, KER_KV_F32, piece ? N_TOK : 7, &got), 0);
                double bad = worst(&got, &want);
                CHECK_MSG(bad < (s < FLOATS ? 1e-4 : 2e-2), "%s, order %d: off by %.3g of the largest logit", kinds[s].name, order, bad);
            }
            if (d) both.close(d);
            free(g);
            model_free(m);
        }
}

/* Byte for byte what a device gives that holds all of them. */
static void experts_may_be_fetched(void)
{
    for (int s = 0; s < KINDS; s++) {
        if (left_out(s)) continue;
        model *m = model_new(&kinds[s]);
        config *g = malloc(sizeof *g);
        uint64_t all = 0, n_moe = (uint64_t)((kinds[s].n_layer - kinds[s].dense) * kinds[s].n_expert);
        for (int l = 1; l < 5; l++) for (int r = KER_W_GATE_EXPS; r <= KER_W_DOWN_EXPS; r++) if (m->w[l][r].f) all += m->w[l][r].w.bytes;
        config_make(g, m, &settings[0]);
        ker_backend cached = *gpu;
        cached.open = open_cached;
        ker_dev *held = opened(gpu, m);
        for (int i = 0; held && i < 2; i++) {
            if (!all_of_it() && i != (test_brief() ? 1 : s % 2)) continue;
            backend = gpu;
            int piece = i ? 1 + s : N_TOK;
            CHECK_INT(run_model(held, m, g, false, KER_KV_F16, piece, &want), 0);
            cache_bytes = all * (i ? 2 : 5) / n_moe + 2;
            ker_dev *d = opened(&cached, m);
            if (!d) break;
            CHECK_INT(run_model(d, m, g, false, KER_KV_F16, piece, &got), 0);
            CHECK_MSG(same(&got, &want, kinds[s].n_layer), "%s in pieces of %d with few experts there: other numbers", kinds[s].name, piece);
            gpu->close(d);
        }
        if (held) gpu->close(held);
        free(g);
        model_free(m);
    }
}

static void changed_products_are_the_cpus(void)
{
    static const int split[] = { N_TOK, 5, 1, 9 };
    for (int s = 0; s < KINDS; s++) {
        if (left_out(s)) continue;
        model *m = model_new(&kinds[s]);
        config *g = malloc(sizeof *g);
        adapter a, b;
        ker_adapt two[2];
        adapter_make(&a, m, 11, 5, everything);
        adapter_make(&b, m, 12, 2, attention_alone);
        config_make(g, m, &settings[8]);
        act(g, &a, &b, two, s % 2);
        for (int side = 0; side < 2; side++) {
            ker_dev *d = opened(side ? gpu : ker_cpu(), m);
            if (!d) break;
            CHECK_MSG(backend->adapter_put(d, 0, a.low, a.n, err) == 0 && backend->adapter_put(d, 3, b.low, b.n, err) == 0, "%s", err);
            if (!side) CHECK_INT(run_model(d, m, g, true, KER_KV_F32, N_TOK, &want), 0);
            for (int p = 0; side && p < 4; p++) {
                if (!all_of_it() && p != s % 4 && (test_brief() || p != (s + 1) % 4)) continue;
                CHECK_INT(run_model(d, m, g, true, KER_KV_F32, split[p], &got), 0);
                double bad = worst(&got, &want);
                CHECK_MSG(bad < (s < FLOATS ? 1e-4 : 6e-2), "%s in pieces of %d: off by %.3g of the largest logit", kinds[s].name, split[p], bad);
            }
            backend->close(d);
        }
        adapter_free(&a);
        adapter_free(&b);
        free(g);
        model_free(m);
    }
}

int main(void)
{
    if (!emulated(&gpu, NULL)) {
        SKIP("cuda_kinds", "build/libquorum-emu.so is not built (it needs g++)");
        return 0;
    }
    tokens_make();
    RUN(agrees_with_the_reference);
    RUN(agrees_with_the_cpu);
    RUN(experts_may_lie_on_either_side);
    RUN(experts_may_be_fetched);
    RUN(changed_products_are_the_cpus);
    return TEST_END();
}
