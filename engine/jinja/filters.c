/* engine/jinja/filters: see filters.h. jinja2's own (3.1), with tojson as transformers has it. */
#include "engine/jinja/filters.h"
#include "engine/jinja/access.h"
#include "engine/jinja/methods.h"
#include "engine/jinja/print.h"
#include "engine/jinja/tests.h"
#include "engine/jinja/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const jstr *soft(jx *x, jv v) { return jp_to_str(x, v).u.s; }
static jv safe_as(jv v, jv self) { if (v.kind == JV_STR && self.kind == JV_STR) v.sub = self.sub; return v; }
static jv sequence_of(jx *x, jv v, uint8_t kind)
{
    jlist *l = jv_each(x, v);
    jv out = kind == JV_VIEW ? jv_view(x, JV_ITER, l->n) : jv_list(x, kind, l->n);
    for (int i = 0; i < l->n; i++) jv_push(x, out, l->v[i]);
    return out;
}

/* ---- texts ---- */
static jv cased(jx *x, jv v, const jargs *a, enum jt_case how) { ja_check(x, a, "", 0); return safe_as(jt_cased(x, soft(x, v), how), v); }
static jv f_upper(jx *x, jv v, const jargs *a) { return cased(x, v, a, JT_UPPER); }
static jv f_lower(jx *x, jv v, const jargs *a) { return cased(x, v, a, JT_LOWER); }
static jv f_title(jx *x, jv v, const jargs *a) { return cased(x, v, a, JT_HEADLINE); }
static jv f_capitalize(jx *x, jv v, const jargs *a) { return cased(x, v, a, JT_CAPITAL); }
static jv f_string(jx *x, jv v, const jargs *a) { ja_check(x, a, "", 0); return jp_to_str(x, v); }
static jv f_safe(jx *x, jv v, const jargs *a) { v = jp_to_str(x, v); v.sub = 1; return v; }
static jv f_escape(jx *x, jv v, const jargs *a) { return v.kind == JV_STR && v.sub ? v : jt_escape(x, soft(x, v)); }
static jv f_forceescape(jx *x, jv v, const jargs *a) { return jt_escape(x, soft(x, v)); }

static jv f_trim(jx *x, jv v, const jargs *a)
{
    ja_check(x, a, "chars", 0);
    return safe_as(jt_strip(x, soft(x, v), ja_str(x, a, 0, "chars", NULL), JT_LEFT | JT_RIGHT), v);
}

static jv f_replace(jx *x, jv v, const jargs *a)
{
    jv old, with, most = jv_none();
    ja_check(x, a, "old new count", 2);
    ja_get(a, 0, "old", &old);
    ja_get(a, 1, "new", &with);
    ja_get(a, 2, "count", &most);
    if (old.kind != JV_STR || with.kind != JV_STR) jx_fail(x, _("%s: a text is wanted, not %s"), a->what, jv_type(old.kind != JV_STR ? old : with));
    return safe_as(jt_replace(x, soft(x, v), old.u.s, with.u.s, most.kind == JV_NONE ? -1 : ja_int(x, a, 2, "count", -1)), v);
}

static jv f_indent(jx *x, jv v, const jargs *a)
{
    jv width = jv_int(4);
    ja_check(x, a, "width first blank", 0);
    ja_get(a, 0, "width", &width);
    const jstr empty = { "", NULL, 0 };
    const jstr *with = width.kind == JV_STR ? width.u.s : jt_pad(x, &empty, ja_int(x, a, 0, "width", 4), ' ', true, false).u.s;
    if (v.kind != JV_STR) jx_fail(x, _("%s: a text is wanted, not %s"), a->what, jv_type(v));
    return safe_as(jt_indent(x, v.u.s, with, ja_bool(x, a, 1, "first", false), ja_bool(x, a, 2, "blank", false)), v);
}

static jv f_center(jx *x, jv v, const jargs *a)
{
    ja_check(x, a, "width", 0);
    return safe_as(jt_pad(x, soft(x, v), ja_int(x, a, 0, "width", 80), ' ', true, true), v);
}

