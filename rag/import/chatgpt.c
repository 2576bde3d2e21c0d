/* rag/import/chatgpt: ChatGPT's export: conversations.json, one file or numbered ones, also in its zip. A conversation is a
 * `mapping` of nodes by name, each with its message (or none), parent and children; `current_node` ends the branch that was
 * shown. Pure functions; any thread. */
#include "rag/import/archive.h"

#include <stdlib.h>
#include <string.h>

static bool knows(const cJSON *o)
{
    const cJSON *m = js_of(o, "mapping");
    return m && (js_of(o, "title") || js_of(o, "create_time") || js_of(o, "current_node")) && !js_of(o, "chat_messages");
}

/* What kinds of content say, by the member that holds it, and whether people saw it. */
static const struct { const char *type, *member; bool seen; } kinds[] = {
    {"text", NULL, true}, {"multimodal_text", NULL, true}, {"code", "text", false}, {"execution_output", "text", false}, {"tether_quote", "text", false},
    {"tether_browsing_display", "result", false}, {"user_editable_context", "user_instructions", false}, {"model_editable_context", "model_set_context", false},
    {"reasoning_recap", "content", false}, {"system_error", "text", false}, {"thoughts", NULL, false},
};

/* Marks in private characters: U+E200 kind U+E202 what U+E202 what U+E201. A citation says nothing (its numbers are of a search that is over);
 * of a name that was looked up its words are text; of what is not known yet the words are kept. U+E203 and U+E204 are about a cited sentence. */
static const char mark_begin[] = "\uE200", mark_end[] = "\uE201", mark_part[] = "\uE202";
enum { MARK = 3 };

static void one_mark(q_buf *b, const char *p, size_t n)
{
    const char *end = p + n, *what = memmem(p, n, mark_part, MARK);
    size_t kind = what ? (size_t)(what - p) : n;
    if ((kind == 4 && memcmp(p, "cite", 4) == 0) || (kind == 8 && memcmp(p, "filecite", 8) == 0)) return;
    for (const char *w = what ? what + MARK : p, *next; w && w < end; w = next ? next + MARK : NULL) {
        next = memmem(w, (size_t)(end - w), mark_part, MARK);
        size_t len = (size_t)((next ? next : end) - w);
        cJSON *o = cJSON_ParseWithLength(w, len);
        const cJSON *name = cJSON_IsArray(o) ? cJSON_GetArrayItem(o, 1) : NULL;
        if (cJSON_IsString(name)) q_buf_puts(b, name->valuestring);
        else q_buf_add(b, w, len);
        if (next) q_buf_putc(b, ' ');
        cJSON_Delete(o);
    }
}

static void put(q_buf *b, const char *text)
{
    if (!text || !*text) return;
    if (b->len) q_buf_puts(b, "\n\n");
    for (const char *p = text; *p;) {
        const char *end = strncmp(p, mark_begin, MARK) == 0 ? strstr(p, mark_end) : NULL;
        if (end) {
            one_mark(b, p + MARK, (size_t)(end - p - MARK));
            p = end + MARK;
        } else if (strncmp(p, "\uE203", MARK) == 0 || strncmp(p, "\uE204", MARK) == 0) p += MARK;
        else q_buf_putc(b, *p++);
    }
}

/* One part of a text: words, a picture's place, what was heard. False: it is nothing of the kind. */
static bool one_part(q_buf *b, const cJSON *part)
{
    if (cJSON_IsString(part)) put(b, part->valuestring);
    else if (cJSON_IsNull(part)) return true;
    else if (!cJSON_IsObject(part)) return false;
    else if (js_text(part, "text")) put(b, js_text(part, "text"));
    else if (js_text(part, "asset_pointer")) {
        char *at = q_printf("[%s]", js_text(part, "asset_pointer"));
        put(b, at);
        free(at);
    }
    return true;
}

