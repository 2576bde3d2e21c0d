/* mcp/headers: arguments that a tool wants repeated in the headers of its call (x-mcp-header), and values as headers may hold them.
 * https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http. Private to mcp. */
#ifndef QUORUM_MCP_HEADERS_H
#define QUORUM_MCP_HEADERS_H

#include "mcp/message.h"
#include "mcp/section.h"

/* A tool whose marks are wrong may not be offered over HTTP: why; "": they are right. */
void headers_why_not(const cJSON *schema, char why[Q_ERRLEN]);
/* Adds "Mcp-Param-X: value" for each marked argument that is there. */
void headers_of(const char *schema, const char *arguments, words *out);
void headers_value(q_buf *out, const char *text);        /* as it stands, or =?base64?…?= */

#endif
