/* memory/step 24: what a person thinks of answers, and conversations that they released for training a model. */
#include "memory/store.h"

const char store_step_24[] =
    "CREATE TABLE answer_mark("
    " message INTEGER PRIMARY KEY REFERENCES message(id) ON DELETE CASCADE,"
    " mark INTEGER NOT NULL,"                   /* 1 good, -1 bad */
    " created INTEGER NOT NULL) STRICT;"
    "CREATE TABLE released(conversation INTEGER PRIMARY KEY REFERENCES conversation(id) ON DELETE CASCADE, created INTEGER NOT NULL) STRICT;";
