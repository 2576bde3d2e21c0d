/* rag/when: reads in a question when something was said, and by whom ("What did I say last week about ...?", "что ты советовал
 * вчера"). A table of phrases in both languages, with their forms. Pure functions of a text, a clock and the time zone; any
 * thread. It never looks at memory.
 *
 * In a pattern a | parts words of which one stands there; # is a number, @ a month, % a day of the week, ~ a span (day, week, month,
 * year), ^ one of them by itself. Rows are tried in order at each word; the first that matches anywhere is what is meant. */
#include "rag/when.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TOKENS = 80, WORD = 32 };
enum unit { DAY, WEEK, MONTH, YEAR };
enum means {
    NEAR,                               /* the unit that is `n` of them away from now */
    AGO,                                /* the unit that is # (or n) of them away */
    RUNNING,                            /* the last # (or n) of them, up to now */
    DATE, WEEKDAY, BY_YEAR
};
/* when: only in a question about what was said; else it may be meant of what is to come. plain: its words stand in texts too. */
struct phrase { const char *pattern; enum means means; enum unit unit; int n; bool only_talk, plain; };

static const struct phrase phrases[] = {
    {"day before yesterday", NEAR, DAY, -2, false, false}, {"позавчера", NEAR, DAY, -2, false, false}, {"позавчерашний|позавчерашнего|позавчерашнем", NEAR, DAY, -2, false, false},
    {"yesterday", NEAR, DAY, -1, false, false}, {"last night|evening|afternoon|morning", NEAR, DAY, -1, false, false},
    {"вчера", NEAR, DAY, -1, false, false}, {"вчерашний|вчерашнем|вчерашнего|вчерашняя|вчерашней|вчерашнюю|вчерашние|вчерашних", NEAR, DAY, -1, false, false},
    {"in|over|during|within the|these last|past # ~", RUNNING, DAY, 0, false, false}, {"last|past # ~", RUNNING, DAY, 0, false, false},
    {"за|в последние|последних|прошедшие # ~", RUNNING, DAY, 0, false, false}, {"последние|последних|прошедшие # ~", RUNNING, DAY, 0, false, false},
    {"за последнюю|последний|последние|прошедший|прошедшую ~", RUNNING, DAY, 1, false, false},
    {"couple|pair of ~ ago", AGO, DAY, 2, false, false}, {"# ~ ago", AGO, DAY, 0, false, false}, {"a|an ~ ago", AGO, DAY, 1, false, false},
    {"пару|пара ~ назад", AGO, DAY, 2, false, false}, {"# ~ назад", AGO, DAY, 0, false, false}, {"^ назад", AGO, DAY, 1, false, false},
    {"last|past|previous ~", AGO, DAY, 1, false, false}, {"last|past|previous %", WEEKDAY, DAY, 0, false, false}, {"last|past @", DATE, DAY, 0, false, true},
    {"на|в|с|за прошлой|прошлую|прошлый|прошлом|прошлое|прошлого|предыдущей|предыдущий|предыдущем|минувшей|минувший|минувшем|той ~", AGO, DAY, 1, false, false},
    {"прошлая|прошлой|прошлую|прошлый|прошлом|прошлого|предыдущей|предыдущем|минувшей|минувшем ~", AGO, DAY, 1, false, false},
    {"в|во прошлую|прошлый|прошлое|минувший|минувшую %", WEEKDAY, DAY, 0, false, false},
    {"today|tonight", NEAR, DAY, 0, true, false}, {"this morning|afternoon|evening", NEAR, DAY, 0, true, false}, {"сегодня", NEAR, DAY, 0, true, false},
    {"this|current ~", AGO, DAY, -1, true, false}, {"на|в этой|этом|эту|этот|текущей|текущем ~", AGO, DAY, -1, true, false},
    {"on %", WEEKDAY, DAY, 0, true, false}, {"в|во %", WEEKDAY, DAY, 0, true, false},
    {"# of @ #", DATE, DAY, 0, true, true}, {"# @ #", DATE, DAY, 0, true, true}, {"@ # #", DATE, DAY, 0, true, true}, {"# of @", DATE, DAY, 0, true, true}, {"# @", DATE, DAY, 0, true, true},
    {"in|during|of @ #", DATE, DAY, 0, true, true}, {"in|during @", DATE, DAY, 0, true, true}, {"@ #", DATE, DAY, 0, true, true},
    {"в|во|за @ #", DATE, DAY, 0, true, true}, {"в|во|за @", DATE, DAY, 0, true, true}, {"in|during|в|во|за #", BY_YEAR, DAY, 0, true, true},
};

