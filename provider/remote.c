/* provider/remote: a model on a server: opening it, asking it, and its answer as a source of tokens for provider/generate.c. Owns
 * the lines to the server and the running answer; the words on the line are remote_wire.c's. In turn, but cancel: any thread. */
#include "provider/remote.h"
#include "net/net.h"
#include "provider/generate.h"
#include "provider/remote_config.h"
#include "provider/remote_routes.h"
#include "provider/remote_share.h"
#include "provider/remote_wire.h"
#include "provider/server.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

enum { CONTEXT = 8192, TRIES = 4, WAIT_MOST = 60, ERROR_MOST = 65536, ANSWER_MOST = 8 << 20 /* bytes of an answer with its thoughts */, LINGER_MS = 300 };

/* A thought that comes in a field of its own is put between these, which no text holds (remote_wire.c). */
static const char OPEN[] = "\x02", CLOSE[] = "\x03";

typedef struct unit { int32_t id; double logprob; size_t at, n; bool named; } unit;      /* a token's text in `said` */

typedef struct running {                 /* the answer that comes */
    net_reply reply;
    net_events events;
    wire_reply wire;
    remote_share share;                  /* where all answers of a request come together */
    q_buf body, said;                    /* what is no stream of events; texts of the units */
    unit *unit; int n_unit, at, cap;
    const unit *now;
    const prov_hooks *hooks;
    prov_result *result;
    int answer, named;                   /* ids of tokens that are given out */
    size_t had;                          /* bytes of text and thoughts that came */
    bool fields, thinking, wrote, over, done;        /* thoughts have their field; are in one; the answer began; the line is done; the server said so */
    int rc; char why[Q_ERRLEN];          /* why it broke, told behind what came before */
} running;

/* Of a server, by asking it. thinks: see wire_ask; alone: it gives one answer to a request. */
struct learned { enum { COUNT_MAYBE, COUNT_YES, COUNT_NO } counts; const char *thinks; bool alone; };

typedef struct remote {
    prov base;
    prov_server server;
    remote_own own;
    char *model, *key, *path, *name;     /* path: "@NAME/MODEL"; name: the same, of a model that is a file its last part */
    net *line, *aside;                   /* for answers; for lists and counts */
    prov_config *c;
    enum wire_kind of;                   /* what it calls itself */
    bool plain;                          /* it refused what not every server knows */
    struct learned *learned;             /* owned */
    int used;                            /* tokens of the last prompt with its answer */
    atomic_bool cancelled;               /* what has come already is not handed out either */
    gen_source source;
    running r;
} remote;

static remote *of(prov *p) { return (remote *)p; }
static const remote *of_const(const prov *p) { return (const remote *)p; }

/* ================= the line ================= */
static char *where(const remote *m, const char *path) { return q_printf("%s%s", m->server.url, path); }

/* Beside /v1: llama-server's and vLLM's own. */
static char *beside(const remote *m, const char *path)
{
    size_t n = strlen(m->server.url);
    n -= n > 3 && strcmp(m->server.url + n - 3, "/v1") == 0 ? 3 : 0;
    return q_printf("%.*s%s", (int)n, m->server.url, path);
}

static net_request request(const remote *m, const char *url, const char *body)
{
    return (net_request){ .url = url, .key = m->key, .body = body, .n_body = body ? strlen(body) : 0, .unix_socket = m->server.socket,
                          .ca_file = m->server.ca, .limit = { .stall_s = m->server.stall } };
}

static bool keep(void *user, const net_reply *r, const char *p, size_t n)
{
    q_buf_add(user, p, n);
    return true;
}

/* A short question; out: the body. Q_OK whatever the status. url: taken. */
static int fetch(const remote *m, char *url, const char *body, net_reply *r, q_buf *out, char *err)
{
    net_request q = request(m, url, body);
    q.data = keep;
    q.user = out;
    q.limit.body = 16u << 20;
    q.limit.stall_s = m->server.stall && m->server.stall < 30 ? m->server.stall : 30;
    q_buf_clear(out);
    q_buf_puts(out, "");
    int rc = net_run(m->aside, &q, r, err);
    free(url);
    return rc;
}

/* ---- what a refusal means ---- */
static int refused(const remote *m, const net_reply *r, const q_buf *body, char *err)
{
    static const struct { int from, to; const char *words; } row[] = {
        { 401, 401, N_("%s does not take the key: check key_env or key_file of its section in config.ini") },
        { 403, 403, N_("%s does not let this key ask it: check key_env or key_file of its section in config.ini") },
        { 404, 404, N_("%s knows no such model or no such address: check model and url of its section in config.ini") },
        { 413, 413, N_("%s finds the question too long: shorten it, or /set context.length to less") },
        { 429, 429, N_("%s has too much to do or your allowance is used up: wait a little and ask again") },
        { 400, 499, N_("%s refuses the request: change what it names and ask again") },
        { 503, 504, N_("%s is overloaded or still starting: wait a little and ask again") },
        { 500, 599, N_("%s failed by itself: look into its log, then ask again") } };
    char *words = wire_words(body->p ? body->p : "", body->len);
    bool page = strstr(r->type, "html") != NULL;
    const char *say = page ? _("a web page answers in the place of %s: check url of its section in config.ini") : NULL;
    if (!say && strcasestr(words, "tool"))
        say = _("%s calls no tools as it is started: /set agent.tools off, or start it so (vLLM: --enable-auto-tool-choice and --tool-call-parser)");
    for (size_t i = 0; !say && i < sizeof row / sizeof *row; i++)
        if (r->status >= row[i].from && r->status <= row[i].to)
            say = _(row[i].words);
    q_buf b = { 0 };
    q_buf_printf(&b, say ? say : _("%s answers what no model answers: check url of its section in config.ini"), m->own.at);
    if (*words && !page)
        q_buf_printf(&b, " (%d: %s)", r->status, words);
    else
        q_buf_printf(&b, " (%d)", r->status);
    int rc = q_fail(err, r->status == 404 ? Q_NOTFOUND : Q_ERR, "%s", b.p);
    q_buf_free(&b);
    free(words);
    return rc;
}

