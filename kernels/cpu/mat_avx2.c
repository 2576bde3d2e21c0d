/* kernels/cpu/mat_avx2: the products with AVX2 and FMA. Twice eight rows of the matrix are unpacked to bytes, interleaved
 * by four (lane = row), into the caller's scratch, and all activation rows run over them (mat_avx2_tile.h). Few rows go straight from
 * the file's layout (mat_avx2_few.h). No state; any thread; runs only where cpu.c found AVX2, FMA, F16C and BMI2. */
#include "kernels/cpu/mat_isa.h"
#include "kernels/cpu/mat_fetch.h"

#include <immintrin.h>
#include <string.h>

#include "kernels/kernels.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")   /* every loop over an array of vectors: unrolled, they stay in registers */

enum { PANEL = 1024, TILES = 2 };   /* numbers of a row that are unpacked at once: with the rows that meet them, in the first cache */

typedef struct tile256 {
    uint8_t w[64][8][4];
    int32_t sc[16][8];             /* sub-scales, the same in both words: sub-blocks of 16, or of 32 in the first 8 */
    int32_t words[8][8];           /* pairs of sub-minima: of sub-blocks of 16, or of 32 in the first 4 */
    float d[8], m[8];
} tile256;
typedef struct tile64 {
    uint8_t w[16][8][4];
    float d[4][8];                 /* of sixteens */
} tile64;
typedef struct tile32 {
    uint8_t w[8][8][4];
    float d[8], m[8];
} tile32;

static const int8_t iq4_values[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };
static const int8_t e2m1_plus_12[16] = { 12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0 };

INLINE __m256i load32(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE __m128i load16(const void *p) { return _mm_loadu_si128((const __m128i *)p); }
INLINE __m256i two16(const void *a, const void *b) { return _mm256_inserti128_si256(_mm256_castsi128_si256(load16(a)), load16(b), 1); }
INLINE void put(void *p, __m256i v) { _mm256_storeu_si256((__m256i *)p, v); }
INLINE int dword_bits(const uint8_t *p) { int v; memcpy(&v, p, 4); return v; }
INLINE int half_bits(const uint8_t *p) { uint16_t h; memcpy(&h, p, 2); return h; }

/* One dword or half float of each of eight rows. */
INLINE __m256i dwords8(const uint8_t *const row[8], int64_t at)
{
    __m128i v[2];
    UNROLL for (int i = 0; i < 2; i++) {
        v[i] = _mm_cvtsi32_si128(dword_bits(row[4 * i] + at));
        v[i] = _mm_insert_epi32(v[i], dword_bits(row[4 * i + 1] + at), 1);
        v[i] = _mm_insert_epi32(v[i], dword_bits(row[4 * i + 2] + at), 2);
        v[i] = _mm_insert_epi32(v[i], dword_bits(row[4 * i + 3] + at), 3);
    }
    return _mm256_set_m128i(v[1], v[0]);
}
INLINE __m256 halves8(const uint8_t *const row[8], int64_t at)
{
    __m128i v = _mm_cvtsi32_si128(half_bits(row[0] + at));
#define PUT(i) v = _mm_insert_epi16(v, half_bits(row[i] + at), i);
    PUT(1) PUT(2) PUT(3) PUT(4) PUT(5) PUT(6) PUT(7)
#undef PUT
    return _mm256_cvtph_ps(v);
}
INLINE __m256 low_halves(__m256i pairs)
{
    __m256i v = _mm256_permute4x64_epi64(_mm256_packus_epi32(_mm256_and_si256(pairs, _mm256_set1_epi32(0xffff)), _mm256_setzero_si256()), 0x08);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(v));
}
INLINE __m256 high_halves(__m256i pairs) { return low_halves(_mm256_srli_epi32(pairs, 16)); }

/* v[i] dword k -> v[k] dword i */
INLINE void transpose8(__m256i v[8])
{
    __m256i a[8], b[8];
    UNROLL for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
        a[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
    }
    UNROLL for (int q = 0; q < 8; q += 4) {
        b[q] = _mm256_unpacklo_epi64(a[q], a[q + 2]);
        b[q + 1] = _mm256_unpackhi_epi64(a[q], a[q + 2]);
        b[q + 2] = _mm256_unpacklo_epi64(a[q + 1], a[q + 3]);
        b[q + 3] = _mm256_unpackhi_epi64(a[q + 1], a[q + 3]);
    }
    UNROLL for (int j = 0; j < 4; j++) {
        v[j] = _mm256_permute2x128_si256(b[j], b[4 + j], 0x20);
        v[4 + j] = _mm256_permute2x128_si256(b[j], b[4 + j], 0x31);
    }
}

