/* memory/step/05: the words of a file's name stand beside its headings in the index; a file that is gone from the disk
 * is marked, not fed; the log keeps a search's signals by name, however many a search has. */
#include "memory/store.h"

const char store_step_05[] =
    "ALTER TABLE document ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;"      /* when it was missed; 0: it is there */
    "ALTER TABLE document ADD COLUMN device INTEGER NOT NULL DEFAULT 0;"    /* st_dev it lay on when last seen */
    "ALTER TABLE document ADD COLUMN cut INTEGER NOT NULL DEFAULT 0;"       /* by which rules it was cut into chunks */
    "ALTER TABLE chunk ADD COLUMN name TEXT NOT NULL DEFAULT '';"
    "UPDATE chunk SET name = (SELECT d.title FROM document d WHERE d.id = chunk.document AND d.trust = 0)"
    " WHERE document IN (SELECT id FROM document WHERE trust = 0);"
    "DROP TABLE chunk_fts;"
    "CREATE VIRTUAL TABLE chunk_fts USING fts5(name, heading, text, content='chunk', content_rowid='id',"
    " tokenize='quorum');"
    "INSERT INTO chunk_fts(chunk_fts) VALUES('rebuild');"
    /* what older searches multiplied, so that the product is the score here too */
    "CREATE TABLE retrieval_5("
    " message INTEGER NOT NULL REFERENCES message(id) ON DELETE CASCADE, rank INTEGER NOT NULL,"
    " number INTEGER NOT NULL, kind INTEGER NOT NULL, ref INTEGER NOT NULL, label TEXT NOT NULL,"
    " terms TEXT NOT NULL, reason TEXT NOT NULL, signals TEXT NOT NULL, score REAL NOT NULL, tokens INTEGER NOT NULL,"
    " PRIMARY KEY(message, rank)) STRICT, WITHOUT ROWID;"
    "INSERT INTO retrieval_5 SELECT message, rank, number, kind, ref, label, terms, reason,"
    " CASE WHEN coverage * evidence > 0 THEN printf('coverage=%.3f evidence=%.3f rest=%.3f', coverage, evidence,"
    " score / (coverage * evidence)) ELSE '' END, score, tokens FROM retrieval;"
    "DROP TABLE retrieval;"
    "ALTER TABLE retrieval_5 RENAME TO retrieval;"
    "CREATE INDEX retrieval_ref ON retrieval(kind, ref);";
