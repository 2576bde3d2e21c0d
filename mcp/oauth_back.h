/* mcp/oauth_back.h: private to mcp/. Where a browser comes back to after a sign-in: a port of 127.0.0.1 that the system chooses. */
#ifndef QUORUM_MCP_OAUTH_BACK_H
#define QUORUM_MCP_OAUTH_BACK_H

#include "base/base.h"

#define OAUTH_BACK "/callback"
enum { OAUTH_BACK_MOST = 16 };          /* lines open at once; what comes above is closed */
typedef struct oauth_back {
    int fd, port;
    int line[OAUTH_BACK_MOST], n;
    q_buf said[OAUTH_BACK_MOST];         /* of each line */
} oauth_back;
int oauth_back_open(oauth_back *, char *err);
void oauth_back_close(oauth_back *);
/* What stands behind the ? of the address that the browser came back to, or that was put in by hand; malloc'ed. Only a browser that brings `state`
 * has come back: what else knocks with another one, or with none, is sent away, neither read further nor an end of the wait, ten in a second at
 * most; what was put in by hand is handed out as it is. wait: as in mcp_oauth_opts. Q_CANCEL; Q_IO: nobody came. */
int oauth_back_wait(oauth_back *, int seconds, const char *state, bool (*wait)(void *user, char **pasted), void *user, char **query, char *err);
/* A parameter; malloc'ed; NULL: there is none, or several of that name. */
char *oauth_back_value(const char *query, const char *name);

#endif
