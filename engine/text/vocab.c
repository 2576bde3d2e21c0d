/* engine/text/vocab: loading a byte-level BPE vocabulary from GGUF, and the way from text to ids and back.
 * Immutable after vocab_load; any thread may use it. It never adds a token that the text does not hold,
 * and control tokens are recognised in text only where the caller says so. */
#include "engine/text/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "engine/text/bpe.h"
#include "engine/text/pretok.h"

enum { FLAG_END = 0x80, TYPE_MASK = 0x7F };

/* Added tokens sorted by their bytes, so that the longest one at a place is found by narrowing a range. */
typedef struct added { int32_t *id; size_t n; unsigned char first[256]; } added;

struct vocab {
    int n;
    char *names;                   /* every name, each followed by 0 */
    size_t *name_at;               /* [n + 1] */
    char *bytes;                   /* what each token decodes to */
    size_t *byte_at;               /* [n + 1] */
    unsigned char *flag;           /* [n] vocab_type | FLAG_END */
    struct { uint32_t hash; int32_t id; } *slot;   /* name -> id; id < 0: empty */
    size_t mask;
    int32_t byte_id[256];          /* the token of each byte, -1 where the vocabulary lacks it */
    bpe *merges;
    added user, all;               /* user: types matched in any text; all: control tokens too */
    const pretok_family *family;
    int32_t bos;
    vocab_chat chat;
};

/* ---- names ---- */
static size_t name_len(const vocab *v, int32_t id) { return v->name_at[id + 1] - v->name_at[id] - 1; }

static size_t name_slot(const vocab *v, const char *s, size_t n, uint32_t *hash)
{
    *hash = (uint32_t)(q_hash64(s, n, 1) >> 32);
    size_t i = *hash & v->mask;
    for (; v->slot[i].id >= 0; i = (i + 1) & v->mask) {
        int32_t id = v->slot[i].id;
        if (v->slot[i].hash == *hash && name_len(v, id) == n && memcmp(v->names + v->name_at[id], s, n) == 0) break;
    }
    return i;
}

static int32_t find_name(const vocab *v, const char *s, size_t n)
{
    uint32_t h;
    return v->slot[name_slot(v, s, n, &h)].id;
}

int32_t vocab_find(const vocab *v, const char *name) { return find_name(v, name, strlen(name)); }
int vocab_size(const vocab *v) { return v->n; }
int32_t vocab_bos(const vocab *v) { return v->bos; }
const vocab_chat *vocab_template(const vocab *v) { return &v->chat; }

static bool known(const vocab *v, int32_t id) { return id >= 0 && id < v->n; }
const char *vocab_name(const vocab *v, int32_t id) { return known(v, id) ? v->names + v->name_at[id] : ""; }
static int type_of(const vocab *v, int32_t id) { return v->flag[id] & TYPE_MASK; }

bool vocab_control(const vocab *v, int32_t id)
{
    return known(v, id) && (type_of(v, id) == VOCAB_CONTROL || type_of(v, id) == VOCAB_UNKNOWN || type_of(v, id) == VOCAB_UNUSED);
}
bool vocab_end(const vocab *v, int32_t id) { return known(v, id) && (v->flag[id] & FLAG_END); }

const char *vocab_bytes(const vocab *v, int32_t id, size_t *n)
{
    if (!known(v, id)) { *n = 0; return ""; }
    *n = v->byte_at[id + 1] - v->byte_at[id];
    return v->bytes + v->byte_at[id];
}

/* ---- loading ---- */
/* GPT-2's bytes_to_unicode (openai/gpt-2, encoder.py): printable Latin-1 stands for itself, the other
 * 68 bytes, in rising order, for U+0100 and on. */
static uint32_t byte_char(int b)
{
    static const unsigned char gap[][2] = {{0, 32}, {127, 160}, {173, 173}};
    uint32_t k = 0;
    for (int g = 0; g < 3; g++) {
        if (b < gap[g][0]) break;
        if (b <= gap[g][1]) return 0x100 + k + (uint32_t)(b - gap[g][0]);
        k += (uint32_t)(gap[g][1] - gap[g][0] + 1);
    }
    return (uint32_t)b;
}

