/* engine/jinja/print: see print.h. */
#include "engine/jinja/print.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* float.__repr__: the shortest digits that read back as the same number; an exponent below 1e-4 and from 1e16 on. */
static void put_float(jb *b, double f, bool json)
{
    char s[40], digits[40], out[64];
    if (isnan(f) || isinf(f)) { jb_words(b, isnan(f) ? (json ? "NaN" : "nan") : f > 0 ? (json ? "Infinity" : "inf") : json ? "-Infinity" : "-inf"); return; }
    for (int p = 0; p < 17; p++) {
        snprintf(s, sizeof s, "%.*e", p, f);
        if (strtod(s, NULL) == f) break;
    }
    char *e = strchr(s, 'e');
    int exp = atoi(e + 1), n = 0;
    for (const char *p = s; p < e; p++) if (*p >= '0' && *p <= '9') digits[n++] = *p;
    digits[n] = 0;
    const char *minus = s[0] == '-' ? "-" : "";
    if (exp < -4 || exp >= 16) {
        snprintf(out, sizeof out, "%s%c%s%s%s%02d", minus, digits[0], n > 1 ? "." : "", digits + 1, exp < 0 ? "e-" : "e+", abs(exp));
    } else if (exp < 0) {
        snprintf(out, sizeof out, "%s0.%.*s%s", minus, -exp - 1, "0000", digits);
    } else if (n <= exp + 1) {
        snprintf(out, sizeof out, "%s%s%.*s.0", minus, digits, exp + 1 - n, "0000000000000000");
    } else snprintf(out, sizeof out, "%s%.*s.%s", minus, exp + 1, digits, digits + exp + 1);
    jb_words(b, out);
}

bool jp_printable(uint32_t cp)
{
    if (cp == ' ') return true;
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_CN: case UTF8PROC_CATEGORY_CC: case UTF8PROC_CATEGORY_CF: case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO: case UTF8PROC_CATEGORY_ZL: case UTF8PROC_CATEGORY_ZP: case UTF8PROC_CATEGORY_ZS: return false;
    default: return true;
    }
}

/* Digits of an escape belong to whom the character belongs to. */
static void escape(jb *b, char mark, const char *fmt, unsigned cp)
{
    char s[16];
    int n = snprintf(s, sizeof s, fmt, cp);
    for (int i = 0; i < n; i++) jb_char(b, s[i], mark);
}

