/* engine/convert/words: a tokenizer on its way into a GGUF: texts, types and scores of tokens by their ids, and what of a text's form
 * is known, whichever file they were read from (tokenizer.c: byte pairs; pieces.c: SentencePiece's). One thread; private to engine. */
#ifndef QUORUM_CONVERT_WORDS_H
#define QUORUM_CONVERT_WORDS_H

#include "engine/convert/parts.h"

#include <cjson/cJSON.h>

/* gguf.TokenType, which is SentencePiece's own numbering (sentencepiece_model.proto). */
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER = 4, TYPE_UNUSED = 5, TYPE_BYTE = 6 };
enum word_id { WORD_UNK, WORD_BOS, WORD_EOS, WORD_PAD, WORD_IDS };

typedef struct words {
    const char *folder;
    cJSON *json, *config;              /* tokenizer.json, tokenizer_config.json; NULL: there is none */
    char **token;                      /* [n], malloc'ed each; NULL: no token has that id */
    int32_t *type;                     /* [n] */
    float *score;                      /* [n]; NULL: of byte pairs, which have merges */
    int n;                             /* rows of the embedding */
    bool unigram;                      /* pieces are chosen by their sum, not joined */
    bool prefix, squeeze;              /* of pieces: "▁" goes first; runs of spaces become one */
    int id[WORD_IDS];                  /* that the vocabulary itself names, -1 */
    q_buf charsmap;                    /* its table of characters; empty: none */
} words;

const cJSON *words_get(const cJSON *j, const char *key);
const char *words_text(const cJSON *j, const char *key);
/* A token in its place, in that of another one too. Q_FORMAT: file numbers one beyond n. */
int words_put(words *, double id, const char *text, size_t len, int type, float score, const char *file, char *err);
/* added_tokens of tokenizer.json, else added_tokens_decoder of tokenizer_config.json, else added_tokens.json: each in its place. */
int words_added(words *, char *err);
/* [PADn] for each id that no token has. */
void words_fill(words *);
int words_find(const words *, const char *text);       /* the id of an added, control or unknown token; -1 */
const char *words_named(const cJSON *config, const char *key);      /* "bos_token": a text, or an object with it; NULL */
void words_free(words *);

/* ---- SentencePiece's (pieces.c): tokenizer.model, or what tokenizer.json keeps of it ---- */
bool pieces_are(const words *);        /* this folder's vocabulary is one */
/* token, type, score and form. Q_RANGE: of a kind that is not converted, or merges that scores cannot say. */
int pieces_read(words *, char *err);
/* tokenizer.model's text of n bytes (model.c). Q_FORMAT: it is none; Q_RANGE: of a kind that is not converted. */
int pieces_model(words *, const char *p, size_t n, char *err);
/* Scores that say the same as tokenizer.json's merges do (merges.c). Q_RANGE: none do. */
int pieces_merges(words *, char *err);

#endif
