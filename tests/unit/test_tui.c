/* tests: the parts of the screen that need no screen: widths and sanitising, hostile text in the grid, layout over all
 * sizes, editing, wrapping and its cost, markdown while it streams, themes, the SVG. */
#include "tests/test.h"
#include "tests/unit/app_help.h"
#include "tui/tui.h"

#include <sys/stat.h>
#include <unistd.h>

static void widths(void)
{
    /* A keycap is a digit under a mark; the selector between them is not drawn. */
    static const struct { const char *s, *drawn; int width; } cap[] = {
        { "1\xEF\xB8\x8F\xE2\x83\xA3", "1\xE2\x83\xA3", 1 }, { "#\xE2\x83\xA3", "#\xE2\x83\xA3", 1 }, { "\xE2\x98\xBA\xEF\xB8\x8F", "\xE2\x98\xBA", 1 } };
    for (size_t i = 0; i < sizeof cap / sizeof *cap; i++) {
        tui_glyph g;
        size_t n = strlen(cap[i].s), used = tui_glyph_next(cap[i].s, n, &g);
        CHECK(g.len == strlen(cap[i].drawn) && memcmp(g.s, cap[i].drawn, g.len) == 0 && g.width == cap[i].width);
        CHECK(used == n || tui_text_width(cap[i].s + used, n - used) == 0);
    }
    static const struct { const char *s; int w; } row[] = {
        { "abc", 3 }, { "привет", 6 }, { "日本語", 6 }, { "e\xCC\x81t\xC3\xA9", 3 }, { "й\xCC\x86", 1 }, { "👍", 2 },
        { "👨\xE2\x80\x8D👩\xE2\x80\x8D👧", 6 }, { "👍🏽", 2 }, { "❤\xEF\xB8\x8F", 1 }, { "🇷🇺", 2 }, { "a\xE2\x80\x8B" "b", 2 },
        { "\xE2\x80\xAEgnp.exe", 8 }, { "\033[31mred", 8 }, { "\x9b", 1 }, { "한글", 4 }, { "ＡＢ", 4 }, { "\xCC\x81", 1 }, { "", 0 } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        CHECK_MSG(tui_str_width(row[i].s) == row[i].w, "\"%s\": %d, not %d", row[i].s, tui_str_width(row[i].s), row[i].w);
}

/* Nothing that a terminal would obey may reach a cell: no controls, no direction changes, no invisible joiners. */
static void check_grid(const tui_grid *g, const char *what)
{
    for (int y = 0; y < g->h; y++) {
        int cols = 0;
        for (int x = 0; x < g->w; x++) {
            const tui_cell *c = &g->c[y * g->w + x];
            cols += c->width;
            if (c->width == 2 && (x + 1 >= g->w || g->c[y * g->w + x + 1].width != 0)) CHECK_MSG(0, "%s: half a wide character at %d,%d", what, x, y);
            for (size_t i = 0; i < c->len;) {
                uint32_t cp;
                i += (size_t)q_utf8_next(c->s + i, c->len - i, &cp);
                if (cp < 32 || (cp >= 0x7F && cp < 0xA0) || (cp >= 0x200B && cp <= 0x200F) || (cp >= 0x2028 && cp <= 0x202E) ||
                    (cp >= 0x2060 && cp <= 0x206F) || cp == 0xFEFF || (cp >= 0xE0000 && cp <= 0xE0FFF))
                    CHECK_MSG(0, "%s: U+%04X reached the screen", what, cp);
            }
        }
        if (cols != g->w) CHECK_MSG(0, "%s: row %d has %d columns", what, y, cols);
    }
}

static void hostile(void)
{
    static const char *const text[] = { "\033[2J\033[H\033]0;owned\a", "\xE2\x80\xAE\xE2\x81\xA6reversed\xE2\x81\xA9", "\xC2\x9B" "31m", "\r\roverwrite",
        "zalgo\xCC\x81\xCC\x82\xCC\x83\xCC\x84\xCC\x85\xCC\x86\xCC\x87\xCC\x88\xCC\x89\xCC\x8A!", "\xE2\x80\x8D\xE2\x80\x8D\xE2\x80\x8D",
        "\xF3\xA0\x81\x81\xF3\xA0\x81\x82hidden tags", "\xFF\xFE\xC0\x80\xED\xA0\x80 broken", "漢\xCC\x81字", "👩‍❤️‍💋‍👨👩🏽‍🚀", "a\xE2\x80\xA8" "b", "שלום العربية" };
    tui_grid g = {0};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        for (int w = 1; w < 12; w++) {
            tui_grid_size(&g, w, 2);
            int x = tui_put(&g, 0, 0, w, text[i], S_TEXT);
            CHECK(x <= w);
            tui_put(&g, 0, w / 2, w, "日", S_TEXT);         /* over whatever is there */
            tui_put_cut(&g, 1, 0, w, text[i], S_TEXT);
            check_grid(&g, text[i]);
        }
    uint32_t seed = 1;
    for (int n = 0; n < 3000; n++) {
        char s[24];
        for (int i = 0; i < 24; i++) { seed = seed * 1664525u + 1013904223u; s[i] = (char)(seed >> 24); }
        tui_grid_size(&g, 17, 1);
        tui_putn(&g, 0, 0, 17, s, sizeof s, S_TEXT);
        check_grid(&g, "random bytes");
        size_t a = 0;
        while (a < sizeof s) { size_t l = tui_cluster_next(s + a, sizeof s - a); CHECK(l > 0 && a + l <= sizeof s); a += l; }
        CHECK_INT(a, sizeof s);
    }
    tui_grid_free(&g);
}

static bool box_in(tui_box b, int w, int h) { return !b.w || (b.x >= 0 && b.y >= 0 && b.w > 0 && b.h > 0 && b.x + b.w <= w && b.y + b.h <= h); }
static bool apart(tui_box a, tui_box b) { return !a.w || !b.w || a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y; }

static void geometry(void)
{
    for (int w = 1; w <= 300; w += w < 60 ? 7 : 1)
        for (int h = 1; h <= 100; h += h < 20 ? 1 : 3)
            for (int v = 0; v < 48; v++) {
                tui_layout_in in = { w, h, .composer_rows = v % 3 == 2 ? 40 : 1 + v % 3, .notice_rows = v % 4, .panel_w = v & 1 ? 0 : 70, .upper_rows = 19 + v,
                                     .zoom = (enum tui_zoom)(v % 4), .instead = v % 5 == 4, .instead_w = v % 2 ? 0 : 40 + 9 * v, .overlay = v % 2, .overlay_full = v % 4 == 1, .strip = v % 7 > 0 };
                tui_layout o;
                tui_layout_make(&in, &o);
                const tui_box b[] = { o.status, o.transcript, o.upper, o.lower, o.instead, o.chats, o.strip, o.notice, o.composer, o.hint };
                enum { N = sizeof b / sizeof *b };
                bool good = box_in(o.overlay, w, h) && o.composer.h >= 1;
                for (int i = 0; i < N; i++) {
                    good = good && box_in(b[i], w, h);
                    for (int k = i + 1; k < N; k++) good = good && apart(b[i], b[k]);
                }
                good = good && o.tiny == (w < 30 || h < 8) && o.small == (w < 60 || h < 20);
                if (!o.tiny && o.small) good = good && o.transcript.w == w && o.transcript.h >= 3 && !o.n_rule && !o.strip.w && o.hint.w == w;
                if (!o.tiny && !o.small) {
                    good = good && o.transcript.w >= 54 && o.transcript.h >= 5 && o.wide == (w >= 100) && (o.chats.w > 0) == (w >= 150);
                    good = good && (o.strip.w > 0) == (w < 100 && in.strip);
                    for (int i = 0; i < o.n_rule; i++)
                        for (int k = 0; k < N; k++) good = good && !(b[k].w && b[k].y >= o.body_y && b[k].y < o.body_y + o.body_h && o.rule[i] >= b[k].x && o.rule[i] < b[k].x + b[k].w);
                }
                if (!good) { CHECK_MSG(0, "%dx%d variant %d", w, h, v); return; }
            }
    tui_layout o;
    tui_layout_make(&(tui_layout_in){ .w = 120, .h = 40, .composer_rows = 1, .upper_rows = 19 }, &o);
    CHECK_INT(o.transcript.w, 79);
    CHECK_INT(o.upper.w, 40);
}

#define TYPE(s) tui_edit_insert(&e, s, strlen(s))
#define TEXT_IS(s) CHECK_STR(e.b.p, s)
static void editing(void)
{
    tui_edit e = {0};
    TYPE("ёжик ");
    TYPE("е\xCC\x81");                       /* one grapheme of two code points */
    tui_edit_move(&e, M_LEFT);
    CHECK_INT(e.at, strlen("ёжик "));
    tui_edit_move(&e, M_RIGHT);
    tui_edit_delete(&e, M_LEFT);
    TEXT_IS("ёжик ");
    TYPE("в тумане");
    tui_edit_kill(&e, M_WORD_LEFT);
    TEXT_IS("ёжик в ");
    tui_edit_yank(&e);
    TEXT_IS("ёжик в тумане");
    TYPE(" /add notes/sub-dir/a.md  ");
    tui_edit_kill(&e, M_BLANK_LEFT);         /* a path goes whole */
    TEXT_IS("ёжик в тумане /add ");
    tui_edit_kill(&e, M_BLANK_LEFT);
    tui_edit_delete(&e, M_LEFT);
    TEXT_IS("ёжик в тумане");
    tui_edit_move(&e, M_LINE_START);
    tui_edit_move(&e, M_WORD_RIGHT);
    CHECK_INT(e.at, strlen("ёжик"));
    tui_edit_kill(&e, M_LINE_END);
    TEXT_IS("ёжик");
    tui_edit_undo(&e);
    TEXT_IS("ёжик в тумане");
    tui_edit_move(&e, M_END);
    TYPE("\nвторая строка");
    tui_edit_kill(&e, M_LINE_START);
    TEXT_IS("ёжик в тумане\n");
    tui_edit_set(&e, "👨‍👩‍👧!");
    tui_edit_move(&e, M_LEFT);
    tui_edit_delete(&e, M_LEFT);              /* the family goes as one */
    TEXT_IS("!");
    tui_edit_set(&e, "bad \xFF byte");
    TEXT_IS("bad \xEF\xBF\xBD byte");
    static const char *const past[] = { "one", "two", "three", "two and a half" };
    for (int i = 0; i < 4; i++) tui_edit_remember(&e, past[i]);
    tui_edit_set(&e, "draft");
    CHECK(tui_edit_history(&e, -1) && strcmp(e.b.p, "two and a half") == 0);
    CHECK(tui_edit_history(&e, -1) && strcmp(e.b.p, "three") == 0);
    CHECK(tui_edit_history(&e, 1) && tui_edit_history(&e, 1) && strcmp(e.b.p, "draft") == 0 && !tui_edit_history(&e, 1));
    q_buf_puts(&e.find, "two");
    e.find_at = e.n_hist;
    tui_edit_search(&e, false);
    TEXT_IS("two and a half");
    tui_edit_search(&e, true);
    TEXT_IS("two");
    tui_row r[8];
    int row, col;
    tui_edit_set(&e, "aaa bbb ccc\n日本語");
    CHECK_INT(tui_edit_rows(&e, 8, r, 8, &row, &col), 3);
    CHECK_INT(row, 2);
    CHECK_INT(col, 6);
    CHECK(tui_edit_vertical(&e, 8, -1));
    CHECK_INT(tui_edit_rows(&e, 8, r, 8, &row, &col), 3);
    CHECK_INT(row, 1);
    CHECK_INT(col, 3);
    tui_edit_free(&e);
}

static void keyboard(void)
{
    begin();
    key(K_ENTER);                                    /* the first screen: Enter asks the first question */
    SAID("submit Why is the sky blue?\n");
    keys_in("3");
    key(K_ENTER);
    SAID("submit What is photosynthesis?\n");
    answer(1, "reply");
    SAID("routing 0\n");
    keys_in("draft");
    key(K_F7);
    key(K_F8);
    key(K_F9);
    key(K_F6);
    SAID("nudge -1\nnudge +1\ntoggle\npause 1\n");
    CHECK_STR(app.comp.ed.b.p, "draft");                  /* none of them touches the text */
    key(K_ESC);
    CHECK_STR(app.comp.ed.b.p, "draft");
    fake.st.busy = true;
    tui_app_draw(&app);
    key(K_ESC);
    chr(CTRL_KEY('C'));
    SAID("stop\nstop\n");
    fake.st.busy = false;
    fake.st.paused = true;
    tui_app_draw(&app);
    key(K_RIGHT);
    SAID("step\n");
    fake.st.paused = false;
    tui_app_draw(&app);
    chr(CTRL_KEY('C'));                              /* idle, with text: clears it, Ctrl-Y brings it back */
    CHECK(app.want == WANT_NOTHING && app.comp.ed.b.len == 0);
    chr(CTRL_KEY('Y'));
    CHECK_STR(app.comp.ed.b.p, "draft");
    chr(CTRL_KEY('U'));
    chr(CTRL_KEY('C'));
    CHECK(app.want == WANT_NOTHING);
    chr(CTRL_KEY('C'));
    CHECK(app.want == WANT_QUIT);
    app.want = WANT_NOTHING;
    key(K_TAB);                                      /* the walk, on a Russian layout: у is e, к is r */
    CHECK(app.go.focus == &view_walk);
    keys_in("к");
    SAID("routing 0\nagain 2 \n");
    key(K_TAB);
    keys_in("[");
    keys_in("ъ");
    SAID("branch 2 -1\nbranch 2 +1\n");
    keys_in("у");
    CHECK_STR(app.comp.ed.b.p, "question");
    keys_in("!");
    key(K_ENTER);
    CHECK(strstr(fake.said.p, "edit 1 question!\n") != NULL);
    q_buf_clear(&fake.said);
    keys_in(".ыуе k 1");
    key(K_ENTER);
    CHECK_STR(app.comp.ed.b.p, "/set k 1");               /* offered, not sent */
    CHECK(fake.said.len == 0);
    chr(CTRL_KEY('U'));
    keys_in("one\\");
    key(K_ENTER);
    keys_in("two");
    CHECK_STR(app.comp.ed.b.p, "one\ntwo");
    tui_key paste = { .code = K_PASTE, .text = (char[]){ " pasted\nlines\n" } };
    tui_app_key(&app, &paste);
    CHECK_STR(app.comp.ed.b.p, "one\ntwo pasted\nlines\n");
    CHECK(fake.said.len == 0);
    chr(CTRL_KEY('C'));
    keys_in("/se");
    key(K_TAB);
    CHECK_STR(app.comp.ed.b.p, "/set ");
    key(K_TAB);
    CHECK_INT(app.comp.popup.n, 4);
    key(K_TAB);
    key(K_ENTER);
    CHECK_STR(app.comp.ed.b.p, "/set rope.theta ");
    chr(CTRL_KEY('X'));
    chr('3');
    CHECK(app.go.focus == &view_experts);
    keys_in("-");
    key(K_ESC);
    CHECK(app.go.focus == NULL);
    CHECK_STR(app.comp.ed.b.p, "/set rope.theta ");
    chr(CTRL_KEY('C'));
    chr(CTRL_KEY('D'));
    CHECK(app.want == WANT_QUIT);
    tui_app_free(&app);
}

/* What is asked is seen: a page goes when an answer begins, and stays for what only looks something up. */
static void pages(void)
{
    begin();
    ev((agt_event){ .kind = AGT_EV_TEXT, .name = q_strdup("Knobs"), .text = q_strdup("experts.k  12\n") });
    CHECK(app.go.focus == &view_page && on_screen("Knobs"));
    keys_in("j");                                    /* scrolls; any other letter begins a sentence */
    CHECK(app.go.focus == &view_page && !app.comp.ed.b.len);
    keys_in("Why?");
    CHECK(app.go.focus == NULL && app.go.over == &view_page);
    CHECK_STR(app.comp.ed.b.p, "Why?");
    key(K_ENTER);
    CHECK(app.go.over == NULL && !on_screen("Knobs"));
    answer(1, "because");
    ev((agt_event){ .kind = AGT_EV_TEXT, .name = q_strdup("Knobs"), .text = q_strdup("experts.k  12\n") });
    keys_in("/set experts.k 4");
    key(K_ENTER);
    CHECK(app.go.over == &view_page);                   /* nothing to see beneath */
    keys_in("/again");
    key(K_ENTER);
    agt_message *m = fake_message(3, AGT_ASSISTANT, "");
    m->state = AGT_PARTIAL;
    m->differs_at = 0;                               /* an empty answer differs from its sibling at once: not shown so */
    ev((agt_event){ .kind = AGT_EV_BEGIN, .n_messages = 1, .message = m });
    CHECK(app.go.over == NULL);
    ev((agt_event){ .kind = AGT_EV_TOKEN, .text = q_strdup("the sky") });
    ev((agt_event){ .kind = AGT_EV_TOKEN, .text = q_strdup(" glows"), .differs = true, .done = 8 });
    CHECK(on_screen("the sky ≠glows"));
    tui_act_help(&app);                              /* opened while it runs: it stays */
    ev((agt_event){ .kind = AGT_EV_BEGIN, .n_messages = 1, .message = fake_message(5, AGT_ASSISTANT, "") });
    CHECK(app.go.over == &view_page);
    tui_app_free(&app);
}

/* What is being loaded has a name from the first screen on; a load that failed is over. */
static void loading(void)
{
    begin();
    memset(&fake.st, 0, sizeof fake.st);
    ev((agt_event){ .kind = AGT_EV_LOADING, .text = q_strdup("tiny.gguf"), .done = 1, .total = 4 });
    CHECK(on_screen("tiny.gguf") && on_screen("loading the model 25%") && !on_screen("no model"));
    ev((agt_event){ .kind = AGT_EV_LOADING });
    CHECK(on_screen("no model") && !on_screen("loading the model") && !on_screen("tiny.gguf"));
    tui_app_free(&app);
}

/* A terminal may say any size: nothing is asked of memory for it. */
static void odd_sizes(void)
{
    static const int size[][2] = { { 0, 0 }, { -1, -1 }, { 1, 65535 }, { 65535, 1 }, { 65535, 65535 }, { 80, 24 } };
    begin();
    answer(1, "because");
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        tui_app_resize(&app, size[i][0], size[i][1]);
        CHECK(app.grid.w >= 1 && app.grid.w <= TUI_W_MAX && app.grid.h >= 1 && app.grid.h <= TUI_H_MAX);
        tui_app_draw(&app);
    }
    CHECK(app.grid.w == 80 && app.grid.h == 24);
    tui_app_free(&app);
}

