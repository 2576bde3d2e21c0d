/* kernels/cpu/route: the router of a layer: scores, the configuration's edits, the choice of experts,
 * their weights, and what the trace keeps (entropy, margin). One row's choice is plain scalar code.
 * Runs between begin and end on the pool; never allocates. */
#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/parts.h"
#include "kernels/cpu/prod.h"

/* Below this a sum of gate values is taken as this: the floor that GLM-4's reference implementation adds
 * to its denominator (transformers, modeling_glm4_moe.py). */
static const float SUM_FLOOR = 1e-20f;

typedef struct route_job { ker_ctx *c; const layer_w *w; int layer, per; } route_job;

static bool better(const float *sel, int a, int b) { return sel[a] > sel[b] || (sel[a] == sel[b] && a < b); }

/* Inserts e into list (best first, at most k long; k may be 0: pins took every slot). */
static int insert(const float *sel, int *list, int n, int k, int e)
{
    assert(n >= 0 && n <= k);
    if (!k) return 0;
    if (n == k && !better(sel, e, list[n - 1])) return n;
    int i = n < k ? n++ : n - 1;
    for (; i > 0 && better(sel, e, list[i - 1]); i--) list[i] = list[i - 1];
    list[i] = e;
    return n;
}

/* gate[e] of every expert, from the scores; a banned one has 0. Returns the entropy of softmax(scores). */
static float gates(const ker_model *m, const vec_ops *ops, const float *s, const bool carved, float *gate)
{
    int n = m->n_expert;
    float top = -INFINITY, sum = 0;
    for (int e = 0; e < n; e++) top = s[e] > top ? s[e] : top;
    if (top == -INFINITY) top = 0;                 /* all NaN or -inf: nothing meaningful, but defined */
    ops->exp(s, top, gate, n);
    for (int e = 0; e < n; e++) sum += gate[e];
    float entropy = 0;                             /* -sum p ln p = ln Z - sum p (s - top) */
    for (int e = 0; e < n; e++) if (gate[e] > 0) entropy -= gate[e] / sum * (s[e] - top);
    entropy = sum > 0 ? entropy + logf(sum) : 0;
    if (carved) for (int e = 0; e < n; e++) gate[e] = 1;
    else if (m->gate == KER_GATE_SOFTMAX) for (int e = 0; e < n; e++) gate[e] = gate[e] / sum;
    else {
        for (int e = 0; e < n; e++) gate[e] = -s[e];
        ops->exp(gate, 0, gate, n);
        for (int e = 0; e < n; e++) gate[e] = 1 / (1 + gate[e]);
    }
    return entropy;
}

/* Which experts may be chosen for k slots: open[e] is cleared outside the groups that count (ker_model.n_group). `value` is
 * the gate value with the selection bias; a group of which nothing is open is never taken. */
static void best_groups(const ker_model *m, int k, const float *value, const float *sel, float *score, uint8_t *open)
{
    int per = m->n_expert / m->n_group, n = 0;
    for (int g = 0; g < m->n_group; g++) {
        float first = -INFINITY, second = -INFINITY;
        bool some = false;
        for (int e = g * per; e < (g + 1) * per; e++) {
            float v = m->group_best > 1 ? value[e] : sel[e];
            some |= open[e] != 0;
            if (v > first) { second = first; first = v; }
            else if (v > second) second = v;
        }
        score[g] = !some ? -INFINITY : m->group_best > 1 && per > 1 ? first + second : first;
        if (some && !(score[g] >= -FLT_MAX)) score[g] = -FLT_MAX;     /* NaN: the last of those that are there */
    }
    uint8_t *taken = open + m->n_expert;
    memset(taken, 0, (size_t)m->n_group);
    for (int used = 0; used < m->n_group && (used < m->n_group_used || n < k); used++) {
        int best = -1;
        for (int g = 0; g < m->n_group; g++)
            if (!taken[g] && score[g] > -INFINITY && (best < 0 || better(score, g, best))) best = g;
        if (best < 0) break;
        taken[best] = 1;
        for (int e = best * per; e < (best + 1) * per; e++) n += open[e] != 0;
    }
    for (int e = 0; e < m->n_expert; e++) open[e] &= taken[e / per];
}

/* The choice of one row: list gets at most k experts, pins first, best first; *n_pin of them are pins. Returns how many.
 * open: experts that are not banned, n_open of them; *margin is set where something was left out. */
