/* engine/grammar/gbnf: see gbnf.h. By recursive descent, straight into the form. What is repeated with {m,n} is written out: a text, a
 * class or a name as often as it may stand, a group as a rule of its own that is called as often. Beyond the README a line may
 * begin with the | that goes on with the line before. Tokens by number are refused: they are other tokens in another model. */
#include "engine/grammar/gbnf.h"

#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 200, REPEATS = 1 << 20, NAME = 128 };

typedef struct span { uint32_t lo, hi; } span;
/* What stands between two blanks. */
enum kind { TEXT, CLASS, CALL, TOKEN, GROUP };
typedef struct item {
    enum kind kind;
    q_buf text;                          /* TEXT, TOKEN: its name with < and > */
    span *span; int n;                   /* CLASS: ranges in order, none touching the next */
    int rule;                            /* CALL */
    uint32_t start, end;                 /* GROUP */
} item;

typedef struct reader {
    form *f;
    const char *text; size_t n, at;
    int depth, groups;
    size_t seen; int line, column;       /* a place that was asked for, and what it is called: the next one lies behind it mostly */
    char *err;
} reader;

/* ---- places ---- */
static void place(reader *r, size_t at, int *line, int *column)
{
    if (at < r->seen || !r->line) {
        r->seen = 0;
        r->line = r->column = 1;
    }
    for (; r->seen < at && r->seen < r->n; r->seen++) {
        if (r->text[r->seen] == '\n') {
            r->line++;
            r->column = 1;
        } else
            r->column += ((unsigned char)r->text[r->seen] & 0xC0) != 0x80;
    }
    *line = r->line;
    *column = r->column;
}

static int wrong(reader *r, size_t at, const char *what)
{
    int line, column;
    place(r, at, &line, &column);
    return q_fail(r->err, Q_FORMAT, _("the grammar, line %d, column %d: %s"), line, column, what);
}

static int peek(const reader *r) { return r->at < r->n ? (unsigned char)r->text[r->at] : -1; }

static bool literally(reader *r, const char *s)
{
    size_t k = strlen(s);
    if (r->n - r->at < k || memcmp(r->text + r->at, s, k) != 0)
        return false;
    r->at += k;
    return true;
}

/* Blanks and comments; line breaks too where something must follow, or where the next line goes on with |. */
static void blanks(reader *r, bool lines)
{
    for (;;) {
        int c = peek(r);
        if (c == '#')
            while (peek(r) >= 0 && peek(r) != '\n')
                r->at++;
        else if (c == ' ' || c == '\t' || c == '\r' || (lines && c == '\n'))
            r->at++;
        else if (c == '\n') {
            size_t here = r->at;
            blanks(r, true);
            if (peek(r) != '|')
                r->at = here;
            return;
        } else
            return;
    }
}

static bool name_letter(int c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'; }

static int name(reader *r, char out[NAME])
{
    size_t from = r->at, k;
    while (name_letter(peek(r)))
        r->at++;
    k = r->at - from;
    if (k == 0)
        return wrong(r, from, _("a rule's name is expected here: letters, digits, - and _"));
    if (k >= NAME)
        return wrong(r, from, _("this name is too long: take at most 127 letters"));
    memcpy(out, r->text + from, k);
    out[k] = 0;
    return Q_OK;
}

/* ---- characters ---- */
static int hex(reader *r, int digits, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < digits; i++, r->at++) {
        int c = peek(r), d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (d < 0)
            return wrong(r, r->at, _("an escape takes hexadecimal digits: \\xXX, \\uXXXX, \\UXXXXXXXX"));
        *out = *out << 4 | (uint32_t)d;
    }
    return Q_OK;
}

