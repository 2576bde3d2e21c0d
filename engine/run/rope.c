/* engine/run/rope: rotary frequencies under a configuration. Pure functions of the configuration and the
 * model's shape; any thread. It never rotates anything: that is the backend's.
 * Formulas: YaRN (Peng et al., arXiv 2309.00071, section 3 and A.2) as transformers'
 * modeling_rope_utils.py computes them (_compute_yarn_parameters: a correction range rounded or not,
 * attention factor 0.1 ln s + 1 on cos and sin). DeepSeek-V2's own form (modeling_deepseek.py: mscale_all_dim): cos and sin
 * keep their size, scores grow by the square of 1 + 0.1 m ln s, the file's yarn_log_multiplier being 0.1 m.
 * LongRoPE (Ding et al., arXiv 2402.13753) as there in _compute_longrope_parameters: divisors for short and for long texts,
 * attention factor sqrt(1 + ln s / ln original). Which ones act is decided by the longest context that a timeline may have,
 * as in llama.cpp: so no cell is ever rotated by other factors than those before it. */
#include "engine/run/config.h"
#include "engine/run/model.h"

#include <math.h>

/* Which dimension turns `rotations` times over the original context. */
static double correction_dim(double rotations, int dim, double theta, double original)
{
    return dim * log(original / (rotations * 2 * M_PI)) / (2 * log(theta));
}

/* YaRN: the dimensions between which frequencies of base theta go over from their own to those of a stretched context. */
static void yarn_range(const eng_config *c, double theta, double *low, double *high)
{
    const model_defaults *d = &c->m->defaults;
    int dim = c->m->ker.rope_dim;
    bool exact = c->v.yarn_range != 0;
    *low = correction_dim(d->beta_fast, dim, theta, c->v.original);
    *high = correction_dim(d->beta_slow, dim, theta, c->v.original);
    *low = fmax(exact ? *low : floor(*low), 0);
    *high = fmin(exact ? *high : ceil(*high), dim - 1);
    if (*low == *high)
        *high += 0.001;
}

bool rope_long(const eng_config *c) { return c->v.scaling == SCALING_LONGROPE && c->v.context > c->v.original; }

/* What cos and sin are multiplied by. */
static double magnitude(const eng_config *c)
{
    const model_defaults *d = &c->m->defaults;
    double s = c->v.factor, stretch = c->m->info.n_ctx_train / c->v.original;
    switch ((int)c->v.scaling) {
    case SCALING_YARN: return c->m->arch->latent ? 1 /* rope_attn_scale */ : (s > 1 ? 0.1 * log(s) + 1 : 1) * (d->attn_factor > 0 ? d->attn_factor : 1);
    case SCALING_LONGROPE: return d->attn_factor > 0 ? d->attn_factor : stretch > 1 && c->v.original > 1 ? sqrt(1 + log(stretch) / log(c->v.original)) : 1;
    default: return 1;
    }
}

static void of_base(const eng_config *c, double theta, float *freq, float *mscale)
{
    const eng_model *m = c->m;
    int dim = m->ker.rope_dim, half = dim / 2, scaling = (int)c->v.scaling;
    double s = c->v.factor, low = 0, high = 1;
    const float *divisors = scaling != SCALING_LONGROPE ? m->rope.factors : rope_long(c) ? m->rope.for_long : m->rope.for_short;
    if (scaling == SCALING_YARN)
        yarn_range(c, theta, &low, &high);
    *mscale = (float)magnitude(c);
    for (int i = 0; i < half; i++) {
        double f = 1 / pow(theta, 2.0 * i / dim);
        if (divisors)                  /* the file's own: llama 3, or longrope's */
            f /= divisors[i];
        if (scaling == SCALING_LINEAR)
            f /= s;
        if (scaling == SCALING_YARN) {
            double ramp = (i - low) / (high - low);
            ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
            f = f / s * ramp + f * (1 - ramp);
        }
        freq[i] = (float)f;
    }
}

void rope_frequencies(const eng_config *c, float *freq, float *mscale) { of_base(c, c->v.theta, freq, mscale); }

void rope_local(const eng_config *c, float *freq, float *mscale)
{
    const eng_model *m = c->m;
    int dim = m->ker.rope_dim;
    if (!m->arch->attn.local_rope) {
        of_base(c, m->defaults.local_theta, freq, mscale);
        return;
    }
    *mscale = 1;
    for (int i = 0; i < dim / 2; i++)
        freq[i] = (float)(1 / pow(m->defaults.local_theta, 2.0 * i / dim));
}

double rope_attn_scale(const eng_config *c)
{
    const ker_model *k = &c->m->ker;
    const model_defaults *d = &c->m->defaults;
    if (!c->m->arch->latent)
        return d->attn_scale;
    double grown = 1;
    if ((int)c->v.scaling == SCALING_YARN && c->v.factor > 1)
        grown = (1 + d->yarn_log_mul * log(c->v.factor)) * (d->attn_factor > 0 ? d->attn_factor : 1);
    return grown * grown / sqrt((double)k->latent.nope + k->latent.rope);
}
