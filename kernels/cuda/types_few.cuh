/* kernels/cuda/types_few: the types of four bits and fewer that are not among the often used ones (types.cuh, which includes this):
 * Q2_K, Q3_K, the grids of IQ1 to IQ3, the ternary types, the floats of four bits. The integers of kernels/unpack_few.c. */
#ifndef QUORUM_CUDA_TYPES_FEW_CUH
#define QUORUM_CUDA_TYPES_FEW_CUH

#include "kernels/grids.def"

/* Each of them says of unit j: load: what is read of it; word(r, j, h, t): weights 16h + 4t .. 16h + 4t + 3, where h is known when
 * compiled; scales(r, j): its scales in two bytes. The rest follows from that, here and in mma.cu. */
template <int TYPE> static __device__ __forceinline__ void cu_open_words(const typename cu_form<TYPE>::raw &r, int j, cu_unit &u)
{
    unsigned s = cu_form<TYPE>::scales(r, j);
#pragma unroll
    for (int i = 0; i < 8; i++) u.q[i] = (int)cu_form<TYPE>::word(r, j, i / 4, i % 4);
    u.d = r.d;
    u.sc[0] = (int8_t)(s & 255);
    u.sc[1] = (int8_t)(s >> 8 & 255);
}
#define CU_OPEN_WORDS(type) CU_OPEN { cu_open_words<type>(r, j, u); }
#define CU_WORD static __device__ __forceinline__ unsigned word(const raw &r, int j, int h, int t)
#define CU_SCALES static __device__ __forceinline__ unsigned scales(const raw &r, int j)

static __device__ __forceinline__ unsigned cu_pick4(const uint4 &v, int i) { return i & 2 ? i & 1 ? v.w : v.z : i & 1 ? v.y : v.x; }
static __device__ __forceinline__ unsigned cu_byte(unsigned v, int i) { return v >> 8 * i & 255; }
static __device__ __forceinline__ float cu_half_of(const uint8_t *p) { return cu_half_bits(cu_load2(p)); }

/* ---- K-quants: bits 2s and 2s + 1 of byte i of a half of 32 bytes belong to element 32 s + i of that half's 128 ---- */

template <> struct cu_form<KER_Q2_K> {
    enum { BLOCK = 256, MIN = 2, SCALES = 2 };
    struct raw { uint4 a, b; unsigned s, dm; };
    CU_LOAD
    {
        r.a = cu_load16(w.p[1] + block * 64 + j / 4 * 32);
        r.b = cu_load16(w.p[1] + block * 64 + j / 4 * 32 + 16);
        r.s = cu_load2(w.p[0] + block * 16 + 2 * j);
        r.dm = cu_load4(w.p[2] + block * 4);
    }
    CU_WORD { return cu_pick4(h ? r.b : r.a, t) >> 2 * (j & 3) & 0x03030303u; }
    CU_SCALES { return r.s; }                        /* low nibbles; the minima are the high ones */
    CU_OPEN
    {
#pragma unroll
        for (int i = 0; i < 8; i++) u.q[i] = (int)word(r, j, i / 4, i % 4);
        u.d = cu_half_bits(r.dm);
        u.m = cu_half_bits(r.dm >> 16);
        u.sc[0] = (int)(r.s & 15);
        u.sc[1] = (int)(r.s >> 8 & 15);
        u.mn = (int)(r.s >> 4 & 15);
        u.mn1 = (int)(r.s >> 12);
    }
};

