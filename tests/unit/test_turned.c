/* tests: k, temperature, a ban and theta turned in the middle of one answer, by the real agent over somebody who answers by
 * a script with a clock of his own: whole screens at 80, 120 and 200 columns in both languages, in 16 colours and in none,
 * compared with saved ones in tests/golden/turned. Below a row that has any stands the colour of what a configuration made (g
 * green, m magenta, c cyan, y yellow, capitals bold, . gray) or, without colours, its looks (b bold, d dim, u bold
 * underlined). UPDATE=1 rewrites them: then look at every one. */
#include "agent/room.h"
#include "tests/script_provider.h"
#include "tests/unit/agent_help.h"
#include "tui/model/app.h"
#include "tui/tui.h"

static const script_line lines[] = {
    { "short", " One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty." },
    { NULL, " Once a bear found a mill. He sat by the old wall and looked at the wheel until the evening came down over the wood. "
            "Nobody had told him what a mill is for. The water rose, the wheel began to turn, and the stones sang to each other in the dark. "
            "In the morning a girl came with a sack of grain on her back and was not afraid at all. She showed him the hopper, the sluice "
            "and the long lever; he pulled where she pointed. Flour fell like snow on his nose, and he sneezed so that the owls left the "
            "roof. From that day on the bear was the miller, and whoever came to the mill was asked for honey." },
    { NULL, NULL } };
static script plan;
static agt *a;
static tui_app app;
#include "tests/unit/saved_screen.h"

static int answers(const char *model, const prov_opts *o, prov **out, char *e) { return script_open(&plan, o, out, e); }

static struct { int token; const char *say; } turns[16];
static void at_token(void *user, int token)
{
    for (int i = 0; i < 16 && turns[i].say; i++)
        if (turns[i].token == token)
            agt_submit(a, turns[i].say);
}

static void plan_turns(int n, const int *token, const char *const *say)
{
    memset(turns, 0, sizeof turns);
    for (int i = 0; i < n; i++) {
        turns[i].token = token[i];
        turns[i].say = say[i];
    }
}

static void begin(int w, int h)
{
    char err[Q_ERRLEN];
    static const char *const set[] = { "memory.on=off", "sampler.loop_stop=off" };
    plan = (script){ .line = lines, .at = at_token, .token_s = .01 };
    agt_options o = { .model = "a script", .db = ":memory:", .set = set, .n_set = 2, .answers = answers };
    CHECK_MSG(agt_open(&o, &a, err) == 0, "%s", err);
    tui_app_init(&app, a, w, h);
    CHECK_MSG(tui_theme_load("themes/dark.ini", &app.theme, err) == 0, "%s", err);
    app.now = 1000;
    app.ui.glyphs = true;
    app.ui.hinted_k = true;
}

/* Until nothing runs, and all that it asked for is there. */
static void settle_app(void)
{
    int64_t end = q_now_ns() + 60000000000;
    for (bool idle = false; !idle && q_now_ns() < end;) {
        agt_event e;
        idle = agt_idle(a);
        while (agt_next(a, &e)) {
            tui_app_event(&app, &e);     /* it may ask for more */
            agt_event_free(&e);
            idle = false;
        }
        struct pollfd p = { .fd = agt_wake_fd(a), .events = POLLIN };
        if (!idle)
            poll(&p, 1, 5);
    }
    CHECK(agt_idle(a));
    tui_say_hush(&app.say);
    tui_app_draw(&app);
}

static void finish(void)
{
    tui_app_free(&app);
    agt_close(a);
    a = NULL;
}

