/* engine/run/draft: n-gram speculation: what may follow is taken from what stood behind the same tokens before (prompt lookup
 * decoding, A. Saxena 2023), evaluated in one step with the token at hand, and kept as far as it is chosen. A row's bytes do not depend
 * on the rows beside it and the sampler sees the same logits in the same order, so a text is the same, byte for byte, with
 * drafts and without, at every temperature. Here: the search, and whether it pays. What is ahead is step.c's.
 * One timeline's; the engine thread. Private to engine. */
#ifndef QUORUM_DRAFT_H
#define QUORUM_DRAFT_H

#include "engine/engine.h"
#include "kernels/kernels.h"

enum { DRAFT_MAX = 15,                 /* tokens of a draft: with the one at hand, rows that the CPU reads a weight once for; elsewhere KER_FEW */
       DRAFT_STATES = 3 };             /* ... where layers are recurrent: each of the rows leaves a state of its own */

/* Time decides how often it is tried, never what is chosen. Seconds. */
typedef struct draft_pays {
    double plain;                      /* of a step of one row; 0: not known yet                      */
    double spent, won;                 /* of steps with drafts, the last weighing most: seconds, tokens they brought */
    int steps;                         /* of them since the last rest                                 */
    int rest, pause;                   /* plain steps until the next try; how many the last rest had  */
    int rows;                          /* tokens of the next draft at most                            */
    bool dear;                         /* each token of a draft costs a search: one is tried first, and one more than was said last */
    eng_drafts all;                    /* since the timeline began                                    */
} draft_pays;

/* What stood behind the latest longest earlier run of the last tokens (3 to 12 of them): up to `max`; returns how many. */
int draft_find(const int32_t *tokens, int n, int max, int32_t *out);

int draft_rows(draft_pays *);          /* how many tokens to draft now at most; 0: a plain step */
void draft_plain(draft_pays *, double seconds);
void draft_tried(draft_pays *, int drafted, int accepted, double seconds);

/* What is evaluated ahead of the text, in the order of the step. It holds while nothing else ran over the cache (clock) and the
 * timeline stands where it stood. */
typedef struct draft_ahead {
    int32_t token[DRAFT_MAX];
    int n, at;                         /* tokens; the next one. n 0: nothing                          */
    int32_t state[DRAFT_STATES];       /* recurrent layers: after each of them; from `at` on they are held */
    int line;                          /* cells of the timeline before token[at]                      */
    uint64_t clock, hash;              /* of the cache; of the configuration                          */
    double seconds;                    /* of the step                                                 */
    ker_out out;                       /* of it: row 0 was the token at hand; the context's           */
} draft_ahead;

#endif
