/* kernels/cuda/ffn: the feed-forward part of a layer: routed experts, the shared expert, dense layers, as kernels/cpu/ffn.c
 * has them. (row, slot) pairs are sorted by expert on the device; rows of an expert rise, so nothing depends on the order
 * in which threads run. A carved layer's experts are ordinary ones whose weights are 1. See cuda.h. */
#include "kernels/cuda/low.cuh"
#include "kernels/cuda/tiles.cuh"

enum { WARP = 32, THREADS = 128, WARPS = THREADS / WARP, GROUP_THREADS = 256, NARROW_FEW = 4 };

/* ---- pairs by expert ---- */

/* What lies in ffn.group. */
typedef struct group {
    int *n_tile;                   /* [2] of TILE_FEW, of TILE_MMA                            */
    int *off, *count;              /* [n_expert] first place of an expert; its places: behind it */
    int *few, *mma;                /* tiles, 3 ints each                                      */
    int *row_of, *pair_of;         /* [pairs] of a place                                      */
} group;

static int64_t most_tiles(int64_t pairs, int n_expert, int rows) { return pairs / rows + (n_expert < pairs ? n_expert : pairs); }

static int64_t group_place(const ker_ctx *c, group *g)
{
    int64_t cap = c->ffn.pairs_cap, at = 2;
    int n = c->dev->m.n_expert, *p = c->ffn.group;
    int64_t size[] = { n, n, 3 * most_tiles(cap, n, TILE_FEW), 3 * most_tiles(cap, n, TILE_MMA), cap, cap };
    int **to[] = { &g->off, &g->count, &g->few, &g->mma, &g->row_of, &g->pair_of };
    g->n_tile = p;
    for (int i = 0; i < 6; at += size[i++]) *to[i] = p ? p + at : NULL;
    return at;
}

int64_t cu_group_ints(const ker_ctx *c)
{
    group g;
    return group_place(c, &g);
}

/* Sum over a block's threads before this one; *all: of all threads. part: [GROUP_THREADS / WARP + 1]. */
static __device__ __forceinline__ int sum_before(int v, int *part, int *all)
{
    int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP, sum = v, before = 0;
#pragma unroll
    for (int h = 1; h < WARP; h *= 2) {
        int o = __shfl_up_sync(0xffffffffu, sum, h);
        if (lane >= h) sum += o;
    }
    __syncthreads();                               /* part may still be read from the last time */
    if (lane == WARP - 1) part[warp] = sum;
    __syncthreads();
    *all = 0;
#pragma unroll
    for (int i = 0; i < GROUP_THREADS / WARP; i++) {
        if (i < warp) before += part[i];
        *all += part[i];
    }
    return before + sum - v;
}

/* A block an expert: how many pairs are of experts before it, which are its own; a thread looks through some pairs behind one
 * another. ids: [n][max_k], k slots a row in use. */
static __global__ void __launch_bounds__(GROUP_THREADS) group_pairs(const uint16_t *ids, int n, int k, int max_k, group g)
{
    SHARED(int, part, GROUP_THREADS / WARP);
    int e = (int)blockIdx.x, pairs = n * k, per = (pairs + GROUP_THREADS - 1) / GROUP_THREADS, first = (int)threadIdx.x * per, last = first + per;
    if (last > pairs) last = pairs;
    int before = 0, own = 0, row = first / k, slot = first % k, all_before, all_own;
    for (int p = first, r = row, s = slot; p < last; p++) {
        int id = ids[(int64_t)r * max_k + s];
        before += id < e;
        own += id == e;
        if (++s == k) s = 0, r++;
    }
    sum_before(before, part, &all_before);
    int to = all_before + sum_before(own, part, &all_own);
    if (threadIdx.x == 0) {
        g.off[e] = all_before;
        g.count[e] = all_own;
    }
    for (int p = first; own && p < last; p++) {
        if (ids[(int64_t)row * max_k + slot] == e) {
            g.row_of[to] = row;
            g.pair_of[to++] = p;
            own--;
        }
        if (++slot == k) slot = 0, row++;
    }
}

