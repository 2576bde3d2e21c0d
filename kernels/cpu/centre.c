/* kernels/cpu/centre: see centre.h. */
#include "kernels/cpu/centre.h"

#include <math.h>

enum { LANES = 16 };

bool centre_there(const ker_ctx *c, int layer)
{
    const ker_model *m = &c->dev->m;
    const layer_w *w = dev_layer(c->dev, layer);
    return kv_blocks(c->kv->type) && w->vec[KER_W_BK] && !w->vec[KER_W_K_NORM] && m->key[m->layer[layer].rope_set].freq;
}

/* cos and sin of one segment, as a row of ctx_att.rope has them, each times D. */
static void turn(const struct ker_turns *t, int half, int segment, float *cs)
{
    for (int i = 0; i < half; i++) {
        double f = (double)t->freq[i], x = f * CENTRE_CELLS / 2, d = fabs(x) < 1e-6 ? 1 : sin(x) / x, at = f * ((double)segment * CENTRE_CELLS + CENTRE_CELLS / 2);
        cs[i] = (float)(cos(at) * d * (double)t->mscale);
        cs[half + i] = (float)(sin(at) * d * (double)t->mscale);
    }
}

void centre_begin(ker_ctx *c)
{
    const ker_model *m = &c->dev->m;
    bool any = false;
    int need = 0, each = c->att.n_rope * m->rope_dim;
    for (int l = 0; l < m->n_layer && !any; l++) any = centre_there(c, l);
    for (int r = 0; r < c->b.n && any; r++)
        if (c->b.cell[r] / CENTRE_CELLS >= need) need = c->b.cell[r] / CENTRE_CELLS + 1;
    if (need <= c->att.n_turn) return;
    need += need / 2;
    c->att.turn = q_realloc(c->att.turn, sizeof *c->att.turn * (size_t)need * (size_t)each);
    for (int s = c->att.n_turn; s < need; s++)
        for (int set = 0; set < c->att.n_rope; set++)
            if (m->key[set].freq) turn(&m->key[set], m->rope_dim / 2, s, c->att.turn + (int64_t)s * each + set * m->rope_dim);
    c->att.n_turn = need;
}

const float *centre_turn(const ker_ctx *c, int layer, int cell)
{
    const ker_model *m = &c->dev->m;
    return c->att.turn + ((int64_t)(cell / CENTRE_CELLS) * c->att.n_rope + m->layer[layer].rope_set) * m->rope_dim;
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
