/* kernels/types: the table of tensor types: sizes, the scalar decoders that follow each format bit by bit
 * and the few encoders we write files with. Pure functions over caller's memory; any thread.
 * It never looks at the CPU's features: the vector paths are tested against what stands here. */
#include "kernels/kernels.h"
#include "kernels/unpack.h"

#include <math.h>
#include <string.h>

static uint32_t f32_bits(float f) { uint32_t u; memcpy(&u, &f, 4); return u; }
static float bits_f32(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }

static void half_put(uint8_t *p, float f)
{
    uint16_t h = ker_f32_to_f16(f);
    memcpy(p, &h, 2);
}

/* ---- blocks taken apart ---- */

static const int8_t iq4_values[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };

static void one_sub(ker_block *b) { b->sc[0] = b->mn[0] = 1; }

/* 16 bytes: element i in the low nibble of byte i, element i + 16 in the high one. */
static void nibbles32(const uint8_t *p, int8_t *q, int minus)
{
    for (int i = 0; i < 16; i++) {
        q[i] = (int8_t)((p[i] & 15) - minus);
        q[i + 16] = (int8_t)((p[i] >> 4) - minus);
    }
}

static void fifth_bits(const uint8_t *p, int8_t *q)  /* 4 bytes: bit i belongs to element i */
{
    for (int i = 0; i < 32; i++)
        q[i] = (int8_t)(q[i] + ((p[i / 8] >> (i % 8) & 1) << 4));
}

static void unpack_q4_0(const uint8_t *s, ker_block *b)
{
    one_sub(b);
    b->d = half_at(s);
    nibbles32(s + 2, b->q, 8);
}

static void unpack_q4_1(const uint8_t *s, ker_block *b)
{
    one_sub(b);
    b->d = half_at(s);
    b->m = -half_at(s + 2);
    nibbles32(s + 4, b->q, 0);
}

static void unpack_q5_0(const uint8_t *s, ker_block *b)
{
    one_sub(b);
    b->d = half_at(s);
    nibbles32(s + 6, b->q, 16);
    fifth_bits(s + 2, b->q);
}

static void unpack_q5_1(const uint8_t *s, ker_block *b)
{
    one_sub(b);
    b->d = half_at(s);
    b->m = -half_at(s + 2);
    nibbles32(s + 8, b->q, 0);
    fifth_bits(s + 4, b->q);
}

static void unpack_q8_0(const uint8_t *s, ker_block *b)
{
    one_sub(b);
    b->d = half_at(s);
    memcpy(b->q, s + 2, 32);
}

/* 12 bytes hold eight 6-bit scales and eight 6-bit minima: bytes 0..3 and 4..7 the first four of each (low
 * six bits), whose top two bits are the top bits of the last four; bytes 8..11 those four's low nibbles. */
static void k_scales(const uint8_t *s, ker_block *b)
{
    for (int i = 0; i < 4; i++) {
        b->sc[i] = s[i] & 63;
        b->mn[i] = s[i + 4] & 63;
        b->sc[i + 4] = (int16_t)((s[i + 8] & 15) | (s[i] >> 6) << 4);
        b->mn[i + 4] = (int16_t)((s[i + 8] >> 4) | (s[i + 4] >> 6) << 4);
    }
}

static void unpack_q4_k(const uint8_t *s, ker_block *b)
{
    b->d = half_at(s);
    b->m = half_at(s + 2);
    k_scales(s + 4, b);
    for (int c = 0; c < 4; c++)                      /* 32 bytes: sub-block 2c low, 2c + 1 high */
        for (int i = 0; i < 32; i++) {
            uint8_t v = s[16 + c * 32 + i];
            b->q[c * 64 + i] = (int8_t)(v & 15);
            b->q[c * 64 + 32 + i] = (int8_t)(v >> 4);
        }
}

static void unpack_q5_k(const uint8_t *s, ker_block *b)
{
    const uint8_t *high = s + 16, *low = s + 48;     /* bit j of high[i]: element i of sub-block j */
    b->d = half_at(s);
    b->m = half_at(s + 2);
    k_scales(s + 4, b);
    for (int c = 0; c < 4; c++)
        for (int i = 0; i < 32; i++) {
            uint8_t v = low[c * 32 + i];
            b->q[c * 64 + i] = (int8_t)((v & 15) | (high[i] >> (2 * c) & 1) << 4);
            b->q[c * 64 + 32 + i] = (int8_t)((v >> 4) | (high[i] >> (2 * c + 1) & 1) << 4);
        }
}

