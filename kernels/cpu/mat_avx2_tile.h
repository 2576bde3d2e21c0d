/* kernels/cpu/mat_avx2_tile: the products of two tiles, sixteen rows of the matrix, with up to three rows of activations, with AVX2;
 * included by mat_avx2.c, which makes the tiles. Three rows by two tiles are what sixteen registers hold: six sums of words, six of
 * dwords, and five loads serve six products.
 *
 * Byte products go through maddubs, whose int16 sums of two must not saturate. Weights are unsigned for it, and as many such sums are
 * added up as words as fit: `flush` steps of four bytes. What weights are too large by (way.less) is in the sum's first number, taken
 * from prepared `starts`: words wrap, so only the sum of flush * 2 products of the weights as they are meant has to fit. Weights
 * that fill eight bits are signed and meet |w| times a with w's sign. */

enum { MAX_R = 3, START_ROWS = 512 };   /* rows of activations at a time; rows that starts are made for at once */

typedef struct panel {             /* the same for every tile and row of one panel */
    int64_t stride, y_stride;      /* bytes; floats */
    int64_t d_at, sums_at;         /* offsets in a prepared row, of this panel's first block */
    int64_t start_stride;          /* bytes */
    int n_block;
    int first;                     /* y holds nothing yet */
} panel;

/* What one call of a kernel is over. */
typedef struct span {
    const void *tile[2];           /* n_block each */
    const char *act;               /* of the first row */
    const char *start;             /* of the first row: a dword for each sum of words */
    float *y;
    int live[2];                   /* how many of a tile's eight rows are wanted */
} span;

INLINE __m256i four(const char *p) { int32_t v; memcpy(&v, p, 4); return _mm256_set1_epi32(v); }
INLINE __m256 scale(const char *p) { float v; memcpy(&v, p, 4); return _mm256_set1_ps(v); }

#define EACH(r) UNROLL for (int r = 0; r < nr; r++)
#define BOTH(i) UNROLL for (int i = 0; i < 2; i++)
/* Added up here and now: gcc would take integer sums apart and keep all their parts, in memory. */
#define NOW(v) __asm__("" : "+x"(v))

/* y's eight floats of a row; a part of a tile goes through memory. */
INLINE __m256 get_y(const float *y, int live)
{
    float v[8] = { 0 };
    if (live == 8)
        return _mm256_loadu_ps(y);
    memcpy(v, y, (size_t)live * 4);
    return _mm256_loadu_ps(v);
}
INLINE void put_y(float *y, int live, __m256 v)
{
    float part[8];
    if (live == 8) {
        _mm256_storeu_ps(y, v);
        return;
    }
    _mm256_storeu_ps(part, v);
    memcpy(y, part, (size_t)live * 4);
}

/* dot[r][i] = sum of `flush` steps of four bytes, as words. */
INLINE void steps(const uint8_t (*w0)[8][4], const uint8_t (*w1)[8][4], const char *q, int64_t stride, const char *start, int64_t start_stride,
                  const int nr, const int flush, const int is_signed, const int less, __m256i dot[MAX_R][2])
{
    if (less)
        EACH(r) dot[r][0] = dot[r][1] = four(start + r * start_stride);
    UNROLL for (int k = 0; k < flush; k++) {
        __m256i v[2] = { load32(w0[k]), load32(w1[k]) }, mag[2];
        BOTH(i) mag[i] = is_signed ? _mm256_abs_epi8(v[i]) : v[i];
        EACH(r) {
            __m256i a = four(q + r * stride + 4 * k);
            BOTH(i) {
                __m256i p = _mm256_maddubs_epi16(mag[i], is_signed ? _mm256_sign_epi8(a, v[i]) : a);
                dot[r][i] = k || less ? _mm256_add_epi16(dot[r][i], p) : p;
                NOW(dot[r][i]);
            }
        }
    }
}

#define GET_ACC __m256 acc[MAX_R][2]; \
    EACH(r) BOTH(i) acc[r][i] = p->first ? _mm256_setzero_ps() : get_y(s->y + r * p->y_stride + 8 * i, s->live[i]);
#define PUT_ACC EACH(r) BOTH(i) put_y(s->y + r * p->y_stride + 8 * i, s->live[i], acc[r][i]);

