/* rag/scan with AVX-512 VNNI: 64 bytes an instruction, four rows at a time so that their sums are folded together. */
#include "rag/scan.h"

#include <immintrin.h>

enum { AHEAD = 6144 };                  /* bytes asked of memory before they are needed */

void rag_scan_vnni(const uint8_t *row, const int8_t *q, int width, int n, int32_t *sum)
{
    size_t w = (size_t)width;
    int32_t offset = 0;
    int i = 0;
    for (int j = 0; j < width; j++) offset += 128 * q[j];
    for (; i + 4 <= n; i += 4, row += 4 * w) {
        __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
        for (size_t j = 0; j < w; j += 64) {
            __m512i x = _mm512_loadu_si512(q + j);
            for (int k = 0; k < 4; k++) _mm_prefetch((const char *)row + AHEAD + 4 * j + (size_t)k * 64, _MM_HINT_T0);
            a = _mm512_dpbusd_epi32(a, _mm512_loadu_si512(row + j), x);
            b = _mm512_dpbusd_epi32(b, _mm512_loadu_si512(row + w + j), x);
            c = _mm512_dpbusd_epi32(c, _mm512_loadu_si512(row + 2 * w + j), x);
            d = _mm512_dpbusd_epi32(d, _mm512_loadu_si512(row + 3 * w + j), x);
        }
        sum[i] = _mm512_reduce_add_epi32(a) - offset;
        sum[i + 1] = _mm512_reduce_add_epi32(b) - offset;
        sum[i + 2] = _mm512_reduce_add_epi32(c) - offset;
        sum[i + 3] = _mm512_reduce_add_epi32(d) - offset;
    }
    for (; i < n; i++, row += w) {
        __m512i a = _mm512_setzero_si512();
        for (size_t j = 0; j < w; j += 64) a = _mm512_dpbusd_epi32(a, _mm512_loadu_si512(row + j), _mm512_loadu_si512(q + j));
        sum[i] = _mm512_reduce_add_epi32(a) - offset;
    }
}
