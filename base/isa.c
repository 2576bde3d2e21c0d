/* base/isa: the sets of instructions of this processor, asked once: cpuid traps in virtual machines. An atomic; any thread. */
#include "base/base.h"

#include <stdatomic.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

static enum q_isa ask(void)
{
#if defined(__x86_64__)
    unsigned a, b, c = 0, d;                         /* F16C: bit 29 (not every compiler's builtin knows its name) */
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
          __get_cpuid(1, &a, &b, &c, &d) && (c >> 29 & 1)))
        return Q_ISA_NONE;
    if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")))
        return Q_ISA_AVX2;
    if (!__builtin_cpu_supports("avx512vnni")) return Q_ISA_AVX512;
    return __builtin_cpu_supports("avx512vbmi") ? Q_ISA_VBMI : Q_ISA_VNNI;
#else
    return Q_ISA_NONE;
#endif
}

enum q_isa q_isa(void)
{
    static atomic_int best = -1;
    int b = atomic_load_explicit(&best, memory_order_relaxed);
    if (b < 0) atomic_store_explicit(&best, b = (int)ask(), memory_order_relaxed);
    return (enum q_isa)b;
}
