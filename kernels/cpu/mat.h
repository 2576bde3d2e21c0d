/* kernels/cpu/mat: products of quantised rows with activations, on the CPU. Owns no memory and no threads:
 * a caller gives the rows, the prepared activations and a scratch of its own thread. It never splits a sum:
 * y's bits depend on neither n, the range of rows asked for, nor the instruction set (kernels.h). */
#ifndef QUORUM_CPU_MAT_H
#define QUORUM_CPU_MAT_H

#include "kernels/cpu/mat_isa.h"

/* Prepares a row (mat_isa.h) for weights of this type. */
void mat_act(int type, const float *x, int64_t n_in, void *dst);   /* dst aligned to 4, better to 64 */

/* y[r * y_stride + o] = W[o] . act[r] for r in [0, n), o in [o0, o1); act_stride in bytes, y_stride in
 * floats. Per block: acc = fmaf(d_w * d_a, (float)isum, acc), then for types with a minimum
 * acc = fmaf(-(m_w * d_a), (float)msum, acc), where isum = sum of sub-scale * q_w * q_a and msum = sum of
 * sub-minimum * (sum of q_a), both exact in int32; d_w * d_a and m_w * d_a are rounded to float first.
 * For large n a range of a multiple of 64 rows wastes nothing. */
void mat_mul(const mat *w, const void *act, int64_t act_stride, int n, int64_t o0, int64_t o1,
             float *y, int64_t y_stride, void *scratch);

#endif
