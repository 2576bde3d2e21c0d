/* tests/fuzz: a small mutation fuzzer. A target gives well-formed seeds and a function that must take any bytes
 * without a crash and with its promises kept. To add one: a file with an exported fuzz_target and its row in
 * main.c. Each run is a function of (seed, target, number), so a finding is repeated by FUZZ_ONLY and FUZZ_FROM. */
#ifndef QUORUM_FUZZ_H
#define QUORUM_FUZZ_H

#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct fuzz_rng { uint64_t s; } fuzz_rng;
uint32_t fuzz_below(fuzz_rng *r, uint32_t n);            /* 0 .. n-1; n > 0 */

typedef struct fuzz_target {
    const char *name;
    int short_runs, long_runs;
    bool (*ready)(void);                                 /* false: its data is absent, skipped by name; may be NULL */
    void (*seed)(fuzz_rng *r, q_buf *out);               /* one well-formed input */
    /* 1 accepted, 0 refused with a sentence, negative: a promise was broken (say which on stdout after "# "). */
    int (*run)(const char *p, size_t n);
    void (*done)(void);                                  /* frees what ready made; may be NULL */
    size_t focus;                                        /* mutate the first `focus` bytes mostly; 0 = everywhere; FUZZ_MADE: the seed is damaged already */
} fuzz_target;

#define FUZZ_MADE SIZE_MAX
#define FUZZ_BROKEN(...) (printf("# broken: "), printf(__VA_ARGS__), printf("\n"), -1)

#endif
