/* tests: a checked-in model written anew with something else in it: other key values, other types, other numbers. */
#ifndef QUORUM_REWRITE_H
#define QUORUM_REWRITE_H
#include "engine/file/gguf.h"
#include "kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct rewrite {
    const gguf_file *from;
    int type;                              /* of matrices whose rows are whole blocks; -1: as they are */
    const char *skip;                      /* a key that is left out, or NULL */
    void (*more)(gguf_writer *w);          /* keys beside, or NULL */
    /* Changes the numbers of a tensor before they are encoded, or its bytes after (bytes != NULL); or NULL. */
    void (*touch)(void *user, const char *name, float *x, int64_t n, unsigned char *bytes, int type);
    void *user;
    bool joined;                           /* gate and up of routed experts in one tensor, an expert's gate before its up; not with touch */
} rewrite;

typedef struct rewrite_one { const rewrite *r; const gguf_tensor *t, *up /* of a joined one */; int type; char name[96]; } rewrite_one;

static inline int rewrite_fill(void *user, void *dst, size_t bytes, char *err)
{
    const rewrite_one *one = user;
    int64_t n = 1;
    (void)err;
    for (int i = 0; i < one->t->n_dims; i++) n *= one->t->ne[i];
    if (!one->r->touch && one->type == one->t->type) { memcpy(dst, one->t->data, bytes); return Q_OK; }
    float *x = malloc(sizeof *x * (size_t)n);
    ker_type_get(one->t->type)->decode(one->t->data, x, n);
    if (one->r->touch) one->r->touch(one->r->user, one->name, x, n, NULL, one->type);
    ker_type_get(one->type)->encode(x, dst, n);
    free(x);
    if (one->r->touch) one->r->touch(one->r->user, one->name, NULL, (int64_t)bytes, dst, one->type);
    return Q_OK;
}

static inline int rewrite_joined(void *user, void *dst, size_t bytes, char *err)
{
    const rewrite_one *one = user;
    const gguf_tensor *half[2] = { one->t, one->up };
    int64_t n = one->t->ne[0] * one->t->ne[1];
    float *x = malloc(sizeof *x * (size_t)n);
    (void)err;
    for (int64_t e = 0; e < one->t->ne[2]; e++)
        for (int i = 0; i < 2; i++) {
            size_t from = half[i]->bytes / (size_t)one->t->ne[2], to = bytes / (size_t)one->t->ne[2] / 2;
            ker_type_get(half[i]->type)->decode((const char *)half[i]->data + (size_t)e * from, x, n);
            ker_type_get(one->type)->encode(x, (char *)dst + ((size_t)e * 2 + (size_t)i) * to, n);
        }
    free(x);
    return Q_OK;
}

/* The tensor of the same layer with another ending; NULL: none. */
static inline const gguf_tensor *rewrite_beside(const gguf_file *f, const char *name, const char *ending, const char *other)
{
    const char *at = strstr(name, ending);
    char *wanted = at ? q_printf("%.*s%s", (int)(at - name), name, other) : NULL;
    const gguf_tensor *t = wanted ? gguf_tensor_find(f, wanted) : NULL;
    free(wanted);
    return t;
}

static inline int rewrite_model(const rewrite *r, const char *to, char *err)
{
    gguf_writer *w = gguf_writer_new();
    rewrite_one *all = calloc((size_t)gguf_n_tensors(r->from), sizeof *all);
    for (int i = 0; i < gguf_n_kv(r->from); i++) {
        const gguf_kv *kv = gguf_kv_at(r->from, i);
        char *key = q_strndup(kv->key.p, kv->key.n);
        if (!r->skip || strcmp(key, r->skip) != 0) gguf_put_kv(w, key, kv);
        free(key);
    }
    if (r->more) r->more(w);
    for (int i = 0; i < gguf_n_tensors(r->from); i++) {
        const gguf_tensor *t = gguf_tensor_at(r->from, i);
        const ker_type *type = r->type >= 0 ? ker_type_get(r->type) : NULL;
        bool other = type && t->n_dims > 1 && t->ne[0] % type->block == 0;
        all[i] = (rewrite_one){ .r = r, .t = t, .type = other ? r->type : t->type };
        snprintf(all[i].name, sizeof all[i].name, "%.*s", (int)t->name.n, t->name.p);
        if (r->joined && rewrite_beside(r->from, all[i].name, "ffn_up_exps.weight", "ffn_gate_exps.weight")) continue;
        all[i].up = r->joined ? rewrite_beside(r->from, all[i].name, "ffn_gate_exps.weight", "ffn_up_exps.weight") : NULL;
        int64_t ne[4] = { t->ne[0], t->ne[1] * (all[i].up ? 2 : 1), t->ne[2], t->ne[3] };
        if (all[i].up) strcpy(strstr(all[i].name, "ffn_gate_exps"), "ffn_gate_up_exps.weight");
        gguf_put_tensor(w, all[i].name, all[i].type, t->n_dims, ne, all[i].up ? rewrite_joined : rewrite_fill, &all[i]);
    }
    int rc = gguf_write(w, to, NULL, NULL, err);
    gguf_writer_free(w);
    free(all);
    return rc;
}
#endif
