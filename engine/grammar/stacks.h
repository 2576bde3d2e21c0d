/* engine/grammar/stacks: where a text may stand in a form: a set of stacks, each a state and those to go back to. Stacks share
 * what lies below, equal sets are one number, and a step that was taken once is a look into a table. One thread. Memory is
 * bounded: stacks_trim forgets all but one set. Private to engine. */
#ifndef QUORUM_STACKS_H
#define QUORUM_STACKS_H

#include "engine/grammar/form.h"

/* How deep rules may nest in a text, and how many stacks a set may hold: what would go beyond cannot be written. */
enum { STACKS_DEEP = 2000, STACKS_WIDE = 4096 };
enum { STACKS_DEAD = 0 };                /* the empty set: no text goes on so */

typedef struct stacks stacks;
typedef struct stacks_top { uint32_t state, below; } stacks_top;         /* below: a node, 0 the bottom */

stacks *stacks_new(const form *);        /* the form outlives it */
void stacks_free(stacks *);
uint32_t stacks_begin(stacks *);         /* at the beginning of a text */
uint32_t stacks_of(stacks *, const stacks_top *top, size_t n);           /* the set of these, each with what it reaches without a byte */
uint32_t stacks_these(stacks *, const stacks_top *top, size_t n);        /* these alone: their bytes, no calls, no ends */
uint32_t stacks_back(stacks *, uint32_t node);           /* the set after the rule ended that was called from this node; node > 0 */
uint32_t stacks_like(stacks *, uint32_t set);            /* one from which the next FORM_ALIKE bytes are the same */
uint32_t stacks_step(stacks *, uint32_t set, uint8_t byte);
bool stacks_may_end(const stacks *, uint32_t set);       /* the text may end here */
const stacks_top *stacks_tops(const stacks *, uint32_t set, size_t *n);  /* ordered by below; valid until the next step */
uint32_t stacks_left(const stacks *, uint32_t set);      /* bytes of the shortest way to a text's end */
size_t stacks_bytes(const stacks *);                     /* of memory */
uint64_t stacks_looked(const stacks *);  /* stacks that were looked at so far: what it cost */
bool stacks_cut(const stacks *);         /* a bound was met since the beginning: some stacks are missing, which ones depends on what was asked before (tests) */
uint32_t stacks_trim(stacks *, uint32_t keep);           /* its new number; all others are void */

/* [set] the table of steps, NULL: none taken; STACKS_UNKNOWN in it: ask stacks_step. Valid until the next step. */
#define STACKS_UNKNOWN UINT32_MAX
uint32_t *const *stacks_tables(const stacks *);

#endif
