/* agent/waits: a question that is sent while something runs is stored at once, before it has a place on the branch; the
 * engine's thread places it when its turn comes. After a crash the next start puts such questions at the end of their
 * conversations; what an answer was to go on from (/amend) stands then beside the old answer, stopped. An /again that
 * has to wait is stored likewise, and said at the next start. The quick lane stores, the engine's thread drops; waits.mu
 * guards the list. It never answers anything. */
#ifndef QUORUM_AGENT_WAITS_H
#define QUORUM_AGENT_WAITS_H

#include "agent/desk.h"

typedef struct waiting {
    struct waiting *next;
    int64_t ticket, chat, edits, row;    /* row 0: not stored yet */
    bool placed, kept;                   /* the engine's thread, the quick lane is through with it; both: it is freed */
    bool say;                            /* it waits for an answer, which can take long */
} waiting;

typedef struct waits {
    pthread_mutex_t mu;
    waiting *first;
    int64_t tickets;
} waits;

/* What is not an edit of a message. An answer's new beginning, of message N (0: the last), is WAITS_AMEND - N; it is stored also
 * where it need not wait: nothing else keeps it before its answer begins. */
enum { WAITS_SEND = -1, WAITS_AGAIN = -2, WAITS_AMEND = -3 };
int64_t waits_ticket(struct agt *, int64_t edits, const char *text);     /* front-end thread: 0 when it need not wait */
void waits_again(struct agt *, const char *words);                       /* engine's thread, at the end: an /again whose turn did not come */
/* An answer that was stopped at the beginning that it was given, as a child of question, beside elder (0: as it comes). Any thread. */
int waits_stopped(struct agt *, int64_t chat, int64_t question, int64_t elder, const char *text, char *err);
void waits_placed(struct agt *, int64_t ticket);                         /* engine's thread: placed, or back with the person */
void waits_restore(struct agt *);                                        /* agt_open: what waited in a shell that is gone */
void waits_free(waits *);

#endif
