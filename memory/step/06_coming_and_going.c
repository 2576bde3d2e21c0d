/* memory/step 6: what takes longer than one short transaction. A document or conversation that is being taken in or
 * removed has a state and is not shown; what is owed behind a change (words to be cleared out of an index, an index to
 * be made) stands in `chore` until it is paid. What is owed to an index is left out of the view that it is the index of. */
#include "memory/store.h"

const char store_step_06[] =
    "CREATE TABLE chore("
    " name TEXT PRIMARY KEY,"                       /* "purge chunk_fts", "index message_fts", ... */
    " n INTEGER NOT NULL,"                          /* purge: changes since it was last paid */
    " next INTEGER NOT NULL,"                       /* index: ids from next to last are not in it yet */
    " last INTEGER NOT NULL) STRICT, WITHOUT ROWID;"

    "ALTER TABLE document ADD COLUMN state INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE document ADD COLUMN owner TEXT NOT NULL DEFAULT '';"       /* who is taking it in */
    "CREATE INDEX document_state ON document(state) WHERE state<>0;"
    "ALTER TABLE conversation ADD COLUMN state INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX conversation_state ON conversation(state) WHERE state<>0;"

    "DROP VIEW message_said;"
    "CREATE VIEW message_said(id, text) AS SELECT m.id, m.text FROM message m WHERE m.indexed=1 AND NOT EXISTS"
    " (SELECT 1 FROM chore o WHERE o.name='index message_fts' AND m.id BETWEEN o.next AND o.last);"
    "DROP TABLE chunk_fts;"
    "CREATE VIEW chunk_said(id, name, heading, text) AS SELECT c.id, c.name, c.heading, c.text FROM chunk c WHERE NOT EXISTS"
    " (SELECT 1 FROM chore o WHERE o.name='index chunk_fts' AND c.id BETWEEN o.next AND o.last);"
    "CREATE VIRTUAL TABLE chunk_fts USING fts5(name, heading, text, content='chunk_said', content_rowid='id',"
    " tokenize='quorum');"
    /* passages come in numbers: their index is merged in steps of its own (owed.c), not inside the steps that add */
    "INSERT INTO chunk_fts(chunk_fts, rank) VALUES('automerge', 0);"
    "INSERT INTO chunk_fts(chunk_fts, rank) VALUES('crisismerge', 1999);"
    "INSERT INTO chore SELECT 'index chunk_fts', 0, min(id), max(id) FROM chunk HAVING count(*)>0;";
