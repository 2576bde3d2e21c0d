/* kernels/cpu/ctx: a batch from begin to end on the CPU: its buffers, configurations, embedding, the
 * norms and products that every part shares, the head, and the backend's table.
 * One caller thread per context; work goes to the device's pool. Nothing is allocated between begin and end. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/dev.h"

int ctx_run(ker_ctx *c, int n_tasks, pool_fn fn, void *arg)
{
    if (c->state) return c->state;
    int rc = pool_run(c->dev->pool, n_tasks, fn, arg, c->cancel);
    if (rc) c->state = rc;
    return rc;
}

/* ---- buffers ---- */

static void *big(size_t n) { return aligned_alloc(64, (n + 127) & ~(size_t)63); }
static float *floats(int64_t rows, int64_t n) { return big(sizeof(float) * (size_t)(rows * n)); }

static void acts_free(acts *a)
{
    for (int k = 0; k < N_ACT; k++) free(a->p[k]);
}

/* Buffers for `rows` rows of n_in in every kind of `kinds`. */
static bool acts_make(acts *a, unsigned kinds, int64_t rows, int64_t n_in)
{
    static const int type_of[N_ACT] = { [KER_ACT_F32] = KER_F32, [KER_ACT_Q8_32] = KER_Q8_0, [KER_ACT_Q8_256] = KER_Q4_K };
    for (int k = 0; k < N_ACT; k++) {
        if (!(kinds >> k & 1)) continue;
        a->stride[k] = mat_act_bytes(type_of[k], n_in);
        if (!(a->p[k] = big((size_t)(rows * a->stride[k])))) return false;
    }
    return true;
}

static unsigned kinds_of(const ker_dev *d, const enum ker_role *role, int n)
{
    unsigned kinds = 0;
    for (int i = -1; i < d->m.n_layer; i++)
        for (int r = 0; r < n; r++) {
            const mat *w = &dev_layer(d, i)->w[role[r]];
            if (w->data) kinds |= 1u << mat_kind(w);
        }
    return kinds;
}
#define KINDS(d, ...) kinds_of(d, (const enum ker_role[]){ __VA_ARGS__ }, sizeof((enum ker_role[]){ __VA_ARGS__ }) / sizeof(enum ker_role))

static void ctx_free(ker_ctx *c)
{
    if (!c) return;
    for (int i = 0; i < 256; i++) free(c->cfg[i]);
    void *all[] = { c->block, c->x, c->y, c->q, c->k, c->v, c->o, c->rope, c->score, c->sh_coef, c->ids, c->weights, c->entropy,
                    c->margin, c->n_slot, c->h, c->h_sh, c->pair_row, c->pair_pos, c->slot_at, c->ex_off, c->active,
                    c->logits, c->hidden, c->part };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    acts_free(&c->in);
    acts_free(&c->att);
    acts_free(&c->gather);
    acts_free(&c->h_act);
    acts_free(&c->sh_act);
    free(c);
}

