/* mcp/http: a server behind an address: a request a message, answered by JSON or a stream of events. Private to mcp. */
#ifndef QUORUM_MCP_HTTP_H
#define QUORUM_MCP_HTTP_H

#include "mcp/line.h"

int http_open(line *, const section *, wire **out, char *err);       /* asks nothing yet */

#endif
