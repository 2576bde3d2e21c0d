/* tests: F4, the memory panel: the selected passage taken apart, the numbers that make its score, and the keys that act on it. */
#include "tests/test.h"
#include "memory/memory.h"
#include "rag/rag.h"
#include "tests/unit/app_help.h"
#include "tests/unit/saved_screen.h"

static agt_event wishes(int64_t pin, int64_t ban, const char *title)
{
    agt_event e = { .kind = AGT_EV_WISHES, .retrieval = q_alloc(sizeof *e.retrieval) };
    agt_wishes *w = &e.retrieval->wishes;
    if (pin) w->pin = q_alloc(sizeof *w->pin), w->n_pin = 1, w->pin[0] = (agt_wish){ AGT_OF_CHAT, pin, q_strdup("Chat of 3 May") };
    if (ban) w->ban = q_alloc(sizeof *w->ban), w->n_ban = 1, w->ban[0] = (agt_wish){ AGT_OF_DOCUMENT, ban, q_strdup(title) };
    return e;
}

static void open_at(int w, int h)
{
    begin();
    tui_app_resize(&app, w, h);
    answer(1, "Because of *air* [1].");
    ev((agt_event){ .kind = AGT_EV_RETRIEVAL, .id = 2, .retrieval = fake_retrieval() });
    q_buf_clear(&fake.said);
    key(K_F4);
    q_buf_clear(&fake.said);
    q_buf_puts(&fake.said, "");
}

static void a_score_is_taken_apart(void)
{
    open_at(120, 40);
    CHECK(on_screen("coverage ") && on_screen(".925 × .984 × 1.00 = .91") && on_screen("sky 4.1×1.00"));
    for (int i = 0; i < app.seen.ret.n; i++) {           /* what stands there makes what stands there */
        const agt_passage *p = &app.seen.ret.p[i];
        double x = 1;
        char want[16];
        for (int k = 0; k < p->n_factor; k++) x *= p->factor[k].value;
        snprintf(want, sizeof want, "%.2f", x);
        CHECK_STR(want + 1, p->shown);
    }
    CHECK(!on_screen("not fed: no room"));
    keys_in("jj");
    CHECK(on_screen("not fed: no room for it (155 tok") && on_screen(".417 × .984 × 1.00 = .41"));
    keys_in("jjjj");                     /* no further than there are */
    CHECK_INT(tui_cursor_of(&app, &view_memory)->sel, 2);
    CHECK(on_screen("cut: 1 over limit, 2 below .30"));
    app.seen.ret.cut_unwanted = 2;
    CHECK_MSG(on_screen("cut: 1 over limit, 2 below .30, 2") && on_screen("unwanted"), "%s", (tui_grid_text(&app.grid, &app.scratch), app.scratch.p));
    tui_app_free(&app);
}

/* What the product comes to stands at its end, why nothing was fed too, and what a failing model asks for: none of these is cut. */
static void what_matters_is_not_cut(void)
{
    open_at(120, 40);
    agt_passage *p = &app.seen.ret.p[0];
    snprintf(p->shown, sizeof p->shown, ".2996");
    p->n_factor = 4;
    p->factor[3] = p->factor[2];
    p->factor[2] = (agt_part){ .word = "meaning", .value = .305, .as = AGT_OR };
    CHECK_MSG(on_screen("(.925 × .984 or .305) × 1.00") && on_screen("= .2996"), "%s", (tui_grid_text(&app.grid, &app.scratch), app.scratch.p));
    for (int i = 0; i < app.seen.ret.n; i++) app.seen.ret.p[i].number = 0;
    app.seen.ret.fed = 0;
    app.seen.ret.nothing = q_strdup("nothing fed: the source of the best, .91, is banned");
    CHECK_MSG(on_screen("nothing fed: the source of the best,") && on_screen("is banned"), "%s", (tui_grid_text(&app.grid, &app.scratch), app.scratch.p));
    ev((agt_event){ .kind = AGT_EV_MEANING, .text = q_strdup("no embedding model is called \"tern\": quorum model list shows those there are"), .total = 0 });
    CHECK_MSG(on_screen("no embedding model is called") && on_screen("quorum model list shows those there"), "%s", (tui_grid_text(&app.grid, &app.scratch), app.scratch.p));
    ev((agt_event){ .kind = AGT_EV_MEANING, .text = q_strdup("by meaning: 363 of 444, less than a minute"), .done = 363, .total = 444 });
    CHECK_MSG(on_screen("by meaning: 363 of 444") && !on_screen("by meaning: 363 of 444,"), "%s", (tui_grid_text(&app.grid, &app.scratch), app.scratch.p));
    ev((agt_event){ .kind = AGT_EV_MEANING, .text = q_strdup("by meaning: 363 of 444"), .done = 363, .total = 444 });
    CHECK(on_screen("by meaning: 363 of 444"));
    tui_app_free(&app);
}

