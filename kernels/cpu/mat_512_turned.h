/* kernels/cpu/mat_512_turned: products of 2 to FEW activation rows, straight from the file's layout, 512-bit. Sixteen bytes of each of
 * sixteen rows of the matrix are turned in registers, so that a lane is a row with four of its weights, and meet four activations
 * broadcast from memory: weights are taken apart once for all activation rows, nothing is written down between, and sums need no
 * folding. Bits equal the other ways': the same exact block sums, the same fused steps. Included by mat_512.h behind mat_512_gemm.h,
 * for matrices of sixteen rows or more and widths whose `less` fit the scratch (turned_fits). */

/* Sixteen rows by the places of rows 0, 4, 8 and 12 and by what the others are apart: six registers. */
typedef struct turned_rows { const uint8_t *p[4]; int64_t one, three; } turned_rows;

INLINE turned_rows turned_at(const mat *w, int64_t o)
{
    const uint8_t *s = w->data + o * w->row_bytes;
    const int64_t four = 4 * w->row_bytes;
    turned_rows t = { { s, s + four, s + 2 * four, s + 3 * four }, w->row_bytes, 3 * w->row_bytes };
    UNROLL for (int i = 0; i < 4; i++) __asm__("" : "+r"(t.p[i]));   /* else compilers keep all sixteen, in memory */
    __asm__("" : "+r"(t.one), "+r"(t.three));
    return t;
}

/* v[k] = dword k of the sixteen bytes at `at` of every row. Rows are put together by masked loads, which take no shuffle. */
INLINE void turn16(const turned_rows *t, int64_t at, __m512i v[4])
{
    __m512i h[4];
    UNROLL for (int g = 0; g < 4; g++) {
        const int64_t s = at + (g == 3 ? t->three : g * t->one);
        h[g] = _mm512_castsi128_si512(load16(t->p[0] + s));
        h[g] = _mm512_mask_broadcast_i32x4(h[g], 0x00f0, load16(t->p[1] + s));
        h[g] = _mm512_mask_broadcast_i32x4(h[g], 0x0f00, load16(t->p[2] + s));
        h[g] = _mm512_mask_broadcast_i32x4(h[g], 0xf000, load16(t->p[3] + s));
    }
    transpose4(h, v);
}
/* The same of 32 bytes. */
INLINE void turn32(const turned_rows *t, int64_t at, __m512i v[8])
{
    __m512i h[2][4], u[2][4];
    UNROLL for (int e = 0; e < 2; e++) {
        UNROLL for (int g = 0; g < 4; g++) {
            const int64_t s = at + (g == 3 ? t->three : g * t->one);
            h[e][g] = _mm512_castsi256_si512(load32(t->p[2 * e] + s));
            h[e][g] = _mm512_mask_broadcast_i64x4(h[e][g], 0xf0, load32(t->p[2 * e + 1] + s));
        }
        transpose4(h[e], u[e]);
    }
    UNROLL for (int k = 0; k < 4; k++) {
        v[k] = _mm512_shuffle_i32x4(u[0][k], u[1][k], 0x88);
        v[4 + k] = _mm512_shuffle_i32x4(u[0][k], u[1][k], 0xdd);
    }
}

/* Rows of activations likewise; p moves on along them. */
typedef struct turned_acts { const char *p; int64_t one, three; } turned_acts;
INLINE int64_t turned_row(const turned_acts *a, const int r) { return (r & 4) * a->one + ((r & 3) == 3 ? a->three : (r & 3) * a->one); }
INLINE turned_acts turned_acts_at(const void *act, int64_t act_stride)
{
    turned_acts a = { act, act_stride, 3 * act_stride };
    __asm__("" : "+r"(a.one), "+r"(a.three));
    return a;
}
#define OF(a, r) ((a).p + turned_row(&(a), r))

/* What the bytes of a type are too large by, times the sums of its sub-blocks' activations, is what their dot products begin with: kept
 * in scratch, as far apart as the rows themselves. */
