/* kernels/cuda/low: the launches behind low.cuh. Few rows: a warp for each number of t, a thread for each output. Many rows: tiles of
 * CU_LOW_TILE items and ranks; where a tile's items have one configuration and one matrix, its numbers are read once for all of them, and
 * the sums are the same either way. See low.cuh. */
#include "kernels/cuda/low.cuh"
#include "kernels/cuda/tiles.cuh"

#include <string.h>

enum { WARP = 32, THREADS = 128, WARPS = THREADS / WARP, TILE = CU_LOW_TILE };

/* What launches share: passed to kernels by value. */
typedef struct low_args {
    const cu_low_w *table[CU_LOW_JOBS];          /* an adapter's row of a job: table[job] + adapter * apart */
    cu_low_job job[CU_LOW_JOBS];
    int64_t apart;
    const int *slot;
    const cu_cfg *cfg;
    cu_trace tr;
    unsigned used;
    int wide, at[KER_ADAPTERS], n_expert;
} low_args;

/* An item: its row of the batch, that row's configuration, its matrix, its pair. */
typedef struct low_item { int i, row, local, pair, e, slot; } low_item;

static __device__ __forceinline__ bool item_get(const low_args &a, const cu_low_items &t, int i, low_item &o)
{
    if (i >= t.n || (t.off && i >= *t.off + *t.count)) return false;
    o.i = i;
    o.pair = t.pair_of ? t.pair_of[i] : i;
    o.local = t.row_of ? t.row_of[i] : t.per ? i / t.per : i;
    o.row = t.r0 + o.local;
    o.slot = a.slot[o.row];
    o.e = 0;
    if (!t.ids) return true;
    int at = o.local * t.max_k + o.pair % t.per, id = t.ids[at];
    if (id == KER_NO_EXPERT || (t.place && t.place[id] < 0) || (t.slots && t.slots[at] == KER_NO_EXPERT)) return false;
    o.e = id;
    return true;
}

/* An adapter's factor of an item of a job; which of the kept matrices is its own. False: it adds nothing. */
static __device__ __forceinline__ bool low_of(const low_args &a, int job, const cu_adapt &d, const low_item &item, cu_low_w &w, int &kept, float &factor)
{
    w = a.table[job][d.adapter * a.apart];
    if (!w.rank) return false;
    kept = w.at ? w.at[item.e] : 0;
    const cu_low_job &j = a.job[job];
    factor = (j.of.ids && d.expert ? d.expert[(int64_t)j.layer * a.n_expert + item.e] : d.layer[j.layer + 1]) * w.scale;
    return kept >= 0 && factor != 0;
}

/* ---- t = factor * scale * (A x) ---- */

/* I items by R ranks, each sum over the lanes in the same way. */
template <int I, int R> static __device__ __forceinline__ void dots(const float *const *x, const float *a, int n, int ranks, float (&acc)[I][R])
{
    int lane = (int)threadIdx.x % WARP;
#pragma unroll
    for (int i = 0; i < I; i++)
#pragma unroll
        for (int r = 0; r < R; r++) acc[i][r] = 0;
    if (n % 4) {
        for (int k = lane; k < n; k += WARP)
#pragma unroll
            for (int r = 0; r < R; r++) {
                float w = r < ranks ? a[(int64_t)r * n + k] : 0.0f;
#pragma unroll
                for (int i = 0; i < I; i++) acc[i][r] = fmaf(w, x[i][k], acc[i][r]);
            }
    } else {
        for (int k = lane * 4; k < n; k += WARP * 4) {
            float4 v[I];
#pragma unroll
            for (int i = 0; i < I; i++) v[i] = *(const float4 *)(const void *)(x[i] + k);
#pragma unroll
            for (int r = 0; r < R; r++) {
                float4 w = r < ranks ? *(const float4 *)(const void *)(a + (int64_t)r * n + k) : make_float4(0, 0, 0, 0);
#pragma unroll
                for (int i = 0; i < I; i++) acc[i][r] = fmaf(w.w, v[i].w, fmaf(w.z, v[i].z, fmaf(w.y, v[i].y, fmaf(w.x, v[i].x, acc[i][r]))));
            }
        }
    }
#pragma unroll
    for (int i = 0; i < I; i++)
#pragma unroll
        for (int r = 0; r < R; r++) acc[i][r] = cu_warp_sum(acc[i][r]);
}

