/* kernels/cpu/mat_avx2_few: products for few activation rows (n <= 4) straight from the file's layout, with AVX2; included by mat_avx2.c.
 * Eight rows of the matrix go together: each gives eight exact partial sums, which are folded so that lane = row, then one fused
 * multiply-add a block. Weights stay unsigned for maddubs where they can, and what they are too large by is taken off by the sums
 * of the activations; IQ4's and Q8_0's are signed and meet |w| times a with w's sign. */

enum { FEW = 4 };                  /* up to this many rows */

/* Sums of v0..v7's lanes, in this order. */
INLINE __m256i fold4(const __m256i v[4])
{
    __m256i a = _mm256_add_epi32(_mm256_unpacklo_epi32(v[0], v[1]), _mm256_unpackhi_epi32(v[0], v[1]));
    __m256i b = _mm256_add_epi32(_mm256_unpacklo_epi32(v[2], v[3]), _mm256_unpackhi_epi32(v[2], v[3]));
    return _mm256_add_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
}
INLINE __m256i fold8(const __m256i v[8])
{
    __m256i a = fold4(v), b = fold4(v + 4);
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

enum { NEAREST = 16 << 10 };       /* bytes from what is read to what is fetched meanwhile: nearer, it comes too late */

/* From row o to the rows that are fetched: as many times eight on as NEAREST asks for, behind o1 among what is read next. */
INLINE int64_t rows_ahead(const mat *w, int64_t o, int64_t o1)
{
    if (w->row_bytes > 32 << 10) return 1024;
    const uint32_t eight = 8 * (uint32_t)w->row_bytes;
    const int64_t on = 8 * (int64_t)((NEAREST + eight - 1) / eight);
    if (o + on < o1 || !w->next) return on * w->row_bytes;
    return (int64_t)((uintptr_t)w->next - (uintptr_t)w->data) + (on - o1) * w->row_bytes;
}

#define ROW(r) ((const char *)act + (r) * act_stride)

/* The eight rows from o, beyond the last one the last again; returns how many are stored. */
INLINE int rows8(const mat *w, int64_t o, int64_t o1, const uint8_t *row[8])
{
    int live = o1 - o < 8 ? (int)(o1 - o) : 8;
    UNROLL for (int i = 0; i < 8; i++) row[i] = w->data + (o + (i < live ? i : live - 1)) * w->row_bytes;
    return live;
}

/* Where a prepared row keeps its floats and sums (mat_isa.h), in bytes. Opaque: gcc would work them out anew for every block. */
typedef struct few_at { int64_t d, sum, sum32; } few_at;
INLINE few_at few_offsets(const void *act, int64_t n_in, const int block)
{
    const mat_q8 x = block == 256 ? mat_q8_256(act, n_in) : mat_q8_32(act, n_in);
    const char *from = (const char *)act, *sum = block == 256 ? (const char *)x.sum16 : (const char *)x.sum;
    few_at at = { (const char *)x.d - from, sum - from, block == 256 ? (const char *)x.sum32 - from : 0 };
    __asm__("" : "+r"(at.d), "+r"(at.sum), "+r"(at.sum32));
    return at;
}
#define FEW_D(r, b) _mm256_set1_ps(*(const float *)(const void *)(ROW(r) + in.d + 4 * (b)))
#define FEW_SUM(r, b) (*(const int32_t *)(const void *)(ROW(r) + in.sum + 4 * (b)))     /* of 32 */
#define FEW_SUM16(r, b) load32(ROW(r) + in.sum + 32 * (b))
#define FEW_SUM32(r, b) load16(ROW(r) + in.sum32 + 16 * (b))

/* ---- blocks of 256 ---- */

/* Words of a scale for a vector of 32 elements: one of sub-block i, or of 2 i and 2 i + 1. */
#define B2(i) 2 * (i), 2 * (i) + 1
#define B16(i) B2(i), B2(i), B2(i), B2(i), B2(i), B2(i), B2(i), B2(i)
static const uint8_t few_one[8][32] __attribute__((aligned(32))) = {
    { B16(0), B16(0) }, { B16(1), B16(1) }, { B16(2), B16(2) }, { B16(3), B16(3) }, { B16(4), B16(4) }, { B16(5), B16(5) }, { B16(6), B16(6) }, { B16(7), B16(7) },
};
static const uint8_t few_two[4][32] __attribute__((aligned(32))) = { { B16(0), B16(1) }, { B16(2), B16(3) }, { B16(4), B16(5) }, { B16(6), B16(7) } };

typedef struct few_scales { __m256i low, high; } few_scales;     /* words, the same in both lanes: sub-blocks 0 to 7, and 8 to 15 */
INLINE few_scales few_both(__m256i words) { return (few_scales){ _mm256_permute4x64_epi64(words, 0x44), _mm256_permute4x64_epi64(words, 0xee) }; }
INLINE __m256i few_scale(few_scales s, const int sub, const int i)   /* of the i-th 32 elements */
{
    return sub == 32 ? _mm256_shuffle_epi8(s.low, load32(few_one[i])) : _mm256_shuffle_epi8(i < 4 ? s.low : s.high, load32(few_two[i % 4]));
}

/* Scales and minima of Q4_K and Q5_K as words, out of a block's first sixteen bytes (types.c). */
INLINE __m256i k_words(__m128i h)
{
    __m128i ab = _mm_and_si128(_mm_srlv_epi32(_mm_shuffle_epi32(h, 0xa5), _mm_setr_epi32(0, 2, 0, 2)), _mm_setr_epi32(0x3f3f3f3f, 0x30303030, 0x3f3f3f3f, 0x30303030));
    __m128i c = _mm_and_si128(_mm_srlv_epi32(_mm_shuffle_epi32(h, 0xff), _mm_setr_epi32(0, 0, 0, 4)), _mm_setr_epi32(0, 0x0f0f0f0f, 0, 0x0f0f0f0f));
    return _mm256_cvtepu8_epi16(_mm_or_si128(ab, c));
}

/* Sixteen scales of Q3_K out of the sixteen bytes from byte 94 of a block (unpack_few.c). */
INLINE __m256i q3_words(__m128i x)
{
    __m128i low = _mm_shuffle_epi8(x, _mm_setr_epi8(2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5, 6, 7, 8, 9));
    __m128i high = _mm_shuffle_epi8(x, _mm_setr_epi8(10, 11, 12, 13, 10, 11, 12, 13, 10, 11, 12, 13, 10, 11, 12, 13));
    low = _mm_and_si128(_mm_srlv_epi32(low, _mm_setr_epi32(0, 0, 4, 4)), _mm_set1_epi8(15));
    high = _mm_and_si128(_mm_srlv_epi32(high, _mm_setr_epi32(0, 2, 4, 6)), _mm_set1_epi8(3));
    return _mm256_cvtepi8_epi16(_mm_sub_epi8(_mm_or_si128(low, _mm_slli_epi16(high, 4)), _mm_set1_epi8(32)));
}

/* IQ4_XS: eight scales of six bits, from the words that hold the upper two bits and the lower four. */
INLINE __m256i iq4xs_words(const uint8_t *s)
{
    __m256i low = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(dword_bits(s + 4)), _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28)), _mm256_set1_epi32(15));
    __m256i high = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(half_bits(s + 2)), _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14)), _mm256_set1_epi32(3));
    __m256i sc = _mm256_sub_epi32(_mm256_or_si256(low, _mm256_slli_epi32(high, 4)), _mm256_set1_epi32(32));
    return _mm256_permute4x64_epi64(_mm256_packs_epi32(sc, sc), 0xd8);
}

