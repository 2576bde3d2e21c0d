/* rag/when.h: private to rag/. What a question says of when something was said and by whom. */
#ifndef QUORUM_RAG_WHEN_H
#define QUORUM_RAG_WHEN_H

#include "rag/rag.h"

enum { WHEN_SPANS = 4, WHEN_LONGEST = 600 };        /* a longer text is not read so */
enum when_who { WHEN_ANYBODY, WHEN_PERSON, WHEN_MODEL };

struct rag_when {
    int64_t from, to;                   /* Unix ms; to is not included; both 0: no time is named */
    enum when_who who;
    bool talk;                          /* it asks what was said */
    bool asked;                         /* and of that what the person asked */
    bool written;                       /* and what the person wrote, which may be a document */
    struct { size_t start, end; } span[WHEN_SPANS]; int n_span;     /* words that say only that, in bytes */
};

/* By the clock `now_ms`, in local time. Pure but for the time zone. */
void rag_when_read(const char *question, int64_t now_ms, struct rag_when *out);

#endif
