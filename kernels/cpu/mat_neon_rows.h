/* kernels/cpu/mat_neon_rows: products over rows as they lie in memory: four rows of the matrix (lane = row) by up to four rows of
 * activations, sixteen products of bytes at a time. Blocks are taken apart in registers once for those rows; nothing is written
 * on the way. Included once an instruction set, which has defined before
 *     int32x4_t dot16(acc, w, a)     acc + the sums of sixteen products, spread over its lanes in any way, exact for |a| <= 127
 * and may follow with mat_neon_tile.h for many rows. Private to kernels/cpu; pure functions; any thread. */

enum { MAX_R = 4 };
#define EACH(r) UNROLL for (int r = 0; r < nr; r++)

/* One call's constants: what a block's floats and sums are found by in a prepared row. */
typedef struct act_view {
    const char *act;
    int64_t stride;                /* bytes */
    int64_t d_at, sums_at;         /* offsets in a prepared row */
} act_view;

INLINE float act_scale(const act_view *x, int r, int64_t k) { float v; memcpy(&v, x->act + r * x->stride + x->d_at + 4 * k, 4); return v; }
INLINE int8x16_t act16(const act_view *x, int r, int64_t at) { return vld1q_s8((const int8_t *)x->act + r * x->stride + at); }

/* Block k of one row: sums of products with nr rows, sub-scales inside, and of its minima, each in four parts. */
INLINE void block256(const int type, const uint8_t *s, const act_view *x, int64_t k, const int nr, int32x4_t sum[MAX_R], int32x4_t low[MAX_R])
{
    const int sub = neon_forms[type].sub, has_min = neon_forms[type].m >= 0;
    int16x8_t sc[2], mn[2];
    int32x4_t by[4];
    scales256(type, s, sc, mn);
    UNROLL for (int i = 0; i < 64 / sub; i++)
        by[i] = i % 2 ? vmovl_high_s16(sc[i / 2]) : vmovl_s16(vget_low_s16(sc[i / 2]));
    EACH(r) {
        const int16_t *s16 = (const int16_t *)(const void *)(x->act + r * x->stride + x->sums_at) + 256 / sub * k;
        sum[r] = more_of(type) ? vmulq_n_s32(with_sums(sc, s16, 16), -more_of(type)) : vdupq_n_s32(0);
        if (has_min) low[r] = with_sums(mn, s16, 256 / sub);
    }
    UNROLL for (int c = 0; c < 4; c++) {
        int8x16_t w[4];
        chunk256(type, s, c, w);
        EACH(r) {
            int32x4_t dot[4];
            UNROLL for (int i = 0; i < 4; i++) {
                int8x16_t a = act16(x, r, 256 * k + 64 * c + 16 * i);
                dot[i] = sub == 32 && i % 2 ? dot16(dot[i - 1], w[i], a) : dot16(vdupq_n_s32(0), w[i], a);
            }
            UNROLL for (int i = sub / 16 - 1; i < 4; i += sub / 16) {
                const int j = (4 * c + i) * 16 / sub;
                sum[r] += dot[i] * by[j / 4][j % 4];
            }
        }
    }
}

INLINE void rows256(const int type, const uint8_t *const row[4], int64_t n_block, const act_view *x, const int nr, float32x4_t acc[MAX_R])
{
    const int has_min = neon_forms[type].m >= 0;
    for (int64_t k = 0; k < n_block; k++) {
        const int64_t at = k * neon_forms[type].bytes;
        int32x4_t sum[4][MAX_R], low[4][MAX_R];
        /* Not unrolled: the sums of four rows go through memory, but their scales and bits would leave the registers too. */
        _Pragma("GCC unroll 1") for (int o = 0; o < 4; o++) block256(type, row[o] + at, x, k, nr, sum[o], low[o]);
        float32x4_t d = scale4(type, row, at), m = has_min ? halves4(row, at + neon_forms[type].m) : d;
        EACH(r) {
            float da = act_scale(x, r, k);
            acc[r] = vfmaq_f32(acc[r], vmulq_n_f32(d, da), vcvtq_f32_s32(fold4(sum[0][r], sum[1][r], sum[2][r], sum[3][r])));
            if (has_min)
                acc[r] = vfmsq_f32(acc[r], vmulq_n_f32(m, da), vcvtq_f32_s32(fold4(low[0][r], low[1][r], low[2][r], low[3][r])));
        }
    }
}