INLINE __m256i bits_at(__m256i v, const int from, const int to, const int mask)   /* of every byte, moved from bit `from` to bit `to` */
{
    v = from < to ? _mm256_slli_epi16(v, to - from) : from > to ? _mm256_srli_epi16(v, from - to) : v;
    return _mm256_and_si256(v, _mm256_set1_epi8((char)mask));
}

/* The i-th 32 elements of a block as bytes. */
INLINE __m256i few_bytes(const int type, const uint8_t *s, const int i)
{
    const int odd = i % 2, half = i / 4, f = i % 4;
    if (type == KER_Q4_K)
        return bits_at(load32(s + 16 + 32 * (i / 2)), 4 * odd, 0, 15);
    if (type == KER_Q5_K)
        return _mm256_or_si256(bits_at(load32(s + 48 + 32 * (i / 2)), 4 * odd, 0, 15), bits_at(load32(s + 16), i, 4, 16));
    if (type == KER_Q6_K)
        return _mm256_or_si256(bits_at(load32(s + 64 * half + 32 * odd), f / 2 * 4, 0, 15), bits_at(load32(s + 128 + 32 * half), 2 * f, 4, 0x30));
    if (type == KER_Q2_K)
        return bits_at(load32(s + 16 + 32 * half), 2 * f, 0, 3);
    if (type == KER_Q3_K)
        return _mm256_or_si256(bits_at(load32(s + 32 + 32 * half), 2 * f, 0, 3), bits_at(load32(s), i, 2, 4));
    __m256i two = _mm256_broadcastsi128_si256(load16(s + 8 + 16 * i));     /* IQ4_XS: low nibbles, then high ones */
    two = _mm256_and_si256(_mm256_srlv_epi32(two, _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4)), _mm256_set1_epi8(15));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(load16(iq4_values)), two);
}

