/* serve/serve: connections, and which request goes where. Owns the daemon of libmicrohttpd, the lanes of threads and what they share. */
#include "serve/serve.h"
#include "serve/house.h"
#include "serve/listen.h"
#include "serve/work.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum where { AT_ONCE, ASKS, TEXTS, EMBEDS };
static const struct path { const char *method, *path; void (*work)(exchange *); enum where lane; } table[] = {
    /* in the order of work_path */
    { "POST", "/v1/chat/completions", work_chat, ASKS }, { "POST", "/v1/completions", work_text, ASKS }, { "POST", "/v1/embeddings", work_embed, EMBEDS },
    { "POST", "/tokenize", work_tokenize, TEXTS }, { "POST", "/detokenize", work_detokenize, TEXTS }, { "GET", "/v1/models", work_models, AT_ONCE },
    { "GET", "/health", work_health, AT_ONCE }, { "GET", "/metrics", work_metrics, AT_ONCE },
    { "GET", "/v1/models/", work_model, AT_ONCE }, { "GET", "/tokenizer_info", work_tokenizer, AT_ONCE } };
enum { N_PATH = sizeof table / sizeof *table, OTHER = N_PATH };

/* A connection, for who looks after those that say nothing. */
typedef struct line { struct line *next, **at; int fd; int64_t since; bool reads; } line;

typedef struct request {                 /* one's own part of an exchange; the network's thread and, once it works, the worker */
    exchange *x;
    struct serve *s;
    int path;                            /* of table; OTHER */
    char method[12];
    fault fault;
    int64_t since;
    bool given;                          /* to a worker, or answered */
} request;

struct serve {
    serve_opts o;
    mhd lib;
    struct MHD_Daemon *daemon;
    listening at;
    house house;
    char *key;
    atomic_bool drains, cut;
    pthread_mutex_t mu;                  /* of what follows */
    pthread_cond_t over;
    int live;                            /* requests that are not over on their connections */
    line *lines;
    pthread_mutex_t saying;              /* events, one at a time */
};

/* ---- what is over ---- */
static void count(request *r)
{
    serve *s = r->s;
    exchange *x = r->x;
    double seconds = (double)(q_now_ns() - r->since) / 1e9;
    numbers_count(&s->house.numbers, r->path, x, seconds);
    if (!s->o.said)
        return;
    pthread_mutex_lock(&x->mu);
    bool gone = x->gone;
    pthread_mutex_unlock(&x->mu);
    const serve_event e = { r->method, r->path < N_PATH ? table[r->path].path : "", x->status, x->prompt_tokens, x->cached_tokens, x->tokens, seconds,
                            gone || (x->stream && atomic_load(&s->cut)) };
    pthread_mutex_lock(&s->saying);
    s->o.said(s->o.user, &e);
    pthread_mutex_unlock(&s->saying);
}

/* ---- may it be asked? ---- */
static const char *header(const request *r, const char *name) { return r->s->lib.lookup_connection_value(r->x->conn, MHD_HEADER_KIND, name); }

static bool is_json(const char *type)
{
    static const char json[] = "application/json";
    return type && strncasecmp(type, json, sizeof json - 1) == 0 && (!type[sizeof json - 1] || strchr("; \t", type[sizeof json - 1]));
}

/* A page of the web may send what it likes from a browser on this machine: not to us. */
static int check_origin(request *r)
{
    const char *host = header(r, "Host"), *origin = header(r, "Origin");
    if (r->s->at.own && !r->s->o.unix_path && !listen_host(host))
        return fault_set(&r->fault, 403, NULL, "%s", _("this server answers to the names of its own machine alone: ask it as localhost or 127.0.0.1"));
    if (origin && (!host || strncmp(origin, "http://", 7) != 0 || strcasecmp(origin + 7, host) != 0))
        return fault_set(&r->fault, 403, NULL, "%s", _("pages of other places on the web may not ask here"));
    return Q_OK;
}

static int check_key(request *r)
{
    const char *said = header(r, "Authorization");
    if (!r->s->key || (r->path < N_PATH && table[r->path].work == work_health))
        return Q_OK;
    if (said && strncasecmp(said, "Bearer ", 7) == 0 && listen_same(said + 7, r->s->key))
        return Q_OK;
    r->fault.code = "invalid_api_key";
    return fault_set(&r->fault, 401, NULL, "%s", said ? _("the key is not the one of this server: send the one of its --key-file")
                                                      : _("this server wants a key: send it as \"Authorization: Bearer KEY\""));
}

