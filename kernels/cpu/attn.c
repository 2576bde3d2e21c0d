/* kernels/cpu/attn: KV cells and the attention part of a layer. A page of a layer and KV head holds K
 * transposed ([dim][64 cells]: 16 cells are one load) and V as [cell][dim]. Scores and sums run page by
 * page in cell order with an online softmax, so a row's bits depend on its own cells only.
 * Runs between begin and end on the pool; allocates only in kv_new. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/cpu/dev.h"

enum { Q8_BLOCK = 32 };

/* ---- cells ---- */

static int q8_blocks(int dim) { return (dim + Q8_BLOCK - 1) / Q8_BLOCK; }

static int64_t head_bytes(const ker_model *m, enum ker_kv_type t)
{
    int64_t cells = 2 * (int64_t)m->head_dim * KER_PAGE;       /* K and V */
    int64_t n = t == KER_KV_F32 ? cells * 4 : t == KER_KV_F16 ? cells * 2 : cells + 2 * (int64_t)q8_blocks(m->head_dim) * KER_PAGE * 4;
    return (n + 63) & ~INT64_C(63);
}

int64_t kv_page_bytes(const ker_dev *d, enum ker_kv_type t)
{
    return head_bytes(&d->m, t) * d->m.n_kv_head * d->m.n_layer;
}