#define IS_FEW_MIN(type) ((type) == KER_Q4_K || (type) == KER_Q5_K || (type) == KER_Q2_K)
INLINE void dec_256(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1, float *y, int64_t y_stride, const int type, const int bytes)
{
    const int sub = type == KER_Q4_K || type == KER_Q5_K || type == KER_IQ4_XS ? 32 : 16, less = type == KER_Q6_K ? 5 : type == KER_Q3_K ? 2 : 0;   /* as shifts */
    const few_at in = few_offsets(act, w->n_in, 256);
    for (int64_t o = o0; o < o1; o += 8) {
        const uint8_t *row[8];
        const int live = rows8(w, o, o1, row);
        const int64_t far = type == KER_Q2_K || type == KER_Q3_K ? fetch_ahead(w, o, o1, 8) : rows_ahead(w, o, o1);   /* bound by instructions: further on is no faster */
        __m256 acc[FEW];
        EACH(r) acc[r] = _mm256_setzero_ps();
        for (int64_t b = 0, at = 0; at < w->row_bytes; b++, at += bytes) {
            __m256i p[FEW][8], low[FEW][8];
            for (int k = 0; k < 8; k++) {
                const uint8_t *s = row[k] + at;
                fetch(s + far, at, bytes);
                __m256i words = type == KER_Q6_K ? _mm256_cvtepi8_epi16(load16(s + 192)) : type == KER_Q3_K ? q3_words(load16(s + 94)) : type == KER_IQ4_XS ? iq4xs_words(s) :
                                type == KER_Q2_K ? _mm256_cvtepu8_epi16(_mm_and_si128(load16(s), _mm_set1_epi8(15))) : k_words(load16(s));
                few_scales sc = few_both(words);
                __m256i sum[FEW];
                UNROLL for (int i = 0; i < 8; i++) {
                    __m256i v = few_bytes(type, s, i), by = few_scale(sc, sub, i), mag = type == KER_IQ4_XS ? _mm256_abs_epi8(v) : v;
                    EACH(r) {
                        __m256i a = load32(ROW(r) + 256 * b + 32 * i);
                        __m256i part = _mm256_madd_epi16(_mm256_maddubs_epi16(mag, type == KER_IQ4_XS ? _mm256_sign_epi8(a, v) : a), by);
                        sum[r] = i ? _mm256_add_epi32(sum[r], part) : part;
                        __asm__("" : "+x"(sum[r]));      /* added up here and now: gcc would keep all eight parts, in memory */
                    }
                }
                EACH(r) {
                    if (less)
                        sum[r] = _mm256_sub_epi32(sum[r], _mm256_slli_epi32(_mm256_madd_epi16(words, FEW_SUM16(r, b)), less));
                    if (type == KER_Q2_K)
                        low[r][k] = _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(load16(s), 4), _mm_set1_epi8(15))), FEW_SUM16(r, b));
                    else if (IS_FEW_MIN(type))   /* minima are the upper half of the words */
                        low[r][k] = _mm256_castsi128_si256(_mm_madd_epi16(_mm256_extracti128_si256(words, 1), FEW_SUM32(r, b)));
                    p[r][k] = sum[r];
                }
            }
            __m256i pairs = IS_FEW_MIN(type) ? dwords8(row, at + (type == KER_Q2_K ? 80 : 0)) : _mm256_setzero_si256();
            __m256 d = IS_FEW_MIN(type) ? low_halves(pairs) : halves8(row, at + (type == KER_Q6_K ? 208 : type == KER_Q3_K ? 108 : 0)), m = high_halves(pairs);
            EACH(r) {
                __m256 da = FEW_D(r, b);
                acc[r] = _mm256_fmadd_ps(_mm256_mul_ps(d, da), _mm256_cvtepi32_ps(fold8(p[r])), acc[r]);
                if (!IS_FEW_MIN(type)) continue;
                __m256i four[4];
                UNROLL for (int k = 0; k < 4 && type != KER_Q2_K; k++) four[k] = _mm256_inserti128_si256(low[r][k], _mm256_castsi256_si128(low[r][4 + k]), 1);
                acc[r] = _mm256_fnmadd_ps(_mm256_mul_ps(m, da), _mm256_cvtepi32_ps(type == KER_Q2_K ? fold8(low[r]) : fold4(four)), acc[r]);
            }
        }
        EACH(r) put_y(y + r * y_stride + o, live, acc[r]);
    }
}

