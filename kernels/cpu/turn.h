/* kernels/cpu/turn: rows become columns, four by four: moves of numbers, the same bits on every processor. Pure; any thread. Private
 * to kernels/cpu. */
#ifndef QUORUM_CPU_TURN_H
#define QUORUM_CPU_TURN_H

#include <stdint.h>
#include <string.h>

typedef float four __attribute__((vector_size(16)));
static inline four four_at(const float *p) { four v; memcpy(&v, p, sizeof v); return v; }
static inline void four_put(float *p, four v) { memcpy(p, &v, sizeof v); }

/* Four numbers of four rows, `stride` apart, scaled, to where four rows of four numbers stand, `to_stride` apart. */
static inline void turn_four(const float *k, int64_t stride, float scale, float *to, int64_t to_stride)
{
    four a = four_at(k) * scale, b = four_at(k + stride) * scale, c = four_at(k + 2 * stride) * scale, d = four_at(k + 3 * stride) * scale;
    four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    four ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    four_put(to, __builtin_shufflevector(ab, cd, 0, 1, 4, 5));
    four_put(to + to_stride, __builtin_shufflevector(ab, cd, 2, 3, 6, 7));
    four_put(to + 2 * to_stride, __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5));
    four_put(to + 3 * to_stride, __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7));
}

#endif
