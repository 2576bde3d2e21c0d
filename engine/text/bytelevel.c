/* engine/text/bytelevel: the kind of vocabulary that GPT-2 began: bytes spelt as printable characters, text cut by a
 * pre-tokeniser's expression, pairs merged by rank (tokenizer.ggml.model "gpt2"). Immutable after load, any thread. */
#include "engine/text/bpe.h"
#include "engine/text/kind.h"
#include "engine/text/pretok.h"

#include <stdlib.h>
#include <string.h>

typedef struct bytelevel {
    const pretok_family *family;
    bpe *merges;
    int32_t byte_id[256];          /* the token of each byte, -1 where the vocabulary lacks it */
    short byte_of[0x200];          /* byte-level characters lie below U+0200; -1: none */
} bytelevel;

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

static void load_bytes(bytelevel *v, const names *nm)
{
    memset(v->byte_of, -1, sizeof v->byte_of);
    for (int b = 0; b < 256; b++) {
        char u[4];
        v->byte_of[byte_char(b)] = (short)b;
        v->byte_id[b] = names_find(nm, u, (size_t)q_utf8_put(u, byte_char(b)));
        if (v->byte_id[b] >= 0 && nm->type[v->byte_id[b]] != VOCAB_NORMAL) v->byte_id[b] = -1;
    }
}

/* A name with a character outside the byte alphabet stands for its own UTF-8. */
static size_t bytelevel_decode(const void *own, const names *nm, int32_t id, char *dst)
{
    const bytelevel *v = own;
    const char *s = names_of(nm, id);
    size_t n = names_len(nm, id), w = 0;
    for (size_t k = 0; k < n;) {
        uint32_t cp;
        k += (size_t)q_utf8_next(s + k, n - k, &cp);
        if (cp >= 0x200 || v->byte_of[cp] < 0) {
            memcpy(dst, s, n);
            return n;
        }
        dst[w++] = (char)v->byte_of[cp];
    }
    return w;
}

/* A merge on its way into the table: both sides with what names_ahead gave for them. */
typedef struct merge { const char *s[2]; size_t n[2]; uint32_t hash[2]; } merge;

/* Announces the sides' names. False: there are no two. */
static bool merge_read(merge *m, gguf_str s, const names *nm)
{
    const char *gap = s.n > 2 ? memchr(s.p + 1, ' ', s.n - 2) : NULL;      /* neither side is empty */
    if (!gap) return false;
    *m = (merge){ { s.p, gap + 1 }, { (size_t)(gap - s.p), s.n - (size_t)(gap - s.p) - 1 }, { 0 } };
    for (int i = 0; i < 2; i++) m->hash[i] = names_ahead(nm, m->s[i], m->n[i]);
    return true;
}

/* The token that both sides give. Vocabularies are numbered as their merges came, so it mostly follows the last one: `guess`. */
static int32_t merge_gives(const merge *m, const names *nm, int32_t guess, q_buf *both)
{
    if (!nm->twice && guess < nm->n && names_len(nm, guess) == m->n[0] + m->n[1] && memcmp(names_of(nm, guess), m->s[0], m->n[0]) == 0 &&
        memcmp(names_of(nm, guess) + m->n[0], m->s[1], m->n[1]) == 0)
        return guess;
    q_buf_clear(both);
    for (int i = 0; i < 2; i++) q_buf_add(both, m->s[i], m->n[i]);
    return names_find(nm, both->p, both->len);
}

static int load_merges(bytelevel *v, const names *nm, const gguf_kv *kv, char *err)
{
    v->merges = bpe_new((size_t)kv->count);
    q_buf both = {0};
    merge m[NAMES_AHEAD];
    int32_t id[NAMES_AHEAD][3], last = -1;
    int rc = Q_OK;
    for (uint64_t from = 0, n; from < kv->count && !rc; from += n) {
        n = kv->count - from < NAMES_AHEAD ? kv->count - from : NAMES_AHEAD;
        for (uint64_t i = 0; i < n && !rc; i++)
            if (!merge_read(&m[i], kv->strings[from + i], nm))
                rc = q_fail(err, Q_FORMAT, _("merge %llu is not two tokens with a space between; the file is damaged"), (unsigned long long)(from + i));
        for (uint64_t i = 0; i < n && !rc; i++) {
            for (int k = 0; k < 2; k++) id[i][k] = names_find_hashed(nm, m[i].s[k], m[i].n[k], m[i].hash[k]);
            bpe_ahead(v->merges, id[i][0], id[i][1]);
            id[i][2] = merge_gives(&m[i], nm, last + 1, &both);
            if (id[i][2] >= 0) last = id[i][2];
        }
        /* A pair whose sides or result are no tokens can never come up or be written: trimmed vocabularies have them. Letters
         * are never joined to a mark of the frame either. */
        for (uint64_t i = 0; i < n && !rc; i++)
            if (id[i][0] >= 0 && id[i][1] >= 0 && id[i][2] >= 0 && !nm->mark[id[i][2]]) bpe_add(v->merges, id[i][0], id[i][1], (int32_t)(from + i), id[i][2]);
    }
    q_buf_free(&both);
    return rc;
}

