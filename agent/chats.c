/* agent/chats: conversations as wholes: the list, a name, an end. Quick lane: no answer is waited for, but by the deletion of
 * the very conversation that is answered in, which stops it. */
#include "agent/errands.h"
#include "agent/talk.h"

#include <stdlib.h>
#include <string.h>

static void list(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    mem_conversations l = { 0 };
    if (mem_conversation_list(a->store, &l, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    agt_event e = { .kind = AGT_EV_CHATS, .chat = q_alloc(sizeof *e.chat * (size_t)(l.n + 1)), .n_chats = l.n };
    strings numbers = { 0 };
    for (int i = 0; i < l.n; i++) {
        e.chat[i] = (agt_chat){ l.v[i].id, q_strdup(l.v[i].title), l.v[i].opened_ms, l.v[i].n_messages };
        strings_add(&numbers, q_printf("%lld", (long long)l.v[i].id));
    }
    shown_names(&a->shown, &a->shown.chats, &numbers);
    mem_conversations_free(&l);
    evq_push(&a->events, &e);
}

static void rename_one(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    if (mem_conversation_title(a->store, j->id, j->text, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    agt_event e = { .kind = AGT_EV_TITLE, .id = j->id, .text = q_strdup(j->text) };
    evq_push(&a->events, &e);
    note(&a->events, AGT_INFO, _("conversation %lld is called “%s” now"), (long long)j->id, j->text);
    list(a, j);
}

static void ask_first(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    mem_conversation c = { 0 };
    if (mem_conversation_get(a->store, j->id, &c, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else
        asks_put(a, q_printf(ngettext("Delete conversation %lld, “%s” (%d message), for good?", "Delete conversation %lld, “%s” (%d messages), for good?",
                                      (unsigned long)c.n_messages), (long long)c.id, *c.title ? c.title : _("untitled"), c.n_messages),
                 &job_deleted, c.id, c.created_ms, NULL);
    mem_conversation_free(&c);
}

/* number, where somebody was asked: when the conversation that was asked about was made; another one of the same id is another one. */
static void delete(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    mem_conversation c = { 0 };
    int rc = mem_conversation_get(a->store, j->id, &c, err);
    int64_t made = c.created_ms;
    mem_conversation_free(&c);
    if (rc == Q_NOTFOUND || (rc == Q_OK && j->number && made != j->number))
        return;
    pthread_mutex_lock(&a->shown.mu);
    bool here = a->shown.st.chat == j->id;
    pthread_mutex_unlock(&a->shown.mu);
    if (here && j->row->lane != LANE_ENGINE && desk_answering(&a->desk)) {
        desk_stop(&a->desk);
        desk_post(&a->desk, &job_delete_answered, j->id, j->number, NULL, NULL);
        return;
    }
    if (rc < 0 || mem_conversation_delete(a->store, j->id, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    states_forget(a->store, j->id, NULL, 0);
    note(&a->events, AGT_INFO, _("conversation %lld is deleted"), (long long)j->id);
    desk_post(&a->desk, &job_gone, j->id, 0, NULL, NULL);
    desk_post(&a->desk, &job_tidy, 0, 0, NULL, NULL);
    list(a, j);
}

/* What a person said of "this conversation" while another may have been on its way in: said of this one now. */
static void delete_here(agt *a, const job *j)
{
    if (a->chat.id)
        desk_post(&a->desk, &job_delete, a->chat.id, 0, NULL, NULL);
    else
        note(&a->events, AGT_INFO, _("this conversation is empty: there is nothing to delete"));
}

static void rename_here(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    if (!a->chat.id && mem_conversation_new(a->store, j->text, &a->chat.id, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else {
        chat_show(a, 0);
        desk_post(&a->desk, &job_rename, a->chat.id, 0, j->text, NULL);
    }
}

const job_row job_chats = { .name = "chats", .lane = LANE_QUICK, .end = END_DROPPED, .run = list };
const job_row job_rename = { .name = "rename", .lane = LANE_QUICK, .end = END_CARRIED, .run = rename_one };
const job_row job_delete = { .name = "delete?", .lane = LANE_QUICK, .end = END_DROPPED, .run = ask_first };
const job_row job_deleted = { .name = "delete", .lane = LANE_QUICK, .end = END_CARRIED, .run = delete };
const job_row job_delete_answered = { .name = "delete", .lane = LANE_ENGINE, .end = END_CARRIED, .moves = true, .run = delete };
const job_row job_delete_here = { .name = "delete here", .lane = LANE_ENGINE, .end = END_DROPPED, .run = delete_here };
const job_row job_rename_here = { .name = "rename here", .lane = LANE_ENGINE, .end = END_CARRIED, .moves = true, .run = rename_here };
