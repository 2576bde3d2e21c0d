/* rag/import/claude: Claude's export: conversations.json with `chat_messages`, a list in order; where a message names its
 * parent, a tree. Pure functions; any thread. */
#include "rag/import/archive.h"

#include <stdlib.h>
#include <string.h>

static bool knows(const cJSON *o) { return js_of(o, "chat_messages") && (js_text(o, "uuid") || js_of(o, "name")); }

/* Files that came with a message: what was read out of them. */
static void attached(const cJSON *m, q_buf *b)
{
    const cJSON *list = js_of(m, "attachments"), *x;
    if (!cJSON_IsArray(list)) return;
    cJSON_ArrayForEach(x, list) {
        const char *name = js_text(x, "file_name"), *text = js_text(x, "extracted_content");
        if (!text || !*text) continue;
        if (b->len) q_buf_puts(b, "\n\n");
        if (name && *name) q_buf_printf(b, "[%s]\n", name);     /* what was pasted has none */
        q_buf_puts(b, text);
    }
}

/* A model's calls of tools (what it wrote into a document among them) and what came of them: kept, not shown. */
static void calls(const cJSON *m, const char *id, const char *before, chat *out)
{
    const cJSON *list = js_of(m, "content"), *x;
    int n = 0;
    if (!cJSON_IsArray(list)) return;
    cJSON_ArrayForEach(x, list) {
        const char *type = js_text(x, "type");
        bool call = type && strcmp(type, "tool_use") == 0, result = type && strcmp(type, "tool_result") == 0;
        q_buf text = {0};
        char *input = call ? cJSON_PrintUnformatted(js_of(x, "input")) : NULL, *name = q_printf("%s %d", id, n);
        if (input) q_buf_puts(&text, input);
        if (result) js_content(js_of(x, "content"), "text", &text);
        if (text.len) {
            chat_message *k = rag_chat_add(out, name, before, call ? MEM_ASSISTANT : MEM_TOOL, CHAT_HIDDEN, text.p);
            k->ms = js_date(m, "created_at");
            rag_chat_author(k, js_text(x, "name"));
            n++;
        }
        cJSON_free(input);
        free(name);
        q_buf_free(&text);
    }
}

static void message(const cJSON *m, const char *before, char name[33], chat *out)
{
    const char *sender = js_text(m, "sender"), *id = js_text(m, "uuid"), *under = js_text(m, "parent_message_uuid");
    bool user = sender && strcmp(sender, "human") == 0, model = sender && strcmp(sender, "assistant") == 0;
    q_buf text = {0}, thinking = {0};
    if (!cJSON_IsObject(m)) {
        rag_chat_bad(out, _("a message is not what it should be"));
        return;
    }
    js_content(js_of(m, "content"), "text", &text);
    js_content(js_of(m, "content"), "thinking", &thinking);
    if (!text.len) js_content(js_of(m, "text"), "text", &text);
    attached(m, &text);
    if (!user && !model) rag_chat_bad(out, _("nobody knows who said one of its messages: it is kept and not shown"));
    enum mem_role role = user ? MEM_USER : model ? MEM_ASSISTANT : MEM_TOOL;
    if (!id || !*id) {
        rag_chat_name(before, role, text.p, name);
        id = name;
    }
    calls(m, id, under && *under ? under : before, out);
    chat_message *x = rag_chat_add(out, id, under && *under ? under : before, role, text.len && role != MEM_TOOL ? CHAT_SEEN : CHAT_HIDDEN, text.p);
    x->ms = js_date(m, "created_at");
    if (thinking.len) rag_chat_say(&x->thinking, thinking.p);
    q_buf_free(&text);
    q_buf_free(&thinking);
}

static const char *read(const cJSON *o, chat *out)
{
    const cJSON *list = js_of(o, "chat_messages"), *m;
    if (!cJSON_IsArray(list)) return _("its messages are missing");
    rag_chat_title(out, js_text(o, "name"));
    out->created_ms = js_date(o, "created_at");
    out->updated_ms = js_date(o, "updated_at");
    if (js_text(o, "uuid")) rag_chat_say(&out->id, js_text(o, "uuid"));
    cJSON_ArrayForEach(m, list) {
        char name[33], *before = q_strdup(out->n ? out->v[out->n - 1].id : "");
        message(m, before, name, out);
        free(before);
    }
    if (js_text(o, "current_leaf_message_uuid")) rag_chat_say(&out->last, js_text(o, "current_leaf_message_uuid"));
    if (!out->id && out->n) rag_chat_say(&out->id, out->v[0].id);
    return out->id ? NULL : _("it has no name by which it could be known again");
}

const archive archive_claude = {"claude", "Claude", knows, read, false, NULL, NULL};
