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

/* The first lines of what was fed, quieter than its source. Returns the row after them. */
static int excerpt(tui_app *app, const agt_passage *p, int y, int x, int end, int rows)
{
    tui_lay l = {0};
    const char *s = p->text ? p->text : "";
    size_t n = strlen(s) < 2048 ? strlen(s) : q_utf8_whole(s, 2048);
    char *flat = q_strndup(s, n);
    for (char *c = flat; *c; c++) if (*c == '\n') *c = ' ';
    tui_lay_plain(&l, flat, strlen(flat), end - x - 1, "", S_DIM);
    for (uint32_t i = 0; i < l.n_line && (int)i < rows; i++, y++) {
        int after = tui_lay_draw(&l, i, &app->grid, y, x, end);
        if ((int)i == rows - 1 && i + 1 < l.n_line) tui_put(&app->grid, y, after < end - 1 ? after : end - 1, end, "…", S_DIM);
    }
    tui_lay_free(&l);
    free(flat);
    return y;
}

static void passage(tui_app *app, const agt_passage *p, int y, int x, int end, bool selected)
{
    tui_grid *g = &app->grid;
    enum tui_style st = p->number ? S_TEXT : S_DIM;
    int right = tui_put_right(g, y, x, end, p->shown, st);
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
    char a[8];
    if (!r->fed) tui_put_cut(g, y++, b.x + 1, end, r->nothing ? r->nothing : "", S_DIM);
    int rows = bottom - y - 1, top = focused && app->sel_memory >= rows ? app->sel_memory - rows + 1 : 0;
    /* What was fed is worth more rows than what was not: three of those at most, unless one walks here. */
    int most = app->zoom == ZOOM_MEMORY ? 12 : 3, shown = focused || app->zoom == ZOOM_MEMORY || r->n < r->fed + 3 ? r->n : r->fed + 3, each = 0;
    for (; r->fed > 0; shown--) {
        each = (rows - shown) / r->fed;
        if (each > 1 || focused || shown <= r->fed + 1) break;
    }
    if (each > most) each = most;
    for (int i = top; i < shown && y < bottom - 1; i++) {
        passage(app, &r->p[i], y++, b.x + 1, end, focused && i == app->sel_memory);
        if (each > 1 && r->p[i].number) y = excerpt(app, &r->p[i], y, b.x + 5, end, each);
    }
    q_buf s = {0};
    if (r->cut_budget) q_buf_printf(&s, _("%d by budget"), r->cut_budget);
    if (r->cut_score) q_buf_printf(&s, _("%s%d below %s"), s.len ? ", " : "", r->cut_score, view_frac(a, r->min_score));
    if (y < bottom) {
        int right = tui_put_right(g, y, b.x, end, "F4", S_FAINT);
        if (s.len) tui_putf(g, y, b.x + 1, right - 1, S_DIM, _("cut: %s"), s.p);
        y++;
    }
    q_buf_free(&s);
    if (bottom - y >= 4) view_answers(app, (tui_box){ b.x, y + 1, b.w, bottom - y - 1 });
}

void view_answers(tui_app *app, tui_box b)
{
    tui_grid *g = &app->grid;
    int n = 0, tokens = 0, y = b.y, end = b.x + b.w - 1;
    for (int i = 0; i < app->tr.n; i++)
        if (app->tr.item[i].role == AGT_ASSISTANT) { n++; tokens += app->tr.item[i].n_tokens; }
    if (!n) return;
    char *cap = q_printf(_("Answers  %d"), n), *sum = q_printf(_("%d tok"), tokens);
    view_caption(app, (tui_box){ b.x, y++, b.w, 1 }, cap, sum, false);
    free(cap);
    free(sum);
    for (int i = app->tr.n - 1; i >= 0 && y < b.y + b.h; i--) {
        const tui_item *it = &app->tr.item[i];
        if (it->role != AGT_ASSISTANT) continue;
        char rate[24] = "";
        if (it->decode_s > 0) snprintf(rate, sizeof rate, _("%5.0f/s"), it->n_tokens / it->decode_s);
        int right = tui_put_right(g, y, b.x + 4, end, rate, S_FAINT);
        char *tok = q_printf(_("%d tok"), it->n_tokens);
        right = tui_put_right(g, y, b.x + 4, rate[0] ? end - 8 : end, tok, S_DIM);
        free(tok);
        tui_put_cut(g, y++, b.x + 1, right - 1, it->label ? it->label : "–", S_DIM);
    }
}
