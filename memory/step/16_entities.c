/* memory/step 16: what each passage names, one kind's passages a table. The names themselves stand among the postings, so both
 * are emptied and owed again, as in step 13. */
#include "memory/store.h"

const char store_step_16[] =
    "CREATE TABLE chunk_entity(passage INTEGER PRIMARY KEY, data TEXT NOT NULL) STRICT;"         /* memory/entities.c */
    "CREATE TABLE message_entity(passage INTEGER PRIMARY KEY, data TEXT NOT NULL) STRICT;"
    "INSERT INTO chunk_fts(chunk_fts) VALUES('delete-all');"
    "INSERT INTO message_fts(message_fts) VALUES('delete-all');"
    "DELETE FROM chunk_posting;"
    "DELETE FROM message_posting;"
    "DELETE FROM heard;"
    "UPDATE extent SET passages=0, words=0;"
    "DELETE FROM chore WHERE name IN ('purge chunk_fts', 'index chunk_fts', 'purge message_fts', 'index message_fts');"
    "INSERT INTO chore SELECT 'index chunk_fts', 0, min(id), max(id) FROM chunk HAVING count(*)>0;"
    "INSERT INTO chore SELECT 'index message_fts', 0, min(id), max(id) FROM message WHERE indexed=1 HAVING count(*)>0;";
