/* The picture of a configuration: whole screens in both languages, every width from 30 to 300 columns, models of any size, and
 * names that would break a picture. */
#include "tests/unit/app_help.h"
#include "tests/unit/saved_screen.h"

static void open_map(int w, int h)
{
    begin();
    strcpy(fake.st.label, "k by layer · ban 4:3,4:9,27:0 · pin 4:5 · heads off 3:0,3:8 · rope yarn · factor 2");
    tui_app_resize(&app, w, h);
    tui_act(&app, AGT_UI_MAP, "");
}

static void screens(void)
{
    static const struct { int w, h; } size[] = { { 80, 24 }, { 120, 40 }, { 200, 50 } };
    for (int i = 0; i < 3; i++) {
        open_map(size[i].w, size[i].h);
        compare("map");
        tui_app_free(&app);
    }
}

static void english(void) { screens(); }
static void russian(void) { in_russian(screens); }

static void keys(void)
{
    open_map(80, 24);
    fake.st.label[0] = 0;
    CHECK_MSG(on_screen(" · standard"), "%s", screen());         /* where nothing differs it has a name all the same */
    tui_app_free(&app);
    open_map(80, 24);
    CHECK(on_screen("  0 ") && !on_screen("positions reach"));
    key(K_END);
    CHECK_MSG(on_screen("positions reach 16384 tokens; context.length 4096") && on_screen("░"), "%s", screen());
    app.ui.glyphs = false;
    CHECK_MSG(on_screen("#") && !on_screen("█") && !on_screen("●") && on_screen("ooooooooo"), "%s", screen());
    key(K_HOME);
    CHECK_MSG(on_screen("  3 .ooooooo. ") && on_screen("  4 ooooooooo ...x.P...x......"), "%s", screen());
    key(K_ESC);
    CHECK(!on_screen("banned"));
    tui_app_free(&app);
}

/* ---- at every width ---- */
static struct { const char *k, *ban, *pin, *off, *scaling; } set;
static const char *set_value(void *user, const char *knob, q_buf *b)
{
    const char *v = strcmp(knob, "experts.k") == 0 ? set.k : strcmp(knob, "experts.ban") == 0 ? set.ban : strcmp(knob, "experts.pin") == 0 ? set.pin
                  : strcmp(knob, "attention.heads_off") == 0 ? set.off : strcmp(knob, "rope.scaling") == 0 ? set.scaling : strcmp(knob, "rope.theta") == 0 ? "1e6"
                  : strcmp(knob, "rope.factor") == 0 ? "4" : strcmp(knob, "rope.original_context") == 0 ? "32768" : strcmp(knob, "context.length") == 0 ? "8192" : "0";
    q_buf_clear(b);
    q_buf_puts(b, v);
    return b->p;
}

static void at_every_width(void)
{
    static const struct { int layers, heads, experts, first; const char *k; } shape[] = {
        { 48, 32, 128, 0, "8" }, { 30, 9, 16, 2, "12" }, { 94, 64, 128, 0, "8" }, { 28, 16, 0, 0, "0" }, { 3, 4, 12, 1, "4" }, { 61, 128, 256, 3, "8" }, { 1, 0, 1, 0, "1" } };
    set.ban = "1:0,1:3,1:5,1:7,1:8,1:9,1:10,1:11,2:2";
    set.pin = "1:1,1:2";
    set.off = "1:0,1:1,0:3";
    int32_t slides[94];
    for (int l = 0; l < 94; l++)
        slides[l] = l % 2 ? 0 : 4096;
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        set.k = shape[i].k;
        set.scaling = i % 2 ? "none" : "yarn";
        lab_map m = { "A model of a name that is rather long for a narrow window", "k 4 · ban 1:0,1:3,1:5 · rope yarn", shape[i].layers, shape[i].heads, shape[i].experts,
                      shape[i].first, shape[i].experts ? shape[i].layers - shape[i].first : 0, 32768, set_value, set_value, NULL, NULL, slides, i % 2 == 1 };
        for (int w = 30; w <= 300; w++) {
            q_buf b = { 0 };
            int rows = 0, cut = 0;
            lab_map_text(&m, w, &b);
            for (const char *s = b.p; *s; s += strcspn(s, "\n"), s += *s == '\n') {
                int width = tui_text_width(s, strcspn(s, "\n"));
                rows += strspn(s, " ") < 3 && s[strspn(s, " ")] >= '0' && s[strspn(s, " ")] <= '9';
                CHECK_MSG(width <= w, "%d columns, shape %zu: a line of %d:\n%s", w, i, width, b.p);
                cut += memmem(s, strcspn(s, "\n"), "…", 3) != NULL;
            }
            CHECK_MSG(rows >= shape[i].layers && !cut, "%d columns, shape %zu: %d rows, %d cut:\n%s", w, i, rows, cut, b.p);
            bool routed = shape[i].experts > 2 && shape[i].layers > 2 && shape[i].first <= 2;
            CHECK_MSG(!routed || w < 34 || strstr(strstr(b.p, "pinned") + 6, "×"), "%d columns: bans are not shown:\n%s", w, b.p);
            CHECK_MSG(strstr(b.p, "8192") && strstr(b.p, "ban"), "%s", b.p);
            q_buf_free(&b);
        }
    }
    /* No layers, or more cells than any model has: a title and nothing else. */
    q_buf b = { 0 };
    lab_map m = { "none", "standard", 0, 4, 4, 0, 0, 0, set_value, set_value, NULL, NULL, NULL, false };
    lab_map_text(&m, 80, &b);
    CHECK_STR(b.p, "none · standard\n");
    q_buf_clear(&b);
    m.n_layer = m.n_expert = 1 << 16;
    lab_map_text(&m, 80, &b);
    lab_map_svg(&m, &b);
    lab_map_json(&m, &b);
    CHECK(strstr(b.p, "</svg>") && b.len < 4000);
    q_buf_free(&b);
}

