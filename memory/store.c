/* memory/store: the small helpers that every query here goes through: the mutex, statements, transactions, and SQLite's
 * errors as sentences. Any thread. It never keeps a transaction open between two calls of a public function. */
#include "memory/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void store_lock(mem_store *s) { pthread_mutex_lock(&s->mutex); }
void store_unlock(mem_store *s) { pthread_mutex_unlock(&s->mutex); }

int store_error(mem_store *s, char *err)
{
    int code = sqlite3_errcode(s->db);
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return q_fail(err, Q_IO, _("the memory %s is busy in another process: try again in a moment"), s->path);
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return q_fail(err, Q_IO, _("the memory %s cannot be written: check its permissions and its folder's, or give another file with --db"), s->path);
    case SQLITE_FULL:
        return q_fail(err, Q_IO, _("the disk of %s is full: free some space and try again; what was kept before is safe"), s->path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return q_fail(err, Q_FORMAT, _("%s is damaged or is no database: move it away, or give another file with --db"), s->path);
    case SQLITE_CANTOPEN:
        return q_fail(err, Q_IO, _("cannot open the memory %s: check that its folder exists and can be written"), s->path);
    case SQLITE_TOOBIG:
        return q_fail(err, Q_RANGE, _("that is too large for the memory (256 MiB at most): split it"));
    case SQLITE_NOMEM:
        return q_fail(err, Q_NOMEM, _("not enough memory for a query on %s"), s->path);
    case SQLITE_IOERR: {
        int e = sqlite3_system_errno(s->db);
        return q_fail(err, Q_IO, _("cannot read or write the memory %s: %s; what was kept before is safe"), s->path,
                      e ? strerror(e) : sqlite3_errmsg(s->db));
    }
    default:
        return q_fail(err, Q_ERR, _("the memory %s failed: %s"), s->path, sqlite3_errmsg(s->db));
    }
}

static sqlite3_stmt *query_va(mem_store *s, char *err, const char *sql, const char *types, va_list ap)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK) {
        store_error(s, err);
        return NULL;
    }
    int rc = SQLITE_OK;
    for (int i = 1; types[i - 1] && rc == SQLITE_OK; i++) {
        switch (types[i - 1]) {
        case 'i': rc = sqlite3_bind_int64(st, i, va_arg(ap, int64_t)); break;
        case 'd': rc = sqlite3_bind_double(st, i, va_arg(ap, double)); break;
        case 's': rc = sqlite3_bind_text(st, i, va_arg(ap, const char *), -1, SQLITE_STATIC); break;
        case 't': {
            const char *p = va_arg(ap, const char *);
            size_t n = va_arg(ap, size_t);
            rc = sqlite3_bind_text64(st, i, p ? p : "", n, SQLITE_STATIC, SQLITE_UTF8);
            break;
        }
        case 'b': {
            const void *p = va_arg(ap, const void *);
            size_t n = va_arg(ap, size_t);
            rc = sqlite3_bind_blob64(st, i, p, n, SQLITE_STATIC);
            break;
        }
        default: rc = SQLITE_MISUSE;
        }
    }
    if (rc != SQLITE_OK) {
        store_error(s, err);
        sqlite3_finalize(st);
        return NULL;
    }
    return st;
}

sqlite3_stmt *store_query(mem_store *s, char *err, const char *sql, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *st = query_va(s, err, sql, types, ap);
    va_end(ap);
    return st;
}

int store_step(mem_store *s, sqlite3_stmt *st, char *err)
{
    int rc = sqlite3_step(st);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : store_error(s, err);
}

int store_run(mem_store *s, int *changes, char *err, const char *sql, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *st = query_va(s, err, sql, types, ap);
    va_end(ap);
    if (!st) return Q_IO;
    int rc;
    while ((rc = store_step(s, st, err)) == 1) {}
    if (changes) *changes = sqlite3_changes(s->db);
    sqlite3_finalize(st);
    return rc;
}

int store_int(mem_store *s, int64_t *out, char *err, const char *sql, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *st = query_va(s, err, sql, types, ap);
    va_end(ap);
    if (!st) return Q_IO;
    int rc = store_step(s, st, err);
    if (rc == 1) *out = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return rc == 1 ? Q_OK : rc == 0 ? Q_NOTFOUND : rc;
}

char *store_text(sqlite3_stmt *st, int column)
{
    const char *p = (const char *)sqlite3_column_text(st, column);
    return q_strndup(p ? p : "", p ? (size_t)sqlite3_column_bytes(st, column) : 0);
}

int store_begin(mem_store *s, char *err)
{
    store_lock(s);
    int rc = store_run(s, NULL, err, "BEGIN IMMEDIATE", "");
    if (rc != Q_OK) store_unlock(s);
    return rc;
}

int store_end(mem_store *s, int rc, char *err)
{
    if (rc == Q_OK) rc = store_run(s, NULL, err, "COMMIT", "");
    /* some errors (full disk, I/O) have rolled back already; a second ROLLBACK would only fail */
    if (rc != Q_OK && !sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    store_unlock(s);
    return rc;
}

int store_purge(mem_store *s, const char *fts, char *err)
{
    char sql[96];
    snprintf(sql, sizeof sql, "INSERT INTO %s(%s) VALUES('optimize')", fts, fts);
    return store_run(s, NULL, err, sql, "");
}

int store_end_deletion(mem_store *s, int rc, char *err)
{
    rc = store_end(s, rc, err);
    if (rc == Q_OK) {
        store_lock(s);
        sqlite3_exec(s->db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
        store_unlock(s);
    }
    return rc;
}