/* Sixteen bytes of each row: out[k] = dword k of every row. */
INLINE void columns16(const uint8_t *const row[8], int64_t at, __m256i out[4])
{
    __m256i h[4];
    UNROLL for (int g = 0; g < 4; g++)
        h[g] = two16(row[g] + at, row[4 + g] + at);
    __m256i a = _mm256_unpacklo_epi32(h[0], h[1]), b = _mm256_unpacklo_epi32(h[2], h[3]);
    __m256i c = _mm256_unpackhi_epi32(h[0], h[1]), d = _mm256_unpackhi_epi32(h[2], h[3]);
    out[0] = _mm256_unpacklo_epi64(a, b);
    out[1] = _mm256_unpackhi_epi64(a, b);
    out[2] = _mm256_unpacklo_epi64(c, d);
    out[3] = _mm256_unpackhi_epi64(c, d);
}
INLINE void columns32(const uint8_t *const row[8], int64_t at, __m256i v[8])
{
    UNROLL for (int i = 0; i < 8; i++)
        v[i] = load32(row[i] + at);
    transpose8(v);
}

INLINE __m256i field(__m256i v, int shift, int mask) { return _mm256_and_si256(_mm256_srli_epi32(v, shift), _mm256_set1_epi32(mask)); }
INLINE __m256i in_both_words(__m256i v) { return _mm256_or_si256(_mm256_and_si256(v, _mm256_set1_epi32(0xffff)), _mm256_slli_epi32(v, 16)); }
INLINE __m256i low_nibbles(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
INLINE __m256i high_nibbles(__m256i v) { return low_nibbles(_mm256_srli_epi16(v, 4)); }

/* ---- unpacking: one 256-block of eight rows ---- */

INLINE void tile_q45k(tile256 *t, const uint8_t *const row[8], int64_t at, const int five)
{
    __m256i h[4], sc[8], mn[8], fifth[8];
    columns16(row, at, h);                           /* d and dmin, bytes 0-3, 4-7, 8-11 of the scales (types.c) */
    UNROLL for (int j = 0; j < 4; j++) {
        sc[j] = field(h[1], 8 * j, 63);
        mn[j] = field(h[2], 8 * j, 63);
        sc[4 + j] = _mm256_or_si256(field(h[3], 8 * j, 15), field(h[1], 8 * j + 2, 0x30));
        mn[4 + j] = _mm256_or_si256(field(h[3], 8 * j + 4, 15), field(h[2], 8 * j + 2, 0x30));
    }
    UNROLL for (int j = 0; j < 8; j++)
        put(t->sc[j], in_both_words(sc[j]));
    UNROLL for (int j = 0; j < 4; j++)
        put(t->words[j], _mm256_or_si256(mn[2 * j], _mm256_slli_epi32(mn[2 * j + 1], 16)));
    _mm256_storeu_ps(t->d, low_halves(h[0]));
    _mm256_storeu_ps(t->m, high_halves(h[0]));
    if (five)
        columns32(row, at + 16, fifth);
    UNROLL for (int c = 0; c < 4; c++) {
        __m256i v[8];
        columns32(row, at + (five ? 48 : 16) + 32 * c, v);
        UNROLL for (int k = 0; k < 8; k++) {
            __m256i lo = low_nibbles(v[k]), hi = high_nibbles(v[k]);
            if (five) {                              /* bits 2c and 2c + 1 to bit 4 */
                __m256i f0 = c < 2 ? _mm256_slli_epi32(fifth[k], 4 - 2 * c) : _mm256_srli_epi32(fifth[k], 2 * c - 4);
                __m256i f1 = c < 2 ? _mm256_slli_epi32(fifth[k], 3 - 2 * c) : _mm256_srli_epi32(fifth[k], 2 * c - 3);
                lo = _mm256_or_si256(lo, _mm256_and_si256(f0, _mm256_set1_epi8(16)));
                hi = _mm256_or_si256(hi, _mm256_and_si256(f1, _mm256_set1_epi8(16)));
            }
            put(t->w[16 * c + k], lo);
            put(t->w[16 * c + 8 + k], hi);
        }
    }
}
static void tile_q4k(void *t, const uint8_t *const row[8], int64_t at) { tile_q45k(t, row, at, 0); }
static void tile_q5k(void *t, const uint8_t *const row[8], int64_t at) { tile_q45k(t, row, at, 1); }

static void tile_q6k(void *to, const uint8_t *const row[8], int64_t at)
{
    tile256 *t = to;
    const __m256i two = _mm256_set1_epi8(0x30);
    __m256i s[4];
    columns16(row, at + 192, s);
    UNROLL for (int j = 0; j < 16; j++)
        put(t->sc[j], in_both_words(_mm256_srai_epi32(_mm256_slli_epi32(s[j / 4], 24 - 8 * (j % 4)), 24)));
    _mm256_storeu_ps(t->d, halves8(row, at + 208));
    UNROLL for (int f = 0; f < 2; f++) {
        __m256i hi[8], v[8];
        columns32(row, at + 128 + 32 * f, hi);
        UNROLL for (int e = 0; e < 2; e++) {         /* bytes of sub-blocks e and e + 2 (of 32) */
            columns32(row, at + 64 * f + 32 * e, v);
            UNROLL for (int k = 0; k < 8; k++) {
                __m256i h0 = _mm256_and_si256(e ? _mm256_slli_epi32(hi[k], 2) : _mm256_slli_epi32(hi[k], 4), two);
                __m256i h1 = _mm256_and_si256(e ? _mm256_srli_epi32(hi[k], 2) : hi[k], two);
                put(t->w[32 * f + 8 * e + k], _mm256_or_si256(low_nibbles(v[k]), h0));
                put(t->w[32 * f + 16 + 8 * e + k], _mm256_or_si256(high_nibbles(v[k]), h1));
            }
        }
    }
}

static void tile_iq4xs(void *to, const uint8_t *const row[8], int64_t at)
{
    tile256 *t = to;
    const __m256i table = _mm256_broadcastsi128_si256(load16(iq4_values));
    __m256i s[4];
    columns16(row, at, s);                           /* d and high scale bits, low scale bits */
    UNROLL for (int j = 0; j < 8; j++)
        put(t->sc[j], in_both_words(_mm256_sub_epi32(_mm256_or_si256(field(s[1], 4 * j, 15), _mm256_slli_epi32(field(s[0], 16 + 2 * j, 3), 4)), _mm256_set1_epi32(32))));
    _mm256_storeu_ps(t->d, low_halves(s[0]));
    UNROLL for (int j = 0; j < 8; j++) {
        __m256i v[4];
        columns16(row, at + 8 + 16 * j, v);
        UNROLL for (int k = 0; k < 4; k++) {
            put(t->w[8 * j + k], _mm256_shuffle_epi8(table, low_nibbles(v[k])));
            put(t->w[8 * j + 4 + k], _mm256_shuffle_epi8(table, high_nibbles(v[k])));
        }
    }
}

/* Pairs of bits: v >> 2s of a half's 32 bytes are its s-th 32 elements (unpack_few.c). */
static void tile_q2k(void *to, const uint8_t *const row[8], int64_t at)
{
    tile256 *t = to;
    __m256i s[4], pairs = dwords8(row, at + 80);
    columns16(row, at, s);                           /* a byte a sub-block: scale low, minimum high */
    UNROLL for (int j = 0; j < 16; j++)
        put(t->sc[j], in_both_words(field(s[j / 4], 8 * (j % 4), 15)));
    UNROLL for (int j = 0; j < 8; j++) {
        __m256i two = _mm256_srli_epi32(s[j / 2], 16 * (j % 2) + 4);
        put(t->words[j], _mm256_or_si256(_mm256_and_si256(two, _mm256_set1_epi32(15)), _mm256_slli_epi32(_mm256_and_si256(two, _mm256_set1_epi32(0xf00)), 8)));
    }
    _mm256_storeu_ps(t->d, low_halves(pairs));
    _mm256_storeu_ps(t->m, high_halves(pairs));
    UNROLL for (int h = 0; h < 2; h++) {
        __m256i v[8];
        columns32(row, at + 16 + 32 * h, v);
        UNROLL for (int f = 0; f < 4; f++)
            UNROLL for (int k = 0; k < 8; k++)
                put(t->w[32 * h + 8 * f + k], _mm256_and_si256(_mm256_srli_epi32(v[k], 2 * f), _mm256_set1_epi8(3)));
    }
}

static void tile_q3k(void *to, const uint8_t *const row[8], int64_t at)
{
    tile256 *t = to;
    __m256i s[4], high[8];
    columns16(row, at + 94, s);                      /* two bytes more before the scales: sixteen end with the block */
    UNROLL for (int j = 0; j < 16; j++) {
        int low = 2 + j % 8, top = 10 + j % 4;
        __m256i sc = _mm256_or_si256(field(s[low / 4], 8 * (low % 4) + (j < 8 ? 0 : 4), 15),
                                     _mm256_slli_epi32(field(s[top / 4], 8 * (top % 4) + 2 * (j / 4), 3), 4));
        put(t->sc[j], in_both_words(_mm256_sub_epi32(sc, _mm256_set1_epi32(32))));
    }
    _mm256_storeu_ps(t->d, high_halves(s[3]));
    columns32(row, at, high);
    UNROLL for (int h = 0; h < 2; h++) {
        __m256i v[8];
        columns32(row, at + 32 + 32 * h, v);
        UNROLL for (int f = 0; f < 4; f++)
            UNROLL for (int k = 0; k < 8; k++) {     /* bit 4h + f to bit 2 */
                __m256i bit = 4 * h + f < 2 ? _mm256_slli_epi32(high[k], 2 - 4 * h - f) : _mm256_srli_epi32(high[k], 4 * h + f - 2);
                __m256i low = _mm256_and_si256(_mm256_srli_epi32(v[k], 2 * f), _mm256_set1_epi8(3));
                put(t->w[32 * h + 8 * f + k], _mm256_or_si256(low, _mm256_and_si256(bit, _mm256_set1_epi8(4))));
            }
    }
}

/* ---- unpacking: one 32-block of eight rows ---- */

static void tile_q80(void *to, const uint8_t *const row[8], int64_t at)
{
    tile32 *t = to;
    __m256i v[8];
    columns32(row, at + 2, v);
    UNROLL for (int k = 0; k < 8; k++)
        put(t->w[k], v[k]);
    _mm256_storeu_ps(t->d, halves8(row, at));
}

/* Half of 2^(e - 127), e the first byte of eight rows; below 2 it is subnormal (unpack_few.c). */
INLINE __m256 e8m0_halves(const uint8_t *const row[8], int64_t at)
{
    __m256i e = _mm256_and_si256(dwords8(row, at), _mm256_set1_epi32(255));
    __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23), small = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, small, _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e)));
}

