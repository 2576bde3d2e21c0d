/* lab/vote: which short answers are the same, and which of them most gave. Pure; any thread. */
#include "engine/text.h"
#include "lab/lab.h"

#include <stdlib.h>
#include <string.h>
#include <wctype.h>

enum { SHORT = 80 };                     /* characters */

/* Behind the thought; behind the last "answer:" in any case of letters, else all of it. */
static const char *from_answer(const char *small)
{
    static const char *const marks[] = { "answer:", "answer is", "answer is:", "ответ:", "ответ —" };
    const char *from = small, *at;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        for (const char *p = small; (at = strstr(p, marks[i])) != NULL; p = at + 1)
            if (at + strlen(marks[i]) > from)
                from = at + strlen(marks[i]);
    return from;
}

static char *small_letters(const char *s)
{
    q_buf b = { 0 };
    char u[4];
    q_buf_puts(&b, "");
    for (size_t n = strlen(s), i = 0; i < n;) {
        uint32_t cp;
        i += (size_t)q_utf8_next(s + i, n - i, &cp);
        bool quote = cp == 0x201C || cp == 0x201D || cp == 0xAB || cp == 0xBB || cp == 0x2018 || cp == 0x2019;
        cp = quote ? '"' : cp == 0x451 || cp == 0x401 ? 0x435 : cp == 0xA0 ? ' ' : cp == 0x2212 ? '-' : (uint32_t)towlower((wint_t)cp);
        q_buf_add(&b, u, (size_t)q_utf8_put(u, cp));
    }
    return q_buf_take(&b);
}

static bool drop_front(char *s, const char *word)
{
    size_t n = strlen(word);
    if (strncmp(s, word, n) != 0)
        return false;
    memmove(s, s + n, strlen(s + n) + 1);
    return true;
}

/* What stands round an answer and is none: marks, quotes, articles. In place. */
static void peel(char *s)
{
    static const char round[] = " \t\r\n\"'`*_.,:;!?()[]{}$", *const front[] = { "the ", "a ", "an ", "it is ", "it's ", "это " };
    for (bool again = true; again;) {
        size_t n = strlen(s), skip = strspn(s, round);
        if (s[skip] && skip && s[skip - 1] == '.' && s[skip] >= '0' && s[skip] <= '9')      /* ".5" */
            skip--;
        memmove(s, s + skip, n - skip + 1);
        for (n = strlen(s); n && strchr(round, s[n - 1]); n--)
            s[n - 1] = 0;
        again = false;
        for (size_t i = 0; i < sizeof front / sizeof *front; i++)
            again |= drop_front(s, front[i]);
    }
}

/* 1,000 and 1000.0 and 1000 are one number; blanks are single. In place. */
static void even_out(char *s)
{
    char *to = s, *end;
    for (char *p = s; *p; p++) {
        bool group = *p == ',' && p > s && p[-1] >= '0' && p[-1] <= '9' && strspn(p + 1, "0123456789") == 3;
        bool blank = *p == ' ' || *p == '\t' || *p == '\r';
        if (!group && !(blank && to > s && to[-1] == ' '))
            *to++ = blank ? ' ' : *p;
    }
    *to = 0;
    if (strspn(s, "0123456789.-") == strlen(s) && strchr(s, '.') && *s) {
        strtod(s, &end);
        for (size_t n = strlen(s); !*end && n && (s[n - 1] == '0' || s[n - 1] == '.'); n--) {
            bool point = s[n - 1] == '.';
            s[n - 1] = 0;
            if (point)
                break;
        }
    }
}

char *lab_vote_key(const char *answer)
{
    const char *thought = strstr(answer, eng_think_close);
    char *small = small_letters(thought ? thought + strlen(eng_think_close) : answer), *key = q_strdup(from_answer(small));
    free(small);
    peel(key);
    even_out(key);
    bool lines = strchr(key, '\n') != NULL;
    if (!*key || lines || q_utf8_points(key) > SHORT) {
        free(key);
        return NULL;
    }
    return key;
}

int lab_vote_count(char *const *key, int n, int *best, int *votes, bool *majority)
{
    int most = 0;
    *best = -1;
    *votes = 0;
    for (int i = 0; i < n; i++) {
        int same = 0;
        for (int k = 0; k < n && key[i]; k++)
            same += key[k] && strcmp(key[i], key[k]) == 0;
        *votes += key[i] != NULL;
        if (same > most) {
            most = same;
            *best = i;
        }
    }
    *majority = 2 * most > *votes;
    return most;
}
