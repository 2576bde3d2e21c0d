/* kernels/cpu/mat_512_gemm: products for many activation rows, 512-bit; included by mat_512.h.
 * Sixteen rows of the matrix are unpacked to unsigned bytes, interleaved by four (lane = row), with their scales,
 * into the caller's scratch: up to four such tiles by 2048 columns, sized for the second cache. Then up to MAX_R
 * activation rows at a time run over each tile: a broadcast of four int8 meets 64 weights. Sums carry over column
 * panels through y itself. Bits equal the decode path's: the same exact block sums, the same fused steps. */

enum { PANEL = 2048, GROUP = 4 /* tiles in scratch */, LESS_BYTES = PANEL / 16 * 4 };       /* MAX_R: rows at a time, of the including file */

/* How a block's weights lie in a tile. Packed ones are taken apart in the kernel, once for all of its rows: that costs no
 * multiplier, and their tiles take less to write and less of the cache. */
enum form {
    BYTES,                             /* w[i]: elements 4i .. 4i + 3                              */
    NIBBLES,                           /* w[8p + k]: of sub-blocks of 32 2p low, 2p + 1 high       */
    NIBBLES_AND_PAIRS                  /* w[16f + 8h + k]: of half f low nibbles of quarter h, high of 2 + h; w[32 + 8f + k]: their pairs of
                                          higher bits, of quarter 0 lowest                         */
};

/* One 256-block of a tile. value = byte - less; words: pairs of minima, of types that have some; sub-blocks of 16 or 32 fill all or
 * half of the arrays. w last: its length depends on the form. */
typedef struct tile256 {
    float d[16], m[16];
    int32_t words[8][16];
    int32_t sc[8][16];
    uint8_t w[64][16][4];
} tile256;
typedef struct tile32 {
    uint8_t w[8][16][4];
    float d[16], m[16];
} tile32;
_Static_assert(sizeof(tile256) * (PANEL / 256) * GROUP + MAX_R * LESS_BYTES <= MAT_SCRATCH, "tiles fit the scratch");
_Static_assert(sizeof(tile32) * (PANEL / 32) * GROUP + MAX_R * LESS_BYTES <= MAT_SCRATCH, "tiles fit the scratch");

/* v[i] dword k -> v[k] dword i */
INLINE void transpose16(__m512i v[16])
{
    __m512i a[16], b[16];
    UNROLL for (int i = 0; i < 8; i++) {
        a[2 * i] = _mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
        a[2 * i + 1] = _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
    }
    UNROLL for (int q = 0; q < 16; q += 4) {
        b[q] = _mm512_unpacklo_epi64(a[q], a[q + 2]);
        b[q + 1] = _mm512_unpackhi_epi64(a[q], a[q + 2]);
        b[q + 2] = _mm512_unpacklo_epi64(a[q + 1], a[q + 3]);
        b[q + 3] = _mm512_unpackhi_epi64(a[q + 1], a[q + 3]);
    }
    UNROLL for (int j = 0; j < 4; j++) {
        __m512i x0 = _mm512_shuffle_i32x4(b[j], b[4 + j], 0x88), x1 = _mm512_shuffle_i32x4(b[8 + j], b[12 + j], 0x88);
        __m512i y0 = _mm512_shuffle_i32x4(b[j], b[4 + j], 0xdd), y1 = _mm512_shuffle_i32x4(b[8 + j], b[12 + j], 0xdd);
        v[j] = _mm512_shuffle_i32x4(x0, x1, 0x88);
        v[8 + j] = _mm512_shuffle_i32x4(x0, x1, 0xdd);
        v[4 + j] = _mm512_shuffle_i32x4(y0, y1, 0x88);
        v[12 + j] = _mm512_shuffle_i32x4(y0, y1, 0xdd);
    }
}

/* h[g] lane r belongs to row 4r + g: out[k] = dword k of every row, in row order. */
INLINE void transpose4(const __m512i h[4], __m512i out[4])
{
    __m512i a = _mm512_unpacklo_epi32(h[0], h[1]), b = _mm512_unpacklo_epi32(h[2], h[3]);
    __m512i c = _mm512_unpackhi_epi32(h[0], h[1]), d = _mm512_unpackhi_epi32(h[2], h[3]);
    out[0] = _mm512_unpacklo_epi64(a, b);
    out[1] = _mm512_unpackhi_epi64(a, b);
    out[2] = _mm512_unpacklo_epi64(c, d);
    out[3] = _mm512_unpackhi_epi64(c, d);
}

INLINE void put(void *p, __m512i v) { _mm512_storeu_si512(p, v); }

/* Words a as upper, b as lower halves. */
INLINE __m512i words_of(__m512i a, __m512i b) { return _mm512_mask_mov_epi16(b, 0xaaaaaaaau, _mm512_slli_epi32(a, 16)); }

/* ---- unpacking: one 256-block of sixteen rows ---- */

