/* tools/sandbox_argv: what a command sees. Tables of folders, and from them bubblewrap's words (bwrap(1)) and quorum-box's. Any thread. */
#include "tools/sandbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void argv_add(sandbox_argv *a, const char *fmt, ...)
{
    char *text;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0) abort();
    va_end(ap);
    a->v = q_realloc(a->v, (size_t)(a->n + 2) * sizeof *a->v);
    a->v[a->n++] = text;
    a->v[a->n] = NULL;
}

void argv_free(sandbox_argv *a)
{
    for (int i = 0; i < a->n; i++) free(a->v[i]);
    free(a->v);
    *a = (sandbox_argv){ 0 };
}

static void words(sandbox_argv *a, const char *one, const char *two, const char *three)
{
    const char *w[] = { one, two, three };
    for (int i = 0; i < 3 && w[i]; i++) argv_add(a, "%s", w[i]);
}

/* ================= what is where ================= */
/* Where programs and their data lie; read under Landlock, which can only allow. */
static const char *const SYSTEM[] = { "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix", "/gnu", "/snap", "/sys", "/proc" };
static const char *const DEVICES[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom" };
/* Empty under bubblewrap, to write in. */
static const char *const PASSING[] = { "/tmp", "/var/tmp" };
/* What is a person's or a service's own: empty under bubblewrap. Who listens there (containers, virtual machines, databases, mail) would act for
 * the command: a socket needs no network, nor a file system that may be written. */
static const char *const OWN[] = { "/home", "/root", "/run", "/media", "/mnt", "/var/lib/docker", "/var/lib/containers", "/var/lib/containerd", "/var/lib/lxd", "/var/lib/incus", "/var/snap",
                                   "/var/lib/libvirt", "/var/lib/mysql", "/var/lib/postgresql", "/var/lib/gdm3", "/var/lib/sddm", "/var/spool" };
enum { ROOM_OF_OWN = 4 << 20 }; /* for the places that other folders are laid on, and no store in memory beside the one that is bounded */
/* Of a home: programs without keys. */
static const char *const PROGRAMS[] = { ".cargo/bin", ".cargo/registry", ".rustup", ".nvm", ".pyenv", ".rbenv", ".asdf", ".sdkman", ".deno/bin", ".bun/bin",
                                        ".local/bin", ".local/lib", ".local/share/uv", ".local/share/mise", "go/bin", "go/pkg", ".opam" };
/* Of a home that is itself the project: what holds keys. */
static const char *const KEYS[] = { ".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".config", ".local/share", ".local/state", ".netrc", ".pgpass",
                                    ".git-credentials", ".npmrc", ".pypirc", ".password-store", ".mozilla", ".thunderbird", ".cargo/credentials.toml", ".cargo/credentials", ".bash_history",
                                    ".zsh_history", ".python_history" };
/* Of the system, which only its owner may read: for who is that. */
static const char *const ROOTS[] = { "/etc/shadow", "/etc/gshadow", "/etc/shadow-", "/etc/gshadow-", "/etc/ssh", "/etc/ssl/private", "/var/lib/private", "/var/log" };
#define EACH(table, name) for (size_t at_ = 0; at_ < sizeof table / sizeof *table && ((name) = table[at_]); at_++)

static char kind_of(const char *path) /* 'd' folder, 'f' other, 'l' link, 0 nothing */
{
    struct stat st;
    if (lstat(path, &st) != 0) return 0;
    return S_ISDIR(st.st_mode) ? 'd' : S_ISLNK(st.st_mode) ? 'l'
                                                           : 'f';
}

static bool below(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    if (n == 1) return true;
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || !path[n]);
}

static void empty(sandbox_argv *a, uint64_t size, const char *path)
{
    if (size) {
        argv_add(a, "--size");
        argv_add(a, "%llu", (unsigned long long)size);
    }
    words(a, "--tmpfs", path, NULL);
}

static void mask(sandbox_argv *a, const char *path)
{
    char k = kind_of(path);
    if (k == 'd') empty(a, ROOM_OF_OWN, path);
    if (k == 'f') words(a, "--ro-bind", "/dev/null", path);
}

static void masked_own(sandbox_argv *a, const sandbox_limits *l)
{
    const char *p;
    EACH(OWN, p)
    if (kind_of(p) == 'd') empty(a, ROOM_OF_OWN, p);
    EACH(PASSING, p)
    if (kind_of(p) == 'd') empty(a, l->tmp, p);
    empty(a, l->tmp, "/dev/shm"); /* bwrap's own has no size */
    words(a, "--remount-ro", "/dev", NULL);
}

enum { BINDS = 1500 }; /* bwrap takes 9000 words; what is beyond is put back behind the command */
typedef struct binds {
    sandbox_argv *a;
    int n;
} binds;
static void kept_read_only(void *user, const char *path, bool repository)
{
    binds *b = user;
    if (b->n++ < BINDS) words(b->a, repository ? "--bind" : "--ro-bind", path, path); /* on a place of its own it cannot be put aside */
}

static void project(sandbox_argv *a, const sandbox_job *j, const guard *g)
{
    binds b = { a, 0 };
    words(a, j->read_only ? "--ro-bind" : "--bind", j->folder, j->folder);
    if (g) guard_places(g, kept_read_only, &b);
}