static int ctx_new(ker_dev *d, int max_rows, int max_k, const atomic_int *cancel, ker_ctx **out, char *err)
{
    const ker_model *m = &d->m;
    if (max_rows < 1 || max_k < 0 || max_k > m->n_expert)
        return q_fail(err, Q_RANGE, _("a batch of %d rows with %d experts each is not possible here: the model has %d experts"), max_rows, max_k, m->n_expert);
    ker_ctx *c = q_alloc(sizeof *c);
    int64_t n = max_rows, qd = (int64_t)m->n_head * m->head_dim, kd = (int64_t)m->n_kv_head * m->head_dim;
    int64_t wide = m->n_ff_sh, slots = (int64_t)m->n_layer * n * max_k, pairs = d->pairs_cap;
    bool merged = false;
    for (int i = 0; i < m->n_layer; i++) {
        if (m->layer[i].n_ff > wide) wide = m->layer[i].n_ff;
        merged |= dev_layer(d, i)->merged.data != NULL;
    }
    /* A merged product has one row per token, as wide as all experts. */
    int64_t h_in = merged ? (int64_t)m->n_ff_exp * m->n_expert : m->n_ff_exp, h_rows = merged ? FFN_ROWS : pairs;
    int64_t ffn_rows = n < FFN_ROWS ? n : FFN_ROWS;
    if (!merged && h_rows > ffn_rows * max_k) h_rows = ffn_rows * max_k > m->n_expert ? ffn_rows * max_k : m->n_expert;
    if (merged) h_rows = ffn_rows;
    c->dev = d;
    c->max_rows = max_rows;
    c->max_k = max_k;
    c->cancel = cancel;
    c->block = big(sizeof *c->block * (size_t)n);
    c->x = floats(n, m->n_embd);
    c->y = floats(n, m->n_embd);
    c->q = floats(n, qd);
    c->k = floats(n, kd);
    c->v = floats(n, kd);
    c->o = floats(n, qd);
    c->rope = floats(n, m->rope_dim);
    c->score = floats(n, m->n_expert);
    c->sh_coef = floats(n, 1);
    c->ids = big(sizeof *c->ids * (size_t)slots);
    c->weights = big(sizeof(float) * (size_t)slots);
    c->entropy = floats(m->n_layer, n);
    c->margin = floats(m->n_layer, n);
    c->n_slot = big(sizeof(int) * (size_t)n);
    c->h = floats(h_rows, h_in);
    c->h_sh = floats(ffn_rows, wide);
    c->pair_row = big(sizeof(int) * (size_t)pairs);
    c->pair_pos = big(sizeof(int) * (size_t)pairs);
    c->slot_at = big(sizeof(int) * (FFN_ROWS + 1));
    c->ex_off = big(sizeof(int) * (size_t)(m->n_expert + 1));
    c->active = big(sizeof(int) * (size_t)(m->n_expert + 1));
    c->logits = floats(n, m->n_vocab);
    c->hidden = floats(n, m->n_embd);
    bool ok = c->block && c->x && c->y && c->q && c->k && c->v && c->o && c->rope && c->score && c->sh_coef && c->ids && c->weights
        && c->entropy && c->margin && c->n_slot && c->h && c->h_sh && c->pair_row && c->pair_pos && c->slot_at && c->ex_off
        && c->active && c->logits && c->hidden;
    unsigned exp_in = KINDS(d, KER_W_GATE_EXPS, KER_W_UP_EXPS);
    ok = ok && acts_make(&c->in, exp_in | KINDS(d, KER_W_Q, KER_W_K, KER_W_V, KER_W_GATE, KER_W_UP, KER_W_ROUTER, KER_W_GATE_SH,
                                                KER_W_UP_SH, KER_W_SH_ROUTER, KER_W_OUT, KER_W_EMBD), n, m->n_embd)
        && acts_make(&c->att, KINDS(d, KER_W_O), n, qd)
        && (merged || acts_make(&c->gather, exp_in, h_rows, m->n_embd))
        && acts_make(&c->h_act, KINDS(d, KER_W_DOWN_EXPS), h_rows, h_in)
        && (!wide || acts_make(&c->sh_act, KINDS(d, KER_W_DOWN, KER_W_DOWN_SH), ffn_rows, wide));
    if (!ok) {
        ctx_free(c);
        return q_fail(err, Q_NOMEM, _("no memory for batches of %d tokens: close something or take a smaller model"), max_rows);
    }
    *out = c;
    return Q_OK;
}

/* ---- configurations ---- */

static void *take(char **at, const void *src, size_t bytes)
{
    if (!src) return NULL;
    void *p = *at;
    memcpy(p, src, bytes);
    *at += (bytes + 15) & ~(size_t)15;
    return p;
}

