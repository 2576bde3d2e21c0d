/* train/gemm for AVX2 with FMA. Pure functions; the same bits as the others. */
#include "train/gemm.h"

#include <immintrin.h>

typedef struct v16 { __m256 a, b; } v16;
enum { GEM_ROWS = 6, GEM_SIDE = 1 };
static inline v16 v_zero(void) { return (v16){ _mm256_setzero_ps(), _mm256_setzero_ps() }; }
static inline v16 v_all(float a) { __m256 f = _mm256_set1_ps(a); return (v16){ f, f }; }
static inline v16 v_load(const float *p) { return (v16){ _mm256_loadu_ps(p), _mm256_loadu_ps(p + 8) }; }
static inline v16 v_add(v16 a, v16 b) { return (v16){ _mm256_add_ps(a.a, b.a), _mm256_add_ps(a.b, b.b) }; }
static inline v16 v_fma(v16 a, v16 b, v16 c) { return (v16){ _mm256_fmadd_ps(a.a, b.a, c.a), _mm256_fmadd_ps(a.b, b.b, c.b) }; }
static inline void v_store(float *p, v16 a) { _mm256_storeu_ps(p, a.a); _mm256_storeu_ps(p + 8, a.b); }

#include "train/gemm_body.h"

const gem_ops gem_avx2 = { gem_mul };
