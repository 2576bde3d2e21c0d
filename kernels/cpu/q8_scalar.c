/* kernels/cpu/q8_scalar: the set that the others are held to, also the one for processors without a hand-written set. See q8.h. */
#include "kernels/cpu/q8.h"

#include <math.h>

static float scalar_block(const float *x, int n, int8_t *to)
{
    float top = 0, none = 0;                       /* NaN where a number is none */
    for (int i = 0; i < n; i++) top = fabsf(x[i]) > top ? fabsf(x[i]) : top, none += x[i] * 0;
    float scale = top / 127 + none, inv = scale > 0 ? 1 / scale : 0;
    for (int i = 0; i < n; i++) {
        float r = rintf(x[i] * inv);
        to[i] = (int8_t)(none != none || r != r ? 0 : r > 127 ? 127 : r < -127 ? -127 : r);
    }
    return scale;
}

static void scalar_scores(q8_cells k, q8_cells next, int dim, const q8_rows *q, int n_q, float *s)
{
    int blocks = q8_blocks(dim);
    (void)next;
    for (int i = 0; i < n_q; i++)
        for (int b = 0; b < blocks; b++) {
            int32_t sum[Q8_CELLS] = { 0 };
            for (int d = b * Q8_BLOCK; d < (b + 1) * Q8_BLOCK && d < dim; d++)
                for (int c = 0; c < Q8_CELLS; c++) sum[c] += q->q[(int64_t)i * dim + d] * k.x[q8_at_k(d, c)];
            for (int c = 0; c < Q8_CELLS; c++)
                s[i * Q8_CELLS + c] = fmaf(k.scale[b * Q8_CELLS + c] * q->scale[i * blocks + b], (float)sum[c], b ? s[i * Q8_CELLS + c] : 0);
        }
}

static void scalar_values(q8_cells v, q8_cells next, int dim, int n_cells, const int16_t *w, const float *shrink, const float *factor,
                          float *const *acc, int n_q)
{
    (void)next;
    for (int b = 0; b < q8_blocks(dim); b++) {
        const float *of = v.scale + b * Q8_CELLS;
        float top = 0;
        int32_t r[Q8_CELLS];
        for (int c = 0; c < n_cells; c++) top = of[c] > top ? of[c] : top;
        float inv = top > 1e-30f ? Q8_SCALE / top : 0, unit = top / Q8_MOST;
        for (int c = 0; c < n_cells; c++) {
            float x = rintf(of[c] * inv);
            r[c] = x > Q8_SCALE ? Q8_SCALE : x > 0 ? (int32_t)x : 0;
        }
        for (int i = 0; i < n_q; i++) {
            int32_t sum[Q8_BLOCK] = { 0 };
            int first = b * Q8_BLOCK, n = dim - first < Q8_BLOCK ? dim - first : Q8_BLOCK;
            for (int c = 0; c < n_cells; c++) {
                int32_t u = (((w[i * Q8_CELLS + c] * r[c] + (1 << 14)) >> 15) + 64) >> 7;
                for (int d = 0; d < n; d++) sum[d] += u * v.x[q8_at_v(dim, first + d, c)];
            }
            float g = factor[i] * unit;
            for (int d = 0; d < n; d++) acc[i][first + d] = fmaf(g, (float)sum[d], acc[i][first + d] * shrink[i]);
        }
    }
}

const q8_ops q8_scalar = { scalar_block, scalar_scores, scalar_values };
