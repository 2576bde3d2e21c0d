/* kernels/cpu/mat_avx2_grid: products of the types that look their numbers up in grids (IQ1, IQ2, IQ3) and of the ternary ones, with
 * AVX2; included by mat_avx2.c behind mat_avx2_few.h, whose means it uses.
 *
 * The places of a block's rows in the grid are put together as words in memory, and rows are loaded from there (grids.h, ker_wide)
 * eight or four numbers at a time. Numbers stay unsigned for maddubs: IQ2's and IQ3's meet activations with their signs, IQ1's are 9
 * too large and the ternary ones 1, which the sums of the activations take off. Formats: unpack_few.c, against which all is tested. */
#include "kernels/grids.h"

#define IS_TERNARY(type) ((type) == KER_TQ1_0 || (type) == KER_TQ2_0)
#define IS_IQ1(type) ((type) == KER_IQ1_S || (type) == KER_IQ1_M)
#define IS_IQ3(type) ((type) == KER_IQ3_XXS || (type) == KER_IQ3_S)
#define HAS_MINUS(type) (!IS_TERNARY(type) && !IS_IQ1(type))
#define GRID_SUB(type) ((type) == KER_IQ2_XS || (type) == KER_IQ2_S || (type) == KER_IQ1_M ? 16 : 32)
#define GRID_LESS(type) (IS_IQ1(type) ? 9 : IS_TERNARY(type) ? 1 : 0)

/* One block of one row. */
typedef struct grid_block {
    uint16_t at[64];               /* rows of the grid, of eight numbers or of four (IQ3); unused where bytes of the file say so */
    uint8_t minus[32];             /* bit i of byte k: a minus before element 8 k + i; IQ1: 2 for an eighth more, 0 for one less */
} grid_block;

INLINE __m256i bytes_twice(const uint8_t *p) { return _mm256_broadcastsi128_si256(load16(p)); }

/* Each of four bytes to eight, in order. */
INLINE __m256i spread8(const uint8_t *p)
{
    return _mm256_shuffle_epi8(_mm256_set1_epi32(dword_bits(p)), _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
}

/* Bytes of seven signs made eight: the last makes the number of minuses even. */
INLINE __m256i even_signs(__m256i seven)
{
    const __m256i odd = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, -128, -128, 0, -128, 0, 0, -128, -128, 0, 0, -128, 0, -128, -128, 0));
    return _mm256_or_si256(seven, _mm256_shuffle_epi8(odd, low_nibbles(_mm256_xor_si256(seven, _mm256_srli_epi16(seven, 4)))));
}
/* Four times seven bits of each dword to its bytes. */
INLINE __m256i sevens(__m256i v)
{
    __m256i a = _mm256_or_si256(field(v, 0, 0x7f), _mm256_and_si256(_mm256_slli_epi32(v, 1), _mm256_set1_epi32(0x7f00)));
    __m256i b = _mm256_or_si256(_mm256_and_si256(_mm256_slli_epi32(v, 2), _mm256_set1_epi32(0x7f0000)), _mm256_and_si256(_mm256_slli_epi32(v, 3), _mm256_set1_epi32(0x7f000000)));
    return _mm256_or_si256(a, b);
}

/* Scales 2 n + 1 as words. */
INLINE __m256i odd_words(__m256i doubled, const int mask) { return _mm256_or_si256(_mm256_and_si256(doubled, _mm256_set1_epi16((short)mask)), _mm256_set1_epi16(1)); }
INLINE __m256i dwords_to_words(__m256i v) { return _mm256_permute4x64_epi64(_mm256_packs_epi32(v, v), 0xd8); }
INLINE __m256i top_nibbles(__m256i dwords) { return odd_words(dwords_to_words(_mm256_srli_epi32(dwords, 27)), 0x1e); }
INLINE __m256i nibble_scales(__m128i bytes)          /* eight bytes: sixteen scales */
{
    __m128i both = _mm_unpacklo_epi8(bytes, _mm_srli_epi16(bytes, 4));
    return odd_words(_mm256_slli_epi16(_mm256_cvtepu8_epi16(both), 1), 0x1e);
}

