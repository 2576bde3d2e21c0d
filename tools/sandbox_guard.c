/* tools/sandbox_guard: what other programs run or obey in a project: a repository's hooks and settings, and what shells and editors read
 * there. Looked at before a command and put back behind it. What the command wrote instead stays beside it, under a name that nobody
 * obeys: nothing is lost. Names are followed from open folders on, never through a link. Any thread; one owner. */
#include "tools/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Those of place.c's `guarded` that somebody obeys unasked where a project lies; a folder is read-only as a whole, and only then kept. */
static const char *const TOP[] = { ".bashrc", ".bash_aliases", ".bash_profile", ".bash_login", ".bash_logout", ".profile", ".zshrc", ".zshenv", ".zprofile", ".zlogin",
                                   ".zlogout", ".kshrc", ".cshrc", ".tcshrc", ".login", ".inputrc", ".gitconfig", ".gitmodules", ".envrc", ".vimrc", ".exrc", ".nvimrc",
                                   ".gdbinit", ".lldbinit", ".netrc", ".pam_environment",
                                   ".xprofile", ".xsessionrc", ".tmux.conf", ".npmrc", ".yarnrc", ".mcp.json", ".curlrc", ".wgetrc", ".direnvrc",
                                   ".husky", ".githooks", ".vscode", ".idea", ".devcontainer" };
static const char *const IN_GIT[] = { "config", "config.worktree", "commondir", "info/attributes" };
#define EACH(table, name) for (size_t at_ = 0; at_ < sizeof table / sizeof *table && ((name) = table[at_]); at_++)
/* githooks(5): what git runs, however many files lie beside it. */
static const char *const HOOKS[] = { "applypatch-msg", "pre-applypatch", "post-applypatch", "pre-commit", "pre-merge-commit", "prepare-commit-msg", "commit-msg", "post-commit",
                                     "pre-rebase", "post-checkout", "post-merge", "pre-push", "pre-receive", "update", "proc-receive", "post-receive", "post-update",
                                     "reference-transaction", "push-to-checkout", "pre-auto-gc", "post-rewrite", "sendemail-validate", "fsmonitor-watchman",
                                     "p4-changelist", "p4-prepare-changelist", "p4-post-changelist", "p4-pre-submit", "post-index-change" };
enum { KEPT_MAX = 1 << 20,
       HOOKS_MAX = 200 };

typedef struct place {
    char *name; /* from its folder on */
    bool in_git, there, whole; /* whole: was has all of it */
    struct stat st;
    q_buf was; /* of a file; of a link where it leads */
} place;
struct guard {
    char *folder;
    int top, git; /* -1: there was none */
    struct stat git_st;
    place *v;
    int n;
    bool many; /* hooks that were there before, more than HOOKS_MAX: which are new cannot be said */
};

static place *add(guard *g, bool in_git, const char *name)
{
    g->v = q_realloc(g->v, (size_t)(g->n + 1) * sizeof *g->v);
    g->v[g->n] = (place){ .name = q_strdup(name), .in_git = in_git };
    return &g->v[g->n++];
}

/* All of an open regular file; false: more than KEPT_MAX. */
static bool read_all(int fd, q_buf *out)
{
    char p[16384];
    for (ssize_t k; (k = read(fd, p, sizeof p)) != 0;) {
        if (k < 0 && errno == EINTR) continue;
        if (k < 0 || out->len + (size_t)k > KEPT_MAX) return false;
        q_buf_add(out, p, (size_t)k);
    }
    return true;
}

/* What stands under that name now. */
static void see(int dir, const char *name, place *p)
{
    char link[4096];
    p->there = dir >= 0 && fstatat(dir, name, &p->st, AT_SYMLINK_NOFOLLOW) == 0;
    if (!p->there) return;
    if (S_ISLNK(p->st.st_mode)) {
        ssize_t k = readlinkat(dir, name, link, sizeof link);
        p->whole = k > 0 && k < (ssize_t)sizeof link;
        if (p->whole) q_buf_add(&p->was, link, (size_t)k);
    }
    if (!S_ISREG(p->st.st_mode)) return;
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    p->whole = fd >= 0 && read_all(fd, &p->was);
    if (fd >= 0) close(fd);
}

static bool runs(const char *name) /* a hook that git would run, or any that a person keeps */
{
    size_t n = strlen(name);
    return strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !(n > 7 && strcmp(name + n - 7, ".sample") == 0) && !strstr(name, ".by-command");
}

