/* kernels/cpu/mat_512_grid_few: the types of mat_512_grid.h for few activation rows (n <= 4), straight from the file's layout; included
 * behind it by mat_512.h.
 *
 * A vector holds one number of each of 64 rows of a grid, not rows one after another: looked up 64 at a time, the low and high bytes of
 * rows are codes already, which a table by six bits, signs among them, turns into bytes; what else a byte holds does not count. Activations
 * are put in that order instead, once for all rows of the matrix. What signs and sub-blocks belong to is arranged so that a dword's four
 * products are of one sub-block. IQ2's and IQ3's weights are GRID_LESS too large; sums begin with what takes that away. IQ1's codes are
 * linear: they stay where they are in their bytes, and sums are eight times too large (grid_codes).
 *
 * Of the machine: shifts, permutations and products share three of Zen 4's pipes, one and a half of them a cycle; logic, sums and blends
 * have a fourth. So codes are moved as little as can be, and merged with signs by ternary logic. */

/* What a code of two bits from bit `code` on, or of three, means with its sign in bit `sign`. */
#define SIGNED(value, c, code, sign) ((c) >> (sign) & 1 ? 2 * GRID_LESS - value((c) >> (code)) : value((c) >> (code)))
#define IQ2_FIRST(c) SIGNED(IQ2_VALUE, c, 0, 4)     /* numbers 0 and 1 in the low four bits, signs in the next two; */
#define IQ2_SECOND(c) SIGNED(IQ2_VALUE, c, 2, 5)
#define IQ2_THIRD(c) SIGNED(IQ2_VALUE, c, 4, 2)     /* 2 and, two bits lower, 3 in the next two, signs below */
#define IQ2_FOURTH(c) SIGNED(IQ2_VALUE, c, 4, 3)
#define IQ2_SEVENTH(c) SIGNED(IQ2_VALUE, c, 4, 0)
#define IQ2_EIGHTH(c) SIGNED(IQ2_VALUE, c, 4, 1)
static const uint8_t iq2_signed[6][64] __attribute__((aligned(64))) = {
    { TIMES_64(IQ2_FIRST, 0) }, { TIMES_64(IQ2_SECOND, 0) }, { TIMES_64(IQ2_THIRD, 0) }, { TIMES_64(IQ2_FOURTH, 0) },
    { TIMES_64(IQ2_SEVENTH, 0) }, { TIMES_64(IQ2_EIGHTH, 0) },
};

/* Seven signs to eight (grid_signs), number i's where `to` says. */
#define SIGN_TO(v, i, to) (EIGHT_SIGNS(v) >> (i) & 1) << (to)
#define LOW_SIGNS(v) (SIGN_TO(v, 0, 4) | SIGN_TO(v, 1, 5) | SIGN_TO(v, 2, 2) | SIGN_TO(v, 3, 3))
#define HIGH_SIGNS(v) (SIGN_TO(v, 4, 4) | SIGN_TO(v, 5, 5) | SIGN_TO(v, 6, 2) | SIGN_TO(v, 7, 3))
#define ALL_SIGNS(v) (LOW_SIGNS(v) | SIGN_TO(v, 4, 6) | SIGN_TO(v, 5, 7) | SIGN_TO(v, 6, 0) | SIGN_TO(v, 7, 1))
static const uint8_t iq2_signs[3][128] __attribute__((aligned(64))) = {
    { TIMES_64(LOW_SIGNS, 0), TIMES_64(LOW_SIGNS, 64) }, { TIMES_64(HIGH_SIGNS, 0), TIMES_64(HIGH_SIGNS, 64) }, { TIMES_64(ALL_SIGNS, 0), TIMES_64(ALL_SIGNS, 64) },
};
INLINE __m512i iq2_look_signs(const int which, __m512i sevens) { return _mm512_permutex2var_epi8(load64(iq2_signs[which]), sevens, load64(iq2_signs[which] + 64)); }

INLINE __m512i merge(const int mask, __m512i a, __m512i b) { return _mm512_ternarylogic_epi32(_mm512_set1_epi8((char)mask), a, b, 0xca); }   /* mask ? a : b */
INLINE __m512i keep(__m512i x, const int mask) { return _mm512_and_si512(x, _mm512_set1_epi8((char)mask)); }

