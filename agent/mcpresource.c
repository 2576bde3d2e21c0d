/* agent/mcpresource: a resource of a server into memory (/add mcp:NAME/URI, long lane) or beside a question (@NAME:URI, engine's). A person named
 * it, so nobody is asked; what comes is data and a stranger's. */
#include "agent/errands.h"
#include "agent/frame.h"
#include "agent/tooling.h"
#include "rag/rag.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX_ = 4 << 20, ATTACHED_MAX = 8 };

typedef struct waiting_for { agt *a; enum desk_lane lane; } waiting_for;

static bool go(void *user) { return !desk_stopped(&((waiting_for *)user)->a->desk, ((waiting_for *)user)->lane); }

int resource_server(agt *a, const char *name, size_t n, hub_server **out, char *err)
{
    char *word = q_strndup(name, n);
    *out = hub_find(a, word);
    int rc = !*out ? q_fail(err, Q_NOTFOUND, _("config.ini names no MCP server %s; /mcp lists them"), word) :
             !mcp_enabled((*out)->is) ? q_fail(err, Q_RANGE, _("the server %s is off: /mcp on %s"), word, word) : Q_OK;
    free(word);
    return rc;
}

/* ---- a resource ---- */
/* Its text, cleaned. */
static int read_resource(waiting_for *w, hub_server *s, const char *uri, q_buf *out, char *err)
{
    mcp_result r = { .is_error = false };
    mcp_hooks h = { .user = w, .go = go };
    int rc = *uri ? mcp_ready(s->is, -1, &h, err) : q_fail(err, Q_RANGE, _("which resource of %s? /mcp %s lists them"), mcp_name(s->is), mcp_name(s->is));
    if (rc == Q_OK)
        rc = mcp_read(s->is, uri, &h, &r, err);
    if (rc == Q_OK && r.text.len > TEXT_MAX_)
        rc = q_fail(err, Q_RANGE, _("the resource is longer than %d MiB"), TEXT_MAX_ >> 20);
    else if (rc == Q_OK && !r.text.len)
        rc = q_fail(err, Q_FORMAT, r.blob.len ? _("the resource is no text (%s): save it to a file, then /add that") : _("the resource is empty"), r.type && *r.type ? r.type : "?");
    if (rc == Q_OK)
        tool_text_cut(out, r.text.p, r.text.len, r.text.len * 4 + 1);
    mcp_result_free(&r);
    return rc;
}

bool resource_named(const char *what) { return strncmp(what, "mcp:", 4) == 0 && strchr(what + 4, '/'); }

int resource_add(agt *a, const char *what, char *err)
{
    hub_server *s;
    q_buf text = { 0 };
    int64_t id;
    const char *name = what + 4, *uri = name + strcspn(name, "/");
    waiting_for w = { a, LANE_LONG };
    int rc = resource_server(a, name, (size_t)(uri - name), &s, err);
    if (rc == Q_OK)
        rc = read_resource(&w, s, uri + 1, &text, err);
    char *clean = q_utf8_clean(what, strlen(what));
    if (rc == Q_OK)
        rc = rag_add_text(a->store, clean, clean, MEM_TRUST_STRANGER, text.p, text.len, &id, err);
    free(clean);
    q_buf_free(&text);
    return rc;
}

/* ---- beside a question ---- */
/* "@NAME:URI" of a server that is known: its name ends at *colon, all of it at *end; NULL: there is none from p on. */
static const char *next_named(agt *a, const char *text, const char *p, const char *until, const char **colon, const char **end)
{
    for (; (p = memchr(p, '@', (size_t)(until - p))); p++) {
        bool begins = p == text || is_blank(p[-1]) || p[-1] == '\n';
        *colon = p + 1 + strcspn(p + 1, ": \t\n");
        *end = p + strcspn(p, " \t\n");
        if (begins && **colon == ':' && *colon < *end) {
            char *name = q_strndup(p + 1, (size_t)(*colon - p - 1));
            bool known_here = hub_find(a, name) != NULL;
            free(name);
            if (known_here)
                return p;
        }
    }
    return NULL;
}

int resource_attach(agt *a, const char *question, char **out, char *err)
{
    size_t own = frame_question(question);
    const char *until = question + own, *colon, *end;
    q_buf all = { 0 };
    waiting_for w = { a, LANE_ENGINE };
    int rc = Q_OK, n = 0;
    *out = NULL;
    for (const char *p = question; rc == Q_OK && a->toolbox.hub.n && (p = next_named(a, question, p, until, &colon, &end)); p = end) {
        hub_server *s;
        q_buf text = { 0 };
        char *uri = q_strndup(colon + 1, (size_t)(end - colon - 1));
        rc = ++n > ATTACHED_MAX ? q_fail(err, Q_RANGE, _("more than %d resources stand in the question"), ATTACHED_MAX) : resource_server(a, p + 1, (size_t)(colon - p - 1), &s, err);
        if (rc == Q_OK)
            rc = read_resource(&w, s, uri, &text, err);
        if (rc == Q_OK) {
            q_buf_printf(&all, "%.*s\n", (int)(end - p), p);
            q_buf_add(&all, text.p, text.len);
            q_buf_puts(&all, "\n");
        }
        q_buf_free(&text);
        free(uri);
    }
    if (rc == Q_OK && n && own < strlen(question))
        rc = q_fail(err, Q_RANGE, "%s", _("a text is attached to the question already: ask with the resource alone"));
    if (rc == Q_OK && n)
        *out = frame_attach(question, all.p, all.len);
    q_buf_free(&all);
    return rc;
}
