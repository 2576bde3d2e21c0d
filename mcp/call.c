/* mcp/call: see call.h. The thread of who calls; no lock is held while a hook runs. */
#include "mcp/call.h"

#include <stdlib.h>
#include <string.h>

enum { LOOK_MS = 50, TRIES = 3, LONGEST = 30 };             /* LONGEST: timeouts that a call with progress may take in all */

static const char CLIENT[] = "{\"name\":\"quorum\",\"version\":\"" QUORUM_VERSION "\"}";

static void write_meta(q_buf *b, const call *c, bool modern)
{
    q_buf_printf(b, "\"_meta\":{\"progressToken\":%lld", (long long)c->id);
    if (modern)
        q_buf_printf(b, ",\"io.modelcontextprotocol/protocolVersion\":\"" MCP_MODERN "\",\"io.modelcontextprotocol/clientInfo\":%s"
                     ",\"io.modelcontextprotocol/clientCapabilities\":%s", CLIENT, c->elicits ? "{\"elicitation\":{\"form\":{}}}" : "{}");
    q_buf_putc(b, '}');
}

static int send(mcp_server *s, const question *q, call *c, const char *members, char *err)
{
    q_buf b = { 0 };
    bool modern = (q->era ? q->era : s->era) == MCP_ERA_2026;
    q_buf_printf(&b, "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"method\":\"%s\",\"params\":{%s", (long long)c->id, q->method, members);
    if (!q->plain) {
        if (*members)
            q_buf_putc(&b, ',');
        write_meta(&b, c, modern);
    }
    q_buf_puts(&b, "}}");
    letter l = { b.p, b.len, q->method, q->name, modern ? MCP_MODERN : NULL, q->header };
    int rc = s->wire->kind->send(s->wire, &l, c, err);
    q_buf_free(&b);
    return rc;
}

static int open_with(mcp_server *s, const question *q, const mcp_hooks *h, call *c, const char *members, char *err)
{
    *c = (call){ .elicits = h && h->elicit };
    line_enter(&s->line, c);
    int rc = send(s, q, c, members, err);
    if (rc < 0)
        call_shut(s, c, false);
    return rc;
}

int call_open(mcp_server *s, const question *q, const mcp_hooks *h, call *c, char *err) { return open_with(s, q, h, c, q->members, err); }

void call_shut(mcp_server *s, call *c, bool cancel)
{
    char err[Q_ERRLEN];
    if (cancel && (!s->s.url || s->era == MCP_ERA_2025)) {       /* over HTTP closing the stream says it since 2026 */
        char *members = q_printf("\"requestId\":%lld,\"reason\":\"nobody waits for it any more\"", (long long)c->id);
        call_notice(s, "notifications/cancelled", members, err);
        free(members);
    }
    s->wire->kind->drop(s->wire, c);
    line_leave(&s->line, c);
}

int call_notice(mcp_server *s, const char *method, const char *members, char *err)
{
    char *text = q_printf("{\"jsonrpc\":\"2.0\",\"method\":\"%s\"%s%s%s}", method, *members ? ",\"params\":{" : "", members, *members ? "}" : "");
    letter l = { text, strlen(text), method, NULL, NULL, NULL };
    int rc = s->wire->kind->send(s->wire, &l, NULL, err);
    free(text);
    return rc;
}

/* ---- what comes before an answer ---- */
/* The person's answer as the protocol has it. */
static void ask_person(const mcp_hooks *h, const cJSON *params, q_buf *out)
{
    static const char *const words_of[] = { [MCP_ACCEPT] = "accept", [MCP_DECLINE] = "decline", [MCP_DISMISS] = "cancel" };
    const cJSON *schema = msg_object(params, "requestedSchema");
    const char *mode = msg_text(params, "mode");
    char *text = schema ? cJSON_PrintUnformatted(schema) : NULL;
    q_buf content = { 0 };
    enum mcp_answer a = MCP_DECLINE;
    if (h && h->elicit && text && (!*mode || strcmp(mode, "form") == 0))
        a = h->elicit(h->user, msg_text(params, "message"), text, &content);
    cJSON *given = a == MCP_ACCEPT && content.len ? cJSON_ParseWithLength(content.p, content.len) : NULL;
    if (a == MCP_ACCEPT && !cJSON_IsObject(given))
        a = MCP_DISMISS;
    char *back = given ? cJSON_PrintUnformatted(given) : NULL;
    q_buf_printf(out, "{\"action\":\"%s\"", words_of[a]);
    if (a == MCP_ACCEPT && back)
        q_buf_printf(out, ",\"content\":%s", back);
    q_buf_putc(out, '}');
    cJSON_free(back);
    cJSON_free(text);
    cJSON_Delete(given);
    q_buf_free(&content);
}

