/* provider/echo: an answer repeats itself when its last repetitions of one period fill more than 256 tokens: 8 or more of 2
 * to 64 tokens (words), 4 or more of 65 to 256 (paragraphs). */
#include "provider/echo.h"

enum { SHORT = 64, TIMES = 8, TIMES_LONG = 4, TOKENS = 256 };

bool echo_token(echo *e, int32_t token)
{
    int at = e->n++;
    bool circle = false;
    for (int p = 2; p <= ECHO_PERIOD && p <= at; p++) {
        e->same[p] = e->tail[(at - p) % ECHO_PERIOD] == token ? e->same[p] + 1 : 0;
        int run = e->same[p] + p;
        circle |= run >= (p <= SHORT ? TIMES : TIMES_LONG) * p && run > TOKENS;
    }
    e->tail[at % ECHO_PERIOD] = token;
    return circle;
}
