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
 *    integer sub-scales inside; the minimum's part is a second fmaf right after the first; NVFP4's
 *    blocks are its sixteens, which have a float each).
 *    So a row's bits depend on neither the number of rows, the chunk, the thread count nor the ISA.
 *  - F32, F16, BF16 weights: activations F32; 16 partial sums (partial j takes k = j mod 16, in rising
 *    k, fmaf), then folded 16->8->4->2->1 by adding the upper half to the lower.
 *  - -ffp-contract=off; fmaf only where written. Reductions (norm, softmax) run in one fixed order. */
#ifndef QUORUM_KERNELS_H
#define QUORUM_KERNELS_H

#ifdef __cplusplus                     /* kernels/cuda is C++; an atomic int is the same object in both */
#include <atomic>
using std::atomic_int;
extern "C" {
#else
#include <stdatomic.h>
#endif
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
    int16_t d, m;                      /* offsets of a block's half floats: scale (-1: kept otherwise), minimum's scale (-1: none) */
    void (*decode)(const void *src, float *dst, int64_t n);   /* the scalar reference, n % block == 0 */
    void (*encode)(const float *src, void *dst, int64_t n);   /* NULL where we never write it         */
} ker_type;
const ker_type *ker_type_get(int id);  /* NULL for ids that we neither compute with nor keep: refuse them */
const ker_type *ker_type_named(int id);   /* also types we can only name and measure; NULL for ids we never heard of */

/* Writes a block's scale alone, and its minimum's: the nearest that the type has (MXFP4: a power of two, d or less; no sign where
 * it has none). For blocks whose integers are made at random. */
void ker_type_scale(int type, void *block, float d, float m);

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
    KER_W_BQ, KER_W_BK, KER_W_BV,      /* in layers with KER_BIAS_QKV                             */
    KER_W_Q_NORM, KER_W_K_NORM,        /* optional                                                */
    KER_W_FFN_NORM,
    KER_W_GATE, KER_W_UP, KER_W_DOWN,  /* dense layer                                             */
    KER_W_ROUTER,
    KER_W_SELECT_BIAS,                 /* optional, added to gate values for selection only       */
    KER_W_GATE_EXPS, KER_W_UP_EXPS, KER_W_DOWN_EXPS,
    KER_W_GATE_SH, KER_W_UP_SH, KER_W_DOWN_SH,   /* shared expert                                 */
    KER_W_SH_ROUTER,                   /* optional: sigmoid gate of the shared expert (qwen2moe)  */
    KER_W_BO, KER_W_SINKS,             /* KER_BIAS_O; layers with sinks, [n_head]                 */
    KER_W_POST_ATTN_NORM, KER_W_POST_FFN_NORM,   /* layers with post_norms                        */
    KER_W_BROUTER,                     /* KER_BIAS_ROUTER: added to the router's logits           */
    KER_W_BGATE_EXPS, KER_W_BUP_EXPS, KER_W_BDOWN_EXPS,          /* KER_BIAS_EXPERTS: [n_expert][width] */
    KER_W_D_QKV, KER_W_D_Z, KER_W_D_BETA, KER_W_D_ALPHA, KER_W_D_BA /* both, by key heads */,   /* KER_MIX_DELTA */
    KER_W_D_CONV, KER_W_D_DT, KER_W_D_A, KER_W_D_NORM, KER_W_D_OUT,
    KER_W_Q_A, KER_W_Q_A_NORM, KER_W_Q_B,                        /* KER_MIX_MLA with q_rank; else KER_W_Q */
    KER_W_KV_A, KER_W_KV_A_NORM,       /* KER_MIX_MLA: what a cell keeps: latent, then rotated numbers    */
    KER_W_K_B, KER_W_V_B,              /* [n_head]: of a head's nope numbers a latent; of a latent its V  */
    KER_W_NEXT_E_NORM, KER_W_NEXT_H_NORM, KER_W_NEXT_PROJ,       /* layer -1 of a model with `next`                   */
    KER_W_ROLES
};

/* Kinds of layer. A backend says in `open` what it does not compute; zero is what all of them do. */
enum ker_mixer { KER_MIX_GQA, KER_MIX_MLA, KER_MIX_DELTA };
/* gelu is the tanh form (arXiv 1606.08415; Gemma). Clamped, with x = min(gate, 7) and y = min(max(up, -7), 7):
 * x * sigmoid(1.702 x) * (y + 1) (gpt-oss: openai/gpt-oss, torch/model.py, swiglu). */
enum ker_glu { KER_GLU_SILU /* silu(gate) * up */, KER_GLU_GELU /* gelu(gate) * up */, KER_GLU_CLAMPED, KER_GLUS };
enum { KER_ROPE_SETS = 2 };
enum { KER_BIAS_QKV = 1, KER_BIAS_O = 2, KER_BIAS_ROUTER = 4, KER_BIAS_EXPERTS = 8 };

typedef struct ker_layer {
    enum ker_mixer mixer;
    bool moe;
    enum ker_glu glu;
    int n_ff;                          /* dense width (0 in a routed layer)                            */
    int window;                        /* a row sees so many cells at most; 0: all                     */
    bool sinks;                        /* a learned score beside a row's cells, one a head             */
    bool post_norms;                   /* norms after attention and feed-forward too                   */
    unsigned biases;                   /* KER_BIAS_*                                                   */
    int rope_set;                      /* 0: a configuration's rope_freq; 1: its rope_local            */
    bool q_gate;                       /* Q has for each head its numbers and as many of a gate: the head's output times its sigmoid */
} ker_layer;

