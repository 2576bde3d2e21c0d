/* serve/listen: where a server is heard: sockets, and who may ask there. Private to serve. */
#ifndef QUORUM_SERVE_LISTEN_H
#define QUORUM_SERVE_LISTEN_H

#include "base/base.h"

#include <sys/stat.h>

typedef struct listening {               /* listen_end; before it is filled in its fd is -1 */
    int fd;
    char *address;
    bool own;                            /* only this machine's programs reach it */
    char *path; struct stat made;        /* the socket in the file system that is ours; NULL: none, or it is gone */
} listening;
/* "127.0.0.1:8080", "[::1]:0", "localhost:0"; address: "http://…" with the port that it got. */
int listen_tcp(const char *where, listening *out, char *err);
/* A stale socket is taken over, a live one and anything else that lies there is refused. */
int listen_unix(const char *path, listening *out, char *err);
void listen_leave(listening *);          /* nobody finds it any more: what lies in the file system goes, where it is still ours. It listens on */
void listen_end(listening *);            /* that, and it is closed and freed */
/* A Host header of a request to an address of this machine: its names alone, with any port. Else a page of the web whose name
 * was turned to this address could ask. */
bool listen_host(const char *host);
bool listen_same(const char *a, const char *b);  /* in a time that does not tell where they differ */

#endif