static int letter(reader *r, uint32_t *out)
{
    static const char from[] = "nrt\\\"[]-^'/.", to[] = "\n\r\t\\\"[]-^'/.";
    size_t at = r->at;
    if (peek(r) != '\\') {
        r->at += (size_t)q_utf8_next(r->text + r->at, r->n - r->at, out);
        return Q_OK;
    }
    r->at++;
    int c = peek(r), rc;
    r->at += c >= 0;
    if (c == 'x' || c == 'u' || c == 'U') {
        if ((rc = hex(r, c == 'x' ? 2 : c == 'u' ? 4 : 8, out)) < 0)
            return rc;
        return *out > 0x10FFFF || (*out >= 0xD800 && *out <= 0xDFFF) ? wrong(r, at, _("this is no character: code points go up to 10FFFF, without D800 to DFFF")) : Q_OK;
    }
    const char *p = c > 0 ? strchr(from, c) : NULL;
    if (!p)
        return wrong(r, at, _("an escape that is not known: write \\\\ for a backslash itself"));
    *out = (unsigned char)to[p - from];
    return Q_OK;
}

static int quoted(reader *r, item *i)
{
    size_t from = r->at++;
    i->kind = TEXT;
    while (peek(r) >= 0 && peek(r) != '"') {
        uint32_t c;
        char u[4];
        int rc = letter(r, &c);
        if (rc < 0)
            return rc;
        q_buf_add(&i->text, u, (size_t)q_utf8_put(u, c));
    }
    if (!literally(r, "\""))
        return wrong(r, from, _("this text has no end: a \" is missing"));
    return Q_OK;
}

static int by_lo(const void *a, const void *b)
{
    const span *x = a, *y = b;
    return x->lo != y->lo ? (x->lo < y->lo ? -1 : 1) : (x->hi > y->hi) - (x->hi < y->hi);
}

static void put_span(item *i, int *cap, uint32_t lo, uint32_t hi)
{
    if (i->n == *cap) {
        *cap = *cap ? *cap * 2 : 8;
        i->span = q_realloc(i->span, sizeof *i->span * (size_t)*cap);
    }
    i->span[i->n++] = (span){ lo, hi };
}

static void join(item *i)
{
    int kept = 0;
    if (i->n)
        qsort(i->span, (size_t)i->n, sizeof *i->span, by_lo);
    for (int k = 0; k < i->n; k++) {
        if (kept && i->span[k].lo <= i->span[kept - 1].hi + 1) {
            if (i->span[k].hi > i->span[kept - 1].hi)
                i->span[kept - 1].hi = i->span[k].hi;
        } else
            i->span[kept++] = i->span[k];
    }
    i->n = kept;
}

/* Everything that the class does not hold. */
static void turn_round(item *i)
{
    span *old = i->span;
    int n = i->n, cap = 0;
    uint32_t from = 0;
    i->span = NULL;
    i->n = 0;
    for (int k = 0; k < n; k++) {
        if (old[k].lo > from)
            put_span(i, &cap, from, old[k].lo - 1);
        from = old[k].hi + 1;
    }
    if (from <= 0x10FFFF)
        put_span(i, &cap, from, 0x10FFFF);
    free(old);
}

static int class(reader *r, item *i)
{
    size_t begin = r->at++;
    int cap = 0, rc;
    bool not = literally(r, "^");
    i->kind = CLASS;
    while (peek(r) >= 0 && peek(r) != ']') {
        uint32_t lo, hi;
        size_t from = r->at;
        if ((rc = letter(r, &lo)) < 0)
            return rc;
        hi = lo;
        if (peek(r) == '-' && r->at + 1 < r->n && r->text[r->at + 1] != ']') {
            r->at++;
            if ((rc = letter(r, &hi)) < 0)
                return rc;
        }
        if (hi < lo)
            return wrong(r, from, _("this range ends before it begins: turn it round"));
        put_span(i, &cap, lo, hi);
    }
    if (!literally(r, "]"))
        return wrong(r, begin, _("this class has no end: a ] is missing"));
    join(i);
    if (not)
        turn_round(i);
    return Q_OK;
}

static int token(reader *r, item *i)
{
    size_t from = r->at;
    i->kind = TOKEN;
    if (r->at + 1 < r->n && r->text[r->at + 1] == '[')
        return wrong(r, from, _("tokens by number are other tokens in another model: write the token's name between < and >"));
    while (peek(r) >= 0 && peek(r) != '>' && peek(r) != '\n')
        r->at++;
    if (!literally(r, ">"))
        return wrong(r, from, _("this token's name has no end: a > is missing"));
    q_buf_add(&i->text, r->text + from, r->at - from);
    return i->text.len < 3 ? wrong(r, from, _("a token's name is expected between < and >")) : Q_OK;
}

