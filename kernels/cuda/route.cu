/* kernels/cuda/route: the choice of experts from a row's scores: a warp a row. See cuda.h, choose.cuh. */
#include "kernels/cuda/choose.cuh"

enum { ROUTE_WARPS = 4, ROUTE_THREADS = 128 };

/* PER: see choose_row. */
template <int PER> static __global__ void BOUNDS(ROUTE_THREADS, 8) choose(choose_args a)
{
    int row = (int)(blockIdx.x * ROUTE_WARPS + threadIdx.x / WARP), lane = (int)(threadIdx.x % WARP);
    if (row < a.n) choose_row<PER, false>(a, row, lane);
}

/* The same of experts in groups, which asks for more registers. */
template <int PER> static __global__ void __launch_bounds__(ROUTE_THREADS, 4) choose_groups(choose_args a)
{
    int row = (int)(blockIdx.x * ROUTE_WARPS + threadIdx.x / WARP), lane = (int)(threadIdx.x % WARP);
    if (row < a.n) choose_row<PER, true>(a, row, lane);
}

choose_args cu_choose_args(const ker_ctx *c, int layer)
{
    const ker_model *m = &c->dev->m;
    const cu_layer *w = cu_layer_of(c->dev, layer);
    int64_t at = cu_trace_at(c, layer), row = (int64_t)layer * c->shape.n;
    choose_args a;
    a.score = c->ffn.score;
    a.sh_coef = w->w[KER_W_SH_ROUTER].n_out ? c->ffn.sh_coef : NULL;
    a.bias = w->vec[KER_W_SELECT_BIAS];
    a.slot = c->rows.slot;
    a.cfg = c->rows.cfg;
    a.forced = c->shape.forced && c->rows.forced ? c->rows.forced + at : NULL;
    a.ids = c->tr.ids + at;
    a.weights = c->tr.weights + at;
    a.entropy = c->tr.entropy + row;
    a.margin = c->tr.margin + row;
    a.tr = c->tr;
    a.n = c->shape.n;
    a.n_expert = m->n_expert;
    a.max_k = c->max_k;
    a.layer = layer;
    a.gate = m->gate;
    a.renorm = m->renorm;
    a.weights_scale = m->weights_scale;
    a.router_scale = m->router_scale;
    a.sum_floor = m->sum_floor > 0 ? m->sum_floor : 1e-20f;                 /* see kernels/cpu/route.c */
    a.n_group = m->n_group;
    a.group_part = m->n_group > 1 ? (float)m->n_group / (float)m->n_expert : 0;
    a.n_group_used = m->n_group_used;
    a.group_best = m->group_best;
    return a;
}

void cu_choose(ker_ctx *c, int layer)
{
    choose_args a = cu_choose_args(c, layer);
    dim3 grid((unsigned)((a.n + ROUTE_WARPS - 1) / ROUTE_WARPS)), block(ROUTE_THREADS);
    if (a.n_group > 1 && a.n_expert <= 8 * WARP) LAUNCH(choose_groups<8>, grid, block, 0, c->st, a);
    else if (a.n_group > 1) LAUNCH(choose_groups<0>, grid, block, 0, c->st, a);
    else if (a.n_expert <= 4 * WARP) LAUNCH(choose<4>, grid, block, 0, c->st, a);
    else if (a.n_expert <= 8 * WARP) LAUNCH(choose<8>, grid, block, 0, c->st, a);
    else LAUNCH(choose<0>, grid, block, 0, c->st, a);
}
