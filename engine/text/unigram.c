/* engine/text/unigram: the kind of vocabulary of SentencePiece's unigram models, XLM-R's and T5's (tokenizer.ggml.model "t5"):
 * text normalised (sentence.h), and of all ways to write it in pieces the one whose scores add up to most.
 * Immutable after load, any thread. By src/unigram_model.cc of sentencepiece, but that sums are doubles
 * and begin anew at each "▁", so that a word's pieces do not depend on what stands before it. */
#include "engine/text/kind.h"
#include "engine/text/sentence.h"
#include "engine/text/trie.h"

#include <stdlib.h>
#include <string.h>

enum { LONGEST_PIECE = 1024 };     /* bytes; XLM-R's longest are 48 */

typedef struct unigram {
    sentence text;
    trie pieces;
    float *score;                  /* [tokens] */
    double unknown_score;
    bool words;                    /* no piece goes on past a "▁": words can be cut one by one */
} unigram;

static void unigram_free(void *own)
{
    unigram *v = own;
    if (!v) return;
    trie_free(&v->pieces);
    sentence_free(&v->text);
    free(v->score);
    free(v);
}

static void load_least(unigram *v, const names *nm)
{
    double least = 0;
    bool any = false;
    for (int i = 0; i < nm->n; i++)
        if (sentence_piece(nm, i) && (!any || (double)v->score[i] < least)) least = (double)v->score[i], any = true;
    v->unknown_score = least - 10;
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
        if (!sentence_piece(nm, i)) continue;
        if (len > LONGEST_PIECE || (total += len) > TRIE_MOST)
            rc = q_fail(err, Q_FORMAT, _("token %d is %zu bytes long: a vocabulary of such pieces is beyond reason"), i, len);
        if (len > 1 && memmem(s + 1, len - 1, SENTENCE_SPACE, SENTENCE_SPACE_N)) v->words = false;
        key[n++] = (trie_key){s, (uint32_t)len, i};
    }
    if (!rc) trie_make(&v->pieces, key, n);
    free(key);
    return rc;
}

static int unigram_load(const gguf_file *f, const names *nm, void **own, char *err)
{
    unigram *v = q_alloc(sizeof *v);
    v->text.prefix = v->text.squeeze = true;
    int rc = sentence_load(f, nm, &v->text, err);
    if (!rc) rc = sentence_scores(f, nm, &v->score, err);
    if (!rc) rc = load_pieces(v, nm, err);
    if (rc) { unigram_free(v); return rc; }
    load_least(v, nm);
    *own = v;
    return Q_OK;
}

static bool unigram_bos(const void *own) { return false; }

static bool unigram_prefix(const void *own) { return ((const unigram *)own)->text.prefix; }
static size_t unigram_decode(const void *own, const names *nm, int32_t id, char *dst) { return sentence_decode(nm, id, dst); }

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
        if (to->id < 0) { sentence_unknown(&v->text, s + from, x->cut[k] - from, &x->unknown, out); continue; }
        eng_tokens_add(out, to->id);
        x->unknown = false;
    }
}

static void unigram_encode(const void *own, const names *nm, const char *s, size_t n, eng_tokens *out)
{
    const unigram *v = own;
    q_buf text = {0};
    lattice x = {0};
    sentence_normalise(&v->text, s, n, &text);
    for (size_t i = 0, end; i < text.len && (out->most <= 0 || out->n <= out->most); i = end) {
        const char *next = v->words && text.len - i > 1 ? memmem(text.p + i + 1, text.len - i - 1, SENTENCE_SPACE, SENTENCE_SPACE_N) : NULL;
        end = next ? (size_t)(next - text.p) : text.len;
        encode_word(v, text.p + i, end - i, &x, out);
    }
    free(x.at);
    free(x.cut);
    q_buf_free(&text);
}

static const char *const first[] = {"tokenizer.ggml.bos_token_id", NULL}, *const last[] = {"tokenizer.ggml.eos_token_id", NULL};
const vocab_kind vocab_kind_unigram = {"t5", sentence_check, unigram_load, unigram_free, unigram_encode, unigram_decode, unigram_bos,
                                       first, last, true, true, unigram_prefix};
