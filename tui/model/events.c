/* model/events: what an agent event changes on the screen. Front-end thread; never draws, never blocks.
 * What concerns one panel alone is that panel's (its row's on_event). */
#include "tui/model/app.h"

#include <stdlib.h>
#include <string.h>

/* Another conversation has its own draft; what was typed since the old one was left, or never was its draft, stays. */
static void draft(tui_app *app, const char *its)
{
    tui_comp *c = &app->comp;
    if (c->editing && c->amend) tui_comp_leave(app);         /* that answer is not here any more */
    const char *typed = c->ed.b.p ? c->ed.b.p : "";
    bool old = !c->editing && *typed && c->kept && strcmp(tui_draft(app), c->kept) == 0;
    if (old || (c->stash && c->kept && strcmp(c->stash, c->kept) == 0)) tui_set_text(&c->stash, NULL);    /* the draft that was stored holds it */
    if (old || (!*typed && *its)) tui_edit_set(&c->ed, its);
    else if (*its && strcmp(its, typed) != 0) tui_comp_add_aside(c, its);
    c->editing = 0;
    tui_set_text(&c->kept, NULL);
}

/* The message that was asked for is seen, and one stands on it. */
static void go_to(tui_app *app, int64_t message)
{
    tui_item *it = tui_tr_find(&app->tr, message);
    if (!it) return;
    tui_go_leave(app);
    app->go.focus = tui_view_named(app, "transcript");
    app->tr.selected = (int)(it - app->tr.item);
    tui_tr_show(&app->tr, tui_transcript_width(app), app->lay.transcript.h, app->tr.selected);
    if (it->role != AGT_ASSISTANT || it->running) return;
    agt_show_routing(app->a, it->id);
    agt_ask_retrieval(app->a, it->id);
}

static void opened(tui_app *app, agt_event *e)
{
    bool same = app->seen.chat == e->id && e->id;
    if (!same && app->seen.chat) agt_show_routing(app->a, 0);
    if (!same && app->tr.token.message) tui_go_leave(app);
    tui_item *run = tui_tr_last(&app->tr);
    int64_t running = run ? run->id : 0;
    tui_tr_set(&app->tr, e->message, e->n_messages);
    run = running ? tui_tr_find(&app->tr, running) : NULL;
    if (run && run->state == AGT_PARTIAL) run->running = true;
    app->seen.chat = e->id;
    tui_set_text(&app->seen.chat_title, e->text);
    if (!same) {
        tui_tr_go(&app->tr, e->scroll);
        draft(app, e->draft ? e->draft : "");
        agt_retrieval_free(&app->seen.ret);
        app->seen.has_ret = false;
        app->tr.selected = -1;
        if (app->go.focus && app->go.focus->place == AT_TEXT) app->go.focus = NULL;
        /* The last answer's own routing and passages stand in the panels until the next one runs. */
        for (int i = app->tr.n - 1; i >= 0; i--)
            if (app->tr.item[i].role == AGT_ASSISTANT && !app->tr.item[i].running) {
                agt_show_routing(app->a, app->tr.item[i].id);
                agt_ask_retrieval(app->a, app->tr.item[i].id);
                break;
            }
    }
    if (e->done) go_to(app, e->done);
    if (!same) agt_ask_wishes(app->a);
    agt_ask_chats(app->a);              /* opened, renamed, deleted, branched: the column follows */
}

static void done(tui_app *app, agt_event *e)
{
    if (!e->message) return;
    tui_item *it = tui_tr_find(&app->tr, e->message->id);
    if (!it && app->tr.n) { it = tui_tr_last(&app->tr); if (it) it->id = e->message->id; }
    if (!it) return;
    it = tui_tr_add(&app->tr, e->message);
    it->running = false;
    app->work.pre_total = 0;
    if (!app->ui.hinted_k && app->seen.st.n_expert > 0 && it->state == AGT_DONE && !it->cut) {   /* not over the sentence that says why */
        app->ui.hinted_k = true;
        agt_setting_put(app->a, "tui.hint.k", "1");
        tui_app_note(app, AGT_INFO, _("F7: fewer experts · /again experts.k=1"));
    }
}

static void began(tui_app *app, agt_event *e)
{
    if (!e->message) return;
    tui_item *it = tui_tr_add(&app->tr, e->message);
    it->running = true;
    it->began_ms = app->now;
    it->differs_at = -1;                /* nothing is said yet: the first unlike token says where */
    it->open = app->ui.think_open;
    if (app->go.page_old && app->go.over && app->go.over->place == AT_OVER) tui_go_leave(app);
    agt_show_routing(app->a, 0);
}

static void sent(tui_app *app, agt_event *e)
{
    if (!e->message) return;
    tui_tr_add(&app->tr, e->message);
    app->tr.follow = true;
    agt_get_status(app->a, &app->seen.st);
    if (app->seen.st.chat) app->seen.chat = app->seen.st.chat;      /* a new conversation has its number from its first question */
    agt_ask_chats(app->a);              /* a new conversation, or a newer one */
}

static void knob(tui_app *app, agt_event *e)
{
    const char *name = e->name ? e->name : "", *value = e->text ? e->text : "";
    if (!*name && !*value) return;
    if (strcmp(name, "ui.theme") == 0) tui_act(app, AGT_UI_THEME, e->text);
    else if (strcmp(name, "ui.lang") == 0) tui_act(app, AGT_UI_LANG, e->text);
    else tui_app_knob(app, name, e->text);
    bool note = e->note && *e->note;
    char *s = q_printf("%s%s%s%s%s", name, *name && *value ? " " : "", value, note ? ": " : "", note ? e->note : "");
    tui_app_note(app, AGT_INFO, s);
    /* Beside the composer its first half is enough where one line does not hold it; the log has it all. */
    char *half = strcmp(app->say.note, s) == 0 && tui_str_width(s) > app->grid.w - 2 ? strchr(app->say.note, ';') : NULL;
    if (half) *half = 0;
    free(s);
}

