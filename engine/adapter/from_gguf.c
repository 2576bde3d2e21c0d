/* engine/adapter/from_gguf: adapters as llama.cpp keeps them. Keys and layout: llama.cpp, convert_lora_to_gguf.py and
 * src/llama-adapter.cpp: "<tensor>.lora_a" of ne [n_in, rank(, experts)] and "<tensor>.lora_b" of ne [rank, n_out(, experts)]; scale =
 * adapter.lora.alpha / rank, 1 where alpha is 0 or absent; of token_embd the halves are the other way round, A [rank, n_vocab] and
 * B [rank, n_embd]. A tensor that holds the rows of several roles (arch_slice) is taken apart: they share A. */
#include "engine/adapter/kinds.h"
#include "engine/file/gguf.h"
#include "engine/run/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct place { enum ker_role role[3]; int n, layer; } place;
typedef struct pair { const gguf_tensor *a, *b; char name[LOWS_NAME]; } pair;

/* ---- what a name means ---- */

static int layer_of(const char *name)
{
    int layer = -1, n = 0;
    return sscanf(name, "blk.%9d.%n", &layer, &n) == 1 && n > 0 && layer >= 0 ? layer : -1;
}

/* Several roles in one tensor of that name: where none has the name alone, or the model's shapes say that all are in it. */
static bool find_slice(const eng_model *m, const char *name, int64_t n_out, bool alone, place *p)
{
    for (int r = 0; r < KER_W_ROLES && p->layer >= 0; r++) {
        const arch_slice *s = arch_slice_of((enum ker_role)r);
        char full[LOWS_NAME];
        if (!s || !lows_role(s->role[0])) continue;
        snprintf(full, sizeof full, "blk.%d.%s", p->layer, s->tensor);
        if (strcmp(full, name) != 0) continue;
        int64_t ne[3], all = 0;
        for (int i = 0; i < s->n; i++) {
            if (!ker_role_here(&m->ker, p->layer, s->role[i])) return false;
            ker_role_shape(&m->ker, p->layer, s->role[i], ne);
            all += ne[1];
        }
        if (alone && all != n_out) return false;
        memcpy(p->role, s->role, sizeof p->role);
        p->n = s->n;
        return true;
    }
    return false;
}

static bool find_place(const arch *a, const eng_model *m, const char *name, int64_t n_out, place *p)
{
    *p = (place){ .layer = layer_of(name) };
    char own[LOWS_NAME];
    for (int r = 0; r < KER_W_ROLES && !p->n; r++) {
        if (!lows_role((enum ker_role)r) || (ker_role_get((enum ker_role)r)->where == KER_IN_MODEL) != (p->layer < 0)) continue;
        arch_tensor_name(a, (enum ker_role)r, p->layer, own, sizeof own);
        if (strcmp(own, name) == 0) *p = (place){ { (enum ker_role)r }, 1, p->layer };
    }
    place whole = *p;
    if (m && find_slice(m, name, n_out, p->n > 0, &whole)) *p = whole;
    return p->n > 0;
}

/* ---- numbers ---- */

static int decode(const eng_adapter *ad, const gguf_tensor *t, float **out, char *err)
{
    const ker_type *type = ker_type_get(t->type);
    size_t n = 1;
    for (int i = 0; i < 4; i++)
        if (t->ne[i] < 1 || __builtin_mul_overflow(n, (size_t)t->ne[i], &n))
            return q_fail(err, Q_FORMAT, _("%s: the tensor %.*s is empty: the adapter is damaged, take another copy"), ad->path, (int)t->name.n, t->name.p);
    if (!type || !type->weight || !type->decode)
        return q_fail(err, Q_FORMAT, _("%s: the tensor %.*s is of a type that is no weight: the adapter is damaged, take another copy"), ad->path, (int)t->name.n, t->name.p);
    float *f = malloc(n * sizeof *f);
    if (!f) return q_fail(err, Q_NOMEM, _("not enough memory for the adapter %s"), ad->path);
    type->decode(t->data, f, (int64_t)n);
    *out = f;
    return Q_OK;
}

