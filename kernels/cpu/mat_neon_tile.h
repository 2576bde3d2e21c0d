/* kernels/cpu/mat_neon_tile: products with many rows of activations. Eight rows of the matrix are taken apart once a panel of
 * columns into the caller's scratch, in the order that the instruction set multiplies, and four rows of activations at a time
 * run over them. Included once an instruction set, behind mat_neon_rows.h, which must have defined before
 *     GROUPS                         vectors of sums for a row (or pair of rows) of activations by eight rows of the matrix
 *     put16(w, i, at, v)             sixteen bytes of row i, from element `at` of its block, into a tile's bytes
 *     put_scale(sc, i, v)            a sub-scale of row i, to where its sums will be
 *     step16(w, q, at, nr, v)        adds sixteen elements' products of eight rows and nr rows q to v[2 * nr]
 *     take(v, r, g)                  the sums of row r with rows 4g to 4g + 3 out of v
 * Private to kernels/cpu; pure functions; any thread. */

enum { PANEL = 2048, TILE = 8, TILE_FROM = 8 /* rows from which taking apart once pays (SPEED.md counts instructions) */ };

typedef struct tile256 {
    int8_t w[256 * TILE];
    int32_t sc[16][4 * GROUPS];
    int16_t mn[16][TILE];
    float d[TILE], m[TILE];
} tile256;
typedef struct tile32 {
    int8_t w[32 * TILE];
    float d[TILE], m[TILE];
} tile32;
_Static_assert(sizeof(tile256) * (PANEL / 256) <= MAT_SCRATCH && sizeof(tile32) * (PANEL / 32) <= MAT_SCRATCH, "a panel fits");

INLINE void put_floats(const int type, float *d, float *m, const uint8_t *const row[TILE], int64_t at)
{
    UNROLL for (int g = 0; g < TILE / 4; g++) {
        vst1q_f32(d + 4 * g, scale4(type, row + 4 * g, at));
        if (neon_forms[type].m >= 0) vst1q_f32(m + 4 * g, halves4(row + 4 * g, at + neon_forms[type].m));
    }
}

INLINE void pack256(const int type, void *to, const uint8_t *const row[TILE], int64_t at)
{
    tile256 *t = to;
    const int n = 256 / neon_forms[type].sub, has_min = neon_forms[type].m >= 0;
    for (int i = 0; i < TILE; i++) {
        int16x8_t sc[2], mn[2];
        int16_t s[16], l[16];
        scales256(type, row[i] + at, sc, mn);
        UNROLL for (int h = 0; h < n / 8; h++) {
            vst1q_s16(s + 8 * h, sc[h]);
            if (has_min) vst1q_s16(l + 8 * h, mn[h]);
        }
        for (int j = 0; j < n; j++) {
            put_scale(t->sc[j], i, s[j]);
            if (has_min) t->mn[j][i] = l[j];
        }
        UNROLL for (int c = 0; c < 4; c++) {
            int8x16_t w[4];
            chunk256(type, row[i] + at, c, w);
            UNROLL for (int k = 0; k < 4; k++) put16(t->w, i, 64 * c + 16 * k, vsubq_s8(w[k], vdupq_n_s8((int8_t)more_of(type))));
        }
    }
    put_floats(type, t->d, t->m, row, at);
}

INLINE void pack32(const int type, void *to, const uint8_t *const row[TILE], int64_t at)
{
    tile32 *t = to;
    for (int i = 0; i < TILE; i++) {
        int8x16_t w[2];
        chunk32(type, row[i] + at, w);
        put16(t->w, i, 0, w[0]);
        put16(t->w, i, 16, w[1]);
    }
    put_floats(type, t->d, t->m, row, at);
}

/* Sums of sub-minima and sums of activations of one row with eight, n sub-blocks. */
INLINE void minima8(const int16_t (*mn)[TILE], const int16_t *s, const int n, int32x4_t low[2])
{
    low[0] = low[1] = vdupq_n_s32(0);
    UNROLL for (int h = 0; h < n / 8; h++) {
        int16x8_t x = vld1q_s16(s + 8 * h), v;
#define MN(j) v = vld1q_s16(mn[8 * h + j]), low[0] = vmlal_laneq_s16(low[0], vget_low_s16(v), x, j), low[1] = vmlal_high_laneq_s16(low[1], v, x, j);
        MN(0) MN(1) MN(2) MN(3) MN(4) MN(5) MN(6) MN(7)
#undef MN
    }
}

/* y's eight floats of a row, of which the last tile may have fewer. */
INLINE void load8(const float *y, int live, float32x4_t v[2])
{
    v[0] = get_y(y, live < 4 ? live : 4);
    v[1] = live > 4 ? get_y(y + 4, live - 4) : vdupq_n_f32(0);
}
INLINE void store8(float *y, int live, const float32x4_t v[2])
{
    put_y(y, live < 4 ? live : 4, v[0]);
    if (live > 4) put_y(y + 4, live - 4, v[1]);
}

