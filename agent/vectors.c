/* agent/vectors: vectors of embedding models by which memory is not searched now: they are said where the model is
 * (embedder.c), and removed by /memory drop NAME, which asks. Quick lane. */
#include "agent/errands.h"

#include <stdlib.h>
#include <string.h>

static void look(agt *a, const job *j)
{
    char err[Q_ERRLEN], size[32];
    mem_embedder e = { 0 };
    agt_meaning m;
    agt_get_meaning(a, &m);
    if (mem_embedder_named(a->store, j->text, &e, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else if (strcmp(e.name, m.id) == 0)
        note(&a->events, AGT_ERROR, _("memory is searched by meaning with %s now, and its vectors would be made again: /set memory.embedder to another one or off first"), e.name);
    else
        asks_put(a, q_printf(_("Remove %lld vectors of model %s (%s)? No text goes; that model would make them again."), (long long)e.chunks + e.messages, e.name,
                             q_bytes_words((uint64_t)mem_embedder_bytes(&e), size)), &job_vectors_dropped, e.id, 0, e.name);
    mem_embedder_free(&e);
}

/* The name once more: another model may have that number by now, or this one be in use. */
static void drop(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    mem_embedder e = { 0 };
    agt_meaning m;
    agt_get_meaning(a, &m);
    int rc = mem_embedder_named(a->store, j->text, &e, err);
    if (rc == Q_OK && e.id == j->id && strcmp(e.name, m.id) != 0) {
        rc = mem_embedder_delete(a->store, e.id, err);
        if (rc == Q_OK)
            note(&a->events, AGT_INFO, _("the vectors of model %s are removed"), e.name);
        desk_post(&a->desk, &job_tidy, 0, 0, NULL, NULL);
    }
    if (rc < 0 && rc != Q_NOTFOUND)
        note(&a->events, AGT_ERROR, "%s", err);
    mem_embedder_free(&e);
}

const job_row job_vectors = { .name = "vectors?", .lane = LANE_QUICK, .end = END_DROPPED, .run = look };
const job_row job_vectors_dropped = { .name = "vectors", .lane = LANE_QUICK, .end = END_CARRIED, .run = drop };