INLINE int turned_fits(const mat *w, int64_t act_stride, int n) { return n <= FEW && w->n_out >= 16 && n * act_stride <= MAT_SCRATCH; }
static void turned_less(const mat *w, const void *act, int64_t act_stride, int n, int block, int sub, int less, void *scratch)
{
    const rows_of f = { .block = block, .sub = sub, .less = less };
    const mat_q8 x = block == 256 ? mat_q8_256(act, w->n_in) : mat_q8_32(act, w->n_in);
    const panel p = { .stride = act_stride, .sum16_at = (const char *)x.sum16 - (const char *)act,
                      .sum32_at = block == 256 ? (const char *)x.sum32 - (const char *)act : (const char *)x.sum - (const char *)act };
    put_less(&f, &p, act, n, w->n_in / sub, 0, scratch, act_stride);
}

/* The places at `at` of every row, for what is gathered from all of them. */
INLINE void turned_places(const turned_rows *t, int64_t at, const uint8_t *row[16])
{
    UNROLL for (int i = 0; i < 16; i++) row[i] = t->p[i / 4] + at + (i % 4 == 3 ? t->three : i % 4 * t->one);
}
INLINE __m512 turned_d(const turned_rows *t, int64_t at)
{
    const uint8_t *row[16];
    turned_places(t, at, row);
    return halves16(row, 0);
}

/* ---- blocks of 256, 32 bytes at a step ---- */

#define TURNED_BYTES(type) ((type) == KER_Q4_K ? 144 : (type) == KER_Q5_K ? 176 : (type) == KER_Q6_K ? 210 : (type) == KER_Q2_K ? 84 : (type) == KER_Q3_K ? 110 : 136)
#define TURNED_SUB(type) ((type) == KER_Q4_K || (type) == KER_Q5_K || (type) == KER_IQ4_XS ? 32 : 16)
#define TURNED_MIN(type) ((type) == KER_Q4_K || (type) == KER_Q5_K || (type) == KER_Q2_K)
#define TURNED_LESS(type) ((type) == KER_Q6_K ? 32 : (type) == KER_Q3_K ? 4 : (type) == KER_IQ4_XS ? 128 : 0)

/* A block's scales: byte j % 4 of s[j / 4] that of sub-block j (IQ4_XS: the bits as they are); pairs of minima; its floats. */
typedef struct turned_head { __m512i s[4], words[8]; __m512 d, m; } turned_head;
INLINE void turn_head(const int type, const turned_rows *t, int64_t at, turned_head *h)
{
    const __m512i low6 = _mm512_set1_epi32(0x3f3f3f3f), high2 = _mm512_set1_epi32(0x30303030), low4 = _mm512_set1_epi32(0x0f0f0f0f);
    const int n_min = type == KER_Q4_K || type == KER_Q5_K ? 4 : type == KER_Q2_K ? 8 : 0;
    __m512i v[4], min[4];
    turn16(t, at + (type == KER_Q6_K ? 192 : type == KER_Q3_K ? 94 : 0), v);
    UNROLL for (int j = 0; j < 4; j++) h->s[j] = v[j];
    if (type == KER_Q4_K || type == KER_Q5_K) {
        h->s[0] = _mm512_and_si512(v[1], low6);
        h->s[1] = _mm512_ternarylogic_epi32(_mm512_and_si512(v[3], low4), _mm512_srli_epi32(v[1], 2), high2, 0xf8);
        min[0] = _mm512_and_si512(v[2], low6);
        min[1] = _mm512_ternarylogic_epi32(_mm512_and_si512(_mm512_srli_epi32(v[3], 4), low4), _mm512_srli_epi32(v[2], 2), high2, 0xf8);
    }
    if (type == KER_Q2_K) UNROLL for (int j = 0; j < 4; j++) {
        min[j] = _mm512_and_si512(_mm512_srli_epi32(v[j], 4), low4);
        h->s[j] = _mm512_and_si512(v[j], low4);
    }
    if (type == KER_Q3_K) UNROLL for (int j = 0; j < 4; j++) {       /* bytes 2 to 9 hold low nibbles, 10 to 13 pairs above them */
        __m512i low = j % 2 ? _mm512_or_si512(_mm512_srli_epi32(v[1], 16), _mm512_slli_epi32(v[2], 16)) : _mm512_or_si512(_mm512_srli_epi32(v[0], 16), _mm512_slli_epi32(v[1], 16));
        __m512i high = _mm512_or_si512(_mm512_srli_epi32(v[2], 16), _mm512_slli_epi32(v[3], 16));
        low = _mm512_and_si512(j / 2 ? _mm512_srli_epi32(low, 4) : low, low4);
        high = j < 2 ? _mm512_slli_epi32(high, 4 - 2 * (unsigned)j) : j == 3 ? _mm512_srli_epi32(high, 2) : high;
        h->s[j] = _mm512_sub_epi8(_mm512_ternarylogic_epi32(low, high, high2, 0xf8), _mm512_set1_epi8(32));
    }
    UNROLL for (int j = 0; j < n_min; j++) {
        __m512i two = j % 2 ? _mm512_srli_epi32(min[j / 2], 16) : min[j / 2];
        h->words[j] = _mm512_or_si512(_mm512_and_si512(two, _mm512_set1_epi32(255)), _mm512_slli_epi32(_mm512_and_si512(two, _mm512_set1_epi32(0xff00)), 8));
    }
    h->d = type == KER_Q6_K ? turned_d(t, at + 208) : type == KER_Q2_K ? turned_d(t, at + 80) : type == KER_Q3_K ? turned_d(t, at + 108) : low_halves(v[0]);
    h->m = type == KER_Q2_K ? turned_d(t, at + 82) : high_halves(v[0]);
}

