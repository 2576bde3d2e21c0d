/* tools/sandbox: finds out what this machine allows, and runs commands in it. See the header for what is promised. */
#include "tools/sandbox.h"
#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <stdio.h>
#include <unistd.h>

enum { LOOK_MS = 50,
       CANNOT = 125, /* quorum-box's: box.c */
       LANDLOCK_LEAST = 3 }; /* before it (Linux 6.2) any file could be cut short, wherever it lies */

sandbox_limits sandbox_limits_default(void)
{
    return (sandbox_limits){ .wall_s = 120, .cpu_s = 120, .processes = 256, .files = 1024, .memory = 8ull << 30, .file = 1ull << 30, .tmp = 1ull << 30, .output = 4 << 20, .left = 256 << 20 };
}

/* ================= a run ================= */
typedef struct run {
    const sandbox_job *j;
    sandbox_done *out;
    pid_t pid;
    int said, life; /* what it says; its lifeline; -1: closed */
    int64_t start;
    bool over; /* it is to end: out->end says why */
    const char *tmp; /* a folder of its own on the machine's disk; "" */
} run;

static bool pipe_of(int fd[2]) { return pipe2(fd, O_CLOEXEC) == 0; }
static void shut(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static int start(run *r, char *const argv[], char *const env[], char *err)
{
    int life[2] = { -1, -1 }, said[2] = { -1, -1 };
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, life) == 0 && pipe_of(said))
        r->pid = q_child_start(&(q_child){ .program = argv[0], .argv = argv, .env = env, .folder = r->j->folder, .fd = { life[0], said[1], said[1], -1 }, .session = true, .cannot = CANNOT });
    int e = errno;
    shut(&life[0]);
    shut(&said[1]);
    if (r->pid > 0) {
        r->life = life[1];
        r->said = said[0];
        fcntl(r->said, F_SETFL, O_NONBLOCK);
        return Q_OK;
    }
    shut(&life[1]);
    shut(&said[0]);
    return q_fail(err, Q_IO, _("the command cannot be started: %s; end other programs and try again"), strerror(e));
}

static void finish(run *r, enum sandbox_end why)
{
    if (r->over) return;
    r->over = true;
    r->out->end = why;
    shut(&r->life); /* quorum-box kills all, and ends */
}

/* What it has said by now; false: it will say nothing more. */
static bool hear(run *r)
{
    char p[16384];
    ssize_t k = read(r->said, p, sizeof p);
    if (k < 0) return errno == EAGAIN || errno == EINTR;
    if (k == 0) return false;
    uint64_t most = r->j->limits.output, have = r->out->output.len;
    size_t n = !most || have + (size_t)k <= most ? (size_t)k : (size_t)(most - have);
    q_buf_add(&r->out->output, p, n);
    if (n && r->j->heard) r->j->heard(r->j->user, p, n);
    if (n < (size_t)k) finish(r, SANDBOX_LOUD);
    return true;
}

static bool little_free(const char *folder, uint64_t left)
{
    struct statvfs v;
    return statvfs(folder, &v) == 0 && (uint64_t)v.f_bavail * v.f_frsize < left;
}

static void look(run *r)
{
    const sandbox_limits *l = &r->j->limits;
    if (r->j->go && !r->j->go(r->j->user)) finish(r, SANDBOX_STOPPED);
    if (l->wall_s && q_now_ns() - r->start > l->wall_s * 1000000000ll) finish(r, SANDBOX_LONG);
    if (l->left && ((!r->j->read_only && little_free(r->j->folder, l->left)) || (*r->tmp && little_free(r->tmp, l->left)))) finish(r, SANDBOX_FULL);
}

/* Until quorum-box has ended; it ends when all that it watched over has. */
static int listen_to(run *r)
{
    int status = 0;
    for (bool open = true;;) {
        struct pollfd p = { open ? r->said : -1, POLLIN, 0 };
        poll(&p, 1, LOOK_MS);
        if (open && p.revents) open = hear(r);
        if (!r->over) look(r);
        if (open && p.revents) continue;
        pid_t k = waitpid(r->pid, &status, WNOHANG);
        if (k == r->pid) break;
    }
    for (size_t was = r->out->output.len + 1; !r->over && was != r->out->output.len;) {
        was = r->out->output.len;
        if (!hear(r)) break;
    }
    return status;
}

