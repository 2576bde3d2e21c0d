/* memory/step 7: sets of recorded routing under a name. A tag points at answers and goes with them. */
#include "memory/store.h"

const char store_step_07[] =
    "CREATE TABLE routing_tag("
    " name TEXT NOT NULL, message INTEGER NOT NULL REFERENCES message(id) ON DELETE CASCADE,"
    " created INTEGER NOT NULL, PRIMARY KEY(name, message)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX routing_tag_message ON routing_tag(message);";
