/* rag/query.h: private to rag/. From a question to weighted words. */
#ifndef QUORUM_RAG_QUERY_H
#define QUORUM_RAG_QUERY_H

#include "rag/measure.h"

/* Fills r's terms with the query's words and their weights; searched = some weigh. */
int rag_query(mem_store *, const rag_config *, const char *query, rag_result *r, char *err);
/* The words by which memory is asked for candidates; they belong to r. Returns how many. */
int rag_query_words(const rag_result *r, const char *words[TERMS_MAX]);
/* Is it a Russian question? */
bool rag_cyrillic(const char *text);

#endif
