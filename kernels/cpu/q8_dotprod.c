/* kernels/cpu/q8: the set for aarch64 with dotprod: sdot sums four products of signed bytes in each lane. */
#include "kernels/cpu/q8.h"

#include <arm_neon.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

static inline int8x16_t four(const void *p)
{
    int32_t x;
    memcpy(&x, p, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(x));
}

/* The counts are constants where these are inlined. */
static inline __attribute__((always_inline)) void scores_tile(q8_cells k, q8_cells next, int dim, const q8_rows *q, int n_q, float *s)
{
    int blocks = q8_blocks(dim);
    for (int b = 0; b < blocks; b++) {
        int first = b * Q8_BLOCK, n = dim - first < Q8_BLOCK ? dim - first : Q8_BLOCK;
        for (int c = 0; c < Q8_CELLS; c += 16) {
            const int8_t *x = k.x + q8_at_k(first, c), *y = next.x + q8_at_k(first, c);
            __builtin_prefetch(next.scale + b * Q8_CELLS + c, 0, 2);
            int32x4_t a[4][4];
            _Pragma("GCC unroll 4") for (int i = 0; i < n_q; i++)
                _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) a[i][j] = vdupq_n_s32(0);
            for (int t = 0; t < n; t += 4, x += 4 * Q8_CELLS, y += 4 * Q8_CELLS) {
                int8x16_t cell[4] = { vld1q_s8(x), vld1q_s8(x + 16), vld1q_s8(x + 32), vld1q_s8(x + 48) };
                __builtin_prefetch(y, 0, 2);
                _Pragma("GCC unroll 4") for (int i = 0; i < n_q; i++) {
                    int8x16_t w = four(q->q + (int64_t)i * dim + first + t);
                    _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) a[i][j] = vdotq_s32(a[i][j], cell[j], w);
                }
            }
            _Pragma("GCC unroll 4") for (int i = 0; i < n_q; i++)
                _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) {
                    float *to = s + i * Q8_CELLS + c + 4 * j;
                    float32x4_t f = vmulq_f32(vld1q_f32(k.scale + b * Q8_CELLS + c + 4 * j), vdupq_n_f32(q->scale[i * blocks + b]));
                    vst1q_f32(to, vfmaq_f32(b ? vld1q_f32(to) : vdupq_n_f32(0), f, vcvtq_f32_s32(a[i][j])));
                }
        }
    }
}

static void dot_scores(q8_cells k, q8_cells next, int dim, const q8_rows *q, int n_q, float *s)
{
    int i = 0;
    for (; i + 4 <= n_q; i += 4, next = k) { q8_rows r = q8_rows_from(q, i, dim); scores_tile(k, next, dim, &r, 4, s + i * Q8_CELLS); }
    for (; i < n_q; i++, next = k) { q8_rows r = q8_rows_from(q, i, dim); scores_tile(k, next, dim, &r, 1, s + i * Q8_CELLS); }
}

/* n_q queries, 16 numbers from d on. u: weights less 128, as sdot's bytes are signed; base: 128 times the sums of the cells' numbers. */
static inline __attribute__((always_inline)) void values_tile(const int8_t *v, const int8_t *next, int dim, int n_cells, int8_t (*u)[Q8_CELLS], const int32_t *base,
                                                              const float *shrink, const float *factor, float unit, float *const *acc, int n_q, int d)
{
    int32x4_t a[4][4];
    _Pragma("GCC unroll 4") for (int i = 0; i < n_q; i++)
        _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) a[i][j] = vld1q_s32(base + 4 * j);
    for (int c = 0; c < n_cells; c += 4) {
        const int8_t *x = v + q8_at_v(dim, d, c);
        int8x16_t cell[4] = { vld1q_s8(x), vld1q_s8(x + 16), vld1q_s8(x + 32), vld1q_s8(x + 48) };
        __builtin_prefetch(next + q8_at_v(dim, d, c), 0, 2);
        _Pragma("GCC unroll 4") for (int i = 0; i < n_q; i++) {
            int8x16_t w = four(u[i] + c);
            _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) a[i][j] = vdotq_s32(a[i][j], cell[j], w);
        }
    }
    _Pragma("GCC unroll 4") for (int i = 0; i < n_q; i++) {
        float32x4_t g = vdupq_n_f32(factor[i] * unit), less = vdupq_n_f32(shrink[i]);
        _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) {
            float *to = acc[i] + d + 4 * j;
            vst1q_f32(to, vfmaq_f32(vmulq_f32(vld1q_f32(to), less), g, vcvtq_f32_s32(a[i][j])));
        }
    }
}

