/* memory/owed: what a change leaves behind to be done: rows of what was removed, words in old pages of an index, an
 * index to be made again. Owed durably (`chore`, states), paid in short steps, each of which takes the lock and gives it
 * back, so that nobody waits for more than one. Any thread; several processes may pay at once. */
#include "memory/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One step: rows looked at, bytes of text indexed, pages (4 KB) of an index merged. Messages carry traces, so they are fewer.
 * SEGMENTS_MAX: an index of more pieces is merged before it gets another (FTS5 ends at 2,000). */
enum { STEP_ROWS = 64, STEP_MESSAGES = 16, STEP_BYTES = 256 << 10, STEP_PAGES = 64, SEGMENTS_MAX = 48 };

static const char *const fts_of[] = {[MEM_CHUNK] = "chunk_fts", [MEM_CHAT] = "message_fts"};

static int chore(mem_store *s, const char *what, enum mem_kind k, int64_t *out, const char *column, char *err)
{
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT %s FROM chore WHERE name='%s %s'", column, what, fts_of[k]);
    return store_int(s, out, err, sql, "");
}

static int drop_chore(mem_store *s, const char *what, enum mem_kind k, char *err)
{
    char sql[128];
    snprintf(sql, sizeof sql, "DELETE FROM chore WHERE name='%s %s'", what, fts_of[k]);
    return store_run(s, NULL, err, sql, "");
}

/* Looked at without the write lock: mostly nothing is. */
static int is_owed(mem_store *s, const char *what, enum mem_kind k, bool *owed, char *err)
{
    int64_t n;
    store_lock(s);
    int rc = chore(s, what, k, &n, "n", err);
    store_unlock(s);
    *owed = rc == Q_OK;
    return rc == Q_NOTFOUND ? Q_OK : rc;
}

static int merge(mem_store *s, enum mem_kind k, int pages, bool *did, char *err)
{
    char sql[128];
    snprintf(sql, sizeof sql, "INSERT INTO %s(%s, rank) VALUES('merge', ?)", fts_of[k], fts_of[k]);
    int64_t before = sqlite3_total_changes64(s->db);
    int rc = store_run(s, NULL, err, sql, "i", (int64_t)pages);
    *did = sqlite3_total_changes64(s->db) - before >= 2;    /* the command itself counts as one */
    return rc;
}

int store_merge_step(mem_store *s, enum mem_kind k, bool *more, char *err)
{
    store_shape shape;
    *more = false;
    store_lock(s);
    int rc = store_index_shape(s, k, &shape, err);
    store_unlock(s);
    if (rc != Q_OK || shape.segments <= SEGMENTS_MAX || (rc = store_begin(s, err)) != Q_OK) return rc;
    s->touched |= 1u << k;
    rc = merge(s, k, STEP_PAGES, more, err);
    if (rc == Q_OK && !*more) rc = merge(s, k, -STEP_PAGES, more, err);
    return store_end(s, store_index_mended(s, k, rc, err), err);
}

/* ---- an index is made again ---- */
static const struct { const char *ids, *texts, *put; } rows_of[] = {
    [MEM_CHUNK] = {"SELECT id, length(text) FROM chunk WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
                   "SELECT id, name, heading, text FROM chunk WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
                   "INSERT INTO chunk_fts(rowid, name, heading, text) VALUES(?, ?, ?, ?)"},
    [MEM_CHAT] = {"SELECT id, length(text) FROM message WHERE indexed=1 AND id BETWEEN ?1 AND ?2 ORDER BY id",
                  "SELECT id, text FROM message WHERE indexed=1 AND id BETWEEN ?1 AND ?2 ORDER BY id",
                  "INSERT INTO message_fts(rowid, text) VALUES(?, ?)"},
};

