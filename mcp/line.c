/* mcp/line: see line.h. Any thread; the lock is held for as long as it takes to move something. */
#include "mcp/line.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void line_init(line *l, const char *name)
{
    pthread_condattr_t a;
    *l = (line){ .name = name, .listening = -1 };
    pthread_mutex_init(&l->mu, NULL);
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(&l->news, &a);
    pthread_condattr_destroy(&a);
}

void line_free(line *l)
{
    pthread_cond_destroy(&l->news);
    pthread_mutex_destroy(&l->mu);
}

bool line_reset(line *l)
{
    pthread_mutex_lock(&l->mu);
    bool begins = !l->ends;
    l->broken = !begins;
    l->modern = l->deaf = false;
    l->listening = -1;
    l->useless = 0;
    l->since = q_now_ns();
    l->stale = 0;
    pthread_mutex_unlock(&l->mu);
    return begins;
}

void line_plain(char *out, size_t size, const char *text)
{
    size_t n = strlen(text), at = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        char c[4];
        i += (size_t)q_utf8_next(text + i, n - i, &cp);
        int w = q_utf8_put(c, cp < ' ' || (cp >= 127 && cp < 160) || cp == 0x2028 || cp == 0x2029 ? ' ' : cp);
        if (at + (size_t)w + 1 > size)
            break;
        memcpy(out + at, c, (size_t)w);
        at += (size_t)w;
    }
    out[at] = 0;
}

/* ---- who waits ---- */
enum { GONE = sizeof ((line *)0)->gone / sizeof *((line *)0)->gone };

void line_enter(line *l, call *c)
{
    pthread_mutex_lock(&l->mu);
    c->id = ++l->last_id;
    c->answer = (msg){ .id = -1 };
    c->heard = q_now_ns();
    call **at = &l->calls;
    while (*at)
        at = &(*at)->next;
    c->next = NULL;
    *at = c;
    pthread_mutex_unlock(&l->mu);
}

void line_leave(line *l, call *c)
{
    pthread_mutex_lock(&l->mu);
    for (call **at = &l->calls; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            if (!c->answered)
                l->gone[l->n_gone++ % GONE] = c->id;
            break;
        }
    pthread_mutex_unlock(&l->mu);
    for (wish *w = c->wishes, *next; w; w = next) {
        next = w->next;
        msg_free(&w->m);
        free(w);
    }
    free(c->text);
    free(c->challenge);
    c->wishes = NULL;
    c->text = c->challenge = NULL;
}

bool line_news(const call *c) { return c->answered || c->failed || c->wishes || c->progressed; }

void line_wait(line *l, int ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&l->news, &l->mu, &t);
}

/* Under mu. */
static void breaks(line *l, int rc, const char *why)
{
    if (!l->broken) {
        l->broken = true;
        l->rc = rc;
        q_fail(l->why, rc, "%s", why);
    }
    pthread_cond_broadcast(&l->news);
}

void line_break(line *l, int rc, const char *why)
{
    pthread_mutex_lock(&l->mu);
    breaks(l, rc, why);
    pthread_mutex_unlock(&l->mu);
}

void line_end(line *l, const char *why)
{
    pthread_mutex_lock(&l->mu);
    l->ends = true;
    breaks(l, Q_CANCEL, why);
    pthread_mutex_unlock(&l->mu);
}

void line_fail(line *l, call *c, int rc, line_http how, const char *why)
{
    pthread_mutex_lock(&l->mu);
    if (!c->answered && !c->failed) {
        c->failed = true;
        c->rc = rc;
        c->status = how.status;
        c->challenge = how.challenge ? q_strdup(how.challenge) : NULL;
        c->near = how.near;
        q_fail(c->err, rc, "%s", why);
    }
    pthread_cond_broadcast(&l->news);
    pthread_mutex_unlock(&l->mu);
}

/* ---- what is said back ---- */
static void reply(q_buf *out, const cJSON *their_id)
{
    char *id = their_id ? cJSON_PrintUnformatted(their_id) : NULL;
    q_buf_printf(out, "{\"jsonrpc\":\"2.0\",\"id\":%s,", id ? id : "null");
    cJSON_free(id);
}

void line_answer(q_buf *out, const cJSON *their_id, const char *result)
{
    reply(out, their_id);
    q_buf_printf(out, "\"result\":%s}", result);
}

void line_refuse(q_buf *out, const cJSON *their_id, int code, const char *message)
{
    reply(out, their_id);
    q_buf_printf(out, "\"error\":{\"code\":%d,\"message\":", code);
    msg_quote(out, message);
    q_buf_puts(out, "}}");
}

/* ---- what comes; under mu ---- */
static void fault(line *l, const char *why)
{
    l->faults++;
    if (!*l->fault)
        q_fail(l->fault, Q_FORMAT, _("%s sent a message that is none: %s. It was left out"), l->name, why);
}

/* Another one that answers nothing: false: too many. */
static bool bear(line *l)
{
    int64_t now = q_now_ns();
    l->useless -= (double)(now - l->since) / 1e9 * 100;
    l->since = now;
    if (l->useless < 0)
        l->useless = 0;
    return ++l->useless <= MCP_FLOOD;
}

