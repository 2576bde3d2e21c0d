/* rag/gather: the candidates of a search. Pure but for what it asks memory; any thread. It never judges. */
#include "rag/gather.h"

#include "rag/query.h"

#include <stdlib.h>

bool rag_gather(struct gathering *g, mem_passage *m, const struct ranked *k)
{
    /* The manual is there in two languages: the question's is taken. Its title says which: a passage of the Russian one
     * may be commands and knobs for the most part. */
    if (m->trust == MEM_TRUST_MANUAL && rag_cyrillic(m->title) != g->ru) return false;
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

/* Of a stretch of the ranking those of one kind that may be found, each to its place in `found`. */
static int fetch(struct gathering *g, const struct ranked *from, int n, enum mem_kind kind, mem_passage *found, char *err)
{
    int64_t id[CANDIDATES];
    const struct ranked *at[CANDIDATES];
    int k = 0;
    mem_passages m;
    for (int i = 0; i < n; i++)
        if (from[i].kind == kind) at[k] = &from[i], id[k++] = from[i].id;
    int rc = mem_passages_of(g->s, kind, id, k, kind == MEM_CHAT ? g->except : 0, &m, err);
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

/* From the best down until there are enough that may be found. */
int rag_gather_best(struct gathering *g, const struct ranking *k, char *err)
{
    int rc = Q_OK;
    for (int at = 0, n; at < k->n && g->n < CANDIDATES && rc == Q_OK; at += n) {
        n = k->n - at < CANDIDATES - g->n ? k->n - at : CANDIDATES - g->n;
        rc = rag_gather_some(g, k->v + at, n, err);
    }
    return rc;
}
