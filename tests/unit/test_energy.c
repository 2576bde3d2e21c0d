/* The energy panel: whole screens at 80, 120 and 200 columns in both languages, no column cut or overrun at any width, and its
 * numbers beside a plain count of the tensors. */
#include "tests/unit/app_help.h"
#include "tests/unit/saved_screen.h"
#include "engine/engine.h"
#include "engine/models.h"
#include "tests/engine_util.h"

static void open_panel(int w, int h)
{
    begin();
    tui_app_resize(&app, w, h);
    tui_act(&app, AGT_UI_ENERGY, "");
    ev((agt_event){ .kind = AGT_EV_ENERGY });
}

static void screens(void)
{
    static const struct { int w, h; } size[] = { { 80, 24 }, { 120, 40 }, { 200, 50 } };
    for (int i = 0; i < 3; i++) {
        open_panel(size[i].w, size[i].h);
        SAID("energy\n");
        compare("energy");
        tui_app_free(&app);
    }
}

static void english(void) { screens(); }
static void russian(void) { in_russian(screens); }

/* Nothing runs into another, all of it can be reached, and keys do what the bottom line says. */
static void at_every_width(void)
{
    for (int w = 30; w <= 300; w += 3) {
        open_panel(w, w < 60 ? 12 : 30);
        bool all = false, mark = false;
        for (int i = 0; i < 30; i++) {
            char *s = screen();
            all |= strstr(s, "16 all") != NULL;
            mark |= strstr(s, "▸ 12 own") != NULL;
            key(K_DOWN);
        }
        CHECK_MSG(all && mark, "%d columns: %s", w, screen());
        tui_app_free(&app);
    }
    open_panel(120, 40);
    q_buf_clear(&fake.said);
    chr('-');
    chr('+');
    SAID("nudge -1\nnudge +1\n");
    fake.st.k = 4;                                   /* the mark follows */
    CHECK_MSG(strstr(screen(), "▸ 4 ") && !strstr(screen(), "▸ 12"), "%s", screen());
    fake.st.k = -1;
    CHECK_MSG(strstr(screen(), "k by layer: 104.9 MiB a token now") && !strstr(screen(), "▸"), "%s", screen());
    fake.spared = 3 << 20;
    CHECK_MSG(strstr(screen(), "ffn.width: 3.0 MiB a token less"), "%s", screen());
    fake.spared = 0;
    CHECK(!strstr(screen(), "recurrent"));
    fake.n_recurrent = 30;
    CHECK_MSG(strstr(screen(), "30 recurrent layers remember") && strstr(screen(), "210.0 KiB, read and written a token"), "%s", screen());
    fake.n_recurrent = 0;
    key(K_ESC);
    CHECK(!strstr(screen(), "max tok/s"));
    tui_app_free(&app);
    open_panel(120, 40);
    app.ui.glyphs = false;
    CHECK(strstr(screen(), "> 12 own") && strstr(screen(), "##") && !strstr(screen(), "█"));
    memset(&fake.st, 0, sizeof fake.st);
    CHECK_MSG(strstr(screen(), "Shows what a token costs"), "%s", screen());
    tui_app_free(&app);
}

/* Rows against eng_energy for each k, the parts against their sum. */
static void rows_are_counts(void)
{
    char err[Q_ERRLEN];
    char *path = util_model("qwen3moe");
    lab_costs c;
    eng_energy e;
    CHECK(lab_costs_read(path, false, &c, err) == 0 && eng_energy_read(path, &e, err) == 0);
    for (int k = 0; k <= e.n_expert + 1; k++) {
        uint64_t sum = 0;
        int now = 0, own = 0;
        lab_costs_at(&c, k);
        for (int i = 0; i < LAB_COSTS_PARTS; i++) sum += c.part[i].bytes;
        CHECK_INT(sum, eng_energy_bytes(&e, c.k));
        CHECK_INT(c.k, k < 1 ? e.n_used : k > e.n_expert ? e.n_expert : k);
        for (int i = 0; i < c.n_row; i++) {
            const lab_costs_row *r = &c.row[i];
            CHECK_INT(r->bytes, eng_energy_bytes(&e, r->k));
            CHECK_INT(r->params, eng_energy_active(&e, r->k));
            CHECK_INT(r->flops, eng_energy_flops(&e, r->k, 0));
            CHECK(i == 0 || r->k > c.row[i - 1].k);
            now += r->now;
            own += r->own;
        }
        CHECK_INT(now, k >= 1);
        CHECK_INT(own, 1);
    }
    CHECK_INT((int64_t)(c.kv_f16 * 2), (int64_t)eng_energy_kv_bytes(&e, "f32"));
    unlink(path);
    free(path);
}

