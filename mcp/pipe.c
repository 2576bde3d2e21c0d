/* mcp/pipe: see pipe.h. One thread a server starts its program, reads and writes, and ends it: nobody waits for a program that does not
 * read, and none outlives its thread. */
#include "mcp/pipe.h"
#include "mcp/child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { LOG_MAX = 4096, OUT_MAX = 64 << 20, READ = 65536 };

typedef struct pipes {
    wire w;
    pthread_t thread;
    pthread_mutex_t mu;                  /* from here to log */
    pthread_cond_t begun;
    q_buf out;                           /* not yet written, from out_at */
    size_t out_at;
    bool started, closing;
    int rc, pid;
    char err[Q_ERRLEN];
    q_buf log;                           /* the last it wrote to stderr */
    int wake;
    child c;                             /* the thread's own, as what follows */
    q_buf in;
    size_t seen;                         /* of in: without the end of a line */
} pipes;

/* ---- what it writes ---- */
static void keep_log(pipes *p, const char *s, size_t n)
{
    pthread_mutex_lock(&p->mu);
    q_buf_add(&p->log, s, n);
    if (p->log.len > LOG_MAX) {
        memmove(p->log.p, p->log.p + p->log.len - LOG_MAX, LOG_MAX);
        p->log.len = LOG_MAX;
    }
    pthread_mutex_unlock(&p->mu);
}

/* Closed or broken: false. */
static bool read_log(pipes *p)
{
    char b[4096];
    ssize_t k = read(p->c.err, b, sizeof b);
    if (k > 0)
        keep_log(p, b, (size_t)k);
    return k > 0 || (k < 0 && (errno == EAGAIN || errno == EINTR));
}

static void put(pipes *p, const char *s, size_t n)
{
    pthread_mutex_lock(&p->mu);
    if (p->out_at) {
        memmove(p->out.p, p->out.p + p->out_at, p->out.len - p->out_at);
        p->out.len -= p->out_at;
        p->out_at = 0;
    }
    q_buf_add(&p->out, s, n);
    q_buf_putc(&p->out, '\n');
    pthread_mutex_unlock(&p->mu);
}

static int take_lines(pipes *p, char *err)
{
    size_t from = 0;
    int rc = Q_OK;
    q_buf reply = { 0 };
    for (char *end; rc == Q_OK && (end = memchr(p->in.p + p->seen, '\n', p->in.len - p->seen));) {
        size_t to = (size_t)(end - p->in.p), n = to - from;
        if (n > (p->in.p[from] == '\r'))
            rc = line_take(p->w.line, p->in.p + from, n, NULL, &reply, err);
        if (reply.len)
            put(p, reply.p, reply.len);
        q_buf_clear(&reply);
        from = p->seen = to + 1;
    }
    q_buf_free(&reply);
    memmove(p->in.p, p->in.p + from, p->in.len - from);
    p->in.len -= from;
    p->seen = p->in.len;
    if (rc == Q_OK && p->in.len > MCP_MESSAGE_MAX)
        rc = q_fail(err, Q_RANGE, _("%s sent a message of more than %d bytes, and was ended"), p->w.section->name, MCP_MESSAGE_MAX);
    return rc;
}

/* 1: there may be more; 0: it closed its output; or what is wrong. */
static int read_out(pipes *p, char *err)
{
    char b[READ];
    ssize_t k = read(p->c.out, b, sizeof b);
    if (k < 0)
        return errno == EAGAIN || errno == EINTR;
    if (!k)
        return 0;
    q_buf_add(&p->in, b, (size_t)k);
    int rc = take_lines(p, err);
    return rc < 0 ? rc : 1;
}

static void write_in(pipes *p)
{
    pthread_mutex_lock(&p->mu);
    ssize_t k = write(p->c.in, p->out.p + p->out_at, p->out.len - p->out_at);
    if (k > 0)
        p->out_at += (size_t)k;
    bool shut = k < 0 && errno != EAGAIN && errno != EINTR;
    if (p->out_at == p->out.len || shut) {
        q_buf_clear(&p->out);
        p->out_at = 0;
    }
    pthread_mutex_unlock(&p->mu);
    if (shut) {                          /* its output says what became of it */
        close(p->c.in);
        p->c.in = -1;
    }
}