/* ================= what comes ================= */
static int32_t id_of(const char *s, size_t n) { return (int32_t)(q_hash64(s, n, 7) & 0x3FFFFFFF); }

static void add_unit(remote *m, const char *s, size_t n, const wire_token *t)
{
    if (m->r.n_unit == m->r.cap) {
        m->r.cap = m->r.cap ? m->r.cap * 2 : 64;
        m->r.unit = q_realloc(m->r.unit, sizeof *m->r.unit * (size_t)m->r.cap);
    }
    wire_token none = { -1, (double)NAN, n };
    t = t ? t : &none;
    m->r.unit[m->r.n_unit++] = (unit){ t->id >= 0 ? t->id : id_of(s, n), t->logprob, m->r.said.len, n, t->id >= 0 };
    q_buf_add(&m->r.said, s, n);
}

/* Where the tokens of a chunk cut its text into whole characters they are told of one by one; else the first has all of it. */
static bool cuts(const wire_reply *w, const char *s, size_t n)
{
    size_t sum = 0;
    for (int i = 0; i < w->n_token; i++) {
        if (sum + w->token[i].n > n || q_utf8_whole(s + sum, w->token[i].n) != w->token[i].n)
            return false;
        sum += w->token[i].n;
    }
    return sum == n;
}

static void tokens(remote *m, const q_buf *text)
{
    wire_reply *w = &m->r.wire;
    const char *s = text->p ? text->p : "";
    bool one = w->n_token > 1 && cuts(w, s, text->len);
    size_t at = 0;
    if (!w->n_token)
        add_unit(m, s, text->len, NULL);
    for (int i = 0; i < w->n_token; i++) {
        size_t n = one ? w->token[i].n : i ? 0 : text->len;
        add_unit(m, s + at, n, &w->token[i]);
        at += n;
    }
    w->n_token = 0;
}

/* The mark before a token is part of its text. */
static void marked(remote *m, q_buf *text, const char *mark)
{
    q_buf b = { 0 };
    q_buf_puts(&b, mark);
    q_buf_add(&b, text->p, text->len);
    if (m->r.wire.n_token)
        m->r.wire.token[0].n += strlen(mark);
    tokens(m, &b);
    q_buf_free(&b);
    q_buf_clear(text);
}

/* A thought behind the beginning of the answer: its own piece, for no answer goes back. */
static void late(remote *m)
{
    q_buf *t = &m->r.wire.thought;
    prov_piece p = { .answer = m->r.answer, .number = m->r.result->tokens, .text = t->p, .n = t->len, .thinking = true, .token = -1, .logprob = (double)NAN };
    if (m->r.hooks->piece)
        m->r.hooks->piece(m->r.hooks->user, &p);
    q_buf_clear(t);
}

/* What is too long for an answer is cut, and the answer ends there with a sentence. */
static void bound(remote *m, q_buf *text)
{
    char words[32];
    size_t room = ANSWER_MOST - m->r.had;
    if (text->len > room) {
        text->len = q_utf8_whole(text->p, room);
        text->p[text->len] = 0;
        m->r.rc = q_fail(m->r.why, Q_RANGE, _("the answer of %s is longer than %s: it was cut there, and the line closed"), m->own.at, q_bytes_words(ANSWER_MOST, words));
    }
    m->r.had += text->len;
}

/* What came of a call since it was told last, as it is written. */
static void writing(remote *m)
{
    for (int i = 0; i < m->r.wire.n_call && m->r.hooks->piece; i++) {
        wire_call *c = &m->r.wire.call[i];
        if (c->arguments.len == c->told)
            continue;
        prov_piece p = { .answer = m->r.answer, .number = m->r.result->tokens, .text = c->arguments.p + c->told, .n = c->arguments.len - c->told, .token = -1,
                         .logprob = (double)NAN, .call = true };
        m->r.hooks->piece(m->r.hooks->user, &p);
        c->told = c->arguments.len;
    }
}

