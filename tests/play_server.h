/* tests: a server of the test's own, on a port of the loopback that the system chooses or on a socket of a folder: it hands each
 * request to a function that writes whatever it likes, also what no server should. Nothing waits for a time: what stalls waits for
 * the client to close. A thread a connection. */
#ifndef PLAY_SERVER_H
#define PLAY_SERVER_H

#include "base/base.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PLAY_CONNECTIONS = 256 };
struct play;
/* request: headers and body, followed by a 0; body stands in it; number: of the request, from 0. False: the line is closed. */
typedef bool play_answer(struct play *, int fd, const char *request, const char *body, int number);
typedef struct play {
    play_answer *answer;
    void *user;
    int fd, port;
    char url[64];
    pthread_t main, of[PLAY_CONNECTIONS];
    int conn[PLAY_CONNECTIONS], n;
    atomic_int connections, requests;
    pthread_mutex_t mu;
    char *last;                          /* the last request, headers and body; under mu */
} play;
typedef struct play_line { play *p; int fd; } play_line;

/* ---- what answers are made of ---- */
__attribute__((unused)) static bool play_bytes(int fd, const void *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t w = send(fd, (const char *)p + at, n - at, MSG_NOSIGNAL);
        if (w <= 0)
            return false;
        at += (size_t)w;
    }
    return true;
}

__attribute__((unused)) static bool play_text(int fd, const char *s) { return play_bytes(fd, s, strlen(s)); }

/* more: headers, each with its \r\n. */
__attribute__((unused)) static bool play_reply(int fd, int status, const char *type, const char *more, const char *body)
{
    char *s = q_printf("HTTP/1.1 %d Said\r\nContent-Type: %s\r\n%sContent-Length: %zu\r\n\r\n%s", status, type, more, strlen(body), body);
    bool ok = play_text(fd, s);
    free(s);
    return ok;
}

__attribute__((unused)) static bool play_json(int fd, const char *body) { return play_reply(fd, 200, "application/json", "", body); }

/* Chunks, as servers stream. */
__attribute__((unused)) static bool play_stream(int fd)
{
    return play_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n");
}

__attribute__((unused)) static bool play_chunk(int fd, const char *s)
{
    char *c = q_printf("%zx\r\n%s\r\n", strlen(s), s);
    bool ok = play_text(fd, c);
    free(c);
    return ok;
}

__attribute__((unused)) static bool play_event(int fd, const char *data)
{
    char *c = q_printf("data: %s\n\n", data);
    bool ok = play_chunk(fd, c);
    free(c);
    return ok;
}

__attribute__((unused)) static bool play_end(int fd) { return play_text(fd, "0\r\n\r\n"); }

/* Says nothing more until the client has closed. */
__attribute__((unused)) static void play_wait(int fd)
{
    char b[256];
    while (recv(fd, b, sizeof b, 0) > 0)
        ;
}

/* ---- the server ---- */
static size_t play_length(const char *head)
{
    for (const char *l = head; (l = strstr(l, "\r\n")); l += 2)
        if (strncasecmp(l + 2, "content-length:", 15) == 0)
            return (size_t)strtoul(l + 17, NULL, 10);
    return 0;
}

/* One request into b; false: the client closed. */
static bool play_read(int fd, q_buf *b)
{
    char part[4096];
    size_t whole = 0;
    while (!whole || b->len < whole) {
        ssize_t n = recv(fd, part, sizeof part, 0);
        if (n <= 0)
            return false;
        q_buf_add(b, part, (size_t)n);
        if (b->p[0] < 'A' || b->p[0] > 'Z')
            return false;                /* TLS, say */
        char *end = whole ? NULL : strstr(b->p, "\r\n\r\n");
        if (end)
            whole = (size_t)(end + 4 - b->p) + play_length(b->p);
    }
    return true;
}

static void *play_connection(void *user)
{
    play_line l = *(play_line *)user;
    free(user);
    q_buf b = { 0 };
    bool go = true;
    while (go && play_read(l.fd, &b)) {
        pthread_mutex_lock(&l.p->mu);
        free(l.p->last);
        l.p->last = q_strdup(b.p);
        pthread_mutex_unlock(&l.p->mu);
        go = l.p->answer(l.p, l.fd, b.p, strstr(b.p, "\r\n\r\n") + 4, atomic_fetch_add(&l.p->requests, 1));
        q_buf_clear(&b);
    }
    q_buf_free(&b);
    shutdown(l.fd, SHUT_RDWR);           /* closed when the play ends, so that no number is taken twice */
    return NULL;
}

static void *play_main(void *user)
{
    play *p = user;
    for (int fd; p->n < PLAY_CONNECTIONS && (fd = accept(p->fd, NULL, NULL)) >= 0;) {
        play_line *l = q_alloc(sizeof *l);
        *l = (play_line){ p, fd };
        p->conn[p->n] = fd;
        atomic_fetch_add(&p->connections, 1);
        if (pthread_create(&p->of[p->n], NULL, play_connection, l) == 0)
            p->n++;
    }
    return NULL;
}

/* path: a socket there; NULL: a port. */
__attribute__((unused)) static play *play_open(play_answer *answer, void *user, const char *path)
{
    play *p = q_alloc(sizeof *p);
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    socklen_t n = sizeof in;
    p->answer = answer;
    p->user = user;
    p->fd = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pthread_mutex_init(&p->mu, NULL);
    if (path)
        snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    if (bind(p->fd, path ? (struct sockaddr *)&un : (struct sockaddr *)&in, path ? sizeof un : sizeof in) < 0 || listen(p->fd, 64) < 0) {
        perror("# the test's server");
        exit(1);
    }
    if (!path && getsockname(p->fd, (struct sockaddr *)&in, &n) == 0)
        p->port = ntohs(in.sin_port);
    snprintf(p->url, sizeof p->url, path ? "http://localhost" : "http://127.0.0.1:%d", p->port);
    pthread_create(&p->main, NULL, play_main, p);
    return p;
}

/* The last request, malloc'ed. */
__attribute__((unused)) static char *play_last(play *p)
{
    pthread_mutex_lock(&p->mu);
    char *s = q_strdup(p->last ? p->last : "");
    pthread_mutex_unlock(&p->mu);
    return s;
}

__attribute__((unused)) static void play_close(play *p)
{
    shutdown(p->fd, SHUT_RDWR);
    pthread_join(p->main, NULL);
    for (int i = 0; i < p->n; i++) {
        shutdown(p->conn[i], SHUT_RDWR);
        pthread_join(p->of[i], NULL);
        close(p->conn[i]);
    }
    close(p->fd);
    pthread_mutex_destroy(&p->mu);
    free(p->last);
    free(p);
}

#endif
