/* engine/text/sentence: what the kinds of vocabularies that SentencePiece makes share (unigram.c, spm.c): how a text is normalised
 * before it is cut, how spaces and single bytes are spelt, and what becomes of characters that no token has. Copies what it needs out
 * of the file; immutable after sentence_load, any thread. Private to engine. By src/normalizer.cc and src/sentencepiece_processor.cc
 * of sentencepiece. */
#ifndef QUORUM_SENTENCE_H
#define QUORUM_SENTENCE_H

#include "engine/text.h"
#include "engine/text/charsmap.h"
#include "engine/text/names.h"

static const char SENTENCE_SPACE[] = "\xE2\x96\x81";       /* U+2581 */
enum { SENTENCE_SPACE_N = sizeof SENTENCE_SPACE - 1 };

typedef struct sentence {
    charsmap table;
    int32_t unknown;               /* -1: none, unknown characters are left out */
    int32_t byte_id[256];          /* where bytes is set: what unknown characters are written in */
    bool bytes, prefix, squeeze;   /* "▁" goes first; runs of spaces become one, those at the ends go */
} sentence;

/* prefix and squeeze as the file says, else as they stand in *out. Q_FORMAT with a sentence; then *out holds nothing. */
int sentence_load(const gguf_file *f, const names *nm, sentence *out, char *err);
void sentence_free(sentence *);
int sentence_check(const gguf_file *f, char *err);         /* that each token has a score */
/* [tokens], malloc'ed. Q_FORMAT: one is no number. */
int sentence_scores(const gguf_file *f, const names *nm, float **out, char *err);
/* Appends s normalised, spaces spelt "▁". Bytes that are no characters stay where the vocabulary can write them and no table
 * replaces anything, else each is U+FFFD. */
void sentence_normalise(const sentence *, const char *s, size_t n, q_buf *out);
/* The end of the stretch of s that begins at i, cut before each "▁" that stands behind something else. */
size_t sentence_word(const char *s, size_t n, size_t i);
/* As vocab_kind's decode: "▁" is a space, <0x0A> the byte. */
size_t sentence_decode(const names *nm, int32_t id, char *dst);
/* Writes n bytes of one character that no token has; *unknown: the last token written was the unknown one, neighbours are one. */
void sentence_unknown(const sentence *, const char *s, size_t n, bool *unknown, eng_tokens *out);
/* A piece that text may be written in. */
static inline bool sentence_piece(const names *nm, int32_t i) { return nm->type[i] == VOCAB_NORMAL && !nm->mark[i] && names_len(nm, i) > 0; }

#endif
