/* kernels/cpu/dev: a device of the CPU backend: the model's description, its weights as they lie in the
 * caller's memory (norms and biases decoded), the worker pool and each worker's scratch.
 * One caller thread; nothing here runs during a batch. */
#include "kernels/cpu/dev.h"

#include <stdlib.h>
#include <string.h>

/* What a role is: its shape in letters, and when it is needed. */
enum { E = 1 /* n_embd */, V /* n_vocab */, QD /* n_head*head_dim */, KD /* n_kv_head*head_dim */, HD /* head_dim */,
       FF /* the layer's n_ff */, X /* n_expert */, FX /* n_ff_exp */, FS /* n_ff_sh */, ONE };
enum { ALWAYS = 1, OPTIONAL, IN_DENSE, IN_MOE, IN_SHARED };
static const struct role { const char *name; unsigned char ne[3], need; bool whole, vec; } roles[KER_W_ROLES] = {
    [KER_W_EMBD] = { "the token embedding", { E, V, ONE }, ALWAYS, true, false },
    [KER_W_OUT_NORM] = { "the output norm", { E, ONE, ONE }, ALWAYS, true, true },
    [KER_W_OUT] = { "the output matrix", { E, V, ONE }, OPTIONAL, true, false },
    [KER_W_ATTN_NORM] = { "the attention norm", { E, ONE, ONE }, ALWAYS, false, true },
    [KER_W_Q] = { "attention Q", { E, QD, ONE }, ALWAYS, false, false },
    [KER_W_K] = { "attention K", { E, KD, ONE }, ALWAYS, false, false },
    [KER_W_V] = { "attention V", { E, KD, ONE }, ALWAYS, false, false },
    [KER_W_O] = { "the attention output", { QD, E, ONE }, ALWAYS, false, false },
    [KER_W_BQ] = { "the bias of Q", { QD, ONE, ONE }, OPTIONAL, false, true },
    [KER_W_BK] = { "the bias of K", { KD, ONE, ONE }, OPTIONAL, false, true },
    [KER_W_BV] = { "the bias of V", { KD, ONE, ONE }, OPTIONAL, false, true },
    [KER_W_Q_NORM] = { "the norm of Q", { HD, ONE, ONE }, OPTIONAL, false, true },
    [KER_W_K_NORM] = { "the norm of K", { HD, ONE, ONE }, OPTIONAL, false, true },
    [KER_W_FFN_NORM] = { "the feed-forward norm", { E, ONE, ONE }, ALWAYS, false, true },
    [KER_W_GATE] = { "the feed-forward gate", { E, FF, ONE }, IN_DENSE, false, false },
    [KER_W_UP] = { "the feed-forward up", { E, FF, ONE }, IN_DENSE, false, false },
    [KER_W_DOWN] = { "the feed-forward down", { FF, E, ONE }, IN_DENSE, false, false },
    [KER_W_ROUTER] = { "the router", { E, X, ONE }, IN_MOE, false, false },
    [KER_W_SELECT_BIAS] = { "the selection bias", { X, ONE, ONE }, OPTIONAL, false, true },
    [KER_W_GATE_EXPS] = { "the experts' gate", { E, FX, X }, IN_MOE, false, false },
    [KER_W_UP_EXPS] = { "the experts' up", { E, FX, X }, IN_MOE, false, false },
    [KER_W_DOWN_EXPS] = { "the experts' down", { FX, E, X }, IN_MOE, false, false },
    [KER_W_GATE_SH] = { "the shared expert's gate", { E, FS, ONE }, IN_SHARED, false, false },
    [KER_W_UP_SH] = { "the shared expert's up", { E, FS, ONE }, IN_SHARED, false, false },
    [KER_W_DOWN_SH] = { "the shared expert's down", { FS, E, ONE }, IN_SHARED, false, false },
    [KER_W_SH_ROUTER] = { "the shared expert's router", { E, ONE, ONE }, OPTIONAL, false, false },
};