/* F3 and F4 on a wide screen: walk, numbers on Enter, Esc one step back. */
static void panels(void)
{
    begin();
    tui_app_resize(&app, 120, 40);
    answer(1, "because");
    ev((agt_event){ .kind = AGT_EV_RETRIEVAL, .id = 2, .retrieval = fake_retrieval() });
    tui_app_draw(&app);
    key(K_F3);
    CHECK(app.go.focus == &view_experts && tui_cursor_of(&app, &view_experts)->sel == 25);     /* the strangest: L27 of 2…29 */
    CHECK(on_screen("now L27"));
    keys_in("j");
    CHECK(on_screen("now L28"));
    key(K_LEFT);
    CHECK(on_screen("now L14"));
    key(K_ENTER);
    CHECK(on_screen("Layer 14") && on_screen("expert") && on_screen("times"));
    key(K_ESC);
    CHECK(app.go.focus == &view_experts && tui_cursor_of(&app, &view_experts)->sel == 12 && !on_screen("Layer 14"));
    key(K_ESC);
    CHECK(app.go.focus == NULL);
    CHECK(on_screen("Rayleigh scattering grows"));                /* the passage's first line, under its source */
    key(K_F4);
    keys_in("j?");
    CHECK(on_screen("idf 4.1") && on_screen("Chat of 3 May § light"));
    key(K_ESC);
    CHECK(app.go.focus == &view_memory && tui_cursor_of(&app, &view_memory)->sel == 1);
    key(K_ESC);
    CHECK(app.go.focus == NULL && app.go.over == NULL);
    fake.st.busy = fake.st.paused = true;
    fake.st.n_tokens = 20;
    CHECK(on_screen("paused at token 20"));
    fake.st.busy = fake.st.paused = false;
    tui_app_free(&app);
}

