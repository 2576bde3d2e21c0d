/* kernels/cpu/q8: the AVX2 set, also for AVX-512 without VNNI: bytes are widened to 16 bits, and vpmaddwd sums pairs of products
 * exactly (vpmaddubsw would saturate), so a sum of four is two lanes, folded once at the end. */
#include "kernels/cpu/q8.h"

#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

/* Four 16-bit numbers, to each pair of lanes. */
static inline __m256i four(const int16_t *p)
{
    long long x;
    memcpy(&x, p, 8);
    return _mm256_set1_epi64x(x);
}

static inline __m256i wide8(const int8_t *p) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)p)); }

/* Lanes 0, 1 of a are the two halves of the first sum, and so on to the fourth; b's the fifth to the eighth. */
static inline __m256 eight(__m256i a, __m256i b) { return _mm256_cvtepi32_ps(_mm256_permute4x64_epi64(_mm256_hadd_epi32(a, b), 0xD8)); }

static float avx2_block(const float *x, int n, int8_t *to)
{
    const __m256 sign = _mm256_set1_ps(-0.0f), low = _mm256_set1_ps(-127), high = _mm256_set1_ps(127), zero = _mm256_setzero_ps();
    __m256 m = zero, none = zero;
    float lane[8], top = 0;
    for (int i = 0; i < n; i += 8) {
        __m256 a = _mm256_loadu_ps(x + i);
        m = _mm256_max_ps(_mm256_andnot_ps(sign, a), m);
        none = _mm256_add_ps(none, _mm256_mul_ps(a, zero));
    }
    bool all = !_mm256_movemask_ps(_mm256_cmp_ps(none, none, _CMP_UNORD_Q));
    _mm256_storeu_ps(lane, m);
    for (int i = 0; i < 8; i++) top = lane[i] > top ? lane[i] : top;
    float scale = all ? top / 127 : NAN, inv = scale > 0 ? 1 / scale : 0;
    for (int i = 0; i < n; i += 8) {
        __m256 r = _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(inv)), is = _mm256_cmp_ps(r, r, _CMP_ORD_Q);
        __m256i w = _mm256_cvtps_epi32(_mm256_and_ps(is, _mm256_min_ps(_mm256_max_ps(r, low), high)));
        __m128i h = _mm_packs_epi32(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
        _mm_storel_epi64((void *)(to + i), all ? _mm_packs_epi16(h, h) : _mm_setzero_si128());
    }
    return scale;
}

/* The counts are constants where these are inlined. */
static inline __attribute__((always_inline)) void scores_tile(q8_cells k, q8_cells next, int dim, const q8_rows *q, int n_q, float *s)
{
    int blocks = q8_blocks(dim);
    for (int b = 0; b < blocks; b++) {
        int first = b * Q8_BLOCK, n = dim - first < Q8_BLOCK ? dim - first : Q8_BLOCK;
        int16_t w[4][Q8_BLOCK];
        for (int i = 0; i < n_q; i++)
            for (int t = 0; t < n; t += 16) _mm256_storeu_si256((void *)(w[i] + t), wide8(q->q + (int64_t)i * dim + first + t));
        for (int c = 0; c < Q8_CELLS; c += 8) {
            const int8_t *x = k.x + q8_at_k(first, c), *y = next.x + q8_at_k(first, c);
            if (c % 16 == 0) __builtin_prefetch(next.scale + b * Q8_CELLS + c, 0, 2);
            __m256i a[4][2];
            _Pragma("GCC unroll 4") for (int i = 0; i < n_q; i++) a[i][0] = a[i][1] = _mm256_setzero_si256();
            for (int t = 0; t < n; t += 4, x += 4 * Q8_CELLS, y += 4 * Q8_CELLS) {
                __m256i x0 = wide8(x), x1 = wide8(x + 16);
                if (c % 16 == 0) __builtin_prefetch(y, 0, 2);
                _Pragma("GCC unroll 4") for (int i = 0; i < n_q; i++) {
                    __m256i f = four(w[i] + t);
                    a[i][0] = _mm256_add_epi32(a[i][0], _mm256_madd_epi16(x0, f));
                    a[i][1] = _mm256_add_epi32(a[i][1], _mm256_madd_epi16(x1, f));
                }
            }
            _Pragma("GCC unroll 4") for (int i = 0; i < n_q; i++) {
                float *to = s + i * Q8_CELLS + c;
                __m256 f = _mm256_mul_ps(_mm256_loadu_ps(k.scale + b * Q8_CELLS + c), _mm256_set1_ps(q->scale[i * blocks + b]));
                _mm256_storeu_ps(to, _mm256_fmadd_ps(f, eight(a[i][0], a[i][1]), b ? _mm256_loadu_ps(to) : _mm256_setzero_ps()));
            }
        }
    }
}

