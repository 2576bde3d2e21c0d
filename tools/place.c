/* tools/place: see place.h. */
#include "tools/place.h"
#include "tools/guarded.h"
#include "tools/sandbox.h"
#include "base/say.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct tool_place {
    char *folder;
    int fd;
    const tool_lent *lent;               /* the caller's */
    pthread_mutex_t mu;                  /* guards: */
    bool tried;
    sandbox box;
    char why[Q_ERRLEN];                  /* there is none */
};

int tool_place_open(const char *folder, tool_place **out, char *err)
{
    *out = NULL;
    char *whole = realpath(folder, NULL);
    int fd = whole ? open(whole, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd < 0) {
        int rc = q_fail(err, Q_NOTFOUND, _("the project folder %s cannot be opened: %s"), folder, strerror(errno));
        free(whole);
        return rc;
    }
    *out = q_alloc(sizeof **out);
    **out = (tool_place){ .folder = whole, .fd = fd };
    pthread_mutex_init(&(*out)->mu, NULL);
    return Q_OK;
}

void tool_place_close(tool_place *p)
{
    if (!p)
        return;
    close(p->fd);
    free(p->folder);
    sandbox_free(&p->box);
    pthread_mutex_destroy(&p->mu);
    free(p);
}

void tool_place_lend(tool_place *p, const tool_lent *lent) { p->lent = lent; }
const tool_lent *place_lent(const tool_place *p) { return p->lent; }

const struct sandbox *place_box(const tool_place *place, char *err)
{
    tool_place *p = (tool_place *)(uintptr_t)place;
    pthread_mutex_lock(&p->mu);
    if (!p->tried && sandbox_find(SANDBOX_BWRAP, &p->box, p->why) == Q_OK)
        *p->why = 0;
    p->tried = true;
    bool there = !*p->why;
    pthread_mutex_unlock(&p->mu);
    if (!there)
        q_fail(err, Q_NOTFOUND, "no command can be run here: %s", p->why);
    return there ? &p->box : NULL;
}

char *tool_place_box(const tool_place *p)
{
    char err[Q_ERRLEN], words[Q_ERRLEN];
    const sandbox *box = place_box(p, err);
    return q_strdup(box ? sandbox_words(box, words) : err);
}

const char *tool_place_folder(const tool_place *p) { return p->folder; }

/* ---- names ---- */
bool place_sayable(const char *name)
{
    for (size_t n = strlen(name), at = 0; at < n;) {
        uint32_t cp;
        int w = q_utf8_next(name + at, n - at, &cp);
        if (q_char_kind(cp) != Q_CHAR_FINE || (cp == 0xFFFD && w == 1))
            return false;
        at += (size_t)w;
    }
    return true;
}

/* Without ".", "..", "//" and a "/" at the end; what would go above "/" stays there. */
static char *normal(const char *absolute)
{
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    for (const char *p = absolute; *p;) {
        p += strspn(p, "/");
        size_t n = strcspn(p, "/");
        if (n == 2 && p[0] == '.' && p[1] == '.') {
            while (b.len && b.p[b.len - 1] != '/')
                b.len--;
            b.len -= b.len > 0;
            b.p[b.len] = 0;
        } else if (n && !(n == 1 && *p == '.')) {
            q_buf_putc(&b, '/');
            q_buf_add(&b, p, n);
        }
        p += n;
    }
    if (!b.len)
        q_buf_putc(&b, '/');
    return q_buf_take(&b);
}

int place_name(const tool_place *p, const char *name, char **out, unsigned *risk, char *err)
{
    *out = NULL;
    if (!*name || strlen(name) >= PATH_MAX)
        return q_fail(err, Q_FORMAT, "a path has 1 to %d bytes", PATH_MAX - 1);
    if (!place_sayable(name))
        return q_fail(err, Q_FORMAT, "the path holds control characters or is no UTF-8: such names are refused");
    char *named = q_home_path(name), *whole = *named == '/' ? q_strdup(named) : q_printf("%s/%s", p->folder, named);
    char *n = normal(whole);
    size_t root = strcmp(p->folder, "/") == 0 ? 0 : strlen(p->folder);
    bool inside = strncmp(n, p->folder, root) == 0 && (n[root] == '/' || !n[root]);
    *out = !inside ? q_strdup(n) : q_strdup(n[root] && n[root + 1] ? n + root + 1 : ".");
    *risk |= place_risk(p, *out);
    free(n);
    free(whole);
    free(named);
    return Q_OK;
}

