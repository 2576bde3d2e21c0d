/* kernels/cuda/low: the launches behind low.cuh. Few rows: a warp for each number of t, a thread for each output, each launch ready before
 * the one before it has ended (gpu.h). Many rows: tiles of CU_LOW_TILE items and ranks; where a tile's items have one configuration and one
 * matrix, its numbers are read once for all of them, and the sums are the same either way. See low.cuh. */
#include "kernels/cuda/low_in.cuh"

#include <string.h>

enum { THREADS = 128, WARPS = THREADS / LANES, TILE = CU_LOW_TILE };

/* A warp has R of an item's `wide` numbers; those of an adapter begin at multiples of TILE. */
template <int I, int R> static __global__ void BOUNDS(THREADS, I > 1 ? 3 : 4) low_take(low_args a)
{
    int job = (int)blockIdx.z, p = ((int)blockIdx.y * WARPS + (int)threadIdx.x / LANES) * R, adapter = -1;
    low_item item[I];
    bool on[I];
    gpu_wait_before();
    gpu_let_next();
#pragma unroll
    for (int i = 0; i < KER_ADAPTERS; i++) if ((a.used >> i & 1) && p >= a.at[i] && p < a.wide) adapter = i;
    if (adapter < 0) return;
    int k0 = p - a.at[adapter];
    if (items_get<I>(a, a.job[job].of, (int)blockIdx.x * I, item, on)) {
        take<I, R>(a, job, item, adapter, k0);
        return;
    }
#pragma unroll 1
    for (int i = 0; i < I && I > 1; i++) {
        low_item one;
        if (item_get(a, a.job[job].of, (int)blockIdx.x * I + i, one)) take<1, R>(a, job, &one, adapter, k0);
    }
}

template <int I> static __global__ void BOUNDS(THREADS, 4) low_add(low_args a)
{
    int job = (int)blockIdx.z, o = (int)(blockIdx.x * THREADS + threadIdx.x);
    gpu_wait_before();
    gpu_let_next();
    if (o < a.job[job].n_out) low_add_items<I>(a, job, (int)blockIdx.y * I, o);
}

/* Jobs 2i and 2i + 1 are gate and up. fast: the division of the kernels whose place this takes. */
typedef struct glue_args { low_args low; int width[CU_LOW_JOBS / 2]; bool fast; } glue_args;

template <int I> static __global__ void __launch_bounds__(THREADS, 4) low_glue(glue_args a)
{
    int pair = (int)blockIdx.z, o = (int)(blockIdx.x * THREADS + threadIdx.x);
    gpu_wait_before();
    gpu_let_next();
    if (o < a.low.job[2 * pair].n_out) low_glue_items<I>(a.low, 2 * pair, (int)blockIdx.y * I, o, a.width[pair], a.fast);
}

/* ---- few rows' sums over slots ---- */

typedef struct low_down_args {
    low_args low;                  /* as low_down_sum wants it                                */
    const float *weights, *coef;
    float *y;
    int n_out;
} low_down_args;

static __global__ void BOUNDS(THREADS, 8) low_down(low_down_args a)
{
    int row = (int)blockIdx.y, o = (int)(blockIdx.x * THREADS + threadIdx.x);
    gpu_wait_before();
    gpu_let_next();
    if (o >= a.n_out) return;
    float *y = a.y + (int64_t)row * a.n_out + o;
    *y = low_down_sum(a.low, a.weights, a.coef, row, o, *y);
}

/* ---- the embedding ---- */

static __global__ void BOUNDS(THREADS, 8) low_embed(low_args a, const int *token, float *x)
{
    int row = (int)blockIdx.y, i = (int)(blockIdx.x * THREADS + threadIdx.x);
    const cu_low_job &j = a.job[0];
    low_item item;
    if (i >= j.n_in || !item_get(a, j.of, row, item)) return;
    const cu_cfg &cfg = a.cfg[item.slot];
    float *to = x + (int64_t)row * j.n_in + i, v = *to;
    for (int of = 0; of < cfg.n_adapt; of++) {
        cu_low_w w;
        int kept;
        float factor;
        if (!low_of(a, 0, cfg.adapt[of], item, w, kept, factor)) continue;
        for (int k = 0; k < w.rank; k++) v = fmaf(factor * w.b[(int64_t)k * j.n_out + token[row]], w.a[(int64_t)k * j.n_in + i], v);
    }
    *to = v;
    if (!cu_finite(v)) cu_mark(a.tr, row, KER_PART_EMBED, -1);
}

/* ---- launches ---- */

static void args_begin(const ker_ctx *c, low_args *a)
{
    memset(a, 0, sizeof *a);
    a->apart = (int64_t)(c->dev->m.n_layer + 1) * KER_W_ROLES;
    a->slot = c->rows.slot;
    a->cfg = c->rows.cfg;
    a->tr = c->tr;
    a->used = c->low.used;
    a->wide = c->low.wide;
    memcpy(a->at, c->low.at, sizeof a->at);
    a->n_expert = c->dev->m.n_expert;
}

