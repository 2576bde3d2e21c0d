/* kernels/cpu/delta: recurrent layers (ker_delta in kernels.h; Yang, Kautz, Hatamizadeh, "Gated Delta Networks", arXiv 2412.06464,
 * equations 8 to 10): products, convolution, gates, the delta rule, norm and output. A state is never written where it was
 * read from. Columns of a head's state do not meet, so a task takes KER_STATE_BLOCK of them through all rows of a sequence, and a
 * row's bits depend on those before it alone. Runs between begin and end on the pool; delta_begin makes no memory. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/cpu/parts.h"
#include "kernels/cpu/prod.h"

enum { UNITS = 8 /* heads of channels that a task convolves */, ROWS = 8 /* ... of so many rows */, TAPS = KER_CONV_MOST };

typedef struct delta_job { ker_ctx *c; const layer_w *w; int layer, per, n_unit, n_group; } delta_job;

static int64_t channels(const ker_delta *d) { return 2 * (int64_t)d->n_key * d->key_dim + (int64_t)d->n_value * d->value_dim; }

/* A sequence's numbers of one layer; NULL: there are none. */
static float *state_of(const ker_ctx *c, int layer, int state)
{
    return state ? c->kv->state[state - 1] + c->dev->order[layer] * ker_state_layer_floats(&c->dev->m) : NULL;
}

void delta_begin(ker_ctx *c)
{
    ctx_delta *d = &c->delta;
    d->n_first = 0;
    if (!d->before) return;
    for (int r = 0; r < c->b.n; r++) {
        int seq = c->b.seq ? c->b.seq[r] : 0, at = r - 1;
        while (at >= 0 && c->b.seq && c->b.seq[at] != seq) at--;
        d->before[r] = at;
        d->after[r] = -1;
        d->left[r] = c->b.seqs[seq].state_to;
        if (at >= 0) {
            d->after[at] = r;
            d->left[at] = c->b.seqs[seq].state_each ? c->b.seqs[seq].state_each[at] : 0;
        } else d->first[d->n_first++] = r;
    }
}

/* What went into the convolution `back` rows before row r. */
static const float *input(const ker_ctx *c, int layer, int r, int back)
{
    const ker_delta *m = &c->dev->m.delta;
    const ker_seq *s = &c->b.seqs[c->b.seq ? c->b.seq[r] : 0];
    for (; back && c->delta.before[r] >= 0; back--) r = c->delta.before[r];
    if (!back) return c->delta.in + r * channels(m);
    const float *old = state_of(c, layer, s->state_from);
    return old && back < m->conv ? old + (m->conv - 1 - back) * channels(m) : c->delta.zero;
}

/* ---- convolution, lengths of q and k, gates ---- */

/* softplus as PyTorch has it: x itself where exp(-x) is lost in it. */
static float softplus(float x) { return x > 20 ? x : log1pf(expf(x)); }

static void gates(const delta_job *j, int r)
{
    const ker_ctx *c = j->c;
    const ker_delta *m = &c->dev->m.delta;
    int n = m->n_value, each = n / m->n_key;
    const float *two = c->delta.two + (int64_t)r * 2 * n;
    float *g = c->delta.gates + (int64_t)r * 2 * n;
    for (int h = 0; h < n; h++) {
        int key = h / each, beta = m->paired ? key * 2 * each + h % each : h, alpha = m->paired ? beta + each : n + h;
        g[h] = expf(j->w->vec[KER_W_D_A][h] * softplus(two[alpha] + j->w->vec[KER_W_D_DT][h]));
        g[n + h] = 1 / (1 + expf(-two[beta]));
    }
}

