/* rag/walk: goes through a folder. Owns nothing beyond the call; any thread. It never follows a link out of the folder
 * it was given, also where one is put there meanwhile; it never recurses, and knows nothing of memory. */
#include "rag/walk.h"

#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { FOLDERS_MAX = 20000, FILES_MAX = 100000 };

struct stack { char **v; int n, cap; };

static void push(struct stack *s, char *path)
{
    if (s->n == s->cap) s->v = q_realloc(s->v, sizeof *s->v * (size_t)(s->cap = s->cap ? s->cap * 2 : 32));
    s->v[s->n++] = path;
}

bool rag_inside(const char *root, const char *path)
{
    size_t n = strlen(root);
    return strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == 0 || (n && root[n - 1] == '/'));
}

int rag_open_below(const char *root, const char *path, bool folder)
{
    const char *p = path + strlen(root);
    p += strspn(p, "/");
    int fd = open(root, (*p ? O_PATH : O_RDONLY) | O_DIRECTORY | O_CLOEXEC);
    while (fd >= 0 && *p) {
        size_t n = strcspn(p, "/");
        char *name = q_strndup(p, n);
        p += n;
        p += strspn(p, "/");
        int how = *p ? O_PATH | O_DIRECTORY : folder ? O_RDONLY | O_DIRECTORY : O_RDONLY | O_NONBLOCK | O_NOCTTY;
        int next = openat(fd, name, how | O_NOFOLLOW | O_CLOEXEC), e = errno;
        free(name);
        close(fd);
        errno = e;
        fd = next;
    }
    return fd;
}

/* What a name in a folder leads to: S_IFREG (then *path and *st are the file's), S_IFDIR, S_IFLNK: a file or a folder outside, or 0: passed
 * over. */
static mode_t entry(const char *root, int folder, const char *name, char **path, struct stat *st)
{
    if (strlen(*path) >= PATH_MAX || fstatat(folder, name, st, AT_SYMLINK_NOFOLLOW) != 0) return 0;
    if (S_ISLNK(st->st_mode)) {                 /* to a hidden file of this folder: that file; others come by themselves */
        char *real = realpath(*path, NULL);
        bool ours = real && rag_inside(root, real) && strstr(real + strlen(root), "/.") && stat(real, st) == 0 && S_ISREG(st->st_mode);
        if (ours) {
            free(*path);
            *path = real;
            return S_IFREG;
        }
        bool out = real && !rag_inside(root, real) && !rag_inside(real, root) && stat(real, st) == 0 && (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode));
        free(real);
        return out ? S_IFLNK : 0;
    }
    return st->st_mode & S_IFMT;
}

struct walk { const char *root; struct stack todo; int files; bool (*fn)(void *, const struct walk_entry *); void *user; };

static bool closed(const struct walk *w, enum walk_what what, const char *path, const char *why)
{
    return w->fn(w->user, &(struct walk_entry){.what = what, .path = path, .why = why});
}

/* /proc and /sys: no files of anybody, other ones at each look, and what running programs keep to themselves among them. */
static bool of_the_system(int fd)
{
    enum { OF_PROC = 0x9fa0, OF_SYS = 0x62656572 };
    struct statfs f;
    return fstatfs(fd, &f) == 0 && (f.f_type == OF_PROC || f.f_type == OF_SYS);
}

/* The files of a folder are told, its folders pushed. */
static bool one_folder(struct walk *w, const char *folder)
{
    struct dirent **e = NULL;
    struct walk_entry told = {.what = WALK_FOLDER, .path = folder};
    int fd = rag_open_below(w->root, folder, true);
    if (fd >= 0 && of_the_system(fd)) {
        close(fd);
        return closed(w, WALK_CLOSED, folder, _("there are no files in it, only what the system says of itself"));
    }
    if (fd < 0 || fstat(fd, &told.st) != 0 || (told.entries = scandirat(fd, ".", &e, NULL, alphasort)) < 0) {
        int why = errno;
        if (fd >= 0) close(fd);
        return closed(w, WALK_CLOSED, folder, strerror(why));
    }
    int n = told.entries, first = w->todo.n;
    told.entries -= 2;                          /* . and .. */
    bool go = w->fn(w->user, &told);
    for (int i = 0; i < n; i++) {
        char *path = q_printf("%s/%s", strcmp(folder, "/") == 0 ? "" : folder, e[i]->d_name);
        struct walk_entry x = {.what = WALK_FILE};
        mode_t mode = go && e[i]->d_name[0] != '.' ? entry(w->root, fd, e[i]->d_name, &path, &x.st) : 0;
        x.path = path;
        free(e[i]);
        if (mode == S_IFLNK) go = closed(w, WALK_LINK, path, _("it is a link to somewhere else, which is not followed: add what it leads to"));
        else if (mode == S_IFREG && ++w->files > FILES_MAX) {
            closed(w, WALK_END, folder, _("more than 100000 files: add its folders one by one"));
            go = false;
        } else if (mode == S_IFREG) {
            go = w->fn(w->user, &x);
        }
        if (mode == S_IFDIR) push(&w->todo, path);
        else free(path);
    }
    free(e);
    close(fd);
    for (int a = first, b = w->todo.n - 1; a < b; a++, b--) {   /* the first name comes off the stack first */
        char *t = w->todo.v[a];
        w->todo.v[a] = w->todo.v[b];
        w->todo.v[b] = t;
    }
    return go;
}

bool rag_walk(const char *root, bool (*fn)(void *, const struct walk_entry *), void *user)
{
    struct walk w = {.root = root, .fn = fn, .user = user};
    bool go = true;
    push(&w.todo, q_strdup(root));
    for (int folders = 0; w.todo.n && go; folders++) {
        char *folder = w.todo.v[--w.todo.n];
        if (folders < FOLDERS_MAX) go = one_folder(&w, folder);
        else go = closed(&w, WALK_END, folder, _("more than 20000 folders: add them one by one")) && false;
        free(folder);
    }
    while (w.todo.n) free(w.todo.v[--w.todo.n]);
    free(w.todo.v);
    return go;
}
