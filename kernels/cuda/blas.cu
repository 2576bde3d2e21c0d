/* kernels/cuda/blas: products of many rows by cuBLAS, where the library is found, the table of ways wants it (ways.cu) and
 * it answers. Weights are unpacked to F16 in tiles of bounded size, activations are those that the own kernels take (int8 times
 * scale), sums are F32. A row of either is brought by a power of two to where a half is most exact, so that no number
 * is out of its range, and back with the output. A dense matrix goes tile by tile (GemmEx, outputs F32), routed experts several
 * together (GemmGroupedBatchedEx, whose outputs are of the inputs' type: rows are brought to where no sum leaves a half); how
 * many rows each expert has the library must be told by the host, which waits for that once a layer. The library is opened when a context is made and never linked; its few calls
 * and numbers are those of NVIDIA's public documentation (docs.nvidia.com/cuda/cublas, "Using the cuBLAS API"). What stands
 * behind it: mma.cu and halves.cu. See cuda.h. */
#include "kernels/cuda/tiles.cuh"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 128, WARPS = THREADS / 32, ALIGN = 8 /* halves: 16 bytes */, OUTS = 32 /* a tile's outputs are a multiple of it */ };
enum { MOST = 7 /* the power of two of a row's largest number for outputs of F32 */, SPREAD = 8 /* blocks that share an expert's rows */ };
enum { OP_N = 0, OP_T = 1, REAL_16F = 2, REAL_32F = 0, COMPUTE_32F = 68, GEMM_DEFAULT = -1 };

typedef int (*fn_create)(void **handle);
typedef int (*fn_destroy)(void *handle);
typedef int (*fn_stream)(void *handle, cudaStream_t st);
typedef int (*fn_room)(void *handle, void *room, size_t bytes);
typedef int (*fn_gemm)(void *handle, int op_a, int op_b, int m, int n, int k, const void *alpha, const void *a, int a_type, int lda, const void *b,
                       int b_type, int ldb, const void *beta, void *c, int c_type, int ldc, int compute, int algo);

typedef int (*fn_groups)(void *handle, const int *op_a, const int *op_b, const int *m, const int *n, const int *k, const void *alpha, const void *const *a, int a_type,
                         const int *lda, const void *const *b, int b_type, const int *ldb, const void *beta, void *const *c, int c_type, const int *ldc, int n_group,
                         const int *size, int compute);

/* Routed experts. Buffers hold some experts at once: those of a call, or some outputs of one whose matrix is larger. */
typedef struct piece { int expert, first, n; } piece;      /* sorted places [first, first + n) are this expert's */
typedef struct groups {
    fn_groups gemm;                /* NULL: none, or it said no: the own kernels do routed experts */
    int n_expert, widest, tile, most_out;       /* n_in; outputs of weights at once; of one expert at once */
    __half *w, *x, *y;             /* [tile][n_in], [max_rows][n_in], [max_rows][most_out]: multiples of ALIGN */
    float *w_back, *x_back;        /* [tile], [max_rows]                                      */
    const void **at;               /* device [3][n_expert] where a call's matrices lie        */
    int *counts;                   /* pinned [2][n_expert] an expert's first place, its places */
    piece *pieces, *dev_pieces;      /* pinned and device [n_expert] experts that have rows     */
    int n_piece;
    int *shape;                    /* [9][n_expert] what a call is told of each               */
    float *factor;                 /* [2][n_expert] ones, zeros                               */
} groups;

struct cu_blas {
    void *lib, *handle;
    fn_destroy destroy;
    fn_gemm gemm;
    int widest, tile;              /* n_in; outputs of a tile                                 */
    __half *w, *x;                 /* [tile][n_in], [max_rows][n_in]: n_in up to a multiple of ALIGN */
    float *w_back, *x_back;        /* [tile], [max_rows] what a row's numbers are to be multiplied by */
    float *y;                      /* [max_rows][tile]                                        */
    bool off;                      /* it said no: the own kernels from then on                */
    groups g;
};

/* ---- numbers as halves ---- */