/* Rows [first, first + rows) of each expert's B, and A whole. */
static int add_rows(eng_adapter *ad, const eng_model *m, const eng_low *s, const pair *p, int64_t first, int64_t all, double scale, const float *fa,
                    const float *fb, char *err)
{
    float *a, *b;
    char called[Q_ERRLEN / 2];
    snprintf(called, sizeof called, "%s: %s", ad->path, p->name);
    int rc = lows_add(ad, m, s, scale, called, &a, &b, err);
    if (rc) return rc;
    lows_take(a, fa, (size_t)s->n_expert * (size_t)s->rank * (size_t)s->n_in, s->n_expert);
    size_t part = (size_t)s->n_out * (size_t)s->rank;
    for (int e = 0; e < s->n_expert; e++) lows_take(b + (size_t)e * part, fb + ((size_t)e * (size_t)all + (size_t)first) * (size_t)s->rank, part, 1);
    return Q_OK;
}

/* The embedding's halves: a row of A belongs to a token, so it is our B; B turned is our A. */
static int add_embedding(eng_adapter *ad, const eng_model *m, eng_low s, const pair *p, double scale, const float *fa, const float *fb, char *err)
{
    s.n_in = p->b->ne[1];
    s.n_out = p->a->ne[1];
    float *turned = q_alloc(sizeof *turned * (size_t)s.n_in * (size_t)s.rank);
    for (int64_t i = 0; i < s.n_in; i++)
        for (int64_t k = 0; k < s.rank; k++) turned[k * s.n_in + i] = fb[i * s.rank + k];
    int rc = add_rows(ad, m, &s, p, 0, s.n_out, scale, turned, fa, err);
    free(turned);
    return rc;
}

static int add_pair(eng_adapter *ad, const eng_model *m, const arch *ar, const pair *p, char *err)
{
    place at;
    const gguf_tensor *a = p->a, *b = p->b;
    if (!find_place(ar, m, p->name, b->ne[1], &at))
        return q_fail(err, Q_RANGE, _("%s changes %s, which a model of architecture %s does not have or which cannot be changed: it is for another model"), ad->path, p->name, ar->name);
    bool embd = at.role[0] == KER_W_EMBD;
    int64_t rank = embd ? a->ne[0] : a->ne[1], mats = ker_role_of_experts(at.role[0]) ? b->ne[2] : 1;
    if (rank != b->ne[0])
        return q_fail(err, Q_FORMAT, _("%s: the halves of %s do not fit: A has rank %lld and B rank %lld; take another copy"), ad->path, p->name, (long long)rank, (long long)b->ne[0]);
    if (a->ne[2] != mats || b->ne[2] != mats || a->ne[3] != 1 || b->ne[3] != 1 || rank > INT32_MAX || mats > INT32_MAX)
        return q_fail(err, Q_FORMAT, _("%s: the halves of %s are for %lld and %lld experts: take another copy"), ad->path, p->name, (long long)a->ne[2], (long long)b->ne[2]);
    double scale = ad->alpha != 0 ? ad->alpha / (double)rank : 1;
    eng_low s = { .role = at.role[0], .layer = at.layer, .n_expert = (int)mats, .n_in = a->ne[0], .n_out = b->ne[1], .rank = (int)rank };
    float *fa = NULL, *fb = NULL;
    int rc = decode(ad, a, &fa, err);
    if (!rc) rc = decode(ad, b, &fb, err);
    if (!rc && embd) rc = add_embedding(ad, m, s, p, scale, fa, fb, err);
    else if (!rc && at.n == 1) rc = add_rows(ad, m, &s, p, 0, s.n_out, scale, fa, fb, err);
    int64_t first = 0;
    for (int i = 0; !rc && at.n > 1 && i < at.n; i++) {
        int64_t ne[3];
        ker_role_shape(&m->ker, at.layer, s.role = at.role[i], ne);
        s.n_out = ne[1];
        if (first + s.n_out > b->ne[1])
            rc = q_fail(err, Q_RANGE, _("%s is for another model: %s has %lld rows there"), ad->path, p->name, (long long)b->ne[1]);
        else rc = add_rows(ad, m, &s, p, first, b->ne[1], scale, fa, fb, err);
        first += s.n_out;
    }
    if (!rc && at.n > 1 && first != b->ne[1])
        rc = q_fail(err, Q_RANGE, _("%s is for another model: %s has %lld rows there"), ad->path, p->name, (long long)b->ne[1]);
    free(fa);
    free(fb);
    return rc;
}

/* ---- keys ---- */

