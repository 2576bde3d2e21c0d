/* view/chats: the conversations, newest first. Front-end thread. */
#include "tui/view/table.h"
#include "tui/view/view.h"

#include <stdlib.h>

static void draw(tui_app *app, tui_box b)
{
    tui_grid *g = &app->grid;
    const tui_cursor *cur = tui_cursor_of(app, &view_chats);
    bool focused = app->go.focus == &view_chats;
    int end = b.x + b.w - 1, rows = b.h - 1;
    view_caption(app, b, _("Chats"), "F2", focused);
    if (!app->seen.n_chats) { view_words(app, b, b.y + 1, 2, _("None yet: ask something."), S_DIM); return; }
    int top = view_first_row(cur->sel, rows, app->seen.n_chats);
    for (int i = 0; i < rows && top + i < app->seen.n_chats; i++) {
        const agt_chat *c = &app->seen.chats[top + i];
        char t[16];
        view_when(c->updated_ms, t);
        int y = b.y + 1 + i, right = tui_put_right(g, y, b.x + 8, end, t, S_FAINT);
        bool open = c->id == app->seen.chat, sel = focused && top + i == cur->sel;
        if (open) tui_put(g, y, b.x + 1, end, app->ui.glyphs ? "•" : "*", S_ACCENT);
        tui_put_cut(g, y, b.x + 3, right - 1, c->title && *c->title ? c->title : _("new chat"), sel ? S_SELECT : open ? S_TEXT : S_DIM);
    }
}

static void delete(tui_app *app, int64_t id, const char *arg) { agt_delete_chat(app->a, id); }

static bool on_key(tui_app *app, const tui_key *k)
{
    tui_cursor *cur = tui_cursor_of(app, &view_chats);
    const agt_chat *c = cur->sel < app->seen.n_chats ? &app->seen.chats[cur->sel] : NULL;
    int by = tui_key_step(k, 10);
    if (by) { tui_move(&cur->sel, by, app->seen.n_chats); return true; }
    if (k->code == K_ENTER && c) { tui_app_keep(app); agt_open_chat(app->a, c->id); tui_go_leave(app); return true; }
    switch (tui_key_letter(k)) {
    case 'n': tui_app_keep(app); agt_open_chat(app->a, 0); tui_go_leave(app); return true;
    case 'r':
        if (!c) return true;
        if (c->id != app->seen.chat) { tui_app_keep(app); agt_open_chat(app->a, c->id); }
        q_buf_clear(&app->scratch);
        q_buf_printf(&app->scratch, "/rename %s", c->title ? c->title : "");
        tui_go_compose(app, app->scratch.p);
        return true;
    case 'd':
        if (c) {
            char *say = q_printf(ngettext("Delete \"%s\" with its %d message for good?", "Delete \"%s\" with its %d messages for good?",
                                          (unsigned long)c->n_messages), c->title && *c->title ? c->title : _("new chat"), c->n_messages);
            tui_ask_for(app, say, delete, c->id, NULL);
            free(say);
        }
        return true;
    default: return false;
    }
}

static void on_event(tui_app *app, agt_event *e)
{
    const tui_seen *s = &app->seen;
    tui_cursor *cur = tui_cursor_of(app, &view_chats);
    bool list = e->kind == AGT_EV_CHATS;
    if (list) tui_seen_chats(&app->seen, e);
    if (list && cur->sel >= s->n_chats) cur->sel = s->n_chats ? s->n_chats - 1 : 0;
    if (!list && e->kind != AGT_EV_OPENED) return;
    int64_t open = list ? s->chat : e->id;
    for (int i = 0; i < s->n_chats && (!list || app->go.focus != &view_chats); i++) if (s->chats[i].id == open) cur->sel = i;
}

static void opened(tui_app *app) { agt_ask_chats(app->a); }

const tui_view view_chats = {
    .name = "chats", .key = K_F2, .digit = '2', .action = AGT_UI_CHATS, .place = AT_LEFT,
    .hint = N_("j k walk · n new · r rename · d delete · Enter open · Esc back"),
    .draw = draw, .on_key = on_key, .on_event = on_event, .opened = opened,
};
