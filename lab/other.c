/* lab/other: two models on the same text, in bits a byte, which no tokenizer bends; where the vocabularies are one, KL too.
 * Whoever asks learns beforehand whether both fit. The model's thread.
 *
 * Bits a byte: sum of -log2 p over the tokens of a context, by the bytes of that context (as The Pile's authors count, Gao
 * 2020). Contexts are cut in the text, not in tokens: at blank lines, else at line ends, else at blanks. */
#include "base/say.h"
#include "engine/models.h"
#include "lab/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CONTEXT_BYTES = 4096, LEAST_BYTES = 64, ROOM_MARGIN = 64 << 20 /* caches and what else the two need */ };

typedef struct reading {
    eng_model *m;
    const char *text;
    size_t n;
    size_t *first;                       /* [blocks] first byte of each */
    int blocks;
    double *bits;                        /* [blocks] */
    eng_tokens token;                    /* of the context at hand, its beginning first */
    int head;                            /* how many tokens that is */
    size_t at;                           /* where the next token begins in the text */
    int block, n_vocab, tokens;
    const lab_terms *terms;
    int before, total;                   /* KiB, for progress */
    char *err;
} reading;

/* ---- one model ---- */
static size_t context_end(const char *text, size_t n, size_t from, size_t most)
{
    if (n - from <= most)
        return n;
    static const char *const cuts[] = { "\n\n", "\n", " " };
    for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++)
        for (size_t w = strlen(cuts[c]), at = from + most; at > from + most / 2; at--)
            if (memcmp(text + at - w, cuts[c], w) == 0)
                return at;
    return from + q_utf8_whole(text + from, most);
}

static int on_row(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k)
{
    reading *r = user;
    if (pos % 16 == 0 && r->terms->go_on && !r->terms->go_on(r->terms->user, r->before + (int)(r->at >> 10), r->total))
        return q_fail(r->err, Q_CANCEL, _("stopped after %d of %d KiB"), r->before + (int)(r->at >> 10), r->total);
    if (pos + 1 < r->head || pos + 1 >= r->token.n)
        return Q_OK;
    int32_t next = r->token.id[pos + 1];
    size_t bytes = 0;
    while (r->block + 1 < r->blocks && r->at >= r->first[r->block + 1])
        r->block++;
    r->bits[r->block] += (judge_log_sum(logits, r->n_vocab) - (double)logits[next]) / log(2);
    r->tokens++;
    eng_token_bytes(r->m, next, &bytes);
    r->at += bytes;
    return Q_OK;
}

static int begin(reading *r, char *err)
{
    int32_t own = eng_token_begin(r->m);
    r->token.n = 0;
    int rc = Q_OK;
    if (own >= 0)
        eng_tokens_add(&r->token, own);
    else
        rc = eng_tokenize(r->m, "\n", 1, false, &r->token, err);
    r->head = r->token.n;
    return rc;
}

/* Every context of at most `most` bytes under c. */
static int read_all(reading *r, const eng_config *c, size_t most, char *err)
{
    eng_config *with = eng_config_copy(c);
    eng_session *s = NULL;
    char words[24];
    int rc = Q_OK, longest = 16;
    r->err = err;
    r->n_vocab = eng_model_info(r->m)->n_vocab;
    for (int pass = 0; pass < 2 && rc == Q_OK; pass++) {             /* first how long they are, then what they are worth */
        for (size_t from = 0, end; from < r->n && rc == Q_OK; from = end) {
            end = context_end(r->text, r->n, from, most);
            rc = begin(r, err);
            if (rc == Q_OK)
                rc = eng_tokenize(r->m, r->text + from, end - from, false, &r->token, err);
            longest = pass == 0 && r->token.n > longest ? r->token.n : longest;
            r->at = from;
            if (pass == 1 && rc == Q_OK && r->token.n > r->head)
                rc = eng_session_eval(s, r->token.id, r->token.n, 0, NULL, 0, on_row, r, err);
        }
        snprintf(words, sizeof words, "%d", longest);
        if (pass == 0 && rc == Q_OK && (rc = eng_config_set(with, "context.length", words, err)) == Q_OK)
            rc = eng_session_new(r->m, with, &s, err);
    }
    eng_session_free(s);
    eng_config_free(with);
    r->before += (int)(r->n >> 10);
    return rc;
}

/* ---- memory ---- */
int lab_room_for(uint64_t a, uint64_t b, uint64_t have, q_buf *say)
{
    uint64_t most = a > b ? a : b;
    int room = a + b + 2 * (uint64_t)ROOM_MARGIN <= have ? 2 : most + ROOM_MARGIN <= have ? 1 : 0;
    char w1[32], w2[32], w3[32];
    if (room == 1)
        q_buf_say(say, _("the weights are %s and %s, and %s of memory are free: one model after the other, so bits a byte and no KL"), q_bytes_words(a, w1),
                  q_bytes_words(b, w2), q_bytes_words(have, w3));
    if (room == 0)
        q_buf_say(say, _("the weights are %s and %s, but %s of memory are free: a smaller quantisation is needed"), q_bytes_words(a, w1), q_bytes_words(b, w2),
                  q_bytes_words(have, w3));
    return room;
}

