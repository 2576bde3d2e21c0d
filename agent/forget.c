/* agent/forget: documents that leave memory. The quick lane finds out which are meant and asks; the long lane removes those
 * that were asked about and no others, one after the other. What the end cuts off goes on at the next start. */
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
                             one, passages), &job_forgotten, 0, 0, ids.p);
    else
        asks_put(a, q_printf(ngettext("Remove %d document below %s from memory for good?", "Remove all %d documents below %s from memory for good?", (unsigned long)n),
                             n, which), &job_forgotten, 0, 0, ids.p);
    q_buf_free(&ids);
    free(whole);
    free(real);
    mem_documents_free(&l);
}

/* Removes one "ID:MARK"; what stands there no more counts as removed. */
static int remove_one(agt *a, const char *word, char *err)
{
    char *end;
    int64_t id = strtoll(word, &end, 10);
    uint64_t m = *end == ':' ? strtoull(end + 1, NULL, 16) : 0;
    mem_document d = { 0 };
    int rc = mem_document_get(a->store, id, &d, err);
    if (rc == Q_OK && mark(&d) == m)
        rc = rag_remove(a->store, id, err);
    mem_document_free(&d);
    return rc == Q_NOTFOUND ? Q_OK : rc;
}

static void forget(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    int total = 1, gone = 0, rc = Q_OK;
    for (const char *p = j->text; *p; p++)
        total += *p == ' ';
    const char *p = j->text;
    while (*p && rc == Q_OK && !(gone && desk_stopped(&a->desk, LANE_LONG))) {
        rc = remove_one(a, p, err);
        if (rc < 0)
            break;
        gone++;
        p += strcspn(p, " ");
        p += *p == ' ';
        agt_event e = { .kind = AGT_EV_PROGRESS, .text = q_strdup(_("removing documents")), .done = gone, .total = total, .rate = -1 };
        evq_push(&a->events, &e);
    }
    agt_event e = { .kind = AGT_EV_PROGRESS, .text = q_strdup(_("removing documents")) };
    evq_push(&a->events, &e);
    if (*p && rc == Q_OK && desk_quits(&a->desk))
        errand_keep(a, j->row, p);
    if (rc < 0)
        note(&a->events, AGT_ERROR, _("%d of %d documents are removed, then: %s"), gone, total, err);
    else if (*p)
        note(&a->events, AGT_WARN, _("stopped: %d of %d documents are removed from memory"), gone, total);
    else
        note(&a->events, AGT_INFO, ngettext("%d document is removed from memory", "%d documents are removed from memory", (unsigned long)gone), gone);
}

/* At the end: one document is removed before it, many are left to the next start. */
static void keep(agt *a, const job *j)
{
    if (strchr(j->text, ' '))
        errand_keep(a, j->row, j->text);
    else
        forget(a, j);
}

const job_row job_forget = { .name = "forget?", .lane = LANE_QUICK, .end = END_DROPPED, .run = look };
const job_row job_forgotten = { .name = "forget", .lane = LANE_LONG, .end = END_KEPT, .run = forget, .keep = keep };