/* Sixteen places from number i on: eight low bits from `low`, more by `high`. */
INLINE void put_places(grid_block *g, const int i, const uint8_t *low, __m256i high)
{
    put(g->at + i, _mm256_or_si256(_mm256_cvtepu8_epi16(load16(low)), high));
}
INLINE __m256i in_words(const uint8_t *p, const __m128i which)   /* bytes to words, to be multiplied */
{
    return _mm256_cvtepu8_epi16(_mm_shuffle_epi8(_mm_loadl_epi64((const __m128i *)(const void *)p), which));
}

INLINE __m256i prepare_iq2_xxs(const uint8_t *s, grid_block *g)
{
    __m256 x0 = _mm256_castsi256_ps(load32(s + 2)), x1 = _mm256_castsi256_ps(load32(s + 34));
    __m256i v = _mm256_permute4x64_epi64(_mm256_castps_si256(_mm256_shuffle_ps(x0, x1, 0xdd)), 0xd8);
    put(g->minus, even_signs(sevens(v)));
    return top_nibbles(v);
}

INLINE __m256i prepare_iq2_xs(const uint8_t *s, grid_block *g)
{
    __m256i x[2], high[2];
    UNROLL for (int h = 0; h < 2; h++) {
        x[h] = load32(s + 2 + 32 * h);
        high[h] = _mm256_srli_epi16(x[h], 9);
        put(g->at + 16 * h, _mm256_and_si256(x[h], _mm256_set1_epi16(511)));
    }
    put(g->minus, even_signs(_mm256_permute4x64_epi64(_mm256_packus_epi16(high[0], high[1]), 0xd8)));
    return nibble_scales(_mm_loadl_epi64((const __m128i *)(const void *)(s + 66)));
}

INLINE __m256i prepare_iq2_s(const uint8_t *s, grid_block *g)
{
    const __m256i by = _mm256_set1_epi64x(0x0004001000400100);       /* bits 2 k and 2 k + 1 to 8 and 9 */
    UNROLL for (int h = 0; h < 2; h++) {
        __m256i high = in_words(s + 66, _mm_setr_epi8(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3));
        if (h) high = in_words(s + 66, _mm_setr_epi8(4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7));
        put_places(g, 16 * h, s + 2 + 16 * h, _mm256_and_si256(_mm256_mullo_epi16(high, by), _mm256_set1_epi16(0x300)));
    }
    return nibble_scales(_mm_loadl_epi64((const __m128i *)(const void *)(s + 74)));
}

INLINE __m256i prepare_iq3_xxs(const uint8_t *s, grid_block *g)
{
    __m256i v = load32(s + 66);
    put(g->minus, even_signs(sevens(v)));
    return top_nibbles(v);
}

INLINE __m256i prepare_iq3_s(const uint8_t *s, grid_block *g)
{
    const __m256i bit = _mm256_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, -32768);
    UNROLL for (int h = 0; h < 4; h++) {
        __m256i is = _mm256_cmpeq_epi16(_mm256_and_si256(_mm256_set1_epi16((short)half_bits(s + 66 + 2 * h)), bit), bit);
        put_places(g, 16 * h, s + 2 + 16 * h, _mm256_and_si256(is, _mm256_set1_epi16(256)));
    }
    return nibble_scales(_mm_cvtsi32_si128(dword_bits(s + 106)));
}

