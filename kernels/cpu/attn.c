/* kernels/cpu/attn: the attention part of a layer: products, bias, head norms, rotation, append, scores and
 * sums. Those run page by page in cell order with an online softmax, so a row's bits depend on its own
 * cells only. Runs between begin and end on the pool; allocates only in attn_begin. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/parts.h"
#include "kernels/cpu/prod.h"

enum {
    ATT_SEGMENT = 8,               /* pages of a segment: part of the arithmetic         */
    ATT_SPLIT_ROWS = 8             /* batches up to this many rows may split a row's segments */
};

/* ---- bias, head norms, rotation, append ---- */

typedef struct attn_job { ker_ctx *c; const layer_w *w; int layer, per; bool gate; } attn_job;

/* A head's gate, behind its q, in layers that have some. */
static const float *q_gate(const ker_ctx *c, int row, int head)
{
    const ker_model *m = &c->dev->m;
    return c->att.qg + (((int64_t)row * m->n_head + head) * 2 + 1) * m->head_dim;
}

static void rotate(const ker_model *m, float *x, const float *cs)
{
    int half = m->rope_dim / 2, step = m->rope_half ? 1 : 2, other = m->rope_half ? half : 1;
    for (int i = 0; i < half; i++) {
        float *a = x + i * step, *b = a + other, x0 = *a, x1 = *b;
        *a = x0 * cs[i] - x1 * cs[half + i];
        *b = x1 * cs[i] + x0 * cs[half + i];
    }
}

static void rope_task(void *arg, int task, int worker)
{
    attn_job *j = arg;
    ker_ctx *c = j->c;
    const ker_model *m = &c->dev->m;
    const vec_ops *ops = c->dev->v;
    const layer_w *w = j->w;
    int dim = m->head_dim, qd = m->n_head * dim, kd = m->n_kv_head * dim;
    for (int r = task * j->per; r < (task + 1) * j->per && r < c->b.n; r++) {
        float *q = c->att.q + (int64_t)r * qd, *k = c->att.k + (int64_t)r * kd, *v = c->att.v + (int64_t)r * kd;
        const ker_config *g = ctx_cfg(c, r);
        const float *cs = c->att.rope + (int64_t)r * m->rope_dim;
        for (int h = 0; h < m->n_head && j->gate; h++) memcpy(q + h * dim, q_gate(c, r, h) - dim, sizeof(float) * (size_t)dim);
        if (w->vec[KER_W_BQ]) ops->add(q, w->vec[KER_W_BQ], qd);
        if (w->vec[KER_W_BK]) ops->add(k, w->vec[KER_W_BK], kd);
        if (w->vec[KER_W_BV]) ops->add(v, w->vec[KER_W_BV], kd);
        for (int h = 0; h < m->n_head; h++) {
            if (w->vec[KER_W_Q_NORM]) ops->norm(q + h * dim, w->vec[KER_W_Q_NORM], dim, g->norm_eps, q + h * dim);
            rotate(m, q + h * dim, cs);
        }
        for (int i = 0; i < qd; i++) q[i] *= g->attn_scale;
        const ker_seq *s = &c->b.seqs[c->b.seq ? c->b.seq[r] : 0];
        int cell = c->b.cell[r];
        for (int h = 0; h < m->n_kv_head; h++) {
            if (w->vec[KER_W_K_NORM]) ops->norm(k + h * dim, w->vec[KER_W_K_NORM], dim, g->norm_eps, k + h * dim);
            rotate(m, k + h * dim, cs);
            kv_put(c->kv, kv_head(c->kv, s->page[cell / KER_PAGE], j->layer, h), cell % KER_PAGE, k + h * dim, v + h * dim, ops);
        }
    }
}

/* ---- attention of a block of rows against one KV head ----
 * A row's cells are taken in segments of ATT_SEGMENT pages, each with its own running maximum, sum and
 * weighted V; segments are then joined in rising order. Few rows with many cells give every segment to
 * its own task; else one task walks all of them. Either way the arithmetic is the same. */

typedef struct att_sum { float *acc, top, sum; } att_sum;

/* Joins a later segment to what came before: both are sums relative to their own maximum. */
static void join(const vec_ops *ops, att_sum *to, const float *acc, float top, float sum, int dim, bool first)
{
    if (first) {
        memcpy(to->acc, acc, sizeof(float) * (size_t)dim);
        to->top = top;
        to->sum = sum;
        return;
    }
    float most = top > to->top ? top : to->top, d[2] = { to->top, top }, f[2];
    ops->exp(d, most, f, 2);
    for (int i = 0; i < dim; i++) to->acc[i] *= f[0];
    ops->axpy(to->acc, f[1], acc, dim);
    to->sum = fmaf(sum, f[1], to->sum * f[0]);
    to->top = most;
}

