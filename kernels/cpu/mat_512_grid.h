/* kernels/cpu/mat_512_grid: blocks of the types that look their numbers up in grids (IQ1, IQ2, IQ3) and of the ternary ones, with
 * 512-bit vectors and byte permutations (VBMI): which rows of a grid two rows of the matrix name, for few activation rows too
 * (mat_512_grid_few.h), and all elements in order, for tiles. Included behind mat_512_decode.h by mat_512.h, where there is VBMI.
 *
 * For tiles a block becomes four vectors of 64 unsigned bytes in the order of its elements, each `less` too large, and the scales of its
 * sixteens. Rows of a grid are looked up 64 at a time, their low and high bytes apart; eight numbers of two bits of a row are shifted
 * out of their word into eight bytes at once, and mean what a table says by their low bits, so that nothing is masked. A minus turns
 * 64 + w into 128 - (64 + w). Formats: unpack_few.c, against which all of it is tested. */
#include "kernels/grids.h"

enum { GRID_LESS = 64 };

/* Seven signs and the eighth, which makes the number of minuses even. */
#define ODD_ONES(v) (0x6996 >> (((v) ^ (v) >> 4) & 15) & 1)
#define EIGHT_SIGNS(v) ((v) | ODD_ONES(v) << 7)
static const uint8_t grid_signs[128] __attribute__((aligned(64))) = { TIMES_64(EIGHT_SIGNS, 0), TIMES_64(EIGHT_SIGNS, 64) };

/* Digits to base 3 of a byte (unpack_few.c): the first four, two bits each, and the fifth. */
#define DIGIT(v, power) (((v) * (power) & 255) * 3 >> 8)
#define FOUR_DIGITS(v) (DIGIT(v, 1) | DIGIT(v, 3) << 2 | DIGIT(v, 9) << 4 | DIGIT(v, 27) << 6)
#define FIFTH_DIGIT(v) DIGIT(v, 81)
static const uint8_t tq1_digits[2][256] __attribute__((aligned(64))) = {
    { TIMES_64(FOUR_DIGITS, 0), TIMES_64(FOUR_DIGITS, 64), TIMES_64(FOUR_DIGITS, 128), TIMES_64(FOUR_DIGITS, 192) },
    { TIMES_64(FIFTH_DIGIT, 0), TIMES_64(FIFTH_DIGIT, 64), TIMES_64(FIFTH_DIGIT, 128), TIMES_64(FIFTH_DIGIT, 192) },
};

/* What the numbers of a row mean, + 64, by their low six bits: those of the next number do not count. */
#define IQ2_VALUE(c) (((c) & 3) == 0 ? 72 : ((c) & 3) == 1 ? 89 : 107)
#define IQ3_XXS_VALUE(c) (64 + (((c) & 7) == 7 ? 62 : 4 + 8 * ((c) & 7)))
#define IQ3_S_VALUE(c) (65 + 2 * ((c) & 7))
#define IQ1_VALUE(c) (55 + 8 * ((c) & 3))           /* an eighth less */
static const uint8_t grid_value[4][64] __attribute__((aligned(64))) = {
    { TIMES_64(IQ2_VALUE, 0) }, { TIMES_64(IQ3_XXS_VALUE, 0) }, { TIMES_64(IQ3_S_VALUE, 0) }, { TIMES_64(IQ1_VALUE, 0) },
};

/* Bytes of low and high parts (64 on) that make a qword of a row of eight numbers, or of two rows of four; the rest of it is not
 * looked at. */
#define ROW_OF_8(i) (i), 64 + (i), (i), (i), (i), (i), (i), (i)
#define ROWS_OF_8(first) { ROW_OF_8(first), ROW_OF_8((first) + 1), ROW_OF_8((first) + 2), ROW_OF_8((first) + 3), \
                           ROW_OF_8((first) + 4), ROW_OF_8((first) + 5), ROW_OF_8((first) + 6), ROW_OF_8((first) + 7) }
