/* Products of quantised rows: every instruction set this machine has must equal the scalar path bit for bit,
 * for every type, number of rows, width and odd ranges; and the scalar path must be near the double-precision
 * product of decoded weights and the activations it was given. */
#include "base/base.h"
#include "kernels/cpu/mat.h"
#include "kernels/grids.h"
#include "kernels/kernels.h"
#include "tests/test.h"

static uint64_t seed = 88172645463325252u;
static uint32_t rnd(void)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (uint32_t)(seed >> 24);
}
static float rndf(void) { return (float)(rnd() & 0xffff) / 32768.0f - 1; }

/* Random rows of a type: random bytes with tame half-float scales, so that nothing is NaN. */
static void fill_row(int type, uint8_t *p, int64_t n)
{
    const ker_type *t = ker_type_get(type);
    if (t->act == KER_ACT_F32) {
        for (int64_t i = 0; i < n; i++) {
            float f = rndf() * ((rnd() & 15) ? 1 : 1e-6f);
            t->encode(&f, p + i * t->bytes, 1);
        }
        return;
    }
    for (int64_t b = 0; b < n / t->block; b++, p += t->bytes) {
        uint32_t kind = rnd() % 8;                   /* now and then the extreme bytes */
        for (int i = 0; i < t->bytes; i++)
            p[i] = kind == 0 ? 0xff : kind == 1 ? 0x80 : kind == 2 ? 0 : (uint8_t)rnd();
        float d = rndf() * 0.02f;
        ker_type_scale(type, p, d, rndf() * 0.02f);
        if (type == KER_MXFP4 && rnd() % 16 == 0) p[0] = (uint8_t)(rnd() % 3);   /* scales that are subnormal, and the first that is not */
        if (type == KER_NVFP4 && rnd() % 8 == 0) p[rnd() % 4] = rnd() & 1 ? 0x7f : 0x87;          /* no number; subnormal, with the bit that does not count */
    }
}

static const int types[] = {
#define KER_FLOAT(id, ...) id,
#define KER_BLOCK(id, ...) id,
#include "kernels/types.def"
};
enum { NEAR_16 = 5, NEAR_32, FAR_16, FAR_32, WILD /* kinds of numbers from here on are of any size, or none */ };
enum { N_TYPES = sizeof types / sizeof *types, MAX_IN = 2560, MAX_OUT = 150, MAX_N = 33, WIDE = 208 * 256 };

static uint8_t *weights, *acts, *scratch;
static float *xs, *want, *got;

/* Whole numbers up to 127, which is in every block, so that they are prepared as they are: of each `sub` the sizes sum up to `reach`,
 * all of one sign, which sub-blocks draw. */
static void reaching(float *x, int64_t n_in, int sub, int reach)
{
    for (int64_t i = 0; i < n_in; i += sub) {
        float sign = rnd() & 1 ? 1 : -1;
        for (int k = 0, left = reach; k < sub; k++) {
            int q = left < 127 ? left : 127;
            x[i + k] = sign * (float)q;
            left -= q;
        }
    }
}

static void activations(int n, int64_t n_in, int kind)
{
    if (kind >= NEAR_16 && kind <= FAR_32) {         /* products of sixteen and thirty-two that fit 16 bits (Q6_K, Q4_K), or one row in three that may not */
        const int sub = kind == NEAR_16 || kind == FAR_16 ? 16 : 32, most = sub == 16 ? 1023 : 2184;
        for (int r = 0; r < n; r++) reaching(xs + r * n_in, n_in, sub, most + (kind >= FAR_16 && r % 3 == 1));
        return;
    }
    for (int64_t i = 0; i < n * n_in; i++)
        xs[i] = kind == 1 ? ((rnd() & 1) ? 1.0f : -1.0f) : kind == 2 ? 1.0f : rndf() * (kind == 4 || (rnd() & 63) ? 1 : 40);
    static const float edges[] = { 0, -0.0f, 1e-45f, -1e-39f, 1e-31f, 3e38f, -3e38f, 1e20f, INFINITY, -INFINITY, NAN };
    for (int64_t i = 0; i < n * n_in && kind >= WILD; i++)
        if (rnd() % (kind == WILD ? 300 : 40) == 0) xs[i] = edges[rnd() % (kind == WILD ? 8 : 11)];
    if (kind == 0 && n_in >= 64)
        memset(xs + n_in / 2, 0, (size_t)(n_in / 2) * 4);
}

