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

typedef struct maker {
    form *f;
    decimal lo, hi;
    bool lo_open, hi_open, bounded, whole;
    uint32_t to;
    uint32_t any[DECIMAL_DIGITS + 1];    /* behind it so many more digits, then what comes after them; UINT32_MAX: not made yet */
    uint32_t fraction;                   /* digits of a fraction, none yet */
    /* of one number of digits */
    int len, places;                     /* places: from where on all digits of the bounds are 0 */
    uint32_t *memo;                      /* [3][places + 2][4] */
} maker;

/* What may follow the digits before the point where no bound matters any more. */
static void any_fraction(maker *m, uint32_t from)
{
    form_skip(m->f, from, m->to);
    if (m->whole)
        return;
    if (m->fraction == UINT32_MAX) {
        m->fraction = form_state(m->f);
        uint32_t some = form_state(m->f);
        form_bytes(m->f, m->fraction, '0', '9', some);
        form_bytes(m->f, some, '0', '9', some);
        form_skip(m->f, some, m->to);
    }
    form_bytes(m->f, from, '.', '.', m->fraction);
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
    if (at == 0 && part == BEFORE)
        return any_digits(m, m->len - pos);
    return put_state(m, part, pos, at);
}

static void put_digits(maker *m, uint32_t s, enum part part, int pos, unsigned at)
{
    int least = pos == 0 && m->len > 1 && part == BEFORE ? 1 : 0, next = pos + 1 > m->places && part != BEFORE ? m->places : pos + 1;
    int low = at & LOW ? digit_at(&m->lo, m->len, pos) : 0, high = at & HIGH ? digit_at(&m->hi, m->len, pos) : 9;
    int from = low > least ? low : least;
    for (int d = from; d <= high; d++) {
        unsigned then = (at & LOW && d == low ? LOW : 0) | (at & HIGH && d == high ? HIGH : 0);
        int last = d;
        while (then == 0 && last + 1 <= high && !(at & HIGH && last + 1 == high))
            last++;
        form_bytes(m->f, s, '0' + d, '0' + last, next_state(m, part == POINT ? BEHIND : part, next, then));
        d = last;
    }
}

static uint32_t put_state(maker *m, enum part part, int pos, unsigned at)
{
    if (at == 0 && part != BEFORE)
        pos = m->places;
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
        if (!m->whole)
            form_bytes(m->f, s, '.', '.', put_state(m, POINT, pos, at));
        return s;
    }
    put_digits(m, s, part, pos, at);
    return s;
}

static int fraction_digits(const decimal *x) { return x->n > x->point ? x->n - x->point : 0; }

/* From the number lo on, up to hi where it is bounded. */
static void put_positive(maker *m, uint32_t from)
{
    int least = int_digits(&m->lo), most = m->bounded ? int_digits(&m->hi) : least, behind = fraction_digits(&m->lo);
    if (m->bounded && fraction_digits(&m->hi) > behind)
        behind = fraction_digits(&m->hi);
    m->fraction = UINT32_MAX;
    for (int i = 0; i <= DECIMAL_DIGITS; i++)
        m->any[i] = UINT32_MAX;
    for (m->len = least; m->len <= most && !form_full(m->f); m->len++) {
        unsigned at = (m->len == least ? LOW : 0) | (m->bounded && m->len == most ? HIGH : 0);
        if (at == 0) {
            form_bytes(m->f, from, '1', '9', any_digits(m, m->len - 1));
            continue;
        }
        m->places = m->len + behind;
        size_t size = sizeof *m->memo * 3 * 4 * (size_t)(m->places + 2);
        m->memo = q_alloc(size);
        memset(m->memo, 0xFF, size);
        form_skip(m->f, from, put_state(m, BEFORE, 0, at));
        free(m->memo);
    }
    if (!m->bounded) {                   /* longer ones: one digit more, and any number of them */
        uint32_t s = form_state(m->f), more = any_digits(m, least > 1 ? least - 1 : 0);
        if (least == 1) {
            uint32_t first = form_state(m->f);
            form_bytes(m->f, from, '1', '9', first);
            form_bytes(m->f, first, '0', '9', s);
        } else {
            uint32_t first = form_state(m->f);
            form_bytes(m->f, from, '1', '9', first);
            form_bytes(m->f, first, '0', '9', more);
            form_bytes(m->f, first, '0', '9', first);
            return;
        }
        form_bytes(m->f, s, '0', '9', s);
        any_fraction(m, s);
    }
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