/* The last id of a step that begins at `next`; `last` when the rest fits into one. */
static int step_end(mem_store *s, enum mem_kind k, int64_t next, int64_t last, int64_t *to, char *err)
{
    sqlite3_stmt *st = store_query(s, err, rows_of[k].ids, "ii", next, last);
    int rc = st ? 1 : store_failed(s), n = 0;
    int64_t bytes = 0;
    *to = last;
    while (rc == 1 && (rc = store_step(s, st, err)) == 1) {
        bytes += sqlite3_column_int64(st, 1);
        if (++n < STEP_ROWS && bytes < STEP_BYTES) continue;
        *to = sqlite3_column_int64(st, 0);
        break;
    }
    sqlite3_finalize(st);
    return rc < 0 ? rc : Q_OK;
}

/* By single statements (index.c says why). */
static int put_stretch(mem_store *s, enum mem_kind k, int64_t from, int64_t to, char *err)
{
    sqlite3_stmt *texts = store_query(s, err, rows_of[k].texts, "ii", from, to), *put = texts ? store_query(s, err, rows_of[k].put, "") : NULL;
    int rc = put ? 1 : store_failed(s);
    while (rc == 1 && (rc = store_step(s, texts, err)) == 1) {
        for (int i = 0; i < sqlite3_column_count(texts); i++)
            if (sqlite3_bind_value(put, i + 1, sqlite3_column_value(texts, i)) != SQLITE_OK) rc = store_error(s, err);
        if (rc != 1) break;
        store_postings_begin(s, k, sqlite3_column_int64(texts, 0), false);
        rc = store_postings_end(s, store_step(s, put, err), err);
        sqlite3_reset(put);
        if (rc == Q_OK) rc = 1;
    }
    sqlite3_finalize(texts);
    sqlite3_finalize(put);
    return rc;
}

int store_index_step(mem_store *s, enum mem_kind k, bool *more, char *err)
{
    int64_t next, last, to;
    int rc = is_owed(s, "index", k, more, err);
    if (rc != Q_OK || !*more) return rc;
    rc = store_merge_step(s, k, more, err);
    if (rc != Q_OK || *more) return rc;
    *more = true;
    if ((rc = store_begin(s, err)) != Q_OK) return rc;
    rc = chore(s, "index", k, &next, "next", err);
    if (rc == Q_OK) rc = chore(s, "index", k, &last, "last", err);
    if (rc == Q_NOTFOUND) return store_end(s, Q_OK, err);   /* another process was quicker */
    if (rc == Q_OK) rc = step_end(s, k, next, last, &to, err);
    if (rc == Q_OK) rc = put_stretch(s, k, next, to, err);
    if (rc == Q_OK && to < last) {
        char sql[128];
        snprintf(sql, sizeof sql, "UPDATE chore SET next=? WHERE name='index %s'", fts_of[k]);
        rc = store_run(s, NULL, err, sql, "i", to + 1);
    } else if (rc == Q_OK) {
        rc = drop_chore(s, "index", k, err);
    }
    return store_end(s, rc, err);
}

int store_index_ready(mem_store *s, enum mem_kind k, char *err)
{
    int rc = Q_OK;
    for (bool more = true; rc == Q_OK && more;) {
        rc = store_index_step(s, k, &more, err);
        if (rc == Q_OK && more) store_breathe(s);
    }
    return rc;
}

int store_index_mend(mem_store *s, enum mem_kind k, char *err)
{
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_end(s, store_index_reset(s, k, err), err);
    if (rc != Q_OK) return rc;
    store_index_said(s);
    return store_index_ready(s, k, err);
}

/* ---- words of what is gone ---- */
/* FTS5 marks a deleted row's words and keeps them in old segments until those are merged into one, which "merge" does
 * by pages (fts5.html, section 6.9; negative: all segments take part). It drops the marked words only where the result
 * lies on the highest level, which is looked at afterwards: where it does not, the index is made again instead. */
