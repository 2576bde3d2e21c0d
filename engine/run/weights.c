/* engine/run/weights: see weights.h. */
#include "engine/run/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void shape_words(char *out, size_t n, const int64_t *ne, int dims)
{
    size_t at = 0;
    out[0] = 0;
    for (int i = 0; i < dims && at < n; i++)
        at += (size_t)snprintf(out + at, n - at, "%s%lld", i ? " x " : "", (long long)ne[i]);
}

/* ---- where a role's rows lie ---- */

/* The rows of `role` inside a tensor that holds those of several roles; false: t is no such tensor. */
static bool inside(const eng_model *m, const arch_slice *s, enum ker_role role, int layer, const gguf_tensor *t, weight_view *v)
{
    int64_t before = 0, all = 0, ne[3];
    int rows = v->n_dims > 1 ? 1 : 0;                      /* which dimension is shared out */
    for (int i = 0; i < s->n; i++) {
        ker_role_shape(&m->ker, layer, s->role[i], ne);
        if (s->role[i] == role)
            before = all;
        all += ne[rows];
    }
    for (int i = 0; i < 4; i++)
        if (t->ne[i] != (i == rows ? all : i < 3 ? v->ne[i] : 1))
            return false;
    const ker_type *type = ker_type_get(t->type);
    if (!type || !type->weight || (rows == 0 && (before % type->block || v->ne[0] % type->block)))
        return false;
    int64_t row = ker_row_bytes(t->type, t->ne[0]);
    v->data = (const uint8_t *)t->data + (rows ? before * row : ker_row_bytes(t->type, before));
    v->stride = v->ne[2] > 1 ? all * row : 0;
    v->bytes = (size_t)(rows ? v->ne[1] * row + v->stride * (v->ne[2] - 1) : ker_row_bytes(t->type, v->ne[0]));
    v->type = t->type;
    return true;
}

/* The tensor's name is also that of one of its roles alone (ffn_up): that it is there says nothing of the others. */
static bool one_of(const arch *a, const arch_slice *s, int layer)
{
    char name[128], own[128];
    snprintf(name, sizeof name, "blk.%d.%s", layer, s->tensor);
    for (int i = 0; i < s->n; i++) {
        arch_tensor_name(a, s->role[i], layer, own, sizeof own);
        if (strcmp(own, name) == 0) return true;
    }
    return false;
}

/* There is a tensor for several roles, none of the role's own, and `inside` did not take it: why. */
static int refuse_shared(const eng_model *m, const arch_slice *s, int layer, const gguf_tensor *t, const weight_view *v, char *err)
{
    char name[128], want[64], got[64];
    int64_t all = 0, ne[3] = { 1, 1, 1 };
    int rows = v->n_dims > 1 ? 1 : 0;
    for (int i = 0; i < s->n; i++) {
        ker_role_shape(&m->ker, layer, s->role[i], ne);
        all += ne[rows];
    }
    ne[rows] = all;
    shape_words(want, sizeof want, ne, v->n_dims);
    shape_words(got, sizeof got, t->ne, t->n_dims);
    snprintf(name, sizeof name, "blk.%d.%s", layer, s->tensor);
    if (strcmp(want, got) != 0)
        return q_fail(err, Q_FORMAT, _("%s: the tensor %s is %s, expected %s"), m->path, name, got, want);
    const ker_type *type = ker_type_get(t->type);
    return q_fail(err, Q_FORMAT, _("%s: the tensor %s is of type %s, which cannot be a weight"), m->path, name, type && type->name ? type->name : "?");
}

/* ---- latent attention's older files: K_B and V_B of each head in one tensor ---- */

/* attn_kv_b's rows are, head by head, nope rows of K and then those of V, each as wide as the latent. V_B is read where it lies;
 * K_B is wanted the other way round, so it is made. False: there is no such tensor, or not of that shape. */
