/* kernels/cuda/ctx: a context: its buffers, the configurations of its rows, and the two ends of a batch: what is brought to
 * the device before its first launch, what is taken back after its last. See cuda.h. */
#include "kernels/cuda/cuda.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t up256(int64_t n) { return (n + 255) & ~(int64_t)255; }

/* ---- memory of the context's life ---- */

enum { HOST_MARK = 1 };            /* in a pointer's lowest bit: pinned host memory */

static void remember(ker_ctx *c, void *p, bool host)
{
    if (c->n_mem % 64 == 0) c->mem = (void **)q_realloc(c->mem, sizeof(void *) * (size_t)(c->n_mem + 64));
    c->mem[c->n_mem++] = (void *)((uintptr_t)p | (host ? HOST_MARK : 0));
}

void *cu_ctx_alloc(ker_ctx *c, int64_t bytes)
{
    void *p = NULL;
    if (bytes < 1) bytes = 1;
    if (cudaMalloc(&p, (size_t)bytes + 256) != cudaSuccess) {
        cudaGetLastError();
        c->dev->unlocked = false;
        return NULL;
    }
    remember(c, p, false);
    return cu_ok(c->dev, cudaMemsetAsync(p, 0, (size_t)bytes + 256, c->st), "buffers") ? p : NULL;
}

void *cu_ctx_pinned(ker_ctx *c, int64_t bytes)
{
    void *p = cu_locked(c->dev, (size_t)(bytes < 1 ? 1 : bytes));
    if (p) remember(c, p, true);
    return p;
}

void cu_ctx_give_back(ker_ctx *c, int from)
{
    if (c->st && c->n_mem > from) cudaStreamSynchronize(c->st);
    while (c->n_mem > from) {
        uintptr_t p = (uintptr_t)c->mem[--c->n_mem];
        if (p & HOST_MARK) cudaFreeHost((void *)(p & ~(uintptr_t)HOST_MARK));
        else cudaFree((void *)p);
    }
}

bool cu_acts_make(ker_ctx *c, cu_acts *a, unsigned kinds, int64_t rows, int64_t n)
{
    for (int k = KER_ACT_Q8_32; k <= KER_ACT_Q8_256; k++) {
        if (!(kinds >> k & 1)) continue;
        cu_act *t = &a->kind[k];
        t->q = (int8_t *)cu_ctx_alloc(c, rows * n);
        t->d = (float *)cu_ctx_alloc(c, rows * (n / 32) * 4);
        t->sum = (int *)cu_ctx_alloc(c, rows * (n / 32) * 4);
        if (!t->q || !t->d || !t->sum) return false;
    }
    return true;
}

static unsigned kinds_of(const ker_dev *d, const enum ker_role *role, int n)
{
    unsigned kinds = 0;
    for (int i = -1; i < d->m.n_layer; i++)
        for (int r = 0; r < n; r++) {
            const cu_mat *w = &cu_layer_of(d, i)->w[role[r]];
            if (w->n_out) kinds |= 1u << w->act;
        }
    return kinds;
}

/* ---- new and free ---- */

static bool make_up(ker_ctx *c)
{
    const ker_model *m = &c->dev->m;
    int64_t n = c->max_rows, per = (int64_t)m->n_layer * m->n_expert;
    c->up.page_cap = 1 << 16;
    c->up.bytes = n * 4 * 7 + c->up.page_cap * 4;
    c->up.host = (uint8_t *)cu_ctx_pinned(c, c->up.bytes);
    c->up.dev = (uint8_t *)cu_ctx_alloc(c, c->up.bytes);
    c->up.cfg_host = (cu_cfg *)cu_ctx_pinned(c, sizeof(cu_cfg) * CU_CFGS);
    cu_cfg *cfg = (cu_cfg *)cu_ctx_alloc(c, sizeof(cu_cfg) * CU_CFGS);
    c->up.expert_width = (int32_t *)q_alloc(sizeof(int32_t) * 2 * (size_t)CU_CFGS * (size_t)m->n_layer);
    for (int i = 0; i < CU_CFGS; i++) c->up.top_k[i] = -1;
    c->up.cfg_bytes = 2 * up256((int64_t)(m->rope_dim / 2) * 4) + up256((int64_t)m->n_layer * 2) + up256(per * 4) + up256(per)
                    + up256((int64_t)m->n_layer * m->n_head) + 2 * up256((int64_t)m->n_layer * 4);
    /* Room for all slots at once, so that a knob set in mid-answer allocates nothing; a hostile model's are made one by one. */
    if (c->up.cfg_bytes * CU_CFGS <= 64 << 20) {
        uint8_t *all = (uint8_t *)cu_ctx_alloc(c, c->up.cfg_bytes * CU_CFGS);
        for (int i = 0; i < CU_CFGS && all; i++) c->up.cfg_mem[i] = all + i * c->up.cfg_bytes;
        if (!all) return false;
    }
    int *at = (int *)(void *)c->up.dev;
    c->rows.token = at;
    c->rows.pos = at + n;
    c->rows.cell = at + 2 * n;
    c->rows.slot = at + 3 * n;
    c->rows.seq_at = at + 4 * n;
    c->rows.want = at + 5 * n;
    c->rows.want_hidden = at + 6 * n;
    c->rows.page = at + 7 * n;
    c->rows.cfg = cfg;
    return c->up.host && c->up.dev && c->up.cfg_host && cfg;
}