static void take(remote *m)
{
    wire_reply *w = &m->r.wire;
    if (w->thinks)
        m->learned->thinks = w->thinks;
    bound(m, &w->thought);
    bound(m, &w->text);
    writing(m);
    wire_name(w, m->r.named);
    m->r.named = w->n_id;
    if (w->thought.len && m->r.wrote)
        late(m);
    if (w->thought.len) {
        m->r.fields = true;
        marked(m, &w->thought, m->r.thinking ? "" : OPEN);
        m->r.thinking = true;
    }
    if (w->text.len) {
        marked(m, &w->text, m->r.thinking ? CLOSE : "");
        m->r.thinking = false;
        m->r.wrote = true;
    }
    if (w->n_token)                      /* a token without a text of its own: part of a call, or half a character */
        tokens(m, &(q_buf){ .p = (char[]){ "" } });
}

/* Of answers that come together one ends when it says so: the others go on. */
static bool ended_before_others(const remote *m) { return m->r.share.now + 1 < m->r.share.n && *m->r.wire.finish; }

/* A chunk of the answer at hand. */
static bool chunk(void *user, const char *json, size_t n)
{
    remote *m = user;
    if (ended_before_others(m))
        return true;
    m->r.rc = wire_chunk(&m->r.wire, json, n, m->r.why);
    if (m->r.rc == Q_OK)
        take(m);
    return m->r.rc == Q_OK;
}

static void chunks(remote *m, const char *json, size_t n)
{
    char words[32];
    if (!m->r.share.n)
        chunk(m, json, n);
    else if (share_chunk(&m->r.share, json, n, chunk, m) == Q_RANGE)
        m->r.rc = q_fail(m->r.why, Q_RANGE, _("the answer of %s is longer than %s: it was cut there, and the line closed"), m->own.at, q_bytes_words(SHARE_BYTES, words));
}

static bool event(void *user, const net_event *e)
{
    remote *m = user;
    if (strcmp(e->data, "[DONE]") == 0)
        m->r.done = true;
    if (m->r.done || !*e->data)          /* behind its last word a server has nothing to say */
        return true;
    chunks(m, e->data, e->n);
    return m->r.rc == Q_OK;
}

/* Some servers call a stream plain text; who answers in one piece, or with an error, sends JSON. */
static bool data(void *user, const net_reply *r, const char *p, size_t n)
{
    remote *m = user;
    char err[Q_ERRLEN];
    bool stream = r->status == 200 && !strstr(r->type, "json") && !strstr(r->type, "html");
    if (!stream) {
        if (r->status == 200 || m->r.body.len < ERROR_MOST)
            q_buf_add(&m->r.body, p, n);
        return true;
    }
    int rc = net_events_feed(&m->r.events, p, n, event, m, err);
    if (rc < 0 && m->r.rc == Q_OK) {
        m->r.rc = rc;
        snprintf(m->r.why, sizeof m->r.why, "%s", err);
    }
    return m->r.rc == Q_OK;
}

/* One step of the line. When it is over m->r.rc says how it went. */
static void step(remote *m)
{
    char err[Q_ERRLEN];
    int rc = net_next(m->line, err);
    if (rc > 0)
        return;
    m->r.over = true;
    if (rc < 0 && m->r.rc == Q_OK && !m->r.done) {       /* behind its last word nothing is missed */
        m->r.rc = rc;
        snprintf(m->r.why, sizeof m->r.why, "%s", err);
    }
    if (rc == 0 && m->r.rc == Q_OK && m->r.reply.status == 200 && m->r.body.len) {
        if (strstr(m->r.reply.type, "html"))
            m->r.rc = refused(m, &m->r.reply, &m->r.body, m->r.why);
        else
            chunks(m, m->r.body.p, m->r.body.len);
    }
}

/* Another answer, on the same line. */
static void fresh_answer(remote *m)
{
    wire_free(&m->r.wire);
    q_buf_clear(&m->r.said);
    m->r.n_unit = m->r.at = m->r.named = 0;
    m->r.had = 0;
    m->r.now = NULL;
    m->r.fields = m->r.thinking = m->r.wrote = false;
    m->r.rc = Q_OK;
    *m->r.why = 0;
}

static void fresh(remote *m)
{
    net_end(m->line);
    net_events_free(&m->r.events);
    q_buf_clear(&m->r.body);
    share_free(&m->r.share);
    m->r.over = m->r.done = false;
    fresh_answer(m);
}

/* ================= asking ================= */
/* Until the answer begins; then nothing is tried again. */
static int begin_once(remote *m, const net_request *q, int n, char *err)
{
    fresh(m);
    if (n > 1)
        share_begin(&m->r.share, n);
    int rc = net_open(m->line, q, &m->r.reply, err);
    if (rc < 0)
        return rc;
    while (!m->r.over && !m->r.done && !m->r.n_unit && !m->r.rc)
        step(m);
    if (m->r.reply.status != 200 && m->r.rc == Q_OK)
        return refused(m, &m->r.reply, &m->r.body, err);
    if (m->r.rc < 0 && !m->r.n_unit)
        return q_fail(err, m->r.rc, "%s", m->r.why);
    return Q_OK;
}

/* It named a field that not every server knows? */
static bool refuses_extras(const remote *m) { return !m->plain && (m->r.reply.status == 400 || m->r.reply.status == 422); }
static bool busy(int status) { return status == 429 || status == 503; }

