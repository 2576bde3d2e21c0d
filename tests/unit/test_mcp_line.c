/* mcp/line by itself, without a server: what an end means to a start that is on its way. */
#include "mcp/line.h"
#include "tests/test.h"

/* A start that is ended before it has come to its line: it does not go on. */
static void a_start_that_is_ended_stays_so(void)
{
    line l;
    line_init(&l, "test");
    CHECK(line_reset(&l) && !l.broken);
    line_break(&l, Q_IO, "it broke");
    CHECK(line_reset(&l) && !l.broken);
    line_end(&l, "it was ended");
    CHECK(!line_reset(&l) && l.broken && l.rc == Q_CANCEL);
    CHECK_STR(l.why, "it was ended");
    l.ends = false;
    CHECK(line_reset(&l) && !l.broken);
    line_free(&l);
}

int main(void)
{
    RUN(a_start_that_is_ended_stays_so);
    return TEST_END();
}
