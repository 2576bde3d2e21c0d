/* view/walk: the transcript with the focus: one walks from message to message, and from citation to citation in an answer, and
 * acts on it. It is drawn by view/transcript. Front-end thread. */
#include "tui/view/table.h"
#include "tui/view/view.h"

#include <stdlib.h>

/* The next citation of a passage at or behind byte `at`: "[2]", which is no link. *number 0: there is none. */
static long cited(const tui_item *it, size_t at, int *number, size_t *to)
{
    const char *s = it->text.p ? it->text.p : "";
    for (size_t n = it->text.len; at < n; at++) {
        if (s[at] != '[' || s[at + 1] < '1' || s[at + 1] > '9') continue;
        char *end;
        long k = strtol(s + at + 1, &end, 10);
        if (*end != ']' || end[1] == '(' || k > it->n_passages) continue;
        *number = (int)k;
        *to = (size_t)(end + 1 - s);
        return (long)at;
    }
    *number = 0;
    return -1;
}

/* Tab: to the answer's next citation. False: it has no further one. */
static bool next_citation(tui_app *app, tui_item *it)
{
    tui_transcript *t = &app->tr;
    bool on = t->token.message == it->id && it->cursor.to > it->cursor.from;
    size_t to = 0;
    int number;
    long at = it->role == AGT_ASSISTANT ? cited(it, on ? (size_t)it->cursor.to : 0, &number, &to) : -1;
    if (at < 0) return false;
    tui_tr_token_at(t, it->id, 0, 0, at, (long)to, NULL);
    tui_tr_show_token(t, tui_transcript_width(app), app->lay.transcript.h);
    return true;
}

/* Enter on a citation, or its number. */
static bool open_citation(tui_app *app, const tui_item *it, const tui_key *k)
{
    bool on = app->tr.token.message == it->id && it->cursor.to > it->cursor.from;
    size_t to;
    int number = 0;
    if (k->code == K_ENTER && on) cited(it, (size_t)it->cursor.from, &number, &to);
    else if (k->code == K_CHAR && !k->alt && k->cp >= '1' && k->cp <= '9' && it->role == AGT_ASSISTANT) number = (int)(k->cp - '0');
    if (!number) return false;
    view_passage_open(app, it->id, number);
    return true;
}

static bool on_key(tui_app *app, const tui_key *k)
{
    tui_transcript *t = &app->tr;
    int w = tui_transcript_width(app), h = app->lay.transcript.h, by = tui_key_step(k, 1);
    if (!t->n) { tui_go_leave(app); return true; }
    if (t->selected < 0 || t->selected >= t->n) t->selected = t->n - 1;
    tui_item *it = &t->item[t->selected];
    if (k->code == K_TAB && next_citation(app, it)) return true;
    if (open_citation(app, it, k)) return true;
    if (t->token.message) tui_tr_token_at(t, 0, 0, 0, 0, 0, NULL);
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
    .name = "transcript", .place = AT_TEXT, .hint = N_("j k walk · e edit · a amend · r again · y copy · [ ] branch · Tab 1-9 its sources · h l tokens · Enter its experts · Esc back"),
    .on_key = on_key,
};
