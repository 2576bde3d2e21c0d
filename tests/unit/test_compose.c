/* tests: what is written: long pastes, long lines, and what is asked before something is lost for good. */
#include "tests/test.h"
#include "tests/unit/app_help.h"
#include "tui/term/decode.h"
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
    CHECK(on_screen("> before [1,300 lines, 55 KiB] after"));
    CHECK(on_screen("Ctrl-T opens"));
    key(K_LEFT); key(K_LEFT); key(K_LEFT); key(K_LEFT); key(K_LEFT); key(K_LEFT);
    CHECK_INT(app.comp.ed.at, strlen("before ") + b.len);
    key(K_LEFT);                                     /* one step over all of it */
    CHECK_INT(app.comp.ed.at, strlen("before "));
    key(K_RIGHT);
    key(K_BACKSPACE);                                /* and one key takes it away */
    CHECK_STR(app.comp.ed.b.p, "before  after");
    chr(CTRL_KEY('_'));
    CHECK(on_screen("> before [1,300 lines, 55 KiB] after"));
    keys_in("!");
    CHECK(on_screen("> before [1,300 lines, 55 KiB]! after"));
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
    keys_in("П");                                    /* G on the other layout, and g */
    CHECK_INT(tui_cursor_of(&app, &view_chats)->sel, 1);
    keys_in("п");
    CHECK_INT(tui_cursor_of(&app, &view_chats)->sel, 0);
    keys_in("d");
    key(K_WHEEL_UP);                                 /* the mouse answers nothing */
    key(K_CLICK);
    CHECK(app.ask.question != NULL);
    keys_in("n");
    keys_in("в");                                    /* d on the other layout */
    q_buf_clear(&fake.said);
    keys_in("н");                                    /* the key of y, and there the first letter of "no" */
    CHECK(!strstr(fake.said.p, "delete"));
    keys_in("в");
    keys_in("д");
    CHECK(strstr(fake.said.p, "delete 3\n") != NULL);
    CHECK_STR(app.comp.ed.b.p, "a draft");
    key(K_ESC);

    q_buf_clear(&fake.said);                         /* what the agent asks */
    ev((agt_event){ .kind = AGT_EV_ASK, .text = q_strdup("Forget 400 documents of notes/?"), .id = 7 });
    CHECK(on_screen("Forget 400 documents"));
    keys_in("n");
    CHECK(!strstr(fake.said.p, "yes"));
    ev((agt_event){ .kind = AGT_EV_ASK, .text = q_strdup("Forget 400 documents of notes/?"), .id = 7 });
    keys_in("д");
    CHECK(strstr(fake.said.p, "answer 7 yes\n") != NULL);

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

static void what_is_over_needs_no_second_esc(void)
{
    begin();
    ev((agt_event){ .kind = AGT_EV_PROGRESS, .text = q_strdup("adding notes"), .done = 399, .total = 400, .rate = 30 });
    fake.st.busy = true;
    key(K_ESC);
    CHECK(on_screen("Esc again stops"));
    ev((agt_event){ .kind = AGT_EV_PROGRESS, .text = q_strdup("adding notes") });
    fake.st.busy = false;
    CHECK(!on_screen("Esc again stops"));
    tui_app_free(&app);
}

