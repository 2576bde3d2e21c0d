/* rag/narrow.h: private to rag/. A search among what somebody said, or what was said at some time, alone. */
#ifndef QUORUM_RAG_NARROW_H
#define QUORUM_RAG_NARROW_H

#include "rag/when.h"

enum narrow_who { NARROW_ANYBODY, NARROW_PERSON, NARROW_MODEL, NARROW_NAMED };
struct narrowing {
    bool on;
    bool strict;                        /* it was asked for as such; else the question was read so, and where nothing fits all is searched */
    bool talk;                          /* what was said, no documents */
    bool since;                         /* of something that was: it may have been told later than `to` */
    bool asked, written;
    enum narrow_who who;
    int64_t from, to;                   /* Unix ms; 0: open */
    const char *by;                     /* the caller's: NARROW_NAMED */
    int64_t *id; int n;                 /* turns that may come in, in order; of a name: those of anybody who has one */
    double of;                          /* passages there are */
    struct rag_when when;               /* of the question */
    char *word;                         /* what of the question said so, or what was asked for */
};

/* Reads scope and question. r->narrowed is set where that much is clear already. */
int rag_narrow(mem_store *, const rag_config *, const char *question, const rag_scope *, struct narrowing *, rag_result *, char *err);
bool rag_narrow_has(const struct narrowing *, int64_t message);
bool rag_narrow_takes(const struct narrowing *, const mem_passage *);
/* The sentence for people, and the same for programs. all: nothing fitted, all was searched. */
void rag_narrow_say(const struct narrowing *, bool all, rag_result *);
void rag_narrow_free(struct narrowing *);

#endif
