/* Kernels touch nothing beyond what they are given: weights, prepared rows, results and scratch lie between pages that may be neither
 * read nor written, once against the page behind them and once behind the page before them. Weights lie so where a file or a slot of
 * experts ends with its mapping. Every instruction set, every type, the bits of the scalar path. */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"
#include "kernels/cpu/mat.h"
#include "kernels/cpu/q8.h"
#include "kernels/cpu/vec.h"
#include "kernels/kernels.h"
#include "tests/test.h"

/* ---- room between two pages that nobody may touch ---- */

typedef struct room { uint8_t *map; size_t all, bytes; } room;

static room room_of(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (bytes + page - 1) / page * page;
    room r = { mmap(NULL, inner + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), inner + 2 * page, inner };
    if (r.map == MAP_FAILED || mprotect(r.map, page, PROT_NONE) || mprotect(r.map + page + inner, page, PROT_NONE)) abort();
    return r;
}
/* So many bytes of it: against its end, or from its beginning on. */
static void *place(const room *r, size_t bytes, bool end) { return r->map + (r->all - r->bytes) / 2 + (end ? r->bytes - bytes : 0); }
static void *beyond(const room *r) { return r->map + r->all - (r->all - r->bytes) / 2; }
static void room_free(room *r) { munmap(r->map, r->all); }

static sigjmp_buf back;
static void fault(int sig) { siglongjmp(back, sig); }
static void heed(void (*f)(int))
{
    struct sigaction a = { .sa_handler = f };
    sigaction(SIGSEGV, &a, NULL);
    sigaction(SIGBUS, &a, NULL);
}

static uint64_t seed = 0x9e3779b97f4a7c15u;
static uint32_t rnd(void) { return (uint32_t)((seed = q_mix64(seed, 1)) >> 32); }

/* ---- products ---- */

enum { MAX_IN = 1280, MAX_OUT = 40, MAX_N = 33, WIDE_IN = 120 * 256, WIDE_OUT = 17, WIDE_N = 8 /* what is made of so many activations is more than scratch has room for */ };
static const int types[] = {
#define KER_FLOAT(id, ...) id,
#define KER_BLOCK(id, ...) id,
#include "kernels/types.def"
};
static room weights, acts, results, scratch, plain;

static void fill(int type, uint8_t *p, int64_t n_in, int64_t n_out)
{
    const ker_type *t = ker_type_get(type);
    const int64_t bytes = ker_row_bytes(type, n_in) * n_out;
    for (int64_t i = 0; i < bytes; i++) p[i] = (uint8_t)rnd();
    for (int64_t b = 0; t->act != KER_ACT_F32 && b < bytes; b += t->bytes) ker_type_scale(type, p + b, 0.01f, 0.003f);
    for (int64_t i = 0; t->act == KER_ACT_F32 && i < bytes / t->bytes; i++) t->encode(&(float){ (float)(rnd() % 2001) / 1000 - 1 }, p + i * t->bytes, 1);
}

static void product(int type, int64_t n_in, int64_t n_out, int n, bool end)
{
    const int64_t as = mat_act_bytes(type, n_in), rb = ker_row_bytes(type, n_in);
    static float x[WIDE_IN], want[MAX_N * MAX_OUT];
    uint8_t *w = place(&weights, (size_t)(rb * n_out), end), *a = place(&acts, (size_t)(as * n), end), *s = place(&scratch, MAT_SCRATCH, end);
    float *y = place(&results, (size_t)(n * n_out) * sizeof(float), end), *from = place(&plain, (size_t)n_in * sizeof(float), end);
    mat m = { .type = type, .n_in = n_in, .n_out = n_out, .data = w, .row_bytes = rb, .next = beyond(&weights) };
    fill(type, w, n_in, n_out);
    for (int64_t i = 0; i < n_in; i++) x[i] = (float)(rnd() % 2001) / 1000 - 1;
    for (volatile int i = 0; ker_cpu_path(i); i++) {
        CHECK_INT(ker_cpu_force(ker_cpu_path(i)), 0);
        if (sigsetjmp(back, 1)) {
            CHECK_MSG(0, "%s on %s: %d rows of %d by %d, against the %s: touches what it was not given", ker_type_get(type)->name, ker_cpu_path(i),
                      (int)n_out, (int)n_in, n, end ? "end" : "beginning");
            continue;
        }
        memset(y, 0x55, (size_t)(n * n_out) * sizeof(float));
        for (int r = 0; r < n; r++) {
            for (int64_t k = 0; k < n_in; k++) from[k] = x[k] * (float)(r + 1);
            mat_act(type, from, n_in, a + r * as);
        }
        mat_mul(&m, a, as, n, 0, n_out, y, n_out, s);
        if (i == 0) memcpy(want, y, (size_t)(n * n_out) * sizeof(float));
        else CHECK_MSG(!memcmp(want, y, (size_t)(n * n_out) * sizeof(float)), "%s on %s: %d rows of %d by %d", ker_type_get(type)->name, ker_cpu_path(i), (int)n_out, (int)n_in, n);
    }
    ker_cpu_force(NULL);
}