/* KER_MIX_MLA (DeepSeek-V2, arXiv 2405.04434): a head's Q and K are `nope` numbers without and `rope` with rotation. Computed
 * absorbed (section 2.1.2 there): a cell holds the latent of kv_rank numbers and the `rope` rotated ones, once for all heads;
 * K_B takes a head's Q there, scores are products of kv_rank + rope numbers, V is the latent, V_B takes the sum of it back.
 * Such a model has n_kv_head 1, head_dim kv_rank + rope, rope_dim rope, and the mixer in every layer. */
typedef struct ker_latent { int q_rank /* 0: Q in one step */, kv_rank, nope, rope, v /* numbers of a V head */; } ker_latent;
/* KER_MIX_DELTA (gated delta rule, arXiv 2412.06464): a state of [key_dim][value_dim] for each of n_value heads, and the last
 * conv - 1 inputs of a convolution over n_key * key_dim * 2 + n_value * value_dim channels. Of the normed row x, a value head
 * with its key head, all sums in rising order:
 *   [q k v] = silu(conv(W_qkv x)); q, k over their length, q over sqrt(key_dim) too; g = exp(A softplus(W_alpha x + dt));
 *   b = sigmoid(W_beta x); d = b (v - g S^T k); S = g S + k d^T; o = S^T q; out = W_out (norm(o) * silu(W_z x)). */
enum { KER_CONV_MOST = 32 };            /* inputs of a convolution, at most                         */
typedef struct ker_delta {
    int n_key, n_value;                /* heads; n_value is a multiple of n_key                        */
    int key_dim, value_dim, conv;
    bool tiled;                        /* value head h has key head h mod n_key; else h / (n_value / n_key) */
    bool paired;                       /* beta and alpha in one matrix (D_BA): a key head's betas, then its alphas */
    float l2_eps;                      /* of the norm of q and k; 0: a configuration's norm_eps         */
} ker_delta;

typedef struct ker_model {             /* copied by open, `layer` too */
    int n_layer, n_embd, n_vocab;
    int n_head, n_kv_head, head_dim;   /* K and V heads have the same width; KER_MIX_MLA: see ker_latent */
    int rope_dim;                      /* the first rope_dim of head_dim rotate               */
    bool rope_half;                    /* pairs (i, i + rope_dim/2); else adjacent (2i, 2i+1) */
    int n_expert, n_ff_exp, n_ff_sh;   /* 0 where there are none                              */
    enum ker_gate gate;
    bool renorm;                       /* chosen weights divided by their sum                 */
    float weights_scale;               /* then multiplied by this (1 = none)                  */
    float router_scale;                /* r > 0: a carved model: scores are s = (logit + 4*select_bias)/r,
                                          routing, edits, trace are of s, and every weight is exactly 1  */
    const ker_layer *layer;            /* [n_layer] */
    /* What zero leaves as it was: */
    bool qk_whole;                     /* one norm over all heads of Q, one over those of K   */
    float embd_scale, residual_scale, logit_scale;   /* factors of the embedded rows, of what a part adds, of logits; 0 = 1 */
    /* Experts in n_group groups of neighbours (0: none): the k are chosen among those of the best n_group_used, or of as many
     * more as it takes to hold k that are not banned. A group is as good as the sum of its group_best (1 or 2) largest
     * selection scores; a ban counts there as a gate value of 0, and a group of nothing but bans and pins is none.
     * Pins and forced routing do not ask for groups; the margin is to the best of those groups that was not chosen. */
    int n_group, n_group_used, group_best;
    float sum_floor;                   /* with renorm: a smaller sum of chosen weights counts as this; 0 = 1e-20 */
    ker_latent latent;
    ker_delta delta;
    /* A head that predicts one token further (DeepSeek-V3, arXiv 2412.19437, equation 21): a row begins as NEXT_PROJ of its embedded
     * token, normed, and then the hidden row that the batch gives it, normed. */
    bool next;
} ker_model;

typedef struct ker_weight {
    int type;                          /* ker_type_id                                  */
    int64_t ne[3];                     /* missing dimensions are 1                     */
    const void *data;                  /* host memory of the caller; outlives the dev  */
    size_t bytes;                      /* from data to the end of the last row         */
    int64_t stride;                    /* bytes from one expert's matrix to the next; 0: they touch */
} ker_weight;

/* What a role is, once for every backend and for the loader (roles.c). */
enum ker_dim { KER_DIM_ONE, KER_DIM_EMBD, KER_DIM_VOCAB, KER_DIM_Q /* n_head * head_dim */, KER_DIM_KV, KER_DIM_HEAD,
               KER_DIM_FF /* of the layer */, KER_DIM_EXPERT, KER_DIM_FF_EXP, KER_DIM_FF_SH, KER_DIM_HEADS /* n_head */,
               KER_DIM_QG /* Q with its gate where the layer has one */, KER_DIM_QN, KER_DIM_KN /* of the norms of Q and K */,
               KER_DIM_D_IN /* channels of the convolution */, KER_DIM_D_V /* n_value * value_dim */, KER_DIM_D_HEADS /* n_value */, KER_DIM_D_BOTH /* twice that */,
               KER_DIM_D_CONV, KER_DIM_D_HEAD /* value_dim */,
               KER_DIM_O /* what attention leaves for the output matrix */, KER_DIM_TWO /* twice n_embd */, KER_DIM_Q_RANK, KER_DIM_KV_RANK, KER_DIM_NOPE, KER_DIM_V_HEAD /* ker_latent */ };
