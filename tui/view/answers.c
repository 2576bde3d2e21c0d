/* view/answers: what the conversation's answers cost, newest first, below the memory panel. Front-end thread. */
#include "tui/tui.h"
#include "tui/view/view.h"

#include <stdio.h>
#include <stdlib.h>

void view_answers(tui_app *app, tui_box b)
{
    enum { WIDEST = 99999 };             /* more would stand in the tokens' column */
    tui_grid *g = &app->grid;
    int n = 0, tokens = 0, y = b.y, end = b.x + b.w - 1;
    for (int i = 0; i < app->tr.n; i++)
        if (app->tr.item[i].role == AGT_ASSISTANT) { n++; tokens += app->tr.item[i].n_tokens; }
    if (!n) return;
    char *cap = q_printf(_("Answers  %d"), n), *sum = q_printf(_("%d tok"), tokens);
    view_caption(app, (tui_box){ b.x, y++, b.w, 1 }, cap, sum, false);
    free(cap);
    free(sum);
    for (int i = app->tr.n - 1; i >= 0 && y < b.y + b.h; i--) {
        const tui_item *it = &app->tr.item[i];
        if (it->role != AGT_ASSISTANT) continue;
        char rate[24] = "";
        double per_s = it->decode_s > 0 ? it->n_tokens / it->decode_s : 0;
        if (tui_rate_known(per_s, app->seen.st.model) && per_s < WIDEST) snprintf(rate, sizeof rate, _("%5.0f/s"), per_s);
        int right = tui_put_right(g, y, b.x + 4, end, rate, S_FAINT);
        char *tok = q_printf(_("%d tok"), it->n_tokens);
        right = tui_put_right(g, y, b.x + 4, rate[0] ? end - 8 : end, tok, S_DIM);
        free(tok);
        char *all = view_lettered(it, it->label ? it->label : "–"), *chain = view_newest(all, right - 1 - (b.x + 1));
        int letter = it->n_made ? it->made[it->n_made - 1].letter : 0;
        tui_put_cut(g, y++, b.x + 1, right - 1, chain, letter ? tui_hue(letter) : S_DIM);
        free(all);
        free(chain);
    }
}
