/* tests: F5, the panel of knobs: keys that turn, fold, find and widen, and what stands beside a value. */
#include "tests/test.h"
#include "tests/unit/app_help.h"
#include "tui/tui.h"
#include "tui/view/view.h"

#include <math.h>

static void downs(int n) { while (n-- > 0) key(K_DOWN); }

/* F5 is an instrument: arrows turn the selected knob, ? asks what it does, d goes back. */
static void knobs_are_turned_in_the_panel(void)
{
    begin();
    key(K_F5);
    key(K_RIGHT);
    key(K_LEFT);
    SAID("nudge +1\nnudge -1\n");
    downs(3);                            /* experts.ban, the head of positions, rope.theta */
    key(K_RIGHT);
    key(K_LEFT);
    SAID("submit /set rope.theta 200000\nsubmit /set rope.theta 50000\n");
    downs(4);                            /* norms, norm.eps, cache, kv.type */
    key(K_LEFT);                         /* the first choice: nothing before it */
    key(K_RIGHT);
    SAID("submit /set kv.type f32\n");
    downs(2);
    key(K_RIGHT);
    chr('?');
    chr(',');                            /* the same key on a Cyrillic layout */
    chr('d');
    chr(0x432);
    SAID("submit /set sampler.temperature 0.8\nsubmit /set sampler.temperature\nsubmit /set sampler.temperature\n"
         "submit /set sampler.temperature default\nsubmit /set sampler.temperature default\n");
    tui_app_free(&app);
}

/* Groups fold, each for itself, and stay so over a restart; on a head nothing is turned. */
static void groups_of_knobs_fold(void)
{
    begin();
    tui_app_resize(&app, 120, 40);
    key(K_F5);
    CHECK(on_screen("▾ experts and heads") && on_screen("experts.ban") && on_screen("▸ fixed by the weights  1") && !on_screen("model.layers"));
    chr('f');                            /* the group one is in */
    CHECK(on_screen("▸ experts and heads  2 *1") && !on_screen("experts.k ") && on_screen("rope.theta"));
    chr('d');
    chr('?');
    SAID("");
    key(K_RIGHT);
    CHECK(on_screen("▾ experts and heads") && on_screen("experts.k "));
    key(K_RIGHT);                        /* open it is already */
    CHECK(on_screen("▾ experts and heads"));
    key(K_LEFT);
    key(K_ENTER);
    key(K_ENTER);
    CHECK(on_screen("▸ experts and heads") && !on_screen("experts.k "));
    key(K_END);
    chr(0x430);                          /* f on a Cyrillic layout */
    CHECK(on_screen("▾ fixed by the weights") && on_screen("model.layers"));
    key(K_DOWN);
    key(K_RIGHT);                        /* fixed: no value to turn to */
    SAID("");
    tui_app_keep(&app);
    tui_app_free(&app);
    tui_app_init(&app, NULL, 120, 40);
    app.now = 1000;
    key(K_F5);
    CHECK(on_screen("▸ experts and heads") && on_screen("▾ fixed by the weights"));
    CHECK_INT(tui_cursor_of(&app, &view_config)->sel, 0);
    tui_app_free(&app);
}

/* "/" narrows the rows by name, config.json's name or help, folded groups too; Esc shows all again and only then leaves. */
static void knobs_are_found(void)
{
    begin();
    tui_app_resize(&app, 120, 40);
    key(K_F5);
    chr('/');
    keys_in("LAYERS");
    CHECK(on_screen("/LAYERS▌  1") && on_screen("model.layers") && !on_screen("rope.theta") && on_screen("Esc shows all"));
    CHECK_STR(app.comp.ed.b.p ? app.comp.ed.b.p : "", "");       /* nothing of it went into the composer */
    tui_key u = { .code = K_CHAR, .cp = CTRL_KEY('U') };
    tui_app_key(&app, &u);
    keys_in("rms_n");                    /* as config.json calls it */
    CHECK(on_screen("norm.eps") && !on_screen("model.layers"));
    tui_app_key(&app, &u);
    keys_in("likeliest");                /* by its help; the arrows turn what is found */
    key(K_RIGHT);
    SAID("submit /set sampler.temperature 0.8\n");
    tui_app_key(&app, &u);
    keys_in("лм.");                      /* kv. on a Cyrillic layout: the point is typed where / is, elsewhere it begins a search */
    CHECK(on_screen("/лм.▌  1") || on_screen("/лм.▌  0"));
    key(K_BACKSPACE);
    CHECK(on_screen("/лм▌  1") && on_screen("kv.type"));
    key(K_ENTER);                        /* kept, and letters are keys again */
    CHECK(on_screen("/лм  1") && on_screen("kv.type") && !on_screen("rope.theta"));
    chr('d');
    SAID("submit /set kv.type default\n");
    key(K_ESC);
    CHECK(app.go.focus == &view_config && on_screen("rope.theta") && on_screen("kv.type"));
    chr('d');                            /* the selection is where it was */
    SAID("submit /set kv.type default\n");
    chr('.');                            /* the key of / on a Cyrillic layout */
    keys_in("no such thing");
    CHECK(on_screen("No knob's name or help has that.") && app.knobs.found == 0);
    key(K_DOWN);
    key(K_LEFT);
    SAID("");
    key(K_ESC);
    key(K_ESC);
    CHECK(!app.go.focus && !on_screen("Config"));
    key(K_F5);
    chr('/');
    for (int i = 0; i < 200; i++) chr(i % 2 ? 0x44F : 'a');      /* no more than there is room for */
    CHECK(strlen(app.knobs.filter) < sizeof app.knobs.filter && q_utf8_valid(app.knobs.filter, strlen(app.knobs.filter)));
    for (int i = 0; i < 200 && app.knobs.typing; i++) key(K_BACKSPACE);
    CHECK(!app.knobs.typing && on_screen("rope.theta"));
    tui_app_free(&app);
}

