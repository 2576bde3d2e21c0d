/* tools/guard_look: looks through a project, nearest folders first. See guard.h. Its work is bounded by counts, never by time. */
#include "tools/guard.h"
#include "tools/guarded.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* ================= one place ================= */
/* In one call where the kernel has it (Linux 5.6); -1 with ENOSYS or EPERM: it has not, or somebody around us refuses it. */
static int open_at_once(int top, const char *path)
{
    struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
    return (int)syscall(SYS_openat2, top, path, &how, sizeof how);
}

int look_open(int top, const char *path)
{
    int whole = *path ? open_at_once(top, path) : -1;
    if (whole >= 0 || (*path && errno == ENOENT)) return whole;
    int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* one of its own: two that are the same read a folder together */
    char part[NAME_MAX + 1];
    for (const char *p = path; fd >= 0 && *p;) {
        size_t n = strcspn(p, "/");
        int next = -1;
        errno = ENAMETOOLONG;
        if (n && n < sizeof part) {
            memcpy(part, p, n);
            part[n] = 0;
            next = openat(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        }
        int why = errno;
        close(fd);
        errno = why;
        fd = next;
        p += n + (p[n] == '/');
    }
    return fd;
}

int look_parent(int top, const char *path, const char **leaf)
{
    const char *slash = strrchr(path, '/');
    *leaf = slash ? slash + 1 : path;
    char *folder = q_strndup(path, slash ? (size_t)(slash - path) : 0);
    int fd = look_open(top, folder), why = errno;
    free(folder);
    errno = why;
    return fd;
}

/* All of an open regular file; false: more than is kept. */
static bool read_all(int fd, q_buf *out, size_t *bytes)
{
    char p[16384];
    for (ssize_t k; (k = read(fd, p, sizeof p)) != 0;) {
        if (k < 0 && errno == EINTR) continue;
        if (k < 0 || out->len + (size_t)k > KEPT_MAX || *bytes + (size_t)k > KEPT_ALL) return false;
        q_buf_add(out, p, (size_t)k);
        *bytes += (size_t)k;
    }
    return true;
}

bool look_see(int dir, const char *leaf, kept *p, size_t *bytes)
{
    char link[PATH_MAX];
    if (dir < 0 || fstatat(dir, leaf, &p->st, AT_SYMLINK_NOFOLLOW) != 0) return false;
    if (S_ISLNK(p->st.st_mode)) {
        ssize_t k = readlinkat(dir, leaf, link, sizeof link);
        p->whole = k > 0 && k < (ssize_t)sizeof link;
        if (p->whole) q_buf_add(&p->was, link, (size_t)k);
    }
    if (!S_ISREG(p->st.st_mode)) return true;
    int fd = openat(dir, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    p->whole = fd >= 0 && read_all(fd, &p->was, bytes);
    if (fd >= 0) close(fd);
    return true;
}

/* ================= looking ================= */
typedef struct visit {
    char *path;
    int depth, in; /* in: the index of what is kept with all that is in it, and the project's own is -1 */
} visit;
typedef struct looking {
    look *l;
    int top, entries;
    visit *queue;
    int n_queue, cap, kept_cap, folder_cap;
    char **repo; /* that were looked at */
    int n_repo;
    int *in; /* [l->n at most LOOK_KEPT] how many are in each that is kept as a whole */
    bool unsorted;
} looking;

static char *joined(const char *folder, const char *name) { return *folder ? q_printf("%s/%s", folder, name) : q_strdup(name); }
static const char *last(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void enter(looking *w, char *path, int depth, int in)
{
    if (depth > LOOK_DEPTH || w->n_queue >= LOOK_FOLDERS) {
        w->l->all = false;
        free(path);
        return;
    }
    if (w->n_queue == w->cap) w->queue = q_realloc(w->queue, (size_t)(w->cap = w->cap ? 2 * w->cap : 64) * sizeof *w->queue);
    w->queue[w->n_queue++] = (visit){ path, depth, in };
}

static int kept_already(const look *l, const char *path)
{
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->v[i].path, path) == 0) return i;
    return -1;
}

/* Its place among the kept; -1: it is not there, or there are too many. */
static int keep(looking *w, int dir, const char *leaf, const char *path, unsigned how)
{
    look *l = w->l;
    kept k = { .how = how };
    int was = kept_already(l, path);
    if (was >= 0) {
        l->v[was].how |= how;
        return was;
    }
    if (!look_see(dir, leaf, &k, &l->bytes)) return -1;
    if (l->n >= LOOK_KEPT) {
        l->all = false;
        q_buf_free(&k.was);
        return -1;
    }
    if (l->n == w->kept_cap) {
        w->kept_cap = w->kept_cap ? 2 * w->kept_cap : 64;
        l->v = q_realloc(l->v, (size_t)w->kept_cap * sizeof *l->v);
        w->in = q_realloc(w->in, (size_t)w->kept_cap * sizeof *w->in);
    }
    k.path = q_strdup(path);
    w->in[l->n] = 0;
    l->v[l->n] = k;
    return l->n++;
}

/* Where a name leads that stands in a folder of the project, from the project on; NULL: out of it, or nowhere. */
static char *leads(looking *w, const char *folder, const char *to)
{
    char top[64], *whole;
    snprintf(top, sizeof top, "/proc/self/fd/%d", w->top);
    char *root = realpath(top, NULL);
    char *name = *to == '/' ? q_strdup(to) : q_printf("%s/%s/%s", top, folder, to), *out = NULL;
    whole = root ? realpath(name, NULL) : NULL;
    size_t n = root ? strlen(root) : 0;
    if (whole && n > 1 && strncmp(whole, root, n) == 0 && whole[n] == '/') out = q_strdup(whole + n + 1);
    if (whole && n == 1) out = q_strdup(whole + 1);
    free(whole);
    free(name);
    free(root);
    return out;
}

static void keep_whole(looking *w, const char *path, int depth, unsigned how)
{
    const char *leaf;
    int dir = look_parent(w->top, path, &leaf);
    int i = keep(w, dir, leaf, path, how | KEPT_ROOT);
    if (i >= 0 && S_ISDIR(w->l->v[i].st.st_mode)) enter(w, q_strdup(path), depth + 1, i);
    if (i >= 0 && S_ISLNK(w->l->v[i].st.st_mode) && w->l->v[i].whole && depth < LOOK_DEPTH) {
        char *folder = q_strndup(path, leaf > path ? (size_t)(leaf - path - 1) : 0), *to = leads(w, folder, w->l->v[i].was.p);
        if (to && *to && kept_already(w->l, to) < 0) keep_whole(w, to, depth + 8, how);
        free(to);
        free(folder);
    }
    if (dir >= 0) close(dir);
}

/* ---- repositories ---- */
static void repository(looking *w, const char *path, int depth);

static void hooks(looking *w, int git, const char *path)
{
    int dir = openat(git, "hooks", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), n = 0, at;
    char *folder = joined(path, "hooks");
    at = keep(w, git, "hooks", folder, KEPT_GIT | KEPT_ROOT);
    for (int i = 0; dir >= 0 && git_hooks[i]; i++) {
        char *name = joined(folder, git_hooks[i]);
        keep(w, dir, git_hooks[i], name, KEPT_GIT | KEPT_HOOK);
        free(name);
    }
    DIR *d = dir < 0 ? NULL : fdopendir(dir);
    for (struct dirent *e; d && at >= 0 && (e = readdir(d)) != NULL;) {
        if (!git_hook_name(e->d_name)) continue;
        if (n++ == LOOK_HOOKS) {
            w->l->v[at].how |= KEPT_MANY;
            break;
        }
        char *name = joined(folder, e->d_name);
        keep(w, dir, e->d_name, name, KEPT_GIT | KEPT_HOOK);
        free(name);
    }
    if (d) closedir(d);
    else if (dir >= 0) close(dir);
    free(folder);
}

/* Below .git/modules a name may have several parts. */
static void repositories_in(looking *w, int git, const char *below, const char *path, int depth)
{
    int fd = depth > LOOK_DEPTH ? -1 : openat(git, below, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && !d) close(fd);
    char *folder = joined(path, below);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        struct stat st;
        if (*e->d_name == '.' || w->entries++ > LOOK_ENTRIES || fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode)) continue;
        char *one = joined(folder, e->d_name), *head = joined(e->d_name, "HEAD"), *config = joined(e->d_name, "config");
        if (faccessat(fd, head, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || faccessat(fd, config, F_OK, AT_SYMLINK_NOFOLLOW) == 0) repository(w, one, depth + 1);
        else repositories_in(w, fd, e->d_name, folder, depth + 1);
        free(one);
        free(head);
        free(config);
    }
    if (d) closedir(d);
    free(folder);
}

