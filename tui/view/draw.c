/* view/draw: one frame: sizes to layout, each view into its box, the overlay last. Front-end thread; the only caller of
 * the views. A frame is drawn from the app's state alone and changes nothing but caches of layout. */
#include "tui/view/view.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static void rules(tui_app *app)
{
    for (int i = 0; i < app->lay.n_rule; i++)
        for (int y = app->lay.body_y; y < app->lay.body_y + app->lay.body_h; y++)
            tui_put(&app->grid, y, app->lay.rule[i], app->lay.rule[i] + 1, app->ui.glyphs ? "│" : "|", S_RULE);
}

static void tiny(tui_app *app)
{
    static const char say[] = N_("This window is too small to show the conversation (30x8 at least); the composer works.");
    tui_lay l = {0};
    tui_box b = app->lay.notice;
    tui_lay_plain(&l, _(say), strlen(_(say)), b.w - 2, "", S_TEXT);
    if (app->ask.question) tui_lay_plain(&l, app->ask.question, strlen(app->ask.question), b.w - 2, "", S_WARN);
    if (app->seen.approve.id) {                              /* too small to see what it would do: it can be refused or stopped */
        tui_lay_plain(&l, app->seen.approve.call.title, strlen(app->seen.approve.call.title), b.w - 2, "", S_WARN);
        tui_lay_plain(&l, _("Esc stops it; a larger window shows what it would do."), strlen(_("Esc stops it; a larger window shows what it would do.")), b.w - 2, "", S_WARN);
    }
    if (app->say.note) tui_lay_plain(&l, app->say.note, strlen(app->say.note), b.w - 2, "", S_ACCENT);
    for (uint32_t i = 0; i < l.n_line && (int)i < b.h; i++) tui_lay_draw(&l, i, &app->grid, b.y + (int)i, b.x + 1, b.x + b.w);
    tui_lay_free(&l);
    view_composer(app, app->lay.composer);
}

static void refresh(tui_app *app)
{
    agt_get_status(app->a, &app->seen.st);
    agt_get_turned(app->a, &app->seen.turned);
    /* With ui.motion off the panels follow once a second. */
    if (app->ui.motion || app->now - app->seen.rt_at >= 1000 || !app->seen.rt_at) {
        agt_get_routing(app->a, &app->seen.rt);
        app->seen.rt_at = app->now ? app->now : 1;
    }
    if (app->say.note && app->now >= app->say.note_until) tui_say_hush(&app->say);
}

static enum tui_zoom zoomed(const tui_go *go)
{
    if (!go->zoom) return ZOOM_NONE;
    if (go->zoom->place == AT_INSTEAD) return go->zoom == go->instead ? ZOOM_INSTEAD : ZOOM_NONE;
    return go->zoom->place == AT_UPPER ? ZOOM_UPPER : ZOOM_LOWER;
}

static void lay_out(tui_app *app)
{
    const tui_grid *g = &app->grid;
    const tui_go *go = &app->go;
    const tui_view *upper = NULL;
    for (int i = 0; i < app->n_view; i++) if (app->view[i]->place == AT_UPPER) upper = app->view[i];
    tui_layout_in in = {
        .w = g->w, .h = g->h,
        .composer_rows = tui_edit_rows(&app->comp.ed, tui_composer_cells(app, g->w), NULL, 0, NULL, NULL),
        .notice_rows = view_notice_rows(app, g->w),
        .panel_w = go->panel_w, .zoom = zoomed(go),
        .instead = go->instead != NULL, .instead_w = go->instead ? go->instead->wide : 0, .overlay = go->over != NULL,
        .overlay_full = go->over && (go->over->place == AT_OVER || go->over == go->zoom),
        .overlay_rows = go->over && go->over->height ? go->over->height(app, g->w, INT_MAX - 1) + 1 : 0,
        .strip = app->seen.st.n_expert > 0 || app->work.loading ? 1 + (view_effect_rows(app) > 0) : 0,
    };
    int body = g->h - 2 - (in.composer_rows < g->h / 3 ? in.composer_rows : g->h / 3) - in.notice_rows;
    in.upper_rows = upper && upper->height ? upper->height(app, go->panel_w ? go->panel_w : LAY_PANEL, body - 5) : 0;
    tui_layout_make(&in, &app->lay);
}