/* The family of pre-tokenisers, or NULL with a sentence. */
static const pretok_family *family_of(const gguf_file *f, char *err)
{
    gguf_str s;
    if (!gguf_string(f, "tokenizer.ggml.pre", &s)) {
        q_fail(err, Q_FORMAT, _("the file does not say how it cuts text (tokenizer.ggml.pre); it is too old, take a newer conversion"));
        return NULL;
    }
    const pretok_family *family = pretok_find(s.p, s.n);
    if (family) return family;
    q_buf list = {0};
    pretok_names(&list);
    char *name = q_strndup(s.p, s.n < 40 ? s.n : 40), *shown = q_utf8_clean(name, strlen(name));
    q_fail(err, Q_FORMAT, _("the pre-tokeniser \"%s\" is not known, wrong tokens would follow; known are: %s"), shown, list.p);
    q_buf_free(&list);
    free(name);
    free(shown);
    return NULL;
}

static int bytelevel_check(const gguf_file *f, char *err)
{
    const gguf_kv *kv = gguf_find(f, "tokenizer.ggml.merges");
    if (!family_of(f, err)) return Q_FORMAT;
    if (!kv || kv->type != GGUF_ARR || kv->item != GGUF_STR)
        return q_fail(err, Q_FORMAT, _("the file has no merges (tokenizer.ggml.merges); take another file of this model"));
    if (kv->count > INT32_MAX / 2) return q_fail(err, Q_FORMAT, _("tokenizer.ggml.merges is beyond reason"));
    return Q_OK;
}

static void bytelevel_free(void *own)
{
    bytelevel *v = own;
    if (!v) return;
    bpe_free(v->merges);
    free(v);
}

static int bytelevel_load(const gguf_file *f, const names *nm, void **own, char *err)
{
    bytelevel *v = q_alloc(sizeof *v);
    v->family = family_of(f, err);
    int rc = v->family ? Q_OK : Q_FORMAT;
    if (!rc) rc = load_merges(v, nm, gguf_find(f, "tokenizer.ggml.merges"), err);
    if (rc) { bytelevel_free(v); return rc; }
    load_bytes(v, nm);
    *own = v;
    return Q_OK;
}

static bool bytelevel_bos(const void *own) { return ((const bytelevel *)own)->family->bos; }

/* ---- text to ids ---- */
typedef struct scratch { int32_t *sym; size_t cap; } scratch;

static void encode_piece(const bytelevel *v, const names *nm, const char *s, size_t n, scratch *x, eng_tokens *out)
{
    if (v->family->whole_words) {
        /* The token is looked up by its byte-level name. */
        char small[256], *name = n <= 128 ? small : q_alloc(n * 2);
        size_t w = 0;
        for (size_t i = 0; i < n; i++) w += (size_t)q_utf8_put(name + w, byte_char((unsigned char)s[i]));
        int32_t id = names_find(nm, name, w);
        if (name != small) free(name);
        if (id >= 0 && nm->type[id] == VOCAB_NORMAL && !nm->mark[id]) { eng_tokens_add(out, id); return; }
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

static void bytelevel_encode(const void *own, const names *nm, const char *s, size_t n, eng_tokens *out)
{
    const bytelevel *v = own;
    q_buf nfc = {0};
    scratch x = {0};
    if (v->family->nfc && !pretok_is_nfc(s, n)) {
        pretok_nfc(s, n, &nfc);
        s = nfc.p;
        n = nfc.len;
    }
    pretok p = {.family = v->family, .s = s, .n = n};
    size_t from;
    while ((out->most <= 0 || out->n <= out->most) && pretok_next(&p, &from)) encode_piece(v, nm, s + from, p.at - from, &x, out);
    q_buf_free(&nfc);
    free(x.sym);
}

static const char *const first[] = {"tokenizer.ggml.bos_token_id", NULL}, *const last[] = {"tokenizer.ggml.eos_token_id", NULL};
const vocab_kind vocab_kind_bytelevel = {"gpt2", bytelevel_check, bytelevel_load, bytelevel_free, bytelevel_encode, bytelevel_decode, bytelevel_bos,
                                         first, last, false, false, NULL};
