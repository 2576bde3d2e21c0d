/* What the screen says of models of other kinds: dense ones, hybrids, files without a chat template. */
#include "tests/test.h"
#include "tests/unit/app_help.h"
#include "tui/tui.h"

/* A dense model has no experts, so no line offers fewer of them; a file without a template is called a base model. */
static void a_dense_model(void)
{
    static const int width[] = { 60, 80, 140 };
    for (int i = 0; i < 3; i++) {
        begin();
        tui_app_resize(&app, width[i], 30);
        fake.st.carved = false;
        fake.st.n_expert = fake.st.k = 0;
        ev((agt_event){ .kind = AGT_EV_READY });
        CHECK(on_screen("This model is dense"));
        fake.st.chat_template = false;
        ev((agt_event){ .kind = AGT_EV_READY });
        CHECK_MSG(on_screen("This file has no chat template") && !on_screen("This model is dense"), "%d columns", width[i]);
        fake.st.busy = true;
        ev((agt_event){ .kind = AGT_EV_SENT, .n_messages = 1, .message = fake_message(1, AGT_USER, "question") });
        for (int state = 0; state < 3; state++) {
            fake.st.paused = state == 1;
            fake.st.thinking = state == 2;
            CHECK_MSG(on_screen("Ctrl-C stop") && !on_screen("fewer"), "%d columns, state %d", width[i], state);
        }
        fake.st.busy = fake.st.thinking = false;
        key(K_F3);
        CHECK(!on_screen("fewer"));
        key(K_ESC);
        tui_act(&app, AGT_UI_ENERGY, "");
        CHECK(!on_screen("fewer"));
        tui_app_free(&app);
    }
}

/* A recurrent layer has its sign in the experts panel, and its name in full where its numbers stand. */
static void a_hybrid(void)
{
    begin();
    tui_app_resize(&app, 140, 40);
    CHECK(on_screen("  2 ") && !on_screen("  2~"));
    fake.n_recurrent = 4;
    CHECK(on_screen("  2~") && on_screen("  3~") && on_screen("  4 ") && !on_screen("  4~"));
    key(K_F3);
    key(K_ENTER);
    fake.n_recurrent = 64;
    CHECK_MSG(on_screen("~ recurrent"), "the page of a layer");
    fake.n_recurrent = 0;
    CHECK(on_screen("Layer ") && !on_screen("~ recurrent"));
    tui_app_free(&app);
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    tui_lang("en");
    RUN(a_dense_model);
    RUN(a_hybrid);
    return TEST_END();
}