/* x | 1 where `mask` lets through; as dwords. */
INLINE __m512i odd_dwords(__m512i x, const int mask) { return _mm512_ternarylogic_epi32(x, _mm512_set1_epi32(mask), _mm512_set1_epi32(1), 0xea); }

/* Four sums of IQ1's codes, number i of them 4^i times too large in its byte: made 64 times too large, and added up with `less`. */
INLINE __m512i grid_codes(const int vectors, const __m512i *codes, const __m512i *a, __m512i less)
{
    __m512i sum = _mm512_setzero_si512();
    UNROLL for (int i = 0; i < 4; i++) {
        if (i) sum = _mm512_slli_epi32(sum, 2);
        UNROLL for (int v = 0; v < vectors; v++) sum = dpb(sum, keep(codes[v], 3 << 2 * i), a[4 * v + i]);
    }
    return _mm512_add_epi32(sum, less);
}
enum { IQ1_TIMES = 8, IQ1_SHIFT = 3 };               /* how many times a block's sum is too large; as a shift */

/* Activations of a row in the order of a kind, in `ready` where they have the room, so that they are ordered once for all rows of the
 * matrix; else in `own` at each step. */
#define GRID_READY(kind) \
    const int64_t blocks = w->n_in / 256; \
    kind *const ready = scratch, own[4]; \
    const int once = nr * blocks * (int64_t)sizeof *ready <= MAT_SCRATCH; \
    if (once) EACH(r) for (int64_t b = 0; b < blocks; b++) kind##_prepare(type, ROW(r), w->n_in, b, &ready[r * blocks + b])
#define GRID_ACT(kind) \
    const kind *x[4]; \
    EACH(r) { \
        x[r] = once ? &ready[r * blocks + b] : &own[r]; \
        if (!once) kind##_prepare(type, ROW(r), w->n_in, b, &own[r]); \
    }

/* Of a row's block: the sums of sixteens times `by`, as dwords. */
INLINE __m512i sixteens_times(const void *row, int64_t n_in, int64_t b, const int by)
{
    return _mm512_mullo_epi32(_mm512_cvtepi16_epi32(load32(mat_q8_256(row, n_in).sum16 + 16 * b)), _mm512_set1_epi32(by));
}

/* Bytes of 64 activations by qword: qword i is number i of eight rows of eight. */
#define WHOLES_AT(i) (8 * ((i) % 8) + (i) / 8)
static const uint8_t wholes_order[64] __attribute__((aligned(64))) = { TIMES_64(WHOLES_AT, 0) };

/* ---- rows of eight, sub-blocks of 32: a dword is four rows of the grid, one sub-block of the first row of the matrix, then of the second ---- */

/* less: what sums begin with; IQ1_S: where an eighth more is meant, where less. */
typedef struct wholes { __m512i a[8], less[2]; } wholes;
INLINE void wholes_prepare(const int type, const void *row, int64_t n_in, int64_t b, wholes *x)
{
    const char *q = (const char *)row + 256 * b;
    const __m512i at = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 16, 16, 17, 17, 18, 18, 19, 19), sub = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    __m512i y[4];
    UNROLL for (int m = 0; m < 4; m++) y[m] = _mm512_permutexvar_epi8(load64(wholes_order), load64(q + 64 * m));
    UNROLL for (int h = 0; h < 2; h++) {
        const __m512i four = _mm512_add_epi64(_mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), _mm512_set1_epi64(4 * h));
        const __m512i u = _mm512_permutex2var_epi64(y[0], four, y[1]), v = _mm512_permutex2var_epi64(y[2], four, y[3]);
        UNROLL for (int i = 0; i < 4; i++) x->a[4 * h + i] = _mm512_permutex2var_epi32(u, _mm512_add_epi32(at, _mm512_set1_epi32(4 * i)), v);
    }
    const __m256i sums = _mm256_cvtepi16_epi32(load16(mat_q8_256(row, n_in).sum32 + 8 * b));
    UNROLL for (int i = 0; i < 2; i++)
        x->less[i] = _mm512_mullo_epi32(_mm512_permutexvar_epi32(sub, _mm512_castsi256_si512(sums)),
                                        _mm512_set1_epi32(!GRID_IQ1(type) ? -GRID_LESS : i ? -9 * IQ1_TIMES : -7 * IQ1_TIMES));
}

