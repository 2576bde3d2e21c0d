/* rag/gather: the candidates of a search. Pure but for what it asks memory; any thread. It never judges. */
#include "rag/gather.h"

#include "rag/query.h"

#include <stdlib.h>

bool rag_gather_may(const struct gathering *g, enum mem_kind kind, int64_t id) { return !g->under || mem_under_has(g->under, kind, id); }

bool rag_gather(struct gathering *g, mem_passage *m, const struct ranked *k)
{
    /* The manual is there in two languages: the question's is taken. Its title says which: a passage of the Russian one
     * may be commands and knobs for the most part. */
    if (m->trust == MEM_TRUST_MANUAL && rag_cyrillic(m->title) != g->ru) return false;
    if (!rag_narrow_takes(g->narrow, m) || !rag_gather_may(g, m->kind, m->id)) {
        g->refused++;
        return false;
    }
    if (g->no_answers && m->trust == MEM_TRUST_MODEL && ++g->answers > ANSWERS) {      /* they take no place from what may be fed */
        g->refused++;
        return false;
    }
    g->v[g->n++] = (struct gathered){.m = *m, .bm25 = k ? k->bm25 : 0, .tf = k ? k->tf : NULL};
    *m = (mem_passage){0};
    return true;
}

static int by_place(const void *a, const void *b)
{
    const struct ranked *const *x = a, *const *y = b;
    return (*x)->id < (*y)->id ? -1 : (*x)->id > (*y)->id;
}

/* The person's own questions, which are no candidates else, where it is asked for them. */
static int questions(struct gathering *g, const int64_t *id, int n, mem_passages *out, char *err)
{
    int rc = Q_OK;
    *out = (mem_passages){.v = q_alloc(sizeof *out->v * (size_t)(n + 1))};
    for (int i = 0; i < n && rc == Q_OK; i++) {
        rc = rag_narrow_has(g->narrow, id[i]) ? mem_passage_get(g->s, MEM_CHAT, id[i], &out->v[out->n], err) : Q_NOTFOUND;
        out->n += rc == Q_OK;
        if (rc == Q_NOTFOUND) rc = Q_OK;
    }
    return rc;
}

/* Of a stretch of the ranking those of one kind that may be found, each to its place in `found`. */
static int fetch(struct gathering *g, const struct ranked *from, int n, enum mem_kind kind, mem_passage *found, char *err)
{
    int64_t id[CANDIDATES];
    const struct ranked *at[CANDIDATES];
    int k = 0;
    mem_passages m;
    for (int i = 0; i < n; i++)
        if (from[i].kind == kind) at[k] = &from[i], id[k++] = from[i].id;
    int rc = kind == MEM_CHAT && g->narrow && g->narrow->on && (g->narrow->asked || g->q->wordless) ? questions(g, id, k, &m, err)
                                                                : mem_passages_of(g->s, kind, id, k, kind == MEM_CHAT ? g->except : 0, &m, err);
    qsort(at, (size_t)k, sizeof *at, by_place);
    for (int i = 0; i < m.n && rc == Q_OK; i++) {
        const struct ranked one = {.id = m.v[i].id}, *want = &one;
        const struct ranked **p = bsearch(&want, at, (size_t)k, sizeof *at, by_place);
        found[*p - from] = m.v[i];
        m.v[i] = (mem_passage){0};
    }
    mem_passages_free(&m);
    return rc;
}

int rag_gather_some(struct gathering *g, const struct ranked *from, int n, char *err)
{
    mem_passage found[CANDIDATES] = {{0}};
    int rc = fetch(g, from, n, MEM_CHUNK, found, err);
    if (rc == Q_OK) rc = fetch(g, from, n, MEM_CHAT, found, err);
    for (int i = 0; i < n; i++) {
        if (rc == Q_OK && found[i].id) rag_gather(g, &found[i], &from[i]);
        mem_passage_free(&found[i]);
    }
    return rc;
}

/* Of a narrow search, what words found of it; where they look for nothing, the newest; and where it is little all of it, which
 * meaning may then find. */
int rag_gather_narrow(struct gathering *g, struct ranking *k, bool wordless, char *err)
{
    const struct narrowing *x = g->narrow;
    int n = 0, rc = Q_OK;
    struct ranked v[NEAREST];
    if (!x || !x->on) return Q_OK;
    for (int i = 0; i < k->n; i++) {
        if (!wordless && (k->v[i].kind == MEM_CHUNK || rag_narrow_has(x, k->v[i].id))) k->v[n++] = k->v[i];
        else free(k->v[i].tf);
    }
    k->n = n;
    if (!wordless && x->n > NEAREST) return Q_OK;
    for (int i = x->n - 1, at = n = 0; i >= 0 && n < NEAREST; i--) {
        if (!rag_gather_may(g, MEM_CHAT, x->id[i])) continue;
        for (at = 0; at < k->n && !(k->v[at].kind == MEM_CHAT && k->v[at].id == x->id[i]);) at++;
        if (at == k->n || at >= CANDIDATES) v[n++] = at < k->n ? k->v[at] : (struct ranked){MEM_CHAT, x->id[i], 0, NULL};
    }
    int from = g->n;
    if (n) rc = rag_gather_some(g, v, n, err);
    for (int i = from; i < g->n && wordless; i++) g->v[i].sides.newest = 1 - (double)(i - from) / NEAREST;
    return rc;
}

/* From the best down until there are enough that may be found. */
int rag_gather_best(struct gathering *g, const struct ranking *k, char *err)
{
    int rc = Q_OK;
    for (int at = 0, n, most = g->n + CANDIDATES; at < k->n && g->n < most && rc == Q_OK; at += n) {
        n = k->n - at < most - g->n ? k->n - at : most - g->n;
        rc = rag_gather_some(g, k->v + at, n, err);
    }
    return rc;
}
