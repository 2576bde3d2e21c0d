/* kernels/cuda/choose: the choice of experts of one row by one warp: edits, gates, the list, weights, entropy and margin, as
 * kernels/cpu/route.c has them. */
#ifndef QUORUM_CUDA_CHOOSE_CUH
#define QUORUM_CUDA_CHOOSE_CUH

#include "kernels/cuda/types.cuh"

#include <float.h>

enum { WARP = 32 };
static const unsigned ALL = 0xffffffffu;

typedef struct choose_args {
    float *score, *sh_coef;        /* sh_coef NULL: none                                      */
    const float *bias;             /* KER_W_SELECT_BIAS or NULL                               */
    const int *slot;
    const cu_cfg *cfg;
    const uint16_t *forced;        /* [n][max_k] of this layer or NULL                        */
    uint16_t *ids;                 /* [n][max_k] ...                                          */
    float *weights, *entropy, *margin;          /* ... and [n] of this layer                  */
    cu_trace tr;
    int n, n_expert, max_k, layer;
    int gate;                      /* ker_gate                                                */
    bool renorm;
    float weights_scale, router_scale;
    float sum_floor;               /* a smaller sum of chosen gate values counts as this      */
    int n_group, n_group_used, group_best;      /* ker_model's; read where GROUPS             */
    float group_part;              /* groups an expert                                        */
} choose_args;

static __device__ __forceinline__ float warp_top(float v)
{
    for (int h = WARP / 2; h; h /= 2) {
        float o = __shfl_xor_sync(ALL, v, h);
        v = o > v ? o : v;
    }
    return v;
}

/* The largest key (49 bits) of a warp. */
static __device__ __forceinline__ uint64_t warp_top_key(uint64_t v)
{
    unsigned upper = (unsigned)(v >> 17), top = __reduce_max_sync(ALL, upper);
    unsigned lower = __reduce_max_sync(ALL, upper == top ? (unsigned)v & 0x1ffffu : 0u);
    return (uint64_t)top << 17 | lower;
}

/* The order of the list as a number: pinned first, then what decides, then the lower id. 0: not to be chosen. */
static __device__ __forceinline__ uint64_t key_of(float sel, bool pinned, int e)
{
    if (sel != sel) sel = -FLT_MAX;
    unsigned u = sel == 0 ? 0 : (unsigned)__float_as_int(sel);        /* zeros are equal */
    u = u >> 31 ? ~u : u | 0x80000000u;
    return (uint64_t)pinned << 48 | (uint64_t)u << 16 | (uint64_t)(0xffff - e);
}
static __device__ __forceinline__ int key_expert(uint64_t key) { return 0xffff - (int)(key & 0xffff); }

static __device__ __forceinline__ float key_value(uint64_t key)
{
    unsigned u = (unsigned)(key >> 16);
    return __int_as_float((int)(u >> 31 ? u & 0x7fffffffu : ~u));
}

/* What a row's gates are computed from. */
typedef struct gate_sums { float top, sum, inverse; } gate_sums;

static __device__ __forceinline__ float gate_of(const choose_args &a, const gate_sums &g, float s)
{
    if (a.router_scale > 0) return 1.0f;
    if (a.gate == KER_GATE_SOFTMAX) return expf(s - g.top) * g.inverse;
    return __fdividef(1.0f, 1.0f + expf(-s));
}

static __device__ __forceinline__ bool banned(const float *add, int e) { return add && add[e] == -INFINITY; }

/* Scores edited in place; the row's largest, the sum and the entropy of softmax. */
static __device__ __forceinline__ gate_sums edit_scores(const choose_args &a, int row, int lane, float *s, const cu_cfg *g, const float *add)
{
    gate_sums r = { -INFINITY, 0, 0 };
    /* Full division branches to a function, for which registers are put aside: not here. */
    float cool = __fdividef(1.0f, g->temperature), carved = a.router_scale > 0 ? __fdividef(1.0f, a.router_scale) : 0.0f;
    for (int e = lane; e < a.n_expert; e += WARP) {
        float v = s[e];
        if (a.router_scale > 0) v = (a.bias ? fmaf(4.0f, a.bias[e], v) : v) * carved;
        if (add) v += add[e];
        if (banned(add, e)) v = -INFINITY;                            /* also where the score was NaN */
        v *= cool;
        s[e] = v;
        r.top = v > r.top ? v : r.top;
    }
    r.top = warp_top(r.top);
    if (r.top == -INFINITY) r.top = 0;                                /* all NaN or -inf: nothing meaningful, but defined */
    for (int e = lane; e < a.n_expert; e += WARP) r.sum += expf(s[e] - r.top);
    r.sum = cu_warp_sum(r.sum);
    r.inverse = __fdividef(1.0f, r.sum);
    float entropy = 0;                                                /* -sum p ln p = ln Z - sum p (s - top) */
    for (int e = lane; e < a.n_expert; e += WARP) {
        float p = expf(s[e] - r.top);
        if (p > 0) entropy -= p * r.inverse * (s[e] - r.top);
    }
    entropy = cu_warp_sum(entropy);
    if (lane == 0) a.entropy[row] = r.sum > 0 ? entropy + logf(r.sum) : 0.0f;
    return r;
}

