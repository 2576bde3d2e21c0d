/* kernels/split: a backend over two others: the routed experts of some layers live and run on the second, all else
 * on the first, so that an engine never learns of offload. Owns both devices and a context of each; cells
 * are the first's. One caller a context, as everywhere. It computes nothing itself. */
#include "kernels/kernels.h"

#include <stdlib.h>
#include <string.h>

typedef struct split_dev {
    const ker_backend *on[2];
    ker_dev *dev[2];
    bool *moved;                   /* [n_layer] routed experts are the second's */
    ker_model m;                   /* m.layer: a copy */
} split_dev;

typedef struct split_kv { const split_dev *d; ker_kv *kv; } split_kv;

enum { SLOTS = 256 };

typedef struct split_ctx {
    const split_dev *d;
    ker_ctx *ctx[2];
    bool adapts[SLOTS];            /* a slot's configuration names adapters */
    int16_t *slot;                 /* [max_rows] of the batch at hand       */
    bool acts;                     /* adapters do in some of its rows       */
} split_ctx;

static split_dev *dev_of(const ker_dev *d) { return (split_dev *)(void *)(uintptr_t)d; }
static split_ctx *ctx_of(ker_ctx *c) { return (split_ctx *)(void *)c; }
/* The first's table and context: what most calls go to. */
static const ker_backend *table(ker_ctx *c) { return ctx_of(c)->d->on[0]; }
static split_kv *kv_of(ker_kv *kv) { return (split_kv *)(void *)kv; }
static ker_ctx *first(ker_ctx *c) { return ctx_of(c)->ctx[0]; }

static void split_close(ker_dev *dev)
{
    split_dev *d = dev_of(dev);
    if (!d) return;
    for (int i = 0; i < 2; i++)
        if (d->dev[i]) d->on[i]->close(d->dev[i]);
    free(d->moved);
    free((void *)(uintptr_t)d->m.layer);
    free(d);
}

int ker_split_open(const ker_backend *first, const ker_backend *second, const bool *moved, int index, const ker_model *m, int n_threads,
                   ker_dev **out, char *err)
{
    int rc = ker_backend_check(first, err);
    if (!rc) rc = ker_backend_check(second, err);
    if (rc) return rc;
    split_dev *d = q_alloc(sizeof *d);
    *d = (split_dev){ .on = { first, second }, .m = *m };
    size_t n = m->n_layer > 0 ? (size_t)m->n_layer : 0;
    ker_layer *layer = q_alloc(sizeof *layer * (n + 1));
    bool *stay = q_alloc(n + 1);
    d->moved = q_alloc(n + 1);
    d->m.layer = layer;
    for (size_t i = 0; i < n; i++) {
        layer[i] = m->layer[i];
        d->moved[i] = layer[i].moe && (!moved || moved[i]);
        stay[i] = !d->moved[i];
    }
    ker_hold hold[2] = { { .index = index, .no_experts = d->moved }, { .no_rest = true, .no_experts = stay } };
    for (int i = 0; i < 2 && !rc; i++) rc = d->on[i]->open(m, n_threads, &hold[i], &d->dev[i], err);
    free(stay);
    if (rc) {
        split_close((ker_dev *)(void *)d);
        return rc;
    }
    *out = (ker_dev *)(void *)d;
    return Q_OK;
}

static int split_open(const ker_model *m, int n_threads, const ker_hold *hold, ker_dev **out, char *err)
{
    if (hold) return q_fail(err, Q_ERR, _("a pair of devices cannot be part of another pair"));
    return ker_split_open(ker_cpu(), ker_cpu(), NULL, 0, m, n_threads, out, err);
}

static int split_set_threads(ker_dev *dev, int n)
{
    int least = n;
    for (int i = 0; i < 2; i++) {
        int now = dev_of(dev)->on[i]->set_threads(dev_of(dev)->dev[i], n);
        least = now < least ? now : least;
    }
    return least;
}

/* Cells are the first's, and so are most weights. */
static uint64_t split_memory(const ker_dev *dev) { return dev_of(dev)->on[0]->memory(dev_of(dev)->dev[0]); }

static int split_weight(ker_dev *dev, int layer, enum ker_role role, const ker_weight *w, char *err)
{
    split_dev *d = dev_of(dev);
    bool expert = ker_role_get(role) && ker_role_of_experts(role) && layer >= 0 && layer < d->m.n_layer && d->moved[layer];
    return d->on[expert]->weight(d->dev[expert], layer, role, w, err);
}

