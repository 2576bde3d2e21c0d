/* term/ending: see ending.h. tui_end_by is called by signal handlers: async-signal-safe functions only. */
#include "tui/term/ending.h"
#include "tui/tui.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { SECONDS = 2, TWICE_MS = 300 };
static void (*volatile give_back)(void);
static volatile sig_atomic_t first;      /* the signal that began the end; 0: none */
static struct timespec at;               /* when */

void tui_ending_gives_back(void (*f)(void)) { give_back = f; }

static struct termios before;            /* libedit's modes are taken back by these */
static void line_mode(void)
{
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
    if (write(STDOUT_FILENO, "\033[?2004l", 8) < 0) { /* nobody reads it any more */ }
}

void tui_ending_line_mode(void)
{
    if (tcgetattr(STDIN_FILENO, &before) == 0) give_back = line_mode;
}

static void at_once(int sig)
{
    void (*f)(void) = give_back;
    give_back = NULL;
    if (f) f();
    struct sigaction sa = { .sa_handler = SIG_DFL };
    sigset_t only;
    sigemptyset(&sa.sa_mask);
    sigemptyset(&only);
    sigaddset(&only, sig);
    sigaction(sig, &sa, NULL);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    raise(sig);
    _exit(128 + sig);
}

static void too_long(int sig) { at_once(first ? (int)first : sig); }

void tui_end_by(int sig)
{
    struct timespec now;
    int keep = errno;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!first) {
        first = sig;
        at = now;
        struct sigaction sa = { .sa_handler = too_long };
        sigemptyset(&sa.sa_mask);
        sigaction(SIGALRM, &sa, NULL);
        alarm(SECONDS);
    } else if ((now.tv_sec - at.tv_sec) * 1000 + (now.tv_nsec - at.tv_nsec) / 1000000 > TWICE_MS)
        at_once(sig);
    errno = keep;
}
