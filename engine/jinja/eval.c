/* engine/jinja/eval: see eval.h. */
#include "engine/jinja/eval.h"
#include "engine/jinja/access.h"
#include "engine/jinja/filters.h"
#include "engine/jinja/methods.h"
#include "engine/jinja/print.h"
#include "engine/jinja/tests.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct slot { const char *name; jv v; } slot;
typedef struct scope { struct scope *up; slot *v; int n, cap; } scope;
typedef struct macro { const jnode *n; scope *where; } macro;
typedef struct run {
    jx *x;
    jb out;
    scope *scope;
    jv vars;
    const char *loop, *caller, *varargs, *kwargs;        /* these names as the template has them, or NULL */
} run;
typedef enum flow { GO_ON, BREAK, CONTINUE } flow;

static jv ev(run *r, const jnode *n);
static flow exec(run *r, const jnodes *l);

/* ---- names ---- */
static scope *opened(run *r, scope *up)
{
    scope *s = jx_alloc(r->x, sizeof *s);
    s->up = up;
    return s;
}

static void put(run *r, const char *name, jv v)
{
    scope *s = r->scope;
    for (int i = 0; i < s->n; i++) if (s->v[i].name == name) { s->v[i].v = v; return; }
    if (s->n == s->cap) {
        int cap = s->cap ? 2 * s->cap : 4;
        slot *more = jx_alloc(r->x, sizeof *more * (size_t)cap);
        if (s->n) memcpy(more, s->v, sizeof *more * (size_t)s->n);
        s->v = more;
        s->cap = cap;
    }
    s->v[s->n++] = (slot){ name, v };
}

static void here(run *r, const jnode *n) { r->x->line = n->line; r->x->col = n->col; }

/* ---- what every template may call ---- */
static jv g_raise(jx *x, const jargs *a)
{
    jv v = jv_words(x, "");
    ja_check(x, a, "message", 1);
    ja_get(a, 0, "message", &v);
    const jstr *s = jp_to_str(x, v).u.s;
    char *clean = q_utf8_clean(s->p, s->n < 300 ? s->n : 300);
    char line[320];
    size_t n = 0;
    for (const char *p = clean; *p && n < sizeof line - 1; p++) line[n++] = (unsigned char)*p < ' ' ? ' ' : *p;
    line[n] = 0;
    free(clean);
    jx_fail(x, _("it refuses: %s"), line);
}

static jv g_namespace(jx *x, const jargs *a)
{
    jv out = jv_dict(x, JV_SPACE), from;
    if (ja_get(a, 0, NULL, &from)) {
        if (from.kind != JV_DICT || a->n > 1) jx_fail(x, _("namespace is made of names, or of one dict"));
        for (int i = 0; i < from.u.d->n; i++) jv_put(x, out, from.u.d->key[i], from.u.d->val[i]);
    }
    for (int i = 0; i < a->n_named; i++) jv_put(x, out, jv_words(x, a->name[i]), a->named[i]);
    for (int i = 0; i < out.u.d->n; i++)
        if (out.u.d->key[i].kind != JV_STR || (out.u.d->key[i].u.s->n && out.u.d->key[i].u.s->p[0] == '_')) jx_fail(x, _("a namespace holds no name that begins with _"));
    return out;
}

static jv g_dict(jx *x, const jargs *a)
{
    jv out = jv_dict(x, JV_DICT), from;
    if (ja_get(a, 0, NULL, &from)) {
        if (from.kind != JV_DICT || a->n > 1) {
            jlist *l = jv_each(x, from);
            for (int i = 0; i < l->n; i++) {
                jlist *pair = jv_each(x, l->v[i]);
                if (pair->n != 2) jx_fail(x, _("dict is made of names, of a dict or of pairs"));
                jv_put(x, out, pair->v[0], pair->v[1]);
            }
        }
        for (int i = 0; from.kind == JV_DICT && i < from.u.d->n; i++) jv_put(x, out, from.u.d->key[i], from.u.d->val[i]);
    }
    for (int i = 0; i < a->n_named; i++) jv_put(x, out, jv_words(x, a->name[i]), a->named[i]);
    return out;
}

