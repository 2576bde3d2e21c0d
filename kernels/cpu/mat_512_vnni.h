/* kernels/cpu/mat_512_vnni: what VNNI brings mat_512.h: byte and word products with their sums in one instruction. Included by the
 * files that are compiled for it (mat_vnni.c, mat_vbmi.c), before mat_512.h. */
#ifndef QUORUM_CPU_MAT_512_VNNI_H
#define QUORUM_CPU_MAT_512_VNNI_H

#include <immintrin.h>
#include <stdint.h>

/* acc + sums of four products of unsigned u and signed s, exact (no saturation) */
static inline __attribute__((always_inline)) __m512i dpb(__m512i acc, __m512i u, __m512i s) { return _mm512_dpbusd_epi32(acc, u, s); }
#define dpb_small dpb
/* The same with four s in memory for all lanes. In words of the machine, since compilers load them first, into registers that are needed. */
static inline __attribute__((always_inline)) __m512i dpb_four(__m512i acc, __m512i u, const void *s)
{
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(u), "m"(*(const int32_t (*)[1])s));
    return acc;
}
static inline __attribute__((always_inline)) __m512i dpw(__m512i acc, __m512i a, __m512i b) { return _mm512_dpwssd_epi32(acc, a, b); }

#define WORD_SUMS 0
#define MAX_R 11                   /* of 32 registers, two a row for sums */

#endif
