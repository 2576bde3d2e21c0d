/* train/low: see low.h. */
#include "train/low.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Matrices with a way back. */
static bool trained(const ker_model *m, const eng_low *w)
{
    static const enum ker_role roles[] = { KER_W_Q, KER_W_K, KER_W_V, KER_W_O, KER_W_GATE, KER_W_UP, KER_W_DOWN, KER_W_GATE_EXPS, KER_W_UP_EXPS, KER_W_DOWN_EXPS,
                                           KER_W_GATE_SH, KER_W_UP_SH, KER_W_DOWN_SH };
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (w->role == roles[i]) return w->layer >= 0 && w->layer < m->n_layer;
    return false;
}

static bool any(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) if (x[i] != 0) return true;
    return false;
}

/* Which experts are taught, and where their numbers go. */
static void place(lows *l, low_mat *m, const eng_low *w)
{
    m->first = l->n_param;
    for (int e = 0; e < m->n_expert; e++) {
        int64_t na = m->rank * m->n_in, nb = m->n_out * m->rank;
        bool taught = any(w->a + e * na, na) || any(w->b + e * nb, nb);
        m->at[e] = taught ? m->n_taught++ : -1;
    }
    l->n_param += m->n_taught * m->rank * (m->n_in + m->n_out);
}

static void fill(lows *l, const low_mat *m, const eng_low *w)
{
    int64_t na = m->rank * m->n_in, nb = m->n_out * m->rank;
    for (int e = 0; e < m->n_expert; e++) {
        if (m->at[e] < 0) continue;
        float *to = l->p + m->first + m->at[e] * (na + nb);
        memcpy(to, w->a + e * na, sizeof *to * (size_t)na);
        memcpy(to + na, w->b + e * nb, sizeof *to * (size_t)nb);
    }
}

static int shape_check(const ker_model *m, const eng_low *w, char *err)
{
    int64_t ne[3];
    if (!trained(m, w))
        return q_fail(err, Q_RANGE, _("the adapter changes %s of layer %d, which is not trained here: begin with one of attention and feed-forward matrices"),
                      ker_role_get(w->role) ? _(ker_role_get(w->role)->name) : "?", w->layer);
    ker_role_shape(m, w->layer, w->role, ne);
    if (!ker_role_here(m, w->layer, w->role) || w->n_in != ne[0] || w->n_out != ne[1] || w->n_expert != ne[2] || w->rank < 1)
        return q_fail(err, Q_RANGE, _("the adapter's matrix for %s of layer %d does not fit this model: take the model that it was made for"),
                      _(ker_role_get(w->role)->name), w->layer);
    return Q_OK;
}

int lows_of(const ker_model *m, const eng_adapter *init, lows **out, char *err)
{
    int n, rc = Q_OK;
    const eng_low *w = eng_adapter_lows(init, &n);
    lows *l = q_alloc(sizeof *l);
    l->mat = q_alloc(sizeof *l->mat * (size_t)(n + 1));
    l->find = q_alloc(sizeof *l->find * (size_t)m->n_layer * KER_W_ROLES);
    l->n_layer = m->n_layer;
    l->lowest = m->n_layer;
    for (int i = 0; i < m->n_layer * KER_W_ROLES; i++) l->find[i] = -1;
    for (int i = 0; i < n && !rc; i++) {
        if ((rc = shape_check(m, &w[i], err))) break;
        low_mat *t = &l->mat[l->n++];
        *t = (low_mat){ .role = w[i].role, .layer = w[i].layer, .n_expert = w[i].n_expert, .rank = w[i].rank, .n_in = w[i].n_in, .n_out = w[i].n_out, .scale = w[i].scale };
        t->at = q_alloc(sizeof *t->at * (size_t)t->n_expert);
        place(l, t, &w[i]);
        l->find[t->layer * KER_W_ROLES + t->role] = i;
        if (t->n_taught && t->layer < l->lowest) l->lowest = t->layer;
        if (t->rank > l->rank) l->rank = t->rank;
    }
    if (!rc && !l->n_param) rc = q_fail(err, Q_RANGE, _("the adapter's A are all 0, so nothing in it can learn: begin with one whose A are not"));
    float **arrays[] = { &l->p, &l->g, &l->m, &l->v };
    for (int i = 0; i < 4 && !rc; i++)
        if (!(*arrays[i] = calloc((size_t)l->n_param, sizeof(float))))
            rc = q_fail(err, Q_NOMEM, _("there is no memory for %lld numbers to train: take fewer experts or a lower rank"), (long long)l->n_param);
    for (int i = 0; i < n && !rc; i++) fill(l, &l->mat[i], &w[i]);
    if (rc) lows_drop(l);
    else *out = l;
    return rc;
}

