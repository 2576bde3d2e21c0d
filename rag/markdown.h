/* rag/markdown.h: private to rag/. The blocks of a Markdown text. */
#ifndef QUORUM_RAG_MARKDOWN_H
#define QUORUM_RAG_MARKDOWN_H

#include <stdbool.h>
#include <stddef.h>

enum md_kind { MD_TEXT, MD_HEADING, MD_CODE /* indented */, MD_FENCE, MD_BREAK };
typedef struct md_block {
    enum md_kind kind;
    int level;                  /* MD_HEADING: 1..6 */
    int depth;                  /* quotes and list items around it */
    size_t from, to;            /* whole lines: of a heading its underline too, of a fence both fences */
    size_t words_from, words_to;    /* MD_HEADING: its words as written, marks and line ends among them */
} md_block;
/* fn is told every block in order; every line that is not blank lies in exactly one. */
void rag_markdown(const char *text, size_t n, void (*fn)(void *user, const md_block *b), void *user);
/* A heading's words as they are read: one line, without marks of emphasis and escapes; malloc'ed. */
char *rag_heading_words(const char *text, size_t from, size_t to);

#endif