static void base_of(const int8_t *v, int dim, int n_cells, int d, int32_t *base)
{
    int32x4_t a[4] = { vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0) };
    for (int c = 0; c < n_cells; c += 4)
        for (int j = 0; j < 4; j++) a[j] = vdotq_s32(a[j], vld1q_s8(v + q8_at_v(dim, d, c) + 16 * j), vdupq_n_s8(1));
    for (int j = 0; j < 4; j++) vst1q_s32(base + 4 * j, vshlq_n_s32(a[j], 7));
}

static void weights_of(const int16_t *w, const int16_t *r, int8_t *u)
{
    for (int c = 0; c < Q8_CELLS; c += 16) {
        uint8x8_t x[2];
        for (int j = 0; j < 2; j++) {
            int16x8_t y = vqrdmulhq_s16(vld1q_s16(w + c + 8 * j), vld1q_s16(r + c + 8 * j));
            x[j] = vmovn_u16(vreinterpretq_u16_s16(vrshrq_n_s16(y, 7)));
        }
        vst1q_s8(u + c, vreinterpretq_s8_u8(veorq_u8(vcombine_u8(x[0], x[1]), vdupq_n_u8(0x80))));
    }
}

/* The scales of a block of cells as whole numbers relative to their largest: returns their unit. */
static float scales_of(const float *scale, int n_cells, int16_t *whole)
{
    float r[Q8_CELLS] = { 0 }, top = 0;
    memcpy(r, scale, sizeof *r * (size_t)n_cells);
    for (int c = 0; c < n_cells; c++) top = r[c] > top ? r[c] : top;
    float inv = top > 1e-30f ? Q8_SCALE / top : 0;
    for (int c = 0; c < Q8_CELLS; c += 8) {        /* NaN becomes 0 */
        int16x4_t x = vqmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(r + c), inv))), y = vqmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(r + c + 4), inv)));
        vst1q_s16(whole + c, vminq_s16(vmaxq_s16(vcombine_s16(x, y), vdupq_n_s16(0)), vdupq_n_s16(Q8_SCALE)));
    }
    return top / Q8_MOST;
}

static void dot_values(q8_cells v, q8_cells next, int dim, int n_cells, const int16_t *w, const float *shrink, const float *factor,
                       float *const *acc, int n_q)
{
    for (int b = 0, first = 0; first < dim; b++, first += Q8_BLOCK) {
        q8_cells then = next;
        int16_t r[Q8_CELLS];
        int32_t base[Q8_BLOCK];
        int last = dim - first < Q8_BLOCK ? dim : first + Q8_BLOCK;
        for (int c = 0; c < Q8_CELLS; c += 16) __builtin_prefetch(next.scale + b * Q8_CELLS + c, 0, 2);
        float unit = scales_of(v.scale + b * Q8_CELLS, n_cells, r);
        for (int d = first; d < last; d += 16) base_of(v.x, dim, n_cells, d, base + d - first);
        for (int i = 0, n; i < n_q; i += n, then = v) {
            int8_t u[4][Q8_CELLS];
            n = n_q - i < 4 ? 1 : 4;
            for (int j = 0; j < n; j++) weights_of(w + (i + j) * Q8_CELLS, r, u[j]);
            for (int d = first; d < last; d += 16) {
                if (n == 4) values_tile(v.x, then.x, dim, n_cells, u, base + d - first, shrink + i, factor + i, unit, acc + i, 4, d);
                else values_tile(v.x, then.x, dim, n_cells, u, base + d - first, shrink + i, factor + i, unit, acc + i, 1, d);
            }
        }
    }
}

/* Not vmaxq_f32, which makes a NaN of either. */
static float dot_block(const float *x, int n, int8_t *to)
{
    float32x4_t m = vdupq_n_f32(0), none = m;
    float lane[4], top = 0;
    for (int i = 0; i < n; i += 4) {
        float32x4_t y = vld1q_f32(x + i), a = vabsq_f32(y);
        m = vbslq_f32(vcgtq_f32(a, m), a, m);
        none = vaddq_f32(none, vmulq_n_f32(y, 0));
    }
    bool all = vminvq_u32(vceqq_f32(none, none)) != 0;
    vst1q_f32(lane, m);
    for (int i = 0; i < 4; i++) top = lane[i] > top ? lane[i] : top;
    float scale = all ? top / 127 : NAN, inv = scale > 0 ? 1 / scale : 0;
    for (int i = 0; i < n; i += 8) {               /* NaN becomes 0 */
        int32x4_t a = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + i), inv)), b = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + i + 4), inv));
        int16x8_t w = vcombine_s16(vqmovn_s32(a), vqmovn_s32(b));
        vst1_s8(to + i, vmovn_s16(all ? vmaxq_s16(vminq_s16(w, vdupq_n_s16(127)), vdupq_n_s16(-127)) : vdupq_n_s16(0)));
    }
    return scale;
}

const q8_ops q8_dotprod = { dot_block, dot_scores, dot_values };
