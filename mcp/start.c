/* mcp/start: see start.h. Which era a server is of is found out by server/discover, which servers of the older one refuse, leave
 * unanswered or, some of them, do not survive. The starter's thread. */
#include "mcp/start.h"

#include "mcp/call.h"
#include "mcp/headers.h"
#include "mcp/http.h"
#include "mcp/list.h"
#include "mcp/pipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const known[] = { MCP_LEGACY, "2025-06-18", "2025-03-26", "2024-11-05" };

static const char *older(const char *version)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i], version) == 0)
            return known[i];
    return NULL;
}

/* ---- what it says of itself ---- */
static void keep_self(mcp_server *s, const cJSON *self, const cJSON *can, const char *instructions)
{
    static const struct { const char *word; enum mcp_kind kind; } row[] = {
        { "tools", MCP_TOOLS }, { "resources", MCP_RESOURCES }, { "resources", MCP_TEMPLATES }, { "prompts", MCP_PROMPTS } };
    const char *name = *msg_text(self, "title") ? msg_text(self, "title") : msg_text(self, "name");
    pthread_mutex_lock(&s->line.mu);
    line_plain(s->title, sizeof s->title, name);
    line_plain(s->release, sizeof s->release, msg_text(self, "version"));
    free(s->instructions);
    s->instructions = q_strndup(instructions, q_utf8_whole(instructions, strnlen(instructions, 16384)));
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const cJSON *o = msg_object(can, row[i].word);
        s->has[row[i].kind] = o != NULL;
        s->tells[row[i].kind] = msg_flag(o, "listChanged") == 1;
    }
    pthread_mutex_unlock(&s->line.mu);
}

static void settle(mcp_server *s, enum mcp_era era, const char *version)
{
    pthread_mutex_lock(&s->line.mu);
    if (s->era != era)
        s->era = era;                    /* who asks meanwhile reads it without the lock, and it is the same */
    s->line.modern = era == MCP_ERA_2026;
    snprintf(s->version, sizeof s->version, "%s", version);
    pthread_mutex_unlock(&s->line.mu);
    s->wire->kind->agreed(s->wire, version, era == MCP_ERA_2026);
}

/* The versions it names: 1: ours of 2026; 0: an older one that we have; Q_FORMAT: none of ours. */
static int versions(const mcp_server *s, const cJSON *all, char *err)
{
    const cJSON *v;
    char said[160];
    q_buf b = { 0 };
    int rc = -1;
    cJSON_ArrayForEach(v, all) {
        const char *t = cJSON_IsString(v) ? v->valuestring : "";
        rc = strcmp(t, MCP_MODERN) == 0 ? 1 : rc < 0 && older(t) ? 0 : rc;
        if (b.len < sizeof said)
            q_buf_printf(&b, "%s%s", b.len ? ", " : "", t);
    }
    line_plain(said, sizeof said, b.len ? b.p : "?");
    q_buf_free(&b);
    return rc >= 0 ? rc : q_fail(err, Q_FORMAT, _("%s speaks revisions of the protocol that this client does not: %s. Look for a newer quorum or an older server"), s->s.name, said);
}

/* 1: it is of 2026, and all is kept; 0: older, as far as this says; else it cannot be talked with. */
static int read_discover(mcp_server *s, const msg *m, char *err)
{
    int code = (int)msg_number(m->body, "code", 0);
    if (m->kind == MSG_REFUSAL) {
        const cJSON *all = msg_array(msg_object(m->body, "data"), "supported");
        if (code == -32022 && all)
            return versions(s, all, err) == 1 ? q_fail(err, Q_FORMAT, _("%s refuses the revision of the protocol that it says it speaks: look for a newer one of it"), s->s.name)
                                              : versions(s, all, err);
        if (code <= -32020 && code >= -32022)
            call_refusal(s, m, err);
        return code <= -32020 && code >= -32022 ? Q_ERR : 0;
    }
    const cJSON *all = msg_array(m->body, "supportedVersions");
    int rc = all ? versions(s, all, err) : 0;
    if (rc != 1)
        return rc;
    keep_self(s, msg_object(msg_object(m->body, "_meta"), "io.modelcontextprotocol/serverInfo"), msg_object(m->body, "capabilities"), msg_text(m->body, "instructions"));
    settle(s, MCP_ERA_2026, MCP_MODERN);
    return 1;
}

