/* kernels/cuda/decode: few rows (n <= CU_FEW): the launches of a part fused where shapes and types allow, each behind a
 * predicate; parts.cu has what stands behind them. A layer is attention's products with norm and int8 in their prologue,
 * attention (attn.cu), its output with the residual, the router with the choice, gate and up, down with the sums. What adapters
 * change of products goes within these launches (low_in.cuh), as kernels of their own for whom the others stay as they are.
 * Every row has blocks of its own (grid.y): a second row finds its weights in the L2 cache. See cuda.h. */
#include "kernels/cuda/choose.cuh"
#include "kernels/cuda/few.cuh"
#include "kernels/cuda/few_route.cuh"
#include "kernels/cuda/low_in.cuh"

/* Kernels come three times: for the pair of types that most files of the trade are made of, which leaves registers for more
 * blocks, for the types that are often used, and, under names of their own (_any), for every type of blocks. */
enum { ANY, OFTEN, PAIR };
#define FEW_TYPES(SET, type, CASE) \
    if constexpr (SET == PAIR) switch (type) { CASE(Q4_K) CASE(Q6_K) } \
    else if constexpr (SET == OFTEN) switch (type) { CU_OFTEN_TYPES(CASE) } \
    else switch (type) { CU_BLOCK_TYPES(CASE) }
static int set_of(const cu_mat &w)
{
    if (!w.n_out || w.type == KER_Q4_K || w.type == KER_Q6_K) return PAIR;
    switch (w.type) {
#define CASE(name) case KER_##name: return ANY;
    CU_OTHER_TYPES(CASE)
#undef CASE
    }
    return OFTEN;
}
static int set_of(const cu_mat &w, const cu_mat &v) { return set_of(w) < set_of(v) ? set_of(w) : set_of(v); }

static bool is_block(const cu_mat &w) { return w.act != KER_ACT_F32; }

/* ---- products of one row: Q, K and V, attention's output, a dense layer's down, the head ---- */

typedef struct mul_args {
    cu_mat w[MUL_PRODS];           /* the same n_in                                           */
    cu_sink to[MUL_PRODS];
    int first[MUL_PRODS];          /* block                                                   */
    int n_prod, rounds;            /* rounds: outputs a warp                                  */
    const float *x, *norm;         /* norm NULL: x is taken as it is                          */
    const int *which;              /* rows of x and of marks, or NULL                         */
    cu_rows rows;
    cu_trace tr;
    int low[MUL_PRODS];            /* a product's change in what goes beside this, -1: none   */
} mul_args;

/* Shares of an output from `t0` on; for those behind the last the last is read again, and not multiplied. */
template <int TYPE, int A> static __device__ __forceinline__ void fetch(const cu_mat &w, int64_t block0, int units, int t0, typename few_form<TYPE>::raw r[A])
{
#pragma unroll
    for (int i = 0; i < A; i++) {
        int t = t0 + i * WARP + (int)threadIdx.x % WARP;
        few_form<TYPE>::load(w, block0, t < units ? t : units - 1, r[i]);
    }
}

/* A row's blocks, by a warp, into the L2 cache: of the two types that most weights have. */
static __device__ __forceinline__ void ask_row(const cu_mat &w, int64_t block0)
{
    if (w.type != KER_Q4_K && w.type != KER_Q6_K) return;
    bool six = w.type == KER_Q6_K;
    for (int i = (int)threadIdx.x % WARP; i < w.n_in / 64; i += WARP) {          /* 32 bytes at a time */
        int64_t block = block0 + i / 4;
        gpu_prefetch((six ? w.p[0] : w.p[1]) + block * 128 + i % 4 * 32);
        if (i % 4 == 0) gpu_prefetch((six ? w.p[2] : w.p[0]) + block * 16);
        if (i % 4 > 1 && six) gpu_prefetch(w.p[1] + block * 64 + i % 2 * 32);
    }
}

/* What an adapter's numbers take from the row is done while the first weights are on their way, or was done before: of every type such a
 * kernel would be twice as much to compile. */
enum low_when { LOW_NONE, LOW_HERE, LOW_DONE };
template <int TYPE, low_when LOW> static __device__ __forceinline__ void mul_row(const mul_args &a, const low_fused *f, const cu_mat &w, const cu_sink &to, int block, uint8_t *room, float *part, int *turn)
{
    typedef few_form<TYPE> form;
    const int A = MUL_AHEAD;
    int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP, units = w.n_in / 32, row = (int)blockIdx.y;
    int o = block * a.rounds * MUL_WARPS + warp, end = (block + 1) * a.rounds * MUL_WARPS;
    if (end > w.n_out) end = w.n_out;
    typename form::raw r[A] = {};
    if (o < end) fetch<TYPE, A>(w, (int64_t)o * (units / form::PER), units, 0, r);
    if (o + MUL_WARPS < end) ask_row(w, (int64_t)(o + MUL_WARPS) * (units / form::PER));
    if (a.norm && (int)threadIdx.x * 8 < w.n_in) gpu_prefetch(a.norm + threadIdx.x * 8);
    if constexpr (LOW != LOW_DONE) {
        gpu_wait_before();
        gpu_let_next();
    }
    if constexpr (LOW == LOW_HERE) low_work<MUL_WARPS>(*f, turn);
    cu_act act = few_row(room, w.n_in);
    int from = a.which ? a.which[row] : row;
    float eps = a.norm ? a.rows.cfg[a.rows.slot[from]].eps : 0.0f;
    few_prepare<1 << form::KIND, MUL_WARPS>(a.x + (int64_t)from * w.n_in, a.norm, eps, w.n_in, act, act, NULL, part);
    __syncthreads();
    for (; o < end; o += MUL_WARPS) {
        float acc = 0;
        for (int t0 = 0; t0 < units; t0 += A * WARP) {
            typename form::raw next[A] = {};
            bool last = t0 + A * WARP >= units;
            int o1 = last ? o + MUL_WARPS : o;
            if (o1 < end) fetch<TYPE, A>(w, (int64_t)o1 * (units / form::PER), units, last ? 0 : t0 + A * WARP, next);
#pragma unroll
            for (int i = 0; i < A; i++) {
                int t = t0 + i * WARP + lane;
                if (t < units) acc = form::dot(r[i], t, act, acc);
                r[i] = next[i];
            }
        }
        acc = cu_warp_sum(acc);
        if (lane == 0) cu_put(to, a.tr, row, o, acc, from);
    }
}

