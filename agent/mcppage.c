/* agent/mcppage: /mcp: the servers, what they offer, and what a person says of them. The command: front-end thread; the rest: the quick lane,
 * but for what waits for a server, which is the long lane's. */
#include "agent/errands.h"
#include "agent/front.h"
#include "agent/tooling.h"
#include "base/say.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

static const char *const state_word[] = { [MCP_OFF] = "off", [MCP_STARTING] = "starting", [MCP_READY] = "ready", [MCP_FAILED] = "failed" };
static const char *const state_said[] = { [MCP_OFF] = N_("not started"), [MCP_STARTING] = N_("starting"), [MCP_READY] = N_("ready"), [MCP_FAILED] = N_("failed") };
static const char *const said_word[] = { [HUB_UNASKED] = "unasked", [HUB_NO] = "no", [HUB_RUN] = "run", [HUB_ALWAYS] = "always" };
static const char *const said_said[] = { [HUB_UNASKED] = N_("not agreed to yet"), [HUB_NO] = N_("left out until quorum ends"), [HUB_RUN] = N_("agreed to until quorum ends"),
                                         [HUB_ALWAYS] = N_("agreed to") };

/* As it stands now, for who reads it. */
typedef struct look { mcp_status st; enum hub_said said; cJSON *agreed; char *left, *where; } look;

static look look_at(agt *a, hub_server *s)
{
    mcphub *h = &a->toolbox.hub;
    look l = { .where = mcp_where(s->is) };
    mcp_status_of(s->is, &l.st);
    pthread_mutex_lock(&h->mu);
    l.said = s->said;
    l.agreed = s->agreed ? cJSON_Duplicate(s->agreed, true) : NULL;
    l.left = q_strdup(s->left ? s->left : "");
    pthread_mutex_unlock(&h->mu);
    if (l.said == HUB_ALWAYS && !agree_where(l.agreed, l.where))
        l.said = HUB_UNASKED;            /* it is another command or address now */
    return l;
}

static void look_free(look *l)
{
    cJSON_Delete(l->agreed);
    free(l->left);
    free(l->where);
}

static void stranger(q_buf *b, const char *before, const char *text, const char *behind)
{
    q_buf clean = { 0 };
    if (!*text)
        return;
    q_say_clean(&clean, text, strlen(text), true);
    q_buf_printf(b, "%s%s%s", before, clean.p ? clean.p : "", behind);
    q_buf_free(&clean);
}

static void add_server(q_buf *b, cJSON *list, agt *a, hub_server *s)
{
    look l = look_at(a, s);
    bool on = mcp_enabled(s->is);
    q_buf_say(b, "%-16s %s", mcp_name(s->is), on ? _(state_said[l.st.state]) : _("off"));
    stranger(b, " · ", l.st.version, "");
    if (l.st.state == MCP_READY)
        q_buf_say(b, ngettext(" · %d tool", " · %d tools", (unsigned long)l.st.n[MCP_TOOLS]), l.st.n[MCP_TOOLS]);
    if (l.st.n[MCP_RESOURCES] || l.st.n[MCP_TEMPLATES])
        q_buf_say(b, ngettext(" · %d resource", " · %d resources", (unsigned long)(l.st.n[MCP_RESOURCES] + l.st.n[MCP_TEMPLATES])), l.st.n[MCP_RESOURCES] + l.st.n[MCP_TEMPLATES]);
    if (l.st.n[MCP_PROMPTS])
        q_buf_say(b, ngettext(" · %d prompt", " · %d prompts", (unsigned long)l.st.n[MCP_PROMPTS]), l.st.n[MCP_PROMPTS]);
    q_buf_say(b, " · %s\n", _(said_said[l.said]));
    char *first = q_strndup(l.where, strcspn(l.where, "\n"));
    stranger(b, "    ", first, "\n");
    free(first);
    stranger(b, _("    last error: "), l.st.error, "\n");
    stranger(b, _("    its last line: "), l.st.line, "\n");
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "name", mcp_name(s->is));
    cJSON_AddStringToObject(o, "state", on ? state_word[l.st.state] : "off");
    cJSON_AddBoolToObject(o, "enabled", on);
    cJSON_AddStringToObject(o, "era", l.st.era == MCP_ERA_2026 ? "2026-07-28" : l.st.era == MCP_ERA_2025 ? "2025-11-25" : "");
    cJSON_AddStringToObject(o, "version", l.st.version);
    cJSON_AddStringToObject(o, "title", l.st.title);
    cJSON_AddStringToObject(o, "release", l.st.release);
    cJSON_AddStringToObject(o, "agreed", said_word[l.said]);
    cJSON_AddStringToObject(o, "where", l.where);
    cJSON_AddNumberToObject(o, "tools", l.st.n[MCP_TOOLS]);
    cJSON_AddNumberToObject(o, "resources", l.st.n[MCP_RESOURCES]);
    cJSON_AddNumberToObject(o, "templates", l.st.n[MCP_TEMPLATES]);
    cJSON_AddNumberToObject(o, "prompts", l.st.n[MCP_PROMPTS]);
    cJSON_AddNumberToObject(o, "calls", (double)l.st.calls);
    cJSON_AddNumberToObject(o, "failed", (double)l.st.failed);
    cJSON_AddNumberToObject(o, "faults", (double)l.st.faults);
    cJSON_AddNumberToObject(o, "pid", l.st.pid);
    cJSON_AddStringToObject(o, "error", l.st.error);
    cJSON_AddStringToObject(o, "line", l.st.line);
    cJSON_AddItemToArray(list, o);
    look_free(&l);
}

