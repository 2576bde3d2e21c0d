/* kernels/cpu/vec: the AVX-512 set, 16 lanes in one register. Same operations, same bits as vec.c.
 * Called only where dispatch found AVX-512 F, BW, VL and DQ. */
#include "kernels/cpu/vec.h"

#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/kernels.h"

typedef __m512 v16;
enum { VEC_QB = 4, VEC_QV = 4, VEC_HQ = 8, VEC_HV = 2, VEC_PAIR = 2, VEC_PV = 4, VEC_FEW = 16 };

static inline v16 v_set(float a) { return _mm512_set1_ps(a); }
static inline v16 v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, v16 v) { _mm512_storeu_ps(p, v); }
static inline void v_past(float *p, v16 v) { _mm512_stream_ps(p, v); }
static inline void v_past_end(void) { _mm_sfence(); }
static inline v16 v_loadn(const float *p, int n) { return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
static inline void v_storen(float *p, v16 v, int n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v); }
static inline v16 v_add(v16 x, v16 y) { return _mm512_add_ps(x, y); }
static inline v16 v_sub(v16 x, v16 y) { return _mm512_sub_ps(x, y); }
static inline v16 v_mul(v16 x, v16 y) { return _mm512_mul_ps(x, y); }
static inline v16 v_div(v16 x, v16 y) { return _mm512_div_ps(x, y); }
static inline v16 v_fma(v16 x, v16 y, v16 z) { return _mm512_fmadd_ps(x, y, z); }
/* In words of the machine: compilers load *p into a register first, and conversions beside such loads cost steps of products. */
#define V_FMA_OF
static inline __attribute__((always_inline)) v16 v_fma_of(const float *p, v16 y, v16 z)
{
    __asm__("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(z) : "v"(y), "m"(*p));
    return z;
}
static inline v16 v_max(v16 x, v16 y) { return _mm512_max_ps(x, y); }
static inline v16 v_above(v16 x, v16 lim, v16 v) { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, lim, _CMP_GT_OQ), v); }
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
static inline float v_fold(v16 v) { return fold8(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1))); }
static inline float v_most(v16 v) { return most8(_mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1))); }
static inline bool v_whole(v16 v) { return !_mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q); }
static inline v16 v_pow2(v16 n)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
}
static inline v16 v_half(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)p)); }
static inline void v_to_half(uint16_t *p, v16 v)
{
    _mm256_storeu_si256((void *)p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline v16 v_raised(v16 p, v16 n)
{
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(n), 23)));
}
static inline void v_to_int16(int16_t *p, v16 v) { _mm256_storeu_si256((void *)p, _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(v))); }
static inline v16 v_int8(const int8_t *p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)p))); }

#include "kernels/cpu/vec_body.h"

const vec_ops vec_avx512 = VEC_OPS;
