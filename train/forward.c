/* train/forward: one layer over a pass's rows, by the formulas of kernels/kernels.h. What its way back needs stays in the pass. */
#include <math.h>
#include <string.h>

#include "train/pass.h"

typedef struct layer_job { int layer; const float *in; float *out; } layer_job;

static float residual(const ker_model *m) { return m->residual_scale != 0 ? m->residual_scale : 1; }

/* ---- attention ---- */

static void norm_in(pass *p, int r0, int r1, void *arg)
{
    layer_job *j = arg;
    int n = p->f->m->n_embd;
    for (int64_t r = r0; r < r1; r++) pass_norm(j->in + r * n, frozen_vec(p->f, j->layer, KER_W_ATTN_NORM), n, p->c->norm_eps, p->a.in + r * n);
}

static void add(float *x, const float *y, int64_t n) { for (int64_t i = 0; y && i < n; i++) x[i] += y[i]; }

static void rotate(const ker_model *m, float *x, const float *cs)
{
    int half = m->rope_dim / 2, step = m->rope_half ? 1 : 2, other = m->rope_half ? half : 1;
    for (int i = 0; i < half; i++) {
        float *a = x + i * step, *b = a + other, x0 = *a, x1 = *b;
        *a = x0 * cs[i] - x1 * cs[half + i];
        *b = x1 * cs[i] + x0 * cs[half + i];
    }
}

/* Bias, norm (of each head, or over all of them) and rotation of n heads; raw: what the norm took. */
static void heads(pass *p, int layer, int64_t r, float *x, float *raw, int n, const float *bias, const float *w)
{
    const ker_model *m = p->f->m;
    int dim = m->head_dim;
    const float *cs = p->cs + ((int64_t)p->pos[r] * KER_ROPE_SETS + m->layer[layer].rope_set) * m->rope_dim;
    add(x, bias, n * dim);
    if (w) memcpy(raw, x, sizeof *x * (size_t)(n * dim));
    if (w && m->qk_whole) pass_norm(raw, w, n * dim, p->c->norm_eps, x);
    for (int h = 0; h < n; h++) {
        if (w && !m->qk_whole) pass_norm(raw + h * dim, w, dim, p->c->norm_eps, x + h * dim);
        rotate(m, x + h * dim, cs);
    }
}

static void qkv(pass *p, int r0, int r1, void *arg)
{
    layer_job *j = arg;
    const ker_model *m = p->f->m;
    int64_t qd = (int64_t)m->n_head * m->head_dim, kd = (int64_t)m->n_kv_head * m->head_dim;
    for (int64_t r = r0; r < r1; r++) {
        heads(p, j->layer, r, p->a.q + r * qd, p->a.q_raw + r * qd, m->n_head, frozen_vec(p->f, j->layer, KER_W_BQ), frozen_vec(p->f, j->layer, KER_W_Q_NORM));
        heads(p, j->layer, r, p->a.k + r * kd, p->a.k_raw + r * kd, m->n_kv_head, frozen_vec(p->f, j->layer, KER_W_BK), frozen_vec(p->f, j->layer, KER_W_K_NORM));
        add(p->a.v + r * kd, frozen_vec(p->f, j->layer, KER_W_BV), kd);
        for (int64_t i = 0; i < qd; i++) p->a.q[r * qd + i] *= p->c->attn_scale;
    }
}

/* The stream behind attention, and its norm for what follows. */
static void into_mid(pass *p, int r0, int r1, void *arg)
{
    layer_job *j = arg;
    int n = p->f->m->n_embd;
    const float *post = frozen_vec(p->f, j->layer, KER_W_POST_ATTN_NORM);
    float f = residual(p->f->m);
    for (int64_t r = r0; r < r1; r++) {
        float *a = p->a.out + r * n, *mid = p->mid + r * n, *t = p->dn + r * n;
        add(a, frozen_vec(p->f, j->layer, KER_W_BO), n);
        if (post) pass_norm(a, post, n, p->c->norm_eps, t);
        for (int i = 0; i < n; i++) mid[i] = j->in[r * n + i] + f * (post ? t : a)[i];
        pass_norm(mid, frozen_vec(p->f, j->layer, KER_W_FFN_NORM), n, p->c->norm_eps, p->s.in + r * n);
    }
}