static bool make_buffers(ker_ctx *c)
{
    static const enum ker_role in[] = { KER_W_Q, KER_W_K, KER_W_V, KER_W_Q_A, KER_W_KV_A, KER_W_GATE, KER_W_UP, KER_W_ROUTER, KER_W_GATE_SH, KER_W_UP_SH, KER_W_SH_ROUTER,
                                        KER_W_OUT, KER_W_EMBD, KER_W_GATE_EXPS, KER_W_UP_EXPS, KER_W_D_QKV, KER_W_D_Z, KER_W_D_BETA, KER_W_D_ALPHA, KER_W_D_BA };
    static const enum ker_role o[] = { KER_W_O }, down[] = { KER_W_DOWN_EXPS }, sh[] = { KER_W_DOWN, KER_W_DOWN_SH };
    const ker_model *m = &c->dev->m;
    int64_t n = c->max_rows, E = m->n_embd, qd = (int64_t)m->n_head * m->head_dim, kd = (int64_t)m->n_kv_head * m->head_dim, wide = m->n_ff_sh;
    bool gated = false;
    for (int i = 0; i < m->n_layer; i++) {
        if (m->layer[i].n_ff > wide) wide = m->layer[i].n_ff;
        gated = gated || m->layer[i].q_gate;
    }
    /* Pairs of one pass: the rows at 16 experts each, but at least one row with all. */
    int64_t pairs = n * (c->max_k < 16 ? c->max_k : 16);
    if (pairs < c->max_k) pairs = c->max_k;
    c->ffn.pairs_cap = (int)pairs;
#define FLOATS(count) (float *)cu_ctx_alloc(c, (int64_t)(count) * 4)
    c->x = FLOATS(n * E);
    c->y = FLOATS(n * E);
    c->att.q = FLOATS(n * qd * (gated ? 2 : 1));
    if (gated && !(c->att.plain = FLOATS(n * qd))) return false;
    c->att.k = FLOATS(n * kd);
    c->att.v = FLOATS(n * kd);
    c->att.o = FLOATS(n * qd);
    c->att.rope = FLOATS(n * m->rope_dim);
    c->att.part = FLOATS(cu_attend_floats(c));
    c->att.count = (int *)(void *)FLOATS(n * m->n_head);
    c->ffn.score = FLOATS(n * m->n_expert);
    c->ffn.sh_coef = FLOATS(n);
    c->ffn.h = FLOATS(pairs * m->n_ff_exp);
    c->ffn.h_sh = FLOATS(n * wide);
    c->ffn.pair_y = FLOATS(pairs * E);
    c->ffn.group = (int *)(void *)FLOATS(cu_group_ints(c));
    c->out.hidden = FLOATS(n * E);
    c->out.logits = FLOATS((int64_t)CU_HEAD_ROWS * m->n_vocab);
#undef FLOATS
    return cu_glue_make(c) && c->x && c->y && c->att.q && c->att.k && c->att.v && c->att.o && c->att.rope && c->att.part && c->att.count && c->ffn.score && c->ffn.sh_coef
        && c->ffn.h && c->ffn.h_sh && c->ffn.pair_y && c->ffn.group && c->out.hidden && c->out.logits
        && cu_acts_make(c, &c->in, kinds_of(c->dev, in, sizeof in / sizeof *in), n, E) && cu_acts_make(c, &c->att.act, kinds_of(c->dev, o, 1), n, qd)
        && cu_acts_make(c, &c->ffn.act, kinds_of(c->dev, down, 1), pairs, m->n_ff_exp)
        && (!wide || cu_acts_make(c, &c->ffn.sh_act, kinds_of(c->dev, sh, 2), n, wide)) && cu_delta_make(c) && cu_mla_make(c) && cu_norms_make(c);
}