/* The tiles of every expert: a block for each size of tile. */
static __global__ void __launch_bounds__(GROUP_THREADS) group_tiles(int n_expert, const int *place, group g)
{
    SHARED(int, part, GROUP_THREADS / WARP);
    int which = (int)blockIdx.x, rows = which ? TILE_MMA : TILE_FEW, done = 0, all;
    int *tile = which ? g.mma : g.few;
    for (int e0 = 0; e0 < n_expert; e0 += GROUP_THREADS) {
        int e = e0 + (int)threadIdx.x, matrix = e < n_expert && place ? place[e] : e, count = e < n_expert && matrix >= 0 ? g.count[e] : 0, off = e < n_expert ? g.off[e] : 0, tiles = (count + rows - 1) / rows;
        int at = done + sum_before(tiles, part, &all);
        for (int i = 0; i < tiles; i++) {
            int *to = tile + 3 * (at + i);
            to[0] = matrix;
            to[1] = off + i * rows;
            to[2] = count - i * rows < rows ? count - i * rows : rows;
        }
        done += all;
    }
    if (threadIdx.x == 0) g.n_tile[which] = done;
}

/* ---- products of tiles, any type: a warp an output, TILE_FEW places at a time ---- */

template <int TYPE> static __global__ void BOUNDS(THREADS, 5) tile_blocks(cu_tile_prod p)
{
    const int PER = cu_form<TYPE>::BLOCK / 32;
    int lane = (int)threadIdx.x % WARP, o = (int)blockIdx.x * WARPS + (int)threadIdx.x / WARP, units = p.w.n_in / 32, matrix, first, n;
    if (o >= p.w.n_out || !cu_tile_get(p.t, (int)blockIdx.y, TILE_FEW, &matrix, &first, &n)) return;
    int64_t block = ((int64_t)matrix * p.w.n_out + o) * (units / PER);
    float acc[TILE_FEW];
    int row[TILE_FEW];
#pragma unroll
    for (int r = 0; r < TILE_FEW; r++) {
        acc[r] = 0;
        row[r] = r < n ? p.t.in_row ? p.t.in_row[first + r] : first + r : 0;
    }
    for (int i = lane; i < units; i += WARP) {
        cu_unit u;
        cu_form<TYPE>::unit(p.w, block + i / PER, i % PER, u);
#pragma unroll
        for (int r = 0; r < TILE_FEW; r++) {
            if (r >= n) continue;
            int64_t at = (int64_t)row[r] * units + i;
            const int4 *q = (const int4 *)(const void *)(p.a.q + at * 32);
            acc[r] = cu_unit_dot<TYPE>(u, q[0], q[1], p.a.d[at], cu_form<TYPE>::MIN != 0 ? p.a.sum[at] : 0, acc[r]);
        }
    }
#pragma unroll
    for (int r = 0; r < TILE_FEW; r++) {
        if (r >= n) break;                         /* of all lanes alike: most tiles of few rows are not full */
        float v = cu_warp_sum(acc[r]);
        if (lane == 0) cu_tile_put(p, p.t.out_row ? p.t.out_row[first + r] : first + r, o, v);
    }
}

template <int TYPE> static __global__ void __launch_bounds__(THREADS) tile_floats(cu_tile_prod p)
{
    int lane = (int)threadIdx.x % WARP, o = (int)blockIdx.x * WARPS + (int)threadIdx.x / WARP, matrix, first, n;
    if (o >= p.w.n_out || !cu_tile_get(p.t, (int)blockIdx.y, TILE_FEW, &matrix, &first, &n)) return;
    int64_t from = ((int64_t)matrix * p.w.n_out + o) * p.w.n_in;
    float acc[TILE_FEW];
    int row[TILE_FEW];
#pragma unroll
    for (int r = 0; r < TILE_FEW; r++) {
        acc[r] = 0;
        row[r] = r < n ? p.t.in_row ? p.t.in_row[first + r] : first + r : 0;
    }
    for (int i = lane; i < p.w.n_in; i += WARP) {
        float v = cu_float_at<TYPE>(p.w.p[0], from + i);
#pragma unroll
        for (int r = 0; r < TILE_FEW; r++)
            if (r < n) acc[r] = fmaf(v, p.x[(int64_t)row[r] * p.w.n_in + i], acc[r]);
    }
#pragma unroll
    for (int r = 0; r < TILE_FEW; r++) {
        if (r >= n) break;                         /* of all lanes alike: most tiles of few rows are not full */
        float v = cu_warp_sum(acc[r]);
        if (lane == 0) cu_tile_put(p, p.t.out_row ? p.t.out_row[first + r] : first + r, o, v);
    }
}

