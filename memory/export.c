/* memory/export: what can be read of any file of ours, also of one that cannot be opened: changed by another program,
 * damaged, from a newer quorum. Opens it read-only, with a connection of its own, and asks only for plain tables by their
 * plain columns: no view, no virtual table, nothing computed. Any thread. It writes nothing. */
#include "memory/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What holds a person's words, and how a row's own order is called. */
static const char *const tables[] = {"sqlite_sequence", "conversation", "message", "pending", "document", "chunk", "setting", "routing_tag", "message_config", "message_trace",
                                     "retrieval", "import", "import_message", "message_raw", "document_raw", "pin", "ban", "fact",
                                     "tool_call", "tool_whole", "tool_undo", "forgotten", "compaction", "pin_turn", "answer_mark", "released",
                                     "message_module"};
enum { COLUMNS_MAX = STORE_COLUMNS_MAX };

bool store_export_holds(const char *table)
{
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (strcmp(table, tables[i]) == 0) return true;
    return false;
}

struct exporting { mem_store s; mem_export_fn *fn; void *user; int unread; };

static void quote(q_buf *b, const char *name)
{
    q_buf_putc(b, '"');
    for (; *name; name++) {
        if (*name == '"') q_buf_putc(b, '"');
        q_buf_putc(b, *name);
    }
    q_buf_putc(b, '"');
}

/* SELECT of the plain columns; false: there is no such plain table, or it cannot be read. */
static bool plain_select(struct exporting *x, const char *table, q_buf *sql)
{
    char err[Q_ERRLEN];
    int64_t plain = 0;
    if (store_int(&x->s, &plain, err, "SELECT count(*) FROM sqlite_schema WHERE type='table' AND name=? AND rootpage>0", "s", table) != Q_OK) {
        x->unread++;
        return false;
    }
    if (!plain) return false;
    sqlite3_stmt *st = store_query(&x->s, err, "SELECT name FROM pragma_table_xinfo(?) WHERE hidden=0", "s", table);
    int n = 0;
    q_buf_puts(sql, "SELECT ");
    while (st && n < COLUMNS_MAX && store_step(&x->s, st, err) == 1) {
        if (n++) q_buf_puts(sql, ", ");
        quote(sql, (const char *)sqlite3_column_text(st, 0));
    }
    sqlite3_finalize(st);
    q_buf_puts(sql, " FROM ");
    quote(sql, table);
    return n > 0;
}

static int one_row(struct exporting *x, const char *table, sqlite3_stmt *st, char *err)
{
    mem_export_value v[COLUMNS_MAX];
    char real[COLUMNS_MAX][32];
    int n = sqlite3_column_count(st);
    if (strcmp(table, tables[0]) == 0 && n && sqlite3_column_text(st, 0) && strcmp((const char *)sqlite3_column_text(st, 0), "outside") == 0) return Q_OK;     /* how many of those there were */
    for (int i = 0; i < n; i++) {
        int type = sqlite3_column_type(st, i);
        const char *text = (const char *)sqlite3_column_text(st, i);
        v[i] = (mem_export_value){sqlite3_column_name(st, i), text ? text : "", text ? (size_t)sqlite3_column_bytes(st, i) : 0,
                                  type == SQLITE_INTEGER || type == SQLITE_FLOAT, type == SQLITE_BLOB, type == SQLITE_NULL};
        if (type != SQLITE_FLOAT) continue;
        v[i].n = (size_t)snprintf(real[i], sizeof real[i], "%.17g", sqlite3_column_double(st, i));      /* to the last bit */
        v[i].text = real[i];
    }
    return x->fn(x->user, table, v, n) ? Q_OK : q_fail(err, Q_CANCEL, _("stopped"));
}

