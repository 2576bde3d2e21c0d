/* train/pass: texts on their way through the layers and back. A pass holds the rows of one or more texts, one after another; each row sees
 * its own text's rows alone. What a layer leaves for its way back is made anew from its input when the way back comes to it, so that only
 * layers' inputs are kept; of those, where memory is short, every stride-th, and the ones between are made anew too.
 * One thread; work is shared out among the team. Results depend on neither the number of threads nor, but for the last bit, on what else is in a pass.
 * Private to train/. */
#ifndef QUORUM_TRAIN_PASS_H
#define QUORUM_TRAIN_PASS_H

#include "train/frozen.h"

typedef struct pass_attn {
    float *in;                         /* [n][n_embd] the normed row                                       */
    float *q_raw, *k_raw;              /* before their norms; NULL where a model has none                  */
    float *q, *k, *v;                  /* [n][heads * head_dim], rotated; q times attn_scale               */
    float *o;                          /* [n][n_head * head_dim]                                           */
    float *top;                        /* [n][n_head] log of the sum over a row's cells of e^score         */
    float *out;                        /* [n][n_embd] what the output matrix gave, with its bias           */
    float *dq, *dk, *dv, *dout;        /* gradients of q, k, v, o                                          */
} pass_attn;

typedef struct pass_ffn {
    float *in;                         /* [n][n_embd] the normed row                                       */
    float *gate, *up, *h;              /* [n][width] of a dense layer or the shared expert; gradients in their places later */
    float *dh;                         /* [n][width]                                                       */
    float *out;                        /* [n][n_embd] the part's sum                                       */
    float *tmp;                        /* [n][n_embd] the shared expert's                                  */
    float *coef;                       /* [n] its gate                                                     */
} pass_ffn;

typedef struct pass_route {            /* a pair is a (row, slot); sorted by expert, rows in order         */
    float *score, *gates;              /* [n][n_expert]; gradients of the router's products in score's place later */
    uint16_t *ids;                     /* [n][max_k]                                                       */
    float *weights, *dweights;         /* [n][max_k]                                                       */
    ker_chosen *chosen;                /* [n]                                                              */
    int *off;                          /* [n_expert + 1] pairs of an expert                                */
    int *row, *slot;                   /* [pairs]                                                          */
    int *pair;                         /* [n][max_k] where a slot's pair stands                            */
    int *active, n_active;             /* [n_expert] experts with pairs, the fullest first                 */
    float *in;                         /* [pairs][n_embd] gathered rows; their gradient later in `out`     */
    float *gate, *up, *h, *dh;         /* [pairs][n_ff_exp]                                                */
    float *out;                        /* [pairs][n_embd]                                                  */
} pass_route;

typedef struct pass_head {
    float *in, *din;                   /* [targets][n_embd] normed rows that foretell a target             */
    float *top, *sum;                  /* [pieces of the vocabulary][targets] largest logit, sum of e^(logit - top) */
    float *own;                        /* [targets] the target's logit                                     */
    float *log_sum;                    /* [targets] log of the sum over the vocabulary                     */
    float *dl;                         /* [targets][HEAD_PANEL] gradients of logits                        */
} pass_head;

typedef struct pass_size { int64_t rows, longest /* of one text */; int texts, stride; } pass_size;      /* that there is room for */
typedef struct pass_own { void **at; int n; uint64_t bytes; } pass_own;                                   /* all of a pass's arrays */

typedef struct pass {
    frozen *f;
    const ker_config *c;
    int max_k;
    /* of the batch at hand */
    int n, n_text;
    int *at;                           /* [n_text + 1] first row of each text                              */
    int32_t *token;                    /* [n]                                                              */
    int *pos;                          /* [n] place of a row in its text                                   */
    int lowest;                        /* the first layer that is taught                                   */
    pass_size size;
    float *x, *d;                      /* [n][n_embd] the stream; its gradient                             */
    float *mid, *dmid;                 /* [n][n_embd] between a layer's two parts                          */
    float *dn;                         /* [n][n_embd] gradient of a normed row, and scratch                */
    float *cs;                         /* [longest][KER_ROPE_SETS][rope_dim] cos, then sin                 */
    float **kept;                      /* inputs of layers lowest, lowest + stride, ...                    */
    float **between;                   /* [stride] inputs of the layers of one stretch; 0 is not used      */
    int n_kept;
    pass_attn a;
    pass_ffn s;
    pass_route r;
    pass_head h;
    pass_own own;
} pass;

