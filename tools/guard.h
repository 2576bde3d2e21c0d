/* tools/guard: what stands in a project that others obey (guarded.h), found by looking, and what git obeys of it. Names are those from the project
 * folder on; links are never followed on the way. Any thread; a look is its owner's. Private to sandbox_guard.c and what it is made of. */
#ifndef TOOLS_GUARD_H
#define TOOLS_GUARD_H

#include "base/base.h"

#include <sys/stat.h>

enum kept_how {
    KEPT_ROOT = 1,                      /* the thing itself, not what is in it */
    KEPT_REPO = 2,                      /* a repository's folder, .git or another */
    KEPT_CONFIG = 4, KEPT_HOOK = 8,     /* of one: its settings; what it runs */
    KEPT_GIT = 16,                      /* any of these, and what else git obeys there */
    KEPT_AWAY = 32,                     /* a file that says where the repository is */
    KEPT_MANY = 64                      /* a folder of which not all was looked at */
};
typedef struct kept {
    char *path;
    unsigned how;
    struct stat st;
    bool whole;                         /* was has all of it */
    q_buf was;                          /* of a file; of a link where it leads */
} kept;
typedef struct look {
    kept *v;                            /* by path */
    char **folder;                      /* that were entered, by path; "" the project's own */
    int n, n_folders;
    size_t bytes;                       /* of contents */
    bool all;                           /* false: there is more than is looked at */
} look;
enum { KEPT_MAX = 1 << 20, KEPT_ALL = 64 << 20,         /* bytes of one, of all that are kept */
       LOOK_FOLDERS = 20000, LOOK_ENTRIES = 400000, LOOK_KEPT = 5000, LOOK_IN = 500, LOOK_DEPTH = 40, LOOK_HOOKS = 200 };
/* Nearest first, so that what is beyond the bounds is deepest. */
void look_at(int top, look *out);
void look_free(look *);
const kept *look_find(const look *, const char *path);
bool look_folder(const look *, const char *path);
/* The folder that a name stands in, from the project on; *leaf points into path. -1: it is not there, or (errno ELOOP, ENOTDIR) no folder. */
int look_parent(int top, const char *path, const char **leaf);
int look_open(int top, const char *path);               /* a folder, to be listed */
/* What stands there now; false: nothing. p keeps its path. */
bool look_see(int dir, const char *leaf, kept *p, size_t *bytes);

/* ---- guard_git.c ---- */
extern const char *const git_obeys[];   /* in a repository, until NULL: settings, where they lie, attributes */
extern const char *const git_hooks[];   /* githooks(5), until NULL */
bool git_hook_name(const char *name);   /* one that git would run, or any that a person keeps; no example */
/* Settings that every repository has, or that say where it came from: nothing in them runs. */
bool git_harmless(const char *p, size_t n);
/* The values of a setting ("core.hookspath") in it; each is malloc'ed, of at most `most`. Returns how many. */
int git_values(const char *p, size_t n, const char *key, char **out, int most);

#endif
