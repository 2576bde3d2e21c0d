/* kernels/cpu/vec_body: the body behind vec.h, included once per instruction set after that set has
 * defined v16 (16 float lanes) and v_load, v_loadn, v_store, v_storen, v_set, v_add, v_sub, v_mul, v_div,
 * v_fma, v_max (a > b ? a : b), v_fold (the sum of the lanes, the upper half added to the lower, 16->8->4->2->1),
 * v_most (the largest, likewise by v_max), v_above (x > limit ? v : 0), v_pow2 (2^x for whole x), v_half, v_to_half,
 * v_int8, v_to_int16 (nearest even, 32767 at most; of 0 to 2^16), v_raised(p, n) (the bits of p plus those of n shifted left by 23), v_whole (no lane is NaN), v_past and v_past_end (a store past the caches to an address that is a multiple of 64, and
 * what makes such stores seen by other threads; or v_store and nothing), and the tiles of attention that its registers hold, queries by
 * times 16 lanes: VEC_QB x VEC_QV of F32 cells, VEC_HQ x VEC_HV of F16 ones, VEC_PAIR x VEC_PV of what is left. Never included
 * elsewhere. */

/* The sums below are arrays of lanes: without unrolling compilers keep them in memory. */
#if defined(__clang__)
#define V_UNROLL _Pragma("unroll")
#define V_UNROLL_8 V_UNROLL
#else
#define V_UNROLL _Pragma("GCC unroll 4")
#define V_UNROLL_8 _Pragma("GCC unroll 8")
#endif

/* exp by 2^n * e^r, |r| <= ln2/2, Cephes' expf polynomial (S. Moshier, public domain constants). Relative
 * error below 1.3e-7 on [-87, 88]; 0 at and below -87, e^88 above 88. exp(0) is exactly 1. */
static inline v16 v_exp(v16 x)
{
    const v16 magic = v_set(12582912.0f);          /* 1.5 * 2^23: adding it rounds to a whole number */
    v16 z = v_max(x, v_set(-87.0f));
    z = v_sub(v_set(0), v_max(v_sub(v_set(0), z), v_set(-88.0f)));
    v16 n = v_sub(v_add(v_mul(z, v_set(1.44269504088896341f)), magic), magic);
    v16 r = v_fma(n, v_set(-0.693359375f), z);
    r = v_fma(n, v_set(2.12194440e-4f), r);
    v16 p = v_set(1.9875691500e-4f);
    p = v_fma(p, r, v_set(1.3981999507e-3f));
    p = v_fma(p, r, v_set(8.3334519073e-3f));
    p = v_fma(p, r, v_set(4.1665795894e-2f));
    p = v_fma(p, r, v_set(1.6666665459e-1f));
    p = v_fma(p, r, v_set(5.0000001201e-1f));
    p = v_add(v_fma(p, v_mul(r, r), r), v_set(1));
    return v_above(x, v_set(-87.0f), v_mul(p, v_pow2(n)));
}

static void vec_norm(const float *x, const float *w, int n, float eps, float *y)
{
    v16 s = v_set(0);
    int i = 0;
    for (; i + 16 <= n; i += 16) { v16 a = v_load(x + i); s = v_fma(a, a, s); }
    if (i < n) { v16 a = v_loadn(x + i, n - i); s = v_fma(a, a, s); }
    v16 scale = v_set(1.0f / sqrtf(v_fold(s) / (float)n + eps));
    for (i = 0; i + 16 <= n; i += 16) v_store(y + i, v_mul(v_mul(v_load(x + i), scale), v_load(w + i)));
    if (i < n) v_storen(y + i, v_mul(v_mul(v_loadn(x + i, n - i), scale), v_loadn(w + i, n - i)), n - i);
}