/* *seen: people saw it. False: it is not what it should be; what can be read of it is in b. */
static bool content(const cJSON *c, q_buf *b, bool *seen)
{
    const char *type = js_text(c, "content_type");
    const cJSON *x, *parts = js_of(c, "parts"), *thoughts = js_of(c, "thoughts");
    bool good = cJSON_IsObject(c);
    *seen = cJSON_IsArray(parts);       /* of a kind that is not known yet, what has parts is what people saw */
    for (size_t i = 0; type && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(type, kinds[i].type) == 0) {
            *seen = kinds[i].seen;
            if (kinds[i].member) put(b, js_text(c, kinds[i].member));
        }
    if (*seen && !cJSON_IsArray(parts)) good = false;
    if (cJSON_IsArray(parts)) cJSON_ArrayForEach(x, parts) good &= one_part(b, x);
    if (cJSON_IsArray(thoughts)) cJSON_ArrayForEach(x, thoughts) put(b, js_text(x, "content"));
    return good;
}

static bool role_of(const char *name, enum mem_role *role)
{
    static const struct { const char *name; enum mem_role role; } roles[] = {{"user", MEM_USER}, {"assistant", MEM_ASSISTANT}, {"system", MEM_SYSTEM}, {"tool", MEM_TOOL}, {"developer", MEM_SYSTEM}};
    *role = MEM_TOOL;
    for (size_t i = 0; name && i < sizeof roles / sizeof *roles; i++)
        if (strcmp(name, roles[i].name) == 0) {
            *role = roles[i].role;
            return true;
        }
    return false;
}

static void node(const cJSON *n, chat *out)
{
    const cJSON *m = js_of(n, "message"), *meta = js_of(m, "metadata"), *weight = js_of(m, "weight");
    const char *under = js_text(n, "parent"), *to = js_text(m, "recipient"), *model = js_text(meta, "model_slug");
    enum mem_role role = MEM_TOOL;
    bool seen = false;
    q_buf text = {0};
    if (!cJSON_IsObject(n)) rag_chat_bad(out, _("a message is not what it should be"));
    if (!cJSON_IsObject(m)) {
        if (m && !cJSON_IsNull(m)) rag_chat_bad(out, _("a message is not what it should be"));
        rag_chat_add(out, n->string, under, role, CHAT_BARE, "");
        return;
    }
    if (!content(js_of(m, "content"), &text, &seen)) rag_chat_bad(out, _("a message is not what it should be"));
    if (!role_of(js_text(js_of(m, "author"), "role"), &role)) rag_chat_bad(out, _("nobody knows who said one of its messages: it is kept and not shown"));
    seen &= text.len > 0 && (role == MEM_USER || role == MEM_ASSISTANT) && !js_true(meta, "is_visually_hidden_from_conversation") &&
            (!to || strcmp(to, "all") == 0) && !(cJSON_IsNumber(weight) && weight->valuedouble == 0);
    chat_message *x = rag_chat_add(out, n->string, under, role, seen ? CHAT_SEEN : CHAT_HIDDEN, text.p);
    x->ms = js_date(m, "create_time");
    if (model) rag_chat_say(&x->model, model);
    rag_chat_author(x, js_text(js_of(m, "author"), "name"));       /* a tool's, or another person's */
    q_buf_free(&text);
}

static const char *read(const cJSON *o, chat *out)
{
    const cJSON *mapping = js_of(o, "mapping"), *n;
    const char *id = js_text(o, "conversation_id") ? js_text(o, "conversation_id") : js_text(o, "id");
    if (!cJSON_IsObject(mapping)) return _("its messages are missing");
    if (!id || !*id) id = js_text(o, "current_node");
    if (!id || !*id) return _("it has no name by which it could be known again");
    rag_chat_say(&out->id, id);
    rag_chat_title(out, js_text(o, "title"));
    out->created_ms = js_date(o, "create_time");
    out->updated_ms = js_date(o, "update_time");
    if (js_text(o, "current_node")) rag_chat_say(&out->last, js_text(o, "current_node"));
    cJSON_ArrayForEach(n, mapping) node(n, out);
    return NULL;
}

const archive archive_chatgpt = {"chatgpt", "ChatGPT", knows, read, false, NULL, NULL};
