/* engine/text/wordpiece: the kind of vocabulary that BERT began (tokenizer.ggml.model "bert"): text cut at white space, at each
 * sign and each Chinese character, in small letters without accents where the vocabulary has no others, and a word written in
 * the longest pieces from its start on. Immutable after load, any thread. By google-research/bert, tokenization.py, as Hugging
 * Face's tokenizers has it (normalizers/bert.rs, pre_tokenizers/bert.rs, models/wordpiece). */
#include "engine/text/kind.h"
#include "engine/text/trie.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { LONGEST_WORD = 100 };       /* characters; a longer one is unknown as a whole */
static const char SPACE[] = "\xE2\x96\x81", GOES_ON[] = "##";
enum { SPACE_N = sizeof SPACE - 1, GOES_ON_N = sizeof GOES_ON - 1 };

typedef struct wordpiece {
    trie begin, inside;            /* pieces that a word begins and goes on with */
    int32_t unknown;
    bool spaced;                   /* spelt as llama.cpp does: "▁" marks a word's first piece, not "##" its others */
    bool small;                    /* no piece has a capital letter: letters are made small and lose their accents */
} wordpiece;

static int wordpiece_check(const gguf_file *f, char *err) { return Q_OK; }

static void wordpiece_free(void *own)
{
    wordpiece *v = own;
    if (!v) return;
    trie_free(&v->begin);
    trie_free(&v->inside);
    free(v);
}

static bool starts(const names *nm, int32_t i, const char *mark, size_t n)
{
    return names_len(nm, i) > n && memcmp(names_of(nm, i), mark, n) == 0;
}

static bool plain(const names *nm, int32_t i)
{
    return nm->type[i] == VOCAB_NORMAL && !nm->mark[i] && names_len(nm, i) > 0 && names_len(nm, i) <= 4 * LONGEST_WORD + SPACE_N;
}

/* Reserved names, [unused17], are in capitals too here and there; they are never written. */
static bool capital(const names *nm, int32_t i)
{
    const char *s = names_of(nm, i);
    for (size_t k = 0; k < names_len(nm, i); k++) {
        if (s[k] == '[') return false;
        if (s[k] >= 'A' && s[k] <= 'Z') return true;
    }
    return false;
}

static int wordpiece_load(const gguf_file *f, const names *nm, void **own, char *err)
{
    wordpiece *v = q_alloc(sizeof *v);
    size_t spaced = 0, hashed = 0, total = 0, n_begin = 0, n_inside = 0;
    uint64_t id;
    v->small = true;
    for (int i = 0; i < nm->n; i++) {
        if (!plain(nm, i)) continue;
        spaced += starts(nm, i, SPACE, SPACE_N);
        hashed += starts(nm, i, GOES_ON, GOES_ON_N);
        if (capital(nm, i)) v->small = false;
        total += names_len(nm, i);
    }
    v->spaced = spaced > hashed;
    v->unknown = names_find(nm, "[UNK]", 5);
    if (gguf_u64(f, "tokenizer.ggml.unknown_token_id", &id) && id < (uint64_t)nm->n) v->unknown = (int32_t)id;
    int rc = Q_OK;
    if (v->unknown < 0) rc = q_fail(err, Q_FORMAT, _("the vocabulary has no token for unknown words ([UNK]); take another file of this model"));
    else if (total > TRIE_MOST) rc = q_fail(err, Q_FORMAT, _("a vocabulary of %zu bytes is beyond reason"), total);
    if (rc) { wordpiece_free(v); return rc; }
    gguf_bool(f, "tokenizer.ggml.normalizer.lowercase", &v->small);
    trie_key *begin = q_alloc((size_t)nm->n * sizeof *begin), *inside = q_alloc((size_t)nm->n * sizeof *inside);
    for (int i = 0; i < nm->n; i++) {
        if (!plain(nm, i)) continue;
        bool marked = v->spaced ? starts(nm, i, SPACE, SPACE_N) : starts(nm, i, GOES_ON, GOES_ON_N);
        size_t skip = !marked ? 0 : v->spaced ? SPACE_N : GOES_ON_N;
        trie_key k = {names_of(nm, i) + skip, (uint32_t)(names_len(nm, i) - skip), i};
        if (marked == v->spaced) begin[n_begin++] = k; else inside[n_inside++] = k;
    }
    trie_make(&v->begin, begin, n_begin);
    trie_make(&v->inside, inside, n_inside);
    free(begin);
    free(inside);
    *own = v;
    return Q_OK;
}

static bool wordpiece_bos(const void *own) { return true; }