static int begin(remote *m, wire_ask *a, char *err)
{
    char *url = where(m, "/chat/completions");
    int rc = Q_ERR;
    bool known = m->plain, alone = m->learned->alone;        /* what was known of it before */
    for (int i = 0, again = 1; again; i++) {
        a->plain = m->plain;
        a->n = m->plain || m->learned->alone ? 1 : a->n;
        char *body = wire_request(a), why[Q_ERRLEN];
        net_request q = request(m, url, body);
        q.data = data;
        q.user = m;
        if (a->routes) {                 /* all of them come with the last event */
            q.limit.body = 1u << 30;
            m->r.events.max = 512u << 20;
        }
        rc = begin_once(m, &q, a->n, err);
        again = 0;
        if (rc < 0 && m->r.reply.status && m->r.rc == Q_OK) {
            if (refuses_extras(m) && a->n > 1)
                again = m->learned->alone = true;
            else if (refuses_extras(m))
                again = m->plain = true;
            else if (busy(m->r.reply.status) && i + 1 < TRIES && m->r.reply.retry_after <= WAIT_MOST) {
                int s = m->r.reply.retry_after >= 0 ? m->r.reply.retry_after : 1 << i;
                net_end(m->line);
                again = net_wait(m->line, 1000 * s, why) == Q_OK;
                rc = again ? rc : Q_CANCEL;
            }
        }
        if (rc < 0)
            net_end(m->line);
        free(body);
    }
    if (rc < 0) {                        /* plainly it refuses too: it was something else */
        m->plain = known;
        m->learned->alone = alone;
    }
    free(url);
    return rc;
}

/* ---- as a source of tokens ---- */
static int ready(void *self, char *err) { return (void)self, (void)err, Q_OK; }
static int room(void *self) { return (void)self, 1; }   /* the server says when it is full */

static int choose(void *self, gen_token *out, char *err)
{
    remote *m = self;
    if (atomic_load(&m->cancelled))
        return q_fail(err, Q_CANCEL, _("stopped"));
    if (m->r.at == m->r.n_unit) {
        m->r.at = m->r.n_unit = 0;
        q_buf_clear(&m->r.said);
    }
    while (m->r.at == m->r.n_unit && !m->r.over && !m->r.done && !m->r.rc && !ended_before_others(m))
        step(m);
    if (m->r.at < m->r.n_unit) {
        m->r.now = &m->r.unit[m->r.at++];
        *out = (gen_token){ .id = m->r.now->id, .logprob = m->r.now->logprob, .unnamed = !m->r.now->named };
        if (m->r.fields) {
            m->source.think = OPEN;
            m->source.unthink = CLOSE;
        }
        return Q_OK;
    }
    m->r.now = NULL;
    if (m->r.rc < 0 && !ended_before_others(m))
        return q_fail(err, m->r.rc, "%s", m->r.why);
    if (!m->r.done && !*m->r.wire.finish)
        return q_fail(err, Q_IO, _("%s ended the line before its answer ended: ask again"), m->own.at);
    out->end = true;
    return Q_OK;
}

static void spell(void *self, int32_t token, q_buf *out)
{
    const remote *m = self;
    if (token >= 0 && m->r.now)
        q_buf_add(out, m->r.said.p + m->r.now->at, m->r.now->n);
}

static int push(void *self, int32_t token, char *err) { return (void)self, (void)token, (void)err, Q_OK; }
static long stops(void *self, const char *text, size_t n) { return (void)self, (void)text, (void)n, 0; }      /* the server looks for them */
static int max_tokens(void *self) { return (void)self, 0; }        /* likewise */

/* ---- its end ---- */
static void tell_calls(remote *m)
{
    for (int i = 0; i < m->r.wire.n_call; i++) {
        wire_call *w = &m->r.wire.call[i];
        char own[24];
        snprintf(own, sizeof own, "call-%d", i + 1);
        prov_call c = { w->id.len ? w->id.p : own, w->name.len ? w->name.p : "", w->arguments.len ? w->arguments.p : "{}" };
        if (m->r.hooks->call && w->name.len)
            m->r.hooks->call(m->r.hooks->user, m->r.answer, &c);
    }
}

static void settle(remote *m, const prov_request *r)
{
    prov_result *out = m->r.result;
    const wire_reply *w = &m->r.wire;
    if (w->prompt_tokens)
        out->prompt_tokens = w->prompt_tokens;
    out->cached_tokens = w->cached_tokens;
    if (w->tokens > out->tokens && out->finish == PROV_ENDED)
        out->tokens = w->tokens;
    m->used = out->prompt_tokens + out->tokens;
    if (out->finish != PROV_ENDED)
        return;
    double most = prov_config_number(m->c, "sampler.max_tokens");
    bool cut = strcmp(w->finish, "length") == 0;         /* the last call is no whole one, and those before it were meant with it */
    if (w->n_call && r->n_tool > 0 && !cut) {
        tell_calls(m);
        out->finish = PROV_CALLS;
    } else if (cut)
        out->finish = most > 0 && out->tokens >= (int)most ? PROV_MAX_TOKENS : PROV_FULL;
    else if (w->stop_string)
        out->finish = PROV_STOP_STRING;
}

