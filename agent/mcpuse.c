/* agent/mcpuse: what a person takes from a server by name: a resource into memory (/add mcp:NAME/URI) or beside a question (@NAME:URI), and a
 * prompt as a question (/NAME:PROMPT). A person named it, so nobody is asked; what comes is data, but for a prompt, which is asked as it is. */
#include "agent/errands.h"
#include "agent/front.h"
#include "agent/frame.h"
#include "agent/talk.h"
#include "agent/tooling.h"
#include "base/say.h"
#include "rag/rag.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX_ = 4 << 20, ATTACHED_MAX = 8 };

typedef struct waiting_for { agt *a; enum desk_lane lane; } waiting_for;

static bool go(void *user) { return !desk_stopped(&((waiting_for *)user)->a->desk, ((waiting_for *)user)->lane); }

static int server_of(agt *a, const char *name, size_t n, hub_server **out, char *err)
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
    int rc = server_of(a, name, (size_t)(uri - name), &s, err);
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
        rc = ++n > ATTACHED_MAX ? q_fail(err, Q_RANGE, _("more than %d resources stand in the question"), ATTACHED_MAX) : server_of(a, p + 1, (size_t)(colon - p - 1), &s, err);
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

/* ---- a prompt ---- */
/* The next word of a line, which quotes hold together; malloc'ed; NULL: there is none. */
static char *next_word(const char **line)
{
    const char *p = *line + strspn(*line, " \t\n");
    if (!*p)
        return NULL;
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    for (char quote = 0; *p && (quote || !strchr(" \t\n", *p)); p++)
        if (quote ? *p == quote : *p == '"' || *p == '\'')
            quote = quote ? 0 : *p;
        else
            q_buf_putc(&b, *p);
    *line = p;
    return q_buf_take(&b);
}

static const mcp_arg *argument_named(const mcp_item *p, const char *word, size_t n)
{
    for (int i = 0; i < p->n_arg; i++)
        if (strlen(p->arg[i].name) == n && strncmp(p->arg[i].name, word, n) == 0)
            return &p->arg[i];
    return NULL;
}

static const mcp_arg *next_free(const mcp_item *p, const cJSON *o)
{
    for (int i = 0; i < p->n_arg; i++)
        if (!cJSON_GetObjectItemCaseSensitive(o, p->arg[i].name))
            return &p->arg[i];
    return NULL;
}

/* "one NAME=two …": words in the order of its arguments, or by their names; an only argument takes all of the line. As JSON. */
static int prompt_arguments(const mcp_item *p, const char *line, char **out, char *err)
{
    cJSON *o = cJSON_CreateObject();
    int rc = Q_OK;
    if (p->n_arg == 1 && *line && !(strncmp(line, p->arg[0].name, strlen(p->arg[0].name)) == 0 && line[strlen(p->arg[0].name)] == '='))
        cJSON_AddStringToObject(o, p->arg[0].name, line);
    else
        for (char *word; rc == Q_OK && (word = next_word(&line)); free(word)) {
            size_t n = strcspn(word, "=");
            const mcp_arg *named = word[n] ? argument_named(p, word, n) : NULL, *to = named ? named : next_free(p, o);
            if (!to || cJSON_GetObjectItemCaseSensitive(o, to->name))
                rc = q_fail(err, Q_RANGE, _("the prompt %s takes no more than %d words, \"…\" holds several together"), p->name, p->n_arg);
            else
                cJSON_AddStringToObject(o, to->name, named ? word + n + 1 : word);
        }
    for (int i = 0; i < p->n_arg && rc == Q_OK; i++)
        if (p->arg[i].required && !cJSON_GetObjectItemCaseSensitive(o, p->arg[i].name))
            rc = q_fail(err, Q_RANGE, _("the prompt %s needs %s"), p->name, p->arg[i].name);
    *out = rc == Q_OK ? cJSON_PrintUnformatted(o) : NULL;
    cJSON_Delete(o);
    return rc;
}

static int ask_prompt(agt *a, hub_server *s, const char *name, const char *line, q_buf *out, char *err)
{
    waiting_for w = { a, LANE_LONG };
    mcp_hooks h = { .user = &w, .go = go };
    mcp_list l = { 0 };
    mcp_result r = { .is_error = false };
    char *arguments = NULL;
    const mcp_item *p = NULL;
    int rc = mcp_ready(s->is, -1, &h, err);
    if (rc == Q_OK)
        mcp_items(s->is, MCP_PROMPTS, &l);
    for (int i = 0; i < l.n && !p; i++)
        p = strcmp(l.v[i].name, name) == 0 ? &l.v[i] : NULL;
    if (rc == Q_OK)
        rc = p ? prompt_arguments(p, line, &arguments, err) : q_fail(err, Q_NOTFOUND, _("the server %s has no prompt %s; /mcp %s lists them"), mcp_name(s->is), name, mcp_name(s->is));
    if (rc == Q_OK)
        rc = mcp_prompt(s->is, name, arguments, &h, &r, err);
    for (int i = 0; i < r.n_part && rc == Q_OK && out->len < TEXT_MAX_; i++) {
        q_buf_printf(out, "%s%s", out->len ? "\n\n" : "", r.part[i].assistant ? "(assistant) " : "");
        tool_text_cut(out, r.part[i].text, strlen(r.part[i].text), TEXT_MAX_);
    }
    if (rc == Q_OK && !out->len)
        rc = q_fail(err, Q_FORMAT, _("the prompt %s came back empty"), name);
    cJSON_free(arguments);
    mcp_list_free(&l);
    mcp_result_free(&r);
    return rc;
}

/* text: NAME:PROMPT, value: the words behind it. */
static void prompted(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    hub_server *s;
    q_buf text = { 0 };
    const char *colon = strchr(j->text, ':');
    int rc = server_of(a, j->text, (size_t)(colon - j->text), &s, err);
    if (rc == Q_OK)
        rc = ask_prompt(a, s, colon + 1, j->value ? j->value : "", &text, err);
    if (rc == Q_OK)
        desk_post(&a->desk, &job_send, 0, 0, text.p, NULL);
    else if (rc != Q_CANCEL)
        note(&a->events, AGT_ERROR, "%s", err);
    q_buf_free(&text);
}

const job_row job_mcpprompt = { .name = "mcp prompt", .lane = LANE_LONG, .end = END_DROPPED, .run = prompted, .then = &job_send };

bool prompt_command(agt *a, const char *word, const char *args)
{
    const char *colon = strchr(word, ':');
    if (!colon || colon == word || !colon[1])
        return false;
    desk_post(&a->desk, &job_mcpprompt, 0, 0, word, *args ? args : NULL);
    return true;
}