int pass_open(pass *, frozen *, const ker_config *, int lowest, char *err);
void pass_close(pass *);
/* What counts with the activations of such a pass: scratch of a fixed number of workers, and the vectors of the model. */
uint64_t pass_beside(const pass *, int64_t rows, int64_t longest);
uint64_t pass_need(pass *, int64_t rows, int64_t longest, int texts, uint64_t most);     /* bytes that pass_room would take, with what is beside it on the threads there are; `most` decides how many inputs are kept */
/* Room for so many rows of texts of at most `longest`, within `most` bytes of activations and of what is beside them: Q_NOMEM says what to make shorter. */
int pass_room(pass *, int64_t rows, int64_t longest, int texts, uint64_t most, char *err);
/* Begins a batch: texts of n[i] tokens. */
void pass_begin(pass *, const int32_t *const *token, const int *n, int n_text);
/* All layers; x is the last one's output. keep: inputs are kept for the way back. */
int pass_forward(pass *, bool keep);
/* d: the gradient of the last layer's output. Adds up the adapter's gradients down to the lowest layer taught. */
int pass_backward(pass *);

/* Rows that foretell: logp[i] of token id[i] after row row[i]; logits of a piece of the vocabulary at a time, never of all of it. */
typedef struct pass_target { int row; int32_t id; float logp, coef /* the loss's gradient by logp */; } pass_target;
int pass_logp(pass *, pass_target *t, int n);
/* After that: d, from the coefs. */
int pass_logp_back(pass *, const pass_target *t, int n);

/* ---- parts (forward.c, attend.c, route.c, backward.c) ---- */
/* fn(p, r0, r1, arg) over blocks of rows, each wholly one worker's. */
typedef void (*pass_rows_fn)(pass *, int r0, int r1, void *arg);
int pass_each(pass *, pass_rows_fn fn, void *arg);
/* One layer over in; what its way back needs is left in a, s, r. out NULL: only that, without products that nothing needs. */
int pass_layer(pass *, int layer, const float *in, float *out);
int pass_layer_back(pass *, int layer, const float *in);
int pass_attend(pass *, int layer);              /* q, k, v -> o, top */
int pass_attend_back(pass *, int layer);         /* dout -> dq, dk, dv */
enum { HEAD_PIECE = 256, HEAD_PANEL = 1024 };      /* rows of the head that a task takes; whose gradients are there at once */
int64_t pass_attend_floats(const pass *, int64_t longest);
int pass_choose(pass *, int layer);              /* in of the feed-forward part -> ids, weights, pairs */
int pass_choose_back(pass *, int layer);         /* dweights -> dn += */
void pass_norm(const float *x, const float *w, int n, float eps, float *y);
/* dx += the gradient of x, where dy is that of its norm. */
void pass_norm_back(const float *x, const float *w, int n, float eps, const float *dy, float *dx);
void pass_glu(enum ker_glu kind, const float *gate, const float *up, float *h, int n);
/* gate, up: the numbers, then their gradients. */
void pass_glu_back(enum ker_glu kind, float *gate, float *up, const float *dh, int n);
void pass_mlp_glu(pass *, int r0, int r1, void *product);    /* s.gate, s.up -> s.h, of rows */
void pass_narrow(float *h, int n, int32_t width);        /* ker_config.ffn_width */
bool pass_taught(const pass *, int layer, enum ker_role a, enum ker_role b, enum ker_role c, int e);   /* anything of these */

#endif
