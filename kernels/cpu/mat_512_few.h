/* kernels/cpu/mat_512_few: products of Q2_K and Q3_K for few activation rows (n <= 4), by the means of mat_512_decode.h: sixteen
 * rows of the matrix together, straight from the file's layout. Included behind it by mat_512.h.
 *
 * 64 bytes hold the bits of 256 elements in pairs: shifted right by 2s they are elements 32s to 32s + 31 of both halves of 128.
 * So lane L of 128 bits of the s-th vector is sub-block (L & 1) + 2s + 8 (L / 2). Sums of four products of at most 7 by 127 fit
 * int16: two vectors of them pack into one and meet their scales in one multiply-add of words. */

/* Scale words of row e of two, vectors 2p and 2p + 1. */
#define FEW_SUB(e, L, s) (16 * (e) + ((L) & 1) + 2 * (s) + 8 * ((L) / 2))
#define FEW_LANE(e, p, L) W4(FEW_SUB(e, L, 2 * (p))), W4(FEW_SUB(e, L, 2 * (p) + 1))
#define FEW_SCALE(e, p) { FEW_LANE(e, p, 0), FEW_LANE(e, p, 1), FEW_LANE(e, p, 2), FEW_LANE(e, p, 3) }
static const uint16_t few_scale_at[2][2][32] __attribute__((aligned(64))) = {
    { FEW_SCALE(0, 0), FEW_SCALE(0, 1) }, { FEW_SCALE(1, 0), FEW_SCALE(1, 1) },
};

/* The 256 activations of a block as four vectors, in the order of the weights'. */
INLINE void few_act(const char *q, __m512i a[4])
{
    UNROLL for (int s = 0; s < 4; s++)
        a[s] = two32(q + 32 * s, q + 128 + 32 * s);
}

/* Sixteen scales of Q3_K of a row in each lane of 128 bits, out of the sixteen bytes from byte 94 of a block, which hold them from
 * the third on (unpack_few.c). */
INLINE __m512i q3_scales(__m512i x)
{
    const __m512i low_at = _mm512_broadcast_i32x4(_mm_setr_epi8(2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5, 6, 7, 8, 9));
    const __m512i high_at = _mm512_broadcast_i32x4(_mm_setr_epi8(10, 11, 12, 13, 10, 11, 12, 13, 10, 11, 12, 13, 10, 11, 12, 13));
    const __m512i low_shift = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0, 4, 4)), high_shift = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 2, 4, 6));
    __m512i low = _mm512_and_si512(_mm512_srlv_epi32(_mm512_shuffle_epi8(x, low_at), low_shift), _mm512_set1_epi8(15));
    __m512i high = _mm512_and_si512(_mm512_srlv_epi32(_mm512_shuffle_epi8(x, high_at), high_shift), _mm512_set1_epi8(3));
    return _mm512_sub_epi8(_mm512_or_si512(low, _mm512_slli_epi16(high, 4)), _mm512_set1_epi8(32));
}

/* v[i] holds rows 2i and 2i + 1, eight dwords of each: their sums in row order. */
INLINE __m512i fold_pairs(const __m512i v[8])
{
    __m512i s = fold_lanes(fold4(v[0], v[1], v[2], v[3]), fold4(v[4], v[5], v[6], v[7]));
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15), s);
}

INLINE void dec_q2k(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1,
                    float *y, int64_t y_stride)
{
    const __m512i pair = _mm512_set1_epi8(3), z = _mm512_setzero_si512();
    const __m256i nib = _mm256_set1_epi8(15);
    const uint8_t *row[16];
    for (int64_t o = o0; o < o1; o += 16) {
        __mmask16 live = rows16(w, o, o1, row);
        const int64_t far = fetch_ahead(w, o, o1, 16);
        __m512 acc[4];
        EACH(r) acc[r] = _mm512_setzero_ps();
        for (int64_t b = 0, at = 0; at < w->row_bytes; b++, at += 84) {
            __m512i a[4][4], sums[4], u[4][4], low[4][8];
            EACH(r) {
                few_act(ROW(r) + 256 * b, a[r]);
                sums[r] = _mm512_broadcast_i64x4(load32(mat_q8_256(ROW(r), w->n_in).sum16 + 16 * b));
            }
            UNROLL for (int q = 0; q < 4; q++) {
                __m512i p[4][4];
                UNROLL for (int g = 0; g < 4; g += 2) {      /* two rows' scales and minima */
                    __m256i head = _mm256_set_m128i(load16(row[4 * q + g + 1] + at), load16(row[4 * q + g] + at));
                    __m512i sc = _mm512_cvtepu8_epi16(_mm256_and_si256(head, nib));
                    __m512i mn = _mm512_cvtepu8_epi16(_mm256_and_si256(_mm256_srli_epi16(head, 4), nib));
                    EACH(r) low[r][2 * q + g / 2] = _mm512_madd_epi16(mn, sums[r]);
                    UNROLL for (int e = 0; e < 2; e++) {
                        const uint8_t *s = row[4 * q + g + e] + at;
                        fetch(s + far, at, 84);
                        __m512i x = load64(s + 16), s0 = _mm512_permutexvar_epi16(_mm512_load_si512(few_scale_at[e][0]), sc);
                        __m512i s1 = _mm512_permutexvar_epi16(_mm512_load_si512(few_scale_at[e][1]), sc);
                        __m512i v[4] = { _mm512_and_si512(x, pair), _mm512_and_si512(_mm512_srli_epi16(x, 2), pair),
                                         _mm512_and_si512(_mm512_srli_epi16(x, 4), pair), _mm512_and_si512(_mm512_srli_epi16(x, 6), pair) };
                        EACH(r) {
                            __m512i d0 = _mm512_packs_epi32(dpb_small(z, v[0], a[r][0]), dpb_small(z, v[1], a[r][1]));
                            __m512i d1 = _mm512_packs_epi32(dpb_small(z, v[2], a[r][2]), dpb_small(z, v[3], a[r][3]));
                            p[r][g + e] = dpw(_mm512_madd_epi16(d0, s0), d1, s1);
                        }
                    }
                }
                EACH(r) u[r][q] = fold4(p[r][0], p[r][1], p[r][2], p[r][3]);
            }
            __m512i halves = dwords16(row, at + 80);
            __m512 d = low_halves(halves), m = high_halves(halves);
            EACH(r) {
                __m512i isum = fold_lanes(fold_lanes(u[r][0], u[r][1]), fold_lanes(u[r][2], u[r][3]));
                __m512 da = _mm512_set1_ps(mat_q8_256(ROW(r), w->n_in).d[b]);
                acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(d, da), _mm512_cvtepi32_ps(isum), acc[r]);
                acc[r] = _mm512_fnmadd_ps(_mm512_mul_ps(m, da), _mm512_cvtepi32_ps(fold_pairs(low[r])), acc[r]);
            }
        }
        EACH(r) _mm512_mask_storeu_ps(y + r * y_stride + o, live, acc[r]);
    }
}

