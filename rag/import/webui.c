/* rag/import/webui: Open WebUI's export: `chat.history.messages` by name, each with parentId, `currentId`; older ones have a
 * list alone. Pure functions; any thread. */
#include "rag/import/archive.h"

#include <stdlib.h>
#include <string.h>

static const cJSON *chat_of(const cJSON *o) { return cJSON_IsObject(js_of(o, "chat")) ? js_of(o, "chat") : o; }

static bool knows(const cJSON *o)
{
    const cJSON *c = chat_of(o), *first = js_of(c, "messages");
    if (cJSON_IsObject(js_of(c, "history")) && js_of(js_of(c, "history"), "messages")) return true;
    return c != o && cJSON_IsArray(first) && cJSON_IsObject(first->child) && js_text(first->child, "role");
}

static void message(const cJSON *m, const char *name, const char *before, chat *out)
{
    static const struct { const char *name; enum mem_role role; } roles[] = {{"user", MEM_USER}, {"assistant", MEM_ASSISTANT}, {"system", MEM_SYSTEM}, {"tool", MEM_TOOL}};
    const char *said = js_text(m, "role"), *id = name ? name : js_text(m, "id"), *under = js_text(m, "parentId"), *model = js_text(m, "model");
    enum mem_role role = MEM_TOOL;
    bool known = false;
    char made[33];
    q_buf text = {0};
    if (!cJSON_IsObject(m)) {
        rag_chat_bad(out, _("a message is not what it should be"));
        return;
    }
    for (size_t i = 0; said && i < sizeof roles / sizeof *roles; i++)
        if (strcmp(said, roles[i].name) == 0) role = roles[i].role, known = true;
    if (!known) rag_chat_bad(out, _("nobody knows who said one of its messages: it is kept and not shown"));
    js_content(js_of(m, "content"), "text", &text);
    if (!id || !*id) {
        rag_chat_name(before, role, text.p, made);
        id = made;
    }
    bool shown = text.len && (role == MEM_USER || role == MEM_ASSISTANT);
    chat_message *x = rag_chat_add(out, id, under ? under : before, role, shown ? CHAT_SEEN : CHAT_HIDDEN, text.p);
    x->ms = js_date(m, "timestamp");
    if (model && role == MEM_ASSISTANT) rag_chat_say(&x->model, model);
    if (role == MEM_ASSISTANT) rag_chat_part_thinking(x);
    q_buf_free(&text);
}

static const char *read(const cJSON *o, chat *out)
{
    const cJSON *c = chat_of(o), *history = js_of(c, "history"), *all = js_of(history, "messages"), *m;
    if (!cJSON_IsObject(all)) all = cJSON_IsArray(all) ? all : js_of(c, "messages");
    if (!all || (!cJSON_IsObject(all) && !cJSON_IsArray(all))) return _("its messages are missing");
    rag_chat_title(out, js_text(o, "title") ? js_text(o, "title") : js_text(c, "title"));
    out->created_ms = js_date(o, "created_at") ? js_date(o, "created_at") : js_date(c, "timestamp");
    out->updated_ms = js_date(o, "updated_at");
    cJSON_ArrayForEach(m, all) {
        bool list = cJSON_IsArray(all);
        char *before = q_strdup(list && out->n ? out->v[out->n - 1].id : "");
        message(m, list ? NULL : m->string, before, out);
        free(before);
    }
    if (js_text(history, "currentId")) rag_chat_say(&out->last, js_text(history, "currentId"));
    const char *id = js_text(o, "id") && *js_text(o, "id") ? js_text(o, "id") : js_text(c, "id") && *js_text(c, "id") ? js_text(c, "id") : out->n ? out->v[0].id : NULL;
    if (!id) return _("it has no name by which it could be known again");
    rag_chat_say(&out->id, id);
    return NULL;
}

const archive archive_webui = {"webui", "Open WebUI", knows, read, false, NULL, NULL};
