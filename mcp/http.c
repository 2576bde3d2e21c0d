/* mcp/http: see http.h. A thread a request, so that who called can be asked meanwhile whether it still waits. In the older era a session
 * is kept, an answer whose stream broke is asked for again (Last-Event-ID), and one more stream (GET) brings what the server says by itself. */
#include "mcp/http.h"
#include "mcp/headers.h"
#include "net/net.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* BACK_MOST: replies to what a server asks by itself that are on their way at once; its stream is read no further meanwhile. */
enum { IDLE = 8, LINGER = 4, BACK_MOST = 16, BACK_LOOK_MS = 2, AGAIN = 8, QUIET_S = 86400, NOTICE_S = 15, REST = 65536, WAIT_MS = 1000, WAIT_MAX = 30000 };

typedef struct https {
    wire w;
    pthread_mutex_t mu;                  /* all below, and each post's call; the line's lock is taken within it, never the other way */
    struct post *posts;
    net *idle[IDLE];
    int n_idle;
    char version[24];
    char *session, *token;               /* NULL: none */
    bool closing;
} https;

typedef struct post {                    /* one request with its thread */
    struct post *next;
    https *h;
    call *c;                             /* whose answer it brings; NULL: nobody's, or not any more */
    bool waited, listens, done;          /* waited: somebody did, at first */
    bool first;                          /* who sent it waits for its end, and takes it away */
    net *net;
    pthread_t thread;
    char *text, *key; size_t n;          /* text NULL: GET */
    words header;
    bool old;                            /* of the older era, under a session it was sent with (with_session) */
    bool with_session;
    bool begins; char *session;          /* it asks for a session: what it got, until it is the one of all; NULL: none */
    net_events events;                   /* the thread's own, as what follows */
    q_buf body;
    char *challenge;
    net_reply reply;
    size_t rest;
    char err[Q_ERRLEN];                  /* why it was ended by us; "" */
} post;

static bool sent(https *h, const char *text, size_t n, const letter *l, call *c, bool listens, post **out, char *err);
static void reap(https *h, bool all, const post *one);

/* ---- what comes ---- */
/* Those that are done make room; false: nobody wants it any more. */
static bool room_for_reply(const post *p)
{
    https *h = p->h;
    for (;;) {
        reap(h, false, NULL);
        pthread_mutex_lock(&h->mu);
        bool wanted = !h->closing && (p->c || p->listens || !p->waited);
        int on_way = 0;
        for (const post *o = h->posts; o; o = o->next)
            on_way += !o->waited && !o->listens && !o->done;
        pthread_mutex_unlock(&h->mu);
        if (!wanted || on_way < BACK_MOST)
            return wanted;
        nanosleep(&(struct timespec){ .tv_nsec = BACK_LOOK_MS * 1000000L }, NULL);
    }
}

/* False: enough. */
static bool deliver(post *p, const char *text, size_t n)
{
    https *h = p->h;
    q_buf back = { 0 };
    char ignored[Q_ERRLEN];
    pthread_mutex_lock(&h->mu);
    bool wanted = p->c || p->listens || !p->waited;
    int rc = wanted ? line_take(h->w.line, text, n, p->c, &back, p->err) : Q_OK;
    if (rc < 0 && p->c)
        line_fail(h->w.line, p->c, rc, (line_http){ .status = 0 }, p->err);
    pthread_mutex_unlock(&h->mu);
    if (back.len && room_for_reply(p))
        sent(h, back.p, back.len, &(letter){ .method = "" }, NULL, false, NULL, ignored);
    q_buf_free(&back);
    return rc == Q_OK && wanted;
}

static bool on_event(void *user, const net_event *e) { return deliver(user, e->data, e->n); }

static bool is_stream(const net_reply *r) { return r->status / 100 == 2 && strcmp(r->type, "text/event-stream") == 0; }

