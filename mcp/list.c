/* mcp/list: see list.h. Any thread. */
#include "mcp/list.h"

#include "mcp/line.h"

#include <stdlib.h>
#include <string.h>

static const struct { const char *method, *array, *word; } kinds[] = {
    [MCP_TOOLS] = { "tools/list", "tools", N_("tool") }, [MCP_RESOURCES] = { "resources/list", "resources", N_("resource") },
    [MCP_TEMPLATES] = { "resources/templates/list", "resourceTemplates", N_("resource") }, [MCP_PROMPTS] = { "prompts/list", "prompts", N_("prompt") } };

const char *list_method(enum mcp_kind k) { return kinds[k].method; }

static void item_free(mcp_item *i)
{
    char *text[] = { i->name, i->uri, i->title, i->help, i->schema, i->gives, i->type };
    for (size_t k = 0; k < sizeof text / sizeof *text; k++)
        free(text[k]);
    for (int k = 0; k < i->n_arg; k++) {
        free(i->arg[k].name);
        free(i->arg[k].help);
    }
    free(i->arg);
}

void mcp_list_free(mcp_list *l)
{
    for (int i = 0; i < l->n; i++)
        item_free(&l->v[i]);
    free(l->v);
    *l = (mcp_list){ 0 };
}

static char *copy(const char *s) { return s ? q_strdup(s) : NULL; }

void list_copy(const mcp_list *l, mcp_list *out)
{
    *out = (mcp_list){ q_alloc(sizeof *out->v * (size_t)(l->n + 1)), l->n };
    for (int i = 0; i < l->n; i++) {
        const mcp_item *from = &l->v[i];
        mcp_item *to = &out->v[i];
        *to = *from;
        to->name = copy(from->name), to->uri = copy(from->uri), to->title = copy(from->title), to->help = copy(from->help);
        to->schema = copy(from->schema), to->gives = copy(from->gives), to->type = copy(from->type);
        to->arg = q_alloc(sizeof *to->arg * (size_t)(from->n_arg + 1));
        for (int k = 0; k < from->n_arg; k++)
            to->arg[k] = (mcp_arg){ copy(from->arg[k].name), copy(from->arg[k].help), from->arg[k].required };
    }
}

/* ---- one entry ---- */
static char *printed(const cJSON *v)
{
    char *s = v ? cJSON_PrintUnformatted(v) : NULL, *own = s ? q_strdup(s) : NULL;
    cJSON_free(s);
    return own;
}

static bool plain_name(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < ' ' || s[i] == 127)
            return false;
    return n > 0 && n <= 1024;
}

static void read_args(const cJSON *e, mcp_item *i)
{
    const cJSON *a, *all = msg_array(e, "arguments");
    i->arg = q_alloc(sizeof *i->arg * (size_t)(cJSON_GetArraySize(all) + 1));
    cJSON_ArrayForEach(a, all)
        if (plain_name(msg_text(a, "name")))
            i->arg[i->n_arg++] = (mcp_arg){ q_strdup(msg_text(a, "name")), q_strdup(msg_text(a, "description")), msg_flag(a, "required") == 1 };
}

static void digest(mcp_item *i)
{
    q_buf b = { 0 };
    const char *text[] = { i->name, i->uri, i->title, i->help, i->schema, i->gives, i->type };
    for (size_t k = 0; k < sizeof text / sizeof *text; k++)
        q_buf_printf(&b, "%zu:%s;", text[k] ? strlen(text[k]) : 0, text[k] ? text[k] : "");
    q_buf_printf(&b, "%d%d%d%d;", i->read_only, i->destructive, i->idempotent, i->open_world);
    for (int k = 0; k < i->n_arg; k++)
        q_buf_printf(&b, "%zu:%s;%zu:%s;%d;", strlen(i->arg[k].name), i->arg[k].name, strlen(i->arg[k].help), i->arg[k].help, i->arg[k].required);
    q_sha256(b.p, b.len, i->sha256);
    q_buf_free(&b);
}

