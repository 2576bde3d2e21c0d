/* engine/grammar/pattern: regular expressions of ECMA-262 as letters: alternatives, groups (plain, (?:), named), classes, . \d \w \s and their
 * opposites, \uXXXX \u{X} \xXX \cX, * + ? {m,n} and their lazy forms, ^ at the beginning and $ at the end of an alternative of the whole. Refused: ^ and
 * $ elsewhere, looking ahead or behind, \b, back references, properties \p. */
#include "engine/grammar/letters.h"

#include <stdlib.h>
#include <string.h>

enum { LAST = 0x10FFFF, DEEPEST = 100, REPEATS = 10000, RANGES = 512 };
static const uint32_t SKIP = UINT32_MAX;      /* the letter of an empty step */

typedef struct range { uint32_t lo, hi; } range;
typedef struct class { range r[RANGES]; int n; } class;

typedef struct parser {
    const char *p; size_t n, at;
    letters_step *step; size_t n_step, cap_step;           /* lo SKIP: an empty one */
    uint32_t states;
    int depth;
    bool outside;                        /* in a class of what it does not hold */
    const char *what; size_t wrong_at;
} parser;

static int wrong(parser *r, size_t at, const char *what)
{
    r->what = what;
    r->wrong_at = at;
    return Q_FORMAT;
}

static int too_large(parser *r)
{
    r->what = N_("the expression becomes too large: take smaller repetitions");
    r->wrong_at = 0;
    return Q_RANGE;
}

static bool full(const parser *r) { return r->states >= LETTERS_STATES || r->n_step >= (size_t)LETTERS_STATES * 4; }
static uint32_t state(parser *r) { return full(r) ? 0 : r->states++; }

static void step(parser *r, uint32_t from, uint32_t lo, uint32_t hi, uint32_t to)
{
    if (full(r))
        return;
    if (r->n_step == r->cap_step) {
        r->cap_step = r->cap_step ? r->cap_step * 2 : 64;
        r->step = q_realloc(r->step, sizeof *r->step * r->cap_step);
    }
    r->step[r->n_step++] = (letters_step){ from, to, lo, hi };
}

static void skip(parser *r, uint32_t from, uint32_t to) { step(r, from, SKIP, SKIP, to); }
static int peek(const parser *r) { return r->at < r->n ? (unsigned char)r->p[r->at] : -1; }

static bool literally(parser *r, const char *s)
{
    size_t k = strlen(s);
    if (r->n - r->at < k || memcmp(r->p + r->at, s, k) != 0)
        return false;
    r->at += k;
    return true;
}

/* ---- classes ---- */
static void put(class *c, uint32_t lo, uint32_t hi)
{
    if (c->n < RANGES)
        c->r[c->n++] = (range){ lo, hi };
}

static int by_lo(const void *a, const void *b)
{
    const range *x = a, *y = b;
    return (x->lo > y->lo) - (x->lo < y->lo);
}

static void turn_round(class *c)
{
    class old = *c;
    uint32_t from = 0;
    qsort(old.r, (size_t)old.n, sizeof *old.r, by_lo);
    c->n = 0;
    for (int i = 0; i < old.n; i++) {
        if (old.r[i].lo > from)
            put(c, from, old.r[i].lo - 1);
        if (old.r[i].hi + 1 > from)
            from = old.r[i].hi + 1;
    }
    if (from <= LAST)
        put(c, from, LAST);
}

/* Some dialects take more for white space than ECMA-262: that is left out where white space is to be none. */
static void named_class(int letter, bool outside, class *out)
{
    static const range blank[] = { { 9, 13 }, { 32, 32 }, { 0xA0, 0xA0 }, { 0x1680, 0x1680 }, { 0x2000, 0x200A }, { 0x2028, 0x2029 }, { 0x202F, 0x202F }, { 0x205F, 0x205F }, { 0x3000, 0x3000 }, { 0xFEFF, 0xFEFF } };
    class c = { .n = 0 };
    if (letter == 'd' || letter == 'D' || letter == 'w' || letter == 'W')
        put(&c, '0', '9');
    if (letter == 'w' || letter == 'W') {
        put(&c, 'A', 'Z');
        put(&c, '_', '_');
        put(&c, 'a', 'z');
    }
    for (size_t i = 0; (letter == 's' || letter == 'S') && i < sizeof blank / sizeof *blank; i++)
        put(&c, blank[i].lo, blank[i].hi);
    if (letter == (outside ? 's' : 'S')) {
        put(&c, 0x1C, 0x1F);
        put(&c, 0x85, 0x85);
    }
    if (letter == 'D' || letter == 'W' || letter == 'S')
        turn_round(&c);
    for (int i = 0; i < c.n; i++)
        put(out, c.r[i].lo, c.r[i].hi);
}

