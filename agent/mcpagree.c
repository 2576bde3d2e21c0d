/* agent/mcpagree: what of a server a person has agreed to, kept as a setting: the hash of its command or address and, for each tool, the hash
 * of all that it said of itself with its words, so that a change can be shown. Any thread; plain functions. */
#include "agent/mcphub.h"
#include "base/say.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_KEPT = TOOL_HELP_MAX, SCHEMA_KEPT = 2048, ARGUMENT_LISTED = 512, ARGUMENTS_MOST = 100, LISTED = TOOL_LENT_MAX };      /* a person sees what the model will */

char *agree_key(const char *server) { return q_printf("mcp.agreed %s", server); }

static const char *text_of(const cJSON *o, const char *name)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, name));
    return s ? s : "";
}

cJSON *agree_read(const char *text)
{
    cJSON *j = text ? cJSON_Parse(text) : NULL;
    if (!cJSON_IsObject(j) || !*text_of(j, "where") || !cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(j, "tools"))) {
        cJSON_Delete(j);
        return NULL;
    }
    return j;
}

static void hash_of(const char *text, char hash[65]) { q_sha256(text, strlen(text), hash); }

bool agree_where(const cJSON *agreed, const char *where)
{
    char hash[65];
    hash_of(where, hash);
    return agreed && strcmp(text_of(agreed, "where"), hash) == 0;
}

static const cJSON *tool_of(const cJSON *agreed, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(agreed, "tools"), name);
}

enum agree agree_of(const cJSON *agreed, const mcp_item *item)
{
    const cJSON *t = tool_of(agreed, item->name);
    return !t ? AGREE_NEW : strcmp(text_of(t, "sha256"), item->sha256) == 0 ? AGREE_SAME : AGREE_CHANGED;
}

/* A stranger's words on one line, cut. */
static char *words(const char *s, size_t most)
{
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    q_say_clean(&b, s, strlen(s), true);
    if (b.len > most) {
        b.p[b.len = q_utf8_whole(b.p, most)] = 0;
        q_buf_puts(&b, " …");
    }
    return q_buf_take(&b);
}

static void add_line(q_buf *b, const char *before, const char *text, size_t most)
{
    char *clean = words(text, most);
    q_buf_printf(b, "%s%s\n", before, clean);
    free(clean);
}

/* ---- what a schema says in words ---- */
/* Each line "argument: words", an argument within others as "a.b", of a list as "a[].b"; whatever else is a text in it stands under its own word. */
typedef struct saying { q_buf *b; const char *before; int n; } saying;

static void say_line(saying *y, const char *path, const char *key, const char *text)
{
    if (y->n++ >= ARGUMENTS_MOST)
        return;
    char *line = q_printf("%s%s%s%s%s%s", path, *key ? *path ? " (" : "(" : "", key, *key ? ")" : "", *text && (*path || *key) ? ": " : "", text);
    add_line(y->b, y->before, line, ARGUMENT_LISTED + 64);
    free(line);
}

static bool one_of(const char *word, const char *const *list)
{
    while (*list && strcmp(*list, word) != 0)
        list++;
    return *list != NULL;
}

