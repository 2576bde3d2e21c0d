/* memory/step 10: who said a message, where that is neither the person of this memory nor a model: a name. */
#include "memory/store.h"

const char store_step_10[] =
    "ALTER TABLE message ADD COLUMN author TEXT NOT NULL DEFAULT '';";