INLINE void rows32(const int type, const uint8_t *const row[4], int64_t n_block, const act_view *x, const int nr, float32x4_t acc[MAX_R])
{
    const int has_min = neon_forms[type].m >= 0;
    for (int64_t k = 0; k < n_block; k++) {
        const int64_t at = k * neon_forms[type].bytes;
        int32x4_t sum[4][MAX_R];
        UNROLL for (int o = 0; o < 4; o++) {
            int8x16_t w[2];
            chunk32(type, row[o] + at, w);
            EACH(r) sum[o][r] = dot16(dot16(vdupq_n_s32(0), w[0], act16(x, r, 32 * k)), w[1], act16(x, r, 32 * k + 16));
        }
        float32x4_t d = scale4(type, row, at), m = has_min ? halves4(row, at + neon_forms[type].m) : d;
        EACH(r) {
            float da = act_scale(x, r, k);
            acc[r] = vfmaq_f32(acc[r], vmulq_n_f32(d, da), vcvtq_f32_s32(fold4(sum[0][r], sum[1][r], sum[2][r], sum[3][r])));
            if (has_min) {                           /* kept negated in the file */
                int32_t s;
                memcpy(&s, x->act + r * x->stride + x->sums_at + 4 * k, 4);
                acc[r] = vfmaq_n_f32(acc[r], vmulq_n_f32(m, da), (float)s);
            }
        }
    }
}

/* NVFP4: sixteens with floats of their own; activations by 32. */
INLINE void rows_nvfp4(const int type, const uint8_t *const row[4], int64_t n_block, const act_view *x, const int nr, float32x4_t acc[MAX_R])
{
    for (int64_t k = 0; k < n_block; k++)
        UNROLL for (int j = 0; j < 4; j++) {
            const int64_t at = k * neon_forms[type].bytes;
            int32x4_t sum[4][MAX_R];
            UNROLL for (int o = 0; o < 4; o++) {
                int8x16_t w = piece_nvfp4(row[o] + at, j);
                EACH(r) sum[o][r] = dot16(vdupq_n_s32(0), w, act16(x, r, 64 * k + 16 * j));
            }
            float32x4_t d = ue4m3_halves4(bytes4(row, at + j));
            EACH(r) acc[r] = vfmaq_f32(acc[r], vmulq_n_f32(d, act_scale(x, r, 2 * k + j / 2)), vcvtq_f32_s32(fold4(sum[0][r], sum[1][r], sum[2][r], sum[3][r])));
        }
}

/* Four rows of the matrix by nr rows, over blocks [0, n_block) of `row` and of x; first: y holds nothing yet. */
typedef void rows_fn(const uint8_t *const row[4], int64_t n_block, const act_view *x, int first, float *y, int64_t y_stride, int live);

INLINE void put_y(float *y, int live, float32x4_t v)
{
    float part[4];
    if (live == 4) {
        vst1q_f32(y, v);
        return;
    }
    vst1q_f32(part, v);
    memcpy(y, part, (size_t)live * 4);
}
INLINE float32x4_t get_y(const float *y, int live)
{
    float v[4] = { 0 };
    if (live == 4) return vld1q_f32(y);
    memcpy(v, y, (size_t)live * 4);
    return vld1q_f32(v);
}

INLINE void rows4(void (*kernel)(const int, const uint8_t *const[4], int64_t, const act_view *, const int, float32x4_t[MAX_R]), const int type,
                  const uint8_t *const row[4], int64_t n_block, const act_view *x, const int nr, int first, float *y, int64_t y_stride, int live)
{
    float32x4_t acc[MAX_R];
    EACH(r) acc[r] = first ? vdupq_n_f32(0) : get_y(y + r * y_stride, live);
    kernel(type, row, n_block, x, nr, acc);
    EACH(r) put_y(y + r * y_stride, live, acc[r]);
}

#define ONE(name, kernel, type, nr) static void name##_##nr(const uint8_t *const row[4], int64_t n, const act_view *x, int first, float *y, int64_t ys, int live) \
    { rows4(kernel, type, row, n, x, nr, first, y, ys, live); }
