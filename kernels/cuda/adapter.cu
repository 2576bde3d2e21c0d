/* kernels/cuda/adapter: adapters that a device holds and configurations name (ker_low, ker_adapt in kernels.h). A device keeps their
 * numbers once, F32, B turned over so that outputs lie behind one another, and of a routed matrix those experts alone whose B is not
 * all zeros; where what lies is a table in its memory, which kernels read. What they do with it: low.cu. See cuda.h, low.cuh. */
#include "kernels/cuda/low.cuh"

#include <stdlib.h>
#include <string.h>

static int64_t up256(int64_t n) { return (n + 255) & ~(int64_t)255; }

static int64_t table_size(const ker_dev *d) { return (int64_t)(d->m.n_layer + 1) * KER_W_ROLES; }

/* ---- the device's ---- */

static cu_adapters *adapters(ker_dev *d)
{
    if (d->adapters) return d->adapters;
    int64_t n = KER_ADAPTERS * table_size(d);
    cu_low_w *table = (cu_low_w *)cu_alloc(d, sizeof(cu_low_w) * (size_t)n);
    if (!table) return NULL;
    cu_adapters *a = (cu_adapters *)q_alloc(sizeof *a);
    a->table = table;
    a->host = (cu_low_w *)q_alloc(sizeof *a->host * (size_t)n);
    return d->adapters = a;
}

void cu_adapters_free(ker_dev *d)
{
    cu_adapters *a = d->adapters;
    if (!a) return;
    for (int i = 0; i < KER_ADAPTERS; i++) cudaFree(a->mem[i]);
    free(a->host);
    free(a);
    d->adapters = NULL;
}

/* Which experts' B says something: their count, and their place among them, -1: nothing. */
static int kept_of(const ker_low *l, int *at)
{
    int kept = 0;
    int64_t one = l->n_out * l->rank;
    for (int e = 0; e < l->n_expert; e++) {
        const float *b = l->b + e * one;
        int64_t i = 0;
        while (i < one && b[i] == 0) i++;
        at[e] = i < one ? kept++ : -1;
    }
    return kept;
}

/* Bytes of a change on the device: A's of the kept, B's of the kept, the places. */
static int64_t low_bytes(const ker_low *l, int kept, int64_t *b, int64_t *at)
{
    *b = up256((int64_t)kept * l->rank * l->n_in * 4);
    *at = *b + up256((int64_t)kept * l->rank * l->n_out * 4);
    return *at + up256((int64_t)l->n_expert * 4);
}

/* One change into device memory at `to`; w: where its parts lie. False: the device failed. */
static bool low_bring(ker_dev *d, const ker_low *l, const int *at, int kept, uint8_t *to, cu_low_w *w)
{
    int64_t b_at, at_at, bytes = low_bytes(l, kept, &b_at, &at_at);
    uint8_t *image = (uint8_t *)q_alloc((size_t)bytes);
    float *a = (float *)(void *)image, *b = (float *)(void *)(image + b_at);
    for (int e = 0; e < l->n_expert; e++) {
        if (at[e] < 0) continue;
        int64_t one_a = (int64_t)l->rank * l->n_in, one_b = (int64_t)l->rank * l->n_out;
        const float *from = l->b + e * one_b;
        memcpy(a + at[e] * one_a, l->a + e * one_a, (size_t)one_a * 4);
        for (int64_t o = 0; o < l->n_out; o++)
            for (int k = 0; k < l->rank; k++) b[at[e] * one_b + k * l->n_out + o] = from[o * l->rank + k];
    }
    memcpy(image + at_at, at, sizeof(int) * (size_t)l->n_expert);
    bool ok = cu_ok(d, cudaMemcpyAsync(to, image, (size_t)bytes, cudaMemcpyHostToDevice, d->st), "adapter") && cu_ok(d, cudaStreamSynchronize(d->st), "adapter");
    free(image);
    w->a = (const float *)(const void *)to;
    w->b = (const float *)(const void *)(to + b_at);
    w->at = l->n_expert > 1 ? (const int *)(const void *)(to + at_at) : NULL;
    w->rank = l->rank;
    w->scale = l->scale;
    return ok;
}

/* An adapter's part of the table becomes `rows`. */
static bool table_put(ker_dev *d, int adapter, const cu_low_w *rows)
{
    cu_adapters *a = d->adapters;
    int64_t n = table_size(d), at = adapter * n;
    memcpy(a->host + at, rows, sizeof *rows * (size_t)n);
    a->changes++;
    return cu_ok(d, cudaMemcpyAsync(a->table + at, a->host + at, sizeof *rows * (size_t)n, cudaMemcpyHostToDevice, d->st), "adapter")
        && cu_ok(d, cudaStreamSynchronize(d->st), "adapter");
}

