// emu_types.h: qualifiers, vector types, half and bfloat16 as kernels know them. Part of emu.h.
#pragma once
#include <atomic>
#include <cfloat>
#include <cmath>
#include <math.h>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

// ---- vectors, aligned as on the device, so that UBSan sees a misaligned vector load
#define EMU_VEC2(name, T, al) struct alignas(al) name { T x, y; }; \
    static inline name make_##name(T x, T y) { return { x, y }; }
#define EMU_VEC3(name, T) struct name { T x, y, z; }; \
    static inline name make_##name(T x, T y, T z) { return { x, y, z }; }
#define EMU_VEC4(name, T, al) struct alignas(al) name { T x, y, z, w; }; \
    static inline name make_##name(T x, T y, T z, T w) { return { x, y, z, w }; }
EMU_VEC2(char2, signed char, 2)
EMU_VEC4(char4, signed char, 4)
EMU_VEC2(uchar2, unsigned char, 2)
EMU_VEC4(uchar4, unsigned char, 4)
EMU_VEC2(short2, short, 4)
EMU_VEC4(short4, short, 8)
EMU_VEC2(ushort2, unsigned short, 4)
EMU_VEC4(ushort4, unsigned short, 8)
EMU_VEC2(int2, int, 8)
EMU_VEC3(int3, int)
EMU_VEC4(int4, int, 16)
EMU_VEC2(uint2, unsigned, 8)
EMU_VEC3(uint3, unsigned)
EMU_VEC4(uint4, unsigned, 16)
EMU_VEC2(float2, float, 8)
EMU_VEC3(float3, float)
EMU_VEC4(float4, float, 16)
EMU_VEC2(double2, double, 16)
EMU_VEC2(longlong2, long long, 16)
EMU_VEC2(ulonglong2, unsigned long long, 16)
struct dim3 {
    unsigned x, y, z;
    dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};

// ---- half: storage; conversion rounds to nearest even; arithmetic is done in float and rounded once, which for
// +, -, * and / of halves gives the exact rounding (float has more than twice the bits)
namespace emu {
static inline float bits_f(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}
static inline uint32_t f_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}
static inline float half_to_float(uint16_t h)
{
    uint32_t s = (uint32_t)(h & 0x8000) << 16, e = (h >> 10) & 31, m = h & 0x3ff;
    if (e == 31) return bits_f(s | 0x7f800000u | (m << 13));
    if (e) return bits_f(s | ((e + 112) << 23) | (m << 13));
    return bits_f(s | f_bits((float)m * 0x1p-24f));
}
static inline uint16_t float_to_half(float f)
{
    uint32_t u = f_bits(f);
    uint16_t s = (uint16_t)((u >> 16) & 0x8000);
    u &= 0x7fffffff;
    if (u > 0x7f800000u) return 0x7fff;
    if (u >= 0x477ff000u) return (uint16_t)(s | 0x7c00);
    if (u < 0x38800000u) return (uint16_t)(s | (uint16_t)nearbyintf(bits_f(u) * 0x1p24f));
    u += 0xfff + ((u >> 13) & 1);
    return (uint16_t)(s | ((u - 0x38000000u) >> 13));
}
static inline uint16_t float_to_bf16(float f)
{
    uint32_t u = f_bits(f);
    if ((u & 0x7fffffff) > 0x7f800000u) return 0x7fff;
    u += 0x7fff + ((u >> 16) & 1);
    return (uint16_t)(u >> 16);
}
}

#define EMU_FLOAT16(name, to_f, from_f) struct alignas(2) name { \
    uint16_t __x; \
    name() = default; \
    name(float f) : __x(from_f(f)) {} \
    operator float() const { return to_f(__x); } \
}; \
    static inline name operator+(name a, name b) { return name((float)a + (float)b); } \
    static inline name operator-(name a, name b) { return name((float)a - (float)b); } \
    static inline name operator*(name a, name b) { return name((float)a * (float)b); } \
    static inline name operator/(name a, name b) { return name((float)a / (float)b); } \
    static inline name __hadd(name a, name b) { return a + b; } \
    static inline name __hsub(name a, name b) { return a - b; } \
    static inline name __hmul(name a, name b) { return a * b; } \
    static inline name __hdiv(name a, name b) { return a / b; } \
    static inline name __hfma(name a, name b, name c) { return name((float)((double)(float)a * (float)b + (float)c)); } \
    static inline name __hneg(name a) { a.__x ^= 0x8000; return a; } \
    static inline name __habs(name a) { a.__x &= 0x7fff; return a; } \
    static inline name __hmax(name a, name b) { return name(fmaxf((float)a, (float)b)); } \
    static inline name __hmin(name a, name b) { return name(fminf((float)a, (float)b)); } \
    static inline bool __hlt(name a, name b) { return (float)a < (float)b; } \
    static inline bool __hgt(name a, name b) { return (float)a > (float)b; } \
    static inline bool __hisnan(name a) { return (float)a != (float)a; }