/* Bits 3 k to 3 k + 2 of words, four times each, to bits 8 to 10: k is 3 for the last of four, whose bits go the other way. */
INLINE __m256i prepare_iq1_s(const uint8_t *s, grid_block *g)
{
    const __m256i by = _mm256_set1_epi64x(0x0002001000800400);       /* to bits 10 to 12, and from there two down */
    const __m128i words = load16(s + 34);
    UNROLL for (int h = 0; h < 2; h++) {
        const __m256i at = h ? _mm256_setr_epi64x(0x0908090809080908, 0x0b0a0b0a0b0a0b0a, 0x0d0c0d0c0d0c0d0c, 0x0f0e0f0e0f0e0f0e)
                             : _mm256_setr_epi64x(0x0100010001000100, 0x0302030203020302, 0x0504050405040504, 0x0706070607060706);
        __m256i high = _mm256_mullo_epi16(_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(words), at), by);
        put_places(g, 16 * h, s + 2 + 16 * h, _mm256_and_si256(_mm256_srli_epi16(high, 2), _mm256_set1_epi16(0x700)));
    }
    __m128i more = _mm_and_si128(_mm_srli_epi16(_mm_xor_si128(words, _mm_set1_epi16(-32768)), 14), _mm_set1_epi16(2));
    _mm_storel_epi64((__m128i *)(void *)g->minus, _mm_packs_epi16(more, more));    /* a byte a sub-block */
    return odd_words(_mm256_castsi128_si256(_mm_srli_epi16(words, 11)), 0x0e);
}

INLINE __m256i prepare_iq1_m(const uint8_t *s, grid_block *g)
{
    const __m256i shift = _mm256_set1_epi64x((int64_t)0x0040020010008000);         /* down by 1, 4, 7 and 10 */
    const __m128i x = load16(s + 32), up = _mm_srli_epi16(x, 4);
    __m256i nibbles = _mm256_set_m128i(_mm_unpackhi_epi8(x, up), _mm_unpacklo_epi8(x, up));
    UNROLL for (int h = 0; h < 2; h++) {
        __m128i half = h ? _mm256_extracti128_si256(nibbles, 1) : _mm256_castsi256_si128(nibbles);
        put_places(g, 16 * h, s + 16 * h, _mm256_and_si256(_mm256_slli_epi16(_mm256_cvtepu8_epi16(half), 8), _mm256_set1_epi16(0x700)));
    }
    put(g->minus, _mm256_srli_epi16(_mm256_andnot_si256(nibbles, _mm256_set1_epi8(8)), 2));
    int64_t four;
    memcpy(&four, s + 48, 8);
    __m256i words = _mm256_shuffle_epi8(_mm256_set1_epi64x(four), _mm256_setr_epi64x(0x0100010001000100, 0x0302030203020302, 0x0504050405040504, 0x0706070607060706));
    return odd_words(_mm256_mulhi_epu16(_mm256_slli_epi16(words, 2), shift), 0x0e);
}

/* Fills g; returns the scales as words: sixteen, or the low eight. */
INLINE __m256i grid_prepare(const int type, const uint8_t *s, grid_block *g)
{
    switch (type) {
    case KER_IQ2_XXS: return prepare_iq2_xxs(s, g);
    case KER_IQ2_XS: return prepare_iq2_xs(s, g);
    case KER_IQ2_S: return prepare_iq2_s(s, g);
    case KER_IQ3_XXS: return prepare_iq3_xxs(s, g);
    case KER_IQ3_S: return prepare_iq3_s(s, g);
    case KER_IQ1_S: return prepare_iq1_s(s, g);
    case KER_IQ1_M: return prepare_iq1_m(s, g);
    default: return _mm256_set1_epi16(1);
    }
}

