/* kernels/cpu/mat_512_few: products of Q2_K and Q3_K for few activation rows (n <= 4, with VNNI one), by the means of mat_512_decode.h: sixteen
 * rows of the matrix together, straight from the file's layout. Included behind it by mat_512.h.
 *
 * 64 bytes hold the bits of 256 elements in pairs: pair s of each byte is elements 32s to 32s + 31 of both halves of 128. So lane L of
 * 128 bits of the s-th vector is sub-block (L & 1) + 2s + 8 (L / 2). Pairs stay where they are in their bytes as far as four products
 * fit int16, so they are up to sixteen times too large, and their scales make up for it: what all of a block adds up to is sixteen
 * times the sum. Two vectors of sums pack into one and meet their scales in one multiply-add of words. */

/* Scale words of row e of four, vectors 2p and 2p + 1; as bytes they count the same, every other one. */
#define FEW_SUB(e, L, s) (16 * (e) + ((L) & 1) + 2 * (s) + 8 * ((L) / 2))
#define FEW_LANE(e, p, L) W4(FEW_SUB(e, L, 2 * (p))), W4(FEW_SUB(e, L, 2 * (p) + 1))
#define FEW_SCALE(e, p) { FEW_LANE(e, p, 0), FEW_LANE(e, p, 1), FEW_LANE(e, p, 2), FEW_LANE(e, p, 3) }
static const uint16_t few_scale_at[4][2][32] __attribute__((aligned(64))) = {
    { FEW_SCALE(0, 0), FEW_SCALE(0, 1) }, { FEW_SCALE(1, 0), FEW_SCALE(1, 1) },
    { FEW_SCALE(2, 0), FEW_SCALE(2, 1) }, { FEW_SCALE(3, 0), FEW_SCALE(3, 1) },
};

/* Unsigned scales of row e of four, sixteen bytes a row, for vectors 2p and 2p + 1. */
INLINE __m512i few_scales(__m512i four, const int e, const int p)
{
#ifdef PERMUTE_BYTES
    return _mm512_maskz_permutexvar_epi8(0x5555555555555555, _mm512_load_si512(few_scale_at[e][p]), four);
#else
    __m512i two = _mm512_cvtepu8_epi16(e / 2 ? _mm512_extracti64x4_epi64(four, 1) : _mm512_castsi512_si256(four));
    return _mm512_permutexvar_epi16(_mm512_load_si512(few_scale_at[e % 2][p]), two);
#endif
}

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

/* The sums of four vectors a row of sixteen, sixteen times too large. */
INLINE __m512 few_sum(const __m512i u[4])
{
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(fold_lanes(fold_lanes(u[0], u[1]), fold_lanes(u[2], u[3])), 4));
}

/* The minima, 16 times, high nibbles of bytes, meet the sums of sixteen activations in two parts, sum = low + 128 high: 8 high is a byte
 * too. Rows of a vector are 4 apart, so that one fold gives all in order. */
INLINE void dec_q2k(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1,
                    float *y, int64_t y_stride)
{
    const __m512i z = _mm512_setzero_si512(), nib = _mm512_set1_epi8(15);
    const __m512i pair[3] = { _mm512_set1_epi8(3), _mm512_set1_epi8(0x0c), _mm512_set1_epi8(0x30) };
    const __m512i by = _mm512_set1_epi64(0x0001000100040010);
    const uint8_t *row[16];
    for (int64_t o = o0; o < o1; o += 16) {
        __mmask16 live = rows16(w, o, o1, row);
        const int64_t far = fetch_ahead(w, o, o1, 16);
        __m512 acc[4];
        EACH(r) acc[r] = _mm512_setzero_ps();
        for (int64_t b = 0, at = 0; at < w->row_bytes; b++, at += 84) {
            __m512i a[4][4], u[4][4], low[4][4], sc[4];
            UNROLL for (int g = 0; g < 4; g++)
                sc[g] = four16(row[g] + at, row[4 + g] + at, row[8 + g] + at, row[12 + g] + at);
            EACH(r) {
                few_act(ROW(r) + 256 * b, a[r]);
                __m256i sum = load32(mat_q8_256(ROW(r), w->n_in).sum16 + 16 * b);
                __m512i part = _mm512_broadcast_i32x4(_mm256_cvtepi16_epi8(_mm256_and_si256(sum, _mm256_set1_epi16(127))));
                __m512i rest = _mm512_broadcast_i32x4(_mm256_cvtepi16_epi8(_mm256_slli_epi16(_mm256_srai_epi16(sum, 7), 3)));
                UNROLL for (int g = 0; g < 4; g++) {
                    __m512i mn = _mm512_andnot_si512(nib, sc[g]);
                    low[r][g] = dpb(dpb_small(z, _mm512_srli_epi16(mn, 4), part), mn, rest);
                }
            }
            UNROLL for (int g = 0; g < 4; g++) sc[g] = _mm512_mullo_epi16(_mm512_and_si512(sc[g], nib), by);
            UNROLL for (int q = 0; q < 4; q++) {
                __m512i p[4][4];
                UNROLL for (int g = 0; g < 4; g++) {
                    const uint8_t *s = row[4 * q + g] + at;
                    fetch(s + far, at, 84);
                    __m512i x = load64_once(s + 16), s0 = few_scales(sc[g], q, 0), s1 = few_scales(sc[g], q, 1);
                    __m512i v[4] = { _mm512_and_si512(x, pair[0]), _mm512_and_si512(x, pair[1]), _mm512_and_si512(x, pair[2]),
                                     _mm512_and_si512(_mm512_srli_epi16(x, 2), pair[2]) };
                    EACH(r) {
                        __m512i d0 = _mm512_packs_epi32(dpb_small(z, v[0], a[r][0]), dpb_small(z, v[1], a[r][1]));
                        __m512i d1 = _mm512_packs_epi32(dpb_small(z, v[2], a[r][2]), dpb_small(z, v[3], a[r][3]));
                        p[r][g] = dpw(_mm512_madd_epi16(d0, s0), d1, s1);
                    }
                }
                EACH(r) u[r][q] = fold4(p[r][0], p[r][1], p[r][2], p[r][3]);
            }
            __m512i halves = dwords16(row, at + 80);
            __m512 d = low_halves(halves), m = high_halves(halves);
            EACH(r) {
                __m512 da = _mm512_set1_ps(mat_q8_256(ROW(r), w->n_in).d[b]);
                acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(d, da), few_sum(u[r]), acc[r]);
                acc[r] = _mm512_fnmadd_ps(_mm512_mul_ps(m, da), _mm512_cvtepi32_ps(fold4(low[r][0], low[r][1], low[r][2], low[r][3])), acc[r]);
            }
        }
        EACH(r) _mm512_mask_storeu_ps(y + r * y_stride + o, live, acc[r]);
    }
}