/* Esc closes panels; long work takes two of them, an answer one. */
static void one_esc_stops_no_import(void)
{
    begin();
    ev((agt_event){ .kind = AGT_EV_PROGRESS, .text = q_strdup("adding notes"), .done = 120, .total = 400, .rate = 30 });
    fake.st.busy = true;
    CHECK(on_screen("adding notes 30%, 30 seconds left · Esc Esc stops"));      /* what, how far, how long, how to stop */
    key(K_F4);
    q_buf_clear(&fake.said);
    q_buf_puts(&fake.said, "");
    key(K_ESC);                                      /* meant for the panel */
    CHECK(!app.go.focus && !strstr(fake.said.p, "stop"));
    key(K_ESC);                                      /* one too many */
    CHECK(!strstr(fake.said.p, "stop"));
    CHECK(on_screen("Esc again stops"));
    app.now += 2000;
    CHECK(!on_screen("Esc again stops"));
    key(K_ESC);
    CHECK(!strstr(fake.said.p, "stop"));             /* the first one was long ago */
    keys_in("x");
    key(K_ESC);
    CHECK(!strstr(fake.said.p, "stop"));
    key(K_ESC);
    CHECK(strstr(fake.said.p, "stop\n") != NULL);
    CHECK(!on_screen("Esc again stops"));            /* done: it is not said on */
    q_buf_clear(&fake.said);
    chr(CTRL_KEY('C'));                              /* Ctrl-C means it at once */
    CHECK(strstr(fake.said.p, "stop\n") != NULL);
    q_buf_clear(&fake.said);
    q_buf_puts(&fake.said, "");
    agt_message *m = fake_message(2, AGT_ASSISTANT, "");
    m->state = AGT_PARTIAL;
    ev((agt_event){ .kind = AGT_EV_BEGIN, .n_messages = 1, .message = m });
    key(K_ESC);                                      /* while an answer runs, Esc is for it */
    CHECK(strstr(fake.said.p, "stop\n") != NULL);
    ev((agt_event){ .kind = AGT_EV_PROGRESS, .text = q_strdup("adding notes"), .total = 0 });
    CHECK(!on_screen("adding notes"));
    tui_app_free(&app);
}

/* ---- what a terminal says by itself ---- */
/* All keys of what was fed, as text: characters, <F7>-like codes, {paste}. */
static q_buf keys;
static void drain(tui_decode *d, bool idle)
{
    tui_key k;
    while (tui_decode_key(d, &k, idle)) {
        if (k.code == K_CHAR) q_buf_printf(&keys, k.alt ? "<alt %c>" : "%c", (int)k.cp);
        else if (k.code == K_PASTE) q_buf_printf(&keys, "{%s%s}", k.text, k.lost ? " and more" : "");
        else q_buf_printf(&keys, "<%s%d>", k.alt ? "alt " : "", (int)k.code);
        free(k.text);
    }
}

static const char *decoded(const char *a, size_t n, const char *b, size_t m, bool pause)
{
    tui_decode d = {0};
    q_buf_clear(&keys);
    q_buf_puts(&keys, "");
    tui_decode_bytes(&d, a, n);
    drain(&d, false);
    if (pause) drain(&d, true);
    tui_decode_bytes(&d, b, m);
    drain(&d, false);
    drain(&d, true);
    tui_decode_free(&d);
    return keys.p;
}

/* A paste from a terminal without marks comes as lines in one piece: one message, not one a line. Commands stay lines. */
static void type_bytes(const char *s, size_t piece)
{
    tui_decode d = {0};
    tui_key k;
    for (size_t n = strlen(s), i = 0; i < n; i += piece) {
        tui_decode_bytes(&d, s + i, n - i < piece ? n - i : piece);
        while (tui_decode_key(&d, &k, false)) { tui_app_key(&app, &k); free(k.text); }
    }
    tui_decode_free(&d);
}

static void a_paste_without_marks_is_one_message(void)
{
    begin();
    type_bytes("first line\r\rthird line\rlast", 1000);
    CHECK_STR(app.comp.ed.b.p, "first line\n\nthird line\nlast");
    CHECK(!strstr(fake.said.p, "submit"));
    key(K_ENTER);
    CHECK(strstr(fake.said.p, "third line") != NULL);
    q_buf_clear(&fake.said);
    type_bytes("typed\rby a person\r", 1);
    CHECK_MSG(strstr(fake.said.p, "typed\n") && strstr(fake.said.p, "by a person"), "%s", fake.said.p);
    q_buf_clear(&fake.said);
    type_bytes("/set experts.k 4\r/set threads 1\r", 1000);
    CHECK_MSG(strstr(fake.said.p, "/set experts.k 4\n") && strstr(fake.said.p, "/set threads 1\n"), "%s", fake.said.p);
    tui_app_free(&app);
}

