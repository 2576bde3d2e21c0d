/* base/words: where texts for people are looked up. What is used everywhere are the macros of base.h: _() and ngettext(). */
#ifndef QUORUM_WORDS_H
#define QUORUM_WORDS_H

const char *q_words(const char *s) __attribute__((format_arg(1)));
const char *q_words_n(const char *one, const char *many, unsigned long n) __attribute__((format_arg(1), format_arg(2)));
/* Where texts are looked up from now on; NULL: nowhere. The function is asked from any thread; many is NULL for a text
 * without plural forms; NULL is its answer for what it does not know. */
typedef const char *(*q_words_look)(const char *one, const char *many, unsigned long n);
void q_words_from(q_words_look look);

/* The C library finds its own words by LANGUAGE. q_words_language sets it in this process, first before any thread exists; the first call keeps what it
 * was, which is what programs that are started are to have: q_words_language_was says it (NULL: it was not set; before the first call, what it is), and
 * q_words_language_back puts it into the environment of a child between fork and exec: it calls nothing of the C library that locks or allocates. */
void q_words_language(const char *language);
const char *q_words_language_was(void);
void q_words_language_back(void);

#endif