/* ---- words ---- */
struct token { char w[WORD]; size_t start, end; };
struct text { struct token v[TOKENS]; int n; };

static bool add(void *user, const mem_word *w)
{
    struct text *t = user;
    if (w->flags & (MEM_WORD_EXACT | MEM_WORD_SAME)) return true;
    struct token *k = &t->v[t->n++];
    snprintf(k->w, sizeof k->w, "%s", w->word);
    k->start = w->start;
    k->end = w->end;
    return t->n < TOKENS;
}

/* Is it one of the words parted by |, the first n bytes of p? */
static bool one_of(const char *p, size_t n, const char *word)
{
    size_t len = strlen(word);
    for (const char *end = p + n; p < end;) {
        size_t k = 0;
        while (p + k < end && p[k] != '|') k++;
        if (k == len && memcmp(p, word, k) == 0) return true;
        p += k + 1;
    }
    return false;
}

static bool among(const char *row, const char *word) { return one_of(row, strlen(row), word); }

static int number(const char *w)
{
    static const char *const row[] = {NULL, "one|один|одну|одна|одного", "two|два|две|двух", "three|три|трех", "four|четыре|четырех", "five|пять|пяти", "six|шесть|шести",
                                      "seven|семь|семи", "eight|восемь", "nine|девять", "ten|десять|десяти"};
    size_t digits = strspn(w, "0123456789");
    if (digits && !w[digits]) return digits <= 4 ? atoi(w) : -1;
    for (int i = 1; i <= 10; i++)
        if (among(row[i], w)) return i;
    return -1;
}

static int unit(const char *w)
{
    static const char *const row[] = {[DAY] = "day|days|день|дня|дней|дни|сутки|суток", [WEEK] = "week|weeks|неделя|неделю|недели|неделе|недель",
                                      [MONTH] = "month|months|месяц|месяца|месяцев|месяце|месяцы", [YEAR] = "year|years|год|года|году|лет|годы"};
    for (int i = DAY; i <= YEAR; i++)
        if (among(row[i], w)) return i;
    return -1;
}

static int weekday(const char *w)       /* 0 is Sunday, as in struct tm */
{
    static const char *const row[] = {"sunday|воскресенье", "monday|понедельник", "tuesday|вторник", "wednesday|среду|среда", "thursday|четверг", "friday|пятницу|пятница", "saturday|субботу|суббота"};
    for (int i = 0; i < 7; i++)
        if (among(row[i], w)) return i;
    return -1;
}

/* What a phrase's signs stood for, in their order. */
struct found { int number[2], n_number, unit, month, weekday, words; };

static bool element(const char *p, size_t n, const char *w, struct found *f)
{
    int v;
    if (n == 1 && *p == '#') return (v = number(w)) >= 0 && f->n_number < 2 && (f->number[f->n_number++] = v, true);
    if (n == 1 && *p == '~') return (f->unit = unit(w)) >= 0;
    if (n == 1 && *p == '^') return among("день|неделю|месяц|год", w) && (f->unit = unit(w)) >= 0;
    if (n == 1 && *p == '@') return (f->month = mem_month(w)) > 0;
    if (n == 1 && *p == '%') return (f->weekday = weekday(w)) >= 0;
    return one_of(p, n, w);
}

