/* agent/room: the room itself, put together from its parts; nobody outside includes it. Each part's own header says which
 * thread owns it or which mutex guards it; no two of these mutexes are ever held together. */
#ifndef QUORUM_AGENT_ROOM_H
#define QUORUM_AGENT_ROOM_H

#include "agent/agent.h"
#include "agent/asks.h"
#include "agent/chat.h"
#include "agent/desk.h"
#include "agent/embedder.h"
#include "agent/events.h"
#include "agent/lost.h"
#include "agent/prefer.h"
#include "agent/seat.h"
#include "agent/settings.h"
#include "agent/shown.h"
#include "agent/speller.h"
#include "agent/teacher.h"
#include "agent/toolbox.h"
#include "agent/waits.h"
#include "agent/watching.h"
#include "memory/memory.h"

typedef struct facts_proposed { char *text[20]; int64_t message[20], said_ms[20]; int n; } facts_proposed;    /* facts.c */

struct agt {
    mem_store *store;                    /* any thread; constant after agt_open, like base and once */
    bool base, once, routing;
    desk desk;
    evq events;
    settings settings;
    shown shown;
    waits waits;
    asks asks;
    prefer prefer;
    lost lost;
    watching watching;                   /* folders; has its own mutex */
    speller speller;
    toolbox toolbox;
    embedder embedder;
    teacher teacher;
    lab_watch *watch;                    /* routing; has its own mutex; constant after agt_open */
    _Atomic uint64_t errands;            /* the order of the last one that was accepted */
    struct { _Atomic int64_t hour; atomic_bool failed; } backup;         /* when one was last asked for; that it failed was said */
    struct {                             /* quick lane */
        facts_proposed proposed;         /* of facts, what /remember? showed */
        int64_t save_failed;             /* the reply whose partial text could not be stored, as was said */
    } quick;
    chat_now chat;                         /* engine's thread */
    seat seat;                           /* engine's thread */
    struct unstored *unstored;           /* engine's thread: answers that are still to be stored; see talk.h */
    struct { pthread_t thread[LANE_N]; int n; } lane;        /* front-end thread; n: how many run */
};

/* The jobs that are commands (commands.h), wherever they are. */
#define ROOM_JOB(name) extern const job_row job_##name;
#define ROOM_RUN(...)
#define ROOM_UI(...)
#define ROOM_BOTH(...)
#define ROOM_COMMAND(name, does, ...) ROOM_##does
AGT_COMMANDS(ROOM_COMMAND)
#undef ROOM_COMMAND

#endif
