/* mcp/oauth_back: see oauth_back.h. Anything on this machine may knock: only a GET of the one path that brings the state
 * ends the wait, the rest that it says is checked by whoever asked (issuer), and nothing of it is sent back. */
#include "mcp/oauth_back.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_MOST = 16 << 10, LOOK_MS = 100 };

int oauth_back_open(oauth_back *b, char *err)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof at;
    *b = (oauth_back){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) };
    if (b->fd < 0 || bind(b->fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(b->fd, OAUTH_BACK_MOST) != 0 || getsockname(b->fd, (struct sockaddr *)&at, &n) != 0) {
        int rc = q_fail(err, Q_IO, _("no port of 127.0.0.1 can be opened for the browser to come back to: %s"), strerror(errno));
        oauth_back_close(b);
        return rc;
    }
    b->port = ntohs(at.sin_port);
    return Q_OK;
}

static void drop(oauth_back *b, int i)
{
    close(b->line[i]);
    if (b->said[i].p)
        explicit_bzero(b->said[i].p, b->said[i].len);
    q_buf_free(&b->said[i]);
    b->n--;                              /* the rest stays in the order in which it came */
    memmove(b->line + i, b->line + i + 1, sizeof *b->line * (size_t)(b->n - i));
    memmove(b->said + i, b->said + i + 1, sizeof *b->said * (size_t)(b->n - i));
    b->said[b->n] = (q_buf){ 0 };
}

void oauth_back_close(oauth_back *b)
{
    while (b->n)
        drop(b, b->n - 1);
    if (b->fd >= 0)
        close(b->fd);
    b->fd = -1;
}

