/* kernels/cpu/dev: a device of the CPU backend: the model's description, its weights as they lie in the
 * caller's memory (norms and biases decoded), the worker pool and each worker's scratch.
 * One caller thread; nothing here runs during a batch. */
#include "kernels/cpu/dev.h"

#include <stdlib.h>
#include <string.h>

const ker_can *ker_cpu_can(void)
{
    static const ker_can can = { .mixers = 1u << KER_MIX_GQA | 1u << KER_MIX_MLA | 1u << KER_MIX_DELTA, .glus = (1u << KER_GLUS) - 1,
                                 .biases = KER_BIAS_QKV | KER_BIAS_O | KER_BIAS_ROUTER | KER_BIAS_EXPERTS, .groups = true,
                                 .window = true, .sinks = true, .post_norms = true, .rope_sets = KER_ROPE_SETS, .q_gate = true, .qk_whole = true, .scales = true, .next = true };
    return &can;
}

int dev_open(const ker_model *m, int n_threads, const ker_hold *hold, ker_dev **out, char *err)
{
    int rc = ker_model_check(m, ker_cpu_can(), err);
    if (rc) return rc;
    ker_dev *d = q_alloc(sizeof *d);
    d->m = *m;
    ker_layer *layer = q_alloc(sizeof *layer * (size_t)m->n_layer);
    memcpy(layer, m->layer, sizeof *layer * (size_t)m->n_layer);
    d->m.layer = layer;
    d->hold = hold ? *hold : (ker_hold){ 0 };
    if (d->hold.no_experts) {
        bool *copy = q_alloc(sizeof *copy * (size_t)m->n_layer);
        memcpy(copy, hold->no_experts, sizeof *copy * (size_t)m->n_layer);
        d->hold.no_experts = copy;
    }
    d->layer = q_alloc(sizeof *d->layer * (size_t)(m->n_layer + 1));
    d->order = q_alloc(sizeof *d->order * (size_t)m->n_layer);
    for (int i = 0, cells = 0, recurrent = 0; i < m->n_layer; i++) d->order[i] = layer[i].mixer == KER_MIX_DELTA ? recurrent++ : cells++;
    d->v = vec_get();
    d->pairs_cap = m->n_expert > FFN_PAIRS ? m->n_expert : FFN_PAIRS;
    d->pool = pool_new_most(n_threads);
    if (!d->pool) {
        dev_close(d);
        return q_fail(err, Q_NOMEM, _("no memory for what threads compute with: close other programs and try again"));
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
        d->scratch[i] = act_alloc((size_t)d->scratch_bytes);
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
    free(d->order);
    free((void *)(uintptr_t)d->m.layer);
    free((void *)(uintptr_t)d->hold.no_experts);
    free(d);
}

int dev_set_threads(ker_dev *d, int n)
{
    if (n <= 0) n = pool_cores();
    pool *p = n == pool_threads(d->pool) ? NULL : pool_new(n);
    if (!p) return pool_threads(d->pool);          /* keep what runs: slower, never wrong */
    bool made = d->scratch != NULL;
    scratch_free(d);
    pool_free(d->pool);
    d->pool = p;
    if (made) scratch_make(d);
    return pool_threads(d->pool);
}

/* [n][m] from [m][n], which is freed. */
static float *turned(float *f, int64_t n, int64_t m)
{
    float *t = q_alloc(sizeof *t * (size_t)(n * m));
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m; j++) t[i * m + j] = f[j * n + i];
    free(f);
    return t;
}

int dev_weight(ker_dev *d, int layer, enum ker_role role, const ker_weight *w, char *err)
{
    const ker_role_row *row = ker_role_get(role);
    bool elsewhere = d->source.acquire && row && row->ne[2] == KER_DIM_EXPERT;
    int rc = ker_weight_check(&d->m, layer, role, w, elsewhere, err);
    if (rc) return rc;
    layer_w *l = dev_layer(d, layer);
    l->w[role] = (mat){ .type = w->type, .n_in = w->ne[0], .n_out = w->ne[1], .data = w->data, .row_bytes = ker_row_bytes(w->type, w->ne[0]) };
    l->apart[role] = w->stride ? w->stride : w->ne[1] * l->w[role].row_bytes;
    if (row->vec) {
        float *f = q_alloc(sizeof(float) * (size_t)(w->ne[0] * w->ne[1]));
        ker_type_get(w->type)->decode(w->data, f, w->ne[0] * w->ne[1]);
        free(l->vec[role]);
        l->vec[role] = role == KER_W_D_CONV ? turned(f, w->ne[0], w->ne[1]) : f;
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
    if (d->m.router_scale <= 0 || w->n_in != ker_type_get(w->type)->block || mat_terms(w->type) > 2) return Q_OK;
    uint8_t *p = malloc((size_t)(rows * n * bytes));
    if (!p) return q_fail(err, Q_NOMEM, _("no memory to rearrange the experts: close something or take a smaller model"));
    for (int64_t e = 0; e < n; e++)
        for (int64_t o = 0; o < rows; o++)
            memcpy(p + (o * n + e) * bytes, w->data + e * l->apart[KER_W_DOWN_EXPS] + o * bytes, (size_t)bytes);
    l->merged = (mat){ .type = w->type, .n_in = w->n_in * n, .n_out = rows, .data = p, .row_bytes = bytes * n };
    return Q_OK;
}

int dev_source(ker_dev *d, const ker_source *s, char *err)
{
    if (d->scratch_bytes) return q_fail(err, Q_ERR, _("a source of experts must be given before the weights"));
    if (d->m.router_scale > 0)
        return q_fail(err, Q_RANGE, _("a carved model's experts are small and used as one matrix: they cannot be fetched one by one"));
    d->source = *s;
    return Q_OK;
}

static bool has_weight(const void *dev, int layer, enum ker_role role) { return dev_layer(dev, layer)->w[role].n_out > 0; }

int dev_ready(ker_dev *d, int64_t floats, char *err)
{
    int rc = ker_weights_whole(&d->m, &d->hold, has_weight, d, err);
    for (int i = 0; i < d->m.n_layer && !rc; i++) {
        layer_w *l = dev_layer(d, i);
        if (d->m.layer[i].moe && l->w[KER_W_DOWN_EXPS].data && !l->merged.data) rc = merge_down(d, l, err);
    }
    if (rc) return rc;
    d->scratch_bytes = (MAT_SCRATCH + floats * 4 + 63) & ~INT64_C(63);
    scratch_free(d);
    scratch_make(d);
    return Q_OK;
}
