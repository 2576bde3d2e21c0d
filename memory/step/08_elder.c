/* memory/step 8: which answer a later one of the same question was made beside, and is to be compared with. */
#include "memory/store.h"

const char store_step_08[] =
    "ALTER TABLE message ADD COLUMN elder INTEGER NOT NULL DEFAULT 0;";      /* 0: the one before it */
