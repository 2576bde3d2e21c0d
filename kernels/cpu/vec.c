/* kernels/cpu/vec: the scalar set (also the one for processors without a hand-written set) and the
 * choice among the sets. Lanes are plain arrays, which compilers vectorise without changing a bit.
 * Pure functions, any thread. */
#include "kernels/cpu/vec.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/kernels.h"

typedef struct v16 { float f[16]; } v16;
enum { VEC_QB = 1, VEC_QV = 4, VEC_HQ = 1, VEC_HV = 4, VEC_PAIR = 1, VEC_PV = 4, VEC_FEW = 2 };

#define LANES(expr) v16 y; for (int i = 0; i < 16; i++) y.f[i] = (expr); return y
static inline v16 v_set(float a) { LANES(a); }
static inline v16 v_load(const float *p) { LANES(p[i]); }
static inline v16 v_loadn(const float *p, int n) { LANES(i < n ? p[i] : 0.0f); }
static inline v16 v_add(v16 a, v16 b) { LANES(a.f[i] + b.f[i]); }
static inline v16 v_sub(v16 a, v16 b) { LANES(a.f[i] - b.f[i]); }
static inline v16 v_mul(v16 a, v16 b) { LANES(a.f[i] * b.f[i]); }
static inline v16 v_div(v16 a, v16 b) { LANES(a.f[i] / b.f[i]); }
static inline v16 v_fma(v16 a, v16 b, v16 c) { LANES(fmaf(a.f[i], b.f[i], c.f[i])); }
static inline v16 v_max(v16 a, v16 b) { LANES(a.f[i] > b.f[i] ? a.f[i] : b.f[i]); }
static inline v16 v_above(v16 x, v16 lim, v16 v) { LANES(x.f[i] > lim.f[i] ? v.f[i] : 0.0f); }
static inline v16 v_half(const uint16_t *p) { LANES(ker_f16_to_f32(p[i])); }
static inline v16 v_int8(const int8_t *p) { LANES((float)p[i]); }
static inline void v_store(float *p, v16 a) { memcpy(p, a.f, sizeof a.f); }
static inline void v_past(float *p, v16 a) { v_store(p, a); }
static inline void v_past_end(void) { }
static inline void v_storen(float *p, v16 a, int n) { memcpy(p, a.f, sizeof(float) * (size_t)n); }
static inline void v_to_half(uint16_t *p, v16 a) { for (int i = 0; i < 16; i++) p[i] = ker_f32_to_f16(a.f[i]); }
static inline float v_fold(v16 v)
{
    float t[16];
    v_store(t, v);
    for (int w = 8; w; w /= 2)
        for (int i = 0; i < w; i++) t[i] += t[i + w];
    return t[0];
}
static inline float v_most(v16 v)
{
    for (int w = 8; w; w /= 2)
        for (int i = 0; i < w; i++) v.f[i] = v.f[i] > v.f[i + w] ? v.f[i] : v.f[i + w];
    return v.f[0];
}
static inline bool v_whole(v16 v)
{
    bool whole = true;
    for (int i = 0; i < 16; i++) whole &= v.f[i] == v.f[i];
    return whole;
}
static inline v16 v_pow2(v16 n)
{
    v16 y;
    for (int i = 0; i < 16; i++) {                 /* NaN becomes 2^-127's pattern: the caller masks it */
        int32_t e = n.f[i] >= -126.0f ? (int32_t)n.f[i] : -127;
        uint32_t bits = (uint32_t)(e + 127) << 23;
        memcpy(&y.f[i], &bits, 4);
    }
    return y;
}

static inline v16 v_raised(v16 p, v16 n)
{
    v16 y;
    for (int i = 0; i < 16; i++) {
        uint32_t a, b;
        memcpy(&a, &p.f[i], 4), memcpy(&b, &n.f[i], 4);
        a += b << 23;
        memcpy(&y.f[i], &a, 4);
    }
    return y;
}
static inline void v_to_int16(int16_t *p, v16 a)
{
    for (int i = 0; i < 16; i++) {
        float r = rintf(a.f[i]);
        p[i] = (int16_t)(r < 32767 ? r : 32767);
    }
}

#include "kernels/cpu/vec_body.h"

const vec_ops vec_scalar = VEC_OPS;

const vec_ops *vec_get(void)
{
#if defined(__x86_64__)
    enum cpu_level l = cpu_level();
    if (l >= CPU_AVX512) return &vec_avx512;
    if (l == CPU_AVX2) return &vec_avx2;
#elif defined(__aarch64__)
    if (cpu_level() >= CPU_NEON) return &vec_neon;
#endif
    return &vec_scalar;
}
