/* train/backward: the way back through one layer, after pass_layer made anew what it needs. d becomes the gradient of the layer's input;
 * where nothing is taught below, only what the adapter's own gradients need is computed. */
#include <math.h>
#include <string.h>

#include "train/pass.h"

typedef struct back_job { pass *p; int layer; const float *in; bool on /* further down, or to attention */; } back_job;

static float residual(const ker_model *m) { return m->residual_scale != 0 ? m->residual_scale : 1; }

/* The gradient of what a part gave, before its norm and factor: from -> to. */
static void through_post(const pass *p, const float *w, const float *y, const float *from, float *to)
{
    int n = p->f->m->n_embd;
    float f = residual(p->f->m);
    if (!w) {
        for (int i = 0; i < n; i++) to[i] = f * from[i];
        return;
    }
    memset(to, 0, sizeof *to * (size_t)n);
    pass_norm_back(y, w, n, p->c->norm_eps, from, to);
    for (int i = 0; i < n; i++) to[i] *= f;
}

/* ---- feed-forward ---- */

static void into_ffn(pass *p, int r0, int r1, void *arg)
{
    back_job *j = arg;
    int n = p->f->m->n_embd;
    for (int64_t r = r0; r < r1; r++) {
        through_post(p, frozen_vec(p->f, j->layer, KER_W_POST_FFN_NORM), p->s.out + r * n, p->d + r * n, p->s.tmp + r * n);
        memset(p->dn + r * n, 0, sizeof(float) * (size_t)n);
    }
}

/* Neurons that were cleared have no way back. */
static void clear(float *dh, const float *h, int64_t n, const int32_t *width, int layer)
{
    for (int64_t i = 0; width && width[layer] && i < n; i++) if (h[i] == 0) dh[i] = 0;
}

/* coef: the shared expert's gate; 1 in a dense layer. */
static void glu_back(pass *p, int r0, int r1, void *arg)
{
    const product *g = arg;
    const ker_model *m = p->f->m;
    const float *w = m->layer[g->layer].moe ? frozen_vec(p->f, g->layer, KER_W_SH_ROUTER) : NULL;
    for (int64_t r = r0; r < r1; r++) {
        int64_t at = r * g->n_out;
        float dot = 0, c = w ? p->s.coef[r] : 1;
        if (w) {
            for (int64_t i = 0; i < g->n_out; i++) dot += p->s.h[at + i] * p->s.dh[at + i];
            dot *= c * (1 - c);
            for (int i = 0; i < m->n_embd; i++) p->dn[r * m->n_embd + i] += dot * w[i];
            for (int64_t i = 0; i < g->n_out; i++) p->s.dh[at + i] *= c;
        }
        clear(p->s.dh + at, p->s.h + at, g->n_out, p->c->ffn_width, g->layer);
        pass_glu_back(m->layer[g->layer].glu, p->s.gate + at, p->s.up + at, p->s.dh + at, (int)g->n_out);
    }
}

static void scale_h(pass *p, int r0, int r1, void *arg)
{
    const product *g = arg;
    for (int64_t r = r0; r < r1; r++)
        for (int64_t i = 0; i < g->n_out; i++) p->s.h[r * g->n_out + i] *= p->s.coef[r];
}

/* dy in s.tmp: of what the part (a dense layer, the shared expert before its gate's weight) adds. */
static int mlp_back(pass *p, const back_job *j, const enum ker_role roles[3])
{
    frozen *f = p->f;
    int layer = j->layer, rc = Q_OK;
    product g = frozen_product(f, layer, roles[0], 0), u = frozen_product(f, layer, roles[1], 0), d = frozen_product(f, layer, roles[2], 0);
    bool taught = pass_taught(p, layer, roles[0], roles[1], roles[2], 0), gated = f->m->layer[layer].moe && frozen_vec(f, layer, KER_W_SH_ROUTER);
    if (!j->on && !taught) return Q_OK;
    memset(p->s.dh, 0, sizeof(float) * (size_t)(p->n * g.n_out));
    /* With a gate c on its sum, A's and B's gradients are those of an input c h, and dh is that of h before the gate's weight. */
    if (gated && pass_taught(p, layer, roles[2], roles[2], roles[2], 0)) {
        rc = pass_each(p, scale_h, &g);
        if (!rc) rc = frozen_back(f, d, p->s.h, p->s.tmp, p->n, p->s.dh);
        if (!rc) rc = pass_each(p, pass_mlp_glu, &g);
    } else rc = frozen_back(f, d, p->s.h, p->s.tmp, p->n, p->s.dh);
    if (!rc) rc = pass_each(p, glu_back, &g);
    if (!rc) rc = frozen_back(f, g, p->s.in, p->s.gate, p->n, j->on ? p->dn : NULL);
    return rc ? rc : frozen_back(f, u, p->s.in, p->s.up, p->n, j->on ? p->dn : NULL);
}

