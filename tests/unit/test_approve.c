/* tests: the tool that a person is asked about on the full screen: what is drawn, which keys answer it and when, and the plan. Screens in both
 * languages at 80, 120 and 200 columns. */
#include "tests/unit/approve_help.h"

static const char diff[] = "--- src/sum.c\n+++ src/sum.c\n@@ -1,5 +1,5 @@\n int sum(const int *v, int n)\n {\n     int s = 0;\n-    for (int i = 1; i < n; i++)\n+    for (int i = 0; i < n; i++)\n         s += v[i];\n";

static void start(int w, int h) { start_with(w, h, "The loop begins too late. Let me mend that."); }

static void ask_edit(int64_t id)
{
    ask_about(id, (agt_call){ .name = q_strdup("edit_file"), .title = q_strdup("edit_file src/sum.c"), .shown = q_strdup(diff), .diff = true, .rule = q_strdup("edit_file"),
                              .policy = q_strdup(_("no rule allows it")), .folder = q_strdup("/home/ada/sums") });
}

static void ask_secret(int64_t id)
{
    ask_about(id, (agt_call){ .name = q_strdup("read_file"), .title = q_strdup("read_file .env"), .shown = q_strdup("path: .env\n"), .risky = true,
                              .policy = q_strdup(_("it touches what may hold keys or passwords")), .folder = q_strdup("/home/ada/sums") });
}

static void ask_question(int64_t id)
{
    ask_about(id, (agt_call){ .name = q_strdup("ask_person"), .title = q_strdup("ask_person"), .shown = q_strdup("Which of the two tests is meant?"), .question = true });
}

/* As the loop does it. */
static void drawn(void)
{
    tui_app_draw(&app);
    tui_approve_arm(&app);
}

static void called(int64_t id, enum agt_call_state state, bool undone)
{
    agt_event e = { .kind = AGT_EV_CALL, .id = 2, .message = q_alloc(sizeof *e.message), .n_messages = 1 };
    e.message->call = q_alloc(sizeof *e.message->call);
    *e.message->call = (agt_call){ .id = id, .at = 25, .name = q_strdup("edit_file"), .title = q_strdup("edit_file src/sum.c"), .state = state, .policy = q_strdup("once"), .undone = undone };
    e.message->n_call = 1;
    ev(e);
}

/* ---- which keys answer, and when ---- */
static void no_key_typed_before_it_was_drawn_allows_it(void)
{
    start(80, 24);
    keys_in("ye");
    ask_edit(7);
    keys_in("y");                        /* told of, not drawn */
    CHECK_STR(app.comp.ed.b.p, "yey");
    tui_app_draw(&app);
    keys_in("yaf");                      /* drawn, and what was typed before is still being read */
    CHECK_STR(app.comp.ed.b.p, "yeyyaf");
    SAID("");
    tui_approve_arm(&app);
    keys_in("y");
    SAID("approve 7 once \n");
    CHECK_STR(app.comp.ed.b.p, "yeyyaf");
    CHECK(!app.seen.approve.id);
    keys_in("y");                        /* answered: it is a letter again */
    CHECK_STR(app.comp.ed.b.p, "yeyyafy");
    ask_edit(8);
    tui_approve_arm(&app);               /* not drawn: the loop cannot arm it */
    keys_in("y");
    SAID("");
    end();
}

static void keys_mean_what_stands_there(void)
{
    static const struct { const char *key, *said; } row[] = {
        { "y", "approve 7 once \n" }, { "Y", "approve 7 once \n" }, { "д", "approve 7 once \n" }, { "n", "approve 7 no \n" }, { "н", "approve 7 no \n" }, { "т", "approve 7 no \n" },
        { "a", "approve 7 chat \n" }, { "ф", "approve 7 chat \n" }, { "б", "approve 7 chat \n" }, { "f", "approve 7 folder \n" }, { "п", "approve 7 folder \n" },
        { "а", "" }, { "x", "" }, { "1", "" }, { " ", "" } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        start(80, 24);
        ask_edit(7);
        drawn();
        keys_in(row[i].key);
        CHECK_STR(fake.said.p, row[i].said);
        CHECK((app.seen.approve.id == 0) == (*row[i].said != 0));
        end();
    }
}