/* A file of it that names another place: the repository that it is a part of, or folders of hooks. */
static void led_on(looking *w, const char *path, int i, int depth)
{
    const kept *k = &w->l->v[i];
    char *to[8], *name = NULL;
    int n = 0;
    if (!S_ISREG(k->st.st_mode) || !k->whole || !k->was.len) return;
    if (strcmp(last(k->path), "commondir") == 0) {
        char *line = q_strndup(k->was.p, strcspn(k->was.p, "\r\n"));
        if ((name = leads(w, path, line)) != NULL && *name) repository(w, name, depth + 1);
        free(line);
        free(name);
        return;
    }
    const char *slash = strrchr(path, '/');
    char *tree = q_strndup(path, strcmp(last(path), ".git") == 0 && slash ? (size_t)(slash - path) : strcmp(path, ".git") == 0 ? 0 : strlen(path));
    size_t len = k->was.len;
    char *text = q_strndup(k->was.p, len), *own = joined(path, "hooks");
    n = git_values(text, len, "core.hookspath", to, 4);
    int hook_n = n;
    n += git_values(text, len, "include.path", to + n, 4);
    for (int j = 0; j < n; j++) {
        name = leads(w, j < hook_n ? tree : path, to[j]);
        if (name && *name && strcmp(name, own) != 0) keep_whole(w, name, depth, 0);
        free(name);
        free(to[j]);
    }
    free(text);
    free(own);
    free(tree);
}

