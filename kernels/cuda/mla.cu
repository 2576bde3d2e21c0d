/* kernels/cuda/mla: latent attention (KER_MIX_MLA; ker_latent in kernels.h, kernels/cpu/mla.c). A cell is read by all heads, so that
 * a block of attention takes 16 of them as one side of the tensor cores and brings each cell once. Launches of a layer, behind
 * the products that are the same as everywhere:
 *  - mla_in: a head's Q is scaled and turned, K_B takes the rest of it to the latent's space; a block a row writes the row's cell;
 *    of few rows it also makes Q where that comes in two steps (mla_few.cu);
 *  - mla_tiles, or mla_simple for widths and cells that it does not take: scores, and sums of latents, over segments of the cells;
 *  - mla_out: joins the segments, V_B takes a head's sum back.
 * Of a prompt HEAD_ROWS rows share what a block of mla_in_rows and mla_out_rows reads of K_B and V_B.
 * Adapters on K_B and V_B add to them in launches of their own. Scores of mla_tiles are in units of log2(e). See cuda.h. */
#include "kernels/cuda/low.cuh"
#include "kernels/cuda/mla.cuh"

#include <stdlib.h>
#include <string.h>

enum { TILE_HEADS = 16, TILE_CELLS = 32, SEGS_MOST = 64, P_PITCH = TILE_CELLS + 8, S_PITCH = TILE_CELLS + 1,
       ROOM_MOST = 40 << 10 /* bytes of shared memory of a block of heads */ };
static constexpr float LOG2E = 1.44269504f;

/* ---- before attention ---- */

/* Blocks (outputs, head, row, or HEAD_ROWS of them); head n_head writes the cells. */
template <int TYPE, int R> static __device__ __forceinline__ void in_block(const mla_args &a, float *room)
{
    int head = (int)blockIdx.y, row0 = (int)blockIdx.z * R, n = min(R, a.j.n - row0), warp = (int)threadIdx.x / 32, o0 = (int)blockIdx.x * a.outs;
    gpu_wait_before();
    gpu_let_next();
    if (head == a.j.n_head) {
        if (!blockIdx.x && warp < n) row_cell(a, row0 + warp, room + warp * a.j.dim);
        return;
    }
    head_in_latents<TYPE, R>(a, head, row0, n, o0, min(o0 + a.outs, a.w.n_out), NULL, room);
}

template <int TYPE> static __global__ void __launch_bounds__(HEAD_THREADS) mla_in(mla_args a)
{
    DYN_SHARED(float, room);
    in_block<TYPE, 1>(a, room);
}

template <int TYPE> static __global__ void __launch_bounds__(HEAD_THREADS, 2) mla_in_rows(mla_args a)
{
    DYN_SHARED(float, room);
    in_block<TYPE, HEAD_ROWS>(a, room);
}

/* ---- cells ---- */

template <int TYPE> static __device__ __forceinline__ float latent_at(const uint8_t *page, int dim, int cell, int d)
{
    if constexpr (TYPE == KER_KV_F32) return ((const float *)(const void *)page)[cell * dim + d];
    else if constexpr (TYPE == KER_KV_F16) return __half2float(((const __half *)(const void *)page)[cell * dim + d]);
    else {
        int nb = q8_blocks(dim), block = cell * nb + d / Q8_BLOCK, i = d % Q8_BLOCK;
        const uint8_t *scales = page + KER_PAGE * cell_bytes(TYPE, dim);
        if constexpr (TYPE == KER_KV_Q8_0) return ((const float *)(const void *)scales)[block] * (float)((const int8_t *)page)[cell * dim + d];
        int two = page[block * Q4_BYTES + i % Q4_BYTES];
        return __half2float(((const __half *)(const void *)scales)[block]) * (float)((i < Q4_BYTES ? two & 15 : two >> 4) - 8);
    }
}

