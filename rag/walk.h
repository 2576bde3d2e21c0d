/* rag/walk.h: private to rag/. A folder and all below it, in the order of names. */
#ifndef QUORUM_RAG_WALK_H
#define QUORUM_RAG_WALK_H

#include <stdbool.h>
#include <sys/stat.h>

enum walk_what {
    WALK_FOLDER,                /* a folder that could be read; before what is in it */
    WALK_FILE,                  /* an ordinary file, once; of hidden ones those that a link leads to */
    WALK_LINK,                  /* a link to a file or a folder outside, which is not followed: why */
    WALK_CLOSED,                /* a folder that could not be read: why */
    WALK_END                    /* the rest was not looked at: why */
};
struct walk_entry {
    enum walk_what what;
    const char *path;           /* absolute where the root is */
    struct stat st;
    int entries;                /* WALK_FOLDER: what lies in it, hidden things too */
    const char *why;            /* translated */
};
/* fn returns false to stop; so does rag_walk then. Hidden things are passed over. Never recurses. */
bool rag_walk(const char *root, bool (*fn)(void *user, const struct walk_entry *e), void *user);
/* Opens a folder or a file at or below root for reading; no name below root may be a link, whatever was there a moment ago,
 * and a pipe is not waited for. -1: errno. */
int rag_open_below(const char *root, const char *path, bool folder);
/* Is path the folder root or below it? */
bool rag_inside(const char *root, const char *path);

#endif