#define EMU_FLOAT16X2(name, one) struct alignas(4) name { \
    one x, y; \
    name() = default; \
    name(one a, one b) : x(a), y(b) {} \
}; \
    static inline name __hadd2(name a, name b) { return { a.x + b.x, a.y + b.y }; } \
    static inline name __hsub2(name a, name b) { return { a.x - b.x, a.y - b.y }; } \
    static inline name __hmul2(name a, name b) { return { a.x * b.x, a.y * b.y }; } \
    static inline name __hfma2(name a, name b, name c) { return { __hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y) }; } \
    static inline name __hmax2(name a, name b) { return { __hmax(a.x, b.x), __hmax(a.y, b.y) }; } \
    static inline name __hmin2(name a, name b) { return { __hmin(a.x, b.x), __hmin(a.y, b.y) }; } \
    static inline float __low2float(name h) { return (float)h.x; } \
    static inline float __high2float(name h) { return (float)h.y; }
static inline float emu_bf16_to_float(uint16_t b) { return emu::bits_f((uint32_t)b << 16); }
EMU_FLOAT16(__half, emu::half_to_float, emu::float_to_half)
EMU_FLOAT16(__nv_bfloat16, emu_bf16_to_float, emu::float_to_bf16)
EMU_FLOAT16X2(__half2, __half)
EMU_FLOAT16X2(__nv_bfloat162, __nv_bfloat16)
typedef __half half;
typedef __half2 half2;
typedef __nv_bfloat16 nv_bfloat16;
typedef __nv_bfloat162 nv_bfloat162;

static inline float __half2float(__half h) { return (float)h; }
static inline __half __float2half(float f) { return __half(f); }
static inline __half __float2half_rn(float f) { return __half(f); }
static inline __half __ushort_as_half(unsigned short u)
{
    __half h;
    h.__x = u;
    return h;
}
static inline unsigned short __half_as_ushort(__half h) { return h.__x; }
static inline __half __int2half_rn(int i) { return __half((float)i); }
static inline __half __short2half_rn(short i) { return __half((float)i); }
static inline __half __ushort2half_rn(unsigned short i) { return __half((float)i); }
static inline int __half2int_rn(__half h) { return (int)nearbyintf((float)h); }
static inline __half2 __halves2half2(__half a, __half b) { return { a, b }; }
static inline __half2 __half2half2(__half a) { return { a, a }; }
static inline __half2 __float2half2_rn(float f) { return { __half(f), __half(f) }; }
static inline __half2 __floats2half2_rn(float a, float b) { return { __half(a), __half(b) }; }
static inline __half2 __float22half2_rn(float2 f) { return { __half(f.x), __half(f.y) }; }
static inline float2 __half22float2(__half2 h) { return { (float)h.x, (float)h.y }; }
static inline __half2 make_half2(__half a, __half b) { return { a, b }; }
static inline __half __low2half(__half2 h) { return h.x; }
static inline __half __high2half(__half2 h) { return h.y; }
static inline float __bfloat162float(__nv_bfloat16 b) { return (float)b; }
static inline __nv_bfloat16 __float2bfloat16(float f) { return __nv_bfloat16(f); }
static inline __nv_bfloat16 __float2bfloat16_rn(float f) { return __nv_bfloat16(f); }
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short u)
{
    __nv_bfloat16 b;
    b.__x = u;
    return b;
}
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 b) { return b.__x; }
static inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b) { return { __nv_bfloat16(a), __nv_bfloat16(b) }; }
static inline __nv_bfloat162 __float22bfloat162_rn(float2 f) { return { __nv_bfloat16(f.x), __nv_bfloat16(f.y) }; }
static inline __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 a, __nv_bfloat16 b) { return { a, b }; }
static inline float2 __bfloat1622float2(__nv_bfloat162 h) { return { (float)h.x, (float)h.y }; }
