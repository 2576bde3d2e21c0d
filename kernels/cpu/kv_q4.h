/* kernels/cpu/kv_q4: cells of four bits (KER_KV_Q4_0) in a page of one layer and KV head: K [blocks of 16][64 cells] bytes,
 * transposed, V [64 cells][blocks of 16] bytes, then half-float scales, of K [blocks][64], of V [64][blocks]; blocks of 32
 * numbers as ker_cells_save has them. Where ker_cells_fours says so, four bytes that are multiplied together lie together instead: K
 * [blocks of 16 / 4][64][4], V [64 / 4][blocks of 16][4], both scales [blocks][64]. No V in latent cells. No state, any thread: a byte belongs to one cell, so cells
 * of a page may be written at once. */
#ifndef QUORUM_CPU_KV_Q4_H
#define QUORUM_CPU_KV_Q4_H

#include "kernels/cpu/vec.h"
#include "kernels/kernels.h"

/* As kv_put, and where cells do not lie by fours kv_page_k and kv_page_v (kv.h). */
void q4_put(const ker_model *m, uint8_t *p, int cell, const float *k, const float *v);
const float *q4_page_k(const ker_model *m, const uint8_t *p, float *buf, const vec_ops *ops);
const float *q4_page_v(const ker_model *m, const uint8_t *p, int n, float *buf, const vec_ops *ops);
/* Cells by fours become those of Q8_0 (kv_q8_page), exactly: K and V, a byte a number, then the scales of both in F32. None of
 * V's is below zero: numbers of such a block are negated. */
void q4_whole(const ker_model *m, const uint8_t *p, float *room, const vec_ops *ops);

#endif
