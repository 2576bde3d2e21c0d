/* rag/charset.h: private to rag/. In which character set a text is written. */
#ifndef QUORUM_RAG_CHARSET_H
#define QUORUM_RAG_CHARSET_H

#include "base/base.h"

/* Turns text in any set that can be told into UTF-8, in place; NULL, or a translated reason why not. */
const char *rag_charset(q_buf *b);

#endif
