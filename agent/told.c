/* agent/told: what is said once. Engine's thread. See modules.h. */
#include "agent/talk.h"

#include <stdlib.h>

/* Said once a process: it would stand above every answer. */
void modules_once(agt *a, enum agt_level level, char *text)
{
    if (strings_at(&a->seat.modules.told, text) >= 0) {
        free(text);
        return;
    }
    note(&a->events, level, "%s", text);
    strings_add(&a->seat.modules.told, text);
}
