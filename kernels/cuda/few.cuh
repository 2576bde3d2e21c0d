/* kernels/cuda/few: what the launches for few rows are made of: a row as int8 in shared memory, and a lane's share of a
 * matrix's row in two steps, so that several loads are on their way while others are multiplied. Device functions. */
#ifndef QUORUM_CUDA_FEW_CUH
#define QUORUM_CUDA_FEW_CUH

#include "kernels/cuda/types.cuh"

/* ---- a row as int8 ---- */

static __device__ __forceinline__ void few_load8(const float *p, float v[8])    /* 16 bytes aligned */
{
    float4 a = ((const float4 *)(const void *)p)[0], b = ((const float4 *)(const void *)p)[1];
    v[0] = a.x; v[1] = a.y; v[2] = a.z; v[3] = a.w;
    v[4] = b.x; v[5] = b.y; v[6] = b.z; v[7] = b.w;
}

/* 256 numbers by a warp, eight a lane from `at` (nothing behind n): as cu_quantise does. to: one row. */
template <int KIND> static __device__ __forceinline__ void few_put8(const float v[8], int at, int n, const cu_act &to)
{
    unsigned most = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        unsigned u = (unsigned)__float_as_int(v[i]) & 0x7fffffffu;
        most = u > most ? u : most;
    }
#pragma unroll
    for (int o = 1; o < (KIND == KER_ACT_Q8_256 ? 32 : 4); o *= 2) {
        unsigned u = __shfl_xor_sync(0xffffffffu, most, o);
        most = u > most ? u : most;
    }
    float amax = __int_as_float((int)most);
    bool whole = most < 0x7f800000u, none = !whole || amax < 1e-30f;
    float scale = none ? 0.0f : 127.0f / amax, d = !whole ? __int_as_float(0x7fc00000) : none ? 0.0f : amax / 127.0f;
    int word[2] = { 0, 0 }, sum = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        int q = none ? 0 : __float2int_rn(v[i] * scale);
        sum += q;
        word[i / 4] |= (q & 255) << 8 * (i & 3);
    }
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    if (at >= n) return;
    ((int *)(void *)(to.q + at))[0] = word[0];
    ((int *)(void *)(to.q + at))[1] = word[1];
    if (at % 32) return;
    to.d[at / 32] = d;
    to.sum[at / 32] = sum;
}

/* Shared memory of a row of n (see few_row), so that another may stand behind it: 16 bytes are loaded at once. */
static __host__ __device__ inline size_t few_bytes(int n) { return ((size_t)n + 15) / 16 * 16 + ((size_t)n / 32 * 8 + 15) / 16 * 16; }
static __device__ __forceinline__ cu_act few_row(uint8_t *room, int n)
{
    cu_act a;
    a.q = (int8_t *)room;
    a.d = (float *)(void *)(room + (n + 15) / 16 * 16);
    a.sum = (int *)(void *)(a.d + n / 32);
    return a;
}

/* The sum of a number of every thread; part: [WARPS] shared. Every thread gets it. */
template <int WARPS> static __device__ __forceinline__ float few_block_sum(float v, float *part)
{
    v = cu_warp_sum(v);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
    __syncthreads();
    v = 0;
#pragma unroll
    for (int i = 0; i < WARPS; i++) v += part[i];
    return v;
}

/* A row of n (a multiple of 8), normed where there is a norm, by a block: `KINDS` bits of ker_act, of them those whose q is
 * not NULL. y: where the normed row goes, or NULL. What it writes is there after the next __syncthreads. */
