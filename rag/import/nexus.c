/* rag/import/nexus: chat notes as the Nexus importer for Obsidian writes them: a callout a turn (`>[!nexus_user] **User** -
 * DATE`), its text quoted below, then `<!-- UID: NAME -->`. The note may begin with its properties between lines of ---.
 * Pure functions; any thread. */
#include "rag/import/archive.h"

#include "rag/import/date.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct line { const char *p; size_t n; } line;

/* The next line of p[*at..n); false at the end. */
static bool next(const char *p, size_t n, size_t *at, line *l)
{
    if (*at >= n) return false;
    const char *nl = memchr(p + *at, '\n', n - *at);
    size_t end = nl ? (size_t)(nl - p) : n;
    *l = (line){p + *at, end - *at};
    if (l->n && l->p[l->n - 1] == '\r') l->n--;
    *at = nl ? end + 1 : n;
    return true;
}

/* Behind `with`, blanks before and after > let be; NULL: it does not begin so. */
static const char *begins(line l, const char *with)
{
    const char *p = l.p, *end = l.p + l.n;
    size_t n = strlen(with);
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    if (*with == '>' && p < end && *p == '>') {
        for (p++, with++, n--; p < end && (*p == ' ' || *p == '\t'); p++) {}
    }
    return (size_t)(end - p) >= n && memcmp(p, with, n) == 0 ? p + n : NULL;
}

static const char *callout(line l, const char **kind, size_t *n)
{
    const char *p = begins(l, ">[!nexus_"), *end = l.p + l.n;
    if (!p) return NULL;
    for (*kind = p; p < end && *p != ']'; p++) {}
    *n = (size_t)(p - *kind);
    return p < end ? p + 1 : NULL;
}

static bool knows_text(const char *p, size_t n)
{
    size_t at = 0, k;
    line l;
    const char *kind;
    while (next(p, n, &at, &l))
        if (callout(l, &kind, &k) && ((k == 4 && memcmp(kind, "user", 4) == 0) || (k == 5 && memcmp(kind, "agent", 5) == 0))) return true;
    return false;
}

/* What a line quotes. */
static void add_quoted(q_buf *b, line l)
{
    if (l.n && *l.p == '>') {
        l.p++, l.n--;
        if (l.n && *l.p == ' ') l.p++, l.n--;
    }
    q_buf_add(b, l.p, l.n);
    q_buf_putc(b, '\n');
}

/* "NAME: value" of the note's properties, its quotes off; malloc'ed, NULL: it is another. */
static char *property(line l, const char *name)
{
    const char *p = begins(l, name), *end = l.p + l.n;
    if (!p || p >= end || *p != ':') return NULL;
    for (p++; p < end && (isspace((unsigned char)*p) || *p == '"' || *p == '[' || *p == '\''); p++) {}
    while (end > p && (isspace((unsigned char)end[-1]) || end[-1] == '"' || end[-1] == ']' || end[-1] == '\'')) end--;
    return q_strndup(p, (size_t)(end - p));
}

/* Properties and heading, before the first turn. */
static void head(const char *p, size_t n, chat *out)
{
    size_t at = 0, k;
    line l;
    const char *kind;
    while (next(p, n, &at, &l) && !callout(l, &kind, &k)) {
        char *v;
        if ((v = property(l, "conversation_id")) != NULL && *v && !out->id) rag_chat_say(&out->id, v);
        free(v);
        if ((v = property(l, "aliases")) != NULL && *v && !out->title) rag_chat_title(out, v);
        free(v);
        if ((v = property(l, "create_time")) != NULL) out->created_ms = rag_date(v);
        free(v);
        if ((v = property(l, "update_time")) != NULL) out->updated_ms = rag_date(v);
        free(v);
        const char *h = begins(l, "# ");
        if (!h || out->title) continue;
        v = q_strndup(h, (size_t)(l.p + l.n - h));
        if (strncmp(v, "Title: ", 7) == 0) memmove(v, v + 7, strlen(v + 7) + 1);
        rag_chat_title(out, v);
        free(v);
    }
}

struct turn { enum mem_role role; bool other; int64_t ms; q_buf text; };

/* The turn at hand ends; uid NULL: it has no name. */
static void end_turn(struct turn *t, const char *uid, size_t n, chat *out)
{
    char name[33], *under = q_strdup(out->last ? out->last : ""), *id = uid ? q_strndup(uid, n) : NULL;
    while (t->text.len && strchr(" \n", t->text.p[t->text.len - 1])) t->text.p[--t->text.len] = 0;
    if (!id || !*id) {
        free(id);
        rag_chat_name(under, t->role, t->text.p, name);
        id = q_strdup(name);
    }
    bool seen = !t->other && t->text.len;
    rag_chat_add(out, id, under, t->role, seen ? CHAT_SEEN : CHAT_HIDDEN, t->text.p)->ms = t->ms;
    if (seen) rag_chat_say(&out->last, id);
    if (t->ms > out->updated_ms) out->updated_ms = t->ms;
    if (!out->created_ms) out->created_ms = t->ms;
    free(id);
    free(under);
    q_buf_free(&t->text);
    *t = (struct turn){0};
}

static const char *read_text(const char *p, size_t n, chat *out)
{
    size_t at = 0, k;
    line l;
    const char *kind, *rest, *uid;
    struct turn t = {0};
    bool open = false, quoted = false;
    head(p, n, out);
    while (next(p, n, &at, &l)) {
        if ((rest = callout(l, &kind, &k)) != NULL) {
            bool user = k == 4 && memcmp(kind, "user", 4) == 0, agent = k == 5 && memcmp(kind, "agent", 5) == 0;
            if (!user && !agent && open) {              /* a callout inside a turn: an attachment, an artifact */
                add_quoted(&t.text, (line){rest, (size_t)(l.p + l.n - rest)});
                continue;
            }
            if (open) end_turn(&t, NULL, 0, out);
            const char *dash = memchr(rest, '-', (size_t)(l.p + l.n - rest));
            char *date = dash ? q_strndup(dash + 1, (size_t)(l.p + l.n - dash - 1)) : NULL;
            t = (struct turn){.role = user ? MEM_USER : agent ? MEM_ASSISTANT : MEM_SYSTEM, .other = !user && !agent, .ms = date ? rag_date(date) : 0};
            free(date);
            open = true, quoted = false;
        } else if ((uid = begins(l, "<!-- UID:")) != NULL && open) {
            const char *end = l.p + l.n;
            while (uid < end && *uid == ' ') uid++;
            size_t len = 0;
            while (uid + len < end && !isspace((unsigned char)uid[len]) && (end - uid - (long)len < 3 || memcmp(uid + len, "-->", 3) != 0)) len++;
            end_turn(&t, uid, len, out);
            open = false;
        } else if (open && (l.n || quoted)) {
            add_quoted(&t.text, l);
            quoted = true;
        }
    }
    if (open) end_turn(&t, NULL, 0, out);
    if (!out->n) return _("its messages are missing");
    if (!out->id) rag_chat_say(&out->id, out->v[0].id);
    return NULL;
}

const archive archive_nexus = {"nexus", "Nexus", NULL, NULL, false, knows_text, read_text};
