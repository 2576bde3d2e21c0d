/* kernels/cpu/enc: an encoder of the CPU. Private to kernels/cpu. A ker_enc owns its pool, buffers and scratch; matrices
 * stay in the caller's memory unless it is exact. */
#ifndef QUORUM_CPU_ENC_H
#define QUORUM_CPU_ENC_H

#include "kernels/cpu/act.h"
#include "kernels/cpu/pool.h"
#include "kernels/cpu/vec.h"
#include "kernels/kernels.h"

typedef struct enc_layer {
    mat w[KER_ENC_ROLES];              /* n_out 0: absent                                          */
    float *vec[KER_ENC_ROLES + 1];     /* norms and biases, decoded; owned; the last is no role's: NULL */
    float *own[KER_ENC_ROLES];         /* exact: the matrix in F32                                 */
} enc_layer;

typedef struct enc_rows {              /* of one run; grown by the longest so far                  */
    int cap, longest;                  /* rows; rows of a text                                     */
    float *x, *y, *q, *k, *v, *o;      /* [cap][n_embd]: what goes on; a part's result; heads      */
    float *h, *gate;                   /* [cap][n_ff]                                              */
    acts in, h_act;                    /* of n_embd and n_ff numbers                               */
    float *rope;                       /* [longest][head_dim]: cos half, then sin; NULL: learned places */
} enc_rows;

struct ker_enc {
    ker_enc_model m;
    bool exact, is_ready;
    enc_layer *layer;                  /* [n_layer + 1]; 0: the whole model's roles                */
    const vec_ops *v;
    pool *pool;
    unsigned kinds, h_kinds;           /* bits of ker_act that weights of n_embd, of n_ff inputs ask for */
    enc_rows r;
    uint8_t **scratch;                 /* [threads]: MAT_SCRATCH, then attention's floats          */
    int64_t floats;                    /* of attention in each                                     */
};

static inline enc_layer *enc_at(const ker_enc *e, int layer) { return &e->layer[layer + 1]; }

/* A worker's part of attention: K by pages of VEC_CELLS, transposed, and V of one head of one text; then, for ENC_QUERIES
 * queries at a time, scores, sums, running maxima and pointers. */
enum { ENC_QUERIES = 64 };
static inline int enc_pages(int n) { return (n + VEC_CELLS - 1) / VEC_CELLS; }
static inline int enc_pad(const ker_enc_model *m) { return (m->n_embd / m->n_head + 15) & ~15; }
static inline int64_t enc_floats(const ker_enc_model *m, int longest)
{
    return (int64_t)enc_pages(longest) * VEC_CELLS * 2 * enc_pad(m) + (int64_t)ENC_QUERIES * (VEC_CELLS + enc_pad(m) + 3 + 2 * 2) + 64;
}

/* Room for a run: `rows` rows, the longest text of `longest`. Q_NOMEM leaves a smaller, whole one. */
int enc_room(ker_enc *, int rows, int longest, char *err);
void enc_room_free(ker_enc *);

#endif
