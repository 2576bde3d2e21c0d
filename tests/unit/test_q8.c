/* Q8_0 cells multiplied as whole numbers (kernels/cpu/q8.h): near the same sums in double within what the rounding of queries and of
 * weights allows; the scalar set's bits on every path of this processor, for every width and also for damaged scales; a query that
 * holds no number is seen; saved cells lie where the kernels read them. */
#include "kernels/cpu/q8.h"
#include "kernels/cpu/vec.h"
#include "kernels/kernels.h"
#include "tests/test.h"

enum { DIM = 256, QUERIES = 13, BLOCKS = DIM / Q8_BLOCK };
static uint64_t seed[4] = { 4, 3, 2, 1 };
static const int dims[] = { 16, 32, 48, 64, 80, 96, 112, 128, 256 };
static int8_t k[DIM * Q8_CELLS], v[DIM * Q8_CELLS], ints[2][QUERIES * DIM];
static float ks[BLOCKS * Q8_CELLS], vs[BLOCKS * Q8_CELLS], query[QUERIES][DIM], scales[2][QUERIES * BLOCKS], s[2][QUERIES * Q8_CELLS];
static int16_t weight[QUERIES * Q8_CELLS];
static float acc[2][QUERIES][DIM], shrink[QUERIES], factor[QUERIES];
static int32_t low[2][QUERIES * BLOCKS];
static q8_rows rows[2] = { { ints[0], scales[0], low[0] }, { ints[1], scales[1], low[1] } };

static float number(void) { return (float)((int64_t)q_random(seed) >> 40) * 0x1p-23f; }

/* damaged: also bytes that are never written, and scales that no cell has. */
static void draw(bool damaged)
{
    static const float odd[] = { 0, 1e-31f, 1e-38f, 1e30f, -.5f, -1e30f, INFINITY };
    for (int i = 0; i < DIM * Q8_CELLS; i++) {
        k[i] = (int8_t)q_random(seed), v[i] = (int8_t)q_random(seed);
        if (!damaged && k[i] == -128) k[i] = 127;
        if (!damaged && v[i] == -128) v[i] = -127;
    }
    for (int i = 0; i < BLOCKS * Q8_CELLS; i++) {
        ks[i] = .001f + .02f * fabsf(number()), vs[i] = .02f * number() * number();
        vs[i] = fabsf(vs[i]);
        if (damaged && i % 9 == 2) ks[i] = odd[q_random(seed) % 7], vs[i] = odd[q_random(seed) % 7];
    }
    for (int i = 0; i < QUERIES; i++) {
        for (int d = 0; d < DIM; d++) query[i][d] = number() * (d % 37 == i ? 30 : 1);
        for (int c = 0; c < Q8_CELLS; c++) weight[i * Q8_CELLS + c] = (int16_t)((VEC_WEIGHT - 1) * (i % 3 ? powf(fabsf(number()), (float)(i * 2)) : fabsf(number())));
        weight[i * Q8_CELLS + (int)(q_random(seed) % 8)] = VEC_WEIGHT - 1;
        shrink[i] = fabsf(number()), factor[i] = fabsf(number());
        if (damaged && i == 3) query[i][5] = NAN;
        if (damaged && i == 5) memset(query[i], 0, sizeof query[i]);
        if (damaged && i == 7) query[i][2] = -INFINITY, query[i][9] = 1e-42f;
    }
}

static void pass(const q8_ops *ops, int which, int dim, int n_q, int n_cells)
{
    float *to[QUERIES];
    for (int i = 0; i < n_q; i++) {
        q8_row_put(ops, &rows[which], i, query[i], dim);
        for (int d = 0; d < dim; d++) acc[which][i][d] = query[(i + 1) % QUERIES][d];
        for (int c = n_cells; c < Q8_CELLS; c++) weight[i * Q8_CELLS + c] = 0;
        to[i] = acc[which][i];
    }
    const q8_cells keys = { k, ks }, values = { v, vs };
    ops->scores(keys, values, dim, &rows[which], n_q, s[which]);
    ops->values(values, keys, dim, n_cells, weight, shrink, factor, to, n_q);
}

