/* kernels/cuda/floats: products of matrices of floats with many rows, in full precision: the router's above all, so a block
 * is small enough that 128 outputs fill a device. What stands behind it: mul_floats (mat.cu). See cuda.h. */
#include "kernels/cuda/tiles.cuh"

enum { ROWS = 32, OUTS = 16, DEPTH = 64, PITCH = DEPTH + 4, THREADS = 128, WARPS = THREADS / 32, PART = OUTS + 1 };

/* 32 rows x 16 outputs a block; each warp takes a quarter of every 64 of n_in for all of them, a lane 4 x 4. */
template <int TYPE> static __global__ void __launch_bounds__(THREADS) floats_many(cu_tile_prod p)
{
    SHARED(float, xs, ROWS * PITCH);
    SHARED(float, ws, OUTS * PITCH);
    SHARED(float, part, WARPS * ROWS * PART);
    int i = (int)threadIdx.x, warp = i / 32, lane = i % 32, lr = lane % 8, lo = lane / 8;
    int r0 = (int)blockIdx.y * ROWS, o0 = (int)blockIdx.x * OUTS, n = p.t.n_rows, n_in = p.w.n_in;
    float acc[4][4];
#pragma unroll
    for (int r = 0; r < 4; r++)
#pragma unroll
        for (int o = 0; o < 4; o++) acc[r][o] = 0;
    for (int k0 = 0; k0 < n_in; k0 += DEPTH) {
        __syncthreads();
#pragma unroll
        for (int j = 0; j < ROWS * DEPTH / THREADS; j++) {
            int r = (i + j * THREADS) / DEPTH, k = (i + j * THREADS) % DEPTH;
            xs[r * PITCH + k] = r0 + r < n && k0 + k < n_in ? p.x[(int64_t)(r0 + r) * n_in + k0 + k] : 0.0f;
        }
#pragma unroll
        for (int j = 0; j < OUTS * DEPTH / THREADS; j++) {
            int o = (i + j * THREADS) / DEPTH, k = (i + j * THREADS) % DEPTH;
            ws[o * PITCH + k] = o0 + o < p.w.n_out && k0 + k < n_in ? cu_float_at<TYPE>(p.w.p[0], (int64_t)(o0 + o) * n_in + k0 + k) : 0.0f;
        }
        __syncthreads();
#pragma unroll
        for (int q = 0; q < DEPTH / WARPS / 4; q++) {
            int k = warp * (DEPTH / WARPS) + q * 4;
            float4 x[4], w[4];
#pragma unroll
            for (int r = 0; r < 4; r++) x[r] = *(const float4 *)(const void *)&xs[(lr + 8 * r) * PITCH + k];
#pragma unroll
            for (int o = 0; o < 4; o++) w[o] = *(const float4 *)(const void *)&ws[(lo + 4 * o) * PITCH + k];
#pragma unroll
            for (int r = 0; r < 4; r++)
#pragma unroll
                for (int o = 0; o < 4; o++)
                    acc[r][o] = fmaf(x[r].w, w[o].w, fmaf(x[r].z, w[o].z, fmaf(x[r].y, w[o].y, fmaf(x[r].x, w[o].x, acc[r][o]))));
        }
    }
#pragma unroll
    for (int r = 0; r < 4; r++)
#pragma unroll
        for (int o = 0; o < 4; o++) part[(warp * ROWS + lr + 8 * r) * PART + lo + 4 * o] = acc[r][o];
    __syncthreads();
#pragma unroll
    for (int j = 0; j < ROWS * OUTS / THREADS; j++) {
        int r = (i + j * THREADS) / OUTS, o = (i + j * THREADS) % OUTS;
        float v = 0;
#pragma unroll
        for (int w = 0; w < WARPS; w++) v += part[(w * ROWS + r) * PART + o];
        if (r0 + r < n && o0 + o < p.w.n_out) cu_tile_put(p, r0 + r, o0 + o, v);
    }
}

bool cu_floats_can(const cu_mat *w, int n_rows) { return n_rows > CU_FEW && w->act == KER_ACT_F32; }

void cu_floats_product(ker_ctx *c, const cu_prod *p, const float *x, int n_rows)
{
    cu_tile_prod t = cu_tile_of(c, p, n_rows);
    t.x = x;
    dim3 grid((unsigned)((t.w.n_out + OUTS - 1) / OUTS), (unsigned)((n_rows + ROWS - 1) / ROWS)), block(THREADS);
    switch (t.w.type) {
#define CASE(name) case KER_##name: LAUNCH(floats_many<KER_##name>, grid, block, 0, c->st, t); break;
    CU_FLOAT_TYPES(CASE)
#undef CASE
    }
}
