/* kernels/cpu/mat_512_decode: products for few activation rows (n <= 4; with VNNI one or two, the others in
 * mat_512_turned.h), straight from the file's layout, with 512-bit vectors; included by mat_512.h. Sixteen rows of the
 * matrix go together: one transposed reduction gives sixteen exact block sums, lane = row, then one fused
 * multiply-add a block. Weights are read once, so memory is the limit; the next sixteen rows are prefetched. */

#include "kernels/cpu/mat_fetch.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")   /* every loop over an array of vectors: unrolled, they stay in registers */

/* Sum of the lanes of v0..v3, in each 128-bit lane: dwords [v0 v1 v2 v3]. */
INLINE __m512i fold4(__m512i v0, __m512i v1, __m512i v2, __m512i v3)
{
    __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(v0, v1), _mm512_unpackhi_epi32(v0, v1));
    __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(v2, v3), _mm512_unpackhi_epi32(v2, v3));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

/* 128-bit lanes [u0.0+u0.1, u0.2+u0.3, u1.0+u1.1, u1.2+u1.3] */
INLINE __m512i fold_lanes(__m512i u0, __m512i u1)
{
    return _mm512_add_epi32(_mm512_shuffle_i32x4(u0, u1, 0x88), _mm512_shuffle_i32x4(u0, u1, 0xdd));
}

INLINE __m512i load64(const void *p) { return _mm512_loadu_si512(p); }
/* The same for what is looked at several times: compilers would read it from memory each time, across two lines. */
INLINE __m512i load64_once(const void *p)
{
    __m512i v = load64(p);
    __asm__("" : "+v"(v));
    return v;
}
INLINE __m128i load16(const void *p) { return _mm_loadu_si128((const __m128i *)p); }
INLINE __m256i load32(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE __m512i four16(const void *a, const void *b, const void *c, const void *d)
{
    __m512i v = _mm512_castsi128_si512(load16(a));
    v = _mm512_inserti32x4(v, load16(b), 1);
    v = _mm512_inserti32x4(v, load16(c), 2);
    return _mm512_inserti32x4(v, load16(d), 3);
}
INLINE __m512i two32(const void *a, const void *b)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(load32(a)), load32(b), 1);
}

INLINE int half_bits(const uint8_t *p) { uint16_t h; memcpy(&h, p, 2); return h; }

/* Sixteen half floats, one a row, at the same offset of each row. Straight into vector lanes: written through an
 * array, the wide load would wait for its narrow stores. */
INLINE __m512 halves16(const uint8_t *const row[16], int64_t at)
{
    __m128i lo = _mm_cvtsi32_si128(half_bits(row[0] + at)), hi = _mm_cvtsi32_si128(half_bits(row[8] + at));
#define PUT(i) lo = _mm_insert_epi16(lo, half_bits(row[i] + at), i); hi = _mm_insert_epi16(hi, half_bits(row[8 + i] + at), i);
    PUT(1) PUT(2) PUT(3) PUT(4) PUT(5) PUT(6) PUT(7)
#undef PUT
    return _mm512_cvtph_ps(_mm256_set_m128i(hi, lo));
}

/* Sixteen pairs of half floats as dwords. */
INLINE int dword_bits(const uint8_t *p) { int v; memcpy(&v, p, 4); return v; }
INLINE __m128i dwords4(const uint8_t *const row[4], int64_t at)
{
    __m128i v = _mm_cvtsi32_si128(dword_bits(row[0] + at));
    v = _mm_insert_epi32(v, dword_bits(row[1] + at), 1);
    v = _mm_insert_epi32(v, dword_bits(row[2] + at), 2);
    return _mm_insert_epi32(v, dword_bits(row[3] + at), 3);
}
INLINE __m512i dwords16(const uint8_t *const row[16], int64_t at)
{
    __m512i v = _mm512_castsi128_si512(dwords4(row, at));
    v = _mm512_inserti32x4(v, dwords4(row + 4, at), 1);
    v = _mm512_inserti32x4(v, dwords4(row + 8, at), 2);
    return _mm512_inserti32x4(v, dwords4(row + 12, at), 3);
}
INLINE __m512i first_bytes(const uint8_t *const row[16], int64_t at) { return _mm512_and_si512(dwords16(row, at), _mm512_set1_epi32(255)); }
INLINE __m512 low_halves(__m512i pairs) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(pairs)); }
INLINE __m512 high_halves(__m512i pairs) { return low_halves(_mm512_srli_epi32(pairs, 16)); }

