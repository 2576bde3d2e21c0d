/* rag/label.h: private to rag/. */
#ifndef QUORUM_RAG_LABEL_H
#define QUORUM_RAG_LABEL_H

#include "rag/rag.h"

char *rag_label(const mem_passage *);   /* for people: "notes/optics.md § Rayleigh", "chat of 3 May: light"; malloc'ed */
char *rag_cite(const mem_passage *);    /* the same for a model */

#endif
