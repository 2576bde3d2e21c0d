/* engine/text/kind: kinds of vocabularies as rows: how one is loaded out of a file and turns plain text into ids and an id into
 * bytes. A kind knows nothing of added tokens, ends and frames: vocab.c does. Private to engine. */
#ifndef QUORUM_KIND_H
#define QUORUM_KIND_H

#include "engine/text.h"
#include "engine/text/names.h"

typedef struct vocab_kind {
    const char *model;             /* tokenizer.ggml.model */
    /* Whether this file's text is of the kind, from its keys alone. Q_FORMAT with a sentence. */
    int (*check)(const gguf_file *f, char *err);
    /* After that: *own is the kind's, immutable after this and freed by `free`. Q_FORMAT with a sentence. */
    int (*load)(const gguf_file *f, const names *nm, void **own, char *err);
    void (*free)(void *own);
    /* Appends the ids of text without added tokens in it; never a mark, unless it is the token of a single byte. May end
     * early once out holds more than out->most. */
    void (*encode)(const void *own, const names *nm, const char *s, size_t n, eng_tokens *out);
    /* Writes what a normal token or one of a byte decodes to into dst, which holds names_len + 1 bytes; how many. */
    size_t (*decode)(const void *own, const names *nm, int32_t id, char *dst);
    bool (*bos)(const void *own);  /* a token goes before a text where the file does not say (add_bos_token) */
    const char *const *first, *const *last;  /* what goes before and after a text: a key, or a token's own name; the first there is */
    bool eos;                      /* one goes after a text where the file does not say (add_eos_token) */
    bool shrinks;                  /* a text may have far fewer tokens than its bytes say: white space goes */
    bool (*prefix)(const void *own);       /* text that begins, or goes on behind an added token, gets a space first; NULL: no */
} vocab_kind;

extern const vocab_kind vocab_kind_bytelevel, vocab_kind_spm, vocab_kind_unigram, vocab_kind_wordpiece;

#endif
