/* engine/text/pretok: cuts text into the pieces inside which BPE may merge, as the published regular expressions
 * of each family do, and puts text into NFC where a family asks for it. Holds no state but its argument.
 * Private to engine. Bytes that are not UTF-8 count as one symbol each and pass unchanged. */
#ifndef QUORUM_PRETOK_H
#define QUORUM_PRETOK_H

#include "base/base.h"

enum { PRETOK_STAGES = 6 };
typedef size_t pretok_scan(const char *s, size_t i, size_t end);   /* where the piece that begins at i < end ends: i < it <= end */
typedef struct pretok_family {
    const char *name;              /* tokenizer.ggml.pre */
    pretok_scan *const *scan;      /* at most PRETOK_STAGES and NULL; each cuts the pieces of the one before; pretok.c quotes the expressions */
    bool nfc;                      /* normalise first */
    bool whole_words;              /* a piece that is a token as it stands is not merged (ignore_merges) */
    bool bos;                      /* a BOS token goes first where the file does not say */
} pretok_family;
const pretok_family *pretok_find(const char *name, size_t n);      /* NULL if unknown */
void pretok_names(q_buf *out);                                     /* "gpt2, gpt-2, ..." */

typedef struct pretok { const pretok_family *family; const char *s; size_t n, at, limit[PRETOK_STAGES]; } pretok;
/* The next piece s[*from .. at) of p; false at the end. Start with {family, s, n}. */
bool pretok_next(pretok *p, size_t *from);

/* Appends text in NFC to out. Linear in n whatever the text. */
void pretok_nfc(const char *text, size_t n, q_buf *out);
/* True when the text holds nothing that NFC could change (a quick, sufficient check). */
bool pretok_is_nfc(const char *text, size_t n);

#endif