static int read_initialize(mcp_server *s, const msg *m, char *err)
{
    if (m->kind == MSG_REFUSAL) {
        call_refusal(s, m, err);
        return Q_ERR;
    }
    const char *version = older(msg_text(m->body, "protocolVersion"));
    if (!version) {
        char said[40];
        line_plain(said, sizeof said, msg_text(m->body, "protocolVersion"));
        return q_fail(err, Q_FORMAT, _("%s speaks revisions of the protocol that this client does not: %s. Look for a newer quorum or an older server"), s->s.name, said);
    }
    keep_self(s, msg_object(m->body, "serverInfo"), msg_object(m->body, "capabilities"), msg_text(m->body, "instructions"));
    settle(s, MCP_ERA_2025, version);
    return call_notice(s, "notifications/initialized", "", err) < 0 ? Q_IO : 1;
}

/* ---- agreeing ---- */
static const question discover = { .method = "server/discover", .members = "", .era = MCP_ERA_2026 };
static const question initialize = { .method = "initialize", .plain = true, .era = MCP_ERA_2025,
    .members = "\"protocolVersion\":\"" MCP_LEGACY "\",\"capabilities\":{\"elicitation\":{}},\"clientInfo\":{\"name\":\"quorum\",\"version\":\"" QUORUM_VERSION "\"}" };

static const mcp_hooks nobody = { NULL, NULL, NULL, NULL };

typedef struct probe { const question *q; call c; bool open; int authorised; int64_t asked; char err[Q_ERRLEN]; } probe;   /* asked: how long a person was, ns */

/* 1: agreed; 0: nothing yet; Q_NOTFOUND: this way leads nowhere, p->err says why; else it is over. */
static int step(mcp_server *s, const mcp_hooks *h, probe *p, int64_t until, char *err)
{
    int rc = call_next(s, &p->c, h, until, err);
    if (rc == 0)
        return 0;
    bool denied = rc < 0 && p->c.failed && (p->c.status == 401 || p->c.status == 403);
    if (denied && p->authorised < 2) {
        int64_t from = q_now_ns();
        rc = call_authorise(s, &p->c, h, p->authorised++ > 0, err);
        p->asked += q_now_ns() - from;
        call_shut(s, &p->c, false);
        p->open = rc == Q_OK && (rc = call_open(s, p->q, h, &p->c, err)) == Q_OK;
        return rc == Q_NOTFOUND ? Q_ERR : rc;
    }
    bool status = rc < 0 && p->c.failed && p->c.status && !denied;
    call_shut(s, &p->c, false);
    p->open = false;
    msg m = p->c.answer;
    if (rc == 1)
        rc = p->q == &discover ? read_discover(s, &m, err) : read_initialize(s, &m, err);
    msg_free(&m);
    if (rc == 0 || status || (p->q == &initialize && rc == Q_ERR)) {
        q_fail(p->err, Q_ERR, "%s", rc ? err : "");
        return Q_NOTFOUND;
    }
    return rc;
}

static int open_probe(mcp_server *s, probe *p, const question *q, char *err)
{
    *p = (probe){ .q = q };
    int rc = call_open(s, q, NULL, &p->c, err);
    p->open = rc == Q_OK;
    return rc;
}

/* server/discover, and where that is refused or not answered in time initialize beside it: whichever is answered first. */
static int agree(mcp_server *s, const mcp_hooks *h, bool old_only, char *err)
{
    int64_t now = q_now_ns(), last = now + (int64_t)s->s.start_s * 1000000000, first = now + (int64_t)s->s.probe_s * 1000000000;
    probe p[2] = { { .open = false }, { .open = false } };
    bool tried = false;
    int rc = old_only ? 0 : open_probe(s, &p[0], &discover, err);
    while (rc == 0 && (now = q_now_ns()) < last + p[0].asked + p[1].asked) {
        if (p[0].open && (rc = step(s, h, &p[0], tried ? now + 50000000 : (first < last ? first : last) + p[0].asked, err)) == Q_NOTFOUND)
            rc = 0;
        if (rc == 0 && !tried && (!p[0].open || q_now_ns() >= first + p[0].asked)) {
            tried = true;
            rc = open_probe(s, &p[1], &initialize, err);
        } else if (rc == 0 && p[1].open && (rc = step(s, h, &p[1], p[0].open ? q_now_ns() + 50000000 : last + p[0].asked + p[1].asked, err)) == Q_NOTFOUND)
            rc = p[0].open ? 0 : q_fail(err, Q_ERR, "%s", p[1].err);
        if (rc == 0 && tried && !p[0].open && !p[1].open)
            rc = q_fail(err, Q_ERR, "%s", p[1].err);
    }
    for (int i = 0; i < 2; i++)
        if (p[i].open) {
            call_shut(s, &p[i].c, p[i].q != &initialize && rc != 1);
            msg_free(&p[i].c.answer);
        }
    if (rc == 0)
        rc = q_fail(err, Q_IO, _("%s has not answered for %d seconds since it was started: look into its log, or give it more time (start in config.ini)"), s->s.name, s->s.start_s);
    return rc > 0 ? Q_OK : rc;
}