static void tile_q45k(tile256 *t, const uint8_t *const row[16], int64_t at, const int five)
{
    const __m512i nib = _mm512_set1_epi8(15), byte = _mm512_set1_epi32(255), bit4 = _mm512_set1_epi8(16);
    __m512i head[4], pairs, s[4], fifth[16];
    k_headers(row, at, head, &pairs);
    transpose4(head, s);                             /* sc0-3, sc4-7, mn0-3, mn4-7 */
    UNROLL for (int j = 0; j < 4; j++) {
        __m512i two = _mm512_srli_epi32(s[j / 2], (unsigned)(16 * (j % 2)));
        put(t->sc[j], words_of(_mm512_and_si512(two, byte), _mm512_and_si512(_mm512_srli_epi32(two, 8), byte)));
        two = _mm512_srli_epi32(s[2 + j / 2], (unsigned)(16 * (j % 2)));
        put(t->words[j], _mm512_or_si512(_mm512_and_si512(two, byte), _mm512_slli_epi32(_mm512_and_si512(two, _mm512_set1_epi32(0xff00)), 8)));
    }
    _mm512_storeu_ps(t->d, low_halves(pairs));
    _mm512_storeu_ps(t->m, high_halves(pairs));
    if (five) {
        UNROLL for (int i = 0; i < 16; i++)
            fifth[i] = _mm512_castsi256_si512(load32(row[i] + at + 16));
        transpose16(fifth);
    }
    UNROLL for (int h = 0; h < 2; h++) {
        __m512i v[16];
        UNROLL for (int i = 0; i < 16; i++)
            v[i] = load64(row[i] + at + (five ? 48 : 16) + 64 * h);
        transpose16(v);
        UNROLL for (int k = 0; k < 16; k++) {
            int sub = 4 * h + 2 * (k / 8), kk = k % 8;
            if (!five) {
                put(t->w[16 * h + k], v[k]);
                continue;
            }
            __m512i lo = _mm512_and_si512(v[k], nib), hi = _mm512_and_si512(_mm512_srli_epi16(v[k], 4), nib);
            lo = _mm512_ternarylogic_epi32(lo, _mm512_rolv_epi32(fifth[kk], _mm512_set1_epi32((36 - sub) & 31)), bit4, 0xf8);   /* bit `sub` to bit 4 */
            hi = _mm512_ternarylogic_epi32(hi, _mm512_rolv_epi32(fifth[kk], _mm512_set1_epi32((35 - sub) & 31)), bit4, 0xf8);
            put(t->w[8 * sub + kk], lo);
            put(t->w[8 * sub + 8 + kk], hi);
        }
    }
}
static void tile_q4k(tile256 *t, const uint8_t *const row[16], int64_t at) { tile_q45k(t, row, at, 0); }
static void tile_q5k(tile256 *t, const uint8_t *const row[16], int64_t at) { tile_q45k(t, row, at, 1); }

/* Sixteen scales of a byte: s[j / 4] holds numbers j of every row. */
INLINE void put_signed_scales(tile256 *t, const __m512i s[4])
{
    UNROLL for (int j = 0; j < 16; j += 2) {
        __m512i a = _mm512_srai_epi32(_mm512_slli_epi32(s[j / 4], (unsigned)(24 - 8 * (j % 4))), 24);
        __m512i b = _mm512_srai_epi32(_mm512_slli_epi32(s[j / 4], (unsigned)(16 - 8 * (j % 4))), 24);
        put(t->sc[j / 2], words_of(a, b));
    }
}

static void tile_q6k(tile256 *t, const uint8_t *const row[16], int64_t at)
{
    __m512i h[4], s[4];
    UNROLL for (int g = 0; g < 4; g++)
        h[g] = four16(row[g] + at + 192, row[4 + g] + at + 192, row[8 + g] + at + 192, row[12 + g] + at + 192);
    transpose4(h, s);
    put_signed_scales(t, s);
    _mm512_storeu_ps(t->d, halves16(row, at + 208));
    for (int f = 0; f < 3; f++) {                    /* low nibbles of both halves, then all pairs */
        __m512i v[16];
        UNROLL for (int i = 0; i < 16; i++)
            v[i] = load64(row[i] + at + 64 * f);
        transpose16(v);
        UNROLL for (int k = 0; k < 16; k++)
            put(t->w[16 * f + k], v[k]);
    }
}

static void tile_iq4xs(tile256 *t, const uint8_t *const row[16], int64_t at)
{
    const __m512i nib = _mm512_set1_epi8(15), table = _mm512_broadcast_i32x4(load16(iq4_plus_128));
    __m512i h[4], s[4];
    UNROLL for (int g = 0; g < 4; g++)
        h[g] = four16(row[g] + at, row[4 + g] + at, row[8 + g] + at, row[12 + g] + at);
    transpose4(h, s);                                /* d and high scale bits, low scale bits */
    UNROLL for (int j = 0; j < 8; j += 2) {
        __m512i one[2];
        UNROLL for (int e = 0; e < 2; e++) {
            __m512i lo = _mm512_and_si512(_mm512_srli_epi32(s[1], (unsigned)(4 * (j + e))), _mm512_set1_epi32(15));
            __m512i hi = _mm512_and_si512(_mm512_srli_epi32(s[0], (unsigned)(16 + 2 * (j + e))), _mm512_set1_epi32(3));
            one[e] = _mm512_sub_epi32(_mm512_or_si512(lo, _mm512_slli_epi32(hi, 4)), _mm512_set1_epi32(32));
        }
        put(t->sc[j / 2], words_of(one[0], one[1]));
    }
    _mm512_storeu_ps(t->d, low_halves(s[0]));
    UNROLL for (int f = 0; f < 2; f++) {                    /* four sub-blocks of 16 bytes: low nibbles first */
        __m512i v[16];
        UNROLL for (int i = 0; i < 16; i++)
            v[i] = load64(row[i] + at + 8 + 64 * f);
        transpose16(v);
        UNROLL for (int k = 0; k < 16; k++) {
            int first = 32 * f + 8 * (k / 4) + k % 4;
            put(t->w[first], _mm512_shuffle_epi8(table, _mm512_and_si512(v[k], nib)));
            put(t->w[first + 4], _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(v[k], 4), nib)));
        }
    }
}