static jv f_truncate(jx *x, jv v, const jargs *a)
{
    ja_check(x, a, "length killwords end leeway", 0);
    const jstr dots = { "...", NULL, 3 }, *s = soft(x, v), *end = ja_str(x, a, 2, "end", &dots);
    int64_t length = ja_int(x, a, 0, "length", 255), leeway = ja_int(x, a, 3, "leeway", 5), n = (int64_t)js_count(s), keep = length - (int64_t)js_count(end);
    if (keep < 0) jx_fail(x, _("truncate: the length is shorter than what is put behind"));
    if (n <= length + leeway) return jp_to_str(x, v);
    const jstr *cut = jt_slice(x, s, NULL, &keep, 1).u.s, blank = { " ", NULL, 1 };
    long at = ja_bool(x, a, 1, "killwords", false) ? -1 : jt_rfind(x, cut, &blank);
    jb b = { .x = x };
    jb_str(&b, at < 0 ? cut : jv_part(x, cut, 0, (size_t)at).u.s);
    jb_str(&b, end);
    return jb_take(&b);
}

static jv f_wordcount(jx *x, jv v, const jargs *a)
{
    const jstr *s = soft(x, v);
    int64_t n = 0;
    uint32_t cp;
    bool word = false;
    for (size_t i = 0; i < s->n;) {
        i += (size_t)q_utf8_next(s->p + i, s->n - i, &cp);
        bool in = jt_alnum(cp) || cp == '_';
        n += in && !word;
        word = in;
    }
    return jv_int(n);
}

static jv f_format(jx *x, jv v, const jargs *a)
{
    if (a->n && a->n_named) jx_fail(x, _("format takes arguments with names or without, not both"));
    if (a->n_named) jx_fail(x, _("format: fields with names are not known here"));
    jv args = jv_list(x, JV_TUPLE, a->n);
    for (int i = 0; i < a->n; i++) jv_push(x, args, a->v[i]);
    return jm_percent(x, soft(x, v), args);
}

static jv f_tojson(jx *x, jv v, const jargs *a)
{
    jv indent = jv_none(), parts = jv_none();
    ja_check(x, a, "ensure_ascii indent separators sort_keys", 0);
    jp_json o = { .ascii = ja_bool(x, a, 0, "ensure_ascii", false), .sort = ja_bool(x, a, 3, "sort_keys", false) };
    ja_get(a, 1, "indent", &indent);
    ja_get(a, 2, "separators", &parts);
    const jstr empty = { "", NULL, 0 };
    if (indent.kind == JV_STR) o.indent = indent.u.s;
    else if (indent.kind != JV_NONE) o.indent = jt_pad(x, &empty, ja_int(x, a, 1, "indent", 0), ' ', true, false).u.s;
    if (parts.kind != JV_NONE) {
        if ((parts.kind != JV_TUPLE && parts.kind != JV_LIST) || parts.u.l->n != 2 || parts.u.l->v[0].kind != JV_STR || parts.u.l->v[1].kind != JV_STR)
            jx_fail(x, _("tojson: separators are two texts"));
        o.item = parts.u.l->v[0].u.s;
        o.key = parts.u.l->v[1].u.s;
    }
    jb b = { .x = x };
    jp_dump(&b, v, &o);
    return jb_take(&b);
}

/* ---- numbers ---- */
static double parsed(const jstr *s, bool *whole, int64_t *i)
{
    char t[80], *end;
    size_t n = 0, from = 0;
    while (from < s->n && strchr(" \t\r\n", s->p[from]) && s->p[from]) from++;
    for (; from < s->n && n < sizeof t - 1; from++) if (s->p[from] != '_') t[n++] = s->p[from];
    while (n && strchr(" \t\r\n", t[n - 1])) n--;
    t[n] = 0;
    *i = strtoll(t, &end, 10);
    *whole = n && !*end;
    double f = strtod(t, &end);
    return n && !*end && !strpbrk(t, "xXpP") ? f : (double)NAN;
}

static jv f_int(jx *x, jv v, const jargs *a)
{
    jv otherwise = jv_int(0);
    bool whole = false;
    int64_t i = 0;
    double f;
    ja_check(x, a, "default base", 0);
    ja_get(a, 0, "default", &otherwise);
    if (ja_int(x, a, 1, "base", 10) != 10) jx_fail(x, _("int: bases other than 10 are not known here"));
    if (v.kind == JV_INT) return v;
    if (v.kind == JV_BOOL) return jv_int(v.u.b);
    f = v.kind == JV_FLOAT ? v.u.f : v.kind == JV_STR ? parsed(v.u.s, &whole, &i) : (double)NAN;
    if (whole) return jv_int(i);
    return f > -9.2e18 && f < 9.2e18 ? jv_int((int64_t)f) : otherwise;
}