static bool is_path(const struct path *p, const char *url)
{
    return strcmp(p->path, url) == 0 || (p->work == work_model && strncmp(url, p->path, strlen(p->path)) == 0);
}

static void find_path(request *r, const char *url)
{
    r->path = OTHER;
    for (int i = 0; i < N_PATH; i++)
        if (is_path(&table[i], url) && strcmp(table[i].method, r->method) == 0)
            r->path = i;
}

static int check_path(request *r, const char *url)
{
    for (int i = 0; i < N_PATH && r->path == OTHER; i++)
        if (is_path(&table[i], url))
            return fault_set(&r->fault, 405, NULL, _("%s is asked with %s"), table[i].path, table[i].method);
    if (r->path == OTHER)
        return fault_set(&r->fault, 404, NULL, "%s", _("there is no such path here: /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/models, /tokenize, /detokenize, /health and /metrics are"));
    return table[r->path].work == work_model ? house_model(&r->s->house, url + strlen(table[r->path].path), &r->fault) : Q_OK;
}

static int check_body(request *r)
{
    const char *length = header(r, "Content-Length");
    if (r->path >= N_PATH || strcmp(table[r->path].method, "POST") != 0)
        return Q_OK;
    if (!is_json(header(r, "Content-Type")))
        return fault_set(&r->fault, 415, NULL, "%s", _("the body must be JSON, and say so: \"Content-Type: application/json\""));
    if (length && strtoull(length, NULL, 10) > r->s->o.limit.body)
        return fault_set(&r->fault, 413, NULL, _("the body may have %zu bytes at most"), r->s->o.limit.body);
    return Q_OK;
}

/* Everything that can be said before its body is there. */
static void check(request *r, const char *url)
{
    find_path(r, url);
    if (atomic_load(&r->s->drains))
        fault_set(&r->fault, 503, NULL, "%s", _("the server is stopping: ask again later"));
    else if (check_origin(r) == Q_OK && check_key(r) == Q_OK && check_path(r, url) == Q_OK)
        check_body(r);
}

/* ---- from the network ---- */
static line *line_of(const serve *s, struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *i = s->lib.get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return i ? i->socket_context : NULL;
}

static void reading(serve *s, struct MHD_Connection *c, bool reads)
{
    line *l = line_of(s, c);
    pthread_mutex_lock(&s->mu);
    if (l) {
        l->reads = reads;
        l->since = q_now_ns();
    }
    pthread_mutex_unlock(&s->mu);
}

static request *begin(serve *s, struct MHD_Connection *c, const char *url, const char *method)
{
    request *r = q_alloc(sizeof *r);
    *r = (request){ .x = exchange_new(&s->lib, c, &s->house, &s->cut, s->o.limit.behind), .s = s, .since = q_now_ns() };
    snprintf(r->method, sizeof r->method, "%s", method);
    pthread_mutex_lock(&s->mu);
    s->live++;
    pthread_mutex_unlock(&s->mu);
    reading(s, c, true);                 /* a body's time begins */
    check(r, url);
    return r;
}

static void take_body(request *r, const char *p, size_t n)
{
    q_buf *b = &r->x->body;
    if (!r->fault.status && b->len + n > r->s->o.limit.body)
        fault_set(&r->fault, 413, NULL, _("the body may have %zu bytes at most"), r->s->o.limit.body);
    if (!r->fault.status)
        q_buf_add(b, p, n);
}

/* A worker's: it owns one share of the exchange, and the request. */
static void work(void *job)
{
    request *r = job;
    table[r->path].work(r->x);
    count(r);
    exchange_drop(r->x);
    free(r);
}

static lane *lane_of(serve *s, enum where w) { return w == ASKS ? &s->house.asks : w == TEXTS ? &s->house.texts : &s->house.embeds; }

/* The request is whole: a copy of what is ours goes with it, for the connection may be over first. True: the answer comes later, and
 * the connection is set aside until then. */
static bool give(request *r)
{
    serve *s = r->s;
    enum where w = r->path < N_PATH ? table[r->path].lane : AT_ONCE;
    reading(s, r->x->conn, false);
    r->given = true;
    if (!r->fault.status && w == AT_ONCE)
        table[r->path].work(r->x);
    else if (!r->fault.status) {
        request *job = q_alloc(sizeof *job);
        *job = *r;
        exchange_share(r->x);
        exchange_aside(r->x);
        if (lane_put(lane_of(s, w), work, job))
            return true;
        free(job);
        exchange_drop(r->x);
        fault_set(&r->fault, 503, NULL, "%s", _("too many requests wait already: ask again in a second"));
    }
    if (r->fault.status)
        exchange_refuse(r->x, &r->fault);
    count(r);
    return false;
}