INLINE void kernel256(const span *s, const panel *p, const int nr, const int sub, const int flush, const int is_signed, const int less, const int has_min)
{
    const tile256 *t0 = s->tile[0], *t1 = s->tile[1];
    const char *start = s->start;
    GET_ACC
    for (int b = 0; b < p->n_block; b++, t0++, t1++) {
        const char *q = s->act + 256 * b;
        __m256i sum[MAX_R][2], dot[MAX_R][2];
        EACH(r) BOTH(i) sum[r][i] = _mm256_setzero_si256();
        for (int j = 0; j < 256 / sub; j++)
            UNROLL for (int k = 0; k < sub / 4; k += flush) {
                steps(t0->w + j * (sub / 4) + k, t1->w + j * (sub / 4) + k, q + j * sub + 4 * k, p->stride, start, p->start_stride, nr, flush, is_signed, less, dot);
                start += less ? 4 : 0;
                __m256i sc[2] = { load32(t0->sc[j]), load32(t1->sc[j]) };
                EACH(r) BOTH(i) {
                    sum[r][i] = _mm256_add_epi32(sum[r][i], _mm256_madd_epi16(dot[r][i], sc[i]));
                    NOW(sum[r][i]);
                }
            }
        BOTH(i) {
            const tile256 *t = i ? t1 : t0;
            __m256 d = _mm256_loadu_ps(t->d), m = has_min ? _mm256_loadu_ps(t->m) : d;
            EACH(r) {
                __m256 da = scale(s->act + p->d_at + 4 * b + r * p->stride);
                acc[r][i] = _mm256_fmadd_ps(_mm256_mul_ps(d, da), _mm256_cvtepi32_ps(sum[r][i]), acc[r][i]);
                if (!has_min) continue;
                __m256i low = _mm256_setzero_si256();
                UNROLL for (int j = 0; j < 128 / sub; j++)
                    low = _mm256_add_epi32(low, _mm256_madd_epi16(load32(t->words[j]), four(s->act + p->sums_at + 512 / sub * b + 4 * j + r * p->stride)));
                acc[r][i] = _mm256_fnmadd_ps(_mm256_mul_ps(m, da), _mm256_cvtepi32_ps(low), acc[r][i]);
            }
        }
    }
    PUT_ACC
}

INLINE void kernel32(const span *s, const panel *p, const int nr, const int sub, const int flush, const int is_signed, const int less, const int has_min)
{
    const tile32 *t0 = s->tile[0], *t1 = s->tile[1];
    const char *start = s->start;
    (void)sub;
    GET_ACC
    for (int b = 0; b < p->n_block; b++, t0++, t1++) {
        __m256i sum[MAX_R][2], dot[MAX_R][2];
        UNROLL for (int k = 0; k < 8; k += flush) {
            steps(t0->w + k, t1->w + k, s->act + 32 * b + 4 * k, p->stride, start, p->start_stride, nr, flush, is_signed, less, dot);
            start += less ? 4 : 0;
            EACH(r) BOTH(i) {
                __m256i part = _mm256_madd_epi16(dot[r][i], _mm256_set1_epi16(1));
                sum[r][i] = k ? _mm256_add_epi32(sum[r][i], part) : part;
                NOW(sum[r][i]);
            }
        }
        BOTH(i) {
            const tile32 *t = i ? t1 : t0;
            __m256 d = _mm256_loadu_ps(t->d), m = has_min ? _mm256_loadu_ps(t->m) : d;
            EACH(r) {
                __m256 da = scale(s->act + p->d_at + 4 * b + r * p->stride);
                acc[r][i] = _mm256_fmadd_ps(_mm256_mul_ps(d, da), _mm256_cvtepi32_ps(sum[r][i]), acc[r][i]);
                if (has_min)
                    acc[r][i] = _mm256_fmadd_ps(_mm256_mul_ps(m, da), _mm256_cvtepi32_ps(four(s->act + p->sums_at + 4 * b + r * p->stride)), acc[r][i]);
            }
        }
    }
    PUT_ACC
}

