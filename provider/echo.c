/* provider/echo: an answer goes round in circles
 * - word for word: its last repetitions of one period fill more than 256 tokens: 8 or more of 2 to 64 tokens (words), 4 or
 *   more of 65 to 256 (paragraphs);
 * - nearly: of its last 640 tokens, 450 end a group of three that stood within the 96 tokens before. Sentences that differ in
 *   a word or a number do that; prose has a tenth of them, source code and tables half (a README .11, C .28 to .53,
 *   INSERT lines .59, a file of translations .63);
 * - hardly otherwise: 244 of its last 256 do. That is said 200 tokens earlier of items that differ in their number; of 3.1
 *   million tokens of prose, source code, tables and translations no 256 in a row reach 240 (a table of Perl's 239), but two
 *   JSON data files do, and 244. */
#include "provider/echo.h"

enum { SHORT = 64, TIMES = 8, TIMES_LONG = 4, TOKENS = 256 };

static bool word_for_word(echo *e, int at, int32_t token)
{
    bool circle = false;
    for (int p = 2; p <= ECHO_PERIOD && p <= at; p++) {
        e->same[p] = e->tail[(at - p) % ECHO_PERIOD] == token ? e->same[p] + 1 : 0;
        int run = e->same[p] + p;
        circle |= run >= (p <= SHORT ? TIMES : TIMES_LONG) * p && run > TOKENS;
    }
    return circle;
}

static bool nearly(echo *e, int at)
{
    if (at < 2)
        return false;
    int32_t three[3] = { e->tail[(at - 2) % ECHO_PERIOD], e->tail[(at - 1) % ECHO_PERIOD], e->tail[at % ECHO_PERIOD] };
    uint64_t h = q_hash64(three, sizeof three, 1);
    bool again = false;
    for (int i = 0; i < ECHO_NEAR; i++)
        again |= e->three[i] == h;
    e->three[at % ECHO_NEAR] = h;
    e->n_again += again - e->again[at % ECHO_SPAN];
    e->n_late += again - e->again[(at + ECHO_SPAN - ECHO_LATE) % ECHO_SPAN];
    e->again[at % ECHO_SPAN] = again;
    return e->n_again >= ECHO_ENOUGH || (at >= ECHO_LATE && e->n_late >= ECHO_ENOUGH_LATE);
}

bool echo_token(echo *e, int32_t token)
{
    int at = e->n++;
    bool circle = word_for_word(e, at, token);
    e->tail[at % ECHO_PERIOD] = token;
    return nearly(e, at) || circle;
}
