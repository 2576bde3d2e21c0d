/* kernels/cpu/kv_q4: see kv_q4.h. What is read back is exact: a half float times a whole number of four bits fits a float. */
#include "kernels/cpu/kv_q4.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 32, BYTES = BLOCK / 2 };

static int blocks(int width) { return (width + BLOCK - 1) / BLOCK; }
static int least(int a, int b) { return a < b ? a : b; }

/* Where the parts of a page begin. */
typedef struct q4_page { int nk, nv /* blocks */; int64_t v, k_scale, v_scale; } q4_page;

static q4_page parts(const ker_model *m)
{
    q4_page p = { .nk = blocks(ker_cell_k(m)), .nv = blocks(ker_cell_v(m)) };
    p.v = (int64_t)p.nk * BYTES * KER_PAGE;
    p.k_scale = p.v + (int64_t)p.nv * BYTES * KER_PAGE;
    p.v_scale = p.k_scale + (int64_t)p.nk * KER_PAGE * 2;
    return p;
}

static uint8_t four(float x, float inv)
{
    float r = rintf(x * inv);                      /* 0 times infinity is none and becomes zero; its scale says so */
    return (uint8_t)(8 + (int)(r > 7 ? 7 : r < -8 ? -8 : r == r ? r : 0));
}

/* x[n] as a block; its scale. */
static uint16_t block_put(const float *x, int n, uint8_t out[BYTES])
{
    float most = 0;
    for (int i = 0; i < n; i++) most = fabsf(x[i]) > fabsf(most) ? x[i] : most;
    uint16_t half = ker_f32_to_f16(most / -8);
    float scale = ker_f16_to_f32(half), inv = scale != 0 ? 1 / scale : 0;      /* by the scale that is kept */
    for (int i = 0; i < BYTES; i++) out[i] = (uint8_t)((i < n ? four(x[i], inv) : 8) | (i + BYTES < n ? four(x[i + BYTES], inv) : 8) << 4);
    return half;
}

void q4_put(const ker_model *m, uint8_t *p, int cell, const float *k, const float *v)
{
    q4_page at = parts(m);
    uint16_t *ks = (uint16_t *)(void *)(p + at.k_scale), *vs = (uint16_t *)(void *)(p + at.v_scale) + (int64_t)cell * at.nv;
    uint8_t one[BYTES], *vc = p + at.v + (int64_t)cell * at.nv * BYTES;
    for (int b = 0; b < at.nk; b++) {
        ks[b * KER_PAGE + cell] = block_put(k + b * BLOCK, least(BLOCK, ker_cell_k(m) - b * BLOCK), one);
        for (int i = 0; i < BYTES; i++) p[(b * BYTES + i) * KER_PAGE + cell] = one[i];
    }
    for (int b = 0; b < at.nv; b++) vs[b] = block_put(v + b * BLOCK, least(BLOCK, ker_cell_v(m) - b * BLOCK), vc + b * BYTES);
}

const float *q4_page_k(const ker_model *m, const uint8_t *p, float *buf, const vec_ops *ops)
{
    q4_page at = parts(m);
    int dim = ker_cell_k(m);
    float scale[KER_PAGE], behind[KER_PAGE];
    for (int b = 0; b < at.nk; b++) {
        ops->f16((const uint16_t *)(const void *)(p + at.k_scale) + b * KER_PAGE, scale, KER_PAGE);
        for (int i = 0; i < BYTES && b * BLOCK + i < dim; i++) {
            float *lo = buf + (b * BLOCK + i) * KER_PAGE;
            ops->q4(p + (b * BYTES + i) * KER_PAGE, scale, lo, b * BLOCK + BYTES + i < dim ? lo + BYTES * KER_PAGE : behind, KER_PAGE);
        }
    }
    return buf;
}

const float *q4_page_v(const ker_model *m, const uint8_t *p, int n, float *buf, const vec_ops *ops)
{
    q4_page at = parts(m);
    int dim = ker_cell_v(m), pad = (dim + 15) & ~15;
    float scale[BYTES], behind[BYTES];
    const uint16_t *vs = (const uint16_t *)(const void *)(p + at.v_scale);
    for (int c = 0; c < n; c++)
        for (int b = 0; b < at.nv; b++) {
            float *lo = buf + c * pad + b * BLOCK, s = ker_f16_to_f32(vs[c * at.nv + b]);
            for (int i = 0; i < BYTES; i++) scale[i] = s;
            ops->q4(p + at.v + ((int64_t)c * at.nv + b) * BYTES, scale, lo, b * BLOCK + BYTES < pad ? lo + BYTES : behind, BYTES);
        }
    return buf;
}