static void tile_product(ker_ctx *c, const cu_tile_prod &p)
{
    dim3 grid((unsigned)((p.w.n_out + WARPS - 1) / WARPS), (unsigned)p.t.most), block(THREADS);
    switch (p.w.type) {
#define CASE(name) case KER_##name: LAUNCH(tile_blocks<KER_##name>, grid, block, 0, c->st, p); break;
    CU_BLOCK_TYPES(CASE)
#undef CASE
#define CASE(name) case KER_##name: LAUNCH(tile_floats<KER_##name>, grid, block, 0, c->st, p); break;
    CU_FLOAT_TYPES(CASE)
#undef CASE
    }
}

/* ---- neurons in effect: as kernels/cpu/ffn.c has them ---- */

typedef struct narrow_args {
    cu_narrow of;
    const int *slot;
    const cu_cfg *cfg;
    const int32_t *width;          /* of a row; NULL: as its configuration has it             */
} narrow_args;

static __device__ __forceinline__ int width_of(const narrow_args &a, int row)
{
    if (a.width) return a.width[row];
    const cu_cfg *c = &a.cfg[a.slot[row]];
    const int32_t *w = a.of.routed ? c->expert_width : c->ffn_width;
    return w ? w[a.of.layer] : 0;
}

/* The size of a number as an integer that rises with it; numbers that are not finite are the largest. */
static __device__ __forceinline__ unsigned magnitude(float x) { return __float_as_uint(x) & 0x7fffffffu; }

/* A block a place, a thread some neurons behind one another: the keep-th largest is found bit by bit. */
static __global__ void __launch_bounds__(GROUP_THREADS) narrow_rows(narrow_args a)
{
    SHARED(int, part, GROUP_THREADS / WARP);
    int place = (int)blockIdx.x, n = a.of.n, per = (n + GROUP_THREADS - 1) / GROUP_THREADS, first = (int)threadIdx.x * per, last = first + per, all;
    if (last > n) last = n;
    if (a.of.row_of && place >= *a.of.off + *a.of.count) return;
    int width = width_of(a, a.of.r0 + (a.of.row_of ? a.of.row_of[place] : place / a.of.per)), keep = width < 0 ? -width : width;
    float *h = a.of.h + (int64_t)place * n;
    if (keep == 0 || keep >= n) return;
    if (width > 0) {
        for (int i = first < keep ? keep : first; i < last; i++) h[i] = 0;
        return;
    }
    unsigned edge = 0;
    for (unsigned bit = 1u << 30; bit; bit >>= 1) {
        if (per <= NARROW_FEW) {                   /* barriers that count are fewer than those of a sum */
            all = 0;
            for (int i = 0; i < per; i++) all += __syncthreads_count(first + i < last && magnitude(h[first + i]) >= (edge | bit));
        } else {
            int count = 0;
            for (int i = first; i < last; i++) count += magnitude(h[i]) >= (edge | bit);
            sum_before(count, part, &all);
        }
        if (all >= keep) edge |= bit;
    }
    int above = 0, equal = 0, n_above;
    for (int i = first; i < last; i++) {
        above += magnitude(h[i]) > edge;
        equal += magnitude(h[i]) == edge;
    }
    sum_before(above, part, &n_above);
    int left = keep - n_above - sum_before(equal, part, &all);     /* of those at the edge: the first of a row stay */
    for (int i = first; i < last; i++) {
        unsigned m = magnitude(h[i]);
        if (m < edge || (m == edge && --left < 0)) h[i] = 0;
    }
}

