/* agent/export: /export: everything that memory holds, as a folder of files (rag/export.c). The quick lane looks at the place and asks
 * before an earlier export goes; the long lane writes. What stops it leaves nothing behind. */
#include "agent/asks.h"
#include "agent/errands.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static bool going_on(void *user, const rag_exported *so_far)
{
    agt *a = user;
    agt_event e = { .kind = AGT_EV_PROGRESS, .text = q_strdup(_("exporting")), .done = (int)(so_far->rows < INT_MAX ? so_far->rows : INT_MAX), .total = -1, .rate = -1 };
    evq_push(&a->events, &e);
    return !desk_stopped(&a->desk, LANE_LONG);
}

static bool tidying_on(void *user) { return !desk_stopped(&((agt *)user)->desk, LANE_LONG); }

static void run(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    rag_exported out = { 0 };
    rag_export_opts o = { .json = true, .over = j->number != 0, .go = going_on, .user = a };
    int rc = mem_tidy(a->store, tidying_on, a, err);     /* what was forgotten a moment ago does not leave */
    if (rc == Q_OK && mem_outside_put(a->store, "export", j->text, err) < 0)         /* before it: a kill leaves it known */
        note(&a->events, AGT_WARN, "%s", err);
    if (rc == Q_OK)
        rc = rag_export(a->store, j->text, &o, &out, err);
    agt_event end = { .kind = AGT_EV_PROGRESS, .text = q_strdup(_("exporting")) };
    evq_push(&a->events, &end);
    if (rc == Q_CANCEL)
        note(&a->events, AGT_WARN, _("stopped: nothing of the export is left"));
    else if (rc < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else
        note(&a->events, out.unread ? AGT_WARN : AGT_INFO, out.unread ? _("a part of the memory could not be read; the rest is in %s (conversations: %lld, messages: %lld, documents: %lld, facts: %lld)")
                                                                      : _("all of it is in %s (conversations: %lld, messages: %lld, documents: %lld, facts: %lld); README.md there says how to read it again"),
             j->text, (long long)out.conversations, (long long)out.messages, (long long)out.documents, (long long)out.facts);
}

static void look(agt *a, const job *j)
{
    char err[Q_ERRLEN], *name = rag_export_name(), *path = q_whole_path(j->text && *j->text ? j->text : name);
    bool over;
    if (rag_export_place(path, &over, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else if (over)
        asks_put(a, q_printf(_("%s holds an earlier export: write over it?"), path), &job_exporting, 0, 1, path);
    else
        desk_post(&a->desk, &job_exporting, 0, 0, path, NULL);
    free(path);
    free(name);
}

const job_row job_export = { .name = "export?", .lane = LANE_QUICK, .end = END_DROPPED, .run = look, .then = &job_exporting };
const job_row job_exporting = { .name = "export", .lane = LANE_LONG, .end = END_DROPPED, .run = run };
