/* rag/import/unpack.h: private to rag/. The members of a zip archive, one after another, by libarchive. For the program that reads. */
#ifndef QUORUM_RAG_IMPORT_UNPACK_H
#define QUORUM_RAG_IMPORT_UNPACK_H

#include "rag/import/wire.h"

typedef struct unpack_limits { uint64_t member, all; int members; } unpack_limits;  /* bytes that may come out of one, of all; how many there may be */
extern const unpack_limits unpack_archive, unpack_document;

typedef struct unpack unpack;
/* Of an open file, which stays the caller's, or (fd < 0) of bytes that live as long. NULL: *why. */
unpack *unpack_open(int fd, const char *p, size_t n, const unpack_limits *, enum read_why *why);
void unpack_free(unpack *);
/* The next member's name, UTF-8, valid until the next call; NULL: there is none, or *why it cannot be told. Nothing is ever written
 * under such a name. */
const char *unpack_next(unpack *, enum read_why *why);
/* More of the present member; 0: its end, or *why there is no more. */
size_t unpack_read(unpack *, char *p, size_t n, enum read_why *why);

#endif