static void unheard(line *l, bool for_good)
{
    l->listening = -1;
    l->deaf = for_good;
    l->stale |= for_good ? 0 : (1u << MCP_KINDS) - 1;
}

void line_unheard(line *l, bool for_good)
{
    pthread_mutex_lock(&l->mu);
    unheard(l, for_good);
    pthread_mutex_unlock(&l->mu);
}

static call *by_id(const line *l, int64_t id)
{
    for (call *c = l->calls; c; c = c->next)
        if (c->id == id)
            return c;
    return NULL;
}

/* What answers one of our questions and is no answer ends that question: it is sent once. Under mu. */
static void spoilt(line *l, int64_t id, const call *stream, const char *why)
{
    call *c = id > 0 ? by_id(l, id) : NULL;
    if (!c || c->answered || c->failed || (stream && c != stream))
        return;
    c->failed = true;
    c->rc = q_fail(c->err, Q_FORMAT, _("%s sent an answer that is none (%s): the call was ended; look for a newer one of it, or tell who makes it"), l->name, why);
}

/* True: m was taken. stream: a refusal of nobody knows what is of the call whose stream brings it. */
static bool answer(line *l, msg *m, call *stream)
{
    call *c = m->id < 0 ? stream : by_id(l, m->id);
    if (m->id >= 0 && m->id == l->listening) {
        unheard(l, m->kind == MSG_REFUSAL);
        return false;
    }
    for (unsigned i = 0; i < GONE && !c && m->id > 0; i++)
        if (l->gone[i] == m->id)
            return false;
    if (!c || c->answered || c->failed || (stream && c != stream)) {
        fault(l, _("it answers nothing that was asked"));
        return false;
    }
    c->answer = *m;
    c->answered = true;
    return true;
}

static void progress(line *l, const msg *m)
{
    int64_t token = msg_own(cJSON_GetObjectItemCaseSensitive(m->body, "progressToken"));
    call *c = token > 0 ? by_id(l, token) : NULL;
    if (!c || c->answered)
        return;                          /* it may cross the end of its call */
    c->progressed = true;
    c->heard = q_now_ns();
    c->done = msg_number(m->body, "progress", 0);
    c->total = msg_number(m->body, "total", 0);
    free(c->text);
    const char *text = msg_text(m->body, "message");
    c->text = q_strndup(text, q_utf8_whole(text, strnlen(text, 4096)));
}

static void notice(line *l, const msg *m)
{
    static const struct { const char *method; unsigned stale; } row[] = {
        { "notifications/tools/list_changed", 1u << MCP_TOOLS }, { "notifications/prompts/list_changed", 1u << MCP_PROMPTS },
        { "notifications/resources/list_changed", 1u << MCP_RESOURCES | 1u << MCP_TEMPLATES } };
    if (strcmp(m->method, "notifications/progress") == 0 && m->body)
        progress(l, m);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (strcmp(m->method, row[i].method) == 0) {
            l->stale |= row[i].stale;
            l->changes++;
        }
}

/* True: m was taken. */
static bool request(line *l, msg *m, call *stream, q_buf *out)
{
    if (l->modern) {
        fault(l, _("a server of this revision asks nothing by itself"));
        return false;
    }
    if (strcmp(m->method, "ping") == 0)
        line_answer(out, m->their_id, "{}");
    else if (strcmp(m->method, "elicitation/create") != 0)
        line_refuse(out, m->their_id, -32601, strcmp(m->method, "sampling/createMessage") == 0 ? "this client lends its model to nobody" : "this client does not have that");
    else if (*msg_text(m->body, "mode") && strcmp(msg_text(m->body, "mode"), "form") != 0)
        line_refuse(out, m->their_id, -32602, "this client asks by form only");
    else {
        call *c = stream;
        for (call *x = l->calls; x && !c; x = x->next)
            c = x->elicits ? x : NULL;
        if (!c || c->answered || c->failed || c->n_wishes == WISHES_MAX)
            line_answer(out, m->their_id, "{\"action\":\"cancel\"}");
        else {
            wish *w = q_alloc(sizeof *w), **at = &c->wishes;
            while (*at)
                at = &(*at)->next;
            w->m = *m;
            *at = w;
            c->n_wishes++;
            return true;
        }
    }
    return false;
}

int line_take(line *l, const char *p, size_t n, call *stream, q_buf *out, char *err)
{
    const char *why = NULL;
    msg m;
    bool is = msg_read(p, n, &m, &why), taken = false;
    pthread_mutex_lock(&l->mu);
    if (!is) {
        fault(l, why);
        spoilt(l, m.id, stream, why);
    } else if (m.kind == MSG_NOTICE)
        notice(l, &m);
    else if (m.kind == MSG_REQUEST)
        taken = request(l, &m, stream, out);
    else
        taken = answer(l, &m, stream);
    bool borne = (taken && m.kind != MSG_REQUEST) || bear(l);
    pthread_cond_broadcast(&l->news);
    pthread_mutex_unlock(&l->mu);
    if (!taken)
        msg_free(&m);
    return borne ? Q_OK : q_fail(err, Q_RANGE, _("%s floods us with messages that answer nothing, and was ended: look into its log"), l->name);
}