/* ---- attention, any width and type: a block a (head, row) ---- */
template <int TYPE> static __global__ void BOUNDS(ATT_THREADS, 8) mla_simple(mla_args a)
{
    DYN_SHARED(float, room);
    SHARED(float, s, KER_PAGE);
    const att_job &j = a.j;
    int row = (int)blockIdx.y, head = (int)blockIdx.x, t = (int)threadIdx.x, warp = t / 32, lane = t % 32, cell = j.rows.cell[row], n = a.t.kv_rank;
    int64_t at = (int64_t)row * j.n_head + head;
    const cu_cfg *g = &j.rows.cfg[j.rows.slot[row]];
    float *q = room, *acc = room + j.dim, *o = j.o + at * n, top = -INFINITY, sum = 0;
    gpu_wait_before();
    gpu_let_next();
    if (g->head_off && g->head_off[(int64_t)j.layer * j.n_head + head]) {
        for (int d = t; d < n; d += ATT_THREADS) o[d] = 0;
        return;
    }
    for (int d = t; d < j.dim; d += ATT_THREADS) q[d] = d < n ? j.q[at * n + d] : a.turned[at * a.t.rope + d - n];
    for (int d = t; d < n; d += ATT_THREADS) acc[d] = 0;
    for (int page = 0; page <= cell / KER_PAGE; page++) {
        const uint8_t *p = cells(j, j.rows.seq_at[row], page, 0);
        int seen = min(cell + 1 - page * KER_PAGE, (int)KER_PAGE);
        __syncthreads();
        for (int c = warp; c < seen; c += ATT_WARPS) {
            float x = 0;
            for (int d = lane; d < j.dim; d += 32) x = fmaf(q[d], latent_at<TYPE>(p, j.dim, c, d), x);
            x = warp_sum(x);
            if (!lane) s[c] = x;
        }
        __syncthreads();
        float most = top;
        for (int c = 0; c < seen; c++) most = fmaxf(most, s[c]);
        __syncthreads();
        if (t < seen) s[t] = expf(s[t] - most);
        __syncthreads();
        float shrink = expf(top - most);
        top = most;
        sum *= shrink;
        for (int c = 0; c < seen; c++) sum += s[c];
        for (int d = t; d < n; d += ATT_THREADS) {
            float v = acc[d] * shrink;
            for (int c = 0; c < seen; c++) v = fmaf(s[c], latent_at<TYPE>(p, j.dim, c, d), v);
            acc[d] = v;
        }
    }
    for (int d = t; d < n; d += ATT_THREADS) o[d] = acc[d] * (1.0f / sum);
}

/* ---- attention with tensor cores ---- */

/* x as a sum of two halves: as exact as F32 for products. What no half holds makes the row's numbers none. */
static __device__ __forceinline__ void two_halves(float x, __half *high, __half *low)
{
    __half h = __float2half_rn(x);
    *high = h;
    *low = __float2half_rn(x - __half2float(h));
}

/* What no half holds is none: it may have weight. */
static __device__ __forceinline__ __half half_of(float x) { return __float2half_rn(fabsf(x) > HALF_MOST ? NAN : x); }

/* Eight numbers of a cell from d on (d % 8 == 0) as halves. */
template <int TYPE> static __device__ __forceinline__ uint4 latent_halves(const uint8_t *page, int dim, int cell, int d)
{
    int nb = q8_blocks(dim), block = cell * nb + d / Q8_BLOCK, i = d % Q8_BLOCK;
    const uint8_t *scales = page + KER_PAGE * cell_bytes(TYPE, dim);
    float scale = TYPE == KER_KV_Q8_0 ? ((const float *)(const void *)scales)[block] : __half2float(((const __half *)(const void *)scales)[block]);
    uint2 b = *(const uint2 *)(const void *)(TYPE == KER_KV_Q8_0 ? page + cell * dim + d : page + block * Q4_BYTES + i % Q4_BYTES);
    const uint32_t w[2] = { b.x, b.y };
    uint32_t h[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
        uint32_t u = w[k / 2] >> (k & 1) * 16;
        int x = TYPE == KER_KV_Q8_0 ? (int8_t)(u & 255) : (int)(u >> (i < Q4_BYTES ? 0 : 4) & 15) - 8;
        int y = TYPE == KER_KV_Q8_0 ? (int8_t)(u >> 8 & 255) : (int)(u >> (i < Q4_BYTES ? 8 : 12) & 15) - 8;
        __half2 two = __halves2half2(half_of((float)x * scale), half_of((float)y * scale));
        memcpy(&h[k], &two, 4);
    }
    return make_uint4(h[0], h[1], h[2], h[3]);
}