template <int SET, bool LOW> static __device__ __forceinline__ void mul_prods(const mul_args &a, const low_fused *f, float *part, int *turn)
{
    DYN_SHARED(uint8_t, room);
    int block = (int)blockIdx.x, low = LOW ? a.low[0] : -1;
    cu_mat w = a.w[0];
    cu_sink to = a.to[0];
    if (a.n_prod > 1 && block >= a.first[1]) {
        bool third = a.n_prod > 2 && block >= a.first[2];
        w = third ? a.w[2] : a.w[1];
        to = third ? a.to[2] : a.to[1];
        if (LOW) low = third ? a.low[2] : a.low[1];
        block -= third ? a.first[2] : a.first[1];
    }
    constexpr low_when when = !LOW ? LOW_NONE : SET == ANY ? LOW_DONE : LOW_HERE;
    if constexpr (when == LOW_DONE) {
        gpu_wait_before();
        gpu_let_next();
        low_work<MUL_WARPS>(*f, turn);
    }
#define CASE(name) case KER_##name: mul_row<KER_##name, when>(a, f, w, to, block, room, part, turn); break;
    FEW_TYPES(SET, w.type, CASE)
#undef CASE
    if constexpr (LOW) {
        if (low < 0) return;
        __syncthreads();
        low_wait(*f);
        int end = min((block + 1) * a.rounds * MUL_WARPS, w.n_out);
        for (int o = block * a.rounds * MUL_WARPS + (int)threadIdx.x; o < end; o += MUL_THREADS) low_add_items<1>(f->low, low, (int)blockIdx.y, o);
    }
}

template <int SET> static __global__ void __launch_bounds__(MUL_THREADS, SET == PAIR ? MUL_RESIDENT : MUL_LEAST) few_mul(mul_args a)
{
    SHARED(float, part, MUL_WARPS);
    mul_prods<SET, false>(a, NULL, part, NULL);
}

static __global__ void __launch_bounds__(MUL_THREADS, MUL_LEAST) few_mul_any(mul_args a)
{
    SHARED(float, part, MUL_WARPS);
    mul_prods<ANY, false>(a, NULL, part, NULL);
}

template <int SET> static __global__ void __launch_bounds__(MUL_THREADS, SET == PAIR ? MUL_LEAST : 1) few_mul_low(mul_args a, low_fused f)
{
    SHARED(float, part, MUL_WARPS);
    SHARED(int, turn, 1);
    mul_prods<SET, true>(a, &f, part, turn);
}

static __global__ void __launch_bounds__(MUL_THREADS, 1) few_mul_low_any(mul_args a, low_fused f)
{
    SHARED(float, part, MUL_WARPS);
    SHARED(int, turn, 1);
    mul_prods<ANY, true>(a, &f, part, turn);
}

static int cut(int outputs, int per) { return (outputs + per - 1) / per; }

static void mul_add(mul_args &a, const cu_mat &w, float *y, const float *bias)
{
    cu_sink to = { bias, y, w.n_out, 0, 0, KER_PART_NONE };
    a.w[a.n_prod] = w;
    a.to[a.n_prod++] = to;
}

static bool mul_fits(const mul_args &a)
{
    for (int i = 0; i < a.n_prod; i++) if (!is_block(a.w[i])) return false;
    return few_bytes(a.w[0].n_in) <= FEW_SHARED - 1024;
}

/* low: changes of the products; those of a device without adapters cost nothing. */
static void mul_launch(ker_ctx *c, mul_args &a, int n_rows, cu_low_job *low)
{
    int blocks = 0, at = 0;
    for (int i = 0; i < a.n_prod; i++) blocks += cut(a.w[i].n_out, MUL_WARPS);
    a.rounds = cut(blocks, c->dev->sms * MUL_RESIDENT);
    for (int i = 0; i < a.n_prod; i++) {
        a.first[i] = at;
        at += cut(a.w[i].n_out, MUL_WARPS * a.rounds);
    }
    a.rows = c->rows;
    a.tr = c->tr;
    int set = PAIR;
    for (int i = 0; i < a.n_prod; i++) if (set_of(a.w[i]) < set) set = set_of(a.w[i]);
    dim3 grid((unsigned)at, (unsigned)n_rows);
    low_fused f;
    cu_low_fuse(c, low, a.n_prod, 1, MUL_WARPS, &f, a.low);
    if (f.n_job && set == PAIR) LAUNCH_EARLY(c->dev->early, few_mul_low<PAIR>, grid, dim3(MUL_THREADS), few_bytes(a.w[0].n_in), c->st, a, f);
    else if (f.n_job && set == ANY) LAUNCH_EARLY(c->dev->early, few_mul_low_any, grid, dim3(MUL_THREADS), few_bytes(a.w[0].n_in), c->st, a, f);
    else if (f.n_job) LAUNCH_EARLY(c->dev->early, few_mul_low<OFTEN>, grid, dim3(MUL_THREADS), few_bytes(a.w[0].n_in), c->st, a, f);
    else if (set == PAIR) LAUNCH_EARLY(c->dev->early, few_mul<PAIR>, grid, dim3(MUL_THREADS), few_bytes(a.w[0].n_in), c->st, a);
    else if (set == OFTEN) LAUNCH_EARLY(c->dev->early, few_mul<OFTEN>, grid, dim3(MUL_THREADS), few_bytes(a.w[0].n_in), c->st, a);
    else LAUNCH_EARLY(c->dev->early, few_mul_any, grid, dim3(MUL_THREADS), few_bytes(a.w[0].n_in), c->st, a);
}

/* Normed rows for whoever reads them, and logits of those that are wanted. */
static bool head(ker_ctx *c)
{
    const cu_layer *l = cu_layer_of(c->dev, -1);
    mul_args a = {};
    mul_add(a, l->w[KER_W_OUT].n_out ? l->w[KER_W_OUT] : l->w[KER_W_EMBD], c->out.logits, NULL);
    if (!mul_fits(a) || c->shape.n_logits > 1 + CU_FEW) return false;
    if (c->shape.n_hidden) cu_norm(c, l->vec[KER_W_OUT_NORM], c->rows.want_hidden, c->shape.n_hidden, c->out.hidden);
    a.to[0].part = KER_PART_HEAD;
    a.to[0].layer = -1;
    a.x = c->x;
    a.norm = l->vec[KER_W_OUT_NORM];
    a.which = c->rows.want;
    if (!c->shape.n_logits) return true;
    cu_low_job low = cu_low_head_job(c, c->x, a.norm, 0, c->shape.n_logits);
    mul_launch(c, a, c->shape.n_logits, &low);
    cu_scale_logits(c, c->rows.want, c->shape.n_logits);
    return true;
}

/* A recurrent layer: its products, all that lies between in one launch (delta.cu), the output. Betas and alphas by blocks go in the
 * first launch where they are one matrix, else in a second; as floats they are computed as those of many rows. */
