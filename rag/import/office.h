/* rag/import/office.h: private to rag/. Documents that are zip archives of XML. */
#ifndef QUORUM_RAG_IMPORT_OFFICE_H
#define QUORUM_RAG_IMPORT_OFFICE_H

#include "base/base.h"

/* DOCX, ODT and EPUB, told by their members, become Markdown in b, in place; NULL, or a translated reason why not. */
const char *rag_office(q_buf *b);

#endif