int store_purge_step(mem_store *s, enum mem_kind k, bool *more, char *err)
{
    int64_t owed;
    store_shape shape;
    bool did = false;
    int rc = is_owed(s, "purge", k, more, err);
    if (rc != Q_OK || !*more || (rc = store_begin(s, err)) != Q_OK) return rc;
    s->touched |= 1u << k;
    rc = chore(s, "purge", k, &owed, "n", err);
    if (rc == Q_NOTFOUND) return store_end(s, Q_OK, err);   /* another process was quicker */
    if (rc == Q_OK) rc = store_index_shape(s, k, &shape, err);
    if (rc == Q_OK && shape.levels > store_levels_max) return store_end(s, store_index_reset(s, k, err), err);
    /* what is being merged already goes on: beginning anew each time would never end beside somebody who writes */
    if (rc == Q_OK && (shape.merging || shape.segments > 1)) rc = merge(s, k, shape.merging ? STEP_PAGES : -STEP_PAGES, &did, err);
    if (rc == Q_OK && !did) {
        bool clear = shape.segments == 0 || (shape.segments == 1 && shape.last);
        rc = clear ? drop_chore(s, "purge", k, err) : store_index_reset(s, k, err);
    }
    return store_end(s, store_index_mended(s, k, rc, err), err);
}

/* ---- rows of what is going ---- */
/* What a row of a passage leaves in the logs of other conversations: its words, not its numbers. */
int store_logs_forget(mem_store *s, enum mem_kind k, int64_t id, char *err)
{
    return store_run(s, NULL, err, "UPDATE retrieval SET label='', terms='' WHERE kind=? AND ref=?", "ii", (int64_t)k, id);
}

static const struct {
    enum mem_kind kind;
    int rows;
    const char *going, *some, *free, *drop, *end;       /* free: others let go of it; NULL: nobody holds it */
} going[] = {
    {MEM_CHUNK, STEP_ROWS, "SELECT id FROM document WHERE state=2 AND id>? ORDER BY id LIMIT 1",
     "SELECT id FROM chunk WHERE document=? ORDER BY ordinal LIMIT ?", NULL, "DELETE FROM chunk WHERE id=?", "DELETE FROM document WHERE id=? AND state=2"},
    /* Children first: they hold on to their parents. In a file that somebody changed a parent may be younger than its child,
     * or of another conversation: whoever still holds on lets go. */
    {MEM_CHAT, STEP_MESSAGES, "SELECT id FROM conversation WHERE state=2 AND id>? ORDER BY id LIMIT 1",
     "SELECT id FROM message WHERE conversation=? ORDER BY id DESC LIMIT ?", "UPDATE message SET parent=NULL WHERE parent=?",
     "DELETE FROM message WHERE id=?",
     "DELETE FROM conversation WHERE id=? AND state=2"},
};

/* What one step takes: rows of as many owners as they fill it with, and the owners that have none left then. */
struct sweep { int64_t row[STEP_ROWS], owner[STEP_ROWS]; int rows, owners; };

static int some_rows(mem_store *s, size_t which, int64_t owner, int room, struct sweep *w, char *err)
{
    sqlite3_stmt *st = store_query(s, err, going[which].some, "ii", owner, (int64_t)room);
    int rc = st ? 1 : store_failed(s);
    for (; rc == 1 && room > 0 && (rc = store_step(s, st, err)) == 1; room--) w->row[w->rows++] = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    if (rc >= 0 && room > 0) w->owner[w->owners++] = owner;
    return rc < 0 ? rc : Q_OK;
}

static int sweep_choose(mem_store *s, size_t which, struct sweep *w, char *err)
{
    int64_t owner = INT64_MIN;
    int rc = Q_OK;
    for (int room; rc == Q_OK && (room = going[which].rows - w->rows - w->owners) > 0;) {
        rc = store_int(s, &owner, err, going[which].going, "i", owner);
        if (rc == Q_OK) rc = some_rows(s, which, owner, room, w, err);
    }
    return rc == Q_NOTFOUND ? Q_OK : rc;
}

