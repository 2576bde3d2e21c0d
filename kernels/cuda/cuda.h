/* kernels/cuda: the backend for NVIDIA GPUs (private). One source for two compilers: nvcc makes
 * build/libquorum-cuda.so, g++ with tests/cuda_emu makes build/libquorum-emu.so (gpu.h is the only difference).
 *
 * A device keeps its weights as planes (cu_mat): each piece of a block lies in an array of its own, so that every load
 * is aligned; nothing is decoded to wider types. A context owns all scratch and one stream: the table's parts only
 * enqueue, `end` waits. Activations meet quantised weights as int8 with a scale (the same kinds as on the CPU, ker_act):
 * integer sums are the CPU's, the float sums' order is not, so results agree within a tolerance and never bit for bit.
 *
 * Threads: one caller a context. Errors: the parts return Q_OK, Q_CANCEL, or Q_ERR when the device said no; what it said
 * stays in dev->why and is told by the table's `why` and by every later begin. Nothing is allocated between begin and end. */
#ifndef QUORUM_CUDA_H
#define QUORUM_CUDA_H

#include "kernels/cuda/gpu.h"
#include "kernels/kernels.h"

enum {
    CU_PLANES = 4,
    CU_CFGS = 256,                 /* configuration slots of a context                       */
    CU_FEW = KER_FEW,              /* rows up to which weights are read once for all (decode) */
    CU_DELTA_KEYS = 256,           /* numbers of a recurrent layer's key, at most            */
    CU_HEAD_ROWS = 16,             /* rows of logits computed at once                        */
    CU_BLAS_TILE = 32 << 20        /* bytes of weights as halves, and of their outputs, at once */
};

/* ---- weights ---- */
typedef struct cu_mat {            /* n_mat matrices [n_out][n_in]; passed to kernels by value; n_out 0: absent */
    int type;                      /* ker_type_id                                            */
    int act;                       /* ker_act: how activations meet it                       */
    int n_in, n_out, n_mat;
    int block;                     /* elements of a block; 1 for floats                      */
    const uint8_t *p[CU_PLANES];   /* [n_mat * n_out][n_in / block][bytes of the plane], each aligned to 256 */
} cu_mat;
/* Sizes of a block's pieces, in the order of the file's block (types.cuh); 0 ends. */
typedef struct cu_planes { int n; int bytes[CU_PLANES]; } cu_planes;

/* Activations as quantised weights want them. n / 32 scales a row for both kinds (a block of 256 repeats its own). */
typedef struct cu_act {
    int8_t *q;                     /* [row][n]                                               */
    float *d;                      /* [row][n / 32]                                          */
    int *sum;                      /* [row][n / 32] sum of the 32 q's                        */
} cu_act;
typedef struct cu_acts { cu_act kind[3]; } cu_acts;      /* by ker_act; KER_ACT_F32 is unused: rows are read as they are */

typedef struct cu_layer {
    cu_mat w[KER_W_ROLES];
    const float *vec[KER_W_ROLES]; /* norms and biases, F32 on the device; NULL: none        */
} cu_layer;

struct ker_dev {
    ker_model m;                   /* m.layer owned                                          */
    ker_hold hold;                 /* no_experts owned                                       */
    int index, sms, major, minor;  /* of the device                                          */
    size_t smem_most;              /* dynamic shared memory a block may ask for              */
    cu_layer *layer;               /* [n_layer + 1]; 0 = the whole-model roles               */
    void **mem;                    /* every allocation, freed by close                       */
    int n_mem;
    struct cu_stage *stage;        /* room through which weights come; freed by ready        */
    cudaStream_t st;               /* of uploads and kv_copy                                 */
    int n_moe;                     /* routed layers                                          */
    bool ready;
    bool unlocked;                 /* memory was refused last: the machine's own, which is to be page-locked */
    bool early;                    /* the fused launches of decode.cu may start before the one before has ended */
    ker_ways ways;                 /* which dense products a library does, where there is one */
    char why[Q_ERRLEN];            /* what the device said when it failed; "" = well         */
    ker_source source;             /* acquire NULL: experts lie on the device, or in the caller's memory (cache) */
    struct cu_cache *cache;        /* routed experts are fetched when they run (cache.cu); NULL: they lie here */
    struct cu_adapters *adapters;  /* adapter.cu; NULL: none ever came                       */
};

