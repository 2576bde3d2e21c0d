/* kernels/cpu/mat_fetch: what products of few rows ask of memory ahead of use, the same for every width of x86 vectors; included by
 * mat_avx2.c and, through mat_512_decode.h, by mat_vnni.c and mat_avx512.c. */
#ifndef QUORUM_MAT_FETCH_H
#define QUORUM_MAT_FETCH_H

#include <immintrin.h>

#include "kernels/cpu/mat_isa.h"

/* How far ahead of the n rows from o to fetch, into the second cache: the next n, behind the last ones what comes next; of rows
 * longer than 32 KiB, further on. */
static inline __attribute__((always_inline)) int64_t fetch_ahead(const mat *w, int64_t o, int64_t o1, const int n)
{
    if (w->row_bytes > 32 << 10) return 1024;
    return o + n >= o1 && w->next ? (int64_t)((uintptr_t)w->next - (uintptr_t)(w->data + o * w->row_bytes)) : w->row_bytes * n;
}

/* The lines, counted from the row's first byte, that begin within `bytes` at `at` of a row; p is the place there. None is asked for twice. */
static inline __attribute__((always_inline)) void fetch(const uint8_t *p, int64_t at, const int bytes)
{
    const int64_t skip = -at & 63;
    _Pragma("GCC unroll 16") for (int i = 0; i + 64 <= bytes; i += 64)
        _mm_prefetch((const char *)p + skip + i, _MM_HINT_T1);
    if (bytes % 64 && skip < bytes % 64)
        _mm_prefetch((const char *)p + skip + bytes / 64 * 64, _MM_HINT_T1);
}

#endif
