/* memory/step 20: what left quorum's folders, so that a forgetting can name it; what was forgotten of archives, as numbers that say
 * nothing without this file's own salt, so that an archive that comes again does not bring it back. */
#include "memory/store.h"

const char store_step_20[] =
    "CREATE TABLE outside("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, made INTEGER NOT NULL, kind TEXT NOT NULL, path TEXT NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX outside_path ON outside(path);"
    "CREATE TABLE forgotten(hash INTEGER PRIMARY KEY) STRICT;";