static int cfg_put(ker_ctx *c, int slot, const ker_config *k, char *err)
{
    const ker_model *m = &c->dev->m;
    size_t rope = sizeof(float) * (size_t)(m->rope_dim / 2), ks = sizeof(int16_t) * (size_t)m->n_layer;
    size_t per = (size_t)m->n_layer * (size_t)m->n_expert, heads = (size_t)m->n_layer * (size_t)m->n_head;
    size_t ffn = sizeof(int32_t) * (size_t)m->n_layer;
    if (slot < 0 || slot > 255 || c->open) return q_fail(err, Q_RANGE, _("configuration slot %d cannot be set now"), slot);
    if (m->rope_dim && !k->rope_freq) return q_fail(err, Q_ERR, _("a configuration needs rope frequencies"));
    bool temperature = k->router_temperature > 0 && isfinite(k->router_temperature);
    if (!temperature) return q_fail(err, Q_RANGE, _("the router's temperature must be above 0"));
    for (int i = 0; i < m->n_layer; i++) {
        if (!m->layer[i].moe) continue;
        int most = c->max_k < m->n_expert ? c->max_k : m->n_expert, free_experts = 0;
        if (!k->k || k->k[i] < 1 || k->k[i] > most)
            return q_fail(err, Q_RANGE, _("layer %d: %d experts per token; allowed is 1 to %d"), i, k->k ? k->k[i] : 0, most);
        for (int e = 0; e < m->n_expert; e++)
            free_experts += !k->router_add || k->router_add[(size_t)i * (size_t)m->n_expert + (size_t)e] != -INFINITY;
        if (!free_experts) return q_fail(err, Q_RANGE, _("layer %d: every expert is banned; leave at least one"), i);
    }
    char *p = q_alloc(sizeof(cfg) + rope + ks + per * 5 + heads + ffn + 16 * 8);
    cfg *n = (cfg *)(void *)p;
    p += (sizeof *n + 15) & ~(size_t)15;
    n->c = *k;
    n->c.rope_freq = take(&p, k->rope_freq, rope);
    n->c.k = take(&p, k->k, ks);
    n->c.router_add = take(&p, k->router_add, per * 4);
    n->c.pin = take(&p, k->pin, per);
    n->c.head_off = take(&p, k->head_off, heads);
    n->c.ffn_width = take(&p, k->ffn_width, ffn);
    free(c->cfg[slot]);
    c->cfg[slot] = n;
    return Q_OK;
}

/* ---- begin and end ---- */

/* One list: distinct experts that exist. seen: a bit an expert, clear before and after. */
static bool forced_list_ok(const uint16_t *f, int max_k, int n_expert, uint64_t *seen)
{
    int n = 0;
    bool ok = true;
    for (; ok && n < max_k && f[n] != KER_NO_EXPERT; n++) {
        ok = f[n] < n_expert && !(seen[f[n] / 64] >> f[n] % 64 & 1);
        if (ok) seen[f[n] / 64] |= UINT64_C(1) << f[n] % 64;
    }
    for (int i = 0; i < n; i++) seen[f[i] / 64] = 0;
    return ok;
}

static bool forced_ok(const ker_ctx *c, const ker_batch *b)
{
    const ker_model *m = &c->dev->m;
    uint64_t seen[1 << 10] = { 0 };
    if (c->max_k < 1) return false;
    for (int l = 0; l < m->n_layer; l++)
        for (int r = 0; m->layer[l].moe && r < b->n; r++)
            if (!forced_list_ok(b->forced + ((int64_t)l * b->n + r) * c->max_k, c->max_k, m->n_expert, seen)) return false;
    return true;
}

/* Rows of one sequence that follow each other walk its pages together, at most ATT_QUERIES queries of a
 * KV head at a time. */
static void blocks_make(ker_ctx *c)
{
    const ker_batch *b = &c->b;
    int most = ATT_QUERIES / (c->dev->m.n_head / c->dev->m.n_kv_head);
    if (most < 1) most = 1;
    c->n_block = 0;
    for (int r = 0; r < b->n; r++) {
        int seq = b->seq ? b->seq[r] : 0;
        att_block *last = c->n_block ? &c->block[c->n_block - 1] : NULL;
        if (last && last->seq == seq && last->n < most && b->cell[r] > b->cell[r - 1]) last->n++;
        else c->block[c->n_block++] = (att_block){ r, 1, seq };
    }
}

