/* kernels/cpu/vec: the NEON set, 16 lanes as four registers. Same operations, same bits as vec.c.
 * Every aarch64 processor has it. */
#include "kernels/cpu/vec.h"

#include <arm_neon.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/kernels.h"

typedef struct v16 { float32x4_t v[4]; } v16;
enum { VEC_QB = 1, VEC_QV = 4, VEC_HQ = 4, VEC_HV = 1, VEC_PAIR = 2, VEC_PV = 2, VEC_FEW = 16 };

#define EACH(expr) v16 z; _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) z.v[i] = (expr); return z
static inline v16 v_set(float a) { EACH(vdupq_n_f32(a)); }
static inline v16 v_load(const float *p) { EACH(vld1q_f32(p + 4 * i)); }
static inline void v_store(float *p, v16 x) { _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, x.v[i]); }
static inline void v_past(float *p, v16 x) { v_store(p, x); }
static inline void v_past_end(void) { }
static inline v16 v_loadn(const float *p, int n) { float t[16] = { 0 }; memcpy(t, p, sizeof(float) * (size_t)n); return v_load(t); }
static inline void v_storen(float *p, v16 x, int n) { float t[16]; v_store(t, x); memcpy(p, t, sizeof(float) * (size_t)n); }
static inline v16 v_add(v16 x, v16 y) { EACH(vaddq_f32(x.v[i], y.v[i])); }
static inline v16 v_sub(v16 x, v16 y) { EACH(vsubq_f32(x.v[i], y.v[i])); }
static inline v16 v_mul(v16 x, v16 y) { EACH(vmulq_f32(x.v[i], y.v[i])); }
static inline v16 v_div(v16 x, v16 y) { EACH(vdivq_f32(x.v[i], y.v[i])); }
static inline v16 v_fma(v16 x, v16 y, v16 a) { EACH(vfmaq_f32(a.v[i], x.v[i], y.v[i])); }
/* Not vmaxq_f32, which makes a NaN of either: the second stands where the comparison does not hold. */
static inline float32x4_t max4(float32x4_t x, float32x4_t y) { return vbslq_f32(vcgtq_f32(x, y), x, y); }
static inline v16 v_max(v16 x, v16 y) { EACH(max4(x.v[i], y.v[i])); }
static inline v16 v_above(v16 x, v16 lim, v16 y)
{
    EACH(vreinterpretq_f32_u32(vandq_u32(vcgtq_f32(x.v[i], lim.v[i]), vreinterpretq_u32_f32(y.v[i]))));
}
static inline float v_fold(v16 x)
{
    float32x4_t a = vaddq_f32(vaddq_f32(x.v[0], x.v[2]), vaddq_f32(x.v[1], x.v[3]));
    return vpadds_f32(vadd_f32(vget_low_f32(a), vget_high_f32(a)));
}
static inline float v_most(v16 x)
{
    float t[4];
    vst1q_f32(t, max4(max4(x.v[0], x.v[2]), max4(x.v[1], x.v[3])));
    float a = t[0] > t[2] ? t[0] : t[2], b = t[1] > t[3] ? t[1] : t[3];
    return a > b ? a : b;
}
static inline bool v_whole(v16 x)
{
    uint32x4_t whole = vandq_u32(vandq_u32(vceqq_f32(x.v[0], x.v[0]), vceqq_f32(x.v[1], x.v[1])),
                                 vandq_u32(vceqq_f32(x.v[2], x.v[2]), vceqq_f32(x.v[3], x.v[3])));
    return vminvq_u32(whole) != 0;
}
static inline v16 v_pow2(v16 n)
{
    EACH(vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n.v[i]), vdupq_n_s32(127)), 23)));
}
static inline v16 v_raised(v16 p, v16 n)
{
    EACH(vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(p.v[i]), vshlq_n_s32(vreinterpretq_s32_f32(n.v[i]), 23))));
}
static inline void v_to_int16(int16_t *p, v16 x)
{
    _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) vst1_s16(p + 4 * i, vqmovn_s32(vcvtnq_s32_f32(x.v[i])));
}
static inline v16 v_half(const uint16_t *p) { EACH(vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i)))); }
static inline void v_to_half(uint16_t *p, v16 x)
{
    _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.v[i])));
}
static inline v16 v_int8(const int8_t *p)
{
    int8x16_t b = vld1q_s8(p);
    int16x8_t low = vmovl_s8(vget_low_s8(b)), high = vmovl_high_s8(b);
    return (v16){ { vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_high_s16(low)),
                    vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_high_s16(high)) } };
}

#include "kernels/cpu/vec_body.h"

const vec_ops vec_neon = VEC_OPS;
