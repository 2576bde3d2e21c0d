/* engine/text/trie: byte strings found by walking them from their first byte: all tokens that a text goes on with, in one pass.
 * Copies nothing but bytes and ids; immutable after trie_make, any thread may walk. Private to engine. */
#ifndef QUORUM_TRIE_H
#define QUORUM_TRIE_H

#include "base/base.h"

typedef struct trie_key { const char *p; uint32_t n; int32_t id; } trie_key;       /* n > 0 */
typedef struct trie_node { uint32_t first; int32_t id; uint16_t count; uint8_t byte; } trie_node;
typedef struct trie { trie_node *node; uint32_t n; } trie;      /* node 0 is the root; children of one stand in a row by byte */

/* Sorts keys in place. Of equal ones the lowest id counts. All keys together are at most TRIE_MOST bytes. */
enum { TRIE_MOST = 1 << 28 };
void trie_make(trie *, trie_key *keys, size_t n);
void trie_free(trie *);

/* The node after `at` by this byte, or 0: no key goes on so. node[].id: the key that ends there, -1: none does. */
static inline uint32_t trie_step(const trie *t, uint32_t at, unsigned char byte)
{
    const trie_node *n = &t->node[at];
    uint32_t lo = n->first, hi = lo + n->count;
    while (lo < hi) {
        uint32_t m = (lo + hi) / 2;
        if (t->node[m].byte < byte) lo = m + 1; else hi = m;
    }
    return lo < n->first + n->count && t->node[lo].byte == byte ? lo : 0;
}

#endif
