/* agent/compact: a summary in the place of older turns. The turns stay in memory and on the screen; a prompt has the summary for them, and
 * beside it word for word what is never summarised: rules, open tasks, pinned turns. Engine thread. */
#ifndef QUORUM_AGENT_COMPACT_H
#define QUORUM_AGENT_COMPACT_H

#include "agent/room.h"

/* ---- compacted.c: what stands for a branch ---- */
typedef struct compacted {               /* zeroed: nothing does; compacted_free */
    int64_t id, chain;                   /* the store's; 0: nothing */
    int upto;                            /* index in the path of the last message that it stands for; -1 */
    char *block;                         /* as it is fed, before what a person says next */
    int *kept, n_kept;                   /* indices of messages up to there that are fed all the same, in their order */
    mem_compaction row;
} compacted;
/* For path, whose last message is never part of it. id 0: what is in effect there, maybe nothing; else that version, undone or not:
 * Q_NOTFOUND where it is gone. */
int compacted_of(agt *, const mem_messages *path, int64_t id, compacted *out, char *err);
void compacted_free(compacted *);
/* Pinned turns of the path up to `upto`, as mem_compaction.kept has them; malloc'ed. */
char *compacted_pins(agt *, const mem_messages *path, int upto);
/* Lines beside the summary: what the person laid down ("Rule: ..."), what is open of the last plan up to there; malloc'ed. */
char *compacted_fixed(agt *, const mem_messages *path, int upto);
int compacted_turn(const mem_messages *path, int i);     /* where the turn of message i begins */
void compacted_tell(agt *, const char *how, const mem_compaction *);     /* AGT_EV_COMPACTED */

/* ---- compact.c: /compact, and what context.compact does by itself ---- */
void compact_before(agt *);              /* chat.path ends in a question that is to be answered */
void compact_behind(agt *);              /* an answer has ended */

#endif
