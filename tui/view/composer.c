/* view/composer: what is being written, the sentence beside it, and the bottom line of keys. Front-end thread.
 * The terminal's cursor always stands in the composer, unless a panel has the focus. */
#include "tui/view/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 1024 };

void view_composer(tui_app *app, tui_box b)
{
    tui_grid *g = &app->grid;
    static tui_row rows[ROWS_MAX];      /* scratch of this one thread */
    int cr, cc, x0 = b.x + 1 + tui_str_width(tui_composer_prompt(app));
    int n = tui_edit_rows(&app->comp.ed, tui_composer_cells(app, b.w), rows, ROWS_MAX, &cr, &cc);
    if (n > ROWS_MAX) n = ROWS_MAX;
    int top = cr >= b.h ? cr - b.h + 1 : 0;
    bool here = !app->go.focus;
    for (int i = 0; i < b.h && top + i < n; i++) {
        int y = b.y + i;
        if (top + i == 0) tui_put(g, y, b.x + 1, b.x + b.w, tui_composer_prompt(app), here ? S_PROMPT : S_DIM);
        else if (i == 0) tui_put(g, y, b.x + 1, b.x + b.w, app->ui.glyphs ? "↑" : "^", S_DIM);
        tui_putn(g, y, x0, b.x + b.w, app->comp.ed.b.p ? app->comp.ed.b.p + rows[top + i].from : "", rows[top + i].to - rows[top + i].from, S_TEXT);
    }
    if (!app->comp.ed.b.len && !app->comp.ed.searching) {
        const char *ghost = tui_app_first(app) ? _("Enter asks the first question") : "";
        tui_put_cut(g, b.y, x0 + 1, b.x + b.w - 1, ghost, S_FAINT);
    }
    if (app->comp.ed.searching)
        tui_putf(g, b.y, x0 + tui_text_width(app->comp.ed.b.p ? app->comp.ed.b.p : "", app->comp.ed.b.len) + 2, b.x + b.w - 1, S_DIM,
                 _("history: %s"), app->comp.ed.find.p ? app->comp.ed.find.p : "");
    if (here) {
        g->cx = x0 + cc;
        g->cy = b.y + cr - top;
        if (g->cx >= b.x + b.w) g->cx = b.x + b.w - 1;
        g->cursor = true;
    }
}

static const char *keys_of(const tui_app *app)
{
    if (app->comp.ctrl_x) return _("Ctrl-X …  2 chats · 3 experts · 4 memory · 5 config · Ctrl-E editor · < > panel width");
    if (app->comp.popup.n) return _("Tab next · Enter takes it · Esc closes");
    if (app->comp.ed.searching) return _("type to search · Ctrl-R older · Enter takes it · Esc leaves");
    if (app->go.focus) return _(app->go.focus->hint);
    if (app->seen.st.paused) return _("→ one token · F7/F8 fewer/more experts · F6 goes on · Ctrl-C stop");
    if (app->seen.st.busy) return app->lay.wide ? _("Ctrl-C stop · F6 pause · F7/F8 fewer/more experts · Enter sends after this answer")
                                           : _("Ctrl-C stop · F6 pause · F7/F8 fewer/more");
    if (!app->comp.editing && app->grid.w < 72) return app->seen.st.n_expert ? _("Enter send · F7/F8 fewer/more · F1 help") : _("Enter send · F5 config · F1 help");
    return app->comp.editing ? _("Enter asks it anew, as a branch · Ctrl-J line · Esc leaves editing")
                        : app->seen.st.n_expert ? _("Enter send · Ctrl-J line · Ctrl-C stop · F7/F8 fewer/more · /help")
                                           : _("Enter send · Ctrl-J line · Ctrl-C stop · F5 config · /help");
}

static void left_words(q_buf *b, double s)
{
    if (s < 0) return;
    if (s < 90) q_buf_printf(b, ngettext(", %d second left", ", %d seconds left", (unsigned long)(s + 0.5)), (int)(s + 0.5));
    else q_buf_printf(b, ngettext(", %d minute left", ", %d minutes left", (unsigned long)(s / 60 + 0.5)), (int)(s / 60 + 0.5));
}