/* ---- its life ---- */
static bool state_of(pipes *p, bool *writes)
{
    pthread_mutex_lock(&p->mu);
    bool closing = p->closing;
    *writes = p->out.len > p->out_at;
    pthread_mutex_unlock(&p->mu);
    return closing;
}

/* Until it breaks off (false: err says how, "": it ended or closed its output) or is to be closed (true). */
static bool serve(pipes *p, char *err)
{
    bool writes, log = true;
    *err = 0;
    while (!state_of(p, &writes)) {
        struct pollfd f[5] = { { p->c.out, POLLIN, 0 }, { log ? p->c.err : -1, POLLIN, 0 }, { p->wake, POLLIN, 0 },
                               { writes ? p->c.in : -1, POLLOUT, 0 }, { p->c.watch, POLLIN, 0 } };
        uint64_t count;
        poll(f, 5, p->c.watch < 0 ? 100 : -1);
        if (f[2].revents && read(p->wake, &count, sizeof count) < 0 && errno != EAGAIN)
            return true;
        if (f[1].revents)
            log = read_log(p);
        if (f[3].revents)
            write_in(p);
        if (f[0].revents) {
            int rc = read_out(p, err);
            if (rc <= 0)
                return false;
        } else if (f[4].revents || (p->c.watch < 0 && child_ended(&p->c, 0)))
            return false;                /* ended, and all it wrote is read */
    }
    return true;
}

/* Closing its input ends it; else TERM, then KILL. What it writes meanwhile is read, so that it does not wait for us. */
static char *end(pipes *p, bool now)
{
    if (p->c.in >= 0)
        close(p->c.in);
    p->c.in = -1;
    static const int signals[] = { 0, SIGTERM, SIGKILL };
    for (int i = now; i < 3; i++) {
        if (signals[i])
            child_kill(&p->c, signals[i]);
        int64_t until = q_now_ns() + (int64_t)MCP_END_MS * 1000000;
        bool ended = false;
        while (!(ended = child_ended(&p->c, 0)) && q_now_ns() < until) {
            char b[READ];
            struct pollfd f[3] = { { p->c.out, POLLIN, 0 }, { p->c.err, POLLIN, 0 }, { p->c.watch, POLLIN, 0 } };
            poll(f, 3, 20);
            if (f[1].revents & POLLIN)
                read_log(p);
            if ((f[0].revents & POLLIN) && read(p->c.out, b, sizeof b) < 0 && errno != EAGAIN)
                break;
            if ((f[0].revents | f[1].revents) & POLLHUP)
                child_ended(&p->c, 20);
        }
        if (ended)
            break;
    }
    while (p->c.err >= 0 && poll(&(struct pollfd){ p->c.err, POLLIN, 0 }, 1, 0) > 0) {
        char b[1024];
        ssize_t k = read(p->c.err, b, sizeof b);
        if (k <= 0)
            break;
        keep_log(p, b, (size_t)k);
    }
    return child_reap(&p->c);
}

static char *pipe_log(wire *w)
{
    pipes *p = (pipes *)w;
    pthread_mutex_lock(&p->mu);
    q_buf b = { 0 };
    q_buf_add(&b, p->log.p, p->log.len);
    for (size_t i = 0; i < b.len; i++)
        if (!b.p[i])
            b.p[i] = ' ';
    pthread_mutex_unlock(&p->mu);
    char *text = q_utf8_clean(b.len ? b.p : "", b.len);
    q_buf_free(&b);
    return text;
}

/* The last line that says something. */
static void last_words(wire *w, char *out, size_t size)
{
    char *log = pipe_log(w), *at = log + strlen(log);
    while (at > log && strchr("\r\n \t", at[-1]))
        *--at = 0;
    while (at > log && at[-1] != '\n')
        at--;
    line_plain(out, size, at);
    free(log);
}