static void grant(mcp_server *s, const mcp_hooks *h, wish *w)
{
    q_buf result = { 0 }, text = { 0 };
    char err[Q_ERRLEN];
    ask_person(h, w->m.body, &result);
    line_answer(&text, w->m.their_id, result.p);
    s->wire->kind->send(s->wire, &(letter){ text.p, text.len, "", NULL, NULL, NULL }, NULL, err);      /* where it cannot be sent, the call fails too */
    msg_free(&w->m);
    free(w);
    q_buf_free(&result);
    q_buf_free(&text);
}

/* Without the lock: what c was told, but for its answer. */
static void hear(mcp_server *s, call *c, const mcp_hooks *h)
{
    pthread_mutex_lock(&s->line.mu);
    wish *w = c->wishes;
    bool progressed = c->progressed;
    double done = c->done, total = c->total;
    char *text = c->text;
    c->progressed = false;
    c->text = NULL;
    if (w) {
        c->wishes = w->next;
        c->n_wishes--;
    }
    pthread_mutex_unlock(&s->line.mu);
    if (progressed && h && h->progress)
        h->progress(h->user, done, total, text ? text : "");
    free(text);
    if (!w)
        return;
    int64_t from = q_now_ns();
    grant(s, h, w);
    pthread_mutex_lock(&s->line.mu);
    c->heard = q_now_ns();
    c->paused += c->heard - from;
    pthread_mutex_unlock(&s->line.mu);
}

int call_next(mcp_server *s, call *c, const mcp_hooks *h, int64_t until, char *err)
{
    for (;;) {
        if (h && h->go && !h->go(h->user))
            return q_fail(err, Q_CANCEL, _("stopped"));
        pthread_mutex_lock(&s->line.mu);
        if (!line_news(c) && !s->line.broken && q_now_ns() < until)
            line_wait(&s->line, LOOK_MS);
        bool more = c->wishes || c->progressed, answered = c->answered, failed = c->failed, broken = s->line.broken;
        pthread_mutex_unlock(&s->line.mu);
        if (more)
            hear(s, c, h);
        else if (answered)
            return 1;
        else if (failed)
            return q_fail(err, c->rc, "%s", c->err);
        else if (broken)
            return q_fail(err, s->line.rc, "%s", s->line.why);
        else if (q_now_ns() >= until)
            return 0;
    }
}

typedef struct authorising { mcp_server *s; const mcp_hooks *h; } authorising;

/* Nobody waits for a token of a server that is being ended. */
static bool authorising_go(void *user)
{
    const authorising *a = user;
    pthread_mutex_lock(&a->s->line.mu);
    bool over = a->s->line.broken;
    pthread_mutex_unlock(&a->s->line.mu);
    return !over && (!a->h || !a->h->go || a->h->go(a->h->user));
}

int call_authorise(mcp_server *s, const call *c, const mcp_hooks *h, bool had, char *err)
{
    char *token = NULL;
    authorising a = { s, h };
    mcp_challenge what = { s->s.name, s->s.url ? s->s.url : "", c->status, c->challenge ? c->challenge : "", had, c->near, s->s.ca, authorising_go, &a };
    if (!s->authorise || !s->authorise->token || !s->wire->kind->token)
        return q_fail(err, Q_NOTFOUND, _("%s asks who you are (%d): name its key in config.ini (key_env or key_file)"), s->s.name, c->status);
    int rc = s->authorise->token(s->authorise->user, &what, &token, err);
    if (rc == Q_OK && !token)
        rc = q_fail(err, Q_NOTFOUND, _("%s asks who you are (%d): name its key in config.ini (key_env or key_file)"), s->s.name, c->status);
    if (rc == Q_OK)
        s->wire->kind->token(s->wire, token);
    return rc;
}

void call_refusal(const mcp_server *s, const msg *m, char *err)
{
    char said[300];
    line_plain(said, sizeof said, msg_text(m->body, "message"));
    q_fail(err, Q_ERR, _("%s refuses: %s (%d)"), s->s.name, *said ? said : "?", (int)msg_number(m->body, "code", 0));
}

