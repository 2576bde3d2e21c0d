/* rag/import/studio: LM Studio's conversations, a file each: `messages`, each with `versions` and which of them goes on; an
 * answer of several steps has its texts and thoughts in content blocks. Nothing has a name: it is made of where it stands and
 * what it says. Pure functions; any thread. */
#include "rag/import/archive.h"

#include <stdlib.h>
#include <string.h>

static bool knows(const cJSON *o)
{
    const cJSON *list = js_of(o, "messages"), *m;
    if (!cJSON_IsArray(list)) return false;
    cJSON_ArrayForEach(m, list)
        if (cJSON_IsArray(js_of(m, "versions"))) return true;
    return false;
}

/* A block of an answer: what it says, or what was thought. */
static void block(const cJSON *s, q_buf *text, q_buf *thinking)
{
    const char *style = js_text(js_of(s, "style"), "type");
    js_content(js_of(s, "content"), "text", style && strcmp(style, "thinking") == 0 ? thinking : text);
}

static bool version(const cJSON *v, const char *under, char name[33], chat *out)
{
    const cJSON *steps = js_of(v, "steps"), *s;
    const char *said = js_text(v, "role"), *model = js_text(js_of(v, "senderInfo"), "senderName");
    bool user = said && strcmp(said, "user") == 0, answer = said && strcmp(said, "assistant") == 0;
    q_buf text = {0}, thinking = {0};
    if (!cJSON_IsObject(v)) return false;
    js_content(js_of(v, "content"), "text", &text);
    if (cJSON_IsArray(steps)) cJSON_ArrayForEach(s, steps) block(s, &text, &thinking);
    enum mem_role role = user ? MEM_USER : answer ? MEM_ASSISTANT : MEM_SYSTEM;
    rag_chat_name(under, role, text.p, name);
    chat_message *x = rag_chat_add(out, name, under, role, text.len && role != MEM_SYSTEM ? CHAT_SEEN : CHAT_HIDDEN, text.p);
    if (answer && model) rag_chat_say(&x->model, model);
    if (answer) rag_chat_part_thinking(x);
    if (thinking.len) rag_chat_say(&x->thinking, thinking.p);
    q_buf_free(&text);
    q_buf_free(&thinking);
    return user || answer || (said && strcmp(said, "system") == 0);
}

static void message(const cJSON *m, char under[33], chat *out)
{
    const cJSON *versions = js_of(m, "versions"), *v, *chosen = js_of(m, "currentlySelected");
    int at = 0, want = cJSON_IsNumber(chosen) ? (int)chosen->valuedouble : 0;
    char next[33] = "";
    if (!cJSON_IsArray(versions) || !versions->child) {
        rag_chat_bad(out, _("a message is not what it should be"));
        return;
    }
    cJSON_ArrayForEach(v, versions) {
        char name[33] = "";
        if (!version(v, under, name, out)) rag_chat_bad(out, _("a message is not what it should be"));
        if (*name && (at++ == want || !*next)) memcpy(next, name, sizeof name);
    }
    if (*next) memcpy(under, next, sizeof next);
}

static const char *read(const cJSON *o, chat *out)
{
    const cJSON *list = js_of(o, "messages"), *m;
    const char *system = js_text(o, "systemPrompt");
    char under[33] = "";
    int64_t made = js_date(o, "createdAt");
    if (!cJSON_IsArray(list)) return _("its messages are missing");
    rag_chat_title(out, js_text(o, "name"));
    out->created_ms = made;
    out->updated_ms = js_date(o, "assistantLastMessagedAt") ? js_date(o, "assistantLastMessagedAt") : js_date(o, "userLastMessagedAt");
    if (system && *system) {
        char name[33];
        rag_chat_name("", MEM_SYSTEM, system, name);
        rag_chat_add(out, name, "", MEM_SYSTEM, CHAT_HIDDEN, system);
    }
    cJSON_ArrayForEach(m, list) message(m, under, out);
    if (!out->n) return _("its messages are missing");
    char *id = made ? q_printf("%lld", (long long)made) : q_strdup(out->v[0].id);
    rag_chat_say(&out->id, id);
    rag_chat_say(&out->last, under);
    free(id);
    return NULL;
}

const archive archive_studio = {"lmstudio", "LM Studio", knows, read, false, NULL, NULL};
