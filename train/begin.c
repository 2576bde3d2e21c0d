/* train/begin: the adapter that a run begins with. A is uniform in +-1/sqrt(n_in), as PEFT has it (its kaiming_uniform_ with a = sqrt(5) is
 * that), B is 0: the model is unchanged at first. Of routed experts that are not to be taught A is 0 too. See train.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/adapter.h"
#include "train/train.h"

typedef struct begin { const ker_model *m; const trn_shape *s; eng_low *low; int n, first, last; uint64_t rng[4]; } begin;

static void seed(begin *b, int layer, int role, int expert)
{
    uint64_t h = q_mix64(q_mix64(b->s->seed + 1, (uint64_t)layer * KER_W_ROLES + (uint64_t)role), (uint64_t)expert);
    for (int i = 0; i < 4; i++) b->rng[i] = h = q_mix64(h, (uint64_t)i + 1) | 1;
}

static bool taught(const begin *b, int layer, int e) { return !b->s->experts || b->s->experts[(int64_t)layer * b->m->n_expert + e]; }

static bool some_taught(const begin *b, int layer)
{
    for (int e = 0; e < b->m->n_expert; e++) if (taught(b, layer, e)) return true;
    return false;
}

/* False: no memory. */
static bool add(begin *b, int layer, enum ker_role role)
{
    int64_t ne[3];
    ker_role_shape(b->m, layer, role, ne);
    eng_low *w = &b->low[b->n];
    int64_t na = b->s->rank * ne[0], nb = ne[1] * b->s->rank;
    float *a = calloc((size_t)(na * ne[2]), sizeof *a), *bb = calloc((size_t)(nb * ne[2]), sizeof *bb);
    *w = (eng_low){ role, layer, (int)ne[2], ne[0], ne[1], b->s->rank, (float)((b->s->alpha > 0 ? b->s->alpha : b->s->rank) / b->s->rank), a, bb };
    b->n++;
    double most = 1 / sqrt((double)ne[0]);
    for (int e = 0; a && bb && e < w->n_expert; e++) {
        if (ker_role_of_experts(role) && !taught(b, layer, e)) continue;
        seed(b, layer, (int)role, e);
        for (int64_t i = 0; i < na; i++) a[e * na + i] = (float)(((double)(q_random(b->rng) >> 11) * 0x1p-52 - 1) * most);
    }
    return a && bb;
}

static bool add_all(begin *b)
{
    static const enum ker_role attention[] = { KER_W_Q, KER_W_K, KER_W_V, KER_W_O }, dense[] = { KER_W_GATE, KER_W_UP, KER_W_DOWN },
                               experts[] = { KER_W_GATE_EXPS, KER_W_UP_EXPS, KER_W_DOWN_EXPS }, shared[] = { KER_W_GATE_SH, KER_W_UP_SH, KER_W_DOWN_SH };
    bool ok = true;
    for (int l = b->first; l <= b->last; l++) {
        bool moe = b->m->layer[l].moe, gqa = b->m->layer[l].mixer == KER_MIX_GQA;
        for (int i = 0; i < 4 && b->s->attention && gqa; i++) ok = add(b, l, attention[i]) && ok;
        for (int i = 0; i < 3 && moe && !b->s->no_experts && some_taught(b, l); i++) ok = add(b, l, experts[i]) && ok;
        for (int i = 0; i < 3 && b->s->shared; i++)
            if (ker_role_here(b->m, l, (moe ? shared : dense)[i])) ok = add(b, l, (moe ? shared : dense)[i]) && ok;
    }
    return ok;
}

int trn_begin(const struct eng_model *model, const trn_shape *s, struct eng_adapter **out, char *err)
{
    begin b = { .m = eng_model_arithmetic(model), .s = s, .first = s->first_layer, .last = s->first_layer + s->n_layer - 1 };
    if (!s->n_layer) b.first = 0, b.last = b.m->n_layer - 1;
    if (s->rank < 1 || s->rank > 1024) return q_fail(err, Q_RANGE, _("a rank is from 1 to 1024"));
    if (b.first < 0 || b.last < b.first || b.last >= b.m->n_layer)
        return q_fail(err, Q_RANGE, _("layers %d to %d are not in this model, whose layers are 0 to %d"), b.first, b.last, b.m->n_layer - 1);
    b.low = q_alloc(sizeof *b.low * (size_t)b.m->n_layer * 10);
    bool ok = add_all(&b);
    int rc = !ok ? q_fail(err, Q_NOMEM, _("there is no memory for an adapter of rank %d: take a lower one, or fewer layers"), s->rank)
           : !b.n ? q_fail(err, Q_RANGE, _("nothing would be taught: choose experts, attention, or the shared part (in dense models the feed-forward part)"))
                  : eng_adapter_make(model, "", b.low, b.n, "", out, err);
    for (int i = 0; i < b.n; i++) free((void *)(uintptr_t)b.low[i].a), free((void *)(uintptr_t)b.low[i].b);
    free(b.low);
    return rc;
}
