/* engine/jinja/parse: tokens as a tree, as jinja2's parser has it. Statements that no chat template needs (include, import, extends,
 * block, autoescape) and recursive loops are refused by name. Private to engine/jinja. */
#ifndef QUORUM_JINJA_PARSE_H
#define QUORUM_JINJA_PARSE_H

#include "engine/jinja/value.h"

enum jn_kind {
    /* expressions; a, b, c and kids as said */
    JN_CONST, JN_NAME, JN_NSREF,       /* value; name; name.attr as a target */
    JN_LIST, JN_TUPLE, JN_DICT,        /* kids; kids: key, value, key, value */
    JN_ATTR, JN_ITEM, JN_SLICE,        /* a.name; a[b]; a[b:c:d], each may be NULL */
    JN_CALL, JN_FILTER, JN_TEST,       /* a(args); a|name(args), a NULL in a block; a is name(args) */
    JN_NEG, JN_POS, JN_NOT, JN_AND, JN_OR, JN_MATH, JN_CONCAT,      /* a; a op b; kids */
    JN_COMPARE, JN_IF_EXPR,            /* a, then kids with their op; a if b else c */
    /* statements */
    JN_OUT,                            /* a */
    JN_FOR,                            /* a: target, b: what of, c: test; body, other */
    JN_IF,                             /* a, body; other */
    JN_SET, JN_SET_BLOCK,              /* a = b; a, b: filters or NULL, body */
    JN_WITH,                           /* kids: target, value, ...; body */
    JN_MACRO, JN_CALL_BLOCK, JN_FILTER_BLOCK,      /* name, kids: names, defaults; body. a: the call. a: the filters */
    JN_SCOPE, JN_BREAK, JN_CONTINUE
};
enum { JN_CALLER = 1, JN_VARARGS = 2, JN_KWARGS = 4 };        /* what a macro's body asks for: flags */
typedef struct jnode jnode;
typedef struct jnodes { jnode **v; int n, cap; } jnodes;
struct jnode {
    uint8_t kind, flags;
    char op[8];                        /* "+", "==", "in", "not in" */
    int line, col;
    const char *name;                  /* interned: equal names are one pointer */
    jv value;
    jnode *a, *b, *c, *d;
    jnodes kids, body, other;
    int n_plain;                       /* of kids in a call, before those with a name; of a macro's, without a default */
    jnode *star, *stars;               /* *args, **kwargs of a call */
};

typedef struct jnames { const char **v; int n, cap; } jnames;
/* The whole template. names: all that stand in it, interned; NULL terminated strings. */
jnodes jn_read(jx *, const char *p, size_t n, jnames *names);
const char *jn_intern(jx *, jnames *, const char *p, size_t n);

#endif
