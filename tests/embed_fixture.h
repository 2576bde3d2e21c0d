/* tests: a tiny embedder as a GGUF file, its weights drawn by a rule (tests/golden/embed/make.py draws the same): a piece a
 * letter from a to p, two layers, places for 512 tokens. What a test meddles with is a field. */
#ifndef QUORUM_EMBED_FIXTURE_H
#define QUORUM_EMBED_FIXTURE_H

#include "engine/file/gguf.h"
#include "kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct tiny_embedder {
    const char *arch;                  /* "bert": learned places, GELU; "nomic-bert": rotated ones, gated, one matrix for Q, K and V */
    const char *name;                  /* general.name */
    int width, heads, ff;
    int pool;                          /* pooling_type; 0: the key is left out */
    int type;                          /* of matrices in layers (KER_F32, KER_Q8_0, ...) */
    /* what is wrong with it */
    const char *without, *wide, *nan;  /* a tensor that is absent; has a row more; begins with a NaN */
    const char *key;                   /* a key of ARCH that says `value` instead */
    double value;
    bool causal;
} tiny_embedder;
static const tiny_embedder TINY_BERT = { .arch = "bert", .name = "tiny e5-", .width = 32, .heads = 2, .ff = 64, .pool = 1 };
static const tiny_embedder TINY_ODD = { .arch = "bert", .name = "odd", .width = 24, .heads = 3, .ff = 40, .pool = 1 };
static const tiny_embedder TINY_NOMIC = { .arch = "nomic-bert", .name = "nomic-embed", .width = 32, .heads = 2, .ff = 64, .pool = 1 };
enum { TINY_LAYERS = 2, TINY_PLACES = 512, TINY_PIECES = 36, TINY_ROWS = 40 /* more rows than pieces, as XLM-R's files have */ };

static inline double tiny_draw(uint64_t seed, uint64_t i)
{
    uint64_t z = seed + UINT64_C(0x9E3779B97F4A7C15) * (i + 1);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    z ^= z >> 31;
    return (double)(z >> 40) / 16777216 - .5;
}

typedef struct tiny_tensor { const tiny_embedder *t; char name[64]; int64_t n; int type; double at, scale; } tiny_tensor;

static inline int tiny_fill(void *user, void *dst, size_t bytes, char *err)
{
    const tiny_tensor *x = user;
    uint64_t seed = UINT64_C(0xcbf29ce484222325);
    for (const char *p = x->name; *p; p++) seed = (seed ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
    float *f = q_alloc(sizeof *f * (size_t)x->n);
    for (int64_t i = 0; i < x->n; i++) f[i] = (float)(x->at + x->scale * tiny_draw(seed, (uint64_t)i));
    if (x->t->nan && strcmp(x->t->nan, x->name) == 0) memset(f, 0xff, sizeof *f);
    if (x->type == KER_F32) memcpy(dst, f, bytes);
    else ker_type_get(x->type)->encode(f, dst, x->n);
    free(f);
    return 0;
}

static inline void tiny_put(gguf_writer *w, tiny_tensor **at, const tiny_embedder *t, int layer, const char *name, int64_t n0, int64_t n1, double mid, double scale)
{
    tiny_tensor *x = (*at)++;
    *x = (tiny_tensor){ .t = t, .type = KER_F32, .at = mid, .scale = scale };
    if (layer < 0) snprintf(x->name, sizeof x->name, "%s", name);
    else snprintf(x->name, sizeof x->name, "blk.%d.%s", layer, name);
    if (t->without && strcmp(t->without, x->name) == 0) return;
    if (layer >= 0 && n1 > 1) x->type = t->type;
    if (t->wide && strcmp(t->wide, x->name) == 0) n1++;
    x->n = n0 * n1;
    gguf_put_tensor(w, x->name, x->type, n1 > 1 ? 2 : 1, (int64_t[]){ n0, n1 }, tiny_fill, x);
}

static inline void tiny_keys(gguf_writer *w, const tiny_embedder *t)
{
    const struct { const char *name; double value; } keys[] = { { "block_count", TINY_LAYERS }, { "embedding_length", t->width },
        { "attention.head_count", t->heads }, { "feed_forward_length", t->ff }, { "context_length", TINY_PLACES },
        { "attention.layer_norm_epsilon", 1e-5 }, { "rope.freq_base", 1000 }, { "pooling_type", t->pool } };
    char key[96];
    gguf_put_str(w, "general.architecture", t->arch);
    gguf_put_str(w, "general.name", t->name);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        double v = t->key && strcmp(t->key, keys[i].name) == 0 ? t->value : keys[i].value;
        snprintf(key, sizeof key, "%s.%s", t->arch, keys[i].name);
        if (strcmp(keys[i].name, "pooling_type") == 0 && v == 0 && !t->key) continue;
        if (v == (uint32_t)v && i != 5) gguf_put_u32(w, key, (uint32_t)v);
        else gguf_put_f32(w, key, (float)v);
    }
    snprintf(key, sizeof key, "%s.attention.causal", t->arch);
    gguf_put_bool(w, key, t->causal);
    static char piece[TINY_PIECES][8];
    gguf_str names[TINY_PIECES];
    static const char *const special[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]" };
    for (int i = 0; i < TINY_PIECES; i++) {
        if (i < 4) snprintf(piece[i], sizeof piece[i], "%s", special[i]);
        else if (i < 20) snprintf(piece[i], sizeof piece[i], "%c", 'a' + i - 4);
        else snprintf(piece[i], sizeof piece[i], "##%c", 'a' + i - 20);
        names[i] = (gguf_str){ piece[i], strlen(piece[i]) };
    }
    gguf_put_str(w, "tokenizer.ggml.model", "bert");
    gguf_put_kv(w, "tokenizer.ggml.tokens", &(gguf_kv){ .type = GGUF_ARR, .item = GGUF_STR, .count = TINY_PIECES, .strings = names });
}

