/* kernels/cuda/mla.cuh: what the kernels of latent attention share: their arguments, products of a matrix for each head, a row's cell.
 * mla.cu and mla_few.cu. See cuda.h. */
#ifndef QUORUM_CUDA_MLA_CUH
#define QUORUM_CUDA_MLA_CUH

#include "kernels/cuda/attn.cuh"
#include "kernels/cuda/few.cuh"

enum { HEAD_THREADS = 256, HEAD_WARPS = HEAD_THREADS / 32, HEAD_ROWS = 8 /* rows that share what is read of K_B and V_B */ };

/* What the kernels need; by value. j.q: [row * head][kv_rank] Q over latents; j.k: [row][dim] KV_A's products; j.o: [row * head][kv_rank]. */
typedef struct mla_args {
    att_job j;
    ker_latent t;
    int type, segs, outs;          /* ker_kv_type; segments a row; outputs a block of mla_in and mla_out    */
    const float *q;                /* [row][head][nope + rope]                                */
    float *nope, *turned;          /* [row * head][nope], NULL: not wanted; [row * head][rope] */
    float *part;                   /* [row * head][segs][kv_rank + 2] sums, largest score, sum of weights */
    float *v;                      /* [row * head][v]                                         */
    bool joined;                   /* j.o is wanted of segments too                           */
    cu_mat w;                      /* K_B or V_B                                              */
} mla_args;

/* ---- products of a matrix for each head ---- */

static __host__ __device__ inline int head_step(int n) { return (n + 3) / 4 * 4; }      /* floats from one row's numbers to the next */
/* Shared memory of R rows of `floats` numbers each, and of n_in of them as int8 behind these. */
static __host__ __device__ inline size_t head_room(int rows, int floats, int n_in) { return (size_t)rows * ((size_t)head_step(floats) * 4 + few_bytes(n_in)); }

#define HEAD_FLOATS(type) ((type) == KER_F32 || (type) == KER_F16 || (type) == KER_BF16)

/* R rows of n numbers (x: shared, `step` from one to the next) as int8, a warp 256 numbers at a time. */
template <int KIND, int R> static __device__ __forceinline__ void head_acts(const float *x, int step, int n, uint8_t *room)
{
    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32, pieces = (n + 255) / 256;
    for (int i = warp; i < R * pieces; i += HEAD_WARPS) {
        int r = i / pieces, at = i % pieces * 256 + lane * 8;
        float v[8] = {};
        if (at < n) few_load8(x + r * step + at, v);
        few_put8<KIND>(v, at, n, few_row(room + r * few_bytes(n), n));
    }
}

/* How outputs are shared among the lanes of a warp: as many lanes an output as it has units. */
template <int TYPE> static __device__ __forceinline__ int head_lanes(int n_in)
{
    int lanes = 32, units = n_in / 32;
    if constexpr (!HEAD_FLOATS(TYPE))
        while (lanes / 2 >= units && lanes > 1) lanes /= 2;
    return lanes;
}

/* A lane's first unit of outputs [o0, o1), on its way while something is waited for. Of floats: into the L2 cache. */
template <int TYPE> struct head_first { typename few_form<TYPE>::raw r; };
template <> struct head_first<KER_F32> { };
template <> struct head_first<KER_F16> { };
template <> struct head_first<KER_BF16> { };
template <int TYPE> static __device__ __forceinline__ void head_ask(const cu_mat &w, int head, int o0, int o1, head_first<TYPE> &first)
{
    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    if constexpr (HEAD_FLOATS(TYPE)) {
        const int SIZE = TYPE == KER_F32 ? 4 : 2;
        const uint8_t *from = w.p[0] + ((int64_t)head * w.n_out + o0) * w.n_in * SIZE;
        for (int64_t i = (int64_t)threadIdx.x * 128; i < (int64_t)(o1 - o0) * w.n_in * SIZE; i += HEAD_THREADS * 128) gpu_prefetch(from + i);
    } else {
        int lanes = head_lanes<TYPE>(w.n_in), units = w.n_in / 32, o = o0 + warp * (32 / lanes) + lane / lanes, t = lane % lanes;
        if (o < o1 && t < units) few_form<TYPE>::load(w, ((int64_t)head * w.n_out + o) * (units / few_form<TYPE>::PER), t, first.r);
    }
}