struct ker_kv {
    ker_dev *dev;
    enum ker_kv_type type;
    int n_page;
    int64_t head_bytes, page_bytes;
    uint8_t *data;                 /* device, [page][layer][kv head]: K [64][dim], V [64][dim], then for Q8_0
                                      the scales of K and of V, [64][ceil(dim / 32)] floats each; for Q4_0
                                      [64][ceil(dim / 32)] blocks of 16 bytes and half-float scales alike;
                                      layer: those with cells (cu_cell_layer) */
    float **state;                 /* device, ker_state_floats each: states of recurrent layers (delta.cu); NULL: a free number */
    int n_state;
};

/* ---- adapters on the device (adapter.cu) ---- */
typedef struct cu_low_w {          /* a matrix's low-rank change; rank 0: none               */
    const float *a, *b;            /* [kept][rank][n_in]; [kept][rank][n_out]: those matrices whose B is not all zeros */
    const int *at;                 /* [n_mat] which of the kept ones, -1: none; NULL: the one that there is */
    int rank;
    float scale;
} cu_low_w;
typedef struct cu_adapt { int adapter; const float *layer, *expert; } cu_adapt;      /* ker_adapt's */
typedef struct cu_adapters {
    cu_low_w *table, *host;        /* device and host: [KER_ADAPTERS][n_layer + 1][KER_W_ROLES] */
    void *mem[KER_ADAPTERS];       /* an adapter's numbers                                   */
    bool there[KER_ADAPTERS];
    int most[KER_ADAPTERS];        /* its largest rank                                       */
    uint64_t changes;              /* how often one came or went                             */
} cu_adapters;

/* ---- configurations on the device ---- */
typedef struct cu_cfg {
    float eps, mscale, attn_scale, temperature, min_p;
    const float *rope_freq;        /* [rope_dim / 2]                                         */
    const int16_t *k;              /* [n_layer]                                              */
    const float *router_add;       /* [n_layer][n_expert] or NULL                            */
    const uint8_t *pin, *head_off; /* [n_layer][n_expert], [n_layer][n_head] or NULL         */
    const int32_t *ffn_width, *expert_width;    /* [n_layer] or NULL                         */
    const cu_adapt *adapt;         /* [n_adapt], in the order of adding                      */
    int n_adapt;
    const float *rope_local;       /* [rope_dim / 2] of layers with rope_set 1, or NULL      */
    float local_mscale;
} cu_cfg;

/* ---- the batch on the device: fixed addresses for a context's life, so that a graph stays good ---- */
typedef struct cu_rows {           /* passed to kernels by value                             */
    const int *token, *pos, *cell, *slot;       /* [max_rows]                                */
    const int *seq_at;             /* [max_rows] first entry of the row's sequence in page   */
    const int *want;               /* [max_rows] rows that want logits, then ...             */
    const int *want_hidden;        /* ... rows that want hidden                              */
    const int *page;               /* cell c of a row lies in page[seq_at[row] + c / 64], at c % 64 */
    const uint16_t *forced;        /* [n_layer][n][max_k] or NULL                            */
    const cu_cfg *cfg;             /* [CU_CFGS] by slot                                      */
} cu_rows;

typedef struct cu_trace {          /* on the device, for n rows of the batch at hand         */
    uint16_t *ids;                 /* [n_layer][n][max_k]                                    */
    float *weights, *entropy, *margin;
    unsigned *bad;                 /* [n] 0, or part << 16 | layer + 1                       */
} cu_trace;

/* What a batch's launches depend on: equal keys may use one graph. */
enum { CU_WIDTH_EXPERTS = 1, CU_WIDTH_LARGEST = 2 };     /* an expert_width is set; a width by magnitude is */
typedef struct cu_shape {
    int n, k;                      /* rows; slots launched a row: the largest k of the rows' configurations, max_k when forced */
    int n_logits, n_hidden;
    int segs;                      /* attention: segments launched a row (a power of two)     */
    int narrow;                    /* CU_WIDTH bits of the rows' configurations              */
    bool forced;
    uint64_t low;                  /* adapters that the rows name, and cu_adapters' changes; 0: none */
} cu_shape;