/* Below 100 columns a panel covers the upper part only: a short conversation is seen beneath it, the keys of the panel are seen
 * although something was said just now, and the caption says what cut an answer off; the first hint does not push that away. */
static void panel_over_a_short_answer(void)
{
    static const char *const words[] = { [AGT_CUT_LOOP] = "cut: it repeats", [AGT_CUT_TOKENS] = "cut: max_tokens", [AGT_CUT_CONTEXT] = "cut: context full" };
    begin();
    tui_app_resize(&app, 80, 24);
    answer(1, "because of scattering");
    tui_app_note(&app, AGT_INFO, "experts.k 10: from the next token");
    CHECK(on_screen("from the next token") && on_screen("because of scattering") && !on_screen("cut:"));
    key(K_F3);
    CHECK(app.go.over == &view_experts && app.lay.overlay.h < app.lay.transcript.h);
    CHECK(on_screen("now L27") && on_screen("because of scattering") && on_screen("Enter its numbers") && !on_screen("from the next token"));
    key(K_ESC);
    app.ui.hinted_k = false;
    for (int cut = AGT_CUT_LOOP; cut <= AGT_CUT_CONTEXT; cut++) {
        agt_message *m = fake_message(2, AGT_ASSISTANT, "because of scattering");
        m->cut = (enum agt_cut)cut;
        ev((agt_event){ .kind = AGT_EV_DONE, .n_messages = 1, .message = m });
        CHECK(on_screen(words[cut]) && !app.ui.hinted_k);
    }
    agt_retrieval *none = q_alloc(sizeof *none);
    none->nothing = q_strdup("nothing fed: nothing matched");
    ev((agt_event){ .kind = AGT_EV_RETRIEVAL, .id = 2, .retrieval = none });
    key(K_F4);
    CHECK(on_screen("nothing matched") && on_screen("Memory") && app.go.over == &view_memory);
    q_buf g = {0};
    tui_app_draw(&app);
    tui_grid_text(&app.grid, &g);
    char *title = strstr(g.p, "Memory"), *key_name = title ? strstr(title, "F4") : NULL;
    CHECK(key_name && !memchr(title, '\n', (size_t)(key_name - title)));       /* the key stands in the title, not alone in a row */
    for (char *more = key_name ? strstr(key_name + 2, "F4") : NULL; more; more = strstr(more + 2, "F4")) CHECK(memcmp(more - 3, "F3 ", 3) == 0);      /* of the strip */
    q_buf_free(&g);
    key(K_ESC);
    key(K_F5);
    ev((agt_event){ .kind = AGT_EV_TEXT, .name = q_strdup("/set"), .text = q_strdup("what a knob does and costs\n") });
    CHECK(on_screen("a knob does and costs"));
    key(K_ESC);
    CHECK(app.go.focus == tui_view_named(&app, "config") && !on_screen("a knob does and costs"));      /* ? in F5, then Esc: there again */
    key(K_ESC);
    CHECK(!app.go.focus);
    tui_app_note(&app, AGT_WARN, "the answer repeats itself");
    key(K_F3);
    CHECK(on_screen("the answer repeats itself"));      /* what went wrong stays longer than that */
    tui_app_note(&app, AGT_WARN, "L2e3 breaks the model: without it the loss of a token rose by 0.12 nats, perplexity x1.12; F9 takes the ban back");
    ev((agt_event){ .kind = AGT_EV_KNOB, .name = q_strdup("experts.ban"), .text = q_strdup("2:3"), .note = q_strdup("from the next answer") });
    CHECK(on_screen("breaks the model") && on_screen("F9 takes the ban back") && !on_screen("from the next answer"));        /* both come in one moment: the warning is the one to read */
    app.now += 2000;
    tui_app_note(&app, AGT_INFO, "experts.k 4: from the next answer");
    CHECK(on_screen("experts.k 4") && !on_screen("breaks the model"));
    app.now -= 2000;
    tui_app_resize(&app, 60, 20);
    key(K_ESC);
    tui_say_hush(&app.say);
    key(K_F2);
    CHECK(on_screen("Enter open"));
    tui_app_free(&app);
}

