/* agent/worker: the engine's lane. Takes jobs in order, applies edits of the configuration between two answers; while nothing
 * is asked of it, it learns what routing is usual and which experts must not be missing. At the end what was accepted is carried out or kept.
 * It never waits for the screen but in a full event queue. */
#include "agent/talk.h"

void *worker_main(void *user)
{
    agt *a = user;
    bool more = false, edits, quit;
    for (job *j; desk_take_engine(&a->desk, more, !a->seat.cfg, &job_load, &j, &edits, &quit);) {
        if (edits)
            edits_apply(a, 0);
        else if (j) {
            (quit && j->row->keep ? j->row->keep : j->row->run)(a, j);
            if (!quit && (j->row->moves || j->row == &job_load))
                states_take(a);
            more = j->row != &job_open;
            desk_done(&a->desk, j);
            continue;
        }
        more = (edits || more) && (watch_baseline(a) || guard_idle(a));
    }
    return NULL;
}
