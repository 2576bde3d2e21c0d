/* memory/step 21: what every start asks of what was said, without a look at all of it: answers that an end cut off, and how many
 * messages a conversation shows. */
#include "memory/store.h"

const char store_step_21[] =
    "CREATE INDEX message_coming ON message(id) WHERE status=0;"
    "CREATE INDEX message_shown ON message(conversation) WHERE hidden=0;";
