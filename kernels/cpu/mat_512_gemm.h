/* kernels/cpu/mat_512_gemm: products for many activation rows, 512-bit; included by mat_vnni.c and mat_avx512.c.
 * Sixteen rows of the matrix are unpacked to unsigned bytes, interleaved by four (lane = row), with their scales,
 * into the caller's scratch: up to four such tiles by 2048 columns, sized for the second cache. Then up to twelve
 * activation rows at a time run over each tile: a broadcast of four int8 meets 64 weights. Sums carry over column
 * panels through y itself. Bits equal the decode path's: the same exact block sums, the same fused steps. */

enum { PANEL = 2048, GROUP = 4 /* tiles in scratch */ };       /* MAX_R: rows at a time, of the including file */

/* One 256-block of a tile. value = byte - less; words: pairs of minima (types with a minimum) or, to take `less`
 * out, of scales; sub-blocks of 16 or 32 fill all or half of the arrays. */
typedef struct tile256 {
    uint8_t w[64][16][4];
    int32_t sc[16][16];
    int32_t words[8][16];
    float d[16], m[16];
} tile256;
typedef struct tile32 {
    uint8_t w[8][16][4];
    float d[16], m[16];
} tile32;
_Static_assert(sizeof(tile256) * (PANEL / 256) * GROUP <= MAT_SCRATCH, "tiles fit the scratch");
_Static_assert(sizeof(tile32) * (PANEL / 32) * GROUP <= MAT_SCRATCH, "tiles fit the scratch");

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

/* ---- unpacking: one 256-block of sixteen rows ---- */

static void tile_q45k(tile256 *t, const uint8_t *const row[16], int64_t at, const int five)
{
    const __m512i nib = _mm512_set1_epi8(15), byte = _mm512_set1_epi32(255), bit4 = _mm512_set1_epi8(16);
    __m512i head[4], pairs, s[4], fifth[16];
    k_headers(row, at, head, &pairs);
    transpose4(head, s);                             /* sc0-3, sc4-7, mn0-3, mn4-7 */
    UNROLL for (int j = 0; j < 8; j++)
        put(t->sc[j], _mm512_and_si512(_mm512_srli_epi32(s[j / 4], (unsigned)(8 * (j % 4))), byte));
    UNROLL for (int j = 0; j < 4; j++) {
        __m512i two = _mm512_srli_epi32(s[2 + j / 2], (unsigned)(16 * (j % 2)));
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
            __m512i lo = _mm512_and_si512(v[k], nib), hi = _mm512_and_si512(_mm512_srli_epi16(v[k], 4), nib);
            if (five) {                              /* bit `sub` to bit 4 */
                lo = _mm512_ternarylogic_epi32(lo, _mm512_rolv_epi32(fifth[kk], _mm512_set1_epi32((36 - sub) & 31)), bit4, 0xf8);
                hi = _mm512_ternarylogic_epi32(hi, _mm512_rolv_epi32(fifth[kk], _mm512_set1_epi32((35 - sub) & 31)), bit4, 0xf8);
            }
            put(t->w[8 * sub + kk], lo);
            put(t->w[8 * sub + 8 + kk], hi);
        }
    }
}
static void tile_q4k(tile256 *t, const uint8_t *const row[16], int64_t at) { tile_q45k(t, row, at, 0); }
static void tile_q5k(tile256 *t, const uint8_t *const row[16], int64_t at) { tile_q45k(t, row, at, 1); }

/* Sixteen scales of a byte, and pairs of them: s[j / 4] holds numbers j of every row. */
INLINE void put_signed_scales(tile256 *t, const __m512i s[4])
{
    UNROLL for (int j = 0; j < 16; j += 2) {
        __m512i a = _mm512_srai_epi32(_mm512_slli_epi32(s[j / 4], (unsigned)(24 - 8 * (j % 4))), 24);
        __m512i b = _mm512_srai_epi32(_mm512_slli_epi32(s[j / 4], (unsigned)(16 - 8 * (j % 4))), 24);
        put(t->sc[j], a);
        put(t->sc[j + 1], b);
        put(t->words[j / 2], _mm512_mask_blend_epi16(0xaaaaaaaa, a, _mm512_slli_epi32(b, 16)));
    }
}