/* Outputs [o0, o1) of matrix `head` for `n` of R rows, by a block; weights are read once for all of them. x, room: see head_acts;
 * first: what head_ask brought, or NULL; y_step: floats from a row's y to the next. */
template <int TYPE, int R> static __device__ __forceinline__ void head_rows(const cu_mat &w, int head, const float *x, int step, uint8_t *room, int o0, int o1, const head_first<TYPE> *first,
                                                                            float *y, int64_t y_step, int n)
{
    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32, lanes = head_lanes<TYPE>(w.n_in), units = HEAD_FLOATS(TYPE) ? w.n_in : w.n_in / 32;
    int each = 32 / lanes, from = lane % lanes, beside = (int)few_bytes(w.n_in);
    cu_act act = few_row(room, w.n_in);
    for (int base = o0 + warp * each; base < o1; base += HEAD_WARPS * each) {
        int o = base + lane / lanes;
        float acc[R];
#pragma unroll
        for (int r = 0; r < R; r++) acc[r] = 0;
        if constexpr (HEAD_FLOATS(TYPE)) {
            for (int k = lane; k < units; k += 32) {
                float v = cu_float_at<TYPE>(w.p[0], ((int64_t)head * w.n_out + o) * units + k);
#pragma unroll
                for (int r = 0; r < R; r++) acc[r] = fmaf(v, x[r * step + k], acc[r]);
            }
        } else {
            typedef few_form<TYPE> form;
            for (int t = from; o < o1 && t < units; t += lanes) {
                typename form::raw raw;
                if (first && base == o0 + warp * each && t == from) raw = first->r;
                else form::load(w, ((int64_t)head * w.n_out + o) * (units / form::PER), t, raw);
#pragma unroll
                for (int r = 0; r < R; r++) {
                    cu_act one = { act.q + r * beside, act.d + r * (beside / 4), act.sum + r * (beside / 4) };
                    acc[r] = form::dot(raw, t, one, acc[r]);
                }
            }
        }
#pragma unroll
        for (int r = 0; r < R; r++) {
            for (int s = lanes / 2; s; s /= 2) acc[r] += __shfl_xor_sync(WARP_ALL, acc[r], s);
            if (!from && o < o1 && r < n) y[r * y_step + o] = acc[r];
        }
    }
}

/* The same with int8 made of x first, in `room`. */
template <int TYPE, int R> static __device__ __forceinline__ void head_product(const cu_mat &w, int head, const float *x, int step, uint8_t *room, int o0, int o1, const head_first<TYPE> *first,
                                                                               float *y, int64_t y_step, int n)
{
    if constexpr (!HEAD_FLOATS(TYPE)) {
        head_acts<few_form<TYPE>::KIND, R>(x, step, w.n_in, room);
        __syncthreads();
    }
    head_rows<TYPE, R>(w, head, x, step, room, o0, o1, first, y, y_step, n);
}

/* ---- cells: K alone ---- */

static __device__ __forceinline__ int64_t cell_bytes(int type, int dim)
{
    return type == KER_KV_F32 ? dim * 4 : type == KER_KV_F16 ? dim * 2 : type == KER_KV_Q8_0 ? dim : q8_blocks(dim) * Q4_BYTES;
}