static void unpack_q6_k(const uint8_t *s, ker_block *b)
{
    b->d = half_at(s + 208);
    for (int i = 0; i < 16; i++)
        b->sc[i] = (int8_t)s[192 + i];
    for (int h = 0; h < 2; h++) {                    /* halves of 128: 64 low bytes, 32 bytes of bit pairs */
        const uint8_t *low = s + h * 64, *high = s + 128 + h * 32;
        int8_t *q = b->q + h * 128;
        for (int i = 0; i < 32; i++) {
            q[i] = (int8_t)(((low[i] & 15) | (high[i] & 3) << 4) - 32);
            q[i + 32] = (int8_t)(((low[i + 32] & 15) | (high[i] >> 2 & 3) << 4) - 32);
            q[i + 64] = (int8_t)(((low[i] >> 4) | (high[i] >> 4 & 3) << 4) - 32);
            q[i + 96] = (int8_t)(((low[i + 32] >> 4) | (high[i] >> 6) << 4) - 32);
        }
    }
}

static void iq4_32(const uint8_t *p, int8_t *q)
{
    nibbles32(p, q, 0);
    for (int i = 0; i < 32; i++)
        q[i] = iq4_values[q[i]];
}

static void unpack_iq4_nl(const uint8_t *s, ker_block *b)
{
    one_sub(b);
    b->d = half_at(s);
    iq4_32(s + 2, b->q);
}

static void unpack_iq4_xs(const uint8_t *s, ker_block *b)
{
    uint16_t high;
    memcpy(&high, s + 2, 2);
    b->d = half_at(s);
    for (int j = 0; j < 8; j++) {
        int low = s[4 + j / 2] >> (4 * (j & 1)) & 15;
        b->sc[j] = (int16_t)((low | (high >> (2 * j) & 3) << 4) - 32);
        iq4_32(s + 8 + j * 16, b->q + j * 32);
    }
}

