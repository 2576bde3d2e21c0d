/* The panel of /teach: whole screens at 80, 120 and 200 columns in both languages; what it says in each phase; its keys. */
#include "tests/unit/app_help.h"
#include "tests/unit/saved_screen.h"

static void teach(void)
{
    fake.teaching = (tch_state){ .phase = TCH_TRAINING, .name = "brass", .model = "SmolLM2 carved", .step = 57, .steps = 90, .loss = 2.31, .heldout = 2.44, .first_heldout = 5.75, .lr = 4.2e-4,
                                 .tokens_s = 131, .left_s = 212, .bytes = 120 << 20, .chosen = 84, .routed = 448, .distance = .077, .p = .001 };
    for (int i = 0; i < 57; i++)
        tch_state_point(&fake.teaching, 1.9 + 3.9 / (1 + i * .2) + (i % 3) * .05);
}

static void open_panel(int w, int h)
{
    begin();
    tui_app_resize(&app, w, h);
    tui_act(&app, AGT_UI_TEACH, "");
    ev((agt_event){ .kind = AGT_EV_TEACH, .text = q_strdup(""), .name = q_strdup("training") });
}

static void screens(void)
{
    static const struct { int w, h; } size[] = { { 80, 24 }, { 120, 40 }, { 200, 50 } };
    for (int i = 0; i < 3; i++) {
        teach();
        open_panel(size[i].w, size[i].h);
        compare("teach");
        tui_app_free(&app);
    }
}
static void english(void) { screens(); }
static void russian(void) { in_russian(screens); }

static void each_phase_is_told(void)
{
    memset(&fake.teaching, 0, sizeof fake.teaching);
    open_panel(80, 24);
    CHECK_MSG(on_screen("Nothing is being taught"), "%s", screen());
    fake.teaching = (tch_state){ .phase = TCH_ROUTING, .name = "brass", .done = 12, .total = 180 };
    CHECK_MSG(on_screen("brass: looking where the examples go, 12 / 180"), "%s", screen());
    fake.teaching.phase = TCH_FAILED;
    snprintf(fake.teaching.problem, sizeof fake.teaching.problem, "no space left");
    CHECK_MSG(on_screen("failed") && on_screen("no space left"), "%s", screen());
    teach();
    CHECK_MSG(on_screen("training, step 57 of 90") && on_screen("loss 2.310 · held out 2.440 (at first 5.750)") && on_screen("131 tok/s") && on_screen("4 min left") && on_screen("•"), "%s", screen());
    app.ui.glyphs = false;
    CHECK_MSG(!on_screen("•") && on_screen("*"), "%s", screen());
    tui_app_free(&app);
    for (int w = 30; w <= 200; w += 7) {             /* no width breaks it */
        open_panel(w, 14);
        CHECK_MSG(on_screen("training"), "%d: %s", w, screen());
        tui_app_free(&app);
    }
}

static void keys_stop_and_report(void)
{
    teach();
    open_panel(100, 30);
    q_buf_clear(&fake.said);
    q_buf_puts(&fake.said, "");
    chr('s');
    SAID("");
    CHECK_MSG(on_screen("Stop teaching brass?"), "%s", screen());
    chr('n');
    SAID("");
    chr('s');
    chr('y');
    chr('r');
    SAID("submit /teach stop\nsubmit /teach report\n");
    key(K_ESC);
    CHECK(!on_screen("step 57 of 90"));
    tui_app_free(&app);
    fake.teaching.phase = TCH_DONE;                  /* perhaps there is one in another window */
    open_panel(100, 30);
    chr('s');
    SAID("submit /teach stop\n");
    tui_app_free(&app);
}

/* Whoever goes on talking is not heard as keys of the panel, and a page that comes by itself takes no letter away. */
static void talk_goes_on(void)
{
    teach();
    open_panel(100, 30);
    q_buf_clear(&fake.said);
    keys_in("What is it");
    CHECK_MSG(on_screen(">  What is it") || on_screen("> What is it"), "%s", screen());
    CHECK(on_screen("step 57 of 90"));               /* what is open stays in sight */
    tui_app_free(&app);
    begin();
    keys_in("a jo");
    ev((agt_event){ .kind = AGT_EV_TEXT, .name = q_strdup("/teach plan"), .text = q_strdup("84 experts of 448") });
    keys_in("kq");
    CHECK_MSG(on_screen("84 experts of 448") && on_screen("a jokq"), "%s", screen());
    key(K_ESC);
    CHECK_MSG(!on_screen("84 experts of 448") && on_screen("a jokq"), "%s", screen());
    tui_app_free(&app);
    begin();                                         /* with nothing typed the page has the keys */
    ev((agt_event){ .kind = AGT_EV_TEXT, .name = q_strdup("/teach plan"), .text = q_strdup("84 experts of 448") });
    chr('q');
    CHECK(!on_screen("84 experts of 448"));
    tui_app_free(&app);
}

int main(void)
{
    RUN(english);
    RUN(russian);
    RUN(each_phase_is_told);
    RUN(keys_stop_and_report);
    RUN(talk_goes_on);
    return TEST_END();
}
