/* One step of the gated delta rule on columns of a state (vec.h): against its formula in double precision, and the same bits from
 * every set of instructions, in place, beside the old state and written past the caches. Columns not in use must not count. */
#include "kernels/cpu/vec.h"
#include "kernels/kernels.h"
#include "tests/test.h"

enum { DIM = 130, WIDE = 32 };
static _Alignas(64) float state[DIM * WIDE], to[DIM * WIDE + 16], want[DIM * WIDE], q[DIM], k[DIM], v[WIDE], o[WIDE], want_o[WIDE];

static void numbers(void)
{
    uint64_t s[4] = { 5, 6, 7, 8 };
    for (int i = 0; i < DIM * WIDE; i++) state[i] = (float)((int64_t)q_random(s) >> 40) * 0x1p-23f;
    for (int i = 0; i < DIM; i++) q[i] = (float)((int64_t)q_random(s) >> 40) * 0x1p-26f, k[i] = (float)((int64_t)q_random(s) >> 40) * 0x1p-26f;
    for (int i = 0; i < WIDE; i++) v[i] = (float)((int64_t)q_random(s) >> 40) * 0x1p-23f;
}

static void the_rule(void)
{
    const double g = (double).9f, beta = (double).7f;
    numbers();
    for (int wide = 16; wide <= WIDE; wide += 16) {
        vec_scalar.delta(state, to, DIM, wide, q, k, v, wide, .9f, .7f, o, false);
        double worst = 0;
        for (int c = 0; c < wide; c++) {
            double seen = 0, out = 0;
            for (int i = 0; i < DIM; i++) seen += (double)state[i * wide + c] * (double)k[i];
            for (int i = 0; i < DIM; i++) {
                double s = g * (double)state[i * wide + c] + (double)k[i] * beta * ((double)v[c] - g * seen);
                worst = fmax(worst, fabs((double)to[i * wide + c] - s));
                out += s * (double)q[i];
            }
            worst = fmax(worst, fabs((double)o[c] - out));
        }
        CHECK_MSG(worst < 1e-6, "width %d: off by %.3g", wide, worst);
    }
}

static void step(const vec_ops *ops, const char *set, int dim, int wide, int n_v)
{
    vec_scalar.delta(state, want, dim, wide, q, k, v, n_v, .9f, .7f, want_o, false);
    size_t bytes = sizeof(float) * (size_t)(dim * wide);
    for (int way = 0; way < 4; way++) {            /* beside; past the caches, aligned and not; in place */
        float *at = way == 2 ? to + 1 : to;
        memset(to, 0, sizeof to);
        memset(o, 0, sizeof o);
        if (way == 3) memcpy(to, state, bytes);
        at[dim * wide] = 5;
        ops->delta(way == 3 ? to : state, at, dim, wide, q, k, v, n_v, .9f, .7f, o, way == 1 || way == 2);
        CHECK_MSG(!memcmp(at, want, bytes), "%s, %d x %d, way %d: another state", set, dim, wide, way);
        CHECK_MSG(!memcmp(o, want_o, sizeof(float) * (size_t)n_v), "%s, %d x %d, way %d: another output", set, dim, wide, way);
        CHECK(at[dim * wide] == 5 && (n_v == WIDE || o[n_v] == 0));
    }
}

static void the_same_bits_everywhere(void)
{
    static const int dims[] = { 1, 4, 7, 128, DIM };
    numbers();
    for (int s = 0; ker_cpu_path(s); s++) {
        CHECK_INT(ker_cpu_force(ker_cpu_path(s)), 0);
        for (size_t d = 0; d < sizeof dims / sizeof *dims; d++)
            for (int wide = 16; wide <= WIDE; wide += 16)
                for (int n_v = wide; n_v > 0; n_v -= 5) step(vec_get(), ker_cpu_path(s), dims[d], wide, n_v);
    }
    ker_cpu_force(NULL);
}

int main(void)
{
    RUN(the_rule);
    RUN(the_same_bits_everywhere);
    return TEST_END();
}
