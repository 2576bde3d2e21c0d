/* agent/errands: what the two lanes of the clerk do, one file a part. */
#ifndef QUORUM_AGENT_ERRANDS_H
#define QUORUM_AGENT_ERRANDS_H

#include "agent/room.h"

/* ---- chats.c: quick ---- */
extern const job_row job_chats;
extern const job_row job_rename;         /* id: the conversation; text: its title */
extern const job_row job_delete;         /* id: asks, */
extern const job_row job_deleted;        /* and does it; number: when it was made, 0: any */
extern const job_row job_delete_answered;        /* engine's: the same, where an answer had to be stopped first */
extern const job_row job_delete_here, job_rename_here;   /* engine's: of the present one, whichever it is by then */

/* ---- lists.c: quick ---- */
extern const job_row job_retrieval, job_names;

/* ---- keep.c: quick ---- */
extern const job_row job_setting;        /* text: key, value: NULL removes it */
extern const job_row job_place;          /* id: conversation, number: scroll, text: draft */
extern const job_row job_save;           /* id: reply, text and value: its text and thinking so far */

void errand_keep(agt *, const job_row *, const char *text);      /* at the end: for the next start */

/* ---- documents.c ---- */
extern const job_row job_manual;         /* engine's: the first question should find it */
extern const job_row job_tidy;           /* long */
extern const job_row job_documents;      /* quick */

/* ---- forget.c ---- */
/* job_forget asks about its text, a number, a title, a file or a folder */
extern const job_row job_forgotten;      /* and this does it: long; text: what was asked about */

/* ---- trace.c: quick ---- */
extern const job_row job_trace;          /* text: the file; number 1: it may be written over */

/* ---- clerk.c ---- */
void *clerk_quick(void *agt_);
void *clerk_long(void *agt_);

#endif
