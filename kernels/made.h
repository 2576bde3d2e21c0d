/* kernels/made: models of random weights in any shape, made in memory, to prove and to measure a backend with (prove.c,
 * speed.c). Private. A model belongs to its maker and outlives the devices that it was opened on. */
#ifndef QUORUM_MADE_H
#define QUORUM_MADE_H

#include "kernels/kernels.h"

enum { MADE_LAYERS = 48, MADE_KINDS = 2 /* of layers, dense and routed */ };
enum { MADE_QK_NORM = 1, MADE_BIAS = 2, MADE_SELECT_BIAS = 4, MADE_SH_ROUTER = 8, MADE_RENORM = 16, MADE_HALF = 32, MADE_TIED = 64, MADE_LOW = 128 /* an adapter on every matrix that may have one */,
       MADE_DELTA = 256 /* the dense layer is recurrent, the routed one's Q has a gate */, MADE_PAIRED = 512 /* its betas and alphas are one matrix */ };
enum { MADE_WHOLE = 4096 /* one norm over all heads of Q, one over those of K */, MADE_POST = 8192 /* norms after parts, the last layer rotates otherwise */,
       MADE_FACTORS = 16384 /* of embedded rows, of what parts add, of logits */, MADE_SINKS = 32768, MADE_BIASES = 65536 /* of the attention's output, the router and the experts */,
       MADE_GROUPS = 1 << 17 /* experts in groups of two, half of which count */, MADE_ONE = 1 << 18 /* a gate and its up lie in one tensor, row by row or expert by expert */,
       MADE_WIDTHS = 1 << 19 /* rows have fewer neurons */ };

/* With both widths layer 0 is dense and layer 1 routed; with one, all layers are alike. */
typedef struct made_shape {
    const char *name;
    int n_embd, n_head, n_kv, hd, rope_dim, n_expert, ffx, ffs, ff, n_vocab, k;
    int down, features;                /* type of the experts' down, -1: as the others; MADE_* */
    enum ker_gate gate;
    float scale, router_scale;
    const int *rows;                   /* batches one after the other, 0 ends                     */
    const char *kind;                  /* of model, for a report: through _()                     */
    enum ker_glu glu;
    int window;                        /* of the first layer; 0: none                             */
    ker_latent latent;                 /* kv_rank > 0: attention is latent, with n_kv 1 and its hd and rope_dim */
} made_shape;

typedef struct made_model {
    const made_shape *s;
    ker_model m;
    ker_layer layer[MADE_LAYERS];
    ker_weight w[MADE_LAYERS + 1][KER_W_ROLES];        /* 0: of the whole model */
    int own;                           /* layers with weights of their own; the others share layer 0's */
    float freq[256];
    float local[256];                  /* ker_config's rope_local, with MADE_POST                 */
    int16_t k[MADE_LAYERS];
    ker_low low[(MADE_KINDS + 1) * KER_W_ROLES];       /* with MADE_LOW */
    int n_low;
    float factor[MADE_LAYERS + 1]; /* ker_adapt's                                             */
    char what[96];
} made_model;

typedef struct made_side { const ker_backend *b; ker_dev *dev; ker_ctx *ctx; ker_kv *kv; ker_out out; float *x; int state[2]; /* with MADE_DELTA: the first is read next, 0: there are none */ } made_side;

made_model *made_new(const made_shape *s, int type, int repeat /* layers, where all are alike */);
void made_free(made_model *);
/* The model on device `index`, with its adapter: a context of so many rows, cells in F16, its configuration in slot 0, in slot 1 without the adapter,
 * in slots 2 and 3 with fewer neurons: the first of them, those of largest magnitude; x: [rows][n_embd]. */
int made_open(made_side *s, const ker_backend *b, int index, const made_model *m, int rows, int cells, char *err);
void made_close(made_side *);          /* also after a failed open */
/* Which states a batch from that cell on reads and writes; the one that was written is read next. */
void made_states(made_side *, int cell, ker_seq *);
/* Of a pass that ended with rc, in the words of the device where it has some. */
int made_stopped(const made_side *, const made_model *, int rc, char *err);
/* One batch through all parts, and its end. */
int made_pass(made_side *s, const made_model *m, const ker_batch *batch, char *err);

#endif
