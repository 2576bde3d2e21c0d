/* memory/step 1: conversations as trees. A message's parent is always older than it (smaller id); AUTOINCREMENT keeps ids
 * from being used again. parent does not cascade: a long branch would exceed the depth of triggers. */
#include "memory/store.h"

const char store_step_01[] =
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
    "CREATE TABLE setting(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;";