static bool in_kv_b(const eng_model *m, enum ker_role role, int layer, weight_view *v)
{
    const ker_latent *t = &m->ker.latent;
    int64_t head = t->nope + t->v;
    if (role != KER_W_K_B && role != KER_W_V_B)
        return false;
    snprintf(v->name, sizeof v->name, "blk.%d.attn_kv_b.weight", layer);
    const gguf_tensor *kv = gguf_tensor_find(m->file, v->name);
    const ker_type *type = kv ? ker_type_get(kv->type) : NULL;
    if (!type || !type->weight || kv->ne[0] != t->kv_rank || kv->ne[1] != head * m->ker.n_head || kv->ne[2] != 1 || kv->ne[3] != 1)
        return false;
    int64_t row = ker_row_bytes(kv->type, t->kv_rank);
    v->type = kv->type;
    if (role == KER_W_V_B) {
        v->data = (const uint8_t *)kv->data + t->nope * row;
        v->stride = head * row;
        v->bytes = (size_t)(t->v * row + v->stride * (m->ker.n_head - 1));
        return true;
    }
    v->data = NULL;
    v->across = kv;
    if (type->block > 1)                                           /* blocks do not turn: their numbers become halves */
        v->type = KER_F16;
    v->bytes = (size_t)(ker_row_bytes(v->type, t->nope) * t->kv_rank * m->ker.n_head);
    return true;
}

/* K_B [n_head][kv_rank][nope] from attn_kv_b [n_head][nope + v][kv_rank]. */
void *weight_turned(const eng_model *m, const weight_view *v)
{
    const ker_latent *t = &m->ker.latent;
    const gguf_tensor *kv = v->across;
    const ker_type *type = ker_type_get(kv->type);
    int64_t row = ker_row_bytes(kv->type, t->kv_rank), size = ker_row_bytes(v->type, 1);
    uint8_t *out = q_alloc(v->bytes), *at = NULL;
    float *f = q_alloc(sizeof(float) * (size_t)t->kv_rank);
    for (int64_t h = 0; h < m->ker.n_head; h++)
        for (int64_t i = 0; i < t->nope; i++) {
            const uint8_t *from = (const uint8_t *)kv->data + (h * (t->nope + t->v) + i) * row;
            if (type->block > 1) type->decode(from, f, t->kv_rank);
            for (int64_t l = 0; l < t->kv_rank; l++) {
                at = out + ((h * t->kv_rank + l) * t->nope + i) * size;
                if (type->block == 1) memcpy(at, from + l * size, (size_t)size);
                else memcpy(at, &(uint16_t){ ker_f32_to_f16(f[l]) }, sizeof(uint16_t));
            }
        }
    free(f);
    return out;
}

int weight_find(const eng_model *m, enum ker_role role, int layer, weight_view *v, char *err)
{
    char want[64], got[64];
    enum arch_need need = arch_needs(m->arch, role);
    if (need == ARCH_NO || !ker_role_here(&m->ker, layer, role))
        return Q_NOTFOUND;
    v->n_dims = ker_role_shape(&m->ker, layer, role, v->ne);
    v->across = NULL;
    v->stride = 0;
    const arch_slice *s = layer >= 0 ? arch_slice_of(role) : NULL;
    const gguf_tensor *shared = NULL;
    if (s) {
        snprintf(v->name, sizeof v->name, "blk.%d.%s", layer, s->tensor);
        shared = gguf_tensor_find(m->file, v->name);
        if (shared && inside(m, s, role, layer, shared, v))
            return 0;
    }
    arch_tensor_name(m->arch, role, layer, v->name, sizeof v->name);
    const gguf_tensor *t = gguf_tensor_find(m->file, v->name);
    if (!t && in_kv_b(m, role, layer, v))
        return 0;
    if (!t && shared && need != ARCH_MAY && !one_of(m->arch, s, layer))
        return refuse_shared(m, s, layer, shared, v, err);
    if (!t)
        return need == ARCH_MAY ? Q_NOTFOUND : q_fail(err, Q_FORMAT, _("%s: the tensor %s is missing: the file is not a complete %s model"), m->path, v->name, m->arch->name);
    for (int i = 0; i < 4; i++)
        if (t->ne[i] != (i < 3 ? v->ne[i] : 1)) {
            shape_words(want, sizeof want, v->ne, v->n_dims);
            shape_words(got, sizeof got, t->ne, t->n_dims);
            return q_fail(err, Q_FORMAT, _("%s: the tensor %s is %s, expected %s"), m->path, v->name, got, want);
        }
    const ker_type *type = ker_type_get(t->type);
    if (!type || !type->name || !type->weight)
        return q_fail(err, Q_FORMAT, _("%s: the tensor %s is of type %s, which cannot be a weight"), m->path, v->name, type && type->name ? type->name : "?");
    if (v->n_dims == 1 && t->type != KER_F32 && v->ne[0] % type->block)
        return q_fail(err, Q_FORMAT, _("%s: the tensor %s has %lld numbers, not a multiple of %s's block of %d"), m->path, v->name, (long long)v->ne[0], type->name, type->block);
    v->type = t->type;
    v->data = t->data;
    v->bytes = t->bytes;
    return 0;
}