/* ---- sixteen numbers of two rows a vector ---- */

/* Sixteen bytes of a row and of the one four rows on; rows lie `rb` bytes apart. */
INLINE __m256i pair16(const uint8_t *s, int64_t rb) { return two16(s, s + 4 * rb); }
INLINE __m256i twice16(const void *p) { return _mm256_broadcastsi128_si256(load16(p)); }
/* Neighbours added up: a's and b's in turn, by words, dwords and pairs of these. */
INLINE __m256i fold_words(__m256i a, __m256i b) { return _mm256_add_epi16(_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)); }
INLINE __m256i fold_dwords(__m256i a, __m256i b) { return _mm256_add_epi16(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)); }
INLINE __m256i fold_pairs(__m256i a, __m256i b) { return _mm256_add_epi16(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)); }

/* What stands at the heads of a block of eight rows, lane = row: d and dmin, and scales and minima as bytes, four sub-blocks a dword. */
typedef struct k_heads { __m256i pairs, sc[2], mn[2]; } k_heads;
INLINE k_heads k_heads_of(const uint8_t *s, int64_t rb)
{
    const __m256i six = _mm256_set1_epi8(0x3f), up = _mm256_set1_epi8(0x30);
    __m256i h[4], t[4];
    UNROLL for (int k = 0; k < 4; k++) h[k] = pair16(s + k * rb, rb);
    UNROLL for (int k = 0; k < 2; k++) {
        t[k] = _mm256_unpacklo_epi32(h[2 * k], h[2 * k + 1]);
        t[2 + k] = _mm256_unpackhi_epi32(h[2 * k], h[2 * k + 1]);
    }
    const __m256i a = _mm256_unpackhi_epi64(t[0], t[1]), b = _mm256_unpacklo_epi64(t[2], t[3]), c = _mm256_unpackhi_epi64(t[2], t[3]);
    k_heads k = { .pairs = _mm256_unpacklo_epi64(t[0], t[1]), .sc[0] = _mm256_and_si256(a, six), .mn[0] = _mm256_and_si256(b, six) };
    k.sc[1] = _mm256_or_si256(low_nibbles(c), _mm256_and_si256(_mm256_srli_epi16(a, 2), up));
    k.mn[1] = _mm256_or_si256(high_nibbles(c), _mm256_and_si256(_mm256_srli_epi16(b, 2), up));
    return k;
}
/* Two bytes of each dword as words: the lower two, or the upper ones. */
INLINE __m256i two_words(__m256i v, const int upper)
{
    const __m256i low = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1));
    const __m256i high = _mm256_broadcastsi128_si256(_mm_setr_epi8(2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15, -1));
    return _mm256_shuffle_epi8(v, upper ? high : low);
}