/* Four rows of eight numbers, and eight of four. */
INLINE __m256i four_rows(const uint64_t *grid, int a, int b, int c, int d)
{
    const __m128i low = _mm_insert_epi64(_mm_loadl_epi64((const __m128i *)(const void *)(grid + a)), (int64_t)grid[b], 1);
    const __m128i high = _mm_insert_epi64(_mm_loadl_epi64((const __m128i *)(const void *)(grid + c)), (int64_t)grid[d], 1);
    return _mm256_set_m128i(high, low);
}
INLINE __m128i four_fours(const uint32_t *grid, int a, int b, int c, int d)
{
    __m128i v = _mm_cvtsi32_si128((int)grid[a]);
    v = _mm_insert_epi32(v, (int)grid[b], 1);
    v = _mm_insert_epi32(v, (int)grid[c], 2);
    return _mm_insert_epi32(v, (int)grid[d], 3);
}
#define FOUR_AT(p) (p)[0], (p)[1], (p)[2], (p)[3]

/* Digits of TQ1_0's bytes (unpack_few.c), times a power of 3 already: x is 128 less, and stays so when it is tripled. */
INLINE __m256i tripled(__m256i x, const int times)
{
    UNROLL for (int k = 0; k < times; k++) x = _mm256_add_epi8(x, _mm256_add_epi8(x, x));
    return x;
}
INLINE __m256i digits(__m256i x)
{
    return _mm256_abs_epi8(_mm256_add_epi8(_mm256_cmpgt_epi8(x, _mm256_set1_epi8(85 - 128)), _mm256_cmpgt_epi8(x, _mm256_set1_epi8(170 - 128))));
}
INLINE __m256i tq1_bytes(const uint8_t *s, const int i)
{
    const __m256i top = _mm256_set1_epi8(-128);
    if (i < 5) return digits(tripled(_mm256_xor_si256(load32(s), top), i));
    __m256i two = _mm256_xor_si256(bytes_twice(s + 32), top), first = _mm256_blend_epi32(two, tripled(two, 1), 0xf0);
    if (i < 7) return digits(tripled(first, 2 * (i - 5)));
    __m256i last = _mm256_xor_si256(_mm256_set1_epi32(dword_bits(s + 48)), top);         /* a dword a power */
    last = _mm256_blend_epi32(last, tripled(last, 1), 0xaa);
    last = _mm256_blend_epi32(last, tripled(last, 2), 0xcc);
    return digits(_mm256_blend_epi32(tripled(two, 4), last, 0xf0));
}

/* The i-th 32 elements of a block as unsigned bytes, GRID_LESS too large or without their signs. */
INLINE __m256i grid_bytes(const int type, const uint8_t *s, const grid_block *g, const int i)
{
    const uint16_t *at = g->at + (IS_IQ3(type) ? 8 : 4) * i;
    const uint8_t *low = s + 2 + 8 * i;
    switch (type) {
    case KER_IQ2_XXS: return four_rows(ker_wide_iq2_xxs, FOUR_AT(low));
    case KER_IQ2_XS: return four_rows(ker_wide_iq2_xs, FOUR_AT(at));
    case KER_IQ2_S: return four_rows(ker_wide_iq2_s, FOUR_AT(at));
    case KER_IQ3_XXS: return _mm256_set_m128i(four_fours(ker_wide_iq3_xxs, FOUR_AT(low + 4)), four_fours(ker_wide_iq3_xxs, FOUR_AT(low)));
    case KER_IQ3_S: return _mm256_set_m128i(four_fours(ker_wide_iq3_s, FOUR_AT(at + 4)), four_fours(ker_wide_iq3_s, FOUR_AT(at)));
    case KER_IQ1_S: return _mm256_add_epi8(four_rows(ker_wide_iq1, FOUR_AT(at)), _mm256_set1_epi8((char)g->minus[i]));
    case KER_IQ1_M: return _mm256_add_epi8(four_rows(ker_wide_iq1, FOUR_AT(at)), spread8(g->minus + 4 * i));
    case KER_TQ1_0: return tq1_bytes(s, i);
    default: return bits_at(load32(s + 32 * (i / 4)), 2 * (i % 4), 0, 3);
    }
}
/* Signs of the i-th 32 elements as 1 and -1. */
INLINE __m256i grid_signs(const int type, const uint8_t *s, const grid_block *g, const int i)
{
    const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    __m256i x = spread8((type == KER_IQ2_S ? s + 34 : type == KER_IQ3_S ? s + 74 : g->minus) + 4 * i);
    return _mm256_or_si256(_mm256_cmpeq_epi8(_mm256_and_si256(x, bit), bit), _mm256_set1_epi8(1));
}