/* One value of a schema: its words, then what lies in it. */
static void say_schema(saying *y, const char *path, const cJSON *node, int depth)
{
    static const char *const form[] = { "type", "format", "$ref", "$schema", "$id", "required", NULL }, *const values[] = { "default", "const", "enum", "examples", "example", NULL },
                            *const named[] = { "properties", "patternProperties", "$defs", "definitions", "dependentSchemas", NULL }, *const listed[] = { "items", "prefixItems", "contains", NULL };
    const cJSON *one, *in;
    const char *help = text_of(node, "description"), *title = text_of(node, "title");
    if (depth > MCP_DEPTH_MAX)
        return;
    if (cJSON_IsArray(node))
        cJSON_ArrayForEach(one, node)
            say_schema(y, path, one, depth + 1);
    if (!cJSON_IsObject(node))
        return;
    if (*help || *title)
        say_line(y, path, "", *help ? help : title);
    if (*help && *title)
        say_line(y, path, "title", title);
    cJSON_ArrayForEach(one, node) {
        char *text = cJSON_IsString(one) ? q_strdup(one->valuestring) : one_of(one->string, values) && !cJSON_IsNull(one) ? cJSON_PrintUnformatted(one) : NULL;
        if (strcmp(one->string, "description") == 0 || strcmp(one->string, "title") == 0 || one_of(one->string, form))
            ;
        else if (text)
            say_line(y, path, one->string, text);
        else if (one_of(one->string, named)) {
            cJSON_ArrayForEach(in, one) {
                bool said = *text_of(in, "description") || *text_of(in, "title");
                char *below = q_printf("%s%s%s", path, *path ? "." : "", in->string ? in->string : "");
                if (!said)
                    say_line(y, below, "", "");
                say_schema(y, below, in, depth + 1);
                free(below);
            }
        } else {
            char *below = one_of(one->string, listed) ? q_printf("%s[]", path) : q_strdup(path);
            say_schema(y, below, one, depth + 1);
            free(below);
        }
        free(text);
    }
}

/* Its arguments, with all that it says of them at any depth. */
static void add_arguments(q_buf *b, const char *before, const mcp_item *item)
{
    cJSON *j = cJSON_Parse(item->schema);
    saying y = { b, before, 0 };
    say_schema(&y, "", j, 0);
    if (y.n > ARGUMENTS_MOST)
        q_buf_printf(b, ngettext("and %d more\n", "and %d more\n", (unsigned long)(y.n - ARGUMENTS_MOST)), y.n - ARGUMENTS_MOST);
    cJSON_Delete(j);
}

/* ---- agreed to ---- */
cJSON *agree_to(const char *where, const mcp_list *l)
{
    char hash[65];
    cJSON *j = cJSON_CreateObject();
    hash_of(where, hash);
    cJSON_AddStringToObject(j, "where", hash);
    cJSON *tools = cJSON_AddObjectToObject(j, "tools");
    for (int i = 0; i < l->n; i++) {
        cJSON *one = cJSON_AddObjectToObject(tools, l->v[i].name);
        char *help = words(*l->v[i].help ? l->v[i].help : l->v[i].title, HELP_KEPT), *schema = words(l->v[i].schema, SCHEMA_KEPT);
        cJSON_AddStringToObject(one, "sha256", l->v[i].sha256);
        cJSON_AddStringToObject(one, "help", help);
        cJSON_AddStringToObject(one, "schema", schema);
        q_buf said = { 0 };
        q_buf_puts(&said, "");
        add_arguments(&said, "", &l->v[i]);
        cJSON_AddStringToObject(one, "words", said.p);
        q_buf_free(&said);
        free(help);
        free(schema);
    }
    return j;
}

void agree_hash(const cJSON *agreed, const mcp_list *l, char hash[65])
{
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    for (int i = 0; i < l->n; i++)
        if (agree_of(agreed, &l->v[i]) != AGREE_SAME)
            q_buf_printf(&b, "%s\n", l->v[i].sha256);
    q_sha256(b.p, b.len, hash);
    q_buf_free(&b);
}

/* ---- what is read before ---- */
static void add_lines(q_buf *b, const char *before, const char *text)
{
    for (const char *s = text; *s;) {
        size_t n = strcspn(s, "\n");
        char *one = q_strndup(s, n);
        add_line(b, before, one, 2000);
        free(one);
        s += n + (s[n] == '\n');
    }
}

static const char *help_of(const mcp_item *item) { return *item->help ? item->help : item->title; }

static void add_tool(q_buf *b, const mcp_item *item)
{
    static const struct { const char *word; size_t at; signed char value; } hints[] = {
        { N_("only reads, it says"), offsetof(mcp_item, read_only), 1 }, { N_("may destroy, it says"), offsetof(mcp_item, destructive), 1 },
        { N_("reaches the world outside, it says"), offsetof(mcp_item, open_world), 1 } };
    add_line(b, "  ", item->name, 128);
    if (*help_of(item))
        add_line(b, "      ", help_of(item), HELP_KEPT);
    add_arguments(b, "      · ", item);
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        if (*((const signed char *)item + hints[i].at) == hints[i].value)
            add_line(b, "      ", _(hints[i].word), 200);
}

