/* tests: a number out of a store by SQL of the test's own. */
#ifndef QUORUM_STORE_HELP_H
#define QUORUM_STORE_HELP_H
#include "memory/store.h"
#include "tests/memory_help.h"

static inline int64_t raw(mem_store *s, const char *sql)
{
    int64_t n = -1;
    store_lock(s);
    OK(store_int(s, &n, err, sql, ""));
    store_unlock(s);
    return n;
}

#endif
