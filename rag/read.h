/* rag/read.h: private to rag/. A file's bytes as text. */
#ifndef QUORUM_RAG_READ_H
#define QUORUM_RAG_READ_H

#include "rag/import/child.h"
#include "rag/rag.h"

/* Turns the bytes in b into UTF-8 text by the reader that its endings or first bytes ask for; what libraries read, the child reads. Returns
 * NULL and sets *form, or a translated reason why not. */
const char *rag_read(rag_child *, const char *path, q_buf *b, enum rag_form *form);

/* May a text of this name be a dialogue or a note? Sources of programs are none. */
bool rag_read_prose(const char *path);

#endif