static const uint8_t grid_eights[8][64] __attribute__((aligned(64))) = {
    ROWS_OF_8(0), ROWS_OF_8(8), ROWS_OF_8(16), ROWS_OF_8(24), ROWS_OF_8(32), ROWS_OF_8(40), ROWS_OF_8(48), ROWS_OF_8(56),
};
#define ROW_OF_4(i) (i), 64 + (i), (i), (i)
#define ROWS_OF_4(first) { ROW_OF_4(first), ROW_OF_4((first) + 1), ROW_OF_4((first) + 2), ROW_OF_4((first) + 3), \
                           ROW_OF_4((first) + 4), ROW_OF_4((first) + 5), ROW_OF_4((first) + 6), ROW_OF_4((first) + 7), \
                           ROW_OF_4((first) + 8), ROW_OF_4((first) + 9), ROW_OF_4((first) + 10), ROW_OF_4((first) + 11), \
                           ROW_OF_4((first) + 12), ROW_OF_4((first) + 13), ROW_OF_4((first) + 14), ROW_OF_4((first) + 15) }
static const uint8_t grid_fours[4][64] __attribute__((aligned(64))) = { ROWS_OF_4(0), ROWS_OF_4(16), ROWS_OF_4(32), ROWS_OF_4(48) };

/* Which scale each of 32 words of a packed pair of sums takes, by its sixteen: half 0 vectors 0 and 1, half 1 vectors 2 and 3. */
#define GRID_LANE(at, h, L) W4(at(8 * (h) + (L))), W4(at(8 * (h) + 4 + (L)))
#define GRID_WORDS(at, h) { GRID_LANE(at, h, 0), GRID_LANE(at, h, 1), GRID_LANE(at, h, 2), GRID_LANE(at, h, 3) }
#define GRID_SCALES(at) { GRID_WORDS(at, 0), GRID_WORDS(at, 1) }
#define IN_IQ2_XXS(sub) (4 * ((sub) / 2) + 3)       /* words that hold a scale */
#define IN_IQ3_XXS(sub) (2 * ((sub) / 2) + 1)
#define IN_IQ1_S(sub) ((sub) / 2)
static const uint16_t grid_scale_at[3][2][32] __attribute__((aligned(64))) = { GRID_SCALES(IN_IQ2_XXS), GRID_SCALES(IN_IQ3_XXS), GRID_SCALES(IN_IQ1_S) };

/* Where in 64 bits a scale begins, less one bit: doubled it comes out, to be made odd. */
#define GRID_BIT(bit) (((bit) + 63) & 63), 0
#define BITS_4(bit) GRID_BIT(bit), GRID_BIT(bit), GRID_BIT(bit), GRID_BIT(bit)
#define BITS_LANE(at, h, L) BITS_4(at(8 * (h) + (L))), BITS_4(at(8 * (h) + 4 + (L)))
#define BITS_OF(at, h) { BITS_LANE(at, h, 0), BITS_LANE(at, h, 1), BITS_LANE(at, h, 2), BITS_LANE(at, h, 3) }
#define NIBBLE_OF_16(sub) (4 * (sub))
#define NIBBLE_OF_32(sub) (4 * ((sub) / 2))
#define THREE_BITS(sub) (16 * ((sub) / 4) + 3 * ((sub) % 4))
static const uint8_t grid_scale_bit[3][2][64] __attribute__((aligned(64))) = {
    { BITS_OF(NIBBLE_OF_16, 0), BITS_OF(NIBBLE_OF_16, 1) }, { BITS_OF(NIBBLE_OF_32, 0), BITS_OF(NIBBLE_OF_32, 1) },
    { BITS_OF(THREE_BITS, 0), BITS_OF(THREE_BITS, 1) },
};

/* One block of each of two rows. */
typedef struct grid_pair {
    __m512i v[2][4];               /* bytes, `less` too large */
    __m512i scale[2][2];           /* of the words of v 0 and 1, and 2 and 3, packed; TQ: none */
} grid_pair;

INLINE __m512i qwords(const uint8_t *p) { int64_t v; memcpy(&v, p, 8); return _mm512_set1_epi64(v); }
INLINE uint64_t qword(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }

/* Which rows of a grid 64 numbers are: the low seven bits and what else their bytes hold, from[i]: bit 7 + i. `top` (IQ1): their bits 8
 * to 10 in bits 4 to 6 of bytes. */
typedef struct grid_places { __m512i at, top; __mmask64 from[4]; } grid_places;

/* Bytes `at` of a table of 128 and more for m times 64 numbers together: tables are read once, since 64 bytes a cycle is all that comes
 * from the first cache. */
#define PLACES const int m, const grid_places *const p[2], const uint8_t *table, __m512i v[2]
INLINE void look_128(PLACES)
{
    const __m512i low = load64(table), high = load64(table + 64);
    UNROLL for (int k = 0; k < m; k++) v[k] = _mm512_permutex2var_epi8(low, p[k]->at, high);
}
#define TWICE(name, half, n, bit) INLINE void name(PLACES) \
    { \
        __m512i u[2]; \
        half(m, p, table, v), half(m, p, table + (n) / 2, u); \
        UNROLL for (int k = 0; k < m; k++) v[k] = _mm512_mask_blend_epi8(p[k]->from[bit], v[k], u[k]); \
    }
TWICE(look_256, look_128, 256, 0)
TWICE(look_512, look_256, 512, 1)
TWICE(look_1024, look_512, 1024, 2)
TWICE(look_2048, look_1024, 2048, 3)
INLINE void look_up(const int n, PLACES)
{
    if (n == 256) look_256(m, p, table, v);
    else if (n == 512) look_512(m, p, table, v);
    else if (n == 1024) look_1024(m, p, table, v);
    else look_2048(m, p, table, v);
}
INLINE __m512i look_byte(const uint8_t table[256], __m512i at)
{
    const grid_places x = { .at = at, .from = { _mm512_movepi8_mask(at) } }, *const p[2] = { &x };
    __m512i v[2];
    look_256(1, p, table, v);
    return v[0];
}

/* The numbers of 64 rows of a grid, whose low and high bytes these are: of eight for two blocks, or of four for one (`fours`). */
INLINE void grid_numbers(__m512i low, __m512i high, const int fours, __m512i value, __m512i *v)
{
    const __m512i two = _mm512_set1_epi64(0x0e0c0a0806040200), four = _mm512_set1_epi64(0x2c2824200c080400);
    const int times = fours ? 4 : 8;
    UNROLL for (int k = 0; k < times; k++) {
        __m512i x = _mm512_permutex2var_epi8(low, load64(fours ? grid_fours[k] : grid_eights[k]), high);
        v[k] = _mm512_permutexvar_epi8(_mm512_multishift_epi64_epi8(fours ? four : two, x), value);
    }
}

/* signs: 32 bytes, bit i of byte k: a minus before element 8 k + i. */
INLINE void grid_minus(__m512i v[4], const uint8_t *signs)
{
    UNROLL for (int k = 0; k < 4; k++)
        v[k] = _mm512_mask_sub_epi8(v[k], (__mmask64)qword(signs + 8 * k), _mm512_set1_epi8((char)(2 * GRID_LESS)), v[k]);
}

/* Scales in words at places of a type; in nibbles or threes of bits of a qword. x is doubled there, and made odd. */
INLINE void scales_in_words(__m512i x, const int which, __m512i to[2])
{
    UNROLL for (int h = 0; h < 2; h++) to[h] = _mm512_permutexvar_epi16(_mm512_load_si512(grid_scale_at[which][h]), x);
}
INLINE void scales_in_bits(__m512i x, const int which, __m512i to[2])
{
    UNROLL for (int h = 0; h < 2; h++)
        to[h] = _mm512_ternarylogic_epi32(_mm512_multishift_epi64_epi8(_mm512_load_si512(grid_scale_bit[which][h]), x),
                                          _mm512_set1_epi16(which == 2 ? 0x0e : 0x1e), _mm512_set1_epi16(1), 0xea);      /* (x & mask) | 1 */
}
INLINE __m512i odd_of_top(__m512i x, const int bits)   /* the top `bits` of each word, from the 16th or (of three) the 15th down: 2 n + 1 */
{
    x = _mm512_srli_epi16(x, 11);
    return bits == 4 ? _mm512_or_si512(x, _mm512_set1_epi16(1)) : _mm512_ternarylogic_epi32(x, _mm512_set1_epi16(0x0e), _mm512_set1_epi16(1), 0xea);
}