/* Pairs of bits: v >> 2s of a half's 32 bytes are its s-th 32 elements (unpack_few.c). */
static void tile_q2k(tile256 *t, const uint8_t *const row[16], int64_t at)
{
    const __m512i pair = _mm512_set1_epi8(3);
    __m512i h[4], s[4], v[16], pairs = dwords16(row, at + 80);
    UNROLL for (int g = 0; g < 4; g++)
        h[g] = four16(row[g] + at, row[4 + g] + at, row[8 + g] + at, row[12 + g] + at);
    transpose4(h, s);
    UNROLL for (int j = 0; j < 8; j++) {
        __m512i two = _mm512_srli_epi32(s[j / 2], (unsigned)(16 * (j % 2)));
        put(t->sc[j], words_of(_mm512_and_si512(two, _mm512_set1_epi32(15)), _mm512_and_si512(_mm512_srli_epi32(two, 8), _mm512_set1_epi32(15))));
        two = _mm512_srli_epi32(two, 4);
        put(t->words[j], _mm512_or_si512(_mm512_and_si512(two, _mm512_set1_epi32(15)), _mm512_slli_epi32(_mm512_and_si512(two, _mm512_set1_epi32(0xf00)), 8)));
    }
    _mm512_storeu_ps(t->d, low_halves(pairs));
    _mm512_storeu_ps(t->m, high_halves(pairs));
    UNROLL for (int i = 0; i < 16; i++)
        v[i] = load64(row[i] + at + 16);
    transpose16(v);
    UNROLL for (int k = 0; k < 16; k++)
        UNROLL for (int f = 0; f < 4; f++)
            put(t->w[32 * (k / 8) + 8 * f + k % 8], _mm512_and_si512(_mm512_srli_epi16(v[k], (unsigned)(2 * f)), pair));
}

static void tile_q3k(tile256 *t, const uint8_t *const row[16], int64_t at)
{
    const __m512i pair = _mm512_set1_epi8(3), third = _mm512_set1_epi8(4);
    __m512i h[4], s[4], v[16], high[16];
    UNROLL for (int g = 0; g < 4; g++)
        h[g] = q3_scales(four16(row[g] + at + 94, row[4 + g] + at + 94, row[8 + g] + at + 94, row[12 + g] + at + 94));
    transpose4(h, s);
    put_signed_scales(t, s);
    _mm512_storeu_ps(t->d, halves16(row, at + 108));
    UNROLL for (int i = 0; i < 16; i++) {
        v[i] = load64(row[i] + at + 32);
        high[i] = _mm512_castsi256_si512(load32(row[i] + at));
    }
    transpose16(v);
    transpose16(high);
    UNROLL for (int k = 0; k < 16; k++)
        UNROLL for (int f = 0; f < 4; f++) {         /* bit 4 (k / 8) + f to bit 2 */
            __m512i low = _mm512_and_si512(_mm512_srli_epi16(v[k], (unsigned)(2 * f)), pair);
            __m512i bit = _mm512_rolv_epi32(high[k % 8], _mm512_set1_epi32((34 - 4 * (k / 8) - f) & 31));
            put(t->w[32 * (k / 8) + 8 * f + k % 8], _mm512_ternarylogic_epi32(low, bit, third, 0xf8));
        }
}

/* ---- unpacking: one 32-block of sixteen rows ---- */

static void tile_q80(tile32 *t, const uint8_t *const row[16], int64_t at)
{
    __m512i v[16];
    UNROLL for (int i = 0; i < 16; i++)
        v[i] = _mm512_castsi256_si512(_mm256_xor_si256(load32(row[i] + at + 2), _mm256_set1_epi8((char)0x80)));
    transpose16(v);
    UNROLL for (int k = 0; k < 8; k++)
        put(t->w[k], v[k]);
    _mm512_storeu_ps(t->d, halves16(row, at));
}

