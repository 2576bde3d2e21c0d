/* rag/import/own: conversations as rag/export.c writes them, and how they are read again: `<!-- quorum {JSON} -->`, a heading for
 * people, what was thought between <details> and </details>, the text, as many bytes as the comment says. Where a person changed the
 * text, it goes to the next such comment. Pure functions; any thread. */
#include "rag/import/own.h"

#include "rag/import/archive.h"

#include <stdlib.h>
#include <string.h>

static const char BEGIN[] = "<!-- quorum {", END[] = "} -->\n", CHAT[] = "<!-- quorum {\"v\":1,\"conversation\":", OPEN[] = "<details><summary>", CLOSE[] = "\n\n</details>\n\n";
static const char *const roles[] = {"system", "user", "assistant", "tool"};

/* ---- written ---- */
/* As a string of JSON that ends no comment. */
static void put_string(q_buf *b, const char *name, const char *text)
{
    cJSON *o = cJSON_CreateString(text);
    char *p = cJSON_PrintUnformatted(o);
    q_buf_printf(b, ",\"%s\":", name);
    for (const char *s = p ? p : "\"\""; *s; s++) {
        if (*s == '>') q_buf_puts(b, "\\u003e");
        else q_buf_putc(b, *s);
    }
    free(p);
    cJSON_Delete(o);
}

void own_write_chat(const own_chat *c, q_buf *b)
{
    q_buf_printf(b, "%s\"%s\"", CHAT, c->name);
    put_string(b, "title", c->title);
    q_buf_printf(b, ",\"created\":%lld,\"opened\":%lld,\"leaf\":\"%lld\"%s\n", (long long)c->created_ms, (long long)c->opened_ms, (long long)c->leaf, END);
}

void own_write_message(const own_message *m, const char *heading, q_buf *b)
{
    q_buf_printf(b, "%s\"message\":\"%lld\"", BEGIN, (long long)m->id);
    if (m->under) q_buf_printf(b, ",\"under\":\"%lld\"", (long long)m->under);
    q_buf_printf(b, ",\"role\":\"%s\",\"created\":%lld", roles[m->role], (long long)m->created_ms);
    if (m->hidden) q_buf_puts(b, ",\"hidden\":true");
    if (*m->model) put_string(b, "model", m->model);
    if (*m->author) put_string(b, "author", m->author);
    if (m->n_thinking) q_buf_printf(b, ",\"thinking\":%zu", m->n_thinking);
    q_buf_printf(b, ",\"bytes\":%zu%s%s", m->n, END, heading);
    if (m->n_thinking) {
        q_buf_printf(b, "%s%s</summary>\n\n", OPEN, _("what the model thought"));
        q_buf_add(b, m->thinking, m->n_thinking);
        q_buf_puts(b, CLOSE);
    }
    q_buf_add(b, m->text, m->n);
    q_buf_puts(b, "\n\n");
}

/* ---- read ---- */
typedef struct reading { const char *p, *end; } reading;

static const char *find(const char *p, const char *end, const char *what) { return p < end ? memmem(p, (size_t)(end - p), what, strlen(what)) : NULL; }

static bool begins(const char *p, const char *end, const char *with) { return (size_t)(end - p) >= strlen(with) && memcmp(p, with, strlen(with)) == 0; }

/* The next comment that begins a line, from p on; NULL. */
static const char *next_comment(const char *from, const char *p, const char *end)
{
    while ((p = find(p, end, BEGIN)) && p > from && p[-1] != '\n') p++;
    return p;
}

/* The comment at r->p; it is left behind. NULL: there is none that can be read. */
static cJSON *comment(reading *r)
{
    const char *nl = find(r->p, r->end, "\n"), *close = begins(r->p, r->end, BEGIN) ? find(r->p, nl ? nl : r->end, "-->") : NULL;
    if (!close) return NULL;
    const char *json = r->p + sizeof BEGIN - 2;
    cJSON *o = cJSON_ParseWithLength(json, (size_t)(close - json));
    r->p = nl ? nl + 1 : r->end;
    return o;
}

static const char *text_of(const cJSON *o, const char *name)
{
    const cJSON *j = cJSON_GetObjectItem(o, name);
    return cJSON_IsString(j) ? j->valuestring : "";
}