enum { RANGE_MOST = 100000 };
static jv g_range(jx *x, const jargs *a)
{
    ja_check(x, a, "start stop step", 1);
    int64_t one = ja_int(x, a, 0, NULL, 0), from = a->n > 1 ? one : 0, to = a->n > 1 ? ja_int(x, a, 1, NULL, 0) : one, by = ja_int(x, a, 2, NULL, 1);
    if (by == 0) jx_fail(x, _("range goes by steps of 0"));
    jv out = jv_view(x, JV_RANGE, 0);
    for (int64_t i = from; by > 0 ? i < to : i > to; i += by) {
        if (out.u.l->n == RANGE_MOST) jx_fail(x, _("range: more than %d numbers"), RANGE_MOST);
        jv_push(x, out, jv_int(i));
        if (by > 0 ? by > to - i : by < to - i) break;
    }
    return out;
}

static jv g_strftime(jx *x, const jargs *a)
{
    ja_check(x, a, "format", 1);
    const jstr *f = ja_str(x, a, 0, "format", NULL);
    char out[512];
    struct tm tm;
    time_t t = (time_t)(x->now / 1000);
    if (f && !f->n) return jv_words(x, "");
    if (!f || f->n > 200) jx_fail(x, _("strftime_now wants a format of at most 200 bytes"));
    localtime_r(&t, &tm);
    size_t n = strftime(out, sizeof out, jv_text(x, f->p, f->n, NULL).u.s->p, &tm);
    return jv_text(x, out, n, NULL);
}

static jv g_unknown(jx *x, const jargs *a) { jx_fail(x, _("the function '%s' is not known here"), a->what); }

typedef struct global { const char *name; jv (*run)(jx *, const jargs *); } global;
static const global GLOBALS[] = {
    { "raise_exception", g_raise }, { "namespace", g_namespace }, { "dict", g_dict }, { "range", g_range }, { "strftime_now", g_strftime },
    { "cycler", g_unknown }, { "joiner", g_unknown }, { "lipsum", g_unknown },
};

static jv ev_name(run *r, const jnode *n)
{
    jv out;
    for (const scope *s = r->scope; s; s = s->up)
        for (int i = 0; i < s->n; i++) if (s->v[i].name == n->name) return s->v[i].v;
    if (jv_find_name(r->x, r->vars, n->name, &out)) return out;
    for (size_t i = 0; i < sizeof GLOBALS / sizeof *GLOBALS; i++)
        if (strcmp(GLOBALS[i].name, n->name) == 0 && (GLOBALS[i].run != g_strftime || r->x->now)) return (jv){ .kind = JV_FUNC, .u.any = &GLOBALS[i] };
    return jv_undef(n->name);
}

/* ---- calls ---- */
static jargs arguments(run *r, const jnode *n, const char *what)
{
    jargs a = { .what = what };
    jv star = n->star ? ev(r, n->star) : jv_none(), stars = n->stars ? ev(r, n->stars) : jv_none();
    jlist *more = n->star ? jv_each(r->x, star) : NULL;
    if (n->stars && stars.kind != JV_DICT) jx_fail(r->x, _("** wants a dict, not %s"), jv_type(stars));
    int named = n->kids.n - n->n_plain, dict = n->stars ? stars.u.d->n : 0;
    a.v = jx_alloc(r->x, sizeof *a.v * (size_t)(n->n_plain + (more ? more->n : 0) + 1));
    a.name = jx_alloc(r->x, sizeof *a.name * (size_t)(named + dict + 1));
    a.named = jx_alloc(r->x, sizeof *a.named * (size_t)(named + dict + 1));
    for (int i = 0; i < n->n_plain; i++) a.v[a.n++] = ev(r, n->kids.v[i]);
    for (int i = 0; more && i < more->n; i++) a.v[a.n++] = more->v[i];
    for (int i = n->n_plain; i < n->kids.n; i++) {
        a.name[a.n_named] = n->kids.v[i]->name;
        a.named[a.n_named++] = ev(r, n->kids.v[i]->a);
    }
    for (int i = 0; i < dict; i++) {
        jv k = stars.u.d->key[i];
        if (k.kind != JV_STR) jx_fail(r->x, _("** wants names as keys"));
        a.name[a.n_named] = jv_text(r->x, k.u.s->p, k.u.s->n, NULL).u.s->p;
        a.named[a.n_named++] = stars.u.d->val[i];
    }
    here(r, n);
    return a;
}

