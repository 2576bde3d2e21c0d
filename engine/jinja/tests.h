/* engine/jinja/tests: what stands behind `is`, as rows. Private to engine/jinja. */
#ifndef QUORUM_JINJA_TESTS_H
#define QUORUM_JINJA_TESTS_H

#include "engine/jinja/args.h"

typedef struct jtest_row { const char *name; bool (*holds)(jx *, jv, const jargs *); } jtest_row;
const jtest_row *je_find(const char *name);      /* NULL: not known here */

#endif
