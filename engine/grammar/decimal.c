/* engine/grammar/decimal: see decimal.h. A number's digits come from the highest on, so the number of those before the point is chosen first;
 * then a state remembers how many came and whether they are still those of a bound. */
#include "engine/grammar/decimal.h"

#include <stdlib.h>
#include <string.h>

bool decimal_read(const char *t, decimal *out)
{
    int before = 0, n = 0, lead = 0;
    long e = 0;
    bool point = false, e_minus = false;
    *out = (decimal){ .minus = *t == '-' };
    t += *t == '-';
    for (; (*t >= '0' && *t <= '9') || *t == '.'; t++) {
        if (*t == '.') {
            point = true;
            continue;
        }
        before += !point;
        if (n == 0 && *t == '0') {
            lead++;
            continue;
        }
        if (n < DECIMAL_DIGITS)
            out->digit[n] = *t;
        else if (*t != '0')
            return false;
        n++;
    }
    if (*t == 'e' || *t == 'E') {
        t++;
        e_minus = *t == '-';
        t += *t == '-' || *t == '+';
        for (; *t >= '0' && *t <= '9'; t++)
            e = e > 100000 ? e : e * 10 + (*t - '0');
    }
    n = n < DECIMAL_DIGITS ? n : DECIMAL_DIGITS;
    while (n && out->digit[n - 1] == '0')
        n--;
    out->n = n;
    long p = before - lead + (e_minus ? -e : e);
    if (n == 0) {
        out->minus = false;
        return true;
    }
    out->point = (int)p;
    return p <= DECIMAL_DIGITS && p >= -DECIMAL_DIGITS && n - p <= DECIMAL_DIGITS;
}

static int magnitude(const decimal *a, const decimal *b)
{
    if (!a->n || !b->n)
        return (a->n > 0) - (b->n > 0);
    if (a->point != b->point)
        return a->point < b->point ? -1 : 1;
    int n = a->n < b->n ? a->n : b->n, d = memcmp(a->digit, b->digit, (size_t)n);
    return d ? d : (a->n > b->n) - (a->n < b->n);
}

int decimal_compare(const decimal *a, const decimal *b)
{
    if (a->minus != b->minus)
        return a->minus ? -1 : 1;
    return a->minus ? magnitude(b, a) : magnitude(a, b);
}

bool decimal_whole(const decimal *x) { return x->n <= x->point || x->n == 0; }

/* ---- numbers that are not negative ---- */
static int int_digits(const decimal *x) { return x->point > 1 && x->n ? x->point : 1; }

/* The digit of x where a number with `len` digits before its point has its digit `pos`. */
static int digit_at(const decimal *x, int len, int pos)
{
    int k = x->point - len + pos;
    return x->n && k >= 0 && k < x->n ? x->digit[k] - '0' : 0;
}

static bool zeros_from(const decimal *x, int len, int pos) { return !x->n || x->point - len + pos >= x->n; }

/* Digits that a double keeps: two numbers of so many are two doubles, in the same order. A fraction has no more, nor more than the bounds
 * have, so that who reads it as a double finds it within them too. */
enum { SURE = 15 };

typedef struct maker {
    form *f;
    decimal lo, hi;
    bool lo_open, hi_open, bounded, whole;
    uint32_t to;
    uint32_t more[DECIMAL_DIGITS + SURE + 1];      /* up to so many more digits of a fraction; UINT32_MAX: not made yet */
    /* of one number of digits before the point */
    uint32_t any[DECIMAL_DIGITS + 1];    /* so many more of them, then what comes after; likewise */
    int len, places;                     /* places: digits at most, before and behind the point */
    uint32_t *memo;                      /* [3][places + 2][4] */
} maker;

static uint32_t more_digits(maker *m, int n)
{
    for (int k = 0; k <= n; k++) {
        if (m->more[k] != UINT32_MAX)
            continue;
        m->more[k] = form_state(m->f);
        form_skip(m->f, m->more[k], m->to);
        if (k)
            form_bytes(m->f, m->more[k], '0', '9', m->more[k - 1]);
    }
    return m->more[n];
}