static void vec_layernorm(const float *x, const float *w, const float *b, int n, float eps, float *y)
{
    v16 s = v_set(0);
    int i = 0, whole = n & ~15, rest = n - whole;
    for (; i < whole; i += 16) s = v_add(s, v_load(x + i));
    if (rest) s = v_add(s, v_loadn(x + i, rest));
    v16 mean = v_set(v_fold(s) / (float)n);
    s = v_set(0);
    for (i = 0; i < whole; i += 16) { v16 a = v_sub(v_load(x + i), mean); s = v_fma(a, a, s); }
    if (rest) {                                    /* lanes beyond the end hold no -mean */
        float t[16] = { 0 };
        v_storen(t, v_sub(v_loadn(x + i, rest), mean), rest);
        v16 a = v_load(t);
        s = v_fma(a, a, s);
    }
    v16 scale = v_set(1.0f / sqrtf(v_fold(s) / (float)n + eps));
    for (i = 0; i < whole; i += 16) v_store(y + i, v_fma(v_mul(v_sub(v_load(x + i), mean), scale), v_load(w + i), v_load(b + i)));
    if (rest) v_storen(y + i, v_fma(v_mul(v_sub(v_loadn(x + i, rest), mean), scale), v_loadn(w + i, rest), v_loadn(b + i, rest)), rest);
}

/* gelu(x) = max(x, 0) - |x| / 2 * erfc(|x| / sqrt 2), erfc by Abramowitz and Stegun 7.1.26 (error below 1.5e-7). */
static inline v16 v_gelu(v16 x)
{
    const v16 zero = v_set(0);
    v16 a = v_max(x, v_sub(zero, x)), u = v_mul(a, v_set(0.70710678118654752f));
    v16 t = v_div(v_set(1), v_fma(u, v_set(0.3275911f), v_set(1)));
    v16 p = v_fma(t, v_set(1.061405429f), v_set(-1.453152027f));
    p = v_fma(p, t, v_set(1.421413741f));
    p = v_fma(p, t, v_set(-0.284496736f));
    p = v_fma(p, t, v_set(0.254829592f));
    p = v_mul(v_mul(p, t), v_exp(v_sub(zero, v_mul(u, u))));
    return v_sub(v_max(x, zero), v_mul(v_mul(a, v_set(0.5f)), p));
}

static void vec_gelu(float *x, int n)
{
    int i = 0;
    for (; i + 16 <= n; i += 16) v_store(x + i, v_gelu(v_load(x + i)));
    if (i < n) v_storen(x + i, v_gelu(v_loadn(x + i, n - i)), n - i);
}

static inline v16 v_silu(v16 g) { return v_div(g, v_add(v_set(1), v_exp(v_sub(v_set(0), g)))); }

static inline v16 v_swiglu(v16 g, v16 u) { return v_mul(v_silu(g), u); }

/* (1 + tanh(u)) / 2 = 1 / (1 + exp(-2u)), u = sqrt(2 / pi) (g + 0.044715 g^3). */
static inline v16 v_geglu(v16 g, v16 u)
{
    v16 t = v_mul(v_set(-1.5957691216057308f), v_fma(v_mul(v_mul(g, g), g), v_set(0.044715f), g));
    return v_mul(v_div(g, v_add(v_set(1), v_exp(t))), u);
}

/* The limit stands first in v_max, so that a NaN stays one. */
static inline v16 v_clamped(v16 g, v16 u)
{
    const v16 zero = v_set(0), low = v_set(-7);
    v16 x = v_sub(zero, v_max(low, v_sub(zero, g)));
    v16 y = v_sub(zero, v_max(low, v_sub(zero, v_max(low, u))));
    return v_mul(v_div(x, v_add(v_set(1), v_exp(v_mul(v_set(-1.702f), x)))), v_add(y, v_set(1)));
}

static inline __attribute__((always_inline)) void glu_any(v16 (*of)(v16 g, v16 u), const float *gate, const float *up, float *h, int n)
{
    int i = 0;
    for (; i + 16 <= n; i += 16) v_store(h + i, of(v_load(gate + i), v_load(up + i)));
    if (i < n) v_storen(h + i, of(v_loadn(gate + i, n - i), v_loadn(up + i, n - i)), n - i);
}
static void vec_swiglu(const float *gate, const float *up, float *h, int n) { glu_any(v_swiglu, gate, up, h, n); }
static void vec_geglu(const float *gate, const float *up, float *h, int n) { glu_any(v_geglu, gate, up, h, n); }
static void vec_clamped(const float *gate, const float *up, float *h, int n) { glu_any(v_clamped, gate, up, h, n); }

