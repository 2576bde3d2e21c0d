/* rag/import/table.h: private to rag/. Tables and data as text in which each row speaks for itself. */
#ifndef QUORUM_RAG_IMPORT_TABLE_H
#define QUORUM_RAG_IMPORT_TABLE_H

#include "base/base.h"

/* CSV (RFC 4180; parted by comma, semicolon or tab): "name: Raven | size: 64", a paragraph a row; the first row names the
 * columns where it looks like names. In place; what is no table stays as it is. */
void rag_csv(q_buf *b);
/* JSON: a line a value, "birds.0.name: Raven", a paragraph an element. In place; what cannot be read stays as it is. */
void rag_json(q_buf *b);

#endif