static int64_t letter(const ker_model *m, int layer, int what)
{
    switch (what) {
    case E: return m->n_embd;
    case V: return m->n_vocab;
    case QD: return (int64_t)m->n_head * m->head_dim;
    case KD: return (int64_t)m->n_kv_head * m->head_dim;
    case HD: return m->head_dim;
    case FF: return layer >= 0 ? m->layer[layer].n_ff : 0;
    case X: return m->n_expert;
    case FX: return m->n_ff_exp;
    case FS: return m->n_ff_sh;
    default: return 1;
    }
}

int dev_open(const ker_model *m, int n_threads, ker_dev **out, char *err)
{
    bool moe = false;
    for (int i = 0; i < m->n_layer; i++) moe |= m->layer[i].moe;
    if (m->n_layer < 1 || m->n_embd < 1 || m->n_vocab < 1 || m->n_head < 1 || m->n_kv_head < 1 || m->head_dim < 1
        || m->n_head % m->n_kv_head || m->rope_dim < 0 || m->rope_dim > m->head_dim || m->rope_dim % 2
        || (moe && (m->n_expert < 1 || m->n_expert >= KER_NO_EXPERT || m->n_ff_exp < 1)))
        return q_fail(err, Q_FORMAT, _("the model's shape makes no sense (layers %d, width %d, heads %d/%d of %d, experts %d): get another copy of the file"),
                      m->n_layer, m->n_embd, m->n_head, m->n_kv_head, m->head_dim, m->n_expert);
    ker_dev *d = q_alloc(sizeof *d);
    d->m = *m;
    ker_layer *layer = q_alloc(sizeof *layer * (size_t)m->n_layer);
    memcpy(layer, m->layer, sizeof *layer * (size_t)m->n_layer);
    d->m.layer = layer;
    d->layer = q_alloc(sizeof *d->layer * (size_t)(m->n_layer + 1));
    d->v = vec_get();
    d->pairs_cap = m->n_expert > FFN_PAIRS ? m->n_expert : FFN_PAIRS;
    d->pool = pool_new(n_threads);
    if (!d->pool) {
        dev_close(d);
        return q_fail(err, Q_NOMEM, _("cannot start %d threads: use fewer (threads)"), n_threads);
    }
    *out = d;
    return Q_OK;
}

static void scratch_free(ker_dev *d)
{
    for (int i = 0; d->scratch && i < pool_threads(d->pool); i++) free(d->scratch[i]);
    free(d->scratch);
    d->scratch = NULL;
}

static void scratch_make(ker_dev *d)
{
    int n = pool_threads(d->pool);
    d->scratch = q_alloc(sizeof *d->scratch * (size_t)n);
    for (int i = 0; i < n; i++) {
        d->scratch[i] = aligned_alloc(64, (size_t)d->scratch_bytes);
        if (!d->scratch[i]) abort();               /* a megabyte a thread: as q_alloc */
    }
}

void dev_close(ker_dev *d)
{
    if (!d) return;
    scratch_free(d);
    pool_free(d->pool);
    for (int i = 0; i <= d->m.n_layer; i++) {
        for (int r = 0; r < KER_W_ROLES; r++) free(d->layer[i].vec[r]);
        free((void *)(uintptr_t)d->layer[i].merged.data);
    }
    free(d->layer);
    free((void *)(uintptr_t)d->m.layer);
    free(d);
}

void dev_set_threads(ker_dev *d, int n)
{
    if (n <= 0) n = pool_cores();
    if (n == pool_threads(d->pool)) return;
    pool *p = pool_new(n);
    if (!p) return;                                /* keep what runs: slower, never wrong */
    bool made = d->scratch != NULL;
    scratch_free(d);
    pool_free(d->pool);
    d->pool = p;
    if (made) scratch_make(d);
}

