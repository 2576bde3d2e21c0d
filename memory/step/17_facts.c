/* memory/step 17: statements that a person wanted remembered, each with the time from which it holds. A newer one of the same subject
 * supersedes an older, and both are kept. */
#include "memory/store.h"

const char store_step_17[] =
    "CREATE TABLE fact("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL, subject TEXT NOT NULL,"        /* subject '': it supersedes nothing */
    " since INTEGER NOT NULL, until INTEGER NOT NULL DEFAULT 0,"                                /* 0: it holds */
    " by INTEGER NOT NULL DEFAULT 0,"                                                           /* the one that superseded it */
    " message INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL) STRICT;"                    /* message: where it was said; 0 */
    "CREATE INDEX fact_subject ON fact(subject) WHERE subject<>'';";
