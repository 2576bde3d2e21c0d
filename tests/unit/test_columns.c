/* Two configurations side by side: whole screens at 80, 120 and 200 columns in both languages, every width and size between;
 * what keys do; blind answers give nothing away; line mode's words; the sign test. */
#include "tests/unit/app_help.h"
#include "tests/unit/saved_screen.h"

typedef struct token { const char *text; float over; } token;
static void fill(lab_column *c, const char *name, const token *w, int n, double rate)
{
    *c = (lab_column){ .name = name ? q_strdup(name) : NULL, .piece = q_alloc(sizeof *c->piece * (size_t)n), .n = n, .whole = true, .rate = rate, .logp = -2.184, .kl = .0371,
                       .bytes = 94 << 20 };
    for (int i = 0; i < n; i++) c->piece[i] = (lab_piece){ q_strdup(w[i].text), w[i].over, .01f };
}

static const token text[] = { { "Sun", 0 }, { "light", .1f }, { " meets", -.4f }, { " molecules", 1.7f }, { " of", .02f }, { " air", 0 }, { ",", 0 }, { " which", .3f }, { " scatter", -2.2f },
    { " short", .1f }, { " waves", 0 }, { " far", 0 }, { " more", 0 }, { " than", 0 }, { " long", 0 }, { " ones", 0 }, { ".\n\n", 0 }, { "At", .5f }, { " sunset", -.6f }, { " the", 0 },
    { " light", 0 }, { " has", 0 }, { " a", 0 }, { " longer", 1.2f }, { " way", 0 }, { " to", 0 }, { " go", 0 }, { ".", 0 } };
static const token other[] = { { "Sun", 0 }, { "light", .1f }, { " meets", .4f }, { " the", 1.1f }, { " sea", -.3f }, { " and", 0 }, { " is", 0 }, { " blue", -1.4f }, { ".", 0 } };
enum { N_TEXT = sizeof text / sizeof *text, N_OTHER = sizeof other / sizeof *other };

static void open_columns(int w, int h, bool answers, bool blind, const char *note)
{
    begin();
    tui_app_resize(&app, w, h);
    lab_columns *c = q_alloc(sizeof *c);
    token back[N_TEXT];
    for (int i = 0; i < N_TEXT; i++) back[i] = (token){ text[i].text, -text[i].over };
    *c = (lab_columns){ .first = 3, .answers = answers, .blind = blind, .note = note ? q_strdup(note) : NULL };
    fill(&c->side[0], blind ? NULL : "k=4", text, N_TEXT, 120.4);
    if (answers) fill(&c->side[1], blind ? NULL : "standard", other, N_OTHER, 98.3);
    else fill(&c->side[1], "standard", back, N_TEXT, 98.3);
    ev((agt_event){ .kind = AGT_EV_COLUMNS, .columns = c });
    q_buf_clear(&fake.said);
}

static void screens(void)
{
    static const struct { int w, h; } size[] = { { 80, 24 }, { 120, 40 }, { 200, 50 } };
    for (int i = 0; i < 3; i++) {
        open_columns(size[i].w, size[i].h, false, false, NULL);
        compare("columns");
        tui_app_free(&app);
        open_columns(size[i].w, size[i].h, true, false, "you chose k=4 · k=4 3, standard 1, neither 0; sign test p 0.62: within chance");
        compare("answers");
        tui_app_free(&app);
    }
}

static void english(void) { screens(); }
static void russian(void) { in_russian(screens); }

/* The column where the first word that differs stands, -1: it is not seen; both in one row. */
static int row_of(const char *s, const char *word)
{
    const char *at = strstr(s, word);
    int row = 0;
    for (const char *p = s; at && p < at; p++) row += *p == '\n';
    return at ? row : -1;
}

