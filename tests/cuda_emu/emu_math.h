// emu_math.h: integer and float intrinsics, loads with hints, atomics. Part of emu.h.
#pragma once
#include <limits>
#include "emu_types.h"

// ---- integers
static inline int __dp4a(int a, int b, int c)
{
    unsigned s = (unsigned)c;
    for (int i = 0; i < 4; i++) s += (unsigned)((int8_t)((unsigned)a >> 8 * i) * (int8_t)((unsigned)b >> 8 * i));
    return (int)s;
}
static inline unsigned __dp4a(unsigned a, unsigned b, unsigned c)
{
    for (int i = 0; i < 4; i++) c += (unsigned)((uint8_t)(a >> 8 * i) * (uint8_t)(b >> 8 * i));
    return c;
}
static inline int __popc(unsigned v) { return __builtin_popcount(v); }
static inline int __popcll(unsigned long long v) { return __builtin_popcountll(v); }
static inline int __clz(int v) { return v ? __builtin_clz((unsigned)v) : 32; }
static inline int __clzll(long long v) { return v ? __builtin_clzll((unsigned long long)v) : 64; }
static inline int __ffs(int v) { return __builtin_ffs(v); }
static inline int __ffsll(long long v) { return __builtin_ffsll(v); }
static inline unsigned __brev(unsigned v)
{
    unsigned r = 0;
    for (int i = 0; i < 32; i++) r |= (v >> i & 1) << (31 - i);
    return r;
}
static inline int __mulhi(int a, int b) { return (int)(((long long)a * b) >> 32); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((unsigned long long)a * b) >> 32); }
static inline unsigned __byte_perm(unsigned a, unsigned b, unsigned s)
{
    uint64_t v = (uint64_t)b << 32 | a;
    unsigned r = 0;
    for (int i = 0; i < 4; i++) {
        unsigned byte = (unsigned)(v >> 8 * (s >> 4 * i & 7)) & 255;
        if (s >> 4 * i & 8) byte = byte & 128 ? 255 : 0;
        r |= byte << 8 * i;
    }
    return r;
}
static inline unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned n) { return (unsigned)(((uint64_t)hi << 32 | lo) >> (n & 31)); }
static inline unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned n) { return (unsigned)((((uint64_t)hi << 32 | lo) << (n & 31)) >> 32); }
static inline unsigned __funnelshift_rc(unsigned lo, unsigned hi, unsigned n) { return (unsigned)(((uint64_t)hi << 32 | lo) >> (n < 32 ? n : 32)); }
static inline unsigned __funnelshift_lc(unsigned lo, unsigned hi, unsigned n) { return n < 32 ? __funnelshift_l(lo, hi, n) : lo; }
#define EMU_BYTES(name, expr) static inline unsigned name(unsigned a, unsigned b) \
{ \
    unsigned r = 0; \
    for (int i = 0; i < 4; i++) { \
        int x = (int8_t)(a >> 8 * i), y = (int8_t)(b >> 8 * i); \
        r |= (unsigned)((expr) & 255) << 8 * i; \
    } \
    return r; \
}
EMU_BYTES(__vadd4, x + y)
EMU_BYTES(__vsub4, x - y)
EMU_BYTES(__vsubss4, x - y < -128 ? -128 : x - y > 127 ? 127 : x - y)
EMU_BYTES(__vaddss4, x + y < -128 ? -128 : x + y > 127 ? 127 : x + y)
EMU_BYTES(__vcmpeq4, x == y ? 255 : 0)
EMU_BYTES(__vcmpne4, x != y ? 255 : 0)
EMU_BYTES(__vmaxs4, x > y ? x : y)
EMU_BYTES(__vmins4, x < y ? x : y)

// ---- floats. The approximate ones are exact here: tests hold tolerances, and the device is measured on the device.
static inline float __int_as_float(int i) { return emu::bits_f((uint32_t)i); }
static inline int __float_as_int(float f) { return (int)emu::f_bits(f); }
static inline float __uint_as_float(unsigned u) { return emu::bits_f(u); }
static inline unsigned __float_as_uint(float f) { return emu::f_bits(f); }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline float __frsqrt_rn(float x) { return 1.0f / sqrtf(x); }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __frcp_rn(float a) { return 1.0f / a; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }
// macros: the C library declares some of these names for itself
#define __expf expf
#define __exp10f(x) powf(10.0f, (x))
#define __logf logf
#define __log2f log2f
#define __sinf sinf
#define __cosf cosf
#define __tanf tanf
#define __powf powf
#define __sincosf sincosf