INLINE void tile_nibbles(tile32 *t, const uint8_t *const row[16], int64_t at, const int type)
{
    const int bytes = type == KER_Q4_1 ? 20 : type == KER_Q5_0 ? 22 : type == KER_Q5_1 ? 24 : type == KER_MXFP4 ? 17 : 18;
    const __m512i nib = _mm512_set1_epi8(15), one = _mm512_set1_epi32(1);
    const int64_t q = at + bytes - 16;
    __m512i h[4], v[4];
    UNROLL for (int g = 0; g < 4; g++)
        h[g] = four16(row[g] + q, row[4 + g] + q, row[8 + g] + q, row[12 + g] + q);
    transpose4(h, v);
    __m512i fifth = type == KER_Q5_0 || type == KER_Q5_1 ? dwords16(row, q - 4) : _mm512_setzero_si512();
    UNROLL for (int k = 0; k < 4; k++) {
        __m512i lo = _mm512_and_si512(v[k], nib), hi = _mm512_and_si512(_mm512_srli_epi16(v[k], 4), nib);
        if (type == KER_IQ4_NL || type == KER_MXFP4) {
            const __m512i table = _mm512_broadcast_i32x4(load16(type == KER_MXFP4 ? e2m1_plus_12 : iq4_plus_128));
            lo = _mm512_shuffle_epi8(table, lo);
            hi = _mm512_shuffle_epi8(table, hi);
        }
        if (type == KER_Q5_0 || type == KER_Q5_1)
            UNROLL for (int e = 0; e < 4; e++) {            /* bit 4k + e to bit 4 of byte e */
                __m512i b0 = _mm512_and_si512(_mm512_srli_epi32(fifth, (unsigned)(4 * k + e)), one);
                __m512i b1 = _mm512_and_si512(_mm512_srli_epi32(fifth, (unsigned)(16 + 4 * k + e)), one);
                lo = _mm512_or_si512(lo, _mm512_slli_epi32(b0, (unsigned)(8 * e + 4)));
                hi = _mm512_or_si512(hi, _mm512_slli_epi32(b1, (unsigned)(8 * e + 4)));
            }
        put(t->w[k], lo);
        put(t->w[4 + k], hi);
    }
    if (type == KER_Q4_1 || type == KER_Q5_1) {
        __m512i pairs = dwords16(row, at);
        _mm512_storeu_ps(t->d, low_halves(pairs));
        _mm512_storeu_ps(t->m, high_halves(pairs));
    } else
        _mm512_storeu_ps(t->d, type == KER_MXFP4 ? e8m0_halves(first_bytes(row, at)) : halves16(row, at));
}
static void tile_q40(tile32 *t, const uint8_t *const row[16], int64_t at) { tile_nibbles(t, row, at, KER_Q4_0); }
static void tile_q41(tile32 *t, const uint8_t *const row[16], int64_t at) { tile_nibbles(t, row, at, KER_Q4_1); }
static void tile_q50(tile32 *t, const uint8_t *const row[16], int64_t at) { tile_nibbles(t, row, at, KER_Q5_0); }
static void tile_q51(tile32 *t, const uint8_t *const row[16], int64_t at) { tile_nibbles(t, row, at, KER_Q5_1); }
static void tile_iq4nl(tile32 *t, const uint8_t *const row[16], int64_t at) { tile_nibbles(t, row, at, KER_IQ4_NL); }
static void tile_mxfp4(tile32 *t, const uint8_t *const row[16], int64_t at) { tile_nibbles(t, row, at, KER_MXFP4); }

/* ---- the products of one tile with nr activation rows ---- */

/* Bytes to come, a piece of each of some rows and what follows them, in equal shares. */
typedef struct fetcher {
    const char *p, *end;               /* of the row at hand                                       */
    int64_t wide, apart;               /* a row's piece; from one row to the next                  */
    int64_t rows, lines;               /* left; of a share                                         */
    const char *then;                  /* bytes behind them, then_bytes; NULL: none                */
    int64_t then_bytes;
} fetcher;
static fetcher fetcher_of(const uint8_t *at, int64_t wide, int64_t apart, int64_t rows, int64_t times)
{
    if (wide == apart) {
        wide *= rows;
        rows = rows > 0;
    }
    fetcher f = { (const char *)at, (const char *)at + wide, wide, apart, rows, rows * wide / 64 / times + 1, NULL, 0 };
    return f;
}
INLINE void fetch_some(fetcher *f)
{
    for (int64_t i = 0; i < f->lines && f->rows > 0; i++, f->p += 64) {
        _mm_prefetch(f->p, _MM_HINT_T1);
        if (f->end - f->p > 64) continue;
        f->p = f->end - f->wide + f->apart - 64;
        f->end += f->apart;
        if (--f->rows || !f->then) continue;
        f->p = f->then - 64;
        f->end = f->then + f->then_bytes;
        f->rows = 1;
        f->then = NULL;
    }
}

typedef struct panel {             /* the same for every tile and row of one panel */
    int64_t stride, y_stride;      /* bytes; floats */
    int64_t d_at, sum16_at, sum32_at;   /* offsets in a prepared row, of this panel's first block */
    int64_t tile;                  /* bytes of a block of a tile */
    const int32_t *less;           /* [row][LESS_BYTES / 4], of types without minima: what a sub-block's dot product begins with, since the
                                      bytes are too large: less times the sum of its activations */
    int n_block;
    int first;                     /* y holds nothing yet */
    fetcher *next;                 /* what to bring into the second cache meanwhile */
} panel;

INLINE __m512i four(const char *p) { int32_t v; memcpy(&v, p, 4); return _mm512_set1_epi32(v); }

#define UNROLL_R(r) UNROLL for (int r = 0; r < nr; r++)

/* Weights of the sixteen rows: elements 32 at + 4k .. + 3 of the step that begins at element `from` of the block. A step is as many
 * elements as the form packs together. */
INLINE __m512i weights(const tile256 *t, int64_t from, int at, int k, const int form)
{
    const __m512i nib = _mm512_set1_epi8(15), pair = _mm512_set1_epi8(0x30);
    const char *w = (const char *)t->w;
    if (form == BYTES) return load64(w + 16 * from + 512 * at + 64 * k);
    int high = form == NIBBLES ? at : at / 2;        /* nibbles of the byte */
    __m512i v = load64(w + 8 * from + 64 * (form == NIBBLES ? k : 8 * (at % 2) + k));
    v = _mm512_and_si512(high ? _mm512_srli_epi16(v, 4) : v, nib);
    if (form == NIBBLES) return v;
    __m512i x = load64(w + 32 * 64 + 4 * from + 64 * k);
    x = at < 2 ? _mm512_slli_epi32(x, 4 - 2 * (unsigned)at) : at > 2 ? _mm512_srli_epi32(x, 2) : x;
    return _mm512_ternarylogic_epi32(v, x, pair, 0xf8);      /* v | (x & pair) */
}