/* One block of each of two rows: where numbers are, by codes or, IQ2, with their signs; scales and, IQ1_S, where less is meant. */
typedef struct wholes_pair { grid_places p; __m512i signs, scale; __mmask16 less; } wholes_pair;
INLINE void wholes_find(const int type, const uint8_t *s0, const uint8_t *s1, wholes_pair *t)
{
    if (type == KER_IQ2_XXS) {                       /* 64 bits a sub-block: places, then signs; of both rows by turns */
        const __m512i x0 = load64(s0 + 2), x1 = load64(s1 + 2), even = _mm512_setr_epi32(0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30);
        const __m512i sevens = _mm512_permutex2var_epi32(x0, _mm512_add_epi32(even, _mm512_set1_epi32(1)), x1);
        places_low(&t->p, _mm512_permutex2var_epi32(x0, even, x1));
        t->signs = iq2_look_signs(2, sevens_of(sevens));
        t->scale = odd_dwords(_mm512_srli_epi32(sevens, 27), 0x1e);
        return;
    }
    const __m512i turns = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i at = _mm512_permutex2var_epi32(_mm512_castsi256_si512(load32(s0 + 2)), turns, _mm512_castsi256_si512(load32(s1 + 2)));
    const __m128i w0 = load16(s0 + 34), w1 = load16(s1 + 34);
    const __m256i words = _mm256_set_m128i(_mm_unpackhi_epi16(w0, w1), _mm_unpacklo_epi16(w0, w1));
    const __m512i dwords = _mm512_cvtepu16_epi32(words);
    places_iq1(&t->p, at, _mm512_multishift_epi64_epi8(_mm512_set1_epi64(0x15120f0c05023f3c), _mm512_cvtepu32_epi64(words)));
    t->less = _mm512_test_epi32_mask(dwords, _mm512_set1_epi32(0x8000));
    t->scale = odd_dwords(_mm512_srli_epi32(dwords, 11), 0x0e);
}

/* Their sums by dwords with one row of activations. */
INLINE __m512i wholes_sum(const int type, __m512i low, __m512i high, const wholes_pair *t, const wholes *x)
{
    if (GRID_IQ1(type)) {
        const __m512i codes[2] = { low, high };
        return grid_codes(2, codes, x->a, _mm512_mask_blend_epi32(t->less, x->less[0], x->less[1]));
    }
    const __m512i s = t->signs, low_2 = _mm512_srli_epi16(low, 2), high_2 = _mm512_srli_epi16(high, 2);
    const __m512i first = merge(15, low, s), fifth = merge(15, high, _mm512_srli_epi16(s, 2));
    const __m512i codes[8] = { first, first, merge(0x30, low, s), merge(0x30, low_2, s), fifth, fifth, merge(0x30, high, s), merge(0x30, high_2, s) };
    static const int table[8] = { 0, 1, 2, 3, 0, 1, 4, 5 };
    __m512i sum[2] = { x->less[0], _mm512_setzero_si512() };      /* two: one would wait for itself */
    UNROLL for (int i = 0; i < 8; i++) sum[i / 4] = dpb(sum[i / 4], _mm512_permutexvar_epi8(codes[i], load64(iq2_signed[table[i]])), x->a[i]);
    return _mm512_add_epi32(sum[0], sum[1]);
}

/* v[i] holds rows 2i and 2i + 1 by turns: their sums in row order. */
INLINE __m512i fold_turns(const __m512i v[8])
{
    __m512i u[4];
    UNROLL for (int i = 0; i < 4; i++) u[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(v[2 * i], v[2 * i + 1]), _mm512_unpackhi_epi64(v[2 * i], v[2 * i + 1]));
    return fold_lanes(fold_lanes(u[0], u[1]), fold_lanes(u[2], u[3]));
}

enum { GRID_PAIRS = 2 };       /* pairs of rows that share the reading of a grid's tables and do not wait for one another */

