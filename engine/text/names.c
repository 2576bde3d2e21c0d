/* engine/text/names: see names.h. One open-addressing table from a name's hash to its id. */
#include "engine/text/names.h"

#include <stdlib.h>
#include <string.h>

static uint32_t hash_of(const names *v, const char *s, size_t n) { return (uint32_t)(q_hash64(s, n, v->salt) >> 32); }

static size_t name_slot(const names *v, const char *s, size_t n, uint32_t hash)
{
    size_t i = hash & v->mask;
    for (; v->slot[i].id >= 0; i = (i + 1) & v->mask) {
        int32_t id = v->slot[i].id;
        if (v->slot[i].hash == hash && names_len(v, id) == n && memcmp(names_of(v, id), s, n) == 0) break;
    }
    return i;
}

int32_t names_find(const names *v, const char *s, size_t n) { return v->slot[name_slot(v, s, n, hash_of(v, s, n))].id; }

uint32_t names_ahead(const names *v, const char *s, size_t n)
{
    uint32_t hash = hash_of(v, s, n);
    __builtin_prefetch(&v->slot[hash & v->mask]);
    return hash;
}

int32_t names_find_hashed(const names *v, const char *s, size_t n, uint32_t hash) { return v->slot[name_slot(v, s, n, hash)].id; }

int names_check(const gguf_file *f, char *err)
{
    const gguf_kv *tok = gguf_find(f, "tokenizer.ggml.tokens");
    if (!tok || tok->type != GGUF_ARR || tok->item != GGUF_STR || tok->count == 0)
        return q_fail(err, Q_FORMAT, _("the file has no vocabulary (tokenizer.ggml.tokens); take another file of this model"));
    if (tok->count > 1 << 24) return q_fail(err, Q_FORMAT, _("a vocabulary of %llu tokens is beyond reason"), (unsigned long long)tok->count);
    return Q_OK;
}

/* Into the table, NAMES_AHEAD at a time. Of equal names the first counts. */
static void index_names(names *v)
{
    uint32_t hash[NAMES_AHEAD];
    for (int from = 0; from < v->n; from += NAMES_AHEAD) {
        int n = v->n - from < NAMES_AHEAD ? v->n - from : NAMES_AHEAD;
        for (int i = 0; i < n; i++) hash[i] = names_ahead(v, names_of(v, from + i), names_len(v, from + i));
        for (int i = 0; i < n; i++) {
            struct names_slot *s = &v->slot[name_slot(v, names_of(v, from + i), names_len(v, from + i), hash[i])];
            if (s->id < 0) *s = (struct names_slot){ hash[i], from + i };
            else v->twice = true;
        }
    }
}

static void load_names(names *v, const gguf_kv *tok)
{
    uint64_t total = 0;
    v->n = (int)tok->count;
    v->mark = q_alloc((size_t)v->n * sizeof *v->mark);
    v->salt = q_salt();
    for (uint64_t i = 0; i < tok->count; i++) total += tok->strings[i].n + 1;
    v->text = q_alloc((size_t)total);
    v->at = q_alloc(((size_t)v->n + 1) * sizeof *v->at);
    size_t cap = 64, at = 0;
    while (cap < (size_t)v->n * 2) cap *= 2;
    v->slot = q_alloc(cap * sizeof *v->slot);
    v->mask = cap - 1;
    for (size_t i = 0; i < cap; i++) v->slot[i].id = -1;
    for (int i = 0; i < v->n; i++) {
        gguf_str s = tok->strings[i];
        if (s.n) memcpy(v->text + at, s.p, s.n);
        v->at[i] = at;
        at += s.n + 1;
        v->at[i + 1] = at;
    }
    index_names(v);
}

static int load_types(names *v, const gguf_kv *kv, char *err)
{
    v->type = q_alloc((size_t)v->n);
    memset(v->type, VOCAB_NORMAL, (size_t)v->n);
    if (!kv) return Q_OK;
    double d = 0;
    if (kv->type != GGUF_ARR || kv->count != (uint64_t)v->n || !gguf_arr_f64(kv, 0, &d))
        return q_fail(err, Q_FORMAT, _("tokenizer.ggml.token_type does not fit the vocabulary of %d tokens; the file is damaged"), v->n);
    for (int i = 0; i < v->n; i++) {
        gguf_arr_f64(kv, (uint64_t)i, &d);
        if (!(d >= VOCAB_NORMAL && d <= VOCAB_BYTE))
            return q_fail(err, Q_FORMAT, _("token %d has a type that is not known (1 to 6 are)"), i);
        v->type[i] = (unsigned char)d;
    }
    return Q_OK;
}

int names_load(const gguf_file *f, names *out, char *err)
{
    int rc = names_check(f, err);
    if (rc) return rc;
    load_names(out, gguf_find(f, "tokenizer.ggml.tokens"));
    return load_types(out, gguf_find(f, "tokenizer.ggml.token_type"), err);
}

void names_free(names *v)
{
    free(v->text);
    free(v->at);
    free(v->type);
    free(v->mark);
    free(v->slot);
}