static void vec_add(float *x, const float *y, int n)
{
    int i = 0;
    for (; i + 16 <= n; i += 16) v_store(x + i, v_add(v_load(x + i), v_load(y + i)));
    if (i < n) v_storen(x + i, v_add(v_loadn(x + i, n - i), v_loadn(y + i, n - i)), n - i);
}

static void vec_axpy(float *acc, float a, const float *y, int n)
{
    v16 f = v_set(a);
    int i = 0;
    for (; i + 16 <= n; i += 16) v_store(acc + i, v_fma(f, v_load(y + i), v_load(acc + i)));
    if (i < n) v_storen(acc + i, v_fma(f, v_loadn(y + i, n - i), v_loadn(acc + i, n - i)), n - i);
}

static bool vec_finite(const float *x, int64_t n)
{
    v16 s = v_set(0), zero = v_set(0);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) s = v_fma(v_load(x + i), zero, s);
    if (i < n) s = v_fma(v_loadn(x + i, (int)(n - i)), zero, s);
    return v_whole(s);
}

/* For measuring how fast memory is read: loads, and as little as keeps them. */
static float vec_read(const float *x, int64_t n, int ahead)
{
    v16 m[4];
    int64_t i = 0;
    float most = -INFINITY;
    for (int k = 0; k < 4; k++) m[k] = v_set(-INFINITY);
    for (; i + 64 <= n; i += 64)
        V_UNROLL for (int k = 0; k < 4; k++) {
            if (ahead) __builtin_prefetch((const char *)(x + i + 16 * k) + ahead, 0, 3);
            m[k] = v_max(v_load(x + i + 16 * k), m[k]);
        }
    for (int k = 0; k < 4; k++) {
        float t[16];
        v_store(t, m[k]);
        for (int j = 0; j < 16; j++) most = t[j] > most ? t[j] : most;
    }
    for (; i < n; i++) most = x[i] > most ? x[i] : most;
    return most;
}

static void vec_exp(const float *x, float shift, float *y, int n)
{
    v16 m = v_set(shift);
    int i = 0;
    for (; i + 16 <= n; i += 16) v_store(y + i, v_exp(v_sub(v_load(x + i), m)));
    if (i < n) v_storen(y + i, v_exp(v_sub(v_loadn(x + i, n - i), m)), n - i);
}

static void vec_f16(const uint16_t *src, float *dst, int64_t n)
{
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) v_store(dst + i, v_half(src + i));
    for (; i < n; i++) dst[i] = ker_f16_to_f32(src[i]);
}

static void vec_to_f16(const float *src, uint16_t *dst, int n)
{
    int i = 0;
    for (; i + 16 <= n; i += 16) v_to_half(dst + i, v_load(src + i));
    for (; i < n; i++) dst[i] = ker_f32_to_f16(src[i]);
}

static void vec_q8(const int8_t *src, const float *scale, float *dst, int n)
{
    int i = 0;
    for (; i + 16 <= n; i += 16) v_store(dst + i, v_mul(v_load(scale + i), v_int8(src + i)));
    for (; i < n; i++) dst[i] = scale[i] * (float)src[i];
}

static void vec_q8s(const int8_t *src, float scale, float *dst, int n)
{
    int i = 0;
    for (; i + 16 <= n; i += 16) v_store(dst + i, v_mul(v_set(scale), v_int8(src + i)));
    for (; i < n; i++) dst[i] = scale * (float)src[i];
}

static void vec_q4(const uint8_t *src, const float *scale, float *lo, float *hi, int n)
{
    for (int i = 0; i < n; i += 16) {
        int8_t a[16], b[16];
        for (int j = 0; j < 16; j++) {
            a[j] = (int8_t)((src[i + j] & 15) - 8);
            b[j] = (int8_t)((src[i + j] >> 4) - 8);
        }
        v_store(lo + i, v_mul(v_load(scale + i), v_int8(a)));
        v_store(hi + i, v_mul(v_load(scale + i), v_int8(b)));
    }
}