enum ker_where { KER_IN_MODEL /* layer -1 */, KER_IN_LAYER, KER_IN_BIASED /* KER_BIAS_QKV */, KER_IN_DENSE, KER_IN_MOE, KER_IN_SHARED /* routed layers with n_ff_sh > 0 */,
                 KER_IN_GQA /* layers of that mixer */, KER_IN_BIASED_O, KER_IN_SINKS, KER_IN_POST, KER_IN_BIASED_ROUTER, KER_IN_BIASED_EXPERTS,
                 KER_IN_ATTN /* GQA and MLA */, KER_IN_Q /* of them with Q in one step */, KER_IN_MLA, KER_IN_Q_RANK /* MLA with q_rank */,
                 KER_IN_DELTA /* layers of that mixer */, KER_IN_DELTA_TWO /* ... with D_BETA and D_ALPHA */, KER_IN_DELTA_PAIRED, KER_IN_NEXT /* layer -1 */ };
typedef struct ker_role_row {
    const char *name;                  /* "the router", for sentences: through _()            */
    enum ker_dim ne[3];                /* ne0 is the input width, as in GGUF                   */
    enum ker_where where;
    bool must;                         /* there is no pass without it                          */
    bool vec;                          /* used as F32 numbers, not as a matrix                 */
} ker_role_row;
const ker_role_row *ker_role_get(enum ker_role role);                              /* NULL outside the enum */
int ker_role_shape(const ker_model *, int layer, enum ker_role role, int64_t ne[3]);   /* returns how many dimensions it has */
bool ker_role_of_experts(enum ker_role role);      /* each routed expert has rows of its own there: it goes where they run */
bool ker_role_here(const ker_model *, int layer, enum ker_role role);              /* layer has such a place */
typedef struct ker_hold {              /* what of a model a device holds; arrays are copied by open          */
    int index;                         /* which of the backend's devices, from 0                             */
    bool no_rest;                      /* nothing but routed experts: such a device only does moe_run      */
    const bool *no_experts;            /* [n_layer] routed experts of these layers are elsewhere; NULL: none are */
    uint64_t cache_bytes;              /* a device with memory of its own fetches routed experts when they run, into so
                                          many bytes of it (at least one of a kind), by recency; 0: it holds them, or with
                                          a source has room for all. Others make nothing of it                     */
} ker_hold;
/* A weight against the model: place, type, shape, bytes. Without data it is refused, unless its bytes are
 * `elsewhere` (routed experts of a ker_source). */
int ker_weight_check(const ker_model *, int layer, enum ker_role role, const ker_weight *w, bool elsewhere, char *err);
/* Nothing is missing that a device with this hold (NULL: all) needs. */
int ker_weights_whole(const ker_model *, const ker_hold *, bool (*has)(const void *user, int layer, enum ker_role role), const void *user, char *err);

/* ---- low-rank changes of matrices: adapters (LoRA, arXiv 2106.09685): y = W x + factor * scale * B (A x) ---- */
/* x in F32, as it is before it is made ready for W; B (A x) is added to the product before anything else is, a row's numbers in the
 * order of its configuration's adapters and of their ranks, so that a row's bits depend on nothing but the row. */
typedef struct ker_low {               /* one matrix's: of a role with a matrix, but the router's and the drafting head's projection */
    enum ker_role role;
    int layer;                         /* -1: of the whole model (embedding, head)                */
    int n_expert;                      /* 1; in roles of three dimensions the third: the model's routed experts, heads of latent attention */
    int64_t n_in, n_out;
    int rank;                          /* the same for every expert of a matrix                   */
    float scale;                       /* alpha / rank, rsLoRA's alpha / sqrt(rank): what B (A x) is multiplied by at a person's scale of 1 */
    const float *a;                    /* [n_expert][rank][n_in]                                  */
    const float *b;                    /* [n_expert][n_out][rank]                                 */
} ker_low;
enum { KER_ADAPTERS = 16, KER_LOW_RANK = 4096 /* at most */ };
typedef struct ker_adapt {             /* an adapter that acts in a configuration                 */
    int adapter;                       /* its number (adapter_put)                                */
    const float *layer;                /* [n_layer + 1] factors: of the whole model's roles, then of each layer's; 0: none acts */
    const float *expert;               /* [n_layer][n_expert] factors of routed experts' matrices instead; NULL: their layer's  */
} ker_adapt;
bool ker_role_low(enum ker_role role);             /* such a matrix may be changed */
/* A change against the model: place, shape, rank, numbers that are given. */
int ker_low_check(const ker_model *, const ker_low *, char *err);

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
    /* [n_layer] neurons in effect of the dense or shared part, and of each routed expert: n the first n, -n the n of
     * largest magnitude at the row's own activations (of equals the first), 0 and more than there are: all; or NULL */
    const int32_t *ffn_width, *expert_width;
    const float *rope_local;               /* [rope_dim/2] those of layers with rope_set 1; NULL where there are none */
    float rope_local_mscale;
    const ker_adapt *adapt;                /* [n_adapt] adapters that act, in the order of adding; each is at the device while a row uses this */
    int n_adapt;
} ker_config;

/* ---- one batch ---- */
enum { KER_PAGE = 64, KER_NO_EXPERT = 0xFFFF,
       KER_FEW = 8 };                  /* rows of a batch among which each has the bits that it has alone, on every backend (the CPU: any number) */