/* ---- two rows' blocks: which rows of the grid ---- */

/* Of eights 32 numbers of the first row, then of the second, in of[0]; of fours 64 a row. signs: a byte for eight elements, 32 of each
 * row; sevens: what they are made of, where they are. more: a bit for eight, an eighth more instead of less. */
typedef struct grid_two_places {
    grid_places of[2];
    __m512i signs, sevens;
    uint64_t more;
} grid_two_places;

#define GRID_FOURS(type) ((type) == KER_IQ3_XXS || (type) == KER_IQ3_S)
#define GRID_IQ1(type) ((type) == KER_IQ1_S || (type) == KER_IQ1_M)

/* Sevens of signs, a byte each, made eight; and out of dwords that hold four sevens (bit 7 does not count). */
INLINE __m512i grid_sevens(__m512i sevens) { return _mm512_permutex2var_epi8(load64(grid_signs), sevens, load64(grid_signs + 64)); }
INLINE __m512i sevens_of(__m512i dwords) { return _mm512_multishift_epi64_epi8(_mm512_set1_epi64(0x352e2720150e0700), dwords); }

/* Even or odd bytes of two vectors; their dwords. */
#define EVEN_BYTE(i) (2 * (i))
#define ODD_BYTE(i) (2 * (i) + 1)
static const uint8_t grid_bytes[2][64] __attribute__((aligned(64))) = { { TIMES_64(EVEN_BYTE, 0) }, { TIMES_64(ODD_BYTE, 0) } };
INLINE __m512i every_other(const uint8_t *s0, const uint8_t *s1, const int odd)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_epi32(load64(s0), _mm512_add_epi32(even, _mm512_set1_epi32(odd)), load64(s1));
}

INLINE void places_low(grid_places *p, __m512i at)
{
    p->at = at;
    p->from[0] = _mm512_movepi8_mask(at);
}

INLINE void places_iq2_xxs(const uint8_t *s0, const uint8_t *s1, grid_two_places *t)
{
    places_low(t->of, every_other(s0 + 2, s1 + 2, 0));
    t->sevens = sevens_of(every_other(s0 + 2, s1 + 2, 1));
    t->signs = grid_sevens(t->sevens);
}

INLINE void places_iq2_xs(const uint8_t *s0, const uint8_t *s1, grid_two_places *t)
{
    const __m512i x0 = load64_once(s0 + 2), x1 = load64_once(s1 + 2), high = _mm512_permutex2var_epi8(x0, load64(grid_bytes[1]), x1);
    places_low(t->of, _mm512_permutex2var_epi8(x0, load64(grid_bytes[0]), x1));
    t->of[0].from[1] = _mm512_test_epi8_mask(high, _mm512_set1_epi8(1));
    t->sevens = _mm512_srli_epi16(high, 1);
    t->signs = grid_sevens(t->sevens);
}

INLINE void places_iq2_s(const uint8_t *s0, const uint8_t *s1, grid_two_places *t)
{
    const uint64_t low = 0x5555555555555555u, h0 = qword(s0 + 66), h1 = qword(s1 + 66);
    places_low(t->of, two32(s0 + 2, s1 + 2));
    t->of[0].from[1] = _pext_u64(h0, low) | _pext_u64(h1, low) << 32;
    t->of[0].from[2] = _pext_u64(h0, ~low) | _pext_u64(h1, ~low) << 32;
    t->signs = two32(s0 + 34, s1 + 34);
}

INLINE void places_iq3_xxs(const uint8_t *s0, const uint8_t *s1, grid_two_places *t)
{
    UNROLL for (int e = 0; e < 2; e++) places_low(t->of + e, load64((e ? s1 : s0) + 2));
    t->signs = grid_sevens(sevens_of(two32(s0 + 66, s1 + 66)));
}

