/* tests: a folder of its own for a test of memory, files in it, and a call that must succeed. */
#ifndef QUORUM_MEMORY_HELP_H
#define QUORUM_MEMORY_HELP_H
#include "base/base.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[64], err[Q_ERRLEN];

#define OK(call) do { err[0] = 0; int rc_ = (call); CHECK_MSG(rc_ == Q_OK, "%d %s", rc_, err); } while (0)

/* Four at once. */
static inline char *file(const char *name)
{
    static char p[4][128];
    static int i;
    i = (i + 1) % 4;
    snprintf(p[i], sizeof p[i], "%s/%s", dir, name);
    return p[i];
}

/* For main: false: there is no folder. */
static inline bool memory_begin(const char *name)
{
    snprintf(dir, sizeof dir, "/tmp/quorum-%s-XXXXXX", name);
    return mkdtemp(dir) != NULL;
}

static inline int memory_end(void)
{
    char *rm = q_printf("rm -rf '%s'", dir);
    int rc = system(rm);
    free(rm);
    return rc ? 1 : TEST_END();
}

#endif
