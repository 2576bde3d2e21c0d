/* agent/lost: see lost.h. */
#include "agent/errands.h"
#include "base/say.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void lost_open(lost *l) { pthread_mutex_init(&l->mu, NULL); }

void lost_close(lost *l)
{
    free(l->now.document);
    pthread_mutex_destroy(&l->mu);
}

static int place(const lost_now *l, int64_t document)
{
    int i = 0;
    while (i < l->n && l->document[i] != document)
        i++;
    return i;
}

lost_now lost_copy(lost *l)
{
    pthread_mutex_lock(&l->mu);
    lost_now now = { q_alloc(sizeof *now.document * (size_t)(l->now.n + 1)), l->now.n };
    if (now.n)
        memcpy(now.document, l->now.document, sizeof *now.document * (size_t)now.n);
    pthread_mutex_unlock(&l->mu);
    return now;
}

bool lost_has(const lost_now *l, int64_t document) { return place(l, document) < l->n; }

/* True: that is news. */
static bool keep(lost *l, int64_t document, bool missing)
{
    pthread_mutex_lock(&l->mu);
    lost_now *v = &l->now;
    int i = place(v, document);
    bool was = i < v->n;
    if (missing && !was) {
        v->document = q_realloc(v->document, sizeof *v->document * (size_t)(v->n + 1));
        v->document[v->n++] = document;
    } else if (!missing && was)
        v->document[i] = v->document[--v->n];
    pthread_mutex_unlock(&l->mu);
    return was != missing;
}

void lost_mark(const lost_now *l, rag_result *r)
{
    for (int i = 0; i < r->n; i++)
        r->v[i].missing = r->v[i].taken_ms && lost_has(l, r->v[i].source);
}

void lost_look(agt *a, const rag_result *r)
{
    q_buf b = { 0 };
    for (int i = 0; i < r->n; i++)
        if (r->v[i].number && r->v[i].taken_ms)
            q_buf_printf(&b, "%" PRId64 " ", r->v[i].source);
    if (b.len)
        desk_post(&a->desk, &job_lost, 0, 0, b.p, NULL);
    q_buf_free(&b);
}

static void look_for(agt *a, int64_t document)
{
    char err[Q_ERRLEN];
    mem_document d = { 0 };
    enum rag_there there = mem_document_get(a->store, document, &d, err) == Q_OK && !d.gone_ms ? rag_file_there(d.path) : RAG_THERE;
    if (there != RAG_NOT_LOOKED && keep(&a->lost, document, there == RAG_MISSING) && there == RAG_MISSING) {
        q_buf when = { 0 };
        rag_taken(d.added_ms, true, 0, &when);
        note(&a->events, AGT_WARN, _("%s was fed%s: /add of the folder it was in leaves it out from now on, /forget takes it out of memory"), d.title, when.p);
        q_buf_free(&when);
    }
    mem_document_free(&d);
}

static void look(agt *a, const job *j)
{
    char *end;
    for (const char *s = j->text; *s && !desk_stopped(&a->desk, LANE_LONG); s = end) {
        int64_t document = strtoll(s, &end, 10);
        if (end == s)
            break;
        look_for(a, document);
        end += *end == ' ';
    }
}

const job_row job_lost = { .name = "lost", .lane = LANE_LONG, .end = END_DROPPED, .run = look };
