/* engine/jinja/filters: what stands behind |, as rows. Private to engine/jinja. */
#ifndef QUORUM_JINJA_FILTERS_H
#define QUORUM_JINJA_FILTERS_H

#include "engine/jinja/args.h"

typedef struct jfilter_row { const char *name; jv (*run)(jx *, jv, const jargs *); } jfilter_row;
const jfilter_row *jf_find(const char *name);    /* NULL: not known here */

#endif
