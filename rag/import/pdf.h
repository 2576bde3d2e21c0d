/* rag/import/pdf.h: private to rag/. PDF by another program, which is held in. */
#ifndef QUORUM_RAG_IMPORT_PDF_H
#define QUORUM_RAG_IMPORT_PDF_H

#include "rag/import/child.h"

extern const held_limits pdf_ordinary;

/* The bytes of a PDF become text in b, in place; NULL, or a translated reason why not. Waits for the other program, unless the child's
 * owner wants no more. */
const char *rag_pdf(rag_child *, q_buf *b, const held_limits *);

#endif
