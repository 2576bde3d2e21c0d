/* Zooms of the experts panel: a layer's load and an expert's tokens from planted records, counted by hand; damaged records; the
 * pages on whole screens in both languages, and their keys. */
#include "lab/parts.h"
#include "memory/memory.h"
#include "tests/unit/app_help.h"
#include "tests/unit/saved_screen.h"

#include <cjson/cJSON.h>

/* ================= the numbers ================= */
enum { L = 4, K = 2, N = 4 };            /* layer 0 routes nothing */
static char err[Q_ERRLEN];
static mem_store *store;
static const char *const word[] = { "The", " river", " runs", " to", " the", " sea", "\xD0", "\xB1" };

static void spell(void *user, int32_t id, q_buf *out) { q_buf_puts(out, word[id]); }

/* Experts of layers 1 to 3 for one token, "23 01 12": two each. */
static void add(mem_trace *t, int32_t token, int pos, bool prompt, const char *experts)
{
    uint16_t id[L][K];
    float w[L][K], entropy[L] = { 0 }, margin[L] = { 0 };
    for (int l = 0; l < L; l++)
        for (int s = 0; s < K; s++) {
            id[l][s] = l ? (uint16_t)(experts[(l - 1) * 3 + s] - '0') : 0xFFFF;
            w[l][s] = s ? .25f : .75f;
        }
    mem_trace_add(t, token, pos, 1, prompt, K, &id[0][0], &w[0][0], entropy, margin);
}

static int64_t keep(int64_t chat, const char *text, mem_trace *t)
{
    int64_t id = 0;
    CHECK_MSG(mem_reply_begin(store, chat, 0, "m", 1, 1, "{}", "", &id, err) == 0 && mem_reply_end(store, id, MEM_DONE, "", text, strlen(text), "", 0,
              &(mem_stats){ .tokens = t->n }, t, err) == 0, "%s", err);
    mem_trace_free(t);
    return id;
}

static int64_t answer_of[2];
static void plant(void)
{
    int64_t chat;
    CHECK(mem_open(":memory:", &store, err) == 0 && mem_conversation_new(store, "", &chat, err) == 0);
    mem_trace *t = mem_trace_new(L, K);
    add(t, 5, 9, true, "33 33 33");          /* of the prompt: not counted */
    add(t, 0, 10, false, "01 23 01");        /* The    */
    add(t, 1, 11, false, "01 03 01");        /* river  */
    add(t, 2, 12, false, "23 01 12");        /* runs   */
    add(t, 3, 13, false, "23 01 12");        /* to     */
    add(t, 4, 14, false, "02 31 03");        /* the    */
    add(t, 1, 15, false, "01 13 02");        /* river: with the smaller weight */
    answer_of[0] = keep(chat, "The river\nruns", t);
    t = mem_trace_new(L, K);
    add(t, 4, 10, false, "02 12 13");        /* the    */
    add(t, 1, 11, false, "01 31 01");        /* river  */
    add(t, 6, 12, false, "12 02 02");        /* half a character, */
    add(t, 7, 13, false, "12 02 02");        /* and the other half */
    answer_of[1] = keep(chat, "the river \xD0\xB1", t);
}

static lab_zoom_terms terms(int layer, int expert)
{
    return (lab_zoom_terms){ .message = answer_of, .n = 2, .n_expert = N, .layer = layer, .expert = expert, .spell = spell };
}

