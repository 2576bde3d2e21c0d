/* engine/make/carve: cuts a dense llama GGUF into shared and routed experts by a recipe, as a glm4moe GGUF.
 * No weight is changed: rows are gathered whole, only ffn_down is decoded and encoded again as Q8_0.
 * Owns nothing beyond one call; any thread. It never accepts a source with another sha256 unless forced.
 *
 * The selection rule s_e = W_e y + b_e is written for glm4moe (sigmoid gate, selection bias) as
 * R = 1e-3 W, c = 1e-3 b / 4, weights scale 2: sigmoid(x) = 1/2 + x/4 + O(x^3), so the choice is that of s
 * and the weights are 1 within |R y| / 2. quorum.router_scale tells quorum to route by s itself. */
#include "engine/models.h"
#include "engine/file/gguf.h"
#include "kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const float router_scale = 1e-3f, bias_scale = (float)(1e-3 / 4), weights_scale = 2.0f;

typedef struct carve carve;

/* One tensor of the result: where its numbers come from. */
typedef struct piece {
    carve *c;
    const gguf_tensor *from;
    const int32_t *rows;      /* gather: source row of each new row; down: source neuron of each new place */
    int64_t n;                /* rows, neurons of an expert, or values */
    int64_t groups;           /* down: experts                         */
    float scale;
} piece;

struct carve {
    gguf_file *src, *rec;
    gguf_writer *w;
    int64_t n_layer, n_embd, n_ff, n_head, n_kv, d_head, n_vocab;
    int64_t n_shared, n_expert, expert, n_used, lead;
    bool *used;               /* [tensors of src]: each must have been taken, else meaning would be lost */
    int32_t *q_rows, *k_rows; /* evens first, then odds, per head */
    int32_t **perm;           /* [n_layer][n_ff] */
    piece **piece;
    size_t n_piece, cap;
    float *row;               /* [n_ff] scratch */
};

static piece *piece_new(carve *c, piece p)
{
    if (c->n_piece == c->cap) {
        c->cap = c->cap ? 2 * c->cap : 256;
        c->piece = q_realloc(c->piece, c->cap * sizeof *c->piece);
    }
    piece *q = q_alloc(sizeof *q);
    *q = p;
    q->c = c;
    return c->piece[c->n_piece++] = q;
}

/* ---- fills ---- */
static int fill_copy(void *user, void *dst, size_t bytes, char *err)
{
    const piece *p = user;
    memcpy(dst, p->from->data, bytes);
    return Q_OK;
}

static int fill_zero(void *user, void *dst, size_t bytes, char *err)
{
    memset(dst, 0, bytes);
    return Q_OK;
}

static int fill_rows(void *user, void *dst, size_t bytes, char *err)
{
    const piece *p = user;
    size_t row = (size_t)ker_row_bytes(p->from->type, p->from->ne[0]);
    for (int64_t i = 0; i < p->n; i++)
        memcpy((char *)dst + (size_t)i * row, (const char *)p->from->data + (size_t)p->rows[i] * row, row);
    return Q_OK;
}

static int fill_scaled(void *user, void *dst, size_t bytes, char *err)
{
    const piece *p = user;
    float *out = dst;
    ker_type_get(p->from->type)->decode(p->from->data, out, p->n);
    for (int64_t i = 0; i < p->n; i++) out[i] *= p->scale;
    return Q_OK;
}

