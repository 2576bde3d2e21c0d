/* rag/import/archive.h: private to rag/. The kinds of chat archives, a row each. */
#ifndef QUORUM_RAG_IMPORT_ARCHIVE_H
#define QUORUM_RAG_IMPORT_ARCHIVE_H

#include "rag/import/chat.h"
#include "rag/import/json.h"

typedef struct archive {
    const char *name;                   /* as memory keeps it: "chatgpt" */
    const char *shown;                  /* to people */
    bool (*knows)(const cJSON *record);
    /* A record becomes a conversation, or a part of the one that the records before it began (`lines`). What of it cannot be
     * read is told by rag_chat_bad; NULL, or a translated reason why nothing of it can. */
    const char *(*read)(const cJSON *record, chat *out);
    bool lines;                         /* the records of a file are the turns of one conversation */
    /* A text is one: the first bytes, no JSON. NULL: it is never a text. */
    bool (*knows_text)(const char *p, size_t n);
    const char *(*read_text)(const char *p, size_t n, chat *out);
} archive;

extern const archive archive_chatgpt, archive_claude, archive_webui, archive_studio, archive_tavern, archive_nexus, archive_dialogue, archive_own;
const archive *archive_of(const cJSON *record);                 /* NULL: none */
const archive *archive_of_text(const char *p, size_t n);

#endif