/* Compilers split these where a set has less. */
typedef uint8_t v_bytes __attribute__((vector_size(64), aligned(1), may_alias));
typedef int32_t v_ints __attribute__((vector_size(64), aligned(4), may_alias));
typedef int8_t v_turns __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint16_t v_halves __attribute__((vector_size(32), aligned(2), may_alias));
typedef int16_t v_signs __attribute__((vector_size(32), aligned(2), may_alias));

static inline void fours_put(v_bytes x, v_bytes t, int8_t *lo, int8_t *hi)
{
    *(v_bytes *)(void *)lo = (((x & 15) - 8) ^ t) - t;
    *(v_bytes *)(void *)hi = (((x >> 4) - 8) ^ t) - t;
}

static void vec_fours(const uint8_t *src, const int8_t *turn, int8_t *lo, int8_t *hi, int n)
{
    for (int i = 0; i < n; i += 64) {
        v_ints t = __builtin_convertvector(*(const v_turns *)(const void *)(turn + i / 4), v_ints);
        fours_put(*(const v_bytes *)(const void *)(src + i), (v_bytes)t, lo + i, hi + i);
    }
}

static void vec_fours_each(const uint8_t *src, int64_t src_apart, const int8_t *turn, int8_t *lo, int8_t *hi, int64_t to_apart, int n)
{
    for (int g = 0; g < n; g++) {
        int32_t four;
        memcpy(&four, turn + 4 * g, 4);
        v_ints t = (v_ints){ 0 } + four;
        fours_put(*(const v_bytes *)(const void *)(src + g * src_apart), (v_bytes)t, lo + g * to_apart, hi + g * to_apart);
    }
}

static void vec_signs(const uint16_t *src, int8_t *turn, float *size, int n)
{
    for (int i = 0; i < n; i += 16) {
        v_halves x = *(const v_halves *)(const void *)(src + i), plain = x & 0x7FFF;
        *(v_turns *)(void *)(turn + i) = __builtin_convertvector((v_signs)x >> 15, v_turns);
        uint16_t half[16];
        memcpy(half, &plain, sizeof half);
        v_store(size + i, v_half(half));
    }
}

static inline v16 v_cell(const void *p, bool half, int64_t at)
{
    return half ? v_half((const uint16_t *)p + at) : v_load((const float *)p + at);
}

/* A tile is n_q queries by `wide` times 16 cells (of K) or numbers (of V); both are constants where the body is inlined, so that the
 * sums stay in registers. Of F16 cells a step of a tile asks for as much of the next page as it reads of this one, in the order in which
 * it lies: so memory works while the sums are made, and not in a burst between two pages. step: of this size, from the page's beginning. */
static inline __attribute__((always_inline)) void ask_next(const void *next, bool half, int64_t step, int wide)
{
    if (half && (wide > 1 || step % 2 == 0))       /* a line holds two times 16 */
        for (int j = 0; j < wide; j += 2) __builtin_prefetch((const uint16_t *)next + step * 16 * wide + 16 * j, 0, 2);
}

static inline __attribute__((always_inline)) void scores_tile(const void *k, const void *next, bool half, int dim, const float *const *q, int n_q, int wide, float *s)
{
    for (int c = 0; c < VEC_CELLS; c += 16 * wide) {
        v16 a[VEC_HQ][4];
        V_UNROLL_8
        for (int i = 0; i < n_q; i++)
            V_UNROLL
            for (int j = 0; j < wide; j++) a[i][j] = v_set(0);
        for (int d = 0; d < dim; d++) {
            int64_t at = (int64_t)d * VEC_CELLS + c;
            v16 x[4];
            V_UNROLL
            for (int j = 0; j < wide; j++) x[j] = v_cell(k, half, at + 16 * j);
            ask_next(next, half, (int64_t)(c / 16 / wide) * dim + d, wide);
            V_UNROLL_8
            for (int i = 0; i < n_q; i++) {
                v16 f = v_set(q[i][d]);
                V_UNROLL
                for (int j = 0; j < wide; j++) a[i][j] = v_fma(f, x[j], a[i][j]);
            }
        }
        V_UNROLL_8
        for (int i = 0; i < n_q; i++)
            V_UNROLL
            for (int j = 0; j < wide; j++) v_store(s + i * VEC_CELLS + c + j * 16, a[i][j]);
    }
}