/* The key of one expert; marks a row whose numbers are not finite. */
static __device__ __forceinline__ uint64_t expert_key(const choose_args &a, const gate_sums &g, const float *s, const float *add, const uint8_t *pin, int e,
                                                      int *broken)
{
    bool by_score = a.router_scale > 0 || (a.gate == KER_GATE_SOFTMAX && !a.bias);
    float sel = by_score ? s[e] : a.bias ? gate_of(a, g, s[e]) + a.bias[e] : gate_of(a, g, s[e]);
    if (banned(add, e)) return 0;
    if (!(fabsf(s[e]) <= FLT_MAX && fabsf(sel) <= FLT_MAX)) *broken = 1;
    return key_of(sel, pin && pin[e], e);
}

/* Cuts a list of `n` down to those that min_p leaves; the first n_pin stay. Every lane returns the new length. */
static __device__ __forceinline__ int cut_list(const choose_args &a, const gate_sums &g, const float *s, uint16_t *ids, int n, int n_pin, float min_p, int lane)
{
    float most = 0;
    for (int i = lane; i < n; i += WARP) {
        float v = gate_of(a, g, s[ids[i]]);
        most = v > most ? v : most;
    }
    most = warp_top(most);
    int kept = 0;
    for (int i0 = 0; i0 < n; i0 += WARP) {
        int i = i0 + lane, e = i < n ? ids[i] : 0;
        bool keep = i < n && (i < n_pin || !(gate_of(a, g, s[e]) < min_p * most));
        unsigned m = __ballot_sync(ALL, keep);
        __syncwarp();
        if (keep) ids[kept + __popc(m & ((1u << lane) - 1))] = (uint16_t)e;
        __syncwarp();
        kept += __popc(m);
    }
    return kept;
}

/* ---- groups (ker_model.n_group) ---- */

/* The order of a group as key_of has it; 0: nothing of it is open. n_open: how many are. */
static __device__ __forceinline__ uint64_t group_key(const choose_args &a, const gate_sums &sums, const float *s, const float *add, const uint8_t *pin, int group,
                                                     int *n_open)
{
    bool by_score = a.router_scale > 0 || (a.gate == KER_GATE_SOFTMAX && !a.bias);
    int per = a.n_expert / a.n_group;
    float first = -INFINITY, second = -INFINITY;
    *n_open = 0;
    for (int e = group * per; e < (group + 1) * per; e++) {
        float value = gate_of(a, sums, s[e]) + (a.bias ? a.bias[e] : 0.0f), v = a.group_best > 1 || !by_score ? value : s[e];
        if (a.group_best < 2 && v != v) v = -FLT_MAX;
        *n_open += !banned(add, e) && !(pin && pin[e]);
        if (v > first) { second = first; first = v; }
        else if (v > second) second = v;
    }
    float score = a.group_best > 1 && per > 1 ? first + second : first;
    return *n_open ? key_of(score >= -FLT_MAX ? score : -FLT_MAX, false, group) : 0;
}

/* The key of the last group that counts for k slots that are not pinned. one, open: of group `lane`, where there are no more than lanes. */
static __device__ __forceinline__ uint64_t last_group(const choose_args &a, const gate_sums &sums, const float *s, const float *add, const uint8_t *pin, int k, int lane,
                                                      uint64_t one, int open)
{
    uint64_t last = ~(uint64_t)0;
    for (int used = 0, n = 0; used < a.n_group && (used < a.n_group_used || n < k); used++) {
        uint64_t top = 0;
        int here = 0;
        for (int g = lane; g < a.n_group; g += WARP) {
            int of = open;
            uint64_t v = a.n_group <= WARP ? one : group_key(a, sums, s, add, pin, g, &of);
            if (v >= last || v <= top) continue;
            top = v;
            here = of;
        }
        uint64_t best = warp_top_key(top);
        if (!best) break;
        n += (int)cu_warp_sum(top == best ? (float)here : 0.0f);
        last = best;
    }
    return last;
}

/* Whether expert e, of any lane, lies in a group that counts. All lanes ask together; behind the last expert: of the last. */
static __device__ __forceinline__ bool in_groups(const choose_args &a, const gate_sums &sums, const float *s, const float *add, const uint8_t *pin, int e, uint64_t one,
                                                 uint64_t least)
{
    /* Exact: half an expert from the border of a group is more than what rounding moves. */
    int g = (int)(((float)(e < a.n_expert ? e : a.n_expert - 1) + 0.5f) * a.group_part), unused;
    uint64_t key = a.n_group <= WARP ? (uint64_t)__shfl_sync(ALL, (unsigned long long)one, g) : group_key(a, sums, s, add, pin, g, &unused);
    return key && key >= least;
}