static int one_table(struct exporting *x, const char *table, char *err)
{
    q_buf sql = {0};
    char why[Q_ERRLEN];
    int rc = Q_OK;
    store_allow(&x->s, STORE_LONG);
    if (plain_select(x, table, &sql)) {
        sqlite3_stmt *st = store_query(&x->s, why, sql.p, "");
        int row = st ? 1 : store_failed(&x->s);
        while (rc == Q_OK && row == 1 && (row = store_step(&x->s, st, why)) == 1) rc = one_row(x, table, st, err);
        sqlite3_finalize(st);
        x->unread += row < 0;                   /* what came before it is kept; the next table may be whole */
    }
    q_buf_free(&sql);
    return rc;
}

/* still: nobody writes to the file, and nothing is to stand beside it. */
static int open_file(struct exporting *x, bool still, char *err)
{
    char *uri = still ? store_uri(x->s.path, "mode=ro&immutable=1") : NULL;
    int rc = sqlite3_open_v2(uri ? uri : x->s.path, &x->s.db, SQLITE_OPEN_READONLY | (uri ? SQLITE_OPEN_URI : 0), NULL) == SQLITE_OK ? Q_OK :
             x->s.db ? store_error(&x->s, err) : q_fail(err, Q_NOMEM, _("not enough memory to open %s"), x->s.path);
    free(uri);
    return rc;
}

/* table: only that one; NULL: those of an export. */
static int export_file(char *file /* taken */, bool still, const char *table, mem_export_fn *fn, void *user, int *unread, char *err)
{
    struct exporting x = {.fn = fn, .user = user, .s.path = file};
    *unread = 0;
    if (!x.s.path) return q_no_home(err);
    pthread_mutex_init(&x.s.mutex, NULL);
    pthread_cond_init(&x.s.turn, NULL);
    int rc = access(x.s.path, F_OK) == 0 ? open_file(&x, still, err) : q_fail(err, Q_NOTFOUND, _("there is no memory at %s"), x.s.path);
    if (rc == Q_OK) {
        store_limit_work(&x.s);
        sqlite3_busy_timeout(x.s.db, 5000);
        sqlite3_db_config(x.s.db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        sqlite3_db_config(x.s.db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        sqlite3_db_config(x.s.db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
        int64_t any;
        rc = store_int(&x.s, &any, err, "SELECT count(*) FROM sqlite_schema", "");
    }
    for (size_t i = 0; i < (table ? 1 : sizeof tables / sizeof *tables) && rc == Q_OK; i++) rc = one_table(&x, table ? table : tables[i], err);
    if (rc == Q_FORMAT)                         /* the store's own sentence sends to an export, which this is */
        q_fail(err, rc, _("%s is damaged beyond reading, or is no database: nothing of it can be exported; sqlite3 FILE .recover may find more"), x.s.path);
    *unread = x.unread;
    store_close(&x.s);
    pthread_mutex_destroy(&x.s.mutex);
    pthread_cond_destroy(&x.s.turn);
    free(x.s.path);
    return rc;
}

int mem_export(const char *path, mem_export_fn *fn, void *user, int *unread, char *err)
{
    return export_file(path ? store_path(path) : q_user_path(Q_DIR_DATA, "quorum.db"), false, NULL, fn, user, unread, err);
}

int store_export_table(const char *path, const char *table, mem_export_fn *fn, void *user, char *err)
{
    int unread;
    return export_file(path ? store_path(path) : q_user_path(Q_DIR_DATA, "quorum.db"), false, table, fn, user, &unread, err);
}

int mem_export_now(mem_store *s, mem_export_fn *fn, bool (*go)(void *user), void *user, int *unread, char *err)
{
    char day[11], why[Q_ERRLEN];
    *unread = 0;
    if (strcmp(s->path, ":memory:") == 0) return q_fail(err, Q_RANGE, _("this memory is kept in no file: give one with --db"));
    store_backup_day(s, day);
    char *beside = store_backup_path(s->path, day), *copy = q_printf("%s.%s.part.export", beside, s->owner);    /* what is left of a killed process goes with its backups */
    int rc = store_backup_write(s, copy, go, user, err);
    if (rc == Q_OK) rc = export_file(q_strdup(copy), true, NULL, fn, user, unread, err);
    q_file_erase(copy, why);
    free(copy);
    free(beside);
    return rc;
}