static void answers_of_a_terminal(void)
{
    static const char *const answer[] = {
        "\033]11;rgb:1e1e/1e1e/1e1e\033\\", "\033]11;rgb:1e1e/1e1e/1e1e\a", "\033]10;rgb:ffff/ffff/ffff\a", "\033]52;c;aGVsbG8=\033\\",
        "\033P1$r0m\033\\", "\033P>|XTerm(390)\033\\", "\033P1+r436f=323536\033\\", "\033_Gi=31;OK\033\\", "\033^private message\033\\",
        "\033Xstart of string\033\\", "\033[?1;2c", "\033[>41;390;0c", "\033[24;80R", "\033[?2026;2$y", ("\xC2\x9D" "11;rgb:0/0/0\xC2\x9C") };
    for (size_t i = 0; i < sizeof answer / sizeof *answer; i++) {
        size_t n = strlen(answer[i]);
        char *text = q_printf("%sok", answer[i]);
        for (size_t cut = 0; cut <= n; cut++) {      /* in two readings, wherever they part */
            const char *got = decoded(text, cut, text + cut, n + 2 - cut, false);
            CHECK_MSG(strcmp(got, "ok") == 0, "answer %zu cut at %zu: \"%s\" was typed", i, cut, got);
        }
        tui_decode d = {0};                          /* and byte by byte */
        q_buf_clear(&keys);
        for (size_t k = 0; k < n + 2; k++) { tui_decode_bytes(&d, text + k, 1); drain(&d, false); }
        CHECK_MSG(strcmp(keys.p, "ok") == 0, "answer %zu byte by byte: \"%s\" was typed", i, keys.p);
        tui_decode_free(&d);
        const char *late = decoded(text, 1, text + 1, n + 1, true);     /* the rest came when Esc was taken for the key */
        if (text[0] == 27) CHECK_MSG(strcmp(late, "<5>ok") == 0, "answer %zu after a late Esc: \"%s\"", i, late);
        free(text);
    }
    CHECK_INT(K_ESC, 5);
#define IS(text, want) do { const char *t_ = (text), *g_ = decoded(t_, strlen(t_), "", 0, false); CHECK_MSG(strcmp(g_, want) == 0, "%s gives %s", #text, g_); } while (0)
    IS("\033", "<5>");
    IS("\033\033", "<5><5>");                        /* Esc twice is Esc twice */
    CHECK_STR(decoded("\033", 1, "\033", 1, true), "<5><5>");
    CHECK_STR(decoded("\033", 1, "hello", 5, true), "<5>hello");
    CHECK_STR(decoded("\033", 1, "[1] first", 9, true), "<5>[1] first");        /* what a person types behind Esc is typed */
    CHECK_STR(decoded("\033", 1, "Please go on\rnow", 16, true), "<5>Please go on<2>now");
    CHECK_STR(decoded("\033", 1, "X\033[A] ^_\030end\r", 13, true), "<5>X<10>] ^_\030end<2>");
    CHECK_STR(decoded("\033", 1, "\0and then\r", 10, true), "<5>and then<2>");
    IS("\033b", "<alt b>");
    IS("a\033]0;title\abc", "abc");
    IS("\033]11;never ended", "");
    IS("\033]11;broken off\rx", "<2>x");             /* Enter is never swallowed */
    CHECK_INT(K_ENTER, 2);
    IS("\033[", "");
    q_buf b = {0};                                   /* a string longer than anything that is kept */
    q_buf_puts(&b, "\033]52;c;");
    for (int i = 0; i < 100000; i++) q_buf_putc(&b, 'A');
    q_buf_puts(&b, "\033\\ok");
    CHECK_STR(decoded(b.p, 50000, b.p + 50000, b.len - 50000, false), "ok");
    q_buf_clear(&b);                                 /* words that come in one piece behind Esc, however many */
    q_buf_puts(&b, "P");
    for (int i = 0; i < 1000; i++) q_buf_puts(&b, "lease ");
    char *all = q_printf("<5>%s<2>", b.p);
    q_buf_putc(&b, '\r');
    CHECK_STR(decoded("\033", 1, b.p, b.len, true), all);
    free(all);
    q_buf_free(&b);
    static const struct { const char *seq; enum tui_key_code code; } key_of[] = {
        { "\033[A", K_UP }, { "\033OA", K_UP }, { "\033[1;5C", K_CTRL_RIGHT }, { "\033[1;3D", K_CTRL_LEFT }, { "\033[3~", K_DELETE }, { "\033[H", K_HOME },
        { "\033[1~", K_HOME }, { "\033OF", K_END }, { "\033[5~", K_PGUP }, { "\033[Z", K_BACKTAB }, { "\033OP", K_F1 }, { "\033[11~", K_F1 },
        { "\033[[C", K_F3 }, { "\033OR", K_F3 }, { "\033[15~", K_F5 }, { "\033[20~", K_F9 }, { "\033[<64;20;8M", K_WHEEL_UP }, { "\033[<65;20;8M", K_WHEEL_DOWN },
        { "\033[<0;1;1M", K_CLICK }, { "\033\r", K_ENTER }, { "\r", K_ENTER }, { "\177", K_BACKSPACE } };
    for (size_t i = 0; i < sizeof key_of / sizeof *key_of; i++)
        for (size_t cut = 0; cut < strlen(key_of[i].seq); cut++) {
            char want[16];
            snprintf(want, sizeof want, "<%s%d>", strcmp(key_of[i].seq, "\033\r") ? "" : "alt ", (int)key_of[i].code);
            const char *got = decoded(key_of[i].seq, cut, key_of[i].seq + cut, strlen(key_of[i].seq) - cut, false);
            CHECK_MSG(strcmp(got, want) == 0, "key %zu cut at %zu: %s, not %s", i, cut, got, want);
        }
#undef IS
}

