/* engine/jinja/lex: see lex.h. The rules are those of jinja2's lexer.py (3.1): which tags strip what around them, the balance
 * of brackets that lets }} stand in an expression, escapes in strings. */
#include "engine/jinja/lex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct lexer {
    jx *x;
    const char *s;
    size_t n, at;
    int line;
    size_t line_at;                    /* where its line begins */
    size_t counted, seen;              /* lines are counted up to here, columns up to there */
    int col;
    bool starting;                     /* what was last taken ended in a newline */
    jtokens out;
} lexer;

size_t jl_blank(const char *p, size_t n)
{
    uint32_t cp;
    if (!n) return 0;
    int k = q_utf8_next(p, n, &cp);
    bool yes = (cp >= 9 && cp <= 13) || (cp >= 0x1C && cp <= 0x20) || cp == 0x85 || cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 ||
               cp == 0x2029 || cp == 0x202F || cp == 0x205F || cp == 0x3000;
    return yes ? (size_t)k : 0;
}

size_t jl_rstrip(const char *p, size_t n)
{
    for (;;) {
        size_t k = 0;
        for (size_t back = 1; back <= 3 && back <= n && !k; back++)
            if (jl_blank(p + n - back, back) == back) k = back;
        if (!k) return n;
        n -= k;
    }
}

static void where(lexer *l, size_t at)
{
    for (; l->counted < at; l->counted++)
        if (l->s[l->counted] == '\n') { l->line++; l->line_at = l->counted + 1; }
    if (l->seen < l->line_at || l->seen > at) {
        l->seen = l->line_at;
        l->col = 1;
    }
    uint32_t cp;
    for (; l->seen < at; l->col++) l->seen += (size_t)q_utf8_next(l->s + l->seen, at - l->seen, &cp);
    l->x->line = l->line;
    l->x->col = l->col;
}

static jtoken *token(lexer *l, uint8_t type, size_t at)
{
    jtokens *t = &l->out;
    if (t->n == t->cap) {
        int cap = t->cap ? 2 * t->cap : 64;
        jtoken *more = jx_alloc(l->x, sizeof *more * (size_t)cap);
        if (t->n) memcpy(more, t->v, sizeof *more * (size_t)t->n);
        t->v = more;
        t->cap = cap;
    }
    where(l, at);
    t->v[t->n] = (jtoken){ .type = type, .line = l->x->line, .col = l->x->col };
    return &t->v[t->n++];
}

static bool here(const lexer *l, size_t at, const char *word)
{
    size_t n = strlen(word);
    return l->n - at >= n && memcmp(l->s + at, word, n) == 0;
}

static size_t skip_blanks(const lexer *l, size_t at)
{
    for (size_t k; at < l->n && (k = jl_blank(l->s + at, l->n - at));) at += k;
    return at;
}

static void data(lexer *l, size_t from, size_t to)
{
    if (to > from) token(l, JT_DATA, from)->value = jv_text(l->x, l->s + from, to - from, NULL);
}

/* Where text [from, tag) ends once the tag has stripped what is before it; sign: what stands behind the tag's beginning. */
static size_t stripped(const lexer *l, size_t from, size_t tag, char sign, bool variable)
{
    if (sign == '-') return from + jl_rstrip(l->s + from, tag - from);
    if (sign == '+' || variable) return tag;
    size_t line = tag;
    while (line > from && l->s[line - 1] != '\n') line--;
    if (line == from && !l->starting) return tag;
    return line < tag && skip_blanks(l, line) >= tag ? line : tag;
}

/* Behind the end of a tag that may trim: "-%}" all white space, "%}" one newline, "+%}" nothing. 0: none begins here. */
static size_t tag_end(const lexer *l, size_t at, const char *close)
{
    char sign = at < l->n && (l->s[at] == '-' || l->s[at] == '+') ? l->s[at] : 0;
    size_t i = at + (sign ? 1 : 0);
    if (i > l->n || !here(l, i, close) || (sign == '+' && close[0] == '}')) return 0;
    i += 2;
    if (sign == '-') return skip_blanks(l, i);
    return !sign && close[0] != '}' && i < l->n && l->s[i] == '\n' ? i + 1 : i;
}

