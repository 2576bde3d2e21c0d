/* mcp/pipe: a server that is a program of its own, a message a line over its input and output. Private to mcp. */
#ifndef QUORUM_MCP_PIPE_H
#define QUORUM_MCP_PIPE_H

#include "mcp/line.h"

int pipe_open(line *, const section *, wire **out, char *err);       /* starts it */

#endif