static enum MHD_Result handle(void *user, struct MHD_Connection *c, const char *url, const char *method, const char *version, const char *data, size_t *n, void **state)
{
    serve *s = user;
    request *r = *state;
    (void)version;
    if (!r) {
        *state = r = begin(s, c, url, method);
        bool waits = header(r, "Expect") || r->fault.status == 413;      /* nobody wants to read what is refused */
        if (!r->fault.status || !waits)
            return MHD_YES;
        give(r);
        return exchange_reply(r->x, true) ? MHD_YES : MHD_NO;
    }
    if (*n > 0) {
        take_body(r, data, *n);
        *n = 0;
        return MHD_YES;
    }
    if (!r->given && give(r))
        return MHD_YES;
    pthread_mutex_lock(&r->x->mu);
    bool there = r->x->status != 0;
    pthread_mutex_unlock(&r->x->mu);
    if (!there)
        return MHD_YES;
    return exchange_reply(r->x, atomic_load(&s->drains)) ? MHD_YES : MHD_NO;
}

static void completed(void *user, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode how)
{
    serve *s = user;
    request *r = *state;
    (void)how;
    if (!r)
        return;
    reading(s, c, true);                 /* for the next one */
    exchange_over(r->x);
    free(r);
    *state = NULL;
    pthread_mutex_lock(&s->mu);
    s->live--;
    pthread_cond_broadcast(&s->over);
    pthread_mutex_unlock(&s->mu);
}

static void connected(void *user, struct MHD_Connection *c, void **context, enum MHD_ConnectionNotificationCode how)
{
    serve *s = user;
    line *l = *context;
    pthread_mutex_lock(&s->mu);
    if (how == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *i = s->lib.get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
        *context = l = q_alloc(sizeof *l);
        *l = (line){ s->lines, &s->lines, i ? i->connect_fd : -1, q_now_ns(), true };
        if (l->next)
            l->next->at = &l->next;
        s->lines = l;
    } else if (l) {
        *l->at = l->next;
        if (l->next)
            l->next->at = l->at;
        free(l);
        *context = NULL;
    }
    pthread_mutex_unlock(&s->mu);
}

/* ---- opening and closing ---- */
static void defaults(serve *s, const serve_opts *o)
{
    serve_limits *l = &s->o.limit;
    s->o = *o;
    l->body = l->body ? l->body : (size_t)8 << 20;
    l->connections = l->connections ? l->connections : 256;
    l->queue = l->queue ? l->queue : 64;
    l->arrive_s = l->arrive_s ? l->arrive_s : 30;
    l->stall_s = l->stall_s ? l->stall_s : 30;
    l->behind = l->behind ? l->behind : (size_t)4 << 20;
    l->answer = l->answer ? l->answer : (size_t)64 << 20;
    s->o.streams = o->streams > 0 ? o->streams : 1;
}

static void spell_bos(house *h)
{
    char err[Q_ERRLEN];
    int32_t *id = NULL;
    const prov_request empty = { .raw = "" };
    int n = prov_ids(h->p, &empty, &id, err);
    for (int i = 0; i < n; i++)
        prov_spell(h->p, id[i], &h->bos);
    free(id);
}

static void furnish(serve *s)
{
    house *h = &s->house;
    const prov_info *i = prov_about(s->o.p);
    const char *base = i->path ? strrchr(i->path, '/') : NULL;
    h->p = s->o.p;
    h->name = i->name && *i->name ? i->name : base ? base + 1 : "model";
    h->base = prov_present(s->o.p);
    h->context = prov_context(s->o.p).size;
    h->since = q_wall_ms() / 1000;
    h->answer = s->o.limit.answer;
    h->embedder = s->o.embedder;
    spell_bos(h);
    pthread_mutex_init(&h->turn, NULL);
    pthread_mutex_init(&h->numbers.mu, NULL);
    pthread_mutex_init(&s->mu, NULL);
    pthread_mutex_init(&s->saying, NULL);
    pthread_cond_init(&s->over, NULL);
    s->key = s->o.key ? q_strdup(s->o.key) : NULL;
    s->house.keyed = s->key != NULL;
}

