/* engine/jinja/methods: see methods.h. */
#include "engine/jinja/methods.h"
#include "engine/jinja/print.h"
#include "engine/jinja/text.h"

#include <stdlib.h>
#include <string.h>

/* ---- texts ---- */
static jv safe_as(jv v, jv self) { if (v.kind == JV_STR) v.sub = self.sub; return v; }

static jv strip(jx *x, jv s, const jargs *a, int sides)
{
    ja_check(x, a, "chars", 0);
    return safe_as(jt_strip(x, s.u.s, ja_str(x, a, 0, NULL, NULL), sides), s);
}
static jv m_strip(jx *x, jv s, const jargs *a) { return strip(x, s, a, JT_LEFT | JT_RIGHT); }
static jv m_lstrip(jx *x, jv s, const jargs *a) { return strip(x, s, a, JT_LEFT); }
static jv m_rstrip(jx *x, jv s, const jargs *a) { return strip(x, s, a, JT_RIGHT); }

static jv split(jx *x, jv s, const jargs *a, bool right)
{
    ja_check(x, a, "sep maxsplit", 0);
    return jt_split(x, s.u.s, ja_str(x, a, 0, "sep", NULL), ja_int(x, a, 1, "maxsplit", -1), right);
}
static jv m_split(jx *x, jv s, const jargs *a) { return split(x, s, a, false); }
static jv m_rsplit(jx *x, jv s, const jargs *a) { return split(x, s, a, true); }
static jv m_splitlines(jx *x, jv s, const jargs *a)
{
    ja_check(x, a, "keepends", 0);
    return jt_lines(x, s.u.s, ja_bool(x, a, 0, "keepends", false));
}

static jv m_replace(jx *x, jv s, const jargs *a)
{
    ja_check(x, a, "old new count", 2);
    const jstr *old = ja_str(x, a, 0, NULL, NULL), *with = ja_str(x, a, 1, NULL, NULL);
    if (!old || !with) jx_fail(x, _("%s: a text is wanted, not %s"), a->what, "NoneType");
    return safe_as(jt_replace(x, s.u.s, old, with, ja_int(x, a, 2, "count", -1)), s);
}

/* The part of s that start and end of startswith, find, count leave; *from: its first character. */
static const jstr *within(jx *x, jv s, const jargs *a, int64_t *from)
{
    jv v;
    int64_t start = ja_get(a, 1, NULL, &v) && v.kind != JV_NONE ? ja_int(x, a, 1, NULL, 0) : 0, stop = ja_get(a, 2, NULL, &v) && v.kind != JV_NONE ? ja_int(x, a, 2, NULL, 0) : INT64_MAX;
    int64_t n = (int64_t)js_count(s.u.s), to;
    jt_indices(x, n, &start, &stop, 1, from, &to);
    return jt_slice(x, s.u.s, &start, &stop, 1).u.s;
}

static jv affix(jx *x, jv s, const jargs *a, bool (*has)(const jstr *, const jstr *))
{
    jv what;
    int64_t from;
    ja_check(x, a, "prefix start end", 1);
    const jstr *in = within(x, s, a, &from);
    ja_get(a, 0, NULL, &what);
    if (what.kind != JV_TUPLE) {
        const jstr *one = ja_str(x, a, 0, NULL, NULL);
        if (!one) jx_fail(x, _("%s: a text is wanted, not %s"), a->what, "NoneType");
        return jv_bool(has(in, one));
    }
    for (int i = 0; i < what.u.l->n; i++) {
        if (what.u.l->v[i].kind != JV_STR) jx_fail(x, _("%s: a text is wanted, not %s"), a->what, jv_type(what.u.l->v[i]));
        jx_text(x, what.u.l->v[i]);
        if (has(in, what.u.l->v[i].u.s)) return jv_bool(true);
    }
    return jv_bool(false);
}
static jv m_startswith(jx *x, jv s, const jargs *a) { return affix(x, s, a, jt_begins); }
static jv m_endswith(jx *x, jv s, const jargs *a) { return affix(x, s, a, jt_ends); }