static void a_layer(void)
{
    lab_zoom z;
    lab_zoom_terms t = terms(2, -1);
    CHECK_MSG(lab_zoom_of(store, &t, &z, err) == 0, "%s", err);
    /* layer 2: 0 runs for 5, 1 for 6, 2 for 4, 3 for 5 of 10 tokens */
    static const double load[N] = { .5, .6, .4, .5 };
    for (int e = 0; e < N; e++) CHECK_MSG(fabs(z.load.load[e] - load[e]) < 1e-12, "%d: %g", e, z.load.load[e]);
    double entropy = 0;
    for (int e = 0; e < N; e++) entropy -= load[e] / 2 * log(load[e] / 2);
    CHECK(fabs(z.load.entropy - entropy / log(N)) < 1e-12 && fabs(z.load.peak - .6 / .5) < 1e-12 && fabs(z.load.k - 2) < 1e-12);
    CHECK_MSG(fabs(z.load.gini - .075) < 1e-12, "%g", z.load.gini);      /* .4 .5 .5 .6: 2 (.4 + 2 .5 + 3 .5 + 4 .6) / (4 2) - 5/4 */
    CHECK(z.tokens == 10 && z.n_expert == N && z.n_answer == 2 && z.answer[0].tokens == 6 && z.answer[1].tokens == 4);
    CHECK_STR(z.answer[0].begins, "The river runs");
    bool found = false;
    for (int i = 0; i < z.load.n_couple; i++)
        found |= z.load.couple[i].a == 1 && z.load.couple[i].b == 3 && z.load.couple[i].together == 3;
    CHECK(found);                        /* 31, 13, 31 */
    /* 23 03 01 01 31 13: 1 1 2 1 2 run again; 12 31 02 02: 1 0 2. Of 8 neighbours with 2 experts each */
    CHECK_MSG(fabs(z.load.repeat - 10 / 16.0) < 1e-12, "%g", z.load.repeat);
    q_buf said = { 0 };
    lab_zoom_say(&z, NULL, 80, &said);
    CHECK_MSG(strstr(said.p, "layer 2: 10 tokens of 2 answers") && strstr(said.p, "Gini 0.075") && strstr(said.p, "\n      1   0.600     1.20\n      0   0.500     1.00\n"), "%s", said.p);
    CHECK(!strstr(said.p, "rate"));
    q_buf_free(&said);
    cJSON *j = lab_zoom_json(&z);
    CHECK(cJSON_GetArraySize(cJSON_GetObjectItem(j, "load")) == N && cJSON_GetObjectItem(j, "gini")->valuedouble == z.load.gini && !cJSON_GetObjectItem(j, "often"));
    cJSON_Delete(j);
    lab_zoom_free(&z);
}

static void an_expert(void)
{
    lab_zoom z;
    lab_zoom_terms t = terms(2, 3);
    CHECK_MSG(lab_zoom_of(store, &t, &z, err) == 0, "%s", err);
    CHECK(z.ran == 5 && z.answer[0].ran == 4 && z.answer[1].ran == 1);
    /* " river" 3 of 3, "The" 1 of 1, " the" 1 of 2: as often, the one that came less often first */
    CHECK(z.n_token == 3 && z.token[0].id == 1 && z.token[0].ran == 3 && z.token[0].of == 3 && z.token[1].id == 0 && z.token[2].id == 4 && z.token[2].of == 2);
    CHECK(fabs(z.token[0].chance - 1.5) < 1e-12 && fabs(z.token[0].weight - (.25 + .25 + .75) / 3) < 1e-7);
    /* its weight was largest in the second answer; the first token of an answer has nothing before it; half a character is no text */
    CHECK(z.token[0].answer == 1 && z.token[0].at == 2);
    CHECK_STR(z.token[0].before, " the");
    CHECK_STR(z.token[0].text, " river");
    CHECK_STR(z.token[0].after, "\xD0\xB1");
    CHECK(z.token[1].answer == 0 && z.token[1].at == 2);                 /* the record's second: the prompt's stands before it */
    CHECK_STR(z.token[1].before, " sea");
    CHECK_STR(z.token[2].after, " river");
    /* beside: layer 1's 0 runs for 6 of 10, with it for 5, by chance 3; layer 3's 0 for 6, with it 5; its 3 for 2, with it 1: by chance 1 */
    bool above = false, below = false;
    for (int i = 0; i < z.n_met; i++) {
        const lab_zoom_met *m = &z.met[i];
        CHECK(m->layer == 1 || m->layer == 3);
        CHECK(i == 0 || z.met[i - 1].layer <= m->layer);
        above |= m->layer == 1 && m->expert == 0 && m->together == 5 && fabs(m->chance - 3) < 1e-12;
        below |= m->layer == 3 && m->expert == 0 && m->together == 5 && fabs(m->chance - 3.5) < 1e-12;
    }
    CHECK(above && below);
    q_buf said = { 0 };
    lab_zoom_say(&z, NULL, 80, &said);
    CHECK_MSG(strstr(said.p, "layer 2, expert 3: 10 tokens of 2 answers") && strstr(said.p, "it ran for 5 tokens, a share of 0.500; an even share is 0.500") &&
              strstr(said.p, " the[ river]\xD0\xB1\n") && strstr(said.p, "  layer 1: e0 5 (3.0)"), "%s", said.p);
    for (int columns = 30; columns <= 300; columns++) {                  /* no line is wider */
        q_buf_clear(&said);
        lab_zoom_say(&z, NULL, columns, &said);
        for (const char *p = said.p; *p; p += strcspn(p, "\n") + 1)
            if (strpbrk(p, "[\n") == strchr(p, '[')) CHECK_MSG(tui_text_width(p, strcspn(p, "\n")) <= columns, "%d: %.*s", columns, (int)strcspn(p, "\n"), p);
    }
    q_buf_free(&said);
    lab_zoom_free(&z);
    /* one that runs for half a character: its bytes are seen */
    t = terms(2, 0);
    CHECK(lab_zoom_of(store, &t, &z, err) == 0);
    bool half = false;
    for (int i = 0; i < z.n_token; i++) half |= strcmp(z.token[i].text, "\\xD0") == 0 || strcmp(z.token[i].text, "\\xd0") == 0;
    CHECK(half);
    lab_zoom_free(&z);
    /* nobody can spell */
    t = terms(1, 2);
    t.spell = NULL;
    CHECK(lab_zoom_of(store, &t, &z, err) == 0 && z.n_token && !*z.token[0].text);
    q_buf named = { 0 };
    lab_zoom_say(&z, NULL, 80, &named);
    CHECK_MSG(strstr(named.p, "[id 4]"), "%s", named.p);
    for (int i = 0; i < z.n_met; i++) CHECK(z.met[i].layer == 2);        /* layer 0 routes nothing */
    q_buf_free(&named);
    lab_zoom_free(&z);
}