/* Tiles of VEC_HQ queries (F16 cells), of VEC_QB, and those of the rest. */
static inline __attribute__((always_inline)) void scores_any(const void *k, const void *next, bool half, int dim, const float *const *q, int n_q, float *s)
{
    int i = 0;
    for (; half && VEC_HQ > VEC_QB && i + VEC_HQ <= n_q; i += VEC_HQ, next = k) scores_tile(k, next, half, dim, q + i, VEC_HQ, VEC_HV, s + i * VEC_CELLS);
    for (; VEC_QB > 1 && i + VEC_QB <= n_q; i += VEC_QB, next = k) scores_tile(k, next, half, dim, q + i, VEC_QB, VEC_QV, s + i * VEC_CELLS);
    for (; (half ? VEC_HQ : VEC_QB) > 2 && i + 2 <= n_q; i += 2, next = k) scores_tile(k, next, half, dim, q + i, VEC_PAIR, VEC_PV, s + i * VEC_CELLS);
    for (; i < n_q; i++, next = k) scores_tile(k, next, half, dim, q + i, 1, 4, s + i * VEC_CELLS);
}

static void vec_scores(const float *k, int dim, const float *const *q, int n_q, float *s) { scores_any(k, k, false, dim, q, n_q, s); }
static void vec_scores_f16(const uint16_t *k, const uint16_t *next, int dim, const float *const *q, int n_q, float *s)
{
    scores_any(k, next, true, dim, q, n_q, s);
}

/* The largest of cells [0, n) of one query's; those from n on become none. NaN, unseen, in any set alike: v_max. */
static inline float page_most(float *s, int n)
{
    for (int c = n; c < VEC_CELLS; c++) s[c] = -INFINITY;
    return v_most(v_max(v_max(v_load(s), v_load(s + 16)), v_max(v_load(s + 32), v_load(s + 48))));
}

static void vec_softmax(float *s, int n, int n_q, float *m, float *l, float *shrink)
{
    for (int i = 0; i < n_q; i += 16) {
        int some = n_q - i < 16 ? n_q - i : 16;
        float gap[16] = { 0 };
        for (int k = 0; k < some; k++) {
            float most = page_most(s + (i + k) * VEC_CELLS, n), top = most > m[i + k] ? most : m[i + k];
            gap[k] = m[i + k] - top;
            m[i + k] = top;
        }
        v_store(gap, v_exp(v_load(gap)));
        for (int k = 0; k < some; k++) {
            v16 shift = v_set(m[i + k]), sum = v_set(0);
            float *x = s + (i + k) * VEC_CELLS;
            V_UNROLL
            for (int j = 0; j < 4; j++) {
                v16 e = j * 16 < n ? v_exp(v_sub(v_load(x + j * 16), shift)) : v_set(0);
                sum = v_add(sum, e);
                v_store(x + j * 16, e);
            }
            shrink[i + k] = gap[k];
            l[i + k] = fmaf(l[i + k], gap[k], v_fold(sum));
        }
    }
}

/* VEC_WEIGHT * e^x for x from -86 to 0, 0 below: 2^n * 2^f, |f| <= 1/2, 2^f by a polynomial of our own fit (least greatest relative
 * error, 2.9e-6, with 1 at 0, by reweighted least squares), enough for 15 bits. 1.5 * 2^23 + 15 rounds to a whole number as
 * in v_exp, and its lowest bits are what the power's exponent needs. */
static inline v16 v_weight(v16 x)
{
    const v16 magic = v_set(12582927.0f);
    v16 t = v_mul(x, v_set(1.44269504088896341f)), n = v_add(t, magic), f = v_sub(t, v_sub(n, magic));
    v16 p = v_set(9.58285481e-3f);
    p = v_fma(p, f, v_set(5.59064336e-2f));
    p = v_fma(p, f, v_set(0.240240991f));
    p = v_fma(p, f, v_set(0.693124175f));
    p = v_fma(p, f, v_set(1));
    return v_above(x, v_set(-86.0f), v_raised(p, n));
}

