/* kernels/half: half floats (IEEE 754 binary16) from and to floats. Pure functions; any thread. */
#include "kernels/kernels.h"

#include <string.h>

static uint32_t f32_bits(float f) { uint32_t u; memcpy(&u, &f, 4); return u; }
static float bits_f32(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }

float ker_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, mag = h & 0x7fff;
    if (mag >= 0x7c00)
        return bits_f32(sign | 0x7f800000 | (mag & 0x3ff) << 13);
    if (mag >= 0x400)
        return bits_f32(sign | ((mag << 13) + (112u << 23)));
    float sub = (float)mag * 0x1p-24f;               /* subnormal: exact */
    return bits_f32(sign | f32_bits(sub));
}

uint16_t ker_f32_to_f16(float f)
{
    uint32_t u = f32_bits(f), sign = u >> 16 & 0x8000, mag = u & 0x7fffffff;
    if (mag > 0x7f800000)
        return (uint16_t)(sign | 0x7c00 | (mag >> 13 & 0x3ff) | ((mag >> 13 & 0x3ff) ? 0 : 1));
    if (mag >= 0x477ff000)                           /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00);
    if (mag < 0x38800000) {                          /* below 2^-14: adding 0.5 puts the rounding at 2^-24 */
        float r = bits_f32(mag) + 0.5f;
        return (uint16_t)(sign | (f32_bits(r) - f32_bits(0.5f)));
    }
    mag += 0xfff + (mag >> 13 & 1);                  /* to nearest even */
    return (uint16_t)(sign | (mag - (112u << 23)) >> 13);
}
