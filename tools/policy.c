/* tools/policy: who decides. Rules are a person's; nothing that a model, a file or a tool says becomes one. Any thread. */
#include "tools/inside.h"
#include "tools/url.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

struct tool_rule {
    bool denies;
    char *what;                          /* a tool or a class; "all" */
    char *pattern;                       /* its path must match; NULL: any */
};

static bool of_hosts(const char *what)
{
    const tool_row *row = tool_find(what);
    return (row && row->class == TOOL_WEB) || strcmp(what, tool_class_word(TOOL_WEB)) == 0;
}

/* A lent tool, or all of a server: SERVER__TOOL, SERVER__*. Servers come and go: the name need not be there now. */
static bool lent(const char *what)
{
    const char *rest = strstr(what, "__");
    size_t n = strspn(what, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return rest && rest > what && rest[2] && n <= TOOL_NAME_MAX && (!what[n] || strcmp(what + n, "*") == 0) && what + n > rest + 1;
}

static bool known(const char *what)
{
    bool yes = tool_find(what) || strcmp(what, "all") == 0 || lent(what);
    for (int c = 0; c < TOOL_CLASSES; c++)
        yes = yes || strcmp(what, tool_class_word((enum tool_class)c)) == 0;
    return yes;
}

static void add(tool_rules *r, bool denies, char *what, char *pattern)
{
    r->v = q_realloc(r->v, sizeof *r->v * (size_t)(r->n + 1));
    r->v[r->n++] = (struct tool_rule){ denies, what, pattern };
}

static int add_word(tool_rules *r, const char *word, size_t n, char *err)
{
    bool denies = n && *word == '-';
    char *what = q_strndup(word + denies, n - denies), *colon = strchr(what, ':'), *pattern = NULL;
    if (colon) {
        *colon = 0;
        pattern = q_strdup(colon + 1);
    }
    const tool_row *row = tool_find(what);
    int rc = !known(what) ? q_fail(err, Q_FORMAT, _("%s is no tool and no kind of tool: /tools lists them (read, recall, write, remember, knob, run, network, mcp, all)"), what)
             : pattern && !*pattern ? q_fail(err, Q_FORMAT, _("the path pattern behind %s: is empty: write %s:src/*"), what, what)
             : pattern && of_hosts(what) && !url_pattern(pattern, strlen(pattern))
             ? q_fail(err, Q_FORMAT, _("%s is no host: write %s:HOST, HOST:PORT, HOST* for any port, or *.HOST for what lies below it"), pattern, what)
             : pattern && (lent(what) || (row && !row->path && !of_hosts(what))) ? q_fail(err, Q_FORMAT, _("%s names no file, so it takes no path pattern"), what)
                                            : Q_OK;
    if (rc == Q_OK)
        add(r, denies, what, pattern);
    else {
        free(what);
        free(pattern);
    }
    return rc;
}

int tool_rules_add(tool_rules *r, const char *text, char *err)
{
    tool_rules more = { 0 };
    int rc = Q_OK;
    for (const char *p = text; *p && rc == Q_OK;) {
        p += strspn(p, ", \t\n");
        size_t n = strcspn(p, ", \t\n");
        if (n)
            rc = add_word(&more, p, n, err);
        p += n;
    }
    for (int i = 0; i < more.n && rc == Q_OK; i++)
        add(r, more.v[i].denies, more.v[i].what, more.v[i].pattern);
    if (rc == Q_OK)
        more.n = 0;
    tool_rules_free(&more);
    return rc;
}

void tool_rules_free(tool_rules *r)
{
    for (int i = 0; i < r->n; i++) {
        free(r->v[i].what);
        free(r->v[i].pattern);
    }
    free(r->v);
    *r = (tool_rules){ 0 };
}

char *tool_rules_text(const tool_rules *r)
{
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    for (int i = 0; i < r->n; i++)
        q_buf_printf(&b, "%s%s%s%s%s", i ? "," : "", r->v[i].denies ? "-" : "", r->v[i].what, r->v[i].pattern ? ":" : "", r->v[i].pattern ? r->v[i].pattern : "");
    return q_buf_take(&b);
}

/* ---- judging ---- */
char *tool_rule_for(const tool_plan *p)
{
    if (p->risk == TOOL_NETWORK && p->host)
        return q_printf("%s:%s", p->row->name, p->host);
    if (p->risk || p->row->class == TOOL_PURE)
        return NULL;
    return q_strdup(p->row->class == TOOL_READ ? tool_class_word(TOOL_READ) : p->row->name);
}

static bool of(const struct tool_rule *r, const tool_row *row)
{
    size_t n = strlen(r->what);
    if (row->server && n && r->what[n - 1] == '*')
        return strncmp(r->what, row->name, n - 1) == 0;
    return strcmp(r->what, "all") == 0 || strcmp(r->what, row->name) == 0 || strcmp(r->what, tool_class_word(row->class)) == 0;
}

static bool matches(const struct tool_rule *r, const tool_plan *p)
{
    if (!of(r, p->row) || !r->pattern)
        return of(r, p->row);
    if (of_hosts(r->what))
        return p->host && url_matches(r->pattern, strlen(r->pattern), p->host);
    return *p->path && fnmatch(r->pattern, p->path, 0) == 0;
}

bool tool_denied(const tool_rules *r, const char *tool, const char *path)
{
    const tool_row *row = tool_find(tool);
    bool yes = false;
    for (int i = 0; r && row && i < r->n && !yes; i++)
        yes = r->v[i].denies && r->v[i].pattern && !of_hosts(r->v[i].what) && of(&r->v[i], row) && fnmatch(r->v[i].pattern, path, 0) == 0;
    return yes;
}

char *tool_risk_words(unsigned risk)
{
    static const struct { unsigned risk; const char *words; } row[] = {
        { TOOL_OUTSIDE, N_("it leaves the project folder") }, { TOOL_SECRET, N_("it touches what may hold keys or passwords") },
        { TOOL_GUARDED, N_("it changes what other programs run or obey") }, { TOOL_EMPTIES, N_("it removes all that the file holds") },
        { TOOL_BARE, N_("nothing holds commands in here: it may do whatever you may do") }, { TOOL_NETWORK, N_("it wants the network") },
        { TOOL_TAKES, N_("a word in it takes something away or sends it out") }, { TOOL_CARRIES, N_("its address is long: much may leave in it") } };
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (risk & row[i].risk)
            q_buf_printf(&b, "%s%s", b.len ? "; " : "", _(row[i].words));
    return q_buf_take(&b);
}

static enum tool_say because(enum tool_say say, char **why, char *words)
{
    if (why)
        *why = words;
    else
        free(words);
    return say;
}

static char *rule_words(const struct tool_rule *r)
{
    return q_printf("%s%s%s%s", r->denies ? "-" : "", r->what, r->pattern ? ":" : "", r->pattern ? r->pattern : "");
}

enum tool_say tool_judge(const tool_plan *p, const tool_rules *const *set, int n, char **why)
{
    const struct tool_rule *allows = NULL;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < set[i]->n; k++) {
            const struct tool_rule *r = &set[i]->v[k];
            if (!matches(r, p))
                continue;
            if (r->denies)
                return because(TOOL_DENY, why, rule_words(r));
            allows = allows && (allows->pattern || !r->pattern) ? allows : r;      /* what names more says more */
        }
    if (p->row->class == TOOL_PURE)
        return because(TOOL_ALLOW, why, q_strdup(_("it reaches nothing")));
    bool lifted = allows && p->risk == TOOL_NETWORK && of_hosts(allows->what) && allows->pattern;
    if (p->risk && !lifted)
        return because(TOOL_ASK, why, tool_risk_words(p->risk));
    return allows ? because(TOOL_ALLOW, why, rule_words(allows)) : because(TOOL_ASK, why, q_strdup(_("no rule allows it")));
}
