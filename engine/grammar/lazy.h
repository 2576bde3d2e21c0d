/* engine/grammar/lazy: a rule that holds only from a trigger on. Private to engine. */
#ifndef QUORUM_LAZY_H
#define QUORUM_LAZY_H

#include "engine/grammar/form.h"

/* A rule of its own: anything, until the trigger comes, as letters or as the control token of that name; then `rule`, and from its first
 * end on anything again, until the trigger comes again. */
int lazy_rule(form *, const char *trigger, int rule);

#endif
