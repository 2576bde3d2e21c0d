/* serve/lane: threads that do jobs in the order in which they come. Private to serve. */
#ifndef QUORUM_SERVE_LANE_H
#define QUORUM_SERVE_LANE_H

#include <pthread.h>
#include <stdbool.h>

typedef void lane_work(void *job);
typedef struct lane_job { struct lane_job *next; lane_work *work; void *job; } lane_job;
typedef struct lane {
    pthread_mutex_t mu;
    pthread_cond_t more;
    pthread_t *thread; int n;
    lane_job *first, **last;
    int waiting, running, most;
    bool ends;
} lane;

/* How many threads it has then: fewer than n where the system gives no more. most: jobs that may wait. */
int lane_start(lane *, int n, int most);
bool lane_put(lane *, lane_work *, void *job);   /* false: too many wait */
void lane_count(lane *, int *running, int *waiting);
void lane_end(lane *);                           /* does what waits, then ends its threads: nothing is taken any more */
void lane_free(lane *);                          /* behind lane_end, when nobody puts or counts any more. One that was never started is fine */

#endif
