/* engine/text/bpe: the merge table of a BPE and the merging itself (Sennrich et al. 2016): of all
 * neighbouring pairs the one with the lowest rank is joined first, the leftmost where ranks are equal.
 * Immutable once filled; any thread may merge. It knows ids only, no text: where pairs are not listed, somebody else says what joins.
 * Private to engine. */
#ifndef QUORUM_BPE_H
#define QUORUM_BPE_H

#include "base/base.h"

typedef struct bpe bpe;
bpe *bpe_new(size_t n_merges);
void bpe_free(bpe *);
/* left + right give id; the first of two equal pairs counts. At most n_merges calls. */
void bpe_add(bpe *, int32_t left, int32_t right, int32_t rank, int32_t id);
void bpe_ahead(const bpe *, int32_t left, int32_t right);          /* the memory is asked for the place of a pair that is added soon */
/* Merges sym[0..n) in place; returns how many remain. O(n log n) for long pieces. */
size_t bpe_merge(const bpe *, int32_t *sym, size_t n);

/* The same where `pair` says what joins: the rank of left and right and the id that they give, or BPE_APART. */
enum { BPE_APART = INT32_MAX };
typedef struct bpe_pairs { int32_t (*pair)(const void *of, int32_t left, int32_t right, int32_t *id); const void *of; } bpe_pairs;
size_t bpe_merge_by(const bpe_pairs *, int32_t *sym, size_t n);

#endif
