/* memory/named_dates: dates in a text, in English and Russian: "3 May 1998", "May 3rd, 1998", "3 мая 1998 года", "1998-05-03",
 * "03.05.1998", "May 1998", "1998". Pure functions. It never takes the order of "05/03/1998", which nobody knows, for one. */
#include "memory/named.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int mem_month(const char *word)
{
    static const char *const names[] = {
        " january jan январь января январе январю январем ", " february feb февраль февраля феврале февралю февралем ",
        " march mar март марта марте марту мартом ", " april apr апрель апреля апреле апрелю апрелем ", " may май мая мае маю маем ",
        " june jun июнь июня июне июню июнем ", " july jul июль июля июле июлю июлем ", " august aug август августа августе августу августом ",
        " september sep sept сентябрь сентября сентябре сентябрю сентябрем ", " october oct октябрь октября октябре октябрю октябрем ",
        " november nov ноябрь ноября ноябре ноябрю ноябрем ", " december dec декабрь декабря декабре декабрю декабрем "};
    size_t n = strlen(word);
    for (int i = 0; i < 12 && n; i++)
        for (const char *p = names[i]; (p = strstr(p, word)) != NULL; p++)
            if (p > names[i] && p[-1] == ' ' && p[n] == ' ') return i + 1;
    return 0;
}

/* A word that could be a month's: a capital in English, since "may" and "march" are other words too. */
static int month_at(const struct named_text *x, int i)
{
    if (i >= x->n_v || x->v[i].shape & (SHAPE_DIGIT | SHAPE_WHOLE)) return 0;
    const char *w = named_form(x, i);
    if ((unsigned char)*w < 0x80 && !(x->v[i].shape & SHAPE_CAPITAL)) return 0;
    return mem_month(w);
}

static int number_at(const struct named_text *x, int i, size_t digits)
{
    if (i >= x->n_v || !(x->v[i].shape & SHAPE_NUMBER)) return -1;
    const char *w = named_form(x, i);
    return strlen(w) <= digits ? atoi(w) : -1;
}

static bool ordinal(const char *ending)
{
    static const char *const known[] = {"", "st", "nd", "rd", "th"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(ending, known[i]) == 0) return true;
    return false;
}

/* "3", "3rd". */
static int day_at(const struct named_text *x, int i)
{
    if (i >= x->n_v || !(x->v[i].shape & SHAPE_DIGIT)) return -1;
    const char *w = named_form(x, i);
    size_t n = strspn(w, "0123456789");
    if (n == 0 || n > 2 || !ordinal(w + n)) return -1;
    int d = atoi(w);
    return d >= 1 && d <= 31 ? d : -1;
}

static int year_at(const struct named_text *x, int i)
{
    int y = number_at(x, i, 4);
    return y >= 1000 && y < 2100 ? y : -1;
}

/* Is what lies between two words just this, or this with a space? */
static bool between(const struct named_text *x, int i, const char *one_of)
{
    if (i + 1 >= x->n_v) return false;
    const char *p = x->text + x->v[i].end, *end = x->text + x->v[i + 1].start;
    if (p < end && *p != ' ' && strchr(one_of, *p)) p++;
    while (p < end && *p == ' ') p++;
    return p == end && x->v[i + 1].start > x->v[i].end;
}

static int with_year(const struct named_text *x, int last, int month, int day, int n, char key[NAMED_KEY])
{
    int y = between(x, last, " ,") ? year_at(x, last + 1) : -1;
    if (y < 0 && day < 0) return 0;
    if (y < 0) snprintf(key, NAMED_KEY, "--%02d-%02d", month, day);
    else if (day < 0) snprintf(key, NAMED_KEY, "%04d-%02d", y, month);
    else snprintf(key, NAMED_KEY, "%04d-%02d-%02d", y, month, day);
    return y < 0 ? n : n + 1;
}

/* "1998-05-03": three numbers with a hyphen between; "03.05.1998": one word of the tokenizer. */
static int in_numbers(const struct named_text *x, int i, char key[NAMED_KEY])
{
    int y, m, d, read = 0;
    const struct named_token *t = &x->v[i];
    char end;
    if (t->shape & SHAPE_WHOLE) {
        if (sscanf(named_form(x, i), "%2d.%2d.%4d%n%c", &d, &m, &y, &read, &end) != 3 || y < 1000) return 0;
    } else {
        if (i + 2 >= x->n_v || t[2].end - t->start != 10 || !((t->shape & t[1].shape & t[2].shape) & SHAPE_NUMBER) || x->text[t->end] != '-' || x->text[t[1].end] != '-')
            return 0;
        y = year_at(x, i), m = number_at(x, i + 1, 2), d = number_at(x, i + 2, 2);
    }
    if (y < 1000 || y > 2999 || m < 1 || m > 12 || d < 1 || d > 31) return 0;
    snprintf(key, NAMED_KEY, "%04d-%02d-%02d", y, m, d);
    return t->shape & SHAPE_WHOLE ? 1 : 3;
}

int named_date(const struct named_text *x, int i, char key[NAMED_KEY])
{
    if (x->v[i].shape & SHAPE_DIGIT) {
        int n = in_numbers(x, i, key), d = day_at(x, i), at = i + 1, year;
        if (n) return n;
        if (d > 0 && between(x, i, " ") && at < x->n_v) {
            if (strcmp(named_form(x, at), "of") == 0) at++;
            int m = month_at(x, at);
            if (m) return with_year(x, at, m, d, at - i + 1, key);
        }
        year = year_at(x, i);
        if (year < 1500 || (x->v[i].start && x->text[x->v[i].start - 1] == '/')) return 0;
        snprintf(key, NAMED_KEY, "%04d", year);
        return 1;
    }
    int m = month_at(x, i);
    if (!m || !between(x, i, " ")) return 0;
    int d = day_at(x, i + 1);
    return d > 0 ? with_year(x, i + 1, m, d, 2, key) : with_year(x, i, m, -1, 1, key);
}
