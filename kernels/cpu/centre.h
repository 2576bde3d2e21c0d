/* kernels/cpu/centre: what the keys of cells lie about, taken out of them before their numbers share a scale (Q8_0, Q4_0). A layer
 * that adds a bias to K and then rotates it has, for a cell at position p, the same R(p) b in every key, and where b is large (Qwen2's
 * is up to hundreds of times what else a key holds) the scale of a block is b's alone. R(p) b moves slowly in most pairs, so its mean
 * over the CENTRE_CELLS positions of a segment (attn.c) stands for all of them: a cell keeps k - c(segment), and as all scores of a
 * query in that segment are then too small by the same q c, the segment's maximum becomes larger by it, once. Exact in reals, whatever
 * the positions are; a mean over a whole context is not enough (SPEED.md, "Types of cells").
 *   c = D(f) R(p0 + CENTRE_CELLS / 2) b for a pair of frequency f, with D(f) = sin(x) / x, x = f CENTRE_CELLS / 2; b itself in what is not rotated.
 * The rotations are those of the row's settings, so that keys lie near it under YaRN, too: all rows of a sequence must have the same ones.
 * The engine sees to that: a cache's seed hangs on them (engine/run/confhash.c), and cells under others are evaluated anew.
 * Only where cells' numbers share a scale, K has a bias and no norm behind it. Each row's bits depend on its own settings, positions of
 * cells and q: no thread, batch or set of instructions changes them. */
#ifndef QUORUM_CPU_CENTRE_H
#define QUORUM_CPU_CENTRE_H

#include "kernels/cpu/ctx.h"

enum { CENTRE_CELLS = 512 };           /* cells that share one: a segment of attention */

bool centre_there(const ker_ctx *, int layer);         /* of the running batch's cells */
/* Between batches, by the context's thread: room for, and the turns of, all segments that the batch's rows reach. */
void centre_begin(ker_ctx *);
/* What turns a layer's bias into what keys of that cell's segment lie about, under row's settings, as a row of ctx_att.rope does (attn_rotate); any worker. */
const float *centre_turn(const ker_ctx *, int layer, int row, int cell);
/* What a query's scores lack in that segment: the sum of its numbers, as they are multiplied with cells, times the centre's. Of n
 * numbers: q in F32; or whole, with a scale for each block of Q8_BLOCK. */
float centre_share(const float *q, const float *centre, int n);
float centre_share_whole(const int8_t *q, const float *scale, const float *centre, int n);

#endif