/* Keys that come spelled out in numbers: a person can stop, quit and edit whatever layout and protocol is on, and nothing of
 * it is typed. */
static void keys_spelled_in_numbers(void)
{
    static const struct { const char *seq, *want; } of[] = {
        { "\033[99;5u", "\003" }, { "\033[1089::99;5u", "\003" }, { "\033[1089;5u", "\003" }, { "\033[1074::100;5:1u", "\004" }, { "\033[27;5;99~", "\003" },
        { "\033[99;69u", "\003" }, { "\033[67;6u", "\003" }, { "\033[1089::99;5:3u", "" }, { "\033[106;5u", "\n" }, { "\033[13;2u", "\n" },
        { "\033[27;2;13~", "\n" }, { "\033[13u", "<2>" }, { "\033[13;3u", "<alt 2>" }, { "\033[9;2u", "<4>" }, { "\033[105;5u", "<3>" }, { "\033[109;5u", "<2>" },
        { "\033[104;5u", "<6>" }, { "\033[127;5u", "<alt 6>" }, { "\033[27u", "<5>" }, { "\033[91;5u", "<5>" }, { "\033[45;5u", "\037" }, { "\033[98;3u", "<alt b>" },
        { "\033[1080::98;3u", "<alt b>" }, { "\033[97;2u", "A" }, { "\033[49:33;2u", "!" }, { "\033[97;;98u", "b" }, { "\033[97u", "a" }, { "\033[57399u", "0" },
        { "\033[57414u", "<2>" }, { "\033[57441;2u", "" }, { "\033[99;9u", "" }, { "\033[32;5u", "" }, { "\033[55296u", "" }, { "\033[4294967395;5u", "" },
        { "\033[1;1:1A", "<10>" }, { "\033[1;1:3A", "" }, { "\033[3;1:3~", "" }, { "\033[3;5:2~", "<7>" }, { "\033[?1u", "" }, { "\033[?0u", "" }, { "\033[u", "" },
        { "\033[;;;;;;u", "" }, { "\033[:::;::;::u", "" },
    };
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        char *text = q_printf("%sok", of[i].seq), *want = q_printf("%sok", of[i].want);
        size_t n = strlen(of[i].seq);
        for (size_t cut = 0; cut <= n; cut++) {
            const char *got = decoded(text, cut, text + cut, n + 2 - cut, false);
            CHECK_MSG(strcmp(got, want) == 0, "\"ESC%s\" cut at %zu: \"%s\"", of[i].seq + 1, cut, got);
        }
        free(text);
        free(want);
    }
    static const enum tui_key_code codes[] = { K_ENTER, K_TAB, K_BACKTAB, K_ESC, K_BACKSPACE, K_DELETE };
    for (int i = 0; i < 6; i++) CHECK_INT((int)codes[i], i + 2);
    CHECK_INT(K_UP, 10);
    tui_decode d = {0};                              /* a Cyrillic letter, as its text is too long for a byte */
    tui_key k;
    static const char letter[] = "\033[1089:1057:99;2;1057u";
    tui_decode_bytes(&d, letter, sizeof letter - 1);
    CHECK(tui_decode_key(&d, &k, false) && k.code == K_CHAR && k.cp == 1057 && !k.alt);
    tui_decode_free(&d);
}

