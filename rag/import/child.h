/* rag/import/child.h: private to rag/. The program that reads documents and archives for us by libraries: HTML by libxml2, DOCX, ODT and EPUB by
 * libarchive and libxml2, zip by libarchive. One serves a batch; it is started when it is first needed and anew where it died. */
#ifndef QUORUM_RAG_IMPORT_CHILD_H
#define QUORUM_RAG_IMPORT_CHILD_H

#include "rag/import/held.h"

typedef struct rag_child_opts {
    bool (*go)(void *user);             /* asked while it is waited for; false: it is ended, as rag_child_stopped says. NULL: always */
    void *user;
    const char *program;                /* NULL: quorum-readers beside the program, or where it is installed */
    held_limits limits;                 /* all 0: child_ordinary */
} rag_child_opts;
extern const held_limits child_ordinary;

typedef struct rag_child rag_child;     /* one thread at a time */
rag_child *rag_child_new(const rag_child_opts * /* or NULL; copied, the program's name is not */);
void rag_child_free(rag_child *);       /* kills it with all it started */
bool rag_child_stopped(const rag_child *);      /* go said no: what was read last was not read to its end */
int rag_child_starts(const rag_child *);        /* how many were started so far */

/* b, in place: a page in UTF-8 (html), or the bytes of a DOCX, ODT or EPUB, becomes Markdown. NULL, or a translated reason why not; b stays
 * then. */
const char *rag_child_document(rag_child *, bool html, q_buf *b);

/* A zip in an open file, which stays the caller's; its place in the file is anywhere afterwards. NULL, or a translated reason why not. One at a
 * time; another document ends it. */
const char *rag_child_archive(rag_child *, int fd);
/* The next member's name, UTF-8, malloc'ed; NULL: there is none, or *why (translated) the others cannot be told. */
char *rag_child_next(rag_child *, const char **why);
/* More of it, as a rag_source reads: 0 at its end, negative where it cannot be read, as rag_child_why says. */
long rag_child_more(void *child, char *p, size_t n);
const char *rag_child_why(const rag_child *);   /* what is wrong with the present member; NULL: nothing so far */

/* Waits until fd can be read. NULL, or why not: it stood still, or go said no. */
const char *rag_child_wait(rag_child *, int fd, int stall_ms);

#endif