/* Neurons are columns of ffn_down: [n_ff, n_embd] -> [n, n_embd, groups]. */
static int fill_down(void *user, void *dst, size_t bytes, char *err)
{
    const piece *p = user;
    const carve *c = p->c;
    const ker_type *in = ker_type_get(p->from->type), *out = ker_type_get(KER_Q8_0);
    size_t in_row = (size_t)ker_row_bytes(p->from->type, c->n_ff), out_row = (size_t)ker_row_bytes(KER_Q8_0, p->n);
    float *gathered = q_alloc((size_t)p->n * sizeof *gathered);
    for (int64_t r = 0; r < c->n_embd; r++) {
        in->decode((const char *)p->from->data + (size_t)r * in_row, c->row, c->n_ff);
        for (int64_t g = 0; g < p->groups; g++) {
            for (int64_t j = 0; j < p->n; j++) gathered[j] = c->row[p->rows[g * p->n + j]];
            out->encode(gathered, (char *)dst + (size_t)(g * c->n_embd + r) * out_row, p->n);
        }
    }
    free(gathered);
    return Q_OK;
}

/* ---- reading ---- */
static int count_of(const gguf_file *f, const char *key, int64_t min, int64_t max, int64_t *out, char *err)
{
    uint64_t v;
    if (!gguf_u64(f, key, &v)) return q_fail(err, Q_FORMAT, _("%s has no number %s"), gguf_path(f), key);
    if (v < (uint64_t)min || v > (uint64_t)max)
        return q_fail(err, Q_FORMAT, _("%s: %s = %llu is out of range"), gguf_path(f), key, (unsigned long long)v);
    *out = (int64_t)v;
    return Q_OK;
}

static int arch_is(const gguf_file *f, const char *arch, const char *what, char *err)
{
    gguf_str s = {"", 0};
    gguf_string(f, "general.architecture", &s);
    if (s.n == strlen(arch) && memcmp(s.p, arch, s.n) == 0) return Q_OK;
    return q_fail(err, Q_FORMAT, _("%s is not %s: its architecture is \"%.*s\", expected \"%s\""), gguf_path(f), what,
                  (int)(s.n > 64 ? 64 : s.n), s.p, arch);
}

/* The tensor NAME of f with the given shape; its type must be one that can be decoded. */
static const gguf_tensor *tensor_of(const gguf_file *f, const char *name, int64_t ne0, int64_t ne1, char *err)
{
    const gguf_tensor *t = gguf_tensor_find(f, name);
    if (!t) {
        q_fail(err, Q_FORMAT, _("%s has no tensor %s"), gguf_path(f), name);
        return NULL;
    }
    if (t->ne[0] != ne0 || t->ne[1] != ne1 || t->ne[2] != 1 || t->ne[3] != 1) {
        q_fail(err, Q_FORMAT, _("%s: the tensor %s is %lld x %lld, expected %lld x %lld"), gguf_path(f), name,
               (long long)t->ne[0], (long long)t->ne[1], (long long)ne0, (long long)ne1);
        return NULL;
    }
    return t;
}

static const gguf_tensor *take(carve *c, const char *name, int64_t ne0, int64_t ne1, char *err)
{
    const gguf_tensor *t = tensor_of(c->src, name, ne0, ne1, err);
    for (int i = 0; t && i < gguf_n_tensors(c->src); i++)
        if (gguf_tensor_at(c->src, i) == t) c->used[i] = true;
    return t;
}