/* What a step takes: its 32 bytes, and of Q5_K, Q6_K and Q3_K what is above their bits; scales of its parts from bit 0 on. Steps 2 i and
 * 2 i + 1 of Q6_K are quarters 0 and 2, 1 and 3 of half i, and share their upper bits. */
typedef struct turned_step { __m512i v[8], z[8], s[2]; } turned_step;

/* Dword k of part j. */
INLINE __m512i turned_weights(const int type, const turned_step *x, const int e, const int j, const int k)
{
    const __m512i nib = _mm512_set1_epi8(15), *v = x->v, *z = x->z;
    if (type == KER_Q2_K || type == KER_Q3_K) {
        const __m512i w = _mm512_and_si512(_mm512_srli_epi16(v[j % 2 * 4 + k], (unsigned)(j / 2 * 2)), _mm512_set1_epi8(3));
        if (type == KER_Q2_K) return w;
        const __m512i bit = z[j % 2 * 4 + k];                   /* bit j / 2, to bit 2 */
        return _mm512_ternarylogic_epi32(w, j < 4 ? _mm512_slli_epi16(bit, 2 - (unsigned)j / 2) : _mm512_srli_epi16(bit, (unsigned)j / 2 - 2), _mm512_set1_epi8(4), 0xf8);
    }
    if (type == KER_IQ4_XS) {
        const __m512i table = _mm512_broadcast_i32x4(load16(iq4_plus_128)), w = v[4 * j + k % 4];
        return _mm512_shuffle_epi8(table, _mm512_and_si512(k / 4 ? _mm512_srli_epi16(w, 4) : w, nib));
    }
    if (type == KER_Q6_K) {                                     /* z: of quarters 0 and 2, or 1 and 3, in bits 0 and 1, 4 and 5 */
        const __m512i w = v[j % 2 * 4 + k], high = _mm512_and_si512(e ? _mm512_srli_epi16(z[j % 2 * 4 + k], 2) : z[j % 2 * 4 + k], _mm512_set1_epi8(0x33));
        return j / 2 ? _mm512_ternarylogic_epi32(_mm512_srli_epi16(w, 4), high, nib, 0xe4) : _mm512_ternarylogic_epi32(_mm512_slli_epi16(high, 4), w, nib, 0xd8);
    }
    __m512i w = _mm512_and_si512(j ? _mm512_srli_epi16(v[k], 4) : v[k], nib);
    return type == KER_Q5_K ? _mm512_ternarylogic_epi32(w, j ? _mm512_slli_epi16(z[k], 3) : _mm512_slli_epi16(z[k], 4), _mm512_set1_epi8(16), 0xf8) : w;
}