/* TILE_CELLS cells from `cell0` on into shared memory; those behind `last` are zero. */
template <int TYPE> static __device__ __forceinline__ void tile_bring(const mla_args &a, int seq, int cell0, int last, __half *to, int pitch)
{
    const uint8_t *page = cells(a.j, seq, cell0 / KER_PAGE, 0);
    int dim = a.j.dim, chunks = dim / 8;
    for (int i = (int)threadIdx.x; i < TILE_CELLS * chunks; i += ATT_THREADS) {
        int c = i / chunks, d = i % chunks * 8, cell = cell0 % KER_PAGE + c;
        uint4 *at = (uint4 *)(void *)(to + c * pitch + d);
        if (cell0 + c > last) *at = make_uint4(0, 0, 0, 0);
        else if constexpr (TYPE == KER_KV_F16) cp_async16(at, (const __half *)(const void *)page + (int64_t)cell * dim + d);
        else *at = latent_halves<TYPE>(page, dim, cell, d);
    }
    cp_commit();
}

/* What a block keeps in shared memory, behind one another. */
typedef struct tile_room { __half *k, *q, *q_low, *p, *p_low; float *s, *top, *sum, *shrink; int pitch; } tile_room;
static __host__ __device__ inline size_t tile_bytes(int dim)
{
    return (size_t)(dim + 8) * (TILE_CELLS + 2 * TILE_HEADS) * 2 + 2 * TILE_HEADS * P_PITCH * 2 + TILE_HEADS * (S_PITCH + 3) * 4;
}
static __device__ __forceinline__ tile_room tile_cut(uint8_t *at, int dim)
{
    tile_room r;
    r.pitch = dim + 8;
    r.k = (__half *)(void *)at;
    r.q = r.k + TILE_CELLS * r.pitch;
    r.q_low = r.q + TILE_HEADS * r.pitch;
    r.p = r.q_low + TILE_HEADS * r.pitch;
    r.p_low = r.p + TILE_HEADS * P_PITCH;
    r.s = (float *)(void *)(r.p_low + TILE_HEADS * P_PITCH);
    r.top = r.s + TILE_HEADS * S_PITCH;
    r.sum = r.top + TILE_HEADS;
    r.shrink = r.sum + TILE_HEADS;
    return r;
}

/* A warp's eight cells against all heads. */
static __device__ __forceinline__ void tile_scores(const tile_room &r, int dim)
{
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    float d[4] = { 0, 0, 0, 0 };
    for (int k = 0; k < dim; k += 16) {
        uint32_t high[4], low[4], b[2];
        ldmatrix_x4(high, r.q + lane % 16 * r.pitch + k + lane / 16 * 8);
        ldmatrix_x4(low, r.q_low + lane % 16 * r.pitch + k + lane / 16 * 8);
        ldmatrix_x2(b, r.k + (warp * 8 + lane % 8) * r.pitch + k + lane / 8 % 2 * 8);
        mma_16816(d, high, b);
        mma_16816(d, low, b);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) r.s[(lane / 4 + i / 2 * 8) * S_PITCH + warp * 8 + lane % 4 * 2 + i % 2] = d[i];
}

/* Scores to weights, a warp four heads, a lane a cell. */
static __device__ __forceinline__ void tile_weights(const tile_room &r, int n_seen)
{
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
#pragma unroll
    for (int i = 0; i < TILE_HEADS / ATT_WARPS; i++) {
        int h = warp * (TILE_HEADS / ATT_WARPS) + i;
        float s = lane < n_seen ? r.s[h * S_PITCH + lane] : -INFINITY, old = r.top[h];
        float top = fmaxf(gpu_fold(s, [](float x, float y) { return fmaxf(x, y); }), old), base = top == -INFINITY ? 0.0f : top;
        float p = lane < n_seen ? ex2(s - base) : 0.0f, shrink = ex2(old - base), all = warp_sum(p);
        two_halves(p, &r.p[h * P_PITCH + lane], &r.p_low[h * P_PITCH + lane]);
        __syncwarp();
        if (lane) continue;
        r.top[h] = top;
        r.sum[h] = r.sum[h] * shrink + all;
        r.shrink[h] = shrink;
    }
}

