/* memory/postings: where each word stands, for whoever scores. Owns nothing beyond the call; any thread. It never judges. */
#include "memory/store.h"

#include <stdlib.h>
#include <string.h>

static const struct { const char *places, *length, *extent; } of_kind[] = {
    [MEM_CHUNK] = {"SELECT doc, col FROM temp.chunk_places WHERE term=?", "SELECT sz FROM chunk_fts_docsize WHERE id=?",
                   "SELECT id, sz FROM chunk_fts_docsize"},
    [MEM_CHAT] = {"SELECT doc, col FROM temp.message_places WHERE term=?", "SELECT sz FROM message_fts_docsize WHERE id=?",
                  "SELECT id, sz FROM message_fts_docsize"},
};

static int size_of(sqlite3_stmt *st, int col)
{
    const unsigned char *p = sqlite3_column_blob(st, col), *end = p + sqlite3_column_bytes(st, col);
    int all = 0, x = 0;
    for (; p && p < end; p++) {
        x = x << 7 | (*p & 0x7f);
        if (*p < 0x80) all += x, x = 0;
    }
    return all;
}

int mem_postings(mem_store *s, enum mem_kind kind, const char *stem, mem_posting **v, int *n, char *err)
{
    int cap = 0;
    *v = NULL;
    *n = 0;
    int rc = store_index_ready(s, kind, err);
    if (rc != Q_OK) return rc;
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, of_kind[kind].places, "s", stem), *len = st ? store_query(s, err, of_kind[kind].length, "") : NULL;
    rc = len ? 1 : store_failed(s);
    while (rc == 1 && (rc = store_step(s, st, err)) == 1) {
        int64_t id = sqlite3_column_int64(st, 0);
        const char *col = (const char *)sqlite3_column_text(st, 1);
        if (*n == 0 || (*v)[*n - 1].id != id) {
            if (*n == cap) *v = q_realloc(*v, sizeof **v * (size_t)(cap = cap ? cap * 2 : 64));
            (*v)[*n] = (mem_posting){.id = id};
            sqlite3_bind_int64(len, 1, id);
            if (sqlite3_step(len) == SQLITE_ROW) (*v)[*n].length = size_of(len, 0);
            sqlite3_reset(len);
            ++*n;
        }
        mem_posting *p = &(*v)[*n - 1];
        if (col && *col == 'n') p->name++;
        else if (col && *col == 'h') p->heading++;
        else p->text++;
    }
    sqlite3_finalize(st);
    sqlite3_finalize(len);
    store_unlock(s);
    return rc;
}

int mem_extent(mem_store *s, enum mem_kind kind, int64_t *passages, int64_t *words, char *err)
{
    *passages = *words = 0;
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, of_kind[kind].extent, "");
    int rc = st ? 1 : store_failed(s);
    while (rc == 1 && (rc = store_step(s, st, err)) == 1) {
        ++*passages;
        *words += size_of(st, 1);
    }
    sqlite3_finalize(st);
    store_unlock(s);
    return rc;
}

int mem_heard_all(mem_store *s, mem_heard **v, int *n, char *err)
{
    int cap = 0;
    *v = NULL;
    *n = 0;
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, "SELECT m.id, m.parent, m.conversation, m.created, instr(substr(m.text, -90), '?')>0, d.sz"
                                   " FROM message m JOIN message_fts_docsize d ON d.id=m.id ORDER BY m.id", "");
    int rc = st ? 1 : store_failed(s);
    while (rc == 1 && (rc = store_step(s, st, err)) == 1) {
        if (*n == cap) *v = q_realloc(*v, sizeof **v * (size_t)(cap = cap ? cap * 2 : 64));
        (*v)[(*n)++] = (mem_heard){sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1), sqlite3_column_int64(st, 2), sqlite3_column_int64(st, 3),
                                   size_of(st, 5), sqlite3_column_int(st, 4) != 0};
    }
    sqlite3_finalize(st);
    store_unlock(s);
    return rc;
}
