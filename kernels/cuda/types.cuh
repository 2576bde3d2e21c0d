/* kernels/cuda/types: the tensor types as a device sees them: a block's planes (cu_mat), and how 32 weights are taken
 * apart into int8, four a word, with their scales and minimum: the integers of kernels/types.c. Pure device functions. */
#ifndef QUORUM_CUDA_TYPES_CUH
#define QUORUM_CUDA_TYPES_CUH

#include "kernels/cuda/cuda.h"

/* The types with kernels; a switch over them is CU_BLOCK_TYPES(CASE). Those that files of the trade are mostly made of, and the others
 * (types_few.cuh), which have instances of their own where registers or launches count (decode.cu, mma.cu). */
#define CU_BLOCK_TYPES(X) CU_OFTEN_TYPES(X) CU_OTHER_TYPES(X)
#define CU_OTHER_TYPES(X) X(Q2_K) X(Q3_K) X(IQ1_S) X(IQ1_M) X(IQ2_XXS) X(IQ2_XS) X(IQ2_S) X(IQ3_XXS) X(IQ3_S) X(TQ1_0) X(TQ2_0) X(MXFP4) X(NVFP4)
#define CU_OFTEN_TYPES(X) X(Q4_0) X(Q4_1) X(Q5_0) X(Q5_1) X(Q8_0) X(Q4_K) X(Q5_K) X(Q6_K) X(IQ4_NL) X(IQ4_XS)
#define CU_FLOAT_TYPES(X) X(F32) X(F16) X(BF16)

/* 32 weights: number i is d * sc[i / 16] * q[i] - m * mn. Types without a minimum leave m and mn unset, those whose
 * blocks have one scale set sc[0] = sc[1] = 1, those with a scale for 32 sc[0] = sc[1]: see cu_form. Q2_K's minimum of the last 16
 * is mn1. NVFP4 has a float for each 16: d, and m for the last. */
struct cu_unit {
    int q[8];
    int sc[2], mn, mn1;
    float d, m;
};

static __device__ __forceinline__ float cu_half_at(const uint8_t *p) { return __half2float(*(const __half *)(const void *)p); }
static __device__ __forceinline__ float cu_half_bits(unsigned v)       /* the low half of a word */
{
    union { unsigned short u; __half h; } x;
    x.u = (unsigned short)v;
    return __half2float(x.h);
}

static __device__ __forceinline__ bool cu_finite(float v) { return fabsf(v) <= 3.402823466e38f; }

/* Bytes of 0..127 less n: no byte borrows from its neighbour. */
static __device__ __forceinline__ unsigned cu_less4(unsigned v, unsigned n) { return ((v | 0x80808080u) - n * 0x01010101u) ^ 0x80808080u; }
/* Four bits to bit 4 of four bytes. */
static __device__ __forceinline__ unsigned cu_fifth(unsigned bits) { return (bits & 15) * 0x02040810u & 0x10101010u; }

static __device__ __forceinline__ uint4 cu_load16(const uint8_t *p) { return __ldg((const uint4 *)(const void *)p); }
static __device__ __forceinline__ uint2 cu_load8(const uint8_t *p) { return __ldg((const uint2 *)(const void *)p); }
static __device__ __forceinline__ unsigned cu_load4(const uint8_t *p) { return __ldg((const unsigned *)(const void *)p); }
static __device__ __forceinline__ unsigned cu_load2(const uint8_t *p) { return __ldg((const unsigned short *)(const void *)p); }

static __device__ __forceinline__ void cu_nibbles(const uint4 &v, int q[8])    /* low ones, then high ones */
{
    unsigned w[4] = { v.x, v.y, v.z, v.w };
#pragma unroll
    for (int i = 0; i < 4; i++) {
        q[i] = (int)(w[i] & 0x0f0f0f0fu);
        q[i + 4] = (int)(w[i] >> 4 & 0x0f0f0f0fu);
    }
}

/* The values of eight nibbles: the low ones of the four bytes, the high ones; t0 to t3: those of 0 to 15. */
static __device__ __forceinline__ void cu_table_word(unsigned v, unsigned t0, unsigned t1, unsigned t2, unsigned t3, int *low, int *high)
{
    unsigned part[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        unsigned at = v >> 16 * i & 0x7777u, upper = 0x3210u | (v >> 16 * i & 0x8888u) >> 1;
        part[i] = __byte_perm(__byte_perm(t0, t1, at), __byte_perm(t2, t3, at), upper);
    }
    *low = (int)__byte_perm(part[0], part[1], 0x6420);
    *high = (int)__byte_perm(part[0], part[1], 0x7531);
}
static __device__ __forceinline__ void cu_iq4_word(unsigned v, int *low, int *high) { cu_table_word(v, 0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u, low, high); }

