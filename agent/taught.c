/* agent/taught: what becomes of a run that is over: its adapter is loaded at scale 1; and of one that is taken back: it is unloaded before its file goes. Engine's
 * lane. */
#include "agent/errands.h"
#include "agent/room.h"
#include "provider/provider.h"

#include <stdlib.h>
#include <string.h>

/* The model that answers has an adapter of this file. */
static bool loaded(agt *a, const char *name, const char *path)
{
    prov_adapter *v = NULL;
    int n = a->seat.who ? prov_adapters(a->seat.who, &v) : 0;
    bool is = false;
    for (int i = 0; i < n; i++)
        is |= strcmp(v[i].name, name) == 0 && strcmp(v[i].path, path) == 0;
    if (n > 0)
        prov_adapters_free(v, n);
    return is;
}

static void taught(agt *a, const job *j)
{
    pthread_mutex_lock(&a->teacher.mu);
    bool same = a->seat.who && a->teacher.model && strcmp(prov_about(a->seat.who)->path, a->teacher.model) == 0;
    pthread_mutex_unlock(&a->teacher.mu);
    if (same && loaded(a, j->text, j->value))
        adapters_off(a, j->text);        /* what an earlier run made */
    if (same)
        adapters_load(a, j->value);
    note(&a->events, AGT_INFO, _("%s is taught: %s; /teach report %s says what it did, /teach undo %s takes it back"), j->text, j->value, j->text, j->text);
}

static void untaught(agt *a, const job *j)
{
    char err[Q_ERRLEN], *which = tch_last(j->text), *path = which ? tch_adapter_path(which) : NULL, *gone = NULL;
    if (path && loaded(a, which, path))
        adapters_off(a, which);
    if (tch_undo(j->text, &gone, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else
        note(&a->events, AGT_INFO, _("what was taught as %s is gone; the set stays"), gone);
    free(which);
    free(path);
    free(gone);
}

const job_row job_taught = { .name = "taught", .lane = LANE_ENGINE, .end = END_DROPPED, .settles = true, .run = taught };
const job_row job_untaught = { .name = "untaught", .lane = LANE_ENGINE, .end = END_CARRIED, .settles = true, .run = untaught };
