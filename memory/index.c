/* memory/index: what goes into the two word indexes (FTS5, external content) and comes out of them. The lock is held and,
 * for whatever writes, a transaction is open. An index holds only what the text holds too: one that is broken is
 * emptied and owed again (`chore`), never a reason to give up the file.
 *
 * A row is in the index of its kind, or its id lies in the stretch that is owed: the views message_said and chunk_said
 * leave that stretch out, so what is asked of FTS5 always matches what it holds. */
#include "memory/store.h"

#include <stdio.h>
#include <string.h>

/* Each complete merge adds two levels to FTS5's structure record, which it cannot read above 2,000; work per
 * merge grows with them too. An index with more than this is made anew. */
const int store_levels_max = 100;

static const struct { const char *fts, *columns, *values, *said, *rows; } index_of[] = {
    [MEM_CHUNK] = {"chunk_fts", "name, heading, text", "?, ?, ?", "chunk_said", "chunk"},
    [MEM_CHAT] = {"message_fts", "text", "?", "message_said", "message WHERE indexed=1"},
};

bool store_index_broken(const mem_store *s) { return s->broken; }

static int run(mem_store *s, int *changes, char *err, const char *types, int64_t id, const char *fmt, ...)
{
    char sql[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(sql, sizeof sql, fmt, ap);
    va_end(ap);
    return *types ? store_run(s, changes, err, sql, types, id) : store_run(s, changes, err, sql, "");
}

/* Where FTS5 cannot read even which segments there are, it refuses every statement: its tables are emptied by hand. An
 * empty index is a record of averages (1) and one of the structure (10): a cookie, no level, no segment, counter 0. */
static int empty_by_hand(mem_store *s, const char *fts, char *err)
{
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
    int rc = run(s, NULL, err, "", 0, "DELETE FROM %s_data", fts);
    if (rc == Q_OK) rc = run(s, NULL, err, "", 0, "DELETE FROM %s_idx", fts);
    if (rc == Q_OK) rc = run(s, NULL, err, "", 0, "DELETE FROM %s_docsize", fts);
    if (rc == Q_OK) rc = run(s, NULL, err, "", 0, "INSERT INTO %s_data(id, block) VALUES(1, x''), (10, zeroblob(7))", fts);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return rc;
}

int store_index_unlock(mem_store *s, enum mem_kind k, char *err)
{
    char sql[96];
    int64_t there = 0;
    int rc = store_int(s, &there, err, "SELECT count(*) FROM sqlite_schema WHERE name=?", "s", index_of[k].fts);
    if (rc != Q_OK || !there) return rc;
    snprintf(sql, sizeof sql, "SELECT 1 FROM %s LIMIT 0", index_of[k].fts);
    rc = store_run(s, NULL, err, sql, "");
    return rc != Q_OK && store_index_broken(s) ? empty_by_hand(s, index_of[k].fts, err) : rc;
}

int store_index_reset(mem_store *s, enum mem_kind k, char *err)
{
    const char *fts = index_of[k].fts;
    int rc = run(s, NULL, err, "", 0, "INSERT INTO %s(%s) VALUES('delete-all')", fts, fts);
    if (rc != Q_OK && store_index_broken(s)) {
        rc = empty_by_hand(s, fts, err);
        if (rc == Q_OK) rc = run(s, NULL, err, "", 0, "INSERT INTO %s(%s) VALUES('delete-all')", fts, fts);
    }
    if (rc == Q_OK) rc = store_postings_reset(s, k, err);
    if (rc == Q_OK) rc = run(s, NULL, err, "", 0, "DELETE FROM chore WHERE name IN ('purge %s', 'index %s')", fts, fts);
    if (rc == Q_OK) rc = run(s, NULL, err, "", 0, "INSERT INTO chore SELECT 'index %s', 0, min(id), max(id) FROM %s HAVING count(*)>0",
                             fts, index_of[k].rows);
    return rc;
}

void store_index_said(mem_store *s)
{
    store_note(s, _("the word index of %s was broken and is made again from the text: nothing is lost"), s->path);
}

int store_index_mended(mem_store *s, enum mem_kind k, int rc, char *err)
{
    if (rc == Q_OK || !store_index_broken(s)) return rc;
    rc = store_index_reset(s, k, err);
    if (rc == Q_OK) store_index_said(s);
    return rc;
}

int store_index_put(mem_store *s, enum mem_kind k, int64_t id, char *err)
{
    s->touched |= 1u << k;
    store_postings_begin(s, k, id, false);
    int rc = run(s, NULL, err, "i", id, "INSERT INTO %s(rowid, %s) SELECT id, %s FROM %s WHERE id=?", index_of[k].fts,
                 index_of[k].columns, index_of[k].columns, index_of[k].said);
    rc = store_postings_end(s, rc, err);
    return store_index_mended(s, k, rc, err);
}

/* Its words, as they went in; *n = 0: it is not in the index. Not INSERT ... SELECT: SQLite guards such a statement with a
 * savepoint, at which FTS5 writes out all it has gathered, a piece of the index for every row. */
static int take_out(mem_store *s, enum mem_kind k, int64_t id, int *n, char *err)
{
    char sql[256];
    snprintf(sql, sizeof sql, "SELECT %s FROM %s WHERE id=?", index_of[k].columns, index_of[k].said);
    sqlite3_stmt *words = store_query(s, err, sql, "i", id), *drop = NULL;
    int rc = words ? store_step(s, words, err) : store_failed(s);
    *n = rc == 1;
    if (rc == 1) {
        snprintf(sql, sizeof sql, "INSERT INTO %s(%s, rowid, %s) VALUES('delete', ?, %s)", index_of[k].fts, index_of[k].fts,
                 index_of[k].columns, index_of[k].values);
        drop = store_query(s, err, sql, "i", id);
        rc = drop ? Q_OK : store_failed(s);
        for (int i = 0; drop && i < sqlite3_column_count(words); i++)
            if (sqlite3_bind_value(drop, i + 2, sqlite3_column_value(words, i)) != SQLITE_OK) rc = store_error(s, err);
        if (rc == Q_OK) {
            store_postings_begin(s, k, id, true);
            rc = store_postings_end(s, store_step(s, drop, err), err);
        }
    }
    sqlite3_finalize(drop);
    sqlite3_finalize(words);
    return rc;
}

int store_index_drop(mem_store *s, enum mem_kind k, int64_t id, char *err)
{
    int n = 0;
    s->touched |= 1u << k;
    int rc = store_vectors_drop(s, k, id, err);
    if (rc == Q_OK) rc = take_out(s, k, id, &n, err);
    if (rc == Q_OK && n && !(s->touched & 4u << k)) {
        s->touched |= 4u << k;                      /* once a transaction will do */
        rc = run(s, NULL, err, "", 0, "INSERT INTO chore VALUES('purge %s', 1, 0, 0) ON CONFLICT(name) DO UPDATE SET n=n+1", index_of[k].fts);
    }
    return store_index_mended(s, k, rc, err);
}

/* A number as SQLite writes it: seven bits a byte, most significant first, at most nine bytes. */
const unsigned char *store_varint(const unsigned char *p, const unsigned char *end, int64_t *v)
{
    uint64_t x = 0;
    for (int i = 0; p < end && i < 8; i++) {
        x = x << 7 | (*p & 0x7f);
        if (*p++ < 0x80) { *v = (int64_t)x; return p; }
    }
    *v = -1;
    return end;
}

int store_index_shape(mem_store *s, enum mem_kind k, store_shape *out, char *err)
{
    char sql[64];
    *out = (store_shape){0};
    /* the structure record (fts5_index.c): a cookie of four bytes, levels, segments, a counter; then for each level how
     * many of its segments are being merged and how many it has, and three numbers for each of those */
    snprintf(sql, sizeof sql, "SELECT block FROM %s_data WHERE id=10", index_of[k].fts);
    sqlite3_stmt *st = store_query(s, err, sql, "");
    int rc = st ? store_step(s, st, err) : store_failed(s);
    if (rc == 1) {
        const unsigned char *p = sqlite3_column_blob(st, 0), *end = p ? p + sqlite3_column_bytes(st, 0) : NULL;
        int64_t n = 0, skip = 0;
        if (p && end - p > 4) {
            p = store_varint(p + 4, end, &out->levels);
            p = store_varint(p, end, &out->segments);
            p = store_varint(p, end, &skip);
        }
        for (int64_t i = 0; i < out->levels && p < end; i++) {
            p = store_varint(p, end, &skip);
            out->merging |= skip > 0;
            p = store_varint(p, end, &n);
            for (int64_t j = 0; j < 3 * n && p < end; j++) p = store_varint(p, end, &skip);
        }
        out->last = n > 0;
    }
    sqlite3_finalize(st);
    return rc < 0 ? rc : Q_OK;
}