/* Alt with the keys that also begin a terminal's strings: the chord and every letter behind it are a person's, at once where
 * no answer begins so, after a short silence where one might; and nothing of a known answer is ever typed. */
static void chords_are_no_answers(void)
{
    static const struct { const char *typed, *got; bool at_once; } t[] = {
        { "\033Please go on", "<alt P>lease go on", true }, { "\033]hello [1]", "<alt ]>hello [1]", true }, { "\033P\r", "<alt P><2>", true },
        { "\033Peter\033[A", "<alt P>eter<10>", true }, { "\033^hat\r", "<alt ^>hat<2>", true }, { "\033Xmas", "<alt X>mas", false },
        { "\033_init_", "<alt _>init_", false }, { "\033_Go", "<alt _>Go", false }, { "\033]like", "<alt ]>like", false }, { "\033^", "<alt ^>", false },
        { "\033]", "<alt ]>", false }, { "\033P12", "<alt P>12", false }, { "\033]42 is it", "<alt ]>42 is it", true }, { "\033P\033P\033]", "<alt P><alt P><alt ]>", false } };
    CHECK_INT(K_UP, 10);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        size_t n = strlen(t[i].typed);
        for (size_t cut = 2; cut <= n; cut++) {
            const char *got = decoded(t[i].typed, cut, t[i].typed + cut, n - cut, false);
            CHECK_MSG(strcmp(got, t[i].got) == 0, "%zu cut at %zu: %s, not %s", i, cut, got, t[i].got);
        }
        tui_decode d = {0};                          /* key by key, without any silence */
        q_buf_clear(&keys);
        q_buf_puts(&keys, "");
        for (size_t k = 0; k < n; k++) { tui_decode_bytes(&d, t[i].typed + k, 1); drain(&d, false); }
        CHECK_MSG((strcmp(keys.p, t[i].got) == 0) == t[i].at_once, "%zu: %s", i, keys.p);
        drain(&d, true);
        CHECK_STR(keys.p, t[i].got);
        tui_decode_free(&d);
    }
    static const struct { const char *begun; int ms; } wait[] = { { "\033Xm", 150 }, { "\033]1", 1000 }, { "\033]11;rgb", 1000 }, { "\033_G", 1000 }, { "\033_x", 150 } };
    for (size_t i = 0; i < sizeof wait / sizeof *wait; i++) {
        tui_decode d = {0};
        tui_decode_bytes(&d, wait[i].begun, strlen(wait[i].begun));
        drain(&d, false);
        CHECK_INT(tui_decode_wait(&d), wait[i].ms);
        tui_decode_free(&d);
    }
    q_buf b = {0};                                   /* however much is typed without a pause */
    q_buf_puts(&b, "\033X");
    for (int i = 0; i < 5000; i++) q_buf_puts(&b, "ab");
    char *want = q_printf("<alt X>%s", b.p + 2);
    CHECK_STR(decoded(b.p, 3000, b.p + 3000, b.len - 3000, false), want);
    free(want);
    q_buf_free(&b);
}

