/* agent/forget: what leaves memory. The quick lane finds out what is meant (meant.c) and asks; the long lane removes that and nothing
 * else, a few at a time. What the end cuts off goes on at the next start. */
#include "agent/errands.h"
#include "agent/meant.h"

#include <stdlib.h>
#include <string.h>

static void look(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    agt_forgetting f;
    if (agt_forget_find(a->store, j->text, &f, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else
        asks_put_data(a, q_strdup(f.question), q_strdup(f.data), &job_forget_agreed, 0, 0, f.items);
    agt_forgetting_free(&f);
}

/* The present conversation lost messages: it is read anew. Another front end's screen finds out at its next look. */
static void reopen(agt *a, const int64_t *chat, int n)
{
    for (int i = 0; i < n; i++)
        desk_post(&a->desk, &job_thinned, chat[i], 0, NULL, NULL);
}

typedef struct removing { agt *a; bool seen; int done; } removing;

static bool going_on(void *user, int done, int total)
{
    removing *r = user;
    agt_event e = { .kind = AGT_EV_PROGRESS, .text = q_strdup(_("removing documents")), .done = done, .total = total, .rate = -1 };
    evq_push(&r->a->events, &e);
    return !desk_stopped(&r->a->desk, LANE_LONG);
}

static void forget(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    forgot f = { 0 };
    removing r = { .a = a };
    char *outside = agt_outside_kept(a->store);  /* before a name of one goes with the words in it */
    const char *p = j->text;
    int total = forget_count(p), rc = forget_items(a->store, &p, going_on, &r, &f, err);
    agt_event e = { .kind = AGT_EV_PROGRESS, .text = q_strdup(_("removing documents")) };
    evq_push(&a->events, &e);
    reopen(a, f.chat, f.n_chat);
    for (int i = 0; i < f.n_gone; i++) {
        pthread_mutex_lock(&a->shown.mu);
        bool here = a->shown.st.chat == f.gone[i];
        pthread_mutex_unlock(&a->shown.mu);
        if (here && desk_answering(&a->desk))
            desk_stop(&a->desk);
        desk_post(&a->desk, &job_gone, f.gone[i], 0, NULL, NULL);
    }
    if (f.words)
        note_ui(&a->events, AGT_UI_FORGOTTEN, f.words);
    if (*p && desk_quits(&a->desk))
        errand_left(a, j, p);
    else
        errand_done(a, j);
    char *removed = forget_removed(&f);
    if (rc < 0 && rc != Q_CANCEL)
        note(&a->events, AGT_ERROR, _("%d of %d documents are removed, then: %s"), f.documents + f.chats + f.messages + f.facts, total, err);
    else if (*p)
        note(&a->events, AGT_WARN, _("stopped: %d of %d documents are removed from memory"), f.documents + f.chats + f.messages + f.facts, total);
    else
        note(&a->events, AGT_INFO, "%s", removed);
    if (outside)
        note(&a->events, AGT_INFO, "%s", outside);
    free(outside);
    free(removed);
    forgot_free(&f);
    desk_post(&a->desk, &job_tidy, 0, 0, NULL, NULL);
    desk_post(&a->desk, &job_backup, 0, 0, NULL, NULL);
    desk_post(&a->desk, &job_chats, 0, 0, NULL, NULL);
}

/* At the end: one thing is removed before it, many are left to the next start. */
static void keep(agt *a, const job *j)
{
    if (strchr(j->text, ' '))
        errand_left(a, j, j->text);
    else
        forget(a, j);
}

static void agreed(agt *a, const job *j) { errand_accept(a, &job_forgotten, 0, j->text, j->text); }

const job_row job_forget_agreed = { .name = "forget!", .lane = LANE_QUICK, .end = END_CARRIED, .run = agreed, .then = &job_forgotten };
const job_row job_forget = { .name = "forget?", .lane = LANE_QUICK, .end = END_DROPPED, .run = look };
const job_row job_forgotten = { .name = "forget", .lane = LANE_LONG, .end = END_KEPT, .run = forget, .keep = keep };
