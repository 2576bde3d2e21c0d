/* kernels/cpu/ctx: what a context holds while a batch goes through the layers. Private to kernels/cpu; a
 * ker_ctx owns every buffer, the batch's arrays are the caller's. */
#ifndef QUORUM_CPU_CTX_H
#define QUORUM_CPU_CTX_H

#include "kernels/cpu/act.h"
#include "kernels/cpu/dev.h"
#include "kernels/cpu/kv.h"

enum { ATT_QUERIES = 128 };         /* (row, head) queries that one task takes through a page */

typedef struct cfg {               /* a ker_config with its arrays behind it */
    ker_config c;
    float *turn;                   /* [n_turn segments][n_rope][rope_dim], grown by centre_begin: cos half, then sin, of the mean over a segment (centre.h) */
    int n_turn;
} cfg;

typedef struct att_block { int row, n, seq; } att_block;   /* rows that walk the pages together */

typedef struct ctx_att {
    att_block *block;              /* [max_rows] */
    int n_block;
    float *q;                      /* [max_rows][n_head * head_dim]; once rotated, behind cells by fours, each head as whole numbers (attn.c) */
    float *qg;                     /* [max_rows][n_head][2 * head_dim] q, then its gate, where a layer has one; or NULL */
    float *k, *v;                  /* [max_rows][n_kv_head * head_dim]             */
    float *o;                      /* [max_rows][n_head * ker_value_width]         */
    float *rope;                   /* [max_rows][n_rope][rope_dim]: cos half, then sin */
    int n_rope;                    /* sets of frequencies that layers use          */
    float *part;                   /* [n][n_head][n_seg]: a segment's sums (attn.c) */
    int64_t part_floats;
    _Atomic uint32_t *left;        /* behind them: segments of a block and KV head, or a part of its heads, that are not done */
    int n_seg, n_part;             /* 1: nothing is split; parts of the heads that share a KV head */
    acts act;                      /* of o                                         */
} ctx_att;

typedef struct ctx_delta {         /* all NULL in a model without recurrent layers */
    float *in, *mix;               /* [max_rows][channels] into the convolution, and out of it: q, k, v */
    float *z, *o;                  /* [max_rows][n_value * value_dim]              */
    float *two, *gates;            /* [max_rows][2 * n_value]: beta and alpha as they come; decay, then beta */
    float *zero;                   /* [channels]                                   */
    int *before, *after;           /* [max_rows] the rows beside it in its sequence; -1: none */
    int *left;                     /* [max_rows] the state that is written after it; 0: none */
    int *first;                    /* [max_rows] each sequence's first row         */
    int n_first;
    acts act;                      /* of o                                         */
} ctx_delta;

typedef struct ctx_mla {               /* KER_MIX_MLA (mla.c); none elsewhere                          */
    float *low;                    /* [max_rows][q_rank]                           */
    float *q;                      /* [max_rows][n_head * (nope + rope)]           */
    float *o;                      /* [max_rows][n_head * v]                       */
    acts low_act, nope_act;        /* of low; [max_rows * n_head] of q's first `nope` */
    acts o_act;                    /* [max_rows * n_head] of a head's sum of latents  */
} ctx_mla;

typedef struct ctx_next {              /* ker_model.next; none elsewhere */
    float *pair;                   /* [max_rows][2 * n_embd] normed: the embedded row, the hidden one */
    acts act;                      /* of pair */
} ctx_next;

typedef struct ctx_guess {             /* of a device with a source that takes guesses (route.c); none elsewhere */
    float *x;                      /* [n_embd] a normed row, [n_expert] scores, [max_k] weights */
    acts act;                      /* of the row                                   */
    uint16_t *ids;                 /* [max_k]                                      */
} ctx_guess;

