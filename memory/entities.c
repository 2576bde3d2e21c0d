/* memory/entities: what passages name, as it is kept and asked for. It stands among the postings (postings.c), so that it comes
 * and goes with the words; a row a passage says the same the other way round. Takes the lock where it asks the store; any
 * thread. It never judges what a name is worth. */
#include "memory/named.h"
#include "memory/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- of a text ---- */
struct telling { store_entity_fn *fn; void *user; };

static bool tell_word(void *user, const mem_entity *e)
{
    struct telling *t = user;
    char word[NAMED_KEY + 4] = {STORE_ENTITY, e->kind};
    snprintf(word + 2, sizeof word - 2, "%s", e->key);
    t->fn(t->user, word);
    return true;
}

static bool take_word(void *user, const mem_word *w)
{
    named_word(user, w);
    return true;
}

/* Of the path of a file its name without the ending. */
static const char *file_part(const char *text, size_t *n)
{
    const char *slash = memrchr(text, '/', *n), *name = slash ? slash + 1 : text, *end = text + *n, *point = memrchr(name, '.', (size_t)(end - name));
    if (point && point > name && end - point <= 6 && !memchr(point, ' ', (size_t)(end - point))) end = point;
    *n = (size_t)(end - name);
    return name;
}

void store_entities_tell(struct named_text *x, int field, const char *text, size_t n, store_entity_fn *fn, void *user)
{
    struct telling t = {fn, user};
    if (field == NAMED_NAME) {
        named_clear(x);
        text = file_part(text, &n);
        mem_words(text, n, take_word, x);
    }
    named_tell(x, text, n, (enum named_field)field, tell_word, &t);
}

void mem_entities(const char *text, size_t n, mem_entity_fn *fn, void *user)
{
    struct named_text x = {0};
    mem_words(text, n, take_word, &x);
    named_tell(&x, text, n, NAMED_TEXT, fn, user);
    named_free(&x);
}

/* Stems, as phrases have them; the folded form of one word, as identifiers have it. */
struct forming { char *p; size_t n; bool stems; };

static bool form_word(void *user, const mem_word *w)
{
    struct forming *f = user;
    if (w->flags & MEM_WORD_EXACT) return true;
    const char *s = f->stems ? w->stem : w->word;
    size_t n = strlen(s);
    bool whole = w->flags & MEM_WORD_WHOLE && !f->stems;
    if (whole) f->n = 1;
    else if (w->flags & MEM_WORD_SAME) return true;
    if (f->n + n + 2 > MEM_NAME_MAX) return false;
    if (f->n > 1) f->p[f->n++] = ' ';
    memcpy(f->p + f->n, s, n + 1);
    f->n += n;
    return !whole;
}

bool mem_name_of(const char *text, size_t n, enum mem_entity_kind kind, char name[MEM_NAME_MAX])
{
    name[0] = (char)kind;
    name[1] = 0;
    if (kind == MEM_ENTITY_NAME) {
        struct named_text x = {0};
        mem_words(text, n, take_word, &x);
        bool is = named_key(&x, text, n, name + 1);
        named_free(&x);
        return is;
    }
    if (kind == MEM_ENTITY_ADDRESS || kind == MEM_ENTITY_DATE) {
        if (n == 0 || n + 2 > MEM_NAME_MAX) return false;
        for (size_t i = 0; i < n; i++) name[i + 1] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] | 32) : text[i];
        name[n + 1] = 0;
        return true;
    }
    struct forming f = {name, 1, kind == MEM_ENTITY_PHRASE};
    mem_words(text, n, form_word, &f);
    return f.n > 1;
}