static void repr_str(jb *b, const jstr *s)
{
    char q = s->n && memchr(s->p, '\'', s->n) && !memchr(s->p, '"', s->n) ? '"' : '\'';
    jb_char(b, q, 0);
    uint32_t cp;
    for (size_t i = 0, k; i < s->n; i += k) {
        k = (size_t)q_utf8_next(s->p + i, s->n - i, &cp);
        char m = js_mark(s, i);
        if (cp == (unsigned char)q || cp == '\\') { jb_char(b, '\\', m); jb_char(b, (char)cp, m); }
        else if (cp == '\n' || cp == '\r' || cp == '\t') { jb_char(b, '\\', m); jb_char(b, cp == '\n' ? 'n' : cp == '\r' ? 'r' : 't', m); }
        else if (jp_printable(cp)) jb_add(b, s->p + i, k, s->mark ? s->mark + i : NULL);
        else escape(b, m, cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
    }
    jb_char(b, q, 0);
}

static void repr_list(jb *b, const char *open, const jlist *l, const char *close)
{
    jb_words(b, open);
    for (int i = 0; i < l->n; i++) {
        if (i) jb_words(b, ", ");
        jp_repr(b, l->v[i]);
    }
    jb_words(b, close);
}

static void repr_dict(jb *b, const jdict *d)
{
    jb_char(b, '{', 0);
    for (int i = 0; i < d->n; i++) {
        if (i) jb_words(b, ", ");
        jp_repr(b, d->key[i]);
        jb_words(b, ": ");
        jp_repr(b, d->val[i]);
    }
    jb_char(b, '}', 0);
}

static void repr_view(jb *b, jv v)
{
    const jlist *l = v.u.l;
    if (v.sub == JV_ITER) jx_fail(b->x, _("a generator is written out: its text would name a place in memory; put |list behind it"));
    if (v.sub == JV_RANGE) {
        char s[80];
        int64_t first = l->n ? l->v[0].u.i : 0, step = l->n > 1 ? l->v[1].u.i - first : 1, last = l->n ? l->v[l->n - 1].u.i + (step > 0 ? 1 : -1) : 0;
        snprintf(s, sizeof s, step == 1 ? "range(%lld, %lld)" : "range(%lld, %lld, %lld)", (long long)first, (long long)last, (long long)step);
        jb_words(b, s);
        return;
    }
    jb_words(b, jv_type(v));
    repr_list(b, "([", l, "])");
}

void jp_repr(jb *b, jv v)
{
    char n[32];
    jx_step(b->x, 1);
    jx_deeper(b->x);
    switch (v.kind) {
    case JV_UNDEF: jb_words(b, "Undefined"); break;
    case JV_NONE: jb_words(b, "None"); break;
    case JV_BOOL: jb_words(b, v.u.b ? "True" : "False"); break;
    case JV_INT: snprintf(n, sizeof n, "%lld", (long long)v.u.i); jb_words(b, n); break;
    case JV_FLOAT: put_float(b, v.u.f, false); break;
    case JV_STR:
        if (v.sub) jb_words(b, "Markup(");
        repr_str(b, v.u.s);
        if (v.sub) jb_words(b, ")");
        break;
    case JV_LIST: repr_list(b, "[", v.u.l, "]"); break;
    case JV_TUPLE: repr_list(b, "(", v.u.l, v.u.l->n == 1 ? ",)" : ")"); break;
    case JV_VIEW: repr_view(b, v); break;
    case JV_DICT: repr_dict(b, v.u.d); break;
    case JV_SPACE: jb_words(b, "<Namespace "); repr_dict(b, v.u.d); jb_words(b, ">"); break;
    default: jx_fail(b->x, _("a value of the kind %s is written out: its text would name a place in memory"), jv_type(v));
    }
    b->x->depth--;
}

void jp_str(jb *b, jv v)
{
    if (v.kind == JV_STR) jb_str(b, v.u.s);
    else if (v.kind != JV_UNDEF) jp_repr(b, v);
}

jv jp_to_str(jx *x, jv v)
{
    if (v.kind == JV_STR) return v;
    jb b = { .x = x };
    jp_str(&b, v);
    return jb_take(&b);
}

/* ---- JSON ---- */
static void json_str(jb *b, const jstr *s, bool ascii)
{
    static const char shorts[] = "\"\"\\\\\nn\rr\tt\ff\bb";
    jb_char(b, '"', 0);
    uint32_t cp;
    for (size_t i = 0, k; i < s->n; i += k) {
        k = (size_t)q_utf8_next(s->p + i, s->n - i, &cp);
        char m = js_mark(s, i);
        const char *at = NULL;
        for (const char *p = shorts; *p && cp < 0x80 && !at; p += 2) if ((unsigned char)*p == cp) at = p;
        if (at) { jb_char(b, '\\', m); jb_char(b, at[1], m); }
        else if (cp < 0x20) escape(b, m, "\\u%04x", cp);
        else if (ascii && cp > 0xFFFF) { escape(b, m, "\\u%04x", 0xD800 + ((cp - 0x10000) >> 10)); escape(b, m, "\\u%04x", 0xDC00 + ((cp - 0x10000) & 0x3FF)); }
        else if (ascii && cp > 0x7E) escape(b, m, cp == 0x7F ? "%c" : "\\u%04x", cp);
        else jb_add(b, s->p + i, k, s->mark ? s->mark + i : NULL);
    }
    jb_char(b, '"', 0);
}

static void json_key(jb *b, jv k, bool ascii)
{
    if (k.kind == JV_STR) { json_str(b, k.u.s, ascii); return; }
    if (k.kind > JV_FLOAT || k.kind == JV_UNDEF) jx_fail(b->x, _("tojson: a key must be a text or a number, not %s"), jv_type(k));
    jb_char(b, '"', 0);
    if (k.kind == JV_FLOAT) put_float(b, k.u.f, true);
    else if (k.kind == JV_INT) jp_repr(b, k);
    else jb_words(b, k.kind == JV_NONE ? "null" : k.u.b ? "true" : "false");
    jb_char(b, '"', 0);
}

static void newline(jb *b, const jp_json *o, int level)
{
    if (!o->indent) return;
    jb_char(b, '\n', 0);
    for (int i = 0; i < level; i++) jb_str(b, o->indent);
}

static void dump(jb *b, jv v, const jp_json *o, int level);

static void between(jb *b, const jp_json *o, int i, int level)
{
    if (i && o->item) jb_str(b, o->item);
    else if (i) jb_words(b, o->indent ? "," : ", ");
    newline(b, o, level);
}

static int by_key(jx *x, const jdict *d, int *order)
{
    for (int i = 0; i < d->n; i++) {
        int at = i;
        for (; at > 0 && jv_order(x, d->key[order[at - 1]], d->key[i]) > 0; at--) order[at] = order[at - 1];
        order[at] = i;
    }
    return d->n;
}

static void dump_dict(jb *b, const jdict *d, const jp_json *o, int level)
{
    int *order = jx_alloc(b->x, sizeof *order * (size_t)(d->n + 1));
    for (int i = 0; i < d->n; i++) order[i] = i;
    if (o->sort) by_key(b->x, d, order);
    jb_char(b, '{', 0);
    for (int i = 0; i < d->n; i++) {
        between(b, o, i, level + 1);
        json_key(b, d->key[order[i]], o->ascii);
        if (o->key) jb_str(b, o->key);
        else jb_words(b, ": ");
        dump(b, d->val[order[i]], o, level + 1);
    }
    if (d->n) newline(b, o, level);
    jb_char(b, '}', 0);
}

static void dump(jb *b, jv v, const jp_json *o, int level)
{
    jx_step(b->x, 1);
    jx_deeper(b->x);
    switch (v.kind) {
    case JV_NONE: jb_words(b, "null"); break;
    case JV_BOOL: jb_words(b, v.u.b ? "true" : "false"); break;
    case JV_INT: jp_repr(b, v); break;
    case JV_FLOAT: put_float(b, v.u.f, true); break;
    case JV_STR: json_str(b, v.u.s, o->ascii); break;
    case JV_LIST:
    case JV_TUPLE:
        jb_char(b, '[', 0);
        for (int i = 0; i < v.u.l->n; i++) {
            between(b, o, i, level + 1);
            dump(b, v.u.l->v[i], o, level + 1);
        }
        if (v.u.l->n) newline(b, o, level);
        jb_char(b, ']', 0);
        break;
    case JV_DICT: dump_dict(b, v.u.d, o, level); break;
    default: jx_fail(b->x, _("tojson: a value of the kind %s has no JSON"), jv_type(v));
    }
    b->x->depth--;
}

void jp_dump(jb *b, jv v, const jp_json *o) { dump(b, v, o, 0); }