/* The power of two that brings `most` to [2^to, 2^(to + 1)) or next to it, and its inverse; 1 for what is not finite. */
static __device__ __forceinline__ float half_scale(float most, int to, float *back)
{
    int e = __float_as_int(most) >> 23 & 255, s = 254 + to - e;
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

/* Outputs [o0, o0 + n) of a matrix, or of each piece's expert: a warp a row, read twice (the second time from the cache). */
template <int TYPE> static __global__ void __launch_bounds__(THREADS) half_blocks(cu_mat w, int o0, int n, int most_at, const piece *pieces, __half *to, float *back)
{
    const int PER = cu_form<TYPE>::BLOCK / 32;
    int lane = (int)threadIdx.x % 32, r = (int)blockIdx.x * WARPS + (int)threadIdx.x / 32, units = w.n_in / 32;
    if (r >= n) return;
    int64_t row = (pieces ? (int64_t)pieces[blockIdx.y].expert * w.n_out : 0) + o0 + r, put = (int64_t)blockIdx.y * n + r, block = row * (units / PER);
    float most = 0, inverse;
    for (int i = lane; i < units; i += 32) {
        cu_unit u;
        cu_form<TYPE>::unit(w, block + i / PER, i % PER, u);
#pragma unroll
        for (int j = 0; j < 32; j++) most = fmaxf(most, fabsf(cu_unit_value<TYPE>(u, j)));
    }
    float scale = half_scale(warp_most(most), most_at, &inverse);
    for (int i = lane; i < units; i += 32) {
        cu_unit u;
        cu_form<TYPE>::unit(w, block + i / PER, i % PER, u);
        uint4 *at = (uint4 *)(void *)(to + put * w.n_in + i * 32);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            uint32_t v[4];
#pragma unroll
            for (int k = 0; k < 4; k++) v[k] = two_halves(scale * cu_unit_value<TYPE>(u, 8 * j + 2 * k), scale * cu_unit_value<TYPE>(u, 8 * j + 2 * k + 1));
            at[j] = make_uint4(v[0], v[1], v[2], v[3]);
        }
    }
    if (lane == 0) back[put] = inverse;
}

/* Which rows are to become halves: [first, first + n), those that `row` names there, or of each piece's expert. */
typedef struct half_rows { int first, n, n_in, pitch /* halves of a row, those behind n_in are zero */, most_at, n_out; const int *row; const piece *pieces; } half_rows;

/* The same of floats. */
template <int TYPE> static __global__ void __launch_bounds__(THREADS) half_floats(const uint8_t *from, half_rows h, __half *to, float *back)
{
    int lane = (int)threadIdx.x % 32, r = (int)blockIdx.x * WARPS + (int)threadIdx.x / 32;
    if (r >= h.n) return;
    int64_t put = (int64_t)blockIdx.y * h.n + r, row = h.pieces ? (int64_t)h.pieces[blockIdx.y].expert * h.n_out + h.first + r : h.row ? h.row[h.first + r] : h.first + r;
    float most = 0, inverse;
    for (int i = lane; i < h.n_in; i += 32) most = fmaxf(most, fabsf(cu_float_at<TYPE>(from, row * h.n_in + i)));
    float scale = half_scale(warp_most(most), h.most_at, &inverse);
    for (int i = lane; i < h.pitch; i += 32) to[put * h.pitch + i] = __float2half(i < h.n_in ? scale * cu_float_at<TYPE>(from, row * h.n_in + i) : 0.0f);
    if (lane == 0) back[put] = inverse;
}

