/* rag/links: what leads names other documents by their titles, and those are read on to: an answer often stands there. Pure
 * but for what it asks memory; any thread. */
#include "rag/links.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST = 5 };
static const double BACK = .3;             /* of a passage that names one that leads */

static void linked(struct gathering *g, const mem_link *l, double from, char *err)
{
    struct gathered *best = NULL;
    for (int i = 0; i < g->n; i++) {
        struct gathered *c = &g->v[i];
        if (c->m.kind == MEM_CHUNK && c->m.source == l->document && (!best || rag_found(&c->sides) > rag_found(&best->sides))) best = c;
    }
    if (!best && g->n < GATHERED_MAX) {
        mem_passages m;
        if (mem_passages_of(g->s, MEM_CHUNK, &l->passage, 1, 0, &m, err) != Q_OK) return;
        if (m.n && rag_gather(g, &m.v[0], NULL)) best = &g->v[g->n - 1];
        mem_passages_free(&m);
    }
    if (best) best->sides.linked += from / log(2 + l->degree);
}

int rag_follow_links(struct gathering *g, char *err)
{
    double from[FIRST];
    int lead[FIRST], n = 0, rc = Q_OK;
    for (int k = 0; k < FIRST; k++) {
        int best = -1;
        for (int i = 0; i < g->n; i++) {
            bool had = g->v[i].m.kind != MEM_CHUNK || g->v[i].m.trust == MEM_TRUST_MANUAL;
            for (int j = 0; j < n; j++) had |= lead[j] == i;
            if (!had && (best < 0 || rag_found(&g->v[i].sides) > rag_found(&g->v[best].sides))) best = i;
        }
        if (best < 0) break;
        lead[n] = best;
        from[n++] = rag_found(&g->v[best].sides);
    }
    for (int k = 0; k < n && rc == Q_OK; k++) {
        mem_link *v;
        int links;
        const mem_passage *m = &g->v[lead[k]].m;
        rc = mem_links(g->s, m->text, strlen(m->text), m->source, &v, &links, err);
        for (int i = 0; i < links && rc == Q_OK; i++)
            linked(g, &v[i], from[k], err);
        free(v);
        if (rc == Q_OK) rc = mem_named_by(g->s, m->source, &v, &links, err);
        else break;
        for (int i = 0; i < links && rc == Q_OK; i++) linked(g, &v[i], from[k] * BACK, err);
        free(v);
    }
    for (int i = 0; i < g->n; i++)
        if (g->v[i].sides.linked > 1) g->v[i].sides.linked = 1;
    return rc;
}