char *place_absolute(const tool_place *p, const char *canonical)
{
    if (*canonical == '/')
        return q_strdup(canonical);
    const char *root = strcmp(p->folder, "/") == 0 ? "" : p->folder;
    return strcmp(canonical, ".") == 0 ? q_strdup(p->folder) : q_printf("%s/%s", root, canonical);
}

/* ---- what a name says of what it names ---- */
/* Any part of a path that matches: keys, passwords, and who is let in with them; in any case. */
static const char *const secrets[] = {
    ".env", ".env.*", "*.env", ".envrc", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.kdb", "*.ovpn", "*.asc", "*.gpg", "id_rsa*", "id_dsa*",
    "id_ecdsa*", "id_ed25519*", ".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".gcloud", "gcloud", ".netrc", "_netrc", ".pgpass", ".my.cnf", ".npmrc", ".pypirc",
    ".git-credentials", ".htpasswd", ".vault-token", "credentials", "credentials.*", "secret", "secrets", "secret.*", "secrets.*", "*secret*.json", "*secret*.y*ml",
    "*token*.json", "password", "passwords", "password.*", "passwords.*", "passwd", "passwd-", "shadow", "shadow-", "gshadow", "sudoers", "sudoers.d", "master.key",
    "keyring", "keyrings", ".password-store", ".mozilla", "login data", "cookies", "cookies.sqlite", "wallet.dat", ".bash_history", ".zsh_history", ".python_history",
    ".psql_history", ".sqlite_history", "authorized_keys", "known_hosts", "quorum.db*" };
static bool any_part(const char *path, const char *const *pattern, size_t n)
{
    bool hit = false;
    char *copy = q_strdup(path), *rest = NULL;
    for (char *part = strtok_r(copy, "/", &rest); part && !hit; part = strtok_r(NULL, "/", &rest))
        for (size_t i = 0; i < n && !hit; i++)
            hit = fnmatch(pattern[i], part, FNM_CASEFOLD) == 0;
    free(copy);
    return hit;
}

static bool any_guarded(const char *path)
{
    bool hit = false;
    const char *before = "";
    char *copy = q_strdup(path), *rest = NULL;
    for (char *part = strtok_r(copy, "/", &rest); part && !hit; before = part, part = strtok_r(NULL, "/", &rest))
        hit = guarded(before, part) != 0;
    free(copy);
    return hit;
}

/* Of a repository without a work tree, whatever its folder is called: git obeys the settings and hooks of one that it comes across. */
static bool in_repository(const tool_place *p, const char *canonical)
{
    static const char *const has[] = { "HEAD", "objects", "refs" };
    char *whole = place_absolute(p, canonical), *leaf = strrchr(whole, '/');
    *leaf = 0;
    char *above = strrchr(whole, '/');
    bool hook = above && strcmp(above, "/hooks") == 0, is = hook || strncmp(leaf + 1, "config", 6) == 0;
    if (hook)
        *above = 0;
    for (size_t i = 0; i < sizeof has / sizeof *has && is; i++) {
        char *name = q_printf("%s/%s", whole, has[i]);
        is = access(name, F_OK) == 0;
        free(name);
    }
    free(whole);
    return is;
}

unsigned place_risk(const tool_place *p, const char *canonical)
{
    static const char *const machine[] = { "/proc", "/sys", "/dev", "/run" };
    unsigned risk = *canonical == '/' ? TOOL_OUTSIDE : 0;
    if (any_part(canonical, secrets, sizeof secrets / sizeof *secrets))
        risk |= TOOL_SECRET;
    if (any_guarded(canonical) || in_repository(p, canonical))
        risk |= TOOL_GUARDED;
    size_t root = *canonical != '/' && strcmp(p->folder, "/") == 0;      /* below it names begin without one */
    for (size_t i = 0; i < sizeof machine / sizeof *machine; i++)
        if (strncmp(canonical, machine[i] + root, strlen(machine[i] + root)) == 0)
            risk |= TOOL_SECRET | TOOL_GUARDED;
    return risk;
}

