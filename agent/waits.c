/* agent/waits: see waits.h. */
#include "agent/room.h"

#include <stdlib.h>
#include <string.h>

static waiting *find(waits *all, int64_t ticket)
{
    waiting *w = all->first;
    while (w && w->ticket != ticket)
        w = w->next;
    return w;
}

/* One of the two threads is through with it; the later one frees it. The mutex is held. */
static void through(waits *all, waiting *w)
{
    waiting **at = &all->first;
    if (!w || !w->placed || !w->kept)
        return;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    free(w);
}

/* Said when it is on the disk: from then on nothing can lose it. */
static void keep(agt *a, const job *j)
{
    int64_t ticket = j->id;
    const char *text = j->text;
    char err[Q_ERRLEN];
    pthread_mutex_lock(&a->waits.mu);
    waiting *w = find(&a->waits, ticket);
    bool needed = w && !w->placed, say = w && w->say;
    int64_t chat = w ? w->chat : 0, edits = w ? w->edits : WAITS_SEND, row = 0;
    pthread_mutex_unlock(&a->waits.mu);
    int rc = needed ? mem_pending_put(a->store, chat, edits, text, strlen(text), &row, err) : Q_OK;
    if (rc < 0)
        note(&a->events, AGT_WARN, _("the waiting question is not on the disk yet: %s"), err);
    bool placed = false;
    pthread_mutex_lock(&a->waits.mu);
    if ((w = find(&a->waits, ticket))) {
        placed = w->placed;
        w->row = row;
        w->kept = true;
        through(&a->waits, w);
    }
    pthread_mutex_unlock(&a->waits.mu);
    if (!needed || rc < 0)
        return;
    if (placed)                          /* its turn came meanwhile */
        mem_pending_drop(a->store, row, err);
    else if (say)
        note(&a->events, AGT_INFO, _("kept; it is asked when the present answer ends"));
}

static const job_row job_keep = { .name = "keep", .lane = LANE_QUICK, .end = END_CARRIED, .run = keep };

int64_t waits_ticket(agt *a, int64_t edits, const char *text)
{
    if (a->once || (edits > WAITS_AMEND && !desk_waits(&a->desk, LANE_ENGINE)))
        return 0;
    bool say = desk_answering(&a->desk);
    pthread_mutex_lock(&a->shown.mu);
    int64_t chat = a->shown.st.chat;
    pthread_mutex_unlock(&a->shown.mu);
    pthread_mutex_lock(&a->waits.mu);
    int64_t ticket = ++a->waits.tickets;
    waiting *w = q_alloc(sizeof *w);
    *w = (waiting){ .next = a->waits.first, .ticket = ticket, .chat = chat, .edits = edits, .say = say };
    a->waits.first = w;
    pthread_mutex_unlock(&a->waits.mu);
    desk_post(&a->desk, &job_keep, ticket, 0, text, NULL);
    return ticket;
}

/* Engine thread: the question has its place (or is back with the person). */
void waits_placed(agt *a, int64_t ticket)
{
    char err[Q_ERRLEN];
    if (!ticket)
        return;
    pthread_mutex_lock(&a->waits.mu);
    waiting *w = find(&a->waits, ticket);
    int64_t row = w ? w->row : 0;
    if (w) {
        w->placed = true;
        through(&a->waits, w);
    }
    pthread_mutex_unlock(&a->waits.mu);
    if (row && mem_pending_drop(a->store, row, err) < 0)
        note(&a->events, AGT_WARN, "%s", err);
}

/* Was it placed, and only the dropping of its row was cut off? */
static bool there(agt *a, const mem_pending *p)
{
    mem_messages path = { 0 };
    char err[Q_ERRLEN];
    bool found = false;
    if (mem_branch(a->store, p->conversation, 0, &path, err) == Q_OK)
        for (int i = 0; i < path.n; i++)
            found |= path.v[i].created_ms >= p->created_ms &&
                     (p->edits > WAITS_AMEND ? path.v[i].role == MEM_USER && strcmp(path.v[i].text, p->text) == 0
                                             : path.v[i].role == MEM_ASSISTANT && strncmp(path.v[i].text, p->text, strlen(p->text)) == 0);
    mem_messages_free(&path);
    return found;
}

/* 0: there is none. */
static int64_t last_question(agt *a, int64_t chat)
{
    mem_messages path = { 0 };
    char err[Q_ERRLEN];
    int64_t id = 0;
    if (mem_branch(a->store, chat, 0, &path, err) == Q_OK)
        for (int i = 0; i < path.n; i++)
            id = path.v[i].role == MEM_USER ? path.v[i].id : id;
    mem_messages_free(&path);
    return id;
}

void waits_again(agt *a, const char *words)
{
    char err[Q_ERRLEN];
    int64_t row;
    if (mem_pending_put(a->store, a->chat.id, WAITS_AGAIN, words, strlen(words), &row, err) < 0 || mem_pending_leave(a->store, row, err) < 0)
        note(&a->events, AGT_WARN, "%s", err);
}

