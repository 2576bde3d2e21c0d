/* kernels/cuda/act: rows of activations: the embedding with each row's rotation, the norm, and int8 with scales as
 * quantised weights want them (the integers of kernels/cpu/mat_scalar.c). See cuda.h. */
#include "kernels/cuda/types.cuh"

#include <math.h>

enum { THREADS = 256, WARPS = THREADS / 32 };

/* ---- embedding and rotation ---- */

/* Sine and cosine within 2 units of the last place up to 2^23, by three steps of reduction: the library's own way for large
 * arguments needs local memory. Not finite in, not finite out. */
static __device__ __forceinline__ void sine_cosine(float a, float *sine, float *cosine)
{
    float k = rintf(a * 0.636619772f), x = fmaf(k, -1.57079625f, a);
    x = fmaf(k, -7.54978942e-8f, x);
    x = fmaf(k, -5.39030253e-15f, x);
    float x2 = x * x;
    float c = fmaf(fmaf(fmaf(fmaf(2.44331571e-5f, x2, -1.38873162e-3f), x2, 4.16666456e-2f), x2, -0.5f), x2, 1.0f);
    float s = fmaf(fmaf(fmaf(fmaf(-1.95152959e-4f, x2, 8.33216087e-3f), x2, -1.66666546e-1f), x2, 0.0f), x, x);
    /* k modulo 4 in floats: exact, and defined for what is too large or not finite. */
    float quarter = k - 4 * floorf(k * 0.25f);
    bool swap = quarter == 1 || quarter == 3;
    float s1 = swap ? c : s, c1 = swap ? s : c;
    *sine = quarter >= 2 ? -s1 : s1;
    *cosine = quarter == 1 || quarter == 2 ? -c1 : c1;
}

static __device__ __forceinline__ void rope_row(const cu_rows &rows, int r, int turns, const float *freq, float mscale, float *cs)
{
    for (int i = (int)threadIdx.x; i < turns; i += THREADS) {
        float s, c;
        sine_cosine((float)rows.pos[r] * freq[i], &s, &c);
        cs[i] = c * mscale;
        cs[turns + i] = s * mscale;
    }
}

template <int TYPE> static __global__ void __launch_bounds__(THREADS) embed_blocks(cu_mat w, cu_rows rows, cu_trace tr, float *x, float *rope, int turns)
{
    int r = (int)blockIdx.x, units = w.n_in / 32;
    int64_t token = rows.token[r];
    const int per = cu_form<TYPE>::BLOCK / 32;
    bool whole = true;
    for (int i = (int)threadIdx.x; i < units; i += THREADS) {
        cu_unit u;
        cu_form<TYPE>::unit(w, token * (units / per) + i / per, i % per, u);
        float *to = x + (int64_t)r * w.n_in + i * 32;
#pragma unroll
        for (int k = 0; k < 32; k++) {
            float v = cu_unit_value<TYPE>(u, k);
            whole = whole && cu_finite(v);
            to[k] = v;
        }
    }
    if (!whole) cu_mark(tr, r, KER_PART_EMBED, -1);
    const cu_cfg &cfg = rows.cfg[rows.slot[r]];
    rope_row(rows, r, turns, cfg.rope_freq, cfg.mscale, rope + (int64_t)r * 2 * turns);
}

template <int TYPE> static __global__ void __launch_bounds__(THREADS) embed_floats(cu_mat w, cu_rows rows, cu_trace tr, float *x, float *rope, int turns)
{
    int r = (int)blockIdx.x;
    int64_t at = (int64_t)rows.token[r] * w.n_in;
    bool whole = true;
    for (int i = (int)threadIdx.x; i < w.n_in; i += THREADS) {
        float v = cu_float_at<TYPE>(w.p[0], at + i);
        whole = whole && cu_finite(v);
        x[(int64_t)r * w.n_in + i] = v;
    }
    if (!whole) cu_mark(tr, r, KER_PART_EMBED, -1);
    const cu_cfg &cfg = rows.cfg[rows.slot[r]];
    rope_row(rows, r, turns, cfg.rope_freq, cfg.mscale, rope + (int64_t)r * 2 * turns);
}

void cu_embed(ker_ctx *c)
{
    const cu_mat &w = cu_layer_of(c->dev, -1)->w[KER_W_EMBD];
    int turns = c->dev->m.rope_dim / 2;
    switch (w.type) {
#define CASE(name) case KER_##name: LAUNCH(embed_blocks<KER_##name>, c->shape.n, THREADS, 0, c->st, w, c->rows, c->tr, c->x, c->att.rope, turns); break;
    CU_BLOCK_TYPES(CASE)
#undef CASE
#define CASE(name) case KER_##name: LAUNCH(embed_floats<KER_##name>, c->shape.n, THREADS, 0, c->st, w, c->rows, c->tr, c->x, c->att.rope, turns); break;
    CU_FLOAT_TYPES(CASE)
#undef CASE
    }
}

