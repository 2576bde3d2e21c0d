/* engine/convert/model: SentencePiece's tokenizer.model, of which the few fields that say how a text is cut are read. A protocol buffer
 * (protobuf.dev/programming-guides/encoding): fields of a number and a kind, kinds 0 (varint), 1 (8 bytes), 2 (length and bytes), 5 (4 bytes).
 * Numbers of fields: src/sentencepiece_model.proto of sentencepiece. Every length is held against what is left. */
#include "engine/convert/words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader { const uint8_t *p, *end; bool bad; } reader;
typedef struct field { int number, kind; uint64_t v; reader in; } field;     /* v: kinds 0, 1 and 5; in: the bytes of kind 2 */

enum { VARINT = 0, EIGHT = 1, BYTES = 2, FOUR = 5 };
enum { PIECES = 1, TRAINER = 2, NORMALIZER = 3, PIECE = 1, SCORE = 2, TYPE = 3, MODEL_TYPE = 3, SUFFIX = 24, UNK = 40, BOS = 41, EOS = 42, PAD = 43,
       CHARSMAP = 2, PREFIX = 3, SQUEEZE = 4, ESCAPE = 5, UNIGRAM = 1, BPE = 2 };

static uint64_t varint(reader *r)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 64 && r->p < r->end; shift += 7) {
        uint8_t b = *r->p++;
        v |= (uint64_t)(b & 127) << shift;
        if (b < 128) return v;
    }
    r->bad = true;
    return 0;
}

static uint64_t fixed(reader *r, int n)
{
    uint64_t v = 0;
    if (r->end - r->p < n) {
        r->bad = true;
        return 0;
    }
    for (int i = 0; i < n; i++) v |= (uint64_t)r->p[i] << 8 * i;
    r->p += n;
    return v;
}

/* False: nothing is left, or r->bad. */
static bool next(reader *r, field *f)
{
    if (r->bad || r->p == r->end) return false;
    uint64_t tag = varint(r);
    *f = (field){ .number = tag >> 3 <= 1 << 29 ? (int)(tag >> 3) : 0, .kind = (int)(tag & 7) };
    if (f->kind == VARINT) f->v = varint(r);
    else if (f->kind == EIGHT || f->kind == FOUR) f->v = fixed(r, f->kind == EIGHT ? 8 : 4);
    else if (f->kind == BYTES) {
        uint64_t n = varint(r);
        if (n > (uint64_t)(r->end - r->p)) r->bad = true;
        else f->in = (reader){ r->p, r->p + n, false }, r->p += n;
    } else r->bad = true;
    r->bad = r->bad || f->number < 1;
    return !r->bad;
}

/* Field `number` of kind VARINT, or `otherwise`; the last one counts. */
static int64_t whole(reader r, int number, int64_t otherwise)
{
    for (field f; next(&r, &f);)
        if (f.number == number && f.kind == VARINT) otherwise = (int64_t)f.v;
    return otherwise;
}

static int one_piece(words *o, int id, reader r, bool *bad, char *err)
{
    reader text = { 0 };
    uint32_t bits = 0;
    float score;
    int64_t type = whole(r, TYPE, TYPE_NORMAL);
    for (field f; next(&r, &f);)
        if (f.number == PIECE && f.kind == BYTES) text = f.in;
        else if (f.number == SCORE && f.kind == FOUR) bits = (uint32_t)f.v;
    memcpy(&score, &bits, sizeof score);
    size_t n = (size_t)(text.end - text.p);
    *bad = r.bad || !isfinite(score) || type < TYPE_NORMAL || type > TYPE_BYTE || (n && memchr(text.p, 0, n));
    return *bad ? Q_OK : words_put(o, id, n ? (const char *)text.p : "", n, (int)type, score, "tokenizer.model", err);
}

static int form(words *o, reader trainer, reader normalizer, char *err)
{
    static const struct { enum word_id id; int field, otherwise; } ids[] = { { WORD_UNK, UNK, 0 }, { WORD_BOS, BOS, 1 }, { WORD_EOS, EOS, 2 }, { WORD_PAD, PAD, -1 } };
    int64_t kind = whole(trainer, MODEL_TYPE, UNIGRAM);
    if (kind != UNIGRAM && kind != BPE)
        return q_fail(err, Q_RANGE, _("%s/tokenizer.model is of whole words or of single characters, which is not converted: BPE and unigram are"), o->folder);
    if (whole(trainer, SUFFIX, 0) || !whole(normalizer, ESCAPE, 1))
        return q_fail(err, Q_RANGE, _("%s/tokenizer.model writes spaces behind words, or as they are, which is not converted"), o->folder);
    o->unigram = kind == UNIGRAM;
    o->prefix = whole(normalizer, PREFIX, 1) != 0;
    o->squeeze = whole(normalizer, SQUEEZE, 1) != 0;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        int64_t v = (int32_t)whole(trainer, ids[i].field, ids[i].otherwise);
        o->id[ids[i].id] = v >= 0 && v < o->n ? (int)v : -1;
    }
    for (field f; next(&normalizer, &f);)
        if (f.number == CHARSMAP && f.kind == BYTES) {
            o->charsmap.len = 0;
            q_buf_add(&o->charsmap, f.in.p, (size_t)(f.in.end - f.in.p));
        }
    return Q_OK;
}

int pieces_model(words *o, const char *p, size_t n, char *err)
{
    reader all = { (const uint8_t *)p, (const uint8_t *)p + n, false }, trainer = { 0 }, normalizer = { 0 };
    int rc = Q_OK, id = 0;
    bool bad = false;
    for (field f; !rc && !bad && next(&all, &f);) {
        if (f.kind != BYTES) continue;
        if (f.number == PIECES) rc = one_piece(o, id++, f.in, &bad, err);
        else if (f.number == TRAINER) trainer = f.in;
        else if (f.number == NORMALIZER) normalizer = f.in;
    }
    if (rc) return rc;
    if (all.bad || bad || !id)
        return q_fail(err, Q_FORMAT, _("%s/tokenizer.model is no vocabulary of SentencePiece's, or is damaged: fetch it again"), o->folder);
    return form(o, trainer, normalizer, err);
}
