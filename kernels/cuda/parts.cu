/* kernels/cuda/parts: a part of the table as the pieces it is made of, the head, and experts that run elsewhere. For few
 * rows decode.cu has fused launches, which are taken first. See cuda.h. */
#include "kernels/cuda/low.cuh"

#include <stdlib.h>
#include <string.h>

static unsigned kind_of(const cu_mat *w) { return w->n_out ? 1u << w->act : 0; }

static cu_prod product(const cu_mat *w, float *y, const float *bias)
{
    cu_prod p;
    memset(&p, 0, sizeof p);
    p.w = w;
    p.bias = bias;
    p.y = y;
    p.y_stride = w->n_out;
    p.part = KER_PART_NONE;
    return p;
}

/* ---- embedding ---- */

/* What a dense layer leaves in the trace, and every mark at rest. slots may be 0 (no experts); rows >= n; queue: [4] of cu_low or NULL. */
__global__ void __launch_bounds__(256) trace_clear(cu_trace tr, int64_t slots, int64_t rows, int n, int *queue)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    if (queue && blockIdx.x == 0 && threadIdx.x < 4) queue[threadIdx.x] = 0;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < slots || i < rows; i += step) {
        if (i < slots) {
            tr.ids[i] = KER_NO_EXPERT;
            tr.weights[i] = 0;
        }
        if (i < rows) {
            tr.entropy[i] = 0;
            tr.margin[i] = __int_as_float(0x7fc00000);
        }
        if (i < n) tr.bad[i] = 0;
    }
}

static void embed(ker_ctx *c)
{
    const ker_model *m = &c->dev->m;
    int64_t rows = (int64_t)m->n_layer * c->shape.n, slots = rows * c->max_k, blocks = ((slots > rows ? slots : rows) + 255) / 256;
    LAUNCH(trace_clear, dim3((unsigned)(blocks < 1024 ? blocks : 1024)), dim3(256), 0, c->st, c->tr, slots, rows, c->shape.n, c->low.queue);
    c->low.turn = 0;
    cu_embed(c);
    cu_low_embed(c);
    cu_embed_more(c);
}

/* ---- head ---- */

__global__ void __launch_bounds__(256) logits_check(const float *logits, const int *want, int n_vocab, unsigned *bad)
{
    const float *row = logits + (int64_t)blockIdx.y * n_vocab;
    bool wrong = false;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n_vocab; i += gridDim.x * blockDim.x) wrong |= !(fabsf(row[i]) <= 3.402823466e38f);
    if (wrong) atomicCAS(&bad[want[blockIdx.y]], 0u, (unsigned)KER_PART_HEAD << 16);
}

static void head(ker_ctx *c)
{
    const ker_model *m = &c->dev->m;
    const cu_layer *w = cu_layer_of(c->dev, -1);
    const cu_mat *out = w->w[KER_W_OUT].n_out ? &w->w[KER_W_OUT] : &w->w[KER_W_EMBD];
    const float *norm = w->vec[KER_W_OUT_NORM];
    if (c->shape.n_hidden) cu_norm(c, norm, c->rows.want_hidden, c->shape.n_hidden, c->out.hidden);
    for (int at = 0; at < c->shape.n_logits; at += CU_HEAD_ROWS) {
        int n = c->shape.n_logits - at < CU_HEAD_ROWS ? c->shape.n_logits - at : CU_HEAD_ROWS;
        cu_norm(c, norm, c->rows.want + at, n, c->y);
        cu_quantise(c, c->y, n, m->n_embd, kind_of(out), &c->in);
        cu_prod p = product(out, c->out.logits, NULL);
        cu_products(c, &p, 1, c->y, &c->in, n);
        cu_low_job low = cu_low_head_job(c, c->y, NULL, at, n);
        cu_low_both(c, &low, 1);
        cu_scale_logits(c, c->rows.want + at, n);
        LAUNCH(logits_check, dim3((unsigned)((m->n_vocab + 1023) / 1024), (unsigned)n), dim3(256), 0, c->st, c->out.logits, c->rows.want + at, m->n_vocab, c->tr.bad);
        if (c->shape.n_logits > CU_HEAD_ROWS)      /* never in a graph: so many rows are not few */
            cu_ok(c->dev, cudaMemcpyAsync(c->out.logits_many + (int64_t)at * m->n_vocab, c->out.logits, (size_t)n * (size_t)m->n_vocab * 4,
                                          cudaMemcpyDeviceToHost, c->st), "logits");
    }
}