/* Scale of part j as a dword. */
INLINE __m512i turned_scale(const int type, const turned_step *x, const int j)
{
    if (type == KER_IQ4_XS) {
        __m512i low = _mm512_and_si512(j ? _mm512_srli_epi32(x->s[0], 4) : x->s[0], _mm512_set1_epi32(15));
        __m512i high = j ? _mm512_slli_epi32(x->s[1], 2) : _mm512_slli_epi32(x->s[1], 4);
        return _mm512_sub_epi32(_mm512_ternarylogic_epi32(low, high, _mm512_set1_epi32(0x30), 0xf8), _mm512_set1_epi32(32));
    }
    const unsigned bit = type == KER_Q6_K ? j % 2 * 8 : j % 4 * 8;
    const __m512i s = x->s[type == KER_Q6_K ? j / 2 : j / 4];
    return TURNED_LESS(type) ? _mm512_srai_epi32(_mm512_slli_epi32(s, 24 - bit), 24) : _mm512_and_si512(_mm512_srli_epi32(s, bit), _mm512_set1_epi32(255));
}

INLINE void turn_step(const int type, const turned_rows *t, const turned_head *h, int64_t at, int i, const int e, turned_step *x)
{
    const int from = type == KER_Q5_K ? 48 : type == KER_Q6_K ? 32 * e : type == KER_Q3_K ? 32 : type == KER_IQ4_XS ? 8 : 16;
    turn32(t, at + from + (type == KER_Q6_K ? 64 : 32) * i, x->v);
    if (type == KER_Q6_K) {
        if (!e) turn32(t, at + 128 + 32 * i, x->z);
        UNROLL for (int k = 0; k < 2; k++) x->s[k] = _mm512_srli_epi32(h->s[2 * i + k], 16 * (unsigned)e);
    } else if (type == KER_Q2_K || type == KER_Q3_K) {
        if (type == KER_Q3_K) {
            turn32(t, at, x->z);
            UNROLL for (int k = 0; k < 8; k++) x->z[k] = _mm512_srl_epi16(x->z[k], _mm_cvtsi32_si128(4 * i));
        }
        UNROLL for (int k = 0; k < 2; k++) x->s[k] = h->s[2 * i + k];
    } else if (type == KER_IQ4_XS) {
        x->s[0] = _mm512_srl_epi32(h->s[1], _mm_cvtsi32_si128(8 * i));
        x->s[1] = _mm512_srl_epi32(h->s[0], _mm_cvtsi32_si128(16 + 4 * i));
    } else {
        if (type == KER_Q5_K) {
            turn32(t, at + 16, x->z);
            UNROLL for (int k = 0; k < 8; k++) x->z[k] = _mm512_srl_epi16(x->z[k], _mm_cvtsi32_si128(2 * i));
        }
        x->s[0] = _mm512_srl_epi32(h->s[i / 2], _mm_cvtsi32_si128(i % 2 * 16));
    }
}