/* A row that is normed on its way: the norm's scale is taken out of the sum. */
static __device__ __forceinline__ float dot_normed(const float *x, const float *norm, const float *a, int n, float eps)
{
    float dot = 0, square = 0;
    for (int k = (int)threadIdx.x % WARP; k < n; k += WARP) {
        float v = x[k];
        dot = fmaf(a[k], v * norm[k], dot);
        square = fmaf(v, v, square);
    }
    return cu_warp_sum(dot) * (1.0f / sqrtf(cu_warp_sum(square) / (float)n + eps));
}

/* Numbers [k0, k0 + R) of an adapter's, of the items from `item` on that have one configuration and matrix. */
template <int I, int R> static __device__ __forceinline__ void take(const low_args &a, int job, const low_item *item, int adapter, int k0)
{
    const cu_low_job &j = a.job[job];
    const cu_cfg &cfg = a.cfg[item[0].slot];
    cu_low_w w;
    float factor = 0, acc[I][R];
    int kept = -1, of = 0;
    while (of < cfg.n_adapt && cfg.adapt[of].adapter != adapter) of++;
    if (of == cfg.n_adapt || !low_of(a, job, cfg.adapt[of], item[0], w, kept, factor) || k0 >= w.rank) return;
    const float *from = w.a + ((int64_t)kept * w.rank + k0) * j.n_in, *x[I];
#pragma unroll
    for (int i = 0; i < I; i++) x[i] = j.x + (int64_t)(j.by_row ? item[i].local : item[i].i) * j.n_in;
    int ranks = w.rank - k0 < R ? w.rank - k0 : R;
    if (I == 1 && R == 1 && j.norm) acc[0][0] = dot_normed(x[0], j.norm, from, j.n_in, cfg.eps);
    else dots<I, R>(x, from, j.n_in, ranks, acc);
    if (threadIdx.x % WARP) return;
#pragma unroll
    for (int i = 0; i < I; i++)
#pragma unroll
        for (int r = 0; r < R; r++)
            if (r < ranks) j.t[(int64_t)item[i].i * a.wide + a.at[adapter] + k0 + r] = factor * acc[i][r];
}

/* Which of a job's items [i0, i0 + I) there are; true: all, of one configuration and matrix. */
template <int I> static __device__ __forceinline__ bool items_get(const low_args &a, const cu_low_items &t, int i0, low_item (&item)[I], bool (&on)[I])
{
    bool alike = true;
#pragma unroll
    for (int i = 0; i < I; i++) {
        on[i] = item_get(a, t, i0 + i, item[i]);
        alike = alike && on[i] && on[0] && item[i].slot == item[0].slot && item[i].e == item[0].e;
    }
    return alike;
}

/* A warp has R of an item's `wide` numbers; those of an adapter begin at multiples of TILE. */
template <int I, int R> static __global__ void BOUNDS(THREADS, I > 1 ? 3 : 4) low_take(low_args a)
{
    int job = (int)blockIdx.z, p = ((int)blockIdx.y * WARPS + (int)threadIdx.x / WARP) * R, adapter = -1;
    low_item item[I];
    bool on[I];
#pragma unroll
    for (int i = 0; i < KER_ADAPTERS; i++) if ((a.used >> i & 1) && p >= a.at[i] && p < a.wide) adapter = i;
    if (adapter < 0) return;
    int k0 = p - a.at[adapter];
    if (items_get<I>(a, a.job[job].of, (int)blockIdx.x * I, item, on)) {
        take<I, R>(a, job, item, adapter, k0);
        return;
    }
#pragma unroll 1
    for (int i = 0; i < I && I > 1; i++) {
        low_item one;
        if (item_get(a, a.job[job].of, (int)blockIdx.x * I + i, one)) take<1, R>(a, job, &one, adapter, k0);
    }
}

/* ---- y += B t ---- */

/* Output o of items that have one configuration and matrix: y[i] and what the configuration's adapters add. */
template <int I> static __device__ __forceinline__ void chain(const low_args &a, int job, const low_item *item, int o, float *y)
{
    const cu_low_job &j = a.job[job];
    const cu_cfg &cfg = a.cfg[item[0].slot];
    for (int of = 0; of < cfg.n_adapt; of++) {
        cu_low_w w;
        int kept;
        float factor;
        cu_adapt d = cfg.adapt[of];
        if (!low_of(a, job, d, item[0], w, kept, factor)) continue;
        const float *b = w.b + (int64_t)kept * w.rank * j.n_out + o, *t[I];
#pragma unroll
        for (int i = 0; i < I; i++) t[i] = j.t + (int64_t)item[i].i * a.wide + a.at[d.adapter];
        for (int k = 0; k < w.rank; k++) {
            float v = b[(int64_t)k * j.n_out];
#pragma unroll
            for (int i = 0; i < I; i++) y[i] = fmaf(t[i][k], v, y[i]);
        }
    }
}

