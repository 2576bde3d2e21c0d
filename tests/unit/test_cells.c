/* Cells of four bits (kernels/cpu/kv_q4.h): what is read back against the formula of a block, the same bits from every set of
 * instructions, a cell's own bytes and no others written; NaN, infinities and numbers too large for a scale; and the names and sizes of
 * all types (kernels.h). */
#include "engine/models.h"
#include "kernels/cpu/kv_q4.h"
#include "tests/test.h"

enum { WIDEST = 576, ROOM = (WIDEST + 31) / 32 * (2 * 18) * KER_PAGE };
static const int widths[] = { 1, 15, 16, 17, 31, 32, 33, 64, 80, 112, 128, 130, WIDEST };
static _Alignas(64) uint8_t page[ROOM], before[ROOM];
static _Alignas(64) float k[KER_PAGE][WIDEST], v[KER_PAGE][WIDEST], first_k[WIDEST * KER_PAGE], got_k[WIDEST * KER_PAGE], first_v[WIDEST * KER_PAGE], got_v[WIDEST * KER_PAGE];

static ker_model model_of(int width, int kv_rank) { return (ker_model){ .n_head = 1, .n_kv_head = 1, .n_layer = 1, .head_dim = width, .latent.kv_rank = kv_rank }; }

static void numbers(uint64_t seed)
{
    uint64_t s[4] = { seed, 6, 7, 8 };
    for (int c = 0; c < KER_PAGE; c++)
        for (int d = 0; d < WIDEST; d++) {
            float size = (float)(1 << (q_random(s) & 7));          /* of very different sizes within a block */
            k[c][d] = (float)((int64_t)q_random(s) >> 40) * 0x1p-23f * size;
            v[c][d] = (float)((int64_t)q_random(s) >> 40) * 0x1p-23f;
        }
}

static void put_all(const ker_model *m)
{
    memset(page, 0, sizeof page);
    for (int i = 0; i < KER_PAGE; i++) q4_put(m, page, i * 29 % KER_PAGE, k[i * 29 % KER_PAGE], v[i * 29 % KER_PAGE]);
}

/* K and V of n cells in floats, K [width][64] and V [64][width filled up to 16]; by fours from the whole numbers. */
static void read_all(const ker_model *m, int n, const vec_ops *ops)
{
    static _Alignas(64) float room[WIDEST * KER_PAGE];
    int dim = m->head_dim, nb = (dim + 31) / 32;
    if (!ker_cells_fours(m)) {
        q4_page_k(m, page, got_k, ops);
        if (ker_cell_v(m)) q4_page_v(m, page, n, got_v, ops);
        return;
    }
    q4_whole(m, page, room, ops);
    const int8_t *whole_k = (const int8_t *)room, *whole_v = whole_k + dim * KER_PAGE;
    const float *k_scale = (const float *)(const void *)(whole_v + dim * KER_PAGE), *v_scale = k_scale + nb * KER_PAGE;
    for (int c = 0; c < n; c++)
        for (int d = 0; d < dim; d++) {
            CHECK(!signbit(v_scale[d / 32 * KER_PAGE + c]));
            got_k[d * KER_PAGE + c] = k_scale[d / 32 * KER_PAGE + c] * (float)whole_k[(d / 4 * KER_PAGE + c) * 4 + d % 4];
            got_v[c * dim + d] = v_scale[d / 32 * KER_PAGE + c] * (float)whole_v[(c / 4 * dim + d) * 4 + c % 4];
        }
}

/* Of a block: the number furthest from zero, which has the scale's -8. */
static float furthest(const float *x, int width, int d)
{
    float most = 0;
    for (int i = d / 32 * 32; i < width && i < d / 32 * 32 + 32; i++) most = fabsf(x[i]) > fabsf(most) ? x[i] : most;
    return most;
}

