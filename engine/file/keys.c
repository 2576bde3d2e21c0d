/* engine/file/keys: numbers under an architecture's keys, and a file's fingerprint. See keys.h. No state. */
#include "engine/file/keys.h"

#include <math.h>
#include <stdio.h>

bool keys_number(const gguf_file *f, const char *arch, const char *suffix, double *out)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", arch, suffix);
    return gguf_f64(f, key, out);
}

int keys_whole(const gguf_file *f, const char *path, const char *arch, const char *suffix, double otherwise, double lo, double hi, int *out, char *err)
{
    char key[128];
    double x = otherwise, y;
    snprintf(key, sizeof key, "%s.%s", arch, suffix);
    const gguf_kv *kv = gguf_find(f, key);
    if (kv && kv->type == GGUF_ARR && kv->count > 0 && gguf_arr_f64(kv, 0, &x)) {
        for (uint64_t i = 1; i < kv->count; i++)
            if (!gguf_arr_f64(kv, i, &y) || y != x)
                return q_fail(err, Q_FORMAT, _("%s: %s differs from layer to layer, which this engine does not run"), path, key);
    } else if (kv && !gguf_f64(f, key, &x)) {
        return q_fail(err, Q_FORMAT, _("%s: %s is not a number"), path, key);
    }
    if (!kv && otherwise < 0)
        return q_fail(err, Q_FORMAT, _("%s: the key %s is missing: the file is not a complete model"), path, key);
    if (!(x >= lo && x <= hi) || x != floor(x))
        return q_fail(err, Q_FORMAT, _("%s: %s is %g, expected a whole number from %.0f to %.0f"), path, key, x, lo, hi);
    *out = (int)x;
    return 0;
}

uint64_t keys_fingerprint(const gguf_file *f, uint64_t seed)
{
    uint64_t h = seed;
    for (int i = 0; i < gguf_n_kv(f); i++) {
        const gguf_kv *v = gguf_kv_at(f, i);
        h = q_hash64(v->key.p, v->key.n, h);
        if (v->type != GGUF_ARR)
            h = q_hash64(v->data, v->bytes, h);
    }
    for (int i = 0; i < gguf_n_tensors(f); i++) {
        const gguf_tensor *t = gguf_tensor_at(f, i);
        h = q_hash64(t->name.p, t->name.n, h);
        h = q_hash64(t->ne, sizeof t->ne, q_mix64(h, (uint64_t)t->type));
        /* The first bytes of each tensor tell two trainings of one shape apart; a page each, no full read. */
        if (t->data)
            h = q_hash64(t->data, t->bytes < 64 ? t->bytes : 64, h);
    }
    return h;
}