template <> struct cu_form<KER_Q3_K> {
    enum { BLOCK = 256, MIN = 0, SCALES = 2 };
    struct raw { uint4 a, b, h0, h1; unsigned low, high; float d; };
    CU_LOAD
    {
        const uint8_t *s = w.p[2] + block * 12;
        r.a = cu_load16(w.p[1] + block * 64 + j / 4 * 32);
        r.b = cu_load16(w.p[1] + block * 64 + j / 4 * 32 + 16);
        r.h0 = cu_load16(w.p[0] + block * 32);
        r.h1 = cu_load16(w.p[0] + block * 32 + 16);
        r.low = cu_load2(s + (2 * j & 7));
        r.high = cu_load2(s + 8 + (2 * j & 3));
        r.d = cu_half_of(w.p[3] + block * 2);
    }
    CU_WORD                                          /* a bit that is not set: 4 less */
    {
        unsigned q = cu_pick4(h ? r.b : r.a, t) >> 2 * (j & 3) & 0x03030303u, bit = cu_pick4(h ? r.h1 : r.h0, t) >> j & 0x01010101u;
        return cu_less4(q | bit << 2, 4);
    }
    CU_SCALES { return cu_less4((r.low >> (j & 4) & 0x0f0fu) | (r.high >> 2 * (j / 2) & 0x0303u) << 4, 32); }
    CU_OPEN_WORDS(KER_Q3_K)
};

/* ---- -1, 0, 1 ---- */

template <> struct cu_form<KER_TQ2_0> {
    enum { BLOCK = 256, MIN = 0, SCALES = 0 };
    struct raw { uint4 a, b; float d; };
    CU_LOAD
    {
        r.a = cu_load16(w.p[0] + block * 64 + j / 4 * 32);
        r.b = cu_load16(w.p[0] + block * 64 + j / 4 * 32 + 16);
        r.d = cu_half_of(w.p[1] + block * 2);
    }
    CU_WORD { return cu_less4(cu_pick4(h ? r.b : r.a, t) >> 2 * (j & 3) & 0x03030303u, 1); }
    CU_SCALES { return 0x0101u; }
    CU_OPEN_WORDS(KER_TQ2_0)
};

/* Digit k to base 3 of four bytes, less one each: a byte is a fraction of 256, whose digits are the carries of times 3. */
static __device__ __forceinline__ unsigned cu_trits(unsigned v, int k)
{
    unsigned power = (unsigned)(0x511b090301ull >> 8 * k & 255), even = v & 0x00ff00ffu, odd = v >> 8 & 0x00ff00ffu;
    even = (even * power & 0x00ff00ffu) * 3 >> 8 & 0x00030003u;
    odd = (odd * power & 0x00ff00ffu) * 3 >> 8 & 0x00030003u;
    return cu_less4(even | odd << 8, 1);
}

/* Units 0 to 4 are digits of 32 bytes, then four times 16 and once 16 are those of 16 bytes, the last 16 those of four. */
template <> struct cu_form<KER_TQ1_0> {
    enum { BLOCK = 256, MIN = 0, SCALES = 0 };
    struct raw { uint4 a, b; float d; };
    CU_LOAD
    {
        const uint8_t *p = w.p[0] + block * 48;
        unsigned last = cu_load4(w.p[1] + block * 4);
        r.a = cu_load16(j < 5 ? p : p + 32);
        r.b = cu_load16(j < 5 ? p + 16 : p + 32);
        if (j == 7) r.b = make_uint4(last, last, last, last);
        r.d = cu_half_of(w.p[2] + block * 2);
    }
    CU_WORD { return cu_trits(cu_pick4(h ? r.b : r.a, t), j < 5 ? j : j < 7 ? 2 * (j - 5) + h : h ? t : 4); }
    CU_SCALES { return 0x0101u; }
    CU_OPEN_WORDS(KER_TQ1_0)
};

/* ---- floats of four bits: E2M1, doubled ---- */

static __device__ __forceinline__ void cu_e2m1_word(unsigned v, int *low, int *high) { cu_table_word(v, 0x03020100u, 0x0c080604u, 0xfdfeff00u, 0xf4f8fafcu, low, high); }

/* Half of 2^(e - 127), as the values are doubled; below e = 2 that is subnormal. */
static __device__ __forceinline__ float cu_e8m0_half(unsigned e) { return __int_as_float((int)(e < 2 ? 0x00200000u << e : (e - 1) << 23)); }

/* Half of an unsigned E4M3: the sign bit is not looked at, except that 0x7f is no number and taken for 0. */
static __device__ __forceinline__ float cu_ue4m3_half(unsigned v)
{
    unsigned e = v >> 3 & 15, m = v & 7;
    return v == 0x7f ? 0.0f : (float)(e ? (8 + m) << (e - 1) : m) * 0x1p-10f;
}

