/* rag/scan with AVX-512 VNNI: 64 bytes an instruction. Rows are read one behind the other, as they lie: memory is asked in one stream. The sums
 * of four rows are folded together. */
#include "rag/scan.h"

#include <immintrin.h>

enum { AHEAD = 6144 }; /* bytes asked of memory before they are needed */

static __m512i product(const uint8_t *row, const int8_t *q, size_t w)
{
    __m512i a = _mm512_setzero_si512(), b = a;
    size_t j = 0;
    for (; j + 128 <= w; j += 128) {
        _mm_prefetch((const char *)row + AHEAD + j, _MM_HINT_T0);
        _mm_prefetch((const char *)row + AHEAD + j + 64, _MM_HINT_T0);
        a = _mm512_dpbusd_epi32(a, _mm512_loadu_si512(row + j), _mm512_loadu_si512(q + j));
        b = _mm512_dpbusd_epi32(b, _mm512_loadu_si512(row + j + 64), _mm512_loadu_si512(q + j + 64));
    }
    if (j < w) {
        _mm_prefetch((const char *)row + AHEAD + j, _MM_HINT_T0);
        a = _mm512_dpbusd_epi32(a, _mm512_loadu_si512(row + j), _mm512_loadu_si512(q + j));
    }
    return _mm512_add_epi32(a, b);
}

/* The sums of four, in their order. */
static __m128i fold(const __m512i s[4])
{
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(s[0], s[1]), _mm512_unpackhi_epi32(s[0], s[1]));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(s[2], s[3]), _mm512_unpackhi_epi32(s[2], s[3]));
    __m512i x = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    __m256i y = _mm256_add_epi32(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
}

void rag_scan_vnni(const uint8_t *row, const int8_t *q, int width, int n, int32_t *sum)
{
    size_t w = (size_t)width;
    int32_t offset = 0;
    int i = 0;
    for (int j = 0; j < width; j++) offset += 128 * q[j];
    __m128i off = _mm_set1_epi32(offset);
    for (; i + 4 <= n; i += 4) {
        __m512i s[4];
        for (int k = 0; k < 4; k++, row += w) s[k] = product(row, q, w);
        _mm_storeu_si128((__m128i *)(sum + i), _mm_sub_epi32(fold(s), off));
    }
    for (; i < n; i++, row += w) sum[i] = _mm512_reduce_add_epi32(product(row, q, w)) - offset;
}
