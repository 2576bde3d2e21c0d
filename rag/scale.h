/* rag/scale.h: private to rag/. How far apart an embedding model puts what has nothing to do with one another. */
#ifndef QUORUM_RAG_SCALE_H
#define QUORUM_RAG_SCALE_H

#include "rag/rag.h"

/* Beside multilingual-e5-small, whose scale is 1: margins of nearness over it mean the same of every model. tongue [2][dim]: the means of
 * texts that are in Latin letters and in Cyrillic ones. Embeds 24 short texts. */
int rag_scale_of(const rag_embedder *, double *scale, float *tongue, char *err);

#endif
