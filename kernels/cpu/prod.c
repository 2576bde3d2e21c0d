/* kernels/cpu/prod: the norms and the matrix products that every part of a layer begins or ends with.
 * Runs between begin and end on the pool; never allocates. */
#include "kernels/cpu/prod.h"

typedef struct norm_job { ker_ctx *c; const float *w; unsigned kinds; int per; } norm_job;

static void norm_task(void *arg, int task, int worker)
{
    norm_job *j = arg;
    ker_ctx *c = j->c;
    int64_t n = c->dev->m.n_embd;
    for (int r = task * j->per; r < (task + 1) * j->per && r < c->b.n; r++) {
        float *y = c->y + r * n;
        c->dev->v->norm(c->x + r * n, j->w, (int)n, ctx_cfg(c, r)->norm_eps, y);
        acts_put(&c->in, j->kinds, r, y, n);
    }
}

int ctx_norm(ker_ctx *c, const float *w, unsigned kinds)
{
    norm_job j = { c, w, kinds, (int64_t)c->b.n * c->dev->m.n_embd <= 16384 ? c->b.n : 4 };
    return ctx_run(c, (c->b.n + j.per - 1) / j.per, norm_task, &j);
}

/* ---- what a part gives, into the stream ---- */

typedef struct finish_job { ker_ctx *c; const float *bias, *norm; float factor; int layer, per; enum ker_part part; } finish_job;

static finish_job finishing(const ker_ctx *c, int layer, enum ker_part part)
{
    const layer_w *w = dev_layer(c->dev, layer);
    bool attn = part == KER_PART_ATTN;
    float factor = c->dev->m.residual_scale;
    return (finish_job){ .bias = attn ? w->vec[KER_W_BO] : NULL, .norm = w->vec[attn ? KER_W_POST_ATTN_NORM : KER_W_POST_FFN_NORM],
                         .factor = factor != 0 ? factor : 1, .layer = layer, .part = part };
}

bool ctx_finishes(const ker_ctx *c, int layer, enum ker_part part)
{
    finish_job j = finishing(c, layer, part);
    return j.bias || j.norm || j.factor != 1;
}

static void finish_task(void *arg, int task, int worker)
{
    finish_job *j = arg;
    ker_ctx *c = j->c;
    const vec_ops *ops = c->dev->v;
    int n = c->dev->m.n_embd;
    for (int r = task * j->per; r < (task + 1) * j->per && r < c->b.n; r++) {
        float *y = c->y + (int64_t)r * n, *x = c->x + (int64_t)r * n;
        if (j->bias) ops->add(y, j->bias, n);
        if (j->norm) ops->norm(y, j->norm, n, ctx_cfg(c, r)->norm_eps, y);
        ops->axpy(x, j->factor, y, n);
        if (!ops->finite(x, n)) ctx_mark(c, r, j->layer, j->part);
    }
}

int ctx_finish(ker_ctx *c, int layer, enum ker_part part)
{
    finish_job j = finishing(c, layer, part);
    j.c = c;
    j.per = (int64_t)c->b.n * c->dev->m.n_embd <= 16384 ? c->b.n : 4;
    return ctx_run(c, (c->b.n + j.per - 1) / j.per, finish_task, &j);
}

int block_rows(const ker_dev *d, int64_t n_out, int n_rows)
{
    int64_t most = n_rows < 8 ? FFN_BLOCK * 4 : FFN_BLOCK, b = n_out / (pool_threads(d->pool) * INT64_C(6)) & ~INT64_C(15);
    return (int)(b < 16 ? 16 : b > most ? most : b);
}

typedef struct prod_job { ker_ctx *c; prod *p; int n; } prod_job;

static void prod_task(void *arg, int task, int worker)
{
    prod_job *j = arg;
    prod *p = j->p;
    while (p + 1 < j->p + j->n && p[1].first <= task) p++;
    int64_t o0 = (int64_t)(task - p->first) * p->block, o1 = o0 + p->block < p->w->n_out ? o0 + p->block : p->w->n_out;
    mat_mul(p->w, p->act, p->act_stride, p->n, o0, o1, p->y, p->y_stride, dev_mat_scratch(j->c->dev, worker));
    const vec_ops *ops = j->c->dev->v;
    for (int r = 0; p->low && r < p->n; r++)
        for (int l = 0; l < p->n_low; l++) low_add(j->c, &p->low[l], r, o0, o1 - o0, p->y + r * p->y_stride + o0);
    for (int r = 0; p->add_to && r < p->n; r++) {
        float *x = p->add_to + r * p->y_stride + o0;
        ops->add(x, p->y + r * p->y_stride + o0, (int)(o1 - o0));
        if (!ops->finite(x, o1 - o0)) ctx_mark(j->c, r, p->layer, p->part);
    }
}

int ctx_products(ker_ctx *c, prod *p, int n)
{
    prod_job j = { c, p, n };
    int64_t total = 0;
    int tasks = 0;
    for (int i = 0; i < n; i++) total += p[i].w->n_out;
    int block = block_rows(c->dev, total, p->n);
    for (int i = 0; i < n; i++) {
        p[i].block = block;
        p[i].first = tasks;
        tasks += (int)((p[i].w->n_out + block - 1) / block);
    }
    return ctx_run(c, tasks, prod_task, &j);
}
