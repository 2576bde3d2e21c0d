/* agent/chat: see chat.h. */
#include "agent/errands.h"
#include "agent/past.h"
#include "agent/talk.h"
#include "agent/view.h"

#include <stdlib.h>
#include <string.h>

void chat_reload(agt *a)
{
    char err[Q_ERRLEN];
    unstored_try(a);
    mem_messages_free(&a->chat.path);
    if (a->chat.id && mem_branch(a->store, a->chat.id, 0, &a->chat.path, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
}

void chat_show(agt *a, int64_t message)
{
    char err[Q_ERRLEN];
    mem_conversation c = { 0 };
    if (a->chat.id && mem_conversation_get(a->store, a->chat.id, &c, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    char *draft = NULL;
    if (!a->chat.id)
        draft = settings_get(&a->settings, "draft.new");
    agt_event e = { .kind = AGT_EV_OPENED, .id = a->chat.id, .text = q_strdup(c.title ? c.title : ""),
                    .draft = a->chat.id ? q_strdup(c.draft ? c.draft : "") : draft ? draft : q_strdup(""), .scroll = a->chat.id ? c.scroll : -1, .done = message,
                    .message = view_branch(a->store, &a->chat.path), .n_messages = a->chat.path.n };
    pthread_mutex_lock(&a->shown.mu);
    a->shown.st.chat = a->chat.id;
    pthread_mutex_unlock(&a->shown.mu);
    mem_conversation_free(&c);
    evq_push(&a->events, &e);
}

/* What was said of the conversation before this one is not said of this one. */
static void another(agt *a)
{
    shown *s = &a->shown;
    pthread_mutex_lock(&s->mu);
    rag_result *why = s->why;
    char *asked = s->prompt, *broken = s->why_broken;
    s->why = NULL;
    s->prompt = s->why_broken = NULL;
    s->why_message = 0;
    memset(&s->left, 0, sizeof s->left);
    s->st.n_tokens = 0;
    s->st.rate.decode = 0;
    s->st.drafts.said = -1;
    s->read_rate = 0;
    pthread_mutex_unlock(&s->mu);
    history_forget(&a->seat.past);
    turns_forget(a);
    past_drop(a);
    costs_publish(a);
    rag_result_free(why);
    free(asked);
    free(broken);
    sync_mix(a);
}

/* Tokens of the context that the branch which is shown has in common with the one that was read: as far as both go, by what the answers there took. -1: it is
 * that one, or nothing is known. */
static int in_common(agt *a)
{
    char err[Q_ERRLEN];
    mem_messages of = { 0 };
    const mem_messages *now = &a->chat.path;
    int n = 0, shared = -1;
    if (!a->seat.leaf || a->seat.holds != a->chat.id || mem_branch(a->store, a->chat.id, a->seat.leaf, &of, err) < 0)
        return -1;
    while (n < of.n && n < now->n && of.v[n].id == now->v[n].id)
        n++;
    if (n < of.n) {
        const mem_message *apart = &of.v[n], *last = n ? &of.v[n - 1] : NULL;
        shared = apart->role == MEM_ASSISTANT ? apart->stats.prompt_tokens : last ? last->stats.prompt_tokens + last->stats.tokens : 0;
    }
    mem_messages_free(&of);
    return shared;
}

static int open_at(agt *a, int64_t chat, int64_t message)
{
    char err[Q_ERRLEN];
    if (chat && mem_conversation_opened(a->store, chat, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return Q_ERR;
    }
    bool other = a->chat.id != chat;
    a->chat.id = chat;
    if (other)
        another(a);
    a->chat.keep_from = 0;
    chat_reload(a);
    if (message && !chat_message(a, message, MEM_USER)) {        /* it stands on another branch: that one is taken */
        int64_t leaf;
        if (mem_leaf_below(a->store, message, &leaf, err) < 0 || mem_conversation_leaf(a->store, chat, leaf, err) < 0)
            note(&a->events, AGT_ERROR, "%s", err);
        chat_reload(a);
    }
    chat_show(a, message);
    a->seat.shared = in_common(a);
    sync_mix(a);
    int64_t last = 0;
    for (int i = 0; i < a->chat.path.n; i++)
        if (a->chat.path.v[i].has_trace)
            last = a->chat.path.v[i].id;
    lab_watch_clear(a->watch);
    if (last)
        lab_watch_stored(a->watch, last);
    return Q_OK;
}

int chat_open(agt *a, int64_t chat) { return open_at(a, chat, 0); }

static void open_job(agt *a, const job *j)
{
    if (j->id || !j->text) {
        open_at(a, j->id, j->number);
        return;
    }
    char err[Q_ERRLEN];                  /* /new TITLE */
    int64_t id;
    if (mem_conversation_new(a->store, j->text, &id, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else
        chat_open(a, id);
}

const mem_message *chat_message(agt *a, int64_t id, enum mem_role role)
{
    for (int i = a->chat.path.n - 1; i >= 0; i--)
        if (id ? a->chat.path.v[i].id == id : a->chat.path.v[i].role == role)
            return &a->chat.path.v[i];
    return NULL;
}

static void branch(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    const mem_message *m = chat_message(a, j->id, MEM_ASSISTANT);
    if (!j->id && m && m->siblings < 2)
        for (int i = a->chat.path.n - 1; i >= 0; i--)
            if (a->chat.path.v[i].siblings > 1) {
                m = &a->chat.path.v[i];
                break;
            }
    if (!m || m->siblings < 2) {
        note(&a->events, AGT_INFO, _("there is no other version here: /again or /edit makes one"));
        return;
    }
    mem_messages all = { 0 };
    int64_t leaf;
    int to = (m->sibling - 1 + (int)j->number + m->siblings) % m->siblings;
    if (mem_siblings(a->store, m->id, &all, err) < 0 || to >= all.n || mem_leaf_below(a->store, all.v[to].id, &leaf, err) < 0 ||
        mem_conversation_leaf(a->store, a->chat.id, leaf, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else
        chat_open(a, a->chat.id);
    mem_messages_free(&all);
}

/* A conversation was deleted. */
static void gone(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    int64_t last = 0;
    if (j->id == a->chat.id)
        chat_open(a, mem_conversation_last(a->store, &last, err) == Q_OK ? last : 0);
}

const job_row job_open = { .name = "open", .lane = LANE_ENGINE, .end = END_CARRIED, .moves = true, .run = open_job };
const job_row job_branch = { .name = "branch", .lane = LANE_ENGINE, .end = END_CARRIED, .run = branch };
/* Messages of a conversation went: where it is the present one it is read anew. */
static void thinned(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    mem_conversation c = { 0 };
    if (j->id == a->chat.id) {
        int rc = mem_conversation_get(a->store, j->id, &c, err);     /* the last one went too: so did the conversation */
        mem_conversation_free(&c);
        if (rc == Q_NOTFOUND)
            gone(a, j);
        else
            chat_open(a, j->id);
    }
}

const job_row job_thinned = { .name = "thinned", .lane = LANE_ENGINE, .end = END_DROPPED, .moves = true, .run = thinned };
const job_row job_gone = { .name = "gone", .lane = LANE_ENGINE, .end = END_DROPPED, .moves = true, .run = gone };

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
