/* base/files: whole files and directories, and the memory that is free. */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int q_read_fd(int fd, const char *name, q_buf *out, size_t max, char *err)
{
    char chunk[65536];
    size_t got = 0;
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return q_fail(err, Q_IO, _("cannot read %s: %s"), name, strerror(errno));
        if (n == 0) return Q_OK;
        got += (size_t)n;
        if (got > max) {
            char w[32];
            return q_fail(err, Q_RANGE, _("%s is larger than %s"), name, q_bytes_words(max, w));
        }
        q_buf_add(out, chunk, (size_t)n);
    }
}

int q_file_check(int fd, const char *path, char *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0) return q_fail(err, Q_IO, _("cannot read %s: %s"), path, strerror(errno));
    bool waits = S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) || isatty(fd);
    return waits ? q_fail(err, Q_IO, _("%s is a pipe or a terminal, not a file: give the path of a file"), path) : Q_OK;
}

int q_read_file(const char *path, q_buf *out, size_t max, char *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);       /* a FIFO is refused, not waited for */
    if (fd < 0) return q_fail(err, Q_IO, _("cannot open %s: %s"), path, strerror(errno));
    int rc = q_file_check(fd, path, err);
    if (rc == Q_OK) rc = q_read_fd(fd, path, out, max, err);
    int e = errno;
    close(fd);
    errno = e;
    return rc;
}

int q_read_input(const char *path, q_buf *out, size_t max, char *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return q_fail(err, Q_IO, _("cannot open %s: %s"), path, strerror(errno));
    int rc = q_read_fd(fd, path, out, max, err);
    close(fd);
    return rc;
}

/* Where the file system knows no such move, the new name is taken first, by an empty file. */
int q_move_new(const char *a, const char *b)
{
    if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP && errno != EPERM) return -1;
    int fd = open(b, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return -1;
    close(fd);
    if (rename(a, b) == 0) return 0;
    int why = errno;
    unlink(b);
    errno = why;
    return -1;
}

static int write_file(const char *path, const void *p, size_t n, bool fresh, char *err)
{
    struct stat st;                      /* a pipe or a device would become a file, and /dev/null is everybody's */
    if (!fresh && stat(path, &st) == 0 && !S_ISREG(st.st_mode)) return q_fail(err, Q_IO, _("%s is no ordinary file: give another name"), path);
    static atomic_uint made;             /* two threads may want one name at once */
    char *tmp = fresh ? q_printf("%s.new.%ld.%u", path, (long)getpid(), atomic_fetch_add(&made, 1)) : q_printf("%s.tmp.%ld", path, (long)getpid());
    unlink(tmp);                         /* a link that somebody laid there is not written through */
    int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), rc = Q_OK;
    const char *s = p;
    bool bad = fd < 0;
    while (!bad && n) {
        ssize_t w = write(fd, s, n);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0) { bad = true; break; }
        s += w;
        n -= (size_t)w;
    }
    if (!bad && fsync(fd) != 0) bad = true;
    int e = errno;
    if (fd >= 0 && close(fd) != 0 && !bad) { bad = true; e = errno; }
    if (!bad && (fresh ? q_move_new(tmp, path) : rename(tmp, path)) != 0) { bad = true; e = errno; }
    if (bad) {
        unlink(tmp);
        rc = fresh && e == EEXIST ? q_fail(err, Q_RANGE, _("%s is there already: nothing is written over, give another name"), path)
                                  : q_fail(err, Q_IO, _("cannot write %s: %s"), path, strerror(e));
    }
    free(tmp);
    return rc;
}

int q_write_file_atomic(const char *path, const void *p, size_t n, char *err) { return write_file(path, p, n, false, err); }
int q_write_file_new(const char *path, const void *p, size_t n, char *err) { return write_file(path, p, n, true, err); }

void q_wipe_fd(int fd)
{
    static const char zero[65536];
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return;
    for (off_t at = 0; at < st.st_size;) {
        size_t left = (size_t)(st.st_size - at);
        ssize_t w = pwrite(fd, zero, left < sizeof zero ? left : sizeof zero, at);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) break;
        at += w;
    }
    fdatasync(fd);
}