/* The floats of eight rows' blocks. */
INLINE __m256 grid_d(const int type, const uint8_t *const row[8], int64_t at)
{
    const float part = type == KER_IQ3_S || IS_TERNARY(type) ? 1 : type == KER_IQ3_XXS ? .25f : .125f;
    if (type != KER_IQ1_M)
        return _mm256_mul_ps(halves8(row, at + (type == KER_TQ1_0 ? 52 : type == KER_TQ2_0 ? 64 : 0)), _mm256_set1_ps(part));
    uint16_t d[8];
    UNROLL for (int i = 0; i < 8; i++) {                 /* the top nibbles of four words */
        uint64_t four;
        memcpy(&four, row[i] + at + 48, 8);
        d[i] = (uint16_t)_pext_u64(four, 0xf000f000f000f000u);
    }
    return _mm256_mul_ps(_mm256_cvtph_ps(load16(d)), _mm256_set1_ps(part));
}

/* ---- few rows of activations ---- */

INLINE void dec_grid(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1, float *y, int64_t y_stride, const int type, const int bytes)
{
    const few_at in = few_offsets(act, w->n_in, 256);
    for (int64_t o = o0; o < o1; o += 8) {
        const uint8_t *row[8];
        const int live = rows8(w, o, o1, row);
        const int64_t far = fetch_ahead(w, o, o1, 8);
        __m256 acc[FEW];
        EACH(r) acc[r] = _mm256_setzero_ps();
        for (int64_t b = 0, at = 0; at < w->row_bytes; b++, at += bytes) {
            __m256i p[FEW][8], all[8];
            grid_block blocks[8];
            for (int k = 0; k < 8; k++) {            /* apart: what is stored here is read some rows later */
                fetch(row[k] + at + far, at, bytes);
                all[k] = grid_prepare(type, row[k] + at, &blocks[k]);
            }
            for (int k = 0; k < 8; k++) {
                const uint8_t *s = row[k] + at;
                const grid_block *g = &blocks[k];
                __m256i words = all[k], sum[FEW];
                few_scales sc = few_both(words);
                UNROLL for (int i = 0; i < 8; i++) {
                    __m256i v = grid_bytes(type, s, g, i), sign = HAS_MINUS(type) ? grid_signs(type, s, g, i) : v, by = few_scale(sc, GRID_SUB(type), i);
                    EACH(r) {
                        __m256i a = load32(ROW(r) + 256 * b + 32 * i), part = _mm256_maddubs_epi16(v, HAS_MINUS(type) ? _mm256_sign_epi8(a, sign) : a);
                        if (IS_TERNARY(type))                        /* eight sums of two of at most 2 * 127: words */
                            sum[r] = i ? _mm256_add_epi16(sum[r], part) : part;
                        else
                            sum[r] = i ? _mm256_add_epi32(sum[r], _mm256_madd_epi16(part, by)) : _mm256_madd_epi16(part, by);
                        __asm__("" : "+x"(sum[r]));      /* as in dec_256 */
                    }
                }
                EACH(r) {
                    const __m256i less = _mm256_mullo_epi16(words, _mm256_set1_epi16(GRID_LESS(type)));
                    if (IS_TERNARY(type)) sum[r] = _mm256_madd_epi16(sum[r], _mm256_set1_epi16(1));
                    if (GRID_LESS(type) && GRID_SUB(type) == 16)
                        sum[r] = _mm256_sub_epi32(sum[r], _mm256_madd_epi16(less, FEW_SUM16(r, b)));
                    else if (GRID_LESS(type))
                        sum[r] = _mm256_sub_epi32(sum[r], _mm256_zextsi128_si256(_mm_madd_epi16(_mm256_castsi256_si128(less), FEW_SUM32(r, b))));
                    p[r][k] = sum[r];
                }
            }
            __m256 d = grid_d(type, row, at);
            EACH(r) {
                __m256 da = FEW_D(r, b);
                acc[r] = _mm256_fmadd_ps(_mm256_mul_ps(d, da), _mm256_cvtepi32_ps(fold8(p[r])), acc[r]);
            }
        }
        EACH(r) put_y(y + r * y_stride + o, live, acc[r]);
    }
}