/* What a macro's body asks for beyond its arguments. */
static void rest_of(run *r, const jnode *n, const jargs *a, bool *used)
{
    jv more = jv_list(r->x, JV_TUPLE, 0), named = jv_dict(r->x, JV_DICT), caller = jv_undef("caller");
    for (int i = n->kids.n; i < a->n; i++) jv_push(r->x, more, a->v[i]);
    if (more.u.l->n && !(n->flags & JN_VARARGS)) jx_fail(r->x, _("the macro %s takes %d arguments at most"), n->name, n->kids.n);
    for (int k = 0; k < a->n_named; k++) {
        if (used[k]) continue;
        if (n->flags & JN_CALLER && strcmp(a->name[k], "caller") == 0) caller = a->named[k];
        else if (n->flags & JN_KWARGS) jv_put(r->x, named, jv_words(r->x, a->name[k]), a->named[k]);
        else jx_fail(r->x, _("the macro %s has no argument %s"), n->name, a->name[k]);
    }
    if (n->flags & JN_CALLER) put(r, r->caller, caller);
    if (n->flags & JN_VARARGS) put(r, r->varargs, more);
    if (n->flags & JN_KWARGS) put(r, r->kwargs, named);
}

static jv call_macro(run *r, const macro *m, const jargs *a)
{
    const jnode *n = m->n;
    scope *outer = r->scope;
    jb out = r->out;
    bool *used = jx_alloc(r->x, (size_t)a->n_named + 1);
    jx_deeper(r->x);
    r->scope = opened(r, m->where);
    r->out = (jb){ .x = r->x };
    for (int i = 0; i < n->kids.n; i++) {
        const jnode *arg = n->kids.v[i];
        int at = -1;
        for (int k = 0; k < a->n_named && at < 0; k++) if (strcmp(a->name[k], arg->name) == 0) at = k;
        if (at >= 0 && i < a->n) jx_fail(r->x, _("the macro %s is given the argument %s twice"), n->name, arg->name);
        if (at >= 0) used[at] = true;
        put(r, arg->name, i < a->n ? a->v[i] : at >= 0 ? a->named[at] : arg->a ? ev(r, arg->a) : jv_undef(arg->name));
    }
    rest_of(r, n, a, used);
    exec(r, &n->body);
    jv result = jb_take(&r->out);
    r->out = out;
    r->scope = outer;
    r->x->depth--;
    return result;
}

static jv loop_call(run *r, jv loop, const char *name, const jargs *a)
{
    jv v = jv_none(), last;
    if (strcmp(name, "cycle") == 0) {
        if (!a->n) jx_fail(r->x, _("loop.cycle wants something to choose from"));
        jv_find_name(r->x, loop, "index0", &v);
        return a->v[v.u.i % a->n];
    }
    if (strcmp(name, "changed") != 0) jx_fail(r->x, _("a loop has no '%s' to call"), name);
    jv now = jv_list(r->x, JV_TUPLE, a->n);
    for (int i = 0; i < a->n; i++) jv_push(r->x, now, a->v[i]);
    bool same = jv_find_name(r->x, loop, " last", &last) && jv_equal(r->x, last, now);
    jv_put(r->x, loop, jv_words(r->x, " last"), now);
    return jv_bool(!same);
}

static jv call_value(run *r, jv f, const jargs *a)
{
    jx_step(r->x, 1);
    switch (f.kind) {
    case JV_MACRO: return call_macro(r, f.u.any, a);
    case JV_FUNC: return ((const global *)f.u.any)->run(r->x, a);
    case JV_METHOD:
        if (!f.u.m->row->run) jx_fail(r->x, _("the method '%s' is not known here"), f.u.m->row->name);
        return f.u.m->row->run(r->x, f.u.m->self, a);
    case JV_UNDEF:
        if (f.u.any) jx_fail(r->x, _("'%s' is undefined, or changes what may not be changed, and cannot be called"), (const char *)f.u.any);
        __attribute__((fallthrough));
    default: jx_fail(r->x, _("a value of the kind %s cannot be called"), jv_type(f));
    }
}

static const char *called(jv f, const jnode *n)
{
    if (f.kind == JV_FUNC) return ((const global *)f.u.any)->name;
    if (f.kind == JV_METHOD) return f.u.m->row->name;
    return n->a->name ? n->a->name : "?";
}

static jv ev_call(run *r, const jnode *n)
{
    if (n->a->kind == JN_ATTR) {
        jv of = ev(r, n->a->a);
        here(r, n->a);
        if (of.kind == JV_LOOP) {
            jargs a = arguments(r, n, n->a->name);
            return loop_call(r, of, n->a->name, &a);
        }
        jv f = jc_attr(r->x, of, n->a->name);
        jargs a = arguments(r, n, called(f, n));
        return call_value(r, f, &a);
    }
    jv f = ev(r, n->a);
    jargs a = arguments(r, n, called(f, n));
    return call_value(r, f, &a);
}

