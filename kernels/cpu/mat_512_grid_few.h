/* kernels/cpu/mat_512_grid_few: the types of mat_512_grid.h for few activation rows (n <= 4), straight from the file's layout; included
 * behind it by mat_512.h.
 *
 * A vector holds one number of each of 64 rows of a grid, not rows one after another: looked up 64 at a time, the low and high bytes of
 * rows are codes already, which a table by six bits, signs among them, turns into bytes; what else a byte holds does not count. Activations
 * are put in that order instead, once for sixteen rows. What signs and sub-blocks belong to is arranged so that a dword's four products
 * are of one sub-block. All weights are GRID_LESS too large; sums begin with what takes that away. */

/* What codes in bits 0 and 1, or 2 and 3, mean; of IQ2 with the sign in bit 4 or 5. */
#define IQ2_SIGNED(c, code, sign) ((c) >> (sign) & 1 ? 2 * GRID_LESS - IQ2_VALUE((c) >> (code)) : IQ2_VALUE((c) >> (code)))
#define IQ2_FIRST(c) IQ2_SIGNED(c, 0, 4)
#define IQ2_SECOND(c) IQ2_SIGNED(c, 2, 5)
#define IQ1_SECOND(c) IQ1_VALUE((c) >> 2)
static const uint8_t grid_pairs[2][2][64] __attribute__((aligned(64))) = {
    { { TIMES_64(IQ2_FIRST, 0) }, { TIMES_64(IQ2_SECOND, 0) } }, { { TIMES_64(IQ1_VALUE, 0) }, { TIMES_64(IQ1_SECOND, 0) } },
};

/* v[i] holds rows 2i and 2i + 1, eight dwords of each: their sums in row order. */
INLINE __m512i fold_pairs(const __m512i v[8])
{
    __m512i s = fold_lanes(fold4(v[0], v[1], v[2], v[3]), fold4(v[4], v[5], v[6], v[7]));
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15), s);
}

/* ---- rows of eight ----
 *
 * The low and high bytes of rows (numbers 0 to 3 and 4 to 7) interleaved by words: dword t of a sixteen has number i of its two rows and
 * number 4 + i of both. Half 0 has sixteens 0 to 3 and 8 to 11 of one row of the matrix, then of the next; half 1 the others. */

/* Bytes of 64 activations by lane of 128 bits: lane i is what number i meets. */
#define EIGHTS_AT(i) (16 * ((i) % 16 / 4) + (i) / 16 + ((i) % 4 == 0 ? 0 : (i) % 4 == 1 ? 8 : (i) % 4 == 2 ? 4 : 12))
static const uint8_t eights_order[64] __attribute__((aligned(64))) = { TIMES_64(EIGHTS_AT, 0) };

/* Where in its 64 bits the scale of each dword's sixteen begins, less one bit (scales_in_bits); only the first byte of a dword counts. */
#define EIGHTS_BIT(at, t) (((at(t)) + 63) & 63), 0, 0, 0
#define EIGHTS_LANE(at, t) EIGHTS_BIT(at, t), EIGHTS_BIT(at, (t) + 1), EIGHTS_BIT(at, (t) + 2), EIGHTS_BIT(at, (t) + 3)
#define EIGHTS_BITS(at, t) { EIGHTS_LANE(at, t), EIGHTS_LANE(at, (t) + 8), EIGHTS_LANE(at, t), EIGHTS_LANE(at, (t) + 8) }
static const uint8_t eights_bit[2][2][64] __attribute__((aligned(64))) = {
    { EIGHTS_BITS(NIBBLE_OF_16, 0), EIGHTS_BITS(NIBBLE_OF_16, 4) }, { EIGHTS_BITS(THREE_BITS, 0), EIGHTS_BITS(THREE_BITS, 4) },
};

/* x | 1 where `mask` lets through; as dwords. */
INLINE __m512i odd_dwords(__m512i x, const int mask) { return _mm512_ternarylogic_epi32(x, _mm512_set1_epi32(mask), _mm512_set1_epi32(1), 0xea); }

