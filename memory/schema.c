/* memory/schema: from an empty file to the present schema, by the numbered steps of memory/step/. A step, once landed,
 * is never edited: later versions add a file, and its name to the list below. All steps that a file needs run in one
 * transaction together with their number (user_version) and a check of the whole, beside a copy of what was there.
 *
 * A file is ours when its objects are those that the steps make, by kind, name and columns: they are made in memory and
 * compared. Nothing of the file but sqlite_schema is looked at before that: a foreign view may never end. */
#include "memory/store.h"

#include <stdio.h>
#include <string.h>

/* "QRM1": marks the file as ours (PRAGMA application_id). */
#define APPLICATION_ID 0x51524D31

static const char *const steps[] = {store_step_01, store_step_02, store_step_03, store_step_04, store_step_05, store_step_06,
                                    store_step_07, store_step_08, store_step_09, store_step_10, store_step_11, store_step_12, store_step_13,
                                    store_step_14, store_step_15, store_step_16, store_step_17, store_step_18, store_step_19, store_step_20, store_step_21,
                                    store_step_22, store_step_23, store_step_24, store_step_25, store_step_26};
const int store_schema_version = (int)(sizeof steps / sizeof *steps);

static int apply(mem_store *s, int64_t from, int64_t to, char *err)
{
    char pragma[96];
    for (int64_t v = from; v < to; v++)
        if (sqlite3_exec(s->db, steps[v], NULL, NULL, NULL) != SQLITE_OK) return store_error(s, err);
    snprintf(pragma, sizeof pragma, "PRAGMA application_id=%d; PRAGMA user_version=%d", APPLICATION_ID, (int)to);
    return sqlite3_exec(s->db, pragma, NULL, NULL, NULL) == SQLITE_OK ? Q_OK : store_error(s, err);
}

/* ---- is it ours? ---- */
static int foreign(mem_store *s, char *err, const char *what, const char *name)
{
    char clean[80];
    snprintf(clean, sizeof clean, "%s", name);
    size_t n = q_utf8_whole(clean, strlen(clean));
    clean[n] = 0;
    return q_fail(err, Q_FORMAT, _("%s was changed by another program (%s %s): quorum memory export saves what can be read; give another file with --db"),
                  s->path, what, clean);
}

static const char *text(sqlite3_stmt *st, int i)
{
    const char *p = (const char *)sqlite3_column_text(st, i);
    return p ? p : "";
}

/* Two lists of rows of n columns, ordered by the second; the first that differs is named. */
static int same_rows(mem_store *s, sqlite3_stmt *here, sqlite3_stmt *ours, int n, const char *table, char *err)
{
    for (;;) {
        int a = store_step(s, here, err), b = sqlite3_step(ours) == SQLITE_ROW;
        if (a < 0) return a;
        if (!a && !b) return Q_OK;
        int order = !a ? 1 : !b ? -1 : strcmp(text(here, 1), text(ours, 1));
        if (order > 0) return foreign(s, err, table ? table : text(ours, 0), text(ours, 1));
        if (order < 0) return foreign(s, err, table ? table : text(here, 0), text(here, 1));
        for (int i = 0; i < n; i++)
            if (strcmp(text(here, i), text(ours, i)) != 0) return foreign(s, err, table ? table : text(here, 0), text(here, 1));
    }
}

static int compare(mem_store *s, mem_store *ours, const char *sql, const char *table, int n, char *err)
{
    sqlite3_stmt *a = store_query(s, err, sql, "s", table), *b = a ? store_query(ours, err, sql, "s", table) : NULL;
    int rc = b ? same_rows(s, a, b, n, table, err) : store_failed(a ? ours : s);
    sqlite3_finalize(a);
    sqlite3_finalize(b);
    return rc;
}

static int compare_all(mem_store *s, mem_store *ours, char *err)
{
    /* what SQLite writes itself is let be; an ordinary table's text may differ by version: its columns are compared */
    int rc = compare(s, ours, "SELECT type, name, tbl_name, CASE WHEN type='table' AND rootpage>0 THEN '' ELSE sql END FROM sqlite_schema"
                     " WHERE ?1 IS NULL AND substr(name, 1, 7)<>'sqlite_' ORDER BY name", NULL, 4, err);
    if (rc != Q_OK) return rc;
    sqlite3_stmt *st = store_query(ours, err, "SELECT name FROM sqlite_schema WHERE type='table' AND rootpage>0", "");
    rc = st ? 1 : store_failed(s);
    while (rc > 0 && (rc = store_step(ours, st, err)) == 1) {
        int same = compare(s, ours, "SELECT type, name, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1) ORDER BY name", text(st, 0), 6, err);
        if (same != Q_OK) rc = same;
    }
    sqlite3_finalize(st);
    return rc;
}