static bool make_out(ker_ctx *c)
{
    const ker_model *m = &c->dev->m;
    int64_t n = c->max_rows, slots = (int64_t)m->n_layer * n * c->max_k;
    c->out.tr_bytes = up256(slots * 2) + up256(slots * 4) + 2 * up256(m->n_layer * n * 4) + up256(n * 4);
    c->out.tr_dev = (uint8_t *)cu_ctx_alloc(c, c->out.tr_bytes);
    c->out.tr_host = (uint8_t *)cu_ctx_pinned(c, c->out.tr_bytes);
    c->out.logits_pinned = (float *)cu_ctx_pinned(c, (int64_t)CU_HEAD_ROWS * m->n_vocab * 4);
    c->out.hidden_host = (float *)cu_ctx_pinned(c, n * m->n_embd * 4);
    c->out.bad = (ker_bad *)q_alloc(sizeof *c->out.bad * (size_t)n);
    return c->out.tr_dev && c->out.tr_host && c->out.logits_pinned && c->out.hidden_host;
}

void ctx_free(ker_ctx *c)
{
    if (!c) return;
    cudaSetDevice(c->dev->index);
    if (c->st) cudaStreamSynchronize(c->st);
    if (cu_timing(c)) cu_times(c, false, NULL, 0);
    cu_graphs_free(c);
    cu_blas_free(c);
    cu_adapters_ctx_free(c);
    cu_ctx_give_back(c, 0);
    if (c->st) cudaStreamDestroy(c->st);
    free(c->out.logits_many);
    free(c->moe.rows);
    free(c->moe.ones);
    free(c->out.bad);
    free(c->up.expert_width);
    free(c->mem);
    free(c);
}

int ctx_new(ker_dev *d, int max_rows, int max_k, const atomic_int *cancel, ker_ctx **out, char *err)
{
    const ker_model *m = &d->m;
    if (max_rows < 1 || max_k < 0 || max_k > m->n_expert)
        return q_fail(err, Q_RANGE, _("a batch of %d rows with %d experts each is not possible here: the model has %d experts"), max_rows, max_k, m->n_expert);
    ker_ctx *c = (ker_ctx *)q_alloc(sizeof *c);
    c->dev = d;
    c->max_rows = max_rows;
    c->max_k = max_k;
    c->cancel = cancel;
    cu_enter(d);
    bool ok = cu_ok(d, cudaStreamCreateWithFlags(&c->st, cudaStreamNonBlocking), "cudaStreamCreate") && make_up(c) && make_buffers(c) && make_out(c)
        && (!(d->hold.no_rest || d->hold.no_experts) || moe_room(c)) && cu_cache_ctx(c)
        && cu_ok(d, cudaStreamSynchronize(c->st), "buffers");
    if (ok) {
        cu_blas_new(c);
        *out = c;
        return Q_OK;
    }
    ctx_free(c);
    if (d->why[0]) return q_fail(err, Q_ERR, _("the GPU failed (%s): use --device cpu"), d->why);
    if (d->unlocked) return cu_no_memory(d, err);
    return q_fail(err, Q_NOMEM, _("no memory on the GPU for batches of %d tokens: take a smaller model or use --device cpu"), max_rows);
}

/* ---- configurations ---- */

static uint8_t *put(uint8_t **host, uint8_t **dev, const void *src, int64_t bytes)
{
    if (!src || !bytes) return NULL;
    uint8_t *at = *dev;
    memcpy(*host, src, (size_t)bytes);
    *host += up256(bytes);
    *dev += up256(bytes);
    return at;
}

