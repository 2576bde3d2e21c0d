/* tests: what a key or a command does to the whole screen: where it leads, and what is left behind. */
#include "tests/test.h"
#include "tests/unit/app_help.h"
#include "tui/tui.h"
#include "tui/view/view.h"

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

/* A pause while nothing is answered says what it will do, at any width; in mid-answer the status and the keys say it. */
static void a_pause_is_said(void)
{
    begin();
    answer(1, "an answer");
    tui_say_hush(&app.say);
    ev((agt_event){ .kind = AGT_EV_PAUSED, .flag = true });
    CHECK(app.say.note && strstr(app.say.note, "/step brings one"));
    ev((agt_event){ .kind = AGT_EV_PAUSED, .flag = false });
    CHECK(app.say.note && strstr(app.say.note, "not held up any more"));
    tui_say_hush(&app.say);
    agt_message *m = fake_message(4, AGT_ASSISTANT, "");
    m->state = AGT_PARTIAL;
    ev((agt_event){ .kind = AGT_EV_BEGIN, .n_messages = 1, .message = m });
    fake.st.paused = fake.st.busy = true;
    ev((agt_event){ .kind = AGT_EV_PAUSED, .flag = true });
    CHECK(!app.say.note && on_screen("F6 goes on") && on_screen("paused at"));
    tui_app_free(&app);
}

/* A chain of configurations in any width: what is seen of it is its newest end, above an answer and in the table of answers. */
static void captions_keep_their_newest_change(void)
{
    static const char chain[] = "standard → k 4 → T .9 · top_p .5 → ban 10:1 → eps .001";
    for (int cells = 4; cells <= 80; cells++) {
        char *s = view_newest(chain, cells);
        CHECK_MSG(tui_str_width(s) <= cells, "%d: %s", cells, s);
        CHECK_MSG(cells < 8 || strstr(s, "eps .001"), "%d: %s", cells, s);
        CHECK_MSG(cells >= tui_str_width(chain) ? strcmp(s, chain) == 0 : strncmp(s, "standard", 8) != 0, "%d: %s", cells, s);
        CHECK_MSG(cells != 21 || strcmp(s, "… → eps .001") == 0, "%s", s);
        CHECK_MSG(cells != 22 || strcmp(s, "… → ban 10:1 → eps .001") != 0, "%s", s);
        free(s);
    }
    for (int w = 30; w <= 160; w += 10) {
        begin();
        tui_app_resize(&app, w, 40);
        answer(1, "an answer");
        agt_message *m = fake_message(2, AGT_ASSISTANT, "an answer");
        free(m->label);
        m->label = q_strdup(chain);
        m->n_passages = 3;
        m->n_siblings = 12;
        m->state = AGT_STOPPED;
        ev((agt_event){ .kind = AGT_EV_DONE, .n_messages = 1, .message = m });
        ev((agt_event){ .kind = AGT_EV_RETRIEVAL, .retrieval = fake_retrieval(), .id = 1 });
        q_buf b = {0};
        tui_app_draw(&app);
        tui_grid_text(&app.grid, &b);
        char *head = strstr(b.p, " quorum "), *line = head ? q_strndup(head, strcspn(head, "\n")) : q_strdup(""), *rule = strstr(line, "│");
        if (rule) *rule = 0;
        CHECK_MSG(strstr(line, "stopped") && (w < 60 ? strstr(line, "eps") : strstr(line, "→ eps .001")) && !strstr(line, "stopped…"), "%d: %s", w, line);
        CHECK_MSG(w < 100 || strstr(head + strlen(line), "eps .001"), "%d: not in the table", w);
        free(line);
        q_buf_free(&b);
        tui_app_free(&app);
    }
}

static const char *status_line(void)
{
    static q_buf b;
    q_buf_clear(&b);
    tui_app_draw(&app);
    tui_grid_text(&app.grid, &b);
    b.p[strcspn(b.p, "\n")] = 0;
    return b.p;
}

/* What the top line leaves out as its width shrinks: the cost, the parameters, then the end of what differs from the model's
 * own settings, and the ribbon only where that would leave too little of it. */