static __device__ __forceinline__ void cu_iq4(const uint4 &v, int q[8])
{
    cu_iq4_word(v.x, &q[0], &q[4]);
    cu_iq4_word(v.y, &q[1], &q[5]);
    cu_iq4_word(v.z, &q[2], &q[6]);
    cu_iq4_word(v.w, &q[3], &q[7]);
}

/* Scale and minimum of sub-block j out of the 12 bytes of a K-block. */
static __device__ __forceinline__ void cu_k_scale(unsigned s0, unsigned s1, unsigned s2, int j, int *sc, int *mn)
{
    int at = 8 * (j & 3);
    unsigned a = s0 >> at & 255, b = s1 >> at & 255, c = s2 >> at & 255;
    *sc = (int)(j < 4 ? a & 63 : (c & 15) | a >> 6 << 4);
    *mn = (int)(j < 4 ? b & 63 : c >> 4 | b >> 6 << 4);
}

static __device__ __forceinline__ void cu_words8(const uint4 &a, const uint4 &b, unsigned w[8])
{
    w[0] = a.x; w[1] = a.y; w[2] = a.z; w[3] = a.w;
    w[4] = b.x; w[5] = b.y; w[6] = b.z; w[7] = b.w;
}

/* A type's form: BLOCK; MIN: minima of 32 weights (0, 1, 2); SCALES: sub-scales of them (0: one of the block, 1, 2; 3: two floats).
 * unit(w, block, j, u): the j-th 32 weights of a block, counted through the planes: (matrix * n_out + row) * (n_in / BLOCK) + b.
 * The same in two: load only reads (raw), so that a lane can have several on their way, open takes apart. */
template <int TYPE> struct cu_form;
#define CU_LOAD static __device__ __forceinline__ void load(const cu_mat &w, int64_t block, int j, raw &r)
#define CU_OPEN static __device__ __forceinline__ void unit(const cu_mat &w, int64_t block, int j, cu_unit &u) { raw r; load(w, block, j, r); open(r, j, u); } \
                static __device__ __forceinline__ void open(const raw &r, int j, cu_unit &u)

template <> struct cu_form<KER_Q4_0> {
    enum { BLOCK = 32, MIN = 0, SCALES = 0 };
    struct raw { uint4 q; unsigned d; };
    CU_LOAD
    {
        r.q = cu_load16(w.p[1] + block * 16);
        r.d = cu_load2(w.p[0] + block * 2);
    }
    CU_OPEN
    {
        u.d = cu_half_bits(r.d);
        cu_nibbles(r.q, u.q);
#pragma unroll
        for (int i = 0; i < 8; i++) u.q[i] = (int)cu_less4((unsigned)u.q[i], 8);
        u.sc[0] = u.sc[1] = 1;
    }
};

template <> struct cu_form<KER_Q4_1> {
    enum { BLOCK = 32, MIN = 1, SCALES = 0 };
    struct raw { uint4 q; unsigned dm; };
    CU_LOAD
    {
        r.q = cu_load16(w.p[1] + block * 16);
        r.dm = cu_load4(w.p[0] + block * 4);
    }
    CU_OPEN
    {
        u.d = cu_half_bits(r.dm);
        u.m = -cu_half_bits(r.dm >> 16);
        cu_nibbles(r.q, u.q);
        u.sc[0] = u.sc[1] = u.mn = 1;
    }
};

template <> struct cu_form<KER_Q5_0> {
    enum { BLOCK = 32, MIN = 0, SCALES = 0 };
    struct raw { uint4 q; unsigned h, d; };
    CU_LOAD
    {
        r.q = cu_load16(w.p[2] + block * 16);
        r.h = cu_load4(w.p[1] + block * 4);
        r.d = cu_load2(w.p[0] + block * 2);
    }
    CU_OPEN
    {
        u.d = cu_half_bits(r.d);
        cu_nibbles(r.q, u.q);
#pragma unroll
        for (int i = 0; i < 8; i++) u.q[i] = (int)cu_less4((unsigned)u.q[i] | cu_fifth(r.h >> 4 * i), 16);
        u.sc[0] = u.sc[1] = 1;
    }
};

template <> struct cu_form<KER_Q5_1> {
    enum { BLOCK = 32, MIN = 1, SCALES = 0 };
    struct raw { uint4 q; unsigned h, dm; };
    CU_LOAD
    {
        r.q = cu_load16(w.p[2] + block * 16);
        r.h = cu_load4(w.p[1] + block * 4);
        r.dm = cu_load4(w.p[0] + block * 4);
    }
    CU_OPEN
    {
        u.d = cu_half_bits(r.dm);
        u.m = -cu_half_bits(r.dm >> 16);
        cu_nibbles(r.q, u.q);
#pragma unroll
        for (int i = 0; i < 8; i++) u.q[i] |= (int)cu_fifth(r.h >> 4 * i);
        u.sc[0] = u.sc[1] = u.mn = 1;
    }
};

