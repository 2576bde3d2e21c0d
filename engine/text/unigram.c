/* engine/text/unigram: the kind of vocabulary of SentencePiece's unigram models, XLM-R's and T5's (tokenizer.ggml.model "t5"):
 * text normalised by a table, spaces spelt "▁", and of all ways to write it in pieces the one whose scores add up to most.
 * Immutable after load, any thread. By src/unigram_model.cc and src/normalizer.cc of sentencepiece, but that sums are doubles
 * and begin anew at each "▁", so that a word's pieces do not depend on what stands before it. */
#include "engine/text/charsmap.h"
#include "engine/text/kind.h"
#include "engine/text/pretok.h"
#include "engine/text/trie.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_PIECE = 1024 };     /* bytes; XLM-R's longest are 48 */
static const char SPACE[] = "\xE2\x96\x81";
enum { SPACE_N = sizeof SPACE - 1 };

typedef struct unigram {
    trie pieces;
    charsmap table;
    float *score;                  /* [tokens] */
    double unknown_score;
    int32_t unknown;               /* -1: none, unknown characters are left out */
    int32_t byte_id[256];          /* where bytes is set: what unknown characters are written in */
    bool bytes, prefix, squeeze;   /* "▁" goes first; runs of spaces become one, those at the ends go */
    bool words;                    /* no piece goes on past a "▁": words can be cut one by one */
} unigram;

static int unigram_check(const gguf_file *f, char *err)
{
    const gguf_kv *scores = gguf_find(f, "tokenizer.ggml.scores"), *tokens = gguf_find(f, "tokenizer.ggml.tokens");
    double d;
    if (!scores || scores->type != GGUF_ARR || !gguf_arr_f64(scores, 0, &d) || !tokens || scores->count != tokens->count)
        return q_fail(err, Q_FORMAT, _("the file has no score for each of its tokens (tokenizer.ggml.scores); take another file of this model"));
    return Q_OK;
}

static void unigram_free(void *own)
{
    unigram *v = own;
    if (!v) return;
    trie_free(&v->pieces);
    charsmap_free(&v->table);
    free(v->score);
    free(v);
}

static bool plain(const names *nm, int32_t i) { return nm->type[i] == VOCAB_NORMAL && !nm->mark[i] && names_len(nm, i) > 0; }

static int load_scores(unigram *v, const names *nm, const gguf_kv *scores, char *err)
{
    double least = 0;
    bool any = false;
    v->score = q_alloc((size_t)nm->n * sizeof *v->score);
    for (int i = 0; i < nm->n; i++) {
        double d = 0;
        if (!gguf_arr_f64(scores, (uint64_t)i, &d) || !isfinite((float)d))
            return q_fail(err, Q_FORMAT, _("the score of token %d is no number; the file is damaged"), i);
        v->score[i] = (float)d;
        if (plain(nm, i) && (!any || d < least)) least = d, any = true;
    }
    v->unknown_score = least - 10;
    return Q_OK;
}

static int load_pieces(unigram *v, const names *nm, char *err)
{
    trie_key *key = q_alloc((size_t)nm->n * sizeof *key);
    size_t n = 0, total = 0;
    int rc = Q_OK;
    v->words = true;
    for (int i = 0; i < nm->n && !rc; i++) {
        const char *s = names_of(nm, i);
        size_t len = names_len(nm, i);
        if (!plain(nm, i)) continue;
        if (len > LONGEST_PIECE || (total += len) > TRIE_MOST)
            rc = q_fail(err, Q_FORMAT, _("token %d is %zu bytes long: a vocabulary of such pieces is beyond reason"), i, len);
        if (len > 1 && memmem(s + 1, len - 1, SPACE, SPACE_N)) v->words = false;
        key[n++] = (trie_key){s, (uint32_t)len, i};
    }
    if (!rc) trie_make(&v->pieces, key, n);
    free(key);
    return rc;
}

static void load_unknown(unigram *v, const names *nm, const gguf_file *f)
{
    uint64_t id;
    v->unknown = -1;
    for (int i = nm->n - 1; i >= 0; i--) if (nm->type[i] == VOCAB_UNKNOWN) v->unknown = i;
    if (gguf_u64(f, "tokenizer.ggml.unknown_token_id", &id) && id < (uint64_t)nm->n) v->unknown = (int32_t)id;
    v->bytes = true;
    for (unsigned b = 0; b < 256; b++) {
        static const char hex[] = "0123456789ABCDEF";
        const char name[] = {'<', '0', 'x', hex[b >> 4], hex[b & 15], '>'};
        v->byte_id[b] = names_find(nm, name, sizeof name);
        if (v->byte_id[b] < 0 || nm->type[v->byte_id[b]] != VOCAB_BYTE) v->bytes = false;
    }
}

static int unigram_load(const gguf_file *f, const names *nm, void **own, char *err)
{
    unigram *v = q_alloc(sizeof *v);
    const gguf_kv *map = gguf_find(f, "tokenizer.ggml.precompiled_charsmap");
    bool table = map && map->type == GGUF_ARR && (map->item == GGUF_U8 || map->item == GGUF_I8);
    int rc = charsmap_load(&v->table, table ? map->data : NULL, table ? map->bytes : 0, err);
    if (!rc) rc = load_scores(v, nm, gguf_find(f, "tokenizer.ggml.scores"), err);
    if (!rc) rc = load_pieces(v, nm, err);
    if (rc) { unigram_free(v); return rc; }
    load_unknown(v, nm, f);
    v->prefix = v->squeeze = true;
    gguf_bool(f, "tokenizer.ggml.add_space_prefix", &v->prefix);
    gguf_bool(f, "tokenizer.ggml.remove_extra_whitespaces", &v->squeeze);
    *own = v;
    return Q_OK;
}

