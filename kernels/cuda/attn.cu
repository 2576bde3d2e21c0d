/* kernels/cuda/attn: head norms, rotation, append to the cells, attention. Two launches a layer: append writes K and V
 * of every row of the batch, then every (row, head) walks the cells 0..cell of its own sequence, page by page in cell
 * order with an online softmax, as kernels/cpu/attn.c does.
 *
 * V in the cells is finite everywhere (kv_new sets the memory to zero): a cell whose V is not finite as its type keeps
 * it becomes V of zero and K of NaN, so that whoever sees the cell gets NaN, and who does not see it may multiply it
 * by zero. */
#include "kernels/cuda/cuda.h"

#include <math.h>

enum { ATT_WARPS = 4, ATT_THREADS = 32 * ATT_WARPS, ATT_ALL = -1, Q8_BLOCK = 32 };

/* What of the model and the batch the kernels need; by value. */
typedef struct att_job {
    int layer, n_layer, n_head, n_kv, dim, rope_dim;
    bool rope_half;
    const float *q, *k, *v, *rope, *q_norm, *k_norm;
    float *o;
    uint8_t *data;                 /* of ker_kv */
    int64_t head_bytes, page_bytes;
    cu_rows rows;
} att_job;

static __device__ __forceinline__ float warp_sum(float v)
{
#pragma unroll
    for (int o = 16; o; o >>= 1) v += __shfl_xor_sync((unsigned)ATT_ALL, v, o);
    return v;
}

static __device__ __forceinline__ bool finite(float x) { return fabsf(x) <= 3.402823466e38f; }

/* One head's numbers as attention wants them, by one warp: norm, rotation, scale. s: shared, [dim]. */
static __device__ void head_in(const att_job &j, const float *x, const float *norm, float eps, const float *cs, float scale, float *s)
{
    int lane = threadIdx.x & 31, pairs = j.rope_dim / 2;
    float sum = 0;
    for (int d = lane; d < j.dim; d += 32) sum += x[d] * x[d];
    float r = norm ? 1.0f / sqrtf(warp_sum(sum) / (float)j.dim + eps) : 1.0f;
    for (int d = lane; d < j.dim; d += 32) s[d] = norm ? x[d] * r * norm[d] : x[d];
    __syncwarp();
    int step = j.rope_half ? 1 : 2, other = j.rope_half ? pairs : 1;
    for (int i = lane; i < pairs; i += 32) {
        float x0 = s[i * step], x1 = s[i * step + other];
        s[i * step] = x0 * cs[i] - x1 * cs[pairs + i];
        s[i * step + other] = x1 * cs[i] + x0 * cs[pairs + i];
    }
    __syncwarp();
    for (int d = lane; d < j.dim; d += 32) s[d] *= scale;
    __syncwarp();
}

static __device__ __forceinline__ uint8_t *cells(const att_job &j, int row, int page, int head)
{
    int64_t at = j.rows.page[j.rows.seq_at[row] + page];
    return j.data + at * j.page_bytes + ((int64_t)j.layer * j.n_kv + head) * j.head_bytes;
}

static __device__ __forceinline__ int q8_blocks(int dim) { return (dim + Q8_BLOCK - 1) / Q8_BLOCK; }

/* Number d of K (which 0) or V (1) of a page's cell; p from cells(). */
template <int TYPE> static __device__ __forceinline__ float cell_at(const uint8_t *p, int which, int dim, int cell, int d)
{
    int64_t at = ((int64_t)which * KER_PAGE + cell) * dim + d;
    if constexpr (TYPE == KER_KV_F32) return ((const float *)(const void *)p)[at];
    else if constexpr (TYPE == KER_KV_F16) return __half2float(((const __half *)(const void *)p)[at]);
    else {
        const float *scale = (const float *)(const void *)(p + 2 * (int64_t)KER_PAGE * dim);
        return scale[(which * KER_PAGE + cell) * q8_blocks(dim) + d / Q8_BLOCK] * (float)((const int8_t *)p)[at];
    }
}

