/* rag/follow.h: private to rag/. What memory holds of a folder, and what of it was seen. */
#ifndef QUORUM_RAG_FOLLOW_H
#define QUORUM_RAG_FOLLOW_H

#include "rag/rag.h"
#include "rag/walk.h"

struct follow;
/* The documents at root and below. */
int rag_follow(mem_store *, const char *root, struct follow **out, char *err);
/* What memory holds under this path; NULL: nothing. Belongs to the follower. */
const mem_document *rag_follow_known(struct follow *, const char *path);
/* One that says the very same and was cut by the same rules, on the same disk, whose file is not where it was: it has another name now, and is
 * given once. NULL: there is none. */
const mem_document *rag_follow_left(struct follow *, const mem_document *d, int cut);
void rag_follow_stays(struct follow *, const mem_document *d);       /* it has none after all */
/* Everything that the walk tells. */
void rag_follow_entry(struct follow *, const struct walk_entry *e);
/* The disk of a file is its folder's: overlays of containers number files and folders apart. st: the file's own. */
int64_t rag_disk_of(const char *path, const struct stat *st);
/* A document is there as it was; the news of it is kept for rag_follow_end. */
void rag_follow_unchanged(struct follow *, const mem_document *d, int64_t device, int64_t mtime_ms);
/* A document came that was not known under its path: where the same text lay is looked for by rag_follow_end. */
void rag_follow_fresh(struct follow *, const mem_document *d);
/* After a whole walk: marks what is gone, unmarks what is back, and says in *p what was not marked and why.
 * `whole` false: only what was seen is noted. Either way what moved here from a place that is no more, on the same disk, is marked gone
 * there. */
int rag_follow_end(struct follow *, mem_store *, bool whole, rag_progress *p, char *err);
void rag_follow_free(struct follow *);

#endif
