/* engine/jinja/access: see access.h. Order of looking as in jinja2's sandbox: an attribute first for a.b, an item first for
 * a['b']; what neither has is undefined, and only a use of that fails. */
#include "engine/jinja/access.h"
#include "engine/jinja/methods.h"
#include "engine/jinja/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static jv bound(jx *x, jv of, const jmethod_row *row)
{
    if (row->changes) return jv_undef(row->name);          /* unsafe: it is there as little as jinja2 lets it be */
    jmethod *m = jx_alloc(x, sizeof *m);
    *m = (jmethod){ of, row };
    return (jv){ .kind = JV_METHOD, .u.m = m };
}

static jv number_part(jv of, const char *name)
{
    if (of.kind != JV_INT && of.kind != JV_BOOL) return jv_undef(name);
    if (strcmp(name, "real") == 0 || strcmp(name, "numerator") == 0) return jv_int(of.kind == JV_INT ? of.u.i : of.u.b);
    if (strcmp(name, "imag") == 0) return jv_int(0);
    if (strcmp(name, "denominator") == 0) return jv_int(1);
    return jv_undef(name);
}

jv jc_attr(jx *x, jv of, const char *name)
{
    jv out;
    if (of.kind == JV_UNDEF) ja_undefined(x, of);
    if (of.kind == JV_SPACE || of.kind == JV_LOOP) return jv_find_name(x, of, name, &out) ? out : jv_undef(name);
    const jmethod_row *row = jm_find(of, name);
    if (row) return bound(x, of, row);
    if (of.kind == JV_DICT && jv_find_name(x, of, name, &out)) return out;
    return number_part(of, name);
}

static bool by_number(jx *x, jv of, int64_t i, jv *out)
{
    int64_t n;
    if (of.kind == JV_STR) {
        n = (int64_t)js_count(of.u.s);
        if (i < 0) i += n;
        if (i < 0 || i >= n) return false;
        size_t at = js_at(of.u.s, (size_t)i);
        uint32_t cp;
        *out = jv_part(x, of.u.s, at, at + (size_t)q_utf8_next(of.u.s->p + at, of.u.s->n - at, &cp));
        return true;
    }
    if (of.kind != JV_LIST && of.kind != JV_TUPLE && !(of.kind == JV_VIEW && of.sub == JV_RANGE)) return false;
    n = of.u.l->n;
    if (i < 0) i += n;
    if (i < 0 || i >= n) return false;
    *out = of.u.l->v[i];
    return true;
}

static const char *shown(jx *x, jv key) { return key.kind == JV_STR ? jv_text(x, key.u.s->p, key.u.s->n, NULL).u.s->p : NULL; }

jv jc_item(jx *x, jv of, jv key)
{
    jv out;
    if (of.kind == JV_UNDEF) ja_undefined(x, of);
    bool hashable = key.kind != JV_LIST && key.kind != JV_DICT && key.kind != JV_VIEW;
    if (of.kind == JV_DICT && hashable && jv_find(x, of, key, &out)) return out;
    if (of.kind != JV_DICT && (key.kind == JV_INT || key.kind == JV_BOOL) && by_number(x, of, key.kind == JV_INT ? key.u.i : key.u.b, &out)) return out;
    if (key.kind != JV_STR) return jv_undef(NULL);
    const char *name = shown(x, key);
    if ((of.kind == JV_SPACE || of.kind == JV_LOOP) && jv_find(x, of, key, &out)) return out;
    const jmethod_row *row = jm_find(of, name);
    return row ? bound(x, of, row) : number_part(of, name);
}

static const int64_t *bound_of(jx *x, jv v, int64_t *to)
{
    if (v.kind == JV_NONE) return NULL;
    if (v.kind == JV_UNDEF) ja_undefined(x, v);
    if (v.kind != JV_INT && v.kind != JV_BOOL) jx_fail(x, _("a slice wants whole numbers, not %s"), jv_type(v));
    *to = v.kind == JV_INT ? v.u.i : v.u.b;
    return to;
}