INLINE void tile_nibbles(tile32 *t, const uint8_t *const row[8], int64_t at, const int type)
{
    const int bytes = type == KER_Q4_1 ? 20 : type == KER_Q5_0 ? 22 : type == KER_Q5_1 ? 24 : type == KER_MXFP4 ? 17 : 18;
    const int five = type == KER_Q5_0 || type == KER_Q5_1, has_min = type == KER_Q4_1 || type == KER_Q5_1;
    const __m256i table = _mm256_broadcastsi128_si256(load16(type == KER_MXFP4 ? e2m1_plus_12 : iq4_values));
    __m256i v[4], fifth = five ? dwords8(row, at + bytes - 20) : table;
    columns16(row, at + bytes - 16, v);
    UNROLL for (int k = 0; k < 4; k++) {
        __m256i lo = low_nibbles(v[k]), hi = high_nibbles(v[k]);
        if (type == KER_IQ4_NL || type == KER_MXFP4) {
            lo = _mm256_shuffle_epi8(table, lo);
            hi = _mm256_shuffle_epi8(table, hi);
        }
        UNROLL for (int e = 0; e < 4 && five; e++) { /* bit 4k + e to bit 4 of byte e */
            lo = _mm256_or_si256(lo, _mm256_slli_epi32(field(fifth, 4 * k + e, 1), 8 * e + 4));
            hi = _mm256_or_si256(hi, _mm256_slli_epi32(field(fifth, 16 + 4 * k + e, 1), 8 * e + 4));
        }
        put(t->w[k], lo);
        put(t->w[4 + k], hi);
    }
    if (has_min) {
        __m256i pairs = dwords8(row, at);
        _mm256_storeu_ps(t->d, low_halves(pairs));
        _mm256_storeu_ps(t->m, high_halves(pairs));
    } else
        _mm256_storeu_ps(t->d, type == KER_MXFP4 ? e8m0_halves(row, at) : halves8(row, at));
}
static void tile_q40(void *t, const uint8_t *const row[8], int64_t at) { tile_nibbles(t, row, at, KER_Q4_0); }
static void tile_q41(void *t, const uint8_t *const row[8], int64_t at) { tile_nibbles(t, row, at, KER_Q4_1); }
static void tile_q50(void *t, const uint8_t *const row[8], int64_t at) { tile_nibbles(t, row, at, KER_Q5_0); }
static void tile_q51(void *t, const uint8_t *const row[8], int64_t at) { tile_nibbles(t, row, at, KER_Q5_1); }
static void tile_iq4nl(void *t, const uint8_t *const row[8], int64_t at) { tile_nibbles(t, row, at, KER_IQ4_NL); }
static void tile_mxfp4(void *t, const uint8_t *const row[8], int64_t at) { tile_nibbles(t, row, at, KER_MXFP4); }

