/* memory/step 26: which adapter a module brought to an answer. */
#include "memory/store.h"

const char store_step_26[] =
    "ALTER TABLE message_module ADD COLUMN adapter TEXT NOT NULL DEFAULT '';"   /* as the model called it; '': none */
    "ALTER TABLE message_module ADD COLUMN scale TEXT NOT NULL DEFAULT '';";    /* of lora.scale, without the name */
