/* kernels/cpu/bandwidth: reading memory with every thread at once, in several patterns. Private to kernels/cpu and
 * its tests, which bring their own clock. */
#ifndef QUORUM_CPU_BANDWIDTH_H
#define QUORUM_CPU_BANDWIDTH_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu/pool.h"

typedef struct bandwidth_pattern { int block /* floats of a task */, streams, ahead /* bytes prefetched ahead, 0 none */; } bandwidth_pattern;
enum { BANDWIDTH_PATTERNS = 6, BANDWIDTH_ROUNDS = 2 };
extern const bandwidth_pattern bandwidth_patterns[BANDWIDTH_PATTERNS];

/* Reads data[0..n) once, every number by one task, and returns the largest (so that nothing can be left out). */
float bandwidth_pass(pool *, const bandwidth_pattern *, const float *data, int64_t n);
/* The same by a product as decoding makes it, of rows of this type: whatever bytes there are. How many bytes of them it read; 0: no memory. */
size_t bandwidth_product(pool *, int type, const void *data, size_t bytes);
/* Bytes a second of the best pass of every pattern, and of a product of every kind where there are more than a cache holds, by this
 * clock (nanoseconds); 0 where there is nothing to read. */
double bandwidth_best(pool *, const float *data, int64_t n, int64_t (*now)(void *user), void *user);

#endif
