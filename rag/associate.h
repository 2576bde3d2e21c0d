/* rag/associate.h: private to rag/. What is associated with a question, as a side of its candidates. */
#ifndef QUORUM_RAG_ASSOCIATE_H
#define QUORUM_RAG_ASSOCIATE_H

#include "rag/gather.h"

/* In mode graph alone; behind rag_gather_near. */
int rag_gather_graph(struct gathering *, const rag_config *, char *err);
/* The name that leads to a candidate most, as it is written there; NULL: none does. malloc'ed. */
char *rag_through(const struct gathered *);

#endif