/* Half of 2^(e - 127); below 2 it is subnormal (unpack_few.c). */
INLINE __m512 e8m0_halves(__m512i e)
{
    const __m512i two = _mm512_set1_epi32(2);
    __m512i v = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    return _mm512_castsi512_ps(_mm512_mask_sllv_epi32(v, _mm512_cmplt_epi32_mask(e, two), _mm512_set1_epi32(0x00200000), e));
}

/* The sixteen rows from o; beyond the last one the last again (its sums are not stored). */
INLINE __mmask16 rows16(const mat *w, int64_t o, int64_t o1, const uint8_t *row[16])
{
    int64_t have = o1 - o < 16 ? o1 - o : 16;
    UNROLL for (int i = 0; i < 16; i++)
        row[i] = w->data + (o + (i < have ? i : have - 1)) * w->row_bytes;
    return (__mmask16)((1u << have) - 1);
}

#define EACH(r) UNROLL for (int r = 0; r < nr; r++)
#define ROW(r) ((const char *)act + (r) * act_stride)

/* The eight 6-bit scales and minima of sixteen K-blocks: bytes [sc0-3 sc4-7 mn0-3 mn4-7] in lane r of out[g]
 * for row 4r + g. */
INLINE void k_headers(const uint8_t *const row[16], int64_t at, __m512i out[4], __m512i *pairs)
{
    const __m512i shift = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 2, 0, 2));
    const __m512i keep = _mm512_broadcast_i32x4(_mm_setr_epi32(0x3f3f3f3f, 0x30303030, 0x3f3f3f3f, 0x30303030));
    const __m512i shift_c = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0, 0, 4));
    const __m512i keep_c = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0x0f0f0f0f, 0, 0x0f0f0f0f));
    __m512i h[4];
    UNROLL for (int g = 0; g < 4; g++) {
        h[g] = four16(row[g] + at, row[4 + g] + at, row[8 + g] + at, row[12 + g] + at);
        __m512i ab = _mm512_and_si512(_mm512_srlv_epi32(_mm512_shuffle_epi32(h[g], 0xa5), shift), keep);
        __m512i c = _mm512_and_si512(_mm512_srlv_epi32(_mm512_shuffle_epi32(h[g], 0xff), shift_c), keep_c);
        out[g] = _mm512_or_si512(ab, c);
    }
    *pairs = _mm512_unpacklo_epi64(_mm512_unpacklo_epi32(h[0], h[1]), _mm512_unpacklo_epi32(h[2], h[3]));
}

/* Which scale each of the 32 words of a packed pair of sums takes: row of the group in lane q of the scale words;
 * half 0: sub-blocks 0 1 0 1 2 3 2 3 (four words each), half 1: 4 5 4 5 6 7 6 7. */
#define W4(x) x, x, x, x
#define K_SCALE(q, h) { W4(8 * q + 4 * h), W4(8 * q + 4 * h + 1), W4(8 * q + 4 * h), W4(8 * q + 4 * h + 1), \
                        W4(8 * q + 4 * h + 2), W4(8 * q + 4 * h + 3), W4(8 * q + 4 * h + 2), W4(8 * q + 4 * h + 3) }
static const uint16_t k_scale_at[4][2][32] __attribute__((aligned(64))) = {
    { K_SCALE(0, 0), K_SCALE(0, 1) }, { K_SCALE(1, 0), K_SCALE(1, 1) },
    { K_SCALE(2, 0), K_SCALE(2, 1) }, { K_SCALE(3, 0), K_SCALE(3, 1) },
};

/* Q4_K, and Q5_K with `five`. Dot products of 4 fit int16 (4 * 31 * 127), so two vectors of them pack into one
 * and meet their scales in one multiply-add of words. */