static int load_names(vocab *v, const gguf_kv *tok, char *err)
{
    uint64_t total = 0;
    if (!tok || tok->type != GGUF_ARR || tok->item != GGUF_STR || tok->count == 0)
        return q_fail(err, Q_FORMAT, _("the file has no vocabulary (tokenizer.ggml.tokens); take another file of this model"));
    if (tok->count > 1 << 24) return q_fail(err, Q_FORMAT, _("a vocabulary of %llu tokens is beyond reason"), (unsigned long long)tok->count);
    v->n = (int)tok->count;
    for (uint64_t i = 0; i < tok->count; i++) total += tok->strings[i].n + 1;
    v->names = q_alloc((size_t)total);
    v->name_at = q_alloc(((size_t)v->n + 1) * sizeof *v->name_at);
    size_t cap = 64, at = 0;
    while (cap < (size_t)v->n * 2) cap *= 2;
    v->slot = q_alloc(cap * sizeof *v->slot);
    v->mask = cap - 1;
    for (size_t i = 0; i < cap; i++) v->slot[i].id = -1;
    for (int i = 0; i < v->n; i++) {
        gguf_str s = tok->strings[i];
        if (s.n) memcpy(v->names + at, s.p, s.n);
        v->name_at[i] = at;
        at += s.n + 1;
        v->name_at[i + 1] = at;
        uint32_t h;
        size_t k = name_slot(v, s.p, s.n, &h);
        if (v->slot[k].id < 0) { v->slot[k].hash = h; v->slot[k].id = i; }      /* of equal names the first counts */
    }
    return Q_OK;
}

static int load_types(vocab *v, const gguf_kv *kv, char *err)
{
    v->flag = q_alloc((size_t)v->n);
    memset(v->flag, VOCAB_NORMAL, (size_t)v->n);
    if (!kv) return Q_OK;
    double d = 0;
    if (kv->type != GGUF_ARR || kv->count != (uint64_t)v->n || !gguf_arr_f64(kv, 0, &d))
        return q_fail(err, Q_FORMAT, _("tokenizer.ggml.token_type does not fit the vocabulary of %d tokens; the file is damaged"), v->n);
    for (int i = 0; i < v->n; i++) {
        gguf_arr_f64(kv, (uint64_t)i, &d);
        if (!(d >= VOCAB_NORMAL && d <= VOCAB_BYTE))
            return q_fail(err, Q_FORMAT, _("token %d has a type that is not known (1 to 6 are)"), i);
        v->flag[i] = (unsigned char)d;
    }
    return Q_OK;
}

/* What each token decodes to. A name with a character outside the byte alphabet stands for its own UTF-8. */
static void load_bytes(vocab *v)
{
    short byte_of[0x200];                                  /* byte-level characters lie below U+0200 */
    memset(byte_of, -1, sizeof byte_of);
    for (int b = 0; b < 256; b++) {
        byte_of[byte_char(b)] = (short)b;
        char u[4];
        v->byte_id[b] = find_name(v, u, (size_t)q_utf8_put(u, byte_char(b)));
        if (v->byte_id[b] >= 0 && type_of(v, v->byte_id[b]) != VOCAB_NORMAL) v->byte_id[b] = -1;
    }
    v->bytes = q_alloc(v->name_at[v->n] + 1);
    v->byte_at = q_alloc(((size_t)v->n + 1) * sizeof *v->byte_at);
    size_t w = 0;
    for (int i = 0; i < v->n; i++) {
        v->byte_at[i] = w;
        if (vocab_control(v, i)) continue;
        const char *s = v->names + v->name_at[i];
        size_t n = name_len(v, i), start = w, k = 0;
        bool raw = type_of(v, i) != VOCAB_NORMAL;
        while (!raw && k < n) {
            uint32_t cp;
            k += (size_t)q_utf8_next(s + k, n - k, &cp);
            if (cp >= 0x200 || byte_of[cp] < 0) raw = true;
            else v->bytes[w++] = (char)byte_of[cp];
        }
        if (raw) { w = start; memcpy(v->bytes + w, s, n); w += n; }
    }
    v->byte_at[v->n] = w;
}

