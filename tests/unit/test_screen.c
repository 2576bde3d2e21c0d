/* tests: whole screens from scripted events and keys, compared with saved ones in tests/golden/screens, in English and
 * Russian, at 80, 120 and 200 columns. UPDATE=1 rewrites them: then look at every one. */
#include "tests/unit/fake_agent.h"
#include "tests/test.h"
#include "tui/model/app.h"
#include "tui/tui.h"

#include <signal.h>
#include <unistd.h>

static tui_app app;
#include "tests/unit/saved_screen.h"
#include "tui/view/table.h"

static bool on_screen(const char *s) { return strstr(screen(), s) != NULL; }

static void ev(agt_event e) { tui_app_event(&app, &e); agt_event_free(&e); }
static void key(enum tui_key_code c) { tui_key k = { .code = c }; tui_app_key(&app, &k); tui_app_draw(&app); }
static void ch(uint32_t cp) { tui_key k = { .code = K_CHAR, .cp = cp }; tui_app_key(&app, &k); }
static void type(const char *s)
{
    for (size_t n = strlen(s), i = 0; i < n;) { uint32_t c; i += (size_t)q_utf8_next(s + i, n - i, &c); ch(c); }
    tui_app_draw(&app);
}

static void begin(int w, int h)
{
    for (int i = 0; i < fake.n_set; i++) { free(fake.set[i].key); free(fake.set[i].value); }
    fake.n_set = 0;
    q_buf_clear(&fake.said);
    tui_app_init(&app, NULL, w, h);
    app.now = 1000;
    tui_app_draw(&app);
}

static void end(void) { tui_app_free(&app); }

static void fill_first(void)
{
    fake_model();
    fake.st.mix.n = 0;
    fake.st.ctx_used = 0;
    fake.st.rate.decode = 0;
    fake_routing(2, 28, 16, 12);
    fake.rt.n_odd = fake.rt.n_tokens = fake.rt.learned = 0;
    for (int i = 0; i < 28 * 16; i++) { fake.rt.cell[i].dev = 0; fake.rt.now[i] = 0xFFFF; }
    for (int i = 0; i < 28; i++) fake.rt.strange[i] = 0;
}

static const char answer[] = "Sunlight meets **molecules of air**, which scatter *short waves* far more than long ones [1].\n\n"
    "## Why not violet?\n\n1. The sun sends less of it.\n2. Our eyes see less of it:\n   - cones for blue peak at 440 nm\n   - `S` cones are few\n\n"
    "| colour | wavelength | scattered |\n|---|---|---|\n| blue | 450 nm | 5.5 |\n| red | 700 nm | 1.0 |\n\n```c\nfor (int i = 0; i < n; i++) sum += 1 / pow(l[i], 4);\n```\n\nSo the sky is";

static void chat(bool finish)
{
    fake_model();
    fake_routing(2, 28, 16, 12);
    agt_chat *c = q_alloc(2 * sizeof *c);
    c[0] = (agt_chat){ 1, q_strdup("Why is the sky blue?"), 45660000, 2 };
    c[1] = (agt_chat){ 2, q_strdup("Рецепт борща для большой компании на даче"), 45660000, 8 };
    ev((agt_event){ .kind = AGT_EV_CHATS, .chat = c, .n_chats = 2 });
    ev((agt_event){ .kind = AGT_EV_OPENED, .id = 1, .text = q_strdup("Why is the sky blue?") });
    ev((agt_event){ .kind = AGT_EV_SENT, .n_messages = 1, .message = fake_message(1, AGT_USER, lang[0] == 'r' ? "Почему небо голубое? *Коротко*." : "Why is the sky blue? *Shortly*.") });
    ev((agt_event){ .kind = AGT_EV_RETRIEVAL, .id = 1, .retrieval = fake_retrieval() });
    agt_message *m = fake_message(2, AGT_ASSISTANT, "");
    m->state = AGT_PARTIAL;
    m->n_passages = 2;
    ev((agt_event){ .kind = AGT_EV_BEGIN, .n_messages = 1, .message = m });
    fake.st.busy = !finish;
    for (const char *s = answer; *s;) {
        size_t n = strlen(s) < 5 ? strlen(s) : 5;
        ev((agt_event){ .kind = AGT_EV_TOKEN, .text = q_strndup(s, n) });
        tui_app_draw(&app);
        s += n;
    }
    if (finish) {
        m = fake_message(2, AGT_ASSISTANT, answer);
        m->n_passages = 2;
        app.ui.hinted_k = true;
        ev((agt_event){ .kind = AGT_EV_DONE, .n_messages = 1, .message = m });
    }
}

static const struct { int w, h; } sizes[] = { { 80, 24 }, { 120, 40 }, { 200, 45 } };
#define EACH_SIZE for (int z = 0; z < 3; z++)


