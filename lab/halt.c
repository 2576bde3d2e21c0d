/* lab/halt: what runs over sessions ends soon after a flag is set, also within one step of a large model. See lab.h. */
#include "engine/engine.h"
#include "lab/lab.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LOOK_NS = 20000000, MOST = 4 };

struct lab_halt {
    const atomic_bool *stop;
    eng_session *session[MOST];
    int n;
    pthread_mutex_t mu;
    pthread_cond_t cond;
    bool over;                           /* under mu */
    pthread_t thread;
};

static void *watch(void *user)
{
    lab_halt *h = user;
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    pthread_mutex_lock(&h->mu);
    while (!h->over && !atomic_load(h->stop)) {
        int64_t next = (int64_t)at.tv_sec * 1000000000 + at.tv_nsec + LOOK_NS;
        at = (struct timespec){ .tv_sec = next / 1000000000, .tv_nsec = next % 1000000000 };
        pthread_cond_timedwait(&h->cond, &h->mu, &at);
    }
    for (int i = 0; i < h->n && !h->over; i++)
        eng_session_cancel(h->session[i]);
    pthread_mutex_unlock(&h->mu);
    return NULL;
}

lab_halt *lab_halt_new(const atomic_bool *stop, eng_session *const *session, int n)
{
    if (!stop || n < 1 || n > MOST)
        return NULL;
    lab_halt *h = q_alloc(sizeof *h);
    *h = (lab_halt){ .stop = stop, .n = n };
    memcpy(h->session, session, sizeof *session * (size_t)n);
    pthread_condattr_t ca;
    pthread_condattr_init(&ca);
    pthread_condattr_setclock(&ca, CLOCK_MONOTONIC);
    pthread_cond_init(&h->cond, &ca);
    pthread_condattr_destroy(&ca);
    pthread_mutex_init(&h->mu, NULL);
    if (pthread_create(&h->thread, NULL, watch, h) == 0)
        return h;
    pthread_cond_destroy(&h->cond);      /* then it ends between two steps */
    pthread_mutex_destroy(&h->mu);
    free(h);
    return NULL;
}

void lab_halt_free(lab_halt *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->mu);
    h->over = true;
    pthread_cond_signal(&h->cond);
    pthread_mutex_unlock(&h->mu);
    pthread_join(h->thread, NULL);
    for (int i = 0; i < h->n; i++)
        eng_session_uncancel(h->session[i]);
    pthread_cond_destroy(&h->cond);
    pthread_mutex_destroy(&h->mu);
    free(h);
}