/* Q4_K: two rows a vector, so that the halves of a sub-block are added up as they are; the sums of two sub-blocks and eight rows are folded
 * as words until a word is one of them, and meet their scales together. A whole sum of a sub-block fits a word if 8 is taken off
 * the weights: it is, by the sums of the activations, and is put back behind the scale. */
INLINE void dec_q4k(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1, float *y, int64_t y_stride, const int type, const int bytes)
{
    (void)type;
    const few_at in = few_offsets(act, w->n_in, 256);
    const int live = o1 - o0 < 8 ? 1 : 8;            /* fewer rows than eight one by one; the last eight may begin among those before */
    const int64_t rb = live == 8 ? w->row_bytes : 0;
    for (int64_t from = o0; from < o1; from += live) {
        const int64_t o = o1 - from < live ? o1 - live : from, far = rows_ahead(w, o, o1);
        const uint8_t *s = w->data + o * w->row_bytes;
        __m256 acc[FEW];
        EACH(r) acc[r] = _mm256_setzero_ps();
        for (int64_t b = 0, at = 0; at < w->row_bytes; b++, at += bytes, s += bytes) {
            const k_heads heads = k_heads_of(s, rb);
            __m256i isum[FEW], msum[FEW];
            UNROLL for (int c = 0; c < 4; c++) {     /* sub-blocks 2 c and 2 c + 1 */
                __m256i x[FEW][4];
                UNROLL for (int k = 0; k < 4; k++) {
                    const uint8_t *of = s + k * rb + 16 + 32 * c;
                    if (c % 2 == 0) fetch(s + far + (k + 2 * c) * rb, at, bytes);
                    __m256i v0 = pair16(of, rb), v1 = pair16(of + 16, rb);
                    __m256i l0 = low_nibbles(v0), l1 = low_nibbles(v1), h0 = high_nibbles(v0), h1 = high_nibbles(v1);
                    EACH(r) {
                        const char *a = ROW(r) + 256 * b + 64 * c;
                        __m256i low = _mm256_add_epi16(_mm256_maddubs_epi16(l0, twice16(a)), _mm256_maddubs_epi16(l1, twice16(a + 16)));
                        __m256i high = _mm256_add_epi16(_mm256_maddubs_epi16(h0, twice16(a + 32)), _mm256_maddubs_epi16(h1, twice16(a + 48)));
                        x[r][k] = fold_words(low, high);
                        NOW(x[r][k]);
                    }
                }
                const __m256i sc = two_words(heads.sc[c / 2], c % 2), mn = two_words(heads.mn[c / 2], c % 2);
                EACH(r) {
                    const __m256i sums = four(ROW(r) + in.sum32 + 16 * b + 4 * c), eight = _mm256_slli_epi16(sums, 3);
                    __m256i all = fold_pairs(fold_dwords(x[r][0], x[r][1]), fold_dwords(x[r][2], x[r][3]));
                    __m256i part = _mm256_add_epi32(_mm256_madd_epi16(_mm256_sub_epi16(all, eight), sc), _mm256_madd_epi16(eight, sc)), low = _mm256_madd_epi16(mn, sums);
                    isum[r] = c ? _mm256_add_epi32(isum[r], part) : part;
                    msum[r] = c ? _mm256_add_epi32(msum[r], low) : low;
                    NOW(isum[r]);
                    NOW(msum[r]);
                }
            }
            const __m256 d = low_halves(heads.pairs), m = high_halves(heads.pairs);
            EACH(r) {
                __m256 da = FEW_D(r, b);
                acc[r] = _mm256_fmadd_ps(_mm256_mul_ps(d, da), _mm256_cvtepi32_ps(isum[r]), acc[r]);
                acc[r] = _mm256_fnmadd_ps(_mm256_mul_ps(m, da), _mm256_cvtepi32_ps(msum[r]), acc[r]);
            }
        }
        EACH(r) put_y(y + r * y_stride + o, live, acc[r]);
    }
}

/* ---- blocks of 32 ---- */