/* ---- a screen with what its colours say ---- */
static char sign_of_look(const tui_theme *t, int style, bool colours)
{
    static const char colour[] = "krgybmcw.RGYBMCW";
    const tui_look *l = colours ? &t->ansi[style] : &t->mono[style];
    if (!colours)
        return l->attr & LOOK_UNDERLINE ? 'u' : l->attr & LOOK_BOLD ? 'b' : l->attr & LOOK_DIM ? 'd' : '?';
    char c = l->fg >= 0 ? colour[l->fg] : '?';
    /* bright colours are written small, plain bold ones large: no two looks of hues are alike */
    return l->attr & LOOK_BOLD ? (char)(c >= 'a' && c <= 'z' ? c - 32 : c) : (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static void with_looks(bool colours, q_buf *out)
{
    q_buf plain = { 0 };
    tui_app_draw(&app);
    tui_grid_text(&app.grid, &plain);
    const char *p = plain.p;
    for (int y = 0; y < app.grid.h; y++) {
        size_t n = strcspn(p, "\n");
        char *row = q_strndup(p, n);
        for (char *c = row; (c = strchr(c, ':')); c++)          /* the time of day */
            if (c - row >= 2 && strspn(c - 2, "0123456789") == 2 && strspn(c + 1, "0123456789") == 2 && (c - row == 2 || c[-3] == ' ') && (!c[3] || c[3] == ' '))
                c[-2] = c[-1] = c[1] = c[2] = '0';
        q_buf_printf(out, "%s\n", row);
        free(row);
        p += n + (p[n] == '\n');
        bool any = false;
        char under[400];
        int end = 0;
        for (int x = 0; x < app.grid.w && x < 399; x++) {
            const tui_cell *c = &app.grid.c[y * app.grid.w + x];
            bool made = c->style >= S_MARK && c->width && c->len && c->s[0] != ' ';
            under[x] = made ? sign_of_look(&app.theme, c->style, colours) : ' ';
            any |= made;
            end = made ? x + 1 : end;
        }
        if (any)
            q_buf_printf(out, "%.*s\n", end, under);
    }
    q_buf_free(&plain);
}

static void compare_looks(const char *name)
{
    for (int colours = 0; colours < 2; colours++) {
        q_buf got = { 0 };
        with_looks(colours, &got);
        saved_text(q_printf("tests/golden/turned/%s_%d_%s_%s.txt", name, app.grid.w, lang, colours ? "16" : "mono"), got.p, got.len);
        q_buf_free(&got);
    }
}

static bool on_screen(const char *s) { return strstr(screen(), s) != NULL; }

static const int when[] = { 20, 40, 60, 80 };
static const char *const what[] = { "/k 1", "/set sampler.temperature 1.5", "/set experts.ban 1:2", "/set rope.theta 20000" };

static void four_turns(void)
{
    static const struct { int w, h; } size[] = { { 80, 24 }, { 120, 40 }, { 200, 45 } };
    for (int z = 0; z < 3; z++) {
        begin(size[z].w, size[z].h);
        plan_turns(4, when, what);
        settle_app();
        agt_submit(a, "Tell me a story");
        settle_app();
        compare_looks("story");
        for (int i = 0; i < 4; i++) {    /* the status names each configuration on the way back */
            static const char *const label[] = { "d k 1 · ban 1:2 · T 1.5", "c k 1 · T 1.5", "b k 1", NULL };
            tui_key f9 = { .code = K_F9 };
            tui_app_key(&app, &f9);
            settle_app();
            if (label[i]) CHECK_MSG(on_screen(label[i]), "F9 %d times at %d columns", i + 1, size[z].w);
            else CHECK(app.seen.turned.key == 0 && !on_screen("b k 1  "));
        }
        compare_looks("back");
        finish();
    }
}

static void in_english(void) { four_turns(); }
static void by_russians(void) { in_russian(four_turns); }

/* At any width what differs is said: whole, cut, or as its letter behind a star. */
static void a_difference_never_vanishes(void)
{
    begin(80, 24);
    plan_turns(4, when, what);
    settle_app();
    agt_submit(a, "Tell me a story");
    settle_app();
    for (int w = 30; w <= 300; w++) {
        tui_app_resize(&app, w, 24);
        tui_app_draw(&app);
        q_buf b = { 0 };
        tui_grid_text(&app.grid, &b);
        b.p[strcspn(b.p, "\n")] = 0;
        bool said = strstr(b.p, " e k 1") || strstr(b.p, " *e");
        CHECK_MSG(said, "%d columns: %s", w, b.p);
        bool hue = false;
        for (int x = 0; x < w; x++) hue |= app.grid.c[x].style == tui_hue(4);
        CHECK_MSG(hue, "%d columns: no hue in %s", w, b.p);
        q_buf_free(&b);
    }
    finish();
}

/* What an answer was made by is the same when the conversation is opened again, and the letters too. */
static void opened_again(void)
{
    begin(120, 40);
    plan_turns(4, when, what);
    settle_app();
    agt_submit(a, "Tell me a story");
    settle_app();
    q_buf live = { 0 }, again = { 0 };
    tui_item *it = &app.tr.item[1];
    CHECK_INT(it->n_made, 5);
    for (int i = 0; i < it->n_made; i++) q_buf_printf(&live, "%d %d %s\n", (int)it->made[i].at, it->made[i].letter, it->made[i].sign ? it->made[i].sign : "");
    agt_open_chat(a, 1);
    settle_app();
    CHECK_INT(app.tr.n, 2);
    it = &app.tr.item[app.tr.n - 1];
    for (int i = 0; i < it->n_made; i++) q_buf_printf(&again, "%d %d %s\n", (int)it->made[i].at, it->made[i].letter, it->made[i].sign ? it->made[i].sign : "");
    CHECK_STR(again.p ? again.p : "", live.p);
    CHECK_MSG(strstr(live.p, "⟨k\xC2\xA0" "2→1⟩") && strstr(live.p, "⟨T\xC2\xA0" "0.7→1.5⟩") && strstr(live.p, "⟨ban\xC2\xA0" "1:2⟩") && strstr(live.p, "⟨theta\xC2\xA0" "10000→20000⟩"), "%s", live.p);
    for (int i = 1; i < it->n_made; i++) CHECK(it->made[i].at > it->made[i - 1].at && it->text.p[it->made[i].at] == ' ');
    q_buf_free(&live);
    q_buf_free(&again);
    finish();
}

/* The letters beside an answer's lines, from the top. */
static void letters(char *out, size_t cap)
{
    q_buf b = { 0 };
    size_t n = 0;
    tui_app_draw(&app);
    tui_grid_text(&app.grid, &b);
    for (const char *p = strstr(b.p, " quorum "); p && n + 1 < cap; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
        if (p[0] == ' ' && p[1] >= 'a' && p[1] <= 'z' && p[2] == ' ')
            out[n++] = p[1];
    out[n] = 0;
    q_buf_free(&b);
}

/* A knob turned before the first word takes the place of what the question was asked with: what it made keeps its letter when the answer is done. */
static void turned_before_the_first_word(void)
{
    static const int at[] = { 0, 45 };
    static const char *const say[] = { "/k 1", "/set sampler.temperature 1.5" };
    char is[64];
    begin(80, 24);
    plan_turns(2, at, say);
    settle_app();
    agt_submit(a, "Tell me a story");
    settle_app();
    CHECK_INT(app.tr.item[1].n_made, 2);
    letters(is, sizeof is);
    CHECK_STR(is, "bbbbcccccc");          /* 45 of its words take four lines; the fourth begins before them */
    agt_open_chat(a, 1);
    settle_app();
    letters(is, sizeof is);
    CHECK_STR(is, "bbbbcccccc");
    finish();
}

/* A place that the text does not reach, as where the program was killed between the two: the sign stands at its end. */
static void a_mark_behind_the_text(void)
{
    static const int64_t far[] = { 12, 13, 4096, (int64_t)1 << 40 };
    for (size_t i = 0; i < sizeof far / sizeof *far; i++)
        for (int width = 30; width <= 60; width += 30) {
            tui_transcript t = { .selected = -1 };
            agt_made made[2] = { { 0, 0, 0, (char[]){ "" } }, { 5, 5, far[i], (char[]){ "k 2→1" } } };
            agt_message m = { .id = 1, .role = AGT_ASSISTANT, .state = AGT_PARTIAL, .text = (char[]){ "One two thre" }, .n_config = 2, .made = made, .differs_at = -1 };
            q_buf got = { 0 };
            tui_item *it = tui_tr_add(&t, &m);
            tui_item_lay(it, width);
            q_buf_add(&got, it->lay.text.p, it->lay.text.len);
            CHECK_MSG(strstr(got.p, "One two thre") && strstr(got.p, width < 48 ? "⟨b⟩" : "⟨k\xC2\xA0" "2→1⟩"), "%s", got.p);
            q_buf_free(&got);
            tui_tr_free(&t);
        }
}

/* A knob turned inside a word or before a stop puts no blank there. */
static void a_mark_inside_a_word(void)
{
    static const int at[] = { 2, 5 };
    static const char *const say[] = { "/k 1", "/k 3" };
    begin(80, 24);
    plan.bytes = 3;                      /* " On", "e t", "wo ", "thr", "ee ", "fou": at byte 6, in "two", and at 15, before "four" */
    agt_close(a);
    agt_options o = { .model = "a script", .db = ":memory:", .answers = answers };
    char err[Q_ERRLEN];
    CHECK(agt_open(&o, &a, err) == 0);
    app.a = a;
    plan_turns(2, at, say);
    settle_app();
    agt_submit(a, "a short one");
    settle_app();
    CHECK(on_screen("One t⟨k\xC2\xA0" "2→1⟩wo three ⟨k\xC2\xA0" "1→3⟩ four five"));
    finish();
}

/* The meter says nothing before there are tokens enough, then what is above its noise. */
static void the_meter_waits_for_tokens(void)
{
    static const int at[] = { 30 };
    static const char *const say[] = { "/k 1" };
    begin(120, 40);
    plan_turns(1, at, say);
    settle_app();
    agt_submit(a, "a short one");        /* 20 tokens of the model's own */
    settle_app();
    CHECK(!on_screen("What b did"));
    agt_submit(a, "/k 1");
    settle_app();
    CHECK(on_screen("What b did") && on_screen("too few tokens yet"));
    agt_submit(a, "a short one");
    settle_app();
    CHECK(on_screen("50 → 100 ±.0"));    /* .02 s a token at k 2, .01 at k 1 */
    CHECK(!on_screen("too few tokens yet"));
    tui_app_resize(&app, 80, 24);
    CHECK(on_screen("tok/s 50 → 100 ±.0"));
    finish();
}

/* On a real terminal, for tests/tui/turned.test: the answer pauses by itself where something is to be turned. */
static void pause_at(void *user, int token)
{
    for (size_t i = 0; i < sizeof when / sizeof *when; i++)
        if (token == when[i])
            agt_pause(a, true);
}

static int live(const char *language)
{
    char err[Q_ERRLEN];
    static const char *const set[] = { "memory.on=off", "sampler.loop_stop=off" };
    tui_lang(language);
    plan = (script){ .line = lines, .at = pause_at, .token_s = .01 };
    agt_options o = { .model = "a script", .db = ":memory:", .set = set, .n_set = 2, .answers = answers };
    if (agt_open(&o, &a, err) < 0 || tui_run(a, &(tui_options){ 0 }, err) < 0) {
        printf("%s\n", err);
        return 1;
    }
    agt_close(a);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--live") == 0)
        return live(argv[2]);
    RUN(in_english);
    RUN(by_russians);
    RUN(a_difference_never_vanishes);
    RUN(opened_again);
    RUN(turned_before_the_first_word);
    RUN(a_mark_inside_a_word);
    RUN(a_mark_behind_the_text);
    RUN(the_meter_waits_for_tokens);
    return TEST_END();
}