static void products_touch_what_they_are_given(void)
{
    static const int widths[] = { 32, 64, 96, 160, 256, 288, 576, 768, 1280 }, outs[] = { 1, 3, 8, 17, 40 }, rows[] = { 1, 2, 3, 4, 5, 8, 9, 16, 33 };
    weights = room_of((size_t)WIDE_IN * WIDE_OUT * 4);
    acts = room_of((size_t)WIDE_IN * WIDE_N * 5);
    results = room_of((size_t)MAX_OUT * MAX_N * sizeof(float));
    scratch = room_of(MAT_SCRATCH);
    plain = room_of(WIDE_IN * sizeof(float));
    heed(fault);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
            for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
                if (widths[w] % ker_type_get(types[t])->block) continue;
                int out = outs[(w + r) % (sizeof outs / sizeof *outs)];
                product(types[t], widths[w], out, rows[r], true);
                product(types[t], widths[w], out, rows[r], false);
            }
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (int rows_of_wide = 4; rows_of_wide <= WIDE_N; rows_of_wide += 4) product(types[t], WIDE_IN, WIDE_OUT, rows_of_wide, true);
    for (int k = 1; k < 40; k++)                       /* float widths that are no multiple of anything */
        product(KER_F32, k, 5, 1 + k % 5, true), product(KER_F16, k, 5, 1 + k % 5, true), product(KER_BF16, k, 5, 1 + k % 5, true);
    heed(SIG_DFL);
    room_free(&weights), room_free(&acts), room_free(&results), room_free(&scratch), room_free(&plain);
}

/* ---- float work ---- */

enum { LONGEST = 70, ARRAYS = 4 };
static room array[ARRAYS];
static const vec_ops *ops;
static float *x, *y, *z, *b;          /* n numbers each, against a page */
static int n;

static void fold_norm(void) { ops->norm(x, y, n, 1e-5F, z); }
static void fold_layernorm(void) { ops->layernorm(x, y, b, n, 1e-5F, z); }
static void fold_unit(void) { ops->unit(x, n, 1e-5F, 0.5F); }
static void glu_0(void) { ops->glu[0](x, y, z, n); }
static void glu_1(void) { ops->glu[1](x, y, z, n); }
static void glu_2(void) { ops->glu[2](x, y, z, n); }
static void each_gelu(void) { ops->gelu(x, n); }
static void each_add(void) { ops->add(x, y, n); }
static void each_axpy(void) { ops->axpy(x, 0.5F, y, n); }
static void each_exp(void) { ops->exp(x, 1, z, n); }
static void each_gate(void) { ops->gate(x, y, n); }
static void all_finite(void) { CHECK(ops->finite(x, n)); }
static void the_largest(void) { CHECK(ops->read(x, n / 16 * 16, 4096) <= 1); }
static void conv(void) { ops->conv((const float *const[]){ x, y }, z, 0, 2, b, n); }
/* Halves and bytes at the end of their room, as x is. */
static void *last(size_t size) { return (char *)x + (size_t)n * (sizeof(float) - size); }
static void halves_out(void) { ops->to_f16(y, last(2), n); }
static void halves_in(void) { memset(last(2), 0x3c, (size_t)n * 2), ops->f16(last(2), y, n); }
static void bytes_in(void) { ops->q8(last(1), y, z, n); }
static void bytes_by_one(void) { ops->q8s(last(1), 0.5F, z, n); }
static void fours_in(void) { ops->q4(last(1), x, y, z, n / 16 * 16); }
static void fours_whole(void) { ops->fours(last(1), (int8_t *)y, (int8_t *)z, n / 64 * 64); }
static void fours_apart(void)
{
    int groups = n / 64;                           /* of the last bytes and turns that there are */
    ops->fours_each((const uint8_t *)last(1) + n % 64, 64, (const int8_t *)x + 4 * n - 4 * groups, (int8_t *)y, (int8_t *)z + 4 * n - 64 * groups, 64, groups);
}
static void signs_apart(void) { ops->signs(last(2), (int8_t *)y, z, n / 16 * 16); }

