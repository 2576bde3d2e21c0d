/* rag/import/take.h: private to rag/. Chat archives into memory. */
#ifndef QUORUM_RAG_IMPORT_TAKE_H
#define QUORUM_RAG_IMPORT_TAKE_H

#include "rag/import/child.h"
#include "rag/rag.h"

typedef struct rag_taking {
    mem_store *s;
    rag_child *child;                   /* opens a zip */
    const char *title;                  /* the file as it is shown */
    int64_t mtime_ms;
    bool (*go)(void *user);             /* as in rag_add_opts */
    void *user;
    bool again;                         /* the same */
    rag_progress *p;                    /* conversations, messages and what was damaged are added */
} rag_taking;

/* Reads an open file as JSON or a zip; *known false: it holds no conversations, and nothing was done. */
int rag_take_file(const rag_taking *, int fd, bool *known, char *err);
/* The same of a text that was read: notes and dialogues. */
int rag_take_text(const rag_taking *, const char *p, size_t n, bool *known, char *err);

#endif
