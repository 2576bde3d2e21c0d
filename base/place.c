/* base/place: where a file lies, and whether one can be written there; the part that it is until it is whole. */
#include "base/base.h"
#include "base/place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool q_taken(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

char *q_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? q_strndup(path, slash == path ? 1 : (size_t)(slash - path)) : q_strdup(".");
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* What is written is renamed to its name, so a link there is not followed. */
bool q_same_place(const char *a, const char *b)
{
    if (strcmp(name_of(a), name_of(b)) != 0) return false;
    char *x = q_folder_of(a), *y = q_folder_of(b);
    bool same = strcmp(x, y) == 0 || q_same_file(x, y);
    free(x);
    free(y);
    return same;
}

int q_may_write(const char *path, char *err)
{
    struct stat st;
    char *dir = q_folder_of(path);
    char *beside = q_printf("%s.new.%ld.%u", path, (long)getpid(), UINT_MAX);    /* what it is renamed from is as long as this at most */
    bool no = access(dir, W_OK) != 0 || (lstat(beside, &st) != 0 && errno != ENOENT);
    int rc = no ? q_fail(err, Q_IO, _("cannot write %s: %s"), path, strerror(errno)) : Q_OK;
    free(dir);
    free(beside);
    return rc;
}

static int nameless(const char *part)
{
    int fd = -1;
#ifdef O_TMPFILE
    char *folder = q_folder_of(part);
    fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644);
    free(folder);
#endif
    return fd;
}

int q_part_open(const char *part)
{
    unlink(part);                        /* left by a kill, or a link that somebody laid there: it is not written through */
    int fd = nameless(part);             /* an empty one: whether it gets its name is asked now, not behind minutes of work */
    bool named = fd >= 0 && q_part_name(fd, part) == 0;
    if (fd >= 0) close(fd);
    if (named) unlink(part);
    if (named && (fd = nameless(part)) >= 0) return fd;
    return open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
}

int q_part_name(int fd, const char *part)
{
    struct stat st;
    char mine[40];
    if (fstat(fd, &st) != 0) return -1;
    if (st.st_nlink) return 0;
    snprintf(mine, sizeof mine, "/proc/self/fd/%d", fd);
    unlink(part);
    return linkat(AT_FDCWD, mine, AT_FDCWD, part, AT_SYMLINK_FOLLOW);
}
