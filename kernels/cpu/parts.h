/* kernels/cpu/parts: the parts of a layer, each in its own file (attn.c, delta.c, route.c, ffn.c), as the backend's
 * table calls them: between begin and end, 0 or Q_CANCEL. `*_floats`: what a part needs of one worker's
 * scratch. Private to kernels/cpu. */
#ifndef QUORUM_CPU_PARTS_H
#define QUORUM_CPU_PARTS_H

#include "kernels/cpu/ctx.h"

void attn_begin(ker_ctx *);                /* room for the segments of long contexts (attn.c) */
void delta_begin(ker_ctx *);               /* which row follows which */
int cpu_attn(ker_ctx *, int layer);
int cpu_delta(ker_ctx *, int layer);       /* the attention part of a recurrent layer */
/* What kinds of attention share (attn.c): the rotation of a head's first rope_dim numbers under cs (ctx_att.rope); scores and sums of
 * att.q over the cells into att.o; the output matrix over att.act, made of `from`, and the residual. */
void attn_rotate(const ker_model *, float *x, const float *cs);
int attn_attend(ker_ctx *, int layer);
int attn_output(ker_ctx *, int layer, const float *from);
/* Latent attention (mla.c): its buffers in c->mla; false: no memory. */
bool mla_make(ker_ctx *, int64_t max_rows);
void mla_free(ker_ctx *);
int mla_attn(ker_ctx *, int layer);
int cpu_route(ker_ctx *, int layer);
int cpu_experts(ker_ctx *, int layer);
int moe_distinct(ker_ctx *, int layer);    /* the experts that a batch chose there, rising, into ff.id: how many; ff.active is scratch */
int cpu_dense(ker_ctx *, int layer);
int cpu_moe_take(ker_ctx *, int layer, ker_moe *out);
int cpu_moe_run(ker_ctx *, int layer, ker_moe *moe);
int cpu_moe_add(ker_ctx *, int layer, const ker_moe *moe);
int64_t attn_floats(const ker_model *);
int64_t delta_floats(const ker_model *);
int64_t route_floats(const ker_model *);
int64_t ffn_floats(const ker_dev *);

#endif