/* A word's first piece comes with the space before it. */
static size_t wordpiece_decode(const void *own, const names *nm, int32_t id, char *dst)
{
    const wordpiece *v = own;
    bool marked = v->spaced ? starts(nm, id, SPACE, SPACE_N) : starts(nm, id, GOES_ON, GOES_ON_N);
    size_t skip = !marked ? 0 : v->spaced ? SPACE_N : GOES_ON_N, n = names_len(nm, id) - skip, w = 0;
    if (marked == v->spaced) dst[w++] = ' ';
    memcpy(dst + w, names_of(nm, id) + skip, n);
    return w + n;
}

/* ---- text to words ---- */
typedef struct word { char *p; size_t n, cap, chars; } word;

static void write_word(const wordpiece *v, word *w, eng_tokens *out)
{
    int had = out->n;
    bool known = w->chars <= LONGEST_WORD;
    for (size_t i = 0, end; known && i < w->n; i = end) {
        const trie *t = i ? &v->inside : &v->begin;
        uint32_t node = 0;
        int32_t id = -1;
        end = i;
        for (size_t j = i; j < w->n && (node = trie_step(t, node, (unsigned char)w->p[j]));)
            if (j++, t->node[node].id >= 0) id = t->node[node].id, end = j;
        known = id >= 0;
        if (known) eng_tokens_add(out, id);
    }
    if (!known) {
        out->n = had;
        eng_tokens_add(out, v->unknown);
    }
    w->n = w->chars = 0;
}

static void end_word(const wordpiece *v, word *w, eng_tokens *out) { if (w->n) write_word(v, w, out); }

static void add_char(word *w, uint32_t c)
{
    if (w->cap - w->n < 4) w->p = q_realloc(w->p, w->cap = 2 * w->cap + 64);
    w->chars++;
    if (w->chars <= LONGEST_WORD) w->n += (size_t)q_utf8_put(w->p + w->n, c);      /* what is beyond is unknown anyway */
}

enum class { LETTER, BLANK, SIGN, NOTHING };

/* Signs are what Unicode calls punctuation, and all of ASCII that is neither letter nor digit. */
static enum class classify(uint32_t c)
{
    if (c == ' ' || (c >= 9 && c <= 13 && c != 11 && c != 12)) return BLANK;
    if (c < 0x80) return c < 32 || c == 127 ? NOTHING : (c | 32) - 'a' < 26 || c - '0' < 10 ? LETTER : SIGN;
    if ((c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
        (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F)) return SIGN;
    if (c == 0xFFFD) return NOTHING;
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_ZS: case UTF8PROC_CATEGORY_ZL: case UTF8PROC_CATEGORY_ZP: return BLANK;
    case UTF8PROC_CATEGORY_CC: case UTF8PROC_CATEGORY_CF: case UTF8PROC_CATEGORY_CO: return NOTHING;
    case UTF8PROC_CATEGORY_PC: case UTF8PROC_CATEGORY_PD: case UTF8PROC_CATEGORY_PS: case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI: case UTF8PROC_CATEGORY_PF: case UTF8PROC_CATEGORY_PO: return SIGN;
    default: return LETTER;
    }
}

static void take(const wordpiece *v, word *w, uint32_t c, eng_tokens *out)
{
    enum class k = classify(c);
    if (k == NOTHING) return;
    if (k != LETTER) end_word(v, w, out);
    if (k == BLANK) return;
    add_char(w, c);
    if (k == SIGN) end_word(v, w, out);
}

static void wordpiece_encode(const void *own, const names *nm, const char *s, size_t n, eng_tokens *out)
{
    const wordpiece *v = own;
    word w = {0};
    for (size_t i = 0; i < n && (out->most <= 0 || out->n <= out->most);) {
        uint32_t c;
        i += (size_t)q_utf8_next(s + i, n - i, &c);
        if (!v->small || classify(c) == NOTHING) { take(v, &w, c, out); continue; }
        utf8proc_int32_t part[32] = {0};
        utf8proc_ssize_t k = c < 0x80 ? 0 : utf8proc_decompose_char((utf8proc_int32_t)c, part, 32, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, NULL);
        if (k <= 0 || k > 32) part[0] = (utf8proc_int32_t)c, k = 1;
        for (utf8proc_ssize_t j = 0; j < k; j++)
            if (utf8proc_category(part[j]) != UTF8PROC_CATEGORY_MN) take(v, &w, (uint32_t)utf8proc_tolower(part[j]), out);
    }
    end_word(v, &w, out);
    free(w.p);
}

static const char *const first[] = {"tokenizer.ggml.cls_token_id", "tokenizer.ggml.bos_token_id", "[CLS]", NULL};
static const char *const last[] = {"tokenizer.ggml.seperator_token_id", "tokenizer.ggml.sep_token_id", "tokenizer.ggml.eos_token_id", "[SEP]", NULL};
const vocab_kind vocab_kind_wordpiece = {"bert", wordpiece_check, wordpiece_load, wordpiece_free, wordpiece_encode, wordpiece_decode, wordpiece_bos,
                                         first, last, true, true, NULL};