static const ker_unpack unpackers[KER_TYPE_LIMIT] = {
#define KER_BLOCK(id, name, block, bytes, act, sub, d, m, unpack, ...) \
    [id] = { unpack, sub, m >= 0, KER_ACT_##act == KER_ACT_Q8_32 && block > 32 ? block / sub : 1 },
#include "kernels/types.def"
};

const ker_unpack *ker_unpack_get(int type)
{
    static const ker_unpack none;
    return type >= 0 && type < KER_TYPE_LIMIT ? &unpackers[type] : &none;
}

/* ---- decoders ---- */

static inline void decode_blocks(int type, int block, int bytes, const void *src, float *dst, int64_t n)
{
    const ker_unpack *u = &unpackers[type];
    const uint8_t *s = src;
    ker_block b;
    for (int64_t at = 0; at < n; at += block, s += bytes) {
        u->one(s, &b);
        for (int i = 0; i < block; i += u->sub) {
            float d = (u->pieces > 1 ? b.piece[i / u->sub] : b.d) * (float)b.sc[i / u->sub];
            float m = u->has_min ? b.m * (float)b.mn[i / u->sub] : 0;
            for (int k = i; k < i + u->sub; k++)
                dst[at + k] = u->has_min ? d * (float)b.q[k] - m : d * (float)b.q[k];
        }
    }
}

/* A decoder a type, so that block and size are constants in it. */
#define KER_BLOCK(id, name, block, bytes, ...) \
    static void decode_##name(const void *src, float *dst, int64_t n) { decode_blocks(id, block, bytes, src, dst, n); }
#include "kernels/types.def"

static void decode_f32(const void *src, float *dst, int64_t n) { memcpy(dst, src, (size_t)n * 4); }

static void decode_f16(const void *src, float *dst, int64_t n)
{
    const uint8_t *s = src;
    for (int64_t i = 0; i < n; i++)
        dst[i] = half_at(s + 2 * i);
}

static void decode_bf16(const void *src, float *dst, int64_t n)
{
    const uint8_t *s = src;
    for (int64_t i = 0; i < n; i++)
        dst[i] = bits_f32((uint32_t)s[2 * i] << 16 | (uint32_t)s[2 * i + 1] << 24);
}

/* ---- encoders: the same bits as gguf.quants.quantize ---- */

static void encode_f32(const float *src, void *dst, int64_t n) { memcpy(dst, src, (size_t)n * 4); }

static void encode_f16(const float *src, void *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        half_put((uint8_t *)dst + 2 * i, src[i]);
}

static void encode_bf16(const float *src, void *dst, int64_t n)
{
    uint8_t *out = dst;
    for (int64_t i = 0; i < n; i++) {
        uint32_t u = f32_bits(src[i]);
        if ((u & 0x7fffffff) > 0x7f800000)
            u = (u & 0xffff0000) | 64u << 16;        /* a quiet NaN */
        u = (uint32_t)(((uint64_t)u + 0x7fff + (u >> 16 & 1)) >> 16);
        out[2 * i] = (uint8_t)u;
        out[2 * i + 1] = (uint8_t)(u >> 8);
    }
}

/* A float cast to an integer outside its range is undefined in C; weights that are not finite end here. */
static int clamp_int(float f, int lo, int hi) { return !(f > (float)lo) ? lo : f >= (float)hi ? hi : (int)f; }

static void encode_q8_0(const float *src, void *dst, int64_t n)
{
    uint8_t *out = dst;
    for (; n > 0; n -= 32, src += 32, out += 34) {
        float most = 0;
        for (int i = 0; i < 32; i++)
            most = fabsf(src[i]) > most ? fabsf(src[i]) : most;
        float d = most / 127, inverse = d == 0 ? 0 : 1 / d;
        half_put(out, d);
        for (int i = 0; i < 32; i++)                 /* halves away from zero */
            out[2 + i] = (uint8_t)(int8_t)clamp_int(roundf(src[i] * inverse), -128, 127);
    }
}

static void encode_q4_0(const float *src, void *dst, int64_t n)
{
    uint8_t *out = dst;
    for (; n > 0; n -= 32, src += 32, out += 18) {
        float most = src[0];                         /* the first of the largest magnitude, with its sign */
        for (int i = 1; i < 32; i++)
            most = fabsf(src[i]) > fabsf(most) ? src[i] : most;
        float d = most / -8, inverse = d == 0 ? 0 : 1 / d;
        half_put(out, d);
        for (int i = 0; i < 16; i++)
            out[2 + i] = (uint8_t)(clamp_int(src[i] * inverse + 8.5f, 0, 15) |
                                   clamp_int(src[i + 16] * inverse + 8.5f, 0, 15) << 4);
    }
}

static void encode_q4_1(const float *src, void *dst, int64_t n)
{
    uint8_t *out = dst;
    for (; n > 0; n -= 32, src += 32, out += 20) {
        float lo = src[0], hi = src[0];
        for (int i = 1; i < 32; i++) {
            lo = src[i] < lo ? src[i] : lo;
            hi = src[i] > hi ? src[i] : hi;
        }
        float d = (hi - lo) / 15, inverse = d == 0 ? 0 : 1 / d;
        half_put(out, d);
        half_put(out + 2, lo);
        for (int i = 0; i < 16; i++)
            out[4 + i] = (uint8_t)(clamp_int((src[i] - lo) * inverse + 0.5f, 0, 15) |
                                   clamp_int((src[i + 16] - lo) * inverse + 0.5f, 0, 15) << 4);
    }
}

/* The exponent puts the largest within 4 to 8 of the doubled values, the nearest of which is taken, the first of equals. */
static void encode_mxfp4(const float *src, void *dst, int64_t n)
{
    static const float value[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };
    uint8_t *out = dst;
    for (; n > 0; n -= 32, src += 32, out += 17) {
        float most = 0;
        for (int i = 0; i < 32; i++)
            most = fabsf(src[i]) > most ? fabsf(src[i]) : most;
        out[0] = (uint8_t)(most > 0 ? clamp_int(floorf(log2f(most)) + 125, 0, 254) : 0);
        float d = ldexpf(1, out[0] - 128);
        memset(out + 1, 0, 16);
        for (int i = 0; i < 32; i++) {
            int best = 0;
            for (int k = 1; k < 16; k++)
                best = fabsf(d * value[k] - src[i]) < fabsf(d * value[best] - src[i]) ? k : best;
            out[1 + i % 16] = (uint8_t)(out[1 + i % 16] | best << (i < 16 ? 0 : 4));
        }
    }
}

/* ---- scales alone ---- */

/* An unsigned E4M3 whose half is nearest to v. */
static uint8_t ue4m3_of(float v)
{
    float x = v * 0x1p10f;                           /* in units of the smallest */
    int e = 1;
    for (; e < 15 && x >= 15.5f; e++)
        x *= .5f;
    int m = clamp_int(x + .5f, 0, 15);
    return (uint8_t)(m < 8 ? m : e == 15 && m == 15 ? 0x7e : e << 3 | (m - 8));
}

void ker_type_scale(int type, void *block, float d, float m)
{
    const ker_type *t = ker_type_get(type);
    uint8_t *p = block;
    int e;
    if (t->d >= 0) half_put(p + t->d, d);
    if (t->m >= 0) half_put(p + t->m, m);
    switch (type) {
    case KER_MXFP4:
        frexpf(d, &e);
        p[0] = (uint8_t)(d == 0 ? 0 : e + 127 < 0 ? 0 : e + 127 > 254 ? 254 : e + 127);
        break;
    case KER_NVFP4:
        memset(p, ue4m3_of(fabsf(d)), 4);
        break;
    case KER_IQ1_M:
        for (int i = 0; i < 4; i++)
            p[49 + 2 * i] = (uint8_t)((p[49 + 2 * i] & 15) | (ker_f32_to_f16(d) >> (4 * i) & 15) << 4);
        break;
    }
}

/* ---- the table ---- */

static const ker_type types[KER_TYPE_LIMIT] = {
#define KER_FLOAT(id, name, bytes, decode, encode, ...) [id] = { #name, 1, bytes, KER_ACT_F32, true, 0, -1, -1, decode, encode },
#define KER_BLOCK(id, name, block, bytes, act, sub, d, m, unpack, encode, ...) \
    [id] = { #name, block, bytes, KER_ACT_##act, true, sub, d, m, decode_##name, encode },
#define KER_STORE(id, name, bytes) [id] = { #name, 1, bytes, KER_ACT_F32, false, 0, -1, -1, NULL, NULL },
#include "kernels/types.def"
};

const ker_type *ker_type_get(int id)
{
    return id >= 0 && id < KER_TYPE_LIMIT && types[id].name ? &types[id] : NULL;
}

const ker_type *ker_type_named(int id)
{
    static const ker_type named[KER_TYPE_LIMIT] = {
#define KER_NAMED(id, name, block, bytes, ...) [id] = { #name, block, bytes, KER_ACT_F32, false, 0, -1, -1, NULL, NULL },
#include "kernels/types.def"
    };
    if (id < 0 || id >= KER_TYPE_LIMIT) return NULL;
    return types[id].name ? &types[id] : &named[id];
}

int64_t ker_row_bytes(int type, int64_t n)
{
    const ker_type *t = ker_type_get(type);
    return t ? n / t->block * t->bytes : 0;
}

/* ---- whole files ---- */

static const ker_file_type file_types[] = {
#define KER_FILE(id, name, bits) { id, name, bits },
#define KER_FLOAT(id, name, bytes, decode, encode, files) files
#define KER_BLOCK(id, name, block, bytes, act, sub, d, m, unpack, encode, files) files
#define KER_NAMED(id, name, block, bytes, files) files
#include "kernels/types.def"
#undef KER_FILE
};
enum { N_FILE_TYPES = sizeof file_types / sizeof *file_types };

const ker_file_type *ker_file_types(int *n)
{
    *n = N_FILE_TYPES;
    return file_types;
}

const ker_file_type *ker_file_type_get(uint64_t id)
{
    for (int i = 0; i < N_FILE_TYPES; i++)
        if ((uint64_t)file_types[i].id == id) return &file_types[i];
    return NULL;
}
