/* tests: what is written: long pastes, long lines, and what is asked before something is lost for good. */
#include "tests/test.h"
#include "tests/unit/app_help.h"
#include "tui/tui.h"

#include <unistd.h>

static void paste(const char *s)
{
    tui_key k = { .code = K_PASTE, .text = q_strdup(s) };
    tui_app_key(&app, &k);
    free(k.text);
}

static void pastes_are_folded(void)
{
    begin();
    paste("one\ntwo\nthree");                       /* a short one is shown as it is */
    CHECK_INT(app.comp.ed.folds.n, 0);
    CHECK(on_screen("three"));
    chr(CTRL_KEY('C'));
    q_buf b = {0};
    for (int i = 0; i < 1300; i++) q_buf_printf(&b, "line %d of a long paste, forty bytes long\n", i);
    keys_in("before ");
    paste(b.p);
    keys_in(" after");
    CHECK(on_screen("> before [1,300 lines, 56 KB] after"));
    CHECK(on_screen("Ctrl-T opens"));
    key(K_LEFT); key(K_LEFT); key(K_LEFT); key(K_LEFT); key(K_LEFT); key(K_LEFT);
    CHECK_INT(app.comp.ed.at, strlen("before ") + b.len);
    key(K_LEFT);                                     /* one step over all of it */
    CHECK_INT(app.comp.ed.at, strlen("before "));
    key(K_RIGHT);
    key(K_BACKSPACE);                                /* and one key takes it away */
    CHECK_STR(app.comp.ed.b.p, "before  after");
    chr(CTRL_KEY('_'));
    CHECK(on_screen("> before [1,300 lines, 56 KB] after"));
    keys_in("!");
    CHECK(on_screen("> before [1,300 lines, 56 KB]! after"));
    key(K_HOME);
    CHECK_INT(app.comp.ed.at, 0);                    /* the line breaks inside are not the line's */
    chr(CTRL_KEY('T'));
    CHECK_INT(app.comp.ed.folds.n, 0);
    key(K_END);
    CHECK(on_screen("line 0 of a long paste"));      /* opened, and never blank */
    tui_app_resize(&app, 80, 24);
    app.comp.ed.at = app.comp.ed.b.len;
    CHECK(on_screen("line 1299 of a long paste") && on_screen("! after"));
    q_buf_clear(&fake.said);
    key(K_ENTER);
    CHECK(fake.said.len > b.len && strstr(fake.said.p, "line 1299 of") != NULL);    /* what is sent is the whole text */
    tui_app_free(&app);

    begin();
    tui_key k = { .code = K_PASTE, .text = q_strdup(b.p), .lost = 524288 };
    tui_app_key(&app, &k);
    free(k.text);
    CHECK(app.say.note && strstr(app.say.note, "KiB") && strstr(app.say.note, "/add"));     /* what was cut is said */
    tui_app_free(&app);
    q_buf_free(&b);
}

/* Rows kept up step by step are the rows of the whole text broken anew. */
static void rows_are_the_same(void)
{
    tui_edit e = {0}, whole = {0};
    static const char *const piece[] = { "a", " ", "word ", "long-word-without-blanks-that-must-break", "\n", "\n\n", "日本", "e\xCC\x81", "привет мир ", "  " };
    uint32_t seed = 5;
    for (int step = 0; step < 4000; step++) {
        seed = seed * 1664525u + 1013904223u;
        uint32_t r = seed >> 8;
        if (r % 7 == 0) e.at = 0, tui_edit_move(&e, M_END);
        else if (r % 5 == 0) for (uint32_t i = 0; i < r % 13; i++) tui_edit_move(&e, r & 64 ? M_LEFT : M_WORD_LEFT);
        else if (r % 11 == 0) for (uint32_t i = 0; i < r % 5; i++) tui_edit_move(&e, M_RIGHT);
        if (r % 3 == 0 && e.b.len) tui_edit_delete(&e, r & 128 ? M_LEFT : M_WORD_LEFT);
        else if (r % 101 == 0) tui_edit_paste(&e, "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n17\n18\n19\n20\n21\n22\n", 58);
        else if (r % 97 == 0) tui_edit_unfold(&e);
        else if (r % 89 == 0) tui_edit_undo(&e);
        else tui_edit_insert(&e, piece[r % 10], strlen(piece[r % 10]));
        if (e.b.len > 3000) { tui_edit_set(&e, ""); continue; }
        if (r & 256) continue;                       /* several changes between two looks */
        int row, col, row2, col2, n = tui_edit_rows(&e, 20, NULL, 0, &row, &col);
        q_buf_clear(&whole.b);
        q_buf_add(&whole.b, e.b.p ? e.b.p : "", e.b.len);
        whole.at = e.at;
        whole.folds = e.folds;
        whole.rows.cells = 0;
        int m = tui_edit_rows(&whole, 20, NULL, 0, &row2, &col2);
        bool same = n == m && row == row2 && col == col2;
        for (int i = 0; i < n && same; i++) same = e.rows.row[i].from == whole.rows.row[i].from && e.rows.row[i].to == whole.rows.row[i].to;
        if (!same) { CHECK_MSG(0, "step %d: %d rows, %d when broken anew; cursor %d,%d and %d,%d", step, n, m, row, col, row2, col2); break; }
    }
    tui_edit_free(&e);
    tui_edit_free(&whole);
}