/* What recurrent layers remember is the panel's too. */
static void states_are_counted(void)
{
    char err[Q_ERRLEN];
    char *path = util_model("qwen3next");
    lab_costs c;
    eng_energy e;
    CHECK(lab_costs_read(path, false, &c, err) == 0 && eng_energy_read(path, &e, err) == 0);
    CHECK_MSG(c.n_recurrent == e.n_recurrent && c.n_recurrent == 2 && c.state_bytes == e.state_bytes && c.state_bytes > 0, "%d layers, %llu bytes", c.n_recurrent,
              (unsigned long long)c.state_bytes);
    CHECK_INT(eng_energy_moved(&e, e.n_used), eng_energy_bytes(&e, e.n_used) + 2 * e.state_bytes);
    c.bandwidth = 1e9;                   /* no faster than weights are read, and states read and written */
    lab_costs_at(&c, 0);
    for (int i = 0; i < c.n_row; i++)
        CHECK(c.row[i].ceiling * (double)(c.row[i].bytes + 2 * c.state_bytes) > 1e9 - 1 && c.row[i].ceiling * (double)(c.row[i].bytes + 2 * c.state_bytes) < 1e9 + 1);
    const lab_bill bill = { .path = path, .bandwidth = 1e9 };      /* and what is said of another machine: of it alone, in both forms */
    q_buf text = { 0 }, json = { 0 };
    CHECK_MSG(lab_energy(&bill, &text, &json, err) == 0, "%s", err);
    q_buf_putc(&text, 0);
    q_buf_putc(&json, 0);
    cJSON *j = cJSON_Parse(json.p), *ceiling = cJSON_GetObjectItem(j, "ceiling_tokens_per_s"), *bytes = cJSON_GetObjectItem(j, "bytes_per_token"), *row;
    CHECK(cJSON_GetNumberValue(cJSON_GetObjectItem(j, "read_bandwidth")) == 1e9 && cJSON_GetArraySize(ceiling) == c.n_row);
    cJSON_ArrayForEach(row, ceiling) {
        double moved = cJSON_GetNumberValue(cJSON_GetObjectItem(bytes, row->string)) + 2 * (double)e.state_bytes;
        CHECK_MSG(fabs(row->valuedouble * moved / 1e9 - 1) < 1e-9, "k %s: %g", row->string, row->valuedouble);
        char shown[32];
        snprintf(shown, sizeof shown, "%.1f\n", 1e9 / moved);
        CHECK_MSG(strstr(text.p, shown), "%s%s", shown, text.p);
    }
    CHECK_MSG(strstr(text.p, "Of a machine that reads 953.7 MiB/s;") && !strstr(text.p, "measured now") && strstr(text.p, "states of recurrent layers"), "%s", text.p);
    cJSON_Delete(j);
    q_buf_free(&text);
    q_buf_free(&json);
    unlink(path);
    free(path);
}

