/* agent/whatif: the last answer where the context still holds it; for what asks about its tokens. Engine thread. */
#ifndef QUORUM_AGENT_WHATIF_H
#define QUORUM_AGENT_WHATIF_H

#include "agent/room.h"

/* *message: of the branch, not owned; *trace: mem_trace_free. Q_RANGE says why it cannot be asked about. */
int answer_held(agt *, const mem_message **message, mem_trace **trace, char *err);

#endif
