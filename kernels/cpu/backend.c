/* kernels/cpu/backend: the CPU's table of functions, and what stands around the layers of a batch: begin,
 * embedding, head, end, taps. One caller thread per context; work goes to the device's pool.
 * Nothing is allocated between begin and end. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/parts.h"
#include "kernels/cpu/prod.h"

/* ---- begin and end ---- */

/* Rows of one sequence that follow each other walk its pages together, at most ATT_QUERIES queries of a
 * KV head at a time. */
static void blocks_make(ker_ctx *c)
{
    const ker_batch *b = &c->b;
    int most = ATT_QUERIES / (c->dev->m.n_head / c->dev->m.n_kv_head);
    if (most < 1) most = 1;
    c->att.n_block = 0;
    for (int r = 0; r < b->n; r++) {
        int seq = b->seq ? b->seq[r] : 0;
        att_block *last = c->att.n_block ? &c->att.block[c->att.n_block - 1] : NULL;
        if (last && last->seq == seq && last->n < most && b->cell[r] > b->cell[r - 1]) last->n++;
        else c->att.block[c->att.n_block++] = (att_block){ r, 1, seq };
    }
}

static bool has_config(const void *user, int slot) { return ((const ker_ctx *)user)->cfg[slot] != NULL; }

static int batch_begin(ker_ctx *c, ker_kv *kv, const ker_batch *b, char *err)
{
    const ker_model *m = &c->dev->m;
    int rc = Q_OK;
    c->open = false;
    c->state = Q_RANGE;
    if (!c->dev->scratch_bytes || c->dev->hold.no_rest || !kv)
        return q_fail(err, Q_RANGE, _("this device is not ready for a batch"));
    if ((rc = ker_batch_check(m, b, c->max_rows, c->max_k, kv->n_page, has_config, c, err))) return rc;
    for (int i = 0; i < b->n_seq && c->delta.before; i++)
        if ((b->seqs[i].state_from && !state_there(kv, b->seqs[i].state_from)) || (b->seqs[i].state_to && !state_there(kv, b->seqs[i].state_to)))
            return q_fail(err, Q_RANGE, _("sequence %d of the batch: there is no such state of the recurrent layers"), i);
    for (int r = 0; r < b->n - 1 && c->delta.before && b->seqs[0].state_each; r++)
        if (b->seqs[0].state_each[r] && !state_there(kv, b->seqs[0].state_each[r]))
            return q_fail(err, Q_RANGE, _("sequence %d of the batch: there is no such state of the recurrent layers"), 0);
    c->b = *b;
    c->kv = kv;
    c->state = Q_OK;
    c->open = true;
    c->out.n_logits = c->out.n_hidden = 0;
    c->ff.count = (ker_fetched){ 0 };
    if ((rc = low_begin(c, err))) {
        c->open = false;
        return c->state = rc;
    }
    for (int r = 0; r < b->n; r++) atomic_store_explicit(&c->bad[r], 0, memory_order_relaxed);
    blocks_make(c);
    attn_begin(c);
    delta_begin(c);
    for (int l = 0; l < m->n_layer; l++) {         /* routed layers write their own */
        if (m->layer[l].moe) continue;
        int64_t at = trace_at(c, l, 0), n = (int64_t)b->n * c->max_k;
        for (int64_t i = 0; i < n; i++) { c->rt.ids[at + i] = KER_NO_EXPERT; c->rt.weights[at + i] = 0; }
        for (int r = 0; r < b->n; r++) { c->rt.entropy[(int64_t)l * b->n + r] = 0; c->rt.margin[(int64_t)l * b->n + r] = NAN; }
    }
    return Q_OK;
}

static int cpu_end(ker_ctx *c, ker_out *out)
{
    c->open = false;
    if (c->state) return c->state;
    *out = (ker_out){ .logits = c->out.logits, .n_logits = c->out.n_logits, .hidden = c->out.hidden, .n_hidden = c->out.n_hidden, .max_k = c->max_k,
                      .ids = c->rt.ids, .weights = c->rt.weights, .entropy = c->rt.entropy, .margin = c->rt.margin, .bad = c->out.bad,
                      .asked = c->ff.count.asked, .fetched = c->ff.count.fetched, .fetched_bytes = c->ff.count.bytes, .fetch_wait_ns = c->ff.count.wait_ns };
    for (int r = 0; r < c->b.n; r++) {
        uint32_t v = atomic_load_explicit(&c->bad[r], memory_order_relaxed);
        c->out.bad[r] = (ker_bad){ (int16_t)((int)(v & 0xffff) - 1), (uint8_t)(v >> 16) };
        out->n_bad += v != 0;
    }
    return Q_OK;
}