/* What the disk cost in the last answer, where experts lie there, and not a word of it where they do not. */
static void reading_from_the_disk_is_told(void)
{
    char err[Q_ERRLEN], *path = util_model("qwen3moe");
    const lab_fetched f = { .there = .875, .bytes = 12.5 * 1024 * 1024, .wait_ms = 6.25 };
    for (int disk = 0; disk < 2; disk++) {
        q_buf text = { 0 }, json = { 0 };
        CHECK_MSG(lab_energy(&(lab_bill){ .path = path, .fetched = disk ? &f : NULL }, &text, &json, err) == 0, "%s", err);
        q_buf_putc(&text, 0);
        q_buf_putc(&json, 0);
        CHECK_MSG(!strstr(text.p, "88% of\nthose chosen lay in memory; the others were 12.5 MiB a token, for which it stood still 6.2 ms.") == !disk, "%s", text.p);
        CHECK_MSG(!strstr(json.p, "\"disk\"") == !disk && !strstr(json.p, "\"wait_ms_per_token\":\t6.25") == !disk && !strstr(json.p, "\"in_memory\":\t0.875") == !disk, "%s", json.p);
        CHECK(disk || !strstr(text.p, "disk"));
        q_buf_free(&text);
        q_buf_free(&json);
    }
    unlink(path);
    free(path);
}

/* What adapters add, by layers: those that cost the same in one line, none of those that cost nothing, and the sum above. */
static void adapters_are_told_by_layers(void)
{
    char err[Q_ERRLEN], *path = util_model("qwen3moe");
    static const struct lab_adapted_at of[] = { { 1, 100 }, { 2, 10 }, { 2, 10 }, { 0, 0 }, { 3, 20 }, { 3, 10 }, { 3, 10 }, { 3, 10 } };
    const lab_adapted added = { .adapters = 2, .n_layer = 7, .experts = 3, .of = of }, none = { .adapters = 0, .n_layer = 7, .of = of };
    q_buf text = { 0 }, json = { 0 }, without = { 0 };
    CHECK_MSG(lab_energy(&(lab_bill){ .path = path, .added = &added }, &text, &json, err) == 0, "%s", err);
    CHECK_MSG(lab_energy(&(lab_bill){ .path = path, .added = &none }, &without, NULL, err) == 0, "%s", err);
    q_buf_putc(&text, 0);
    q_buf_putc(&json, 0);
    q_buf_putc(&without, 0);
    CHECK_MSG(strstr(text.p, "2 adapters act: 170 B and 0.000 million multiply-adds more a token (at most: 3 experts are changed, and count where they run)\n"
                             "  embedding and head: 100 B\n  layers 0 to 1: 10 B each\n  layer 3: 20 B\n  layers 4 to 6: 10 B each\n"), "%s", text.p);
    cJSON *j = cJSON_Parse(json.p), *o = cJSON_GetObjectItem(j, "adapters");
    CHECK(cJSON_GetNumberValue(cJSON_GetObjectItem(o, "bytes_per_token")) == 170 && cJSON_GetNumberValue(cJSON_GetObjectItem(o, "flops_per_token")) == 2 * 17 &&
          cJSON_GetNumberValue(cJSON_GetObjectItem(o, "bytes_beside_layers")) == 100 && cJSON_GetArraySize(cJSON_GetObjectItem(o, "bytes_by_layer")) == 7);
    CHECK(!strstr(without.p, "adapter"));
    cJSON_Delete(j);
    q_buf_free(&text);
    q_buf_free(&json);
    q_buf_free(&without);
    unlink(path);
    free(path);
}

/* Layers that see no further than a window, and those with sinks. */
static void windows_and_sinks_are_counted(void)
{
    char err[Q_ERRLEN], *path = util_model("gpt-oss");
    lab_costs c;
    eng_energy e;
    q_buf text = { 0 };
    CHECK(lab_costs_read(path, false, &c, err) == 0 && eng_energy_read(path, &e, err) == 0);
    CHECK_MSG(e.n_sinks == e.n_layer && e.n_near == (e.n_layer + 1) / 2 && e.window > 0, "%d sinks, %d near of %d, window %d", e.n_sinks, e.n_near, e.n_layer, e.window);
    CHECK(c.n_sinks == e.n_sinks && c.n_near == e.n_near && c.window == e.window);
    CHECK(lab_energy(&(lab_bill){ .path = path }, &text, NULL, err) == 0);
    q_buf_putc(&text, 0);
    CHECK_MSG(strstr(text.p, "attend to the last") && strstr(text.p, "attention sinks: in"), "%s", text.p);
    q_buf_free(&text);
    unlink(path);
    free(path);
}

