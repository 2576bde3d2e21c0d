/* kernels/cuda/glu: what stands between a gate and an up in layers that are not plain (another function than SiLU, biases of
 * routed experts), where products end without it: by launches of their own over both products. Few rows' fused launches do
 * it on their way (decode.cu), and those with adapters where adapters come in (low_in.cuh). See tiles.cuh, cuda.h. */
#include "kernels/cuda/low.cuh"
#include "kernels/cuda/tiles.cuh"

enum { THREADS = 128 };

typedef struct between_args {
    cu_between g;
    cu_low_items of;
    const int *slot;               /* of the batch's rows                                     */
    const cu_cfg *cfg;
} between_args;

/* The expert of item i, 0 where there are none; *pair: which pair it is. False: the item is not in use, or not this time. */
static __device__ __forceinline__ bool expert_of(const cu_low_items &t, int i, int *e, int *pair)
{
    *e = 0;
    *pair = t.pair_of ? t.pair_of[i] : i;
    if (!t.ids) return true;
    if (t.off && i >= *t.off + *t.count) return false;
    *e = t.ids[(int64_t)(t.row_of ? t.row_of[i] : *pair / t.per) * t.max_k + *pair % t.per];
    return *e != KER_NO_EXPERT && !(t.place && t.place[*e] < 0);
}

static __global__ void BOUNDS(THREADS, 8) glue_rows(between_args a)
{
    int i = (int)blockIdx.x, o = (int)(blockIdx.y * THREADS + threadIdx.x), e, pair;
    if (o >= a.g.n || !expert_of(a.of, i, &e, &pair)) return;
    int64_t at = (int64_t)i * a.g.n + o, bias = (int64_t)e * a.g.n + o;
    float g = a.g.h[at], u = a.g.up[at];
    if (a.g.gate_bias) g += a.g.gate_bias[bias], u += a.g.up_bias[bias];
    const int32_t *width = a.g.widths ? a.cfg[a.slot[a.of.r0 + i]].ffn_width : NULL;
    int keep = width ? width[a.g.layer] : 0;
    a.g.h[at] = keep > 0 && o >= keep ? 0.0f : a.g.glu == KER_GLU_SILU ? cu_silu_mul(g, u) : cu_glu_mul(a.g.glu, g, u);
}

static __global__ void BOUNDS(THREADS, 8) bias_rows(between_args a)
{
    int i = (int)blockIdx.x, o = (int)(blockIdx.y * THREADS + threadIdx.x), e, pair;
    if (o < a.g.n && expert_of(a.of, i, &e, &pair)) a.g.h[(int64_t)pair * a.g.n + o] += a.g.gate_bias[(int64_t)e * a.g.n + o];
}

static dim3 grid_of(const between_args &a) { return dim3((unsigned)a.of.n, (unsigned)((a.g.n + THREADS - 1) / THREADS)); }

void cu_glue_rows(ker_ctx *c, const cu_between *g, const cu_low_items *of)
{
    between_args a = { *g, *of, c->rows.slot, c->rows.cfg };
    LAUNCH(glue_rows, grid_of(a), dim3(THREADS), 0, c->st, a);
}

void cu_bias_rows(ker_ctx *c, const cu_between *g, const cu_low_items *of)
{
    between_args a = { *g, *of, c->rows.slot, c->rows.cfg };
    LAUNCH(bias_rows, grid_of(a), dim3(THREADS), 0, c->st, a);
}

bool cu_glue_make(ker_ctx *c)
{
    const ker_model *m = &c->dev->m;
    int64_t wide = 0;
    bool routed = false;
    for (int i = 0; i < m->n_layer; i++) {
        const ker_layer *l = &m->layer[i];
        routed = routed || (l->moe && (l->glu != KER_GLU_SILU || l->biases & KER_BIAS_EXPERTS));
        int own = l->moe ? m->n_ff_sh : l->n_ff;
        if (l->glu != KER_GLU_SILU && own > wide) wide = own;
    }
    if (routed) c->ffn.up_of.h = (float *)cu_ctx_alloc(c, (int64_t)c->ffn.pairs_cap * m->n_ff_exp * 4);
    if (wide) c->ffn.up_of.h_sh = (float *)cu_ctx_alloc(c, (int64_t)c->max_rows * wide * 4);
    return (!routed || c->ffn.up_of.h) && (!wide || c->ffn.up_of.h_sh);
}
