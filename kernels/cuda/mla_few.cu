/* kernels/cuda/mla_few: few rows of latent attention whose Q comes in two steps: the second step and what mla_in does in one launch.
 * Blocks take pieces of work in the order in which they begin: first rows' cells, then outputs of the second Q, then those of K_B, which
 * wait until all of the second Q is there. Whoever has such a piece of it waits for nobody, so that it comes to its end; and what is
 * read of K_B is on its way meanwhile. See mla.cuh, decode.cu. */
#include "kernels/cuda/few_route.cuh"
#include "kernels/cuda/low.cuh"
#include "kernels/cuda/mla.cuh"

typedef struct few_args {
    mla_args a;                    /* as mla_in has them                                      */
    cu_mat q;                      /* Q_B                                                     */
    const float *x, *norm;         /* [row][q_rank] the first Q, and its norm                 */
    float *to;                     /* a.q                                                     */
    int rounds;                    /* outputs of Q_B a warp                                   */
    int before, all;               /* pieces of cells and Q_B; all of them, a block each      */
    int *queue;                    /* { pieces given out, pieces of Q_B there, blocks at their end }, zero between launches */
} few_args;

/* Units of an output from t0 on; for those behind the last the last is read again, and not multiplied. */
template <int TYPE> static __device__ __forceinline__ void ahead(const cu_mat &w, int o, int t0, typename few_form<TYPE>::raw r[MUL_AHEAD])
{
    int units = w.n_in / 32;
#pragma unroll
    for (int i = 0; i < MUL_AHEAD; i++) {
        int t = t0 + i * 32 + (int)threadIdx.x % 32;
        few_form<TYPE>::load(w, (int64_t)o * (units / few_form<TYPE>::PER), t < units ? t : units - 1, r[i]);
    }
}

/* A piece of the second Q: rounds * HEAD_WARPS outputs of a row. */
template <int TYPE> static __device__ __forceinline__ void second_piece(const few_args &f, int row, int block, uint8_t *room, float *part)
{
    typedef few_form<TYPE> form;
    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32, units = f.q.n_in / 32, o = block * f.rounds * HEAD_WARPS + warp, end = min((block + 1) * f.rounds * HEAD_WARPS, f.q.n_out);
    typename form::raw r[MUL_AHEAD] = {};
    if (o < end) ahead<TYPE>(f.q, o, 0, r);
    cu_act act = few_row(room, f.q.n_in);
    few_prepare<1 << form::KIND, HEAD_WARPS>(f.x + (int64_t)row * f.q.n_in, f.norm, f.a.j.rows.cfg[f.a.j.rows.slot[row]].eps, f.q.n_in, act, act, NULL, part);
    __syncthreads();
    for (; o < end; o += HEAD_WARPS) {
        float acc = 0;
        for (int t0 = 0; t0 < units; t0 += MUL_AHEAD * 32) {
            typename form::raw next[MUL_AHEAD] = {};
            bool last = t0 + MUL_AHEAD * 32 >= units;
            int o1 = last ? o + HEAD_WARPS : o;
            if (o1 < end) ahead<TYPE>(f.q, o1, last ? 0 : t0 + MUL_AHEAD * 32, next);
#pragma unroll
            for (int i = 0; i < MUL_AHEAD; i++) {
                int t = t0 + i * 32 + lane;
                if (t < units) acc = form::dot(r[i], t, act, acc);
                r[i] = next[i];
            }
        }
        acc = cu_warp_sum(acc);
        if (lane == 0) f.to[(int64_t)row * f.q.n_out + o] = acc;
    }
}

/* By all threads of a block: until all of the second Q is there. */
static __device__ __forceinline__ void second_wait(const few_args &f)
{
    if (threadIdx.x == 0) {
        while (atomicAdd(f.queue + 1, 0) < f.before - f.a.j.n) gpu_pause();
        __threadfence();
    }
    __syncthreads();
}

template <int TYPE> static __device__ __forceinline__ void latents_piece(const few_args &f, int i, float *room)
{
    int row = i % f.a.j.n, head = i / f.a.j.n % f.a.j.n_head, o0 = i / f.a.j.n / f.a.j.n_head * f.a.outs, o1 = min(o0 + f.a.outs, f.a.w.n_out);
    head_first<TYPE> first = {};
    head_ask<TYPE>(f.a.w, head, o0, o1, first);
    second_wait(f);
    head_in_latents<TYPE, 1>(f.a, head, row, 1, o0, o1, &first, room);
}

