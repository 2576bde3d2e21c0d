/* train/gemm: products of F32 matrices, the one thing that training spends its time on. One body (gemm_body.h) is compiled for each
 * instruction set; every number of a result is the same chain of fused multiply-adds in the same order in all of them, so results depend
 * on neither the processor's set nor how rows and columns are shared out among threads.
 * Pure functions: no state, no allocation, any thread. */
#ifndef QUORUM_TRAIN_GEMM_H
#define QUORUM_TRAIN_GEMM_H

#include <stdbool.h>
#include <stdint.h>

enum { GEM_COLS = 16 /* columns of a panel */, GEM_DEPTH = 256 /* terms of one chain: part of the arithmetic */ };

/* The second factor lies packed: panels of 16 columns, [columns / 16, rounded up][depth][16], missing columns 0. */
static inline int64_t gem_floats(int64_t depth, int64_t cols) { return (cols + GEM_COLS - 1) / GEM_COLS * GEM_COLS * depth; }
/* From rows [k][n], ld numbers apart, to the panels' rows [at, at + k) of `depth`: c = a * rows. */
void gem_pack(const float *rows, int64_t ld, int k, int n, int64_t depth, int at, float *b);
/* From rows [n][k], each of which is a column: c = a * rows^T. Columns [at, at + n) with at a multiple of 16; the last panel is filled up. */
void gem_pack_turned(const float *rows, int64_t ld, int n, int k, int64_t depth, int at, float *b);

typedef struct gem_ops {
    /* c[m][n] = a[m][k] * b (add: += that). For each number sums of GEM_DEPTH terms in rising order by fmaf from 0, added one after another.
     * depth: of b's panels, at least k. lda, ldc: numbers from one row to the next. */
    void (*mul)(const float *a, int64_t lda, int m, int k, const float *b, int64_t depth, int n, float *c, int64_t ldc, bool add);
} gem_ops;
extern const gem_ops gem_scalar, gem_avx2, gem_avx512;
const gem_ops *gem_get(void);          /* the best that this processor has (ker_cpu_features) */

#endif
