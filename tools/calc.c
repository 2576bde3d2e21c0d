/* tools/calc: arithmetic. Whole numbers stay whole and exact in 64 bits, and what does not fit is said; a point, an exponent or a function
 * that leaves them makes doubles. Any thread. */
#include "tools/inside.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct value { bool whole; int64_t i; double d; } value;
typedef struct reader { const char *at; int depth; bool failed; char *err; } reader;
enum { DEPTH = 100 };

static value whole(int64_t i) { return (value){ true, i, (double)i }; }
static value real(double d) { return (value){ false, 0, d }; }

static value stop(reader *r, const char *why)
{
    if (!r->failed)
        q_fail(r->err, Q_FORMAT, "%s", why);
    r->failed = true;
    return whole(0);
}

static value big(reader *r) { return stop(r, "a whole number left 64 bits: write a point (2.0^100) for an approximate result"); }

static value expression(reader *r);

static void blanks(reader *r) { r->at += strspn(r->at, " \t\n"); }

static bool take(reader *r, const char *word)
{
    blanks(r);
    size_t n = strlen(word);
    if (strncmp(r->at, word, n) != 0)
        return false;
    r->at += n;
    return true;
}

/* ---- functions ---- */
static double f_round(double x) { return round(x); }
static const struct { const char *name; double (*f)(double); bool keeps; } functions[] = {   /* keeps: whole numbers as they are */
    { "sqrt", sqrt, false }, { "cbrt", cbrt, false }, { "exp", exp, false }, { "ln", log, false }, { "log10", log10, false }, { "log2", log2, false },
    { "log", log, false }, { "sin", sin, false }, { "cos", cos, false }, { "tan", tan, false }, { "asin", asin, false }, { "acos", acos, false },
    { "atan", atan, false }, { "floor", floor, true }, { "ceil", ceil, true }, { "round", f_round, true }, { "trunc", trunc, true } };

static value to_whole(double d)
{
    return d >= -9.2e18 && d <= 9.2e18 ? whole((int64_t)d) : real(d);
}

static value two(reader *r, const char *name, value a, value b)
{
    bool both = a.whole && b.whole;
    if (strcmp(name, "min") == 0)
        return both ? (a.i < b.i ? a : b) : real(fmin(a.d, b.d));
    if (strcmp(name, "max") == 0)
        return both ? (a.i > b.i ? a : b) : real(fmax(a.d, b.d));
    if (!both || a.i == INT64_MIN || b.i == INT64_MIN)
        return stop(r, "gcd takes whole numbers");
    int64_t x = llabs(a.i), y = llabs(b.i);
    while (y) {
        int64_t t = x % y;
        x = y, y = t;
    }
    return whole(x);
}

static value call(reader *r, const char *name)
{
    value a = expression(r), b = { 0 };
    bool pair = take(r, ",");
    if (pair)
        b = expression(r);
    if (!take(r, ")"))
        return stop(r, "a ) is missing");
    if (pair || strcmp(name, "min") == 0 || strcmp(name, "max") == 0 || strcmp(name, "gcd") == 0) {
        if (!pair || (strcmp(name, "min") != 0 && strcmp(name, "max") != 0 && strcmp(name, "gcd") != 0))
            return stop(r, pair ? "only min, max and gcd take two numbers" : "min, max and gcd take two numbers");
        return two(r, name, a, b);
    }
    if (strcmp(name, "abs") == 0)
        return !a.whole ? real(fabs(a.d)) : a.i == INT64_MIN ? big(r) : whole(llabs(a.i));
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strcmp(name, functions[i].name) == 0)
            return functions[i].keeps ? a.whole ? a : to_whole(functions[i].f(a.d)) : real(functions[i].f(a.d));
    return stop(r, "there is no such function; there are sqrt cbrt exp ln log10 log2 sin cos tan asin acos atan floor ceil round trunc abs min max gcd");
}

/* ---- the grammar ---- */
static value number(reader *r)
{
    char *end;
    size_t digits = strspn(r->at, "0123456789");
    bool is_whole = digits && r->at[digits] != '.' && r->at[digits] != 'e' && r->at[digits] != 'E';
    if (strncmp(r->at, "0x", 2) == 0 || strncmp(r->at, "0X", 2) == 0)
        is_whole = true;
    errno = 0;
    if (is_whole) {
        long long v = strtoll(r->at, &end, r->at[0] == '0' && (r->at[1] | 32) == 'x' ? 16 : 10);
        if (errno)
            return big(r);
        r->at = end;
        return whole(v);
    }
    double d = strtod(r->at, &end);
    r->at = end;
    return real(d);
}