static bool delta(ker_ctx *c, int layer)
{
    const cu_layer *l = cu_layer_of(c->dev, layer);
    bool paired = c->dev->m.delta.paired;
    mul_args in = {}, two = {}, out = {};
    mul_add(in, l->w[KER_W_D_QKV], c->att.delta.in, NULL);
    mul_add(in, l->w[KER_W_D_Z], c->att.delta.z, NULL);
    mul_add(two, l->w[paired ? KER_W_D_BA : KER_W_D_BETA], c->att.delta.two, NULL);
    if (!paired) mul_add(two, l->w[KER_W_D_ALPHA], cu_delta_alpha(c), NULL);
    mul_add(out, l->w[KER_W_D_OUT], cu_stream(c, layer), l->vec[KER_W_BO]);
    in.x = two.x = c->x;
    in.norm = two.norm = l->vec[KER_W_ATTN_NORM];
    out.to[0].add = 1;
    out.to[0].part = KER_PART_ATTN;
    out.to[0].layer = layer;
    out.x = c->att.delta.o;
    if (!mul_fits(in) || !mul_fits(out)) return false;
    int n = c->shape.n;
    cu_low_job low[] = { cu_low_rows(c, layer, KER_W_D_QKV, c->x, c->att.delta.in, n), cu_low_rows(c, layer, KER_W_D_Z, c->x, c->att.delta.z, n),
                         cu_low_rows(c, layer, paired ? KER_W_D_BA : KER_W_D_BETA, c->x, c->att.delta.two, n),
                         cu_low_rows(c, layer, KER_W_D_ALPHA, c->x, cu_delta_alpha(c), n) }, low_out = cu_delta_out_job(c, layer);
    for (int i = 0; i < 4; i++) low[i].norm = in.norm;
    bool fits = mul_fits(two), with = fits && paired;
    if (with) mul_add(in, two.w[0], c->att.delta.two, NULL);
    mul_launch(c, in, n, low);
    if (fits && !with) mul_launch(c, two, n, low + 2);
    if (!fits) cu_delta_two(c, layer);
    cu_delta_rule(c, layer);
    mul_launch(c, out, n, &low_out);
    cu_finish(c, layer, KER_PART_ATTN, 0, n);
    return true;
}

/* Latent attention: the first products, the second Q with its norm (on the way of what follows, where that can: mla_few.cu), what mla.cu does
 * of heads, the output. */
static bool mla(ker_ctx *c, int layer)
{
    const cu_layer *l = cu_layer_of(c->dev, layer);
    bool two = c->dev->m.latent.q_rank > 0;
    enum ker_role first = two ? KER_W_Q_A : KER_W_Q;
    float *to = two ? c->att.mla.low : c->att.mla.q;
    mul_args in = {}, second = {}, out = {};
    mul_add(in, l->w[first], to, NULL);
    mul_add(in, l->w[KER_W_KV_A], c->att.k, NULL);
    in.x = c->x;
    in.norm = l->vec[KER_W_ATTN_NORM];
    if (two) mul_add(second, l->w[KER_W_Q_B], c->att.mla.q, NULL);
    second.x = c->att.mla.low;
    second.norm = l->vec[KER_W_Q_A_NORM];
    mul_add(out, l->w[KER_W_O], cu_stream(c, layer), l->vec[KER_W_BO]);
    out.to[0].add = 1;
    out.to[0].part = KER_PART_ATTN;
    out.to[0].layer = layer;
    out.x = c->att.mla.o;
    if (!mul_fits(in) || (two && !mul_fits(second)) || !mul_fits(out)) return false;
    cu_low_job low[2] = { cu_low_rows(c, layer, first, c->x, to, c->shape.n), cu_low_rows(c, layer, KER_W_KV_A, c->x, c->att.k, c->shape.n) };
    low[0].norm = low[1].norm = in.norm;
    mul_launch(c, in, c->shape.n, low);
    low[0] = cu_low_rows(c, layer, KER_W_Q_B, c->att.mla.low, c->att.mla.q, c->shape.n);
    low[0].norm = second.norm;
    bool joins = two && cu_mla_joins(c, layer);
    if (two && !joins) mul_launch(c, second, c->shape.n, low);
    cu_mla_heads(c, layer, joins);
    low[0] = cu_low_out_job(c, layer);
    mul_launch(c, out, c->shape.n, low);
    cu_finish(c, layer, KER_PART_ATTN, 0, c->shape.n);
    return true;
}

static bool attn(ker_ctx *c, int layer)
{
    if (c->dev->m.layer[layer].mixer == KER_MIX_DELTA) return delta(c, layer);
    if (c->dev->m.latent.kv_rank) return mla(c, layer);
    const cu_layer *l = cu_layer_of(c->dev, layer);
    mul_args in = {}, out = {};
    mul_add(in, l->w[KER_W_Q], c->att.q, l->vec[KER_W_BQ]);
    mul_add(in, l->w[KER_W_K], c->att.k, l->vec[KER_W_BK]);
    mul_add(in, l->w[KER_W_V], c->att.v, l->vec[KER_W_BV]);
    in.x = c->x;
    in.norm = l->vec[KER_W_ATTN_NORM];
    mul_add(out, l->w[KER_W_O], cu_stream(c, layer), l->vec[KER_W_BO]);
    out.to[0].add = 1;
    out.to[0].part = KER_PART_ATTN;
    out.to[0].layer = layer;
    out.x = c->att.o;
    if (!mul_fits(in) || !mul_fits(out)) return false;
    cu_low_job low[MUL_PRODS], low_out = cu_low_out_job(c, layer);
    cu_low_qkv_jobs(c, layer, c->x, in.norm, low);
    mul_launch(c, in, c->shape.n, low);
    cu_attend(c, layer);
    mul_launch(c, out, c->shape.n, &low_out);
    cu_finish(c, layer, KER_PART_ATTN, 0, c->shape.n);
    return true;
}

/* ---- the router: few_route.cuh ---- */

static bool route(ker_ctx *c, int layer)
{
    static const enum ker_role readers[] = { KER_W_GATE_EXPS, KER_W_UP_EXPS, KER_W_GATE_SH, KER_W_UP_SH };
    const cu_layer *l = cu_layer_of(c->dev, layer);
    route_args a = {};
    a.w = l->w[KER_W_ROUTER];
    a.sh = l->w[KER_W_SH_ROUTER];
    a.bias = l->vec[KER_W_BROUTER];
    a.n = c->dev->m.n_embd;
    if (is_block(a.w) || (a.sh.n_out && is_block(a.sh)) || a.n % 8) return false;
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        const cu_mat *w = &l->w[readers[i]];
        if (w->n_out && is_block(*w)) a.in[w->act] = c->in.kind[w->act];
    }
    a.x = c->x;
    a.norm = l->vec[KER_W_FFN_NORM];
    a.y = c->y;
    a.count = c->att.count;
    a.choose = cu_choose_args(c, layer);
    dim3 grid((unsigned)(a.choose.n_expert + (a.sh.n_out ? 2 : 1)), (unsigned)c->shape.n);
    if (a.choose.n_group > 1 && a.choose.n_expert <= 8 * WARP) LAUNCH_EARLY(c->dev->early, few_route_groups<8>, grid, dim3(MUL_THREADS), 0, c->st, a);
    else if (a.choose.n_group > 1) LAUNCH_EARLY(c->dev->early, few_route_groups<0>, grid, dim3(MUL_THREADS), 0, c->st, a);
    else if (a.choose.n_expert <= 4 * WARP) LAUNCH_EARLY(c->dev->early, few_route<4>, grid, dim3(MUL_THREADS), 0, c->st, a);
    else if (a.choose.n_expert <= 8 * WARP) LAUNCH_EARLY(c->dev->early, few_route<8>, grid, dim3(MUL_THREADS), 0, c->st, a);
    else LAUNCH_EARLY(c->dev->early, few_route<0>, grid, dim3(MUL_THREADS), 0, c->st, a);
    return true;
}