static jv find(jx *x, jv s, const jargs *a, bool right, bool must)
{
    int64_t from;
    ja_check(x, a, "sub start end", 1);
    const jstr *in = within(x, s, a, &from), *what = ja_str(x, a, 0, NULL, NULL);
    if (!what) jx_fail(x, _("%s: a text is wanted, not %s"), a->what, "NoneType");
    long at = right ? jt_rfind(x, in, what) : jt_find(in, what, 0);
    if (at < 0 && must) jx_fail(x, _("%s: the text is not in it"), a->what);
    const jstr head = { in->p, NULL, at < 0 ? 0 : (size_t)at };
    return jv_int(at < 0 ? -1 : from + (int64_t)js_count(&head));
}
static jv m_find(jx *x, jv s, const jargs *a) { return find(x, s, a, false, false); }
static jv m_rfind(jx *x, jv s, const jargs *a) { return find(x, s, a, true, false); }
static jv m_index(jx *x, jv s, const jargs *a) { return find(x, s, a, false, true); }
static jv m_rindex(jx *x, jv s, const jargs *a) { return find(x, s, a, true, true); }

static jv m_count(jx *x, jv s, const jargs *a)
{
    int64_t from, n = 0;
    ja_check(x, a, "sub start end", 1);
    const jstr *in = within(x, s, a, &from), *what = ja_str(x, a, 0, NULL, NULL);
    if (!what) jx_fail(x, _("%s: a text is wanted, not %s"), a->what, "NoneType");
    if (!what->n) return jv_int((int64_t)js_count(in) + 1);
    for (long at = 0; (at = jt_find(in, what, (size_t)at)) >= 0; at += (long)what->n) n++;
    return jv_int(n);
}

static jv cased(jx *x, jv s, const jargs *a, enum jt_case how)
{
    ja_check(x, a, "", 0);
    return safe_as(jt_cased(x, s.u.s, how), s);
}
static jv m_upper(jx *x, jv s, const jargs *a) { return cased(x, s, a, JT_UPPER); }
static jv m_lower(jx *x, jv s, const jargs *a) { return cased(x, s, a, JT_LOWER); }
static jv m_title(jx *x, jv s, const jargs *a) { return cased(x, s, a, JT_TITLE); }
static jv m_capitalize(jx *x, jv s, const jargs *a) { return cased(x, s, a, JT_CAPITAL); }
static jv m_swapcase(jx *x, jv s, const jargs *a) { return cased(x, s, a, JT_SWAP); }

static jv all(jx *x, jv s, const jargs *a, bool (*of)(uint32_t))
{
    ja_check(x, a, "", 0);
    return jv_bool(jt_all(s.u.s, of));
}
static bool ascii(uint32_t cp) { return cp < 0x80; }
static jv m_isalpha(jx *x, jv s, const jargs *a) { return all(x, s, a, jt_alpha); }
static jv m_isalnum(jx *x, jv s, const jargs *a) { return all(x, s, a, jt_alnum); }
static jv m_isdigit(jx *x, jv s, const jargs *a) { return all(x, s, a, jt_digit); }
static jv m_isspace(jx *x, jv s, const jargs *a) { return all(x, s, a, jt_space); }
static jv m_isascii(jx *x, jv s, const jargs *a) { return jv_bool(s.u.s->n == 0 || jv_true(x, all(x, s, a, ascii))); }
static jv m_isprintable(jx *x, jv s, const jargs *a) { return jv_bool(s.u.s->n == 0 || jv_true(x, all(x, s, a, jp_printable))); }
static jv m_isupper(jx *x, jv s, const jargs *a) { return jv_bool(jt_is_cased(s.u.s, true)); }
static jv m_islower(jx *x, jv s, const jargs *a) { return jv_bool(jt_is_cased(s.u.s, false)); }

