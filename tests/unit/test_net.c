/* net: requests against a server of the test's own, which also does what no server should; event streams in any pieces. Nothing
 * leaves the machine. */
#include "net/net.h"
#include "tests/play_server.h"
#include "tests/test.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/wait.h>

static char err[Q_ERRLEN];
static net *n;
static q_buf got;
static net_reply reply;
static const char KEY[] = "sk-secret-of-the-test";

static bool keep(void *user, const net_reply *r, const char *p, size_t len)
{
    q_buf_add(&got, p, len);
    return !user || got.len < *(size_t *)user;
}

static int ask(net_request q)
{
    q_buf_clear(&got);
    q_buf_puts(&got, "");
    q.data = keep;
    err[0] = 0;
    int rc = net_run(n, &q, &reply, err);
    CHECK_MSG((rc == Q_OK) == !*err && !strstr(err, KEY) && !strchr(err, '\n'), "%d: %s", rc, err);
    return rc;
}

static char *at(const play *p, const char *path)
{
    static char url[4][160];
    static int i;
    char *u = url[i++ % 4];
    snprintf(u, sizeof url[0], "%s%s", p->url, path);
    return u;
}

/* ---- what should be ---- */
static bool echo(play *p, int fd, const char *request, const char *body, int number)
{
    if (strncmp(request, "GET /missing", 12) == 0)
        return play_reply(fd, 404, "Application/JSON; charset=utf-8", "Retry-After: 7\r\n", "{\"error\":\"none\"}");
    return play_reply(fd, 200, "text/plain", "", *body ? body : "hello");
}

static void requests_are_answered(void)
{
    play *p = play_open(echo, NULL, NULL);
    CHECK_INT(ask((net_request){ .url = at(p, "/x?y=1") }), Q_OK);
    CHECK(reply.status == 200 && reply.retry_after == -1 && reply.body == 5);
    CHECK_STR(got.p, "hello");
    CHECK_STR(reply.type, "text/plain");
    static const char *const header[] = { "X-Own: 1" };
    CHECK_INT(ask((net_request){ .url = at(p, "/post"), .body = "{\"a\":1}", .n_body = 7, .key = KEY, .header = header, .n_header = 1 }), Q_OK);
    CHECK_STR(got.p, "{\"a\":1}");
    char *last = play_last(p);
    CHECK(strncmp(last, "POST /post HTTP/1.1\r\n", 21) == 0 && strstr(last, "Authorization: Bearer sk-secret-of-the-test\r\n") && strstr(last, "X-Own: 1\r\n"));
    CHECK(strstr(last, "Content-Type: application/json\r\n") && !strstr(last, "Expect:"));
    free(last);
    CHECK_INT(ask((net_request){ .url = at(p, "/missing") }), Q_OK);
    CHECK(reply.status == 404 && reply.retry_after == 7);
    CHECK_STR(reply.type, "application/json");
    CHECK_STR(got.p, "{\"error\":\"none\"}");
    CHECK_INT(ask((net_request){ .url = at(p, "/d"), .method = "DELETE" }), Q_OK);
    last = play_last(p);
    CHECK(strncmp(last, "DELETE /d", 9) == 0 && !strstr(last, "Bearer") && !strstr(last, "X-Own"));
    free(last);
    CHECK_INT(atomic_load(&p->connections), 1);          /* the line stays open */
    play_close(p);
}

static void a_socket_serves_too(void)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/quorum-net-%ld.sock", (long)getpid());
    unlink(path);
    CHECK_INT(ask((net_request){ .url = "http://localhost/x", .unix_socket = path }), Q_NOTFOUND);
    CHECK_MSG(strstr(err, "nobody answers at http://localhost"), "%s", err);
    play *p = play_open(echo, NULL, path);
    CHECK_INT(ask((net_request){ .url = "http://localhost/x", .unix_socket = path }), Q_OK);
    CHECK_STR(got.p, "hello");
    play_close(p);
    unlink(path);
}