typedef struct ctx_route {
    float *score;                  /* [max_rows][n_expert]                         */
    float *sh_coef;                /* [max_rows] the shared expert's gate          */
    uint16_t *ids;                 /* [n_layer][n][max_k]                          */
    float *weights, *entropy, *margin;
    int *n_slot;                   /* [max_rows] slots in use, in the routed layer at hand */
    int32_t *width;                /* [max_rows] expert widths, as moe_take tells them     */
    ctx_guess guess;
} ctx_route;

typedef struct ctx_ffn {
    float *h, *h_sh;               /* [pairs_cap][n_ff_exp], [FFN_ROWS][widest dense or shared]   */
    acts gather, h_act, sh_act;    /* rows of pairs, sorted by expert; of h; of h_sh              */
    int *pair_row, *pair_pos, *pair_at;   /* [pairs_cap] row of a sorted pair; sorted place of (row, slot), and back */
    int *slot_at;                  /* [FFN_ROWS + 1] first pair of a row                          */
    int *ex_off;                   /* [n_expert + 1]                                              */
    int *active;                   /* [n_expert]                                                  */
    int *id;                       /* [n_expert] what a source is asked for ...                   */
    ker_expert *take;              /* ... and gives; beside `active`                              */
    ker_fetched count;             /* of the batch, by the source                                 */
    float *run_y, *run_scale;      /* [pairs of a batch][n_embd]: moe_run's rows; grown by moe_run */
    int64_t run_cap;               /* floats of each                                              */
    int run_pairs;                 /* of the batch in them                                        */
} ctx_ffn;

typedef struct ctx_low {               /* adapters that act in the batch (low.c) */
    int wide;                      /* numbers of an item: the ranks of those that act; 0: none acts */
    int at[KER_ADAPTERS];          /* where an adapter's begin                                    */
    float *t;                      /* [items][wide], made by begin                                */
    int64_t room;                  /* floats of it                                                */
    int *e;                        /* [pairs_cap] the expert of a sorted pair                     */
    float *run;                    /* [pairs of a batch][n_embd]: what moe_run hands out of them  */
    int64_t run_cap;
} ctx_low;

typedef struct ctx_out {
    float *logits, *hidden;        /* [max_rows][n_vocab], [max_rows][n_embd]; touched as needed  */
    int n_logits, n_hidden;
    int *row;                      /* [max_rows] of the batch, behind each row of logits          */
    ker_bad *bad;                  /* [max_rows] what `end` tells                                 */
} ctx_out;

struct ker_ctx {
    ker_dev *dev;
    int max_rows, max_k;
    const atomic_int *cancel;
    cfg *cfg[256];

    ker_batch b;                   /* of the running batch; arrays are the caller's */
    ker_kv *kv;
    bool open;
    int state;                     /* 0, or why the batch has ended: Q_CANCEL, or what a source said */

    float *x;                      /* [max_rows][n_embd] the residual stream       */
    float *y;                      /* [max_rows][n_embd] normed, or a product      */
    acts in;                       /* of the normed row                            */
    ctx_att att;
    ctx_delta delta;
    ctx_mla mla;
    ctx_next next;
    ctx_route rt;
    ctx_ffn ff;
    ctx_low low;
    ctx_out out;
    _Atomic uint32_t *bad;         /* [max_rows] 0, or part << 16 | layer + 1 of the first numbers that were not finite */
};

int ctx_new(ker_dev *, int max_rows, int max_k, const atomic_int *cancel, ker_ctx **out, char *err);
void ctx_free(ker_ctx *);
int ctx_cfg_put(ker_ctx *, int slot, const ker_config *c, char *err);
int ctx_run(ker_ctx *, int n_tasks, pool_fn fn, void *arg);   /* pool_run that remembers Q_CANCEL */
void ctx_mark(ker_ctx *, int row, int layer, enum ker_part part);     /* a row's numbers are not finite; any worker */
static inline const ker_config *ctx_cfg(const ker_ctx *c, int row) { return &c->cfg[c->b.slot ? c->b.slot[row] : 0]->c; }
static inline int64_t trace_at(const ker_ctx *c, int layer, int row) { return ((int64_t)layer * c->b.n + row) * c->max_k; }

#endif