FEW_TYPE(few_iq2xxs, dec_grid, KER_IQ2_XXS, 66)
FEW_TYPE(few_iq2xs, dec_grid, KER_IQ2_XS, 74)
FEW_TYPE(few_iq2s, dec_grid, KER_IQ2_S, 82)
FEW_TYPE(few_iq3xxs, dec_grid, KER_IQ3_XXS, 98)
FEW_TYPE(few_iq3s, dec_grid, KER_IQ3_S, 110)
FEW_TYPE(few_iq1s, dec_grid, KER_IQ1_S, 50)
FEW_TYPE(few_iq1m, dec_grid, KER_IQ1_M, 56)
FEW_TYPE(few_tq1, dec_grid, KER_TQ1_0, 54)
FEW_TYPE(few_tq2, dec_grid, KER_TQ2_0, 66)

/* ---- tiles ---- */

INLINE void tile_grid(tile256 *t, const uint8_t *const row[8], int64_t at, const int type)
{
    uint8_t bytes[8][256] __attribute__((aligned(32)));
    int16_t scales[8][16] __attribute__((aligned(32)));
    const uint8_t *from[8], *words[8];
    for (int k = 0; k < 8; k++) {
        const uint8_t *s = row[k] + at;
        grid_block g;
        put(scales[k], grid_prepare(type, s, &g));
        UNROLL for (int i = 0; i < 8; i++) {
            __m256i v = grid_bytes(type, s, &g, i);
            put(bytes[k] + 32 * i, HAS_MINUS(type) ? _mm256_sign_epi8(v, grid_signs(type, s, &g, i)) : v);
        }
        from[k] = bytes[k];
        words[k] = (const uint8_t *)scales[k];
    }
    for (int i = 0; i < 8; i++) {
        __m256i v[8];
        columns32(from, 32 * i, v);
        UNROLL for (int k = 0; k < 8; k++) put(t->w[8 * i + k], v[k]);
    }
    __m256i v[8];
    columns32(words, 0, v);                          /* pairs of scales: the eight of 32 elements are in the first four */
    const int n = GRID_SUB(type) == 16 ? 8 : 4;
    UNROLL for (int k = 0; k < n; k++) {
        put(t->sc[2 * k], in_both_words(v[k]));
        put(t->sc[2 * k + 1], in_both_words(_mm256_srli_epi32(v[k], 16)));
    }
    _mm256_storeu_ps(t->d, grid_d(type, row, at));
}
#define TILE_GRID(name, type) static void name(void *t, const uint8_t *const row[8], int64_t at) { tile_grid(t, row, at, type); }
TILE_GRID(tile_iq2xxs, KER_IQ2_XXS)
TILE_GRID(tile_iq2xs, KER_IQ2_XS)
TILE_GRID(tile_iq2s, KER_IQ2_S)
TILE_GRID(tile_iq3xxs, KER_IQ3_XXS)
TILE_GRID(tile_iq3s, KER_IQ3_S)
TILE_GRID(tile_iq1s, KER_IQ1_S)
TILE_GRID(tile_iq1m, KER_IQ1_M)
TILE_GRID(tile_tq1, KER_TQ1_0)
TILE_GRID(tile_tq2, KER_TQ2_0)
