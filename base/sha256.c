/* base/sha256: SHA-256 of files and of memory, by libmd: apart from hash.c, so that what needs no more than that links without it. */
#include "base/base.h"

#include <errno.h>
#include <sha2.h>
#include <string.h>

int q_sha256_file(const char *path, char hex[65], char *err)
{
    errno = 0;
    if (SHA256File(path, hex)) return Q_OK;
    return q_fail(err, Q_IO, _("cannot read %s: %s"), path, strerror(errno));
}

void q_sha256(const void *p, size_t n, char hex[65]) { SHA256Data(p, n, hex); }
