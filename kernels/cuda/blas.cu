/* kernels/cuda/blas: dense products of many rows by cuBLAS, where the library is found, the table of ways wants it (ways.cu) and
 * it answers. Weights are unpacked to F16 in tiles of bounded size, activations are those that the own kernels take (int8 times
 * scale), sums and outputs are F32. A row of either is brought by a power of two to where a half is most exact, so that no number
 * is out of its range, and back with the output. The library is opened when a context is made and never linked; its few calls
 * and numbers are those of NVIDIA's public documentation (docs.nvidia.com/cuda/cublas, "Using the cuBLAS API"). What stands
 * behind it: mma.cu and halves.cu. See cuda.h. */
#include "kernels/cuda/tiles.cuh"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 128, WARPS = THREADS / 32, ALIGN = 8 /* halves: 16 bytes */, OUTS = 32 /* a tile's outputs are a multiple of it */ };
enum { OP_N = 0, OP_T = 1, REAL_16F = 2, REAL_32F = 0, COMPUTE_32F = 68, GEMM_DEFAULT = -1 };

typedef int (*fn_create)(void **handle);
typedef int (*fn_destroy)(void *handle);
typedef int (*fn_stream)(void *handle, cudaStream_t st);
typedef int (*fn_room)(void *handle, void *room, size_t bytes);
typedef int (*fn_gemm)(void *handle, int op_a, int op_b, int m, int n, int k, const void *alpha, const void *a, int a_type, int lda, const void *b,
                       int b_type, int ldb, const void *beta, void *c, int c_type, int ldc, int compute, int algo);

struct cu_blas {
    void *handle;
    fn_destroy destroy;
    fn_gemm gemm;
    int widest, tile;              /* n_in; outputs of a tile                                 */
    __half *w, *x;                 /* [tile][n_in], [max_rows][n_in]: n_in up to a multiple of ALIGN */
    float *w_back, *x_back;        /* [tile], [max_rows] what a row's numbers are to be multiplied by */
    float *y;                      /* [max_rows][tile]                                        */
    bool off;                      /* it said no: the own kernels from then on                */
};

/* ---- numbers as halves ---- */

/* The power of two that brings `most` to 2^7 or next to it, and its inverse; 1 for what is not finite. */
static __device__ __forceinline__ float half_scale(float most, float *back)
{
    int e = __float_as_int(most) >> 23 & 255, s = 261 - e;
    if (e == 0 || e == 255) s = 127;
    if (s > 253) s = 253;
    *back = __int_as_float((254 - s) << 23);
    return __int_as_float(s << 23);
}
static __device__ __forceinline__ float warp_most(float v)
{
    return gpu_fold(v, [](float a, float b) { return fmaxf(a, b); });
}
static __device__ __forceinline__ uint32_t two_halves(float a, float b)
{
    union { __half2 h; uint32_t u; } v;
    v.h = __floats2half2_rn(a, b);
    return v.u;
}

/* Rows [o0, o0 + n) of a matrix: a warp a row, read twice (the second time from the cache). */
template <int TYPE> static __global__ void __launch_bounds__(THREADS) half_blocks(cu_mat w, int o0, int n, __half *to, float *back)
{
    const int PER = cu_form<TYPE>::BLOCK / 32;
    int lane = (int)threadIdx.x % 32, r = (int)blockIdx.x * WARPS + (int)threadIdx.x / 32, units = w.n_in / 32;
    if (r >= n) return;
    int64_t block = (int64_t)(o0 + r) * (units / PER);
    float most = 0, inverse;
    for (int i = lane; i < units; i += 32) {
        cu_unit u;
        cu_form<TYPE>::unit(w, block + i / PER, i % PER, u);
#pragma unroll
        for (int j = 0; j < 32; j++) most = fmaxf(most, fabsf(cu_unit_value<TYPE>(u, j)));
    }
    float scale = half_scale(warp_most(most), &inverse);
    for (int i = lane; i < units; i += 32) {
        cu_unit u;
        cu_form<TYPE>::unit(w, block + i / PER, i % PER, u);
        uint4 *at = (uint4 *)(void *)(to + (int64_t)r * w.n_in + i * 32);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            uint32_t v[4];
#pragma unroll
            for (int k = 0; k < 4; k++) v[k] = two_halves(scale * cu_unit_value<TYPE>(u, 8 * j + 2 * k), scale * cu_unit_value<TYPE>(u, 8 * j + 2 * k + 1));
            at[j] = make_uint4(v[0], v[1], v[2], v[3]);
        }
    }
    if (lane == 0) back[r] = inverse;
}