static int load_merges(vocab *v, const gguf_kv *kv, char *err)
{
    if (!kv || kv->type != GGUF_ARR || kv->item != GGUF_STR)
        return q_fail(err, Q_FORMAT, _("the file has no merges (tokenizer.ggml.merges); take another file of this model"));
    if (kv->count > INT32_MAX / 2) return q_fail(err, Q_FORMAT, _("tokenizer.ggml.merges is beyond reason"));
    v->merges = bpe_new((size_t)kv->count);
    q_buf both = {0};
    for (uint64_t i = 0; i < kv->count; i++) {
        gguf_str s = kv->strings[i];
        const char *gap = s.n > 2 ? memchr(s.p + 1, ' ', s.n - 2) : NULL;      /* neither side is empty */
        if (!gap) {
            q_buf_free(&both);
            return q_fail(err, Q_FORMAT, _("merge %llu is not two tokens with a space between; the file is damaged"), (unsigned long long)i);
        }
        size_t left = (size_t)(gap - s.p), right = s.n - left - 1;
        q_buf_clear(&both);
        q_buf_add(&both, s.p, left);
        q_buf_add(&both, gap + 1, right);
        int32_t a = find_name(v, s.p, left), b = find_name(v, gap + 1, right), c = find_name(v, both.p, both.len);
        /* A pair whose sides or result are no tokens can never come up or be written: trimmed vocabularies have them. */
        if (a >= 0 && b >= 0 && c >= 0) bpe_add(v->merges, a, b, (int32_t)i, c);
    }
    q_buf_free(&both);
    return Q_OK;
}

typedef struct sort_ctx { const vocab *v; } sort_ctx;
static int by_name(const void *x, const void *y, void *ctx)
{
    const vocab *v = ((const sort_ctx *)ctx)->v;
    int32_t a = *(const int32_t *)x, b = *(const int32_t *)y;
    size_t na = name_len(v, a), nb = name_len(v, b), n = na < nb ? na : nb;
    int d = memcmp(v->names + v->name_at[a], v->names + v->name_at[b], n);
    return d ? d : na != nb ? (na < nb ? -1 : 1) : (a > b) - (a < b);
}

static void load_added(vocab *v, added *out, bool control)
{
    out->id = q_alloc((size_t)v->n * sizeof *out->id);
    for (int i = 0; i < v->n; i++) {
        int t = type_of(v, i);
        if (name_len(v, i) == 0 || !(t == VOCAB_USER || (control && (t == VOCAB_CONTROL || t == VOCAB_UNKNOWN)))) continue;
        out->id[out->n++] = i;
        out->first[(unsigned char)v->names[v->name_at[i]]] = 1;
    }
    sort_ctx ctx = {v};
    qsort_r(out->id, out->n, sizeof *out->id, by_name, &ctx);
    out->id = q_realloc(out->id, (out->n + 1) * sizeof *out->id);
}

/* Tokens that end a turn in the families we know, besides those that the file's keys name. */
static void load_ends(vocab *v, const gguf_file *f)
{
    static const char *keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
    static const char *names[] = {"<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|end|>",
                                  "<end_of_turn>", "<｜end▁of▁sentence｜>"};
    uint64_t id;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (gguf_u64(f, keys[i], &id) && id < (uint64_t)v->n) v->flag[id] |= FLAG_END;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int32_t t = vocab_find(v, names[i]);
        if (t >= 0 && type_of(v, t) != VOCAB_NORMAL) v->flag[t] |= FLAG_END;
    }
}

