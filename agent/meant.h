/* agent/meant: what a person means by "/forget WHAT", and its removal, for the shell and for `quorum memory forget`. What was agreed
 * to is written as items between blanks, which a next start can go on with: "ID:MARK" a document, "cID:MARK" a conversation, "mID:MARK"
 * a message, "fID:MARK" a fact (the mark is another one for whatever else may stand under that number one day), "wHEX" the letters of a text that is
 * taken out of all that stands beside texts. Any thread. */
#ifndef QUORUM_AGENT_MEANT_H
#define QUORUM_AGENT_MEANT_H

#include "agent/agent.h"
#include "memory/memory.h"

typedef struct forgot {                  /* forgot_free */
    int documents, chats, messages, facts, beside;
    char *words;                         /* of a wHEX; NULL */
    int64_t *chat; int n_chat;           /* conversations that lost messages, */
    int64_t *gone; int n_gone;           /* and those that are gone */
} forgot;
int forget_count(const char *items);
/* Takes items off *items, in steps; go is asked between two: false: Q_CANCEL. */
int forget_items(mem_store *, const char **items, bool (*go)(void *user, int done, int total), void *user, forgot *, char *err);
char *forget_removed(const forgot *);    /* "2 documents are removed from memory"; malloc'ed */
void forgot_free(forgot *);

#endif
