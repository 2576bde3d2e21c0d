/* memory/step 12: documents by the words of their titles, as other texts name them. */
#include "memory/store.h"

const char store_step_12[] =
    "ALTER TABLE document ADD COLUMN called TEXT NOT NULL DEFAULT '';"      /* title_words(title): "lilu", "rye bread" */
    "UPDATE document SET called = title_words(title) WHERE state = 0 AND trust = 0;"
    "CREATE INDEX document_called ON document(called) WHERE called <> '';";