static jv f_float(jx *x, jv v, const jargs *a)
{
    jv otherwise = jv_float(0);
    bool whole;
    int64_t i;
    double f;
    ja_check(x, a, "default", 0);
    ja_get(a, 0, "default", &otherwise);
    if (jv_number(v, &f)) return jv_float(f);
    f = v.kind == JV_STR ? parsed(v.u.s, &whole, &i) : (double)NAN;
    return isnan(f) ? otherwise : jv_float(f);
}

static jv f_abs(jx *x, jv v, const jargs *a)
{
    double f;
    if (!jv_number(v, &f)) jx_fail(x, _("%s: a number is wanted, not %s"), a->what, jv_type(v));
    return v.kind == JV_FLOAT ? jv_float(fabs(f)) : f < 0 ? jc_math(x, "-", jv_int(0), v) : jc_math(x, "+", jv_int(0), v);
}

static jv f_round(jx *x, jv v, const jargs *a)
{
    double f, scale;
    ja_check(x, a, "precision method", 0);
    int64_t digits = ja_int(x, a, 0, "precision", 0);
    const jstr common = { "common", NULL, 6 }, *how = ja_str(x, a, 1, "method", &common);
    if (!jv_number(v, &f)) jx_fail(x, _("%s: a number is wanted, not %s"), a->what, jv_type(v));
    if (digits > 15 || digits < -15) jx_fail(x, _("round: at most 15 places"));
    scale = pow(10, (double)digits);
    if (how->n == 4 && memcmp(how->p, "ceil", 4) == 0) return jv_float(ceil(f * scale) / scale);
    if (how->n == 5 && memcmp(how->p, "floor", 5) == 0) return jv_float(floor(f * scale) / scale);
    if (v.kind != JV_FLOAT && digits >= 0) return jc_math(x, "+", jv_int(0), v);
    char s[400];
    if (digits < 0) return jv_float(nearbyint(f * scale) / scale);
    snprintf(s, sizeof s, "%.*f", (int)digits, f);
    return jv_float(strtod(s, NULL));
}

/* ---- values ---- */
static jv f_default(jx *x, jv v, const jargs *a)
{
    jv otherwise = jv_words(x, "");
    ja_check(x, a, "default_value boolean", 0);
    ja_get(a, 0, "default_value", &otherwise);
    return v.kind == JV_UNDEF || (ja_bool(x, a, 1, "boolean", false) && !jv_true(x, v)) ? otherwise : v;
}

static jv f_length(jx *x, jv v, const jargs *a) { ja_check(x, a, "", 0); return jv_int((int64_t)jv_len(x, v)); }

static jv f_first(jx *x, jv v, const jargs *a)
{
    jlist *l = jv_each(x, v);
    return l->n ? l->v[0] : jv_undef("first");
}

static jv f_last(jx *x, jv v, const jargs *a)
{
    jlist *l = jv_each(x, v);
    return l->n ? l->v[l->n - 1] : jv_undef("last");
}

static jv f_list(jx *x, jv v, const jargs *a) { ja_check(x, a, "", 0); return sequence_of(x, v, JV_LIST); }

static jv f_items(jx *x, jv v, const jargs *a)
{
    ja_check(x, a, "", 0);
    if (v.kind == JV_UNDEF) return jv_view(x, JV_ITER, 0);
    if (v.kind != JV_DICT) jx_fail(x, _("items: a dict is wanted, not %s"), jv_type(v));
    const jargs none = { .what = "items" };
    return sequence_of(x, jm_find(v, "items")->run(x, v, &none), JV_VIEW);
}

static jv f_attr(jx *x, jv v, const jargs *a)
{
    jv name;
    ja_check(x, a, "name", 1);
    ja_get(a, 0, "name", &name);
    if (name.kind != JV_STR) jx_fail(x, _("%s: a text is wanted, not %s"), a->what, jv_type(name));
    jv got = jc_attr(x, v.kind == JV_DICT ? jv_dict(x, JV_DICT) : v, jv_text(x, name.u.s->p, name.u.s->n, NULL).u.s->p);
    return got;
}