INLINE void turned_256(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1, float *y, int64_t y_stride, void *scratch, const int type)
{
    const int bytes = TURNED_BYTES(type), sub = TURNED_SUB(type), steps = type == KER_Q2_K || type == KER_Q3_K || type == KER_Q6_K ? 2 : 4, twice = type == KER_Q6_K ? 2 : 1, parts = 256 / sub / steps / twice;
    const mat_q8 x = mat_q8_256(act, w->n_in);
    const int64_t d_at = (const char *)x.d - (const char *)act, s_at = (const char *)(sub == 32 ? x.sum32 : x.sum16) - (const char *)act;
    turned_acts a = turned_acts_at(act, act_stride), less = a;
    if (TURNED_LESS(type)) turned_less(w, act, act_stride, nr, 256, sub, TURNED_LESS(type), scratch);
    for (int64_t o = o0; o < o1; o += 16) {
        const int64_t from = o + 16 <= w->n_out ? o : w->n_out - 16, have = o1 - o < 16 ? o1 - o : 16;
        const __mmask16 live = (__mmask16)(((1u << have) - 1) << (o - from));
        const int64_t far = fetch_ahead(w, o, o1, 16);
        const turned_rows t = turned_at(w, from);
        __m512 acc[FEW];
        EACH(r) acc[r] = _mm512_setzero_ps();
        less.p = scratch;
        for (int64_t b = 0, at = 0; at < w->row_bytes; b++, at += bytes) {
            turned_head h;
            __m512i sum[FEW];
            turn_head(type, &t, at, &h);
            EACH(r) sum[r] = _mm512_setzero_si512();
            a.p = (const char *)act + 256 * b;
            _Pragma("GCC unroll 1") for (int i = 0; i < steps; i++) {
                turned_step step;
                UNROLL for (int k = 0; k < 4; k++) {
                    fetch(t.p[k] + 4 / steps * i * t.one + at + far, at, bytes);
                    if (steps == 2) fetch(t.p[k] + (2 * i + 1) * t.one + at + far, at, bytes);
                }
                UNROLL for (int e = 0; e < twice; e++) {
                    turn_step(type, &t, &h, at, i, e, &step);
                    UNROLL for (int j = 0; j < parts; j++) {
                        const int first = type == KER_Q6_K ? 32 * e + j / 2 * 64 + j % 2 * 16 : sub * j;      /* of the step's activations */
                        __m512i dot[FEW], by = turned_scale(type, &step, j);
                        EACH(r) dot[r] = TURNED_LESS(type) ? four(OF(less, r) + first / sub * 4) : _mm512_setzero_si512();
                        UNROLL for (int k = 0; k < sub / 4; k++) {
                            __m512i u = turned_weights(type, &step, e, j, k);
                            EACH(r) dot[r] = dpb_four(dot[r], u, OF(a, r) + first + 4 * k);
                        }
                        EACH(r) {
                            sum[r] = _mm512_add_epi32(sum[r], _mm512_mullo_epi32(dot[r], by));
                            __asm__("" : "+v"(sum[r]));      /* else all of a step's products are kept and added at its end */
                        }
                    }
                }
                a.p += 256 / steps;
                if (TURNED_LESS(type)) less.p += 256 / steps / sub * 4;
            }
            a.p = act;
            EACH(r) {
                __m512 da = _mm512_set1_ps(*(const float *)(const void *)(OF(a, r) + d_at + 4 * b));
                acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(h.d, da), _mm512_cvtepi32_ps(sum[r]), acc[r]);
                if (!TURNED_MIN(type)) continue;
                __m512i other = _mm512_setzero_si512();
                UNROLL for (int j = 0; j < 128 / sub; j++) other = dpw(other, h.words[j], four(OF(a, r) + s_at + 512 / sub * b + 4 * j));
                acc[r] = _mm512_fnmadd_ps(_mm512_mul_ps(h.m, da), _mm512_cvtepi32_ps(other), acc[r]);
            }
        }
        EACH(r) _mm512_mask_storeu_ps(y + r * y_stride + from, live, acc[r]);
    }
}

/* ---- blocks of 32 ---- */

#define TURNED_BYTES_32(type) ((type) == KER_Q8_0 ? 34 : (type) == KER_Q4_1 ? 20 : (type) == KER_Q5_0 ? 22 : (type) == KER_Q5_1 ? 24 : (type) == KER_MXFP4 ? 17 : 18)
#define TURNED_LESS_32(type) ((type) == KER_Q4_0 ? 8 : (type) == KER_Q5_0 ? 16 : (type) == KER_Q8_0 || (type) == KER_IQ4_NL ? 128 : (type) == KER_MXFP4 ? 12 : 0)