/* acc += weights x cells, of the warp's NT * 8 numbers of the latent. */
template <int NT> static __device__ __forceinline__ void tile_sums(const tile_room &r, float (&acc)[NT][4])
{
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    float shrink[2] = { r.shrink[lane / 4], r.shrink[lane / 4 + 8] };
    uint32_t high[2][4], low[2][4];
#pragma unroll
    for (int k = 0; k < 2; k++) {
        ldmatrix_x4(high[k], r.p + lane % 16 * P_PITCH + k * 16 + lane / 16 * 8);
        ldmatrix_x4(low[k], r.p_low + lane % 16 * P_PITCH + k * 16 + lane / 16 * 8);
    }
#pragma unroll
    for (int n = 0; n < NT; n++) {
        uint32_t b[4];
        ldmatrix_x4_trans(b, r.k + lane * r.pitch + (warp * NT + n) * 8);
#pragma unroll
        for (int i = 0; i < 4; i++) acc[n][i] *= shrink[i / 2];
#pragma unroll
        for (int k = 0; k < 2; k++) {
            mma_16816(acc[n], high[k], b + 2 * k);
            mma_16816(acc[n], low[k], b + 2 * k);
        }
    }
}

/* Blocks (group of heads and segment, row). NT * 32 is the latent's width. */
template <int TYPE, int NT> static __global__ void __launch_bounds__(ATT_THREADS, 2) mla_tiles(mla_args a)
{
    DYN_SHARED(uint8_t, room);
    const att_job &j = a.j;
    const int RANK = NT * 32;
    tile_room r = tile_cut(room, j.dim);
    int row = (int)blockIdx.y, head0 = (int)blockIdx.x / a.segs * TILE_HEADS, seg = (int)blockIdx.x % a.segs, t = (int)threadIdx.x, lane = t % 32;
    gpu_wait_before();
    gpu_let_next();
    int last = j.rows.cell[row], seq = j.rows.seq_at[row], tiles = last / TILE_CELLS + 1, each = (tiles + a.segs - 1) / a.segs;
    int first = seg * each, end = min(first + each, tiles);
    const uint8_t *off = j.rows.cfg[j.rows.slot[row]].head_off;
    for (int i = t; i < TILE_HEADS * j.dim; i += ATT_THREADS) {
        int h = i / j.dim, d = i % j.dim;
        int64_t at = (int64_t)row * j.n_head + head0 + h;
        float x = head0 + h >= j.n_head || first >= end ? 0.0f : d < RANK ? j.q[at * RANK + d] : a.turned[at * a.t.rope + d - RANK];
        two_halves(x * LOG2E, &r.q[h * r.pitch + d], &r.q_low[h * r.pitch + d]);
    }
    if (t < TILE_HEADS) {
        r.top[t] = -INFINITY;
        r.sum[t] = 0;
    }
    float acc[NT][4];
#pragma unroll
    for (int n = 0; n < NT; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) acc[n][i] = 0;
    for (int tile = first; tile < end; tile++) {
        __syncthreads();
        tile_bring<TYPE>(a, seq, tile * TILE_CELLS, last, r.k, r.pitch);
        cp_wait<0>();
        __syncthreads();
        tile_scores(r, j.dim);
        __syncthreads();
        tile_weights(r, last + 1 - tile * TILE_CELLS);
        __syncthreads();
        tile_sums<NT>(r, acc);
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
        int h = lane / 4 + i / 2 * 8, head = head0 + h;
        if (head >= j.n_head) continue;
        int64_t at = (int64_t)row * j.n_head + head;
        bool none = off && off[(int64_t)j.layer * j.n_head + head];
        float *to = a.segs > 1 ? a.part + (at * a.segs + seg) * (RANK + 2) : j.o + at * RANK, scale = a.segs > 1 ? 1.0f : 1.0f / r.sum[h];
#pragma unroll
        for (int n = 0; n < NT; n++) {
            int d = (t / 32 * NT + n) * 8 + lane % 4 * 2;
            to[d] = none ? 0.0f : acc[n][i] * scale;
            to[d + 1] = none ? 0.0f : acc[n][i + 1] * scale;
        }
        if (a.segs > 1 && t / 32 == 0 && lane % 4 == 0) {
            to[RANK] = none ? 0.0f : r.top[h];
            to[RANK + 1] = none ? 1.0f : r.sum[h];
        }
    }
}

/* ---- behind attention ---- */

