/* kernels/cpu/attn: the attention part of a layer: products, bias, head norms, rotation, append, scores and
 * sums. Those run page by page in cell order with an online softmax, so a row's bits depend on its own
 * cells only. Pages that lie before the window of every row are not read. Runs between begin and end on the
 * pool; allocates only in attn_begin. */
#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/centre.h"
#include "kernels/cpu/parts.h"
#include "kernels/cpu/prod.h"
#include "kernels/cpu/q8.h"

enum {
    ATT_SEGMENT = 8,               /* pages of a segment: part of the arithmetic         */
    ATT_CELLS = ATT_SEGMENT * KER_PAGE,   /* whose keys share a centre too */
    ATT_SPLIT_ROWS = 8,            /* batches up to this many rows may split a row's segments */
    ATT_JOINED = 64,               /* segments that are joined together */
    ATT_PART_HEADS = 4             /* latent cells: heads of a task, at least, where few rows share all heads */
};

_Static_assert((int)ATT_CELLS == (int)CENTRE_CELLS, "a segment has one centre");

/* ---- bias, head norms, rotation, append ---- */

/* per: rows of a rope_task or out_task; split: a rope_task has one KV head of its rows and the heads that share it, else all. */
typedef struct attn_job { ker_ctx *c; const layer_w *w; int layer, per; bool gate, split; } attn_job;

/* A head's gate, behind its q, in layers that have some. */
static const float *q_gate(const ker_ctx *c, int row, int head)
{
    const ker_model *m = &c->dev->m;
    return c->att.qg + (((int64_t)row * m->n_head + head) * 2 + 1) * m->head_dim;
}

void attn_rotate(const ker_model *m, float *x, const float *cs)
{
    int half = m->rope_dim / 2, step = m->rope_half ? 1 : 2, other = m->rope_half ? half : 1;
    for (int i = 0; i < half; i++) {
        float *a = x + i * step, *b = a + other, x0 = *a, x1 = *b;
        *a = x0 * cs[i] - x1 * cs[half + i];
        *b = x1 * cs[i] + x0 * cs[half + i];
    }
}

/* A query as whole numbers, where it lay in F32: [dim] of them, then the scales of its blocks and their sums (q8_rows). */
static void query_whole(const q8_ops *ops, float *q, int dim, float *room)
{
    int blocks = q8_blocks(dim);
    q8_rows to = { (int8_t *)room, room + dim / 4, (int32_t *)(void *)(room + dim / 4 + blocks) };
    q8_row_put(ops, &to, 0, q, dim);
    memcpy(q, room, (size_t)dim + 8 * (size_t)blocks);
}

/* Query i of rows, from where query_whole has put it. */
static void query_take(const q8_rows *rows, int i, const float *q, int dim)
{
    size_t each = 4 * (size_t)q8_blocks(dim);
    q8_rows to = q8_rows_from(rows, i, dim);
    memcpy(to.q, q, (size_t)dim);
    memcpy(to.scale, q + dim / 4, each);
    memcpy(to.low, (const char *)(q + dim / 4) + each, each);
}

/* What keys of that layer, KV head and cell lie about, [head_dim] (centre.h). */
static void centre_of(const ker_ctx *c, int layer, int row, int head, int cell, float *to)
{
    const ker_model *m = &c->dev->m;
    memcpy(to, dev_layer(c->dev, layer)->vec[KER_W_BK] + (int64_t)head * m->head_dim, sizeof *to * (size_t)m->head_dim);
    attn_rotate(m, to, centre_turn(c, layer, row, cell));
}

