/* rag/charset.h: private to rag/. In which character set a text is written. */
#ifndef QUORUM_RAG_CHARSET_H
#define QUORUM_RAG_CHARSET_H

#include "base/base.h"

/* Turns text in any set that can be told into UTF-8, in place; NULL, or a translated reason why not. */
const char *rag_charset(q_buf *b);
/* A page's bytes as UTF-8 by what it says of itself: a mark, an XML declaration, <meta charset>; b stays where nothing is said, or what is
 * said is not so. */
void rag_charset_said(q_buf *b);

/* The bytes as UTF-8 out of the set that is named; false: they are none of it, or UTF-8 already, and b stays. */
bool rag_charset_as(q_buf *b, const char *set);

#endif
