/* engine/jinja/methods: what texts, lists and dicts can be asked, as rows. Private to engine/jinja. */
#ifndef QUORUM_JINJA_METHODS_H
#define QUORUM_JINJA_METHODS_H

#include "engine/jinja/args.h"

typedef struct jmethod_row {
    uint8_t kind;                      /* of whom */
    const char *name;
    jv (*run)(jx *, jv self, const jargs *);       /* NULL: not known here, refused by name when called */
    bool changes;                      /* what changes a value is not to be had, as in jinja2's immutable sandbox */
} jmethod_row;
const jmethod_row *jm_find(jv of, const char *name);     /* NULL: it has none of this name */
jv jm_percent(jx *, const jstr *fmt, jv args);           /* "%s" % args; %s %r %d %i and %% */

#endif
