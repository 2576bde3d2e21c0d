/* engine/grammar/mask: which tokens may come where a text stands in a form, a bit each. A mask is made once for a set of stacks and kept;
 * what a rule allows of itself is made once for all texts that call it, and only tokens that reach beyond its end are looked at again
 * with what is below. One thread. Memory is bounded: the masks that were not asked for longest go. Private to engine. */
#ifndef QUORUM_MASK_H
#define QUORUM_MASK_H

#include "engine/grammar/lexicon.h"
#include "engine/grammar/stacks.h"

enum { MASKS_BYTES = 32 << 20, MASKS_STACKS = 96 << 20, MASKS_WORK = 1 << 24 /* a vocabulary of 151,936 through one stack: 1 << 18 */ };

typedef struct masks masks;
masks *masks_new(const lexicon *, const form *);         /* both outlive it */
void masks_free(masks *);
uint32_t masks_begin(masks *);                           /* the set at a text's beginning */
/* Bits of the tokens that may come next [(n_vocab + 63) / 64], those that end a reply where the text may end. Valid until the next call. NULL:
 * all that the lexicon has. */
const uint64_t *masks_of(masks *, uint32_t *set);        /* the set may get another number: memory was full */
uint32_t masks_take(masks *, uint32_t set, const char *p, size_t n);     /* behind these bytes; STACKS_DEAD: they do not fit */
bool masks_may_end(const masks *, uint32_t set);
bool masks_spent(const masks *);         /* a mask was too much (MASKS_WORK): nothing may come then */
typedef struct masks_count { uint64_t made, found, nodes, looked; } masks_count;
masks_count masks_counts(const masks *);                 /* so far: masks made and found again, nodes of the lexicon and stacks looked at (tests) */

#endif
