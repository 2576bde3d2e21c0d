/* memory/lookup: where a word stands, for whoever scores. Takes the lock; any thread. It never judges. */
#include "memory/store.h"

#include <stdlib.h>

static const char *const blocks[] = {[MEM_CHUNK] = "SELECT first, data FROM chunk_posting WHERE word=? ORDER BY first",
                                     [MEM_CHAT] = "SELECT first, data FROM message_posting WHERE word=? ORDER BY first"};

static mem_posting posting_of(store_block_entry e)
{
    mem_posting p = {.id = e.id, .length = (int)e.length};
    int place = 0, field;
    while (store_block_place(&e, &place, &field)) {
        if (field == 0) p.name++;
        else if (field == 1) p.heading++;
        else p.text++;
    }
    return p;
}

int mem_postings(mem_store *s, enum mem_kind kind, const char *stem, mem_posting **v, int *n, char *err)
{
    int cap = 0;
    *v = NULL;
    *n = 0;
    int rc = store_index_ready(s, kind, err);
    if (rc != Q_OK) return rc;
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, blocks[kind], "s", stem);
    rc = st ? 1 : store_failed(s);
    while (rc == 1 && (rc = store_step(s, st, err)) == 1) {
        const unsigned char *data = sqlite3_column_blob(st, 1);
        store_block b = {data, data ? data + sqlite3_column_bytes(st, 1) : NULL, sqlite3_column_int64(st, 0)};
        for (store_block_entry e; store_block_next(&b, &e);) {
            if (*n == cap) *v = q_realloc(*v, sizeof **v * (size_t)(cap = cap ? cap * 2 : 64));
            (*v)[(*n)++] = posting_of(e);
        }
    }
    sqlite3_finalize(st);
    store_unlock(s);
    return rc;
}

int mem_extent(mem_store *s, enum mem_kind kind, int64_t *passages, int64_t *words, char *err)
{
    *passages = *words = 0;
    int rc = store_index_ready(s, kind, err);
    if (rc != Q_OK) return rc;
    store_lock(s);
    rc = store_int(s, passages, err, "SELECT " STORE_COUNT("passages") " FROM extent WHERE kind=?", "i", (int64_t)kind);
    if (rc == Q_OK) rc = store_int(s, words, err, "SELECT " STORE_COUNT("words") " FROM extent WHERE kind=?", "i", (int64_t)kind);
    store_unlock(s);
    return rc == Q_NOTFOUND ? Q_OK : rc;
}

/* Marks those of an index of ids that are there; both in order of ids. */
static int mark(mem_store *s, const char *sql, enum mem_by by, mem_heard *v, int n, char *err)
{
    sqlite3_stmt *st = store_query(s, err, sql, "");
    int rc = st ? 1 : store_failed(s), i = 0;
    while (rc == 1 && (rc = store_step(s, st, err)) == 1) {
        int64_t id = sqlite3_column_int64(st, 0);
        while (i < n && v[i].id < id) i++;
        if (i < n && v[i].id == id) v[i].by = by;
    }
    sqlite3_finalize(st);
    return rc;
}

int mem_heard_all(mem_store *s, mem_heard **v, int *n, char *err)
{
    int cap = 0;
    *v = NULL;
    *n = 0;
    int rc = store_index_ready(s, MEM_CHAT, err);
    if (rc != Q_OK) return rc;
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, "SELECT message, prev, conversation, created, words, asks FROM heard ORDER BY message", "");
    rc = st ? 1 : store_failed(s);
    while (rc == 1 && (rc = store_step(s, st, err)) == 1) {
        if (*n == cap) *v = q_realloc(*v, sizeof **v * (size_t)(cap = cap ? cap * 2 : 64));
        (*v)[(*n)++] = (mem_heard){sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1), sqlite3_column_int64(st, 2), sqlite3_column_int64(st, 3),
                                   sqlite3_column_int(st, 4), MEM_BY_PERSON, sqlite3_column_int(st, 5) != 0};
    }
    sqlite3_finalize(st);
    if (rc == Q_OK) rc = mark(s, "SELECT id FROM message INDEXED BY message_author WHERE author<>'' ORDER BY id", MEM_BY_NAMED, *v, *n, err);
    if (rc == Q_OK) rc = mark(s, "SELECT id FROM message INDEXED BY message_answer WHERE role=2 ORDER BY id", MEM_BY_MODEL, *v, *n, err);
    store_unlock(s);
    return rc;
}
