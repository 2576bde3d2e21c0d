/* term/ahead: see ahead.h. The statics are the price of the handler of SIGTSTP: a shell gets its terminal with echo. */
#include "tui/term/ahead.h"
#include "tui/term/text.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

enum { CTRL_D = 4, CTRL_U = 21, CTRL_W = 23 };
static struct termios before, unseen;
static struct sigaction stopped_before;
static bool taken;

static void on_stop(int sig)
{
    int keep = errno;
    sigset_t only;
    struct sigaction dfl = { .sa_handler = SIG_DFL }, own;
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
    sigemptyset(&dfl.sa_mask);
    sigaction(sig, &dfl, &own);
    sigemptyset(&only);
    sigaddset(&only, sig);
    raise(sig);
    sigprocmask(SIG_UNBLOCK, &only, NULL);      /* stops here, until SIGCONT */
    sigaction(sig, &own, NULL);
    tcsetattr(STDIN_FILENO, TCSANOW, &unseen);
    errno = keep;
}

void tui_ahead_on(tui_ahead *h)
{
    struct sigaction sa = { .sa_handler = on_stop, .sa_flags = SA_RESTART };
    (void)h;
    taken = tcgetattr(STDIN_FILENO, &before) == 0;
    if (!taken) return;
    unseen = before;
    unseen.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    unseen.c_cc[VMIN] = 1;
    unseen.c_cc[VTIME] = 0;
    sigemptyset(&sa.sa_mask);
    sigaction(SIGTSTP, &sa, &stopped_before);
    if (stopped_before.sa_handler == SIG_IGN) sigaction(SIGTSTP, &stopped_before, NULL);
    tcsetattr(STDIN_FILENO, TCSANOW, &unseen);
}

static int due(const tui_ahead *h)      /* ms until what was begun is decided; -1: nothing is begun */
{
    int wait = tui_decode_wait(&h->keys);
    int64_t left = wait - (q_now_ns() - h->heard) / 1000000;
    return wait < 0 ? -1 : left < 0 ? 0 : (int)left;
}

static void rest(tui_ahead *h)
{
    for (enum tui_key_code k; (k = tui_ahead_key(h)) != K_NONE;)
        if (k == K_ENTER) q_buf_putc(&h->line, '\n');
}

void tui_ahead_off(tui_ahead *h)
{
    struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
    for (int left; !h->closed && (left = due(h)) > 0 && poll(&p, 1, left) > 0;) {
        tui_ahead_read(h);
        rest(h);
    }
    rest(h);
    if (taken) {
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
        sigaction(SIGTSTP, &stopped_before, NULL);
    }
    taken = false;
    tui_decode_free(&h->keys);
}

void tui_ahead_read(tui_ahead *h)
{
    char buf[4096];
    ssize_t n = read(STDIN_FILENO, buf, sizeof buf);
    if (n > 0) {
        tui_decode_bytes(&h->keys, buf, (size_t)n);
        h->heard = q_now_ns();
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN))
        h->closed = true;               /* a terminal that was closed is readable for ever and gives nothing */
}

static void cut(q_buf *b, size_t to)
{
    if (b->len) b->p[b->len = to] = 0;
}

/* A letter goes into the line; the keys by which a terminal edits one do here what they do there. True: the line ends. */
static bool letter(tui_ahead *h, const tui_key *k)
{
    q_buf *b = &h->line;
    char u[4];
    size_t at = b->len;
    if (k->alt) return false;
    switch (k->cp) {
    case '\n': return true;
    case CTRL_D: h->closed |= !b->len; return false;
    case CTRL_U: cut(b, 0); return false;
    case CTRL_W:
        while (at && b->p[at - 1] == ' ') at--;
        while (at && b->p[at - 1] != ' ') at--;
        cut(b, at);
        return false;
    default:
        if (k->cp >= ' ') q_buf_add(b, u, (size_t)q_utf8_put(u, k->cp));
        return false;
    }
}

enum tui_key_code tui_ahead_key(tui_ahead *h)
{
    tui_key k;
    while (!h->closed && tui_decode_key(&h->keys, &k, due(h) == 0)) {
        switch (k.code) {
        case K_CHAR:
            if (letter(h, &k)) return K_ENTER;
            break;
        case K_TAB: q_buf_putc(&h->line, ' '); break;
        case K_BACKSPACE: cut(&h->line, h->line.len ? tui_cluster_prev(h->line.p, h->line.len) : 0); break;
        case K_PASTE:
            q_buf_puts(&h->line, k.text);
            free(k.text);
            break;
        case K_NONE: break;
        default: return k.code;
        }
    }
    return K_NONE;
}
