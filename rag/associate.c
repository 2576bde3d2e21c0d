/* rag/associate: what the names of a question and of its best hits lead to (rag/graph.h), as one more side of each candidate; what
 * it leads to and words and meaning did not bring comes in. Documents alone: in talks it lost (LoCoMo R@5/10 .778/.862 to .774/.854).
 * Constants were chosen on HotpotQA's first 50 questions: R@2/5/10 .78/.95/.99 to .84/.95/.99; on the other 50 .78/.94/.99 to
 * .78/.93/.99, so that auto does not take this mode. Pure but for what it asks memory; any thread. */
#include "rag/associate.h"

#include "rag/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST = 10, BROUGHT = 20, NAMES = 16 };
static const double NAMED = .5;             /* of the seeds' weight is the question's names' */

/* The best of words and meaning. */
static int lead(const struct gathering *g, struct graph_seed *seed)
{
    int at[FIRST], n = 0;
    double sum = 0;
    while (n < FIRST) {
        int best = -1;
        for (int i = 0; i < g->n; i++) {
            bool had = g->v[i].m.trust != MEM_TRUST_OWN;
            for (int j = 0; j < n; j++) had |= at[j] == i;
            if (!had && (best < 0 || rag_found(&g->v[i].sides) > rag_found(&g->v[best].sides))) best = i;
        }
        if (best < 0) break;
        double x = rag_found(&g->v[best].sides), weight = x * x * x;
        at[n] = best;
        sum += weight;
        seed[n++] = (struct graph_seed){g->v[best].m.kind, g->v[best].m.id, weight};
    }
    for (int i = 0; i < n && sum > 0; i++) seed[i].weight /= sum;
    return n;
}

static struct gathered *find(struct gathering *g, const struct graph_hit *h)
{
    for (int i = 0; i < g->n; i++)
        if (g->v[i].m.kind == h->kind && g->v[i].m.id == h->id) return &g->v[i];
    return NULL;
}

/* Those that words and meaning did not bring. */
static int bring(struct gathering *g, const struct graph_hits *h, char *err)
{
    struct ranked v[BROUGHT];
    int n = 0;
    for (int i = 0; i < h->n && n < BROUGHT && g->n + n < GATHERED_MAX; i++)
        if (h->v[i].kind == MEM_CHUNK && !find(g, &h->v[i])) v[n++] = (struct ranked){h->v[i].kind, h->v[i].id, 0, NULL};
    return n ? rag_gather_some(g, v, n, err) : Q_OK;
}

int rag_gather_graph(struct gathering *g, const rag_config *c, char *err)
{
    struct graph_seed seed[FIRST];
    struct graph_name name[NAMES];
    struct graph_hits h = {0};
    char *room = NULL;
    int names = 0, seeds;
    if (c->mode != RAG_GRAPH) return Q_OK;
    int rc = rag_graph_question(g->s, g->q->text, false, name, NAMES, &names, &room, err);
    seeds = lead(g, seed);
    for (int i = 0; i < seeds && names; i++) seed[i].weight *= 1 - NAMED;
    for (int i = 0; i < names; i++) name[i].weight = seeds ? NAMED / names : 1;
    if (rc == Q_OK) rc = rag_graph_find(g->s, name, names, seed, seeds, false, &h, err);
    if (rc == Q_OK) rc = bring(g, &h, err);
    for (int i = 0; i < h.n && rc == Q_OK; i++) {
        struct gathered *x = find(g, &h.v[i]);
        if (!x || h.v[i].kind != MEM_CHUNK) continue;
        x->sides.graph = h.v[i].score;
        memcpy(x->by, h.v[i].by, sizeof x->by);
    }
    if (rc == Q_OK) g->q->r->by = RAG_GRAPH;
    rag_graph_hits_free(&h);
    free(room);
    return rc;
}

struct looking { const char *by, *text; char *found; };

static bool look_at(void *user, const mem_entity *e)
{
    struct looking *l = user;
    if (e->kind == *l->by && strcmp(e->key, l->by + 1) == 0) l->found = q_strndup(l->text + e->start, e->end - e->start);
    return !l->found;
}

char *rag_through(const struct gathered *x)
{
    struct looking l = {.by = x->by, .text = x->m.text};
    if (!*x->by || x->sides.graph <= 0) return NULL;
    mem_entities(l.text, strlen(l.text), look_at, &l);
    return l.found ? l.found : q_strdup(x->by + 1);         /* it stands in a heading, or stands for more than is written there */
}