static int hex(parser *r, int least, int most, uint32_t *out)
{
    int k = 0;
    *out = 0;
    for (; k < most; k++, r->at++) {
        int c = peek(r), d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (d < 0)
            break;
        *out = *out << 4 | (uint32_t)d;
    }
    return k < least || *out > LAST ? wrong(r, r->at, N_("hexadecimal digits are expected here")) : Q_OK;
}

/* Behind a backslash: one letter, or a class (then *many). */
static int escape(parser *r, class *out, bool *many)
{
    static const char from[] = "nrtfv", to[] = "\n\r\t\f\v";
    size_t at = r->at - 1;
    int c = peek(r), rc;
    uint32_t x;
    *many = false;
    if (c < 0)
        return wrong(r, at, N_("a backslash with nothing behind it"));
    if (strchr("dDwWsS", c)) {
        r->at++;
        *many = true;
        named_class(c, r->outside, out);
        return Q_OK;
    }
    const char *p = strchr(from, c);
    if (p) {
        r->at++;
        x = (unsigned char)to[p - from];
    } else if (c == 'x' || c == 'u') {
        r->at++;
        bool braces = c == 'u' && literally(r, "{");
        if ((rc = hex(r, braces ? 1 : c == 'x' ? 2 : 4, braces ? 6 : c == 'x' ? 2 : 4, &x)) < 0)
            return rc;
        if (braces && !literally(r, "}"))
            return wrong(r, r->at, N_("a } is missing here"));
        if (!braces && x >= 0xD800 && x <= 0xDBFF && literally(r, "\\u")) {
            uint32_t low;
            if ((rc = hex(r, 4, 4, &low)) < 0)
                return rc;
            x = 0x10000 + ((x - 0xD800) << 10) + (low & 0x3FF);
        }
    } else if (c == 'c' && r->at + 1 < r->n && ((r->p[r->at + 1] | 32) >= 'a' && (r->p[r->at + 1] | 32) <= 'z')) {
        x = (uint32_t)r->p[r->at + 1] & 31;
        r->at += 2;
    } else if (c == '0' && !(r->at + 1 < r->n && r->p[r->at + 1] >= '0' && r->p[r->at + 1] <= '9')) {
        x = 0;
        r->at++;
    } else if ((c >= '0' && c <= '9') || c == 'k')
        return wrong(r, at, N_("back references cannot be held"));
    else if (c == 'b' || c == 'B')
        return wrong(r, at, N_("word boundaries (\\b) cannot be held"));
    else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return wrong(r, at, N_("this escape cannot be held"));
    else
        r->at += (size_t)q_utf8_next(r->p + r->at, r->n - r->at, &x);
    put(out, x, x);
    return Q_OK;
}

/* One letter of a class, or several at once (*many). */
static int class_letter(parser *r, class *out, uint32_t *x, bool *many)
{
    int rc, had = out->n;
    *many = false;
    if (peek(r) == '\\') {
        r->at++;
        if (peek(r) == 'b') {            /* in a class it is the backspace */
            r->at++;
            *x = 8;
            return Q_OK;
        }
        if ((rc = escape(r, out, many)) < 0)
            return rc;
        if (!*many) {
            *x = out->r[had].lo;
            out->n = had;
        }
        return Q_OK;
    }
    r->at += (size_t)q_utf8_next(r->p + r->at, r->n - r->at, x);
    return Q_OK;
}

static int bracket(parser *r, class *out)
{
    size_t begin = r->at++;
    bool outside = literally(r, "^"), many, also;
    int rc;
    r->outside = outside;
    while (peek(r) >= 0 && peek(r) != ']') {
        size_t from = r->at;
        uint32_t lo = 0, hi = 0;
        if ((rc = class_letter(r, out, &lo, &many)) < 0)
            return rc;
        if (many)
            continue;
        hi = lo;
        if (peek(r) == '-' && r->at + 1 < r->n && r->p[r->at + 1] != ']') {
            r->at++;
            if ((rc = class_letter(r, out, &hi, &also)) < 0)
                return rc;
            if (also) {                  /* [a-\d]: the hyphen is itself */
                put(out, '-', '-');
                hi = lo;
            }
        }
        if (hi < lo)
            return wrong(r, from, N_("this range ends before it begins"));
        put(out, lo, hi);
    }
    r->outside = false;
    if (!literally(r, "]"))
        return wrong(r, begin, N_("a ] is missing"));
    if (out->n >= RANGES - 2)
        return wrong(r, begin, N_("this class is too long"));
    if (outside)
        turn_round(out);
    return Q_OK;
}