INLINE void dec_wholes(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1,
                       float *y, int64_t y_stride, void *scratch, const int type)
{
    const int bytes = GRID_BYTES(type);
    const uint8_t *row[16];
    GRID_READY(wholes);
    for (int64_t o = o0; o < o1; o += 16) {
        __mmask16 live = rows16(w, o, o1, row);
        const int64_t far = fetch_ahead(w, o, o1, 16);
        __m512 acc[4];
        EACH(r) acc[r] = _mm512_setzero_ps();
        for (int64_t b = 0, at = 0; at < w->row_bytes; b++, at += bytes) {
            __m512i p[4][8];
            GRID_ACT(wholes)
            for (int i = 0; i < 8; i += GRID_PAIRS) {         /* not unrolled: the code of two rows is long, and sums in memory cost less */
                wholes_pair t[2];
                __m512i low[2], high[2];
                const grid_places *const places[2] = { &t[0].p, &t[1].p };
                UNROLL for (int k = 0; k < GRID_PAIRS; k++) {
                    const uint8_t *s0 = row[2 * (i + k)] + at, *s1 = row[2 * (i + k) + 1] + at;
                    fetch(s0 + far, at, bytes);
                    fetch(s1 + far, at, bytes);
                    wholes_find(type, s0, s1, &t[k]);
                }
                grid_rows(type, GRID_PAIRS, places, low, high);
                UNROLL for (int k = 0; k < GRID_PAIRS; k++)
                    EACH(r) p[r][i + k] = _mm512_mullo_epi32(wholes_sum(type, low[k], high[k], &t[k], x[r]), t[k].scale);
            }
            __m512 d = grid_d(type, row, at);
            EACH(r) {
                __m512 da = _mm512_set1_ps(mat_q8_256(ROW(r), w->n_in).d[b]);
                __m512i isum = fold_turns(p[r]);
                if (GRID_IQ1(type)) isum = _mm512_srai_epi32(isum, IQ1_SHIFT);
                acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(d, da), _mm512_cvtepi32_ps(isum), acc[r]);
            }
        }
        EACH(r) _mm512_mask_storeu_ps(y + r * y_stride + o, live, acc[r]);
    }
}

/* ---- rows of eight, sub-blocks of 16 ----
 *
 * The low and high bytes of rows (numbers 0 to 3 and 4 to 7) interleaved by words: dword t of a sixteen has number i of its two rows and
 * number 4 + i of both. Half 0 has sixteens 0 to 3 and 8 to 11 of one row of the matrix, then of the next; half 1 the others. */

/* v[i] holds rows 2i and 2i + 1, eight dwords of each: their sums in row order. */
INLINE __m512i fold_pairs(const __m512i v[8])
{
    __m512i s = fold_lanes(fold4(v[0], v[1], v[2], v[3]), fold4(v[4], v[5], v[6], v[7]));
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15), s);
}

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

/* The scales of both halves' dwords. */
INLINE void eights_scales(const int type, const uint8_t *s0, const uint8_t *s1, __m512i scale[2])
{
    const int at = type == KER_IQ2_XS ? 66 : type == KER_IQ2_S ? 74 : 48;
    __m512i x = _mm512_inserti64x4(qwords(s0 + at), _mm512_castsi512_si256(qwords(s1 + at)), 1);
    UNROLL for (int h = 0; h < 2; h++)
        scale[h] = odd_dwords(_mm512_multishift_epi64_epi8(_mm512_load_si512(eights_bit[type == KER_IQ1_M][h]), x), type == KER_IQ1_M ? 0x0e : 0x1e);
}

/* A block's activations: what each half's numbers meet, what its sums begin with, and (IQ1) the sums of eights as words. */
typedef struct eights { __m512i a[2][4], less[2], eight[2]; } eights;
INLINE void eights_prepare(const int type, const void *row, int64_t n_in, int64_t b, eights *x)
{
    const char *q = (const char *)row + 256 * b;
    const __m512i z = _mm512_setzero_si512(), s = sixteens_times(row, n_in, b, GRID_IQ1(type) ? -9 * IQ1_TIMES : -GRID_LESS);
    __m512i y[4];
    UNROLL for (int m = 0; m < 4; m++) y[m] = _mm512_permutexvar_epi8(load64(eights_order), load64(q + 64 * m));
    x->less[0] = _mm512_shuffle_i32x4(s, s, 0x88);
    x->less[1] = _mm512_shuffle_i32x4(s, s, 0xdd);
    UNROLL for (int h = 0; h < 2; h++) {
        UNROLL for (int i = 0; i < 4; i++) {
            const __m512i at = _mm512_add_epi64(_mm512_setr_epi64(0, 1, 8, 9, 0, 1, 8, 9), _mm512_set1_epi64(2 * i));
            x->a[h][i] = _mm512_permutex2var_epi64(y[h], at, y[2 + h]);
        }
        __m512i even = z, odd = z;
        UNROLL for (int i = 0; i < 4; i++) {
            even = dpb(even, _mm512_set1_epi16(0x0001), x->a[h][i]);
            odd = dpb(odd, _mm512_set1_epi16(0x0100), x->a[h][i]);
        }
        x->eight[h] = _mm512_mask_blend_epi16(0xaaaaaaaa, even, _mm512_slli_epi32(odd, 16));
    }
}

