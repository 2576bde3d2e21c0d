/* kernels/cpu/mat_512_nibbles: four blocks at a time of the types of 32 elements in nibbles (Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL) for few
 * activation rows, with 512-bit vectors and byte permutations (VBMI): two loads hold a row's four blocks, one permutation puts their
 * nibbles a block a lane, another their floats where those of the other rows are. Included by mat_512_decode.h, whose dec_nibbles
 * takes what is left of a row. */

#define TIMES_2(x, i) x(i), x((i) + 1)
#define TIMES_8(x, i) TIMES_2(x, i), TIMES_2(x, (i) + 2), TIMES_2(x, (i) + 4), TIMES_2(x, (i) + 6)
#define TIMES_64(x, i) TIMES_8(x, i), TIMES_8(x, (i) + 8), TIMES_8(x, (i) + 16), TIMES_8(x, (i) + 24), \
                       TIMES_8(x, (i) + 32), TIMES_8(x, (i) + 40), TIMES_8(x, (i) + 48), TIMES_8(x, (i) + 56)

/* Where byte p of four blocks of `bytes` is: in the first 64, or from 64 on in the last 64. */
#define IN_TWO(bytes, p) ((p) < 64 ? (p) : (p) + 128 - 4 * (bytes))
#define NIBBLE_AT(bytes, i) IN_TWO(bytes, (bytes) * ((i) / 16) + (bytes) - 16 + (i) % 16)
#define FIFTH_AT(bytes, i) IN_TWO(bytes, (bytes) * ((i) / 16) + (bytes) - 20 + (i) % 16 / 8)
#define HALF_AT(bytes, i) IN_TWO(bytes, (bytes) * ((i) % 8 / 2) + (i) % 2)
#define PAIR_AT(bytes, i) IN_TWO(bytes, (bytes) * ((i) % 16 / 4) + (i) % 4)
#define N18(i) NIBBLE_AT(18, i)
#define N20(i) NIBBLE_AT(20, i)
#define N22(i) NIBBLE_AT(22, i)
#define N24(i) NIBBLE_AT(24, i)
#define F22(i) FIFTH_AT(22, i)
#define F24(i) FIFTH_AT(24, i)
#define H18(i) HALF_AT(18, i)
#define H22(i) HALF_AT(22, i)
#define P20(i) PAIR_AT(20, i)
#define P24(i) PAIR_AT(24, i)
/* By (bytes - 18) / 2: nibbles, floats, the fifth bits of the low nibbles. */
static const uint8_t nibble_at[4][64] __attribute__((aligned(64))) = { { TIMES_64(N18, 0) }, { TIMES_64(N20, 0) }, { TIMES_64(N22, 0) }, { TIMES_64(N24, 0) } };
static const uint8_t head_at[4][64] __attribute__((aligned(64))) = { { TIMES_64(H18, 0) }, { TIMES_64(P20, 0) }, { TIMES_64(H22, 0) }, { TIMES_64(P24, 0) } };
static const uint8_t fifth_at[2][64] __attribute__((aligned(64))) = { { TIMES_64(F22, 0) }, { TIMES_64(F24, 0) } };

/* Bits of bytes x, each eight times over, put as the fifth of v. */
INLINE __m512i with_fifth(__m512i v, __m512i x)
{
    __mmask64 m = _mm512_test_epi8_mask(x, _mm512_set1_epi64((int64_t)0x8040201008040201));
    return _mm512_mask_add_epi8(v, m, v, _mm512_set1_epi8(16));
}

/* What nibble_group found: block k of the sixteen rows, and their floats. */
typedef struct nibble_heads { __m512 d[4], m[4]; } nibble_heads;
INLINE nibble_heads nibble_floats(const int has_min, const __m512i head[4])
{
    nibble_heads h;
    UNROLL for (int k = 0; k < 4; k++) {
        if (!has_min) {                /* a row's four half floats a qword */
            const __m512i at = _mm512_castsi256_si512(_mm256_setr_epi16(0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60));
            h.d[k] = h.m[k] = _mm512_cvtph_ps(_mm512_castsi512_si256(_mm512_permutex2var_epi16(head[0], _mm512_add_epi16(at, _mm512_set1_epi16((short)k)), head[1])));
            continue;
        }
        const __m512i at = _mm512_add_epi32(_mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 0, 0, 0, 0, 0, 0, 0), _mm512_set1_epi32(k));
        __m512i pairs = _mm512_inserti64x4(_mm512_permutex2var_epi32(head[0], at, head[1]),
                                           _mm512_castsi512_si256(_mm512_permutex2var_epi32(head[2], at, head[3])), 1);
        h.d[k] = low_halves(pairs);
        h.m[k] = high_halves(pairs);
    }
    return h;
}

