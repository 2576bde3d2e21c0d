/* view/config: the knobs, their values, and what the selected one does. Front-end thread. */
#include "tui/view/table.h"
#include "tui/view/view.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the selected one touches and may be, what it does, and what it costs on this model. */
static void draw_foot(tui_app *app, const q_knob *k, tui_box b)
{
    tui_grid *g = &app->grid;
    int end = b.x + b.w - 1;
    q_buf s = {0};
    q_buf_printf(&s, "%s", agt_effect_word(k->effect));
    if (k->choices) q_buf_printf(&s, " · %s", k->choices);
    else {
        double lo, hi;
        if (agt_knob_range(app->a, k, &lo, &hi)) q_buf_printf(&s, " · %.10g … %.10g", lo, hi);
    }
    tui_put_cut(g, b.y, b.x + 1, end, s.p, S_DIM);
    q_buf_free(&s);
    char *cost = agt_knob_cost(app->a, k);
    tui_lay l = {0}, c = {0};
    const char *help = k->help && *k->help ? _(k->help) : "";
    tui_lay_plain(&l, help, strlen(help), b.w - 2, "", S_DIM);
    tui_lay_plain(&c, cost, strlen(cost), b.w - 2, "", S_STATUS);
    int costs = *cost ? (int)c.n_line : 0, y = b.y + 1, last = b.y + b.h, helps = b.h - 1 - costs;
    if (helps < 1) helps = b.h > 2;
    for (int i = 0; i < (int)l.n_line && i < helps; i++, y++) tui_lay_draw(&l, (uint32_t)i, g, y, b.x + 1, end);
    for (int i = 0; i < costs && y < last; i++, y++) tui_lay_draw(&c, (uint32_t)i, g, y, b.x + 1, end);
    tui_lay_free(&l);
    tui_lay_free(&c);
    free(cost);
}

/* A step of ← or →: the next choice, one more or less, a twentieth where 1 is the most, twice as much where it is large. */
static void step(tui_app *app, const q_knob *k, int by)
{
    q_buf v = {0};
    const char *now = agt_knob_value(app->a, k, &v);
    char to[64] = "";
    if (k->type == Q_KNOB_INTS && strcmp(k->name, "experts.k") == 0) agt_nudge_k(app->a, by);
    else if (k->type == Q_KNOB_BOOL) snprintf(to, sizeof to, "%s", by > 0 ? "on" : "off");
    else if (k->type == Q_KNOB_CHOICE) {
        const char *p = k->choices, *had = NULL, *next = NULL;
        for (const char *q = p, *before = NULL; q; before = q, q = strchr(q, ',') ? strchr(q, ',') + 1 : NULL)
            if (strcspn(q, ",") == strlen(now) && strncmp(q, now, strlen(now)) == 0) { had = before; next = strchr(q, ',') ? strchr(q, ',') + 1 : NULL; break; }
        p = by > 0 ? next : had;
        if (p) snprintf(to, sizeof to, "%.*s", (int)strcspn(p, ","), p);
    } else if (k->type == Q_KNOB_INT || k->type == Q_KNOB_FLOAT) {
        double lo, hi, x = strtod(now, NULL);
        if (!agt_knob_range(app->a, k, &lo, &hi)) lo = hi = x;
        double d = k->type == Q_KNOB_INT && fabs(x) < 64 ? 1 : k->type == Q_KNOB_FLOAT && hi <= 1 ? .05 : k->type == Q_KNOB_FLOAT && fabs(x) < 10 && fabs(x) >= .01 ? .1 : 0;
        if (d == 0 && x == 0) d = by > 0 ? lo > 0 ? lo : .1 : 0;
        double y = d > 0 ? round((x + by * d) / d) * d : by > 0 ? x * 2 : x / 2;
        if (k->type == Q_KNOB_INT) y = round(y);
        y = y < lo ? lo : y > hi ? hi : y;
        if (y != x) snprintf(to, sizeof to, "%.10g", y);
    }
    q_buf_free(&v);
    if (!*to) return;
    char *line = q_printf("/set %s %s", k->name, to);
    agt_submit(app->a, line);
    free(line);
}

static void draw(tui_app *app, tui_box b)
{
    tui_grid *g = &app->grid;
    tui_cursor *cur = tui_cursor_of(app, &view_config);
    bool focused = app->go.focus == &view_config;
    int n = agt_knob_count(app->a), end = b.x + b.w - 1, foot = b.h > 24 ? 8 : b.h > 14 ? 5 : b.h > 8 ? 3 : 0, rows = b.h - 1 - foot;
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
        if (!plain) tui_put(g, y, b.x, end, "*", S_ACCENT);
        tui_put_cut(g, y, from, end, v && *v ? v : "–", plain ? S_DIM : S_ACCENT);
    }
    if (foot && n) draw_foot(app, agt_knob(app->a, cur->sel), (tui_box){ b.x, b.y + b.h - foot, b.w, foot });
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
    if (k->code == K_LEFT || k->code == K_RIGHT) { step(app, kn, k->code == K_RIGHT ? 1 : -1); return true; }
    if (tui_key_letter(k) == 'd' || (k->code == K_CHAR && k->cp == '?')) {
        q_buf_clear(&app->scratch);
        q_buf_printf(&app->scratch, "/set %s%s", kn->name, tui_key_letter(k) == 'd' ? " default" : "");
        agt_submit(app->a, app->scratch.p);
        return true;
    }
    return false;
}

const tui_view view_config = {
    .name = "config", .key = K_F5, .digit = '5', .action = AGT_UI_CONFIG, .place = AT_INSTEAD,
    .hint = N_("j k walk · ← → turn · Enter type · d default · ? what it does · Esc back"), .draw = draw, .on_key = on_key,
};
