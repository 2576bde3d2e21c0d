/* kernels/cpu/mat_neon: the products with what every aarch64 processor has: bytes are multiplied to words, of which two fit in
 * an int16 (2 * 128 * 127). Also float weights and the activations, which higher levels share. No state; any thread. */
#include "kernels/cpu/mat_neon_blocks.h"

INLINE int32x4_t dot16(int32x4_t acc, int8x16_t w, int8x16_t a)
{
    return vpadalq_s16(acc, vmlal_high_s8(vmull_s8(vget_low_s8(w), vget_low_s8(a)), w, a));
}

#include "kernels/cpu/mat_neon_rows.h"

/* ---- float weights: sixteen partial sums are four vectors ---- */

INLINE void load_float(const int type, const uint8_t *p, float32x4_t v[4])
{
    UNROLL for (int i = 0; i < 4; i++)
        if (type == KER_F32)
            v[i] = vreinterpretq_f32_u8(vld1q_u8(p + 16 * i));
        else {
            uint16x4_t h = vreinterpret_u16_u8(vld1_u8(p + 8 * i));
            v[i] = type == KER_F16 ? vcvt_f32_f16(vreinterpret_f16_u16(h)) : vreinterpretq_f32_u32(vshll_n_u16(h, 16));
        }
}

INLINE const float *row_f32(const void *act, int64_t stride, int r) { return (const float *)(const void *)((const char *)act + r * stride); }

/* `no` rows of the matrix by nr rows. */
INLINE void float_tile(const int type, const mat *w, const void *act, int64_t act_stride, const int no, const int nr, int64_t o, float *y, int64_t y_stride)
{
    const int size = type == KER_F32 ? 4 : 2;
    const uint8_t *s = w->data + o * w->row_bytes;
    float32x4_t acc[4][2][4];
    UNROLL for (int i = 0; i < no; i++)
        EACH(r) UNROLL for (int j = 0; j < 4; j++) acc[i][r][j] = vdupq_n_f32(0);
    int64_t k = 0;
    for (; k + 16 <= w->n_in; k += 16)
        UNROLL for (int i = 0; i < no; i++) {
            float32x4_t v[4];
            load_float(type, s + i * w->row_bytes + size * k, v);
            EACH(r) UNROLL for (int j = 0; j < 4; j++) acc[i][r][j] = vfmaq_f32(acc[i][r][j], v[j], vld1q_f32(row_f32(act, act_stride, r) + k + 4 * j));
        }
    UNROLL for (int i = 0; i < no; i++)
        EACH(r) {
            float p[16], v[16];
            UNROLL for (int j = 0; j < 4; j++) vst1q_f32(p + 4 * j, acc[i][r][j]);
            if (k < w->n_in)
                ker_type_get(type)->decode(s + i * w->row_bytes + size * k, v, w->n_in - k);
            for (int64_t j = 0; j < w->n_in - k; j++)
                p[j] = __builtin_fmaf(v[j], row_f32(act, act_stride, r)[k + j], p[j]);
            float32x4_t a = vaddq_f32(vaddq_f32(vld1q_f32(p), vld1q_f32(p + 8)), vaddq_f32(vld1q_f32(p + 4), vld1q_f32(p + 12)));
            y[r * y_stride + o + i] = vpadds_f32(vadd_f32(vget_low_f32(a), vget_high_f32(a)));
        }
}

INLINE void mul_float(const int type, const mat *w, const void *act, int64_t act_stride, int n, int64_t o0, int64_t o1, float *y, int64_t y_stride)
{
    int r = 0;
    for (; r + 2 <= n; r += 2, act = (const char *)act + 2 * act_stride, y += 2 * y_stride) {
        int64_t o = o0;
        for (; o + 2 <= o1; o += 2) float_tile(type, w, act, act_stride, 2, 2, o, y, y_stride);
        if (o < o1) float_tile(type, w, act, act_stride, 1, 2, o, y, y_stride);
    }
    if (r == n) return;
    int64_t o = o0;
    for (; o + 4 <= o1; o += 4) float_tile(type, w, act, act_stride, 4, 1, o, y, y_stride);
    for (; o < o1; o++) float_tile(type, w, act, act_stride, 1, 1, o, y, y_stride);
}
#define FLOATS(name, type) static void name(const mat *w, const void *act, int64_t act_stride, int n, int64_t o0, int64_t o1, \
    float *y, int64_t y_stride, void *scratch) { (void)scratch; mul_float(type, w, act, act_stride, n, o0, o1, y, y_stride); }
FLOATS(mul_f32, KER_F32)
FLOATS(mul_f16, KER_F16)
FLOATS(mul_bf16, KER_BF16)

/* ---- activations ---- */

static void act_q8(int block, const float *x, int64_t n_in, void *dst)
{
    mat_act_sums sums = mat_act_sums_of(block, n_in, dst);
    int8_t *q = (int8_t *)dst;
    float *d = sums.d;
    for (int64_t b = 0; b < n_in / block; b++) {
        uint32x4_t most = vdupq_n_u32(0);            /* as bits: NaN > infinity > every number */
        for (int i = 0; i < block; i += 4)
            most = vmaxq_u32(most, vandq_u32(vreinterpretq_u32_f32(vld1q_f32(x + b * block + i)), vdupq_n_u32(0x7fffffff)));
        uint32_t bits = vmaxvq_u32(most);
        float amax;
        memcpy(&amax, &bits, 4);
        const bool dead = bits >= 0x7f800000 || amax < 1e-30f;
        d[b] = bits >= 0x7f800000 ? __builtin_nanf("") : dead ? 0 : amax / 127;
        const float factor = dead ? 0 : 127 / amax;
        for (int i = 0; i < block; i += 16) {
            const float *from = x + b * block + i;
            int8x16_t bytes = vdupq_n_s8(0);
            if (!dead) {                             /* to nearest even */
                int32x4_t v[4];
                UNROLL for (int j = 0; j < 4; j++) v[j] = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(from + 4 * j), factor));
                bytes = vqmovn_high_s16(vqmovn_s16(vqmovn_high_s32(vqmovn_s32(v[0]), v[1])), vqmovn_high_s32(vqmovn_s32(v[2]), v[3]));
            }
            vst1q_s8(q + b * block + i, bytes);
            mat_act_part(&sums, b, i, vaddlvq_s8(bytes), vaddlvq_u8(vreinterpretq_u8_s8(vabsq_s8(bytes))));
        }
    }
    if (block == 32 && n_in % 64)
        memset(q + n_in, 0, (size_t)(64 - n_in % 64));
}

const mat_isa *mat_isa_neon(void)
{
    static const mat_isa isa = {
        .name = "neon",
        .mul = {
#define KER_BLOCK(id, ...) [id] = mul_rows,
#include "kernels/types.def"
            [KER_F32] = mul_f32, [KER_F16] = mul_f16, [KER_BF16] = mul_bf16 },
        .act_q8 = act_q8,
    };
    return &isa;
}
