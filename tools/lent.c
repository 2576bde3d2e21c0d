/* tools/lent: tools of other programs as rows: a name that rules and every format of calls can hold, a help and a schema of bounded size
 * that say whose words they are. Any thread; a set belongs to one. */
#include "tools/inside.h"
#include "base/say.h"

#include <stdlib.h>
#include <string.h>

enum { PREFIX_MAX = 32, WORDS_MAX = 512, SCHEMA_DEEP = 32 };

struct tool_lent {
    tool_row *row;                       /* their texts are owned */
    int n;
    char **prefix;                       /* [n]: what its server's names begin with */
};

tool_lent *tool_lent_new(void) { return q_alloc(sizeof(tool_lent)); }

static void free_row(const tool_row *r)
{
    const char *const text[] = { r->name, r->help, r->schema, r->server, r->tool };
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        free((char *)(uintptr_t)text[i]);
}

void tool_lent_free(tool_lent *l)
{
    for (int i = 0; l && i < l->n; i++)
        free_row(&l->row[i]);
    for (int i = 0; l && i < l->n; i++)
        free(l->prefix[i]);
    if (l) {
        free(l->row);
        free(l->prefix);
    }
    free(l);
}

const tool_row *tool_lent_rows(const tool_lent *l, int *n)
{
    *n = l ? l->n : 0;
    return l ? l->row : NULL;
}

const tool_row *tool_place_find(const tool_place *place, const char *name)
{
    int n;
    const tool_row *own = tool_find(name), *row = tool_lent_rows(place_lent(place), &n);
    for (int i = 0; i < n && !own; i++)
        if (strcmp(row[i].name, name) == 0)
            own = &row[i];
    return own;
}

/* ---- names ---- */
/* Letters, digits, - and _ as they stand, anything else _; where that is not what was said, or no more than `most` bytes, its end says which
 * it was: so no two become one, and none becomes another because others come or go. apart: "__" may not stand in it. */
static char *sayable(const char *name, size_t most, bool apart)
{
    q_buf b = { 0 };
    char hash[65];
    bool same = *name && strlen(name) <= most;
    q_buf_puts(&b, "");
    for (const char *p = name; *p && b.len < most; p++) {
        bool good = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '-' || *p == '_';
        bool twice = apart && (good ? *p == '_' : true) && (!b.len || b.p[b.len - 1] == '_' || !p[1]);
        same = same && good && !twice;
        if (!twice)
            q_buf_putc(&b, good ? *p : '_');
    }
    while (apart && b.len && b.p[b.len - 1] == '_') {
        b.p[--b.len] = 0;
        same = false;
    }
    if (!same) {
        q_sha256(name, strlen(name), hash);
        size_t keep = b.len > most - 9 ? most - 9 : b.len;
        while (apart && keep && b.p[keep - 1] == '_')
            keep--;
        char *with = keep ? q_printf("%.*s_%.8s", (int)keep, b.p, hash) : q_printf("%.8s", hash);
        q_buf_free(&b);
        return with;
    }
    return q_buf_take(&b);
}

char *tool_lent_prefix(const char *server)
{
    char *word = sayable(server, PREFIX_MAX - 2, true), *prefix = q_printf("%s__", word);
    free(word);
    return prefix;
}

/* ---- words ---- */
/* A stranger's words on one line, cut. */
static void words(q_buf *out, const char *text, size_t most)
{
    q_buf clean = { 0 };
    q_say_clean(&clean, text, strlen(text), true);
    size_t n = clean.len > most ? q_utf8_whole(clean.p, most) : clean.len;
    q_buf_add(out, clean.p ? clean.p : "", n);
    if (n < clean.len)
        q_buf_puts(out, " …");
    q_buf_free(&clean);
}

static void cut_words(cJSON *schema, int depth)
{
    cJSON *one;
    if (depth > SCHEMA_DEEP)
        return;
    cJSON_ArrayForEach(one, schema) {
        bool said = one->string && (strcmp(one->string, "description") == 0 || strcmp(one->string, "title") == 0);
        if (said && cJSON_IsString(one)) {
            q_buf b = { 0 };
            q_buf_puts(&b, "");
            words(&b, one->valuestring, WORDS_MAX);
            cJSON_SetValuestring(one, b.p);
            q_buf_free(&b);
        } else
            cut_words(one, depth + 1);
    }
}

static int read_schema(const char *text, char **out, char *err)
{
    const char *end = NULL;
    if (strlen(text) > TOOL_SCHEMA_MAX)
        return q_fail(err, Q_RANGE, _("its schema is longer than %d bytes"), TOOL_SCHEMA_MAX);
    cJSON *j = q_json_shallow(text, SCHEMA_DEEP) ? cJSON_ParseWithOpts(text, &end, true) : NULL;
    const char *type = argument_text(j, "type");
    if (!cJSON_IsObject(j) || !type || strcmp(type, "object") != 0) {
        cJSON_Delete(j);
        return q_fail(err, Q_FORMAT, "%s", _("its schema is none of an object, so nothing can be told of its arguments"));
    }
    cut_words(j, 0);
    *out = cJSON_PrintUnformatted(j);
    cJSON_Delete(j);
    return Q_OK;
}

/* ---- one more ---- */
static bool foreign(const tool_lent *l, const char *server, const char *prefix)
{
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->prefix[i], prefix) == 0 && strcmp(l->row[i].server, server) != 0)
            return true;
    return false;
}

static bool taken(const tool_lent *l, const char *name)
{
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->row[i].name, name) == 0)
            return true;
    return false;
}

int tool_lent_add(tool_lent *l, const char *server, const char *tool, const char *help, const char *schema, bool reads, char *err)
{
    char *form = NULL, *prefix = tool_lent_prefix(server), *word = sayable(tool, TOOL_NAME_MAX - strlen(prefix), false), *name = q_printf("%s%s", prefix, word);
    int rc = l->n >= TOOL_LENT_MAX ? q_fail(err, Q_RANGE, _("there are %d tools already"), TOOL_LENT_MAX) :
             foreign(l, server, prefix) ? q_fail(err, Q_RANGE, _("another server's tools are called %s* too: give this one another name in config.ini"), prefix) :
             taken(l, name) ? q_fail(err, Q_RANGE, "%s", _("another tool of this server has the same name")) : read_schema(schema, &form, err);
    free(word);
    if (rc < 0) {
        free(prefix);
        free(name);
        return rc;
    }
    q_buf b = { 0 };
    q_buf_printf(&b, "[server %.*s says:] ", (int)strlen(prefix) - 2, prefix);
    words(&b, help, TOOL_HELP_MAX);
    l->row = q_realloc(l->row, sizeof *l->row * (size_t)(l->n + 1));
    l->prefix = q_realloc(l->prefix, sizeof *l->prefix * (size_t)(l->n + 1));
    l->prefix[l->n] = prefix;
    l->row[l->n++] = (tool_row){ .name = name, .help = q_buf_take(&b), .schema = form, .class = TOOL_MCP, .server = q_strdup(server), .tool = q_strdup(tool), .reads = reads };
    return Q_OK;
}
