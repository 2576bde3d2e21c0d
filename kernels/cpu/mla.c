/* kernels/cpu/mla: latent attention (KER_MIX_MLA; DeepSeek-V2, arXiv 2405.04434, section 2.1), absorbed: K_B takes each head's Q
 * to the latent's space, attention runs over cells of kv_rank + rope numbers that all heads share, V_B takes each head's sum of
 * latents to its V. Decode and prefill compute the same, so a row's bits depend on no batch. Between begin and end on the pool;
 * allocates only in mla_make. Scores and sums are attn.c's. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/parts.h"
#include "kernels/cpu/prod.h"

typedef struct mla_job { ker_ctx *c; const layer_w *w; int layer, per; } mla_job;

/* ---- buffers ---- */

static unsigned kinds_in(const ker_dev *d, enum ker_role role)
{
    unsigned kinds = 0;
    for (int i = 0; i < d->m.n_layer; i++) {
        const mat *w = &dev_layer(d, i)->w[role];
        if (w->n_out) kinds |= 1u << mat_kind(w);
    }
    return kinds;
}

bool mla_make(ker_ctx *c, int64_t max_rows)
{
    const ker_dev *d = c->dev;
    const ker_model *m = &d->m;
    const ker_latent *t = &m->latent;
    if (!t->kv_rank) return true;
    c->mla.low = act_alloc(sizeof(float) * (size_t)(max_rows * t->q_rank));
    c->mla.q = act_alloc(sizeof(float) * (size_t)(max_rows * m->n_head * (t->nope + t->rope)));
    c->mla.o = act_alloc(sizeof(float) * (size_t)(max_rows * m->n_head * t->v));
    return c->mla.low && c->mla.q && c->mla.o && (!t->q_rank || acts_make(&c->mla.low_act, kinds_in(d, KER_W_Q_B), max_rows, t->q_rank))
        && acts_make(&c->mla.nope_act, kinds_in(d, KER_W_K_B), max_rows * m->n_head, t->nope)
        && acts_make(&c->mla.o_act, kinds_in(d, KER_W_V_B), max_rows * m->n_head, t->kv_rank);
}

void mla_free(ker_ctx *c)
{
    free(c->mla.low);
    free(c->mla.q);
    free(c->mla.o);
    acts_free(&c->mla.low_act);
    acts_free(&c->mla.nope_act);
    acts_free(&c->mla.o_act);
}

/* ---- rows ---- */

static void low_task(void *arg, int task, int worker)
{
    mla_job *j = arg;
    ker_ctx *c = j->c;
    int n = c->dev->m.latent.q_rank;
    unsigned kinds = 1u << mat_kind(&j->w->w[KER_W_Q_B]);
    for (int r = task * j->per; r < (task + 1) * j->per && r < c->b.n; r++) {
        float *x = c->mla.low + (int64_t)r * n;
        c->dev->v->norm(x, j->w->vec[KER_W_Q_A_NORM], n, ctx_cfg(c, r)->norm_eps, x);
        acts_put(&c->mla.low_act, kinds, r, x, n);
    }
}

/* The row's cell is written; each head's rotated numbers go to the end of its Q over cells, the others are made ready for K_B. */
static void rope_task(void *arg, int task, int worker)
{
    mla_job *j = arg;
    ker_ctx *c = j->c;
    const ker_model *m = &c->dev->m;
    const ker_latent *t = &m->latent;
    const vec_ops *ops = c->dev->v;
    int dim = m->head_dim, one = t->nope + t->rope;
    unsigned kinds = 1u << mat_kind(&j->w->w[KER_W_K_B]);
    for (int r = task * j->per; r < (task + 1) * j->per && r < c->b.n; r++) {
        const ker_config *g = ctx_cfg(c, r);
        const ker_seq *s = &c->b.seqs[c->b.seq ? c->b.seq[r] : 0];
        const float *cs = c->att.rope + (int64_t)r * c->att.n_rope * m->rope_dim;
        float *k = c->att.k + (int64_t)r * dim;
        int cell = c->b.cell[r];
        ops->norm(k, j->w->vec[KER_W_KV_A_NORM], t->kv_rank, g->norm_eps, k);
        attn_rotate(m, k + t->kv_rank, cs);
        kv_put(c->kv, kv_head(c->kv, s->page[cell / KER_PAGE], j->layer, 0), cell % KER_PAGE, k, NULL, ops);
        for (int h = 0; h < m->n_head; h++) {
            int64_t at = (int64_t)r * m->n_head + h;
            float *q = c->mla.q + at * one;
            attn_rotate(m, q + t->nope, cs);
            for (int i = 0; i < one; i++) q[i] *= g->attn_scale;
            memcpy(c->att.q + at * dim + t->kv_rank, q + t->nope, sizeof(float) * (size_t)t->rope);
            acts_put(&c->mla.nope_act, kinds, at, q, t->nope);
        }
    }
}

static void latent_task(void *arg, int task, int worker)
{
    mla_job *j = arg;
    ker_ctx *c = j->c;
    const ker_model *m = &c->dev->m;
    unsigned kinds = 1u << mat_kind(&j->w->w[KER_W_V_B]);
    for (int r = task * j->per; r < (task + 1) * j->per && r < c->b.n; r++)
        for (int h = 0; h < m->n_head; h++) {
            int64_t at = (int64_t)r * m->n_head + h;
            acts_put(&c->mla.o_act, kinds, at, c->att.o + at * m->latent.kv_rank, m->latent.kv_rank);
        }
}

