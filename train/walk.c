/* train/walk: a pass through all layers, and back: inputs of layers are kept as the pass's stride says, and made anew between. */
#include <string.h>

#include "train/pass.h"

static float *input_of(pass *p, int layer)
{
    int i = layer - p->lowest;
    return i % p->size.stride ? p->between[i % p->size.stride] : p->kept[i / p->size.stride];
}

static void embed(pass *p, int r0, int r1, void *arg)
{
    const ker_model *m = p->f->m;
    product e = { -1, KER_W_EMBD, 0, m->n_embd, m->n_vocab };
    for (int r = r0; r < r1; r++) {
        float *x = p->x + (int64_t)r * m->n_embd;
        frozen_rows(p->f, e, p->token[r], 1, x);
        for (int i = 0; m->embd_scale != 0 && i < m->n_embd; i++) x[i] *= m->embd_scale;
    }
}

int pass_forward(pass *p, bool keep)
{
    size_t bytes = sizeof(float) * (size_t)p->n * (size_t)p->f->m->n_embd;
    int rc = pass_each(p, embed, NULL);
    for (int l = 0; l < p->f->m->n_layer && !rc; l++) {
        bool here = keep && l >= p->lowest && (l - p->lowest) % p->size.stride == 0;
        if (here) memcpy(input_of(p, l), p->x, bytes);
        rc = pass_layer(p, l, p->x, p->x);
    }
    return rc ? rc : atomic_load(&p->f->broken);
}

int pass_backward(pass *p)
{
    size_t bytes = sizeof(float) * (size_t)p->n * (size_t)p->f->m->n_embd;
    int rc = Q_OK, end = p->f->m->n_layer;
    for (int i = p->n_kept - 1; i >= 0 && !rc; i--) {
        int first = p->lowest + i * p->size.stride;
        for (int l = first; l + 1 < end && !rc; l++) {                 /* the inputs between */
            memcpy(p->between[l + 1 - first], input_of(p, l), bytes);
            rc = pass_layer(p, l, p->between[l + 1 - first], p->between[l + 1 - first]);
        }
        for (int l = end - 1; l >= first && !rc; l--) {
            rc = pass_layer(p, l, input_of(p, l), NULL);
            if (!rc) rc = pass_layer_back(p, l, input_of(p, l));
        }
        end = first;
    }
    return rc ? rc : atomic_load(&p->f->broken);
}
