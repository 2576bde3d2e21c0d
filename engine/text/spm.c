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
    int32_t *rank;                 /* [n] of a piece among all by score; -1: nothing is joined to it */
    size_t longest;                /* bytes of a piece */
    int n;                         /* tokens; a character that is none counts as n + its code point, a byte as n + LONE + it */
    bool words;                    /* no piece has a "▁" behind something else: words can be joined one by one */
} spm;
enum { LONE = 0x110000 };

static void spm_free(void *own)
{
    spm *v = own;
    if (!v) return;
    sentence_free(&v->text);
    free(v->rank);
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

static int by_score(const void *x, const void *y, void *ctx)
{
    const float *score = ctx;
    int32_t a = *(const int32_t *)x, b = *(const int32_t *)y;
    return score[a] != score[b] ? (score[a] < score[b] ? 1 : -1) : (a > b) - (a < b);
}

static int load_ranks(spm *v, const names *nm, float *score, char *err)
{
    int32_t *order = q_alloc((size_t)nm->n * sizeof *order), rank = 0;
    size_t n = 0, total = 0;
    int rc = Q_OK;
    v->words = true;
    v->rank = q_alloc((size_t)nm->n * sizeof *v->rank);
    for (int i = 0; i < nm->n && !rc; i++) {
        const char *s = names_of(nm, i);
        size_t len = names_len(nm, i);
        v->rank[i] = -1;
        if (!sentence_piece(nm, i) || names_find(nm, s, len) != i) continue;
        if (len > LONGEST_PIECE || (total += len) > LONGEST_ALL) {
            rc = q_fail(err, Q_FORMAT, _("token %d is %zu bytes long: a vocabulary of such pieces is beyond reason"), i, len);
            continue;
        }
        if (sentence_word(s, len, 0) < len) v->words = false;
        v->longest = len > v->longest ? len : v->longest;
        order[n++] = i;
    }
    if (!rc) qsort_r(order, n, sizeof *order, by_score, score);
    for (size_t k = 0; k < n && !rc; k++) {
        rank += k && score[order[k]] != score[order[k - 1]];
        v->rank[order[k]] = rank;
    }
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
    if (!rc) rc = load_ranks(v, nm, score, err);
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
typedef struct joins { const spm *v; const names *nm; } joins;

/* The bytes of a symbol, at most 4 of them in buf. */
static const char *spelt(const joins *j, int32_t sym, char buf[4], size_t *n)
{
    int32_t lone = sym - j->v->n;
    *n = lone < 0 ? names_len(j->nm, sym) : 1;
    if (lone < 0) return names_of(j->nm, sym);
    if (lone >= LONE) *buf = (char)(lone - LONE);
    else *n = (size_t)q_utf8_put(buf, (uint32_t)lone);
    return buf;
}

/* What two neighbours are together is looked up when they meet: to list every cut of every piece would cost the square of its length. */
static int32_t together(const void *of, int32_t left, int32_t right, int32_t *id)
{
    const joins *j = of;
    char both[LONGEST_PIECE], a[4], b[4];
    size_t n, m;
    const char *l = spelt(j, left, a, &n), *r = spelt(j, right, b, &m);
    if (n + m > j->v->longest) return BPE_APART;
    memcpy(both, l, n);
    memcpy(both + n, r, m);
    int32_t i = names_find(j->nm, both, n + m);
    if (i < 0 || j->v->rank[i] < 0) return BPE_APART;
    *id = i;
    return j->v->rank[i];
}

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
    k = bpe_merge_by(&(bpe_pairs){ together, &(joins){ v, nm } }, x->sym, k);
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