static int cpu_begin(ker_ctx *c, ker_kv *kv, const ker_batch *b)
{
    const ker_model *m = &c->dev->m;
    c->open = false;
    c->state = Q_RANGE;
    if (!c->dev->scratch_bytes || !kv || b->n < 1 || b->n > c->max_rows) return Q_RANGE;
    for (int r = 0; r < b->n; r++) {
        int seq = b->seq ? b->seq[r] : 0, slot = b->slot ? b->slot[r] : 0;
        if (b->token[r] < 0 || b->token[r] >= m->n_vocab || slot < 0 || slot > 255 || !c->cfg[slot] || seq < 0 || seq >= b->n_seq) return Q_RANGE;
        const ker_seq *s = &b->seqs[seq];
        if (b->cell[r] < 0 || b->cell[r] / KER_PAGE >= s->n_page) return Q_RANGE;
        if (!r || !b->seq || b->seq[r] != b->seq[r - 1])
            for (int i = 0; i < s->n_page; i++) if (s->page[i] < 0 || s->page[i] >= kv->n_page) return Q_RANGE;
    }
    if (b->forced && !forced_ok(c, b)) return Q_RANGE;
    c->b = *b;
    c->kv = kv;
    c->state = Q_OK;
    c->open = true;
    c->n_logits = c->n_hidden = 0;
    blocks_make(c);
    attn_begin(c);
    for (int l = 0; l < m->n_layer; l++) {         /* routed layers write their own */
        if (m->layer[l].moe) continue;
        int64_t at = trace_at(c, l, 0), n = (int64_t)b->n * c->max_k;
        for (int64_t i = 0; i < n; i++) { c->ids[at + i] = KER_NO_EXPERT; c->weights[at + i] = 0; }
        for (int r = 0; r < b->n; r++) { c->entropy[(int64_t)l * b->n + r] = 0; c->margin[(int64_t)l * b->n + r] = NAN; }
    }
    return Q_OK;
}

static int cpu_end(ker_ctx *c, ker_out *out)
{
    c->open = false;
    if (c->state) return c->state;
    *out = (ker_out){ c->logits, c->n_logits, c->hidden, c->n_hidden, c->max_k, c->ids, c->weights, c->entropy, c->margin };
    return Q_OK;
}

/* ---- embedding, and each row's rotation ---- */

static void embed_task(void *arg, int r, int worker)
{
    ker_ctx *c = arg;
    const ker_model *m = &c->dev->m;
    const mat *w = &dev_layer(c->dev, -1)->w[KER_W_EMBD];
    ker_type_get(w->type)->decode(w->data + c->b.token[r] * w->row_bytes, c->x + (int64_t)r * m->n_embd, m->n_embd);
    const ker_config *k = ctx_cfg(c, r);
    float *cs = c->rope + (int64_t)r * m->rope_dim;
    int half = m->rope_dim / 2;
    for (int i = 0; i < half; i++) {               /* the angle in F32, as the reference implementations have it */
        float a = (float)c->b.pos[r] * k->rope_freq[i];
        cs[i] = cosf(a) * k->rope_mscale;
        cs[half + i] = sinf(a) * k->rope_mscale;
    }
}

static int cpu_embed(ker_ctx *c) { return ctx_run(c, c->b.n, embed_task, c); }

/* ---- norms and products ---- */

typedef struct norm_job { ker_ctx *c; const float *w; unsigned kinds; int per; } norm_job;

