/* agent/whatif: the last answer with its record; for what asks about its tokens. Engine thread. */
#ifndef QUORUM_AGENT_WHATIF_H
#define QUORUM_AGENT_WHATIF_H

#include "agent/room.h"

/* The last answer of the branch that has routing. *message: of the branch, not owned; *trace: mem_trace_free. */
int answer_recorded(agt *, const mem_message **message, mem_trace **trace, char *err);
/* Q_OK: the context still holds it as it was made, so that its positions can be evaluated again; else why not. */
int answer_there(agt *, const mem_message *, const mem_trace *, char *err);
int answer_held(agt *, const mem_message **message, mem_trace **trace, char *err);     /* both */
/* JSON of the configuration that made token i of it; malloc'ed. */
char *answer_made_by(agt *, const mem_message *, const mem_trace *, int i);

#endif
