/* rag/gather.h: private to rag/. The candidates of a search. */
#ifndef QUORUM_RAG_GATHER_H
#define QUORUM_RAG_GATHER_H

#include "rag/narrow.h"
#include "rag/rank.h"

enum { ANSWERS = 10, CANDIDATES = 60, NEAREST = 60, LINKED = 40, GATHERED_MAX = CANDIDATES + 2 * NEAREST + LINKED };

struct gathered {
    mem_passage m;
    double bm25;
    const double *tf;                   /* [n_term], the ranking's; NULL: it holds no word of the question */
    struct rag_sides sides;
    char by[MEM_NAME_MAX];              /* the name by which the graph leads to it; "": it does not */
};
struct gathering { mem_store *s; const struct rag_query *q; int64_t except; bool ru;
    bool no_answers; int answers, refused;      /* what a model wrote will not be fed: a few are shown; how many came; refused: too many of them, or outside what is searched */
    const struct narrowing *narrow;     /* or NULL */
    const mem_under *under;             /* passages of the sources that are searched; NULL: of all */
    struct gathered v[GATHERED_MAX]; int n; };

/* It is of a source that is searched. */
bool rag_gather_may(const struct gathering *, enum mem_kind, int64_t id);
/* Takes m, unless it may not be a candidate. */
bool rag_gather(struct gathering *, mem_passage *m, const struct ranked *k /* or NULL */);
/* Of at most CANDIDATES those that may be found, in their order. */
int rag_gather_some(struct gathering *, const struct ranked *, int n, char *err);
/* Leaves of the ranking what a narrow search is among, and brings what words do not. Before rag_gather_best. */
int rag_gather_narrow(struct gathering *, struct ranking *, bool wordless, char *err);
/* The best of a ranking that may be found. */
int rag_gather_best(struct gathering *, const struct ranking *, char *err);

#endif