static void pastes_arrive_whole(void)
{
    static const char text[] = "\033[200~one\r\ntwo\rthree\nчетыре \033[31mred\033[201~x";
    size_t n = sizeof text - 1;
    for (size_t cut = 0; cut <= n; cut++) {
        const char *got = decoded(text, cut, text + cut, n - cut, false);
        CHECK_MSG(strcmp(got, "{one\ntwo\nthree\nчетыре [31mred}x") == 0, "cut at %zu: %s", cut, got);
    }
    tui_decode d = {0};
    q_buf_clear(&keys);
    tui_decode_bytes(&d, "\033[200~its end is cut", 20);
    drain(&d, false);
    CHECK_STR(keys.p, "");                           /* the end may still come */
    CHECK(tui_decode_wait(&d) > 0);
    drain(&d, true);
    CHECK_STR(keys.p, "{its end is cut}");           /* after a silence it is there */
    tui_decode_bytes(&d, "\r", 1);                   /* a late line break sends nothing */
    drain(&d, true);
    CHECK_STR(keys.p, "{its end is cut}{\n}");
    tui_decode_bytes(&d, "\033", 1);
    drain(&d, false);
    drain(&d, true);                                 /* and Esc makes the keys keys again */
    tui_decode_bytes(&d, "a\r", 2);
    drain(&d, false);
    CHECK_STR(keys.p, "{its end is cut}{\n}a<2>");
    tui_decode_free(&d);

    q_buf b = {0};
    q_buf_puts(&b, "\033[200~");
    while (b.len < (3 << 19) + 6) q_buf_puts(&b, "ё234567\n");
    q_buf_puts(&b, "\033[201~");
    tui_key k;
    tui_decode_bytes(&d, b.p, b.len);
    CHECK(tui_decode_key(&d, &k, false) && k.code == K_PASTE);
    CHECK(strlen(k.text) <= TUI_PASTE_MAX && q_utf8_valid(k.text, strlen(k.text)));
    CHECK_INT(strlen(k.text) + k.lost, b.len - 12);  /* what was left out is counted to the byte */
    free(k.text);
    tui_decode_free(&d);
    q_buf_free(&b);
    static const char crlf[] = "a\r\nb\r\n\r\nc";
    tui_decode_bytes(&d, "\033[200~", 6);
    tui_decode_bytes(&d, crlf, sizeof crlf - 1);
    tui_decode_bytes(&d, "\033[201~", 6);
    CHECK(tui_decode_key(&d, &k, false));
    CHECK_STR(k.text, "a\nb\n\nc");
    free(k.text);
    tui_decode_free(&d);
}