static void sums_are_near(void)
{
    for (int round = 0; round < 30; round++) {
        int dim = dims[round % 9], blocks = q8_blocks(dim), n_cells = round % 2 ? Q8_CELLS : 1 + (int)(q_random(seed) % Q8_CELLS);
        draw(false);
        pass(&q8_scalar, 0, dim, QUERIES, n_cells);
        for (int i = 0; i < QUERIES; i++) {
            for (int c = 0; c < Q8_CELLS; c++) {
                double want = 0, may = 0;
                for (int d = 0; d < dim; d++) {
                    double cell = (double)ks[d / Q8_BLOCK * Q8_CELLS + c] * k[q8_at_k(d, c)];
                    want += cell * (double)query[i][d];
                    may += fabs(cell) * (double)scales[0][i * blocks + d / Q8_BLOCK] * .5001;
                }
                CHECK_MSG(fabs((double)s[0][i * Q8_CELLS + c] - want) <= may + 1e-4, "score %g, expected %g within %g, width %d", s[0][i * Q8_CELLS + c], want, may, dim);
            }
            for (int d = 0; d < dim; d++) {
                double was = (double)query[(i + 1) % QUERIES][d] * (double)shrink[i], want = 0, may = 1e-5, top = 0;
                for (int c = 0; c < n_cells; c++) top = fmax(top, (double)vs[d / Q8_BLOCK * Q8_CELLS + c]);
                for (int c = 0; c < n_cells; c++) {
                    want += weight[i * Q8_CELLS + c] / (double)VEC_WEIGHT * (double)vs[d / Q8_BLOCK * Q8_CELLS + c] * v[q8_at_v(dim, d, c)];
                    may += top / Q8_MOST * .51 * abs(v[q8_at_v(dim, d, c)]) * (double)factor[i];      /* the scale and the product are rounded, too */
                }
                want = was + want * (double)factor[i];
                CHECK_MSG(fabs((double)acc[0][i][d] - want) <= may, "value %g, expected %g within %g, width %d", acc[0][i][d], want, may, dim);
            }
        }
    }
}

static double weight_of(const float *x, int c, int n)
{
    double top = -INFINITY;
    for (int i = 0; i < n; i++) top = fmax(top, (double)x[i]);
    return c < n ? exp((double)x[c] - top) : 0;
}

/* What cells count, as whole numbers, and their sum: of scores far and near apart, and of such as none should see. */
static void weights_are_near(void)
{
    float x[Q8_CELLS], given[Q8_CELLS], top, sum;
    int16_t u[Q8_CELLS];
    for (int round = 0; round < 400; round++) {
        int n = round % 3 ? 1 + (int)(q_random(seed) % Q8_CELLS) : Q8_CELLS;
        float apart = powf(10, (float)(round % 5) - 2), about = (float)(round % 7 - 3) * 50;
        for (int c = 0; c < Q8_CELLS; c++) given[c] = x[c] = c < n ? about + apart * number() : NAN;
        if (round % 4 == 3) given[round % n] = x[round % n] = -INFINITY;
        if (round % 4 == 3 && n == 1) continue;
        vec_scalar.weigh(x, n, 1, &top, &sum, u);
        double want = 0;
        for (int c = 0; c < Q8_CELLS; c++) {
            double e = weight_of(given, c, n);
            want += e;
            CHECK_MSG(fabs(u[c] - e * VEC_WEIGHT) <= .5 + e * VEC_WEIGHT * 4e-6 + (e * VEC_WEIGHT > VEC_WEIGHT - 1), "weight %d of %d is %d, expected %.3f", c, n, u[c], e * VEC_WEIGHT);
        }
        CHECK_MSG(fabs((double)sum - want) <= 4e-6 * want, "sum of %d is %.8g, expected %.8g", n, (double)sum, want);
        for (int odd = 0; odd < 3; odd++) {
            for (int c = 0; c < n; c++) x[c] = given[c];
            x[round % n] = odd == 0 ? NAN : odd == 1 ? INFINITY : x[round % n];
            for (int c = 0; odd == 2 && c < n; c++) x[c] = -INFINITY;
            vec_scalar.weigh(x, n, 1, &top, &sum, u);
            CHECK(isnan(sum));
            for (int c = 0; c < Q8_CELLS; c++) CHECK_INT(u[c], 0);
        }
    }
}

static bool same(const float *a, const float *b, int n)
{
    for (int i = 0; i < n; i++)
        if (memcmp(a + i, b + i, 4) && !(isnan(a[i]) && isnan(b[i]))) return false;
    return true;
}

