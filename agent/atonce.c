/* agent/atonce: several things that change nothing, done at once on a few threads: see tooling.h. The caller waits, and is one of them. */
#include "agent/tooling.h"

#include <stdlib.h>

typedef struct atonce {
    void (*one)(void *user, int i);
    void *user;
    int n;
    atomic_int next;
} atonce;

static void *worker(void *work)
{
    atonce *w = work;
    for (int i; (i = atomic_fetch_add(&w->next, 1)) < w->n;)
        w->one(w->user, i);
    return NULL;
}

void atonce_do(int n, void (*one)(void *user, int i), void *user)
{
    atonce w = { one, user, n, 0 };
    pthread_t thread[ATONCE_MOST];
    int started = 0;
    while (started < n - 1 && started < ATONCE_MOST - 1 && pthread_create(&thread[started], NULL, worker, &w) == 0)
        started++;                       /* without any thread it takes longer, no more */
    worker(&w);
    while (started > 0)
        pthread_join(thread[--started], NULL);
}
