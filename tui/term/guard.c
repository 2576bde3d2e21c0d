/* term/guard: whatever kills the process, the terminal is given back first. Owns signal dispositions, the alternate
 * stack and a pipe that carries SIGWINCH, SIGCONT, SIGTSTP, SIGTERM, SIGHUP and SIGINT to the loop. Handlers call
 * async-signal-safe functions only (write, tcsetattr, signal, raise). The statics are the price of signal handlers. */
#include "tui/term/ending.h"
#include "tui/term/screen.h"
#include "tui/tui.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static const int fatal[] = { SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGQUIT };
static const int told[] = { SIGWINCH, SIGCONT, SIGTSTP, SIGTERM, SIGHUP, SIGINT };
enum { N_FATAL = sizeof fatal / sizeof *fatal, N_TOLD = sizeof told / sizeof *told };

static struct sigaction old_fatal[N_FATAL], old_told[N_TOLD], old_pipe;
static struct termios saved;
static volatile sig_atomic_t have_saved, armed;
static atomic_int dying;                 /* the thread that runs the fatal handler */
static const char *undo;
static size_t undo_n;
static int pipe_fd[2] = { -1, -1 };
static char alt_stack[65536];
static stack_t old_stack;

static void give_back(void)
{
    for (size_t i = 0; i < undo_n;) {
        ssize_t k = write(STDOUT_FILENO, undo + i, undo_n - i);
        if (k <= 0) break;
        i += (size_t)k;
    }
    if (have_saved) tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

/* Whoever handled the signal before (main says which file a SIGBUS is about) has it next. */
static void on_fatal(int sig, siginfo_t *info, void *context)
{
    int me = (int)gettid(), nobody = 0;
    if (!atomic_compare_exchange_strong(&dying, &nobody, me) && nobody != me)
        for (;;) pause();                /* workers may fault together: the first one ends the process, after giving back */
    if (armed) { armed = 0; give_back(); }
    for (int i = 0; i < N_FATAL; i++)
        if (fatal[i] == sig) sigaction(sig, &old_fatal[i], NULL);
    if (info->si_code <= 0) raise(sig);  /* sent by somebody; a fault happens again when this returns, with its address */
}

static void on_told(int sig)
{
    int keep = errno;
    unsigned char b = (unsigned char)sig;
    if (sig == SIGTERM || sig == SIGHUP) tui_end_by(sig);
    if (write(pipe_fd[1], &b, 1) < 0) { /* the pipe is full of unread signals: one more says nothing new */ }
    errno = keep;
}

void tui_guard_on(const char *restore, size_t n)
{
    undo = restore;
    undo_n = n;
    if (pipe_fd[0] < 0 && pipe2(pipe_fd, O_NONBLOCK | O_CLOEXEC) < 0) pipe_fd[0] = pipe_fd[1] = -1;
    stack_t st = { .ss_sp = alt_stack, .ss_size = sizeof alt_stack };
    sigaltstack(&st, &old_stack);
    struct sigaction sa = { .sa_sigaction = on_fatal, .sa_flags = SA_ONSTACK | SA_NODEFER | SA_SIGINFO };
    sigemptyset(&sa.sa_mask);
    for (int i = 0; i < N_FATAL; i++) sigaction(fatal[i], &sa, &old_fatal[i]);
    sa.sa_handler = on_told;
    sa.sa_flags = SA_RESTART;
    for (int i = 0; i < N_TOLD; i++) sigaction(told[i], &sa, &old_told[i]);
    sa.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &sa, &old_pipe);
    armed = 1;
    tui_ending_gives_back(give_back);
}

void tui_guard_save(void) { have_saved = tcgetattr(STDIN_FILENO, &saved) == 0; }

void tui_guard_off(void)
{
    if (!armed) return;
    armed = 0;
    tui_ending_gives_back(NULL);
    for (int i = 0; i < N_FATAL; i++) sigaction(fatal[i], &old_fatal[i], NULL);
    for (int i = 0; i < N_TOLD; i++) sigaction(told[i], &old_told[i], NULL);
    sigaction(SIGPIPE, &old_pipe, NULL);
    sigaltstack(&old_stack, NULL);
    if (have_saved) tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

int tui_guard_fd(void) { return pipe_fd[0]; }

int tui_guard_next(void)
{
    unsigned char b;
    return read(pipe_fd[0], &b, 1) == 1 ? b : 0;
}