/* What every change needs, checked and counted. kept: [n]; at: [n] allocated here, freed by the caller. */
static int lows_look(ker_dev *d, const ker_low *low, int n, int *kept, int **at, int64_t *bytes, char *err)
{
    bool *twice = (bool *)q_alloc((size_t)table_size(d));
    int rc = Q_OK;
    *bytes = 0;
    for (int i = 0; i < n && !rc; i++) {
        int64_t b, places;
        if ((rc = ker_low_check(&d->m, &low[i], err))) break;
        bool *there = &twice[(int64_t)(low[i].layer + 1) * KER_W_ROLES + (int)low[i].role];
        if (*there) rc = q_fail(err, Q_FORMAT, _("the adapter changes %s of layer %d twice: take another copy of it"), _(ker_role_get(low[i].role)->name), low[i].layer);
        *there = true;
        at[i] = (int *)q_alloc(sizeof(int) * (size_t)low[i].n_expert);
        kept[i] = kept_of(&low[i], at[i]);
        if (kept[i]) *bytes += low_bytes(&low[i], kept[i], &b, &places);
    }
    free(twice);
    return rc;
}

int dev_adapter_put(ker_dev *d, int adapter, const ker_low *low, int n, char *err)
{
    if (adapter < 0 || adapter >= KER_ADAPTERS) return q_fail(err, Q_RANGE, _("a device holds %d adapters at most: drop one"), KER_ADAPTERS);
    if (d->why[0]) return q_fail(err, Q_ERR, _("the GPU failed (%s): load the model again with /model or start again, or use --device cpu"), d->why);
    int *kept = (int *)q_alloc(sizeof(int) * (size_t)(n + 1)), **at = (int **)q_alloc(sizeof(int *) * (size_t)(n + 1)), most = 0;
    cu_low_w *rows = (cu_low_w *)q_alloc(sizeof *rows * (size_t)table_size(d));
    int64_t bytes = 0;
    void *mem = NULL;
    cudaSetDevice(d->index);
    int rc = lows_look(d, low, n, kept, at, &bytes, err);
    if (!rc && (!adapters(d) || cudaMalloc(&mem, (size_t)bytes + 256) != cudaSuccess)) {
        cudaGetLastError();
        mem = NULL;
        rc = q_fail(err, Q_NOMEM, _("the GPU's memory has no room for the adapter: drop another, take one of a lower rank, lower context.length, or use --device cpu"));
    }
    uint8_t *to = (uint8_t *)mem;
    bool ok = true;
    for (int i = 0; i < n && !rc && ok; i++) {
        int64_t b, places;
        if (!kept[i]) continue;
        ok = low_bring(d, &low[i], at[i], kept[i], to, &rows[(int64_t)(low[i].layer + 1) * KER_W_ROLES + (int)low[i].role]);
        to += low_bytes(&low[i], kept[i], &b, &places);
        if (low[i].rank > most) most = low[i].rank;
    }
    if (!rc && ok) {
        cudaFree(d->adapters->mem[adapter]);       /* waits for whatever was still at work with it */
        d->adapters->mem[adapter] = mem;
        d->adapters->most[adapter] = most;
        d->adapters->there[adapter] = true;
        mem = NULL;
        ok = table_put(d, adapter, rows);
    }
    if (!rc && !ok) rc = q_fail(err, Q_ERR, _("the GPU failed (%s): load the model again with /model or start again, or use --device cpu"), d->why);
    if (mem) cudaFree(mem);
    for (int i = 0; i < n; i++) free(at[i]);
    free(at);
    free(kept);
    free(rows);
    return rc;
}

void dev_adapter_drop(ker_dev *d, int adapter)
{
    cu_adapters *a = d->adapters;
    if (!a || adapter < 0 || adapter >= KER_ADAPTERS || !a->there[adapter]) return;
    cu_low_w *none = (cu_low_w *)q_alloc(sizeof *none * (size_t)table_size(d));
    cudaSetDevice(d->index);
    a->there[adapter] = false;
    table_put(d, adapter, none);
    cudaFree(a->mem[adapter]);
    a->mem[adapter] = NULL;
    free(none);
}

/* ---- a configuration's ---- */

