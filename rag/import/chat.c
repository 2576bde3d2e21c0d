/* rag/import/chat: a conversation as a tree, put in order. Owns nothing beyond the chat; any thread. Archives say anything:
 * names that come twice, parents that are not there, circles, chains of a million. Nothing here calls itself. */
#include "rag/import/chat.h"

#include "base/say.h"

#include <stdlib.h>
#include <string.h>

void rag_chat_say(char **place, const char *text)
{
    if (!text) text = "";
    char *copy = q_utf8_clean(text, strlen(text));
    free(*place);
    *place = copy;
}

chat_message *rag_chat_add(chat *c, const char *id, const char *under, enum mem_role role, enum chat_kind kind, const char *text)
{
    if (c->n == c->cap) c->v = q_realloc(c->v, sizeof *c->v * (size_t)(c->cap = c->cap ? c->cap * 2 : 16));
    chat_message *m = &c->v[c->n++];
    *m = (chat_message){.role = role, .kind = kind, .parent = -1};
    rag_chat_say(&m->id, id);
    rag_chat_say(&m->under, under);
    rag_chat_say(&m->text, text);
    m->thinking = q_strdup("");
    m->model = q_strdup("");
    m->author = q_strdup("");
    return m;
}

/* In one line of at most `most` bytes, nothing in it steering a terminal. */
static char *one_line(const char *text, size_t most)
{
    q_buf b = {0};
    q_say_clean(&b, text ? text : "", text ? strlen(text) : 0, true);
    size_t n = b.len > most ? q_utf8_whole(b.p, most) : b.len;
    while (n && b.p[n - 1] == ' ') n--;
    size_t from = n ? strspn(b.p, " ") : 0;
    char *line = q_strndup(b.p ? b.p + from : "", n > from ? n - from : 0);
    q_buf_free(&b);
    return line;
}

void rag_chat_title(chat *c, const char *title)
{
    enum { TITLE_MAX = 200 };
    free(c->title);
    c->title = one_line(title, TITLE_MAX);
}

void rag_chat_author(chat_message *m, const char *name)
{
    enum { AUTHOR_MAX = 100 };
    if (!name) return;
    free(m->author);
    m->author = one_line(name, AUTHOR_MAX);
}

void rag_chat_bad(chat *c, const char *why)
{
    if (c->bad++ == 0) c->why = why;
}

void rag_chat_name(const char *under, enum mem_role role, const char *text, char out[33])
{
    char hex[65];
    q_buf b = {0};
    q_buf_printf(&b, "%s %d ", under ? under : "", (int)role);
    q_buf_puts(&b, text ? text : "");
    q_sha256(b.p, b.len, hex);
    memcpy(out, hex, 32);
    out[32] = 0;
    q_buf_free(&b);
}

static bool begins(const char *p, const char *with) { return strncmp(p, with, strlen(with)) == 0; }

void rag_chat_part_thinking(chat_message *m)
{
    static const struct { const char *begin, *inner, *end; } marks[] = {
        {"<think>", NULL, "</think>"}, {"<thinking>", NULL, "</thinking>"}, {"<details type=\"reasoning\"", "</summary>", "</details>"}};
    char *p = m->text + strspn(m->text, " \t\r\n");
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (!begins(p, marks[i].begin)) continue;
        char *end = strstr(p, marks[i].end), *from = p + strlen(marks[i].begin);
        char *inner = marks[i].inner ? strstr(p, marks[i].inner) : NULL;
        if (!end) return;
        if (inner && inner < end) from = inner + strlen(marks[i].inner);
        else if (marks[i].inner) from = strchr(from, '>') && strchr(from, '>') < end ? strchr(from, '>') + 1 : end;
        from += strspn(from, " \t\r\n");
        size_t n = end > from ? (size_t)(end - from) : 0;
        while (n && strchr(" \t\r\n", from[n - 1])) n--;
        free(m->thinking);
        m->thinking = q_strndup(from, n);
        end += strlen(marks[i].end);
        end += strspn(end, " \t\r\n");
        char *rest = q_strdup(end);
        free(m->text);
        m->text = rest;
        return;
    }
}

/* ---- putting in order ---- */
struct named { const char *id; int at; int64_t ms; };

static int by_id(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int order = strcmp(x->id, y->id);
    return order ? order : (x->at > y->at) - (x->at < y->at);
}

static int by_time(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    return x->ms != y->ms ? (x->ms > y->ms) - (x->ms < y->ms) : (x->at > y->at) - (x->at < y->at);
}