static int attention(pass *p, layer_job *j)
{
    frozen *f = p->f;
    int l = j->layer, rc = pass_each(p, norm_in, j);
    if (!rc) rc = frozen_mul(f, frozen_product(f, l, KER_W_Q, 0), p->a.in, p->n, p->a.q);
    if (!rc) rc = frozen_mul(f, frozen_product(f, l, KER_W_K, 0), p->a.in, p->n, p->a.k);
    if (!rc) rc = frozen_mul(f, frozen_product(f, l, KER_W_V, 0), p->a.in, p->n, p->a.v);
    if (!rc) rc = pass_each(p, qkv, j);
    if (!rc) rc = pass_attend(p, l);
    if (!rc) rc = frozen_mul(f, frozen_product(f, l, KER_W_O, 0), p->a.o, p->n, p->a.out);
    return rc ? rc : pass_each(p, into_mid, j);
}

/* ---- feed-forward ---- */

void pass_mlp_glu(pass *p, int r0, int r1, void *arg)
{
    const product *g = arg;
    const int32_t *width = p->c->ffn_width;
    for (int64_t r = r0; r < r1; r++) {
        int64_t at = r * g->n_out;
        pass_glu(p->f->m->layer[g->layer].glu, p->s.gate + at, p->s.up + at, p->s.h + at, (int)g->n_out);
        pass_narrow(p->s.h + at, (int)g->n_out, width ? width[g->layer] : 0);
    }
}

/* A dense layer's or the shared expert's; out NULL: without the last product. */
static int mlp(pass *p, int layer, const enum ker_role roles[3], float *out)
{
    frozen *f = p->f;
    product g = frozen_product(f, layer, roles[0], 0);
    int rc = frozen_mul(f, g, p->s.in, p->n, p->s.gate);
    if (!rc) rc = frozen_mul(f, frozen_product(f, layer, roles[1], 0), p->s.in, p->n, p->s.up);
    if (!rc) rc = pass_each(p, pass_mlp_glu, &g);
    return rc || !out ? rc : frozen_mul(f, frozen_product(f, layer, roles[2], 0), p->s.h, p->n, out);
}

static void expert_task(void *arg, int task, int worker)
{
    layer_job *j = ((void **)arg)[1];
    pass *p = ((void **)arg)[0];
    pass_route *t = &p->r;
    frozen *f = p->f;
    int e = t->active[task], first = t->off[e], n = t->off[e + 1] - first, E = f->m->n_embd;
    product g = frozen_product(f, j->layer, KER_W_GATE_EXPS, e), d = frozen_product(f, j->layer, KER_W_DOWN_EXPS, e);
    int64_t ff = g.n_out, at = first * ff;
    const float *bg = frozen_vec(f, j->layer, KER_W_BGATE_EXPS), *bu = frozen_vec(f, j->layer, KER_W_BUP_EXPS), *bd = frozen_vec(f, j->layer, KER_W_BDOWN_EXPS);
    const int32_t *width = p->c->expert_width;
    for (int i = first; i < first + n; i++) memcpy(t->in + (int64_t)i * E, p->s.in + (int64_t)t->row[i] * E, sizeof(float) * (size_t)E);
    own_mul(f, worker, g, t->in + (int64_t)first * E, n, t->gate + at);
    own_mul(f, worker, frozen_product(f, j->layer, KER_W_UP_EXPS, e), t->in + (int64_t)first * E, n, t->up + at);
    for (int i = first; i < first + n; i++) {
        int64_t r = i * ff;
        add(t->gate + r, bg ? bg + e * ff : NULL, ff);
        add(t->up + r, bu ? bu + e * ff : NULL, ff);
        pass_glu(f->m->layer[j->layer].glu, t->gate + r, t->up + r, t->h + r, (int)ff);
        pass_narrow(t->h + r, (int)ff, width ? width[j->layer] : 0);
    }
    if (!j->out) return;
    own_mul(f, worker, d, t->h + at, n, t->out + (int64_t)first * E);
    for (int i = first; i < first + n; i++) add(t->out + (int64_t)i * E, bd ? bd + e * E : NULL, E);
}

