/* agent/clerk: the clerk thread. Disk work that no answer waits for: lists, search, taking files in, settings, stored
 * traces. It never touches the model's session (the trace ring excepted, which any thread may read). */
#include "agent/room.h"

#include <stdlib.h>

static void run(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    switch (j->kind) {
    case JOB_CHATS: lists_chats(a); break;
    case JOB_FIND: lists_find(a, j->text); break;
    case JOB_ADD: documents_add(a, j->text); break;
    case JOB_FORGET: documents_forget(a, j->text); break;
    case JOB_DOCUMENTS: documents_list(a); break;
    case JOB_SEARCH: documents_search(a, j->text); break;
    case JOB_MODEL: lists_model(a, j->text); break;
    case JOB_SETTING:
        if (mem_setting_put(a->store, j->text, j->value, err) < 0)
            room_note(a, AGT_WARN, "%s", err);
        break;
    case JOB_PLACE:
        if ((j->id ? mem_conversation_view(a->store, j->id, j->text, j->number, err) : mem_setting_put(a->store, "draft.new", j->text, err)) < 0)
            room_note(a, AGT_WARN, "%s", err);
        break;
    case JOB_NAMES: lists_models(a, false); break;
    case JOB_KEEP: case JOB_SAVE: keep_now(a, j); break;
    case JOB_RETRIEVAL: lists_retrieval(a, j->id); break;
    case JOB_SHOW: lab_watch_stored(a->watch, j->id); break;
    case JOB_TRACE: trace_save(a, j->text); break;
    default: break;
    }
}

void *clerk_main(void *user)
{
    agt *a = user;
    for (;;) {
        pthread_mutex_lock(&a->mu);
        while (!a->quit && !a->errands.first)
            pthread_cond_wait(&a->work, &a->mu);
        job *j = a->errands.first;
        if (j) {
            a->errands.first = j->next;
            if (!a->errands.first)
                a->errands.last = NULL;
            a->errand_running = j->kind == JOB_ADD;
            if (!a->quit)
                atomic_store(&a->errand_stop, false);
        }
        bool quit = a->quit;
        pthread_mutex_unlock(&a->mu);
        if (!j)
            break;                       /* quit, and nothing left that must be kept */
        if (!quit || j->kind == JOB_SETTING || j->kind == JOB_PLACE)
            run(a, j);
        job_free(j);
        pthread_mutex_lock(&a->mu);
        a->errand_running = false;
        pthread_mutex_unlock(&a->mu);
    }
    return NULL;
}