/* Reasons are words: they come again in another language. */
static void reasons_follow_the_language(void)
{
    begin();
    answer(1, "because");
    ev((agt_event){ .kind = AGT_EV_RETRIEVAL, .id = 1, .retrieval = fake_retrieval() });
    for (int stored = 0; stored < 2; stored++) {
        q_buf_clear(&fake.said);
        q_buf_puts(&fake.said, "");
        tui_act(&app, AGT_UI_LANG, "en");
        CHECK_MSG(strstr(fake.said.p, "retrieval 2\n") != NULL, "%s", fake.said.p);
        ev((agt_event){ .kind = AGT_EV_RETRIEVAL, .id = 2, .retrieval = fake_retrieval() });
    }
    tui_app_free(&app);
}

/* Esc and the "/" of a command that arrive as one key: the panel is left and the command begins, it is not sent as words. */
static void esc_and_a_command_in_one_key(void)
{
    begin();
    key(K_F3);
    tui_key k = { .code = K_CHAR, .cp = '/', .alt = true };
    tui_app_key(&app, &k);
    keys_in("k 4");
    CHECK(app.go.focus == NULL && app.go.over == NULL);
    CHECK_STR(app.comp.ed.b.p, "/k 4");
    tui_app_free(&app);
}

/* The keys of help are seen at once, an older sentence stands in the log. */
static void help_over_a_note(void)
{
    begin();
    tui_app_note(&app, AGT_INFO, "an older sentence");
    CHECK(on_screen("an older sentence"));
    key(K_F1);
    CHECK(on_screen("j k scroll") && !on_screen("an older sentence"));
    tui_app_free(&app);
}

