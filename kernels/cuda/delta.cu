/* kernels/cuda/delta: recurrent layers (ker_delta in kernels.h; kernels/cpu/delta.c is the reference): convolution, gates, the delta
 * rule, gated norm, and the states beside a cache's cells. Columns of a head's state do not meet, so a block takes KER_STATE_BLOCK of
 * them through all rows of a sequence: a warp has an eighth of the keys, a lane a column, and the state stays in registers. A row
 * costs one barrier: S^T k and S^T q are summed together, and S'^T q = g S^T q + (k q) d. A state is read where the row's sequence
 * begins and written where it ends, never to where it was read from.
 *
 * Few rows (delta_few): one launch, each block convolves what it needs itself, and the last block of a row's head norms it. Many rows:
 * delta_mix (all rows at once), delta_rule (a row's numbers come two rows ahead), delta_norm. What a batch's rows have to do with
 * states comes in tables of its own, so that a graph stays good. See cuda.h. */
#include "kernels/cuda/low.cuh"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 32, THREADS = 256, WARPS = THREADS / LANES, VALUES = KER_STATE_BLOCK, PER_LANE = (int)CU_DELTA_KEYS / LANES, RING = 4, GATES = 4,
       ROW_BYTES = 2 * sizeof(float *) + 3 * sizeof(int) };

/* What the kernels need of the model and the batch; by value. */
typedef struct delta_job {
    int n, n_key, n_value, key_dim, value_dim, conv;
    bool tiled, paired;
    int64_t channels, at;          /* of the convolution; floats of a state before this layer's  */
    float l2_eps;
    const float *in, *z, *beta, *alpha;          /* products; a row of beta and alpha is two_step apart */
    int two_step;
    const float *w, *dt, *a, *norm;              /* w: [channels][conv]                       */
    float *mix, *gates, *o;        /* gates: [row][n_value decays, as many betas, n_key products of k and q] */
    int *count;
    cu_delta_rows at_row;
    const int *slot;
    const cu_cfg *cfg;
} delta_job;

static __device__ __forceinline__ float silu(float x) { return x / (1.0f + expf(-x)); }

static __device__ __forceinline__ int key_of(const delta_job &j, int head) { return j.tiled ? head % j.n_key : head / (j.n_value / j.n_key); }

/* ---- convolution, lengths of q and k, gates ---- */

/* One channel of row r. old: the layer's state before the sequence's first row, NULL: there is none; keep: where the inputs that the next
 * row will ask for are left, or NULL. */
static __device__ __forceinline__ float conv_at(const delta_job &j, int r, const float *old, float *keep, int channel)
{
    float sum = 0;
#pragma unroll 1
    for (int back = 0, row = r, at = j.conv - 2; back < j.conv; back++) {
        float x = 0;
        if (row >= 0) {
            x = j.in[row * j.channels + channel];
            row = j.at_row.before[row];
        } else if (old) x = old[at-- * j.channels + channel];
        sum = fmaf(x, j.w[(int64_t)channel * j.conv + j.conv - 1 - back], sum);
        if (keep && back < j.conv - 1) keep[(j.conv - 2 - back) * j.channels + channel] = x;
    }
    return silu(sum);
}

/* A warp: a key head's q and k over their lengths, and their product. */
static __device__ __forceinline__ void keys_at(const delta_job &j, int r, const float *old, float *keep, int key, float *q, float *k, float *both)
{
    float eps = j.l2_eps > 0 ? j.l2_eps : j.cfg[j.slot[r]].eps, x[2][PER_LANE], dot = 0;
    int lane = (int)threadIdx.x % LANES;
#pragma unroll
    for (int of = 0; of < 2; of++) {
        float square = 0;
#pragma unroll
        for (int i = 0; i < PER_LANE; i++) {
            int d = lane + i * LANES;
            x[of][i] = d < j.key_dim ? conv_at(j, r, old, keep, (of * j.n_key + key) * j.key_dim + d) : 0.0f;
            square = fmaf(x[of][i], x[of][i], square);
        }
        float scale = (of ? 1.0f : 1.0f / sqrtf((float)j.key_dim)) / sqrtf(cu_warp_sum(square) + eps);
#pragma unroll
        for (int i = 0; i < PER_LANE; i++) {
            int d = lane + i * LANES;
            x[of][i] *= scale;
            if (d < j.key_dim) (of ? k : q)[d] = x[of][i];
        }
    }
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) dot = fmaf(x[0][i], x[1][i], dot);
    dot = cu_warp_sum(dot);
    if (lane == 0) *both = dot;
}