static void keys_act_on_the_passage(void)
{
    open_at(120, 40);
    key(K_ENTER);
    SAID("source 0\n");
    keys_in("x");
    SAID("without 2 1\n");
    keys_in("w");
    SAID("without 2 \n");
    keys_in("p");
    SAID("pin 0\n");
    keys_in("b");
    SAID("ban document 40\n");
    chr('o');                            /* it is of no conversation */
    SAID("");
    CHECK(app.go.focus == &view_memory && !app.comp.ed.b.len);
    keys_in("jo");
    CHECK_MSG(strstr(fake.said.p, "open 41 at 1\n") != NULL, "%s", fake.said.p);
    CHECK(!app.go.focus);
    key(K_F4);
    keys_in("jj");
    q_buf_clear(&fake.said);
    q_buf_puts(&fake.said, "");
    keys_in("x");                        /* not fed: there is nothing to leave out */
    SAID("");
    CHECK(app.say.note && strstr(app.say.note, "It was not fed"));
    chr(0x437);                          /* p on a Cyrillic layout */
    SAID("pin 2\n");
    ev((agt_event){ .kind = AGT_EV_RETRIEVAL, .id = 77, .retrieval = fake_retrieval() });
    keys_in("w");                        /* of a question that has no answer yet */
    SAID("");
    CHECK(app.say.note && strstr(app.say.note, "no answer"));
    app.seen.ret.p[0].owner = 0;
    keys_in("b");
    SAID("");
    CHECK(app.say.note && strstr(app.say.note, "not in memory any more"));
    tui_app_free(&app);
}

static void pins_and_bans_are_seen_and_taken_back(void)
{
    open_at(120, 40);
    ev(wishes(1, 40, "notes/optics.md"));
    CHECK(on_screen("[2]P Chat of 3 May") && on_screen(" ×  notes/optics.md § Rayleigh"));
    keys_in("b");                        /* its ban is taken back */
    SAID("unban document 40\n");
    keys_in("jp");
    SAID("unpin 1\n");
    ev(wishes(0, 99, "old/diary.md"));   /* one that is not among the passages */
    CHECK(on_screen("[2] Chat of 3 May") && on_screen(" ×  old/diary.md"));
    keys_in("jj");
    CHECK_INT(tui_cursor_of(&app, &view_memory)->sel, 3);
    key(K_ENTER);
    keys_in("x");
    SAID("");
    CHECK_INT(tui_cursor_of(&app, &view_memory)->sel, 3);
    keys_in("b");
    SAID("unban document 99\n");
    ev(wishes(0, 0, NULL));
    CHECK(!on_screen("old/diary.md"));
    CHECK_INT(tui_cursor_of(&app, &view_memory)->sel, 2);
    tui_app_free(&app);
}

static void a_passage_is_shown_where_it_stands(void)
{
    q_buf b = { 0 };
    int64_t from, to;
    for (int i = 0; i < 60; i++) q_buf_printf(&b, "Line %d before it.\n", i);
    q_buf_puts(&b, "\n");
    from = (int64_t)b.len;
    q_buf_puts(&b, "Rayleigh scattering grows\nas the fourth power.");
    to = (int64_t)b.len;
    q_buf_puts(&b, "\n\n");
    for (int i = 0; i < 60; i++) q_buf_printf(&b, "Line %d behind it.\n", i);
    for (int w = 40; w <= 200; w += 40) {
        open_at(w, 24);
        key(K_ENTER);
        ev((agt_event){ .kind = AGT_EV_SOURCE, .name = q_strdup("notes/optics.md"), .text = q_strdup(b.p), .done = from, .total = to });
        CHECK_MSG(on_screen("notes/optics.md") && on_screen("▎ Rayleigh scattering grows") && on_screen("▎ as the fourth power.") && on_screen("Line 59 before it.") && !on_screen("▎ Line"), "%d columns", w);
        keys_in("k");
        CHECK(on_screen("▎ Rayleigh"));
        tui_app_resize(&app, w + 1, 24);     /* another width: still there */
        CHECK(on_screen("▎ Rayleigh"));
        key(K_ESC);
        CHECK(app.go.focus == &view_memory);
        tui_app_free(&app);
    }
    q_buf_free(&b);
}