static int weights_of(const char *path, uint64_t *out, char *err)
{
    eng_energy e;
    int rc = eng_energy_read(path, &e, err);
    *out = 0;
    for (int p = 0; p < ENG_ENERGY_PARTS && rc == Q_OK; p++)
        *out += e.bytes[p];
    if (rc == Q_OK && q_in_memory(path))
        *out = 0;                        /* what it takes is taken already */
    return rc;
}

static int make_room(const lab_two *w, bool *apart, char *err)
{
    uint64_t bytes[2];
    q_buf say = { 0 };
    int rc = Q_OK;
    for (int i = 0; i < 2 && rc == Q_OK; i++)
        rc = weights_of(w->path[i], &bytes[i], err);
    if (rc == Q_OK) {
        int room = lab_room_for(bytes[0], bytes[1], q_mem_available(), &say);
        *apart = w->apart || room == 1;
        if (room == 0)
            rc = q_fail(err, Q_NOMEM, "%s", say.p);
        else if (room == 1 && w->first)
            rc = q_fail(err, Q_NOMEM, _("%s; quorum compare --other can do that, here the first one stays open"), say.p);
        else if (room == 1 && w->say)
            w->say(w->user, say.p);
    }
    q_buf_free(&say);
    return rc;
}

/* ---- both ---- */
static bool opening(void *user)
{
    const lab_terms *t = user;
    return !t->go_on || t->go_on(t->user, 0, 1);
}

static int open_one(const lab_two *w, int i, const lab_terms *terms, eng_model **m, eng_config **c, q_buf *said, char *err)
{
    int rc = Q_OK;
    *m = i == 0 ? w->first : NULL;
    if (!*m)
        rc = eng_model_open(w->path[i], &(eng_open_opts){ .n_threads = w->threads, .go_on = opening, .user = (void *)(uintptr_t)terms }, m, err);
    if (rc)
        return rc;
    *c = eng_config_new(*m);
    if (w->spec[i])
        return lab_spec(*c, w->spec[i], said, err);
    return i == 0 && w->now ? eng_config_from_json(*c, w->now, err) : Q_OK;
}

static void close_one(const lab_two *w, eng_model **m, eng_config **c)
{
    eng_config_free(*c);
    if (*m && *m != w->first)
        eng_model_free(*m);
    *m = NULL;
    *c = NULL;
}

static bool same_vocabulary(const eng_model *a, const eng_model *b)
{
    int n = eng_model_info(a)->n_vocab;
    bool same = n == eng_model_info(b)->n_vocab;
    for (int32_t i = 0; i < n && same; i++) {
        size_t x, y;
        const char *p = eng_token_bytes(a, i, &x), *q = eng_token_bytes(b, i, &y);
        same = x == y && memcmp(p, q, x) == 0 && eng_token_control(a, i) == eng_token_control(b, i);
    }
    return same;
}

/* The words of two vocabularies may be the same and their merges not. */
static bool same_tokens(const eng_model *a, const eng_model *b, const char *text, size_t n)
{
    char ignored[Q_ERRLEN];
    eng_tokens x = { 0 }, y = { 0 };
    bool same = same_vocabulary(a, b) && eng_tokenize(a, text, n, false, &x, ignored) == Q_OK && eng_tokenize(b, text, n, false, &y, ignored) == Q_OK &&
                x.n == y.n && memcmp(x.id, y.id, sizeof *x.id * (size_t)x.n) == 0;
    eng_tokens_free(&x);
    eng_tokens_free(&y);
    return same;
}

static void conclude(const reading r[2], lab_bits *out)
{
    double *count = q_alloc(sizeof *count * (size_t)r->blocks), *less = q_alloc(sizeof *less * (size_t)r->blocks);
    for (int i = 0; i < r->blocks; i++) {
        count[i] = (double)((i + 1 < r->blocks ? r->first[i + 1] : r->n) - r->first[i]);
        less[i] = r[1].bits[i] - r[0].bits[i];
    }
    for (int s = 0; s < 2; s++) {
        out->bits[s] = judge_ratio(r[s].bits, count, r->blocks);
        out->tokens[s] = r[s].tokens;
    }
    out->less = judge_ratio(less, count, r->blocks);
    out->different = out->less.low > 0 || out->less.high < 0;
    free(count);
    free(less);
}

