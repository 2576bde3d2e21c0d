/* memory/step 9: where in the text of a reply another configuration begins, and what was turned there. */
#include "memory/store.h"

const char store_step_09[] =
    "ALTER TABLE message_config ADD COLUMN at_byte INTEGER NOT NULL DEFAULT -1;"      /* -1: not written down */
    "ALTER TABLE message_config ADD COLUMN mark TEXT NOT NULL DEFAULT '';";
