/* kernels/cuda/attn.cuh: what the kernels of attention share: one head's numbers as attention wants them, and one cell as
 * its type keeps it. Everything here is done by whole warps.
 *
 * V in the cells is finite everywhere (kv_new sets the memory to zero): a cell whose V is not finite as its type keeps
 * it becomes V of zero and K of NaN, so that whoever sees the cell gets NaN, and who does not see it may multiply it
 * by zero. */
#ifndef QUORUM_CUDA_ATTN_CUH
#define QUORUM_CUDA_ATTN_CUH

#include "kernels/cuda/cuda.h"

#include <math.h>

static constexpr float HALF_MOST = 65504.0f;
static constexpr int ATT_WARPS = 4, ATT_THREADS = 32 * ATT_WARPS, Q8_BLOCK = 32, Q4_BYTES = Q8_BLOCK / 2;
#define WARP_ALL 0xffffffffu

/* What of the model and the batch the kernels need; by value. */
typedef struct att_job {
    int layer, n, n_head, n_kv, dim, rope_dim;
    bool rope_half;
    int q_step;                    /* floats from a head's q to the next (att_simple and attn_wide.cu alone) */
    bool gate;                     /* a head's gate lies behind its q: its output times the sigmoid (they alone) */
    float *q;                      /* prepared queries may take the place of their row's floats */
    const float *k, *v, *rope, *q_norm, *k_norm;
    float *o;
    uint8_t *data;                 /* of ker_kv */
    int64_t head_bytes, page_bytes;
    cu_rows rows;
    int window;                    /* a row sees so many cells at most; 0: all                */
    const float *sinks;            /* [n_head] a score beside a row's cells, or NULL          */
} att_job;

/* The first cell that a row with this cell sees. */
static __device__ __forceinline__ int first_seen(const att_job &j, int cell) { return j.window > 0 && j.window <= cell ? cell - j.window + 1 : 0; }

/* attn_mma.cu: with tensor cores; false: not for this width, group or type, nothing done. j NULL only asks. */
bool att_mma(ker_ctx *c, const att_job *j);
/* attn_wide.cu: the same for heads of 256, with gates; whether a device has the room for them, whatever the cells. */
bool att_wide_mma(ker_ctx *c, const att_job &j);
bool att_wide_fits(const ker_dev *d);

static __device__ __forceinline__ float warp_sum(float v)
{
    return gpu_fold(v, [](float a, float b) { return a + b; });
}

static __device__ __forceinline__ bool finite(float x) { return fabsf(x) <= 3.402823466e38f; }

/* Turns the pairs of s (shared, [dim]). */
static __device__ __forceinline__ void rotate(const att_job &j, float *s, const float *cs)
{
    int lane = threadIdx.x & 31, pairs = j.rope_dim / 2;
    int step = j.rope_half ? 1 : 2, other = j.rope_half ? pairs : 1;
#pragma unroll 1
    for (int i = lane; i < pairs; i += 32) {
        float x0 = s[i * step], x1 = s[i * step + other], c = cs[i], si = cs[pairs + i];
        s[i * step] = x0 * c - x1 * si;
        s[i * step + other] = x1 * c + x0 * si;
    }
}

/* One head's numbers as attention wants them: norm, rotation, scale. s: shared, [dim]. */
static __device__ __forceinline__ void head_in(const att_job &j, const float *x, const float *norm, float eps, const float *cs, float scale, float *s)
{
    int lane = threadIdx.x & 31;
    float sum = 0;
    for (int d = lane; d < j.dim; d += 32) {
        float a = x[d];
        s[d] = a;
        sum += a * a;
    }
    if (norm) {
        float r = 1.0f / sqrtf(warp_sum(sum) / (float)j.dim + eps);
        for (int d = lane; d < j.dim; d += 32) s[d] = s[d] * r * norm[d];
    }
    __syncwarp();
    rotate(j, s, cs);
    __syncwarp();
    if (scale != 1.0f)
        for (int d = lane; d < j.dim; d += 32) s[d] *= scale;
    __syncwarp();
}

/* The page of a row's own sequence, of one layer and KV head. */
static __device__ __forceinline__ uint8_t *cells(const att_job &j, int seq_at, int page, int head)
{
    int64_t at = j.rows.page[seq_at + page];
    return j.data + at * j.page_bytes + ((int64_t)j.layer * j.n_kv + head) * j.head_bytes;
}

static __device__ __forceinline__ int q8_blocks(int dim) { return (dim + Q8_BLOCK - 1) / Q8_BLOCK; }

static __device__ __forceinline__ int8_t q8_one(float x, float inv)
{
    float r = rintf(x * inv);
    return (int8_t)(r > 127.0f ? 127.0f : r < -127.0f ? -127.0f : r == r ? r : 0.0f);
}

/* A block of Q8_0: the lane's number (0 behind the end of a short block), and the scale. */
static __device__ __forceinline__ int8_t q8_block(float x, float *scale)
{
    float top = x == x ? fabsf(x) : 0.0f;
    top = gpu_fold(top, [](float a, float b) { return fmaxf(a, b); });
    *scale = top / 127.0f;
    return q8_one(x, *scale > 0 ? 1.0f / *scale : 0.0f);
}

/* A block of Q4_0 (kernels.h): the lane's number x (0 behind the end of a short block), as kernels/cpu/kv_q4.c has it. Writes its
 * bytes, and gives the scale; one that is not finite says that some number was infinite, or too large. */