/* A cell's numbers (shared, [dim]) as the type keeps them, by a warp. A block whose scale is not finite is read as NaN. */
static __device__ __forceinline__ void latent_put(const mla_args &a, uint8_t *page, int cell, const float *k)
{
    int lane = (int)threadIdx.x % 32, dim = a.j.dim, nb = q8_blocks(dim);
    int64_t row = cell_bytes(a.type, dim);
    uint8_t *to = page + cell * row, *scales = page + KER_PAGE * row;
    if (a.type == KER_KV_F32) for (int d = lane; d < dim; d += 32) ((float *)(void *)to)[d] = k[d];
    if (a.type == KER_KV_F16) for (int d = lane; d < dim; d += 32) ((__half *)(void *)to)[d] = __float2half_rn(k[d]);
    for (int b = 0; b < nb && a.type == KER_KV_Q8_0; b++) {
        int d = b * Q8_BLOCK + lane;
        float x = d < dim ? k[d] : 0.0f, s;
        bool none = __any_sync(WARP_ALL, x != x);
        int8_t q = q8_block(x, &s);
        if (d < dim) ((int8_t *)to)[d] = q;
        if (!lane) ((float *)(void *)scales)[cell * nb + b] = none || !finite(s) ? NAN : s;
    }
    for (int b = 0; b < nb && a.type == KER_KV_Q4_0; b++) {
        int d = b * Q8_BLOCK + lane;
        float x = d < dim ? k[d] : 0.0f;
        bool none = __any_sync(WARP_ALL, x != x);
        __half s = q4_block(x, to + b * Q4_BYTES);
        if (!lane) ((__half *)(void *)scales)[cell * nb + b] = none || !finite(__half2float(s)) ? __float2half_rn(NAN) : s;
    }
}

/* A row's cell, by a warp: its latent normed, the rest turned. s: shared, [dim]. */
static __device__ __forceinline__ void row_cell(const mla_args &a, int row, float *s)
{
    int lane = (int)threadIdx.x % 32, cell = a.j.rows.cell[row], dim = a.j.dim, n = a.t.kv_rank;
    const float *k = a.j.k + (int64_t)row * dim;
    float sum = 0;
    for (int d = lane; d < dim; d += 32) {
        s[d] = k[d];
        if (d < n) sum = fmaf(k[d], k[d], sum);
    }
    float r = 1.0f / sqrtf(warp_sum(sum) / (float)n + a.j.rows.cfg[a.j.rows.slot[row]].eps);
    for (int d = lane; d < n; d += 32) s[d] = s[d] * r * a.j.k_norm[d];
    __syncwarp();
    rotate(a.j, s + n, a.j.rope + (int64_t)row * a.j.rope_dim);
    __syncwarp();
    latent_put(a, cells(a.j, a.j.rows.seq_at[row], cell / KER_PAGE, 0), cell % KER_PAGE, s);
}

/* ---- a head's Q ---- */

/* Outputs [o0, o1) of Q over latents of a head for rows [row0, row0 + n), n <= R; the first block of a head also keeps what is turned,
 * and for adapters what is not. Rows behind the last are the last again. */
template <int TYPE, int R> static __device__ __forceinline__ void head_in_latents(const mla_args &a, int head, int row0, int n, int o0, int o1, const head_first<TYPE> *first, float *room)
{
    int t = (int)threadIdx.x, warp = t / 32, nope = a.t.nope, one = nope + a.t.rope, step = head_step(one);
    int64_t heads = a.j.n_head, at = (int64_t)row0 * heads + head;
    for (int r = 0; r < R; r++) {
        int row = row0 + (r < n ? r : n - 1);
        const float *q = a.q + ((int64_t)row * heads + head) * one;
        float scale = a.j.rows.cfg[a.j.rows.slot[row]].attn_scale;
        for (int i = t; i < one; i += HEAD_THREADS) room[r * step + i] = q[i] * scale;
    }
    __syncthreads();
    if (!o0) {
        for (int r = warp; r < n; r += HEAD_WARPS) rotate(a.j, room + r * step + nope, a.j.rope + (int64_t)(row0 + r) * a.j.rope_dim);
        __syncthreads();
        for (int r = 0; r < n; r++) {
            for (int i = t; i < a.t.rope; i += HEAD_THREADS) a.turned[(at + r * heads) * a.t.rope + i] = room[r * step + nope + i];
            for (int i = t; a.nope && i < nope; i += HEAD_THREADS) a.nope[(at + r * heads) * nope + i] = room[r * step + i];
        }
    }
    head_product<TYPE, R>(a.w, head, room, step, (uint8_t *)(room + R * step), o0, o1, first, a.j.q + at * a.t.kv_rank, heads * a.t.kv_rank, n);
}

/* mla_few.cu: the second Q's product and all that mla_in does, in one launch. a: as for mla_in. */
void cu_mla_in_few(ker_ctx *c, int layer, const mla_args *a);

#endif
