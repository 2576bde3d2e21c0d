/* view/transcript: the conversation. Front-end thread; draws the lines that are
 * seen and nothing else, from layouts that model/transcript keeps. */
#include "tui/view/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *state_word(enum agt_state s)
{
    return s == AGT_STOPPED ? _("stopped") : s == AGT_FAILED ? _("failed") : NULL;
}

static void header(tui_app *app, tui_item *it, int y, int x, int end)
{
    tui_grid *g = &app->grid;
    q_buf r = {0};
    if (it->role == AGT_USER) {
        tui_put(g, y, x, end, _("you"), S_TITLE);
        time_t t = (time_t)(it->created_ms / 1000);
        struct tm tm;
        char clock[16];
        if (it->created_ms && localtime_r(&t, &tm) && strftime(clock, sizeof clock, "%H:%M", &tm)) q_buf_puts(&r, clock);
    } else {
        tui_put(g, y, x, end, "quorum", S_TITLE);
        if (it->label) q_buf_puts(&r, it->label);
        if (it->n_passages > 0) {
            if (r.len) q_buf_puts(&r, " · ");
            q_buf_printf(&r, ngettext("%d passage", "%d passages", (unsigned long)it->n_passages), it->n_passages);
        }
        if (!it->running && state_word(it->state)) q_buf_printf(&r, "%s%s", r.len ? " · " : "", state_word(it->state));
    }
    if (it->n_siblings > 1) {
        char *s = q_printf("[%d/%d]%s%s", it->sibling, it->n_siblings, r.len ? " · " : "", r.len ? r.p : "");
        q_buf_clear(&r);
        q_buf_puts(&r, s);
        free(s);
    }
    if (r.len) {
        int w = tui_str_width(r.p), from = end - 1 - w;
        if (from < x + 10) from = x + 10;
        tui_put_cut(g, y, from, end - 1, r.p, it->state == AGT_FAILED ? S_ERROR : S_DIM);
    }
    q_buf_free(&r);
}

static void thinking_line(tui_app *app, tui_item *it, int y, int x, int end)
{
    q_buf b = {0};
    if (it->running && !it->text.len)
        q_buf_printf(&b, ngettext("thinking, %d token, %d s", "thinking, %d tokens, %d s", (unsigned long)it->n_thinking),
                     it->n_thinking, (int)((app->now - it->began_ms) / 1000));
    else q_buf_printf(&b, ngettext("thought for %d token", "thought for %d tokens", (unsigned long)it->n_thinking), it->n_thinking);
    x = tui_put(&app->grid, y, x, end, b.p, S_THINKING);
    tui_put(&app->grid, y, x + 2, end, it->open ? _("Ctrl-T folds") : _("Ctrl-T opens"), S_FAINT);
    q_buf_free(&b);
}

static void draw_line(tui_app *app, tui_item *it, int line, int y, tui_box b, bool selected)
{
    tui_grid *g = &app->grid;
    int x = b.x + 1, end = b.x + b.w, think = tui_item_think_lines(it);
    if (selected && line < 1 + think + (int)it->lay.n_line) tui_put(g, y, b.x, end, app->ui.glyphs ? "▎" : ">", S_ACCENT);
    if (line == 0) { header(app, it, y, x, end); return; }
    line--;
    x = b.x + TUI_INDENT;
    if (line < think) {
        if (line == 0) thinking_line(app, it, y, x, end);
        else tui_lay_draw(&it->think, (uint32_t)(line - 1), g, y, x, end);
        return;
    }
    line -= think;
    if (line < (int)it->lay.n_line) x = tui_lay_draw(&it->lay, (uint32_t)line, g, y, x, end);
    bool last = line == (int)it->lay.n_line - 1 || (!it->lay.n_line && line == 0);
    if (last && it->running) {
        if (!it->text.len && !think) {
            /* Nothing said yet: what is being waited for. */
            const char *wait = app->work.loading ? _("waiting for the model") : app->work.pre_total ? _("reading") : "";
            x = tui_put(g, y, x, end, wait, S_THINKING) + (*wait ? 1 : 0);
        }
        tui_put(g, y, x < end ? x : end - 1, end, app->ui.glyphs ? "▌" : "_", S_ACCENT);
    }
}

void view_transcript(tui_app *app, tui_box b)
{
    if (tui_app_first(app)) { view_first(app, b); return; }
    int w = tui_transcript_width(app), item, line;
    tui_tr_top(&app->tr, w, b.h, &item, &line);
    for (int y = b.y; y < b.y + b.h && item < app->tr.n; y++) {
        tui_item *it = &app->tr.item[item];
        draw_line(app, it, line, y, b, app->go.focus && app->go.focus->place == AT_TEXT && item == app->tr.selected);
        if (++line >= tui_item_height(it, w)) { item++; line = 0; }
    }
    if (!app->tr.follow) {
        int below = tui_tr_below(&app->tr, w, b.h);
        char *s = q_printf(ngettext(" %d more line below · End ", " %d more lines below · End ", (unsigned long)below), below);
        if (below > 0) tui_put_right(&app->grid, b.y + b.h - 1, b.x, b.x + b.w - 1, s, S_SELECT);
        free(s);
    }
}