template <> struct cu_form<KER_MXFP4> {
    enum { BLOCK = 32, MIN = 0, SCALES = 0 };
    struct raw { uint4 q; unsigned e; };
    CU_LOAD
    {
        r.q = cu_load16(w.p[1] + block * 16);
        r.e = __ldg(w.p[0] + block);
    }
    CU_OPEN
    {
        u.d = cu_e8m0_half(r.e);
        cu_e2m1_word(r.q.x, &u.q[0], &u.q[4]);
        cu_e2m1_word(r.q.y, &u.q[1], &u.q[5]);
        cu_e2m1_word(r.q.z, &u.q[2], &u.q[6]);
        cu_e2m1_word(r.q.w, &u.q[3], &u.q[7]);
        u.sc[0] = u.sc[1] = 1;
    }
};

/* A float each 16: d and m of a unit. Eight bytes of them are eight low nibbles, then eight high ones. */
template <> struct cu_form<KER_NVFP4> {
    enum { BLOCK = 64, MIN = 0, SCALES = 3 };
    struct raw { uint4 q; unsigned s; };
    CU_LOAD
    {
        r.q = cu_load16(w.p[1] + block * 32 + j * 16);
        r.s = cu_load2(w.p[0] + block * 4 + 2 * j);
    }
    CU_OPEN
    {
        u.d = cu_ue4m3_half(r.s & 255);
        u.m = cu_ue4m3_half(r.s >> 8);
        cu_e2m1_word(r.q.x, &u.q[0], &u.q[2]);
        cu_e2m1_word(r.q.y, &u.q[1], &u.q[3]);
        cu_e2m1_word(r.q.z, &u.q[4], &u.q[6]);
        cu_e2m1_word(r.q.w, &u.q[5], &u.q[7]);
        u.sc[0] = u.sc[1] = 1;
    }
};

/* ---- grids: tables in global memory, read through the cache, as lanes look up rows of their own: a word is four numbers ---- */

#define CU_FOUR(of, r, bits) (unsigned)(of(r)) | (unsigned)(of((r) >> (bits))) << 8 | (unsigned)(of((r) >> 2 * (bits))) << 16 | (unsigned)(of((r) >> 3 * (bits))) << 24
#define CU_IQ2(c) (8u + 17u * ((c) & 3) + ((c) >> 1 & 1))                                   /* 8, 25, 43 */
#define CU_IQ3_XXS(c) (4u + 8u * ((c) & 7) + 2u * ((c) & (c) >> 1 & (c) >> 2 & 1))          /* 4 + 8n; 7 is 62 */
#define CU_IQ3_S(c) (1u + 2u * ((c) & 7))
#define CU_ROW_IQ2(r) CU_FOUR(CU_IQ2, r, 2), CU_FOUR(CU_IQ2, (r) >> 8, 2),
#define CU_ROW_IQ3_XXS(r) CU_FOUR(CU_IQ3_XXS, r, 4),
#define CU_ROW_IQ3_S(r) CU_FOUR(CU_IQ3_S, r, 4),
#define CU_ROW_IQ1(r) r,
static __device__ const unsigned cu_grid_iq2_xxs[512] = { GRID_IQ2_XXS(CU_ROW_IQ2) };
static __device__ const unsigned cu_grid_iq2_xs[1024] = { GRID_IQ2_XS(CU_ROW_IQ2) };
static __device__ const unsigned cu_grid_iq2_s[2048] = { GRID_IQ2_S(CU_ROW_IQ2) };
static __device__ const unsigned cu_grid_iq3_xxs[256] = { GRID_IQ3_XXS(CU_ROW_IQ3_XXS) };
static __device__ const unsigned cu_grid_iq3_s[512] = { GRID_IQ3_S(CU_ROW_IQ3_S) };
static __device__ const unsigned short cu_grid_iq1[2048] = { GRID_IQ1(CU_ROW_IQ1) };

