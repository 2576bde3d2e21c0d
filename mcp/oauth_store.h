/* mcp/oauth_store.h: private to mcp/. The file of tokens: JSON, mode 0600, replaced as a whole under a lock beside it. Any thread, any process. */
#ifndef QUORUM_MCP_OAUTH_STORE_H
#define QUORUM_MCP_OAUTH_STORE_H

#include "base/base.h"

/* url: the server's, canonical: the key. client, secret, method: who we are there. A row a text. */
#define OAUTH_TEXTS(X) X(url) X(resource) X(issuer) X(token_url) X(client) X(secret) X(method) X(access) X(refresh) X(scope)
typedef struct oauth_entry {
#define OAUTH_FIELD(name) char *name;    /* owned; NULL: none */
    OAUTH_TEXTS(OAUTH_FIELD)
#undef OAUTH_FIELD
    int64_t expires;                     /* Unix time in ms; 0: not said */
} oauth_entry;
void oauth_entry_free(oauth_entry *);    /* contents, wiped */

/* *fd: the lock, to be closed. Q_CANCEL: go said so. */
int oauth_lock(const char *path, bool (*go)(void *user), void *user, int *fd, char *err);
/* Q_NOTFOUND: there is none; Q_FORMAT: the file is none of ours; Q_RANGE: others can read it. */
int oauth_entry_get(const char *path, const char *url, oauth_entry *out, char *err);
/* Both under the lock. */
int oauth_entry_put(const char *path, const oauth_entry *, char *err);
int oauth_entry_drop(const char *path, const char *url, bool *had, char *err);

#endif