static void page(agt *a, const job *j)
{
    mcphub *h = &a->toolbox.hub;
    q_buf b = { 0 };
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < h->n; i++)
        add_server(&b, list, a, &h->v[i]);
    if (!h->n)
        q_buf_puts(&b, _("config.ini names no MCP server: write [mcp.NAME] into it, and below it command = PROGRAM and args = WORDS, or url = https://…\n"));
    else
        q_buf_puts(&b, _("\nThey start when tools are on (/tools on) and something is asked. /mcp NAME: what it offers · /mcp on, off, restart, forget NAME\n"
                         "/NAME:PROMPT sends a prompt of a server · @NAME:URI in a question brings a resource along · /add mcp:NAME/URI takes it into memory\n"));
    note_page(&a->events, "/mcp", q_buf_take(&b), cJSON_PrintUnformatted(list));
    cJSON_Delete(list);
}

/* ---- one of them ---- */
static void add_item(q_buf *b, const mcp_item *item, const char *mark)
{
    q_buf_puts(b, "  ");
    stranger(b, "", item->uri ? item->uri : item->name, "");
    q_buf_puts(b, mark);
    q_buf_puts(b, "\n");
    if (item->uri)
        stranger(b, "      ", item->name, "\n");
    for (int i = 0; i < item->n_arg; i++) {
        stranger(b, i ? " " : "      ", item->arg[i].name, item->arg[i].required ? "" : "?");
        if (i == item->n_arg - 1)
            q_buf_puts(b, "\n");
    }
    stranger(b, "      ", *item->help ? item->help : item->title, "\n");
}

static void json_item(cJSON *list, const mcp_item *item, const char *agreed)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "name", item->name);
    if (item->uri)
        cJSON_AddStringToObject(o, "uri", item->uri);
    cJSON_AddStringToObject(o, "help", *item->help ? item->help : item->title);
    cJSON_AddStringToObject(o, "sha256", item->sha256);
    if (agreed)
        cJSON_AddStringToObject(o, "agreed", agreed);
    cJSON_AddItemToArray(list, o);
}

static void add_items(q_buf *b, cJSON *o, hub_server *s, const look *l)
{
    static const struct { const char *word, *said; } kinds[MCP_KINDS] = { [MCP_TOOLS] = { "tools", N_("tools:") }, [MCP_RESOURCES] = { "resources", N_("resources:") },
                                                                         [MCP_TEMPLATES] = { "templates", N_("resources with holes:") }, [MCP_PROMPTS] = { "prompts", N_("prompts:") } };
    static const char *const agreed_word[] = { [AGREE_SAME] = "yes", [AGREE_CHANGED] = "changed", [AGREE_NEW] = "new" };
    bool held = agree_where(l->agreed, l->where) && l->said != HUB_NO;
    for (int k = 0; k < MCP_KINDS; k++) {
        mcp_list items = { 0 };
        mcp_items(s->is, (enum mcp_kind)k, &items);
        cJSON *list = cJSON_AddArrayToObject(o, kinds[k].word);
        if (items.n)
            q_buf_say(b, "%s\n", _(kinds[k].said));
        for (int i = 0; i < items.n; i++) {
            enum agree is = agree_of(l->agreed, &items.v[i]);
            bool tool = k == MCP_TOOLS, yes = held && is == AGREE_SAME;
            add_item(b, &items.v[i], !tool || yes ? "" : !held ? _(" (not agreed to)") : is == AGREE_CHANGED ? _(" (changed since you agreed)") : _(" (new, not agreed to)"));
            json_item(list, &items.v[i], !tool ? NULL : !held ? "no" : agreed_word[is]);
        }
        mcp_list_free(&items);
    }
}