static int read_shape(carve *c, char *err)
{
    enum { MAX_LAYERS = 1000, MAX_WIDTH = 1 << 20 };
    const struct { const gguf_file *f; const char *key; int64_t min, max, *out; } keys[] = {
        {c->src, "llama.block_count", 1, MAX_LAYERS, &c->n_layer},
        {c->src, "llama.embedding_length", 1, MAX_WIDTH, &c->n_embd},
        {c->src, "llama.feed_forward_length", 1, 32767, &c->n_ff},          /* ffn_perm is I16 */
        {c->src, "llama.attention.head_count", 1, 4096, &c->n_head},
        {c->src, "llama.attention.head_count_kv", 1, 4096, &c->n_kv},
        {c->src, "llama.rope.dimension_count", 2, 4096, &c->d_head},
        {c->rec, "carve.shared_size", 0, 32767, &c->n_shared},
        {c->rec, "carve.expert_count", 1, 1024, &c->n_expert},
        {c->rec, "carve.expert_size", 1, 32767, &c->expert},
        {c->rec, "carve.expert_used_count", 1, 1024, &c->n_used},
        {c->rec, "carve.leading_dense", 0, MAX_LAYERS, &c->lead},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int rc = count_of(keys[i].f, keys[i].key, keys[i].min, keys[i].max, keys[i].out, err);
        if (rc) return rc;
    }
    int block = ker_type_get(KER_Q8_0)->block;
    if (c->n_shared + c->n_expert * c->expert != c->n_ff || c->n_shared < 1 || c->n_shared % c->expert || c->expert % block ||
        c->n_used > c->n_expert || c->lead > c->n_layer)
        return q_fail(err, Q_FORMAT, _("the recipe %s does not fit: %lld shared + %lld experts of %lld neurons against %lld in the model"),
                      gguf_path(c->rec), (long long)c->n_shared, (long long)c->n_expert, (long long)c->expert, (long long)c->n_ff);
    if (c->d_head % 2) return q_fail(err, Q_FORMAT, _("%s: rotated dimensions must be even"), gguf_path(c->src));
    return Q_OK;
}

/* llama rotates the pairs (2i, 2i+1), glm4moe (i, i + d/2). */
static int32_t *half_order(int64_t heads, int64_t d)
{
    int32_t *rows = q_alloc((size_t)(heads * d) * sizeof *rows);
    for (int64_t h = 0; h < heads; h++)
        for (int64_t i = 0; i < d / 2; i++) {
            rows[h * d + i] = (int32_t)(h * d + 2 * i);
            rows[h * d + d / 2 + i] = (int32_t)(h * d + 2 * i + 1);
        }
    return rows;
}

static int32_t *read_perm(carve *c, int64_t layer, char *err)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%lld.ffn_perm", (long long)layer);
    const gguf_tensor *t = tensor_of(c->rec, name, c->n_ff, 1, err);
    if (!t) return NULL;
    int32_t *perm = q_alloc((size_t)c->n_ff * sizeof *perm);
    bool *seen = q_alloc((size_t)c->n_ff), ok = t->type == KER_I16;
    for (int64_t i = 0; ok && i < c->n_ff; i++) {
        int16_t v;
        memcpy(&v, (const char *)t->data + 2 * i, sizeof v);
        ok = v >= 0 && v < c->n_ff && !seen[v];
        if (ok) seen[v] = true;
        perm[i] = v;
    }
    free(seen);
    if (ok) return c->perm[layer] = perm;
    free(perm);
    q_fail(err, Q_FORMAT, _("%s: %s is not an order of %lld neurons"), gguf_path(c->rec), name, (long long)c->n_ff);
    return NULL;
}

/* ---- declaring ---- */
/* What the result says itself; a key that stands there twice would make a file that nobody opens. */
static bool ours(const char *key)
{
    static const char *const begin[] = {"general.architecture", "general.name", "general.file_type", "general.alignment", "llama.expert_",
                                        "llama.leading_dense_block_count", "glm4moe.", "quorum."};
    for (size_t i = 0; i < sizeof begin / sizeof *begin; i++)
        if (strncmp(key, begin[i], strlen(begin[i])) == 0) return true;
    return false;
}