static void the_ribbon_stays_with_knobs_set(void)
{
    static const char *const label[] = { "k 4 · theta 5e5 · eps .001", "k 4 · theta 5e5 · eps .001 · ban 10:1", "k 2", "" };
    for (size_t i = 0; i < sizeof label / sizeof *label; i++)
        for (int w = 60; w <= 130; w += 5) {
            begin();
            snprintf(fake.st.label, sizeof fake.st.label, "%s", label[i]);
            fake.st.ctx_used = 626;
            tui_app_resize(&app, w, 24);
            const char *s = status_line();
            bool ribbon = strstr(s, "▏") != NULL, k = strstr(s, "k 12/16") != NULL, parameters = strstr(s, "128M") != NULL;
            CHECK_MSG(strstr(s, "626") && strstr(s, "tok/s"), "%d: %s", w, s);
            CHECK_MSG(k && (ribbon || (!parameters && i < 2 && w < 75)), "%d: %s", w, s);
            CHECK_MSG(i == 3 || strstr(s, i == 2 ? "· k 2" : "· k 4"), "%d: %s", w, s);
            CHECK_MSG(w < 85 || i == 1 || i == 3 || strstr(s, label[i]), "%d: %s", w, s);
            CHECK_MSG(strstr(s, "SmolLM2"), "%d: %s", w, s);
            tui_app_free(&app);
        }
}

static const char *other_words(const char *one, const char *many, unsigned long n)
{
    return !many && strcmp(one, "standard") == 0 ? "обычные" : n == 1 || !many ? one : many;
}

/* The model's own settings are a fact, and a word only where they are shown: whatever the language calls them. */
static void the_models_own_is_said_in_any_language(void)
{
    q_words_from(other_words);
    begin();
    tui_app_resize(&app, 160, 24);
    fake.st.mix.of[0].label[0] = 0;
    fake.st.mix.of[0].k = 12;
    answer(1, "an answer");
    tui_say_hush(&app.say);
    const char *s = status_line();
    CHECK_MSG(strstr(s, "carved · обычные "), "%s", s);
    CHECK(on_screen("640 tok at k 12, 172 at k 4") && on_screen("обычные · k 12") && !on_screen("standard"));
    fake.st.mix.of[0].k = 0;
    CHECK(on_screen("640 tok at обычные, 172 at k 4"));
    tui_app_resize(&app, 60, 24);            /* and they are the first thing to go */
    s = status_line();
    CHECK_MSG(!strstr(s, "обычные") && !strstr(s, " *"), "%s", s);
    tui_app_free(&app);
    q_words_from(NULL);
}

static void mean(const char *state, const char *text, int done, int total)
{
    ev((agt_event){ .kind = AGT_EV_MEANING, .name = q_strdup(state), .text = q_strdup(text), .done = done, .total = total, .rate = -1 });
}

/* Memory's vectors: a share in the status line while nothing is answered, the words in the panel, gone when all is done. */
static void vectors_are_shown_calmly(void)
{
    begin();
    fake.st.rate.decode = 12;
    CHECK(strstr(status_line(), "12 tok/s") && !on_screen("by meaning"));
    tui_app_resize(&app, 120, 30);       /* drafts beside it, where there is room */
    fake.st.drafts.said = .62;
    CHECK_MSG(strstr(status_line(), "62% of drafts said") && strstr(status_line(), "12 tok/s"), "%s", status_line());
    fake.st.drafts.rest = true;
    CHECK_MSG(strstr(status_line(), "drafts rest"), "%s", status_line());
    fake.st.drafts.said = -1;
    CHECK_MSG(!strstr(status_line(), "drafts"), "%s", status_line());
    fake.st.drafts.rest = false;
    fake.st.drafts.said = 0;
    tui_app_resize(&app, 80, 24);
    mean("coming", "the embedding model is being fetched: 34%", 34, 100);
    CHECK(strstr(status_line(), "by meaning 34%"));
    mean("making", "by meaning: 1240 of 3300, about 2 minutes", 1240, 3300);
    CHECK_MSG(strstr(status_line(), "by meaning 37%") && !strstr(status_line(), "tok/s"), "%s", status_line());
    key(K_F4);
    CHECK(on_screen("by meaning: 1240 of 3300, about 2 minutes"));
    fake.st.busy = true;                 /* an answer: its speed is what counts */
    CHECK(strstr(status_line(), "12 tok/s") && !strstr(status_line(), "by meaning"));
    fake.st.busy = false;
    mean("broken", "the disk is full", 0, 0);
    CHECK(on_screen("the disk is full") && strstr(status_line(), "12 tok/s"));
    mean("ready", "", 3300, 3300);
    CHECK(!on_screen("by meaning") && !on_screen("the disk is full"));
    tui_app_free(&app);
}