INLINE void dec_k45(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1,
                    float *y, int64_t y_stride, const int five)
{
    const int bytes = five ? 176 : 144;
    const __m512i nib = _mm512_set1_epi8(15), bit4 = _mm512_set1_epi8(16);
    /* bit j of the fifth bits comes to bit 4: rotate left by 4 - j */
    const __m512i rot[4] = {
        _mm512_inserti64x4(_mm512_set1_epi32(4), _mm256_set1_epi32(2), 1), _mm512_inserti64x4(_mm512_set1_epi32(3), _mm256_set1_epi32(1), 1),
        _mm512_inserti64x4(_mm512_set1_epi32(0), _mm256_set1_epi32(30), 1), _mm512_inserti64x4(_mm512_set1_epi32(31), _mm256_set1_epi32(29), 1),
    };
    const uint8_t *row[16];
    for (int64_t o = o0; o < o1; o += 16) {
        __mmask16 live = rows16(w, o, o1, row);
        const int64_t far = fetch_ahead(w, o, o1, 16);
        __m512 acc[4];
        EACH(r) acc[r] = _mm512_setzero_ps();
        for (int64_t b = 0, at = 0; at < w->row_bytes; b++, at += bytes) {
            __m512i a[4][4], head[4], pairs, sc[4], mn[4], u[4][4];
            EACH(r) {
                const int8_t *q = (const int8_t *)ROW(r) + 256 * b;
                UNROLL for (int h = 0; h < 2; h++) {
                    __m512i x = load64(q + 128 * h), z = load64(q + 128 * h + 64);
                    a[r][2 * h] = _mm512_shuffle_i64x2(x, z, 0x44);
                    a[r][2 * h + 1] = _mm512_shuffle_i64x2(x, z, 0xee);
                }
            }
            k_headers(row, at, head, &pairs);
            UNROLL for (int g = 0; g < 4; g++) {
                __m512i s = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), head[g]);
                sc[g] = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(s));
                mn[g] = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(s, 1));
            }
            UNROLL for (int q = 0; q < 4; q++) {
                __m512i p[4][4];
                const __m512i at0 = _mm512_load_si512(k_scale_at[q][0]), at1 = _mm512_load_si512(k_scale_at[q][1]);
                UNROLL for (int g = 0; g < 4; g++) {
                    const uint8_t *s = row[4 * q + g] + at;
                    fetch(s + far, at, bytes);
                    __m512i x0 = load64(s + bytes - 128), x1 = load64(s + bytes - 64);
                    __m512i v[4] = { _mm512_and_si512(x0, nib), _mm512_and_si512(_mm512_srli_epi16(x0, 4), nib),
                                     _mm512_and_si512(x1, nib), _mm512_and_si512(_mm512_srli_epi16(x1, 4), nib) };
                    if (five) {
                        __m512i fifth = _mm512_broadcast_i64x4(load32(s + 16));
                        UNROLL for (int k = 0; k < 4; k++)      /* v | (rotated & bit4) */
                            v[k] = _mm512_ternarylogic_epi32(v[k], _mm512_rolv_epi32(fifth, rot[k]), bit4, 0xf8);
                    }
                    __m512i s0 = _mm512_permutexvar_epi16(at0, sc[g]), s1 = _mm512_permutexvar_epi16(at1, sc[g]);
                    EACH(r) {
                        const __m512i z = _mm512_setzero_si512();
                        __m512i d0 = _mm512_packs_epi32(dpb_small(z, v[0], a[r][0]), dpb_small(z, v[1], a[r][1]));
                        __m512i d1 = _mm512_packs_epi32(dpb_small(z, v[2], a[r][2]), dpb_small(z, v[3], a[r][3]));
                        p[r][g] = dpw(_mm512_madd_epi16(d0, s0), d1, s1);
                    }
                }
                EACH(r) u[r][q] = fold4(p[r][0], p[r][1], p[r][2], p[r][3]);
            }
            __m512 d = low_halves(pairs), m = high_halves(pairs);
            EACH(r) {
                mat_q8 x = mat_q8_256(ROW(r), w->n_in);
                __m512i sums = _mm512_broadcast_i32x4(load16(x.sum32 + 8 * b));
                __m512i msum = fold4(_mm512_madd_epi16(mn[0], sums), _mm512_madd_epi16(mn[1], sums),
                                     _mm512_madd_epi16(mn[2], sums), _mm512_madd_epi16(mn[3], sums));
                __m512i isum = fold_lanes(fold_lanes(u[r][0], u[r][1]), fold_lanes(u[r][2], u[r][3]));
                __m512 da = _mm512_set1_ps(x.d[b]);
                acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(d, da), _mm512_cvtepi32_ps(isum), acc[r]);
                acc[r] = _mm512_fnmadd_ps(_mm512_mul_ps(m, da), _mm512_cvtepi32_ps(msum), acc[r]);
            }
        }
        EACH(r) _mm512_mask_storeu_ps(y + r * y_stride + o, live, acc[r]);
    }
}

/* Scale words of Q6_K, two rows a vector: row e, half h: lanes L of 128 bits take sub-blocks 8h + L, 8h + 4 + L. */
#define Q6_SCALE(e, h) { W4(16 * e + 8 * h), W4(16 * e + 8 * h + 4), W4(16 * e + 8 * h + 1), W4(16 * e + 8 * h + 5), \
                         W4(16 * e + 8 * h + 2), W4(16 * e + 8 * h + 6), W4(16 * e + 8 * h + 3), W4(16 * e + 8 * h + 7) }
static const uint16_t q6_scale_at[2][2][32] __attribute__((aligned(64))) = {
    { Q6_SCALE(0, 0), Q6_SCALE(0, 1) }, { Q6_SCALE(1, 0), Q6_SCALE(1, 1) },
};

