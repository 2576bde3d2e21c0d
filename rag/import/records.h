/* rag/import/records.h: private to rag/. The records of a JSON file of any length, one at a time. */
#ifndef QUORUM_RAG_IMPORT_RECORDS_H
#define QUORUM_RAG_IMPORT_RECORDS_H

#include "base/base.h"

/* Where bytes come from: how many were put at p, 0 at the end, negative: it cannot be read further. */
typedef struct rag_source { long (*read)(void *user, char *p, size_t n); void *user; } rag_source;

typedef struct rag_record {
    char *p;                            /* [n] the text of an object, valid until the next call */
    size_t n;
    int number;                         /* 1-based */
    int64_t at;                         /* its first byte in the file, from 0 */
    bool doubtful;                      /* found by looking for it behind a damaged one */
    const char *why;                    /* it is damaged: translated; p is NULL */
} rag_record;

/* Each element of an array at the top is a record, and so is each object that stands at the top itself (a line, say). */
typedef struct rag_records rag_records;
rag_records *rag_records_new(const rag_source *);
bool rag_records_next(rag_records *, rag_record *out);      /* false: the end */
void rag_records_good(rag_records *);                       /* the last one was what it should be: others begin as it does */
/* The last one was not: if another begins within it, as good ones do, that one is next. */
void rag_records_bad(rag_records *);
void rag_records_free(rag_records *);

#endif
