/* rag/import/zip.h: private to rag/. The members of a zip archive, one after another, as bytes. */
#ifndef QUORUM_RAG_IMPORT_ZIP_H
#define QUORUM_RAG_IMPORT_ZIP_H

#include "rag/import/records.h"

typedef struct zip zip;
/* An archive in an open file, which stays the caller's; NULL and *why (translated): it is none, or it is damaged. */
zip *zip_open(int fd, const char **why);
zip *zip_open_bytes(const char *p, size_t n, const char **why);     /* the same of bytes, which must live as long */
bool zip_find(zip *, const char *name); /* makes that member the present one; false: there is none */
void zip_free(zip *);
/* The next member's name (valid until the next call) and size; NULL: there is none. */
const char *zip_next(zip *, uint64_t *size);
/* The present member from its beginning, as a source for readers; valid until the next call. */
rag_source zip_source(zip *);
const char *zip_why(const zip *);       /* what is wrong with the present member, translated; NULL: nothing so far */

#endif