static void every_set_has_the_same_bits(void)
{
    for (int path = 1; ker_cpu_path(path); path++) {
        CHECK_INT(ker_cpu_force(ker_cpu_path(path)), 0);
        for (int round = 0; round < 200; round++) {
            int dim = dims[round % 9], blocks = q8_blocks(dim), n_q = 1 + (int)(q_random(seed) % QUERIES), n_cells = 1 + (int)(q_random(seed) % Q8_CELLS);
            draw(round % 2);
            pass(&q8_scalar, 0, dim, n_q, n_cells);
            pass(q8_get(), 1, dim, n_q, n_cells);
            CHECK_MSG(!memcmp(ints[0], ints[1], (size_t)(n_q * dim)) && same(scales[0], scales[1], n_q * blocks) && !memcmp(low[0], low[1], sizeof(int32_t) * (size_t)(n_q * blocks)),
                      "queries of %d, %s", dim, ker_cpu_features());
            CHECK_MSG(same(s[0], s[1], n_q * Q8_CELLS), "scores of %d, %d queries, %s", dim, n_q, ker_cpu_features());
            for (int i = 0; i < n_q; i++) CHECK_MSG(same(acc[0][i], acc[1][i], dim), "values of %d, query %d of %d, %d cells, %s", dim, i, n_q, n_cells, ker_cpu_features());
        }
    }
    ker_cpu_force(NULL);
}

static void a_query_that_is_no_number_is_seen(void)
{
    draw(false);
    for (int i = 0; i < 2; i++) {
        query[0][7] = i ? INFINITY : NAN;
        pass(q8_get(), 0, 64, 1, Q8_CELLS);
        CHECK(isnan(scales[0][0]) && !isnan(scales[0][1]));
        for (int c = 0; c < Q8_CELLS; c++) CHECK(isnan(s[0][c]));
    }
}

/* In the saved form cell c's K is [c][dim] and V likewise, then the scales. */
static void saved_cells_lie_by_fours(void)
{
    static const int width[] = { 16, 64, 80, 128 };
    for (int w = 0; w < 4; w++) {
        int dim = width[w], n = w % 2 ? KER_PAGE : 37, blocks = q8_blocks(dim);
        ker_model m = { .n_layer = 1, .n_head = 2, .n_kv_head = 2, .head_dim = dim };
        int64_t head = ker_kv_head_bytes(&m, KER_KV_Q8_0), saved = ker_cells_bytes(&m, KER_KV_Q8_0, n), one = saved / 2;
        int8_t *page = aligned_alloc(64, (size_t)head * 2), *cells = malloc((size_t)saved), *back = malloc((size_t)saved);
        memset(page, 0, (size_t)head * 2);
        for (int64_t i = 0; i < saved; i++) cells[i] = (int8_t)(q_random(seed) & 0x3F);        /* scales of it are finite */
        CHECK(ker_cells_fours(&m));
        CHECK(ker_cells_load(&m, KER_KV_Q8_0, true, page, n, cells) && ker_cells_save(&m, KER_KV_Q8_0, true, page, n, back));
        CHECK(!memcmp(cells, back, (size_t)saved));
        for (int h = 0; h < 2; h++) {
            const int8_t *from = cells + h * one, *at = page + h * head, *at_v = at + dim * KER_PAGE;
            const float *scale = (const float *)(const void *)(at + 2 * dim * KER_PAGE);
            for (int c = 0; c < n; c++) {
                for (int d = 0; d < dim; d++) CHECK(at[q8_at_k(d, c)] == from[c * dim + d] && at_v[q8_at_v(dim, d, c)] == from[(n + c) * dim + d]);
                for (int b = 0; b < 2 * blocks; b++) {
                    int part = b / blocks, of = b % blocks;
                    CHECK(!memcmp(&scale[(part * blocks + of) * KER_PAGE + c], from + 2 * n * dim + ((part * n + c) * blocks + of) * 4, 4));
                }
            }
        }
        free(page);
        free(cells);
        free(back);
    }
}

int main(void)
{
    RUN(sums_are_near);
    RUN(weights_are_near);
    RUN(every_set_has_the_same_bits);
    RUN(a_query_that_is_no_number_is_seen);
    RUN(saved_cells_lie_by_fours);
    return TEST_END();
}
