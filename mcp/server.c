/* mcp/server: the list of servers, and each one's life: started where it is wanted, in a thread of its own; ended by who says so. */
#include "mcp/server.h"

#include "mcp/call.h"
#include "mcp/headers.h"
#include "mcp/result.h"
#include "mcp/start.h"

#include <stdlib.h>
#include <string.h>

struct mcp_set { mcp_server **v; int n; mcp_authorise authorise; };

/* ---- the list ---- */
mcp_set *mcp_set_new(void) { return q_alloc(sizeof(mcp_set)); }

static void *stop_thread(void *s)
{
    mcp_stop(s);
    return NULL;
}

static void server_free(mcp_server *s)
{
    for (int k = 0; k < MCP_KINDS; k++) {
        mcp_list_free(&s->list[k]);
        free(s->remarks[k]);
    }
    free(s->instructions);
    free(s->log);
    section_free(&s->s);
    line_free(&s->line);
    pthread_mutex_destroy(&s->turn);
    free(s);
}

static bool is_off(mcp_server *s)
{
    pthread_mutex_lock(&s->line.mu);
    bool off = s->state == MCP_OFF;
    pthread_mutex_unlock(&s->line.mu);
    return off;
}

void mcp_set_stop(mcp_set *set)
{
    pthread_t *t = q_alloc(sizeof *t * (size_t)(set->n + 1));
    bool *beside = q_alloc((size_t)set->n + 1);
    for (int i = 0; i < set->n; i++)
        beside[i] = !is_off(set->v[i]) && pthread_create(&t[i], NULL, stop_thread, set->v[i]) == 0;
    for (int i = 0; i < set->n; i++) {
        if (beside[i])
            pthread_join(t[i], NULL);
        mcp_stop(set->v[i]);
    }
    free(t);
    free(beside);
}

void mcp_set_free(mcp_set *set)
{
    if (!set)
        return;
    mcp_set_stop(set);
    for (int i = 0; i < set->n; i++)
        server_free(set->v[i]);
    free(set->v);
    free(set);
}

static bool good_name(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
    return n > 0 && n <= 32 && !s[n] && *s != '_' && s[n - 1] != '_' && !strstr(s, "__");
}

mcp_server *mcp_find(const mcp_set *set, const char *name)
{
    for (int i = 0; set && i < set->n; i++)
        if (strcmp(set->v[i]->s.name, name) == 0)
            return set->v[i];
    return NULL;
}

int mcp_put(mcp_set *set, const char *name, const char *key, const char *value, char *err)
{
    mcp_server *s = mcp_find(set, name);
    if (s)
        return section_put(&s->s, key, value, err);
    if (!good_name(name))
        return q_fail(err, Q_RANGE, _("an MCP server's name is up to 32 letters, digits, dashes and single underscores, not \"%s\""), name);
    s = q_alloc(sizeof *s);
    section_init(&s->s, name);
    int rc = section_put(&s->s, key, value, err);
    s->authorise = &set->authorise;
    line_init(&s->line, s->s.name);
    pthread_mutex_init(&s->turn, NULL);
    if (rc < 0) {
        server_free(s);
        return rc;
    }
    set->v = q_realloc(set->v, sizeof *set->v * (size_t)(set->n + 1));
    set->v[set->n++] = s;
    return Q_OK;
}

int mcp_count(const mcp_set *set) { return set ? set->n : 0; }
mcp_server *mcp_at(const mcp_set *set, int i) { return set->v[i]; }
const char *mcp_name(const mcp_server *s) { return s->s.name; }
char *mcp_where(const mcp_server *s) { return section_where(&s->s); }
bool mcp_http(const mcp_server *s) { return s->s.url != NULL; }
const char *mcp_ca(const mcp_server *s) { return s->s.ca; }
void mcp_set_authorise(mcp_set *set, const mcp_authorise *a) { set->authorise = a ? *a : (mcp_authorise){ NULL, NULL }; }