INLINE void nibble_group(const int type, const int bytes, const uint8_t *const row[16], int64_t at, int64_t far, const void *act, int64_t act_stride, const int nr,
                         int64_t n_in, int64_t b, __m512 acc[4])
{
    const int has_min = type == KER_Q4_1 || type == KER_Q5_1, five = type == KER_Q5_0 || type == KER_Q5_1, which = (bytes - 18) / 2;
    const int by = type == KER_Q4_0 ? 8 : type == KER_Q5_0 ? 16 : type == KER_IQ4_NL ? 128 : 0, small = type != KER_IQ4_NL && type != KER_Q5_1;
    const __m512i z = _mm512_setzero_si512(), nib = _mm512_set1_epi8(15), less = _mm512_set1_epi8((char)by);
    const __m512i order = load64(nibble_at[which]), heads = load64(head_at[which]), table = _mm512_broadcast_i32x4(load16(iq4_plus_128));
    __m512i a[4][2], c[4], u[4][4], head[4] = { z, z, z, z };
    EACH(r) {
        __m512i x = load64(ROW(r) + 32 * b), v = load64(ROW(r) + 32 * b + 64);
        a[r][0] = _mm512_shuffle_i32x4(x, v, 0x88);
        a[r][1] = _mm512_shuffle_i32x4(x, v, 0xdd);
        c[r] = by ? _mm512_sub_epi32(z, dpb(dpb(z, less, a[r][0]), less, a[r][1])) : z;
    }
    UNROLL for (int q = 0; q < 4; q++) {
        __m512i p[4][4];
        UNROLL for (int g = 0; g < 4; g++) {
            const uint8_t *s = row[4 * q + g] + at;
            UNROLL for (int i = 0; i < 4 * bytes; i += 64)
                _mm_prefetch((const char *)s + far + i, _MM_HINT_T1);
            __m512i x0 = load64(s), x1 = load64(s + 4 * bytes - 64), x = _mm512_permutex2var_epi8(x0, order, x1);
            const int to = has_min ? q : q / 2;
            const __mmask64 place = has_min ? 0xffffull << (16 * g) : 0xffull << (8 * (4 * (q % 2) + g));
            head[to] = five ? _mm512_mask_mov_epi8(head[to], place, _mm512_permutex2var_epi8(x0, heads, x1)) : _mm512_mask_permutexvar_epi8(head[to], place, heads, x0);
            __m512i y = _mm512_srli_epi16(x, 4), lo, hi;
            if (type == KER_IQ4_NL)
                lo = _mm512_permutexvar_epi8(x, table), hi = _mm512_permutexvar_epi8(y, table);
            else
                lo = _mm512_and_si512(x, nib), hi = _mm512_and_si512(y, nib);
            if (five) {
                const __m512i low = load64(fifth_at[type == KER_Q5_1]);
                lo = with_fifth(lo, _mm512_permutex2var_epi8(x0, low, x1));
                hi = with_fifth(hi, _mm512_permutex2var_epi8(x0, _mm512_add_epi8(low, _mm512_set1_epi8(2)), x1));
            }
            EACH(r) p[r][g] = dpb(dpb(c[r], lo, a[r][0]), hi, a[r][1]);
        }
        EACH(r) u[r][q] = small ? fold4_small(p[r][0], p[r][1], p[r][2], p[r][3]) : fold4(p[r][0], p[r][1], p[r][2], p[r][3]);
    }
    EACH(r) transpose_lanes(u[r]);
    nibble_heads h = nibble_floats(has_min, head);
    EACH(r) {
        mat_q8 x = mat_q8_32(ROW(r), n_in);
        UNROLL for (int k = 0; k < 4; k++) {
            __m512 da = _mm512_set1_ps(x.d[b + k]);
            acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(h.d[k], da), _mm512_cvtepi32_ps(u[r][k]), acc[r]);
            if (has_min) acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(h.m[k], da), _mm512_set1_ps((float)x.sum[b + k]), acc[r]);
        }
    }
}
