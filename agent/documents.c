/* agent/documents: files taken into memory, removed from it, listed and searched. The long lane takes in and removes, the quick one lists and searches.
 * A long import is stopped by agt_stop when no answer runs. */
#include "base/say.h"
#include "agent/errands.h"

#include <stdlib.h>
#include <string.h>

typedef struct adding { agt *a; const char *what; int64_t shown_ns; } adding;

static bool added(void *user, const rag_progress *p)
{
    adding *d = user;
    agt *a = d->a;
    if (p->note)
        note(&a->events, AGT_WARN, "%s: %s", p->path, p->note);
    if (q_now_ns() - d->shown_ns > 100000000) {
        d->shown_ns = q_now_ns();
        agt_event e = { .kind = AGT_EV_PROGRESS, .text = q_strdup(d->what), .done = p->seen, .total = -1, .rate = -1, .name = q_strdup(p->path) };
        evq_push(&a->events, &e);
    }
    return !desk_stopped(&a->desk, LANE_LONG);
}

static bool going_on(void *user) { return !desk_stopped(&((adding *)user)->a->desk, LANE_LONG); }

static void add(agt *a, const job *j)
{
    const char *path = j->text;
    char err[Q_ERRLEN];
    char *real = home_path(path), *what = q_printf(_("adding %s"), path);
    adding d = { a, what, 0 };
    rag_add_opts o = { .progress = added, .go = going_on, .user = &d };
    rag_progress p = { 0 };
    int rc = rag_add(a->store, real, &o, &p, err);
    agt_event end = { .kind = AGT_EV_PROGRESS, .text = q_strdup(what) };
    evq_push(&a->events, &end);
    if (rc < 0 && rc != Q_CANCEL)
        note(&a->events, AGT_ERROR, "%s", err);
    else {
        q_buf b = { 0 };
        q_buf_printf(&b, ngettext("%d file added", "%d files added", (unsigned long)p.added), p.added);
        q_buf_puts(&b, " (");
        q_buf_printf(&b, ngettext("%d passage", "%d passages", (unsigned long)p.chunks), p.chunks);
        q_buf_puts(&b, "), ");
        q_buf_printf(&b, _("%d unchanged, %d skipped"), p.unchanged, p.skipped);
        if (rc == Q_CANCEL)
            note(&a->events, AGT_WARN, _("stopped: %s; /add takes the rest"), b.p);
        else
            note(&a->events, AGT_INFO, "%s", b.p);
        q_buf_free(&b);
    }
    desk_post(&a->desk, &job_tidy, 0, 0, NULL, NULL);
    free(real);
    free(what);
}

static void forget(agt *a, const job *j)
{
    const char *which = j->text;
    char err[Q_ERRLEN];
    mem_documents l = { 0 };
    if (mem_document_list(a->store, &l, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    char *real = home_path(which), *end, *whole = realpath(real, NULL);
    if (whole) {
        free(real);
        real = whole;
    }
    long id = strtol(which, &end, 10);
    int gone = 0, n_id = 0;
    int64_t *ids = q_alloc(sizeof *ids * (size_t)(l.n + 1));
    size_t n = strlen(real);
    for (int i = 0; i < l.n; i++) {
        const char *p = l.v[i].path;
        bool folder = strncmp(p, real, n) == 0 && (p[n] == '/' || (n && real[n - 1] == '/'));
        if ((*which && !*end && l.v[i].id == id) || strcmp(p, real) == 0 || strcmp(l.v[i].title, which) == 0 || (*real == '/' && folder)) {
            ids[n_id++] = l.v[i].id;
        }
    }
    if (rag_remove_all(a->store, ids, n_id, &gone, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    free(ids);
    desk_post(&a->desk, &job_tidy, 0, 0, NULL, NULL);
    if (gone)
        note(&a->events, AGT_INFO, ngettext("%d document is removed from memory", "%d documents are removed from memory", (unsigned long)gone), gone);
    else
        note(&a->events, AGT_ERROR, _("there is no document %s in memory; /memory list shows them with their numbers"), which);
    free(real);
    mem_documents_free(&l);
}

static void documents(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    mem_documents l = { 0 };
    q_buf b = { 0 };
    if (mem_document_list(a->store, &l, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    q_buf_puts(&b, "");
    for (int i = 0; i < l.n; i++) {
        char w[32];
        q_buf_say(&b, "%4lld  %-40s %5d  %10s  %s\n", (long long)l.v[i].id, l.v[i].title, l.v[i].n_chunks, q_bytes_words((uint64_t)l.v[i].bytes, w), l.v[i].path);
    }
    if (!l.n)
        q_buf_puts(&b, _("Memory holds no documents: /add PATH takes a file or a folder in.\n"));
    else
        q_buf_puts(&b, _("\nnumber, title, passages, size, path. /forget NUMBER removes one.\n"));
    mem_documents_free(&l);
    note_text(&a->events, "/memory", q_buf_take(&b));
}

static void search(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    rag_result *r = NULL;
    q_buf b = { 0 };
    rag_config c = settings_rag(&a->settings);
    rag_scope scope = { .conversation = 0, .budget = -1 };
    if (rag_search(a->store, &c, j->text, &scope, &r, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    rag_explain(r, &b);
    rag_result_free(r);
    note_text(&a->events, "/search", q_buf_take(&b));
}

static void manual(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    if (rag_manual(a->store, err) < 0)
        note(&a->events, AGT_WARN, "%s", err);
    desk_post(&a->desk, &job_tidy, 0, 0, NULL, NULL);
}

static bool tidying_on(void *user) { return !desk_stopped(&((agt *)user)->desk, LANE_LONG); }

/* What changes left owed is durable: the end of the program, or a stop, leaves the rest to the next start. */
static void tidy(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    int rc = mem_tidy(a->store, tidying_on, a, err);
    char *said = mem_note(a->store);
    if (said)
        note(&a->events, AGT_INFO, "%s", said);
    if (rc < 0 && rc != Q_CANCEL)
        note(&a->events, AGT_WARN, "%s", err);
    free(said);
}

const job_row job_tidy = { .name = "tidy", .lane = LANE_LONG, .end = END_DROPPED, .run = tidy };
const job_row job_add = { .name = "add", .lane = LANE_LONG, .end = END_DROPPED, .run = add };
const job_row job_forget = { .name = "forget", .lane = LANE_LONG, .end = END_CARRIED, .run = forget };
const job_row job_documents = { .name = "documents", .lane = LANE_QUICK, .end = END_DROPPED, .run = documents };
const job_row job_search = { .name = "search", .lane = LANE_QUICK, .end = END_DROPPED, .run = search };
const job_row job_manual = { .name = "manual", .lane = LANE_ENGINE, .end = END_DROPPED, .run = manual };