/* ---- attention, router, dense ---- */

static void attn(ker_ctx *c, int layer)
{
    if (c->dev->m.layer[layer].mixer == KER_MIX_DELTA) {
        cu_delta_part(c, layer);
        return;
    }
    const cu_layer *l = cu_layer_of(c->dev, layer);
    const cu_mat *q = &l->w[KER_W_Q], *k = &l->w[KER_W_K], *v = &l->w[KER_W_V], *o = &l->w[KER_W_O];
    int n = c->shape.n, E = c->dev->m.n_embd;
    if (c->dev->m.latent.kv_rank) {
        cu_mla_attn(c, layer);
        return;
    }
    cu_norm(c, l->vec[KER_W_ATTN_NORM], NULL, n, c->y);
    cu_quantise(c, c->y, n, E, kind_of(q) | kind_of(k) | kind_of(v), &c->in);
    cu_prod p[3] = { product(q, c->att.q, l->vec[KER_W_BQ]), product(k, c->att.k, l->vec[KER_W_BK]), product(v, c->att.v, l->vec[KER_W_BV]) };
    cu_products(c, p, 3, c->y, &c->in, n);
    cu_low_job low[3], low_out = cu_low_out_job(c, layer);
    cu_low_qkv_jobs(c, layer, c->y, NULL, low);
    cu_low_both(c, low, 3);
    cu_attend(c, layer);
    cu_quantise(c, c->att.o, n, o->n_in, kind_of(o), &c->att.act);
    cu_prod po = product(o, cu_stream(c, layer), l->vec[KER_W_BO]);
    po.add = true;
    po.layer = layer;
    po.part = KER_PART_ATTN;
    cu_products(c, &po, 1, c->att.o, &c->att.act, n);
    cu_low_both(c, &low_out, 1);
    cu_finish(c, layer, KER_PART_ATTN, 0, n);
}

static void route(ker_ctx *c, int layer)
{
    static const enum ker_role readers[] = { KER_W_ROUTER, KER_W_SH_ROUTER, KER_W_GATE_EXPS, KER_W_UP_EXPS, KER_W_GATE_SH, KER_W_UP_SH };
    const cu_layer *l = cu_layer_of(c->dev, layer);
    unsigned kinds = 0;
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) kinds |= kind_of(&l->w[readers[i]]);
    cu_norm(c, l->vec[KER_W_FFN_NORM], NULL, c->shape.n, c->y);
    cu_quantise(c, c->y, c->shape.n, c->dev->m.n_embd, kinds, &c->in);
    cu_prod p[2] = { product(&l->w[KER_W_ROUTER], c->ffn.score, l->vec[KER_W_BROUTER]), product(&l->w[KER_W_SH_ROUTER], c->ffn.sh_coef, NULL) };
    p[0].exact = p[1].exact = true;
    cu_products(c, p, l->w[KER_W_SH_ROUTER].n_out ? 2 : 1, c->y, &c->in, c->shape.n);
    cu_choose(c, layer);
}

static void dense(ker_ctx *c, int layer)
{
    const cu_layer *l = cu_layer_of(c->dev, layer);
    cu_norm(c, l->vec[KER_W_FFN_NORM], NULL, c->shape.n, c->y);
    cu_quantise(c, c->y, c->shape.n, c->dev->m.n_embd, kind_of(&l->w[KER_W_GATE]) | kind_of(&l->w[KER_W_UP]), &c->in);
    cu_dense(c, layer);
}