static void float_work_touches_what_it_is_given(void)
{
    static const struct { const char *name; void (*run)(void); } each[] = {
        { "norm", fold_norm }, { "layernorm", fold_layernorm }, { "unit", fold_unit }, { "glu 0", glu_0 }, { "glu 1", glu_1 }, { "glu 2", glu_2 },
        { "gelu", each_gelu }, { "add", each_add }, { "axpy", each_axpy }, { "exp", each_exp }, { "gate", each_gate }, { "finite", all_finite },
        { "read", the_largest }, { "conv", conv }, { "to_f16", halves_out }, { "f16", halves_in }, { "q8", bytes_in }, { "q8s", bytes_by_one }, { "q4", fours_in }, { "fours", fours_whole }, { "fours_each", fours_apart },
        { "signs", signs_apart },
    };
    for (int i = 0; i < ARRAYS; i++) array[i] = room_of(LONGEST * sizeof(float));
    heed(fault);
    for (volatile int path = 0; ker_cpu_path(path); path++)
        for (volatile int end = 0; end < 2; end++)
            for (volatile size_t k = 0; k < sizeof each / sizeof *each; k++)
                for (n = 1; n <= LONGEST; n++) {
                    float **const at[ARRAYS] = { &x, &y, &z, &b };
                    CHECK_INT(ker_cpu_force(ker_cpu_path(path)), 0);
                    ops = vec_get();
                    for (int i = 0; i < ARRAYS; i++) {
                        *at[i] = place(&array[i], (size_t)n * sizeof(float), end);
                        for (int j = 0; j < n; j++) (*at[i])[j] = (float)(rnd() % 2001) / 1000 - 1;
                    }
                    if (!sigsetjmp(back, 1)) each[k].run();
                    else CHECK_MSG(0, "%s on %s: %d numbers against the %s: touches what it was not given", each[k].name, ker_cpu_path(path), n, end ? "end" : "beginning");
                }
    ker_cpu_force(NULL);
    heed(SIG_DFL);
    for (int i = 0; i < ARRAYS; i++) room_free(&array[i]);
}

/* ---- cells of bytes ---- */

enum { CELLS_K, CELLS_V, SCALES_K, SCALES_V, ROWS, ROW_SCALES, ROW_SUMS, QUERY, SCORES, SUMS, SHRINKS, FACTORS, WEIGHTS, MOST, CELL_ROOMS, CELL_QUERIES = 9 };
static room cell_room[CELL_ROOMS];
static void *cell_at[CELL_ROOMS];
static float *cell_sum[CELL_QUERIES];

static void cells_pass(const q8_ops *o, int dim, int n_q, int n_cells)
{
    q8_rows rows = { cell_at[ROWS], cell_at[ROW_SCALES], cell_at[ROW_SUMS] };
    for (int i = 0; i < n_q; i++) q8_row_put(o, &rows, i, (float *)cell_at[QUERY] + i * dim, dim), cell_sum[i] = (float *)cell_at[SUMS] + i * dim;
    q8_cells k = { cell_at[CELLS_K], cell_at[SCALES_K] }, v = { cell_at[CELLS_V], cell_at[SCALES_V] };
    o->scores(k, k, dim, &rows, n_q, cell_at[SCORES]);
    vec_get()->weigh(cell_at[SCORES], n_cells, n_q, cell_at[MOST], cell_at[SHRINKS], cell_at[WEIGHTS]);
    o->values(v, v, dim, n_cells, cell_at[WEIGHTS], cell_at[SHRINKS], cell_at[FACTORS], cell_sum, n_q);
}

static void cells_of_bytes_touch_what_they_are_given(void)
{
    static const int widths[] = { 16, 32, 80, 128 };
    for (int i = 0; i < CELL_ROOMS; i++) cell_room[i] = room_of(128 * Q8_CELLS * sizeof(float));
    heed(fault);
    for (volatile int path = 0; ker_cpu_path(path); path++)
        for (volatile int way = 0; way < 2 * 4 * CELL_QUERIES; way++) {
            volatile int end = way % 2, dim = widths[way / 2 % 4], n_q = way / 8 + 1, n_cells = 1 + (int)(rnd() % Q8_CELLS);
            size_t cells = (size_t)dim * Q8_CELLS, scales = (size_t)q8_blocks(dim) * Q8_CELLS * 4, rows = (size_t)n_q, blocks = (size_t)q8_blocks(dim) * 4;
            const size_t bytes[CELL_ROOMS] = { cells, cells, scales, scales, rows * (size_t)dim, rows * blocks, rows * blocks, rows * (size_t)dim * 4,
                                               rows * Q8_CELLS * 4, rows * (size_t)dim * 4, rows * 4, rows * 4, rows * Q8_CELLS * 2, rows * 4 };
            CHECK_INT(ker_cpu_force(ker_cpu_path(path)), 0);
            for (int i = 0; i < CELL_ROOMS; i++) {
                cell_at[i] = place(&cell_room[i], bytes[i], end);
                for (size_t k = 0; k < bytes[i]; k += 4) *(float *)(void *)((char *)cell_at[i] + k) = (float)(rnd() % 1001) / 1000;
            }
            if (!sigsetjmp(back, 1)) cells_pass(q8_get(), dim, n_q, n_cells);
            else CHECK_MSG(0, "cells of %d on %s, %d queries against the %s: touches what it was not given", dim, ker_cpu_path(path), n_q, end ? "end" : "beginning");
        }
    ker_cpu_force(NULL);
    heed(SIG_DFL);
    for (int i = 0; i < CELL_ROOMS; i++) room_free(&cell_room[i]);
}

int main(void)
{
    RUN(cells_of_bytes_touch_what_they_are_given);
    RUN(float_work_touches_what_it_is_given);
    RUN(products_touch_what_they_are_given);
    return TEST_END();
}