/* ---- unpacking: one 64-block of eight rows ---- */

/* Halves of the four unsigned E4M3 of a block (bias 7; unpack_few.c) of eight rows, exactly: as half floats they are 2^-7 times that,
 * subnormal or not. */
INLINE void ue4m3_halves(const uint8_t *const row[8], int64_t at, __m256 d[4])
{
    const __m256i v8 = dwords8(row, at), none = _mm256_set1_epi8(0x7f);
    const __m256i v = _mm256_andnot_si256(_mm256_cmpeq_epi8(v8, none), _mm256_and_si256(v8, none));
    __m256i even = _mm256_slli_epi16(_mm256_and_si256(v, _mm256_set1_epi16(0xff)), 7), odd = _mm256_slli_epi16(_mm256_srli_epi16(v, 8), 7);
    d[0] = low_halves(even), d[1] = low_halves(odd), d[2] = high_halves(even), d[3] = high_halves(odd);
    UNROLL for (int j = 0; j < 4; j++) d[j] = _mm256_mul_ps(d[j], _mm256_set1_ps(128));
}

static void tile_nvfp4(void *to, const uint8_t *const row[8], int64_t at)
{
    tile64 *t = to;
    const __m256i table = _mm256_broadcastsi128_si256(load16(e2m1_plus_12));
    __m256i v[8];
    __m256 d[4];
    columns32(row, at + 4, v);
    UNROLL for (int k = 0; k < 8; k++) {             /* eight bytes a sixteen: low nibbles, then high ones */
        put(t->w[4 * (k / 2) + k % 2], _mm256_shuffle_epi8(table, low_nibbles(v[k])));
        put(t->w[4 * (k / 2) + 2 + k % 2], _mm256_shuffle_epi8(table, high_nibbles(v[k])));
    }
    ue4m3_halves(row, at, d);
    UNROLL for (int j = 0; j < 4; j++) _mm256_storeu_ps(t->d[j], d[j]);
}