/* The scales of both halves' dwords. */
INLINE void eights_scales(const int type, const uint8_t *s0, const uint8_t *s1, __m512i scale[2])
{
    if (type == KER_IQ2_XXS || type == KER_IQ1_S) {  /* one for two sixteens */
        __m512i x = type == KER_IQ2_XXS ? every_other(s0 + 2, s1 + 2, 1) : _mm512_cvtepu16_epi32(_mm256_set_m128i(load16(s1 + 34), load16(s0 + 34)));
        x = type == KER_IQ2_XXS ? odd_dwords(_mm512_srli_epi32(x, 27), 0x1e) : odd_dwords(_mm512_srli_epi32(x, 11), 0x0e);
        scale[0] = _mm512_unpacklo_epi32(x, x);
        scale[1] = _mm512_unpackhi_epi32(x, x);
        return;
    }
    const int at = type == KER_IQ2_XS ? 66 : type == KER_IQ2_S ? 74 : 48;
    __m512i x = _mm512_inserti64x4(qwords(s0 + at), _mm512_castsi512_si256(qwords(s1 + at)), 1);
    UNROLL for (int h = 0; h < 2; h++)
        scale[h] = odd_dwords(_mm512_multishift_epi64_epi8(_mm512_load_si512(eights_bit[type == KER_IQ1_M][h]), x), type == KER_IQ1_M ? 0x0e : 0x1e);
}

/* A block's activations: what each half's numbers meet, what its sums begin with, and (IQ1) the sums of eights as words. */
typedef struct eights_act { __m512i a[2][4], less[2], eight[2]; } eights_act;
INLINE void eights_prepare(const int type, const char *q, const int16_t *sum16, eights_act *x)
{
    const __m512i z = _mm512_setzero_si512(), s = _mm512_mullo_epi32(_mm512_cvtepi16_epi32(load32(sum16)), _mm512_set1_epi32(-GRID_LESS));
    __m512i y[4];
    UNROLL for (int m = 0; m < 4; m++) y[m] = _mm512_permutexvar_epi8(load64(eights_order), load64(q + 64 * m));
    x->less[0] = _mm512_shuffle_i32x4(s, s, 0x88);
    x->less[1] = _mm512_shuffle_i32x4(s, s, 0xdd);
    UNROLL for (int h = 0; h < 2; h++) {
        UNROLL for (int i = 0; i < 4; i++) {
            const __m512i at = _mm512_add_epi64(_mm512_setr_epi64(0, 1, 8, 9, 0, 1, 8, 9), _mm512_set1_epi64(2 * i));
            x->a[h][i] = _mm512_permutex2var_epi64(y[h], at, y[2 + h]);
        }
        if (GRID_IQ1(type)) {
            __m512i even = z, odd = z;
            UNROLL for (int i = 0; i < 4; i++) {
                even = dpb(even, _mm512_set1_epi16(0x0001), x->a[h][i]);
                odd = dpb(odd, _mm512_set1_epi16(0x0100), x->a[h][i]);
            }
            x->eight[h] = _mm512_mask_blend_epi16(0xaaaaaaaa, even, _mm512_slli_epi32(odd, 16));
        }
    }
}

/* Signs of a dword's numbers into bits 4 and 5 of their codes: words are numbers 0 to 3, by bits 0 to 3, and 4 to 7, by bits 4 to 7. */
INLINE void eights_signs(__m512i codes[2], __m512i signs)
{
    const __m512i first = _mm512_sllv_epi16(signs, _mm512_set1_epi32(4)), nib = _mm512_set1_epi8(15);
    codes[0] = _mm512_ternarylogic_epi32(nib, codes[0], first, 0xca);      /* nib ? codes : signs */
    codes[1] = _mm512_ternarylogic_epi32(nib, codes[1], _mm512_srli_epi16(first, 2), 0xca);
}