/* ---- gate, up and what is between them: of the chosen experts, and of the shared one or a dense layer ---- */

typedef struct glu_args {
    cu_mat gate, up, sh_gate, sh_up;             /* n_out 0: none; gate and up of one type    */
    cu_acts in;                    /* of the normed rows; unused where there is a norm        */
    const float *x, *norm;         /* a dense layer's; NULL in a routed one                   */
    const uint16_t *ids;           /* [n][max_k]                                              */
    float *h, *h_sh;               /* [n][k][n_ff_exp], [n][n_ff_sh]                          */
    float *up_to, *up_sh_to;       /* the same: where up goes and gate's product into h, for a change of either; NULL: silu(gate) * up into h */
    int low[2];                    /* gate's change in what goes beside this, -1: none; the shared one's */
    const int *slot;
    const cu_cfg *cfg;
    int layer, k, max_k, rounds;
    int slot_blocks;               /* blocks a slot                                           */
    bool narrow;                   /* an expert's width may be cut                            */
    int glu;                       /* ker_glu                                                 */
    const float *gate_bias, *up_bias;            /* [n_expert][n_ff_exp] or NULL              */
    const uint16_t *who;           /* [n][max_k] experts, whatever their matrices             */
} glu_args;

/* What is between a gate and an up where a layer is not plain: a bias of the chosen expert, other functions. */
static __device__ __forceinline__ float glu_other(const glu_args &a, int o, float g, float u)
{
    int s = a.k ? (int)blockIdx.x / a.slot_blocks : 0;
    if (a.gate_bias && s < a.k) {
        int64_t at = (int64_t)a.who[(int64_t)blockIdx.y * a.max_k + s] * a.gate.n_out + o;
        g += a.gate_bias[at];
        u += a.up_bias[at];
    }
    return a.glu == KER_GLU_SILU ? g / (1.0f + expf(-g)) * u : cu_glu_mul(a.glu, g, u);
}

/* Outputs [o, end) in steps of the block's warps. */
template <int TYPE> static __device__ __forceinline__ void glu_rows(const glu_args &a, const cu_mat &gate, const cu_mat &up, int matrix, int o, int end, int keep, const cu_act &act, float *h, float *up_to)
{
    typedef few_form<TYPE> form;
    const int A = MUL_AHEAD;
    int lane = (int)threadIdx.x % WARP, units = gate.n_in / 32;
    for (; o < end; o += MUL_WARPS) {
        int64_t block0 = ((int64_t)matrix * gate.n_out + o) * (units / form::PER);
        float g = 0, u = 0;
        if (o + MUL_WARPS < end) {
            int64_t next = block0 + (int64_t)MUL_WARPS * (units / form::PER);
            ask_row(gate, next);
            ask_row(up, next);
        }
        for (int t0 = 0; t0 < units && o < keep; t0 += A * WARP) {
            typename form::raw rg[A], ru[A];
            fetch<TYPE, A>(gate, block0, units, t0, rg);
            fetch<TYPE, A>(up, block0, units, t0, ru);
#pragma unroll
            for (int i = 0; i < A; i++) {
                int t = t0 + i * WARP + lane;
                if (t >= units) continue;
                g = form::dot(rg[i], t, act, g);
                u = form::dot(ru[i], t, act, u);
            }
        }
        g = cu_warp_sum(g);
        u = cu_warp_sum(u);
        if (lane) continue;
        if (up_to) up_to[o] = u;
        if (a.glu == KER_GLU_SILU && !a.gate_bias) h[o] = up_to ? g : o < keep ? g / (1.0f + expf(-g)) * u : 0.0f;
        else h[o] = up_to ? g : o < keep ? glu_other(a, o, g, u) : 0.0f;
    }
}

template <int SET, bool NORM, bool LOW> static __device__ __forceinline__ void glu_prods(const glu_args &a, const low_fused *f, int *turn)
{
    gpu_wait_before();
    gpu_let_next();
    if constexpr (LOW) low_work<MUL_WARPS>(*f, turn);
    int row = (int)blockIdx.y, block = (int)blockIdx.x, s = a.k ? block / a.slot_blocks : 0, matrix = 0;
    bool shared = s >= a.k;
    cu_mat gate = shared ? a.sh_gate : a.gate, up = shared ? a.sh_up : a.up;
    int64_t place = (shared ? (int64_t)row : (int64_t)row * a.k + s) * gate.n_out;
    float *h = (shared ? a.h_sh : a.h) + place, *up_to = !LOW ? NULL : shared ? a.up_sh_to : a.up_to;
    if (up_to) up_to += place;
    int keep = gate.n_out;
    const int *width = NULL;
    if (shared) {
        width = a.cfg[a.slot[row]].ffn_width;
        block -= a.k * a.slot_blocks;
    } else {
        if (a.narrow) width = a.cfg[a.slot[row]].expert_width;
        matrix = a.ids[(int64_t)row * a.max_k + s];
        if (matrix == KER_NO_EXPERT) return;
        block -= s * a.slot_blocks;
    }
    int w = width ? width[a.layer] : 0;
    if (w > 0 && w < keep) keep = w;
    int o = block * a.rounds * MUL_WARPS, end = o + a.rounds * MUL_WARPS;
    if (end > gate.n_out) end = gate.n_out;
    int first = o;
    o += (int)threadIdx.x / WARP;
    cu_act act = act_row(gate.act == KER_ACT_Q8_256 ? a.in.kind[KER_ACT_Q8_256] : a.in.kind[KER_ACT_Q8_32], row, gate.n_in);
    if (NORM) {
        DYN_SHARED(uint8_t, room);
        SHARED(float, part, MUL_WARPS);
        const float *x = a.x + (int64_t)row * gate.n_in;
        float eps = a.cfg[a.slot[row]].eps;
        act = few_row(room, gate.n_in);
        if (gate.act == KER_ACT_Q8_256) few_prepare<1 << KER_ACT_Q8_256, MUL_WARPS>(x, a.norm, eps, gate.n_in, act, act, NULL, part);
        else few_prepare<1 << KER_ACT_Q8_32, MUL_WARPS>(x, a.norm, eps, gate.n_in, act, act, NULL, part);
        __syncthreads();
    }
#define CASE(name) case KER_##name: glu_rows<KER_##name>(a, gate, up, matrix, o, end, keep, act, h, up_to); break;
    FEW_TYPES(SET, gate.type, CASE)
#undef CASE
    if constexpr (LOW) {
        if (!up_to) return;
        __syncthreads();
        low_wait(*f);
        for (o = first + (int)threadIdx.x; o < end; o += MUL_THREADS)
            low_glue_items<1>(f->low, a.low[shared], shared ? row : row * a.k + s, o, shared ? CU_LOW_FFN_WIDTH : CU_LOW_EXPERT_WIDTH, false);
    }
}