typedef struct cu_up {             /* what a batch brings to the device                      */
    uint8_t *host, *dev;           /* one buffer each, pinned and device: rows points into dev */
    int64_t bytes, page_cap;       /* its size; entries of rows.page                         */
    uint16_t *forced;              /* device [n_layer][max_rows][max_k], made when first needed */
    cu_cfg *cfg_host;              /* pinned [CU_CFGS], beside rows.cfg                      */
    void *cfg_mem[CU_CFGS];        /* a slot's arrays on the device                          */
    int64_t cfg_bytes;             /* of one slot                                            */
    int top_k[CU_CFGS];            /* largest k of a slot's configuration; -1: no configuration */
    int narrow[CU_CFGS];           /* CU_WIDTH bits of a slot's configuration                */
    void *adapt_mem[CU_CFGS];      /* what a slot's adapters need on the device, and its bytes */
    int64_t adapt_bytes[CU_CFGS];
    unsigned adapts[CU_CFGS];      /* bits of the adapters that a slot's configuration names */
    int32_t *expert_width;         /* host [CU_CFGS][n_layer], for moe_take; ffn_width's alike behind it */
} cu_up;

typedef struct cu_norms {          /* norms.cu; NULL where no layer wants it                 */
    float *y;                      /* [max_rows][n_embd] what a part gives before it goes into the stream; zero between parts */
    float *rope;                   /* [max_rows][rope_dim] as att.rope, of layers with rope_set 1 */
} cu_norms;

typedef struct cu_mla {            /* latent attention (mla.cu), beside cu_att whose q and o are [row * head][kv_rank] then */
    float *low, *q;                /* [max_rows][q_rank]; [max_rows][head][nope + rope]       */
    float *nope, *turned;          /* of q: scaled, for adapters; scaled and turned           */
    float *part;                   /* attention's segments                                    */
    float *o;                      /* [max_rows][head][v]                                     */
    uint16_t *heads;               /* [n_head] 0, 1, ...: a row's matrices of K_B and V_B     */
    int *queue;                    /* [3] of mla_few.cu; zero between launches                */
    cu_acts low_act, o_act;
} cu_mla;

typedef struct cu_delta_rows {     /* on the device: how a batch's rows hang together        */
    float *const *from, *const *left;            /* the state before the row's sequence, and the one that is written after the row; NULL: none */
    const int *before, *after;     /* rows of the same sequence, -1: none                    */
    const int *first;              /* first rows of the sequences, then -1                   */
} cu_delta_rows;

typedef struct cu_delta {          /* recurrent layers (delta.cu); NULL where there are none */
    float *in, *z, *two;           /* products: [max_rows][channels], [..][values]; betas, then alphas, or both by key heads */
    float *mix, *gates;            /* of many rows: what the rule reads of them              */
    float *o;                      /* [max_rows][values]                                     */
    cu_acts act;                   /* of o                                                   */
    int *count;                    /* [CU_FEW][n_value] arrivals; zero between launches      */
    uint8_t *host, *dev;           /* pinned and device: what rows points into               */
    cu_delta_rows rows;
    int n_first;
} cu_delta;

typedef struct cu_att {
    float *q, *k, *v, *o;          /* [max_rows][heads * head_dim]; q with gates where a layer has some */
    float *plain;                  /* as q without gates; NULL: there are none               */
    float *rope;                   /* [max_rows][rope_dim] cos half, then sin half           */
    float *part;                   /* attention's segments (attn.cu)                         */
    int *count;                    /* arrivals of segments; zero between launches            */
    cu_acts act;                   /* of o                                                   */
    cu_norms norms;
    cu_mla mla;
    cu_delta delta;
} cu_att;

typedef struct cu_up_of {          /* of a model whose layers are not plain (glu.cu): up's products, as ffn.h and ffn.h_sh; NULL: not asked for */
    float *h, *h_sh;
} cu_up_of;

typedef struct cu_ffn {
    float *score, *sh_coef;        /* [max_rows][n_expert], [max_rows]                       */
    float *h, *h_sh;               /* [pairs_cap][n_ff_exp], [max_rows][widest dense or shared] */
    float *pair_y;                 /* [pairs_cap][n_embd] an expert's output for a row       */
    cu_acts act, sh_act;           /* of h; of h_sh                                          */
    int pairs_cap;                 /* (row, slot) pairs of one pass                          */
    int *group;                    /* scratch of the grouping by expert (ffn.cu)             */
    cu_up_of up_of;
} cu_ffn;

