/* mcp/server: one server as a struct. Private to mcp. */
#ifndef QUORUM_MCP_SERVER_H
#define QUORUM_MCP_SERVER_H

#include "mcp/line.h"

#define MCP_MODERN "2026-07-28"
#define MCP_LEGACY "2025-11-25"

struct mcp_server {
    section s;
    const mcp_authorise *authorise;      /* of its set */
    pthread_mutex_t turn;                /* starting and ending: one at a time */
    line line;                           /* its mu guards all below */
    enum mcp_state state;
    enum mcp_era era;
    char version[24], title[128], release[64];
    char *instructions;
    wire *wire;                          /* while it is started */
    int users;                           /* of the wire */
    char *log;                           /* what the last wire's program wrote; NULL */
    pthread_t starter; bool has_starter;
    bool has[MCP_KINDS], tells[MCP_KINDS];       /* it offers such; it tells when they change */
    mcp_list list[MCP_KINDS];
    char *remarks[MCP_KINDS];            /* what was left out of them; NULL: nothing */
    int64_t fresh[MCP_KINDS];            /* until when they may be believed, ns; -1: until it says something else */
    char error[Q_ERRLEN];
    uint64_t calls, failed;
    bool renews; unsigned sessions;      /* a session that the server lost is begun anew by one of those who met it; how often that was done */
};

int server_use(mcp_server *, char *err);         /* Q_OK: its wire stays until server_done */
void server_done(mcp_server *);
void server_error(mcp_server *, const char *why);        /* the last that went wrong */

#endif
