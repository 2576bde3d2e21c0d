/* memory/step 11: conversations that came out of an archive know it and what they are called there, so that one that comes
 * again is known; messages that are kept but neither shown nor fed; the bytes of a text as it came, before it was repaired. */
#include "memory/store.h"

const char store_step_11[] =
    "ALTER TABLE message ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE import("
    " conversation INTEGER PRIMARY KEY REFERENCES conversation(id) ON DELETE CASCADE,"
    " source TEXT NOT NULL, external TEXT NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX import_external ON import(source, external);"
    "CREATE TABLE import_message("
    " message INTEGER PRIMARY KEY REFERENCES message(id) ON DELETE CASCADE,"
    " conversation INTEGER NOT NULL, external TEXT NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX import_message_external ON import_message(conversation, external);"
    "CREATE TABLE message_raw("
    " message INTEGER PRIMARY KEY REFERENCES message(id) ON DELETE CASCADE,"
    " was TEXT NOT NULL, data BLOB NOT NULL) STRICT;"          /* was: how it was broken, as rag names it */
    "CREATE TABLE document_raw("
    " document INTEGER PRIMARY KEY REFERENCES document(id) ON DELETE CASCADE,"
    " was TEXT NOT NULL, data BLOB NOT NULL) STRICT;";