INLINE void places_iq3_s(const uint8_t *s0, const uint8_t *s1, grid_two_places *t)
{
    UNROLL for (int e = 0; e < 2; e++) {
        const uint8_t *s = e ? s1 : s0;
        places_low(t->of + e, load64(s + 2));
        t->of[e].from[1] = (__mmask64)qword(s + 66);
    }
    t->signs = two32(s0 + 74, s1 + 74);
}

INLINE void places_iq1(grid_places *p, __m512i at, __m512i top)
{
    places_low(p, at);
    p->top = top;
    UNROLL for (int i = 0; i < 3; i++) p->from[1 + i] = _mm512_test_epi8_mask(top, _mm512_set1_epi8((char)(16 << i)));
}

INLINE void places_iq1_s(const uint8_t *s0, const uint8_t *s1, grid_two_places *t)
{
    const __m512i two = _mm512_cvtepu32_epi64(_mm256_set_m128i(load16(s1 + 34), load16(s0 + 34))), sign = _mm512_set1_epi64(0x1f1f1f1f0f0f0f0f);
    t->more = ~_mm512_test_epi8_mask(_mm512_multishift_epi64_epi8(sign, two), _mm512_set1_epi8(1));
    places_iq1(t->of, two32(s0 + 2, s1 + 2), _mm512_multishift_epi64_epi8(_mm512_set1_epi64(0x15120f0c05023f3c), two));
}

INLINE void places_iq1_m(const uint8_t *s0, const uint8_t *s1, grid_two_places *t)
{
    const __m512i twice = _mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3), at = _mm512_broadcast_i32x4(_mm_setr_epi64((__m64)0x1814100c0804003c, (__m64)0x3834302c2824201c));
    __m512i nibbles = _mm512_multishift_epi64_epi8(at, _mm512_permutexvar_epi64(twice, _mm512_castsi256_si512(_mm256_set_m128i(load16(s1 + 32), load16(s0 + 32)))));
    t->more = ~_mm512_movepi8_mask(nibbles);
    places_iq1(t->of, two32(s0, s1), nibbles);
}

INLINE void grid_find(const int type, const uint8_t *s0, const uint8_t *s1, grid_two_places *t)
{
    switch (type) {
    case KER_IQ2_XXS: places_iq2_xxs(s0, s1, t); break;
    case KER_IQ2_XS: places_iq2_xs(s0, s1, t); break;
    case KER_IQ2_S: places_iq2_s(s0, s1, t); break;
    case KER_IQ3_XXS: places_iq3_xxs(s0, s1, t); break;
    case KER_IQ3_S: places_iq3_s(s0, s1, t); break;
    case KER_IQ1_S: places_iq1_s(s0, s1, t); break;
    default: places_iq1_m(s0, s1, t); break;
    }
}

/* A type's grid, of how many rows, and which table says what its numbers mean. */
#define GRID_OF(type) ((type) == KER_IQ2_XXS ? ker_grid_iq2_xxs[0] : (type) == KER_IQ2_XS ? ker_grid_iq2_xs[0] : (type) == KER_IQ2_S ? ker_grid_iq2_s[0] : \
                       (type) == KER_IQ3_XXS ? ker_grid_iq3_xxs[0] : (type) == KER_IQ3_S ? ker_grid_iq3_s[0] : ker_grid_iq1[0])
#define GRID_ROWS(type) ((type) == KER_IQ2_XXS || (type) == KER_IQ3_XXS ? 256 : (type) == KER_IQ2_XS || (type) == KER_IQ3_S ? 512 : (type) == KER_IQ2_S ? 1024 : 2048)
#define GRID_MEANS(type) ((type) == KER_IQ3_XXS ? 1 : (type) == KER_IQ3_S ? 2 : GRID_IQ1(type) ? 3 : 0)

