/* rag/twins.h: private to rag/. Does one text say again what another says? */
#ifndef QUORUM_RAG_TWINS_H
#define QUORUM_RAG_TWINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct twin { uint64_t *pair, *mark; int n, n_mark; };
void rag_twin_read(const char *text, size_t n, struct twin *out);
void rag_twin_free(struct twin *);
/* Nearly all of a stands in b, and every number and identifier of it. Not the other way round. */
bool rag_twin_of(const struct twin *a, const struct twin *b);

#endif
