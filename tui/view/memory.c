/* view/memory: what retrieval fed to the model, with scores, and what was cut. Front-end thread; draws only. */
#include "tui/model/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say(tui_app *app, tui_box b, int y, const char *text)
{
    tui_lay l = {0};
    tui_lay_plain(&l, text, strlen(text), b.w - 3, "", S_DIM);
    for (uint32_t i = 0; i < l.n_line && y < b.y + b.h; i++, y++) tui_lay_draw(&l, i, &app->grid, y, b.x + 2, b.x + b.w);
    tui_lay_free(&l);
}

static void passage(tui_app *app, const agt_passage *p, int y, int x, int end, bool selected)
{
    tui_grid *g = &app->grid;
    char sc[8];
    enum tui_style st = p->number ? S_TEXT : S_DIM;
    int right = tui_put_right(g, y, x, end, view_frac(sc, p->score), st);
    if (p->number) x = tui_putf(g, y, x, right - 1, S_ACCENT, "[%d] ", p->number);
    else x = tui_put(g, y, x, right - 1, app->glyphs ? " ·  " : " -  ", S_FAINT);
    q_buf b = {0};
    q_buf_puts(&b, p->source ? p->source : "");
    if (p->heading && *p->heading) q_buf_printf(&b, " § %s", p->heading);
    tui_put_cut(g, y, x, right - 1, b.p, selected ? S_SELECT : st);
    q_buf_free(&b);
}

void view_memory(tui_app *app, tui_box b)
{
    tui_grid *g = &app->grid;
    const agt_retrieval *r = &app->ret;
    bool focused = app->focus == FOCUS_MEMORY;
    int y = b.y + 1, end = b.x + b.w - 1, bottom = b.y + b.h;
    if (!app->has_ret) {
        view_caption(app, b, _("Memory"), "F4", focused);
        say(app, b, y, _("Shows the passages fed to an answer. /add FOLDER gives it texts."));
        return;
    }
    char *cap = r->fed ? q_printf(_("Memory  %d fed, %d tok"), r->fed, r->fed_tokens) : q_strdup(_("Memory"));
    view_caption(app, b, cap, NULL, focused);
    free(cap);
    char a[8], c[8];
    if (!r->fed) {
        char *s = r->n ? q_printf(_("nothing fed: best %s below %s"), view_frac(a, r->best), view_frac(c, r->min_score))
                       : q_strdup(_("nothing fed: no passage shares a word"));
        tui_put_cut(g, y++, b.x + 1, end, s, S_DIM);
        free(s);
    }
    int rows = bottom - y - 1, top = focused && app->sel_memory >= rows ? app->sel_memory - rows + 1 : 0;
    for (int i = top; i < r->n && y < bottom - 1; i++, y++)
        passage(app, &r->p[i], y, b.x + 1, end, focused && i == app->sel_memory);
    q_buf s = {0};
    if (r->cut_budget) q_buf_printf(&s, _("%d by budget"), r->cut_budget);
    if (r->cut_score) q_buf_printf(&s, _("%s%d below %s"), s.len ? ", " : "", r->cut_score, view_frac(a, r->min_score));
    if (y < bottom) {
        int right = tui_put_right(g, y, b.x, end, "F4", S_FAINT);
        if (s.len) tui_putf(g, y, b.x + 1, right - 1, S_DIM, _("cut: %s"), s.p);
    }
    q_buf_free(&s);
}
