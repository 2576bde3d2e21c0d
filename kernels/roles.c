/* kernels/roles: what a weight is for: its shape in the words of the model, where it occurs, and whether a model
 * can do without it. One table for every backend and for the loader. Constant data and pure functions. */
#include "kernels/kernels.h"

/* name, shape, where, needed, vector */
static const ker_role_row rows[KER_W_ROLES] = {
    [KER_W_EMBD] = { N_("the token embedding"), { KER_DIM_EMBD, KER_DIM_VOCAB }, KER_IN_MODEL, true, false },
    [KER_W_OUT_NORM] = { N_("the output norm"), { KER_DIM_EMBD }, KER_IN_MODEL, true, true },
    [KER_W_OUT] = { N_("the output matrix"), { KER_DIM_EMBD, KER_DIM_VOCAB }, KER_IN_MODEL, false, false },
    [KER_W_ATTN_NORM] = { N_("the attention norm"), { KER_DIM_EMBD }, KER_IN_LAYER, true, true },
    [KER_W_Q] = { N_("the attention's Q"), { KER_DIM_EMBD, KER_DIM_QG }, KER_IN_Q, true, false },
    [KER_W_K] = { N_("the attention's K"), { KER_DIM_EMBD, KER_DIM_KV }, KER_IN_GQA, true, false },
    [KER_W_V] = { N_("the attention's V"), { KER_DIM_EMBD, KER_DIM_KV }, KER_IN_GQA, true, false },
    [KER_W_O] = { N_("the attention's output"), { KER_DIM_O, KER_DIM_EMBD }, KER_IN_ATTN, true, false },
    [KER_W_BQ] = { N_("the bias of Q"), { KER_DIM_Q }, KER_IN_BIASED, true, true },
    [KER_W_BK] = { N_("the bias of K"), { KER_DIM_KV }, KER_IN_BIASED, true, true },
    [KER_W_BV] = { N_("the bias of V"), { KER_DIM_KV }, KER_IN_BIASED, true, true },
    [KER_W_Q_NORM] = { N_("the norm of Q"), { KER_DIM_QN }, KER_IN_GQA, false, true },
    [KER_W_K_NORM] = { N_("the norm of K"), { KER_DIM_KN }, KER_IN_GQA, false, true },
    [KER_W_FFN_NORM] = { N_("the feed-forward norm"), { KER_DIM_EMBD }, KER_IN_LAYER, true, true },
    [KER_W_GATE] = { N_("the feed-forward gate"), { KER_DIM_EMBD, KER_DIM_FF }, KER_IN_DENSE, true, false },
    [KER_W_UP] = { N_("the feed-forward up"), { KER_DIM_EMBD, KER_DIM_FF }, KER_IN_DENSE, true, false },
    [KER_W_DOWN] = { N_("the feed-forward down"), { KER_DIM_FF, KER_DIM_EMBD }, KER_IN_DENSE, true, false },
    [KER_W_ROUTER] = { N_("the router"), { KER_DIM_EMBD, KER_DIM_EXPERT }, KER_IN_MOE, true, false },
    [KER_W_SELECT_BIAS] = { N_("the selection bias"), { KER_DIM_EXPERT }, KER_IN_MOE, false, true },
    [KER_W_GATE_EXPS] = { N_("the experts' gate"), { KER_DIM_EMBD, KER_DIM_FF_EXP, KER_DIM_EXPERT }, KER_IN_MOE, true, false },
    [KER_W_UP_EXPS] = { N_("the experts' up"), { KER_DIM_EMBD, KER_DIM_FF_EXP, KER_DIM_EXPERT }, KER_IN_MOE, true, false },
    [KER_W_DOWN_EXPS] = { N_("the experts' down"), { KER_DIM_FF_EXP, KER_DIM_EMBD, KER_DIM_EXPERT }, KER_IN_MOE, true, false },
    [KER_W_GATE_SH] = { N_("the shared expert's gate"), { KER_DIM_EMBD, KER_DIM_FF_SH }, KER_IN_SHARED, true, false },
    [KER_W_UP_SH] = { N_("the shared expert's up"), { KER_DIM_EMBD, KER_DIM_FF_SH }, KER_IN_SHARED, true, false },
    [KER_W_DOWN_SH] = { N_("the shared expert's down"), { KER_DIM_FF_SH, KER_DIM_EMBD }, KER_IN_SHARED, true, false },
    [KER_W_SH_ROUTER] = { N_("the shared expert's router"), { KER_DIM_EMBD }, KER_IN_SHARED, false, false },
    [KER_W_BO] = { N_("the bias of the attention's output"), { KER_DIM_EMBD }, KER_IN_BIASED_O, true, true },
    [KER_W_SINKS] = { N_("the attention sinks"), { KER_DIM_HEADS }, KER_IN_SINKS, true, true },
    [KER_W_POST_ATTN_NORM] = { N_("the norm after attention"), { KER_DIM_EMBD }, KER_IN_POST, true, true },
    [KER_W_POST_FFN_NORM] = { N_("the norm after the feed-forward part"), { KER_DIM_EMBD }, KER_IN_POST, true, true },
    [KER_W_BROUTER] = { N_("the router's bias"), { KER_DIM_EXPERT }, KER_IN_BIASED_ROUTER, true, true },
    [KER_W_BGATE_EXPS] = { N_("the bias of the experts' gate"), { KER_DIM_FF_EXP, KER_DIM_EXPERT }, KER_IN_BIASED_EXPERTS, true, true },
    [KER_W_BUP_EXPS] = { N_("the bias of the experts' up"), { KER_DIM_FF_EXP, KER_DIM_EXPERT }, KER_IN_BIASED_EXPERTS, true, true },
    [KER_W_BDOWN_EXPS] = { N_("the bias of the experts' down"), { KER_DIM_EMBD, KER_DIM_EXPERT }, KER_IN_BIASED_EXPERTS, true, true },
    [KER_W_D_QKV] = { N_("the recurrent layer's Q, K and V"), { KER_DIM_EMBD, KER_DIM_D_IN }, KER_IN_DELTA, true, false },
    [KER_W_D_Z] = { N_("the recurrent layer's gate"), { KER_DIM_EMBD, KER_DIM_D_V }, KER_IN_DELTA, true, false },
    [KER_W_D_BETA] = { N_("the recurrent layer's beta"), { KER_DIM_EMBD, KER_DIM_D_HEADS }, KER_IN_DELTA_TWO, true, false },
    [KER_W_D_ALPHA] = { N_("the recurrent layer's alpha"), { KER_DIM_EMBD, KER_DIM_D_HEADS }, KER_IN_DELTA_TWO, true, false },
    [KER_W_D_BA] = { N_("the recurrent layer's beta and alpha"), { KER_DIM_EMBD, KER_DIM_D_BOTH }, KER_IN_DELTA_PAIRED, true, false },
    [KER_W_D_CONV] = { N_("the recurrent layer's convolution"), { KER_DIM_D_CONV, KER_DIM_D_IN }, KER_IN_DELTA, true, true },
    [KER_W_D_DT] = { N_("the recurrent layer's time step"), { KER_DIM_D_HEADS }, KER_IN_DELTA, true, true },
    [KER_W_D_A] = { N_("the recurrent layer's decay"), { KER_DIM_D_HEADS }, KER_IN_DELTA, true, true },
    [KER_W_D_NORM] = { N_("the recurrent layer's norm"), { KER_DIM_D_HEAD }, KER_IN_DELTA, true, true },
    [KER_W_D_OUT] = { N_("the recurrent layer's output"), { KER_DIM_D_V, KER_DIM_EMBD }, KER_IN_DELTA, true, false },
    [KER_W_Q_A] = { N_("the attention's first Q"), { KER_DIM_EMBD, KER_DIM_Q_RANK }, KER_IN_Q_RANK, true, false },
    [KER_W_Q_A_NORM] = { N_("the norm of the first Q"), { KER_DIM_Q_RANK }, KER_IN_Q_RANK, true, true },
    [KER_W_Q_B] = { N_("the attention's second Q"), { KER_DIM_Q_RANK, KER_DIM_QG }, KER_IN_Q_RANK, true, false },
    [KER_W_KV_A] = { N_("the attention's latent"), { KER_DIM_EMBD, KER_DIM_KV }, KER_IN_MLA, true, false },
    [KER_W_KV_A_NORM] = { N_("the norm of the latent"), { KER_DIM_KV_RANK }, KER_IN_MLA, true, true },
    [KER_W_K_B] = { N_("the heads' K of the latent"), { KER_DIM_NOPE, KER_DIM_KV_RANK, KER_DIM_HEADS }, KER_IN_MLA, true, false },
    [KER_W_V_B] = { N_("the heads' V of the latent"), { KER_DIM_KV_RANK, KER_DIM_V_HEAD, KER_DIM_HEADS }, KER_IN_MLA, true, false },
    [KER_W_NEXT_E_NORM] = { N_("the drafting head's norm of tokens"), { KER_DIM_EMBD }, KER_IN_NEXT, true, true },
    [KER_W_NEXT_H_NORM] = { N_("the drafting head's norm of hidden rows"), { KER_DIM_EMBD }, KER_IN_NEXT, true, true },
    [KER_W_NEXT_PROJ] = { N_("the drafting head's projection"), { KER_DIM_TWO, KER_DIM_EMBD }, KER_IN_NEXT, true, false },
};

