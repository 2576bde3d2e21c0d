/* kernels/table: what every backend asks of a model and every program of a backend's table. Pure functions. */
#include "kernels/kernels.h"

#include <string.h>

int ker_backend_check(const ker_backend *b, char *err)
{
    static const ker_abi here = KER_ABI_HERE;
    if (b && !memcmp(&b->abi, &here, sizeof here)) return Q_OK;
    if (!b || b->abi.number != here.number)
        return q_fail(err, Q_FORMAT, _("this backend speaks version %u of the kernels' table, this program version %u: install the one that came with the program"),
                      b ? b->abi.number : 0, here.number);
    return q_fail(err, Q_FORMAT, _("this backend was built with other headers than this program: install the one that came with the program"));
}

int ker_model_check(const ker_model *m, const ker_can *can, char *err)
{
    static const char *const mixers[] = { [KER_MIX_GQA] = N_("attention with shared heads"), [KER_MIX_MLA] = N_("latent attention (MLA)"),
                                          [KER_MIX_DELTA] = N_("linear attention (delta rule)") };
    static const char *const glus[] = { [KER_GLU_SILU] = N_("a SiLU feed-forward part"), [KER_GLU_GELU] = N_("a GELU feed-forward part"),
                                        [KER_GLU_CLAMPED] = N_("a clamped feed-forward part (gpt-oss)") };
    bool moe = false;
    for (int i = 0; i < m->n_layer; i++) moe |= m->layer[i].moe;
    if (m->n_layer < 1 || m->n_embd < 1 || m->n_vocab < 1 || m->n_head < 1 || m->n_kv_head < 1 || m->head_dim < 1
        || m->n_head % m->n_kv_head || m->rope_dim < 0 || m->rope_dim > m->head_dim || m->rope_dim % 2
        || (moe && (m->n_expert < 1 || m->n_expert >= KER_NO_EXPERT || m->n_ff_exp < 1)))
        return q_fail(err, Q_FORMAT, _("the model's shape makes no sense (layers %d, width %d, heads %d/%d of %d, experts %d): get another copy of the file"),
                      m->n_layer, m->n_embd, m->n_head, m->n_kv_head, m->head_dim, m->n_expert);
    for (int i = 0; i < m->n_layer; i++) {
        const ker_layer *l = &m->layer[i];
        const char *what = NULL;
        if ((unsigned)l->mixer > KER_MIX_DELTA || (unsigned)l->glu > KER_GLU_CLAMPED) what = N_("an unknown kind of layer");
        else if (!(can->mixers >> l->mixer & 1)) what = mixers[l->mixer];
        else if (!(can->glus >> l->glu & 1)) what = glus[l->glu];
        else if (l->window > 0 && !can->window) what = N_("a sliding window");
        else if (l->sinks && !can->sinks) what = N_("attention sinks");
        else if (l->post_norms && !can->post_norms) what = N_("norms after its parts");
        else if (l->biases & ~can->biases) what = N_("biases that are not added yet");
        else if (l->rope_set < 0 || l->rope_set >= can->rope_sets) what = N_("rotations of its own");
        if (what) return q_fail(err, Q_FORMAT, _("layer %d has %s, which is not computed yet: take another model"), i, _(what));
    }
    return Q_OK;
}
