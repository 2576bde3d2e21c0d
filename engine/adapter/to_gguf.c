/* engine/adapter/to_gguf: adapters as llama.cpp keeps them (from_gguf.c has the layout), with the keys of its convert_lora_to_gguf.py in their
 * order, then ours: quorum.adapter.base (the hash of the model it was made for) and quorum.adapter.provenance. There is one alpha: B carries
 * what a matrix's own scale differs by from alpha / rank (rsLoRA: its root of the rank). */
#include "engine/adapter/lows.h"
#include "engine/file/gguf.h"
#include "engine/models.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct half { const low_own *o; bool b; float factor; } half;

/* What B of this matrix is multiplied by under that alpha. */
static float factor_of(const low_own *o, double alpha)
{
    double f = o->scale * o->low.rank / alpha;
    return o->low.scale == (float)(alpha / o->low.rank) ? 1 : (float)f;
}

/* The file's own, else the one under which the most matrices are written as they are. */
static double alpha_of(const eng_adapter *ad)
{
    double best = ad->alpha;
    int most = -1;
    for (int i = 0; ad->alpha == 0 && i < ad->n && most < ad->n; i++) {
        double alpha = (double)(float)(ad->own[i].scale * ad->own[i].low.rank);
        int n = 0;
        if (alpha == 0 || (i && alpha == best)) continue;
        for (int j = 0; j < ad->n; j++) n += factor_of(&ad->own[j], alpha) == 1;
        if (n > most) best = alpha;
        if (n > most) most = n;
    }
    return best == 0 ? 1 : best;
}

static int fill(void *user, void *dst, size_t bytes, char *err)
{
    (void)err;
    const half *h = user;
    const eng_low *l = &h->o->low;
    const float *from = h->b ? l->b : l->a;
    float *to = dst;
    size_t n = bytes / sizeof *to;
    if (l->role == KER_W_EMBD && h->b)                     /* our A turned is its B */
        for (int64_t i = 0; i < l->n_in; i++)
            for (int64_t k = 0; k < l->rank; k++) to[i * l->rank + k] = l->a[k * l->n_in + i] * h->factor;
    else if (l->role == KER_W_EMBD)
        memcpy(to, l->b, bytes);
    else if (h->factor == 1)
        memcpy(to, from, bytes);
    else
        for (size_t i = 0; i < n; i++) to[i] = from[i] * h->factor;
    return Q_OK;
}

static void put_keys(gguf_writer *w, const eng_adapter *ad, double alpha)
{
    gguf_put_str(w, "general.architecture", ad->arch);
    gguf_put_str(w, "general.type", "adapter");
    gguf_put_str(w, "adapter.type", "lora");
    if (*ad->name) gguf_put_str(w, "general.name", ad->name);
    if (*ad->base) {
        gguf_put_u32(w, "general.base_model.count", 1);
        gguf_put_str(w, "general.base_model.0.name", ad->base);
    }
    gguf_put_f32(w, "adapter.lora.alpha", (float)alpha);
    gguf_put_u32(w, "general.quantization_version", 2);
    if (ad->base_id) {
        char hex[24];
        snprintf(hex, sizeof hex, "%016llx", (unsigned long long)ad->base_id);
        gguf_put_str(w, "quorum.adapter.base", hex);
    }
    if (*ad->note) gguf_put_str(w, "quorum.adapter.provenance", ad->note);
}

int eng_adapter_write_gguf(const eng_adapter *ad, const char *path, bool force, char *err)
{
    int rc = q_no_folder(path, "adapter.gguf", err);
    if (!rc) rc = eng_no_file(path, force, err);
    if (rc) return rc;
    const arch *a = arch_find(ad->arch, strlen(ad->arch));
    if (!a) return q_fail(err, Q_RANGE, _("%s does not say which architecture it is for: name the base model"), ad->path);
    double alpha = alpha_of(ad);
    gguf_writer *w = gguf_writer_new();
    half *halves = q_alloc(sizeof *halves * 2 * (size_t)ad->n);
    put_keys(w, ad, alpha);
    for (int i = 0; i < ad->n; i++) {
        const low_own *o = &ad->own[i];
        const eng_low *l = &o->low;
        bool embd = l->role == KER_W_EMBD;
        int dims = ker_role_of_experts(l->role) ? 3 : 2;
        const int64_t ne_a[3] = { embd ? l->rank : l->n_in, embd ? l->n_out : l->rank, l->n_expert }, ne_b[3] = { l->rank, embd ? l->n_in : l->n_out, l->n_expert };
        char name[LOWS_NAME], full[LOWS_NAME + 16];
        arch_tensor_name(a, l->role, l->layer, name, sizeof name);
        halves[2 * i] = (half){ o, false, 1 };
        halves[2 * i + 1] = (half){ o, true, factor_of(o, alpha) };
        snprintf(full, sizeof full, "%s.lora_a", name);
        gguf_put_tensor(w, full, KER_F32, dims, ne_a, fill, &halves[2 * i]);
        snprintf(full, sizeof full, "%s.lora_b", name);
        gguf_put_tensor(w, full, KER_F32, dims, ne_b, fill, &halves[2 * i + 1]);
    }
    rc = gguf_write(w, path, NULL, NULL, err);
    gguf_writer_free(w);
    free(halves);
    return rc;
}