/* How many products of pairs fit int16 in sum where bytes of weights are `most` at most and activations 127; 0: not even one, so that
 * byte products are taken as dpb has them, and that is what is done where the instruction set has them as one. */
INLINE int pairs_in_a_word(const int most, const int sub)
{
    const int fit = 32767 / (2 * 127 * most);
    return WORD_SUMS ? fit >= sub / 4 ? sub / 4 : fit >= 4 ? 4 : fit >= 2 ? 2 : fit : 0;
}

/* sub: 16 or 32; has_min: the words are minima, else the dot products begin with p->less; most: the largest byte. Rows are reached by
 * pointers of their own, which the compiler must not derive from one another: it would keep none in a register.
 * paired: the dot products of two sub-blocks that follow one another fit 16 bits, so they become the words of one register, and one
 * vpdpwssd meets both with their scales: a multiplication instead of two, of the port that bounds the whole. The first's is moved up
 * and the second's added below it, which would borrow from the first where it is negative: so 0x8000 is added first and taken off last. */
INLINE void kernel256(const tile256 *t, const char *act, const panel *p, float *y, __mmask16 live, const int nr,
                      const int sub, const int has_min, const int form, const int most, const int paired)
{
    const int words = pairs_in_a_word(most, sub);
    const int step = form == BYTES ? 2 * sub : form == NIBBLES ? 64 : 128;
    const __m512i half = _mm512_set1_epi32(has_min ? 0x8000 : (int)0x80008000u);
    const __m512i swap = _mm512_set4_epi32(0x0d0c0f0e, 0x09080b0a, 0x05040706, 0x01000302);      /* not a rotation: that is a multiplier's */
    const char *less = (const char *)p->less, *q[MAX_R];
    __m512 acc[MAX_R];
    UNROLL_R(r) {
        acc[r] = p->first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(live, y + r * p->y_stride);
        q[r] = act + r * p->stride;
        __asm__("" : "+r"(q[r]), "+m"(acc[r]));
    }
    int64_t s_at = sub == 16 ? p->sum16_at : p->sum32_at, d_at = p->d_at;      /* from a row's pointer, which moves on faster */
    for (int b = 0; b < p->n_block; b++) {
        __m512i sum[MAX_R], dot[MAX_R];
        fetch_some(p->next);
        UNROLL_R(r) sum[r] = _mm512_setzero_si512();
        for (int64_t from = 0; from < 256; from += step)
            UNROLL for (int j = 0; j < step / sub; j++) {
                const int at = j * sub / 32, h = sub == 16 ? j % 2 : 0;
                const char *scale = (const char *)t->sc + 32 / sub * from + 64 * (j / 2);
                __asm__("" : "+r"(t));               /* else packed bytes stay in registers for their other part */
                UNROLL_R(r) {
                    if (!paired || j % 2 == 0) dot[r] = has_min ? _mm512_setzero_si512() : four(less + r * LESS_BYTES + 4 * j);
                    else dot[r] = has_min ? _mm512_or_si512(_mm512_slli_epi32(dot[r], 16), half) : _mm512_shuffle_epi8(dot[r], swap);
                }
                __m512i sc = load64(scale);
                if (!paired) sc = _mm512_srai_epi32(j % 2 ? _mm512_slli_epi32(sc, 16) : sc, 16);
                if (words) {
                    const __m512i both = words_of(sc, sc);
                    UNROLL for (int k = 0; k < sub / 4; k += words) {
                        __m512i part[MAX_R];
                        UNROLL for (int i = 0; i < words; i++) {
                            __m512i w = weights(t, from, at, h * (sub / 4) + k + i, form);
                            UNROLL_R(r) {
                                __m512i two = _mm512_maddubs_epi16(w, four(q[r] + from + j * sub + 4 * (k + i)));
                                part[r] = i ? _mm512_add_epi16(part[r], two) : two;
                            }
                        }
                        UNROLL_R(r) sum[r] = _mm512_add_epi32(sum[r], _mm512_madd_epi16(part[r], both));
                    }
                    UNROLL_R(r) if (!has_min) sum[r] = _mm512_add_epi32(sum[r], _mm512_mullo_epi32(dot[r], sc));
                } else {
                    UNROLL for (int k = 0; k < sub / 4; k++) {
                        __m512i w = weights(t, from, at, h * (sub / 4) + k, form);
                        UNROLL_R(r) dot[r] = dpb_four(dot[r], w, q[r] + from + j * sub + 4 * k);
                    }
                    if (paired && j % 2) {
                        UNROLL_R(r) {
                            sum[r] = dpw(sum[r], _mm512_xor_si512(dot[r], half), sc);
                            __asm__("" : "+v"(sum[r]));
                        }
                    } else if (!paired) {
                        UNROLL_R(r) {
                            sum[r] = _mm512_add_epi32(sum[r], _mm512_mullo_epi32(dot[r], sc));
                            __asm__("" : "+v"(sum[r]));  /* else all of a step's products are kept and added at its end */
                        }
                    }
                }
                if (j == step / sub - 1) less += step / sub * 4;
            }
        __m512 d = _mm512_loadu_ps(t->d), m = has_min ? _mm512_loadu_ps(t->m) : d;
        UNROLL_R(r) {
            __m512i other = _mm512_setzero_si512();
            if (has_min) UNROLL for (int j = 0; j < 128 / sub; j++)
                other = dpw(other, _mm512_loadu_si512(t->words[j]), four(q[r] + s_at + 4 * j));
            float one;
            memcpy(&one, q[r] + d_at, 4);
            __m512 da = _mm512_set1_ps(one);
            acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(d, da), _mm512_cvtepi32_ps(sum[r]), acc[r]);
            if (has_min)
                acc[r] = _mm512_fnmadd_ps(_mm512_mul_ps(m, da), _mm512_cvtepi32_ps(other), acc[r]);
            q[r] += 256;
            __asm__("" : "+m"(acc[r]));
        }
        t = (const tile256 *)(const void *)((const char *)t + p->tile);
        s_at += 512 / sub - 256;
        d_at += 4 - 256;
    }
    UNROLL_R(r) _mm512_mask_storeu_ps(y + r * p->y_stride, live, acc[r]);
}