static void repository(looking *w, const char *path, int depth)
{
    for (int i = 0; i < w->n_repo; i++)
        if (strcmp(w->repo[i], path) == 0) return;
    const char *leaf;
    int dir = look_parent(w->top, path, &leaf), git = look_open(w->top, path);
    if (git >= 0 && depth <= LOOK_DEPTH) {
        w->repo = q_realloc(w->repo, (size_t)(w->n_repo + 1) * sizeof *w->repo);
        w->repo[w->n_repo++] = q_strdup(path);
        if (*path) keep(w, dir, leaf, path, KEPT_REPO | KEPT_GIT);
        char *info = joined(path, "info");
        keep(w, git, "info", info, KEPT_GIT); /* a link there would lead elsewhere */
        free(info);
        for (int i = 0; git_obeys[i]; i++) {
            const char *below = strrchr(git_obeys[i], '/');
            char *name = joined(path, git_obeys[i]), *folder = q_strndup(git_obeys[i], below ? (size_t)(below - git_obeys[i]) : 0);
            int in = below ? openat(git, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : git;
            int k = keep(w, in, last(git_obeys[i]), name, KEPT_GIT | KEPT_ROOT | (strncmp(git_obeys[i], "config", 6) == 0 ? KEPT_CONFIG : 0u));
            if (k >= 0) led_on(w, path, k, depth);
            if (below && in >= 0) close(in);
            free(folder);
            free(name);
        }
        hooks(w, git, path);
        repositories_in(w, git, "modules", path, depth);
        repositories_in(w, git, "worktrees", path, depth);
    }
    if (dir >= 0) close(dir);
    if (git >= 0) close(git);
}

/* ".git": a repository, a file that says where it is, or a link. */
static void dot_git(looking *w, int dir, const char *path, const char *folder, int depth)
{
    int i = keep(w, dir, last(path), path, KEPT_GIT);
    if (i < 0) return;
    kept *k = &w->l->v[i];
    char *to = NULL;
    if (S_ISDIR(k->st.st_mode)) {
        repository(w, path, depth + 1);
        return;
    }
    k->how |= KEPT_AWAY | KEPT_ROOT;
    if (S_ISLNK(k->st.st_mode) && k->whole) to = leads(w, folder, k->was.p);
    if (S_ISREG(k->st.st_mode) && k->whole && k->was.len > 8 && strncmp(k->was.p, "gitdir: ", 8) == 0) {
        char *line = q_strndup(k->was.p + 8, strcspn(k->was.p + 8, "\r\n"));
        to = leads(w, folder, line);
        free(line);
    }
    if (to && *to) repository(w, to, depth + 1);
    free(to);
}

/* ---- folders ---- */
static bool folder_here(int dir, const struct dirent *e)
{
    struct stat st;
    if (e->d_type != DT_UNKNOWN) return e->d_type == DT_DIR;
    return fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static void in_kept(looking *w, const visit *v, int dir, const char *name, bool folder)
{
    if (w->in[v->in]++ >= LOOK_IN) {
        w->l->v[v->in].how |= KEPT_MANY;
        return;
    }
    char *path = joined(v->path, name);
    if (keep(w, dir, name, path, 0) >= 0 && folder) enter(w, path, v->depth + 1, v->in);
    else free(path);
}

static void in_project(looking *w, const visit *v, int dir, const char *name, bool folder)
{
    if (strcasecmp(name, ".git") == 0) {
        char *path = joined(v->path, name);
        dot_git(w, dir, path, v->path, v->depth);
        free(path);
    } else if (guarded(last(v->path), name) & GUARDED_KEEP) {
        char *path = joined(v->path, name);
        keep_whole(w, path, v->depth, 0);
        free(path);
    } else if (folder) enter(w, joined(v->path, name), v->depth + 1, -1);
}

enum { HAS_HEAD = 1, HAS_OBJECTS = 2, HAS_REFS = 4, HAS_CONFIG = 8, HAS_COMMON = 16 };
static int sign_of(const char *name)
{
    static const char *const signs[] = { "HEAD", "objects", "refs", "config", "commondir" };
    for (int i = 0; i < 5; i++)
        if (strcmp(signs[i], name) == 0) return 1 << i;
    return 0;
}
/* What git takes for a repository where it comes across it, or for the part of one that several share. */
static bool like_a_repository(int has)
{
    return ((has & HAS_OBJECTS) && (has & HAS_REFS) && (has & (HAS_HEAD | HAS_CONFIG))) || ((has & HAS_HEAD) && (has & HAS_COMMON));
}

static bool of_the_kernel(int fd)
{
    struct statfs s;
    return fstatfs(fd, &s) == 0 && (s.f_type == PROC_SUPER_MAGIC || s.f_type == SYSFS_MAGIC);
}

static void visit_one(looking *w, const visit *v)
{
    look *l = w->l;
    int fd = look_open(w->top, v->path), has = 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && !d) close(fd);
    if (!d) return;
    if (v->depth == 1 && of_the_kernel(fd)) { /* a project that is the whole machine */
        closedir(d);
        return;
    }
    if (l->n_folders == w->folder_cap) l->folder = q_realloc(l->folder, (size_t)(w->folder_cap = w->folder_cap ? 2 * w->folder_cap : 64) * sizeof *l->folder);
    l->folder[l->n_folders++] = q_strdup(v->path);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (w->entries++ >= LOOK_ENTRIES) {
            l->all = false;
            break;
        }
        has |= sign_of(e->d_name);
        if (v->in >= 0) in_kept(w, v, fd, e->d_name, folder_here(fd, e));
        else in_project(w, v, fd, e->d_name, folder_here(fd, e));
    }
    closedir(d);
    if (v->in < 0 && like_a_repository(has)) repository(w, v->path, v->depth);
}

