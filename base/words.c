/* base/words: the door through which every text for people goes. Who knows the language (tui/lang.c) sets where texts are
 * looked up; until then, and for what is not found, a text is itself. Any thread. */
#include "base/words.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static _Atomic(q_words_look) look;

void q_words_from(q_words_look f) { atomic_store(&look, f); }

const char *q_words(const char *s)
{
    q_words_look f = atomic_load_explicit(&look, memory_order_relaxed);
    const char *t = f && *s ? f(s, NULL, 1) : NULL;
    return t ? t : s;
}

const char *q_words_n(const char *one, const char *many, unsigned long n)
{
    q_words_look f = atomic_load_explicit(&look, memory_order_relaxed);
    const char *t = f ? f(one, many, n) : NULL;
    return t ? t : n == 1 ? one : many;
}

/* ---- the C library's own words ---- */
static const char *was;                 /* "LANGUAGE=..." of the environment as it came */
static bool set;

void q_words_language(const char *language)
{
    extern char **environ;
    for (char **e = environ; !set && e && *e; e++)
        if (strncmp(*e, "LANGUAGE=", 9) == 0) was = strdup(*e);
    set = true;
    setenv("LANGUAGE", language, 1);
}

const char *q_words_language_was(void) { return !set ? getenv("LANGUAGE") : was ? was + 9 : NULL; }

void q_words_language_back(void)
{
    extern char **environ;
    char **to = environ;
    for (char **e = environ; set && e && *e; e++)
        if (strncmp(*e, "LANGUAGE=", 9) != 0) *to++ = *e;
        else if (was) *to++ = (char *)(uintptr_t)was;
    if (set && to) *to = NULL;
}
