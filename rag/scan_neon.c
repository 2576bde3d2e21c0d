/* rag/scan with NEON: the offset is taken off by turning the highest bit, products widened to 16 bits and added in 32. */
#include "rag/scan.h"

#include <arm_neon.h>

void rag_scan_neon(const uint8_t *row, const int8_t *q, int width, int n, int32_t *sum)
{
    const uint8x16_t high = vdupq_n_u8(128);
    for (int i = 0; i < n; i++, row += width) {
        int32x4_t a = vdupq_n_s32(0), b = a;
        for (int j = 0; j < width; j += 16) {
            int8x16_t x = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(row + j), high)), y = vld1q_s8(q + j);
            a = vpadalq_s16(a, vmull_s8(vget_low_s8(x), vget_low_s8(y)));
            b = vpadalq_s16(b, vmull_high_s8(x, y));
        }
        sum[i] = vaddvq_s32(vaddq_s32(a, b));
    }
}