/* The values are 0..63 minus 32: each sum of four products starts from -32 * (the four activations), so it is
 * the signed sum and fits int16 (4 * 32 * 128). */
INLINE void dec_q6k(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1,
                    float *y, int64_t y_stride)
{
    const __m512i nib = _mm512_set1_epi8(15), two = _mm512_set1_epi8(0x30), z = _mm512_setzero_si512();
    const __m512i rot_lo = _mm512_inserti64x4(_mm512_set1_epi32(4), _mm256_set1_epi32(2), 1);
    const __m512i rot_hi = _mm512_inserti64x4(_mm512_set1_epi32(0), _mm256_set1_epi32(30), 1);
    const uint8_t *row[16];
    for (int64_t o = o0; o < o1; o += 16) {
        __mmask16 live = rows16(w, o, o1, row);
        const int64_t far = fetch_ahead(w, o, o1, 16);
        __m512 acc[4];
        EACH(r) acc[r] = _mm512_setzero_ps();
        for (int64_t b = 0, at = 0; at < w->row_bytes; b++, at += 210) {
            __m512i a[4][4], c[4][4], u[4][4];
            EACH(r) UNROLL for (int k = 0; k < 4; k++) {
                a[r][k] = load64(ROW(r) + 256 * b + 64 * k);
                c[r][k] = _mm512_sub_epi32(z, dpb_small(z, _mm512_set1_epi8(32), a[r][k]));
            }
            UNROLL for (int q = 0; q < 4; q++) {
                __m512i p[4][4];
                UNROLL for (int g = 0; g < 4; g += 2) {
                    __m512i sc = _mm512_cvtepi8_epi16(_mm256_set_m128i(load16(row[4 * q + g + 1] + at + 192), load16(row[4 * q + g] + at + 192)));
                    UNROLL for (int e = 0; e < 2; e++) {
                        const uint8_t *s = row[4 * q + g + e] + at;
                        fetch(s + far, at, 210);
                        EACH(r) p[r][g + e] = z;
                        UNROLL for (int h = 0; h < 2; h++) {
                            __m512i x = load64(s + 64 * h), hi = _mm512_broadcast_i64x4(load32(s + 128 + 32 * h));
                            __m512i v0 = _mm512_ternarylogic_epi32(_mm512_and_si512(x, nib), _mm512_rolv_epi32(hi, rot_lo), two, 0xf8);
                            __m512i v1 = _mm512_ternarylogic_epi32(_mm512_and_si512(_mm512_srli_epi16(x, 4), nib), _mm512_rolv_epi32(hi, rot_hi), two, 0xf8);
                            __m512i sw = _mm512_permutexvar_epi16(_mm512_load_si512(q6_scale_at[e][h]), sc);
                            EACH(r) p[r][g + e] = dpw(p[r][g + e], _mm512_packs_epi32(dpb_small(c[r][2 * h], v0, a[r][2 * h]),
                                                                                      dpb_small(c[r][2 * h + 1], v1, a[r][2 * h + 1])), sw);
                        }
                    }
                }
                EACH(r) u[r][q] = fold4(p[r][0], p[r][1], p[r][2], p[r][3]);
            }
            __m512 d = halves16(row, at + 208);
            EACH(r) {
                __m512i isum = fold_lanes(fold_lanes(u[r][0], u[r][1]), fold_lanes(u[r][2], u[r][3]));
                __m512 da = _mm512_set1_ps(mat_q8_256(ROW(r), w->n_in).d[b]);
                acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(d, da), _mm512_cvtepi32_ps(isum), acc[r]);
            }
        }
        EACH(r) _mm512_mask_storeu_ps(y + r * y_stride + o, live, acc[r]);
    }
}

