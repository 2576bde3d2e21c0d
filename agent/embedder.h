/* agent/embedder: the embedding model at work for a room: on a thread of its own it opens the model that memory.embedder means, when
 * its file is there, and makes the vectors that passages are owed, whenever the engine's and the long lane have nothing to do; between
 * two steps (a layer of a batch of some hundred tokens) it looks again. Nothing waits for it.
 *
 * Two of the same model are open while vectors are made: one for questions, without worker threads, which runs in the thread that
 * searches and at its priority, and one that makes vectors at the lowest priority. One embedder behind a lock would have a question wait
 * for a batch that the system gives no time to. The weights of both are the same mapped pages; what the second costs is its
 * vocabulary (40 MB for multilingual-e5), and it is closed as soon as nothing is owed. */
#ifndef QUORUM_AGENT_EMBEDDER_H
#define QUORUM_AGENT_EMBEDDER_H

#include "agent/agent.h"
#include "provider/provider.h"
#include "rag/rag.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct embedder {
    bool on, makes;                      /* constant after embedder_start: there may be one; vectors are made */
    pthread_t thread;                    /* front-end thread */
    bool running;                        /* likewise */
    atomic_bool change;                  /* memory.on, memory.mode or memory.embedder has another value */
    pthread_mutex_t mu;                  /* guards the next three */
    pthread_cond_t looked;
    bool has_looked;                     /* the first look for the model is over */
    agt_meaning now;
    pthread_rwlock_t use;                /* read: somebody searches with the next two; write: they change */
    prov_embedder *ask;
    rag_near *near;
    pthread_mutex_t asking;              /* one question at a time */
    /* its thread's */
    char *said;                          /* the last problem that a person was told of */
    bool told;                           /* the last event said something */
    /* set by tests while memory.embedder is off: how nice it is while it makes vectors, ms between two looks for a file or at another
     * process; called in its thread before each step */
    int niceness, look_ms;
    void (*before)(void *user, int64_t step);
    void *before_user;
    int64_t steps;
} embedder;

struct agt;
void embedder_open(embedder *);
void embedder_start(struct agt *, bool on, bool makes);  /* front-end thread, like the next */
void embedder_close(struct agt *);       /* behind desk_quit: waits for a step at most */
void embedder_changed(struct agt *);     /* any thread */

/* For one search: NULL: by words alone. Waits for the first look at the start, which opens the model, but not for vectors. What was
 * lent is given back by _end, in the same thread. Any thread. */
rag_near *embedder_near(struct agt *);
void embedder_near_end(struct agt *, rag_near *);

/* A line for /memory list: how memory is searched, and how far the vectors are. */
void embedder_page(struct agt *, q_buf *out);

/* Threads for making vectors: 1 on a battery, 0 (all cores) else. power: the folder that says so, "/sys/class/power_supply". */
int embedder_threads(const char *power);

#endif