/* A hybrid: a recurrent layer has no heads to draw, whatever the room. */
static void recurrent_layers(void)
{
    static const uint8_t is[4] = { 1, 1, 1, 0 };
    lab_map m = { "hybrid", "", 4, 6, 4, 0, 4, 32768, set_value, set_value, NULL, is, NULL, false };
    q_buf b = { 0 };
    set.ban = set.pin = set.off = "";
    set.k = "2";
    lab_map_text(&m, 80, &b);
    CHECK_MSG(strstr(b.p, "  0 ~~~~~~ ···· k 2\n") && strstr(b.p, "  3 ●●●●●● ···· k 2\n") && strstr(b.p, "~ recurrent: a state, no heads"), "%s", b.p);
    q_buf_clear(&b);
    m.n_head = 64;
    lab_map_text(&m, 40, &b);
    CHECK_MSG(strstr(b.p, "  0     ~ ") && strstr(b.p, "  3 64/64 "), "%s", b.p);
    q_buf_clear(&b);
    m.n_head = 6;
    lab_map_svg(&m, &b);
    int circles = 0;
    for (const char *s = b.p; (s = strstr(s, "<circle")); s++) circles++;
    CHECK_MSG(circles == 6 && strstr(b.p, "class=\"state\""), "%d", circles);
    q_buf_clear(&b);
    lab_map_json(&m, &b);
    CHECK(strstr(b.p, "\"recurrent\":\ttrue") && strstr(b.p, "\"recurrent\":\tfalse"));
    q_buf_free(&b);
}

/* gpt-oss and gemma3: a layer that sees a window is drawn apart from one that sees all, in all three; sinks are said. */
static void sliding_layers(void)
{
    static const int32_t near[4] = { 128, 0, 128, 0 };
    lab_map m = { "sliding", "", 4, 6, 4, 0, 4, 32768, set_value, set_value, NULL, NULL, near, true };
    q_buf b = { 0 };
    set.ban = set.pin = "";
    set.off = "2:1";
    set.k = "2";
    lab_map_text(&m, 90, &b);
    CHECK_MSG(strstr(b.p, "  0 ◐◐◐◐◐◐ ···· k 2\n") && strstr(b.p, "  1 ●●●●●● ···· k 2\n") && strstr(b.p, "  2 ◐○◐◐◐◐ ") && strstr(b.p, "◐ sees the last 128 tokens only"), "%s", b.p);
    CHECK_MSG(strstr(b.p, "attention has sinks"), "%s", b.p);
    q_buf_clear(&b);
    m.n_head = 64;
    lab_map_text(&m, 40, &b);
    CHECK_MSG(strstr(b.p, "  0◐64/64 ") && strstr(b.p, "  1 64/64 ") && strstr(b.p, "  2◐63/64 "), "%s", b.p);
    q_buf_clear(&b);
    m.n_head = 6;
    lab_map_svg(&m, &b);
    int light = 0;
    for (const char *s = b.p; (s = strstr(s, "class=\"near\"")); s++) light++;
    CHECK_MSG(light == 11 && strstr(b.p, "the last 128 tokens") && strstr(b.p, "attention has sinks"), "%d", light);
    q_buf_clear(&b);
    lab_map_json(&m, &b);
    CHECK_MSG(strstr(b.p, "\"window\":\t128") && strstr(b.p, "\"window\":\t0") && strstr(b.p, "\"sinks\":\ttrue"), "%s", b.p);
    q_buf_clear(&b);
    m.window = NULL;                                               /* another model's picture is as it was */
    m.sinks = false;
    lab_map_text(&m, 90, &b);
    CHECK_MSG(!strstr(b.p, "◐") && !strstr(b.p, "sinks"), "%s", b.p);
    q_buf_free(&b);
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    tui_lang("en");
    RUN(english);
    if (access("po/ru.po", R_OK) == 0) RUN(russian);
    RUN(keys);
    RUN(at_every_width);
    RUN(recurrent_layers);
    RUN(sliding_layers);
    return TEST_END();
}