jv jc_slice(jx *x, jv of, jv start, jv stop, jv step)
{
    int64_t n[3], from, to;
    if (of.kind == JV_UNDEF) ja_undefined(x, of);
    const int64_t *a = bound_of(x, start, &n[0]), *b = bound_of(x, stop, &n[1]), *c = bound_of(x, step, &n[2]);
    int64_t by = c ? *c : 1;
    if (of.kind == JV_STR) return jt_slice(x, of.u.s, a, b, by);
    if (of.kind != JV_LIST && of.kind != JV_TUPLE && !(of.kind == JV_VIEW && of.sub == JV_RANGE)) return jv_undef(NULL);
    jt_indices(x, of.u.l->n, a, b, by, &from, &to);
    jv out = of.kind == JV_VIEW ? jv_view(x, JV_RANGE, 0) : jv_list(x, of.kind, 0);
    for (int64_t i = from; by > 0 ? i < to : i > to; i += by) {
        jx_step(x, 1);
        jv_push(x, out, of.u.l->v[i]);
        if (by > 0 ? by > to - i : by < to - i) break;     /* no step past the end of numbers */
    }
    return out;
}

jv jc_path(jx *x, jv of, jv path)
{
    if (path.kind == JV_INT) return jc_item(x, of, path);
    if (path.kind != JV_STR) jx_fail(x, _("an attribute's name is wanted, not %s"), jv_type(path));
    const jstr dot = { ".", NULL, 1 };
    jlist *parts = jt_split(x, path.u.s, &dot, -1, false).u.l;
    for (int i = 0; i < parts->n; i++) {
        const char *name = shown(x, parts->v[i]);
        bool digits = *name && strspn(name, "0123456789") == strlen(name) && strlen(name) < 10;
        of = jc_item(x, of, digits ? jv_int(strtol(name, NULL, 10)) : parts->v[i]);
    }
    return of;
}

/* ---- operators ---- */
static _Noreturn void no_sense(jx *x, const char *op, jv a, jv b)
{
    if (a.kind == JV_UNDEF) ja_undefined(x, a);
    if (b.kind == JV_UNDEF) ja_undefined(x, b);
    jx_fail(x, _("%s between %s and %s has no sense"), op, jv_type(a), jv_type(b));
}

static jv joined(jx *x, jv a, jv b)
{
    jb out = { .x = x };
    if (a.sub != b.sub) {                                  /* one is marked safe: the other is escaped */
        a = a.sub ? a : jt_escape(x, a.u.s);
        b = b.sub ? b : jt_escape(x, b.u.s);
    }
    jb_str(&out, a.u.s);
    jb_str(&out, b.u.s);
    jv v = jb_take(&out);
    v.sub = a.sub;
    return v;
}

static jv repeated(jx *x, jv v, int64_t times)
{
    jb b = { .x = x };
    jv out = v.kind == JV_STR ? v : jv_list(x, v.kind, 0);
    for (int64_t i = 0; i < times; i++) {
        jx_step(x, 1);
        if (v.kind == JV_STR) jb_str(&b, v.u.s);
        for (int k = 0; v.kind != JV_STR && k < v.u.l->n; k++) jv_push(x, out, v.u.l->v[k]);
    }
    return v.kind == JV_STR ? jb_take(&b) : out;
}

static bool whole(jv v, int64_t *out)
{
    if (v.kind == JV_INT) *out = v.u.i;
    if (v.kind == JV_BOOL) *out = v.u.b;
    return v.kind == JV_INT || v.kind == JV_BOOL;
}

static bool power(int64_t a, int64_t b, int64_t *r)
{
    *r = b == 0 || (a == -1 && b % 2 == 0) ? 1 : a;
    if (a >= -1 && a <= 1) return true;
    for (*r = 1; b > 0; b--) if (__builtin_mul_overflow(*r, a, r)) return false;
    return true;
}

static bool integers(const char *op, int64_t a, int64_t b, jv *out)
{
    int64_t r = 0;
    bool over = false;
    if (strcmp(op, "+") == 0) over = __builtin_add_overflow(a, b, &r);
    else if (strcmp(op, "-") == 0) over = __builtin_sub_overflow(a, b, &r);
    else if (strcmp(op, "*") == 0) over = __builtin_mul_overflow(a, b, &r);
    else if (strcmp(op, "**") == 0) over = !power(a, b, &r);
    else {                                                 /* // and %: towards minus infinity */
        if (b == -1) { over = __builtin_sub_overflow((int64_t)0, a, &r); if (*op == '%') { r = 0; over = false; } }
        else {
            int64_t q = a / b, m = a % b;
            if (m && (m < 0) != (b < 0)) { q--; m += b; }
            r = *op == '%' ? m : q;
        }
    }
    *out = jv_int(r);
    return !over;
}