static jv apply_filter(run *r, const jnode *n, jv v)
{
    const jfilter_row *f = jf_find(n->name);
    jargs *a = jx_alloc(r->x, sizeof *a);
    *a = arguments(r, n, n->name);
    if (!f) jx_fail(r->x, _("the filter '%s' is not known here"), n->name);
    jx_step(r->x, 1);
    return f->run(r->x, v, a);
}

/* A chain of filters whose innermost one takes v. */
static jv filtered(run *r, const jnode *n, jv v) { return n ? apply_filter(r, n, n->a ? filtered(r, n->a, v) : v) : v; }

static jv ev_filter(run *r, const jnode *n) { return apply_filter(r, n, ev(r, n->a)); }

static jv ev_test(run *r, const jnode *n)
{
    const jtest_row *t = je_find(n->name);
    jv v = ev(r, n->a);
    jargs a = arguments(r, n, n->name);
    if (!t) jx_fail(r->x, _("the test '%s' is not known here"), n->name);
    return jv_bool(t->holds(r->x, v, &a));
}

/* ---- expressions ---- */
static jv ev_const(run *r, const jnode *n) { return n->value; }

static jv ev_list(run *r, const jnode *n)
{
    jv out = jv_list(r->x, n->kind == JN_LIST ? JV_LIST : JV_TUPLE, n->kids.n);
    for (int i = 0; i < n->kids.n; i++) jv_push(r->x, out, ev(r, n->kids.v[i]));
    return out;
}

static jv ev_dict(run *r, const jnode *n)
{
    jv out = jv_dict(r->x, JV_DICT);
    for (int i = 0; i + 1 < n->kids.n; i += 2) {
        jv k = ev(r, n->kids.v[i]), v = ev(r, n->kids.v[i + 1]);
        here(r, n);
        jv_put(r->x, out, k, v);
    }
    return out;
}

static jv ev_attr(run *r, const jnode *n)
{
    jv of = ev(r, n->a);
    here(r, n);
    return jc_attr(r->x, of, n->name);
}

static jv ev_item(run *r, const jnode *n)
{
    jv of = ev(r, n->a), key = ev(r, n->b);
    here(r, n);
    return jc_item(r->x, of, key);
}

static jv ev_slice(run *r, const jnode *n)
{
    jv of = ev(r, n->a), a = n->b ? ev(r, n->b) : jv_none(), b = n->c ? ev(r, n->c) : jv_none(), c = n->d ? ev(r, n->d) : jv_none();
    here(r, n);
    return jc_slice(r->x, of, a, b, c);
}

static jv ev_sign(run *r, const jnode *n)
{
    jv v = ev(r, n->a);
    double f;
    here(r, n);
    if (v.kind == JV_UNDEF) ja_undefined(r->x, v);
    if (!jv_number(v, &f)) jx_fail(r->x, _("a number is wanted, not %s"), jv_type(v));
    if (v.kind == JV_FLOAT) return jv_float(n->kind == JN_NEG ? -f : f);
    return jc_math(r->x, n->kind == JN_NEG ? "-" : "+", jv_int(0), v);
}

static jv ev_not(run *r, const jnode *n) { return jv_bool(!jv_true(r->x, ev(r, n->a))); }

static jv ev_junction(run *r, const jnode *n)
{
    jv v = ev(r, n->a);
    return jv_true(r->x, v) == (n->kind == JN_AND) ? ev(r, n->b) : v;
}

static jv ev_math(run *r, const jnode *n)
{
    jv a = ev(r, n->a), b = ev(r, n->b);
    here(r, n);
    return jc_math(r->x, n->op, a, b);
}

static jv ev_concat(run *r, const jnode *n)
{
    jb b = { .x = r->x };
    for (int i = 0; i < n->kids.n; i++) {
        jv v = ev(r, n->kids.v[i]);
        here(r, n);
        jp_str(&b, v);
    }
    return jb_take(&b);
}

static jv ev_compare(run *r, const jnode *n)
{
    jv left = ev(r, n->a);
    for (int i = 0; i < n->kids.n; i++) {
        jv right = ev(r, n->kids.v[i]->a);
        here(r, n->kids.v[i]);
        if (!jc_compare(r->x, n->kids.v[i]->op, left, right)) return jv_bool(false);
        left = right;
    }
    return jv_bool(true);
}

static jv ev_if(run *r, const jnode *n)
{
    if (jv_true(r->x, ev(r, n->b))) return ev(r, n->a);
    return n->c ? ev(r, n->c) : jv_undef(NULL);
}

