/* engine/text/names: the tokens of a vocabulary as the file spells them, found by name, each with its type. Copied out of the
 * file; immutable after names_load, any thread may read. Private to engine. */
#ifndef QUORUM_NAMES_H
#define QUORUM_NAMES_H

#include "engine/file/gguf.h"

/* Values of tokenizer.ggml.token_type (gguf.md). */
enum vocab_type { VOCAB_NORMAL = 1, VOCAB_UNKNOWN = 2, VOCAB_CONTROL = 3, VOCAB_USER = 4, VOCAB_UNUSED = 5, VOCAB_BYTE = 6 };

typedef struct names {
    int n;
    char *text;                    /* every name, each followed by 0 */
    size_t *at;                    /* [n + 1] */
    unsigned char *type;           /* [n] vocab_type */
    bool *mark;                    /* [n] never comes out of plain text: control, user-defined, ends, marks of known frames */
    uint64_t salt;                 /* of the hash: files cannot be made to collide */
    bool twice;                    /* a name occurs more than once */
    struct names_slot { uint32_t hash; int32_t id; } *slot;   /* name -> id; id < 0: empty */
    size_t mask;
} names;

/* Q_FORMAT with a sentence. What is loaded so far stays names_free's. Marks are left false: vocab.c knows them. */
int names_load(const gguf_file *f, names *out, char *err);
int names_check(const gguf_file *f, char *err);        /* that the list is there and within reason */
void names_free(names *);
int32_t names_find(const names *, const char *s, size_t n);        /* of equal names the first; -1: none */
/* The same for many names: each is announced, and looked for after some others were, NAMES_AHEAD at a time. A look-up waits for memory alone
 * otherwise (100 ns in a vocabulary of 150,000, which has half a million of them while it is loaded). The hash is what names_ahead gave. */
enum { NAMES_AHEAD = 32 };
uint32_t names_ahead(const names *, const char *s, size_t n);
int32_t names_find_hashed(const names *, const char *s, size_t n, uint32_t hash);
static inline const char *names_of(const names *v, int32_t id) { return v->text + v->at[id]; }
static inline size_t names_len(const names *v, int32_t id) { return v->at[id + 1] - v->at[id] - 1; }

#endif
