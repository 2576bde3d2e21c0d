/* tools/plan: a call as a model wrote it, from its JSON to what it would do, and done. Any thread. */
#include "tools/inside.h"
#include "base/say.h"

#include <stdlib.h>
#include <string.h>

enum { ARGUMENTS_MAX = 4 << 20, NESTED_MAX = 32 };

static int parse(const char *arguments, cJSON **out, char *err)
{
    const char *end = NULL;
    *out = NULL;
    if (strlen(arguments) > ARGUMENTS_MAX)
        return q_fail(err, Q_FORMAT, "the arguments are longer than %d bytes", ARGUMENTS_MAX);
    if (!q_json_shallow(arguments, NESTED_MAX))
        return q_fail(err, Q_FORMAT, "the arguments are nested more than %d deep", NESTED_MAX);
    const char *p = arguments + strspn(arguments, " \t\r\n");
    cJSON *j = cJSON_ParseWithOpts(*p ? p : "{}", &end, true);
    if (!j)
        return q_fail(err, Q_FORMAT, "the arguments are no valid JSON near byte %ld: send them again", end && *p ? (long)(end - arguments) : 0L);
    *out = j;
    return Q_OK;
}

/* A value of an argument, on as many lines as it has. */
static void show_value(q_buf *out, const cJSON *v)
{
    char *text = cJSON_IsString(v) ? q_strdup(v->valuestring) : cJSON_PrintUnformatted(v);
    q_say_clean(out, text ? text : "", text ? strlen(text) : 0, false);
    cJSON_free(text);
}

static char *show(const cJSON *args)
{
    q_buf b = { 0 };
    const cJSON *v;
    q_buf_puts(&b, "");
    cJSON_ArrayForEach(v, args) {
        q_buf_printf(&b, "%s: ", v->string);
        show_value(&b, v);
        q_buf_putc(&b, '\n');
    }
    return q_buf_take(&b);
}

/* The tool, and the file or the first argument, on one line. */
static char *title_of(const char *name, const char *path, const cJSON *args)
{
    q_buf b = { 0 }, what = { 0 };
    const cJSON *first = args ? args->child : NULL;
    if (path && *path)
        q_buf_puts(&what, path);
    else if (first)
        show_value(&what, first);
    q_say_clean(&b, name, strlen(name) < 60 ? strlen(name) : 60, true);
    q_buf_puts(&b, what.len ? " " : "");
    size_t n = what.p ? q_utf8_whole(what.p, what.len < 160 ? what.len : 160) : 0;
    q_say_clean(&b, what.p ? what.p : "", n, true);
    if (n < what.len)
        q_buf_puts(&b, " …");
    q_buf_free(&what);
    return q_buf_take(&b);
}

char *tool_title(const char *name, const char *arguments)
{
    const tool_row *row = tool_find(name);
    cJSON *args = q_json_shallow(arguments, NESTED_MAX) ? cJSON_Parse(arguments) : NULL;
    char *title = title_of(name, row && row->path ? argument_text(args, row->path) : NULL, args);
    cJSON_Delete(args);
    return title;
}

static void name_rows(q_buf *all, const tool_row *row, int n)
{
    for (int i = 0; i < n; i++)
        q_buf_printf(all, "%s%s", all->len ? ", " : "", row[i].name);
}

static int unknown(const tool_place *place, const char *name, char *err)
{
    q_buf clean = { 0 }, all = { 0 };
    int n;
    const tool_row *row = tool_rows(&n);
    q_say_clean(&clean, name, strlen(name) < 60 ? strlen(name) : 60, true);
    name_rows(&all, row, n);
    row = tool_lent_rows(place_lent(place), &n);
    name_rows(&all, row, n);
    int rc = q_fail(err, Q_NOTFOUND, "there is no tool %s; there are: %s", clean.p ? clean.p : "", all.p);
    q_buf_free(&clean);
    q_buf_free(&all);
    return rc;
}

int tool_plan_make(const tool_place *place, const char *name, const char *arguments, tool_plan *out, char *err)
{
    *out = (tool_plan){ .row = tool_place_find(place, name), .path = q_strdup("") };
    if (!out->row)
        return unknown(place, name, err);
    q_buf unlooked = { 0 };
    cJSON *schema = cJSON_Parse(out->row->schema);
    int rc = parse(arguments, &out->args, err);
    if (rc == Q_OK)
        rc = out->row->server ? check_lent(schema, out->args, &unlooked, err) : check_arguments(schema, out->args, err);
    cJSON_Delete(schema);
    if (rc == Q_OK && out->row->path) {
        free(out->path);
        rc = place_name(place, argument_text(out->args, out->row->path), &out->path, &out->risk, err);
        if (rc < 0)
            out->path = q_strdup("");
        if (!tool_class_changes(out->row->class))
            out->risk &= ~(unsigned)TOOL_GUARDED;
    }
    if (rc == Q_OK) {
        out->shown = show(out->args);
        if (unlooked.len) {
            char *more = q_printf(_("%s(not looked at here, left to the server: %s)\n"), out->shown, unlooked.p);
            free(out->shown);
            out->shown = more;
        }
        out->title = title_of(name, out->path, out->args);
        if (out->row->look)
            rc = out->row->look(place, out, err);
    }
    q_buf_free(&unlooked);
    return rc;
}

void tool_plan_free(tool_plan *p)
{
    cJSON_Delete(p->args);
    free(p->path);
    free(p->host);
    free(p->title);
    free(p->shown);
    *p = (tool_plan){ 0 };
}

int tool_run(const tool_place *place, const tool_host *host, const tool_plan *plan, tool_result *out)
{
    char err[Q_ERRLEN] = "";
    q_buf raw = { 0 };
    int rc;
    *out = (tool_result){ .secret = (plan->risk & TOOL_SECRET) != 0 };
    if (plan->row->run)
        rc = plan->row->run(place, host, plan, out, err);
    else if (host && host->lent && plan->row->server)
        rc = host->lent(host->user, plan, out, err);
    else if (host && host->act && !plan->row->server)
        rc = host->act(host->user, plan->row->act, plan->args, &out->text, err);
    else
        rc = q_fail(err, Q_RANGE, "%s cannot be done here", plan->row->name);
    bool stopped = rc == Q_CANCEL;
    if (stopped && plan->row->class != TOOL_RUN) {
        q_buf_free(&out->text);
        return rc;
    }
    out->failed = out->failed || rc < 0;
    if (rc < 0 && !stopped) {
        q_buf_clear(&out->text);
        q_buf_puts(&out->text, err);
    }
    raw = out->text;
    out->text = (q_buf){ 0 };
    q_buf_puts(&out->text, "");
    if (tool_text_cut(&out->text, raw.p ? raw.p : "", raw.len, TOOL_TEXT_MAX)) {
        out->n_whole = raw.len;
        out->whole = q_buf_take(&raw);
    }
    q_buf_free(&raw);
    return stopped ? rc : Q_OK;
}

void tool_result_free(tool_result *r)
{
    q_buf_free(&r->text);
    free(r->whole);
    free(r->undo.path);
    free(r->undo.was);
    *r = (tool_result){ 0 };
}
