/* mcp/child: a server's program, started with nothing of ours. Private to mcp. */
#ifndef QUORUM_MCP_CHILD_H
#define QUORUM_MCP_CHILD_H

#include "mcp/section.h"

#include <sys/types.h>

typedef struct child { pid_t pid; int in, out, err, watch; } child;      /* our ends, -1: closed; watch: readable once it has ended */
/* In a session of its own: no terminal, and one group to end. It is sent TERM when the thread that calls this ends. Q_NOTFOUND: no such program. */
int child_start(const section *, child *out, char *err);
bool child_ended(const child *, int ms);                     /* within so long, 0: now */
void child_kill(const child *, int signal);                  /* to all of its group */
/* Waits for it (it has ended or was killed), ends what it left behind, closes all: how it ended, in words; malloc'ed. */
char *child_reap(child *);

#endif
