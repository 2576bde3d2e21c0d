/* memory/schema: from an empty file to the present schema, by the numbered steps of memory/step/. A step, once landed,
 * is never edited: later versions add a file, and its name to the list below. Each runs in its own transaction together
 * with its number (user_version), so an interrupted migration goes on from the last whole step. */
#include "memory/store.h"

#include <stdio.h>

/* "QRM1": marks the file as ours (PRAGMA application_id). */
#define APPLICATION_ID 0x51524D31

static const char *const steps[] = {store_step_01, store_step_02, store_step_03, store_step_04, store_step_05};
const int store_schema_version = (int)(sizeof steps / sizeof *steps);

static int version(mem_store *s, int64_t *v, int64_t *app, int64_t *tables, char *err)
{
    /* one snapshot: another process may be making the file between two of these */
    int rc = store_run(s, NULL, err, "BEGIN", "");
    if (rc != Q_OK) return rc;
    rc = store_int(s, v, err, "PRAGMA user_version", "");
    if (rc == Q_OK) rc = store_int(s, app, err, "PRAGMA application_id", "");
    if (rc == Q_OK) rc = store_int(s, tables, err, "SELECT count(*) FROM sqlite_schema", "");
    sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
    return rc;
}

int store_migrate(mem_store *s, int to, char *err)
{
    for (;;) {
        int64_t v, app, tables;
        int rc = version(s, &v, &app, &tables, err);
        if (rc != Q_OK) return rc;
        if (app != APPLICATION_ID && (tables > 0 || app != 0))
            return q_fail(err, Q_FORMAT, _("%s is a database of another program: give another file with --db"), s->path);
        if (v > store_schema_version)
            return q_fail(err, Q_FORMAT, _("%s was written by a newer quorum (schema %d, this one knows %d): update quorum, or give another file with --db"),
                          s->path, (int)v, store_schema_version);
        if (v < 0) return q_fail(err, Q_FORMAT, _("%s is damaged: move it away or give another file with --db"), s->path);
        if (v >= to) return Q_OK;
        /* another process may do the same: look again once the write lock is held */
        rc = store_run(s, NULL, err, "BEGIN IMMEDIATE", "");
        if (rc != Q_OK) return rc;
        int64_t now;
        rc = store_int(s, &now, err, "PRAGMA user_version", "");
        if (rc == Q_OK && now == v) {
            char pragma[96];
            snprintf(pragma, sizeof pragma, "PRAGMA application_id=%d; PRAGMA user_version=%d", APPLICATION_ID, (int)v + 1);
            if (sqlite3_exec(s->db, steps[v], NULL, NULL, NULL) != SQLITE_OK ||
                sqlite3_exec(s->db, pragma, NULL, NULL, NULL) != SQLITE_OK)
                rc = store_error(s, err);
        }
        if (rc == Q_OK) rc = store_run(s, NULL, err, "COMMIT", "");
        if (rc != Q_OK) {
            if (!sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
            return rc;
        }
    }
}
