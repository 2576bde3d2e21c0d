/* kernels/cpu/q8: attention over one page of Q8_0 cells in whole numbers. Queries become int8 with a scale for each block of 32
 * numbers, as the cells are; what a cell weighs comes as 15 bits (vec.h, weigh), its scale becomes 15 bits relative to the largest of its
 * block in the page, and the product of both one byte, about as fine as the cells' own numbers (SPEED.md has what more bits change). Sums of
 * products are exact in 32 bits and the few float operations around them are the same in every set of instructions, so all give the same bits. Four numbers that are multiplied together lie together, so that one instruction (vpdpbusd, sdot) sums
 * them and no sum is folded across lanes: a page holds K [dim / 4][64 cells][4], V [64 / 4 cells][dim][4], scales of K, then of V,
 * [blocks of dim][64 cells] each; dim a multiple of 16. Pure functions: no state, no allocation, any thread. */
#ifndef QUORUM_CPU_Q8_H
#define QUORUM_CPU_Q8_H

#include <stdint.h>

enum { Q8_BLOCK = 32, Q8_CELLS = 64 /* VEC_CELLS */, Q8_MOST = 255, Q8_SCALE = Q8_MOST << 7 };

static inline int q8_blocks(int dim) { return (dim + Q8_BLOCK - 1) / Q8_BLOCK; }
/* Where cell c's number d lies in K, and in V. */
static inline int64_t q8_at_k(int d, int c) { return ((int64_t)(d / 4) * Q8_CELLS + c) * 4 + d % 4; }
static inline int64_t q8_at_v(int dim, int d, int c) { return ((int64_t)(c / 4) * dim + d) * 4 + c % 4; }

typedef struct q8_cells { const int8_t *x; const float *scale; } q8_cells;               /* K or V of a page */

typedef struct q8_rows {               /* queries, as `rows` writes them                          */
    int8_t *q;                         /* [n][dim]                                                */
    float *scale;                      /* [n][blocks]                                             */
    int32_t *low;                      /* [n][blocks] 128 times the sum of the block's numbers    */
} q8_rows;

typedef struct q8_ops {
    /* n numbers, 16 or 32 (of q8_scalar any number up to Q8_BLOCK), to whole ones from -127 to 127, nearest even: returns the
     * scale, the largest / 127. Where one is NaN or infinite, the scale is NaN and all are 0. */
    float (*block)(const float *x, int n, int8_t *to);
    /* s[i][c] = the sum over blocks b, rising, by fmaf from 0: (scale of K * scale of q) * (float)(the whole sum). next: of the page
     * that is read after this one, asked for on the way and never read: in the order in which it lies, which is what memory gives
     * fastest. */
    void (*scores)(q8_cells k, q8_cells next, int dim, const q8_rows *q, int n_q, float *s);
    /* For each block: top = the largest scale of cells [0, n_cells), r[c] = scale[c] * (Q8_SCALE / top) as a whole number, nearest even,
     * from 0 to Q8_SCALE, or 0 where top is below 1e-30 or the product is NaN or c is n_cells or more;
     * u[i][c] = (((w[i][c] * r[c] + 2^14) >> 15) + 64) >> 7, from 0 to Q8_MOST;
     * acc[i][d] = fmaf(factor[i] * (top / Q8_MOST), (float)(sum of u[i][c] * v[c][d]), acc[i][d] * shrink[i]).
     * w: [n_q][64] as `weigh` (vec.h) makes them. next: V of the page that is read after this one. */
    void (*values)(q8_cells v, q8_cells next, int dim, int n_cells, const int16_t *w, const float *shrink, const float *factor,
                   float *const *acc, int n_q);
} q8_ops;

const q8_ops *q8_get(void);            /* that cpu_level() (cpu.h) allows */
extern const q8_ops q8_scalar, q8_avx2, q8_vnni, q8_dotprod;

/* Query i of rows: its numbers, scales and sums. Where x holds NaN or infinity, the scale of that block is NaN. */
void q8_row_put(const q8_ops *ops, const q8_rows *rows, int i, const float *x, int dim);
static inline q8_rows q8_rows_from(const q8_rows *r, int i, int dim)
{
    return (q8_rows){ r->q + (int64_t)i * dim, r->scale + (int64_t)i * q8_blocks(dim), r->low + (int64_t)i * q8_blocks(dim) };
}

#endif
