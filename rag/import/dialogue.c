/* rag/import/dialogue: a conversation written down as Markdown or plain text: a line says who speaks, as a heading
 * ("## User"), in bold ("**User:** ...") or plainly ("User: ..."), and the words follow. It is one only where both sides
 * speak by such lines of one form, in turns, from the beginning on. Pure functions; any thread. */
#include "rag/import/archive.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum form { NONE, HEADING, BOLD, PLAIN };
enum { LEVELS = 6, HEAD_LINES = 40 };

static const struct { const char *name; enum mem_role role; } speakers[] = {
    {"user", MEM_USER}, {"human", MEM_USER}, {"you", MEM_USER}, {"you said", MEM_USER}, {"me", MEM_USER}, {"prompt", MEM_USER},
    {"пользователь", MEM_USER}, {"Пользователь", MEM_USER}, {"Вы", MEM_USER}, {"Вы сказали", MEM_USER}, {"Я", MEM_USER}, {"Человек", MEM_USER},
    {"assistant", MEM_ASSISTANT}, {"ai", MEM_ASSISTANT}, {"bot", MEM_ASSISTANT}, {"model", MEM_ASSISTANT}, {"response", MEM_ASSISTANT},
    {"chatgpt", MEM_ASSISTANT}, {"chatgpt said", MEM_ASSISTANT}, {"gpt", MEM_ASSISTANT}, {"gpt-4", MEM_ASSISTANT}, {"gpt-4o", MEM_ASSISTANT}, {"claude", MEM_ASSISTANT},
    {"gemini", MEM_ASSISTANT}, {"deepseek", MEM_ASSISTANT}, {"qwen", MEM_ASSISTANT}, {"llama", MEM_ASSISTANT}, {"mistral", MEM_ASSISTANT}, {"copilot", MEM_ASSISTANT},
    {"Ассистент", MEM_ASSISTANT}, {"ассистент", MEM_ASSISTANT}, {"Модель", MEM_ASSISTANT}, {"Помощник", MEM_ASSISTANT}, {"ИИ", MEM_ASSISTANT}, {"Нейросеть", MEM_ASSISTANT},
    {"system", MEM_SYSTEM}, {"Система", MEM_SYSTEM},
};

typedef struct mark { enum form form; int level; enum mem_role role; const char *rest; } mark;      /* rest: the line behind it */

static bool speaker(const char *p, size_t n, enum mem_role *role)
{
    while (n && isspace((unsigned char)p[n - 1])) n--;
    for (size_t i = 0; i < sizeof speakers / sizeof *speakers; i++)
        if (strlen(speakers[i].name) == n && strncasecmp(p, speakers[i].name, n) == 0) {
            *role = speakers[i].role;
            return true;
        }
    return false;
}

/* Who speaks by this line. */
static mark mark_of(const char *p, const char *end)
{
    mark m = {.form = NONE, .rest = end};
    const char *q = p;
    while (q < end && *q == '#') q++;
    if (q > p && q - p <= LEVELS && q < end && *q == ' ') {
        m.level = (int)(q - p);
        while (q < end && (isspace((unsigned char)*q) || *q == '*')) q++;
        const char *stop = end;
        while (stop > q && (isspace((unsigned char)stop[-1]) || stop[-1] == ':' || stop[-1] == '*')) stop--;
        if (speaker(q, (size_t)(stop - q), &m.role)) m.form = HEADING;
        return m;
    }
    bool bold = end - p > 4 && p[0] == '*' && p[1] == '*';
    q = bold ? p + 2 : p;
    const char *colon = memchr(q, ':', (size_t)(end - q)), *close = bold ? memmem(q, (size_t)(end - q), "**", 2) : NULL;
    if (bold ? !close || !colon || colon > close + 2 || (colon > close && colon != close + 2) : !colon || colon - q > 40) return m;
    const char *stop = bold && close < colon ? close : colon;
    if (!speaker(q, (size_t)(stop - q), &m.role)) return m;
    m.form = bold ? BOLD : PLAIN;
    m.rest = bold && close > colon ? close + 2 : colon + 1;
    while (m.rest < end && *m.rest == ' ') m.rest++;
    return m;
}

struct lines { const char *p, *end; bool fence; };