/* In a narrow window all words of a block stand below their names, or none. */
static void narrow_help_is_even(void)
{
    begin();
    tui_app_resize(&app, 58, 60);
    tui_act(&app, AGT_UI_HELP, "");
    CHECK(on_screen("\n  Enter\n      send\n") && on_screen("\n      repaint; suspend"));
    tui_app_resize(&app, 80, 60);
    CHECK(on_screen("\n  Enter                           send"));
    tui_app_free(&app);
}

/* Too low for a row a layer: two layers a row, all of them still there. */
static void low_panel(void)
{
    begin();
    for (int many = 0; many < 2; many++) {
        if (many) fake_routing(0, 48, 128, 8);
        tui_app_resize(&app, 110, many ? 30 : 22);
        CHECK(on_screen("two layers a row"));
        CHECK(on_screen(many ? "\n 46 " : " 28 ") || on_screen(" 46 "));
        app.ui.glyphs = false;
        q_buf b = {0};
        tui_app_draw(&app);
        tui_grid_text(&app.grid, &b);
        for (size_t i = 0; i + 1 < b.len; i++) CHECK_MSG(!((unsigned char)b.p[i] == 0xE2 && (unsigned char)b.p[i + 1] >= 0xA0), "braille on a terminal without it");
        q_buf_free(&b);
        app.ui.glyphs = true;
    }
    tui_app_free(&app);
}

/* A new conversation gets its number with its first question; what opens under that number later is the same one. */
static void new_chat(void)
{
    begin();
    ev((agt_event){ .kind = AGT_EV_OPENED, .id = 0 });
    fake.st.chat = 5;
    answer(1, "because");
    ev((agt_event){ .kind = AGT_EV_RETRIEVAL, .id = 2, .retrieval = fake_retrieval() });
    keys_in("half a senten");
    ev((agt_event){ .kind = AGT_EV_OPENED, .id = 5, .draft = q_strdup("") });
    CHECK(app.seen.has_ret);
    CHECK_STR(app.comp.ed.b.p, "half a senten");
    agt_message *m = fake_message(7, AGT_USER, "the \1lamp\2 of\nKerrin");
    ev((agt_event){ .kind = AGT_EV_FOUND, .message = m, .n_messages = 1 });
    CHECK(on_screen("the lamp of Kerrin"));          /* what matched is coloured; its marks are not shown */
    tui_app_free(&app);
    CHECK_STR(strerror(2), "No such file or directory");   /* English where the interface is, whatever LANGUAGE says */
}

static void language(void)
{
    begin();
    keys_in("Почему небо голубое?");
    key(K_ENTER);
    CHECK(app.say.note && strstr(app.say.note, "English only") != NULL);
    app.say.note_until = 0;
    tui_app_draw(&app);
    keys_in("А на закате?");
    key(K_ENTER);
    CHECK(!app.say.note);                                /* once */
    tui_app_free(&app);
}

/* Scrolling up pauses following; new text does not move what is read; End follows again. */
static void scrolling(void)
{
    begin();
    q_buf long_text = {0};
    for (int i = 0; i < 60; i++) q_buf_printf(&long_text, "Paragraph %d.\n\n", i);
    answer(1, long_text.p);
    CHECK(app.tr.follow);
    key(K_PGUP);
    CHECK(!app.tr.follow);
    tui_app_draw(&app);
    q_buf a = {0}, b = {0};
    tui_grid_text(&app.grid, &a);
    const char *tag = strstr(a.p, "more lines below"), *row = tag;
    CHECK(tag != NULL);
    while (row && row > a.p && row[-1] != '\n') row--;
    row = row ? strstr(row, "Paragraph") : NULL;
    CHECK_MSG(!row || row > tag, "it lies over a line of text");
    agt_message *m = fake_message(4, AGT_ASSISTANT, "");
    m->state = AGT_PARTIAL;
    ev((agt_event){ .kind = AGT_EV_BEGIN, .n_messages = 1, .message = m });
    for (int i = 0; i < 50; i++) ev((agt_event){ .kind = AGT_EV_TOKEN, .text = q_strdup("more\n\n") });
    tui_app_draw(&app);
    tui_grid_text(&app.grid, &b);
    char *third = strstr(a.p, "Paragraph "), first[32] = "";
    snprintf(first, sizeof first, "%.*s", (int)strcspn(third, "\n"), third);
    CHECK_MSG(strstr(b.p, first) == strstr(b.p, "Paragraph "), "%s is not the first any more", first);
    int64_t place = tui_tr_place(&app.tr);
    tui_transcript t = app.tr;
    t.follow = true;
    tui_tr_go(&t, place);
    CHECK(!t.follow && t.top_item == app.tr.top_item && t.top_line == app.tr.top_line);
    key(K_END);
    CHECK(app.tr.follow);
    tui_app_resize(&app, 130, 50);
    tui_app_draw(&app);
    CHECK(app.tr.follow);
    q_buf_free(&a);
    q_buf_free(&b);
    q_buf_free(&long_text);
    tui_app_free(&app);
}

/* Bytes laid out per token, with a frame after every token: an answer ten times as long may not cost more a token. */
static uint64_t cost(int tokens, const char *tok)
{
    tui_item it = { .role = AGT_ASSISTANT, .differs_at = -1, .running = true };
    for (int i = 0; i < tokens; i++) {
        tui_tr_token(&it, i % 200 == 199 ? "\n" : i % 50 == 49 ? ". " : tok, false, -1);
        tui_item_lay(&it, 76);
    }
    uint64_t w = it.lay.work / (uint64_t)tokens;
    q_buf_free(&it.text);
    tui_lay_free(&it.lay);
    return w;
}