static void one(agt *a, const job *j)
{
    hub_server *s = hub_find(a, j->text);
    q_buf b = { 0 };
    if (!s)
        return;
    look l = look_at(a, s);
    cJSON *list = cJSON_CreateArray(), *o;
    char *remarks = mcp_remarks(s->is), *how = mcp_instructions(s->is), *lines = mcp_stderr(s->is);
    add_server(&b, list, a, s);
    o = cJSON_GetArrayItem(list, 0);
    cJSON_DeleteItemFromObject(o, "tools");
    cJSON_DeleteItemFromObject(o, "resources");
    cJSON_DeleteItemFromObject(o, "templates");
    cJSON_DeleteItemFromObject(o, "prompts");
    add_items(&b, o, s, &l);
    stranger(&b, _("how it wants to be used, in its words: "), how, "\n");
    if (*remarks || *l.left)
        q_buf_say(&b, _("left out:\n%s%s\n"), remarks, l.left);
    if (*lines)
        q_buf_say(&b, _("what its program wrote to standard error:\n%s\n"), lines);
    cJSON_AddStringToObject(o, "instructions", how);
    cJSON_AddStringToObject(o, "lines", lines);
    char *title = q_printf("/mcp %s", mcp_name(s->is));
    note_page(&a->events, title, q_buf_take(&b), cJSON_PrintUnformatted(o));
    free(title);
    cJSON_Delete(list);
    free(remarks);
    free(how);
    free(lines);
    look_free(&l);
}

static bool go(void *user) { return !desk_stopped(&((agt *)user)->desk, LANE_LONG); }

/* A person who asks what it offers has it started; others wait in the lane of long work. */
static void begin(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    hub_server *s = hub_find(a, j->text);
    if (s && mcp_enabled(s->is))
        mcp_ready(s->is, -1, &(mcp_hooks){ .user = a, .go = go }, err);      /* the page says what came of it */
    one(a, j);
}

/* ---- what a person says of it ---- */
static void forget(agt *a, hub_server *s)
{
    mcphub *h = &a->toolbox.hub;
    char *key = agree_key(mcp_name(s->is));
    pthread_mutex_lock(&h->mu);
    bool had = s->agreed || s->said != HUB_UNASKED;
    cJSON_Delete(s->agreed);
    s->agreed = NULL;
    s->said = HUB_UNASKED;
    *s->refused = 0;
    pthread_mutex_unlock(&h->mu);
    settings_put(&a->settings, key, NULL);
    desk_post(&a->desk, &job_setting, 0, 0, key, NULL);
    if (sign_forget(a, s))
        note(&a->events, AGT_INFO, _("the sign-in at %s is forgotten here; what it gave may go on at the server until it is over"), mcp_name(s->is));
    note(&a->events, AGT_INFO, had ? _("the server %s is asked about again before the model may use it") : _("the server %s was not agreed to, so there is nothing to forget"), mcp_name(s->is));
    free(key);
}

static void on(agt *a, hub_server *s)
{
    mcphub *h = &a->toolbox.hub;
    pthread_mutex_lock(&h->mu);
    s->said = s->said == HUB_NO ? HUB_UNASKED : s->said;
    *s->refused = 0;
    pthread_mutex_unlock(&h->mu);
    sign_again(a, s);
    mcp_enable(s->is, true);
    if (hub_wanted(a))
        mcp_start(s->is);
    s->waited = s->failed = false;       /* the next question waits for it again */
    note(&a->events, AGT_INFO, _("the server %s is on; /mcp shows what becomes of it"), mcp_name(s->is));
}

