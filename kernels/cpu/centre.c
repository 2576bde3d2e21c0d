/* kernels/cpu/centre: see centre.h. Turns are kept with a configuration, as they follow from its frequencies. */
#include "kernels/cpu/centre.h"

#include <math.h>

enum { LANES = 16 };

bool centre_there(const ker_ctx *c, int layer)
{
    const layer_w *w = dev_layer(c->dev, layer);
    return kv_blocks(c->kv->type) && w->vec[KER_W_BK] && !w->vec[KER_W_K_NORM];
}

/* cos and sin of one segment, as a row of ctx_att.rope has them, each times D. */
static void turn(const float *freq, float mscale, int half, int segment, float *cs)
{
    for (int i = 0; i < half; i++) {
        double f = (double)freq[i], x = f * CENTRE_CELLS / 2, d = fabs(x) < 1e-6 ? 1 : sin(x) / x, at = f * ((double)segment * CENTRE_CELLS + CENTRE_CELLS / 2);
        cs[i] = (float)(cos(at) * d * (double)mscale);
        cs[half + i] = (float)(sin(at) * d * (double)mscale);
    }
}

void centre_begin(ker_ctx *c)
{
    const ker_model *m = &c->dev->m;
    bool any = false;
    for (int l = 0; l < m->n_layer && !any; l++) any = centre_there(c, l);
    for (int r = 0; r < c->b.n && any; r++) {
        cfg *g = c->cfg[c->b.slot ? c->b.slot[r] : 0];
        int need = c->b.cell[r] / CENTRE_CELLS + 1, each = c->att.n_rope * m->rope_dim;
        if (need <= g->n_turn) continue;
        need += need / 2;
        g->turn = q_realloc(g->turn, sizeof *g->turn * (size_t)need * (size_t)each);
        for (int s = g->n_turn; s < need; s++)
            for (int set = 0; set < c->att.n_rope; set++)
                turn(set ? g->c.rope_local : g->c.rope_freq, set ? g->c.rope_local_mscale : g->c.rope_mscale, m->rope_dim / 2, s, g->turn + (int64_t)s * each + set * m->rope_dim);
        g->n_turn = need;
    }
}

const float *centre_turn(const ker_ctx *c, int layer, int row, int cell)
{
    const ker_model *m = &c->dev->m;
    return c->cfg[c->b.slot ? c->b.slot[row] : 0]->turn + ((int64_t)(cell / CENTRE_CELLS) * c->att.n_rope + m->layer[layer].rope_set) * m->rope_dim;
}

static float folded(const float *sum)
{
    float all = 0;
    for (int i = 0; i < LANES; i++) all += sum[i];
    return all;
}

float centre_share(const float *q, const float *centre, int n)
{
    float sum[LANES] = { 0 };
    int d = 0;
    for (; d + LANES <= n; d += LANES)
        for (int i = 0; i < LANES; i++) sum[i] += q[d + i] * centre[d + i];
    for (int i = 0; d + i < n; i++) sum[i] += q[d + i] * centre[d + i];
    return folded(sum);
}

float centre_share_whole(const int8_t *q, const float *scale, const float *centre, int n)
{
    float all = 0;
    for (int b = 0; b * Q8_BLOCK < n; b++) {
        float sum[LANES] = { 0 };
        for (int d = b * Q8_BLOCK; d < (b + 1) * Q8_BLOCK && d < n; d += LANES)
            for (int i = 0; i < LANES; i++) sum[i] += (float)q[d + i] * centre[d + i];
        all += scale[b] * folded(sum);
    }
    return all;
}