/* The next line with its mark; one inside a fence of code has none. */
static bool next(struct lines *l, const char **p, const char **end, mark *m)
{
    if (l->p >= l->end) return false;
    const char *nl = memchr(l->p, '\n', (size_t)(l->end - l->p)), *stop = nl ? nl : l->end;
    *p = l->p;
    l->p = nl ? nl + 1 : l->end;
    *end = stop > *p && stop[-1] == '\r' ? stop - 1 : stop;
    bool fence = *end - *p >= 3 && (memcmp(*p, "```", 3) == 0 || memcmp(*p, "~~~", 3) == 0);
    *m = l->fence || fence ? (mark){.form = NONE, .rest = *end} : mark_of(*p, *end);
    l->fence ^= fence;
    return true;
}

/* The form of its turns: who speaks first, and NONE where it is no conversation. */
static mark form_of(const char *text, size_t n)
{
    struct lines l = {text, text + n, false};
    mark first = {.form = NONE}, m;
    const char *p, *end;
    int turns = 0, users = 0, answers = 0, repeats = 0, before = 0;
    enum mem_role last = MEM_SYSTEM;
    while (next(&l, &p, &end, &m)) {
        if (first.form == NONE && m.form == NONE) {
            const char *q = p;
            while (q < end && isspace((unsigned char)*q)) q++;
            bool said = q < end && *q != '#' && *q != '-' && !memchr(q, ':', (size_t)(end - q));    /* titles and properties may come before */
            before += said;
            if (before > 1) return first;
            continue;
        }
        if (first.form == NONE) first = m;
        if (m.form != first.form || m.level != first.level) continue;
        turns += m.role != MEM_SYSTEM;
        users += m.role == MEM_USER;
        answers += m.role == MEM_ASSISTANT;
        repeats += m.role == last && m.role != MEM_SYSTEM;
        last = m.role;
    }
    /* plain lines are common elsewhere: they need more of a conversation */
    bool is = users && answers && (first.form == PLAIN ? turns >= 4 && repeats == 0 : turns >= 2 && repeats * 4 <= turns);
    if (!is) first.form = NONE;
    return first;
}

static bool knows_text(const char *p, size_t n) { return form_of(p, n).form != NONE; }

static void end_turn(q_buf *text, enum mem_role role, chat *out)
{
    char name[33];
    size_t from = 0;
    while (text->len && isspace((unsigned char)text->p[text->len - 1])) text->p[--text->len] = 0;
    while (from < text->len && text->p[from] == '\n') from++;
    const char *said = text->p ? text->p + from : "", *under = out->last ? out->last : "";
    rag_chat_name(under, role, said, name);
    bool seen = *said && role != MEM_SYSTEM;
    chat_message *m = rag_chat_add(out, name, under, role, seen ? CHAT_SEEN : CHAT_HIDDEN, said);
    if (role == MEM_ASSISTANT) rag_chat_part_thinking(m);
    if (seen) rag_chat_say(&out->last, name);
    q_buf_clear(text);
}

static const char *read_text(const char *text, size_t n, chat *out)
{
    mark form = form_of(text, n), m;
    struct lines l = {text, text + n, false};
    const char *p, *end;
    q_buf b = {0};
    bool open = false;
    enum mem_role role = MEM_USER;
    while (next(&l, &p, &end, &m)) {
        if (m.form == form.form && m.form != NONE && m.level == form.level) {
            if (open) end_turn(&b, role, out);
            role = m.role;
            open = true;
            q_buf_add(&b, m.rest, (size_t)(end - m.rest));
            q_buf_putc(&b, '\n');
        } else if (open) {
            q_buf_add(&b, p, (size_t)(end - p));
            q_buf_putc(&b, '\n');
        } else if (!out->title && end - p > 2 && *p == '#') {
            char *title = q_strndup(p + strspn(p, "# "), (size_t)(end - p - (long)strspn(p, "# ")));
            rag_chat_title(out, title);
            free(title);
        }
    }
    if (open) end_turn(&b, role, out);
    q_buf_free(&b);
    if (!out->n) return _("its messages are missing");
    /* the same conversation, later, begins with the same question and answer */
    rag_chat_say(&out->id, out->v[out->n > 1 ? 1 : 0].id);
    return NULL;
}

const archive archive_dialogue = {"dialogue", "Markdown", NULL, NULL, false, knows_text, read_text};
