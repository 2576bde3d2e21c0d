/* view/popup: completions, above the composer, over whatever is there. Front-end thread. */
#include "tui/view/view.h"

#include <string.h>

void view_popup(tui_app *app, tui_box composer)
{
    tui_grid *g = &app->grid;
    tui_popup *p = &app->comp.popup;
    int rows = p->n < 8 ? p->n : 8, w = 12, ncmd;
    if (rows > composer.y - 2) rows = composer.y - 2;
    if (rows < 1) return;
    const agt_command *cmd = agt_commands(&ncmd);
    const char *help[8] = { 0 };
    int top = view_first_row(p->sel, rows, p->n), wide = 0;
    for (int i = 0; i < rows; i++) {
        const char *s = p->item[top + i];
        if (tui_str_width(s) > w) w = tui_str_width(s);
        for (int k = 0; k < ncmd && *s == '/'; k++)
            if (strcmp(s + 1, cmd[k].name) == 0 || (cmd[k].ru && strcmp(s + 1, cmd[k].ru) == 0)) help[i] = _(cmd[k].help);
        for (int k = 0; k < agt_knob_count(app->a) && !help[i]; k++)
            if (strcmp(s, agt_knob(app->a, k)->name) == 0 && agt_knob(app->a, k)->help) help[i] = _(agt_knob(app->a, k)->help);
        if (help[i] && tui_str_width(help[i]) > wide) wide = tui_str_width(help[i]);
    }
    int x = composer.x + 2, end = x + w + 2 + (wide ? wide + 2 : 0);
    if (end > composer.x + composer.w - 1) end = composer.x + composer.w - 1;
    for (int i = 0; i < rows; i++) {
        int y = composer.y - rows + i;
        enum tui_style st = top + i == p->sel ? S_SELECT : S_TEXT;
        tui_fill(g, y, x, end - x, 1, S_TEXT);
        tui_put_cut(g, y, x + 1, end, p->item[top + i], st);
        if (help[i]) tui_put_cut(g, y, x + w + 3, end, help[i], S_DIM);
    }
}
