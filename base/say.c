/* base/say: see say.h. Formats are read here, not by printf, because only so what is quoted is told from our own words. */
#include "base/say.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool in(uint32_t c, uint32_t a, uint32_t b) { return c >= a && c <= b; }

enum q_char q_char_kind(uint32_t c)
{
    if (in(c, 0x0A, 0x0D) || c == 0x85 || c == 0x2028 || c == 0x2029) return Q_CHAR_BREAK;
    if (c < 0x20 || in(c, 0x7F, 0x9F)) return Q_CHAR_CONTROL;
    if (c == 0x061C || in(c, 0x202A, 0x202E) || in(c, 0x2066, 0x2069) || in(c, 0xFFF9, 0xFFFB) || in(c, 0xE0000, 0xE007F)) return Q_CHAR_TURN;
    return c == 0x200E || c == 0x200F ? Q_CHAR_UNSEEN : Q_CHAR_FINE;
}

/* What becomes of one code point: a byte to put in its place, 0 = itself, -1 = nothing, -2 = U+FFFD. */
enum { ITSELF = 0, NOTHING = -1, REPLACED = -2 };
static int fate(uint32_t cp, bool invalid, bool before_lf, bool line)
{
    if (invalid) return REPLACED;
    switch (q_char_kind(cp)) {
    case Q_CHAR_FINE: return ITSELF;
    case Q_CHAR_UNSEEN: return NOTHING;
    case Q_CHAR_TURN: return REPLACED;
    case Q_CHAR_CONTROL: return cp == '\t' ? (line ? ' ' : ITSELF) : line && cp < 0x20 ? ' ' : REPLACED;
    case Q_CHAR_BREAK: break;
    }
    if (cp == '\r' && before_lf) return NOTHING;
    if (line) return ' ';
    return cp == '\n' || cp > 0xFF ? '\n' : REPLACED;
}

void q_say_clean(q_buf *out, const char *s, size_t n, bool line)
{
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t l = (size_t)q_utf8_next(s + i, n - i, &cp);
        int to = fate(cp, cp == 0xFFFD && l == 1, i + 1 < n && s[i + 1] == '\n', line);
        if (to == ITSELF) q_buf_add(out, s + i, l);
        else if (to == REPLACED) q_buf_puts(out, "\xEF\xBF\xBD");
        else if (to != NOTHING) q_buf_putc(out, (char)to);
        i += l;
    }
}

void q_say_visible(q_buf *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t l = (size_t)q_utf8_next(s + i, n - i, &cp);
        if (s[i] == '\n' || s[i] == '\t' || s[i] == '\\')
            q_buf_printf(out, "\\%c", s[i] == '\n' ? 'n' : s[i] == '\t' ? 't' : '\\');
        else if (q_char_kind(cp) == Q_CHAR_FINE && !(cp == 0xFFFD && l == 1))
            q_buf_add(out, s + i, l);
        else
            for (size_t j = 0; j < l; j++)
                q_buf_printf(out, "\\x%02x", (unsigned char)s[i + j]);
        i += l;
    }
}

size_t q_say_plain(char *s, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t l = (size_t)q_utf8_next(s + i, n - i, &cp);
        int to = fate(cp, cp == 0xFFFD && l == 1, i + 1 < n && s[i + 1] == '\n', true);
        if (to == ITSELF) memmove(s + at, s + i, l), at += l;
        else if (to != NOTHING) s[at++] = to == REPLACED ? '?' : (char)to;
        i += l;
    }
    return at;
}

/* Bytes of the mark at s[0..n) that parts a sentence: quotes, or blanks; 0: it is none. */
static size_t parts(const char *s, size_t n, bool quotes)
{
    static const char *const marks[] = { "\"", "\xC2\xAB", "\xC2\xBB", "\xE2\x80\x9E", "\xE2\x80\x9C", "\xE2\x80\x9D" };
    if (!quotes) return *s == ' ';
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        size_t l = strlen(marks[i]);
        if (l <= n && memcmp(s, marks[i], l) == 0) return l;
    }
    return 0;
}

/* The longest piece between two marks or an end. */
static size_t longest(const char *s, size_t n, bool quotes, size_t *from)
{
    size_t best = 0, start = 0;
    for (size_t i = 0; i <= n;) {
        size_t mark = i < n ? parts(s + i, n - i, quotes) : 1;
        if (mark && i - start > best) *from = start, best = i - start;
        i += mark ? mark : 1;
        if (mark) start = i;
    }
    return best;
}