static void tile_q6k(tile256 *t, const uint8_t *const row[16], int64_t at)
{
    const __m512i nib = _mm512_set1_epi8(15), two = _mm512_set1_epi8(0x30);
    __m512i h[4], s[4], hi[16];
    UNROLL for (int g = 0; g < 4; g++)
        h[g] = four16(row[g] + at + 192, row[4 + g] + at + 192, row[8 + g] + at + 192, row[12 + g] + at + 192);
    transpose4(h, s);
    put_signed_scales(t, s);
    _mm512_storeu_ps(t->d, halves16(row, at + 208));
    UNROLL for (int i = 0; i < 16; i++)
        hi[i] = load64(row[i] + at + 128);
    transpose16(hi);
    UNROLL for (int f = 0; f < 2; f++) {
        __m512i v[16];
        UNROLL for (int i = 0; i < 16; i++)
            v[i] = load64(row[i] + at + 64 * f);
        transpose16(v);
        UNROLL for (int k = 0; k < 8; k++) {
            __m512i x = hi[8 * f + k];
            put(t->w[32 * f + k], _mm512_ternarylogic_epi32(_mm512_and_si512(v[k], nib), _mm512_slli_epi32(x, 4), two, 0xf8));
            put(t->w[32 * f + 8 + k], _mm512_ternarylogic_epi32(_mm512_and_si512(v[8 + k], nib), _mm512_slli_epi32(x, 2), two, 0xf8));
            put(t->w[32 * f + 16 + k], _mm512_ternarylogic_epi32(_mm512_and_si512(_mm512_srli_epi16(v[k], 4), nib), x, two, 0xf8));
            put(t->w[32 * f + 24 + k], _mm512_ternarylogic_epi32(_mm512_and_si512(_mm512_srli_epi16(v[8 + k], 4), nib), _mm512_srli_epi32(x, 2), two, 0xf8));
        }
    }
}