/* The map, `model info` and an open model count the same parameters as active, for every k; with all experts they are all that
 * the file holds, but for a layer that is trained beside the model. */
static void one_count_of_active(void)
{
    static const char *const names[] = { "qwen3moe", "qwen3next", "qwen35", "gpt-oss", "deepseek2", "deepseek2-lite", "gemma3", "glm4moe", "glm4moe-full", "granitemoe", "mixtral", "olmoe", "phi3", "qwen2" };
    char err[Q_ERRLEN], digits[32];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = util_model(names[i]);
        eng_energy e;
        eng_model *m = NULL;
        CHECK_MSG(eng_energy_read(path, &e, err) == 0 && eng_model_open(path, &(eng_open_opts){ .n_threads = 1 }, &m, err) == 0, "%s", err);
        const eng_info *info = eng_model_info(m);
        eng_config *c = eng_config_new(m);
        for (int k = 1; k <= (info->n_expert ? info->n_expert : 1); k++) {
            snprintf(digits, sizeof digits, "%d", k);
            CHECK(info->n_expert == 0 || eng_config_set(c, "experts.k", digits, err) == 0);
            CHECK_INT(eng_model_cost(m, c).params, eng_energy_active(&e, k));
        }
        uint64_t all = eng_model_cost(m, c).params;
        bool foretells = strncmp(names[i], "deepseek2", 9) == 0 || strcmp(names[i], "glm4moe-full") == 0 || strcmp(names[i], "qwen3next") == 0 || strcmp(names[i], "qwen35") == 0;
        CHECK_MSG(foretells ? all < info->params : all == info->params, "%s: %llu of %llu", names[i], (unsigned long long)all, (unsigned long long)info->params);
        eng_config_free(c);
        eng_model_free(m);
        q_buf text = { 0 };
        CHECK(eng_describe(path, true, &text, err) == 0);
        cJSON *j = cJSON_Parse(text.p);
        CHECK_INT((uint64_t)cJSON_GetNumberValue(cJSON_GetObjectItem(j, "active_parameters")), eng_energy_active(&e, e.n_used));
        cJSON_Delete(j);
        q_buf_free(&text);
        unlink(path);
        free(path);
    }
}

/* Two of six layers remember by a state, one of the four others sees no further than 8 cells. */
static void test_cells_read(void)
{
    const eng_energy e = { .n_layer = 6, .n_recurrent = 2, .n_near = 1, .window = 8, .kv_heads = 1, .kv_width = 16 }, none = { .n_layer = 2, .n_recurrent = 2 };
    CHECK_INT(eng_energy_cells(&e, "f16", 4), 4 * 4 * 32 * 2);
    CHECK_INT(eng_energy_cells(&e, "f16", 100), (3 * 100 + 8) * 32 * 2);
    CHECK_INT(eng_energy_cells(&e, "q8_0", 100), (3 * 100 + 8) * (32 + 2 * 4));      /* a scale for K's 16 numbers and one for V's */
    CHECK_INT(eng_energy_cells(&e, "q4_0", 100), (3 * 100 + 8) * 2 * (16 + 2));
    CHECK_INT(eng_energy_cells(&e, "q2_0", 100), 0);
    CHECK_INT(eng_energy_cells(&none, "f16", 100), 0);
}

int main(void)
{
    RUN(test_cells_read);
    setenv("TZ", "UTC", 1);
    tui_lang("en");
    RUN(english);
    if (access("po/ru.po", R_OK) == 0) RUN(russian);
    RUN(at_every_width);
    RUN(rows_are_counts);
    RUN(states_are_counted);
    RUN(reading_from_the_disk_is_told);
    RUN(adapters_are_told_by_layers);
    RUN(windows_and_sinks_are_counted);
    RUN(one_count_of_active);
    return TEST_END();
}
