/* advice/doubles: texts that are the same, or nearly. Near: sets of runs of five words, compared by 32 least hashes (Broder 1997, "On the resemblance and
 * containment of documents"), of which four in a row agree (a band) and three quarters in all. Private to advice/. */
#ifndef QUORUM_ADVICE_DOUBLES_H
#define QUORUM_ADVICE_DOUBLES_H

#include "base/base.h"

typedef struct doubles doubles;
doubles *doubles_new(void);
void doubles_free(doubles *);
enum doubled { DOUBLE_NONE, DOUBLE_SAME, DOUBLE_NEAR };
/* Of those that came before; one that is new is kept. */
enum doubled doubles_put(doubles *, const char *text, size_t n);

#endif
