/* agent/clerk: the threads of the quick and the long lane: disk work that no answer waits for. At the end what was accepted
 * is carried out, or written down for the next start. They never touch the model's session. */
#include "agent/errands.h"

#include <stdlib.h>

static void *work(agt *a, enum desk_lane lane)
{
    bool quit;
    for (job *j; (j = desk_take(&a->desk, lane, &quit));) {
        (quit && j->row->keep ? j->row->keep : j->row->run)(a, j);
        desk_done(&a->desk, j);
    }
    return NULL;
}

void *clerk_quick(void *a) { return work(a, LANE_QUICK); }
void *clerk_long(void *a) { return work(a, LANE_LONG); }