static void avx2_scores(q8_cells k, q8_cells next, int dim, const q8_rows *q, int n_q, float *s)
{
    int i = 0;
    for (; i + 4 <= n_q; i += 4, next = k) { q8_rows r = q8_rows_from(q, i, dim); scores_tile(k, next, dim, &r, 4, s + i * Q8_CELLS); }
    for (; i < n_q; i++, next = k) { q8_rows r = q8_rows_from(q, i, dim); scores_tile(k, next, dim, &r, 1, s + i * Q8_CELLS); }
}

/* What a tile of V sums, beside its constants: a block of n numbers from `first` on, relative to `unit`; r: the cells' scales. */
typedef struct values_job { q8_cells v; int dim, n_cells, first, n; float unit; int16_t r[Q8_CELLS]; } values_job;

static inline __attribute__((always_inline)) void values_tile(const values_job *o, q8_cells next, const int16_t *w, const float *shrink, const float *factor,
                                                              float *const *acc, int n_q)
{
    int16_t u[4][Q8_CELLS];
    for (int i = 0; i < n_q; i++)
        for (int c = 0; c < Q8_CELLS; c += 16) {
            __m256i x = _mm256_mulhrs_epi16(_mm256_loadu_si256((const void *)(w + i * Q8_CELLS + c)), _mm256_loadu_si256((const void *)(o->r + c)));
            _mm256_storeu_si256((void *)(u[i] + c), _mm256_srli_epi16(_mm256_add_epi16(x, _mm256_set1_epi16(64)), 7));
        }
    for (int d = o->first; d < o->first + o->n; d += 8) {
        __m256i a[4][2];
        _Pragma("GCC unroll 4") for (int i = 0; i < n_q; i++) a[i][0] = a[i][1] = _mm256_setzero_si256();
        for (int c = 0; c < o->n_cells; c += 4) {
            int64_t at = q8_at_v(o->dim, d, c);
            __m256i x0 = wide8(o->v.x + at), x1 = wide8(o->v.x + at + 16);
            if (d % 16 == 0) __builtin_prefetch(next.x + at, 0, 2);
            _Pragma("GCC unroll 4") for (int i = 0; i < n_q; i++) {
                __m256i f = four(u[i] + c);
                a[i][0] = _mm256_add_epi32(a[i][0], _mm256_madd_epi16(x0, f));
                a[i][1] = _mm256_add_epi32(a[i][1], _mm256_madd_epi16(x1, f));
            }
        }
        _Pragma("GCC unroll 4") for (int i = 0; i < n_q; i++) {
            __m256 g = _mm256_set1_ps(factor[i] * o->unit), less = _mm256_set1_ps(shrink[i]);
            _mm256_storeu_ps(acc[i] + d, _mm256_fmadd_ps(g, eight(a[i][0], a[i][1]), _mm256_mul_ps(_mm256_loadu_ps(acc[i] + d), less)));
        }
    }
}

/* The scales of a block of cells as whole numbers relative to their largest. */
static void scales_of(values_job *o, const float *scale)
{
    const __m256i zero = _mm256_setzero_si256(), most = _mm256_set1_epi32(Q8_SCALE);
    float r[Q8_CELLS] = { 0 }, top = 0;
    memcpy(r, scale, sizeof *r * (size_t)o->n_cells);
    for (int c = 0; c < o->n_cells; c++) top = r[c] > top ? r[c] : top;
    __m256 inv = _mm256_set1_ps(top > 1e-30f ? Q8_SCALE / top : 0);
    for (int c = 0; c < Q8_CELLS; c += 16) {
        __m256i x = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(r + c), inv)), y = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(r + c + 8), inv));
        x = _mm256_min_epi32(_mm256_max_epi32(x, zero), most), y = _mm256_min_epi32(_mm256_max_epi32(y, zero), most);
        _mm256_storeu_si256((void *)(o->r + c), _mm256_permute4x64_epi64(_mm256_packs_epi32(x, y), 0xD8));
    }
    o->unit = top / Q8_MOST;
}

static void avx2_values(q8_cells v, q8_cells next, int dim, int n_cells, const int16_t *w, const float *shrink, const float *factor,
                        float *const *acc, int n_q)
{
    values_job o = { .v = v, .dim = dim, .n_cells = n_cells };
    for (int b = 0; o.first < dim; b++, o.first += Q8_BLOCK) {
        q8_cells then = next;
        int i = 0;
        for (int c = 0; c < Q8_CELLS; c += 16) __builtin_prefetch(next.scale + b * Q8_CELLS + c, 0, 2);
        o.n = dim - o.first < Q8_BLOCK ? dim - o.first : Q8_BLOCK;
        scales_of(&o, v.scale + b * Q8_CELLS);
        for (; i + 4 <= n_q; i += 4, then = v) values_tile(&o, then, w + i * Q8_CELLS, shrink + i, factor + i, acc + i, 4);
        for (; i < n_q; i++, then = v) values_tile(&o, then, w + i * Q8_CELLS, shrink + i, factor + i, acc + i, 1);
    }
}

const q8_ops q8_avx2 = { avx2_block, avx2_scores, avx2_values };
