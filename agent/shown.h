/* agent/shown: copies of what the other threads do, for the front end's snapshots and pages. Any thread, under shown.mu;
 * nothing waits for disk or model while it is held. */
#ifndef QUORUM_AGENT_SHOWN_H
#define QUORUM_AGENT_SHOWN_H

#include "agent/agent.h"
#include "agent/slips.h"
#include "agent/tally.h"
#include "provider/provider.h"
#include "rag/rag.h"

#include <pthread.h>

/* A configuration of the history, as the front end may read it. */
typedef struct shown_past { char *label, *json; uint64_t key, bytes; tally made; } shown_past;      /* key: view_key */

/* Of the loaded model alone. */
typedef struct shown_model {
    uint64_t id;
    struct { int n_layer, n_head, n_expert, n_group, n_group_used, first, n_moe, ctx_train; char theta[32]; } shape;   /* of the loaded model; its own rope.theta */
    uint8_t *recurrent;                  /* [n_layer], as prov_info has it; NULL */
    int32_t *window;                     /* likewise */
    bool sinks;
    lab_guard guard;                     /* of the loaded model */
    lab_costs costs;                     /* of the loaded model, when they were asked for; n_row 0: not yet */
    agt_advice advice;                   /* as it was asked for last; n 0: not yet. Its machine stays measured when another model comes */
    bool elsewhere;                      /* it computes on a GPU */
    bool calls;                          /* it can be offered tools */
    uint64_t spared;                     /* bytes of a token that ffn.width leaves unread */
    uint64_t added_params, added_bytes;  /* of a token, by adapters that act */
} shown_model;

/* A knob that was turned in this conversation: token 0: it was not. alone: nothing else was, from the configuration with the
 * key before to that with the key after (view_key). */
typedef struct shown_turn { int64_t message; int token; bool alone; uint64_t before, after; } shown_turn;

typedef struct shown {
    pthread_mutex_t mu;
    agt_status st;
    prov_config *cfg, *own;               /* copy of seat.cfg, the model's own; NULL before a model is loaded */
    struct { shown_turn *of; int n; int64_t message; } turns;    /* by the knob's place in the joined table; the running answer, 0: none */
    shown_model about;
    char *full_name, *path;              /* of the loaded model; NULL: none */
    struct { char label[48]; int k, cells; } mix[16];
    int n_mix;
    agt_turned turned;                   /* key, forward, label and run; the rest is made when it is asked for */
    struct { shown_past v[AGT_HISTORY_MAX]; int n, at, maker, before; } past;        /* seat.past */
    agt_price step[2];                   /* F7, F8; their rates are made when they are asked for */
    double read_rate;                    /* tokens/s at which the last prompt was evaluated; 0: none was yet */
    rag_result *why;                     /* of the last search */
    char *why_broken;                    /* it could not be searched: the reason, and what to do */
    int64_t why_message;
    char *prompt;                        /* the last one, as its model read it; NULL: none yet */
    struct {                             /* of the last prompt */
        int dropped, reserve;            /* messages of the branch that it left out; tokens kept free for the reply */
        int compacted, before, after;    /* messages that a summary stands for, 0: none; their tokens and its own */
    } left;
    struct { uint64_t bytes; int n; } states;            /* of recurrent layers, that are kept; as prov_room has it */
    strings models, chats;               /* what Tab offers after /model and /open: the quick lane's last look */
    /* front-end thread only: what agt_keep_place kept last */
    int64_t place_chat, place_scroll;
    char *place_text;
} shown;

void shown_names(shown *, strings *to, strings *with);   /* to: models or chats; with is emptied */

#endif
