/* rag/import/pdf.h: private to rag/. PDF by another program, which is held in. */
#ifndef QUORUM_RAG_IMPORT_PDF_H
#define QUORUM_RAG_IMPORT_PDF_H

#include "base/base.h"

typedef struct pdf_limits {
    int cpu_s, stall_ms;                /* of work; between two pieces of what it says */
    size_t memory, out;                 /* bytes it may have; bytes it may say */
} pdf_limits;
extern const pdf_limits pdf_ordinary;

/* The bytes of a PDF become text in b, in place; NULL, or a translated reason why not. Waits for the other program. */
const char *rag_pdf(q_buf *b, const pdf_limits *);

#endif
