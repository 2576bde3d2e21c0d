/* kernels/cpu/q8: the AVX-512 VNNI set: vpdpbusd sums four products of an unsigned and a signed byte. K is made unsigned by its
 * highest bit, which adds 128 to each number; what that adds to a sum is taken off where the sum begins. */
#include "kernels/cpu/q8.h"

#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

/* acc + sums of four products of unsigned u and signed s. In words of the machine: compilers copy acc to and fro around the intrinsic. */
static inline __attribute__((always_inline)) __m512i dpb(__m512i acc, __m512i u, __m512i s)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(u), "v"(s));
    return acc;
}
static inline __m512i four(const void *p)
{
    int32_t x;
    memcpy(&x, p, 4);
    return _mm512_set1_epi32(x);
}

/* The line of the next page that stands `at` bytes from its beginning. */
static inline void ask(const void *next, int64_t at) { __builtin_prefetch((const char *)next + at, 0, 2); }

static float vnni_block(const float *x, int n, int8_t *to)
{
    __m512 zero = _mm512_setzero_ps(), a = _mm512_loadu_ps(x), b = n > 16 ? _mm512_loadu_ps(x + 16) : zero;
    __m512 none = _mm512_add_ps(_mm512_mul_ps(a, zero), _mm512_mul_ps(b, zero));
    bool all = !_mm512_cmp_ps_mask(none, none, _CMP_UNORD_Q);
    float scale = all ? _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b))) / 127 : NAN, inv = scale > 0 ? 1 / scale : 0;
    for (int i = 0; i < n; i += 16) {
        __m512 r = _mm512_mul_ps(i ? b : a, _mm512_set1_ps(inv));
        __mmask16 is = _mm512_cmp_ps_mask(r, r, _CMP_ORD_Q);
        __m512i w = _mm512_maskz_cvtps_epi32(is, _mm512_min_ps(_mm512_max_ps(r, _mm512_set1_ps(-127)), _mm512_set1_ps(127)));
        _mm_storeu_si128((void *)(to + i), all ? _mm512_cvtepi32_epi8(w) : _mm_setzero_si128());
    }
    return scale;
}

/* The counts are constants where these are inlined. */
static inline __attribute__((always_inline)) void scores_tile(q8_cells k, q8_cells next, int dim, const q8_rows *q, int n_q, float *s)
{
    const __m512i sign = _mm512_set1_epi8((char)0x80);
    int blocks = q8_blocks(dim);
    int64_t line = 0;
    for (int b = 0; b < blocks; b++) {
        int first = b * Q8_BLOCK, n = dim - first < Q8_BLOCK ? dim - first : Q8_BLOCK;
        for (int c = 0; c < Q8_CELLS; c += 32) {
            const int8_t *x = k.x + q8_at_k(first, c);
            __m512i a[8][2];
            _Pragma("GCC unroll 8") for (int i = 0; i < n_q; i++) a[i][0] = a[i][1] = _mm512_set1_epi32(-q->low[i * blocks + b]);
            for (int t = 0; t < n; t += 4, x += 4 * Q8_CELLS, line += 128) {
                __m512i x0 = _mm512_xor_si512(_mm512_loadu_si512(x), sign), x1 = _mm512_xor_si512(_mm512_loadu_si512(x + 64), sign);
                ask(next.x, line), ask(next.x, line + 64);
                _Pragma("GCC unroll 8") for (int i = 0; i < n_q; i++) {
                    __m512i w = four(q->q + (int64_t)i * dim + first + t);
                    a[i][0] = dpb(a[i][0], x0, w);
                    a[i][1] = dpb(a[i][1], x1, w);
                }
            }
            ask(next.scale, (b * Q8_CELLS + c) * 4), ask(next.scale, (b * Q8_CELLS + c) * 4 + 64);
            _Pragma("GCC unroll 8") for (int i = 0; i < n_q; i++)
                _Pragma("GCC unroll 2") for (int j = 0; j < 2; j++) {
                    float *to = s + i * Q8_CELLS + c + 16 * j;
                    __m512 f = _mm512_mul_ps(_mm512_loadu_ps(k.scale + b * Q8_CELLS + c + 16 * j), _mm512_set1_ps(q->scale[i * blocks + b]));
                    _mm512_storeu_ps(to, _mm512_fmadd_ps(f, _mm512_cvtepi32_ps(a[i][j]), b ? _mm512_loadu_ps(to) : _mm512_setzero_ps()));
                }
        }
    }
}

