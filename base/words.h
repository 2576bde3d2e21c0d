/* base/words: where texts for people are looked up. What is used everywhere are the macros of base.h: _() and ngettext(). */
#ifndef QUORUM_WORDS_H
#define QUORUM_WORDS_H

const char *q_words(const char *s) __attribute__((format_arg(1)));
const char *q_words_n(const char *one, const char *many, unsigned long n) __attribute__((format_arg(1), format_arg(2)));
/* Where texts are looked up from now on; NULL: nowhere. The function is asked from any thread; many is NULL for a text
 * without plural forms; NULL is its answer for what it does not know. */
typedef const char *(*q_words_look)(const char *one, const char *many, unsigned long n);
void q_words_from(q_words_look look);

#endif