/* A value head's decay and beta. softplus as PyTorch has it: x itself where exp(-x) is lost in it. */
static __device__ __forceinline__ void gates_at(const delta_job &j, int r, int head, float *decay, float *beta)
{
    int each = j.n_value / j.n_key, at = j.paired ? head / each * 2 * each + head % each : head;
    float x = j.alpha[(int64_t)r * j.two_step + at] + j.dt[head], soft = x > 20 ? x : log1pf(expf(x));
    *decay = expf(j.a[head] * soft);
    *beta = 1.0f / (1.0f + expf(-j.beta[(int64_t)r * j.two_step + at]));
}

static __device__ __forceinline__ const float *state_before(const delta_job &j, int r)
{
    const float *p = j.at_row.from[r];
    return p ? p + j.at : NULL;
}

static __device__ __forceinline__ float *state_after(const delta_job &j, int r)
{
    float *p = j.at_row.left[r];
    return p ? p + j.at : NULL;
}

/* All rows at once: a warp a row's key head or value head. */
static __global__ void __launch_bounds__(THREADS) delta_mix(delta_job j)
{
    int units = j.n_key + j.n_value, lane = (int)threadIdx.x % LANES;
    int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / LANES;
    int r = (int)(i / units), u = (int)(i % units);
    if (r >= j.n) return;
    const float *old = state_before(j, r);
    float *keep = state_after(j, r), *mix = j.mix + r * j.channels, *gates = j.gates + (int64_t)r * (2 * j.n_value + j.n_key);
    if (u < j.n_key) {
        keys_at(j, r, old, keep, u, mix + u * j.key_dim, mix + (j.n_key + u) * j.key_dim, gates + 2 * j.n_value + u);
        return;
    }
    int head = u - j.n_key, first = 2 * j.n_key * j.key_dim + head * j.value_dim;
    for (int d = lane; d < j.value_dim; d += LANES) mix[first + d] = conv_at(j, r, old, keep, first + d);
    if (lane == 0) gates_at(j, r, head, gates + head, gates + j.n_value + head);
}

/* ---- the delta rule: K keys a warp ---- */

/* A block's share of a head. */
typedef struct share { int head, key, v0, wide, n_v; int64_t at; } share;

static __device__ __forceinline__ share share_of(const delta_job &j)
{
    share s;
    int pad = (j.value_dim + 15) & ~15;
    s.head = (int)blockIdx.y;
    s.key = key_of(j, s.head);
    s.v0 = (int)blockIdx.x * VALUES;
    s.wide = min(pad - s.v0, (int)VALUES);
    s.n_v = min(j.value_dim - s.v0, s.wide);
    s.at = (j.conv - 1) * j.channels + (int64_t)s.head * j.key_dim * pad + (int64_t)s.v0 * j.key_dim;
    return s;
}

template <int K> static __device__ __forceinline__ void state_load(const delta_job &j, const share &s, const float *from, float state[K])
{
    int lane = (int)threadIdx.x % LANES, key = (int)threadIdx.x / LANES * K;
#pragma unroll
    for (int i = 0; i < K; i++) state[i] = from && key + i < j.key_dim && lane < s.wide ? from[s.at + (key + i) * s.wide + lane] : 0.0f;
}

