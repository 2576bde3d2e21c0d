/* engine/text/sentence: see sentence.h. */
#include "engine/text/sentence.h"
#include "engine/text/pretok.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int sentence_check(const gguf_file *f, char *err)
{
    const gguf_kv *scores = gguf_find(f, "tokenizer.ggml.scores"), *tokens = gguf_find(f, "tokenizer.ggml.tokens");
    double d;
    if (!scores || scores->type != GGUF_ARR || !gguf_arr_f64(scores, 0, &d) || !tokens || scores->count != tokens->count)
        return q_fail(err, Q_FORMAT, _("the file has no score for each of its tokens (tokenizer.ggml.scores); take another file of this model"));
    return Q_OK;
}

int sentence_scores(const gguf_file *f, const names *nm, float **out, char *err)
{
    const gguf_kv *scores = gguf_find(f, "tokenizer.ggml.scores");
    float *score = q_alloc((size_t)nm->n * sizeof *score);
    for (int i = 0; i < nm->n; i++) {
        double d = 0;
        if (!gguf_arr_f64(scores, (uint64_t)i, &d) || !isfinite((float)d)) {
            free(score);
            return q_fail(err, Q_FORMAT, _("the score of token %d is no number; the file is damaged"), i);
        }
        score[i] = (float)d;
    }
    *out = score;
    return Q_OK;
}

/* The byte that a name like <0x0A> stands for, or -1. */
static int byte_named(const char *s, size_t n)
{
    static const char hex[] = "0123456789ABCDEF";
    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>' || !s[3] || !s[4]) return -1;
    const char *hi = strchr(hex, s[3]), *lo = strchr(hex, s[4]);
    return hi && lo ? (int)((hi - hex) << 4 | (lo - hex)) : -1;
}

static void load_unknown(sentence *v, const names *nm, const gguf_file *f)
{
    uint64_t id;
    v->unknown = -1;
    memset(v->byte_id, -1, sizeof v->byte_id);
    for (int i = nm->n - 1; i >= 0; i--) {
        if (nm->type[i] == VOCAB_UNKNOWN) v->unknown = i;
        int b = nm->type[i] == VOCAB_BYTE ? byte_named(names_of(nm, i), names_len(nm, i)) : -1;
        if (b >= 0) v->byte_id[b] = i;
    }
    if (gguf_u64(f, "tokenizer.ggml.unknown_token_id", &id) && id < (uint64_t)nm->n) v->unknown = (int32_t)id;
    v->bytes = true;
    for (int b = 0; b < 256; b++) if (v->byte_id[b] < 0) v->bytes = false;
}

int sentence_load(const gguf_file *f, const names *nm, sentence *out, char *err)
{
    const gguf_kv *map = gguf_find(f, "tokenizer.ggml.precompiled_charsmap");
    bool table = map && map->type == GGUF_ARR && (map->item == GGUF_U8 || map->item == GGUF_I8);
    int rc = charsmap_load(&out->table, table ? map->data : NULL, table ? map->bytes : 0, err);
    if (rc) return rc;
    load_unknown(out, nm, f);
    gguf_bool(f, "tokenizer.ggml.add_space_prefix", &out->prefix);
    gguf_bool(f, "tokenizer.ggml.remove_extra_whitespaces", &out->squeeze);
    return Q_OK;
}

void sentence_free(sentence *v) { charsmap_free(&v->table); }

/* ---- normalising ---- */
static void nfc(q_buf *b)
{
    if (pretok_is_nfc(b->p ? b->p : "", b->len)) return;
    q_buf out = {0};
    pretok_nfc(b->p, b->len, &out);
    q_buf_free(b);
    *b = out;
}

/* The table knows single characters and what Unicode composes, not every order of marks, nor Korean letters in a row: NFC
 * before it and after it. */
static void replaced(const sentence *v, const char *s, size_t n, q_buf *out)
{
    q_buf in = {0};
    if (!v->table.n && v->bytes) { q_buf_add(out, s, n); return; }
    for (size_t i = 0, l; i < n; i += l) {                 /* a byte that is no character becomes U+FFFD */
        uint32_t cp;
        char u[4];
        l = (size_t)q_utf8_next(s + i, n - i, &cp);
        q_buf_add(&in, u, (size_t)q_utf8_put(u, cp));
    }
    if (!v->table.n) { *out = in; return; }
    nfc(&in);
    for (size_t i = 0; i < in.len;) {
        const char *to;
        size_t l = charsmap_at(&v->table, in.p + i, in.len - i, &to);
        uint32_t cp;
        if (l) q_buf_puts(out, to);
        else q_buf_add(out, in.p + i, l = (size_t)q_utf8_next(in.p + i, in.len - i, &cp));
        i += l;
    }
    q_buf_free(&in);
    nfc(out);
}

/* Bytes of a space at the end of s, written either way. */
static size_t blank_end(const char *s, size_t n)
{
    return s[n - 1] == ' ' ? 1 : n >= SENTENCE_SPACE_N && memcmp(s + n - SENTENCE_SPACE_N, SENTENCE_SPACE, SENTENCE_SPACE_N) == 0 ? SENTENCE_SPACE_N : 0;
}

void sentence_normalise(const sentence *v, const char *s, size_t n, q_buf *out)
{
    q_buf t = {0};
    replaced(v, s, n, &t);
    size_t from = 0, end = t.len;
    while (v->squeeze && from < end && t.p[from] == ' ') from++;
    while (v->squeeze && end > from && blank_end(t.p + from, end - from)) end -= blank_end(t.p + from, end - from);
    if (from < end && v->prefix) q_buf_add(out, SENTENCE_SPACE, SENTENCE_SPACE_N);
    for (size_t i = from; i < end; i++) {
        if (t.p[i] != ' ') q_buf_putc(out, t.p[i]);
        else if (!v->squeeze || t.p[i - 1] != ' ') q_buf_add(out, SENTENCE_SPACE, SENTENCE_SPACE_N);
    }
    q_buf_free(&t);
}

size_t sentence_word(const char *s, size_t n, size_t i)
{
    bool begun = false;                                    /* something else than "▁" was met */
    while (i < n) {
        bool space = n - i >= SENTENCE_SPACE_N && memcmp(s + i, SENTENCE_SPACE, SENTENCE_SPACE_N) == 0;
        if (space && begun) break;
        begun = begun || !space;
        i += space ? SENTENCE_SPACE_N : 1;
    }
    return i;
}

/* ---- spelling ---- */
size_t sentence_decode(const names *nm, int32_t id, char *dst)
{
    const char *s = names_of(nm, id);
    size_t n = names_len(nm, id), w = 0;
    int b = nm->type[id] == VOCAB_BYTE ? byte_named(s, n) : -1;
    if (b >= 0) {
        *dst = (char)b;
        return 1;
    }
    for (size_t i = 0; i < n;) {
        bool space = n - i >= SENTENCE_SPACE_N && memcmp(s + i, SENTENCE_SPACE, SENTENCE_SPACE_N) == 0;
        dst[w++] = space ? ' ' : s[i];
        i += space ? SENTENCE_SPACE_N : 1;
    }
    return w;
}

void sentence_unknown(const sentence *v, const char *s, size_t n, bool *unknown, eng_tokens *out)
{
    if (v->bytes) {
        for (size_t i = 0; i < n; i++) eng_tokens_add(out, v->byte_id[(unsigned char)s[i]]);
        return;
    }
    if (!*unknown && v->unknown >= 0) eng_tokens_add(out, v->unknown);
    *unknown = true;
}