int kv_new(ker_dev *d, enum ker_kv_type t, int n_page, ker_kv **out, char *err)
{
    if (n_page < 1 || (unsigned)t > KER_KV_Q8_0) return q_fail(err, Q_RANGE, _("a cache of %d pages is not possible: raise context.length"), n_page);
    ker_kv *kv = q_alloc(sizeof *kv);
    *kv = (ker_kv){ d, t, n_page, head_bytes(&d->m, t), kv_page_bytes(d, t), NULL };
    /* Straight from the system: zero and unbacked until written; large pages spare the address tables. */
    kv->data = mmap(NULL, (size_t)n_page * (size_t)kv->page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (kv->data != MAP_FAILED) madvise(kv->data, (size_t)n_page * (size_t)kv->page_bytes, MADV_HUGEPAGE);
    else {
        free(kv);
        return q_fail(err, Q_NOMEM, _("no memory for a cache of %d cells: lower context.length or set kv.type to q8_0"), n_page * KER_PAGE);
    }
    *out = kv;
    return Q_OK;
}

void kv_free(ker_kv *kv)
{
    if (!kv) return;
    munmap(kv->data, (size_t)kv->n_page * (size_t)kv->page_bytes);
    free(kv);
}

void kv_copy(ker_kv *kv, int dst_page, int src_page, int n_cells)
{
    /* K is transposed, so the first cells lie everywhere: the whole page goes, cells beyond are never read. */
    if (n_cells > 0 && dst_page != src_page)
        memcpy(kv->data + dst_page * kv->page_bytes, kv->data + src_page * kv->page_bytes, (size_t)kv->page_bytes);
}

static uint8_t *kv_head(const ker_kv *kv, int page, int layer, int head)
{
    return kv->data + page * kv->page_bytes + ((int64_t)layer * kv->dev->m.n_kv_head + head) * kv->head_bytes;
}

static int8_t q8_one(float x, float inv)
{
    float r = rintf(x * inv);
    return (int8_t)(r > 127 ? 127 : r < -127 ? -127 : r == r ? r : 0);
}

static float q8_scale(const float *x, int n)
{
    float top = 0;
    for (int i = 0; i < n; i++) top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    return top / 127;
}

/* Writes one cell's K and V of one head. */
static void cell_put(const ker_kv *kv, uint8_t *p, int cell, const float *k, const float *v, const vec_ops *ops)
{
    int dim = kv->dev->m.head_dim;
    int64_t half = (int64_t)dim * KER_PAGE;
    if (kv->type == KER_KV_F32) {
        float *kc = (float *)(void *)p, *vc = kc + half + (int64_t)cell * dim;
        for (int d = 0; d < dim; d++) kc[d * KER_PAGE + cell] = k[d];
        memcpy(vc, v, sizeof(float) * (size_t)dim);
    } else if (kv->type == KER_KV_F16) {
        uint16_t *kc = (uint16_t *)(void *)p, t[64];
        for (int d = 0; d < dim; d += 64) {
            int n = dim - d < 64 ? dim - d : 64;
            ops->to_f16(k + d, t, n);
            for (int i = 0; i < n; i++) kc[(d + i) * KER_PAGE + cell] = t[i];
        }
        ops->to_f16(v, kc + half + (int64_t)cell * dim, dim);
    } else {
        int nb = q8_blocks(dim);
        int8_t *kc = (int8_t *)p, *vc = kc + half + (int64_t)cell * dim;
        float *ks = (float *)(void *)(p + 2 * half), *vs = ks + (int64_t)nb * KER_PAGE + (int64_t)cell * nb;
        for (int b = 0; b < nb; b++) {
            int d0 = b * Q8_BLOCK, n = dim - d0 < Q8_BLOCK ? dim - d0 : Q8_BLOCK;
            float s = q8_scale(k + d0, n), inv = s > 0 ? 1 / s : 0;
            for (int d = d0; d < d0 + n; d++) kc[d * KER_PAGE + cell] = q8_one(k[d], inv);
            ks[b * KER_PAGE + cell] = s;
            s = q8_scale(v + d0, n);
            inv = s > 0 ? 1 / s : 0;
            for (int d = d0; d < d0 + n; d++) vc[d] = q8_one(v[d], inv);
            vs[b] = s;
        }
    }
}

/* K of a page in F32, [dim][64]: the page itself, or decoded into buf. */
static const float *page_k(const ker_kv *kv, const uint8_t *p, float *buf, const vec_ops *ops)
{
    int dim = kv->dev->m.head_dim;
    if (kv->type == KER_KV_F32) return (const float *)(const void *)p;
    if (kv->type == KER_KV_F16) {
        ops->f16((const uint16_t *)(const void *)p, buf, (int64_t)dim * KER_PAGE);
        return buf;
    }
    const float *ks = (const float *)(const void *)(p + 2 * (int64_t)dim * KER_PAGE);
    for (int d = 0; d < dim; d++) ops->q8((const int8_t *)p + d * KER_PAGE, ks + d / Q8_BLOCK * KER_PAGE, buf + d * KER_PAGE, KER_PAGE);
    return buf;
}

/* The first n cells of V in F32, [n][dim rounded up to 16]. */
static const float *page_v(const ker_kv *kv, const uint8_t *p, int n, float *buf, const vec_ops *ops)
{
    int dim = kv->dev->m.head_dim, pad = round16(dim);
    int64_t half = (int64_t)dim * KER_PAGE;
    if (kv->type == KER_KV_F32) {
        const float *v = (const float *)(const void *)p + half;
        if (pad == dim) return v;
        for (int c = 0; c < n; c++) memcpy(buf + c * pad, v + c * dim, sizeof(float) * (size_t)dim);
    } else if (kv->type == KER_KV_F16) {
        const uint16_t *v = (const uint16_t *)(const void *)p + half;
        if (pad == dim) ops->f16(v, buf, (int64_t)n * dim);
        else for (int c = 0; c < n; c++) ops->f16(v + c * dim, buf + c * pad, dim);
    } else {
        int nb = q8_blocks(dim);
        const int8_t *v = (const int8_t *)p + half;
        const float *vs = (const float *)(const void *)(p + 2 * half) + (int64_t)nb * KER_PAGE;
        for (int c = 0; c < n; c++)
            for (int b = 0; b < nb; b++) {
                int d0 = b * Q8_BLOCK, w = dim - d0 < Q8_BLOCK ? dim - d0 : Q8_BLOCK;
                ops->q8s(v + c * dim + d0, vs[c * nb + b], buf + c * pad + d0, w);
            }
    }
    return buf;
}

/* ---- bias, head norms, rotation, append ---- */

typedef struct attn_job { ker_ctx *c; const layer_w *w; int layer, per; } attn_job;

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
        float *q = c->q + (int64_t)r * qd, *k = c->k + (int64_t)r * kd, *v = c->v + (int64_t)r * kd;
        const ker_config *g = ctx_cfg(c, r);
        const float *cs = c->rope + (int64_t)r * m->rope_dim;
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
            cell_put(c->kv, kv_head(c->kv, s->page[cell / KER_PAGE], j->layer, h), cell % KER_PAGE, k + h * dim, v + h * dim, ops);
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
    float *o = c->o + ((int64_t)row * m->n_head + head) * m->head_dim, inv = 1 / a->sum;
    bool silent = off && off[(int64_t)layer * m->n_head + head];
    for (int d = 0; d < m->head_dim; d++) o[d] = silent ? 0 : a->acc[d] * inv;
}

