/* rag/import/serve.h: private to rag/. What quorum-readers does. */
#ifndef QUORUM_RAG_IMPORT_SERVE_H
#define QUORUM_RAG_IMPORT_SERVE_H

/* Answers what is asked through a pair (wire.h) until the other end is closed; cpu_s: of work for each document, archive_s: for each archive. */
void serve(int fd, int cpu_s, int archive_s);

#endif
