/* advice/pull_way: the defaults of adv_pull_way, and waiting that can be ended. Any thread. Private to advice. */
#ifndef QUORUM_PULL_WAY_H
#define QUORUM_PULL_WAY_H

#include "advice/pull.h"

adv_pull_way pull_way_of(const adv_pull_way *);          /* NULL: all defaults */
bool pull_way_go(const adv_pull_way *);
int pull_way_wait(const adv_pull_way *, int ms, char *err);      /* Q_CANCEL */

#endif
