/* agent/taught: what becomes of a run that is over: its adapter is loaded at scale 1; and of one that is taken back: it is unloaded. Engine's lane. */
#include "agent/errands.h"
#include "agent/room.h"

#include <string.h>

static void taught(agt *a, const job *j)
{
    note(&a->events, AGT_INFO, _("%s is taught: %s; /teach report %s says what it did, /teach undo takes it back"), j->text, j->value, j->text);
}

static void untaught(agt *a, const job *j) { (void)a, (void)j; }

const job_row job_taught = { .name = "taught", .lane = LANE_ENGINE, .end = END_DROPPED, .run = taught };
const job_row job_untaught = { .name = "untaught", .lane = LANE_ENGINE, .end = END_DROPPED, .run = untaught };
