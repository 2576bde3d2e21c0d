/* agent/forget: documents that leave memory. The quick lane finds out which are meant and asks; the long lane removes those
 * that were asked about and no others, a few at a time. What the end cuts off goes on at the next start. */
#include "agent/errands.h"

#include <stdlib.h>
#include <string.h>

/* "ID:MARK": the mark is another one for whatever else may stand under that number one day. */
static uint64_t mark(const mem_document *d)
{
    return q_hash64(d->path, strlen(d->path), (uint64_t)d->added_ms);
}

static bool below(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return n && strncmp(path, folder, n) == 0 && (path[n] == '/' || (path[n] && folder[n - 1] == '/'));
}

static void look(agt *a, const job *j)
{
    char err[Q_ERRLEN], *end;
    mem_documents l = { 0 };
    if (mem_document_list(a->store, &l, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    const char *which = j->text, *one = "";
    char *real = home_path(which), *whole = realpath(real, NULL);
    long id = strtol(which, &end, 10);
    bool number = *which && !*end;
    int n = 0, passages = 0;
    q_buf ids = { 0 };
    for (int i = 0; i < l.n; i++) {
        const mem_document *d = &l.v[i];
        const char *path = whole ? whole : real;
        if (!(number && d->id == id) && strcmp(d->path, path) != 0 && strcmp(d->title, which) != 0 && !(*path == '/' && below(d->path, path)))
            continue;
        q_buf_printf(&ids, "%s%lld:%llx", n ? " " : "", (long long)d->id, (unsigned long long)mark(d));
        one = d->title;
        passages += d->n_chunks;
        n++;
    }
    if (n == 0)
        note(&a->events, AGT_ERROR, _("there is no document %s in memory; /memory list shows them with their numbers"), which);
    else if (n == 1)
        asks_put(a, q_printf(ngettext("Remove %s (%d passage) from memory for good?", "Remove %s (%d passages) from memory for good?", (unsigned long)passages),
                             one, passages), &job_forget_agreed, 0, 0, ids.p);
    else
        asks_put(a, q_printf(ngettext("Remove %d document below %s from memory for good?", "Remove all %d documents below %s from memory for good?", (unsigned long)n),
                             n, which), &job_forget_agreed, 0, 0, ids.p);
    q_buf_free(&ids);
    free(whole);
    free(real);
    mem_documents_free(&l);
}

enum { STEP = 32 };                      /* documents between two safe points */

/* Takes up to STEP "ID:MARK" off *p; those that stand there no more are not among them. */
static int next_ids(agt *a, const char **p, int64_t ids[STEP], int *taken, char *err)
{
    int n = 0;
    for (*taken = 0; **p && *taken < STEP; ++*taken) {
        char *end;
        int64_t id = strtoll(*p, &end, 10);
        uint64_t m = *end == ':' ? strtoull(end + 1, NULL, 16) : 0;
        mem_document d = { 0 };
        int rc = mem_document_get(a->store, id, &d, err);
        if (rc == Q_OK && mark(&d) == m)
            ids[n++] = id;
        mem_document_free(&d);
        if (rc < 0 && rc != Q_NOTFOUND)
            return rc;
        *p += strcspn(*p, " ");
        *p += **p == ' ';
    }
    return n;
}

static void forget(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    int64_t ids[STEP];
    int total = 1, seen = 0, gone = 0, rc = Q_OK;
    const char *p = j->text;
    for (const char *s = p; *s; s++)
        total += *s == ' ';
    while (*p && rc >= 0 && !(seen && desk_stopped(&a->desk, LANE_LONG))) {
        const char *from = p;
        int taken, done = 0;
        rc = next_ids(a, &p, ids, &taken, err);
        if (rc > 0) {
            rc = rag_remove_all(a->store, ids, rc, &done, err);
            states_forget(a->store, 0, ids, done);
        }
        gone += done;
        seen += taken;
        if (rc < 0)
            p = from;
        agt_event e = { .kind = AGT_EV_PROGRESS, .text = q_strdup(_("removing documents")), .done = seen, .total = total, .rate = -1 };
        evq_push(&a->events, &e);
    }
    agt_event e = { .kind = AGT_EV_PROGRESS, .text = q_strdup(_("removing documents")) };
    evq_push(&a->events, &e);
    if (*p && desk_quits(&a->desk))
        errand_left(a, j, p);
    else
        errand_done(a, j);
    if (rc < 0)
        note(&a->events, AGT_ERROR, _("%d of %d documents are removed, then: %s"), gone, total, err);
    else if (*p)
        note(&a->events, AGT_WARN, _("stopped: %d of %d documents are removed from memory"), gone, total);
    else
        note(&a->events, AGT_INFO, ngettext("%d document is removed from memory", "%d documents are removed from memory", (unsigned long)gone), gone);
    desk_post(&a->desk, &job_tidy, 0, 0, NULL, NULL);
}

/* At the end: one document is removed before it, many are left to the next start. */
static void keep(agt *a, const job *j)
{
    if (strchr(j->text, ' '))
        errand_left(a, j, j->text);
    else
        forget(a, j);
}

static void agreed(agt *a, const job *j) { errand_accept(a, &job_forgotten, 0, j->text, j->text); }

const job_row job_forget_agreed = { .name = "forget!", .lane = LANE_QUICK, .end = END_CARRIED, .run = agreed, .then = &job_forgotten };
const job_row job_forget = { .name = "forget?", .lane = LANE_QUICK, .end = END_DROPPED, .run = look };
const job_row job_forgotten = { .name = "forget", .lane = LANE_LONG, .end = END_KEPT, .run = forget, .keep = keep };