/* Enter goes among the experts of the token, Enter on one to what it ran for; Esc step by step back to where one was. */
static void choosing_an_expert(int64_t id)
{
    const char *rows = "token 7 of 40\nlayer, entropy, margin, experts\n  2  1.31  0.20 e3 0.31 e7 0.20 +10\n  3  1.02  0.11 e1 0.44 e0 0.19 +10\n";
    char want[128];
    key(K_ENTER);                        /* nothing is known of its experts yet */
    CHECK(!app.tr.token.picks);
    for (int round = 0; round < 2; round++) {
        ev((agt_event){ .kind = AGT_EV_LOOK, .id = id, .number = 7, .total = 40, .text = q_strdup(rows), .data = q_strdup("2 3 7 9 11\n3 1 0 2 4 15\n") });
        q_buf_clear(&fake.said);
        q_buf_puts(&fake.said, "");
        key(K_ENTER);
        tui_app_draw(&app);
        CHECK(on_screen("2 [e3] e7 e9 e11") && on_screen("  3  1.02  0.11 e1") && on_screen("[e"));
        type("jlllll");                  /* no further than there are */
        tui_app_draw(&app);
        CHECK(on_screen("3 e2 e4 [e15]") && on_screen("  2  1.31"));
        CHECK_STR(fake.said.p, "");      /* the token stays where it is */
        if (round == 0) compare("token_expert");
        key(K_ENTER);
        CHECK_STR(fake.said.p, "zoom 3 -1\nzoom 3 15\n");
        CHECK(app.go.over == &view_layer && app.zoom.layer == 3 && app.zoom.expert == 15 && app.zoom.from.message == id);
        q_buf_clear(&fake.said);
        type("a");
        CHECK_STR(fake.said.p, "zoom 3 -1 all\nzoom 3 15 all\n");
        q_buf_clear(&fake.said);
        key(K_ESC);
        snprintf(want, sizeof want, "look %lld 7 +0\n", (long long)id);
        CHECK_STR(fake.said.p, want);
        CHECK(app.go.focus == &view_token && app.tr.token.message == id && app.tr.token.number == 7);
    }
    ev((agt_event){ .kind = AGT_EV_LOOK, .id = id, .number = 7, .total = 40, .text = q_strdup(rows), .data = q_strdup("2 3 7 9 11\n3 1 0 2 4 15\n") });
    key(K_ENTER);
    CHECK(app.tr.token.picks);
    key(K_ESC);                          /* among the tokens again */
    CHECK(!app.tr.token.picks && app.go.focus == &view_token);
    key(K_ENTER);
    ev((agt_event){ .kind = AGT_EV_LOOK, .id = id, .number = 7, .total = 40, .text = q_strdup("token 7 of 40\n") });
    CHECK(!app.tr.token.picks);
}

/* A number goes to that token: typed with or without a colon before it, seen in the line of the keys, given up by Esc. */
static void jumping(int64_t id)
{
    static const struct { const char *typed, *says, *then; enum tui_key_code ends; int to; } way[] = {
        { "12", "12_", "g", K_NONE, 12 }, { ":340", "340_", "", K_ENTER, 340 }, { ":3:29", "29_", "", K_ENTER, 29 }, { "1234567890123", "12345678_", "g", K_NONE, 12345678 } };
    char want[96];
    for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
        q_buf_clear(&fake.said);
        type(way[i].typed);
        CHECK(on_screen(way[i].says) && on_screen(" 40 · g"));
        CHECK_STR(fake.said.p, "");
        type(way[i].then);
        if (way[i].ends) key(way[i].ends);
        snprintf(want, sizeof want, "look %lld %d +0\n", (long long)id, way[i].to);
        CHECK_STR(fake.said.p, want);
        CHECK(!app.tr.token.jumps && !on_screen(way[i].says));
    }
    q_buf_clear(&fake.said);
    type("71");
    key(K_BACKSPACE);
    CHECK(on_screen(" 7_"));
    key(K_ESC);                          /* on the same token, nothing typed */
    CHECK(!app.tr.token.jumps && app.go.focus == &view_token && app.tr.token.number == 7);
    type(":g");                          /* no number: nowhere */
    CHECK_STR(fake.said.p, "");
    type("8l");                          /* a key that is not of it acts as ever */
    snprintf(want, sizeof want, "look %lld -7 +1\n", (long long)id);
    CHECK_STR(fake.said.p, want);
}

