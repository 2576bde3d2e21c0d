/* model/compose: what is being written, when something else wants its place: an edited question, a command that a panel
 * prepares, the draft of a conversation that opens. It is put aside and comes back; nothing is wiped. Front-end thread. */
#include "tui/model/app.h"

#include <stdlib.h>
#include <string.h>

void tui_comp_add_aside(tui_comp *c, const char *text)
{
    char *old = c->stash;
    c->stash = old && strcmp(old, text) != 0 ? q_printf("%s\n%s", text, old) : q_strdup(text);
    free(old);
}

void tui_comp_put_aside(tui_app *app)
{
    tui_comp *c = &app->comp;
    if (c->ed.b.len && !c->editing) tui_comp_add_aside(c, c->ed.b.p);    /* the text of an edited question is stored */
}

void tui_comp_come_back(tui_app *app)
{
    tui_comp *c = &app->comp;
    if (!c->stash || c->ed.b.len || c->editing) return;
    tui_edit_paste(&c->ed, c->stash, strlen(c->stash));
    free(c->stash);
    c->stash = NULL;
}

/* A question's text stays as a draft. An answer's must not be sent as a question: it goes (Ctrl-Y brings it), and what stood here
 * before comes back. */
void tui_comp_leave(tui_app *app)
{
    tui_comp *c = &app->comp;
    bool away = c->editing && c->amend;
    c->editing = 0;
    if (!away) return;
    tui_edit_move(&c->ed, M_END);
    tui_edit_kill(&c->ed, M_START);
    tui_comp_come_back(app);
}

const char *tui_draft(tui_app *app)
{
    const tui_comp *c = &app->comp;
    const char *typed = c->editing || !c->ed.b.p ? "" : c->ed.b.p;
    if (!c->stash) return typed;
    q_buf_clear(&app->scratch);
    q_buf_printf(&app->scratch, "%s%s%s", typed, *typed ? "\n" : "", c->stash);
    return app->scratch.p;
}