static void answer(int fd, int status, const char *words)
{
    char *text = q_printf("HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                          status, status == 200 ? "OK" : "Not Found", strlen(words), words);
    ssize_t sent = send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent;                          /* a browser that does not listen learns nothing */
    shutdown(fd, SHUT_WR);
    free(text);
}

/* The names that our own port has: a page of the web that reaches it under another name is no browser that comes back. */
static bool ours(const char *head, int port)
{
    char at[2][32];
    snprintf(at[0], sizeof at[0], "127.0.0.1:%d", port);
    snprintf(at[1], sizeof at[1], "localhost:%d", port);
    for (const char *l = head; (l = strstr(l, "\r\n")); l += 2)
        if (strncasecmp(l + 2, "host:", 5) == 0) {
            const char *v = l + 7 + strspn(l + 7, " \t");
            size_t n = strcspn(v, "\r\n");
            for (int i = 0; i < 2; i++)
                if (strlen(at[i]) == n && strncasecmp(v, at[i], n) == 0)
                    return true;
            return false;
        }
    return false;
}

/* Without a time that tells how much of it was right. */
static bool same_state(const char *query, const char *state)
{
    char *said = oauth_back_value(query, "state");
    size_t n = strlen(state);
    unsigned other = !said || strlen(said) != n;
    for (size_t i = 0; !other && i < n; i++)
        other = other | (unsigned char)(said[i] ^ state[i]);
    free(said);
    return !other;
}

/* A request that is whole: the query where it is the one that is waited for, malloc'ed; else NULL, and it is answered. */
static char *heard(oauth_back *b, int i, const char *state)
{
    static const char path[] = "GET " OAUTH_BACK;
    const char *p = b->said[i].p;
    size_t n = sizeof path - 1;
    if (strncmp(p, path, n) != 0 || (p[n] != '?' && p[n] != ' ') || !ours(p, b->port)) {
        answer(b->line[i], 404, "Not here.\n");
        return NULL;
    }
    char *query = p[n] == '?' ? q_strndup(p + n + 1, strcspn(p + n + 1, " \r\n")) : q_strdup("");
    if (!same_state(query, state)) {
        free(query);
        answer(b->line[i], 404, "Not here.\n");
        return NULL;
    }
    answer(b->line[i], 200, _("quorum has heard of the sign-in; what came of it stands there. This window may be closed.\n"));
    return query;
}

/* What came on a line; true: it is over with. */
static bool read_line(oauth_back *b, int i, const char *state, bool *stranger, char **query)
{
    char part[4096];
    ssize_t n = recv(b->line[i], part, sizeof part, MSG_DONTWAIT);
    if (n < 0)
        return errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR;
    if (n == 0 || b->said[i].len + (size_t)n > REQUEST_MOST || memchr(part, 0, (size_t)n))
        return true;
    q_buf_add(&b->said[i], part, (size_t)n);
    if (!strstr(b->said[i].p, "\r\n\r\n"))
        return false;
    *query = heard(b, i, state);
    *stranger = !*query;
    return true;
}

static void let_in(oauth_back *b)
{
    int fd = accept(b->fd, NULL, NULL);
    if (fd < 0)
        return;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (b->n == OAUTH_BACK_MOST)
        drop(b, 0);
    b->line[b->n] = fd;
    b->said[b->n++] = (q_buf){ 0 };
}

static char *from_pasted(const char *text)
{
    const char *from = strchr(text, '?');
    from = from ? from + 1 : text + strspn(text, " \t\r\n");
    return q_strndup(from, strcspn(from, " \t\r\n#"));
}

int oauth_back_wait(oauth_back *b, int seconds, const char *state, bool (*wait)(void *user, char **pasted), void *user, char **query, char *err)
{
    int64_t until = q_now_ns() + (int64_t)seconds * 1000000000;
    bool stranger = false;
    *query = NULL;
    while (!*query) {
        char *pasted = NULL;
        bool on = !wait || wait(user, &pasted);
        if (pasted) {
            *query = from_pasted(pasted);
            explicit_bzero(pasted, strlen(pasted));
            free(pasted);
            continue;
        }
        if (!on)
            return q_fail(err, Q_CANCEL, _("stopped"));
        if (q_now_ns() > until)
            return q_fail(err, Q_IO, _("the browser did not come back within %d seconds: begin the sign-in again"), seconds);
        if (stranger)                    /* so the time that is waited bounds how many are tried */
            nanosleep(&(struct timespec){ .tv_nsec = LOOK_MS * 1000000L }, NULL);
        stranger = false;
        struct pollfd p[OAUTH_BACK_MOST + 1] = { { .fd = b->fd, .events = POLLIN } };
        int n = b->n;
        for (int i = 0; i < n; i++)
            p[i + 1] = (struct pollfd){ .fd = b->line[i], .events = POLLIN };
        if (poll(p, (nfds_t)n + 1, LOOK_MS) <= 0)
            continue;
        bool over = false;
        for (int i = 0; i < n && !over; i++)             /* who came first is heard first */
            if (p[i + 1].revents && (over = read_line(b, i, state, &stranger, query)))
                drop(b, i);
        if (p[0].revents && !*query)
            let_in(b);
    }
    return Q_OK;
}

/* ---- parameters ---- */
char *oauth_back_value(const char *query, const char *name)
{
    q_buf out = { 0 };
    int found = 0;
    for (const char *p = query; *p;) {
        size_t n = strcspn(p, "&"), w = strlen(name);
        if (n > w && strncmp(p, name, w) == 0 && p[w] == '=' && ++found == 1) {
            q_buf_puts(&out, "");
            for (size_t i = w + 1; i < n; i++) {
                int byte = q_percent(p + i, n - i);
                q_buf_putc(&out, byte >= 0 ? (char)byte : p[i] == '+' ? ' ' : p[i]);
                i += byte >= 0 ? 2 : 0;
            }
        }
        p += n + (p[n] == '&');
    }
    bool good = found == 1 && strlen(out.p) == out.len;      /* no byte 0 within */
    if (!good)
        q_buf_free(&out);
    return good ? q_buf_take(&out) : NULL;
}