static void what_is_risky_is_allowed_once_only(void)
{
    start(80, 24);
    ask_secret(7);
    drawn();
    keys_in("af");
    SAID("");
    CHECK(app.seen.approve.id == 7 && on_screen("asked about each time"));
    keys_in("y");
    SAID("approve 7 once \n");
    end();
}

static void why_not_is_typed_and_what_was_written_comes_back(void)
{
    start(80, 24);
    keys_in("half a sentence");
    ask_edit(7);
    drawn();
    keys_in("e");
    CHECK(app.seen.approve.typing && app.comp.ed.b.len == 0);
    keys_in("yes but not so");
    SAID("");
    key(K_ENTER);
    CHECK_STR(fake.said.p, "approve 7 no yes but not so\n");
    CHECK_STR(app.comp.ed.b.p, "half a sentence");
    ask_edit(8);
    drawn();
    keys_in("ewhat");
    key(K_ESC);
    CHECK(app.seen.approve.id == 8 && !app.seen.approve.typing);
    CHECK_STR(app.comp.ed.b.p, "half a sentence");
    q_buf_clear(&fake.said);
    keys_in("n");
    CHECK_STR(fake.said.p, "approve 8 no \n");
    end();
}

/* The row at the foot, nothing else being said there. */
static bool below(const char *words)
{
    q_buf b = { 0 };
    tui_say_hush(&app.say);
    drawn();
    tui_grid_text(&app.grid, &b);
    while (b.len && b.p[b.len - 1] == '\n') b.p[--b.len] = 0;
    const char *row = strrchr(b.p, '\n');
    bool is = row && strstr(row, words);
    if (!is) printf("# below stands: %s\n", row ? row : "");
    q_buf_free(&b);
    return is;
}

/* Nor is Enter said to send after this answer while it says no and why. */
static void the_row_of_keys_says_what_is_asked(void)
{
    start(120, 40);
    ask_edit(7);
    CHECK(below("y n a f e: the tool above"));
    keys_in("е");                        /* the Cyrillic letter that looks like it */
    CHECK(below("Enter says no and why · Esc back"));
    key(K_ESC);
    keys_in("n");
    ask_secret(8);
    CHECK(below("y n e: the tool above"));
    keys_in("n");
    ask_question(9);
    CHECK(below("Enter answers"));
    key(K_ENTER);
    CHECK(below("Enter sends after this answer"));
    end();
}

/* What a server sends all at once has no speed that anybody measured. */
static void what_came_all_at_once_has_no_speed(void)
{
    start(120, 40);
    fake.st.busy = false;
    static const struct { const char *model; double rate; const char *is; } row[] = { { "@box/tiny", 694789, NULL }, { "@box/tiny", 180, "180 tok/s" }, { "tiny", 14217, "14217 tok/s" } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        snprintf(fake.st.model, sizeof fake.st.model, "%s", row[i].model);
        fake.st.rate.decode = row[i].rate;
        tui_app_draw(&app);
        CHECK_MSG(row[i].is ? on_screen(row[i].is) : !on_screen("tok/s"), "%s at %g", row[i].model, row[i].rate);
    }
    end();
}

static void a_question_takes_words(void)
{
    start(80, 24);
    keys_in("half");
    ask_question(7);
    drawn();
    keys_in("the second");
    q_buf_clear(&fake.said);
    key(K_ENTER);
    CHECK_STR(fake.said.p, "approve 7 once the second\n");
    CHECK_STR(app.comp.ed.b.p, "half");
    end();
}

static void it_goes_when_it_is_over(void)
{
    start(80, 24);
    ask_edit(7);
    drawn();
    CHECK(on_screen("+    for (int i = 0"));
    key(K_ESC);
    CHECK_STR(fake.said.p, "stop\n");
    called(3, AGT_CALL_STOPPED, false);
    CHECK(!app.seen.approve.id && !on_screen("+    for (int i = 0"));
    CHECK(on_screen("src/sum.c\u00a0■"));
    called(4, AGT_CALL_DONE, false);
    CHECK(on_screen("src/sum.c\u00a0✓"));
    called(4, AGT_CALL_DONE, true);
    CHECK(on_screen("src/sum.c\u00a0↶"));
    ask_edit(9);
    ev((agt_event){ .kind = AGT_EV_DONE, .n_messages = 1, .message = fake_message(2, AGT_ASSISTANT, "over") });
    CHECK(!app.seen.approve.id);
    end();
}

