/* rag/import/prose.h: private to rag/. Gathers text as Markdown: one paragraph after another. */
#ifndef QUORUM_RAG_IMPORT_PROSE_H
#define QUORUM_RAG_IMPORT_PROSE_H

#include "base/base.h"

typedef struct prose { q_buf *out, line; int level; bool item, code; } prose;
void prose_words(prose *, const char *p, size_t n, bool spaces);    /* spaces: as they stand */
void prose_end(prose *);                                            /* of a paragraph, heading or item */

#endif
