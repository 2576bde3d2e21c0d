/* mcp/start: how a server and we agree, and what it offers. Private to mcp. */
#ifndef QUORUM_MCP_START_H
#define QUORUM_MCP_START_H

#include "mcp/server.h"

int start_begin(mcp_server *, char *err);        /* by its starter: to what it offers, within the section's `start` */
int start_again(mcp_server *, const mcp_hooks *, char *err);        /* HTTP, 2025: its session is gone, a new one */
void start_listen(mcp_server *);           /* asks to be told of changes, where that is not so already; where it fails nobody is */
int start_lists(mcp_server *, unsigned which, const mcp_hooks *, char *err);     /* 1 << mcp_kind */

#endif
