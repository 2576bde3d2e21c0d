/* net/http: one request from its url to the last byte of its answer. The caller's thread; net_cancel: any. */
#include "net/net.h"
#include "net/curl.h"

#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum why { GOES_ON, TOO_LARGE, HEAD_TOO_LARGE, ENOUGH, NOT_PUBLIC, PACKED };     /* why we ended it ourselves */
enum { LOOK_MS = 100 };                  /* how often go is asked */

typedef struct run {                     /* the request that runs */
    net_request q;
    net_reply *out;
    char *url;                           /* where it is now; NULL: none runs */
    char *body;                          /* of our own: a server may answer before it has read all of it */
    struct curl_slist *list;
    uint64_t head;
    int64_t last, until;                 /* when a byte came; when it must be over, 0: whenever */
    char coding[32];                     /* how its body is packed; "": not at all */
    bool came, follow, deaf;             /* since the last step; a redirect's body is nobody's; what comes still is nobody's */
    enum why why;
} run;

struct net {
    net_curl c;
    CURL *easy;
    CURLM *multi;                        /* holds the connections that stay open */
    pthread_mutex_t mu;                  /* multi, for who cancels while it is made */
    atomic_bool cancel;
    run r;
};

net *net_new(void)
{
    net *n = q_alloc(sizeof *n);
    pthread_mutex_init(&n->mu, NULL);
    return n;
}

void net_free(net *n)
{
    if (!n)
        return;
    if (n->easy)
        n->c.easy_cleanup(n->easy);
    if (n->multi)
        n->c.multi_cleanup(n->multi);
    pthread_mutex_destroy(&n->mu);
    free(n);
}

void net_cancel(net *n, bool on)
{
    atomic_store(&n->cancel, on);
    pthread_mutex_lock(&n->mu);
    if (on && n->multi)
        n->c.multi_wakeup(n->multi);
    pthread_mutex_unlock(&n->mu);
}

/* ---- what comes ---- */
static uint64_t or_else(uint64_t x, uint64_t otherwise) { return x ? x : otherwise; }

static size_t on_data(char *p, size_t size, size_t n, void *user)
{
    run *r = user;
    (void)size;                          /* always 1 */
    r->came = true;
    r->out->body += n;
    if (r->out->body > or_else(r->q.limit.body, 64u << 20)) {
        r->why = TOO_LARGE;
        return CURL_WRITEFUNC_ERROR;
    }
    bool elsewhere = r->out->status >= 300 && r->out->status < 400, theirs = r->follow && elsewhere;
    if (!elsewhere && *r->coding) {
        r->why = PACKED;
        return CURL_WRITEFUNC_ERROR;
    }
    if (!theirs && !r->deaf && r->q.data && !r->q.data(r->q.user, r->out, p, n)) {
        r->why = ENOUGH;
        return CURL_WRITEFUNC_ERROR;
    }
    r->last = q_now_ns();                /* whoever was told may have taken its time */
    return n;
}

/* The value of a header's line where it is called so. */
static const char *header_is(const char *p, size_t n, const char *name, size_t *len)
{
    size_t w = strlen(name);
    if (n <= w || p[w] != ':' || strncasecmp(p, name, w) != 0)
        return NULL;
    p += w + 1;
    n -= w + 1;
    while (n && (*p == ' ' || *p == '\t'))
        p++, n--;
    while (n && (p[n - 1] == '\r' || p[n - 1] == '\n' || p[n - 1] == ' '))
        n--;
    *len = n;
    return p;
}

/* A word of a header in small letters, up to what ends it. */
static void small_word(char *out, size_t size, const char *v, size_t n)
{
    size_t i = 0;
    for (; i < n && i + 1 < size && v[i] > ' ' && v[i] < 127 && v[i] != ';' && v[i] != '"'; i++)
        out[i] = v[i] >= 'A' && v[i] <= 'Z' ? (char)(v[i] + 32) : v[i];
    out[i] = 0;
}