template <int K> static __device__ __forceinline__ void state_store(const delta_job &j, const share &s, float *to, const float state[K])
{
    int lane = (int)threadIdx.x % LANES, key = (int)threadIdx.x / LANES * K;
#pragma unroll
    for (int i = 0; i < K; i++) if (key + i < j.key_dim && lane < s.wide) to[s.at + (key + i) * s.wide + lane] = state[i];
}

/* A row in shared memory: q and k (zeros behind the last key), values, decay, beta, k q. */
template <int K> struct row_room { static const int KEYS = K * WARPS, V = 2 * KEYS, G = V + VALUES, FLOATS = G + GATES; };

/* Sums of a warp's keys; then, behind a barrier, the state after the row and what the row reads of it. */
template <int K> static __device__ __forceinline__ void step_sums(const float *row, const float state[K], float *part)
{
    int warp = (int)threadIdx.x / LANES;
    const float *q = row + warp * K, *k = row + row_room<K>::KEYS + warp * K;
    float a = 0, b = 0;
#pragma unroll
    for (int i = 0; i < K; i++) {
        a = fmaf(state[i], k[i], a);
        b = fmaf(state[i], q[i], b);
    }
    part[threadIdx.x] = a;
    part[THREADS + threadIdx.x] = b;
}

template <int K> static __device__ __forceinline__ float step_end(const float *row, float state[K], const float *part)
{
    int warp = (int)threadIdx.x / LANES, lane = (int)threadIdx.x % LANES;
    const float *k = row + row_room<K>::KEYS + warp * K, *g = row + row_room<K>::G;
    float a = 0, b = 0, decay = g[0];
#pragma unroll
    for (int w = 0; w < WARPS; w++) {
        a += part[w * LANES + lane];
        b += part[THREADS + w * LANES + lane];
    }
    float d = g[1] * (row[row_room<K>::V + lane] - decay * a);
#pragma unroll
    for (int i = 0; i < K; i++) state[i] = fmaf(k[i], d, decay * state[i]);
    return fmaf(g[2], d, decay * b);
}

template <int K> static __device__ __forceinline__ void row_clear(float *row)
{
    for (int i = (int)threadIdx.x; i < row_room<K>::FLOATS; i += THREADS) row[i] = 0;
}

/* A row's numbers on their way; r < 0: there is none. One group either way. */
template <int K> static __device__ __forceinline__ void row_ask(const delta_job &j, const share &s, int r, float *row)
{
    const float *q = j.mix + r * j.channels + s.key * j.key_dim, *v = j.mix + r * j.channels + 2 * j.n_key * j.key_dim + s.head * j.value_dim + s.v0;
    const float *g = j.gates + (int64_t)r * (2 * j.n_value + j.n_key);
    for (int i = (int)threadIdx.x; i < 2 * j.key_dim + VALUES + GATES && r >= 0; i += THREADS) {
        int at = i - 2 * j.key_dim, of = at - VALUES;
        if (i < j.key_dim) cp_async4(row + i, q + i);
        else if (at < 0) cp_async4(row + row_room<K>::KEYS + i - j.key_dim, q + j.n_key * j.key_dim + i - j.key_dim);
        else if (of < 0 && at < s.n_v) cp_async4(row + row_room<K>::V + at, v + at);
        else if (of >= 0 && of < 3) cp_async4(row + row_room<K>::G + of, g + (of < 2 ? of * j.n_value + s.head : 2 * j.n_value + s.key));
    }
    cp_commit();
}