static void wrapped(const sandbox *s, const sandbox_job *j, const guard *g, sandbox_argv *a)
{
    const char *p;
    char *home = q_home();
    words(a, s->bwrap, "--unshare-user", "--unshare-pid");
    words(a, "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try");
    if (!j->network) argv_add(a, "--unshare-net");
    words(a, "--die-with-parent", "--new-session", NULL);
    words(a, "--ro-bind", "/", "/");
    words(a, "--dev", "/dev", NULL);
    words(a, "--proc", "/proc", NULL);
    masked_own(a, &j->limits);
    if (home && kind_of(home) == 'd' && strlen(home) > 1 && !below(home, "/home") && !below(home, "/root") && !below(home, "/tmp")) empty(a, ROOM_OF_OWN, home);
    if (geteuid() == 0) EACH(ROOTS, p)
    mask(a, p);
    if (j->network) { /* names are looked up through a file that lies in /run */
        words(a, "--ro-bind-try", "/run/systemd/resolve/stub-resolv.conf", "/run/systemd/resolve/stub-resolv.conf");
        words(a, "--ro-bind-try", "/run/systemd/resolve/resolv.conf", "/run/systemd/resolve/resolv.conf");
    }
    if (home) EACH(PROGRAMS, p)
        {
            char *path = q_printf("%s/%s", home, p);
            if (kind_of(path) == 'd') words(a, "--ro-bind", path, path);
            free(path);
        }
    project(a, j, g);
    if (home) EACH(KEYS, p)
        {
            char *path = q_printf("%s/%s", home, p);
            if (below(path, j->folder)) mask(a, path);
            free(path);
        }
    words(a, "--dir", "/tmp/home", NULL);
    words(a, "--ro-bind", s->box, "/run/quorum-box");
    words(a, "--chdir", j->folder, NULL);
    argv_add(a, "--");
    free(home);
}

static void locked(const sandbox_job *j, const char *tmp, sandbox_argv *a)
{
    const char *p;
    char *home = q_home();
    words(a, "landlock", "1", NULL);
    EACH(SYSTEM, p)
    words(a, "read", p, NULL);
    EACH(DEVICES, p)
    words(a, "write", p, NULL);
    if (home) EACH(PROGRAMS, p)
        {
            argv_add(a, "read");
            argv_add(a, "%s/%s", home, p);
        }
    words(a, j->read_only ? "read" : "write", j->folder, NULL);
    words(a, "write", tmp, NULL);
    free(home);
}

static void number(sandbox_argv *a, const char *name, uint64_t n)
{
    argv_add(a, "%s", name);
    argv_add(a, "%llu", (unsigned long long)n);
}

void sandbox_command(const sandbox *s, const sandbox_job *j, const guard *g, const char *tmp, sandbox_argv *out)
{
    const sandbox_limits *l = &j->limits;
    words(out, s->box, "watch", NULL);
    number(out, "processes", (uint64_t)l->processes);
    if (s->modes) { /* where modes are changed for it */
        words(out, "modes", "1", NULL);
        words(out, "write", tmp, NULL);
        if (!j->read_only) words(out, "write", j->folder, NULL);
    }
    argv_add(out, "--");
    if (s->kind == SANDBOX_BWRAP) wrapped(s, j, g, out);
    words(out, s->kind == SANDBOX_BWRAP ? "/run/quorum-box" : s->box, "hold", NULL);
    if (s->kind == SANDBOX_LANDLOCK) locked(j, tmp, out);
    if (s->modes) words(out, "modes", "1", NULL);
    if (s->kind != SANDBOX_NONE) words(out, "scope", "1", NULL);
    /* bubblewrap's own network is empty, so a program may talk with itself there; without it no socket is the only way */
    number(out, "sockets", s->kind != SANDBOX_LANDLOCK || j->network);
    number(out, "local", s->kind != SANDBOX_LANDLOCK); /* whoever listens at one that has a file (an agent with keys, docker) would act for it: Landlock cannot tell them apart */
    number(out, "network", j->network);
    number(out, "cpu", (uint64_t)l->cpu_s);
    number(out, "files", (uint64_t)l->files);
    number(out, "memory", l->memory);
    number(out, "file", l->file);
    words(out, "--", "/bin/sh", "-c");
    argv_add(out, "%s", j->command);
}

/* ================= its environment ================= */
char **sandbox_environment(const sandbox *s, const char *tmp)
{
    static const char *const kept[] = { "PATH", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "TZ", "USER", "LOGNAME" };
    sandbox_argv a = { 0 };
    const char *p, *v;
    EACH(kept, p)
    if ((v = strcmp(p, "LANGUAGE") == 0 ? q_words_language_was() : getenv(p)) != NULL) argv_add(&a, "%s=%s", p, v);
    if (!getenv("PATH")) argv_add(&a, "PATH=/usr/local/bin:/usr/bin:/bin");
    bool own = s->kind == SANDBOX_BWRAP;
    argv_add(&a, "HOME=%s", own ? "/tmp/home" : tmp);
    argv_add(&a, "TMPDIR=%s", own ? "/tmp" : tmp);
    words(&a, "TERM=dumb", "SHELL=/bin/sh", "PAGER=cat");
    words(&a, "GIT_PAGER=cat", "GIT_TERMINAL_PROMPT=0", "NO_COLOR=1");
    return a.v;
}