/* Signs of the numbers of low and of high bytes, where iq2_signed asks for them. */
INLINE void eights_signs(const int type, const grid_two_places *t, __m512i signs[2])
{
    if (type == KER_IQ2_XS)
        UNROLL for (int k = 0; k < 2; k++) signs[k] = iq2_look_signs(k, t->sevens);
    else {
        signs[0] = merge(0x30, _mm512_slli_epi16(t->signs, 4), t->signs);
        signs[1] = merge(0x30, t->signs, _mm512_srli_epi16(t->signs, 4));
    }
}

/* Sums of half h of two rows' blocks with one row of activations. */
INLINE __m512i eights_sum(const int type, const int h, __m512i codes, __m512i signs, uint64_t more, const eights *x)
{
    if (GRID_IQ1(type)) {
        const __mmask32 here = (__mmask32)_pext_u64(more, h ? 0xff00ff00ff00ff00u : 0x00ff00ff00ff00ffu);
        return grid_codes(1, &codes, x->a[h], dpw(x->less[h], _mm512_maskz_set1_epi16(here, 2 * IQ1_TIMES), x->eight[h]));
    }
    const __m512i first = merge(15, codes, signs);
    const __m512i v[4] = { first, first, merge(0x30, codes, signs), merge(0x30, _mm512_srli_epi16(codes, 2), signs) };
    __m512i sum = x->less[h];
    UNROLL for (int k = 0; k < 4; k++) sum = dpb(sum, _mm512_permutexvar_epi8(v[k], load64(iq2_signed[k])), x->a[h][k]);
    return sum;
}

INLINE void dec_eights(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1,
                       float *y, int64_t y_stride, void *scratch, const int type)
{
    const int bytes = GRID_BYTES(type);
    const uint8_t *row[16];
    GRID_READY(eights);
    for (int64_t o = o0; o < o1; o += 16) {
        __mmask16 live = rows16(w, o, o1, row);
        const int64_t far = fetch_ahead(w, o, o1, 16);
        __m512 acc[4];
        EACH(r) acc[r] = _mm512_setzero_ps();
        for (int64_t b = 0, at = 0; at < w->row_bytes; b++, at += bytes) {
            __m512i p[4][8];
            GRID_ACT(eights)
            for (int i = 0; i < 8; i += GRID_PAIRS) {         /* not unrolled, as above */
                grid_two_places t[2];
                __m512i scale[2][2], low[2], high[2], signs[2];
                const grid_places *const places[2] = { &t[0].of[0], &t[1].of[0] };
                UNROLL for (int k = 0; k < GRID_PAIRS; k++) {
                    const uint8_t *s0 = row[2 * (i + k)] + at, *s1 = row[2 * (i + k) + 1] + at;
                    fetch(s0 + far, at, bytes);
                    fetch(s1 + far, at, bytes);
                    grid_find(type, s0, s1, &t[k]);
                    eights_scales(type, s0, s1, scale[k]);
                }
                grid_rows(type, GRID_PAIRS, places, low, high);
                UNROLL for (int k = 0; k < GRID_PAIRS; k++) {
                    if (!GRID_IQ1(type)) eights_signs(type, &t[k], signs);
                    UNROLL for (int h = 0; h < 2; h++) {
                        const __m512i codes = h ? _mm512_unpackhi_epi16(low[k], high[k]) : _mm512_unpacklo_epi16(low[k], high[k]);
                        const __m512i minus = GRID_IQ1(type) ? codes : h ? _mm512_unpackhi_epi16(signs[0], signs[1]) : _mm512_unpacklo_epi16(signs[0], signs[1]);
                        EACH(r) {
                            const __m512i sum = _mm512_mullo_epi32(eights_sum(type, h, codes, minus, t[k].more, x[r]), scale[k][h]);
                            p[r][i + k] = h ? _mm512_add_epi32(p[r][i + k], sum) : sum;
                        }
                    }
                }
            }
            __m512 d = grid_d(type, row, at);
            EACH(r) {
                __m512 da = _mm512_set1_ps(mat_q8_256(ROW(r), w->n_in).d[b]);
                __m512i isum = fold_pairs(p[r]);
                if (GRID_IQ1(type)) isum = _mm512_srai_epi32(isum, IQ1_SHIFT);
                acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(d, da), _mm512_cvtepi32_ps(isum), acc[r]);
            }
        }
        EACH(r) _mm512_mask_storeu_ps(y + r * y_stride + o, live, acc[r]);
    }
}

