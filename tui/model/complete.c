/* model/complete: Tab: the common part at once, then a list that Tab walks. Front-end thread; the words come from the
 * agent's tables. */
#include "tui/model/app.h"
#include "tui/term/text.h"

#include <stdlib.h>
#include <string.h>

void tui_popup_close(tui_app *app)
{
    tui_popup *p = &app->comp.popup;
    for (int i = 0; i < p->n; i++) free(p->item[i]);
    free(p->item);
    memset(p, 0, sizeof *p);
}

/* What all completions share, in whole characters. */
static size_t common(char **item, int n)
{
    size_t k = strlen(item[0]);
    for (int i = 1; i < n; i++) {
        size_t j = 0;
        while (j < k && item[i][j] == item[0][j]) j++;
        k = j;
    }
    return q_utf8_whole(item[0], k);
}

static void insert(tui_app *app, size_t start, const char *s, size_t n, bool blank)
{
    char *t = q_printf("%.*s%s", (int)n, s, blank ? " " : "");
    tui_edit_replace(&app->comp.ed, start, app->comp.ed.at, t);
    free(t);
}

void tui_complete(tui_app *app)
{
    tui_popup *p = &app->comp.popup;
    tui_popup_close(app);
    p->item = agt_completions(app->a, app->comp.ed.b.p ? app->comp.ed.b.p : "", app->comp.ed.at, &p->start, &p->n);
    if (!p->n) { tui_popup_close(app); return; }
    size_t k = common(p->item, p->n);
    size_t l = strlen(p->item[0]);
    if (p->n == 1) {
        insert(app, p->start, p->item[0], l, l && p->item[0][l - 1] != '/' && p->item[0][l - 1] != '=');
        tui_popup_close(app);
    } else if (k > app->comp.ed.at - p->start) insert(app, p->start, p->item[0], k, false);
}

bool tui_popup_key(tui_app *app, const tui_key *k)
{
    tui_popup *p = &app->comp.popup;
    switch (k->code) {
    case K_TAB: case K_DOWN: p->sel = (p->sel + 1) % p->n; return true;
    case K_BACKTAB: case K_UP: p->sel = (p->sel + p->n - 1) % p->n; return true;
    case K_ENTER:
        insert(app, p->start, p->item[p->sel], strlen(p->item[p->sel]), true);
        tui_popup_close(app);
        return true;
    case K_ESC: tui_popup_close(app); return true;
    default: {
        /* Typing goes on: the key does what it does, then the list follows the word. */
        bool typed = (k->code == K_CHAR && !k->alt && k->cp > 32 && k->cp != 127) || k->code == K_BACKSPACE;
        tui_popup_close(app);
        if (!typed) return false;
        char u[4];
        if (k->code == K_BACKSPACE) tui_edit_delete(&app->comp.ed, M_LEFT);
        else tui_edit_insert(&app->comp.ed, u, (size_t)q_utf8_put(u, k->cp));
        p->item = agt_completions(app->a, app->comp.ed.b.p ? app->comp.ed.b.p : "", app->comp.ed.at, &p->start, &p->n);
        if (!p->n) tui_popup_close(app);
        return true;
    }
    }
}