#include "kernels/cpu/mat_avx2_tile.h"
#include "kernels/cpu/mat_avx2_few.h"
#include "kernels/cpu/mat_avx2_grid.h"

/* One row per block type: how it is unpacked and multiplied, and by which few rows are. */
typedef struct way {
    int block, bytes;
    void (*unpack)(void *, const uint8_t *const [8], int64_t);
    kernel_fn *const *run;
    int less;                      /* by what the tile's numbers are too large */
    few_fn *const *few;
} way;
/* Types that have a way; whoever has none is left to the scalar products. */
#define WAYS(X) \
    X(KER_Q4_K, 256, 144, tile_q4k, run_q4k, 0, few_q4k) \
    X(KER_Q5_K, 256, 176, tile_q5k, run_q5k, 0, few_q5k) \
    X(KER_Q6_K, 256, 210, tile_q6k, run_less16, 32, few_q6k) \
    X(KER_IQ4_XS, 256, 136, tile_iq4xs, run_iq4xs, 0, few_iq4xs) \
    X(KER_Q8_0, 32, 34, tile_q80, run_byte, 0, few_q80) \
    X(KER_IQ4_NL, 32, 18, tile_iq4nl, run_byte, 0, few_iq4nl) \
    X(KER_Q4_0, 32, 18, tile_q40, run_less, 8, few_q40) \
    X(KER_Q5_0, 32, 22, tile_q50, run_less, 16, few_q50) \
    X(KER_Q4_1, 32, 20, tile_q41, run_q4_1, 0, few_q41) \
    X(KER_Q5_1, 32, 24, tile_q51, run_q5_1, 0, few_q51) \
    X(KER_Q2_K, 256, 84, tile_q2k, run_q2k, 0, few_q2k) \
    X(KER_Q3_K, 256, 110, tile_q3k, run_less16, 4, few_q3k) \
    X(KER_MXFP4, 32, 17, tile_mxfp4, run_less, 12, few_mxfp4) \
    X(KER_NVFP4, 64, 36, tile_nvfp4, run_nvfp4, 12, few_nvfp4) \
    X(KER_IQ2_XXS, 256, 66, tile_iq2xxs, run_grid32, 0, few_iq2xxs) \
    X(KER_IQ2_XS, 256, 74, tile_iq2xs, run_grid16, 0, few_iq2xs) \
    X(KER_IQ2_S, 256, 82, tile_iq2s, run_grid16, 0, few_iq2s) \
    X(KER_IQ3_XXS, 256, 98, tile_iq3xxs, run_grid32, 0, few_iq3xxs) \
    X(KER_IQ3_S, 256, 110, tile_iq3s, run_small, 0, few_iq3s) \
    X(KER_IQ1_S, 256, 50, tile_iq1s, run_less32, 9, few_iq1s) \
    X(KER_IQ1_M, 256, 56, tile_iq1m, run_less16, 9, few_iq1m) \
    X(KER_TQ1_0, 256, 54, tile_tq1, run_less32, 1, few_tq1) \
    X(KER_TQ2_0, 256, 66, tile_tq2, run_less32, 1, few_tq2)
