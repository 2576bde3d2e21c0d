/* agent/events: the bounded queue from the lanes' threads to the front end, and the notes that all of them push. Any thread
 * pushes, the front end pops. Text is never dropped: a full queue makes the producers wait; progress that was not read
 * yet is replaced by newer progress. The front end itself never waits here, whatever it pushes. */
#ifndef QUORUM_AGENT_EVENTS_H
#define QUORUM_AGENT_EVENTS_H

#include "agent/agent.h"

#include <pthread.h>

enum { EVQ_MAX = 1024 };                 /* above it the lanes' threads wait for the reader */
typedef struct evq {
    pthread_mutex_t mu;
    pthread_cond_t room;
    agt_event *v;                        /* ring */
    int cap, head, n;
    int fd;                              /* eventfd, readable while n > 0 */
    bool closing;                        /* nobody waits any more */
    pthread_t reader;                    /* the front end: it never waits for itself */
} evq;
int evq_open(evq *q, char *err);
void evq_close(evq *q);
void evq_hurry(evq *q);                  /* closing: wakes whoever waits */
void evq_push(evq *q, agt_event *e);     /* takes the contents */
bool evq_pop(evq *q, agt_event *out);

void note(evq *, enum agt_level level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void note_text(evq *, const char *title, char *text /* taken */);
void note_page(evq *, const char *title, char *text, char *data /* both taken; data: JSON or NULL */);
void note_ui(evq *, int action, const char *arg);

#endif
