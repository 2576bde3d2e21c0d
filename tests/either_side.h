/* tests: other ways for a model to lie: the backend at hand and the CPU as one device, layers one after the other (the backend's first, or the
 * CPU's with some experts on either side), or all of it at the backend, with room for some experts that are fetched. */
#ifndef QUORUM_TESTS_EITHER_SIDE_H
#define QUORUM_TESTS_EITHER_SIDE_H

#include "kernels/kernels.h"

static const ker_backend *gpu;             /* the test's: what stands beside the CPU */

__attribute__((unused)) static int open_gpu_first(const ker_model *m, int n_threads, const ker_hold *hold, ker_dev **out, char *e)
{
    return ker_split_open(gpu, ker_cpu(), NULL, 0, m, n_threads, out, e);
}

__attribute__((unused)) static int open_cpu_first(const ker_model *m, int n_threads, const ker_hold *hold, ker_dev **out, char *e)
{
    static const bool odd[4] = { false, true, false, true };
    return ker_split_open(ker_cpu(), gpu, odd, 0, m, n_threads, out, e);
}

__attribute__((unused)) static uint64_t cache_bytes;       /* the room for fetched experts */
__attribute__((unused)) static int open_cached(const ker_model *m, int n_threads, const ker_hold *hold, ker_dev **out, char *e)
{
    ker_hold h = { .cache_bytes = cache_bytes };
    return gpu->open(m, n_threads, &h, out, e);
}

#endif
