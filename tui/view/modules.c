/* view/modules: the modules, in the order in which they stand in a prompt: what each costs, whether it is on, and of the selected one
 * what it last changed. Front-end thread; draws what agt_get_modules has, and turns by /module. */
#include "tui/view/table.h"
#include "tui/view/view.h"

#include <stdlib.h>
#include <string.h>

enum { NAME = 14, TITLE_FROM = 60, TOKENS = 11 };        /* columns of a name; from how many on titles stand beside it; of the tokens then */

static void look(tui_app *app)
{
    agt_modules_free(&app->seen.modules);
    agt_get_modules(app->a, &app->seen.modules);
}

static const char *state_of(const agt_module *m)
{
    return m->why ? _("broken") : !m->on ? _("not on") : m->rule ? m->acts ? _("by words, acts") : _("by words") : _("on");
}

static void caption(tui_app *app, tui_box b)
{
    const agt_modules *l = &app->seen.modules;
    int on = 0, tokens = 0;               /* of the next prompt, as far as no question's words add to it */
    for (int i = 0; i < l->n; i++) {
        on += l->v[i].on;
        tokens += l->v[i].on && (!l->v[i].rule || l->v[i].acts) && l->v[i].tokens > 0 ? l->v[i].tokens : 0;
    }
    char *cap = l->n < 0 ? q_strdup(_("Modules")) : q_printf(_("Modules  %d of %d on, %d of %d tok"), on, l->n, tokens, l->budget);
    view_caption(app, b, cap, "Ctrl-X m", app->go.focus == &view_modules);
    free(cap);
}

static void row(tui_app *app, const agt_module *m, tui_box b, int y, bool sel)
{
    tui_grid *g = &app->grid;
    int x = b.x + 1, end = b.x + b.w - 1;
    char *tok = m->tokens < 0 ? q_strdup("–") : q_printf(_("%d tok"), m->tokens);
    const char *mark = m->why ? "!" : !m->on ? app->ui.glyphs ? "○" : "." : m->rule && !m->acts ? app->ui.glyphs ? "◐" : "o" : app->ui.glyphs ? "●" : "*";
    enum tui_style st = sel ? S_SELECT : m->why ? S_ERROR : m->on ? S_TEXT : S_DIM;
    tui_put(g, y, x, end, mark, m->why ? S_ERROR : m->on ? S_ACCENT : S_FAINT);
    int right = tui_put_right(g, y, x + 2, end, tok, m->on ? S_TEXT : S_DIM);
    free(tok);
    int name = x + 2 + NAME < right - 1 ? x + 2 + NAME : right - 1;
    tui_put_cut(g, y, x + 2, b.w >= TITLE_FROM ? name : right - 1, m->name, st);
    if (b.w < TITLE_FROM) return;
    int state = tui_put_right(g, y, name + 1, end - TOKENS, state_of(m), S_DIM);
    tui_put_cut(g, y, name + 1, state - 1, m->title, sel ? S_TEXT : S_DIM);
}

/* All of the selected one. */
static void foot(tui_app *app, const agt_module *m, tui_box b)
{
    char *head = q_printf("%s · %s · %.8s%s", m->title, state_of(m), *m->hash ? m->hash : "–", m->shipped ? _(" · comes with quorum") : "");
    int y = view_words(app, b, b.y, 1, head, S_TEXT);
    free(head);
    if (m->why) view_words(app, b, y, 1, m->why, S_ERROR);
    else view_words(app, b, y, 1, m->did ? m->did : _("Nothing is known of what it changes: /ablate modules on FILE measures it."), m->did ? S_TEXT : S_DIM);
}

static void draw(tui_app *app, tui_box b)
{
    tui_cursor *cur = tui_cursor_of(app, &view_modules);
    if (!app->seen.modules.v) look(app);
    const agt_modules *l = &app->seen.modules;
    int under = b.h > 14 ? 6 : b.h > 8 ? 3 : 0, rows = b.h - 1 - under;
    caption(app, b);
    if (l->n < 1) {
        view_words(app, b, b.y + 1, 2, l->n < 0 ? _("They are looked at when the model is ready.") : _("There are none: /module new NAME makes one."), S_DIM);
        return;
    }
    if (cur->sel >= l->n) cur->sel = l->n - 1;
    int top = view_first_row(cur->sel, rows, l->n);
    for (int i = 0; i < rows && top + i < l->n; i++)
        row(app, &l->v[top + i], b, b.y + 1 + i, app->go.focus == &view_modules && top + i == cur->sel);
    if (under) foot(app, &l->v[cur->sel], (tui_box){ b.x, b.y + b.h - under + 1, b.w, under - 1 });
}

static void command(tui_app *app, const char *what, const char *name)
{
    char *line = q_printf("/module %s %s", what, name);
    agt_submit(app->a, line);
    free(line);
}

/* The selected one stands one place further on; all are named, so that the order is what is seen. */
static void move(tui_app *app, int *sel, int by)
{
    const agt_modules *l = &app->seen.modules;
    int to = *sel + by;
    q_buf b = {0};
    if (to < 0 || to >= l->n) return;
    for (int i = 0; i < l->n; i++) {
        int k = i == *sel ? to : i == to ? *sel : i;
        q_buf_printf(&b, "%s%s", i ? " " : "", l->v[k].name);
    }
    command(app, "order", b.p);
    q_buf_free(&b);
    *sel = to;
}

static bool on_key(tui_app *app, const tui_key *k)
{
    const agt_modules *l = &app->seen.modules;
    int *sel = &tui_cursor_of(app, &view_modules)->sel, by = tui_key_step(k, 10);
    if (l->n < 1) return false;
    if (*sel >= l->n) *sel = l->n - 1;
    if (by) { tui_move(sel, by, l->n); return true; }
    const agt_module *m = &l->v[*sel];
    if (k->code == K_ENTER || (k->code == K_CHAR && !k->alt && k->cp == ' ')) { command(app, m->on ? "off" : "on", m->name); return true; }
    switch (tui_key_letter(k)) {
    case 'o': command(app, "only", m->name); return true;
    case 'e': command(app, "edit", m->name); return true;
    case 'd': command(app, "diff", m->name); return true;
    case '-': move(app, sel, -1); return true;
    case '+': case '=': move(app, sel, 1); return true;
    default: return false;
    }
}

static void on_event(tui_app *app, agt_event *e)
{
    if (e->kind == AGT_EV_MODULES) look(app);
}

static void opened(tui_app *app)
{
    look(app);
}

const tui_view view_modules = {
    .name = "modules", .digit = 'm', .action = AGT_UI_MODULE, .place = AT_INSTEAD, .zooms = false, .wide = 78,
    .hint = N_("j k walk · Enter on, off · o only · - + order · e edit · d diff · Esc back"), .draw = draw, .on_key = on_key, .on_event = on_event, .opened = opened,
};