/* What may follow the digits before the point where no bound matters any more. */
static void any_fraction(maker *m, uint32_t from)
{
    form_skip(m->f, from, m->to);
    if (m->whole || m->places <= m->len)
        return;
    uint32_t point = form_state(m->f);
    form_bytes(m->f, from, '.', '.', point);
    form_bytes(m->f, point, '0', '9', more_digits(m, m->places - m->len - 1));
}

static uint32_t any_digits(maker *m, int n)
{
    if (m->any[n] == UINT32_MAX) {
        uint32_t s = m->any[n] = form_state(m->f);
        if (n == 0)
            any_fraction(m, s);
        else
            form_bytes(m->f, s, '0', '9', any_digits(m, n - 1));
    }
    return m->any[n];
}

enum part { BEFORE, POINT, BEHIND };     /* digits before the point, the point was read, digits behind it */
enum { LOW = 1, HIGH = 2 };              /* the digits so far are those of this bound */

static bool fits(const maker *m, int pos, unsigned at)
{
    if ((at & LOW) && (!zeros_from(&m->lo, m->len, pos) || m->lo_open))
        return false;
    return !((at & HIGH) && zeros_from(&m->hi, m->len, pos) && m->hi_open);
}

static uint32_t put_state(maker *m, enum part part, int pos, unsigned at);

static uint32_t next_state(maker *m, enum part part, int pos, unsigned at)
{
    if (at == 0)
        return part == BEFORE ? any_digits(m, m->len - pos) : more_digits(m, m->places - pos);
    return put_state(m, part, pos, at);
}

static void put_digits(maker *m, uint32_t s, enum part part, int pos, unsigned at)
{
    int least = pos == 0 && m->len > 1 && part == BEFORE ? 1 : 0;
    int low = at & LOW ? digit_at(&m->lo, m->len, pos) : 0, high = at & HIGH ? digit_at(&m->hi, m->len, pos) : 9;
    int from = low > least ? low : least;
    for (int d = from; d <= high; d++) {
        unsigned then = (at & LOW && d == low ? LOW : 0) | (at & HIGH && d == high ? HIGH : 0);
        int last = d;
        while (then == 0 && last + 1 <= high && !(at & HIGH && last + 1 == high))
            last++;
        form_bytes(m->f, s, '0' + d, '0' + last, next_state(m, part == POINT ? BEHIND : part, pos + 1, then));
        d = last;
    }
}

static uint32_t put_state(maker *m, enum part part, int pos, unsigned at)
{
    uint32_t *memo = &m->memo[((size_t)part * (size_t)(m->places + 2) + (size_t)pos) * 4 + at];
    if (*memo != UINT32_MAX)
        return *memo;
    uint32_t s = *memo = form_state(m->f);
    bool done = part == BEHIND || (part == BEFORE && pos == m->len);
    if (form_full(m->f))
        return s;
    if (done && fits(m, pos, at))
        form_skip(m->f, s, m->to);
    if (part == BEFORE && pos == m->len) {
        if (!m->whole && pos < m->places)
            form_bytes(m->f, s, '.', '.', put_state(m, POINT, pos, at));
        return s;
    }
    if (pos < m->places)
        put_digits(m, s, part, pos, at);
    return s;
}

static int fraction_digits(const decimal *x) { return x->n > x->point ? x->n - x->point : 0; }      /* at most DECIMAL_DIGITS */

/* Numbers of m->len digits before the point; at: which bounds have as many. */
static void put_length(maker *m, uint32_t from, int behind, unsigned at)
{
    int sure = m->len < SURE ? SURE - m->len : 0;
    m->places = m->len + (behind > sure ? behind : sure);
    for (int i = 0; i <= DECIMAL_DIGITS; i++)
        m->any[i] = UINT32_MAX;
    if (at == 0) {
        form_bytes(m->f, from, '1', '9', any_digits(m, m->len - 1));
        return;
    }
    size_t size = sizeof *m->memo * 3 * 4 * (size_t)(m->places + 2);
    m->memo = q_alloc(size);
    memset(m->memo, 0xFF, size);
    form_skip(m->f, from, put_state(m, BEFORE, 0, at));
    free(m->memo);
}