/* Long work takes the place of the keys: what, how far, how long still. */
static bool activity(tui_app *app, q_buf *b)
{
    if (app->work.prog_total > 0) {
        q_buf_printf(b, "%s %d%%", app->work.prog_what ? app->work.prog_what : "", (int)(100 * app->work.prog_done / app->work.prog_total));
        left_words(b, app->work.prog_left);
        q_buf_puts(b, _(" · Ctrl-C stop"));
    } else if (app->work.pre_total > 0) {
        q_buf_printf(b, _("reading the prompt, %lld of %lld tokens"), (long long)app->work.pre_done, (long long)app->work.pre_total);
        if (app->work.pre_rate > 0) left_words(b, (double)(app->work.pre_total - app->work.pre_done) / app->work.pre_rate);
        q_buf_puts(b, _(" · Ctrl-C stop"));
    } else if (app->work.loading) {
        q_buf_printf(b, _("loading the model %d%%"), app->work.load_total ? (int)(100 * app->work.load_done / app->work.load_total) : 0);
        q_buf_puts(b, _(" · a question is kept until it is ready"));
    } else return false;
    return true;
}

static bool note_fits(const tui_app *app, int width) { return tui_str_width(app->say.note) <= width - 2; }

int view_notice_rows(const tui_app *app, int width)
{
    if (!app->say.note || note_fits(app, width)) return 0;
    tui_lay l = {0};
    tui_lay_plain(&l, app->say.note, strlen(app->say.note), width - 2, "", S_TEXT);
    int n = (int)l.n_line;
    tui_lay_free(&l);
    return n > 3 ? 3 : n;
}

static enum tui_style note_style(const tui_app *app)
{
    return app->say.note_level == AGT_ERROR ? S_ERROR : app->say.note_level == AGT_WARN ? S_WARN : S_ACCENT;
}

void view_notice(tui_app *app, tui_box b)
{
    tui_lay l = {0};
    tui_lay_plain(&l, app->say.note, strlen(app->say.note), b.w - 2, "", note_style(app));
    for (uint32_t i = 0; i < l.n_line && (int)i < b.h; i++) tui_lay_draw(&l, i, &app->grid, b.y + (int)i, b.x + 1, b.x + b.w);
    if ((int)l.n_line > b.h) tui_put(&app->grid, b.y + b.h - 1, b.x + b.w - 8, b.x + b.w, "… /log", S_DIM);
    tui_lay_free(&l);
}

/* Which configurations made the cached tokens, when more than one did. */
static void mixture(const tui_app *app, q_buf *b)
{
    const agt_status *st = &app->seen.st;
    if (st->n_mix < 2) return;
    const char *l[2];
    for (int i = 0; i < 2; i++) {           /* "standard · k 12" beside another is just "k 12" */
        const char *dot = strstr(st->mix[i].label, " · k ");
        l[i] = strncmp(st->mix[i].label, "standard", 8) == 0 && dot ? dot + strlen(" · ") : st->mix[i].label;
    }
    q_buf_printf(b, _("%d tok at %s, %d at %s"), st->mix[0].cells, l[0], st->mix[1].cells, l[1]);
    if (st->mix_rest > 0) q_buf_printf(b, " +%d", st->mix_rest);
}

void view_hint(tui_app *app, tui_box b)
{
    tui_grid *g = &app->grid;
    int end = b.x + b.w - 1;
    if (app->say.note && note_fits(app, b.w)) { tui_put(g, b.y, b.x + 1, end, app->say.note, note_style(app)); return; }
    q_buf s = {0}, r = {0};
    mixture(app, &r);
    bool act = activity(app, &s);
    const char *left = act ? s.p : keys_of(app);
    int lw = tui_str_width(left);
    if (r.len && 1 + lw + 3 + tui_str_width(r.p) <= b.w - 1) tui_put_right(g, b.y, b.x, end, r.p, S_HINT);
    else if (r.len && !act && !app->go.focus) {
        /* Both do not fit: the mixture is news, the keys are on F1. */
        int from = tui_put_right(g, b.y, b.x + 12, end, r.p, S_HINT);
        if (from < end) { end = from - 2; left = _("/help"); }
    }
    tui_put_cut(g, b.y, b.x + 1, end, left, act ? S_STATUS : S_HINT);
    q_buf_free(&s);
    q_buf_free(&r);
}
