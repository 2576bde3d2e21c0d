/* agent/lost: documents whose file was not there when it was looked for. The file of a passage that is fed is looked for by the
 * long lane, behind the answer's back: no answer waits for a disk, and nothing is deleted or left out for it. What was found
 * stands in /why, in the panel and with the next answers, until it is found otherwise or quorum ends. Any thread. */
#ifndef QUORUM_AGENT_LOST_H
#define QUORUM_AGENT_LOST_H

#include "agent/desk.h"
#include "rag/rag.h"

typedef struct lost_now { int64_t *document; int n; } lost_now;
typedef struct lost {
    pthread_mutex_t mu;
    lost_now now;                        /* under mu */
} lost;

void lost_open(lost *);
void lost_close(lost *);
lost_now lost_copy(lost *);              /* free its document */
bool lost_has(const lost_now *, int64_t document);
void lost_mark(const lost_now *, rag_result *);          /* its passages of such documents */
void lost_look(struct agt *, const rag_result *);        /* posts the looking for what is fed; returns at once */

#endif