INLINE void dec_eights(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1,
                       float *y, int64_t y_stride, const int type)
{
    const int bytes = GRID_BYTES(type), n = GRID_ROWS(type);
    const uint8_t *row[16];
    for (int64_t o = o0; o < o1; o += 16) {
        __mmask16 live = rows16(w, o, o1, row);
        const int64_t far = fetch_ahead(w, o, o1, 16);
        __m512 acc[4];
        EACH(r) acc[r] = _mm512_setzero_ps();
        for (int64_t b = 0, at = 0; at < w->row_bytes; b++, at += bytes) {
            eights_act x[4];
            __m512i p[4][8];
            EACH(r) eights_prepare(type, ROW(r) + 256 * b, mat_q8_256(ROW(r), w->n_in).sum16 + 16 * b, &x[r]);
            for (int i = 0; i < 8; i++) {                /* not unrolled: the code of two rows is long, and sums in memory cost less */
                const uint8_t *s0 = row[2 * i] + at, *s1 = row[2 * i + 1] + at;
                grid_places t;
                __m512i scale[2];
                fetch(s0 + far, at, bytes);
                fetch(s1 + far, at, bytes);
                grid_find(type, s0, s1, &t);
                eights_scales(type, s0, s1, scale);
                const __m512i low = look_up(GRID_OF(type), n, t.at[0], t.from[0]), high = look_up(GRID_OF(type) + n, n, t.at[0], t.from[0]);
                UNROLL for (int h = 0; h < 2; h++) {
                    __m512i codes[2];
                    codes[0] = h ? _mm512_unpackhi_epi16(low, high) : _mm512_unpacklo_epi16(low, high);
                    codes[1] = _mm512_srli_epi16(codes[0], 4);
                    if (!GRID_IQ1(type)) eights_signs(codes, h ? _mm512_unpackhi_epi16(t.signs, t.signs) : _mm512_unpacklo_epi16(t.signs, t.signs));
                    const __mmask32 more = GRID_IQ1(type) ? (__mmask32)_pext_u64(t.more, h ? 0xff00ff00ff00ff00u : 0x00ff00ff00ff00ffu) : 0;
                    __m512i sum[4];
                    EACH(r) sum[r] = GRID_IQ1(type) ? dpw(x[r].less[h], _mm512_maskz_set1_epi16(more, 2), x[r].eight[h]) : x[r].less[h];
                    UNROLL for (int k = 0; k < 4; k++) {
                        const __m512i v = _mm512_permutexvar_epi8(codes[k / 2], load64(grid_pairs[GRID_IQ1(type)][k % 2]));
                        EACH(r) sum[r] = dpb(sum[r], v, x[r].a[h][k]);
                    }
                    EACH(r) {
                        sum[r] = _mm512_mullo_epi32(sum[r], scale[h]);
                        p[r][i] = h ? _mm512_add_epi32(p[r][i], sum[r]) : sum[r];
                    }
                }
            }
            __m512 d = grid_d(type, row, at);
            EACH(r) {
                __m512 da = _mm512_set1_ps(mat_q8_256(ROW(r), w->n_in).d[b]);
                acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(d, da), _mm512_cvtepi32_ps(fold_pairs(p[r])), acc[r]);
            }
        }
        EACH(r) _mm512_mask_storeu_ps(y + r * y_stride + o, live, acc[r]);
    }
}

/* ---- rows of four: a vector is number i of the 64 rows of one block, a dword a sixteen ---- */

#define FOURS_AT(i) (4 * ((i) % 16) + (i) / 16)
#define EACH_TWICE(i) ((i) / 2)
#define FOURS_BIT(i) ((i) % 4 ? 0 : (4 * ((i) / 8) + 63) & 63)      /* as eights_bit */
static const uint8_t fours_order[64] __attribute__((aligned(64))) = { TIMES_64(FOURS_AT, 0) };
static const uint8_t each_twice[64] __attribute__((aligned(64))) = { TIMES_64(EACH_TWICE, 0) };
static const uint8_t fours_bit[64] __attribute__((aligned(64))) = { TIMES_64(FOURS_BIT, 0) };