static jv ev(run *r, const jnode *n)
{
    static jv (*const eval[])(run *, const jnode *) = {
        [JN_CONST] = ev_const, [JN_NAME] = ev_name, [JN_LIST] = ev_list, [JN_TUPLE] = ev_list, [JN_DICT] = ev_dict, [JN_ATTR] = ev_attr,
        [JN_ITEM] = ev_item, [JN_SLICE] = ev_slice, [JN_CALL] = ev_call, [JN_FILTER] = ev_filter, [JN_TEST] = ev_test, [JN_NEG] = ev_sign,
        [JN_POS] = ev_sign, [JN_NOT] = ev_not, [JN_AND] = ev_junction, [JN_OR] = ev_junction, [JN_MATH] = ev_math, [JN_CONCAT] = ev_concat,
        [JN_COMPARE] = ev_compare, [JN_IF_EXPR] = ev_if,
    };
    here(r, n);
    jx_step(r->x, 1);
    jx_deeper(r->x);
    jv v = eval[n->kind](r, n);
    jx_text(r->x, v);                    /* whatever is done with it goes through it a few times */
    r->x->depth--;
    return v;
}

/* ---- statements ---- */
static void assign(run *r, const jnode *to, jv v)
{
    here(r, to);
    if (to->kind == JN_NAME) { put(r, to->name, v); return; }
    if (to->kind == JN_NSREF) {
        jv space = ev_name(r, to->a);
        if (space.kind != JV_SPACE) jx_fail(r->x, _("'%s' is no namespace: nothing can be put into it"), to->a->name);
        if (to->name[0] == '_') jx_fail(r->x, _("a namespace holds no name that begins with _"));
        jv_put(r->x, space, jv_words(r->x, to->name), v);
        return;
    }
    jlist *l = jv_each(r->x, v);
    if (l->n != to->kids.n) jx_fail(r->x, _("%d values are wanted, and there are %d"), to->kids.n, l->n);
    for (int i = 0; i < l->n; i++) assign(r, to->kids.v[i], l->v[i]);
}

static flow st_out(run *r, const jnode *n)
{
    jv v = ev(r, n->a);
    here(r, n);
    jp_str(&r->out, v);
    return GO_ON;
}

static flow st_if(run *r, const jnode *n)
{
    if (jv_true(r->x, ev(r, n->a))) return exec(r, &n->body);
    return exec(r, &n->other);
}

static flow st_set(run *r, const jnode *n)
{
    assign(r, n->a, ev(r, n->b));
    return GO_ON;
}

/* What the body writes, in a scope of its own. */
static jv captured(run *r, const jnodes *body)
{
    scope *outer = r->scope;
    jb out = r->out;
    r->scope = opened(r, outer);
    r->out = (jb){ .x = r->x };
    exec(r, body);
    jv v = jb_take(&r->out);
    r->out = out;
    r->scope = outer;
    return v;
}

static flow st_set_block(run *r, const jnode *n)
{
    assign(r, n->a, filtered(r, n->b, captured(r, &n->body)));
    return GO_ON;
}

static flow st_filter(run *r, const jnode *n)
{
    jp_str(&r->out, filtered(r, n->a, captured(r, &n->body)));
    return GO_ON;
}

static flow st_scope(run *r, const jnode *n)
{
    jp_str(&r->out, captured(r, &n->body));
    return GO_ON;
}

static flow st_with(run *r, const jnode *n)
{
    scope *outer = r->scope, *inner = opened(r, outer);
    for (int i = 0; i + 1 < n->kids.n; i += 2) {
        r->scope = outer;
        jv v = ev(r, n->kids.v[i + 1]);
        r->scope = inner;
        assign(r, n->kids.v[i], v);
    }
    r->scope = inner;
    flow f = exec(r, &n->body);
    r->scope = outer;
    return f;
}

static jv macro_of(run *r, const jnode *n)
{
    macro *m = jx_alloc(r->x, sizeof *m);
    *m = (macro){ n, r->scope };
    return (jv){ .kind = JV_MACRO, .u.any = m };
}

static flow st_macro(run *r, const jnode *n)
{
    put(r, n->name, macro_of(r, n));
    return GO_ON;
}