static void tile_iq4xs(tile256 *t, const uint8_t *const row[16], int64_t at)
{
    const __m512i nib = _mm512_set1_epi8(15), table = _mm512_broadcast_i32x4(load16(iq4_plus_128));
    __m512i h[4], s[4], sc[8];
    UNROLL for (int g = 0; g < 4; g++)
        h[g] = four16(row[g] + at, row[4 + g] + at, row[8 + g] + at, row[12 + g] + at);
    transpose4(h, s);                                /* d and high scale bits, low scale bits */
    UNROLL for (int j = 0; j < 8; j++) {
        __m512i lo = _mm512_and_si512(_mm512_srli_epi32(s[1], (unsigned)(4 * j)), _mm512_set1_epi32(15));
        __m512i hi = _mm512_and_si512(_mm512_srli_epi32(s[0], (unsigned)(16 + 2 * j)), _mm512_set1_epi32(3));
        sc[j] = _mm512_sub_epi32(_mm512_or_si512(lo, _mm512_slli_epi32(hi, 4)), _mm512_set1_epi32(32));
        put(t->sc[j], sc[j]);
    }
    UNROLL for (int j = 0; j < 4; j++)
        put(t->words[j], _mm512_mask_blend_epi16(0xaaaaaaaa, sc[2 * j], _mm512_slli_epi32(sc[2 * j + 1], 16)));
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
    UNROLL for (int j = 0; j < 16; j++)
        put(t->sc[j], _mm512_and_si512(_mm512_srli_epi32(s[j / 4], (unsigned)(8 * (j % 4))), _mm512_set1_epi32(15)));
    UNROLL for (int j = 0; j < 8; j++) {
        __m512i two = _mm512_srli_epi32(s[j / 2], (unsigned)(16 * (j % 2) + 4));
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

/* Bytes to come, in equal shares. Rows of the next group lie together; of a wide matrix's only this panel's part
 * would be wanted, but they are fetched whole where that is no more than a group's. */
typedef struct fetcher { const char *p, *end; int64_t share; } fetcher;
static fetcher fetcher_of(const mat *w, int64_t o, int64_t panel_end, int64_t times)
{
    int64_t rows = w->n_out - o < 16 * GROUP ? w->n_out - o : 16 * GROUP;
    fetcher f = { 0 };
    if (rows <= 0 || panel_end < w->row_bytes || w->n_in > PANEL)
        return f;
    f.p = (const char *)w->data + o * w->row_bytes;
    f.end = f.p + rows * w->row_bytes;
    f.share = (rows * w->row_bytes / times + 64) & ~(int64_t)63;
    return f;
}
INLINE void fetch_some(fetcher *f)
{
    const char *stop = f->end - f->p < f->share ? f->end : f->p + f->share;
    for (; f->p < stop; f->p += 64)
        _mm_prefetch(f->p, _MM_HINT_T1);
}

typedef struct panel {             /* the same for every tile and row of one panel */
    int64_t stride, y_stride;      /* bytes; floats */
    int64_t d_at, sum16_at, sum32_at;   /* offsets in a prepared row, of this panel's first block */
    int n_block;
    int first;                     /* y holds nothing yet */
    int less;                      /* what the bytes are too large by */
    fetcher *next;                 /* what to bring into the second cache meanwhile */
} panel;

INLINE __m512i four(const char *p) { int32_t v; memcpy(&v, p, 4); return _mm512_set1_epi32(v); }

#define UNROLL_R(r) UNROLL for (int r = 0; r < nr; r++)

/* sub: 16 or 32; has_min: the words are minima, else scales by which p->less is taken out. */
INLINE void kernel256(const tile256 *t, const char *act, const panel *p, float *y, __mmask16 live, const int nr,
                      const int sub, const int has_min)
{
    __m512 acc[MAX_R];
    UNROLL_R(r) acc[r] = p->first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(live, y + r * p->y_stride);
    for (int b = 0; b < p->n_block; b++, t++) {
        __m512i sum[MAX_R];
        const char *q = act + 256 * b;
        fetch_some(p->next);
        UNROLL_R(r) sum[r] = _mm512_setzero_si512();
        for (int j = 0; j < 256 / sub; j++) {
            __m512i dot[MAX_R];
            UNROLL_R(r) dot[r] = _mm512_setzero_si512();
            UNROLL for (int k = 0; k < sub / 4; k++) {
                __m512i w = _mm512_loadu_si512(t->w[j * (sub / 4) + k]);
                UNROLL_R(r) dot[r] = dpb_gemm(dot[r], w, four(q + r * p->stride + j * sub + 4 * k));
            }
            __m512i sc = _mm512_loadu_si512(t->sc[j]);
            UNROLL_R(r) sum[r] = _mm512_add_epi32(sum[r], _mm512_mullo_epi32(dot[r], sc));
        }
        const char *s = act + (sub == 16 ? p->sum16_at : p->sum32_at) + b * (512 / sub);
        __m512 d = _mm512_loadu_ps(t->d), m = has_min ? _mm512_loadu_ps(t->m) : d;
        UNROLL_R(r) {
            __m512i other = _mm512_setzero_si512();
            UNROLL for (int j = 0; j < 128 / sub; j++)
                other = dpw(other, _mm512_loadu_si512(t->words[j]), four(s + r * p->stride + 4 * j));
            float one;
            memcpy(&one, act + p->d_at + 4 * b + r * p->stride, 4);
            __m512 da = _mm512_set1_ps(one);
            __m512i isum = has_min ? sum[r] : _mm512_sub_epi32(sum[r], _mm512_mullo_epi32(other, _mm512_set1_epi32(p->less)));
            acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(d, da), _mm512_cvtepi32_ps(isum), acc[r]);
            if (has_min)
                acc[r] = _mm512_fnmadd_ps(_mm512_mul_ps(m, da), _mm512_cvtepi32_ps(other), acc[r]);
        }
    }
    UNROLL_R(r) _mm512_mask_storeu_ps(y + r * p->y_stride, live, acc[r]);
}

INLINE void kernel32(const tile32 *t, const char *act, const panel *p, float *y, __mmask16 live, const int nr, const int has_min)
{
    __m512 acc[MAX_R];
    UNROLL_R(r) acc[r] = p->first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(live, y + r * p->y_stride);
    for (int b = 0; b < p->n_block; b++, t++) {
        __m512i dot[MAX_R];
        const char *q = act + 32 * b, *s = act + p->sum32_at + 4 * b;
        fetch_some(p->next);
        UNROLL_R(r) dot[r] = has_min ? _mm512_setzero_si512() : _mm512_mullo_epi32(_mm512_set1_epi32(-p->less), four(s + r * p->stride));
        UNROLL for (int k = 0; k < 8; k++) {
            __m512i w = _mm512_loadu_si512(t->w[k]);
            UNROLL_R(r) dot[r] = dpb_gemm(dot[r], w, four(q + r * p->stride + 4 * k));
        }
        __m512 d = _mm512_loadu_ps(t->d), m = has_min ? _mm512_loadu_ps(t->m) : d;
        UNROLL_R(r) {
            float one;
            memcpy(&one, act + p->d_at + 4 * b + r * p->stride, 4);
            __m512 da = _mm512_set1_ps(one);
            acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(d, da), _mm512_cvtepi32_ps(dot[r]), acc[r]);
            if (has_min)
                acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(m, da), _mm512_cvtepi32_ps(four(s + r * p->stride)), acc[r]);
        }
    }
    UNROLL_R(r) _mm512_mask_storeu_ps(y + r * p->y_stride, live, acc[r]);
}

typedef void kernel_fn(const void *tile, const char *act, const panel *p, float *y, __mmask16 live);
#define K256(name, nr, sub, has_min) static void name##_##nr(const void *t, const char *a, const panel *p, float *y, __mmask16 l) \
    { kernel256(t, a, p, y, l, nr, sub, has_min); }
