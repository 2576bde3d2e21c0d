/* cli/unzip: one member of a zip archive as a file, whole or not at all. rag reads the archive. See unzip.h. */
#include "cli/unzip.h"

#include "rag/rag.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct writing { int fd, error; uint64_t done, max; bool more; void (*progress)(void *user, uint64_t done, uint64_t total); void *user; };

static bool put(void *user, const char *p, size_t n)
{
    struct writing *w = user;
    w->done += n;
    w->more = w->done > w->max;
    while (n && !w->more && !w->error) {
        ssize_t k = write(w->fd, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) w->error = errno;
        else p += k, n -= (size_t)k;
    }
    if (w->progress) w->progress(w->user, w->done, w->max);
    return !w->more && !w->error;
}

int unzip_member(const char *path, const char *name, const char *out, uint64_t max,
                 void (*progress)(void *user, uint64_t done, uint64_t total), void *user, char *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return q_fail(err, Q_IO, _("cannot open %s: %s"), path, strerror(errno));
    char *part = q_printf("%s.part", out), why[Q_ERRLEN] = "";
    unlink(part);
    struct writing w = {.fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644), .max = max, .progress = progress, .user = user};
    int rc = w.fd < 0 ? Q_IO : rag_unzip(fd, name, put, &w, why);
    int e = w.fd < 0 ? errno : w.error;
    close(fd);
    if (w.error) rc = Q_IO;
    if (rc == Q_OK && fsync(w.fd) != 0) rc = Q_IO, e = errno;
    if (w.fd >= 0 && close(w.fd) != 0 && rc == Q_OK) rc = Q_IO, e = errno;
    if (rc == Q_OK && rename(part, out) != 0) rc = Q_IO, e = errno;
    if (rc == Q_IO) q_fail(err, rc, _("cannot write %s: %s"), part, strerror(e));
    else if (w.more || rc == Q_NOTFOUND) rc = q_fail(err, Q_FORMAT, _("%s is damaged, or not the archive it should be: %s cannot be taken out of it"), path, name);
    else if (rc != Q_OK) rc = q_fail(err, Q_FORMAT, _("%s: %s does not unpack: %s"), path, name, why);
    if (rc && w.fd >= 0) unlink(part);
    free(part);
    return rc;
}
