/* rag/import/own.h: private to rag/. A conversation as our own Markdown: a comment before each message holds what a reader of quorum needs,
 * with the length of its text, so that the text stands there as it is, whatever it says. */
#ifndef QUORUM_RAG_IMPORT_OWN_H
#define QUORUM_RAG_IMPORT_OWN_H

#include "memory/memory.h"

typedef struct own_chat {
    char name[48];                      /* the same at every export of this conversation */
    const char *title;
    int64_t created_ms, opened_ms, leaf;
} own_chat;
typedef struct own_message {
    int64_t id, under;                  /* under 0: a first message */
    enum mem_role role;
    bool hidden;
    int64_t created_ms;
    const char *text, *thinking, *model, *author;       /* never NULL */
    size_t n, n_thinking;
} own_message;

/* First in its file. */
void own_write_chat(const own_chat *, q_buf *out);
/* heading: lines for people, with an empty one behind them. */
void own_write_message(const own_message *, const char *heading, q_buf *out);
/* Does a text begin as such a file does? */
bool own_knows(const char *p, size_t n);

#endif
