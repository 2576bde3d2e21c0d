/* kernels/unpack_few: blocks of four bits and fewer taken apart: Q2_K, Q3_K, the grids of IQ1 to IQ3, the ternary types, and the
 * floats of four bits (MXFP4, NVFP4). See unpack.h. Formats: ggml/src/ggml-common.h; checked block by block against the gguf
 * package (tests/golden/types). Pure functions over caller's memory; any thread.
 *
 * Every value is an integer of seven bits times an integer scale times a float, exactly: IQ2 and IQ3 have scales of whole and a
 * half, so the half goes into d; IQ1 adds an eighth to each of -1, 0, 1 or takes it away, so its integers are eight times that. */
#include "kernels/grids.h"
#include "kernels/unpack.h"

#include <string.h>

static uint16_t u16_at(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static uint32_t u32_at(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }

/* ---- K-quants ---- */

/* 64 bytes: bits 2s and 2s + 1 of byte i of a half of 32 bytes belong to element 32 s + i of that half's 128. */
static void pairs_of_bits(const uint8_t *p, int8_t *q)
{
    for (int h = 0; h < 2; h++)
        for (int s = 0; s < 4; s++)
            for (int i = 0; i < 32; i++)
                q[h * 128 + s * 32 + i] = (int8_t)(p[h * 32 + i] >> (2 * s) & 3);
}

void unpack_q2_k(const uint8_t *s, ker_block *b)
{
    b->d = half_at(s + 80);
    b->m = half_at(s + 82);
    for (int j = 0; j < 16; j++) {
        b->sc[j] = s[j] & 15;
        b->mn[j] = s[j] >> 4;
    }
    pairs_of_bits(s + 16, b->q);
}

/* 12 bytes of sixteen 6-bit scales: low nibbles of bytes 0 to 7 and their high nibbles, whose top two bits are in bytes 8 to 11. */
void unpack_q3_k(const uint8_t *s, ker_block *b)
{
    const uint8_t *sc = s + 96;
    b->d = half_at(s + 108);
    for (int j = 0; j < 16; j++)
        b->sc[j] = (int16_t)(((sc[j & 7] >> (j & 8 ? 4 : 0) & 15) | (sc[8 + (j & 3)] >> (2 * (j / 4)) & 3) << 4) - 32);
    pairs_of_bits(s + 32, b->q);
    for (int j = 0; j < 8; j++)                      /* bit j of byte i: element i of the j-th 32; not set: 4 less */
        for (int i = 0; i < 32; i++)
            b->q[j * 32 + i] = (int8_t)(b->q[j * 32 + i] - (s[i] >> j & 1 ? 0 : 4));
}

/* ---- grids: eight bytes at a time, in a word ---- */

static const uint64_t ones = 0x0101010101010101u;

/* Eight numbers of two bits to bytes. */
static uint64_t spread2(uint16_t v)
{
    uint64_t x = v;
    x = (x | x << 24) & 0x000000ff000000ffu;
    x = (x | x << 12) & 0x000f000f000f000fu;
    return (x | x << 6) & 0x0303030303030303u;
}

/* Two times four numbers in four bits each to bytes. */
static uint64_t spread4(uint16_t low, uint16_t high)
{
    uint64_t x = low | (uint64_t)high << 32;
    x = (x | x << 8) & 0x00ff00ff00ff00ffu;
    return (x | x << 4) & 0x0f0f0f0f0f0f0f0fu;
}

static uint64_t iq2_row(uint16_t v)                  /* 8, 25, 43 */
{
    uint64_t c = spread2(v);
    return 8 * ones + 17 * c + (c >> 1 & ones);
}

/* Bytes of 1 to 127 with the sign that bit i of `minus` says for byte i. */
static void put_signed(int8_t *q, uint64_t v, unsigned minus)
{
    uint64_t bits = (minus & 255) * ones & 0x8040201008040201u;
    uint64_t is = (((bits & 0x7f7f7f7f7f7f7f7fu) + 0x7f7f7f7f7f7f7f7fu) | bits) >> 7 & ones;
    v = (v ^ is * 255) + is;                         /* no byte carries: none is zero */
    memcpy(q, &v, 8);
}

/* Seven signs as they are kept: the eighth makes the number of minuses even. */
static unsigned eight_signs(unsigned seven)
{
    unsigned p = seven ^ seven >> 4;
    p ^= p >> 2;
    return seven | ((p ^ p >> 1) & 1) << 7;
}

void unpack_iq2_xxs(const uint8_t *s, ker_block *b)
{
    b->d = half_at(s) * .125f;
    for (int j = 0; j < 8; j++) {                    /* four rows of the grid, four signs of seven bits, a scale */
        const uint8_t *p = s + 2 + 8 * j;
        uint32_t v = u32_at(p + 4);
        b->sc[j] = (int16_t)(2 * (v >> 28) + 1);
        for (int i = 0; i < 4; i++)
            put_signed(b->q + 32 * j + 8 * i, iq2_row(ker_grid_row(ker_grid_iq2_xxs[0], 256, p[i])), eight_signs(v >> (7 * i) & 127));
    }
}

static void half_scales(const uint8_t *p, ker_block *b)  /* eight bytes: sixteen scales of n + 1/2 */
{
    for (int j = 0; j < 16; j++)
        b->sc[j] = (int16_t)(2 * (p[j / 2] >> (4 * (j & 1)) & 15) + 1);
}

void unpack_iq2_xs(const uint8_t *s, ker_block *b)
{
    b->d = half_at(s) * .125f;
    half_scales(s + 66, b);
    for (int i = 0; i < 32; i++) {
        uint16_t v = u16_at(s + 2 + 2 * i);
        put_signed(b->q + 8 * i, iq2_row(ker_grid_row(ker_grid_iq2_xs[0], 512, v & 511)), eight_signs(v >> 9));
    }
}

void unpack_iq2_s(const uint8_t *s, ker_block *b)
{
    const uint8_t *low = s + 2, *minus = s + 34, *high = s + 66;
    b->d = half_at(s) * .125f;
    half_scales(s + 74, b);
    for (int i = 0; i < 32; i++)
        put_signed(b->q + 8 * i, iq2_row(ker_grid_row(ker_grid_iq2_s[0], 1024, low[i] | (high[i / 4] >> (2 * (i & 3)) & 3) << 8)), minus[i]);
}

void unpack_iq3_xxs(const uint8_t *s, ker_block *b)
{
    b->d = half_at(s) * .25f;
    for (int j = 0; j < 8; j++) {
        const uint8_t *p = s + 2 + 8 * j;
        uint32_t v = u32_at(s + 66 + 4 * j);
        b->sc[j] = (int16_t)(2 * (v >> 28) + 1);
        for (int i = 0; i < 4; i++) {
            uint64_t c = spread4(ker_grid_row(ker_grid_iq3_xxs[0], 256, p[2 * i]), ker_grid_row(ker_grid_iq3_xxs[0], 256, p[2 * i + 1]));
            put_signed(b->q + 32 * j + 8 * i, 4 * ones + 8 * c + 2 * (c & c >> 1 & c >> 2 & ones), eight_signs(v >> (7 * i) & 127));
        }
    }
}

void unpack_iq3_s(const uint8_t *s, ker_block *b)
{
    const uint8_t *low = s + 2, *high = s + 66, *minus = s + 74, *sc = s + 106;
    b->d = half_at(s);
    for (int j = 0; j < 8; j++)
        b->sc[j] = (int16_t)(2 * (sc[j / 2] >> (4 * (j & 1)) & 15) + 1);
    for (int i = 0; i < 32; i++) {
        int h = high[i / 4] >> (2 * (i & 3));
        put_signed(b->q + 8 * i, ones + 2 * spread4(ker_grid_row(ker_grid_iq3_s[0], 512, low[2 * i] | (h & 1) << 8), ker_grid_row(ker_grid_iq3_s[0], 512, low[2 * i + 1] | (h & 2) << 7)), minus[i]);
    }
}

/* 8 times (-1, 0 or 1, and an eighth more or, `less`, less). */
static void put_iq1(int8_t *q, int row, bool less)
{
    uint64_t v = (8 * spread2(ker_grid_row(ker_grid_iq1[0], 2048, row)) + (less ? 119 : 121) * ones) ^ 128 * ones;   /* + 128 while it is unsigned */
    memcpy(q, &v, 8);
}

void unpack_iq1_s(const uint8_t *s, ker_block *b)
{
    b->d = half_at(s) * .125f;
    for (int j = 0; j < 8; j++) {
        unsigned h = u16_at(s + 34 + 2 * j);
        b->sc[j] = (int16_t)(2 * (h >> 12 & 7) + 1);
        for (int i = 0; i < 4; i++)
            put_iq1(b->q + 32 * j + 8 * i, s[2 + 4 * j + i] | (int)(h >> (3 * i) & 7) << 8, h >> 15);
    }
}

/* The only type whose half float lies in pieces: the top nibbles of four words of scales. */
void unpack_iq1_m(const uint8_t *s, ker_block *b)
{
    unsigned d = 0;
    for (int j = 0; j < 4; j++) {
        unsigned v = u16_at(s + 48 + 2 * j);
        d |= (v >> 12) << (4 * j);
        for (int i = 0; i < 4; i++)
            b->sc[4 * j + i] = (int16_t)(2 * (v >> (3 * i) & 7) + 1);
    }
    b->d = ker_f16_to_f32((uint16_t)d) * .125f;
    for (int i = 0; i < 32; i++) {
        int h = s[32 + i / 2] >> (4 * (i & 1));
        put_iq1(b->q + 8 * i, s[i] | (h & 7) << 8, h & 8);
    }
}

/* ---- -1, 0, 1 ---- */

static void plain_scales(ker_block *b)
{
    for (int j = 0; j < 8; j++)
        b->sc[j] = 1;
}

/* Digit k to base 3 of a byte, less one: a byte is a fraction of 256, whose digits are the carries of times 3. */
static int8_t trit(uint8_t v, int k)
{
    static const uint8_t power[5] = { 1, 3, 9, 27, 81 };
    return (int8_t)(((uint8_t)(v * power[k]) * 3 >> 8) - 1);
}

void unpack_tq1_0(const uint8_t *s, ker_block *b)
{
    b->d = half_at(s + 52);
    plain_scales(b);
    for (int k = 0; k < 5; k++) {
        for (int i = 0; i < 32; i++)
            b->q[k * 32 + i] = trit(s[i], k);
        for (int i = 0; i < 16; i++)
            b->q[160 + k * 16 + i] = trit(s[32 + i], k);
    }
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < 4; i++)
            b->q[240 + k * 4 + i] = trit(s[48 + i], k);
}