/* PER: keys that a lane keeps in registers, one for each 32 experts; 0: any number of experts, keys made again each time. */
template <int PER, bool GROUPS> static __device__ __forceinline__ void choose_row(const choose_args &a, int row, int lane)
{
    const cu_cfg *g = &a.cfg[a.slot[row]];
    const float *add = g->router_add ? g->router_add + (int64_t)a.layer * a.n_expert : NULL;
    const uint8_t *pin = g->pin ? g->pin + (int64_t)a.layer * a.n_expert : NULL;
    float *s = a.score + (int64_t)row * a.n_expert, *weights = a.weights + (int64_t)row * a.max_k;
    uint16_t *ids = a.ids + (int64_t)row * a.max_k;
    const uint16_t *forced = a.forced ? a.forced + (int64_t)row * a.max_k : NULL;
    gate_sums sums = edit_scores(a, row, lane, s, g, add);

    uint64_t key[PER ? PER : 1];
    int broken = 0, n_open = 0, n = 0, per = PER ? PER : (a.n_expert + WARP - 1) / WARP;
#pragma unroll
    for (int i = 0; i < per; i++) {
        int e = lane + i * WARP;
        uint64_t v = e < a.n_expert ? expert_key(a, sums, s, add, pin, e, &broken) : 0;
        n_open += v != 0;
        if (PER) key[PER ? i : 0] = v;
    }
    n_open = (int)cu_warp_sum((float)n_open);
    if (__any_sync(ALL, broken) && lane == 0) cu_mark(a.tr, row, KER_PART_ROUTE, a.layer);
    if (lane == 0) a.margin[row] = NAN;
    __syncwarp();
    if (forced && forced[0] != KER_NO_EXPERT) {
        while (n < a.max_k && forced[n] != KER_NO_EXPERT) n++;
        for (int i = lane; i < n; i += WARP) ids[i] = forced[i];
    } else {
        int k = g->k[a.layer] < n_open ? g->k[a.layer] : n_open, n_pin = 0;
        uint64_t last = ~(uint64_t)0, group = 0, least = 0;
        if constexpr (GROUPS) {
            int open = 0, pins = 0;
            for (int e = lane; pin && e < a.n_expert; e += WARP) pins += pin[e] && !banned(add, e);
            pins = (int)cu_warp_sum((float)pins);
            if (a.n_group <= WARP && lane < a.n_group) group = group_key(a, sums, s, add, pin, lane, &open);
            least = last_group(a, sums, s, add, pin, k - (pins < k ? pins : k), lane, group, open);
#pragma unroll
            for (int i = 0; PER && i < per; i++)
                if (!in_groups(a, sums, s, add, pin, lane + i * WARP, group, least) && !(key[PER ? i : 0] >> 48)) key[PER ? i : 0] = 0;
        }
        int rounds = k < n_open ? k + 1 : k;                          /* the k best, and the best that was not chosen */
        for (int j = 0; j < rounds; j++) {
            uint64_t top = 0;
#pragma unroll
            for (int i = 0; i < per; i++) {
                int e = lane + i * WARP;
                int unused;
                uint64_t v = PER ? key[PER ? i : 0] : e < a.n_expert ? expert_key(a, sums, s, add, pin, e, &unused) : 0;
                if constexpr (GROUPS && !PER) if (!in_groups(a, sums, s, add, pin, e, group, least) && !(v >> 48)) v = 0;
                top = v < last && v > top ? v : top;
            }
            top = warp_top_key(top);
            if (GROUPS && !top) break;                                /* nothing of those groups was left out */
            if (lane == 0 && j < k) ids[j] = (uint16_t)key_expert(top);
            if (lane == 0 && j == k && !(last >> 48)) a.margin[row] = key_value(last) - key_value(top);
            n_pin += j < k ? (int)(top >> 48) : 0;
            last = top;
        }
        n = k;
        __syncwarp();
        if (g->min_p > 0) n = cut_list(a, sums, s, ids, n, n_pin, g->min_p, lane);
    }
    __syncwarp();

    float sum = 0, scale = 1;
    for (int i = lane; i < n; i += WARP) sum += gate_of(a, sums, s[ids[i]]);
    sum = cu_warp_sum(sum);
    if (!(a.router_scale > 0)) scale = a.renorm ? __fdividef(a.weights_scale, sum < a.sum_floor ? a.sum_floor : sum) : a.weights_scale;
    for (int i = lane; i < a.max_k; i += WARP) {
        weights[i] = i < n ? gate_of(a, sums, s[ids[i]]) * scale : 0.0f;
        if (i >= n) ids[i] = KER_NO_EXPERT;
    }
    if (a.sh_coef && lane == 0) {
        float v = a.sh_coef[row];
        if (!(fabsf(v) <= FLT_MAX)) cu_mark(a.tr, row, KER_PART_ROUTE, a.layer);
        a.sh_coef[row] = __fdividef(1.0f, 1.0f + expf(-v));
    }
}

/* route.cu: what a layer's choice needs, for the batch at hand. */
choose_args cu_choose_args(const ker_ctx *c, int layer);

#endif
