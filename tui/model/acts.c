/* model/acts: what several keys and commands do alike: the pages of help and log, copying, editing a question, amending an answer. Front-end
 * thread. */
#include "tui/model/app.h"
#include "tui/term/text.h"

#include <stdlib.h>

static const struct { const char *keys, *what; } key_help[] = {
    { "Enter", N_("send") }, { "Ctrl-J, Alt-Enter, \\ Enter", N_("new line") }, { "Ctrl-C, Esc", N_("stop the answer") },
    { "F7 F8", N_("fewer, more experts from the next token") }, { "F6, →", N_("pause; one token at a time") },
    { "F9", N_("the configuration before, and on") }, { "F2 F3 F4 F5", N_("chats, experts, memory, config (Ctrl-X 2 3 4 5)") },
    { "Tab", N_("complete; in an empty composer: walk the transcript") }, { "PgUp PgDn Home End", N_("scroll; to the beginning; back to the end") },
    { "Ctrl-R, ↑ ↓", N_("search the history; walk it") }, { "Ctrl-X Ctrl-E", N_("write in $EDITOR") },
    { "Ctrl-T", N_("unfold or fold the thinking, or a long paste") }, { "Ctrl-A E K U W Y _, Alt-B F D", N_("as in readline; Ctrl-_ undoes") },
    { "Ctrl-L, Ctrl-Z", N_("repaint; suspend") }, { "Ctrl-D", N_("quit, when the composer is empty") } };

void tui_act_help(tui_app *app)
{
    q_buf b = {0};
    int n, w = 0;
    for (size_t i = 0; i < sizeof key_help / sizeof *key_help; i++)
        q_buf_printf(&b, "%s%*s  %s\n", key_help[i].keys, 30 - tui_str_width(key_help[i].keys), "", _(key_help[i].what));
    q_buf_puts(&b, "\n");
    const agt_command *c = agt_commands(&n);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < n; i++) {
            char *left = q_printf("/%s%s%s%s%s", c[i].name, c[i].args && *c[i].args ? " " : "", c[i].args && *c[i].args ? _(c[i].args) : "",
                                  c[i].ru ? "  /" : "", c[i].ru ? c[i].ru : "");
            int k = tui_str_width(left);
            if (pass == 0) { if (k > w && k <= 44) w = k; }
            else q_buf_printf(&b, "%s%*s  %s%s%s\n", left, w > k ? w - k : 0, "", c[i].help ? _(c[i].help) : "", c[i].key ? " · " : "",
                              c[i].key ? c[i].key : "");
            free(left);
        }
    if (app->say.note_level == AGT_INFO) tui_say_hush(&app->say);      /* as every panel: its keys are to be seen */
    tui_go_page(app, _("Keys and commands"), b.p);
    q_buf_free(&b);
}

void tui_act_log(tui_app *app)
{
    static const char *const mark[3] = { " ", "!", "✗" };
    q_buf b = {0};
    for (int i = app->say.n_log - 1; i >= 0; i--)
        q_buf_printf(&b, "%s %s\n", mark[app->say.log[i].level < 0 || app->say.log[i].level > 2 ? 0 : app->say.log[i].level], app->say.log[i].text);
    tui_go_page(app, _("Log, newest first"), b.p ? b.p : _("Nothing has been said yet."));
    q_buf_free(&b);
}

tui_item *tui_last_of(tui_transcript *t, enum agt_role role, int from)
{
    for (int i = from; i >= 0; i--) if (t->item[i].role == role) return &t->item[i];
    return NULL;
}

/* The original text, not what was drawn. OSC 52 in most terminals takes about 74,994 bytes before base64. */
void tui_act_copy(tui_app *app, const tui_item *it)
{
    enum { LIMIT = 74994 };
    if (!it || !it->text.len) { tui_app_note(app, AGT_INFO, _("Nothing to copy yet.")); return; }
    if (it->text.len > LIMIT) {
        tui_app_note(app, AGT_WARN, _("Too long for the terminal's clipboard (73 KiB): /trace and the store keep it."));
        return;
    }
    free(app->clip);
    app->clip = q_strdup(it->text.p);
    int n = 0;
    uint32_t cp;
    for (size_t i = 0; i < it->text.len; i += (size_t)q_utf8_next(it->text.p + i, it->text.len - i, &cp)) n++;
    char *say = q_printf(ngettext("Copied %d character.", "Copied %d characters.", (unsigned long)n), n);
    tui_app_note(app, AGT_INFO, say);
    free(say);
}

void tui_act_edit(tui_app *app, tui_item *q)
{
    if (!q) return;
    tui_go_leave(app);
    tui_comp_put_aside(app);
    tui_edit_set(&app->comp.ed, q->text.p ? q->text.p : "");
    app->comp.editing = q->id;
    app->comp.amend = false;
}

void tui_act_amend(tui_app *app, const tui_item *it, const char *text)
{
    if (!it || (it->running && !text)) {
        tui_app_note(app, AGT_INFO, it ? _("The answer still runs: Ctrl-C stops it, then it can be amended.") : _("Nothing to amend yet."));
        return;
    }
    tui_go_leave(app);
    tui_comp_put_aside(app);
    tui_edit_set(&app->comp.ed, text ? text : it->role == AGT_ASSISTANT && it->text.p ? it->text.p : "");
    app->comp.editing = it->id;
    app->comp.amend = true;
}
