/* memory/step 2: the index of what was said. Its content is a view, so that unfinished replies are not in it. */
#include "memory/store.h"

const char store_step_02[] =
    "CREATE VIEW message_said(id, text) AS SELECT id, text FROM message WHERE indexed = 1;"
    "CREATE VIRTUAL TABLE message_fts USING fts5(text, content='message_said', content_rowid='id',"
    " tokenize='quorum');"
    "UPDATE message SET indexed = 1 WHERE status <> 0 AND role IN (1, 2);"
    "INSERT INTO message_fts(message_fts) VALUES('rebuild');";
