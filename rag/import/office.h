/* rag/import/office.h: private to rag/. Documents that are zip archives of XML. For the program that reads. */
#ifndef QUORUM_RAG_IMPORT_OFFICE_H
#define QUORUM_RAG_IMPORT_OFFICE_H

#include "rag/import/wire.h"

/* DOCX, ODT and EPUB, told by their members, as Markdown. READ_END, or why not. */
enum read_why office_read(const char *p, size_t n, q_buf *out);

#endif
