/* kernels/cuda/mat: products of matrices of every type with few or many rows: a warp an output, a lane every 32nd unit of
 * weights, read once for up to CU_FEW rows. What stands behind the faster ways (decode.cu, mma.cu). See cuda.h. */
#include "kernels/cuda/tiles.cuh"

enum { THREADS = 128, WARPS = THREADS / 32 };

const cu_planes *cu_planes_of(int type)
{
    static const cu_planes f32 = { 1, { 4 } }, f16 = { 1, { 2 } }, q4_0 = { 2, { 2, 16 } }, q4_1 = { 2, { 4, 16 } }, q5_0 = { 3, { 2, 4, 16 } },
                           q5_1 = { 3, { 4, 4, 16 } }, q8_0 = { 2, { 2, 32 } }, q4_k = { 2, { 16, 128 } }, q5_k = { 3, { 16, 32, 128 } },
                           q6_k = { 4, { 128, 64, 16, 2 } }, iq4_xs = { 2, { 8, 128 } }, q2_k = { 3, { 16, 64, 4 } }, q3_k = { 4, { 32, 64, 12, 2 } },
                           tq1_0 = { 3, { 48, 4, 2 } }, tq2_0 = { 2, { 64, 2 } }, iq1_s = { 3, { 2, 32, 16 } }, iq1_m = { 3, { 32, 16, 8 } },
                           iq2_xxs = { 2, { 2, 64 } }, iq2_xs = { 3, { 2, 64, 8 } }, iq2_s = { 3, { 2, 64, 16 } }, iq3_xxs = { 3, { 2, 64, 32 } },
                           iq3_s = { 3, { 2, 64, 44 } }, mxfp4 = { 2, { 1, 16 } }, nvfp4 = { 2, { 4, 32 } };
    switch (type) {
    case KER_F32: return &f32;
    case KER_F16: case KER_BF16: return &f16;
    case KER_Q4_0: case KER_IQ4_NL: return &q4_0;
    case KER_Q4_1: return &q4_1;
    case KER_Q5_0: return &q5_0;
    case KER_Q5_1: return &q5_1;
    case KER_Q8_0: return &q8_0;
    case KER_Q4_K: return &q4_k;
    case KER_Q5_K: return &q5_k;
    case KER_Q6_K: return &q6_k;
    case KER_IQ4_XS: return &iq4_xs;
    case KER_Q2_K: return &q2_k;
    case KER_Q3_K: return &q3_k;
    case KER_TQ1_0: return &tq1_0;
    case KER_TQ2_0: return &tq2_0;
    case KER_IQ1_S: return &iq1_s;
    case KER_IQ1_M: return &iq1_m;
    case KER_IQ2_XXS: return &iq2_xxs;
    case KER_IQ2_XS: return &iq2_xs;
    case KER_IQ2_S: return &iq2_s;
    case KER_IQ3_XXS: return &iq3_xxs;
    case KER_IQ3_S: return &iq3_s;
    case KER_MXFP4: return &mxfp4;
    case KER_NVFP4: return &nvfp4;
    }
    return NULL;
}

bool cu_takes(int type) { return cu_planes_of(type) != NULL; }

/* Rows [blockIdx.y * R, ...) of n_rows. */
template <int TYPE, int R> static __global__ void __launch_bounds__(THREADS) mul_blocks(cu_mat w, cu_act a, cu_sink to, cu_trace tr, int n_rows)
{
    const int PER = cu_form<TYPE>::BLOCK / 32;
    int lane = (int)threadIdx.x % 32, o = (int)blockIdx.x * WARPS + (int)threadIdx.x / 32, r0 = (int)blockIdx.y * R, units = w.n_in / 32;
    if (o >= w.n_out) return;
    float acc[R];
#pragma unroll
    for (int r = 0; r < R; r++) acc[r] = 0;
    for (int i = lane; i < units; i += 32) {
        cu_unit u;
        cu_form<TYPE>::unit(w, (int64_t)o * (units / PER) + i / PER, i % PER, u);
#pragma unroll
        for (int r = 0; r < R; r++) {
            if (r0 + r >= n_rows) continue;
            int64_t at = (int64_t)(r0 + r) * units + i;
            const int4 *q = (const int4 *)(const void *)(a.q + at * 32);
            acc[r] = cu_unit_dot<TYPE>(u, q[0], q[1], a.d[at], cu_form<TYPE>::MIN != 0 ? a.sum[at] : 0, acc[r]);
        }
    }
#pragma unroll
    for (int r = 0; r < R; r++) {
        float v = cu_warp_sum(acc[r]);
        if (lane == 0 && r0 + r < n_rows) cu_put(to, tr, r0 + r, o, v, r0 + r);
    }
}