/* Lines of a that b does not have. */
static bool add_other(q_buf *out, const char *before, const char *a, const char *b)
{
    bool any = false;
    for (const char *line = a; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t n = strcspn(line, "\n");
        const char *at = b;
        while (*at && !(strcspn(at, "\n") == n && strncmp(at, line, n) == 0)) {
            at += strcspn(at, "\n");
            at += *at == '\n';
        }
        if (!*at)
            q_buf_printf(out, "%s%.*s\n", before, (int)n, line);
        any |= !*at;
    }
    return any;
}

/* What it says of its arguments now and did not say then, line by line; where that is the same, the schema itself. */
static bool add_schema_change(q_buf *b, const cJSON *was, const mcp_item *item, const char *schema)
{
    q_buf now = { 0 };
    const char *before = text_of(was, "words");
    bool known = cJSON_HasObjectItem(was, "words"), any = false;         /* an agreement of an older quorum has the schema alone, cut */
    q_buf_puts(&now, "");
    add_arguments(&now, "", item);
    if (known) {
        any = add_other(b, "-     · ", before, now.p);
        any |= add_other(b, "+     · ", now.p, before);
    }
    if (!any && strcmp(text_of(was, "schema"), schema) != 0) {
        q_buf_printf(b, "-     %s\n+     %s\n", text_of(was, "schema"), schema);
        any = true;
    }
    if (!known && strlen(item->schema) > SCHEMA_KEPT)
        any |= add_other(b, "+     · ", now.p, "");
    q_buf_free(&now);
    return any;
}

static void add_change(q_buf *b, const cJSON *was, const mcp_item *item)
{
    char *help = words(help_of(item), HELP_KEPT), *schema = words(item->schema, SCHEMA_KEPT);
    bool any = false;
    add_line(b, was ? "@@ " : "+ ", item->name, 128);
    if (!was) {
        add_line(b, "+     ", help, HELP_KEPT);
        add_arguments(b, "+     · ", item);
    }
    if (was && strcmp(text_of(was, "help"), help) != 0) {
        q_buf_printf(b, "-     %s\n+     %s\n", text_of(was, "help"), help);
        any = true;
    }
    any |= was && add_schema_change(b, was, item, schema);
    if (was && !any)
        add_line(b, "+     ", _("something else that it says of itself: its title, what it gives, or what it may do"), 300);
    free(help);
    free(schema);
}

char *agree_words(const mcp_server *s, const cJSON *agreed, const char *where, const mcp_list *l)
{
    bool same = agree_where(agreed, where);
    int listed = 0, rest = 0;
    q_buf b = { 0 };
    if (!same) {
        q_buf_puts(&b, mcp_http(s) ? _("It is asked at this address:\n") : _("This program runs, outside of any sandbox, with your rights:\n"));
        add_lines(&b, "  ", where);
        if (agreed)
            q_buf_puts(&b, _("This is not what you agreed to under that name before.\n"));
        q_buf_puts(&b, l->n ? _("Its tools, in its own words:\n") : _("It has no tools.\n"));
    } else
        q_buf_puts(&b, _("What its tools say of themselves is not what you agreed to:\n"));
    for (int i = 0; i < l->n; i++) {
        if (same && agree_of(agreed, &l->v[i]) == AGREE_SAME)
            continue;
        if (listed++ >= LISTED) {
            rest++;
            continue;
        }
        if (same)
            add_change(&b, tool_of(agreed, l->v[i].name), &l->v[i]);
        else
            add_tool(&b, &l->v[i]);
    }
    if (rest)
        q_buf_printf(&b, ngettext("and %d more\n", "and %d more\n", (unsigned long)rest), rest);
    return q_buf_take(&b);
}
