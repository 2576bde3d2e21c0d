/* kernels/cpu/dev: a device of the CPU backend. Private to kernels/cpu. A ker_dev owns its pool, its copies
 * of small weights and each worker's scratch; weights stay in the caller's memory. */
#ifndef QUORUM_CPU_DEV_H
#define QUORUM_CPU_DEV_H

#include "kernels/cpu/act.h"
#include "kernels/cpu/mat.h"
#include "kernels/cpu/pool.h"
#include "kernels/cpu/vec.h"
#include "kernels/kernels.h"

enum {
    FFN_ROWS = 512,                /* rows of one pass through a feed-forward part ...            */
    FFN_PAIRS = 4096,              /* ... and (row, expert) pairs: both bound the scratch         */
    FFN_BLOCK = 64                 /* outputs of one task, at most                                */
};

typedef struct layer_w {
    mat w[KER_W_ROLES];            /* n_out 0: absent. 3-D weights: n_out is one expert's, data NULL where they come from a source */
    int64_t apart[KER_W_ROLES];    /* 3-D: bytes from one expert's matrix to the next             */
    float *vec[KER_W_ROLES];       /* norms and biases, decoded; owned. D_CONV: [conv][channels]  */
    mat merged;                    /* carved models: down of all experts as [row][expert]; data owned */
} layer_w;

struct low_adapter;                /* low.c's */

struct ker_dev {
    ker_model m;                   /* m.layer owned */
    ker_hold hold;                 /* no_experts owned */
    ker_source source;             /* acquire NULL: experts lie in memory */
    layer_w *layer;                /* [n_layer + 1]; 0 = the whole-model roles */
    int *order;                    /* [n_layer] which of the layers with cells it is, or of the recurrent ones */
    const vec_ops *v;
    pool *pool;
    int pairs_cap;                 /* max(FFN_PAIRS, n_expert) */
    int64_t scratch_bytes;         /* of one worker; 0 before ready */
    uint8_t **scratch;             /* [pool_threads] */
    struct low_adapter *adapter[KER_ADAPTERS];     /* owned; NULL: none of that number */
};

int dev_open(const ker_model *m, int n_threads, const ker_hold *hold, ker_dev **out, char *err);
void dev_close(ker_dev *);
int dev_set_threads(ker_dev *, int n);
int dev_source(ker_dev *, const ker_source *s, char *err);
int dev_weight(ker_dev *, int layer, enum ker_role role, const ker_weight *w, char *err);
/* Checks that nothing needed is missing and rearranges what pays. `floats`: what the parts ask of a
 * worker's scratch at once. */
int dev_ready(ker_dev *, int64_t floats, char *err);
static inline layer_w *dev_layer(const ker_dev *d, int layer) { return &d->layer[layer + 1]; }
static inline float *dev_floats(ker_dev *d, int worker) { return (float *)(void *)(d->scratch[worker] + MAT_SCRATCH); }
static inline void *dev_mat_scratch(ker_dev *d, int worker) { return d->scratch[worker]; }
static inline int round16(int n) { return (n + 15) & ~15; }

#endif