/* The cursor stands on a token: between brackets, also at a line's end, and what is known of it beside. */
static void token_cursor(void)
{
    EACH_SIZE {
        begin(sizes[z].w, sizes[z].h);
        chat(true);
        const tui_item *it = &app.tr.item[app.tr.n - 1];
        for (int i = app.tr.n - 1; i >= 0 && it->role != AGT_ASSISTANT; i--) it = &app.tr.item[i];
        const char *word = strstr(it->text.p, " which");
        long at = word - it->text.p;
        key(K_TAB);
        while (app.tr.item[app.tr.selected].id != it->id) key(K_UP);
        q_buf_clear(&fake.said);
        type("l");
        char *want = q_printf("look %lld 1 +0\n", (long long)it->id);
        CHECK_STR(fake.said.p, want);
        free(want);
        ev((agt_event){ .kind = AGT_EV_LOOK, .id = it->id, .number = 5, .total = 40, .done = at, .scroll = at + 6, .text = q_strdup(
            "token 5 of 40\nprobability 0.6120\n  \" which\"              0.6120 <\n  \" that\"               0.2031\n  \" and\"                0.0410\n"
            "  \" where\"              0.0208\n  \",\"                   0.0110\nlayer, entropy, margin, experts\n  2  1.31  0.20 e3 0.31 e7 0.20 +10\n"
            "  3  1.02  0.11 e1 0.44 e0 0.19 +10\n") });
        CHECK(on_screen("[which]"));
        compare("token");
        q_buf_clear(&fake.said);
        type("jkh");
        key(K_END);
        q_buf_clear(&app.scratch);
        q_buf_printf(&app.scratch, "look %lld -5 +1 words\nlook %lld -5 -1 words\nlook %lld -5 -1\nlook %lld 0 +0\n", (long long)it->id, (long long)it->id, (long long)it->id, (long long)it->id);
        CHECK_STR(fake.said.p, app.scratch.p);
        /* of a blank alone, of nothing in the text, of another message: no bracket, or one around what there is */
        ev((agt_event){ .kind = AGT_EV_LOOK, .id = it->id, .number = 6, .total = 40, .done = at, .scroll = at + 1, .text = q_strdup("token 6 of 40\n") });
        tui_app_draw(&app);
        CHECK(on_screen("[ ]which") && on_screen("token 6 of 40"));
        ev((agt_event){ .kind = AGT_EV_LOOK, .id = it->id, .number = 7, .total = 40, .text = q_strdup("token 7 of 40\n") });
        ev((agt_event){ .kind = AGT_EV_LOOK, .id = it->id + 100, .number = 8, .total = 40, .done = 0, .scroll = 4, .text = q_strdup("token 8 of 40\n") });
        tui_app_draw(&app);
        CHECK(!on_screen("[ ]which") && on_screen("token 7 of 40") && !on_screen("token 8"));
        ev((agt_event){ .kind = AGT_EV_LOOK, .id = it->id, .number = 7, .total = 40, .text = q_strdup(
            "token 7 of 40\na: what else could have stood here; 812 tokens are evaluated again for it\nend\n") });
        tui_app_draw(&app);
        CHECK(on_screen("again for it") && on_screen("a: what else") && on_screen("end"));         /* a sentence goes on in the next row */
        q_buf_clear(&fake.said);
        type("a");
        q_buf_clear(&app.scratch);
        q_buf_printf(&app.scratch, "look again %lld 7\n", (long long)it->id);
        CHECK_STR(fake.said.p, app.scratch.p);
        jumping(it->id);
        choosing_an_expert(it->id);
        type("w");                       /* asks what if at it */
        CHECK_STR(app.comp.ed.b.p, "/whatif 7 ");
        CHECK(!on_screen("token 7") && app.tr.token.message == 0);
        tui_edit_set(&app.comp.ed, "");
        key(K_TAB);
        type("l");
        ev((agt_event){ .kind = AGT_EV_LOOK, .id = it->id, .number = 7, .total = 40, .text = q_strdup("token 7 of 40\n") });
        CHECK(on_screen("token 7 of 40"));
        key(K_ESC);
        CHECK(!on_screen("token 7") && app.tr.token.message == 0 && !app.go.focus);
        end();
    }
}

static void screens(void)
{
    EACH_SIZE {
        begin(sizes[z].w, sizes[z].h);
        fill_first();
        compare("first");
        end();
        begin(sizes[z].w, sizes[z].h);
        memset(&fake.st, 0, sizeof fake.st);
        agt_routing_free(&fake.rt);
        ev((agt_event){ .kind = AGT_EV_LOADING, .text = q_strdup("SmolLM2 carved"), .done = 45, .total = 100 });
        type(lang[0] == 'r' ? "Почему небо голубое?" : "Why is the sky blue?");
        compare("loading");
        end();
        begin(sizes[z].w, sizes[z].h);
        chat(false);
        type(lang[0] == 'r' ? "а на закате?" : "and at sunset?");
        compare("chat");
        tui_key f3 = { .code = K_F3 };
        tui_app_key(&app, &f3);
        compare("experts");
        app.seen.rt.cell[0].breaks = true;       /* one more sign: what needs no word gives way, no word is cut */
        char *least = q_printf("= %s", _("less"));
        CHECK(on_screen(_("needed")) && on_screen(least));
        free(least);
        app.seen.rt.cell[0].breaks = false;
        key(K_F4);
        compare("memory");
        key(K_F5);
        compare("config");
        key(K_F1);
        compare("help");
        key(K_ESC);                      /* to F5, where it was opened */
        key(K_ESC);
        ev((agt_event){ .kind = AGT_EV_NOTE, .level = AGT_ERROR, .text = q_strdup("The model needs 17.3 GiB and 12.1 GiB are free: use a smaller quantisation, or a model that fits (/model lists what is here).") });
        compare("error");
        end();
    }
}