static void what_is_not_there(void)
{
    static const struct { int layer, expert, rc; const char *says; } bad[] = {
        { 0, -1, Q_RANGE, "1 to 3" }, { 4, -1, Q_RANGE, "1 to 3" }, { 1 << 30, -1, Q_RANGE, "1 to 3" }, { -1, -1, Q_RANGE, "1 to 3" }, { 2, 4, Q_RANGE, "0 to 3" } };
    lab_zoom z;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lab_zoom_terms t = terms(bad[i].layer, bad[i].expert);
        CHECK_INT(lab_zoom_of(store, &t, &z, err), bad[i].rc);
        CHECK_MSG(strstr(err, bad[i].says) != NULL, "%s", err);
    }
    lab_zoom_terms t = terms(2, -1);
    t.n = 0;
    CHECK_INT(lab_zoom_of(store, &t, &z, err), Q_NOTFOUND);
    t = terms(2, 1);
    t.n_expert = 3;                      /* the record names a fourth */
    CHECK_INT(lab_zoom_of(store, &t, &z, err), Q_FORMAT);
    const int64_t gone[] = { answer_of[0], 999 };
    t = terms(2, 1);
    t.message = gone;
    CHECK_INT(lab_zoom_of(store, &t, &z, err), Q_NOTFOUND);
    t = terms(2, -1);
    t.n_expert = 0;                      /* not known: as many as were seen */
    CHECK(lab_zoom_of(store, &t, &z, err) == 0 && z.n_expert == 4);
    lab_zoom_free(&z);
}

static bool at_most(void *user, int done, int total)
{
    CHECK(done >= 0 && done < total);
    return --*(int *)user >= 0;
}

