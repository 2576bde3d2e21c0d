/* kernels/cpu/prod: norms and products over the rows of a running batch. Private to kernels/cpu; the
 * context's caller thread. */
#ifndef QUORUM_CPU_PROD_H
#define QUORUM_CPU_PROD_H

#include "kernels/cpu/low.h"

/* Fills y with the normed rows of x and prepares them for every kind in `kinds` (bits of ker_act). */
int ctx_norm(ker_ctx *, const float *w, unsigned kinds);

/* Products that share a barrier: y[r * y_stride + o] = W[o] . act[r], what the n_low changes of it add to row r, then add_to[same
 * place] += y. */
typedef struct prod {
    const mat *w;
    const uint8_t *act;
    int64_t act_stride;
    int n;
    float *y, *add_to;             /* add_to may be NULL */
    int64_t y_stride;
    int layer, part;               /* with add_to: who answers for the sums (ctx_mark)            */
    const low_job *low;            /* prepared; NULL: the product alone                           */
    int n_low;
    int block, first;              /* filled by ctx_products */
} prod;
int ctx_products(ker_ctx *, prod *p, int n);

/* Where a part's product (y) is not just added to the stream: bias, norm after it, factor, then the sum; one barrier.
 * part: KER_PART_ATTN or KER_PART_FFN. */
bool ctx_finishes(const ker_ctx *, int layer, enum ker_part part);
int ctx_finish(ker_ctx *, int layer, enum ker_part part);
int block_rows(const ker_dev *d, int64_t n_out, int n_rows);   /* outputs per task: a multiple of 16 */

#endif