#define WAY(type, ...) [type] = { __VA_ARGS__ },
static const way ways[KER_TYPE_LIMIT] = { WAYS(WAY) };
#undef WAY

enum { TILE_ROOM = TILES * (sizeof(tile256) * (PANEL / 256) > sizeof(tile32) * (PANEL / 32) ? sizeof(tile256) * (PANEL / 256) : sizeof(tile32) * (PANEL / 32)) };
_Static_assert(TILE_ROOM >= TILES * sizeof(tile64) * (PANEL / 64) && TILE_ROOM + START_ROWS * PANEL / 4 <= MAT_SCRATCH, "tiles and starts fit the scratch");

/* From row o's columns c to those that are unpacked next, in bytes. */
static int64_t next_rows(const mat *w, const way *how, int64_t o, int64_t o0, int64_t o1, int64_t c)
{
    const int64_t here = o * w->row_bytes + c / how->block * how->bytes;
    if (o + 8 * TILES < o1) return 8 * TILES * w->row_bytes;
    if (c + PANEL < w->n_in) return o0 * w->row_bytes + (c + PANEL) / how->block * how->bytes - here;
    return w->next ? (int64_t)((uintptr_t)w->next - (uintptr_t)(w->data + here)) : 8 * TILES * w->row_bytes;
}

/* Lines of the rows that are unpacked next, asked for between products: in a burst they would wait for one another. */
typedef struct ahead {
    const char *at;
    int64_t to_next_row;           /* from behind a row's last line */
    int row_lines, left;           /* of this row */
    int all;                       /* not asked for yet */
} ahead;

static void ask_ahead(ahead *a, int lines)
{
    for (lines = lines < a->all ? lines : a->all, a->all -= lines; lines; lines--) {
        _mm_prefetch(a->at, _MM_HINT_T1);
        a->left--;
        a->at += 64 + (a->left ? 0 : a->to_next_row);
        a->left = a->left ? a->left : a->row_lines;
    }
}

/* More than FEW rows, up to START_ROWS. */
static void mul_tiles(const way *how, const mat *w, const char *act, int64_t act_stride, int n, int64_t o0, int64_t o1, float *y,
                      int64_t y_stride, void *scratch)
{
    const int64_t tile_bytes = how->block == 256 ? (int64_t)sizeof(tile256) : how->block == 64 ? (int64_t)sizeof(tile64) : (int64_t)sizeof(tile32);
    const int sub16 = ker_type_get(w->type)->sub == 16;
    const mat_q8 x = how->block == 256 ? mat_q8_256(act, w->n_in) : mat_q8_32(act, w->n_in);
    uint8_t *start = (uint8_t *)scratch + TILE_ROOM;
    for (int64_t c = 0; c < w->n_in; c += PANEL) {
        const int64_t b0 = c / how->block, cols = w->n_in - c < PANEL ? w->n_in - c : PANEL;
        const char *a0 = act + c;                    /* all offsets from here */
        panel p = { .stride = act_stride, .y_stride = y_stride, .n_block = (int)(cols / how->block), .first = c == 0 };
        p.d_at = (const char *)(x.d + (how->block == 256 ? b0 : c / 32)) - a0;
        p.sums_at = how->block < 256 ? (const char *)(x.sum + c / 32) - a0 : sub16 ? (const char *)(x.sum16 + 16 * b0) - a0 : (const char *)(x.sum32 + 8 * b0) - a0;
        p.start_stride = PANEL / (sub16 ? 4 : 8);
        for (int r = 0; r < n && how->less; r++) {
            const int8_t *q = (const int8_t *)(const void *)(a0 + r * act_stride);
            if (sub16) starts(q, (int)cols, 16, how->less, start + r * p.start_stride);
            else starts(q, (int)cols, 32, how->less, start + r * p.start_stride);
        }
        const int calls = n % MAX_R ? n / MAX_R + 1 : n / MAX_R;
        for (int64_t o = o0; o < o1; o += 8 * TILES) {
            const int64_t left = o1 - o, bytes = p.n_block * how->bytes;
            const char *next = (const char *)w->data + o * w->row_bytes + b0 * how->bytes + next_rows(w, how, o, o0, o1, c), *line = next - ((uintptr_t)next & 63);
            ahead more = { .at = line, .row_lines = (int)((bytes + 63) / 64 + 1) };
            more.left = more.row_lines, more.all = 8 * TILES * more.row_lines, more.to_next_row = w->row_bytes - 64 * more.row_lines;
            const int lines = (more.all + calls - 1) / calls;
            span s = { .live = { left < 8 ? (int)left : 8, left < 8 ? 0 : left < 16 ? (int)left - 8 : 8 } };
            for (int i = 0; i < TILES; i++) {
                const uint8_t *row[8];
                s.tile[i] = (char *)scratch + i * p.n_block * tile_bytes;
                for (int k = 0; k < 8; k++)          /* beyond the last row the last again, not stored */
                    row[k] = w->data + (8 * i + k < left ? o + 8 * i + k : o1 - 1) * w->row_bytes;
                for (int b = 0; b < p.n_block; b++) {
                    const int64_t at = (b0 + b) * how->bytes;
                    how->unpack((char *)scratch + (i * p.n_block + b) * tile_bytes, row, at);
                }
            }
            for (int r = 0, some; r < n; r += some) {
                some = n - r == MAX_R + 1 ? 2 : n - r < MAX_R ? n - r : MAX_R;      /* four are two and two */
                s.act = a0 + r * act_stride, s.start = (const char *)start + r * p.start_stride, s.y = y + r * y_stride + o;
                ask_ahead(&more, lines);
                how->run[some](&s, &p);
            }
        }
    }
}