/* The sum over a row's slots, in their order, then the shared expert. */
static void join(pass *p, int r0, int r1, void *arg)
{
    int n = p->f->m->n_embd;
    const pass_route *t = &p->r;
    for (int64_t r = r0; r < r1; r++) {
        float *out = p->s.out + r * n;
        memset(out, 0, sizeof *out * (size_t)n);
        for (int s = 0; s < t->chosen[r].n; s++) {
            const float *y = t->out + (int64_t)t->pair[r * p->max_k + s] * n;
            float w = t->weights[r * p->max_k + s];
            for (int i = 0; i < n; i++) out[i] += w * y[i];
        }
        for (int i = 0; p->f->m->n_ff_sh && i < n; i++) out[i] += p->s.coef[r] * p->s.tmp[r * n + i];
    }
}

static void shared_gate(pass *p, int r0, int r1, void *arg)
{
    layer_job *j = arg;
    int n = p->f->m->n_embd;
    const float *w = frozen_vec(p->f, j->layer, KER_W_SH_ROUTER);
    for (int64_t r = r0; r < r1; r++) {
        float dot = 0;
        for (int i = 0; w && i < n; i++) dot += w[i] * p->s.in[r * n + i];
        p->s.coef[r] = w ? 1 / (1 + expf(-dot)) : 1;
    }
}

static int routed(pass *p, layer_job *j, bool whole)
{
    static const enum ker_role shared[3] = { KER_W_GATE_SH, KER_W_UP_SH, KER_W_DOWN_SH };
    frozen *f = p->f;
    layer_job own = { j->layer, j->in, whole ? p->s.out : NULL };
    void *arg[2] = { p, &own };
    int rc = frozen_mul(f, frozen_product(f, j->layer, KER_W_ROUTER, 0), p->s.in, p->n, p->r.score);
    if (!rc) rc = pass_choose(p, j->layer);
    if (!rc) rc = team_run(f->team, p->r.n_active, expert_task, arg, f->stop);
    if (!rc && f->m->n_ff_sh) {
        rc = pass_each(p, shared_gate, j);
        if (!rc) rc = mlp(p, j->layer, shared, whole ? p->s.tmp : NULL);
    }
    return rc || !whole ? rc : pass_each(p, join, j);
}

static void out_of(pass *p, int r0, int r1, void *arg)
{
    layer_job *j = arg;
    int n = p->f->m->n_embd;
    const float *post = frozen_vec(p->f, j->layer, KER_W_POST_FFN_NORM);
    float f = residual(p->f->m);
    for (int64_t r = r0; r < r1; r++) {
        const float *y = p->s.out + r * n;
        if (post) pass_norm(y, post, n, p->c->norm_eps, p->dn + r * n), y = p->dn + r * n;
        for (int i = 0; i < n; i++) j->out[r * n + i] = p->mid[r * n + i] + f * y[i];
    }
}

int pass_layer(pass *p, int layer, const float *in, float *out)
{
    static const enum ker_role dense[3] = { KER_W_GATE, KER_W_UP, KER_W_DOWN };
    layer_job j = { layer, in, out };
    bool whole = out || frozen_vec(p->f, layer, KER_W_POST_FFN_NORM);
    int rc = attention(p, &j);
    if (!rc) rc = p->f->m->layer[layer].moe ? routed(p, &j, whole) : mlp(p, layer, dense, whole ? p->s.out : NULL);
    return rc || !out ? rc : pass_each(p, out_of, &j);
}
