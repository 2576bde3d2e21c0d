/* provider: answers that go round in circles are told, and no others. */
#include "provider/echo.h"
#include "tests/test.h"

/* The n-th of a period of p tokens; a stray token at `stray`. Returns after how many tokens the guard speaks, 0 = never. */
static int caught(int p, int stray, int lead)
{
    echo e = { 0 };
    for (int i = 0; i < 1500; i++)
        if (echo_token(&e, i < lead ? 1000 + i : i == stray ? 7777 : (i - lead) % p))
            return i + 1;
    return 0;
}

static void loops_are_found(void)
{
    CHECK_INT(caught(2, -1, 0), 257);    /* more than 256 tokens of it */
    CHECK_INT(caught(1, -1, 0), 257);    /* one token for ever is a period of two as well */
    CHECK_INT(caught(30, -1, 100), 357);
    CHECK_INT(caught(64, -1, 0), 66 + 244);      /* eight times would be 512: but nothing else is said all the while */
    CHECK_INT(caught(65, -1, 0), 260);   /* a longer one four times: a paragraph said again and again */
    CHECK_INT(caught(256, -1, 0), 1024);
    CHECK_INT(caught(257, -1, 0), 0);    /* longer still is a text with a refrain */
    CHECK_INT(caught(100, 250, 0), 250 + 1 + 400);
    CHECK_INT(caught(30, 200, 0), 32 + 3 + 244);     /* a stray token begins the count of whole repetitions anew, three groups hold it */
}

static uint64_t state;
static int32_t rnd(int32_t n)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (int32_t)((state >> 33) % (uint64_t)n);
}

/* Common words often, rare ones seldom. */
static int32_t word(void) { return rnd(10) < 6 ? rnd(40) : 40 + rnd(4000); }

/* 1200 tokens of a text made so; returns after how many the guard speaks, 0 = never. */
static int told(int32_t (*next)(int i), uint64_t seed)
{
    echo e = { 0 };
    state = seed;
    for (int i = 0; i < 1200; i++)
        if (echo_token(&e, next(i)))
            return i + 1;
    return 0;
}

static int32_t prose(int i) { return word(); }
/* Items of 24 tokens: a number of its own, and two words that change with each. */
static int32_t near_equal(int i) { return i % 24 == 0 ? 5000 + i : i % 24 == 7 ? 100 + rnd(4) : i % 24 == 15 ? 200 + rnd(4) : 1000 + i % 24; }
/* Items of 58 tokens that differ in their number alone. */
static int32_t numbered(int i) { return i % 58 == 0 ? 5000 + i : 1000 + i % 58; }
/* The same beginning of each item, and something new in it: a list as it should be. */
static int32_t list(int i) { return i % 20 < 5 ? 300 + i % 20 : word(); }
/* Verses with a refrain of 40 tokens. */
static int32_t song(int i) { return i % 120 < 40 ? 400 + i % 120 : word(); }
/* Rows of a table: bars, and numbers that count on. */
static int32_t table(int i) { return i % 2 ? 9 : 10 + i / 2 % 10 + (i / 20) * 10; }
/* Equal sentences in an order of their own. */
static int32_t shuffled(int i)
{
    static int which;
    if (i % 12 == 0)
        which = rnd(5);
    return 6000 + which * 12 + i % 12;
}

static void near_repeats_are_found(void)
{
    static const struct { const char *name; int32_t (*next)(int i); bool circle; } row[] = {
        { "near-equal items", near_equal, true }, { "five sentences in any order", shuffled, true }, { "prose", prose, false },
        { "a list", list, false }, { "a song", song, false }, { "a table", table, false } };
    for (size_t r = 0; r < sizeof row / sizeof *row; r++)
        for (uint64_t seed = 1; seed <= 20; seed++) {
            int at = told(row[r].next, seed);
            CHECK_MSG(row[r].circle ? at > 450 : at == 0, "%s, seed %d: told at token %d", row[r].name, (int)seed, at);
        }
}

/* What hardly differs is told when 256 tokens say nothing else, not after a page of it. */
static void what_hardly_differs_is_told_early(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        int at = told(numbered, seed);
        CHECK_MSG(at > 256 && at <= 58 + 256 + 16, "seed %d: told at token %d", (int)seed, at);
    }
}

int main(void)
{
    RUN(loops_are_found);
    RUN(near_repeats_are_found);
    RUN(what_hardly_differs_is_told_early);
    return TEST_END();
}
