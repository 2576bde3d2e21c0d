/* engine/jinja/tests: see tests.h. */
#include "engine/jinja/tests.h"
#include "engine/jinja/access.h"
#include "engine/jinja/print.h"
#include "engine/jinja/text.h"

#include <string.h>

static jv other(jx *x, const jargs *a)
{
    jv v;
    if (!ja_get(a, 0, NULL, &v)) jx_fail(x, _("%s wants %d arguments"), a->what, 1);
    return v;
}

static int64_t whole(jx *x, jv v, const jargs *a)
{
    if (v.kind == JV_UNDEF) ja_undefined(x, v);
    if (v.kind != JV_INT && v.kind != JV_BOOL) jx_fail(x, _("%s: a whole number is wanted, not %s"), a->what, jv_type(v));
    return v.kind == JV_INT ? v.u.i : v.u.b;
}

static bool t_defined(jx *x, jv v, const jargs *a) { return v.kind != JV_UNDEF; }
static bool t_undefined(jx *x, jv v, const jargs *a) { return v.kind == JV_UNDEF; }
static bool t_none(jx *x, jv v, const jargs *a) { return v.kind == JV_NONE; }
static bool t_boolean(jx *x, jv v, const jargs *a) { return v.kind == JV_BOOL; }
static bool t_true(jx *x, jv v, const jargs *a) { return v.kind == JV_BOOL && v.u.b; }
static bool t_false(jx *x, jv v, const jargs *a) { return v.kind == JV_BOOL && !v.u.b; }
static bool t_integer(jx *x, jv v, const jargs *a) { return v.kind == JV_INT; }
static bool t_float(jx *x, jv v, const jargs *a) { return v.kind == JV_FLOAT; }
static bool t_number(jx *x, jv v, const jargs *a) { return v.kind == JV_INT || v.kind == JV_FLOAT || v.kind == JV_BOOL; }
static bool t_string(jx *x, jv v, const jargs *a) { return v.kind == JV_STR; }
static bool t_mapping(jx *x, jv v, const jargs *a) { return v.kind == JV_DICT; }
static bool t_iterable(jx *x, jv v, const jargs *a) { return jv_iterable(v); }
static bool t_sequence(jx *x, jv v, const jargs *a)
{
    return v.kind == JV_UNDEF || v.kind == JV_STR || v.kind == JV_LIST || v.kind == JV_TUPLE || v.kind == JV_DICT || (v.kind == JV_VIEW && v.sub == JV_RANGE);
}
static bool t_callable(jx *x, jv v, const jargs *a) { return v.kind == JV_METHOD || v.kind == JV_FUNC || v.kind == JV_MACRO || v.kind == JV_UNDEF || v.kind == JV_LOOP; }
static bool t_even(jx *x, jv v, const jargs *a) { return whole(x, v, a) % 2 == 0; }
static bool t_odd(jx *x, jv v, const jargs *a) { return whole(x, v, a) % 2 != 0; }
static bool t_divisibleby(jx *x, jv v, const jargs *a)
{
    int64_t by = whole(x, other(x, a), a);
    if (by == 0) jx_fail(x, _("a division by zero"));
    return by == -1 || whole(x, v, a) % by == 0;
}
static bool t_eq(jx *x, jv v, const jargs *a) { return jc_compare(x, "==", v, other(x, a)); }
static bool t_ne(jx *x, jv v, const jargs *a) { return jc_compare(x, "!=", v, other(x, a)); }
static bool t_lt(jx *x, jv v, const jargs *a) { return jc_compare(x, "<", v, other(x, a)); }
static bool t_le(jx *x, jv v, const jargs *a) { return jc_compare(x, "<=", v, other(x, a)); }
static bool t_gt(jx *x, jv v, const jargs *a) { return jc_compare(x, ">", v, other(x, a)); }
static bool t_ge(jx *x, jv v, const jargs *a) { return jc_compare(x, ">=", v, other(x, a)); }
static bool t_in(jx *x, jv v, const jargs *a) { return jc_in(x, v, other(x, a)); }
static bool t_lower(jx *x, jv v, const jargs *a) { return jt_is_cased(jp_to_str(x, v).u.s, false); }
static bool t_upper(jx *x, jv v, const jargs *a) { return jt_is_cased(jp_to_str(x, v).u.s, true); }
static bool t_escaped(jx *x, jv v, const jargs *a) { return v.kind == JV_STR && v.sub; }
static bool t_sameas(jx *x, jv v, const jargs *a)
{
    jv w = other(x, a);
    return v.kind == w.kind && (v.kind <= JV_INT ? jv_equal(x, v, w) : v.u.any == w.u.any);
}
static bool t_test(jx *x, jv v, const jargs *a) { return v.kind == JV_STR && je_find(jv_text(x, v.u.s->p, v.u.s->n, NULL).u.s->p); }

static const jtest_row TESTS[] = {
    { "defined", t_defined }, { "undefined", t_undefined }, { "none", t_none }, { "boolean", t_boolean }, { "true", t_true }, { "false", t_false },
    { "integer", t_integer }, { "float", t_float }, { "number", t_number }, { "string", t_string }, { "mapping", t_mapping }, { "iterable", t_iterable },
    { "sequence", t_sequence }, { "callable", t_callable }, { "even", t_even }, { "odd", t_odd }, { "divisibleby", t_divisibleby },
    { "eq", t_eq }, { "equalto", t_eq }, { "==", t_eq }, { "ne", t_ne }, { "!=", t_ne }, { "lt", t_lt }, { "lessthan", t_lt }, { "<", t_lt },
    { "le", t_le }, { "<=", t_le }, { "gt", t_gt }, { "greaterthan", t_gt }, { ">", t_gt }, { "ge", t_ge }, { ">=", t_ge }, { "in", t_in },
    { "lower", t_lower }, { "upper", t_upper }, { "escaped", t_escaped }, { "sameas", t_sameas }, { "test", t_test },
};

const jtest_row *je_find(const char *name)
{
    for (size_t i = 0; i < sizeof TESTS / sizeof *TESTS; i++) if (strcmp(TESTS[i].name, name) == 0) return &TESTS[i];
    return NULL;
}
