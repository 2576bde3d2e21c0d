/* rag/gather: the candidates of a search. Pure but for what it asks memory; any thread. It never judges. */
#include "rag/gather.h"

#include "rag/query.h"

bool rag_gather(struct gathering *g, mem_passage *m, const struct ranked *k)
{
    /* The manual is there in two languages: the question's is taken. Its title says which: a passage of the Russian one
     * may be commands and knobs for the most part. */
    if (m->trust == MEM_TRUST_MANUAL && rag_cyrillic(m->title) != g->ru) return false;
    g->v[g->n++] = (struct gathered){.m = *m, .bm25 = k ? k->bm25 : 0, .tf = k ? k->tf : NULL};
    *m = (mem_passage){0};
    return true;
}

/* From the best down until there are enough that may be found. */
int rag_gather_best(struct gathering *g, const struct ranking *k, char *err)
{
    int rc = Q_OK;
    for (int i = 0; i < k->n && g->n < CANDIDATES && rc == Q_OK; i++) {
        mem_passages m;
        rc = mem_passages_of(g->s, k->v[i].kind, &k->v[i].id, 1, k->v[i].kind == MEM_CHAT ? g->except : 0, &m, err);
        if (rc == Q_OK && m.n) rag_gather(g, &m.v[0], &k->v[i]);
        mem_passages_free(&m);
    }
    for (int i = 0; i < g->n; i++) g->v[i].sides.words = g->v[i].bm25 / g->v[0].bm25;
    return rc;
}