void cu_part_launch(ker_ctx *c, int part, int layer)
{
    if (c->shape.n <= CU_FEW && cu_few_part(c, part, layer)) return;
    switch (part) {
    case CU_EMBED: embed(c); return;
    case CU_ATTN: attn(c, layer); return;
    case CU_ROUTE: route(c, layer); return;
    case CU_EXPERTS: cu_experts(c, layer); return;
    case CU_DENSE: dense(c, layer); return;
    case CU_HEAD: head(c); return;
    }
}

/* ---- routed experts on another device ---- */

/* Rows on their way between devices, for the longest batch: made with the context where the model is divided, else by the
 * first call. A refusal is the device's, not the cache's. */
bool moe_room(ker_ctx *c)
{
    const ker_model *m = &c->dev->m;
    if (c->moe.ids) return true;
    int64_t n = c->max_rows, slots = n * c->max_k;
    c->moe.x = (float *)cu_ctx_pinned(c, n * m->n_embd * 4);
    c->moe.weights = (float *)cu_ctx_pinned(c, slots * 4);
    c->moe.y = (float *)cu_ctx_pinned(c, (int64_t)c->ffn.pairs_cap * m->n_embd * 4);
    c->moe.dev_ids = (uint16_t *)cu_ctx_alloc(c, slots * 2);
    c->moe.width = (int32_t *)cu_ctx_pinned(c, n * 4);
    c->moe.dev_width = (int32_t *)cu_ctx_alloc(c, n * 4);
    uint16_t *ids = (uint16_t *)cu_ctx_pinned(c, slots * 2);
    if (!c->moe.x || !c->moe.weights || !c->moe.y || !c->moe.dev_ids || !c->moe.width || !c->moe.dev_width || !ids) return false;
    c->moe.ids = ids;
    return true;
}

/* Room for the rows of pairs that moe_run hands out, and for a carved layer the scales of 1 that go with them. */
static bool moe_rows_room(ker_ctx *c, int pairs)
{
    int64_t need = (int64_t)pairs * c->dev->m.n_embd;
    bool carved = c->dev->m.router_scale > 0;
    if (need <= c->moe.cap) return true;
    free(c->moe.rows);
    free(c->moe.ones);
    c->moe.rows = (float *)malloc((size_t)need * 4);
    c->moe.ones = carved ? (float *)malloc((size_t)need * 4) : NULL;
    c->moe.cap = c->moe.rows && (!carved || c->moe.ones) ? need : 0;
    for (int64_t i = 0; carved && i < c->moe.cap; i++) c->moe.ones[i] = 1;
    return c->moe.cap == need;
}

static int no_room(ker_ctx *c)
{
    cu_ok(c->dev, cudaErrorMemoryAllocation, "experts on their way");
    return c->state = Q_ERR;
}

static int slots_of(const ker_moe *m, int row)
{
    int k = 0;
    while (k < m->max_k && m->ids[(int64_t)row * m->max_k + k] != KER_NO_EXPERT) k++;
    return k;
}

int moe_take(ker_ctx *c, int layer, ker_moe *out)
{
    const ker_model *m = &c->dev->m;
    int rc = cu_flush(c);
    if (rc) return rc;
    if (!moe_room(c)) return no_room(c);
    int n = c->shape.n;
    int64_t at = cu_trace_at(c, layer), slots = (int64_t)n * c->max_k;
    bool ok = cu_ok(c->dev, cudaMemcpyAsync(c->moe.x, c->y, (size_t)n * (size_t)m->n_embd * 4, cudaMemcpyDeviceToHost, c->st), "experts")
        && cu_ok(c->dev, cudaMemcpyAsync(c->moe.ids, c->tr.ids + at, (size_t)slots * 2, cudaMemcpyDeviceToHost, c->st), "experts")
        && cu_ok(c->dev, cudaMemcpyAsync(c->moe.weights, c->tr.weights + at, (size_t)slots * 4, cudaMemcpyDeviceToHost, c->st), "experts")
        && cu_ok(c->dev, cudaStreamSynchronize(c->st), "experts");
    if (!ok) return c->state = Q_ERR;
    memset(out, 0, sizeof *out);
    out->n = n;
    out->max_k = c->max_k;
    out->x = c->moe.x;
    out->ids = c->moe.ids;
    out->weights = c->moe.weights;
    const int *slot = (const int *)(const void *)c->up.host + 3 * (int64_t)c->max_rows;
    for (int r = 0; r < n; r++) {
        out->n_pair += slots_of(out, r);
        c->moe.width[r] = c->up.expert_width[(int64_t)slot[r] * m->n_layer + layer];
        if (c->moe.width[r]) out->width = c->moe.width;
    }
    return Q_OK;
}