static void cited_answer(int64_t id, const char *text, int passages)
{
    ev((agt_event){ .kind = AGT_EV_SENT, .n_messages = 1, .message = fake_message(id, AGT_USER, "question") });
    agt_message *m = fake_message(id + 1, AGT_ASSISTANT, text);
    m->n_passages = passages;
    ev((agt_event){ .kind = AGT_EV_BEGIN, .n_messages = 1, .message = m });
    m = fake_message(id + 1, AGT_ASSISTANT, text);
    m->n_passages = passages;
    ev((agt_event){ .kind = AGT_EV_DONE, .n_messages = 1, .message = m });
    tui_app_draw(&app);
}

/* Tab goes from citation to citation, of the last answer and of a stored one, Enter or its number opens it. */
static void a_citation_is_a_place(void)
{
    for (int w = 80; w <= 200; w += 40) {
        begin();
        tui_app_resize(&app, w, 40);
        cited_answer(1, "Old: see [1].", 1);
        cited_answer(3, "Air scatters blue [2], as [3] and [1](http://x) do not; red [1].", 2);
        ev((agt_event){ .kind = AGT_EV_RETRIEVAL, .id = 3, .retrieval = fake_retrieval() });      /* live: its question's */
        q_buf_clear(&fake.said);
        q_buf_puts(&fake.said, "");
        key(K_TAB);                      /* to the transcript, its last message */
        CHECK(app.go.focus == &view_walk && app.tr.selected == 3);
        key(K_TAB);
        CHECK_MSG(on_screen("blue [[2]], as [3]"), "%d columns", w);
        key(K_TAB);
        CHECK(on_screen("blue [2], as") && on_screen("red [[1]]."));
        key(K_ENTER);
        SAID("source 0\n");
        CHECK(app.go.focus == &view_memory && tui_cursor_of(&app, &view_memory)->sel == 0);
        ev((agt_event){ .kind = AGT_EV_SOURCE, .name = q_strdup("notes/optics.md"), .text = q_strdup("Rayleigh scattering."), .total = 20 });
        CHECK(on_screen("▎ Rayleigh scattering."));
        key(K_ESC);
        key(K_ESC);
        CHECK(!app.go.focus && !on_screen("[[1]]"));
        key(K_TAB);
        keys_in("2");
        CHECK_MSG(strstr(fake.said.p, "source 1\n") != NULL, "%s", fake.said.p);
        CHECK_INT(tui_cursor_of(&app, &view_memory)->sel, 1);
        key(K_ESC);
        key(K_TAB);
        keys_in("9");
        CHECK(app.say.note && strstr(app.say.note, "No passage [9]"));
        q_buf_clear(&fake.said);
        q_buf_puts(&fake.said, "");
        keys_in("kk");                   /* the stored answer: its passages are asked for first */
        CHECK_INT(app.tr.selected, 1);
        key(K_TAB);
        CHECK(on_screen("see [[1]]."));
        key(K_ENTER);
        SAID("retrieval 2\n");
        ev((agt_event){ .kind = AGT_EV_RETRIEVAL, .id = 2, .retrieval = fake_retrieval() });
        SAID("source 0\n");
        key(K_ESC);
        key(K_TAB);
        keys_in("kkk");                  /* a question cites nothing: Tab leaves */
        key(K_TAB);
        CHECK(!app.go.focus);
        tui_app_free(&app);
    }
}

