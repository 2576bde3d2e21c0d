/* cli/keep: what `quorum memory` does to keep and to forget: forget, verify, check, backups, restore. */
#ifndef QUORUM_CLI_KEEP_H
#define QUORUM_CLI_KEEP_H

#include "base/base.h"

struct mem_store;
enum { MEMORY_REST_MAX = 256, MEMORY_OF = 3 };      /* arguments; options of what is searched */

typedef struct memory_ask {             /* what the command line asks for */
    const char *db, *model, *rerank, *absent, *svg, *markdown, *drop;
    const char *of[MEMORY_OF];          /* --since, --until, --by; NULL: not given */
    char *rest[MEMORY_REST_MAX];
    int n, max, limit, mode;
    bool json, yes, explain, force, again;
} memory_ask;

/* On a terminal a person is asked this; elsewhere only --yes is a yes, which is said. */
bool memory_agreed(const memory_ask *, const char *question);

void memory_unread(int n);              /* says that so many parts of the file could not be read */

/* An export went to standard output: where that is a file, it is written down, if the memory can be opened at all. */
void memory_left(const memory_ask *);

/* Exit statuses. */
int memory_forget(struct mem_store *, const memory_ask *, char *err);
int memory_import(struct mem_store *, const memory_ask *, char *err);
int memory_check(struct mem_store *, const memory_ask *, char *err);
int memory_export(struct mem_store *, const memory_ask *, bool (*go)(void *user), char *err);     /* --markdown */
int memory_graph(struct mem_store *, const memory_ask *, char *err);      /* around.c */
int memory_verify(const memory_ask *, char *err);
int memory_backups(const memory_ask *, char *err);
int memory_restore(const memory_ask *, char *err);

#endif