/* ---- what stands for what ---- */
static void put_item(form *f, const item *i, uint32_t from, uint32_t to)
{
    switch (i->kind) {
    case TEXT: form_text(f, from, i->text.p ? i->text.p : "", i->text.len, to); break;
    case CLASS:
        for (int k = 0; k < i->n; k++)
            form_chars(f, from, i->span[k].lo, i->span[k].hi, to);
        break;
    case CALL: form_call(f, from, i->rule, to); break;
    case TOKEN: form_token(f, from, i->text.p, i->text.len, to); break;
    case GROUP:
        form_skip(f, from, i->start);
        form_skip(f, i->end, to);
        break;
    }
}

/* The state behind `least` to `most` of the item (-1: any number). */
static uint32_t put_times(reader *r, item *i, uint32_t from, long least, long most)
{
    form *f = r->f;
    if (i->kind == GROUP && (least > 1 || most > 1)) {
        char *own = q_printf("(%d)", ++r->groups);
        int rule = form_rule(f, own, 0, 0);
        form_define(f, rule, i->start, i->end);
        i->kind = CALL;
        i->rule = rule;
        free(own);
    }
    if (most < 0 && least <= 1) {                          /* one copy, that leads back before itself */
        uint32_t a = form_state(f), b = form_state(f);
        form_skip(f, from, a);
        put_item(f, i, a, b);
        form_skip(f, b, a);
        if (least == 0)
            form_skip(f, a, b);
        uint32_t out = form_state(f);
        form_skip(f, b, out);
        return out;
    }
    for (long k = 0; k < least && !form_full(f); k++) {
        uint32_t next = form_state(f);
        put_item(f, i, from, next);
        from = next;
    }
    if (most < 0) {
        uint32_t a = form_state(f);
        form_skip(f, from, a);
        put_item(f, i, a, a);
        return a;
    }
    uint32_t end = form_state(f);
    for (long k = least; k < most && !form_full(f); k++) {
        uint32_t next = form_state(f);
        form_skip(f, from, end);
        put_item(f, i, from, next);
        from = next;
    }
    form_skip(f, from, end);
    return end;
}

static int number(reader *r, long *out)
{
    size_t from = r->at;
    *out = 0;
    for (; peek(r) >= '0' && peek(r) <= '9'; r->at++)
        if ((*out = *out * 10 + (peek(r) - '0')) > REPEATS)
            return wrong(r, from, _("this number of repetitions is too large"));
    return r->at == from ? wrong(r, from, _("a number is expected here: {m}, {m,} or {m,n}")) : Q_OK;
}

/* How often: what stands behind an item. */
static int times(reader *r, long *least, long *most)
{
    int c = peek(r), rc;
    *least = c == '*' || c == '?' ? 0 : 1;
    *most = c == '*' || c == '+' ? -1 : 1;
    if (c == '*' || c == '+' || c == '?') {
        r->at++;
        return Q_OK;
    }
    if (c != '{')
        return Q_OK;
    size_t from = r->at++;
    blanks(r, false);
    *least = 0;
    if (peek(r) != ',' && (rc = number(r, least)) < 0)
        return rc;
    *most = *least;
    blanks(r, false);
    if (literally(r, ",")) {
        blanks(r, false);
        *most = -1;
        if (peek(r) != '}' && (rc = number(r, most)) < 0)
            return rc;
        blanks(r, false);
    }
    if (!literally(r, "}"))
        return wrong(r, r->at, _("a } is missing behind this number of repetitions"));
    return *most >= 0 && *most < *least ? wrong(r, from, _("at most fewer than at least: turn the two numbers round")) : Q_OK;
}

static int alternatives(reader *r, uint32_t from, uint32_t to, bool nested);