static bool matches(const struct phrase *r, const struct text *t, int at, struct found *f)
{
    *f = (struct found){.unit = -1, .weekday = -1};
    for (const char *p = r->pattern; *p; f->words++) {
        size_t n = strcspn(p, " ");
        if (at + f->words >= t->n || !element(p, n, t->v[at + f->words].w, f)) return false;
        p += n + (p[n] == ' ');
    }
    return true;
}

/* ---- times ---- */
static int64_t midnight(struct tm tm)
{
    tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
    tm.tm_isdst = -1;
    time_t t = mktime(&tm);
    return t == (time_t)-1 ? 0 : (int64_t)t * 1000;
}

/* The whole span of that unit which is `back` of them before now. */
static void whole(struct tm now, enum unit u, int back, struct rag_when *out)
{
    struct tm a = now;
    if (u == DAY) a.tm_mday -= back;
    if (u == WEEK) a.tm_mday -= (now.tm_wday + 6) % 7 + 7 * back;       /* a week begins on Monday */
    if (u == MONTH) a.tm_mon -= back, a.tm_mday = 1;
    if (u == YEAR) a.tm_year -= back, a.tm_mon = 0, a.tm_mday = 1;
    struct tm z = a;
    if (u == DAY) z.tm_mday++;
    if (u == WEEK) z.tm_mday += 7;
    if (u == MONTH) z.tm_mon++;
    if (u == YEAR) z.tm_year++;
    out->from = midnight(a);
    out->to = midnight(z);
}

/* Of a month of struct tm, which may lie outside 0 to 11. */
static int days_of(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int y = 1900 + year + (month >= 0 ? month / 12 : -((11 - month) / 12)), m = ((month % 12) + 12) % 12;
    return days[m] + (m == 1 && ((y % 4 == 0 && y % 100 != 0) || y % 400 == 0));
}

static void running(struct tm now, enum unit u, int n, struct rag_when *out)
{
    struct tm a = now, z = now;
    if (u == DAY) a.tm_mday -= n;
    if (u == WEEK) a.tm_mday -= 7 * n;
    if (u == MONTH) a.tm_mon -= n;
    if (u == YEAR) a.tm_year -= n;
    if (u >= MONTH && a.tm_mday > days_of(a.tm_year, a.tm_mon)) a.tm_mday = days_of(a.tm_year, a.tm_mon);      /* a month before 31 March is 28 February */
    z.tm_mday++;
    out->from = midnight(a);
    out->to = midnight(z);
}

/* Which of a date's numbers is what; 0: not said. */
static bool numbers_of(const struct found *f, int *day, int *year)
{
    *day = *year = 0;
    for (int i = 0; i < f->n_number; i++) {
        if (f->number[i] >= 1 && f->number[i] <= 31 && !*day) *day = f->number[i];
        else if (f->number[i] >= 1970 && !*year) *year = f->number[i];
        else return false;
    }
    return true;
}

/* 31 February, 29 February 2025 */
static bool no_such_day(const struct found *f)
{
    int day, year;
    return numbers_of(f, &day, &year) && day > days_of((year ? year : 2000) - 1900, f->month - 1);
}

/* A month, or a day of it, which is there; without a year the last that has begun and has that day. */
static bool date(struct tm now, const struct found *f, struct rag_when *out)
{
    int day, year;
    if (!numbers_of(f, &day, &year)) return false;
    struct tm a = {.tm_year = (year ? year - 1900 : now.tm_year), .tm_mon = f->month - 1, .tm_mday = day ? day : 1}, z;
    if (!year && (a.tm_mon > now.tm_mon || (a.tm_mon == now.tm_mon && day > now.tm_mday))) a.tm_year--;
    for (int i = 0; i < 8 && !year && a.tm_mday > days_of(a.tm_year, a.tm_mon); i++) a.tm_year--;
    z = a;
    if (day) z.tm_mday++;
    else z.tm_mon++;
    out->from = midnight(a);
    out->to = midnight(z);
    return true;
}

