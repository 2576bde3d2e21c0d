/* kernels/cpu/mat_avx512: the products with AVX-512 without VNNI: byte products by way of words, exact.
 * Everything else is in mat_512*.h. No state; any thread; runs only where cpu.c found AVX-512 BW. */
#include "kernels/cpu/mat_isa.h"

#include <immintrin.h>
#include <string.h>

#include "kernels/kernels.h"

/* Any u8 by s8: even and odd bytes apart, as words. */
static inline __attribute__((always_inline)) __m512i dpb(__m512i acc, __m512i u, __m512i s)
{
    __m512i even = _mm512_madd_epi16(_mm512_and_si512(u, _mm512_set1_epi16(255)), _mm512_srai_epi16(_mm512_slli_epi16(s, 8), 8));
    __m512i odd = _mm512_madd_epi16(_mm512_srli_epi16(u, 8), _mm512_srai_epi16(s, 8));
    return _mm512_add_epi32(acc, _mm512_add_epi32(even, odd));
}
/* u <= 127: two products and their sum fit int16 (2 * 127 * 128), so maddubs does not saturate. */
static inline __attribute__((always_inline)) __m512i dpb_small(__m512i acc, __m512i u, __m512i s)
{
    return _mm512_add_epi32(acc, _mm512_madd_epi16(_mm512_maddubs_epi16(u, s), _mm512_set1_epi16(1)));
}
static inline __attribute__((always_inline)) __m512i dpb_four(__m512i acc, __m512i u, const void *s)
{
    int32_t v;
    memcpy(&v, s, sizeof v);
    return dpb(acc, u, _mm512_set1_epi32(v));
}
static inline __attribute__((always_inline)) __m512i dpw(__m512i acc, __m512i a, __m512i b)
{
    return _mm512_add_epi32(acc, _mm512_madd_epi16(a, b));
}

#define WORD_SUMS 1                /* tiles of small bytes add up pairs of products as words, see pairs_in_a_word */
#define MAX_R 6                   /* byte products take several temporaries */

/* Products of bytes that fill all eight bits fit no word, and AVX2's way is shorter for more than a few rows of those. */
#define mul_q80 few_q80
#define mul_iq4nl few_iq4nl
#define mul_iq4xs few_iq4xs
#include "kernels/cpu/mat_512.h"
#undef mul_q80
#undef mul_iq4nl
#undef mul_iq4xs
#define MANY_BY_AVX2(type, name, few) static void name(ARGS) \
    { (n > FEW ? mat_isa_avx2()->mul[type] : few)(w, act, act_stride, n, o0, o1, y, y_stride, scratch); }
MANY_BY_AVX2(KER_Q8_0, mul_q80, few_q80)
MANY_BY_AVX2(KER_IQ4_NL, mul_iq4nl, few_iq4nl)
MANY_BY_AVX2(KER_IQ4_XS, mul_iq4xs, few_iq4xs)

const mat_isa *mat_isa_avx512(void)
{
    static const mat_isa isa = TABLE("avx512");
    return &isa;
}
