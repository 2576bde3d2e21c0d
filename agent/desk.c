/* agent/desk: what is to be done: the queues of jobs for the engine thread and for the clerk, and the edits that are applied
 * between two tokens. Any thread posts; agt.mu guards them. It never does any of the work. */
#include "agent/room.h"

#include <stdlib.h>
#include <string.h>

void job_free(job *j)
{
    if (!j)
        return;
    free(j->text);
    free(j->value);
    free(j);
}

static bool clerks(enum job_kind k) { return k >= JOB_CHATS; }

void room_post(agt *a, enum job_kind k, int64_t id, int64_t number, const char *text, const char *value)
{
    job *j = q_alloc(sizeof *j);
    *j = (job){ .kind = k, .id = id, .number = number, .text = text ? q_strdup(text) : NULL, .value = value ? q_strdup(value) : NULL };
    pthread_mutex_lock(&a->mu);
    jobs *l = clerks(k) ? &a->errands : &a->todo;
    if (l->last)
        l->last->next = j;
    else
        l->first = j;
    l->last = j;
    pthread_cond_broadcast(&a->work);
    pthread_mutex_unlock(&a->mu);
}

void room_edit(agt *a, enum edit_kind k, int delta, const char *name, const char *value)
{
    edit *e = q_alloc(sizeof *e);
    *e = (edit){ .kind = k, .delta = delta, .name = name ? q_strdup(name) : NULL, .value = value ? q_strdup(value) : NULL };
    pthread_mutex_lock(&a->mu);
    *a->edits_end = e;
    a->edits_end = &e->next;
    pthread_cond_broadcast(&a->work);
    pthread_mutex_unlock(&a->mu);
}

void jobs_free(jobs *l)
{
    while (l->first) {
        job *j = l->first;
        l->first = j->next;
        job_free(j);
    }
}

void edit_free(edit *e)
{
    free(e->name);
    free(e->value);
    free(e);
}
