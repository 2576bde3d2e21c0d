/* The panel of modules: whole screens at 80, 120 and 200 columns in both languages, its keys, 64 of them, none, and broken ones. */
#include "tests/unit/app_help.h"
#include "tests/unit/saved_screen.h"

static void open_at(int w, int h)
{
    begin();
    tui_app_resize(&app, w, h);
    tui_act(&app, AGT_UI_MODULE, "");
}

static void screens(void)
{
    static const struct { int w, h; } size[] = { { 80, 24 }, { 120, 40 }, { 200, 50 } };
    for (int i = 0; i < 3; i++) {
        open_at(size[i].w, size[i].h);
        compare("modules");
        tui_app_free(&app);
    }
}

static void english(void) { screens(); }
static void russian(void) { in_russian(screens); }

static void keys(void)
{
    open_at(120, 40);
    key(K_ENTER);
    SAID("submit /module off skeptic\n");
    chr(0x6A);
    chr(0x20);
    SAID("submit /module on engineer\n");
    chr(0x6F);
    SAID("submit /module only engineer\n");
    chr(0x65);
    SAID("submit /module edit engineer\n");
    chr(0x64);
    SAID("submit /module diff engineer\n");
    chr(0x2D);
    SAID("submit /module order engineer skeptic летопись torn uncounted\n");
    chr(0x2D);                                   /* it is the first already */
    SAID("");
    chr(0x43E);                                   /* the key of j on the other layout */
    CHECK_INT(tui_cursor_of(&app, &view_modules)->sel, 1);
    key(K_ESC);
    CHECK(!on_screen("engineer"));
    chr(CTRL_KEY('X'));
    chr(0x44C);                                  /* m on the other layout */
    CHECK(on_screen("engineer"));
    SAID("");
    tui_app_free(&app);
}

static void told(void)
{
    open_at(80, 24);
    CHECK_MSG(on_screen("+0.121 (0.050 to 0.190)"), "%s", screen());
    key(K_END);
    key(K_UP);
    CHECK_MSG(on_screen("has no front matter"), "%s", screen());
    app.ui.glyphs = false;
    CHECK_MSG(on_screen("! torn") && on_screen("* skeptic") && on_screen(". engineer") && on_screen("o летопись"), "%s", screen());
    tui_app_free(&app);
}

/* Every one of 64 is reached, none overruns its row; without any, and before they were looked at, a sentence says what would fill it. */
static void many_and_none(void)
{
    fake_modules = 64;
    for (int w = 30; w <= 220; w += 19) {
        open_at(w, 24);
        key(K_END);
        CHECK_MSG(w < 60 || on_screen("torn63") || on_screen("torn"), "%d: %s", w, screen());
        CHECK(w < 60 || tui_cursor_of(&app, &view_modules)->sel == 63);
        tui_app_free(&app);
    }
    fake_modules = 0;
    open_at(80, 24);
    CHECK_MSG(on_screen("/module new NAME"), "%s", screen());
    tui_app_free(&app);
    fake_modules = -1;
    open_at(80, 24);
    CHECK_MSG(on_screen("when the model is ready"), "%s", screen());
    fake_modules = 5;
    agt_event e = { .kind = AGT_EV_MODULES };
    tui_app_event(&app, &e);
    CHECK_MSG(on_screen("skeptic"), "%s", screen());
    tui_act(&app, AGT_UI_FILE, "/tmp/x.md");
    CHECK(app.want == WANT_FILE && strcmp(app.comp.file, "/tmp/x.md") == 0);
    tui_app_free(&app);
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    tui_lang("en");
    RUN(english);
    if (access("po/ru.po", R_OK) == 0) RUN(russian);
    RUN(keys);
    RUN(told);
    RUN(many_and_none);
    return TEST_END();
}
