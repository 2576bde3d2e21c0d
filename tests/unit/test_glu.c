/* The gates of feed-forward parts: every kind against its formula in double precision, the same bits from every set of
 * instructions at every length, also in place, and what is no number stays none. */
#include "kernels/cpu/vec.h"
#include "kernels/kernels.h"
#include "tests/test.h"

enum { N = 4096 };
static float gate[N], up[N], h[N], first[N];

static double glu(int kind, double g, double u)
{
    if (kind == KER_GLU_SILU) return g / (1 + exp(-g)) * u;
    if (kind == KER_GLU_GELU) return .5 * g * (1 + tanh(sqrt(2 / M_PI) * (g + .044715 * g * g * g))) * u;
    g = fmin(g, 7);
    return g / (1 + exp(-1.702 * g)) * (fmax(fmin(u, 7), -7) + 1);
}

/* From -20 to 20, dense around 0, then beyond the limits of gpt-oss and far out. */
static void numbers(void)
{
    uint64_t s[4] = { 1, 2, 3, 4 };
    for (int i = 0; i < N; i++) {
        float size = i % 4 == 0 ? 1e-3f : i % 4 == 1 ? 2 : i % 4 == 2 ? 9 : 20;
        gate[i] = (float)((int64_t)q_random(s) >> 40) * 0x1p-23f * size;
        up[i] = (float)((int64_t)q_random(s) >> 40) * 0x1p-23f * 12;
    }
    static const float edges[] = { 0, -0.0f, 7, -7, 7.0000005f, 6.9999995f, 88, -88, 1e10f, -1e10f, 1e-40f };
    for (int i = 0; i < 121; i++) gate[i] = edges[i % 11], up[i] = edges[i / 11];
}

static void gates_follow_their_formulas(void)
{
    numbers();
    for (int kind = 0; kind < KER_GLUS; kind++) {
        double worst = 0;
        vec_scalar.glu[kind](gate, up, h, N);
        for (int i = 0; i < N; i++) {
            double want = glu(kind, (double)gate[i], (double)up[i]), off = fabs((double)h[i] - want);
            double size = fmax(fmin(fabs((double)gate[i]), 20), fabs(want)) * fmax(fmin(fabs((double)up[i]), 12), 1) + 1e-30;
            worst = fmax(worst, off / size);
        }
        CHECK_MSG(worst < 4e-7, "kind %d: off by %.3g", kind, worst);
    }
}

static void gates_have_the_same_bits_everywhere(void)
{
    numbers();
    gate[130] = NAN, up[131] = NAN, gate[132] = INFINITY, gate[133] = -INFINITY, up[134] = INFINITY;
    for (int kind = 0; kind < KER_GLUS; kind++) {
        vec_scalar.glu[kind](gate, up, first, N);
        CHECK(isnan(first[130]) && isnan(first[131]));
        for (int i = 1; ker_cpu_path(i); i++) {
            CHECK_INT(ker_cpu_force(ker_cpu_path(i)), 0);
            const vec_ops *v = vec_get();
            for (int n = 1; n < 70; n++) {
                h[n] = 5;
                v->glu[kind](gate + 120, up + 120, h, n);
                for (int k = 0; k < n; k++) CHECK_MSG(!memcmp(&h[k], &first[120 + k], 4) || (isnan(h[k]) && isnan(first[120 + k])), "kind %d, %s, %d of %d", kind, ker_cpu_path(i), k, n);
                CHECK(h[n] == 5);
            }
            memcpy(h, gate, sizeof h);
            v->glu[kind](h, up, h, N);
            for (int k = 0; k < N; k++) CHECK_MSG(!memcmp(&h[k], &first[k], 4) || (isnan(h[k]) && isnan(first[k])), "kind %d, %s, in place, %d", kind, ker_cpu_path(i), k);
        }
        ker_cpu_force(NULL);
    }
}

int main(void)
{
    RUN(gates_follow_their_formulas);
    RUN(gates_have_the_same_bits_everywhere);
    return TEST_END();
}