/* A key in a line of a mebibyte looks at a few rows, wherever it is pressed. Counted, not timed. */
static void a_long_line_is_quick(void)
{
    begin();
    q_buf b = {0};
    while (b.len < 1 << 20) q_buf_puts(&b, b.len % 3 ? "слово and more " : "wordwithoutend");
    tui_edit_set(&app.comp.ed, b.p);
    tui_app_draw(&app);
    tui_edit *e = &app.comp.ed;
    static const char *const where[] = { "end", "middle", "start" };
    for (int i = 0; i < 3; i++) {
        e->at = i == 0 ? e->b.len : i == 1 ? q_utf8_whole(e->b.p, e->b.len / 2) : 0;
        tui_app_draw(&app);
        uint64_t before = e->rows.work;
        for (int n = 0; n < 10; n++) {
            keys_in("x");
            tui_app_draw(&app);
        }
        uint64_t work = (e->rows.work - before) / 10;
        CHECK_MSG(work < 4096, "a key at the %s looks at %llu bytes", where[i], (unsigned long long)work);
        before = e->rows.work;
        key(K_BACKSPACE);
        chr(CTRL_KEY('W'));
        tui_app_draw(&app);
        CHECK_MSG(e->rows.work - before < 8192, "a kill at the %s looks at %llu bytes", where[i], (unsigned long long)(e->rows.work - before));
    }
    q_buf_free(&b);
    tui_app_free(&app);
}

/* What cannot be taken back is asked first, and only a yes is a yes. */
static void asks_before_it_is_too_late(void)
{
    begin();
    agt_chat *c = q_alloc(2 * sizeof *c);
    c[0] = (agt_chat){ 3, q_strdup("Bears"), 45660000, 12 };
    c[1] = (agt_chat){ 4, q_strdup("Light"), 45660000, 1 };
    ev((agt_event){ .kind = AGT_EV_CHATS, .chat = c, .n_chats = 2 });
    keys_in("a draft");
    static const uint32_t no[] = { 'n', 27, 'q', CTRL_KEY('C'), 0x43D };
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        key(K_F2);
        q_buf_clear(&fake.said);
        keys_in("d");
        CHECK(on_screen("Delete \"Bears\" with its 12 messages for good?") && on_screen("y yes"));
        if (no[i] == 27) key(K_ESC);
        else if (no[i] == 0x43D) { key(K_UP); }
        else chr(no[i]);
        CHECK_MSG(!strstr(fake.said.p, "delete"), "key U+%04X deleted it", no[i]);
        CHECK(!app.ask.question);
        if (app.go.focus) key(K_ESC);
        CHECK_STR(app.comp.ed.b.p, "a draft");
    }
    key(K_F2);
    keys_in("в");                                    /* d on the other layout */
    q_buf_clear(&fake.said);
    keys_in("н");                                    /* and y */
    CHECK(strstr(fake.said.p, "delete 3\n") != NULL);
    CHECK_STR(app.comp.ed.b.p, "a draft");
    key(K_ESC);

    q_buf_clear(&fake.said);                         /* what the agent asks */
    ev((agt_event){ .kind = AGT_EV_ASK, .text = q_strdup("Forget 400 documents of notes/?"), .name = q_strdup("/forget yes notes/") });
    CHECK(on_screen("Forget 400 documents"));
    keys_in("n");
    CHECK(!strstr(fake.said.p, "submit"));
    ev((agt_event){ .kind = AGT_EV_ASK, .text = q_strdup("Forget 400 documents of notes/?"), .name = q_strdup("/forget yes notes/") });
    keys_in("д");
    CHECK(strstr(fake.said.p, "submit /forget yes notes/\n") != NULL);

    char path[] = "/tmp/quorum-shot-XXXXXX", err[Q_ERRLEN];        /* a picture over a file */
    close(mkstemp(path));
    q_write_file_atomic(path, "mine", 4, err);
    tui_act(&app, AGT_UI_SCREENSHOT, path);
    CHECK(on_screen("exists: write the picture over it?"));
    keys_in("n");
    q_buf b = {0};
    q_read_file(path, &b, 1 << 20, err);
    CHECK_STR(b.p, "mine");
    tui_act(&app, AGT_UI_SCREENSHOT, path);
    keys_in("y");
    q_buf_clear(&b);
    q_read_file(path, &b, 1 << 20, err);
    CHECK(strstr(b.p, "</svg>") != NULL);
    remove(path);
    tui_act(&app, AGT_UI_SCREENSHOT, path);          /* nothing there: nothing to ask */
    CHECK(!app.ask.question && access(path, R_OK) == 0);
    remove(path);
    q_buf_free(&b);
    tui_app_free(&app);
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    tui_lang("en");
    RUN(pastes_are_folded);
    RUN(rows_are_the_same);
    RUN(a_long_line_is_quick);
    RUN(asks_before_it_is_too_late);
    return TEST_END();
}