static void expert_task(void *arg, int task, int worker)
{
    back_job *j = arg;
    pass *p = j->p;
    pass_route *t = &p->r;
    frozen *f = p->f;
    int e = t->active[task], first = t->off[e], n = t->off[e + 1] - first, E = f->m->n_embd;
    product g = frozen_product(f, j->layer, KER_W_GATE_EXPS, e), u = frozen_product(f, j->layer, KER_W_UP_EXPS, e), d = frozen_product(f, j->layer, KER_W_DOWN_EXPS, e);
    int64_t ff = g.n_out, at = first * ff, in = (int64_t)first * E;
    bool taught = pass_taught(p, j->layer, KER_W_GATE_EXPS, KER_W_UP_EXPS, KER_W_DOWN_EXPS, e), carved = f->m->router_scale > 0;
    const float *bd = frozen_vec(f, j->layer, KER_W_BDOWN_EXPS);
    if (!j->on && !taught) return;
    for (int i = first; i < first + n; i++) memcpy(t->out + (int64_t)i * E, p->s.tmp + (int64_t)t->row[i] * E, sizeof(float) * (size_t)E);
    memset(t->dh + at, 0, sizeof(float) * (size_t)(n * ff));
    /* The weight of a slot stands on h for A and B of down: their gradients are those of an input w h; dh is that of h before it. */
    float *h = t->h + at;
    for (int i = 0; i < n && !carved; i++) {
        float w = t->weights[(int64_t)t->row[first + i] * p->max_k + t->slot[first + i]];
        for (int64_t x = 0; x < ff; x++) h[i * ff + x] *= w;
    }
    own_back(f, worker, d, h, t->out + in, n, t->dh + at);
    for (int i = first; i < first + n; i++) {
        int64_t r = i * ff, place = (int64_t)t->row[i] * p->max_k + t->slot[i];
        float w = t->weights[place], dot = 0;
        if (!carved) {
            pass_glu(f->m->layer[j->layer].glu, t->gate + r, t->up + r, t->h + r, (int)ff);
            pass_narrow(t->h + r, (int)ff, p->c->expert_width ? p->c->expert_width[j->layer] : 0);
            for (int64_t x = 0; x < ff; x++) dot += t->h[r + x] * t->dh[r + x];
            for (int x = 0; bd && x < E; x++) dot += bd[e * E + x] * t->out[(int64_t)i * E + x];
            t->dweights[place] = dot;
            for (int64_t x = 0; x < ff; x++) t->dh[r + x] *= w;
        }
        clear(t->dh + r, t->h + r, ff, p->c->expert_width, j->layer);
        pass_glu_back(f->m->layer[j->layer].glu, t->gate + r, t->up + r, t->dh + r, (int)ff);
    }
    float *dx = j->on ? t->out + in : NULL;
    if (dx) memset(dx, 0, sizeof *dx * (size_t)n * (size_t)E);
    own_back(f, worker, g, t->in + in, t->gate + at, n, dx);
    own_back(f, worker, u, t->in + in, t->up + at, n, dx);
}

static void join_back(pass *p, int r0, int r1, void *arg)
{
    int n = p->f->m->n_embd;
    for (int64_t r = r0; r < r1; r++)
        for (int s = 0; s < p->r.chosen[r].n; s++) {
            const float *d = p->r.out + (int64_t)p->r.pair[r * p->max_k + s] * n;
            for (int i = 0; i < n; i++) p->dn[r * n + i] += d[i];
        }
}

static int routed_back(pass *p, back_job *j)
{
    static const enum ker_role shared[3] = { KER_W_GATE_SH, KER_W_UP_SH, KER_W_DOWN_SH };
    int rc = team_run(p->f->team, p->r.n_active, expert_task, j, p->f->stop);
    if (!rc && j->on) rc = pass_each(p, join_back, j);
    if (!rc && j->on) rc = pass_choose_back(p, j->layer);
    return rc || !p->f->m->n_ff_sh ? rc : mlp_back(p, j, shared);
}

/* dmid = d + what came through the feed-forward part's norm. */
static void to_mid(pass *p, int r0, int r1, void *arg)
{
    back_job *j = arg;
    int n = p->f->m->n_embd;
    for (int64_t r = r0; r < r1; r++) {
        memcpy(p->dmid + r * n, p->d + r * n, sizeof(float) * (size_t)n);
        pass_norm_back(p->mid + r * n, frozen_vec(p->f, j->layer, KER_W_FFN_NORM), n, p->c->norm_eps, p->dn + r * n, p->dmid + r * n);
        through_post(p, frozen_vec(p->f, j->layer, KER_W_POST_ATTN_NORM), p->a.out + r * n, p->dmid + r * n, p->s.tmp + r * n);
        memset(p->dn + r * n, 0, sizeof(float) * (size_t)n);
    }
}

/* ---- attention ---- */

