/* rag/meaning.h: private to rag/. What lies near in meaning. */
#ifndef QUORUM_RAG_MEANING_H
#define QUORUM_RAG_MEANING_H

#include "rag/gather.h"

/* Candidates get their sides of words, and where meaning is asked that of meaning too; what lies nearest comes in where it was not.
 * A failure of the embedder is the result's note. */
int rag_gather_near(struct gathering *, const rag_config *, rag_near * /* or NULL */, const struct ranking *, char *err);

#endif