enum ker_want { KER_WANT_NONE = 0, KER_WANT_LOGITS = 1, KER_WANT_HIDDEN = 2 /* after the output norm */ };

typedef struct ker_seq {               /* one sequence: its cells in order */
    const int32_t *page;               /* cell c lives in page[c / KER_PAGE], at c % KER_PAGE */
    int n_page;
    /* Models with recurrent layers: the state that the cells before the batch's first left behind, 0 where that is cell 0, and
     * the one that its last row's is written to, 0: nowhere. They differ, so a batch that fails spoils nothing, and no other
     * sequence of the batch has anything to do with what is written. The sequence's rows then lie in cells that follow one another. */
    int state_from, state_to;
    /* The same after each of its rows but the last: numbers of states, 0: not wanted; NULL: of none. In a batch of one sequence only. */
    const int32_t *state_each;
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
    const float *hidden;               /* [n][n_embd] what KER_WANT_HIDDEN gave one token before; of models with `next` only */
} ker_batch;

/* Where a row's numbers stopped being finite: the first part, in the order of a pass, whose result for that row
 * held a NaN or an infinity (scores of banned experts apart). */
enum ker_part { KER_PART_NONE, KER_PART_EMBED, KER_PART_ATTN, KER_PART_ROUTE, KER_PART_FFN /* experts or dense */, KER_PART_HEAD };
typedef struct ker_bad { int16_t layer; uint8_t part; } ker_bad;   /* layer -1 for embedding and head */

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
    const float *margin;               /* [n_layer][n] score of the k-th chosen minus the best not chosen (of its groups);
                                          NAN where all run, the routing was forced, or the layer is dense */
    const ker_bad *bad;                /* [n] rows; part KER_PART_NONE: all finite                        */
    int n_bad;                         /* rows that are not                                               */
    uint64_t asked, fetched, fetched_bytes;   /* experts of a cache or source: that ran, of them brought first, what that moved; 0: none */
    uint64_t fetch_wait_ns;            /* that the pass stood still for them                              */
} ker_out;

typedef struct ker_dev ker_dev;
typedef struct ker_ctx ker_ctx;
typedef struct ker_kv ker_kv;

/* How cells keep their numbers. Q8_0: a byte each, blocks of 32 along a head's numbers (the last may be shorter) with a float scale
 * each. Q4_0: four bits each, such blocks with a half-float scale: a number is its scale times a whole one of -8 to 7, and the one
 * that is furthest from zero is -8 (ggml/src/ggml-quants.c, quantize_row_q4_0_ref). A block with an infinity, or one that is too
 * large for its scale, is read as NaN; a NaN is kept as zero. */
enum ker_kv_type { KER_KV_F16, KER_KV_F32, KER_KV_Q8_0, KER_KV_Q4_0, KER_KV_TYPES };
const char *ker_kv_name(enum ker_kv_type t);   /* "f16", "f32", "q8_0", "q4_0"; NULL: no such type */
int ker_kv_find(const char *name);             /* one of ker_kv_type, or -1                        */

/* ---- experts that lie or run elsewhere ---- */
/* Experts that are not in memory all the time. Called by the context's thread inside `experts` and `moe_run`
 * (hint, guess: inside `route`), of several devices also at once; ids are distinct and rise. Of a pass's experts (hint) each is acquired
 * and released once, the lower ids first, as many at once as `most` says, and nothing else is held meanwhile. So a source with room
 * for that many is never waited for in a circle. */
typedef struct ker_expert { const void *gate, *up, *down; } ker_expert;   /* one expert's rows, as in the file */
typedef struct ker_fetched { uint64_t asked, fetched, bytes, wait_ns; } ker_fetched;   /* experts: that were acquired, of them brought for it; see ker_out */
typedef struct ker_source {
    void *user;
    /* out[n], good until release; else a q_result, and nothing is held. Waits, but not once `cancel` (NULL: never) is set: Q_CANCEL.
     * count (may be NULL) is added to. */
    int (*acquire)(void *user, int layer, const int *ids, int n, ker_expert *out, const atomic_int *cancel, ker_fetched *count);
    void (*release)(void *user, int layer, const int *ids, int n);
    void (*hint)(void *user, int layer, const int *ids, int n);   /* a pass's experts, soon to be acquired; never waits; may be NULL */
    int (*most)(void *user, int layer, int n);   /* of n experts so many are acquired at once, 1 to n; NULL: all */
    /* What a later layer's router would choose of rows as they are at this layer: perhaps a hint. NULL: not to be found out. */
    void (*guess)(void *user, int layer, const int *ids, int n);
} ker_source;

/* Routed experts of one layer of one batch, to be run on another device. A pair is a (row, slot) whose slot is in
 * use; pairs stand in row order, then slot order. */
typedef struct ker_moe {
    int n, max_k, n_pair;
    const float *x;                    /* [n][n_embd] the normed rows                                     */
    const uint16_t *ids;               /* [n][max_k], KER_NO_EXPERT ends a row                            */
    const float *weights;              /* [n][max_k]                                                      */
    const int32_t *width;              /* [n] a row's expert_width of that layer; or NULL                 */
    const int16_t *slot;               /* [n] the rows' configuration slots in the context that runs them, told by who takes them there
                                          (split.c) where adapters act; NULL: nothing is known of them    */
    /* set by moe_run; owned by its context until its next moe_run */
    const float *y;                    /* [n_pair][n_embd] an expert's output for a row, not yet weighted  */
    /* A carved layer's sum over experts is one chain of fused multiply-adds, so a pair's row comes unrounded:
     * for each term t it is the sum of scale * y, and moe_add goes on with the chain in the order of ids. */
    const float *scale;                /* [n_term][n_pair][n_embd], as y then is; NULL elsewhere          */
    int n_term;                        /* 1, or 2 for types with a minimum                                */
    const float *low;                  /* [n_pair][n_embd] in a carved layer where adapters act: added behind the chain, in the order of ids; or NULL */
} ker_moe;