/* What would be forgotten is seen before the yes. */
static void asked_first(void)
{
    for (int z = 0; z < 2; z++) {
        begin(sizes[z].w, sizes[z].h);
        chat(true);
        bool ru = lang[0] == 'r';
        ev((agt_event){ .kind = AGT_EV_ASK, .id = 3, .text = q_strdup(ru ?
            "Убрать навсегда из памяти: 2 документа, 12 сообщений? Названия, черновики, журналы и истории строк, где это есть, тоже очищаются.\n"
            "    12  notes/optics.md (14 отрывков)\n    31  дача/борщ.md (1 отрывок)\n   104  Почему небо голубое на закате («Небо»)\n   105  Рассеяние Рэлея («Небо»)\n"
            "   230  И ещё об этом, очень длинное сообщение, которое в одну строку не … («Рецепт борща для большой компании на даче»)\n        и ещё 9\n"
            "Резервные копии исчезнут тоже. Не затронуто: записанное в другие места (выгрузки, /trace save, снимки экрана)." :
            "Remove 2 documents, 12 messages from memory for good? Titles, drafts, logs and histories that hold it are cleared too.\n"
            "    12  notes/optics.md (14 passages)\n    31  дача/борщ.md (1 passage)\n   104  Why is the sky blue at sunset (“Sky”)\n   105  Rayleigh scattering (“Sky”)\n"
            "   230  And once more of that, a very long message that does not fit on … (“Рецепт борща для большой компании на даче”)\n        and 9 more\n"
            "Backups go too. Not reached: what was written elsewhere (exports, /trace save, screenshots).") });
        CHECK(on_screen("notes/optics.md") && on_screen(ru ? "и ещё 9" : "and 9 more") && on_screen("/trace save") && on_screen(ru ? "любая другая" : "any other key"));
        compare("forget");
        end();
    }
}

static void on_the_disk(int w, int h)
{
    begin(w, h);
    chat(true);
    strcpy(fake.st.model, "Qwen3-30B-A3B");
    fake.st.experts.there = .86;
    fake.st.experts.speed = 560e6;
    fake.st.experts.waited = .29;
    fake.st.experts.disk = true;
}

/* An answer whose experts come from the disk: the status line says how many lay in memory and what was waited for the others, and loses
 * the speed for it at no width. */
static void from_disk(void)
{
    EACH_SIZE {
        on_the_disk(sizes[z].w, sizes[z].h);
        compare("disk");
        end();
    }
    for (int w = 80; w <= 200; w++) {
        on_the_disk(w, 24);
        CHECK_MSG(on_screen("86%") && on_screen("29%") && on_screen(lang[0] == 'r' ? "120 ток/с" : "120 tok/s"), "%d columns:\n%.*s", w, 3 * w, screen());
        end();
    }
}

static void many_experts(void)
{
    EACH_SIZE {
        begin(sizes[z].w, sizes[z].h);
        chat(true);
        fake_routing(0, 48, 128, 8);
        strcpy(fake.st.model, "Qwen3-30B-A3B");
        fake.st.k = 8;
        fake.st.n_expert = 128;
        fake.st.params_active = 3300000000u;
        fake.st.params_total = 30500000000u;
        fake.st.bytes_per_token = 1900000000u;
        key(K_F3);
        compare("many");
        end();
    }
}

/* The panel of knobs with all that there is to say: as it opens, in all the columns it can have, and narrowed by a filter. */
static void knobs(void)
{
    static const struct { int w, h; } size[] = { { 80, 24 }, { 120, 40 }, { 200, 50 } };
    static const agt_measured none = { NAN, NAN, NAN, 0, 0 };
    for (int z = 0; z < 3; z++) {
        begin(size[z].w, size[z].h);
        chat(true);
        fake_turn[0].yes = fake_turn[1].yes = fake_turn[2].yes = fake_turn[4].yes = true;
        fake_turn[0].t = (agt_knob_turn){ 2, 37, { { 66, 77, 4, 36, 142 }, { 1.8, 3.1, .4, 36, 142 }, { .81, .8, .05, 36, 142 }, { .62, .62, .01, 36, 142 } } };
        fake_turn[4].t = (agt_knob_turn){ 2, 171, { { 77, 79, NAN, 142, 8 }, { 3.1, 3.3, NAN, 142, 8 }, none, none } };
        fake_turn[1].t = (agt_knob_turn){ 99, 12, { none, none, none, none } };
        fake_turn[2].t = (agt_knob_turn){ 0, 1, { none, none, none, none } };
        key(K_F5);
        compare("knobs");
        type("z");
        compare("knobs_wide");
        key(K_DOWN);
        type("/");
        type(lang[0] == 'r' ? "эксперт" : "expert");
        compare("knobs_found");
        memset(fake_turn, 0, sizeof fake_turn);
        end();
    }
}

static void all_screens(void)
{
    screens();
    asked_first();
    many_experts();
    from_disk();
    token_cursor();
    knobs();
}
static void english(void) { all_screens(); }
static void russian(void) { in_russian(all_screens); }

