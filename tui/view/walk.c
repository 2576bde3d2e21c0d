/* view/walk: the transcript with the focus: one walks from message to message and acts on it. It is drawn by
 * view/transcript. Front-end thread. */
#include "tui/view/table.h"

static bool on_key(tui_app *app, const tui_key *k)
{
    tui_transcript *t = &app->tr;
    int w = tui_transcript_width(app), h = app->lay.transcript.h, by = tui_key_step(k, 1);
    if (!t->n) { tui_go_leave(app); return true; }
    if (t->selected < 0 || t->selected >= t->n) t->selected = t->n - 1;
    tui_item *it = &t->item[t->selected];
    if (by) {
        tui_move(&t->selected, by, t->n);
        tui_tr_show(t, w, h, t->selected);
        return true;
    }
    if (k->code == K_TAB || tui_key_letter(k) == 'q') { tui_go_leave(app); t->follow = true; return true; }
    if (k->code == K_ENTER) {
        if (it->role == AGT_ASSISTANT) { agt_show_routing(app->a, it->id); agt_ask_retrieval(app->a, it->id); }
        return true;
    }
    bool first = tui_key_letter(k) == 'l' || k->code == K_RIGHT;
    if ((first || tui_key_letter(k) == 'h' || k->code == K_LEFT) && it->role == AGT_ASSISTANT && !it->running) {
        tui_go_open(app, &view_token);
        tui_tr_token_at(t, it->id, 1, 0, 0, 0, NULL);
        agt_look(app->a, it->id, first ? 1 : 0, 0, false);
        return true;
    }
    switch (tui_key_letter(k)) {
    case 'e': tui_act_edit(app, tui_last_of(t, AGT_USER, t->selected)); return true;
    case 'a':                            /* a question's answer, or the question that has none */
        while (it->role != AGT_ASSISTANT && it < &t->item[t->n - 1]) it++;
        tui_act_amend(app, it, NULL);
        return true;
    case 'r':
        for (int i = t->selected; i < t->n; i++)
            if (t->item[i].role == AGT_ASSISTANT) {
                int64_t id = t->item[i].id;
                tui_go_leave(app);
                t->follow = true;
                agt_again(app->a, id, "");
                break;
            }
        return true;
    case 'y': tui_act_copy(app, it); return true;
    case 't': it->open = !it->open; return true;
    case '[': agt_branch(app->a, it->id, -1); return true;
    case ']': agt_branch(app->a, it->id, +1); return true;
    default: return false;
    }
}

const tui_view view_walk = {
    .name = "transcript", .place = AT_TEXT, .hint = N_("j k walk · e edit · a amend · r again · y copy · [ ] branch · h l tokens · Enter its experts · Esc back"),
    .on_key = on_key,
};
