/* kernels/cpu/mat_any_avx2: products of types that have no path of their own, with AVX2: the blocks of a matrix row are taken
 * apart by kernels/unpack.h into the caller's scratch, once for all rows of activations, up to four of which then run over them.
 * Every type of blocks whose integers have at most seven bits, without minima. No state; any thread; runs only where cpu.c found
 * AVX2 and FMA. */
#include "kernels/cpu/mat_isa.h"
#include "kernels/unpack.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define EACH(r) UNROLL for (int r = 0; r < nr; r++)

enum { MAX_R = 4, ROOM = MAT_SCRATCH / sizeof(ker_block) /* blocks of a row at a time */ };

INLINE __m256i load32(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

/* Sums of two products as words: |w| meets a with w's sign, since one of the two must be unsigned. 2 * 127 * 127 fits. */
INLINE __m256i pairs(__m256i mag, __m256i w, const int8_t *q) { return _mm256_maddubs_epi16(mag, _mm256_sign_epi8(load32(q), w)); }

INLINE int sum4(__m128i v)
{
    v = _mm_add_epi32(v, _mm_unpackhi_epi64(v, v));
    return _mm_cvtsi128_si32(v) + _mm_extract_epi32(v, 1);
}

/* One row of the matrix, n_block of its blocks from b0 on, against nr rows. */
INLINE void row_256(const ker_block *b, int64_t b0, int n_block, int sub, const char *act, int64_t act_stride, int64_t n_in, const int nr, float *y, int64_t y_stride)
{
    float acc[MAX_R];
    mat_q8 x[MAX_R];
    EACH(r) {
        x[r] = mat_q8_256(act + r * act_stride, n_in);
        acc[r] = b0 ? y[r * y_stride] : 0;
    }
    for (int64_t k = b0; k < b0 + n_block; k++, b++) {
        __m256i sum[MAX_R];
        EACH(r) sum[r] = _mm256_setzero_si256();
        UNROLL for (int i = 0; i < 8; i++) {
            __m256i w = load32(b->q + 32 * i), mag = _mm256_abs_epi8(w), sc = _mm256_set1_epi16(b->sc[i]);
            if (sub == 16)
                sc = _mm256_set_m128i(_mm_set1_epi16(b->sc[2 * i + 1]), _mm_set1_epi16(b->sc[2 * i]));
            EACH(r) sum[r] = _mm256_add_epi32(sum[r], _mm256_madd_epi16(pairs(mag, w, x[r].q + 256 * k + 32 * i), sc));
        }
        EACH(r) {
            int isum = sum4(_mm_add_epi32(_mm256_castsi256_si128(sum[r]), _mm256_extracti128_si256(sum[r], 1)));
            acc[r] = __builtin_fmaf(b->d * x[r].d[k], (float)isum, acc[r]);
        }
    }
    EACH(r) y[r * y_stride] = acc[r];
}

/* The same for blocks of two times 32, whose sixteens have floats of their own. */
INLINE void row_64(const ker_block *b, int64_t b0, int n_block, int sub, const char *act, int64_t act_stride, int64_t n_in, const int nr, float *y, int64_t y_stride)
{
    float acc[MAX_R];
    mat_q8 x[MAX_R];
    (void)sub;
    EACH(r) {
        x[r] = mat_q8_32(act + r * act_stride, n_in);
        acc[r] = b0 ? y[r * y_stride] : 0;
    }
    for (int64_t k = 2 * b0; k < 2 * (b0 + n_block); k++) {
        const ker_block *at = b + (k / 2 - b0);
        const float *d = at->piece + k % 2 * 2;
        __m256i w = load32(at->q + k % 2 * 32), mag = _mm256_abs_epi8(w);
        EACH(r) {
            __m256i sum = _mm256_madd_epi16(pairs(mag, w, x[r].q + 32 * k), _mm256_set1_epi16(1));
            acc[r] = __builtin_fmaf(d[0] * x[r].d[k], (float)sum4(_mm256_castsi256_si128(sum)), acc[r]);
            acc[r] = __builtin_fmaf(d[1] * x[r].d[k], (float)sum4(_mm256_extracti128_si256(sum, 1)), acc[r]);
        }
    }
    EACH(r) y[r * y_stride] = acc[r];
}

typedef void row_fn(const ker_block *b, int64_t b0, int n_block, int sub, const char *act, int64_t act_stride, int64_t n_in, float *y, int64_t y_stride);
#define ONE(name, nr) static void name##_##nr(const ker_block *b, int64_t b0, int n, int sub, const char *act, int64_t as, int64_t n_in, float *y, int64_t ys) \
    { if (sub == 16) name(b, b0, n, 16, act, as, n_in, nr, y, ys); else name(b, b0, n, 32, act, as, n_in, nr, y, ys); }
#define UP_TO_4(name) ONE(name, 1) ONE(name, 2) ONE(name, 3) ONE(name, 4) \
    static row_fn *const name##_of[MAX_R + 1] = { 0, name##_1, name##_2, name##_3, name##_4 };
UP_TO_4(row_256)
UP_TO_4(row_64)

void mat_any_avx2(const mat *w, const void *act, int64_t act_stride, int n, int64_t o0, int64_t o1, float *y, int64_t y_stride, void *scratch)
{
    const ker_type *t = ker_type_get(w->type);
    const ker_unpack *u = ker_unpack_get(w->type);
    row_fn *const *run = t->block == 256 ? row_256_of : row_64_of;
    ker_block *b = scratch;
    const int64_t blocks = w->n_in / t->block;
    for (int64_t o = o0; o < o1; o++)
        for (int64_t b0 = 0; b0 < blocks; b0 += ROOM) {
            int n_block = (int)(blocks - b0 < ROOM ? blocks - b0 : ROOM);
            const uint8_t *s = w->data + o * w->row_bytes + b0 * t->bytes;
            _mm_prefetch((const char *)s + w->row_bytes, _MM_HINT_T1);
            for (int k = 0; k < n_block; k++)
                u->one(s + k * t->bytes, b + k);
            for (int r = 0; r < n; r += MAX_R)
                run[n - r < MAX_R ? n - r : MAX_R](b, b0, n_block, u->sub, (const char *)act + r * act_stride, act_stride, w->n_in, y + r * y_stride + o, y_stride);
        }
}