typedef struct cu_out {
    uint8_t *tr_host, *tr_dev;     /* pinned and device: the trace lies in them              */
    int64_t tr_bytes, tr_used;     /* room; of the batch at hand                             */
    float *logits, *hidden;        /* device [CU_HEAD_ROWS][n_vocab], [max_rows][n_embd]     */
    float *logits_pinned;          /* [CU_HEAD_ROWS][n_vocab]                                */
    float *logits_many;            /* host [max_rows][n_vocab], for batches where more rows want logits */
    float *hidden_host;            /* [max_rows][n_embd] pinned                              */
    ker_bad *bad;                  /* [max_rows] host                                        */
} cu_out;

typedef struct cu_moe {            /* rows on their way between devices (parts.cu)           */
    float *x, *weights, *y;        /* pinned: [max_rows][n_embd], [max_rows][max_k], [pairs_cap][n_embd] */
    uint16_t *ids, *dev_ids;       /* pinned and device [max_rows][max_k]                    */
    int32_t *width, *dev_width;    /* pinned and device [max_rows] a row's expert width      */
    bool run, widths;              /* rows that moe_run was given are at hand; they have widths */
    bool own;                      /* those rows are the batch's: their configurations are known */
    float *rows, *ones;            /* host, what moe_run hands out                           */
    int64_t cap;                   /* floats of each                                         */
} cu_moe;

typedef struct cu_fetch {          /* of a context whose experts are fetched (cache.cu)      */
    uint16_t *ids;                 /* pinned [max_rows][max_k] whom the router of the layer at hand chose */
    uint16_t *slots, *dev_slots;   /* pinned and device [CU_FEW][max_k] where they lie        */
    int *place, *dev_place;        /* pinned [2][n_expert], device [n_expert]: an expert's slot, -1: not now */
    float *carry;                  /* device [n_embd][32] sums of a row on their way from wave to wave */
} cu_fetch;

typedef struct cu_low {            /* of the batch at hand                                   */
    unsigned used;                 /* bits of the adapters that its rows name                */
    int wide, at[KER_ADAPTERS];    /* numbers of an item's t; where those of an adapter begin */
    float *t;                      /* device [items][wide]                                   */
    int64_t room;                  /* floats of t                                            */
    float *up, *up_sh;             /* device, as ffn.h and ffn.h_sh: the up's products       */
    int *queue, turn;              /* device [2][2] by turn (low_in.cuh), zero at a pass's begin; launches with a queue since then */
} cu_low;

struct ker_ctx {
    ker_dev *dev;
    int max_rows, max_k;
    const atomic_int *cancel;
    cudaStream_t st;
    int state;                     /* 0, Q_CANCEL, Q_ERR                                     */
    bool open;
    ker_kv *kv;
    cu_shape shape;                /* of the batch at hand                                   */
    cu_rows rows;
    cu_trace tr;                   /* device                                                 */
    float *x, *y;                  /* [max_rows][n_embd] the residual stream; normed rows    */
    cu_acts in;                    /* of y                                                   */
    cu_up up;
    cu_att att;
    cu_ffn ffn;
    cu_out out;
    cu_moe moe;
    cu_fetch fetch;
    cu_low low;
    struct cu_blas *blas;          /* blas.cu; NULL: the own kernels do all                   */
    struct cu_graphs *graphs;      /* graph.cu: parts asked for since begin, and captured passes */
    void **mem;                    /* every allocation of the context's life: freed by ctx_free */
    int n_mem;
};

static inline cu_layer *cu_layer_of(const ker_dev *d, int layer) { return &d->layer[layer + 1]; }
static inline int64_t cu_trace_at(const ker_ctx *c, int layer) { return (int64_t)layer * c->shape.n * c->max_k; }

