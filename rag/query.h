/* rag/query.h: private to rag/. From a question to weighted words. */
#ifndef QUORUM_RAG_QUERY_H
#define QUORUM_RAG_QUERY_H

#include "rag/measure.h"
#include "rag/narrow.h"

/* Reads a question, and what was asked before it where the question points back (before may be NULL). r gets the terms;
 * searched = some weigh, or it is searched among what was said by somebody or at some time. The query is good while r's terms stay as they are; freed also after a failure. */
int rag_query_read(mem_store *, const rag_config *, const char *question, const rag_scope *scope, const struct narrowing * /* or NULL */, rag_result *r, struct rag_query *, char *err);
void rag_query_free(struct rag_query *);
/* The words by which memory is asked for candidates, at most max, the heaviest; they belong to the query. */
int rag_query_words(const struct rag_query *, const char **words, int max);
/* Does the other text ask the same: the same words but for those of grammar, or the same bytes? */
bool rag_same_question(const struct rag_query *, const char *other);
/* Is it a Russian question? */
bool rag_cyrillic(const char *text);

#endif
