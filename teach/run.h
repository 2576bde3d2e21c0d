/* teach/run.h: a run at work. Private to teach/. */
#ifndef QUORUM_TEACH_RUN_H
#define QUORUM_TEACH_RUN_H

#include "engine/adapter.h"
#include "teach/parts.h"

#include <pthread.h>

typedef struct running {
    const tch_job *job;
    const char *name;
    int lock;
    tch_settings set;
    tch_state state;
    eng_model *m;
    eng_config *before;                  /* made before the adapter was added: its scale is 0 in it */
    q_buf lines, general;
    lessons data;
    uint8_t *chosen;                     /* [n_layer][n_expert]; NULL in dense models */
    eng_adapter *init, *adapter;
    cJSON *run;                          /* run.json */
    bool begun;                          /* it is written down: another call goes on with it */
    atomic_bool stop, over;              /* stop: somebody wants it to end; over: its thread may */
    pthread_t watch; bool watched;
} running;
trn_options run_options(const running *);
void plan_say(const running *, q_buf *out);              /* plan.c */

#endif