int ctx_cfg_put(ker_ctx *c, int slot, const ker_config *k, char *err)
{
    const ker_model *m = &c->dev->m;
    int64_t per = (int64_t)m->n_layer * m->n_expert;
    if (slot < 0 || slot >= CU_CFGS || c->open) return q_fail(err, Q_RANGE, _("configuration slot %d cannot be set now"), slot);
    int rc = ker_config_check(m, c->max_k, k, err);
    if (rc) return rc;
    cudaSetDevice(c->dev->index);
    if (!c->up.cfg_mem[slot] && !(c->up.cfg_mem[slot] = cu_ctx_alloc(c, c->up.cfg_bytes)))
        return cu_no_memory(c->dev, err);
    uint8_t *host = (uint8_t *)q_alloc((size_t)c->up.cfg_bytes + 1), *h = host, *dev = (uint8_t *)c->up.cfg_mem[slot];
    cu_cfg *g = &c->up.cfg_host[slot];
    g->eps = k->norm_eps;
    g->mscale = k->rope_mscale;
    g->attn_scale = k->attn_scale;
    g->temperature = k->router_temperature;
    g->min_p = k->min_p;
    g->rope_freq = (const float *)(void *)put(&h, &dev, k->rope_freq, (int64_t)(m->rope_dim / 2) * 4);
    g->rope_local = (const float *)(void *)put(&h, &dev, k->rope_local, (int64_t)(m->rope_dim / 2) * 4);
    g->local_mscale = k->rope_local_mscale;
    g->k = (const int16_t *)(void *)put(&h, &dev, k->k, (int64_t)m->n_layer * 2);
    g->router_add = (const float *)(void *)put(&h, &dev, k->router_add, per * 4);
    g->pin = put(&h, &dev, k->pin, per);
    g->head_off = put(&h, &dev, k->head_off, (int64_t)m->n_layer * m->n_head);
    g->ffn_width = (const int32_t *)(void *)put(&h, &dev, k->ffn_width, (int64_t)m->n_layer * 4);
    g->expert_width = (const int32_t *)(void *)put(&h, &dev, k->expert_width, (int64_t)m->n_layer * 4);
    if ((rc = cu_adapters_cfg(c, slot, k, g, err))) {
        free(host);
        return rc;
    }
    bool ok = h == host || cu_ok(c->dev, cudaMemcpyAsync(c->up.cfg_mem[slot], host, (size_t)(h - host), cudaMemcpyHostToDevice, c->st), "configuration");
    ok = ok && cu_ok(c->dev, cudaMemcpyAsync((cu_cfg *)(uintptr_t)c->rows.cfg + slot, g, sizeof *g, cudaMemcpyHostToDevice, c->st), "configuration")
        && cu_ok(c->dev, cudaStreamSynchronize(c->st), "configuration");
    free(host);
    if (!ok) return q_fail(err, Q_ERR, _("the GPU failed (%s): use --device cpu"), c->dev->why);
    int top = 0;
    for (int i = 0; i < m->n_layer; i++) if (m->layer[i].moe && k->k[i] > top) top = k->k[i];
    c->up.top_k[slot] = top;
    c->up.narrow[slot] = 0;
    for (int i = 0; i < m->n_layer; i++) {
        int one = k->ffn_width ? k->ffn_width[i] : 0, of = k->expert_width ? k->expert_width[i] : 0;
        c->up.expert_width[(int64_t)slot * m->n_layer + i] = of;
        c->up.expert_width[((int64_t)CU_CFGS + slot) * m->n_layer + i] = one;
        c->up.narrow[slot] |= (of ? CU_WIDTH_EXPERTS : 0) | (one < 0 || of < 0 ? CU_WIDTH_LARGEST : 0);
    }
    return Q_OK;
}

/* ---- begin ---- */

static bool has_config(const void *user, int slot) { return ((const ker_ctx *)user)->up.top_k[slot] >= 0; }

/* Forced lists: the longest, and their way to the device. */
static int forced_bring(ker_ctx *c, const ker_batch *b, char *err)
{
    const ker_model *m = &c->dev->m;
    int64_t lists = (int64_t)m->n_layer * b->n;
    if (!c->up.forced && !(c->up.forced = (uint16_t *)cu_ctx_alloc(c, (int64_t)m->n_layer * c->max_rows * c->max_k * 2)))
        return cu_no_memory(c->dev, err);
    for (int64_t i = 0; i < lists; i++) {
        const uint16_t *f = b->forced + i * c->max_k;
        int k = 0;
        while (m->layer[i / b->n].moe && k < c->max_k && f[k] != KER_NO_EXPERT) k++;
        if (k > c->shape.k) c->shape.k = k;
    }
    c->shape.forced = true;
    c->rows.forced = c->up.forced;
    if (cu_ok(c->dev, cudaMemcpyAsync(c->up.forced, b->forced, (size_t)(lists * c->max_k * 2), cudaMemcpyHostToDevice, c->st), "batch")) return Q_OK;
    return q_fail(err, Q_ERR, _("the GPU failed (%s): use --device cpu"), c->dev->why);
}

