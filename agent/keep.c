/* agent/keep: what is written down in passing: settings, places, a running answer's words. Quick lane. */
#include "agent/errands.h"

#include <string.h>

static void setting(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    if (mem_setting_put(a->store, j->text, j->value, err) < 0)
        note(&a->events, AGT_WARN, "%s", err);
}

static void place(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    if ((j->id ? mem_conversation_view(a->store, j->id, j->text, j->number, err) : mem_setting_put(a->store, "draft.new", j->text, err)) < 0)
        note(&a->events, AGT_WARN, "%s", err);
}

static void save(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    int rc = mem_reply_save(a->store, j->id, j->text, strlen(j->text), j->value, strlen(j->value), err);
    if (rc < 0 && rc != Q_NOTFOUND && a->save_failed != j->id) {     /* not found: the reply has ended meanwhile, with all of its text */
        note(&a->events, AGT_ERROR, "%s", err);
        a->save_failed = j->id;          /* once an answer: on a full disk it would stand between its lines every second */
    }
}

const job_row job_setting = { .name = "setting", .lane = LANE_QUICK, .end = END_CARRIED, .run = setting };
const job_row job_place = { .name = "place", .lane = LANE_QUICK, .end = END_CARRIED, .run = place };
const job_row job_save = { .name = "save", .lane = LANE_QUICK, .end = END_DROPPED, .run = save };