static void conv_task(void *arg, int task, int worker)
{
    delta_job *j = arg;
    ker_ctx *c = j->c;
    const ker_delta *m = &c->dev->m.delta;
    const vec_ops *ops = c->dev->v;
    int group = task % j->n_group, unit0 = group * UNITS, unit1 = unit0 + UNITS < j->n_unit ? unit0 + UNITS : j->n_unit, keys = 2 * m->n_key;
    int64_t all = channels(m), edge = (int64_t)keys * m->key_dim;
    int64_t from = unit0 < keys ? (int64_t)unit0 * m->key_dim : edge + (int64_t)(unit0 - keys) * m->value_dim;
    int64_t to = unit1 <= keys ? (int64_t)unit1 * m->key_dim : edge + (int64_t)(unit1 - keys) * m->value_dim;
    for (int r = task / j->n_group * j->per; r < (task / j->n_group + 1) * j->per && r < c->b.n; r++) {
        const float *x[TAPS];
        for (int t = 0; t < m->conv; t++) x[t] = input(c, j->layer, r, m->conv - 1 - t) + from;
        ops->conv(x, j->w->vec[KER_W_D_CONV] + from, all, m->conv, c->delta.mix + r * all + from, (int)(to - from));
        float eps = m->l2_eps > 0 ? m->l2_eps : ctx_cfg(c, r)->norm_eps;
        for (int u = unit0; u < unit1 && u < keys; u++)
            ops->unit(c->delta.mix + r * all + (int64_t)u * m->key_dim, m->key_dim, eps, u < m->n_key ? 1 / sqrtf((float)m->key_dim) : 1);
        if (group == 0) gates(j, r);
        float *keep = state_of(c, j->layer, c->delta.left[r]);
        for (int t = 0; keep && t < m->conv - 1; t++) memcpy(keep + t * all + from, x[t + 1], sizeof(float) * (size_t)(to - from));
    }
}

/* ---- the delta rule ---- */

int64_t delta_floats(const ker_model *m) { return (int64_t)m->delta.key_dim * KER_STATE_BLOCK; }

/* One head's block of value columns, through all rows of a sequence. */
static void rule_task(void *arg, int task, int worker)
{
    delta_job *j = arg;
    ker_ctx *c = j->c;
    const ker_delta *m = &c->dev->m.delta;
    int pad = round16(m->value_dim), blocks = (pad + KER_STATE_BLOCK - 1) / KER_STATE_BLOCK, block = task % blocks;
    int head = task / blocks % m->n_value, r = c->delta.first[task / blocks / m->n_value], v0 = block * KER_STATE_BLOCK;
    int wide = pad - v0 < KER_STATE_BLOCK ? pad - v0 : KER_STATE_BLOCK, n_v = m->value_dim - v0 < wide ? m->value_dim - v0 : wide;
    int key = m->tiled ? head % m->n_key : head / (m->n_value / m->n_key);
    const ker_seq *s = &c->b.seqs[c->b.seq ? c->b.seq[r] : 0];
    int64_t all = channels(m), at = (m->conv - 1) * all + (int64_t)head * m->key_dim * pad + (int64_t)v0 * m->key_dim;
    float *old = state_of(c, j->layer, s->state_from), *to = state_of(c, j->layer, s->state_to);
    const float *from = old ? old + at : NULL;
    to = to ? to + at : dev_floats(c->dev, worker);
    if (!from) from = memset(to, 0, sizeof(float) * (size_t)(m->key_dim * wide));
    for (float *own, *into; r >= 0; r = c->delta.after[r], from = into) {
        own = c->delta.after[r] < 0 ? NULL : state_of(c, j->layer, c->delta.left[r]);
        into = own ? own + at : to;
        const float *q = c->delta.mix + r * all + (int64_t)key * m->key_dim, *k = q + (int64_t)m->n_key * m->key_dim;
        const float *v = c->delta.mix + r * all + 2 * (int64_t)m->n_key * m->key_dim + (int64_t)head * m->value_dim + v0;
        const float *g = c->delta.gates + (int64_t)r * 2 * m->n_value + head;
        c->dev->v->delta(from, into, m->key_dim, wide, q, k, v, n_v, g[0], g[m->n_value], c->delta.o + ((int64_t)r * m->n_value + head) * m->value_dim + v0,
                          from != into && c->delta.after[r] < 0);
    }
}

