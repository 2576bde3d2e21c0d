/* engine/session: what a session offers beyond engine.h, to the command line's measurements and to tests.
 * Same thread rules as engine.h. Private to engine and cli; it never grows into a second interface. */
#ifndef QUORUM_SESSION_H
#define QUORUM_SESSION_H

#include "engine/engine.h"

/* eng_session_push without the head: no logits afterwards. Tells the layers' time from the head's. */
int session_step_headless(eng_session *, int32_t token, char *err);

#endif
