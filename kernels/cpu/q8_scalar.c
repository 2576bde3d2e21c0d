/* kernels/cpu/q8_scalar: the set that the others are held to, also the one for processors without a hand-written set. See q8.h. */
#include "kernels/cpu/q8.h"

#include <math.h>

static float scalar_block(const float *x, int n, int8_t *to)
{
    float top = 0;
    for (int i = 0; i < n; i++) top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    float scale = top / 127, inv = scale > 0 ? 1 / scale : 0;
    for (int i = 0; i < n; i++) {
        float r = rintf(x[i] * inv);
        to[i] = (int8_t)(r > 127 ? 127 : r < -127 ? -127 : r == r ? r : 0);
    }
    return scale;
}

static void scalar_scores(const int8_t *k, const float *scale, const int8_t *next, int dim, const q8_rows *q, int n_q, float *s)
{
    int blocks = q8_blocks(dim);
    (void)next;
    for (int i = 0; i < n_q; i++)
        for (int b = 0; b < blocks; b++) {
            int32_t sum[Q8_CELLS] = { 0 };
            for (int d = b * Q8_BLOCK; d < (b + 1) * Q8_BLOCK && d < dim; d++)
                for (int c = 0; c < Q8_CELLS; c++) sum[c] += q->q[(int64_t)i * dim + d] * k[q8_at_k(d, c)];
            for (int c = 0; c < Q8_CELLS; c++)
                s[i * Q8_CELLS + c] = fmaf(scale[b * Q8_CELLS + c] * q->scale[i * blocks + b], (float)sum[c], b ? s[i * Q8_CELLS + c] : 0);
        }
}

static void scalar_values(const int8_t *v, const float *scale, const int8_t *next, int dim, int n_cells, const float *p, const float *shrink,
                          const float *factor, float *const *acc, int n_q)
{
    (void)next;
    for (int b = 0; b < q8_blocks(dim); b++) {
        const float *of = scale + b * Q8_CELLS;
        float top = 0, r[Q8_CELLS];
        for (int c = 0; c < n_cells; c++) top = of[c] > top ? of[c] : top;
        float inv = top > 1e-30f ? Q8_MOST / top : 0, unit = top / Q8_MOST;
        for (int c = 0; c < Q8_CELLS; c++) r[c] = c < n_cells ? of[c] * inv : 0;
        for (int i = 0; i < n_q; i++) {
            int32_t u[Q8_CELLS], sum[Q8_BLOCK] = { 0 };
            int first = b * Q8_BLOCK, n = dim - first < Q8_BLOCK ? dim - first : Q8_BLOCK;
            for (int c = 0; c < n_cells; c++) {
                float x = rintf(p[i * Q8_CELLS + c] * r[c]);
                u[c] = x > 0 ? (int32_t)x : 0;
            }
            for (int c = 0; c < n_cells; c++)
                for (int d = 0; d < n; d++) sum[d] += u[c] * v[q8_at_v(dim, first + d, c)];
            float g = factor[i] * unit;
            for (int d = 0; d < n; d++) acc[i][first + d] = fmaf(g, (float)sum[d], acc[i][first + d] * shrink[i]);
        }
    }
}

const q8_ops q8_scalar = { scalar_block, scalar_scores, scalar_values };