void lows_drop(lows *l)
{
    if (!l) return;
    for (int i = 0; i < l->n; i++) free(l->mat[i].at);
    free(l->mat), free(l->find);
    free(l->p), free(l->g), free(l->m), free(l->v);
    free(l);
}

uint64_t lows_bytes(const lows *l) { return (uint64_t)l->n_param * 4 * sizeof(float); }

low_at lows_at(const lows *l, int layer, enum ker_role role, int e)
{
    int i = layer < 0 ? -1 : l->find[layer * KER_W_ROLES + role];
    const low_mat *m = i < 0 ? NULL : &l->mat[i];
    if (!m || m->at[e] < 0) return (low_at){ .rank = 0 };
    int64_t na = m->rank * m->n_in, at = m->first + m->at[e] * m->rank * (m->n_in + m->n_out);
    return (low_at){ l->p + at, l->p + at + na, l->g + at, l->g + at + na, m->rank, m->scale };
}

int lows_adapter(const lows *l, const float *which, const eng_model *model, const char *name, const char *note, eng_adapter **out, char *err)
{
    eng_low *w = q_alloc(sizeof *w * (size_t)(l->n + 1));
    int rc = Q_OK;
    for (int i = 0; i < l->n && !rc; i++) {
        const low_mat *m = &l->mat[i];
        int64_t na = m->rank * m->n_in, nb = m->n_out * m->rank;
        float *a = calloc((size_t)(m->n_expert * na), sizeof *a), *b = calloc((size_t)(m->n_expert * nb), sizeof *b);
        w[i] = (eng_low){ m->role, m->layer, m->n_expert, m->n_in, m->n_out, m->rank, m->scale, a, b };
        if (!a || !b) rc = q_fail(err, Q_NOMEM, _("there is no memory to write the adapter: close something and try again"));
        for (int e = 0; e < m->n_expert && !rc; e++) {
            if (m->at[e] < 0) continue;
            const float *from = which + m->first + m->at[e] * (na + nb);
            memcpy(a + e * na, from, sizeof *a * (size_t)na);
            memcpy(b + e * nb, from + na, sizeof *b * (size_t)nb);
        }
    }
    if (!rc) rc = eng_adapter_make(model, name, w, l->n, note, out, err);
    for (int i = 0; i < l->n; i++) free((void *)(uintptr_t)w[i].a), free((void *)(uintptr_t)w[i].b);
    free(w);
    return rc;
}

double lows_length(const lows *l)
{
    double sum = 0;
    for (int64_t i = 0; i < l->n_param; i++) sum += (double)l->g[i] * l->g[i];
    return sqrt(sum);
}

void lows_adamw(lows *l, const trn_options *o, double lr)
{
    l->updates++;
    double t = (double)l->updates, b1 = o->beta1, b2 = o->beta2;
    float keep = (float)(1 - lr * o->weight_decay), step = (float)(lr / (1 - pow(b1, t))), root = (float)sqrt(1 - pow(b2, t)), eps = (float)o->eps;
    float f1 = (float)b1, r1 = (float)(1 - b1), f2 = (float)b2, r2 = (float)(1 - b2);
    for (int64_t i = 0; i < l->n_param; i++) {
        float g = l->g[i];
        l->m[i] = f1 * l->m[i] + r1 * g;
        l->v[i] = f2 * l->v[i] + r2 * g * g;
        l->p[i] = l->p[i] * keep - step * l->m[i] / (sqrtf(l->v[i]) / root + eps);
    }
}
