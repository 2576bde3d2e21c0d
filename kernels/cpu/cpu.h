/* kernels/cpu/cpu: the instruction sets that code is compiled for, and which of them this process uses. */
#ifndef QUORUM_CPU_CPU_H
#define QUORUM_CPU_CPU_H

/* Levels in rising order; each includes those below. */
enum cpu_level { CPU_SCALAR, CPU_AVX2, CPU_AVX512, CPU_VNNI, CPU_LEVELS };
enum cpu_level cpu_level(void);    /* the best here, or what ker_cpu_force asked for */

#endif
