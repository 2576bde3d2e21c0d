/* model/ask: a question before what cannot be taken back. Front-end thread. */
#include "tui/model/app.h"

#include <stdlib.h>
#include <string.h>

void tui_ask_free(tui_ask *ask)
{
    free(ask->question);
    free(ask->arg);
    memset(ask, 0, sizeof *ask);
}

void tui_ask_for(tui_app *app, const char *question, void (*yes)(tui_app *, int64_t, const char *), int64_t id, const char *arg)
{
    tui_ask_free(&app->ask);
    app->ask = (tui_ask){ .question = q_strdup(question), .arg = q_strdup(arg ? arg : ""), .id = id, .yes = yes };
    app->owed.all = true;
}

/* y, and the Russian letter of yes. The key of y is no yes on a Russian layout: its letter there begins the word "no". */
static bool says_yes(const tui_key *k)
{
    return !k->alt && k->code == K_CHAR && (k->cp == 'y' || k->cp == 'Y' || k->cp == 0x434 || k->cp == 0x414);
}

bool tui_ask_key(tui_app *app, const tui_key *k)
{
    tui_ask ask = app->ask;
    memset(&app->ask, 0, sizeof app->ask);
    bool yes = says_yes(k), typed = k->code == K_CHAR && k->cp >= 32;
    if (yes) ask.yes(app, ask.id, ask.arg);
    else tui_app_note(app, AGT_INFO, _("Left as it is."));
    tui_ask_free(&ask);
    /* Esc, Ctrl-C and letters were the answer; a function key or a paste goes on to do what it does. */
    return yes || typed || k->code == K_ESC || k->code == K_ENTER || (k->code == K_CHAR && k->cp == CTRL_KEY('C'));
}
