/* agent/mcpcall: a call of a server's tool while an answer runs, and how far it is. Engine thread. */
#include "agent/talk.h"
#include "agent/tooling.h"
#include "base/say.h"

#include <cjson/cJSON.h>
#include <string.h>

/* ---- a call ---- */
typedef struct calling { turn *t; const tool_row *row; int64_t told_ns; } calling;

static bool go(void *user) { return toolhost_go(((calling *)user)->t); }

/* As /add shows how far it is; ten times a second is enough to read. */
static void progress(void *user, double done, double total, const char *text)
{
    calling *c = user;
    int64_t now = q_now_ns();
    if (c->told_ns && now - c->told_ns < 100000000)
        return;
    c->told_ns = now;
    q_buf b = { 0 };
    q_buf_puts(&b, c->row->name);
    if (*text) {
        q_buf_puts(&b, ": ");
        q_say_clean(&b, text, q_utf8_whole(text, strlen(text) < 120 ? strlen(text) : 120), true);
    }
    bool measured = total > 0 && total < 1e15 && done >= 0 && done <= total;
    agt_event e = { .kind = AGT_EV_PROGRESS, .text = q_buf_take(&b), .done = measured ? (int64_t)(done / total * 1000) : 0, .total = measured ? 1000 : -1, .rate = -1 };
    evq_push(&c->t->a->events, &e);
}

static enum mcp_answer elicit(void *user, const char *message, const char *schema, q_buf *content)
{
    const calling *c = user;
    return form_ask(c->t, c->row->server, message, schema, content);
}

static void add_result(q_buf *out, const mcp_result *r)
{
    q_buf_add(out, r->text.p ? r->text.p : "", r->text.len);
    if (!r->text.len && r->structured)
        q_buf_puts(out, r->structured);
    for (int i = 0; i < r->n_link; i++)
        q_buf_printf(out, "%s[resource %s%s%s]\n", out->len && out->p[out->len - 1] != '\n' ? "\n" : "", r->link[i].uri, *r->link[i].name ? " " : "", r->link[i].name);
}

int hub_lent(void *turn_, const tool_plan *p, tool_result *out, char *err)
{
    turn *t = turn_;
    calling c = { .t = t, .row = p->row };
    hub_server *s = hub_find(t->a, p->row->server);
    mcp_result r = { .is_error = false };
    if (!s || !mcp_enabled(s->is))
        return q_fail(err, Q_NOTFOUND, "the person has turned the server %s off", p->row->server);
    char *arguments = cJSON_PrintUnformatted(p->args);
    int rc = mcp_call(s->is, p->row->tool, arguments, &(mcp_hooks){ .user = &c, .go = go, .progress = progress, .elicit = elicit }, &r, err);
    if (rc < 0 && rc != Q_CANCEL && sign_in(t->a, s))
        rc = mcp_call(s->is, p->row->tool, arguments, &(mcp_hooks){ .user = &c, .go = go, .progress = progress, .elicit = elicit }, &r, err);
    cJSON_free(arguments);
    if (c.told_ns) {
        agt_event end = { .kind = AGT_EV_PROGRESS, .text = q_strdup(c.row->name) };
        evq_push(&t->a->events, &end);
    }
    if (rc == Q_OK) {
        add_result(&out->text, &r);
        out->failed = r.is_error;
    }
    mcp_result_free(&r);
    return rc;
}
