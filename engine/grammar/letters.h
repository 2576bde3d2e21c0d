/* engine/grammar/letters: sets of strings of code points as small automata without empty steps: what a regular expression, a
 * length, a list of words allow, and what two of them have in common. Private to engine. */
#ifndef QUORUM_LETTERS_H
#define QUORUM_LETTERS_H

#include "engine/grammar/form.h"

enum { LETTERS_STATES = 200000 };
typedef struct letters_step { uint32_t from, to, lo, hi; } letters_step;
typedef struct letters {                 /* state 0 is the first */
    letters_step *step; size_t n, cap;   /* ordered by from once it is made */
    uint32_t states;
    bool *end;                           /* [states] */
} letters;

void letters_free(letters *);
int letters_order(const void *a, const void *b);         /* of two steps, for qsort: by from, then by what they take */
/* An ECMA-262 regular expression that finds its match anywhere: a subset, the rest refused. at: byte of the pattern that err speaks of.
 * what: what is wrong, static; Q_RANGE: too large. */
int letters_pattern(const char *p, size_t n, letters *out, size_t *at, const char **what);
/* The expression matches from the first to the last letter. */
int letters_whole(const char *p, letters *out);
void letters_lengths(long least, long most, letters *out);               /* most < 0: any */
/* All strings but these. */
void letters_other(const char *const *word, int n, letters *out);
/* Behind its first k letters comes the byte: so many of the word's n stand at the text's end then (Knuth, Morris and Pratt 1977). */
size_t letters_next(const char *word, size_t n, size_t k, unsigned char byte);
void letters_without(const char *word, letters *out);                    /* all strings in which the word, ASCII, does not stand */
int letters_both(const letters *a, const letters *b, letters *out);      /* Q_RANGE: too large */
bool letters_none(const letters *);      /* it holds no string */
bool letters_hold(const letters *, const char *p, size_t n);             /* UTF-8 */
/* How a text stands there: as the inside of a JSON string, each letter in its one shortest way; the same with \/ for /, so that it closes no
 * tag; as it is. */
enum letters_as { LETTERS_JSON, LETTERS_TAGGED, LETTERS_RAW };
void letters_put(const letters *, form *, enum letters_as, uint32_t from, uint32_t to);
/* One string so. */
void letters_put_text(form *, enum letters_as, uint32_t from, const char *p, size_t n, uint32_t to);

#endif