INLINE void fours_scales(const int type, const uint8_t *s0, const uint8_t *s1, __m512i scale[2])
{
    if (type == KER_IQ3_S) {
        UNROLL for (int e = 0; e < 2; e++)
            scale[e] = odd_dwords(_mm512_multishift_epi64_epi8(load64(fours_bit), _mm512_set1_epi32(dword_bits((e ? s1 : s0) + 106))), 0x1e);
        return;
    }
    const __m512i x = odd_dwords(_mm512_srli_epi32(two32(s0 + 66, s1 + 66), 27), 0x1e), at = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    scale[0] = _mm512_permutexvar_epi32(at, x);
    scale[1] = _mm512_permutexvar_epi32(_mm512_add_epi32(at, _mm512_set1_epi32(8)), x);
}

INLINE void dec_fours(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1,
                      float *y, int64_t y_stride, const int type)
{
    const int bytes = GRID_BYTES(type), n = GRID_ROWS(type);
    const __m512i twice = _mm512_set1_epi8((char)(2 * GRID_LESS)), value = load64(grid_value[GRID_MEANS(type)]);
    const uint8_t *row[16];
    for (int64_t o = o0; o < o1; o += 16) {
        __mmask16 live = rows16(w, o, o1, row);
        const int64_t far = fetch_ahead(w, o, o1, 16);
        __m512 acc[4];
        EACH(r) acc[r] = _mm512_setzero_ps();
        for (int64_t b = 0, at = 0; at < w->row_bytes; b++, at += bytes) {
            __m512i a[4][4], less[4], p[4][16], u[4][4];
            EACH(r) {
                UNROLL for (int m = 0; m < 4; m++) a[r][m] = _mm512_permutexvar_epi8(load64(fours_order), load64(ROW(r) + 256 * b + 64 * m));
                transpose_lanes(a[r]);
                less[r] = _mm512_mullo_epi32(_mm512_cvtepi16_epi32(load32(mat_q8_256(ROW(r), w->n_in).sum16 + 16 * b)), _mm512_set1_epi32(-GRID_LESS));
            }
            for (int i = 0; i < 16; i += 2) {            /* not unrolled, as above */
                const uint8_t *s0 = row[i] + at, *s1 = row[i + 1] + at;
                grid_places t;
                __m512i scale[2];
                fetch(s0 + far, at, bytes);
                fetch(s1 + far, at, bytes);
                grid_find(type, s0, s1, &t);
                fours_scales(type, s0, s1, scale);
                UNROLL for (int e = 0; e < 2; e++) {
                    const __m512i low = look_up(GRID_OF(type), n, t.at[e], t.from[e]), high = look_up(GRID_OF(type) + n, n, t.at[e], t.from[e]);
                    const __m512i codes[4] = { low, _mm512_srli_epi16(low, 4), high, _mm512_srli_epi16(high, 4) };
                    const __m512i signs = _mm512_permutexvar_epi8(_mm512_add_epi8(load64(each_twice), _mm512_set1_epi8((char)(32 * e))), t.signs);
                    __m512i sum[4];
                    EACH(r) sum[r] = less[r];
                    UNROLL for (int k = 0; k < 4; k++) {
                        __m512i v = _mm512_permutexvar_epi8(codes[k], value);
                        v = _mm512_mask_sub_epi8(v, _mm512_test_epi8_mask(signs, _mm512_set1_epi16((short)(0x1001 << k))), twice, v);
                        EACH(r) sum[r] = dpb(sum[r], v, a[r][k]);
                    }
                    EACH(r) p[r][i + e] = _mm512_mullo_epi32(sum[r], scale[e]);
                }
            }
            __m512 d = grid_d(type, row, at);
            EACH(r) {
                UNROLL for (int q = 0; q < 4; q++) u[r][q] = fold4(p[r][4 * q], p[r][4 * q + 1], p[r][4 * q + 2], p[r][4 * q + 3]);
                __m512i isum = fold_lanes(fold_lanes(u[r][0], u[r][1]), fold_lanes(u[r][2], u[r][3]));
                __m512 da = _mm512_set1_ps(mat_q8_256(ROW(r), w->n_in).d[b]);
                acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(d, da), _mm512_cvtepi32_ps(isum), acc[r]);
            }
        }
        EACH(r) _mm512_mask_storeu_ps(y + r * y_stride + o, live, acc[r]);
    }
}

