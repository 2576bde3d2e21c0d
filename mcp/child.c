/* mcp/child: see child.h. Between fork and exec nothing but calls of the system. The thread that started it. */
#include "mcp/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SAID = 3 };                                           /* where it says what failed before its program ran; closed by exec */

static _Noreturn void become(const char *program, char *const argv[], char *const env[], const char *cwd, const int fd[4])
{
    int high[4], wrong;
    for (int i = 0; i < 4; i++)
        high[i] = fcntl(fd[i], F_DUPFD_CLOEXEC, 10);
    for (int i = 0; i < 3; i++)
        dup2(high[i], i);
    dup3(high[3], SAID, O_CLOEXEC);
    close_range(SAID + 1, ~0u, 0);
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int s = 1; s < 32; s++)
        signal(s, SIG_DFL);
    if (!cwd || chdir(cwd) == 0)
        execve(program, argv, env);
    wrong = errno;
    if (write(SAID, &wrong, sizeof wrong) < 0)
        _exit(126);
    _exit(127);
}

static int find(const section *s, char **program, char *err)
{
    char *path = q_home_path(s->command);
    if (*path == '/' && access(path, X_OK) == 0)
        *program = path;
    else {
        *program = strchr(path, '/') ? NULL : q_find_program(path);
        free(path);
    }
    if (*program)
        return Q_OK;
    return q_fail(err, Q_NOTFOUND, strchr(s->command, '/') && *s->command != '/' && *s->command != '~'
        ? _("%s: a program in a folder is named from the root, not %s") : _("%s cannot be started: there is no program %s. Install it, or check command in config.ini"), s->name, s->command);
}

static void close_all(int *fd, int n)
{
    for (int i = 0; i < n; i++)
        if (fd[i] >= 0)
            close(fd[i]);
}

int child_start(const section *s, child *out, char *err)
{
    int fd[8] = { -1, -1, -1, -1, -1, -1, -1, -1 }, wrong = 0;       /* read and write ends: its input, output, errors, and what failed */
    char *program = NULL, *cwd = s->cwd ? q_home_path(s->cwd) : NULL;
    words env = { 0 }, argv = { 0 };
    *out = (child){ 0, -1, -1, -1, -1 };
    int rc = find(s, &program, err);
    struct stat st;
    if (rc == Q_OK && cwd && (stat(cwd, &st) != 0 || !S_ISDIR(st.st_mode)))
        rc = q_fail(err, Q_NOTFOUND, _("%s cannot be started: there is no folder %s. Check cwd in config.ini"), s->name, cwd);
    if (rc == Q_OK)
        rc = section_environment(s, &env, err);
    words_add(&argv, q_strdup(s->command));
    for (int i = 0; i < s->args.n; i++)
        words_add(&argv, q_home_path(s->args.v[i]));
    for (int i = 0; i < 4 && rc == Q_OK; i++)
        if (pipe2(fd + 2 * i, O_CLOEXEC) != 0)
            rc = q_fail(err, Q_IO, _("%s cannot be started: %s"), s->name, strerror(errno));
    if (rc == Q_OK && (out->pid = fork()) == 0)
        become(program, argv.v, env.v, cwd, (int[]){ fd[0], fd[3], fd[5], fd[7] });
    if (rc == Q_OK && out->pid < 0)
        rc = q_fail(err, Q_IO, _("%s cannot be started: %s"), s->name, strerror(errno));
    if (rc == Q_OK) {
        close_all((int[]){ fd[0], fd[3], fd[5], fd[7] }, 4);
        out->in = fd[1], out->out = fd[2], out->err = fd[4];
        ssize_t k;
        while ((k = read(fd[6], &wrong, sizeof wrong)) < 0 && errno == EINTR)
            ;
        close(fd[6]);
        for (int i = 0; i < 3; i++)
            fcntl((int[]){ out->in, out->out, out->err }[i], F_SETFL, O_NONBLOCK);
        out->watch = (int)syscall(SYS_pidfd_open, out->pid, 0);
        if (k > 0) {
            free(child_reap(out));
            rc = q_fail(err, Q_IO, _("%s cannot be started: %s"), s->name, strerror(wrong));
        }
    } else
        close_all(fd, 8);
    words_wipe(&env);
    words_wipe(&argv);
    free(program);
    free(cwd);
    return rc;
}

bool child_ended(const child *c, int ms)
{
    for (int64_t until = q_now_ns() + (int64_t)ms * 1000000;;) {
        siginfo_t info = { .si_pid = 0 };
        if (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid)
            return true;
        int64_t left = (until - q_now_ns()) / 1000000;
        if (left <= 0)
            return false;
        if (c->watch < 0)
            usleep(10000);                                   /* a kernel without pidfd_open */
        else
            poll(&(struct pollfd){ .fd = c->watch, .events = POLLIN }, 1, (int)left);
    }
}

void child_kill(const child *c, int sig)
{
    if (kill(-c->pid, sig) != 0)
        kill(c->pid, sig);                                   /* before it has a group of its own */
}

char *child_reap(child *c)
{
    siginfo_t info;
    int status = 0;
    while (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR)
        ;
    kill(-c->pid, SIGKILL);                                  /* its number is still its own: nobody else is hit */
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        ;
    close_all((int[]){ c->in, c->out, c->err, c->watch }, 4);
    *c = (child){ 0, -1, -1, -1, -1 };
    if (WIFSIGNALED(status))
        return q_printf(_("signal %d"), WTERMSIG(status));
    return q_printf(_("exit status %d"), WEXITSTATUS(status));
}
