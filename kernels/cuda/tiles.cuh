/* kernels/cuda/tiles: products whose rows are taken in tiles: all rows of a matrix, or the rows of each expert behind one
 * another. What ffn.cu asks for and mat.cu's and mma.cu's kernels answer. Private to kernels/cuda. */
#ifndef QUORUM_CUDA_TILES_CUH
#define QUORUM_CUDA_TILES_CUH

#include "kernels/cuda/types.cuh"

enum { TILE_FEW = 8, TILE_MMA = 32 };          /* rows of a tile: of the simple kernels, of tensor cores */

/* Outputs that no row of a tile asks for, where whoever comes behind clears them (cu_narrow_rows): the first `width` of a row count, as
 * told for it or as its configuration's expert_width has it; 0 and less: all. */
typedef struct cu_tile_cut {
    int n_out, layer;              /* n_out 0: nothing is left out                            */
    const int *slot;               /* [rows], in_row's                                        */
    const cu_cfg *cfg;
    const int32_t *width;          /* [rows] or NULL                                          */
} cu_tile_cut;

/* Sorted place i belongs to matrix tile[..], reads row in_row[i] of the activations and writes row out_row[i] of y. */
typedef struct cu_tiles {
    const int *n_tile, *tile;      /* tiles there are; 3 ints each: matrix, first place, places. NULL: [0, n_rows) of matrix 0 */
    const int *in_row, *out_row;   /* [places]; NULL: the place itself                        */
    int n_rows;                    /* without tiles                                           */
    int most;                      /* tiles to launch for                                     */
    cu_tile_cut cut;
} cu_tiles;

enum cu_glue {
    CU_PUT,                        /* y = v                                                   */
    CU_ADD,                        /* y += v                                                  */
    CU_GLU,                        /* y = silu(y) * v, 0 beyond a row's width                 */
    CU_BOTH                        /* the same with y of a first matrix beside it (mma.cu)    */
};

typedef struct cu_tile_prod {
    cu_mat w;
    cu_act a;                      /* of rows by in_row; of quantised weights                 */
    const float *x;                /* the same of float weights                               */
    cu_tiles t;
    float *y;                      /* [out_row][stride]                                       */
    int64_t stride;
    int glue, layer;
    const int *slot;               /* CU_GLU, CU_BOTH: of out_row, for widths; NULL: as wide as the matrix */
    const cu_cfg *cfg;
    const float *bias;             /* CU_PUT, CU_ADD: [n_out] or NULL                         */
    int part;                      /* CU_ADD: ker_part of rows that are not finite, or 0      */
    cu_trace tr;
} cu_tile_prod;

/* All rows of a plain product; what is read is still to be set. */
static inline cu_tile_prod cu_tile_of(const ker_ctx *c, const cu_prod *p, int n_rows)
{
    cu_tile_prod t = {};
    t.w = *p->w;
    t.t.n_rows = n_rows;
    t.y = p->y;
    t.stride = p->y_stride;
    t.glue = p->add ? CU_ADD : CU_PUT;
    t.layer = p->layer;
    t.bias = p->bias;
    t.part = p->part;
    t.tr = c->tr;
    return t;
}

/* floats.cu: matrices of floats with many rows. */
bool cu_floats_can(const cu_mat *w, int n_rows);
void cu_floats_product(ker_ctx *c, const cu_prod *p, const float *x, int n_rows);

/* halves.cu: matrices of F16 and BF16 on tensor cores; mma.cu asks it. */
bool cu_halves_can(const cu_mat *w);
void cu_halves_tiles(ker_ctx *c, const cu_tile_prod *p);

/* mma.cu: tensor cores, on tiles of TILE_MMA places. up: a second matrix like w, for CU_BOTH; else NULL. */
bool cu_mma_can(const ker_ctx *c, const cu_mat *w, int n_rows);
bool cu_mma_both(const cu_mat *gate, const cu_mat *up);
void cu_mma_product(ker_ctx *c, const cu_prod *p, const float *x, const cu_acts *acts, int n_rows);
void cu_mma_tiles(ker_ctx *c, const cu_tile_prod *p, const cu_mat *up);

