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

enum { HALF_NAN = 0x7E00, HALF_INFINITE = 0x7C00 };

/* x[n] as a block; its scale, `none` where x holds what is no number. */
static uint16_t block_put(const float *x, int n, uint16_t none, uint8_t out[BYTES])
{
    float most = 0;
    bool all = true;
    for (int i = 0; i < n; i++) all &= x[i] == x[i];
    for (int i = 0; i < n; i++) most = fabsf(x[i]) > fabsf(most) ? x[i] : most;
    uint16_t half = ker_f32_to_f16(most / -8);
    float scale = ker_f16_to_f32(half), inv = scale != 0 ? 1 / scale : 0;      /* by the scale that is kept */
    for (int i = 0; i < BYTES; i++) out[i] = (uint8_t)((i < n ? four(x[i], inv) : 8) | (i + BYTES < n ? four(x[i + BYTES], inv) : 8) << 4);
    return all ? half : none;
}

/* Byte i of a cell's blocks in K, and in V: all bytes of a cell. */
static int64_t at_k(bool fours, int i, int cell) { return fours ? ((int64_t)(i / 4) * KER_PAGE + cell) * 4 + i % 4 : (int64_t)i * KER_PAGE + cell; }
static int64_t at_v(bool fours, int all, int i, int cell) { return fours ? ((int64_t)(cell / 4) * all + i) * 4 + cell % 4 : (int64_t)cell * all + i; }

void q4_put(const ker_model *m, uint8_t *p, int cell, const float *k, const float *v)
{
    q4_page at = parts(m);
    bool fours = ker_cells_fours(m);
    uint16_t *ks = (uint16_t *)(void *)(p + at.k_scale), *vs = (uint16_t *)(void *)(p + at.v_scale);
    uint8_t one[BYTES];
    for (int b = 0; b < at.nk; b++) {
        ks[b * KER_PAGE + cell] = block_put(k + b * BLOCK, least(BLOCK, ker_cell_k(m) - b * BLOCK), HALF_NAN, one);
        for (int i = 0; i < BYTES; i++) p[at_k(fours, b * BYTES + i, cell)] = one[i];
    }
    for (int b = 0; b < at.nv; b++) {
        vs[fours ? b * KER_PAGE + cell : cell * at.nv + b] = block_put(v + b * BLOCK, least(BLOCK, ker_cell_v(m) - b * BLOCK), HALF_INFINITE, one);
        for (int i = 0; i < BYTES; i++) p[at.v + at_v(fours, at.nv * BYTES, b * BYTES + i, cell)] = one[i];
    }
}

void q4_whole(const ker_model *m, const uint8_t *p, float *room, const vec_ops *ops)
{
    enum { GROUP = 4 * KER_PAGE /* bytes: four numbers of K of all cells */, FOUR = 4 * BYTES /* half a block of V of four cells */ };
    q4_page at = parts(m);
    int dim = ker_cell_k(m);
    int8_t *k = (int8_t *)room, *v = k + (int64_t)dim * KER_PAGE, behind[GROUP], turn[KER_PAGE];
    float *k_scale = (float *)(void *)(v + (int64_t)dim * KER_PAGE), *v_scale = k_scale + (int64_t)at.nk * KER_PAGE;
    const uint16_t *ks = (const uint16_t *)(const void *)(p + at.k_scale), *vs = (const uint16_t *)(const void *)(p + at.v_scale);
    for (int b = 0; b < at.nk; b++) {
        bool high = b * BLOCK + BYTES < dim;       /* the last block may be half a one */
        int8_t *lo = k + (int64_t)b * BLOCK * KER_PAGE, *first = v + (int64_t)b * BLOCK * 4;
        const uint8_t *from = p + (int64_t)b * BYTES * KER_PAGE;
        ops->f16(ks + b * KER_PAGE, k_scale + b * KER_PAGE, KER_PAGE);
        if (high) ops->fours(from, lo, lo + BYTES * KER_PAGE, BYTES * KER_PAGE);
        else for (int g = 0; g < BYTES / 4; g++) ops->fours(from + g * GROUP, lo + g * GROUP, behind, GROUP);
        ops->signs(vs + b * KER_PAGE, turn, v_scale + b * KER_PAGE, KER_PAGE);
        if (high) ops->fours_each(p + at.v + (int64_t)b * FOUR, (int64_t)at.nv * FOUR, turn, first, first + FOUR, (int64_t)dim * 4, KER_PAGE / 4);
        else for (int c = 0; c < KER_PAGE / 4; c++)
            ops->fours_each(p + at.v + ((int64_t)c * at.nv + b) * FOUR, 0, turn + 4 * c, first + (int64_t)c * dim * 4, behind, 0, 1);
    }
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