static void norm_task(void *arg, int task, int worker)
{
    delta_job *j = arg;
    ker_ctx *c = j->c;
    const ker_delta *m = &c->dev->m.delta;
    const mat *w = &j->w->w[KER_W_D_OUT];
    int kind = mat_kind(w);
    for (int r = task * j->per; r < (task + 1) * j->per && r < c->b.n; r++) {
        float *o = c->delta.o + r * w->n_in;
        for (int h = 0; h < m->n_value; h++) c->dev->v->norm(o + h * m->value_dim, j->w->vec[KER_W_D_NORM], m->value_dim, ctx_cfg(c, r)->norm_eps, o + h * m->value_dim);
        c->dev->v->glu[KER_GLU_SILU](c->delta.z + r * w->n_in, o, o, (int)w->n_in);
        mat_act(w->type, o, w->n_in, c->delta.act.p[kind] + r * c->delta.act.stride[kind]);
    }
}

/* ---- the part ---- */

int cpu_delta(ker_ctx *c, int layer)
{
    const ker_delta *m = &c->dev->m.delta;
    const layer_w *w = dev_layer(c->dev, layer);
    const struct { enum ker_role role; float *y; int64_t stride; } made[] = {
        { KER_W_D_QKV, c->delta.in, channels(m) }, { KER_W_D_Z, c->delta.z, (int64_t)m->n_value * m->value_dim },
        { m->paired ? KER_W_D_BA : KER_W_D_BETA, c->delta.two, 2 * m->n_value }, { KER_W_D_ALPHA, c->delta.two + m->n_value, 2 * m->n_value },
    };
    prod p[4];
    low_job low[4];
    unsigned kinds = 0;
    int n = c->b.n, n_prod = m->paired ? 3 : 4;
    for (int i = 0; i < n_prod; i++) {
        const mat *a = &w->w[made[i].role];
        kinds |= 1u << mat_kind(a);
        p[i] = (prod){ .w = a, .act = c->in.p[mat_kind(a)], .act_stride = c->in.stride[mat_kind(a)], .n = n, .y = made[i].y, .y_stride = made[i].stride,
                       .low = &low[i], .n_low = 1 };
        low[i] = low_rows(c, layer, made[i].role, c->y, a->n_in);
    }
    int rc = ctx_norm(c, w->vec[KER_W_ATTN_NORM], kinds);
    if (!rc) rc = low_prepare(c, low, n_prod);
    if (!rc) rc = ctx_products(c, p, n_prod);
    int n_unit = 2 * m->n_key + m->n_value, blocks = (round16(m->value_dim) + KER_STATE_BLOCK - 1) / KER_STATE_BLOCK;
    delta_job j = { c, w, layer, ROWS, n_unit, (n_unit + UNITS - 1) / UNITS };
    if (!rc) rc = ctx_run(c, (n + ROWS - 1) / ROWS * j.n_group, conv_task, &j);
    if (!rc) rc = ctx_run(c, c->delta.n_first * m->n_value * blocks, rule_task, &j);
    j.per = n <= 2 ? n : 4;
    if (!rc) rc = ctx_run(c, (n + j.per - 1) / j.per, norm_task, &j);
    const mat *o = &w->w[KER_W_D_OUT];
    low_job low_o = low_rows(c, layer, KER_W_D_OUT, c->delta.o, o->n_in);
    prod po = { .w = o, .act = c->delta.act.p[mat_kind(o)], .act_stride = c->delta.act.stride[mat_kind(o)], .n = n, .y = c->y,
                .y_stride = o->n_out, .add_to = ctx_finishes(c, layer, KER_PART_ATTN) ? NULL : c->x, .layer = layer, .part = KER_PART_ATTN, .low = &low_o, .n_low = 1 };
    if (!rc) rc = low_prepare(c, &low_o, 1);
    if (!rc) rc = ctx_products(c, &po, 1);
    return rc || po.add_to ? rc : ctx_finish(c, layer, KER_PART_ATTN);
}