static __device__ __forceinline__ int8_t q8_one(float x, float inv)
{
    float r = rintf(x * inv);
    return (int8_t)(r > 127.0f ? 127.0f : r < -127.0f ? -127.0f : r == r ? r : 0.0f);
}

/* A block of Q8_0 by one warp: lane's number (0 behind the end of a short one), and the scale. */
static __device__ __forceinline__ int8_t q8_block(float x, float *scale)
{
    float top = x == x ? fabsf(x) : 0.0f;
#pragma unroll
    for (int o = 16; o; o >>= 1) top = fmaxf(top, __shfl_xor_sync((unsigned)ATT_ALL, top, o));
    *scale = top / 127.0f;
    return q8_one(x, *scale > 0 ? 1.0f / *scale : 0.0f);
}

/* Writes one cell of a page by one warp; k and v: [dim], v may not be finite. */
template <int TYPE> static __device__ void cell_put(uint8_t *p, int dim, int cell, const float *k, const float *v)
{
    int lane = threadIdx.x & 31;
    int64_t at = (int64_t)cell * dim, to_v = (int64_t)KER_PAGE * dim;
    bool ok = true;
    if constexpr (TYPE == KER_KV_Q8_0) {
        int nb = q8_blocks(dim);
        float *ks = (float *)(void *)(p + 2 * to_v) + (int64_t)cell * nb, *vs = ks + (int64_t)KER_PAGE * nb;
        for (int b = 0; b < nb; b++) {             /* a scale that overflows says that some number was infinite */
            int d = b * Q8_BLOCK + lane;
            float s;
            int8_t x = q8_block(d < dim ? v[d] : 0.0f, &s);
            ok = ok && finite(s);
            if (d < dim) ((int8_t *)p)[to_v + at + d] = x;
            if (!lane) vs[b] = finite(s) ? s : 0.0f;
        }
        for (int b = 0; b < nb; b++) {
            int d = b * Q8_BLOCK + lane;
            float s;
            int8_t x = q8_block(d < dim ? k[d] : 0.0f, &s);
            if (d < dim) ((int8_t *)p)[at + d] = x;
            if (!lane) ks[b] = ok ? s : NAN;
        }
    } else {
        for (int d = lane; d < dim; d += 32) ok = ok && finite(TYPE == KER_KV_F16 ? __half2float(__float2half_rn(v[d])) : v[d]);
        ok = __all_sync((unsigned)ATT_ALL, ok);
        for (int d = lane; d < dim; d += 32) {
            float x = ok ? k[d] : NAN, y = ok ? v[d] : 0.0f;
            if constexpr (TYPE == KER_KV_F16) {
                ((__half *)(void *)p)[at + d] = __float2half_rn(x);
                ((__half *)(void *)p)[to_v + at + d] = __float2half_rn(y);
            } else {
                ((float *)(void *)p)[at + d] = x;
                ((float *)(void *)p)[to_v + at + d] = y;
            }
        }
    }
}

/* A warp a (row, KV head). */
template <int TYPE> static __global__ void __launch_bounds__(ATT_THREADS) att_append(att_job j, int n)
{
    DYN_SHARED(float, room);
    int warp = threadIdx.x >> 5, i = blockIdx.x * ATT_WARPS + warp;
    if (i >= n * j.n_kv) return;
    int row = i / j.n_kv, head = i % j.n_kv, cell = j.rows.cell[row];
    float *s = room + warp * j.dim;
    int64_t at = (int64_t)i * j.dim;
    head_in(j, j.k + at, j.k_norm, j.rows.cfg[j.rows.slot[row]].eps, j.rope + (int64_t)row * j.rope_dim, 1.0f, s);
    cell_put<TYPE>(cells(j, row, cell / KER_PAGE, head), j.dim, cell % KER_PAGE, s, j.v + at);
}

