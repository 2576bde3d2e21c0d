/* agent/slips: names and what people type instead of them: distances of words, the keyboard layout that was not meant,
 * lists of names, "~". Plain functions, any thread. It knows nothing of the room. */
#ifndef QUORUM_AGENT_SLIPS_H
#define QUORUM_AGENT_SLIPS_H

#include "base/base.h"

typedef struct strings { char **v; int n, cap; } strings;
void strings_add(strings *, char *taken);
int strings_at(const strings *, const char *name);            /* where it stands in the list; -1: nowhere */
void strings_free(strings *);

enum { NEAR_NOT = 99 };
int text_near(const char *typed, const char *name);          /* for "did you mean": the least is the nearest */
char *layout_to_latin(const char *s);                        /* ЙЦУКЕН keys as QWERTY; malloc'ed */
char *layout_to_cyrillic(const char *s);
bool is_blank(char c);

#endif