template <int KINDS, int WARPS> static __device__ __forceinline__ void few_prepare(const float *x, const float *norm, float eps, int n, const cu_act &q8_32,
                                                                                  const cu_act &q8_256, float *y, float *part)
{
    int first = (int)threadIdx.x / 32 * 256, lane8 = (int)threadIdx.x % 32 * 8;
    bool one = n <= WARPS * 256;                     /* a piece a warp: what was read for the norm is still at hand */
    float v[8] = {}, w[8] = {}, scale = 1;
    if (norm) {
        float s = 0;
        for (int i = first + lane8; i < n; i += WARPS * 256) {
            few_load8(x + i, v);
            few_load8(norm + i, w);
#pragma unroll
            for (int k = 0; k < 8; k++) s = fmaf(v[k], v[k], s);
        }
        scale = 1.0f / sqrtf(few_block_sum<WARPS>(s, part) / (float)n + eps);
    }
    for (int p = first; p < n; p += WARPS * 256) {
        int i = p + lane8;
        if (i < n && !(norm && one)) few_load8(x + i, v);
        if (i < n && norm && !one) few_load8(norm + i, w);
#pragma unroll
        for (int k = 0; k < 8; k++) v[k] = i >= n ? 0.0f : norm ? v[k] * scale * w[k] : v[k];
        if (y && i < n) {
            ((float4 *)(void *)(y + i))[0] = make_float4(v[0], v[1], v[2], v[3]);
            ((float4 *)(void *)(y + i))[1] = make_float4(v[4], v[5], v[6], v[7]);
        }
        if (KINDS >> KER_ACT_Q8_32 & 1 && q8_32.q) few_put8<KER_ACT_Q8_32>(v, i, n, q8_32);
        if (KINDS >> KER_ACT_Q8_256 & 1 && q8_256.q) few_put8<KER_ACT_Q8_256>(v, i, n, q8_256);
    }
}

/* ---- a lane's share ----
 * A share is 32 weights; share t of a row lies in block t / PER. load reads it, dot multiplies it with share `at` of a row
 * of int8 and adds that to acc. A K-block's share is not its 32 weights in order: it is what 16 bytes of low parts hold. */
template <int TYPE> struct few_form {
    enum { PER = cu_form<TYPE>::BLOCK / 32, KIND = cu_form<TYPE>::BLOCK < 256 ? (int)KER_ACT_Q8_32 : (int)KER_ACT_Q8_256 };
    typedef typename cu_form<TYPE>::raw raw;
    static __device__ __forceinline__ void load(const cu_mat &w, int64_t block0, int t, raw &r) { cu_form<TYPE>::load(w, block0 + t / PER, t % PER, r); }
    static __device__ __forceinline__ float dot(const raw &r, int at, const cu_act &a, float acc)
    {
        cu_unit u;
        const int4 *q = (const int4 *)(const void *)(a.q + at * 32);
        cu_form<TYPE>::open(r, at % PER, u);
        return cu_unit_dot<TYPE>(u, q[0], q[1], a.d[at], cu_form<TYPE>::MIN != 0 ? a.sum[at] : 0, acc);
    }
};

static __device__ __forceinline__ int few_dot16(const unsigned q[4], const int4 &a)
{
    return __dp4a((int)q[0], a.x, __dp4a((int)q[1], a.y, __dp4a((int)q[2], a.z, __dp4a((int)q[3], a.w, 0))));
}

/* Two scales in the low bytes: of sub-blocks 2c and 2c + 1; the minimum of sub-block j. */
static __device__ __forceinline__ unsigned few_k_pair(const uint4 &s, int c)
{
    unsigned a = s.y >> 16 * (c & 1), b = s.w >> 16 * (c & 1);
    return c < 2 ? a & 0x3f3fu : (b & 0x0f0fu) | (a >> 2 & 0x3030u);
}
static __device__ __forceinline__ int few_k_min(const uint4 &s, int j)
{
    unsigned a = s.z >> 8 * (j & 3), b = s.w >> 8 * (j & 3);
    return (int)(j < 4 ? a & 63 : (b >> 4 & 15) | (a >> 2 & 48));
}

/* 16 low numbers of sub-block 2c and 16 of 2c + 1; share j also sees to the minimum of sub-block j. */
static __device__ __forceinline__ float few_k_dot(const unsigned low[4], const unsigned high[4], const uint4 &s, int at, const cu_act &a, float acc)
{
    int j = at & 7, c = j >> 1, h = j & 1;
    const int8_t *q = a.q + (at >> 3) * 256 + c * 64 + h * 16;
    int x = few_dot16(low, *(const int4 *)(const void *)q), y = few_dot16(high, *(const int4 *)(const void *)(q + 32));
    unsigned pair = few_k_pair(s, c);
    float da = a.d[at];
    acc = fmaf(cu_half_bits(s.x) * da, (float)((int)(pair & 255) * x + (int)(pair >> 8) * y), acc);
    return fmaf(-(cu_half_bits(s.x >> 16) * da), (float)(few_k_min(s, j) * a.sum[at]), acc);
}

