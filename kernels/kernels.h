/* kernels: where arithmetic happens. One table of functions (ker_backend), the same for CPU, CUDA
 * and the emulator; shapes in, numbers out. Owns device copies of weights, KV memory and scratch.
 * It never reads a file, allocates between begin and end, knows a token's text, or prints.
 *
 * Threads: one caller thread per context; several contexts may share a device, not at the same time
 * inside begin..end (the worker pool belongs to the device). ker_ctx's cancel flag may be set from
 * any thread at any time.
 * Errors: 0 or a negative q_result; `err` as in base.h.
 *
 * Arithmetic (the determinism promise; every CPU path, scalar or vector, obeys it bit for bit):
 *  - y[row] = sum over blocks b in rising order: acc = fmaf(scale_b, (float)isum_b, acc), acc from 0,
 *    where isum_b is the exact integer dot product of block b (for K-quants of the 256-block, with the
 *    integer sub-scales inside; the minimum's part is a second fmaf right after the first).
 *    So a row's bits depend on neither the number of rows, the chunk, the thread count nor the ISA.
 *  - F32, F16, BF16 weights: activations F32; 16 partial sums (partial j takes k = j mod 16, in rising
 *    k, fmaf), then folded 16->8->4->2->1 by adding the upper half to the lower.
 *  - -ffp-contract=off; fmaf only where written. Reductions (norm, softmax) run in one fixed order. */
#ifndef QUORUM_KERNELS_H
#define QUORUM_KERNELS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

/* ---- tensor types: one row each in types.def; the ids are GGUF's (ggml/docs/gguf.md) ---- */
enum ker_type_id {
#define KER_FLOAT(id, name, ...) KER_##name = id,
#define KER_BLOCK(id, name, ...) KER_##name = id,
#define KER_STORE(id, name, ...) KER_##name = id,
#define KER_NAMED(id, name, ...) KER_##name = id,
#include "kernels/types.def"
    KER_TYPE_LIMIT                     /* one more than the last */
};
/* How activations are quantised before they meet a weight of this type. */
enum ker_act { KER_ACT_F32, KER_ACT_Q8_32 /* f32 scale, 32 int8 */, KER_ACT_Q8_256 /* f32 scale, 256 int8 */ };

typedef struct ker_type {
    const char *name;                  /* "Q4_K"                                                  */
    int block, bytes;                  /* elements and bytes of a block; 0: not known             */
    enum ker_act act;
    bool weight;                       /* usable as a weight (I8..I32 are storage only)           */
    int16_t sub;                       /* elements of a sub-block with its own scale; 0: no block type */
    int16_t d, m;                      /* offsets of a block's half floats: scale, minimum's scale; -1: none */
    void (*decode)(const void *src, float *dst, int64_t n);   /* the scalar reference, n % block == 0 */
    void (*encode)(const float *src, void *dst, int64_t n);   /* NULL where we never write it         */
} ker_type;
const ker_type *ker_type_get(int id);  /* NULL for ids that we neither compute with nor keep: refuse them */
const ker_type *ker_type_named(int id);   /* also types we can only name and measure; NULL for ids we never heard of */

/* What general.file_type says of a whole file (llama.h, enum llama_ftype). */
typedef struct ker_file_type {
    int id;
    const char *name;                  /* "Q4_K_M"                                                */
    double bits;                       /* a weight, about; 0: not to be offered                   */
} ker_file_type;
const ker_file_type *ker_file_types(int *n);
const ker_file_type *ker_file_type_get(uint64_t id);   /* NULL when unknown */
int64_t ker_row_bytes(int type, int64_t n);   /* n elements of a row; n must be a multiple of block  */
float ker_f16_to_f32(uint16_t h);
uint16_t ker_f32_to_f16(float f);      /* round to nearest even */

/* ---- the model, as arithmetic sees it ---- */
enum ker_gate { KER_GATE_SOFTMAX, KER_GATE_SIGMOID };
enum ker_role {                        /* shapes: roles.c                                         */
    KER_W_EMBD, KER_W_OUT_NORM, KER_W_OUT,                        /* layer -1; OUT absent = tied  */
    KER_W_ATTN_NORM, KER_W_Q, KER_W_K, KER_W_V, KER_W_O,
    KER_W_BQ, KER_W_BK, KER_W_BV,      /* optional biases                                         */
    KER_W_Q_NORM, KER_W_K_NORM,        /* optional                                                */
    KER_W_FFN_NORM,
    KER_W_GATE, KER_W_UP, KER_W_DOWN,  /* dense layer                                             */
    KER_W_ROUTER,
    KER_W_SELECT_BIAS,                 /* optional, added to gate values for selection only       */
    KER_W_GATE_EXPS, KER_W_UP_EXPS, KER_W_DOWN_EXPS,
    KER_W_GATE_SH, KER_W_UP_SH, KER_W_DOWN_SH,   /* shared expert                                 */
    KER_W_SH_ROUTER,                   /* optional: sigmoid gate of the shared expert (qwen2moe)  */
    KER_W_ROLES
};