const ker_role_row *ker_role_get(enum ker_role role) { return (unsigned)role < KER_W_ROLES ? &rows[role] : NULL; }
bool ker_role_of_experts(enum ker_role role) { return rows[role].ne[2] == KER_DIM_EXPERT || rows[role].where == KER_IN_BIASED_EXPERTS; }

static int64_t width(const ker_model *m, int layer, enum ker_dim d)
{
    switch (d) {
    case KER_DIM_ONE: break;
    case KER_DIM_EMBD: return m->n_embd;
    case KER_DIM_TWO: return 2 * (int64_t)m->n_embd;
    case KER_DIM_VOCAB: return m->n_vocab;
    case KER_DIM_Q: return (int64_t)m->n_head * m->head_dim;
    case KER_DIM_KV: return (int64_t)m->n_kv_head * m->head_dim;
    case KER_DIM_HEAD: return m->head_dim;
    case KER_DIM_FF: return layer >= 0 ? m->layer[layer].n_ff : 0;
    case KER_DIM_EXPERT: return m->n_expert;
    case KER_DIM_FF_EXP: return m->n_ff_exp;
    case KER_DIM_FF_SH: return m->n_ff_sh;
    case KER_DIM_HEADS: return m->n_head;
    case KER_DIM_QG:
        if (layer >= 0 && m->layer[layer].mixer == KER_MIX_MLA) return (int64_t)m->n_head * (m->latent.nope + m->latent.rope);
        return (int64_t)m->n_head * m->head_dim * (layer >= 0 && m->layer[layer].q_gate ? 2 : 1);
    case KER_DIM_QN: return m->qk_whole ? (int64_t)m->n_head * m->head_dim : m->head_dim;
    case KER_DIM_D_IN: return ((int64_t)m->delta.n_key * m->delta.key_dim * 2) + (int64_t)m->delta.n_value * m->delta.value_dim;
    case KER_DIM_D_V: return (int64_t)m->delta.n_value * m->delta.value_dim;
    case KER_DIM_D_HEADS: return m->delta.n_value;
    case KER_DIM_D_BOTH: return 2 * (int64_t)m->delta.n_value;
    case KER_DIM_D_CONV: return m->delta.conv;
    case KER_DIM_D_HEAD: return m->delta.value_dim;
    case KER_DIM_KN: return m->qk_whole ? (int64_t)m->n_kv_head * m->head_dim : m->head_dim;
    case KER_DIM_O: return (int64_t)m->n_head * (layer >= 0 && m->layer[layer].mixer == KER_MIX_MLA ? m->latent.v : m->head_dim);
    case KER_DIM_Q_RANK: return m->latent.q_rank;
    case KER_DIM_KV_RANK: return m->latent.kv_rank;
    case KER_DIM_NOPE: return m->latent.nope;
    case KER_DIM_V_HEAD: return m->latent.v;
    }
    return 1;
}

