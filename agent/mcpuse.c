/* agent/mcpuse: a prompt of a server as a question (/NAME:PROMPT). A person asked for it: it is asked as it comes, but that no line of it passes
 * for a rule of theirs. Long lane. */
#include "agent/errands.h"
#include "agent/frame.h"
#include "agent/front.h"
#include "agent/talk.h"
#include "agent/tooling.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX_ = 4 << 20 };

static bool go(void *user) { return !desk_stopped(&((agt *)user)->desk, LANE_LONG); }

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
    mcp_hooks h = { .user = a, .go = go };
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
    int rc = resource_server(a, j->text, (size_t)(colon - j->text), &s, err);
    if (rc == Q_OK)
        rc = ask_prompt(a, s, colon + 1, j->value ? j->value : "", &text, err);
    if (rc == Q_OK) {
        q_buf question = { 0 };
        frame_no_rules(&question, text.p, text.len);
        desk_post(&a->desk, &job_send, SEND_AS_IT_IS, 0, question.p, NULL);
        q_buf_free(&question);
    } else if (rc != Q_CANCEL)
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