template <int TYPE, int R> static __global__ void __launch_bounds__(THREADS) mul_floats(cu_mat w, const float *x, cu_sink to, cu_trace tr, int n_rows)
{
    int lane = (int)threadIdx.x % 32, o = (int)blockIdx.x * WARPS + (int)threadIdx.x / 32, r0 = (int)blockIdx.y * R;
    if (o >= w.n_out) return;
    float acc[R];
#pragma unroll
    for (int r = 0; r < R; r++) acc[r] = 0;
    for (int i = lane; i < w.n_in; i += 32) {
        float v = cu_float_at<TYPE>(w.p[0], (int64_t)o * w.n_in + i);
#pragma unroll
        for (int r = 0; r < R; r++)
            if (r0 + r < n_rows) acc[r] = fmaf(v, x[(int64_t)(r0 + r) * w.n_in + i], acc[r]);
    }
#pragma unroll
    for (int r = 0; r < R; r++) {
        float v = cu_warp_sum(acc[r]);
        if (lane == 0 && r0 + r < n_rows) cu_put(to, tr, r0 + r, o, v, r0 + r);
    }
}

template <int R> static void product(ker_ctx *c, const cu_prod &p, const float *x, const cu_acts *acts, int n_rows)
{
    const cu_mat &w = *p.w;
    cu_sink to = { p.bias, p.y, p.y_stride, p.add, p.layer, p.part };
    dim3 grid((unsigned)(w.n_out + WARPS - 1) / WARPS, (unsigned)(n_rows + R - 1) / R);
    switch (w.type) {
#define CASE(name) case KER_##name: LAUNCH((mul_blocks<KER_##name, R>), grid, THREADS, 0, c->st, w, acts->kind[w.act], to, c->tr, n_rows); break;
    CU_BLOCK_TYPES(CASE)
#undef CASE
#define CASE(name) case KER_##name: LAUNCH((mul_floats<KER_##name, R>), grid, THREADS, 0, c->st, w, x, to, c->tr, n_rows); break;
    CU_FLOAT_TYPES(CASE)
#undef CASE
    }
}

static bool by_library(ker_ctx *c, const cu_prod *p, const float *x, const cu_acts *acts, int n_rows)
{
    if (p->exact || !cu_blas_takes(c, p->w, n_rows)) return false;
    cu_tile_prod t = cu_tile_of(c, p, n_rows);
    if (p->w->act != KER_ACT_F32) t.a = acts->kind[p->w->act];
    t.x = x;
    return cu_blas_product(c, &t);
}

void cu_products(ker_ctx *c, const cu_prod *p, int n_prod, const float *x, const cu_acts *acts, int n_rows)
{
    for (int i = 0; i < n_prod; i++) {
        if (by_library(c, &p[i], x, acts, n_rows)) continue;
        if (cu_mma_can(c, p[i].w, n_rows)) cu_mma_product(c, &p[i], x, acts, n_rows);
        else if (cu_floats_can(p[i].w, n_rows)) cu_floats_product(c, &p[i], x, n_rows);
        else if (n_rows == 1) product<1>(c, p[i], x, acts, n_rows);
        else product<CU_FEW>(c, p[i], x, acts, n_rows);
    }
}
