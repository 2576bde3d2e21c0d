/* agent/worker: the engine thread. Takes jobs in order, applies edits of the configuration between two tokens, owns the
 * model, the session and the present branch. While nothing is asked of it, it learns what routing is usual.
 * It never waits for the screen but in a full event queue. */
#include "agent/room.h"

#include <stdlib.h>

static void run(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    switch (j->kind) {
    case JOB_LOAD: load_job(a, j); break;
    case JOB_OPEN: chat_open_job(a, j); break;
    case JOB_SEND: turn_send(a, j->text, 0, true, j->number); break;
    case JOB_AGAIN: turn_again(a, j->id, j->text ? j->text : ""); break;
    case JOB_EDIT: turn_edit(a, j->id, j->text, j->number); break;
    case JOB_BRANCH: chat_branch(a, j); break;
    case JOB_RECOMPUTE: sync_recompute(a); break;
    case JOB_DELETE: chat_delete(a, j); break;
    case JOB_RENAME: chat_rename(a, j); break;
    case JOB_MANUAL:
        if (rag_manual(a->store, err) < 0)
            room_note(a, AGT_WARN, "%s", err);
        break;
    default: break;
    }
}

static bool stoppable(enum job_kind k)
{
    return k == JOB_SEND || k == JOB_AGAIN || k == JOB_EDIT || k == JOB_RECOMPUTE;
}

void *worker_main(void *user)
{
    agt *a = user;
    bool more = false;
    for (;;) {
        pthread_mutex_lock(&a->mu);
        bool will_load = false;
        for (job *j = a->todo.first; j; j = j->next)
            will_load |= j->kind == JOB_LOAD;
        while (!a->quit && !a->todo.first && !a->edits && !more)
            pthread_cond_wait(&a->work, &a->mu);
        if (a->quit) {
            pthread_mutex_unlock(&a->mu);
            break;
        }
        bool edits = a->edits && !(will_load && !a->cfg);
        job *j = NULL;
        if (!edits && a->todo.first) {
            j = a->todo.first;
            a->todo.first = j->next;
            if (!a->todo.first)
                a->todo.last = NULL;
            a->running = true;
            atomic_store(&a->stop, false);
            a->answering = stoppable(j->kind);
            if (a->cancel)
                eng_session_uncancel(a->cancel);
        }
        pthread_mutex_unlock(&a->mu);
        if (edits)
            edits_apply(a, 0, NULL);
        else if (j) {
            run(a, j);
            bool check_usual = j->kind != JOB_OPEN;
            job_free(j);
            pthread_mutex_lock(&a->mu);
            a->running = a->answering = false;
            if (a->cancel)
                eng_session_uncancel(a->cancel);
            pthread_mutex_unlock(&a->mu);
            more = check_usual;
            continue;
        }
        more = (edits || more) && watch_baseline(a);
    }
    /* Questions that were still waiting when the program ended: kept, to be answered by /again. */
    for (job *j = a->todo.first; j; j = j->next) {
        if (j->kind == JOB_OPEN)
            chat_open_job(a, j);
        if (j->kind == JOB_SEND)
            if (turn_store(a, j->text, 0, true))
                pending_placed(a, j->number);
    }
    load_none(a);
    lab_watch_save(a->watch);
    mem_messages_free(&a->path);
    return NULL;
}
