/* engine/text/charsmap: SentencePiece's table of replacements (tokenizer.ggml.precompiled_charsmap): the longest run of bytes
 * that the table knows is replaced, all else stays. Every place of a damaged table is checked when it is looked up. Immutable
 * after charsmap_load, any thread. Private to engine. Format: sentencepiece, src/normalizer.cc; darts-clone for its trie. */
#ifndef QUORUM_CHARSMAP_H
#define QUORUM_CHARSMAP_H

#include "base/base.h"

enum { CHARSMAP_MOST = 255 };      /* bytes of a replacement; Unicode's longest (NFKC of U+FDFA) has 33: a text cannot become without bounds longer */
typedef struct charsmap {
    uint32_t *unit, n;             /* the double array; 0: no table, nothing is replaced */
    char *text;                    /* replacements, each ended by 0, and one 0 more at the end of all */
    size_t text_n;
} charsmap;

int charsmap_load(charsmap *, const void *p, size_t n, char *err);      /* n == 0: no table. Q_FORMAT with a sentence */
void charsmap_free(charsmap *);
/* Bytes of s[0..n), n > 0, that are replaced, by *to; 0: none begin here. */
size_t charsmap_at(const charsmap *, const char *s, size_t n, const char **to);

#endif