static void head_charset(net_reply *o, const char *v, size_t n)
{
    for (size_t i = 0; i + 8 < n; i++)
        if ((v[i] == ';' || v[i] == ' ') && strncasecmp(v + i + 1, "charset=", 8) == 0) {
            size_t at = i + 9;
            at += at < n && v[at] == '"';
            small_word(o->charset, sizeof o->charset, v + at, n - at);
            return;
        }
}

/* One header for who wants to know them. */
static void tell_head(run *r, const char *p, size_t n)
{
    const char *colon = memchr(p, ':', n);
    if (!r->q.head || !colon || colon == p)
        return;
    char *name = q_strndup(p, (size_t)(colon - p)), *value;
    size_t len = 0;
    const char *v = header_is(p, n, name, &len);
    value = q_strndup(v ? v : "", len);
    q_fold_bytes(name, strlen(name));
    r->q.head(r->q.user, r->out, name, value);
    free(name);
    free(value);
}

static size_t on_head(char *p, size_t size, size_t n, void *user)
{
    run *r = user;
    (void)size;
    net_reply *o = r->out;
    size_t len;
    const char *v;
    r->last = q_now_ns();
    if ((r->head += n) > or_else(r->q.limit.head, 256u << 10)) {
        r->why = HEAD_TOO_LARGE;
        return CURL_WRITEFUNC_ERROR;
    }
    if (n > 5 && memcmp(p, "HTTP/", 5) == 0) {   /* the first line, of each answer on the way (100, a proxy's own) */
        const char *blank = memchr(p, ' ', n);
        *o = (net_reply){ .status = blank ? atoi(blank + 1) : 0, .retry_after = -1, .length = -1 };
        *r->coding = 0;
        return n;
    }
    if ((v = header_is(p, n, "content-type", &len))) {
        small_word(o->type, sizeof o->type, v, len);
        head_charset(o, v, len);
    } else if ((v = header_is(p, n, "content-encoding", &len))) {
        small_word(r->coding, sizeof r->coding, v, len);
        if (strcmp(r->coding, "identity") == 0)
            *r->coding = 0;
    } else if ((v = header_is(p, n, "content-length", &len)) && len && *v >= '0' && *v <= '9')
        o->length = len < 19 ? strtoll(v, NULL, 10) : INT64_MAX;      /* no such body is anywhere: who asks for lengths says so */
    else if ((v = header_is(p, n, "retry-after", &len)) && len && *v >= '0' && *v <= '9')
        o->retry_after = len > 6 ? 999999 : atoi(v);     /* its other form, a date, is rare: the caller's own patience serves */
    tell_head(r, p, n);
    return n;
}

