/* kernels/cuda/halves: products of BF16 and F16 matrices with many rows on tensor cores. Activations stay F32 in shared memory
 * and are taken as a sum of two bfloat16 (16 bits of a number), F16 weights too (exactly), so no number is out of range and
 * results are as good as those of F32 for all that follows. Built as mma.cu: a warp has 32 rows of weights that come from
 * memory as the fragments want them. What stands behind it: tile_floats (ffn.cu), floats.cu. See cuda.h. */
#include "kernels/cuda/tiles.cuh"

static const int ROWS = TILE_MMA, HALVES_THREADS = 128, HALVES_WARPS = 4, STEP = 64, STAGES = 3, ROW = STEP + 4;      /* ROW: no two lanes of a fragment in a bank */

static __device__ __forceinline__ uint32_t pack(float a, float b)
{
    union { __nv_bfloat162 h; uint32_t u; } v;
    v.h = __floats2bfloat162_rn(a, b);
    return v.u;
}

/* Two numbers as sums of two bfloat16: high and low ones. */
static __device__ __forceinline__ void split(float a, float b, uint32_t *high, uint32_t *low)
{
    unsigned ua = (unsigned)__float_as_int(a), ub = (unsigned)__float_as_int(b);
    *high = ua >> 16 | (ub & 0xffff0000u);
    *low = pack(a - __int_as_float((int)(ua & 0xffff0000u)), b - __int_as_float((int)(ub & 0xffff0000u)));
}

static __device__ __forceinline__ void stage_fill(const cu_tile_prod &p, const int *rows, float *at, int k0)
{
#pragma unroll
    for (int j = 0; j < ROWS * STEP / 4 / HALVES_THREADS; j++) {
        int i = (int)threadIdx.x + j * HALVES_THREADS, r = i / (STEP / 4), piece = i % (STEP / 4) * 4;
        cp_async16(at + r * ROW + piece, p.x + (int64_t)rows[r] * p.w.n_in + k0 + piece);
    }
}

/* 32 of n_in: w[matrix][row] are a lane's 8 weights. */
template <int TYPE> static __device__ __forceinline__ void multiply(const uint4 (*w)[2], const float *x, int lane, float (*acc)[TILE_MMA / 8][4])
{
    int g = lane / 4, t = lane % 4;
    uint32_t a[2][2][4], low[2][2][4];             /* [16 rows][16 of n_in] */
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            uint32_t v[4] = { w[m][r].x, w[m][r].y, w[m][r].z, w[m][r].w };
#pragma unroll
            for (int i = 0; i < 4; i++) {
                uint32_t *to = &a[m][i / 2][i % 2 * 2 + r];
                if (TYPE == KER_BF16) *to = v[i];
                else split(cu_half_bits(v[i]), cu_half_bits(v[i] >> 16), to, &low[m][i / 2][i % 2 * 2 + r]);
            }
        }
#pragma unroll
    for (int nt = 0; nt < TILE_MMA / 8; nt++) {
        const float *row = x + (nt * 8 + g) * ROW + t * 8;
        float4 v[2] = { *(const float4 *)(const void *)row, *(const float4 *)(const void *)(row + 4) };
#pragma unroll
        for (int k = 0; k < 2; k++) {
            uint32_t high[2], rest[2];
            split(v[k].x, v[k].y, &high[0], &rest[0]);
            split(v[k].z, v[k].w, &high[1], &rest[1]);
#pragma unroll
            for (int m = 0; m < 2; m++) {
                mma_16816_bf16(acc[m][nt], a[m][k], high);
                mma_16816_bf16(acc[m][nt], a[m][k], rest);
                if (TYPE == KER_F16) mma_16816_bf16(acc[m][nt], low[m][k], high);
            }
        }
    }
}

template <int TYPE> static __global__ void __launch_bounds__(HALVES_THREADS, 2) halves_tiles(cu_tile_prod p)
{
    SHARED(float, stage, STAGES * ROWS * ROW);
    SHARED(int, in_row, TILE_MMA);
    SHARED(int, out_row, TILE_MMA);
    int matrix, first, n, lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32, g = lane / 4, t = lane % 4, n_in = p.w.n_in, steps = n_in / STEP;
    if (!cu_tile_get(p.t, (int)blockIdx.y, TILE_MMA, &matrix, &first, &n)) return;
    if (threadIdx.x < TILE_MMA) {
        int i = (int)threadIdx.x, place = first + (i < n ? i : 0);
        in_row[i] = p.t.in_row ? p.t.in_row[place] : place;
        out_row[i] = p.t.out_row ? p.t.out_row[place] : place;
    }
    __syncthreads();
    int o0 = ((int)blockIdx.x * HALVES_WARPS + warp) * 32;
    bool here = o0 < p.w.n_out;                    /* other warps bring activations only */
    const uint8_t *from = p.w.p[0] + (((int64_t)matrix * p.w.n_out + (here ? o0 + g : g)) * n_in + t * 8) * 2;
    float acc[2][TILE_MMA / 8][4];
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int nt = 0; nt < TILE_MMA / 8; nt++)
#pragma unroll
            for (int c = 0; c < 4; c++) acc[m][nt][c] = 0;
#pragma unroll
    for (int i = 0; i < STAGES - 1; i++) {
        if (i < steps) stage_fill(p, in_row, stage + i * ROWS * ROW, i * STEP);
        cp_commit();
    }
    uint4 w[2][2][2];                              /* this half step's, the next one's */
#define LOAD(to, k0) \
    _Pragma("unroll") for (int m = 0; m < 2; m++) \
        _Pragma("unroll") for (int r = 0; r < 2; r++) w[to][m][r] = *(const uint4 *)(const void *)(from + ((int64_t)(16 * m + 8 * r) * n_in + (k0)) * 2)
    LOAD(0, 0);
    for (int step = 0; step < steps; step++) {
        const float *now = stage + step % STAGES * ROWS * ROW;
        cp_wait<STAGES - 2>();
        __syncthreads();
        if (step + STAGES - 1 < steps) stage_fill(p, in_row, stage + (step + STAGES - 1) % STAGES * ROWS * ROW, (step + STAGES - 1) * STEP);
        cp_commit();
        LOAD(1, step * STEP + 32);
        multiply<TYPE>(w[0], now, lane, acc);
        LOAD(0, step + 1 < steps ? step * STEP + STEP : step * STEP);
        multiply<TYPE>(w[1], now + 32, lane, acc);
    }
#undef LOAD
    cp_wait<0>();
    if (!here) return;
#pragma unroll
    for (int nt = 0; nt < TILE_MMA / 8; nt++)
#pragma unroll
        for (int side = 0; side < 2; side++) {
            int i = nt * 8 + t * 2 + side;
            if (i >= n) continue;
#pragma unroll
            for (int r = 0; r < 4; r++) cu_tile_put(p, out_row[i], o0 + 8 * r + g, acc[r / 2][nt][r % 2 * 2 + side]);
        }
}

bool cu_halves_can(const cu_mat *w) { return (w->type == KER_F16 || w->type == KER_BF16) && w->n_in % STEP == 0 && w->n_out % 32 == 0; }

void cu_halves_tiles(ker_ctx *c, const cu_tile_prod *p)
{
    dim3 grid((unsigned)((p->w.n_out + HALVES_WARPS * 32 - 1) / (HALVES_WARPS * 32)), (unsigned)p->t.most), block(HALVES_THREADS);
    if (p->w.type == KER_F16) LAUNCH(halves_tiles<KER_F16>, grid, block, 0, c->st, *p);
    else LAUNCH(halves_tiles<KER_BF16>, grid, block, 0, c->st, *p);
}