/* ---- the table ---- */
typedef struct ker_abi { uint32_t number, backend, model, layer, hold, config, batch, out, moe, source, device; } ker_abi;
enum { KER_ABI = 17 };                  /* goes up when a function or a field changes its meaning */
#define KER_ABI_HERE { KER_ABI, sizeof(ker_backend), sizeof(ker_model), sizeof(ker_layer), sizeof(ker_hold), sizeof(ker_config), \
                       sizeof(ker_batch), sizeof(ker_out), sizeof(ker_moe), sizeof(ker_source), sizeof(ker_device) }

typedef struct ker_device {            /* what a backend can be opened on */
    char name[96];                     /* "NVIDIA H100 80GB HBM3"                                            */
    uint64_t bytes, free;              /* of its memory; 0: it shares the host's                             */
    int major, minor, units;           /* compute capability and multiprocessors; 0 on the CPU               */
    int driver, runtime;               /* versions as CUDA counts them (13000); 0 on the CPU                 */
} ker_device;

typedef struct ker_time { char name[48]; int n; double ms; } ker_time;   /* a kernel: launches, time of all */

/* Products with two ways to be computed: a backend's own kernels, or a library's. Bit ker_way_of(outputs, rows) of a type's word
 * (routed experts: ker_way_experts(rows)): the library's; never in a bit that is not set, and not where no library answers. */
enum { KER_WAY_SHAPES = 3 /* fewer than 1024 outputs, 8192, more */, KER_WAY_ROWS = 3 /* up to 63 rows of a batch, 255, more */,
       KER_WAY_EXPERTS = KER_WAY_SHAPES * KER_WAY_ROWS /* the first bit of routed experts */, KER_WAY_BITS = KER_WAY_EXPERTS + KER_WAY_ROWS,
       KER_WAYS_DENSE = (1 << KER_WAY_EXPERTS) - 1, KER_WAYS_EXPERTS = (1 << KER_WAY_BITS) - 1 - KER_WAYS_DENSE };
typedef struct ker_ways { uint16_t library[KER_TYPE_LIMIT]; } ker_ways;
/* One, measured. experts: 0, or a routed layer of so many, k of them a row, matrices n_out x n_in twice and n_in x n_out once. */
typedef struct ker_way { int type, n_in, n_out, rows, experts, k; double own_s, library_s; } ker_way;
int ker_way_of(int n_out, int rows);                               /* -1: so few rows are always the own kernels' */
int ker_way_experts(int rows);

