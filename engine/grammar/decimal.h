/* engine/grammar/decimal: numbers as JSON writes them, exactly, and all those between two of them as an automaton. Private to engine. */
#ifndef QUORUM_DECIMAL_H
#define QUORUM_DECIMAL_H

#include "engine/grammar/form.h"

enum { DECIMAL_DIGITS = 400 };           /* before and behind the point at most */
/* 0.DIGITS times 10 to the power of point; neither the first nor the last digit is 0. n 0: zero. */
typedef struct decimal { bool minus; int n, point; char digit[DECIMAL_DIGITS]; } decimal;
typedef struct decimal_bound { bool there, open; decimal x; } decimal_bound;     /* open: the number itself is left out */

bool decimal_read(const char *text, decimal *out);       /* a JSON number; false: too many digits */
int decimal_compare(const decimal *a, const decimal *b);
bool decimal_whole(const decimal *);
/* Numbers from lo to hi without exponent; whole: without a fraction, which else has as many digits as
 * a double keeps apart, or as the bounds have. Unbounded ones that are not whole may have an exponent. */
void decimal_put(form *, uint32_t from, const decimal_bound *lo, const decimal_bound *hi, bool whole, uint32_t to);
bool decimal_none(const decimal_bound *lo, const decimal_bound *hi, bool whole);         /* there are none */

#endif
