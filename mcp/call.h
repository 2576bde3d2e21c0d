/* mcp/call: asking a server something, and what comes before its answer. Private to mcp. */
#ifndef QUORUM_MCP_CALL_H
#define QUORUM_MCP_CALL_H

#include "mcp/server.h"

typedef struct question {
    const char *method, *name;           /* name: of what is asked for, NULL: nothing */
    const char *members;                 /* of params, JSON without its braces; "" */
    const words *header;                 /* more of them; NULL */
    enum mcp_era era;                    /* UNKNOWN: the server's */
    bool plain;                          /* nothing is added to params: initialize */
} question;

/* The server is in use (server_use) or being started by the caller. A call that was opened is shut, always. */
int call_open(mcp_server *, const question *, const mcp_hooks *, call *, char *err);
/* 1: answered; 0: it is `until` (q_now_ns); Q_CANCEL: go said so; else it failed: c->status says over HTTP with what. */
int call_next(mcp_server *, call *, const mcp_hooks *, int64_t until, char *err);
void call_shut(mcp_server *, call *, bool cancel);       /* cancel: the server is told that nobody waits */
/* A token after 401 and 403. Q_OK: ask again. It waits for as long as h and the server's life let it. */
int call_authorise(mcp_server *, const call *, const mcp_hooks *, bool had, char *err);
/* All of it, within the section's timeout: out is the answer with all that it needed, Q_OK; or the refusal, Q_ERR. msg_free.
 * status: of HTTP where it failed so; may be NULL. */
int call_ask(mcp_server *, const question *, const mcp_hooks *, msg *out, int *status, char *err);
int call_notice(mcp_server *, const char *method, const char *members, char *err);
void call_refusal(const mcp_server *, const msg *, char *err);          /* its words as a sentence */

#endif