uint64_t weights_made(const eng_model *m)
{
    uint64_t bytes = 0;
    weight_view v;
    char ignored[Q_ERRLEN];
    for (int i = 0; i < m->ker.n_layer; i++)
        if (m->layers[i].mixer == KER_MIX_MLA && weight_find(m, KER_W_K_B, i, &v, ignored) == 0 && v.across)
            bytes += v.bytes;
    return bytes + (m->next.there ? bytes / (uint64_t)m->ker.n_layer : 0);     /* and the drafting head's layer */
}

/* ---- to the device ---- */

static void count_bytes(eng_model *m, enum ker_role role, int layer, const weight_view *v)
{
    uint64_t rows = (uint64_t)(v->ne[1] * v->ne[2]), n = rows * (uint64_t)v->ne[0];
    uint64_t bytes = v->stride ? (uint64_t)ker_row_bytes(v->type, v->ne[0]) * rows : v->bytes;
    if (layer < 0) {
        bool tied = role == KER_W_EMBD && !gguf_tensor_find(m->file, "output.weight");
        if (role != KER_W_EMBD || tied) {
            m->head.bytes += bytes;
            m->head.params += n;
        }
        return;
    }
    model_bytes *b = &m->bytes[layer];
    if (ker_role_of_experts(role)) {
        b->expert += bytes / (uint64_t)m->ker.n_expert;
        if (role == KER_W_GATE_EXPS || role == KER_W_UP_EXPS)
            b->expert_row += bytes / rows;
        b->expert_params += n / (uint64_t)m->ker.n_expert;
    } else {
        b->always += bytes;
        if (role == KER_W_GATE || role == KER_W_UP || role == KER_W_GATE_SH || role == KER_W_UP_SH)
            b->row += bytes / rows;
        b->always_params += n;
    }
}

/* p lives as long as the model. */
static void *keep(eng_model *m, void *p)
{
    m->converted.p = q_realloc(m->converted.p, sizeof *m->converted.p * (size_t)(m->converted.n + 1));
    return m->converted.p[m->converted.n++] = p;
}

int weight_add(eng_model *m, enum ker_role role, int layer, char *err)
{
    weight_view v;
    int rc = weight_find(m, role, layer, &v, err);
    if (rc)
        return rc == Q_NOTFOUND ? 0 : rc;
    ker_weight w = { .type = v.type, .ne = { v.ne[0], v.ne[1], v.ne[2] }, .data = v.data, .bytes = v.bytes, .stride = v.stride };
    void *turned = v.across ? weight_turned(m, &v) : NULL;
    if (turned)
        w.data = turned;
    if (m->on.ondisk && layer >= 0 && ker_role_get(role)->ne[2] == KER_DIM_EXPERT)
        w.data = NULL;                                             /* comes when it is chosen */
    if (v.n_dims == 1 && v.type != KER_F32) {                      /* vectors are used as they are: F32 */
        float *f = keep(m, q_alloc(sizeof(float) * (size_t)v.ne[0]));
        ker_type_get(v.type)->decode(v.data, f, v.ne[0]);
        w = (ker_weight){ .type = KER_F32, .ne = { v.ne[0], 1, 1 }, .data = f, .bytes = sizeof(float) * (size_t)v.ne[0] };
    }
    count_bytes(m, role, layer, &v);
    char why[Q_ERRLEN];
    rc = m->on.be->weight(m->on.dev, layer, role, &w, why);
    if (m->on.be != ker_cpu())
        free(turned);                                              /* a GPU has copied it */
    else if (turned)
        keep(m, turned);
    return rc ? q_fail(err, rc, "%s: %s: %s", m->path, v.name, why) : 0;
}
