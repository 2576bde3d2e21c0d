/* engine/jinja/json: JSON text as values; whole numbers and others stay apart, keys in their order. Private to engine. */
#ifndef QUORUM_JINJA_JSON_H
#define QUORUM_JINJA_JSON_H

#include "engine/jinja/value.h"

/* mark: its strings are somebody's. what: names the text in the sentence. Leaves by jx_fail. */
jv jj_read(jx *, const char *p, size_t n, bool mark, const char *what);

#endif