/* Of tokens behind one another that all are far likelier a narrow column marks the last, a roomy one each. */
static void a_run_is_marked_once_where_it_is_narrow(void)
{
    static const token run[] = { { "One", 2 }, { " two", 1.5f }, { " three", 3 }, { " four", 0 }, { " five", -2 }, { " six", 2 }, { " seven", 2 } };
    static const struct { int w; const char *line; } size[] = { { 80, "One two three⁺ four five⁻ six seven⁺" }, { 200, "One⁺ two⁺ three⁺ four five⁻ six⁺ seven⁺" } };
    for (int i = 0; i < 2; i++) {
        begin();
        tui_app_resize(&app, size[i].w, 24);
        lab_columns *c = q_alloc(sizeof *c);
        *c = (lab_columns){ .first = -1 };
        for (int s = 0; s < 2; s++) fill(&c->side[s], "k=4", run, 7, 100);
        ev((agt_event){ .kind = AGT_EV_COLUMNS, .columns = c });
        CHECK_MSG(strstr(screen(), size[i].line), "%d columns: %s", size[i].w, screen());
        tui_app_free(&app);
    }
}

static void at_every_width(void)
{
    for (int w = 30; w <= 300; w += 3) {
        open_columns(w, w < 60 ? 14 : 30, true, false, "note below");
        bool a = false, b = false, one = false, two = false;
        for (int i = 0; i < 60; i++) {
            char *s = screen();
            a |= strstr(s, "molecules") != NULL;
            b |= strstr(s, "sea") != NULL;
            one |= strstr(s, "1  k=4") != NULL;
            two |= strstr(s, "2  standard") != NULL;
            CHECK(strstr(s, "note below") != NULL);
            if (app.columns.width > 0) CHECK_MSG(row_of(s, "molecules") == row_of(s, "the⁺"), "%d columns:\n%s", w, s);
            if (app.columns.width > 0 || i > 40) break;
            key(K_DOWN);
        }
        CHECK_MSG(a && b && one && two, "%d columns:\n%s", w, screen());
        tui_app_free(&app);
    }
}

/* The style of the first cell of a word on the screen. */
static int style_of(const char *word)
{
    size_t n = strlen(word);
    tui_app_draw(&app);
    for (int y = 0; y < app.grid.h; y++)
        for (int x = 0; x + (int)n <= app.grid.w; x++) {
            size_t i = 0;
            while (i < n && app.grid.c[y * app.grid.w + x + (int)i].s[0] == word[i] && app.grid.c[y * app.grid.w + x + (int)i].len == 1) i++;
            if (i == n) return app.grid.c[y * app.grid.w + x].style;
        }
    return -1;
}

static void shades_and_marks(void)
{
    open_columns(120, 40, false, false, NULL);
    CHECK_INT(style_of("molecules"), S_DIFF);
    CHECK_INT(style_of("meets"), S_LESS1);
    CHECK_INT(style_of("scatter"), S_LESS2);
    CHECK_INT(style_of("which"), S_MORE1);
    CHECK_INT(style_of("longer"), S_MORE2);
    CHECK_INT(style_of("than"), S_TEXT);
    char *s = screen();
    CHECK_MSG(strstr(s, "molecules⁺") && strstr(s, "molecules⁻") && strstr(s, "scatter⁻") && strstr(s, "A  k=4") && strstr(s, "B  standard"), "%s", s);
    app.ui.glyphs = false;
    app.columns.width = 0;
    CHECK(strstr(screen(), "molecules+") && strstr(screen(), "scatter-"));
    tui_app_free(&app);
}

