/* memory/step 18: who said what, without a look at the texts: a model, or somebody with a name. */
#include "memory/store.h"

const char store_step_18[] =
    "CREATE INDEX message_answer ON message(id) WHERE role=2;"
    "CREATE INDEX message_author ON message(id, author) WHERE author<>'';";