/* The schema that the steps up to v make, in memory, beside the file's. */
static int is_ours(mem_store *s, int64_t v, char *err)
{
    mem_store ours = {.path = s->path};
    pthread_mutex_init(&ours.mutex, NULL);
    pthread_cond_init(&ours.turn, NULL);
    int rc = sqlite3_open(":memory:", &ours.db) == SQLITE_OK ? Q_OK : Q_NOMEM;
    if (rc != Q_OK) q_fail(err, rc, _("not enough memory to open %s"), s->path);
    if (rc == Q_OK) rc = store_register_words(&ours, err);
    if (rc == Q_OK) rc = store_register_titles(&ours, err);
    if (rc == Q_OK) rc = apply(&ours, 0, v, err);
    if (rc == Q_OK) rc = compare_all(s, &ours, err);
    store_close(&ours);
    pthread_mutex_destroy(&ours.mutex);
    pthread_cond_destroy(&ours.turn);
    return rc;
}

/* Which schema the file has, and whether all of it is ours. A transaction is open: all of one moment. */
static int look(mem_store *s, int64_t *v, char *err)
{
    int64_t app, tables;
    int rc = store_int(s, v, err, "PRAGMA user_version", "");
    if (rc == Q_OK) rc = store_int(s, &app, err, "PRAGMA application_id", "");
    if (rc == Q_OK) rc = store_int(s, &tables, err, "SELECT count(*) FROM sqlite_schema", "");
    if (rc != Q_OK) return rc;
    if (app != APPLICATION_ID && (tables > 0 || app != 0))
        return q_fail(err, Q_FORMAT, _("%s is a database of another program: give another file with --db"), s->path);
    if (*v > store_schema_version)
        return q_fail(err, Q_FORMAT, _("%s was written by a newer quorum (schema %d, this one knows %d): update quorum, or give another file with --db"),
                      s->path, (int)*v, store_schema_version);
    if (*v < 0) return store_damaged(s, err, NULL);
    return is_ours(s, *v, err);
}

static int finish(mem_store *s, int rc, char *err)
{
    if (rc == Q_OK) rc = store_run(s, NULL, err, "COMMIT", "");
    if (rc != Q_OK && !sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

int store_migrate(mem_store *s, int to, char *err)
{
    int64_t v = 0;
    int rc = store_run(s, NULL, err, "BEGIN", "");
    if (rc == Q_OK) rc = finish(s, look(s, &v, err), err);
    if (rc == Q_OK && v >= to) store_copy_drop(s, store_schema_version);          /* left behind by a process that was killed after its commit */
    if (rc != Q_OK || v >= to) return rc;
    rc = store_run(s, NULL, err, "BEGIN IMMEDIATE", "");
    if (rc != Q_OK) return rc;
    store_allow(s, STORE_LONG);
    rc = look(s, &v, err);                                  /* another process may have done the same meanwhile */
    if (rc == Q_OK && v < to) {
        int64_t from = v;
        if (from > 0) rc = store_copy_make(s, store_schema_version, err);
        for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK; k++) rc = store_index_unlock(s, k, err);
        if (rc == Q_OK) rc = apply(s, from, to, err);
        if (rc == Q_OK && to == store_schema_version) rc = store_run(s, NULL, err, "INSERT OR IGNORE INTO setting(name, value) VALUES('words', ?)", "s",
                                                                    from > 0 ? "" : store_words_version);
        if (rc == Q_OK && from > 0 && to == store_schema_version) rc = store_check(s, err);
    }
    rc = finish(s, rc, err);
    store_allow(s, STORE_ORDINARY);
    if (rc == Q_OK) store_copy_drop(s, store_schema_version);
    else if (v > 0) store_copy_keep(s, store_schema_version, err);
    return rc;
}
