/* rag/import/tavern: SillyTavern's chats: a line of what it is, then a line a turn, with the other answers that were tried
 * (`swipes`) beside the chosen one. Nothing has a name: it is made of where it stands and what it says. Pure functions; any
 * thread. */
#include "rag/import/archive.h"

#include <stdlib.h>
#include <string.h>

/* Its first line. */
static bool head(const cJSON *o) { return js_of(o, "chat_metadata") || (js_of(o, "user_name") && js_of(o, "character_name")); }

static bool knows(const cJSON *o) { return head(o) || (js_text(o, "mes") && js_of(o, "is_user")); }

static void begin(const cJSON *o, chat *out)
{
    const char *id = js_text(js_of(o, "chat_metadata"), "integrity"), *name = js_text(o, "character_name"), *made = js_text(o, "create_date");
    out->created_ms = js_date(o, "create_date");
    if (name) rag_chat_title(out, name);
    if (id && *id) rag_chat_say(&out->id, id);
    else if (made) {
        char *both = q_printf("%s %s", name ? name : "", made);
        rag_chat_say(&out->id, both);
        free(both);
    }
}

static const char *read(const cJSON *o, chat *out)
{
    const cJSON *swipes = js_of(o, "swipes"), *extra = js_of(o, "extra"), *x;
    const char *said = js_text(o, "mes"), *under = out->last ? out->last : "", *model = js_text(extra, "model"), *thought = js_text(extra, "reasoning");
    char name[33], other[33];
    if (!out->n && !out->id && head(o)) {
        begin(o, out);
        return NULL;
    }
    if (!said) return _("a message is not what it should be");
    enum mem_role role = js_true(o, "is_user") ? MEM_USER : MEM_ASSISTANT;
    enum chat_kind kind = js_true(o, "is_system") || !*said ? CHAT_HIDDEN : CHAT_SEEN;
    if (!out->title && role == MEM_ASSISTANT) rag_chat_title(out, js_text(o, "name"));
    rag_chat_name(under, role, said, name);
    if (cJSON_IsArray(swipes) && kind == CHAT_SEEN)
        cJSON_ArrayForEach(x, swipes) {
            if (!cJSON_IsString(x) || !*x->valuestring || strcmp(x->valuestring, said) == 0) continue;
            rag_chat_name(under, role, x->valuestring, other);
            rag_chat_add(out, other, under, role, kind, x->valuestring)->ms = js_date(o, "send_date");
            if (role == MEM_ASSISTANT) rag_chat_author(&out->v[out->n - 1], js_text(o, "name"));
        }
    chat_message *m = rag_chat_add(out, name, under, role, kind, said);
    m->ms = js_date(o, "send_date");
    if (role == MEM_ASSISTANT) rag_chat_author(m, js_text(o, "name"));      /* a character; the person's own is the person */
    if (model && role == MEM_ASSISTANT) rag_chat_say(&m->model, model);
    if (thought) rag_chat_say(&m->thinking, thought);
    if (m->ms > out->updated_ms) out->updated_ms = m->ms;
    if (kind == CHAT_SEEN) rag_chat_say(&out->last, name);
    if (!out->id) rag_chat_say(&out->id, name);
    return NULL;
}

const archive archive_tavern = {"sillytavern", "SillyTavern", knows, read, true, NULL, NULL};
