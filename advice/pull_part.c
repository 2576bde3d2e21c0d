/* advice/pull_part: see pull_part.h. */
#include "advice/pull_part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint64_t CHUNK_LEAST = 1 << 20, CHUNK_MOST = 16 << 20;
enum { LOG_MOST = 64 << 20 };

/* ---- open and lock ---- */
static int locked(pull_part *p, bool *again, char *err)
{
    struct stat mine, there;
    *again = false;
    if (flock(p->fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? q_fail(err, Q_RANGE, _("another quorum brings %s now: wait until it is there"), p->path)
                                    : q_fail(err, Q_IO, _("cannot lock %s: %s"), p->part, strerror(errno));
    if (fstat(p->fd, &mine) != 0 || !S_ISREG(mine.st_mode))
        return q_fail(err, Q_IO, _("%s is no ordinary file: move it away"), p->part);
    *again = lstat(p->part, &there) != 0 || there.st_ino != mine.st_ino || there.st_dev != mine.st_dev;     /* put in its place meanwhile */
    return Q_OK;
}

int pull_part_open(const char *path, pull_part *p, char *err)
{
    *p = (pull_part){ .path = q_strdup(path), .part = q_printf("%s.part", path), .log = q_printf("%s.part.log", path), .fd = -1, .log_fd = -1 };
    for (bool again = true; again;) {
        p->fd = open(p->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
        if (p->fd < 0)
            return q_fail(err, Q_IO, _("cannot write %s: %s"), p->part, strerror(errno));
        int rc = locked(p, &again, err);
        if (rc == Q_OK && !again)
            return Q_OK;
        close(p->fd);
        p->fd = -1;
        if (rc < 0)
            return rc;
    }
    return Q_OK;
}

void pull_part_close(pull_part *p)
{
    if (p->log_fd >= 0)
        close(p->log_fd);
    if (p->fd >= 0)
        close(p->fd);
    free(p->path);
    free(p->part);
    free(p->log);
    free(p->got);
    free(p->noted);
    *p = (pull_part){ .fd = -1, .log_fd = -1 };
}

static void forget_log(const pull_part *p)
{
    char *fresh = q_printf("%s.new", p->log);
    unlink(fresh);
    unlink(p->log);
    free(fresh);
}

void pull_part_drop(pull_part *p)
{
    forget_log(p);
    unlink(p->part);
}

/* ---- the journal ---- */
static uint64_t chunk_of(uint64_t bytes)
{
    uint64_t c = bytes / 512 / CHUNK_LEAST * CHUNK_LEAST;
    return c < CHUNK_LEAST ? CHUNK_LEAST : c > CHUNK_MOST ? CHUNK_MOST : c;
}

static uint64_t len_of(uint64_t bytes, uint64_t chunk, uint64_t i)
{
    uint64_t at = i * chunk;
    return at >= bytes ? 0 : bytes - at < chunk ? bytes - at : chunk;
}

uint64_t pull_part_len(const pull_part *p, int i) { return len_of(p->bytes, p->chunk, (uint64_t)i); }

static void head_of(q_buf *out, const pull_mark *m, uint64_t chunk)
{
    q_buf_printf(out, "quorum-pull 1\nbytes %llu\nchunk %llu\nsha256 %s\nvalidator %s\n", (unsigned long long)m->bytes, (unsigned long long)chunk,
                 *m->sha256 ? m->sha256 : "-", *m->sha256 || !*m->validator ? "-" : m->validator);
}

/* Fills got[0..n), which is zeroed, from a journal of this very file (validator NULL: whatever it is known by). False: it is none. */
static bool read_log(const char *log, const pull_mark *m, uint64_t chunk, int n, uint64_t *got)
{
    char err[Q_ERRLEN];
    q_buf text = { 0 }, head = { 0 };
    bool any = !m->validator;
    head_of(&head, any ? &(pull_mark){ m->bytes, m->sha256, "" } : m, chunk);
    head.len -= any ? 2 : 0;             /* "-" and the line's end */
    bool known = (any || *m->sha256 || *m->validator) && q_read_file(log, &text, LOG_MOST, err) == Q_OK && text.len >= head.len && memcmp(text.p, head.p, head.len) == 0;
    const char *rest = known ? text.p + head.len : NULL;
    if (any && rest)
        rest = memchr(rest, '\n', text.len - head.len);
    for (const char *p = any && rest ? rest + 1 : rest, *end; p && (end = memchr(p, '\n', (size_t)(text.p + text.len - p))); p = end + 1) {
        unsigned long long i, have;
        int used = 0;
        if (sscanf(p, "%20llu %20llu%n", &i, &have, &used) == 2 && p + used == end && i < (unsigned)n && have <= len_of(m->bytes, chunk, i))
            got[i] = have;
    }
    q_buf_free(&text);
    q_buf_free(&head);
    return known;
}

static uint64_t sum(const uint64_t *got, int n)
{
    uint64_t all = 0;
    for (int i = 0; i < n; i++)
        all += got[i];
    return all;
}

/* 0: it does not say how long it is. */
static int chunks(uint64_t bytes)
{
    return bytes == UINT64_MAX ? 0 : (int)((bytes + chunk_of(bytes) - 1) / chunk_of(bytes));
}

uint64_t pull_part_peek(const char *path, const pull_mark *m)
{
    char *part = q_printf("%s.part", path), *log = q_printf("%s.part.log", path);
    struct stat st;
    int n = chunks(m->bytes);
    uint64_t *got = q_alloc(((size_t)n + 1) * sizeof *got), all = 0;
    if (n && stat(part, &st) == 0 && (uint64_t)st.st_size == m->bytes && read_log(log, m, chunk_of(m->bytes), n, got))
        all = sum(got, n);
    free(got);
    free(part);
    free(log);
    return all;
}

static int cannot(const char *path, char *err) { return q_fail(err, Q_IO, _("cannot write %s: %s"), path, strerror(errno)); }

static int put_all(int fd, const q_buf *text)
{
    for (size_t at = 0; at < text->len;) {
        ssize_t w = write(fd, text->p + at, text->len - at);
        if (w < 0 && errno != EINTR)
            return -1;
        at += w > 0 ? (size_t)w : 0;
    }
    return 0;
}

/* A fresh journal in the place of the old one. Beside it under one name, whoever writes: only who has the lock does, and a kill leaves no litter. */
static int fresh_log(pull_part *p, const q_buf *text, char *err)
{
    char *fresh = q_printf("%s.new", p->log);
    unlink(fresh);
    p->log_fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
    int rc = p->log_fd >= 0 && put_all(p->log_fd, text) == 0 && fdatasync(p->log_fd) == 0 && rename(fresh, p->log) == 0 ? Q_OK : cannot(p->log, err);
    free(fresh);
    return rc;
}

int pull_part_begin(pull_part *p, const pull_mark *m, bool anew, uint64_t *had, char *err)
{
    struct stat st;
    p->bytes = m->bytes;
    p->chunk = m->bytes == UINT64_MAX ? 0 : chunk_of(m->bytes);
    p->n = chunks(m->bytes);
    free(p->got);
    free(p->noted);
    p->got = q_alloc(((size_t)p->n + 1) * sizeof *p->got);
    p->noted = q_alloc(((size_t)p->n + 1) * sizeof *p->noted);
    if (p->log_fd >= 0)
        close(p->log_fd);
    p->log_fd = -1;
    bool there = !anew && p->n && fstat(p->fd, &st) == 0 && (uint64_t)st.st_size == m->bytes && read_log(p->log, m, p->chunk, p->n, p->noted);
    *had = there ? sum(p->noted, p->n) : 0;
    for (int i = 0; i < p->n; i++)
        atomic_store(&p->got[i], p->noted[i]);
    if (!there)
        unlink(p->log);                  /* first: a journal never speaks of bytes that are being thrown away */
    if (!there && (ftruncate(p->fd, 0) != 0 || (p->n && ftruncate(p->fd, (off_t)m->bytes) != 0)))
        return cannot(p->part, err);
    if (!p->n)
        return Q_OK;
    q_buf text = { 0 };
    head_of(&text, m, p->chunk);
    for (int i = 0; i < p->n; i++)
        if (p->noted[i])
            q_buf_printf(&text, "%d %llu\n", i, (unsigned long long)p->noted[i]);
    int rc = fresh_log(p, &text, err);
    q_buf_free(&text);
    return rc;
}

int pull_part_note(pull_part *p, char *err)
{
    q_buf text = { 0 };
    if (p->log_fd < 0)
        return Q_OK;
    for (int i = 0; i < p->n; i++) {
        uint64_t have = atomic_load(&p->got[i]);
        if (have != p->noted[i])
            q_buf_printf(&text, "%d %llu\n", i, (unsigned long long)(p->noted[i] = have));
    }
    int rc = Q_OK;
    if (text.len && fdatasync(p->fd) != 0)
        rc = cannot(p->part, err);
    if (rc == Q_OK && put_all(p->log_fd, &text) < 0)
        rc = cannot(p->log, err);
    if (rc == Q_OK && text.len)
        fdatasync(p->log_fd);
    q_buf_free(&text);
    return rc;
}

/* ---- its own name ---- */
int pull_part_put(pull_part *p, bool force, char *err)
{
    if (fsync(p->fd) != 0)
        return cannot(p->part, err);
    if (q_no_device(p->path, err) != Q_OK)
        return Q_RANGE;
    if (force ? rename(p->part, p->path) : q_move_new(p->part, p->path))
        return errno == EEXIST ? q_fail(err, Q_RANGE, _("%s is there already: nothing is written over, --force does"), p->path) : cannot(p->path, err);
    forget_log(p);
    char *folder = q_strdup(p->path), *slash = strrchr(folder, '/');
    if (slash)
        *slash = 0;
    int fd = slash && *folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
    return Q_OK;
}