/* sub 16: a block is two dot products, d the float of the first, m of the second (NVFP4). */
INLINE void kernel32(const tile32 *t, const char *act, const panel *p, float *y, __mmask16 live, const int nr, const int sub, const int has_min, const int most)
{
    const int parts = 32 / sub, words = pairs_in_a_word(most, sub);
    __m512 acc[MAX_R];
    UNROLL_R(r) acc[r] = p->first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(live, y + r * p->y_stride);
    for (int b = 0; b < p->n_block; b++, t++) {
        const char *q = act + 32 * b, *s = act + p->sum32_at + 4 * b, *less = (const char *)(p->less + parts * b);
        fetch_some(p->next);
        UNROLL for (int h = 0; h < parts; h++) {
            __m512i dot[MAX_R];
            UNROLL_R(r) dot[r] = has_min ? _mm512_setzero_si512() : four(less + 4 * h + r * LESS_BYTES);
            if (words) UNROLL for (int k = 0; k < sub / 4; k += words) {
                __m512i part[MAX_R];
                UNROLL for (int i = 0; i < words; i++) {
                    __m512i w = _mm512_loadu_si512(t->w[h * (sub / 4) + k + i]);
                    UNROLL_R(r) {
                        __m512i two = _mm512_maddubs_epi16(w, four(q + r * p->stride + sub * h + 4 * (k + i)));
                        part[r] = i ? _mm512_add_epi16(part[r], two) : two;
                    }
                }
                UNROLL_R(r) dot[r] = _mm512_add_epi32(dot[r], _mm512_madd_epi16(part[r], _mm512_set1_epi16(1)));
            }
            else UNROLL for (int k = h * sub / 4; k < (h + 1) * sub / 4; k++) {
                __m512i w = _mm512_loadu_si512(t->w[k]);
                UNROLL_R(r) dot[r] = dpb_four(dot[r], w, q + r * p->stride + 4 * k);
            }
            __m512 d = _mm512_loadu_ps(h ? t->m : t->d), m = has_min ? _mm512_loadu_ps(t->m) : d;
            UNROLL_R(r) {
                float one;
                memcpy(&one, act + p->d_at + 4 * b + r * p->stride, 4);
                __m512 da = _mm512_set1_ps(one);
                acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(d, da), _mm512_cvtepi32_ps(dot[r]), acc[r]);
                if (has_min)
                    acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(m, da), _mm512_cvtepi32_ps(four(s + r * p->stride)), acc[r]);
            }
        }
    }
    UNROLL_R(r) _mm512_mask_storeu_ps(y + r * p->y_stride, live, acc[r]);
}

typedef void kernel_fn(const void *tile, const char *act, const panel *p, float *y, __mmask16 live);
#define K256(name, nr, sub, has_min, form, most, paired) static void name##_##nr(const void *t, const char *a, const panel *p, float *y, __mmask16 l) \
    { kernel256(t, a, p, y, l, nr, sub, has_min, form, most, paired); }
#define K32(name, nr, sub, has_min, form, most) static void name##_##nr(const void *t, const char *a, const panel *p, float *y, __mmask16 l) \
    { kernel32(t, a, p, y, l, nr, sub, has_min, most); }
#define UP_TO_6(K, name, ...) K(name, 1, __VA_ARGS__) K(name, 2, __VA_ARGS__) K(name, 3, __VA_ARGS__) \
    K(name, 4, __VA_ARGS__) K(name, 5, __VA_ARGS__) K(name, 6, __VA_ARGS__)
