/* kernels/cpu/peak: how many multiply-adds of bytes a second this machine's threads do together at most: the instruction that the
 * products are made of, over registers alone. What products reach is a share of it. For benchmarks only; private to kernels/cpu. */
#ifndef QUORUM_CPU_PEAK_H
#define QUORUM_CPU_PEAK_H

#include "kernels/cpu/pool.h"

/* All of the pool's threads at once, for `seconds` (> 0) of their own time, on the path that is in force (cpu_level). 0: no instruction of that path
 * multiplies bytes, or none that is known here. */
double peak_madds(pool *workers, double seconds);

#endif