template <bool ANY> static __device__ __forceinline__ void piece(const few_args &f, float *part, int *turn)
{
    DYN_SHARED(float, room);
    gpu_wait_before();
    gpu_let_next();
    if (threadIdx.x == 0) turn[0] = atomicAdd(f.queue, 1);
    __syncthreads();
    int i = turn[0], n = f.a.j.n;
    if (i < n) {
        if (threadIdx.x < 32) row_cell(f.a, i, room);
    } else if (i < f.before) {
#define CASE(name) case KER_##name: second_piece<KER_##name>(f, (i - n) % n, (i - n) / n, (uint8_t *)room, part); break;
        if constexpr (ANY) switch (f.q.type) { CU_BLOCK_TYPES(CASE) }
        else switch (f.q.type) { CU_OFTEN_TYPES(CASE) }
#undef CASE
        __syncthreads();
        if (threadIdx.x == 0) {
            __threadfence();
            atomicAdd(f.queue + 1, 1);
        }
    } else {
#define CASE(name) case KER_##name: latents_piece<KER_##name>(f, i - f.before, room); break;
        if constexpr (ANY) switch (f.a.w.type) { CU_BLOCK_TYPES(CASE) CU_FLOAT_TYPES(CASE) }
        else switch (f.a.w.type) { CU_OFTEN_TYPES(CASE) CU_FLOAT_TYPES(CASE) }
#undef CASE
    }
    /* Whoever comes to its end last has seen all others past the queue, but nothing orders a plain store behind their counting. */
    if (threadIdx.x || atomicAdd(f.queue + 2, 1) + 1 < f.all) return;
    for (int k = 0; k < 3; k++) atomicExch(f.queue + k, 0);
}

static __global__ void __launch_bounds__(HEAD_THREADS, MUL_LEAST) mla_few(few_args f)
{
    SHARED(float, part, HEAD_WARPS);
    SHARED(int, turn, 1);
    piece<false>(f, part, turn);
}

static __global__ void __launch_bounds__(HEAD_THREADS, MUL_LEAST) mla_few_any(few_args f)
{
    SHARED(float, part, HEAD_WARPS);
    SHARED(int, turn, 1);
    piece<true>(f, part, turn);
}

static bool is_often(int type)
{
    switch (type) {
#define CASE(name) case KER_##name: return false;
    CU_OTHER_TYPES(CASE)
#undef CASE
    }
    return true;
}

/* Adapters on the second Q have to be added before K_B reads it: then it is a launch of its own. */
bool cu_mla_joins(const ker_ctx *c, int layer)
{
    const cu_mat *q = &cu_layer_of(c->dev, layer)->w[KER_W_Q_B];
    return q->n_out && q->act != KER_ACT_F32 && c->shape.n <= CU_FEW && few_bytes(q->n_in) <= FEW_SHARED - 1024 && !cu_low_acts(c, layer, KER_W_Q_B);
}

static int cut(int n, int per) { return (n + per - 1) / per; }

void cu_mla_in_few(ker_ctx *c, int layer, const mla_args *a)
{
    const cu_layer *l = cu_layer_of(c->dev, layer);
    few_args f = {};
    f.a = *a;
    f.q = l->w[KER_W_Q_B];
    f.x = c->att.mla.low;
    f.norm = l->vec[KER_W_Q_A_NORM];
    f.to = c->att.mla.q;
    f.queue = c->att.mla.queue;
    f.rounds = cut(cut(f.q.n_out, HEAD_WARPS), c->dev->sms * MUL_LEAST);
    f.before = a->j.n * (1 + cut(f.q.n_out, f.rounds * HEAD_WARPS));
    f.all = f.before + a->j.n * a->j.n_head * cut(a->w.n_out, a->outs);
    size_t bytes = few_bytes(f.q.n_in), head = head_room(1, a->t.nope + a->t.rope, a->t.nope), cell = (size_t)a->j.dim * 4;
    if (head > bytes) bytes = head;
    if (cell > bytes) bytes = cell;
    if (is_often(f.q.type) && is_often(a->w.type)) LAUNCH_EARLY(c->dev->early, mla_few, dim3((unsigned)f.all), dim3(HEAD_THREADS), bytes, c->st, f);
    else LAUNCH_EARLY(c->dev->early, mla_few_any, dim3((unsigned)f.all), dim3(HEAD_THREADS), bytes, c->st, f);
}