/* One question and its one answer. had: a token was shown before. */
static int once(mcp_server *s, const question *q, const mcp_hooks *h, const char *members, msg *out, int *status, char *err)
{
    int rc = Q_OK;
    *out = (msg){ .id = -1 };
    for (int tries = 0; tries < TRIES; tries++) {
        call c;
        int64_t began = q_now_ns(), each = (int64_t)s->s.timeout_s * 1000000000, until;
        if ((rc = open_with(s, q, h, &c, members, err)) < 0)
            return rc;
        do {
            pthread_mutex_lock(&s->line.mu);
            until = c.heard + each;
            if (until > began + c.paused + LONGEST * each)
                until = began + c.paused + LONGEST * each;
            pthread_mutex_unlock(&s->line.mu);
        } while (q_now_ns() < until && (rc = call_next(s, &c, h, until, err)) == 0);
        if (rc == 0)
            rc = q_fail(err, Q_IO, _("%s has not answered %s for %d seconds: it was told to stop. A longer time is timeout in config.ini"), s->s.name, q->method, s->s.timeout_s);
        pthread_mutex_lock(&s->line.mu);
        bool failed = c.failed, waits = rc < 0 && !failed && !s->line.broken, again = failed && (c.status == 401 || c.status == 403) && tries + 1 < TRIES;
        pthread_mutex_unlock(&s->line.mu);
        *status = failed ? c.status : 0;
        if (again)
            again = (rc = call_authorise(s, &c, h, tries > 0, err)) == Q_OK;
        call_shut(s, &c, waits);
        *out = c.answer;                 /* also one that came while it was shut */
        if (!again)
            break;
    }
    if (rc == 1 && out->kind == MSG_REFUSAL) {
        call_refusal(s, out, err);
        return Q_ERR;
    }
    return rc > 0 ? Q_OK : rc;
}

/* More is needed: what the person says, as members of the next try. */
static int more_members(mcp_server *s, const mcp_hooks *h, const msg *m, q_buf *out, char *err)
{
    const cJSON *asked = msg_object(m->body, "inputRequests"), *state = cJSON_GetObjectItemCaseSensitive(m->body, "requestState"), *r;
    int n = 0;
    if (!asked && !cJSON_IsString(state))
        return q_fail(err, Q_FORMAT, _("%s wants more and does not say what: its answer is none"), s->s.name);
    if (asked)
        q_buf_puts(out, ",\"inputResponses\":{");
    cJSON_ArrayForEach(r, asked) {
        if (strcmp(msg_text(r, "method"), "elicitation/create") != 0 || n == WISHES_MAX) {
            char said[80];
            line_plain(said, sizeof said, msg_text(r, "method"));
            return q_fail(err, Q_FORMAT, _("%s asks for what this client does not have (%s): the call was ended"), s->s.name, said);
        }
        if (n++)
            q_buf_putc(out, ',');
        msg_quote(out, r->string ? r->string : "");
        q_buf_putc(out, ':');
        ask_person(h, msg_object(r, "params"), out);
    }
    if (asked)
        q_buf_putc(out, '}');
    if (cJSON_IsString(state)) {
        q_buf_puts(out, ",\"requestState\":");
        msg_quote(out, state->valuestring);
    }
    return Q_OK;
}

int call_ask(mcp_server *s, const question *q, const mcp_hooks *h, msg *out, int *status, char *err)
{
    q_buf more = { 0 };
    int rc = Q_OK, ignored;
    status = status ? status : &ignored;
    *status = 0;
    *out = (msg){ .id = -1 };
    for (int round = 0; rc == Q_OK; round++) {
        char *members = q_printf("%s%s", q->members, more.len ? more.p + (*q->members ? 0 : 1) : "");
        q_buf_clear(&more);
        rc = once(s, q, h, members, out, status, err);
        free(members);
        if (rc < 0)
            break;
        const char *kind = msg_text(out->body, "resultType");
        if (!*kind || strcmp(kind, "complete") == 0)
            break;
        if (strcmp(kind, "input_required") != 0 || s->era != MCP_ERA_2026)
            rc = q_fail(err, Q_FORMAT, _("%s gives an answer of a kind that this client does not know: look for a newer quorum"), s->s.name);
        else if (round == MCP_ROUNDS_MAX)
            rc = q_fail(err, Q_RANGE, _("%s has asked for more %d times: the call was ended"), s->s.name, round);
        else
            rc = more_members(s, h, out, &more, err);
        msg_free(out);
    }
    q_buf_free(&more);
    return rc;
}