/* ---- any width, any type: a block a (row, head) ---- */
template <int TYPE> static __global__ void __launch_bounds__(ATT_THREADS) att_simple(att_job j)
{
    DYN_SHARED(float, room);
    SHARED(float, s, KER_PAGE);
    int row = blockIdx.y, head = blockIdx.x, kv = head / (j.n_head / j.n_kv), t = threadIdx.x, warp = t >> 5, lane = t & 31;
    int cell = j.rows.cell[row];
    const cu_cfg *g = &j.rows.cfg[j.rows.slot[row]];
    float *q = room, *acc = room + j.dim, *o = j.o + ((int64_t)row * j.n_head + head) * j.dim;
    if (g->head_off && g->head_off[(int64_t)j.layer * j.n_head + head]) {
        for (int d = t; d < j.dim; d += ATT_THREADS) o[d] = 0;
        return;
    }
    if (!warp) head_in(j, j.q + ((int64_t)row * j.n_head + head) * j.dim, j.q_norm, g->eps, j.rope + (int64_t)row * j.rope_dim, g->attn_scale, q);
    for (int d = t; d < j.dim; d += ATT_THREADS) acc[d] = 0;
    float top = -INFINITY, sum = 0;
    for (int page = 0; page <= cell / KER_PAGE; page++) {
        const uint8_t *p = cells(j, row, page, kv);
        int seen = min(cell + 1 - page * KER_PAGE, (int)KER_PAGE);
        __syncthreads();
        for (int c = warp; c < seen; c += ATT_WARPS) {
            float x = 0;
            for (int d = lane; d < j.dim; d += 32) x = fmaf(q[d], cell_at<TYPE>(p, 0, j.dim, c, d), x);
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
        for (int d = t; d < j.dim; d += ATT_THREADS) {
            float a = acc[d] * shrink;
            for (int c = 0; c < seen; c++) a = fmaf(s[c], cell_at<TYPE>(p, 1, j.dim, c, d), a);
            acc[d] = a;
        }
    }
    for (int d = t; d < j.dim; d += ATT_THREADS) o[d] = acc[d] * (1.0f / sum);
}

template <int TYPE> static void attend(ker_ctx *c, const att_job &j)
{
    int n = c->shape.n;
    LAUNCH(att_append<TYPE>, dim3((unsigned)((n * j.n_kv + ATT_WARPS - 1) / ATT_WARPS)), dim3(ATT_THREADS), ATT_WARPS * sizeof(float) * (size_t)j.dim, c->st, j, n);
    LAUNCH(att_simple<TYPE>, dim3((unsigned)j.n_head, (unsigned)n), dim3(ATT_THREADS), 2 * sizeof(float) * (size_t)j.dim, c->st, j);
}

int cu_attend_segs(const ker_ctx *, int, int) { return 1; }
int64_t cu_attend_floats(const ker_ctx *) { return 1; }

void cu_attend(ker_ctx *c, int layer)
{
    const ker_model *m = &c->dev->m;
    const cu_layer *w = cu_layer_of(c->dev, layer);
    att_job j;
    j.layer = layer;
    j.n_layer = m->n_layer;
    j.n_head = m->n_head;
    j.n_kv = m->n_kv_head;
    j.dim = m->head_dim;
    j.rope_dim = m->rope_dim;
    j.rope_half = m->rope_half;
    j.q = c->att.q;
    j.k = c->att.k;
    j.v = c->att.v;
    j.rope = c->att.rope;
    j.q_norm = w->vec[KER_W_Q_NORM];
    j.k_norm = w->vec[KER_W_K_NORM];
    j.o = c->att.o;
    j.data = c->kv->data;
    j.head_bytes = c->kv->head_bytes;
    j.page_bytes = c->kv->page_bytes;
    j.rows = c->rows;
    if (c->kv->type == KER_KV_F16) attend<KER_KV_F16>(c, j);
    else if (c->kv->type == KER_KV_F32) attend<KER_KV_F32>(c, j);
    else attend<KER_KV_Q8_0>(c, j);
}