static void addresses_are_checked(void)
{
    static const char *const bad[] = { "", "host", "ftp://host/", "file:///etc/passwd", "http://", "https://", "http://a b/", "http://a\r\nX: y/", "gopher://x", "javascript:1" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_MSG(ask((net_request){ .url = bad[i] }) == Q_FORMAT, "%s: %s", bad[i], err);
    CHECK(ask((net_request){ .url = "http://me:sk-secret-of-the-test@host/" }) == Q_FORMAT);
    static const char *const header[] = { "X: 1\r\nY: 2" };
    CHECK(ask((net_request){ .url = "http://127.0.0.1:1/", .header = header, .n_header = 1 }) == Q_FORMAT);
    CHECK(ask((net_request){ .url = "http://127.0.0.1:1/", .key = "a\nb" }) == Q_FORMAT);
    static const struct { const char *url, *host; } row[] = { { "http://h:1/x", "http://h:1" }, { "https://me:pw@h/x@y", "https://h" }, { "h", "h" }, { "http://h?q", "http://h" } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char *h = net_host(row[i].url);
        CHECK_STR(h, row[i].host);
        free(h);
    }
}

static void private_addresses_are_known(void)
{
    static const struct { const char *a; bool open; } row[] = {
        { "8.8.8.8", true }, { "1.1.1.1", true }, { "0.0.0.0", false }, { "127.0.0.1", false }, { "127.255.0.1", false }, { "10.1.2.3", false },
        { "172.15.255.255", true }, { "172.16.0.1", false }, { "172.31.255.255", false }, { "172.32.0.1", true }, { "192.168.1.1", false }, { "192.169.0.1", true },
        { "169.254.169.254", false }, { "100.64.0.1", false }, { "100.128.0.1", true }, { "198.18.0.1", false }, { "198.19.255.255", false }, { "198.20.0.0", true },
        { "224.0.0.1", false }, { "255.255.255.255", false }, { "192.0.0.8", false }, { "203.0.113.9", false },
        { "::", false }, { "::1", false }, { "fe80::1", false }, { "fc00::1", false }, { "fd12::1", false }, { "ff02::1", false }, { "2001:db8::1", false },
        { "2606:4700::1111", true }, { "2001:4860:4860::8888", true }, { "::ffff:127.0.0.1", false }, { "::ffff:8.8.8.8", true }, { "64:ff9b::a00:1", false },
        { "64:ff9b::808:808", true }, { "2002:7f00:1::", false }, { "2002:808:808::", true }, { "2001:0:1::1", false } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct sockaddr_in v4 = { .sin_family = AF_INET };
        struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
        bool six = strchr(row[i].a, ':');
        CHECK_INT(inet_pton(six ? AF_INET6 : AF_INET, row[i].a, six ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr), 1);
        CHECK_MSG(net_public(six ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4) == row[i].open, "%s", row[i].a);
    }
    struct sockaddr local = { .sa_family = AF_UNIX };
    CHECK(!net_public(&local));
    play *p = play_open(echo, NULL, NULL);
    CHECK_INT(ask((net_request){ .url = at(p, "/x"), .public_only = true }), Q_RANGE);
    CHECK_MSG(strstr(err, "private network"), "%s", err);
    char *url = q_printf("http://[::ffff:127.0.0.1]:%d/", p->port);
    CHECK_INT(ask((net_request){ .url = url, .public_only = true }), Q_RANGE);
    free(url);
    CHECK_INT(ask((net_request){ .url = at(p, "/x") }), Q_OK);         /* a line that stands is no way around */
    CHECK_INT(ask((net_request){ .url = at(p, "/x"), .public_only = true }), Q_RANGE);
    CHECK_INT(atomic_load(&p->requests), 1);
    play_close(p);
}

/* ---- redirects ---- */
static bool sends_on(play *p, int fd, const char *request, const char *body, int number)
{
    play *other = p->user;
    char *more = strstr(request, " /loop") ? q_printf("Location: /loop\r\n") : strstr(request, " /here") ? q_printf("Location: /end\r\n")
               : strstr(request, " /there") ? q_printf("Location: %s/end\r\n", other->url) : strstr(request, " /nowhere") ? q_printf("X-Nothing: 1\r\n")
               : strstr(request, " /file") ? q_printf("Location: file:///etc/passwd\r\n") : NULL;
    bool go = more ? play_reply(fd, 302, "text/html", more, "<p>elsewhere</p>") : play_reply(fd, 200, "text/plain", "", "arrived");
    free(more);
    return go;
}

static void redirects_keep_keys_at_home(void)
{
    play *other = play_open(echo, NULL, NULL), *p = play_open(sends_on, other, NULL);
    static const char *const header[] = { "X-Own: 1" };
    CHECK_INT(ask((net_request){ .url = at(p, "/here"), .redirects = 3, .key = KEY }), Q_OK);
    CHECK_STR(got.p, "arrived");
    CHECK_INT(ask((net_request){ .url = at(p, "/here"), .key = KEY }), Q_RANGE);
    CHECK_MSG(strstr(err, "sends elsewhere"), "%s", err);
    CHECK_INT(ask((net_request){ .url = at(p, "/there"), .redirects = 3, .key = KEY }), Q_RANGE);
    CHECK_INT(atomic_load(&other->requests), 0);
    CHECK_INT(ask((net_request){ .url = at(p, "/there"), .redirects = 3, .header = header, .n_header = 1 }), Q_OK);
    CHECK_STR(got.p, "hello");
    char *last = play_last(other);
    CHECK(!strstr(last, "X-Own"));
    free(last);
    CHECK_INT(ask((net_request){ .url = at(p, "/there"), .redirects = 3, .body = "{}", .n_body = 2 }), Q_RANGE);
    CHECK_INT(ask((net_request){ .url = at(p, "/loop"), .redirects = 3 }), Q_RANGE);
    CHECK_MSG(strstr(err, "without an end"), "%s", err);
    CHECK_INT(ask((net_request){ .url = at(p, "/nowhere"), .redirects = 3 }), Q_RANGE);
    int rc = ask((net_request){ .url = at(p, "/file"), .redirects = 3 });
    CHECK_MSG(rc == Q_FORMAT || rc == Q_RANGE, "%d %s", rc, err);
    CHECK(!strstr(got.p, "root:"));
    play_close(p);
    play_close(other);
}

/* ---- what an answer says of itself ---- */
static bool describes(play *p, int fd, const char *request, const char *body, int number)
{
    static const struct { const char *path, *type, *more; } row[] = {
        { " /plain ", "text/plain", "" }, { " /1251 ", "Text/HTML; a=b; Charset=Windows-1251", "" }, { " /quoted ", "text/html;charset=\"koi8-r\"", "" },
        { " /packed ", "text/html", "Content-Encoding: GZIP\r\n" }, { " /identity ", "text/html", "Content-Encoding: identity\r\n" },
        { " /asks ", "text/html", "WWW-Authenticate: Bearer resource_metadata=\"x\"\r\nX-Empty:\r\n" } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (strstr(request, row[i].path))
            return play_reply(fd, 200, row[i].type, row[i].more, "0123456789");
    return false;
}

static void note_head(void *user, const net_reply *r, const char *name, const char *value)
{
    q_buf_printf(user, "%d %s=%s\n", r->status, name, value);
}

static void answers_describe_themselves(void)
{
    static const struct { const char *path, *charset; int rc; } row[] = {
        { "/plain", "", Q_OK }, { "/1251", "windows-1251", Q_OK }, { "/quoted", "koi8-r", Q_OK }, { "/packed", "", Q_FORMAT }, { "/identity", "", Q_OK } };
    play *p = play_open(describes, NULL, NULL);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        CHECK_MSG(ask((net_request){ .url = at(p, row[i].path) }) == row[i].rc, "%s: %s", row[i].path, err);
        CHECK_STR(reply.charset, row[i].charset);
        CHECK(reply.length == 10 && (row[i].rc == Q_OK ? got.len == 10 : !got.len && strstr(err, "packed (gzip)")));
    }
    q_buf heads = { 0 };
    net_request q = { .url = at(p, "/asks"), .head = note_head, .user = &heads };
    CHECK_INT(net_run(n, &q, &reply, err), Q_OK);
    CHECK_MSG(heads.p && strstr(heads.p, "200 www-authenticate=Bearer resource_metadata=\"x\"\n") && strstr(heads.p, "200 x-empty=\n"), "%s", heads.p);
    q_buf_free(&heads);
    play_close(p);
}

static int hops;

static bool no_hop(void *user, const char *from, const char *to)
{
    hops++;
    CHECK(strstr(from, "/here") && strstr(to, "/end"));
    return false;
}

static bool thrice(void *user) { return ++hops < 3; }

static bool drips(play *p, int fd, const char *request, const char *body, int number)
{
    play_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf of it");
    play_wait(fd);
    return false;
}

static void callers_end_what_runs(void)
{
    play *p = play_open(sends_on, NULL, NULL), *d = play_open(drips, NULL, NULL);
    CHECK_INT(ask((net_request){ .url = at(p, "/here"), .redirects = 3, .hop = no_hop }), Q_RANGE);
    CHECK_INT(hops, 1);
    hops = 0;
    CHECK_INT(ask((net_request){ .url = at(d, "/"), .go = thrice }), Q_CANCEL);
    CHECK_INT(hops, 3);
    CHECK_INT(ask((net_request){ .url = at(d, "/"), .limit = { .all_s = 1 } }), Q_IO);
    CHECK_MSG(strstr(err, "did not end its answer within 1 second"), "%s", err);
    CHECK_STR(got.p, "half of it");
    play_close(p);
    play_close(d);
}

/* ---- what should not be ---- */
static bool endless(play *p, int fd, const char *request, const char *body, int number)
{
    char part[65536];
    memset(part, 'x', sizeof part);
    if (strstr(request, " /head")) {
        play_text(fd, "HTTP/1.1 200 OK\r\n");
        while (play_text(fd, "X-More: and more and more and more and more and more and more\r\n"))
            ;
        return false;
    }
    if (strstr(request, " /absurd")) return play_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\nConnection: close\r\n\r\nx"), false;
    play_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 104857600\r\n\r\n");
    for (int i = 0; i < 1600 && play_bytes(fd, part, sizeof part); i++)
        ;
    return false;
}

static void what_is_too_much_is_ended(void)
{
    play *p = play_open(endless, NULL, NULL);
    CHECK_INT(ask((net_request){ .url = at(p, "/body"), .limit = { .body = 1 << 20 } }), Q_RANGE);
    CHECK_MSG(strstr(err, "1048576 bytes") && got.len <= 1 << 20, "%s (%zu)", err, got.len);
    CHECK_INT(ask((net_request){ .url = at(p, "/head"), .limit = { .head = 4096 } }), Q_RANGE);
    size_t few = 100000;
    q_buf_clear(&got);
    net_request q = { .url = at(p, "/body"), .data = keep, .user = &few };
    CHECK_INT(net_run(n, &q, &reply, err), Q_CANCEL);
    CHECK(got.len >= few && got.len < few + (1 << 20));
    q = (net_request){ .url = at(p, "/absurd"), .limit = { .body = 1 << 20 } };
    net_run(n, &q, &reply, err);
    CHECK_MSG(reply.length == INT64_MAX, "%lld", (long long)reply.length);       /* more than any is, and not unknown */
    play_close(p);
}

static bool broken(play *p, int fd, const char *request, const char *body, int number)
{
    if (strstr(request, " /nothing"))
        return false;
    if (strstr(request, " /ssh"))
        play_text(fd, "SSH-2.0-OpenSSH_9.2p1\r\n");
    if (strstr(request, " /half"))
        play_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\nhalf of it");
    if (strstr(request, " /chunks"))
        play_text(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\nzz\r\ngarbage");
    if (strstr(request, " /short"))
        play_text(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\nff\r\nless");
    if (strstr(request, " /stall")) {
        play_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf of it");
        play_wait(fd);
    }
    return false;
}

static void broken_lines_are_said(void)
{
    static const struct { const char *path; int rc; const char *said, *had; } row[] = {
        { "/nothing", Q_IO, "without an answer", "" }, { "/ssh", Q_FORMAT, "does not speak HTTP", "" }, { "/half", Q_IO, "before its answer ended", "half of it" },
        { "/short", Q_IO, "before its answer ended", "firstless" }, { "/stall", Q_IO, "silent for 1 second", "half of it" } };
    play *p = play_open(broken, NULL, NULL);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        int rc = ask((net_request){ .url = at(p, row[i].path), .limit = { .stall_s = 1 } });
        CHECK_MSG(rc == row[i].rc && strstr(err, row[i].said) && strstr(err, "127.0.0.1"), "%s: %d %s", row[i].path, rc, err);
        CHECK_STR(got.p, row[i].had);
    }
    CHECK(ask((net_request){ .url = at(p, "/chunks") }) < 0 && *err);
    CHECK_INT(ask((net_request){ .url = "https://127.0.0.1:1/", .unix_socket = "/nowhere/at/all" }), Q_NOTFOUND);
    char *tls = q_printf("https://127.0.0.1:%d/", p->port);
    CHECK_INT(ask((net_request){ .url = tls, .limit = { .connect_s = 30 } }), Q_IO);
    free(tls);
    play_close(p);
}

/* ---- somebody has enough ---- */
static bool cancels(play *p, int fd, const char *request, const char *body, int number)
{
    play_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf of it");
    net_cancel(n, true);                 /* from this thread, while the other one waits */
    play_wait(fd);
    return false;
}

static void a_request_is_cancelled(void)
{
    play *p = play_open(cancels, NULL, NULL), *ok = play_open(echo, NULL, NULL);
    CHECK_INT(ask((net_request){ .url = at(p, "/x") }), Q_CANCEL);
    CHECK_INT(ask((net_request){ .url = at(ok, "/x") }), Q_CANCEL);    /* still on */
    CHECK_INT(atomic_load(&ok->requests), 0);
    net_cancel(n, false);
    CHECK_INT(ask((net_request){ .url = at(ok, "/x") }), Q_OK);
    play_close(p);
    play_close(ok);
}

/* ---- an answer before the question is read ---- */
enum { EARLY = 32 << 20 };
static int told[2];                      /* a pipe: the server may read on */
static atomic_size_t same, other;

/* Takes the line's next request by itself: answers behind its head, and reads its body only when it is told to. */
static bool answers_early(play *p, int fd, const char *request, const char *body, int number)
{
    static const char end[] = "\r\n\r\n";
    char part[65536], go;
    play_reply(fd, 200, "text/plain", "", "first");
    for (int at = 0; at < 4 && recv(fd, part, 1, 0) == 1;)
        at = *part == end[at] ? at + 1 : *part == '\r';
    play_stream(fd);
    play_chunk(fd, "early");
    if (read(told[0], &go, 1) != 1)
        return false;
    for (size_t left = EARLY; left;) {
        ssize_t got_now = recv(fd, part, left < sizeof part ? left : sizeof part, 0);
        if (got_now <= 0)
            return false;
        size_t a = 0;
        for (ssize_t i = 0; i < got_now; i++)
            a += part[i] == 'a';
        atomic_fetch_add(&same, a);
        atomic_fetch_add(&other, (size_t)got_now - a);
        left -= (size_t)got_now;
    }
    play_end(fd);
    return false;
}

static void a_body_is_the_requests_own(void)
{
    CHECK_INT(pipe(told), 0);
    play *p = play_open(answers_early, NULL, NULL);
    CHECK_INT(ask((net_request){ .url = at(p, "/x") }), Q_OK);
    char *body = memset(q_alloc(EARLY + 1), 'a', EARLY), *url = q_strdup(at(p, "/y"));
    net_request q = { .url = url, .body = body, .n_body = EARLY, .data = keep };
    q_buf_clear(&got);
    int rc = net_open(n, &q, &reply, err);
    memset(body, 'x', EARLY);
    free(body);
    free(url);
    while (rc >= 0 && !got.len && (rc = net_next(n, err)) > 0)
        ;
    CHECK_INT(write(told[1], "", 1), 1);
    while (rc > 0 && (rc = net_next(n, err)) > 0)
        ;
    CHECK_MSG(rc == 0, "%d: %s", rc, rc < 0 ? err : "");
    CHECK_STR(got.p, "early");
    net_end(n);
    play_close(p);
    CHECK_MSG(atomic_load(&same) == EARLY && atomic_load(&other) == 0, "%zu, %zu", atomic_load(&same), atomic_load(&other));
    close(told[0]);
    close(told[1]);
}

/* ---- the environment's proxy ---- */
static void proxies_are_the_environments(void)
{
    play *p = play_open(echo, NULL, NULL);
    setenv("http_proxy", p->url, 1);
    CHECK_INT(ask((net_request){ .url = "http://nowhere.invalid/x" }), Q_OK);
    char *last = play_last(p);
    CHECK(strncmp(last, "GET http://nowhere.invalid/x HTTP/1.1\r\n", 39) == 0);
    free(last);
    CHECK(ask((net_request){ .url = "http://nowhere.invalid/x", .public_only = true }) < 0);
    setenv("no_proxy", "nowhere.invalid", 1);
    CHECK(ask((net_request){ .url = "http://nowhere.invalid/x" }) < 0);
    CHECK_INT(atomic_load(&p->requests), 1);
    unsetenv("http_proxy");
    unsetenv("no_proxy");
    play_close(p);
}

/* ---- certificates ---- */
/* One that nobody trusts, for 127.0.0.1, made for this run: a key belongs in no repository. */
static const char MAKE_CERTIFICATE[] = "exec openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=quorum test' -addext subjectAltName=IP:127.0.0.1"
                                       " -keyout \"$1/key.pem\" -out \"$1/cert.pem\" > /dev/null 2>&1";
static const char TLS_SERVER[] =
    "import ssl, socket, sys\n"
    "c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
    "c.load_cert_chain(sys.argv[1] + '/cert.pem', sys.argv[1] + '/key.pem')\n"
    "s = socket.socket()\n"
    "s.bind(('127.0.0.1', 0))\n"
    "s.listen(8)\n"
    "print(s.getsockname()[1], flush=True)\n"
    "while True:\n"
    "    try:\n"
    "        t = c.wrap_socket(s.accept()[0], server_side=True)\n"
    "        t.recv(65536)\n"
    "        t.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 6\\r\\nConnection: close\\r\\n\\r\\nsecret')\n"
    "        t.close()\n"
    "    except (OSError, ssl.SSLError):\n"
    "        pass\n";

static bool made_certificate(const char *dir)
{
    int status = 1;
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", MAKE_CERTIFICATE, "sh", dir, (char *)NULL);
        _exit(127);
    }
    return waitpid(pid, &status, 0) == pid && status == 0;
}

static void certificates_are_checked(void)
{
    int out[2];
    char port[16] = "", tls[] = "/tmp/quorum-tls-XXXXXX", cert[64], key[64], none[64];
    CHECK(mkdtemp(tls) != NULL);
    snprintf(cert, sizeof cert, "%s/cert.pem", tls);
    snprintf(key, sizeof key, "%s/key.pem", tls);
    snprintf(none, sizeof none, "%s/none.pem", tls);
    if (!made_certificate(tls)) {
        SKIP("certificates_are_checked", "there is no openssl");
        rmdir(tls);
        return;
    }
    CHECK(pipe(out) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], 1);
        close(out[0]);
        execlp("python3", "python3", "-c", TLS_SERVER, tls, (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    ssize_t got_n = read(out[0], port, sizeof port - 1);
    if (got_n <= 0) {
        SKIP("certificates_are_checked", "there is no python3 with TLS");
        waitpid(pid, NULL, 0);
        close(out[0]);
        unlink(cert), unlink(key), rmdir(tls);
        return;
    }
    char *url = q_printf("https://127.0.0.1:%d/", atoi(port)), *named = q_printf("https://localhost:%d/", atoi(port));
    CHECK_INT(ask((net_request){ .url = url, .key = KEY }), Q_IO);
    CHECK_MSG(strstr(err, "certificate"), "%s", err);
    CHECK_INT(ask((net_request){ .url = url, .key = KEY, .ca_file = cert }), Q_OK);
    CHECK_STR(got.p, "secret");
    CHECK_INT(ask((net_request){ .url = named, .ca_file = cert }), Q_IO);       /* it is made out to the address alone */
    CHECK_INT(ask((net_request){ .url = url, .ca_file = none }), Q_IO);
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    close(out[0]);
    unlink(cert), unlink(key), rmdir(tls);
    free(url);
    free(named);
}

/* ---- event streams ---- */
static bool event(void *user, const net_event *e)
{
    q_buf *b = user;
    q_buf_printf(b, "[%s|%s|%s]", e->type, e->data, e->id);
    return !strstr(e->data, "ENOUGH") && e->n == strlen(e->data);
}

static void events_are_told_apart(void)
{
    static const struct { const char *wire, *want; } row[] = {
        { "data: a\n\n", "[message|a|]" }, { "data: a\r\n\r\n", "[message|a|]" }, { "data: a\r\r", "[message|a|]" }, { "data: a\n", "" }, { "data: a", "" },
        { "\xEF\xBB\xBF" "data: a\n\n", "[message|a|]" }, { "\xEF\xBB" "data: a\n\ndata: b\n\n", "[message|b|]" }, { "\xEF\xBB\xBF\xEF\xBB\xBF" "data: a\n\ndata: b\n\n", "[message|b|]" },
        { "data: a\ndata: b\ndata\n\n", "[message|a\nb\n|]" }, { "data:a\n\ndata:  b\n\n", "[message|a|][message| b|]" }, { ": comment\n:\ndata: a\n: more\n\n", "[message|a|]" },
        { "event: add\ndata: 1\n\ndata: 2\n\n", "[add|1|][message|2|]" }, { "id: 7\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", "[message|a|7][message|b|7][message|c|]" },
        { "event: none\n\ndata: a\n\n", "[message|a|]" }, { "retry: 10\nunknown: x\ndata: a\n\n", "[message|a|]" }, { "data\n\n", "[message||]" }, { "\n\n\ndata: a\n\n\n\n", "[message|a|]" },
        { "data: \xD0\x9F\xD1\x80\n\n", "[message|\xD0\x9F\xD1\x80|]" }, { "data: \xFF\xD0\n\n", "[message|\xEF\xBF\xBD\xEF\xBF\xBD|]" },
        { "data: a:b: c\n\n", "[message|a:b: c|]" }, { "data : a\n\n", "" }, { "Data: a\n\n", "" }, { "data: a\r\n\ndata: b\n\r\n", "[message|a|][message|b|]" } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        size_t len = strlen(row[i].wire);
        for (size_t first = 0; first <= len; first++)
            for (size_t part = 1; part <= len; part++) {
                net_events e = { 0 };
                q_buf b = { 0 };
                q_buf_puts(&b, "");
                int rc = net_events_feed(&e, row[i].wire, first, event, &b, err);
                for (size_t at = first; at < len && rc == Q_OK; at += part)
                    rc = net_events_feed(&e, row[i].wire + at, len - at < part ? len - at : part, event, &b, err);
                if (rc != Q_OK || strcmp(b.p, row[i].want) != 0) {
                    CHECK_MSG(0, "row %zu, cut at %zu by %zu: %s", i, first, part, b.p);
                    part = len;
                }
                net_events_free(&e);
                q_buf_free(&b);
            }
    }
    net_events e = { 0 };
    q_buf b = { 0 };
    CHECK_INT(net_events_feed(&e, "data: ENOUGH\n\ndata: b\n\n", 23, event, &b, err), Q_CANCEL);
    CHECK_STR(b.p, "[message|ENOUGH|]");
    net_events_free(&e);
    q_buf_clear(&b);
    CHECK_INT(net_events_feed(&e, "data: a\0b\n\n", 11, event, &b, err), Q_OK);
    CHECK_STR(b.p, "[message|a\xEF\xBF\xBD" "b|]");
    net_events_free(&e);
    q_buf_free(&b);
}

/* 100 MB without an end, of one line and of many. */
static void an_event_has_its_bounds(void)
{
    static const char *const part[] = { "data: many words and no end of them, ", "data: a line\n", "\xFF\xFE\xFD garbage ", "id: x\n: comment\n" };
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        net_events e = { .max = 1 << 20 };
        q_buf b = { 0 };
        int rc = Q_OK;
        for (size_t sent = 0; sent < 100u << 20 && rc == Q_OK; sent += 64 * strlen(part[i])) {
            char big[64 * 64] = "";
            for (int k = 0; k < 64; k++)
                strcat(big, part[i]);
            rc = net_events_feed(&e, big, strlen(big), event, &b, err);
        }
        CHECK_MSG(rc == (i == 3 ? Q_OK : Q_RANGE) && e.line.cap + e.data.cap < 8 << 20, "%zu: %d, %zu", i, rc, e.line.cap + e.data.cap);
        net_events_free(&e);
        q_buf_free(&b);
    }
}

int main(void)
{
    static const char *const of[] = { "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY", "CURL_CA_BUNDLE", "SSL_CERT_FILE" };
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        unsetenv(of[i]);
    n = net_new();
    RUN(requests_are_answered);
    RUN(a_socket_serves_too);
    RUN(addresses_are_checked);
    RUN(private_addresses_are_known);
    RUN(redirects_keep_keys_at_home);
    RUN(answers_describe_themselves);
    RUN(callers_end_what_runs);
    RUN(what_is_too_much_is_ended);
    RUN(broken_lines_are_said);
    RUN(a_request_is_cancelled);
    RUN(a_body_is_the_requests_own);
    RUN(proxies_are_the_environments);
    RUN(certificates_are_checked);
    RUN(events_are_told_apart);
    RUN(an_event_has_its_bounds);
    net_free(n);
    net_free(NULL);
    q_buf_free(&got);
    return TEST_END();
}
