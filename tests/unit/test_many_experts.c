/* The map of experts for models of 128, 256 and 512 of them, at 80, 120 and 200 columns, beside the text and zoomed, with
 * and without glyphs: an expert that speaks is seen wherever it stands in its layer, and the legend says what a dot is. */
#include "tests/unit/fake_agent.h"
#include "tests/test.h"
#include "tui/model/app.h"
#include "tui/tui.h"

static tui_app app;
#include "tests/unit/saved_screen.h"

/* Expert e (-1: nobody) of layer 3 speaks; the screen is the caller's. */
static char *shown(int w, int n_layer, int n, int e, bool zoomed, bool glyphs)
{
    fake_model();
    fake_routing(0, n_layer, n, 8);
    fake.st.n_expert = n;
    fake.rt.n_odd = 0;
    fake.rt.mean_entropy = .5f;
    for (int i = 0; i < n_layer * n; i++) {
        fake.rt.cell[i].now = i == 3 * n + e;
        fake.rt.cell[i].dev = 0;
        fake.rt.now[i] = 0xFFFF;
    }
    tui_app_init(&app, NULL, w, 40);
    app.ui.glyphs = glyphs;
    tui_app_draw(&app);
    tui_app_key(&app, &(tui_key){ .code = K_F3 });
    tui_app_draw(&app);
    if (zoomed) tui_app_key(&app, &(tui_key){ .code = K_CHAR, .cp = 'z' });
    tui_app_draw(&app);
    char *s = q_strdup(screen());
    tui_app_free(&app);
    return s;
}

static void no_expert_is_cut_off(void)
{
    static const int widths[] = { 80, 100, 120, 200 }, shape[][2] = { { 40, 256 }, { 48, 512 }, { 36, 128 }, { 30, 160 }, { 6, 384 } };
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (size_t m = 0; m < sizeof shape / sizeof *shape; m++)
            for (int how = 0; how < 4; how++) {
                int n = shape[m][1], at[] = { 0, n / 3, n / 2, n - 9, n - 1 };
                char *nobody = shown(widths[i], shape[m][0], n, -4 * n, how & 1, how & 2);
                CHECK_MSG(strstr(nobody, how & 2 ? "dot: " : "#") != NULL, "%d columns, %d experts, way %d: no legend\n%s", widths[i], n, how, nobody);
                for (int k = 0; k < 5; k++) {
                    char *one = shown(widths[i], shape[m][0], n, at[k], how & 1, how & 2);
                    CHECK_MSG(strcmp(nobody, one) != 0, "%d columns, %d experts, way %d: expert %d is not seen", widths[i], n, how, at[k]);
                    free(one);
                }
                free(nobody);
            }
}

static void the_legend_counts(void)
{
    static const struct { int w, layers, n; bool zoomed; const char *says; } rows[] = {
        { 80, 48, 512, false, "dot: on now · colour" }, { 120, 12, 512, false, "dot: 1 of 2 · colour" }, { 120, 12, 256, false, "dot: on now · colour" },
        { 200, 48, 512, false, "dot: one of 4 on · two layers" }, { 120, 36, 256, false, "dot: one of 2 on · two layers" }, { 200, 30, 512, true, "dot: 1 of 4 · colour" }, { 200, 30, 128, true, "dot: on now · colour" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *s = shown(rows[i].w, rows[i].layers, rows[i].n, 5, rows[i].zoomed, true);
        CHECK_MSG(strstr(s, rows[i].says) != NULL, "row %d: no \"%s\" in\n%s", (int)i, rows[i].says, s);
        free(s);
    }
}

int main(void)
{
    RUN(no_expert_is_cut_off);
    RUN(the_legend_counts);
    return TEST_END();
}
