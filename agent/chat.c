/* agent/chat: the present conversation: opened, its branch, its name, its end. Engine thread.
 * It never answers anything. */
#include "agent/room.h"

#include <stdlib.h>
#include <string.h>

void chat_reload(agt *a)
{
    char err[Q_ERRLEN];
    mem_messages_free(&a->path);
    if (a->chat && mem_branch(a->store, a->chat, 0, &a->path, err) < 0)
        room_note(a, AGT_ERROR, "%s", err);
}

void chat_show(agt *a)
{
    char err[Q_ERRLEN];
    mem_conversation c = { 0 };
    if (a->chat && mem_conversation_get(a->store, a->chat, &c, err) < 0)
        room_note(a, AGT_ERROR, "%s", err);
    char *draft = NULL;
    if (!a->chat)
        draft = agt_setting_get(a, "draft.new");
    agt_event e = { .kind = AGT_EV_OPENED, .id = a->chat, .text = q_strdup(c.title ? c.title : ""),
                    .draft = a->chat ? q_strdup(c.draft ? c.draft : "") : draft ? draft : q_strdup(""), .scroll = a->chat ? c.scroll : -1,
                    .message = view_branch(a, &a->path), .n_messages = a->path.n };
    pthread_mutex_lock(&a->mu);
    a->st.chat = a->chat;
    pthread_mutex_unlock(&a->mu);
    mem_conversation_free(&c);
    evq_push(&a->q, &e);
}

int chat_open(agt *a, int64_t chat)
{
    char err[Q_ERRLEN];
    if (chat && mem_conversation_opened(a->store, chat, err) < 0) {
        room_note(a, AGT_ERROR, "%s", err);
        return Q_ERR;
    }
    a->chat = chat;
    a->keep_from = 0;
    chat_reload(a);
    chat_show(a);
    int64_t last = 0;
    for (int i = 0; i < a->path.n; i++)
        if (a->path.v[i].has_trace)
            last = a->path.v[i].id;
    lab_watch_clear(a->watch);
    if (last)
        lab_watch_stored(a->watch, last);
    return Q_OK;
}

void chat_open_job(agt *a, const job *j)
{
    if (j->id || !j->text) {
        chat_open(a, j->id);
        return;
    }
    char err[Q_ERRLEN];                  /* /new TITLE */
    int64_t id;
    if (mem_conversation_new(a->store, j->text, &id, err) < 0)
        room_note(a, AGT_ERROR, "%s", err);
    else
        chat_open(a, id);
}

const mem_message *chat_message(agt *a, int64_t id, enum mem_role role)
{
    for (int i = a->path.n - 1; i >= 0; i--)
        if (id ? a->path.v[i].id == id : a->path.v[i].role == role)
            return &a->path.v[i];
    return NULL;
}

void chat_branch(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    const mem_message *m = chat_message(a, j->id, MEM_ASSISTANT);
    if (!j->id && m && m->siblings < 2)
        for (int i = a->path.n - 1; i >= 0; i--)
            if (a->path.v[i].siblings > 1) {
                m = &a->path.v[i];
                break;
            }
    if (!m || m->siblings < 2) {
        room_note(a, AGT_INFO, _("there is no other version here: /again or /edit makes one"));
        return;
    }
    mem_messages all = { 0 };
    int64_t leaf;
    int to = (m->sibling - 1 + (int)j->number + m->siblings) % m->siblings;
    if (mem_siblings(a->store, m->id, &all, err) < 0 || to >= all.n || mem_leaf_below(a->store, all.v[to].id, &leaf, err) < 0 ||
        mem_conversation_leaf(a->store, a->chat, leaf, err) < 0)
        room_note(a, AGT_ERROR, "%s", err);
    else
        chat_open(a, a->chat);
    mem_messages_free(&all);
}

void chat_delete(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    int64_t id = j->id ? j->id : a->chat;
    if (!id) {
        room_note(a, AGT_INFO, _("this conversation is empty: there is nothing to delete"));
        return;
    }
    if (mem_conversation_delete(a->store, id, err) < 0) {
        room_note(a, AGT_ERROR, "%s", err);
        return;
    }
    room_note(a, AGT_INFO, _("conversation %lld is deleted"), (long long)id);
    if (id == a->chat) {
        int64_t last = 0;
        if (mem_conversation_last(a->store, &last, err) < 0)
            last = 0;
        chat_open(a, last);
    }
    room_post(a, JOB_CHATS, 0, 0, NULL, NULL);
}

void chat_rename(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    int64_t id = j->id ? j->id : a->chat;
    if (!id && mem_conversation_new(a->store, j->text, &a->chat, err) < 0)
        room_note(a, AGT_ERROR, "%s", err);
    else if (id && mem_conversation_title(a->store, id, j->text, err) < 0)
        room_note(a, AGT_ERROR, "%s", err);
    if (!j->id || j->id == a->chat) {
        chat_reload(a);
        chat_show(a);
    }
    room_post(a, JOB_CHATS, 0, 0, NULL, NULL);
}

/* The first words of the first question, whole, at most about 60 bytes. */
char *chat_title(const char *text)
{
    while (is_blank(*text))
        text++;
    size_t n = strcspn(text, "\n");
    if (n > 60) {
        size_t cut = 60;
        while (cut > 30 && text[cut] != ' ')
            cut--;
        cut = text[cut] == ' ' ? cut : q_utf8_whole(text, 60);
        return q_printf("%.*s…", (int)cut, text);
    }
    return q_strndup(text, n);
}