typedef struct ker_backend {
    ker_abi abi;                                                       /* first, whatever else changes */
    const char *name;                                                  /* "cpu" */
    /* How many devices there are (at least 1), the first `max` of them told; or a q_result and why there is none. */
    int (*devices)(ker_device *list, int max, char *err);
    /* Asking how much of a GPU's memory is free takes some 300 MB of it (a context of this process). Gives that back where nothing is open;
     * open does so for all but its own. NULL: there is nothing to give back. The thread of devices, open and close. */
    void (*leave)(void);
    int (*open)(const ker_model *m, int n_threads, const ker_hold *hold, ker_dev **out, char *err);  /* n_threads 0 = all cores; hold NULL = all weights */
    void (*close)(ker_dev *);
    int (*set_threads)(ker_dev *, int n);                              /* between batches only; returns how many there are now */
    /* Bytes that are free for weights and cells where this device keeps them; 0: it cannot say. */
    uint64_t (*memory)(const ker_dev *);
    /* Registers a weight; checks it against the model. layer = -1 for the whole-model roles. Q_RANGE: of a type that this
     * backend does not compute with (the CPU does with all). */
    int (*weight)(ker_dev *, int layer, enum ker_role role, const ker_weight *w, char *err);
    /* Routed experts come from here: their weights are registered with data NULL. Before ready; copied. */
    int (*source)(ker_dev *, const ker_source *s, char *err);
    /* After the last weight: repacks what pays, checks that nothing needed is missing. */
    int (*ready)(ker_dev *, char *err);

    int (*ctx_new)(ker_dev *, int max_rows, int max_k, const atomic_int *cancel, ker_ctx **out, char *err);
    void (*ctx_free)(ker_ctx *);
    int (*cfg_put)(ker_ctx *, int slot, const ker_config *c, char *err);   /* slot 0..255 */

    int (*kv_new)(ker_dev *, enum ker_kv_type t, int n_page, ker_kv **out, char *err);
    void (*kv_free)(ker_kv *);
    void (*kv_copy)(ker_kv *, int dst_page, int src_page, int n_cells);    /* all layers */
    int64_t (*kv_page_bytes)(const ker_dev *, enum ker_kv_type t);
    /* The first n_cells (1 to 64) of a page, all layers, to host memory and back, as ker_cells_bytes has them; between batches.
     * What the page's other cells hold is nobody's. Waits. Q_FORMAT: one of the numbers is none; what is there then is to be
     * thrown away. */
    int (*kv_save)(ker_kv *, int page, int n_cells, void *dst);
    int (*kv_load)(ker_kv *, int page, int n_cells, const void *src);

    /* One forward pass: begin, embed, then per layer attn and (route, experts) or dense, head, end. begin says in
     * err what of the batch is not possible. The others return Q_CANCEL as soon as the cancel flag is seen, or what
     * a source said; the batch is then void. */
    int (*begin)(ker_ctx *, ker_kv *, const ker_batch *, char *err);
    int (*embed)(ker_ctx *);
    int (*attn)(ker_ctx *, int layer);        /* norm, QKV (+bias, q/k norm), rope, append, attention, output, residual */
    int (*route)(ker_ctx *, int layer);       /* norm, scores, edits, top-k, weights, trace        */
    int (*experts)(ker_ctx *, int layer);     /* routed + shared + residual: take, run and add in one */
    int (*dense)(ker_ctx *, int layer);       /* norm, gated FFN, residual                         */
    int (*head)(ker_ctx *);                   /* output norm, logits of the rows that want them    */
    int (*end)(ker_ctx *, ker_out *out);      /* waits */
    /* After a part or `end` that returned Q_ERR: why, and what to do, in err; untouched where it has nothing to say. NULL: never. */
    void (*why)(ker_ctx *, char *err);

    /* `experts` in three, after route: what the routed experts need (take), their rows on a device that holds them
     * (run: any context, no batch need be open on it), and here the sum in slot order, the shared expert, the
     * residual (add). The same bytes as `experts` from the CPU; on a GPU, whose few quantised rows `experts` sums in
     * another order, of more rows than those alone (else within the tolerance of its kernels). */
    int (*moe_take)(ker_ctx *, int layer, ker_moe *out);
    int (*moe_run)(ker_ctx *, int layer, ker_moe *moe);
    int (*moe_add)(ker_ctx *, int layer, const ker_moe *moe);

    /* Taps for tests: the residual stream, [n][n_embd]. */
    int (*hidden_get)(ker_ctx *, float *dst);
    int (*hidden_put)(ker_ctx *, const float *src);
    /* Time of each kernel: on, one or more passes, then off fills out[max] and returns how many, or a q_result. One
     * context at a time; passes are slower meanwhile. NULL where it is not known. */
    int (*times)(ker_ctx *, bool on, ker_time *out, int max);
    /* Which way a device's products go, for what is opened on it from then on (all zero at the start), and both ways measured:
     * returns how many (out[max]), 0 where there is no library, or a q_result. small: tiny shapes, to try the way there. NULL
     * where there is one way. */
    void (*ways_put)(int index, const ker_ways *ways);
    int (*ways_measure)(int index, bool small, ker_way *out, int max, char *err);
    /* It computes with weights of this type (`weight` says Q_RANGE to others). NULL: with every weight type. */
    bool (*takes)(int type);

    /* States of recurrent layers, beside the cells of a ker_kv, numbered from 1; all NULL where such layers are not computed.
     * Bytes of one, 0: the model has no such layer. A new one's numbers are nobody's until a batch or state_load wrote it.
     * Between batches. */
    int64_t (*state_bytes)(const ker_dev *);
    int (*state_new)(ker_kv *, char *err);                                 /* its number, or a q_result */
    void (*state_free)(ker_kv *, int state);                               /* 0 is fine */
    /* To host memory and back, state_bytes of it: floats, ker_state_floats. Q_FORMAT: one of them is none. */
    int (*state_save)(ker_kv *, int state, void *dst);
    int (*state_load)(ker_kv *, int state, const void *src);

    /* Adapter 0 to KER_ADAPTERS - 1 becomes these n changes, at most one a matrix; what was there is dropped. Their numbers are the
     * caller's until it is dropped or the device closed. Between batches; no context may hold a configuration that names an adapter
     * that is not there when a batch begins (begin refuses it). moe_run applies them to what its own context took, and
     * to rows whose slots are told (ker_moe). */
    int (*adapter_put)(ker_dev *, int adapter, const ker_low *low, int n, char *err);
    void (*adapter_drop)(ker_dev *, int adapter);
} ker_backend;

/* A table from elsewhere (a plugin) fits this program: Q_OK, or a sentence. */
int ker_backend_check(const ker_backend *b, char *err);
/* Opens a plugin (libquorum-cuda.so) and asks it for its table, which lives as long as the program. path NULL: beside the
 * program or in its library folder. Q_NOTFOUND: there is none. Loading needs no driver; `devices` says whether one answers. */
int ker_plugin_open(const char *path, const ker_backend **out, char *err);
bool ker_plugin_there(void);                   /* there is a file where path NULL looks for it; whether it is whole only opening says */
#define KER_PLUGIN_ENTRY "quorum_backend"      /* const ker_backend *(*)(q_words_look): the program's words, NULL for none */

/* What every backend checks before it computes: a batch's rows against the model, the cells and the slots (`there`),
 * forced lists; a configuration against the model. */
int ker_batch_check(const ker_model *m, const ker_batch *b, int max_rows, int max_k, int n_page,
                    bool (*there)(const void *user, int slot), const void *user, char *err);
int ker_config_check(const ker_model *m, int max_k, const ker_config *c, char *err);
/* Numbers of a cell of one layer and KV head: K's, and V's that are kept beside it; what attention sums of a cell for a head. */
int ker_cell_k(const ker_model *m);
int ker_cell_v(const ker_model *m);        /* 0: V is the first ker_value_width numbers of K (KER_MIX_MLA) */
int ker_value_width(const ker_model *m);
/* Bytes of a page's cells of one layer and one KV head: K and V of 64 cells, the scales of their blocks behind them, filled up to
 * 64 bytes. How they lie inside is the backend's. */