/* Activations as quantised weights meet them. */
static __global__ void __launch_bounds__(THREADS) half_acts(cu_act a, half_rows h, __half *to, float *back)
{
    int lane = (int)threadIdx.x % 32, r = (int)blockIdx.x * WARPS + (int)threadIdx.x / 32;
    if (r >= h.n) return;
    int64_t row = h.row ? h.row[h.first + r] : h.first + r;
    const char4 *q = (const char4 *)(const void *)(a.q + row * h.n_in);
    const float *d = a.d + row * (h.n_in / 32);
    float most = 0, inverse;
    for (int i = lane; i < h.n_in / 32; i += 32) most = fmaxf(most, 127.0f * fabsf(d[i]));
    float scale = half_scale(warp_most(most), h.most_at, &inverse);
    for (int i = lane; i < h.n_in / 4; i += 32) {
        char4 v = q[i];
        float s = d[i / 8] * scale;
        *(uint2 *)(void *)(to + (int64_t)r * h.n_in + 4 * i) = make_uint2(two_halves(s * (float)v.x, s * (float)v.y), two_halves(s * (float)v.z, s * (float)v.w));
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

static int pitch_of(int n_in) { return (n_in + ALIGN - 1) / ALIGN * ALIGN; }
static dim3 rows_grid(int n, int n_piece) { return dim3((unsigned)((n + WARPS - 1) / WARPS), (unsigned)n_piece); }

/* Outputs [o0, o0 + n) of the matrix, or of n_piece experts, behind one another. */
static void take_apart(ker_ctx *c, const cu_mat &w, int o0, int n, int most_at, const piece *pieces, int n_piece, __half *to, float *back)
{
    half_rows h = { o0, n, w.n_in, pitch_of(w.n_in), most_at, w.n_out, NULL, pieces };
    dim3 grid = rows_grid(n, n_piece), block(THREADS);
    switch (w.type) {
#define CASE(name) case KER_##name: LAUNCH(half_blocks<KER_##name>, grid, block, 0, c->st, w, o0, n, most_at, pieces, to, back); break;
    CU_BLOCK_TYPES(CASE)
#undef CASE
    case KER_F16: LAUNCH(half_floats<KER_F16>, grid, block, 0, c->st, w.p[0], h, to, back); break;
    case KER_BF16: LAUNCH(half_floats<KER_BF16>, grid, block, 0, c->st, w.p[0], h, to, back); break;
    }
}

static void take_rows(ker_ctx *c, const cu_tile_prod *p, int first, int n, int most_at, __half *to, float *back)
{
    half_rows h = { first, n, p->w.n_in, pitch_of(p->w.n_in), most_at, 0, p->t.in_row, NULL };
    if (p->w.act == KER_ACT_F32) LAUNCH(half_floats<KER_F32>, rows_grid(n, 1), dim3(THREADS), 0, c->st, (const uint8_t *)(const void *)p->x, h, to, back);
    else LAUNCH(half_acts, rows_grid(n, 1), dim3(THREADS), 0, c->st, p->a, h, to, back);
}

/* What the library said; behind a product's first call (begun) its no is the device's failure, which leaves nothing to do. */
static bool went_well(ker_ctx *c, int no, bool begun)
{
    if (no && begun) {
        cu_ok(c->dev, cudaErrorUnknown, "cuBLAS");
        c->state = Q_ERR;
    }
    return !no;
}

/* False: nothing was done, and the own kernels are to do it. */
bool cu_blas_product(ker_ctx *c, const cu_tile_prod *p)
{
    cu_blas *b = c->blas;
    const cu_mat &w = p->w;
    const float one = 1, zero = 0;
    int rows = p->t.n_rows, pitch = pitch_of(w.n_in);
    take_rows(c, p, 0, rows, MOST, b->x, b->x_back);
    for (int o0 = 0, n; o0 < w.n_out; o0 += n) {
        n = w.n_out - o0 < b->tile ? w.n_out - o0 : b->tile;
        take_apart(c, w, o0, n, MOST, NULL, 1, b->w, b->w_back);
        gpu_before("cublas", c->st);
        /* The library counts columns: y^T[outputs][rows] = w[outputs][n_in] x^T[n_in][rows]. */
        int no = b->gemm(b->handle, OP_T, OP_N, n, rows, pitch, &one, b->w, REAL_16F, pitch, b->x, REAL_16F, pitch, &zero, b->y, REAL_32F, b->tile, COMPUTE_32F, GEMM_DEFAULT);
        if (!went_well(c, no, o0 > 0)) {
            b->off = b->off || o0 == 0;
            return o0 > 0;
        }
        LAUNCH(blas_put, dim3((unsigned)((n + 255) / 256), (unsigned)rows), dim3(256), 0, c->st, *p, o0, n, b->tile, b->y, b->w_back, b->x_back);
    }
    return true;
}

/* ---- routed experts ---- */

/* Where a call's matrices lie; all pieces' rows lie behind one another from first on, n outputs of each. */
static __global__ void __launch_bounds__(256) group_at(const void **at, int n_expert, const piece *pieces, int n_piece, int n, int pitch, int y_pitch, __half *w, __half *x, __half *y)
{
    for (int i = (int)threadIdx.x; i < n_piece; i += 256) {
        int64_t row = pieces[i].first - pieces[0].first;
        at[i] = w + (int64_t)i * n * pitch;
        at[n_expert + i] = x + row * pitch;
        at[2 * n_expert + i] = y + row * y_pitch;
    }
}

static __global__ void __launch_bounds__(256) group_put(cu_tile_prod p, const piece *pieces, int o0, int n, int y_pitch, const __half *y, const float *w_back, const float *x_back)
{
    piece at = pieces[blockIdx.y];
    int o = (int)(blockIdx.x * 256 + threadIdx.x), row = at.first - pieces[0].first;
    if (o >= n) return;
    float back = w_back[(int64_t)blockIdx.y * n + o];
    for (int i = (int)blockIdx.z; i < at.n; i += SPREAD) {
        float v = __half2float(y[(int64_t)(row + i) * y_pitch + o]) * (back * x_back[row + i]);
        cu_tile_put(p, p.t.out_row ? p.t.out_row[at.first + i] : at.first + i, o0 + o, v);
    }
}

/* Weights are brought below 2, activations to where no sum of n_in products is beyond a half: the power of two of their largest. */
static int rows_most(int n_in)
{
    int e = 0;
    while (e > -8 && (double)n_in * 4 * ldexp(1, e) > 65504) e--;
    while (e < MOST && (double)n_in * 8 * ldexp(1, e) <= 65504) e++;
    return e;
}

bool cu_blas_takes_experts(const ker_ctx *c, const cu_mat *w, int n_rows)
{
    const cu_blas *b = c->blas;
    int way = ker_way_experts(n_rows);
    if (!b || !b->g.gemm || n_rows > c->max_rows || w->n_mat > b->g.n_expert || w->n_in > b->g.widest || way < 0 || cu_timing(c)) return false;
    return c->dev->ways.library[w->type] >> way & 1;
}

static bool launched(ker_ctx *c)
{
    if (cu_ok(c->dev, cudaGetLastError(), "experts")) return true;
    c->state = Q_ERR;
    return false;
}

/* How many rows each expert has comes to the host, which waits for it; from then on it is known until the next sorting. */
bool cu_blas_plan(ker_ctx *c, const int *sorted)
{
    groups *g = &c->blas->g;
    g->n_piece = 0;
    if (!launched(c)) return false;
    if (!cu_ok(c->dev, cudaMemcpyAsync(g->counts, sorted, (size_t)g->n_expert * 8, cudaMemcpyDeviceToHost, c->st), "experts") || !cu_ok(c->dev, cudaStreamSynchronize(c->st), "experts")) {
        c->state = Q_ERR;
        return false;
    }
    for (int e = 0; e < g->n_expert; e++)
        if (g->counts[g->n_expert + e]) g->pieces[g->n_piece++] = { e, g->counts[e], g->counts[g->n_expert + e] };
    if (cu_ok(c->dev, cudaMemcpyAsync(g->dev_pieces, g->pieces, sizeof *g->pieces * (size_t)g->n_piece, cudaMemcpyHostToDevice, c->st), "experts")) return true;
    c->state = Q_ERR;
    return false;
}

/* Outputs [o0, o0 + n) of the pieces [i0, i0 + n_piece), whose rows fit. */
static int group_call(ker_ctx *c, const cu_tile_prod *p, int i0, int n_piece, int o0, int n)
{
    groups *g = &c->blas->g;
    const cu_mat &w = p->w;
    const piece *pieces = g->dev_pieces + i0;
    int pitch = pitch_of(w.n_in), y_pitch = pitch_of(n), first = g->pieces[i0].first, E = g->n_expert, *s = g->shape;
    const piece &last = g->pieces[i0 + n_piece - 1];
    take_rows(c, p, first, last.first + last.n - first, rows_most(w.n_in), g->x, g->x_back);
    take_apart(c, w, o0, n, 0, pieces, n_piece, g->w, g->w_back);
    LAUNCH(group_at, dim3(1), dim3(256), 0, c->st, g->at, E, pieces, n_piece, n, pitch, y_pitch, g->w, g->x, g->y);
    if (!launched(c)) return Q_ERR;                /* the library would follow addresses that nobody wrote */
    for (int i = 0; i < n_piece; i++) {
        const int one[] = { OP_T, OP_N, n, g->pieces[i0 + i].n, pitch, pitch, pitch, y_pitch, 1 };
        for (int j = 0; j < 9; j++) s[j * E + i] = one[j];
    }
    gpu_before("cublas", c->st);
    int no = g->gemm(c->blas->handle, s, s + E, s + 2 * E, s + 3 * E, s + 4 * E, g->factor, g->at, REAL_16F, s + 5 * E, g->at + E, REAL_16F, s + 6 * E, g->factor + E,
                     (void *const *)(g->at + 2 * E), REAL_16F, s + 7 * E, n_piece, s + 8 * E, COMPUTE_32F);
    if (no) return no;
    LAUNCH(group_put, dim3((unsigned)((n + 255) / 256), (unsigned)n_piece, SPREAD), dim3(256), 0, c->st, *p, pieces, o0, n, y_pitch, g->y, g->w_back, g->x_back);
    return 0;
}

bool cu_blas_experts(ker_ctx *c, const cu_tile_prod *p)
{
    groups *g = &c->blas->g;
    bool begun = false;
    for (int i0 = 0, n_piece; i0 < g->n_piece && !c->state; i0 += n_piece) {
        int rows = g->pieces[i0].n, wide = p->w.n_out < g->most_out ? p->w.n_out : g->most_out;
        for (n_piece = 1; wide == p->w.n_out && i0 + n_piece < g->n_piece && (n_piece + 1) * wide <= g->tile; n_piece++) {
            rows += g->pieces[i0 + n_piece].n;
            if (rows > c->max_rows) break;
        }
        for (int o0 = 0, n; o0 < p->w.n_out && !c->state; o0 += n) {
            n = p->w.n_out - o0 < wide ? p->w.n_out - o0 : wide;
            if (!went_well(c, group_call(c, p, i0, n_piece, o0, n), begun) && !begun) {
                g->gemm = NULL;
                return false;
            }
            begun = true;
        }
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
    b->lib = lib;
    return lib && find(lib, "cublasCreate_v2", &create) && find(lib, "cublasDestroy_v2", &b->destroy) && find(lib, "cublasSetStream_v2", &stream)
        && find(lib, "cublasSetWorkspace_v2", &set_room) && find(lib, "cublasGemmEx", &b->gemm) && create(&b->handle) == 0
        && stream(b->handle, c->st) == 0 && set_room(b->handle, room, (size_t)room_bytes(c->dev)) == 0 && answers(c, b);
}

/* The same of experts: one whose row and weights are nothing. Libraries before 12.5 have no such call. */
static bool groups_answer(ker_ctx *c, groups *g, void *lib)
{
    int E = g->n_expert, *s = g->shape;
    const int one[] = { OP_T, OP_N, OUTS, 1, ALIGN, ALIGN, ALIGN, OUTS, 1 };
    if (!find(lib, "cublasGemmGroupedBatchedEx", &g->gemm)) return false;
    g->pieces[0] = { 0, 0, 1 };
    for (int j = 0; j < 9; j++) s[j * E] = one[j];
    if (cudaMemcpyAsync(g->dev_pieces, g->pieces, sizeof *g->pieces, cudaMemcpyHostToDevice, c->st) != cudaSuccess) return false;
    LAUNCH(group_at, dim3(1), dim3(256), 0, c->st, g->at, E, g->dev_pieces, 1, (int)OUTS, (int)ALIGN, (int)OUTS, g->w, g->x, g->y);
    return cudaGetLastError() == cudaSuccess && g->gemm(c->blas->handle, s, s + E, s + 2 * E, s + 3 * E, s + 4 * E, g->factor, g->at, REAL_16F, s + 5 * E, g->at + E, REAL_16F, s + 6 * E, g->factor + E,
                   (void *const *)(g->at + 2 * E), REAL_16F, s + 7 * E, 1, s + 8 * E, COMPUTE_32F) == 0
        && cudaStreamSynchronize(c->st) == cudaSuccess;
}

bool cu_blas_make(ker_ctx *c, int widest, int n_out, int64_t tile_bytes)
{
    cu_blas *b = (cu_blas *)q_alloc(sizeof *b);
    int from = c->n_mem;
    int64_t pitch = pitch_of(widest), tile = tile_bytes / (2 * pitch), by_rows = tile_bytes / (4 * (int64_t)c->max_rows);
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
    cu_ctx_give_back(c, from);
    return false;
}

/* Room for routed experts beside it. False: their products are the own kernels'. */
bool cu_blas_make_experts(ker_ctx *c, int n_expert, int widest, int n_out, int64_t tile_bytes)
{
    groups *g = &c->blas->g;
    int from = c->n_mem;
    int64_t pitch = pitch_of(widest), tile = tile_bytes / (2 * pitch), all = (int64_t)n_expert * n_out;
    if (tile > all) tile = all;
    if (tile < OUTS) tile = OUTS;
    g->n_expert = n_expert;
    g->widest = widest;
    g->tile = (int)tile;
    g->most_out = n_out < tile ? n_out : (int)tile;
    int64_t y_pitch = pitch_of(g->most_out < OUTS ? (int)OUTS : g->most_out);
    g->w = (__half *)cu_ctx_alloc(c, tile * pitch * 2);
    g->x = (__half *)cu_ctx_alloc(c, c->max_rows * pitch * 2);
    g->y = (__half *)cu_ctx_alloc(c, c->max_rows * y_pitch * 2);
    g->w_back = (float *)cu_ctx_alloc(c, tile * 4);
    g->x_back = (float *)cu_ctx_alloc(c, (int64_t)c->max_rows * 4);
    g->at = (const void **)cu_ctx_alloc(c, 3 * n_expert * (int64_t)sizeof *g->at);
    g->counts = (int *)cu_ctx_pinned(c, 2 * n_expert * 4);
    g->pieces = (piece *)cu_ctx_pinned(c, n_expert * (int64_t)sizeof *g->pieces);
    g->dev_pieces = (piece *)cu_ctx_alloc(c, n_expert * (int64_t)sizeof *g->pieces);
    g->shape = (int *)q_alloc(sizeof(int) * 9 * (size_t)n_expert);
    g->factor = (float *)q_alloc(sizeof(float) * 2 * (size_t)n_expert);
    for (int i = 0; i < n_expert; i++) g->factor[i] = 1;
    if (g->w && g->x && g->y && g->w_back && g->x_back && g->at && g->counts && g->pieces && g->dev_pieces && groups_answer(c, g, c->blas->lib)) return true;
    cudaGetLastError();
    g->gemm = NULL;
    cu_ctx_give_back(c, from);
    return false;
}

void cu_blas_free(ker_ctx *c)
{
    if (c->blas && c->blas->handle) c->blas->destroy(c->blas->handle);
    if (c->blas) free(c->blas->g.shape);
    if (c->blas) free(c->blas->g.factor);
    free(c->blas);
    c->blas = NULL;
}

/* The largest of a model's matrices that the table gives to the library; widest 0: none. */
typedef struct largest { int widest, n_out; } largest;
static largest wanted(const ker_dev *d, bool experts)
{
    largest a = { 0, 0 };
    unsigned bits = experts ? KER_WAYS_EXPERTS : KER_WAYS_DENSE;
    for (int l = -1; l < d->m.n_layer; l++)
        for (int r = 0; r < KER_W_ROLES; r++) {
            const cu_mat *w = &cu_layer_of(d, l)->w[r];
            if (!w->n_out || (ker_role_get((enum ker_role)r)->ne[2] == KER_DIM_EXPERT) != experts || !(d->ways.library[w->type] & bits)) continue;
            if (w->n_in > a.widest) a.widest = w->n_in;
            if (w->n_out > a.n_out) a.n_out = w->n_out;
        }
    return a;
}

/* Experts that are fetched are the own kernels': what lies here of them is known wave by wave. */
void cu_blas_new(ker_ctx *c)
{
    largest dense = wanted(c->dev, false), experts = wanted(c->dev, true);
    if (c->dev->cache) experts.widest = 0;
    if (c->max_rows <= CU_FEW || !(dense.widest || experts.widest)) return;
    if (!dense.widest) dense = { ALIGN, OUTS };
    if (cu_blas_make(c, dense.widest, dense.n_out, CU_BLAS_TILE) && experts.widest)
        cu_blas_make_experts(c, c->dev->m.n_expert, experts.widest, experts.n_out, CU_BLAS_TILE);
}