namespace emu {
template <class I> I to_int(float r)                       // the device saturates, and turns NaN to 0
{
    if (r != r) return 0;
    if (r <= (float)std::numeric_limits<I>::min()) return std::numeric_limits<I>::min();
    if (r >= (float)std::numeric_limits<I>::max()) return std::numeric_limits<I>::max();
    return (I)r;
}
}
static inline int __float2int_rn(float x) { return emu::to_int<int>(nearbyintf(x)); }
static inline int __float2int_rz(float x) { return emu::to_int<int>(truncf(x)); }
static inline int __float2int_rd(float x) { return emu::to_int<int>(floorf(x)); }
static inline int __float2int_ru(float x) { return emu::to_int<int>(ceilf(x)); }
static inline unsigned __float2uint_rn(float x) { return emu::to_int<unsigned>(nearbyintf(x)); }
static inline unsigned __float2uint_rz(float x) { return emu::to_int<unsigned>(truncf(x)); }
static inline float __int2float_rn(int i) { return (float)i; }
static inline float __uint2float_rn(unsigned i) { return (float)i; }
template <class T> static inline T min(T a, T b) { return b < a ? b : a; }
template <class T> static inline T max(T a, T b) { return a < b ? b : a; }
static inline float min(float a, float b) { return fminf(a, b); }      // of a NaN and a number: the number, as on the device
static inline float max(float a, float b) { return fmaxf(a, b); }

// ---- loads and stores with hints
template <class T> static inline T __ldg(const T *p) { return *p; }
template <class T> static inline T __ldcs(const T *p) { return *p; }
template <class T> static inline T __ldcg(const T *p) { return *p; }
template <class T> static inline T __ldca(const T *p) { return *p; }
template <class T> static inline T __ldlu(const T *p) { return *p; }
template <class T> static inline T __ldcv(const T *p) { return *p; }
template <class T> static inline void __stcs(T *p, T v) { *p = v; }
template <class T> static inline void __stcg(T *p, T v) { *p = v; }
template <class T> static inline void __stwb(T *p, T v) { *p = v; }
template <class T> static inline void __stwt(T *p, T v) { *p = v; }

// ---- atomics: relaxed, as on the device. TSan takes them as atomic but not as ordering; a fence before and after makes
// an order, as the device's memory model has it (emu::fence).
namespace emu {
#if defined(__SANITIZE_THREAD__) || defined(EMU_TSAN)
void atomic_note(void *p);
#else
static inline void atomic_note(void *) {}
#endif
template <class T> using bits_of = std::conditional_t<sizeof(T) == 8, uint64_t, std::conditional_t<sizeof(T) == 4, uint32_t, uint16_t>>;
template <class T, class F> T atomic_do(T *p, F f)         // returns what was there
{
    typedef bits_of<T> B;
    B o = __atomic_load_n((B *)p, __ATOMIC_RELAXED), n;
    T old, now;
    do {
        memcpy(&old, &o, sizeof old);
        now = f(old);
        memcpy(&n, &now, sizeof n);
    } while (!__atomic_compare_exchange_n((B *)p, &o, n, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    atomic_note((void *)p);
    memcpy(&old, &o, sizeof old);
    return old;
}
}
#define EMU_ATOMIC(name, T, expr) static inline T name(T *p, T v) { return emu::atomic_do(p, [=](T o) -> T { return (expr); }); }
#define EMU_ATOMICS(T) EMU_ATOMIC(atomicAdd, T, (T)(o + v)) EMU_ATOMIC(atomicMax, T, o > v ? o : v) EMU_ATOMIC(atomicMin, T, o < v ? o : v) \
    EMU_ATOMIC(atomicExch, T, ((void)o, v)) EMU_ATOMIC(atomicOr, T, o | v) EMU_ATOMIC(atomicAnd, T, o & v) EMU_ATOMIC(atomicXor, T, o ^ v) \
    static inline T atomicCAS(T *p, T c, T v) { return emu::atomic_do(p, [=](T o) { return o == c ? v : o; }); }
static inline int atomicAdd(int *p, int v) { return emu::atomic_do(p, [=](int o) { return (int)((unsigned)o + (unsigned)v); }); }
EMU_ATOMIC(atomicSub, int, (int)((unsigned)o - (unsigned)v))
EMU_ATOMIC(atomicMax, int, o > v ? o : v)
EMU_ATOMIC(atomicMin, int, o < v ? o : v)
EMU_ATOMIC(atomicExch, int, ((void)o, v))
EMU_ATOMIC(atomicOr, int, o | v)
EMU_ATOMIC(atomicAnd, int, o & v)
EMU_ATOMIC(atomicXor, int, o ^ v)
static inline int atomicCAS(int *p, int c, int v) { return emu::atomic_do(p, [=](int o) { return o == c ? v : o; }); }
EMU_ATOMICS(unsigned)
EMU_ATOMIC(atomicSub, unsigned, o - v)
EMU_ATOMIC(atomicInc, unsigned, o >= v ? 0 : o + 1)
EMU_ATOMIC(atomicDec, unsigned, o == 0 || o > v ? v : o - 1)
EMU_ATOMICS(unsigned long long)
EMU_ATOMIC(atomicAdd, float, o + v)
EMU_ATOMIC(atomicExch, float, ((void)o, v))
#undef EMU_ATOMIC
#undef EMU_ATOMICS