/* Many rows of a sequence. */
template <int K> static __global__ void __launch_bounds__(THREADS) delta_rule(delta_job j)
{
    SHARED(float, ring, RING * row_room<K>::FLOATS);
    SHARED(float, part, 2 * 2 * THREADS);
    share s = share_of(j);
    int r = j.at_row.first[blockIdx.z], lane = (int)threadIdx.x % LANES;
    float state[K];
    if (r < 0) return;
    for (int i = 0; i < RING; i++) row_clear<K>(ring + i * row_room<K>::FLOATS);
    __syncthreads();
    int next = j.at_row.after[r];
    row_ask<K>(j, s, r, ring);
    row_ask<K>(j, s, next, ring + row_room<K>::FLOATS);
    state_load<K>(j, s, state_before(j, r), state);
    cp_wait<1>();
    __syncthreads();
    for (int i = 0; r >= 0; i++) {
        int then = next < 0 ? -1 : j.at_row.after[next];
        const float *row = ring + i % RING * row_room<K>::FLOATS;
        float *sums = part + i % 2 * 2 * THREADS;
        row_ask<K>(j, s, then, ring + (i + 2) % RING * row_room<K>::FLOATS);
        step_sums<K>(row, state, sums);
        cp_wait<1>();                              /* the next row's; the barrier is for both */
        __syncthreads();
        float o = step_end<K>(row, state, sums);
        if (threadIdx.x < LANES && lane < s.n_v) j.o[((int64_t)r * j.n_value + s.head) * j.value_dim + s.v0 + lane] = o;
        float *to = state_after(j, r);
        if (to) state_store<K>(j, s, to, state);
        r = next;
        next = then;
    }
    cp_wait_all();
}

/* A warp: a row's head, normed and gated. */
static __device__ __forceinline__ void gated_norm(const delta_job &j, int r, int head)
{
    int lane = (int)threadIdx.x % LANES;
    int64_t at = ((int64_t)r * j.n_value + head) * j.value_dim;
    float square = 0;
    for (int d = lane; d < j.value_dim; d += LANES) square = fmaf(j.o[at + d], j.o[at + d], square);
    float scale = 1.0f / sqrtf(cu_warp_sum(square) / (float)j.value_dim + j.cfg[j.slot[r]].eps);
    for (int d = lane; d < j.value_dim; d += LANES) j.o[at + d] = j.o[at + d] * scale * j.norm[d] * silu(j.z[at + d]);
}

static __global__ void __launch_bounds__(THREADS) delta_norm(delta_job j)
{
    int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / LANES;
    if (i < (int64_t)j.n * j.n_value) gated_norm(j, (int)(i / j.n_value), (int)(i % j.n_value));
}

/* Few rows, all in one. A state was written by an earlier pass, and the tables of rows came before this one: they may be read before the
 * launch before has ended. The block of a key head's first value head and first values leaves q's and k's inputs to the state after. */
template <int K> static __global__ void BOUNDS(THREADS, K > 16 ? 1 : 2) delta_few(delta_job j)
{
    SHARED(float, ring, 2 * row_room<K>::FLOATS);
    SHARED(float, part, 2 * THREADS);
    share s = share_of(j);
    int r = j.at_row.first[blockIdx.z], warp = (int)threadIdx.x / LANES, lane = (int)threadIdx.x % LANES, each = j.n_value / j.n_key;
    bool leaves = !blockIdx.x && (j.tiled ? s.head < j.n_key : s.head % each == 0);
    float state[K];
    const float *old = r >= 0 ? state_before(j, r) : NULL;
    if (r >= 0) state_load<K>(j, s, old, state);
    for (int i = 0; i < 2; i++) row_clear<K>(ring + i * row_room<K>::FLOATS);
    gpu_wait_before();
    gpu_let_next();
    for (int i = 0; r >= 0; r = j.at_row.after[r], i++) {
        float *row = ring + i % 2 * row_room<K>::FLOATS, *to = state_after(j, r);
        __syncthreads();
        if (warp == 0) keys_at(j, r, old, leaves ? to : NULL, s.key, row, row + row_room<K>::KEYS, row + row_room<K>::G + 2);
        if (warp == 1 && lane < s.n_v) row[row_room<K>::V + lane] = conv_at(j, r, old, to, 2 * j.n_key * j.key_dim + s.head * j.value_dim + s.v0 + lane);
        if (warp == 2 && lane == 0) gates_at(j, r, s.head, row + row_room<K>::G, row + row_room<K>::G + 1);
        __syncthreads();
        step_sums<K>(row, state, part);
        __syncthreads();
        float o = step_end<K>(row, state, part);
        if (to) state_store<K>(j, s, to, state);
        if (warp) continue;
        if (lane < s.n_v) j.o[((int64_t)r * j.n_value + s.head) * j.value_dim + s.v0 + lane] = o;
        __syncwarp();
        int last = 0, *count = j.count + (int64_t)r * j.n_value + s.head;
        if (lane == 0) {
            __threadfence();
            last = atomicAdd(count, 1) + 1 == (int)gridDim.x;
            __threadfence();
        }
        last = __shfl_sync(0xffffffffu, last, 0);
        __syncwarp();                              /* a shuffle orders no memory: what lane 0 saw behind its fence all see behind this */
        if (!last) continue;
        if (lane == 0) *count = 0;
        gated_norm(j, r, s.head);
    }
}