/* ---- inside a tag ---- */
static void put_escape(lexer *l, jb *b, size_t *i, size_t end)
{
    static const char from[] = "nrtabfv0\\'\"", to[] = "\n\r\t\a\b\f\v\0\\'\"";
    char c = l->s[(*i)++];
    int hex = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (c == '\n') return;
    if (hex) {
        char digits[9] = "";
        if (*i + (size_t)hex > end) jx_fail(l->x, _("an escape in a text is cut off"));
        memcpy(digits, l->s + *i, (size_t)hex);
        char *stop;
        unsigned long cp = strtoul(digits, &stop, 16);
        if (*stop || strpbrk(digits, "+- xX") || cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000)) jx_fail(l->x, _("an escape in a text is no character"));
        *i += (size_t)hex;
        jb_cp(b, (uint32_t)cp, 0);
    } else if (c >= '0' && c <= '7') {
        uint32_t cp = (uint32_t)(c - '0');
        for (int k = 0; k < 2 && *i < end && l->s[*i] >= '0' && l->s[*i] <= '7'; k++) cp = cp * 8 + (uint32_t)(l->s[(*i)++] - '0');
        jb_cp(b, cp, 0);
    } else if (c && strchr(from, c)) jb_char(b, to[strchr(from, c) - from], 0);
    else { jb_char(b, '\\', 0); jb_char(b, c, 0); }
}

static void string(lexer *l)
{
    char q = l->s[l->at];
    size_t end = l->at + 1;
    jtoken *t = token(l, JT_STRING, l->at);
    while (end < l->n && l->s[end] != q) end += l->s[end] == '\\' ? 2 : 1;
    if (end >= l->n) jx_fail(l->x, _("a text has no end"));
    jb b = { .x = l->x };
    for (size_t i = l->at + 1; i < end;) {
        if (l->s[i] != '\\') { jb_add(&b, l->s + i, 1, NULL); i++; }
        else { i++; put_escape(l, &b, &i, end); }
    }
    t->value = jb_take(&b);
    l->at = end + 1;
}

static bool digit(const lexer *l, size_t i) { return i < l->n && l->s[i] >= '0' && l->s[i] <= '9'; }
static size_t digits(const lexer *l, size_t i) { while (digit(l, i) || (i < l->n && l->s[i] == '_' && digit(l, i + 1))) i++; return i; }

static void number(lexer *l)
{
    size_t from = l->at, end = digits(l, from), e;
    bool whole = true;
    if (end < l->n && l->s[end] == '.' && digit(l, end + 1)) { end = digits(l, end + 1); whole = false; }
    if (end < l->n && (l->s[end] | 32) == 'e') {
        e = end + 1;
        if (e < l->n && (l->s[e] == '+' || l->s[e] == '-')) e++;
        if (digit(l, e)) { end = digits(l, e); whole = false; }
    }
    jtoken *t = token(l, whole ? JT_INT : JT_FLOAT, from);
    char s[64];
    size_t n = 0;
    for (size_t i = from; i < end && n < sizeof s - 1; i++) if (l->s[i] != '_') s[n++] = l->s[i];
    s[n] = 0;
    errno = 0;
    if (whole) t->value = jv_int(strtoll(s, NULL, 10));
    else t->value = jv_float(strtod(s, NULL));
    if ((whole && errno == ERANGE) || n == sizeof s - 1) jx_fail(l->x, _("a number beyond 64 bits"));
    if (whole && n > 1 && s[0] == '0' && strspn(s, "0") < n) jx_fail(l->x, _("a number begins with 0"));
    l->at = end;
}

