/* advice/twins: texts that are the same, or nearly. Near: sets of runs of five words, compared by 32 least hashes (Broder 1997, "On the resemblance and
 * containment of documents"), of which four in a row agree (a band) and three quarters in all. Private to advice/. */
#ifndef QUORUM_ADVICE_TWINS_H
#define QUORUM_ADVICE_TWINS_H

#include "base/base.h"

typedef struct twins twins;
twins *twins_new(void);
void twins_free(twins *);
enum twin { TWIN_NONE, TWIN_SAME, TWIN_NEAR };
/* Of those that came before; one that is new is kept. */
enum twin twins_put(twins *, const char *text, size_t n);

#endif
