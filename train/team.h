/* train/team: the threads of a training run. One caller (worker 0) hands out tasks; workers sleep between jobs, for training is what a
 * machine does beside something else. They have the niceness of who makes the team. Which worker takes a task is chance; no result may
 * depend on it. */
#ifndef QUORUM_TRAIN_TEAM_H
#define QUORUM_TRAIN_TEAM_H

#include <stdatomic.h>
#include <stdbool.h>

typedef struct team team;
typedef void (*team_fn)(void *arg, int task, int worker);   /* worker in [0, team_threads) */

team *team_new(int n_threads);               /* 0: one for each core. As many as the system gives; NULL: no memory */
void team_free(team *);
int team_threads(const team *);
/* Who may end a job early: whoever sets `own`, or `outer` where there is one. Any thread. */
typedef struct team_stop { atomic_bool own; const atomic_bool *outer; } team_stop;
bool team_stopped(const team_stop *);        /* for long tasks, which may end early then; NULL: never */
/* Runs fn for each task in [0, n). stop (may be NULL) is looked at before each: Q_CANCEL once it is set, with tasks left undone. */
int team_run(team *, int n, team_fn fn, void *arg, const team_stop *stop);

#endif
