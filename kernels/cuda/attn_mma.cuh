/* kernels/cuda/attn_mma.cuh: what attention with tensor cores shares: for heads of 64 and 128 (attn_mma.cu) and of 256 (attn_wide.cu). */
#ifndef QUORUM_CUDA_ATTN_MMA_CUH
#define QUORUM_CUDA_ATTN_MMA_CUH

#include "kernels/cuda/attn.cuh"

#include <string.h>

static constexpr int FEW_CELLS = KER_PAGE / ATT_WARPS, FEW_HEADS = 16;
static constexpr int FEW_WEIGHTS = 1024;           /* heads of a group times segments: where queries were (64 wide) */
static constexpr float LOG2E = 1.44269504f;

/* Rows of DIM halves in shared memory as chunks of 16 bytes, crossed so that 8 rows of a column lie in different banks. */
template <int DIM> static __device__ __forceinline__ int at(int row, int chunk) { return row * (DIM / 8) + (chunk ^ (row & 7)); }

static __device__ __forceinline__ uint32_t halves(float a, float b)
{
    __half2 h = __floats2half2_rn(a, b);
    uint32_t u;
    memcpy(&u, &h, 4);
    return u;
}

static __device__ __forceinline__ float rounded(float x) { return __half2float(__float2half_rn(x)); }
static __device__ __forceinline__ float quad_max(float x)
{
    x = fmaxf(x, __shfl_xor_sync(WARP_ALL, x, 1));
    return fmaxf(x, __shfl_xor_sync(WARP_ALL, x, 2));
}
static __device__ __forceinline__ float quad_sum(float x)
{
    x += __shfl_xor_sync(WARP_ALL, x, 1);
    return x + __shfl_xor_sync(WARP_ALL, x, 2);
}

/* A row's running maximum meets a tile's: the factor for what was summed before. -inf: nothing seen. */
static __device__ __forceinline__ float shrink_to(float most, float *top)
{
    most = fmaxf(most, *top);
    float f = most == -INFINITY ? 1.0f : ex2(*top - most);
    *top = most;
    return f;
}
static __device__ __forceinline__ float weight_of(float s, float top) { return ex2(s - (top == -INFINITY ? 0.0f : top)); }

/* 16 numbers of Q8_0 under one scale as two chunks of halves: of K what no half holds is none, V, which is read beside a weight of
 * 0 too, is finite (cell_put keeps nothing beyond). */
static __device__ __forceinline__ void q8_halves(const uint4 &q, float scale, bool value, uint4 *a, uint4 *b)
{
    const uint32_t w[4] = { q.x, q.y, q.z, q.w };
    uint32_t h[8];
#pragma unroll
    for (int i = 0; i < 8; i++) {                  /* 2^23 + (x + 128), exactly; the byte goes where a float's last lies */
        uint32_t u = w[i / 2] ^ 0x80808080u, lo = u >> (i & 1) * 16 & 0xff, hi = u >> ((i & 1) * 16 + 8) & 0xff;
        float x = (__int_as_float((int)(0x4b000000u | lo)) - 8388736.0f) * scale, y = (__int_as_float((int)(0x4b000000u | hi)) - 8388736.0f) * scale;
        float most = value ? HALF_MOST : NAN;      /* a NaN stays */
        x = fabsf(x) > HALF_MOST ? copysignf(most, x) : x;
        y = fabsf(y) > HALF_MOST ? copysignf(most, y) : y;
        h[i] = halves(x, y);
    }
    *a = make_uint4(h[0], h[1], h[2], h[3]);
    *b = make_uint4(h[4], h[5], h[6], h[7]);
}

/* N cells of K and V as they come, and as the tensor cores want them; in chunks of 16 bytes. */
template <int TYPE, int DIM, int N> struct part {
    static constexpr int ROW = TYPE == KER_KV_F16 ? DIM / 8 : DIM / 16;        /* of a cell's K, or V       */
    static constexpr int SCALE = TYPE == KER_KV_F16 ? 0 : N * (DIM / 32) / 4;  /* of the scales of N cells  */
    static constexpr int RAW = 2 * (N * ROW + SCALE), HALVES = 2 * N * (DIM / 8);
};

