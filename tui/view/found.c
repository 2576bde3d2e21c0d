/* view/found: what /find found, with the words that matched. Front-end thread. */
#include "tui/view/table.h"
#include "tui/view/view.h"

#include <stdlib.h>
#include <string.h>

static void draw(tui_app *app, tui_box b)
{
    tui_grid *g = &app->grid;
    const tui_cursor *cur = tui_cursor_of(app, &view_found);
    int end = b.x + b.w - 1, rows = b.h - 1;
    char *cap = q_printf(ngettext("Found %d place", "Found %d places", (unsigned long)app->seen.n_found), app->seen.n_found);
    view_caption(app, b, cap, NULL, app->go.focus == &view_found);
    free(cap);
    int top = view_first_row(cur->sel, rows, app->seen.n_found);
    for (int i = 0; i < rows && top + i < app->seen.n_found; i++) {
        const agt_message *m = &app->seen.found[top + i];
        char t[16];
        view_when(m->created_ms, t);
        int right = tui_put_right(g, b.y + 1 + i, b.x, end, t, S_FAINT);
        /* What matched stands between \1 and \2. */
        bool sel = top + i == cur->sel, hit = false;
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

static bool on_key(tui_app *app, const tui_key *k)
{
    tui_cursor *cur = tui_cursor_of(app, &view_found);
    int by = tui_key_step(k, 10);
    if (by) { tui_move(&cur->sel, by, app->seen.n_found); return true; }
    if ((k->code != K_ENTER && k->code != K_RIGHT) || cur->sel >= app->seen.n_found) return false;
    const agt_message *m = &app->seen.found[cur->sel];
    tui_app_keep(app);
    agt_open_at(app->a, m->parent, m->id);
    tui_go_leave(app);
    return true;
}

static void on_event(tui_app *app, agt_event *e)
{
    if (e->kind != AGT_EV_FOUND) return;
    tui_seen_found(&app->seen, e);
    tui_cursor_of(app, &view_found)->sel = 0;
    if (app->seen.n_found) app->go.focus = app->go.over = &view_found;
    else tui_app_note(app, AGT_INFO, _("Nothing found. A shorter word finds more."));
}

const tui_view view_found = {
    .name = "found", .place = AT_OVER, .types = true, .hint = N_("Enter open · j k walk · Esc back"),
    .draw = draw, .on_key = on_key, .on_event = on_event,
};
