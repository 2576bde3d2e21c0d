/* tools/sandbox_guard: what other programs run or obey in a project: repositories' hooks and settings, and what shells and editors read there
 * (guarded.c has the names, guard_look.c finds them, at any depth). Looked at before a command and put back behind it. What the command wrote
 * instead stays beside it, under a name that nobody obeys: nothing is lost.
 *
 * What is new is put aside where it came into a folder that was there before. A folder that the command made itself (a clone, a package that was
 * installed) is its work: there only repositories are looked at, and only settings that can run something, and hooks, are put aside.
 *
 * Names are followed from open folders on, never through a link. Any thread; one owner. */
#include "tools/guard.h"
#include "tools/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REPOS = 64 };
struct guard {
    char *folder;
    int top;
    look was;
    int repo[REPOS], of[REPOS], n_repos; /* open repositories, and which of was they are: one that was moved is found again */
};

int guard_take(const char *folder, guard **out, char *err)
{
    guard *g = q_alloc(sizeof *g);
    g->folder = q_strdup(folder);
    g->top = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (g->top < 0) {
        int rc = q_fail(err, Q_IO, _("%s cannot be looked at: %s; work in a folder that may be read"), folder, strerror(errno));
        guard_free(g);
        return rc;
    }
    look_at(g->top, &g->was);
    for (int i = 0; i < g->was.n && g->n_repos < REPOS; i++) {
        if (!(g->was.v[i].how & KEPT_REPO)) continue;
        g->of[g->n_repos] = i;
        if ((g->repo[g->n_repos] = look_open(g->top, g->was.v[i].path)) >= 0) g->n_repos++;
    }
    *out = g;
    return Q_OK;
}

void guard_free(guard *g)
{
    if (!g) return;
    for (int i = 0; i < g->n_repos; i++) close(g->repo[i]);
    look_free(&g->was);
    free(g->folder);
    if (g->top >= 0) close(g->top);
    free(g);
}

void guard_places(const guard *g, void (*each)(void *user, const char *path, bool repository), void *user)
{
    for (int i = 0; i < g->was.n; i++) {
        const kept *k = &g->was.v[i];
        if (!(k->how & (KEPT_ROOT | KEPT_REPO)) || (!S_ISREG(k->st.st_mode) && !S_ISDIR(k->st.st_mode))) continue;
        char *path = q_printf("%s/%s", strcmp(g->folder, "/") == 0 ? "" : g->folder, k->path);
        each(user, path, (k->how & KEPT_REPO) != 0);
        free(path);
    }
}

/* A name for people: one line. */
enum { SHOWN = 512 };
static const char *shown(const char *path, char out[SHOWN])
{
    snprintf(out, SHOWN, "%s", path);
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127) *p = '?';
    return out;
}