template <int I> static __device__ __forceinline__ void chains(const low_args &a, int job, const low_item (&item)[I], const bool (&on)[I], bool alike, int o, float (&y)[I])
{
    if (alike) {
        chain<I>(a, job, item, o, y);
        return;
    }
#pragma unroll
    for (int i = 0; i < I; i++)
        if (on[i]) chain<1>(a, job, &item[i], o, &y[i]);
}

template <int I> static __global__ void BOUNDS(THREADS, 4) low_add(low_args a)
{
    int job = (int)blockIdx.z, o = (int)(blockIdx.x * THREADS + threadIdx.x);
    const cu_low_job &j = a.job[job];
    low_item item[I];
    bool on[I];
    float v[I];
    if (o >= j.n_out) return;
    bool alike = items_get<I>(a, j.of, (int)blockIdx.y * I, item, on);
#pragma unroll
    for (int i = 0; i < I; i++) v[i] = on[i] ? j.y[(int64_t)(j.by_pair ? item[i].pair : item[i].i) * j.n_out + o] : 0.0f;
    chains<I>(a, job, item, on, alike, o, v);
#pragma unroll
    for (int i = 0; i < I; i++) {
        if (!on[i]) continue;
        j.y[(int64_t)(j.by_pair ? item[i].pair : item[i].i) * j.n_out + o] = v[i];
        if (j.part != KER_PART_NONE && !cu_finite(v[i])) cu_mark(a.tr, item[i].row, j.part, j.layer);
    }
}

/* Jobs 2i and 2i + 1 are gate and up. fast: the division of the kernels whose place this takes. */
typedef struct glue_args { low_args low; int width[CU_LOW_JOBS / 2]; bool fast; } glue_args;

template <int I> static __global__ void BOUNDS(THREADS, 4) low_glue(glue_args a)
{
    int pair = (int)blockIdx.z, o = (int)(blockIdx.x * THREADS + threadIdx.x);
    const cu_low_job &gate = a.low.job[2 * pair], &up = a.low.job[2 * pair + 1];
    low_item item[I];
    bool on[I];
    float g[I], u[I];
    if (o >= gate.n_out) return;
    bool alike = items_get<I>(a.low, gate.of, (int)blockIdx.y * I, item, on);
#pragma unroll
    for (int i = 0; i < I; i++) {
        g[i] = on[i] ? gate.y[(int64_t)item[i].i * gate.n_out + o] : 0.0f;
        u[i] = on[i] ? up.y[(int64_t)item[i].i * gate.n_out + o] : 0.0f;
    }
    chains<I>(a.low, 2 * pair, item, on, alike, o, g);
    chains<I>(a.low, 2 * pair + 1, item, on, alike, o, u);
#pragma unroll
    for (int i = 0; i < I; i++) {
        if (!on[i]) continue;
        const cu_cfg &cfg = a.low.cfg[item[i].slot];
        const int32_t *width = a.width[pair] == CU_LOW_FFN_WIDTH ? cfg.ffn_width : a.width[pair] == CU_LOW_EXPERT_WIDTH ? cfg.expert_width : NULL;
        int keep = width ? width[gate.layer] : 0;
        float h = a.fast ? cu_silu_mul(g[i], u[i]) : g[i] / (1.0f + expf(-g[i])) * u[i];
        gate.y[(int64_t)item[i].i * gate.n_out + o] = keep > 0 && o >= keep ? 0.0f : h;
    }
}

/* ---- few rows' sums over slots ---- */

typedef struct low_down_args {
    low_args low;                  /* job 0: routed experts', job 1: the shared expert's or a dense layer's; n 0: none */
    const float *weights, *coef;   /* [rows][max_k]; [rows] or NULL                           */
    float *y;
    int n_out;
} low_down_args;

static __global__ void BOUNDS(THREADS, 8) low_down(low_down_args a)
{
    int row = (int)blockIdx.y, o = (int)(blockIdx.x * THREADS + threadIdx.x), k = a.low.job[0].of.n ? a.low.job[0].of.per : 0;
    low_item item;
    if (o >= a.n_out) return;
    float *y = a.y + (int64_t)row * a.n_out + o, v = *y;
    for (int s = 0; s < k; s++) {
        float one = 0;
        if (!item_get(a.low, a.low.job[0].of, row * k + s, item)) break;
        chain<1>(a.low, 0, &item, o, &one);
        if (one != 0) v = fmaf(a.weights[(int64_t)row * a.low.job[0].of.max_k + s], one, v);
    }
    if (item_get(a.low, a.low.job[1].of, row, item)) {
        float one = 0;
        chain<1>(a.low, 1, &item, o, &one);
        if (one != 0) v = fmaf(a.coef ? a.coef[row] : 1.0f, one, v);
    }
    *y = v;
    const cu_low_job &j = a.low.job[a.low.job[0].of.n ? 0 : 1];
    if (!cu_finite(v)) cu_mark(a.low.tr, j.of.r0 + row, KER_PART_FFN, j.layer);
}