static void vec_weigh(float *s, int n, int n_q, float *m, float *l, int16_t *w)
{
    for (int i = 0; i < n_q; i++) {
        float *x = s + i * VEC_CELLS;
        m[i] = page_most(x, n);
        if (!v_whole(v_add(v_add(v_load(x), v_load(x + 16)), v_add(v_load(x + 32), v_load(x + 48))))) m[i] = NAN;
    }
    for (int i = 0; i < n_q; i++) {
        v16 shift = v_set(m[i]), sum = v_set(0);
        V_UNROLL
        for (int j = 0; j < 4; j++) {
            v16 e = v_weight(v_sub(v_load(s + i * VEC_CELLS + j * 16), shift));
            sum = v_add(sum, e);
            v_to_int16(w + i * VEC_CELLS + j * 16, e);
        }
        l[i] = v_fold(sum) * (1.0f / VEC_WEIGHT) + (m[i] - m[i]);
    }
}

static void vec_joined(const float *page_top, const float *page_sum, float *top, float *sum, float *shrink, float *factor, int n)
{
    for (int i = 0; i < n; i += 16) {
        int some = n - i < 16 ? n - i : 16;
        v16 was = v_loadn(top + i, some), now = v_loadn(page_top + i, some), most = v_max(now, was);
        v16 less = v_exp(v_sub(was, most)), f = v_exp(v_sub(now, most));
        v_storen(sum + i, v_fma(v_loadn(page_sum + i, some), f, v_mul(v_loadn(sum + i, some), less)), some);
        v_storen(top + i, most, some);
        v_storen(shrink + i, less, some);
        v_storen(factor + i, f, some);
    }
}

static inline __attribute__((always_inline)) void parts_tile(const float *part, int64_t apart, int n_parts, const float *less, const float *more, float *acc, int wide)
{
    v16 a[4];
    V_UNROLL
    for (int j = 0; j < wide; j++) a[j] = v_load(acc + 16 * j);
    for (int i = 0; i < n_parts; i++, part += apart) {
        v16 f = v_set(less[i]), g = v_set(more[i]);
        V_UNROLL
        for (int j = 0; j < wide; j++) a[j] = v_fma(g, v_load(part + 16 * j), v_mul(a[j], f));
    }
    V_UNROLL
    for (int j = 0; j < wide; j++) v_store(acc + 16 * j, a[j]);
}

static void vec_parts(const float *part, int64_t apart, int n_parts, const float *less, const float *more, float *acc, int n)
{
    int i = 0;
    for (; i + 64 <= n; i += 64) parts_tile(part + i, apart, n_parts, less, more, acc + i, 4);
    for (; i < n; i += 16) parts_tile(part + i, apart, n_parts, less, more, acc + i, 1);
}

static inline __attribute__((always_inline)) void values_tile(const void *v, const void *next, bool half, int64_t dim, int n_cells, const float *p,
                                                              const float *shrink, float *const *acc, int n_q, int d, int wide)
{
    v16 a[VEC_HQ][4];
    V_UNROLL_8
    for (int i = 0; i < n_q; i++) {
        v16 f = v_set(shrink[i]);
        V_UNROLL
        for (int j = 0; j < wide; j++) a[i][j] = v_mul(v_load(acc[i] + d + j * 16), f);
    }
    for (int c = 0; c < n_cells; c++) {
        int64_t at = c * dim + d;
        v16 x[4];
        V_UNROLL
        for (int j = 0; j < wide; j++) x[j] = v_cell(v, half, at + j * 16);
        ask_next(next, half, (int64_t)(d / 16) * (VEC_CELLS / wide) + c, wide);
        V_UNROLL_8
        for (int i = 0; i < n_q; i++) {
            v16 f = v_set(p[i * VEC_CELLS + c]);
            V_UNROLL
            for (int j = 0; j < wide; j++) a[i][j] = v_fma(f, x[j], a[i][j]);
        }
    }
    V_UNROLL_8
    for (int i = 0; i < n_q; i++)
        V_UNROLL
        for (int j = 0; j < wide; j++) v_store(acc[i] + d + j * 16, a[i][j]);
}