int ker_role_shape(const ker_model *m, int layer, enum ker_role role, int64_t ne[3])
{
    int n = 0;
    for (int i = 0; i < 3; i++) {
        ne[i] = width(m, layer, rows[role].ne[i]);
        n += rows[role].ne[i] != KER_DIM_ONE;
    }
    return n;
}

bool ker_role_here(const ker_model *m, int layer, enum ker_role role)
{
    if ((unsigned)role >= KER_W_ROLES || layer < -1 || layer >= m->n_layer) return false;
    if (layer < 0) return rows[role].where == KER_IN_MODEL || (m->next && rows[role].where == KER_IN_NEXT);
    const ker_layer *l = &m->layer[layer];
    switch (rows[role].where) {
    case KER_IN_MODEL: case KER_IN_NEXT: return false;
    case KER_IN_LAYER: return true;
    case KER_IN_GQA: return l->mixer == KER_MIX_GQA;
    case KER_IN_DELTA: return l->mixer == KER_MIX_DELTA;
    case KER_IN_DELTA_TWO: return l->mixer == KER_MIX_DELTA && !m->delta.paired;
    case KER_IN_DELTA_PAIRED: return l->mixer == KER_MIX_DELTA && m->delta.paired;
    case KER_IN_ATTN: return l->mixer == KER_MIX_GQA || l->mixer == KER_MIX_MLA;
    case KER_IN_Q: return l->mixer == KER_MIX_GQA || (l->mixer == KER_MIX_MLA && m->latent.q_rank == 0);
    case KER_IN_MLA: return l->mixer == KER_MIX_MLA;
    case KER_IN_Q_RANK: return l->mixer == KER_MIX_MLA && m->latent.q_rank > 0;
    case KER_IN_BIASED: return l->mixer == KER_MIX_GQA && l->biases & KER_BIAS_QKV;
    case KER_IN_BIASED_O: return l->biases & KER_BIAS_O;
    case KER_IN_SINKS: return l->sinks;
    case KER_IN_POST: return l->post_norms;
    case KER_IN_DENSE: return !l->moe;
    case KER_IN_MOE: return l->moe;
    case KER_IN_SHARED: return l->moe && m->n_ff_sh > 0;
    case KER_IN_BIASED_ROUTER: return l->moe && l->biases & KER_BIAS_ROUTER;
    case KER_IN_BIASED_EXPERTS: return l->moe && l->biases & KER_BIAS_EXPERTS;
    }
    return false;
}

