/* rag/skips.h: private to rag/. Why files were passed over, counted. */
#ifndef QUORUM_RAG_SKIPS_H
#define QUORUM_RAG_SKIPS_H

#include "rag/rag.h"

void rag_skip_add(rag_progress *, const char *why, const char *path);

#endif
