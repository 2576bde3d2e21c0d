/* agent/mcphub: servers are waited for, agreed to, and what they offer is lent to the present answer. See mcphub.h. */
#include "agent/errands.h"
#include "agent/talk.h"
#include "agent/tooling.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- waiting ---- */
typedef struct hold { agt *a; int64_t end_ns; q_buf missing; } hold;    /* missing: who is not there and why, a sentence each */

static bool hold_go(void *user) { return !desk_stopped(&((hold *)user)->a->desk, LANE_ENGINE); }
static bool hold_on(void *user) { return hold_go(user) && q_now_ns() < ((hold *)user)->end_ns; }

/* Said together: a screen has room for one note, and the second would hide the first. */
static void __attribute__((format(printf, 2, 3))) miss(hold *w, const char *fmt, ...)
{
    va_list v;
    va_start(v, fmt);
    char *one = NULL;
    if (vasprintf(&one, fmt, v) >= 0) {
        q_buf_printf(&w->missing, "%s%s", w->missing.len ? " · " : "", one);
        free(one);
    }
    va_end(v);
}

/* Is it there? The first time a question waits for it, up to the end of the hold. */
static bool there(hub_server *s, hold *w)
{
    agt *a = w->a;
    char err[Q_ERRLEN] = "";
    mcp_status st;
    int64_t left = (w->end_ns - q_now_ns()) / 1000000;
    int rc = mcp_ready(s->is, s->waited || left < 0 ? 0 : (int)left, &(mcp_hooks){ .user = w, .go = hold_go }, err);
    s->waited = true;
    if (rc == Q_OK) {
        s->failed = s->waited = false;   /* should it break, its next start is waited for too */
        mcp_status_of(s->is, &st);
        if (st.stale & (1u << MCP_TOOLS) && mcp_refresh(s->is, &(mcp_hooks){ .user = w, .go = hold_on }, err) < 0 && hold_go(w))
            note(&a->events, AGT_WARN, _("the tools of %s are those that it had before: %s"), mcp_name(s->is), err);
    } else if (rc == Q_RANGE)
        miss(w, _("the server %s is still starting: this answer goes without its tools"), mcp_name(s->is));
    else if (rc != Q_CANCEL && !s->failed && !sign_wanted(a, s)) {
        miss(w, _("the server %s is not there, so its tools are not: %s (/mcp restart %s tries again)"), mcp_name(s->is), err, mcp_name(s->is));
        s->failed = true;
    }
    return rc == Q_OK;
}

/* One that is not there for want of a sign-in, after the person was asked for it; then it is waited for anew. */
static bool signed_in(hub_server *s, hold *w)
{
    if (!sign_in(w->a, s))
        return false;
    w->end_ns = q_now_ns() + (int64_t)(settings_number(&w->a->settings, "agent.mcp_wait") * 1e9);
    return there(s, w);
}

/* ---- agreeing ---- */
/* Where nobody is there to be asked, who said --allow has named the server, unless it is another than was agreed to once. */
static enum agt_consent without_person(agt *a, hub_server *s, bool agreed)
{
    char *prefix = tool_lent_prefix(mcp_name(s->is)), *rules;
    pthread_mutex_lock(&a->toolbox.mu);
    rules = tool_rules_text(&a->toolbox.given);
    pthread_mutex_unlock(&a->toolbox.mu);
    bool named = false;
    for (const char *p = rules; *p && !named;) {
        size_t n = strcspn(p, ",");
        named = (n == 3 && (strncmp(p, "mcp", 3) == 0 || strncmp(p, "all", 3) == 0)) || strncmp(p, prefix, strlen(prefix)) == 0;
        p += n + (p[n] == ',');
    }
    free(rules);
    free(prefix);
    if (named && !agreed)
        return AGT_ONCE;
    note(&a->events, AGT_WARN, agreed ? _("what the server %s offers is not what was agreed to, and nobody is there to be asked: it is left out; start quorum in a terminal and look")
                                      : _("nobody is there to agree to the server %s: it is left out; agree to it once in a terminal, or name it in --allow"), mcp_name(s->is));
    return AGT_NO;
}

static enum agt_consent ask(agt *a, hub_server *s, const cJSON *agreed, const char *where, const mcp_list *l, bool *stopped)
{
    enum agt_consent how = AGT_NO;
    char *words = NULL;
    if (a->toolbox.alone)
        return without_person(a, s, agreed != NULL);
    agt_call c = { .name = q_strdup(mcp_name(s->is)), .title = q_strdup(mcp_name(s->is)), .arguments = q_strdup(""), .state = AGT_CALL_WAITS, .asks = AGT_ASKS_SERVER,
                   .shown = agree_words(s->is, agreed, where, l), .diff = agree_where(agreed, where), .rule = q_strdup(mcp_name(s->is)),
                   .policy = q_strdup(_("a server's words are a stranger's; each call is still asked about")), .folder = q_strdup("") };
    *stopped = approve_wait(a, &c, 0, &how, &words) == APPROVED_STOPPED;
    free(words);
    return *stopped ? AGT_NO : how;
}

