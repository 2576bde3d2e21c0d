/* agent/backup: one backup of the memory a day, made by the long lane behind everything else (memory/backup.c says when and how). Why
 * there is none is said once a run. */
#include "agent/errands.h"

#include <string.h>

static bool going_on(void *user) { return !desk_stopped(&((agt *)user)->desk, LANE_LONG); }

static void backup(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    bool made;
    int rc = mem_backup_make(a->store, going_on, a, &made, err);
    if (rc < 0 && rc != Q_CANCEL && !atomic_exchange(&a->backup.failed, true))
        note(&a->events, AGT_WARN, "%s", err);
}

void backup_daily(agt *a)
{
    enum { HOUR = 3600000 };             /* the day is the person's own: asked a little more often than it changes */
    int64_t hour = q_wall_ms() / HOUR;
    if (!a->once && atomic_exchange(&a->backup.hour, hour) != hour)
        desk_post(&a->desk, &job_backup, 0, 0, NULL, NULL);
}

const job_row job_backup = { .name = "backup", .lane = LANE_LONG, .end = END_DROPPED, .behind = true, .run = backup };
