/* tools/walk: see walk.h. */
#include "tools/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct walking {
    int (*fn)(void *user, const walk_entry *, char *err);
    void *user;
    int most, seen;
    bool all;
    char *err;
} walking;

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int names_of(int fd, char ***out, int *n)
{
    DIR *d = fdopendir(fd);
    *out = NULL;
    *n = 0;
    if (!d) {
        close(fd);
        return Q_IO;
    }
    for (struct dirent *e; *n < WALK_MAX && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if ((*n & (*n - 1)) == 0)
            *out = q_realloc(*out, sizeof **out * (size_t)(*n ? 2 * *n : 1));
        (*out)[(*n)++] = q_strdup(e->d_name);
    }
    closedir(d);
    if (*n)
        qsort(*out, (size_t)*n, sizeof **out, by_name);
    return Q_OK;
}

/* fd is given up. */
static int folder(walking *w, int fd, const char *path, int depth)
{
    char **name;
    int n, rc = 1, dir = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (names_of(fd, &name, &n) < 0 || dir < 0)
        w->all = false;
    for (int i = 0; i < n && rc > 0; i++) {
        struct stat st;
        if (dir < 0 || w->seen++ >= WALK_MAX || fstatat(dir, name[i], &st, AT_SYMLINK_NOFOLLOW) < 0) {
            w->all = false;
            continue;
        }
        char *whole = strcmp(path, ".") == 0 ? q_strdup(name[i]) : q_printf("%s/%s", strcmp(path, "/") == 0 ? "" : path, name[i]);
        walk_entry e = { .path = whole, .name = name[i], .dir = dir, .depth = depth, .bytes = st.st_size,
                         .kind = S_ISREG(st.st_mode) ? WALK_FILE : S_ISDIR(st.st_mode) ? WALK_FOLDER : S_ISLNK(st.st_mode) ? WALK_LINK : WALK_OTHER };
        rc = w->fn(w->user, &e, w->err);
        if (rc > 0 && e.kind == WALK_FOLDER && depth < w->most && strcmp(name[i], ".git") != 0) {
            int below = openat(dir, name[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (below >= 0)
                rc = folder(w, below, whole, depth + 1);
            else
                w->all = false;
        }
        free(whole);
    }
    for (int i = 0; i < n; i++)
        free(name[i]);
    free(name);
    if (dir >= 0)
        close(dir);
    return rc;
}

int walk(const tool_place *p, const char *canonical, int depth, int (*fn)(void *, const walk_entry *, char *), void *user, bool *all, char *err)
{
    walking w = { .fn = fn, .user = user, .most = depth, .all = true, .err = err };
    int fd, rc = place_open_folder(p, canonical, &fd, err);
    if (rc < 0)
        return rc;
    rc = folder(&w, fd, canonical, 1);
    *all = w.all && rc != 0;
    return rc < 0 ? rc : Q_OK;
}