#define K32(name, nr, sub, has_min) static void name##_##nr(const void *t, const char *a, const panel *p, float *y, __mmask16 l) \
    { kernel32(t, a, p, y, l, nr, has_min); }
#define UP_TO_6(K, name, sub, has_min) K(name, 1, sub, has_min) K(name, 2, sub, has_min) K(name, 3, sub, has_min) \
    K(name, 4, sub, has_min) K(name, 5, sub, has_min) K(name, 6, sub, has_min)
#define LIST_6(name) NULL, name##_1, name##_2, name##_3, name##_4, name##_5, name##_6
#if MAX_R == 12
#define ALL_R(K, name, sub, has_min) UP_TO_6(K, name, sub, has_min) K(name, 7, sub, has_min) K(name, 8, sub, has_min) \
    K(name, 9, sub, has_min) K(name, 10, sub, has_min) K(name, 11, sub, has_min) K(name, 12, sub, has_min) \
    static kernel_fn *const name[MAX_R + 1] = { LIST_6(name), name##_7, name##_8, name##_9, name##_10, name##_11, name##_12 };
#else
#define ALL_R(K, name, sub, has_min) UP_TO_6(K, name, sub, has_min) \
    static kernel_fn *const name[MAX_R + 1] = { LIST_6(name) };
#endif
ALL_R(K256, run_min256, 32, 1)
ALL_R(K256, run_min16, 16, 1)
ALL_R(K256, run_q6k, 16, 0)
ALL_R(K256, run_iq4xs, 32, 0)
ALL_R(K32, run_less32, 32, 0)
ALL_R(K32, run_min32, 32, 1)

/* ---- panels, groups of tiles, groups of rows ---- */

static void gemm(const mat *w, const void *act, int64_t act_stride, int n, int64_t o0, int64_t o1, float *y,
                 int64_t y_stride, void *scratch, int block, int bytes, int less,
                 void (*unpack256)(tile256 *, const uint8_t *const [16], int64_t),
                 void (*unpack32)(tile32 *, const uint8_t *const [16], int64_t), kernel_fn *const run[MAX_R + 1])
{
    const int64_t tile_bytes = block == 256 ? (int64_t)sizeof(tile256) : (int64_t)sizeof(tile32);
    const int parts = (n + MAX_R - 1) / MAX_R;
    mat_q8 x = block == 256 ? mat_q8_256(act, w->n_in) : mat_q8_32(act, w->n_in);
    for (int64_t c = 0; c < w->n_in; c += PANEL) {
        const int64_t b0 = c / block, cols = w->n_in - c < PANEL ? w->n_in - c : PANEL;
        panel p = { .stride = act_stride, .y_stride = y_stride, .n_block = (int)(cols / block), .first = c == 0, .less = less };
        const char *a0 = (const char *)act + c;      /* all offsets from here */
        p.d_at = (const char *)(x.d + b0) - a0;
        p.sum16_at = block == 256 ? (const char *)(x.sum16 + 16 * b0) - a0 : 0;
        p.sum32_at = block == 256 ? (const char *)(x.sum32 + 8 * b0) - a0 : (const char *)(x.sum + b0) - a0;
        for (int64_t g = o0; g < o1; g += 16 * GROUP) {
            int n_tile = (int)((o1 - g < 16 * GROUP ? o1 - g : 16 * GROUP) + 15) / 16;
            __mmask16 live[GROUP];
            /* The next group's bytes come into the second cache with each block multiplied. */
            fetcher next = fetcher_of(w, g + 16 * GROUP, (b0 + p.n_block) * bytes, (int64_t)parts * n_tile * p.n_block);
            p.next = &next;
            for (int t = 0; t < n_tile; t++) {
                const uint8_t *row[16];
                char *to = (char *)scratch + t * p.n_block * tile_bytes;
                live[t] = rows16(w, g + 16 * t, o1, row);
                for (int b = 0; b < p.n_block; b++, to += tile_bytes) {
                    if (t + 1 < n_tile)
                        UNROLL for (int i = 0; i < 16; i++)
                            fetch(row[i] + 16 * w->row_bytes + (b0 + b) * bytes, (b0 + b) * bytes, bytes);
                    if (block == 256)
                        unpack256((tile256 *)(void *)to, row, (b0 + b) * bytes);
                    else
                        unpack32((tile32 *)(void *)to, row, (b0 + b) * bytes);
                }
            }
            for (int i = 0, r = 0; i < parts; i++) {
                int nr = (n - r + parts - i - 1) / (parts - i);
                for (int t = 0; t < n_tile; t++)
                    run[nr]((char *)scratch + t * p.n_block * tile_bytes, a0 + r * act_stride, &p,
                            y + r * y_stride + g + 16 * t, live[t]);
                r += nr;
            }
        }
    }
}
