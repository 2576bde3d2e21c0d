/* rag/links.h: private to rag/. What those that lead name. */
#ifndef QUORUM_RAG_LINKS_H
#define QUORUM_RAG_LINKS_H

#include "rag/gather.h"

/* Documents whose titles the first few name, and those that name theirs, get a part of what speaks for those, and come in
 * where they were not. */
int rag_follow_links(struct gathering *, char *err);

#endif
