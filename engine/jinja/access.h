/* engine/jinja/access: parts of values: attributes, items, slices, the operators between two. Private to engine/jinja. */
#ifndef QUORUM_JINJA_ACCESS_H
#define QUORUM_JINJA_ACCESS_H

#include "engine/jinja/value.h"

jv jc_attr(jx *, jv of, const char *name);         /* of.name */
jv jc_item(jx *, jv of, jv key);                   /* of[key] */
jv jc_slice(jx *, jv of, jv start, jv stop, jv step);    /* JV_NONE: not given */
jv jc_path(jx *, jv of, jv path);                  /* "a.b.0" or a number, as filters take attributes */
jv jc_math(jx *, const char *op, jv a, jv b);      /* + - * / // % ** */
bool jc_in(jx *, jv what, jv of);
bool jc_compare(jx *, const char *op, jv a, jv b); /* == != < <= > >= in, not in */

#endif