/* ---- the embedding ---- */

static __global__ void BOUNDS(THREADS, 8) low_embed(low_args a, const int *token, float *x)
{
    int row = (int)blockIdx.y, i = (int)(blockIdx.x * THREADS + threadIdx.x);
    const cu_low_job &j = a.job[0];
    low_item item;
    if (i >= j.n_in || !item_get(a, j.of, row, item)) return;
    const cu_cfg &cfg = a.cfg[item.slot];
    float *to = x + (int64_t)row * j.n_in + i, v = *to;
    for (int of = 0; of < cfg.n_adapt; of++) {
        cu_low_w w;
        int kept;
        float factor;
        if (!low_of(a, 0, cfg.adapt[of], item, w, kept, factor)) continue;
        for (int k = 0; k < w.rank; k++) v = fmaf(factor * w.b[(int64_t)k * j.n_out + token[row]], w.a[(int64_t)k * j.n_in + i], v);
    }
    *to = v;
    if (!cu_finite(v)) cu_mark(a.tr, row, KER_PART_EMBED, -1);
}

/* ---- launches ---- */

static void args_begin(const ker_ctx *c, low_args *a)
{
    memset(a, 0, sizeof *a);
    a->apart = (int64_t)(c->dev->m.n_layer + 1) * KER_W_ROLES;
    a->slot = c->rows.slot;
    a->cfg = c->rows.cfg;
    a->tr = c->tr;
    a->used = c->low.used;
    a->wide = c->low.wide;
    memcpy(a->at, c->low.at, sizeof a->at);
    a->n_expert = c->dev->m.n_expert;
}

static void args_put(const ker_ctx *c, low_args *a, int at, const cu_low_job *j)
{
    int64_t ne[3];
    ker_role_shape(&c->dev->m, j->layer, (enum ker_role)j->role, ne);
    a->table[at] = c->dev->adapters->table + (int64_t)(j->layer + 1) * KER_W_ROLES + j->role;
    a->job[at] = *j;
    a->job[at].n_in = (int)ne[0];
    a->job[at].n_out = (int)ne[1];
}

typedef struct extent { int n, items, out; } extent;

static void reach(extent *e, const low_args *a, int at)
{
    if (a->job[at].of.n > e->items) e->items = a->job[at].of.n;
    if (a->job[at].n_out > e->out) e->out = a->job[at].n_out;
}

static bool few(const ker_ctx *c) { return c->shape.n <= CU_FEW && !c->moe.run; }
static unsigned cut(int n, int per) { return (unsigned)((n + per - 1) / per); }

cu_low_job cu_low_rows(const ker_ctx *c, int layer, enum ker_role role, const float *x, float *y, int n)
{
    cu_low_job j;
    memset(&j, 0, sizeof j);
    j.layer = layer;
    j.role = role;
    j.of.n = n;
    j.x = x;
    j.y = y;
    j.part = KER_PART_NONE;
    return j;
}

void cu_low_take(ker_ctx *c, cu_low_job *jobs, int n)
{
    low_args a;
    extent e = { 0, 0, 0 };
    float *t = c->low.t;
    args_begin(c, &a);
    for (int i = 0; i < n; i++) {
        jobs[i].t = t;
        if (!jobs[i].of.n || !cu_low_acts(c, jobs[i].layer, jobs[i].role)) continue;
        t += (int64_t)jobs[i].of.n * c->low.wide;
        args_put(c, &a, e.n, &jobs[i]);
        reach(&e, &a, e.n++);
    }
    if (!e.n) return;
    if (few(c)) LAUNCH((low_take<1, 1>), dim3((unsigned)e.items, cut(a.wide, WARPS), (unsigned)e.n), dim3(THREADS), 0, c->st, a);
    else LAUNCH((low_take<TILE, TILE>), dim3(cut(e.items, TILE), cut(a.wide, WARPS * TILE), (unsigned)e.n), dim3(THREADS), 0, c->st, a);
}

