/* base/fault: what a signal handler may do to say which file failed. Owns nothing; async-signal-safe: open, read, close
 * and memory on the caller's stack only. It never allocates, locks or translates. */
#include "base/base.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

typedef struct reader { int fd; size_t at, n; char p[1024]; } reader;

static int next(reader *r)
{
    if (r->at == r->n) {
        ssize_t k = read(r->fd, r->p, sizeof r->p);
        if (k <= 0) return -1;
        r->n = (size_t)k;
        r->at = 0;
    }
    return (unsigned char)r->p[r->at++];
}

static uintptr_t hex(reader *r, int *stop)
{
    uintptr_t v = 0;
    int c;
    while ((c = next(r)) >= 0) {
        int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (d < 0) break;
        v = v << 4 | (uintptr_t)d;
    }
    *stop = c;
    return v;
}

/* A line of /proc/PID/maps (proc(5)): "from-to perms offset dev inode     path". */
size_t q_fault_file(const void *addr, char *out, size_t size)
{
    reader r = {.fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
    size_t n = 0;
    bool found = false;
    for (int c = 0; r.fd >= 0 && c >= 0 && !found;) {
        uintptr_t from = hex(&r, &c), to = hex(&r, &c);
        found = (uintptr_t)addr >= from && (uintptr_t)addr < to;
        bool path = false;
        while (c >= 0 && (c = next(&r)) >= 0 && c != '\n') {
            path = path || c == '/';
            if (found && path && n + 1 < size) out[n++] = (char)c;
        }
    }
    if (r.fd >= 0) close(r.fd);
    if (size) out[n] = 0;
    return n;
}
