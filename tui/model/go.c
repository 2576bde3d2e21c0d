/* model/go: where one is: which panel has the focus, what lies over the transcript, and one step back. Front-end thread.
 * It knows panels by their rows only. */
#include "tui/model/app.h"

#include <stdlib.h>
#include <string.h>

const tui_view *tui_view_named(const tui_app *app, const char *name)
{
    for (int i = 0; i < app->n_view; i++) if (strcmp(app->view[i]->name, name) == 0) return app->view[i];
    return NULL;
}

tui_cursor *tui_cursor_of(tui_app *app, const tui_view *v)
{
    int i = 0;
    while (i < app->n_view - 1 && app->view[i] != v) i++;
    return &app->go.cursor[i];
}

tui_box tui_box_of(const tui_layout *l, const tui_view *v, const tui_go *go)
{
    const tui_box none = { 0, 0, 0, 0 };
    switch (v->place) {
    case AT_LEFT: return l->chats;
    case AT_UPPER: return l->upper;
    case AT_LOWER: return l->lower;
    case AT_INSTEAD: return go->instead == v ? l->instead : none;
    default: return none;
    }
}

/* The cursor in the transcript is there while its panel is. */
static void cursor_away(tui_app *app)
{
    if (app->tr.token.message) tui_tr_token_at(&app->tr, 0, 0, 0, 0, 0, NULL);
}

void tui_go_open(tui_app *app, const tui_view *v)
{
    tui_go *go = &app->go;
    if (!v) return;
    cursor_away(app);
    if (go->focus == v) { tui_go_leave(app); return; }
    if (app->say.note_level == AGT_INFO) tui_say_hush(&app->say);      /* its keys are to be seen; /log keeps the sentence */
    bool column = v->place == AT_LEFT ? app->lay.chats.w > 0 : v->place != AT_OVER && app->lay.wide;
    if (v->opened && go->back != v) v->opened(app);
    go->instead = v->place == AT_INSTEAD && app->lay.wide ? v : NULL;
    bool panel = v->place == AT_UPPER || v->place == AT_LOWER;
    if (app->lay.wide && panel && go->zoom && go->zoom != v) go->zoom = NULL;
    go->over = column ? NULL : v;
    go->focus = v;
    go->back = NULL;
}

void tui_go_leave(tui_app *app)
{
    tui_go *go = &app->go;
    if (go->focus && go->focus->place == AT_TEXT) {
        app->tr.selected = -1;
        agt_show_routing(app->a, 0);
    }
    cursor_away(app);
    go->focus = go->over = go->back = go->instead = NULL;
}

void tui_go_back(tui_app *app)
{
    const tui_view *in = app->go.over ? app->go.over : app->go.focus;
    if (in && in->back && in->back(app)) return;
    const tui_view *back = app->go.over && app->go.over->place == AT_OVER ? app->go.back : NULL;
    tui_go_leave(app);
    app->go.back = back;                /* what was selected there stays so */
    if (back) tui_go_open(app, back);
}

void tui_go_zoom(tui_app *app, const tui_view *v) { app->go.zoom = app->go.zoom == v ? NULL : v; }

void tui_go_page(tui_app *app, const char *title, const char *text) { tui_go_page_at(app, title, text, 0, 0); }

void tui_go_page_at(tui_app *app, const char *title, const char *text, size_t from, size_t to)
{
    tui_page *p = &app->page;
    tui_set_text(&p->title, title);
    q_buf_clear(&p->text);
    q_buf_puts(&p->text, text);
    p->width = p->top = 0;
    p->to = to <= p->text.len ? to : p->text.len;
    p->from = from < p->to ? from : p->to;
    app->go.page_old = false;
    tui_go_over(app, tui_view_named(app, "page"));
}

void tui_go_over(tui_app *app, const tui_view *v)
{
    tui_go *go = &app->go;
    if (go->focus && (go->focus->place == AT_UPPER || go->focus->place == AT_LOWER || (go->focus->place == AT_INSTEAD && go->focus->zooms))) go->back = go->focus;
    else if (go->over != v) go->back = NULL;
    go->focus = go->over = v;
}

void tui_go_compose(tui_app *app, const char *text)
{
    tui_go_leave(app);
    tui_comp_put_aside(app);
    app->comp.editing = 0;
    tui_edit_set(&app->comp.ed, text);
}