template <int SET, bool NORM> static __global__ void __launch_bounds__(MUL_THREADS, SET == PAIR && !NORM ? MUL_RESIDENT : MUL_LEAST) few_glu(glu_args a)
{
    glu_prods<SET, NORM, false>(a, NULL, NULL);
}

#if defined __CUDA_ARCH__ && (__CUDA_ARCH__ == 860 || __CUDA_ARCH__ == 890)      /* with the norm it spills there for a second block */
#define GLU_ANY_LEAST(norm) ((norm) ? 1 : MUL_LEAST)
#else
#define GLU_ANY_LEAST(norm) MUL_LEAST
#endif
template <bool NORM> static __global__ void __launch_bounds__(MUL_THREADS, GLU_ANY_LEAST(NORM)) few_glu_any(glu_args a)
{
    glu_prods<ANY, NORM, false>(a, NULL, NULL);
}

template <int SET, bool NORM> static __global__ void __launch_bounds__(MUL_THREADS, SET == PAIR && !NORM ? MUL_LEAST : 1) few_glu_low(glu_args a, low_fused f)
{
    SHARED(int, turn, 1);
    glu_prods<SET, NORM, true>(a, &f, turn);
}

template <bool NORM> static __global__ void __launch_bounds__(MUL_THREADS, 1) few_glu_low_any(glu_args a, low_fused f)
{
    SHARED(int, turn, 1);
    glu_prods<ANY, NORM, true>(a, &f, turn);
}

/* ---- down: an output's sum over a row's slots, the shared expert, the residual ---- */

typedef struct down_args {
    cu_mat w, sh;                  /* n_out 0: none                                           */
    const float *h, *h_sh;
    const uint16_t *ids;
    const float *weights, *coef;   /* coef NULL: 1                                            */
    float *x;
    cu_trace tr;
    int layer, k, max_k, rounds;
    const float *bias;             /* [n_expert][n_embd] or NULL                              */
    const uint16_t *who;           /* [n][max_k] experts, whatever their matrices             */
} down_args;

/* The biases of a row's n experts, weighted. */
static __device__ __forceinline__ float down_bias(const down_args &a, const float *weights, int row, int n, int o)
{
    float v = 0;
#pragma unroll 1
    for (int s = 0; s < n; s++) v = fmaf(weights[s], a.bias[(int64_t)a.who[(int64_t)row * a.max_k + s] * a.w.n_out + o], v);
    return v;
}

/* Adds a weighted product to done[]: n slots of `each` numbers in a row of shared memory. */
template <int TYPE> static __device__ __forceinline__ void down_rows(const cu_mat &w, const int *ids, const float *weights, int n, const cu_act &act, int o, int end, float *done)
{
    typedef few_form<TYPE> form;
    const int A = DOWN_AHEAD;
    int lane = (int)threadIdx.x % WARP, each = w.n_in / 32, units = n * each;
    for (; o < end; o += DOWN_WARPS, done += DOWN_WARPS) {
        float acc = 0;
        for (int t0 = 0; t0 < units; t0 += A * WARP) {
            typename form::raw r[A];
            int slot[A];
#pragma unroll
            for (int i = 0; i < A; i++) {
                int t = t0 + i * WARP + lane;
                if (t >= units) t = units - 1;
                slot[i] = t / each;
                form::load(w, ((int64_t)ids[slot[i]] * w.n_out + o) * (each / form::PER), t - slot[i] * each, r[i]);
            }
#pragma unroll
            for (int i = 0; i < A; i++) {
                int t = t0 + i * WARP + lane;
                if (t < units) acc = fmaf(weights[slot[i]], form::dot(r[i], t, act, 0.0f), acc);
            }
        }
        acc = cu_warp_sum(acc);
        if (lane == 0) *done += acc;
    }
}

/* The same sums for units [from, to) of a row's slots, taken up where the wave before left them in carry: each lane's in the
 * same order, so that the bits are those of all at once. */
template <int TYPE> static __device__ __forceinline__ void down_part(const cu_mat &w, const int *ids, const float *weights, int from, int to, const cu_act &act, int o, int end, float *done, float *carry, bool last)
{
    typedef few_form<TYPE> form;
    const int A = DOWN_AHEAD;
    int lane = (int)threadIdx.x % WARP, each = w.n_in / 32;
    for (; o < end; o += DOWN_WARPS, done += DOWN_WARPS) {
        float *kept = carry + (int64_t)o * WARP + lane, acc = from ? *kept : 0.0f;
        for (int t0 = from - from % WARP; t0 < to; t0 += A * WARP) {
            typename form::raw r[A];
            int slot[A];
#pragma unroll
            for (int i = 0; i < A; i++) {
                int t = t0 + i * WARP + lane;
                if (t < from) t = from;
                if (t >= to) t = to - 1;
                slot[i] = t / each;
                form::load(w, ((int64_t)ids[slot[i]] * w.n_out + o) * (each / form::PER), t - slot[i] * each, r[i]);
            }
#pragma unroll
            for (int i = 0; i < A; i++) {
                int t = t0 + i * WARP + lane;
                if (t >= from && t < to) acc = fmaf(weights[slot[i]], form::dot(r[i], t, act, 0.0f), acc);
            }
        }
        if (!last) {
            *kept = acc;
            continue;
        }
        acc = cu_warp_sum(acc);
        if (lane == 0) *done += acc;
    }
}

template <int SET> static __device__ __forceinline__ void down_types(const cu_mat &w, const int *ids, const float *weights, int n, const cu_act &act, int o, int end, float *done)
{
#define CASE(name) case KER_##name: down_rows<KER_##name>(w, ids, weights, n, act, o, end, done); break;
    FEW_TYPES(SET, w.type, CASE)
#undef CASE
}

static __device__ __forceinline__ void down_prepare(const cu_mat &w, const float *h, int n, const cu_act &act)
{
    if (w.act == KER_ACT_Q8_256) few_prepare<1 << KER_ACT_Q8_256, DOWN_WARPS>(h, NULL, 0, n, act, act, NULL, NULL);
    else few_prepare<1 << KER_ACT_Q8_32, DOWN_WARPS>(h, NULL, 0, n, act, act, NULL, NULL);
}