static void *life(void *user)
{
    pipes *p = user;
    char err[Q_ERRLEN] = "", said[160];
    int rc = child_start(p->w.section, &p->c, err);
    pthread_mutex_lock(&p->mu);
    p->started = true;
    p->rc = rc;
    p->pid = rc == Q_OK ? (int)p->c.pid : 0;
    if (rc < 0)
        q_fail(p->err, rc, "%s", err);
    pthread_cond_broadcast(&p->begun);
    pthread_mutex_unlock(&p->mu);
    if (rc < 0)
        return NULL;
    bool closed = serve(p, err);
    char *how = end(p, *err != 0);
    pthread_mutex_lock(&p->mu);
    p->pid = 0;
    pthread_mutex_unlock(&p->mu);
    last_words(&p->w, said, sizeof said);
    if (!closed && !*err)
        q_fail(err, Q_IO, *said ? _("%s ended by itself (%s): %s") : _("%s ended by itself (%s)"), p->w.section->name, how, said);
    if (!closed)
        line_break(p->w.line, Q_IO, err);
    free(how);
    return NULL;
}

/* ---- the wire ---- */
static void wake(pipes *p)
{
    uint64_t one = 1;
    if (write(p->wake, &one, sizeof one) < 0)
        return;                          /* it is awake */
}

static int pipe_send(wire *w, const letter *l, call *c, char *err)
{
    pipes *p = (pipes *)w;
    (void)c;
    pthread_mutex_lock(&p->mu);
    bool full = p->out.len - p->out_at + l->n > OUT_MAX;
    pthread_mutex_unlock(&p->mu);
    if (full)
        return q_fail(err, Q_RANGE, _("%s does not read what it is sent: end it and look into its log"), w->section->name);
    put(p, l->text, l->n);
    wake(p);
    return Q_OK;
}

static void pipe_drop(wire *w, call *c) { (void)w, (void)c; }
static void pipe_agreed(wire *w, const char *version, bool modern) { (void)w, (void)version, (void)modern; }

static void pipe_close(wire *w)
{
    pipes *p = (pipes *)w;
    pthread_mutex_lock(&p->mu);
    p->closing = true;
    pthread_mutex_unlock(&p->mu);
    wake(p);
    pthread_join(p->thread, NULL);
    pthread_mutex_destroy(&p->mu);
    pthread_cond_destroy(&p->begun);
    close(p->wake);
    q_buf_free(&p->out);
    q_buf_free(&p->log);
    q_buf_free(&p->in);
    free(p);
}

static int pipe_pid(wire *w)
{
    pipes *p = (pipes *)w;
    pthread_mutex_lock(&p->mu);
    int pid = p->pid;
    pthread_mutex_unlock(&p->mu);
    return pid;
}

int pipe_open(line *l, const section *s, wire **out, char *err)
{
    static const wire_kind kind = { .send = pipe_send, .drop = pipe_drop, .close = pipe_close, .agreed = pipe_agreed, .log = pipe_log, .pid = pipe_pid };
    pipes *p = q_alloc(sizeof *p);
    sigset_t all, before;
    *out = &p->w;
    p->w = (wire){ &kind, l, s };
    p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&p->mu, NULL);
    pthread_cond_init(&p->begun, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);     /* signals are others' business, SIGPIPE nobody's */
    int failed = pthread_create(&p->thread, NULL, life, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        q_fail(p->err, p->rc = Q_NOMEM, _("%s cannot be started: %s"), s->name, strerror(failed));
    pthread_mutex_lock(&p->mu);
    while (!p->started && !failed)
        pthread_cond_wait(&p->begun, &p->mu);
    int rc = p->rc;
    pthread_mutex_unlock(&p->mu);
    if (rc == Q_OK)
        return Q_OK;
    q_fail(err, rc, "%s", p->err);
    *out = NULL;
    if (!failed)
        pipe_close(&p->w);
    else {
        close(p->wake);
        free(p);
    }
    return rc;
}