/* Makes halves of N cells that came as Q8_0, by `threads` threads of which this is `t`. */
template <int DIM, int N> static __device__ __forceinline__ void unpack_q8(const uint4 *raw, uint4 *to, int t, int threads)
{
    typedef part<KER_KV_Q8_0, DIM, N> P;
    const float *scale = (const float *)(const void *)(raw + 2 * N * P::ROW);
    for (int i = t; i < 2 * N * P::ROW; i += threads) {
        int row = i / P::ROW, c = i % P::ROW;                  /* rows of K, then of V; their scales lie so too */
        uint4 a, b;
        q8_halves(raw[i], scale[row * (DIM / 32) + c / 2], row >= N, &a, &b);
        uint4 *into = to + row / N * (N * (DIM / 8));
        into[at<DIM>(row % N, 2 * c)] = a;
        into[at<DIM>(row % N, 2 * c + 1)] = b;
    }
}

/* ---- few rows ---- */

typedef struct few_at {            /* what a block is about */
    int row, kv, seq;
    int last, first;               /* the row's cell; the first cell of its sequence that this batch writes */
    float eps, scale;
    const uint8_t *off;            /* [n_head] of the layer, or NULL */
} few_at;

/* One head's numbers in a warp: number lane + 32 i in x[i]; and what they are multiplied by, all asked for in time. */
template <int DIM> struct lanes { float x[DIM / 32]; };
template <int DIM> struct turn { float w[DIM / 32], c[DIM / 64], s[DIM / 64]; const float *cs; };

template <int DIM> static __device__ __forceinline__ void lanes_load(lanes<DIM> *a, const float *x)
{
#pragma unroll
    for (int i = 0; i < DIM / 32; i++) a->x[i] = x[(threadIdx.x & 31) + 32 * i];
}

template <int DIM> static __device__ __forceinline__ void norm_load(turn<DIM> *t, const float *norm)
{
#pragma unroll
    for (int i = 0; i < DIM / 32; i++) t->w[i] = norm ? norm[(threadIdx.x & 31) + 32 * i] : 1.0f;
}

template <int DIM> static __device__ __forceinline__ void turn_load(const att_job &j, turn<DIM> *t, int row)
{
    int lane = threadIdx.x & 31;
    t->cs = j.rope + (int64_t)row * j.rope_dim;
    if (j.rope_half && j.rope_dim == DIM) {
#pragma unroll
        for (int i = 0; i < DIM / 64; i++) t->c[i] = t->cs[lane + 32 * i], t->s[i] = t->cs[DIM / 2 + lane + 32 * i];
    }
}

/* head_in in registers, where a pair lies in one lane; s: shared, [DIM], for those that do not. */
template <int DIM> static __device__ __forceinline__ void lanes_in(const att_job &j, lanes<DIM> *a, const turn<DIM> &t, bool norm, float eps, float scale, float *s)
{
    int lane = threadIdx.x & 31;
    if (norm) {
        float sum = 0;
#pragma unroll
        for (int i = 0; i < DIM / 32; i++) sum += a->x[i] * a->x[i];
        float r = rsqrtf(warp_sum(sum) * (1.0f / DIM) + eps);
#pragma unroll
        for (int i = 0; i < DIM / 32; i++) a->x[i] *= r * t.w[i];
    }
    if (j.rope_half && j.rope_dim == DIM) {
#pragma unroll
        for (int i = 0; i < DIM / 64; i++) {
            float x0 = a->x[i], x1 = a->x[i + DIM / 64];
            a->x[i] = x0 * t.c[i] - x1 * t.s[i];
            a->x[i + DIM / 64] = x1 * t.c[i] + x0 * t.s[i];
        }
    } else {
#pragma unroll
        for (int i = 0; i < DIM / 32; i++) s[lane + 32 * i] = a->x[i];
        __syncwarp();
        rotate(j, s, t.cs);
        __syncwarp();
#pragma unroll
        for (int i = 0; i < DIM / 32; i++) a->x[i] = s[lane + 32 * i];
        __syncwarp();
    }
#pragma unroll
    for (int i = 0; i < DIM / 32; i++) a->x[i] *= scale;
}

/* A query as two halves, [2][FEW_HEADS][DIM]. */
template <int DIM> static __device__ __forceinline__ void few_query(const lanes<DIM> &a, int g, uint4 *q)
{
    int lane = threadIdx.x & 31;
#pragma unroll
    for (int i = 0; i < DIM / 32; i++) {
        int d = lane + 32 * i;
        __half hi = __float2half_rn(a.x[i]);
        float big = __half2float(hi);
        __half *to = (__half *)(void *)(q + at<DIM>(g, d / 8)) + d % 8;
        to[0] = hi;
        to[8 * FEW_HEADS * (DIM / 8)] = __float2half_rn(finite(big) ? a.x[i] - big : 0.0f);
    }
}

