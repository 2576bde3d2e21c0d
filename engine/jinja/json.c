/* engine/jinja/json: see json.h. RFC 8259; what Python's reader also takes (NaN, lone surrogates) is refused. */
#include "engine/jinja/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader { jx *x; const char *p, *end, *start, *what; bool mark; } reader;

static _Noreturn void bad(reader *r, const char *why)
{
    r->x->line = 0;
    jx_fail(r->x, _("%s is not JSON: byte %zu: %s"), r->what, (size_t)(r->p - r->start) + 1, why);
}

static void blanks(reader *r) { while (r->p < r->end && strchr(" \t\r\n", *r->p) && *r->p) r->p++; }

static bool take(reader *r, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0) return false;
    r->p += n;
    return true;
}

static uint32_t hex4(reader *r)
{
    uint32_t cp = 0;
    for (int i = 0; i < 4; i++, r->p++) {
        char c = r->p < r->end ? *r->p : 0;
        if (!((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f'))) bad(r, _("\\u wants four hexadecimal digits"));
        cp = cp * 16 + (uint32_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return cp;
}

static void escaped(reader *r, jb *b)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = r->p < r->end ? *r->p++ : 0;
    const char *at = c ? strchr(from, c) : NULL;
    if (at) { jb_char(b, to[at - from], r->mark); return; }
    if (c != 'u') bad(r, _("an escape that is none"));
    uint32_t cp = hex4(r);
    if (cp >= 0xD800 && cp < 0xDC00 && take(r, "\\u")) {
        uint32_t low = hex4(r);
        if (low < 0xDC00 || low > 0xDFFF) bad(r, _("half of a surrogate pair"));
        cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
    }
    if (cp >= 0xD800 && cp < 0xE000) bad(r, _("half of a surrogate pair"));
    jb_cp(b, cp, r->mark);
}

static jv string(reader *r)
{
    jb b = { .x = r->x };
    for (;;) {
        if (r->p >= r->end) bad(r, _("a text has no end"));
        unsigned char c = (unsigned char)*r->p++;
        if (c == '"') return jb_take(&b);
        if (c < 0x20) { r->p--; bad(r, _("a control character stands in a text")); }
        if (c == '\\') escaped(r, &b);
        else jb_char(&b, (char)c, r->mark);
    }
}

static jv number(reader *r)
{
    char s[64];
    size_t n = 0;
    bool whole = true;
    const char *p = r->p;
    if (p < r->end && *p == '-') p++;
    if (p >= r->end || *p < '0' || *p > '9') bad(r, _("a value is expected"));
    if (*p == '0' && p + 1 < r->end && p[1] >= '0' && p[1] <= '9') bad(r, _("a number begins with 0"));
    for (p = r->p; p < r->end && *p && strchr("+-0123456789.eE", *p) && n < sizeof s - 1; p++) {
        whole = whole && *p != '.' && *p != 'e' && *p != 'E';
        s[n++] = *p;
    }
    s[n] = 0;
    char *end;
    errno = 0;
    if (whole) {
        long long i = strtoll(s, &end, 10);
        if (errno == ERANGE || n == sizeof s - 1) bad(r, _("a number beyond 64 bits"));
        r->p += end - s;
        return jv_int(i);
    }
    double f = strtod(s, &end);
    if (*end || end[-1] == '.' || strstr(s, ".e") || strstr(s, ".E")) bad(r, _("a number that is none"));
    r->p += n;
    return jv_float(f);
}

static jv value(reader *r);

static jv list(reader *r)
{
    jv out = jv_list(r->x, JV_LIST, 0);
    blanks(r);
    if (take(r, "]")) return out;
    do {
        jv_push(r->x, out, value(r));
        blanks(r);
    } while (take(r, ","));
    if (!take(r, "]")) bad(r, _("\",\" or \"]\" is expected"));
    return out;
}

static jv dict(reader *r)
{
    jv out = jv_dict(r->x, JV_DICT);
    blanks(r);
    if (take(r, "}")) return out;
    do {
        blanks(r);
        if (!take(r, "\"")) bad(r, _("a key in quotation marks is expected"));
        jv key = string(r);
        blanks(r);
        if (!take(r, ":")) bad(r, _("\":\" is expected"));
        jv_put(r->x, out, key, value(r));
        blanks(r);
    } while (take(r, ","));
    if (!take(r, "}")) bad(r, _("\",\" or \"}\" is expected"));
    return out;
}

static jv value(reader *r)
{
    jv v;
    jx_step(r->x, 1);
    jx_deeper(r->x);
    blanks(r);
    if (take(r, "\"")) v = string(r);
    else if (take(r, "[")) v = list(r);
    else if (take(r, "{")) v = dict(r);
    else if (take(r, "true")) v = jv_bool(true);
    else if (take(r, "false")) v = jv_bool(false);
    else if (take(r, "null")) v = jv_none();
    else v = number(r);
    r->x->depth--;
    return v;
}

jv jj_read(jx *x, const char *p, size_t n, bool mark, const char *what)
{
    reader r = { x, p, p + n, p, what, mark };
    jx_step(x, n / 8);
    jv v = value(&r);
    blanks(&r);
    if (r.p != r.end) bad(&r, _("something stands behind its end"));
    return v;
}
