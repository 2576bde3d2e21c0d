/* agent/talk: what the engine's thread does, one file a part; engine's thread but for what says otherwise. */
#ifndef QUORUM_AGENT_TALK_H
#define QUORUM_AGENT_TALK_H

#include "agent/room.h"

/* ---- sync.c: what the session holds ---- */
extern const job_row job_recompute;
void sync_publish(agt *);                /* configuration and status to the snapshots */
void sync_know(seat *, const eng_config *c);             /* remembers hash, label and JSON */
const char *sync_label(const eng_config *c, char *buf, size_t n);
enum eng_policy sync_policy(settings *);
int sync_tokens(agt *, const eng_tokens *t, char *err);  /* with PREFILL events */
void sync_mix(agt *);

/* ---- edits.c ---- */
int edits_apply(agt *, int token, bool *resync);         /* token after which they hold; 0 = between answers */

/* ---- load.c ---- */
extern const job_row job_load;           /* id 0: at the start; 1: text is the file of another model */
void load_none(agt *);                   /* gives up model, session and configurations */

/* ---- watch.c ---- */
void watch_config(agt *);                /* a model or its configuration is new */
void watch_feed(agt *, mem_trace *also); /* the session's new positions, to the lab and to `also` */
bool watch_baseline(agt *);              /* idle work: true while there is more */

/* ---- prompt.c ---- */
/* The ids of the prompt for an answer to path (whose last message is the question). */
int prompt_build(agt *, const mem_messages *path, const rag_result *passages, eng_tokens *out, char *err);
size_t prompt_question(const char *message);
int prompt_room_for_passages(agt *, const char *question, int max_passages);
int prompt_count(void *user, const char *text, size_t n);    /* user: eng_model */

/* ---- turn.c ---- */
extern const job_row job_send, job_again, job_edit;      /* text; again and edit: id = the message, 0: the last; number: ticket */

/* ---- worker.c ---- */
void *worker_main(void *agt_);           /* the engine's lane */

#endif