bool mcp_enabled(const mcp_server *s)
{
    mcp_server *own = (mcp_server *)(uintptr_t)s;
    pthread_mutex_lock(&own->line.mu);
    bool on = s->s.enabled;
    pthread_mutex_unlock(&own->line.mu);
    return on;
}

void mcp_enable(mcp_server *s, bool on)
{
    pthread_mutex_lock(&s->line.mu);
    s->s.enabled = on;
    pthread_mutex_unlock(&s->line.mu);
    if (!on)
        mcp_stop(s);
}

/* ---- its life ---- */
/* The wire that broke off, if one did: nobody uses it any more. */
static void retire(mcp_server *s)
{
    pthread_mutex_lock(&s->line.mu);
    wire *w = s->wire;
    if (w && w->kind->log) {
        free(s->log);
        s->log = w->kind->log(w);
    }
    s->wire = NULL;
    pthread_mutex_unlock(&s->line.mu);
    if (w)
        w->kind->close(w);
}

static void *starter(void *user)
{
    mcp_server *s = user;
    char err[Q_ERRLEN] = "";
    retire(s);
    int rc = start_begin(s, err);
    pthread_mutex_lock(&s->line.mu);
    s->state = rc == Q_OK ? MCP_READY : MCP_FAILED;
    if (rc < 0)
        q_fail(s->error, rc, "%s", err);
    pthread_cond_broadcast(&s->line.news);
    pthread_mutex_unlock(&s->line.mu);
    return NULL;
}

void mcp_end(mcp_server *s, bool off)
{
    char why[Q_ERRLEN];
    q_fail(why, Q_CANCEL, _("%s was ended"), s->s.name);
    if (off) {
        pthread_mutex_lock(&s->line.mu);
        s->s.enabled = false;
        pthread_mutex_unlock(&s->line.mu);
    }
    line_end(&s->line, why);
}

bool mcp_ending(mcp_server *s)
{
    pthread_mutex_lock(&s->line.mu);
    bool yes = s->line.broken || s->line.ends;
    pthread_mutex_unlock(&s->line.mu);
    return yes;
}

void mcp_stop(mcp_server *s)
{
    char why[Q_ERRLEN];
    pthread_mutex_lock(&s->turn);
    q_fail(why, Q_CANCEL, _("%s was ended"), s->s.name);
    line_end(&s->line, why);
    if (s->has_starter)
        pthread_join(s->starter, NULL);
    s->has_starter = false;
    pthread_mutex_lock(&s->line.mu);
    while (s->users)
        line_wait(&s->line, 1000);
    s->state = MCP_OFF;
    s->line.ends = false;
    pthread_cond_broadcast(&s->line.news);
    pthread_mutex_unlock(&s->line.mu);
    retire(s);
    pthread_mutex_unlock(&s->turn);
}

/* Waits for nobody: not for who starts or ends it just now, nor for calls that are at the person while it broke off. True: it begins. */
static bool begin(mcp_server *s)
{
    if (pthread_mutex_trylock(&s->turn) != 0)
        return false;
    pthread_mutex_lock(&s->line.mu);
    enum mcp_state was = s->state;
    bool broke = was == MCP_READY && s->line.broken && !s->users, may = s->s.enabled && (was == MCP_OFF || broke);
    if (may)
        s->state = MCP_STARTING;
    if (may && broke)
        q_fail(s->error, Q_IO, "%s", s->line.why);
    pthread_mutex_unlock(&s->line.mu);
    if (may && s->has_starter)           /* it has said READY, and is at its end */
        pthread_join(s->starter, NULL);
    if (may && !(s->has_starter = pthread_create(&s->starter, NULL, starter, s) == 0)) {
        pthread_mutex_lock(&s->line.mu);
        s->state = was;
        pthread_mutex_unlock(&s->line.mu);
        may = false;
    }
    pthread_mutex_unlock(&s->turn);
    return may;
}

void mcp_start(mcp_server *s) { begin(s); }

void mcp_restart(mcp_server *s)
{
    mcp_stop(s);
    begin(s);
}

