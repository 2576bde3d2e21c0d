/* rag/rank.h: private to rag/. From weighted words to passages in order of how they match. */
#ifndef QUORUM_RAG_RANK_H
#define QUORUM_RAG_RANK_H

#include "rag/measure.h"

struct ranked { enum mem_kind kind; int64_t id; double bm25; double *tf; /* [n_term] of a turn, with what stands around it; NULL for a document */ };
struct ranking { struct ranked *v; int n; };

/* All passages that hold a word of the query, best first. */
int rag_rank(mem_store *, const rag_config *, const struct rag_query *, struct ranking *out, char *err);
void rag_ranking_free(struct ranking *);

#endif