/* Bit i of a dword to bit 4 of byte i. */
INLINE __m256i fifth_bits(const uint8_t *p)
{
    const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    __m256i at = _mm256_shuffle_epi8(_mm256_set1_epi32(dword_bits(p)), _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
    return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(at, bit), bit), _mm256_set1_epi8(16));
}

INLINE __m256i few_bytes_32(const int type, const uint8_t *s, const int bytes)
{
    if (type == KER_Q8_0) return load32(s + 2);
    __m256i v = _mm256_broadcastsi128_si256(load16(s + bytes - 16));
    v = _mm256_and_si256(_mm256_srlv_epi32(v, _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4)), _mm256_set1_epi8(15));
    if (type == KER_Q5_0 || type == KER_Q5_1) return _mm256_or_si256(v, fifth_bits(s + bytes - 20));
    if (type == KER_IQ4_NL || type == KER_MXFP4) return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(load16(type == KER_MXFP4 ? e2m1_plus_12 : iq4_values)), v);
    return v;
}

INLINE void dec_32(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1, float *y, int64_t y_stride, const int type, const int bytes)
{
    const int is_signed = type == KER_Q8_0 || type == KER_IQ4_NL, has_min = type == KER_Q4_1 || type == KER_Q5_1;
    const int less = type == KER_Q4_0 ? 8 : type == KER_Q5_0 ? 16 : type == KER_MXFP4 ? 12 : 0;
    const few_at in = few_offsets(act, w->n_in, 32);
    for (int64_t o = o0; o < o1; o += 8) {
        const uint8_t *row[8];
        const int live = rows8(w, o, o1, row);
        const int64_t far = rows_ahead(w, o, o1);
        __m256 acc[FEW];
        EACH(r) acc[r] = _mm256_setzero_ps();
        for (int64_t b = 0, at = 0; at < w->row_bytes; b++, at += bytes) {
            __m256i p[FEW][8];
            if (at % 64 < bytes)
                UNROLL for (int i = 0; i < 8; i++)
                    _mm_prefetch((const char *)row[i] + at + far, _MM_HINT_T1);
            UNROLL for (int k = 0; k < 8; k++) {
                __m256i v = few_bytes_32(type, row[k] + at, bytes), mag = is_signed ? _mm256_abs_epi8(v) : v;
                EACH(r) {
                    __m256i a = load32(ROW(r) + 32 * b);
                    p[r][k] = _mm256_madd_epi16(_mm256_maddubs_epi16(mag, is_signed ? _mm256_sign_epi8(a, v) : a), _mm256_set1_epi16(1));
                }
            }
            __m256i pairs = has_min ? dwords8(row, at) : _mm256_setzero_si256();
            __m256 d = has_min ? low_halves(pairs) : type == KER_MXFP4 ? e8m0_halves(row, at) : halves8(row, at), m = high_halves(pairs);
            EACH(r) {
                __m256 da = FEW_D(r, b);
                __m256i isum = fold8(p[r]);
                if (less) isum = _mm256_sub_epi32(isum, _mm256_set1_epi32(less * FEW_SUM(r, b)));
                acc[r] = _mm256_fmadd_ps(_mm256_mul_ps(d, da), _mm256_cvtepi32_ps(isum), acc[r]);
                if (has_min) acc[r] = _mm256_fmadd_ps(_mm256_mul_ps(m, da), _mm256_set1_ps((float)FEW_SUM(r, b)), acc[r]);
            }
        }
        EACH(r) put_y(y + r * y_stride + o, live, acc[r]);
    }
}

/* ---- blocks of 64 ---- */