static int att_queries(const ker_model *m)
{
    int group = m->n_head / m->n_kv_head;
    return group > ATT_QUERIES ? group : ATT_QUERIES;
}

int64_t dev_attn_floats(const ker_model *m)
{
    int pad = round16(m->head_dim);
    return (int64_t)pad * KER_PAGE + (int64_t)att_queries(m) * (KER_PAGE + 2 * pad + 3 + 4 * 4) + 64;
}

static float *att_part(const ker_ctx *c, int row, int head, int seg)
{
    return c->part + (((int64_t)row * c->dev->m.n_head + head) * c->n_seg + seg) * (round16(c->dev->m.head_dim) + 16);
}

static void attend_task(void *arg, int task, int worker)
{
    attn_job *j = arg;
    ker_ctx *c = j->c;
    const ker_model *m = &c->dev->m;
    const vec_ops *ops = c->dev->v;
    int dim = m->head_dim, pad = round16(dim), group = m->n_head / m->n_kv_head, most = att_queries(m);
    int only = task % c->n_seg;                    /* of a split row; n_seg is 1 where nothing is split */
    task /= c->n_seg;
    const att_block *blk = &c->block[task / m->n_kv_head];
    int head = task % m->n_kv_head, n_q = blk->n * group;
    const ker_seq *seq = &c->b.seqs[blk->seq];
    int last = c->b.cell[blk->row + blk->n - 1], last_seg = last / (KER_PAGE * ATT_SEGMENT);   /* cells rise within a block */
    if (c->n_seg > 1 && only > last_seg) return;

    float *page = dev_floats(c->dev, worker), *s = page + (int64_t)pad * KER_PAGE, *acc = s + (int64_t)most * KER_PAGE;
    float *total = acc + (int64_t)most * pad, *top = total + (int64_t)most * pad, *sum = top + most, *shrink = sum + most;
    att_sum *all = (att_sum *)(void *)(((uintptr_t)(shrink + most) + 63) & ~(uintptr_t)63);
    const float **q = (const float **)(void *)(all + most);
    float **out = (float **)(void *)(q + most);
    for (int i = 0; i < n_q; i++) {
        q[i] = c->q + ((int64_t)(blk->row + i / group) * m->n_head + head * group + i % group) * dim;
        out[i] = acc + (int64_t)i * pad;
        all[i].acc = total + (int64_t)i * pad;
    }
    bool direct = c->kv->type == KER_KV_F16 && pad == dim && n_q <= ops->few;
    for (int seg = c->n_seg > 1 ? only : 0; seg <= last_seg && (c->n_seg == 1 || seg == only); seg++) {
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
            else ops->scores(page_k(c->kv, p, page, ops), dim, q + first * group, n_q - first * group, s + first * group * KER_PAGE);
            int in_page = last + 1 - pg * KER_PAGE < KER_PAGE ? last + 1 - pg * KER_PAGE : KER_PAGE;
            const float *v = direct ? NULL : page_v(c->kv, p, in_page, page, ops);
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
            if (c->n_seg == 1) {
                join(ops, &all[i], out[i], top[i], sum[i], pad, seg == 0);
                continue;
            }
            float *part = att_part(c, blk->row + i / group, head * group + i % group, seg);
            memcpy(part, out[i], sizeof(float) * (size_t)pad);
            part[pad] = top[i];
            part[pad + 1] = sum[i];
        }
    }
    for (int i = 0; i < n_q && c->n_seg == 1; i++) head_out(c, j->layer, blk->row + i / group, head * group + i % group, &all[i]);
}

