/* rag/import/child: our side of the program that reads for us. It is trusted with nothing: what it says is measured and bounded, it is killed
 * when it stands still, takes too much or is wanted no more, and whoever killed it by his file has lost that file alone. Owns the process
 * and its end of the pair. */
#include "rag/import/child.h"

#include "rag/import/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

const held_limits child_ordinary = {.cpu_s = 30, .stall_ms = 60000, .memory = (size_t)1 << 30, .out = 64 << 20};
/* RENEW: files after which another one is started, so that none grows old; LOOK_MS: how often go is asked */
enum { RENEW = 500, LOOK_MS = 100 };

struct rag_child {
    rag_child_opts o;
    pid_t pid;                          /* 0: none runs */
    int fd;                             /* our end; -1 */
    int starts, files;                  /* in all; by the present one */
    bool stopped;
    const char *why;                    /* the present member's */
    char *piece; size_t at, n;          /* [WIRE_PIECE + 1] what was said last; of it what is not given away */
};

rag_child *rag_child_new(const rag_child_opts *o)
{
    rag_child *c = q_alloc(sizeof *c);
    if (o) c->o = *o;
    if (!c->o.limits.cpu_s) c->o.limits = child_ordinary;
    c->fd = -1;
    c->piece = q_alloc(WIRE_PIECE + 1);
    return c;
}

static int end(rag_child *c)
{
    int status = c->pid > 0 ? held_end(c->pid, true) : 0;
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->pid = 0;
    c->files = 0;
    return status;
}

void rag_child_free(rag_child *c)
{
    if (!c) return;
    end(c);
    free(c->piece);
    free(c);
}

bool rag_child_stopped(const rag_child *c) { return c->stopped; }
int rag_child_starts(const rag_child *c) { return c->starts; }
const char *rag_child_why(const rag_child *c) { return c->why; }

const char *rag_child_wait(rag_child *c, int fd, int stall_ms)
{
    for (int waited = 0;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (c->o.go && !c->o.go(c->o.user)) c->stopped = true;         /* also of one that never stops talking */
        if (c->stopped) return _("stopped");
        int step = stall_ms - waited < LOOK_MS ? stall_ms - waited : LOOK_MS, n = poll(&p, 1, step);
        if (n > 0) return NULL;
        if (n == 0 && (waited += step) >= stall_ms) return held_still();
    }
}

/* ---- messages ---- */
/* One answer; its letter, 0: there is none, *why. What belongs to it is c->piece [at, n). */
static char answer(rag_child *c, const char **why)
{
    *why = rag_child_wait(c, c->fd, c->o.limits.stall_ms);
    ssize_t k = -1;
    if (!*why)
        do k = recv(c->fd, c->piece, WIRE_PIECE + 1, 0);
        while (k < 0 && errno == EINTR);
    c->at = 1;
    c->n = k > 0 ? (size_t)k : 0;
    if (k > 0 && (*c->piece == WIRE_NO || *c->piece == WIRE_HELLO ? k == 2 : k > 0)) return *c->piece;
    bool first = !c->files;
    int status = end(c);
    if (*why) return 0;
    if (first && WIFEXITED(status) && WEXITSTATUS(status) == 127) *why = _("the program that reads it could not be started: install libxml2 and libarchive, or build quorum again");
    else *why = held_killed();
    return 0;
}

/* Asks; fd: beside it, or -1. */
static bool ask(rag_child *c, char letter, int fd)
{
    union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } u;
    struct iovec io = {&letter, 1};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
    if (fd >= 0) {
        memset(&u, 0, sizeof u);
        m.msg_control = u.room;
        m.msg_controllen = sizeof u.room;
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(h), &fd, sizeof fd);
    }
    ssize_t k;
    do k = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (k < 0 && errno == EINTR);
    return k == 1;
}