/* ---- the pieces (each enqueues on c->st for c->shape.n rows; none waits) ---- */
/* act.cu */
void cu_embed(ker_ctx *c);                                   /* x and rope of every row                       */
void cu_norm(ker_ctx *c, const float *w, const int *rows, int n, float *y);      /* y[i] = norm(x[rows ? rows[i] : i]) * w */
void cu_quantise(ker_ctx *c, const float *x, int n_rows, int n, unsigned kinds /* bits of ker_act */, const cu_acts *to);
void cu_embed_more(ker_ctx *c);                              /* behind cu_embed and what adapters change of it: embd_scale, norms.rope */
/* norms.cu: what a part gives goes to cu_stream: the residual stream, or where it is normed or multiplied first, cu_norms.y, which
 * cu_finish then brings into the stream (kernels/cpu/prod.c); else that does nothing. Rows [r0, r0 + n). */
bool cu_norms_make(ker_ctx *c);
float *cu_stream(const ker_ctx *c, int layer);
void cu_finish(ker_ctx *c, int layer, enum ker_part part, int r0, int n);
bool cu_norm_whole(ker_ctx *c, int layer);                   /* att.q and att.k over all heads; false: not such a model */
void cu_scale_logits(ker_ctx *c, const int *want, int n);    /* logit_scale                                    */
/* mat.cu: y[row][o] = w x (+ bias). add: y is the residual: y += , and a row whose sum is not finite is marked. */
typedef struct cu_prod {
    const cu_mat *w;
    const float *bias;             /* [n_out] or NULL                                         */
    float *y;
    int64_t y_stride;
    bool add;
    int layer;
    enum ker_part part;            /* for marks; KER_PART_NONE: not looked at                 */
    bool exact;                    /* by own kernels alone (the router's)                     */
} cu_prod;
void cu_products(ker_ctx *c, const cu_prod *p, int n_prod, const float *x, const cu_acts *acts, int n_rows);
/* attn.cu: head norms, rotation, append to the cells, attention; q, k, v -> o */
int cu_attend_segs(const ker_ctx *c, int n_rows, int longest /* cells */);   /* a power of two; 1: not split */
int64_t cu_attend_floats(const ker_ctx *c);                  /* of att.part, asked by ctx_new                  */
void cu_attend(ker_ctx *c, int layer);
/* mla.cu: latent attention. What dev_open refuses; its part as a whole; from Q and KV_A's products to mla.o; buffers, by ctx_new. For few
 * rows a second Q is computed on the way (`second`) where cu_mla_joins says so (mla_few.cu) */
int cu_mla_check(const ker_model *m, char *err);
void cu_mla_attn(ker_ctx *c, int layer);
void cu_mla_heads(ker_ctx *c, int layer, bool second);
bool cu_mla_joins(const ker_ctx *c, int layer);
bool cu_mla_make(ker_ctx *c);
/* route.cu: score -> trace (ids, weights, entropy, margin) */
void cu_choose(ker_ctx *c, int layer);
/* ffn.cu: y is normed and prepared in c->in. Passes over rows so that rows x k fit pairs_cap. */
void cu_experts(ker_ctx *c, int layer);                      /* y (normed) -> x: routed, shared, residual     */
void cu_dense(ker_ctx *c, int layer);
/* Clears the neurons that a row's width leaves out: h[places][n] of routed experts, or of the dense or shared part. A place is of
 * row r0 + place / per, or (row_of not NULL) r0 + row_of[place], and places from *off + *count on are not in use. */
typedef struct cu_narrow { float *h; int n, places, per, r0, layer; bool routed; const int *row_of, *off, *count; } cu_narrow;
void cu_narrow_rows(ker_ctx *c, const cu_narrow *a);
/* moe_run: rows [r0, r0 + n) of what c->y and c->in hold, n * k <= pairs_cap; ids: device [n][max_k] of those rows, k slots at most in
 * use; place: device [n_expert], the matrix of an expert, -1: left out this time; NULL: its own; to: device [n * k][n_embd], an
 * expert's output for (row, slot), not weighted; unused slots are not written. */