/* ---- which experts ran ---- */
static int context_size(const remote *m)
{
    double x = prov_config_number(m->c, "context.length");
    return x > 0 ? (int)x : CONTEXT;
}

static void tell_routes(const remote *m, const remote_routes *r, int first, int skip)
{
    const prov_result *out = m->r.result;
    const wire_reply *w = &m->r.wire;
    for (int i = skip; i < r->n; i++) {
        int token = first + i - out->prompt_tokens;      /* of the answer */
        prov_position p = { .token = token >= 0 && token < w->n_id ? w->id[token] : -1, .pos = first + i, .config = prov_config_hash(m->c), .prompt = token < 0,
                            .n_layer = r->layers, .max_k = r->k, .ids = r->id + (size_t)i * (size_t)r->layers * (size_t)r->k };
        m->r.hooks->position(m->r.hooks->user, &p);
    }
}

/* vLLM: the tokens of prompt and answer are read once more, bounded to one new one, and the experts of the answer's come. */
static int reread(remote *m, q_buf *b, char *err)
{
    const wire_reply *w = &m->r.wire;
    int n = w->n_prompt_id + w->n_id;
    if (!w->n_prompt_id || !w->n_id)
        return q_fail(err, Q_RANGE, _("the server tells no ids of tokens, so which experts ran cannot be asked: vLLM 0.22 or later does"));
    int32_t *id = q_alloc(sizeof *id * (size_t)n);
    memcpy(id, w->prompt_id, sizeof *id * (size_t)w->n_prompt_id);
    memcpy(id + w->n_prompt_id, w->id, sizeof *id * (size_t)w->n_id);
    char *body = wire_reread(m->model, id, n, w->n_prompt_id);
    net_reply r;
    int rc = fetch(m, where(m, "/completions"), body, &r, b, err);
    if (rc == Q_OK && r.status != 200)
        rc = refused(m, &r, b, err);
    free(body);
    free(id);
    return rc;
}

/* Of prompt and answer: by what the server counted, or, where it says less, by what may be sent and was read. */
static int most_positions(const remote *m)
{
    int size = context_size(m) + m->r.result->tokens, counted = m->r.result->prompt_tokens + m->r.result->tokens;
    return (size > counted ? size : counted) + 1;
}

/* What cannot be had is told once and never an answer's fault. */
static void routes(remote *m)
{
    char err[Q_ERRLEN];
    q_buf b = { 0 };
    wire_reply again = { .routed = NULL };
    remote_routes r = { .id = NULL };
    const wire_reply *w = &m->r.wire;
    int first = 0, rc = Q_OK;
    if (m->server.routing == SERVER_NO_ROUTING || !m->r.hooks->position || m->r.result->tokens == 0)
        return;
    if (m->server.routing == SERVER_VLLM && (rc = reread(m, &b, err)) == Q_OK) {
        rc = wire_chunk(&again, b.p, b.len, err);
        w = &again;
        first = m->r.wire.n_prompt_id;
        m->r.result->prompt_tokens = first;
    }
    if (rc == Q_OK && !w->routed)
        rc = q_fail(err, Q_NOTFOUND, m->server.routing == SERVER_VLLM
            ? _("%s sends no routing: start it with --enable-return-routed-experts") : _("%s sends no routing: start it with --enable-return-routed-experts, a recent SGLang"), m->own.at);
    if (rc == Q_OK && (rc = remote_routes_read(&m->server, w->routed, &r, err)) == Q_OK && r.n > most_positions(m) - first)
        rc = q_fail(err, Q_RANGE, _("%s tells which experts ran at %d positions, and %d were evaluated at most: it is not believed"), m->own.at, r.n, most_positions(m) - first);
    if (rc == Q_OK && r.id)
        tell_routes(m, &r, first, first ? 0 : m->r.result->prompt_tokens < r.n ? m->r.result->prompt_tokens : r.n);
    if (rc < 0 && rc != Q_CANCEL && m->r.hooks->unrouted)
        m->r.hooks->unrouted(m->r.hooks->user, err);
    remote_routes_free(&r);
    wire_free(&again);
    q_buf_free(&b);
}

static int count_request(const prov *p, const prov_request *r, char *err);

/* The answer that has begun, to its end. */
static int to_its_end(remote *m, const prov_request *r, char *err)
{
    m->source = (gen_source){ .self = m, .ready = ready, .room = room, .choose = choose, .spell = spell, .push = push, .stops = stops,
                              .max_tokens = max_tokens, .think = r->n_begin ? NULL : "<think>", .unthink = "</think>", .raw = r->n_begin };
    int rc = gen_answer(&m->source, m->r.hooks, m->r.answer, m->r.result, err);
    settle(m, r);
    routes(m);
    return rc;
}

