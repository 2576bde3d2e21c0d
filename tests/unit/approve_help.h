/* tests: the full screen while a person is asked about something, in an answer that runs. */
#ifndef QUORUM_APPROVE_HELP_H
#define QUORUM_APPROVE_HELP_H
#include "tests/unit/app_help.h"
#include "tests/unit/saved_screen.h"

static const struct { int w, h; } sizes[] = { { 80, 24 }, { 120, 40 }, { 200, 45 } };

static void start_with(int w, int h, const char *said)
{
    begin();
    tui_app_resize(&app, w, h);
    answer(1, said);
    fake.st.busy = true;
    q_buf_clear(&fake.said);
    q_buf_puts(&fake.said, "");
}

static void end(void)
{
    fake.st.busy = false;
    tui_app_free(&app);
}

static void ask_about(int64_t id, agt_call c)
{
    agt_event e = { .kind = AGT_EV_APPROVE, .id = id, .message = q_alloc(sizeof *e.message), .n_messages = 1 };
    e.message->call = q_alloc(sizeof *e.message->call);
    *e.message->call = c;
    e.message->n_call = 1;
    ev(e);
}
#endif