/* Loading, reading the prompt, long errands: how far they are. */
static void work(tui_work *w, const agt_event *e)
{
    if (e->kind == AGT_EV_LOADING) {
        w->loading = e->total > 0;
        w->load_done = e->done;
        w->load_total = e->total;
        if (e->text) tui_set_text(&w->load_what, e->text);
    } else if (e->kind == AGT_EV_READY) w->loading = false;
    else if (e->kind == AGT_EV_PREFILL) {
        w->pre_done = e->done;
        w->pre_total = e->total;
        w->pre_rate = e->rate;
    } else {
        tui_set_text(&w->prog_what, e->text);
        w->prog_done = e->done;
        w->prog_total = e->total;
        w->prog_left = e->rate;
    }
}

/* What a call that is being written is over with. */
static void written(tui_work *w, const agt_event *e)
{
    bool over = e->kind == AGT_EV_CALL || e->kind == AGT_EV_APPROVE || e->kind == AGT_EV_DONE || e->kind == AGT_EV_OPENED || (e->kind == AGT_EV_TOKEN && e->text && *e->text);
    w->writing = e->kind == AGT_EV_WRITING ? e->done : over ? 0 : w->writing;
}

/* Tools that run: told when they begin and when they end. What is denied ends without having begun. */
static void runs(tui_work *w, const agt_event *e)
{
    bool begins = e->kind == AGT_EV_CALL && e->n_messages && e->message->call[0].state == AGT_CALL_RUNS;
    bool over = e->kind == AGT_EV_DONE || e->kind == AGT_EV_OPENED || e->kind == AGT_EV_WRITING || (e->kind == AGT_EV_TOKEN && e->text && *e->text);
    if (begins) w->n_running++;
    else if (e->kind == AGT_EV_CALL && w->n_running) w->n_running--;
    if (over) w->n_running = 0;
    if (begins) tui_set_text(&w->running, e->message->call[0].title);
    else if (!w->n_running) tui_set_text(&w->running, NULL);
}

/* Memory's vectors: calmly, no answer waits for them. */
static void meaning(tui_work *w, const agt_event *e)
{
    tui_set_text(&w->mean_what, e->text && *e->text ? e->text : NULL);
    w->mean_percent = e->total > 0 ? (int)(100 * e->done / e->total) : -1;
}

static void yes(tui_app *app, int64_t ask, const char *arg) { agt_answer(app->a, ask, true); }

static void compacted(tui_app *app, const agt_event *e)
{
    if (e->name && strcmp(e->name, "pinned") == 0) return;         /* the note of the pin said it */
    char *words = tui_compacted(e);
    tui_app_note(app, AGT_INFO, words);
    free(words);
}

void tui_app_event(tui_app *app, agt_event *e)
{
    tui_item *it;
    tui_owe(app, e);
    for (int i = 0; i < app->n_view; i++) if (app->view[i]->on_event) app->view[i]->on_event(app, e);
    tui_approve_event(app, e);
    written(&app->work, e);
    runs(&app->work, e);
    switch (e->kind) {
    case AGT_EV_LOADING: case AGT_EV_READY: case AGT_EV_PREFILL: case AGT_EV_PROGRESS:
        work(&app->work, e);
        if (e->kind == AGT_EV_PROGRESS && !e->total && app->esc_armed) {         /* over by itself: a second Esc has nothing to stop */
            app->say.note_until = app->now;
            app->esc_armed = 0;
        }
        break;
    case AGT_EV_MEANING: meaning(&app->work, e); break;
    case AGT_EV_OPENED: opened(app, e); break;
    case AGT_EV_SENT: sent(app, e); break;
    case AGT_EV_BEGIN: began(app, e); break;
    case AGT_EV_TOKEN:
        if ((it = tui_tr_last(&app->tr))) tui_tr_token(it, e->text ? e->text : "", e->thinking, e->differs ? (long)e->done : -1);
        break;
    case AGT_EV_KNOB: knob(app, e); break;
    case AGT_EV_DONE:
        done(app, e);
        agt_ask_chats(app->a);          /* its length and time; the first answer may bring a title */
        break;
    case AGT_EV_PAUSED:                  /* in mid-answer the status and the keys below say it */
        if (!tui_tr_last(&app->tr)) tui_app_note(app, AGT_INFO, tui_paused(false, e->flag));
        break;
    case AGT_EV_NOTE: if (e->text) tui_app_note(app, e->level, e->text); break;
    case AGT_EV_LABEL:
        if ((it = tui_tr_find(&app->tr, e->id)) && e->text) tui_tr_turned(&app->tr, it, e->message && e->message->made ? e->message->made : NULL, e->text);
        break;
    case AGT_EV_CALL:
        if ((it = tui_tr_find(&app->tr, e->id)) && e->n_messages) tui_tr_called(it, &e->message->call[0]);
        break;
    case AGT_EV_COMPACTED:
        if (e->n_messages) tui_tr_marked(&app->tr, e->message);
        compacted(app, e);
        break;
    case AGT_EV_MARKED: if (e->n_messages) tui_tr_marked(&app->tr, e->message); break;
    case AGT_EV_TITLE: if (e->id == app->seen.chat && e->text) tui_set_text(&app->seen.chat_title, e->text); break;
    case AGT_EV_ASK: if (e->text) tui_ask_for(app, e->text, yes, e->id, NULL); break;
    case AGT_EV_UI: tui_act(app, (int)e->id, e->text ? e->text : ""); break;
    default: break;                     /* a panel's own: lists, passages, pages */
    }
}