/* A cell of this batch as its type keeps it, in `fresh`; the block of its own row writes it into the page. s: [2 DIM]. */
template <int TYPE, int DIM> static __device__ __forceinline__ void few_fresh(const att_job &j, const few_at &f, int row, int k, uint4 *fresh, float *s)
{
    typedef part<TYPE, DIM, CU_FEW> P;
    int lane = threadIdx.x & 31, cell = j.rows.cell[row], nb = DIM / 32;
    int64_t from = ((int64_t)row * j.n_kv + f.kv) * DIM;
    float *scale = (float *)(void *)(fresh + 2 * CU_FEW * P::ROW) + k * nb;
    att_cell c = { fresh + k * P::ROW, fresh + (CU_FEW + k) * P::ROW, scale, scale + CU_FEW * nb, NULL, NULL };
    lanes<DIM> key, value;
    turn<DIM> t;
    lanes_load<DIM>(&key, j.k + from);
    lanes_load<DIM>(&value, j.v + from);
    norm_load<DIM>(&t, j.k_norm);
    turn_load<DIM>(j, &t, row);
    lanes_in<DIM>(j, &key, t, j.k_norm != NULL, row == f.row ? f.eps : j.rows.cfg[j.rows.slot[row]].eps, 1.0f, s);
#pragma unroll
    for (int i = 0; i < DIM / 32; i++) s[lane + 32 * i] = key.x[i], s[DIM + lane + 32 * i] = value.x[i];
    cell_put<TYPE, true>(c, DIM, s, s + DIM);
    if (row != f.row) return;
    att_cell to = cell_in<TYPE>(cells(j, f.seq, cell / KER_PAGE, f.kv), DIM, cell % KER_PAGE);
    for (int i = lane; i < P::ROW; i += 32) ((uint4 *)to.k)[i] = ((const uint4 *)c.k)[i], ((uint4 *)to.v)[i] = ((const uint4 *)c.v)[i];
    if (TYPE == KER_KV_Q8_0 && lane < nb) to.k_scale[lane] = c.k_scale[lane], to.v_scale[lane] = c.v_scale[lane];
}

/* What a warp knows of its 16 queries: of rows lane / 4 and lane / 4 + 8 of the tile. */
template <int DIM> struct sums { float top[2], sum[2], o[DIM / 8][4]; };

/* A sum relative to its own maximum, joined to others: 0 for what saw nothing. */
static __device__ __forceinline__ float join_factor(float top, float most) { return top == most ? 1.0f : ex2(top - most); }

/* Four numbers of a head's gate: those of j.o[at]; its sigmoid (heads of 256 alone). */
template <int DIM> static __device__ __forceinline__ float4 gate_of(const att_job &j, int64_t at)
{
    float4 g = *(const float4 *)(const void *)(j.q + at / DIM * j.q_step + DIM + at % DIM);
    return make_float4(1.0f / (1.0f + expf(-g.x)), 1.0f / (1.0f + expf(-g.y)), 1.0f / (1.0f + expf(-g.z)), 1.0f / (1.0f + expf(-g.w)));
}

template <int DIM> static __device__ __forceinline__ void few_out(const att_job &j, const few_at &f, int head, float4 o, float inv, float *to)
{
    bool off = f.off && f.off[head];
    if constexpr (DIM > 128)
        if (j.gate) {
            float4 g = gate_of<DIM>(j, to - j.o);
            o.x *= g.x, o.y *= g.y, o.z *= g.z, o.w *= g.w;
        }
    *(float4 *)(void *)to = off ? make_float4(0, 0, 0, 0) : make_float4(o.x * inv, o.y * inv, o.z * inv, o.w * inv);
}

/* The block's warps together: into o when this segment is all there is, else into part: [row][head][segment][DIM], then
 * [row][head][segment] of (maximum, sum). */