/* ---- embedding, and each row's rotation ---- */

static void embed_task(void *arg, int r, int worker)
{
    ker_ctx *c = arg;
    const ker_model *m = &c->dev->m;
    const mat *w = &dev_layer(c->dev, -1)->w[KER_W_EMBD];
    ker_type_get(w->type)->decode(w->data + c->b.token[r] * w->row_bytes, c->x + (int64_t)r * m->n_embd, m->n_embd);
    float *x = c->x + (int64_t)r * m->n_embd;
    if (low_acts(c)) low_embed(c, r, c->b.token[r], x);
    for (int i = 0; m->embd_scale != 0 && i < m->n_embd; i++) x[i] *= m->embd_scale;
    if (!c->dev->v->finite(x, m->n_embd)) ctx_mark(c, r, -1, KER_PART_EMBED);
    const ker_config *k = ctx_cfg(c, r);
    if (m->next) {
        const layer_w *n = dev_layer(c->dev, -1);
        const mat *p = &n->w[KER_W_NEXT_PROJ];
        float *pair = c->next.pair + (int64_t)r * 2 * m->n_embd;
        c->dev->v->norm(x, n->vec[KER_W_NEXT_E_NORM], m->n_embd, k->norm_eps, pair);
        c->dev->v->norm(c->b.hidden + (int64_t)r * m->n_embd, n->vec[KER_W_NEXT_H_NORM], m->n_embd, k->norm_eps, pair + m->n_embd);
        mat_act(p->type, pair, p->n_in, c->next.act.p[mat_kind(p)] + r * c->next.act.stride[mat_kind(p)]);
    }
    int half = m->rope_dim / 2;
    for (int set = 0; set < c->att.n_rope; set++) {
        const float *freq = set ? k->rope_local : k->rope_freq;
        float *cs = c->att.rope + ((int64_t)r * c->att.n_rope + set) * m->rope_dim, scale = set ? k->rope_local_mscale : k->rope_mscale;
        for (int i = 0; i < half; i++) {           /* the angle in F32, as the reference implementations have it */
            float a = (float)c->b.pos[r] * freq[i];
            cs[i] = cosf(a) * scale;
            cs[half + i] = sinf(a) * scale;
        }
    }
}

static int cpu_embed(ker_ctx *c)
{
    int rc = ctx_run(c, c->b.n, embed_task, c);
    if (rc || !c->dev->m.next) return rc;
    const mat *w = &dev_layer(c->dev, -1)->w[KER_W_NEXT_PROJ];
    prod p = { .w = w, .act = c->next.act.p[mat_kind(w)], .act_stride = c->next.act.stride[mat_kind(w)], .n = c->b.n, .y = c->x, .y_stride = w->n_out };
    return ctx_products(c, &p, 1);
}

/* ---- head ---- */

static int cpu_head(ker_ctx *c)
{
    const ker_batch *b = &c->b;
    const ker_model *m = &c->dev->m;
    const layer_w *w = dev_layer(c->dev, -1);
    const mat *out = w->w[KER_W_OUT].data ? &w->w[KER_W_OUT] : &w->w[KER_W_EMBD];
    int kind = mat_kind(out), rc = c->state;
    if (rc) return rc;
    size_t row = sizeof(float) * (size_t)m->n_embd;
    int n = 0;
    for (int r = 0; r < b->n; r++) {               /* few rows as a rule: the caller's work */
        unsigned want = b->want ? b->want[r] : r == b->n - 1 ? KER_WANT_LOGITS : 0;
        if (!(want & (KER_WANT_LOGITS | KER_WANT_HIDDEN))) continue;
        float *y = c->y + (int64_t)r * m->n_embd;
        c->dev->v->norm(c->x + (int64_t)r * m->n_embd, w->vec[KER_W_OUT_NORM], m->n_embd, ctx_cfg(c, r)->norm_eps, y);
        if (want & KER_WANT_HIDDEN) memcpy(c->out.hidden + (int64_t)c->out.n_hidden++ * m->n_embd, y, row);
        if (!(want & KER_WANT_LOGITS)) continue;
        mat_act(out->type, y, m->n_embd, c->in.p[kind] + n * c->in.stride[kind]);
        c->out.row[n++] = r;
    }
    c->out.n_logits = n;
    if (!n) return Q_OK;
    /* Also of a tied head: what changes the embedding changes what is read of it, and this only what is written (peft#2864). */
    low_job low = { .layer = -1, .role = KER_W_OUT, .x = c->y, .x_row = m->n_embd, .n = n, .row = c->out.row };
    prod p = { .w = out, .act = c->in.p[kind], .act_stride = c->in.stride[kind], .n = n, .y = c->out.logits, .y_stride = m->n_vocab, .low = &low, .n_low = 1 };
    rc = low_prepare(c, &low, 1);
    if (!rc) rc = ctx_products(c, &p, 1);
    for (int64_t i = 0; m->logit_scale != 0 && !rc && i < (int64_t)n * m->n_vocab; i++) c->out.logits[i] *= m->logit_scale;
    for (int i = 0; i < n && !rc; i++)
        if (!c->dev->v->finite(c->out.logits + (int64_t)i * m->n_vocab, m->n_vocab)) ctx_mark(c, c->out.row[i], -1, KER_PART_HEAD);
    return rc;
}