static void head_out(ker_ctx *c, int layer, int row, int head, const att_sum *a)
{
    const ker_model *m = &c->dev->m;
    const uint8_t *off = ctx_cfg(c, row)->head_off;
    float *o = c->att.o + ((int64_t)row * m->n_head + head) * m->head_dim, inv = 1 / a->sum;
    bool silent = off && off[(int64_t)layer * m->n_head + head];
    for (int d = 0; d < m->head_dim; d++) o[d] = silent ? 0 : a->acc[d] * inv;
    if (m->layer[layer].q_gate) c->dev->v->gate(o, q_gate(c, row, head), m->head_dim);
}

static int att_queries(const ker_model *m)
{
    int group = m->n_head / m->n_kv_head;
    return group > ATT_QUERIES ? group : ATT_QUERIES;
}

int64_t attn_floats(const ker_model *m)
{
    int pad = round16(m->head_dim);
    return (int64_t)pad * KER_PAGE + (int64_t)att_queries(m) * (KER_PAGE + 2 * pad + 3 + 4 * 4) + 64;
}

static float *att_part(const ker_ctx *c, int row, int head, int seg)
{
    return c->att.part + (((int64_t)row * c->dev->m.n_head + head) * c->att.n_seg + seg) * (round16(c->dev->m.head_dim) + 16);
}

static void attend_task(void *arg, int task, int worker)
{
    attn_job *j = arg;
    ker_ctx *c = j->c;
    const ker_model *m = &c->dev->m;
    const vec_ops *ops = c->dev->v;
    int dim = m->head_dim, pad = round16(dim), group = m->n_head / m->n_kv_head, most = att_queries(m);
    int only = task % c->att.n_seg;                    /* of a split row; n_seg is 1 where nothing is split */
    task /= c->att.n_seg;
    const att_block *blk = &c->att.block[task / m->n_kv_head];
    int head = task % m->n_kv_head, n_q = blk->n * group;
    const ker_seq *seq = &c->b.seqs[blk->seq];
    int last = c->b.cell[blk->row + blk->n - 1], last_seg = last / (KER_PAGE * ATT_SEGMENT);   /* cells rise within a block */
    if (c->att.n_seg > 1 && only > last_seg) return;
    assert(n_q <= most && last / KER_PAGE < seq->n_page);

    float *page = dev_floats(c->dev, worker), *s = page + (int64_t)pad * KER_PAGE, *acc = s + (int64_t)most * KER_PAGE;
    float *total = acc + (int64_t)most * pad, *top = total + (int64_t)most * pad, *sum = top + most, *shrink = sum + most;
    att_sum *all = (att_sum *)(void *)(((uintptr_t)(shrink + most) + 63) & ~(uintptr_t)63);
    const float **q = (const float **)(void *)(all + most);
    float **out = (float **)(void *)(q + most);
    for (int i = 0; i < n_q; i++) {
        q[i] = c->att.q + ((int64_t)(blk->row + i / group) * m->n_head + head * group + i % group) * dim;
        out[i] = acc + (int64_t)i * pad;
        all[i].acc = total + (int64_t)i * pad;
    }
    bool direct = c->kv->type == KER_KV_F16 && pad == dim && n_q <= ops->few;
    for (int seg = c->att.n_seg > 1 ? only : 0; seg <= last_seg && (c->att.n_seg == 1 || seg == only); seg++) {
        memset(acc, 0, sizeof(float) * (size_t)(n_q * pad));
        for (int i = 0; i < n_q; i++) { top[i] = -INFINITY; sum[i] = 0; }
        int begin = 0;                             /* the first row that has cells in this segment */
        while (c->b.cell[blk->row + begin] < seg * KER_PAGE * ATT_SEGMENT) begin++;
        for (int pg = seg * ATT_SEGMENT; pg <= last / KER_PAGE && pg < (seg + 1) * ATT_SEGMENT; pg++) {
            int first = begin;
            while (c->b.cell[blk->row + first] < pg * KER_PAGE) first++;
            const uint8_t *p = kv_head(c->kv, seq->page[pg], j->layer, head);
            if (pg < last / KER_PAGE) {            /* pages lie apart: the processor would not guess the next */
                const uint8_t *next = kv_head(c->kv, seq->page[pg + 1], j->layer, head);
                for (int64_t i = 0; i < c->kv->head_bytes; i += 64) __builtin_prefetch(next + i, 0, 2);
            }
            const uint16_t *half = (const uint16_t *)(const void *)p;
            if (direct) ops->scores_f16(half, dim, q + first * group, n_q - first * group, s + first * group * KER_PAGE);
            else ops->scores(kv_page_k(c->kv, p, page, ops), dim, q + first * group, n_q - first * group, s + first * group * KER_PAGE);
            int in_page = last + 1 - pg * KER_PAGE < KER_PAGE ? last + 1 - pg * KER_PAGE : KER_PAGE;
            const float *v = direct ? NULL : kv_page_v(c->kv, p, in_page, page, ops);
            for (int r = first; r < blk->n; ) {    /* rows that see the whole page go together */
                int seen = c->b.cell[blk->row + r] + 1 - pg * KER_PAGE, end = r;
                if (seen > KER_PAGE) seen = KER_PAGE;
                for (; end < blk->n && (end == r || seen == KER_PAGE); end++)
                    for (int i = end * group; i < (end + 1) * group; i++)
                        shrink[i] = ops->softmax(s + i * KER_PAGE, seen, &top[i], &sum[i]);
                if (direct) ops->values_f16(half + (int64_t)dim * KER_PAGE, dim, seen, s + r * group * KER_PAGE, shrink + r * group, out + r * group, (end - r) * group);
                else ops->values(v, pad, seen, s + r * group * KER_PAGE, shrink + r * group, out + r * group, (end - r) * group);
                r = end;
            }
        }
        for (int i = begin * group; i < n_q; i++) {
            if (c->att.n_seg == 1) {
                join(ops, &all[i], out[i], top[i], sum[i], pad, seg == 0);
                continue;
            }
            float *part = att_part(c, blk->row + i / group, head * group + i % group, seg);
            memcpy(part, out[i], sizeof(float) * (size_t)pad);
            part[pad] = top[i];
            part[pad + 1] = sum[i];
        }
    }
    for (int i = 0; i < n_q && c->att.n_seg == 1; i++) head_out(c, j->layer, blk->row + i / group, head * group + i % group, &all[i]);
}