template <> struct few_form<KER_Q4_K> {
    enum { PER = 8, KIND = KER_ACT_Q8_256 };
    struct raw { uint4 q, s; };
    static __device__ __forceinline__ void load(const cu_mat &w, int64_t block0, int t, raw &r)
    {
        int64_t block = block0 + (t >> 3);
        r.q = cu_load16(w.p[1] + block * 128 + (t & 7) * 16);
        r.s = cu_load16(w.p[0] + block * 16);
    }
    static __device__ __forceinline__ float dot(const raw &r, int at, const cu_act &a, float acc)
    {
        const unsigned m = 0x0f0f0f0fu, low[4] = { r.q.x & m, r.q.y & m, r.q.z & m, r.q.w & m };
        const unsigned high[4] = { r.q.x >> 4 & m, r.q.y >> 4 & m, r.q.z >> 4 & m, r.q.w >> 4 & m };
        return few_k_dot(low, high, r.s, at, a, acc);
    }
};

template <> struct few_form<KER_Q5_K> {
    enum { PER = 8, KIND = KER_ACT_Q8_256 };
    struct raw { uint4 q, h, s; };
    static __device__ __forceinline__ void load(const cu_mat &w, int64_t block0, int t, raw &r)
    {
        int64_t block = block0 + (t >> 3);
        r.q = cu_load16(w.p[2] + block * 128 + (t & 7) * 16);
        r.h = cu_load16(w.p[1] + block * 32 + (t & 1) * 16);
        r.s = cu_load16(w.p[0] + block * 16);
    }
    static __device__ __forceinline__ float dot(const raw &r, int at, const cu_act &a, float acc)
    {
        const unsigned v[4] = { r.q.x, r.q.y, r.q.z, r.q.w }, bit[4] = { r.h.x, r.h.y, r.h.z, r.h.w };
        unsigned low[4], high[4];
        int c = (at & 7) >> 1;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            low[i] = (v[i] & 0x0f0f0f0fu) | (bit[i] >> 2 * c & 0x01010101u) << 4;
            high[i] = (v[i] >> 4 & 0x0f0f0f0fu) | (bit[i] >> (2 * c + 1) & 0x01010101u) << 4;
        }
        return few_k_dot(low, high, r.s, at, a, acc);
    }
};

template <> struct few_form<KER_Q6_K> {
    enum { PER = 8, KIND = KER_ACT_Q8_256 };
    struct raw { uint4 q, h; uint2 s; unsigned d; };
    static __device__ __forceinline__ void load(const cu_mat &w, int64_t block0, int t, raw &r)
    {
        int64_t block = block0 + (t >> 3);
        int upper = t >> 2 & 1;
        r.q = cu_load16(w.p[0] + block * 128 + (t & 7) * 16);
        r.h = cu_load16(w.p[1] + block * 64 + upper * 32 + (t & 1) * 16);
        r.s = cu_load8(w.p[2] + block * 16 + upper * 8);
        r.d = cu_load2(w.p[3] + block * 2);
    }
    static __device__ __forceinline__ float dot(const raw &r, int at, const cu_act &a, float acc)
    {
        const unsigned v[4] = { r.q.x, r.q.y, r.q.z, r.q.w }, bit[4] = { r.h.x, r.h.y, r.h.z, r.h.w };
        unsigned low[4], high[4];
        int upper = at >> 2 & 1, part = at & 3, turn = part & 2;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            low[i] = cu_less4((v[i] & 0x0f0f0f0fu) | (bit[i] >> turn & 0x03030303u) << 4, 32);
            high[i] = cu_less4((v[i] >> 4 & 0x0f0f0f0fu) | (bit[i] >> (turn + 4) & 0x03030303u) << 4, 32);
        }
        const int8_t *q = a.q + (at >> 3) * 256 + upper * 128 + part * 16;
        int x = few_dot16(low, *(const int4 *)(const void *)q), y = few_dot16(high, *(const int4 *)(const void *)(q + 64));
        int sum = (int8_t)(r.s.x >> 8 * part & 255) * x + (int8_t)(r.s.y >> 8 * part & 255) * y;
        return fmaf(cu_half_bits(r.d) * a.d[at], (float)sum, acc);
    }
};

#endif