/* ---- in the store ---- */
static const struct { const char *row, *around, *beside, *blocks, *words; } by_kind[] = {
    [MEM_CHUNK] = {"SELECT data FROM chunk_entity WHERE passage=?",
                   "SELECT e.data FROM chunk p JOIN chunk c ON c.document=p.document AND c.ordinal BETWEEN p.ordinal-16 AND p.ordinal+16"
                   " JOIN chunk_entity e ON e.passage=c.id WHERE p.id=? ORDER BY c.ordinal",
                   "SELECT c.id FROM chunk p JOIN chunk c ON c.document=p.document AND c.ordinal IN (p.ordinal-1, p.ordinal+1) WHERE p.id=? ORDER BY c.ordinal",
                   "SELECT first, data FROM chunk_posting WHERE word=? ORDER BY first",
                   "SELECT DISTINCT word FROM chunk_posting WHERE word>? AND word<char(2) ORDER BY word LIMIT ?"},
    [MEM_CHAT] = {"SELECT data FROM message_entity WHERE passage=?",
                  "WITH RECURSIVE up(id, depth) AS (SELECT ?1, 0 UNION ALL SELECT h.prev, depth+1 FROM up JOIN heard h ON h.message=up.id WHERE depth<4)"
                  " SELECT e.data FROM up JOIN message_entity e ON e.passage=up.id ORDER BY depth",
                  "SELECT prev FROM heard WHERE message=?1 AND prev>0 UNION ALL SELECT id FROM message WHERE parent=?1 AND indexed=1",
                  "SELECT first, data FROM message_posting WHERE word=? ORDER BY first",
                  "SELECT DISTINCT word FROM message_posting WHERE word>? AND word<char(2) ORDER BY word LIMIT ?"},
};

/* The next name of a row; false at its end. */
static bool next_name(const char **p, const char *end, char name[MEM_NAME_MAX])
{
    const char *line = *p < end ? memchr(*p, '\n', (size_t)(end - *p)) : NULL;
    if (!line) return false;
    size_t n = (size_t)(line - *p);
    if (n >= MEM_NAME_MAX) n = MEM_NAME_MAX - 1;
    memcpy(name, *p, n);
    name[n] = 0;
    *p = line + 1;
    return true;
}

static const char *row_of(sqlite3_stmt *st, const char **end)
{
    const char *p = (const char *)sqlite3_column_text(st, 0);
    *end = p ? p + sqlite3_column_bytes(st, 0) : NULL;
    return p ? p : *end;
}

/* Of the rows of `around` the one name that ends in this last one; name stays where there is none or more than one. */
static int whole_name(mem_store *s, sqlite3_stmt *around, int64_t id, char name[MEM_NAME_MAX], char *err)
{
    char found[MEM_NAME_MAX] = "", one[MEM_NAME_MAX];
    bool several = false;
    size_t n = strlen(name + 1);
    sqlite3_bind_int64(around, 1, id);
    int rc;
    while ((rc = store_step(s, around, err)) == 1) {
        const char *end, *p = row_of(around, &end);
        while (p && next_name(&p, end, one)) {
            size_t m = strlen(one);
            if (*one != MEM_ENTITY_NAME || m < n + 3 || one[m - n - 1] != ' ' || strcmp(one + m - n, name + 1) != 0) continue;
            several |= *found && strcmp(found, one) != 0;
            snprintf(found, sizeof found, "%s", one);
        }
    }
    sqlite3_reset(around);
    if (rc == Q_OK && *found && !several) snprintf(name, MEM_NAME_MAX, "%s", found);
    return rc;
}

int mem_names_in(mem_store *s, enum mem_kind k, const int64_t *id, int n, bool whole, void (*fn)(void *user, int at, const char *name), void *user, char *err)
{
    int rc = n ? store_index_ready(s, k, err) : Q_OK;
    if (rc != Q_OK || n == 0) return rc;
    store_lock(s);
    store_allow(s, STORE_LONG);
    sqlite3_stmt *row = store_query(s, err, by_kind[k].row, ""), *around = row ? store_query(s, err, by_kind[k].around, "") : NULL;
    rc = around ? Q_OK : store_failed(s);
    for (int i = 0; i < n && rc == Q_OK; i++) {
        char name[MEM_NAME_MAX];
        sqlite3_bind_int64(row, 1, id[i]);
        if ((rc = store_step(s, row, err)) == 1) {
            const char *end, *p = row_of(row, &end);
            rc = Q_OK;
            while (p && rc == Q_OK && next_name(&p, end, name)) {
                if (whole && *name == MEM_ENTITY_NAME && !strchr(name, ' ')) rc = whole_name(s, around, id[i], name, err);
                if (rc == Q_OK) fn(user, i, name);
            }
        }
        sqlite3_reset(row);
    }
    sqlite3_finalize(row);
    sqlite3_finalize(around);
    store_unlock(s);
    return rc;
}

