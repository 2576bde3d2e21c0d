/* memory/refill: an empty memory takes in the rows that an export of another one wrote, each under its own number, so that nothing of it is
 * lost and every reference holds. It may come from anybody: it gives rows of data and nothing that would act. One transaction: all of it, or nothing. Indexes and vectors are owed and made again. One thread, from
 * new to end; the lock is held meanwhile. */
#include "memory/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mem_refill {
    mem_store *s;
    sqlite3_stmt *put;
    char *shape;                            /* table and columns that put is of */
    mem_refilled got;
    q_buf folders, settings;
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
    static const char *const clear[] = {"DELETE FROM vector_exact", "DELETE FROM vector", "DELETE FROM embedder_sum", "DELETE FROM embedder", "DELETE FROM chunk", "DELETE FROM document",
                                        "DELETE FROM forgotten" /* by another salt */,
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
    /* some settings are there already; else a number that comes twice is no export's */
    q_buf_puts(&sql, strcmp(table, "setting") == 0 ? "INSERT OR REPLACE INTO " : "INSERT INTO ");
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

static const mem_export_value *value(const mem_export_value *v, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(v[i].name, name) == 0) return &v[i];
    return NULL;
}

/* ---- what does not come along ---- */
enum { NAMED = 5 };                         /* of those that a sentence names */

static void named(q_buf *b, int *n, const char *text)
{
    if ((*n)++ < NAMED) q_buf_printf(b, "%s%s", b->len ? ", " : "", text);
}

/* A name alone, or all that begin so. */
static bool listed(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t k = strlen(list[i]);
        if (list[i][k - 1] == '.' ? strncmp(name, list[i], k) == 0 : strcmp(name, list[i]) == 0) return true;
    }
    return false;
}

/* Settings: what stands here is taken; what belongs to a file and a process goes without a word; the rest is told of: it names files
 * and folders that quorum would read, or what is said to a model each time. */
static bool setting_comes(mem_refill *r, const mem_export_value *v, int n)
{
    static const char *const comes[] = {"ui.", "draft.", "prefer.", "usual.", "guard.", "watch.not.", "manual.", "forgotten.salt", "context.policy", "sampler.loop_stop"};
    static const char *const own[] = {"words", "errand.", "watch.away.", "state.store", "embedding"};
    const mem_export_value *name = value(v, n, "name"), *is = value(v, n, "value");
    if (!name || listed(name->text, comes, sizeof comes / sizeof *comes)) return true;
    if (listed(name->text, own, sizeof own / sizeof *own)) return false;
    if (strncmp(name->text, "watched.", 8) == 0) named(&r->folders, &r->got.n_folders, is ? is->text : "");
    else named(&r->settings, &r->got.n_settings, name->text);
    return false;
}

static bool comes(mem_refill *r, const char *table, const mem_export_value *v, int n)
{
    bool undo = strcmp(table, "tool_undo") == 0;      /* taking it back would write a file */
    r->got.undo += undo;
    return !undo && (strcmp(table, "setting") != 0 || setting_comes(r, v, n));
}

/* Numbers of rows: those of every store that people fill are far from the end of what numbers there are, where nothing new could be kept;
 * and what a message stands below came before it. */
static int numbers_fit(const char *table, const mem_export_value *v, int n, char *err)
{
    static const char *const of_rows[] = {"id", "seq", "message", "conversation", "document", "call"};
    const double most = 9007199254740992.0;
    for (size_t i = 0; i < sizeof of_rows / sizeof *of_rows; i++) {
        const mem_export_value *x = value(v, n, of_rows[i]);
        double k = x && x->number ? strtod(x->text, NULL) : 1;
        bool none = k == 0 && i != 0;                    /* a fact that was said nowhere; a table that gave no number away */
        if (!(k <= most) || (k < 1 && !none)) return q_fail(err, Q_FORMAT, _("a row of %s has the number %s, which no quorum gives: the export was changed"), table, x->text);
    }
    const mem_export_value *id = value(v, n, "id"), *parent = strcmp(table, "message") == 0 ? value(v, n, "parent") : NULL;
    if (id && parent && !parent->null && strtoll(parent->text, NULL, 10) >= strtoll(id->text, NULL, 10))
        return q_fail(err, Q_FORMAT, _("message %s stands below one that came later: the export was changed"), id->text);
    return Q_OK;
}

int mem_refill_row(mem_refill *r, const char *table, const mem_export_value *v, int n, char *err)
{
    if (!store_export_holds(table) || n < 1 || n > STORE_COLUMNS_MAX) return q_fail(err, Q_FORMAT, _("an export has no table %s: the file is of a newer quorum, or was changed"), table);
    if (!comes(r, table, v, n)) return Q_OK;
    int rc = numbers_fit(table, v, n, err);
    if (rc == Q_OK) rc = prepare(r, table, v, n, err);
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
    r->got.rows += rc == Q_OK;
    return rc;
}

void mem_refilled_free(mem_refilled *g)
{
    free(g->folders);
    free(g->settings);
    *g = (mem_refilled){0};
}

int mem_refill_end(mem_refill *r, bool keep, mem_refilled *out, char *err)
{
    mem_store *s = r->s;
    int rc = keep ? Q_OK : Q_CANCEL;
    sqlite3_finalize(r->put);
    *out = r->got;
    out->folders = q_buf_take(&r->folders);
    out->settings = q_buf_take(&r->settings);
    free(r->shape);
    free(r);
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK; k++) rc = store_index_reset(s, k, err);
    store_allow(s, STORE_LONG);
    return store_end(s, rc, err);
}