static char *text(const gguf_file *f, const char *key, char *otherwise)
{
    gguf_str s;
    if (!gguf_string(f, key, &s)) return otherwise;
    free(otherwise);
    return q_utf8_clean(s.p, s.n);
}

static int keys(eng_adapter *ad, const gguf_file *f, const arch **a, char *err)
{
    char *kind = text(f, "general.type", q_strdup("")), *type = text(f, "adapter.type", q_strdup("lora")), *id = text(f, "quorum.adapter.base", q_strdup(""));
    int rc = Q_OK;
    ad->arch = text(f, "general.architecture", ad->arch);
    ad->name = text(f, "general.name", ad->name);
    ad->base = text(f, "general.base_model.0.name", text(f, "general.base_model.0.repo_url", ad->base));
    ad->note = text(f, "quorum.adapter.provenance", ad->note);
    ad->base_id = strtoull(id, NULL, 16);
    if (!gguf_f64(f, "adapter.lora.alpha", &ad->alpha)) ad->alpha = 0;
    *a = arch_find(ad->arch, strlen(ad->arch));
    if (strcmp(kind, "adapter") != 0)
        rc = q_fail(err, Q_RANGE, _("%s is no adapter: it is a file of kind \"%.40s\"; name a GGUF whose general.type is adapter, or a PEFT folder"), ad->path, *kind ? kind : "model");
    else if (strcmp(type, "lora") != 0)
        rc = q_fail(err, Q_RANGE, _("%s is an adapter of kind \"%.40s\", which is not computed: only LoRA is"), ad->path, type);
    else if (gguf_find(f, "adapter.alora.invocation_tokens"))
        rc = q_fail(err, Q_RANGE, _("%s is an activated LoRA (aLoRA), which acts behind certain tokens only and is not computed: take a plain LoRA"), ad->path);
    else if (!*a) {
        char *known = arch_known();
        rc = q_fail(err, Q_RANGE, _("%s is for a model of architecture \"%.60s\", which quorum does not know; it knows %s"), ad->path, ad->arch, known);
        free(known);
    }
    free(kind);
    free(type);
    free(id);
    return rc;
}

/* ---- the file ---- */

static const char *const HALF[2] = { ".lora_a", ".lora_b" };

/* Which half the tensor is, and the name of what it changes; -1: neither. */
static int half_of(const gguf_tensor *t, char name[LOWS_NAME])
{
    for (int h = 0; h < 2; h++) {
        size_t n = strlen(HALF[h]);
        if (t->name.n <= n || t->name.n - n >= LOWS_NAME || memcmp(t->name.p + t->name.n - n, HALF[h], n) != 0) continue;
        memcpy(name, t->name.p, t->name.n - n);
        name[t->name.n - n] = 0;
        return h;
    }
    return -1;
}

static int one_tensor(eng_adapter *ad, const eng_model *m, const arch *a, const gguf_file *f, const gguf_tensor *t, char *err)
{
    pair p = { 0 };
    char other[LOWS_NAME + 16];
    int h = half_of(t, p.name);
    if (h < 0)
        return q_fail(err, Q_RANGE, _("%s has the tensor %.*s, which is no low-rank change: only LoRA is computed; train without changed norms, biases and embeddings"), ad->path,
                      t->name.n < 100 ? (int)t->name.n : 100, t->name.p);
    snprintf(other, sizeof other, "%s%s", p.name, HALF[!h]);
    const gguf_tensor *o = gguf_tensor_find(f, other);
    if (!o)
        return q_fail(err, Q_FORMAT, _("%s has only one half of the change of %s (%s is missing): take another copy"), ad->path, p.name, other);
    p.a = h ? o : t;
    p.b = h ? t : o;
    return h ? Q_OK : add_pair(ad, m, a, &p, err);
}

int lows_from_gguf(eng_adapter *ad, const eng_model *m, bool tied, char *err)
{
    gguf_file *f;
    const arch *a = NULL;
    int rc = gguf_open(ad->path, &f, err);
    if (rc) return rc;
    rc = keys(ad, f, &a, err);
    if (!rc && m) rc = lows_base(ad, m, tied, err);
    for (int i = 0; i < gguf_n_tensors(f) && !rc; i++)
        rc = one_tensor(ad, m, a, f, gguf_tensor_at(f, i), err);
    gguf_close(f);
    return rc;
}