/* IQ4_XS: lane L of 128 bits is one sub-block; its sums are too large for words, so the scales meet them as dwords. */
INLINE void dec_iq4xs(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1,
                      float *y, int64_t y_stride)
{
    const __m512i nib = _mm512_set1_epi8(15), z = _mm512_setzero_si512(), less = _mm512_set1_epi8((char)128);
    const __m512i table = _mm512_broadcast_i32x4(load16(iq4_plus_128));
    const __m512i lanes0 = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    const __m512i lanes1 = _mm512_add_epi32(lanes0, _mm512_set1_epi32(4));
    const __m256i by4 = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28), by2 = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    const uint8_t *row[16];
    for (int64_t o = o0; o < o1; o += 16) {
        __mmask16 live = rows16(w, o, o1, row);
        const int64_t far = fetch_ahead(w, o, o1, 16);
        __m512 acc[4];
        EACH(r) acc[r] = _mm512_setzero_ps();
        for (int64_t b = 0, at = 0; at < w->row_bytes; b++, at += 136) {
            __m512i a[4][4], c[4][2], u[4][4];
            EACH(r) UNROLL for (int h = 0; h < 2; h++) {  /* 16 low, 16 high elements of each sub-block */
                __m512i x = load64(ROW(r) + 256 * b + 128 * h), v = load64(ROW(r) + 256 * b + 128 * h + 64);
                a[r][2 * h] = _mm512_shuffle_i32x4(x, v, 0x88);
                a[r][2 * h + 1] = _mm512_shuffle_i32x4(x, v, 0xdd);
                c[r][h] = _mm512_sub_epi32(z, dpb(dpb(z, less, a[r][2 * h]), less, a[r][2 * h + 1]));
            }
            UNROLL for (int q = 0; q < 4; q++) {
                __m512i p[4][4];
                UNROLL for (int g = 0; g < 4; g++) {
                    const uint8_t *s = row[4 * q + g] + at;
                    fetch(s + far, at, 136);
                    __m256i low = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(dword_bits(s + 4)), by4), _mm256_set1_epi32(15));
                    __m256i high = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(half_bits(s + 2)), by2), _mm256_set1_epi32(3));
                    __m512i sc = _mm512_castsi256_si512(_mm256_sub_epi32(_mm256_or_si256(low, _mm256_slli_epi32(high, 4)), _mm256_set1_epi32(32)));
                    EACH(r) p[r][g] = z;
                    UNROLL for (int h = 0; h < 2; h++) {
                        __m512i x = load64(s + 8 + 64 * h), by = _mm512_permutexvar_epi32(h ? lanes1 : lanes0, sc);
                        __m512i lo = _mm512_shuffle_epi8(table, _mm512_and_si512(x, nib));
                        __m512i hi = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(x, 4), nib));
                        EACH(r) p[r][g] = _mm512_add_epi32(p[r][g], _mm512_mullo_epi32(by, dpb(dpb(c[r][h], lo, a[r][2 * h]), hi, a[r][2 * h + 1])));
                    }
                }
                EACH(r) u[r][q] = fold4(p[r][0], p[r][1], p[r][2], p[r][3]);
            }
            __m512 d = halves16(row, at);
            EACH(r) {
                __m512i isum = fold_lanes(fold_lanes(u[r][0], u[r][1]), fold_lanes(u[r][2], u[r][3]));
                __m512 da = _mm512_set1_ps(mat_q8_256(ROW(r), w->n_in).d[b]);
                acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(d, da), _mm512_cvtepi32_ps(isum), acc[r]);
            }
        }
        EACH(r) _mm512_mask_storeu_ps(y + r * y_stride + o, live, acc[r]);
    }
}

/* Q8_0: two rows a vector; w + 128 is unsigned, the sums start from -128 * (the four activations). */
INLINE void dec_q80(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1,
                    float *y, int64_t y_stride)
{
    const __m512i flip = _mm512_set1_epi8((char)0x80), z = _mm512_setzero_si512();
    const uint8_t *row[16];
    for (int64_t o = o0; o < o1; o += 16) {
        __mmask16 live = rows16(w, o, o1, row);
        const int64_t far = fetch_ahead(w, o, o1, 16);
        __m512 acc[4];
        EACH(r) acc[r] = _mm512_setzero_ps();
        for (int64_t b = 0, at = 0; at < w->row_bytes; b++, at += 34) {
            __m512i a[4], c[4], p[4][8];
            EACH(r) {
                a[r] = _mm512_broadcast_i64x4(load32(ROW(r) + 32 * b));
                c[r] = _mm512_sub_epi32(z, dpb(z, flip, a[r]));
            }
            if (at % 64 < 34)
                UNROLL for (int i = 0; i < 16; i++)
                    _mm_prefetch((const char *)row[i] + at + far, _MM_HINT_T1);
            UNROLL for (int i = 0; i < 8; i++) {
                int k = i % 4 + i / 4 * 8;               /* rows k and k + 4 */
                __m512i v = _mm512_xor_si512(two32(row[k] + at + 2, row[k + 4] + at + 2), flip);
                EACH(r) p[r][i] = dpb(c[r], v, a[r]);
            }
            __m512 d = halves16(row, at);
            EACH(r) {
                __m512i isum = fold_lanes(fold4(p[r][0], p[r][1], p[r][2], p[r][3]), fold4(p[r][4], p[r][5], p[r][6], p[r][7]));
                __m512 da = _mm512_set1_ps(mat_q8_32(ROW(r), w->n_in).d[b]);
                acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(d, da), _mm512_cvtepi32_ps(isum), acc[r]);
            }
        }
        EACH(r) _mm512_mask_storeu_ps(y + r * y_stride + o, live, acc[r]);
    }
}