static jv m_join(jx *x, jv s, const jargs *a)
{
    jv of;
    ja_check(x, a, "iterable", 1);
    ja_get(a, 0, NULL, &of);
    jlist *l = jv_each(x, of);
    jb b = { .x = x };
    for (int i = 0; i < l->n; i++) {
        if (l->v[i].kind != JV_STR) jx_fail(x, _("%s: a text is wanted, not %s"), a->what, jv_type(l->v[i]));
        if (i) jb_str(&b, s.u.s);
        jb_str(&b, l->v[i].u.s);
    }
    return safe_as(jb_take(&b), s);
}

static jv without(jx *x, jv s, const jargs *a, bool at_end)
{
    ja_check(x, a, "part", 1);
    const jstr *part = ja_str(x, a, 0, NULL, NULL);
    if (!part) jx_fail(x, _("%s: a text is wanted, not %s"), a->what, "NoneType");
    if (!part->n || !(at_end ? jt_ends : jt_begins)(s.u.s, part)) return s;
    return at_end ? jv_part(x, s.u.s, 0, s.u.s->n - part->n) : jv_part(x, s.u.s, part->n, s.u.s->n);
}
static jv m_removeprefix(jx *x, jv s, const jargs *a) { return without(x, s, a, false); }
static jv m_removesuffix(jx *x, jv s, const jargs *a) { return without(x, s, a, true); }

static jv partition(jx *x, jv s, const jargs *a, bool right)
{
    ja_check(x, a, "sep", 1);
    const jstr *sep = ja_str(x, a, 0, NULL, NULL);
    if (!sep || !sep->n) jx_fail(x, _("split: an empty separator"));
    long at = right ? jt_rfind(x, s.u.s, sep) : jt_find(s.u.s, sep, 0);
    jv out = jv_list(x, JV_TUPLE, 3);
    if (at < 0) {
        if (!right) jv_push(x, out, s);
        jv_push(x, out, jv_words(x, ""));
        jv_push(x, out, jv_words(x, ""));
        if (right) jv_push(x, out, s);
        return out;
    }
    jv_push(x, out, jv_part(x, s.u.s, 0, (size_t)at));
    jv_push(x, out, jv_part(x, s.u.s, (size_t)at, (size_t)at + sep->n));
    jv_push(x, out, jv_part(x, s.u.s, (size_t)at + sep->n, s.u.s->n));
    return out;
}
static jv m_partition(jx *x, jv s, const jargs *a) { return partition(x, s, a, false); }
static jv m_rpartition(jx *x, jv s, const jargs *a) { return partition(x, s, a, true); }

static jv pad(jx *x, jv s, const jargs *a, bool left, bool right)
{
    ja_check(x, a, "width fill", 1);
    const jstr *fill = ja_str(x, a, 1, NULL, NULL);
    if (fill && fill->n != 1) jx_fail(x, _("%s: filled with one ASCII character only"), a->what);
    return jt_pad(x, s.u.s, ja_int(x, a, 0, NULL, 0), fill ? fill->p[0] : ' ', left, right);
}
static jv m_rjust(jx *x, jv s, const jargs *a) { return pad(x, s, a, true, false); }
static jv m_ljust(jx *x, jv s, const jargs *a) { return pad(x, s, a, false, true); }
static jv m_center(jx *x, jv s, const jargs *a) { return pad(x, s, a, true, true); }
static jv m_zfill(jx *x, jv s, const jargs *a)
{
    ja_check(x, a, "width", 1);
    bool sign = s.u.s->n && (s.u.s->p[0] == '-' || s.u.s->p[0] == '+');
    jv rest = jt_pad(x, jv_part(x, s.u.s, sign, s.u.s->n).u.s, ja_int(x, a, 0, NULL, 0) - sign, '0', true, false);
    jb b = { .x = x };
    if (sign) jb_str(&b, jv_part(x, s.u.s, 0, 1).u.s);
    jb_str(&b, rest.u.s);
    return jb_take(&b);
}