static bool answered(post *p)
{
    pthread_mutex_lock(&p->h->mu);
    bool yes = p->waited && !p->c;
    if (p->c) {
        pthread_mutex_lock(&p->h->w.line->mu);
        yes = p->c->answered;
        pthread_mutex_unlock(&p->h->w.line->mu);
    }
    pthread_mutex_unlock(&p->h->mu);
    return yes;
}

/* From here on the new session is everybody's: until then others go on under the one that is gone, and meet that. */
static void take_session(post *p)
{
    pthread_mutex_lock(&p->h->mu);
    free(p->h->session);
    p->h->session = p->session;
    p->session = NULL;
    p->begins = false;
    pthread_mutex_unlock(&p->h->mu);
}

static bool on_data(void *user, const net_reply *r, const char *s, size_t n)
{
    post *p = user;
    if (p->begins && r->status / 100 == 2)
        take_session(p);
    if (is_stream(r)) {
        if (!p->listens && answered(p) && (p->rest += n) > REST)
            return false;                /* what follows an answer is nobody's */
        return net_events_feed(&p->events, s, n, on_event, p, p->err) == Q_OK;
    }
    if (p->body.len + n > MCP_MESSAGE_MAX) {
        q_fail(p->err, Q_RANGE, _("%s sent a message of more than %d bytes, and was ended"), p->h->w.section->name, MCP_MESSAGE_MAX);
        return false;
    }
    q_buf_add(&p->body, s, n);
    return true;
}

static void on_head(void *user, const net_reply *r, const char *name, const char *value)
{
    post *p = user;
    if (strcmp(name, "mcp-session-id") == 0 && r->status / 100 == 2 && p->begins && *value) {
        free(p->session);
        p->session = q_strdup(value);
    } else if (strcmp(name, "www-authenticate") == 0) {      /* one line a scheme: ours need not be the first */
        char *before = p->challenge;
        p->challenge = before ? q_printf("%s, %s", before, value) : q_strdup(value);
        free(before);
    }
}

/* ---- the thread of a request ---- */
static void fail(post *p, int rc, int status, const char *why)
{
    pthread_mutex_lock(&p->h->mu);
    if (p->c)
        line_fail(p->h->w.line, p->c, rc, (line_http){ status, p->challenge, p->reply.near }, why);
    pthread_mutex_unlock(&p->h->mu);
}

static int run(post *p, bool get, char *err)
{
    net_request q = { .method = get ? "GET" : NULL, .url = p->h->w.section->url, .header = (const char *const *)p->header.v, .n_header = p->header.n, .key = p->key, .ca_file = p->h->w.section->ca,
                      .body = get ? NULL : p->text, .n_body = p->n, .data = on_data, .head = on_head, .user = p,
                      .limit = { .stall_s = p->waited || p->listens ? QUIET_S : NOTICE_S, .body = UINT64_MAX / 2 } };
    q_buf_clear(&p->body);
    bool after = get && p->events.id.len && !memchr(p->events.id.p, '\r', p->events.id.len);
    if (after) {
        words_add(&p->header, q_printf("Last-Event-ID: %.*s", (int)p->events.id.len, p->events.id.p));
        q.header = (const char *const *)p->header.v;
        q.n_header = p->header.n;
    }
    int rc = net_run(p->net, &q, &p->reply, err);
    if (after)
        free(p->header.v[--p->header.n]);
    q_buf_clear(&p->events.line);
    q_buf_clear(&p->events.data);
    q_buf_clear(&p->events.type);
    p->events.any = p->events.cr = false;
    return rc;
}

static bool closing(const post *p)
{
    pthread_mutex_lock(&p->h->mu);
    bool yes = p->h->closing;
    pthread_mutex_unlock(&p->h->mu);
    return yes;
}