/* ---- what it offers ---- */
static int fetch(mcp_server *s, enum mcp_kind kind, const mcp_hooks *h, char *err)
{
    mcp_list list = { 0 };
    q_buf remarks = { 0 };
    char *members = q_strdup("");
    int64_t fresh = -1;
    int rc = Q_OK, page = 0;
    for (bool more = true; more && rc == Q_OK; page++) {
        question q = { .method = list_method(kind), .members = members };
        msg m;
        rc = call_ask(s, &q, h, &m, NULL, err);
        if (rc == Q_OK)
            rc = list_page(kind, m.body, &list, &remarks, s->s.url && s->era == MCP_ERA_2026 ? headers_why_not : NULL, err);
        double ttl = msg_number(m.body, "ttlMs", -1);
        int64_t until = ttl < 0 ? -1 : q_now_ns() + (int64_t)(ttl < 1e10 ? ttl : 1e10) * 1000000;
        fresh = until >= 0 && (fresh < 0 || until < fresh) ? until : fresh;
        const cJSON *cursor = rc == Q_OK ? cJSON_GetObjectItemCaseSensitive(m.body, "nextCursor") : NULL;
        more = cJSON_IsString(cursor) && page + 1 < MCP_PAGES_MAX && list.n < MCP_ITEMS_MAX;
        if (cJSON_IsString(cursor) && !more)
            q_buf_printf(&remarks, _("the rest of %s is left out: it has no end\n"), list_method(kind));
        if (more) {
            q_buf b = { 0 };
            q_buf_puts(&b, "\"cursor\":");
            msg_quote(&b, cursor->valuestring);
            free(members);
            members = q_buf_take(&b);
        }
        msg_free(&m);
    }
    free(members);
    q_buf_puts(&remarks, "");
    if (rc == Q_OK) {
        pthread_mutex_lock(&s->line.mu);
        mcp_list old = s->list[kind];
        s->list[kind] = list;
        list = old;
        free(s->remarks[kind]);
        s->remarks[kind] = q_buf_take(&remarks);
        s->fresh[kind] = fresh;
        pthread_mutex_unlock(&s->line.mu);
    }
    mcp_list_free(&list);
    q_buf_free(&remarks);
    return rc;
}

int start_lists(mcp_server *s, unsigned which, const mcp_hooks *h, char *err)
{
    int rc = Q_OK;
    bool has[MCP_KINDS];
    pthread_mutex_lock(&s->line.mu);
    memcpy(has, s->has, sizeof has);
    pthread_mutex_unlock(&s->line.mu);
    for (int k = 0; k < MCP_KINDS && (rc == Q_OK || rc == Q_ERR || rc == Q_FORMAT); k++) {
        if (!(which >> k & 1) || !has[k])
            continue;
        pthread_mutex_lock(&s->line.mu);
        s->line.stale &= ~(1u << k);     /* before it is asked: what changes meanwhile is asked for once more */
        pthread_mutex_unlock(&s->line.mu);
        rc = fetch(s, (enum mcp_kind)k, h, err);
        if (rc < 0 && (k != MCP_TEMPLATES || rc != Q_ERR))
            server_error(s, err);        /* templates are declared with resources, and not every server has them */
        if (rc < 0 && rc != Q_ERR) {
            pthread_mutex_lock(&s->line.mu);
            s->line.stale |= 1u << k;
            pthread_mutex_unlock(&s->line.mu);
        }
    }
    return rc == Q_ERR || rc == Q_FORMAT ? Q_OK : rc;
}