#define ALL_R(name, kernel, type) ONE(name, kernel, type, 1) ONE(name, kernel, type, 2) ONE(name, kernel, type, 3) ONE(name, kernel, type, 4) \
    static rows_fn *const name[MAX_R + 1] = { NULL, name##_1, name##_2, name##_3, name##_4 };
ALL_R(rows_q4_k, rows256, KER_Q4_K)
ALL_R(rows_q5_k, rows256, KER_Q5_K)
ALL_R(rows_q6_k, rows256, KER_Q6_K)
ALL_R(rows_q2_k, rows256, KER_Q2_K)
ALL_R(rows_q3_k, rows256, KER_Q3_K)
ALL_R(rows_iq4_xs, rows256, KER_IQ4_XS)
ALL_R(rows_any16, rows256, ANY_16)
ALL_R(rows_any32, rows256, ANY_32)
ALL_R(rows_q8_0, rows32, KER_Q8_0)
ALL_R(rows_q4_0, rows32, KER_Q4_0)
ALL_R(rows_q4_1, rows32, KER_Q4_1)
ALL_R(rows_q5_0, rows32, KER_Q5_0)
ALL_R(rows_q5_1, rows32, KER_Q5_1)
ALL_R(rows_iq4_nl, rows32, KER_IQ4_NL)
ALL_R(rows_mxfp4, rows32, KER_MXFP4)
ALL_R(rows_nv, rows_nvfp4, KER_NVFP4)

/* Types without a form of their own come through ker_unpack. */
static rows_fn *const *const rows_of[KER_TYPE_LIMIT] = {
    [KER_Q4_K] = rows_q4_k, [KER_Q5_K] = rows_q5_k, [KER_Q6_K] = rows_q6_k, [KER_Q2_K] = rows_q2_k, [KER_Q3_K] = rows_q3_k,
    [KER_IQ4_XS] = rows_iq4_xs, [KER_Q8_0] = rows_q8_0, [KER_Q4_0] = rows_q4_0, [KER_Q4_1] = rows_q4_1, [KER_Q5_0] = rows_q5_0,
    [KER_Q5_1] = rows_q5_1, [KER_IQ4_NL] = rows_iq4_nl, [KER_MXFP4] = rows_mxfp4, [KER_NVFP4] = rows_nv,
};

/* The view of prepared rows from column c on (a multiple of 256). */
static act_view view_from(const mat *w, const void *act, int64_t act_stride, int64_t c)
{
    const ker_type *t = ker_type_get(w->type);
    const bool small = t->act == KER_ACT_Q8_32;
    const mat_q8 q = small ? mat_q8_32(act, w->n_in) : mat_q8_256(act, w->n_in);
    act_view x = { .act = (const char *)act + c, .stride = act_stride };
    x.d_at = (const char *)(q.d + c / (small ? 32 : 256)) - x.act;
    x.sums_at = small ? (const char *)(q.sum + c / 32) - x.act : t->sub == 16 ? (const char *)(q.sum16 + c / 16) - x.act : (const char *)(q.sum32 + c / 32) - x.act;
    return x;
}

static void mul_rows(const mat *w, const void *act, int64_t act_stride, int n, int64_t o0, int64_t o1, float *y, int64_t y_stride, void *scratch)
{
    const ker_type *t = ker_type_get(w->type);
    const ker_unpack *u = ker_unpack_get(w->type);
    const bool any = !rows_of[w->type];
    rows_fn *const *run = !any ? rows_of[w->type] : t->sub == 16 ? rows_any16 : rows_any32;
    enum { ROOM = MAT_SCRATCH / sizeof(ker_block) / 4 };     /* blocks of a row at a time */
    ker_block (*unpacked)[ROOM] = scratch;
    const int64_t blocks = w->n_in / t->block, step = any && blocks > ROOM ? ROOM : blocks;
    for (int64_t o = o0; o < o1; o += 4) {
        const int live = o1 - o < 4 ? (int)(o1 - o) : 4;
        for (int64_t b = 0; b < blocks; b += step) {
            const int64_t nb = blocks - b < step ? blocks - b : step;
            act_view x = view_from(w, act, act_stride, b * t->block);
            const uint8_t *row[4];
            for (int i = 0; i < 4; i++) {            /* beyond the last row the last again, not stored */
                row[i] = w->data + (o + (i < live ? i : live - 1)) * w->row_bytes + b * t->bytes;
                if (!any) continue;
                for (int64_t k = 0; k < nb; k++) u->one(row[i] + k * t->bytes, &unpacked[i][k]);
                row[i] = (const uint8_t *)unpacked[i];
            }
            for (int r = 0; r < n; r += MAX_R, x.act += MAX_R * act_stride)
                run[n - r < MAX_R ? n - r : MAX_R](row, nb, &x, b == 0, y + r * y_stride + o, y_stride, live);
        }
    }
}