void unpack_tq2_0(const uint8_t *s, ker_block *b)
{
    b->d = half_at(s + 64);
    plain_scales(b);
    pairs_of_bits(s, b->q);
    for (int i = 0; i < 256; i++)
        b->q[i] = (int8_t)(b->q[i] - 1);
}

/* ---- floats of four bits: E2M1, doubled (OCP Microscaling Formats 1.0) ---- */

static const int8_t e2m1[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };

/* Half of 2^(e - 127), as the values are doubled; below e = 2 that is subnormal. */
static float e8m0_half(unsigned e)
{
    uint32_t u = e < 2 ? 0x00200000u << e : (e - 1) << 23;
    float f;
    memcpy(&f, &u, 4);
    return f;
}

void unpack_mxfp4(const uint8_t *s, ker_block *b)
{
    b->d = e8m0_half(s[0]);
    b->sc[0] = 1;
    for (int i = 0; i < 16; i++) {
        b->q[i] = e2m1[s[1 + i] & 15];
        b->q[i + 16] = e2m1[s[1 + i] >> 4];
    }
}

/* Half of an unsigned E4M3 (bias 7): the sign bit is not looked at, except that 0x7f is no number and taken for 0. */
static float ue4m3_half(uint8_t v)
{
    int e = v >> 3 & 15, m = v & 7;
    if (v == 0x7f) return 0;
    return e ? (float)((8 + m) << (e - 1)) * 0x1p-10f : (float)m * 0x1p-10f;
}

void unpack_nvfp4(const uint8_t *s, ker_block *b)
{
    for (int j = 0; j < 4; j++) {
        b->piece[j] = ue4m3_half(s[j]);
        b->sc[j] = 1;
        for (int i = 0; i < 8; i++) {
            b->q[16 * j + i] = e2m1[s[4 + 8 * j + i] & 15];
            b->q[16 * j + 8 + i] = e2m1[s[4 + 8 * j + i] >> 4];
        }
    }
}