template <> struct cu_form<KER_Q8_0> {
    enum { BLOCK = 32, MIN = 0, SCALES = 0 };
    struct raw { uint4 a, b; unsigned d; };
    CU_LOAD
    {
        r.a = cu_load16(w.p[1] + block * 32);
        r.b = cu_load16(w.p[1] + block * 32 + 16);
        r.d = cu_load2(w.p[0] + block * 2);
    }
    CU_OPEN
    {
        u.d = cu_half_bits(r.d);
        cu_words8(r.a, r.b, (unsigned *)u.q);
        u.sc[0] = u.sc[1] = 1;
    }
};

template <> struct cu_form<KER_Q4_K> {
    enum { BLOCK = 256, MIN = 1, SCALES = 1 };
    struct raw { uint4 s, a, b; };
    CU_LOAD
    {
        r.s = cu_load16(w.p[0] + block * 16);
        r.a = cu_load16(w.p[1] + block * 128 + j / 2 * 32);
        r.b = cu_load16(w.p[1] + block * 128 + j / 2 * 32 + 16);
    }
    CU_OPEN
    {
        unsigned v[8];
        u.d = cu_half_bits(r.s.x);
        u.m = cu_half_bits(r.s.x >> 16);
        cu_k_scale(r.s.y, r.s.z, r.s.w, j, &u.sc[0], &u.mn);
        u.sc[1] = u.sc[0];
        cu_words8(r.a, r.b, v);
#pragma unroll
        for (int i = 0; i < 8; i++) u.q[i] = (int)(v[i] >> 4 * (j & 1) & 0x0f0f0f0fu);
    }
};

template <> struct cu_form<KER_Q5_K> {
    enum { BLOCK = 256, MIN = 1, SCALES = 1 };
    struct raw { uint4 s, h0, h1, a, b; };
    CU_LOAD
    {
        r.s = cu_load16(w.p[0] + block * 16);
        r.h0 = cu_load16(w.p[1] + block * 32);
        r.h1 = cu_load16(w.p[1] + block * 32 + 16);
        r.a = cu_load16(w.p[2] + block * 128 + j / 2 * 32);
        r.b = cu_load16(w.p[2] + block * 128 + j / 2 * 32 + 16);
    }
    CU_OPEN
    {
        unsigned v[8], h[8];
        u.d = cu_half_bits(r.s.x);
        u.m = cu_half_bits(r.s.x >> 16);
        cu_k_scale(r.s.y, r.s.z, r.s.w, j, &u.sc[0], &u.mn);
        u.sc[1] = u.sc[0];
        cu_words8(r.h0, r.h1, h);
        cu_words8(r.a, r.b, v);
#pragma unroll
        for (int i = 0; i < 8; i++) u.q[i] = (int)((v[i] >> 4 * (j & 1) & 0x0f0f0f0fu) | (h[i] >> j & 0x01010101u) << 4);
    }
};

template <> struct cu_form<KER_Q6_K> {
    enum { BLOCK = 256, MIN = 0, SCALES = 2 };
    struct raw { uint4 a, b, h0, h1; unsigned s, d; };
    CU_LOAD
    {
        const uint8_t *low = w.p[0] + block * 128 + j / 4 * 64 + (j & 1) * 32, *high = w.p[1] + block * 64 + j / 4 * 32;
        r.a = cu_load16(low);
        r.b = cu_load16(low + 16);
        r.h0 = cu_load16(high);
        r.h1 = cu_load16(high + 16);
        r.s = cu_load2(w.p[2] + block * 16 + 2 * j);
        r.d = cu_load2(w.p[3] + block * 2);
    }
    CU_OPEN
    {
        unsigned v[8], h[8];
        int quarter = j & 3;
        u.d = cu_half_bits(r.d);
        u.sc[0] = (int8_t)(r.s & 255);
        u.sc[1] = (int8_t)(r.s >> 8);
        cu_words8(r.a, r.b, v);
        cu_words8(r.h0, r.h1, h);
#pragma unroll
        for (int i = 0; i < 8; i++)
            u.q[i] = (int)cu_less4((v[i] >> 4 * (quarter >> 1) & 0x0f0f0f0fu) | (h[i] >> 2 * quarter & 0x03030303u) << 4, 32);
    }
};

template <> struct cu_form<KER_IQ4_NL> {
    enum { BLOCK = 32, MIN = 0, SCALES = 0 };
    struct raw { uint4 q; unsigned d; };
    CU_LOAD
    {
        r.q = cu_load16(w.p[1] + block * 16);
        r.d = cu_load2(w.p[0] + block * 2);
    }
    CU_OPEN
    {
        u.d = cu_half_bits(r.d);
        cu_iq4(r.q, u.q);
        u.sc[0] = u.sc[1] = 1;
    }
};