static inline __attribute__((always_inline)) void values_some(const void *v, const void *next, bool half, int dim, int n_cells, const float *p,
                                                              const float *shrink, float *const *acc, int n_q, int wide)
{
    int d = 0;
    for (; d + 16 * wide <= dim; d += 16 * wide) values_tile(v, next, half, dim, n_cells, p, shrink, acc, n_q, d, wide);
    for (; wide > 2 && d + 32 <= dim; d += 32) values_tile(v, next, half, dim, n_cells, p, shrink, acc, n_q, d, 2);
    for (; d < dim; d += 16) values_tile(v, next, half, dim, n_cells, p, shrink, acc, n_q, d, 1);
}

static inline __attribute__((always_inline)) void values_any(const void *v, const void *next, bool half, int dim, int n_cells, const float *p,
                                                             const float *shrink, float *const *acc, int n_q)
{
    int i = 0;
    for (; half && VEC_HQ > VEC_QB && i + VEC_HQ <= n_q; i += VEC_HQ, next = v)
        values_some(v, next, half, dim, n_cells, p + i * VEC_CELLS, shrink + i, acc + i, VEC_HQ, VEC_HV);
    for (; VEC_QB > 1 && i + VEC_QB <= n_q; i += VEC_QB, next = v) values_some(v, next, half, dim, n_cells, p + i * VEC_CELLS, shrink + i, acc + i, VEC_QB, VEC_QV);
    for (; (half ? VEC_HQ : VEC_QB) > 2 && i + 2 <= n_q; i += 2, next = v) values_some(v, next, half, dim, n_cells, p + i * VEC_CELLS, shrink + i, acc + i, VEC_PAIR, VEC_PV);
    for (; i < n_q; i++, next = v) values_some(v, next, half, dim, n_cells, p + i * VEC_CELLS, shrink + i, acc + i, 1, 4);
}

static void vec_values(const float *v, int dim, int n_cells, const float *p, const float *shrink, float *const *acc, int n_q)
{
    values_any(v, v, false, dim, n_cells, p, shrink, acc, n_q);
}

static void vec_values_f16(const uint16_t *v, const uint16_t *next, int dim, int n_cells, const float *p, const float *shrink, float *const *acc, int n_q)
{
    values_any(v, next, true, dim, n_cells, p, shrink, acc, n_q);
}

/* ---- recurrent layers ---- */

static void vec_unit(float *x, int n, float eps, float scale)
{
    v16 s = v_set(0);
    int i = 0;
    for (; i + 16 <= n; i += 16) { v16 a = v_load(x + i); s = v_fma(a, a, s); }
    if (i < n) { v16 a = v_loadn(x + i, n - i); s = v_fma(a, a, s); }
    v16 f = v_set(scale / sqrtf(v_fold(s) + eps));
    for (i = 0; i + 16 <= n; i += 16) v_store(x + i, v_mul(v_load(x + i), f));
    if (i < n) v_storen(x + i, v_mul(v_loadn(x + i, n - i), f), n - i);
}

static void vec_gate(float *x, const float *g, int n)
{
    int i = 0;
    const v16 one = v_set(1), zero = v_set(0);
    for (; i + 16 <= n; i += 16) v_store(x + i, v_div(v_load(x + i), v_add(one, v_exp(v_sub(zero, v_load(g + i))))));
    if (i < n) v_storen(x + i, v_div(v_loadn(x + i, n - i), v_add(one, v_exp(v_sub(zero, v_loadn(g + i, n - i))))), n - i);
}

static void vec_conv(const float *const *x, const float *w, int64_t apart, int taps, float *y, int n)
{
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        v16 s = v_mul(v_load(x[0] + i), v_load(w + i));
        for (int j = 1; j < taps; j++) s = v_fma(v_load(x[j] + i), v_load(w + j * apart + i), s);
        v_store(y + i, v_silu(s));
    }
    if (i == n) return;
    v16 s = v_mul(v_loadn(x[0] + i, n - i), v_loadn(w + i, n - i));
    for (int j = 1; j < taps; j++) s = v_fma(v_loadn(x[j] + i, n - i), v_loadn(w + j * apart + i, n - i), s);
    v_storen(y + i, v_silu(s), n - i);
}