static void tiny(void)
{
    for (int w = 1; w < 60; w += 7)
        for (int h = 1; h < 20; h += 3) {
            begin(w, h);
            chat(false);
            type("hello");
            CHECK(h < 2 || w < 10 || app.grid.cursor);
            end();
        }
    begin(59, 19);
    fill_first();
    type("works");
    compare("tiny");
    key(K_ENTER);
    CHECK(strstr(fake.said.p, "submit works\n") != NULL);
    end();
}

/* Below 60x20 and down to 30x8: the answer and the composer go on, panels and questions too; below that a sentence. */
static void small_sizes(void)
{
    static const struct { int w, h; } size[] = { { 59, 20 }, { 60, 19 }, { 120, 12 }, { 45, 15 }, { 40, 10 }, { 30, 20 }, { 30, 8 } };
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        begin(size[i].w, size[i].h);
        fill_first();
        bool found = false;                          /* the first screen is all there: by scrolling where it is low */
        for (int n = 0; n < 30 && !found; n++) { found = on_screen("F1"); key(K_PGDN); }
        CHECK_MSG(found, "%dx%d: the first screen's last offer is nowhere", size[i].w, size[i].h);
        chat(false);
        type("hello");
        CHECK_MSG(on_screen("the sky is") && on_screen("> hello") && app.grid.cursor, "%dx%d:\n%s", size[i].w, size[i].h, screen());
        app.comp.ed.at = 0;
        tui_edit_set(&app.comp.ed, "");
        key(K_HOME);
        CHECK_MSG(on_screen(lang[0] == 'r' ? "Почему небо" : "Why is the sky"), "%dx%d: Home does not show the question:\n%s", size[i].w, size[i].h, screen());
        key(K_END);
        key(K_F3);
        CHECK_MSG(on_screen(lang[0] == 'r' ? "Эксперты" : "Experts"), "%dx%d: no experts", size[i].w, size[i].h);
        key(K_F4);
        CHECK_MSG(on_screen("optics.md"), "%dx%d: no memory:\n%s", size[i].w, size[i].h, screen());
        key(K_F5);
        CHECK_MSG(on_screen("experts.k"), "%dx%d: no config", size[i].w, size[i].h);
        key(K_F1);
        CHECK_MSG(on_screen("Enter"), "%dx%d: no help", size[i].w, size[i].h);
        key(K_ESC);
        key(K_ESC);
        ev((agt_event){ .kind = AGT_EV_NOTE, .level = AGT_ERROR, .text = q_strdup("The disk is full: free some room, then ask again.") });
        CHECK_MSG(on_screen("The disk is full") && on_screen("the sky is"), "%dx%d:\n%s", size[i].w, size[i].h, screen());
        end();
    }
    static const struct { int w, h; } less[] = { { 29, 20 }, { 60, 7 }, { 29, 7 }, { 20, 5 } };
    for (size_t i = 0; i < sizeof less / sizeof *less; i++) {
        begin(less[i].w, less[i].h);
        chat(false);
        type("hello");
        CHECK_MSG(on_screen(lang[0] == 'r' ? "Окно" : "window") && on_screen("hello"), "%dx%d:\n%s", less[i].w, less[i].h, screen());
        end();
    }
}
static void small(void) { in_both_languages(small_sizes); }

/* Nothing that a newcomer reads on the first screen is cut, at any width, with a model, while it loads, and without one. */
static void first_at_every_width(void)
{
    for (int w = 60; w <= 260; w++)
        for (int state = 0; state < 3; state++) {
            begin(w, 30);
            fill_first();
            if (state) { memset(&fake.st, 0, sizeof fake.st); agt_routing_free(&fake.rt); }
            if (state == 1) ev((agt_event){ .kind = AGT_EV_LOADING, .text = q_strdup("SmolLM2 carved"), .done = 45, .total = 100 });
            char *s = screen();
            if (strstr(s, "…")) { CHECK_MSG(0, "%d columns, state %d, %s: something is cut:\n%s", w, state, lang, s); end(); return; }
            CHECK(strstr(s, tui_question(&app, 2)) && strstr(s, "/add") && strstr(s, "/model") && strstr(s, "F1"));
            end();
        }
}
static void first_is_whole(void) { in_both_languages(first_at_every_width); }

