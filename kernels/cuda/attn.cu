/* kernels/cuda/attn: head norms, rotation, append to the cells, attention. Here the plain form, for any width and type of
 * cell: append writes K and V of every row of the batch, then every (row, head) walks the cells 0..cell of its own
 * sequence (with a window: the last of them), page by page in cell order with an online softmax, as kernels/cpu/attn.c does. attn_mma.cu does the same with
 * tensor cores where it can. */
#include "kernels/cuda/attn.cuh"

/* Number d of K (which 0) or V (1) of a page's cell; p from cells(). */
template <int TYPE> static __device__ __forceinline__ float cell_at(const uint8_t *p, int which, int dim, int cell, int d)
{
    int64_t at = ((int64_t)which * KER_PAGE + cell) * dim + d;
    if constexpr (TYPE == KER_KV_F32) return ((const float *)(const void *)p)[at];
    else if constexpr (TYPE == KER_KV_F16) return __half2float(((const __half *)(const void *)p)[at]);
    else if constexpr (TYPE == KER_KV_Q4_0) {
        int nb = q8_blocks(dim), b = d / Q8_BLOCK, i = d % Q8_BLOCK, block = (which * KER_PAGE + cell) * nb + b;
        const __half *scale = (const __half *)(const void *)(p + 2 * (int64_t)KER_PAGE * nb * Q4_BYTES);
        int two = p[block * Q4_BYTES + i % Q4_BYTES], four = i < Q4_BYTES ? two & 15 : two >> 4;
        return __half2float(scale[block]) * (float)(four - 8);
    } else {
        const float *scale = (const float *)(const void *)(p + 2 * (int64_t)KER_PAGE * dim);
        return scale[(which * KER_PAGE + cell) * q8_blocks(dim) + d / Q8_BLOCK] * (float)((const int8_t *)p)[at];
    }
}

/* A warp a (row, KV head). */
template <int TYPE> static __global__ void __launch_bounds__(ATT_THREADS) att_append(att_job j)
{
    DYN_SHARED(float, room);
    int warp = threadIdx.x >> 5, i = blockIdx.x * ATT_WARPS + warp;
    if (i < j.n * j.n_kv) cell_append<TYPE>(j, i, room + warp * j.dim);
}

/* ---- any width, any type: a block a (row, head) ---- */
template <int TYPE> static __global__ void __launch_bounds__(ATT_THREADS, 4) att_simple(att_job j)
{
    DYN_SHARED(float, room);
    SHARED(float, s, KER_PAGE);
    int row = blockIdx.y, head = blockIdx.x, kv = head / (j.n_head / j.n_kv), t = threadIdx.x, warp = t >> 5, lane = t & 31;
    int cell = j.rows.cell[row];
    const cu_cfg *g = &j.rows.cfg[j.rows.slot[row]];
    const float *own = j.q + ((int64_t)row * j.n_head + head) * j.q_step;
    float *q = room, *acc = room + j.dim, *o = j.o + ((int64_t)row * j.n_head + head) * j.dim;
    if (g->head_off && g->head_off[(int64_t)j.layer * j.n_head + head]) {
        for (int d = t; d < j.dim; d += ATT_THREADS) o[d] = 0;
        return;
    }
    if (!warp) head_in(j, own, j.q_norm, g->eps, j.rope + (int64_t)row * j.rope_dim, g->attn_scale, q);
    for (int d = t; d < j.dim; d += ATT_THREADS) acc[d] = 0;
    float top = -INFINITY, sum = 0;
    int least = first_seen(j, cell);
    for (int page = least / KER_PAGE; page <= cell / KER_PAGE; page++) {
        const uint8_t *p = cells(j, j.rows.seq_at[row], page, kv);
        int from = max(least - page * KER_PAGE, 0), seen = min(cell + 1 - page * KER_PAGE, (int)KER_PAGE);
        __syncthreads();
        for (int c = from + warp; c < seen; c += ATT_WARPS) {
            float x = 0;
            for (int d = lane; d < j.dim; d += 32) x = fmaf(q[d], cell_at<TYPE>(p, 0, j.dim, c, d), x);
            x = warp_sum(x);
            if (!lane) s[c] = x;
        }
        __syncthreads();
        float most = top;
        for (int c = from; c < seen; c++) most = fmaxf(most, s[c]);
        __syncthreads();
        if (t >= from && t < seen) s[t] = expf(s[t] - most);
        __syncthreads();
        float shrink = expf(top - most);
        top = most;
        sum *= shrink;
        for (int c = from; c < seen; c++) sum += s[c];
        for (int d = t; d < j.dim; d += ATT_THREADS) {
            float a = acc[d] * shrink;
            for (int c = from; c < seen; c++) a = fmaf(s[c], cell_at<TYPE>(p, 1, j.dim, c, d), a);
            acc[d] = a;
        }
    }
    float inv = 1.0f / sum;
    if (j.sinks) {
        float sink = j.sinks[head], most = fmaxf(top, sink), shrink = expf(top - most);
        inv = shrink / (sum * shrink + expf(sink - most));
    }
    for (int d = t; d < j.dim; d += ATT_THREADS) o[d] = acc[d] * inv * (j.gate ? 1.0f / (1.0f + expf(-own[j.dim + d])) : 1.0f);
}

