/* kernels/cpu/q8: the AVX-512 VNNI set: vpdpbusd sums four products of an unsigned and a signed byte. K is made unsigned by its
 * highest bit, which adds 128 to each number; what that adds to a sum is taken off where the sum begins. */
#include "kernels/cpu/q8.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

static inline __m512i four(const void *p)
{
    int32_t x;
    memcpy(&x, p, 4);
    return _mm512_set1_epi32(x);
}

static inline void ask(const void *p, int bytes)
{
    for (int i = 0; i < bytes; i += 64) __builtin_prefetch((const char *)p + i, 0, 2);
}

static float vnni_block(const float *x, int n, int8_t *to)
{
    __m512 a = _mm512_loadu_ps(x), b = n > 16 ? _mm512_loadu_ps(x + 16) : _mm512_setzero_ps(), zero = _mm512_setzero_ps();
    float scale = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(a), _mm512_max_ps(_mm512_abs_ps(b), zero))) / 127, inv = scale > 0 ? 1 / scale : 0;
    for (int i = 0; i < n; i += 16) {
        __m512 r = _mm512_mul_ps(i ? b : a, _mm512_set1_ps(inv));
        __mmask16 is = _mm512_cmp_ps_mask(r, r, _CMP_ORD_Q);
        __m512i w = _mm512_maskz_cvtps_epi32(is, _mm512_min_ps(_mm512_max_ps(r, _mm512_set1_ps(-127)), _mm512_set1_ps(127)));
        _mm_storeu_si128((void *)(to + i), _mm512_cvtepi32_epi8(w));
    }
    return scale;
}

/* The counts are constants where these are inlined. */
static inline __attribute__((always_inline)) void scores_tile(const int8_t *k, const float *scale, const int8_t *next, int dim, const q8_rows *q, int n_q, float *s)
{
    const __m512i sign = _mm512_set1_epi8((char)0x80);
    int blocks = q8_blocks(dim);
    for (int b = 0; b < blocks; b++) {
        int first = b * Q8_BLOCK, n = dim - first < Q8_BLOCK ? dim - first : Q8_BLOCK;
        for (int c = 0; c < Q8_CELLS; c += 32) {
            const int8_t *x = k + q8_at_k(first, c), *y = next + q8_at_k(first, c);
            __m512i a[8][2];
            _Pragma("GCC unroll 8") for (int i = 0; i < n_q; i++) a[i][0] = a[i][1] = _mm512_set1_epi32(-q->low[i * blocks + b]);
            for (int t = 0; t < n; t += 4, x += 4 * Q8_CELLS, y += 4 * Q8_CELLS) {
                __m512i x0 = _mm512_xor_si512(_mm512_loadu_si512(x), sign), x1 = _mm512_xor_si512(_mm512_loadu_si512(x + 64), sign);
                ask(y, 128);
                _Pragma("GCC unroll 8") for (int i = 0; i < n_q; i++) {
                    __m512i w = four(q->q + (int64_t)i * dim + first + t);
                    a[i][0] = _mm512_dpbusd_epi32(a[i][0], x0, w);
                    a[i][1] = _mm512_dpbusd_epi32(a[i][1], x1, w);
                }
            }
            _Pragma("GCC unroll 8") for (int i = 0; i < n_q; i++)
                _Pragma("GCC unroll 2") for (int j = 0; j < 2; j++) {
                    float *to = s + i * Q8_CELLS + c + 16 * j;
                    __m512 f = _mm512_mul_ps(_mm512_loadu_ps(scale + b * Q8_CELLS + c + 16 * j), _mm512_set1_ps(q->scale[i * blocks + b]));
                    _mm512_storeu_ps(to, _mm512_fmadd_ps(f, _mm512_cvtepi32_ps(a[i][j]), b ? _mm512_loadu_ps(to) : _mm512_setzero_ps()));
                }
        }
    }
}

static void vnni_scores(const int8_t *k, const float *scale, const int8_t *next, int dim, const q8_rows *q, int n_q, float *s)
{
    int i = 0;
    for (; i + 8 <= n_q; i += 8, next = k) { q8_rows r = q8_rows_from(q, i, dim); scores_tile(k, scale, next, dim, &r, 8, s + i * Q8_CELLS); }
    for (; i + 4 <= n_q; i += 4, next = k) { q8_rows r = q8_rows_from(q, i, dim); scores_tile(k, scale, next, dim, &r, 4, s + i * Q8_CELLS); }
    for (; i < n_q; i++, next = k) { q8_rows r = q8_rows_from(q, i, dim); scores_tile(k, scale, next, dim, &r, 1, s + i * Q8_CELLS); }
}