/* ---- launches ---- */

static int64_t channels(const ker_delta *d) { return 2 * (int64_t)d->n_key * d->key_dim + (int64_t)d->n_value * d->value_dim; }

template <int K> static void rule(ker_ctx *c, const delta_job &j)
{
    const ker_delta *d = &c->dev->m.delta;
    unsigned slices = (unsigned)((((d->value_dim + 15) & ~15) + VALUES - 1) / VALUES);
    if (j.n <= CU_FEW) {
        LAUNCH_EARLY(c->dev->early, delta_few<K>, dim3(slices, (unsigned)d->n_value, (unsigned)j.n), dim3(THREADS), 0, c->st, j);
        return;
    }
    LAUNCH(delta_mix, dim3((unsigned)(((int64_t)j.n * (d->n_key + d->n_value) + WARPS - 1) / WARPS)), dim3(THREADS), 0, c->st, j);
    LAUNCH(delta_rule<K>, dim3(slices, (unsigned)d->n_value, (unsigned)c->att.delta.n_first), dim3(THREADS), 0, c->st, j);
    LAUNCH(delta_norm, dim3((unsigned)(((int64_t)j.n * d->n_value + WARPS - 1) / WARPS)), dim3(THREADS), 0, c->st, j);
}

float *cu_delta_alpha(const ker_ctx *c) { return c->att.delta.two + (int64_t)c->max_rows * c->dev->m.delta.n_value; }

void cu_delta_rule(ker_ctx *c, int layer)
{
    const ker_model *m = &c->dev->m;
    const ker_delta *d = &m->delta;
    const cu_layer *l = cu_layer_of(c->dev, layer);
    delta_job j;
    memset(&j, 0, sizeof j);
    j.n = c->shape.n;
    j.n_key = d->n_key;
    j.n_value = d->n_value;
    j.key_dim = d->key_dim;
    j.value_dim = d->value_dim;
    j.conv = d->conv;
    j.tiled = d->tiled;
    j.paired = d->paired;
    j.channels = channels(d);
    j.at = (layer - cu_cell_layer(m, layer)) * ker_state_layer_floats(m);
    j.l2_eps = d->l2_eps;
    j.in = c->att.delta.in;
    j.z = c->att.delta.z;
    j.beta = c->att.delta.two;
    j.alpha = d->paired ? c->att.delta.two + d->n_value / d->n_key : cu_delta_alpha(c);
    j.two_step = d->paired ? 2 * d->n_value : d->n_value;
    j.w = l->vec[KER_W_D_CONV];
    j.dt = l->vec[KER_W_D_DT];
    j.a = l->vec[KER_W_D_A];
    j.norm = l->vec[KER_W_D_NORM];
    j.mix = c->att.delta.mix;
    j.gates = c->att.delta.gates;
    j.o = c->att.delta.o;
    j.count = c->att.delta.count;
    j.at_row = c->att.delta.rows;
    j.slot = c->rows.slot;
    j.cfg = c->rows.cfg;
    if (d->key_dim <= 4 * WARPS) rule<4>(c, j);
    else if (d->key_dim <= 16 * WARPS) rule<16>(c, j);
    else rule<(int)CU_DELTA_KEYS / (int)WARPS>(c, j);
}