INLINE void kernel64(const span *s, const panel *p, const int nr, const int sub, const int flush, const int is_signed, const int less, const int has_min)
{
    const tile64 *t0 = s->tile[0], *t1 = s->tile[1];
    const char *start = s->start;
    (void)has_min;
    GET_ACC
    for (int b = 0; b < p->n_block; b++, t0++, t1++)
        UNROLL for (int j = 0; j < 64 / sub; j++) {
            __m256i dot[MAX_R][2];
            steps(t0->w + j * flush, t1->w + j * flush, s->act + 64 * b + j * sub, p->stride, start, p->start_stride, nr, flush, is_signed, less, dot);
            start += less ? 4 : 0;
            BOTH(i) {
                __m256 d = _mm256_loadu_ps(i ? t1->d[j] : t0->d[j]);
                EACH(r) {
                    __m256 da = scale(s->act + p->d_at + 8 * b + j / 2 * 4 + r * p->stride);
                    acc[r][i] = _mm256_fmadd_ps(_mm256_mul_ps(d, da), _mm256_cvtepi32_ps(_mm256_madd_epi16(dot[r][i], _mm256_set1_epi16(1))), acc[r][i]);
                }
            }
        }
    PUT_ACC
}

typedef void kernel_fn(const span *s, const panel *p);
#define ONE(name, nr, kernel, ...) static void name##_##nr(const span *s, const panel *p) { kernel(s, p, nr, __VA_ARGS__); }
#define ALL_R(name, ...) ONE(name, 1, __VA_ARGS__) ONE(name, 2, __VA_ARGS__) ONE(name, 3, __VA_ARGS__) \
    static kernel_fn *const name[MAX_R + 1] = { NULL, name##_1, name##_2, name##_3 };
/*    name        kernel     sub flush signed less min      the largest sum of words */
ALL_R(run_q4k,    kernel256, 32, 8,    0,     0,   1)    /* 8 * 2 * 15 * 127 = 30480 */
ALL_R(run_q5k,    kernel256, 32, 4,    0,     0,   1)    /* 4 * 2 * 31 * 127 = 31496 */
ALL_R(run_q2k,    kernel256, 16, 4,    0,     0,   1)
ALL_R(run_less16, kernel256, 16, 4,    0,     1,   0)    /* Q6_K: 4 * 2 * 32 * 127 = 32512 */
ALL_R(run_less32, kernel256, 32, 8,    0,     1,   0)    /* IQ1_S: 8 * 2 * 9 * 127 = 18288 */
ALL_R(run_iq4xs,  kernel256, 32, 1,    1,     0,   0)
ALL_R(run_grid32, kernel256, 32, 2,    1,     0,   0)    /* 2 * 2 * 62 * 127 = 31496 */
ALL_R(run_grid16, kernel256, 16, 2,    1,     0,   0)
ALL_R(run_small,  kernel256, 32, 8,    1,     0,   0)    /* IQ3_S: 8 * 2 * 15 * 127 = 30480 */
ALL_R(run_nvfp4,  kernel64,  16, 4,    0,     1,   0)    /* 4 * 2 * 12 * 127 = 12192 */
ALL_R(run_q5_1,   kernel32,  32, 4,    0,     0,   1)
ALL_R(run_q4_1,   kernel32,  32, 8,    0,     0,   1)
ALL_R(run_less,   kernel32,  32, 8,    0,     1,   0)    /* Q5_0: 8 * 2 * 16 * 127 = 32512 */
ALL_R(run_byte,   kernel32,  32, 1,    1,     0,   0)    /* 2 * 128 * 127 = 32512 */

/* Starts of a row's numbers, a dword for every `sub` of them: -less times the sums of what meets one word of a sum. n % 32 == 0; the
 * numbers are readable to the next multiple of 64, and so much is written. */
INLINE void starts(const int8_t *q, int n, const int sub, int less, uint8_t *out)
{
    const __m256i by = _mm256_set1_epi8((char)less);
    for (int i = 0; i < n; i += 64, out += 256 / sub) {
        __m256i p0 = _mm256_maddubs_epi16(by, load32(q + i)), p1 = _mm256_maddubs_epi16(by, load32(q + i + 32));
        __m256i two = _mm256_add_epi16(_mm256_unpacklo_epi32(p0, p1), _mm256_unpackhi_epi32(p0, p1));
        two = _mm256_sub_epi16(_mm256_setzero_si256(), _mm256_add_epi16(two, _mm256_shuffle_epi32(two, 0x4e)));
        __m128i even = _mm256_castsi256_si128(two), odd = _mm256_extracti128_si256(two, 1);    /* sixteens 0 and 2; 1 and 3 */
        if (sub == 16)
            _mm_storeu_si128((__m128i *)(void *)out, _mm_unpacklo_epi32(even, odd));
        else
            _mm_storel_epi64((__m128i *)(void *)out, _mm_add_epi16(even, odd));
    }
}