/* Its stream broke off before the answer: asked for again, where the server counts its events. */
static int resume(post *p, int rc, char *err)
{
    for (int i = 0; i < AGAIN && p->old && !*p->err && is_stream(&p->reply) && p->events.id.len && !answered(p) && !closing(p); i++) {
        int wait = p->events.retry ? p->events.retry : WAIT_MS;
        if ((rc = net_wait(p->net, wait < WAIT_MAX ? wait : WAIT_MAX, err)) == Q_OK)
            rc = run(p, true, err);
        if (rc == Q_CANCEL)
            break;
    }
    return rc;
}

static void conclude(post *p, int rc, char *err)
{
    const char *name = p->h->w.section->name;
    const net_reply *r = &p->reply;
    if (*p->err)
        fail(p, Q_RANGE, 0, p->err);
    else if (rc < 0)
        fail(p, Q_IO, 0, err);
    else if (r->status == 401 && p->with_session && !p->challenge) {        /* of a session that is gone, as the Rust SDK says it; a key that is wrong is refused once more without it */
        q_fail(err, Q_ERR, _("%s does not let you in (%d): check its key"), name, r->status);
        fail(p, Q_ERR, 404, err);
    } else if (r->status == 401 || r->status == 403) {
        q_fail(err, Q_ERR, _("%s does not let you in (%d): check its key"), name, r->status);
        fail(p, Q_ERR, r->status, err);
    } else if (is_stream(r)) {
        q_fail(err, Q_IO, _("%s closed its stream before it answered: ask again"), name);
        fail(p, Q_IO, 0, err);
    } else {
        msg m;
        const char *why;
        bool is = p->body.len && msg_read(p->body.p, p->body.len, &m, &why);
        /* of a session that it does not know any more; many a server says 400 of one where 404 were right, in answer to nothing */
        bool gone = p->with_session && (r->status == 404 || (r->status == 400 && (!is || (m.kind == MSG_REFUSAL && m.id < 0))));
        char said[200] = "";
        if (is && gone && m.kind == MSG_REFUSAL)
            line_plain(said, sizeof said, msg_text(m.body, "message"));
        if (is)
            msg_free(&m);
        if (!gone && (is || (r->status / 100 == 2 && p->body.len)))
            deliver(p, p->body.p, p->body.len);
        if (*said)
            q_fail(err, Q_ERR, _("%s refuses: %s (%d)"), name, said, r->status);
        else if (r->status / 100 == 2)
            q_fail(err, Q_FORMAT, _("%s sent something else than an answer: is the url that of its MCP endpoint?"), name);
        else
            q_fail(err, Q_ERR, _("%s answers with the status %d: is the url that of its MCP endpoint?"), name, r->status);
        fail(p, r->status / 100 == 2 ? Q_FORMAT : Q_ERR, gone ? 404 : r->status, err);       /* where it was answered by now, nothing */
    }
}

/* What the server says by itself, for as long as it says something. */
static void listening(post *p)
{
    char err[Q_ERRLEN];
    int wait = WAIT_MS, empty = 0;
    for (bool get = !p->text; empty < AGAIN && !closing(p); empty++) {
        uint64_t before = p->reply.body;
        int rc = run(p, get, err);
        if (!get || *p->err || rc == Q_CANCEL || (p->reply.status && !is_stream(&p->reply)))
            break;
        if (p->reply.body > before)
            empty = 0, wait = WAIT_MS;
        if (p->events.retry)
            wait = p->events.retry;
        if (net_wait(p->net, wait < WAIT_MAX ? wait : WAIT_MAX, err) < 0)
            break;
        wait *= 2;
    }
    if (p->text && !closing(p))
        line_unheard(p->h->w.line, !is_stream(&p->reply));
}

static void *life(void *user)
{
    post *p = user;
    char err[Q_ERRLEN] = "";
    if (p->listens)
        listening(p);
    else {
        int rc = run(p, false, err);
        if (!answered(p))
            rc = resume(p, rc, err);
        if (!answered(p))
            conclude(p, rc, err);
    }
    pthread_mutex_lock(&p->h->mu);
    p->done = true;
    pthread_mutex_unlock(&p->h->mu);
    return NULL;
}

