/* kernels/cpu/vec: the AVX2 set, 16 lanes as two registers. Same operations, same bits as vec.c.
 * Called only where dispatch found AVX2, FMA and F16C. */
#include "kernels/cpu/vec.h"

#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/kernels.h"

typedef struct v16 { __m256 a, b; } v16;
enum { VEC_QB = 1, VEC_QV = 4, VEC_HQ = 4, VEC_HV = 1, VEC_PAIR = 2, VEC_PV = 2, VEC_FEW = 16 };

static inline v16 v_set(float a) { return (v16){ _mm256_set1_ps(a), _mm256_set1_ps(a) }; }
static inline v16 v_load(const float *p) { return (v16){ _mm256_loadu_ps(p), _mm256_loadu_ps(p + 8) }; }
static inline void v_store(float *p, v16 v) { _mm256_storeu_ps(p, v.a); _mm256_storeu_ps(p + 8, v.b); }
static inline void v_past(float *p, v16 v) { _mm256_stream_ps(p, v.a); _mm256_stream_ps(p + 8, v.b); }
static inline void v_past_end(void) { _mm_sfence(); }
static inline v16 v_loadn(const float *p, int n) { float t[16] = { 0 }; memcpy(t, p, sizeof(float) * (size_t)n); return v_load(t); }
static inline void v_storen(float *p, v16 v, int n) { float t[16]; v_store(t, v); memcpy(p, t, sizeof(float) * (size_t)n); }
static inline v16 v_add(v16 x, v16 y) { return (v16){ _mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b) }; }
static inline v16 v_sub(v16 x, v16 y) { return (v16){ _mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b) }; }
static inline v16 v_mul(v16 x, v16 y) { return (v16){ _mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b) }; }
static inline v16 v_div(v16 x, v16 y) { return (v16){ _mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b) }; }
static inline v16 v_fma(v16 x, v16 y, v16 z) { return (v16){ _mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b) }; }
static inline v16 v_max(v16 x, v16 y) { return (v16){ _mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b) }; }
static inline v16 v_above(v16 x, v16 lim, v16 v)
{
    return (v16){ _mm256_and_ps(_mm256_cmp_ps(x.a, lim.a, _CMP_GT_OQ), v.a), _mm256_and_ps(_mm256_cmp_ps(x.b, lim.b, _CMP_GT_OQ), v.b) };
}
static inline float fold8(__m256 v)
{
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
static inline float most8(__m256 v)
{
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}
static inline float v_fold(v16 v) { return fold8(_mm256_add_ps(v.a, v.b)); }
static inline float v_most(v16 v) { return most8(_mm256_max_ps(v.a, v.b)); }
static inline bool v_whole(v16 v)
{
    return !_mm256_movemask_ps(_mm256_or_ps(_mm256_cmp_ps(v.a, v.a, _CMP_UNORD_Q), _mm256_cmp_ps(v.b, v.b, _CMP_UNORD_Q)));
}
static inline __m256 pow2_8(__m256 n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
static inline v16 v_pow2(v16 n) { return (v16){ pow2_8(n.a), pow2_8(n.b) }; }
static inline __m256 raised_8(__m256 p, __m256 n)
{
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(n), 23)));
}
static inline v16 v_raised(v16 p, v16 n) { return (v16){ raised_8(p.a, n.a), raised_8(p.b, n.b) }; }
static inline void v_to_int16(int16_t *p, v16 v)
{
    __m256i x = _mm256_packs_epi32(_mm256_cvtps_epi32(v.a), _mm256_cvtps_epi32(v.b));
    _mm256_storeu_si256((void *)p, _mm256_permute4x64_epi64(x, 0xD8));
}
static inline v16 v_half(const uint16_t *p)
{
    return (v16){ _mm256_cvtph_ps(_mm_loadu_si128((const void *)p)), _mm256_cvtph_ps(_mm_loadu_si128((const void *)(p + 8))) };
}
static inline void v_to_half(uint16_t *p, v16 v)
{
    _mm_storeu_si128((void *)p, _mm256_cvtps_ph(v.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    _mm_storeu_si128((void *)(p + 8), _mm256_cvtps_ph(v.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline v16 v_int8(const int8_t *p)
{
    __m128i x = _mm_loadu_si128((const void *)p);
    return (v16){ _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x)), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(x, 8))) };
}

#include "kernels/cpu/vec_body.h"

const vec_ops vec_avx2 = VEC_OPS;