static void vnni_scores(q8_cells k, q8_cells next, int dim, const q8_rows *q, int n_q, float *s)
{
    int i = 0;
    for (; i + 8 <= n_q; i += 8, next = k) { q8_rows r = q8_rows_from(q, i, dim); scores_tile(k, next, dim, &r, 8, s + i * Q8_CELLS); }
    for (; i + 4 <= n_q; i += 4, next = k) { q8_rows r = q8_rows_from(q, i, dim); scores_tile(k, next, dim, &r, 4, s + i * Q8_CELLS); }
    for (; i < n_q; i++, next = k) { q8_rows r = q8_rows_from(q, i, dim); scores_tile(k, next, dim, &r, 1, s + i * Q8_CELLS); }
}

enum { AT_ONCE = 4 };                  /* blocks whose scales are prepared together */

/* What a tile of V sums, beside its constants: a block of numbers from `first` on, relative to `unit`; r: the cells' scales. */
typedef struct values_job { q8_cells v; int dim, n_cells, first; float unit; __m512i r[2]; } values_job;

/* n_q queries, 16 * wide numbers. The upper bytes of all cells' weights are multiplied first, the sums moved up by eight bits, and the lower
 * bytes added. */
static inline __attribute__((always_inline)) void values_tile(const values_job *o, q8_cells next, const int16_t *w, const float *shrink, const float *factor,
                                                              float *const *acc, int n_q, int wide)
{
    const __m512i apart = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0E0C0A080F0D0B09, 0x0604020007050301));  /* upper bytes of four cells, then the lower */
    uint8_t part[8][2 * Q8_CELLS];
    __m512i a[8][2];
    int64_t line = (int64_t)o->first * Q8_CELLS;
    _Pragma("GCC unroll 8") for (int i = 0; i < n_q; i++) {
        _Pragma("GCC unroll 2") for (int j = 0; j < 2; j++) {
            __m512i u = _mm512_mulhrs_epi16(_mm512_loadu_si512(w + i * Q8_CELLS + 32 * j), o->r[j]);
            _mm512_storeu_si512(part[i] + 64 * j, _mm512_shuffle_epi8(u, apart));
        }
        _Pragma("GCC unroll 2") for (int j = 0; j < wide; j++) a[i][j] = _mm512_setzero_si512();
    }
    _Pragma("GCC unroll 2") for (int h = 0; h < 2; h++) {
        const int8_t *at = o->v.x + q8_at_v(o->dim, o->first, 0);
        for (int c = 0; c < o->n_cells; c += 4, at += 4 * o->dim) {
            __m512i x[2];
            _Pragma("GCC unroll 2") for (int j = 0; j < wide; j++) {
                x[j] = _mm512_loadu_si512(at + 64 * j);
                if ((j + c / 4 * wide) % 2 == h) ask(next.x, line + (c / 4 * wide + j) * 64);      /* evenly over both */
            }
            _Pragma("GCC unroll 8") for (int i = 0; i < n_q; i++) {
                __m512i f = four(part[i] + 2 * c + 4 * h);
                _Pragma("GCC unroll 2") for (int j = 0; j < wide; j++) a[i][j] = dpb(a[i][j], f, x[j]);
            }
        }
        _Pragma("GCC unroll 8") for (int i = 0; i < n_q && !h; i++)
            _Pragma("GCC unroll 2") for (int j = 0; j < wide; j++) a[i][j] = _mm512_slli_epi32(a[i][j], 8);
    }
    _Pragma("GCC unroll 8") for (int i = 0; i < n_q; i++) {
        __m512 g = _mm512_set1_ps(factor[i] * o->unit), less = _mm512_set1_ps(shrink[i]);
        _Pragma("GCC unroll 2") for (int j = 0; j < wide; j++) {
            float *to = acc[i] + o->first + 16 * j;
            _mm512_storeu_ps(to, _mm512_fmadd_ps(g, _mm512_cvtepi32_ps(a[i][j]), _mm512_mul_ps(_mm512_loadu_ps(to), less)));
        }
    }
}