static void rope_task(void *arg, int task, int worker)
{
    attn_job *j = arg;
    ker_ctx *c = j->c;
    const ker_model *m = &c->dev->m;
    const vec_ops *ops = c->dev->v;
    const layer_w *w = j->w;
    int dim = m->head_dim, qd = m->n_head * dim, kd = m->n_kv_head * dim, group = m->n_head / m->n_kv_head;
    int k0 = j->split ? task % m->n_kv_head : 0, n_k = j->split ? 1 : m->n_kv_head, q0 = k0 * group, n_q = n_k * group;
    bool centred = centre_there(c, j->layer);
    if (j->split) task /= m->n_kv_head;
    for (int r = task * j->per; r < (task + 1) * j->per && r < c->b.n; r++) {
        float *q = c->att.q + (int64_t)r * qd + q0 * dim, *k = c->att.k + (int64_t)r * kd + k0 * dim, *v = c->att.v + (int64_t)r * kd + k0 * dim;
        const ker_config *g = ctx_cfg(c, r);
        const float *cs = c->att.rope + ((int64_t)r * c->att.n_rope + m->layer[j->layer].rope_set) * m->rope_dim;
        for (int h = 0; h < n_q && j->gate; h++) memcpy(q + h * dim, q_gate(c, r, q0 + h) - dim, sizeof(float) * (size_t)dim);
        if (w->vec[KER_W_BQ]) ops->add(q, w->vec[KER_W_BQ] + q0 * dim, n_q * dim);
        if (w->vec[KER_W_BK]) ops->add(k, w->vec[KER_W_BK] + k0 * dim, n_k * dim);
        if (w->vec[KER_W_BV]) ops->add(v, w->vec[KER_W_BV] + k0 * dim, n_k * dim);
        if (m->qk_whole && w->vec[KER_W_Q_NORM]) ops->norm(q, w->vec[KER_W_Q_NORM], qd, g->norm_eps, q);
        if (m->qk_whole && w->vec[KER_W_K_NORM]) ops->norm(k, w->vec[KER_W_K_NORM], kd, g->norm_eps, k);
        for (int h = 0; h < n_q; h++) {
            if (w->vec[KER_W_Q_NORM] && !m->qk_whole) ops->norm(q + h * dim, w->vec[KER_W_Q_NORM], dim, g->norm_eps, q + h * dim);
            attn_rotate(m, q + h * dim, cs);
        }
        for (int i = 0; i < n_q * dim; i++) q[i] *= g->attn_scale;
        for (int h = 0; h < n_q && c->kv->fours; h++) query_whole(q8_get(), q + h * dim, dim, dev_floats(c->dev, worker));
        const ker_seq *s = &c->b.seqs[c->b.seq ? c->b.seq[r] : 0];
        int cell = c->b.cell[r];
        for (int h = 0; h < n_k; h++) {
            if (w->vec[KER_W_K_NORM] && !m->qk_whole) ops->norm(k + h * dim, w->vec[KER_W_K_NORM], dim, g->norm_eps, k + h * dim);
            attn_rotate(m, k + h * dim, cs);
            if (centred) {
                float *centre = dev_floats(c->dev, worker);
                centre_of(c, j->layer, r, k0 + h, cell, centre);
                for (int i = 0; i < dim; i++) k[h * dim + i] -= centre[i];
            }
            kv_put(c->kv, kv_head(c->kv, s->page[cell / KER_PAGE], j->layer, k0 + h), cell % KER_PAGE, k + h * dim, v + h * dim, ops);
        }
    }
}

/* ---- attention of a block of rows against one KV head ----
 * A row's cells are taken in segments of ATT_SEGMENT pages, each with its own running maximum, sum and
 * weighted V; segments are then joined in rising order. Few rows with many cells give every segment to
 * its own task, and the one that is done last joins them; else one task walks all of them. Either way the arithmetic is the same. With a window a row
 * begins in the page of its first cell, and what of that page lies before counts as nothing. */

/* The first cell that a row sees. */
static int first_cell(const ker_ctx *c, int layer, int row)
{
    int window = c->dev->m.layer[layer].window, cell = c->b.cell[row];
    return window > 0 && window <= cell ? cell - window + 1 : 0;
}

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
    ops->parts(acc, 0, 1, &f[0], &f[1], to->acc, dim);
    to->sum = fmaf(sum, f[1], to->sum * f[0]);
    to->top = most;
}

