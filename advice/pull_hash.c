/* advice/pull_hash: see pull_hash.h. */
#include "advice/pull_hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool pull_hash_known(const adv_pull_file *f) { return *f->sha256 || *f->git; }

void pull_hash_begin(pull_hash *h, const adv_pull_file *f)
{
    char head[32];
    h->git = !*f->sha256;
    if (!h->git) {
        SHA256Init(&h->sha2);
        return;
    }
    SHA1Init(&h->sha1);
    int n = snprintf(head, sizeof head, "blob %llu", (unsigned long long)f->bytes);
    SHA1Update(&h->sha1, (const uint8_t *)head, (size_t)n + 1);
}

void pull_hash_add(pull_hash *h, const void *p, size_t n)
{
    if (h->git)
        SHA1Update(&h->sha1, p, n);
    else
        SHA256Update(&h->sha2, p, n);
}

bool pull_hash_right(pull_hash *h, const adv_pull_file *f)
{
    char hex[SHA256_DIGEST_STRING_LENGTH];
    if (h->git)
        SHA1End(&h->sha1, hex);
    else
        SHA256End(&h->sha2, hex);
    return strcmp(hex, h->git ? f->git : f->sha256) == 0;
}

int pull_hash_fd(int fd, const adv_pull_file *f, bool (*progress)(void *, uint64_t), void *user, char *err)
{
    enum { BLOCK = 1 << 20 };
    char *block = malloc(BLOCK);
    pull_hash h;
    int rc = block ? Q_OK : q_fail(err, Q_NOMEM, _("not enough memory to check a file: close other programs and try again"));
    pull_hash_begin(&h, f);
    for (uint64_t at = 0; rc == Q_OK && at < f->bytes;) {
        ssize_t n = pread(fd, block, BLOCK, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            rc = q_fail(err, Q_IO, _("a file that was to be checked cannot be read: %s"), n < 0 ? strerror(errno) : _("it became shorter"));
        else {
            pull_hash_add(&h, block, (size_t)n);
            at += (size_t)n;
            if (progress && !progress(user, at))
                rc = q_fail(err, Q_CANCEL, _("stopped"));
        }
    }
    free(block);
    return rc < 0 ? rc : pull_hash_right(&h, f) ? Q_OK : Q_FORMAT;
}
