/* view/config: the knobs, their values, and what the selected one does. Front-end thread. */
#include "tui/view/table.h"
#include "tui/view/view.h"

#include <stdlib.h>
#include <string.h>

static void draw(tui_app *app, tui_box b)
{
    tui_grid *g = &app->grid;
    tui_cursor *cur = tui_cursor_of(app, &view_config);
    bool focused = app->go.focus == &view_config;
    int n = agt_knob_count(app->a), end = b.x + b.w - 1, foot = b.h > 8 ? 3 : 0, rows = b.h - 1 - foot;
    view_caption(app, b, _("Config"), "F5", focused);
    if (cur->sel >= n) cur->sel = n ? n - 1 : 0;
    int top = view_first_row(cur->sel, rows, n);
    for (int i = 0; i < rows && top + i < n; i++) {
        const q_knob *k = agt_knob(app->a, top + i);
        int y = b.y + 1 + i;
        bool sel = focused && top + i == cur->sel, plain = agt_knob_default(app->a, k);
        q_buf_clear(&app->scratch);
        const char *v = agt_knob_value(app->a, k, &app->scratch);
        int x = tui_put_cut(g, y, b.x + 1, b.x + 2 + b.w * 3 / 5, k->name, sel ? S_SELECT : S_TEXT);
        int w = tui_str_width(v), from = end - w < x + 2 ? x + 2 : end - w;
        tui_put_cut(g, y, from, end, v && *v ? v : "–", plain ? S_DIM : S_ACCENT);
    }
    if (!foot || !n) return;
    const q_knob *k = agt_knob(app->a, cur->sel);
    int y = b.y + b.h - foot;
    q_buf s = {0};
    q_buf_printf(&s, "%s", agt_effect_word(k->effect));
    if (k->choices) q_buf_printf(&s, " · %s", k->choices);
    else {
        double lo, hi;
        if (agt_knob_range(app->a, k, &lo, &hi)) q_buf_printf(&s, " · %.10g … %.10g", lo, hi);
    }
    tui_put_cut(g, y, b.x + 1, end, s.p, S_DIM);
    q_buf_free(&s);
    tui_lay l = {0};
    const char *help = k->help && *k->help ? _(k->help) : "";
    tui_lay_plain(&l, help, strlen(help), b.w - 2, "", S_DIM);
    for (uint32_t i = 0; i < l.n_line && (int)i < foot - 1; i++) tui_lay_draw(&l, i, g, y + 1 + (int)i, b.x + 1, end);
    tui_lay_free(&l);
}

static bool on_key(tui_app *app, const tui_key *k)
{
    tui_cursor *cur = tui_cursor_of(app, &view_config);
    int n = agt_knob_count(app->a), by = tui_key_step(k, 10);
    if (by) { tui_move(&cur->sel, by, n); return true; }
    if (cur->sel >= n) return false;
    const q_knob *kn = agt_knob(app->a, cur->sel);
    if (k->code == K_ENTER) {
        q_buf v = {0};
        q_buf_clear(&app->scratch);
        q_buf_printf(&app->scratch, "/set %s %s", kn->name, agt_knob_value(app->a, kn, &v));
        q_buf_free(&v);
        /* The panel stays in sight; the composer has the line. */
        app->go.focus = NULL;
        tui_comp_put_aside(app);
        app->comp.editing = 0;
        tui_edit_set(&app->comp.ed, app->scratch.p);
        return true;
    }
    if (tui_key_letter(k) == 'd') {
        q_buf_clear(&app->scratch);
        q_buf_printf(&app->scratch, "/set %s default", kn->name);
        agt_submit(app->a, app->scratch.p);
        return true;
    }
    return false;
}

const tui_view view_config = {
    .name = "config", .key = K_F5, .digit = '5', .action = AGT_UI_CONFIG, .place = AT_INSTEAD,
    .hint = N_("j k walk · Enter change · d default · Esc back"), .draw = draw, .on_key = on_key,
};