/* The same of floats; pitch: halves of a row, those behind n_in are zero. */
template <int TYPE> static __global__ void __launch_bounds__(THREADS) half_floats(const uint8_t *from, int64_t first, int n, int n_in, int pitch, __half *to, float *back)
{
    int lane = (int)threadIdx.x % 32, r = (int)blockIdx.x * WARPS + (int)threadIdx.x / 32;
    if (r >= n) return;
    float most = 0, inverse;
    for (int i = lane; i < n_in; i += 32) most = fmaxf(most, fabsf(cu_float_at<TYPE>(from, (first + r) * n_in + i)));
    float scale = half_scale(warp_most(most), &inverse);
    for (int i = lane; i < pitch; i += 32) to[(int64_t)r * pitch + i] = __float2half(i < n_in ? scale * cu_float_at<TYPE>(from, (first + r) * n_in + i) : 0.0f);
    if (lane == 0) back[r] = inverse;
}

/* Activations as quantised weights meet them. */
static __global__ void __launch_bounds__(THREADS) half_acts(cu_act a, int n, int n_in, __half *to, float *back)
{
    int lane = (int)threadIdx.x % 32, r = (int)blockIdx.x * WARPS + (int)threadIdx.x / 32;
    if (r >= n) return;
    const char4 *q = (const char4 *)(const void *)(a.q + (int64_t)r * n_in);
    const float *d = a.d + (int64_t)r * (n_in / 32);
    float most = 0, inverse;
    for (int i = lane; i < n_in / 32; i += 32) most = fmaxf(most, 127.0f * fabsf(d[i]));
    float scale = half_scale(warp_most(most), &inverse);
    for (int i = lane; i < n_in / 4; i += 32) {
        char4 v = q[i];
        float s = d[i / 8] * scale;
        *(uint2 *)(void *)(to + (int64_t)r * n_in + 4 * i) = make_uint2(two_halves(s * (float)v.x, s * (float)v.y), two_halves(s * (float)v.z, s * (float)v.w));
    }
    if (lane == 0) back[r] = inverse;
}

/* A tile's outputs to where they go, with all that goes with them. */
static __global__ void __launch_bounds__(256) blas_put(cu_tile_prod p, int o0, int n, int pitch, const float *y, const float *w_back, const float *x_back)
{
    int o = (int)(blockIdx.x * 256 + threadIdx.x), r = (int)blockIdx.y;
    if (o < n) cu_tile_put(p, r, o0 + o, y[(int64_t)r * pitch + o] * (w_back[o] * x_back[r]));
}

/* ---- a product ---- */

bool cu_blas_type(int type) { return type != KER_F32 && cu_planes_of(type) != NULL; }

bool cu_blas_takes(const ker_ctx *c, const cu_mat *w, int n_rows)
{
    const cu_blas *b = c->blas;
    int way = ker_way_of(w->n_out, n_rows);
    if (!b || b->off || n_rows > c->max_rows || w->n_in > b->widest || way < 0) return false;
    return c->dev->ways.library[w->type] >> way & 1;
}

static void take_apart(ker_ctx *c, const cu_mat &w, int o0, int n, int pitch)
{
    const cu_blas *b = c->blas;
    dim3 grid((unsigned)((n + WARPS - 1) / WARPS)), block(THREADS);
    switch (w.type) {
#define CASE(name) case KER_##name: LAUNCH(half_blocks<KER_##name>, grid, block, 0, c->st, w, o0, n, b->w, b->w_back); break;
    CU_BLOCK_TYPES(CASE)
#undef CASE
    case KER_F16: LAUNCH(half_floats<KER_F16>, grid, block, 0, c->st, w.p[0], (int64_t)o0, n, w.n_in, pitch, b->w, b->w_back); break;
    case KER_BF16: LAUNCH(half_floats<KER_BF16>, grid, block, 0, c->st, w.p[0], (int64_t)o0, n, w.n_in, pitch, b->w, b->w_back); break;
    }
}

/* False: nothing was done, and the own kernels are to do it. What fails behind the first tile is the device's failure. */
bool cu_blas_product(ker_ctx *c, const cu_tile_prod *p)
{
    cu_blas *b = c->blas;
    const cu_mat &w = p->w;
    const float one = 1, zero = 0;
    int rows = p->t.n_rows, pitch = (w.n_in + ALIGN - 1) / ALIGN * ALIGN;
    dim3 grid((unsigned)((rows + WARPS - 1) / WARPS)), block(THREADS);
    if (w.act == KER_ACT_F32) LAUNCH(half_floats<KER_F32>, grid, block, 0, c->st, (const uint8_t *)(const void *)p->x, (int64_t)0, rows, w.n_in, pitch, b->x, b->x_back);
    else LAUNCH(half_acts, grid, block, 0, c->st, p->a, rows, w.n_in, b->x, b->x_back);
    for (int o0 = 0, n; o0 < w.n_out; o0 += n) {
        n = w.n_out - o0 < b->tile ? w.n_out - o0 : b->tile;
        take_apart(c, w, o0, n, pitch);
        gpu_before("cublas", c->st);
        /* The library counts columns: y^T[outputs][rows] = w[outputs][n_in] x^T[n_in][rows]. */
        int no = b->gemm(b->handle, OP_T, OP_N, n, rows, pitch, &one, b->w, REAL_16F, pitch, b->x, REAL_16F, pitch, &zero, b->y, REAL_32F, b->tile, COMPUTE_32F, GEMM_DEFAULT);
        if (no && o0 == 0) {
            b->off = true;
            return false;
        }
        if (no) {
            cu_ok(c->dev, cudaErrorUnknown, "cuBLAS");
            c->state = Q_ERR;
            return true;
        }
        LAUNCH(blas_put, dim3((unsigned)((n + 255) / 256), (unsigned)rows), dim3(256), 0, c->st, *p, o0, n, b->tile, b->y, b->w_back, b->x_back);
    }
    return true;
}

