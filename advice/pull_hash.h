/* advice/pull_hash: the hash of a file, as a hub names it: SHA-256 of its bytes, or git's of a blob (SHA-1 of "blob N", a 0 and the bytes;
 * git's documentation, "Git Internals - Git Objects"). Fed in order. Private to advice; any thread. */
#ifndef QUORUM_PULL_HASH_H
#define QUORUM_PULL_HASH_H

#include "advice/pull.h"

#include <sha1.h>
#include <sha2.h>

typedef struct pull_hash { bool git; SHA1_CTX sha1; SHA2_CTX sha2; } pull_hash;
bool pull_hash_known(const adv_pull_file *);             /* the hub names one */
void pull_hash_begin(pull_hash *, const adv_pull_file *);
void pull_hash_add(pull_hash *, const void *, size_t n);
bool pull_hash_right(pull_hash *, const adv_pull_file *);        /* ends it */
/* Of the first bytes of fd; progress may be NULL, false from it: Q_CANCEL. Q_FORMAT: it is another one; err is not written then. */
int pull_hash_fd(int fd, const adv_pull_file *, bool (*progress)(void *user, uint64_t done), void *user, char *err);

#endif