/* Over all stored conversations: the newest answers first, as many as hold so many tokens; what cannot be read is passed over. */
static void all_conversations(void)
{
    int64_t chat, gone, *id, third;
    int n, of;
    CHECK(mem_conversation_new(store, "", &chat, err) == 0 && mem_conversation_new(store, "", &gone, err) == 0);
    mem_trace *t = mem_trace_new(L, K);
    add(t, 1, 4, false, "01 23 01");
    keep(gone, "deleted", t);
    t = mem_trace_new(L, K);
    add(t, 1, 4, false, "01 23 01");
    add(t, 3, 5, false, "01 03 01");
    third = keep(chat, "river to", t);
    CHECK(mem_traced(store, 1, 99, &id, &n, &of, err) == 0 && n == 4 && of == 4);
    free(id);
    CHECK(mem_conversation_delete(store, gone, err) == 0 && mem_traced(store, 1, 99, &id, &n, &of, err) == 0);
    CHECK(n == 3 && of == 3 && id[0] == answer_of[0] && id[1] == answer_of[1] && id[2] == third);
    lab_zoom z;
    lab_zoom_terms terms_ = { .message = id, .n = n, .n_expert = N, .layer = 2, .expert = 3, .spell = spell, .most = 100 };
    CHECK_MSG(lab_zoom_of(store, &terms_, &z, err) == 0, "%s", err);
    CHECK(z.all && z.n_answer == 3 && z.tokens == 12 && z.ran == 7 && z.not_read == 0 && z.answer[0].message == answer_of[0] && z.answer[2].chat == chat);
    CHECK(z.token[0].id == 1 && z.token[0].ran == 4 && z.token[0].of == 4);
    q_buf said = { 0 };
    lab_zoom_say(&z, NULL, 80, &said);
    CHECK_MSG(strstr(said.p, "12 tokens of 3 answers of all conversations\n") && strstr(said.p, "  chat  tokens") && !strstr(said.p, "not looked at"), "%s", said.p);
    cJSON *j = lab_zoom_json(&z);
    CHECK(cJSON_IsTrue(cJSON_GetObjectItem(j, "all")) && cJSON_GetObjectItem(j, "not_looked_at")->valueint == 0);
    cJSON_Delete(j);
    lab_zoom_free(&z);
    terms_.most = 3;                     /* the newest has two, the one before it four more: then there are enough */
    CHECK(lab_zoom_of(store, &terms_, &z, err) == 0 && z.n_answer == 2 && z.tokens == 6 && z.not_read == 1 && z.answer[1].message == third);
    q_buf_clear(&said);
    lab_zoom_say(&z, NULL, 80, &said);
    CHECK_MSG(strstr(said.p, "the newest ones: 1 older answer was not looked at"), "%s", said.p);
    lab_zoom_free(&z);
    int left = 1;
    terms_.most = 100;
    terms_.go_on = at_most;
    terms_.user = &left;
    CHECK(lab_zoom_of(store, &terms_, &z, err) == Q_CANCEL && strstr(err, "stopped after 1 of 3 answers"));
    terms_.go_on = NULL;
    const int64_t with[] = { id[0], 12345, id[1], id[2] };           /* deleted meanwhile */
    terms_.message = with;
    terms_.n = 4;
    CHECK(lab_zoom_of(store, &terms_, &z, err) == 0 && z.n_answer == 3 && z.damaged == 0);
    lab_zoom_free(&z);
    terms_.n = 0;
    CHECK(lab_zoom_of(store, &terms_, &z, err) == Q_NOTFOUND && strstr(err, "of this model"));
    free(id);
    CHECK(mem_traced(store, 1, 2, &id, &n, &of, err) == 0 && n == 2 && of == 3 && id[0] == answer_of[1] && id[1] == third);
    free(id);
    CHECK(mem_traced(store, 77, 2, &id, &n, &of, err) == 0 && n == 0 && of == 0);
    free(id);
    q_buf_free(&said);
}

