/* agent/toolpage: /tools: what a model may do here, what is allowed without asking, how that is taken back, and what was done. The
 * command: front-end thread; both pages: the quick lane. */
#include "agent/errands.h"
#include "agent/front.h"
#include "agent/tooling.h"
#include "agent/view.h"
#include "base/say.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

/* What is allowed in the conversation `chat` and in no other. */
static char *chat_rules(agt *a, int64_t chat)
{
    pthread_mutex_lock(&a->toolbox.mu);
    char *text = a->toolbox.chat_of == chat ? tool_rules_text(&a->toolbox.chat) : q_strdup("");
    pthread_mutex_unlock(&a->toolbox.mu);
    return text;
}

/* chat 0: whatever conversation they are of. */
static void put_chat_rules(agt *a, int64_t chat, const char *rules)
{
    char err[Q_ERRLEN];
    pthread_mutex_lock(&a->toolbox.mu);
    if (!chat || a->toolbox.chat_of == chat) {
        tool_rules_free(&a->toolbox.chat);
        tool_rules_add(&a->toolbox.chat, rules, err);
    }
    pthread_mutex_unlock(&a->toolbox.mu);
}

static void revoke_all(agt *a)
{
    char *kept = toolrules_kept(a);
    if (*kept)
        toolrules_take(a, NULL);
    put_chat_rules(a, 0, "");
    note(&a->events, AGT_INFO, _("nothing is allowed without asking any more, but for what --allow said"));
    free(kept);
}

/* One rule or several, as /tools allow takes them. */
static void revoke(agt *a, const char *rules)
{
    int64_t present = front_present(a);
    if (strcmp(rules, "all") == 0 || strcmp(rules, "все") == 0 || strcmp(rules, "всё") == 0) {
        revoke_all(a);
        return;
    }
    for (const char *p = rules; *p;) {
        size_t n = strcspn(p, ", ");
        char *word = q_strndup(p, n), *kept = toolrules_kept(a), *chat = chat_rules(a, present);
        bool always = q_listed(kept, ", ", word, n), here = q_listed(chat, ", ", word, n);
        char *left_here = toolrules_without(chat, word);
        if (always)
            toolrules_take(a, word);
        if (here)
            put_chat_rules(a, present, left_here);
        if (n)
            note(&a->events, always || here ? AGT_INFO : AGT_ERROR, always || here ? _("%s is asked about again")
                                                                                   : _("%s is not allowed here, so there is nothing to take back: /tools lists what is"), word);
        free(word);
        free(kept);
        free(chat);
        free(left_here);
        p += n + strspn(p + n, ", ");
    }
}

/* ---- the page ---- */
static void rules_line(q_buf *b, cJSON *o, const char *json, const char *what, const char *rules)
{
    cJSON_AddStringToObject(o, json, rules);
    if (*rules)
        q_buf_say(b, "%s: %s\n", what, rules);
}

/* Where the loaded model writes no calls: a sentence, malloc'ed; else NULL. */
static char *speechless(agt *a)
{
    pthread_mutex_lock(&a->shown.mu);
    char *say = a->shown.full_name && !a->shown.about.calls ? q_printf(_("%s writes no calls that are known here, so it is offered none: tools need another model (/model)"), a->shown.full_name) : NULL;
    pthread_mutex_unlock(&a->shown.mu);
    return say;
}

static void page(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    tool_place *p = NULL;
    char *box = tool_place_open(a->toolbox.folder, &p, err) == Q_OK ? tool_place_box(p) : q_strdup(err);
    tool_place_close(p);
    q_buf b = { 0 }, v = { 0 };
    const char *mode = settings_value(&a->settings, "agent.tools", &v);
    char *kept = toolrules_kept(a), *chat = chat_rules(a, j->id);
    pthread_mutex_lock(&a->toolbox.mu);
    char *given = tool_rules_text(&a->toolbox.given);
    pthread_mutex_unlock(&a->toolbox.mu);
    int n;
    const tool_row *row = tool_rows(&n);
    cJSON *o = cJSON_CreateObject(), *list;
    q_buf_say(&b, strcmp(mode, "off") == 0 ? _("tools are off: /tools on offers the model all of them, /tools read those that change nothing\n")
                  : strcmp(mode, "read") == 0 ? _("tools that change nothing are on: /tools on offers all, /tools off none\n") : _("tools are on: /tools off takes them away\n"));
    char *mute = speechless(a);
    if (mute && strcmp(mode, "off") != 0)
        q_buf_say(&b, "%s\n", mute);
    free(mute);
    q_buf_say(&b, _("project folder: %s\n"), a->toolbox.folder);
    q_buf_say(&b, "%s\n", box);
    cJSON_AddStringToObject(o, "commands", box);
    free(box);
    cJSON_AddStringToObject(o, "tools", mode);
    cJSON_AddStringToObject(o, "folder", a->toolbox.folder);
    rules_line(&b, o, "given", _("allowed by --allow"), given);
    rules_line(&b, o, "kept", _("always allowed in this folder"), kept);
    rules_line(&b, o, "conversation", _("allowed in this conversation"), chat);
    if (!*given && !*kept && !*chat)
        q_buf_puts(&b, _("nothing is allowed without asking, but for what reaches nothing (pure)\n"));
    q_buf_puts(&b, "\n");
    list = cJSON_AddArrayToObject(o, "list");
    for (int i = 0; i < n; i++) {
        cJSON *one = cJSON_CreateObject();
        q_buf_say(&b, "%-16s %-9s %s\n", row[i].name, tool_class_word(row[i].class), _(row[i].help));
        cJSON_AddStringToObject(one, "name", row[i].name);
        cJSON_AddStringToObject(one, "kind", tool_class_word(row[i].class));
        cJSON_AddStringToObject(one, "help", _(row[i].help));
        cJSON_AddItemToArray(list, one);
    }
    if (a->toolbox.hub.n)
        q_buf_say(&b, ngettext("%d MCP server of config.ini has more: /mcp\n", "%d MCP servers of config.ini have more: /mcp\n", (unsigned long)a->toolbox.hub.n), a->toolbox.hub.n);
    q_buf_puts(&b, _("\nWhat leaves the project folder, may hold keys or passwords, is run by other programs or empties a file is asked about each time.\n"
                     "/tools allow read,edit_file:src/* · /tools revoke edit_file:src/* · /tools calls: what was done here · /undo takes files back\n"));
    note_page(&a->events, "/tools", q_buf_take(&b), cJSON_PrintUnformatted(o));
    cJSON_Delete(o);
    q_buf_free(&v);
    free(kept);
    free(chat);
    free(given);
}