static jv numbers(jx *x, const char *op, jv a, jv b)
{
    int64_t i = 0, k = 0;
    double p = 0, q = 0;
    jv out;
    jv_number(a, &p);
    jv_number(b, &q);
    if (strchr("/%", *op) && q == 0) jx_fail(x, _("a division by zero"));
    if (whole(a, &i) && whole(b, &k) && strcmp(op, "/") != 0 && !(strcmp(op, "**") == 0 && k < 0)) {
        if (!integers(op, i, k, &out)) jx_fail(x, _("a number beyond 64 bits"));
        return out;
    }
    if (strcmp(op, "+") == 0) return jv_float(p + q);
    if (strcmp(op, "-") == 0) return jv_float(p - q);
    if (strcmp(op, "*") == 0) return jv_float(p * q);
    if (strcmp(op, "/") == 0) return jv_float(p / q);
    if (strcmp(op, "**") == 0) return jv_float(pow(p, q));
    double m = fmod(p, q);
    if (m != 0 && (m < 0) != (q < 0)) m += q;
    return jv_float(strcmp(op, "%") == 0 ? m : floor((p - m) / q + 0.5));
}

jv jc_math(jx *x, const char *op, jv a, jv b)
{
    double p, q;
    int64_t n = 0;
    bool lists = (a.kind == JV_LIST || a.kind == JV_TUPLE) && a.kind == b.kind;
    if (jv_number(a, &p) && jv_number(b, &q)) return numbers(x, op, a, b);
    if (strcmp(op, "+") == 0 && a.kind == JV_STR && b.kind == JV_STR) return joined(x, a, b);
    if (strcmp(op, "%") == 0 && a.kind == JV_STR) return jm_percent(x, a.u.s, b);
    if (strcmp(op, "+") == 0 && lists) {
        jv out = jv_list(x, a.kind, a.u.l->n + b.u.l->n);
        for (int i = 0; i < a.u.l->n; i++) jv_push(x, out, a.u.l->v[i]);
        for (int i = 0; i < b.u.l->n; i++) jv_push(x, out, b.u.l->v[i]);
        return out;
    }
    if (strcmp(op, "*") == 0 && whole(b, &n) && (a.kind == JV_STR || a.kind == JV_LIST || a.kind == JV_TUPLE)) return repeated(x, a, n);
    if (strcmp(op, "*") == 0 && whole(a, &n) && (b.kind == JV_STR || b.kind == JV_LIST || b.kind == JV_TUPLE)) return repeated(x, b, n);
    no_sense(x, op, a, b);
}

bool jc_in(jx *x, jv what, jv of)
{
    jv out;
    if (of.kind == JV_STR) {
        if (what.kind != JV_STR) no_sense(x, "in", what, of);
        jx_step(x, of.u.s->n / 64);
        return jt_find(of.u.s, what.u.s, 0) >= 0;
    }
    if (of.kind == JV_DICT) return jv_find(x, of, what, &out);
    if (!jv_iterable(of) || of.kind == JV_LOOP) no_sense(x, "in", what, of);
    jlist *l = jv_each(x, of);
    for (int i = 0; i < l->n; i++) if (jv_equal(x, l->v[i], what)) return true;
    return false;
}

bool jc_compare(jx *x, const char *op, jv a, jv b)
{
    double p, q;
    if (strcmp(op, "in") == 0) return jc_in(x, a, b);
    if (strcmp(op, "not in") == 0) return !jc_in(x, a, b);
    if (strcmp(op, "==") == 0) return jv_equal(x, a, b);
    if (strcmp(op, "!=") == 0) return !jv_equal(x, a, b);
    if (jv_number(a, &p) && jv_number(b, &q) && (isnan(p) || isnan(q))) return false;
    int c = jv_order(x, a, b);
    return op[0] == '<' ? c < 0 || (op[1] && c == 0) : c > 0 || (op[1] && c == 0);
}
