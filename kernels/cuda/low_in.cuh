/* kernels/cuda/low_in: what a launch does of low-rank changes within itself: pieces of t, and what B t adds to outputs (low.cuh says what
 * that is). low.cu has launches of these alone; decode.cu's products of few rows do them on their way (low_fused): whichever block has
 * begun takes pieces of t from a queue, and behind its own outputs waits until the last is there. A block that waits holds none, so
 * that whoever has one comes to its end. Device functions; private to kernels/cuda. */
#ifndef QUORUM_CUDA_LOW_IN_CUH
#define QUORUM_CUDA_LOW_IN_CUH

#include "kernels/cuda/low.cuh"
#include "kernels/cuda/tiles.cuh"

enum { LANES = 32 };

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
    factor = (j.by_expert && d.expert ? d.expert[(int64_t)j.layer * a.n_expert + item.e] : d.layer[j.layer + 1]) * w.scale;
    return kept >= 0 && factor != 0;
}

/* ---- t = factor * scale * (A x) ---- */

/* I items by R ranks, each sum over the lanes in the same way. */
template <int I, int R> static __device__ __forceinline__ void dots(const float *const *x, const float *a, int n, int ranks, float (&acc)[I][R])
{
    int lane = (int)threadIdx.x % LANES;
#pragma unroll
    for (int i = 0; i < I; i++)
#pragma unroll
        for (int r = 0; r < R; r++) acc[i][r] = 0;
    if (n % 4) {
        for (int k = lane; k < n; k += LANES)
#pragma unroll
            for (int r = 0; r < R; r++) {
                float w = r < ranks ? a[(int64_t)r * n + k] : 0.0f;
#pragma unroll
                for (int i = 0; i < I; i++) acc[i][r] = fmaf(w, x[i][k], acc[i][r]);
            }
    } else {
        for (int k = lane * 4; k < n; k += LANES * 4) {
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
    for (int k = (int)threadIdx.x % LANES; k < n; k += LANES) {
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
    if (threadIdx.x % LANES) return;
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

/* One number of an item's `wide`, by a warp. */
static __device__ __forceinline__ void take_number(const low_args &a, int job, int i, int p)
{
    int adapter = -1;
    low_item one;
#pragma unroll
    for (int k = 0; k < KER_ADAPTERS; k++) if ((a.used >> k & 1) && p >= a.at[k] && p < a.wide) adapter = k;
    if (adapter >= 0 && item_get(a, a.job[job].of, i, one)) take<1, 1>(a, job, &one, adapter, p - a.at[adapter]);
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

/* ---- outputs ---- */

/* Output o of a job's items [i0, i0 + I). */
template <int I> static __device__ __forceinline__ void low_add_items(const low_args &a, int job, int i0, int o)
{
    const cu_low_job &j = a.job[job];
    low_item item[I];
    bool on[I];
    float v[I];
    bool alike = items_get<I>(a, j.of, i0, item, on);
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

/* The same of a gate (`job`) and its up (job + 1): gate's y becomes glu(gate, up); width: CU_LOW_WIDE and the rest. */
template <int I> static __device__ __forceinline__ void low_glue_items(const low_args &a, int job, int i0, int o, int width_of, bool fast)
{
    const cu_low_job &gate = a.job[job], &up = a.job[job + 1];
    low_item item[I];
    bool on[I];
    float g[I], u[I];
    bool alike = items_get<I>(a, gate.of, i0, item, on);
#pragma unroll
    for (int i = 0; i < I; i++) {
        g[i] = on[i] ? gate.y[(int64_t)item[i].i * gate.n_out + o] : 0.0f;
        u[i] = on[i] ? up.y[(int64_t)item[i].i * gate.n_out + o] : 0.0f;
    }
    chains<I>(a, job, item, on, alike, o, g);
    chains<I>(a, job + 1, item, on, alike, o, u);
#pragma unroll
    for (int i = 0; i < I; i++) {
        if (!on[i]) continue;
        const cu_cfg &cfg = a.cfg[item[i].slot];
        const int32_t *width = width_of == CU_LOW_FFN_WIDTH ? cfg.ffn_width : width_of == CU_LOW_EXPERT_WIDTH ? cfg.expert_width : NULL;
        int keep = width ? width[gate.layer] : 0;
        if (gate.bias) g[i] += gate.bias[(int64_t)item[i].e * gate.n_out + o], u[i] += up.bias[(int64_t)item[i].e * gate.n_out + o];
        float h = gate.glu != KER_GLU_SILU ? cu_glu_mul(gate.glu, g[i], u[i]) : fast ? cu_silu_mul(g[i], u[i]) : g[i] / (1.0f + expf(-g[i])) * u[i];
        gate.y[(int64_t)item[i].i * gate.n_out + o] = keep > 0 && o >= keep ? 0.0f : h;
    }
}

/* Few rows' sums over slots: job 0 the routed experts', job 1 the shared expert's or a dense layer's; n 0: none.
 * weights: [rows][max_k]; coef: [rows] or NULL; v: the row's output o so far. */
static __device__ __forceinline__ float low_down_sum(const low_args &a, const float *weights, const float *coef, int row, int o, float v)
{
    int k = a.job[0].of.n ? a.job[0].of.per : 0;
    low_item item;
    for (int s = 0; s < k; s++) {
        float one = 0;
        if (!item_get(a, a.job[0].of, row * k + s, item)) break;
        chain<1>(a, 0, &item, o, &one);
        if (one != 0) v = fmaf(weights[(int64_t)row * a.job[0].of.max_k + s], one, v);
    }
    if (item_get(a, a.job[1].of, row, item)) {
        float one = 0;
        chain<1>(a, 1, &item, o, &one);
        if (one != 0) v = fmaf(coef ? coef[row] : 1.0f, one, v);
    }
    const cu_low_job &j = a.job[a.job[0].of.n ? 0 : 1];
    if (!cu_finite(v)) cu_mark(a.tr, j.of.r0 + row, KER_PART_FFN, j.layer);
    return v;
}

/* ---- within a launch of few rows ---- */

/* What such a launch is given beside its own arguments. A piece: as many numbers of one item's t as a block has warps. */
typedef struct low_fused {
    low_args low;
    int n_job;                     /* 0: nothing is changed                                   */
    int first[CU_LOW_JOBS + 1];    /* a job's pieces are [first[job], first[job + 1])         */
    int groups;                    /* pieces of an item                                       */
    int *queue, *clear;            /* { pieces given out, pieces there }, zero at its begin; those of the launch before, zero at its end */
} low_fused;

/* What of n products such a launch takes upon itself, for blocks of so many warps; `together` of them (1 or 2) go in if one is changed.
 * at: [n / together] where they are in f->low.job, -1: not there. */
void cu_low_fuse(ker_ctx *c, cu_low_job *jobs, int n, int together, int warps, low_fused *f, int *at);
/* The same for low_down_sum; either may be unchanged. */
void cu_low_fuse_down(ker_ctx *c, cu_low_job *down, cu_low_job *sh, int warps, low_fused *f);

/* By every block, all of its threads, behind gpu_wait_before(). turn: [1] shared. */
template <int WARPS> static __device__ __forceinline__ void low_work(const low_fused &f, int *turn)
{
    if (blockIdx.x + blockIdx.y == 0 && threadIdx.x < 2) f.clear[threadIdx.x] = 0;
#pragma unroll 1
    for (;;) {
        if (threadIdx.x == 0) turn[0] = atomicAdd(f.queue, 1);
        __syncthreads();
        int p = turn[0], job = 0;
        if (p >= f.first[f.n_job]) return;
        while (p >= f.first[job + 1]) job++;
        p -= f.first[job];
        int number = p % f.groups * WARPS + (int)threadIdx.x / LANES;
        take_number(f.low, job, p / f.groups, number);
        __syncthreads();
        if (threadIdx.x == 0) {
            __threadfence();
            atomicAdd(f.queue + 1, 1);
        }
    }
}

/* By every thread of a block that has done its own outputs: behind it they, and all of t, are there for all of its threads. */
static __device__ __forceinline__ void low_wait(const low_fused &f)
{
    if (threadIdx.x == 0) {
        while (atomicAdd(f.queue + 1, 0) < f.first[f.n_job]) gpu_pause();
        __threadfence();
    }
    __syncthreads();
}

#endif