/* The products of normed rows that are at hand in y and in: beta and alpha alone, or all of them. */
static void products(ker_ctx *c, int layer, bool two)
{
    const cu_layer *l = cu_layer_of(c->dev, layer);
    const bool paired = c->dev->m.delta.paired;
    const struct { enum ker_role role; float *y; } of[] = { { KER_W_D_QKV, c->att.delta.in }, { KER_W_D_Z, c->att.delta.z },
        { paired ? KER_W_D_BA : KER_W_D_BETA, c->att.delta.two }, { KER_W_D_ALPHA, cu_delta_alpha(c) } };
    int first = two ? 2 : 0, end = paired ? 3 : 4;
    cu_prod p[4];
    cu_low_job low[4];
    memset(p, 0, sizeof p);
    for (int i = first; i < end; i++) {
        p[i].w = &l->w[of[i].role];
        p[i].y = of[i].y;
        p[i].y_stride = p[i].w->n_out;
        p[i].part = KER_PART_NONE;
        low[i] = cu_low_rows(c, layer, of[i].role, c->y, of[i].y, c->shape.n);
    }
    cu_products(c, p + first, end - first, c->y, &c->in, c->shape.n);
    if (!two) cu_low_both(c, low, 2);
    cu_low_both(c, low + 2, end - 2);
}

static unsigned kind_of(const cu_mat *w) { return w->n_out ? 1u << w->act : 0; }

void cu_delta_two(ker_ctx *c, int layer)
{
    const cu_layer *l = cu_layer_of(c->dev, layer);
    cu_norm(c, l->vec[KER_W_ATTN_NORM], NULL, c->shape.n, c->y);
    cu_quantise(c, c->y, c->shape.n, c->dev->m.n_embd, kind_of(&l->w[KER_W_D_BA]) | kind_of(&l->w[KER_W_D_BETA]) | kind_of(&l->w[KER_W_D_ALPHA]), &c->in);
    products(c, layer, true);
}

void cu_delta_part(ker_ctx *c, int layer)
{
    static const enum ker_role readers[] = { KER_W_D_QKV, KER_W_D_Z, KER_W_D_BA, KER_W_D_BETA, KER_W_D_ALPHA };
    const cu_layer *l = cu_layer_of(c->dev, layer);
    const cu_mat *out = &l->w[KER_W_D_OUT];
    unsigned kinds = 0;
    int n = c->shape.n;
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) kinds |= kind_of(&l->w[readers[i]]);
    cu_norm(c, l->vec[KER_W_ATTN_NORM], NULL, n, c->y);
    cu_quantise(c, c->y, n, c->dev->m.n_embd, kinds, &c->in);
    products(c, layer, false);
    cu_delta_rule(c, layer);
    cu_quantise(c, c->att.delta.o, n, out->n_in, kind_of(out), &c->att.delta.act);
    cu_prod p;
    memset(&p, 0, sizeof p);
    p.w = out;
    p.bias = l->vec[KER_W_BO];
    p.y = cu_stream(c, layer);
    p.y_stride = out->n_out;
    p.add = true;
    p.layer = layer;
    p.part = KER_PART_ATTN;
    cu_products(c, &p, 1, c->att.delta.o, &c->att.delta.act, n);
    cu_low_job low = cu_delta_out_job(c, layer);
    cu_low_both(c, &low, 1);
    cu_finish(c, layer, KER_PART_ATTN, 0, n);
}

cu_low_job cu_delta_out_job(const ker_ctx *c, int layer)
{
    cu_low_job j = cu_low_rows(c, layer, KER_W_D_OUT, c->att.delta.o, cu_stream(c, layer), c->shape.n);
    j.part = KER_PART_ATTN;
    return j;
}

/* ---- a context's room, and a batch's rows ---- */

