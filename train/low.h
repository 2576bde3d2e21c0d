/* train/low: the numbers that are trained: A and B of each matrix, compact: of routed experts only those that are taught (whose A or B has
 * a number other than 0; the others' gradients are 0 by themselves, and they keep no memory and no time). With the gradients and AdamW's
 * two means beside them in arrays of one layout. Owned by one trn; tasks may write different matrices' or experts' gradients at once. */
#ifndef QUORUM_TRAIN_LOW_H
#define QUORUM_TRAIN_LOW_H

#include "engine/adapter.h"
#include "train/train.h"

typedef struct low_mat {
    enum ker_role role;
    int layer, n_expert, rank;
    int64_t n_in, n_out;
    float scale;
    int32_t *at;                       /* [n_expert] its place among the taught, -1: not taught */
    int n_taught;
    int64_t first;                     /* in the arrays: for each taught expert A [rank][n_in], B [n_out][rank] */
} low_mat;

typedef struct lows {
    low_mat *mat;
    int n, n_layer;
    int *find;                         /* [n_layer][KER_W_ROLES] index of a matrix, -1: none */
    int64_t n_param;
    float *p, *g, *m, *v;              /* [n_param] numbers, gradients, means of gradients and of their squares */
    int64_t updates;                   /* of AdamW so far */
    int lowest;                        /* the first layer with something taught */
    int rank;                          /* the largest */
} lows;

/* Of an adapter's rows. Q_RANGE: one is of a matrix that is not trained here, or nothing is taught. */
int lows_of(const ker_model *, const eng_adapter *, lows **out, char *err);
void lows_drop(lows *);
uint64_t lows_bytes(const lows *);

typedef struct low_at { const float *a, *b; float *ga, *gb; int rank; float scale; } low_at;
/* Of one expert's matrix (e 0 where there are none); rank 0: nothing is taught there. */
low_at lows_at(const lows *, int layer, enum ker_role role, int e);

/* `which` of the arrays (p, g) as an adapter. Of `init` are the shapes. */
int lows_adapter(const lows *, const float *which, const eng_model *, const char *name, const char *note, eng_adapter **out, char *err);

/* One update of AdamW (arXiv 1711.05101, algorithm 2 with the decay by lr alone, as PyTorch's): g is the gradient. In place. */
void lows_adamw(lows *, const trn_options *, double lr);
double lows_length(const lows *);      /* of the gradient: the root of the sum of its squares */
#endif
