/* rag/scan with AVX2: bytes widened to 16 bits, pairs of products added in 32: nothing saturates. */
#include "rag/scan.h"

#include <immintrin.h>

static inline __m256i widened(const uint8_t *p) { return _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)p)); }

static inline int32_t folded(__m256i a)
{
    __m128i x = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32(x, 0xb1)));
}

void rag_scan_avx2(const uint8_t *row, const int8_t *q, int width, int n, int32_t *sum)
{
    size_t w = (size_t)width;
    int32_t offset = 0;
    int i = 0;
    for (int j = 0; j < width; j++) offset += 128 * q[j];
    for (; i + 2 <= n; i += 2, row += 2 * w) {
        __m256i a = _mm256_setzero_si256(), b = a;
        for (size_t j = 0; j < w; j += 16) {
            __m256i x = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(q + j)));
            a = _mm256_add_epi32(a, _mm256_madd_epi16(widened(row + j), x));
            b = _mm256_add_epi32(b, _mm256_madd_epi16(widened(row + w + j), x));
        }
        sum[i] = folded(a) - offset;
        sum[i + 1] = folded(b) - offset;
    }
    for (; i < n; i++, row += w) {
        __m256i a = _mm256_setzero_si256();
        for (size_t j = 0; j < w; j += 16)
            a = _mm256_add_epi32(a, _mm256_madd_epi16(widened(row + j), _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(q + j)))));
        sum[i] = folded(a) - offset;
    }
}
