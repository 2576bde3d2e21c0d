/* train/route: the choice of experts for a pass's rows, by the engine's own rule (ker_choose), pairs sorted by expert, and the way back
 * through the weights of those chosen. Which are chosen counts as constant, and the router's own numbers stay as they are: an expert that
 * is taught must not move the others' traffic. */
#include <string.h>

#include "train/pass.h"

typedef struct route_job { pass *p; int layer; } route_job;
enum { EACH = 16 };

static void choose_task(void *arg, int task, int worker)
{
    route_job *j = arg;
    pass *p = j->p;
    pass_route *t = &p->r;
    const ker_model *m = p->f->m;
    ker_router w = { frozen_vec(p->f, j->layer, KER_W_BROUTER), frozen_vec(p->f, j->layer, KER_W_SELECT_BIAS) };
    float *work = frozen_work(p->f, worker);
    for (int64_t r = (int64_t)task * EACH; r < (int64_t)(task + 1) * EACH && r < p->n; r++) {
        t->chosen[r] = ker_choose(m, p->c, &w, j->layer, t->score + r * m->n_expert, NULL, p->max_k, t->ids + r * p->max_k, t->weights + r * p->max_k, work);
        memcpy(t->gates + r * m->n_expert, work, sizeof(float) * (size_t)m->n_expert);
    }
}

/* Pairs by expert, rows in order; experts with most rows first, so that the last task is a small one. */
static void sort_pairs(pass *p)
{
    pass_route *t = &p->r;
    int n_expert = p->f->m->n_expert;
    memset(t->off, 0, sizeof *t->off * (size_t)(n_expert + 1));
    for (int64_t r = 0; r < p->n; r++)
        for (int s = 0; s < t->chosen[r].n; s++) t->off[t->ids[r * p->max_k + s] + 1]++;
    for (int e = 0; e < n_expert; e++) t->off[e + 1] += t->off[e];
    for (int64_t r = 0; r < p->n; r++)
        for (int s = 0; s < t->chosen[r].n; s++) {
            int at = t->off[t->ids[r * p->max_k + s]]++;
            t->row[at] = (int)r;
            t->slot[at] = s;
            t->pair[r * p->max_k + s] = at;
        }
    memmove(t->off + 1, t->off, sizeof *t->off * (size_t)n_expert);
    t->off[0] = 0;
    t->n_active = 0;
    for (int e = 0; e < n_expert; e++) {
        int n = t->off[e + 1] - t->off[e], i = t->n_active;
        if (!n) continue;
        for (t->n_active++; i > 0 && t->off[t->active[i - 1] + 1] - t->off[t->active[i - 1]] < n; i--) t->active[i] = t->active[i - 1];
        t->active[i] = e;
    }
}

int pass_choose(pass *p, int layer)
{
    route_job j = { p, layer };
    int rc = team_run(p->f->team, (p->n + EACH - 1) / EACH, choose_task, &j, p->f->stop);
    if (!rc) sort_pairs(p);
    return rc;
}

/* A row's gradient of the router's products: w = gate * scale, where scale may be of the sum of the gates chosen. */
static void row_back(const pass *p, int layer, int64_t r)
{
    const pass_route *t = &p->r;
    const ker_model *m = p->f->m;
    int n = m->n_expert;
    const ker_chosen *c = &t->chosen[r];
    const float *gate = t->gates + r * n, *dw = t->dweights + r * p->max_k, *w = t->weights + r * p->max_k;
    const uint16_t *ids = t->ids + r * p->max_k;
    float *ds = t->score + r * n, mean = 0, sum = 0;
    memset(ds, 0, sizeof *ds * (size_t)n);
    for (int s = 0; s < c->n && c->moves; s++) mean += dw[s] * w[s];
    if (c->moves) mean /= m->weights_scale;
    for (int s = 0; s < c->n; s++) ds[ids[s]] = c->scale * (dw[s] - mean);
    if (m->gate == KER_GATE_SOFTMAX) {
        for (int s = 0; s < c->n; s++) sum += ds[ids[s]] * gate[ids[s]];
        for (int e = 0; e < n; e++) ds[e] = gate[e] * (ds[e] - sum);
    } else {
        for (int s = 0; s < c->n; s++) ds[ids[s]] *= gate[ids[s]] * (1 - gate[ids[s]]);
    }
    for (int e = 0; e < n; e++) ds[e] /= p->c->router_temperature;
}

static void back_task(void *arg, int task, int worker)
{
    route_job *j = arg;
    for (int64_t r = (int64_t)task * EACH; r < (int64_t)(task + 1) * EACH && r < j->p->n; r++) row_back(j->p, j->layer, r);
}

int pass_choose_back(pass *p, int layer)
{
    route_job j = { p, layer };
    if (p->f->m->router_scale > 0) return Q_OK;                /* carved: every weight is 1 */
    int rc = team_run(p->f->team, (p->n + EACH - 1) / EACH, back_task, &j, p->f->stop);
    return rc ? rc : frozen_back(p->f, frozen_product(p->f, layer, KER_W_ROUTER, 0), p->s.in, p->r.score, p->n, p->dn);
}
