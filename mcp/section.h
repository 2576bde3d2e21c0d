/* mcp/section: one [mcp.NAME] of config.ini. Private to mcp. */
#ifndef QUORUM_MCP_SECTION_H
#define QUORUM_MCP_SECTION_H

#include "mcp/mcp.h"

typedef struct words { char **v; int n; } words;             /* owned */
typedef struct section {
    char *name;
    char *command, *cwd, *url, *key_env, *key_file, *ca;     /* NULL: not said */
    words args, env, header;
    int timeout_s, start_s, probe_s;
    bool enabled;
} section;

void section_init(section *, const char *name);
void section_free(section *);                                /* contents */
int section_put(section *, const char *key, const char *value, char *err);
int section_whole(const section *, char *err);               /* can it be started as it stands? */
char *section_where(const section *);                        /* mcp_where */
/* What a program is given: the few of ours that programs need, and what the section names. Wiped by section_wipe. */
int section_environment(const section *, words *out, char *err);
/* The headers of a request, and the key (malloc'ed, NULL: none). */
int section_headers(const section *, words *out, char **key, char *err);

void words_add(words *, char *taken);
void words_wipe(words *);                                    /* overwritten and freed */

#endif