void cu_low_add(ker_ctx *c, const cu_low_job *jobs, int n)
{
    low_args a;
    extent e = { 0, 0, 0 };
    args_begin(c, &a);
    for (int i = 0; i < n; i++) {
        if (!jobs[i].of.n || !cu_low_acts(c, jobs[i].layer, jobs[i].role)) continue;
        args_put(c, &a, e.n, &jobs[i]);
        reach(&e, &a, e.n++);
    }
    if (!e.n) return;
    if (few(c)) LAUNCH(low_add<1>, dim3(cut(e.out, THREADS), (unsigned)e.items, (unsigned)e.n), dim3(THREADS), 0, c->st, a);
    else LAUNCH(low_add<TILE>, dim3(cut(e.out, THREADS), cut(e.items, TILE), (unsigned)e.n), dim3(THREADS), 0, c->st, a);
}

void cu_low_both(ker_ctx *c, cu_low_job *jobs, int n)
{
    cu_low_take(c, jobs, n);
    cu_low_add(c, jobs, n);
}

void cu_low_glue(ker_ctx *c, const cu_low_glu *g, int n, bool fast)
{
    glue_args a;
    extent e = { 0, 0, 0 };
    args_begin(c, &a.low);
    a.fast = fast;
    for (int i = 0; i < n; i++) {
        if (!g[i].gate.of.n) continue;
        a.width[e.n] = g[i].width;
        args_put(c, &a.low, 2 * e.n, &g[i].gate);
        args_put(c, &a.low, 2 * e.n + 1, &g[i].up);
        reach(&e, &a.low, 2 * e.n++);
    }
    if (!e.n) return;
    if (few(c)) LAUNCH(low_glue<1>, dim3(cut(e.out, THREADS), (unsigned)e.items, (unsigned)e.n), dim3(THREADS), 0, c->st, a);
    else LAUNCH(low_glue<TILE>, dim3(cut(e.out, THREADS), cut(e.items, TILE), (unsigned)e.n), dim3(THREADS), 0, c->st, a);
}

void cu_low_down(ker_ctx *c, const cu_low_job *down, const cu_low_job *sh, const float *weights, const float *coef, int rows)
{
    low_down_args a;
    memset(&a, 0, sizeof a);
    args_begin(c, &a.low);
    if (down->of.n && cu_low_acts(c, down->layer, down->role)) args_put(c, &a.low, 0, down);
    if (sh->of.n && cu_low_acts(c, sh->layer, sh->role)) args_put(c, &a.low, 1, sh);
    if (!a.low.job[0].of.n && !a.low.job[1].of.n) return;
    a.weights = weights;
    a.coef = coef;
    a.y = down->y;
    a.n_out = c->dev->m.n_embd;
    LAUNCH(low_down, dim3(cut(a.n_out, THREADS), (unsigned)rows), dim3(THREADS), 0, c->st, a);
}

void cu_low_qkv(ker_ctx *c, int layer, const float *x, const float *norm)
{
    static const enum ker_role role[3] = { KER_W_Q, KER_W_K, KER_W_V };
    float *y[3] = { c->att.q, c->att.k, c->att.v };
    cu_low_job j[3];
    for (int i = 0; i < 3; i++) {
        j[i] = cu_low_rows(c, layer, role[i], x, y[i], c->shape.n);
        j[i].norm = norm;
    }
    cu_low_both(c, j, 3);
}

void cu_low_out(ker_ctx *c, int layer)
{
    cu_low_job j = cu_low_rows(c, layer, KER_W_O, c->att.o, c->x, c->shape.n);
    j.part = KER_PART_ATTN;
    cu_low_both(c, &j, 1);
}

void cu_low_head(ker_ctx *c, const float *x, const float *norm, int first, int n)
{
    cu_low_job j = cu_low_rows(c, -1, KER_W_OUT, x, c->out.logits, n);
    j.of.row_of = c->rows.want + first;
    j.norm = norm;
    j.by_row = norm != NULL;
    j.part = KER_PART_HEAD;
    cu_low_both(c, &j, 1);
}

void cu_low_embed(ker_ctx *c)
{
    low_args a;
    cu_low_job j = cu_low_rows(c, -1, KER_W_EMBD, NULL, NULL, c->shape.n);
    if (!cu_low_acts(c, -1, KER_W_EMBD)) return;
    args_begin(c, &a);
    args_put(c, &a, 0, &j);
    LAUNCH(low_embed, dim3(cut(c->dev->m.n_embd, THREADS), (unsigned)c->shape.n), dim3(THREADS), 0, c->st, a, c->rows.token, c->x);
}
