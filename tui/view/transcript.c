/* view/transcript: the conversation. Front-end thread; draws the lines that are
 * seen and nothing else, from layouts that model/transcript keeps. */
#include "tui/view/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How it ended, where the model did not end it itself. */
static const char *end_words(const tui_item *it)
{
    static const char *const cut[] = { [AGT_WHOLE] = NULL, [AGT_CUT_LOOP] = N_("cut: it repeats"), [AGT_CUT_TOKENS] = N_("cut: max_tokens"),
                                       [AGT_CUT_CONTEXT] = N_("cut: context full"), [AGT_CUT_KILLED] = N_("cut: quorum was ended") };
    if (it->state == AGT_STOPPED && it->cut != AGT_CUT_KILLED) return _("stopped");
    if (it->state == AGT_FAILED) return _("failed");
    return cut[it->cut] ? _(cut[it->cut]) : NULL;
}

static int part(const char *s) { return s && *s ? tui_str_width(s) + 3 : 0; }

/* Right-aligned beside a name: which version, a chain of configurations, passages, how it ended. Where room is short, the
 * chain's oldest links go first, then the passages, then which version. */
static void beside(tui_grid *g, const tui_item *it, const char *chain, const char *passages, const char *state, int y, int from, int end)
{
    enum { LEAST = 16 };
    char version[32] = "";
    if (it->n_siblings > 1) snprintf(version, sizeof version, "[%d/%d]", it->sibling, it->n_siblings);
    int room = end - 1 - from, want = tui_str_width(chain);
    if (want > LEAST) want = LEAST;
    if (room - part(version) - part(passages) - part(state) < want) passages = NULL;
    if (room - part(version) - part(state) < want) version[0] = 0;
    char *lettered = view_lettered(it, chain), *newest = view_newest(lettered, room - part(version) - part(passages) - part(state));
    const char *const piece[] = { version, newest, passages, state };
    q_buf r = {0};
    q_buf_puts(&r, "");
    for (size_t i = 0; i < sizeof piece / sizeof *piece; i++)
        if (piece[i] && *piece[i]) q_buf_printf(&r, "%s%s", r.len ? " · " : "", piece[i]);
    int w = tui_str_width(r.p), at = end - 1 - w;
    tui_put_cut(g, y, at < from ? from : at, end - 1, r.p, it->state == AGT_FAILED ? S_ERROR : S_DIM);
    if (it->n_made && it->made[it->n_made - 1].letter && it->state != AGT_FAILED && newest && *newest)
        tui_put_cut(g, y, (at < from ? from : at) + (version[0] ? tui_str_width(version) + 3 : 0), end - 1, newest, tui_hue(it->made[it->n_made - 1].letter));
    free(lettered);
    free(newest);
    q_buf_free(&r);
}

static void header(tui_app *app, tui_item *it, int y, int x, int end)
{
    tui_grid *g = &app->grid;
    if (it->role == AGT_USER) {
        tui_put(g, y, x, end, _("you"), S_TITLE);
        time_t t = (time_t)(it->created_ms / 1000);
        struct tm tm;
        char clock[16] = "";
        if (it->created_ms && localtime_r(&t, &tm)) strftime(clock, sizeof clock, "%H:%M", &tm);
        beside(g, it, clock, NULL, NULL, y, x + 10, end);
    } else {
        tui_put(g, y, x, end, "quorum", S_TITLE);
        char *passages = it->n_passages > 0 ? q_printf(ngettext("%d passage", "%d passages", (unsigned long)it->n_passages), it->n_passages) : NULL;
        beside(g, it, it->label ? it->label : "", passages, it->running ? NULL : end_words(it), y, x + 10, end);
        free(passages);
    }
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

/* Which configuration was at work where the line begins: its letter, unless the model's own made all of the answer. */
static void gutter(tui_app *app, const tui_item *it, int line, int y, int x)
{
    bool own = true;
    for (int i = 0; i < it->n_made; i++) own = own && !it->made[i].letter;
    if (own) return;
    uint32_t left = it->lay.line[line].signs;
    int at = 0;                          /* the first has a sign too where a knob was turned before the first word */
    for (int i = 0; i < it->n_made && left; i++) if (it->made[i].sign) { at = i; left--; }
    char s[2] = { tui_letter(it->made[at].letter), 0 };
    tui_put(&app->grid, y, x, x + 1, s, tui_hue(it->made[at].letter));
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
    if (line < (int)it->lay.n_line) gutter(app, it, line, y, b.x + 1);
    if (line < (int)it->lay.n_line) x = tui_lay_draw(&it->lay, (uint32_t)line, g, y, x, end);
    bool last = line == (int)it->lay.n_line - 1 || (!it->lay.n_line && line == 0);
    if (last && it->running) {
        if (!it->text.len && !think) {
            /* Nothing said yet: what is being waited for. */
            const char *wait = app->work.loading ? _("waiting for the model") : app->work.pre_total ? _("reading") : "";
            x = tui_put(g, y, x > b.x + TUI_INDENT ? x + 1 : x, end, wait, S_THINKING) + (*wait ? 1 : 0);
        }
        if (app->work.writing) {
            char *what = q_printf(ngettext("writing a call, %d byte", "writing a call, %d bytes", (unsigned long)app->work.writing), (int)app->work.writing);
            x = tui_put(g, y, x > b.x + TUI_INDENT ? x + 1 : x, end, what, S_THINKING) + 1;
            free(what);
        } else if (app->work.running) {
            char *what = q_printf(_("running %s"), app->work.running);
            x = tui_put_cut(g, y, x > b.x + TUI_INDENT ? x + 1 : x, end - 2, what, S_THINKING) + 1;
            free(what);
        }
        tui_put(g, y, x < end ? x : end - 1, end, app->ui.glyphs ? "▌" : "_", S_ACCENT);
    }
}

void view_transcript(tui_app *app, tui_box b)
{
    if (tui_app_first(app)) { view_first(app, b); return; }
    int w = tui_transcript_width(app), item, line;
    tui_tr_top(&app->tr, w, b.h, &item, &line);
    /* What says how much is below has the last row for itself: it lies over no text. */
    int below = app->tr.follow ? 0 : tui_tr_below(&app->tr, w, b.h), rows = below > 0 && b.h > 1 ? b.h - 1 : b.h;
    for (int y = b.y; y < b.y + rows && item < app->tr.n; y++) {
        tui_item *it = &app->tr.item[item];
        draw_line(app, it, line, y, b, app->go.focus && app->go.focus->place == AT_TEXT && item == app->tr.selected);
        if (++line >= tui_item_height(it, w)) { item++; line = 0; }
    }
    if (below > 0) {
        below += b.h - rows;
        char *s = q_printf(ngettext(" %d more line below · End ", " %d more lines below · End ", (unsigned long)below), below);
        tui_put_right(&app->grid, b.y + b.h - 1, b.x, b.x + b.w - 1, s, S_SELECT);
        free(s);
    }
}