/* The scales of a block of cells as whole numbers relative to their largest. */
static void scales_of(values_job *o, const float *scale)
{
    uint64_t seen = o->n_cells < Q8_CELLS ? (UINT64_C(1) << o->n_cells) - 1 : UINT64_MAX;
    __m512 r[4], most = _mm512_setzero_ps();
    __m256i whole[4];
    for (int j = 0; j < 4; j++) {
        r[j] = _mm512_maskz_loadu_ps((__mmask16)(seen >> 16 * j), scale + 16 * j);
        most = _mm512_max_ps(r[j], most);
    }
    float top = _mm512_reduce_max_ps(most);
    __m512 inv = _mm512_set1_ps(top > 1e-30f ? Q8_MOST / top : 0);
    for (int j = 0; j < 4; j++) {
        __m512i x = _mm512_max_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(r[j], inv)), _mm512_setzero_si512());
        whole[j] = _mm512_cvtepi32_epi16(_mm512_min_epi32(x, _mm512_set1_epi32(Q8_MOST)));
    }
    o->unit = top / Q8_MOST;
    for (int j = 0; j < 2; j++) o->r[j] = _mm512_inserti64x4(_mm512_castsi256_si512(whole[2 * j]), whole[2 * j + 1], 1);
}

static inline __attribute__((always_inline)) void values_block(const values_job *o, q8_cells next, const int16_t *w, const float *shrink, const float *factor,
                                                               float *const *acc, int n_q, int wide)
{
    int i = 0;
    for (; i + 8 <= n_q; i += 8, next = o->v) values_tile(o, next, w + i * Q8_CELLS, shrink + i, factor + i, acc + i, 8, wide);
    for (; i + 4 <= n_q; i += 4, next = o->v) values_tile(o, next, w + i * Q8_CELLS, shrink + i, factor + i, acc + i, 4, wide);
    for (; i < n_q; i++, next = o->v) values_tile(o, next, w + i * Q8_CELLS, shrink + i, factor + i, acc + i, 1, wide);
}

static void vnni_values(q8_cells v, q8_cells next, int dim, int n_cells, const int16_t *w, const float *shrink, const float *factor,
                        float *const *acc, int n_q)
{
    values_job o[AT_ONCE];
    int blocks = q8_blocks(dim);
    for (int from = 0; from < blocks; from += AT_ONCE) {
        int n = blocks - from < AT_ONCE ? blocks - from : AT_ONCE;
        for (int b = 0; b < n; b++) {
            o[b] = (values_job){ .v = v, .dim = dim, .n_cells = n_cells, .first = (from + b) * Q8_BLOCK };
            scales_of(&o[b], v.scale + (from + b) * Q8_CELLS);
        }
        for (int b = 0; b < n; b++) {
            for (int j = 0; j < 4; j++) ask(next.scale, ((from + b) * Q8_CELLS + 16 * j) * 4);
            if (dim - o[b].first < Q8_BLOCK) values_block(&o[b], next, w, shrink, factor, acc, n_q, 1);
            else values_block(&o[b], next, w, shrink, factor, acc, n_q, 2);
        }
    }
}

const q8_ops q8_vnni = { vnni_block, vnni_scores, vnni_values };