static void put_meta(carve *c)
{
    gguf_put_str(c->w, "general.architecture", "glm4moe");
    for (int i = 0; i < gguf_n_kv(c->src); i++) {
        const gguf_kv *kv = gguf_kv_at(c->src, i);
        char *key = q_strndup(kv->key.p, kv->key.n);
        bool skip = ours(key) || strlen(key) < kv->key.n;
        if (!skip && strncmp(key, "llama.", 6) == 0) {
            char *renamed = q_printf("glm4moe.%s", key + 6);
            gguf_put_kv(c->w, renamed, kv);
            free(renamed);
        } else if (!skip) gguf_put_kv(c->w, key, kv);
        free(key);
    }
    gguf_str base = {"model", 5};
    gguf_string(c->rec, "carve.source.name", &base);
    char *name = q_printf("%.*s carved %lld+%lldx%lld", (int)(base.n > 200 ? 200 : base.n), base.p, (long long)c->n_shared,
                          (long long)c->n_expert, (long long)c->expert);
    gguf_put_str(c->w, "general.name", name);
    free(name);
    gguf_put_u32(c->w, "glm4moe.expert_count", (uint32_t)c->n_expert);
    gguf_put_u32(c->w, "glm4moe.expert_used_count", (uint32_t)c->n_used);
    gguf_put_u32(c->w, "glm4moe.expert_feed_forward_length", (uint32_t)c->expert);
    gguf_put_u32(c->w, "glm4moe.expert_shared_count", (uint32_t)(c->n_shared / c->expert));
    gguf_put_f32(c->w, "glm4moe.expert_weights_scale", weights_scale);
    gguf_put_bool(c->w, "glm4moe.expert_weights_norm", false);
    gguf_put_u32(c->w, "glm4moe.expert_gating_func", 2);              /* sigmoid */
    gguf_put_u32(c->w, "glm4moe.leading_dense_block_count", (uint32_t)c->lead);
    gguf_put_f32(c->w, "quorum.router_scale", router_scale);
}

static int put_copy(carve *c, const char *name, const char *from, int64_t ne0, int64_t ne1, char *err)
{
    const gguf_tensor *t = take(c, from, ne0, ne1, err);
    if (!t) return Q_FORMAT;
    gguf_put_tensor(c->w, name, t->type, t->n_dims, t->ne, fill_copy, piece_new(c, (piece){.from = t}));
    return Q_OK;
}

/* Rows of a [ne0, source rows] tensor, as [ne0, n] or [ne0, n / groups, groups]. */
static void put_rows(carve *c, const char *name, const gguf_tensor *t, const int32_t *rows, int64_t n, int64_t groups)
{
    int64_t ne[3] = {t->ne[0], n / groups, groups};
    gguf_put_tensor(c->w, name, t->type, groups > 1 ? 3 : 2, ne, fill_rows, piece_new(c, (piece){.from = t, .rows = rows, .n = n}));
}

static int put_attention(carve *c, int64_t layer, char *err)
{
    char name[96];
    const int64_t kv = c->n_kv * c->d_head, q = c->n_head * c->d_head;
#define BLK(suffix) (snprintf(name, sizeof name, "blk.%lld." suffix, (long long)layer), name)
    if (put_copy(c, BLK("attn_norm.weight"), name, c->n_embd, 1, err)) return Q_FORMAT;
    const gguf_tensor *t = take(c, BLK("attn_q.weight"), c->n_embd, q, err);
    if (!t) return Q_FORMAT;
    put_rows(c, name, t, c->q_rows, q, 1);
    if (!(t = take(c, BLK("attn_k.weight"), c->n_embd, kv, err))) return Q_FORMAT;
    put_rows(c, name, t, c->k_rows, kv, 1);
    if (put_copy(c, BLK("attn_v.weight"), name, c->n_embd, kv, err)) return Q_FORMAT;
    if (put_copy(c, BLK("attn_output.weight"), name, q, c->n_embd, err)) return Q_FORMAT;
    /* glm4moe has these biases and llama has not: zeros. */
    gguf_put_tensor(c->w, BLK("attn_q.bias"), KER_F32, 1, &q, fill_zero, NULL);
    gguf_put_tensor(c->w, BLK("attn_k.bias"), KER_F32, 1, &kv, fill_zero, NULL);
    gguf_put_tensor(c->w, BLK("attn_v.bias"), KER_F32, 1, &kv, fill_zero, NULL);
    char norm[96];
    snprintf(norm, sizeof norm, "blk.%lld.ffn_norm.weight", (long long)layer);
    return put_copy(c, BLK("post_attention_norm.weight"), norm, c->n_embd, 1, err);
}

