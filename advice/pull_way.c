/* advice/pull_way: see pull_way.h. */
#include "advice/pull_way.h"

#include <unistd.h>

adv_pull_way pull_way_of(const adv_pull_way *given)
{
    adv_pull_way w = given ? *given : (adv_pull_way){ 0 };
    w.lines = w.lines < 1 ? 4 : w.lines > ADV_PULL_LINES ? ADV_PULL_LINES : w.lines;
    w.stall_s = w.stall_s > 0 ? w.stall_s : 30;
    w.pause_ms = w.pause_ms > 0 ? w.pause_ms : 500;
    return w;
}

bool pull_way_go(const adv_pull_way *w) { return !w->go || w->go(w->user); }

int pull_way_wait(const adv_pull_way *w, int ms, char *err)
{
    for (int64_t until = q_now_ns() + (int64_t)ms * 1000000; q_now_ns() < until;) {
        if (!pull_way_go(w))
            return q_fail(err, Q_CANCEL, _("stopped"));
        usleep(20000);
    }
    return Q_OK;
}
