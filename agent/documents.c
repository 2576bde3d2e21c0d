/* agent/documents: files taken into memory, removed from it, listed and searched. Clerk thread.
 * A long import is stopped by agt_stop when no answer runs. */
#include "agent/room.h"

#include <stdlib.h>
#include <string.h>

void keep_now(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    if (j->kind == JOB_KEEP)
        pending_keep(a, j->id, j->text);
    else {
        int rc = mem_reply_save(a->store, j->id, j->text, strlen(j->text), j->value, strlen(j->value), err);
        if (rc < 0 && rc != Q_NOTFOUND && a->save_failed != j->id) {     /* not found: the reply has ended meanwhile, with all of its text */
            room_note(a, AGT_ERROR, "%s", err);
            a->save_failed = j->id;      /* once an answer: on a full disk it would stand between its lines every second */
        }
    }
}

/* Neither a waiting question nor a running answer's words wait for a long import. */
static void urgent(agt *a)
{
    for (;;) {
        pthread_mutex_lock(&a->mu);
        job **p = &a->errands.first, *j, *before = NULL;
        while ((j = *p) && j->kind != JOB_KEEP && j->kind != JOB_SAVE) {
            before = j;
            p = &j->next;
        }
        if (j) {
            *p = j->next;
            if (a->errands.last == j)
                a->errands.last = before;
        }
        pthread_mutex_unlock(&a->mu);
        if (!j)
            return;
        keep_now(a, j);
        job_free(j);
    }
}

typedef struct adding { agt *a; const char *what; int64_t shown_ns; } adding;

static bool added(void *user, const rag_progress *p)
{
    adding *d = user;
    agt *a = d->a;
    if (p->note)
        room_note(a, AGT_WARN, "%s: %s", p->path, p->note);
    if (q_now_ns() - d->shown_ns > 100000000) {
        d->shown_ns = q_now_ns();
        agt_event e = { .kind = AGT_EV_PROGRESS, .text = q_strdup(d->what), .done = p->seen, .total = -1, .rate = -1, .name = q_strdup(p->path) };
        evq_push(&a->q, &e);
    }
    urgent(a);
    return !atomic_load(&a->errand_stop);
}

void documents_add(agt *a, const char *path)
{
    char err[Q_ERRLEN];
    char *real = home_path(path), *what = q_printf(_("adding %s"), path);
    adding d = { a, what, 0 };
    rag_add_opts o = { added, &d };
    rag_progress p = { 0 };
    int rc = rag_add(a->store, real, &o, &p, err);
    agt_event end = { .kind = AGT_EV_PROGRESS, .text = q_strdup(what) };
    evq_push(&a->q, &end);
    if (rc < 0 && rc != Q_CANCEL)
        room_note(a, AGT_ERROR, "%s", err);
    else {
        q_buf b = { 0 };
        q_buf_printf(&b, ngettext("%d file added", "%d files added", (unsigned long)p.added), p.added);
        q_buf_puts(&b, " (");
        q_buf_printf(&b, ngettext("%d passage", "%d passages", (unsigned long)p.chunks), p.chunks);
        q_buf_puts(&b, "), ");
        q_buf_printf(&b, _("%d unchanged, %d skipped"), p.unchanged, p.skipped);
        if (rc == Q_CANCEL)
            room_note(a, AGT_WARN, _("stopped: %s; /add takes the rest"), b.p);
        else
            room_note(a, AGT_INFO, "%s", b.p);
        q_buf_free(&b);
    }
    free(real);
    free(what);
}

void documents_forget(agt *a, const char *which)
{
    char err[Q_ERRLEN];
    mem_documents l = { 0 };
    if (mem_document_list(a->store, &l, err) < 0) {
        room_note(a, AGT_ERROR, "%s", err);
        return;
    }
    char *real = home_path(which), *end, *whole = realpath(real, NULL);
    if (whole) {
        free(real);
        real = whole;
    }
    long id = strtol(which, &end, 10);
    int gone = 0;
    size_t n = strlen(real);
    for (int i = 0; i < l.n; i++) {
        const char *p = l.v[i].path;
        bool folder = strncmp(p, real, n) == 0 && (p[n] == '/' || (n && real[n - 1] == '/'));
        if ((*which && !*end && l.v[i].id == id) || strcmp(p, real) == 0 || strcmp(l.v[i].title, which) == 0 || (*real == '/' && folder)) {
            if (rag_remove(a->store, l.v[i].id, err) < 0)
                room_note(a, AGT_ERROR, "%s", err);
            else
                gone++;
        }
    }
    if (gone)
        room_note(a, AGT_INFO, ngettext("%d document is removed from memory", "%d documents are removed from memory", (unsigned long)gone), gone);
    else
        room_note(a, AGT_ERROR, _("there is no document %s in memory; /memory list shows them with their numbers"), which);
    free(real);
    mem_documents_free(&l);
}

void documents_list(agt *a)
{
    char err[Q_ERRLEN];
    mem_documents l = { 0 };
    q_buf b = { 0 };
    if (mem_document_list(a->store, &l, err) < 0) {
        room_note(a, AGT_ERROR, "%s", err);
        return;
    }
    q_buf_puts(&b, "");
    for (int i = 0; i < l.n; i++) {
        char w[32];
        q_buf_printf(&b, "%4lld  %-40s %5d  %10s  %s\n", (long long)l.v[i].id, l.v[i].title, l.v[i].n_chunks, q_bytes_words((uint64_t)l.v[i].bytes, w), l.v[i].path);
    }
    if (!l.n)
        q_buf_puts(&b, _("Memory holds no documents: /add PATH takes a file or a folder in.\n"));
    else
        q_buf_puts(&b, _("\nnumber, title, passages, size, path. /forget NUMBER removes one.\n"));
    mem_documents_free(&l);
    room_text(a, "/memory", q_buf_take(&b));
}

void documents_search(agt *a, const char *words)
{
    char err[Q_ERRLEN];
    rag_result *r = NULL;
    q_buf b = { 0 };
    pthread_mutex_lock(&a->mu);
    rag_config c = a->rag;
    pthread_mutex_unlock(&a->mu);
    rag_scope scope = { .conversation = 0, .budget = -1 };
    if (rag_search(a->store, &c, words, &scope, &r, err) < 0) {
        room_note(a, AGT_ERROR, "%s", err);
        return;
    }
    rag_explain(r, &b);
    rag_result_free(r);
    room_text(a, "/search", q_buf_take(&b));
}