/* A sink is one more score of a row, with no value: it only makes the others smaller. */
static void head_out(ker_ctx *c, int layer, int row, int head, const att_sum *a)
{
    const ker_model *m = &c->dev->m;
    const uint8_t *off = ctx_cfg(c, row)->head_off;
    const float *sinks = dev_layer(c->dev, layer)->vec[KER_W_SINKS];
    int width = ker_value_width(m);
    float *o = c->att.o + ((int64_t)row * m->n_head + head) * width, inv = 1 / a->sum;
    if (sinks) {
        float d[2] = { a->top, sinks[head] }, f[2];
        c->dev->v->exp(d, d[1] > d[0] ? d[1] : d[0], f, 2);
        float cells = a->sum * f[0];               /* exp lets no NaN through: no cells or a damaged sink give one here */
        inv *= cells / (cells + f[1] + (d[1] - d[1]));
    }
    bool silent = off && off[(int64_t)layer * m->n_head + head];
    int d = 0;
    for (; d + 16 <= width; d += 16)
        for (int i = 0; i < 16; i++) o[d + i] = a->acc[d + i] * inv;
    for (; d < width; d++) o[d] = a->acc[d] * inv;
    if (silent) memset(o, 0, sizeof(float) * (size_t)width);
    if (m->layer[layer].q_gate) c->dev->v->gate(o, q_gate(c, row, head), width);
}

static int att_queries(const ker_model *m)
{
    int group = m->n_head / m->n_kv_head;
    return group > ATT_QUERIES ? group : ATT_QUERIES;
}

int64_t attn_floats(const ker_model *m)
{
    int pad = round16(ker_value_width(m)), page = round16(ker_cell_k(m)) + (ker_cell_v(m) ? 0 : pad);
    int whole = ker_cells_fours(m) ? m->head_dim / 4 + 2 * q8_blocks(m->head_dim) + 3 + KER_PAGE / 2 : 0;
    return (int64_t)page * KER_PAGE + (int64_t)att_queries(m) * (KER_PAGE + 2 * pad + 3 + 4 * 4 + whole) + 64;
}

static float *att_part(const ker_ctx *c, int row, int head, int seg)
{
    return c->att.part + (((int64_t)row * c->dev->m.n_head + head) * c->att.n_seg + seg) * (round16(ker_value_width(&c->dev->m)) + 16);
}

/* Rows [begin, end) of a block over the pages of one segment; arrays of [n_q] as in attend_task. */
typedef struct att_span {
    const attn_job *j;
    const att_block *blk;
    const ker_seq *seq;
    int head, group, begin, end;   /* queries of a row                                 */
    bool direct;                   /* the page is used as it lies, without decoding it */
    float *turned;                 /* latent cells: room for what K begins with, which is V; else NULL */
    float *page, *s, *top, *sum, *shrink;
    const float *const *q;
    float *const *out;
    const q8_ops *whole;           /* cells by fours: they and queries are multiplied as whole numbers; else NULL */
    q8_rows rows;                  /* the queries as such                              */
    int16_t *weight;               /* what cells count, [n_q][KER_PAGE]                */
    float *page_top, *page_sum, *factor;               /* of a page alone; what it counts  */
} att_span;

/* Scores of one page for rows [first, stop) of the block, into s. Returns K in F32 where that was needed. */
static const float *page_scores(const att_span *a, const uint8_t *p, const uint8_t *next, int first, int stop)
{
    const ker_kv *kv = a->j->c->kv;
    const vec_ops *ops = a->j->c->dev->v;
    int dim = ker_cell_k(&kv->dev->m), i = first * a->group, n = (stop - first) * a->group;
    float *s = a->s + i * KER_PAGE;
    if (a->whole) {
        q8_rows rows = q8_rows_from(&a->rows, i, dim);
        a->whole->scores(kv_whole(kv, p, a->page, ops).k, kv_ahead(kv, next, a->page).k, dim, &rows, n, s);
        return NULL;
    }
    if (a->direct) {
        ops->scores_f16((const uint16_t *)(const void *)p, (const uint16_t *)(const void *)next, dim, a->q + i, n, s);
        return NULL;
    }
    const float *keys = kv_page_k(kv, p, a->page, ops);
    ops->scores(keys, dim, a->q + i, n, s);
    return keys;
}

