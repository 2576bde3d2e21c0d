/* engine/make/shapes: the shapes that engine/make/synth can write and count, one row each: the one list of them, which
 * engine/make/catalog.ini names. Numbers are those of the models' published config.json. Constant data, any thread. Private to engine. */
#ifndef QUORUM_SHAPES_H
#define QUORUM_SHAPES_H

#include "kernels/kernels.h"

typedef struct shape {
    const char *like, *arch, *name, *size_label;
    int n_layer, n_embd, n_head, n_kv, d_head, n_ff, n_expert, n_used, n_ff_exp, n_vocab, n_ctx;
    bool tied;
    struct {                           /* what zero leaves out */
        int leading, shared;           /* dense layers first; shared experts as wide as routed ones        */
        ker_latent latent;             /* n_kv and d_head are then the cells': 1, kv_rank + rope            */
        bool sigmoid, renorm;
        float weights_scale, theta, eps;                       /* 0: 1, 1e6, 1e-6 */
        float yarn_factor, yarn_log;   /* the latter as a file has it: 0.1 times mscale_all_dim            */
        int original;
        unsigned has;                  /* SYN_*                                                         */
        int window;                    /* attention.sliding_window                                      */
        const float *granite;          /* attention.scale, embedding_scale, residual_scale, logit_scale  */
        ker_delta delta;               /* every layer but each fourth is recurrent (n_key > 0), as in ...  */
        int rope_dim;
        bool sections;                 /* ... files that say how positions are shared out among three axes */
    } more;
} shape;

enum { SYN_PLAIN = 1 /* no norms of Q and K */, SYN_BIAS = 2 /* of Q, K, V */, SYN_OSS = 4 /* biases everywhere, sinks */, SYN_POST = 8 /* norms after parts */,
       SYN_WHOLE = 16 /* one norm over all heads */, SYN_UNGATED = 32 /* no gate beside ffn_up */ };
enum { EVERY = 4 };                    /* full_attention_interval */

const shape *shape_at(int i);          /* NULL behind the last */
/* arch NULL: any. NULL: none. */
const shape *shape_named(const char *arch, const char *like);
/* Every layer above it attends with cells, or this one keeps a state. */
bool shape_recurrent(const shape *, int layer);

#endif
