/* kernels/cuda/low: what low-rank changes of matrices (ker_low in kernels.h) add to products: y += B t with t = factor * scale * (A x).
 * low.cu has the launches, adapter.cu what a device and a context keep for them. A's and B's numbers stay F32. In which order a row's
 * numbers are added depends on its own configuration and matrix alone: a dot product goes over a warp's lanes in one fixed way, B t is a
 * chain of fused multiply-adds over adapters in the configuration's order and their ranks, as on the CPU (kernels/cpu/low.c). Factors lie
 * in the configuration on the device, so that a graph outlives a change of scale. The fused launches of few rows do it within themselves
 * (low_in.cuh), all others in launches of its own. Private to kernels/cuda. */
#ifndef QUORUM_CUDA_LOW_CUH
#define QUORUM_CUDA_LOW_CUH

#include "kernels/cuda/types.cuh"

enum { CU_LOW_TILE = 4 /* ranks and items that go together */, CU_LOW_JOBS = 4 };

/* Items of a product: rows of a batch, or pairs of a row and one of its slots. */
typedef struct cu_low_items {
    int n, r0, per, max_k;         /* items; a local row r is row r0 + r of the batch; slots a row (0: items are rows); entries of a list */
    const int *row_of;             /* [n] the local row of an item; NULL: item / per, or the item itself */
    const int *pair_of;            /* [n] item i is pair row * per + slot; NULL: i                */
    const int *off, *count;        /* items from *off + *count on are not in use; NULL: all are   */
    const uint16_t *ids;           /* [rows][max_k] experts, which are matrices too; NULL: matrix 0 */
    const int *place;              /* [n_expert] -1: its items are left out this time; or NULL    */
    const uint16_t *slots;         /* [rows][max_k] KER_NO_EXPERT: the same; or NULL              */
} cu_low_items;

/* One product's change. */
typedef struct cu_low_job {
    int layer, role;
    int n_in, n_out;               /* set by the launch                                           */
    cu_low_items of;
    const float *x;                /* [items or local rows][n_in]                                 */
    const float *norm;             /* x is normed by this on its way (few rows only); NULL: taken as it is */
    bool by_row;                   /* x by local row; else by item                                */
    float *y;                      /* [items][n_out], or ...                                      */
    bool by_expert;                /* set by the launch: factors of experts are its own            */
    bool by_pair;                  /* ... [pairs][n_out]                                          */
    int part;                      /* ker_part of rows that are not finite then; KER_PART_NONE: not looked at */
    float *t;                      /* [items][wide]; set by cu_low_take                           */
    int glu;                       /* of a gate: ker_glu                                          */
    const float *bias;             /* of a gate and an up: [matrix][n_out], or NULL               */
} cu_low_job;

/* A gate and an up whose products lie in y each: gate's y becomes glu(gate, up), both with their changes and biases. width: the first
 * neurons in effect, as the row's configuration has it: 0 not looked at, else ker_config's ffn_width or expert_width. */
enum { CU_LOW_WIDE, CU_LOW_FFN_WIDTH, CU_LOW_EXPERT_WIDTH };
typedef struct cu_low_glu { cu_low_job gate, up; int width; } cu_low_glu;

/* Some adapter of the batch at hand changes such a matrix. */
bool cu_low_acts(const ker_ctx *c, int layer, int role);
cu_low_job cu_low_rows(const ker_ctx *c, int layer, enum ker_role role, const float *x, float *y, int n);      /* an item a row, from the first */
/* t of each; those that nothing changes are passed over, here as below. */
void cu_low_take(ker_ctx *c, cu_low_job *jobs, int n);
void cu_low_add(ker_ctx *c, const cu_low_job *jobs, int n);
void cu_low_both(ker_ctx *c, cu_low_job *jobs, int n);       /* take, then add */
void cu_low_glue(ker_ctx *c, const cu_low_glu *g, int n, bool fast /* as cu_silu_mul divides */);      /* behind cu_low_take */
/* Few rows' sums over slots: down->y[row] += weights[row][slot] * B t of `down`, then coef[row] (NULL: 1) * B t of `sh`. */
void cu_low_down(ker_ctx *c, const cu_low_job *down, const cu_low_job *sh, const float *weights, const float *coef, int rows);
/* glu.cu: cu_between (tiles.cuh) on items of a product; then `gate_bias` of each item's expert onto its pair's row of h. */
void cu_glue_rows(ker_ctx *c, const struct cu_between *g, const cu_low_items *of);
void cu_bias_rows(ker_ctx *c, const struct cu_between *g, const cu_low_items *of);
/* The parts that are the same for few and for many rows. norm: x is the residual stream, normed on its way; else normed rows. */
void cu_low_qkv_jobs(const ker_ctx *c, int layer, const float *x, const float *norm, cu_low_job j[3]);
cu_low_job cu_low_out_job(const ker_ctx *c, int layer);
cu_low_job cu_delta_out_job(const ker_ctx *c, int layer);    /* delta.cu */
cu_low_job cu_low_head_job(const ker_ctx *c, const float *x, const float *norm, int first /* of those that want logits */, int n);
void cu_low_embed(ker_ctx *c);

#endif