/* Whether it could be started at all: what quorum-box and bwrap say of that begins with their names. */
static bool refused(const sandbox_done *d)
{
    const char *p = d->output.p ? d->output.p : "";
    return d->code == CANNOT && strncmp(p, "quorum-box: ", 12) == 0;
}

enum { SIGNALS = 64 }; /* a shell, and bwrap, say of what a signal ended 128 and its number */
static void judge(const sandbox *s, run *r, int status)
{
    sandbox_done *d = r->out;
    if (r->over) return;
    char word;
    d->code = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
    bool told = s->kind == SANDBOX_BWRAP && d->code > 128 && d->code <= 128 + SIGNALS, signalled = WIFSIGNALED(status) || told;
    if (told) d->code -= 128;
    d->end = recv(r->life, &word, 1, MSG_DONTWAIT) == 1 ? SANDBOX_MANY : signalled ? SANDBOX_SIGNALLED
                                                                                   : SANDBOX_ENDED;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)at;
    if (kind == FTW_DP) rmdir(path);
    else if (kind == FTW_DNR) chmod(path, 0700);
    else unlink(path);
    return 0;
}

static char *own_folder(const sandbox *s, char *err) /* "" where it needs none */
{
    if (s->kind == SANDBOX_BWRAP) return q_strdup("");
    char *dir = q_strdup("/tmp/quorum-XXXXXX");
    char *whole = mkdtemp(dir) ? realpath(dir, NULL) : NULL;
    if (whole) {
        free(dir);
        return whole;
    }
    q_fail(err, Q_IO, _("the command needs a folder in /tmp, which cannot be made: %s"), strerror(errno));
    free(dir);
    return NULL;
}