static void keys_do_what_the_line_says(void)
{
    open_columns(120, 40, true, true, "which is better?");
    char *s = screen();
    CHECK_MSG(strstr(s, "which is better?") && !strstr(s, "k=4") && !strstr(s, "2  standard") && !strstr(s, "tok/s · log p") && !strstr(s, "KL .") && !strstr(s, "94.0 MiB"), "%s", s);
    chr('1');
    SAID("submit /prefer 1\n");
    chr('2');
    SAID("submit /prefer 2\n");
    chr('=');
    SAID("submit /prefer same\n");
    chr('h');                            /* any other letter begins a sentence */
    CHECK_STR(app.comp.ed.b.p, "h");
    key(K_ESC);
    tui_app_free(&app);
    open_columns(80, 12, false, false, NULL);
    char *top = q_strdup(screen());
    key(K_DOWN);
    CHECK(strcmp(top, screen()) != 0);
    key(K_UP);
    CHECK_STR(screen(), top);
    free(top);
    chr('1');                            /* one text: nothing to prefer, a letter like another */
    CHECK_STR(app.comp.ed.b.p, "1");
    tui_app_free(&app);
    begin();                             /* the page of numbers comes first; one step back is there */
    tui_app_resize(&app, 120, 40);
    ev((agt_event){ .kind = AGT_EV_TEXT, .name = q_strdup("/compare"), .text = q_strdup("all the numbers") });
    lab_columns *c = q_alloc(sizeof *c);
    *c = (lab_columns){ .first = -1 };
    fill(&c->side[0], "x", text, 2, 0);
    fill(&c->side[1], "y", text, 2, 0);
    ev((agt_event){ .kind = AGT_EV_COLUMNS, .columns = c });
    CHECK(on_screen("A  x") && !on_screen("all the numbers"));
    key(K_ESC);
    CHECK(on_screen("all the numbers"));
    key(K_ESC);
    CHECK(!on_screen("all the numbers") && !on_screen("A  x"));
    tui_app_free(&app);
}

static void line_mode_says_it(void)
{
    q_buf b = { 0 };
    lab_columns c = { .first = 3, .answers = true, .note = q_strdup("below") }, copy;
    fill(&c.side[0], "k=4", text, N_TEXT, 120.4);
    fill(&c.side[1], "standard", other, N_OTHER, 0);
    lab_columns_copy(&c, &copy);
    lab_columns_say(&copy, &b);
    CHECK_MSG(strstr(b.p, "k=4\nSunlight meets[≠] molecules") && strstr(b.p, "\nstandard\nSunlight meets[≠] the sea") && strstr(b.p, "\nbelow\n") && strstr(b.p, "120 tok/s"), "%s", b.p);
    q_buf_clear(&b);
    copy.answers = false;
    lab_columns_say(&copy, &b);
    CHECK_STR(b.p, "the likeliest next token differs first at token 4\n");
    lab_columns_free(&copy);
    lab_columns_free(&c);
    q_buf_free(&b);
}

static void the_sign_test_is_exact(void)
{
    static const struct { int more, less; double p; } what[] = { { 0, 0, 1 }, { 1, 0, 1 }, { 5, 0, .0625 }, { 6, 0, .03125 }, { 0, 6, .03125 }, { 9, 1, .021484375 }, { 3, 3, 1 },
        { 15, 5, .04138946533203125 }, { 8, 2, .109375 } };
    for (size_t i = 0; i < sizeof what / sizeof *what; i++) {
        double p = lab_sign_test(what[i].more, what[i].less);
        CHECK_MSG(fabs(p - what[i].p) < 1e-12, "%d to %d: %.15f, not %.15f", what[i].more, what[i].less, p, what[i].p);
    }
    CHECK(fabs(lab_sign_test(560, 440) / lab_sign_test(561, 440) - 1) < .15);     /* large counts */
    CHECK(lab_sign_test(100000, 90000) < 1e-50 && lab_sign_test(50000, 50000) == 1);
}

int main(void)
{
    tui_lang("en");
    RUN(english);
    RUN(russian);
    RUN(at_every_width);
    RUN(a_run_is_marked_once_where_it_is_narrow);
    RUN(shades_and_marks);
    RUN(keys_do_what_the_line_says);
    RUN(line_mode_says_it);
    RUN(the_sign_test_is_exact);
    return TEST_END();
}
