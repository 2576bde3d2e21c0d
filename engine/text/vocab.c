/* engine/text/vocab: a vocabulary loaded from GGUF, and the way from text to ids and back: added tokens, ends, streams of
 * bytes here, plain text by its kind (kind.h). Immutable after vocab_load; any thread may use it. It never adds a token that
 * the text does not hold, and control tokens are recognised in text only where the caller says so. */
#include "engine/text/vocab.h"
#include "engine/text/kind.h"

#include <stdlib.h>
#include <string.h>

/* Kinds that are known: a file's tokenizer.ggml.model chooses. */
static const vocab_kind *const KINDS[] = {&vocab_kind_bytelevel, &vocab_kind_spm, &vocab_kind_unigram, &vocab_kind_wordpiece};

/* Added tokens sorted by their bytes, so that the longest one at a place is found by narrowing a range. */
typedef struct added { int32_t *id; size_t n; unsigned char first[256]; } added;

struct vocab {
    names names;
    const vocab_kind *kind;
    void *own;                     /* the kind's */
    char *bytes;                   /* what each token decodes to */
    size_t *byte_at;               /* [n + 1] */
    bool *end;                     /* [n] ends a reply */
    bool prefix;                   /* a space goes before text that begins, or goes on behind an added token; decoding takes it off */
    size_t longest;                /* bytes of the longest token, at least 1 */
    added taught, all;             /* matched in any text: user-defined white space and HTML; where marks count: all added ones */
    int32_t bos, eos;              /* before and after every text, or -1 */
};

int32_t vocab_find(const vocab *v, const char *name) { return names_find(&v->names, name, strlen(name)); }
int vocab_size(const vocab *v) { return v->names.n; }
int32_t vocab_bos(const vocab *v) { return v->bos; }
int32_t vocab_eos(const vocab *v) { return v->eos; }

static bool known(const vocab *v, int32_t id) { return id >= 0 && id < v->names.n; }
const char *vocab_name(const vocab *v, int32_t id) { return known(v, id) ? names_of(&v->names, id) : ""; }
static int type_of(const vocab *v, int32_t id) { return v->names.type[id]; }
static size_t name_len(const vocab *v, int32_t id) { return names_len(&v->names, id); }

bool vocab_control(const vocab *v, int32_t id)
{
    return known(v, id) && (type_of(v, id) == VOCAB_CONTROL || type_of(v, id) == VOCAB_UNKNOWN || type_of(v, id) == VOCAB_UNUSED);
}
bool vocab_end(const vocab *v, int32_t id) { return known(v, id) && v->end[id]; }

const char *vocab_bytes(const vocab *v, int32_t id, size_t *n)
{
    if (!known(v, id)) { *n = 0; return ""; }
    *n = v->byte_at[id + 1] - v->byte_at[id];
    return v->bytes + v->byte_at[id];
}

/* ---- loading ---- */
/* What each token decodes to: nothing for control tokens, its letters for added ones, the kind's bytes for the rest. */
static void load_bytes(vocab *v)
{
    const names *nm = &v->names;
    v->bytes = q_alloc(nm->at[nm->n] + 1);
    v->byte_at = q_alloc(((size_t)nm->n + 1) * sizeof *v->byte_at);
    size_t w = 0;
    for (int i = 0; i < nm->n; i++) {
        size_t n = names_len(nm, i);
        v->byte_at[i] = w;
        if (vocab_control(v, i)) continue;
        if (type_of(v, i) == VOCAB_NORMAL || type_of(v, i) == VOCAB_BYTE) { w += v->kind->decode(v->own, nm, i, v->bytes + w); continue; }
        memcpy(v->bytes + w, names_of(nm, i), n);
        w += n;
    }
    v->byte_at[nm->n] = w;
    v->longest = 1;
    for (int i = 0; i < nm->n; i++)
        if (v->byte_at[i + 1] - v->byte_at[i] > v->longest) v->longest = v->byte_at[i + 1] - v->byte_at[i];
}

typedef struct sort_ctx { const vocab *v; } sort_ctx;
static int by_name(const void *x, const void *y, void *ctx)
{
    const vocab *v = ((const sort_ctx *)ctx)->v;
    int32_t a = *(const int32_t *)x, b = *(const int32_t *)y;
    size_t na = name_len(v, a), nb = name_len(v, b), n = na < nb ? na : nb;
    int d = memcmp(names_of(&v->names, a), names_of(&v->names, b), n);
    return d ? d : na != nb ? (na < nb ? -1 : 1) : (a > b) - (a < b);
}