void cu_experts_rows(ker_ctx *c, int layer, const uint16_t *ids, int r0, int n, int k, const int *place, float *to);
/* moe_add: the same rows, given; weighted in slot order by the trace, then the shared expert, then the residual. */
void cu_experts_add(ker_ctx *c, int layer, int r0, int n, int k, const float *from);
int64_t cu_group_ints(const ker_ctx *c);                     /* of ffn.group, asked by ctx_new                 */
/* glu.cu */
bool cu_glue_make(ker_ctx *c);                               /* what layers that are not plain need            */
/* head.cu */
void cu_head(ker_ctx *c);
/* blas.cu: products of many rows by cuBLAS; without it, or where it says no, c->blas stays NULL and nobody hears of it. */
void cu_blas_new(ker_ctx *c);                                /* by ctx_new, as the device's table of ways wants it */
bool cu_blas_make(ker_ctx *c, int widest, int n_out, int64_t tile_bytes);
bool cu_blas_make_experts(ker_ctx *c, int n_expert, int widest, int n_out, int64_t tile_bytes);      /* behind cu_blas_make */
void cu_blas_free(ker_ctx *c);
bool cu_blas_type(int type);                                 /* types it has a way for                          */
bool cu_blas_takes(const ker_ctx *c, const cu_mat *w, int n_rows);
bool cu_blas_takes_experts(const ker_ctx *c, const cu_mat *w, int n_rows);      /* of a batch                    */
/* ways.cu */
void cu_ways_put(int index, const ker_ways *ways);           /* the table's entries                              */
int cu_ways_measure(int index, bool small, ker_way *out, int max, char *err);
void cu_ways_of(int index, ker_ways *to);
/* decode.cu: for few rows (n <= CU_FEW) the fused launches of a part, where shapes and types allow; false: nothing done. */
bool cu_few_part(ker_ctx *c, int part /* cu_part */, int layer);
bool cu_few_early(const ker_dev *d);                         /* of d->early, asked by dev_open                  */
/* Slots [s0, s1) of rows [r0, r0 + n): device slots[n][max_k] are those rows' matrices, KER_NO_EXPERT: not now. All of a row's
 * slots (s0 0 and last), or of one row a wave of the `used` ones. slots NULL only asks whether the layer is taken so. */
typedef struct cu_few_take { const uint16_t *slots; int r0, n, s0, s1, used; bool last; } cu_few_take;
bool cu_few_experts(ker_ctx *c, int layer, const cu_few_take *t);
/* adapter.cu: what begin and cfg_put do for adapters; low.cuh has what products ask for */
int cu_adapters_begin(ker_ctx *c, int n, const int16_t *slot /* [n]; NULL: all 0 */, char *err);
int cu_adapters_cfg(ker_ctx *c, int slot, const ker_config *k, cu_cfg *g, char *err);      /* waits                */
void cu_adapters_ctx_free(ker_ctx *c);
void cu_adapters_free(ker_dev *d);
/* delta.cu: recurrent layers */
int cu_delta_check(const ker_model *m, char *err);           /* by dev_open: a model whose shape it does not take */
bool cu_delta_make(ker_ctx *c);                              /* by ctx_new                                      */
int cu_delta_begin(ker_ctx *c, const ker_batch *b, char *err);
void cu_delta_part(ker_ctx *c, int layer);                        /* the part                                   */
void cu_delta_rule(ker_ctx *c, int layer);                   /* its products -> o, normed and gated             */
void cu_delta_two(ker_ctx *c, int layer);                    /* x -> beta and alpha                             */
float *cu_delta_alpha(const ker_ctx *c);                     /* where alphas lie that have a matrix of their own */
int cu_cell_layer(const ker_model *m, int layer);            /* layers with cells before it                     */
void cu_states_free(ker_kv *kv);
/* cache.cu: experts that are fetched. Returns Q_OK, Q_CANCEL, Q_ERR, what a source said. */
bool cu_cache_takes(const ker_dev *d, enum ker_role role);
void cu_cache_weight(ker_dev *d, int layer, enum ker_role role, const ker_weight *w);
int cu_cache_ready(ker_dev *d, char *err);
void cu_cache_free(ker_dev *d);
bool cu_cache_ctx(ker_ctx *c);
bool cu_cache_has(const ker_dev *d, int layer);
void cu_cache_count(ker_dev *d, ker_out *out);               /* since it was asked last                         */
int cu_fetch_experts(ker_ctx *c, int layer);                 /* the part, at once                               */
int cu_fetch_rows(ker_ctx *c, int layer, const uint16_t *ids, const uint16_t *dev_ids, int r0, int n, int k, float *to);
/* parts.cu: a part of the table as the launches it is made of */
enum cu_part { CU_EMBED, CU_ATTN, CU_ROUTE, CU_EXPERTS, CU_DENSE, CU_HEAD };
void cu_part_launch(ker_ctx *c, int part, int layer);
/* graph.cu: parts are remembered as they are asked for and launched when something must be waited for. */
int cu_do(ker_ctx *c, int part, int layer);                  /* Q_OK, Q_CANCEL, Q_ERR                           */
int cu_times(ker_ctx *c, bool on, ker_time *out, int max);   /* times.cu; the table's entry                     */
bool cu_timing(const ker_ctx *c);                            /* launches are timed one by one: no graph          */
void cu_times_hold(ker_ctx *c);                              /* before a pass: the stream waits for the host     */
int cu_flush(ker_ctx *c);                                    /* launches what was remembered, as a graph where that pays */
void cu_parts_forget(ker_ctx *c);
void cu_graphs_free(ker_ctx *c);                             /* what was captured; c can go on                  */

