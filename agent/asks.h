/* agent/asks: what is too late to take back is asked about first. A job that would do it looks what there is and leaves the
 * question with the job that does it; agt_answer posts that or forgets it. Any thread, under asks.mu. */
#ifndef QUORUM_AGENT_ASKS_H
#define QUORUM_AGENT_ASKS_H

#include "agent/desk.h"

typedef struct one_ask {
    struct one_ask *next;
    int64_t ticket, id, number;
    const job_row *row;
    char *text;                          /* owned, like the list */
} one_ask;
typedef struct asks {
    pthread_mutex_t mu;
    one_ask *first;
    int64_t tickets;
} asks;

/* AGT_EV_ASK with this question (taken); yes posts the job. text is copied. */
void asks_put(struct agt *, char *question, const job_row *row, int64_t id, int64_t number, const char *text);
void asks_put_data(struct agt *, char *question, char *data /* taken too: JSON, or NULL */, const job_row *row, int64_t id, int64_t number, const char *text);
/* A file that is to be written: true where it waits, because something is there (AGT_EV_ASK as above; `said` 1: yes was the
 * answer) or a folder is (a note says what to give instead, a file in it, such as `like`). */
bool asks_over(struct agt *, const char *path, const char *like, const job_row *row, int64_t said, const char *text);
void asks_free(asks *);

#endif
