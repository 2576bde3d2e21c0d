/* engine/text/spm: the kind of vocabulary of SentencePiece's BPE models, Llama 2's, Mistral's and Gemma's (tokenizer.ggml.model
 * "llama"): spaces spelt "▁", of all neighbours that make a token together those joined first whose token has the highest score,
 * the leftmost where scores are equal; what is no token in the end is written in bytes. Immutable after load, any thread.
 * By src/bpe_model.cc of sentencepiece; tokens of type UNUSED, which it joins through, are none here: no known model has them. */
#include "engine/text/bpe.h"
#include "engine/text/kind.h"
#include "engine/text/sentence.h"

#include <stdlib.h>
#include <string.h>

enum { LONGEST_PIECE = 1024, LONGEST_ALL = 1 << 28 };      /* bytes of one, and of all of them */

typedef struct spm {
    sentence text;
    bpe *merges;                   /* over ids; a character that is no token counts as n + its code point, a byte as n + LONE + it */
    int n;                         /* tokens */
    bool words;                    /* no piece has a "▁" behind something else: words can be joined one by one */
} spm;
enum { LONE = 0x110000 };

static void spm_free(void *own)
{
    spm *v = own;
    if (!v) return;
    sentence_free(&v->text);
    bpe_free(v->merges);
    free(v);
}

/* The symbol that a character begins as; its bytes in *len. */
static int32_t symbol(const names *nm, const char *s, size_t n, size_t *len)
{
    uint32_t cp;
    *len = (size_t)q_utf8_next(s, n, &cp);
    int32_t id = names_find(nm, s, *len);
    if (id >= 0 && sentence_piece(nm, id)) return id;
    return nm->n + (*len == 1 && (unsigned char)*s >= 0x80 ? LONE + (unsigned char)*s : (int32_t)cp);
}

/* Part of a piece: a token, or a single character. -1: neither, so that no joining gets there. */
static int32_t side(const names *nm, const char *s, size_t n)
{
    size_t len;
    int32_t id = names_find(nm, s, n);
    if (id >= 0 && sentence_piece(nm, id)) return id;
    id = symbol(nm, s, n, &len);
    return len == n ? id : -1;
}

typedef struct pairs { struct pair { int32_t left, right, id; } *at; size_t n, cap; } pairs;

/* Adds what joins to piece i. */
static void add_pairs(pairs *p, const names *nm, int32_t i)
{
    const char *s = names_of(nm, i);
    size_t n = names_len(nm, i), len;
    uint32_t cp;
    for (size_t at = (size_t)q_utf8_next(s, n, &cp); at < n; at += len) {
        len = (size_t)q_utf8_next(s + at, n - at, &cp);
        int32_t left = side(nm, s, at), right = left < 0 ? -1 : side(nm, s + at, n - at);
        if (right < 0) continue;
        if (p->n == p->cap) p->at = q_realloc(p->at, (p->cap = 2 * p->cap + 1024) * sizeof *p->at);
        p->at[p->n++] = (struct pair){left, right, i};
    }
}

static int by_score(const void *x, const void *y, void *ctx)
{
    const float *score = ctx;
    int32_t a = *(const int32_t *)x, b = *(const int32_t *)y;
    return score[a] != score[b] ? (score[a] < score[b] ? 1 : -1) : (a > b) - (a < b);
}