/* n: so many answers are asked for at once. */
static int one(remote *m, const prov_request *r, int n, uint64_t seed, char *err)
{
    wire_ask a = { .model = m->model, .r = r, .c = m->c, .n = n, .seed = seed, .thinks = m->learned->thinks, .ids = m->server.routing == SERVER_VLLM && m->r.hooks->position,
                   .routes = m->server.routing == SERVER_SGLANG && m->r.hooks->position };
    prov_result *out = m->r.result;
    const prov_hooks *h = m->r.hooks;
    int64_t from = q_now_ns();
    int estimate = count_request(&m->base, r, err);
    out->prompt_tokens = estimate > 0 ? estimate : 0;
    if (h->prefill)
        h->prefill(h->user, 0, out->prompt_tokens);
    int rc = begin(m, &a, err);
    out->prefill_s = (double)(q_now_ns() - from) / 1e9;
    out->evaluated = rc == Q_OK;
    if (h->prefill && rc == Q_OK)
        h->prefill(h->user, out->prompt_tokens, out->prompt_tokens);
    if (h->prefilled)
        h->prefilled(h->user, out);
    if (rc < 0) {
        out->finish = rc == Q_CANCEL ? PROV_STOPPED : PROV_FAILED;
        return rc == Q_CANCEL ? Q_OK : rc;
    }
    return to_its_end(m, r, err);
}

/* The next of the answers that come together; false: this server gave only those before it. */
static bool next_one(remote *m, const prov_request *r, const prov_result *before, int *rc, char *err)
{
    prov_result *out = m->r.result;
    while (m->r.share.n && m->r.share.came <= m->r.share.now + 1 && !m->r.over && !m->r.done && !m->r.rc)
        step(m);
    if (m->r.share.n && m->r.rc < 0) {
        out->finish = m->r.rc == Q_CANCEL ? PROV_STOPPED : PROV_FAILED;
        *rc = m->r.rc == Q_CANCEL ? Q_OK : q_fail(err, m->r.rc, "%s", m->r.why);
        return true;
    }
    fresh_answer(m);
    if (!m->r.share.n || !share_next(&m->r.share, chunk, m))
        return false;
    out->prompt_tokens = before->prompt_tokens;
    out->evaluated = true;
    if (m->r.hooks->prefilled)
        m->r.hooks->prefilled(m->r.hooks->user, out);
    *rc = to_its_end(m, r, err);
    return true;
}

static uint64_t seed_of(const remote *m, uint64_t wanted)
{
    double own = prov_config_number(m->c, "sampler.seed");
    return wanted ? wanted : own > 0 ? (uint64_t)own : 0;
}

static int ask(prov *p, const prov_request *r, const prov_hooks *h, prov_result *out, char *err)
{
    remote *m = of(p);
    int n = r->n > 1 ? r->n : 1, rc = Q_OK;
    uint64_t seed = seed_of(m, r->seed);
    if (r->grammar && (r->grammar->trigger || r->grammar->n_rule))
        return q_fail(err, Q_RANGE, _("%s holds a whole answer to a grammar, no part of one: run the model here for that"), m->own.at);
    if (r->grammar && !m->own.gbnf && !remote_grammar_is_schema(r->grammar->text, r->grammar->n))
        return remote_grammar_no_gbnf(&m->own, err);
    m->r.hooks = h;
    for (int i = 0; i < n && rc == Q_OK; i++) {
        m->r.result = &out[i];
        m->r.answer = i;
        if (i == 0)
            rc = one(m, r, n, seed, err);
        else if (!next_one(m, r, &out[i - 1], &rc, err)) {
            m->learned->alone = true;    /* it left out what it does not know */
            rc = one(m, r, 1, seed ? seed + (uint64_t)i : 0, err);
        }
        if (out[i].finish == PROV_STOPPED)
            for (i++; i < n; i++)        /* a stop is meant for all of them */
                out[i].finish = PROV_STOPPED;
        if (m->r.share.n && i + 1 < n)
            continue;
        if (m->r.done && !m->r.over)     /* the end of the stream is on its way: the connection can serve again */
            net_linger(m->line, LINGER_MS);
        net_end(m->line);
    }
    net_end(m->line);
    for (int i = 0; i + 1 < m->r.share.n && rc == Q_OK; i++)
        out[i].prompt_tokens = out[n - 1].evaluated ? out[n - 1].prompt_tokens : out[i].prompt_tokens;       /* it is told behind the last one */
    m->r.hooks = NULL;
    m->r.result = NULL;
    return rc;
}

static void cancel(prov *p, bool on)
{
    atomic_store(&of(p)->cancelled, on);
    net_cancel(of(p)->line, on);
    net_cancel(of(p)->aside, on);
}

/* ================= numbers ================= */
static prov_room context(prov *p)
{
    const remote *m = of(p);
    int size = context_size(m);
    return (prov_room){ .used = m->used < size ? m->used : size, .text = m->used < size ? m->used : size, .size = size };
}

static void forget(prov *p) { of(p)->used = 0; }

/* On the long side for most vocabularies: four letters of Latin a token, two of other alphabets, one sign of Chinese. */
static int count(const prov *p, const char *text, size_t n)
{
    size_t latin = 0, other = 0, signs = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        latin += c < 0x80;
        other += c >= 0xC0 && c < 0xE0;
        signs += c >= 0xE0;
    }
    size_t all = (latin + 3) / 4 + (other + 1) / 2 + signs;
    return all > 1 << 24 ? 1 << 24 : (int)all;
}

static int count_words(const prov *p, const char *s) { return s ? count(p, s, strlen(s)) : 0; }