int cu_cell_layer(const ker_model *m, int layer)
{
    int at = 0;
    for (int i = 0; i < layer; i++) at += m->layer[i].mixer != KER_MIX_DELTA;
    return at;
}

static bool recurrent(const ker_model *m) { return ker_cell_layers(m) < m->n_layer; }

int cu_delta_check(const ker_model *m, char *err)
{
    if (recurrent(m) && m->delta.key_dim > CU_DELTA_KEYS)
        return q_fail(err, Q_RANGE, _("recurrent layers with keys of %d numbers are not computed on the GPU yet: use --device cpu"), m->delta.key_dim);
    for (int i = 0; i < m->n_layer; i++)
        if (m->layer[i].q_gate && m->layer[i].biases & KER_BIAS_QKV)
            return q_fail(err, Q_RANGE, _("layer %d: a gate of Q beside biases is not computed on the GPU yet: use --device cpu"), i);
    return Q_OK;
}

bool cu_delta_make(ker_ctx *c)
{
    const ker_model *m = &c->dev->m;
    const ker_delta *d = &m->delta;
    if (!recurrent(m) || c->dev->hold.no_rest) return true;
    int64_t n = c->max_rows, wide = (int64_t)d->n_value * d->value_dim, many = n > CU_FEW ? n : 1;
    unsigned kinds = 0;
    for (int i = 0; i < m->n_layer; i++) kinds |= kind_of(&cu_layer_of(c->dev, i)->w[KER_W_D_OUT]);
    c->att.delta.in = (float *)cu_ctx_alloc(c, n * channels(d) * 4);
    c->att.delta.z = (float *)cu_ctx_alloc(c, n * wide * 4);
    c->att.delta.two = (float *)cu_ctx_alloc(c, n * d->n_value * 2 * 4);
    c->att.delta.mix = (float *)cu_ctx_alloc(c, many * channels(d) * 4);
    c->att.delta.gates = (float *)cu_ctx_alloc(c, many * (2 * d->n_value + d->n_key) * 4);
    c->att.delta.o = (float *)cu_ctx_alloc(c, n * wide * 4);
    c->att.delta.count = (int *)cu_ctx_alloc(c, CU_FEW * d->n_value * 4);
    c->att.delta.dev = (uint8_t *)cu_ctx_alloc(c, n * ROW_BYTES);
    c->att.delta.host = (uint8_t *)cu_ctx_pinned(c, n * ROW_BYTES);
    if (!c->att.delta.in || !c->att.delta.z || !c->att.delta.two || !c->att.delta.mix || !c->att.delta.gates || !c->att.delta.o || !c->att.delta.count || !c->att.delta.dev || !c->att.delta.host) return false;
    return cu_acts_make(c, &c->att.delta.act, kinds, n, wide);
}

static bool there(const ker_kv *kv, int state) { return state > 0 && state <= kv->n_state && kv->state[state - 1]; }

static float *numbers(const ker_kv *kv, int state) { return state ? kv->state[state - 1] : NULL; }

/* Tables of as many rows as the batch has, behind one another. */
static void rows_place(ker_ctx *c, int n)
{
    float **p = (float **)(void *)c->att.delta.dev;
    int *at = (int *)(void *)(p + 2 * n);
    c->att.delta.rows.from = p;
    c->att.delta.rows.left = p + n;
    c->att.delta.rows.before = at;
    c->att.delta.rows.after = at + n;
    c->att.delta.rows.first = at + 2 * n;
}