/* ================= one place ================= */
static bool same(const kept *a, const kept *b)
{
    if ((a->st.st_mode & S_IFMT) != (b->st.st_mode & S_IFMT)) return false;
    if (S_ISDIR(a->st.st_mode)) return true;
    if (a->st.st_mode != b->st.st_mode) return false;
    if (!a->whole || !b->whole)
        return a->st.st_size == b->st.st_size && a->st.st_ctim.tv_sec == b->st.st_ctim.tv_sec && a->st.st_ctim.tv_nsec == b->st.st_ctim.tv_nsec && a->st.st_ino == b->st.st_ino;
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

static bool make_again(int dir, const char *leaf, const kept *p)
{
    if (S_ISDIR(p->st.st_mode)) return mkdirat(dir, leaf, p->st.st_mode & 0777) == 0;
    if (!p->whole) return false;
    if (S_ISLNK(p->st.st_mode)) return symlinkat(p->was.p, dir, leaf) == 0;
    int fd = openat(dir, leaf, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool ok = fd >= 0;
    for (size_t at = 0; ok && at < p->was.len;) {
        ssize_t k = write(fd, p->was.p + at, p->was.len - at);
        if (k < 0 && errno == EINTR) continue;
        ok = k > 0;
        if (ok) at += (size_t)k;
    }
    ok = ok && fchmod(fd, p->st.st_mode & 0777) == 0;
    if (fd >= 0) close(fd);
    return ok;
}

/* A repository that was moved is moved back: its folder is still open. */
static bool move_again(const guard *g, int at, int dir, const char *leaf)
{
    char link[64], now[PATH_MAX], root[PATH_MAX];
    struct stat st;
    int fd = -1;
    for (int i = 0; i < g->n_repos; i++)
        if (g->of[i] == at) fd = g->repo[i];
    snprintf(link, sizeof link, "/proc/self/fd/%d", g->top);
    ssize_t n = readlink(link, root, sizeof root - 1);
    root[n > 0 ? n : 0] = 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = fd < 0 ? -1 : readlink(link, now, sizeof now - 1);
    now[n > 0 ? n : 0] = 0;
    size_t r = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (!*root || strncmp(now, root, r) != 0 || now[r] != '/') return false;
    const char *name;
    int from = look_parent(g->top, now + r + 1, &name);
    bool ok = from >= 0 && fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == g->was.v[at].st.st_ino && st.st_dev == g->was.v[at].st.st_dev &&
              renameat(from, name, dir, leaf) == 0;
    if (from >= 0) close(from);
    return ok;
}

/* ================= what was there ================= */
static bool made_by_git(const kept *p) { return S_ISDIR(p->st.st_mode) && strcmp(strrchr(p->path, '/') ? strrchr(p->path, '/') + 1 : p->path, "info") == 0; }

static void back(const guard *g, int i, q_buf *said)
{
    const kept *p = &g->was.v[i];
    const char *leaf;
    char name[SHOWN];
    size_t bytes = 0;
    int dir = look_parent(g->top, p->path, &leaf);
    shown(p->path, name);
    if (dir < 0 && errno == ENOENT) return; /* its folder is gone, and nobody obeys it; one that is itself kept was made again before */
    kept now = { .path = p->path };
    bool there = dir >= 0 && look_see(dir, leaf, &now, &bytes);
    if (there && (p->how & KEPT_REPO) && S_ISDIR(now.st.st_mode) && (now.st.st_ino != p->st.st_ino || now.st.st_dev != p->st.st_dev))
        q_buf_printf(said, _("%s is another folder than before the command: look at it before you use git here\n"), name);
    if ((!there || !same(p, &now)) && !(made_by_git(p) && !there)) {
        char *aside = there ? put_aside(dir, leaf) : NULL, beside[SHOWN];
        bool ok = dir >= 0 && (!there || aside) && (p->how & KEPT_REPO ? move_again(g, i, dir, leaf) : make_again(dir, leaf, p));
        if (!ok) q_buf_printf(said, _("%s was changed and could not be put back: look at it before other programs do\n"), name);
        else if (aside) q_buf_printf(said, _("%s was put back as it was; what the command made of it is %s beside it\n"), name, shown(aside, beside));
        else q_buf_printf(said, _("%s was put back as it was: the command had removed it\n"), name);
        free(aside);
    }
    q_buf_free(&now.was);
    if (dir >= 0) close(dir);
}

/* ================= what is new ================= */
typedef struct news {
    const guard *g;
    look now;
    q_buf *said, made;                  /* made: names in folders that the command made, for one line */
    const char *aside;                  /* the last thing that was put aside as a whole */
    int n_made;
} news;

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return q_strndup(path, slash ? (size_t)(slash - path) : 0);
}

/* Whether the folder that it stands in was there before: a project's, or one of those that are kept. */
static bool known_folder(const news *w, const char *path)
{
    char *folder = folder_of(path);
    bool known = look_folder(&w->g->was, folder) || look_find(&w->g->was, folder);
    free(folder);
    return known;
}

/* Whether the repository that it belongs to was there before. */
static bool known_repository(const news *w, const char *path)
{
    bool found = false;
    char *folder = folder_of(path);
    while (*folder && !found) {
        const kept *k = look_find(&w->now, folder);
        if ((found = k && (k->how & KEPT_REPO))) break;
        char *up = folder_of(folder);
        free(folder);
        folder = up;
    }
    bool known = look_folder(&w->g->was, folder) || look_find(&w->g->was, folder);
    free(folder);
    return known;
}

/* It stands in a folder that is kept and of which not all was looked at: whether it is new cannot be said. */
static bool in_a_crowd(const news *w, const kept *k)
{
    bool many = false;
    for (char *folder = folder_of(k->path), *up; !many; folder = up) {
        const kept *in = look_find(&w->g->was, folder);
        many = in && (in->how & KEPT_MANY);
        up = folder_of(folder);
        bool end = !*folder;
        free(folder);
        if (end || many) {
            free(up);
            break;
        }
    }
    return many;
}

static bool runs_unasked(const kept *k)
{
    for (int i = 0; git_hooks[i]; i++)
        if (strcmp(git_hooks[i], strrchr(k->path, '/') ? strrchr(k->path, '/') + 1 : k->path) == 0) return true;
    return false;
}

/* Of a repository's own things, those that do nothing. */
static bool does_nothing(const news *w, const kept *k)
{
    if (k->how & KEPT_CONFIG) return S_ISREG(k->st.st_mode) && k->whole && git_harmless(k->was.p ? k->was.p : "", k->was.len);
    if (S_ISDIR(k->st.st_mode)) return true;
    if (known_repository(w, k->path)) return false;
    return !(k->how & KEPT_HOOK) && S_ISREG(k->st.st_mode); /* where it belongs to and where its tree is, of one that the command made */
}

static void away(news *w, const kept *k)
{
    const char *leaf;
    char name[SHOWN], beside[SHOWN];
    int dir = look_parent(w->g->top, k->path, &leaf);
    shown(k->path, name);
    char *aside = dir >= 0 ? put_aside(dir, leaf) : NULL;
    w->aside = k->path;
    if (aside) q_buf_printf(w->said, _("%s was not there before; what the command put there is %s beside it now\n"), name, shown(aside, beside));
    else q_buf_printf(w->said, _("%s was changed and could not be put back: look at it before other programs do\n"), name);
    free(aside);
    if (dir >= 0) close(dir);
}

static void one_new(news *w, const kept *k)
{
    char name[SHOWN];
    size_t n = w->aside ? strlen(w->aside) : 0;
    if (n && strncmp(k->path, w->aside, n) == 0 && k->path[n] == '/') return;
    if (k->how & KEPT_REPO || k->how & KEPT_AWAY) {
        if (known_folder(w, k->path)) q_buf_printf(w->said, _("the command made a repository, %s: look at its config and hooks before you use git here\n"), shown(k->path, name));
        return;
    }
    if (in_a_crowd(w, k) && !((k->how & KEPT_HOOK) && runs_unasked(k))) return;
    if (k->how & KEPT_GIT) {
        if (!does_nothing(w, k)) away(w, k);
    } else if (known_folder(w, k->path)) away(w, k);
    else if ((k->how & KEPT_ROOT) && w->n_made++ < 3) q_buf_printf(&w->made, "%s%s", w->made.len ? ", " : "", shown(k->path, name));
}

/* Folders that are links now: whatever is done under their names is done elsewhere. */
static void folders_that_lead_away(const news *w)
{
    const look *was = &w->g->was;
    const char *gone = NULL;
    for (int i = 0; i < was->n_folders; i++) {
        const char *path = was->folder[i], *leaf;
        char name[SHOWN];
        size_t n = gone ? strlen(gone) : 0;
        if (!*path || look_folder(&w->now, path) || look_find(was, path) || (n && strncmp(path, gone, n) == 0 && path[n] == '/')) continue;
        struct stat st;
        gone = path;
        int dir = look_parent(w->g->top, path, &leaf);
        if (dir >= 0 && fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
            q_buf_printf(w->said, _("%s was a folder and is a link now: look where it leads before you open it\n"), shown(path, name));
        if (dir >= 0) close(dir);
    }
}

static void crowds(const news *w)
{
    char name[SHOWN];
    for (int i = 0; i < w->now.n; i++)
        if (w->now.v[i].how & KEPT_MANY)
            q_buf_printf(w->said, _("%s holds more files than are looked at: what git runs is as it was, the others are as the command left them\n"), shown(w->now.v[i].path, name));
}

void guard_back(guard *g, q_buf *said)
{
    news w = { .g = g, .said = said };
    look_at(g->top, &w.now);
    for (int i = 0; i < g->was.n; i++) back(g, i, said);
    for (int i = 0; i < w.now.n; i++)
        if (!look_find(&g->was, w.now.v[i].path)) one_new(&w, &w.now.v[i]);
    folders_that_lead_away(&w);
    crowds(&w);
    if (w.n_made) q_buf_printf(said, _("the command made folders that hold what other programs obey (%s%s): look at it before you open them\n"), w.made.p, w.n_made > 3 ? ", …" : "");
    if (!w.now.all) q_buf_puts(said, _("the project holds more than is looked at: what programs obey deep in it may have changed\n"));
    q_buf_free(&w.made);
    look_free(&w.now);
}