template <> struct cu_form<KER_IQ4_XS> {
    enum { BLOCK = 256, MIN = 0, SCALES = 1 };
    struct raw { uint4 q; uint2 s; };
    CU_LOAD
    {
        r.q = cu_load16(w.p[1] + block * 128 + j * 16);
        r.s = cu_load8(w.p[0] + block * 8);
    }
    CU_OPEN
    {
        u.d = cu_half_bits(r.s.x);
        u.sc[0] = u.sc[1] = (int)((r.s.y >> 4 * j & 15) | (r.s.x >> 16 >> 2 * j & 3) << 4) - 32;
        cu_iq4(r.q, u.q);
    }
};

#include "kernels/cuda/types_few.cuh"

/* Number i (known when compiled) of a unit, as kernels/types.c decodes it. */
template <int TYPE> static __device__ __forceinline__ float cu_unit_value(const cu_unit &u, int i)
{
    float q = (float)(int8_t)(u.q[i / 4] >> 8 * (i & 3));
    float d = cu_form<TYPE>::SCALES == 3 ? i < 16 ? u.d : u.m : cu_form<TYPE>::SCALES != 0 ? u.d * (float)u.sc[i / 16] : u.d;
    return cu_form<TYPE>::MIN != 0 ? d * q - u.m * (float)(cu_form<TYPE>::MIN == 2 && i >= 16 ? u.mn1 : u.mn) : d * q;
}

/* Number i of the floats of a type. */
template <int TYPE> static __device__ __forceinline__ float cu_float_at(const uint8_t *p, int64_t i)
{
    if (TYPE == KER_F32) return ((const float *)(const void *)p)[i];
    unsigned short v = ((const unsigned short *)(const void *)p)[i];
    return TYPE == KER_BF16 ? __int_as_float((int)((unsigned)v << 16)) : cu_half_bits(v);
}

/* What a unit adds to a product with 32 int8 of activations (a: 8 words; da: their scale, sum: their sum). */
template <int TYPE> static __device__ __forceinline__ float cu_unit_dot(const cu_unit &u, const int4 &a, const int4 &b, float da, int sum, float acc)
{
    typedef cu_form<TYPE> form;
    int low = __dp4a(u.q[0], a.x, __dp4a(u.q[1], a.y, __dp4a(u.q[2], a.z, __dp4a(u.q[3], a.w, 0))));
    int start = form::SCALES >= 2 ? 0 : low;
    int high = __dp4a(u.q[4], b.x, __dp4a(u.q[5], b.y, __dp4a(u.q[6], b.z, __dp4a(u.q[7], b.w, start))));
    if (form::SCALES == 3) return fmaf(u.m * da, (float)high, fmaf(u.d * da, (float)low, acc));
    int dot = form::SCALES == 2 ? u.sc[0] * low + u.sc[1] * high : form::SCALES == 1 ? u.sc[0] * high : high;
    acc = fmaf(u.d * da, (float)dot, acc);
    if (form::MIN == 2) {
        const int ones = 0x01010101;
        int first = __dp4a(ones, a.x, __dp4a(ones, a.y, __dp4a(ones, a.z, __dp4a(ones, a.w, 0))));
        return fmaf(-(u.m * da), (float)(u.mn * first + u.mn1 * (sum - first)), acc);
    }
    return form::MIN != 0 ? fmaf(-(u.m * da), (float)(u.mn * sum), acc) : acc;
}

static __device__ __forceinline__ float cu_warp_sum(float v)
{
    return gpu_fold(v, [](float a, float b) { return a + b; });
}

/* The first part whose result for a row is not finite is remembered. */
static __device__ __forceinline__ void cu_mark(const cu_trace &tr, int row, int part, int layer)
{
    atomicCAS(tr.bad + row, 0u, (unsigned)part << 16 | (unsigned)(layer + 1));
}

/* Where an output goes: y[row * stride + o], with its bias, onto what is there, looked at. */
typedef struct cu_sink {
    const float *bias;             /* or NULL                                                 */
    float *y;
    int64_t stride;
    int add, layer, part;          /* part KER_PART_NONE: not looked at                       */
} cu_sink;

static __device__ __forceinline__ void cu_put(const cu_sink &to, const cu_trace &tr, int row, int o, float v, int marked)
{
    float *y = to.y + row * to.stride + o;
    if (to.bias) v += to.bias[o];
    if (to.add) v += *y;
    *y = v;
    if (to.part != KER_PART_NONE && !cu_finite(v)) cu_mark(tr, marked, to.part, to.layer);
}

#endif