#ifdef PERMUTE_BYTES
/* fold4 for lanes whose sums in twos fit 16 bits. */
INLINE __m512i fold4_small(__m512i v0, __m512i v1, __m512i v2, __m512i v3)
{
    const __m512i ones = _mm512_set1_epi16(1);
    __m512i a = _mm512_madd_epi16(_mm512_packs_epi32(v0, v1), ones), b = _mm512_madd_epi16(_mm512_packs_epi32(v2, v3), ones);
    return _mm512_madd_epi16(_mm512_packs_epi32(a, b), ones);
}

/* v[q] lane L of 128 bits belongs to rows 4q to 4q + 3: out[L] in row order. */
INLINE void transpose_lanes(__m512i v[4])
{
    __m512i t0 = _mm512_shuffle_i32x4(v[0], v[1], 0x44), t1 = _mm512_shuffle_i32x4(v[0], v[1], 0xee);
    __m512i t2 = _mm512_shuffle_i32x4(v[2], v[3], 0x44), t3 = _mm512_shuffle_i32x4(v[2], v[3], 0xee);
    v[0] = _mm512_shuffle_i32x4(t0, t2, 0x88);
    v[1] = _mm512_shuffle_i32x4(t0, t2, 0xdd);
    v[2] = _mm512_shuffle_i32x4(t1, t3, 0x88);
    v[3] = _mm512_shuffle_i32x4(t1, t3, 0xdd);
}

/* Bytes of four blocks of MXFP4: the nibbles of a block a lane of 128 bits; of the last block twelve, then the four exponents. */
static const uint8_t mxfp4_order[64] __attribute__((aligned(64))) = {
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33,
    35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 0, 17, 34, 51,
};

/* Four blocks of MXFP4 (68 bytes) of sixteen rows, a row a vector: two loads for 128 elements and their exponents. Bytes are looked
 * up by their low six bits in a table that repeats itself, so nothing need be masked. Sums of eight products by at most 24 less 12
 * fit 14 bits. */
INLINE void mxfp4_group(const uint8_t *const row[16], int64_t at, int64_t far, const void *act, int64_t act_stride, const int nr, int64_t n_in, int64_t b, __m512 acc[4])
{
    const __m512i z = _mm512_setzero_si512(), less = _mm512_set1_epi8(12), order = _mm512_load_si512(mxfp4_order);
    const __m512i table = _mm512_broadcast_i32x4(load16(e2m1_plus_12));
    __m512i a[4][2], c[4], u[4][4], e[4];
    __m512 d[4];
    EACH(r) {
        __m512i x = load64(ROW(r) + 32 * b), v = load64(ROW(r) + 32 * b + 64);
        a[r][0] = _mm512_shuffle_i32x4(x, v, 0x88);
        a[r][1] = _mm512_shuffle_i32x4(x, v, 0xdd);
        c[r] = _mm512_sub_epi32(z, dpb(dpb(z, less, a[r][0]), less, a[r][1]));
    }
    UNROLL for (int q = 0; q < 4; q++) {
        __m512i p[4][4], x[4];
        UNROLL for (int g = 0; g < 4; g++) {
            const uint8_t *s = row[4 * q + g] + at;
            UNROLL for (int i = 0; i < 68; i += 64)           /* less work than to tell the lines apart */
                _mm_prefetch((const char *)s + far + i, _MM_HINT_T1);
            x[g] = _mm512_permutexvar_epi8(order, load64(s));
        }
        e[q] = _mm512_unpackhi_epi64(_mm512_unpackhi_epi32(x[0], x[1]), _mm512_unpackhi_epi32(x[2], x[3]));
        UNROLL for (int g = 0; g < 4; g++) {
            __m512i v = _mm512_mask_set1_epi32(x[g], 0x8000, dword_bits(row[4 * q + g] + at + 64));
            __m512i lo = _mm512_permutexvar_epi8(v, table), hi = _mm512_permutexvar_epi8(_mm512_srli_epi16(v, 4), table);
            EACH(r) p[r][g] = dpb(dpb(c[r], lo, a[r][0]), hi, a[r][1]);
        }
        EACH(r) u[r][q] = fold4_small(p[r][0], p[r][1], p[r][2], p[r][3]);
    }
    EACH(r) transpose_lanes(u[r]);
    __m512i heads = _mm512_shuffle_i32x4(_mm512_shuffle_i32x4(e[0], e[1], 0xff), _mm512_shuffle_i32x4(e[2], e[3], 0xff), 0x88);
    if (__builtin_expect(_mm512_cmplt_epu8_mask(heads, _mm512_set1_epi8(2)) != 0, 0))
        UNROLL for (int k = 0; k < 4; k++)
            d[k] = e8m0_halves(_mm512_and_si512(_mm512_srli_epi32(heads, (unsigned)(8 * k)), _mm512_set1_epi32(255)));
    else {
        heads = _mm512_sub_epi8(heads, _mm512_set1_epi8(1));
        UNROLL for (int k = 0; k < 4; k++)
            d[k] = _mm512_castsi512_ps(_mm512_and_si512(_mm512_srli_epi32(_mm512_slli_epi32(heads, (unsigned)(24 - 8 * k)), 1), _mm512_set1_epi32(0x7f800000)));
    }
    EACH(r) {
        const float *da = mat_q8_32(ROW(r), n_in).d + b;
        UNROLL for (int k = 0; k < 4; k++)
            acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(d[k], _mm512_set1_ps(da[k])), _mm512_cvtepi32_ps(u[r][k]), acc[r]);
    }
}
#include "kernels/cpu/mat_512_nibbles.h"
#endif