/* Bytes of 1 to 127 with the sign that bit i of four says for byte i. */
static __device__ __forceinline__ unsigned cu_signed4(unsigned v, unsigned minus)
{
    unsigned is = (minus & 15) * 0x00204081u & 0x01010101u;
    return (v ^ is * 255) + is;                      /* no byte carries: none is zero */
}
/* The four signs of half a row of eight, of which seven are kept: the eighth makes the number of minuses even. */
static __device__ __forceinline__ unsigned cu_seven(unsigned seven, int side)
{
    seven &= 127;
    return (seven | ((unsigned)__popc(seven) & 1) << 7) >> 4 * side;
}
static __device__ __forceinline__ unsigned cu_odd(unsigned v, int i) { return 2 * (v >> 4 * i & 15) + 1; }        /* n + 1/2, doubled */

template <> struct cu_form<KER_IQ2_XXS> {
    enum { BLOCK = 256, MIN = 0, SCALES = 1 };
    struct raw { uint2 q; float d; };
    CU_LOAD
    {
        r.q = cu_load8(w.p[1] + block * 64 + 8 * j);
        r.d = cu_half_of(w.p[0] + block * 2) * .125f;
    }
    CU_WORD
    {
        int row = 2 * h + t / 2, side = t & 1;
        return cu_signed4(__ldg(cu_grid_iq2_xxs + 2 * cu_byte(r.q.x, row) + side), cu_seven(r.q.y >> 7 * row, side));
    }
    CU_SCALES { return (2 * (r.q.y >> 28) + 1) * 0x0101u; }
    CU_OPEN_WORDS(KER_IQ2_XXS)
};

template <> struct cu_form<KER_IQ2_XS> {
    enum { BLOCK = 256, MIN = 0, SCALES = 2 };
    struct raw { uint2 q; unsigned s; float d; };
    CU_LOAD
    {
        r.q = cu_load8(w.p[1] + block * 64 + 8 * j);
        r.s = __ldg(w.p[2] + block * 8 + j);
        r.d = cu_half_of(w.p[0] + block * 2) * .125f;
    }
    CU_WORD
    {
        unsigned v = (h ? r.q.y : r.q.x) >> 16 * (t / 2) & 0xffffu;
        int side = t & 1;
        return cu_signed4(__ldg(cu_grid_iq2_xs + 2 * (v & 511) + side), cu_seven(v >> 9, side));
    }
    CU_SCALES { return cu_odd(r.s, 0) | cu_odd(r.s, 1) << 8; }
    CU_OPEN_WORDS(KER_IQ2_XS)
};

template <> struct cu_form<KER_IQ2_S> {
    enum { BLOCK = 256, MIN = 0, SCALES = 2 };
    struct raw { unsigned low, minus, high, s; float d; };
    CU_LOAD
    {
        r.low = cu_load4(w.p[1] + block * 64 + 4 * j);
        r.minus = cu_load4(w.p[1] + block * 64 + 32 + 4 * j);
        r.high = __ldg(w.p[2] + block * 16 + j);
        r.s = __ldg(w.p[2] + block * 16 + 8 + j);
        r.d = cu_half_of(w.p[0] + block * 2) * .125f;
    }
    CU_WORD
    {
        int row = 2 * h + t / 2, side = t & 1;
        unsigned at = cu_byte(r.low, row) | (r.high >> 2 * row & 3) << 8;
        return cu_signed4(__ldg(cu_grid_iq2_s + 2 * at + side), cu_byte(r.minus, row) >> 4 * side);
    }
    CU_SCALES { return cu_odd(r.s, 0) | cu_odd(r.s, 1) << 8; }
    CU_OPEN_WORDS(KER_IQ2_S)
};

template <> struct cu_form<KER_IQ3_XXS> {
    enum { BLOCK = 256, MIN = 0, SCALES = 1 };
    struct raw { uint2 q; unsigned v; float d; };
    CU_LOAD
    {
        r.q = cu_load8(w.p[1] + block * 64 + 8 * j);
        r.v = cu_load4(w.p[2] + block * 32 + 4 * j);
        r.d = cu_half_of(w.p[0] + block * 2) * .25f;
    }
    CU_WORD { return cu_signed4(__ldg(cu_grid_iq3_xxs + cu_byte(h ? r.q.y : r.q.x, t)), cu_seven(r.v >> 7 * (2 * h + t / 2), t & 1)); }
    CU_SCALES { return (2 * (r.v >> 28) + 1) * 0x0101u; }
    CU_OPEN_WORDS(KER_IQ3_XXS)
};