/* ================= the screen ================= */
static lab_zoom *scripted(int layer, int expert)
{
    lab_zoom *z = q_alloc(sizeof *z);
    *z = (lab_zoom){ .layer = layer, .expert = expert, .tokens = 312, .n_expert = 16, .n_answer = 2, .left_out = 1 };
    z->load = (lab_layer_load){ .layer = layer, .k = 12, .entropy = .984, .gini = .117, .peak = 1.28, .repeat = .812, .repeat_chance = .764, .n_couple = 3 };
    z->load.couple[0] = (lab_couple){ 3, 9, 201, 171.4 };
    z->load.couple[1] = (lab_couple){ 0, 14, 188, 166.2 };
    z->load.couple[2] = (lab_couple){ 5, 7, 240, 220.9 };
    z->load.load = q_alloc(sizeof(double) * 17);
    for (int e = 0; e < 16; e++) z->load.load[e] = .96 - .028 * ((e * 7) % 16);
    z->answer = q_alloc(2 * sizeof *z->answer);
    z->answer[0] = (lab_zoom_answer){ 2, 1, q_strdup("Sunlight meets molecules of air, which scatter short waves"), 208, expert < 0 ? 0 : 131 };
    z->answer[1] = (lab_zoom_answer){ 4, 1, q_strdup("Небо на закате красное, потому что путь длиннее"), 104, expert < 0 ? 0 : 60 };
    if (expert < 0) return z;
    z->ran = 191;
    z->n_token = 3;
    z->token[0] = (lab_zoom_token){ 28, 11, 13, 0, 14, 8, .31, q_strdup(" molecules of air, which scatter"), q_strdup(" short"), q_strdup(" waves far more than long ones") };
    z->token[1] = (lab_zoom_token){ 30, 6, 6, 1, 9, 3.7, .274, q_strdup("Небо на закате"), q_strdup(" красное"), q_strdup(", потому что путь") };
    z->token[2] = (lab_zoom_token){ 2, 1, 40, 0, 1, 24.5, .02, q_strdup(""), q_strdup("\\n"), q_strdup("Sunlight meets") };
    z->n_met = 4;
    z->met[0] = (lab_zoom_met){ layer - 1, 4, 170, 140.2 };
    z->met[1] = (lab_zoom_met){ layer - 1, 11, 150, 139 };
    z->met[2] = (lab_zoom_met){ layer + 1, 0, 166, 150.1 };
    z->met[3] = (lab_zoom_met){ layer + 1, 13, 120, 111.9 };
    return z;
}

static lab_zoom *everywhere(int layer, int expert)
{
    lab_zoom *z = scripted(layer, expert);
    z->all = true;
    z->left_out = 0;
    z->not_read = 7;
    return z;
}

static void tell(int layer, int expert) { ev((agt_event){ .kind = AGT_EV_ZOOM, .number = layer, .token = expert, .zoom = scripted(layer, expert) }); }

static void open_layer(int w, int h)
{
    begin();
    tui_app_resize(&app, w, h);
    answer(1, "because");
    tui_app_draw(&app);
    key(K_F3);
    q_buf_clear(&fake.said);
    q_buf_puts(&fake.said, "");
    key(K_ENTER);
    SAID("zoom 27 -1\n");
}

static void screens(void)
{
    static const struct { int w, h; } size[] = { { 80, 24 }, { 120, 40 }, { 200, 50 } };
    for (int i = 0; i < 3; i++) {
        open_layer(size[i].w, size[i].h);
        tell(27, -1);
        compare("layer");
        key(K_ENTER);
        SAID("zoom 27 0\n");
        tell(27, 0);
        compare("expert");
        tui_app_free(&app);
    }
}

static void english(void) { screens(); }
static void russian(void) { in_russian(screens); }