typedef struct ker_layer {
    bool moe;
    int n_ff;                          /* dense width (0 in a routed layer) */
} ker_layer;

typedef struct ker_model {             /* copied by open, `layer` too */
    int n_layer, n_embd, n_vocab;
    int n_head, n_kv_head, head_dim;   /* K and V heads have the same width */
    int rope_dim;                      /* the first rope_dim of head_dim rotate               */
    bool rope_half;                    /* pairs (i, i + rope_dim/2); else adjacent (2i, 2i+1) */
    int n_expert, n_ff_exp, n_ff_sh;   /* 0 where there are none                              */
    enum ker_gate gate;
    bool renorm;                       /* chosen weights divided by their sum                 */
    float weights_scale;               /* then multiplied by this (1 = none)                  */
    float router_scale;                /* r > 0: a carved model: scores are s = (logit + 4*select_bias)/r,
                                          routing, edits, trace are of s, and every weight is exactly 1  */
    const ker_layer *layer;            /* [n_layer] */
} ker_model;

typedef struct ker_weight {
    int type;                          /* ker_type_id                                  */
    int64_t ne[3];                     /* missing dimensions are 1                     */
    const void *data;                  /* host memory of the caller; outlives the dev  */
    size_t bytes;
} ker_weight;

/* What a role is, once for every backend and for the loader (roles.c). */
enum ker_dim { KER_DIM_ONE, KER_DIM_EMBD, KER_DIM_VOCAB, KER_DIM_Q /* n_head * head_dim */, KER_DIM_KV, KER_DIM_HEAD,
               KER_DIM_FF /* of the layer */, KER_DIM_EXPERT, KER_DIM_FF_EXP, KER_DIM_FF_SH };
enum ker_where { KER_IN_MODEL /* layer -1 */, KER_IN_LAYER, KER_IN_DENSE, KER_IN_MOE, KER_IN_SHARED /* routed layers with n_ff_sh > 0 */ };
typedef struct ker_role_row {
    const char *name;                  /* "the router", for sentences: through _()            */
    enum ker_dim ne[3];                /* ne0 is the input width, as in GGUF                   */
    enum ker_where where;
    bool must;                         /* there is no pass without it                          */
    bool vec;                          /* used as F32 numbers, not as a matrix                 */
} ker_role_row;
const ker_role_row *ker_role_get(enum ker_role role);                              /* NULL outside the enum */
int ker_role_shape(const ker_model *, int layer, enum ker_role role, int64_t ne[3]);   /* returns how many dimensions it has */
bool ker_role_here(const ker_model *, int layer, enum ker_role role);              /* layer has such a place */
/* A weight against the model: place, type, shape, bytes. */
int ker_weight_check(const ker_model *, int layer, enum ker_role role, const ker_weight *w, char *err);
/* Nothing needed is missing. */
int ker_weights_whole(const ker_model *, bool (*has)(const void *user, int layer, enum ker_role role), const void *user, char *err);

/* ---- configuration of a row: immutable once put ---- */
typedef struct ker_config {            /* arrays are copied by cfg_put */
    float norm_eps;
    const float *rope_freq;            /* [rope_dim/2] inverse frequencies, all scaling inside            */
    float rope_mscale;                 /* cos and sin are multiplied by this (YaRN)                       */
    float attn_scale;                  /* usually 1/sqrt(head_dim)                                        */
    const int16_t *k;                  /* [n_layer] experts per token, 0 in dense layers                  */
    const float *router_add;           /* [n_layer][n_expert] added to the scores, -INFINITY bans; or NULL */
    const uint8_t *pin;                /* [n_layer][n_expert] 1 = takes one of the k slots; or NULL       */
    float router_temperature;          /* scores divided by this before the gate (selection and weights); 1 */
    float min_p;                       /* chosen experts with weight < min_p * largest weight are dropped
                                          (id kept out, slots shortened, at least one stays); 0 = off     */
    const uint8_t *head_off;           /* [n_layer][n_head] 1 = that head's output is zero; or NULL       */
    const int32_t *ffn_width;          /* [n_layer] dense/shared neurons in effect, 0 = all; or NULL      */
} ker_config;

/* ---- one batch ---- */
enum { KER_PAGE = 64, KER_NO_EXPERT = 0xFFFF };
enum ker_want { KER_WANT_NONE = 0, KER_WANT_LOGITS = 1, KER_WANT_HIDDEN = 2 /* after the output norm */ };

typedef struct ker_seq {               /* one sequence: its cells in order */
    const int32_t *page;               /* cell c lives in page[c / KER_PAGE], at c % KER_PAGE */
    int n_page;
} ker_seq;

