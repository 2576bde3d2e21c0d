/* kernels/cpu/cpu: the instruction sets that code is compiled for, and which of them this process uses. */
#ifndef QUORUM_CPU_CPU_H
#define QUORUM_CPU_CPU_H

/* Levels in rising order; each includes those below. */
#if defined(__x86_64__)
enum cpu_level { CPU_SCALAR, CPU_AVX2, CPU_AVX512, CPU_VNNI, CPU_VBMI, CPU_LEVELS };
#elif defined(__aarch64__)
enum cpu_level { CPU_SCALAR, CPU_NEON, CPU_DOTPROD, CPU_I8MM, CPU_LEVELS };
#else
enum cpu_level { CPU_SCALAR, CPU_LEVELS };
#endif
enum cpu_level cpu_level(void);    /* the best here, or what ker_cpu_force asked for */

#endif
