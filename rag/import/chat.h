/* rag/import/chat.h: private to rag/. A conversation on its way from an archive into memory, as a tree of messages. */
#ifndef QUORUM_RAG_IMPORT_CHAT_H
#define QUORUM_RAG_IMPORT_CHAT_H

#include "memory/memory.h"

/* BARE: it only holds the tree together, as roots do; HIDDEN: kept, not shown; SEEN. */
enum chat_kind { CHAT_SEEN, CHAT_HIDDEN, CHAT_BARE };

typedef struct chat_message {
    char *id, *under;                   /* its name, and that of what it stands below; "": nothing */
    enum mem_role role;
    enum chat_kind kind;
    int64_t ms;                         /* 0: not known */
    char *text, *thinking, *model;      /* UTF-8, never NULL */
    char *author;                       /* a name in one line; "": the person of this memory, or a model by its role */
    int parent;                         /* after rag_chat_settle: index, -1: none */
} chat_message;

typedef struct chat {
    char *id, *title;                   /* NULL until known */
    int64_t created_ms, updated_ms;
    chat_message *v;
    int n, cap;
    char *last;                         /* the id at the end of the branch that is shown; NULL: not told */
    int leaf;                           /* after rag_chat_settle: its index; -1 */
    int bad;                            /* messages that could not be read as they should be */
    const char *why;                    /* the first reason, translated */
} chat;

/* Copies what it is given, cleaned; texts may be NULL. The message belongs to the chat and moves when another is added. */
chat_message *rag_chat_add(chat *, const char *id, const char *under, enum mem_role role, enum chat_kind kind, const char *text);
void rag_chat_say(char **place, const char *text);          /* another text, cleaned */
void rag_chat_title(chat *, const char *title);
void rag_chat_author(chat_message *, const char *name);     /* NULL: as it was */
void rag_chat_bad(chat *, const char *why);
/* The name of a message that has none: of where it stands and what it says, so that a longer conversation has the same. */
void rag_chat_name(const char *under, enum mem_role role, const char *text, char out[33]);
/* A text that begins with what the model thought (<think>, <details type="reasoning">) is parted from it. */
void rag_chat_part_thinking(chat_message *);
/* Parents before children, bare ones gone, hidden ones without anything below them; a name that comes twice keeps its first
 * message, a circle is cut. */
void rag_chat_settle(chat *);
void rag_chat_free(chat *);

#endif
