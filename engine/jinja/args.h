/* engine/jinja/args: what a filter, test, method or function was called with. Private to engine/jinja. */
#ifndef QUORUM_JINJA_ARGS_H
#define QUORUM_JINJA_ARGS_H

#include "engine/jinja/value.h"

typedef struct jargs { const char *what; jv *v; int n; const char **name; jv *named; int n_named; } jargs;    /* what: who is called */
/* Argument i, or the one of this name; false: not given. */
bool ja_get(const jargs *, int i, const char *name, jv *out);
/* No more than these ("old new count"; the first `need` are needed), or it fails. */
void ja_check(jx *, const jargs *, const char *names, int need);
const jstr *ja_str(jx *, const jargs *, int i, const char *name, const jstr *otherwise);      /* None: otherwise */
int64_t ja_int(jx *, const jargs *, int i, const char *name, int64_t otherwise);
bool ja_bool(jx *, const jargs *, int i, const char *name, bool otherwise);
void ja_undefined(jx *, jv) __attribute__((noreturn));     /* the sentence of using an undefined value */

#endif
