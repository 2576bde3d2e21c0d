/* view/first: the first screen of an empty conversation: what to ask, what to add, what the model is. Front-end thread. */
#include "tui/view/view.h"

#include <stdio.h>
#include <string.h>

void view_first(tui_app *app, tui_box b)
{
    tui_grid *g = &app->grid;
    int y = b.y + 1, x = b.x + TUI_INDENT, end = b.x + b.w - 1, bottom = b.y + b.h;
    char buf[512];
    tui_put_cut(g, y, x, end, _("Try a question: its number, then Enter. Or write your own."), S_DIM);
    y += 2;
    for (int i = 0; i < TUI_QUESTIONS; i++, y++) {
        tui_putf(g, y, x, end, S_ACCENT, "%d", i + 1);
        tui_put_cut(g, y, x + 3, end, tui_question(app, i), i == 0 ? S_ANSWER : S_TEXT);
    }
    y++;
    static const struct { const char *cmd, *what; } offers[] = {
        { N_("/add FOLDER"), N_("text and Markdown that answers may draw on") },
        { N_("/model"), N_("another model: any GGUF file of this machine") },
        { N_("F1"), N_("keys and commands") } };
    int w = 0;
    for (int i = 0; i < 3; i++) if (tui_str_width(_(offers[i].cmd)) > w) w = tui_str_width(_(offers[i].cmd));
    for (int i = 0; i < 3 && y < bottom; i++, y++) {
        tui_put(g, y, x, end, _(offers[i].cmd), S_TITLE);
        tui_put_cut(g, y, x + w + 2, end, _(offers[i].what), S_DIM);
    }
    y++;
    const agt_status *st = &app->seen.st;
    const char *say = st->carved ? _("The default model is small, speaks English, and was cut into experts on this machine: good for watching "
                                     "routing, not for facts.")
                    : st->loaded && !st->n_expert ? _("This model is dense: every weight takes part in each token, so there are no experts to watch.")
                    : NULL;
    if (!say) return;
    snprintf(buf, sizeof buf, "%s", say);
    tui_lay l = {0};
    tui_lay_plain(&l, buf, strlen(buf), end - x, "", S_DIM);
    for (uint32_t i = 0; i < l.n_line && y < bottom; i++, y++) tui_lay_draw(&l, i, g, y, x, end);
    tui_lay_free(&l);
}