template <int TYPE> static void attend(ker_ctx *c, const att_job &j)
{
    size_t row = sizeof(float) * (size_t)j.dim;
    LAUNCH(att_append<TYPE>, dim3((unsigned)((j.n * j.n_kv + ATT_WARPS - 1) / ATT_WARPS)), dim3(ATT_THREADS), ATT_WARPS * row, c->st, j);
    LAUNCH(att_simple<TYPE>, dim3((unsigned)j.n_head, (unsigned)j.n), dim3(ATT_THREADS), 2 * row, c->st, j);
}

/* ---- Q with gates, for kernels that know of none ---- */

static __global__ void __launch_bounds__(256) gate_part(const float *q, int dim, int64_t n, float *plain)
{
    int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x;
    gpu_wait_before();
    gpu_let_next();
    if (i < n) plain[i] = q[i / dim * 2 * dim + i % dim];
}

static __global__ void __launch_bounds__(256) gate_output(const float *q, int dim, int64_t n, float *o)
{
    int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x;
    gpu_wait_before();
    gpu_let_next();
    if (i < n) o[i] *= 1.0f / (1.0f + expf(-q[(i / dim * 2 + 1) * dim + i % dim]));
}

/* Q's numbers to a place of their own, attention, the gates on what it gave. False: it is not for tensor cores, nothing done. */
static bool gated_mma(ker_ctx *c, att_job j)
{
    int64_t n = (int64_t)j.n * j.n_head * j.dim;
    if (!att_mma(c, NULL)) return false;
    LAUNCH_EARLY(c->dev->early, gate_part, dim3((unsigned)((n + 255) / 256)), dim3(256), 0, c->st, c->att.q, j.dim, n, c->att.plain);
    j.q = c->att.plain;
    att_mma(c, &j);
    LAUNCH_EARLY(c->dev->early, gate_output, dim3((unsigned)((n + 255) / 256)), dim3(256), 0, c->st, c->att.q, j.dim, n, j.o);
    return true;
}

void cu_attend(ker_ctx *c, int layer)
{
    const ker_model *m = &c->dev->m;
    const cu_layer *w = cu_layer_of(c->dev, layer);
    att_job j;
    j.layer = layer;
    j.n = c->shape.n;
    j.n_head = m->n_head;
    j.n_kv = m->n_kv_head;
    j.dim = m->head_dim;
    j.rope_dim = m->rope_dim;
    j.rope_half = m->rope_half;
    j.q = c->att.q;
    j.k = c->att.k;
    j.v = c->att.v;
    j.rope = m->layer[layer].rope_set ? c->att.norms.rope : c->att.rope;
    bool normed = cu_norm_whole(c, layer);
    j.q_norm = normed ? NULL : w->vec[KER_W_Q_NORM];
    j.k_norm = normed ? NULL : w->vec[KER_W_K_NORM];
    j.o = c->att.o;
    j.gate = m->layer[layer].q_gate;
    j.q_step = j.gate ? 2 * j.dim : j.dim;
    /* Kernels count all layers; cells are of those with attention alone. */
    j.data = (uint8_t *)((uintptr_t)c->kv->data - (uintptr_t)((layer - cu_cell_layer(m, layer)) * (int64_t)j.n_kv * c->kv->head_bytes));
    j.head_bytes = c->kv->head_bytes;
    j.page_bytes = c->kv->page_bytes;
    j.rows = c->rows;
    j.window = m->layer[layer].window;
    j.sinks = w->vec[KER_W_SINKS];
    if (j.gate ? gated_mma(c, j) : att_mma(c, &j)) return;
    if (c->kv->type == KER_KV_F16) attend<KER_KV_F16>(c, j);
    else if (c->kv->type == KER_KV_F32) attend<KER_KV_F32>(c, j);
    else if (c->kv->type == KER_KV_Q8_0) attend<KER_KV_Q8_0>(c, j);
    else attend<KER_KV_Q4_0>(c, j);
}
