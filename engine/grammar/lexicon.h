/* engine/grammar/lexicon: a vocabulary as a tree of its tokens' bytes, laid out so that walking it is going through a list. Copied out
 * of the model, immutable, any thread. Tokens that end a reply are in no tree; a control token stands there as the byte 0xFF, its name,
 * 0xFE; a token with bytes that are in no UTF-8 text is left out. Private to engine. */
#ifndef QUORUM_LEXICON_H
#define QUORUM_LEXICON_H

#include "engine/text.h"

typedef struct lexicon_node {            /* one byte of a token, behind those of the nodes around it */
    uint32_t behind;                     /* the node behind all that go on from here */
    int32_t id;                          /* the token that ends here; -1: none does. More of the same bytes: same[id] */
    uint16_t deep;                       /* from 1 */
    uint8_t byte;
} lexicon_node;
typedef struct lexicon_tree { lexicon_node *node; uint32_t n; } lexicon_tree;
enum { LEXICON_SHORT, LEXICON_LONG, LEXICON_TREES };     /* tokens of up to FORM_ALIKE bytes, longer ones */
typedef struct lexicon {
    int n_vocab, deepest;
    lexicon_tree tree[LEXICON_TREES];
    int32_t *same;                       /* [n_vocab] -1: no other */
    int32_t *end; int n_end;             /* tokens that end a reply */
    uint64_t *never;                     /* bits of those that stand in no tree and end nothing */
    int32_t think;                       /* the token that opens a thought; -1: none does alone */
} lexicon;

lexicon *lexicon_new(const eng_model *);
void lexicon_free(lexicon *);

#endif
