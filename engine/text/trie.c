/* engine/text/trie: see trie.h. Made a level at a time out of the sorted keys: a node is a range of keys that agree so far. */
#include "engine/text/trie.h"

#include <stdlib.h>
#include <string.h>

static int by_bytes(const void *x, const void *y)
{
    const trie_key *a = x, *b = y;
    uint32_t n = a->n < b->n ? a->n : b->n;
    int d = memcmp(a->p, b->p, n);
    return d ? d : a->n != b->n ? (a->n < b->n ? -1 : 1) : (a->id > b->id) - (a->id < b->id);
}

typedef struct range { size_t lo, hi; } range;

void trie_make(trie *t, trie_key *keys, size_t n)
{
    if (n) qsort(keys, n, sizeof *keys, by_bytes);
    size_t cap = 1024;
    range *of = q_alloc(cap * sizeof *of);
    t->node = q_alloc(cap * sizeof *t->node);
    t->n = 1;
    of[0] = (range){0, n};
    t->node[0].id = -1;
    uint32_t at = 0, depth = 0;
    for (uint32_t level = 1; at < t->n; depth++, level = t->n)
        for (; at < level; at++) {
            size_t lo = of[at].lo, hi = of[at].hi;
            if (lo < hi && keys[lo].n == depth) t->node[at].id = keys[lo].id;
            while (lo < hi && keys[lo].n == depth) lo++;
            t->node[at].first = t->n;
            while (lo < hi) {
                size_t end = lo;
                while (end < hi && keys[end].p[depth] == keys[lo].p[depth]) end++;
                if (t->n == cap) {
                    cap *= 2;
                    of = q_realloc(of, cap * sizeof *of);
                    t->node = q_realloc(t->node, cap * sizeof *t->node);
                }
                of[t->n] = (range){lo, end};
                t->node[t->n] = (trie_node){.id = -1, .byte = (uint8_t)keys[lo].p[depth]};
                t->n++;
                t->node[at].count++;
                lo = end;
            }
        }
    free(of);
}

void trie_free(trie *t)
{
    free(t->node);
    *t = (trie){0};
}