static int load_merges(spm *v, const names *nm, float *score, char *err)
{
    int32_t *order = q_alloc((size_t)nm->n * sizeof *order);
    size_t *from = q_alloc((size_t)nm->n * sizeof *from), n = 0, total = 0;       /* where the pairs of a piece begin */
    pairs p = {0};
    int rc = Q_OK;
    v->words = true;
    for (int i = 0; i < nm->n && !rc; i++) {
        const char *s = names_of(nm, i);
        size_t len = names_len(nm, i);
        if (!sentence_piece(nm, i) || names_find(nm, s, len) != i) continue;
        if (len > LONGEST_PIECE || (total += len) > LONGEST_ALL) {
            rc = q_fail(err, Q_FORMAT, _("token %d is %zu bytes long: a vocabulary of such pieces is beyond reason"), i, len);
            continue;
        }
        if (sentence_word(s, len, 0) < len) v->words = false;
        from[i] = p.n;
        add_pairs(&p, nm, i);
        order[n++] = i;
    }
    if (!rc) {
        qsort_r(order, n, sizeof *order, by_score, score);
        v->merges = bpe_new(p.n);
        int32_t rank = 0;
        for (size_t k = 0; k < n; k++) {
            rank += k && score[order[k]] != score[order[k - 1]];
            for (size_t j = from[order[k]]; j < p.n && p.at[j].id == order[k]; j++) bpe_add(v->merges, p.at[j].left, p.at[j].right, rank, p.at[j].id);
        }
    }
    free(p.at);
    free(from);
    free(order);
    return rc;
}

static int spm_load(const gguf_file *f, const names *nm, void **own, char *err)
{
    spm *v = q_alloc(sizeof *v);
    float *score = NULL;
    v->n = nm->n;
    v->text.prefix = true;
    int rc = sentence_load(f, nm, &v->text, err);
    if (!rc) rc = sentence_scores(f, nm, &score, err);
    if (!rc) rc = load_merges(v, nm, score, err);
    free(score);
    if (rc) { spm_free(v); return rc; }
    *own = v;
    return Q_OK;
}

static bool spm_bos(const void *own) { return true; }
static bool spm_prefix(const void *own) { return ((const spm *)own)->text.prefix; }
static size_t spm_decode(const void *own, const names *nm, int32_t id, char *dst) { return sentence_decode(nm, id, dst); }

/* ---- text to ids ---- */
typedef struct scratch { int32_t *sym; size_t cap; bool unknown; } scratch;

static void put(const spm *v, int32_t sym, scratch *x, eng_tokens *out)
{
    if (sym < v->n) {
        eng_tokens_add(out, sym);
        x->unknown = false;
        return;
    }
    char u[4];
    uint32_t cp = (uint32_t)(sym - v->n);
    size_t n = 1;
    if (cp >= LONE) *u = (char)(cp - LONE);
    else n = (size_t)q_utf8_put(u, cp);
    sentence_unknown(&v->text, u, n, &x->unknown, out);
}

static void encode_word(const spm *v, const names *nm, const char *s, size_t n, scratch *x, eng_tokens *out)
{
    size_t k = 0, len;
    if (n > x->cap) x->sym = q_realloc(x->sym, (x->cap = n * 2) * sizeof *x->sym);
    for (size_t i = 0; i < n; i += len) x->sym[k++] = symbol(nm, s + i, n - i, &len);
    k = bpe_merge(v->merges, x->sym, k);
    for (size_t i = 0; i < k; i++) put(v, x->sym[i], x, out);
}

static void spm_encode(const void *own, const names *nm, const char *s, size_t n, eng_tokens *out)
{
    const spm *v = own;
    q_buf text = {0};
    scratch x = {0};
    sentence_normalise(&v->text, s, n, &text);
    for (size_t i = 0, end; i < text.len && (out->most <= 0 || out->n <= out->most); i = end) {
        end = v->words ? sentence_word(text.p, text.len, i) : text.len;
        encode_word(v, nm, text.p + i, end - i, &x, out);
    }
    free(x.sym);
    q_buf_free(&text);
}

static const char *const first[] = {"tokenizer.ggml.bos_token_id", "<s>", NULL}, *const last[] = {"tokenizer.ggml.eos_token_id", NULL};
const vocab_kind vocab_kind_spm = {"llama", sentence_check, spm_load, spm_free, spm_encode, spm_decode, spm_bos,
                                   first, last, false, false, spm_prefix};