size_t q_say_brief(char *s, size_t n, size_t most)
{
    enum { LEFT = 60 };                  /* bytes of a piece that is cut */
    static const char dots[] = "\xE2\x80\xA6";
    for (int round = 0; n > most; round++) {
        size_t from = 0, of = longest(s, n, round == 0, &from), left = LEFT;
        if (of < n - most + left + sizeof dots) {              /* it alone does not help */
            if (round == 0) continue;
            from = 0, of = n, left = most - sizeof dots;
        }
        size_t front = q_utf8_whole(s + from, left / 2), back = from + of - (left - left / 2);
        while (back < from + of && ((unsigned char)s[back] & 0xC0) == 0x80) back++;
        memcpy(s + from + front, dots, sizeof dots - 1);
        memmove(s + from + front + sizeof dots - 1, s + back, n - back);
        n -= back - from - front - (sizeof dots - 1);
    }
    return n;
}

int q_fail(char *err, int code, const char *fmt, ...)
{
    va_list ap, again;
    char raw[Q_ERRLEN], *whole = raw;    /* not err itself: it may be among the arguments */
    va_start(ap, fmt);
    va_copy(again, ap);
    int full = vsnprintf(raw, sizeof raw, fmt, ap);
    size_t n = strlen(raw);
    if (full >= (int)sizeof raw) {
        whole = q_alloc((size_t)full + 1);
        n = (size_t)vsnprintf(whole, (size_t)full + 1, fmt, again);
    }
    va_end(again);
    va_end(ap);
    /* What a sentence quotes may be any bytes; the sentence is one line of UTF-8 that a terminal can be told. */
    n = q_say_brief(whole, q_say_plain(whole, n), Q_ERRLEN - 1);
    memcpy(err, whole, n);
    err[n] = 0;
    if (whole != raw) free(whole);
    return code;
}

/* ---- a printf whose strings are cleaned ---- */
enum { MAX_ARGS = 24 };
enum kind { K_NONE, K_INT, K_LONG, K_LLONG, K_SIZE, K_DOUBLE, K_STRING };
typedef union value { int i; long l; long long ll; size_t z; double d; const char *s; } value;
typedef struct spec {
    const char *from, *to;               /* of the format: what the conversion takes up */
    char flags[8], length[3], conv;
    int width, precision;                /* -1: none */
    int width_arg, precision_arg, arg;   /* index of the argument, -1: none */
} spec;

static int number(const char **p)
{
    int n = 0;
    while (**p >= '0' && **p <= '9' && n < 100000) n = n * 10 + *(*p)++ - '0';
    return n;
}

/* A width or a precision: digits, or * which takes the next argument. */
static void measure(const char **p, int *n, int *arg, int *next)
{
    if (**p == '*') {
        (*p)++;
        *arg = (*next)++;
    } else if (**p >= '0' && **p <= '9') *n = number(p);
}

/* Reads one conversion at p (behind its %); returns false for what this printf does not know. */
static bool read_spec(const char *p, spec *s, int *next)
{
    *s = (spec){ .from = p - 1, .width = -1, .precision = -1, .width_arg = -1, .precision_arg = -1, .arg = -1 };
    const char *digits = p;
    int at = number(&digits);
    bool placed = at > 0 && *digits == '$';
    if (placed) p = digits + 1;
    for (size_t n = 0; *p && strchr("-+ #0'", *p) && n < sizeof s->flags - 1;) s->flags[n++] = *p++;
    measure(&p, &s->width, &s->width_arg, next);
    if (*p == '.') {
        p++;
        s->precision = 0;
        measure(&p, &s->precision, &s->precision_arg, next);
    }
    for (size_t n = 0; *p && strchr("hlzjt", *p) && n < sizeof s->length - 1;) s->length[n++] = *p++;
    s->conv = *p;
    s->to = p + 1;
    if (!*p || !strchr("diouxXeEfFgGaAcs%", *p)) return false;
    if (*p != '%') s->arg = placed ? at - 1 : (*next)++;
    return s->arg < MAX_ARGS && *next <= MAX_ARGS;
}