/* What some models do with a row besides: a factor on its numbers, and the rotations of layers that have their own. */
static __global__ void __launch_bounds__(THREADS) embed_more(cu_rows rows, cu_trace tr, float *x, int n, float factor, float *local, int turns)
{
    int r = (int)blockIdx.x;
    bool whole = true;
    for (int i = (int)threadIdx.x; i < n && factor != 1.0f; i += THREADS) {
        float v = x[(int64_t)r * n + i] * factor;
        whole = whole && cu_finite(v);
        x[(int64_t)r * n + i] = v;
    }
    if (!whole) cu_mark(tr, r, KER_PART_EMBED, -1);
    const cu_cfg &cfg = rows.cfg[rows.slot[r]];
    if (local) rope_row(rows, r, turns, cfg.rope_local, cfg.local_mscale, local + (int64_t)r * 2 * turns);
}

void cu_embed_more(ker_ctx *c)
{
    const ker_model *m = &c->dev->m;
    float factor = m->embd_scale != 0 ? m->embd_scale : 1.0f;
    if (factor == 1.0f && !c->att.norms.rope) return;
    LAUNCH(embed_more, c->shape.n, THREADS, 0, c->st, c->rows, c->tr, c->x, m->n_embd, factor, c->att.norms.rope, m->rope_dim / 2);
}

/* ---- norm ---- */

static __global__ void __launch_bounds__(THREADS) norm_rows(const float *x, const float *w, const int *which, cu_rows rows, int n, float *y)
{
    SHARED(float, part, WARPS);
    int i0 = (int)blockIdx.x, r = which ? which[i0] : i0, warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const float *from = x + (int64_t)r * n;
    float s = 0;
    for (int i = (int)threadIdx.x; i < n; i += THREADS) s = fmaf(from[i], from[i], s);
    s = cu_warp_sum(s);
    if (lane == 0) part[warp] = s;
    __syncthreads();
    s = 0;
#pragma unroll
    for (int i = 0; i < WARPS; i++) s += part[i];
    float scale = 1.0f / sqrtf(s / (float)n + rows.cfg[rows.slot[r]].eps);
    for (int i = (int)threadIdx.x; i < n; i += THREADS) y[(int64_t)i0 * n + i] = from[i] * scale * w[i];
}

void cu_norm(ker_ctx *c, const float *w, const int *rows, int n, float *y)
{
    if (n < 1) return;
    LAUNCH(norm_rows, n, THREADS, 0, c->st, (const float *)c->x, w, rows, c->rows, c->dev->m.n_embd, y);
}

/* ---- int8 ---- */

/* A warp a block of 32 or 256: q = round(x * (127 / most)), d = most / 127; what is below 1e-30 is zero, and a NaN or an
 * infinity makes d NaN, so that it is seen. */
template <int BLOCK> static __global__ void __launch_bounds__(THREADS) quantise(const float *x, int n_rows, int n, cu_act to)
{
    const int PER = BLOCK / 32;
    int lane = (int)threadIdx.x % 32, blocks = n / BLOCK;
    int64_t at = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32, row = at / blocks, b = at % blocks;
    if (row >= n_rows) return;
    const float *from = x + row * n + b * BLOCK;
    float v[PER];
    unsigned most = 0;                               /* as bits: NaN > infinity > every number */
#pragma unroll
    for (int i = 0; i < PER; i++) {
        v[i] = from[i * 32 + lane];
        unsigned u = (unsigned)__float_as_int(v[i]) & 0x7fffffffu;
        most = u > most ? u : most;
    }
#pragma unroll
    for (int o = 16; o; o >>= 1) {
        unsigned u = __shfl_xor_sync(0xffffffffu, most, o);
        most = u > most ? u : most;
    }
    float amax = __int_as_float((int)most);
    bool whole = most < 0x7f800000u, none = !whole || amax < 1e-30f;
    float scale = none ? 0.0f : 127.0f / amax, d = !whole ? __int_as_float(0x7fc00000) : none ? 0.0f : amax / 127.0f;
#pragma unroll
    for (int i = 0; i < PER; i++) {
        int q = none ? 0 : __float2int_rn(v[i] * scale), sum = q;
        to.q[row * n + b * BLOCK + i * 32 + lane] = (int8_t)q;
#pragma unroll
        for (int o = 16; o; o >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, o);
        if (lane == 0) {
            to.d[row * (n / 32) + b * PER + i] = d;
            to.sum[row * (n / 32) + b * PER + i] = sum;
        }
    }
}

void cu_quantise(ker_ctx *c, const float *x, int n_rows, int n, unsigned kinds, const cu_acts *to)
{
    int64_t few = (int64_t)n_rows * (n / 32), many = (int64_t)n_rows * (n / 256);
    if (kinds >> KER_ACT_Q8_32 & 1 && few)
        LAUNCH(quantise<32>, (unsigned)((few + WARPS - 1) / WARPS), THREADS, 0, c->st, x, n_rows, n, to->kind[KER_ACT_Q8_32]);
    if (kinds >> KER_ACT_Q8_256 & 1 && many)
        LAUNCH(quantise<256>, (unsigned)((many + WARPS - 1) / WARPS), THREADS, 0, c->st, x, n_rows, n, to->kind[KER_ACT_Q8_256]);
}