static void args_put(const ker_ctx *c, low_args *a, int at, const cu_low_job *j)
{
    int64_t ne[3];
    ker_role_shape(&c->dev->m, j->layer, (enum ker_role)j->role, ne);
    a->table[at] = c->dev->adapters->table + (int64_t)(j->layer + 1) * KER_W_ROLES + j->role;
    a->job[at] = *j;
    a->job[at].n_in = (int)ne[0];
    a->job[at].n_out = (int)ne[1];
    a->job[at].by_expert = ker_role_of_experts((enum ker_role)j->role);
}

typedef struct extent { int n, items, out; } extent;

static void reach(extent *e, const low_args *a, int at)
{
    if (a->job[at].of.n > e->items) e->items = a->job[at].of.n;
    if (a->job[at].n_out > e->out) e->out = a->job[at].n_out;
}

static bool few(const ker_ctx *c) { return c->shape.n <= CU_FEW && !c->moe.run; }
static unsigned cut(int n, int per) { return (unsigned)((n + per - 1) / per); }

cu_low_job cu_low_rows(const ker_ctx *c, int layer, enum ker_role role, const float *x, float *y, int n)
{
    cu_low_job j;
    memset(&j, 0, sizeof j);
    j.layer = layer;
    j.role = role;
    j.of.n = n;
    j.x = x;
    j.y = y;
    j.part = KER_PART_NONE;
    return j;
}

void cu_low_take(ker_ctx *c, cu_low_job *jobs, int n)
{
    low_args a;
    extent e = { 0, 0, 0 };
    float *t = c->low.t;
    args_begin(c, &a);
    for (int i = 0; i < n; i++) {
        jobs[i].t = t;
        if (!jobs[i].of.n || !cu_low_acts(c, jobs[i].layer, jobs[i].role)) continue;
        t += (int64_t)jobs[i].of.n * c->low.wide;
        args_put(c, &a, e.n, &jobs[i]);
        reach(&e, &a, e.n++);
    }
    if (!e.n) return;
    if (few(c)) LAUNCH_EARLY(c->dev->early, (low_take<1, 1>), dim3((unsigned)e.items, cut(a.wide, WARPS), (unsigned)e.n), dim3(THREADS), 0, c->st, a);
    else LAUNCH((low_take<TILE, TILE>), dim3(cut(e.items, TILE), cut(a.wide, WARPS * TILE), (unsigned)e.n), dim3(THREADS), 0, c->st, a);
}

void cu_low_add(ker_ctx *c, const cu_low_job *jobs, int n)
{
    low_args a;
    extent e = { 0, 0, 0 };
    args_begin(c, &a);
    for (int i = 0; i < n; i++) {
        if (!jobs[i].of.n || !cu_low_acts(c, jobs[i].layer, jobs[i].role)) continue;
        args_put(c, &a, e.n, &jobs[i]);
        reach(&e, &a, e.n++);
    }
    if (!e.n) return;
    if (few(c)) LAUNCH_EARLY(c->dev->early, low_add<1>, dim3(cut(e.out, THREADS), (unsigned)e.items, (unsigned)e.n), dim3(THREADS), 0, c->st, a);
    else LAUNCH(low_add<TILE>, dim3(cut(e.out, THREADS), cut(e.items, TILE), (unsigned)e.n), dim3(THREADS), 0, c->st, a);
}

void cu_low_both(ker_ctx *c, cu_low_job *jobs, int n)
{
    cu_low_take(c, jobs, n);
    cu_low_add(c, jobs, n);
}

void cu_low_glue(ker_ctx *c, const cu_low_glu *g, int n, bool fast)
{
    glue_args a;
    extent e = { 0, 0, 0 };
    args_begin(c, &a.low);
    a.fast = fast;
    for (int i = 0; i < n; i++) {
        if (!g[i].gate.of.n) continue;
        a.width[e.n] = g[i].width;
        args_put(c, &a.low, 2 * e.n, &g[i].gate);
        args_put(c, &a.low, 2 * e.n + 1, &g[i].up);
        reach(&e, &a.low, 2 * e.n++);
    }
    if (!e.n) return;
    if (few(c)) LAUNCH_EARLY(c->dev->early, low_glue<1>, dim3(cut(e.out, THREADS), (unsigned)e.items, (unsigned)e.n), dim3(THREADS), 0, c->st, a);
    else LAUNCH(low_glue<TILE>, dim3(cut(e.out, THREADS), cut(e.items, TILE), (unsigned)e.n), dim3(THREADS), 0, c->st, a);
}

