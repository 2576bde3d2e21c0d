/* mcp/result: answers made readable. Private to mcp. */
#ifndef QUORUM_MCP_RESULT_H
#define QUORUM_MCP_RESULT_H

#include "mcp/message.h"

/* Of a result as the server gave it. Q_FORMAT: it is none. */
int result_call(const cJSON *, mcp_result *out, char *err);
int result_read(const cJSON *, mcp_result *out, char *err);
int result_prompt(const cJSON *, mcp_result *out, char *err);

#endif
