/* memory/step 13: where each word stands, by passage, as scoring reads it, and the turns of what was said in a narrow table.
 * Both hold what the word indexes hold; those are emptied and owed again, and what is paid to an index goes in here too. */
#include "memory/store.h"

const char store_step_13[] =
    "CREATE TABLE chunk_posting("
    " word TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,"      /* ids of the first and last passage in data */
    " data BLOB NOT NULL, PRIMARY KEY(word, first)) STRICT, WITHOUT ROWID;"   /* memory/postings.c */
    "CREATE TABLE message_posting("
    " word TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,"
    " data BLOB NOT NULL, PRIMARY KEY(word, first)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE extent(kind INTEGER PRIMARY KEY, passages INTEGER NOT NULL, words INTEGER NOT NULL) STRICT;"
    "INSERT INTO extent VALUES(0, 0, 0), (1, 0, 0);"
    "CREATE TABLE heard("
    " message INTEGER PRIMARY KEY, prev INTEGER NOT NULL, conversation INTEGER NOT NULL, created INTEGER NOT NULL,"
    " words INTEGER NOT NULL, asks INTEGER NOT NULL) STRICT;"
    "DROP TABLE message_fts;"
    "CREATE VIRTUAL TABLE message_fts USING fts5(text, content='message_said', content_rowid='id',"
    " tokenize='quorum');"
    "DROP TABLE chunk_fts;"
    "CREATE VIRTUAL TABLE chunk_fts USING fts5(name, heading, text, content='chunk_said', content_rowid='id',"
    " tokenize='quorum');"
    "INSERT INTO chunk_fts(chunk_fts, rank) VALUES('automerge', 0);"
    "INSERT INTO chunk_fts(chunk_fts, rank) VALUES('crisismerge', 1999);"
    "DELETE FROM chore WHERE name IN ('purge chunk_fts', 'index chunk_fts', 'purge message_fts', 'index message_fts');"
    "INSERT INTO chore SELECT 'index chunk_fts', 0, min(id), max(id) FROM chunk HAVING count(*)>0;"
    "INSERT INTO chore SELECT 'index message_fts', 0, min(id), max(id) FROM message WHERE indexed=1 HAVING count(*)>0;";
