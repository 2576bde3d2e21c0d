/* view/draw: one frame: sizes to layout, each view into its box, the overlay last. Front-end thread; the only caller of
 * the views. A frame is drawn from the app's state alone and changes nothing but caches of layout. */
#include "tui/model/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lines of "name  words…" hang under their second column. */
static void lay_columns(tui_lay *l, const char *s, int w)
{
    tui_para p = {0};
    while (*s) {
        size_t n = strcspn(s, "\n"), i = 0;
        while (i < n && s[i] == ' ') i++;
        while (i + 1 < n && !(s[i] == ' ' && s[i + 1] == ' ')) i++;
        while (i < n && s[i] == ' ') i++;
        int col = i + 1 < n ? tui_text_width(s, i) : 0;
        if (col > w / 2) col = 4;
        char *pad = q_printf("%*s", col, "");
        tui_para_clear(&p);
        tui_para_add(&p, s, n, S_TEXT);
        tui_lay_para(l, &p, w, "", pad, S_TEXT, false);
        free(pad);
        s += n + (s[n] == '\n');
    }
    tui_para_free(&p);
}

void view_page(tui_app *app, tui_box b)
{
    tui_grid *g = &app->grid;
    tui_page *p = &app->page;
    int w = b.w - 4 > 100 ? 100 : b.w - 4, rows = b.h - 1;
    if (p->width != w) {
        tui_lay_clear(&p->lay);
        lay_columns(&p->lay, p->text.p ? p->text.p : "", w);
        p->width = w;
    }
    if (p->top > (int)p->lay.n_line - rows) p->top = (int)p->lay.n_line - rows;
    if (p->top < 0) p->top = 0;
    int more = (int)p->lay.n_line - rows - p->top;
    char s[32];
    snprintf(s, sizeof s, "%d%%", (int)p->lay.n_line > rows ? 100 * (p->top + rows) / (int)p->lay.n_line : 100);
    view_caption(app, b, p->title ? p->title : "", more > 0 || p->top ? s : NULL, true);
    for (int i = 0; i < rows && p->top + i < (int)p->lay.n_line; i++)
        tui_lay_draw(&p->lay, (uint32_t)(p->top + i), g, b.y + 1 + i, b.x + 2, b.x + b.w);
}

static void rules(tui_app *app)
{
    for (int i = 0; i < app->lay.n_rule; i++)
        for (int y = app->lay.body_y; y < app->lay.body_y + app->lay.body_h; y++)
            tui_put(&app->grid, y, app->lay.rule[i], app->lay.rule[i] + 1, app->glyphs ? "│" : "|", S_RULE);
}

static void tiny(tui_app *app)
{
    static const char say[] = N_("This window is too small to show the conversation (60x20 at least); the composer works.");
    tui_lay l = {0};
    tui_box b = app->lay.notice;
    tui_lay_plain(&l, _(say), strlen(_(say)), b.w - 2, "", S_TEXT);
    if (app->note) tui_lay_plain(&l, app->note, strlen(app->note), b.w - 2, "", S_ACCENT);
    for (uint32_t i = 0; i < l.n_line && (int)i < b.h; i++) tui_lay_draw(&l, i, &app->grid, b.y + (int)i, b.x + 1, b.x + b.w);
    tui_lay_free(&l);
    view_composer(app, app->lay.composer);
}

/* The box of what lies over the transcript; w 0: nothing does. */

static void refresh(tui_app *app)
{
    agt_get_status(app->a, &app->st);
    /* With ui.motion off the panels follow once a second. */
    if (app->motion || app->now - app->rt_at >= 1000 || !app->rt_at) {
        agt_get_routing(app->a, &app->rt);
        app->rt_at = app->now ? app->now : 1;
    }
    if (app->note && app->now >= app->note_until) {
        free(app->note);
        app->note = NULL;
    }
}

void tui_app_draw(tui_app *app)
{
    tui_grid *g = &app->grid;
    refresh(app);
    tui_grid_clear(g);
    tui_layout_in in = {
        .w = g->w, .h = g->h,
        .composer_rows = tui_edit_rows(&app->ed, view_composer_cells(app, g->w), NULL, 0, NULL, NULL),
        .notice_rows = view_notice_rows(app, g->w),
        .panel_w = app->panel_w, .zoom = app->zoom, .config = app->config_open,
        .overlay = app->over != FOCUS_COMPOSER, .overlay_full = app->over == FOCUS_PAGE || app->over == FOCUS_FOUND,
        .overlay_rows = app->over == FOCUS_EXPERTS ? tui_experts_rows(app, g->w) + 1 : 0,
        .strip = app->st.n_expert > 0 || app->loading,
    };
    int body = g->h - 2 - (in.composer_rows < g->h / 3 ? in.composer_rows : g->h / 3) - in.notice_rows;
    in.experts_rows = tui_experts_rows_in(app, app->panel_w ? app->panel_w : LAY_PANEL, body - 5);
    tui_layout_make(&in, &app->lay);
    tui_layout *l = &app->lay;
    app->dirty = false;
    if (l->tiny) { tiny(app); return; }
    view_status(app, l->status);
    rules(app);
    view_transcript(app, l->transcript);
    if (l->chats.w) view_chats(app, l->chats);
    if (l->experts.w) view_experts(app, l->experts);
    if (l->memory.w) view_memory(app, l->memory);
    if (l->config.w) view_config(app, l->config);
    if (l->strip.w) view_strip(app, l->strip);
    if (l->overlay.w) {
        tui_box b = l->overlay;
        tui_fill(g, b.y, b.x, b.w, b.h, S_TEXT);
        if (b.h < l->transcript.h) {                        /* one thin rule below */
            b.h--;
            for (int x = b.x; x < b.x + b.w; x++) tui_put(g, b.y + b.h, x, x + 1, app->glyphs ? "─" : "-", S_RULE);
        }
        switch (app->over) {
        case FOCUS_CHATS: view_chats(app, b); break;
        case FOCUS_EXPERTS: view_experts(app, b); break;
        case FOCUS_MEMORY: view_memory(app, b); break;
        case FOCUS_CONFIG: view_config(app, b); break;
        case FOCUS_PAGE: view_page(app, b); break;
        case FOCUS_FOUND: view_found(app, b); break;
        default: break;
        }
    }
    if (l->notice.w) view_notice(app, l->notice);
    view_composer(app, l->composer);
    view_hint(app, l->hint);
    if (app->popup.n) view_popup(app, l->composer);
}
