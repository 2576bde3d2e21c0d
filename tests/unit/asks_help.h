/* tests: an agent of a script (script_help.h) whose person is asked about calls. What it told is in s. */
#ifndef QUORUM_ASKS_HELP_H
#define QUORUM_ASKS_HELP_H
#include "tests/unit/script_help.h"

static seen s;

/* Without a room nothing else can be tried: the test ends here, and fails. */
static void open_with(const agt_options *o)
{
    a = NULL;
    if (agt_open(o, &a, err) < 0 || !wait_for(a, &s, AGT_EV_READY, 0, 30000)) {
        printf("not ok opening: %s\n", err);
        exit(1);
    }
    seen_clear(&s);
}

/* The next call that a person is asked about. */
static int64_t asked(void)
{
    CHECK(wait_for(a, &s, AGT_EV_APPROVE, 0, 60000));
    return s.approve.ticket;
}

static void done(void)
{
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000));
    settle(a, &s);
}

static void ask(const char *text)
{
    seen_clear(&s);
    agt_submit(a, text);
}
#endif
