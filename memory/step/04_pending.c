/* memory/step 4: questions that wait behind a running answer, and conversations of one question that a script asked. */
#include "memory/store.h"

const char store_step_04[] =
    "CREATE TABLE pending("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, conversation INTEGER NOT NULL, edits INTEGER NOT NULL, created INTEGER NOT NULL,"
    " text TEXT NOT NULL, owner TEXT NOT NULL) STRICT;"
    "ALTER TABLE conversation ADD COLUMN once INTEGER NOT NULL DEFAULT 0;";
