/* rag/lists.h: private to rag/. Which words ask, and which belong to everyday talk, English and Russian. */
#ifndef QUORUM_RAG_LISTS_H
#define QUORUM_RAG_LISTS_H

#include <stdbool.h>

/* Rows of words parted by spaces, ended by NULL. */
extern const char *const rag_asking_words[];
extern const char *const rag_everyday_words[];
/* Words that point back to what was said; that open a question which goes on from one; that end or open talk. */
extern const char *const rag_pointing_words[];
extern const char *const rag_going_on_words[];
extern const char *const rag_polite_words[];
/* Is it one of them: the very form, or by stem? */
bool rag_listed(const char *const *rows, const char *key, bool stem);

#endif
