/* memory/step 22: what takes the place of older turns in a prompt, and turns that a person keeps there word for word. All of it goes with
 * its message. */
#include "memory/store.h"

const char store_step_22[] =
    "CREATE TABLE compaction("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " message INTEGER NOT NULL REFERENCES message(id) ON DELETE CASCADE,"      /* the last that it stands for: it holds on each branch that has it */
    " chain INTEGER NOT NULL,"                  /* the first of its versions */
    " kept TEXT NOT NULL,"                      /* messages before it that are fed word for word: their ids, a blank between */
    " text TEXT NOT NULL, fixed TEXT NOT NULL, words TEXT NOT NULL,"
    " messages INTEGER NOT NULL, before INTEGER NOT NULL, after INTEGER NOT NULL, undone INTEGER NOT NULL, created INTEGER NOT NULL) STRICT;"
    "CREATE INDEX compaction_message ON compaction(message);"
    "CREATE TABLE pin_turn(message INTEGER PRIMARY KEY REFERENCES message(id) ON DELETE CASCADE, created INTEGER NOT NULL) STRICT;";