static void a_window_too_small_to_show_it_allows_nothing(void)
{
    start(80, 24);
    tui_app_resize(&app, 28, 7);
    ask_edit(7);
    drawn();
    keys_in("y");
    SAID("");
    CHECK(app.seen.approve.id == 7);
    end();
}

static void long_ones_scroll(void)
{
    q_buf b = { 0 };
    start(80, 24);
    for (int i = 1; i <= 100; i++) q_buf_printf(&b, "+line %d\n", i);
    ask_about(7, (agt_call){ .title = q_strdup("edit_file long"), .shown = q_buf_take(&b), .diff = true, .policy = q_strdup("x"), .folder = q_strdup("/") });
    drawn();
    CHECK(on_screen("+line 1 ") || on_screen("+line 1\n"));
    CHECK(!on_screen("+line 60") && on_screen("more lines"));
    for (int i = 0; i < 30; i++) { key(K_PGDN); tui_app_draw(&app); }
    CHECK(on_screen("+line 100") && !on_screen("+line 1\n"));
    end();
}

/* ---- screens ---- */
static void screens(void)
{
    for (size_t z = 0; z < sizeof sizes / sizeof *sizes; z++) {
        start(sizes[z].w, sizes[z].h);
        called(4, AGT_CALL_DONE, false);
        ask_edit(7);
        drawn();
        compare("approve_edit");
        keys_in("e");
        tui_app_draw(&app);
        compare("approve_why");
        key(K_ESC);
        ask_secret(8);
        drawn();
        compare("approve_secret");
        ask_question(9);
        drawn();
        compare("approve_question");
        called(5, AGT_CALL_DENIED, false);
        ev((agt_event){ .kind = AGT_EV_PLAN, .id = 2, .text = q_strdup("[x] find the failing test\n[>] mend sum.c\n[ ] run the tests again\n"), .done = 1, .total = 3 });
        tui_app_draw(&app);
        compare("plan");
        end();
    }
}

/* Message 2 with marks behind its text. */
static agt_message *marked(bool pinned, bool summed)
{
    agt_message *m = fake_message(2, AGT_ASSISTANT, "The loop begins too late. Let me mend that.");
    m->made = q_alloc(sizeof *m->made);
    m->n_config = 1;
    m->call = q_alloc(2 * sizeof *m->call);
    if (pinned) m->call[m->n_call++] = (agt_call){ .id = -1, .at = 43, .title = q_strdup(_("turn pinned")), .state = AGT_CALL_DONE };
    if (summed)
        m->call[m->n_call++] = (agt_call){ .id = -9, .at = 43, .title = q_printf(ngettext("summed up: %d message, %d → %d tokens", "summed up: %d messages, %d → %d tokens", 12), 12, 5210, 830),
                                           .state = AGT_CALL_DONE };
    return m;
}

/* An answer that is calls alone shows them, while it runs and when it is over. */
static void calls_without_a_word(void)
{
    start(80, 24);
    agt_message *m = fake_message(4, AGT_ASSISTANT, "");
    m->state = AGT_PARTIAL;
    m->made = q_alloc(sizeof *m->made);
    m->n_config = 1;
    ev((agt_event){ .kind = AGT_EV_SENT, .message = fake_message(3, AGT_USER, "What does it say?"), .n_messages = 1 });
    ev((agt_event){ .kind = AGT_EV_BEGIN, .message = m, .n_messages = 1 });
    agt_event e = { .kind = AGT_EV_CALL, .id = 4, .message = q_alloc(sizeof *e.message), .n_messages = 1 };
    e.message->call = q_alloc(sizeof *e.message->call);
    *e.message->call = (agt_call){ .id = 9, .name = q_strdup("read_file"), .title = q_strdup("read_file a.txt"), .state = AGT_CALL_FAILED, .policy = q_strdup("malformed") };
    e.message->n_call = 1;
    ev(e);
    ev((agt_event){ .kind = AGT_EV_WRITING, .id = 4, .text = q_strdup("{\"path\": \"sr"), .done = 12 });
    tui_app_draw(&app);
    CHECK(on_screen("⟨read_file\xC2\xA0" "a.txt\xC2\xA0✗⟩") && on_screen("writing a call, 12 bytes"));
    m = fake_message(4, AGT_ASSISTANT, "");
    m->made = q_alloc(sizeof *m->made);
    m->n_config = 1;
    m->call = q_alloc(sizeof *m->call);
    m->call[m->n_call++] = (agt_call){ .id = 9, .name = q_strdup("read_file"), .title = q_strdup("read_file a.txt"), .state = AGT_CALL_FAILED, .policy = q_strdup("malformed") };
    ev((agt_event){ .kind = AGT_EV_DONE, .id = 4, .message = m, .n_messages = 1 });
    tui_app_draw(&app);
    CHECK(on_screen("⟨read_file\xC2\xA0" "a.txt\xC2\xA0✗⟩") && !on_screen("writing a call"));
    end();
}

