/* tests: the few macros every unit test uses. Each test binary prints one line a check group:
 * "ok NAME", "not ok NAME: why", "skip NAME: why"; tests/run.sh adds them up. */
#ifndef QUORUM_TEST_H
#define QUORUM_TEST_H
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* QUORUM_LONG: all of a test; QUORUM_BRIEF: of what runs over the emulator, each way once (a sanitizer takes twenty times as long). */
static inline int test_brief(void)
{
    const char *wanted = getenv("QUORUM_BRIEF");
    return wanted && *wanted;
}

static int test_bad;                   /* failures inside the running test */
static int test_failed;

#define CHECK(cond) do { if (!(cond)) { test_bad++; printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond); } } while (0)
#define CHECK_MSG(cond, ...) do { if (!(cond)) { test_bad++; printf("# %s:%d: %s: ", __FILE__, __LINE__, #cond); printf(__VA_ARGS__); printf("\n"); } } while (0)
#define CHECK_INT(a, b) do { long long a_ = (long long)(a), b_ = (long long)(b); if (a_ != b_) { test_bad++; printf("# %s:%d: %s = %lld, expected %lld\n", __FILE__, __LINE__, #a, a_, b_); } } while (0)
#define CHECK_STR(a, b) do { const char *a_ = (a), *b_ = (b); if (!a_ || strcmp(a_, b_)) { test_bad++; printf("# %s:%d: %s = \"%s\", expected \"%s\"\n", __FILE__, __LINE__, #a, a_ ? a_ : "(null)", b_); } } while (0)
/* QUORUM_TEST: part of the names of those that are to run, where all take long (a sanitizer). */
static inline int test_wanted(const char *name)
{
    const char *part = getenv("QUORUM_TEST");
    return !part || strstr(name, part) != NULL;
}
#define RUN(fn) do { if (!test_wanted(#fn)) break; test_bad = 0; fn(); if (test_bad) { test_failed++; printf("not ok %s: %d checks failed\n", #fn, test_bad); } else printf("ok %s\n", #fn); fflush(stdout); } while (0)
#define SKIP(name, why) do { printf("skip %s: %s\n", name, why); fflush(stdout); } while (0)
#define TEST_END() (test_failed ? 1 : 0)
#endif