/* Rows of any bytes: scales that are subnormal, huge or no number at all. */
static void fill_wild(int type, uint8_t *p, int64_t n)
{
    static const uint16_t halves[] = { 0, 0x8000, 1, 0x03ff, 0x8001, 0x0400, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e01, 0xfe00, 0x3c00, 0xb800 };
    const ker_type *t = ker_type_get(type);
    int64_t bytes = ker_row_bytes(type, n);
    for (int64_t i = 0; i < bytes; i++) p[i] = (uint8_t)rnd();
    for (int64_t b = 0; b < n / t->block && t->sub; b++, p += t->bytes) {
        if (t->d >= 0 && rnd() % 4) memcpy(p + t->d, &halves[rnd() % 14], 2);
        if (t->m >= 0 && rnd() % 4) memcpy(p + t->m, &halves[rnd() % 14], 2);
    }
}

/* The same bits, or none of both a number: which NaN it is depends on the processor. */
static int64_t first_other(const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, 4) && !(isnan(a[i]) && isnan(b[i]))) return i;
    return -1;
}

/* One shape on every path; data starts at an odd address, y has a gap that must stay untouched. */
static void shape(int type, int64_t n_in, int64_t n_out, int n, int64_t o0, int64_t o1, int kind)
{
    int64_t rb = ker_row_bytes(type, n_in), as = mat_act_bytes(type, n_in), ys = n_out + 3;
    mat w = { .type = type, .n_in = n_in, .n_out = n_out, .data = weights + 1, .row_bytes = rb };
    if (n % 2) w.next = weights + 1, w.next_act = acts, w.next_bytes = n * as;      /* what comes next is asked for, and changes nothing */
    for (int64_t o = 0; o < n_out; o++)
        kind < WILD ? fill_row(type, weights + 1 + o * rb, n_in) : fill_wild(type, weights + 1 + o * rb, n_in);
    activations(n, n_in, kind);
    for (int i = 0; ker_cpu_path(i); i++) {
        CHECK_INT(ker_cpu_force(ker_cpu_path(i)), 0);
        float *y = i ? got : want;
        memset(y, 0x55, (size_t)(n * ys) * 4);
        memset(acts, 0xee, (size_t)(n * as));
        for (int r = 0; r < n; r++)
            mat_act(type, xs + r * n_in, n_in, acts + r * as);
        memset(scratch, 0xdd, MAT_SCRATCH);
        mat_mul(&w, acts, as, n, o0, o1, y, ys, scratch);
        int64_t at = i ? first_other(got, want, n * ys) : -1;
        if (at >= 0) {
            CHECK_MSG(0, "%s %s: in %d out %d..%d of %d, n %d: y[%d][%d] = %.9g, scalar %.9g", ker_type_get(type)->name, ker_cpu_path(i),
                      (int)n_in, (int)o0, (int)o1, (int)n_out, n, (int)(at / ys), (int)(at % ys), (double)got[at], (double)want[at]);
        }
    }
    ker_cpu_force(NULL);
    uint32_t gap;
    memcpy(&gap, want + n_out, 4);
    CHECK(gap == 0x55555555u);
}

