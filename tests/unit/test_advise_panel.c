/* The panel of advice: whole screens at 80, 120 and 200 columns in both languages, small windows, its keys, no model, a server, a machine that
 * nothing fits, and one that is not measured yet; what adv_about_read counts of a file beside adv_fit_file. */
#include "tests/unit/app_help.h"
#include "tests/unit/saved_screen.h"
#include "tests/engine_util.h"

static void open_at(int w, int h, const char *machine)
{
    fake_machine = machine;
    begin();
    fake.st.rate.decode = 12.4;
    tui_app_resize(&app, w, h);
    tui_act(&app, AGT_UI_ADVISE, "");
    ev((agt_event){ .kind = AGT_EV_ADVICE });
}

static void screens(void)
{
    static const struct { int w, h; const char *machine; } size[] = { { 80, 24, "cpu-64g" }, { 120, 40, "4090" }, { 200, 50, "rtx-pro-6000" } };
    for (int i = 0; i < 3; i++) {
        open_at(size[i].w, size[i].h, size[i].machine);
        SAID("advice\n");
        compare("advise");
        tui_app_free(&app);
    }
}

static void english(void) { screens(); }
static void russian(void) { in_russian(screens); }

/* The words first, all of it reachable, and no row longer than the window, whatever its size. */
static void at_every_size(void)
{
    for (int w = 30; w <= 230; w += 9)
        for (int h = 8; h <= 50; h += 14) {
            open_at(w, h, "4090");
            const bool small = w < 60 || h < 20;         /* "below 60x20": no panels */
            bool best = false, loaded = false, other = false, row = false, here = false;
            for (int i = 0; i < 140; i++) {
                char *s = screen();
                if (i == 0) best = strstr(s, "Take GLM") != NULL;
                loaded |= strstr(s, "Loaded: ") != NULL;
                other |= strstr(s, "Why not another") != NULL;
                row |= strstr(s, "> GLM") != NULL;
                here |= strstr(s, "This machine") != NULL;
                key(K_DOWN);
            }
            CHECK_MSG(small || (best && loaded && other && row && here), "%dx%d: %d %d %d %d %d\n%s", w, h, best, loaded, other, row, here, screen());
            tui_app_free(&app);
        }
}

static void keys(void)
{
    open_at(120, 40, "4090");
    q_buf_clear(&fake.said);
    chr('r');
    SAID("advice anew\n");
    chr(0x435);                                  /* t on the other layout */
    SAID("submit /advise text\n");
    CHECK_MSG(on_screen("r measure again") && on_screen("Take "), "%s", screen());
    ev((agt_event){ .kind = AGT_EV_READY, .name = q_strdup("m") });
    SAID("advice\n");
    key(K_ESC);
    CHECK(!on_screen("Take "));
    ev((agt_event){ .kind = AGT_EV_READY, .name = q_strdup("m") });
    SAID("");                                    /* nobody looks */
    chr(CTRL_KEY('X'));
    chr('a');
    SAID("advice\n");
    CHECK(on_screen("Take "));
    tui_app_free(&app);
}

static void told(void)
{
    open_at(200, 60, "cpu-64g");
    CHECK_MSG(on_screen("12 measured at the last answer") && on_screen("k 16") && on_screen("own"), "%s", screen());
    fake.st.rate.decode = 0;
    ev((agt_event){ .kind = AGT_EV_ADVICE });
    CHECK_MSG(on_screen("an answer measures it"), "%s", screen());
    snprintf(fake.st.model, sizeof fake.st.model, "@server/m");
    ev((agt_event){ .kind = AGT_EV_ADVICE });
    CHECK_MSG(on_screen("It runs on a server") && on_screen("Take "), "%s", screen());
    memset(&fake.st, 0, sizeof fake.st);
    ev((agt_event){ .kind = AGT_EV_ADVICE });
    CHECK_MSG(on_screen("None is loaded: /model") && on_screen("Take "), "%s", screen());
    tui_app_free(&app);
    open_at(80, 24, NULL);
    CHECK_MSG(on_screen("Measures how fast"), "%s", screen());
    ev((agt_event){ .kind = AGT_EV_ADVICE, .flag = true });
    CHECK_MSG(on_screen("An answer runs"), "%s", screen());
    q_buf_clear(&fake.said);
    answer(1, "done");                           /* it has ended: the panel asks again */
    CHECK_MSG(strstr(fake.said.p, "advice\n"), "%s", fake.said.p);
    tui_app_free(&app);
}

/* A file's numbers at each k are those of a fit at that k; the words, the page and the JSON say them. */
static void of_a_file(void)
{
    char err[Q_ERRLEN], *path = util_model("qwen3moe");
    adv_machine m;
    adv_about a, b;
    q_buf text = { 0 }, json = { 0 };
    CHECK(adv_machine_find("cpu-8g", &m, err) == Q_OK);
    CHECK_MSG(adv_about_read(path, "tiny.gguf", &m, &a, err) == Q_OK, "%s", err);
    CHECK(a.n > 10 && a.n_k > 1 && a.token > 0);
    for (int i = 0; i < a.n_k; i++) {
        adv_fit f;
        CHECK(adv_fit_file(path, &(adv_wish){ .k = a.k[i] }, &m, &f, err) == Q_OK);
        CHECK(a.decode[i] == f.decode && a.read[i] == eng_energy_bytes(&f.costs, a.k[i]) && (i == 0 || (a.k[i] > a.k[i - 1] && a.read[i] > a.read[i - 1])));
    }
    a.measured = 3.5;
    adv_about_copy(&a, &b);
    adv_about_free(&a);
    adv_say_about(&b, true, 80, &text);
    adv_json_about(&b, true, &json);
    CHECK_MSG(strncmp(text.p, "Take ", 5) == 0 && strstr(text.p, "tiny.gguf lies in RAM here") && strstr(text.p, "Its last answer ran at 3.5 tokens/s.") && strstr(text.p, "Why not another"), "%s", text.p);
    CHECK(strstr(json.p, "\"model\":\"tiny.gguf\"") && strstr(json.p, "\"measured\":3.5") && strstr(json.p, "\"models\":[{") && strstr(json.p, "\"read_at_k\":{\"1\":"));
    for (const char *s = text.p; *s; s += strcspn(s, "\n") + (s[strcspn(s, "\n")] == '\n')) CHECK_MSG(tui_text_width(s, strcspn(s, "\n")) <= 80, "%s", s);
    adv_about_free(&b);
    CHECK_MSG(adv_about_read("no such file", "x", &m, &a, err) < 0 && a.n == 0, "%s", err);
    adv_about_free(&a);
    q_buf_free(&text);
    q_buf_free(&json);
    free(path);
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    tui_lang("en");
    RUN(english);
    if (access("po/ru.po", R_OK) == 0) RUN(russian);
    RUN(at_every_size);
    RUN(keys);
    RUN(told);
    RUN(of_a_file);
    return TEST_END();
}
