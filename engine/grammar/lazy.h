/* engine/grammar/lazy: a rule that holds only from a trigger on. Private to engine. */
#ifndef QUORUM_LAZY_H
#define QUORUM_LAZY_H

#include "engine/grammar/form.h"

/* How the rule may also begin a text without the trigger, as engine/text hears it: `open` behind blanks, and then what cannot be but a call. */
typedef struct lazy_bare {
    char open;
    const char *const *key;              /* any of these makes a call of it, blanks before it; NULL: a word and a ( do */
    const char *close;                   /* the mark behind a call, where such a beginning may come again; NULL: none */
} lazy_bare;

/* A rule of its own: anything, until the trigger comes, as letters or as the control token of that name; then `rule`, and from its first
 * end on anything again, until the trigger comes again. bare NULL: it begins in no other way. */
int lazy_rule(form *, const char *trigger, int rule, const lazy_bare *);

#endif