/* Pages of every sequence behind one another. A sequence longer than all room asks for another buffer; its address is part of
 * every graph, so those go. */
static int pages_room(ker_ctx *c, const ker_batch *b, char *err)
{
    int64_t need = 0;
    for (int i = 0; i < b->n_seq; i++) need += b->seqs[i].n_page;
    if (need <= c->up.page_cap) return Q_OK;
    int64_t n = c->max_rows, bytes = n * 4 * 7 + need * 2 * 4;
    uint8_t *host = (uint8_t *)cu_ctx_pinned(c, bytes), *dev = (uint8_t *)cu_ctx_alloc(c, bytes);
    if (!host || !dev) return cu_no_memory(c->dev, err);
    int **field[] = { (int **)(void *)&c->rows.token, (int **)(void *)&c->rows.pos, (int **)(void *)&c->rows.cell, (int **)(void *)&c->rows.slot,
                      (int **)(void *)&c->rows.seq_at, (int **)(void *)&c->rows.want, (int **)(void *)&c->rows.want_hidden, (int **)(void *)&c->rows.page };
    for (int i = 0; i < 8; i++) *field[i] = (int *)(void *)dev + i * n;
    c->up.host = host;
    c->up.dev = dev;
    c->up.bytes = bytes;
    c->up.page_cap = need * 2;
    cu_graphs_free(c);
    return Q_OK;
}

static int64_t rows_fill(ker_ctx *c, const ker_batch *b)
{
    int64_t n = c->max_rows, at = 0;
    int *to = (int *)(void *)c->up.host, longest = 0;
    for (int r = 0; r < b->n; r++) {
        int slot = b->slot ? b->slot[r] : 0, want = b->want ? b->want[r] : r == b->n - 1 ? KER_WANT_LOGITS : 0;
        to[r] = b->token[r];
        to[n + r] = b->pos[r];
        to[2 * n + r] = b->cell[r];
        to[3 * n + r] = slot;
        if (want & KER_WANT_LOGITS) to[5 * n + c->shape.n_logits++] = r;
        if (want & KER_WANT_HIDDEN) to[6 * n + c->shape.n_hidden++] = r;
        if (c->up.top_k[slot] > c->shape.k) c->shape.k = c->up.top_k[slot];
        c->shape.narrow |= c->up.narrow[slot];
        if (b->cell[r] + 1 > longest) longest = b->cell[r] + 1;
    }
    int *page = to + 7 * n;
    for (int i = 0; i < b->n_seq; i++) {           /* only as far as some row reaches */
        int reach = 0;
        for (int r = 0; r < b->n; r++)
            if ((b->seq ? b->seq[r] : 0) == i) {
                to[4 * n + r] = (int)at;
                if (b->cell[r] / KER_PAGE + 1 > reach) reach = b->cell[r] / KER_PAGE + 1;
            }
        memcpy(page + at, b->seqs[i].page, sizeof(int) * (size_t)reach);
        at += reach;
    }
    c->shape.segs = cu_attend_segs(c, b->n, longest);
    return (7 * n + at) * 4;
}

/* The trace lies as the batch's size has it, so that it comes back in one piece. */
static void trace_place(ker_ctx *c)
{
    const ker_model *m = &c->dev->m;
    int64_t slots = (int64_t)m->n_layer * c->shape.n * c->max_k, per = (int64_t)m->n_layer * c->shape.n, at = 0;
    uint8_t *p = c->out.tr_dev;
    c->tr.ids = (uint16_t *)(void *)(p + at);
    c->tr.weights = (float *)(void *)(p + (at += up256(slots * 2)));
    c->tr.entropy = (float *)(void *)(p + (at += up256(slots * 4)));
    c->tr.margin = (float *)(void *)(p + (at += up256(per * 4)));
    c->tr.bad = (unsigned *)(void *)(p + (at += up256(per * 4)));
    c->out.tr_used = at + c->shape.n * 4;
}