/* ---- requests and their threads ---- */
static void post_free(post *p)
{
    for (int i = 0; i < p->header.n; i++)
        explicit_bzero(p->header.v[i], strlen(p->header.v[i]));
    words_wipe(&p->header);
    if (p->key)
        explicit_bzero(p->key, strlen(p->key));
    free(p->key);
    free(p->session);
    free(p->text);
    free(p->challenge);
    net_events_free(&p->events);
    q_buf_free(&p->body);
    free(p);
}

/* Those that are done, or all of them, or that one. */
static void reap(https *h, bool all, const post *one)
{
    pthread_mutex_lock(&h->mu);
    int linger = 0;
    for (post *p = h->posts; p; p = p->next)
        linger += !p->done && p->waited && !p->c;
    for (post *p = h->posts; p; p = p->next)
        if (all || (linger > LINGER && !p->done && p->waited && !p->c))
            net_cancel(p->net, true);
    for (post **at = &h->posts, *p; (p = *at);) {
        if (!all && p != one && (!p->done || p->first)) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        one = p == one ? NULL : one;
        pthread_mutex_unlock(&h->mu);
        pthread_join(p->thread, NULL);
        net_cancel(p->net, false);
        pthread_mutex_lock(&h->mu);
        if (h->n_idle < IDLE)
            h->idle[h->n_idle++] = p->net;
        else
            net_free(p->net);
        post_free(p);
        at = &h->posts;
    }
    pthread_mutex_unlock(&h->mu);
}

static void name_header(words *w, const char *name, const char *value)
{
    q_buf b = { 0 };
    q_buf_printf(&b, "%s: ", name);
    headers_value(&b, value);
    words_add(w, q_buf_take(&b));
}

/* The headers of one; under mu. */
static void head(https *h, post *p, const letter *l, bool get)
{
    const char *version = l->version ? l->version : h->version;
    words_add(&p->header, q_strdup(get ? "Accept: text/event-stream" : "Accept: application/json, text/event-stream"));
    p->begins = strcmp(l->method, "initialize") == 0;
    if (*version && !p->begins)
        words_add(&p->header, q_printf("MCP-Protocol-Version: %s", version));
    p->old = !l->version;
    p->with_session = p->old && h->session && !p->begins;
    if (p->with_session)
        words_add(&p->header, q_printf("Mcp-Session-Id: %s", h->session));
    if (!p->old)
        name_header(&p->header, "Mcp-Method", l->method);
    if (!p->old && l->name)
        name_header(&p->header, "Mcp-Name", l->name);
    for (int i = 0; !p->old && l->header && i < l->header->n; i++)
        words_add(&p->header, q_strdup(l->header->v[i]));
    if (h->token) {
        free(p->key);
        p->key = q_strdup(h->token);
    }
}

static bool sent(https *h, const char *text, size_t n, const letter *l, call *c, bool listens, post **out, char *err)
{
    post *p = q_alloc(sizeof *p);
    sigset_t all, before;
    *p = (post){ .h = h, .c = c, .waited = c != NULL, .listens = listens, .text = text ? q_strndup(text, n) : NULL, .n = n, .events = { .max = MCP_MESSAGE_MAX } };
    if (section_headers(h->w.section, &p->header, &p->key, err) < 0) {
        post_free(p);
        return false;
    }
    pthread_mutex_lock(&h->mu);
    bool ok = !h->closing;
    if (ok) {
        p->first = out && !c;
        head(h, p, l, !text);
        p->net = h->n_idle ? h->idle[--h->n_idle] : net_new();
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        ok = pthread_create(&p->thread, NULL, life, p) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (ok) {
            p->next = h->posts;
            h->posts = p;
        } else
            net_free(p->net);
    }
    pthread_mutex_unlock(&h->mu);
    if (out)
        *out = ok ? p : NULL;
    if (!ok) {
        post_free(p);
        q_fail(err, Q_CANCEL, _("%s was ended"), h->w.section->name);
    }
    return ok;
}

