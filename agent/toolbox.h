/* agent/toolbox: what a person lets a model do, and the call that waits for one. Guarded as each part says; agt_open fills it. */
#ifndef QUORUM_AGENT_TOOLBOX_H
#define QUORUM_AGENT_TOOLBOX_H

#include "agent/agent.h"
#include "agent/desk.h"
#include "agent/mcphub.h"
#include "tools/tools.h"

typedef struct toolbox {
    /* constant after agt_open */
    char *folder;                        /* the project's, canonical where it is there */
    bool alone;                          /* nobody is there to be asked */
    tool_rules given;                    /* by --allow */
    /* engine's thread */
    tool_place *place;                   /* NULL: not opened yet */
    mcphub hub;                          /* has its own mutex */
    /* under mu */
    pthread_mutex_t mu;
    tool_rules chat;                     /* allowed in one conversation, */
    int64_t chat_of;                     /* this one: the last in which a tool was called */
    int64_t tickets, waiting;            /* the call that waits; 0: none */
    enum agt_consent said;
    char *words;                         /* why not, or an answer; owned; NULL */
    char *whose; bool gone;              /* the server whose form or sign-in waits; owned; NULL; it is ended */
    atomic_bool answered;
    void (*before)(void *user);          /* tests: called in the thread that carries a call out, before it does; NULL */
    void *before_user;
} toolbox;

void toolbox_open(toolbox *);
void toolbox_close(toolbox *);

#endif