/* All passages of one name into *v, at most `most`; *degree: most + 1 where there are more. */
static int passages_of(mem_store *s, sqlite3_stmt *blocks, const char *name, int most, int64_t *v, int *degree, char *err)
{
    char word[MEM_NAME_MAX + 1] = {STORE_ENTITY};
    snprintf(word + 1, sizeof word - 1, "%s", name);
    sqlite3_bind_text(blocks, 1, word, -1, SQLITE_STATIC);
    int rc = 1;
    *degree = 0;
    while (*degree <= most && (rc = store_step(s, blocks, err)) == 1) {
        const unsigned char *data = sqlite3_column_blob(blocks, 1);
        store_block b = {data, data ? data + sqlite3_column_bytes(blocks, 1) : NULL, sqlite3_column_int64(blocks, 0)};
        for (store_block_entry e; *degree <= most && store_block_next(&b, &e);) {
            if (*degree < most) v[*degree] = e.id;
            ++*degree;
        }
    }
    sqlite3_reset(blocks);
    return rc < 0 ? rc : Q_OK;
}

int mem_named_by_any(mem_store *s, enum mem_kind k, const char *const *name, int n, int most, int *degree, void (*fn)(void *user, int at, int64_t passage), void *user, char *err)
{
    int rc = n ? store_index_ready(s, k, err) : Q_OK;
    if (rc != Q_OK || n == 0) return rc;
    int64_t *v = q_alloc(sizeof *v * (size_t)(most + 1));
    store_lock(s);
    store_allow(s, STORE_LONG);
    sqlite3_stmt *blocks = store_query(s, err, by_kind[k].blocks, "");
    rc = blocks ? Q_OK : store_failed(s);
    for (int i = 0; i < n && rc == Q_OK; i++) {
        rc = passages_of(s, blocks, name[i], most, v, &degree[i], err);
        for (int j = 0; rc == Q_OK && degree[i] <= most && j < degree[i]; j++) fn(user, i, v[j]);
    }
    sqlite3_finalize(blocks);
    store_unlock(s);
    free(v);
    return rc;
}

int mem_beside(mem_store *s, enum mem_kind k, const int64_t *id, int n, void (*fn)(void *user, int at, int64_t passage), void *user, char *err)
{
    int rc = n ? store_index_ready(s, k, err) : Q_OK;
    if (rc != Q_OK || n == 0) return rc;
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, by_kind[k].beside, "");
    rc = st ? Q_OK : store_failed(s);
    for (int i = 0; i < n && rc == Q_OK; i++) {
        sqlite3_bind_int64(st, 1, id[i]);
        while ((rc = store_step(s, st, err)) == 1) fn(user, i, sqlite3_column_int64(st, 0));
        sqlite3_reset(st);
    }
    sqlite3_finalize(st);
    store_unlock(s);
    return rc;
}

int mem_names_each(mem_store *s, bool (*fn)(void *user, const char *name), void *user, char *err)
{
    enum { STEP = 4096 };
    int rc = Q_OK;
    bool go = true;
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK && go; k++) {
        char last[MEM_NAME_MAX + 1] = {STORE_ENTITY};
        rc = store_index_ready(s, k, err);
        for (int n = STEP; n == STEP && rc == Q_OK && go;) {
            store_lock(s);
            sqlite3_stmt *st = store_query(s, err, by_kind[k].words, "si", last, (int64_t)STEP);
            rc = st ? 1 : store_failed(s);
            char now[MEM_NAME_MAX + 1] = "";
            for (n = 0; rc == 1 && go && (rc = store_step(s, st, err)) == 1; n++) {
                snprintf(now, sizeof now, "%s", (const char *)sqlite3_column_text(st, 0));
                go = fn(user, now + 1);
            }
            sqlite3_finalize(st);
            store_unlock(s);
            if (n) memcpy(last, now, sizeof last);
            if (n == STEP) store_breathe(s);
            if (rc == 1) rc = Q_OK;
        }
    }
    return rc;
}