/* ---- ternary: digits of two bits stay in their bytes, those of odd places four times too large, and so is the whole sum ---- */

/* A block of TQ1_0 by bytes: digit k of 32, of 16, of 4, of 12 that are not looked at. */
INLINE __m512i tq1_act(const char *q, const int k)
{
    __m512i v = _mm512_inserti32x4(_mm512_zextsi256_si512(load32(q + 32 * k)), load16(q + 160 + 16 * k), 2);
    return k == 4 ? v : _mm512_mask_set1_epi32(v, 1 << 12, dword_bits((const uint8_t *)q + 240 + 4 * k));
}

INLINE void dec_ternary(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1,
                        float *y, int64_t y_stride, const int type)
{
    const int bytes = GRID_BYTES(type), digits = type == KER_TQ1_0 ? 5 : 4;
    const __m512i z = _mm512_setzero_si512(), first = _mm512_set1_epi8(3), second = _mm512_set1_epi8(0x0c);
    const uint8_t *row[16];
    for (int64_t o = o0; o < o1; o += 16) {
        __mmask16 live = rows16(w, o, o1, row);
        const int64_t far = fetch_ahead(w, o, o1, 16);
        __m512 acc[4];
        EACH(r) acc[r] = _mm512_setzero_ps();
        for (int64_t b = 0, at = 0; at < w->row_bytes; b++, at += bytes) {
            __m512i a[4][5], less[4], u[4][4];
            EACH(r) {
                __m512i sum = z;
                if (type == KER_TQ2_0) few_act(ROW(r) + 256 * b, a[r]);
                UNROLL for (int k = 0; k < digits; k++) {
                    if (type == KER_TQ1_0) a[r][k] = tq1_act(ROW(r) + 256 * b, k);
                    sum = dpb(sum, _mm512_set1_epi8(4), a[r][k]);
                }
                less[r] = _mm512_sub_epi32(z, sum);
            }
            UNROLL for (int q = 0; q < 4; q++) {
                __m512i p[4][4];
                UNROLL for (int g = 0; g < 4; g++) {
                    const uint8_t *s = row[4 * q + g] + at;
                    __m512i x, fifth = z;
                    fetch(s + far, at, bytes);
                    if (type == KER_TQ1_0) {
                        __m512i places = _mm512_maskz_loadu_epi8((1ull << 52) - 1, s);
                        const __mmask64 from[4] = { _mm512_movepi8_mask(places) };
                        x = look_up(tq1_digits[0], 256, places, from);
                        fifth = look_up(tq1_digits[1], 256, places, from);
                    } else
                        x = load64_once(s);
                    const __m512i h = _mm512_srli_epi16(x, 4);
                    const __m512i v[4] = { _mm512_and_si512(x, first), _mm512_and_si512(x, second), _mm512_and_si512(h, first), _mm512_and_si512(h, second) };
                    EACH(r) {
                        __m512i once = dpb_small(dpb_small(type == KER_TQ1_0 ? dpb_small(z, fifth, a[r][4]) : z, v[0], a[r][0]), v[2], a[r][2]);
                        p[r][g] = _mm512_add_epi32(_mm512_slli_epi32(once, 2), dpb_small(dpb_small(less[r], v[1], a[r][1]), v[3], a[r][3]));
                    }
                }
                EACH(r) u[r][q] = fold4_small(p[r][0], p[r][1], p[r][2], p[r][3]);
            }
            __m512 d = grid_d(type, row, at);
            EACH(r) {
                __m512i isum = _mm512_srai_epi32(fold_lanes(fold_lanes(u[r][0], u[r][1]), fold_lanes(u[r][2], u[r][3])), 2);
                __m512 da = _mm512_set1_ps(mat_q8_256(ROW(r), w->n_in).d[b]);
                acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(d, da), _mm512_cvtepi32_ps(isum), acc[r]);
            }
        }
        EACH(r) _mm512_mask_storeu_ps(y + r * y_stride + o, live, acc[r]);
    }
}