/* ---- formats ---- */
/* One field of str.format, {} {0} {name} with !r or !s; what else Python has for it is refused by name. */
static void field(jx *x, jb *b, const jstr *f, const jargs *a, int *number)
{
    char name[64] = "", *how;
    if (f->n >= sizeof name) jx_fail(x, _("format: the field is too long"));
    memcpy(name, f->p, f->n);
    jv v;
    if (strpbrk(name, ":.[{")) jx_fail(x, _("format: the field {%s} is not known here"), name);
    how = strchr(name, '!');
    if (how) *how++ = 0;
    bool counted = !*name, digits = *name && strspn(name, "0123456789") == strlen(name);
    int at = counted ? (*number)++ : digits && strlen(name) < 6 ? (int)strtol(name, NULL, 10) : -1;
    if (!(at >= 0 ? ja_get(a, at, NULL, &v) : ja_get(a, -1, name, &v))) jx_fail(x, _("format: nothing was given for the field {%s}"), name);
    if (how && strcmp(how, "r") == 0) jp_repr(b, v);
    else if (!how || strcmp(how, "s") == 0) jp_str(b, v);
    else jx_fail(x, _("format: the field {%s} is not known here"), how);
}

static jv m_format(jx *x, jv self, const jargs *a)
{
    const jstr *s = self.u.s;
    jb b = { .x = x };
    int number = 0;
    for (size_t i = 0; i < s->n;) {
        char c = s->p[i];
        if ((c == '{' || c == '}') && i + 1 < s->n && s->p[i + 1] == c) {
            jb_char(&b, c, js_mark(s, i));
            i += 2;
        } else if (c == '{') {
            const char *end = memchr(s->p + i, '}', s->n - i);
            if (!end) jx_fail(x, _("format: a bracket has no counterpart"));
            field(x, &b, jv_part(x, s, i + 1, (size_t)(end - s->p)).u.s, a, &number);
            i = (size_t)(end - s->p) + 1;
        } else if (c == '}') jx_fail(x, _("format: a bracket has no counterpart"));
        else {
            size_t k = 1;
            while (i + k < s->n && s->p[i + k] != '{' && s->p[i + k] != '}') k++;
            jb_str(&b, jv_part(x, s, i, i + k).u.s);
            i += k;
        }
    }
    return safe_as(jb_take(&b), self);
}

jv jm_percent(jx *x, const jstr *s, jv args)
{
    jb b = { .x = x };
    bool tuple = args.kind == JV_TUPLE;
    int used = 0, n = tuple ? args.u.l->n : 1;
    for (size_t i = 0; i < s->n; i++) {
        if (s->p[i] != '%') { jb_str(&b, jv_part(x, s, i, i + 1).u.s); continue; }
        char c = ++i < s->n ? s->p[i] : 0;
        if (c == '%') { jb_char(&b, '%', js_mark(s, i)); continue; }
        if (!c || !strchr("srdi", c)) jx_fail(x, _("%%: what stands behind the percent sign is not known here"));
        if (used == n) jx_fail(x, _("%%: too few values for the text"));
        jv v = tuple ? args.u.l->v[used++] : args;
        used += !tuple;
        if (c == 's') jp_str(&b, v);
        else if (c == 'r') jp_repr(&b, v);
        else if (v.kind == JV_INT || v.kind == JV_BOOL) jp_repr(&b, jv_int(v.kind == JV_INT ? v.u.i : v.u.b));
        else if (v.kind == JV_FLOAT && v.u.f > -9e18 && v.u.f < 9e18) jp_repr(&b, jv_int((int64_t)v.u.f));
        else jx_fail(x, _("%%d: a number is wanted, not %s"), jv_type(v));
    }
    if (used < n && args.kind != JV_DICT && (tuple || args.kind == JV_STR || args.kind <= JV_FLOAT)) jx_fail(x, _("%%: too many values for the text"));
    return jb_take(&b);
}

