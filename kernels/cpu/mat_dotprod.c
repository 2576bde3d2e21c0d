/* kernels/cpu/mat_dotprod: the products with sdot (FEAT_DotProd), four products of bytes a lane and instruction. Everything else
 * is in mat_neon*.h. No state; any thread; runs only where cpu.c found it. */
#include "kernels/cpu/mat_neon_blocks.h"

INLINE int32x4_t dot16(int32x4_t acc, int8x16_t w, int8x16_t a) { return vdotq_s32(acc, w, a); }

#include "kernels/cpu/mat_neon_rows.h"

/* Tiles: a lane is a row of the matrix; sixteen elements are four steps of [8 rows][4 bytes], each met by one lane of a row of
 * activations. */
enum { GROUPS = 2 };

INLINE void put16(int8_t *w, int i, int at, int8x16_t v)
{
    int32x4_t x = vreinterpretq_s32_s8(v);
    int32_t *to = (int32_t *)(void *)(w + at * 8 + 4 * i);
    vst1q_lane_s32(to, x, 0), vst1q_lane_s32(to + 8, x, 1), vst1q_lane_s32(to + 16, x, 2), vst1q_lane_s32(to + 24, x, 3);
}
INLINE void put_scale(int32_t *sc, int i, int v) { sc[i] = v; }
INLINE void step16(const int8_t *w, const int8_t *const q[MAX_R], int at, const int nr, int32x4_t v[2 * MAX_R])
{
    int8x16_t a[MAX_R], w0, w1;
    EACH(r) a[r] = vld1q_s8(q[r] + at);
#define STEP(i) w0 = vld1q_s8(w + 32 * i), w1 = vld1q_s8(w + 32 * i + 16); \
    EACH(r) v[2 * r] = vdotq_laneq_s32(v[2 * r], w0, a[r], i), v[2 * r + 1] = vdotq_laneq_s32(v[2 * r + 1], w1, a[r], i);
    STEP(0) STEP(1) STEP(2) STEP(3)
#undef STEP
}
INLINE int32x4_t take(const int32x4_t v[2 * MAX_R], int r, int g) { return v[2 * r + g]; }

#include "kernels/cpu/mat_neon_tile.h"

const mat_isa *mat_isa_dotprod(void)
{
    static const mat_isa isa = {
        .name = "neon-dotprod",
        .mul = {
#define KER_BLOCK(id, ...) [id] = mul_tiles,
#include "kernels/types.def"
        },
    };
    return &isa;
}