/* True: there are more of them than are looked at. */
static bool each_hook(int git, void (*each)(void *user, const char *name), void *user)
{
    int fd = git < 0 ? -1 : openat(git, "hooks", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && !d) close(fd);
    int n = 0;
    for (struct dirent *e; d && n <= HOOKS_MAX && (e = readdir(d)) != NULL;) {
        if (!runs(e->d_name) || n++ == HOOKS_MAX) continue;
        char *name = q_printf("hooks/%s", e->d_name);
        each(user, name);
        free(name);
    }
    if (d) closedir(d);
    return n > HOOKS_MAX;
}

static place *held(const guard *g, const char *name) /* in .git */
{
    for (int i = 0; i < g->n; i++)
        if (g->v[i].in_git && strcmp(g->v[i].name, name) == 0) return &g->v[i];
    return NULL;
}

static void keep_hook(void *user, const char *name)
{
    guard *g = user;
    if (!held(g, name)) see(g->git, name, add(g, true, name));
}

int guard_take(const char *folder, guard **out, char *err)
{
    guard *g = q_alloc(sizeof *g);
    const char *p;
    g->folder = q_strdup(folder);
    g->top = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g->git = g->top < 0 ? -1 : openat(g->top, ".git", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (g->top < 0) {
        int rc = q_fail(err, Q_IO, _("%s cannot be looked at: %s; work in a folder that may be read"), folder, strerror(errno));
        g->git = -1;
        guard_free(g);
        return rc;
    }
    if (g->git >= 0) fstat(g->git, &g->git_st);
    EACH(TOP, p)
    see(g->top, p, add(g, false, p));
    if (g->git < 0) see(g->top, ".git", add(g, false, ".git"));
    if (g->git >= 0) {
        see(g->git, "info", add(g, true, "info")); /* a link there would lead elsewhere */
        EACH(IN_GIT, p)
        see(g->git, p, add(g, true, p));
        see(g->git, "hooks", add(g, true, "hooks"));
        EACH(HOOKS, p)
        {
            char *name = q_printf("hooks/%s", p);
            keep_hook(g, name);
            free(name);
        }
        g->many = each_hook(g->git, keep_hook, g);
    }
    *out = g;
    return Q_OK;
}

static bool same(const place *a, const place *b)
{
    if (!a->there && b->there && S_ISDIR(b->st.st_mode) && strcmp(a->name, "info") == 0) return true; /* git makes it; what is in it is looked at too */
    if (a->there != b->there) return false;
    if (!a->there) return true;
    if ((a->st.st_mode & S_IFMT) != (b->st.st_mode & S_IFMT)) return false;
    if (S_ISDIR(a->st.st_mode)) return true;
    if (a->st.st_mode != b->st.st_mode) return false;
    if (!a->whole || !b->whole)
        return a->st.st_size == b->st.st_size && a->st.st_mtim.tv_sec == b->st.st_mtim.tv_sec && a->st.st_mtim.tv_nsec == b->st.st_mtim.tv_nsec && a->st.st_ino == b->st.st_ino;
    return a->was.len == b->was.len && (!a->was.len || memcmp(a->was.p, b->was.p, a->was.len) == 0);
}

/* Puts what stands there aside; its new name, or NULL. */
static char *put_aside(int dir, const char *name)
{
    for (int i = 1; i < 1000; i++) {
        char *to = i == 1 ? q_printf("%s.by-command", name) : q_printf("%s.by-command-%d", name, i);
        struct stat st;
        if (fstatat(dir, to, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            if (renameat(dir, name, dir, to) == 0) {
                if (fstatat(dir, to, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) fchmodat(dir, to, st.st_mode & 0666, 0);
                return to;
            }
            free(to);
            return NULL;
        }
        free(to);
    }
    return NULL;
}

static bool make_again(int dir, const place *p)
{
    if (!p->there) return true;
    if (S_ISDIR(p->st.st_mode)) return mkdirat(dir, p->name, p->st.st_mode & 07777) == 0;
    if (!p->whole) return false;
    if (S_ISLNK(p->st.st_mode)) return symlinkat(p->was.p, dir, p->name) == 0;
    int fd = openat(dir, p->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool ok = fd >= 0;
    for (size_t at = 0; ok && at < p->was.len;) {
        ssize_t k = write(fd, p->was.p + at, p->was.len - at);
        if (k < 0 && errno == EINTR) continue;
        ok = k > 0;
        if (ok) at += (size_t)k;
    }
    ok = ok && fchmod(fd, p->st.st_mode & 07777) == 0;
    if (fd >= 0) close(fd);
    return ok;
}

/* Its folder is a link now and was none: whatever is done under that name would be done elsewhere. */
static bool led_away(const guard *g, const place *p)
{
    const char *slash = p->in_git ? strchr(p->name, '/') : NULL;
    struct stat st;
    if (!slash) return false;
    char *folder = q_strndup(p->name, (size_t)(slash - p->name));
    const place *was = held(g, folder);
    bool away = fstatat(g->git, folder, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode) && !(was && was->there && S_ISLNK(was->st.st_mode));
    free(folder);
    return away;
}

static void back(guard *g, const place *p, q_buf *said)
{
    int dir = p->in_git ? g->git : g->top;
    if (led_away(g, p)) {
        if (p->there) q_buf_printf(said, _("%s%s was changed and could not be put back: look at it before other programs do\n"), ".git/", p->name);
        return;
    }
    place now = { .name = p->name, .in_git = p->in_git };
    see(dir, p->name, &now);
    if (!same(p, &now)) {
        char *aside = now.there ? put_aside(dir, p->name) : NULL;
        const char *in = p->in_git ? ".git/" : "";
        bool ok = (!now.there || aside) && make_again(dir, p);
        if (!ok) q_buf_printf(said, _("%s%s was changed and could not be put back: look at it before other programs do\n"), in, p->name);
        else if (aside) q_buf_printf(said, _("%s%s was put back as it was; what the command made of it is %s%s\n"), in, p->name, in, aside);
        else q_buf_printf(said, _("%s%s was put back as it was: the command had removed it\n"), in, p->name);
        free(aside);
    }
    q_buf_free(&now.was);
}

typedef struct fresh {
    guard *g;
    q_buf *said;
} fresh;
static void new_hook(void *user, const char *name)
{
    fresh *f = user;
    if (held(f->g, name)) return;
    place none = { .name = (char *)name, .in_git = true };
    back(f->g, &none, f->said);
}

void guard_back(guard *g, q_buf *said)
{
    struct stat st;
    bool is = fstatat(g->top, ".git", &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (g->git >= 0 && (!is || st.st_dev != g->git_st.st_dev || st.st_ino != g->git_st.st_ino))
        q_buf_puts(said, _(".git is another folder than before the command: look at its hooks and its config before you use git here\n"));
    for (int i = 0; i < g->n; i++) {
        if (strcmp(g->v[i].name, ".git") == 0) { /* one that was made is the command's work, but it is to be looked at */
            if (is && !g->v[i].there) q_buf_puts(said, _("the command made a repository: look at .git/config and .git/hooks before you use git here\n"));
            else back(g, &g->v[i], said);
        } else back(g, &g->v[i], said);
    }
    fresh f = { g, said };
    if (g->git >= 0 && !g->many && each_hook(g->git, new_hook, &f))
        q_buf_puts(said, _(".git/hooks holds more files than are looked at: what git runs is as it was, the others are as the command left them\n"));
}

void guard_free(guard *g)
{
    if (!g) return;
    for (int i = 0; i < g->n; i++) {
        free(g->v[i].name);
        q_buf_free(&g->v[i].was);
    }
    free(g->v);
    free(g->folder);
    if (g->top >= 0) close(g->top);
    if (g->git >= 0) close(g->git);
    free(g);
}

void guard_places(const char *folder, void (*each)(void *user, const char *path, bool there), void *user)
{
    const char *p;
    struct stat st;
    char *git = q_printf("%s/.git", folder);
    bool repository = lstat(git, &st) == 0 && S_ISDIR(st.st_mode);
    EACH(TOP, p)
    {
        char *path = q_printf("%s/%s", folder, p);
        bool there = lstat(path, &st) == 0;
        if (!there || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) each(user, path, there);
        free(path);
    }
    static const char *const more[] = { "hooks", "modules" };
    for (size_t i = 0; repository && i < sizeof IN_GIT / sizeof *IN_GIT + 2; i++) {
        char *path = q_printf("%s/%s", git, i < 2 ? more[i] : IN_GIT[i - 2]);
        bool there = lstat(path, &st) == 0;
        if (!there || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) each(user, path, there);
        free(path);
    }
    free(git);
}
