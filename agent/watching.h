/* agent/watching: folders that are kept in step with memory (/watch). A thread of its own waits for what the system tells of them (inotify)
 * and posts the long lane's job when a folder has been quiet for a moment; what is changed, gone or back is told by the same look that
 * /add takes (rag/follow.c), so that only contents decide. A folder that cannot be reached is looked for again, and nothing of it
 * is taken for gone. The list is under mu, and under it nothing but the list is looked at: whoever asks for it never waits for a disk. The thread touches no
 * store. */
#ifndef QUORUM_AGENT_WATCHING_H
#define QUORUM_AGENT_WATCHING_H

#include "base/base.h"

#include <pthread.h>

struct agt;
struct mem_store;

typedef struct watched {
    char *path;
    int64_t lost_ms;                     /* since when it cannot be reached; 0: it can */
    int64_t due_ns, first_ns;            /* when it is looked at; since when something waits; 0: nothing does */
    bool posted;                         /* its job waits or runs */
    bool few, said;                      /* of some folders below it the system tells nothing: looked at every half minute; that was said */
} watched;
typedef struct watching {
    pthread_mutex_t mu;
    watched *v; int n;
    pthread_t thread;
    bool runs, ends, reads;              /* reads: the thread has notices that it has not told of yet */
    int in, wake;                        /* inotify; eventfd. -1: there is none */
    int most;                            /* folders, all together, that the system is asked to tell of */
    int64_t again_ns;                    /* between two looks where it tells nothing */
    void (*before)(void *user, const char *path);        /* tests: in its thread, before it asks to be told of a folder; NULL */
    void *before_user;
} watching;

void watching_open(struct agt *);        /* those of the store, each looked at once; not for a script */
void watching_close(struct agt *);       /* the thread is gone behind it */
/* ---- passed.c: as the store keeps it; any thread ---- */
char *watching_key(const char *folder);                  /* of its setting; malloc'ed */
bool watching_within(const char *path, const char *folder);
struct strings;
int watching_folders(struct mem_store *, struct strings *out, char *err);
/* A document of this path is forgotten: where it lies in a watched folder it is not taken in again from there, until somebody adds it by
 * its name. */
void watching_not(struct mem_store *, const char *path);
void watching_again(struct mem_store *, const char *path);
bool watching_passes(struct mem_store *, const char *path);

#endif