/* NVFP4: lanes are sixteens 0 and 2, or 1 and 3; 12 too large for maddubs, as MXFP4. */
INLINE void dec_64(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1, float *y, int64_t y_stride, const int type, const int bytes)
{
    const __m256i table = _mm256_broadcastsi128_si256(load16(e2m1_plus_12));
    const few_at in = few_offsets(act, w->n_in, 32);
    (void)type;
    for (int64_t o = o0; o < o1; o += 8) {
        const uint8_t *row[8];
        const int live = rows8(w, o, o1, row);
        const int64_t far = rows_ahead(w, o, o1);
        __m256 acc[FEW];
        EACH(r) acc[r] = _mm256_setzero_ps();
        for (int64_t b = 0, at = 0; at < w->row_bytes; b++, at += bytes) {
            __m256i p[FEW][2][8], a[FEW][2], less[FEW][2];
            __m256 d[4];
            EACH(r) UNROLL for (int h = 0; h < 2; h++) {
                a[r][h] = two16(ROW(r) + 64 * b + 16 * h, ROW(r) + 64 * b + 32 + 16 * h);
                less[r][h] = _mm256_maddubs_epi16(_mm256_set1_epi8(12), a[r][h]);
            }
            UNROLL for (int k = 0; k < 8; k++) {
                fetch(row[k] + at + far, at, bytes);
                __m256i v = load32(row[k] + at + 4), lo = low_nibbles(v), hi = high_nibbles(v);
                __m256i u[2] = { _mm256_shuffle_epi8(table, _mm256_unpacklo_epi64(lo, hi)), _mm256_shuffle_epi8(table, _mm256_unpackhi_epi64(lo, hi)) };
                EACH(r) UNROLL for (int h = 0; h < 2; h++)
                    p[r][h][k] = _mm256_madd_epi16(_mm256_sub_epi16(_mm256_maddubs_epi16(u[h], a[r][h]), less[r][h]), _mm256_set1_epi16(1));
            }
            ue4m3_halves(row, at, d);
            EACH(r) {
                __m256i sum[4];
                UNROLL for (int h = 0; h < 2; h++) {
                    __m256i s = fold4(p[r][h]), t = fold4(p[r][h] + 4);
                    sum[h] = _mm256_permute2x128_si256(s, t, 0x20), sum[2 + h] = _mm256_permute2x128_si256(s, t, 0x31);
                }
                UNROLL for (int j = 0; j < 4; j++)
                    acc[r] = _mm256_fmadd_ps(_mm256_mul_ps(d[j], FEW_D(r, 2 * b + j / 2)), _mm256_cvtepi32_ps(sum[j]), acc[r]);
            }
        }
        EACH(r) put_y(y + r * y_stride + o, live, acc[r]);
    }
}

typedef void few_fn(const mat *w, const void *act, int64_t act_stride, int64_t o0, int64_t o1, float *y, int64_t y_stride);
#define FEW_ROWS(name, dec, nr, type, bytes) static void name##_##nr(const mat *w, const void *a, int64_t as, int64_t o0, int64_t o1, float *y, int64_t ys) \
    { dec(w, a, as, nr, o0, o1, y, ys, type, bytes); }
#define FEW_TYPE(name, dec, type, bytes) FEW_ROWS(name, dec, 1, type, bytes) FEW_ROWS(name, dec, 2, type, bytes) \
    FEW_ROWS(name, dec, 3, type, bytes) FEW_ROWS(name, dec, 4, type, bytes) \
    static few_fn *const name[FEW + 1] = { NULL, name##_1, name##_2, name##_3, name##_4 };
FEW_TYPE(few_q4k, dec_q4k, KER_Q4_K, 144)
FEW_TYPE(few_q5k, dec_256, KER_Q5_K, 176)
FEW_TYPE(few_q6k, dec_256, KER_Q6_K, 210)
FEW_TYPE(few_q2k, dec_256, KER_Q2_K, 84)
FEW_TYPE(few_q3k, dec_256, KER_Q3_K, 110)
FEW_TYPE(few_iq4xs, dec_256, KER_IQ4_XS, 136)
FEW_TYPE(few_q80, dec_32, KER_Q8_0, 34)
FEW_TYPE(few_q40, dec_32, KER_Q4_0, 18)
FEW_TYPE(few_q41, dec_32, KER_Q4_1, 20)
FEW_TYPE(few_q50, dec_32, KER_Q5_0, 22)
FEW_TYPE(few_q51, dec_32, KER_Q5_1, 24)
FEW_TYPE(few_iq4nl, dec_32, KER_IQ4_NL, 18)
FEW_TYPE(few_mxfp4, dec_32, KER_MXFP4, 17)
FEW_TYPE(few_nvfp4, dec_64, KER_NVFP4, 36)