int ker_weight_check(const ker_model *m, int layer, enum ker_role role, const ker_weight *w, bool elsewhere, char *err)
{
    if (!ker_role_here(m, layer, role))
        return q_fail(err, Q_ERR, _("a weight was given for layer %d, which has no such place"), layer);
    const char *name = _(rows[role].name);
    const ker_type *t = ker_type_get(w->type);
    if (!t || !t->weight)
        return q_fail(err, Q_FORMAT, _("%s of layer %d has type %d, which cannot be computed with: use another quantisation of the model"), name, layer, w->type);
    int64_t ne[3], n_rows = 1;
    ker_role_shape(m, layer, role, ne);
    for (int i = 0; i < 3; i++) {
        if (w->ne[i] != ne[i])
            return q_fail(err, Q_FORMAT, _("%s of layer %d is %lld x %lld x %lld where the model's shape wants dimension %d to be %lld: the file is damaged or of an unknown variant"),
                          name, layer, (long long)w->ne[0], (long long)w->ne[1], (long long)w->ne[2], i, (long long)ne[i]);
        if (i) n_rows *= ne[i];
    }
    if (ne[0] < 1 || n_rows < 1 || ne[0] % t->block)
        return q_fail(err, Q_FORMAT, _("%s of layer %d: rows of %lld do not fill blocks of %s: the file is damaged"), name, layer, (long long)ne[0], t->name);
    if (!w->data && elsewhere) return Q_OK;
    int64_t one = ker_row_bytes(w->type, ne[0]) * ne[1], apart = w->stride ? w->stride : one;
    if (!w->data || apart < one || w->bytes < (size_t)(apart * (ne[2] - 1) + one))
        return q_fail(err, Q_FORMAT, _("%s of layer %d is cut short: get another copy of the file"), name, layer);
    return Q_OK;
}

bool ker_role_low(enum ker_role role)
{
    const ker_role_row *r = ker_role_get(role);
    return r && !r->vec && role != KER_W_ROUTER && role != KER_W_SH_ROUTER && role != KER_W_NEXT_PROJ;
}

int ker_low_check(const ker_model *m, const ker_low *w, char *err)
{
    int64_t ne[3];
    if ((unsigned)w->role >= KER_W_ROLES || !ker_role_here(m, w->layer, w->role))
        return q_fail(err, Q_RANGE, _("the adapter changes layer %d in a place that this model does not have: it is for another model"), w->layer);
    const char *name = _(rows[w->role].name);
    if (!ker_role_low(w->role))
        return q_fail(err, Q_RANGE, _("the adapter changes %s of layer %d, which is left as it is here: take one without it"), name, w->layer);
    ker_role_shape(m, w->layer, w->role, ne);
    if (w->n_in != ne[0] || w->n_out != ne[1] || w->n_expert != ne[2])
        return q_fail(err, Q_RANGE, _("the adapter's change of %s of layer %d is %lld x %lld x %d, the model's matrix %lld x %lld x %lld: it is for another model"), name, w->layer,
                      (long long)w->n_in, (long long)w->n_out, w->n_expert, (long long)ne[0], (long long)ne[1], (long long)ne[2]);
    if (w->rank < 1 || w->rank > KER_LOW_RANK || !w->a || !w->b)
        return q_fail(err, Q_FORMAT, _("the adapter's change of %s of layer %d has rank %d: 1 to %d are possible"), name, w->layer, w->rank, KER_LOW_RANK);
    return Q_OK;
}

int ker_weights_whole(const ker_model *m, const ker_hold *hold, bool (*has)(const void *user, int layer, enum ker_role role), const void *user, char *err)
{
    for (int layer = -1; layer < m->n_layer; layer++)
        for (int r = 0; r < KER_W_ROLES; r++) {
            bool expert = ker_role_of_experts(r);
            bool elsewhere = hold && (expert ? layer >= 0 && hold->no_experts && hold->no_experts[layer] : hold->no_rest);
            if (rows[r].must && !elsewhere && ker_role_here(m, layer, r) && !has(user, layer, r))
                return q_fail(err, Q_FORMAT, _("%s of layer %d is missing: get another copy of the file"), _(rows[r].name), layer);
        }
    return Q_OK;
}
