/* tools/walk: what stands in a folder and below it, in order of names, links never followed. Any thread. */
#ifndef TOOLS_WALK_H
#define TOOLS_WALK_H

#include "tools/inside.h"

enum walk_kind { WALK_FILE, WALK_FOLDER, WALK_LINK, WALK_OTHER };
typedef struct walk_entry {             /* valid during the call */
    const char *path;                   /* canonical, as what was asked for */
    const char *name;
    enum walk_kind kind;
    int dir;                            /* the folder that it stands in */
    int64_t bytes;                      /* of a file */
    int depth;                          /* 1: right in the folder */
} walk_entry;
enum { WALK_MAX = 50000 };              /* entries that are looked at */
/* fn returns 1 to go on, 0 to end, negative with err. depth: folders below are entered down to it; .git never. *all: nothing was left out. */
int walk(const tool_place *, const char *canonical, int depth, int (*fn)(void *user, const walk_entry *, char *err), void *user, bool *all, char *err);

#endif