/* Room for the segments of a batch of few rows, made by begin; without it one task walks them all. */
void attn_begin(ker_ctx *c)
{
    const ker_model *m = &c->dev->m;
    int last = 0;
    c->n_seg = 1;
    int threads = pool_threads(c->dev->pool);
    if (c->b.n > ATT_SPLIT_ROWS || threads == 1 || c->n_block * m->n_kv_head >= threads * 8) return;
    for (int r = 0; r < c->b.n; r++) last = c->b.cell[r] > last ? c->b.cell[r] : last;
    int n_seg = last / (KER_PAGE * ATT_SEGMENT) + 1;
    int64_t need = (int64_t)c->b.n * m->n_head * n_seg * (round16(m->head_dim) + 16);
    if (n_seg > 1 && need > c->part_floats) {
        free(c->part);
        need += need / 2;
        c->part = aligned_alloc(64, sizeof(float) * (size_t)need);
        c->part_floats = c->part ? need : 0;
    }
    if (c->part) c->n_seg = n_seg;
}

static void out_task(void *arg, int task, int worker)
{
    attn_job *j = arg;
    ker_ctx *c = j->c;
    const ker_model *m = &c->dev->m;
    const mat *w = &j->w->w[KER_W_O];
    int kind = mat_kind(w), pad = round16(m->head_dim);
    for (int r = task * j->per; r < (task + 1) * j->per && r < c->b.n; r++) {
        for (int h = 0; h < m->n_head && c->n_seg > 1; h++) {
            att_sum all = { .acc = dev_floats(c->dev, worker) };
            for (int seg = 0; seg <= c->b.cell[r] / (KER_PAGE * ATT_SEGMENT); seg++) {
                const float *part = att_part(c, r, h, seg);
                join(c->dev->v, &all, part, part[pad], part[pad + 1], pad, seg == 0);
            }
            head_out(c, j->layer, r, h, &all);
        }
        mat_act(w->type, c->o + r * w->n_in, w->n_in, c->att.p[kind] + r * c->att.stride[kind]);
    }
}

int cpu_attn(ker_ctx *c, int layer)
{
    const ker_model *m = &c->dev->m;
    const layer_w *w = dev_layer(c->dev, layer);
    static const enum ker_role qkv[3] = { KER_W_Q, KER_W_K, KER_W_V };
    float *to[3] = { c->q, c->k, c->v };
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
    attn_job j = { c, w, layer, n <= 2 ? n : 4 };
    if (!rc) rc = ctx_run(c, (n + j.per - 1) / j.per, rope_task, &j);
    if (!rc) rc = ctx_run(c, c->n_block * m->n_kv_head * c->n_seg, attend_task, &j);
    if (!rc) rc = ctx_run(c, (n + j.per - 1) / j.per, out_task, &j);
    const mat *o = &w->w[KER_W_O];
    prod po = { .w = o, .act = c->att.p[mat_kind(o)], .act_stride = c->att.stride[mat_kind(o)], .n = n, .y = c->y,
                .y_stride = m->n_embd, .add_to = c->x };
    return rc ? rc : ctx_products(c, &po, 1);
}