const job_row job_toolpage = { .name = "toolpage", .lane = LANE_QUICK, .end = END_DROPPED, .run = page };

/* ---- the command ---- */
bool tools_command(agt *a, const char *args)
{
    static const struct { const char *word, *mode; } modes[] = { { "on", "all" }, { "all", "all" }, { "вкл", "all" }, { "read", "read" }, { "чтение", "read" }, { "off", "off" }, { "выкл", "off" } };
    char err[Q_ERRLEN];
    size_t n = strcspn(args, " \t");
    const char *rest = args + n + strspn(args + n, " \t");
    char *word = q_strndup(args, n);
    bool good = true;
    if (!*args)
        desk_post(&a->desk, &job_toolpage, front_present(a), 0, NULL, NULL);
    else if (strcmp(word, "allow") == 0 && *rest) {
        if (toolrules_keep(a, rest, err) < 0)
            note(&a->events, AGT_ERROR, "%s", err);
        else
            note(&a->events, AGT_INFO, _("allowed in %s from now on: %s; /tools revoke takes it back"), a->toolbox.folder, rest);
    } else if (strcmp(word, "revoke") == 0 && *rest)
        revoke(a, rest);
    else if (strcmp(word, "calls") == 0)
        desk_post(&a->desk, &job_calls, front_present(a), strtol(rest, NULL, 10), NULL, NULL);
    else {
        good = false;
        for (size_t i = 0; i < sizeof modes / sizeof *modes && !*rest; i++)
            if (strcmp(word, modes[i].word) == 0) {
                char *mute = strcmp(modes[i].mode, "off") == 0 ? NULL : speechless(a);
                knobs_set(a, "agent.tools", modes[i].mode);
                if (mute)
                    note(&a->events, AGT_WARN, "%s", mute);
                free(mute);
                good = true;
            }
    }
    free(word);
    return good;
}

/* ---- what was done ---- */
/* id: the conversation, number: a call of it, 0: a list. */
static void calls(agt *a, const job *j)
{
    enum { MOST = 50 };
    char err[Q_ERRLEN];
    mem_calls l = { 0 };
    q_buf b = { 0 }, whole = { 0 };
    cJSON *all = cJSON_CreateArray();
    int rc = mem_call_last(a->store, j->id, j->number ? 100000 : MOST, &l, err);
    bool any = false;
    for (int i = l.n - 1; i >= 0; i--) {
        const mem_call *c = &l.v[i];
        agt_call v = view_call(c);
        if (j->number && c->id != j->number) {
            agt_call_free(&v);
            continue;
        }
        any = true;
        q_buf_say(&b, "%4lld  %s  (%s, %lld ms%s)\n", (long long)c->id, v.title, c->policy, (long long)c->ms, v.undone ? _(", undone") : v.undoable ? _(", /undo takes it back") : "");
        if (j->number) {
            q_buf_puts(&b, "\n");
            q_say_clean(&b, c->arguments, strlen(c->arguments), false);
            q_buf_puts(&b, "\n\n");
            bool more = mem_call_whole(a->store, c->id, &whole, err) == Q_OK;
            q_say_clean(&b, more ? whole.p : c->result, more ? whole.len : strlen(c->result), false);
            q_buf_puts(&b, "\n");
        }
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "id", (double)c->id);
        cJSON_AddNumberToObject(one, "message", (double)c->message);
        cJSON_AddStringToObject(one, "name", c->name);
        cJSON_AddStringToObject(one, "arguments", c->arguments);
        cJSON_AddStringToObject(one, "result", c->result);
        cJSON_AddStringToObject(one, "policy", c->policy);
        cJSON_AddNumberToObject(one, "ms", (double)c->ms);
        cJSON_AddBoolToObject(one, "undone", c->undone);
        cJSON_AddItemToArray(all, one);
        agt_call_free(&v);
    }
    if (rc < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else if (!any)
        note(&a->events, j->number ? AGT_ERROR : AGT_INFO, "%s", j->number ? _("there is no such call in this conversation: /tools calls lists them") : _("no tool was used in this conversation yet"));
    else
        note_page(&a->events, "/tools", q_buf_take(&b), cJSON_PrintUnformatted(all));
    cJSON_Delete(all);
    q_buf_free(&b);
    q_buf_free(&whole);
    mem_calls_free(&l);
}

const job_row job_calls = { .name = "calls", .lane = LANE_QUICK, .end = END_DROPPED, .run = calls };