enum { LONGEST = 256, LONGEST_BLANK = 64 };      /* bytes of an added token that is looked for in text */

static bool blank(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) if (!strchr(" \t\r\n", s[i]) || !s[i]) return false;
    return n > 0;
}

/* Elements of HTML that Gemma's vocabulary has tokens for (google/gemma-3, tokenizer.model), but for </s>: that is how a text ends in
 * other families, and llama.cpp takes it for an end everywhere. */
static const char *const HTML[] = {
    "table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "strong", "em", "b", "i", "u", "s", "sub",
    "sup", "code", "a", "html", "body", "img", "span", "bbox", "ul", "li", "div", "iframe", "footer",
};

static bool html(const char *s, size_t n)
{
    if (n < 3 || s[0] != '<' || s[n - 1] != '>' || (n == 4 && memcmp(s, "</s>", 4) == 0)) return false;
    size_t from = s[1] == '/' ? 2 : 1, len = n - 1 - from;
    for (size_t i = 0; i < sizeof HTML / sizeof *HTML; i++)
        if (strlen(HTML[i]) == len && memcmp(HTML[i], s + from, len) == 0) return true;
    return false;
}

/* User-defined runs of white space (Phi's, GPT-NeoX's) and HTML's elements are part of how a model was taught and can close no
 * frame: one that begins or ends texts here is none. */
static bool is_taught(const vocab *v, int32_t id)
{
    const char *s = names_of(&v->names, id);
    size_t n = name_len(v, id);
    return type_of(v, id) == VOCAB_USER && n <= LONGEST_BLANK && (blank(s, n) || (html(s, n) && !v->end[id] && id != v->bos && id != v->eos));
}

static void load_added(vocab *v, added *out, bool all)
{
    out->id = q_alloc((size_t)v->names.n * sizeof *out->id);
    for (int i = 0; i < v->names.n; i++) {
        int t = type_of(v, i);
        if (name_len(v, i) == 0 || name_len(v, i) > LONGEST) continue;
        if (all ? t != VOCAB_USER && t != VOCAB_CONTROL && t != VOCAB_UNKNOWN : !is_taught(v, i)) continue;
        out->id[out->n++] = i;
        out->first[(unsigned char)*names_of(&v->names, i)] = 1;
    }
    sort_ctx ctx = {v};
    qsort_r(out->id, out->n, sizeof *out->id, by_name, &ctx);
    out->id = q_realloc(out->id, (out->n + 1) * sizeof *out->id);
}

/* Names of tokens that a frame is made of in the families we know, whatever type a file gives them. */
static const struct { const char *name; bool end; } MARKS[] = {
    {"<|im_end|>", true}, {"<|endoftext|>", true}, {"<|eot_id|>", true}, {"<|eom_id|>", true}, {"<|end_of_text|>", true},
    {"<|end|>", true}, {"<end_of_turn>", true}, {"<｜end▁of▁sentence｜>", true}, {"<|im_start|>", false},
    {"<|begin_of_text|>", false}, {"<|start_header_id|>", false}, {"<|end_header_id|>", false}, {"<start_of_turn>", false},
    {"[gMASK]", false}, {"<sop>", false}, {"<|system|>", false}, {"<|user|>", true}, {"<|assistant|>", false},
    {"<|observation|>", true}, {"<think>", false}, {"</think>", false}, {"<tool_call>", false}, {"</tool_call>", false},
    {"<tool_response>", false}, {"</tool_response>", false},
};
enum { N_MARKS = sizeof MARKS / sizeof *MARKS };

/* Ends: what the file's keys name, and every token spelt as an end we know, even when the file calls it ordinary text. Marks:
 * those, and all that a text must never turn into. */
static void load_marks(vocab *v, const gguf_file *f)
{
    static const char *keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
    uint64_t id;
    v->end = q_alloc((size_t)v->names.n * sizeof *v->end);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (gguf_u64(f, keys[i], &id) && id < (uint64_t)v->names.n) v->end[id] = true;
    for (int i = 0; i < v->names.n; i++) {
        const char *name = names_of(&v->names, i);
        for (int k = 0; k < N_MARKS && (*name == '<' || *name == '['); k++)
            if (strlen(MARKS[k].name) == name_len(v, i) && strcmp(MARKS[k].name, name) == 0) {
                v->names.mark[i] = true;
                if (MARKS[k].end) v->end[i] = true;
            }
        if (v->end[i] || vocab_control(v, i) || (type_of(v, i) == VOCAB_USER && !is_taught(v, i))) v->names.mark[i] = true;
    }
}