int cu_adapters_cfg(ker_ctx *c, int slot, const ker_config *k, cu_cfg *g, char *err)
{
    const ker_model *m = &c->dev->m;
    int64_t layers = up256((int64_t)(m->n_layer + 1) * 4), grid = up256((int64_t)m->n_layer * m->n_expert * 4), bytes = up256((int64_t)sizeof(cu_adapt) * k->n_adapt);
    unsigned used = 0;
    g->adapt = NULL;
    g->n_adapt = k->n_adapt;
    for (int i = 0; i < k->n_adapt; i++) {
        used |= 1u << k->adapt[i].adapter;
        bytes += layers + (k->adapt[i].expert ? grid : 0);
    }
    c->up.adapts[slot] = used;
    if (!used) return Q_OK;
    uint8_t *old = NULL;
    if (bytes > c->up.adapt_bytes[slot]) {
        void *mem = NULL;
        if (cudaMalloc(&mem, (size_t)bytes) != cudaSuccess) {
            cudaGetLastError();
            c->up.top_k[slot] = -1;
            return q_fail(err, Q_NOMEM, _("the GPU's memory is full: take a smaller model, lower context.length, or use --device cpu"));
        }
        old = (uint8_t *)c->up.adapt_mem[slot];
        c->up.adapt_mem[slot] = mem;
        c->up.adapt_bytes[slot] = bytes;
    }
    uint8_t *image = (uint8_t *)q_alloc((size_t)bytes), *dev = (uint8_t *)c->up.adapt_mem[slot];
    cu_adapt *to = (cu_adapt *)(void *)image;
    int64_t at = up256((int64_t)sizeof(cu_adapt) * k->n_adapt);
    for (int i = 0; i < k->n_adapt; i++) {
        const ker_adapt *from = &k->adapt[i];
        to[i].adapter = from->adapter;
        memcpy(image + at, from->layer, (size_t)(m->n_layer + 1) * 4);
        to[i].layer = (const float *)(const void *)(dev + at);
        at += layers;
        to[i].expert = NULL;
        if (!from->expert) continue;
        memcpy(image + at, from->expert, (size_t)m->n_layer * (size_t)m->n_expert * 4);
        to[i].expert = (const float *)(const void *)(dev + at);
        at += grid;
    }
    g->adapt = (const cu_adapt *)(const void *)dev;
    bool ok = cu_ok(c->dev, cudaMemcpyAsync(dev, image, (size_t)bytes, cudaMemcpyHostToDevice, c->st), "configuration")
        && cu_ok(c->dev, cudaStreamSynchronize(c->st), "configuration");
    free(image);
    cudaFree(old);
    return ok ? Q_OK : q_fail(err, Q_ERR, _("the GPU failed (%s): use --device cpu"), c->dev->why);
}

/* ---- a batch's ---- */

static int no_room(char *err)
{
    return q_fail(err, Q_NOMEM, _("the GPU's memory has no room for the adapter: drop another, take one of a lower rank, lower context.length, or use --device cpu"));
}

static float *floats(int64_t n)
{
    void *p = NULL;
    if (cudaMalloc(&p, (size_t)(n < 1 ? 1 : n) * 4) == cudaSuccess) return (float *)p;
    cudaGetLastError();
    return NULL;
}

/* For the longest batch. Their addresses are part of every graph that uses them, so those go. */
static bool room(ker_ctx *c)
{
    const ker_model *m = &c->dev->m;
    int64_t n = c->max_rows, items = 2 * (c->ffn.pairs_cap + n) > 3 * n ? 2 * (c->ffn.pairs_cap + n) : 3 * n, need = (m->latent.kv_rank && n * m->n_head > items ? n * m->n_head : items) * c->low.wide, wide = m->n_ff_sh;
    for (int i = 0; i < m->n_layer; i++) if (m->layer[i].n_ff > wide) wide = m->layer[i].n_ff;
    if (!c->low.up) c->low.up = floats((int64_t)c->ffn.pairs_cap * m->n_ff_exp);
    if (!c->low.up_sh) c->low.up_sh = floats(n * wide);
    if (!c->low.queue) c->low.queue = (int *)cu_ctx_alloc(c, 4 * sizeof(int));
    if (!c->low.up || !c->low.up_sh || !c->low.queue) return false;
    if (need <= c->low.room) return true;
    cu_graphs_free(c);
    cudaFree(c->low.t);
    c->low.t = floats(need);
    c->low.room = c->low.t ? need : 0;
    return c->low.t != NULL;
}

int cu_adapters_begin(ker_ctx *c, int n, const int16_t *slot, char *err)
{
    const cu_adapters *a = c->dev->adapters;
    unsigned used = 0;
    for (int r = 0; r < n; r++) used |= c->up.adapts[slot ? slot[r] : 0];
    c->low.used = used;
    c->low.wide = 0;
    c->shape.low = used ? a ? a->changes << KER_ADAPTERS | used : used : 0;
    for (int i = 0; i < KER_ADAPTERS; i++) {
        c->low.at[i] = c->low.wide;
        if (!(used >> i & 1)) continue;
        if (!a || !a->there[i]) return q_fail(err, Q_RANGE, _("a configuration names adapter %d, which is not at the device"), i);
        c->low.wide += (a->most[i] + CU_LOW_TILE - 1) / CU_LOW_TILE * CU_LOW_TILE;
    }
    return !c->low.wide || room(c) ? Q_OK : no_room(err);
}

void cu_adapters_ctx_free(ker_ctx *c)
{
    for (int i = 0; i < CU_CFGS; i++) cudaFree(c->up.adapt_mem[i]);
    cudaFree(c->low.t);
    cudaFree(c->low.up);
    cudaFree(c->low.up_sh);
}

bool cu_low_acts(const ker_ctx *c, int layer, int role)
{
    const cu_adapters *a = c->dev->adapters;
    if (!c->low.used || (c->moe.run && !c->moe.own)) return false;
    for (int i = 0; i < KER_ADAPTERS; i++)
        if (c->low.used >> i & 1 && a->host[i * table_size(c->dev) + (int64_t)(layer + 1) * KER_W_ROLES + role].rank) return true;
    return false;
}
