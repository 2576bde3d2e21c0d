/* engine/jinja/value: see value.h. */
#include "engine/jinja/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory, bounds, failure ---- */
enum { BLOCK = 16 << 10 };

void *jx_alloc(jx *x, size_t n)
{
    n = (n + 15) & ~(size_t)15;
    jx_block *b = x->memory;
    if (!b || b->size - b->used < n) {
        if (n > x->most || x->held > x->most - n)
            jx_fail(x, _("more memory than %zu MiB is wanted: the conversation is too long for this template"), x->most >> 20);
        size_t size = n > BLOCK ? n : BLOCK;
        b = calloc(1, sizeof *b + size);
        if (!b) jx_fail(x, _("there is not enough memory"));
        b->size = size;
        x->held += size;
        if (size > BLOCK && x->memory) {               /* behind the one that still has room */
            b->next = x->memory->next;
            x->memory->next = b;
        } else {
            b->next = x->memory;
            x->memory = b;
        }
    }
    void *p = b->bytes + b->used;
    b->used += n;
    return p;
}

void jx_free(jx *x)
{
    for (jx_block *b = x->memory, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    x->memory = NULL;
}

void jx_fail(jx *x, const char *fmt, ...)
{
    char what[Q_ERRLEN];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    what[q_utf8_whole(what, strlen(what))] = 0;
    if (x->line) x->code = q_fail(x->err, Q_FORMAT, _("the chat template, line %d, column %d: %s"), x->line, x->col, what);
    else x->code = q_fail(x->err, Q_FORMAT, "%s", what);
    longjmp(x->out, 1);
}

void jx_step(jx *x, size_t n)
{
    x->steps += n;
    if (x->steps > x->most_steps) jx_fail(x, _("it takes more than %llu steps: it goes round without an end, or the conversation is too long for it"), (unsigned long long)x->most_steps);
}

void jx_text(jx *x, jv v)
{
    if (v.kind == JV_STR) jx_step(x, v.u.s->n / 8);
}

void jx_deeper(jx *x)
{
    if (++x->depth > JX_DEPTH) jx_fail(x, _("it goes deeper than %d levels"), JX_DEPTH);
}

/* ---- strings ---- */
static jv of_str(jx *x, const char *p, size_t n, const char *mark)
{
    jstr *s = jx_alloc(x, sizeof *s);
    *s = (jstr){ p, mark, n };
    return (jv){ .kind = JV_STR, .u.s = s };
}

jv jv_text(jx *x, const char *p, size_t n, const char *mark)
{
    char *copy = jx_alloc(x, n + 1), *marks = NULL;
    if (n) memcpy(copy, p, n);
    if (mark && n) {
        marks = jx_alloc(x, n);
        memcpy(marks, mark, n);
    }
    return of_str(x, copy, n, marks);
}

jv jv_words(jx *x, const char *s) { return of_str(x, s, strlen(s), NULL); }
jv jv_part(jx *x, const jstr *s, size_t from, size_t to) { return of_str(x, s->p + from, to - from, s->mark ? s->mark + from : NULL); }
bool jv_is(jv v, const char *word) { return v.kind == JV_STR && v.u.s->n == strlen(word) && memcmp(v.u.s->p, word, v.u.s->n) == 0; }

void jb_add(jb *b, const char *p, size_t n, const char *mark)
{
    if (b->n + n + 1 > b->cap) {
        size_t cap = b->cap ? b->cap : 32;
        while (cap < b->n + n + 1) cap *= 2;
        char *q = jx_alloc(b->x, cap);
        if (b->n) memcpy(q, b->p, b->n);
        b->p = q;
        if (b->mark) {
            char *m = jx_alloc(b->x, cap);
            memcpy(m, b->mark, b->n);
            b->mark = m;
        }
        b->cap = cap;
    }
    if (!n) return;
    if (mark && !b->mark) b->mark = jx_alloc(b->x, b->cap);
    memcpy(b->p + b->n, p, n);
    if (b->mark && mark) memcpy(b->mark + b->n, mark, n);
    else if (b->mark) memset(b->mark + b->n, 0, n);
    b->n += n;
    jx_step(b->x, n / 64);
}

void jb_str(jb *b, const jstr *s) { jb_add(b, s->p, s->n, s->mark); }
void jb_words(jb *b, const char *s) { jb_add(b, s, strlen(s), NULL); }
void jb_char(jb *b, char c, char mark) { jb_add(b, &c, 1, mark ? &mark : NULL); }

void jb_cp(jb *b, uint32_t cp, char mark)
{
    char s[4], m[4] = { mark, mark, mark, mark };
    jb_add(b, s, (size_t)q_utf8_put(s, cp), mark ? m : NULL);
}

jv jb_take(jb *b)
{
    jv v = of_str(b->x, b->p ? b->p : "", b->n, b->mark);
    *b = (jb){ .x = b->x };
    return v;
}

size_t js_count(const jstr *s)
{
    size_t n = 0;
    uint32_t cp;
    for (size_t i = 0; i < s->n; n++) i += (size_t)q_utf8_next(s->p + i, s->n - i, &cp);
    return n;
}

size_t js_at(const jstr *s, size_t characters)
{
    size_t i = 0;
    uint32_t cp;
    for (; characters && i < s->n; characters--) i += (size_t)q_utf8_next(s->p + i, s->n - i, &cp);
    return i;
}

/* ---- lists and dicts ---- */
static jlist *list_new(jx *x, int cap)
{
    jlist *l = jx_alloc(x, sizeof *l);
    if (cap > 0) l->v = jx_alloc(x, sizeof *l->v * (size_t)cap);
    l->cap = cap;
    return l;
}

jv jv_list(jx *x, uint8_t kind, int cap) { return (jv){ .kind = kind, .u.l = list_new(x, cap) }; }
jv jv_view(jx *x, uint8_t view, int cap) { return (jv){ .kind = JV_VIEW, .sub = view, .u.l = list_new(x, cap) }; }
jv jv_dict(jx *x, uint8_t kind) { return (jv){ .kind = kind, .u.d = jx_alloc(x, sizeof(jdict)) }; }

void jv_push(jx *x, jv list, jv v)
{
    jlist *l = list.u.l;
    if (l->n == l->cap) {
        int cap = l->cap ? 2 * l->cap : 8;
        jv *more = jx_alloc(x, sizeof *more * (size_t)cap);
        if (l->n) memcpy(more, l->v, sizeof *more * (size_t)l->n);
        l->v = more;
        l->cap = cap;
    }
    l->v[l->n++] = v;
}

static uint32_t hash_of(jx *x, jv v)
{
    double f;
    jx_text(x, v);
    if (v.kind == JV_STR) return (uint32_t)q_hash64(v.u.s->p, v.u.s->n, 1);
    if (jv_number(v, &f)) return (uint32_t)q_hash64(&f, sizeof f, 2);      /* 1, 1.0 and True are one key */
    if (v.kind == JV_NONE || v.kind == JV_UNDEF) return v.kind;
    if (v.kind != JV_TUPLE) jx_fail(x, _("a value of the kind %s cannot be a key"), jv_type(v));
    uint32_t h = 3;
    jx_deeper(x);
    for (int i = 0; i < v.u.l->n; i++) h = h * 31 + hash_of(x, v.u.l->v[i]);
    x->depth--;
    return h;
}

static int place(jx *x, const jdict *d, jv key, uint32_t h)
{
    jx_step(x, (size_t)d->n / 32);
    for (int i = 0; i < d->n; i++)
        if (d->hash[i] == h && jv_equal(x, d->key[i], key)) return i;
    return -1;
}

void jv_put(jx *x, jv dict, jv key, jv val)
{
    jdict *d = dict.u.d;
    uint32_t h = hash_of(x, key);
    int at = place(x, d, key, h);
    if (at >= 0) { d->val[at] = val; return; }
    if (d->n == d->cap) {
        int cap = d->cap ? 2 * d->cap : 8;
        jv *k = jx_alloc(x, sizeof *k * (size_t)cap), *v = jx_alloc(x, sizeof *v * (size_t)cap);
        uint32_t *hs = jx_alloc(x, sizeof *hs * (size_t)cap);
        if (d->n) {
            memcpy(k, d->key, sizeof *k * (size_t)d->n);
            memcpy(v, d->val, sizeof *v * (size_t)d->n);
            memcpy(hs, d->hash, sizeof *hs * (size_t)d->n);
        }
        d->key = k;
        d->val = v;
        d->hash = hs;
        d->cap = cap;
    }
    d->key[d->n] = key;
    d->val[d->n] = val;
    d->hash[d->n++] = h;
}

bool jv_find(jx *x, jv dict, jv key, jv *out)
{
    int at = place(x, dict.u.d, key, hash_of(x, key));
    if (at >= 0) *out = dict.u.d->val[at];
    return at >= 0;
}

bool jv_find_name(jx *x, jv dict, const char *key, jv *out)
{
    const jstr s = { key, NULL, strlen(key) };
    return jv_find(x, dict, (jv){ .kind = JV_STR, .u.s = &s }, out);
}

/* ---- what Python says of them ---- */
const char *jv_type(jv v)
{
    static const char *names[] = { "Undefined", "NoneType", "bool", "int", "float", "str", "list", "tuple", "dict", "view", "Namespace", "builtin_function_or_method",
                                   "function", "Macro", "LoopContext" };
    static const char *views[] = { "generator", "dict_keys", "dict_values", "dict_items", "range" };
    return v.kind == JV_VIEW ? views[v.sub] : v.kind == JV_STR && v.sub ? "Markup" : names[v.kind];
}

bool jv_number(jv v, double *out)
{
    switch (v.kind) {
    case JV_BOOL: *out = v.u.b; return true;
    case JV_INT: *out = (double)v.u.i; return true;
    case JV_FLOAT: *out = v.u.f; return true;
    default: return false;
    }
}

bool jv_true(jx *x, jv v)
{
    switch (v.kind) {
    case JV_UNDEF:
    case JV_NONE: return false;
    case JV_BOOL: return v.u.b;
    case JV_INT: return v.u.i != 0;
    case JV_FLOAT: return v.u.f != 0;
    case JV_STR: return v.u.s->n > 0;
    case JV_LIST:
    case JV_TUPLE: return v.u.l->n > 0;
    case JV_VIEW: return v.sub == JV_ITER || v.u.l->n > 0;
    case JV_DICT: return v.u.d->n > 0;
    default: return true;
    }
}

static bool equal_lists(jx *x, const jlist *a, const jlist *b)
{
    if (a->n != b->n) return false;
    jx_step(x, (size_t)a->n);
    for (int i = 0; i < a->n; i++)
        if (!jv_equal(x, a->v[i], b->v[i])) return false;
    return true;
}

static bool equal_dicts(jx *x, jv a, jv b)
{
    jv other;
    if (a.u.d->n != b.u.d->n) return false;
    for (int i = 0; i < a.u.d->n; i++)
        if (!jv_find(x, b, a.u.d->key[i], &other) || !jv_equal(x, a.u.d->val[i], other)) return false;
    return true;
}

bool jv_equal(jx *x, jv a, jv b)
{
    double p, q;
    bool same = false;
    if (a.kind == JV_INT && b.kind == JV_INT) return a.u.i == b.u.i;
    if (jv_number(a, &p) && jv_number(b, &q)) return p == q;
    if (a.kind != b.kind) return false;
    jx_step(x, 1);
    jx_text(x, a);
    jx_deeper(x);
    switch (a.kind) {
    case JV_UNDEF:
    case JV_NONE: same = true; break;
    case JV_STR: same = a.u.s->n == b.u.s->n && memcmp(a.u.s->p, b.u.s->p, a.u.s->n) == 0; break;
    case JV_LIST:
    case JV_TUPLE: same = equal_lists(x, a.u.l, b.u.l); break;
    case JV_VIEW: same = a.u.l == b.u.l || (a.sub != JV_ITER && a.sub != JV_VALUES && a.sub == b.sub && equal_lists(x, a.u.l, b.u.l)); break;
    case JV_DICT: same = equal_dicts(x, a, b); break;
    default: same = a.u.any == b.u.any; break;
    }
    x->depth--;
    return same;
}

static int sign(int64_t n) { return (n > 0) - (n < 0); }

int jv_order(jx *x, jv a, jv b)
{
    double p, q;
    jx_step(x, 1);
    if (a.kind == JV_INT && b.kind == JV_INT) return (a.u.i > b.u.i) - (a.u.i < b.u.i);
    if (jv_number(a, &p) && jv_number(b, &q)) return (p > q) - (p < q);
    if (a.kind == JV_STR && b.kind == JV_STR) {           /* the order of UTF-8 is that of code points */
        size_t n = a.u.s->n < b.u.s->n ? a.u.s->n : b.u.s->n;
        int c = n ? memcmp(a.u.s->p, b.u.s->p, n) : 0;
        jx_step(x, n / 64);
        return c ? sign(c) : (a.u.s->n > b.u.s->n) - (a.u.s->n < b.u.s->n);
    }
    if (a.kind == b.kind && (a.kind == JV_LIST || a.kind == JV_TUPLE)) {
        int c = 0;
        jx_deeper(x);
        for (int i = 0; i < a.u.l->n && i < b.u.l->n && !c; i++)
            if (!jv_equal(x, a.u.l->v[i], b.u.l->v[i])) c = jv_order(x, a.u.l->v[i], b.u.l->v[i]);
        x->depth--;
        return c ? c : (a.u.l->n > b.u.l->n) - (a.u.l->n < b.u.l->n);
    }
    if (a.kind == JV_UNDEF || b.kind == JV_UNDEF) jx_fail(x, _("%s is undefined"), (a.kind == JV_UNDEF ? a : b).u.any ? (const char *)(a.kind == JV_UNDEF ? a : b).u.any : "?");
    jx_fail(x, _("%s and %s cannot be put in order"), jv_type(a), jv_type(b));
}

bool jv_iterable(jv v) { return v.kind == JV_UNDEF || (v.kind >= JV_STR && v.kind <= JV_VIEW) || v.kind == JV_LOOP; }

static jlist *characters(jx *x, const jstr *s)
{
    jv out = jv_list(x, JV_LIST, 16);
    uint32_t cp;
    for (size_t i = 0; i < s->n;) {
        size_t k = (size_t)q_utf8_next(s->p + i, s->n - i, &cp);
        jv_push(x, out, jv_part(x, s, i, i + k));
        i += k;
    }
    return out.u.l;
}

jlist *jv_each(jx *x, jv v)
{
    switch (v.kind) {
    case JV_UNDEF: return jv_list(x, JV_LIST, 0).u.l;
    case JV_STR: jx_step(x, v.u.s->n); return characters(x, v.u.s);
    case JV_LIST:
    case JV_TUPLE: jx_step(x, (size_t)v.u.l->n); return v.u.l;
    case JV_VIEW:
        if (v.u.l->spent) return jv_list(x, JV_LIST, 0).u.l;
        jx_step(x, (size_t)v.u.l->n);
        v.u.l->spent = v.sub == JV_ITER;
        return v.u.l;
    case JV_DICT: {
        jx_step(x, (size_t)v.u.d->n);
        jv keys = jv_list(x, JV_LIST, v.u.d->n);
        for (int i = 0; i < v.u.d->n; i++) jv_push(x, keys, v.u.d->key[i]);
        return keys.u.l;
    }
    default: jx_fail(x, _("a value of the kind %s cannot be gone through"), jv_type(v));
    }
}

size_t jv_len(jx *x, jv v)
{
    switch (v.kind) {
    case JV_UNDEF: return 0;
    case JV_STR: return js_count(v.u.s);
    case JV_LIST:
    case JV_TUPLE: return (size_t)v.u.l->n;
    case JV_DICT: return (size_t)v.u.d->n;
    case JV_VIEW:
        if (v.sub != JV_ITER) return (size_t)v.u.l->n;
        __attribute__((fallthrough));
    default: jx_fail(x, _("a value of the kind %s has no length"), jv_type(v));
    }
}