/* What attention left of a head for a row, its segments joined; to: shared, [kv_rank]. */
static __device__ __forceinline__ void joined(const mla_args &a, int64_t at, float *to)
{
    int n = a.t.kv_rank;
    if (a.segs == 1) {
        for (int d = (int)threadIdx.x; d < n; d += HEAD_THREADS) to[d] = a.j.o[at * n + d];
        return;
    }
    const float *part = a.part + at * a.segs * (n + 2);
    float top = -INFINITY, sum = 0;
    for (int s = 0; s < a.segs; s++) top = fmaxf(top, part[(int64_t)s * (n + 2) + n]);
    if (top == -INFINITY) top = 0;
    for (int s = 0; s < a.segs; s++) sum = fmaf(ex2(part[(int64_t)s * (n + 2) + n] - top), part[(int64_t)s * (n + 2) + n + 1], sum);
    for (int d = (int)threadIdx.x; d < n; d += HEAD_THREADS) {
        float v = 0;
        for (int s = 0; s < a.segs; s++) {
            const float *p = part + (int64_t)s * (n + 2);
            v = fmaf(ex2(p[n] - top), p[d], v);
        }
        to[d] = v / sum;
        if (a.joined && !blockIdx.x) a.j.o[at * n + d] = to[d];
    }
}

/* Blocks (outputs, head, row, or HEAD_ROWS of them); rows behind the last are the last again. */
template <int TYPE, int R> static __device__ __forceinline__ void out_block(const mla_args &a, float *room)
{
    int head = (int)blockIdx.y, row0 = (int)blockIdx.z * R, n = min(R, a.j.n - row0), step = head_step(a.t.kv_rank), o0 = (int)blockIdx.x * a.outs;
    int64_t heads = a.j.n_head, at = row0 * heads + head;
    gpu_wait_before();
    gpu_let_next();
    for (int r = 0; r < R; r++) joined(a, at + (r < n ? r : n - 1) * heads, room + r * step);
    __syncthreads();
    head_product<TYPE, R>(a.w, head, room, step, (uint8_t *)(room + R * step), o0, min(o0 + a.outs, a.w.n_out), NULL, a.v + at * a.t.v, heads * a.t.v, n);
}

template <int TYPE> static __global__ void __launch_bounds__(HEAD_THREADS) mla_out(mla_args a)
{
    DYN_SHARED(float, room);
    out_block<TYPE, 1>(a, room);
}

template <int TYPE> static __global__ void __launch_bounds__(HEAD_THREADS, 2) mla_out_rows(mla_args a)
{
    DYN_SHARED(float, room);
    out_block<TYPE, HEAD_ROWS>(a, room);
}

/* The first Q's norm, in place: a block a row. */
static __global__ void __launch_bounds__(HEAD_THREADS) mla_norm(float *x, const float *w, cu_rows rows, int n)
{
    SHARED(float, part, HEAD_WARPS);
    float *to = x + (int64_t)blockIdx.x * n, s = 0;
    for (int i = (int)threadIdx.x; i < n; i += HEAD_THREADS) s = fmaf(to[i], to[i], s);
    float scale = 1.0f / sqrtf(few_block_sum<HEAD_WARPS>(s, part) / (float)n + rows.cfg[rows.slot[blockIdx.x]].eps);
    for (int i = (int)threadIdx.x; i < n; i += HEAD_THREADS) to[i] = to[i] * scale * w[i];
}

/* ---- launches ---- */

/* Widths and cells that mla_tiles takes. */
static bool tiles_take(const ker_dev *d, int type)
{
    int n = d->m.latent.kv_rank;
    return type != KER_KV_F32 && d->m.head_dim % 16 == 0 && (n == 32 || n == 64 || n == 128 || n == 256 || n == 512) && tile_bytes(d->m.head_dim) <= d->smem_most;
}

/* Two blocks a multiprocessor, however long the rows are: a shape's launches do not change while a text grows. */
static int segs_of(const ker_dev *d, int n, int type)
{
    int segs = 1, groups = (d->m.n_head + TILE_HEADS - 1) / TILE_HEADS;
    if (!tiles_take(d, type)) return 1;
    while (segs < SEGS_MOST && (int64_t)segs * 2 * groups * n <= 2 * d->sms) segs *= 2;
    return segs;
}

