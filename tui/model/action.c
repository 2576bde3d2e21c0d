/* model/action: the commands that only a front end can do (AGT_UI_*). Front-end thread. */
#include "tui/model/app.h"
#include "tui/tui.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void take_screenshot(tui_app *app, int64_t id, const char *path)
{
    char err[Q_ERRLEN], *say;
    (void)id;
    tui_say_hush(&app->say);
    tui_app_draw(app);
    if (tui_svg(&app->grid, &app->theme, path, err) < 0) { tui_app_note(app, AGT_ERROR, err); return; }
    agt_outside(app->a, "picture", path);
    say = q_printf(_("The screen is in %s."), path);
    tui_app_note(app, AGT_INFO, say);
    free(say);
}

static void screenshot(tui_app *app, const char *path)
{
    while (*path == ' ') path++;
    if (!*path) path = "quorum.svg";
    if (access(path, F_OK) != 0) { take_screenshot(app, 0, path); return; }
    char *say = q_printf(_("%s exists: write the picture over it?"), path);
    tui_ask_for(app, say, take_screenshot, 0, path);
    free(say);
}

/* Reasons and numbers come in words: once more, in the language that is spoken now. */
static void passages_anew(tui_app *app)
{
    for (int i = app->tr.n - 1; i >= 0; i--) {
        const tui_item *it = &app->tr.item[i];
        bool its = it->id == app->seen.ret_id || (i > 0 && it[-1].id == app->seen.ret_id);     /* a live search bears its question's number */
        if (it->role != AGT_ASSISTANT || it->running || !its) continue;
        agt_ask_retrieval(app->a, it->id);
        return;
    }
}

void tui_act(tui_app *app, int action, const char *arg)
{
    char err[Q_ERRLEN];
    if (!arg) arg = "";
    switch (action) {
    case AGT_UI_QUIT: app->want = WANT_QUIT; break;
    case AGT_UI_HELP: tui_act_help(app); break;
    case AGT_UI_COPY: tui_act_copy(app, tui_last_of(&app->tr, AGT_ASSISTANT, app->tr.n - 1)); break;
    case AGT_UI_SCREENSHOT: screenshot(app, arg); break;
    case AGT_UI_THEME: {
        tui_theme t;
        if (tui_theme_load(*arg ? arg : strcmp(app->theme.name, "dark") == 0 ? "light" : "dark", &t, err) < 0) tui_app_note(app, AGT_ERROR, err);
        else { app->theme = t; app->want = WANT_REPAINT; }
        break;
    }
    case AGT_UI_EDITOR: app->want = WANT_EDITOR; break;
    case AGT_UI_FILE:
        free(app->comp.file);
        app->comp.file = q_strdup(arg);
        app->want = WANT_FILE;
        break;
    case AGT_UI_LOG: tui_act_log(app); break;
    case AGT_UI_EDIT:
        if (*arg) {                     /* words that could not be taken come back, before what was typed since */
            q_buf b = {0};
            q_buf_printf(&b, "%s%s%s", arg, app->comp.ed.b.len ? "\n" : "", app->comp.ed.b.p ? app->comp.ed.b.p : "");
            tui_go_leave(app);
            tui_edit_set(&app->comp.ed, b.p);
            q_buf_free(&b);
        } else tui_act_edit(app, tui_last_of(&app->tr, AGT_USER, app->tr.n - 1));
        break;
    case AGT_UI_AMEND: {                 /* with words: they could not be taken */
        const tui_item *last = app->tr.n ? &app->tr.item[app->tr.n - 1] : NULL;
        tui_act_amend(app, last, *arg ? arg : NULL);
        break;
    }
    case AGT_UI_FIND: tui_go_compose(app, "/find "); break;
    case AGT_UI_FORGOTTEN: tui_edit_forget(&app->comp.ed, arg); break;
    case AGT_UI_LANG:
        tui_lang(arg);
        app->page.width = app->columns.width = 0;
        if (app->seen.has_ret) passages_anew(app);
        break;
    case AGT_UI_CLEAR: app->want = WANT_REPAINT; break;
    default:
        for (int i = 0; i < app->n_view; i++) if (action && app->view[i]->action == action) tui_go_open(app, app->view[i]);
    }
    app->owed.all = true;
}
