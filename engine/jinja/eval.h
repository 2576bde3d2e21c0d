/* engine/jinja/eval: runs a template's tree. Scopes are as jinja2's: a loop's body, a macro, with and block assignments have one
 * of their own, if has none. Private to engine/jinja. */
#ifndef QUORUM_JINJA_EVAL_H
#define QUORUM_JINJA_EVAL_H

#include "engine/jinja/parse.h"

/* vars: a dict of what the template is given. */
jv jr_run(jx *, const jnodes *, const jnames *, jv vars);

#endif