/* Why it is none: a sentence's end, "" : it is one. */
static const char *wrong_with(enum mcp_kind kind, const cJSON *e, const mcp_item *i)
{
    const cJSON *schema = msg_object(e, "inputSchema");
    if (!cJSON_IsObject(e) || !plain_name(i->name))
        return _("it has no name that can be written");
    if (i->uri && !plain_name(i->uri))
        return _("it has no address that can be written");
    if (kind == MCP_TOOLS && (!schema || strcmp(msg_text(schema, "type"), "object") != 0))
        return _("its arguments are no JSON schema of an object");
    if (strlen(i->help) > MCP_TEXT_MAX || strlen(i->title) > MCP_TEXT_MAX || (i->schema && strlen(i->schema) > MCP_TEXT_MAX) || (i->gives && strlen(i->gives) > MCP_TEXT_MAX))
        return _("it says more of itself than a model could read");
    return "";
}

static void read_item(enum mcp_kind kind, const cJSON *e, mcp_item *i)
{
    const cJSON *hints = msg_object(e, "annotations");
    *i = (mcp_item){ .name = q_strdup(msg_text(e, "name")), .help = q_strdup(msg_text(e, "description")), .type = q_strdup(msg_text(e, "mimeType")),
                     .size = (int64_t)msg_number(e, "size", -1), .read_only = -1, .destructive = -1, .idempotent = -1, .open_world = -1 };
    const char *title = msg_text(e, "title");
    i->title = q_strdup(*title || kind != MCP_TOOLS ? title : msg_text(hints, "title"));
    if (i->size < 0 || i->size > (int64_t)1 << 53)
        i->size = -1;
    if (kind == MCP_RESOURCES || kind == MCP_TEMPLATES)
        i->uri = q_strdup(msg_text(e, kind == MCP_RESOURCES ? "uri" : "uriTemplate"));
    if (kind == MCP_PROMPTS)
        read_args(e, i);
    if (kind == MCP_TOOLS) {
        i->schema = printed(msg_object(e, "inputSchema"));
        i->gives = printed(msg_object(e, "outputSchema"));
        i->read_only = (signed char)msg_flag(hints, "readOnlyHint");
        i->destructive = (signed char)msg_flag(hints, "destructiveHint");
        i->idempotent = (signed char)msg_flag(hints, "idempotentHint");
        i->open_world = (signed char)msg_flag(hints, "openWorldHint");
    }
    digest(i);
}

static bool there_already(const mcp_list *l, const mcp_item *i)
{
    for (int k = 0; k < l->n; k++)
        if (strcmp(i->uri ? l->v[k].uri : l->v[k].name, i->uri ? i->uri : i->name) == 0)
            return true;
    return false;
}

int list_page(enum mcp_kind kind, const cJSON *result, mcp_list *out, q_buf *remarks, void (*why_not)(const cJSON *, char[Q_ERRLEN]), char *err)
{
    const cJSON *all = msg_array(result, kinds[kind].array), *e;
    if (!all)
        return q_fail(err, Q_FORMAT, _("its answer to %s holds no list"), kinds[kind].method);
    cJSON_ArrayForEach(e, all) {
        mcp_item i;
        char name[80], more[Q_ERRLEN] = "";
        read_item(kind, e, &i);
        const char *why = wrong_with(kind, e, &i);
        if (!*why && there_already(out, &i))
            why = _("there is another of that name");
        if (!*why && out->n >= MCP_ITEMS_MAX)
            why = _("there are more than any model could be told of");
        if (!*why && kind == MCP_TOOLS && why_not) {
            why_not(msg_object(e, "inputSchema"), more);
            why = more;
        }
        if (!*why) {
            out->v = q_realloc(out->v, sizeof *out->v * (size_t)(out->n + 1));
            out->v[out->n++] = i;
            continue;
        }
        line_plain(name, sizeof name, i.name);
        if (remarks->len < 4096)
            q_buf_printf(remarks, _("the %s \"%s\" is left out: %s\n"), _(kinds[kind].word), name, why);
        item_free(&i);
    }
    return Q_OK;
}
