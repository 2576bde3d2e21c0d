/* agent/chat: the present conversation: opened, its branch, its name, its end. Engine's thread only.
 * It never answers anything. */
#ifndef QUORUM_AGENT_CHAT_H
#define QUORUM_AGENT_CHAT_H

#include "agent/desk.h"
#include "memory/memory.h"

typedef struct chat_now {
    int64_t id;                          /* 0: a new one, not in the store yet */
    mem_messages path;                   /* the present branch, root first */
    int64_t keep_from;                   /* first message of the branch that still fits; see prompt.c */
    int64_t looked; int looked_at;       /* where the token cursor stands: message, token from 0 */
} chat_now;

extern const job_row job_open;           /* id: the conversation, number: a message to be seen; 0 with text: a new one of this
                                            title; 0: a new one */
extern const job_row job_branch;         /* id: a message or 0, number: delta */
extern const job_row job_gone;           /* id: one that was deleted */
extern const job_row job_thinned;        /* id: one that lost messages */

int chat_open(struct agt *, int64_t chat);
void chat_reload(struct agt *);
void chat_show(struct agt *, int64_t message);           /* AGT_EV_OPENED; message: to be seen, or 0 */
const mem_message *chat_message(struct agt *, int64_t id, enum mem_role role);   /* on the branch; id 0: the last of this role */
char *chat_title(const char *text);      /* a conversation's name, from its first question; malloc'ed */

#endif