static int by_path(const void *a, const void *b) { return strcmp(((const kept *)a)->path, ((const kept *)b)->path); }
static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

void look_at(int top, look *out)
{
    looking w = { .l = out, .top = top };
    *out = (look){ .all = true };
    enter(&w, q_strdup(""), 0, -1);
    for (int i = 0; i < w.n_queue; i++) {
        visit v = w.queue[i]; /* the queue grows, and moves */
        visit_one(&w, &v);
    }
    for (int i = 0; i < w.n_queue; i++) free(w.queue[i].path);
    for (int i = 0; i < w.n_repo; i++) free(w.repo[i]);
    free(w.queue);
    free(w.repo);
    free(w.in);
    if (out->n) qsort(out->v, (size_t)out->n, sizeof *out->v, by_path);
    if (out->n_folders) qsort(out->folder, (size_t)out->n_folders, sizeof *out->folder, by_name);
}

void look_free(look *l)
{
    for (int i = 0; i < l->n; i++) {
        free(l->v[i].path);
        q_buf_free(&l->v[i].was);
    }
    for (int i = 0; i < l->n_folders; i++) free(l->folder[i]);
    free(l->v);
    free(l->folder);
    *l = (look){ 0 };
}

const kept *look_find(const look *l, const char *path)
{
    kept k = { .path = (char *)(uintptr_t)path };
    return l->n ? bsearch(&k, l->v, (size_t)l->n, sizeof *l->v, by_path) : NULL;
}

bool look_folder(const look *l, const char *path)
{
    return l->n_folders && bsearch(&path, l->folder, (size_t)l->n_folders, sizeof *l->folder, by_name);
}
