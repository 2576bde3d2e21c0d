/* rag/skips.h: private to rag/. Why files were passed over, counted. */
#ifndef QUORUM_RAG_SKIPS_H
#define QUORUM_RAG_SKIPS_H

#include "rag/rag.h"

void rag_skip_add(rag_progress *, const char *why, const char *path);

/* A part of an archive that could not be read; the rest of it is taken. */
void rag_damage_add(rag_progress *, const char *why, const char *place);

#endif