static void steps(void)
{
    for (size_t z = 0; z < sizeof sizes / sizeof *sizes; z++) {
        start(sizes[z].w, sizes[z].h);
        ev((agt_event){ .kind = AGT_EV_MARKED, .message = marked(true, false), .n_messages = 1 });
        ev((agt_event){ .kind = AGT_EV_COMPACTED, .name = q_strdup("made"), .text = q_strdup("It was about a loop."), .note = q_strdup(""), .number = 12, .done = 5210, .total = 830,
                        .message = marked(true, true), .n_messages = 1 });
        agt_message *m = fake_message(4, AGT_ASSISTANT, "");
        m->state = AGT_PARTIAL;
        ev((agt_event){ .kind = AGT_EV_SENT, .message = fake_message(3, AGT_USER, "And the test?"), .n_messages = 1 });
        ev((agt_event){ .kind = AGT_EV_BEGIN, .message = m, .n_messages = 1 });
        ev((agt_event){ .kind = AGT_EV_TOKEN, .text = q_strdup("I look.") });
        ev((agt_event){ .kind = AGT_EV_WRITING, .id = 4, .text = q_strdup("{\"path\": \"sr"), .done = 12 });
        tui_app_draw(&app);
        compare("compacted");
        CHECK(app.work.writing == 12);
        ev((agt_event){ .kind = AGT_EV_TOKEN, .text = q_strdup(" So.") });
        CHECK(app.work.writing == 0);
        called(0, AGT_CALL_RUNS, false);
        tui_app_draw(&app);
        CHECK(on_screen(_("running %s")[0] == 'r' ? "running edit_file src/sum.c" : "выполняется edit_file src/sum.c"));
        called(5, AGT_CALL_DONE, false);
        tui_app_draw(&app);
        CHECK(!app.work.running && !on_screen("running edit_file") && !on_screen("выполняется"));
        ev((agt_event){ .kind = AGT_EV_COMPACTED, .name = q_strdup("undone"), .text = q_strdup(""), .note = q_strdup(""), .message = marked(true, false), .n_messages = 1 });
        tui_app_draw(&app);
        CHECK(!on_screen("5210"));
        end();
    }
}

static void a_summary_and_a_call_that_is_written_are_seen(void) { in_both_languages(steps); }
static void what_is_asked_is_seen_whole_in_both_languages(void) { in_both_languages(screens); }

int main(void)
{
    setenv("TZ", "UTC", 1);
    tui_lang("en");
    RUN(no_key_typed_before_it_was_drawn_allows_it);
    RUN(keys_mean_what_stands_there);
    RUN(what_is_risky_is_allowed_once_only);
    RUN(why_not_is_typed_and_what_was_written_comes_back);
    RUN(the_row_of_keys_says_what_is_asked);
    RUN(what_came_all_at_once_has_no_speed);
    RUN(a_question_takes_words);
    RUN(it_goes_when_it_is_over);
    RUN(a_window_too_small_to_show_it_allows_nothing);
    RUN(long_ones_scroll);
    RUN(calls_without_a_word);
    RUN(a_summary_and_a_call_that_is_written_are_seen);
    RUN(what_is_asked_is_seen_whole_in_both_languages);
    return TEST_END();
}
