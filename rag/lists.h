/* rag/lists.h: private to rag/. Which words are grammar and which belong to everyday talk, English and Russian. */
#ifndef QUORUM_RAG_LISTS_H
#define QUORUM_RAG_LISTS_H

/* Rows of words parted by spaces, ended by NULL. */
extern const char *const rag_grammar_words[];
extern const char *const rag_everyday_words[];

#endif
