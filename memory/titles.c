/* memory/titles: documents by the words of their titles, and which of them a text names. Owns nothing beyond the call; any
 * thread. It never judges whether a link means anything. */
#include "memory/store.h"

#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 8, SHORTEST = 3, LINKS_MAX = 64 };

/* ---- a title's words ---- */
struct calling { q_buf b; int n; };

static bool call_word(void *user, const mem_word *w)
{
    struct calling *c = user;
    if (w->flags & MEM_WORD_SAME) return true;
    if (c->n++) q_buf_putc(&c->b, ' ');
    q_buf_puts(&c->b, w->word);
    return c->n <= WORDS_MAX;
}

/* Of a path the last part without its ending; what stands in brackets at the end tells namesakes apart and is no name. */
char *store_title_words(const char *title)
{
    const char *slash = strrchr(title, '/'), *name = slash && slash[1] ? slash + 1 : title, *end = name + strlen(name);
    const char *dot = strrchr(name, '.');
    if (dot && dot > name && end - dot <= 6 && !strpbrk(dot, " ,)")) end = dot;
    const char *open = end > name && end[-1] == ')' ? memrchr(name, '(', (size_t)(end - name)) : NULL;
    if (open && open > name) end = open;
    struct calling c = {0};
    q_buf_puts(&c.b, "");
    mem_words(name, (size_t)(end - name), call_word, &c);
    bool says = c.b.len >= SHORTEST && strspn(c.b.p, "0123456789") < c.b.len;      /* "c.md" and "7.md" are named by chance */
    if (c.n > WORDS_MAX || !says) q_buf_clear(&c.b), q_buf_puts(&c.b, "");
    return q_buf_take(&c.b);
}

static void title_words(sqlite3_context *x, int n, sqlite3_value **v)
{
    const char *t = (const char *)sqlite3_value_text(v[0]);
    char *words = store_title_words(t ? t : "");
    sqlite3_result_text(x, words, -1, SQLITE_TRANSIENT);
    free(words);
}

int store_register_titles(mem_store *s, char *err)
{
    return sqlite3_create_function_v2(s->db, "title_words", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, title_words, NULL, NULL, NULL) == SQLITE_OK ?
           Q_OK : store_error(s, err);
}

int store_call(mem_store *s, int64_t document, char *err)
{
    return store_run(s, NULL, err, "UPDATE document SET called=title_words(title) WHERE id=? AND trust=0", "i", document);
}

/* ---- who is named in a text ---- */
struct naming { char **word; int n, cap; };

static bool name_word(void *user, const mem_word *w)
{
    struct naming *c = user;
    if (w->flags & MEM_WORD_SAME) return true;
    if (c->n == c->cap) c->word = q_realloc(c->word, sizeof *c->word * (size_t)(c->cap = c->cap ? c->cap * 2 : 64));
    size_t n = strlen(w->word);
    if (n > 3 && strcmp(w->word + n - 2, "'s") == 0) n -= 2;
    c->word[c->n++] = q_strndup(w->word, n);
    return true;
}

static int add_links(mem_store *s, const char *called, int64_t except, mem_link *v, int *n, char *err)
{
    sqlite3_stmt *st = store_query(s, err, "SELECT d.id, (SELECT c.id FROM chunk c WHERE c.document=d.id ORDER BY c.ordinal LIMIT 1) FROM document d"
                                   " WHERE d.called=? AND d.called<>'' AND d.state=0 AND d.gone=0 AND d.id<>?", "si", called, except);
    int rc = st ? 1 : store_failed(s);
    while (rc == 1 && *n < LINKS_MAX && (rc = store_step(s, st, err)) == 1) {
        mem_link l = {sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1), 0};
        bool had = l.passage == 0;
        for (int i = 0; i < *n; i++) had |= v[i].document == l.document;
        if (had) continue;
        v[(*n)++] = l;
    }
    sqlite3_finalize(st);
    return rc < 0 ? rc : Q_OK;
}

/* From word i on: the longest title. *taken: how many words it has. */
static int longest(mem_store *s, sqlite3_stmt *next, const struct naming *c, int i, q_buf *best, int *taken, char *err)
{
    q_buf at = {0};
    int rc = Q_OK;
    *taken = 0;
    for (int k = 0; i + k < c->n && k < WORDS_MAX && rc >= 0; k++) {
        if (k) q_buf_putc(&at, ' ');
        q_buf_puts(&at, c->word[i + k]);
        sqlite3_bind_text(next, 1, at.p, -1, SQLITE_STATIC);
        rc = store_step(s, next, err);
        const char *found = rc == 1 ? (const char *)sqlite3_column_text(next, 0) : NULL;
        bool same = found && strcmp(found, at.p) == 0, begins = found && strncmp(found, at.p, at.len) == 0;
        sqlite3_reset(next);
        if (same) {
            q_buf_clear(best);
            q_buf_puts(best, at.p);
            *taken = k + 1;
        }
        if (!begins) break;
    }
    q_buf_free(&at);
    return rc < 0 ? rc : Q_OK;
}

int mem_links(mem_store *s, const char *text, size_t n, int64_t except, mem_link **v, int *n_links, char *err)
{
    struct naming c = {0};
    q_buf called = {0};
    mem_words(text, n, name_word, &c);
    *v = q_alloc(sizeof **v * LINKS_MAX);
    *n_links = 0;
    store_lock(s);
    sqlite3_stmt *next = store_query(s, err, "SELECT called FROM document WHERE called<>'' AND called>=? ORDER BY called LIMIT 1", "");
    int rc = next ? Q_OK : store_failed(s);
    for (int i = 0; i < c.n && *n_links < LINKS_MAX && rc == Q_OK;) {
        int taken = 0;
        rc = longest(s, next, &c, i, &called, &taken, err);
        if (rc == Q_OK && taken) rc = add_links(s, called.p, except, *v, n_links, err);
        i += taken ? taken : 1;
    }
    sqlite3_finalize(next);
    store_unlock(s);
    for (int i = 0; i < *n_links; i++) (*v)[i].degree = *n_links;
    for (int i = 0; i < c.n; i++) free(c.word[i]);
    free(c.word);
    q_buf_free(&called);
    return rc;
}

int mem_named_by(mem_store *s, int64_t document, mem_link **v, int *n, char *err)
{
    *v = q_alloc(sizeof **v * LINKS_MAX);
    *n = 0;
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, "SELECT c.document, c.id FROM chunk_fts f JOIN chunk c ON c.id=f.rowid WHERE chunk_fts MATCH"
                                   " ifnull((SELECT 'text : \"' || called || '\"' FROM document WHERE id=?1 AND called<>''), '\"\"') AND c.document<>?1 LIMIT ?2",
                                   "ii", document, (int64_t)LINKS_MAX);
    int rc = st ? 1 : store_failed(s);
    while (rc == 1 && *n < LINKS_MAX && (rc = store_step(s, st, err)) == 1) (*v)[(*n)++] = (mem_link){sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1), 0};
    sqlite3_finalize(st);
    store_unlock(s);
    if (*n == LINKS_MAX) *n = 0;                /* what so many name says nothing */
    for (int i = 0; i < *n; i++) (*v)[i].degree = *n;
    return rc < 0 ? rc : Q_OK;
}
