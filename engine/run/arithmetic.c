/* engine/run/arithmetic: the model as arithmetic sees it, for whoever computes beside the engine (engine/adapter.h): its description, rows of
 * its weights as floats, and a configuration as a backend gets it. Any thread: nothing is changed. */
#include "engine/adapter.h"
#include "engine/run/config.h"
#include "engine/run/model.h"
#include "engine/run/weights.h"

#include <stdlib.h>
#include <string.h>

const ker_model *eng_model_arithmetic(const eng_model *m) { return &m->ker; }

/* Row l of head h of K_B where the file has it the other way round, as one column of attn_kv_b: through halves where the loader makes
 * it so (engine/run/weights.c). */
static void across_row(const eng_model *m, const weight_view *v, int h, int64_t l, float *dst)
{
    const ker_latent *t = &m->ker.latent;
    const gguf_tensor *kv = v->across;
    const ker_type *type = ker_type_get(kv->type);
    int64_t row = ker_row_bytes(kv->type, t->kv_rank);
    float *f = q_alloc(sizeof *f * (size_t)t->kv_rank);
    for (int64_t i = 0; i < t->nope; i++) {
        type->decode((const uint8_t *)kv->data + (h * (int64_t)(t->nope + t->v) + i) * row, f, t->kv_rank);
        dst[i] = type->block > 1 ? ker_f16_to_f32(ker_f32_to_f16(f[l])) : f[l];
    }
    free(f);
}

int eng_model_rows(const eng_model *m, int layer, enum ker_role role, int e, int64_t first, int64_t n, float *dst, char *err)
{
    weight_view v;
    const ker_role_row *r = ker_role_get(role);
    if (!r || m->vocab_only || layer < -1 || layer >= m->ker.n_layer)
        return q_fail(err, Q_NOTFOUND, _("%s: there is no such place in layer %d"), m->path, layer);
    int rc = weight_find(m, role, layer, &v, err);
    if (rc == Q_NOTFOUND)
        return q_fail(err, rc, _("%s: there is no such place in layer %d: %s"), m->path, layer, _(r->name));
    if (rc) return rc;
    int64_t rows = v.n_dims > 1 ? v.ne[1] : 1, mats = v.n_dims > 2 ? v.ne[2] : 1;
    if (e < 0 || e >= mats || first < 0 || n < 0 || first > rows || n > rows - first)
        return q_fail(err, Q_RANGE, _("%s: there are %lld rows of %lld matrices in layer %d: %s"), m->path, (long long)rows, (long long)mats, layer, _(r->name));
    int64_t bytes = v.across ? 0 : ker_row_bytes(v.type, v.ne[0]), stride = v.stride ? v.stride : rows * bytes;
    const ker_type *type = ker_type_get(v.type);
    for (int64_t i = 0; i < n; i++)
        if (v.across) across_row(m, &v, e, first + i, dst + i * v.ne[0]);
        else type->decode((const uint8_t *)v.data + e * stride + (first + i) * bytes, dst + i * v.ne[0], v.ne[0]);
    return Q_OK;
}

int eng_config_arithmetic(const eng_config *c, eng_arithmetic *out, char *err)
{
    if (c->m->vocab_only) return q_fail(err, Q_RANGE, _("%s holds no weights: it is a vocabulary only"), c->m->path);
    config_ker *own = q_alloc(sizeof *own);
    config_ker_build(c, own);
    *out = (eng_arithmetic){ .c = &own->k, .own = own };
    return Q_OK;
}

void eng_config_arithmetic_free(eng_arithmetic *a)
{
    if (!a || !a->own) return;
    config_ker_free(a->own);
    free(a->own);
    *a = (eng_arithmetic){ 0 };
}