static void norm_task(void *arg, int task, int worker)
{
    norm_job *j = arg;
    ker_ctx *c = j->c;
    int64_t n = c->dev->m.n_embd;
    static const int type_of[N_ACT] = { [KER_ACT_F32] = KER_F32, [KER_ACT_Q8_32] = KER_Q8_0, [KER_ACT_Q8_256] = KER_Q4_K };
    for (int r = task * j->per; r < (task + 1) * j->per && r < c->b.n; r++) {
        float *y = c->y + r * n;
        c->dev->v->norm(c->x + r * n, j->w, (int)n, ctx_cfg(c, r)->norm_eps, y);
        for (int k = 0; k < N_ACT; k++)
            if (j->kinds >> k & 1) mat_act(type_of[k], y, n, c->in.p[k] + r * c->in.stride[k]);
    }
}

int ctx_norm(ker_ctx *c, const float *w, unsigned kinds)
{
    norm_job j = { c, w, kinds, (int64_t)c->b.n * c->dev->m.n_embd <= 16384 ? c->b.n : 4 };
    return ctx_run(c, (c->b.n + j.per - 1) / j.per, norm_task, &j);
}

int block_rows(const ker_dev *d, int64_t n_out, int n_rows)
{
    int64_t most = n_rows < 8 ? FFN_BLOCK * 4 : FFN_BLOCK, b = n_out / (pool_threads(d->pool) * INT64_C(6)) & ~INT64_C(15);
    return (int)(b < 16 ? 16 : b > most ? most : b);
}

typedef struct prod_job { ker_ctx *c; prod *p; int n; } prod_job;

static void prod_task(void *arg, int task, int worker)
{
    prod_job *j = arg;
    prod *p = j->p;
    while (p + 1 < j->p + j->n && p[1].first <= task) p++;
    int64_t o0 = (int64_t)(task - p->first) * p->block, o1 = o0 + p->block < p->w->n_out ? o0 + p->block : p->w->n_out;
    mat_mul(p->w, p->act, p->act_stride, p->n, o0, o1, p->y, p->y_stride, dev_mat_scratch(j->c->dev, worker));
    if (p->add_to)
        for (int r = 0; r < p->n; r++)
            j->c->dev->v->add(p->add_to + r * p->y_stride + o0, p->y + r * p->y_stride + o0, (int)(o1 - o0));
}

int ctx_products(ker_ctx *c, prod *p, int n)
{
    prod_job j = { c, p, n };
    int64_t total = 0;
    int tasks = 0;
    for (int i = 0; i < n; i++) total += p[i].w->n_out;
    int block = block_rows(c->dev, total, p->n);
    for (int i = 0; i < n; i++) {
        p[i].block = block;
        p[i].first = tasks;
        tasks += (int)((p[i].w->n_out + block - 1) / block);
    }
    return ctx_run(c, tasks, prod_task, &j);
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
        if (want & KER_WANT_HIDDEN) memcpy(c->hidden + (int64_t)c->n_hidden++ * m->n_embd, y, row);
        if (want & KER_WANT_LOGITS) mat_act(out->type, y, m->n_embd, c->in.p[kind] + n++ * c->in.stride[kind]);
    }
    c->n_logits = n;
    if (!n) return Q_OK;
    prod p = { .w = out, .act = c->in.p[kind], .act_stride = c->in.stride[kind], .n = n, .y = c->logits, .y_stride = m->n_vocab };
    return ctx_products(c, &p, 1);
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

const ker_backend *ker_cpu(void)
{
    static const ker_backend cpu = {
        .name = "cpu", .open = dev_open, .close = dev_close, .set_threads = dev_set_threads, .weight = dev_weight, .ready = dev_ready,
        .ctx_new = ctx_new, .ctx_free = ctx_free, .cfg_put = cfg_put,
        .kv_new = kv_new, .kv_free = kv_free, .kv_copy = kv_copy, .kv_page_bytes = kv_page_bytes,
        .begin = cpu_begin, .embed = cpu_embed, .attn = cpu_attn, .route = cpu_route, .experts = cpu_experts, .dense = cpu_dense,
        .head = cpu_head, .end = cpu_end, .hidden_get = hidden_get, .hidden_put = hidden_put,
    };
    return &cpu;
}