int mcp_ready(mcp_server *s, int ms, const mcp_hooks *h, char *err)
{
    int64_t until = ms < 0 ? INT64_MAX : q_now_ns() + (int64_t)ms * 1000000;
    bool waits = false;                  /* for who ends it, or for calls of what broke off */
    for (int starts = 0;;) {
        if (h && h->go && !h->go(h->user))
            return q_fail(err, Q_CANCEL, _("stopped"));
        pthread_mutex_lock(&s->line.mu);
        bool over = q_now_ns() >= until;
        if ((s->state == MCP_STARTING || waits) && !over)
            line_wait(&s->line, 50);
        enum mcp_state state = s->state;
        bool broken = s->line.broken, on = s->s.enabled;
        if (state == MCP_FAILED)
            q_fail(err, Q_IO, "%s", s->error);
        pthread_mutex_unlock(&s->line.mu);
        if (state == MCP_READY && !broken)
            return Q_OK;
        if (state == MCP_FAILED)
            return Q_IO;
        if (!on)
            return q_fail(err, Q_NOTFOUND, _("%s is switched off: /mcp on %s"), s->s.name, s->s.name);
        if ((state == MCP_STARTING || waits) && over)
            return q_fail(err, Q_RANGE, _("%s is still starting: ask again in a moment"), s->s.name);
        if (state == MCP_STARTING)
            continue;
        if (starts == 2)
            return q_fail(err, Q_IO, _("%s breaks off as soon as it is started: look into its log (/mcp %s)"), s->s.name, s->s.name);
        waits = !begin(s);
        starts += !waits;
    }
}

int mcp_refresh(mcp_server *s, const mcp_hooks *h, char *err)
{
    mcp_status st;
    char why[Q_ERRLEN];
    int rc = mcp_ready(s, -1, h, err);
    if (rc < 0)
        return rc;
    mcp_status_of(s, &st);
    if (!st.stale)
        return Q_OK;
    if ((rc = server_use(s, err)) < 0)
        return rc;
    start_listen(s);                     /* before they are asked for: no change falls between */
    if ((rc = start_lists(s, st.stale, h, why)) < 0)
        q_fail(err, rc, "%s", why);
    server_done(s);
    return rc;
}

/* ---- asking ---- */
static unsigned sessions(mcp_server *s)
{
    pthread_mutex_lock(&s->line.mu);
    unsigned n = s->sessions;
    pthread_mutex_unlock(&s->line.mu);
    return n;
}

/* A session that is gone, begun anew; who met the same loss meanwhile waits for it. was: sessions() before the call was asked. */
static int session_anew(mcp_server *s, unsigned was, const mcp_hooks *h, char *err)
{
    int rc = Q_OK;
    pthread_mutex_lock(&s->line.mu);
    while (s->renews && !s->line.broken && rc == Q_OK) {
        line_wait(&s->line, 50);
        pthread_mutex_unlock(&s->line.mu);
        rc = h && h->go && !h->go(h->user) ? q_fail(err, Q_CANCEL, _("stopped")) : Q_OK;
        pthread_mutex_lock(&s->line.mu);
    }
    bool mine = rc == Q_OK && !s->renews && s->sessions == was;
    s->renews |= mine;
    pthread_mutex_unlock(&s->line.mu);
    if (!mine)
        return rc;
    rc = start_again(s, h, err);
    pthread_mutex_lock(&s->line.mu);
    s->renews = false;
    s->sessions += rc == Q_OK;
    pthread_cond_broadcast(&s->line.news);
    pthread_mutex_unlock(&s->line.mu);
    return rc;
}