static int put_dense(carve *c, int64_t layer, char *err)
{
    char name[96];
    if (put_copy(c, BLK("ffn_gate.weight"), name, c->n_embd, c->n_ff, err)) return Q_FORMAT;
    if (put_copy(c, BLK("ffn_up.weight"), name, c->n_embd, c->n_ff, err)) return Q_FORMAT;
    return put_copy(c, BLK("ffn_down.weight"), name, c->n_ff, c->n_embd, err);
}

static int put_routed(carve *c, int64_t layer, char *err)
{
    char name[96];
    const int32_t *perm = read_perm(c, layer, err);
    if (!perm) return Q_FORMAT;
    const int32_t *routed = perm + c->n_shared;
    const int64_t n_routed = c->n_ff - c->n_shared;

    const gguf_tensor *t = tensor_of(c->rec, BLK("ffn_gate_inp.weight"), c->n_embd, c->n_expert, err);
    if (!t) return Q_FORMAT;
    const gguf_tensor *b = tensor_of(c->rec, BLK("exp_probs_b.bias"), c->n_expert, 1, err);
    if (!b) return Q_FORMAT;
    if (!ker_type_get(t->type)->decode || !ker_type_get(b->type)->decode)
        return q_fail(err, Q_FORMAT, _("%s: the router of layer %lld is not of a floating-point type"), gguf_path(c->rec), (long long)layer);
    gguf_put_tensor(c->w, BLK("ffn_gate_inp.weight"), KER_F32, 2, t->ne, fill_scaled,
                    piece_new(c, (piece){.from = t, .n = c->n_embd * c->n_expert, .scale = router_scale}));
    gguf_put_tensor(c->w, BLK("exp_probs_b.bias"), KER_F32, 1, b->ne, fill_scaled,
                    piece_new(c, (piece){.from = b, .n = c->n_expert, .scale = bias_scale}));

    static const char *const halves[] = {"gate", "up"};
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "blk.%lld.ffn_%s.weight", (long long)layer, halves[i]);
        if (!(t = take(c, name, c->n_embd, c->n_ff, err))) return Q_FORMAT;
        snprintf(name, sizeof name, "blk.%lld.ffn_%s_shexp.weight", (long long)layer, halves[i]);
        put_rows(c, name, t, perm, c->n_shared, 1);
        snprintf(name, sizeof name, "blk.%lld.ffn_%s_exps.weight", (long long)layer, halves[i]);
        put_rows(c, name, t, routed, n_routed, c->n_expert);
    }
    if (!(t = take(c, BLK("ffn_down.weight"), c->n_ff, c->n_embd, err))) return Q_FORMAT;
    if (!ker_type_get(t->type)->decode)
        return q_fail(err, Q_FORMAT, _("%s: %s is of type %s, which cannot be decoded"), gguf_path(c->src), name, ker_type_get(t->type)->name);
    const int64_t shared_ne[2] = {c->n_shared, c->n_embd}, expert_ne[3] = {c->expert, c->n_embd, c->n_expert};
    gguf_put_tensor(c->w, BLK("ffn_down_shexp.weight"), KER_Q8_0, 2, shared_ne, fill_down,
                    piece_new(c, (piece){.from = t, .rows = perm, .n = c->n_shared, .groups = 1}));
    gguf_put_tensor(c->w, BLK("ffn_down_exps.weight"), KER_Q8_0, 3, expert_ne, fill_down,
                    piece_new(c, (piece){.from = t, .rows = routed, .n = c->expert, .groups = c->n_expert}));
    return Q_OK;
#undef BLK
}