static void wrap_cost(void)
{
    uint64_t a = cost(4000, "word "), b = cost(20000, "word ");
    CHECK_MSG(b < a * 5 / 4 + 64, "%llu bytes a token at 4000 tokens, %llu at 20000", (unsigned long long)a, (unsigned long long)b);
    CHECK_MSG(b < 4 * TUI_TAIL, "%llu bytes a token", (unsigned long long)b);
}

/* A streamed answer ends as the same lines as one laid out at once, wherever the pieces are cut. */
static void same_lines(const char *text)
{
    q_buf want = {0}, got = {0};
    for (int piece = 0; piece <= 7; piece++) {
        tui_item it = { .role = AGT_ASSISTANT, .differs_at = -1, .running = true };
        size_t n = strlen(text);
        for (size_t i = 0; piece && i < n; i += (size_t)piece) {
            char s[8] = { 0 };
            memcpy(s, text + i, n - i < (size_t)piece ? n - i : (size_t)piece);
            tui_tr_token(&it, s, false, -1);
            tui_item_lay(&it, 40);
        }
        if (!piece) q_buf_puts(&it.text, text);
        it.running = false;
        tui_item_lay(&it, 40);
        q_buf *to = piece ? &got : &want;
        q_buf_clear(to);
        for (uint32_t l = 0; l < it.lay.n_line; l++) {
            for (uint32_t k = 0; k < it.lay.line[l].n; k++) {
                const tui_span *s = &it.lay.span[it.lay.line[l].span + k];
                q_buf_printf(to, "{%s}%.*s", tui_style_name(s->style), (int)s->len, it.lay.text.p + s->off);
            }
            q_buf_putc(to, '\n');
        }
        if (piece) CHECK_STR(got.p, want.p);
        q_buf_free(&it.text);
        tui_lay_free(&it.lay);
    }
    q_buf_free(&want);
    q_buf_free(&got);
}

static void streaming(void)
{
    same_lines("One *two* **three**\n\n- a\n- b\n\n  more of b\n\ntext\n");
    same_lines("# H\n\n```py\nx = 1\n\n\ny = 2\n```\nafter `code` and\nlines\n\n1. one\n2. two\n");
    same_lines("| a | b |\n|---|---|\n| 1 | 2 |\n\n> quoted\n> text\n\n***\nЁлка и **ёж**\n");
    same_lines("~~~\nunclosed fence\n  indented");
    tui_item it = { .role = AGT_ASSISTANT, .differs_at = -1, .running = true };
    tui_tr_token(&it, "so **bold", false, -1);
    tui_item_lay(&it, 40);
    CHECK_INT(it.lay.line[0].n, 2);                  /* already bold, no stars shown */
    CHECK_INT(it.lay.span[1].style, S_STRONG);
    q_buf_free(&it.text);
    tui_lay_free(&it.lay);
    /* a person's own words are never markdown */
    tui_item u = { .role = AGT_USER, .differs_at = -1 };
    q_buf_puts(&u.text, "**as typed** `x`");
    tui_item_lay(&u, 40);
    CHECK_STR(u.lay.text.p, "**as typed** `x`");
    q_buf_free(&u.text);
    tui_lay_free(&u.lay);
    /* the first token that differs is marked */
    tui_item d = { .role = AGT_ASSISTANT, .differs_at = -1 };
    tui_tr_token(&d, "The sky ", false, -1);
    tui_tr_token(&d, "lo", false, -1);
    tui_item_lay(&d, 40);
    tui_tr_token(&d, "oks", false, 8);               /* a word that began in a token before */
    tui_item_lay(&d, 40);
    CHECK_MSG(strstr(d.lay.text.p, "sky ≠looks") != NULL, "%s", d.lay.text.p);
    q_buf_free(&d.text);
    tui_lay_free(&d.lay);
}

static void themes(void)
{
    tui_theme t;
    char err[Q_ERRLEN];
    static const char *const names[] = { "dark", "light" };
    for (int i = 0; i < 2; i++) {
        CHECK_MSG(tui_theme_load(names[i], &t, err) == 0, "%s", err);
        for (int s = 0; s < S_N; s++) if (s != S_TEXT) CHECK_MSG(t.rgb[s].fg >= 0, "%s has no colour in %s", tui_style_name(s), names[i]);
        /* without colour the three that carry meaning still stand out */
        CHECK(t.mono[S_ERROR].attr && t.mono[S_SELECT].attr && t.mono[S_STRONG].attr && t.mono[S_MORE2].attr);
    }
    CHECK(tui_theme_load("none-such", &t, err) == Q_NOTFOUND);
    char pipe[] = "/tmp/quorum-theme-XXXXXX";               /* and nobody waits for its writer */
    close(mkstemp(pipe));
    CHECK(remove(pipe) == 0 && mkfifo(pipe, 0600) == 0 && tui_theme_load(pipe, &t, err) == Q_IO);
    remove(pipe);
    CHECK_INT(tui_theme_256(0xffffff), 231);
    CHECK_INT(tui_theme_256(0x5f8700), 64);
    tui_grid g = {0};
    tui_grid_size(&g, 10, 2);
    tui_put(&g, 0, 0, 10, "a<b & \"c\"", S_STRONG);
    char path[] = "/tmp/quorum-svg-XXXXXX";
    close(mkstemp(path));
    tui_theme_load("dark", &t, err);
    CHECK(tui_svg(&g, &t, path, err) == 0);
    q_buf b = {0};
    q_read_file(path, &b, 1 << 20, err);
    CHECK(strstr(b.p, "a&lt;b &amp; &quot;c&quot;") && strstr(b.p, "</svg>"));
    q_buf_free(&b);
    remove(path);
    tui_grid_free(&g);
}