static void mul_blocks(const mat *w, const void *act, int64_t act_stride, int n, int64_t o0, int64_t o1, float *y,
                       int64_t y_stride, void *scratch)
{
    const way *how = &ways[w->type];
    if (n >= 1 && n <= FEW) {
        how->few[n](w, act, act_stride, o0, o1, y, y_stride);
        return;
    }
    for (; n > START_ROWS; n -= START_ROWS, act = (const char *)act + START_ROWS * act_stride, y += START_ROWS * y_stride)
        mul_tiles(how, w, act, act_stride, START_ROWS, o0, o1, y, y_stride, scratch);
    mul_tiles(how, w, act, act_stride, n, o0, o1, y, y_stride, scratch);
}

/* ---- float weights: sixteen partial sums are two vectors ---- */

INLINE __m256 load_float(const int type, const uint8_t *p)
{
    if (type == KER_F32)
        return _mm256_loadu_ps((const float *)(const void *)p);
    return type == KER_F16 ? _mm256_cvtph_ps(load16(p)) : _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load16(p)), 16));
}

/* Two rows of the matrix by nr activation rows. */
INLINE void float_tile(const int type, const mat *w, const void *act, int64_t act_stride, const int no, const int nr,
                       int64_t o, float *y, int64_t y_stride)
{
    const int size = type == KER_F32 ? 4 : 2;
    const ker_type *ty = ker_type_get(type);
    const uint8_t *s = w->data + o * w->row_bytes;
    __m256 acc[4][2][2];
    UNROLL for (int i = 0; i < no; i++)
        EACH(r) acc[i][r][0] = acc[i][r][1] = _mm256_setzero_ps();
    int64_t k = 0;
    for (; k + 16 <= w->n_in; k += 16)
        UNROLL for (int i = 0; i < no; i++) {
            __m256 v0 = load_float(type, s + i * w->row_bytes + size * k), v1 = load_float(type, s + i * w->row_bytes + size * (k + 8));
            EACH(r) {
                const float *x = (const float *)(const void *)((const char *)act + r * act_stride) + k;
                acc[i][r][0] = _mm256_fmadd_ps(v0, _mm256_loadu_ps(x), acc[i][r][0]);
                acc[i][r][1] = _mm256_fmadd_ps(v1, _mm256_loadu_ps(x + 8), acc[i][r][1]);
            }
        }
    UNROLL for (int i = 0; i < no; i++)
        EACH(r) {
            if (k < w->n_in) {
                const float *x = (const float *)(const void *)((const char *)act + r * act_stride) + k;
                float part[16], v[16];
                _mm256_storeu_ps(part, acc[i][r][0]);
                _mm256_storeu_ps(part + 8, acc[i][r][1]);
                ty->decode(s + i * w->row_bytes + size * k, v, w->n_in - k);
                for (int64_t j = 0; j < w->n_in - k; j++)
                    part[j] = __builtin_fmaf(v[j], x[j], part[j]);
                acc[i][r][0] = _mm256_loadu_ps(part);
                acc[i][r][1] = _mm256_loadu_ps(part + 8);
            }
            __m256 a = _mm256_add_ps(acc[i][r][0], acc[i][r][1]);
            __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
            b = _mm_add_ps(b, _mm_movehl_ps(b, b));
            y[r * y_stride + o + i] = _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
        }
}