template <int TYPE, int NT> static void tiles_launch(ker_ctx *c, const mla_args &a)
{
    size_t bytes = tile_bytes(a.j.dim);
    if (bytes > 48 << 10) cudaFuncSetAttribute(mla_tiles<TYPE, NT>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    dim3 grid((unsigned)((a.j.n_head + TILE_HEADS - 1) / TILE_HEADS * a.segs), (unsigned)a.j.n);
    LAUNCH_EARLY(c->dev->early, (mla_tiles<TYPE, NT>), grid, dim3(ATT_THREADS), bytes, c->st, a);
}

template <int TYPE> static void attend(ker_ctx *c, const mla_args &a)
{
    if (!tiles_take(c->dev, TYPE)) {
        LAUNCH_EARLY(c->dev->early, mla_simple<TYPE>, dim3((unsigned)a.j.n_head, (unsigned)a.j.n), dim3(ATT_THREADS), (size_t)(a.j.dim + a.t.kv_rank) * 4, c->st, a);
        return;
    }
    if constexpr (TYPE != KER_KV_F32) switch (a.t.kv_rank) {
    case 32: tiles_launch<TYPE, 1>(c, a); break;
    case 64: tiles_launch<TYPE, 2>(c, a); break;
    case 128: tiles_launch<TYPE, 4>(c, a); break;
    case 256: tiles_launch<TYPE, 8>(c, a); break;
    case 512: tiles_launch<TYPE, 16>(c, a); break;
    }
}

/* Outputs of a block: few enough for all multiprocessors to have blocks, and no fewer than a warp's share. */
static int outs_of(const ker_ctx *c, const cu_mat *w, int rows)
{
    int outs = w->n_out, least = 32, n = (c->shape.n + rows - 1) / rows;
    while (outs > least && (int64_t)((w->n_out + outs - 1) / outs) * w->n_mat * n < 2 * c->dev->sms) outs = (outs + 1) / 2;
    return outs;
}

/* Rows of a block: of a prompt several, where they fit. */
static int rows_of(const ker_ctx *c, int floats, int n_in)
{
    return c->shape.n > CU_FEW && head_room(HEAD_ROWS, floats, n_in) <= ROOM_MOST ? HEAD_ROWS : 1;
}

static dim3 heads_grid(const ker_ctx *c, const mla_args *a, int heads, int rows)
{
    return dim3((unsigned)((a->w.n_out + a->outs - 1) / a->outs), (unsigned)heads, (unsigned)((c->shape.n + rows - 1) / rows));
}

/* K_B on each head's Q, and cells. */
static void launch_in(ker_ctx *c, mla_args *a)
{
    int one = a->t.nope + a->t.rope, dim = a->j.dim, rows = rows_of(c, one > dim ? one : dim, a->t.nope);
    size_t bytes = head_room(rows, one, a->t.nope), cells = (size_t)rows * (size_t)dim * 4;
    if (cells > bytes) bytes = cells;
    a->outs = outs_of(c, &a->w, rows);
    dim3 grid = heads_grid(c, a, a->j.n_head + 1, rows);
#define HEADS_CASE(name) case KER_##name: \
        if (rows > 1) LAUNCH(mla_in_rows<KER_##name>, grid, dim3(HEAD_THREADS), bytes, c->st, *a); \
        else LAUNCH_EARLY(c->dev->early, mla_in<KER_##name>, grid, dim3(HEAD_THREADS), bytes, c->st, *a); \
        break;
    switch (a->w.type) { CU_BLOCK_TYPES(HEADS_CASE) CU_FLOAT_TYPES(HEADS_CASE) }
#undef HEADS_CASE
}

/* V_B on each head's sum of latents. */
static void launch_out(ker_ctx *c, mla_args *a)
{
    int n = a->t.kv_rank, rows = rows_of(c, n, n);
    size_t bytes = head_room(rows, n, n);
    a->outs = outs_of(c, &a->w, rows);
    dim3 grid = heads_grid(c, a, a->j.n_head, rows);
#define HEADS_CASE(name) case KER_##name: \
        if (rows > 1) LAUNCH(mla_out_rows<KER_##name>, grid, dim3(HEAD_THREADS), bytes, c->st, *a); \
        else LAUNCH_EARLY(c->dev->early, mla_out<KER_##name>, grid, dim3(HEAD_THREADS), bytes, c->st, *a); \
        break;
    switch (a->w.type) { CU_BLOCK_TYPES(HEADS_CASE) CU_FLOAT_TYPES(HEADS_CASE) }
#undef HEADS_CASE
}

static cu_low_job heads_job(const ker_ctx *c, int layer, enum ker_role role, const float *x, float *y)
{
    cu_low_job j = cu_low_rows(c, layer, role, x, y, c->shape.n * c->dev->m.n_head);
    j.of.per = c->dev->m.n_head;
    j.of.ids = c->att.mla.heads;                       /* the same list for every row: max_k 0 */
    return j;
}

void cu_mla_heads(ker_ctx *c, int layer, bool second)
{
    const ker_model *m = &c->dev->m;
    const cu_layer *l = cu_layer_of(c->dev, layer);
    mla_args a;
    memset(&a, 0, sizeof a);
    a.j.layer = layer;
    a.j.n = c->shape.n;
    a.j.n_head = m->n_head;
    a.j.n_kv = 1;
    a.j.dim = m->head_dim;
    a.j.rope_dim = m->rope_dim;
    a.j.rope_half = m->rope_half;
    a.j.q = c->att.q;
    a.j.k = c->att.k;
    a.j.rope = c->att.rope;
    a.j.k_norm = l->vec[KER_W_KV_A_NORM];
    a.j.o = c->att.o;
    a.j.data = c->kv->data;
    a.j.head_bytes = c->kv->head_bytes;
    a.j.page_bytes = c->kv->page_bytes;
    a.j.rows = c->rows;
    a.t = m->latent;
    a.type = c->kv->type;
    a.segs = segs_of(c->dev, c->shape.n, a.type);
    a.q = c->att.mla.q;
    a.turned = c->att.mla.turned;
    a.part = c->att.mla.part;
    a.v = c->att.mla.o;
    cu_low_job in = heads_job(c, layer, KER_W_K_B, c->att.mla.nope, c->att.q), out = heads_job(c, layer, KER_W_V_B, c->att.o, c->att.mla.o);
    a.nope = cu_low_acts(c, layer, KER_W_K_B) ? c->att.mla.nope : NULL;
    a.joined = cu_low_acts(c, layer, KER_W_V_B);
    a.w = l->w[KER_W_K_B];
    a.outs = outs_of(c, &a.w, 1);
    if (second) cu_mla_in_few(c, layer, &a);
    else launch_in(c, &a);
    cu_low_both(c, &in, 1);
    if (a.type == KER_KV_F16) attend<KER_KV_F16>(c, a);
    else if (a.type == KER_KV_F32) attend<KER_KV_F32>(c, a);
    else if (a.type == KER_KV_Q8_0) attend<KER_KV_Q8_0>(c, a);
    else attend<KER_KV_Q4_0>(c, a);
    a.w = l->w[KER_W_V_B];
    launch_out(c, &a);
    cu_low_both(c, &out, 1);
}

/* ---- any number of rows ---- */

int cu_mla_check(const ker_model *m, char *err)
{
    const char *what = N_("a window, sinks or a gate beside its latents");
    for (int i = 0; i < m->n_layer; i++) {
        const ker_layer *l = &m->layer[i];
        if (l->mixer != KER_MIX_MLA || (!l->window && !l->sinks && !l->q_gate)) continue;
        return q_fail(err, Q_FORMAT, _("layer %d has %s, which the GPU does not compute yet: use --device cpu"), i, _(what));
    }
    const ker_latent *t = &m->latent;      /* a row's numbers lie in shared memory */
    if (t->kv_rank > 0 && (head_room(1, t->kv_rank, t->kv_rank) > ROOM_MOST || head_room(1, t->nope + t->rope, t->nope) > ROOM_MOST
                           || (size_t)(m->head_dim + t->kv_rank) * 4 > ROOM_MOST))
        return q_fail(err, Q_RANGE, _("latents of %d numbers and heads of %d are not computed on the GPU yet: use --device cpu"), t->kv_rank, t->nope + t->rope);
    return Q_OK;
}

static cu_prod product(const cu_mat *w, float *y)
{
    cu_prod p;
    memset(&p, 0, sizeof p);
    p.w = w;
    p.y = y;
    p.y_stride = w->n_out;
    p.part = KER_PART_NONE;
    return p;
}

static unsigned kind_of(const cu_mat *w) { return w->n_out ? 1u << w->act : 0; }

void cu_mla_attn(ker_ctx *c, int layer)
{
    const cu_layer *l = cu_layer_of(c->dev, layer);
    const ker_latent *t = &c->dev->m.latent;
    enum ker_role first = t->q_rank ? KER_W_Q_A : KER_W_Q;
    const cu_mat *q = &l->w[first], *k = &l->w[KER_W_KV_A], *second = &l->w[KER_W_Q_B], *o = &l->w[KER_W_O];
    float *to = t->q_rank ? c->att.mla.low : c->att.mla.q;
    int n = c->shape.n;
    cu_norm(c, l->vec[KER_W_ATTN_NORM], NULL, n, c->y);
    cu_quantise(c, c->y, n, c->dev->m.n_embd, kind_of(q) | kind_of(k), &c->in);
    cu_prod in[2] = { product(q, to), product(k, c->att.k) };
    cu_products(c, in, 2, c->y, &c->in, n);
    cu_low_job low[2] = { cu_low_rows(c, layer, first, c->y, to, n), cu_low_rows(c, layer, KER_W_KV_A, c->y, c->att.k, n) };
    cu_low_both(c, low, 2);
    if (t->q_rank) {
        LAUNCH(mla_norm, (unsigned)n, HEAD_THREADS, 0, c->st, c->att.mla.low, l->vec[KER_W_Q_A_NORM], c->rows, t->q_rank);
        cu_quantise(c, c->att.mla.low, n, t->q_rank, kind_of(second), &c->att.mla.low_act);
        in[0] = product(second, c->att.mla.q);
        cu_products(c, in, 1, c->att.mla.low, &c->att.mla.low_act, n);
        low[0] = cu_low_rows(c, layer, KER_W_Q_B, c->att.mla.low, c->att.mla.q, n);
        cu_low_both(c, low, 1);
    }
    cu_mla_heads(c, layer, false);
    cu_quantise(c, c->att.mla.o, n, o->n_in, kind_of(o), &c->att.mla.o_act);
    in[0] = product(o, cu_stream(c, layer));
    in[0].bias = l->vec[KER_W_BO];
    in[0].add = true;
    in[0].layer = layer;
    in[0].part = KER_PART_ATTN;
    cu_products(c, in, 1, c->att.mla.o, &c->att.mla.o_act, n);
    low[0] = cu_low_out_job(c, layer);
    cu_low_both(c, low, 1);
    cu_finish(c, layer, KER_PART_ATTN, 0, n);
}

/* ---- buffers ---- */

bool cu_mla_make(ker_ctx *c)
{
    const ker_model *m = &c->dev->m;
    const ker_latent *t = &m->latent;
    int64_t n = c->max_rows, heads = n * m->n_head, most = 0;
    unsigned low = 0, out = 0;
    if (!t->kv_rank) return true;
    for (int i = 0; i < m->n_layer; i++) {
        low |= kind_of(&cu_layer_of(c->dev, i)->w[KER_W_Q_B]);
        out |= kind_of(&cu_layer_of(c->dev, i)->w[KER_W_O]);
    }
    for (int r = 1; r <= n; r++) {
        int64_t segs = segs_of(c->dev, r, KER_KV_F16), need = segs > 1 ? segs * r * m->n_head * (t->kv_rank + 2) : 0;
        if (need > most) most = need;
        if (segs == 1) break;
    }
    uint16_t *ids = (uint16_t *)q_alloc((size_t)m->n_head * 2);
    for (int h = 0; h < m->n_head; h++) ids[h] = (uint16_t)h;
#define FLOATS(count) (float *)cu_ctx_alloc(c, (int64_t)(count) * 4)
    c->att.mla.low = FLOATS(n * t->q_rank);
    c->att.mla.q = FLOATS(heads * (t->nope + t->rope));
    c->att.mla.nope = FLOATS(heads * t->nope);
    c->att.mla.turned = FLOATS(heads * t->rope);
    c->att.mla.o = FLOATS(heads * t->v);
    c->att.mla.part = FLOATS(most);
#undef FLOATS
    c->att.mla.heads = (uint16_t *)cu_ctx_alloc(c, (int64_t)m->n_head * 2);
    c->att.mla.queue = (int *)cu_ctx_alloc(c, 3 * 4);
    bool ok = c->att.mla.queue && c->att.mla.heads && cu_ok(c->dev, cudaMemcpyAsync(c->att.mla.heads, ids, (size_t)m->n_head * 2, cudaMemcpyHostToDevice, c->st), "buffers")
        && cu_ok(c->dev, cudaStreamSynchronize(c->st), "buffers");
    free(ids);
    return ok && c->att.mla.low && c->att.mla.q && c->att.mla.nope && c->att.mla.turned && c->att.mla.o && c->att.mla.part
        && cu_acts_make(c, &c->att.mla.low_act, low, n, t->q_rank) && cu_acts_make(c, &c->att.mla.o_act, out, n, (int64_t)m->n_head * t->v);
}