/* One tile row of a panel by nr rows, of which n are stored; q: their bytes, the last of n again beyond it. */
typedef void tile_fn(const void *tile, const act_view *x, int n_block, int first, int n, float *y, int64_t y_stride, int live);

INLINE void begin(const act_view *x, int first, int n, const float *y, int64_t y_stride, int live, const int nr, float32x4_t acc[MAX_R][2], const int8_t *q[MAX_R])
{
    EACH(r) {
        q[r] = (const int8_t *)x->act + (r < n ? r : n - 1) * x->stride;
        if (first || r >= n) acc[r][0] = acc[r][1] = vdupq_n_f32(0);
        else load8(y + r * y_stride, live, acc[r]);
    }
}

INLINE void tiles256(const tile256 *t, const act_view *x, int n_block, int first, int n, float *y, int64_t y_stride, int live, const int nr, const int sub, const int has_min)
{
    float32x4_t acc[MAX_R][2];
    const int8_t *q[MAX_R];
    begin(x, first, n, y, y_stride, live, nr, acc, q);
    for (int b = 0; b < n_block; b++, t++) {
        int32x4_t sum[2 * MAX_R];
        EACH(i) sum[2 * i] = sum[2 * i + 1] = vdupq_n_s32(0);
        for (int j = 0; j < 256 / sub; j++) {
            int32x4_t dot[2 * MAX_R];
            EACH(i) dot[2 * i] = dot[2 * i + 1] = vdupq_n_s32(0);
            UNROLL for (int k = 0; k < sub; k += 16) step16(t->w + (j * sub + k) * TILE, q, 256 * b + j * sub + k, nr, dot);
            UNROLL for (int i = 0; i < 2 * nr; i++) sum[i] = vmlaq_s32(sum[i], dot[i], vld1q_s32(t->sc[j] + 4 * (i % GROUPS)));
        }
        EACH(r) {
            float da = act_scale(x, r < n ? r : n - 1, b);
            UNROLL for (int g = 0; g < 2; g++)
                acc[r][g] = vfmaq_f32(acc[r][g], vmulq_n_f32(vld1q_f32(t->d + 4 * g), da), vcvtq_f32_s32(take(sum, r, g)));
            if (has_min) {
                int32x4_t low[2];
                minima8(t->mn, (const int16_t *)(const void *)((const char *)q[r] + x->sums_at) + 256 / sub * b, 256 / sub, low);
                UNROLL for (int g = 0; g < 2; g++)
                    acc[r][g] = vfmsq_f32(acc[r][g], vmulq_n_f32(vld1q_f32(t->m + 4 * g), da), vcvtq_f32_s32(low[g]));
            }
        }
    }
    EACH(r) if (r < n) store8(y + r * y_stride, live, acc[r]);
}

INLINE void tiles32(const tile32 *t, const act_view *x, int n_block, int first, int n, float *y, int64_t y_stride, int live, const int nr, const int sub, const int has_min)
{
    float32x4_t acc[MAX_R][2];
    const int8_t *q[MAX_R];
    begin(x, first, n, y, y_stride, live, nr, acc, q);
    for (int b = 0; b < n_block; b++, t++) {
        int32x4_t dot[2 * MAX_R];
        EACH(i) dot[2 * i] = dot[2 * i + 1] = vdupq_n_s32(0);
        UNROLL for (int k = 0; k < sub; k += 16) step16(t->w + k * TILE, q, 32 * b + k, nr, dot);
        EACH(r) {
            float da = act_scale(x, r < n ? r : n - 1, b);
            int32_t s = 0;
            if (has_min) memcpy(&s, (const char *)q[r] + x->sums_at + 4 * b, 4);
            UNROLL for (int g = 0; g < 2; g++) {
                acc[r][g] = vfmaq_f32(acc[r][g], vmulq_n_f32(vld1q_f32(t->d + 4 * g), da), vcvtq_f32_s32(take(dot, r, g)));
                if (has_min) acc[r][g] = vfmaq_n_f32(acc[r][g], vmulq_n_f32(vld1q_f32(t->m + 4 * g), da), (float)s);
            }
        }
    }
    EACH(r) if (r < n) store8(y + r * y_stride, live, acc[r]);
}

#define TILES(name, kernel, nr, sub, has_min) static void name##_##nr(const void *t, const act_view *x, int nb, int first, int n, float *y, int64_t ys, int live) \
    { kernel(t, x, nb, first, n, y, ys, live, nr, sub, has_min); }