/* ---- rows of four: a vector is number i of the 64 rows of one block, a dword a sixteen ---- */

/* Codes of three bits: of numbers 0 and 2 in the low three of their bytes, signs above; of 1 and 3, a bit lower, in the next three. */
#define FOURS_FIRST(value, c) SIGNED(value, c, 0, 3)
#define FOURS_SECOND(value, c) SIGNED(value, c, 3, 0)
#define FOURS_THIRD(value, c) SIGNED(value, c, 0, 5)
#define FOURS_FOURTH(value, c) SIGNED(value, c, 3, 2)
#define XXS_FIRST(c) FOURS_FIRST(IQ3_XXS_VALUE, c)
#define XXS_SECOND(c) FOURS_SECOND(IQ3_XXS_VALUE, c)
#define XXS_THIRD(c) FOURS_THIRD(IQ3_XXS_VALUE, c)
#define XXS_FOURTH(c) FOURS_FOURTH(IQ3_XXS_VALUE, c)
#define S_FIRST(c) FOURS_FIRST(IQ3_S_VALUE, c)
#define S_SECOND(c) FOURS_SECOND(IQ3_S_VALUE, c)
#define S_THIRD(c) FOURS_THIRD(IQ3_S_VALUE, c)
#define S_FOURTH(c) FOURS_FOURTH(IQ3_S_VALUE, c)
static const uint8_t fours_signed[2][4][64] __attribute__((aligned(64))) = {
    { { TIMES_64(XXS_FIRST, 0) }, { TIMES_64(XXS_SECOND, 0) }, { TIMES_64(XXS_THIRD, 0) }, { TIMES_64(XXS_FOURTH, 0) } },
    { { TIMES_64(S_FIRST, 0) }, { TIMES_64(S_SECOND, 0) }, { TIMES_64(S_THIRD, 0) }, { TIMES_64(S_FOURTH, 0) } },
};

#define FOURS_AT(i) (4 * ((i) % 16) + (i) / 16)
#define FOURS_BIT(i) ((i) % 4 ? 0 : (4 * ((i) / 8) + 63) & 63)      /* as eights_bit */
static const uint8_t fours_order[64] __attribute__((aligned(64))) = { TIMES_64(FOURS_AT, 0) };
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

typedef struct fours { __m512i a[4], less; } fours;
INLINE void fours_prepare(const int type, const void *row, int64_t n_in, int64_t b, fours *x)
{
    (void)type;
    UNROLL for (int m = 0; m < 4; m++) x->a[m] = _mm512_permutexvar_epi8(load64(fours_order), load64((const char *)row + 256 * b + 64 * m));
    transpose_lanes(x->a);
    x->less = sixteens_times(row, n_in, b, -GRID_LESS);
}

/* The numbers of block e of two. Each row's four signs are shifted out of their bytes at once, to bits 3 to 6, and without the first to 0 to 2. */
INLINE void fours_bytes(const int type, const int e, __m512i low, __m512i high, __m512i signs, __m512i v[4])
{
    const __m512i at = _mm512_add_epi32(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), _mm512_set1_epi32(8 * e));
    const __m512i eight = _mm512_permutexvar_epi32(at, signs);
    const __m512i from_3 = _mm512_multishift_epi64_epi8(_mm512_set1_epi64(0x1915110d0905013d), eight), rest = _mm512_multishift_epi64_epi8(_mm512_set1_epi64(0x1d1915110d090501), eight);
    v[0] = merge(7, low, from_3);
    v[1] = merge(0x38, _mm512_srli_epi16(low, 1), rest);
    v[2] = merge(7, high, from_3);
    v[3] = merge(0x38, _mm512_srli_epi16(high, 1), rest);
    UNROLL for (int k = 0; k < 4; k++) v[k] = _mm512_permutexvar_epi8(v[k], load64(fours_signed[type == KER_IQ3_S][k]));
}