static void keys(void)
{
    open_layer(120, 40);
    CHECK(on_screen("Layer 27") && on_screen("are being read") && on_screen("times"));      /* what is known already is there */
    tell(26, -1);                        /* an answer that comes too late is of another layer */
    tell(27, 3);
    CHECK(on_screen("are being read"));
    tell(27, -1);
    CHECK(!on_screen("are being read") && on_screen("Gini 0.117") && on_screen("3+9 201 (171.4)"));
    key(K_LEFT);
    SAID("zoom 26 -1\n");
    CHECK(on_screen("Layer 26") && on_screen("are being read"));
    ev((agt_event){ .kind = AGT_EV_ZOOM, .number = 26, .token = -1, .text = q_strdup("no routing yet: ask something") });
    CHECK(on_screen("no routing yet: ask something"));
    for (int i = 0; i < 5; i++) key(K_RIGHT);                            /* 29 is the last */
    SAID("zoom 27 -1\nzoom 28 -1\nzoom 29 -1\n");
    tell(29, -1);
    keys_in("jj");
    CHECK(tui_cursor_of(&app, &view_layer)->sel == 2);
    key(K_END);
    key(K_UP);
    key(K_ENTER);                        /* the last but one by its share: 7 e mod 16 = 14 for e = 2 */
    SAID("zoom 29 2\n");
    CHECK(on_screen("Layer 29, expert 2") && on_screen("looked up behind what the model is doing"));
    tell(29, 2);
    CHECK(on_screen("[ short] waves") && on_screen("layer 28: e4 170 (140.2)") && on_screen("1 answer of another model is left out"));
    key(K_RIGHT);                        /* the next one by its share */
    SAID("zoom 29 9\n");
    CHECK(on_screen("Layer 29, expert 9"));
    key(K_RIGHT);
    SAID("");                            /* there is none */
    ev((agt_event){ .kind = AGT_EV_DONE, .n_messages = 1, .message = fake_message(2, AGT_ASSISTANT, "because") });
    SAID("zoom 29 -1\nzoom 29 9\n");     /* an answer more */
    keys_in("a");                        /* over all conversations, and the layer too for when it is seen again */
    SAID("zoom 29 -1 all\nzoom 29 9 all\n");
    CHECK(on_screen("of all conversations are being read"));
    tell(29, 9);                         /* of this one: it comes too late */
    CHECK(on_screen("of all conversations are being read"));
    ev((agt_event){ .kind = AGT_EV_ZOOM, .number = 29, .token = 9, .flag = true, .zoom = everywhere(29, 9) });
    ev((agt_event){ .kind = AGT_EV_ZOOM, .number = 29, .token = -1, .flag = true, .zoom = everywhere(29, -1) });
    CHECK(on_screen("of 2 answers of all conversations") && on_screen("7 older answers were not looked at"));
    ev((agt_event){ .kind = AGT_EV_DONE, .n_messages = 1, .message = fake_message(2, AGT_ASSISTANT, "because") });
    SAID("");                            /* that is not gone through anew for each answer */
    key(K_ESC);
    CHECK(on_screen("Of all conversations: 2 answers, the newest; 7 older ones were not looked at"));
    keys_in("a");
    SAID("zoom 29 -1\n");
    tell(29, -1);
    CHECK(!on_screen("Of all conversations"));
    key(K_ENTER);
    SAID("zoom 29 9\n");
    tell(29, 9);
    key(K_ESC);
    CHECK(app.go.over == &view_layer && on_screen("Gini") && !on_screen("expert 9 "));
    key(K_ESC);
    CHECK(app.go.focus == &view_experts && !on_screen("Gini"));
    tui_app_free(&app);
}

static void at_every_width(void)
{
    for (int w = 30; w <= 300; w += w < 130 ? 1 : 17) {
        open_layer(w, 24);
        tell(27, -1);
        CHECK_MSG(on_screen("27"), "%d: %s", w, screen());
        key(K_ENTER);
        tell(27, 0);
        app.ui.glyphs = false;
        CHECK_MSG(on_screen("27"), "%d: %s", w, screen());
        key(K_END);
        for (int i = 0; i < 40; i++) key(K_DOWN);
        tui_app_draw(&app);
        CHECK(app.zoom.top < 40);
        tui_app_free(&app);
    }
}

/* The smallest window: what was selected is on the screen. */
static void in_a_small_window(void)
{
    open_layer(30, 8);
    tell(27, -1);
    key(K_END);
    CHECK_MSG(on_screen("▸      9"), "%s", screen());
    key(K_ENTER);
    SAID("zoom 27 9\n");
    tell(27, 9);
    for (int i = 0; i < 60; i++) key(K_DOWN);
    CHECK_MSG(on_screen("layer 28: e0 166"), "%s", screen());
    key(K_ESC);
    key(K_ESC);
    tui_app_free(&app);
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    tui_lang("en");
    plant();
    RUN(a_layer);
    RUN(an_expert);
    RUN(what_is_not_there);
    RUN(all_conversations);
    mem_close(store);
    RUN(english);
    if (access("po/ru.po", R_OK) == 0) RUN(russian);
    RUN(keys);
    RUN(at_every_width);
    RUN(in_a_small_window);
    return TEST_END();
}