static int count_tools(const prov *p, const prov_request *r)
{
    int sum = 0;
    for (int i = 0; i < r->n_tool; i++)
        sum += 8 + count_words(p, r->tool[i].name) + count_words(p, r->tool[i].help) + count_words(p, r->tool[i].schema);
    return sum;
}

static int count_calls(const prov *p, const prov_request *r)
{
    int sum = 0;
    for (int i = 0; i < r->n_call; i++)
        sum += 8 + count_words(p, r->call[i].call.name) + count_words(p, r->call[i].call.arguments);
    return sum;
}

static int count_request(const prov *p, const prov_request *r, char *err)
{
    const remote *m = of_const(p);
    struct learned *learned = m->learned;
    int tools = count_tools(p, r), calls = count_calls(p, r), sum = 8 + tools + calls;
    (void)err;
    for (int i = 0; i < r->n_message; i++)
        sum += 8 + count(p, r->message[i].text, r->message[i].n);
    if (learned->counts == COUNT_NO)
        return sum;
    char why[Q_ERRLEN], *body = wire_messages(m->model, r);
    q_buf b = { 0 };
    net_reply reply;
    int rc = fetch(m, beside(m, "/tokenize"), body, &reply, &b, why);
    int n = rc == Q_OK && reply.status == 200 ? wire_count(b.p, b.len) : -1;
    if (n >= 0)                          /* tools are counted by none; llama-server counts the texts alone; eight a message is the frame */
        n += tools + (strstr(b.p, "\"count\"") ? 0 : 8 * (r->n_message + 1) + calls);
    if (rc == Q_OK && learned->counts == COUNT_MAYBE)
        learned->counts = n >= 0 ? COUNT_YES : COUNT_NO;
    free(body);
    q_buf_free(&b);
    return n >= 0 ? n : sum;
}

/* ================= configurations ================= */
static prov_config *config_new(const prov *p) { return remote_config_new(p->kind, &of_const(p)->own); }

static int set(prov *p, const prov_config *c, enum prov_policy policy, char *err)
{
    remote *m = of(p);
    (void)policy, (void)err;
    prov_config *copy = remote_config_copy(c);
    remote_config_free(m->c);
    m->c = copy;
    return Q_OK;
}

static prov_config *present(prov *p) { return remote_config_copy(of(p)->c); }

/* ================= opening ================= */
static void close_remote(prov *p)
{
    remote *m = of(p);
    if (m->line)
        fresh(m);
    net_free(m->line);
    net_free(m->aside);
    if (m->c)
        remote_config_free(m->c);
    if (m->key)
        explicit_bzero(m->key, strlen(m->key));
    free(m->key);
    free(m->model);
    free(m->path);
    free(m->name);
    free(m->own.at);
    free(m->learned);
    free(m->r.unit);
    q_buf_free(&m->r.body);
    q_buf_free(&m->r.said);
    server_free(&m->server);
    free(m);
}

static const prov_kind kind = {
    .close = close_remote, .config_new = config_new, .config_copy = remote_config_copy, .config_free = remote_config_free,
    .config_set = remote_config_set, .config_get = remote_config_get, .config_number = remote_config_number,
    .config_nudge_k = remote_config_nudge_k, .config_range = remote_config_range, .config_fixed = remote_config_fixed,
    .config_is_default = remote_config_is_default, .config_k = remote_config_k, .config_label = remote_config_label,
    .config_json = remote_config_json, .config_from_json = remote_config_from_json, .config_hash = remote_config_hash,
    .config_diff = remote_config_diff, .config_cost = remote_config_cost, .set = set, .present = present, .ask = ask, .forget = forget,
    .cancel = cancel, .context = context, .count = count, .count_request = count_request,
};

/* Which of the server's models is meant: the very name, or the one that has it as a part. */
static int pick(remote *m, const wire_model *v, int n, const char *wanted, char *err)
{
    int hit = -1, hits = 0;
    q_buf names = { 0 };
    q_buf_puts(&names, "");
    for (int i = 0; i < n; i++) {
        bool same = strcmp(v[i].name, wanted) == 0;
        if (same || !*wanted || strcasestr(v[i].name, wanted)) {
            hit = i;
            hits = same ? n + 1 : hits + 1;
        }
        if (same)
            break;
        if (i < 12)
            q_buf_printf(&names, "%s%s", i ? ", " : "", v[i].name);
        else if (i == 12)
            q_buf_puts(&names, ", …");
    }
    int rc = Q_OK;
    if (!n)
        rc = q_fail(err, Q_NOTFOUND, _("%s has no model at the moment: start it with one"), m->own.at);
    else if (!hits)
        rc = q_fail(err, Q_NOTFOUND, _("%s has no model %s; it has: %s"), m->own.at, wanted, names.p);
    else if (hits > 1 && hits <= n)
        rc = q_fail(err, Q_RANGE, _("%s has several models, write %s/MODEL: %s"), m->own.at, m->own.at, names.p);
    else
        m->model = q_strdup(v[hit].name);
    q_buf_free(&names);
    if (rc == Q_OK && !m->server.context)
        m->own.context = v[hit].context;
    m->of = rc == Q_OK ? v[hit].of : WIRE_OTHER;
    m->own.gbnf = m->of == WIRE_LLAMA;
    return rc < 0 ? rc : m->own.gbnf;
}