static jv f_reverse(jx *x, jv v, const jargs *a)
{
    if (v.kind == JV_STR) return jt_slice(x, v.u.s, NULL, NULL, -1);
    jlist *l = jv_each(x, v);
    jv out = jv_view(x, JV_ITER, l->n);
    for (int i = l->n; i-- > 0;) jv_push(x, out, l->v[i]);
    return out;
}

static jv f_join(jx *x, jv v, const jargs *a)
{
    jv by;
    ja_check(x, a, "d attribute", 0);
    const jstr empty = { "", NULL, 0 }, *with = ja_str(x, a, 0, "d", &empty);
    bool attribute = ja_get(a, 1, "attribute", &by) && by.kind != JV_NONE;
    jlist *l = jv_each(x, v);
    jb b = { .x = x };
    for (int i = 0; i < l->n; i++) {
        if (i) jb_str(&b, with);
        jp_str(&b, attribute ? jc_path(x, l->v[i], by) : l->v[i]);
    }
    return jb_take(&b);
}

/* ---- order ---- */
typedef struct key { jv by, of; } key;

/* A stable merge of two sorted halves, through Python's order. */
static void sort(jx *x, key *k, key *spare, int n, bool back)
{
    if (n < 2) return;
    int half = n / 2, i = 0, j = half, at = 0;
    sort(x, k, spare, half, back);
    sort(x, k + half, spare, n - half, back);
    while (i < half && j < n) {
        int c = jv_order(x, k[i].by, k[j].by);
        spare[at++] = (back ? c >= 0 : c <= 0) ? k[i++] : k[j++];
    }
    while (i < half) spare[at++] = k[i++];
    while (j < n) spare[at++] = k[j++];
    memcpy(k, spare, sizeof *k * (size_t)n);
}

static jv folded(jx *x, jv v, bool exact) { return v.kind == JV_STR && !exact ? jt_cased(x, v.u.s, JT_LOWER) : v; }

/* "a,b.c" as several keys. */
static jv sort_key(jx *x, jv v, jv path, bool exact)
{
    if (path.kind == JV_NONE) return folded(x, v, exact);
    if (path.kind != JV_STR || !memchr(path.u.s->p, ',', path.u.s->n)) return folded(x, jc_path(x, v, path), exact);
    const jstr comma = { ",", NULL, 1 };
    jlist *parts = jt_split(x, path.u.s, &comma, -1, false).u.l;
    jv out = jv_list(x, JV_LIST, parts->n);
    for (int i = 0; i < parts->n; i++) jv_push(x, out, folded(x, jc_path(x, v, parts->v[i]), exact));
    return out;
}

static jv f_sort(jx *x, jv v, const jargs *a)
{
    jv path = jv_none();
    ja_check(x, a, "reverse case_sensitive attribute", 0);
    bool exact = ja_bool(x, a, 1, "case_sensitive", false);
    ja_get(a, 2, "attribute", &path);
    jlist *l = jv_each(x, v);
    key *k = jx_alloc(x, 2 * sizeof *k * (size_t)(l->n + 1));
    for (int i = 0; i < l->n; i++) k[i] = (key){ sort_key(x, l->v[i], path, exact), l->v[i] };
    sort(x, k, k + l->n, l->n, ja_bool(x, a, 0, "reverse", false));
    jv out = jv_list(x, JV_LIST, l->n);
    for (int i = 0; i < l->n; i++) jv_push(x, out, k[i].of);
    return out;
}

