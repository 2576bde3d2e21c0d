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
} rewrite;

typedef struct rewrite_one { const rewrite *r; const gguf_tensor *t; int type; char name[96]; } rewrite_one;

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
        gguf_put_tensor(w, all[i].name, all[i].type, t->n_dims, t->ne, rewrite_fill, &all[i]);
    }
    int rc = gguf_write(w, to, NULL, NULL, err);
    gguf_writer_free(w);
    free(all);
    return rc;
}
#endif