/* The bottom line: no sentence stands longer than it is true, and no news eats the keys. */
static void bottom_line(void)
{
    begin(80, 24);
    chat(true);
    fake.st.mix.rest = 3;
    app.comp.ed.at = 0;
    char *s = screen();
    CHECK_MSG(strstr(s, lang[0] == 'r' ? "Enter спросить" : "Enter send") && !strstr(s, "+3"), "%s", s);
    tui_app_resize(&app, 118, 24);                   /* what does not fit is said in fewer words, not as "+3" */
    CHECK(on_screen("/context"));
    tui_app_resize(&app, 80, 24);
    tui_key c = { .code = K_CHAR, .cp = CTRL_KEY('C') };
    tui_app_key(&app, &c);
    CHECK(on_screen(lang[0] == 'r' ? "Ещё раз Ctrl-C" : "Ctrl-C again quits."));
    app.now += 1501;                                 /* from then on it would not quit: it says so no more */
    CHECK(!on_screen(lang[0] == 'r' ? "Ещё раз Ctrl-C" : "Ctrl-C again quits."));
    tui_app_key(&app, &c);
    CHECK(app.want == WANT_NOTHING);
    end();
    for (int w = 60; w < 200; w += 7) {              /* at every width whole parts, the way back among them */
        begin(w, 24);
        chat(true);
        static const enum tui_key_code panel[] = { K_F2, K_F3, K_F4, K_F5, K_F1 };
        for (int i = 0; i < 5; i++) {
            key(panel[i]);
            CHECK_MSG(on_screen("Esc"), "%d columns: the keys of panel %d do not say Esc:\n%s", w, i, screen());
            key(K_ESC);
        }
        end();
    }
}
static void nothing_is_covered(void) { in_both_languages(bottom_line); }

static int rows_with(const char *what)
{
    int n = 0;
    for (char *s = screen(); (s = strstr(s, what)); s++) n++;
    return n;
}

static void zoom(void)
{
    begin(120, 40);
    chat(true);
    key(K_F3);
    int empty = rows_with("│\n");
    type("z");
    int zoomed = rows_with("│\n");
    CHECK_MSG(zoomed <= empty, "%d empty rows, %d before:\n%s", zoomed, empty, screen());
    CHECK(on_screen("│ 15 ") && on_screen("│ 29 ") && on_screen("entropy"));       /* a row a layer, with its numbers */
    CHECK(!on_screen("Memory"));
    app.seen.rt.stored = true;           /* a stored answer's columns have their headings too */
    tui_app_draw(&app);
    CHECK_MSG(on_screen("unusual, entropy, margin") && on_screen("Stored"), "%s", screen());
    app.seen.rt.stored = false;
    key(K_ESC);
    CHECK(on_screen("Memory  2 fed") && !app.go.focus && !app.go.zoom);         /* all as it was */
    app.seen.ret.p[0].missing = true;    /* its file is not there now */
    tui_app_draw(&app);
    CHECK(on_screen("[1] (no file now) "));
    app.seen.ret.p[0].away = q_strdup("not reachable since 2026-11-27");      /* nor the folder that it lies in */
    tui_app_draw(&app);
    CHECK(on_screen("[1] (not reachable since ") && !on_screen("(no file now)"));
    free(app.seen.ret.p[0].away);
    app.seen.ret.p[0].away = NULL;
    app.seen.ret.p[0].missing = false;
    key(K_F4);
    type("z");
    CHECK(!on_screen("Experts"));
    key(K_ESC);
    CHECK(on_screen("Experts  12 of 16") && on_screen("Memory  2 fed"));
    end();
    begin(80, 24);                                   /* laid over the answer it takes all of it, and gives it back */
    chat(true);
    key(K_F3);
    type("z");
    CHECK(on_screen(" 29 "));
    key(K_ESC);
    CHECK(on_screen("So the sky is"));
    end();
    begin(120, 40);                                  /* a window that becomes narrow keeps the panel in sight, and back */
    chat(true);
    key(K_F5);
    tui_app_resize(&app, 80, 24);
    CHECK(on_screen("Config") && on_screen("rope.theta"));
    tui_app_resize(&app, 120, 40);
    CHECK(on_screen("Config") && on_screen("So the sky is") && !app.go.over);
    end();
}

static void home_and_end(void)
{
    begin(80, 24);
    chat(true);
    for (int i = 3; i < 40; i++)
        ev((agt_event){ .kind = AGT_EV_SENT, .n_messages = 1, .message = fake_message(i, AGT_USER, i == 39 ? "the last words" : "more words") });
    CHECK(on_screen("the last words") && !on_screen("*Shortly*"));
    key(K_HOME);
    CHECK(on_screen("*Shortly*") && !on_screen("the last words") && !app.tr.follow);
    key(K_END);
    CHECK(on_screen("the last words") && app.tr.follow);
    type("some text");                               /* in a line they are the line's */
    key(K_HOME);
    CHECK(app.comp.ed.at == 0 && on_screen("the last words"));
    end();
}