static bool name_char(unsigned char c) { return c == '_' || c >= 0x80 || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z'); }

static void operator(lexer *l)
{
    static const char *ops[] = { "**", "//", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";" };
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (here(l, l->at, ops[i])) {
            jtoken *t = token(l, JT_OP, l->at);
            strcpy(t->op, ops[i]);
            l->at += strlen(ops[i]);
            return;
        }
    where(l, l->at);
    jx_fail(l->x, _("the character '%.*s' has no meaning here"), (int)q_utf8_whole(l->s + l->at, l->n - l->at < 4 ? l->n - l->at : 4), l->s + l->at);
}

/* Tokens up to the tag's end. */
static void inside(lexer *l, uint8_t end_type)
{
    const char *close = end_type == JT_VAR_END ? "}}" : "%}";
    char open[JX_DEPTH];
    int depth = 0;
    for (;;) {
        l->at = skip_blanks(l, l->at);
        if (l->at >= l->n) { where(l, l->n); jx_fail(l->x, _("the template ends inside a tag")); }
        size_t end = depth ? 0 : tag_end(l, l->at, close);
        if (end) {
            token(l, end_type, l->at);
            l->starting = l->s[end - 1] == '\n';
            l->at = end;
            return;
        }
        unsigned char c = (unsigned char)l->s[l->at];
        if (c == '"' || c == '\'') string(l);
        else if (c >= '0' && c <= '9') number(l);
        else if (name_char(c)) {
            size_t from = l->at;
            while (l->at < l->n && name_char((unsigned char)l->s[l->at])) l->at++;
            jv name = jv_text(l->x, l->s + from, l->at - from, NULL);
            token(l, JT_NAME, from)->value = name;
        } else {
            operator(l);
            char o = l->out.v[l->out.n - 1].op[0];
            if (strchr("([{", o)) {
                if (depth == JX_DEPTH) jx_fail(l->x, _("it goes deeper than %d levels"), JX_DEPTH);
                open[depth++] = o;
            } else if (strchr(")]}", o) && (!depth || open[--depth] != (o == ')' ? '(' : o == ']' ? '[' : '{'))) jx_fail(l->x, _("a bracket that was not opened: %c"), o);
        }
    }
}

/* ---- between tags ---- */
/* {%- raw -%}: behind it, or 0. word: raw or endraw; sign: of its beginning. raw itself trims no newline. */
static size_t raw_tag(const lexer *l, size_t at, const char *word, char *sign)
{
    if (!here(l, at, "{%")) return 0;
    size_t i = at + 2;
    *sign = i < l->n && (l->s[i] == '-' || l->s[i] == '+') ? l->s[i++] : 0;
    i = skip_blanks(l, i);
    if (!here(l, i, word)) return 0;
    i = skip_blanks(l, i + strlen(word));
    size_t end = i < l->n ? tag_end(l, i, "%}") : 0;
    if (end && word[0] == 'r' && l->s[i] != '-') end = l->s[i] == '+' ? 0 : i + 2;
    return end;
}

static void raw(lexer *l, size_t from)
{
    char sign = 0;
    for (size_t i = from; i < l->n; i++) {
        size_t end = raw_tag(l, i, "endraw", &sign);
        if (!end) continue;
        data(l, from, stripped(l, from, i, sign, false));
        l->starting = l->s[end - 1] == '\n';
        l->at = end;
        return;
    }
    where(l, from);
    jx_fail(l->x, _("raw has no endraw"));
}

static void comment(lexer *l, size_t from)
{
    for (size_t i = from; i + 1 < l->n; i++) {
        if (l->s[i] != '#' || l->s[i + 1] != '}') continue;
        char sign = i > from ? l->s[i - 1] : 0;
        size_t end = tag_end(l, sign == '-' || sign == '+' ? i - 1 : i, "#}");
        l->starting = l->s[end - 1] == '\n';
        l->at = end;
        return;
    }
    where(l, from);
    jx_fail(l->x, _("a comment has no end"));
}

static void tag(lexer *l, size_t from, size_t at)
{
    char kind = l->s[at + 1], sign = at + 2 < l->n ? l->s[at + 2] : 0;
    size_t end = kind == '%' ? raw_tag(l, at, "raw", &sign) : 0;
    if (sign != '-' && sign != '+') sign = 0;
    data(l, from, stripped(l, from, at, sign, kind == '{'));
    if (end) {
        l->starting = l->s[end - 1] == '\n';
        raw(l, end);
        return;
    }
    l->at = at + 2 + (sign ? 1 : 0);
    if (kind == '#') { comment(l, l->at); return; }
    l->starting = false;
    token(l, kind == '%' ? JT_BLOCK_BEGIN : JT_VAR_BEGIN, at);
    inside(l, kind == '%' ? JT_BLOCK_END : JT_VAR_END);
}

/* Newlines become \n, and one at the very end goes. */
static void normalise(lexer *l, const char *p, size_t n)
{
    char *s = jx_alloc(l->x, n + 1);
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\r' && i + 1 < n && p[i + 1] == '\n') continue;
        s[l->n++] = p[i] == '\r' ? '\n' : p[i];
    }
    if (l->n && s[l->n - 1] == '\n') l->n--;
    l->s = s;
}

jtokens jl_read(jx *x, const char *p, size_t n)
{
    lexer l = { .x = x, .line = 1, .col = 1, .starting = true };
    normalise(&l, p, n);
    while (l.at < l.n) {
        size_t i = l.at;
        while (i + 1 < l.n && !(l.s[i] == '{' && (l.s[i + 1] == '%' || l.s[i + 1] == '{' || l.s[i + 1] == '#'))) i++;
        if (i + 1 >= l.n) { data(&l, l.at, l.n); break; }
        tag(&l, l.at, i);
    }
    token(&l, JT_EOF, l.n);
    x->line = 0;
    return l.out;
}
