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
    CHECK_INT(caught(64, -1, 0), 512);   /* eight times */
    CHECK_INT(caught(65, -1, 0), 260);   /* a longer one four times: a paragraph said again and again */
    CHECK_INT(caught(256, -1, 0), 1024);
    CHECK_INT(caught(257, -1, 0), 0);    /* longer still is a text with a refrain */
    CHECK_INT(caught(100, 250, 0), 250 + 1 + 400);
    CHECK_INT(caught(30, 200, 0), 200 + 1 + 257);    /* a stray token begins the count anew */
}

int main(void)
{
    RUN(loops_are_found);
    return TEST_END();
}