/* ---- the expression ---- */
static int alternatives(parser *r, uint32_t from, uint32_t to, bool outermost);

/* One thing that may be repeated, from `from` to `to`. */
static int atom(parser *r, uint32_t from, uint32_t to)
{
    class c = { .n = 0 };
    bool many;
    int rc = Q_OK, ch = peek(r);
    size_t at = r->at;
    if (ch == '(') {
        r->at++;
        if (literally(r, "?") && !literally(r, ":")) {
            if (!literally(r, "<") || peek(r) == '=' || peek(r) == '!')
                return wrong(r, at, N_("looking ahead or behind ((?=, (?!, (?<) cannot be held"));
            while (peek(r) >= 0 && peek(r) != '>')
                r->at++;
            r->at += peek(r) == '>';
        }
        if (++r->depth > DEEPEST)
            return wrong(r, at, N_("groups are too deep here"));
        rc = alternatives(r, from, to, false);
        r->depth--;
        return rc < 0 ? rc : literally(r, ")") ? Q_OK : wrong(r, at, N_("a ) is missing"));
    }
    if (ch == '^' || ch == '$')
        return wrong(r, at, N_("^ and $ are held only at the beginning and the end of the whole expression"));
    if (ch == '*' || ch == '+' || ch == '?')
        return wrong(r, at, N_("there is nothing before this to repeat"));
    if (ch == '[')
        rc = bracket(r, &c);
    else if (ch == '.') {
        r->at++;
        put(&c, '\n', '\n');
        put(&c, '\r', '\r');
        put(&c, 0x2028, 0x2029);
        turn_round(&c);
    } else if (ch == '\\') {
        r->at++;
        rc = escape(r, &c, &many);
    } else {
        uint32_t x;
        r->at += (size_t)q_utf8_next(r->p + r->at, r->n - r->at, &x);
        put(&c, x, x);
    }
    for (int i = 0; i < c.n; i++)
        step(r, from, c.r[i].lo, c.r[i].hi, to);
    return rc;
}

/* {m}, {m,}, {m,n}; anything else is letters. */
static bool counted(parser *r, long *least, long *most)
{
    size_t i = r->at + 1;
    long v[2] = { 0, 0 };
    int which = 0, digits = 0;
    for (; i < r->n && r->p[i] != '}'; i++) {
        if (r->p[i] == ',' && which == 0 && digits) {
            which = 1;
            digits = 0;
        } else if (r->p[i] >= '0' && r->p[i] <= '9') {
            v[which] = v[which] > REPEATS ? v[which] : v[which] * 10 + (r->p[i] - '0');
            digits++;
        } else
            return false;
    }
    if (i == r->n || (which == 0 && !digits))
        return false;
    r->at = i + 1;
    *least = v[0];
    *most = which == 0 ? v[0] : digits ? v[1] : -1;
    return true;
}

static int repeated(parser *r, uint32_t *from)
{
    size_t begin = r->at, behind;
    uint32_t a = state(r), b = state(r);
    long least = 1, most = 1;
    size_t made = r->n_step;
    int rc = atom(r, a, b), c = peek(r);
    if (rc < 0)
        return rc;
    if (c == '*' || c == '+' || c == '?') {
        r->at++;
        least = c == '+';
        most = c == '?' ? 1 : -1;
    } else if (c == '{' && counted(r, &least, &most)) {
        if (least > REPEATS || most > REPEATS || (most >= 0 && most < least))
            return wrong(r, begin, N_("this number of repetitions cannot be held"));
    } else
        c = 0;
    if (c)
        literally(r, "?");               /* lazy: the same texts */
    behind = r->at;
    if (least == 1 && most == 1) {
        skip(r, *from, a);
        *from = b;
        return Q_OK;
    }
    r->n_step = made;                    /* read again for each copy */
    uint32_t end = state(r);
    long copies = most < 0 ? (least ? least : 1) : most;
    for (long k = 0; k < copies; k++) {
        if (full(r))
            return too_large(r);
        a = state(r);
        b = state(r);
        r->at = begin;
        skip(r, *from, a);
        if (k >= least)
            skip(r, *from, end);
        if ((rc = atom(r, a, b)) < 0)
            return rc;
        if (most < 0 && k + 1 == copies)
            skip(r, b, a);
        *from = b;
    }
    skip(r, *from, end);
    *from = end;
    r->at = behind;
    return Q_OK;
}

