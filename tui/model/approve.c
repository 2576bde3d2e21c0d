/* model/approve: a tool that a person is asked about, and the plan. What is asked takes keys only when it was drawn and all that was typed
 * before that has been read (tui_approve_arm); until then keys are what they were typed as. Front-end thread. */
#include "tui/model/app.h"

#include <stdlib.h>
#include <string.h>

static void empty_composer(tui_app *app)
{
    tui_edit_move(&app->comp.ed, M_END);
    while (app->comp.ed.b.len) tui_edit_kill(&app->comp.ed, M_START);
}

static bool is_field(const agt_call *c) { return c->asks == AGT_ASKS_FORM && c->question; }

/* Words are to be typed: why not, or an answer. What was being written is put aside. */
static void type(tui_app *app)
{
    tui_comp_put_aside(app);
    tui_comp_leave(app);
    empty_composer(app);
    app->go.focus = NULL;
    app->seen.approve.typing = true;
}

static void stop_typing(tui_app *app)
{
    if (!app->seen.approve.typing && !app->seen.approve.between) return;
    app->seen.approve.typing = app->seen.approve.between = false;
    empty_composer(app);
    tui_comp_come_back(app);
}

void tui_approve_close(tui_app *app)
{
    tui_approve *p = &app->seen.approve;
    if (!p->id) return;
    bool between = p->between;
    if (p->told) app->say.note_until = app->now;         /* which keys answer it is no news any more */
    if (!between) stop_typing(app);
    agt_call_free(&p->call);
    *p = (tui_approve){ .between = between };
    app->owed.all = true;
}

static void answer(tui_app *app, enum agt_consent how, const char *words)
{
    int64_t id = app->seen.approve.id;
    agt_approve(app->a, id, how, words);
    tui_approve_close(app);
}

/* May take the call out of the event. */
void tui_approve_event(tui_app *app, agt_event *e)
{
    tui_approve *p = &app->seen.approve;
    bool over = e->kind == AGT_EV_DONE || (e->kind == AGT_EV_CALL && e->n_messages);
    bool next = e->kind == AGT_EV_APPROVE && e->n_messages && e->message->n_call && is_field(&e->message->call[0]);
    if (over || (e->kind == AGT_EV_APPROVE && !next)) stop_typing(app);      /* what was typed behind the last field is nobody's */
    if (over || e->kind == AGT_EV_APPROVE) tui_approve_close(app);
    if (e->kind == AGT_EV_APPROVE && e->n_messages && e->message->n_call) {
        p->id = e->id;
        p->call = e->message->call[0];
        memset(&e->message->call[0], 0, sizeof e->message->call[0]);
        app->owed.all = true;
    }
    if (e->kind == AGT_EV_PLAN) tui_set_text(&app->seen.plan, e->text);
    if (e->kind == AGT_EV_SENT || e->kind == AGT_EV_OPENED || (e->kind == AGT_EV_DONE && app->seen.plan && !strstr(app->seen.plan, "[ ]") && !strstr(app->seen.plan, "[>]")))
        tui_set_text(&app->seen.plan, NULL);
}

void tui_approve_arm(tui_app *app)
{
    tui_approve *p = &app->seen.approve;
    if (!p->id || !p->drawn || p->armed) return;
    p->armed = true;
    if (p->between) {                    /* what was typed since the last field begins this one */
        p->between = false;
        p->typing = true;
        app->go.focus = NULL;
    } else if (p->call.question) type(app);
}

/* Enter while words are typed for it. False: it is not about that. */
bool tui_approve_submit(tui_app *app)
{
    tui_approve *p = &app->seen.approve;
    if (p->between) return true;         /* an Enter before the next field was seen answers nothing and sends nothing */
    if (!p->id || !p->typing) return false;
    char *words = tui_edit_take(&app->comp.ed);
    bool field = is_field(&p->call);
    p->typing = false;
    answer(app, p->call.question ? AGT_ONCE : AGT_NO, words);
    free(words);
    if (field) p->between = true;
    else tui_comp_come_back(app);
    return true;
}

/* What its keys below offer. */
static bool offered(const agt_call *c, enum agt_consent how, bool why)
{
    bool plain = how == AGT_ONCE || how == AGT_NO;
    return c->asks == AGT_ASKS_FORM ? plain && !why : c->asks == AGT_ASKS_SIGN ? plain : c->asks != AGT_ASKS_SERVER || !why;
}

bool tui_approve_key(tui_app *app, const tui_key *k)
{
    tui_approve *p = &app->seen.approve;
    enum agt_consent how;
    bool why;
    if (!p->id || !p->armed) return false;
    int by = k->code == K_UP ? -1 : k->code == K_DOWN ? 1 : k->code == K_PGUP || k->code == K_WHEEL_UP ? -5 : k->code == K_PGDN || k->code == K_WHEEL_DOWN ? 5 : 0;
    if (by && !(p->typing && (k->code == K_UP || k->code == K_DOWN))) {
        p->top += by;
        return true;
    }
    if (p->typing && k->code == K_ESC && !p->call.question) { stop_typing(app); return true; }
    if (p->typing || k->code != K_CHAR || k->alt || k->cp <= ' ') return false;
    if (!agt_consent_letter(k->cp, &how, &why) || !offered(&p->call, how, why)) {
        p->told = true;
        tui_app_note(app, AGT_INFO, p->call.asks == AGT_ASKS_SERVER ? _("The model waits: y uses the server until quorum ends, f always, n does not; Esc stops the answer.")
                                    : p->call.asks == AGT_ASKS_SIGN ? _("The server waits: y signs in, n does not, e takes the address that the browser ended at; Esc stops the answer.")
                                    : p->call.asks == AGT_ASKS_FORM ? _("The server waits: y answers it, n declines; Esc stops the answer.")
                                                                    : _("The model waits for an answer: y once, n no, e no and why; Esc stops it."));
        return true;
    }
    if (why) type(app);
    else if (how != AGT_NO && how != AGT_ONCE && !p->call.rule && p->call.asks == AGT_ASKS_CALL) tui_app_note(app, AGT_WARN, _("This is asked about each time: y allows it once, n does not."));
    else answer(app, how, NULL);
    return true;
}
