/* agent/seat: who answers: the model, its session and configurations. Engine's thread only. */
#ifndef QUORUM_AGENT_SEAT_H
#define QUORUM_AGENT_SEAT_H

#include "engine/engine.h"
#include "engine/text.h"

/* What is known about configurations by their forward hash. */
typedef struct known { uint64_t hash; char label[48]; char *json; } known;

typedef struct seat {
    char *path;                          /* of the model; NULL: none was given. owned */
    char *load_error;                    /* why there is none; NULL: there is one, or it was not tried yet */
    eng_model *model;
    eng_session *session;
    eng_config *cfg, *previous;
    eng_config *home;                    /* while /again runs under its own configuration: what comes back afterwards */
    eng_sampler *sampler;
    known *known; int n_known;
    eng_tokens timeline;                 /* what the session should hold, for re-evaluation after a knob */
    uint64_t trace_cursor;
    int64_t prefill_from;                /* ns */
    bool config_changed;                 /* an edit was applied since the turn last looked */
    bool after_again;                    /* the cells are those of an /again with other settings: the next prompt is evaluated anew */
} seat;

#endif
