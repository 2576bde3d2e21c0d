/* kernels/cpu/low: adapters: what low-rank changes of matrices (ker_low in kernels.h) add to products, without touching the weights.
 * In two steps around a barrier: low_prepare makes t = factor * scale * (A x) of every item, the rows' un-quantised x being ready;
 * low_add adds B t to outputs of one item, t's numbers in rising order, adapters in the configuration's. Where no adapter acts, neither
 * does anything. A device owns its adapters' tables and B turned over; A stays the caller's. Between begin and end on the pool;
 * allocates in low_put and low_begin only. Private to kernels/cpu. */
#ifndef QUORUM_CPU_LOW_H
#define QUORUM_CPU_LOW_H

#include "kernels/cpu/ctx.h"

/* The items of one product: x of item i of row first + r and matrix e lies at x + i * x_item + r * x_row + e * x_e. */
typedef struct low_job {
    int layer;
    enum ker_role role;
    const float *x;
    int64_t x_item, x_row, x_e;    /* in floats                                                */
    int from, n;                   /* items up to n, of which those from `from` on are made and added */
    int first, per;                /* without `row`: item i is of row first + i / per, matrix i % per; per 0: a row each, matrix 0 */
    const int *row, *e;            /* [n] item i is of row first + row[i]; of matrix e[i]; or NULL */
    float *t;                      /* [n][ctx_low.wide]; NULL: nothing acts here. low_prepare's */
    int begin;                     /* its first task. low_prepare's                            */
} low_job;

int low_put(ker_dev *, int adapter, const ker_low *low, int n, char *err);
void low_drop(ker_dev *, int adapter);
/* Room for what acts in the batch at hand. */
int low_begin(ker_ctx *, char *err);
static inline bool low_acts(const ker_ctx *c) { return c->low.wide > 0; }
/* One item a row of the batch, x [n][n_in]. */
static inline low_job low_rows(const ker_ctx *c, int layer, enum ker_role role, const float *x, int64_t n_in)
{
    return (low_job){ .layer = layer, .role = role, .x = x, .x_item = n_in, .n = c->b.n };
}
/* Jobs that share a barrier. */
int low_prepare(ker_ctx *, low_job *jobs, int n);
/* Outputs [o0, o0 + n) of item i: y[0, n) += B t. */
void low_add(const ker_ctx *, const low_job *, int i, int64_t o0, int64_t n, float *y);
/* A token's row of the embedding. */
void low_embed(const ker_ctx *, int row, int32_t token, float *x);

#endif
