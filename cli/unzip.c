/* cli/unzip: one member of a zip archive. Format: PKWARE APPNOTE 6.3.10, sections 4.3.7 (local header),
 * 4.3.12 (central directory), 4.3.16 (its end); without zip64, which archives under 4 GiB do not need.
 * See unzip.h. */
#include "cli/unzip.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { END_SIZE = 22, ENTRY_SIZE = 46, LOCAL_SIZE = 30, MAX_COMMENT = 65535, STORED = 0, DEFLATED = 8, CHUNK = 1 << 20 };

typedef struct archive {
    const unsigned char *p;
    size_t n;
} archive;

typedef struct member {
    const unsigned char *data;
    uint64_t packed, size;
    unsigned method;
    uint32_t crc;
} member;

static unsigned u16(const unsigned char *p) { return p[0] | (unsigned)p[1] << 8; }
static uint32_t u32(const unsigned char *p) { return u16(p) | (uint32_t)u16(p + 2) << 16; }

static bool find_end(const archive *a, size_t *at)
{
    if (a->n < END_SIZE) return false;
    size_t low = a->n > END_SIZE + MAX_COMMENT ? a->n - END_SIZE - MAX_COMMENT : 0;
    for (size_t i = a->n - END_SIZE + 1; i-- > low;)
        if (u32(a->p + i) == 0x06054b50) {
            *at = i;
            return true;
        }
    return false;
}

static bool find_member(const archive *a, const char *name, member *m)
{
    size_t end, want = strlen(name);
    if (!find_end(a, &end)) return false;
    uint64_t at = u32(a->p + end + 16);
    for (unsigned left = u16(a->p + end + 10); left > 0; left--) {
        if (at + ENTRY_SIZE > end || u32(a->p + at) != 0x02014b50) return false;
        const unsigned char *e = a->p + at;
        size_t name_n = u16(e + 28);
        if (at + ENTRY_SIZE + name_n > end) return false;
        if (name_n == want && memcmp(e + ENTRY_SIZE, name, want) == 0) {
            uint64_t local = u32(e + 42);
            if (local + LOCAL_SIZE > a->n || u32(a->p + local) != 0x04034b50) return false;
            uint64_t data = local + LOCAL_SIZE + u16(a->p + local + 26) + u16(a->p + local + 28);
            *m = (member){.method = u16(e + 10), .crc = u32(e + 16), .packed = u32(e + 20), .size = u32(e + 24)};
            if (data > a->n || m->packed > a->n - data) return false;
            m->data = a->p + data;
            return true;
        }
        at += ENTRY_SIZE + name_n + u16(e + 30) + u16(e + 32);
    }
    return false;
}

static int write_all(int fd, const unsigned char *p, size_t n)
{
    while (n) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return -1;
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

/* 0, Q_IO (errno) or Q_FORMAT. */
static int unpack(const member *m, int fd, void (*progress)(void *, uint64_t, uint64_t), void *user)
{
    unsigned char *buf = q_alloc(CHUNK);
    uint64_t done = 0, used = 0;
    uLong crc = crc32(0, NULL, 0);
    z_stream z = {0};
    int rc = m->method == DEFLATED && inflateInit2(&z, -MAX_WBITS) != Z_OK ? Q_FORMAT : Q_OK, more = 1;
    while (rc == Q_OK && more) {
        size_t n;
        const unsigned char *p = buf;
        if (m->method == STORED) {
            n = m->packed - used < CHUNK ? (size_t)(m->packed - used) : CHUNK;
            p = m->data + used;
            used += n;
            more = used < m->packed;
        } else {
            if (z.avail_in == 0 && used < m->packed) {
                z.next_in = (Bytef *)(uintptr_t)(m->data + used);
                z.avail_in = m->packed - used < CHUNK ? (uInt)(m->packed - used) : CHUNK;
                used += z.avail_in;
            }
            z.next_out = buf;
            z.avail_out = CHUNK;
            int r = inflate(&z, Z_NO_FLUSH);
            n = CHUNK - z.avail_out;
            if (r == Z_STREAM_END) more = 0;
            else if (r != Z_OK) rc = Q_FORMAT;
        }
        crc = crc32(crc, p, (uInt)n);
        done += n;
        if (rc == Q_OK && done > m->size) rc = Q_FORMAT;
        if (rc == Q_OK && write_all(fd, p, n) != 0) rc = Q_IO;
        if (rc == Q_OK && progress) progress(user, done, m->size);
    }
    if (m->method == DEFLATED) inflateEnd(&z);
    free(buf);
    if (rc == Q_OK && (done != m->size || crc != m->crc)) rc = Q_FORMAT;
    return rc;
}

int unzip_member(const char *path, const char *name, const char *out, uint64_t max,
                 void (*progress)(void *user, uint64_t done, uint64_t total), void *user, char *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        int rc = q_fail(err, Q_IO, _("cannot open %s: %s"), path, strerror(errno));
        if (fd >= 0) close(fd);
        return rc;
    }
    archive a = {.n = (size_t)st.st_size};
    void *map = a.n ? mmap(NULL, a.n, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    close(fd);
    member m = {0};
    a.p = map;
    if (map == MAP_FAILED || !find_member(&a, name, &m) || m.size > max || (m.method != STORED && m.method != DEFLATED)) {
        if (map != MAP_FAILED) munmap(map, a.n);
        return q_fail(err, Q_FORMAT, _("%s is damaged, or not the archive it should be: %s cannot be taken out of it"), path, name);
    }
    char *part = q_printf("%s.part", out);
    unlink(part);
    int to = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    int rc = to < 0 ? Q_IO : unpack(&m, to, progress, user);
    if (rc == Q_OK && fsync(to) != 0) rc = Q_IO;
    int e = errno;
    if (to >= 0 && close(to) != 0 && rc == Q_OK) rc = Q_IO, e = errno;
    if (rc == Q_OK && rename(part, out) != 0) rc = Q_IO, e = errno;
    if (rc == Q_IO) q_fail(err, rc, _("cannot write %s: %s"), part, strerror(e));
    if (rc == Q_FORMAT) q_fail(err, rc, _("%s is damaged: %s in it does not unpack"), path, name);
    if (rc && to >= 0) unlink(part);
    free(part);
    munmap(map, a.n);
    return rc;
}