/* The 32-blocks of 16 bytes of nibbles: four rows a vector, low nibbles against the first 16 activations. */
INLINE void dec_nibbles(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1,
                        float *y, int64_t y_stride, const int type)
{
    const int bytes = type == KER_Q4_1 ? 20 : type == KER_Q5_0 ? 22 : type == KER_Q5_1 ? 24 : type == KER_MXFP4 ? 17 : 18;
    const int has_min = type == KER_Q4_1 || type == KER_Q5_1, fifth = type == KER_Q5_0 || type == KER_Q5_1;
    const int less = type == KER_Q4_0 ? 8 : type == KER_Q5_0 ? 16 : type == KER_IQ4_NL ? 128 : type == KER_MXFP4 ? 12 : 0;
    const __m512i nib = _mm512_set1_epi8(15), z = _mm512_setzero_si512();
    const __m512i table = _mm512_broadcast_i32x4(load16(type == KER_MXFP4 ? e2m1_plus_12 : iq4_plus_128));
    const uint8_t *row[16];
    for (int64_t o = o0; o < o1; o += 16) {
        __mmask16 live = rows16(w, o, o1, row);
        const int64_t far = fetch_ahead(w, o, o1, 16);
        __m512 acc[4];
        EACH(r) acc[r] = _mm512_setzero_ps();
        int64_t b = 0, at = 0;
#ifdef PERMUTE_BYTES
        for (; type == KER_MXFP4 && at + 68 <= w->row_bytes; b += 4, at += 68)
            mxfp4_group(row, at, far, act, act_stride, nr, w->n_in, b, acc);
        for (; type != KER_MXFP4 && at + 4 * bytes <= w->row_bytes; b += 4, at += 4 * bytes)
            nibble_group(type, bytes, row, at, far, act, act_stride, nr, w->n_in, b, acc);
#endif
        for (; at < w->row_bytes; b++, at += bytes) {
            __m512i a[4][2], c[4], p[4][4];
            EACH(r) {
                __m512i whole = _mm512_castsi256_si512(load32(ROW(r) + 32 * b));
                a[r][0] = _mm512_shuffle_i32x4(whole, whole, 0x00);
                a[r][1] = _mm512_shuffle_i32x4(whole, whole, 0x55);
                c[r] = less ? _mm512_sub_epi32(z, dpb(dpb(z, _mm512_set1_epi8((char)less), a[r][0]), _mm512_set1_epi8((char)less), a[r][1])) : z;
            }
            if (at % 64 < bytes)
                UNROLL for (int i = 0; i < 16; i++)
                    _mm_prefetch((const char *)row[i] + at + far, _MM_HINT_T1);
            UNROLL for (int g = 0; g < 4; g++) {
                const int64_t q = at + bytes - 16;
                __m512i x = four16(row[g] + q, row[4 + g] + q, row[8 + g] + q, row[12 + g] + q);
                __m512i lo = _mm512_and_si512(x, nib), hi = _mm512_and_si512(_mm512_srli_epi16(x, 4), nib);
                if (type == KER_IQ4_NL || type == KER_MXFP4) {
                    lo = _mm512_shuffle_epi8(table, lo);
                    hi = _mm512_shuffle_epi8(table, hi);
                }
                if (fifth) {
                    uint32_t f[4];
                    UNROLL for (int k = 0; k < 4; k++)
                        memcpy(&f[k], row[4 * k + g] + q - 4, 4);
                    uint64_t m0 = (f[0] & 0xffff) | (uint64_t)(f[1] & 0xffff) << 16 | (uint64_t)(f[2] & 0xffff) << 32 | (uint64_t)f[3] << 48;
                    uint64_t m1 = f[0] >> 16 | (f[1] & 0xffff0000) | (uint64_t)(f[2] >> 16) << 32 | (uint64_t)(f[3] & 0xffff0000) << 32;
                    lo = _mm512_mask_add_epi8(lo, m0, lo, _mm512_set1_epi8(16));
                    hi = _mm512_mask_add_epi8(hi, m1, hi, _mm512_set1_epi8(16));
                }
                EACH(r) p[r][g] = dpb(dpb(c[r], lo, a[r][0]), hi, a[r][1]);
            }
            __m512 d, m = _mm512_setzero_ps();
            if (has_min) {
                __m512i pairs = dwords16(row, at);
                d = low_halves(pairs);
                m = high_halves(pairs);
            } else
                d = type == KER_MXFP4 ? e8m0_halves(first_bytes(row, at)) : halves16(row, at);
            EACH(r) {
                mat_q8 x = mat_q8_32(ROW(r), w->n_in);
                __m512 da = _mm512_set1_ps(x.d[b]);
                acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(d, da), _mm512_cvtepi32_ps(fold4(p[r][0], p[r][1], p[r][2], p[r][3])), acc[r]);
                if (has_min)
                    acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(m, da), _mm512_set1_ps((float)x.sum[b]), acc[r]);
            }
        }
        EACH(r) _mm512_mask_storeu_ps(y + r * y_stride + o, live, acc[r]);
    }
}