/* As the formula has it, in double precision. */
static double kept(const float *x, int width, int d)
{
    float scale = ker_f16_to_f32(ker_f32_to_f16(furthest(x, width, d) / -8));
    double r = scale != 0 ? rint((double)x[d] / (double)scale) : 0;
    return (double)scale * (r > 7 ? 7 : r < -8 ? -8 : r);
}

static void what_is_read_is_what_the_formula_keeps(void)
{
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        ker_model m = model_of(widths[w], 0);
        int n = widths[w], pad = (n + 15) & ~15, other = 0;
        double near = 0;
        numbers(w + 1);
        put_all(&m);
        read_all(&m, KER_PAGE, &vec_scalar);
        for (int c = 0; c < KER_PAGE; c++)
            for (int d = 0; d < n; d++) {
                double step = fabs((double)furthest(k[c], n, d)) / 8;
                other += fabs((double)got_k[d * KER_PAGE + c] - kept(k[c], n, d)) > step * 1e-3;       /* a tie that a product of floats rounds the other way is a step off */
                other += fabs((double)got_v[c * pad + d] - kept(v[c], n, d)) > fabs((double)furthest(v[c], n, d)) / 8 * 1e-3;
                near = fmax(near, fabs((double)(got_k[d * KER_PAGE + c] - k[c][d])) / step);
            }
        CHECK_MSG(other <= n * KER_PAGE / 1000, "width %d: %d of %d numbers are others", n, other, 2 * n * KER_PAGE);
        CHECK_MSG(near <= 1.01, "width %d: a number is %.3g steps off", n, near);        /* the furthest's opposite would be 8, and is 7 */
    }
}

static void every_set_reads_the_same(void)
{
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        ker_model m = model_of(widths[w], 0);
        numbers(w + 70);
        put_all(&m);
        for (int i = 0; ker_cpu_path(i); i++) {
            CHECK_INT(ker_cpu_force(ker_cpu_path(i)), 0);
            int n = 1 + (int)(w * 13 + (size_t)i) % KER_PAGE;
            memset(got_v, 0xFF, sizeof got_v);
            read_all(&m, KER_PAGE, vec_get());
            if (!i) memcpy(first_k, got_k, sizeof first_k), memcpy(first_v, got_v, sizeof first_v);
            CHECK_MSG(!memcmp(first_k, got_k, sizeof(float) * (size_t)widths[w] * KER_PAGE) && !memcmp(first_v, got_v, sizeof(float) * (size_t)((widths[w] + 15) & ~15) * KER_PAGE),
                      "width %d: %s reads other numbers", widths[w], ker_cpu_path(i));
            memset(got_v, 0xFF, sizeof got_v);
            read_all(&m, n, vec_get());
            CHECK(!memcmp(first_v, got_v, sizeof(float) * (size_t)((widths[w] + 15) & ~15) * (size_t)n));
        }
        ker_cpu_force(NULL);
    }
}

static void whole_steps_come_back(void)
{
    ker_model m = model_of(32, 0);
    for (int i = 0; i < 32; i++) k[0][i] = .5f * (float)(i % 16 - 8), v[0][i] = -k[0][i];
    memset(page, 0, sizeof page);
    q4_put(&m, page, 5, k[0], v[0]);
    read_all(&m, 6, &vec_scalar);
    for (int i = 0; i < 32; i++) CHECK(got_k[i * KER_PAGE + 5] == k[0][i] && got_v[5 * 32 + i] == v[0][i]);
}

static void a_cell_is_its_own(void)
{
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        ker_model m = model_of(widths[w], 0);
        int64_t bytes = ker_kv_head_bytes(&m, KER_KV_Q4_0);
        static uint8_t cells[ROOM], again[ROOM];
        numbers(w + 9);
        put_all(&m);
        memcpy(before, page, sizeof before);
        q4_put(&m, page, 37, v[0], k[0]);
        CHECK(ker_cells_save(&m, KER_KV_Q4_0, true, page, KER_PAGE, cells) && ker_cells_save(&m, KER_KV_Q4_0, true, before, KER_PAGE, again));
        int64_t row = (widths[w] + 31) / 32 * 16;
        for (int c = 0; c < KER_PAGE; c++) CHECK(c == 37 || memcmp(cells + c * row, again + c * row, (size_t)row) == 0);
        CHECK(memcmp(page, before, sizeof page) != 0);
        for (int64_t i = bytes; i < ROOM; i++) CHECK(page[i] == 0);
        q4_put(&m, page, 37, k[37], v[37]);
        CHECK(!memcmp(page, before, sizeof page));
        CHECK_INT(ker_cells_bytes(&m, KER_KV_Q4_0, 3), 3 * 2 * ((widths[w] + 31) / 32) * 18);
    }
}