int ctx_begin(ker_ctx *c, ker_kv *kv, const ker_batch *b, char *err)
{
    ker_dev *d = c->dev;
    cu_enter(d);
    if (c->open) cudaStreamSynchronize(c->st);     /* a batch without an end: its upload may still be under way */
    c->open = false;
    c->state = Q_RANGE;
    cu_parts_forget(c);
    if (!d->ready || d->hold.no_rest || !kv) return q_fail(err, Q_RANGE, _("this device is not ready for a batch"));
    if (d->why[0]) return q_fail(err, Q_ERR, _("the GPU failed (%s): load the model again with /model or start again, or use --device cpu"), d->why);
    int rc = ker_batch_check(&d->m, b, c->max_rows, c->max_k, kv->n_page, has_config, c, err);
    if (rc || (rc = pages_room(c, b, err))) return rc;
    memset(&c->shape, 0, sizeof c->shape);
    c->shape.n = b->n;
    c->rows.forced = NULL;
    c->kv = kv;
    int64_t bytes = rows_fill(c, b);
    if ((rc = cu_adapters_begin(c, b->n, b->slot, err)) || (rc = cu_delta_begin(c, b, err))) return rc;
    if (c->shape.n_logits > CU_HEAD_ROWS && !c->out.logits_many
        && !(c->out.logits_many = (float *)malloc((size_t)c->max_rows * (size_t)d->m.n_vocab * 4)))
        return q_fail(err, Q_NOMEM, _("no memory for the logits of %d tokens: close something or take a smaller model"), c->max_rows);
    if (!cu_ok(d, cudaMemcpyAsync(c->up.dev, c->up.host, (size_t)bytes, cudaMemcpyHostToDevice, c->st), "batch"))
        return q_fail(err, Q_ERR, _("the GPU failed (%s): use --device cpu"), d->why);
    if (b->forced && (rc = forced_bring(c, b, err))) return rc;
    trace_place(c);
    c->state = Q_OK;
    c->open = true;
    return Q_OK;
}

/* ---- end ---- */

int ctx_end(ker_ctx *c, ker_out *out)
{
    const ker_model *m = &c->dev->m;
    int rc = cu_flush(c);
    c->open = false;
    if (rc) {
        cudaStreamSynchronize(c->st);
        return rc;
    }
    int n = c->shape.n, few = c->shape.n_logits <= CU_HEAD_ROWS;
    bool ok = cu_ok(c->dev, cudaMemcpyAsync(c->out.tr_host, c->out.tr_dev, (size_t)c->out.tr_used, cudaMemcpyDeviceToHost, c->st), "trace");
    if (ok && c->shape.n_logits && few)
        ok = cu_ok(c->dev, cudaMemcpyAsync(c->out.logits_pinned, c->out.logits, (size_t)c->shape.n_logits * (size_t)m->n_vocab * 4, cudaMemcpyDeviceToHost, c->st), "logits");
    if (ok && c->shape.n_hidden)
        ok = cu_ok(c->dev, cudaMemcpyAsync(c->out.hidden_host, c->out.hidden, (size_t)c->shape.n_hidden * (size_t)m->n_embd * 4, cudaMemcpyDeviceToHost, c->st), "hidden");
    ok = cu_ok(c->dev, cudaStreamSynchronize(c->st), "batch") && ok;
    if (!ok) return c->state = Q_ERR;
    memset(out, 0, sizeof *out);
    out->logits = few ? c->out.logits_pinned : c->out.logits_many;
    out->n_logits = c->shape.n_logits;
    out->hidden = c->out.hidden_host;
    out->n_hidden = c->shape.n_hidden;
    out->max_k = c->max_k;
#define HOST(type, p) (const type *)(const void *)(c->out.tr_host + ((const uint8_t *)(p) - c->out.tr_dev))
    out->ids = HOST(uint16_t, c->tr.ids);
    out->weights = HOST(float, c->tr.weights);
    out->entropy = HOST(float, c->tr.entropy);
    out->margin = HOST(float, c->tr.margin);
    const unsigned *bad = HOST(unsigned, c->tr.bad);
#undef HOST
    for (int r = 0; r < n; r++) {
        c->out.bad[r].layer = (int16_t)((int)(bad[r] & 0xffff) - 1);
        c->out.bad[r].part = (uint8_t)(bad[r] >> 16);
        out->n_bad += bad[r] != 0;
    }
    out->bad = c->out.bad;
    cu_cache_count(c->dev, out);
    return Q_OK;
}