/* ---- the wire ---- */
static int http_send(wire *w, const letter *l, call *c, char *err)
{
    https *h = (https *)w;
    post *p;
    reap(h, false, NULL);
    bool first = !c && strcmp(l->method, "notifications/initialized") == 0;
    if (!sent(h, l->text, l->n, l, c, false, first ? &p : NULL, err))
        return Q_IO;
    if (first)
        reap(h, false, p);               /* what follows must not overtake it */
    return Q_OK;
}

static void http_drop(wire *w, call *c)
{
    https *h = (https *)w;
    pthread_mutex_lock(&h->mu);
    for (post *p = h->posts; p; p = p->next)
        if (p->c == c) {
            p->c = NULL;
            pthread_mutex_lock(&w->line->mu);
            bool still = !c->answered && !p->done;
            pthread_mutex_unlock(&w->line->mu);
            if (still)
                net_cancel(p->net, true);
        }
    pthread_mutex_unlock(&h->mu);
}

static void http_agreed(wire *w, const char *version, bool modern)
{
    https *h = (https *)w;
    pthread_mutex_lock(&h->mu);
    snprintf(h->version, sizeof h->version, "%s", version);
    if (modern) {
        free(h->session);
        h->session = NULL;
    }
    pthread_mutex_unlock(&h->mu);
}

static void forget(char **secret)
{
    if (*secret)
        explicit_bzero(*secret, strlen(*secret));
    free(*secret);
    *secret = NULL;
}

static void http_token(wire *w, char *token)
{
    https *h = (https *)w;
    pthread_mutex_lock(&h->mu);
    forget(&h->token);
    h->token = token;
    pthread_mutex_unlock(&h->mu);
}

static void http_listen(wire *w, const letter *l)
{
    char err[Q_ERRLEN];
    letter none = { .method = "" };
    l = l ? l : &none;
    sent((https *)w, l->text, l->n, l, NULL, true, NULL, err);
}

/* The session is given back, where there is one: the server's own memory of us. */
static void give_back(https *h)
{
    char err[Q_ERRLEN];
    post p = { .h = h };
    if (!h->session || section_headers(h->w.section, &p.header, &p.key, err) < 0)
        return;
    head(h, &p, &(letter){ .method = "" }, false);
    net *n = net_new();
    net_reply r;
    net_run(n, &(net_request){ .method = "DELETE", .url = h->w.section->url, .header = (const char *const *)p.header.v, .n_header = p.header.n, .key = p.key, .ca_file = h->w.section->ca,
                               .limit = { .connect_s = 2, .stall_s = 2, .body = 1 << 20 } }, &r, err);
    net_free(n);
    words_wipe(&p.header);
    forget(&p.key);
}

static void http_close(wire *w)
{
    https *h = (https *)w;
    pthread_mutex_lock(&h->mu);
    h->closing = true;
    pthread_mutex_unlock(&h->mu);
    reap(h, true, NULL);
    give_back(h);
    for (int i = 0; i < h->n_idle; i++)
        net_free(h->idle[i]);
    free(h->session);
    forget(&h->token);
    pthread_mutex_destroy(&h->mu);
    free(h);
}

int http_open(line *l, const section *s, wire **out, char *err)
{
    static const wire_kind kind = { .send = http_send, .drop = http_drop, .close = http_close, .agreed = http_agreed, .token = http_token, .listen = http_listen };
    (void)err;
    https *h = q_alloc(sizeof *h);
    h->w = (wire){ &kind, l, s };
    pthread_mutex_init(&h->mu, NULL);
    *out = &h->w;
    return Q_OK;
}