int64_t ker_kv_head_bytes(const ker_model *m, enum ker_kv_type t);
/* Cells as they are saved, the same on every backend: for each layer and in it each KV head K [n][ker_cell_k], V [n][ker_cell_v]
 * in the type's numbers, then of a type of blocks the scales of K and of V, [n][width / 32 rounded up] each. A block of Q4_0 is 16
 * bytes, number i below and number 16 + i above in byte i; behind a short one's last number it holds zeros. */
int64_t ker_cells_bytes(const ker_model *m, enum ker_kv_type t, int n_cells);
/* Between that and a page in host memory that holds K [64][ker_cell_k] like V, or with `across` K and its scales transposed, where
 * cells of blocks lie by fours (ker_cells_fours) K as [k / 4][64][4], V as [64 / 4][v][4] (of Q4_0 bytes) and all scales transposed.
 * False: a number that is saved or loaded is none. */
bool ker_cells_save(const ker_model *m, enum ker_kv_type t, bool across, const void *page, int n_cells, void *cells);
bool ker_cells_load(const ker_model *m, enum ker_kv_type t, bool across, void *page, int n_cells, const void *cells);
bool ker_cells_fours(const ker_model *m);  /* V is kept, and K and V are multiples of 16 wide */
/* Layers that have cells: those with attention. Without `layer`: all. */
int ker_cell_layers(const ker_model *m);
/* Of a state, in all layers: for each recurrent layer the convolution's inputs [conv - 1][channels], oldest first, then each value
 * head's numbers in blocks of KER_STATE_BLOCK values: [block][key_dim][values of it], the head's last block filled up to 16. */
enum { KER_STATE_BLOCK = 32 };
int64_t ker_state_floats(const ker_model *m);
int64_t ker_state_layer_floats(const ker_model *m);

/* ---- a backend against the CPU, part by part (prove.c) ---- */
typedef struct ker_proof {             /* one comparison                                          */
    const char *part;                  /* "attention", for sentences: through _()                 */
    const char *kind;                  /* of model: "gpt-oss: sinks, ...", through _() too        */
    char model[96];                    /* "even widths, Q4_K"                                     */
    int rows;
    double off, limit;                 /* largest difference, relative to what the part added     */
    bool ok;
} ker_proof;
/* Parts on random models of device `index`: one of each kind, a second's work before a first use; every weight type that it computes
 * with and kind of layer on small ones; shapes of models in use too (a GiB of memory); of the small ones many rows alone, for products
 * that a library does. Returns how many comparisons were wrong, or a q_result when the device failed; `row` hears of each. */
enum ker_prove_how { KER_PROVE_FEW, KER_PROVE_SMALL, KER_PROVE_LARGE, KER_PROVE_LIBRARY };
int ker_prove(const ker_backend *b, int index, enum ker_prove_how how, void (*row)(void *user, const ker_proof *p), void *user, char *err);

/* ---- how fast a device is (speed.c): shapes of Qwen3-30B-A3B, Q4_K with Q6_K, k = 8, random weights ---- */
enum { KER_SPEED_KERNELS = 48 };
typedef struct ker_speed {
    int layers;                        /* that were measured: of 48                                */
    double token_s, layers_s;          /* a decoded token, and without the head: seconds, medians  */
    double prompt_s;                   /* a token of a prompt of 512                               */
    double bytes_layer, bytes_head;    /* of weights read for a token                              */
    ker_time kernel[KER_SPEED_KERNELS];/* of one decoded token; none where the backend has no clock */
    int n_kernel;
} ker_speed;
/* small: tiny shapes instead, to try the way there. Takes 0.4 GiB a layer and 0.7 GiB. */
int ker_speed_measure(const ker_backend *b, int index, int layers, bool small, ker_speed *out, char *err);

/* What its maker prints of a device by that name (cards.c): bytes and int8 operations a second; 0: not in the list. */
typedef struct ker_card { double bandwidth, int8; } ker_card;
ker_card ker_card_of(const char *device);

const ker_backend *ker_cpu(void);
/* Two devices as one: the routed experts of some layers on the second, all else on the first; the same bytes as
 * one device. ker_split's own open takes two CPU devices and moves every routed layer; ker_split_open takes any two
 * tables (which outlive the device), which of the first's devices, and the layers in `moved` ([n_layer]; NULL: all). */
const ker_backend *ker_split(void);
int ker_split_open(const ker_backend *first, const ker_backend *second, const bool *moved, int index, const ker_model *m, int n_threads,
                   ker_dev **out, char *err);
/* What of a model's kinds of layer a backend computes. */
typedef struct ker_can {
    unsigned mixers, glus /* bits */, biases /* KER_BIAS_* */;
    bool window, sinks, post_norms;
    int rope_sets;
    bool q_gate, qk_whole, scales /* embd_scale, residual_scale, logit_scale */, groups, next;
} ker_can;
/* Refuses, with the layer and the kind named, what is not in `can`. For a backend's open, and before it, for a list. */
int ker_model_check(const ker_model *m, const ker_can *can, char *err);
const ker_can *ker_cpu_can(void);