#define LIST_6(name) NULL, name##_1, name##_2, name##_3, name##_4, name##_5, name##_6
#if MAX_R >= 8
#define ALL_R(K, name, ...) UP_TO_6(K, name, __VA_ARGS__) K(name, 7, __VA_ARGS__) K(name, 8, __VA_ARGS__) K(name, 9, __VA_ARGS__) K(name, 10, __VA_ARGS__) K(name, 11, __VA_ARGS__) \
    static kernel_fn *const name[MAX_R + 1] = { LIST_6(name), name##_7, name##_8, name##_9, name##_10, name##_11 };
#else
#define ALL_R(K, name, ...) UP_TO_6(K, name, __VA_ARGS__) \
    static kernel_fn *const name[MAX_R + 1] = { LIST_6(name) };
#endif
#if WORD_SUMS
ALL_R(K256, run_q4k, 32, 1, NIBBLES, 15, 0)
ALL_R(K256, run_q6k, 16, 0, NIBBLES_AND_PAIRS, 63, 0)
enum { FAR_R = MAX_R };
#define PAIRED(...)
#else                                  /* the second of each for rows that reach too far, a few at a time */
enum { FAR_R = 4 };
#define UP_TO_4(K, name, ...) K(name, 1, __VA_ARGS__) K(name, 2, __VA_ARGS__) K(name, 3, __VA_ARGS__) K(name, 4, __VA_ARGS__) \
    static kernel_fn *const name[FAR_R + 1] = { NULL, name##_1, name##_2, name##_3, name##_4 };
ALL_R(K256, run_q4k, 32, 1, NIBBLES, 15, 1)
UP_TO_4(K256, far_q4k, 32, 1, NIBBLES, 15, 0)
ALL_R(K256, run_q6k, 16, 0, NIBBLES_AND_PAIRS, 63, 1)
UP_TO_4(K256, far_q6k, 16, 0, NIBBLES_AND_PAIRS, 63, 0)
#define PAIRED(...) __VA_ARGS__
#endif
ALL_R(K256, run_q5k, 32, 1, BYTES, 31, 0)
ALL_R(K256, run_q2k, 16, 1, BYTES, 3, 0)
ALL_R(K256, run_q3k, 16, 0, BYTES, 7, 0)   /* with dpb also others of bytes, a scale for sixteen */
ALL_R(K256, run_iq4xs, 32, 0, BYTES, 255, 0)
ALL_R(K32, run_less32, 32, 0, BYTES, 255)
ALL_R(K32, run_min32, 32, 1, BYTES, 31)
#if WORD_SUMS
ALL_R(K32, run_low32, 32, 0, BYTES, 31)
#else
#define run_low32 run_less32
#endif
#ifdef PERMUTE_BYTES
ALL_R(K32, run_two16, 16, 0, BYTES, 255)
#endif

/* ---- panels, groups of tiles, groups of rows ---- */

typedef struct rows_of {               /* a type's way through tiles */
    int block, bytes;                  /* elements; bytes in the file */
    int sub, less;                     /* elements of a sub-block; what the bytes in a tile are too large by */
    enum form form;
    void (*unpack256)(tile256 *, const uint8_t *const [16], int64_t);
    void (*unpack32)(tile32 *, const uint8_t *const [16], int64_t);
    kernel_fn *const *run;
    kernel_fn *const *far;             /* up to FAR_R rows, where run is paired: for rows of which `most` (mat_isa.h) is above reach */
    int reach;
} rows_of;

/* Four sums of sixteen activations, of rows that keep those of 32 only. */
INLINE __m128i sums_of_16(const char *q)
{
    __m512i s = dpb(_mm512_setzero_si512(), _mm512_set1_epi8(1), load64(q));
    s = _mm512_add_epi32(s, _mm512_shuffle_epi32(s, _MM_PERM_BADC));
    s = _mm512_add_epi32(s, _mm512_shuffle_epi32(s, _MM_PERM_CDAB));
    return _mm512_castsi512_si128(_mm512_maskz_compress_epi32(0x1111, s));
}

/* What the dot products of nr rows begin with, `apart` bytes from row to row; a0: the rows' places of this panel. paired: the upper half of the first of two holds
 * what the second begins with (kernel256). */
static void put_less(const rows_of *f, const panel *p, const char *a0, int nr, int64_t n, int paired, int32_t *to, int64_t apart)
{
    const __m512i less = _mm512_set1_epi32(-f->less), half = _mm512_set1_epi32(0x8000);
    const int count = f->block == 32 && f->sub == 16;        /* such sums are not kept */
    for (int r = 0; r < nr; r++, a0 += p->stride, to += apart / 4) {
        for (int64_t j = 0; count && j < n; j += 4)
            _mm_storeu_si128((__m128i *)(void *)(to + j), _mm_mullo_epi32(sums_of_16(a0 + 16 * j), _mm512_castsi512_si128(less)));
        for (int64_t j = 0; !count && j < n; j += 16) {
            __mmask16 live = n - j < 16 ? (__mmask16)((1u << (n - j)) - 1) : (__mmask16)0xffff;
            const char *s = a0 + (f->sub == 16 ? p->sum16_at : p->sum32_at);
            __m512i sum = f->block == 32 ? _mm512_maskz_loadu_epi32(live, s + 4 * j) : _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(live, s + 2 * j));
            sum = _mm512_mullo_epi32(sum, less);
            if (paired) {                            /* what the second's exceeds 16 bits by, the first gets */
                __m512i second = _mm512_add_epi32(_mm512_shuffle_epi32(sum, _MM_PERM_CDAB), half);
                sum = _mm512_add_epi32(_mm512_add_epi32(sum, half), _mm512_srai_epi32(second, 16));
                sum = _mm512_add_epi32(sum, _mm512_slli_epi32(second, 16));
            }
            put(to + j, sum);
        }
    }
}

/* Whether the dot products of nr rows fit 16 bits for any weights of the type. */
INLINE int within_reach(const rows_of *f, const char *most, int64_t stride, int nr)
{
    int16_t far = 0, one;
    for (int r = 0; r < nr; r++) {
        memcpy(&one, most + r * stride + (f->sub == 32 ? 2 : 0), 2);
        far = one > far ? one : far;
    }
    return far <= f->reach;
}

/* The products of a group of n_tile tiles with nr activation rows; a0: the first one's place of this panel. */
static void group_rows(const rows_of *f, panel *p, const char *tiles, int n_tile, const __mmask16 *live, const char *a0, const char *most, int nr, int64_t cols, int32_t *less, float *y)
{
    const int near = f->far && within_reach(f, most, p->stride, nr), at_once = f->far && !near ? FAR_R : MAX_R;
    kernel_fn *const *run = at_once < MAX_R ? f->far : f->run;
    if (f->less) put_less(f, p, a0, nr, cols / f->sub, near, less, LESS_BYTES);
    for (int r = 0, n; r < nr; r += n) {
        n = nr - r < at_once ? nr - r : at_once;
        p->less = less + r * (LESS_BYTES / 4);
        for (int t = 0; t < n_tile; t++)
            run[n](tiles + t * p->n_block * p->tile, a0 + r * p->stride, p, y + r * p->y_stride + 16 * t, live[t]);
    }
}

/* What is read behind the group of rows from g of columns [c, c + PANEL): the same rows' next columns, else what follows. */
static fetcher weights_behind(const mat *w, const rows_of *f, int64_t g, int64_t o1, int64_t c, int64_t times)
{
    const int64_t all = PANEL / f->block * f->bytes, wide = w->row_bytes < all ? w->row_bytes : all, at = c / f->block * f->bytes;
    int64_t rows = o1 - g < 16 * GROUP ? o1 - g : 16 * GROUP;
    if (g + rows < o1) return fetcher_of(w->data + (g + rows) * w->row_bytes + at, wide, w->row_bytes, o1 - g - rows < 16 * GROUP ? o1 - g - rows : 16 * GROUP, times);
    if (c + PANEL < w->n_in) return fetcher_of(w->data + g * w->row_bytes + at + all, w->row_bytes - at - all < all ? w->row_bytes - at - all : all, w->row_bytes, rows, times);
    if (w->next) return fetcher_of(w->next, wide, w->row_bytes, rows, times);
    return fetcher_of(w->data + o1 * w->row_bytes, wide, w->row_bytes, w->n_out - o1 < rows ? w->n_out - o1 : rows, times);
}

/* The same with the rows of activations that are met next. They are asked for while the last weights are at hand: a kernel runs over
 * eleven rows at once, each too short for the processor to foresee the next line of. */
static fetcher following(const mat *w, const rows_of *f, int64_t g, int64_t o1, int64_t c, int64_t times)
{
    fetcher next = weights_behind(w, f, g, o1, c, times);
    if (!w->next_act || !next.rows || g + 16 * GROUP < o1 || c + PANEL < w->n_in) return next;
    next.then = w->next_act;
    next.then_bytes = w->next_bytes;
    next.lines += w->next_bytes / 64 / times + 1;
    return next;
}

static void gemm(const mat *w, const void *act, int64_t act_stride, int n, int64_t o0, int64_t o1, float *y, int64_t y_stride, void *scratch, const rows_of *f)
{
    static const int pieces[] = { [BYTES] = 64, [NIBBLES] = 32, [NIBBLES_AND_PAIRS] = 48 };
    const int64_t tile_bytes = f->block == 256 ? (int64_t)offsetof(tile256, w) + pieces[f->form] * 64 : (int64_t)sizeof(tile32);
    const int parts = (n + MAX_R - 1) / MAX_R;
    if (n < 1) return;
    mat_q8 x = f->block == 256 ? mat_q8_256(act, w->n_in) : mat_q8_32(act, w->n_in);
    int32_t *less = (int32_t *)(void *)((char *)scratch + GROUP * (f->block == 256 ? sizeof(tile256) * (PANEL / 256) : sizeof(tile32) * (PANEL / 32)));
    for (int64_t c = 0; c < w->n_in; c += PANEL) {
        const int64_t b0 = c / f->block, cols = w->n_in - c < PANEL ? w->n_in - c : PANEL;
        panel p = { .stride = act_stride, .y_stride = y_stride, .tile = tile_bytes, .less = less, .n_block = (int)(cols / f->block), .first = c == 0 };
        const char *a0 = (const char *)act + c;      /* all offsets from here */
        p.d_at = (const char *)(x.d + b0) - a0;
        p.sum16_at = f->block == 256 ? (const char *)(x.sum16 + 16 * b0) - a0 : 0;
        p.sum32_at = f->block == 256 ? (const char *)(x.sum32 + 8 * b0) - a0 : (const char *)(x.sum + b0) - a0;
        for (int64_t g = o0; g < o1; g += 16 * GROUP) {
            int n_tile = (int)((o1 - g < 16 * GROUP ? o1 - g : 16 * GROUP) + 15) / 16;
            __mmask16 live[GROUP];
            fetcher next = following(w, f, g, o1, c, (int64_t)parts * n_tile * p.n_block);
            p.next = &next;
            for (int t = 0; t < n_tile; t++) {
                const uint8_t *row[16];
                char *to = (char *)scratch + t * p.n_block * tile_bytes;
                live[t] = rows16(w, g + 16 * t, o1, row);
                for (int b = 0; b < p.n_block; b++, to += tile_bytes) {
                    if (f->block == 256)
                        f->unpack256((tile256 *)(void *)to, row, (b0 + b) * f->bytes);
                    else
                        f->unpack32((tile32 *)(void *)to, row, (b0 + b) * f->bytes);
                }
            }
            for (int i = 0, r = 0; i < parts; i++) {
                int nr = (n - r + parts - i - 1) / (parts - i);
                group_rows(f, &p, (const char *)scratch, n_tile, live, a0 + r * act_stride, f->far ? (const char *)x.most + r * act_stride : NULL, nr, cols, less, y + r * y_stride + g);
                r += nr;
            }
        }
    }
}
