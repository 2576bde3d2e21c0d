/* tests: when a frame is drawn while an answer runs, by a clock of the test's own: how many, how late, and that one of the words alone
 * leaves the screen as a whole one would. */
#include "tests/test.h"
#include "tests/unit/app_help.h"
#include "tui/tui.h"

static const char *const words[] = { " the", " sea", " корабль", ",", " and", " **a", " captain**", " who", " `lost`", ".", "\n\n", "- he", "\n", "- 船長", "\n\n", " for", " years" };
static void token(int i) { ev((agt_event){ .kind = AGT_EV_TOKEN, .number = i, .text = q_strdup(words[i % (int)(sizeof words / sizeof *words)]) }); }

static void answer_begins(int64_t id)
{
    ev((agt_event){ .kind = AGT_EV_SENT, .n_messages = 1, .message = fake_message(id, AGT_USER, "question") });
    agt_message *m = fake_message(id + 1, AGT_ASSISTANT, "");
    m->state = AGT_PARTIAL;
    ev((agt_event){ .kind = AGT_EV_BEGIN, .n_messages = 1, .message = m });
}

/* One millisecond after another up to `until`; returns how many frames were drawn. */
static int frames(int64_t until, int *whole)
{
    int n = 0;
    for (; app.now < until; app.now++)
        if (tui_app_due(&app) == 0) {
            tui_app_frame(&app);
            n++;
            *whole += app.owed.all_at == app.now;
            CHECK(tui_app_due(&app) != 0);
        }
    return n;
}

static void an_answer_takes_twenty_frames_a_second(void)
{
    int n = 0, whole = 0;
    begin();
    tui_app_resize(&app, 200, 50);
    answer_begins(1);
    frames(app.now + 100, &whole);
    whole = 0;
    for (int i = 0; i < 300; i++) {      /* two seconds at 150 tokens/s */
        token(i);
        n += frames(app.now + (i % 3 ? 7 : 6), &whole);
    }
    CHECK_MSG(n >= 38 && n <= 40 && whole >= 9 && whole <= 10, "%d frames, %d whole ones", n, whole);
    ev((agt_event){ .kind = AGT_EV_DONE, .n_messages = 1, .message = fake_message(2, AGT_ASSISTANT, "said") });
    CHECK(tui_app_due(&app) >= 0 && tui_app_due(&app) <= 16 && tui_app_rest(&app) == 0);
    frames(app.now + 17, &whole);
    CHECK_INT(tui_app_due(&app), -1);
    tui_app_free(&app);
}

/* Nothing waits longer than its pace: a word 50 ms, a panel 200, what one does 16; the first word after a pause not at all. */
static void how_late_a_frame_may_be(void)
{
    int whole = 0;
    begin();
    answer_begins(1);
    frames(app.now + 300, &whole);
    CHECK_INT(tui_app_due(&app), -1);
    token(0);
    CHECK_INT(tui_app_due(&app), 0);
    tui_app_frame(&app);                 /* panels were drawn long ago: a whole one */
    CHECK(app.owed.all_at == app.now && !app.owed.panels);
    app.now += 10;
    token(1);
    CHECK_INT(tui_app_due(&app), 40);
    CHECK_INT(tui_app_rest(&app), 40);
    chr('x');
    CHECK_INT(tui_app_due(&app), 6);
    CHECK_INT(tui_app_rest(&app), 0);
    app.now += 6;
    tui_app_frame(&app);
    app.now += 60;
    token(2);
    CHECK_INT(tui_app_due(&app), 0);
    tui_app_frame(&app);                 /* words alone: the panels come in their time, also when no token does */
    CHECK(app.owed.all_at == app.now - 60 && app.owed.panels && !app.owed.text);
    CHECK_INT(tui_app_due(&app), 140);
    CHECK_INT(tui_app_rest(&app), 50);
    app.now += 50;
    CHECK_INT(tui_app_rest(&app), 0);
    app.now += 90;
    CHECK_INT(tui_app_due(&app), 0);
    tui_app_frame(&app);
    CHECK_INT(tui_app_due(&app), -1);
    ev((agt_event){ .kind = AGT_EV_PROGRESS, .text = q_strdup("adding"), .done = 1, .total = 9 });
    CHECK_INT(tui_app_due(&app), 200);
    ev((agt_event){ .kind = AGT_EV_PROGRESS, .text = q_strdup("adding") });
    CHECK_INT(tui_app_due(&app), 16);
    app.now += 16;
    tui_app_frame(&app);
    app.ui.motion = false;
    app.now += 60;
    token(3);
    tui_app_frame(&app);
    CHECK_INT(tui_app_due(&app), 940);   /* panels once a second */
    tui_app_free(&app);
}

/* As the screen would stand if all of it had been drawn. */
static bool as_a_whole_one(void)
{
    tui_owed o = app.owed;
    size_t n = sizeof *app.grid.c * (size_t)(app.grid.w * app.grid.h);
    tui_cell *c = memcpy(q_alloc(n), app.grid.c, n);
    int x = app.grid.cx, y = app.grid.cy;
    bool cursor = app.grid.cursor;
    tui_app_draw(&app);
    bool same = memcmp(c, app.grid.c, n) == 0 && app.grid.cursor == cursor && app.grid.cx == x && app.grid.cy == y;
    free(c);
    app.owed = o;
    return same;
}

static void words_alone_leave_the_same_screen(void)
{
    static const struct { int w, h; enum tui_key_code panel; const char *typed; } row[] = {
        { 80, 24, K_NONE, "" }, { 80, 24, K_F3, "" }, { 80, 24, K_F4, "" }, { 80, 24, K_NONE, "/" }, { 120, 40, K_F4, "draft" }, { 200, 50, K_F3, "" }, { 200, 50, K_F5, "" }, { 36, 10, K_NONE, "" },
        { 20, 6, K_NONE, "" } };
    for (size_t r = 0; r < sizeof row / sizeof *row; r++) {
        int alone = 0, bad = 0;
        begin();
        tui_app_resize(&app, row[r].w, row[r].h);
        keys_in(row[r].typed);
        if (*row[r].typed == '/') key(K_TAB);
        answer_begins(1);
        if (row[r].panel != K_NONE) key(row[r].panel);
        for (int i = 0; i < 120; i++) {
            app.now += 50;
            token(i);
            fake.st.n_tokens = i;
            CHECK_INT(tui_app_due(&app), 0);
            tui_app_frame(&app);
            alone += app.owed.all_at != app.now;
            bad += !as_a_whole_one();
        }
        CHECK_MSG(!bad, "%dx%d panel %d: %d of 120 frames are not what a whole one draws", row[r].w, row[r].h, row[r].panel, bad);
        CHECK_MSG(alone == (row[r].h == 6 || *row[r].typed == '/' ? 0 : 90), "%dx%d panel %d: %d frames of words alone", row[r].w, row[r].h, row[r].panel, alone);
        tui_app_free(&app);
    }
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    tui_lang("en");
    RUN(an_answer_takes_twenty_frames_a_second);
    RUN(how_late_a_frame_may_be);
    RUN(words_alone_leave_the_same_screen);
    return TEST_END();
}