/* The model's own answer, cut or reworded, goes on; Esc leaves it, and what was being written is there again. */
static void an_answer_is_amended(void)
{
    begin();
    tui_act(&app, AGT_UI_AMEND, "");                 /* nothing was answered yet */
    CHECK(app.comp.editing == 0 && app.say.note && strstr(app.say.note, "Nothing to amend"));
    tui_app_free(&app);

    begin();
    app.ui.hinted_k = true;                          /* its sentence would stand where the keys do */
    answer(1, "one two thrae four");
    keys_in("half a sentence");
    tui_act(&app, AGT_UI_AMEND, "");
    CHECK_STR(app.comp.ed.b.p, "one two thrae four");
    CHECK(on_screen("a one two thrae four") && on_screen("Enter goes on from the end of this text"));
    CHECK_STR(tui_draft(&app), "half a sentence");   /* what is stored as the draft */
    key(K_ESC);
    CHECK_STR(app.comp.ed.b.p, "half a sentence");
    CHECK(app.comp.editing == 0 && on_screen("> half a sentence"));
    chr(CTRL_KEY('Y'));                              /* not lost */
    CHECK_STR(app.comp.ed.b.p, "half a sentenceone two thrae four");
    chr(CTRL_KEY('C'));

    keys_in("another");
    tui_act(&app, AGT_UI_AMEND, "");
    for (int i = 0; i < 7; i++) key(K_BACKSPACE);
    keys_in("ee ");
    q_buf_clear(&fake.said);
    q_buf_puts(&fake.said, "");
    key(K_ENTER);
    CHECK_MSG(strstr(fake.said.p, "amend 2 one two three \n"), "%s", fake.said.p);   /* the blank stays */
    CHECK_STR(app.comp.ed.b.p, "another");
    CHECK_INT(app.comp.editing, 0);
    chr(CTRL_KEY('C'));
    key(K_UP);                                       /* the answer's words are no question that one sent */
    CHECK(!app.comp.ed.b.p || !strstr(app.comp.ed.b.p, "three"));
    chr(CTRL_KEY('C'));

    tui_act(&app, AGT_UI_EDIT, "");                  /* editing a question is as it was */
    key(K_ESC);
    CHECK_STR(app.comp.ed.b.p, "question");
    chr(CTRL_KEY('C'));
    q_buf_clear(&fake.said);
    q_buf_puts(&fake.said, "");
    key(K_TAB);                                      /* from the transcript, on the answer or on its question */
    chr('a');
    CHECK_STR(app.comp.ed.b.p, "one two thrae four");
    CHECK(app.comp.editing == 2 && !app.go.focus);
    key(K_ESC);
    key(K_TAB);
    key(K_UP);
    chr('a');
    CHECK_INT(app.comp.editing, 2);
    ev((agt_event){ .kind = AGT_EV_OPENED, .id = 9, .draft = q_strdup("its draft") });        /* another conversation */
    CHECK(app.comp.editing == 0 && !strstr(app.comp.ed.b.p, "thrae"));
    tui_app_free(&app);

    begin();                                         /* a running one; words that could not be taken */
    ev((agt_event){ .kind = AGT_EV_SENT, .n_messages = 1, .message = fake_message(1, AGT_USER, "question") });
    agt_message *m = fake_message(2, AGT_ASSISTANT, "");
    m->state = AGT_PARTIAL;
    ev((agt_event){ .kind = AGT_EV_BEGIN, .n_messages = 1, .message = m });
    tui_act(&app, AGT_UI_AMEND, "");
    CHECK(app.comp.editing == 0 && app.say.note && strstr(app.say.note, "still runs"));
    ev((agt_event){ .kind = AGT_EV_DONE, .n_messages = 1, .message = fake_message(2, AGT_ASSISTANT, "said") });
    keys_in("mine");
    ev((agt_event){ .kind = AGT_EV_UI, .id = AGT_UI_AMEND, .text = q_strdup("given back") });
    CHECK_STR(app.comp.ed.b.p, "given back");
    CHECK(app.comp.editing == 2 && app.comp.amend);
    key(K_ESC);
    CHECK_STR(app.comp.ed.b.p, "mine");
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
    RUN(one_esc_stops_no_import);
    RUN(what_is_over_needs_no_second_esc);
    RUN(a_paste_without_marks_is_one_message);
    RUN(answers_of_a_terminal);
    RUN(keys_spelled_in_numbers);
    RUN(chords_are_no_answers);
    RUN(pastes_arrive_whole);
    RUN(an_answer_is_amended);
    return TEST_END();
}