/* What a block of down has of shared memory. */
#define DOWN_SHARED \
    SHARED(float, done, DOWN_WARPS * DOWN_ROUNDS); \
    SHARED(float, weights, FEW_SLOTS + 1); \
    SHARED(int, ids, FEW_SLOTS + 1)

template <int SET, bool LOW> static __device__ __forceinline__ void down_prods(const down_args &a, const low_fused *f, float *done, float *weights, int *ids, int *turn)
{
    DYN_SHARED(uint8_t, room);
    int row = (int)blockIdx.y, t = (int)threadIdx.x, warp = t / WARP, n_out = a.w.n_out ? a.w.n_out : a.sh.n_out, n = 0;
    if (t < DOWN_WARPS * DOWN_ROUNDS) done[t] = 0;
    if (t <= a.k) {
        int id = t < a.k ? __ldcg(a.ids + (int64_t)row * a.max_k + t) : (int)KER_NO_EXPERT;
        ids[t] = t < a.k ? id : 0;
        weights[t] = t < a.k ? __ldcg(a.weights + (int64_t)row * a.max_k + t) : a.coef ? __ldcg(a.coef + row) : 1.0f;
    }
    __syncthreads();
    while (n < a.k && ids[n] != KER_NO_EXPERT) n++;
    cu_act act = few_row(room, n * a.w.n_in), sh = few_row(room + few_bytes(a.k * a.w.n_in), a.sh.n_in);
    int first = (int)blockIdx.x * a.rounds * DOWN_WARPS, o = first + warp, end = first + a.rounds * DOWN_WARPS;
    if (end > n_out) end = n_out;
    for (int i = 0; i < n && o < end; i++) ask_row(a.w, ((int64_t)ids[i] * n_out + o) * (a.w.n_in / a.w.block));
    if (a.sh.n_out && o < end) ask_row(a.sh, (int64_t)o * (a.sh.n_in / a.sh.block));
    gpu_wait_before();
    gpu_let_next();
    if constexpr (LOW) low_work<DOWN_WARPS>(*f, turn);
    if (n) down_prepare(a.w, a.h + (int64_t)row * a.k * a.w.n_in, n * a.w.n_in, act);
    if (a.sh.n_out) down_prepare(a.sh, a.h_sh + (int64_t)row * a.sh.n_in, a.sh.n_in, sh);
    __syncthreads();
    if (n) down_types<SET>(a.w, ids, weights, n, act, o, end, done + warp);
    if (a.sh.n_out) {
        __syncwarp();
        down_types<SET>(a.sh, ids + a.k, weights + a.k, 1, sh, o, end, done + warp);
    }
    __syncthreads();
    if constexpr (LOW) low_wait(*f);
    if (first + t >= end || t >= a.rounds * DOWN_WARPS) return;
    cu_sink to = { NULL, a.x, n_out, 1, a.layer, KER_PART_FFN };
    cu_put(to, a.tr, row, first + t, a.bias ? done[t] + down_bias(a, weights, row, n, first + t) : done[t], row);
    if constexpr (LOW) {
        float *x = a.x + (int64_t)row * n_out + first + t;
        *x = low_down_sum(f->low, a.weights, a.coef, row, first + t, *x);
    }
}

template <int SET> static __global__ void __launch_bounds__(DOWN_THREADS, 1) few_down(down_args a)
{
    DOWN_SHARED;
    down_prods<SET, false>(a, NULL, done, weights, ids, NULL);
}

static __global__ void __launch_bounds__(DOWN_THREADS, 1) few_down_any(down_args a)
{
    DOWN_SHARED;
    down_prods<ANY, false>(a, NULL, done, weights, ids, NULL);
}

template <int SET> static __global__ void __launch_bounds__(DOWN_THREADS, 1) few_down_low(down_args a, low_fused f)
{
    DOWN_SHARED;
    SHARED(int, turn, 1);
    down_prods<SET, true>(a, &f, done, weights, ids, turn);
}

static __global__ void __launch_bounds__(DOWN_THREADS, 1) few_down_low_any(down_args a, low_fused f)
{
    DOWN_SHARED;
    SHARED(int, turn, 1);
    down_prods<ANY, true>(a, &f, done, weights, ids, turn);
}

/* A wave of one row's slots, [s0, s1) of n in use; the last adds the shared expert and the residual. */
template <int SET> static __device__ __forceinline__ void down_wave(const down_args &a, int s0, int s1, int n, float *carry, bool last, float *done, float *weights, int *ids)
{
    DYN_SHARED(uint8_t, room);
    int t = (int)threadIdx.x, warp = t / WARP, n_out = a.w.n_out;
    if (t < DOWN_WARPS * DOWN_ROUNDS) done[t] = 0;
    if (t <= a.k) {
        ids[t] = t < a.k ? __ldcg(a.ids + t) : 0;
        weights[t] = t < a.k ? __ldcg(a.weights + t) : a.coef ? __ldcg(a.coef) : 1.0f;
    }
    __syncthreads();
    cu_act act = few_row(room, n * a.w.n_in), sh = few_row(room + few_bytes(a.k * a.w.n_in), a.sh.n_in);
    int first = (int)blockIdx.x * a.rounds * DOWN_WARPS, o = first + warp, end = first + a.rounds * DOWN_WARPS, each = a.w.n_in / 32;
    if (end > n_out) end = n_out;
    if (n) down_prepare(a.w, a.h, n * a.w.n_in, act);
    if (a.sh.n_out) down_prepare(a.sh, a.h_sh, a.sh.n_in, sh);
    __syncthreads();
    if (s1 > n) s1 = n;
    if (s0 < s1) {
#define CASE(name) case KER_##name: down_part<KER_##name>(a.w, ids, weights, s0 * each, s1 * each, act, o, end, done + warp, carry, last); break;
        FEW_TYPES(SET, a.w.type, CASE)
#undef CASE
    }
    if (!last) return;
    if (a.sh.n_out) {
        __syncwarp();
        down_types<SET>(a.sh, ids + a.k, weights + a.k, 1, sh, o, end, done + warp);
    }
    __syncthreads();
    if (first + t >= end || t >= a.rounds * DOWN_WARPS) return;
    cu_sink to = { NULL, a.x, n_out, 1, a.layer, KER_PART_FFN };
    cu_put(to, a.tr, 0, first + t, a.bias ? done[t] + down_bias(a, weights, 0, n, first + t) : done[t], 0);
}

static __global__ void __launch_bounds__(DOWN_THREADS, 1) few_down_part(down_args a, int s0, int s1, int n, float *carry, bool last)
{
    DOWN_SHARED;
    down_wave<OFTEN>(a, s0, s1, n, carry, last, done, weights, ids);
}

static __global__ void __launch_bounds__(DOWN_THREADS, 1) few_down_part_any(down_args a, int s0, int s1, int n, float *carry, bool last)
{
    DOWN_SHARED;
    down_wave<ANY>(a, s0, s1, n, carry, last, done, weights, ids);
}