/* A window that became narrower or wider: a panel with the focus stays in sight. True: its place changed. */
static bool keep_in_sight(tui_app *app)
{
    tui_go *go = &app->go;
    const tui_view *v = go->over ? go->over : go->focus;
    if (!v || v->place == AT_OVER || v->place == AT_TEXT || app->lay.tiny) return false;
    const tui_view *over = go->over, *instead = go->instead;
    go->instead = v->place == AT_INSTEAD && app->lay.wide ? v : NULL;
    bool column = v->place == AT_LEFT ? app->lay.chats.w > 0 : app->lay.wide;
    go->over = column ? NULL : v;
    return over != go->over || instead != go->instead;
}

/* Where the conversation is drawn: while its end is followed below a panel that covers the upper part only, in what the panel
 * leaves free, so that a short one is not hidden; so where a token in it is looked at. One that was scrolled stays where it is. */
static tui_box beneath(const tui_app *app)
{
    tui_box t = app->lay.transcript;
    t.h -= app->tr.n ? view_plan_rows(app) : 0;
    int over = app->lay.overlay.w ? app->lay.overlay.h : 0;
    if (over && over < t.h && (app->tr.follow || app->tr.token.message) && app->tr.n) {
        t.y += over;
        t.h -= over;
    }
    return t;
}

void tui_app_draw(tui_app *app)
{
    tui_grid *g = &app->grid;
    refresh(app);
    tui_grid_clear(g);
    lay_out(app);
    if (keep_in_sight(app)) lay_out(app);
    tui_layout *l = &app->lay;
    app->owed = (tui_owed){ .all_at = app->now, .text_at = app->now };
    if (l->tiny) { tiny(app); return; }
    if (l->status.w) view_status(app, l->status);
    rules(app);
    view_transcript(app, beneath(app));
    int plan = app->tr.n ? view_plan_rows(app) : 0;
    if (plan) view_plan(app, (tui_box){ l->transcript.x, l->transcript.y + l->transcript.h - plan, l->transcript.w, plan });
    for (int i = 0; i < app->n_view; i++) {
        tui_box b = tui_box_of(l, app->view[i], &app->go);
        if (b.w) app->view[i]->draw(app, b);
    }
    if (l->strip.w) view_strip(app, l->strip);
    if (l->strip.w && l->strip.h > 1) view_effect_line(app, (tui_box){ l->strip.x, l->strip.y + 1, l->strip.w, 1 });
    if (l->overlay.w) {
        tui_box b = l->overlay;
        tui_fill(g, b.y, b.x, b.w, b.h, S_TEXT);
        if (b.h < l->transcript.h) {                        /* one thin rule below */
            b.h--;
            for (int x = b.x; x < b.x + b.w; x++) tui_put(g, b.y + b.h, x, x + 1, app->ui.glyphs ? "─" : "-", S_RULE);
        }
        if (app->go.over->draw) app->go.over->draw(app, b);
    }
    if (app->seen.approve.id && l->transcript.w) view_approve(app);
    if (l->notice.w) view_notice(app, l->notice);
    view_composer(app, l->composer);
    view_hint(app, l->hint);
    if (app->comp.popup.n) view_popup(app, l->composer);
}

/* Only the words of a running answer have changed: nothing but the conversation is drawn again. Not where something lies over it that
 * is drawn later. */
static bool words_alone(const tui_app *app)
{
    const tui_owed *o = &app->owed;
    return !o->all && o->text && !app->seen.approve.id && !app->lay.tiny && app->lay.transcript.w && app->tr.n && !app->comp.popup.n && app->lay.overlay.h < app->lay.transcript.h;
}

void tui_app_frame(tui_app *app)
{
    tui_box b = beneath(app);
    if (!words_alone(app) || tui_panels_due(app)) {
        tui_app_draw(app);
        return;
    }
    tui_fill(&app->grid, b.y, b.x, b.w, b.h, S_TEXT);
    view_transcript(app, b);
    app->owed.text = false;
    app->owed.text_at = app->now;
}
