/* agent/speller: who can spell a token for a thread that is not the engine's: the model that is loaded, for as long as it is.
 * Any thread but for speller_is. */
#ifndef QUORUM_AGENT_SPELLER_H
#define QUORUM_AGENT_SPELLER_H

#include "provider/provider.h"

#include <pthread.h>

typedef struct speller { pthread_mutex_t mu; const prov *who; /* under mu; NULL: nobody */ } speller;

void speller_open(speller *);
void speller_close(speller *);
void speller_is(speller *, const prov *who);             /* engine's thread: NULL before it goes */
bool speller_can(speller *, uint64_t model);
void speller_spell(speller *, uint64_t model, int32_t token, q_buf *out);      /* nothing where that model is not there any more */

#endif
