/* model/app: what every part of the screen may ask of the whole: sentences, widths, the first screen's questions, what is
 * kept over a restart. Front-end thread; knows no panel by name. */
#include "tui/model/app.h"
#include "tui/term/text.h"

#include <string.h>

void tui_app_note(tui_app *app, int level, const char *text)
{
    tui_say_note(&app->say, app->now, level, text);
    app->owed.all = true;
}

/* What a restart should find again. History keeps its newest 32 KiB. */
void tui_app_keep(tui_app *app)
{
    tui_set_text(&app->comp.kept, tui_draft(app));
    agt_keep_place(app->a, app->seen.chat, tui_tr_place(&app->tr), app->comp.kept);
    q_buf_clear(&app->scratch);
    q_buf_printf(&app->scratch, "%d", app->go.panel_w);
    agt_setting_put(app->a, "tui.panel_width", app->scratch.p);
    q_buf_clear(&app->scratch);
    q_buf_printf(&app->scratch, "%u", app->knobs.folded);
    agt_setting_put(app->a, "tui.config_folded", app->scratch.p);
    agt_setting_put(app->a, "tui.zoom", app->go.zoom ? app->go.zoom->name : "");
    const tui_edit *ed = &app->comp.ed;
    enum { KEEP = 32768, LONGEST = KEEP / 4 };           /* one long message does not push out all others */
    size_t size = 0;
    int from = ed->n_hist;
    for (; from > 0; from--) {
        size_t n = strlen(ed->hist[from - 1]);
        if (n > LONGEST) continue;
        if (size + n >= KEEP) break;
        size += n + 1;
    }
    q_buf_clear(&app->scratch);
    for (int i = from; i < ed->n_hist; i++)
        if (strlen(ed->hist[i]) <= LONGEST) { q_buf_puts(&app->scratch, ed->hist[i]); q_buf_putc(&app->scratch, '\x1e'); }
    agt_setting_put(app->a, "tui.history", app->scratch.p ? app->scratch.p : "");
}

void tui_app_knob(tui_app *app, const char *name, const char *value)
{
    bool on = !value || (strcmp(value, "off") != 0 && strcmp(value, "0") != 0 && strcmp(value, "false") != 0);
    if (strcmp(name, "ui.motion") == 0) app->ui.motion = on;
    else if (strcmp(name, "ui.mouse") == 0) app->ui.mouse = on;
    else if (strcmp(name, "ui.thinking") == 0) app->ui.think_open = value && strcmp(value, "open") == 0;
}

void tui_app_resize(tui_app *app, int w, int h)
{
    tui_grid_size(&app->grid, w, h);
    app->owed.all = true;
}

/* The thinking line counts seconds; a sentence goes away; motion off: panels once a second. */
int tui_app_timeout(const tui_app *app)
{
    int64_t t = -1;
    if (app->say.note) t = app->say.note_until - app->now;
    for (int i = app->tr.n - 1; i >= 0 && i >= app->tr.n - 2; i--)
        if (app->tr.item[i].running && (t < 0 || t > 1000)) t = 1000;
    return t < -1 ? 0 : t > 60000 ? 60000 : (int)(t < 0 && app->say.note ? 0 : t);
}

int tui_transcript_width(const tui_app *app)
{
    int w = app->lay.transcript.w - TUI_INDENT - 2;
    return w > 100 ? 100 : w;           /* longer lines are hard to read back */
}

const char *tui_composer_prompt(const tui_app *app) { return app->comp.ed.searching ? "? " : app->seen.approve.typing || app->seen.approve.between ? "! " : app->comp.editing ? app->comp.amend ? "a " : "e " : "> "; }

int tui_composer_cells(const tui_app *app, int width) { return width - 2 - tui_str_width(tui_composer_prompt(app)); }

static const char *const questions[TUI_QUESTIONS] = { N_("Why is the sky blue?"), N_("Write four lines about autumn rain."),
                                                      N_("What is photosynthesis?") };
/* In the interface's language only where the model is known to speak it. */
const char *tui_question(const tui_app *app, int i) { return strstr(app->seen.st.languages, "ru") ? _(questions[i]) : questions[i]; }

bool tui_app_first(const tui_app *app) { return app->tr.n == 0; }
