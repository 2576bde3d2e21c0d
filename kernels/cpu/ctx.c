/* kernels/cpu/ctx: a context: the buffers of a batch, the configurations of its rows, and the way to the
 * device's pool. One caller thread; buffers are made here and nowhere between begin and end. */
#include "kernels/cpu/ctx.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int ctx_run(ker_ctx *c, int n_tasks, pool_fn fn, void *arg)
{
    if (c->state) return c->state;
    int rc = pool_run(c->dev->pool, n_tasks, fn, arg, c->cancel);
    if (rc) c->state = rc;
    return rc;
}

/* Parts follow each other, so the first to mark a row is the first that went wrong; workers of one part mark alike. */
void ctx_mark(ker_ctx *c, int row, int layer, enum ker_part part)
{
    uint32_t none = 0;
    atomic_compare_exchange_strong_explicit(&c->bad[row], &none, (uint32_t)part << 16 | (uint32_t)(layer + 1), memory_order_relaxed, memory_order_relaxed);
}

/* ---- buffers ---- */

static float *floats(int64_t rows, int64_t n) { return act_alloc(sizeof(float) * (size_t)(rows * n)); }

static unsigned kinds_of(const ker_dev *d, const enum ker_role *role, int n)
{
    unsigned kinds = 0;
    for (int i = -1; i < d->m.n_layer; i++)
        for (int r = 0; r < n; r++) {
            const mat *w = &dev_layer(d, i)->w[role[r]];
            if (w->n_out) kinds |= 1u << mat_kind(w);
        }
    return kinds;
}
#define KINDS(d, ...) kinds_of(d, (const enum ker_role[]){ __VA_ARGS__ }, sizeof((enum ker_role[]){ __VA_ARGS__ }) / sizeof(enum ker_role))

static bool guess_make(ctx_guess *g, const ker_dev *d, int max_k)
{
    const ker_model *m = &d->m;
    if (!d->source.guess || !m->n_expert) return true;
    *g = (ctx_guess){ .x = floats(1, (int64_t)m->n_embd + m->n_expert + max_k), .ids = act_alloc(sizeof *g->ids * (size_t)(max_k + 1)) };
    return g->x && g->ids && acts_make(&g->act, KINDS(d, KER_W_ROUTER), 1, m->n_embd);
}

/* Buffers of recurrent layers, where there are some. */
static bool delta_make(ctx_delta *d, const ker_dev *dev, int64_t n)
{
    const ker_model *m = &dev->m;
    const ker_delta *k = &m->delta;
    if (ker_cell_layers(m) == m->n_layer) return true;
    int64_t in = 2 * (int64_t)k->n_key * k->key_dim + (int64_t)k->n_value * k->value_dim, out = (int64_t)k->n_value * k->value_dim;
    *d = (ctx_delta){ .in = floats(n, in), .mix = floats(n, in), .z = floats(n, out), .o = floats(n, out), .two = floats(n, 2 * k->n_value), .gates = floats(n, 2 * k->n_value),
                      .zero = floats(1, in), .before = act_alloc(sizeof *d->before * (size_t)n), .after = act_alloc(sizeof *d->after * (size_t)n),
                      .first = act_alloc(sizeof *d->first * (size_t)n), .left = act_alloc(sizeof *d->left * (size_t)n) };
    if (d->zero) memset(d->zero, 0, sizeof(float) * (size_t)in);
    return d->in && d->mix && d->z && d->o && d->two && d->gates && d->zero && d->before && d->after && d->first && d->left
        && acts_make(&d->act, KINDS(dev, KER_W_D_OUT), n, out);
}

static void delta_free(ctx_delta *d)
{
    void *all[] = { d->in, d->mix, d->z, d->o, d->two, d->gates, d->zero, d->before, d->after, d->first, d->left };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    acts_free(&d->act);
}

static void cfg_free(cfg *g)
{
    if (g) free(g->turn);
    free(g);
}

void ctx_free(ker_ctx *c)
{
    if (!c) return;
    for (int i = 0; i < 256; i++) cfg_free(c->cfg[i]);
    void *all[] = { c->att.block, c->x, c->y, c->att.q, c->att.qg, c->att.k, c->att.v, c->att.o, c->att.rope, c->rt.score, c->rt.sh_coef, c->rt.ids, c->rt.weights, c->rt.entropy,
                    c->rt.margin, c->rt.n_slot, c->rt.width, c->ff.h, c->ff.h_sh, c->ff.pair_row, c->ff.pair_pos, c->ff.pair_at, c->ff.slot_at, c->ff.ex_off, c->ff.active,
                    c->out.logits, c->out.hidden, c->out.row, c->out.bad, c->att.part, c->ff.run_y, c->ff.run_scale, c->ff.take, c->ff.id };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    delta_free(&c->delta);
    free(c->rt.guess.x);
    acts_free(&c->rt.guess.act);
    free(c->rt.guess.ids);
    free(c->next.pair);
    acts_free(&c->next.act);
    free(c->low.t);
    free(c->low.e);
    free(c->low.run);
    free((void *)(uintptr_t)c->bad);
    acts_free(&c->in);
    acts_free(&c->att.act);
    acts_free(&c->ff.gather);
    acts_free(&c->ff.h_act);
    acts_free(&c->ff.sh_act);
    free(c);
}