/* ---- lists and dicts ---- */
static jv l_index(jx *x, jv l, const jargs *a)
{
    jv what;
    ja_check(x, a, "value", 1);
    ja_get(a, 0, NULL, &what);
    jx_step(x, (size_t)l.u.l->n);
    for (int i = 0; i < l.u.l->n; i++) if (jv_equal(x, l.u.l->v[i], what)) return jv_int(i);
    jx_fail(x, _("%s: the value is not in it"), a->what);
}

static jv l_count(jx *x, jv l, const jargs *a)
{
    jv what;
    int64_t n = 0;
    ja_check(x, a, "value", 1);
    ja_get(a, 0, NULL, &what);
    jx_step(x, (size_t)l.u.l->n);
    for (int i = 0; i < l.u.l->n; i++) n += jv_equal(x, l.u.l->v[i], what);
    return jv_int(n);
}

static jv l_copy(jx *x, jv l, const jargs *a)
{
    ja_check(x, a, "", 0);
    jv out = jv_list(x, JV_LIST, l.u.l->n);
    for (int i = 0; i < l.u.l->n; i++) jv_push(x, out, l.u.l->v[i]);
    return out;
}

static jv view(jx *x, jv d, const jargs *a, enum jv_view how)
{
    ja_check(x, a, "", 0);
    jv out = jv_view(x, (uint8_t)how, d.u.d->n);
    for (int i = 0; i < d.u.d->n; i++) {
        jv pair = how == JV_ITEMS ? jv_list(x, JV_TUPLE, 2) : jv_none();
        if (how == JV_ITEMS) {
            jv_push(x, pair, d.u.d->key[i]);
            jv_push(x, pair, d.u.d->val[i]);
        }
        jv_push(x, out, how == JV_ITEMS ? pair : how == JV_KEYS ? d.u.d->key[i] : d.u.d->val[i]);
    }
    return out;
}
static jv d_items(jx *x, jv d, const jargs *a) { return view(x, d, a, JV_ITEMS); }
static jv d_keys(jx *x, jv d, const jargs *a) { return view(x, d, a, JV_KEYS); }
static jv d_values(jx *x, jv d, const jargs *a) { return view(x, d, a, JV_VALUES); }

static jv d_get(jx *x, jv d, const jargs *a)
{
    jv key, out = jv_none();
    ja_check(x, a, "key default", 1);
    ja_get(a, 0, NULL, &key);
    if (a->n_named) jx_fail(x, _("%s has no argument %s"), a->what, a->name[0]);
    if (!jv_find(x, d, key, &out)) ja_get(a, 1, NULL, &out);
    return out;
}

static jv d_copy(jx *x, jv d, const jargs *a)
{
    ja_check(x, a, "", 0);
    jv out = jv_dict(x, JV_DICT);
    for (int i = 0; i < d.u.d->n; i++) jv_put(x, out, d.u.d->key[i], d.u.d->val[i]);
    return out;
}

