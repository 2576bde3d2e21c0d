/* agent/toolrules: what a person allows without being asked, always in this folder: a setting under the folder's name. Any thread. Only what
 * a person does comes here: no answer, no file and no tool has a way to it. */
#include "agent/errands.h"
#include "agent/tooling.h"

#include <stdlib.h>
#include <string.h>

static char *key_of(const agt *a) { return q_printf("tools.allow %s", a->toolbox.folder); }

char *toolrules_kept(agt *a)
{
    char *key = key_of(a), *text = settings_get(&a->settings, key);
    free(key);
    return text ? text : q_strdup("");
}

char *toolrules_without(const char *list, const char *word)
{
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ", ");
        if (n && !(n == strlen(word) && strncmp(p, word, n) == 0))
            q_buf_printf(&b, "%s%.*s", b.len ? "," : "", (int)n, p);
        p += n + strspn(p + n, ", ");
    }
    return q_buf_take(&b);
}

static char *with(const char *list, const char *rules)
{
    q_buf b = { 0 };
    q_buf_puts(&b, list);
    for (const char *p = rules; *p;) {
        size_t n = strcspn(p, ", ");
        if (n && !q_listed(b.p, ", ", p, n))
            q_buf_printf(&b, "%s%.*s", b.len ? "," : "", (int)n, p);
        p += n + strspn(p + n, ", ");
    }
    return q_buf_take(&b);
}

/* ---- what is kept: by this process at once, by the store behind it ---- */
enum { ADDED, TAKEN };
typedef struct change { int64_t how; const char *rules; } change;

/* rules NULL: all of them are taken. */
static char *changed(void *user, const char *was)
{
    const change *c = user;
    char *now = !c->rules ? q_strdup("") : c->how == ADDED ? with(was ? was : "", c->rules) : toolrules_without(was ? was : "", c->rules);
    if (!*now) {
        free(now);
        return NULL;
    }
    return now;
}

static void keep(agt *a, const job *j)
{
    char err[Q_ERRLEN], *key = key_of(a);
    change c = { j->number, j->text };
    if (mem_setting_change(a->store, key, changed, &c, err) < 0)         /* another process may have changed them meanwhile: its rules stay */
        note(&a->events, AGT_ERROR, "%s", err);
    free(key);
}

static const job_row job_rules = { .name = "rules", .lane = LANE_QUICK, .end = END_CARRIED, .run = keep };

static void change_now(agt *a, int how, const char *rules)
{
    char *key = key_of(a), *had = toolrules_kept(a), *now = changed(&(change){ how, rules }, had);
    settings_put(&a->settings, key, now);
    desk_post(&a->desk, &job_rules, 0, how, rules, NULL);
    free(now);
    free(had);
    free(key);
}

int toolrules_keep(agt *a, const char *rules, char *err)
{
    tool_rules good = { 0 };
    int rc = tool_rules_add(&good, rules, err);
    tool_rules_free(&good);
    if (rc == Q_OK)
        change_now(a, ADDED, rules);
    return rc;
}

void toolrules_take(agt *a, const char *rule) { change_now(a, TAKEN, rule); }