/* The first of that name; -1: none. */
static int find(const struct named *v, int n, const char *id)
{
    int a = 0, b = n;
    while (a < b) {
        int m = (a + b) / 2;
        if (strcmp(v[m].id, id) < 0) a = m + 1;
        else b = m;
    }
    return a < n && strcmp(v[a].id, id) == 0 ? v[a].at : -1;
}

/* Parents by their names; a name that comes again is bare, and leads to the first. */
static void resolve(chat *c, const struct named *v)
{
    for (int i = 0; i < c->n; i++) {
        chat_message *m = &c->v[i];
        int first = find(v, c->n, m->id), up = *m->under ? find(v, c->n, m->under) : -1;
        if (first != i) {
            if (m->kind != CHAT_BARE && strcmp(m->text, c->v[first].text) != 0) rag_chat_bad(c, _("two of its messages have one name: the first is kept"));
            m->kind = CHAT_BARE;
        }
        m->parent = up == i ? -1 : up;
        if (up == i) rag_chat_bad(c, _("its messages stand below each other in a circle, which was cut"));
    }
}

/* In which order they are stored: as they were said, where all of them tell, but parents first. */
static int *place(chat *c, struct named *v)
{
    enum { NEW, OPEN, PLACED };
    int *order = q_alloc(sizeof *order * (size_t)(c->n + 1)), *stack = q_alloc(sizeof *stack * (size_t)(c->n + 1)), n = 0;
    char *state = q_alloc((size_t)c->n + 1);
    bool timed = true;
    for (int i = 0; i < c->n; i++) timed &= c->v[i].ms > 0 || c->v[i].kind == CHAT_BARE;
    for (int i = 0; i < c->n; i++) v[i] = (struct named){.at = i, .ms = timed ? c->v[i].ms : 0};
    if (c->n) qsort(v, (size_t)c->n, sizeof *v, by_time);
    for (int k = 0; k < c->n; k++) {
        int depth = 0;
        for (int i = v[k].at; i >= 0 && state[i] != PLACED; i = c->v[i].parent) {
            state[i] = OPEN;
            stack[depth++] = i;
            int up = c->v[i].parent;
            if (up < 0 || state[up] != OPEN) continue;
            rag_chat_bad(c, _("its messages stand below each other in a circle, which was cut"));
            c->v[i].parent = -1;
        }
        while (depth) {
            int i = stack[--depth];
            state[i] = PLACED;
            order[n++] = i;
        }
    }
    free(stack);
    free(state);
    return order;
}

static void message_free(chat_message *m)
{
    free(m->id);
    free(m->under);
    free(m->text);
    free(m->thinking);
    free(m->model);
    free(m->author);
}

/* A message of which nobody wrote down when was said with the one above it, and a conversation from its first to its last one. */
static void date(chat *c, const int *order)
{
    int64_t first = 0, last = 0;
    for (int k = 0; k < c->n; k++) {
        chat_message *m = &c->v[order[k]];
        if (!m->ms && m->parent >= 0) m->ms = c->v[m->parent].ms;
        if (m->ms && (!first || m->ms < first)) first = m->ms;
        if (m->ms > last) last = m->ms;
    }
    if (!c->created_ms) c->created_ms = first;
    if (!c->updated_ms) c->updated_ms = last;
}

void rag_chat_settle(chat *c)
{
    struct named *v = q_alloc(sizeof *v * (size_t)(c->n + 1));
    for (int i = 0; i < c->n; i++) v[i] = (struct named){.id = c->v[i].id, .at = i};
    if (c->n) qsort(v, (size_t)c->n, sizeof *v, by_id);
    int last = c->last ? find(v, c->n, c->last) : -1, n = 0;
    resolve(c, v);
    int *order = place(c, v);
    date(c, order);
    int *seen = q_alloc(sizeof *seen * (size_t)(c->n + 1)); /* [old index] where what is below it stands, in the new order */
    chat_message *out = q_alloc(sizeof *out * (size_t)(c->n + 1));
    for (int k = 0; k < c->n; k++) {
        int i = order[k], up = c->v[i].parent;
        seen[i] = up >= 0 ? seen[up] : -1;
        if (c->v[i].kind == CHAT_BARE) {
            message_free(&c->v[i]);
            continue;
        }
        out[n] = c->v[i];
        out[n].parent = seen[i];
        if (out[n].kind == CHAT_SEEN) seen[i] = n;
        n++;
    }
    c->leaf = last >= 0 ? seen[last] : -1;
    free(c->v);
    c->v = out;
    c->n = n;
    c->cap = n + 1;
    free(seen);
    free(order);
    free(v);
}

void rag_chat_free(chat *c)
{
    for (int i = 0; i < c->n; i++) message_free(&c->v[i]);
    free(c->v);
    free(c->id);
    free(c->title);
    free(c->last);
    memset(c, 0, sizeof *c);
}
