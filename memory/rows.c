/* memory/rows: one list of columns says how a row of a table (or of a query) is selected, read, stored and freed, so
 * that no column is ever counted by hand. Owns nothing beyond the call; the lock is held. It knows no table by name. */
#include "memory/store.h"

#include <stdlib.h>
#include <string.h>

static void *field(const store_column *c, const void *row) { return (char *)row + c->at; }

char *store_select(const store_table *t, const char *rest)
{
    q_buf b = { 0 };
    q_buf_puts(&b, "SELECT ");
    for (int i = 0; i < t->n; i++) q_buf_printf(&b, "%s%s", i ? ", " : "", t->column[i].expr ? t->column[i].expr : t->column[i].name);
    q_buf_printf(&b, " %s", rest);
    return q_buf_take(&b);
}

void store_read(const store_table *t, sqlite3_stmt *st, void *row)
{
    memset(row, 0, t->size);
    for (int i = 0; i < t->n; i++) {
        const store_column *c = &t->column[i];
        void *p = field(c, row);
        switch (c->kind) {
        case ROW_INT: *(int *)p = sqlite3_column_int(st, i); break;
        case ROW_INT64:
        case ROW_REF: *(int64_t *)p = sqlite3_column_int64(st, i); break;
        case ROW_BOOL: *(bool *)p = sqlite3_column_int(st, i) != 0; break;
        case ROW_DOUBLE: *(double *)p = sqlite3_column_double(st, i); break;
        case ROW_TEXT: *(char **)p = store_text(st, i); break;
        case ROW_SPAN: break; /* only ever written */
        case ROW_CHARS: {
            const char *text = (const char *)sqlite3_column_text(st, i);
            size_t n = text ? strnlen(text, c->size - 1) : 0;
            if (n) memcpy(p, text, n); /* the rest is zero already */
            break;
        }
        }
    }
}

void store_free(const store_table *t, void *row)
{
    for (int i = 0; i < t->n; i++)
        if (t->column[i].kind == ROW_TEXT) free(*(char **)field(&t->column[i], row));
    memset(row, 0, t->size);
}

static int bind(sqlite3_stmt *st, int at, const store_column *c, const void *p)
{
    switch (c->kind) {
    case ROW_INT: return sqlite3_bind_int(st, at, *(const int *)p);
    case ROW_INT64: return sqlite3_bind_int64(st, at, *(const int64_t *)p);
    case ROW_REF: return *(const int64_t *)p ? sqlite3_bind_int64(st, at, *(const int64_t *)p) : sqlite3_bind_null(st, at);
    case ROW_BOOL: return sqlite3_bind_int(st, at, *(const bool *)p);
    case ROW_DOUBLE: return sqlite3_bind_double(st, at, *(const double *)p);
    case ROW_TEXT: {
        const char *s = *(char *const *)p;
        return sqlite3_bind_text(st, at, s ? s : "", -1, SQLITE_STATIC);
    }
    case ROW_SPAN: {
        const store_span *x = p;
        return sqlite3_bind_text64(st, at, x->p ? x->p : "", x->n, SQLITE_STATIC, SQLITE_UTF8);
    }
    case ROW_CHARS: return sqlite3_bind_text(st, at, p, -1, SQLITE_STATIC);
    }
    return SQLITE_MISUSE;
}

static char *inserting(const store_table *t)
{
    q_buf b = { 0 }, values = { 0 };
    q_buf_printf(&b, "INSERT OR %s INTO %s(", t->replaces ? "REPLACE" : "ABORT", t->name);
    int n = 0;
    for (int i = 0; i < t->n; i++) {
        if (!t->column[i].stored) continue;
        q_buf_printf(&b, "%s%s", n ? ", " : "", t->column[i].name);
        q_buf_puts(&values, n++ ? ", ?" : "?");
    }
    q_buf_printf(&b, ") VALUES(%s)", values.p);
    q_buf_free(&values);
    return q_buf_take(&b);
}

