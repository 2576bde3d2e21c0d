/* tests: whole screens from scripted events and keys, compared with saved ones in tests/golden/screens, in English and
 * Russian, at 80, 120 and 160 columns. UPDATE=1 rewrites them: then look at every one. */
#include "tests/unit/fake_agent.h"
#include "tests/test.h"
#include "tui/model/app.h"
#include "tui/tui.h"

#include <signal.h>
#include <unistd.h>

static tui_app app;
static const char *lang = "en";

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

static void compare(const char *name)
{
    q_buf got = {0}, want = {0};
    char err[Q_ERRLEN], *path = q_printf("tests/golden/screens/%s_%d_%s.txt", name, app.grid.w, lang);
    tui_app_draw(&app);
    tui_grid_text(&app.grid, &got);
    if (getenv("UPDATE")) CHECK(q_write_file_atomic(path, got.p, got.len, err) == 0);
    else if (q_read_file(path, &want, 1 << 20, err) < 0) CHECK_MSG(0, "%s", err);
    else if (want.len != got.len || memcmp(want.p, got.p, got.len) != 0) CHECK_MSG(0, "%s differs, now:\n%s", path, got.p);
    q_buf_free(&got);
    q_buf_free(&want);
    free(path);
}

static void fill_first(void)
{
    fake_model();
    fake.st.n_mix = 0;
    fake.st.ctx_used = 0;
    fake.st.decode_rate = 0;
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

static const struct { int w, h; } sizes[] = { { 80, 24 }, { 120, 40 }, { 160, 45 } };
#define EACH_SIZE for (int z = 0; z < 3; z++)

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
        key(K_F4);
        compare("memory");
        key(K_F5);
        compare("config");
        key(K_F1);
        compare("help");
        key(K_ESC);
        ev((agt_event){ .kind = AGT_EV_NOTE, .level = AGT_ERROR, .text = q_strdup("The model needs 17.3 GiB and 12.1 GiB are free: use a smaller quantisation, or a model that fits (/model lists what is here).") });
        compare("error");
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

static void english(void) { lang = "en";
    tui_lang("en");
    screens(); many_experts(); }
static void russian(void)
{
    lang = "ru";
    tui_lang("ru");
    if (strcmp(_("you"), "you") == 0) { CHECK_MSG(0, "no Russian catalogue: is gettext installed?"); return; }
    screens();
    many_experts();
    tui_lang("en");
    lang = "en";
}

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
    RUN(all_sizes);
    return TEST_END();
}