/* Columns for which there is room, in the order of what they are worth; of the selected knob the rest is said below. */
static void what_a_knob_did_is_beside_it(void)
{
    begin();
    answer(1, "Yes.");
    answer(3, "No.");
    fake_turn[0].yes = fake_turn[1].yes = fake_turn[2].yes = fake_turn[5].yes = true;
    fake_turn[0].t = (agt_knob_turn){ 4, 37, { { 66, 77, 4, 36, 142 }, { 1.8, 1.9, .4, 36, 142 }, { NAN, NAN, NAN, 0, 0 }, { NAN, NAN, NAN, 0, 0 } } };
    fake_turn[1].t = (agt_knob_turn){ 2, 9, { { 66, 77, NAN, 9, 3 } } };
    fake_turn[2].t = (agt_knob_turn){ 0, 1, { { 0, 0, NAN, 0, 0 } } };
    fake_turn[5].t = (agt_knob_turn){ 99, 5, { { 0, 0, NAN, 0, 0 } } };
    tui_app_resize(&app, 80, 40);
    key(K_F5);
    CHECK(on_screen("Config F5") && on_screen("value   default since token  what it did") && !on_screen("rms_norm_eps"));
    CHECK(on_screen("experts.k                         12        12          37  tok/s 66→77 ±4\n"));
    CHECK(on_screen("100000    100000         1:9  too few yet"));
    CHECK(on_screen("0.7       0.2        next\n") && on_screen("elsewhere\n"));
    CHECK(on_screen("since token 37") && on_screen("config.json: num_experts_per_tok"));
    tui_app_resize(&app, 140, 40);       /* no room for all */
    CHECK(!on_screen("since token  what") && on_screen("since token 37") && on_screen("tok/s 66→77 ±4"));
    chr('z');
    CHECK(on_screen("since token  what it did") && app.lay.transcript.w == LAY_TEXT_LEAST);
    chr('z');
    tui_app_resize(&app, 230, 40);
    CHECK(on_screen("since token  what it did") && app.lay.transcript.w == LAY_TEXT);
    q_buf b = {0};
    static const struct { int cells; const char *said; } fits[] = { { 10, "…" }, { 11, "tok/s 66→77" }, { 14, "tok/s 66→77 ±4" }, { 30, "tok/s 66→77 ±4" },
                                                                    { 33, "tok/s 66→77 ±4 · surprise 1.8→1.9" }, { 60, "tok/s 66→77 ±4 · surprise 1.8→1.9 ±.4" } };
    for (size_t i = 0; i < sizeof fits / sizeof *fits; i++) {
        bool sure = view_effect_words(fake_turn[0].t.of, fits[i].cells, &b);
        CHECK_STR(b.p, fits[i].said);
        CHECK(sure == (i > 0) && tui_str_width(b.p) <= fits[i].cells);
    }
    q_buf_free(&b);
    chr('z');
    CHECK(on_screen("what it did") && on_screen("config.json\n") && on_screen("  num_experts_per_tok\n") && on_screen("  rms_norm_eps\n"));
    key(K_ESC);
    tui_app_draw(&app);
    CHECK(app.lay.instead.w == 0 && app.lay.upper.w == LAY_PANEL && !app.go.zoom);
    memset(fake_turn, 0, sizeof fake_turn);
    tui_app_free(&app);
}

/* A help that is longer than its place ends in the key that shows all of it. */
static void a_long_help_is_cut_with_a_sign(void)
{
    static const struct { int w, h; } size[] = { { 80, 24 }, { 120, 36 } };
    char help[1200] = "";
    while (strlen(help) < 1100) strcat(help, "rotations ");
    strcat(help, "end-of-it");
    for (int i = 0; i < 2; i++) {
        begin();
        tui_app_resize(&app, size[i].w, size[i].h);
        key(K_F5);
        downs(3);
        CHECK_MSG(on_screen("base of the rotations") && !on_screen("… ?"), "%dx%d", size[i].w, size[i].h);
        fake_help = help;
        CHECK_MSG(on_screen("rotations rotations") && on_screen("… ?") && !on_screen("end-of-it"), "%dx%d", size[i].w, size[i].h);
        fake_help = NULL;
        tui_app_free(&app);
    }
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    tui_lang("en");
    RUN(knobs_are_turned_in_the_panel);
    RUN(groups_of_knobs_fold);
    RUN(knobs_are_found);
    RUN(what_a_knob_did_is_beside_it);
    RUN(a_long_help_is_cut_with_a_sign);
    return TEST_END();
}