static int put_all(carve *c, char *err)
{
    int rc = read_shape(c, err);
    if (rc) return rc;
    const gguf_tensor *embd = gguf_tensor_find(c->src, "token_embd.weight");
    c->n_vocab = embd ? embd->ne[1] : 0;
    c->used = q_alloc((size_t)gguf_n_tensors(c->src) + 1);
    c->perm = q_alloc((size_t)c->n_layer * sizeof *c->perm);
    c->row = q_alloc((size_t)c->n_ff * sizeof *c->row);
    c->q_rows = half_order(c->n_head, c->d_head);
    c->k_rows = half_order(c->n_kv, c->d_head);

    put_meta(c);
    if ((rc = put_copy(c, "token_embd.weight", "token_embd.weight", c->n_embd, c->n_vocab, err))) return rc;
    if ((rc = put_copy(c, "output_norm.weight", "output_norm.weight", c->n_embd, 1, err))) return rc;
    if (gguf_tensor_find(c->src, "output.weight") &&
        (rc = put_copy(c, "output.weight", "output.weight", c->n_embd, c->n_vocab, err))) return rc;
    for (int64_t i = 0; i < c->n_layer; i++) {
        if ((rc = put_attention(c, i, err))) return rc;
        if ((rc = i < c->lead ? put_dense(c, i, err) : put_routed(c, i, err))) return rc;
    }
    for (int i = 0; i < gguf_n_tensors(c->src); i++)
        if (!c->used[i]) {
            const gguf_tensor *t = gguf_tensor_at(c->src, i);
            return q_fail(err, Q_FORMAT, _("%s cannot be carved: carving does not know its tensor %.*s"), gguf_path(c->src),
                          (int)(t->name.n > 80 ? 80 : t->name.n), t->name.p);
        }
    return Q_OK;
}

static int check_source(carve *c, const char *in, char *err)
{
    gguf_str want = {"", 0};
    char hex[65];
    if (!gguf_string(c->rec, "carve.source.sha256", &want) || want.n != 64)
        return q_fail(err, Q_FORMAT, _("the recipe %s does not name its source's sha256; use --force to carve all the same"), gguf_path(c->rec));
    int rc = q_sha256_file(in, hex, err);
    if (rc) return rc;
    if (memcmp(hex, want.p, 64) != 0)
        return q_fail(err, Q_FORMAT, _("%s is not the file this recipe is for: its sha256 is %s, expected %.64s (use --force to carve all the same)"),
                      in, hex, want.p);
    return Q_OK;
}

int eng_carve(const char *in, const char *recipe, const char *out, bool force,
              void (*progress)(void *user, uint64_t done, uint64_t total), void *user, char *err)
{
    carve c = {0};
    int rc = gguf_open(recipe, &c.rec, err);
    if (rc == Q_OK) rc = arch_is(c.rec, "carve", _("a carving recipe"), err);
    if (rc == Q_OK && !force) rc = check_source(&c, in, err);
    if (rc == Q_OK) rc = gguf_open(in, &c.src, err);
    if (rc == Q_OK) rc = arch_is(c.src, "llama", _("a dense llama model"), err);
    if (rc == Q_OK) rc = gguf_no_input(c.src, out, err);
    if (rc == Q_OK) rc = gguf_no_input(c.rec, out, err);
    if (rc == Q_OK) rc = eng_no_file(out, force, err);
    if (rc == Q_OK) {
        c.w = gguf_writer_new();
        rc = put_all(&c, err);
        if (rc == Q_OK) rc = gguf_write(c.w, out, progress, user, err);
    }
    gguf_writer_free(c.w);
    for (size_t i = 0; i < c.n_piece; i++) free(c.piece[i]);
    free(c.piece);
    for (int64_t i = 0; c.perm && i < c.n_layer; i++) free(c.perm[i]);
    free(c.perm);
    free(c.used);
    free(c.row);
    free(c.q_rows);
    free(c.k_rows);
    gguf_close(c.src);
    gguf_close(c.rec);
    return rc;
}