/* Once more where that is no second time: a session that is gone, headers that its list had wrong. */
static int asked(mcp_server *s, question *q, const char *tool, const char *arguments, const mcp_hooks *h, msg *m, char *err)
{
    int rc = Q_OK, status = 0;
    for (int tries = 0; tries < 2; tries++) {
        words header = { 0 };
        unsigned session = sessions(s);
        if (tool && s->s.url && s->era == MCP_ERA_2026) {
            pthread_mutex_lock(&s->line.mu);
            for (int i = 0; i < s->list[MCP_TOOLS].n; i++)
                if (strcmp(s->list[MCP_TOOLS].v[i].name, tool) == 0)
                    headers_of(s->list[MCP_TOOLS].v[i].schema, arguments, &header);
            pthread_mutex_unlock(&s->line.mu);
        }
        q->header = &header;
        rc = call_ask(s, q, h, m, &status, err);
        q->header = NULL;
        words_wipe(&header);
        bool gone = rc < 0 && status == 404 && s->era == MCP_ERA_2025, headers = rc == Q_ERR && tool && s->s.url && (int)msg_number(m->body, "code", 0) == -32020;
        if (tries || (!gone && !headers))
            break;
        char other[Q_ERRLEN];
        if (gone ? session_anew(s, session, h, other) < 0 : start_lists(s, 1u << MCP_TOOLS, h, other) < 0)
            break;
        msg_free(m);
    }
    return rc;
}

static int ask(mcp_server *s, question q, const char *tool, const char *arguments, const mcp_hooks *h, mcp_result *out,
               int (*read)(const cJSON *, mcp_result *, char *), char *err)
{
    msg m = { .id = -1 };
    char why[Q_ERRLEN];                  /* also of what was tried again */
    int rc = mcp_ready(s, -1, h, err);
    if (rc == Q_OK && (rc = server_use(s, err)) == Q_OK) {
        if ((rc = asked(s, &q, tool, arguments, h, &m, why)) < 0)
            q_fail(err, rc, "%s", why);
        else if ((rc = read(m.body, out, why)) < 0)
            q_fail(err, rc, "%s: %s", s->s.name, why);
        msg_free(&m);
        server_done(s);
    }
    pthread_mutex_lock(&s->line.mu);
    s->calls++;
    s->failed += rc < 0;
    pthread_mutex_unlock(&s->line.mu);
    if (rc < 0 && rc != Q_CANCEL)
        server_error(s, err);
    return rc;
}

/* {"name":…} or {"uri":…} and the arguments as they are; NULL: they are no object. */
static char *members(const char *key, const char *name, const char *arguments)
{
    q_buf b = { 0 };
    cJSON *a = arguments ? cJSON_ParseWithOpts(arguments, NULL, true) : NULL;
    bool ok = !arguments || (cJSON_IsObject(a) && q_utf8_valid(arguments, strlen(arguments)));
    cJSON_Delete(a);
    if (!ok)
        return NULL;
    q_buf_printf(&b, "\"%s\":", key);
    msg_quote(&b, name);
    if (arguments) {
        q_buf_puts(&b, ",\"arguments\":");
        for (const char *p = arguments; *p; p++)             /* a message is one line */
            q_buf_putc(&b, *p == '\n' || *p == '\r' ? ' ' : *p);
    }
    return q_buf_take(&b);
}

static int no_object(char *err) { return q_fail(err, Q_FORMAT, _("the arguments are no JSON object: write {…}")); }

int mcp_call(mcp_server *s, const char *tool, const char *arguments, const mcp_hooks *h, mcp_result *out, char *err)
{
    char *m = members("name", tool, arguments ? arguments : "{}");
    if (!m)
        return no_object(err);
    int rc = ask(s, (question){ .method = "tools/call", .name = tool, .members = m }, tool, arguments ? arguments : "{}", h, out, result_call, err);
    free(m);
    return rc;
}

int mcp_read(mcp_server *s, const char *uri, const mcp_hooks *h, mcp_result *out, char *err)
{
    char *m = members("uri", uri, NULL);
    int rc = ask(s, (question){ .method = "resources/read", .name = uri, .members = m }, NULL, NULL, h, out, result_read, err);
    free(m);
    return rc;
}

int mcp_prompt(mcp_server *s, const char *prompt, const char *arguments, const mcp_hooks *h, mcp_result *out, char *err)
{
    char *m = members("name", prompt, arguments);
    if (!m)
        return no_object(err);
    int rc = ask(s, (question){ .method = "prompts/get", .name = prompt, .members = m }, NULL, NULL, h, out, result_prompt, err);
    free(m);
    return rc;
}
