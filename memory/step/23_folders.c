/* memory/step 23: how many folders were made for a new file: they go with it, where nothing else came into them. */
#include "memory/store.h"

const char store_step_23[] = "ALTER TABLE tool_undo ADD COLUMN made INTEGER NOT NULL DEFAULT 0;";