static value primary(reader *r)
{
    char name[16];
    blanks(r);
    size_t n = strspn(r->at, "abcdefghijklmnopqrstuvwxyz0123456789");
    if ((*r->at >= '0' && *r->at <= '9') || (*r->at == '.' && r->at[1] >= '0' && r->at[1] <= '9'))
        return number(r);
    if (take(r, "(")) {
        value v = expression(r);
        return take(r, ")") ? v : stop(r, "a ) is missing");
    }
    if (n == 0 || n >= sizeof name)
        return stop(r, *r->at ? "a number, a name or ( is missing where something else stands" : "the expression ends too early");
    snprintf(name, sizeof name, "%.*s", (int)n, r->at);
    r->at += n;
    if (take(r, "("))
        return call(r, name);
    return strcmp(name, "pi") == 0 ? real(M_PI) : strcmp(name, "e") == 0 ? real(M_E) : stop(r, "a name that is no constant (pi, e) and no function");
}

static value power(reader *r, value a, value b)
{
    if (!a.whole || !b.whole || b.i < 0)
        return real(pow(a.d, b.d));
    int64_t out = 1;
    if (b.i > 64 && a.i != 0 && a.i != 1 && a.i != -1)
        return big(r);
    for (int64_t i = 0, n = b.i > 64 ? 64 + b.i % 2 : b.i; i < n; i++)   /* 0, 1 and -1 repeat themselves */
        if (__builtin_mul_overflow(out, a.i, &out))
            return big(r);
    return whole(out);
}

static value signed_one(reader *r)
{
    if (++r->depth > DEPTH)
        return stop(r, "the expression is nested too deeply");
    value v;
    if (take(r, "-")) {
        v = signed_one(r);
        v = !v.whole ? real(-v.d) : v.i == INT64_MIN ? big(r) : whole(-v.i);
    } else if (take(r, "+"))
        v = signed_one(r);
    else {
        v = primary(r);
        if (!r->failed && (take(r, "**") || take(r, "^")))
            v = power(r, v, signed_one(r));
    }
    r->depth--;
    return v;
}

static value divided(reader *r, value a, value b, char how)
{
    if (b.d == 0)
        return stop(r, "division by zero");
    if (!a.whole || !b.whole)
        return real(how == '/' ? a.d / b.d : how == '%' ? fmod(a.d, b.d) : floor(a.d / b.d));
    if (a.i == INT64_MIN && b.i == -1)
        return how == '%' ? whole(0) : big(r);
    int64_t q = a.i / b.i, left = a.i % b.i;
    if (how == '/')
        return left ? real(a.d / b.d) : whole(q);
    bool down = left && (left < 0) != (b.i < 0);         /* as // and % are in mathematics: towards minus infinity */
    return whole(how == '%' ? left + (down ? b.i : 0) : q - down);
}

static value product(reader *r)
{
    value v = signed_one(r);
    while (!r->failed) {
        if (take(r, "//"))
            v = divided(r, v, signed_one(r), 'd');
        else if (take(r, "/"))
            v = divided(r, v, signed_one(r), '/');
        else if (take(r, "%"))
            v = divided(r, v, signed_one(r), '%');
        else if (take(r, "*")) {
            value b = signed_one(r);
            int64_t out;
            v = !v.whole || !b.whole ? real(v.d * b.d) : __builtin_mul_overflow(v.i, b.i, &out) ? big(r) : whole(out);
        } else
            break;
    }
    return v;
}

static value expression(reader *r)
{
    if (++r->depth > DEPTH)
        return stop(r, "the expression is nested too deeply");
    value v = product(r);
    while (!r->failed) {
        bool minus = take(r, "-");
        if (!minus && !take(r, "+"))
            break;
        value b = product(r);
        int64_t out;
        bool over = v.whole && b.whole && (minus ? __builtin_sub_overflow(v.i, b.i, &out) : __builtin_add_overflow(v.i, b.i, &out));
        v = over ? big(r) : v.whole && b.whole ? whole(out) : real(minus ? v.d - b.d : v.d + b.d);
    }
    r->depth--;
    return v;
}

int calc_text(const char *text, q_buf *out, char *err)
{
    reader r = { .at = text, .err = err };
    value v = expression(&r);
    blanks(&r);
    if (!r.failed && *r.at)
        stop(&r, "something stands behind the end of the expression");
    if (!r.failed && !v.whole && !isfinite(v.d))
        stop(&r, "the result is no finite number");
    if (r.failed)
        return Q_FORMAT;
    if (v.whole)
        q_buf_printf(out, "%lld", (long long)v.i);
    else
        q_buf_printf(out, "%.15g%s", v.d, v.d == floor(v.d) && fabs(v.d) < 1e15 ? ".0" : "");
    return Q_OK;
}

int calculate(const tool_place *p, const tool_host *h, const tool_plan *plan, tool_result *out, char *err)
{
    return calc_text(argument_text(plan->args, "expression"), &out->text, err);
}