/* What is typed outlives a conversation that opens, and whatever else wants its place. */
static void opened_keeps_what_is_typed(void)
{
    begin();
    keys_in("typed before the last conversation came");      /* the start: the store answers later than a person types */
    ev((agt_event){ .kind = AGT_EV_OPENED, .id = 3, .draft = q_strdup("its stored draft") });
    CHECK_STR(app.comp.ed.b.p, "typed before the last conversation came");
    key(K_ENTER);
    CHECK_STR(app.comp.ed.b.p, "its stored draft");          /* what it had to wait for comes back */
    agt_chat *c = q_alloc(2 * sizeof *c);
    c[0] = (agt_chat){ 3, q_strdup("three"), 45660000, 2 };
    c[1] = (agt_chat){ 4, q_strdup("four"), 45660000, 2 };
    ev((agt_event){ .kind = AGT_EV_CHATS, .chat = c, .n_chats = 2 });
    q_buf_clear(&fake.said);
    key(K_F2);
    keys_in("j");
    key(K_ENTER);
    CHECK(strstr(fake.said.p, "keep its stored draft\n") && strstr(fake.said.p, "open 4"));
    ev((agt_event){ .kind = AGT_EV_OPENED, .id = 4 });
    CHECK(app.comp.ed.b.len == 0);                           /* unchanged since it was stored: it stays with its own */
    key(K_F2);
    keys_in("k");
    key(K_ENTER);
    keys_in("quick fingers");                                /* between the wish and the opening */
    ev((agt_event){ .kind = AGT_EV_OPENED, .id = 3, .draft = q_strdup("its stored draft") });
    CHECK_STR(app.comp.ed.b.p, "quick fingers");
    CHECK(strstr(tui_draft(&app), "quick fingers\nits stored draft") != NULL);     /* a quit now loses neither */
    chr(CTRL_KEY('C'));
    CHECK_STR(app.comp.ed.b.p, "its stored draft");

    chr(CTRL_KEY('C'));                                      /* renaming another one: each keeps its own draft */
    keys_in("the third one's");
    key(K_F2);
    keys_in("j");
    q_buf_clear(&fake.said);
    keys_in("r");
    CHECK(strstr(fake.said.p, "keep the third one's\nopen 4"));
    CHECK_STR(app.comp.ed.b.p, "/rename four");
    ev((agt_event){ .kind = AGT_EV_OPENED, .id = 4, .draft = q_strdup("the fourth one's") });
    CHECK_STR(app.comp.ed.b.p, "/rename four");
    CHECK_STR(app.comp.stash, "the fourth one's");
    key(K_ENTER);
    CHECK_STR(app.comp.ed.b.p, "the fourth one's");
    tui_app_free(&app);

    begin();                                                 /* put aside and stored nowhere: it is not thrown away for a draft */
    keys_in("nowhere else");
    tui_go_compose(&app, "/rename four");
    ev((agt_event){ .kind = AGT_EV_OPENED, .id = 4, .draft = q_strdup("the fourth one's") });
    CHECK_STR(app.comp.ed.b.p, "/rename four");
    CHECK_STR(app.comp.stash, "the fourth one's\nnowhere else");
    tui_app_free(&app);

    begin();                                                 /* editing an old question */
    answer(1, "reply");
    keys_in("half a sentence");
    tui_act(&app, AGT_UI_EDIT, "");
    CHECK_STR(app.comp.ed.b.p, "question");
    key(K_ENTER);
    CHECK(strstr(fake.said.p, "edit 1 question\n") != NULL);
    CHECK_STR(app.comp.ed.b.p, "half a sentence");
    tui_act(&app, AGT_UI_FIND, "");                          /* a command that is prepared */
    CHECK_STR(app.comp.ed.b.p, "/find ");
    chr(CTRL_KEY('C'));
    CHECK_STR(app.comp.ed.b.p, "half a sentence");
    key(K_F5);
    key(K_ENTER);
    CHECK_STR(app.comp.ed.b.p, "/set experts.k 12");
    key(K_ENTER);
    CHECK_STR(app.comp.ed.b.p, "half a sentence");
    chr(CTRL_KEY('R'));                                      /* searching the history */
    keys_in("quest");
    CHECK_STR(app.comp.ed.b.p, "question");
    key(K_ESC);
    chr(CTRL_KEY('_'));
    CHECK_STR(app.comp.ed.b.p, "half a sentence");
    ev((agt_event){ .kind = AGT_EV_UI, .id = AGT_UI_EDIT, .text = q_strdup("words that could not be stored") });
    CHECK_STR(app.comp.ed.b.p, "words that could not be stored\nhalf a sentence");
    tui_app_free(&app);
}

/* A memory that cannot be searched says so where passages stand: the true reason, and the way out. */
static void broken_memory(void)
{
    for (int w = 80; w <= 120; w += 40) {
        begin();
        tui_app_resize(&app, w, 40);
        answer(1, "because");
        agt_retrieval *r = q_alloc(sizeof *r);
        r->broken = q_strdup("memory could not be searched: the database quorum.db is damaged: move it away, or repair it with sqlite3");
        ev((agt_event){ .kind = AGT_EV_RETRIEVAL, .id = 1, .retrieval = r });
        if (w < 100) { CHECK(on_screen("memory: see F4")); key(K_F4); }
        CHECK(on_screen("is damaged") && on_screen("sqlite3") && on_screen("/why"));
        CHECK(!on_screen("Shows the passages") && !on_screen("nothing fed"));
        bool red = false;
        for (int i = 0; i < app.grid.w * app.grid.h; i++) red = red || app.grid.c[i].style == S_ERROR;
        CHECK(red);
        ev((agt_event){ .kind = AGT_EV_RETRIEVAL, .id = 3, .retrieval = fake_retrieval() });
        CHECK(!on_screen("is damaged") && on_screen("optics.md"));      /* mended: it is forgotten */
        CHECK(on_screen("1 over limit, 2 below .30"));
        agt_retrieval *twice = fake_retrieval();
        twice->cut_limit = 0;
        twice->cut_repeat = 1;                                          /* a repetition is not called a want of room */
        ev((agt_event){ .kind = AGT_EV_RETRIEVAL, .id = 3, .retrieval = twice });
        CHECK(on_screen("1 repeated, 2 below .30") && !on_screen("over limit"));
        tui_app_free(&app);
    }
}

/* The caption of the answer that runs is what the agent says of it, whatever the status calls the moment: the two come
 * in either order, and one change is never named twice. */