/* What queries [i, i + n) make of their scores of one page's first `seen` cells, and their sums of V; v: it in F32 where that is needed. */
static void page_values(const att_span *a, const uint8_t *p, const uint8_t *next, const float *v, int seen, int i, int n)
{
    const ker_kv *kv = a->j->c->kv;
    const vec_ops *ops = a->j->c->dev->v;
    int dim = ker_cell_k(&kv->dev->m);
    int64_t half = (int64_t)dim * KER_PAGE;
    float *w = a->s + i * KER_PAGE;
    if (a->whole) {
        int16_t *weight = a->weight + i * KER_PAGE;
        kv_q8 at = kv_whole(kv, kv->type == KER_KV_Q4_0 ? NULL : p, a->page, ops);
        ops->weigh(w, seen, n, a->page_top + i, a->page_sum + i, weight);
        ops->joined(a->page_top + i, a->page_sum + i, a->top + i, a->sum + i, a->shrink + i, a->factor + i, n);
        a->whole->values(at.v, kv_ahead(kv, next, a->page).v, dim, seen, weight, a->shrink + i, a->factor + i, a->out + i, n);
        return;
    }
    ops->softmax(w, seen, n, a->top + i, a->sum + i, a->shrink + i);
    if (a->direct) {
        ops->values_f16((const uint16_t *)(const void *)p + half, (const uint16_t *)(const void *)next + half, dim, seen, w, a->shrink + i, a->out + i, n);
    } else {
        ops->values(v, round16(ker_value_width(&kv->dev->m)), seen, w, a->shrink + i, a->out + i, n);
    }
}

static void attend_segment(const att_span *a, int seg)
{
    ker_ctx *c = a->j->c;
    const ker_model *m = &c->dev->m;
    const vec_ops *ops = c->dev->v;
    const int32_t *cell = c->b.cell + a->blk->row;
    int width = ker_value_width(m), group = a->group, layer = a->j->layer, row = a->blk->row;
    int last_page = cell[a->end - 1] / KER_PAGE, from_page = first_cell(c, layer, row + a->begin) / KER_PAGE;
    bool as_it_lies = a->direct || a->whole;
    if (from_page < seg * ATT_SEGMENT) from_page = seg * ATT_SEGMENT;
    for (int pg = from_page; pg <= last_page && pg < (seg + 1) * ATT_SEGMENT; pg++) {
        int first = a->begin, stop = a->end, at = pg * KER_PAGE;
        while (first < stop && cell[first] < at) first++;
        while (stop > first && first_cell(c, layer, row + stop - 1) >= at + KER_PAGE) stop--;
        if (first == stop) continue;
        const uint8_t *p = kv_head(c->kv, a->seq->page[pg], layer, a->head);
        /* Pages lie apart: the processor would not guess the next. */
        const uint8_t *next = pg < last_page ? kv_head(c->kv, a->seq->page[pg + 1], layer, a->head) : p;
        for (int64_t i = 0; !as_it_lies && next != p && i < c->kv->head_bytes; i += 64) __builtin_prefetch(next + i, 0, 2);
        const float *keys = page_scores(a, p, next, first, stop);
        int in_page = cell[stop - 1] + 1 - at < KER_PAGE ? cell[stop - 1] + 1 - at : KER_PAGE;
        if (a->turned) kv_turned(keys, width, in_page, a->turned);
        const float *v = as_it_lies ? NULL : a->turned ? a->turned : kv_page_v(c->kv, p, in_page, a->page, ops);
        for (int r = first; r < stop; ) {          /* rows that see the page to its end go together */
            int seen = cell[r] + 1 - at, end = r;
            if (seen > KER_PAGE) seen = KER_PAGE;
            for (; end < stop && (end == r || seen == KER_PAGE); end++) {
                int before = first_cell(c, layer, row + end) - at;
                for (int i = end * group; i < (end + 1) * group && before > 0; i++)
                    for (int k = 0; k < before; k++) a->s[i * KER_PAGE + k] = -INFINITY;
            }
            page_values(a, p, next, v, seen, r * group, (end - r) * group);
            r = end;
        }
    }
}