/* One that runs. */
static const char *start(rag_child *c)
{
    if (c->pid > 0 && c->files < RENEW) return NULL;
    end(c);
    char *own = c->o.program ? NULL : q_own_program("quorum-readers");
    const char *program = c->o.program ? c->o.program : own, *why = NULL;
    if (!program || access(program, X_OK) != 0) {
        free(own);
        return _("the program quorum-readers, which reads it, is not beside quorum: build or install it again");
    }
    char *const argv[] = {(char *)program, NULL};
    int pair[2] = {-1, -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0 && (pair[1] = held_above(pair[1])) >= 0) c->pid = held_start(program, argv, pair[1], -1, &c->o.limits);
    if (pair[1] >= 0) close(pair[1]);
    c->fd = pair[0];
    free(own);
    if (c->pid <= 0) {
        end(c);
        return _("the program that reads it could not be started");
    }
    c->starts++;
    char letter = answer(c, &why);
    if (letter && (letter != WIRE_HELLO || c->piece[1] != WIRE_VERSION)) {
        end(c);
        why = _("the program quorum-readers, which reads it, is of another quorum: build or install it again");
    }
    return why;
}

/* What the child says against it. An answer that nobody gives ends it. */
static const char *refused(rag_child *c, char letter, bool *ended)
{
    enum read_why why = letter == WIRE_NO ? (enum read_why)(unsigned char)c->piece[1] : READ_DAMAGED;
    *ended = letter == WIRE_NO && why == READ_END;
    if (letter != WIRE_NO) end(c);
    return *ended ? NULL : letter == WIRE_NO && read_words(why) ? read_words(why) : _("the program that reads it says what cannot be");
}

/* Puts a file before it. */
static const char *put(rag_child *c, char letter, int fd)
{
    const char *why = c->stopped ? _("stopped") : start(c);
    bool ended;
    c->why = NULL;
    if (why) return why;
    if (!ask(c, letter, fd)) {
        end(c);
        return held_killed();
    }
    char said = answer(c, &why);
    c->files++;
    if (!said || said == WIRE_YES) return why;
    why = refused(c, said, &ended);
    return why ? why : read_words(READ_NO_WORDS);
}

/* ---- documents ---- */
const char *rag_child_document(rag_child *c, bool html, q_buf *b)
{
    int fd = held_file(b->p, b->len);
    const char *why = fd < 0 ? _("the program that reads it could not be started") : put(c, html ? WIRE_HTML : WIRE_OFFICE, fd);
    if (fd >= 0) close(fd);
    q_buf out = {0};
    for (bool ended = false; !why && !ended;) {
        char said = ask(c, WIRE_MORE, -1) ? answer(c, &why) : 0;
        if (said == WIRE_DATA && c->n > 1) q_buf_add(&out, c->piece + 1, c->n - 1);
        else if (said) why = refused(c, said, &ended);
        else if (!why) end(c), why = held_killed();
        if (!why && out.len > c->o.limits.out) end(c), why = read_words(READ_MUCH);
    }
    if (!why && !out.len) why = read_words(READ_NO_WORDS);
    if (!why) {
        q_buf_clear(b);
        q_buf_puts_clean(b, &out);
    }
    q_buf_free(&out);
    return why;
}

/* ---- archives ---- */
const char *rag_child_archive(rag_child *c, int fd) { return lseek(fd, 0, SEEK_SET) == 0 ? put(c, WIRE_ARCHIVE, fd) : strerror(errno); }

char *rag_child_next(rag_child *c, const char **why)
{
    *why = c->why = NULL;
    char said = c->pid > 0 && ask(c, WIRE_NEXT, -1) ? answer(c, why) : 0;
    bool ended;
    if (said == WIRE_ENTRY && c->n - 1 <= WIRE_NAME) return q_utf8_clean(c->piece + 1, c->n - 1);
    if (said) *why = refused(c, said, &ended);
    else if (!*why) end(c), *why = held_killed();
    return NULL;
}

long rag_child_more(void *child, char *p, size_t n)
{
    rag_child *c = child;
    if (c->why) return -1;
    if (c->at >= c->n || *c->piece != WIRE_DATA) {
        bool ended = false;
        char said = c->pid > 0 && ask(c, WIRE_MORE, -1) ? answer(c, &c->why) : 0;
        if (said != WIRE_DATA) {
            if (said) c->why = refused(c, said, &ended);
            else if (!c->why) end(c), c->why = held_killed();
            c->at = c->n = 0;
            return ended ? 0 : -1;
        }
    }
    size_t k = c->n - c->at < n ? c->n - c->at : n;
    memcpy(p, c->piece + c->at, k);
    c->at += k;
    return (long)k;
}
