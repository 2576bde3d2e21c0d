/* memory/step 15: what a person wants of a search: passages that are always fed in a conversation, sources that never are. */
#include "memory/store.h"

const char store_step_15[] =
    "CREATE TABLE pin("
    " conversation INTEGER NOT NULL REFERENCES conversation(id) ON DELETE CASCADE, kind INTEGER NOT NULL, ref INTEGER NOT NULL,"
    " start INTEGER NOT NULL, n INTEGER NOT NULL,"      /* bytes of its text; n -1: all of it */
    " created INTEGER NOT NULL, PRIMARY KEY(conversation, kind, ref)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX pin_ref ON pin(kind, ref);"
    "CREATE TABLE ban(kind INTEGER NOT NULL, source INTEGER NOT NULL, created INTEGER NOT NULL, PRIMARY KEY(kind, source)) STRICT, WITHOUT ROWID;";