/* Scores of the segment lie below what they are by what its keys lack (centre.h): so does what they are relative to. */
static void top_whole(const att_span *a, int seg)
{
    const ker_ctx *c = a->j->c;
    int dim = c->dev->m.head_dim;
    float *centre = a->page;
    centre_of(c, a->j->layer, a->blk->row, a->head, seg * ATT_CELLS, centre);
    for (int i = a->begin * a->group; i < a->end * a->group; i++)
        a->top[i] += a->whole ? centre_share_whole(a->rows.q + (int64_t)i * dim, a->rows.scale + (int64_t)i * q8_blocks(dim), centre, dim) : centre_share(a->q[i], centre, dim);
}

/* All segments of a split row, in rising order: bit for bit as `join` does one after the other. Sums lie behind what they are sums of. */
static void join_all(ker_ctx *c, int layer, int row, int head, int worker)
{
    const vec_ops *ops = c->dev->v;
    int pad = round16(ker_value_width(&c->dev->m)), wide = pad + 16, last = c->b.cell[row] / ATT_CELLS, seg = first_cell(c, layer, row) / ATT_CELLS;
    float *acc = dev_floats(c->dev, worker), less[ATT_JOINED], more[ATT_JOINED];
    memcpy(acc, att_part(c, row, head, seg), sizeof(float) * (size_t)wide);
    float top = acc[pad];
    for (int n = 1; (seg += n) <= last; ) {
        const float *part = att_part(c, row, head, seg);
        n = last + 1 - seg < ATT_JOINED ? last + 1 - seg : ATT_JOINED;
        for (int i = 0; i < n; i++) {
            float now = part[i * wide + pad], most = now > top ? now : top;
            less[i] = top - most;
            more[i] = now - most;
            top = most;
        }
        ops->exp(less, 0, less, n);
        ops->exp(more, 0, more, n);
        ops->parts(part, wide, n, less, more, acc, wide);
    }
    head_out(c, layer, row, head, &(att_sum){ acc, top, acc[pad + 1] });
}

/* A segment of split rows is done; of: its block, KV head and part of the heads. The last one joins all, in rising order, whoever it is. */
static void segment_done(ker_ctx *c, int layer, const att_block *blk, int of, int head, int n_head, int worker)
{
    if (atomic_fetch_sub_explicit(&c->att.left[of], 1, memory_order_acq_rel) != 1) return;
    atomic_store_explicit(&c->att.left[of], (uint32_t)c->att.n_seg, memory_order_relaxed);      /* for the next layer */
    for (int r = blk->row; r < blk->row + blk->n; r++)
        for (int h = head; h < head + n_head; h++) join_all(c, layer, r, h, worker);
}