void cu_low_down(ker_ctx *c, const cu_low_job *down, const cu_low_job *sh, const float *weights, const float *coef, int rows)
{
    low_down_args a;
    memset(&a, 0, sizeof a);
    args_begin(c, &a.low);
    if (down->of.n && cu_low_acts(c, down->layer, down->role)) args_put(c, &a.low, 0, down);
    if (sh->of.n && cu_low_acts(c, sh->layer, sh->role)) args_put(c, &a.low, 1, sh);
    if (!a.low.job[0].of.n && !a.low.job[1].of.n) return;
    a.weights = weights;
    a.coef = coef;
    a.y = down->y;
    a.n_out = c->dev->m.n_embd;
    LAUNCH_EARLY(c->dev->early, low_down, dim3(cut(a.n_out, THREADS), (unsigned)rows), dim3(THREADS), 0, c->st, a);
}

/* ---- within other launches ---- */

static void fuse_begin(ker_ctx *c, low_fused *f, int warps)
{
    int turn = c->low.turn & 1;
    memset(f, 0, sizeof *f);
    if (!c->low.queue) return;                     /* no adapter was ever asked for */
    args_begin(c, &f->low);
    f->groups = (int)cut(f->low.wide, warps);
    f->queue = c->low.queue + 2 * turn;
    f->clear = c->low.queue + 2 * !turn;
}

/* The next place is job's, NULL: stays empty. t: where the next t lies. */
static void fuse_put(ker_ctx *c, low_fused *f, cu_low_job *job, float **t)
{
    bool acts = job && job->of.n && cu_low_acts(c, job->layer, job->role);
    if (job) {
        job->t = *t;
        args_put(c, &f->low, f->n_job, job);
    }
    if (acts) *t += (int64_t)job->of.n * c->low.wide;
    f->first[f->n_job + 1] = f->first[f->n_job] + (acts ? job->of.n * f->groups : 0);
    f->n_job++;
}

void cu_low_fuse(ker_ctx *c, cu_low_job *jobs, int n, int together, int warps, low_fused *f, int *at)
{
    float *t = c->low.t;
    fuse_begin(c, f, warps);
    for (int i = 0; i < n; i += together) {
        bool acts = false;
        for (int k = i; k < i + together; k++) acts = acts || (jobs[k].of.n && cu_low_acts(c, jobs[k].layer, jobs[k].role));
        at[i / together] = acts ? f->n_job : -1;
        for (int k = i; acts && k < i + together; k++) fuse_put(c, f, &jobs[k], &t);
    }
    c->low.turn += f->n_job > 0;
}

void cu_low_fuse_down(ker_ctx *c, cu_low_job *down, cu_low_job *sh, int warps, low_fused *f)
{
    cu_low_job *both[2] = { down, sh };
    float *t = c->low.t;
    fuse_begin(c, f, warps);
    for (int i = 0; i < 2; i++) fuse_put(c, f, both[i]->of.n && cu_low_acts(c, both[i]->layer, both[i]->role) ? both[i] : NULL, &t);
    if (!f->first[2]) f->n_job = 0;
    c->low.turn += f->n_job > 0;
}

/* ---- parts ---- */

void cu_low_qkv_jobs(const ker_ctx *c, int layer, const float *x, const float *norm, cu_low_job j[3])
{
    static const enum ker_role role[3] = { KER_W_Q, KER_W_K, KER_W_V };
    float *y[3] = { c->att.q, c->att.k, c->att.v };
    for (int i = 0; i < 3; i++) {
        j[i] = cu_low_rows(c, layer, role[i], x, y[i], c->shape.n);
        j[i].norm = norm;
    }
}

cu_low_job cu_low_out_job(const ker_ctx *c, int layer)
{
    cu_low_job j = cu_low_rows(c, layer, KER_W_O, c->att.mla.o ? c->att.mla.o : c->att.o, cu_stream(c, layer), c->shape.n);
    j.part = KER_PART_ATTN;
    return j;
}

cu_low_job cu_low_head_job(const ker_ctx *c, const float *x, const float *norm, int first, int n)
{
    cu_low_job j = cu_low_rows(c, -1, KER_W_OUT, x, c->out.logits, n);
    j.of.row_of = c->rows.want + first;
    j.norm = norm;
    j.by_row = norm != NULL;
    j.part = KER_PART_HEAD;
    return j;
}

void cu_low_embed(ker_ctx *c)
{
    low_args a;
    cu_low_job j = cu_low_rows(c, -1, KER_W_EMBD, NULL, NULL, c->shape.n);
    if (!cu_low_acts(c, -1, KER_W_EMBD)) return;
    args_begin(c, &a);
    args_put(c, &a, 0, &j);
    LAUNCH(low_embed, dim3(cut(c->dev->m.n_embd, THREADS), (unsigned)c->shape.n), dim3(THREADS), 0, c->st, a, c->rows.token, c->x);
}