/* ---- float weights: sixteen partial sums are one vector ---- */

INLINE float fold16(__m512 v)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

INLINE __m512 load_float(const int type, const uint8_t *p, __mmask16 k)
{
    if (type == KER_F32)
        return _mm512_maskz_loadu_ps(k, p);
    __m256i h = _mm256_maskz_loadu_epi16(k, p);
    return type == KER_F16 ? _mm512_cvtph_ps(h) : _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

/* no rows of the matrix by nr of activations; the tail keeps the other lanes (adding 0 would turn -0 into 0). */
INLINE void float_tile(const int type, const mat *w, const void *act, int64_t act_stride, const int no, const int nr,
                       int64_t o, float *y, int64_t y_stride)
{
    const int size = type == KER_F32 ? 4 : 2;
    const uint8_t *s = w->data + o * w->row_bytes;
    __m512 acc[8][4];
    UNROLL for (int i = 0; i < no; i++)
        EACH(r) acc[i][r] = _mm512_setzero_ps();
    int64_t k = 0;
    for (; k + 16 <= w->n_in; k += 16) {
        __m512 x[4];
        EACH(r) x[r] = _mm512_loadu_ps(ROW(r) + 4 * k);
        UNROLL for (int i = 0; i < no; i++) {
            __m512 v = load_float(type, s + i * w->row_bytes + size * k, 0xffff);
            EACH(r) acc[i][r] = _mm512_fmadd_ps(v, x[r], acc[i][r]);
        }
    }
    if (k < w->n_in) {
        __mmask16 m = (__mmask16)((1u << (w->n_in - k)) - 1);
        UNROLL for (int i = 0; i < no; i++) {
            __m512 v = load_float(type, s + i * w->row_bytes + size * k, m);
            EACH(r) acc[i][r] = _mm512_mask3_fmadd_ps(v, _mm512_maskz_loadu_ps(m, ROW(r) + 4 * k), acc[i][r], m);
        }
    }
    UNROLL for (int i = 0; i < no; i++)
        EACH(r) y[r * y_stride + o + i] = fold16(acc[i][r]);
}

INLINE void float_rows(const int type, const mat *w, const void *act, int64_t act_stride, const int no, const int nr, int64_t o0, int64_t o1,
                       float *y, int64_t y_stride)
{
    int64_t o = o0;
    for (; o + no <= o1; o += no)
        float_tile(type, w, act, act_stride, no, nr, o, y, y_stride);
    for (; o < o1; o++)
        float_tile(type, w, act, act_stride, 1, nr, o, y, y_stride);
}

INLINE void mul_float(const int type, const mat *w, const void *act, int64_t act_stride, int n, int64_t o0, int64_t o1,
                      float *y, int64_t y_stride)
{
    for (int parts = (n + 3) / 4; parts; parts--) {  /* in equal parts: one row by itself would read all once more */
        const int nr = (n + parts - 1) / parts;
        switch (nr) {
        case 1: float_rows(type, w, act, act_stride, 8, 1, o0, o1, y, y_stride); break;
        case 2: float_rows(type, w, act, act_stride, 8, 2, o0, o1, y, y_stride); break;
        case 3: float_rows(type, w, act, act_stride, 4, 3, o0, o1, y, y_stride); break;
        default: float_rows(type, w, act, act_stride, 4, 4, o0, o1, y, y_stride);
        }
        n -= nr;
        act = ROW(nr);
        y += nr * y_stride;
    }
}
