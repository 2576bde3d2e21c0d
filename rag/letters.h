/* rag/letters.h: private to rag/. Which single-byte set a text is in, by its letters. */
#ifndef QUORUM_RAG_LETTERS_H
#define QUORUM_RAG_LETTERS_H

#include "base/base.h"

/* Converts; false where the bytes are none of that set or the C library does not know it. */
bool rag_convert(const char *set, const char *p, size_t n, q_buf *out);
/* The set in which the bytes above ASCII read as words of some language and in no other way nearly as well;
 * NULL: nobody can tell. */
const char *rag_letters_set(const char *p, size_t n);

#endif