/* ---- the library ---- */

/* What cuBLAS itself may write to: as much as its documentation has it take by itself. */
static int64_t room_bytes(const ker_dev *d) { return d->major >= 9 ? 32 << 20 : 4 << 20; }

static bool find(void *lib, const char *name, void *fn)
{
    void *at = dlsym(lib, name);
    memcpy(fn, &at, sizeof at);
    return at != NULL;
}

/* A product that is none, waited for: what the library cannot do on this device it says here. */
static bool answers(ker_ctx *c, const cu_blas *b)
{
    const float one = 1, zero = 0;
    return b->gemm(b->handle, OP_T, OP_N, OUTS, 1, ALIGN, &one, b->w, REAL_16F, ALIGN, b->x, REAL_16F, ALIGN, &zero, b->y, REAL_32F, b->tile, COMPUTE_32F, GEMM_DEFAULT) == 0
        && cudaStreamSynchronize(c->st) == cudaSuccess;
}

static bool open_library(ker_ctx *c, cu_blas *b, void *room)
{
    fn_create create;
    fn_stream stream;
    fn_room set_room;
    void *lib = NULL;
    for (int i = 0; i < 2 && !lib; i++) lib = gpu_blas_open(i);    /* never closed: it does not bear that */
    return lib && find(lib, "cublasCreate_v2", &create) && find(lib, "cublasDestroy_v2", &b->destroy) && find(lib, "cublasSetStream_v2", &stream)
        && find(lib, "cublasSetWorkspace_v2", &set_room) && find(lib, "cublasGemmEx", &b->gemm) && create(&b->handle) == 0
        && stream(b->handle, c->st) == 0 && set_room(b->handle, room, (size_t)room_bytes(c->dev)) == 0 && answers(c, b);
}

bool cu_blas_make(ker_ctx *c, int widest, int n_out, int64_t tile_bytes)
{
    cu_blas *b = (cu_blas *)q_alloc(sizeof *b);
    int64_t pitch = (widest + ALIGN - 1) / ALIGN * ALIGN, tile = tile_bytes / (2 * pitch), by_rows = tile_bytes / (4 * (int64_t)c->max_rows);
    if (tile > by_rows) tile = by_rows;
    if (tile > n_out) tile = n_out;
    tile = (tile + OUTS - 1) / OUTS * OUTS;
    if (tile < OUTS) tile = OUTS;
    c->blas = b;
    b->widest = widest;
    b->tile = (int)tile;
    b->w = (__half *)cu_ctx_alloc(c, tile * pitch * 2);
    b->x = (__half *)cu_ctx_alloc(c, c->max_rows * pitch * 2);
    b->w_back = (float *)cu_ctx_alloc(c, tile * 4);
    b->x_back = (float *)cu_ctx_alloc(c, (int64_t)c->max_rows * 4);
    b->y = (float *)cu_ctx_alloc(c, c->max_rows * tile * 4);
    void *room = cu_ctx_alloc(c, room_bytes(c->dev));
    if (b->w && b->x && b->w_back && b->x_back && b->y && room && open_library(c, b, room)) return true;
    cudaGetLastError();
    cu_blas_free(c);
    return false;
}

void cu_blas_free(ker_ctx *c)
{
    if (c->blas && c->blas->handle) c->blas->destroy(c->blas->handle);
    free(c->blas);
    c->blas = NULL;
}

/* What of a model the table gives to the library; false: nothing. Routed experts are not among it: how many rows each has is
 * known on the device alone, and their products are grouped by own kernels. */
static bool wanted(const ker_dev *d, int *widest, int *n_out)
{
    *widest = *n_out = 0;
    for (int l = -1; l < d->m.n_layer; l++)
        for (int r = 0; r < KER_W_ROLES; r++) {
            const cu_mat *w = &cu_layer_of(d, l)->w[r];
            if (!w->n_out || w->n_mat > 1 || !d->ways.library[w->type]) continue;
            if (w->n_in > *widest) *widest = w->n_in;
            if (w->n_out > *n_out) *n_out = w->n_out;
        }
    return *widest > 0;
}

void cu_blas_new(ker_ctx *c)
{
    int widest, n_out;
    if (c->max_rows > CU_FEW && wanted(c->dev, &widest, &n_out)) cu_blas_make(c, widest, n_out, CU_BLAS_TILE);
}