static enum kind kind_of(const spec *s)
{
    if (s->conv == 's') return K_STRING;
    if (strchr("eEfFgGaA", s->conv)) return K_DOUBLE;
    if (s->length[0] == 'l') return s->length[1] == 'l' ? K_LLONG : K_LONG;
    if (s->length[0] == 'z' || s->length[0] == 't') return K_SIZE;
    return s->length[0] == 'j' ? K_LLONG : K_INT;
}

static void put_string(q_buf *b, const spec *s, const char *text)
{
    size_t n, points = 0, width = s->width > 0 ? (size_t)s->width : 0;
    if (!text) text = "(null)";
    n = s->precision >= 0 ? strnlen(text, (size_t)s->precision) : strlen(text);
    if (s->precision >= 0 && text[n]) n = q_utf8_whole(text, n);
    q_buf clean = { 0 };
    q_say_clean(&clean, text, n, true);
    for (size_t i = 0; i < clean.len; i++) points += (clean.p[i] & 0xC0) != 0x80;
    bool left = strchr(s->flags, '-') != NULL;
    for (size_t i = points; !left && i < width; i++) q_buf_putc(b, ' ');
    q_buf_add(b, clean.p, clean.len);
    for (size_t i = points; left && i < width; i++) q_buf_putc(b, ' ');
    q_buf_free(&clean);
}

static void put_number(q_buf *b, const spec *s, enum kind kind, value v)
{
    char f[64], w[16] = "", p[16] = "";
    if (s->width >= 0) snprintf(w, sizeof w, "%d", s->width);
    if (s->precision >= 0) snprintf(p, sizeof p, ".%d", s->precision);
    snprintf(f, sizeof f, "%%%s%s%s%s%c", s->flags, w, p, s->length, s->conv);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    switch (kind) {
    case K_INT:
        if (s->conv == 'c' && q_char_kind((unsigned char)v.i) != Q_CHAR_FINE) v.i = '?';
        q_buf_printf(b, f, v.i);
        break;
    case K_LONG: q_buf_printf(b, f, v.l); break;
    case K_LLONG: q_buf_printf(b, f, v.ll); break;
    case K_SIZE: q_buf_printf(b, f, v.z); break;
    case K_DOUBLE: q_buf_printf(b, f, v.d); break;
    default: break;
    }
#pragma GCC diagnostic pop
}

/* The arguments in their order, by the kinds that the conversions ask for. */
static void fetch(const enum kind *kind, value *v, va_list ap)
{
    for (int i = 0; i < MAX_ARGS && kind[i]; i++)
        switch (kind[i]) {
        case K_LONG: v[i].l = va_arg(ap, long); break;
        case K_LLONG: v[i].ll = va_arg(ap, long long); break;
        case K_SIZE: v[i].z = va_arg(ap, size_t); break;
        case K_DOUBLE: v[i].d = va_arg(ap, double); break;
        case K_STRING: v[i].s = va_arg(ap, const char *); break;
        default: v[i].i = va_arg(ap, int); break;
        }
}

static void format(q_buf *b, const char *fmt, va_list ap)
{
    spec s[MAX_ARGS];
    enum kind kind[MAX_ARGS + 1] = { K_NONE };
    value v[MAX_ARGS];
    int n = 0, next = 0;
    for (const char *p = strchr(fmt, '%'); p && n < MAX_ARGS; p = strchr(s[n++].to, '%')) {
        if (!read_spec(p + 1, &s[n], &next)) break;
        if (s[n].width_arg >= 0) kind[s[n].width_arg] = K_INT;
        if (s[n].precision_arg >= 0) kind[s[n].precision_arg] = K_INT;
        if (s[n].arg >= 0) kind[s[n].arg] = kind_of(&s[n]);
    }
    fetch(kind, v, ap);
    for (int i = 0; i < n; i++) {
        q_buf_add(b, fmt, (size_t)(s[i].from - fmt));
        fmt = s[i].to;
        if (s[i].width_arg >= 0) {
            s[i].width = abs(v[s[i].width_arg].i);
            if (v[s[i].width_arg].i < 0 && strlen(s[i].flags) + 1 < sizeof s[i].flags) strcat(s[i].flags, "-");
        }
        if (s[i].precision_arg >= 0) s[i].precision = v[s[i].precision_arg].i;
        if (s[i].conv == '%') q_buf_putc(b, '%');
        else if (s[i].conv == 's') put_string(b, &s[i], v[s[i].arg].s);
        else put_number(b, &s[i], kind[s[i].arg], v[s[i].arg]);
    }
    q_buf_puts(b, fmt);
}

