/* base/place: can a file be written there? */
#include "base/base.h"
#include "base/place.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool q_taken(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? q_strndup(path, (size_t)(slash - path) + 1) : q_strdup(".");
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
    char *x = folder_of(a), *y = folder_of(b);
    bool same = strcmp(x, y) == 0 || q_same_file(x, y);
    free(x);
    free(y);
    return same;
}

int q_may_write(const char *path, char *err)
{
    struct stat st;
    char *dir = folder_of(path);
    char *beside = q_printf("%s.new.%ld.%u", path, (long)getpid(), UINT_MAX);    /* what it is renamed from is as long as this at most */
    bool no = access(dir, W_OK) != 0 || (lstat(beside, &st) != 0 && errno != ENOENT);
    int rc = no ? q_fail(err, Q_IO, _("cannot write %s: %s"), path, strerror(errno)) : Q_OK;
    free(dir);
    free(beside);
    return rc;
}