static int split_source(ker_dev *dev, const ker_source *s, char *err)
{
    int rc = Q_OK;
    for (int i = 0; i < 2 && !rc; i++) rc = dev_of(dev)->on[i]->source(dev_of(dev)->dev[i], s, err);
    return rc;
}

static int split_ready(ker_dev *dev, char *err)
{
    int rc = Q_OK;
    for (int i = 0; i < 2 && !rc; i++) rc = dev_of(dev)->on[i]->ready(dev_of(dev)->dev[i], err);
    return rc;
}

static void split_ctx_free(ker_ctx *c)
{
    split_ctx *s = ctx_of(c);
    if (!s) return;
    for (int i = 0; i < 2; i++)
        if (s->ctx[i]) s->d->on[i]->ctx_free(s->ctx[i]);
    free(s->slot);
    free(s);
}

static int split_ctx_new(ker_dev *dev, int max_rows, int max_k, const atomic_int *cancel, ker_ctx **out, char *err)
{
    split_ctx *s = q_alloc(sizeof *s);
    s->d = dev_of(dev);
    int rc = Q_OK;
    for (int i = 0; i < 2 && !rc; i++) rc = s->d->on[i]->ctx_new(s->d->dev[i], max_rows, max_k, cancel, &s->ctx[i], err);
    if (rc) split_ctx_free((ker_ctx *)(void *)s);
    else {
        s->slot = q_alloc(sizeof *s->slot * (size_t)max_rows);
        *out = (ker_ctx *)(void *)s;
    }
    return rc;
}

/* The second needs to know of adapters alone, and of those that a slot no longer names. */
static int split_cfg_put(ker_ctx *c, int slot, const ker_config *k, char *err)
{
    split_ctx *s = ctx_of(c);
    int rc = Q_OK;
    for (int i = 0; i < 2 && !rc; i++) rc = s->d->on[i]->cfg_put(s->ctx[i], slot, k, err);
    if (!rc) s->adapts[slot] = k->n_adapt > 0;
    return rc;
}

static int split_kv_new(ker_dev *dev, enum ker_kv_type t, int n_page, ker_kv **out, char *err)
{
    split_kv *s = q_alloc(sizeof *s);
    s->d = dev_of(dev);
    int rc = s->d->on[0]->kv_new(s->d->dev[0], t, n_page, &s->kv, err);
    if (rc) free(s);
    else *out = (ker_kv *)(void *)s;
    return rc;
}

static void split_kv_free(ker_kv *kv)
{
    if (!kv) return;
    kv_of(kv)->d->on[0]->kv_free(kv_of(kv)->kv);
    free(kv);
}

static void split_kv_copy(ker_kv *kv, int dst_page, int src_page, int n_cells) { kv_of(kv)->d->on[0]->kv_copy(kv_of(kv)->kv, dst_page, src_page, n_cells); }
static int64_t split_kv_page_bytes(const ker_dev *dev, enum ker_kv_type t) { return dev_of(dev)->on[0]->kv_page_bytes(dev_of(dev)->dev[0], t); }

static int split_kv_save(ker_kv *kv, int page, int n, void *dst) { return kv_of(kv)->d->on[0]->kv_save(kv_of(kv)->kv, page, n, dst); }
static int64_t split_state_bytes(const ker_dev *dev) { const split_dev *d = dev_of(dev); return d->on[0]->state_bytes ? d->on[0]->state_bytes(d->dev[0]) : 0; }
static int split_state_new(ker_kv *kv, char *err) { return kv_of(kv)->d->on[0]->state_new(kv_of(kv)->kv, err); }
static void split_state_free(ker_kv *kv, int state) { kv_of(kv)->d->on[0]->state_free(kv_of(kv)->kv, state); }
static int split_state_save(ker_kv *kv, int state, void *dst) { return kv_of(kv)->d->on[0]->state_save(kv_of(kv)->kv, state, dst); }
static int split_state_load(ker_kv *kv, int state, const void *src) { return kv_of(kv)->d->on[0]->state_load(kv_of(kv)->kv, state, src); }
static int split_kv_load(ker_kv *kv, int page, int n, const void *src) { return kv_of(kv)->d->on[0]->kv_load(kv_of(kv)->kv, page, n, src); }

