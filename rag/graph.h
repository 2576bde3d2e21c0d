/* rag/graph.h: private to rag/. What is associated with a question: passages that name what it names and what its best hits name, by
 * personalised PageRank over passages and what they name (as HippoRAG does it: Gutierrez and others, 2024). Pure but for what
 * it asks memory. */
#ifndef QUORUM_RAG_GRAPH_H
#define QUORUM_RAG_GRAPH_H

#include "memory/memory.h"

/* ---- a graph and its ranks: no store is asked ---- */
typedef struct graph_edge { int a, b; double w; } graph_edge;      /* both ways; w > 0 */
struct graph {
    int n;                              /* nodes */
    graph_edge *edge; int n_edge, cap;
    double *seed;                       /* [n], >= 0; their sum is made 1 */
};
/* rank [n]: after ROUNDS rounds of rank = (1 - KEEP) seed + KEEP (each node's rank parted among its neighbours by weight; that of a
 * node without any back to the seeds). All 0 where no seed is above 0. */
void graph_rank(const struct graph *, double *rank);

/* ---- of memory ---- */
enum { GRAPH_SEEDS = 64, GRAPH_NAMES = 2000, GRAPH_PASSAGES = 800, GRAPH_HUB = 60, GRAPH_HITS = 100, GRAPH_OFFERS = 192 };
struct graph_seed { enum mem_kind kind; int64_t id; double weight; };
struct graph_name { const char *name; double weight; };            /* kind and key: "nlofoten" */
struct graph_hit {
    enum mem_kind kind;
    int64_t id;
    double score;                       /* 0..1: its rank beside the largest of those found */
    char by[MEM_NAME_MAX];              /* the name that leads to it most; "": none does */
};
struct graph_hits { struct graph_hit *v; int n; int names, passages; /* how many stood in the graph */ };

/* What lies within two steps of the seeds, at most GRAPH_PASSAGES passages: the best GRAPH_HITS, best first. A name that more than GRAPH_HUB
 * passages have leads nowhere. chats: turns of talks too, without conversation `except` left to whoever takes them. */
int rag_graph_find(mem_store *, const struct graph_name *, int n_names, const struct graph_seed *, int n_seeds, bool chats, struct graph_hits *out, char *err);
void rag_graph_hits_free(struct graph_hits *);

/* The names in a question that memory knows: those that it names by the rules, and stretches of its words that stand there as one in small
 * letters. At most most; names point into *room, malloc'ed. */
int rag_graph_question(mem_store *, const char *question, bool chats, struct graph_name *out, int most, int *n, char **room, char *err);

#endif