void start_listen(mcp_server *s)
{
    static const struct { const char *word; enum mcp_kind kind; } row[] = { { "toolsListChanged", MCP_TOOLS }, { "promptsListChanged", MCP_PROMPTS }, { "resourcesListChanged", MCP_RESOURCES } };
    q_buf b = { 0 };
    char err[Q_ERRLEN];
    bool any = false;
    if (s->era == MCP_ERA_2025) {
        if (s->wire->kind->listen)
            s->wire->kind->listen(s->wire, NULL);
        return;
    }
    pthread_mutex_lock(&s->line.mu);
    bool already = s->line.listening >= 0 || s->line.deaf;
    int64_t id = already ? -1 : ++s->line.last_id;
    if (!already)
        s->line.listening = id;
    pthread_mutex_unlock(&s->line.mu);
    if (already)
        return;
    q_buf_printf(&b, "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"method\":\"subscriptions/listen\",\"params\":{\"notifications\":{", (long long)id);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (s->tells[row[i].kind]) {
            q_buf_printf(&b, "%s\"%s\":true", any ? "," : "", row[i].word);
            any = true;
        }
    q_buf_puts(&b, "},\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"" MCP_MODERN "\",\"io.modelcontextprotocol/clientInfo\":{\"name\":\"quorum\",\"version\":\"" QUORUM_VERSION
               "\"},\"io.modelcontextprotocol/clientCapabilities\":{}}}}");
    letter l = { b.p, b.len, "subscriptions/listen", NULL, MCP_MODERN, NULL };
    if (any && s->wire->kind->listen)
        s->wire->kind->listen(s->wire, &l);
    else if (any)
        s->wire->kind->send(s->wire, &l, NULL, err);
    q_buf_free(&b);
}

static int connect_to(mcp_server *s, char *err)
{
    wire *w = NULL;
    if (!line_reset(&s->line))
        return q_fail(err, Q_CANCEL, _("%s was ended"), s->s.name);
    int rc = s->s.url ? http_open(&s->line, &s->s, &w, err) : pipe_open(&s->line, &s->s, &w, err);
    pthread_mutex_lock(&s->line.mu);
    s->wire = w;
    pthread_mutex_unlock(&s->line.mu);
    return rc;
}

static void disconnect(mcp_server *s)
{
    char *log = mcp_stderr(s);
    pthread_mutex_lock(&s->line.mu);
    wire *w = s->wire;
    s->wire = NULL;
    free(s->log);
    s->log = log;
    pthread_mutex_unlock(&s->line.mu);
    if (w)
        w->kind->close(w);
}

int start_begin(mcp_server *s, char *err)
{
    int rc = section_whole(&s->s, err);
    if (rc == Q_OK)
        rc = connect_to(s, err);
    if (rc == Q_OK && s->s.url && s->authorise && s->authorise->token) {         /* what is kept already, nobody being asked */
        char *token = NULL, none[Q_ERRLEN];
        mcp_challenge c = { .server = s->s.name, .url = s->s.url, .words = "", .ca = s->s.ca };
        if (s->authorise->token(s->authorise->user, &c, &token, none) == Q_OK && token)
            s->wire->kind->token(s->wire, token);
    }
    if (rc == Q_OK)
        rc = agree(s, &nobody, false, err);
    if (rc == Q_IO && !s->s.url && s->line.broken && s->line.rc == Q_IO) {      /* server/discover may have been its end */
        char again[Q_ERRLEN];
        disconnect(s);
        if (connect_to(s, again) == Q_OK)
            rc = agree(s, &nobody, true, err);
    }
    if (rc == Q_OK)
        start_listen(s);                 /* before they are asked for: no change falls between */
    if (rc == Q_OK)
        rc = start_lists(s, ~0u, NULL, err);
    if (rc < 0)
        disconnect(s);
    return rc;
}

int start_again(mcp_server *s, const mcp_hooks *h, char *err)
{
    int rc = agree(s, &(mcp_hooks){ .user = h ? h->user : NULL, .go = h ? h->go : NULL }, true, err);     /* of all that it may ask, whether to go on */
    if (rc == Q_OK)
        start_listen(s);
    return rc;
}