/* All the names that Python's own have are here: where a dict has no such key, dict['items'] is the method. */
static const jmethod_row METHODS[] = {
    { JV_STR, "strip", m_strip, false }, { JV_STR, "lstrip", m_lstrip, false }, { JV_STR, "rstrip", m_rstrip, false },
    { JV_STR, "split", m_split, false }, { JV_STR, "rsplit", m_rsplit, false }, { JV_STR, "splitlines", m_splitlines, false },
    { JV_STR, "replace", m_replace, false }, { JV_STR, "startswith", m_startswith, false }, { JV_STR, "endswith", m_endswith, false },
    { JV_STR, "find", m_find, false }, { JV_STR, "rfind", m_rfind, false }, { JV_STR, "index", m_index, false }, { JV_STR, "rindex", m_rindex, false },
    { JV_STR, "count", m_count, false }, { JV_STR, "upper", m_upper, false }, { JV_STR, "lower", m_lower, false }, { JV_STR, "title", m_title, false },
    { JV_STR, "capitalize", m_capitalize, false }, { JV_STR, "swapcase", m_swapcase, false }, { JV_STR, "isalpha", m_isalpha, false },
    { JV_STR, "isalnum", m_isalnum, false }, { JV_STR, "isdigit", m_isdigit, false }, { JV_STR, "isspace", m_isspace, false },
    { JV_STR, "isascii", m_isascii, false }, { JV_STR, "isprintable", m_isprintable, false }, { JV_STR, "isupper", m_isupper, false },
    { JV_STR, "islower", m_islower, false }, { JV_STR, "join", m_join, false }, { JV_STR, "removeprefix", m_removeprefix, false },
    { JV_STR, "removesuffix", m_removesuffix, false }, { JV_STR, "partition", m_partition, false }, { JV_STR, "rpartition", m_rpartition, false },
    { JV_STR, "rjust", m_rjust, false }, { JV_STR, "ljust", m_ljust, false }, { JV_STR, "center", m_center, false }, { JV_STR, "zfill", m_zfill, false },
    { JV_STR, "format", m_format, false }, { JV_STR, "format_map", NULL, false }, { JV_STR, "encode", NULL, false }, { JV_STR, "casefold", NULL, false },
    { JV_STR, "expandtabs", NULL, false }, { JV_STR, "translate", NULL, false }, { JV_STR, "maketrans", NULL, false }, { JV_STR, "istitle", NULL, false },
    { JV_STR, "isidentifier", NULL, false }, { JV_STR, "isnumeric", NULL, false }, { JV_STR, "isdecimal", NULL, false },
    { JV_LIST, "index", l_index, false }, { JV_LIST, "count", l_count, false }, { JV_LIST, "copy", l_copy, false },
    { JV_LIST, "append", NULL, true }, { JV_LIST, "clear", NULL, true }, { JV_LIST, "extend", NULL, true }, { JV_LIST, "insert", NULL, true },
    { JV_LIST, "pop", NULL, true }, { JV_LIST, "remove", NULL, true }, { JV_LIST, "reverse", NULL, true }, { JV_LIST, "sort", NULL, true },
    { JV_TUPLE, "index", l_index, false }, { JV_TUPLE, "count", l_count, false },
    { JV_DICT, "items", d_items, false }, { JV_DICT, "keys", d_keys, false }, { JV_DICT, "values", d_values, false }, { JV_DICT, "get", d_get, false },
    { JV_DICT, "copy", d_copy, false }, { JV_DICT, "fromkeys", NULL, false }, { JV_DICT, "clear", NULL, true }, { JV_DICT, "pop", NULL, true },
    { JV_DICT, "popitem", NULL, true }, { JV_DICT, "setdefault", NULL, true }, { JV_DICT, "update", NULL, true },
    { JV_INT, "bit_length", NULL, false }, { JV_INT, "bit_count", NULL, false }, { JV_INT, "as_integer_ratio", NULL, false }, { JV_INT, "conjugate", NULL, false },
    { JV_INT, "to_bytes", NULL, false }, { JV_INT, "from_bytes", NULL, false },
    { JV_FLOAT, "is_integer", NULL, false }, { JV_FLOAT, "hex", NULL, false }, { JV_FLOAT, "fromhex", NULL, false }, { JV_FLOAT, "as_integer_ratio", NULL, false },
    { JV_FLOAT, "conjugate", NULL, false },
};

const jmethod_row *jm_find(jv of, const char *name)
{
    uint8_t kind = of.kind == JV_BOOL ? JV_INT : of.kind;
    for (size_t i = 0; i < sizeof METHODS / sizeof *METHODS; i++)
        if (METHODS[i].kind == kind && strcmp(METHODS[i].name, name) == 0) return &METHODS[i];
    return NULL;
}