/* ---- errors and memory ---- */
bool cu_ok(ker_dev *d, cudaError_t e, const char *what);     /* false: remembered in d->why; d is lost for this program */
void cu_enter(const ker_dev *d);                             /* calls from here on are to d; errors that whoever came before left are not its own */
void *cu_alloc(ker_dev *d, size_t bytes);                    /* device memory of the device's life; NULL: none left (not an error of the device) */
void *cu_locked(ker_dev *d, size_t bytes);                   /* page-locked memory of the machine, which the caller frees; NULL: none to be had */
int cu_no_memory(const ker_dev *d, char *err);               /* Q_NOMEM, in words of which of the two was refused last */
void *cu_ctx_alloc(ker_ctx *c, int64_t bytes);               /* the same of the context's life, set to zero      */
void *cu_ctx_pinned(ker_ctx *c, int64_t bytes);              /* pinned host memory of the context's life         */
void cu_ctx_give_back(ker_ctx *c, int from);                 /* what was taken since n_mem was `from`; waits for the stream */
bool cu_acts_make(ker_ctx *c, cu_acts *a, unsigned kinds, int64_t rows, int64_t n);
const cu_planes *cu_planes_of(int type);                     /* NULL: not a weight                               */
bool cu_takes(int type);                                      /* it is one                                      */

/* ---- what plugin.cu puts into the table ---- */
int dev_list(ker_device *list, int max, char *err);
void dev_leave(void);
int dev_open(const ker_model *m, int n_threads, const ker_hold *hold, ker_dev **out, char *err);
void dev_close(ker_dev *d);
uint64_t dev_memory(const ker_dev *d);
int dev_weight(ker_dev *d, int layer, enum ker_role role, const ker_weight *w, char *err);
int dev_source(ker_dev *d, const ker_source *s, char *err);
int dev_ready(ker_dev *d, char *err);
int dev_adapter_put(ker_dev *d, int adapter, const ker_low *low, int n, char *err);
void dev_adapter_drop(ker_dev *d, int adapter);
int ctx_new(ker_dev *d, int max_rows, int max_k, const atomic_int *cancel, ker_ctx **out, char *err);
void ctx_free(ker_ctx *c);
int ctx_cfg_put(ker_ctx *c, int slot, const ker_config *k, char *err);
int ctx_begin(ker_ctx *c, ker_kv *kv, const ker_batch *b, char *err);
int ctx_end(ker_ctx *c, ker_out *out);
int kv_new(ker_dev *d, enum ker_kv_type t, int n_page, ker_kv **out, char *err);
void kv_free(ker_kv *kv);
void kv_copy(ker_kv *kv, int dst_page, int src_page, int n_cells);
int64_t kv_page_bytes(const ker_dev *d, enum ker_kv_type t);
int kv_save(ker_kv *kv, int page, int n_cells, void *dst);
int kv_load(ker_kv *kv, int page, int n_cells, const void *src);
int64_t state_bytes(const ker_dev *d);
int state_new(ker_kv *kv, char *err);
void state_free(ker_kv *kv, int state);
int state_save(ker_kv *kv, int state, void *dst);
int state_load(ker_kv *kv, int state, const void *src);
bool moe_room(ker_ctx *c);
int moe_take(ker_ctx *c, int layer, ker_moe *out);
int moe_run(ker_ctx *c, int layer, ker_moe *moe);
int moe_add(ker_ctx *c, int layer, const ker_moe *moe);

#endif
