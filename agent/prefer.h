/* agent/prefer: the pair of answers that one may choose from, and what was chosen. Its own mutex: the engine's thread puts a
 * pair, the front end chooses. */
#ifndef QUORUM_AGENT_PREFER_H
#define QUORUM_AGENT_PREFER_H

#include "lab/lab.h"

#include <pthread.h>

struct agt;

typedef struct prefer {
    pthread_mutex_t mu;
    bool there, chosen;
    lab_columns pair;                    /* as they are shown, but with their names */
    bool blind;
    char *side[2];                       /* how each configuration is counted */
    uint64_t model;
} prefer;

void prefer_open(prefer *);
void prefer_close(prefer *);
/* Shows the pair (taken), whose sides are counted under these names; blind: without names and numbers, in an order that nobody
 * knows. Engine thread. */
void prefer_show(struct agt *, lab_columns *pair, const char *const side[2], uint64_t model, bool blind);
void prefer_choose(struct agt *, const char *word);      /* /prefer: 1, 2, same; "" lists what was chosen. Front-end thread */

#endif