static int choose(const ker_model *m, int k, const uint8_t *pin, const float *value, const float *sel, float *score, uint8_t *open, int n_open,
                  int *list, int *n_pin, float *margin)
{
    int n = m->n_expert, n_list = 0, rest = -1;
    *n_pin = 0;
    if (k > n_open) k = n_open;
    for (int e = 0; pin && e < n; e++) {
        if (!pin[e] || !open[e]) continue;
        *n_pin = insert(sel, list, *n_pin, k, e);
        open[e] = 0;
    }
    k -= *n_pin;
    list += *n_pin;
    if (m->n_group > 1) best_groups(m, k, value, sel, score, open);
    for (int e = 0; e < n; e++)
        if (open[e]) n_list = insert(sel, list, n_list, k, e);
    for (int e = 0; n_list && e < n; e++)          /* the best that was not chosen */
        if (open[e] && better(sel, list[n_list - 1], e) && (rest < 0 || better(sel, e, rest))) rest = e;
    if (rest >= 0) *margin = sel[list[n_list - 1]] - sel[rest];
    return *n_pin + n_list;
}

/* Takes chosen experts of little weight out of the list, pins never; at least the heaviest stays. */
static int drop_light(const float *gate, float min_p, int *list, int n_list, int n_pin)
{
    float most = 0;
    int kept = 0;
    for (int i = 0; i < n_list; i++) most = gate[list[i]] > most ? gate[list[i]] : most;
    for (int i = 0; i < n_list; i++)
        if (i < n_pin || !(gate[list[i]] < min_p * most)) list[kept++] = list[i];
    return kept;
}

ker_chosen ker_choose(const ker_model *m, const ker_config *g, const ker_router *w, int layer, float *s, const uint16_t *forced, int max_k, uint16_t *ids,
                      float *weights, float *work)
{
    int n = m->n_expert, *list = (int *)(void *)(work + 3 * n), n_list = 0, n_pin = 0, n_open = 0;
    float *gate = work, *sel = work + n, *value = work + 2 * n;
    uint8_t *open = (uint8_t *)(void *)(work + 5 * n);
    const float *bias = w->select_bias, *add = g->router_add ? g->router_add + (int64_t)layer * n : NULL;
    const uint8_t *pin = g->pin ? g->pin + (int64_t)layer * n : NULL;
    bool carved = m->router_scale > 0;
    ker_chosen c = { .whole = true, .margin = NAN };

    for (int e = 0; e < n; e++) {
        if (w->bias) s[e] += w->bias[e];
        if (carved) s[e] = (bias ? fmaf(4, bias[e], s[e]) : s[e]) / m->router_scale;
        if (add) s[e] += add[e];
        if (add && add[e] == -INFINITY) s[e] = -INFINITY;        /* also where the score was NaN */
        s[e] /= g->router_temperature;
        open[e] = !(add && add[e] == -INFINITY);
        n_open += open[e];
    }
    c.entropy = gates(m, vec_get(), s, carved, gate);
    /* What decides: the score itself where the gate only scales it (softmax would lose near ties). */
    bool by_score = carved || (m->gate == KER_GATE_SOFTMAX && !bias);
    for (int e = 0; e < n; e++) {
        value[e] = bias ? gate[e] + bias[e] : gate[e];
        sel[e] = by_score ? s[e] : value[e];
        bool whole = fabsf(s[e]) <= FLT_MAX && fabsf(sel[e]) <= FLT_MAX;
        c.whole &= whole || !open[e];
        if (sel[e] != sel[e]) sel[e] = -FLT_MAX;
    }

    if (forced && forced[0] != KER_NO_EXPERT) {
        for (; n_list < max_k && forced[n_list] != KER_NO_EXPERT; n_list++) list[n_list] = forced[n_list];
    } else {
        n_list = choose(m, g->k[layer], pin, value, sel, work + 4 * n, open, n_open, list, &n_pin, &c.margin);
        if (g->min_p > 0) n_list = drop_light(gate, g->min_p, list, n_list, n_pin);
    }

    float sum = 0, least = m->sum_floor > 0 ? m->sum_floor : SUM_FLOOR;
    for (int i = 0; i < n_list; i++) sum += gate[list[i]];
    c.scale = carved ? 1 : m->renorm ? m->weights_scale / (sum < least ? least : sum) : m->weights_scale;
    c.moves = !carved && m->renorm && !(sum < least);
    for (int i = 0; i < max_k; i++) {
        ids[i] = i < n_list ? (uint16_t)list[i] : KER_NO_EXPERT;
        weights[i] = i < n_list ? gate[list[i]] * c.scale : 0;
    }
    c.n = n_list;
    return c;
}

static void route_row(route_job *j, int r, float *work)
{
    ker_ctx *c = j->c;
    int64_t at = trace_at(c, j->layer, r), tr = (int64_t)j->layer * c->b.n + r;
    ker_router w = { j->w->vec[KER_W_BROUTER], j->w->vec[KER_W_SELECT_BIAS] };
    ker_chosen k = ker_choose(&c->dev->m, ctx_cfg(c, r), &w, j->layer, c->rt.score + (int64_t)r * c->dev->m.n_expert, c->b.forced ? c->b.forced + at : NULL, c->max_k,
                              c->rt.ids + at, c->rt.weights + at, work);
    c->rt.entropy[tr] = k.entropy;
    c->rt.margin[tr] = k.margin;
    c->rt.n_slot[r] = k.n;
    if (!k.whole) ctx_mark(c, r, j->layer, KER_PART_ROUTE);
}

