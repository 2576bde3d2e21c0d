/* rag/wishes.h: private to rag/. */
#ifndef QUORUM_RAG_WISHES_H
#define QUORUM_RAG_WISHES_H

#include "rag/rag.h"

/* Marks what a person wants of the passages of a result, and adds the pinned ones that it lacks. */
int rag_wishes(mem_store *, const rag_scope *, rag_result *, char *err);

#endif
