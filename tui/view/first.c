/* view/first: the first screen of an empty conversation: what to ask, what to add, what the model is. Front-end thread.
 * Nothing of it is cut: it wraps, and scrolls where the window is low. */
#include "tui/view/view.h"

#include <stdlib.h>
#include <string.h>

static void entry(tui_lay *l, int width, const char *name, int column, const char *words, enum tui_style name_st, enum tui_style st)
{
    tui_para p = {0};
    bool below = width - column < 20;
    char *first = q_printf("%s%*s", below ? "   " : name, below ? 0 : column - tui_str_width(name), ""), *rest = q_printf("%*s", below ? 3 : column, "");
    if (below) tui_lay_plain(l, name, strlen(name), width, "", name_st);
    tui_para_add(&p, words, strlen(words), st);
    tui_lay_para(l, &p, width, first, rest, name_st, false);
    tui_para_free(&p);
    free(first);
    free(rest);
}

static void lay_first(tui_app *app, tui_lay *l, int width)
{
    static const struct { const char *cmd, *what; } offers[] = {
        { N_("/add FOLDER"), N_("notes, documents and chats to draw on") },
        { N_("/model"), N_("another model: any GGUF file of this machine") },
        { N_("F1"), N_("keys and commands") } };
    enum { OFFERS = sizeof offers / sizeof *offers };
    const agt_status *st = &app->seen.st;
    const char *ask = _("Try a question: its number, then Enter. Or write your own.");
    int w = 0;
    tui_lay_plain(l, ask, strlen(ask), width, "", S_DIM);
    tui_lay_blank(l);
    for (int i = 0; i < TUI_QUESTIONS; i++) {
        char number[4] = { (char)('1' + i), 0 };
        entry(l, width, number, 3, tui_question(app, i), S_ACCENT, i == 0 ? S_ANSWER : S_TEXT);
    }
    tui_lay_blank(l);
    for (int i = 0; i < OFFERS; i++) if (tui_str_width(_(offers[i].cmd)) > w) w = tui_str_width(_(offers[i].cmd));
    for (int i = 0; i < OFFERS; i++) entry(l, width, _(offers[i].cmd), w + 2, _(offers[i].what), S_TITLE, S_DIM);
    const char *say = st->carved ? _("The default model is small, speaks English, and was cut into experts on this machine: good for watching "
                                     "routing, not for facts.")
                    : st->loaded && !st->chat_template && !view_server(st) ? _("This file has no chat template: it may be a base model, which continues texts rather than "
                                                                              "answers. quorum --base lets it.")
                    : st->loaded && !st->n_expert ? _("This model is dense: every weight takes part in each token, so there are no experts to watch.")
                    : NULL;
    if (!say) return;
    tui_lay_blank(l);
    tui_lay_plain(l, say, strlen(say), width, "", S_DIM);
}

void view_first(tui_app *app, tui_box b)
{
    tui_lay l = {0};
    int x = b.x + (b.w < LAY_MIN_W ? 1 : TUI_INDENT), end = b.x + b.w - 1, *top = &app->go.first_top;
    lay_first(app, &l, end - x);
    int n = (int)l.n_line, head = n < b.h, rows = b.h - head;       /* a blank line above where there is room */
    if (*top > n - rows) *top = n - rows;
    if (*top < 0) *top = 0;
    for (int i = 0; i < rows && *top + i < n; i++) tui_lay_draw(&l, (uint32_t)(*top + i), &app->grid, b.y + head + i, x, end);
    if (*top + rows < n) tui_put_right(&app->grid, b.y + b.h - 1, b.x, end, _(" more: PgDn "), S_SELECT);
    tui_lay_free(&l);
}
