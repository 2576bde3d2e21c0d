/* agent/shown: see shown.h. */
#include "agent/shown.h"

#include <stdlib.h>

void shown_names(shown *s, strings *to, strings *with)
{
    pthread_mutex_lock(&s->mu);
    strings old = *to;
    *to = *with;
    pthread_mutex_unlock(&s->mu);
    *with = (strings){ 0 };
    strings_free(&old);
}