void q_buf_say(q_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    format(b, fmt, ap);
    va_end(ap);
}

void q_say(FILE *f, const char *fmt, ...)
{
    q_buf b = { 0 };
    va_list ap;
    va_start(ap, fmt);
    format(&b, fmt, ap);
    va_end(ap);
    fwrite(b.p, 1, b.len, f);
    q_buf_free(&b);
}

void q_say_text(FILE *f, const char *s)
{
    q_buf b = { 0 };
    q_say_clean(&b, s, strlen(s), false);
    if (b.len) fwrite(b.p, 1, b.len, f);
    q_buf_free(&b);
}

void q_say_data(FILE *f, const char *s, size_t n)
{
    q_buf b = { 0 };
    if (!isatty(fileno(f))) {
        if (n) fwrite(s, 1, n, f);
        return;
    }
    q_say_clean(&b, s, n, false);
    if (b.len) fwrite(b.p, 1, b.len, f);
    q_buf_free(&b);
}

void q_say_own(FILE *f, const char *own) { fputs(own, f); }

/* ---- JSON ---- */
void q_json_safe(q_buf *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t l = (size_t)q_utf8_next(s + i, n - i, &cp);
        enum q_char k = q_char_kind(cp);
        if (cp == 0xFFFD && l == 1) q_buf_puts(out, "\\ufffd");
        else if (cp < 0x20 || k == Q_CHAR_FINE) q_buf_add(out, s + i, l);        /* cJSON has escaped C0; what is left parts values */
        else if (cp < 0x10000) q_buf_printf(out, "\\u%04x", (unsigned)cp);
        else q_buf_printf(out, "\\u%04x\\u%04x", 0xD800 + (unsigned)((cp - 0x10000) >> 10), 0xDC00 + (unsigned)((cp - 0x10000) & 0x3FF));
        i += l;
    }
}

bool q_json_shallow(const char *json, int levels)
{
    int depth = 0;
    bool text = false;
    for (; *json; json++)
        if (text) {
            json += *json == '\\' && json[1];
            text = *json != '"';
        } else if (*json == '"')
            text = true;
        else if (*json == '{' || *json == '[') {
            if (++depth > levels) return false;
        } else
            depth -= *json == '}' || *json == ']';
    return true;
}

void q_say_wrapped(q_buf *out, const char *text, int width)
{
    for (int column = 0; *text;) {
        size_t n = strcspn(text, " \n");
        int points = 0;
        for (size_t i = 0; i < n; i++) points += ((unsigned char)text[i] & 0xC0) != 0x80;
        if (column && column + 1 + points > width) q_buf_putc(out, '\n'), column = 0;
        if (column) q_buf_putc(out, ' '), column++;
        q_buf_add(out, text, n);
        column += points;
        text += n;
        if (*text == '\n') q_buf_putc(out, '\n'), column = 0;
        if (*text) text++;
    }
}

void q_say_json(FILE *f, const char *json)
{
    q_buf b = { 0 };
    q_json_safe(&b, json, strlen(json));
    q_buf_putc(&b, '\n');
    fwrite(b.p, 1, b.len, f);
    q_buf_free(&b);
}

void q_say_xml(q_buf *out, const char *s)
{
    q_buf clean = {0};
    q_say_clean(&clean, s, strlen(s), false);
    for (const char *p = clean.p ? clean.p : ""; *p; p++) {
        switch (*p) {
        case '&': q_buf_puts(out, "&amp;"); break;
        case '<': q_buf_puts(out, "&lt;"); break;
        case '>': q_buf_puts(out, "&gt;"); break;
        case '"': q_buf_puts(out, "&quot;"); break;
        default: q_buf_putc(out, *p);
        }
    }
    q_buf_free(&clean);
}

void q_say_csv(q_buf *out, const char *s)
{
    q_buf clean = {0};
    q_say_clean(&clean, s, strlen(s), true);
    const char *p = clean.p ? clean.p : "", *quote = strpbrk(p, ",\"") ? "\"" : "";
    q_buf_puts(out, quote);
    for (; *p; p++) {
        if (*p == '"') q_buf_putc(out, '"');
        q_buf_putc(out, *p);
    }
    q_buf_puts(out, quote);
    q_buf_free(&clean);
}