/* Three matrices that the kernels take: blocks, gate and up alike. */
static bool glu_fits(const cu_mat &gate, const cu_mat &up, const cu_mat &down)
{
    return is_block(gate) && is_block(down) && gate.type == up.type;
}

/* Rows from r0 on, at the slots that are told. */
static void rows_from(ker_ctx *c, const cu_few_take *t, glu_args &g, down_args &d)
{
    int64_t r0 = t->r0, E = c->dev->m.n_embd;
    g.ids = d.ids = t->slots;
    if (g.who) g.who = d.who = g.who + r0 * c->max_k;
    for (int k = KER_ACT_Q8_32; k <= KER_ACT_Q8_256; k++) {
        cu_act *a = &g.in.kind[k];
        if (!a->q) continue;
        a->q += r0 * E;
        a->d += r0 * (E / 32);
        a->sum += r0 * (E / 32);
    }
    g.slot += r0;
    d.weights += r0 * c->max_k;
    if (d.coef) d.coef += r0;
    d.x += r0 * E;
    d.tr.bad += r0;
}

/* Neurons that are chosen by magnitude: after all are known, in a launch of its own. */
static void largest(ker_ctx *c, int layer, const glu_args &g, int n)
{
    int r0 = (int)(g.slot - c->rows.slot);
    cu_narrow of = { g.h, g.gate.n_out, n * g.k, g.k, r0, layer, true, NULL, NULL, NULL }, one = { g.h_sh, g.sh_gate.n_out, n, 1, r0, layer, false, NULL, NULL, NULL };
    cu_narrow_rows(c, &of);
    cu_narrow_rows(c, &one);
}

/* What adapters change of the six products: gate, up, and the same of the shared or dense part; then both downs. */
enum { LOW_GATE, LOW_UP, LOW_SH_GATE, LOW_SH_UP, LOW_DOWN, LOW_SH_DOWN, LOWS };

static void lows_of(ker_ctx *c, int layer, bool moe, const cu_few_take *t, int n, int k, cu_low_job *j)
{
    const cu_layer *l = cu_layer_of(c->dev, layer);
    int64_t r0 = t ? t->r0 : 0, E = c->dev->m.n_embd, at = moe ? cu_trace_at(c, layer) + r0 * c->max_k : 0;
    int sh = moe ? KER_W_GATE_SH : KER_W_GATE, n_sh = l->w[sh].n_out ? n : 0;
    const float *x = (moe ? c->y : c->x) + r0 * E;
    float *to = cu_stream(c, layer) + r0 * E;
    cu_low_items pairs = {};
    pairs.n = moe ? n * k : 0;
    pairs.per = k;
    pairs.max_k = c->max_k;
    pairs.ids = c->tr.ids + at;
    pairs.r0 = (int)r0;
    j[LOW_GATE] = cu_low_rows(c, layer, KER_W_GATE_EXPS, x, c->ffn.h, 0);
    j[LOW_UP] = cu_low_rows(c, layer, KER_W_UP_EXPS, x, c->low.up, 0);
    j[LOW_DOWN] = cu_low_rows(c, layer, KER_W_DOWN_EXPS, c->ffn.h, to, 0);
    j[LOW_SH_GATE] = cu_low_rows(c, layer, (enum ker_role)sh, x, c->ffn.h_sh, n_sh);
    j[LOW_SH_UP] = cu_low_rows(c, layer, (enum ker_role)(sh + 1), x, c->low.up_sh, n_sh);
    j[LOW_SH_DOWN] = cu_low_rows(c, layer, (enum ker_role)(sh + 2), c->ffn.h_sh, to, n_sh);
    for (int i = LOW_SH_GATE; i <= LOW_SH_UP; i++) j[i].norm = moe ? NULL : l->vec[KER_W_FFN_NORM];
    j[LOW_GATE].glu = j[LOW_SH_GATE].glu = c->dev->m.layer[layer].glu;
    j[LOW_GATE].bias = l->vec[KER_W_BGATE_EXPS];
    j[LOW_UP].bias = l->vec[KER_W_BUP_EXPS];
    for (int i = 0; i < LOWS; i++) {
        j[i].of.r0 = (int)r0;
        if (i < LOW_SH_GATE || i == LOW_DOWN) j[i].of = pairs;
    }
    for (int i = LOW_GATE; i <= LOW_UP; i++) {
        j[i].by_row = true;
        if (t) j[i].of.slots = t->slots;
    }
}

/* normed: bytes of the row that a dense layer norms on its way. */
static void glu_launch(ker_ctx *c, glu_args &g, const low_fused &f, int n, bool moe, size_t normed)
{
    int all = g.k * cut(g.gate.n_out, MUL_WARPS) + cut(g.sh_gate.n_out, MUL_WARPS);
    g.rounds = cut(all, c->dev->sms * MUL_RESIDENT);
    g.slot_blocks = cut(g.gate.n_out, MUL_WARPS * g.rounds);
    dim3 grid((unsigned)(g.k * g.slot_blocks + cut(g.sh_gate.n_out, MUL_WARPS * g.rounds)), (unsigned)n);
    int set = set_of(g.gate, g.sh_gate);
    bool pair = set == PAIR;
    if (f.n_job && set == ANY && moe) LAUNCH_EARLY(c->dev->early, few_glu_low_any<false>, grid, dim3(MUL_THREADS), 0, c->st, g, f);
    else if (f.n_job && set == ANY) LAUNCH_EARLY(c->dev->early, few_glu_low_any<true>, grid, dim3(MUL_THREADS), normed, c->st, g, f);
    else if (set == ANY && moe) LAUNCH_EARLY(c->dev->early, few_glu_any<false>, grid, dim3(MUL_THREADS), 0, c->st, g);
    else if (set == ANY) LAUNCH_EARLY(c->dev->early, few_glu_any<true>, grid, dim3(MUL_THREADS), normed, c->st, g);
    else if (f.n_job && pair && moe) LAUNCH_EARLY(c->dev->early, (few_glu_low<PAIR, false>), grid, dim3(MUL_THREADS), 0, c->st, g, f);
    else if (f.n_job && moe) LAUNCH_EARLY(c->dev->early, (few_glu_low<OFTEN, false>), grid, dim3(MUL_THREADS), 0, c->st, g, f);
    else if (f.n_job && pair) LAUNCH_EARLY(c->dev->early, (few_glu_low<PAIR, true>), grid, dim3(MUL_THREADS), normed, c->st, g, f);
    else if (f.n_job) LAUNCH_EARLY(c->dev->early, (few_glu_low<OFTEN, true>), grid, dim3(MUL_THREADS), normed, c->st, g, f);
    else if (pair && moe) LAUNCH_EARLY(c->dev->early, (few_glu<PAIR, false>), grid, dim3(MUL_THREADS), 0, c->st, g);
    else if (moe) LAUNCH_EARLY(c->dev->early, (few_glu<OFTEN, false>), grid, dim3(MUL_THREADS), 0, c->st, g);
    else if (pair) LAUNCH_EARLY(c->dev->early, (few_glu<PAIR, true>), grid, dim3(MUL_THREADS), normed, c->st, g);
    else LAUNCH_EARLY(c->dev->early, (few_glu<OFTEN, true>), grid, dim3(MUL_THREADS), normed, c->st, g);
}