/* The widths are constants where this is inlined, so that the sums stay in registers. past: `to` is not read again soon. */
static inline __attribute__((always_inline)) void delta_step(const float *from, float *to, int dim, int nv, const float *q, const float *k, const float *v, int n_v,
                                                             float g, float beta, float *o, bool past)
{
    v16 p[4][2], u[4][2], d[2], decay = v_set(g), b = v_set(beta);
    V_UNROLL
    for (int t = 0; t < 4; t++)
        V_UNROLL
        for (int j = 0; j < nv; j++) p[t][j] = u[t][j] = v_set(0);
    int i = 0;
    for (; i + 4 <= dim; i += 4)
        V_UNROLL
        for (int t = 0; t < 4; t++) {
            v16 f = v_set(k[i + t]);
            V_UNROLL
            for (int j = 0; j < nv; j++) p[t][j] = v_fma(v_load(from + (i + t) * 16 * nv + 16 * j), f, p[t][j]);
        }
    for (int t = 0; i + t < dim; t++)
        for (int j = 0; j < nv; j++) p[t][j] = v_fma(v_load(from + (i + t) * 16 * nv + 16 * j), v_set(k[i + t]), p[t][j]);
    V_UNROLL
    for (int j = 0; j < nv; j++) {
        int left = n_v - 16 * j;
        v16 sum = v_add(v_add(p[0][j], p[1][j]), v_add(p[2][j], p[3][j]));
        v16 x = left >= 16 ? v_load(v + 16 * j) : v_loadn(v + 16 * j, left > 0 ? left : 0);
        d[j] = v_mul(b, v_sub(x, v_mul(decay, sum)));
    }
    for (i = 0; i + 4 <= dim; i += 4)
        V_UNROLL
        for (int t = 0; t < 4; t++) {
            v16 f = v_set(k[i + t]), e = v_set(q[i + t]);
            V_UNROLL
            for (int j = 0; j < nv; j++) {
                int at = (i + t) * 16 * nv + 16 * j;
                v16 s = v_fma(f, d[j], v_mul(decay, v_load(from + at)));
                if (past) v_past(to + at, s);
                else v_store(to + at, s);
                u[t][j] = v_fma(s, e, u[t][j]);
            }
        }
    for (int t = 0; i + t < dim; t++)
        for (int j = 0; j < nv; j++) {
            int at = (i + t) * 16 * nv + 16 * j;
            v16 s = v_fma(v_set(k[i + t]), d[j], v_mul(decay, v_load(from + at)));
            v_store(to + at, s);
            u[t][j] = v_fma(s, v_set(q[i + t]), u[t][j]);
        }
    V_UNROLL
    for (int j = 0; j < nv; j++) {
        int left = n_v - 16 * j;
        v16 sum = v_add(v_add(u[0][j], u[1][j]), v_add(u[2][j], u[3][j]));
        if (left >= 16) v_store(o + 16 * j, sum);
        else if (left > 0) v_storen(o + 16 * j, sum, left);
    }
    if (past) v_past_end();
}

static void vec_delta(const float *from, float *to, int dim, int wide, const float *q, const float *k, const float *v, int n_v, float g, float beta, float *o, bool past)
{
    past = past && (uintptr_t)to % 64 == 0;
    if (wide == 32 && past) delta_step(from, to, dim, 2, q, k, v, n_v, g, beta, o, true);
    else if (wide == 32) delta_step(from, to, dim, 2, q, k, v, n_v, g, beta, o, false);
    else delta_step(from, to, dim, 1, q, k, v, n_v, g, beta, o, false);
}

#define VEC_OPS { vec_norm, { vec_swiglu, vec_geglu, vec_clamped }, vec_layernorm, vec_gelu, vec_add, vec_axpy, vec_finite, vec_read, vec_exp, vec_f16, vec_to_f16, vec_q8, vec_q8s, vec_q4, vec_fours, vec_fours_each, vec_signs, \
                  vec_scores, vec_scores_f16, vec_softmax, vec_weigh, vec_joined, vec_parts, vec_values, vec_values_f16, vec_unit, vec_gate, vec_conv, vec_delta, VEC_FEW }
