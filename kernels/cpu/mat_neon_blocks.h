/* kernels/cpu/mat_neon_blocks: blocks of every type taken apart into vectors of sixteen bytes, in the order of their elements,
 * with their scales, in registers. What kernels/unpack.h says in C is said here with NEON; the types without a hand-written form
 * come as a ker_block that it has filled (ANY_16, ANY_32 by their sub-blocks). `type` is a constant wherever these are inlined.
 * Formats: ggml/src/ggml-common.h. Private to mat_neon*.h, mat_dotprod.c and mat_i8mm.c. Pure functions; any thread. */
#ifndef QUORUM_CPU_MAT_NEON_BLOCKS_H
#define QUORUM_CPU_MAT_NEON_BLOCKS_H

#include <arm_neon.h>
#include <string.h>

#include "kernels/cpu/mat_isa.h"
#include "kernels/unpack.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")   /* every loop over an array of vectors: unrolled, they stay in registers */

enum { ANY_16 = KER_TYPE_LIMIT, ANY_32 };

/* Constants in what is inlined; d, m: offsets of half floats, as in ker_type. */
static const struct neon_form { int16_t bytes, sub, d, m; } neon_forms[] = {
#define KER_BLOCK(id, name, block, bytes, act, sub, d, m, ...) [id] = { bytes, sub, d, m },
#include "kernels/types.def"
    [ANY_16] = { sizeof(ker_block), 16, -1, -1 },
    [ANY_32] = { sizeof(ker_block), 32, -1, -1 },
};

static const int8_t neon_iq4[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };
static const int8_t neon_e2m1[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };

INLINE int8x16_t as_s8(uint8x16_t v) { return vreinterpretq_s8_u8(v); }
INLINE uint16_t word_at(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }
INLINE uint32_t dword_at(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
INLINE uint8x16_t nibble(uint8x16_t v, const int high) { return high ? vshrq_n_u8(v, 4) : vandq_u8(v, vdupq_n_u8(15)); }
INLINE uint8x16_t bits_of(uint8x16_t v, const int shift, const int mask)
{
    v = v >> (uint8_t)shift;
    return (mask + 1) << shift == 256 ? v : vandq_u8(v, vdupq_n_u8((uint8_t)mask));
}

/* ---- blocks of 256 ---- */

/* What chunk256 leaves in its bytes: an element is that much less. The sums of activations take it off, exactly. */
INLINE int more_of(const int type) { return type == KER_Q6_K ? 32 : type == KER_Q3_K ? 4 : 0; }

/* Elements [64 c, 64 c + 64), more_of too much. */
INLINE void chunk256(const int type, const uint8_t *s, const int c, int8x16_t w[4])
{
    const int h = c / 2;
    UNROLL for (int i = 0; i < 4; i++) {
        const int odd = 16 * (i % 2), late = i / 2;  /* which sixteen of 32, which 32 of 64 */
        if (type == KER_Q4_K || type == KER_Q5_K) {
            uint8x16_t v = nibble(vld1q_u8(s + (type == KER_Q5_K ? 48 : 16) + 32 * c + odd), late);
            w[i] = as_s8(type == KER_Q5_K ? vsliq_n_u8(v, bits_of(vld1q_u8(s + 16 + odd), 2 * c + late, 1), 4) : v);
        } else if (type == KER_Q6_K) {
            uint8x16_t v = nibble(vld1q_u8(s + 64 * h + 16 * i), c % 2);
            w[i] = as_s8(vsliq_n_u8(v, bits_of(vld1q_u8(s + 128 + 32 * h + odd), 4 * (c % 2) + 2 * late, 3), 4));
        } else if (type == KER_IQ4_XS)
            w[i] = vqtbl1q_s8(vld1q_s8(neon_iq4), nibble(vld1q_u8(s + 8 + 32 * c + 16 * late), i % 2));
        else if (type == KER_Q2_K || type == KER_Q3_K) {
            uint8x16_t v = bits_of(vld1q_u8(s + (type == KER_Q3_K ? 32 : 16) + 32 * h + odd), 2 * (2 * (c % 2) + late), 3);
            w[i] = as_s8(type == KER_Q3_K ? vsliq_n_u8(v, bits_of(vld1q_u8(s + odd), 2 * c + late, 1), 2) : v);
        } else
            w[i] = vld1q_s8(((const ker_block *)(const void *)s)->q + 64 * c + 16 * i);
    }
}

/* Sub-scales and sub-minima, of 8 sub-blocks in the first vector or of 16 in both. */
INLINE void scales256(const int type, const uint8_t *s, int16x8_t sc[2], int16x8_t mn[2])
{
    static const int8_t by_fours[16] = { 0, 0, 0, 0, -2, -2, -2, -2, -4, -4, -4, -4, -6, -6, -6, -6 };
    static const int16_t by_twos[8] = { 0, -2, -4, -6, -8, -10, -12, -14 };
    if (type == KER_Q4_K || type == KER_Q5_K) {      /* twelve bytes (types.c) */
        uint32_t a = dword_at(s + 4), b = dword_at(s + 8), c = dword_at(s + 12);
        uint64_t scale = (a & 0x3f3f3f3f) | (uint64_t)((c & 0x0f0f0f0f) | (a >> 2 & 0x30303030)) << 32;
        uint64_t low = (b & 0x3f3f3f3f) | (uint64_t)((c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030)) << 32;
        sc[0] = vreinterpretq_s16_u16(vmovl_u8(vcreate_u8(scale)));
        mn[0] = vreinterpretq_s16_u16(vmovl_u8(vcreate_u8(low)));
    } else if (type == KER_Q6_K) {
        int8x16_t v = vld1q_s8((const int8_t *)s + 192);
        sc[0] = vmovl_s8(vget_low_s8(v));
        sc[1] = vmovl_high_s8(v);
    } else if (type == KER_IQ4_XS) {
        uint8x8_t v = vcreate_u8(dword_at(s + 4));
        uint16x8_t top = vandq_u16(vshlq_u16(vdupq_n_u16(word_at(s + 2)), vld1q_s16(by_twos)), vdupq_n_u16(3));
        uint16x8_t low = vmovl_u8(vzip1_u8(vand_u8(v, vdup_n_u8(15)), vshr_n_u8(v, 4)));
        sc[0] = vsubq_s16(vreinterpretq_s16_u16(vorrq_u16(low, vshlq_n_u16(top, 4))), vdupq_n_s16(32));
    } else if (type == KER_Q2_K) {
        uint8x16_t v = vld1q_u8(s), lo = nibble(v, 0), hi = nibble(v, 1);
        sc[0] = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(lo)));
        sc[1] = vreinterpretq_s16_u16(vmovl_high_u8(lo));
        mn[0] = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(hi)));
        mn[1] = vreinterpretq_s16_u16(vmovl_high_u8(hi));
    } else if (type == KER_Q3_K) {
        uint8x8_t v = vld1_u8(s + 96);
        uint8x16_t low = vcombine_u8(vand_u8(v, vdup_n_u8(15)), vshr_n_u8(v, 4));
        uint8x16_t top = vandq_u8(vshlq_u8(vreinterpretq_u8_u32(vdupq_n_u32(dword_at(s + 104))), vld1q_s8(by_fours)), vdupq_n_u8(3));
        int8x16_t all = vsubq_s8(as_s8(vorrq_u8(low, vshlq_n_u8(top, 4))), vdupq_n_s8(32));
        sc[0] = vmovl_s8(vget_low_s8(all));
        sc[1] = vmovl_high_s8(all);
    } else {
        const ker_block *b = (const ker_block *)(const void *)s;
        sc[0] = vld1q_s16(b->sc);
        sc[1] = vld1q_s16(b->sc + 8);
    }
}

/* ---- blocks of 32 ---- */

/* 255 where a bit of the dword's i-th half is set, byte by byte. */
INLINE uint8x16_t set_bits(const uint8_t *p, const int i)
{
    static const uint8_t each[16] = { 1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128 };
    static const uint8_t from[2][16] = { { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1 }, { 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3 } };
    return vtstq_u8(vqtbl1q_u8(vreinterpretq_u8_u32(vdupq_n_u32(dword_at(p))), vld1q_u8(from[i])), vld1q_u8(each));
}

INLINE void chunk32(const int type, const uint8_t *s, int8x16_t w[2])
{
    if (type == KER_Q8_0) {
        w[0] = vld1q_s8((const int8_t *)s + 2);
        w[1] = vld1q_s8((const int8_t *)s + 18);
        return;
    }
    const uint8_t *fifth = s + neon_forms[type].bytes - 20;
    uint8x16_t v = vld1q_u8(s + neon_forms[type].bytes - 16);
    UNROLL for (int i = 0; i < 2; i++) {
        uint8x16_t u = nibble(v, i);
        if (type == KER_IQ4_NL || type == KER_MXFP4)
            w[i] = vqtbl1q_s8(vld1q_s8(type == KER_MXFP4 ? neon_e2m1 : neon_iq4), u);
        else if (type == KER_Q5_0)                   /* not set: 16 less, which is 0xf0 above a nibble */
            w[i] = as_s8(vorrq_u8(u, vbicq_u8(vdupq_n_u8(0xf0), set_bits(fifth, i))));
        else if (type == KER_Q5_1)
            w[i] = as_s8(vorrq_u8(u, vandq_u8(vdupq_n_u8(16), set_bits(fifth, i))));
        else
            w[i] = type == KER_Q4_0 ? vsubq_s8(as_s8(u), vdupq_n_s8(8)) : as_s8(u);
    }
}