/* ---- encoders: whole texts at once, each row sees every row of its text; no cells are kept. On the CPU (cpu/enc.c) ----
 * A row begins as the sum of its token's, its place's and the first type's row, normed; then each layer: attention, norm of
 * the sum with what came in, feed-forward, norm of the sum again. Norms take the mean out and have biases. */
enum ker_enc_role {                    /* a bias that is not given is zero                        */
    KER_ENC_EMBD, KER_ENC_POS, KER_ENC_TYPE, KER_ENC_EMBD_NORM, KER_ENC_EMBD_NORM_B,              /* layer -1 */
    KER_ENC_Q, KER_ENC_K, KER_ENC_V, KER_ENC_O, KER_ENC_BQ, KER_ENC_BK, KER_ENC_BV, KER_ENC_BO,
    KER_ENC_ATTN_NORM, KER_ENC_ATTN_NORM_B,
    KER_ENC_GATE, KER_ENC_UP, KER_ENC_DOWN, KER_ENC_BUP, KER_ENC_BDOWN,                           /* GATE: where gated */
    KER_ENC_FFN_NORM, KER_ENC_FFN_NORM_B,
    KER_ENC_ROLES
};
typedef struct ker_enc_model {
    int n_layer, n_embd, n_head /* divides n_embd */, n_ff, n_vocab;
    int n_pos;                         /* places a text may have                                      */
    int n_type;                        /* rows of the types' table; 0: none is added                  */
    bool rope;                         /* places by rotation, pairs (i, i + dim/2); else a learned table */
    bool gated;                        /* silu(gate) * up; else gelu(up), by the error function       */
    float norm_eps, rope_base;
} ker_enc_model;
typedef struct ker_enc ker_enc;        /* one caller at a time; owns its worker threads, which take the caller's niceness */

/* n_threads 0: all cores. exact: weights become F32 and with them the activations, for references: six times as slow. */
int ker_enc_open(const ker_enc_model *m, int n_threads, bool exact, ker_enc **out, char *err);
void ker_enc_close(ker_enc *);
/* Checks type, shape and bytes; data outlives the encoder (exact: is copied). layer -1: the whole model's roles. */
int ker_enc_weight(ker_enc *, int layer, enum ker_enc_role role, const ker_weight *w, char *err);
int ker_enc_ready(ker_enc *, char *err);               /* nothing needed is missing */
int ker_enc_threads(const ker_enc *);
/* Texts one after another: text t has the rows at[t] to at[t + 1], at[0] = 0, each 1 to n_pos. *hidden: [at[n_text]][n_embd]
 * of the last layer, the encoder's until the next run. A text's bytes depend on no other text and on no number of threads.
 * go (NULL: always) is asked before each layer; false: Q_CANCEL. Q_ERR: numbers that are not finite. */
int ker_enc_run(ker_enc *, const int32_t *token, const int *at, int n_text, bool (*go)(void *user), void *user, const float **hidden, char *err);

/* ---- CPU only ---- */
/* One row's choice of experts, as the CPU makes it: s, [n_expert]: the router's products, which become the scores. bias, select_bias:
 * KER_W_BROUTER's and KER_W_SELECT_BIAS's numbers; NULL: none. forced: as ker_batch has it, of this row; or NULL. ids, weights: [max_k].
 * work: ker_choose_floats of scratch, whose first n_expert are the gate values afterwards. No state, any thread. */
typedef struct ker_router { const float *bias, *select_bias; } ker_router;
typedef struct ker_chosen {
    int n;                             /* slots in use                                                       */
    float entropy, margin;             /* as in ker_out                                                      */
    float scale;                       /* a weight is its gate value times this                              */
    bool moves;                        /* scale is of the sum of the chosen gate values: their weights hang together */
    bool whole;                        /* no score of an expert that is not banned was NaN or infinite       */
} ker_chosen;
ker_chosen ker_choose(const ker_model *m, const ker_config *c, const ker_router *w, int layer, float *s, const uint16_t *forced, int max_k, uint16_t *ids,
                      float *weights, float *work);
int64_t ker_choose_floats(const ker_model *m);
const char *ker_cpu_features(void);            /* "avx512-vbmi", "avx2", "neon-i8mm", "scalar": what dispatch chose */
/* Force a lower path for tests ("scalar", "avx2", "neon"; NULL = best). Before open. Q_NOTFOUND if not here. */
int ker_cpu_force(const char *name);
const char *ker_cpu_path(int i);               /* the paths that this processor has, "scalar" first, the best last; NULL: no more */
/* Measured read bandwidth in bytes/s: the best of several patterns, every thread at once, over `data` (only read;
 * a model's own pages) or, with NULL, over `bytes` of memory of its own. 0: there is no whole line of 64 bytes. Benchmarks only. */
double ker_cpu_read_bandwidth(int n_threads, const void *data, size_t bytes);
/* Multiply-adds a second of products with Q4_K weights and many rows, n_threads together, measured for `seconds`. 0: no memory. */
double ker_cpu_madds(int n_threads, double seconds);
/* Multiply-adds of bytes a second that n_threads do together at most, over registers alone, on the path in force: what products are a share of.
 * Measured for `seconds` (> 0). 0: the path multiplies no bytes, or none that is known. Benchmarks only. */
double ker_cpu_peak(int n_threads, double seconds);
/* A roofline is an upper bound or it is none: the best of 2 to `tries` measurements, or 0 where all stay below the
 * rate that was reached. */
double ker_roofline(double reached, int tries, double (*measure)(void *user), void *user);

#ifdef __cplusplus
}
#endif
#endif
