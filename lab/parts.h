/* lab/parts: what the files of lab/ share; nobody outside includes it but its tests and benches. Plain data without a
 * lock: watch.c guards it. */
#ifndef QUORUM_LAB_PARTS_H
#define QUORUM_LAB_PARTS_H

#include "lab/lab.h"

#include <pthread.h>

enum { USUAL_NEED = 256, USUAL_PRIOR = 64, USUAL_MEMORY = 4096, USUAL_KEY = 128, LAB_WINDOW = 32, LAB_NONE = 0xFFFF };

/* ---- usual.c: how often each expert runs, per (model, k), learnt over everything that was ever evaluated with it ---- */
typedef struct lab_usual {
    struct lab_usual *next;
    char key[USUAL_KEY];                 /* setting name: "usual.MODELID.K" */
    int n_layer, n_expert;               /* routed layers */
    float n;                             /* tokens seen, at most USUAL_MEMORY */
    float *mean;                         /* [n_layer][n_expert] */
    bool dirty;
} lab_usual;

void usual_key(uint64_t model, const char *k, char key[USUAL_KEY]);
lab_usual *usual_new(const char *key, int n_layer, int n_expert);
void usual_free(lab_usual *);            /* this one, not what follows it */
char *usual_text(const lab_usual *);     /* malloc'ed */
bool usual_parse(lab_usual *, const char *text);
void usual_learn(lab_usual *, const lab_usual *more);
/* A layer's rates, with sum k, into out [n_expert]. u: own ones, or NULL; from: another k's rates to start from where there
 * are few own ones, or NULL: chance. Both of this shape. */
void usual_rates(const lab_usual *u, const lab_usual *from, int layer, int n_expert, double k, double *out);
/* Rates as they become when the odds of each expert are multiplied by odds[e] (0: it never runs, INFINITY: always; NULL:
 * all 1) and the layer runs k of them. In place. */
void usual_bend(double *rate, const float *odds, int n, double k);

/* ---- window.c: recent tokens, older ones weighing less ---- */
typedef struct lab_ruler {               /* what a window is measured against */
    lab_usual *u;                        /* NULL: chance */
    const lab_usual *from;               /* known rates of another k, or NULL */
    float *odds;                         /* [n_layer][n_expert] owned; NULL: nobody banned, pinned or biased */
    bool bent;                           /* routing is not as the model would have it */
} lab_ruler;
typedef struct lab_window {
    int n_layer, first, n_expert, n_all; /* n_all: all layers of the model, as traces count them */
    int max_k;
    int k;
    lab_ruler by;
    float *hit;                          /* [n_layer][n_expert] decayed counts */
    double w1, w2;                       /* decayed sums of weights and of their squares */
    uint16_t *now, *before;              /* [n_layer][max_k] */
    uint8_t *was;                        /* [n_layer][n_expert] 1: ran for the last token */
    float *now_weight, *entropy, *margin;
    double repeat_num, repeat_den;
    int n_tokens;
    uint64_t version;
    bool any;
} lab_window;

void window_shape(lab_window *, const lab_shape *s, int max_k);
void window_clear(lab_window *);         /* forgets the tokens, keeps shape and ruler */
void window_free(lab_window *);
/* p->n_layer is n_all. learn: it also teaches by.u. */
void window_add(lab_window *, const lab_position *p, bool learn);
void window_view(const lab_window *, lab_view *out);
/* Bans, pins and biases of a configuration's JSON: *odds [n_layer][n_expert], malloc'ed, NULL where there are none. True:
 * routing is not as the model would have it. */
bool ruler_read(const char *config, int first, int n_layer, int n_expert, float **odds);

/* ---- baseline.c ---- */
extern const char lab_baseline_text[];            /* of several kinds; what is known of a model before anybody said anything comes from it */

/* ---- judge.c: what of a difference is more than chance ---- */
/* Mean of value over n items and its 95% interval: `blocks` blocks (block[i] names i's) are drawn anew with replacement 2,000
 * times, by a fixed seed, and the mean of what was drawn is taken each time; the 2.5th and 97.5th of a hundred. */
lab_interval judge_mean(const double *value, const int *block, int n, int blocks);
/* The same of a ratio: sum[b] over count[b] of each block. */
lab_interval judge_ratio(const double *sum, const double *count, int blocks);
/* KL(P||Q) in nats of the softmaxes of two logit vectors; never below 0, 0 where they are equal, and exact also where it is
 * far below the rounding of a probability. *top: both have the same largest (lowest id on a tie). */
double judge_kl(const float *p, const float *q, int n, double log_sum_p, double log_sum_q, bool *top);
double judge_log_sum(const float *logits, int n);    /* log of the sum of exp */

/* ---- watch.c ---- */
struct lab_watch {
    pthread_mutex_t mu;
    struct mem_store *store;
    lab_usual *usual;                    /* all that are known, of any model */
    lab_window live, stored;
    lab_ruler next;                      /* with `fresh`: what the next position is measured against */
    bool fresh;                          /* routing is made otherwise now: the window begins anew with the next position */
    bool show_stored, live_wanted;
    bool no_baseline;                    /* the built-in text was tried in vain */
    uint64_t model, hash, stored_model;
    lab_guard guard;                     /* of `model`; n 0: nothing is known */
    struct { uint8_t *cell; int n_layer, n_expert; } taught;     /* of `model`: experts that adapters change; cell NULL: none */
};

/* ---- routes.c: sets of routing ---- */
struct lab_routes {
    int n_layer, *layer;                 /* routed ones, by their numbers in the model */
    int n_expert;
    bool known;                          /* else n_expert is one more than the largest number seen */
    int max_k, n, cap;
    uint16_t *ids;                       /* [n][n_layer][max_k], LAB_NONE pads */
    float *entropy, *margin;             /* [n][n_layer]; NAN: not kept, or none */
    uint8_t *first;                      /* [n] 1: does not follow the token before it */
};
lab_routes *routes_new(const int *layer, int n_layer, int max_k, int n_expert);
/* A token; every layer's ids and numbers are NONE and NAN until they are put. */
void routes_token(lab_routes *, bool first);
/* Layer l of the last token. False: an id that there cannot be. */
bool routes_put(lab_routes *, int l, const uint16_t *ids, int k, float entropy, float margin);
const uint16_t *routes_ids(const lab_routes *, int token, int l);
int routes_k(const lab_routes *, int token, int l);      /* how many ran */

int lab_max_k(int n_expert);             /* how many of a token's experts a window keeps */

/* The sentence for an answer whose positions were turned while it was written; Q_RANGE (past.c). */
int lab_was_turned(char *err);

#endif