INLINE void dec_fours(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1,
                      float *y, int64_t y_stride, void *scratch, const int type)
{
    const int bytes = GRID_BYTES(type);
    const uint8_t *row[16];
    GRID_READY(fours);
    for (int64_t o = o0; o < o1; o += 16) {
        __mmask16 live = rows16(w, o, o1, row);
        const int64_t far = fetch_ahead(w, o, o1, 16);
        __m512 acc[4];
        EACH(r) acc[r] = _mm512_setzero_ps();
        for (int64_t b = 0, at = 0; at < w->row_bytes; b++, at += bytes) {
            __m512i p[4][16], u[4][4];
            GRID_ACT(fours)
            for (int i = 0; i < 16; i += 2) {            /* not unrolled, as above */
                const uint8_t *s0 = row[i] + at, *s1 = row[i + 1] + at;
                grid_two_places t;
                __m512i scale[2], low[2], high[2];
                const grid_places *const places[2] = { &t.of[0], &t.of[1] };
                fetch(s0 + far, at, bytes);
                fetch(s1 + far, at, bytes);
                grid_find(type, s0, s1, &t);
                fours_scales(type, s0, s1, scale);
                grid_rows(type, 2, places, low, high);
                UNROLL for (int e = 0; e < 2; e++) {
                    __m512i v[4], sum[4];
                    fours_bytes(type, e, low[e], high[e], t.signs, v);
                    EACH(r) sum[r] = x[r]->less;
                    UNROLL for (int k = 0; k < 4; k++)
                        EACH(r) sum[r] = dpb(sum[r], v[k], x[r]->a[k]);
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

/* less: minus four times all digits' activations, as the whole sum is four times too large. */
typedef struct ternary { __m512i a[5], less; } ternary;
INLINE void ternary_prepare(const int type, const void *row, int64_t n_in, int64_t b, ternary *x)
{
    const char *q = (const char *)row + 256 * b;
    const int digits = type == KER_TQ1_0 ? 5 : 4;
    __m512i sum = _mm512_setzero_si512();
    (void)n_in;
    if (type == KER_TQ2_0) few_act(q, x->a);
    UNROLL for (int k = 0; k < digits; k++) {
        if (type == KER_TQ1_0) x->a[k] = tq1_act(q, k);
        sum = dpb(sum, _mm512_set1_epi8(4), x->a[k]);
    }
    x->less = _mm512_sub_epi32(_mm512_setzero_si512(), sum);
}

INLINE void dec_ternary(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1,
                        float *y, int64_t y_stride, void *scratch, const int type)
{
    const int bytes = GRID_BYTES(type);
    const __m512i z = _mm512_setzero_si512(), first = _mm512_set1_epi8(3), second = _mm512_set1_epi8(0x0c);
    const uint8_t *row[16];
    GRID_READY(ternary);
    for (int64_t o = o0; o < o1; o += 16) {
        __mmask16 live = rows16(w, o, o1, row);
        const int64_t far = fetch_ahead(w, o, o1, 16);
        __m512 acc[4];
        EACH(r) acc[r] = _mm512_setzero_ps();
        for (int64_t b = 0, at = 0; at < w->row_bytes; b++, at += bytes) {
            __m512i u[4][4];
            GRID_ACT(ternary)
            UNROLL for (int q = 0; q < 4; q++) {
                __m512i p[4][4];
                UNROLL for (int g = 0; g < 4; g++) {
                    const uint8_t *s = row[4 * q + g] + at;
                    __m512i four, fifth = z;
                    fetch(s + far, at, bytes);
                    if (type == KER_TQ1_0) {
                        __m512i places = _mm512_maskz_loadu_epi8((1ull << 52) - 1, s);
                        four = look_byte(tq1_digits[0], places);
                        fifth = look_byte(tq1_digits[1], places);
                    } else
                        four = load64_once(s);
                    const __m512i h = _mm512_srli_epi16(four, 4);
                    const __m512i v[4] = { _mm512_and_si512(four, first), _mm512_and_si512(four, second), _mm512_and_si512(h, first), _mm512_and_si512(h, second) };
                    EACH(r) {
                        __m512i plain = dpb_small(dpb_small(type == KER_TQ1_0 ? dpb_small(z, fifth, x[r]->a[4]) : z, v[0], x[r]->a[0]), v[2], x[r]->a[2]);
                        p[r][g] = _mm512_add_epi32(_mm512_slli_epi32(plain, 2), dpb_small(dpb_small(x[r]->less, v[1], x[r]->a[1]), v[3], x[r]->a[3]));
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