static void attend_task(void *arg, int task, int worker)
{
    attn_job *j = arg;
    ker_ctx *c = j->c;
    const ker_model *m = &c->dev->m;
    const vec_ops *ops = c->dev->v;
    int dim = ker_cell_k(m), pad = round16(ker_value_width(m)), group = m->n_head / m->n_kv_head / c->att.n_part, most = att_queries(m);
    bool latent = !ker_cell_v(m);                      /* V is what K begins with */
    int only = task % c->att.n_seg, of = task / c->att.n_seg;          /* of a split row; n_seg is 1 where nothing is split */
    task = of;
    int part = task % c->att.n_part;                   /* of the heads that share a KV head */
    task /= c->att.n_part;
    const att_block *blk = &c->att.block[task / m->n_kv_head];
    int head = task % m->n_kv_head, n_q = blk->n * group, base = (head * c->att.n_part + part) * group;
    const ker_seq *seq = &c->b.seqs[blk->seq];
    int last = c->b.cell[blk->row + blk->n - 1], last_seg = last / ATT_CELLS;                  /* cells rise within a block, */
    int first_seg = first_cell(c, j->layer, blk->row) / ATT_CELLS;                             /* and so do the first ones   */
    if (c->att.n_seg > 1 && (only > last_seg || only < first_seg)) {
        segment_done(c, j->layer, blk, of, base, group, worker);
        return;
    }
    assert(n_q <= most && last / KER_PAGE < seq->n_page);

    float *page = dev_floats(c->dev, worker), *turned = page + (int64_t)round16(dim) * KER_PAGE;
    float *s = turned + (latent ? (int64_t)pad * KER_PAGE : 0), *acc = s + (int64_t)most * KER_PAGE;
    float *total = acc + (int64_t)most * pad, *top = total + (int64_t)most * pad, *sum = top + most, *shrink = sum + most;
    att_sum *all = (att_sum *)(void *)(((uintptr_t)(shrink + most) + 63) & ~(uintptr_t)63);
    const float **q = (const float **)(void *)(all + most);
    float **out = (float **)(void *)(q + most);
    for (int i = 0; i < n_q; i++) {
        q[i] = c->att.q + ((int64_t)(blk->row + i / group) * m->n_head + base + i % group) * dim;
        out[i] = acc + (int64_t)i * pad;
        all[i].acc = total + (int64_t)i * pad;
    }
    bool centred = centre_there(c, j->layer), direct = c->kv->type == KER_KV_F16 && !latent && pad == dim && n_q <= ops->few;
    const q8_ops *whole = c->kv->fours ? q8_get() : NULL;
    float *page_top = (float *)(void *)(out + most), *page_sum = page_top + most, *factor = page_sum + most, *scales = factor + most;
    int32_t *low = (int32_t *)(void *)(scales + (int64_t)most * q8_blocks(dim));
    int16_t *weight = (int16_t *)(void *)(low + (int64_t)most * q8_blocks(dim));
    q8_rows rows = { (int8_t *)(weight + (int64_t)most * KER_PAGE), scales, low };
    for (int i = 0; i < n_q && whole; i++) query_take(&rows, i, q[i], dim);
    for (int seg = c->att.n_seg > 1 ? only : first_seg; seg <= last_seg && (c->att.n_seg == 1 || seg == only); seg++) {
        memset(acc, 0, sizeof(float) * (size_t)(n_q * pad));
        for (int i = 0; i < n_q; i++) { top[i] = -INFINITY; sum[i] = 0; }
        int begin = 0, end = blk->n;               /* the rows that have cells in this segment */
        while (c->b.cell[blk->row + begin] < seg * ATT_CELLS) begin++;
        while (end > begin && first_cell(c, j->layer, blk->row + end - 1) >= (seg + 1) * ATT_CELLS) end--;
        att_span a = { j, blk, seq, head, group, begin, end, direct, latent ? turned : NULL, page, s, top, sum, shrink, q, out,
                       whole, rows, weight, page_top, page_sum, factor };
        if (begin < end) attend_segment(&a, seg);
        if (begin < end && centred) top_whole(&a, seg);
        for (int i = begin * group; i < end * group; i++) {
            int row = blk->row + i / group;
            if (c->att.n_seg == 1) {
                join(ops, &all[i], out[i], top[i], sum[i], pad, seg == first_cell(c, j->layer, row) / ATT_CELLS);
                continue;
            }
            float *to = att_part(c, row, base + i % group, seg);
            memcpy(to, out[i], sizeof(float) * (size_t)pad);
            memset(to + pad, 0, sizeof(float) * 16);
            to[pad] = top[i];
            to[pad + 1] = sum[i];
        }
    }
    if (c->att.n_seg > 1) segment_done(c, j->layer, blk, of, base, group, worker);
    else for (int i = 0; i < n_q; i++) head_out(c, j->layer, blk->row + i / group, base + i % group, &all[i]);
}

/* Room for the segments of a batch of few rows, made by begin; without it one task walks them all. */
void attn_begin(ker_ctx *c)
{
    const ker_model *m = &c->dev->m;
    int last = 0;
    centre_begin(c);
    c->att.n_seg = c->att.n_part = 1;
    int threads = pool_threads(c->dev->pool);
    for (int n = m->n_head / m->n_kv_head; !ker_cell_v(m) && c->att.n_block * c->att.n_part < threads && n % (c->att.n_part * 2) == 0; ) {
        if (n / (c->att.n_part * 2) < ATT_PART_HEADS) break;       /* each part takes every page apart anew */
        c->att.n_part *= 2;
    }
    if (c->b.n > ATT_SPLIT_ROWS || threads == 1 || c->att.n_block * m->n_kv_head >= threads * 8) return;
    for (int r = 0; r < c->b.n; r++) last = c->b.cell[r] > last ? c->b.cell[r] : last;
    int n_seg = last / ATT_CELLS + 1, counters = c->att.n_block * m->n_kv_head * c->att.n_part;
    int64_t sums = (int64_t)c->b.n * m->n_head * n_seg * (round16(ker_value_width(m)) + 16), need = sums + counters;
    if (n_seg > 1 && need > c->att.part_floats) {
        free(c->att.part);
        need += need / 2;
        c->att.part = act_alloc(sizeof(float) * (size_t)need);
        c->att.part_floats = c->att.part ? need : 0;
    }
    if (!c->att.part || n_seg == 1) return;
    c->att.n_seg = n_seg;
    c->att.left = (_Atomic uint32_t *)(void *)(c->att.part + sums);
    for (int i = 0; i < counters; i++) atomic_store_explicit(&c->att.left[i], (uint32_t)n_seg, memory_order_relaxed);
}