/* ---- opening ---- */
static int link_here(int dir, const char *part, const char *shown, char *err)
{
    char to[256];
    struct stat st;
    if (fstatat(dir, part, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISLNK(st.st_mode))
        return Q_OK;
    ssize_t n = readlinkat(dir, part, to, sizeof to - 1);
    to[n > 0 ? n : 0] = 0;
    return q_fail(err, Q_RANGE, "in %s, %s is a link to %s, and links are not followed: name what it points to", shown, part, place_sayable(to) ? to : "a name that is refused");
}

/* From dir (given up) into one of its folders. */
static int into(int *dir, const char *part, const char *shown, bool make, char *err)
{
    int next = openat(*dir, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), why = errno, rc = Q_OK;
    if (next < 0 && why == ENOENT && make && (mkdirat(*dir, part, 0777) == 0 || errno == EEXIST)) {
        next = openat(*dir, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        why = errno;
    }
    if (next < 0) {
        rc = link_here(*dir, part, shown, err);
        if (rc == Q_OK)
            rc = why == ENOENT ? q_fail(err, Q_NOTFOUND, "%s: there is no folder %s", shown, part) : q_fail(err, Q_IO, "%s: %s: %s", shown, part, strerror(why));
    }
    close(*dir);
    *dir = next;
    return rc;
}

int place_folder(const tool_place *p, const char *canonical, bool make, int *dir, char **leaf, char *err)
{
    char *copy = q_strdup(canonical), *rest = NULL;
    int rc = Q_OK;
    *leaf = NULL;
    *dir = *canonical == '/' ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : fcntl(p->fd, F_DUPFD_CLOEXEC, 0);
    if (*dir < 0)
        rc = q_fail(err, Q_IO, "%s: %s", canonical, strerror(errno));
    char *part = strtok_r(copy, "/", &rest);
    for (char *next; rc == Q_OK && part && (next = strtok_r(NULL, "/", &rest)); part = next)
        rc = into(dir, part, canonical, make, err);
    if (rc == Q_OK)
        *leaf = q_strdup(part ? part : ".");
    else if (*dir >= 0)
        close(*dir);
    free(copy);
    return rc;
}

int place_open_folder(const tool_place *p, const char *canonical, int *fd, char *err)
{
    int dir;
    char *leaf;
    *fd = -1;
    int rc = place_folder(p, canonical, false, &dir, &leaf, err);
    if (rc < 0)
        return rc;
    *fd = openat(dir, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*fd < 0) {
        int why = errno;
        rc = link_here(dir, leaf, canonical, err);
        if (rc == Q_OK)
            rc = q_fail(err, why == ENOENT ? Q_NOTFOUND : Q_IO, why == ENOTDIR ? "%s is no folder: read_file reads a file" : "%s: %s", canonical, strerror(why));
    }
    close(dir);
    free(leaf);
    return rc;
}

int place_read(int dir, const char *leaf, const char *shown, size_t max, q_buf *out, struct stat *st, char *err)
{
    int fd = openat(dir, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        int why = errno, rc = link_here(dir, leaf, shown, err);
        return rc < 0 ? rc : q_fail(err, why == ENOENT ? Q_NOTFOUND : Q_IO, "%s: %s", shown, why == ENOENT ? "there is no such file" : strerror(why));
    }
    int rc = fstat(fd, st) < 0 ? q_fail(err, Q_IO, "%s: %s", shown, strerror(errno)) : Q_OK;
    if (rc == Q_OK && S_ISDIR(st->st_mode))
        rc = q_fail(err, Q_RANGE, "%s is a folder: list_files lists it", shown);
    else if (rc == Q_OK && !S_ISREG(st->st_mode))
        rc = q_fail(err, Q_RANGE, "%s is no regular file", shown);
    else if (rc == Q_OK && (uint64_t)st->st_size > max)
        rc = q_fail(err, Q_RANGE, "%s is larger than %zu bytes", shown, max);
    q_buf_puts(out, "");
    if (rc == Q_OK && q_read_fd(fd, shown, out, max, err) < 0)
        rc = q_fail(err, Q_IO, "%s cannot be read, or is larger than %zu bytes", shown, max);
    close(fd);
    return rc;
}

int place_write(int dir, const char *leaf, const char *shown, unsigned mode, const char *p, size_t n, char *err)
{
    char beside[64];
    int fd = -1;
    for (int i = 0; i < 100 && fd < 0; i++) {
        snprintf(beside, sizeof beside, ".quorum-%d-%d.new", (int)getpid(), i);
        fd = openat(dir, beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & PLACE_NEW ? 0666 : 0600);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    if (fd < 0)
        return q_fail(err, Q_IO, "%s cannot be written: %s", shown, strerror(errno));
    bool ok = true;
    for (size_t at = 0; at < n && ok;) {
        ssize_t w = write(fd, p + at, n - at);
        ok = w > 0 || (w < 0 && errno == EINTR);
        at += w > 0 ? (size_t)w : 0;
    }
    ok = ok && (mode & PLACE_NEW || fchmod(fd, (mode_t)(mode & 0777)) == 0) && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    if (ok && renameat(dir, beside, dir, leaf) == 0)
        return Q_OK;
    int why = errno;
    unlinkat(dir, beside, 0);
    return q_fail(err, Q_IO, "%s cannot be written: %s", shown, strerror(why));
}