void cu_narrow_rows(ker_ctx *c, const cu_narrow *of)
{
    narrow_args a = {};
    if (!of->n || !of->places) return;
    a.of = *of;
    a.slot = c->rows.slot;
    a.cfg = c->rows.cfg;
    a.width = c->moe.run ? c->moe.dev_width : NULL;
    LAUNCH(narrow_rows, dim3((unsigned)of->places), dim3(GROUP_THREADS), 0, c->st, a);
}

/* ---- gate, up, down ---- */

/* Rows of one pass through one set of three matrices. */
typedef struct pass {
    const cu_mat *gate, *up, *down;
    int role;                      /* gate's; up's and down's follow it                       */
    int layer, r0, n;              /* rows [r0, r0 + n) of what c->y and c->in hold           */
    int places;                    /* rows of h                                               */
    float *h;
    const cu_acts *act;            /* of h                                                    */
    bool widths;                   /* ffn_width counts, the first n of it in the product      */
    bool planned;                  /* of experts: the library may do those that it takes      */
    cu_narrow cut;                 /* what else is cut off h; places 0: nothing               */
    cu_tile_cut beyond;            /* what of that need not be computed                       */
    cu_tiles few, mma;             /* the same rows in tiles of each size                     */
    cu_low_items of;               /* the same rows for adapters                              */
    float *up_h;                   /* as h, for gate's and up's products apart                */
} pass;

static cu_tile_prod tile_prod(const ker_ctx *c, const pass *f, const cu_mat *w, const cu_acts *acts, const float *x, int r0)
{
    cu_tile_prod p = {};
    int64_t n = w->n_in;
    p.w = *w;
    p.t = cu_mma_can(c, w, f->n) ? f->mma : f->few;
    p.x = x + r0 * n;
    p.layer = f->layer;
    p.stride = w == f->down ? w->n_out : f->down->n_in;
    if (w->act == KER_ACT_F32) return p;
    p.a = acts->kind[w->act];
    p.a.q += r0 * n;
    p.a.d += r0 * (n / 32);
    p.a.sum += r0 * (n / 32);
    return p;
}

static bool library_takes(const ker_ctx *c, const pass *f, const cu_mat *w)
{
    return f->mma.tile ? f->planned && cu_blas_takes_experts(c, w, f->n) : cu_blas_takes(c, w, f->n);
}

static void product(ker_ctx *c, const pass *f, const cu_tile_prod &p)
{
    if (library_takes(c, f, &p.w) && (f->planned ? cu_blas_experts(c, &p) : cu_blas_product(c, &p))) return;
    if (cu_mma_can(c, &p.w, f->n)) cu_mma_tiles(c, &p, NULL);
    else tile_product(c, p);
}

/* A layer's glu is SiLU, and its routed experts have no biases: the products' own ends do all. */
static bool plain(const ker_ctx *c, const pass *f) { return c->dev->m.layer[f->layer].glu == KER_GLU_SILU && !(f->mma.tile && cu_layer_of(c->dev, f->layer)->vec[KER_W_BGATE_EXPS]); }

/* gate and up are in h and up_h: h = glu(gate, up). */
static void glue(ker_ctx *c, const pass *f)
{
    const float *const *vec = cu_layer_of(c->dev, f->layer)->vec;
    bool routed = f->mma.tile != NULL;
    cu_between g = { f->h, f->up_h, routed ? vec[KER_W_BGATE_EXPS] : NULL, vec[KER_W_BUP_EXPS], f->down->n_in, c->dev->m.layer[f->layer].glu, f->layer, f->widths };
    cu_glue_rows(c, &g, &f->of);
}

/* gate and up are in h and up_h: h = glu(gate, up) with what adapters change of both. */
static void low_glue(ker_ctx *c, const pass *f)
{
    const float *x = c->y + (int64_t)f->r0 * f->gate->n_in;
    cu_low_job j[2] = { cu_low_rows(c, f->layer, (enum ker_role)f->role, x, f->h, 0), cu_low_rows(c, f->layer, (enum ker_role)(f->role + 1), x, f->up_h, 0) };
    for (int i = 0; i < 2; i++) {
        j[i].of = f->of;
        j[i].by_row = true;
        j[i].bias = f->mma.tile ? cu_layer_of(c->dev, f->layer)->vec[i ? KER_W_BUP_EXPS : KER_W_BGATE_EXPS] : NULL;
        j[i].glu = c->dev->m.layer[f->layer].glu;
    }
    cu_low_take(c, j, 2);
    cu_low_glu both = { j[0], j[1], f->widths ? CU_LOW_FFN_WIDTH : CU_LOW_WIDE };
    cu_low_glue(c, &both, 1, true);
}