/* Room for the segments of a batch of few rows, made by begin; without it one task walks them all. */
void attn_begin(ker_ctx *c)
{
    const ker_model *m = &c->dev->m;
    int last = 0;
    c->att.n_seg = 1;
    int threads = pool_threads(c->dev->pool);
    if (c->b.n > ATT_SPLIT_ROWS || threads == 1 || c->att.n_block * m->n_kv_head >= threads * 8) return;
    for (int r = 0; r < c->b.n; r++) last = c->b.cell[r] > last ? c->b.cell[r] : last;
    int n_seg = last / (KER_PAGE * ATT_SEGMENT) + 1;
    int64_t need = (int64_t)c->b.n * m->n_head * n_seg * (round16(m->head_dim) + 16);
    if (n_seg > 1 && need > c->att.part_floats) {
        free(c->att.part);
        need += need / 2;
        c->att.part = aligned_alloc(64, sizeof(float) * (size_t)need);
        c->att.part_floats = c->att.part ? need : 0;
    }
    if (c->att.part) c->att.n_seg = n_seg;
}

static void out_task(void *arg, int task, int worker)
{
    attn_job *j = arg;
    ker_ctx *c = j->c;
    const ker_model *m = &c->dev->m;
    const mat *w = &j->w->w[KER_W_O];
    int kind = mat_kind(w), pad = round16(m->head_dim);
    for (int r = task * j->per; r < (task + 1) * j->per && r < c->b.n; r++) {
        for (int h = 0; h < m->n_head && c->att.n_seg > 1; h++) {
            att_sum all = { .acc = dev_floats(c->dev, worker) };
            for (int seg = 0; seg <= c->b.cell[r] / (KER_PAGE * ATT_SEGMENT); seg++) {
                const float *part = att_part(c, r, h, seg);
                join(c->dev->v, &all, part, part[pad], part[pad + 1], pad, seg == 0);
            }
            head_out(c, j->layer, r, h, &all);
        }
        mat_act(w->type, c->att.o + r * w->n_in, w->n_in, c->att.act.p[kind] + r * c->att.act.stride[kind]);
    }
}

int cpu_attn(ker_ctx *c, int layer)
{
    const ker_model *m = &c->dev->m;
    const layer_w *w = dev_layer(c->dev, layer);
    static const enum ker_role qkv[3] = { KER_W_Q, KER_W_K, KER_W_V };
    bool gate = m->layer[layer].q_gate;
    float *to[3] = { gate ? c->att.qg : c->att.q, c->att.k, c->att.v };
    if (m->layer[layer].mixer == KER_MIX_DELTA) return cpu_delta(c, layer);
    prod p[3];
    unsigned kinds = 0;
    for (int i = 0; i < 3; i++) {
        const mat *a = &w->w[qkv[i]];
        kinds |= 1u << mat_kind(a);
        p[i] = (prod){ .w = a, .act = c->in.p[mat_kind(a)], .act_stride = c->in.stride[mat_kind(a)], .n = c->b.n,
                       .y = to[i], .y_stride = a->n_out };
    }
    int n = c->b.n, rc = ctx_norm(c, w->vec[KER_W_ATTN_NORM], kinds);
    if (!rc) rc = ctx_products(c, p, 3);
    attn_job j = { c, w, layer, n <= 2 ? n : 4, gate };
    if (!rc) rc = ctx_run(c, (n + j.per - 1) / j.per, rope_task, &j);
    if (!rc) rc = ctx_run(c, c->att.n_block * m->n_kv_head * c->att.n_seg, attend_task, &j);
    if (!rc) rc = ctx_run(c, (n + j.per - 1) / j.per, out_task, &j);
    const mat *o = &w->w[KER_W_O];
    prod po = { .w = o, .act = c->att.act.p[mat_kind(o)], .act_stride = c->att.act.stride[mat_kind(o)], .n = n, .y = c->y,
                .y_stride = m->n_embd, .add_to = c->x, .layer = layer, .part = KER_PART_ATTN };
    return rc ? rc : ctx_products(c, &po, 1);
}