/* Rows [r0, r0 + n) at k slots each are one pass. */
static int pass_rows(const ker_ctx *c, int left, int k)
{
    int n = c->ffn.pairs_cap / (k < 1 ? 1 : k);
    return n < 1 ? 1 : n < left ? n : left;
}

/* The slots of rows that another context took, to where a batch's lie. */
static int slots_bring(ker_ctx *c, const ker_moe *moe)
{
    char err[Q_ERRLEN];
    int *to = (int *)(void *)c->up.host + 3 * (int64_t)c->max_rows, rc = cu_adapters_begin(c, moe->n, moe->slot, err);
    if (rc) return rc;
    for (int r = 0; r < moe->n; r++) to[r] = moe->slot[r];
    return cu_ok(c->dev, cudaMemcpyAsync((int *)(uintptr_t)c->rows.slot, to, (size_t)moe->n * 4, cudaMemcpyHostToDevice, c->st), "experts") ? Q_OK : (c->state = Q_ERR);
}

int moe_run(ker_ctx *c, int layer, ker_moe *moe)
{
    const ker_model *m = &c->dev->m;
    const cu_layer *l = cu_layer_of(c->dev, layer);
    int k = 0, pair = 0;
    if (!c->open) c->state = Q_OK;                 /* a context that only runs experts has no begin */
    if (c->state) return c->state;
    if (!c->dev->ready || !l->w[KER_W_DOWN_EXPS].n_out || moe->n < 1 || moe->n > c->max_rows || moe->max_k > c->max_k) return Q_RANGE;
    for (int r = 0; r < moe->n; r++) {
        int slots = slots_of(moe, r);
        for (int s = 0; s < slots; s++) if (moe->ids[(int64_t)r * moe->max_k + s] >= m->n_expert) return Q_RANGE;
        if (slots > k) k = slots;
        pair += slots;
    }
    cudaSetDevice(c->dev->index);
    if (!moe_room(c) || !moe_rows_room(c, pair)) return no_room(c);
    bool told = moe->slot && !c->open;
    int rc = told ? slots_bring(c, moe) : Q_OK;
    if (rc) return rc;
    int64_t E = m->n_embd;
    if (moe->x != c->moe.x) memcpy(c->moe.x, moe->x, (size_t)(moe->n * E) * 4);
    if (moe->width && moe->width != c->moe.width) memcpy(c->moe.width, moe->width, (size_t)moe->n * 4);
    for (int r = 0; r < moe->n; r++)
        for (int s = 0; s < c->max_k; s++)
            c->moe.ids[(int64_t)r * c->max_k + s] = s < moe->max_k ? moe->ids[(int64_t)r * moe->max_k + s] : (uint16_t)KER_NO_EXPERT;
    bool ok = cu_ok(c->dev, cudaMemcpyAsync(c->y, c->moe.x, (size_t)(moe->n * E) * 4, cudaMemcpyHostToDevice, c->st), "experts")
        && cu_ok(c->dev, cudaMemcpyAsync(c->moe.dev_ids, c->moe.ids, (size_t)moe->n * (size_t)c->max_k * 2, cudaMemcpyHostToDevice, c->st), "experts")
        && (!moe->width || cu_ok(c->dev, cudaMemcpyAsync(c->moe.dev_width, c->moe.width, (size_t)moe->n * 4, cudaMemcpyHostToDevice, c->st), "experts"));
    c->moe.run = true;
    c->moe.own = told || (c->open && moe->x == c->moe.x);
    c->moe.widths = moe->width != NULL;
    cu_quantise(c, c->y, moe->n, m->n_embd, kind_of(&l->w[KER_W_GATE_EXPS]) | kind_of(&l->w[KER_W_UP_EXPS]), &c->in);
    pair = 0;
    for (int r0 = 0, n; ok && k && r0 < moe->n; r0 += n) {
        n = pass_rows(c, moe->n - r0, k);
        int64_t at = (int64_t)r0 * c->max_k;
        if (cu_cache_has(c->dev, layer)) {
            rc = cu_fetch_rows(c, layer, c->moe.ids + at, c->moe.dev_ids + at, r0, n, k, c->ffn.pair_y);
            if (rc) c->moe.run = false;
            if (rc) return rc;
        } else cu_experts_rows(c, layer, c->moe.dev_ids + at, r0, n, k, NULL, c->ffn.pair_y);
        ok = !c->state && cu_ok(c->dev, cudaGetLastError(), "experts")       /* the library's no is told by the state alone */
            && cu_ok(c->dev, cudaMemcpyAsync(c->moe.y, c->ffn.pair_y, (size_t)(n * k) * (size_t)E * 4, cudaMemcpyDeviceToHost, c->st), "experts")
            && cu_ok(c->dev, cudaStreamSynchronize(c->st), "experts");
        for (int r = 0; ok && r < n; r++)
            for (int s = 0, used = slots_of(moe, r0 + r); s < used; s++)
                memcpy(c->moe.rows + (int64_t)pair++ * E, c->moe.y + ((int64_t)r * k + s) * E, (size_t)E * 4);
    }
    c->moe.run = false;
    if (!ok) return c->state = Q_ERR;
    moe->y = c->moe.rows;
    moe->scale = c->dev->m.router_scale > 0 ? c->moe.ones : NULL;
    moe->n_term = 1;
    return Q_OK;
}