static void low_down(ker_ctx *c, const pass *f, float *y)
{
    cu_low_job j = cu_low_rows(c, f->layer, (enum ker_role)(f->role + 2), f->h, y, 0);
    j.of = f->of;
    j.by_pair = true;
    cu_low_both(c, &j, 1);
}

/* h = glu(gate, up), prepared for down; y = down, rows by `out_row`. */
static void three(ker_ctx *c, const pass *f, const int *out_row, float *y)
{
    cu_tile_prod gate = tile_prod(c, f, f->gate, &c->in, c->y, f->r0), up = tile_prod(c, f, f->up, &c->in, c->y, f->r0);
    gate.y = up.y = f->h;
    gate.t.cut = up.t.cut = f->beyond;
    if (f->widths) {
        gate.slot = up.slot = c->rows.slot + f->r0;
        gate.cfg = up.cfg = c->rows.cfg;
    }
    bool low = cu_low_acts(c, f->layer, f->role) || cu_low_acts(c, f->layer, f->role + 1);
    if (low || !plain(c, f)) {
        up.y = f->up_h;
        product(c, f, gate);
        product(c, f, up);
        if (low) low_glue(c, f);
        else glue(c, f);
    } else if (cu_mma_can(c, f->gate, f->n) && cu_mma_both(f->gate, f->up) && !library_takes(c, f, f->gate) && !library_takes(c, f, f->up)) {
        gate.glue = CU_BOTH;
        cu_mma_tiles(c, &gate, f->up);
    } else {
        product(c, f, gate);
        up.glue = CU_GLU;
        product(c, f, up);
    }
    cu_narrow_rows(c, &f->cut);
    if (f->down->act != KER_ACT_F32) cu_quantise(c, f->h, f->places, f->down->n_in, 1u << f->down->act, f->act);
    cu_tile_prod down = tile_prod(c, f, f->down, f->act, f->h, 0);
    down.t.in_row = NULL;
    down.t.out_row = out_row;
    down.y = y;
    product(c, f, down);
    if (f->mma.tile && cu_layer_of(c->dev, f->layer)->vec[KER_W_BDOWN_EXPS]) {
        cu_between g = { y, NULL, cu_layer_of(c->dev, f->layer)->vec[KER_W_BDOWN_EXPS], NULL, f->down->n_out, 0, f->layer, false };
        cu_bias_rows(c, &g, &f->of);
    }
    low_down(c, f, y);
}

static void plain_tiles(pass *f)
{
    f->of.n = f->n;
    f->of.r0 = f->r0;
    f->few.n_rows = f->mma.n_rows = f->places = f->n;
    f->few.most = (f->n + TILE_FEW - 1) / TILE_FEW;
    f->mma.most = (f->n + TILE_MMA - 1) / TILE_MMA;
}

/* How many of a dense or shared part's first neurons some row asks for, in steps that products take; the others are not computed. Few
 * rows' launches look for themselves: a graph outlives a change. */
static int neurons(const ker_ctx *c, int layer, int r0, int n, int all)
{
    const int *slot = (const int *)(const void *)c->up.host + 3 * (int64_t)c->max_rows + r0;
    int most = 0, n_layer = c->dev->m.n_layer;
    if (n <= CU_FEW || !c->up.expert_width) return all;
    for (int r = 0; r < n; r++) {
        int w = c->up.expert_width[((int64_t)CU_CFGS + slot[r]) * n_layer + layer];
        if (w <= 0 || w > all) return all;
        if (w > most) most = w;
    }
    most = (most + 31) & ~31;
    return most < all ? most : all;
}