static flow st_call(run *r, const jnode *n)
{
    jv f = ev(r, n->a->a), caller = macro_of(r, n);
    jargs a = arguments(r, n->a, called(f, n->a)), with = a;
    with.name = jx_alloc(r->x, sizeof *with.name * (size_t)(a.n_named + 1));
    with.named = jx_alloc(r->x, sizeof *with.named * (size_t)(a.n_named + 1));
    for (int i = 0; i < a.n_named; i++) { with.name[i] = a.name[i]; with.named[i] = a.named[i]; }
    with.name[with.n_named] = "caller";
    with.named[with.n_named++] = caller;
    jp_str(&r->out, call_value(r, f, &with));
    return GO_ON;
}

/* ---- loops ---- */
static jlist *chosen(run *r, const jnode *n)
{
    jv of = ev(r, n->b);
    here(r, n);
    jlist *all = jv_each(r->x, of);
    if (!n->c) return all;
    scope *outer = r->scope;
    jv out = jv_list(r->x, JV_LIST, 0);
    for (int i = 0; i < all->n; i++) {
        r->scope = opened(r, outer);
        assign(r, n->a, all->v[i]);
        if (jv_true(r->x, ev(r, n->c))) jv_push(r->x, out, all->v[i]);
    }
    r->scope = outer;
    return out.u.l;
}

static void tell_loop(run *r, jv loop, const jlist *l, int i)
{
    const struct { const char *name; jv v; } rows[] = {
        { "index0", jv_int(i) }, { "index", jv_int(i + 1) }, { "first", jv_bool(i == 0) }, { "last", jv_bool(i == l->n - 1) },
        { "length", jv_int(l->n) }, { "revindex", jv_int(l->n - i) }, { "revindex0", jv_int(l->n - i - 1) }, { "depth", jv_int(1) }, { "depth0", jv_int(0) },
        { "previtem", i > 0 ? l->v[i - 1] : jv_undef("loop.previtem") }, { "nextitem", i + 1 < l->n ? l->v[i + 1] : jv_undef("loop.nextitem") },
    };
    jdict *d = loop.u.d;
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        if (i > 0) d->val[k] = rows[k].v;                  /* they lie in this order */
        else jv_put(r->x, loop, jv_words(r->x, rows[k].name), rows[k].v);
    }
}

static flow st_for(run *r, const jnode *n)
{
    jlist *l = chosen(r, n);
    scope *outer = r->scope;
    jv loop = jv_dict(r->x, JV_LOOP);
    for (int i = 0; i < l->n; i++) {
        jx_step(r->x, 1);
        r->scope = opened(r, outer);
        if (r->loop) {
            tell_loop(r, loop, l, i);
            put(r, r->loop, loop);
        }
        assign(r, n->a, l->v[i]);
        if (exec(r, &n->body) == BREAK) break;
    }
    r->scope = outer;
    if (l->n) return GO_ON;
    r->scope = opened(r, outer);
    flow f = exec(r, &n->other);
    r->scope = outer;
    return f;
}

static flow st_break(run *r, const jnode *n) { return BREAK; }
static flow st_continue(run *r, const jnode *n) { return CONTINUE; }

static flow exec(run *r, const jnodes *l)
{
    static flow (*const run_one[])(run *, const jnode *) = {
        [JN_OUT] = st_out, [JN_FOR] = st_for, [JN_IF] = st_if, [JN_SET] = st_set, [JN_SET_BLOCK] = st_set_block, [JN_WITH] = st_with,
        [JN_MACRO] = st_macro, [JN_CALL_BLOCK] = st_call, [JN_FILTER_BLOCK] = st_filter, [JN_SCOPE] = st_scope, [JN_BREAK] = st_break,
        [JN_CONTINUE] = st_continue,
    };
    flow f = GO_ON;
    jx_deeper(r->x);
    for (int i = 0; i < l->n && f == GO_ON; i++) {
        here(r, l->v[i]);
        jx_step(r->x, 1);
        f = run_one[l->v[i]->kind](r, l->v[i]);
    }
    r->x->depth--;
    return f;
}

static const char *known(const jnames *names, const char *word)
{
    for (int i = 0; i < names->n; i++) if (strcmp(names->v[i], word) == 0) return names->v[i];
    return NULL;
}

jv jr_run(jx *x, const jnodes *l, const jnames *names, jv vars)
{
    run r = { .x = x, .out = { .x = x }, .vars = vars, .loop = known(names, "loop"), .caller = known(names, "caller"), .varargs = known(names, "varargs"), .kwargs = known(names, "kwargs") };
    r.scope = opened(&r, NULL);
    exec(&r, l);
    x->line = 0;
    return jb_take(&r.out);
}
