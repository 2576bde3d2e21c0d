/* view/memory: what retrieval fed to the model, with scores, and what was cut. Front-end thread; draws only. */
#include "tui/view/table.h"
#include "tui/view/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    else x = tui_put(g, y, x, right - 1, app->ui.glyphs ? " ·  " : " -  ", S_FAINT);
    q_buf b = {0};
    if (p->missing) q_buf_puts(&b, _("(no file now) "));
    q_buf_puts(&b, p->source ? p->source : "");
    if (p->heading && *p->heading) q_buf_printf(&b, " § %s", p->heading);
    tui_put_cut(g, y, x, right - 1, b.p, selected ? S_SELECT : st);
    q_buf_free(&b);
}

/* Below the passages: what the last change did, then what answers cost. */
static void below(tui_app *app, tui_box b, int y, int bottom)
{
    if (bottom - y > view_effect_rows(app)) y = view_effect_rows(app) ? view_effect(app, (tui_box){ b.x, y + 1, b.w, bottom - y - 1 }) : y;
    if (bottom - y >= 4) view_answers(app, (tui_box){ b.x, y + 1, b.w, bottom - y - 1 });
}

/* How far memory's vectors are, on the last row. */
static tui_box meaning(tui_app *app, tui_box b)
{
    if (!app->work.mean_what || b.h < 4) return b;
    tui_put_cut(&app->grid, b.y + b.h - 1, b.x + 1, b.x + b.w - 1, app->work.mean_what, S_DIM);
    b.h--;
    return b;
}

static void draw(tui_app *app, tui_box b)
{
    b = meaning(app, b);
    tui_grid *g = &app->grid;
    const tui_cursor *cur = tui_cursor_of(app, &view_memory);
    const agt_retrieval *r = &app->seen.ret;
    bool focused = app->go.focus == &view_memory;
    int y = b.y + 1, end = b.x + b.w - 1, bottom = b.y + b.h;
    if (!app->seen.has_ret) {
        view_caption(app, b, _("Memory"), "F4", focused);
        y = view_words(app, b, y, 2, _("Shows the passages fed to an answer. /add FOLDER gives it texts."), S_DIM);
        if (view_effect_rows(app)) below(app, b, y, bottom);
        return;
    }
    if (r->broken) {                    /* what is wrong, whole, and the way out of it */
        view_caption(app, b, _("Memory"), "F4", focused);
        y = view_words(app, b, y, 1, r->broken, S_ERROR);
        view_words(app, b, y, 1, _("Answers go on without it. /why says more."), S_DIM);
        return;
    }
    char *cap = r->fed ? q_printf(_("Memory  %d fed, %d tok"), r->fed, r->fed_tokens) : q_strdup(_("Memory"));
    bool bare = !r->n && !r->cut_limit && !r->cut_repeat && !r->cut_score;      /* no last row then to bear the key */
    view_caption(app, b, cap, bare ? "F4" : NULL, focused);
    free(cap);
    char a[8];
    if (!r->fed) tui_put_cut(g, y++, b.x + 1, end, r->nothing ? r->nothing : "", S_DIM);
    int rows = bottom - y - 1, top = focused && cur->sel >= rows ? cur->sel - rows + 1 : 0;
    /* What was fed is worth more rows than what was not: three of those at most, unless one walks here. */
    int most = app->go.zoom == &view_memory ? 12 : 3, shown = focused || app->go.zoom == &view_memory || r->n < r->fed + 3 ? r->n : r->fed + 3, each = 0;
    for (; r->fed > 0; shown--) {
        each = (rows - shown) / r->fed;
        if (each > 1 || focused || shown <= r->fed + 1) break;
    }
    if (each > most) each = most;
    for (int i = top; i < shown && y < bottom - 1; i++) {
        passage(app, &r->p[i], y++, b.x + 1, end, focused && i == cur->sel);
        if (each > 1 && r->p[i].number) y = excerpt(app, &r->p[i], y, b.x + 5, end, each);
    }
    q_buf s = {0};
    if (r->cut_limit) q_buf_printf(&s, _("%d over limit"), r->cut_limit);
    if (r->cut_repeat) q_buf_printf(&s, _("%s%d repeated"), s.len ? ", " : "", r->cut_repeat);
    if (r->cut_score) q_buf_printf(&s, _("%s%d below %s"), s.len ? ", " : "", r->cut_score, view_frac(a, r->min_score));
    if (y < bottom && !bare) {
        int right = tui_put_right(g, y, b.x, end, "F4", S_FAINT);
        if (s.len) tui_putf(g, y, b.x + 1, right - 1, S_DIM, _("cut: %s"), s.p);
        y++;
    }
    q_buf_free(&s);
    below(app, b, y, bottom);
}

static bool on_key(tui_app *app, const tui_key *k)
{
    tui_cursor *cur = tui_cursor_of(app, &view_memory);
    int by = tui_key_step(k, 5);
    if (by) { tui_move(&cur->sel, by, app->seen.ret.n); return true; }
    if (tui_key_letter(k) == 'z') { tui_go_zoom(app, &view_memory); return true; }
    if (k->code == K_ENTER && cur->sel < app->seen.ret.n) {
        const agt_passage *p = &app->seen.ret.p[cur->sel];
        char *s = q_printf("%s\n\n%s", p->why ? p->why : "", p->text ? p->text : "");
        char *title = q_printf("%s%s%s", p->source ? p->source : "", p->heading && *p->heading ? " § " : "", p->heading ? p->heading : "");
        tui_go_page(app, title, s);
        free(s);
        free(title);
        return true;
    }
    return false;
}

static void on_event(tui_app *app, agt_event *e)
{
    if (e->kind != AGT_EV_RETRIEVAL) return;
    tui_seen_passages(&app->seen, e);
    tui_cursor_of(app, &view_memory)->sel = 0;
}

const tui_view view_memory = {
    .name = "memory", .key = K_F4, .digit = '4', .action = AGT_UI_MEMORY, .place = AT_LOWER, .zooms = true,
    .hint = N_("j k walk · z zoom · Enter read and why · Esc back"), .draw = draw, .on_key = on_key, .on_event = on_event,
};