static int find_kind(const gguf_file *f, const vocab_kind **out, char *err)
{
    gguf_str s;
    if (!gguf_string(f, "tokenizer.ggml.model", &s))
        return q_fail(err, Q_FORMAT, _("the file has no tokenizer (tokenizer.ggml.model); take another file of this model"));
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (s.n == strlen(KINDS[i]->model) && memcmp(s.p, KINDS[i]->model, s.n) == 0) { *out = KINDS[i]; return Q_OK; }
    char *name = q_strndup(s.p, s.n < 40 ? s.n : 40), *shown = q_utf8_clean(name, strlen(name));
    q_fail(err, Q_FORMAT, _("the tokenizer \"%s\" is not supported; byte-level BPE (\"gpt2\": Qwen, Llama 3, GLM), SentencePiece (\"llama\": Llama 2, Mistral, "
           "Gemma), unigram (\"t5\": XLM-R, T5) and WordPiece (\"bert\") are"), shown);
    free(name);
    free(shown);
    return Q_FORMAT;
}

int vocab_check(const gguf_file *f, char *err)
{
    const vocab_kind *kind = NULL;
    int r = find_kind(f, &kind, err);
    if (!r) r = kind->check(f, err);
    return r ? r : names_check(f, err);
}

static bool flag(const gguf_file *f, const char *key, bool otherwise)
{
    gguf_bool(f, key, &otherwise);
    return otherwise;
}

/* The token that the first key of the file names, or that is spelt so, or -1. */
static int32_t named(const vocab *v, const gguf_file *f, const char *const *keys)
{
    uint64_t id;
    for (; *keys; keys++) {
        if (gguf_u64(f, *keys, &id)) return id < (uint64_t)v->names.n ? (int32_t)id : -1;
        if (vocab_find(v, *keys) >= 0) return vocab_find(v, *keys);
    }
    return -1;
}

int vocab_load(const gguf_file *f, vocab **out, char *err)
{
    *out = NULL;
    vocab *v = q_alloc(sizeof *v);
    int r = find_kind(f, &v->kind, err);
    if (!r) r = v->kind->check(f, err);
    if (!r) r = names_load(f, &v->names, err);
    if (!r) {
        v->bos = named(v, f, v->kind->first);
        v->eos = named(v, f, v->kind->last);
        load_marks(v, f);
        r = v->kind->load(f, &v->names, &v->own, err);
    }
    if (r) { vocab_free(v); return r; }
    load_bytes(v);
    load_added(v, &v->taught, false);
    load_added(v, &v->all, true);
    v->prefix = v->kind->prefix && v->kind->prefix(v->own);
    if (!flag(f, "tokenizer.ggml.add_bos_token", v->kind->bos(v->own))) v->bos = -1;
    if (!flag(f, "tokenizer.ggml.add_eos_token", v->kind->eos)) v->eos = -1;
    *out = v;
    return Q_OK;
}

void vocab_free(vocab *v)
{
    if (!v) return;
    if (v->kind) v->kind->free(v->own);
    names_free(&v->names);
    free(v->bytes);
    free(v->byte_at);
    free(v->end);
    free(v->taught.id);
    free(v->all.id);
    free(v);
}

/* ---- text to ids ---- */
/* First of [lo, hi) whose byte d is at least c; all of them agree before d and are longer than d. */
static size_t from_byte(const vocab *v, const added *a, size_t lo, size_t hi, size_t d, int c)
{
    while (lo < hi) {
        size_t m = (lo + hi) / 2;
        if ((unsigned char)names_of(&v->names, a->id[m])[d] < c) lo = m + 1; else hi = m;
    }
    return lo;
}

/* The longest added token that text begins with, or -1. What all names that are left have in common is compared at once. */
static int32_t added_at(const vocab *v, const added *a, const char *s, size_t n)
{
    size_t lo = 0, hi = a->n, d = 0;                       /* [lo, hi) agree with s in d bytes */
    int32_t best = -1;
    while (lo < hi) {
        size_t len = name_len(v, a->id[lo]), last = name_len(v, a->id[hi - 1]), same = d;
        const char *x = names_of(&v->names, a->id[lo]), *y = names_of(&v->names, a->id[hi - 1]);
        while (same < len && same < last && x[same] == y[same]) same++;
        if (same > n || memcmp(s + d, x + d, same - d) != 0) break;
        d = same;
        if (len == d) {                                    /* of equal names the first counts */
            best = a->id[lo];
            while (lo < hi && name_len(v, a->id[lo]) == d) lo++;
            continue;
        }
        if (d == n) break;
        int c = (unsigned char)s[d];
        lo = from_byte(v, a, lo, hi, d, c);
        hi = from_byte(v, a, lo, hi, d, c + 1);
    }
    return best;
}