/* Sixteen elements of an NVFP4 block: its j-th piece. */
INLINE int8x16_t piece_nvfp4(const uint8_t *s, const int j)
{
    uint8x8_t v = vld1_u8(s + 4 + 8 * j);
    return vqtbl1q_s8(vld1q_s8(neon_e2m1), vcombine_u8(vand_u8(v, vdup_n_u8(15)), vshr_n_u8(v, 4)));
}

/* ---- scales of four rows' blocks ---- */

/* Into lanes, not through an array: a load waits for narrower stores. */
INLINE float32x4_t halves4(const uint8_t *const row[4], int64_t at)
{
    uint16x4_t h = vdup_n_u16(word_at(row[0] + at));
    h = vset_lane_u16(word_at(row[1] + at), h, 1);
    h = vset_lane_u16(word_at(row[2] + at), h, 2);
    h = vset_lane_u16(word_at(row[3] + at), h, 3);
    return vcvt_f32_f16(vreinterpret_f16_u16(h));
}
INLINE uint32x4_t bytes4(const uint8_t *const row[4], int64_t at)
{
    return (uint32x4_t){ row[0][at], row[1][at], row[2][at], row[3][at] };
}
/* Half of 2^(e - 127); below 2 it is subnormal (unpack_few.c). */
INLINE float32x4_t e8m0_halves4(uint32x4_t e)
{
    uint32x4_t normal = vshlq_n_u32(vsubq_u32(e, vdupq_n_u32(1)), 23), small = vshlq_u32(vdupq_n_u32(0x00200000), vreinterpretq_s32_u32(e));
    return vreinterpretq_f32_u32(vbslq_u32(vcltq_u32(e, vdupq_n_u32(2)), small, normal));
}
/* Half of an unsigned E4M3 (unpack_few.c): (8 + m) 2^(e - 1) or m, in units of 2^-10, and 0 for what is no number. */
INLINE float32x4_t ue4m3_halves4(uint32x4_t v)
{
    uint32x4_t e = vandq_u32(vshrq_n_u32(v, 3), vdupq_n_u32(15)), m = vandq_u32(v, vdupq_n_u32(7)), normal = vcgtq_u32(e, vdupq_n_u32(0));
    uint32x4_t more = vandq_u32(normal, vdupq_n_u32(8)), by = vqsubq_u32(e, vdupq_n_u32(1));
    uint32x4_t n = vbicq_u32(vshlq_u32(vorrq_u32(m, more), vreinterpretq_s32_u32(by)), vceqq_u32(v, vdupq_n_u32(0x7f)));
    return vmulq_f32(vcvtq_f32_u32(n), vdupq_n_f32(0x1p-10f));
}

/* d of the block `at` bytes into each row. */
INLINE float32x4_t scale4(const int type, const uint8_t *const row[4], int64_t at)
{
    if (type == KER_MXFP4) return e8m0_halves4(bytes4(row, at));
    if (type < ANY_16) return halves4(row, at + neon_forms[type].d);
    const ker_block *b[4];
    UNROLL for (int i = 0; i < 4; i++) b[i] = (const ker_block *)(const void *)(row[i] + at);
    return (float32x4_t){ b[0]->d, b[1]->d, b[2]->d, b[3]->d };
}

/* The sums of the lanes of four vectors. */
INLINE int32x4_t fold4(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d) { return vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)); }

/* Products of n numbers, one a sub-block, with the sums of its activations, in four parts. */
INLINE int32x4_t with_sums(const int16x8_t v[2], const int16_t *sums, const int n)
{
    int32x4_t t = vdupq_n_s32(0);
    UNROLL for (int i = 0; i < n / 8; i++) {
        int16x8_t x = vld1q_s16(sums + 8 * i);
        t = i ? vmlal_s16(t, vget_low_s16(v[i]), vget_low_s16(x)) : vmull_s16(vget_low_s16(v[i]), vget_low_s16(x));
        t = vmlal_high_s16(t, v[i], x);
    }
    return t;
}

#endif