static int run(const lab_two *w, bool apart, reading r[2], const char *text, size_t n, const lab_terms *terms, lab_bits *out, q_buf *said, char *err)
{
    eng_model *m[2] = { NULL, NULL };
    eng_config *c[2] = { NULL, NULL };
    size_t most = terms->window ? (size_t)terms->window * 4 : CONTEXT_BYTES;
    int rc = Q_OK;
    for (int s = 0; s < 2 && rc == Q_OK; s++) {
        rc = open_one(w, s, terms, &m[s], &c[s], said, err);
        if (rc == Q_OK) {
            eng_cost cost = eng_model_cost(m[s], c[s]);
            out->read[s] = cost.bytes_layers + cost.bytes_head;
            out->model[s] = q_strdup(eng_model_info(m[s])->name);
            r[s].m = m[s];
            r[s].before = s ? r[0].before : 0;
            rc = read_all(&r[s], c[s], most, err);
        }
        if (apart)
            close_one(w, &m[s], &c[s]);
    }
    if (rc == Q_OK && !apart) {
        out->same_vocabulary = same_tokens(m[0], m[1], text, n);
        if (out->same_vocabulary && r[0].tokens >= TEXT_LEAST) {
            rc = compare_models(m[0], c[0], m[1], c[1], text, n, terms, &out->kl, err);
            out->compared = rc == Q_OK;
        }
    }
    for (int s = 0; s < 2; s++)
        close_one(w, &m[s], &c[s]);
    return rc;
}

int lab_other(const lab_two *w, const char *text, size_t n, const lab_terms *terms, lab_bits *out, q_buf *said, char *err)
{
    static const lab_terms usual = { .window = 0 };
    bool apart = w->apart;
    size_t *first = NULL;
    *out = (lab_bits){ .bytes = (int64_t)n };
    terms = terms ? terms : &usual;
    if (n < LEAST_BYTES)
        return q_fail(err, Q_RANGE, _("the text has %d bytes: two models are compared on at least %d"), (int)n, LEAST_BYTES);
    int rc = make_room(w, &apart, err);
    if (rc)
        return rc;
    out->blocks = text_blocks(text, n, &first, &out->by_paragraph);
    reading r[2] = { { .text = text, .n = n, .first = first, .blocks = out->blocks, .terms = terms, .total = (int)(n >> 9) } };
    r[1] = r[0];
    for (int s = 0; s < 2; s++)
        r[s].bits = q_alloc(sizeof *r[s].bits * (size_t)out->blocks);
    rc = run(w, apart, r, text, n, terms, out, said, err);
    if (rc == Q_OK)
        conclude(r, out);
    for (int s = 0; s < 2; s++) {
        eng_tokens_free(&r[s].token);
        free(r[s].bits);
    }
    free(first);
    if (rc)
        lab_bits_free(out);
    return rc;
}

int lab_other_beside(struct eng_cache *beside, const lab_two *w, const char *text, size_t n, const lab_terms *terms, lab_bits *out, q_buf *said, char *err)
{
    lab_two two = *w;
    two.first = eng_cache_model(beside);
    return lab_other(&two, text, n, terms, out, said, err);
}

void lab_bits_free(lab_bits *o)
{
    for (int s = 0; s < 2; s++)
        free(o->model[s]);
    lab_compared_free(&o->kl);
    *o = (lab_bits){ .bytes = 0 };
}

/* ---- words ---- */
void lab_bits_say(const lab_bits *o, const char *a, const char *b, q_buf *out)
{
    const char *const spec[2] = { a, b };
    char w[32];
    for (int s = 0; s < 2; s++) {
        q_buf_say(out, "%s  %s · %s\n", s ? "B" : "A", o->model[s], spec[s]);
        q_buf_say(out, _("   %.4f bits a byte (95%%: %.4f to %.4f) · %d tokens · reads %s a token\n"), o->bits[s].mean, o->bits[s].low, o->bits[s].high,
                  o->tokens[s], q_bytes_words(o->read[s], w));
    }
    q_buf_say(out, _("B less A  %+.4f bits a byte (95%%: %.4f to %.4f)\n"), o->less.mean, o->less.low, o->less.high);
    q_buf_say(out, o->by_paragraph ? ngettext("%lld bytes in %d paragraph\n", "%lld bytes in %d paragraphs\n", (unsigned long)o->blocks)
                                   : _("%lld bytes in %d pieces of equal length: there are too few paragraphs\n"), (long long)o->bytes, o->blocks);
    if (o->compared) {
        q_buf_say(out, _("KL(A,B)   %.3g nats a token (95%%: %.3g to %.3g)\n"), o->kl.kl.mean, o->kl.kl.low, o->kl.kl.high);
        q_buf_say(out, _("same likeliest next token: %.1f%%\n"), 100 * o->kl.top1);
    } else if (!o->same_vocabulary)
        q_buf_say(out, _("no KL: that needs both in memory with one vocabulary\n"));
    if (!o->different)
        q_buf_say(out, "%s\n", o->less.low == 0 && o->less.high == 0 ? _("no difference") : _("which of them foretells this text better is within chance"));
    else
        q_buf_say(out, o->less.high < 0 ? _("B foretells this text better,\nwhich alone does not make its answers better\n")
                                        : _("A foretells this text better,\nwhich alone does not make its answers better\n"));
}