/* t: experts that are fetched (cache.cu); NULL: they lie here. */
static bool experts(ker_ctx *c, int layer, bool moe, const cu_few_take *t)
{
    const cu_layer *l = cu_layer_of(c->dev, layer);
    int n = c->shape.n, k = moe ? c->shape.k : 0, sh = moe ? KER_W_GATE_SH : KER_W_GATE;
    int64_t at = moe ? cu_trace_at(c, layer) : 0;
    glu_args g = {};
    down_args d = {};
    if (moe) {
        g.gate = l->w[KER_W_GATE_EXPS];
        g.up = l->w[KER_W_UP_EXPS];
        d.w = l->w[KER_W_DOWN_EXPS];
        if (!glu_fits(g.gate, g.up, d.w) || n * k > c->ffn.pairs_cap) return false;
    }
    g.sh_gate = l->w[sh];
    g.sh_up = l->w[sh + 1];
    d.sh = l->w[sh + 2];
    if (d.sh.n_out && !glu_fits(g.sh_gate, g.sh_up, d.sh)) return false;
    int down_set = set_of(d.w, d.sh);
    size_t room = few_bytes(k * d.w.n_in) + few_bytes(d.sh.n_in);
    int n_out = c->dev->m.n_embd, blocks = cut(n_out, DOWN_WARPS);
    d.rounds = cut(blocks, c->dev->sms * 2);
    if (d.rounds > DOWN_ROUNDS) d.rounds = DOWN_ROUNDS;          /* on few multiprocessors there are more blocks */
    size_t normed = moe ? 0 : few_bytes(g.sh_gate.n_in);
    if (k > FEW_SLOTS || room > FEW_SHARED - 2048 || normed > FEW_SHARED - 1024) return false;

    if (t && !t->slots) return true;
    g.in = c->in;
    g.x = c->x;
    g.norm = moe ? NULL : l->vec[KER_W_FFN_NORM];
    g.ids = d.ids = c->tr.ids + at;
    g.h = c->ffn.h;
    g.h_sh = c->ffn.h_sh;
    g.slot = c->rows.slot;
    g.cfg = c->rows.cfg;
    g.layer = d.layer = layer;
    g.narrow = c->shape.narrow != 0;
    g.k = d.k = k;
    g.max_k = d.max_k = c->max_k;
    d.h = c->ffn.h;
    d.h_sh = c->ffn.h_sh;
    d.weights = c->tr.weights + at;
    d.coef = moe && l->w[KER_W_SH_ROUTER].n_out ? c->ffn.sh_coef : NULL;
    d.x = cu_stream(c, layer);
    d.tr = c->tr;
    g.glu = c->dev->m.layer[layer].glu;
    g.who = d.who = moe ? c->tr.ids + at : NULL;
    g.gate_bias = moe ? l->vec[KER_W_BGATE_EXPS] : NULL;
    g.up_bias = l->vec[KER_W_BUP_EXPS];
    d.bias = moe ? l->vec[KER_W_BDOWN_EXPS] : NULL;
    if (t) rows_from(c, t, g, d);
    if (t) n = t->n;
    cu_low_job low[LOWS];
    low_fused f;
    lows_of(c, layer, moe, t, n, k, low);
    cu_low_fuse(c, low, LOW_DOWN, 2, MUL_WARPS, &f, g.low);
    g.up_to = g.low[0] < 0 ? NULL : c->low.up;
    g.up_sh_to = g.low[1] < 0 ? NULL : c->low.up_sh;
    glu_launch(c, g, f, n, moe, normed);
    if (c->shape.narrow & CU_WIDTH_LARGEST) largest(c, layer, g, n);
    dim3 grid((unsigned)cut(n_out, DOWN_WARPS * d.rounds), (unsigned)n);
    if (t && (t->s0 || !t->last)) {
        if (down_set == ANY) LAUNCH(few_down_part_any, grid, dim3(DOWN_THREADS), room, c->st, d, t->s0, t->s1, t->used, c->fetch.carry, t->last);
        else LAUNCH(few_down_part, grid, dim3(DOWN_THREADS), room, c->st, d, t->s0, t->s1, t->used, c->fetch.carry, t->last);
        if (!t->last) return true;
        cu_low_take(c, low + LOW_DOWN, 2);
        cu_low_down(c, &low[LOW_DOWN], &low[LOW_SH_DOWN], d.weights, d.coef, n);
        cu_finish(c, layer, KER_PART_FFN, t->r0, n);
        return true;
    }
    cu_low_fuse_down(c, &low[LOW_DOWN], &low[LOW_SH_DOWN], DOWN_WARPS, &f);
    bool pair = down_set == PAIR;
    if (f.n_job && down_set == ANY) LAUNCH_EARLY(c->dev->early, few_down_low_any, grid, dim3(DOWN_THREADS), room, c->st, d, f);
    else if (down_set == ANY) LAUNCH_EARLY(c->dev->early, few_down_any, grid, dim3(DOWN_THREADS), room, c->st, d);
    else if (f.n_job && pair) LAUNCH_EARLY(c->dev->early, few_down_low<PAIR>, grid, dim3(DOWN_THREADS), room, c->st, d, f);
    else if (f.n_job) LAUNCH_EARLY(c->dev->early, few_down_low<OFTEN>, grid, dim3(DOWN_THREADS), room, c->st, d, f);
    else if (pair) LAUNCH_EARLY(c->dev->early, few_down<PAIR>, grid, dim3(DOWN_THREADS), room, c->st, d);
    else LAUNCH_EARLY(c->dev->early, few_down<OFTEN>, grid, dim3(DOWN_THREADS), room, c->st, d);
    cu_finish(c, layer, KER_PART_FFN, t ? t->r0 : 0, n);
    return true;
}

bool cu_few_experts(ker_ctx *c, int layer, const cu_few_take *t) { return experts(c, layer, true, t); }

bool cu_few_early(const ker_dev *d) { return d->major >= 9 && gpu_knows_early(few_down<PAIR>); }

bool cu_few_part(ker_ctx *c, int part, int layer)
{
    switch (part) {
    case CU_ATTN: return attn(c, layer);
    case CU_ROUTE: return route(c, layer);
    case CU_EXPERTS: return experts(c, layer, true, NULL);
    case CU_DENSE: return experts(c, layer, false, NULL);
    case CU_HEAD: return head(c);
    }
    return false;
}
