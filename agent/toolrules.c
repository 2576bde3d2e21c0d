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

void toolrules_put(agt *a, const char *text)
{
    char *key = key_of(a);
    settings_put(&a->settings, key, *text ? text : NULL);
    desk_post(&a->desk, &job_setting, 0, 0, key, *text ? text : NULL);
    free(key);
}

bool toolrules_has(const char *list, const char *word, size_t n)
{
    for (const char *p = list; *p;) {
        size_t w = strcspn(p, ", ");
        if (w == n && strncmp(p, word, n) == 0)
            return true;
        p += w + strspn(p + w, ", ");
    }
    return false;
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

int toolrules_keep(agt *a, const char *rules, char *err)
{
    tool_rules good = { 0 };
    int rc = tool_rules_add(&good, rules, err);
    tool_rules_free(&good);
    if (rc < 0)
        return rc;
    char *had = toolrules_kept(a);
    q_buf b = { 0 };
    q_buf_puts(&b, had);
    for (const char *p = rules; *p;) {
        size_t n = strcspn(p, ", ");
        if (n && !toolrules_has(b.p, p, n))
            q_buf_printf(&b, "%s%.*s", b.len ? "," : "", (int)n, p);
        p += n + strspn(p + n, ", ");
    }
    toolrules_put(a, b.p);
    q_buf_free(&b);
    free(had);
    return Q_OK;
}