sqlite3_stmt *store_inserting(mem_store *s, const store_table *t, char *err)
{
    char *sql = inserting(t);
    sqlite3_stmt *st = store_query(s, err, sql, "");
    free(sql);
    return st;
}

int store_insert_row(mem_store *s, sqlite3_stmt *st, const store_table *t, const void *row, int64_t *id, char *err)
{
    int rc = Q_OK, at = 0;
    for (int i = 0; i < t->n && rc == Q_OK; i++)
        if (t->column[i].stored && bind(st, ++at, &t->column[i], field(&t->column[i], row)) != SQLITE_OK) rc = store_error(s, err);
    if (rc == Q_OK) rc = store_step(s, st, err);
    if (rc == Q_OK && id) *id = sqlite3_last_insert_rowid(s->db);
    sqlite3_reset(st);
    return rc;
}

static sqlite3_stmt *kept(mem_store *s, char *err, const char *sql, ...)
{
    va_list none;
    va_start(none, sql);
    sqlite3_stmt *st = store_kept_va(s, err, sql, "", none);
    va_end(none);
    return st;
}

int store_insert(mem_store *s, const store_table *t, const void *row, int64_t *id, char *err)
{
    char *sql = inserting(t);
    sqlite3_stmt *st = kept(s, err, sql);
    int rc = st ? store_insert_row(s, st, t, row, id, err) : store_failed(s);
    store_done(s, st);
    free(sql);
    return rc;
}

int store_update(mem_store *s, const store_table *t, const void *row, int64_t id, char *err)
{
    q_buf b = { 0 };
    int rc = Q_OK, at = 0;
    q_buf_printf(&b, "UPDATE %s SET ", t->name);
    for (int i = 0; i < t->n; i++)
        if (t->column[i].stored) q_buf_printf(&b, "%s%s=?", at++ ? ", " : "", t->column[i].name);
    q_buf_puts(&b, " WHERE id=?");
    sqlite3_stmt *st = store_query(s, err, b.p, "");
    q_buf_free(&b);
    if (!st) return store_failed(s);
    at = 0;
    for (int i = 0; i < t->n && rc == Q_OK; i++)
        if (t->column[i].stored && bind(st, ++at, &t->column[i], field(&t->column[i], row)) != SQLITE_OK) rc = store_error(s, err);
    if (rc == Q_OK && sqlite3_bind_int64(st, at + 1, id) != SQLITE_OK) rc = store_error(s, err);
    if (rc == Q_OK) rc = store_step(s, st, err);
    sqlite3_finalize(st);
    return rc;
}

int store_rows(mem_store *s, const store_table *t, void **v, int *n, char *err, const char *rest, const char *types, ...)
{
    char *sql = store_select(t, rest);
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *st = store_query_va(s, err, sql, types, ap);
    va_end(ap);
    free(sql);
    int rc = st ? Q_OK : store_failed(s), cap = 0;
    *v = NULL;
    *n = 0;
    while (st && (rc = store_step(s, st, err)) == 1) {
        if (*n == cap) *v = q_realloc(*v, t->size * (size_t)(cap = cap ? cap * 2 : 16));
        store_read(t, st, (char *)*v + t->size * (size_t)(*n)++);
    }
    sqlite3_finalize(st);
    if (rc != Q_OK) store_rows_free(t, v, n);
    return rc;
}

int store_row(mem_store *s, const store_table *t, void *row, char *err, const char *rest, const char *types, ...)
{
    char *sql = store_select(t, rest);
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *st = store_kept_va(s, err, sql, types, ap);
    va_end(ap);
    free(sql);
    memset(row, 0, t->size);
    int rc = st ? store_step(s, st, err) : store_failed(s);
    if (rc == 1) store_read(t, st, row);
    store_done(s, st);
    return rc == 1 ? Q_OK : rc == 0 ? Q_NOTFOUND
                                    : rc;
}

void store_rows_free(const store_table *t, void **v, int *n)
{
    for (int i = 0; i < *n; i++) store_free(t, (char *)*v + t->size * (size_t)i);
    free(*v);
    *v = NULL;
    *n = 0;
}