/* Rows through the shared expert (role KER_W_GATE_SH) or a dense layer (KER_W_GATE); y: [n][n_embd]. */
static void shared_rows(ker_ctx *c, int layer, int r0, int n, int role, float *y)
{
    const cu_layer *w = cu_layer_of(c->dev, layer);
    cu_mat gate = w->w[role], up = w->w[role + 1];
    pass f = {};
    f.role = role;
    f.gate = &gate;
    f.up = &up;
    f.down = &w->w[role + 2];
    if (!cu_low_acts(c, layer, role) && !cu_low_acts(c, layer, role + 1)) gate.n_out = up.n_out = neurons(c, layer, r0, n, gate.n_out);
    f.up_h = c->ffn.up_of.h_sh ? c->ffn.up_of.h_sh : c->low.up_sh;
    f.layer = layer;
    f.r0 = r0;
    f.n = n;
    f.h = c->ffn.h_sh;
    f.act = &c->ffn.sh_act;
    f.widths = true;
    plain_tiles(&f);
    if (c->shape.narrow & CU_WIDTH_LARGEST || gate.n_out < f.down->n_in) {
        cu_narrow cut = { f.h, f.down->n_in, n, 1, r0, layer, false, NULL, NULL, NULL };
        f.cut = cut;
    }
    three(c, &f, NULL, y);
}

void cu_experts_rows(ker_ctx *c, int layer, const uint16_t *ids, int r0, int n, int k, const int *place, float *to)
{
    const cu_layer *w = cu_layer_of(c->dev, layer);
    int n_expert = c->dev->m.n_expert;
    group g;
    pass f = {};
    group_place(c, &g);
    LAUNCH(group_pairs, dim3((unsigned)n_expert), dim3(GROUP_THREADS), 0, c->st, ids, n, k, c->max_k, g);
    LAUNCH(group_tiles, dim3(2), dim3(GROUP_THREADS), 0, c->st, n_expert, place, g);
    f.role = KER_W_GATE_EXPS;
    f.gate = &w->w[KER_W_GATE_EXPS];
    f.up = &w->w[KER_W_UP_EXPS];
    f.down = &w->w[KER_W_DOWN_EXPS];
    f.layer = layer;
    f.r0 = r0;
    f.n = n;
    f.places = n * k;
    f.h = c->ffn.h;
    f.up_h = c->ffn.up_of.h ? c->ffn.up_of.h : c->low.up;
    f.of.n = n * k;
    f.of.r0 = r0;
    f.of.per = k;
    f.of.max_k = c->max_k;
    f.of.row_of = g.row_of;
    f.of.pair_of = g.pair_of;
    f.of.off = g.off + n_expert - 1;
    f.of.count = g.count + n_expert - 1;
    f.of.ids = ids;
    f.of.place = place;
    f.act = &c->ffn.act;
    f.few.n_tile = g.n_tile;
    f.few.tile = g.few;
    f.few.in_row = f.mma.in_row = g.row_of;
    f.few.most = (int)most_tiles((int64_t)n * k, n_expert, TILE_FEW);
    f.mma.n_tile = g.n_tile + 1;
    f.mma.tile = g.mma;
    f.mma.most = (int)most_tiles((int64_t)n * k, n_expert, TILE_MMA);
    if (!place && (cu_blas_takes_experts(c, f.gate, n) || cu_blas_takes_experts(c, f.up, n) || cu_blas_takes_experts(c, f.down, n))) {
        f.planned = cu_blas_plan(c, g.off);
        if (c->state) return;
    }
    if (c->moe.run ? c->moe.widths : c->shape.narrow != 0) {
        cu_narrow cut = { f.h, f.down->n_in, f.places, 0, r0, layer, true, g.row_of, g.off + n_expert - 1, g.count + n_expert - 1 };
        cu_tile_cut beyond = { f.gate->n_out, layer, c->rows.slot + r0, c->rows.cfg, c->moe.run ? c->moe.dev_width + r0 : NULL };
        f.cut = cut;
        f.beyond = beyond;
    }
    three(c, &f, g.pair_of, to);
}

/* ---- sums ---- */