/* What a person says of it holds at once, before the lane of long work comes to it: nothing more is asked for it. Front-end thread. */
static void end(agt *a, hub_server *s, bool for_good)
{
    mcp_end(s->is, for_good);
    approve_withdraw(a, mcp_name(s->is));
}

static void off(agt *a, hub_server *s)
{
    mcp_enable(s->is, false);
    note(&a->events, AGT_INFO, _("the server %s is off until quorum ends; enabled = no in config.ini keeps it off"), mcp_name(s->is));
}

static void restart(agt *a, hub_server *s)
{
    sign_again(a, s);
    mcp_enable(s->is, true);
    mcp_restart(s->is);
    s->waited = s->failed = false;
    note(&a->events, AGT_INFO, _("the server %s begins anew; /mcp shows what becomes of it"), mcp_name(s->is));
}

static void act(agt *a, const job *j);
static const job_row job_mcpact = { .name = "mcp act", .lane = LANE_LONG, .end = END_DROPPED, .run = act };
static const job_row job_mcpforget = { .name = "mcp forget", .lane = LANE_LONG, .end = END_CARRIED, .run = act };    /* what is kept is to go also at the end */
enum ends { GOES_ON, ENDS, ENDS_FOR_GOOD };
static const struct { const char *word, *ru; void (*does)(agt *, hub_server *); enum ends ends; const job_row *job; } acts[] = {
    { "on", "вкл", on, GOES_ON, &job_mcpact }, { "off", "выкл", off, ENDS_FOR_GOOD, &job_mcpact }, { "restart", "заново", restart, ENDS, &job_mcpact },
    { "forget", "забыть", forget, GOES_ON, &job_mcpforget } };

static void act(agt *a, const job *j)
{
    hub_server *s = hub_find(a, j->text);
    if (s)
        acts[j->number].does(a, s);
}

const job_row job_mcppage = { .name = "mcp", .lane = LANE_QUICK, .end = END_DROPPED, .run = page };
const job_row job_mcpone = { .name = "mcp one", .lane = LANE_QUICK, .end = END_DROPPED, .run = one };
const job_row job_mcpbegin = { .name = "mcp begin", .lane = LANE_LONG, .end = END_DROPPED, .run = begin };

/* ---- the command ---- */
static void unknown(agt *a, const char *name)
{
    mcphub *h = &a->toolbox.hub;
    q_buf b = { 0 };
    for (int i = 0; i < h->n; i++)
        q_buf_printf(&b, "%s%s", i ? ", " : "", mcp_name(h->v[i].is));
    if (h->n)
        note(&a->events, AGT_ERROR, _("config.ini names no MCP server %s; there are: %s"), name, b.p);
    else
        note(&a->events, AGT_ERROR, _("config.ini names no MCP server %s: write [mcp.%s] and command = … or url = … into it"), name, name);
    q_buf_free(&b);
}

bool mcp_command(agt *a, const char *args)
{
    size_t n = strcspn(args, " \t");
    const char *rest = args + n + strspn(args + n, " \t"), *name = args;
    int what = -1;
    for (size_t i = 0; i < sizeof acts / sizeof *acts && *rest; i++)
        if ((strlen(acts[i].word) == n && strncmp(args, acts[i].word, n) == 0) || (strlen(acts[i].ru) == n && strncmp(args, acts[i].ru, n) == 0)) {
            what = (int)i;
            name = rest;
        }
    if (!*args) {
        desk_post(&a->desk, &job_mcppage, 0, 0, NULL, NULL);
        return true;
    }
    if (name[strcspn(name, " \t")])
        return false;
    hub_server *s = hub_find(a, name);
    mcp_status st = { .state = MCP_READY };
    if (s)
        mcp_status_of(s->is, &st);
    bool begins = s && mcp_enabled(s->is) && (st.state == MCP_OFF || st.state == MCP_STARTING);
    if (!s)
        unknown(a, name);
    else if (what >= 0) {
        if (acts[what].ends != GOES_ON)
            end(a, s, acts[what].ends == ENDS_FOR_GOOD);
        desk_post(&a->desk, acts[what].job, 0, what, name, NULL);
    } else
        desk_post(&a->desk, begins ? &job_mcpbegin : &job_mcpone, 0, 0, name, NULL);
    return true;
}
