/* kernels/cpu/pool: the persistent workers of a device. One caller (worker 0) hands out jobs; a worker begins with
 * tasks that follow one another, so that what it fetches ahead is its own, and helps others when it has none left.
 * Workers spin briefly, then sleep on a futex.
 * It never allocates in pool_run, and never makes the caller wait for a worker that claimed nothing. */
#ifndef QUORUM_KERNELS_POOL_H
#define QUORUM_KERNELS_POOL_H

#include <stdatomic.h>

typedef struct pool pool;
typedef void (*pool_fn)(void *arg, int task, int worker);   /* worker in [0, pool_threads) */

enum { POOL_MAX_THREADS = 256, POOL_MAX_TASKS = 1 << 20 };

int pool_cores(void);                        /* processors this process may keep busy (q_cores), 1..POOL_MAX_THREADS */
pool *pool_new(int n_threads);               /* NULL if a thread could not be made; 0 = pool_cores()    */
pool *pool_new_most(int n_threads);          /* likewise, but fewer where the system gives no more (a half, a quarter, ...; pool_threads tells); NULL: no memory */
void pool_free(pool *);
int pool_threads(const pool *);
/* Runs fn for every task in [0, n_tasks), in no particular order; the one barrier is its return.
 * cancel (may be NULL) is polled at every claim: Q_CANCEL when it was seen set, with tasks left undone. */
int pool_run(pool *, int n_tasks, pool_fn fn, void *arg, const atomic_int *cancel);

#endif