static int64_t number_of(const cJSON *o, const char *name)
{
    const cJSON *j = cJSON_GetObjectItem(o, name);
    return cJSON_IsNumber(j) && j->valuedouble >= 0 && j->valuedouble <= 9e15 ? (int64_t)j->valuedouble : 0;
}

static void skip_line(reading *r)
{
    const char *nl = find(r->p, r->end, "\n");
    r->p = nl ? nl + 1 : r->end;
}

/* Does what was counted end where it should: before the next comment, or with the file? */
static bool fits(const char *p, const char *end)
{
    for (int i = 0; i < 2 && p < end && *p == '\n'; i++) p++;
    return p == end || begins(p, end, BEGIN);
}

/* The words of a message from r->p on; *n of them. */
static const char *words(reading *r, int64_t want, size_t *n)
{
    const char *from = r->p;
    if (want <= r->end - from && fits(from + want, r->end)) {
        *n = (size_t)want;
        r->p = from + want;
    } else {
        const char *next = next_comment(from, from, r->end), *end = next ? next : r->end;
        r->p = end;
        while (end > from && end[-1] == '\n') end--;
        *n = (size_t)(end - from);
    }
    while (r->p < r->end && *r->p == '\n') r->p++;
    return from;
}

static const char *thought(reading *r, int64_t want, size_t *n)
{
    *n = 0;
    if (!want || !begins(r->p, r->end, OPEN)) return "";
    skip_line(r);
    if (r->p < r->end && *r->p == '\n') r->p++;
    const char *from = r->p, *close = want <= r->end - from && begins(from + want, r->end, CLOSE) ? from + want : NULL;
    const char *next = close ? NULL : next_comment(from, from, r->end);
    if (!close) close = find(from, next ? next : r->end, CLOSE);
    if (!close) return "";
    *n = (size_t)(close - from);
    r->p = close + sizeof CLOSE - 1;
    return from;
}

static void one_message(reading *r, const cJSON *o, chat *out)
{
    const char *role = text_of(o, "role");
    int k = MEM_USER;
    size_t n, n_thought;
    for (int i = MEM_SYSTEM; i <= MEM_TOOL; i++) k = strcmp(role, roles[i]) == 0 ? i : k;
    if (begins(r->p, r->end, "## ")) skip_line(r);
    if (r->p < r->end && *r->p == '\n') r->p++;
    const char *thinking = thought(r, number_of(o, "thinking"), &n_thought), *text = words(r, number_of(o, "bytes"), &n);
    char *said = q_strndup(text, n), *mind = q_strndup(thinking, n_thought);
    chat_message *m = rag_chat_add(out, text_of(o, "message"), text_of(o, "under"), (enum mem_role)k, cJSON_IsTrue(cJSON_GetObjectItem(o, "hidden")) ? CHAT_HIDDEN : CHAT_SEEN, said);
    m->ms = number_of(o, "created");
    rag_chat_say(&m->thinking, mind);
    rag_chat_say(&m->model, text_of(o, "model"));
    rag_chat_author(m, text_of(o, "author"));
    free(said);
    free(mind);
}

bool own_knows(const char *p, size_t n) { return begins(p, p + n, CHAT); }

static const char *read_text(const char *text, size_t n, chat *out)
{
    reading r = {text, text + n};
    cJSON *o = comment(&r);
    const char *leaf = text_of(o, "leaf");
    if (!o || !*text_of(o, "conversation")) {
        cJSON_Delete(o);
        return _("its first line cannot be read");
    }
    rag_chat_say(&out->id, text_of(o, "conversation"));
    rag_chat_title(out, text_of(o, "title"));
    out->created_ms = number_of(o, "created");
    out->updated_ms = number_of(o, "opened");
    if (*leaf && strcmp(leaf, "0") != 0) rag_chat_say(&out->last, leaf);
    cJSON_Delete(o);
    for (const char *at; (at = next_comment(text, r.p, r.end)) != NULL;) {
        r.p = at;
        if ((o = comment(&r)) && *text_of(o, "message")) one_message(&r, o, out);
        else rag_chat_bad(out, _("the comment before one of its messages cannot be read"));
        if (!o && r.p == at) skip_line(&r);
        cJSON_Delete(o);
    }
    return out->n ? NULL : _("its messages are missing");
}

const archive archive_own = {MEM_OWN_SOURCE, "quorum", NULL, NULL, false, own_knows, read_text};
