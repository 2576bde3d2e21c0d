/* base/child: see child.h. */
#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Descriptors 0 to 3; each is first put above all of them, so that none is lost by another's coming. */
static bool given(const int *fd)
{
    int high[Q_CHILD_FDS], n = Q_CHILD_FDS;
    if (fd[n - 1] < 0) n--;
    for (int i = 0; i < n; i++) {
        high[i] = fd[i] < 0 ? open("/dev/null", O_RDWR) : fcntl(fd[i], F_DUPFD, Q_CHILD_FDS);
        if (high[i] >= 0 && high[i] < Q_CHILD_FDS) high[i] = fcntl(high[i], F_DUPFD, Q_CHILD_FDS);
        if (high[i] < 0) return false;
    }
    for (int i = 0; i < n; i++)
        if (dup2(high[i], i) < 0) return false;
    return close_range((unsigned)n, ~0u, 0) == 0;
}

/* Between fork and exec: nothing but calls of the system. */
static _Noreturn void become(const q_child *c)
{
    sigset_t none;
    sigemptyset(&none);
    if (c->dies_with_us) prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (c->session) setsid();
    else setpgid(0, 0);
    if (!given(c->fd) || (c->folder && chdir(c->folder) != 0)) _exit(c->cannot);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXCPU, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (c->last) c->last(c->user);
    execve(c->program, c->argv, c->env);
    _exit(c->cannot);
}

pid_t q_child_start(const q_child *c)
{
    pid_t pid = fork();
    if (pid == 0) become(c);
    return pid;
}

int q_child_end(pid_t pid, bool end)
{
    int status = 0;
    if (end && kill(-pid, SIGKILL) != 0) kill(pid, SIGKILL);        /* before it has a group of its own */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    return status;
}