static int one(reader *r, item *i)
{
    int c = peek(r), cap = 0, rc;
    char word[NAME];
    if (c == '"')
        return quoted(r, i);
    if (c == '[')
        return class(r, i);
    if (c == '<')
        return token(r, i);
    if (c == '!')
        return wrong(r, r->at, _("\"any token but this\" (!) is not known here: a grammar speaks of letters"));
    if (c == '.') {
        r->at++;
        i->kind = CLASS;
        put_span(i, &cap, 0, 0x10FFFF);
        return Q_OK;
    }
    if (c == '(') {
        size_t begin = r->at++;
        if (++r->depth > DEEPEST)
            return wrong(r, begin, _("groups are too deep here: give inner ones a rule of their own"));
        i->kind = GROUP;
        i->start = form_state(r->f);
        i->end = form_state(r->f);
        blanks(r, true);
        if ((rc = alternatives(r, i->start, i->end, true)) < 0)
            return rc;
        r->depth--;
        return literally(r, ")") ? Q_OK : wrong(r, begin, _("this group has no end: a ) is missing"));
    }
    int line, column;
    place(r, r->at, &line, &column);
    if ((rc = name(r, word)) < 0)
        return rc;
    i->kind = CALL;
    i->rule = form_named(r->f, word);
    if (i->rule < 0)
        i->rule = form_rule(r->f, word, line, column);
    return Q_OK;
}

static void item_free(item *i)
{
    q_buf_free(&i->text);
    free(i->span);
}

static bool begins(int c) { return c == '"' || c == '[' || c == '<' || c == '!' || c == '.' || c == '(' || name_letter(c); }

static int sequence(reader *r, uint32_t from, uint32_t to, bool nested)
{
    while (begins(peek(r))) {
        item i = { .kind = TEXT };
        long least = 1, most = 1;
        int rc = one(r, &i);
        if (rc == Q_OK)
            rc = times(r, &least, &most);
        if (rc == Q_OK)
            from = put_times(r, &i, from, least, most);
        item_free(&i);
        if (rc < 0)
            return rc;
        blanks(r, nested);
        if (peek(r) == '*' || peek(r) == '+' || peek(r) == '?' || peek(r) == '{')
            return wrong(r, r->at, _("there is nothing before this to repeat: put a group in ( ) around what is repeated already"));
    }
    form_skip(r->f, from, to);
    return Q_OK;
}

static int alternatives(reader *r, uint32_t from, uint32_t to, bool nested)
{
    int rc = sequence(r, from, to, nested);
    while (rc == Q_OK && literally(r, "|")) {
        blanks(r, true);
        rc = sequence(r, from, to, nested);
    }
    return rc;
}

static int rule(reader *r)
{
    char word[NAME];
    int line, column, rc;
    size_t from = r->at;
    place(r, from, &line, &column);
    if ((rc = name(r, word)) < 0)
        return rc;
    blanks(r, false);
    if (!literally(r, "::="))
        return wrong(r, r->at, _("::= is expected here, behind the rule's name"));
    blanks(r, true);
    int i = form_named(r->f, word);
    if (i < 0)
        i = form_rule(r->f, word, line, column);
    else if (form_defined(r->f, i))
        return wrong(r, from, _("this rule is defined twice: join the two with |"));
    uint32_t a = form_state(r->f), b = form_state(r->f);
    if ((rc = alternatives(r, a, b, false)) < 0)
        return rc;
    form_define(r->f, i, a, b);
    if (peek(r) >= 0 && peek(r) != '\n')
        return wrong(r, r->at, _("something that does not belong here: a text in \" \", a class in [ ], a group in ( ), a rule's name, or a new line"));
    return Q_OK;
}

int gbnf_read(form *f, const char *text, size_t n, char *err)
{
    reader r = { .f = f, .text = text, .n = n, .err = err };
    int rc = Q_OK;
    size_t good = 0;
    while (good < n) {
        uint32_t c;
        int k = q_utf8_next(text + good, n - good, &c);
        if (k == 1 && c == 0xFFFD)
            return wrong(&r, good, _("this byte is no UTF-8: save the file as UTF-8"));
        good += (size_t)k;
    }
    for (blanks(&r, true); r.at < n && rc == Q_OK && !form_full(f); blanks(&r, true))
        rc = rule(&r);
    if (rc == Q_OK && form_named(f, "root") < 0)
        rc = q_fail(err, Q_FORMAT, _("the grammar has no rule \"root\": it is the one that a text begins with"));
    return rc;
}