int attn_attend(ker_ctx *c, int layer)
{
    attn_job j = { .c = c, .layer = layer };
    return ctx_run(c, c->att.n_block * c->dev->m.n_kv_head * c->att.n_part * c->att.n_seg, attend_task, &j);
}

static void out_task(void *arg, int task, int worker)
{
    attn_job *j = arg;
    ker_ctx *c = j->c;
    const mat *w = &j->w->w[KER_W_O];
    int kind = mat_kind(w);
    for (int r = task * j->per; r < (task + 1) * j->per && r < c->b.n; r++)
        mat_act(w->type, c->att.o + r * w->n_in, w->n_in, c->att.act.p[kind] + r * c->att.act.stride[kind]);
}

int attn_output(ker_ctx *c, int layer, const float *from)
{
    const mat *o = &dev_layer(c->dev, layer)->w[KER_W_O];
    low_job low = low_rows(c, layer, KER_W_O, from, o->n_in);
    prod p = { .w = o, .act = c->att.act.p[mat_kind(o)], .act_stride = c->att.act.stride[mat_kind(o)], .n = c->b.n, .y = c->y,
               .y_stride = o->n_out, .add_to = ctx_finishes(c, layer, KER_PART_ATTN) ? NULL : c->x, .layer = layer, .part = KER_PART_ATTN, .low = &low, .n_low = 1 };
    int rc = low_prepare(c, &low, 1);
    if (!rc) rc = ctx_products(c, &p, 1);
    return rc || p.add_to ? rc : ctx_finish(c, layer, KER_PART_ATTN);
}

int cpu_attn(ker_ctx *c, int layer)
{
    const layer_w *w = dev_layer(c->dev, layer);
    static const enum ker_role qkv[3] = { KER_W_Q, KER_W_K, KER_W_V };
    bool gate = c->dev->m.layer[layer].q_gate;
    float *to[3] = { gate ? c->att.qg : c->att.q, c->att.k, c->att.v };
    prod p[3];
    low_job low[3];
    unsigned kinds = 0;
    for (int i = 0; i < 3; i++) {
        const mat *a = &w->w[qkv[i]];
        kinds |= 1u << mat_kind(a);
        p[i] = (prod){ .w = a, .act = c->in.p[mat_kind(a)], .act_stride = c->in.stride[mat_kind(a)], .n = c->b.n,
                       .y = to[i], .y_stride = a->n_out, .low = &low[i], .n_low = 1 };
        low[i] = low_rows(c, layer, qkv[i], c->y, a->n_in);
    }
    int n = c->b.n, rc = ctx_norm(c, w->vec[KER_W_ATTN_NORM], kinds);
    if (!rc) rc = low_prepare(c, low, 3);
    if (!rc) rc = ctx_products(c, p, 3);
    attn_job j = { c, w, layer, n <= 2 ? n : 4, gate, n < pool_threads(c->dev->pool) && !c->dev->m.qk_whole };
    if (!rc) rc = ctx_run(c, (n + j.per - 1) / j.per * (j.split ? c->dev->m.n_kv_head : 1), rope_task, &j);
    if (!rc) rc = attn_attend(c, layer);
    if (!rc) rc = ctx_run(c, (n + j.per - 1) / j.per, out_task, &j);
    return rc ? rc : attn_output(c, layer, c->att.o);
}
