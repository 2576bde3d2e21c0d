/* tests: what a key or a command does to the whole screen: where it leads, and what is left behind. */
#include "tests/test.h"
#include "tests/unit/app_help.h"

static void found(void)
{
    agt_message *m = q_alloc(3 * sizeof *m);
    for (int i = 0; i < 3; i++)
        m[i] = (agt_message){ .id = 10 + i, .parent = 4 + i, .role = AGT_USER, .text = q_strdup("a \1word\2 here"), .label = q_strdup("title") };
    ev((agt_event){ .kind = AGT_EV_FOUND, .message = m, .n_messages = 3, .text = q_strdup("word") });
}

/* A row of /find opens at its message, by Enter or an arrow, and the hints say so; the message is seen and stands out. */
static void found_rows_open(void)
{
    static const enum tui_key_code by[] = { K_ENTER, K_RIGHT };
    static const int width[] = { 30, 80, 120, 160 };
    for (size_t w = 0; w < sizeof width / sizeof *width; w++)
        for (size_t i = 0; i < sizeof by / sizeof *by; i++) {
            begin();
            tui_app_resize(&app, width[w], width[w] < 60 ? 8 : 24);
            answer(1, "an answer");
            tui_say_hush(&app.say);
            found();
            CHECK(on_screen("Found 3 places") && on_screen("Enter open"));
            key(K_DOWN);
            q_buf_clear(&fake.said);
            key(by[i]);
            CHECK_STR(fake.said.p, "open 5 at 11\n");
            CHECK(app.go.over == NULL);
            agt_message *m = q_alloc(40 * sizeof *m);
            for (int k = 0; k < 40; k++) {
                agt_message *one = fake_message(k + 1, k & 1 ? AGT_ASSISTANT : AGT_USER, k == 10 ? "the word that was found" : "filler");
                m[k] = *one;
                free(one);
            }
            ev((agt_event){ .kind = AGT_EV_OPENED, .id = 5, .message = m, .n_messages = 40, .done = 11, .scroll = 0 });
            CHECK(on_screen("the word that was found"));
            CHECK(app.go.focus == &view_walk && app.tr.selected == 10 && !app.tr.follow);
            key(K_ESC);
            CHECK(app.go.focus == NULL && on_screen("the word that was found"));
            tui_app_free(&app);
        }
}

/* What was just sent is no draft of the conversation it was sent from, even where the command has already led elsewhere. */
static void a_sent_command_is_no_draft(void)
{
    begin();
    answer(1, "an answer");
    ev((agt_event){ .kind = AGT_EV_OPENED, .id = 7, .draft = q_strdup("") });
    fake.st.chat = 7;
    keys_in("/new");
    tui_app_keep(&app);
    CHECK_STR(fake.kept, "7 /new");
    fake.st.chat = 0;                    /* the agent is quicker than the screen */
    key(K_ENTER);
    CHECK_STR(fake.kept, "7 ");
    tui_app_free(&app);
}

int main(void)
{
    RUN(found_rows_open);
    RUN(a_sent_command_is_no_draft);
    return TEST_END();
}