/* blas.cu: all rows of a plain product (no tiles, rows in order). False: nothing was done. */
bool cu_blas_product(ker_ctx *c, const cu_tile_prod *p);
/* Routed experts: sorted: device [2][n_expert], an expert's first place and its places, once for the three products of a pass;
 * then each of them, by sorted places (no tiles). False: nothing was done. */
bool cu_blas_plan(ker_ctx *c, const int *sorted);
bool cu_blas_experts(ker_ctx *c, const cu_tile_prod *p);

static __device__ __forceinline__ float cu_silu_mul(float g, float u) { return __fdividef(g, 1.0f + expf(-g)) * u; }

/* A gate and an up of the other kinds of ker_glu. What is no number stays so. */
static __device__ __forceinline__ float cu_glu_mul(int glu, float g, float u)
{
    if (glu == KER_GLU_GELU) return 0.5f * g * (1.0f + tanhf(0.79788456f * fmaf(0.044715f * g * g, g, g))) * u;
    float x = g > 7.0f ? 7.0f : g, y = u > 7.0f ? 7.0f : u < -7.0f ? -7.0f : u;
    return __fdividef(x, 1.0f + expf(-1.702f * x)) * (y + 1.0f);
}

/* glu.cu: h = glu(h, up), and what a layer adds to routed experts' rows, in launches of their own: for layers that are not plain. */
typedef struct cu_between {
    float *h;                      /* [items][n]: gate's products, then the outcome; of cu_bias_rows [pairs][n], what is added to */
    const float *up;               /* [items][n]                                              */
    const float *gate_bias, *up_bias;           /* [n_expert][n] or NULL                      */
    int n, glu, layer;             /* glu: ker_glu                                            */
    bool widths;                   /* ffn_width counts: the first of a row's n                */
} cu_between;

/* Nobody asks for the outputs of a block: the blocks of grid.x share them evenly, so that its first is no less than this. */
static __device__ __forceinline__ bool cu_cut_off(const cu_tile_cut &c, const int *row, int n)
{
    int o = (int)blockIdx.x * (c.n_out / (int)gridDim.x), i = 0;
    for (; i < n; i++) {
        const int32_t *width = c.width ? NULL : c.cfg[c.slot[row[i]]].expert_width;
        int keep = c.width ? c.width[row[i]] : width ? width[c.layer] : 0;
        if (keep <= 0 || o < keep) break;
    }
    return i == n;
}

/* The tile at hand: matrix, first place, places; false: none, or nothing of it is asked for. */
static __device__ __forceinline__ bool cu_tile_get(const cu_tiles &t, int i, int rows, int *matrix, int *first, int *n)
{
    if (t.tile) {
        if (i >= *t.n_tile) return false;
        *matrix = t.tile[3 * i];
        *first = t.tile[3 * i + 1];
        *n = t.tile[3 * i + 2];
        return !t.cut.n_out || !cu_cut_off(t.cut, t.in_row + *first, *n);
    }
    *matrix = 0;
    *first = i * rows;
    *n = t.n_rows - *first < rows ? t.n_rows - *first : rows;
    return *n > 0;
}

static __device__ __forceinline__ bool cu_beyond(const cu_tile_prod &p, int row, int o)
{
    const int32_t *width = p.slot ? p.cfg[p.slot[row]].ffn_width : NULL;
    int keep = width ? width[p.layer] : 0;
    return keep > 0 && o >= keep;
}

static __device__ __forceinline__ void cu_tile_put(const cu_tile_prod &p, int row, int o, float v)
{
    float *y = p.y + (int64_t)row * p.stride + o;
    if (p.bias) v += p.bias[o];
    if (p.glue == CU_ADD) v += *y;
    if (p.glue == CU_GLU) v = cu_beyond(p, row, o) ? 0.0f : cu_silu_mul(*y, v);
    *y = v;
    if (p.part && !cu_finite(v)) cu_mark(p.tr, row, p.part, p.layer);
}

#endif