static void the_caption_follows(void)
{
    begin();
    fake.st.label[0] = 0;
    tui_app_draw(&app);
    ev((agt_event){ .kind = AGT_EV_SENT, .n_messages = 1, .message = fake_message(1, AGT_USER, "question") });
    agt_message *m = fake_message(2, AGT_ASSISTANT, "");
    m->state = AGT_PARTIAL;
    free(m->label);
    m->label = q_strdup("standard");
    ev((agt_event){ .kind = AGT_EV_BEGIN, .n_messages = 1, .message = m });
    ev((agt_event){ .kind = AGT_EV_TOKEN, .text = q_strdup("so ") });
    CHECK(on_screen("  standard\n"));
    ev((agt_event){ .kind = AGT_EV_LABEL, .id = 2, .text = q_strdup("standard → k 4") });
    strcpy(fake.st.label, "k 4");                    /* the caption first, the status after it */
    tui_app_draw(&app);
    CHECK(on_screen("standard → k 4") && !on_screen("k 4 → k 4"));
    strcpy(fake.st.label, "k 4 · T 1.5");            /* and the other way round */
    tui_app_draw(&app);
    CHECK(on_screen("standard → k 4") && !on_screen("→ k 4 · T 1.5"));
    ev((agt_event){ .kind = AGT_EV_LABEL, .id = 2, .text = q_strdup("standard → k 4 → T 1.5") });
    CHECK(on_screen("standard → k 4 → T 1.5") && !on_screen("→ k 4 · T 1.5"));
    m = fake_message(2, AGT_ASSISTANT, "so it is");
    free(m->label);
    m->label = q_strdup("standard → k 4 → T 1.5");
    ev((agt_event){ .kind = AGT_EV_DONE, .n_messages = 1, .message = m });
    fake.st.label[0] = 0;
    CHECK(on_screen("standard → k 4 → T 1.5") && !on_screen("T 1.5 → standard"));
    tui_app_free(&app);
}

/* The map marks who was banned and who was pinned, and calls neither strange. */
static void banned_and_pinned(void)
{
    begin();
    tui_app_resize(&app, 120, 40);
    answer(1, "because");
    lab_cell *c = fake.rt.cell;
    for (int e = 0; e < 16; e++) c[e].dev = 0;
    c[3].bent = LAB_BANNED;
    c[5].bent = LAB_PINNED;
    fake.rt.version += 1000;
    CHECK(on_screen("  2 ···×·P··········"));
    key(K_F3);
    tui_cursor_of(&app, &view_experts)->sel = 0;
    key(K_ENTER);
    CHECK(on_screen("banned") && on_screen("pinned"));
    app.ui.glyphs = false;
    key(K_ESC);
    CHECK(on_screen("  2 ...x.P.........."));
    tui_app_free(&app);
}

/* While a thought runs, the keys' line says how to end it, at every width. */
static void a_thought_can_be_ended(void)
{
    begin();
    app.seen.st.busy = fake.st.busy = app.seen.st.thinking = fake.st.thinking = true;
    static const int wide[] = { 40, 80, 120, 200 };
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        tui_app_resize(&app, wide[i], 30);
        free(app.say.note);
        app.say.note = NULL;
        CHECK_MSG(on_screen("Ctrl-X t"), "%d columns", wide[i]);
    }
    q_buf_clear(&fake.said);
    chr(CTRL_KEY('X'));
    CHECK(on_screen("t ends thinking"));
    chr('t');
    SAID("end thinking\n");
    chr(CTRL_KEY('X'));
    chr(0x435);                          /* the same key with Cyrillic letters */
    SAID("end thinking\n");
    fake.st.thinking = app.seen.st.thinking = false;
    CHECK(!on_screen("ends the thinking"));
    fake.st.busy = false;
    tui_app_free(&app);
}

/* What is before and after under one letter (a seed was set) is nothing that a configuration did. */
static void what_shows_in_no_token_did_nothing(void)
{
    begin();
    tui_app_resize(&app, 160, 44);
    answer(1, "Yes.");
    snprintf(fake.turned.before, sizeof fake.turned.before, "standard");
    snprintf(fake.turned.after, sizeof fake.turned.after, "standard");
    fake.turned.key = 7;
    for (fake.turned.before_key = 6; fake.turned.before_key <= 7; fake.turned.before_key++) {
        tui_app_event(&app, &(agt_event){ .kind = AGT_EV_LABEL });
        CHECK(on_screen(" did") == (fake.turned.before_key == 6));
    }
    memset(&fake.turned, 0, sizeof fake.turned);
    tui_app_free(&app);
}

/* The keys' line says what F7 and F8 would cost, as much of it as there is room for. */
static void a_step_is_priced_before_it_is_taken(void)
{
    begin();
    fake.turned.step[0] = (agt_price){ 11, 103000000, 0, false };
    fake.turned.step[1] = (agt_price){ 13, 1150000000, 0, false };
    tui_app_resize(&app, 140, 30);
    answer(1, "Yes.");
    free(app.say.note);
    app.say.note = NULL;
    CHECK(on_screen("F7 k 11: 98 MiB/tok · F8 k 13: 1.1 GiB/tok"));
    fake.turned.step[0].rate = 67.4;
    fake.turned.step[1].rate = 60;
    CHECK(on_screen("F7 k 11: 98 MiB/tok, ~67 tok/s · F8 k 13: 1.1 GiB/tok, ~60 tok/s"));
    fake.turned.step[1].measured = true;
    CHECK(on_screen("F7 k 11: 98 MiB/tok, ~67 tok/s · F8 k 13: 1.1 GiB/tok, 60 tok/s"));
    fake.turned.step[1].measured = false;
    tui_app_resize(&app, 110, 30);
    CHECK(on_screen("F7 k 11: ~67 tok/s · F8 k 13: ~60 tok/s"));
    tui_app_resize(&app, 70, 30);
    CHECK(on_screen("F7/F8 fewer/more"));
    fake.turned.step[0].k = 0;           /* k 1 goes no further */
    tui_app_resize(&app, 140, 30);
    CHECK(on_screen("Ctrl-C stop · F8 k 13: 1.1 GiB/tok, ~60 tok/s · /help"));
    memset(&fake.turned, 0, sizeof fake.turned);
    tui_app_free(&app);
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    tui_lang("en");
    RUN(widths);
    RUN(odd_sizes);
    RUN(hostile);
    RUN(geometry);
    RUN(editing);
    RUN(keyboard);
    RUN(pages);
    RUN(loading);
    RUN(panels);
    RUN(panel_over_a_short_answer);
    RUN(low_panel);
    RUN(help_over_a_note);
    RUN(esc_and_a_command_in_one_key);
    RUN(narrow_help_is_even);
    RUN(reasons_follow_the_language);
    RUN(new_chat);
    RUN(language);
    RUN(opened_keeps_what_is_typed);
    RUN(broken_memory);
    RUN(the_caption_follows);
    RUN(banned_and_pinned);
    RUN(scrolling);
    RUN(wrap_cost);
    RUN(streaming);
    RUN(themes);
    RUN(a_thought_can_be_ended);
    RUN(what_shows_in_no_token_did_nothing);
    RUN(a_step_is_priced_before_it_is_taken);
    return TEST_END();
}