/* The low and high bytes of m times 64 rows of a type's grid. IQ1's rows rise, so that of sixteen in a row the first `count` have one
 * high byte and the others the next: three look-ups of 128 instead of sixteen. */
INLINE void grid_rows(const int type, const int m, const grid_places *const p[2], __m512i low[2], __m512i high[2])
{
    const int n = GRID_ROWS(type);
    look_up(n, m, p, GRID_OF(type), low);
    if (!GRID_IQ1(type)) {
        look_up(n, m, p, GRID_OF(type) + n, high);
        return;
    }
    const __m512i nib = _mm512_set1_epi8(15);
    UNROLL for (int k = 0; k < m; k++) {
        const __m512i at = _mm512_ternarylogic_epi32(nib, _mm512_srli_epi16(p[k]->at, 4), p[k]->top, 0xca);       /* nib ? at : top */
        __m512i t[3];
        UNROLL for (int i = 0; i < 3; i++) t[i] = _mm512_permutex2var_epi8(load64(ker_grid_iq1_steps[i]), at, load64(ker_grid_iq1_steps[i] + 64));
        high[k] = _mm512_mask_blend_epi8(_mm512_cmpge_epu8_mask(_mm512_and_si512(p[k]->at, nib), t[0]), t[1], t[2]);
    }
}

/* ---- two rows' blocks in the order of their elements ---- */

INLINE void pair_scales(const int type, const uint8_t *s, __m512i scale[2])
{
    switch (type) {
    case KER_IQ2_XXS: scales_in_words(odd_of_top(load64(s + 2), 4), 0, scale); break;
    case KER_IQ2_XS: scales_in_bits(qwords(s + 66), 0, scale); break;
    case KER_IQ2_S: scales_in_bits(qwords(s + 74), 0, scale); break;
    case KER_IQ3_XXS: scales_in_words(odd_of_top(_mm512_castsi256_si512(load32(s + 66)), 4), 1, scale); break;
    case KER_IQ3_S: scales_in_bits(_mm512_set1_epi32(dword_bits(s + 106)), 1, scale); break;
    case KER_IQ1_S: scales_in_words(odd_of_top(_mm512_castsi128_si512(load16(s + 34)), 3), 2, scale); break;
    default: scales_in_bits(qwords(s + 48), 2, scale); break;
    }
}

INLINE void pair_grid(const int type, const uint8_t *s0, const uint8_t *s1, grid_pair *t)
{
    uint8_t signs[64] __attribute__((aligned(64)));
    grid_two_places x;
    grid_find(type, s0, s1, &x);
    if (!GRID_IQ1(type)) {
        _mm512_store_si512(&signs, x.signs);
        __asm__("" : "+m"(signs));     /* masks are loaded from there: taken out of the vector each would cost three instructions */
    }
    const __m512i value = load64(grid_value[GRID_MEANS(type)]);
    const grid_places *const p[2] = { &x.of[0], &x.of[1] };
    __m512i low[2], high[2];
    grid_rows(type, GRID_FOURS(type) ? 2 : 1, p, low, high);
    if (!GRID_FOURS(type)) grid_numbers(low[0], high[0], 0, value, t->v[0]);
    UNROLL for (int e = 0; e < 2; e++) {
        if (GRID_FOURS(type)) grid_numbers(low[e], high[e], 1, value, t->v[e]);
        if (!GRID_IQ1(type)) grid_minus(t->v[e], signs + 32 * e);
        else UNROLL for (int k = 0; k < 4; k++)
            t->v[e][k] = _mm512_mask_add_epi64(t->v[e][k], (__mmask8)(x.more >> (32 * e + 8 * k)), t->v[e][k], _mm512_set1_epi8(2));
        pair_scales(type, e ? s1 : s0, t->scale[e]);
    }
}