static bool unigram_bos(const void *own) { return false; }

static size_t unigram_decode(const void *own, const names *nm, int32_t id, char *dst)
{
    const char *s = names_of(nm, id);
    size_t n = names_len(nm, id), w = 0;
    for (size_t i = 0; i < n;) {
        bool space = n - i >= SPACE_N && memcmp(s + i, SPACE, SPACE_N) == 0;
        dst[w++] = space ? ' ' : s[i];
        i += space ? SPACE_N : 1;
    }
    return w;
}

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
static void replaced(const unigram *v, const char *s, size_t n, q_buf *out)
{
    q_buf in = {0};
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
    return s[n - 1] == ' ' ? 1 : n >= SPACE_N && memcmp(s + n - SPACE_N, SPACE, SPACE_N) == 0 ? SPACE_N : 0;
}

static void normalise(const unigram *v, const char *s, size_t n, q_buf *out)
{
    q_buf t = {0};
    replaced(v, s, n, &t);
    size_t from = 0, end = t.len;
    while (v->squeeze && from < end && t.p[from] == ' ') from++;
    while (v->squeeze && end > from && blank_end(t.p + from, end - from)) end -= blank_end(t.p + from, end - from);
    if (from < end && v->prefix) q_buf_add(out, SPACE, SPACE_N);
    for (size_t i = from; i < end; i++) {
        if (t.p[i] != ' ') q_buf_putc(out, t.p[i]);
        else if (!v->squeeze || t.p[i - 1] != ' ') q_buf_add(out, SPACE, SPACE_N);
    }
    q_buf_free(&t);
}

/* ---- pieces ---- */
typedef struct step { double score; size_t from; int32_t id; } step;       /* id -1: unknown; from SIZE_MAX: not reached */
typedef struct lattice {
    step *at;                      /* [cap] the best way to each place of a word */
    size_t *cut, cap;              /* [cap] where its pieces end, last first     */
    bool unknown;                  /* the last token written was the unknown one */
} lattice;

static void reach(step *to, double score, size_t from, int32_t id)
{
    if (to->from == SIZE_MAX || score > to->score) *to = (step){score, from, id};
}

static void emit_unknown(const unigram *v, const char *s, size_t n, lattice *x, eng_tokens *out)
{
    if (v->bytes) {
        for (size_t i = 0; i < n; i++) eng_tokens_add(out, v->byte_id[(unsigned char)s[i]]);
        return;
    }
    if (!x->unknown && v->unknown >= 0) eng_tokens_add(out, v->unknown);   /* neighbours are one */
    x->unknown = true;
}

static void encode_word(const unigram *v, const char *s, size_t n, lattice *x, eng_tokens *out)
{
    if (n + 1 > x->cap) {
        x->cap = 2 * n + 64;
        x->at = q_realloc(x->at, x->cap * sizeof *x->at);
        x->cut = q_realloc(x->cut, x->cap * sizeof *x->cut);
    }
    for (size_t i = 0; i <= n; i++) x->at[i].from = SIZE_MAX;
    x->at[0] = (step){0, 0, 0};
    for (size_t i = 0, len; i < n; i += len) {             /* every character begins a step: unknown ones are steps too */
        uint32_t cp, node = 0;
        len = (size_t)q_utf8_next(s + i, n - i, &cp);
        bool single = false;
        for (size_t j = i; j < n && (node = trie_step(&v->pieces, node, (unsigned char)s[j]));) {
            int32_t id = v->pieces.node[node].id;
            j++;
            if (id < 0) continue;
            reach(&x->at[j], x->at[i].score + v->score[id], i, id);
            if (j == i + len) single = true;
        }
        if (!single) reach(&x->at[i + len], x->at[i].score + v->unknown_score, i, -1);
    }
    size_t cuts = 0;
    for (size_t i = n; i > 0; i = x->at[i].from) x->cut[cuts++] = i;
    for (size_t k = cuts, from = 0; k-- > 0; from = x->cut[k]) {
        const step *to = &x->at[x->cut[k]];
        if (to->id < 0) { emit_unknown(v, s + from, x->cut[k] - from, x, out); continue; }
        eng_tokens_add(out, to->id);
        x->unknown = false;
    }
}

static void unigram_encode(const void *own, const names *nm, const char *s, size_t n, eng_tokens *out)
{
    const unigram *v = own;
    q_buf text = {0};
    lattice x = {0};
    normalise(v, s, n, &text);
    for (size_t i = 0, end; i < text.len && (out->most <= 0 || out->n <= out->most); i = end) {
        const char *next = v->words && text.len - i > 1 ? memmem(text.p + i + 1, text.len - i - 1, SPACE, SPACE_N) : NULL;
        end = next ? (size_t)(next - text.p) : text.len;
        encode_word(v, text.p + i, end - i, &x, out);
    }
    free(x.at);
    free(x.cut);
    q_buf_free(&text);
}

static const char *const first[] = {"tokenizer.ggml.bos_token_id", NULL}, *const last[] = {"tokenizer.ggml.eos_token_id", NULL};
const vocab_kind vocab_kind_unigram = {"t5", unigram_check, unigram_load, unigram_free, unigram_encode, unigram_decode, unigram_bos,
                                       first, last, true, true};