typedef struct ker_batch {             /* arrays of n rows, owned by the caller until end/wait */
    int n;
    const int32_t *token;
    const int32_t *pos;                /* rope position                                                  */
    const int32_t *cell;               /* where K and V of the row are written; the row sees cells 0..cell */
    const int16_t *seq;                /* which of seqs; NULL = all 0. Rows of one sequence come in rising cell order */
    const int16_t *slot;               /* configuration slot; NULL = all 0                               */
    const uint8_t *want;               /* ker_want flags; NULL = only the last row wants logits          */
    const ker_seq *seqs;
    int n_seq;
    const uint16_t *forced;            /* [n_layer][n][max_k] expert ids to run instead of the router's
                                          choice, KER_NO_EXPERT ends a list, an empty one leaves the router
                                          its choice; or NULL. Weights are their own gate values,
                                          renormalised where the model does                               */
    int phase;                         /* 0 prompt, 1 decode: a hint for kernels, never changes bits      */
} ker_batch;

/* What the forward left behind. Valid from wait until the next begin on that context; owned by ctx. */
typedef struct ker_out {
    const float *logits;               /* [n_logits][n_vocab], in row order of the rows that wanted them */
    int n_logits;
    const float *hidden;               /* [n_hidden][n_embd] */
    int n_hidden;
    int max_k;
    const uint16_t *ids;               /* [n_layer][n][max_k], best first, KER_NO_EXPERT pads             */
    const float *weights;              /* [n_layer][n][max_k]                                             */
    const float *entropy;              /* [n_layer][n] of softmax(scores), nats, 0 in dense layers        */
    const float *margin;               /* [n_layer][n] score of the k-th chosen minus the best not chosen;
                                          NAN where all run, the routing was forced, or the layer is dense */
} ker_out;

typedef struct ker_dev ker_dev;
typedef struct ker_ctx ker_ctx;
typedef struct ker_kv ker_kv;

enum ker_kv_type { KER_KV_F16, KER_KV_F32, KER_KV_Q8_0 };

typedef struct ker_backend {
    const char *name;                                                  /* "cpu" */
    int (*open)(const ker_model *m, int n_threads, ker_dev **out, char *err);  /* n_threads 0 = all cores */
    void (*close)(ker_dev *);
    void (*set_threads)(ker_dev *, int n);                             /* between batches only */
    /* Registers a weight; checks shape against the model. layer = -1 for the whole-model roles. */
    int (*weight)(ker_dev *, int layer, enum ker_role role, const ker_weight *w, char *err);
    /* After the last weight: repacks what pays, checks that nothing needed is missing. */
    int (*ready)(ker_dev *, char *err);

    int (*ctx_new)(ker_dev *, int max_rows, int max_k, const atomic_int *cancel, ker_ctx **out, char *err);
    void (*ctx_free)(ker_ctx *);
    int (*cfg_put)(ker_ctx *, int slot, const ker_config *c, char *err);   /* slot 0..255 */

    int (*kv_new)(ker_dev *, enum ker_kv_type t, int n_page, ker_kv **out, char *err);
    void (*kv_free)(ker_kv *);
    void (*kv_copy)(ker_kv *, int dst_page, int src_page, int n_cells);    /* all layers */
    int64_t (*kv_page_bytes)(const ker_dev *, enum ker_kv_type t);

    /* One forward pass: begin, embed, then per layer attn and (route, experts) or dense, head, end.
     * Each returns Q_CANCEL as soon as the cancel flag is seen; the batch is then void. */
    int (*begin)(ker_ctx *, ker_kv *, const ker_batch *);
    int (*embed)(ker_ctx *);
    int (*attn)(ker_ctx *, int layer);        /* norm, QKV (+bias, q/k norm), rope, append, attention, output, residual */
    int (*route)(ker_ctx *, int layer);       /* norm, scores, edits, top-k, weights, trace        */
    int (*experts)(ker_ctx *, int layer);     /* routed + shared + residual                        */
    int (*dense)(ker_ctx *, int layer);       /* norm, gated FFN, residual                         */
    int (*head)(ker_ctx *);                   /* output norm, logits of the rows that want them    */
    int (*end)(ker_ctx *, ker_out *out);      /* waits */

    /* Taps for tests and later for experts computed elsewhere: the residual stream, [n][n_embd]. */
    int (*hidden_get)(ker_ctx *, float *dst);
    int (*hidden_put)(ker_ctx *, const float *src);
} ker_backend;

const ker_backend *ker_cpu(void);

/* ---- CPU only ---- */
const char *ker_cpu_features(void);            /* "avx512-vnni", "avx2", "neon", "scalar": what dispatch chose */
/* Force a lower path for tests ("scalar", "avx2", "avx512"; NULL = best). Before open. Q_NOTFOUND if not here. */
int ker_cpu_force(const char *name);
/* Measured read bandwidth in bytes/s, n_threads readers over `bytes` of memory (seconds of work: bench only). */
double ker_cpu_read_bandwidth(int n_threads, size_t bytes);

#endif
