/* serve/listen: where a server is heard: sockets, and who may ask there. Private to serve. */
#ifndef QUORUM_SERVE_LISTEN_H
#define QUORUM_SERVE_LISTEN_H

#include "base/base.h"

typedef struct listening { int fd; char *address; bool own; } listening;         /* own: only this machine's programs reach it */
/* "127.0.0.1:8080", "[::1]:0", "localhost:0"; address: "http://…" with the port that it got. */
int listen_tcp(const char *where, listening *out, char *err);
/* A stale socket is taken over, a live one and anything else that lies there is refused. */
int listen_unix(const char *path, listening *out, char *err);
/* A Host header of a request to an address of this machine: its names alone, with any port. Else a page of the web whose name
 * was turned to this address could ask. */
bool listen_host(const char *host);
bool listen_same(const char *a, const char *b);  /* in a time that does not tell where they differ */

#endif