int q_file_erase(const char *path, char *err)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);     /* what a link leads to is somebody else's */
    if (fd >= 0) {
        q_wipe_fd(fd);
        close(fd);
    }
    if (unlink(path) != 0 && errno != ENOENT) return q_fail(err, Q_IO, _("cannot remove %s: %s"), path, strerror(errno));
    return Q_OK;
}

bool q_same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* One of a folder's files; what ends with .gguf was made of them. */
static bool in_folder(const char *path, const char *folder)
{
    DIR *d = opendir(folder);
    bool is = false;
    for (struct dirent *e; d && !is && (e = readdir(d)) != NULL;) {
        size_t n = strlen(e->d_name);
        if (n > 5 && strcmp(e->d_name + n - 5, ".gguf") == 0) continue;
        char *file = q_printf("%s/%s", folder, e->d_name);
        is = q_same_file(path, file);
        free(file);
    }
    if (d) closedir(d);
    return is;
}

int q_no_input(const char *path, const char *input, char *err)
{
    if (!q_same_file(path, input) && !in_folder(path, input))
        return Q_OK;
    return q_fail(err, Q_RANGE, _("%s is read here, and writing over it would lose it: give another name"), path);
}

int q_no_device(const char *path, char *err)
{
    struct stat st;
    if (stat(path, &st) != 0 || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
        return Q_OK;
    return q_fail(err, Q_RANGE, _("%s is no ordinary file: give another name"), path);
}

int q_no_folder(const char *path, const char *like, char *err)
{
    struct stat st;
    size_t n = strlen(path);
    if (!n) return q_fail(err, Q_RANGE, _("the name of the file to be written is empty: give one, such as %s"), like);
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return Q_OK;
    return q_fail(err, Q_RANGE, _("%s is a folder: give a file in it, such as %s%s%s"), path, path, n && path[n - 1] == '/' ? "" : "/", like);
}

int q_mkdirs(const char *path, char *err)
{
    char *p = q_strdup(path);
    for (char *s = p + 1;; s++) {
        if (*s && *s != '/') continue;
        char c = *s;
        *s = 0;
        if (mkdir(p, 0700) != 0 && errno != EEXIST) {
            int rc = q_fail(err, Q_IO, _("cannot make the directory %s: %s"), p, strerror(errno));
            free(p);
            return rc;
        }
        *s = c;
        if (!c) break;
    }
    free(p);
    return Q_OK;
}

/* exact: from this unit on (0: bytes) with a digit behind the point. */
static char *words(uint64_t n, int exact, char out[32])
{
    static const char *const unit[] = { N_("B"), N_("KiB"), N_("MiB"), N_("GiB"), N_("TiB") };
    double v = (double)n;
    int u = 0;
    while (v >= 1024 && u < 4) { v /= 1024; u++; }
    snprintf(out, 32, u < exact ? "%.0f %s" : "%.1f %s", v, _(unit[u]));
    return out;
}

char *q_bytes_words(uint64_t n, char out[32])
{
    return words(n, 1, out);
}

char *q_bytes_brief(uint64_t n, char out[32]) { return words(n, 3, out); }

/* ---- keys ---- */
char *q_key_text(const char *text)
{
    text += strspn(text, " \t\r\n");
    size_t n = strcspn(text, "\r\n");
    while (n && (text[n - 1] == ' ' || text[n - 1] == '\t')) n--;
    return q_strndup(text, n);
}

int q_key_file(const char *named, char **key, char *err)
{
    struct stat st;
    q_buf b = { 0 };
    char *path = q_home_path(named);
    int rc = stat(path, &st) == 0 && (st.st_mode & 077)
        ? q_fail(err, Q_RANGE, _("others can read the key in %s: chmod 600 %s"), path, path) : q_read_file(path, &b, 65536, err);
    if (rc == Q_OK) {
        q_buf_puts(&b, "");
        *key = q_key_text(b.p);
        explicit_bzero(b.p, b.len);
        if (!**key) {
            free(*key);
            *key = NULL;
            rc = q_fail(err, Q_FORMAT, _("%s holds no key: write it into its first line"), path);
        }
    }
    q_buf_free(&b);
    free(path);
    return rc;
}
