/* kernels/cuda/few_route: the router of few rows with the choice, one launch; decode.cu's, which has what stands around it. */
#ifndef QUORUM_CUDA_FEW_ROUTE_CUH
#define QUORUM_CUDA_FEW_ROUTE_CUH

#include "kernels/cuda/choose.cuh"
#include "kernels/cuda/few.cuh"

enum {
    MUL_THREADS = 256, MUL_WARPS = MUL_THREADS / WARP, MUL_PRODS = 3, MUL_AHEAD = 2,
    DOWN_THREADS = 512, DOWN_WARPS = DOWN_THREADS / WARP, DOWN_ROUNDS = 8, DOWN_AHEAD = 3,
    MUL_RESIDENT = 3, MUL_LEAST = 2,                 /* blocks of MUL_THREADS that an SM holds at once           */
    FEW_SLOTS = 64, FEW_SHARED = 48 << 10            /* slots of a row; shared memory without asking for more    */
};

/* One row of several; q stays NULL where nobody wants the kind. */
static __device__ __forceinline__ cu_act act_row(cu_act a, int row, int n)
{
    if (!a.q) return a;
    a.q += (int64_t)row * n;
    a.d += (int64_t)row * (n / 32);
    a.sum += (int64_t)row * (n / 32);
    return a;
}

/* ---- the router: a block an expert's score, one for the shared expert's, one for the normed row; the last to come chooses ---- */

typedef struct route_args {
    cu_mat w, sh;                  /* of floats; sh.n_out 0: none                             */
    const float *x, *norm;
    float *y;
    cu_act in[3];                  /* by ker_act; q NULL: not wanted                          */
    int n;                         /* n_embd                                                  */
    int *count;                    /* [rows] zero between launches                            */
    const float *bias;             /* [n_expert] of the router, or NULL                       */
    choose_args choose;
} route_args;

static __device__ __forceinline__ void float4_at(int type, const uint8_t *p, int64_t i, float v[4])   /* i % 4 == 0 */
{
    if (type == KER_F32) {
        float4 a = __ldg((const float4 *)(const void *)(p + i * 4));
        v[0] = a.x; v[1] = a.y; v[2] = a.z; v[3] = a.w;
        return;
    }
    uint2 a = cu_load8(p + i * 2);
    unsigned u[4] = { a.x & 0xffffu, a.x >> 16, a.y & 0xffffu, a.y >> 16 };
#pragma unroll
    for (int k = 0; k < 4; k++) v[k] = type == KER_BF16 ? __int_as_float((int)(u[k] << 16)) : cu_half_bits(u[k]);
}

static __device__ __forceinline__ void route_add(const float *x, int i, const float v[4], const float g[4], float &dot, float &square)
{
    float4 e = *(const float4 *)(const void *)(x + i);
    dot = fmaf(v[0], e.x * g[0], fmaf(v[1], e.y * g[1], fmaf(v[2], e.z * g[2], fmaf(v[3], e.w * g[3], dot))));
    square = fmaf(e.x, e.x, fmaf(e.y, e.y, fmaf(e.z, e.z, fmaf(e.w, e.w, square))));
}

/* w[o] . norm(x): the norm's scale is taken out of the sum, so that both sums go together. What is constant of the first
 * numbers comes before the launch before has ended. */
static __device__ __forceinline__ float route_dot(const route_args &a, const cu_mat &w, int o, const float *x, int row, float *part)
{
    const int A = MUL_AHEAD, STEP = MUL_THREADS * 4;
    const uint8_t *norm = (const uint8_t *)a.norm;
    float dot = 0, square = 0, v[A][4] = {}, g[A][4] = {};
    int first = (int)threadIdx.x * 4;
#pragma unroll
    for (int p = 0; p < A; p++) {
        int i = first + p * STEP;
        if (i >= a.n) continue;
        float4_at(w.type, w.p[0], (int64_t)o * a.n + i, v[p]);
        float4_at(KER_F32, norm, i, g[p]);
    }
    gpu_wait_before();
    gpu_let_next();
    float eps = a.choose.cfg[a.choose.slot[row]].eps;
#pragma unroll
    for (int p = 0; p < A; p++) {
        int i = first + p * STEP;
        if (i < a.n) route_add(x, i, v[p], g[p], dot, square);
    }
    for (int i = first + A * STEP; i < a.n; i += STEP) {
        float4_at(w.type, w.p[0], (int64_t)o * a.n + i, v[0]);
        float4_at(KER_F32, norm, i, g[0]);
        route_add(x, i, v[0], g[0], dot, square);
    }
    dot = cu_warp_sum(dot);
    square = few_block_sum<MUL_WARPS>(square, part);
    if (threadIdx.x % WARP == 0) part[MUL_WARPS + threadIdx.x / WARP] = dot;
    __syncthreads();
    dot = 0;
#pragma unroll
    for (int i = 0; i < MUL_WARPS; i++) dot += part[MUL_WARPS + i];
    return dot * (1.0f / sqrtf(square / (float)a.n + eps));
}

template <int PER, bool GROUPS> static __device__ __forceinline__ void route_block(const route_args &a, float *part, int *last)
{
    int o = (int)blockIdx.x, row = (int)blockIdx.y, n_expert = a.choose.n_expert;
    const float *x = a.x + (int64_t)row * a.n;
    if (o + 1 == (int)gridDim.x) {
        gpu_wait_before();
        gpu_let_next();
        float eps = a.choose.cfg[a.choose.slot[row]].eps;
        few_prepare<1 << KER_ACT_Q8_32 | 1 << KER_ACT_Q8_256, MUL_WARPS>(x, a.norm, eps, a.n, act_row(a.in[KER_ACT_Q8_32], row, a.n),
                                                                         act_row(a.in[KER_ACT_Q8_256], row, a.n), a.y + (int64_t)row * a.n, part);
    } else {
        bool shared = o >= n_expert;
        float v = route_dot(a, shared ? a.sh : a.w, shared ? 0 : o, x, row, part);
        if (threadIdx.x == 0 && a.bias && !shared) v += a.bias[o];
        if (threadIdx.x == 0) *(shared ? a.choose.sh_coef + row : a.choose.score + (int64_t)row * n_expert + o) = v;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        last[0] = atomicAdd(a.count + row, 1) + 1 == (int)gridDim.x;
        __threadfence();
    }
    __syncthreads();
    if (!last[0] || threadIdx.x >= WARP) return;
    if (threadIdx.x == 0) a.count[row] = 0;
    choose_row<PER, GROUPS>(a.choose, row, (int)threadIdx.x);
}

template <int PER> static __global__ void __launch_bounds__(MUL_THREADS, MUL_RESIDENT) few_route(route_args a)
{
    SHARED(float, part, 2 * MUL_WARPS);
    SHARED(int, last, 1);
    route_block<PER, false>(a, part, last);
}

/* The same of experts in groups, which asks for more registers. */
template <int PER> static __global__ void __launch_bounds__(MUL_THREADS, MUL_RESIDENT) few_route_groups(route_args a)
{
    SHARED(float, part, 2 * MUL_WARPS);
    SHARED(int, last, 1);
    route_block<PER, true>(a, part, last);
}

#endif