static int too_many(const eng_tokens *out, char *err)
{
    return q_fail(err, Q_RANGE, _("the text has more than %d tokens: shorten it or raise context.length"), out->most);
}

int vocab_tokenize(const vocab *v, const char *text, size_t n, bool special, eng_tokens *out, char *err)
{
    if (n > 1 << 29) return q_fail(err, Q_RANGE, _("a text of %zu bytes is too long to cut into tokens; give it in parts"), n);
    const added *a = special ? &v->all : &v->taught;
    /* A token stands for so many bytes at most; normal forms make a text shorter, but not to a fourth. */
    size_t longest = special && v->longest < LONGEST ? LONGEST : v->longest;
    if (!v->kind->shrinks && out->most > 0 && n / (4 * longest) > (size_t)out->most) return too_many(out, err);
    size_t done = 0;
    for (size_t i = 0; i < n && a->n;) {
        int32_t id = a->first[(unsigned char)text[i]] ? added_at(v, a, text + i, n - i) : -1;
        if (id < 0) { i++; continue; }
        v->kind->encode(v->own, &v->names, text + done, i - done, out);
        eng_tokens_add(out, id);
        if (out->most > 0 && out->n > out->most) return too_many(out, err);
        done = i += name_len(v, id);
    }
    v->kind->encode(v->own, &v->names, text + done, n - done, out);
    return out->most > 0 && out->n > out->most ? too_many(out, err) : Q_OK;
}

/* The longest of the tokens that may begin at i: any within the unmarked bytes there, those that were taught anywhere. */
static int32_t marked_at(const vocab *v, const char *text, const char *mark, size_t i, size_t *run, size_t n)
{
    unsigned char c = (unsigned char)text[i];
    if (*run < i) *run = i;
    while (*run < n && !mark[*run] && *run < i + LONGEST) ++*run;
    int32_t id = v->all.first[c] && *run > i ? added_at(v, &v->all, text + i, *run - i) : -1;
    int32_t other = v->taught.first[c] ? added_at(v, &v->taught, text + i, n - i) : -1;
    return other >= 0 && (id < 0 || name_len(v, other) > name_len(v, id)) ? other : id;
}

int vocab_tokenize_marked(const vocab *v, const char *text, const char *mark, size_t n, eng_tokens *out, char *err)
{
    if (n > 1 << 29) return q_fail(err, Q_RANGE, _("a text of %zu bytes is too long to cut into tokens; give it in parts"), n);
    size_t longest = v->longest < LONGEST ? LONGEST : v->longest, done = 0, run = 0;
    if (!v->kind->shrinks && out->most > 0 && n / (4 * longest) > (size_t)out->most) return too_many(out, err);
    for (size_t i = 0; i < n;) {
        int32_t id = marked_at(v, text, mark, i, &run, n);
        if (id < 0) { i++; continue; }
        v->kind->encode(v->own, &v->names, text + done, i - done, out);
        eng_tokens_add(out, id);
        if (out->most > 0 && out->n > out->most) return too_many(out, err);
        done = i += name_len(v, id);
    }
    v->kind->encode(v->own, &v->names, text + done, n - done, out);
    return out->most > 0 && out->n > out->most ? too_many(out, err) : Q_OK;
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

/* Added tokens are where encoding begins anew, so a space that it puts first belongs to the vocabulary and not to the text. */
static bool plain(const vocab *v, int32_t id) { return known(v, id) && (type_of(v, id) == VOCAB_NORMAL || type_of(v, id) == VOCAB_BYTE); }
eng_detok vocab_detok_behind(const vocab *v, int32_t id) { return (eng_detok){.inside = plain(v, id)}; }

const char *vocab_detok_bytes(const vocab *v, eng_detok *d, int32_t id, size_t *n)
{
    const char *s = vocab_bytes(v, id, n);
    bool first = v->prefix && !d->inside && plain(v, id) && *n > 0 && *s == ' ';
    d->inside = plain(v, id);
    if (first) --*n;
    return first ? s + 1 : s;
}

void vocab_detok(const vocab *v, eng_detok *d, int32_t id, q_buf *out)
{
    size_t n;
    const char *s = vocab_detok_bytes(v, d, id, &n);
    for (size_t i = 0; i < n; i++) detok_byte(d, s[i], out);
}

void eng_detok_end(eng_detok *d, q_buf *out)
{
    if (d->n) q_buf_puts(out, REPLACEMENT);
    d->n = 0;
}
