/* model/open: an app as it begins and ends: sizes and hints of the last time, the knobs of the screen. Front-end thread. */
#include "tui/view/table.h"

#include <stdlib.h>
#include <string.h>

static int setting_int(tui_app *app, const char *key)
{
    char *s = agt_setting_get(app->a, key);
    int v = s ? atoi(s) : 0;
    free(s);
    return v;
}

void tui_app_init(tui_app *app, agt *a, int w, int h)
{
    memset(app, 0, sizeof *app);
    app->a = a;
    app->view = tui_views;
    app->n_view = tui_views_count();
    app->owed.all = app->ui.motion = app->ui.glyphs = app->ui.mouse = true;
    app->tr.follow = true;
    app->tr.selected = -1;
    tui_grid_size(&app->grid, w, h);
    app->go.panel_w = setting_int(app, "tui.panel_width");
    char *zoom = agt_setting_get(a, "tui.zoom");
    const tui_view *z = zoom ? tui_view_named(app, zoom) : NULL;
    if (z && z->zooms) app->go.zoom = z;
    free(zoom);
    app->ui.hinted_k = setting_int(app, "tui.hint.k");
    app->ui.hinted_lang = setting_int(app, "tui.hint.language");
    char *folded = agt_setting_get(a, "tui.config_folded");
    app->knobs.folded = folded ? (unsigned)strtoul(folded, NULL, 10) : 1u << (TUI_KNOB_GROUPS - 1);     /* what is fixed is not in the way */
    free(folded);
    char *hist = agt_setting_get(a, "tui.history"), *save = NULL;
    for (char *s = hist ? strtok_r(hist, "\x1e", &save) : NULL; s; s = strtok_r(NULL, "\x1e", &save)) tui_edit_remember(&app->comp.ed, s);
    free(hist);
    for (int i = 0; i < agt_knob_count(a); i++)
        if (strncmp(agt_knob(a, i)->name, "ui.", 3) == 0) tui_app_knob(app, agt_knob(a, i)->name, agt_knob_value(a, agt_knob(a, i), &app->scratch));
    agt_get_status(a, &app->seen.st);
    agt_ask_chats(a);
}

void tui_app_free(tui_app *app)
{
    tui_tr_free(&app->tr);
    tui_edit_free(&app->comp.ed);
    tui_grid_free(&app->grid);
    tui_seen_free(&app->seen);
    tui_work_free(&app->work);
    tui_say_free(&app->say);
    tui_popup_close(app);
    tui_ask_free(&app->ask);
    free(app->comp.stash);
    free(app->comp.kept);
    free(app->page.title);
    q_buf_free(&app->page.text);
    tui_lay_free(&app->page.lay);
    for (int i = 0; i < 2; i++) {
        lab_zoom_free(&app->zoom.of[i]);
        free(app->zoom.why[i]);
    }
    lab_columns_free(&app->columns.c);
    tui_lay_free(&app->columns.lay[0]);
    tui_lay_free(&app->columns.lay[1]);
    free(app->knobs.row);
    q_buf_free(&app->scratch);
    free(app->clip);
    free(app->comp.file);
}