/* From the number lo on, up to hi where it is bounded. */
static void put_positive(maker *m, uint32_t from)
{
    int least = int_digits(&m->lo), most = m->bounded ? int_digits(&m->hi) : least, behind = fraction_digits(&m->lo);
    if (m->bounded && fraction_digits(&m->hi) > behind)
        behind = fraction_digits(&m->hi);
    memset(m->more, 0xFF, sizeof m->more);
    for (m->len = least; m->len <= most && !form_full(m->f); m->len++)
        put_length(m, from, behind, (m->len == least ? LOW : 0) | (m->bounded && m->len == most ? HIGH : 0));
    if (m->bounded)
        return;
    uint32_t first = form_state(m->f), last = form_state(m->f);      /* longer ones: one digit more, and any number of them */
    m->len = least + 1;
    m->places = m->len + SURE;
    form_bytes(m->f, from, '1', '9', first);
    form_bytes(m->f, first, '0', '9', first);
    for (int i = 1; i < least; i++) {
        uint32_t next = form_state(m->f);
        form_bytes(m->f, first, '0', '9', next);
        first = next;
    }
    form_bytes(m->f, first, '0', '9', last);
    any_fraction(m, last);
}

static void put_free(form *f, uint32_t from, bool whole, uint32_t to)
{
    uint32_t first = form_state(f), digits = form_state(f), dot = form_state(f), behind = form_state(f), e = form_state(f), sign = form_state(f),
             e1 = form_state(f), e2 = form_state(f), after = form_state(f);
    form_skip(f, from, first);
    form_bytes(f, from, '-', '-', first);
    form_bytes(f, first, '0', '0', after);
    form_bytes(f, first, '1', '9', digits);
    form_bytes(f, digits, '0', '9', digits);
    form_skip(f, digits, after);
    form_skip(f, after, to);
    if (whole)
        return;
    form_bytes(f, after, '.', '.', dot);
    form_bytes(f, dot, '0', '9', behind);
    form_bytes(f, behind, '0', '9', behind);
    form_skip(f, behind, to);
    for (int i = 0; i < 2; i++) {
        form_bytes(f, i ? after : behind, 'e', 'e', e);
        form_bytes(f, i ? after : behind, 'E', 'E', e);
    }
    form_skip(f, e, sign);
    form_bytes(f, e, '+', '+', sign);
    form_bytes(f, e, '-', '-', sign);
    form_bytes(f, sign, '0', '9', e1);
    form_skip(f, e1, to);
    form_bytes(f, e1, '0', '9', e2);     /* up to 99: beyond 308 many readers have no number */
    form_skip(f, e2, to);
}

void decimal_put(form *f, uint32_t from, const decimal_bound *lo, const decimal_bound *hi, bool whole, uint32_t to)
{
    if (!lo->there && !hi->there) {
        put_free(f, from, whole, to);
        return;
    }
    maker *m = q_alloc(sizeof *m);
    if (!hi->there || !hi->x.minus) {    /* those that are not negative */
        bool zero = !lo->there || lo->x.minus;
        *m = (maker){ .f = f, .lo = zero ? (decimal){ 0 } : lo->x, .lo_open = !zero && lo->open, .hi = hi->x, .hi_open = hi->open,
                      .bounded = hi->there, .whole = whole, .to = to };
        if (!m->bounded || magnitude(&m->lo, &m->hi) <= 0)
            put_positive(m, from);
    }
    if (!lo->there || lo->x.minus) {
        bool zero = !hi->there || !hi->x.minus;
        uint32_t minus = form_state(f);
        form_bytes(f, from, '-', '-', minus);
        *m = (maker){ .f = f, .lo = zero ? (decimal){ 0 } : hi->x, .lo_open = zero || hi->open, .hi = lo->x, .hi_open = lo->open,
                      .bounded = lo->there, .whole = whole, .to = to };
        if (!m->bounded || magnitude(&m->lo, &m->hi) <= 0)
            put_positive(m, minus);
    }
    free(m);
}

bool decimal_none(const decimal_bound *lo, const decimal_bound *hi, bool whole)
{
    char err[Q_ERRLEN];
    if (!lo->there || !hi->there)
        return false;
    form *f = form_new();
    int r = form_rule(f, "number", 0, 0);
    uint32_t a = form_state(f), b = form_state(f);
    decimal_put(f, a, lo, hi, whole, b);
    form_define(f, r, a, b);
    bool none = form_finish(f, r, err) == Q_FORMAT;
    form_free(f);
    return none;
}