/* The values are 0..7 minus 4: each sum of four products starts from -4 * (the four activations). Two bits of a value of pair 0 to 3 are
 * taken from where they are or two bits lower, the third from the bits of its sub-block moved by two or three: so each value is whole, 1,
 * 4, 4 or 16 times too large, after three shifts for all four. */
INLINE void dec_q3k(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1,
                    float *y, int64_t y_stride)
{
    const __m512i z = _mm512_setzero_si512(), low = _mm512_set1_epi64(0x0004000400100010), high = _mm512_set1_epi64(0x0001000100040004);
    const __m512i pair[4] = { _mm512_set1_epi8(3), _mm512_set1_epi8(0x0c), _mm512_set1_epi8(0x0c), _mm512_set1_epi8(0x30) };
    const __m512i third[4] = { _mm512_set1_epi8(4), _mm512_set1_epi8(0x10), _mm512_set1_epi8(0x10), _mm512_set1_epi8(0x40) };
    const __m512i factor = _mm512_unpacklo_epi64(low, high);
    const __m512i rot[2] = {           /* bit s of the low half and bit 4 + s of the high one come to bit s + 2, or s + 3 */
        _mm512_inserti64x4(_mm512_set1_epi32(2), _mm256_set1_epi32(30), 1), _mm512_inserti64x4(_mm512_set1_epi32(3), _mm256_set1_epi32(31), 1),
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
                    c[r][s] = _mm512_sub_epi32(z, dpb_small(z, third[s], a[r][s]));
            }
            UNROLL for (int q = 0; q < 4; q++) {
                __m512i p[4][4], bytes = q3_scales(four16(row[4 * q] + at + 94, row[4 * q + 1] + at + 94, row[4 * q + 2] + at + 94, row[4 * q + 3] + at + 94));
                UNROLL for (int g = 0; g < 4; g += 2) {
                    __m512i sc = _mm512_mullo_epi16(_mm512_cvtepi8_epi16(g ? _mm512_extracti64x4_epi64(bytes, 1) : _mm512_castsi512_si256(bytes)), factor);
                    UNROLL for (int e = 0; e < 2; e++) {
                        const uint8_t *s = row[4 * q + g + e] + at;
                        fetch(s + far, at, 110);
                        __m512i x = load64_once(s + 32), hi = _mm512_broadcast_i64x4(load32(s)), v[4];
                        __m512i x2 = _mm512_srli_epi16(x, 2), h2 = _mm512_rolv_epi32(hi, rot[0]), h3 = _mm512_rolv_epi32(hi, rot[1]);
                        UNROLL for (int k = 0; k < 4; k++)
                            v[k] = _mm512_ternarylogic_epi32(_mm512_and_si512(k < 2 ? x : x2, pair[k]), k % 2 ? h3 : h2, third[k], 0xf8);
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
                __m512 da = _mm512_set1_ps(mat_q8_256(ROW(r), w->n_in).d[b]);
                acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(d, da), few_sum(u[r]), acc[r]);
            }
        }
        EACH(r) _mm512_mask_storeu_ps(y + r * y_stride + o, live, acc[r]);
    }
}