static int by_id(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* The words of all in one go and in the order of their ids: between them nothing that makes FTS5 write out a piece of its
 * index (index.c), as it does before an id that is below the last one. */
static int sweep_words(mem_store *s, enum mem_kind k, const struct sweep *w, char *err)
{
    int64_t id[STEP_ROWS];
    int rc = Q_OK;
    memcpy(id, w->row, sizeof *id * (size_t)w->rows);
    qsort(id, (size_t)w->rows, sizeof *id, by_id);
    for (int i = 0; i < w->rows && rc == Q_OK; i++) rc = store_logs_forget(s, k, id[i], err);
    for (int i = 0; i < w->rows && rc == Q_OK; i++) rc = store_wish_passage_gone(s, k, id[i], err);
    for (int i = 0; i < w->rows && rc == Q_OK; i++) rc = store_index_drop(s, k, id[i], err);
    return rc;
}

static int sweep_rows(mem_store *s, const char *sql, const int64_t *id, int n, char *err)
{
    sqlite3_stmt *drop = n ? store_query(s, err, sql, "") : NULL;
    int rc = n && !drop ? store_failed(s) : Q_OK;
    for (int i = 0; i < n && rc == Q_OK; i++) {
        rc = store_again(s, drop, err, "i", id[i]);
        if (rc == Q_OK && sqlite3_changes(s->db) != 1) rc = store_tampered(s, err);
    }
    sqlite3_finalize(drop);
    return rc;
}

/* One step; *more: something was going. */
static int sweep_step(mem_store *s, size_t which, bool *more, char *err)
{
    int64_t owner;
    struct sweep w = {.rows = 0};
    *more = false;
    store_lock(s);
    int rc = store_int(s, &owner, err, going[which].going, "i", INT64_MIN);       /* the common case takes no write lock */
    store_unlock(s);
    if (rc != Q_OK) return rc == Q_NOTFOUND ? Q_OK : rc;
    if ((rc = store_begin(s, err)) != Q_OK) return rc;
    rc = sweep_choose(s, which, &w, err);
    *more = w.rows || w.owners;
    if (rc == Q_OK) rc = sweep_words(s, going[which].kind, &w, err);
    for (int i = 0; i < w.rows && rc == Q_OK && going[which].free; i++) rc = store_run(s, NULL, err, going[which].free, "i", w.row[i]);
    if (rc == Q_OK) rc = sweep_rows(s, going[which].drop, w.row, w.rows, err);
    if (rc == Q_OK) rc = sweep_rows(s, going[which].end, w.owner, w.owners, err);
    for (int i = 0; i < w.owners && rc == Q_OK; i++) rc = store_wish_source_gone(s, going[which].kind, w.owner[i], err);
    return store_end(s, rc, err);
}

/* Documents that a process which is gone was still taking in. */
static int abandon(mem_store *s, char *err)
{
    int64_t id;
    store_lock(s);
    int rc = store_int(s, &id, err, "SELECT id FROM document WHERE state=1 AND NOT owner_alive(owner) LIMIT 1", "");
    store_unlock(s);
    if (rc != Q_OK) return rc == Q_NOTFOUND ? Q_OK : rc;
    if ((rc = store_begin(s, err)) != Q_OK) return rc;
    return store_end(s, store_run(s, NULL, err, "UPDATE document SET state=2 WHERE state=1 AND NOT owner_alive(owner)", ""), err);
}

static int one_step(mem_store *s, bool *more, char *err)
{
    int rc = Q_OK;
    *more = false;
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK && !*more; k++) rc = store_merge_step(s, k, more, err);
    for (size_t i = 0; i < sizeof going / sizeof *going && rc == Q_OK && !*more; i++) rc = sweep_step(s, i, more, err);
    if (rc == Q_OK && !*more) rc = store_vectors_step(s, more, err);
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK && !*more; k++) rc = store_index_step(s, k, more, err);
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK && !*more; k++) rc = store_purge_step(s, k, more, err);
    return rc;
}

int mem_tidy(mem_store *s, bool (*go)(void *user), void *user, char *err)
{
    bool any = false, more = true;
    int rc = abandon(s, err);
    while (rc == Q_OK && more) {
        if (go && !go(user)) return q_fail(err, Q_CANCEL, _("stopped: the rest of the tidying is done at the next start"));
        rc = one_step(s, &more, err);
        any |= more;
        if (more) store_breathe(s);
    }
    if (rc == Q_OK) rc = store_backups_step(s, err);
    if (rc == Q_OK && any) {                        /* under WAL the old pages are in the log until it is folded back */
        store_lock(s);
        sqlite3_exec(s->db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
        store_unlock(s);
    }
    return rc;
}
