/* agent/seat: who answers, and under which configurations. Engine's thread only. */
#ifndef QUORUM_AGENT_SEAT_H
#define QUORUM_AGENT_SEAT_H

#include "agent/history.h"
#include "agent/modules.h"
#include "lab/lab.h"
#include "provider/provider.h"

/* What is known about configurations by their forward hash. */
typedef struct known { uint64_t hash, forward; char label[48]; int k; char *json; } known;      /* label "": the model's own, with k experts */

/* Experts that the model cannot do without: what is known, and whether somebody asked for it (guard.c). */
typedef struct seat_guard { lab_guard known; bool asked, said, failed; } seat_guard;

/* An answer that was evaluated again to be asked about (past.c). */
typedef struct seat_again { lab_past *past; int64_t message; uint64_t config; int part; } seat_again;

typedef struct seat {
    char *path;                          /* of the model; NULL: none was given. owned */
    int (*open)(const char *path, const prov_opts *, prov **out, char *err);   /* constant after agt_open */
    char *load_error;                    /* why there is none; NULL: there is one, or it was not tried yet */
    prov *who;                           /* NULL: nobody */
    prov_config *cfg;                    /* in effect; NULL with who */
    history past;                        /* what was in effect; its present one is like cfg */
    prov_config *home;                   /* while /again runs under its own configuration: what comes back afterwards */
    known *known; int n_known;
    int64_t prefill_from;                /* ns */
    int64_t holds;                       /* the conversation that the cells are of; 0: none */
    int64_t leaf;                        /* the message that they end in; 0: not known */
    int shared;                          /* so many tokens of them, at most, are of the branch that is shown, since it is another one than they are of; -1: it is theirs */
    int64_t offered;                     /* the conversation whose saved states were looked at last; 0: none was */
    char *unrouted;                      /* why the last answer's positions could not be told, as it was said; NULL: they could. owned */
    char *fed;                           /* what memory fed to what the cells are of, as states.c writes it down; NULL: nothing. owned */
    bool config_changed;                 /* an edit was applied since the turn last looked */
    bool after_again;                    /* the cells are those of an /again with other settings, or of other adapters: the next prompt is evaluated anew */
    seat_guard guard;
    seat_again again;
    modules modules;                     /* its snapshot: any thread */
} seat;

#endif