static int load_family(vocab *v, const gguf_file *f, char *err)
{
    gguf_str s;
    if (!gguf_string(f, "tokenizer.ggml.model", &s))
        return q_fail(err, Q_FORMAT, _("the file has no tokenizer (tokenizer.ggml.model); take another file of this model"));
    char *name = q_strndup(s.p, s.n < 40 ? s.n : 40), *shown = q_utf8_clean(name, strlen(name));
    int r = Q_OK;
    if (s.n != 4 || memcmp(s.p, "gpt2", 4) != 0)
        r = q_fail(err, Q_FORMAT, _("the tokenizer \"%s\" is not supported; byte-level BPE (\"gpt2\") is"), shown);
    else if (!gguf_string(f, "tokenizer.ggml.pre", &s))
        r = q_fail(err, Q_FORMAT, _("the file does not say how it cuts text (tokenizer.ggml.pre); it is too old, take a newer conversion"));
    else if (!(v->family = pretok_find(s.p, s.n))) {
        q_buf list = {0};
        pretok_names(&list);
        free(name);
        free(shown);
        name = q_strndup(s.p, s.n < 40 ? s.n : 40);
        shown = q_utf8_clean(name, strlen(name));
        r = q_fail(err, Q_FORMAT, _("the pre-tokeniser \"%s\" is not known, wrong tokens would follow; known are: %s"), shown, list.p);
        q_buf_free(&list);
    }
    free(name);
    free(shown);
    return r;
}

int vocab_load(const gguf_file *f, vocab **out, char *err)
{
    *out = NULL;
    vocab *v = q_alloc(sizeof *v);
    int r = load_family(v, f, err);
    if (!r) r = load_names(v, gguf_find(f, "tokenizer.ggml.tokens"), err);
    if (!r) r = load_types(v, gguf_find(f, "tokenizer.ggml.token_type"), err);
    if (!r) r = load_merges(v, gguf_find(f, "tokenizer.ggml.merges"), err);
    if (r) { vocab_free(v); return r; }
    load_bytes(v);
    load_added(v, &v->user, false);
    load_added(v, &v->all, true);
    load_ends(v, f);
    bool add = v->family->bos;
    uint64_t bos;
    gguf_bool(f, "tokenizer.ggml.add_bos_token", &add);
    v->bos = add && gguf_u64(f, "tokenizer.ggml.bos_token_id", &bos) && bos < (uint64_t)v->n ? (int32_t)bos : -1;
    vocab_chat_read(f, &v->chat);
    *out = v;
    return Q_OK;
}

void vocab_free(vocab *v)
{
    if (!v) return;
    vocab_chat_free(&v->chat);
    bpe_free(v->merges);
    free(v->names);
    free(v->name_at);
    free(v->bytes);
    free(v->byte_at);
    free(v->flag);
    free(v->slot);
    free(v->user.id);
    free(v->all.id);
    free(v);
}

/* ---- text to ids ---- */
void eng_tokens_add(eng_tokens *t, int32_t id)
{
    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 64;
        t->id = q_realloc(t->id, (size_t)t->cap * sizeof *t->id);
    }
    t->id[t->n++] = id;
}

void eng_tokens_free(eng_tokens *t)
{
    free(t->id);
    *t = (eng_tokens){0};
}

typedef struct scratch { int32_t *sym; size_t cap; } scratch;

static void encode_piece(const vocab *v, const char *s, size_t n, scratch *x, eng_tokens *out)
{
    if (v->family->whole_words) {
        /* The token is looked up by its byte-level name. */
        char small[256], *name = n <= 128 ? small : q_alloc(n * 2);
        size_t w = 0;
        for (size_t i = 0; i < n; i++) w += (size_t)q_utf8_put(name + w, byte_char((unsigned char)s[i]));
        int32_t id = find_name(v, name, w);
        if (name != small) free(name);
        if (id >= 0 && type_of(v, id) == VOCAB_NORMAL) { eng_tokens_add(out, id); return; }
    }
    if (n > x->cap) x->sym = q_realloc(x->sym, (x->cap = n * 2) * sizeof *x->sym);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t id = v->byte_id[(unsigned char)s[i]];
        if (id >= 0) x->sym[k++] = id;                     /* a byte that the vocabulary lacks is left out */
    }
    k = bpe_merge(v->merges, x->sym, k);
    for (size_t i = 0; i < k; i++) eng_tokens_add(out, x->sym[i]);
}

static void encode_plain(const vocab *v, const char *s, size_t n, scratch *x, eng_tokens *out)
{
    q_buf nfc = {0};
    if (v->family->nfc && !pretok_is_nfc(s, n)) {
        pretok_nfc(s, n, &nfc);
        s = nfc.p;
        n = nfc.len;
    }
    pretok p = {v->family->kind, s, n, 0, 0};
    size_t from;
    while (pretok_next(&p, &from)) encode_piece(v, s + from, p.at - from, x, out);
    q_buf_free(&nfc);
}