/* ---- taps and the table ---- */

static int hidden_get(ker_ctx *c, float *dst)
{
    if (c->state) return c->state;
    memcpy(dst, c->x, sizeof(float) * (size_t)c->b.n * (size_t)c->dev->m.n_embd);
    return Q_OK;
}

static int hidden_put(ker_ctx *c, const float *src)
{
    if (c->state) return c->state;
    memcpy(c->x, src, sizeof(float) * (size_t)c->b.n * (size_t)c->dev->m.n_embd);
    return Q_OK;
}

/* A worker's scratch serves one part at a time: the largest wish counts. */
static int cpu_ready(ker_dev *d, char *err)
{
    int64_t part[] = { attn_floats(&d->m), delta_floats(&d->m), route_floats(&d->m), ffn_floats(d) }, floats = 0;
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) floats = part[i] > floats ? part[i] : floats;
    return dev_ready(d, floats, err);
}

static void cpu_close(ker_dev *d)
{
    for (int i = 0; d && i < KER_ADAPTERS; i++) low_drop(d, i);
    dev_close(d);
}

static uint64_t cpu_memory(const ker_dev *d) { return q_mem_available(); }

static int cpu_devices(ker_device *list, int max, char *err)
{
    if (max > 0) list[0] = (ker_device){ .name = "CPU" };
    return 1;
}

/* ---- a context with what each kind of layer needs ---- */

static void cpu_ctx_free(ker_ctx *c)
{
    if (c) mla_free(c);
    ctx_free(c);
}

static int cpu_ctx_new(ker_dev *d, int max_rows, int max_k, const atomic_int *cancel, ker_ctx **out, char *err)
{
    int rc = ctx_new(d, max_rows, max_k, cancel, out, err);
    if (rc || mla_make(*out, max_rows)) return rc;
    cpu_ctx_free(*out);
    return q_fail(err, Q_NOMEM, _("no memory for batches of %d tokens: close something or take a smaller model"), max_rows);
}

static int cpu_mix(ker_ctx *c, int layer)
{
    switch (c->dev->m.layer[layer].mixer) {
    case KER_MIX_GQA: break;
    case KER_MIX_MLA: return mla_attn(c, layer);
    case KER_MIX_DELTA: return cpu_delta(c, layer);
    }
    return cpu_attn(c, layer);
}

const ker_backend *ker_cpu(void)
{
    static const ker_backend cpu = {
        .abi = KER_ABI_HERE, .name = "cpu", .devices = cpu_devices, .open = dev_open, .close = cpu_close, .set_threads = dev_set_threads, .memory = cpu_memory,
        .weight = dev_weight, .source = dev_source, .ready = cpu_ready,
        .ctx_new = cpu_ctx_new, .ctx_free = cpu_ctx_free, .cfg_put = ctx_cfg_put,
        .kv_new = kv_new, .kv_free = kv_free, .kv_copy = kv_copy, .kv_page_bytes = kv_page_bytes,
        .kv_save = kv_save, .kv_load = kv_load,
        .begin = batch_begin, .embed = cpu_embed, .attn = cpu_mix, .route = cpu_route, .experts = cpu_experts, .dense = cpu_dense,
        .head = cpu_head, .end = cpu_end,
        .moe_take = cpu_moe_take, .moe_run = cpu_moe_run, .moe_add = cpu_moe_add, .hidden_get = hidden_get, .hidden_put = hidden_put,
        .state_bytes = state_bytes, .state_new = state_new, .state_free = state_free, .state_save = state_save, .state_load = state_load,
        .adapter_put = low_put, .adapter_drop = low_drop,
    };
    return &cpu;
}
