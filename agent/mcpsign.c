/* agent/mcpsign: signing in at a server that asks for it. Threads that start servers cannot ask a person: they leave what the server wanted
 * here, and the engine's thread, before the next answer or in the middle of a call, asks and has it done by mcp/oauth.h. No browser is
 * opened unless the person said so; the address that it ends at may be put in by hand. Engine's thread, where nothing else is said. */
#include "agent/talk.h"
#include "agent/tooling.h"
#include "base/say.h"
#include "mcp/oauth.h"

#include <stdlib.h>
#include <string.h>

/* ---- what a server wants: any thread ---- */
static void want(agt *a, const mcp_challenge *c)
{
    mcphub *h = &a->toolbox.hub;
    hub_server *s = hub_find(a, c->server);
    if (!s)
        return;
    pthread_mutex_lock(&h->mu);
    free(s->sign.url);
    free(s->sign.words);
    s->sign.status = c->status;
    s->sign.near = c->near;
    s->sign.url = q_strdup(c->url);
    s->sign.words = q_strdup(c->words);
    pthread_mutex_unlock(&h->mu);
}

/* mcp_authorise.token: any thread. */
static int token(void *a, const mcp_challenge *c, char **out, char *err)
{
    int rc = mcp_oauth_kept(((agt *)a)->settings.signs, c, out, err);
    if (rc == Q_NOTFOUND && (c->status == 401 || (c->status == 403 && strstr(c->words, "insufficient_scope"))))
        want(a, c);
    return rc;
}

bool sign_wanted(agt *a, hub_server *s)
{
    mcphub *h = &a->toolbox.hub;
    pthread_mutex_lock(&h->mu);
    bool yes = s->sign.url && !s->sign.refused && !a->toolbox.alone;
    pthread_mutex_unlock(&h->mu);
    return yes;
}

void sign_again(agt *a, hub_server *s)
{
    mcphub *h = &a->toolbox.hub;
    pthread_mutex_lock(&h->mu);
    s->sign.refused = false;
    pthread_mutex_unlock(&h->mu);
}

/* ---- the person ---- */
static void clean(q_buf *b, const char *text, size_t most)
{
    size_t n = strlen(text);
    q_say_clean(b, text, n > most ? q_utf8_whole(text, most) : n, true);
}

static char *words_of(const mcp_sign_in *s)
{
    q_buf b = { 0 }, issuer = { 0 }, scope = { 0 }, link = { 0 };
    q_buf_puts(&issuer, "");
    q_buf_puts(&scope, "");
    q_buf_puts(&link, "");
    clean(&issuer, s->issuer, 300);
    clean(&scope, s->scope, 300);
    clean(&link, s->link, 8192);
    q_buf_say(&b, _("one signs in at %s\n"), issuer.p);
    if (scope.len)
        q_buf_say(&b, _("and lets quorum do there: %s\n"), scope.p);
    q_buf_printf(&b, "\n%s\n\n", link.p);
    q_buf_say(&b, _("y opens this address in a browser, where there is one; without one open it yourself. A browser of this machine comes back by itself; of one "
                    "on another machine answer e with the address that it ended at, http://127.0.0.1:%d/…\n"), s->port);
    q_buf_free(&issuer);
    q_buf_free(&scope);
    q_buf_free(&link);
    return q_buf_take(&b);
}

static enum mcp_sign_answer ask(void *user, const mcp_sign_in *s)
{
    agt *a = user;
    mcphub *h = &a->toolbox.hub;
    enum agt_consent how = AGT_NO;
    char *words = NULL;
    agt_call c = { .name = q_strdup(s->server), .title = q_strdup(s->server), .arguments = q_strdup(""), .state = AGT_CALL_WAITS, .asks = AGT_ASKS_SIGN, .shown = words_of(s),
                   .policy = q_strdup(_("the token stays on this machine and is shown to that server alone")), .folder = q_strdup("") };
    enum approved got = approve_wait(a, &c, 0, &how, &words);
    bool pasted = got == APPROVED_NOT && words && strstr(words, "state=");
    free(h->pasted);
    h->pasted = pasted ? words : NULL;
    if (!pasted)
        free(words);
    if (got == APPROVED)
        note(&a->events, AGT_INFO, _("waiting for the browser to come back from the sign-in at %s (Esc stops)"), s->server);
    return pasted ? MCP_SIGN_SHOWN : got == APPROVED ? MCP_SIGN_BROWSER : MCP_SIGN_NO;
}

static bool sign_waits(void *user, char **pasted)
{
    agt *a = user;
    *pasted = a->toolbox.hub.pasted;
    a->toolbox.hub.pasted = NULL;
    return !desk_stopped(&a->desk, LANE_ENGINE);
}

/* Who turns the server off wants no sign-in at it. */
static bool may_sign(void *user) { return mcp_enabled(((hub_server *)user)->is); }

bool sign_in(agt *a, hub_server *s)
{
    mcphub *h = &a->toolbox.hub;
    char err[Q_ERRLEN] = "", *got = NULL;
    mcp_status st;
    if (!sign_wanted(a, s))
        return false;
    pthread_mutex_lock(&h->mu);
    char *url = s->sign.url, *words = s->sign.words;
    mcp_challenge what = { .server = mcp_name(s->is), .url = url, .status = s->sign.status, .words = words, .near = s->sign.near, .ca = mcp_ca(s->is), .go = may_sign, .user = s };
    s->sign.url = s->sign.words = NULL;
    pthread_mutex_unlock(&h->mu);
    int rc = mcp_oauth_token(a->settings.signs, &what, &got, err);
    if (got)
        explicit_bzero(got, strlen(got));
    free(got);
    free(url);
    free(words);
    if (rc < 0) {
        pthread_mutex_lock(&h->mu);
        s->sign.refused = true;          /* until /mcp on or restart: nobody is asked with every question */
        pthread_mutex_unlock(&h->mu);
        note(&a->events, rc == Q_CANCEL ? AGT_INFO : AGT_ERROR, _("the server %s stays without a sign-in: %s (/mcp restart %s asks again)"), mcp_name(s->is), err, mcp_name(s->is));
        return false;
    }
    note(&a->events, AGT_INFO, _("signed in at %s; /mcp forget %s forgets it"), mcp_name(s->is), mcp_name(s->is));
    mcp_status_of(s->is, &st);
    if (st.state == MCP_FAILED)
        mcp_restart(s->is);
    s->waited = s->failed = false;
    return true;
}

/* ---- its beginning and end ---- */
void sign_open(agt *a)
{
    mcp_oauth_person(a->settings.signs, &(mcp_oauth_opts){ .ask = a->toolbox.alone ? NULL : ask, .wait = sign_waits, .user = a });
    mcp_set_authorise(a->settings.mcps, &(mcp_authorise){ token, a });
}

void sign_close(agt *a)
{
    mcphub *h = &a->toolbox.hub;
    if (!h->v)
        return;
    mcp_oauth_stop(a->settings.signs);
    mcp_set_stop(a->settings.mcps);      /* their threads may be at token() */
    for (int i = 0; i < h->n; i++) {
        free(h->v[i].sign.url);
        free(h->v[i].sign.words);
    }
    free(h->pasted);
}

bool sign_forget(agt *a, hub_server *s)
{
    char err[Q_ERRLEN], *where = mcp_where(s->is);
    bool had = false;
    where[strcspn(where, "\n")] = 0;
    if (mcp_http(s->is) && mcp_oauth_forget(a->settings.signs, where, &had, err) < 0)
        note(&a->events, AGT_WARN, "%s", err);
    free(where);
    sign_again(a, s);
    return had;
}
