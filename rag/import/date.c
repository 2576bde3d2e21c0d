/* rag/import/date: see date.h. Pure functions but for the machine's time zone; any thread. */
#include "rag/import/date.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { NUMBERS = 8, YEAR_MIN = 1980, YEAR_MAX = 2200 };

/* In English and in Russian's genitive; by their beginnings. */
static const char *const months[12][2] = {
    {"jan", "янв"}, {"feb", "фев"}, {"mar", "мар"}, {"apr", "апр"}, {"may", "ма"}, {"jun", "июн"},
    {"jul", "июл"}, {"aug", "авг"}, {"sep", "сен"}, {"oct", "окт"}, {"nov", "ноя"}, {"dec", "дек"}};

/* What a date is made of: its numbers in order, what stands behind each, and words. */
struct parts {
    long number[NUMBERS]; int digits[NUMBERS]; char behind[NUMBERS]; int n;
    int month, afternoon;               /* 1-12; 1 AM, 2 PM; 0: not told */
    bool zone; long offset_s;
};

static int month_of(const char *p)
{
    for (int m = 0; m < 12; m++)
        for (int l = 0; l < 2; l++) {
            size_t n = strlen(months[m][l]);
            if (l ? strncmp(p, months[m][l], n) == 0 : strncasecmp(p, months[m][l], n) == 0) return m + 1;
        }
    return 0;
}

/* "Z", "+03:00", "-0500" behind a time. */
static const char *zone_at(const char *p, struct parts *d)
{
    bool time = d->n >= 4;
    if (time && (*p == 'Z' || *p == 'z') && !isalpha((unsigned char)p[1])) {
        d->zone = true;
        return p + 1;
    }
    if (!time || (*p != '+' && *p != '-') || !isdigit((unsigned char)p[1])) return NULL;
    char *end;
    long h = strtol(p + 1, &end, 10), m = 0;
    if (end - p == 5) m = h % 100, h /= 100;
    else if (end - p == 3 && *end == ':') m = strtol(end + 1, &end, 10);
    else if (end - p != 3) return NULL;
    d->zone = true;
    d->offset_s = (h * 60 + m) * (*p == '-' ? -60 : 60);
    return end;
}

static bool take_apart(const char *s, struct parts *d)
{
    for (const char *p = s; *p && p - s < 80;) {
        unsigned char c = (unsigned char)*p;
        const char *end = zone_at(p, d);
        if (end) p = end;
        else if (isdigit(c)) {
            char *stop;
            if (d->n == NUMBERS) return false;
            d->number[d->n] = strtol(p, &stop, 10);
            d->digits[d->n] = (int)(stop - p);
            d->behind[d->n++] = *stop;
            if (stop - p > 9) return false;
            p = stop;
        } else if (isalpha(c) || c >= 0x80) {
            const char *stop = p;
            while (isalpha((unsigned char)*stop) || (unsigned char)*stop >= 0x80) stop++;
            int m = month_of(p);
            if (m && !d->month && stop - p > 2) d->month = m;
            else if ((p[0] | 32) == 'a' && (p[1] | 32) == 'm' && stop - p == 2) d->afternoon = 1;
            else if ((p[0] | 32) == 'p' && (p[1] | 32) == 'm' && stop - p == 2) d->afternoon = 2;
            p = stop;
        } else p++;
    }
    return true;
}

/* Day, month and year; how many numbers they took. */
static int date_of(const struct parts *d, struct tm *t)
{
    const long *v = d->number;
    long y, m, day;
    int n = 3;
    if (d->month && d->n >= 2) {                                    /* in words: the larger number is the year */
        m = d->month, n = 2;
        y = v[0] > 31 ? v[0] : v[1];
        day = v[0] > 31 ? v[1] : v[0];
    } else if (d->n < 3) return 0;
    else if (d->digits[0] == 4) y = v[0], m = v[1], day = v[2];
    else {
        bool american = d->behind[0] == '/' && v[0] <= 12 && (v[1] > 12 || d->afternoon);
        y = v[2], m = american ? v[0] : v[1], day = american ? v[1] : v[0];
        if (d->digits[2] <= 2) y += 2000;
    }
    if (y < YEAR_MIN || y > YEAR_MAX || m < 1 || m > 12 || day < 1 || day > 31) return 0;
    t->tm_year = (int)y - 1900;
    t->tm_mon = (int)m - 1;
    t->tm_mday = (int)day;
    return n;
}

int64_t rag_date(const char *s)
{
    struct parts d = {.n = 0};
    struct tm t = {.tm_isdst = -1};
    if (!s || !take_apart(s, &d)) return 0;
    int at = date_of(&d, &t);
    if (!at) return 0;
    long h = d.n > at + 1 ? d.number[at] : 0, min = d.n > at + 1 ? d.number[at + 1] : 0, sec = d.n > at + 2 ? d.number[at + 2] : 0, ms = 0;
    if (d.n == at + 1 && d.afternoon) h = d.number[at];            /* "3 PM" */
    if (d.n > at + 3) {                                            /* the first three digits of a fraction */
        ms = d.number[at + 3];
        for (int k = d.digits[at + 3]; k > 3; k--) ms /= 10;
        if (d.behind[at + 2] == '.') for (int k = d.digits[at + 3]; k < 3; k++) ms *= 10;
    }
    if (d.afternoon == 2 && h < 12) h += 12;
    if (d.afternoon == 1 && h == 12) h = 0;
    if (h < 0 || h > 24 || min < 0 || min > 59 || sec < 0 || sec > 60) return 0;
    t.tm_hour = (int)h, t.tm_min = (int)min, t.tm_sec = (int)sec;
    time_t at_s = d.zone ? timegm(&t) - d.offset_s : mktime(&t);
    return at_s > 0 ? (int64_t)at_s * 1000 + ms : 0;
}

int64_t rag_date_of_number(double v)
{
    if (!isfinite(v) || v < 315532800) return 0;        /* 1980 in seconds, the smallest of the four */
    double ms = v < 1e11 ? v * 1000 : v < 1e14 ? v : v < 1e17 ? v / 1e3 : v / 1e6;
    return ms < 7.3e12 ? llround(ms) : 0;                /* 2200 */
}
