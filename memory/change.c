/* memory/change: a transaction that changes something, from its beginning to what is on the disk. Takes the lock and
 * gives it back. Words that went into an index are written out before the commit, while a broken index can still be
 * told from a broken change. */
#include "memory/store.h"

int store_begin(mem_store *s, char *err)
{
    store_lock(s);
    s->touched = 0;
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT; k++) store_postings_forget(s, k);
    int rc = store_run(s, NULL, err, "BEGIN IMMEDIATE", "");
    if (rc != Q_OK) store_unlock(s);
    return rc;
}

/* A savepoint makes FTS5 write what it gathered (fts5 has no other way that all versions know). */
static int write_words(mem_store *s, char *err)
{
    int rc = store_run(s, NULL, err, "SAVEPOINT words", "");
    if (rc == Q_OK) return store_run(s, NULL, err, "RELEASE words", "");
    if (!store_index_broken(s)) return rc;
    rc = Q_OK;                                      /* which of them it is, nobody says */
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK; k++)
        if (s->touched & 1u << k) rc = store_index_reset(s, k, err);
    if (rc == Q_OK) store_index_said(s);
    return rc;
}

int store_end(mem_store *s, int rc, char *err)
{
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK; k++) rc = store_postings_write(s, k, err);
    if (rc == Q_OK && s->touched) rc = write_words(s, err);
    if (rc == Q_OK) rc = store_run(s, NULL, err, "COMMIT", "");
    /* some errors (full disk, I/O) have rolled back already; a second ROLLBACK would only fail */
    if (rc != Q_OK && !sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    store_unlock(s);
    return rc;
}