static void numbers_that_are_none(void)
{
    static const float odd[] = { NAN, INFINITY, -INFINITY, 1e6f, -3e38f };
    ker_model m = model_of(80, 0);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        numbers(i + 3);
        k[0][33] = v[0][34] = odd[i];
        memset(page, 0, sizeof page);
        q4_put(&m, page, 0, k[0], v[0]);
        read_all(&m, 1, &vec_scalar);
        for (int d = 0; d < 80; d++) {
            bool block = d / 32 == 1;              /* of which nothing else can be told: all of it is seen to be none */
            CHECK_MSG(isnan(got_k[d * KER_PAGE]) == block && isfinite(got_v[d]) != block, "%g: number %d is %g and %g", (double)odd[i], d, (double)got_k[d * KER_PAGE], (double)got_v[d]);
        }
        static uint8_t cells[ROOM];
        CHECK(!ker_cells_save(&m, KER_KV_Q4_0, true, page, 1, cells));
    }
    memset(k, 0, sizeof k);
    k[0][3] = 1e-9f;                               /* a scale that a half float has not got */
    q4_put(&m, page, 0, k[0], k[0]);
    read_all(&m, 1, &vec_scalar);
    for (int d = 0; d < 80; d++) CHECK(got_k[d * KER_PAGE] == 0);
}

static void latent_cells_have_no_v(void)
{
    ker_model m = model_of(576, 512), plain = model_of(576, 0);
    numbers(4);
    memset(page, 0, sizeof page);
    for (int c = 0; c < KER_PAGE; c++) q4_put(&m, page, c, k[c], NULL);
    q4_page_k(&m, page, got_k, &vec_scalar);
    for (int d = 0; d < 576; d++) CHECK(fabs((double)got_k[d * KER_PAGE + 7] - kept(k[7], 576, d)) <= fabs((double)furthest(k[7], 576, d)) / 8);
    CHECK_INT(2 * ker_kv_head_bytes(&m, KER_KV_Q4_0), ker_kv_head_bytes(&plain, KER_KV_Q4_0));
}

static void types_have_names_and_sizes(void)
{
    static const int per_32[KER_KV_TYPES] = { [KER_KV_F16] = 64, [KER_KV_F32] = 128, [KER_KV_Q8_0] = 36, [KER_KV_Q4_0] = 18 };
    ker_model m = model_of(128, 0);
    for (int t = 0; t < KER_KV_TYPES; t++) {
        CHECK_INT(ker_kv_find(ker_kv_name((enum ker_kv_type)t)), t);
        CHECK(eng_kv_type(t) && strcmp(eng_kv_type(t), ker_kv_name((enum ker_kv_type)t)) == 0);
        CHECK_INT(ker_kv_head_bytes(&m, (enum ker_kv_type)t), per_32[t] * 2 * 4 * KER_PAGE);
    }
    CHECK(!ker_kv_name(KER_KV_TYPES) && !eng_kv_type(KER_KV_TYPES) && ker_kv_find("q5_0") == -1);
}

int main(void)
{
    RUN(what_is_read_is_what_the_formula_keeps);
    RUN(every_set_reads_the_same);
    RUN(whole_steps_come_back);
    RUN(a_cell_is_its_own);
    RUN(numbers_that_are_none);
    RUN(latent_cells_have_no_v);
    RUN(types_have_names_and_sizes);
    return TEST_END();
}
