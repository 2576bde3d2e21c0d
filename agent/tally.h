/* agent/tally: what was measured of tokens, as sums, and how far two such differ. Plain data, any thread. */
#ifndef QUORUM_AGENT_TALLY_H
#define QUORUM_AGENT_TALLY_H

#include "agent/agent.h"

enum { TALLY_N = AGT_MEASURES, TALLY_LEAST = 16 };    /* fewer tokens say nothing */
typedef struct tally { struct { int n; double sum, squares; } of[TALLY_N]; } tally;

void tally_add(tally *, const double value[TALLY_N]);        /* NAN: not known of this token */
agt_measured tally_compare(const tally *before, const tally *after, enum agt_measure what);

/* Tokens a second that weights of so many bytes a token would bring, from what was measured of others; 0: nothing was.
 * The time of a token is taken for a part that is always there and one that grows with the bytes; from a single kind of
 * token the whole grows with them. */
typedef struct tally_pace { uint64_t bytes; const tally *made; } tally_pace;
double tally_predict(const tally_pace *, int n, uint64_t bytes, bool *measured /* of just so many bytes; or NULL */);
double tally_reached(const tally_pace *, int n);             /* the most bytes of weights a second that they took; 0: nothing was measured */

#endif