static void every_path_equals_scalar(void)
{
    static const int widths[] = { 32, 64, 96, 256, 576, 768, 2048, 2560 }, rows[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 17, 33 };
    int paths = 0;
    while (ker_cpu_path(paths + 1)) paths++;
    printf("# %d vector paths here, the best is %s\n", paths, ker_cpu_features());
    for (int t = 0; t < N_TYPES; t++)
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
            for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
                if (widths[w] % ker_type_get(types[t])->block)
                    continue;
                int out = widths[w] >= 2048 ? 21 : 37 + (int)(rnd() % 40), o0 = (int)(rnd() % 3), o1 = out - (int)(rnd() % 3);
                shape(types[t], widths[w], out, rows[r], o0, o1, (int)(rnd() % 4));
            }
    for (int t = 0; t < N_TYPES; t++) {
        shape(types[t], 256, 150, 33, 3, 149, 3);    /* more rows than one group of tiles */
        shape(types[t], 256, 5, 2, 1, 2, 3);
        shape(types[t], 256, 5, 9, 2, 2, 3);         /* nothing asked for */
    }
    for (int t = 0; t < N_TYPES; t++)
        for (int kind = NEAR_16; kind <= FAR_32; kind++)
            for (int n = 1; n <= 13; n += 3) shape(types[t], 768, 37, n, 1, 36, kind);
    shape(KER_Q4_0, 128, 5, 520, 1, 5, 3);           /* more rows of activations than AVX2 prepares at once */
    shape(KER_NVFP4, 128, 5, 520, 0, 5, 1);
    shape(KER_IQ3_S, 200 * 256, 5, 1, 0, 5, 3);      /* more blocks than scratch has room for when they are taken apart */
    shape(KER_IQ2_XS, 200 * 256, 5, 1, 1, 4, 3);
    static const int ordered[] = { KER_IQ2_XXS, KER_IQ2_XS, KER_IQ2_S, KER_IQ3_XXS, KER_IQ3_S, KER_IQ1_S, KER_IQ1_M, KER_TQ1_0 };
    for (size_t t = 0; t < sizeof ordered / sizeof *ordered; t++)
        shape(ordered[t], WIDE, 3, 4, 0, 3, 3);      /* more activations than scratch has room for when they are put in order */
    for (int k = 1; k <= 40; k++)                    /* float widths that are no multiple of anything */
        shape(KER_F32, k, 19, 1 + k % 6, 0, 19, 3), shape(KER_F16, k + 40, 19, 1 + k % 6, 0, 19, 3), shape(KER_BF16, k, 5, 3, 0, 5, 3);
}

/* Where IQ1's high bytes change within sixteen rows says of each row what the grid says. */
static void steps_of_a_grid(void)
{
    for (int i = 0; i < 2048; i++) {
        const int group = i / 16, other = i % 16 >= ker_grid_iq1_steps[0][group];
        CHECK_INT(ker_grid_iq1_steps[1 + other][group], ker_grid_row(ker_grid_iq1[0], 2048, i) >> 8);
    }
}

/* Shapes drawn, weights of any bytes, activations of any size: QUORUM_LONG draws a hundred times as many. */
static void shapes_and_numbers_of_any_kind(void)
{
    const int rounds = getenv("QUORUM_LONG") ? 200 : 2;
    for (int round = 0; round < rounds; round++)
        for (int t = 0; t < N_TYPES; t++) {
            const int block = ker_type_get(types[t])->block, most = 1280 / block;
            int64_t n_in = block * (1 + rnd() % (unsigned)(most > 40 ? 40 : most)), out = 1 + rnd() % 40, o0 = rnd() % out;
            shape(types[t], n_in, out, 1 + (int)(rnd() % MAX_N), o0, o0 + rnd() % (out - o0 + 1), WILD + (int)(rnd() % 2));
        }
}

static void near_the_exact_product(void)
{
    for (int t = 0; t < N_TYPES; t++) {
        const ker_type *ty = ker_type_get(types[t]);
        int64_t n_in = 768, n_out = 40, rb = ker_row_bytes(types[t], n_in), as = mat_act_bytes(types[t], n_in);
        mat w = { .type = types[t], .n_in = n_in, .n_out = n_out, .data = weights, .row_bytes = rb };
        for (int64_t o = 0; o < n_out; o++)
            fill_row(types[t], weights + o * rb, n_in);
        activations(1, n_in, 4);
        mat_act(types[t], xs, n_in, acts);
        mat_mul(&w, acts, as, 1, 0, n_out, want, n_out, scratch);
        float row[768];
        for (int64_t o = 0; o < n_out; o++) {
            double dot = 0, given = 0, size = 0;
            ty->decode(weights + o * rb, row, n_in);
            for (int64_t i = 0; i < n_in; i++) {
                double a = (double)xs[i];
                if (ty->act == KER_ACT_Q8_32)
                    a = (double)mat_q8_32(acts, n_in).d[i / 32] * mat_q8_32(acts, n_in).q[i];
                else if (ty->act == KER_ACT_Q8_256)
                    a = (double)mat_q8_256(acts, n_in).d[i / 256] * mat_q8_256(acts, n_in).q[i];
                given += (double)row[i] * a;
                dot += (double)row[i] * (double)xs[i];
                size += ((double)row[i] * (double)xs[i]) * ((double)row[i] * (double)xs[i]);
            }
            CHECK_MSG(fabs((double)want[o] - given) <= 3e-5 * (sqrt(size) + 1e-3), "%s row %d: %g, exact %g", ty->name, (int)o, (double)want[o], given);
            CHECK_MSG(fabs((double)want[o] - dot) <= (ty->act == KER_ACT_F32 ? 1e-5 : 0.1) * (sqrt(size) + 1e-2), "%s row %d: %g, unquantised %g", ty->name, (int)o, (double)want[o], dot);
        }
    }
}

