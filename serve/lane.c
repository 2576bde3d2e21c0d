/* serve/lane: see lane.h. */
#include "serve/lane.h"
#include "base/base.h"

#include <stdlib.h>

static void *run(void *user)
{
    lane *l = user;
    pthread_mutex_lock(&l->mu);
    for (;;) {
        while (!l->first && !l->ends)
            pthread_cond_wait(&l->more, &l->mu);
        if (!l->first)
            break;
        lane_job *j = l->first;
        if (!(l->first = j->next))
            l->last = &l->first;
        l->waiting--;
        l->running++;
        pthread_mutex_unlock(&l->mu);
        j->work(j->job);
        free(j);
        pthread_mutex_lock(&l->mu);
        l->running--;
    }
    pthread_mutex_unlock(&l->mu);
    return NULL;
}

int lane_start(lane *l, int n, int most)
{
    *l = (lane){ .most = most };
    l->last = &l->first;
    pthread_mutex_init(&l->mu, NULL);
    pthread_cond_init(&l->more, NULL);
    l->thread = q_alloc(sizeof *l->thread * (size_t)n);
    while (l->n < n && pthread_create(&l->thread[l->n], NULL, run, l) == 0)
        l->n++;
    return l->n;
}

bool lane_put(lane *l, lane_work *work, void *job)
{
    pthread_mutex_lock(&l->mu);
    bool taken = l->n > 0 && !l->ends && l->waiting + l->running < l->most + l->n;
    if (taken) {
        lane_job *j = q_alloc(sizeof *j);
        *j = (lane_job){ NULL, work, job };
        *l->last = j;
        l->last = &j->next;
        l->waiting++;
        pthread_cond_signal(&l->more);
    }
    pthread_mutex_unlock(&l->mu);
    return taken;
}

void lane_count(lane *l, int *running, int *waiting)
{
    pthread_mutex_lock(&l->mu);
    *running = l->running;
    *waiting = l->waiting;
    pthread_mutex_unlock(&l->mu);
}

void lane_end(lane *l)
{
    if (!l->thread)                      /* never started */
        return;
    pthread_mutex_lock(&l->mu);
    l->ends = true;
    pthread_cond_broadcast(&l->more);
    pthread_mutex_unlock(&l->mu);
    for (int i = 0; i < l->n; i++)
        pthread_join(l->thread[i], NULL);
}

void lane_free(lane *l)
{
    if (!l->thread)
        return;
    pthread_mutex_destroy(&l->mu);
    pthread_cond_destroy(&l->more);
    free(l->thread);
    l->thread = NULL;
}
