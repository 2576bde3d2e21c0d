/* kernels/cpu/dev: what the files of the CPU backend share: device, context, cells. Private to
 * kernels/cpu. Ownership: a ker_dev owns its pool, its copies of small weights and each worker's scratch;
 * a ker_ctx owns every buffer of a batch; weights stay in the caller's memory. */
#ifndef QUORUM_KERNELS_DEV_H
#define QUORUM_KERNELS_DEV_H

#include "kernels/cpu/mat.h"
#include "kernels/cpu/pool.h"
#include "kernels/cpu/vec.h"
#include "kernels/kernels.h"

enum {
    N_ACT = KER_ACT_Q8_256 + 1,
    FFN_ROWS = 512,                /* rows of one pass through a feed-forward part ...            */
    FFN_PAIRS = 4096,              /* ... and (row, expert) pairs: both bound the scratch         */
    FFN_BLOCK = 64,                /* outputs of one task, at most                                */
    ATT_QUERIES = 64,              /* (row, head) queries that one task takes through a page      */
    ATT_SEGMENT = 8,               /* pages of a segment (attn.c): part of the arithmetic         */
    ATT_SPLIT_ROWS = 8             /* batches up to this many rows may split a row's segments     */
};

typedef struct layer_w {
    mat w[KER_W_ROLES];            /* data NULL: absent. 3-D weights: n_out is one expert's       */
    float *vec[KER_W_ROLES];       /* norms and biases, decoded; owned                            */
    mat merged;                    /* carved models: down of all experts as [row][expert]; data owned */
} layer_w;

struct ker_dev {
    ker_model m;                   /* m.layer owned */
    layer_w *layer;                /* [n_layer + 1]; 0 = the whole-model roles */
    const vec_ops *v;
    pool *pool;
    int pairs_cap;                 /* max(FFN_PAIRS, n_expert) */
    int64_t scratch_bytes;         /* of one worker; 0 before ready */
    uint8_t **scratch;             /* [pool_threads] */
};

/* Rows of prepared activations, one buffer per kind that some weight needs. */
typedef struct acts { uint8_t *p[N_ACT]; int64_t stride[N_ACT]; } acts;

typedef struct cfg {               /* a ker_config with its arrays behind it */
    ker_config c;
} cfg;

struct ker_kv {
    const ker_dev *dev;
    enum ker_kv_type type;
    int n_page;
    int64_t head_bytes, page_bytes;
    uint8_t *data;                 /* [page][layer][kv head]: K, V, then (Q8_0) the scales of K, of V:
                                      K [dim][64] (transposed), V [64][dim], scales [dim/32][64], [64][dim/32] */
};

typedef struct att_block { int row, n, seq; } att_block;   /* rows that walk the pages together */

struct ker_ctx {
    ker_dev *dev;
    int max_rows, max_k;
    const atomic_int *cancel;
    cfg *cfg[256];

    ker_batch b;                   /* of the running batch; arrays are the caller's */
    ker_kv *kv;
    bool open;
    int state;                     /* 0, or Q_CANCEL once seen */
    int n_logits, n_hidden;
    att_block *block;              /* [max_rows] */
    int n_block;

    float *x;                      /* [max_rows][n_embd] the residual stream       */
    float *y;                      /* [max_rows][n_embd] normed, or a product      */
    float *q;                      /* [max_rows][n_head * head_dim]                */
    float *k, *v;                  /* [max_rows][n_kv_head * head_dim]             */
    float *o;                      /* [max_rows][n_head * head_dim]                */
    float *rope;                   /* [max_rows][rope_dim]: cos half, then sin     */
    float *part;                   /* [n][n_head][n_seg]: a segment's sums (attn.c) */
    int64_t part_floats;
    int n_seg;                     /* 1: nothing is split                          */
    acts in, att;                  /* of the normed row; of the attention's output */

    float *score;                  /* [max_rows][n_expert]                         */
    float *sh_coef;                /* [max_rows] the shared expert's gate          */
    uint16_t *ids;                 /* [n_layer][n][max_k]                          */
    float *weights, *entropy, *margin;
    int *n_slot;                   /* [max_rows] slots in use, in the routed layer at hand */

    float *h, *h_sh;               /* [pairs_cap][n_ff_exp], [FFN_ROWS][widest dense or shared]   */
    acts gather, h_act, sh_act;    /* rows of pairs, sorted by expert; of h; of h_sh              */
    int *pair_row, *pair_pos;      /* [pairs_cap] row of a sorted pair; sorted place of (row, slot) */
    int *slot_at;                  /* [FFN_ROWS + 1] first pair of a row                          */
    int *ex_off;                   /* [n_expert + 1]                                              */
    int *active;                   /* [n_expert]                                                  */

    float *logits, *hidden;        /* [max_rows][n_vocab], [max_rows][n_embd]; touched as needed  */
};

/* ---- dev.c ---- */
int dev_open(const ker_model *m, int n_threads, ker_dev **out, char *err);
void dev_close(ker_dev *);
void dev_set_threads(ker_dev *, int n);
int dev_weight(ker_dev *, int layer, enum ker_role role, const ker_weight *w, char *err);
int dev_ready(ker_dev *, char *err);
static inline layer_w *dev_layer(const ker_dev *d, int layer) { return &d->layer[layer + 1]; }
static inline enum ker_act mat_kind(const mat *w) { return ker_type_get(w->type)->act; }
static inline float *dev_floats(ker_dev *d, int worker) { return (float *)(void *)(d->scratch[worker] + MAT_SCRATCH); }
static inline void *dev_mat_scratch(ker_dev *d, int worker) { return d->scratch[worker]; }
static inline int round16(int n) { return (n + 15) & ~15; }
int64_t dev_attn_floats(const ker_model *m);              /* attn.c: scratch of one worker */

/* ---- ctx.c ---- */
int ctx_run(ker_ctx *, int n_tasks, pool_fn fn, void *arg);   /* pool_run that remembers Q_CANCEL */
static inline const ker_config *ctx_cfg(const ker_ctx *c, int row) { return &c->cfg[c->b.slot ? c->b.slot[row] : 0]->c; }
static inline int64_t trace_at(const ker_ctx *c, int layer, int row) { return ((int64_t)layer * c->b.n + row) * c->max_k; }
/* Fills y with the normed rows of x and prepares them for every kind in `kinds` (bits of ker_act). */
int ctx_norm(ker_ctx *, const float *w, unsigned kinds);

/* Products that share a barrier: y[r * y_stride + o] = W[o] . act[r], then add_to[same place] += y. */
typedef struct prod {
    const mat *w;
    const uint8_t *act;
    int64_t act_stride;
    int n;
    float *y, *add_to;             /* add_to may be NULL */
    int64_t y_stride;
    int block, first;              /* filled by ctx_products */
} prod;
int ctx_products(ker_ctx *, prod *p, int n);
int block_rows(const ker_dev *d, int64_t n_out, int n_rows);   /* outputs per task: a multiple of 16 */

/* ---- the parts ---- */
void attn_begin(ker_ctx *);
int cpu_attn(ker_ctx *, int layer);
int cpu_route(ker_ctx *, int layer);
int cpu_experts(ker_ctx *, int layer);
int cpu_dense(ker_ctx *, int layer);
int kv_new(ker_dev *, enum ker_kv_type t, int n_page, ker_kv **out, char *err);
void kv_free(ker_kv *);
void kv_copy(ker_kv *, int dst_page, int src_page, int n_cells);
int64_t kv_page_bytes(const ker_dev *, enum ker_kv_type t);

#endif
