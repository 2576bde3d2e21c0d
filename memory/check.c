/* memory/check: is the whole file in order? The lock is held and a transaction is open, but for mem_check. An index that
 * does not match its text is no damage: it is made again. */
#include "memory/store.h"

#include <stdio.h>
#include <string.h>

static int check_words(mem_store *s, enum mem_kind k, const char *fts, char *err)
{
    char sql[96];
    /* rank 1: also compare the index with its content (fts5.html, section 6.5) */
    snprintf(sql, sizeof sql, "INSERT INTO %s(%s, rank) VALUES('integrity-check', 1)", fts, fts);
    s->touched |= 1u << k;
    return store_index_mended(s, k, store_run(s, NULL, err, sql, ""), err);
}

static int damaged(mem_store *s, char *err, const char *how)
{
    return q_fail(err, Q_FORMAT, _("%s is damaged (%s): quorum memory export saves what can be read; then give another file with --db"), s->path, how);
}

int store_check(mem_store *s, char *err)
{
    store_allow(s, STORE_LONG);
    int rc = check_words(s, MEM_CHUNK, "chunk_fts", err);       /* first: newer SQLites look at the indexes too */
    if (rc == Q_OK) rc = check_words(s, MEM_CHAT, "message_fts", err);
    if (rc != Q_OK) return rc;
    store_allow(s, STORE_LONG);
    sqlite3_stmt *st = store_query(s, err, "PRAGMA integrity_check(1)", "");
    rc = st ? store_step(s, st, err) : store_failed(s);
    if (rc == 1) {
        const char *how = (const char *)sqlite3_column_text(st, 0);
        rc = how && strcmp(how, "ok") == 0 ? Q_OK : damaged(s, err, how ? how : "?");
    }
    sqlite3_finalize(st);
    if (rc != Q_OK) return rc;
    store_allow(s, STORE_LONG);
    st = store_query(s, err, "PRAGMA foreign_key_check", "");
    rc = st ? store_step(s, st, err) : store_failed(s);
    if (rc == 1) rc = damaged(s, err, _("rows whose owner is gone"));
    sqlite3_finalize(st);
    return rc;
}

int mem_check(mem_store *s, char *err)
{
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_end(s, store_check(s, err), err);
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK; k++) rc = store_index_ready(s, k, err);
    return rc;
}