static void out_task(void *arg, int task, int worker)
{
    mla_job *j = arg;
    ker_ctx *c = j->c;
    const mat *w = &j->w->w[KER_W_O];
    for (int r = task * j->per; r < (task + 1) * j->per && r < c->b.n; r++)
        acts_put(&c->att.act, 1u << mat_kind(w), r, c->mla.o + r * w->n_in, w->n_in);
}

/* ---- products of a matrix for each head ---- */

typedef struct heads_job {
    ker_ctx *c;
    mat w;                         /* the first head's                                       */
    int64_t apart;                 /* bytes to the next head's                               */
    const acts *in;                /* rows [batch row][head]                                 */
    float *y;                      /* head h of row r: y + (r * n_head + h) * width          */
    int width, block, blocks;      /* outputs of a task; tasks of a head                     */
    const low_job *low;            /* items [batch row][head]                                */
} heads_job;

static void heads_task(void *arg, int task, int worker)
{
    heads_job *j = arg;
    const ker_ctx *c = j->c;
    int n_head = c->dev->m.n_head, h = task / j->blocks, kind = mat_kind(&j->w);
    int64_t o0 = (int64_t)(task % j->blocks) * j->block, o1 = o0 + j->block < j->w.n_out ? o0 + j->block : j->w.n_out, stride = j->in->stride[kind];
    mat w = j->w;
    w.data += h * j->apart;
    mat_mul(&w, j->in->p[kind] + h * stride, n_head * stride, c->b.n, o0, o1, j->y + (int64_t)h * j->width, (int64_t)n_head * j->width,
            dev_mat_scratch(c->dev, worker));
    for (int i = h; low_acts(c) && i < c->b.n * n_head; i += n_head) low_add(c, j->low, i, o0, o1 - o0, j->y + (int64_t)i * j->width + o0);
}

/* x, x_head: the F32 behind `in`, and numbers from one head's to the next. */
static int heads_product(ker_ctx *c, int layer, enum ker_role role, const acts *in, const float *x, int64_t x_head, float *y, int width)
{
    const layer_w *w = dev_layer(c->dev, layer);
    int n_head = c->dev->m.n_head;
    low_job low = { .layer = layer, .role = role, .x = x, .x_item = x_head, .n = c->b.n * n_head, .per = n_head };
    heads_job j = { c, w->w[role], w->apart[role], in, y, width, 0, 0, &low };
    int rc = low_prepare(c, &low, 1);
    if (rc) return rc;
    j.block = block_rows(c->dev, j.w.n_out * n_head, c->b.n);
    j.blocks = (int)((j.w.n_out + j.block - 1) / j.block);
    return ctx_run(c, n_head * j.blocks, heads_task, &j);
}

/* x: the F32 behind `in`; low: the caller's, for what adapters add. */
static prod product(ker_ctx *c, int layer, enum ker_role role, const acts *in, const float *x, float *y, low_job *low)
{
    const mat *a = &dev_layer(c->dev, layer)->w[role];
    *low = low_rows(c, layer, role, x, a->n_in);
    return (prod){ .w = a, .act = in->p[mat_kind(a)], .act_stride = in->stride[mat_kind(a)], .n = c->b.n, .y = y, .y_stride = a->n_out, .low = low, .n_low = 1 };
}

int mla_attn(ker_ctx *c, int layer)
{
    const ker_model *m = &c->dev->m;
    const layer_w *w = dev_layer(c->dev, layer);
    bool low = m->latent.q_rank > 0;
    enum ker_role first = low ? KER_W_Q_A : KER_W_Q;
    int n = c->b.n;
    mla_job j = { c, w, layer, n <= 2 ? n : 4 };
    int tasks = (n + j.per - 1) / j.per;
    low_job change[3];
    prod in[2] = { product(c, layer, first, &c->in, c->y, low ? c->mla.low : c->mla.q, &change[0]), product(c, layer, KER_W_KV_A, &c->in, c->y, c->att.k, &change[1]) };
    int rc = ctx_norm(c, w->vec[KER_W_ATTN_NORM], 1u << mat_kind(in[0].w) | 1u << mat_kind(in[1].w));
    if (!rc) rc = low_prepare(c, change, 2);
    if (!rc) rc = ctx_products(c, in, 2);
    if (!rc && low) rc = ctx_run(c, tasks, low_task, &j);
    prod q = product(c, layer, low ? KER_W_Q_B : KER_W_Q, &c->mla.low_act, c->mla.low, c->mla.q, &change[2]);
    if (!rc && low) rc = low_prepare(c, &change[2], 1);
    if (!rc && low) rc = ctx_products(c, &q, 1);
    if (!rc) rc = ctx_run(c, tasks, rope_task, &j);
    if (!rc) rc = heads_product(c, layer, KER_W_K_B, &c->mla.nope_act, c->mla.q, m->latent.nope + m->latent.rope, c->att.q, m->head_dim);
    if (!rc) rc = attn_attend(c, layer);
    if (!rc) rc = ctx_run(c, tasks, latent_task, &j);
    if (!rc) rc = heads_product(c, layer, KER_W_V_B, &c->mla.o_act, c->att.o, m->latent.kv_rank, c->mla.o, m->latent.v);
    if (!rc) rc = ctx_run(c, tasks, out_task, &j);
    return rc ? rc : attn_output(c, layer, c->mla.o);
}
