/* train/frozen: a model's weights as training reads them: matrices that stay as they lie in the file and become F32 by tile, vectors kept
 * as F32; and products with them, with what an adapter adds, there and back. All arithmetic is in F32 over dequantised weights: activations
 * are not quantised, as the engine's are where weights are, so losses differ from its own in the third digit or so under Q4 files.
 *
 * Two forms of each product: `frozen_*` share one matrix out among the team, for many rows; `own_*` are one worker's, for the routed
 * experts of which a layer runs many at once. Results depend on neither the number of threads nor who took what.
 * Private to train/. */
#ifndef QUORUM_TRAIN_FROZEN_H
#define QUORUM_TRAIN_FROZEN_H

#include "train/gemm.h"
#include "train/low.h"
#include "train/team.h"

enum { FRO_TILE = 64 /* rows of a matrix that a worker holds as F32 */, FRO_ROWS = 64 /* rows of activations of a task */, FRO_COLS = 256 };

typedef struct frozen {
    const eng_model *model;
    const ker_model *m;
    const gem_ops *gem;
    team *team;
    const team_stop *stop;
    lows *low;
    bool plain;                        /* without the adapter: the reference of DPO */
    float **vec;                       /* [n_layer + 1][KER_W_ROLES] from layer -1 on; NULL: there is none */
    bool tied;                         /* the head is the embedding */
    float **work;                      /* [threads] scratch of a worker */
    int64_t work_floats;
    float *panel;                      /* the team's: rows of a matrix, packed; and A x of all rows */
    int64_t panel_floats;
    float *low_x;                      /* [rows][rank] */
    int64_t rows;                      /* that there is room for */
    atomic_int broken;                 /* a q_result: rows could not be read; sticky */
    uint64_t bytes, vec_bytes;         /* of all this; of the vectors among it */
} frozen;

/* rows: of activations at most. Vectors are read, every matrix is tried. */
int frozen_open(frozen *, const eng_model *, lows *, team *, const team_stop *stop, char *err);
void frozen_close(frozen *);
/* Room for products of so many rows and for `scratch` floats of a worker's own; grows. Q_NOMEM without a sentence. */
int frozen_room(frozen *, int64_t rows, int64_t scratch);
const float *frozen_vec(const frozen *, int layer, enum ker_role role);
static inline float *frozen_work(const frozen *f, int worker) { return f->work[worker]; }
/* Bytes of all that for `workers`, vectors among them. */
uint64_t frozen_bytes(const frozen *, int64_t rows, int64_t scratch, int workers);
/* Floats of a worker's scratch that own_* take from its beginning; what comes behind is the caller's. */
int64_t frozen_own(const frozen *, int64_t rows);

typedef struct product { int layer; enum ker_role role; int e; int64_t n_in, n_out; } product;
product frozen_product(const frozen *, int layer, enum ker_role role, int e);

/* y[n][n_out] = x[n][n_in] W^T + scale (x A^T) B^T. */
int frozen_mul(frozen *, product p, const float *x, int64_t n, float *y);
/* The way back: dx (NULL: not wanted) += dy W and the adapter's part; gradients of A and B are added up. */
int frozen_back(frozen *, product p, const float *x, const float *dy, int64_t n, float *dx);
void own_mul(frozen *, int worker, product p, const float *x, int64_t n, float *y);
void own_back(frozen *, int worker, product p, const float *x, const float *dy, int64_t n, float *dx);

/* Rows [o, o + n) of a matrix into raw [n][n_in]. */
void frozen_rows(frozen *, product p, int64_t o, int64_t n, float *raw);
#endif