static void keep(agt *a, hub_server *s, enum agt_consent how, cJSON *agreed /* taken */)
{
    mcphub *h = &a->toolbox.hub;
    char *key = agree_key(mcp_name(s->is)), *text = cJSON_PrintUnformatted(agreed);
    pthread_mutex_lock(&h->mu);
    cJSON_Delete(s->agreed);
    s->agreed = agreed;
    s->said = how == AGT_FOLDER ? HUB_ALWAYS : HUB_RUN;
    *s->refused = 0;
    pthread_mutex_unlock(&h->mu);
    if (how == AGT_FOLDER) {
        settings_put(&a->settings, key, text);
        desk_post(&a->desk, &job_setting, 0, 0, key, text);
    }
    free(key);
    cJSON_free(text);
}

/* Asks where something is new. What is agreed to afterwards; the caller's; NULL: nothing of it. */
static cJSON *agree(agt *a, hub_server *s, const mcp_list *l)
{
    mcphub *h = &a->toolbox.hub;
    char hash[65], none[65], *where = mcp_where(s->is);
    bool stopped = false;
    pthread_mutex_lock(&h->mu);
    cJSON *agreed = s->agreed ? cJSON_Duplicate(s->agreed, true) : NULL;
    bool no = s->said == HUB_NO;
    agree_hash(agreed, l, hash);
    agree_hash(agreed, &(mcp_list){ 0 }, none);
    bool held = agree_where(agreed, where), as_it_is = held && (strcmp(hash, none) == 0 || strcmp(hash, s->refused) == 0);
    pthread_mutex_unlock(&h->mu);
    if (!no && !as_it_is) {
        enum agt_consent how = ask(a, s, agreed, where, l, &stopped);
        if (how != AGT_NO) {
            cJSON_Delete(agreed);
            agreed = agree_to(where, l);
            keep(a, s, how, cJSON_Duplicate(agreed, true));
            held = true;
        } else if (!stopped && !a->toolbox.alone) {
            pthread_mutex_lock(&h->mu);
            if (held)
                memcpy(s->refused, hash, sizeof hash);
            else
                s->said = HUB_NO;
            pthread_mutex_unlock(&h->mu);
            note(&a->events, AGT_INFO, held ? _("what is new of the server %s is left out; /mcp forget %s asks about it again") : _("the server %s is left out until quorum ends; /mcp on %s asks again"),
                 mcp_name(s->is), mcp_name(s->is));
        }
    }
    free(where);
    if (no || !held) {
        cJSON_Delete(agreed);
        return NULL;
    }
    return agreed;
}

/* ---- lending ---- */
static void lend(agt *a, hub_server *s, const cJSON *agreed, const mcp_list *l, tool_lent *out)
{
    mcphub *h = &a->toolbox.hub;
    char err[Q_ERRLEN];
    q_buf left = { 0 };
    q_buf_puts(&left, "");
    for (int i = 0; i < l->n; i++) {
        const mcp_item *t = &l->v[i];
        if (agree_of(agreed, t) == AGREE_SAME && tool_lent_add(out, mcp_name(s->is), t->name, *t->help ? t->help : t->title, t->schema, t->read_only == 1, err) < 0) {
            char *name = tool_title(t->name, "{}");
            q_buf_printf(&left, "%s: %s\n", name, err);
            free(name);
        }
    }
    pthread_mutex_lock(&h->mu);
    bool news = left.len && (!s->left || strcmp(s->left, left.p) != 0);
    free(s->left);
    s->left = q_strdup(left.p);
    pthread_mutex_unlock(&h->mu);
    if (news)
        note(&a->events, AGT_WARN, _("of the server %s is left out: %.*s"), mcp_name(s->is), (int)left.len - 1, left.p);
    q_buf_free(&left);
}

void hub_gather(agt *a)
{
    mcphub *h = &a->toolbox.hub;
    char err[Q_ERRLEN];
    hold w = { .a = a, .end_ns = q_now_ns() + (int64_t)(settings_number(&a->settings, "agent.mcp_wait") * 1e9) };
    tool_lent *was = h->lent;
    if (!h->n)
        return;
    h->lent = tool_lent_new();
    hub_start(a);                        /* side by side */
    for (int i = 0; i < h->n && hub_wanted(a) && hold_go(&w); i++) {
        hub_server *s = &h->v[i];
        mcp_list l = { 0 };
        if (hub_refused(a, s) || (!there(s, &w) && !signed_in(s, &w)))
            continue;
        mcp_items(s->is, MCP_TOOLS, &l);
        cJSON *agreed = l.n ? agree(a, s, &l) : NULL;
        if (agreed)
            lend(a, s, agreed, &l, h->lent);
        cJSON_Delete(agreed);
        mcp_list_free(&l);
    }
    if (w.missing.len)
        note(&a->events, AGT_WARN, "%s", w.missing.p);
    q_buf_free(&w.missing);
    if (tooling_place(a, err) == Q_OK)
        tool_place_lend(a->toolbox.place, h->lent);
    tool_lent_free(was);
}