static int alternative(parser *r, uint32_t from, uint32_t to, bool outermost)
{
    bool begins = outermost && literally(r, "^"), ends = false;
    int rc;
    uint32_t at = state(r);
    skip(r, from, at);
    if (outermost && !begins)
        step(r, at, 0, LAST, at);
    uint32_t first = state(r);
    skip(r, at, first);
    at = first;
    while (peek(r) >= 0 && peek(r) != '|' && peek(r) != ')') {
        if (outermost && peek(r) == '$' && (r->at + 1 == r->n || r->p[r->at + 1] == '|')) {
            r->at++;
            ends = true;
            break;
        }
        if ((rc = repeated(r, &at)) < 0)
            return rc;
        if (full(r))
            return too_large(r);
    }
    if (outermost && !ends) {
        uint32_t last = state(r);
        skip(r, at, last);
        step(r, last, 0, LAST, last);
        at = last;
    }
    skip(r, at, to);
    return Q_OK;
}

static int alternatives(parser *r, uint32_t from, uint32_t to, bool outermost)
{
    int rc = alternative(r, from, to, outermost);
    while (rc == Q_OK && literally(r, "|"))
        rc = alternative(r, from, to, outermost);
    return rc;
}

/* ---- without empty steps ---- */
static int finish(parser *r, uint32_t end, letters *out)
{
    size_t *first = q_alloc(sizeof *first * ((size_t)r->states + 2));
    uint32_t *list = q_alloc(sizeof *list * (r->states + 1)), *stamp = q_alloc(sizeof *stamp * (r->states + 1));
    bool large = false;
    *out = (letters){ .states = r->states, .end = q_alloc(sizeof(bool) * (r->states + 1)) };
    if (r->n_step)
        qsort(r->step, r->n_step, sizeof *r->step, letters_order);
    for (size_t i = 0; i < r->n_step; i++)
        first[r->step[i].from + 1]++;
    for (uint32_t s = 0; s < r->states; s++)
        first[s + 1] += first[s];
    for (uint32_t s = 0; s < r->states && !large; s++) {
        uint32_t n = 0;
        size_t from = out->n, kept;
        list[n++] = s;
        stamp[s] = s + 1;
        for (uint32_t i = 0; i < n; i++) {
            out->end[s] |= list[i] == end;
            for (size_t e = first[list[i]]; e < first[list[i] + 1]; e++) {
                letters_step t = r->step[e];
                if (t.lo == SKIP) {
                    if (stamp[t.to] != s + 1) {
                        stamp[t.to] = s + 1;
                        list[n++] = t.to;
                    }
                    continue;
                }
                if (out->n == out->cap) {
                    out->cap = out->cap ? out->cap * 2 : 64;
                    out->step = q_realloc(out->step, sizeof *out->step * out->cap);
                }
                t.from = s;
                out->step[out->n++] = t;
            }
        }
        if (out->n > from)
            qsort(out->step + from, out->n - from, sizeof *out->step, letters_order);
        kept = from;
        for (size_t i = from; i < out->n; i++)
            if (i == from || letters_order(&out->step[i], &out->step[kept - 1]) != 0)
                out->step[kept++] = out->step[i];
        out->n = kept;
        large = out->n > (size_t)LETTERS_STATES * 16;
    }
    free(first);
    free(list);
    free(stamp);
    if (large)
        letters_free(out);
    return large ? too_large(r) : Q_OK;
}

static int make(parser *r, bool anywhere, letters *out)
{
    uint32_t start = state(r), end = state(r);
    int rc = alternatives(r, start, end, anywhere);
    if (rc == Q_OK && r->at < r->n)
        rc = wrong(r, r->at, N_("a ) with no ( before it"));
    if (rc == Q_OK)
        rc = full(r) ? too_large(r) : finish(r, end, out);
    free(r->step);
    return rc;
}

int letters_pattern(const char *p, size_t n, letters *out, size_t *at, const char **what)
{
    parser r = { .p = p, .n = n };
    int rc = make(&r, true, out);
    *at = r.wrong_at;
    *what = r.what;
    return rc;
}

int letters_whole(const char *p, letters *out)
{
    parser r = { .p = p, .n = strlen(p) };
    return make(&r, false, out);
}