static jv f_dictsort(jx *x, jv v, const jargs *a)
{
    ja_check(x, a, "case_sensitive by reverse", 0);
    const jstr by_key = { "key", NULL, 3 }, *by = ja_str(x, a, 1, "by", &by_key);
    bool value = by->n == 5 && memcmp(by->p, "value", 5) == 0, exact = ja_bool(x, a, 0, "case_sensitive", false);
    if (v.kind == JV_UNDEF) ja_undefined(x, v);
    if (v.kind != JV_DICT) jx_fail(x, _("dictsort: a dict is wanted, not %s"), jv_type(v));
    if (!value && !(by->n == 3 && memcmp(by->p, "key", 3) == 0)) jx_fail(x, _("dictsort: by is \"key\" or \"value\""));
    const jargs none = { .what = "items" };
    jlist *l = jm_find(v, "items")->run(x, v, &none).u.l;
    key *k = jx_alloc(x, 2 * sizeof *k * (size_t)(l->n + 1));
    for (int i = 0; i < l->n; i++) k[i] = (key){ folded(x, l->v[i].u.l->v[value], exact), l->v[i] };
    sort(x, k, k + l->n, l->n, ja_bool(x, a, 2, "reverse", false));
    jv out = jv_list(x, JV_LIST, l->n);
    for (int i = 0; i < l->n; i++) jv_push(x, out, k[i].of);
    return out;
}

static jv best(jx *x, jv v, const jargs *a, int sign)
{
    jv path = jv_none();
    ja_check(x, a, "case_sensitive attribute", 0);
    ja_get(a, 1, "attribute", &path);
    jlist *l = jv_each(x, v);
    if (!l->n) return jv_undef(a->what);
    int at = 0;
    bool exact = ja_bool(x, a, 0, "case_sensitive", false);
    for (int i = 1; i < l->n; i++)
        if (sign * jv_order(x, sort_key(x, l->v[i], path, exact), sort_key(x, l->v[at], path, exact)) > 0) at = i;
    return l->v[at];
}
static jv f_max(jx *x, jv v, const jargs *a) { return best(x, v, a, 1); }
static jv f_min(jx *x, jv v, const jargs *a) { return best(x, v, a, -1); }

static jv f_unique(jx *x, jv v, const jargs *a)
{
    jv path = jv_none(), found;
    ja_check(x, a, "case_sensitive attribute", 0);
    ja_get(a, 1, "attribute", &path);
    bool exact = ja_bool(x, a, 0, "case_sensitive", false);
    jlist *l = jv_each(x, v);
    jv seen = jv_dict(x, JV_DICT), out = jv_view(x, JV_ITER, l->n);
    for (int i = 0; i < l->n; i++) {
        jv k = sort_key(x, l->v[i], path, exact);
        if (jv_find(x, seen, k, &found)) continue;
        jv_put(x, seen, k, jv_none());
        jv_push(x, out, l->v[i]);
    }
    return out;
}

static jv f_sum(jx *x, jv v, const jargs *a)
{
    jv path = jv_none(), sum = jv_int(0);
    ja_check(x, a, "attribute start", 0);
    ja_get(a, 0, "attribute", &path);
    ja_get(a, 1, "start", &sum);
    jlist *l = jv_each(x, v);
    for (int i = 0; i < l->n; i++) sum = jc_math(x, "+", sum, path.kind == JV_NONE ? l->v[i] : jc_path(x, l->v[i], path));
    return sum;
}

static jv f_batch(jx *x, jv v, const jargs *a)
{
    jv fill = jv_none(), out = jv_view(x, JV_ITER, 0), row = jv_none();
    ja_check(x, a, "linecount fill_with", 1);
    int64_t n = ja_int(x, a, 0, "linecount", 1);
    ja_get(a, 1, "fill_with", &fill);
    if (n < 1 || n > 1 << 20) jx_fail(x, _("batch: at least one in a row"));
    jlist *l = jv_each(x, v);
    for (int i = 0; i < l->n; i++) {
        if (row.kind == JV_NONE || row.u.l->n == n) {
            row = jv_list(x, JV_LIST, 0);
            jv_push(x, out, row);
        }
        jv_push(x, row, l->v[i]);
    }
    while (fill.kind != JV_NONE && row.kind == JV_LIST && row.u.l->n < n) jv_push(x, row, fill);
    return out;
}

