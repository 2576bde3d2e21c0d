/* rag/import/wire.h: private to rag/. What the program that reads for us (readers.c, serve.c) and we (child.c) say to each other: messages of
 * a SOCK_SEQPACKET pair, a letter and what belongs to it. We ask, it answers each question once. */
#ifndef QUORUM_RAG_IMPORT_WIRE_H
#define QUORUM_RAG_IMPORT_WIRE_H

#include "base/base.h"

enum { WIRE_FD = 3, WIRE_PIECE = 1 << 16, WIRE_NAME = 4096, WIRE_VERSION = 1 };

/* asked, with what: a document or an archive comes as an open file beside its message */
#define WIRE_HTML 'H'                   /* a page in UTF-8 */
#define WIRE_OFFICE 'O'                 /* a DOCX, ODT or EPUB */
#define WIRE_ARCHIVE 'A'                /* a zip, whose members are asked for one by one */
#define WIRE_NEXT 'N'                   /* the next member of the archive */
#define WIRE_MORE 'M'                   /* more of the text or the member */
/* answered */
#define WIRE_HELLO 'h'                  /* first of all: WIRE_VERSION as a byte */
#define WIRE_YES 'y'                    /* it is at hand */
#define WIRE_NO 'n'                     /* it is not: a byte, enum read_why; of READ_END of an archive or text: there is no more */
#define WIRE_ENTRY 'e'                  /* the member's name */
#define WIRE_DATA 'd'                   /* at most WIRE_PIECE bytes */

enum read_why { READ_END, READ_CUT, READ_DAMAGED, READ_LOCKED, READ_PACKED, READ_MUCH, READ_MUCH_OF_ALL, READ_MANY, READ_NO_WORDS, READ_OTHER, READ_WHYS };
const char *read_words(enum read_why);  /* translated; READ_END: NULL */

#endif
