/* memory/step 25: which modules stood in the system text of an answer. */
#include "memory/store.h"

const char store_step_25[] =
    "CREATE TABLE message_module("
    " id INTEGER PRIMARY KEY,"
    " message INTEGER NOT NULL REFERENCES message(id) ON DELETE CASCADE,"
    " place INTEGER NOT NULL,"                  /* in the system text, from 0 */
    " name TEXT NOT NULL, hash TEXT NOT NULL,"  /* of the file as it was then */
    " tokens INTEGER NOT NULL) STRICT;"
    "CREATE INDEX message_module_message ON message_module(message, place);";