static __device__ __forceinline__ __half q4_block(float x, uint8_t *bytes)
{
    int lane = threadIdx.x & 31;
    float size = x == x ? fabsf(x) : 0.0f, top = gpu_fold(size, [](float a, float b) { return fmaxf(a, b); });
    int first = __ffs((int)__ballot_sync(WARP_ALL, size == top)) - 1;
    float most = __shfl_sync(WARP_ALL, x == x ? x : 0.0f, first);
    __half kept = __float2half_rn(most / -8.0f);
    float scale = __half2float(kept), r = rintf(x * (scale != 0.0f ? 1.0f / scale : 0.0f));
    int four = 8 + (int)(r > 7.0f ? 7.0f : r < -8.0f ? -8.0f : r == r ? r : 0.0f), other = __shfl_xor_sync(WARP_ALL, four, Q4_BYTES);
    if (lane < Q4_BYTES) bytes[lane] = (uint8_t)(four | other << 4);
    return kept;
}

/* Where a cell's numbers are kept: in a page, or in shared memory; scales of Q8_0, or of Q4_0. */
typedef struct att_cell { void *k, *v; float *k_scale, *v_scale; __half *k_half, *v_half; } att_cell;

template <int TYPE> static __device__ __forceinline__ att_cell cell_in(uint8_t *page, int dim, int cell)
{
    int64_t row = TYPE == KER_KV_F32 ? dim * 4 : TYPE == KER_KV_F16 ? dim * 2 : TYPE == KER_KV_Q8_0 ? dim : q8_blocks(dim) * Q4_BYTES, to_v = KER_PAGE * row;
    att_cell c = { page + cell * row, page + to_v + cell * row, NULL, NULL, NULL, NULL };
    if constexpr (TYPE == KER_KV_Q8_0) {
        int nb = q8_blocks(dim);
        c.k_scale = (float *)(void *)(page + 2 * to_v) + cell * nb;
        c.v_scale = c.k_scale + KER_PAGE * nb;
    }
    if constexpr (TYPE == KER_KV_Q4_0) {
        int nb = q8_blocks(dim);
        c.k_half = (__half *)(void *)(page + 2 * to_v) + cell * nb;
        c.v_half = c.k_half + KER_PAGE * nb;
    }
    return c;
}

/* Writes k and v ([dim] each) as the type keeps them. HALVES: whoever reads the cell makes halves of it, so that V beyond them is
 * none either. */
template <int TYPE, bool HALVES> static __device__ __forceinline__ void cell_put(const att_cell &c, int dim, const float *k, const float *v)
{
    int lane = threadIdx.x & 31;
    bool ok = true;
    if constexpr (TYPE == KER_KV_Q8_0) {
        for (int b = 0; b < q8_blocks(dim); b++) { /* a scale that overflows says that some number was infinite */
            int d = b * Q8_BLOCK + lane;
            float s;
            int8_t x = q8_block(d < dim ? v[d] : 0.0f, &s);
            ok = ok && s <= (HALVES ? HALF_MOST / 127.0f : 3.402823466e38f);
            if (d < dim) ((int8_t *)c.v)[d] = x;
            if (!lane) c.v_scale[b] = s <= (HALVES ? HALF_MOST / 127.0f : 3.402823466e38f) ? s : 0.0f;
        }
        for (int b = 0; b < q8_blocks(dim); b++) {
            int d = b * Q8_BLOCK + lane;
            float s;
            int8_t x = q8_block(d < dim ? k[d] : 0.0f, &s);
            if (d < dim) ((int8_t *)c.k)[d] = x;
            if (!lane) c.k_scale[b] = ok ? s : NAN;
        }
    } else if constexpr (TYPE == KER_KV_Q4_0) {
        for (int b = 0; b < q8_blocks(dim); b++) {
            int d = b * Q8_BLOCK + lane;
            __half s = q4_block(d < dim ? v[d] : 0.0f, (uint8_t *)c.v + b * Q4_BYTES);
            bool good = finite(__half2float(s));
            ok = ok && good;
            if (!lane) c.v_half[b] = good ? s : __float2half_rn(0.0f);
        }
        for (int b = 0; b < q8_blocks(dim); b++) {
            int d = b * Q8_BLOCK + lane;
            __half s = q4_block(d < dim ? k[d] : 0.0f, (uint8_t *)c.k + b * Q4_BYTES);
            if (!lane) c.k_half[b] = ok ? s : __float2half_rn(NAN);
        }
    } else {
        for (int d = lane; d < dim; d += 32) ok = ok && finite(TYPE == KER_KV_F16 ? __half2float(__float2half_rn(v[d])) : v[d]);
        ok = __all_sync(WARP_ALL, ok);
        for (int d = lane; d < dim; d += 32) {
            float x = ok ? k[d] : NAN, y = ok ? v[d] : 0.0f;
            if constexpr (TYPE == KER_KV_F16) {
                ((__half *)c.k)[d] = __float2half_rn(x);
                ((__half *)c.v)[d] = __float2half_rn(y);
            } else {
                ((float *)c.k)[d] = x;
                ((float *)c.v)[d] = y;
            }
        }
    }
    __syncwarp();
}

/* Row and KV head i of the batch into its cell; s: shared, [dim], of the warp. */
template <int TYPE> static __device__ __forceinline__ void cell_append(const att_job &j, int i, float *s)
{
    int row = i / j.n_kv, cell = j.rows.cell[row];
    int64_t at = (int64_t)i * j.dim;
    head_in(j, j.k + at, j.k_norm, j.rows.cfg[j.rows.slot[row]].eps, j.rope + (int64_t)row * j.rope_dim, 1.0f, s);
    cell_put<TYPE, false>(cell_in<TYPE>(cells(j, j.rows.seq_at[row], cell / KER_PAGE, i % j.n_kv), j.dim, cell % KER_PAGE), j.dim, s, j.v + at);
}

#endif