#define TWO_AND_FOUR(name, kernel, sub, has_min) TILES(name, kernel, 2, sub, has_min) TILES(name, kernel, 4, sub, has_min) \
    static tile_fn *const name[MAX_R + 1] = { NULL, name##_2, name##_2, name##_4, name##_4 };
TWO_AND_FOUR(tiles_32, tiles256, 32, 0)
TWO_AND_FOUR(tiles_32_min, tiles256, 32, 1)
TWO_AND_FOUR(tiles_16, tiles256, 16, 0)
TWO_AND_FOUR(tiles_16_min, tiles256, 16, 1)
TWO_AND_FOUR(tiles_small, tiles32, 32, 0)
TWO_AND_FOUR(tiles_small_min, tiles32, 32, 1)

typedef struct tile_way {
    void (*pack)(void *tile, const uint8_t *const row[TILE], int64_t at);
    tile_fn *const *run;
} tile_way;
#define PACK(name, how, type) static void name(void *t, const uint8_t *const row[TILE], int64_t at) { how(type, t, row, at); }
PACK(pack_q4_k, pack256, KER_Q4_K)
PACK(pack_q5_k, pack256, KER_Q5_K)
PACK(pack_q6_k, pack256, KER_Q6_K)
PACK(pack_q2_k, pack256, KER_Q2_K)
PACK(pack_q3_k, pack256, KER_Q3_K)
PACK(pack_iq4_xs, pack256, KER_IQ4_XS)
PACK(pack_any16, pack256, ANY_16)
PACK(pack_any32, pack256, ANY_32)
PACK(pack_q8_0, pack32, KER_Q8_0)
PACK(pack_q4_0, pack32, KER_Q4_0)
PACK(pack_q4_1, pack32, KER_Q4_1)
PACK(pack_q5_0, pack32, KER_Q5_0)
PACK(pack_q5_1, pack32, KER_Q5_1)
PACK(pack_iq4_nl, pack32, KER_IQ4_NL)
PACK(pack_mxfp4, pack32, KER_MXFP4)

static const tile_way tile_ways[KER_TYPE_LIMIT] = {
    [KER_Q4_K] = { pack_q4_k, tiles_32_min }, [KER_Q5_K] = { pack_q5_k, tiles_32_min }, [KER_Q6_K] = { pack_q6_k, tiles_16 },
    [KER_Q2_K] = { pack_q2_k, tiles_16_min }, [KER_Q3_K] = { pack_q3_k, tiles_16 }, [KER_IQ4_XS] = { pack_iq4_xs, tiles_32 },
    [KER_Q8_0] = { pack_q8_0, tiles_small }, [KER_Q4_0] = { pack_q4_0, tiles_small }, [KER_Q4_1] = { pack_q4_1, tiles_small_min },
    [KER_Q5_0] = { pack_q5_0, tiles_small }, [KER_Q5_1] = { pack_q5_1, tiles_small_min }, [KER_IQ4_NL] = { pack_iq4_nl, tiles_small },
    [KER_MXFP4] = { pack_mxfp4, tiles_small },
};

/* The blocks of eight rows, n of them from byte `at` on, as tiles; types without a form of their own by way of ker_unpack. */
static void pack_panel(const mat *w, const tile_way *how, const uint8_t *const row[TILE], int64_t at, int n, void *tiles)
{
    const ker_type *t = ker_type_get(w->type);
    const ker_unpack *u = ker_unpack_get(w->type);
    const size_t size = t->block == 256 ? sizeof(tile256) : sizeof(tile32);
    ker_block b[TILE];
    const uint8_t *taken[TILE];
    for (int k = 0; k < n; k++, at += t->bytes) {
        char *to = (char *)tiles + (size_t)k * size;
        if (tile_ways[w->type].pack) {
            how->pack(to, row, at);
            continue;
        }
        for (int i = 0; i < TILE; i++) {
            u->one(row[i] + at, &b[i]);
            taken[i] = (const uint8_t *)&b[i];
        }
        how->pack(to, taken, 0);
    }
}

static void mul_tiles(const mat *w, const void *act, int64_t act_stride, int n, int64_t o0, int64_t o1, float *y, int64_t y_stride, void *scratch)
{
    static const tile_way any16 = { pack_any16, tiles_16 }, any32 = { pack_any32, tiles_32 };
    const ker_type *t = ker_type_get(w->type);
    const tile_way *how = tile_ways[w->type].pack ? &tile_ways[w->type] : t->sub == 16 ? &any16 : &any32;
    if (n < TILE_FROM || t->block == 64) {           /* NVFP4 has a float a sixteen */
        mul_rows(w, act, act_stride, n, o0, o1, y, y_stride, scratch);
        return;
    }
    for (int64_t c = 0; c < w->n_in; c += PANEL) {
        const int n_block = (int)((w->n_in - c < PANEL ? w->n_in - c : PANEL) / t->block);
        for (int64_t o = o0; o < o1; o += TILE) {
            const int live = o1 - o < TILE ? (int)(o1 - o) : TILE;
            const uint8_t *row[TILE];
            for (int i = 0; i < TILE; i++)           /* beyond the last row the last again, not stored */
                row[i] = w->data + (o + (i < live ? i : live - 1)) * w->row_bytes;
            pack_panel(w, how, row, c / t->block * t->bytes, n_block, scratch);
            act_view x = view_from(w, act, act_stride, c);
            for (int r = 0; r < n; r += MAX_R, x.act += MAX_R * act_stride) {
                int some = n - r < MAX_R ? n - r : MAX_R;
                how->run[some](scratch, &x, n_block, c == 0, some, y + r * y_stride + o, y_stride, live);
            }
        }
    }
}