/* Wrapped lines of help begin where their words begin. */
static void help_columns(void)
{
    for (int w = 30; w <= 160; w += 5) {
        begin(w, 60);
        chat(true);
        tui_go_page(&app, "Keys", "  short   what it does is explained in so many words that they must be wrapped at every width that is tried here, whatever it is\n"
                                  "  /again [NAME=VALUE…]  /снова  answer again with other settings, which is explained in so many words that they are wrapped too, at any width\n");
        tui_app_draw(&app);
        const tui_lay *l = &app.page.lay;
        int cols[64], n = 0;
        for (uint32_t i = 0; i < l->n_line && n < 64; i++) {
            q_buf b = {0};
            for (uint32_t k = 0; k < l->line[i].n; k++) { const tui_span *sp = &l->span[l->line[i].span + k]; q_buf_add(&b, l->text.p + sp->off, sp->len); }
            size_t blank = strspn(b.p ? b.p : "", " ");
            bool head = b.p && (strncmp(b.p, "  short", 7) == 0 || strncmp(b.p, "  /again", 8) == 0);
            char *at = !head ? NULL : strstr(b.p, "what it does") ? strstr(b.p, "what it does") : strstr(b.p, "answer again");
            cols[n++] = !head ? (int)blank : at ? (int)tui_text_width(b.p, (size_t)(at - b.p)) : -1;
            q_buf_free(&b);
        }
        for (int i = 1; i < n; i++)
            if (cols[i] >= 0 && cols[i - 1] >= 0 && cols[i] != cols[i - 1] && !(cols[i] > 20 && cols[i - 1] < 20))
                CHECK_MSG(0, "%d columns: line %d begins at %d, the one above at %d\n%s", w, i, cols[i], cols[i - 1], screen());
        end();
    }
}
static void help_hangs(void) { help_columns(); }

static void experts_tell_the_truth(void)
{
    begin(120, 40);
    chat(true);
    static const int ks[] = { 1, 4, 8, 12, 15 };
    for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) {
        fake_routing(2, 28, 16, ks[i]);
        fake.st.k = ks[i];
        char *s = screen(), *now = strstr(s, "now L27 "), *line = now ? q_strndup(now, strcspn(now, "\n")) : q_strdup("");
        CHECK_MSG(!strstr(line, "…"), "k %d: %s", ks[i], line);
        int dots = 0, named = 0;
        for (char *p = line; (p = strstr(p, "●")); p++) dots++;
        CHECK_MSG(dots == ks[i], "k %d: %d circles are filled: %s", ks[i], dots, line);
        char *list = strstr(line, ks[i] <= 8 ? " on" : " off");
        for (char *p = list ? list : ""; *p; p++) named += *p == ' ' && p[1] >= '0' && p[1] <= '9';
        int fewer = ks[i] <= 8 ? ks[i] : 16 - ks[i];
        CHECK_MSG(list ? named == fewer : fewer > 5, "k %d: %d of %d are named: %s", ks[i], named, fewer, line);
        CHECK(!strstr(s, "1 of 16 speak ") && strstr(s, ks[i] == 1 ? "1 of 16 speaks" : "of 16 speak"));
        free(line);
    }
    fake_routing(2, 28, 16, 12);                     /* an expert that must not be missing is marked, a banned one as such */
    CHECK(!strstr(screen(), "!"));
    fake.rt.cell[3 * 16 + 5].breaks = true;
    fake.rt.version++;
    CHECK_MSG(rows_with("!") == 2 && rows_with("! needed  · usual") == 1, "%s", screen());     /* and the legend says what it is */
    fake.rt.cell[3 * 16 + 5].bent = LAB_BANNED;
    fake.rt.version++;
    CHECK_MSG(rows_with("!") == 0 && rows_with("×") == 1, "%s", screen());
    fake_routing(0, 48, 128, 8);
    for (int i = 0; i < 8; i++) fake.rt.cell[128 + i].now = false;
    fake.rt.cell[128 + 3].breaks = true;
    CHECK_MSG(rows_with("!") == 2 && rows_with("! needed  dot: on now") == 1, "%s", screen());
    fake_routing(2, 28, 16, 12);
    char seen[2][32];                                /* what a token costs tells two k apart */
    for (int i = 0; i < 2; i++) {
        fake.st.bytes_per_token = i ? 110000000 : 98000000;
        char *s = strstr(screen(), "/tok");
        snprintf(seen[i], sizeof seen[i], "%.*s", 8, s ? s - 8 : "");
    }
    CHECK_MSG(strcmp(seen[0], seen[1]) != 0, "both say %s", seen[0]);
    end();
}

/* What differs from the model's own settings is said at every width, and never in false words. */
static void labels(void)
{
    for (int w = 60; w <= 200; w += 5) {
        begin(w, 30);
        chat(true);
        strcpy(fake.st.label, "T 1 → k 4");
        fake.st.k = 4;
        char *s = screen();
        CHECK_MSG(strncmp(strstr(s, "SmolLM2"), "SmolLM2 carved · T 1 → k 4 ", strlen("SmolLM2 carved · T 1 → k 4 ")) == 0, "%d columns: %.*s", w, (int)strcspn(s, "\n"), s);
        strcpy(fake.st.label, "k 4 · theta 5e5 · eps 1e-4 · T 1.5 · top_p .5 · ban 10:1 · bias 3:2=1.5");
        s = screen();
        CHECK_MSG(strstr(s, "SmolLM2 carved · k 4") || strstr(s, "SmolLM2 carved *"), "%d columns: %.*s", w, (int)strcspn(s, "\n"), s);
        CHECK_MSG(strstr(s, "k 4/16") != NULL, "%d columns: %.*s", w, (int)strcspn(s, "\n"), s);
        end();
    }
    begin(120, 40);
    chat(true);
    ev((agt_event){ .kind = AGT_EV_KNOB, .name = q_strdup(""), .text = q_strdup("the previous configuration: k 4"), .note = q_strdup("") });
    CHECK_STR(app.say.note, "the previous configuration: k 4");    /* no blanks where a knob's name would stand */
    ev((agt_event){ .kind = AGT_EV_KNOB, .name = q_strdup("sampler.temperature"), .text = q_strdup("0.9"), .note = q_strdup("from the next token") });
    CHECK_STR(app.say.note, "sampler.temperature 0.9: from the next token");
    end();
}