template <int DIM, bool PART> static __device__ __forceinline__ void few_join(const att_job &j, const few_at &f, int seg, int segs, bool only, const sums<DIM> &a,
                                                                   float *room, float *ml, float *part)
{
    int t = threadIdx.x, lane = t & 31, warp = t >> 5, group = j.n_head / j.n_kv;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int g = lane / 4 + 8 * h;
        float sum = quad_sum(a.sum[h]);
        if (g >= group) continue;
        if (!(lane & 3)) ml[warp * FEW_HEADS + g] = a.top[h], ml[(ATT_WARPS + warp) * FEW_HEADS + g] = sum;
#pragma unroll
        for (int d = 0; d < DIM / 8; d++)
            *(float2 *)(void *)(room + (warp * FEW_HEADS + g) * DIM + d * 8 + (lane & 3) * 2) = make_float2(a.o[d][2 * h], a.o[d][2 * h + 1]);
    }
    __syncthreads();
    int64_t first = (int64_t)f.row * j.n_head + f.kv * group;
    float2 *tops = (float2 *)(void *)(part + (int64_t)j.n * j.n_head * segs * DIM) + first * segs + seg;
#pragma unroll 1
    for (int i = t; i < group * (DIM / 4); i += ATT_THREADS) {
        int g = i / (DIM / 4), d = i % (DIM / 4) * 4;
        float most = -INFINITY, sum = 0;
        float4 o = make_float4(0, 0, 0, 0);
#pragma unroll
        for (int w = 0; w < ATT_WARPS; w++) most = fmaxf(most, ml[w * FEW_HEADS + g]);
        if (PART && only && j.sinks) {
            float sink = j.sinks[f.kv * group + g] * LOG2E;
            most = fmaxf(most, sink);
            sum = ex2(sink - most);
        }
#pragma unroll
        for (int w = 0; w < ATT_WARPS; w++) {
            float b = join_factor(ml[w * FEW_HEADS + g], most);
            float4 x = *(const float4 *)(const void *)(room + (w * FEW_HEADS + g) * DIM + d);
            sum += b * ml[(ATT_WARPS + w) * FEW_HEADS + g];
            o.x += b * x.x, o.y += b * x.y, o.z += b * x.z, o.w += b * x.w;
        }
        if (only) few_out<DIM>(j, f, f.kv * group + g, o, 1.0f / sum, j.o + (first + g) * DIM + d);
        else {
            *(float4 *)(void *)(part + ((first + g) * segs + seg) * DIM + d) = o;
            if (!d) tops[(int64_t)g * segs] = make_float2(most, sum);
        }
    }
}

/* Segments [s0, s0 + n) of a group into shared memory, [head][n][DIM]. Others wrote them: not through the first cache. */
template <int DIM> static __device__ __forceinline__ void all_ask(const float *part, int group, int s0, int n, int segs, float *room)
{
#pragma unroll 1
    for (int g = 0; g < group; g++)
#pragma unroll 4
        for (int i = threadIdx.x; i < n * (DIM / 4); i += ATT_THREADS)
            cp_async16(room + g * n * DIM + 4 * i, part + ((int64_t)g * segs + s0) * DIM + 4 * i);
    cp_commit();
}