typedef struct add_args {
    float *x;                      /* [n][n_embd] the residual                                */
    const float *pair_y;           /* [n * k][n_embd] or NULL                                 */
    const uint16_t *ids;           /* [n][max_k]                                              */
    const float *weights;
    const float *sh_y, *coef;      /* [n][n_embd] or NULL; [n] or NULL = 1                    */
    cu_trace tr;
    int r0, n_embd, k, max_k, layer;
} add_args;

/* x += sum over slots in their order, then the shared expert. */
static __global__ void __launch_bounds__(THREADS) add_rows(add_args a)
{
    int r = (int)blockIdx.y, o = (int)(blockIdx.x * THREADS + threadIdx.x);
    if (o >= a.n_embd) return;
    float acc = 0;
    for (int s = 0; a.pair_y && s < a.k; s++) {
        int64_t at = (int64_t)r * a.max_k + s;
        if (a.ids[at] == KER_NO_EXPERT) break;
        acc = fmaf(a.weights[at], a.pair_y[((int64_t)r * a.k + s) * a.n_embd + o], acc);
    }
    if (a.sh_y) acc = fmaf(a.coef ? a.coef[r] : 1.0f, a.sh_y[(int64_t)r * a.n_embd + o], acc);
    float *x = a.x + (int64_t)r * a.n_embd + o;
    *x += acc;
    if (!cu_finite(*x)) cu_mark(a.tr, a.r0 + r, KER_PART_FFN, a.layer);
}

/* y (normed) of rows [r0, r0 + n) is not read again: the shared expert's rows take its place. */
void cu_experts_add(ker_ctx *c, int layer, int r0, int n, int k, const float *from)
{
    const cu_layer *w = cu_layer_of(c->dev, layer);
    int64_t E = c->dev->m.n_embd, at = cu_trace_at(c, layer) + (int64_t)r0 * c->max_k;
    add_args a = {};
    a.x = cu_stream(c, layer) + r0 * E;
    a.pair_y = from;
    a.ids = c->tr.ids + at;
    a.weights = c->tr.weights + at;
    a.tr = c->tr;
    a.r0 = r0;
    a.n_embd = (int)E;
    a.k = k;
    a.max_k = c->max_k;
    a.layer = layer;
    if (w->w[KER_W_DOWN_SH].n_out) {
        shared_rows(c, layer, r0, n, KER_W_GATE_SH, c->y + r0 * E);
        a.sh_y = c->y + r0 * E;
        a.coef = w->w[KER_W_SH_ROUTER].n_out ? c->ffn.sh_coef + r0 : NULL;
    }
    LAUNCH(add_rows, dim3((unsigned)((E + THREADS - 1) / THREADS), (unsigned)n), dim3(THREADS), 0, c->st, a);
    cu_finish(c, layer, KER_PART_FFN, r0, n);
}

void cu_experts(ker_ctx *c, int layer)
{
    int k = c->shape.k < 1 ? 1 : c->shape.k, most = c->ffn.pairs_cap / k;
    for (int r0 = 0, n; r0 < c->shape.n; r0 += n) {
        n = c->shape.n - r0 < most ? c->shape.n - r0 : most;
        cu_experts_rows(c, layer, c->tr.ids + cu_trace_at(c, layer) + (int64_t)r0 * c->max_k, r0, n, k, NULL, c->ffn.pair_y);
        cu_experts_add(c, layer, r0, n, k, c->ffn.pair_y);
    }
}

void cu_dense(ker_ctx *c, int layer)
{
    int64_t E = c->dev->m.n_embd;
    add_args a = {};
    shared_rows(c, layer, 0, c->shape.n, KER_W_GATE, c->y);
    a.x = cu_stream(c, layer);
    a.sh_y = c->y;
    a.tr = c->tr;
    a.n_embd = (int)E;
    a.layer = layer;
    LAUNCH(add_rows, dim3((unsigned)((E + THREADS - 1) / THREADS), (unsigned)c->shape.n), dim3(THREADS), 0, c->st, a);
    cu_finish(c, layer, KER_PART_FFN, 0, c->shape.n);
}