/* Its last plane: 8 bytes of ninth bits, 32 of signs, 4 of scales. */
template <> struct cu_form<KER_IQ3_S> {
    enum { BLOCK = 256, MIN = 0, SCALES = 1 };
    struct raw { uint2 q; unsigned high, minus, s; float d; };
    CU_LOAD
    {
        const uint8_t *p = w.p[2] + block * 44;
        r.q = cu_load8(w.p[1] + block * 64 + 8 * j);
        r.high = __ldg(p + j);
        r.minus = cu_load4(p + 8 + 4 * j);
        r.s = __ldg(p + 40 + j / 2);
        r.d = cu_half_of(w.p[0] + block * 2);
    }
    CU_WORD
    {
        unsigned at = cu_byte(h ? r.q.y : r.q.x, t) | (r.high >> (4 * h + t) & 1) << 8;
        return cu_signed4(__ldg(cu_grid_iq3_s + at), r.minus >> 4 * (4 * h + t));
    }
    CU_SCALES { return cu_odd(r.s, j & 1) * 0x0101u; }
    CU_OPEN_WORDS(KER_IQ3_S)
};

/* Half a row of IQ1: 8 times (-1, 0 or 1, and an eighth more or, `less`, less). */
static __device__ __forceinline__ unsigned cu_iq1_word(unsigned row, int side, unsigned less)
{
    unsigned v = (unsigned)__ldg(cu_grid_iq1 + row) >> 8 * side & 255;
    v = (v | v << 12) & 0x000f000fu;
    v = (v | v << 6) & 0x03030303u;
    return (8 * v + (less ? 119u : 121u) * 0x01010101u) ^ 0x80808080u;       /* + 128 while it is unsigned */
}

template <> struct cu_form<KER_IQ1_S> {
    enum { BLOCK = 256, MIN = 0, SCALES = 1 };
    struct raw { unsigned q, h; float d; };
    CU_LOAD
    {
        r.q = cu_load4(w.p[1] + block * 32 + 4 * j);
        r.h = cu_load2(w.p[2] + block * 16 + 2 * j);
        r.d = cu_half_of(w.p[0] + block * 2) * .125f;
    }
    CU_WORD
    {
        int row = 2 * h + t / 2;
        return cu_iq1_word(cu_byte(r.q, row) | (r.h >> 3 * row & 7) << 8, t & 1, r.h >> 15);
    }
    CU_SCALES { return (2 * (r.h >> 12 & 7) + 1) * 0x0101u; }
    CU_OPEN_WORDS(KER_IQ1_S)
};

/* The half float lies in pieces: the top nibbles of four words of scales. */
template <> struct cu_form<KER_IQ1_M> {
    enum { BLOCK = 256, MIN = 0, SCALES = 2 };
    struct raw { unsigned q, h, s; float d; };
    CU_LOAD
    {
        uint2 s = cu_load8(w.p[2] + block * 8);
        r.q = cu_load4(w.p[0] + block * 32 + 4 * j);
        r.h = cu_load2(w.p[1] + block * 16 + 2 * j);
        r.s = (j & 4 ? s.y : s.x) >> 16 * (j / 2 & 1) >> 6 * (j & 1) & 63;
        r.d = cu_half_bits((s.x >> 12 & 15) | (s.x >> 28) << 4 | (s.y >> 12 & 15) << 8 | (s.y >> 28) << 12) * .125f;
    }
    CU_WORD
    {
        int row = 2 * h + t / 2;
        unsigned v = r.h >> 4 * row;
        return cu_iq1_word(cu_byte(r.q, row) | (v & 7) << 8, t & 1, v & 8);
    }
    CU_SCALES { return (2 * (r.s & 7) + 1) | (2 * (r.s >> 3) + 1) << 8; }
    CU_OPEN_WORDS(KER_IQ1_M)
};

#endif