static bool resolve(const struct phrase *r, const struct found *f, struct tm now, struct rag_when *out)
{
    int n = f->n_number ? f->number[0] : r->n;
    struct tm a = now;
    switch (r->means) {
    case NEAR: whole(now, r->unit, -r->n, out); break;
    case AGO:
        if (n > 500) return false;
        whole(now, (enum unit)f->unit, n < 0 ? 0 : n, out);
        break;
    case RUNNING:
        if (n < 1 || n > 500) return false;
        running(now, (enum unit)f->unit, n, out);
        break;
    case DATE: return date(now, f, out);
    case WEEKDAY:
        a.tm_mday -= (now.tm_wday - f->weekday + 6) % 7 + 1;            /* the last before today */
        whole(a, DAY, 0, out);
        break;
    case BY_YEAR:
        if (n < 1970 || n > 9999) return false;
        a.tm_year = n - 1900;
        whole(a, YEAR, 0, out);
        break;
    }
    return out->from > 0 || out->to > 0;
}

/* ---- who ---- */
static const char said_i[] = "said|told|mentioned|asked|wrote|written|promised", say_i[] = "say|tell|mention|ask|write|promise|said|told|mentioned|asked|written|promised";
static const char said_you[] = "said|told|mentioned|answered|replied|recommended|suggested|advised|wrote|proposed",
                  say_you[] = "say|tell|mention|answer|reply|recommend|suggest|advise|write|propose|said|told|mentioned|answered|replied|recommended|suggested|advised|proposed|written";
static const char said_we[] = "talked|discussed|spoke|said|talking|discussing", say_we[] = "talk|discuss|speak|say|talked|discussed|spoken|said|talking|discussing";
static const char ru_i[] = "говорил|говорила|сказал|сказала|рассказывал|рассказывала|рассказал|рассказала|упоминал|упоминала|"
                           "упомянул|упомянула|спрашивал|спрашивала|спросил|спросила|писал|писала|написал|написала|обещал|обещала";
static const char ru_you[] = "говорил|говорила|говорили|сказал|сказала|сказали|рассказывал|рассказывала|рассказал|рассказала|рассказали|упоминал|упоминала|ответил|ответила|ответили|отвечал|отвечала|отвечали|"
                             "советовал|советовала|советовали|посоветовал|посоветовала|посоветовали|предлагал|предлагала|предлагали|предложил|предложила|предложили|рекомендовал|рекомендовала|порекомендовал|"
                             "порекомендовала|писал|писала|писали|написал|написала|написали";
static const char ru_we[] = "говорили|обсуждали|обсудили|беседовали|разговаривали";
/* who: the word for them; past: verbs that go with it alone; after: those behind an auxiliary; either: they may stand before it. */
static const struct speaker { const char *who, *past, *after; enum when_who means; bool either; } speakers[] = {
    {"i", said_i, say_i, WHEN_PERSON, false}, {"you", said_you, say_you, WHEN_MODEL, false}, {"we", said_we, say_we, WHEN_ANYBODY, false},
    {"я", ru_i, ru_i, WHEN_PERSON, true}, {"ты|вы", ru_you, ru_you, WHEN_MODEL, true}, {"мы", ru_we, ru_we, WHEN_ANYBODY, true},
};
static const char asking[] = "ask|asked|спрашивал|спрашивала|спросил|спросила", writing[] = "write|wrote|written|писал|писала|написал|написала";
static const char questions[] = "what|when|where|who|which|how|did|have|had|why|remind|recall|find|show|"
                                "что|когда|где|кто|какой|какая|какое|какие|какую|как|сколько|почему|куда|напомни|напомните|вспомни|найди|покажи|о|об|про|чем";
enum { REACH = 3 };                      /* words between who and verb, and one more */

static bool auxiliary(const struct text *t, int at) { return at > 0 && among("did|have|had|didn't|haven't", t->v[at - 1].w); }
static bool is_who(const char *w) { return among("i|you|we|he|she|they|я|ты|вы|мы|он|она|они", w); }

