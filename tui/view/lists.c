/* view/lists: chats, what /find found, and the knobs (config). Front-end thread; a list shows the part around its
 * selected row. */
#include "tui/model/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int first_row(int sel, int rows, int n)
{
    int top = sel >= rows ? sel - rows + 1 : 0;
    if (top > n - rows) top = n - rows;
    return top < 0 ? 0 : top;
}

static void when(int64_t ms, char out[16])
{
    time_t t = (time_t)(ms / 1000), now = (time_t)(q_wall_ms() / 1000);
    struct tm a, b;
    out[0] = 0;
    if (!ms || !localtime_r(&t, &a) || !localtime_r(&now, &b)) return;
    bool today = a.tm_year == b.tm_year && a.tm_yday == b.tm_yday;
    strftime(out, 16, today ? "%H:%M" : a.tm_year == b.tm_year ? "%d.%m" : "%d.%m.%y", &a);
}

void view_chats(tui_app *app, tui_box b)
{
    tui_grid *g = &app->grid;
    bool focused = app->focus == FOCUS_CHATS;
    int end = b.x + b.w - 1, rows = b.h - 1;
    view_caption(app, b, _("Chats"), "F2", focused);
    if (!app->n_chats) { tui_put_cut(g, b.y + 1, b.x + 2, end, _("None yet: ask something."), S_DIM); return; }
    int top = first_row(app->sel_chat, rows, app->n_chats);
    for (int i = 0; i < rows && top + i < app->n_chats; i++) {
        const agt_chat *c = &app->chats[top + i];
        char t[16];
        when(c->updated_ms, t);
        int y = b.y + 1 + i, right = tui_put_right(g, y, b.x + 8, end, t, S_FAINT);
        bool open = c->id == app->chat, sel = focused && top + i == app->sel_chat;
        if (open) tui_put(g, y, b.x + 1, end, app->glyphs ? "•" : "*", S_ACCENT);
        tui_put_cut(g, y, b.x + 3, right - 1, c->title && *c->title ? c->title : _("new chat"), sel ? S_SELECT : open ? S_TEXT : S_DIM);
    }
}

void view_found(tui_app *app, tui_box b)
{
    tui_grid *g = &app->grid;
    int end = b.x + b.w - 1, rows = b.h - 1;
    char *cap = q_printf(ngettext("Found %d place", "Found %d places", (unsigned long)app->n_found), app->n_found);
    view_caption(app, b, cap, NULL, app->focus == FOCUS_FOUND);
    free(cap);
    int top = first_row(app->sel_found, rows, app->n_found);
    for (int i = 0; i < rows && top + i < app->n_found; i++) {
        const agt_message *m = &app->found[top + i];
        char t[16];
        when(m->created_ms, t);
        int right = tui_put_right(g, b.y + 1 + i, b.x, end, t, S_FAINT);
        /* What matched stands between \1 and \2. */
        bool sel = top + i == app->sel_found, hit = false;
        int x = b.x + 2;
        for (const char *s = m->text ? m->text : ""; *s && x < right - 1;) {
            size_t n = strcspn(s, "\1\2\n");
            char *part = q_strndup(s, n);
            x = tui_put_cut(g, b.y + 1 + i, x, right - 1, part, sel ? S_SELECT : hit ? S_ACCENT : S_TEXT);
            free(part);
            s += n;
            if (*s == '\n' && x < right - 1) x = tui_put(g, b.y + 1 + i, x, right - 1, " ", S_TEXT);
            if (*s) hit = *s == '\1' || (*s == '\n' && hit), s++;
        }
    }
}

void view_config(tui_app *app, tui_box b)
{
    tui_grid *g = &app->grid;
    bool focused = app->focus == FOCUS_CONFIG;
    int n = agt_knob_count(app->a), end = b.x + b.w - 1, foot = b.h > 8 ? 3 : 0, rows = b.h - 1 - foot;
    view_caption(app, b, _("Config"), "F5", focused);
    if (app->sel_config >= n) app->sel_config = n ? n - 1 : 0;
    int top = first_row(app->sel_config, rows, n);
    for (int i = 0; i < rows && top + i < n; i++) {
        const q_knob *k = agt_knob(app->a, top + i);
        int y = b.y + 1 + i;
        bool sel = focused && top + i == app->sel_config, plain = agt_knob_default(app->a, k);
        q_buf_clear(&app->scratch);
        const char *v = agt_knob_value(app->a, k, &app->scratch);
        int x = tui_put_cut(g, y, b.x + 1, b.x + 2 + b.w * 3 / 5, k->name, sel ? S_SELECT : S_TEXT);
        int w = tui_str_width(v), from = end - w < x + 2 ? x + 2 : end - w;
        tui_put_cut(g, y, from, end, v && *v ? v : "–", plain ? S_DIM : S_ACCENT);
    }
    if (!foot || !n) return;
    const q_knob *k = agt_knob(app->a, app->sel_config);
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

/* Completions, above the composer, over whatever is there. */
void view_popup(tui_app *app, tui_box composer)
{
    tui_grid *g = &app->grid;
    tui_popup *p = &app->popup;
    int rows = p->n < 8 ? p->n : 8, w = 12, ncmd;
    if (rows > composer.y - 2) rows = composer.y - 2;
    if (rows < 1) return;
    const agt_command *cmd = agt_commands(&ncmd);
    const char *help[8] = { 0 };
    int top = first_row(p->sel, rows, p->n), wide = 0;
    for (int i = 0; i < rows; i++) {
        const char *s = p->item[top + i];
        if (tui_str_width(s) > w) w = tui_str_width(s);
        for (int k = 0; k < ncmd && *s == '/'; k++)
            if (strcmp(s + 1, cmd[k].name) == 0 || (cmd[k].ru && strcmp(s + 1, cmd[k].ru) == 0)) help[i] = _(cmd[k].help);
        for (int k = 0; k < agt_knob_count(app->a) && !help[i]; k++)
            if (strcmp(s, agt_knob(app->a, k)->name) == 0 && agt_knob(app->a, k)->help) help[i] = _(agt_knob(app->a, k)->help);
        if (help[i] && tui_str_width(help[i]) > wide) wide = tui_str_width(help[i]);
    }
    int x = composer.x + 2, end = x + w + 2 + (wide ? wide + 2 : 0);
    if (end > composer.x + composer.w - 1) end = composer.x + composer.w - 1;
    for (int i = 0; i < rows; i++) {
        int y = composer.y - rows + i;
        enum tui_style st = top + i == p->sel ? S_SELECT : S_TEXT;
        tui_fill(g, y, x, end - x, 1, S_TEXT);
        tui_put_cut(g, y, x + 1, end, p->item[top + i], st);
        if (help[i]) tui_put_cut(g, y, x + w + 3, end, help[i], S_DIM);
    }
}
