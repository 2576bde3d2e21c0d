/* train/gemm for AVX-512. Pure functions; the same bits as the others. */
#include "train/gemm.h"

#include <immintrin.h>

typedef __m512 v16;
enum { GEM_ROWS = 8, GEM_SIDE = 2 };
static inline v16 v_zero(void) { return _mm512_setzero_ps(); }
static inline v16 v_all(float a) { return _mm512_set1_ps(a); }
static inline v16 v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline v16 v_add(v16 a, v16 b) { return _mm512_add_ps(a, b); }
static inline v16 v_fma(v16 a, v16 b, v16 c) { return _mm512_fmadd_ps(a, b, c); }
static inline void v_store(float *p, v16 a) { _mm512_storeu_ps(p, a); }

#include "train/gemm_body.h"

const gem_ops gem_avx512 = { gem_mul };