/* Of one row: gate, selection, both together, list, groups, and two bytes an expert: who is open, which group is taken. */
int64_t ker_choose_floats(const ker_model *m) { return 6 * (int64_t)m->n_expert + 64; }
int64_t route_floats(const ker_model *m) { return ker_choose_floats(m); }

static void route_task(void *arg, int task, int worker)
{
    route_job *j = arg;
    ker_ctx *c = j->c;
    for (int r = task * j->per; r < (task + 1) * j->per && r < c->b.n; r++) {
        route_row(j, r, dev_floats(c->dev, worker));
        if (j->w->w[KER_W_SH_ROUTER].data) {
            float e;
            if (!isfinite(c->rt.sh_coef[r])) ctx_mark(c, r, j->layer, KER_PART_ROUTE);
            c->dev->v->exp(&(float){ -c->rt.sh_coef[r] }, 0, &e, 1);
            c->rt.sh_coef[r] = 1 / (1 + e);
        }
    }
}

/* Tells the source which experts the batch is about to ask for. */
static void route_hint(ker_ctx *c, int layer)
{
    c->dev->source.hint(c->dev->source.user, layer, c->ff.id, moe_distinct(c, layer));
}

enum { GUESS_ROWS = 4 };               /* more want nearly all experts anyway */

static int by_id(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

/* Tells the source what the next routed layer would choose of the rows as they are now: what comes until then changes a row's stream
 * by little. The caller's work: a few rows of one small product. */
static void route_guess(ker_ctx *c, int layer)
{
    const ker_model *m = &c->dev->m;
    int next = layer + 1, n = 0;
    while (next < m->n_layer && !m->layer[next].moe) next++;
    if (next == m->n_layer || c->b.n > GUESS_ROWS || c->b.forced) return;
    const layer_w *w = dev_layer(c->dev, next);
    const mat *r = &w->w[KER_W_ROUTER];
    uint8_t *act = c->rt.guess.act.p[mat_kind(r)];
    ker_router add = { w->vec[KER_W_BROUTER], w->vec[KER_W_SELECT_BIAS] };
    for (int i = 0; i < c->b.n; i++) {
        float *y = c->rt.guess.x, *s = y + m->n_embd;
        c->dev->v->norm(c->x + (int64_t)i * m->n_embd, w->vec[KER_W_FFN_NORM], m->n_embd, ctx_cfg(c, i)->norm_eps, y);
        mat_act(r->type, y, m->n_embd, act);
        mat_mul(r, act, 0, 1, 0, m->n_expert, s, m->n_expert, dev_mat_scratch(c->dev, 0));
        int k = ker_choose(m, ctx_cfg(c, i), &add, next, s, NULL, c->max_k, c->rt.guess.ids, s + m->n_expert, dev_floats(c->dev, 0)).n;
        for (int j = 0; j < k; j++) {
            int seen = 0;
            while (seen < n && c->ff.id[seen] != c->rt.guess.ids[j]) seen++;
            if (seen == n) c->ff.id[n++] = c->rt.guess.ids[j];
        }
    }
    qsort(c->ff.id, (size_t)n, sizeof *c->ff.id, by_id);
    c->dev->source.guess(c->dev->source.user, next, c->ff.id, n);
}

int cpu_route(ker_ctx *c, int layer)
{
    const layer_w *w = dev_layer(c->dev, layer);
    static const enum ker_role readers[] = { KER_W_ROUTER, KER_W_SH_ROUTER, KER_W_GATE_EXPS, KER_W_UP_EXPS, KER_W_GATE_SH, KER_W_UP_SH };
    unsigned kinds = 0;
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (w->w[readers[i]].n_out) kinds |= 1u << mat_kind(&w->w[readers[i]]);
    int n = c->b.n, rc = ctx_norm(c, w->vec[KER_W_FFN_NORM], kinds);
    if (rc) return rc;
    const mat *r = &w->w[KER_W_ROUTER], *sh = &w->w[KER_W_SH_ROUTER];
    prod p[2] = { { .w = r, .act = c->in.p[mat_kind(r)], .act_stride = c->in.stride[mat_kind(r)], .n = n, .y = c->rt.score, .y_stride = r->n_out } };
    if (sh->data) p[1] = (prod){ .w = sh, .act = c->in.p[mat_kind(sh)], .act_stride = c->in.stride[mat_kind(sh)], .n = n, .y = c->rt.sh_coef, .y_stride = 1 };
    rc = ctx_products(c, p, sh->data ? 2 : 1);
    route_job j = { c, w, layer, n <= 4 ? n : 4 };
    rc = rc ? rc : ctx_run(c, (n + j.per - 1) / j.per, route_task, &j);
    if (!rc && c->dev->source.hint) route_hint(c, layer);
    if (!rc && c->dev->source.guess) route_guess(c, layer);
    return rc;
}