/* While files are taken in the bottom line says what and how many, and none of an answer's keys; one Esc stops nothing. */
static void an_import_is_shown(void)
{
    begin();
    answer(1, "an answer");
    tui_say_hush(&app.say);
    fake.long_work = true;
    CHECK(on_screen("Enter send") && !on_screen("after this answer") && !on_screen("F6 pause"));
    ev((agt_event){ .kind = AGT_EV_PROGRESS, .text = q_strdup("adding notes"), .total = -1, .rate = -1 });
    CHECK(on_screen("adding notes 0 · Esc Esc stops"));
    ev((agt_event){ .kind = AGT_EV_PROGRESS, .text = q_strdup("adding notes"), .done = 1234, .total = -1, .rate = -1 });
    CHECK(on_screen("adding notes 1234 · Esc Esc stops"));
    ev((agt_event){ .kind = AGT_EV_NOTE, .level = AGT_INFO, .text = q_strdup("/add is done when the present work ends") });
    CHECK(on_screen("/add is done when the present work ends"));
    CHECK(on_screen("adding notes 1234 · Esc Esc stops"));           /* a sentence does not cover it */
    tui_say_hush(&app.say);
    q_buf_clear(&fake.said);
    q_buf_puts(&fake.said, "");
    key(K_ESC);
    CHECK(!strstr(fake.said.p, "stop"));
    keys_in("a question");
    key(K_ENTER);
    CHECK(app.say.note == NULL || !strstr(app.say.note, "Kept"));
    chr(CTRL_KEY('C'));
    CHECK(strstr(fake.said.p, "stop") != NULL);
    ev((agt_event){ .kind = AGT_EV_PROGRESS, .text = q_strdup("adding notes") });
    CHECK(!on_screen("adding notes"));
    q_buf_clear(&fake.said);
    q_buf_puts(&fake.said, "");
    keys_in("half a line");              /* what is tidied behind it is not what Ctrl-C and Esc are for */
    key(K_ESC);
    chr(CTRL_KEY('C'));
    CHECK(!strstr(fake.said.p, "stop") && app.comp.ed.b.len == 0);
    fake.long_work = false;
    tui_app_free(&app);
}

/* The strip names what is strange with the expert or not at all. */
static void the_strip_says_whole_things(void)
{
    static const char *const lang[] = { "en", "ru" };
    for (int i = 0; i < 2; i++)
        for (int w = 60; w < 100; w++) {
            begin();
            tui_lang(lang[i]);
            tui_app_resize(&app, w, 24);
            answer(1, "an answer");
            q_buf b = {0};
            tui_app_draw(&app);
            tui_grid_text(&app.grid, &b);
            const char *word = strstr(b.p, i ? "странно" : "strange");
            CHECK_MSG(!word || strncmp(word + strlen(i ? "странно" : "strange"), " L", 2) == 0, "%d: %.40s", w, word);
            CHECK_MSG(word || w < 75, "%d columns, %s: nothing strange", w, lang[i]);
            q_buf_free(&b);
            tui_app_free(&app);
        }
    tui_lang("en");
}

/* Of many experts only waking is news: where all that is odd sleeps, that is said, and never a word with nothing behind it. */
static void what_sleeps_is_no_news(void)
{
    for (int w = 60; w <= 160; w += 5)
        for (int news = 0; news < 2; news++) {
            begin();
            fake_routing(0, 48, 128, 8);
            fake.rt.n_odd = 2;
            fake.rt.odd[0] = (agt_odd){ 40, 127, .2f, -2 };
            fake.rt.odd[1] = (agt_odd){ 41, 126, news ? 12 : .3f, news ? 2 : -2 };
            tui_app_resize(&app, w, 40);
            answer(1, "an answer");
            tui_app_draw(&app);
            q_buf b = {0};
            tui_grid_text(&app.grid, &b);
            const char *word = strstr(b.p, "woken");
            CHECK_MSG(!word || strncmp(word, news ? "woken L41e126 12x" : "woken nothing", news ? 17 : 13) == 0, "%d: %.40s", w, word);
            CHECK_MSG(word || w < 100, "%d columns: nothing is said", w);
            q_buf_free(&b);
            tui_app_free(&app);
        }
}

/* A character is a character in every script, not its bytes. */
static void copied_characters_are_counted(void)
{
    begin();
    answer(1, "Привет, 日本");
    tui_act(&app, AGT_UI_COPY, "");
    CHECK_STR(app.say.note, "Copied 10 characters.");
    tui_app_free(&app);
}

int main(void)
{
    RUN(copied_characters_are_counted);
    RUN(found_rows_open);
    RUN(a_sent_command_is_no_draft);
    RUN(a_pause_is_said);
    RUN(the_strip_says_whole_things);
    RUN(the_models_own_is_said_in_any_language);
    RUN(what_sleeps_is_no_news);
    RUN(vectors_are_shown_calmly);
    RUN(an_import_is_shown);
    RUN(the_ribbon_stays_with_knobs_set);
    RUN(captions_keep_their_newest_change);
    return TEST_END();
}