/* However long a model's name is, the top line says on which GPU it computes; where it is too narrow for that, its name still stands. */
static void where_it_computes(void)
{
    for (int w = 60; w <= 240; w += 5) {
        begin(w, 30);
        chat(true);
        strcpy(fake.st.model, "Qwen3 30B A3B Instruct 2507");
        strcpy(fake.st.device, "cuda:0");
        char *s = screen();
        CHECK_MSG(strncmp(strstr(s, "Qwen3 30B"), "Qwen3 30B", 9) == 0, "%d columns", w);
        char *line = q_strndup(s, strcspn(s, "\n"));
        CHECK_MSG(w < 80 || strstr(line, " · cuda:0 "), "%d columns: %s", w, line);
        CHECK_MSG(strstr(line, "k 4/16") || strstr(line, "k 8/16") || strstr(line, "/16"), "%d columns: %s", w, line);
        free(line);
        end();
    }
    for (int w = 80; w <= 240; w += 5) {                                 /* nor does what was turned in mid-answer push it away */
        begin(w, 30);
        chat(true);
        strcpy(fake.st.device, "cuda:0");
        fake.turned = (agt_turned){ .key = 7, .n_run = 2, .run = { { .forward = 0, .cells = 30 }, { .forward = 7, .cells = 17 } } };
        strcpy(fake.turned.label, "k 10 · kv q8_0");
        char *line = q_strndup(screen(), strcspn(screen(), "\n"));
        CHECK_MSG(strstr(line, "SmolLM2 carved · cuda:0 "), "%d columns: %s", w, line);
        free(line);
        fake.turned = (agt_turned){ .key = 0 };                          /* nor is how many brought experts lay there left unsaid */
        fake.st.experts.there = .74;
        CHECK_MSG(strstr(screen(), "120 tok/s"), "%d columns: %.*s", w, (int)strcspn(screen(), "\n"), screen());
        CHECK_MSG(strstr(screen(), w < 100 ? " 74% on the GPU · " : " 74% of experts on the GPU · "), "%d columns: %.*s", w, (int)strcspn(screen(), "\n"), screen());
        end();
    }
}

/* Below 80 columns the speed is worth more than where brought experts lay. */
static void speed_stays(void)
{
    for (int w = 60; w < 80; w++) {
        begin(w, 24);
        chat(true);
        strcpy(fake.st.model, "Qwen3 30B A3B Instruct 2507");
        strcpy(fake.st.device, "cuda:0");
        fake.st.experts.there = .74;
        CHECK_MSG(strstr(screen(), "120 tok/s"), "%d columns: %.*s", w, (int)strcspn(screen(), "\n"), screen());
        end();
    }
}

/* Every size draws, and each row has exactly w columns. */
static void all_sizes(void)
{
    for (int w = 60; w <= 300; w += 17)
        for (int h = 20; h <= 100; h += 11) {
            begin(w, h);
            chat(false);
            tui_app_draw(&app);
            for (int y = 0; y < h; y++) {
                int cols = 0;
                for (int x = 0; x < w; x++) cols += app.grid.c[y * w + x].width;
                if (cols != w) CHECK_MSG(0, "%dx%d row %d: %d columns", w, h, y, cols);
            }
            end();
        }
}

/* The real loop and terminal over the scripted agent: what the scripts of tests/tui drive through a pty. */
static int live(void)
{
    char err[Q_ERRLEN];
    tui_lang("en");
    fill_first();
    fake_queue.on = true;
    agt_setting_put(NULL, "tui.hint.k", "1");
    agt_setting_put(NULL, "tui.hint.language", "1");
    int rc = tui_run(NULL, &(tui_options){ .theme = "dark" }, err);
    if (rc < 0) fprintf(stderr, "%s\n", err);
    while (rc > 0 && getenv("HANG")) pause();        /* an agent that never closes */
    if (rc > 0) { signal(rc, SIG_DFL); raise(rc); }
    return rc < 0;
}

int main(int argc, char **argv)
{
    setenv("TZ", "UTC", 1);
    if (argc > 1 && strcmp(argv[1], "--live") == 0) return live();
    RUN(english);
    if (access("po/ru.po", R_OK) == 0) RUN(russian);
    RUN(tiny);
    RUN(small);
    RUN(first_is_whole);
    RUN(nothing_is_covered);
    RUN(zoom);
    RUN(home_and_end);
    RUN(help_hangs);
    RUN(experts_tell_the_truth);
    RUN(labels);
    RUN(where_it_computes);
    RUN(speed_stays);
    RUN(all_sizes);
    return TEST_END();
}