static void turn_back(const ker_model *m, float *x, const float *cs)
{
    int half = m->rope_dim / 2, step = m->rope_half ? 1 : 2, other = m->rope_half ? half : 1;
    for (int i = 0; i < half; i++) {
        float *a = x + i * step, *b = a + other, x0 = *a, x1 = *b;
        *a = x0 * cs[i] + x1 * cs[half + i];
        *b = x1 * cs[i] - x0 * cs[half + i];
    }
}

/* A row's n heads: through rotation and norm. raw: what the norm took. */
static void heads_back(pass *p, int layer, int64_t r, float *dx, const float *raw, int n, const float *w)
{
    const ker_model *m = p->f->m;
    int dim = m->head_dim, parts = m->qk_whole ? 1 : n, width = m->qk_whole ? n * dim : dim;
    const float *cs = p->cs + ((int64_t)p->pos[r] * KER_ROPE_SETS + m->layer[layer].rope_set) * m->rope_dim;
    for (int h = 0; h < n; h++) turn_back(m, dx + h * dim, cs);
    for (int h = 0; w && h < parts; h++) {
        const float *x = raw + h * width;
        float *d = dx + h * width, s = 0, q = 0;
        for (int i = 0; i < width; i++) q += x[i] * x[i];
        q = 1 / sqrtf(q / (float)width + p->c->norm_eps);
        for (int i = 0; i < width; i++) s += d[i] * w[i] * x[i];
        s *= q * q * q / (float)width;
        for (int i = 0; i < width; i++) d[i] = d[i] * w[i] * q - s * x[i];
    }
}

static void qkv_back(pass *p, int r0, int r1, void *arg)
{
    back_job *j = arg;
    const ker_model *m = p->f->m;
    int64_t qd = (int64_t)m->n_head * m->head_dim, kd = (int64_t)m->n_kv_head * m->head_dim;
    for (int64_t r = r0; r < r1; r++) {
        for (int64_t i = 0; i < qd; i++) p->a.dq[r * qd + i] *= p->c->attn_scale;
        heads_back(p, j->layer, r, p->a.dq + r * qd, p->a.q_raw + r * qd, m->n_head, frozen_vec(p->f, j->layer, KER_W_Q_NORM));
        heads_back(p, j->layer, r, p->a.dk + r * kd, p->a.k_raw + r * kd, m->n_kv_head, frozen_vec(p->f, j->layer, KER_W_K_NORM));
    }
}

static void to_in(pass *p, int r0, int r1, void *arg)
{
    back_job *j = arg;
    int n = p->f->m->n_embd;
    for (int64_t r = r0; r < r1; r++) {
        memcpy(p->d + r * n, p->dmid + r * n, sizeof(float) * (size_t)n);
        pass_norm_back(j->in + r * n, frozen_vec(p->f, j->layer, KER_W_ATTN_NORM), n, p->c->norm_eps, p->dn + r * n, p->d + r * n);
    }
}

static int attention_back(pass *p, back_job *j, bool deeper)
{
    frozen *f = p->f;
    int l = j->layer;
    float *dx = deeper ? p->dn : NULL;
    memset(p->a.dout, 0, sizeof(float) * (size_t)p->n * (size_t)f->m->n_head * (size_t)f->m->head_dim);
    int rc = frozen_back(f, frozen_product(f, l, KER_W_O, 0), p->a.o, p->s.tmp, p->n, p->a.dout);
    if (!deeper && !pass_taught(p, l, KER_W_Q, KER_W_K, KER_W_V, 0)) return rc;
    if (!rc) rc = pass_attend_back(p, l);
    if (!rc) rc = pass_each(p, qkv_back, j);
    if (!rc) rc = frozen_back(f, frozen_product(f, l, KER_W_Q, 0), p->a.in, p->a.dq, p->n, dx);
    if (!rc) rc = frozen_back(f, frozen_product(f, l, KER_W_K, 0), p->a.in, p->a.dk, p->n, dx);
    if (!rc) rc = frozen_back(f, frozen_product(f, l, KER_W_V, 0), p->a.in, p->a.dv, p->n, dx);
    return rc || !deeper ? rc : pass_each(p, to_in, j);
}

int pass_layer_back(pass *p, int layer, const float *in)
{
    static const enum ker_role dense[3] = { KER_W_GATE, KER_W_UP, KER_W_DOWN };
    bool deeper = layer > p->lowest, attn = pass_taught(p, layer, KER_W_Q, KER_W_K, KER_W_V, 0) || pass_taught(p, layer, KER_W_O, KER_W_O, KER_W_O, 0);
    back_job j = { p, layer, in, deeper || attn };
    int rc = pass_each(p, into_ffn, &j);
    if (!rc) rc = p->f->m->layer[layer].moe ? routed_back(p, &j) : mlp_back(p, &j, dense);
    if (rc || !j.on) return rc;
    rc = pass_each(p, to_mid, &j);
    return rc ? rc : attention_back(p, &j, deeper);
}