int ctx_new(ker_dev *d, int max_rows, int max_k, const atomic_int *cancel, ker_ctx **out, char *err)
{
    const ker_model *m = &d->m;
    if (max_rows < 1 || max_k < 0 || max_k > m->n_expert)
        return q_fail(err, Q_RANGE, _("a batch of %d rows with %d experts each is not possible here: the model has %d experts"), max_rows, max_k, m->n_expert);
    ker_ctx *c = q_alloc(sizeof *c);
    int64_t n = max_rows, qd = (int64_t)m->n_head * m->head_dim, kd = (int64_t)m->n_kv_head * m->head_dim, od = (int64_t)m->n_head * ker_value_width(m);
    int64_t wide = m->n_ff_sh, slots = (int64_t)m->n_layer * n * max_k, pairs = d->pairs_cap;
    bool merged = false, gated = false;
    for (int i = 0; i < m->n_layer; i++) {
        gated |= m->layer[i].q_gate;
        if (m->layer[i].n_ff > wide) wide = m->layer[i].n_ff;
        merged |= dev_layer(d, i)->merged.data != NULL;
    }
    /* A merged product has one row per token, as wide as all experts. */
    int64_t h_in = merged ? (int64_t)m->n_ff_exp * m->n_expert : m->n_ff_exp, h_rows = merged ? FFN_ROWS : pairs;
    int64_t ffn_rows = n < FFN_ROWS ? n : FFN_ROWS;
    if (!merged && h_rows > ffn_rows * max_k) h_rows = ffn_rows * max_k > m->n_expert ? ffn_rows * max_k : m->n_expert;
    if (merged) h_rows = ffn_rows;
    c->dev = d;
    c->max_rows = max_rows;
    c->max_k = max_k;
    c->cancel = cancel;
    c->att.block = act_alloc(sizeof *c->att.block * (size_t)n);
    c->x = floats(n, m->n_embd);
    c->y = floats(n, m->n_embd);
    c->att.q = floats(n, qd);
    c->att.qg = gated ? floats(n, 2 * qd) : NULL;
    c->att.k = floats(n, kd);
    c->att.v = floats(n, kd);
    c->att.o = floats(n, od);
    c->att.n_rope = 1;
    for (int i = 0; i < m->n_layer; i++)
        if (m->layer[i].rope_set >= c->att.n_rope) c->att.n_rope = m->layer[i].rope_set + 1;
    c->att.rope = floats(n * c->att.n_rope, m->rope_dim);
    c->rt.score = floats(n, m->n_expert);
    c->rt.sh_coef = floats(n, 1);
    c->rt.ids = act_alloc(sizeof *c->rt.ids * (size_t)slots);
    c->rt.weights = act_alloc(sizeof(float) * (size_t)slots);
    c->rt.entropy = floats(m->n_layer, n);
    c->rt.margin = floats(m->n_layer, n);
    c->rt.n_slot = act_alloc(sizeof(int) * (size_t)n);
    c->rt.width = act_alloc(sizeof(int32_t) * (size_t)n);
    c->low.e = act_alloc(sizeof(int) * (size_t)pairs);
    c->ff.h = floats(h_rows, h_in);
    c->ff.h_sh = floats(ffn_rows, wide);
    c->ff.pair_row = act_alloc(sizeof(int) * (size_t)pairs);
    c->ff.pair_pos = act_alloc(sizeof(int) * (size_t)pairs);
    c->ff.pair_at = act_alloc(sizeof(int) * (size_t)pairs);
    c->ff.slot_at = act_alloc(sizeof(int) * (FFN_ROWS + 1));
    c->ff.ex_off = act_alloc(sizeof(int) * (size_t)(m->n_expert + 1));
    c->ff.active = act_alloc(sizeof(int) * (size_t)(m->n_expert + 1));
    c->ff.take = q_alloc(sizeof *c->ff.take * (size_t)(m->n_expert + 1));
    c->ff.id = q_alloc(sizeof *c->ff.id * (size_t)(m->n_expert + 1));
    c->bad = act_alloc(sizeof *c->bad * (size_t)n);
    c->out.row = act_alloc(sizeof *c->out.row * (size_t)n);
    c->out.bad = act_alloc(sizeof *c->out.bad * (size_t)n);
    c->out.logits = floats(n, m->n_vocab);
    c->out.hidden = floats(n, m->n_embd);
    if (m->next) c->next.pair = floats(n, 2 * m->n_embd);
    bool ok = (!m->next || (c->next.pair && acts_make(&c->next.act, 1u << mat_kind(&dev_layer(d, -1)->w[KER_W_NEXT_PROJ]), n, 2 * m->n_embd))) &&
              delta_make(&c->delta, d, n) && guess_make(&c->rt.guess, d, max_k) && (!gated || c->att.qg) && c->att.block && c->x && c->y && c->att.q && c->att.k && c->att.v && c->att.o && c->att.rope &&
              c->rt.score && c->rt.sh_coef && c->rt.ids && c->rt.weights
        && c->rt.entropy && c->rt.margin && c->rt.n_slot && c->rt.width && c->ff.h && c->ff.h_sh && c->ff.pair_row && c->ff.pair_pos && c->ff.pair_at && c->ff.slot_at && c->ff.ex_off
        && c->ff.active && c->ff.take && c->ff.id && c->out.logits && c->out.hidden && c->out.row && c->out.bad && c->bad && c->low.e;
    unsigned exp_in = KINDS(d, KER_W_GATE_EXPS, KER_W_UP_EXPS);
    ok = ok && acts_make(&c->in, exp_in | KINDS(d, KER_W_Q, KER_W_K, KER_W_V, KER_W_Q_A, KER_W_KV_A, KER_W_GATE, KER_W_UP, KER_W_ROUTER, KER_W_GATE_SH,
                                                KER_W_UP_SH, KER_W_SH_ROUTER, KER_W_OUT, KER_W_EMBD, KER_W_D_QKV, KER_W_D_Z, KER_W_D_BETA, KER_W_D_ALPHA, KER_W_D_BA), n, m->n_embd)
        && acts_make(&c->att.act, KINDS(d, KER_W_O), n, m->latent.kv_rank ? (int64_t)m->n_head * m->latent.v : od)
        && (merged || acts_make(&c->ff.gather, exp_in, h_rows, m->n_embd))
        && acts_make(&c->ff.h_act, KINDS(d, KER_W_DOWN_EXPS), h_rows, h_in)
        && (!wide || acts_make(&c->ff.sh_act, KINDS(d, KER_W_DOWN, KER_W_DOWN_SH), ffn_rows, wide));
    if (!ok) {
        ctx_free(c);
        return q_fail(err, Q_NOMEM, _("no memory for batches of %d tokens: close something or take a smaller model"), max_rows);
    }
    *out = c;
    return Q_OK;
}

