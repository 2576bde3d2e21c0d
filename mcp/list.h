/* mcp/list: what a server says that it offers, taken apart. Private to mcp. */
#ifndef QUORUM_MCP_LIST_H
#define QUORUM_MCP_LIST_H

#include "mcp/message.h"

const char *list_method(enum mcp_kind);          /* "tools/list" */
/* Adds one page. Entries that are none are left out, a line of remarks (for people) each. why_not: another reason to leave a tool out, "" : none;
 * may be NULL. Q_FORMAT: it is no page. */
int list_page(enum mcp_kind, const cJSON *result, mcp_list *out, q_buf *remarks, void (*why_not)(const cJSON *schema, char why[Q_ERRLEN]), char *err);
void list_copy(const mcp_list *, mcp_list *out);

#endif
