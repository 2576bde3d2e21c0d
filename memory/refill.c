/* memory/refill: an empty memory takes in the rows that an export of another one wrote, each under its own number, so that nothing of it is
 * lost and every reference holds. One transaction: all of it, or nothing. Indexes and vectors are owed and made again. One thread, from
 * new to end; the lock is held meanwhile. */
#include "memory/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mem_refill {
    mem_store *s;
    sqlite3_stmt *put;
    char *shape;                            /* table and columns that put is of */
    int rows;
};

int mem_refill_new(mem_store *s, mem_refill **out, char *err)
{
    int64_t any = 0;
    *out = NULL;
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_int(s, &any, err, "SELECT EXISTS (SELECT 1 FROM message) OR EXISTS (SELECT 1 FROM conversation) OR EXISTS (SELECT 1 FROM document WHERE trust<>1) OR EXISTS (SELECT 1 FROM fact)", "");
    if (rc == Q_OK && any) rc = q_fail(err, Q_RANGE, _("%s holds something already, and only an empty memory takes an export in: give a new file with --db"), s->path);
    /* the manual: of the export instead */
    static const char *const clear[] = {"DELETE FROM vector_exact", "DELETE FROM vector", "DELETE FROM embedder_sum", "DELETE FROM embedder", "DELETE FROM chunk", "DELETE FROM document", "DELETE FROM forgotten" /* by another salt */,
                                        "DELETE FROM sqlite_sequence" /* numbers that were given away once: the export has them */};
    for (size_t i = 0; i < sizeof clear / sizeof *clear && rc == Q_OK; i++) rc = store_run(s, NULL, err, clear[i], "");
    if (rc != Q_OK) return store_end(s, rc, err);
    *out = q_alloc(sizeof **out);
    (*out)->s = s;
    return Q_OK;
}

static bool column_there(mem_store *s, const char *table, const char *column)
{
    char err[Q_ERRLEN];
    int64_t n = 0;
    return store_int(s, &n, err, "SELECT count(*) FROM pragma_table_xinfo(?) WHERE name=? AND hidden=0", "ss", table, column) == Q_OK && n == 1;
}

static void quoted(q_buf *b, const char *name)
{
    q_buf_putc(b, '"');
    for (; *name; name++) {
        if (*name == '"') q_buf_putc(b, '"');
        q_buf_putc(b, *name);
    }
    q_buf_putc(b, '"');
}

static int prepare(mem_refill *r, const char *table, const mem_export_value *v, int n, char *err)
{
    q_buf shape = {0}, sql = {0};
    q_buf_puts(&shape, table);
    for (int i = 0; i < n; i++) q_buf_printf(&shape, "\n%s", v[i].name);
    if (r->put && strcmp(shape.p, r->shape) == 0) {
        q_buf_free(&shape);
        return Q_OK;
    }
    int rc = Q_OK;
    q_buf_puts(&sql, "INSERT OR REPLACE INTO ");
    quoted(&sql, table);
    for (int i = 0; i < n && rc == Q_OK; i++) {
        if (!column_there(r->s, table, v[i].name)) rc = q_fail(err, Q_FORMAT, _("this quorum has no %s in %s: the export is of a newer one, or was changed"), v[i].name, table);
        q_buf_puts(&sql, i ? ", " : "(");
        quoted(&sql, v[i].name);
    }
    q_buf_puts(&sql, ") VALUES(");
    for (int i = 0; i < n; i++) q_buf_puts(&sql, i ? ", ?" : "?");
    q_buf_puts(&sql, ")");
    sqlite3_finalize(r->put);
    r->put = rc == Q_OK ? store_query(r->s, err, sql.p, "") : NULL;
    if (rc == Q_OK && !r->put) rc = store_failed(r->s);
    free(r->shape);
    r->shape = q_buf_take(&shape);
    q_buf_free(&sql);
    return rc;
}

static int bind(sqlite3_stmt *st, int i, const mem_export_value *v)
{
    if (v->null) return sqlite3_bind_null(st, i);
    if (v->bytes) return sqlite3_bind_blob64(st, i, v->n ? v->text : "", v->n, SQLITE_STATIC);
    if (v->number && strspn(v->text, "-0123456789") == v->n) return sqlite3_bind_int64(st, i, strtoll(v->text, NULL, 10));
    if (v->number) return sqlite3_bind_double(st, i, strtod(v->text, NULL));
    return sqlite3_bind_text64(st, i, v->text, v->n, SQLITE_STATIC, SQLITE_UTF8);
}

/* What belongs to this file and this process, not to what is kept. */
static bool own(const char *table, const mem_export_value *v, int n)
{
    static const char *const names[] = {"words", "errand."};
    bool is = false;
    for (int i = 0; i < n && strcmp(table, "setting") == 0; i++)
        for (size_t k = 0; k < sizeof names / sizeof *names && strcmp(v[i].name, "name") == 0; k++)
            is |= k == 0 ? strcmp(v[i].text, names[k]) == 0 : strncmp(v[i].text, names[k], strlen(names[k])) == 0;
    return is;
}

int mem_refill_row(mem_refill *r, const char *table, const mem_export_value *v, int n, char *err)
{
    if (!store_export_holds(table) || n < 1 || n > STORE_COLUMNS_MAX) return q_fail(err, Q_FORMAT, _("an export has no table %s: the file is of a newer quorum, or was changed"), table);
    if (own(table, v, n)) return Q_OK;
    int rc = prepare(r, table, v, n, err);
    store_allow(r->s, STORE_LONG);
    for (int i = 0; i < n && rc == Q_OK; i++)
        if (bind(r->put, i + 1, &v[i]) != SQLITE_OK) rc = store_error(r->s, err);
    if (rc == Q_OK) {
        int step = sqlite3_step(r->put);
        if (step != SQLITE_DONE && (sqlite3_errcode(r->s->db) & 0xff) == SQLITE_CONSTRAINT)
            rc = q_fail(err, Q_FORMAT, _("a row of %s does not fit (%s): the export was changed, or is not whole"), table, sqlite3_errmsg(r->s->db));
        else if (step != SQLITE_DONE) rc = store_error(r->s, err);
    }
    if (r->put) sqlite3_reset(r->put);
    r->rows += rc == Q_OK;
    return rc;
}

int mem_refill_end(mem_refill *r, bool keep, int *rows, char *err)
{
    mem_store *s = r->s;
    int rc = keep ? Q_OK : Q_CANCEL;
    sqlite3_finalize(r->put);
    *rows = r->rows;
    free(r->shape);
    free(r);
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK; k++) rc = store_index_reset(s, k, err);
    store_allow(s, STORE_LONG);
    return store_end(s, rc, err);
}