/* Rows are kept within the panel and the selected one in sight, however low it is. */
static void it_fits_everywhere(void)
{
    for (int w = 30; w <= 210; w += 20)
        for (int h = 8; h <= 48; h += 8)
            for (int sel = 0; sel < 4; sel++) {
                open_at(w, h);
                ev(wishes(1, 99, "old/diary.md"));
                for (int i = 0; i < sel; i++) keys_in("j");
                tui_app_draw(&app);
                bool seen = on_screen(sel == 0 ? "optics.md" : sel == 1 ? "Chat of" : sel == 2 ? "цвет" : "old/diary");
                CHECK_MSG(seen || app.lay.small, "%dx%d: row %d is not seen", w, h, sel);
                keys_in("z");
                tui_app_draw(&app);
                tui_app_free(&app);
            }
}

/* ---- saved screens ---- */
static const struct { int w, h; } sizes[] = { { 80, 24 }, { 120, 40 }, { 200, 50 } };

static void panel_and_source(void)
{
    static const char before[] = "§ Light\n\nLight of the sun holds all colours.\n\n§ Rayleigh\n\n",
                      passage[] = "Rayleigh scattering grows as the fourth power of frequency. Blue is scattered more than red, so that the sky looks blue where one does not look at the sun.",
                      behind[] = "\n\n§ Mie\n\nDroplets of water scatter all colours alike: clouds are white.\n\n";
    for (int z = 0; z < 3; z++) {
        open_at(sizes[z].w, sizes[z].h);
        ev(wishes(1, 99, "old/diary.md"));
        keys_in("jj");                   /* one that was cut, a pin above it, a banned source below */
        compare("memory_wishes");
        char *text = q_printf("%s%s%s", before, passage, behind);
        ev((agt_event){ .kind = AGT_EV_SOURCE, .name = q_strdup("notes/optics.md"), .text = text, .done = (int64_t)strlen(before), .total = (int64_t)(strlen(before) + strlen(passage)) });
        compare("memory_source");
        tui_app_free(&app);
    }
}
static void panel_and_source_are_saved(void) { in_both_languages(panel_and_source); }

/* No row of the map is broken into two, whatever the width. */
static void map_at_every_width(void)
{
    char err[Q_ERRLEN];
    mem_store *s = NULL;
    int64_t chat, leaf;
    const mem_turn turns[] = { { MEM_USER, NULL, "Where is the ship that was lost?", 32, 1735689600000 }, { MEM_USER, NULL, "И где он?", strlen("И где он?"), 1738368000000 } };
    CHECK(mem_open(":memory:", &s, err) == Q_OK && mem_conversation_new(s, "talk", &chat, err) == Q_OK && mem_turns_add(s, chat, 0, turns, 2, &leaf, err) == Q_OK);
    q_buf map = { 0 };
    CHECK(rag_map(s, NULL, NULL, &map, NULL, err) == Q_OK);
    mem_close(s);
    for (int w = 74; w <= 200; w += 7) {
        begin();
        tui_app_resize(&app, w, 40);
        ev((agt_event){ .kind = AGT_EV_TEXT, .name = q_strdup("/memory map"), .text = q_strdup(map.p) });
        int rows = 0;
        for (const char *p = map.p, *q; *p; p = q + (*q != 0)) {
            q = p + strcspn(p, "\n");
            if (strncmp(p, "  ", 2) != 0) continue;
            char *row = q_strndup(p + 2, (size_t)(q - p - 2));
            CHECK_MSG(on_screen(row), "%d columns, %s: not in one row: %s", w, lang, row);
            rows++;
            free(row);
        }
        CHECK_INT(rows, 4);
        tui_app_free(&app);
    }
    q_buf_free(&map);
}
static void the_map_keeps_its_rows(void) { in_both_languages(map_at_every_width); }

int main(void)
{
    setenv("TZ", "UTC", 1);
    tui_lang("en");
    RUN(a_score_is_taken_apart);
    RUN(what_matters_is_not_cut);
    RUN(keys_act_on_the_passage);
    RUN(pins_and_bans_are_seen_and_taken_back);
    RUN(a_passage_is_shown_where_it_stands);
    RUN(a_citation_is_a_place);
    RUN(it_fits_everywhere);
    RUN(panel_and_source_are_saved);
    RUN(the_map_keeps_its_rows);
    return TEST_END();
}