INLINE void pair_tq1_0(const uint8_t *s0, const uint8_t *s1, grid_pair *t)
{
    const __m512i digit = _mm512_set1_epi8(3), by02 = _mm512_setr_epi64(0, 0, 0, 0, 2, 2, 2, 2), by46 = _mm512_add_epi64(by02, _mm512_set1_epi64(4));
    const __m512i third = _mm512_setr_epi64(8, 9, 10, 11, 4, 5, 4, 5), by_third = _mm512_setr_epi64(0, 0, 0, 0, 0, 0, 2, 2);
    const __m512i last = _mm512_setr_epi32(8, 9, 10, 11, 8, 9, 10, 11, 24, 25, 26, 27, 12, 12, 12, 12);
    const __m512i by_last = _mm512_setr_epi32(4, 4, 4, 4, 6, 6, 6, 6, 0, 0, 0, 0, 0, 2, 4, 6);
    UNROLL for (int e = 0; e < 2; e++) {
        __m512i at = _mm512_maskz_loadu_epi8((1ull << 52) - 1, e ? s1 : s0);
        __m512i four = look_byte(tq1_digits[0], at), fifth = look_byte(tq1_digits[1], at), twice = _mm512_shuffle_i64x2(four, four, 0x44);
        t->v[e][0] = _mm512_and_si512(_mm512_srlv_epi64(twice, by02), digit);
        t->v[e][1] = _mm512_and_si512(_mm512_srlv_epi64(twice, by46), digit);
        t->v[e][2] = _mm512_and_si512(_mm512_srlv_epi64(_mm512_permutex2var_epi64(four, third, fifth), by_third), digit);
        t->v[e][3] = _mm512_and_si512(_mm512_srlv_epi32(_mm512_permutex2var_epi32(four, last, fifth), by_last), digit);
    }
}

INLINE void pair_tq2_0(const uint8_t *s0, const uint8_t *s1, grid_pair *t)
{
    const __m512i digit = _mm512_set1_epi8(3), by02 = _mm512_setr_epi64(0, 0, 0, 0, 2, 2, 2, 2), by46 = _mm512_add_epi64(by02, _mm512_set1_epi64(4));
    UNROLL for (int e = 0; e < 2; e++)
        UNROLL for (int h = 0; h < 2; h++) {
            __m512i twice = _mm512_broadcast_i64x4(load32((e ? s1 : s0) + 32 * h));
            t->v[e][2 * h] = _mm512_and_si512(_mm512_srlv_epi64(twice, by02), digit);
            t->v[e][2 * h + 1] = _mm512_and_si512(_mm512_srlv_epi64(twice, by46), digit);
        }
}

INLINE void grid_two(const int type, const uint8_t *s0, const uint8_t *s1, grid_pair *t)
{
    if (type == KER_TQ1_0) pair_tq1_0(s0, s1, t);
    else if (type == KER_TQ2_0) pair_tq2_0(s0, s1, t);
    else pair_grid(type, s0, s1, t);
}
#define GRID_TERNARY(type) ((type) == KER_TQ1_0 || (type) == KER_TQ2_0)
#define GRID_BYTES(type) ((type) == KER_IQ2_XXS || (type) == KER_TQ2_0 ? 66 : (type) == KER_IQ2_XS ? 74 : (type) == KER_IQ2_S ? 82 : \
                          (type) == KER_IQ3_XXS ? 98 : (type) == KER_IQ3_S ? 110 : (type) == KER_IQ1_S ? 50 : (type) == KER_IQ1_M ? 56 : 54)

/* The float of sixteen blocks. */
INLINE __m512 grid_d(const int type, const uint8_t *const row[16], int64_t at)
{
    const float part = type == KER_IQ3_S || GRID_TERNARY(type) ? 1 : type == KER_IQ3_XXS ? .25f : .125f;
    if (type != KER_IQ1_M)
        return _mm512_mul_ps(halves16(row, at + (type == KER_TQ1_0 ? 52 : type == KER_TQ2_0 ? 64 : 0)), _mm512_set1_ps(part));
    uint16_t d[16];
    UNROLL for (int i = 0; i < 16; i++)
        d[i] = (uint16_t)_pext_u64(qword(row[i] + at + 48), 0xf000f000f000f000u);
    return _mm512_mul_ps(_mm512_cvtph_ps(load32(d)), _mm512_set1_ps(part));
}
