/* memory/step 19: what a model did by tools, and what it takes to take that back. All of it goes with its message. */
#include "memory/store.h"

const char store_step_19[] =
    "CREATE TABLE tool_call("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, message INTEGER NOT NULL REFERENCES message(id) ON DELETE CASCADE,"
    " round INTEGER NOT NULL,"                  /* calls of one round were made at once */
    " place INTEGER NOT NULL,"                  /* bytes of the message's text before it */
    " name TEXT NOT NULL, arguments TEXT NOT NULL, result TEXT NOT NULL, policy TEXT NOT NULL,"
    " state INTEGER NOT NULL, ms INTEGER NOT NULL, created INTEGER NOT NULL) STRICT;"
    "CREATE INDEX tool_call_message ON tool_call(message);"
    "CREATE TABLE tool_whole(call INTEGER PRIMARY KEY REFERENCES tool_call(id) ON DELETE CASCADE, text TEXT NOT NULL) STRICT;"    /* a result that was cut */
    "CREATE TABLE tool_undo("                   /* a file that it changed */
    " call INTEGER PRIMARY KEY REFERENCES tool_call(id) ON DELETE CASCADE, path TEXT NOT NULL, became TEXT NOT NULL, mode INTEGER NOT NULL,"
    " there INTEGER NOT NULL,"                  /* 0: it is new */
    " undone INTEGER NOT NULL DEFAULT 0,"
    " was BLOB) STRICT;";                       /* NULL: it was not there, or its age or size let it go */