/* It is not asked by itself at a start: nobody may be there to read it. */
static void say_again(agt *a, const mem_pending *p)
{
    char err[Q_ERRLEN];
    mem_message q = { 0 };
    int64_t id = p->conversation ? last_question(a, p->conversation) : 0;
    if (id && mem_message_get(a->store, id, &q, err) == Q_OK) {
        char *asked = chat_title(q.text);
        note(&a->events, AGT_INFO, _("quorum ended before \"%s\" was answered again: /open %lld, then /again%s%s does it"), asked, (long long)p->conversation,
             *p->text ? " " : "", p->text);
        free(asked);
    } else
        note(&a->events, AGT_INFO, _("quorum ended before an /again had its turn: /again%s%s asks it now"), *p->text ? " " : "", p->text);
    mem_message_free(&q);
    if (mem_pending_drop(a->store, p->id, err) < 0)
        note(&a->events, AGT_WARN, "%s", err);
}

int waits_stopped(agt *a, int64_t chat, int64_t question, int64_t elder, const char *text, char *err)
{
    int64_t id;
    mem_stats none = { 0 };
    size_t n = strlen(text);
    int rc = mem_reply_begin(a->store, chat, question, "", 0, 0, "{}", "", &id, err);
    if (rc == Q_OK && elder)
        rc = mem_reply_elder(a->store, id, elder, err);
    if (rc == Q_OK)                      /* no byte of it is the model's */
        rc = mem_reply_config(a->store, id, &(mem_message_config){ 0, (int64_t)n, 0, (char[]){ "{}" }, (char[]){ "" }, (char[]){ "" } }, err);
    return rc == Q_OK ? mem_reply_end(a->store, id, MEM_STOPPED, "stopped", text, n, "", 0, &none, NULL, err) : rc;
}

/* An answer that was to be amended. With its conversation it is gone. */
static void restore_amended(agt *a, const mem_pending *p)
{
    char err[Q_ERRLEN];
    mem_messages path = { 0 };
    mem_message m = { 0 };
    int64_t id = WAITS_AMEND - p->edits;
    int rc = Q_OK;
    if (!id && mem_branch(a->store, p->conversation, 0, &path, err) == Q_OK && path.n)
        id = path.v[path.n - 1].id;
    if (id && mem_message_get(a->store, id, &m, err) == Q_OK && m.conversation == p->conversation && !there(a, p)) {
        bool own = m.role == MEM_ASSISTANT;
        rc = waits_stopped(a, p->conversation, own ? m.parent : m.id, own ? m.id : 0, p->text, err);
        if (rc == Q_OK)
            note(&a->events, AGT_INFO, _("an answer that was to be amended when quorum ended stands beside the old one, stopped where it was to go on: /amend goes on from there"));
    }
    if (rc == Q_OK)
        rc = mem_pending_drop(a->store, p->id, err);
    if (rc < 0)
        note(&a->events, AGT_WARN, "%s", err);
    mem_message_free(&m);
    mem_messages_free(&path);
}

/* agt_open, before any thread runs: what waited in a shell that is gone. */
void waits_restore(agt *a)
{
    char err[Q_ERRLEN];
    mem_pendings l = { 0 };
    if (mem_pending_take(a->store, &l, err) < 0) {
        note(&a->events, AGT_WARN, "%s", err);
        return;
    }
    int kept = 0;
    int64_t made = 0;
    for (int i = 0; i < l.n; i++) {
        const mem_pending *p = &l.v[i];
        if (p->edits == WAITS_AGAIN)
            continue;
        if (p->edits <= WAITS_AMEND) {
            restore_amended(a, p);
            continue;
        }
        mem_conversation c = { 0 };
        int64_t chat = p->conversation, id;
        mem_message edited = { 0 };
        int rc = Q_OK;
        if (chat && mem_conversation_get(a->store, chat, &c, err) < 0)
            chat = 0;
        if (chat && there(a, p)) {
            mem_conversation_free(&c);
            mem_pending_drop(a->store, p->id, err);
            continue;
        }
        int64_t parent = c.leaf, edits = p->edits == 0 && chat ? last_question(a, chat) : p->edits;
        if (chat && edits > 0 && mem_message_get(a->store, edits, &edited, err) == Q_OK && edited.conversation == chat)
            parent = edited.parent;
        if (!chat && !made) {            /* several of one new conversation stay together */
            char *title = chat_title(p->text);
            rc = mem_conversation_new(a->store, title, &made, err);
            free(title);
        }
        if (!chat && made) {
            mem_conversation n = { 0 };
            if (mem_conversation_get(a->store, made, &n, err) == Q_OK)
                parent = n.leaf;
            mem_conversation_free(&n);
            chat = made;
        }
        if (rc == Q_OK)
            rc = mem_message_add(a->store, chat, parent, MEM_USER, p->text, strlen(p->text), &id, err);
        if (rc == Q_OK)
            rc = mem_pending_drop(a->store, p->id, err);
        if (rc < 0)
            note(&a->events, AGT_WARN, "%s", err);
        else
            kept++;
        mem_message_free(&edited);
        mem_conversation_free(&c);
    }
    for (int i = 0; i < l.n; i++)        /* the questions that they are about have their places now */
        if (l.v[i].edits == WAITS_AGAIN)
            say_again(a, &l.v[i]);
    mem_pendings_free(&l);
    if (kept)
        note(&a->events, AGT_INFO, ngettext("%d question that waited when quorum ended stands at the end of its conversation: /again answers it",
                                        "%d questions that waited when quorum ended stand at the end of their conversations: /again answers the last one", (unsigned long)kept), kept);
}

void waits_free(waits *all)
{
    for (waiting *w; (w = all->first);) {
        all->first = w->next;
        free(w);
    }
    pthread_mutex_destroy(&all->mu);
}