int cu_delta_begin(ker_ctx *c, const ker_batch *b, char *err)
{
    const ker_kv *kv = c->kv;
    int n = b->n;
    if (!c->att.delta.host) return Q_OK;
    rows_place(c, n);
    float **from = (float **)(void *)c->att.delta.host, **left = from + n;
    int *before = (int *)(void *)(from + 2 * n), *after = before + n, *first = before + 2 * n;
    c->att.delta.n_first = 0;
    for (int r = 0; r < b->n; r++) {
        int seq = b->seq ? b->seq[r] : 0, at = r - 1, each = b->seqs[seq].state_each && r < b->n - 1 ? b->seqs[seq].state_each[r] : 0;
        const ker_seq *s = &b->seqs[seq];
        if ((s->state_from && !there(kv, s->state_from)) || (s->state_to && !there(kv, s->state_to)) || (each && !there(kv, each)))
            return q_fail(err, Q_RANGE, _("sequence %d of the batch: there is no such state of the recurrent layers"), seq);
        while (at >= 0 && b->seq && b->seq[at] != seq) at--;
        from[r] = numbers(kv, s->state_from);
        left[r] = numbers(kv, s->state_to);
        before[r] = at;
        after[r] = first[r] = -1;
        if (at < 0) first[c->att.delta.n_first++] = r;
        else {
            after[at] = r;
            left[at] = s->state_each ? numbers(kv, s->state_each[at]) : NULL;
        }
    }
    if (cu_ok(c->dev, cudaMemcpyAsync(c->att.delta.dev, c->att.delta.host, (size_t)n * ROW_BYTES, cudaMemcpyHostToDevice, c->st), "batch")) return Q_OK;
    return q_fail(err, Q_ERR, _("the GPU failed (%s): use --device cpu"), c->dev->why);
}

/* ---- states ---- */

int64_t state_bytes(const ker_dev *d) { return ker_state_floats(&d->m) * (int64_t)sizeof(float); }

int state_new(ker_kv *kv, char *err)
{
    int at = 0;
    float *f = NULL;
    while (at < kv->n_state && kv->state[at]) at++;
    cudaSetDevice(kv->dev->index);
    if (cudaMalloc(&f, (size_t)state_bytes(kv->dev)) != cudaSuccess) {
        cudaGetLastError();
        return q_fail(err, Q_NOMEM, _("no memory for a state of the recurrent layers: lower state.memory or context.length"));
    }
    if (at == kv->n_state) kv->state = (float **)q_realloc(kv->state, sizeof *kv->state * (size_t)++kv->n_state);
    kv->state[at] = f;
    return at + 1;
}

void state_free(ker_kv *kv, int state)
{
    if (!there(kv, state)) return;
    cudaSetDevice(kv->dev->index);
    cudaFree(kv->state[state - 1]);
    kv->state[state - 1] = NULL;
}

void cu_states_free(ker_kv *kv)
{
    for (int i = 0; i < kv->n_state; i++) cudaFree(kv->state[i]);
    free(kv->state);
}

/* On the stream of kv_copy, as between batches. */
static int moved(ker_kv *kv, void *to, const void *from, cudaMemcpyKind kind)
{
    ker_dev *d = kv->dev;
    cudaSetDevice(d->index);
    return cu_ok(d, cudaMemcpyAsync(to, from, (size_t)state_bytes(d), kind, d->st), "states") && cu_ok(d, cudaStreamSynchronize(d->st), "states") ? Q_OK : Q_ERR;
}

static bool all_finite(const ker_kv *kv, const float *f)
{
    bool all = true;
    for (int64_t i = 0, n = ker_state_floats(&kv->dev->m); i < n; i++) all &= fabsf(f[i]) <= 3.402823466e38f;
    return all;
}

int state_save(ker_kv *kv, int state, void *dst)
{
    if (!there(kv, state)) return Q_RANGE;
    int rc = moved(kv, dst, kv->state[state - 1], cudaMemcpyDeviceToHost);
    return rc ? rc : all_finite(kv, (const float *)dst) ? Q_OK : Q_FORMAT;
}

int state_load(ker_kv *kv, int state, const void *src)
{
    if (!there(kv, state)) return Q_RANGE;
    int rc = moved(kv, kv->state[state - 1], src, cudaMemcpyHostToDevice);
    return rc ? rc : all_finite(kv, (const float *)src) ? Q_OK : Q_FORMAT;
}