/* n_q queries, a block of 16 * wide numbers; r: what the cells' scales make of p. */
static inline __attribute__((always_inline)) void values_tile(const int8_t *v, const int8_t *next, int dim, int n_cells, const float *p, const __m512 *r,
                                                              const float *shrink, const float *factor, float unit, float *const *acc, int n_q, int first, int wide)
{
    uint8_t part[4][2][Q8_CELLS];
    __m512i a[4][2][2];
    _Pragma("GCC unroll 4") for (int i = 0; i < n_q; i++) {
        _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) {
            __m512i u = _mm512_max_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(p + i * Q8_CELLS + 16 * j), r[j])), _mm512_setzero_si512());
            _mm_storeu_si128((void *)(part[i][0] + 16 * j), _mm512_cvtepi32_epi8(_mm512_srli_epi32(u, Q8_PART)));
            _mm_storeu_si128((void *)(part[i][1] + 16 * j), _mm512_cvtepi32_epi8(_mm512_and_si512(u, _mm512_set1_epi32((1 << Q8_PART) - 1))));
        }
        _Pragma("GCC unroll 2") for (int j = 0; j < wide; j++) a[i][0][j] = a[i][1][j] = _mm512_setzero_si512();
    }
    for (int c = 0; c < n_cells; c += 4) {
        int64_t at = q8_at_v(dim, first, c);
        __m512i x[2];
        _Pragma("GCC unroll 2") for (int j = 0; j < wide; j++) x[j] = _mm512_loadu_si512(v + at + 64 * j);
        ask(next + at, 64 * wide);
        _Pragma("GCC unroll 4") for (int i = 0; i < n_q; i++)
            _Pragma("GCC unroll 2") for (int h = 0; h < 2; h++) {
                __m512i w = four(part[i][h] + c);
                _Pragma("GCC unroll 2") for (int j = 0; j < wide; j++) a[i][h][j] = _mm512_dpbusd_epi32(a[i][h][j], w, x[j]);
            }
    }
    _Pragma("GCC unroll 4") for (int i = 0; i < n_q; i++) {
        __m512 g = _mm512_set1_ps(factor[i] * unit), less = _mm512_set1_ps(shrink[i]);
        _Pragma("GCC unroll 2") for (int j = 0; j < wide; j++) {
            float *to = acc[i] + first + 16 * j;
            __m512 sum = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(a[i][0][j], Q8_PART), a[i][1][j]));
            _mm512_storeu_ps(to, _mm512_fmadd_ps(g, sum, _mm512_mul_ps(_mm512_loadu_ps(to), less)));
        }
    }
}

static void vnni_values(const int8_t *v, const float *scale, const int8_t *next, int dim, int n_cells, const float *p, const float *shrink,
                        const float *factor, float *const *acc, int n_q)
{
    for (int b = 0, first = 0; first < dim; b++, first += Q8_BLOCK) {
        int wide = dim - first < Q8_BLOCK ? 1 : 2, i = 0;
        uint64_t seen = n_cells < Q8_CELLS ? (UINT64_C(1) << n_cells) - 1 : UINT64_MAX;
        const int8_t *then = next;
        __m512 r[4], most = _mm512_setzero_ps();
        for (int j = 0; j < 4; j++) {
            r[j] = _mm512_maskz_loadu_ps((__mmask16)(seen >> 16 * j), scale + b * Q8_CELLS + 16 * j);
            most = _mm512_max_ps(r[j], most);
        }
        float top = _mm512_reduce_max_ps(most), unit = top / Q8_MOST;
        __m512 inv = _mm512_set1_ps(top > 1e-30f ? Q8_MOST / top : 0);
        for (int j = 0; j < 4; j++) r[j] = _mm512_mul_ps(r[j], inv);
        for (; i + 4 <= n_q; i += 4, then = v) {
            if (wide == 2) values_tile(v, then, dim, n_cells, p + i * Q8_CELLS, r, shrink + i, factor + i, unit, acc + i, 4, first, 2);
            else values_tile(v, then, dim, n_cells, p + i * Q8_CELLS, r, shrink + i, factor + i, unit, acc + i, 4, first, 1);
        }
        for (; i < n_q; i++, then = v) {
            if (wide == 2) values_tile(v, then, dim, n_cells, p + i * Q8_CELLS, r, shrink + i, factor + i, unit, acc + i, 1, first, 2);
            else values_tile(v, then, dim, n_cells, p + i * Q8_CELLS, r, shrink + i, factor + i, unit, acc + i, 1, first, 1);
        }
    }
}

const q8_ops q8_vnni = { vnni_block, vnni_scores, vnni_values };