/* The file in the build folder; the caller frees the path and removes it. */
static inline char *tiny_file(const tiny_embedder *t, char *err)
{
    const char *build = getenv("BUILD");
    static int count;
    char *path = q_printf("%s/embedder-%ld-%d.gguf", build ? build : "build", (long)getpid(), count++);
    gguf_writer *w = gguf_writer_new();
    tiny_tensor all[64], *at = all;
    int d = t->width;
    bool nomic = strcmp(t->arch, "nomic-bert") == 0;
    tiny_keys(w, t);
    tiny_put(w, &at, t, -1, "token_embd.weight", d, TINY_ROWS, 0, 2);
    tiny_put(w, &at, t, -1, "token_types.weight", d, 2, 0, .5);
    if (!nomic) tiny_put(w, &at, t, -1, "position_embd.weight", d, TINY_PLACES, 0, 1);
    tiny_put(w, &at, t, -1, "token_embd_norm.weight", d, 1, 1, .5);
    tiny_put(w, &at, t, -1, "token_embd_norm.bias", d, 1, 0, .25);
    for (int l = 0; l < TINY_LAYERS; l++) {
        static const char *const qkv[] = { "attn_q", "attn_k", "attn_v", "attn_output" };
        if (nomic) {
            tiny_put(w, &at, t, l, "attn_qkv.weight", d, 3 * d, 0, 1);
            tiny_put(w, &at, t, l, "attn_output.weight", d, d, 0, .75);
            tiny_put(w, &at, t, l, "ffn_gate.weight", d, t->ff, 0, .75);
        }
        for (int i = 0; i < 4 && !nomic; i++) {
            char name[32];
            snprintf(name, sizeof name, "%s.weight", qkv[i]);
            tiny_put(w, &at, t, l, name, d, d, 0, i < 2 ? 1 : .75);
            snprintf(name, sizeof name, "%s.bias", qkv[i]);
            tiny_put(w, &at, t, l, name, d, 1, 0, .25);
        }
        tiny_put(w, &at, t, l, "attn_output_norm.weight", d, 1, 1, .5);
        tiny_put(w, &at, t, l, "attn_output_norm.bias", d, 1, 0, .25);
        tiny_put(w, &at, t, l, "ffn_up.weight", d, t->ff, 0, .75);
        tiny_put(w, &at, t, l, "ffn_down.weight", t->ff, d, 0, .75);
        if (!nomic) tiny_put(w, &at, t, l, "ffn_up.bias", t->ff, 1, 0, .25);
        if (!nomic) tiny_put(w, &at, t, l, "ffn_down.bias", d, 1, 0, .25);
        tiny_put(w, &at, t, l, "layer_output_norm.weight", d, 1, 1, .5);
        tiny_put(w, &at, t, l, "layer_output_norm.bias", d, 1, 0, .25);
    }
    int rc = gguf_write(w, path, NULL, NULL, err);
    gguf_writer_free(w);
    if (!rc) return path;
    free(path);
    return NULL;
}

#endif