static void activations_prepared(void)
{
    static const int act_types[] = { KER_Q8_0, KER_Q4_K };
    for (int k = 0; k < 2; k++) {
        int block = ker_type_get(act_types[k])->block;
        int64_t n_in = 768, as = mat_act_bytes(act_types[k], n_in);
        CHECK(as % 64 == 0);
        for (int round = 0; round < 40; round++) {
            for (int64_t i = 0; i < n_in; i++)
                xs[i] = rndf() * expf(rndf() * 30);
            if (round == 1)
                xs[5] = NAN, xs[300] = -INFINITY, xs[700] = 1e-38f;
            if (round == 2)
                for (int64_t i = 0; i < n_in; i++)
                    xs[i] = 1e-31f;
            if (round == 3)                          /* ties go to even: 127 and halves */
                for (int64_t i = 0; i < n_in; i++)
                    xs[i] = i % block ? (float)(i % 100) + 0.5f : 127;
            for (int i = 0; ker_cpu_path(i); i++) {
                CHECK_INT(ker_cpu_force(ker_cpu_path(i)), 0);
                uint8_t *dst = i ? acts + as : acts;
                memset(dst, 0xee, (size_t)as);
                mat_act(act_types[k], xs, n_in, dst);
                size_t used = (size_t)(block == 32 ? n_in + n_in / 32 * 8 : n_in + n_in / 256 * 4 + n_in / 16 * 2 + n_in / 32 * 2 + 4);
                CHECK_MSG(!i || !memcmp(dst, acts, used), "%s, block %d, round %d", ker_cpu_path(i), block, round);
            }
            ker_cpu_force(NULL);
            mat_q8 a = block == 32 ? mat_q8_32(acts, n_in) : mat_q8_256(acts, n_in);
            if (round == 1)
                CHECK(isnan(a.d[0]) && isnan(a.d[300 / block]));
            if (round == 2)
                CHECK(a.d[0] == 0 && a.q[0] == 0);
            if (round == 3)
                CHECK(a.q[1] == 2 && a.q[2] == 2 && a.q[0] == 127 && a.d[0] == 1);
            for (int64_t b = 0; b < n_in / 32; b++) {
                int s = 0;
                for (int i = 0; i < 32; i++)
                    s += a.q[b * 32 + i];
                CHECK_INT(block == 32 ? a.sum[b] : a.sum32[b], s);
            }
            int most[2] = { 0, 0 };
            for (int64_t b = 0; b < n_in / 32; b++) {
                int above = 0, below = 0;
                for (int h = 0, size = 0; h < 2; h++, size = 0) {
                    for (int i = 0; i < 16; i++) {
                        int v = a.q[b * 32 + 16 * h + i];
                        size += abs(v);
                        *(v > 0 ? &above : &below) += abs(v);
                    }
                    most[0] = size > most[0] ? size : most[0];
                }
                most[1] = above > most[1] ? above : most[1];
                most[1] = below > most[1] ? below : most[1];
            }
            CHECK(block == 32 || (a.most[0] == most[0] && a.most[1] == most[1]));
        }
    }
}

int main(void)
{
    weights = malloc((size_t)MAX_OUT * MAX_IN * 4 + 64);
    acts = malloc((size_t)4 * WIDE * 5);             /* more than MAX_N rows of MAX_IN */
    scratch = aligned_alloc(64, MAT_SCRATCH);
    xs = malloc((size_t)4 * WIDE * 4);
    want = malloc((size_t)MAX_N * (MAX_OUT + 3) * 4);
    got = malloc((size_t)MAX_N * (MAX_OUT + 3) * 4);
    RUN(activations_prepared);
    RUN(near_the_exact_product);
    RUN(steps_of_a_grid);
    RUN(every_path_equals_scalar);
    RUN(shapes_and_numbers_of_any_kind);
    free(weights), free(acts), free(scratch), free(xs), free(want), free(got);
    return TEST_END();
}
