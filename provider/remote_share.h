/* provider/remote_share: several answers that a server gives to one request come mixed, a chunk of one behind a chunk of another: each waits
 * here until its turn. No line is opened here and nothing is trusted. Private to provider; one thread. */
#ifndef QUORUM_PROVIDER_REMOTE_SHARE_H
#define QUORUM_PROVIDER_REMOTE_SHARE_H

#include "base/base.h"

typedef struct remote_share {            /* zero-initialise; share_free */
    q_buf *kept;                         /* [n] chunks of each that came before its turn, a line each */
    int n, now;                          /* n 0: they do not come together; now: whose turn it is */
    size_t bytes;                        /* in all of them */
    int came;                            /* answers of which anything has come: the largest index and 1 */
} remote_share;

/* A chunk as a server sends it, or what wire_chunk takes of it: with one answer, which has index 0. False: it ends there. */
typedef bool share_take(void *user, const char *json, size_t n);

enum { SHARE_BYTES = 64 << 20 };
void share_begin(remote_share *, int n);
void share_free(remote_share *);         /* zeroed */
/* Hands on what is of the answer whose turn it is, keeps what is of later ones; counts of tokens, which are those of all, are left out. Q_RANGE: more
 * than SHARE_BYTES would wait (no sentence); Q_ERR: take ended it. */
int share_chunk(remote_share *, const char *json, size_t n, share_take *, void *user);
/* The next one's turn: hands on what was kept. False: nothing of it has come. */
bool share_next(remote_share *, share_take *, void *user);

#endif