/* The address is checked where a connection is made: behind every name, redirect and alternative. */
static curl_socket_t on_socket(void *user, curlsocktype purpose, struct curl_sockaddr *a)
{
    run *r = user;
    (void)purpose;
    if (r->q.public_only && !net_public(&a->addr)) {
        r->why = NOT_PUBLIC;
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* ---- what is asked ---- */
static bool has_break(const char *s) { return s && strpbrk(s, "\r\n"); }

static int check(const net_request *q, char *err)
{
    bool http = strncasecmp(q->url, "http://", 7) == 0, tls = strncasecmp(q->url, "https://", 8) == 0;
    const char *host = q->url + (tls ? 8 : 7);
    if ((!http && !tls) || !*host)
        return q_fail(err, Q_FORMAT, _("%s is no address of a server: write http://HOST:PORT or https://HOST"), q->url);
    if (memchr(host, '@', strcspn(host, "/?#")))
        return q_fail(err, Q_FORMAT, _("a name and a password in an address would be seen by everybody: leave them out and name a key instead"));
    for (const char *p = q->url; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 127)
            return q_fail(err, Q_FORMAT, _("an address of a server holds no blanks: check it in config.ini"));
    bool bad = has_break(q->key);
    for (int i = 0; i < q->n_header; i++)
        bad |= has_break(q->header[i]);
    return bad ? q_fail(err, Q_FORMAT, _("a key or header holds the end of a line: take it out")) : Q_OK;
}

static bool names_header(const net_request *q, const char *name)
{
    size_t len;
    for (int i = 0; i < q->n_header; i++)
        if (header_is(q->header[i], strlen(q->header[i]), name, &len))
            return true;
    return false;
}

static void add(const net *n, struct curl_slist **list, const char *line)
{
    struct curl_slist *more = n->c.slist_append(*list, line);
    *list = more ? more : *list;
}

/* own: the first host, which alone is told the caller's headers and the key. */
static struct curl_slist *headers(const net *n, const net_request *q, bool own)
{
    struct curl_slist *list = NULL;
    for (int i = 0; i < q->n_header && own; i++)
        add(n, &list, q->header[i]);
    if (q->key && own) {
        char *line = q_printf("Authorization: Bearer %s", q->key);
        add(n, &list, line);
        explicit_bzero(line, strlen(line));
        free(line);
    }
    if (q->body && !names_header(q, "content-type"))
        add(n, &list, "Content-Type: application/json");
    add(n, &list, "Expect:");            /* some servers never say 100, and every question would wait for it */
    return list;
}

static void wipe(const net *n, struct curl_slist *list)
{
    for (struct curl_slist *l = list; l; l = l->next)
        explicit_bzero(l->data, strlen(l->data));
    n->c.slist_free_all(list);
}

static int ready(net *n, char *err)
{
    int rc = n->easy ? Q_OK : net_curl_open(&n->c, err);
    if (rc < 0 || n->easy)
        return rc;
    CURLM *m = n->c.multi_init();
    pthread_mutex_lock(&n->mu);
    n->multi = m;
    pthread_mutex_unlock(&n->mu);
    n->easy = n->c.easy_init();
    return n->easy && n->multi ? Q_OK : q_fail(err, Q_NOMEM, _("not enough memory to ask a server: close other programs and try again"));
}

static void describe(net *n)
{
    run *r = &n->r;
    const net_request *q = &r->q;
    CURL *h = n->easy;
    __typeof__(n->c.easy_setopt) opt = n->c.easy_setopt;
    n->c.easy_reset(h);
    opt(h, CURLOPT_URL, r->url);
    opt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    opt(h, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
    opt(h, CURLOPT_QUICK_EXIT, 1L);      /* a name server that is silent holds up nobody who has given up */
#endif
    opt(h, CURLOPT_HTTPHEADER, r->list);
    opt(h, CURLOPT_USERAGENT, "quorum/" QUORUM_VERSION);
    opt(h, CURLOPT_CONNECTTIMEOUT, (long)or_else((uint64_t)q->limit.connect_s, 15));
    opt(h, CURLOPT_WRITEFUNCTION, on_data);
    opt(h, CURLOPT_WRITEDATA, r);
    opt(h, CURLOPT_HEADERFUNCTION, on_head);
    opt(h, CURLOPT_HEADERDATA, r);
    if (q->public_only) {
        opt(h, CURLOPT_OPENSOCKETFUNCTION, on_socket);
        opt(h, CURLOPT_OPENSOCKETDATA, r);
        opt(h, CURLOPT_PROXY, "");
        opt(h, CURLOPT_FRESH_CONNECT, 1L);   /* one that stands was not asked for its address */
        opt(h, CURLOPT_FORBID_REUSE, 1L);
    }
    if (q->unix_socket)
        opt(h, CURLOPT_UNIX_SOCKET_PATH, q->unix_socket);
    if (q->ca_file)
        opt(h, CURLOPT_CAINFO, q->ca_file);
    if (q->body) {
        opt(h, CURLOPT_POST, 1L);
        opt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->n_body);
        opt(h, CURLOPT_POSTFIELDS, r->body);
    }
    if (q->method && strcmp(q->method, "HEAD") == 0)
        opt(h, CURLOPT_NOBODY, 1L);
    else if (q->method)
        opt(h, CURLOPT_CUSTOMREQUEST, q->method);
}

/* ---- how it ends ---- */
static int ended_by_us(const run *r, const char *host, char *err)
{
    switch (r->why) {
    case TOO_LARGE:
        return q_fail(err, Q_RANGE, _("%s sent more than %llu bytes: it is no answer, and the request was ended"), host,
                      (unsigned long long)or_else(r->q.limit.body, 64u << 20));
    case HEAD_TOO_LARGE:
        return q_fail(err, Q_RANGE, _("%s sent no end of headers: check that it is the server you mean"), host);
    case PACKED:
        return q_fail(err, Q_FORMAT, _("%s sent its answer packed (%s), which nobody asked for: switch compression off in the server, or in the proxy before it"), host, r->coding);
    case NOT_PUBLIC:
        return q_fail(err, Q_RANGE, _("%s is an address of this machine or of a private network: it is not asked unless you allow it"), host);
    default:
        return q_fail(err, Q_CANCEL, _("stopped"));
    }
}

static int failed(const net *n, CURLcode code, char *err)
{
    static const struct { CURLcode code; int rc; const char *words; } row[] = {
        { CURLE_COULDNT_RESOLVE_HOST, Q_NOTFOUND, N_("no machine is called so: %s. Check the address and the network") },
        { CURLE_COULDNT_RESOLVE_PROXY, Q_NOTFOUND, N_("the proxy for %s is not found: check http_proxy and https_proxy in the environment") },
        { CURLE_COULDNT_CONNECT, Q_NOTFOUND, N_("nobody answers at %s: is the server running, and is the port right?") },
        { CURLE_OPERATION_TIMEDOUT, Q_NOTFOUND, N_("%s does not take the connection in time: is the server running, and is a firewall between?") },
        { CURLE_PEER_FAILED_VERIFICATION, Q_IO, N_("the certificate of %s cannot be trusted: name the file of who signed it (ca = FILE), or mend the server's") },
        { CURLE_SSL_CACERT_BADFILE, Q_IO, N_("the file of certificates for %s cannot be read: check ca = FILE") },
        { CURLE_SSL_CONNECT_ERROR, Q_IO, N_("%s does not speak TLS: write http:// if it has none, or check the port") },
        { CURLE_UNSUPPORTED_PROTOCOL, Q_FORMAT, N_("what answers at %s does not speak HTTP: check the port") },
        { CURLE_WEIRD_SERVER_REPLY, Q_FORMAT, N_("what answers at %s does not speak HTTP: check the port") },
        { CURLE_GOT_NOTHING, Q_IO, N_("%s closed the line without an answer: look into the server's log, then ask again") },
        { CURLE_PARTIAL_FILE, Q_IO, N_("%s closed the line before its answer ended: ask again") },
        { CURLE_RECV_ERROR, Q_IO, N_("the line to %s broke before its answer ended: ask again") },
        { CURLE_SEND_ERROR, Q_IO, N_("the line to %s broke while it was asked: ask again") } };
    char *host = net_host(n->r.url);
    int rc = Q_OK;
    if (n->r.why)
        rc = ended_by_us(&n->r, host, err);
    for (size_t i = 0; !rc && i < sizeof row / sizeof *row; i++)
        if (row[i].code == code)
            rc = q_fail(err, row[i].rc, _(row[i].words), host);
    if (!rc)
        rc = q_fail(err, Q_IO, _("%s could not be asked: %s"), host, n->c.easy_strerror(code));
    free(host);
    return rc;
}

/* SIGPIPE of a socket that the other side closed ends nobody's program. */
static void pipe_off(sigset_t *before, bool *pending)
{
    sigset_t s, p;
    sigemptyset(&s);
    sigaddset(&s, SIGPIPE);
    sigpending(&p);
    *pending = sigismember(&p, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &s, before);
}

static void pipe_on(const sigset_t *before, bool pending)
{
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGPIPE);
    while (!pending && sigtimedwait(&s, NULL, &(struct timespec){ 0 }) == SIGPIPE)
        ;
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* One step, within pipe_off: as net_next. */
static int step(net *n, char *err)
{
    run *r = &n->r;
    int64_t stall = (int64_t)or_else((uint64_t)r->q.limit.stall_s, 300) * 1000000000;
    int running = 1, left;
    r->last = q_now_ns();
    for (r->came = false; running && !r->came;) {
        if (atomic_load(&n->cancel) || (r->q.go && !r->q.go(r->q.user)))
            return q_fail(err, Q_CANCEL, _("stopped"));
        if (n->c.multi_perform(n->multi, &running) != CURLM_OK)
            return q_fail(err, Q_ERR, _("libcurl lost its way: ask again"));
        int64_t quiet = q_now_ns() - r->last;
        if (running && !r->came && quiet > stall) {
            char *host = net_host(r->url);
            int rc = q_fail(err, Q_IO, _("%s has been silent for %d seconds: look into the server's log, then ask again"), host, (int)(stall / 1000000000));
            free(host);
            return rc;
        }
        if (running && r->until && q_now_ns() > r->until) {
            char *host = net_host(r->url);
            int rc = q_fail(err, Q_IO, _("%s did not end its answer within %d seconds: it was left"), host, r->q.limit.all_s);
            free(host);
            return rc;
        }
        if (running && !r->came) {
            int64_t wait = (stall - quiet) / 1000000 + 1, most = r->q.go ? LOOK_MS : 1000;
            n->c.multi_poll(n->multi, NULL, 0, wait < most ? (int)wait : (int)most, NULL);
        }
    }
    for (CURLMsg *m; !running && (m = n->c.multi_info_read(n->multi, &left));)
        if (m->msg == CURLMSG_DONE && m->data.result != CURLE_OK)
            return failed(n, m->data.result, err);
    return running;
}

static int advance(net *n, char *err)
{
    sigset_t before;
    bool pending;
    pipe_off(&before, &pending);
    int rc = step(n, err);
    pipe_on(&before, pending);
    return rc;
}

static bool redirects(int status) { return status == 301 || status == 302 || status == 303 || status == 307 || status == 308; }

/* Where a redirect leads, for the next round; NULL and err: it is not followed. */
static char *next(const net *n, int left, char *err)
{
    const net_request *q = &n->r.q;
    const char *from = n->r.url;
    char *to = NULL, *host, *there;
    bool read_only = !q->body && (!q->method || strcmp(q->method, "GET") == 0 || strcmp(q->method, "HEAD") == 0);
    n->c.easy_getinfo(n->easy, CURLINFO_REDIRECT_URL, &to);
    host = net_host(from);
    if (!to) {
        q_fail(err, Q_FORMAT, _("%s answers with a redirect that leads nowhere: check the address"), host);
        free(host);
        return NULL;
    }
    there = net_host(to);
    bool other = strcasecmp(host, there) != 0, tls = strncasecmp(from, "https:", 6) == 0 && strncasecmp(to, "https:", 6) != 0;
    bool may = left > 0 && read_only && !(other && q->key) && !tls && (!q->hop || q->hop(q->user, from, to));
    char *out = may ? q_strdup(to) : NULL;
    if (!out)
        q_fail(err, Q_RANGE, q->redirects && left <= 0 ? _("%s sends from one address to the next without an end (now %s): check the address")
               : _("%s sends elsewhere, to %s, where nothing is sent unasked: if that is right, write that address"), host, there);
    free(host);
    free(there);
    return out;
}

/* own: this host may be told the key. url: taken. */
static int start(net *n, const net_request *q, char *url, bool own, net_reply *out, char *err)
{
    *out = (net_reply){ .retry_after = -1, .length = -1 };
    n->r = (run){ .q = *q, .out = out, .url = url, .list = headers(n, q, own), .follow = q->redirects > 0 };
    if (q->limit.all_s)
        n->r.until = q_now_ns() + (int64_t)q->limit.all_s * 1000000000;
    if (q->body)
        n->r.body = memcpy(q_alloc(q->n_body + 1), q->body, q->n_body);
    describe(n);
    return n->c.multi_add_handle(n->multi, n->easy) == CURLM_OK ? Q_OK : q_fail(err, Q_ERR, _("libcurl lost its way: ask again"));
}

int net_open(net *n, const net_request *q, net_reply *out, char *err)
{
    net_request plain = *q;
    *out = (net_reply){ .retry_after = -1, .length = -1 };
    int rc = check(q, err);
    if (rc == Q_OK)
        rc = ready(n, err);
    plain.redirects = 0;
    return rc < 0 ? rc : start(n, &plain, q_strdup(q->url), true, out, err);
}

int net_next(net *n, char *err)
{
    int rc = advance(n, err);
    if (rc == 0 && redirects(n->r.out->status)) {
        free(next(n, 0, err));
        rc = Q_RANGE;
    }
    return rc;
}

void net_linger(net *n, int ms)
{
    int64_t until = q_now_ns() + (int64_t)ms * 1000000, left;
    sigset_t before;
    bool pending;
    int running = n->r.url != NULL;
    n->r.deaf = true;
    pipe_off(&before, &pending);
    while (running && !atomic_load(&n->cancel) && (left = until - q_now_ns()) > 0 && n->c.multi_perform(n->multi, &running) == CURLM_OK)
        if (running)
            n->c.multi_poll(n->multi, NULL, 0, (int)(left / 1000000) + 1, NULL);
    pipe_on(&before, pending);
}

void net_end(net *n)
{
    if (!n->r.url)
        return;
    sigset_t before;
    bool pending;
    pipe_off(&before, &pending);
    n->c.multi_remove_handle(n->multi, n->easy);
    pipe_on(&before, pending);
    wipe(n, n->r.list);
    free(n->r.url);
    free(n->r.body);
    n->r = (run){ .url = NULL };
}

int net_wait(net *n, int ms, char *err)
{
    int rc = ready(n, err);
    for (int64_t until = q_now_ns() + (int64_t)ms * 1000000, now; rc == Q_OK && (now = q_now_ns()) < until;) {
        if (atomic_load(&n->cancel))
            return q_fail(err, Q_CANCEL, _("stopped"));
        n->c.multi_poll(n->multi, NULL, 0, (int)((until - now) / 1000000) + 1, NULL);
    }
    return rc == Q_OK && atomic_load(&n->cancel) ? q_fail(err, Q_CANCEL, _("stopped")) : rc;
}

/* Of the line that it ran over, also one that stood already. */
static bool ran_near(net *n)
{
    const char *ip = NULL;
    n->c.easy_getinfo(n->easy, CURLINFO_PRIMARY_IP, &ip);
    char *host = ip && strchr(ip, ':') ? q_printf("[%s]", ip) : q_strdup(ip ? ip : "");
    bool near = net_near(host, strlen(host));
    free(host);
    return near;
}

int net_run(net *n, const net_request *q, net_reply *out, char *err)
{
    *out = (net_reply){ .retry_after = -1, .length = -1 };
    int rc = check(q, err);
    if (rc == Q_OK)
        rc = ready(n, err);
    char *url = q_strdup(q->url), *first = net_host(url), *to = NULL;
    bool own = true;
    for (int left = q->redirects; rc == Q_OK; left--, url = to) {
        to = NULL;
        rc = start(n, q, url, own, out, err);
        url = NULL;                      /* taken */
        while (rc == Q_OK && (rc = advance(n, err)) > 0)
            rc = Q_OK;
        if (rc == Q_OK && redirects(out->status)) {
            char *host = (to = next(n, left, err)) ? net_host(to) : NULL;
            rc = to ? Q_OK : Q_RANGE;
            own = own && host && strcasecmp(host, first) == 0;
            free(host);
        }
        out->near = ran_near(n);
        net_end(n);
        if (!to)
            break;
    }
    free(url);
    free(first);
    return rc;
}
