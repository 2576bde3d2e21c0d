/* agent/teacher: a run of teach/ at work for a room, on a thread of its own at the lowest priority. It opens the model by itself (the same mapped pages
 * as the one that answers) and asks desk_leisure between two steps, so that an answer or the long lane never waits for it; what goes on within a step then
 * is of the lowest priority. One at a time. A run that the program's end cut off goes on when its model is loaded again; one that a person stopped does
 * not. */
#ifndef QUORUM_AGENT_TEACHER_H
#define QUORUM_AGENT_TEACHER_H

#include "agent/agent.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct teacher {
    pthread_mutex_t mu;
    pthread_t thread;
    bool there;                          /* under mu: a thread runs, or waits to be joined */
    bool busy;                           /* under mu: it is at work */
    bool person;                         /* under mu: who stopped it was a person */
    bool undo;                           /* under mu: when it has stopped it is taken back */
    char *name, *settings, *model;       /* of the run; the thread's while busy */
    tch_state now;                       /* under mu */
    bool any;                            /* under mu: now says something */
    int64_t told_ns;                     /* the thread's: when it was told last */
    tch_state last;                      /* the thread's: how it ended */
    atomic_bool stop;
    atomic_bool looked;                  /* for a run that was cut off */
} teacher;

void teacher_open(teacher *);
void teacher_quit(struct agt *);         /* the program ends: it stops, */
void teacher_close(struct agt *);        /* and is waited for */
bool teacher_run(struct agt *, const char *name, const char *settings);      /* any thread; false: it did not begin, which is noted */
void teacher_stop(struct agt *);         /* likewise */
char *teacher_undo(struct agt *, const char *name);          /* any thread; the run of that name (NULL: whichever) is at work here: it stops and is taken back then; its name, malloc'ed; NULL: it is not */
void teacher_loaded(struct agt *);       /* engine's thread: a model was loaded: a run of it that was cut off goes on */
bool teacher_state(struct agt *, tch_state *out);            /* false: nothing was taught here yet */

#endif
