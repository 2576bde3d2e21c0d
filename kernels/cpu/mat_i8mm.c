/* kernels/cpu/mat_i8mm: products with many rows by smmla (FEAT_I8MM), which multiplies two rows of the matrix by two rows of
 * activations, eight elements at a time. Few rows are mat_dotprod.c's. Everything else is in mat_neon*.h. No state; any thread;
 * runs only where cpu.c found it. */
#include "kernels/cpu/mat_neon_blocks.h"

INLINE int32x4_t dot16(int32x4_t acc, int8x16_t w, int8x16_t a) { return vdotq_s32(acc, w, a); }

#include "kernels/cpu/mat_neon_rows.h"

/* Tiles: sixteen elements are two steps of [4 pairs of rows][2 rows][8 bytes]; a vector of sums holds two rows of the matrix by
 * two of activations, row by row of the matrix. */
enum { GROUPS = 4 };

INLINE void put16(int8_t *w, int i, int at, int8x16_t v)
{
    vst1_s8(w + at * 8 + 8 * i, vget_low_s8(v));
    vst1_s8(w + at * 8 + 64 + 8 * i, vget_high_s8(v));
}
INLINE void put_scale(int32_t *sc, int i, int v) { sc[2 * i] = sc[2 * i + 1] = v; }
INLINE void step16(const int8_t *w, const int8_t *const q[MAX_R], int at, const int nr, int32x4_t v[2 * MAX_R])
{
    int8x16_t a[MAX_R / 2][2];
    UNROLL for (int p = 0; p < nr / 2; p++) {
        int64x2_t even = vreinterpretq_s64_s8(vld1q_s8(q[2 * p] + at)), odd = vreinterpretq_s64_s8(vld1q_s8(q[2 * p + 1] + at));
        a[p][0] = vreinterpretq_s8_s64(vzip1q_s64(even, odd));
        a[p][1] = vreinterpretq_s8_s64(vzip2q_s64(even, odd));
    }
    UNROLL for (int h = 0; h < 2; h++)
        UNROLL for (int i = 0; i < 4; i++) {
            int8x16_t two = vld1q_s8(w + 64 * h + 16 * i);
            UNROLL for (int p = 0; p < nr / 2; p++) v[4 * p + i] = vmmlaq_s32(v[4 * p + i], two, a[p][h]);
        }
}
INLINE int32x4_t take(const int32x4_t v[2 * MAX_R], int r, int g)
{
    int32x4_t a = v[4 * (r / 2) + 2 * g], b = v[4 * (r / 2) + 2 * g + 1];
    return r % 2 ? vuzp2q_s32(a, b) : vuzp1q_s32(a, b);
}

#include "kernels/cpu/mat_neon_tile.h"

const mat_isa *mat_isa_i8mm(void)
{
    static const mat_isa isa = {
        .name = "neon-i8mm",
        .mul = {
#define KER_BLOCK(id, ...) [id] = mul_tiles,
#include "kernels/types.def"
        },
    };
    return &isa;
}