/* All segments of a (row, KV head) together. room: shared, of `size` floats; w: shared, [group][n_seg]. */
template <int DIM, bool PART> static __device__ __forceinline__ void few_all(const att_job &j, const few_at &f, int n_seg, int segs, const float *part, float *room, int size, float *w)
{
    constexpr int OUT = FEW_HEADS * (DIM / 4) / ATT_THREADS;   /* numbers of four a thread adds up, at most */
    int t = threadIdx.x, lane = t & 31, group = j.n_head / j.n_kv, most_segs = size / (group * DIM);
    int64_t first = (int64_t)f.row * j.n_head + f.kv * group;
    const float2 *tops = (const float2 *)(const void *)(part + (int64_t)j.n * j.n_head * segs * DIM) + first * segs;
    part += first * segs * DIM;
    all_ask<DIM>(part, group, 0, min(n_seg, most_segs), segs, room);
#pragma unroll 1
    for (int g = t >> 5; g < group; g += ATT_WARPS) {          /* the weight of each segment */
        float sink = PART && j.sinks ? j.sinks[f.kv * group + g] * LOG2E : -INFINITY, most = sink, sum = 0;
#pragma unroll 1
        for (int s = lane; s < n_seg; s += 32) most = fmaxf(most, __ldcg(tops + g * segs + s).x);
#pragma unroll
        for (int o = 16; o; o >>= 1) most = fmaxf(most, __shfl_xor_sync(WARP_ALL, most, o));
        if (PART && !lane && sink != -INFINITY) sum = ex2(sink - most);
#pragma unroll 1
        for (int s = lane; s < n_seg; s += 32) {
            float2 m = __ldcg(tops + g * segs + s);
            float b = join_factor(m.x, most);
            w[g * n_seg + s] = b;
            sum += b * m.y;
        }
        sum = 1.0f / warp_sum(sum);
#pragma unroll 1
        for (int s = lane; s < n_seg; s += 32) w[g * n_seg + s] *= sum;
    }
    float4 o[OUT] = {};
#pragma unroll 1
    for (int s0 = 0; s0 < n_seg; s0 += most_segs) {
        int n = min(n_seg - s0, most_segs);
        if (s0) all_ask<DIM>(part, group, s0, n, segs, room);
        cp_wait<0>();
        __syncthreads();
#pragma unroll
        for (int u = 0; u < OUT; u++) {
            int g = (t + u * ATT_THREADS) / (DIM / 4), d = (t + u * ATT_THREADS) % (DIM / 4);
            if (g >= group) break;
#pragma unroll 4
            for (int s = 0; s < n; s++) {
                float b = w[g * n_seg + s0 + s];
                float4 x = *(const float4 *)(const void *)(room + (g * n + s) * DIM + 4 * d);
                o[u].x += b * x.x, o[u].y += b * x.y, o[u].z += b * x.z, o[u].w += b * x.w;
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (int u = 0; u < OUT; u++) {
        int i = t + u * ATT_THREADS;
        if (i < group * (DIM / 4)) few_out<DIM>(j, f, f.kv * group + i / (DIM / 4), o[u], 1.0f, j.o + first * DIM + i * 4);
    }
}

/* A row's pages and its segments: few pages go to one block, for a second one costs as much as some more pages. */
constexpr int FEW_PAGES = 4, SEG_PAGES = 2;
static __device__ __forceinline__ int pages_of_seg(int pages, int segs)
{
    int per = (pages + segs - 1) / segs;
    return pages <= FEW_PAGES ? pages : per < SEG_PAGES ? SEG_PAGES : per;
}

/* ---- many rows ---- */

/* By a warp a head: K and V into the cells, queries (step floats from one to the next) as halves in the place of their own floats. */
template <int TYPE, int DIM> static __device__ __forceinline__ void prepare(const att_job &j, float *scratch, int step)
{
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, i = blockIdx.x * ATT_WARPS + warp, n_k = j.n * j.n_kv;
    bool key = i < n_k;
    int h = key ? i : i - n_k, row = h / (key ? j.n_kv : j.n_head);
    if (row >= j.n) return;
    float *s = scratch + 2 * warp * DIM, *q = j.q + (int64_t)h * step;
    lanes<DIM> a, v = {};
    turn<DIM> t;
    const float *norm = key ? j.k_norm : j.q_norm;
    lanes_load<DIM>(&a, key ? j.k + (int64_t)h * DIM : q);
    if (key) lanes_load<DIM>(&v, j.v + (int64_t)h * DIM);
    norm_load<DIM>(&t, norm);
    turn_load<DIM>(j, &t, row);
    const cu_cfg *g = &j.rows.cfg[j.rows.slot[row]];
    lanes_in<DIM>(j, &a, t, norm != NULL, g->eps, key ? 1.0f : g->attn_scale * LOG2E, s);
#pragma unroll
    for (int k = 0; k < DIM / 32; k++) s[lane + 32 * k] = a.x[k], s[DIM + lane + 32 * k] = v.x[k];
    __syncwarp();
    if (key) {
        int cell = j.rows.cell[row];
        cell_put<TYPE, true>(cell_in<TYPE>(cells(j, j.rows.seq_at[row], cell / KER_PAGE, h % j.n_kv), DIM, cell % KER_PAGE), DIM, s, s + DIM);
    } else {
#pragma unroll
        for (int k = 0; k < DIM / 64; k++) ((uint32_t *)(void *)q)[lane + 32 * k] = halves(s[2 * (lane + 32 * k)], s[2 * (lane + 32 * k) + 1]);
    }
}

static __device__ __forceinline__ bool silent(const att_job &j, int row, int head)
{
    const uint8_t *off = j.rows.cfg[j.rows.slot[row]].head_off;
    return off && off[(int64_t)j.layer * j.n_head + head];
}

#endif