static int verb_near(const struct text *t, int at, const struct speaker *s)
{
    const char *verbs = auxiliary(t, at) ? s->after : s->past;
    for (int k = at + 1; k < t->n && k <= at + REACH && !is_who(t->v[k].w); k++)
        if (among(verbs, t->v[k].w)) return k;
    return s->either && at > 0 && among(verbs, t->v[at - 1].w) ? at - 1 : -1;
}

static void cover(const struct text *t, int from, int to, struct rag_when *out)
{
    if (out->n_span == WHEN_SPANS) return;
    out->span[out->n_span].start = t->v[from].start;
    out->span[out->n_span++].end = t->v[to].end;
}

static void read_who(const struct text *t, struct rag_when *out)
{
    for (int i = 0; i < t->n && !out->talk; i++)
        for (size_t s = 0; s < sizeof speakers / sizeof *speakers && !out->talk; s++) {
            int verb = among(speakers[s].who, t->v[i].w) ? verb_near(t, i, &speakers[s]) : -1;
            if (verb < 0) continue;
            out->talk = true;
            out->who = speakers[s].means;
            out->asked = out->who == WHEN_PERSON && among(asking, t->v[verb].w);
            out->written = out->who == WHEN_PERSON && among(writing, t->v[verb].w);
            cover(t, verb, verb, out);
        }
}

static void read_when(const struct text *t, struct tm now, struct rag_when *out)
{
    struct found f;
    for (size_t r = 0; r < sizeof phrases / sizeof *phrases; r++)
        for (int i = 0; i < t->n; i++) {
            if ((phrases[r].only_talk && !out->talk) || !matches(&phrases[r], t, i, &f)) continue;
            if (phrases[r].means == DATE && no_such_day(&f)) return;        /* no part of it is meant either */
            if (!resolve(&phrases[r], &f, now, out)) continue;
            if (!phrases[r].plain || out->talk) cover(t, i, i + f.words - 1, out);
            return;
        }
}

void rag_when_read(const char *question, int64_t now_ms, struct rag_when *out)
{
    size_t n = strlen(question);
    time_t now = (time_t)(now_ms / 1000);
    struct text t = {.n = 0};
    struct tm tm;
    *out = (struct rag_when){0};
    if (n > WHEN_LONGEST || !localtime_r(&now, &tm)) return;
    mem_words(question, n, add, &t);
    if (!t.n || !(strchr(question, '?') || among(questions, t.v[0].w))) return;
    read_who(&t, out);
    read_when(&t, tm, out);
}

int64_t rag_day(const char *word, int later, int64_t now_ms)
{
    time_t now = (time_t)(now_ms / 1000);
    struct tm tm = {0};
    int y, m, d;
    char over;
    if (!localtime_r(&now, &tm)) return -1;
    tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
    if (strcmp(word, "yesterday") == 0 || strcmp(word, "вчера") == 0) tm.tm_mday--;
    else if (sscanf(word, "%4d-%2d-%2d%c", &y, &m, &d, &over) == 3 || sscanf(word, "%2d.%2d.%4d%c", &d, &m, &y, &over) == 3) {
        if (y < 1970 || y > 9999 || m < 1 || m > 12 || d < 1 || d > 31) return -1;
        tm.tm_year = y - 1900;
        tm.tm_mon = m - 1;
        tm.tm_mday = d;
    } else if (strcmp(word, "today") != 0 && strcmp(word, "сегодня") != 0) return -1;
    int said = tm.tm_mday;
    tm.tm_hour = 12;
    tm.tm_isdst = -1;
    if (mktime(&tm) == (time_t)-1 || (said > 0 && tm.tm_mday != said)) return -1;      /* 30 February is not 2 March */
    tm.tm_mday += later;
    tm.tm_hour = 0;
    tm.tm_isdst = -1;
    time_t t = mktime(&tm);
    return t == (time_t)-1 ? -1 : (int64_t)t * 1000;
}