/* The values are 0..7 minus 4: each sum of four products starts from -4 * (the four activations). */
INLINE void dec_q3k(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1,
                    float *y, int64_t y_stride)
{
    const __m512i pair = _mm512_set1_epi8(3), third = _mm512_set1_epi8(4), z = _mm512_setzero_si512();
    const __m512i rot[4] = {           /* bit s of the low half, bit 4 + s of the high one, to bit 2 */
        _mm512_inserti64x4(_mm512_set1_epi32(2), _mm256_set1_epi32(30), 1), _mm512_inserti64x4(_mm512_set1_epi32(1), _mm256_set1_epi32(29), 1),
        _mm512_inserti64x4(_mm512_set1_epi32(0), _mm256_set1_epi32(28), 1), _mm512_inserti64x4(_mm512_set1_epi32(31), _mm256_set1_epi32(27), 1),
    };
    const uint8_t *row[16];
    for (int64_t o = o0; o < o1; o += 16) {
        __mmask16 live = rows16(w, o, o1, row);
        const int64_t far = fetch_ahead(w, o, o1, 16);
        __m512 acc[4];
        EACH(r) acc[r] = _mm512_setzero_ps();
        for (int64_t b = 0, at = 0; at < w->row_bytes; b++, at += 110) {
            __m512i a[4][4], c[4][4], u[4][4];
            EACH(r) {
                few_act(ROW(r) + 256 * b, a[r]);
                UNROLL for (int s = 0; s < 4; s++)
                    c[r][s] = _mm512_sub_epi32(z, dpb_small(z, third, a[r][s]));
            }
            UNROLL for (int q = 0; q < 4; q++) {
                __m512i p[4][4], bytes = q3_scales(four16(row[4 * q] + at + 94, row[4 * q + 1] + at + 94, row[4 * q + 2] + at + 94, row[4 * q + 3] + at + 94));
                UNROLL for (int g = 0; g < 4; g += 2) {
                    __m512i sc = _mm512_cvtepi8_epi16(g ? _mm512_extracti64x4_epi64(bytes, 1) : _mm512_castsi512_si256(bytes));
                    UNROLL for (int e = 0; e < 2; e++) {
                        const uint8_t *s = row[4 * q + g + e] + at;
                        fetch(s + far, at, 110);
                        __m512i x = load64(s + 32), hi = _mm512_broadcast_i64x4(load32(s)), v[4];
                        UNROLL for (int k = 0; k < 4; k++)
                            v[k] = _mm512_ternarylogic_epi32(_mm512_and_si512(_mm512_srli_epi16(x, (unsigned)(2 * k)), pair), _mm512_rolv_epi32(hi, rot[k]), third, 0xf8);
                        __m512i s0 = _mm512_permutexvar_epi16(_mm512_load_si512(few_scale_at[e][0]), sc);
                        __m512i s1 = _mm512_permutexvar_epi16(_mm512_load_si512(few_scale_at[e][1]), sc);
                        EACH(r) {
                            __m512i d0 = _mm512_packs_epi32(dpb_small(c[r][0], v[0], a[r][0]), dpb_small(c[r][1], v[1], a[r][1]));
                            __m512i d1 = _mm512_packs_epi32(dpb_small(c[r][2], v[2], a[r][2]), dpb_small(c[r][3], v[3], a[r][3]));
                            p[r][g + e] = dpw(_mm512_madd_epi16(d0, s0), d1, s1);
                        }
                    }
                }
                EACH(r) u[r][q] = fold4(p[r][0], p[r][1], p[r][2], p[r][3]);
            }
            __m512 d = halves16(row, at + 108);
            EACH(r) {
                __m512i isum = fold_lanes(fold_lanes(u[r][0], u[r][1]), fold_lanes(u[r][2], u[r][3]));
                __m512 da = _mm512_set1_ps(mat_q8_256(ROW(r), w->n_in).d[b]);
                acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(d, da), _mm512_cvtepi32_ps(isum), acc[r]);
            }
        }
        EACH(r) _mm512_mask_storeu_ps(y + r * y_stride + o, live, acc[r]);
    }
}