static int split_begin(ker_ctx *c, ker_kv *kv, const ker_batch *b, char *err)
{
    split_ctx *s = ctx_of(c);
    int rc = table(c)->begin(first(c), kv ? kv_of(kv)->kv : NULL, b, err);
    s->acts = false;
    for (int r = 0; r < b->n && !rc; r++) {
        s->slot[r] = b->slot ? b->slot[r] : 0;
        s->acts = s->acts || s->adapts[s->slot[r]];
    }
    return rc;
}
static int split_embed(ker_ctx *c) { return table(c)->embed(first(c)); }
static int split_attn(ker_ctx *c, int layer) { return table(c)->attn(first(c), layer); }
static int split_route(ker_ctx *c, int layer) { return table(c)->route(first(c), layer); }
static int split_dense(ker_ctx *c, int layer) { return table(c)->dense(first(c), layer); }
static int split_head(ker_ctx *c) { return table(c)->head(first(c)); }
static int split_end(ker_ctx *c, ker_out *out) { return table(c)->end(first(c), out); }
static void split_why(ker_ctx *c, char *err)
{
    split_ctx *s = ctx_of(c);
    for (int i = 1; i >= 0; i--)
        if (s->d->on[i]->why) s->d->on[i]->why(s->ctx[i], err);
}

static int split_moe_take(ker_ctx *c, int layer, ker_moe *out) { return table(c)->moe_take(first(c), layer, out); }
static int split_moe_add(ker_ctx *c, int layer, const ker_moe *m) { return table(c)->moe_add(first(c), layer, m); }
static int split_hidden_get(ker_ctx *c, float *dst) { return table(c)->hidden_get(first(c), dst); }
static int split_hidden_put(ker_ctx *c, const float *src) { return table(c)->hidden_put(first(c), src); }

static int split_moe_run(ker_ctx *c, int layer, ker_moe *m)
{
    split_ctx *s = ctx_of(c);
    int on = layer >= 0 && layer < s->d->m.n_layer && s->d->moved[layer];
    if (on && s->acts) m->slot = s->slot;
    return s->d->on[on]->moe_run(s->ctx[on], layer, m);
}

static int split_experts(ker_ctx *c, int layer)
{
    ker_moe m;
    if (!ctx_of(c)->d->moved[layer]) return table(c)->experts(first(c), layer);
    int rc = split_moe_take(c, layer, &m);
    if (!rc) rc = split_moe_run(c, layer, &m);
    return rc ? rc : split_moe_add(c, layer, &m);
}

/* Each has an adapter's changes of what it computes, under the same number. */
static int split_adapter_put(ker_dev *dev, int adapter, const ker_low *low, int n, char *err)
{
    const split_dev *d = dev_of(dev);
    ker_low *part = q_alloc(sizeof *part * (size_t)(n + 1));
    int rc = Q_OK;
    for (int i = 0; i < n && !rc; i++) rc = ker_low_check(&d->m, &low[i], err);
    for (int to = 0; to < 2 && !rc; to++) {
        int count = 0;
        for (int i = 0; i < n; i++)
            if ((low[i].layer >= 0 && d->moved[low[i].layer] && ker_role_of_experts(low[i].role)) == to) part[count++] = low[i];
        rc = d->on[to]->adapter_put(d->dev[to], adapter, part, count, err);
        if (rc && to) d->on[0]->adapter_drop(d->dev[0], adapter);
    }
    free(part);
    return rc;
}

static void split_adapter_drop(ker_dev *dev, int adapter)
{
    const split_dev *d = dev_of(dev);
    for (int i = 0; i < 2; i++) d->on[i]->adapter_drop(d->dev[i], adapter);
}

static int split_devices(ker_device *list, int max, char *err) { return ker_cpu()->devices(list, max, err); }

const ker_backend *ker_split(void)
{
    static const ker_backend split = {
        .abi = KER_ABI_HERE, .name = "split", .devices = split_devices, .open = split_open, .close = split_close, .set_threads = split_set_threads, .memory = split_memory,
        .weight = split_weight, .source = split_source, .ready = split_ready,
        .ctx_new = split_ctx_new, .ctx_free = split_ctx_free, .cfg_put = split_cfg_put,
        .kv_new = split_kv_new, .kv_free = split_kv_free, .kv_copy = split_kv_copy, .kv_page_bytes = split_kv_page_bytes,
        .kv_save = split_kv_save, .kv_load = split_kv_load,
        .begin = split_begin, .embed = split_embed, .attn = split_attn, .route = split_route, .experts = split_experts, .dense = split_dense,
        .head = split_head, .end = split_end, .why = split_why, .moe_take = split_moe_take, .moe_run = split_moe_run, .moe_add = split_moe_add,
        .state_bytes = split_state_bytes, .state_new = split_state_new, .state_free = split_state_free, .state_save = split_state_save, .state_load = split_state_load,
        .hidden_get = split_hidden_get, .hidden_put = split_hidden_put, .adapter_put = split_adapter_put, .adapter_drop = split_adapter_drop,
    };
    return &split;
}