/* What it has; a server without a list is taken at its word. */
static int look(remote *m, const char *wanted, char *err)
{
    net_reply r;
    q_buf b = { 0 };
    wire_model *v = NULL;
    int n = 0, rc = fetch(m, where(m, "/models"), NULL, &r, &b, err);
    if (rc == Q_OK && r.status == 404 && *wanted && !strstr(r.type, "html"))
        m->model = q_strdup(wanted);
    else if (rc == Q_OK && (r.status != 200 || strstr(r.type, "html")))
        rc = refused(m, &r, &b, err);
    else if (rc == Q_OK) {
        char why[Q_ERRLEN];
        if ((rc = wire_models(b.p, b.len, &v, &n, why)) < 0)
            q_fail(err, rc, _("%s answers what no model answers: check url of its section in config.ini"), m->own.at);
        else
            rc = pick(m, v, n, wanted, err);
        if (rc > 0 && !m->server.context && fetch(m, beside(m, "/props"), NULL, &r, &b, why) == Q_OK && r.status == 200)
            m->own.context = wire_context(b.p, b.len) ? wire_context(b.p, b.len) : m->own.context;
        rc = rc > 0 ? Q_OK : rc;
    }
    for (int i = 0; i < n; i++)
        free(v[i].name);
    free(v);
    q_buf_free(&b);
    return rc;
}

/* Plain text over a network: whoever is between reads the key. */
static const char *warning(const remote *m)
{
    const char *host = strncasecmp(m->server.url, "http://", 7) == 0 ? m->server.url + 7 : NULL;
    bool here = !host || m->server.socket || strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0 || strncasecmp(host, "localhost", 9) == 0;
    return m->key && !here ? _("the key of this server goes over the network for everybody between to read: write https:// into its url, if it speaks that") : NULL;
}

static void describe(remote *m)
{
    q_buf b = { 0 };
    q_buf_printf(&b, "%s\n%s", m->server.url, m->model);
    const char *file = m->model[0] == '/' ? strrchr(m->model, '/') + 1 : "";        /* llama-server's */
    m->path = q_printf("%s/%s", m->own.at, m->model);
    m->name = q_printf("%s/%s", m->own.at, *file ? file : m->model);
    bool routed = m->server.routing != SERVER_NO_ROUTING;
    m->own.k = routed ? m->server.k : 0;
    m->own.experts = m->server.experts;
    m->base.info = (prov_info){ .path = m->path, .name = m->name, .languages = "", .note = warning(m), .device = "",
        .id = q_hash64(b.p, b.len, 0x5E12) | 1, .n_ctx_train = m->own.context, .chat = true, .thinks = true,
        .can = PROV_N | PROV_TOOLS | PROV_GRAMMAR | (routed ? PROV_ROUTING : 0) | (wire_begins(m->of) ? PROV_BEGIN : 0) };
    if (routed) {
        m->base.info.n_layer = m->server.layers;
        m->base.info.n_expert = m->server.experts;
        m->base.info.first_moe_layer = m->server.dense;
        m->base.info.n_moe_layer = m->server.layers - m->server.dense;
    }
    if (m->server.routing == SERVER_VLLM)
        m->base.info.divided.words = _("which experts ran comes by asking once more after each answer, one token long; ids only, no weights");
    else if (routed)
        m->base.info.divided.words = _("which experts ran comes with each answer's end; ids only, no weights");
    q_buf_free(&b);
}

static int check_routing(const prov_server *s, char *err)
{
    if (s->routing == SERVER_NO_ROUTING || (s->layers && s->experts && s->k && s->dense < s->layers && s->k <= s->experts))
        return Q_OK;
    return q_fail(err, Q_RANGE, _("routing of @%s needs layers, experts and k of the model in its section (dense too, where the first layers have no experts): its config.json has them"), s->name);
}

int remote_open(const char *what, const prov_opts *o, prov **out, char *err)
{
    const prov_server *s;
    const char *wanted;
    int rc = server_find(o->servers, what, &s, &wanted, err);
    if (rc == Q_OK)
        rc = check_routing(s, err);
    if (rc < 0)
        return rc;
    remote *m = q_alloc(sizeof *m);
    prov_init(&m->base, &kind);
    server_copy(s, &m->server);
    m->own = (remote_own){ .at = q_printf("@%s", s->name), .context = s->context };
    m->learned = q_alloc(sizeof *m->learned);
    m->line = net_new();
    m->aside = net_new();
    rc = server_key(&m->server, &m->key, err);
    if (rc == Q_OK)
        rc = look(m, *wanted ? wanted : s->model ? s->model : "", err);
    if (rc == Q_OK) {
        m->own.context = m->own.context ? m->own.context : CONTEXT;
        describe(m);
        m->c = config_new(&m->base);
        rc = o->configure ? o->configure(o->user, m->c, err) : Q_OK;
    }
    if (rc < 0)
        prov_close(&m->base);
    else
        *out = &m->base;
    return rc;
}