/* ---- configurations ---- */

static void *take(char **at, const void *src, size_t bytes)
{
    if (!src) return NULL;
    void *p = *at;
    memcpy(p, src, bytes);
    *at += (bytes + 15) & ~(size_t)15;
    return p;
}

int ctx_cfg_put(ker_ctx *c, int slot, const ker_config *k, char *err)
{
    const ker_model *m = &c->dev->m;
    size_t rope = sizeof(float) * (size_t)(m->rope_dim / 2), ks = sizeof(int16_t) * (size_t)m->n_layer;
    size_t per = (size_t)m->n_layer * (size_t)m->n_expert, heads = (size_t)m->n_layer * (size_t)m->n_head;
    size_t ffn = sizeof(int32_t) * (size_t)m->n_layer, low = sizeof(float) * (size_t)(m->n_layer + 1);
    if (slot < 0 || slot > 255 || c->open) return q_fail(err, Q_RANGE, _("configuration slot %d cannot be set now"), slot);
    int rc = ker_config_check(m, c->max_k, k, err);
    if (rc) return rc;
    char *p = q_alloc(sizeof(cfg) + rope + ks + per * 5 + heads + ffn * 2 + rope + 16 * 11 + (size_t)k->n_adapt * (sizeof *k->adapt + low + per * 4 + 16 * 2));
    cfg *n = (cfg *)(void *)p;
    p += (sizeof *n + 15) & ~(size_t)15;
    n->c = *k;
    n->c.rope_freq = take(&p, k->rope_freq, rope);
    n->c.rope_local = take(&p, k->rope_local, rope);
    n->c.k = take(&p, k->k, ks);
    n->c.router_add = take(&p, k->router_add, per * 4);
    n->c.pin = take(&p, k->pin, per);
    n->c.head_off = take(&p, k->head_off, heads);
    n->c.ffn_width = take(&p, k->ffn_width, ffn);
    n->c.expert_width = take(&p, k->expert_width, ffn);
    ker_adapt *adapt = take(&p, k->n_adapt ? k->adapt : NULL, sizeof *adapt * (size_t)k->n_adapt);
    for (int i = 0; i < k->n_adapt; i++) {
        adapt[i].layer = take(&p, k->adapt[i].layer, low);
        adapt[i].expert = take(&p, k->adapt[i].expert, per * 4);
    }
    n->c.adapt = adapt;
    cfg_free(c->cfg[slot]);
    c->cfg[slot] = n;
    return Q_OK;
}