/* ---- choosing ---- */
static jv choose(jx *x, jv v, const jargs *a, bool attribute, bool want)
{
    jv path = jv_none(), name = jv_none();
    int skip = attribute ? 1 : 0;
    if (attribute && !ja_get(a, 0, NULL, &path)) jx_fail(x, _("%s wants %d arguments"), a->what, 1);
    const jtest_row *test = NULL;
    if (ja_get(a, skip, NULL, &name)) {
        if (name.kind != JV_STR) jx_fail(x, _("%s: a text is wanted, not %s"), a->what, jv_type(name));
        const char *word = jv_text(x, name.u.s->p, name.u.s->n, NULL).u.s->p;
        test = je_find(word);
        if (!test) jx_fail(x, _("the test '%s' is not known here"), word);
        skip++;
    }
    jargs rest = { test ? test->name : a->what, a->v + skip, a->n - skip, a->name, a->named, a->n_named };
    jlist *l = jv_each(x, jv_true(x, v) ? v : jv_undef(NULL));      /* None too is empty here */
    jv out = jv_view(x, JV_ITER, 0);
    for (int i = 0; i < l->n; i++) {
        jv of = attribute ? jc_path(x, l->v[i], path) : l->v[i];
        jx_step(x, 1);
        jx_text(x, of);
        if ((test ? test->holds(x, of, &rest) : jv_true(x, of)) == want) jv_push(x, out, l->v[i]);
    }
    return out;
}
static jv f_select(jx *x, jv v, const jargs *a) { return choose(x, v, a, false, true); }
static jv f_reject(jx *x, jv v, const jargs *a) { return choose(x, v, a, false, false); }
static jv f_selectattr(jx *x, jv v, const jargs *a) { return choose(x, v, a, true, true); }
static jv f_rejectattr(jx *x, jv v, const jargs *a) { return choose(x, v, a, true, false); }

static jv f_map(jx *x, jv v, const jargs *a)
{
    jv path, otherwise, name;
    jlist *l = jv_each(x, jv_true(x, v) ? v : jv_undef(NULL));
    jv out = jv_view(x, JV_ITER, l->n);
    if (a->n == 0 && ja_get(a, -1, "attribute", &path)) {
        bool has = ja_get(a, -1, "default", &otherwise);
        for (int i = 0; i < l->n; i++) {
            jv got = jc_path(x, l->v[i], path);
            jv_push(x, out, has && got.kind == JV_UNDEF ? otherwise : got);
        }
        return out;
    }
    if (!ja_get(a, 0, NULL, &name) || name.kind != JV_STR) jx_fail(x, _("map wants a filter's name or attribute="));
    const char *word = jv_text(x, name.u.s->p, name.u.s->n, NULL).u.s->p;
    const jfilter_row *f = jf_find(word);
    if (!f) jx_fail(x, _("the filter '%s' is not known here"), word);
    jargs rest = { f->name, a->v + 1, a->n - 1, a->name, a->named, a->n_named };
    for (int i = 0; i < l->n; i++) {
        jx_step(x, 1);
        jx_text(x, l->v[i]);
        jv_push(x, out, f->run(x, l->v[i], &rest));
    }
    return out;
}

static const jfilter_row FILTERS[] = {
    { "abs", f_abs }, { "attr", f_attr }, { "batch", f_batch }, { "capitalize", f_capitalize }, { "center", f_center }, { "count", f_length },
    { "d", f_default }, { "default", f_default }, { "dictsort", f_dictsort }, { "e", f_escape }, { "escape", f_escape }, { "first", f_first },
    { "float", f_float }, { "forceescape", f_forceescape }, { "format", f_format }, { "indent", f_indent }, { "int", f_int }, { "items", f_items },
    { "join", f_join }, { "last", f_last }, { "length", f_length }, { "list", f_list }, { "lower", f_lower }, { "map", f_map }, { "max", f_max },
    { "min", f_min }, { "reject", f_reject }, { "rejectattr", f_rejectattr }, { "replace", f_replace }, { "reverse", f_reverse }, { "round", f_round },
    { "safe", f_safe }, { "select", f_select }, { "selectattr", f_selectattr }, { "sort", f_sort }, { "string", f_string }, { "sum", f_sum },
    { "title", f_title }, { "tojson", f_tojson }, { "trim", f_trim }, { "truncate", f_truncate }, { "unique", f_unique }, { "upper", f_upper },
    { "wordcount", f_wordcount },
};

const jfilter_row *jf_find(const char *name)
{
    for (size_t i = 0; i < sizeof FILTERS / sizeof *FILTERS; i++) if (strcmp(FILTERS[i].name, name) == 0) return &FILTERS[i];
    return NULL;
}
