/* agent/errands: what the two lanes of the clerk do, one file a part. */
#ifndef QUORUM_AGENT_ERRANDS_H
#define QUORUM_AGENT_ERRANDS_H

#include "agent/room.h"

/* ---- lists.c: quick ---- */
extern const job_row job_chats, job_find, job_retrieval, job_model, job_names;

/* ---- keep.c: quick ---- */
extern const job_row job_setting;        /* text: key, value: NULL removes it */
extern const job_row job_place;          /* id: conversation, number: scroll, text: draft */
extern const job_row job_save;           /* id: reply, text and value: its text and thinking so far */

/* ---- documents.c ---- */
extern const job_row job_manual;         /* engine's: the first question should find it */
extern const job_row job_add, job_forget, job_tidy;      /* long */
extern const job_row job_documents, job_search;          /* quick */

/* ---- trace.c: quick ---- */
extern const job_row job_trace;

/* ---- clerk.c ---- */
void *clerk_quick(void *agt_);
void *clerk_long(void *agt_);

#endif
