/* engine/run/rope: rotary frequencies under a configuration. Pure functions of the configuration and the
 * model's shape; any thread. It never rotates anything: that is the backend's.
 * Formulas: YaRN (Peng et al., arXiv 2309.00071, section 3 and A.2) as transformers'
 * modeling_rope_utils.py computes them (_compute_yarn_parameters: truncated correction range,
 * attention factor 0.1 ln s + 1 on cos and sin). DeepSeek-V2's own form (modeling_deepseek.py: mscale_all_dim): cos and sin
 * keep their size, scores grow by the square of 1 + 0.1 m ln s, the file's yarn_log_multiplier being 0.1 m. */
#include "engine/run/config.h"
#include "engine/run/model.h"

#include <math.h>

/* Which dimension turns `rotations` times over the original context. */
static double correction_dim(double rotations, int dim, double theta, double original)
{
    return dim * log(original / (rotations * 2 * M_PI)) / (2 * log(theta));
}

void rope_frequencies(const eng_config *c, float *freq, float *mscale)
{
    const eng_model *m = c->m;
    const model_defaults *d = &m->defaults;
    int dim = m->ker.rope_dim, half = dim / 2, scaling = (int)c->v.scaling;
    double theta = c->v.theta, s = c->v.factor;
    double original = c->v.original;
    double low = 0, high = 1;
    *mscale = 1;
    if (scaling == SCALING_YARN) {
        low = floor(correction_dim(d->beta_fast, dim, theta, original));
        high = ceil(correction_dim(d->beta_slow, dim, theta, original));
        low = low < 0 ? 0 : low;
        high = high > dim - 1 ? dim - 1 : high;
        if (low == high)
            high += 0.001;
        *mscale = s > 1 ? (float)(0.1 * log(s) + 1) : 1;
        if (d->attn_factor > 0)
            *mscale *= (float)d->attn_factor;
        if (m->arch->latent)           /* rope_attn_scale */
            *mscale = 1;
    }
    for (int i = 0; i < half; i++) {
        double f = 1 / pow(theta, 2.0 * i / dim);
        if (m->rope_factors)           /* llama 3: the file's own divisors */
            f /= m->rope_factors[i];
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

double rope_attn_scale(const eng_config *c)
{
    const ker_model *k = &c->m->ker;
    const model_defaults *d = &c->m->defaults;
    if (!c->m->arch->latent)
        return 1 / sqrt((double)k->head_dim);
    double grown = 1;
    if ((int)c->v.scaling == SCALING_YARN && c->v.factor > 1)
        grown = (1 + d->yarn_log_mul * log(c->v.factor)) * (d->attn_factor > 0 ? d->attn_factor : 1);
    return grown * grown / sqrt((double)k->latent.nope + k->latent.rope);
}