int dev_weight(ker_dev *d, int layer, enum ker_role role, const ker_weight *w, char *err)
{
    if ((unsigned)role >= KER_W_ROLES || layer < -1 || layer >= d->m.n_layer || roles[role].whole != (layer < 0))
        return q_fail(err, Q_ERR, _("a weight was given for layer %d, which has no such place"), layer);
    const struct role *r = &roles[role];
    const ker_type *t = ker_type_get(w->type);
    if (!t || !t->weight)
        return q_fail(err, Q_FORMAT, _("%s of layer %d has type %d, which cannot be computed with: use another quantisation of the model"), _(r->name), layer, w->type);
    int64_t ne[3], rows = 1;
    for (int i = 0; i < 3; i++) {
        ne[i] = letter(&d->m, layer, r->ne[i]);
        if (w->ne[i] != ne[i])
            return q_fail(err, Q_FORMAT, _("%s of layer %d is %lld x %lld x %lld where the model's shape wants dimension %d to be %lld: the file is damaged or of an unknown variant"),
                          _(r->name), layer, (long long)w->ne[0], (long long)w->ne[1], (long long)w->ne[2], i, (long long)ne[i]);
        if (i) rows *= ne[i];
    }
    if (ne[0] < 1 || rows < 1 || ne[0] % t->block)
        return q_fail(err, Q_FORMAT, _("%s of layer %d: rows of %lld do not fill blocks of %s: the file is damaged"), _(r->name), layer, (long long)ne[0], t->name);
    int64_t row_bytes = ker_row_bytes(w->type, ne[0]);
    if (!w->data || w->bytes < (size_t)(row_bytes * rows))
        return q_fail(err, Q_FORMAT, _("%s of layer %d is cut short: get another copy of the file"), _(r->name), layer);
    layer_w *l = dev_layer(d, layer);
    l->w[role] = (mat){ w->type, ne[0], ne[1], w->data, row_bytes };
    if (r->vec) {
        free(l->vec[role]);
        l->vec[role] = q_alloc(sizeof(float) * (size_t)ne[0]);
        t->decode(w->data, l->vec[role], ne[0]);
    }
    return Q_OK;
}

/* Experts as wide as one block of their down rows, each with weight 1, are one matrix whose columns are
 * the experts: [row][expert]. A token's product is then one pass, in which the blocks of experts that do
 * not run meet zeros, and fmaf(d, 0, acc) leaves acc as it is. */
static int merge_down(ker_dev *d, layer_w *l, char *err)
{
    const mat *w = &l->w[KER_W_DOWN_EXPS];
    int64_t n = d->m.n_expert, rows = w->n_out, bytes = w->row_bytes;
    if (d->m.router_scale <= 0 || w->n_in != ker_type_get(w->type)->block) return Q_OK;
    uint8_t *p = malloc((size_t)(rows * n * bytes));
    if (!p) return q_fail(err, Q_NOMEM, _("no memory to rearrange the experts: close something or take a smaller model"));
    for (int64_t e = 0; e < n; e++)
        for (int64_t o = 0; o < rows; o++)
            memcpy(p + (o * n + e) * bytes, w->data + (e * rows + o) * bytes, (size_t)bytes);
    l->merged = (mat){ w->type, w->n_in * n, rows, p, bytes * n };
    return Q_OK;
}

int dev_ready(ker_dev *d, int64_t floats, char *err)
{
    for (int i = -1; i < d->m.n_layer; i++) {
        layer_w *l = dev_layer(d, i);
        bool moe = i >= 0 && d->m.layer[i].moe;
        for (int r = 0; r < KER_W_ROLES; r++) {
            int need = roles[r].need;
            bool wanted = roles[r].whole == (i < 0)
                && (need == ALWAYS || (need == IN_DENSE && !moe) || (need == IN_MOE && moe) || (need == IN_SHARED && moe && d->m.n_ff_sh > 0));
            if (wanted && !l->w[r].data)
                return q_fail(err, Q_FORMAT, _("%s of layer %d is missing: get another copy of the file"), _(roles[r].name), i);
        }
        if (i >= 0 && moe && !l->merged.data) {
            int rc = merge_down(d, l, err);
            if (rc) return rc;
        }
    }
    d->scratch_bytes = (MAT_SCRATCH + floats * 4 + 63) & ~INT64_C(63);
    scratch_free(d);
    scratch_make(d);
    return Q_OK;
}
