/* agent/desk: what is to be done, and by whom. Jobs stand in one of three lanes, each with a thread that takes them in
 * order: the engine's (everything that needs the model or the present conversation), quick (what a person waits for:
 * find, rename, show, lists, settings) and long (taking files in, removing them). Beside them stand the edits of the
 * configuration, which the engine's thread applies between two tokens (those behind a job that settles something: when that is done), and how a person holds the answer: stop, pause,
 * steps, pace. One mutex guards all of it; any thread may call anything but what says otherwise.
 * The desk does none of the work and knows neither store nor model. */
#ifndef QUORUM_AGENT_DESK_H
#define QUORUM_AGENT_DESK_H

#include "base/base.h"

#include <pthread.h>
#include <stdatomic.h>

struct agt;

enum desk_lane { LANE_ENGINE, LANE_QUICK, LANE_LONG, LANE_N };
/* What becomes of an accepted job when the program ends before its turn. */
enum desk_end {
    END_DROPPED,                         /* it only shows something, or is done anew at every start */
    END_CARRIED,                         /* carried out before the end */
    END_KEPT                             /* written down before the end and carried out at the next start */
};

typedef struct job job;
/* A kind of job; constant, one a kind, beside the function that carries it out. */
typedef struct job_row {
    const char *name;                    /* of a kept one, in the store */
    enum desk_lane lane;
    enum desk_end end;
    bool answers;                        /* agt_stop stops it and lets the lane's others be */
    bool behind;                         /* housekeeping: nobody waits for it */
    bool moves;                          /* another conversation may be the present one when it is done */
    bool settles;                        /* engine's: an edit that comes behind it may be about what it brings, and waits for it */
    void (*run)(struct agt *, const job *);
    void (*keep)(struct agt *, const job *);     /* instead of run, at the end; NULL: run */
    const struct job_row *then;          /* it posts this one, which may be for another lane; NULL */
} job_row;
struct job {
    job *next;
    const job_row *row;
    int64_t id, number;
    uint64_t order;                      /* among jobs and edits */
    char *text, *value;                  /* owned; NULL where unused */
};

enum edit_kind { EDIT_SET, EDIT_NUDGE, EDIT_TOGGLE, EDIT_PAST /* delta: the number that /history gives it */,
                 EDIT_LIST /* value: a NAME=VALUE a line, all or none */, EDIT_BRAIN /* the same: its settings; name */,
                 EDIT_LORA /* name: an adapter, or NAME@WHERE of it; value: its scale there, NULL: it is out of lora.scale */ };
typedef struct edit {                    /* a change of the engine's configuration */
    struct edit *next;
    enum edit_kind kind;
    int delta;
    uint64_t order;
    char *name, *value;
} edit;

typedef struct desk_queue {
    job *first, *last;
    const job_row *running;              /* NULL: idle */
    atomic_bool stop;                    /* the running job is to end at its next safe point */
} desk_queue;

typedef struct desk {
    pthread_mutex_t mu;
    pthread_cond_t work;                 /* jobs, edits, unpause, stop, pace, quit */
    /* under mu */
    desk_queue lane[LANE_N];
    edit *edits, **edits_end;
    uint64_t posted;                     /* jobs and edits so far */
    bool editing;                        /* one was taken and its maker was not told yet */
    bool quit, paused;
    bool enough;                         /* the running answer's thought is to end */
    bool glances;                        /* the running answer's second look at memory goes on: a stop ends it alone */
    bool applying;                       /* edits were handed to the engine's thread, which has not come back yet */
    int steps;                           /* tokens that may still come while paused */
    uint64_t ran;                        /* jobs of the engine's and the long lane that came to their end */
    double pace;                         /* tokens a second at most; 0: as fast as it goes */
    void (*cancel)(void *who, bool on);  /* ends a batch that is being evaluated; NULL: there is none */
    void *who;
    void (*before)(void *user, const job *);     /* tests: called in the lane's thread before a job is carried out; NULL */
    void *before_user;
    int64_t (*now)(void *user);          /* tests: the clock of a second look; NULL: the true one */
    void *now_user;
} desk;

void desk_open(desk *);
void desk_close(desk *);                 /* frees what was never taken; the lanes' threads are gone */

void desk_post(desk *, const job_row *, int64_t id, int64_t number, const char *text, const char *value);   /* texts are copied */
void desk_edit(desk *, enum edit_kind, int delta, const char *name, const char *value);

/* The next job of a lane, when there is one; NULL: the program ends and nothing is left that must be done. *quit: it ends,
 * so the job is to be kept or carried out as its row says (dropped ones never come). desk_done frees it. */
job *desk_take(desk *, enum desk_lane, bool *quit);
void desk_done(desk *, job *);
void desk_before(desk *, void (*before)(void *user, const job *), void *user);
/* The same for the engine's lane, which has edits and idle work beside its jobs. True: *out or *edits or idle time (neither).
 * load: no model is loaded. Edits wait while one is about to be: they are meant for it. False: as NULL above. */
bool desk_take_engine(desk *, bool idle, bool no_model, const job_row *load, job **out, bool *edits, bool *quit);
edit *desk_next_edit(desk *);            /* NULL: none, or the next one waits for a job that settles something; edit_free */
void edit_free(edit *);

/* Between two tokens, the last of which came at last_ns (q_now_ns). Waits while paused and as the pace asks. */
enum desk_go { DESK_GO, DESK_EDITS, DESK_STOP };
enum desk_go desk_between(desk *, int64_t last_ns);

/* The engine's thread waits for a person: DESK_GO: *ready is set (desk_stir), DESK_EDITS as above, DESK_STOP: it is to end. */
enum desk_go desk_await(desk *, const atomic_bool *ready);

bool desk_stopped(desk *, enum desk_lane);               /* at a safe point: the running job should end here */
bool desk_wanted(desk *);                /* the engine's lane has something to do */
void desk_glance(desk *, bool begins);
bool desk_glances(desk *);               /* nobody ended it */
bool desk_stop(desk *);                  /* the answer's second look, the answer, else the long lane's job; true: it was paused, and goes on to its end */
bool desk_pause(desk *, bool on);        /* true: that is a change */
void desk_step(desk *);
void desk_enough(desk *, bool yes);
bool desk_take_enough(desk *);           /* once */
bool desk_paused(desk *);
void desk_pace(desk *, double tokens_per_second);
void desk_cancels(desk *, void (*cancel)(void *who, bool on), void *who);
void desk_quit(desk *);                  /* stops what runs; the lanes end when what must be done is done */
bool desk_quits(desk *);
bool desk_idle(desk *);                  /* no lane has anything to do, and no edit waits */
bool desk_rests(desk *);                 /* the same but for housekeeping */
bool desk_busy(desk *);                  /* an answer or long work runs or waits */
bool desk_answering(desk *);
bool desk_waits(desk *, enum desk_lane); /* what is posted now has to wait */

/* ---- for work that nobody waits for, on a thread of its own ---- */
/* Waits while the engine's or the long lane has something to do. False: it is to end here: *stop is set, or the program ends. */
bool desk_leisure(desk *, const atomic_bool *stop);
/* Waits until a job of those lanes has ended that *ran does not count yet, *stop is set, the program ends, or so many ms are over (< 0: no end). */
void desk_news(desk *, uint64_t *ran, int ms, const atomic_bool *stop);
void desk_stir(desk *, atomic_bool *stop);               /* sets it, and wakes who waits above */
bool desk_steady(desk *);                /* nothing that runs or waits may change which conversation is the present one */

#endif