int sandbox_run(const sandbox *s, const sandbox_job *j, sandbox_done *out, char *err)
{
    *out = (sandbox_done){ 0 };
    run r = { .j = j, .out = out, .said = -1, .life = -1, .start = q_now_ns() };
    sandbox_argv argv = { 0 }, env = { 0 };
    guard *g = NULL;
    char *tmp = own_folder(s, err);
    if (!tmp) return Q_IO;
    r.tmp = tmp;
    int rc = j->read_only ? Q_OK : guard_take(j->folder, &g, err);
    if (rc == Q_OK) {
        sandbox_command(s, j, g, tmp, &argv);
        env.v = sandbox_environment(s, tmp);
        while (env.v[env.n]) env.n++;
        rc = start(&r, argv.v, env.v, err);
    }
    if (rc == Q_OK) {
        judge(s, &r, listen_to(&r));
        if (!r.over && refused(out)) rc = q_fail(err, Q_IO, _("the command cannot be held in: %.300s"), out->output.p);
    }
    shut(&r.said);
    shut(&r.life);
    if (g) guard_back(g, &out->back);
    guard_free(g);
    if (*tmp) nftw(tmp, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    argv_free(&argv);
    argv_free(&env);
    free(tmp);
    out->ns = q_now_ns() - r.start;
    if (rc != Q_OK) sandbox_done_free(out);
    return rc;
}

void sandbox_done_free(sandbox_done *d)
{
    q_buf_free(&d->output);
    q_buf_free(&d->back);
    *d = (sandbox_done){ 0 };
}

const char *sandbox_end_words(const sandbox_done *d, const sandbox_limits *l, char out[Q_ERRLEN])
{
    char size[32];
    switch (d->end) {
    case SANDBOX_ENDED: snprintf(out, Q_ERRLEN, "it ended with status %d", d->code); break;
    case SANDBOX_SIGNALLED:
        snprintf(out, Q_ERRLEN, d->code == SIGXCPU ? "it took more than %d s of work and was ended" : "it was ended by signal %d",
                 d->code == SIGXCPU ? l->cpu_s : d->code);
        break;
    case SANDBOX_LONG: snprintf(out, Q_ERRLEN, "it took more than %d s and was ended", l->wall_s); break;
    case SANDBOX_MANY: snprintf(out, Q_ERRLEN, "it started more than %d processes and was ended", l->processes); break;
    case SANDBOX_LOUD: snprintf(out, Q_ERRLEN, "it said more than %s and was ended", q_bytes_brief(l->output, size)); break;
    case SANDBOX_FULL: snprintf(out, Q_ERRLEN, "less than %s is free on the disk, so it was ended", q_bytes_brief(l->left, size)); break;
    case SANDBOX_STOPPED: snprintf(out, Q_ERRLEN, "the person ended it"); break;
    }
    return out;
}

/* ================= which one ================= */
static bool works(sandbox *s, char *why)
{
    char *folder = q_strdup("/tmp/quorum-XXXXXX");
    sandbox_done d;
    sandbox_job j = { .command = "echo here", .limits = sandbox_limits_default() };
    bool ok = false;
    j.limits.left = 0;
    j.folder = mkdtemp(folder);
    if (!j.folder) q_fail(why, Q_IO, _("a folder in /tmp cannot be made: %s"), strerror(errno));
    else if (sandbox_run(s, &j, &d, why) == Q_OK) {
        ok = d.end == SANDBOX_ENDED && d.code == 0 && d.output.p && strcmp(d.output.p, "here\n") == 0;
        if (!ok) q_fail(why, Q_IO, "%.200s", d.output.p ? d.output.p : "");
        sandbox_done_free(&d);
    }
    if (j.folder) rmdir(folder);
    free(folder);
    for (char *p = why; *p; p++)
        if ((unsigned char)*p < ' ') *p = ' ';
    return ok;
}

static bool landlock_there(sandbox *s)
{
    FILE *f = NULL;
    int fd[2], abi = 0;
    if (!pipe_of(fd)) return false;
    char *argv[] = { s->box, (char *)"landlock", NULL }, *env[] = { NULL };
    pid_t pid = q_child_start(&(q_child){ .program = s->box, .argv = argv, .env = env, .fd = { -1, fd[1], -1, -1 }, .cannot = CANNOT });
    close(fd[1]);
    if (pid > 0 && (f = fdopen(fd[0], "r")) != NULL && fscanf(f, "%d", &abi) != 1) abi = 0;
    if (f) fclose(f);
    else close(fd[0]);
    if (pid > 0) q_child_end(pid, false);
    s->abi = abi;
    return abi > 0;
}

/* 2 and 3: nobody reads what another process says, so that nothing could be done for it. */
static bool landlock_modes(void)
{
    q_buf b = { 0 };
    char none[Q_ERRLEN];
    bool yes = q_read_file("/proc/sys/kernel/yama/ptrace_scope", &b, 64, none) != Q_OK || *b.p < '2';
    q_buf_free(&b);
    return yes;
}

int sandbox_find(enum sandbox_kind best, sandbox *out, char *err)
{
    *out = (sandbox){ .box = q_own_program("quorum-box"), .bwrap = q_find_program("bwrap") };
    char why[Q_ERRLEN] = "", none[Q_ERRLEN] = "";
    if (!out->box) return q_fail(err, Q_NOTFOUND, _("quorum-box is missing beside quorum: build or install it again (make, make install)"));
    landlock_there(out);
    out->kind = SANDBOX_BWRAP;
    if (best >= SANDBOX_BWRAP && !out->bwrap) q_fail(out->why, Q_ERR, _("bubblewrap is not installed (apt install bubblewrap)"));
    else if (best >= SANDBOX_BWRAP && works(out, why)) return Q_OK;
    else if (best >= SANDBOX_BWRAP)
        q_fail(out->why, Q_ERR,
               _("bubblewrap may not make namespaces here (%.200s); a system that forbids them to programs of a person can allow them to bwrap by a profile of AppArmor"), why);
    out->kind = SANDBOX_LANDLOCK;
    out->modes = landlock_modes();
    bool held = best >= SANDBOX_LANDLOCK && out->abi >= LANDLOCK_LEAST;
    if (held && out->modes && works(out, why)) return Q_OK;
    out->modes = false; /* or somebody around us listens to calls already */
    if (held && works(out, why)) return Q_OK;
    out->kind = SANDBOX_NONE;
    return works(out, none) ? Q_OK : q_fail(err, Q_IO, _("no command can be run here: %.300s"), none);
}

void sandbox_free(sandbox *s)
{
    free(s->box);
    free(s->bwrap);
    *s = (sandbox){ 0 };
}

const char *sandbox_words(const sandbox *s, char out[Q_ERRLEN])
{
    static const char *const say[] = {
        N_("commands are not held in here, only limited: each is asked about"),
        N_("commands are held in by Landlock: they write in the project folder alone"),
        N_("commands are held in by bubblewrap: they write in the project folder alone and see no home, no network")
    };
    const char *what = s->kind == SANDBOX_LANDLOCK && !s->modes ? N_("commands are held in by Landlock: they write in the project folder alone, but can change modes of files that lie elsewhere") : say[s->kind];
    q_fail(out, Q_OK, *s->why ? "%s (%s)" : "%s", _(what), s->why);
    return out;
}
