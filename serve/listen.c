/* serve/listen: see listen.h. */
#include "serve/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 128 };

/* "[::1]:80" and "127.0.0.1:80": the address without brackets and the port, malloc'ed. */
static bool split(const char *where, char **host, char **port)
{
    const char *colon = strrchr(where, ':'), *end = colon;
    if (!colon || !colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1) || strtol(colon + 1, NULL, 10) > 65535 || strlen(colon) > 6)
        return false;
    if (*where == '[' && end[-1] == ']') {
        where++;
        end--;
    } else if (memchr(where, ':', (size_t)(colon - where)))
        return false;
    if (end <= where)
        return false;
    *host = q_strndup(where, (size_t)(end - where));
    *port = q_strdup(colon + 1);
    return true;
}

static bool of_this_machine(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
    return a->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

static int bind_tcp(const struct addrinfo *a, const char *where, listening *out, char *err)
{
    struct sockaddr_storage got;
    socklen_t n = sizeof got;
    char host[64], port[16];
    int on = 1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return q_fail(err, Q_IO, _("%s cannot be listened on: %s"), where, strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, a->ai_addr, a->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0 || getsockname(fd, (struct sockaddr *)&got, &n) != 0 ||
        getnameinfo((struct sockaddr *)&got, n, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        int e = errno;
        close(fd);
        return e == EADDRINUSE ? q_fail(err, Q_IO, _("%s is taken by another program: give another port with --listen, or 0 for one that is free"), where)
                               : q_fail(err, Q_IO, _("%s cannot be listened on: %s"), where, strerror(e));
    }
    *out = (listening){ .fd = fd, .address = q_printf(strchr(host, ':') ? "http://[%s]:%s" : "http://%s:%s", host, port), .own = of_this_machine((struct sockaddr *)&got) };
    return Q_OK;
}

int listen_tcp(const char *where, listening *out, char *err)
{
    char *host = NULL, *port = NULL;
    const struct addrinfo want = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV };
    struct addrinfo *found = NULL;
    if (!split(where, &host, &port))
        return q_fail(err, Q_RANGE, _("--listen wants ADDRESS:PORT, as 127.0.0.1:8080 or [::1]:8080, not \"%s\""), where);
    int rc = getaddrinfo(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, port, &want, &found);
    rc = rc == 0 && found ? bind_tcp(found, where, out, err) : q_fail(err, Q_RANGE, _("--listen wants ADDRESS:PORT, as 127.0.0.1:8080 or [::1]:8080, not \"%s\""), where);
    if (found)
        freeaddrinfo(found);
    free(host);
    free(port);
    return rc;
}

/* Is somebody there? A socket that nobody listens on is left over. */
static int clear_path(const char *path, const struct sockaddr_un *a, char *err)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return Q_OK;
    if (!S_ISSOCK(st.st_mode))
        return q_fail(err, Q_RANGE, _("%s is there and is no socket: give another name with --unix"), path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool dead = fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof *a) != 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    if (!dead)
        return q_fail(err, Q_RANGE, _("somebody listens on %s: stop that server, or give another name with --unix"), path);
    return unlink(path) == 0 ? Q_OK : q_fail(err, Q_IO, "%s: %s", path, strerror(errno));
}

int listen_unix(const char *path, listening *out, char *err)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    if (!*path || strlen(path) >= sizeof a.sun_path)
        return q_fail(err, Q_RANGE, _("--unix wants a path of 1 to %zu bytes"), sizeof a.sun_path - 1);
    memcpy(a.sun_path, path, strlen(path));
    int rc = clear_path(path, &a, err);
    if (rc < 0)
        return rc;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t was = umask(0177);            /* no thread of ours runs yet */
    bool bound = fd >= 0 && bind(fd, (const struct sockaddr *)&a, sizeof a) == 0;
    int e = errno;
    umask(was);
    *out = (listening){ .fd = fd, .own = true };
    if (bound && lstat(path, &out->made) == 0)
        out->path = q_strdup(path);
    if (!bound || listen(fd, BACKLOG) != 0) {
        e = bound ? errno : e;
        listen_end(out);
        return q_fail(err, Q_IO, _("%s cannot be listened on: %s"), path, strerror(e));
    }
    out->address = q_printf("unix:%s", path);
    return Q_OK;
}

void listen_leave(listening *l)
{
    struct stat st;
    bool there = l->path && lstat(l->path, &st) == 0;
    if (there && st.st_dev == l->made.st_dev && st.st_ino == l->made.st_ino && st.st_mtim.tv_sec == l->made.st_mtim.tv_sec && st.st_mtim.tv_nsec == l->made.st_mtim.tv_nsec)
        unlink(l->path);                 /* a number of a file may be another's later; when it was made, not */
    free(l->path);
    l->path = NULL;
}

void listen_end(listening *l)
{
    listen_leave(l);
    if (l->fd >= 0)
        close(l->fd);
    free(l->address);
    *l = (listening){ .fd = -1 };
}

bool listen_host(const char *host)
{
    static const char *const own[] = { "localhost", "127.0.0.1", "[::1]" };
    for (size_t i = 0; host && i < sizeof own / sizeof *own; i++) {
        size_t n = strlen(own[i]);
        if (strncasecmp(host, own[i], n) == 0 && (!host[n] || (host[n] == ':' && host[n + 1] && strspn(host + n + 1, "0123456789") == strlen(host + n + 1))))
            return true;
    }
    return host && strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.:") == strlen(host);
}

bool listen_same(const char *a, const char *b)
{
    char x[65], y[65];                   /* of one length, whatever was sent */
    unsigned char differ = 0;
    q_sha256(a, strlen(a), x);
    q_sha256(b, strlen(b), y);
    for (int i = 0; i < 64; i++)
        differ |= (unsigned char)(x[i] ^ y[i]);
    return differ == 0;
}