/* The longest added token that text begins with, or -1. */
static int32_t added_at(const vocab *v, const added *a, const char *s, size_t n)
{
    size_t lo = 0, hi = a->n;                              /* names that agree with s so far */
    int32_t best = -1;
    for (size_t d = 0; lo < hi; d++) {
        if (name_len(v, a->id[lo]) == d && d) { best = a->id[lo]; while (lo < hi && name_len(v, a->id[lo]) == d) lo++; }
        if (d >= n) break;
        unsigned char c = (unsigned char)s[d];
        size_t l = lo, r = hi;
        while (l < r) {                                    /* first name whose byte d is >= c */
            size_t m = (l + r) / 2;
            if ((unsigned char)v->names[v->name_at[a->id[m]] + d] < c) l = m + 1; else r = m;
        }
        lo = l;
        r = hi;
        while (l < r) {                                    /* first whose byte d is > c */
            size_t m = (l + r) / 2;
            if ((unsigned char)v->names[v->name_at[a->id[m]] + d] <= c) l = m + 1; else r = m;
        }
        hi = l;
    }
    return best;
}

int vocab_tokenize(const vocab *v, const char *text, size_t n, bool special, eng_tokens *out, char *err)
{
    if (n > 1 << 29) return q_fail(err, Q_RANGE, _("a text of %zu bytes is too long to cut into tokens; give it in parts"), n);
    const added *a = special ? &v->all : &v->user;
    scratch x = {0};
    size_t done = 0;
    for (size_t i = 0; i < n && a->n;) {
        int32_t id = a->first[(unsigned char)text[i]] ? added_at(v, a, text + i, n - i) : -1;
        if (id < 0) { i++; continue; }
        encode_plain(v, text + done, i - done, &x, out);
        eng_tokens_add(out, id);
        done = i += name_len(v, id);
    }
    encode_plain(v, text + done, n - done, &x, out);
    free(x.sym);
    return Q_OK;
}

/* ---- ids to text ---- */
/* Bytes a character needs that begins like part[0..n), or 0 when no character begins so (Unicode 15, table 3-7). */
static int need(const char *part, int n)
{
    unsigned c = (unsigned char)part[0];
    int len = c < 0x80 ? 1 : c >= 0xC2 && c <= 0xDF ? 2 : c >= 0xE0 && c <= 0xEF ? 3 : c >= 0xF0 && c <= 0xF4 ? 4 : 0;
    if (n > 1 && len) {
        unsigned d = (unsigned char)part[1];
        unsigned lo = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80, hi = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
        if (d < lo || d > hi) return 0;
    }
    for (int i = 2; i < n; i++) if (((unsigned char)part[i] & 0xC0) != 0x80) return 0;
    return len;
}

static const char REPLACEMENT[] = "\xEF\xBF\xBD";

/* One byte more. What cannot be finished becomes one U+FFFD (the longest part that began a character). */
static void detok_byte(eng_detok *d, char c, q_buf *out)
{
    d->part[d->n++] = c;
    int len = need(d->part, d->n);
    if (len == d->n) { q_buf_add(out, d->part, (size_t)len); d->n = 0; return; }
    if (len) return;
    q_buf_puts(out, REPLACEMENT);
    bool again = d->n > 1;                                 /* c itself may begin a character */
    d->n = 0;
    if (again) {
        d->part[d->n++] = c;
        len = need(d->part, 1);
        if (len == 1) q_buf_putc(out, c);
        if (len == 0) q_buf_puts(out, REPLACEMENT);
        if (len <= 1) d->n = 0;
    }
}

void vocab_detok(const vocab *v, eng_detok *d, int32_t id, q_buf *out)
{
    size_t n;
    const char *s = vocab_bytes(v, id, &n);
    for (size_t i = 0; i < n; i++) detok_byte(d, s[i], out);
}

void eng_detok_end(eng_detok *d, q_buf *out)
{
    if (d->n) q_buf_puts(out, REPLACEMENT);
    d->n = 0;
}
