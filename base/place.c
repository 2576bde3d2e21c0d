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

int q_may_write(const char *path, char *err)
{
    struct stat st;
    const char *slash = strrchr(path, '/');
    char *dir = slash ? q_strndup(path, (size_t)(slash - path) + 1) : q_strdup(".");
    char *beside = q_printf("%s.new.%ld.%u", path, (long)getpid(), UINT_MAX);    /* what it is renamed from is as long as this at most */
    bool no = access(dir, W_OK) != 0 || (lstat(beside, &st) != 0 && errno != ENOENT);
    int rc = no ? q_fail(err, Q_IO, _("cannot write %s: %s"), path, strerror(errno)) : Q_OK;
    free(dir);
    free(beside);
    return rc;
}