static int open_daemon(serve *s, char *err)
{
    enum { HEAD = 64 << 10 };
    const serve_limits *l = &s->o.limit;
    s->daemon = s->lib.start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC, 0, NULL, NULL, handle, s,
                                    MHD_OPTION_LISTEN_SOCKET, s->at.fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)l->connections,
                                    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)l->stall_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD,
                                    MHD_OPTION_NOTIFY_COMPLETED, completed, s, MHD_OPTION_NOTIFY_CONNECTION, connected, s, MHD_OPTION_END);
    return s->daemon ? Q_OK : q_fail(err, Q_ERR, _("the server does not start: are there too many open files?"));
}

int serve_start(const serve_opts *o, serve **out, char *err)
{
    serve *s = q_alloc(sizeof *s);
    *out = NULL;
    defaults(s, o);
    s->at.fd = -1;
    int rc = mhd_open(&s->lib, err);
    if (rc == Q_OK)
        rc = o->unix_path ? listen_unix(o->unix_path, &s->at, err) : listen_tcp(o->listen ? o->listen : "127.0.0.1:8080", &s->at, err);
    if (rc == Q_OK && !s->at.own && !o->key)
        rc = q_fail(err, Q_RANGE, _("%s can be reached from other machines: give --key-file FILE with a key that is asked of them, or listen on 127.0.0.1"), o->listen);
    if (rc < 0) {
        listen_end(&s->at);
        free(s);
        return rc;
    }
    furnish(s);
    bool works = lane_start(&s->house.asks, s->o.streams, s->o.limit.queue) > 0;
    works &= lane_start(&s->house.texts, 1, s->o.limit.queue) > 0;
    works &= lane_start(&s->house.embeds, 1, s->o.limit.queue) > 0;
    rc = works ? open_daemon(s, err) : q_fail(err, Q_ERR, _("the server does not start: the system gives it no threads"));
    if (rc < 0) {
        serve_stop(s);
        return rc;
    }
    *out = s;
    return Q_OK;
}

const char *serve_address(const serve *s) { return s->at.address; }

void serve_tick(serve *s)
{
    int64_t limit = (int64_t)s->o.limit.arrive_s * 1000000000, now = q_now_ns();
    pthread_mutex_lock(&s->mu);
    for (line *l = s->lines; l; l = l->next)
        if (l->reads && now - l->since > limit)
            shutdown(l->fd, SHUT_RDWR);  /* open until connected() is told: that takes mu */
    pthread_mutex_unlock(&s->mu);
}

void serve_drain(serve *s)
{
    if (atomic_exchange(&s->drains, true))
        return;
    s->lib.quiesce_daemon(s->daemon);
    listen_leave(&s->at);
    shutdown(s->at.fd, SHUT_RDWR);       /* closed behind the daemon: its thread may just be putting it back among what it waits for */
    for (int fd; (fd = accept(s->at.fd, NULL, NULL)) >= 0;)
        close(fd);                       /* who knocked and was not let in hears of it now */
}

int serve_busy(serve *s)
{
    pthread_mutex_lock(&s->mu);
    int n = s->live;
    pthread_mutex_unlock(&s->mu);
    return n;
}

void serve_cut(serve *s)
{
    atomic_store(&s->cut, true);
    prov_cancel(s->o.p, true);
}

/* What is answered may still be on its way: two seconds for that. */
static void see_out(serve *s)
{
    struct timespec until;
    int late = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 2;
    pthread_mutex_lock(&s->mu);
    while (s->live > 0 && late == 0)
        late = pthread_cond_timedwait(&s->over, &s->mu, &until);
    pthread_mutex_unlock(&s->mu);
}

void serve_stop(serve *s)
{
    if (!s)
        return;
    if (s->daemon) {
        serve_drain(s);
        serve_cut(s);
    }
    lane_end(&s->house.asks);
    lane_end(&s->house.texts);
    lane_end(&s->house.embeds);
    if (s->daemon) {
        see_out(s);
        s->lib.stop_daemon(s->daemon);
        prov_cancel(s->o.p, false);
    }
    lane_free(&s->house.asks);           /* requests came to them for as long as the daemon ran */
    lane_free(&s->house.texts);
    lane_free(&s->house.embeds);
    listen_end(&s->at);
    prov_config_free(s->house.base);
    q_buf_free(&s->house.bos);
    prov_embedder_close(s->house.vectors);
    pthread_mutex_destroy(&s->house.turn);
    pthread_mutex_destroy(&s->house.numbers.mu);
    pthread_mutex_destroy(&s->mu);
    pthread_mutex_destroy(&s->saying);
    pthread_cond_destroy(&s->over);
    if (s->key)
        explicit_bzero(s->key, strlen(s->key));
    free(s->key);
    free(s);
}
