/* kernels/cuda/norms: what some models do with rows between the products: one norm over all heads of Q and one over those of K
 * (OLMoE), norms and a factor on what a part gives before it goes into the residual stream (Gemma 3, Granite), a factor on logits.
 * A part that finishes so adds to rows of zeros instead of the stream, whichever way its products go, and one launch behind it
 * norms them, adds them to the stream and leaves zeros again. See cuda.h. */
#include "kernels/cuda/few.cuh"

enum { THREADS = 512, WARPS = THREADS / 32, PER_BLOCK = 4 * THREADS };

bool cu_norms_make(ker_ctx *c)
{
    const ker_model *m = &c->dev->m;
    bool y = false, local = false;
    for (int i = 0; i < m->n_layer; i++) {
        y = y || cu_stream(c, i) != c->x;
        local = local || m->layer[i].rope_set;
    }
    if (y) c->att.norms.y = (float *)cu_ctx_alloc(c, (int64_t)c->max_rows * m->n_embd * 4);
    if (local) c->att.norms.rope = (float *)cu_ctx_alloc(c, (int64_t)c->max_rows * m->rope_dim * 4);
    return (!y || c->att.norms.y) && (!local || c->att.norms.rope);
}

/* ---- what a part gives, into the stream ---- */

static float factor_of(const ker_model *m) { return m->residual_scale != 0 ? m->residual_scale : 1.0f; }

float *cu_stream(const ker_ctx *c, int layer)
{
    const ker_model *m = &c->dev->m;
    return m->layer[layer].post_norms || factor_of(m) != 1.0f ? c->att.norms.y : c->x;
}

typedef struct finish_args {
    float *x, *y;                  /* [n][n_embd] the stream, of rows from r0 on; zeros behind this */
    const float *norm;             /* NULL: none                                              */
    const int *slot;               /* of rows from r0 on                                      */
    const cu_cfg *cfg;
    cu_trace tr;
    float factor;
    int n, r0, layer, part;        /* n: n_embd                                               */
} finish_args;

/* A block a row, or without a norm PER_BLOCK of its numbers. */
static __global__ void __launch_bounds__(THREADS) finish(finish_args a)
{
    SHARED(float, part, WARPS);
    int row = (int)blockIdx.x, step = (int)gridDim.y * THREADS, first = (int)blockIdx.y * THREADS + (int)threadIdx.x;
    float *x = a.x + (int64_t)row * a.n, *y = a.y + (int64_t)row * a.n, scale = 1.0f;
    gpu_wait_before();
    gpu_let_next();
    if (a.norm) {
        float s = 0;
        for (int i = first; i < a.n; i += step) s = fmaf(y[i], y[i], s);
        scale = 1.0f / sqrtf(few_block_sum<WARPS>(s, part) / (float)a.n + a.cfg[a.slot[row]].eps);
    }
    bool whole = true;
    for (int i = first; i < a.n; i += step) {
        float v = y[i];
        if (a.norm) v = v * scale * a.norm[i];
        v = fmaf(a.factor, v, x[i]);
        whole = whole && cu_finite(v);
        x[i] = v;
        y[i] = 0;
    }
    if (!whole) cu_mark(a.tr, a.r0 + row, a.part, a.layer);
}

void cu_finish(ker_ctx *c, int layer, enum ker_part part, int r0, int n)
{
    const ker_model *m = &c->dev->m;
    int64_t E = m->n_embd;
    finish_args a = {};
    if (cu_stream(c, layer) == c->x) return;
    a.x = c->x + r0 * E;
    a.y = c->att.norms.y + r0 * E;
    a.norm = cu_layer_of(c->dev, layer)->vec[part == KER_PART_ATTN ? KER_W_POST_ATTN_NORM : KER_W_POST_FFN_NORM];
    a.slot = c->rows.slot + r0;
    a.cfg = c->rows.cfg;
    a.tr = c->tr;
    a.factor = factor_of(m);
    a.n = m->n_embd;
    a.r0 = r0;
    a.layer = layer;
    a.part = part;
    unsigned blocks = a.norm ? 1u : (unsigned)((m->n_embd + PER_BLOCK - 1) / PER_BLOCK);
    LAUNCH_EARLY(c->dev->early && c->shape.n <= CU_FEW, finish, dim3((unsigned)n, blocks), dim3(THREADS), 0, c->st, a);
}

/* ---- one norm over all heads ---- */

typedef struct whole_args {
    float *x[2];                   /* Q and K                                                 */
    const float *norm[2];          /* NULL: none                                              */
    int n[2];
    const int *slot;
    const cu_cfg *cfg;
} whole_args;

/* A block a row of Q or of K. */
static __global__ void __launch_bounds__(THREADS) whole_heads(whole_args a)
{
    SHARED(float, part, WARPS);
    bool key = blockIdx.y != 0;
    int row = (int)blockIdx.x, n = key ? a.n[1] : a.n[0];
    const float *norm = key ? a.norm[1] : a.norm[0];
    float *x = (key ? a.x[1] : a.x[0]) + (int64_t)row * n, s = 0;
    gpu_wait_before();
    gpu_let_next();
    if (!norm) return;
    for (int i = (int)threadIdx.x; i < n; i += THREADS) s = fmaf(x[i], x[i], s);
    float scale = 1.0f / sqrtf(few_block_sum<WARPS>(s, part) / (float)n + a.cfg[a.slot[row]].eps);
    for (int i = (int)threadIdx.x; i < n; i += THREADS) x[i] = x[i] * scale * norm[i];
}

bool cu_norm_whole(ker_ctx *c, int layer)
{
    const ker_model *m = &c->dev->m;
    const cu_layer *w = cu_layer_of(c->dev, layer);
    if (!m->qk_whole) return false;
    whole_args a = {};
    a.x[0] = c->att.q;
    a.x[1] = c->att.k;
    a.norm[0] = w->vec[KER_W_Q_NORM];
    a.norm[1] = w->vec[KER_W_K_NORM];
    a.n[0] = m->n_head * m->head_dim;
    a.n[1] = m->n_kv_head * m->head_dim;
    a.slot = c->rows.slot;
    a.cfg = c->rows.cfg;
    if (a.norm[0] || a.norm[1]) LAUNCH_EARLY(c->dev->early && c->shape.n <= CU_FEW, whole_heads, dim3((unsigned)c->shape.n, 2), dim3(THREADS), 0, c->st, a);
    return true;
}

/* ---- logits ---- */

static __global__ void __launch_bounds__(THREADS) scale_logits(float *logits, const int *want, int n_vocab, float factor, cu_trace tr)
{
    int o = (int)(blockIdx.x * THREADS + threadIdx.x), row = (int)blockIdx.y;
    gpu_wait_before();
    gpu_let_next();
    if (o >= n_vocab) return;
    float *to = logits + (int64_t)row * n_vocab + o, v = *to * factor;
    *to = v;
    if (!cu_finite(v)) cu_mark(tr, want[row], KER_PART_HEAD, -1);
}

void cu_scale_logits(ker_ctx *c, const int *want, int n)
{
    const ker_model *m = &c->dev->m;
    if (m->logit_scale == 0 || m->logit_scale == 1.0f || n < 1) return;
    LAUNCH_EARLY(c->dev->early && c->shape.n <= CU_FEW, scale_logits, dim3((unsigned)((m->n_vocab + THREADS - 1) / THREADS), (unsigned)n), dim3(THREADS), 0, c->st,
                 c->out.logits, want, m->n_vocab, m->logit_scale, c->tr);
}