INLINE void mul_float(const int type, const mat *w, const void *act, int64_t act_stride, int n, int64_t o0, int64_t o1,
                      float *y, int64_t y_stride)
{
    int r = 0;
    for (; r + 2 <= n; r += 2, act = (const char *)act + 2 * act_stride, y += 2 * y_stride) {
        int64_t o = o0;
        for (; o + 2 <= o1; o += 2)
            float_tile(type, w, act, act_stride, 2, 2, o, y, y_stride);
        if (o < o1)
            float_tile(type, w, act, act_stride, 1, 2, o, y, y_stride);
    }
    if (r < n) {
        int64_t o = o0;
        for (; o + 4 <= o1; o += 4)
            float_tile(type, w, act, act_stride, 4, 1, o, y, y_stride);
        for (; o < o1; o++)
            float_tile(type, w, act, act_stride, 1, 1, o, y, y_stride);
    }
}
#define FLOATS(name, type) static void name(const mat *w, const void *act, int64_t act_stride, int n, int64_t o0, int64_t o1, \
    float *y, int64_t y_stride, void *scratch) { (void)scratch; mul_float(type, w, act, act_stride, n, o0, o1, y, y_stride); }
FLOATS(mul_f32, KER_F32)
FLOATS(mul_f16, KER_F16)
FLOATS(mul_bf16, KER_BF16)

/* ---- activations ---- */

static inline int bytes_sum(__m128i u)
{
    __m128i s = _mm_sad_epu8(u, _mm_setzero_si128());
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_unpackhi_epi64(s, s)));
}

static void act_q8(int block, const float *x, int64_t n_in, void *dst)
{
    mat_act_sums sums = mat_act_sums_of(block, n_in, dst);
    int8_t *q = (int8_t *)dst;
    float *d = sums.d;
    const __m256i no_sign = _mm256_set1_epi32(0x7fffffff);
    for (int64_t b = 0; b < n_in / block; b++) {
        __m256i most = _mm256_setzero_si256();       /* as bits: NaN > infinity > every number */
        for (int i = 0; i < block; i += 8)
            most = _mm256_max_epi32(most, _mm256_and_si256(load32(x + b * block + i), no_sign));
        __m128i m4 = _mm_max_epi32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
        m4 = _mm_max_epi32(m4, _mm_shuffle_epi32(m4, 0x4e));
        m4 = _mm_max_epi32(m4, _mm_shuffle_epi32(m4, 0xb1));
        int bits = _mm_cvtsi128_si32(m4);
        float amax;
        memcpy(&amax, &bits, 4);
        int dead = bits >= 0x7f800000 || amax < 1e-30f;
        d[b] = bits >= 0x7f800000 ? __builtin_nanf("") : dead ? 0 : amax / 127;
        const __m256 factor = _mm256_set1_ps(dead ? 0 : 127 / amax);
        for (int i = 0; i < block; i += 16) {
            const float *from = x + b * block + i;
            __m128i bytes = _mm_setzero_si128();
            if (!dead) {
                __m256i v0 = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(from), factor));
                __m256i v1 = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(from + 8), factor));
                __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(v0, v1), 0xd8);
                bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
            }
            _mm_storeu_si128((__m128i *)(void *)(q + b * block + i), bytes);
            mat_act_part(&sums, b, i, bytes_sum(_mm_xor_si128(bytes, _mm_set1_epi8((char)0x80))) - 16 * 128, bytes_sum(_mm_abs_epi8(bytes)));
        }
    }
    if (block == 32 && n_in % 64)
        memset(q + n_in, 0, (size_t)(64 - n_in % 64));
}

const mat_isa *mat_isa_avx2(void)
{
    static const mat_isa isa = {
        .name = "avx2",
        .mul = {
#define WAY(type, ...) [type] = mul_blocks,
            WAYS(WAY)
#undef WAY
            [KER_F32] = mul_f32, [KER_F16] = mul_f16, [KER_BF16] = mul_bf16,
        },
        .act_q8 = act_q8,
    };
    return &isa;
}