int moe_add(ker_ctx *c, int layer, const ker_moe *moe)
{
    int64_t E = c->dev->m.n_embd;
    int k = 0, pair = 0, rc = cu_flush(c);
    if (rc) return rc;
    if (!moe_room(c)) return no_room(c);
    for (int r = 0; r < moe->n; r++) {
        int slots = slots_of(moe, r);
        if (slots > k) k = slots;
    }
    if (k < 1) k = 1;
    for (int r0 = 0, n; r0 < moe->n; r0 += n) {
        n = pass_rows(c, moe->n - r0, k);
        for (int r = 0; r < n; r++)
            for (int s = 0, used = slots_of(moe, r0 + r); s < used; s++, pair++) {
                float *to = c->moe.y + ((int64_t)r * k + s) * E;
                const float *y = moe->y + pair * E;
                const float *low = moe->low ? moe->low + pair * E : NULL;
                if (!moe->scale) memcpy(to, y, (size_t)E * 4);
                else for (int64_t i = 0; i < E; i++) {       /* a carved layer's row: its terms */
                    float v = 0;
                    for (int t = 0; t < moe->n_term; t++) {
                        int64_t at = ((int64_t)t * moe->n_pair + pair) * E + i;
                        v += moe->scale[at] * moe->y[at];
                    }
                    to[i] = low ? v + low[i] : v;
                }
            }
        if (!cu_ok(c->dev, cudaMemcpyAsync(c->ffn.pair_y, c->moe.y, (size_t)(n * k) * (size_t)E * 4, cudaMemcpyHostToDevice, c->st), "experts")) return c->state = Q_ERR;
        cu_experts_add(c, layer, r0, n, k, c->ffn.pair_y);
        if (r0 + n < moe->n && !cu_ok(c->dev, cudaStreamSynchronize(c->st), "experts")) return c->state = Q_ERR;
    }
    return cu_ok(c->dev, cudaGetLastError(), "experts") ? Q_OK : (c->state = Q_ERR);
}