/* Dword k of a block's eight; five: the fifth bits, a row a dword. */
INLINE __m512i turned_weights_32(const int type, const __m512i v[8], __m512i five, const int k)
{
    if (type == KER_Q8_0) return _mm512_xor_si512(v[k], _mm512_set1_epi8((char)0x80));
    __m512i w = _mm512_and_si512(k / 4 ? _mm512_srli_epi16(v[k % 4], 4) : v[k], _mm512_set1_epi8(15));
    if (type == KER_IQ4_NL || type == KER_MXFP4)
        return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(load16(type == KER_MXFP4 ? e2m1_plus_12 : iq4_plus_128)), w);
    if (type != KER_Q5_0 && type != KER_Q5_1) return w;
    const __m512i same = _mm512_broadcast_i32x4(_mm_add_epi8(_mm_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12), _mm_set1_epi8((char)(k / 2))));
    __mmask64 m = _mm512_test_epi8_mask(_mm512_shuffle_epi8(five, same), _mm512_set1_epi32(k % 2 ? (int)0x80402010u : 0x08040201));    /* bits 4k to 4k + 3 */
    return _mm512_mask_add_epi8(w, m, w, _mm512_set1_epi8(16));
}

INLINE void turned_32(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1, float *y, int64_t y_stride, void *scratch, const int type)
{
    const int bytes = TURNED_BYTES_32(type), has_min = type == KER_Q4_1 || type == KER_Q5_1, five = type == KER_Q5_0 || type == KER_Q5_1;
    const mat_q8 x = mat_q8_32(act, w->n_in);
    const int64_t d_at = (const char *)x.d - (const char *)act, s_at = (const char *)x.sum - (const char *)act;
    turned_acts a = turned_acts_at(act, act_stride), less = a;
    if (TURNED_LESS_32(type)) turned_less(w, act, act_stride, nr, 32, 32, TURNED_LESS_32(type), scratch);
    for (int64_t o = o0; o < o1; o += 16) {
        const int64_t from = o + 16 <= w->n_out ? o : w->n_out - 16, have = o1 - o < 16 ? o1 - o : 16;
        const __mmask16 live = (__mmask16)(((1u << have) - 1) << (o - from));
        const int64_t far = fetch_ahead(w, o, o1, 16);
        const turned_rows t = turned_at(w, from);
        __m512 acc[FEW];
        EACH(r) acc[r] = _mm512_setzero_ps();
        for (int64_t b = 0, at = 0; at < w->row_bytes; b++, at += bytes) {
            const uint8_t *row[16];
            __m512i v[8], dot[FEW], fifth = _mm512_setzero_si512();
            turned_places(&t, at, row);
            if (at % 64 < bytes)
                UNROLL for (int i = 0; i < 16; i++) _mm_prefetch((const char *)row[i] + far, _MM_HINT_T1);
            if (type == KER_Q8_0) turn32(&t, at + 2, v);
            else turn16(&t, at + bytes - 16, v);
            if (five) fifth = dwords16(row, bytes - 20);
            a.p = (const char *)act + 32 * b;
            less.p = (const char *)scratch + 4 * b;
            EACH(r) dot[r] = TURNED_LESS_32(type) ? four(OF(less, r)) : _mm512_setzero_si512();
            UNROLL for (int k = 0; k < 8; k++) {
                __m512i u = turned_weights_32(type, v, fifth, k);
                EACH(r) dot[r] = dpb_four(dot[r], u, OF(a, r) + 4 * k);
            }
            __m512i pairs = has_min ? dwords16(row, 0) : _mm512_setzero_si512();
            __m512 d = has_min ? low_halves(pairs) : type == KER_MXFP4 ? e8m0_halves(first_bytes(row, 0)) : halves16(row, 0), m = high_halves(pairs);
            a.p = (const char *)act + 4 * b;
            EACH(r) {
                __m512 da = _mm512_set1_ps(*(const float *)(const void *)(OF(a, r) + d_at));
                acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(d, da), _mm512_cvtepi32_ps(dot[r]), acc[r]);
                if (has_min) acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(m, da), _mm512_cvtepi32_ps(four(OF(a, r) + s_at)), acc[r]);
            }
        }
        EACH(r) _mm512_mask_storeu_ps(y + r * y_stride + from, live, acc[r]);
    }
}
