/* memory/schema: the numbered steps from an empty file to the present schema. A step, once landed, is never
 * edited: later versions add steps. Each runs in its own transaction together with its number (user_version),
 * so an interrupted migration goes on from the last whole step. */
#include "memory/store.h"

#include <stdio.h>

/* "QRM1": marks the file as ours (PRAGMA application_id). */
#define APPLICATION_ID 0x51524D31

static const char *const steps[] = {
    /* 1: conversations as trees. A message's parent is always older than it (smaller id); AUTOINCREMENT keeps ids
     * from being used again. parent does not cascade: a long branch would exceed the depth of triggers. */
    "CREATE TABLE conversation("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL DEFAULT '', created INTEGER NOT NULL,"
    " opened INTEGER NOT NULL, leaf INTEGER NOT NULL DEFAULT 0, draft TEXT NOT NULL DEFAULT '',"
    " scroll INTEGER NOT NULL DEFAULT -1) STRICT;"
    "CREATE TABLE message("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " conversation INTEGER NOT NULL REFERENCES conversation(id) ON DELETE CASCADE,"
    " parent INTEGER REFERENCES message(id), role INTEGER NOT NULL, status INTEGER NOT NULL,"
    " created INTEGER NOT NULL, updated INTEGER NOT NULL, text TEXT NOT NULL DEFAULT '',"
    " thinking TEXT NOT NULL DEFAULT '', model TEXT NOT NULL DEFAULT '', model_id INTEGER NOT NULL DEFAULT 0,"
    " finish TEXT NOT NULL DEFAULT '', prompt_tokens INTEGER NOT NULL DEFAULT 0,"
    " cached_tokens INTEGER NOT NULL DEFAULT 0, tokens INTEGER NOT NULL DEFAULT 0,"
    " prefill_s REAL NOT NULL DEFAULT 0, decode_s REAL NOT NULL DEFAULT 0,"
    " owner TEXT NOT NULL DEFAULT '',"          /* the process that is writing this reply */
    " indexed INTEGER NOT NULL DEFAULT 0"       /* 1: in message_fts */
    ") STRICT;"
    "CREATE INDEX message_conversation ON message(conversation, parent);"
    "CREATE INDEX message_parent ON message(parent);"
    "CREATE TABLE message_config("
    " message INTEGER NOT NULL REFERENCES message(id) ON DELETE CASCADE, from_token INTEGER NOT NULL,"
    " hash INTEGER NOT NULL, json TEXT NOT NULL, label TEXT NOT NULL,"
    " PRIMARY KEY(message, from_token)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE message_trace("
    " message INTEGER PRIMARY KEY REFERENCES message(id) ON DELETE CASCADE, data BLOB NOT NULL) STRICT;"
    "CREATE TABLE setting(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;",

    /* 2: the index of what was said. Its content is a view, so that unfinished replies are not in it. */
    "CREATE VIEW message_said(id, text) AS SELECT id, text FROM message WHERE indexed = 1;"
    "CREATE VIRTUAL TABLE message_fts USING fts5(text, content='message_said', content_rowid='id',"
    " tokenize='quorum');"
    "UPDATE message SET indexed = 1 WHERE status <> 0 AND role IN (1, 2);"
    "INSERT INTO message_fts(message_fts) VALUES('rebuild');",

    /* 3: documents, their chunks, and the log of what was fed. */
    "CREATE TABLE document("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE, title TEXT NOT NULL, trust INTEGER NOT NULL,"
    " sha256 TEXT NOT NULL, mtime INTEGER NOT NULL, added INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;"
    "CREATE TABLE chunk("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " document INTEGER NOT NULL REFERENCES document(id) ON DELETE CASCADE, ordinal INTEGER NOT NULL,"
    " start INTEGER NOT NULL, heading TEXT NOT NULL, text TEXT NOT NULL) STRICT;"
    "CREATE INDEX chunk_document ON chunk(document, ordinal);"
    "CREATE VIRTUAL TABLE chunk_fts USING fts5(heading, text, content='chunk', content_rowid='id',"
    " tokenize='quorum');"
    "CREATE TABLE retrieval("
    " message INTEGER NOT NULL REFERENCES message(id) ON DELETE CASCADE, rank INTEGER NOT NULL,"
    " number INTEGER NOT NULL, kind INTEGER NOT NULL, ref INTEGER NOT NULL, label TEXT NOT NULL,"
    " terms TEXT NOT NULL, reason TEXT NOT NULL, score REAL NOT NULL, coverage REAL NOT NULL,"
    " evidence REAL NOT NULL, bm25 REAL NOT NULL, tokens INTEGER NOT NULL,"
    " PRIMARY KEY(message, rank)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX retrieval_ref ON retrieval(kind, ref);",

    /* 4: questions that wait behind a running answer, and conversations of one question that a script asked. */
    "CREATE TABLE pending("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, conversation INTEGER NOT NULL, edits INTEGER NOT NULL, created INTEGER NOT NULL,"
    " text TEXT NOT NULL, owner TEXT NOT NULL) STRICT;"
    "ALTER TABLE conversation ADD COLUMN once INTEGER NOT NULL DEFAULT 0;",
};
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
