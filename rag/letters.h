/* rag/letters.h: private to rag/. Which single-byte set a text is in, by its letters. */
#ifndef QUORUM_RAG_LETTERS_H
#define QUORUM_RAG_LETTERS_H

#include "base/base.h"

/* Converts; false where the bytes are none of that set or the C library does not know it. */
bool rag_convert(const char *set, const char *p, size_t n, q_buf *out);
/* The set in which the bytes above ASCII read as words of some language and in no other way nearly as well;
 * NULL: nobody can tell. */
const char *rag_letters_set(const char *p, size_t n);

/* How well what is above ASCII in a UTF-8 text reads as words of some language: the mean logarithm of a letter's probability
 * in the best one, 0 where nothing is. From rag_letters_pass on it is believed. */
double rag_letters_average(const char *p, size_t n);
extern const double rag_letters_pass;

#endif
